/*
 * program.c - random programs are drawn: arenas, texts, choices, terms, and what may stand where
 */
#include "random/program.h"

#include <coir.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------- memory */

enum { BLOCK_SIZE = 16 << 10 };
struct block { struct block *next; size_t used, size; max_align_t bytes[]; };

void *random_alloc(struct arena *arena, size_t size)
{
    struct block *block = arena->blocks;
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (block == NULL || block->size - block->used < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        block = calloc(1, sizeof *block + room);
        if (block == NULL)
            abort();
        block->next = arena->blocks;
        block->size = room;
        arena->blocks = block;
    }
    void *memory = (char *)block->bytes + block->used;
    block->used += size;
    return memory;
}

void random_free_all(struct arena *arena)
{
    for (struct block *next, *block = arena->blocks; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    arena->blocks = NULL;
}

void random_add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (text->room - text->size < (size_t)size + 1) {
        text->room = (text->size + (size_t)size + 1) * 2;
        text->chars = realloc(text->chars, text->room);
        if (text->chars == NULL)
            abort();
    }
    va_start(arguments, format);
    vsnprintf(text->chars + text->size, text->room - text->size, format, arguments);
    va_end(arguments);
    text->size += (size_t)size;
}

/* -------------------------------------------------------------------------------------------------------------- draws */

struct source random_from_seed(uint64_t seed) { return (struct source){ NULL, 0, seed * UINT64_C(0x9e3779b97f4a7c15) + 1 }; }
struct source random_from_bytes(const uint8_t *bytes, size_t size) { return (struct source){ bytes, size, 0 }; }

uint8_t random_byte(struct source *source)
{
    if (source->state == 0) {
        if (source->left == 0)
            return 0;
        source->left--;
        return *source->bytes++;
    }
    source->state += UINT64_C(0x9e3779b97f4a7c15) * 2;  /* even, and the state is odd: it never is 0 */
    uint64_t z = source->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint8_t)(z >> 40);
}

unsigned random_draw(struct source *source, unsigned limit)
{
    unsigned drawn = random_byte(source);
    if (limit > 256)
        drawn = drawn << 8 | random_byte(source);
    return drawn % limit;
}

/* --------------------------------------------------------------------------------------------------- what there is to draw */

/* clang-format off */
static const char *const plain_names[]    = { "" };
static const char *const tag_names[]      = { "ok", "error", "panic", "canceled" };
static const char *const bad_names[]      = { "no function", "too many bytes", "NULL", "panic value" };
static const char *const defer_names[]    = { "ok", "error", "panic", "canceled", "panic value" };
static const char *const again_names[]    = { "int", "thing", "sole thing" };
static const char *const sleep_names[]    = { "some", "none", "until the past" };
static const char *const async_names[]    = { "ok", "error", "panic", "panic value", "resumed twice", "dropped", "resumed, dropped",
                                              "from afar", "from afar, twice" };
static const char *const map_names[]      = { "take", "give the same", "bear a thing", "bear a sole thing", "its number", "a string",
                                              "list it", "first item", "push", "panic value", "drop, panic value" };
static const char *const flatten_names[]  = { "an io", "its value" };
static const char *const context_names[]  = { "next number", "share", "bear", "panic value" };
static const char *const rec_names[]      = { "then itself", "and keep", "finally itself" };
static const char *const suspend_names[]  = { "body", "NULL", "ready body" };
static const char *const use_names[]      = { "leave", "drop", "give", "fail with it", "panic with it", "as", "keep", "pair", "finally it",
                                              "keep share", "as context", "as key", "call", "owned by body", "second item", "unbox",
                                              "NULL", "drop, NULL", "ready body" };
