/*
 * show.c - a program as text, as a graph, and as a walk over its instructions
 *
 * One walk serves all three. It goes parents first with a stack of its own, so the C stack stays constant; a parent leaves that stack when
 * its last child is begun, so a chain to the right needs none of it. NAMED nodes are no stops: they are labels of what they name.
 *
 *   1. Nothing is written into a node: other threads may run the same io meanwhile.
 *   2. A run may take the value of a shared node away at any time if it cannot be shared (NODE_TAKEN). Under a node with several owners,
 *      called exposed, we do not look at such a value.
 *   3. print and dot go into a shared node once, so they end soon on a graph of few nodes with ever so many paths; visit does not.
 */
#include "io/node.h"

#include "io/machine.h"
#include "io/prim.h"
#include "io/retry.h"

#include <inttypes.h>
#include <string.h>

/* Where the walk stands: at `node`, which the labels from `named` down to it name. */
struct place {
    const coir_io *node, *named;                        /* the same where there is no label; both NULL for a NULL io */
    size_t depth;
    size_t parent, number;                              /* the showing function's; 0: the root has no parent */
    bool   shared;                                      /* may be mentioned elsewhere */
    bool   exposed;                                     /* it, or what it stands in, has other owners */
};

struct parent { const coir_io *node; size_t depth, number, next; bool exposed; };
struct walk { struct place at; struct parent *stack; size_t count, capacity; };

enum walked { WALK_AT, WALK_END, WALK_NO_MEMORY };

/* ----------------------------------------------------------------------------------------------------------- one node */

static bool has_other_owners(const coir_io *node)
{
    if (node->flags & NODE_STATIC)                      /* a constant: nobody minds that it is everywhere */
        return false;
    return (load_acquire(&node->refs) & ~NODE_TAKEN) > 1;       /* as in coir__node_sole(): who gave it up has done with it */
}

static size_t child_count(const coir_io *node)
{
    switch (coir__ops[node->op].children) {
    case CHILDREN_ONE:
        return 1;
    case CHILDREN_TWO:
        return 2;
    case CHILDREN_MANY:
        return node->many.count;
    case CHILDREN_NONE:
        break;
    }
    return 0;
}

static const coir_io *child_at(const coir_io *node, size_t index)
{
    if (coir__ops[node->op].children == CHILDREN_MANY)
        return node->items[index];
    return index == 0 ? node->child : node->second;
}

/* As the user called it. */
static const char *name_of(const coir_io *node)
{
    static const char *const results[] = { "from_result", "fail", "panic", "canceled" };
    if (node->op == OP_RESULT)
        return results[node->failure.tag];
    if (node->op == OP_RETRY)
        return coir__retry_name(node);
    if (node->op == OP_HOLD)
        return node->prim->holds;
    if (node->op == OP_MACHINE)
        return node->machine->name;
    return node->op == OP_PRIM ? node->prim->name : coir__ops[node->op].name;
}

static const coir_value *value_of(const coir_io *node)
{
    switch (coir__ops[node->op].value) {
    case VALUE_HEAD:
        return &node->value;
    case VALUE_STATE:
        return &node->state;
    case VALUE_NONE:
        break;
    }
    return NULL;
}

/* Whether the value is there, and stays while we look: a plain one does, whatever is taken with it. relaxed: under several owners we do not look at what
 * can be taken anyway. */
static bool can_look_at(const struct place *at, const coir_value *value)
{
    if (value == NULL || value->type == NULL)
        return value != NULL;
    if (load_relaxed(&at->node->refs) & NODE_TAKEN)
        return false;
    return !(at->exposed && at->node->flags & NODE_SOLE);
}

/* ----------------------------------------------------------------------------------------------------------- the walk */

static struct place place_of(const coir_io *io, size_t depth, size_t parent, bool exposed)
{
    struct place at = { .node = io, .named = io, .depth = depth, .parent = parent, .exposed = exposed };
    for (;;) {
        at.shared = at.shared || has_other_owners(at.node);
        if (at.node->op != OP_NAMED)
            break;
        at.node = at.node->child;
    }
    at.exposed = at.exposed || at.shared;
    return at;
}

