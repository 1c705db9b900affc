/*
 * deadlock.c - the two verdicts
 *
 * Ring. Each parked fiber may wait for something whose end is known: a lock's holder, another fiber's end. Those edges make a graph in
 * which every fiber has at most one way out, so a ring is found by walking. Others may run meanwhile, hence two passes:
 *
 *   1. For each parked fiber note its id, the generation of its wait, and the id that it waits for. The frame is read while the wait is
 *      HELD (fiber/wait.h), so it stays, and so does what it mentions.
 *   2. A ring in the notes is a ring in fact if all its waits are still the same and for the same: then all were parked at one moment
 *      between the passes, and who is parked neither releases a lock nor ends. What a fiber waits for is asked again, because in the first
 *      pass it may have been noted before the lock's holder released it and parked for something else. The verdict's claim names the
 *      generation, so a wait that has ended since is not hit.
 *
 * A fiber that is just registering its wait has counted its edge already (edges_begun), but cannot be held yet: who met one says that there
 * is something to look for again, otherwise nobody would before the next edge.
 *
 * Silence is judged by the driver, which alone knows that nothing can come; here its consequence is drawn.
 */
#include "fiber/deadlock.h"

#include "fiber/look.h"

#include <stdlib.h>

struct edge {
    uint64_t    from;                                   /* the fiber's id */
    coir_fiber *fiber;
    struct seen seen;                                   /* what it waits for; of nobody in particular: no way on */
    enum claim  claim;                                  /* how the verdict won the wait; LOST: it did not, or did not want to */
    uint32_t    mark;                                   /* 0: not walked yet; else the walk that came here first */
};

struct graph { struct edge *edges; size_t count, room; bool complete; const struct coir__run *run; };     /* complete: nobody was left out */

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

/* False: it does not wait. */
static bool edge_of(coir_fiber *fiber, struct edge *edge)
{
    if (!coir__look(fiber, &edge->seen, NULL, 0))
        return false;
    edge->from = edge->seen.id;
    edge->fiber = fiber;
    edge->claim = CLAIM_LOST;
    edge->mark = 0;
    return true;
}