static const char *const retry_names[]    = { "after errors", "after values", "after either" };
static const char *const limit_names[]    = { "never", "late", "soon", "at once" };
static const char *const stall_names[]    = { "looking", "never", "asleep", "permits", "callback, value", "callback, error", "callback, panic" };
static const char *const bracket_names[]  = { "bodies", "use gives NULL", "release gives NULL", "release drops it" };
static const char *const using_names[]    = { "use", "with", "use gives NULL" };
static const char *const release_names[]  = { "body", "unit", "drop", "NULL" };
static const char *const drops_names[]    = { "drops", "lift" };
static const char *const make_names[]     = { "body", "drop", "NULL" };
static const char *const held_names[]     = { "its number", "bear a thing", "share", "panic value" };
static const char *const hunt_names[]     = { "when it waits for that", "at once", "when it has ended" };
static const char *const group_names[]    = { "race", "race_ok", "par_zip", "both", "par_zip_all" };
static const char *const items_names[]    = { "values", "NULL", "boxes", "boxes, NULL" };
static const char *const nursery_names[]  = { "scope", "supervise", "drain at once", "drain soon", "drain late" };
static const char *const twice_names[]    = { "attempt, then again", "zip", "or else", "finally" };
static const char *const redeem_names[]   = { "leave", "give", "box", "take the value", "NULL", "drop, NULL", "ready body" };
static const char *const final_names[]    = { "body", "unit", "NULL", "ready body" };
static const char *const routine_names[]  = { "return last", "fall through", "raise", "become", "return held", "await NULL" };
static const char *const hold_names[]     = { "with", "acquire, release" };
static const char *const wrong_names[]    = { "too many", "a negative number", "none", "give back too many" };
static const char *const fork_names[]     = { "the handle", "join", "wait", "detached" };
static const char *const wait_names[]     = { "join", "all", "any" };
static const char *const parallel_names[] = { "attempt each", "zip", "the last", "the handles" };
/* clang-format on */

#define LIST(names) { sizeof(names) / sizeof *(names), names }
const struct ways_facts random_ways[WAYS] = {
    [WAYS_PLAIN] = LIST(plain_names),       [WAYS_TAGS] = LIST(tag_names),         [WAYS_BAD] = LIST(bad_names),
    [WAYS_DEFER] = LIST(defer_names),       [WAYS_AGAIN] = LIST(again_names),      [WAYS_SLEEP] = LIST(sleep_names),
    [WAYS_ASYNC] = LIST(async_names),       [WAYS_MAP] = LIST(map_names),          [WAYS_FLATTEN] = LIST(flatten_names),
    [WAYS_CONTEXT] = LIST(context_names),   [WAYS_REC] = LIST(rec_names),          [WAYS_SUSPEND] = LIST(suspend_names),
    [WAYS_USE] = LIST(use_names),           [WAYS_TWICE] = LIST(twice_names),      [WAYS_REDEEM] = LIST(redeem_names),
    [WAYS_FINAL] = LIST(final_names),       [WAYS_ROUTINE] = LIST(routine_names),  [WAYS_HOLD] = LIST(hold_names),
    [WAYS_WRONG] = LIST(wrong_names),       [WAYS_FORK] = LIST(fork_names),        [WAYS_PARALLEL] = LIST(parallel_names),
    [WAYS_WAIT] = LIST(wait_names),         [WAYS_RETRY] = LIST(retry_names),      [WAYS_LIMIT] = LIST(limit_names),
    [WAYS_STALL] = LIST(stall_names),       [WAYS_BRACKET] = LIST(bracket_names),  [WAYS_USING] = LIST(using_names),
    [WAYS_RELEASE] = LIST(release_names),   [WAYS_DROPS] = LIST(drops_names),      [WAYS_MAKE] = LIST(make_names),
    [WAYS_HELD] = LIST(held_names),         [WAYS_HUNT] = LIST(hunt_names),        [WAYS_GROUP] = LIST(group_names),
    [WAYS_ITEMS] = LIST(items_names),       [WAYS_NURSERY] = LIST(nursery_names),
};