static struct walk walk_from(const coir_io *io)
{
    return (struct walk){ .at = place_of(io, 0, 0, false) };
}

static void walk_done(struct walk *walk)
{
    if (walk->stack != NULL)
        coir__free(walk->stack, walk->capacity * sizeof *walk->stack);
}

static bool walk_has_room(struct walk *walk)
{
    if (walk->count < walk->capacity)
        return true;
    size_t capacity = walk->capacity == 0 ? 8 : walk->capacity * 2;
    struct parent *stack = coir__alloc(capacity * sizeof *stack);
    if (stack == NULL)
        return false;
    if (walk->count > 0)
        memcpy(stack, walk->stack, walk->count * sizeof *stack);
    walk_done(walk);
    walk->stack = stack;
    walk->capacity = capacity;
    return true;
}

/* Goes on: into the children of where it stands, or past them. */
static enum walked walk_next(struct walk *walk, bool into)
{
    struct place at = walk->at;
    if (into && child_count(at.node) > 0) {
        if (!walk_has_room(walk))
            return WALK_NO_MEMORY;
        walk->stack[walk->count++] = (struct parent){ at.node, at.depth, at.number, 0, at.exposed };
    }
    if (walk->count == 0)
        return WALK_END;
    struct parent *parent = &walk->stack[walk->count - 1];
    const coir_io *child = child_at(parent->node, parent->next++);
    if (parent->next == child_count(parent->node))
        walk->count--;                                  /* still there to be read, just below */
    walk->at = place_of(child, parent->depth + 1, parent->number, parent->exposed);
    return WALK_AT;
}

bool coir_io_visit(const coir_io *io, bool (*visit)(void *env, const coir_io_view *view), void *env)
{
    if (io == NULL || visit == NULL)
        return io == NULL;                              /* of nothing, all has been visited */
    struct walk walk = walk_from(io);
    enum walked walked;
    bool wanted;
    do {
        const struct place *at = &walk.at;
        const coir_value *value = value_of(at->node);
        coir_io_view view = {
            .name = name_of(at->node),
            .label = at->named->op == OP_NAMED ? coir_text(&at->named->state) : NULL,
            .value = can_look_at(at, value) ? value : NULL,
            .children = child_count(at->node),
            .depth = at->depth
        };
        wanted = visit(env, &view);
        walked = wanted ? walk_next(&walk, true) : WALK_END;
    } while (walked == WALK_AT);
    walk_done(&walk);
    return wanted && walked == WALK_END;
}

/* ------------------------------------------------------------------------------------------- which nodes were shown */

/* Shared nodes and their numbers: open addressing, at most half full. */
struct known { const coir_io *node; size_t number; };
struct shown { struct known *slots; size_t count, capacity; };

static void shown_done(struct shown *shown)
{
    if (shown->slots != NULL)
        coir__free(shown->slots, shown->capacity * sizeof *shown->slots);
}

static struct known *slot_of(const struct shown *shown, const coir_io *node)
{
    uint64_t hash = (uint64_t)(uintptr_t)node * UINT64_C(0x9e3779b97f4a7c15);
    size_t index = (size_t)(hash >> 32) & (shown->capacity - 1);
    while (shown->slots[index].node != NULL && shown->slots[index].node != node)
        index = (index + 1) & (shown->capacity - 1);
    return &shown->slots[index];
}

static bool shown_has_room(struct shown *shown)
{
    if (shown->count < shown->capacity / 2)
        return true;
    struct shown more = { .count = shown->count, .capacity = shown->capacity == 0 ? 16 : shown->capacity * 2 };
    more.slots = coir__alloc(more.capacity * sizeof *more.slots);
    if (more.slots == NULL)
        return false;
    memset(more.slots, 0, more.capacity * sizeof *more.slots);
    for (size_t i = 0; i < shown->capacity; i++)
        if (shown->slots[i].node != NULL)
            *slot_of(&more, shown->slots[i].node) = shown->slots[i];
    shown_done(shown);
    *shown = more;
    return true;
}

