/*
 * deadlock.c - the two verdicts
 *
 * Ring. Each parked fiber may wait for something whose end is known: a lock's holder, another fiber's end. Those edges make a graph in which
 * every fiber has at most one way out, so a ring is found by walking. Others may run meanwhile, hence two passes:
 *
 *   1. For each parked fiber note its id, the generation of its wait, and the id that it waits for. The frame is read while the wait is
 *      HELD (fiber/wait.h), so it stays, and so does what it mentions.
 *   2. A ring in the notes is a ring in fact if all its waits are still the same: then all were parked at one moment between the passes, and
 *      who is parked neither releases a lock nor ends. The verdict's claim names the generation, so a wait that has ended since is not hit.
 *
 * Silence is judged by the driver, which alone knows that nothing can come; here its consequence is drawn.
 */
#include "fiber/deadlock.h"

#include <inttypes.h>
#include <stdlib.h>

struct edge {
    uint64_t    from, to, generation;                   /* fibers' ids; to 0: for nobody in particular */
    coir_fiber *fiber;
    const char *awaits;
    bool        for_fiber;
    uint32_t    mark;                                   /* 0: not walked yet; else the walk that came here first */
};

struct graph { struct edge *edges; size_t count, room; bool complete; };

static _Atomic uint64_t deadlocks;

uint64_t coir__deadlocks(void) { return load_relaxed(&deadlocks); }

/* --------------------------------------------------------------------------------------------------------- taking notes */

static bool graph_room(struct graph *graph)
{
    if (graph->count < graph->room)
        return true;
    size_t room = graph->room == 0 ? 64 : graph->room * 2;
    struct edge *edges = coir__alloc(room * sizeof *edges);
    if (edges == NULL)
        return false;
    for (size_t i = 0; i < graph->count; i++)
        edges[i] = graph->edges[i];
    if (graph->edges != NULL)
        coir__free(graph->edges, graph->room * sizeof *edges);
    graph->edges = edges;
    graph->room = room;
    return true;
}

static bool note(void *env, coir_fiber *fiber)
{
    struct graph *graph = env;
    if (!graph_room(graph)) {
        graph->complete = false;
        return false;
    }
    if (!wait_hold(&fiber->wait))
        return true;
    const coir_io *frame = fiber->top;
    struct waits_for known = { 0, false };
    if (frame->prim->waits_for != NULL)
        known = frame->prim->waits_for(frame);
    graph->edges[graph->count++] = (struct edge){
        .from = fiber->id, .to = known.holder, .generation = wait_generation(&fiber->wait), .fiber = fiber,
        .awaits = frame->prim->awaits, .for_fiber = known.for_fiber };
    wait_unhold(&fiber->wait);
    return true;
}