enum value { VALUE_NONE, VALUE_CARRIES, VALUE_BEARS };
const struct op_facts random_ops[OPS] = {
#define OP(name, shown, kids, bodies, ways, value, weight, where) \
    [OP_##name] = { shown, kids, bodies, WAYS_##ways, VALUE_##value == VALUE_CARRIES, VALUE_##value == VALUE_BEARS },
#include "random/ops.h"
#undef OP
};

enum where { EVERYWHERE, ALONE, BESIDE, UNHELD, FIRST, CALLED_OFF, RESOURCE, CALM };
static const struct { unsigned weight; enum where where; } odds[OPS] = {
#define OP(name, shown, kids, bodies, ways, value, weight, where) [OP_##name] = { weight, where },
#include "random/ops.h"
#undef OP
};

bool random_is_ready(const struct term *term)
{
    switch (random_ops[term->op].ways) {
    case WAYS_USE:     return term->how == USE_READY;
    case WAYS_REDEEM:  return term->how == REDEEM_READY;
    case WAYS_FINAL:   return term->how == FINAL_READY;
    case WAYS_SUSPEND: return term->how == SUSPEND_READY;
    case WAYS_USING:   return term->how == USING_WITH;
    default:           return false;
    }
}

bool random_is_resource(enum op op) { return odds[op].where == RESOURCE; }

bool random_takes_resource(const struct term *term, size_t i)
{
    switch (term->op) {
    case OP_ROUTINE: return i == 1 && random_holds(term);
    case OP_USE: case OP_HELD_FINALLY:
        return i == 0;
    case OP_NEW: case OP_DROPS:
        return false;
    default:         return random_is_resource(term->op);
    }
}

bool random_is_sure(const struct term *term)
{
    bool is_made_sure = (term->which & 1) != 0;
    if (term->op == OP_GROUP)
        return term->how == GROUP_RACE || is_made_sure;
    return term->how == NURSERY_AT_ONCE || term->how == NURSERY_SOON || is_made_sure;
}

bool random_is_hunted(const struct program *program, const struct term *term, size_t i)
{
    if (!program->is_calm)
        return false;
    if (term->op == OP_HUNT)
        return term->how != HUNT_ENDED;
    return (term->op == OP_GROUP || term->op == OP_NURSERY) && i > 0 && random_is_sure(term);
}

bool random_is_masked(const struct term *term, size_t i)
{
    if (random_is_resource(term->op) || random_takes_resource(term, i))
        return true;
    switch (term->op) {
    case OP_UNCANCELABLE: return true;
    case OP_LET:          return i == 0;                /* its io runs who knows where */
    case OP_REC:          return term->how == REC_FINALLY;
    case OP_TWICE:        return term->how == TWICE_FINALLY;
    case OP_FINALLY: case OP_ON_CANCEL: case OP_FINALLY_FN: case OP_ON_FAILURE:
        return i == 1;
    case OP_ROUTINE:      return i == 3;
    case OP_BRACKET:      return i != 1;
    default:              return false;
    }
}

/* -------------------------------------------------------------------------------------------------------------- drawing */

/*
 * What may be drawn at a place.
 *   slots    how many slots of values, and of variables, are in use further out
 *   held     the highest object that is held here, by this fiber or one that waits for it; -1: none. Only higher ones are taken, so
 *            nobody ever waits in a ring
 *   is_own   this fiber holds it: a lock may be taken again
 *   floors   what `held` may be at most where a variable is run
 *   is_child not the main fiber: who is given a result that cannot be shared would depend on who asks first
 *   is_crowd several fibers run this very io: what cannot be shared would go to the quickest of them
 *   is_exposed a cancellation may come at any instruction: so nothing is acquired bare
 *   is_due   a time-out around it, in its fiber, fires sooner or later
 *   is_hunted somebody will call its fiber off, if it waits for that. Not where something is held, for which the one who will may have to wait
 *   is_resource a resource is wanted
 */
struct place {
    int  slots, variables, held;
    int  floors[SLOTS];
    bool is_own, in_iterate, is_child, is_crowd, is_exposed, is_due, is_hunted, is_resource;
    int  depth;
};

struct drawing {
    struct source   source;
    struct program *program;
    int             left;                               /* how many terms may still be drawn */
    int             terms;
};

enum { DEPTH_MAX = 14 };

static unsigned draw(struct drawing *drawing, unsigned limit) { return random_draw(&drawing->source, limit); }

static struct plan draw_plan(struct drawing *drawing, bool is_crowd)
{
    static const enum kind kinds[] = { KIND_NONE, KIND_INT, KIND_INT, KIND_INT, KIND_THING, KIND_THING, KIND_THING, KIND_SOLE, KIND_SOLE,
                                       KIND_STRING, KIND_ERROR, KIND_BECAUSE, KIND_INTS, KIND_THINGS, KIND_SOLES, KIND_BOX, KIND_BAD_BOX };
    struct plan plan = { kinds[draw(drawing, sizeof kinds / sizeof kinds[0])], (int)draw(drawing, 6) };
    if (is_crowd && (plan.kind == KIND_SOLE || plan.kind == KIND_SOLES))
        plan.kind = KIND_THING;
    return plan;
}

static bool may_stand(const struct drawing *drawing, const struct place *place, enum op op)
{
    bool is_leaf = random_ops[op].kids == 0;
    if (random_is_resource(op) ? !place->is_resource : place->is_resource && !is_leaf)
        return false;
    if (!is_leaf && (drawing->left <= 0 || place->depth >= DEPTH_MAX))
        return false;
    switch (op) {
    case OP_VAR:   return place->variables > 0;
    case OP_LOOK:  return place->slots > 0;
    case OP_AGAIN: return place->in_iterate;
    case OP_LET:   return place->variables < SLOTS;
    case OP_NEVER: case OP_WAIT_SELF:
        if (drawing->program->is_calm)
            return false;
        break;
    case OP_HOLD: case OP_HELD_OBJECT:
        return drawing->program->is_alone || place->held < OBJECTS - 1 || (place->is_own && is_lock((unsigned)place->held));
    default:       break;
    }
    switch (odds[op].where) {
    case ALONE:  return drawing->program->is_alone;
    case BESIDE: return !drawing->program->is_alone;
    case UNHELD: return place->held < 0;
    case FIRST:  return place->held < 0 && !place->is_child;
    case CALLED_OFF: return place->is_due || (place->is_hunted && place->held < 0);
    case CALM:   return drawing->program->is_calm;
    default:     return true;
    }
}

/* Near the root no leaves, as long as there may be more. */
static unsigned weight_of(const struct drawing *drawing, const struct place *place, enum op op)
{
    bool may_grow = drawing->left > 0 && place->depth < DEPTH_MAX;
    if (!may_stand(drawing, place, op))
        return 0;
    if (random_ops[op].kids > 0)
        return odds[op].weight * 2;
    if (place->is_resource)
        return may_grow ? odds[op].weight / 8 : odds[op].weight;        /* what is lifted */
    return may_grow && place->depth < 3 && op != OP_STALL ? 0 : odds[op].weight;
}

static enum op draw_op(struct drawing *drawing, const struct place *place)
{
    unsigned weights[OPS], total = 0;
    for (enum op op = 0; op < OPS; op++)
        total += weights[op] = weight_of(drawing, place, op);
    unsigned drawn = draw(drawing, total);
    for (enum op op = 0; op < OPS; drawn -= weights[op++])
        if (drawn < weights[op])
            return op;
    return OP_UNIT;
}

static struct term *draw_term(struct drawing *drawing, const struct place *place);

/* An object above those that are held, or the held lock once more. Alone anything goes: who waits for itself is told so. */
static unsigned draw_object(struct drawing *drawing, const struct place *place)
{
    if (drawing->program->is_alone)
        return draw(drawing, OBJECTS);
    unsigned first = (unsigned)(place->held + 1);
    bool may_again = place->is_own && place->held >= 0 && is_lock((unsigned)place->held);
    if (may_again && (first == OBJECTS || draw(drawing, 2) == 1))
        return (unsigned)place->held;
    return first + draw(drawing, OBJECTS - first);
}

static void draw_variable(struct drawing *drawing, const struct place *place, struct term *term)
{
    term->which = draw(drawing, (unsigned)place->variables);
    if (place->held > place->floors[term->which])
        term->op = OP_UNIT;
}

/* A timer that is armed keeps every verdict away. */
static void draw_limit(const struct drawing *drawing, struct term *term)
{
    if (term->how == LIMIT_LONG && !drawing->program->is_calm)
        term->how = LIMIT_NONE;
}

/* At least the io around which it stands. */
static void draw_nursery(struct drawing *drawing, struct term *term)
{
    term->which = draw(drawing, 2);
    term->count = 1 + draw(drawing, TERM_KIDS);
    if (term->how == NURSERY_LATE && !drawing->program->is_calm)
        term->how = NURSERY_AT_ONCE;
}

static void draw_looks(struct drawing *drawing, struct term *term)
{
    term->looks_count = (uint8_t)(1 + draw(drawing, 3));
    for (size_t i = 0; i < term->looks_count; i++)
        term->looks[i] = (struct look_at){ (uint8_t)draw(drawing, LOOKS), (uint8_t)draw(drawing, TERM_KIDS) };
}

/* The highest object that a resource may hold; -1: none. */
static int held_by(const struct term *term)
{
    int held = term->op == OP_HELD_OBJECT ? (int)term->which : -1;
    for (size_t i = 0; i < term->count; i++) {
        int inside = held_by(term->kids[i]);
        held = inside > held ? inside : held;
    }
    return held;
}

/* What stands behind a resource runs while that is held. */
static void note_held(const struct term *term, size_t i, struct place *kid)
{
    for (size_t before = 0; before < i; before++) {
        int held = random_takes_resource(term, before) && term->op != OP_HELD_FINALLY ? held_by(term->kids[before]) : -1;
        kid->is_own |= held > kid->held;
        kid->held = held > kid->held ? held : kid->held;
    }
}

/* Where kid i of the term stands. */
static struct place place_of_kid(struct drawing *drawing, const struct place *place, struct term *term, size_t i)
{
    struct place kid = *place;
    kid.depth++;
    if (is_body(term, i) && !random_is_ready(term) && term->slot >= 0)
        kid.slots = term->slot + 1;
    kid.is_resource = random_takes_resource(term, i);
    note_held(term, i, &kid);
    switch (term->op) {
    case OP_ITERATE:
        kid.in_iterate = term->how != USE_READY;
        break;
    case OP_LET:
        kid.is_exposed |= i == 0;
        if (i == 0) {                                   /* it may run wherever no more than that is held */
            kid.held = place->held + (int)draw(drawing, (unsigned)(OBJECTS - place->held));
            kid.is_own &= kid.held == place->held;
            term->times = (unsigned)(kid.held + 1);
        } else {
            kid.floors[kid.variables++] = (int)term->times - 1;
        }
        break;
    case OP_HOLD: case OP_HELD_OBJECT:
        kid.held = (int)term->which > kid.held ? (int)term->which : kid.held;
        kid.is_own = true;
        break;
    case OP_TIMEOUT: case OP_TIMEOUT_TO:
        kid.is_due |= random_is_due(term, i);
        kid.is_exposed |= random_is_due(term, i);
        break;
    case OP_NURSERY:
        kid.is_exposed = true;
        if (i == 0)
            break;
        /* fallthrough */
    case OP_ALIKE: case OP_FORK: case OP_PARALLEL: case OP_HUNT: case OP_GROUP: case OP_ITEMS:
        kid.slots = kid.variables = 0;                  /* it may live longer than all that it could refer to */
        kid.in_iterate = kid.is_own = kid.is_due = false;
        kid.is_child = true;
        kid.is_crowd |= term->op == OP_ALIKE;
        kid.is_hunted = random_is_hunted(drawing->program, term, i);
        kid.is_exposed |= term->op == OP_HUNT || term->op == OP_GROUP || term->op == OP_ITEMS;
        break;
    default:
        break;
    }
    return kid;
}

static void draw_kids(struct drawing *drawing, const struct place *place, struct term *term)
{
    for (size_t i = 0; i < term->count; i++) {
        struct place kid = place_of_kid(drawing, place, term, i);
        int left = drawing->left, share = left / (int)(term->count - i);        /* the last is not left with nothing */
        drawing->left = share;
        term->kids[i] = draw_term(drawing, &kid);
        drawing->left += left - share;
    }
}

/* What ends as canceled by itself shows that it was no request: with a value that no request brings. */
static void mark_canceled(struct term *term)
{
    bool is_canceled = random_ops[term->op].ways == WAYS_TAGS ? term->how == COIR_CANCELED : term->how == DEFER_CANCELED;
    if (is_canceled && (term->value.kind == KIND_NONE || term->value.kind == KIND_INT))
        term->value = (struct plan){ KIND_INT, 100 + term->value.number };
}

static struct term *draw_term(struct drawing *drawing, const struct place *place)
{
    struct term *term = random_alloc(&drawing->program->arena, sizeof *term);
    drawing->left--;
    term->op = draw_op(drawing, place);
    term->number = ++drawing->terms;
    term->slot = -1;
    const struct op_facts *facts = &random_ops[term->op];
    if (random_ways[facts->ways].count > 1 && draw(drawing, 3) > 0)             /* the first variant goes well, and on */
        term->how = draw(drawing, random_ways[facts->ways].count);
    if (facts->carries || facts->bears)
        term->value = draw_plan(drawing, place->is_crowd && facts->carries);
    if (random_ops[term->op].ways == WAYS_TAGS || term->op == OP_DEFER)
        mark_canceled(term);
    term->times = draw(drawing, 8);
    term->count = facts->kids == MANY ? draw(drawing, TERM_KIDS) : facts->kids;
    if (facts->bodies > 0 && place->slots < SLOTS)
        term->slot = place->slots;
    switch (term->op) {
    case OP_VAR:      draw_variable(drawing, place, term); break;
    case OP_LOOK:     term->which = draw(drawing, (unsigned)place->slots); break;
    case OP_LET:      term->which = (unsigned)place->variables; break;
    case OP_HOLD:
        term->which = draw_object(drawing, place);
        term->how = place->is_exposed ? HOLD_WITH : term->how;
        break;
    case OP_HELD_OBJECT: term->which = draw_object(drawing, place); break;
    case OP_TIMEOUT: case OP_TIMEOUT_TO: draw_limit(drawing, term); break;
    case OP_TRY: case OP_ASK_WRONG: case OP_ACQUIRE: case OP_RELEASE: case OP_RELEASE_FREE: term->which = draw(drawing, OBJECTS); break;
    case OP_NURSERY:  draw_nursery(drawing, term); break;
    case OP_GROUP:
        term->which = draw(drawing, 4);
        term->count += term->count < TERM_KIDS ? draw(drawing, 2) : 0;
        break;
    case OP_PARALLEL: draw_looks(drawing, term); term->which = draw(drawing, 2); break;
    default:          term->which = draw(drawing, KEYS); break;
    }
    draw_kids(drawing, place, term);
    return term;
}

static uint32_t draw_budget(struct drawing *drawing)
{
    unsigned budget = draw(drawing, 80);
    return budget <= 64 ? budget : budget <= 70 ? UINT32_MAX : 0;       /* COIR_BUDGET_NONE; the default */
}

struct program *random_program(struct source source) { return random_program_of(source, 250); }

struct program *random_program_of(struct source source, unsigned terms)
{
    static const unsigned workers[] = { 1, 2, 1, 4 };
    struct program *program = calloc(1, sizeof *program);
    if (program == NULL)
        abort();
    struct drawing drawing = { .source = source, .program = program };
    struct place outside = { .held = -1 };
    program->how.workers = workers[draw(&drawing, 4)];
    program->how.budget = draw_budget(&drawing);
    program->how.is_simulated = draw(&drawing, 4) < 3;
    program->how.seed = draw(&drawing, 65536);
    program->how.policy = draw(&drawing, 3);
    program->is_alone = draw(&drawing, 5) < 2;
    program->is_calm = draw(&drawing, 2) == 1 && !program->is_alone;
    program->runs_twice = draw(&drawing, 5) == 1;
    program->is_shown = draw(&drawing, 8) == 1;
    program->context = draw_plan(&drawing, false);
    drawing.left = 3 + (int)draw(&drawing, terms);
    program->root = draw_term(&drawing, &outside);
    return program;
}

void random_program_drop(struct program *program)
{
    random_free_all(&program->arena);
    free(program);
}