/* The slot of a shared node: its number is 0 at the first mention. NULL without memory. */
static struct known *shown_find(struct shown *shown, const coir_io *node)
{
    if (!shown_has_room(shown))
        return NULL;
    struct known *known = slot_of(shown, node);
    if (known->node == NULL) {
        known->node = node;
        shown->count++;
    }
    return known;
}

/* -------------------------------------------------------------------------------------------------------- the wording */

enum { TEXT_MAX = 160, LABELS_MAX = 3, INDENT_MAX = 24 };

static void print_value(const void *value, FILE *out)       { coir_value_print(value, out); }
static void print_schedule(const void *schedule, FILE *out) { coir__parts_print(schedule, out); }

/* One line, whatever print() of a value's type makes of it, and not a long one. In a graph what stands between quotes is quoted. */
static void put_line(void (*print)(const void *what, FILE *out), const void *what, bool quoted, FILE *out)
{
    char text[TEXT_MAX + 4] = "";
    FILE *line = fmemopen(text, TEXT_MAX + 3, "w");     /* the last byte but one may be lost to a NUL: then it is cut anyway */
    if (line == NULL) {
        fputs("(no memory to show it)", out);
        return;
    }
    print(what, line);
    fclose(line);
    bool cut = strlen(text) > TEXT_MAX;
    if (cut) {
        size_t end = TEXT_MAX;
        while (end > 0 && (text[end] & 0xc0) == 0x80)   /* not in the midst of a character */
            end--;
        text[end] = '\0';
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (quoted && (*c == '"' || *c == '\\'))
            fputc('\\', out);
        fputc((unsigned char)*c < ' ' ? ' ' : *c, out);
    }
    if (cut)
        fputs("...", out);
}

static void put_labels(const struct place *at, bool quoted, FILE *out)
{
    const char *quote = quoted ? "\\\"" : "\"";
    int count = 0;
    for (const coir_io *named = at->named; named != at->node; named = named->child) {
        if (count++ == LABELS_MAX) {
            fputs("... ", out);
            break;
        }
        fputs(quote, out);
        for (const char *c = coir_text(&named->state); *c != '\0'; c++) {
            if (*c == '"' || *c == '\\')
                fputs(quoted ? "\\\\\\" : "\\", out);
            fputc((unsigned char)*c < ' ' ? ' ' : *c, out);
        }
        fprintf(out, "%s ", quote);
    }
}

static void put_instruction(const struct place *at, bool quoted, FILE *out)
{
    const coir_io *node = at->node;
    const coir_value *value = value_of(node);
    put_labels(at, quoted, out);
    fputs(name_of(node), out);
    if (can_look_at(at, value)) {
        fputc(' ', out);
        put_line(print_value, value, quoted, out);
    } else if (value != NULL) {
        fprintf(out, " %s", value->type->name != NULL ? value->type->name : "?");
    }
    switch (node->op) {
    case OP_REPEAT:
        fprintf(out, " %" PRIu64 " times", node->times);
        break;
    case OP_TRAVERSE:
        fprintf(out, " %zu", node->gather.count);
        break;
    case OP_RETRY:
        fputc(' ', out);
        put_line(print_schedule, node->schedule, quoted, out);
        break;
    case OP_CATCH_CODE:
        fprintf(out, " %d", node->match.code);
        break;
    case OP_RESULT:
        if (node->failure.also != NULL)
            fputs(", and further failures", out);
        break;
    }
}

void coir__io_print_brief(const coir_io *io, FILE *out)
{
    struct place at = place_of(io, 0, 0, false);
    fputs("io ", out);
    put_labels(&at, false, out);
    fputs(name_of(at.node), out);
}

static const char no_memory[] = "no memory to show more";

/* ------------------------------------------------------------------------------------------------------- as text */

/* Very deep lines say how deep they are: to indent them all would take the square of the depth. */
static void put_indent(size_t depth, FILE *out)
{
    for (size_t i = 0; i < depth && i < INDENT_MAX; i++)
        fputs("  ", out);
    if (depth > INDENT_MAX)
        fprintf(out, "(%zu) ", depth);
}