static bool note(void *env, coir_fiber *fiber)
{
    struct graph *graph = env;
    if (!graph_room(graph)) {
        graph->complete = false;
        return false;
    }
    if (!edge_of(fiber, &graph->edges[graph->count])) {
        enum wait_state state = wait_state_of(load_acquire(&fiber->wait.word));
        if (state == WAIT_ARMING || state == WAIT_PARKED)       /* PARKED: just now */
            graph->complete = false;
        return true;
    }
    graph->count++;
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

/* The fiber of the run that this one waits for; 0: none. A fiber of another run may have the same id as one of this, if either is simulated. */
static uint64_t id_after(const struct coir__run *run, const struct edge *edge)
{
    const struct waits_for *known = &edge->seen.known;
    return known->for_fiber && known->run != run ? 0 : known->holder;
}

/* Its edge; NULL: it does not wait, or there is none. */
static struct edge *edge_after(const struct graph *graph, const struct edge *edge) { return edge_from(graph, id_after(graph->run, edge)); }

static struct graph graph_of(struct coir__run *run)
{
    struct graph graph = { .complete = true, .run = run };
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

/*
 * All waits that a verdict ends are claimed before the first of their fibers may go on: that one unwinds at once, on another worker, and
 * what it gives back could end the waits of the others, now of this one and now of that. MODEL wait.pml: verdict
 */
static void wait_take(struct edge *edge) { edge->claim = wait_claim(&edge->fiber->wait, edge->seen.generation); }

static void wait_end(struct edge *edge, coir_result result)
{
    edge->fiber->result = result;
    edge->fiber->claimed_by = CLAIMED_BY_VERDICT;
    if (edge->claim == CLAIM_PARKED || wait_give(&edge->fiber->wait))
        coir__make_ready(edge->fiber);
}

/* The label of a fiber that still waits as noted. */
static bool label_of(const struct edge *edge, char *label, size_t size)
{
    struct seen now;
    return coir__look(edge->fiber, &now, label, size) && now.generation == edge->seen.generation && now.known.holder == edge->seen.known.holder;
}

/* "fiber 3 'a' waits for lock 7 that fiber 4 'b' holds; fiber 4 'b' waits for ...". False: it is no ring any more. */
static bool ring_text(const struct graph *graph, const struct edge *start, char *text, size_t size)
{
    enum { SHOWN = 16 };
    char from[64], to[64], what[SEEN_TEXT_SIZE];
    size_t length = 0, shown = 0;
    const struct edge *edge = start;
    do {
        const struct edge *next = edge_after(graph, edge);
        if (!label_of(edge, from, sizeof from) || !label_of(next, to, sizeof to))
            return false;
        if (shown++ < SHOWN && length < size) {
            coir__seen_text(&edge->seen, to, what, sizeof what);
            length += (size_t)snprintf(text + length, size - length, "%sfiber%s waits for %s", length == 0 ? "" : "; ", from, what);
        }
        edge = next;
    } while (edge != start);
    return true;
}

/* Which waits of a ring are ended: those for an object; without one those of joiners; where all are let be, those that give way. */
enum ended { ENDS_OBJECTS, ENDS_JOINS, ENDS_NONE_BUT_GIVING_WAY };

static enum ended ends_of(const struct graph *graph, struct edge *start)
{
    enum ended ended = ENDS_NONE_BUT_GIVING_WAY;
    struct edge *edge = start;
    do
        if (!edge->seen.known.for_fiber)
            ended = ENDS_OBJECTS;
        else if (!edge->seen.known.is_let_be && ended != ENDS_OBJECTS)
            ended = ENDS_JOINS;
    while ((edge = edge_after(graph, edge)) != start);
    return ended;
}

static bool is_among(const struct waits_for *known, enum ended ended)
{
    switch (ended) {
    case ENDS_OBJECTS:
        return !known->for_fiber;
    case ENDS_JOINS:
        return !known->is_let_be;
    case ENDS_NONE_BUT_GIVING_WAY:
        break;
    }
    return known->gives_way;
}

static size_t ring_end(const struct graph *graph, struct edge *start, coir_result *report)
{
    char text[2048];
    if (!ring_text(graph, start, text, sizeof text))
        return 0;
    enum ended ended = ends_of(graph, start);
    bool is_deadlock = ended != ENDS_NONE_BUT_GIVING_WAY;
    if (report != NULL && is_deadlock) {
        *report = verdict(text);
        return 1;
    }
    struct edge *edge = start;
    do
        if (is_among(&edge->seen.known, ended))
            wait_take(edge);
    while ((edge = edge_after(graph, edge)) != start);
    size_t woken = 0;
    do {
        struct edge *next = edge_after(graph, edge);
        if (edge->claim != CLAIM_LOST) {
            wait_end(edge, is_deadlock ? verdict(text) : coir_ok(coir_none()));
            woken++;
        }
        edge = next;
    } while (edge != start);
    return woken;
}

/* All of them; with a report the first. */
static size_t rings_end(const struct graph *graph, coir_result *report)
{
    size_t woken = 0;
    uint32_t walk = 0;
    for (size_t i = 0; i < graph->count && !(report != NULL && report->tag != COIR_OK); i++) {
        struct edge *edge = &graph->edges[i];
        walk++;
        while (edge != NULL && edge->mark == 0 && id_after(graph->run, edge) != 0) {
            edge->mark = walk;
            edge = edge_after(graph, edge);
        }
        if (edge != NULL && edge->mark == walk)
            woken += ring_end(graph, edge, report);
    }
    return woken;
}

size_t coir__deadlock_rings(struct coir__run *run, coir_result *report)
{
    struct graph graph = graph_of(run);
    size_t woken = rings_end(&graph, report);
    if (!graph.complete)
        counter_add(&coir__me.seat->edges_begun, 1);
    graph_done(&graph);
    return woken;
}

static coir_result silence_verdict(const struct edge *edge)
{
    char text[420], label[64], what[SEEN_TEXT_SIZE], hint[100] = "";
    if (edge->seen.exposed_by != NULL)
        snprintf(hint, sizeof hint, " (threads and other runs could, after %s())", edge->seen.exposed_by);
    snprintf(text, sizeof text, "fiber%s waits for %s, and nothing is left that could end the wait%s",
             coir__fiber_label(edge->fiber, label, sizeof label), coir__seen_text(&edge->seen, NULL, what, sizeof what), hint);
    return verdict(text);
}

/*
 * What silence ends, when there are no rings: the first of these that there is. Every wait for an object: who waits for fibers is let be meanwhile, for
 * those end. Without such, every wait for the first of several fibers, who in the end wait for it: they are no ring that has one way out. And last
 * every wait for a fiber: one of them at least leads back to itself by way of a scope, whose owner waits for all of its children.
 */
enum concern { FOR_OBJECT, FOR_FIRST_OF_SEVERAL, FOR_FIBER, CONCERNS };

static bool is_concerned(const struct edge *edge, enum concern concern)
{
    const struct waits_for *known = &edge->seen.known;
    switch (concern) {
    case FOR_OBJECT:
        return !known->for_fiber;
    case FOR_FIRST_OF_SEVERAL:
        return known->for_fiber && known->holder == 0 && !known->is_let_be;
    default:
        return known->for_fiber && !known->is_let_be;
    }
}

/* Without memory for notes. Nobody moves in a silent run, so what would have been noted can be looked up again each time. Of a ring one wait is
 * ended, and the others end with it. */
struct unnoted { enum concern concern; coir_fiber *taken; size_t count; };

/* Claimed, with its verdict, and linked: it is in no queue. */
static bool take_unnoted(void *env, coir_fiber *fiber)
{
    struct unnoted *unnoted = env;
    struct edge edge;
    if (!edge_of(fiber, &edge) || !is_concerned(&edge, unnoted->concern))
        return true;
    wait_take(&edge);
    if (edge.claim == CLAIM_LOST)
        return true;
    fiber->result = silence_verdict(&edge);
    fiber->claimed_by = CLAIMED_BY_VERDICT;
    fiber->next = unnoted->taken;
    unnoted->taken = fiber;
    unnoted->count++;
    return true;
}

/* As with notes all are claimed before the first goes on. */
static size_t end_unnoted(struct coir__run *run, enum concern concern)
{
    struct unnoted unnoted = { concern, NULL, 0 };
    coir__run_each(run, take_unnoted, &unnoted);
    for (coir_fiber *next, *fiber = unnoted.taken; fiber != NULL; fiber = next) {
        next = fiber->next;
        coir__make_ready(fiber);
    }
    return unnoted.count;
}

struct sought { uint64_t id; struct edge edge; };       /* id 0: whoever waits */

static bool seek(void *env, coir_fiber *fiber)
{
    struct sought *sought = env;
    return (sought->id != 0 && fiber->id != sought->id) || !edge_of(fiber, &sought->edge);
}

/* Its `from` is 0 if there is none. */
static struct edge edge_sought(struct coir__run *run, uint64_t id)
{
    struct sought sought = { .id = id };
    coir__run_each(run, seek, &sought);
    return sought.edge;
}

/* Brent's walk: `behind` stays where it is for twice as long each time, until `ahead` comes round to it. Gives one of the ring; `from` is 0 if that
 * is no way to one. */
static struct edge ring_from(struct coir__run *run, struct edge start)
{
    struct edge behind = start, ahead = start;
    for (uint64_t steps = 0, limit = 1; ; steps++) {
        if (steps == limit) {
            behind = ahead;
            limit *= 2;
            steps = 0;
        }
        if (ahead.from == 0 || id_after(run, &ahead) == 0)
            return (struct edge){ .from = 0 };
        ahead = edge_sought(run, id_after(run, &ahead));
        if (ahead.from == behind.from)
            return ahead;
    }
}

/* From *edge on round the ring: the first wait that a verdict ends, or that gives way. */
static bool seek_in_ring(struct coir__run *run, struct edge *edge, bool gives_way)
{
    uint64_t start = edge->from;
    do {
        if (gives_way ? edge->seen.known.gives_way : !edge->seen.known.is_let_be)
            return true;
        *edge = edge_sought(run, id_after(run, edge));
    } while (edge->from != start);
    return false;
}

static size_t end_one_of_a_ring(struct coir__run *run)
{
    struct edge edge = ring_from(run, edge_sought(run, 0));
    if (edge.from == 0)
        return 0;
    bool is_deadlock = seek_in_ring(run, &edge, false);
    if (!is_deadlock && !seek_in_ring(run, &edge, true))
        return 0;
    wait_take(&edge);
    if (edge.claim == CLAIM_LOST)
        return 0;
    wait_end(&edge, is_deadlock ? silence_verdict(&edge) : coir_ok(coir_none()));
    return 1;
}

static size_t silence_unnoted(struct coir__run *run, coir_result *report)
{
    if (report != NULL) {
        *report = verdict("nothing is left that could end any wait, and there was no memory to note who waits for what");
        return 1;
    }
    size_t woken = end_unnoted(run, FOR_OBJECT);
    if (woken == 0)
        woken = end_unnoted(run, FOR_FIRST_OF_SEVERAL);
    if (woken == 0)
        woken = end_one_of_a_ring(run);
    return woken != 0 ? woken : end_unnoted(run, FOR_FIBER);
}

static size_t silence_noted(const struct graph *graph, enum concern concern, coir_result *report)
{
    size_t woken = 0;
    for (size_t i = 0; i < graph->count; i++) {
        struct edge *edge = &graph->edges[i];
        if (!is_concerned(edge, concern))
            continue;
        if (report != NULL) {                           /* nobody moves: in a silent run it still stands as it was noted */
            *report = silence_verdict(edge);
            return 1;
        }
        wait_take(edge);
    }
    for (size_t i = 0; report == NULL && i < graph->count; i++)
        if (graph->edges[i].claim != CLAIM_LOST) {
            wait_end(&graph->edges[i], silence_verdict(&graph->edges[i]));
            woken++;
        }
    return woken;
}

/* The search for rings that came before may have had no memory for its notes: so they come first here, too. */
size_t coir__deadlock_silence(struct coir__run *run, coir_result *report)
{
    struct graph graph = graph_of(run);
    size_t woken = graph.complete ? rings_end(&graph, report) : silence_unnoted(run, report);
    for (enum concern concern = FOR_OBJECT; graph.complete && woken == 0 && concern < CONCERNS; concern++)
        woken = silence_noted(&graph, concern, report);
    graph_done(&graph);
    return woken;
}