static int by_from(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

static struct edge *edge_from(const struct graph *graph, uint64_t id)
{
    struct edge key = { .from = id };
    return graph->count == 0 ? NULL : bsearch(&key, graph->edges, graph->count, sizeof key, by_from);
}

static struct graph graph_of(struct coir__run *run)
{
    struct graph graph = { NULL, 0, 0, true };
    coir__run_each(run, note, &graph);
    if (graph.count > 0)
        qsort(graph.edges, graph.count, sizeof *graph.edges, by_from);
    return graph;
}

static void graph_done(struct graph *graph)
{
    if (graph->edges != NULL)
        coir__free(graph->edges, graph->room * sizeof *graph->edges);
}

/* --------------------------------------------------------------------------------------------------------------- verdicts */

static coir_result verdict(const char *text)
{
    fetch_add_relaxed(&deadlocks, (uint64_t)1);
    return coir__panicf(DOMAIN_COIR, COIR_DEADLOCK, "deadlock: %s", text);
}

static bool end_wait(const struct edge *edge, coir_result panic)
{
    if (coir__claim(edge->fiber, edge->generation, CLAIMED_BY_VERDICT, panic))
        return true;
    coir_result_drop(&panic);
    return false;
}

/* The label of a fiber that still waits as noted; held meanwhile, since one that goes on may end and its name with it. */
static bool label_of(const struct edge *edge, char *label, size_t size)
{
    if (!wait_hold(&edge->fiber->wait))
        return false;
    bool same = wait_generation(&edge->fiber->wait) == edge->generation;
    if (same)
        coir__fiber_label(edge->fiber, label, size);
    wait_unhold(&edge->fiber->wait);
    return same;
}

/* "fiber 3 'a' waits for a lock that fiber 4 'b' holds; fiber 4 'b' waits for ...". False: it is no ring any more. */
static bool ring_text(const struct graph *graph, const struct edge *start, char *text, size_t size)
{
    enum { SHOWN = 16 };
    char from[64], to[64];
    size_t length = 0, shown = 0;
    const struct edge *edge = start;
    do {
        const struct edge *next = edge_from(graph, edge->to);
        if (!label_of(edge, from, sizeof from) || !label_of(next, to, sizeof to))
            return false;
        if (shown++ < SHOWN && length < size) {
            int n = edge->for_fiber
                ? snprintf(text + length, size - length, "%sfiber%s waits for the end of fiber%s", length == 0 ? "" : "; ", from, to)
                : snprintf(text + length, size - length, "%sfiber%s waits for %s that fiber%s holds", length == 0 ? "" : "; ", from,
                           edge->awaits, to);
            length += (size_t)n;
        }
        edge = next;
    } while (edge != start);
    return true;
}

static size_t ring_end(const struct graph *graph, const struct edge *start, coir_result *report)
{
    char text[2048];
    if (!ring_text(graph, start, text, sizeof text))
        return 0;
    if (report != NULL) {
        *report = verdict(text);
        return 1;
    }
    bool objects = false;
    const struct edge *edge = start;
    do {
        objects = objects || !edge->for_fiber;
        edge = edge_from(graph, edge->to);
    } while (edge != start);
    size_t woken = 0;
    do {
        if (!objects || !edge->for_fiber)
            woken += end_wait(edge, verdict(text));
        edge = edge_from(graph, edge->to);
    } while (edge != start);
    return woken;
}

size_t coir__deadlock_rings(struct coir__run *run, coir_result *report)
{
    struct graph graph = graph_of(run);
    size_t woken = 0;
    uint32_t walk = 0;
    for (size_t i = 0; i < graph.count && !(report != NULL && woken > 0); i++) {
        struct edge *edge = &graph.edges[i];
        walk++;
        while (edge != NULL && edge->mark == 0 && edge->to != 0) {
            edge->mark = walk;
            edge = edge_from(&graph, edge->to);
        }
        if (edge != NULL && edge->mark == walk)
            woken += ring_end(&graph, edge, report);
    }
    graph_done(&graph);
    return woken;
}

static coir_result silence_verdict(const struct edge *edge, const char *label)
{
    char text[256], holder[64] = "";
    if (edge->to != 0)
        snprintf(holder, sizeof holder, " that fiber %" PRIu64 " holds", edge->to);
    snprintf(text, sizeof text, "fiber%s waits for %s%s, and nothing is left that could end the wait", label, edge->awaits, holder);
    return verdict(text);
}

size_t coir__deadlock_silence(struct coir__run *run, coir_result *report)
{
    struct graph graph = graph_of(run);
    size_t woken = 0;
    char label[64];
    for (size_t i = 0; i < graph.count && !(report != NULL && woken > 0); i++) {
        const struct edge *edge = &graph.edges[i];
        if (edge->for_fiber || !label_of(edge, label, sizeof label))
            continue;
        if (report == NULL) {
            woken += end_wait(edge, silence_verdict(edge, label));
        } else {
            *report = silence_verdict(edge, label);
            woken = 1;
        }
    }
    graph_done(&graph);
    return woken;
}