static void print_place(const struct place *at, bool again, FILE *out)
{
    put_indent(at->depth, out);
    if (again) {
        put_labels(at, false, out);
        fprintf(out, "#%zu\n", at->number);
        return;
    }
    put_instruction(at, false, out);
    if (at->shared)
        fprintf(out, "  #%zu", at->number);
    fputc('\n', out);
}

void coir_io_print(const coir_io *io, FILE *out, size_t nodes_max)
{
    if (io == NULL) {
        fputs("NULL\n", out);
        return;
    }
    struct walk walk = walk_from(io);
    struct shown shown = { .slots = NULL };
    enum walked walked = WALK_AT;
    for (size_t lines = 0; walked == WALK_AT; lines++) {
        if (nodes_max > 0 && lines == nodes_max) {
            put_indent(walk.at.depth, out);
            fprintf(out, "... more than %zu instructions\n", nodes_max);
            break;
        }
        bool again = false;
        if (walk.at.shared) {
            struct known *known = shown_find(&shown, walk.at.node);
            if (known == NULL) {
                walked = WALK_NO_MEMORY;
                break;
            }
            again = known->number != 0;
            if (!again)
                known->number = shown.count;
            walk.at.number = known->number;
        }
        print_place(&walk.at, again, out);
        walked = walk_next(&walk, !again);
    }
    if (walked == WALK_NO_MEMORY)
        fprintf(out, "... %s\n", no_memory);
    shown_done(&shown);
    walk_done(&walk);
}

/* ----------------------------------------------------------------------------------------------------- as a graph */

/* The label of an edge is what names the node at its end when it was shown already. */
static void dot_edge(const struct place *at, bool again, FILE *out)
{
    if (at->parent == 0)
        return;
    fprintf(out, "    n%zu -> n%zu", at->parent, at->number);
    if (again && at->named != at->node) {
        fputs(" [label=\"", out);
        put_labels(at, true, out);
        fputs("\"]", out);
    }
    fputs(";\n", out);
}

static void dot_node(const struct place *at, FILE *out)
{
    fprintf(out, "    n%zu [label=\"", at->number);
    put_instruction(at, true, out);
    fputs(at->shared ? "\", style=bold];\n" : "\"];\n", out);
}

/* Why the graph ends before its end, as a node of its own. */
static void dot_rest(const struct place *at, const char *why, FILE *out)
{
    fprintf(out, "    rest [label=\"%s\", shape=plaintext];\n", why);
    if (at->parent != 0)
        fprintf(out, "    n%zu -> rest [style=dotted];\n", at->parent);
}

void coir_io_dot(const coir_io *io, FILE *out, size_t nodes_max)
{
    fputs("digraph io {\n    graph [ordering=out];\n    node [shape=box];\n", out);
    if (io == NULL) {
        fputs("    n1 [label=\"NULL\"];\n}\n", out);
        return;
    }
    struct walk walk = walk_from(io);
    struct shown shown = { .slots = NULL };
    enum walked walked = WALK_AT;
    size_t nodes = 0;
    while (walked == WALK_AT) {
        struct known *known = walk.at.shared ? shown_find(&shown, walk.at.node) : NULL;
        if (walk.at.shared && known == NULL) {
            walked = WALK_NO_MEMORY;
            break;
        }
        bool again = known != NULL && known->number != 0;
        if (!again && nodes_max > 0 && nodes == nodes_max) {
            dot_rest(&walk.at, "...", out);
            break;
        }
        walk.at.number = again ? known->number : ++nodes;
        if (known != NULL)
            known->number = walk.at.number;
        if (!again)
            dot_node(&walk.at, out);
        dot_edge(&walk.at, again, out);
        walked = walk_next(&walk, !again);
    }
    if (walked == WALK_NO_MEMORY)
        dot_rest(&walk.at, no_memory, out);
    fputs("}\n", out);
    shown_done(&shown);
    walk_done(&walk);
}
