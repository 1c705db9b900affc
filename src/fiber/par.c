/*
 * par.c - children that their parent waits for: par.h has the idea
 *
 * Under the group's lock (L), which told() takes inside the lock of the child that has just ended:
 *   1. `left` is the number of children whose end was not noted. Each is noted once; the last note is the last thing that anybody but the parent
 *      does with the group.
 *   2. The parent's wait is claimed only while it says that it waits (`waiting`), and then is the one in this frame.
 *   3. `settled` and what belongs to it (`winner`, `canceled`) are written once: what ends later changes nothing.
 * Everything else is the parent's own, and waits for it to be woken: calling off, gathering, giving back. A child that has ended is left alone until
 * then: its result stands in the fiber.
 *
 * [CHILD]  The accident: a child that is let go is asked by nobody when the run calls the rest off. Who lets it go first says so, then reads
 *   whether the run does; who calls off first says so, then asks whoever is no child. All four are sequentially consistent.
 */
#include "fiber/par.h"

#include "fiber/cancel.h"
#include "fiber/scope.h"
#include "io/env.h"

/* What settles the outcome before all have ended. */
enum until { UNTIL_END, UNTIL_SUCCESS, UNTIL_FAILURE, UNTIL_ALL };

struct kind {
    struct coir__prim prim;
    const char *function;                               /* for messages */
    enum until  until;
    bool        pulls;                                  /* its children are PULLs, which put their values in the list themselves */
    bool        boxes;                                  /* of those: failures too, in a box */
    bool        is_ordered;                             /* failures are gathered in the order of the arguments, not of the ends */
    bool        is_pair;                                /* gives the winner's index, its result, the loser */
    bool        leaves;                                 /* does not wait for the others when it is settled */
    bool        leaves_all;                             /* nor when it is called off itself */
};

struct child {
    struct watched watched;                             /* must be first */
    coir_fiber    *fiber;                               /* the parent's: its handle; NULL: given up */
    struct child  *failed_next;                         /* L: in the order of the ends */
    coir_tag       tag;                                 /* L: as what it ended */
    bool           has_ended;                           /* L */
    bool           is_sole;                             /* L: nobody else had a handle when it ended */
    bool           has_panic;                           /* L */
};

struct group {
    struct watch   watch;
    coir_fiber    *parent;                              /* I */
    coir_io       *source;                              /* I: the node; NULL: its ios have gone to the children */
    bool           owns_source;                         /* I */
    size_t         items_count;                         /* I: of PULLs: how many indices there are */
    size_t         count;                               /* I: of children */
    struct child  *children;                            /* I; NULL: not begun */

    size_t         left;                                /* L */
    bool           waiting;                             /* L: there is a wait to be claimed */
    uint64_t       generation;                          /* L: which */
    bool           called_off;                          /* L: the parent was asked to end before it was settled */
    struct child  *canceled;                            /* L: settled, by this one, which was canceled from outside */
    struct child  *winner;                              /* L: settled, by this one's end or success */
    struct child  *failed_first, *failed_last;          /* L */
    _Atomic bool   settled;                             /* A, written under L: coir__cancel_poke() reads it */
    _Atomic size_t running;                             /* A, written under L: no child from this one on has not ended. For verdicts */
    bool           asked;                               /* the parent's: it has asked the others to end */
    bool           is_cut_short;                        /* the parent's: it was asked to end before the last item was begun */

    coir_value     list;                                /* the parent's: what it will give, with room, or of PULLs with places */
    coir_value     items;                               /* of PAR_EACH: each is taken by the child that has its index */
    coir_value    *places;                              /* I: of PULLs: those of the list, each for the child that has its index */
    _Atomic bool   is_typed, is_unsharable;             /* A: a value in the list has a type, or cannot be shared */
    char           apart[CACHE_LINE];
    _Atomic size_t next;                                /* A: of PULLs: the next index. On a line of its own: all of them write it */
    char           apart_too[CACHE_LINE];
};

enum { GROUP_AT = NODE_SIZE_OF(prim_own), GROUP_SIZE = GROUP_AT + sizeof(struct group) };

static struct group *group_of(const coir_io *frame) { return (struct group *)(void *)((char *)(uintptr_t)frame + GROUP_AT); }
static const struct kind *kind_of(const struct group *group)
{
    const coir_io *frame = (const coir_io *)(const void *)((const char *)group - GROUP_AT);
    return (const struct kind *)frame->prim;            /* its first member */
}

/* ------------------------------------------------------------------------------------------------------------ pulling */

/* The value of one item in its place in the list. */
static void place(struct group *group, size_t index, coir_value value)
{
    if (unlikely(value.type != NULL)) {
        if (!load_relaxed(&group->is_typed))            /* relaxed: the parent reads them when the child's end has been noted */
            store_relaxed(&group->is_typed, true);
        if (!load_relaxed(&group->is_unsharable) && !coir_can_share(&value))
            store_relaxed(&group->is_unsharable, true);
    }
    group->places[index] = value;
}

bool coir__pulled(coir_io *frame, coir_result *result)
{
    struct group *group = frame->object;
    coir_drop(coir_take(&frame->state));
    if (unlikely(kind_of(group)->boxes) && result->tag != COIR_CANCELED) {
        coir__set_ok(result, coir_box(*result));
        coir__check(result);
    }
    if (unlikely(result->tag != COIR_OK))
        return false;
    place(group, frame->index, result->value);
    return true;
}

/* The io of the item that frame is at. NULL: *result says why not. */
static coir_io *item_io(const coir_fiber *fiber, struct group *group, coir_io *frame, coir_result *result)
{
    const coir_io *source = group->source;
    coir_io *io;
    ENV_LOCAL;
    if (source->op == OP_PAR_EACH) {
        frame->state = coir_list_take(&group->items, frame->index);
        if (unlikely(coir__is_panic_value(&frame->state))) {
            *result = coir__panic_of(coir_take(&frame->state));
            return NULL;
        }
        io = source->flat_map(ENV_OF(source), &frame->state);
    } else {
        io = source->indexed(ENV_OF(source), frame->index);
    }
    ENV_BACK();
    if (unlikely(io == NULL))
        *result = coir__gave_null(fiber, kind_of(group)->function);
    return io;
}

coir_io *coir__pull(const coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct group *group = frame->object;
    coir_io *io;
    do {
        frame->index = fetch_add_relaxed(&group->next, (size_t)1);      /* relaxed: what it hands out was there before the child was */
        coir__set_ok(result, coir_none());
        if (unlikely(frame->index >= group->items_count))
            return NULL;
        io = item_io(fiber, group, frame, result);
    } while (unlikely(io == NULL) && coir__pulled(frame, result));
    return io;
}

static coir_io *pull_node(struct group *group)
{
    coir_io *node = coir__node_new(OP_PULL, NODE_SIZE_OF(state));
    if (node == NULL)
        return NULL;
    node->child = NULL;
    node->object = group;
    node->state = coir_none();
    return node;
}

/* --------------------------------------------------------------------------------------------------- a child has ended */

static void note_failure(struct group *group, struct child *child)
{
    *(group->failed_first == NULL ? &group->failed_first : &group->failed_last->failed_next) = child;
    group->failed_last = child;
}

/* Whether its end settles the outcome. After the parent was asked to end only a success does: a failure is the answer to that. */
static bool settles(struct group *group, struct child *child, coir_tag tag)
{
    const struct kind *kind = kind_of(group);
    bool open = !group->called_off;
    if (load_relaxed(&group->settled))
        return false;
    if (tag == COIR_OK && kind->until <= UNTIL_SUCCESS)
        group->winner = child;
    else if (tag == COIR_CANCELED && open && !kind->is_pair)
        group->canceled = child;
    else if (tag != COIR_OK && open && kind->until == UNTIL_END)
        group->winner = child;
    else
        return tag != COIR_OK && open && kind->until == UNTIL_FAILURE;
    return true;
}

/* The last child that has not ended may be another one now: who looks for rings is told. */
static void note_running(struct group *group)
{
    size_t before = load_relaxed(&group->running), running = before;
    while (running > 0 && group->children[running - 1].has_ended)
        running--;
    if (running == before)
        return;
    store_relaxed(&group->running, running);
    if (running > 0)
        counter_add(&coir__me.seat->edges_begun, 1);
}

static bool has_panic(const coir_result *result)
{
    bool has = result->tag == COIR_PANIC;
    for (const coir_failure *f = result->also; f != NULL && !has; f = coir_failure_next(f))
        has = coir_failure_tag(f) == COIR_PANIC;
    return has;
}

static struct claimed_wait group_told(struct watch *watch, struct watched *watched, coir_fiber *ended)
{
    struct group *group = container_of(watch, struct group, watch);
    struct child *child = container_of(watched, struct child, watched);
    bool is_sole = load_acquire(&ended->refs) == 2;     /* ours, and the run's, which goes as soon as we are back */
    struct claimed_wait claimed = { NULL, CLAIM_LOST };
    spin_lock(&watch->lock);
    child->has_ended = true;
    child->tag = ended->result.tag;
    child->is_sole = is_sole;
    child->has_panic = has_panic(&ended->result);
    if (child->tag != COIR_OK)
        note_failure(group, child);
    if (settles(group, child, child->tag)) {
        store_relaxed(&group->settled, true);           /* relaxed: who reads it without the lock may be late */
        store_relaxed(&group->next, SIZE_MAX / 2);      /* nothing more is begun */
    }
    note_running(group);
    group->left--;
    if (group->waiting && (group->left == 0 || (load_relaxed(&group->settled) && !group->asked))) {
        group->waiting = false;
        /* Lost to a request: the parent looks again before it waits again. That wait, which it may have begun, is not the one that is meant. */
        claimed = coir__waiter_claim_of(group->parent, group->generation);
    }
    spin_unlock(&watch->lock);
    return claimed;
}

/* ------------------------------------------------------------------------------------------------------------ beginning */

static coir_io *child_io(struct group *group, size_t index)
{
    if (kind_of(group)->pulls)
        return pull_node(group);
    return group->source->op == OP_NOWAIT ? group->source->child : group->source->items[index];
}

/* One more child, which is not started. It is in the parent's context, begins without a mask, and, also if the run is calling off the rest, without
 * a request. If it may be let go it belongs to the parent's scope, as if it had been forked. */
static bool child_make(struct group *group, struct coir__seat *seat, struct child *child, size_t index)
{
    bool borrowed = !kind_of(group)->pulls && !group->owns_source;
    struct coir__scope *scope = kind_of(group)->leaves ? coir__scope_of(group->parent) : NULL;
    coir_io *io = child_io(group, index);
    if (!borrowed && group->source->op != OP_NOWAIT && !kind_of(group)->pulls)
        group->source->many.index = (uint32_t)index + 1;        /* the item is the fiber's, also if there will be none */
    coir_fiber *fiber = io == NULL ? NULL : coir__fiber_new(seat, io, borrowed, group->parent);
    if (fiber == NULL)
        return false;
    coir__fiber_is_child(fiber);
    *child = (struct child){ .fiber = fiber };
    coir__fiber_watch_new(fiber, &child->watched, &group->watch);
    if (scope == NULL || coir__scope_admit(scope, fiber))
        return true;
    coir__fiber_unmake(seat, fiber);
    coir_fiber_drop(fiber);
    return false;
}

static bool list_make(struct group *group)
{
    const struct kind *kind = kind_of(group);
    if (kind->pulls)
        group->list = coir__list_blank(group->items_count, &group->places);
    else if (kind->until >= UNTIL_FAILURE || kind->is_pair)
        group->list = coir__list_new(kind->is_pair ? 3 : group->count);
    return !coir__is_panic_value(&group->list);
}

/* The node has given its ios away. */
static void source_done(struct group *group)
{
    if (group->owns_source && group->source->op == OP_NOWAIT)
        coir__node_free(group->source);
    else if (group->owns_source)
        coir_io_drop(group->source);
    group->source = NULL;
}

/* All memory is had before the first child is started, so that without it none runs. */
static bool group_begin(struct group *group)
{
    struct coir__seat *seat = coir__me.seat;
    size_t made = 0;
    if (!list_make(group))
        return false;
    struct child *children = group->count == 0 ? NULL : coir__alloc(group->count * sizeof *children);
    if (children == NULL && group->count > 0)
        return false;
    while (made < group->count && child_make(group, seat, &children[made], made)) {
        if (made > 0)
            children[made - 1].fiber->next = children[made].fiber;
        made++;
    }
    if (made < group->count) {
        while (made-- > 0) {
            coir__fiber_unmake(seat, children[made].fiber);
            coir_fiber_drop(children[made].fiber);
        }
        coir__free(children, group->count * sizeof *children);
        return false;
    }
    group->children = children;
    group->left = group->count;
    store_relaxed(&group->running, group->count);       /* relaxed: the start publishes it, as all of this */
    if (!kind_of(group)->pulls)
        source_done(group);
    if (group->count > 0)
        seat->run->driver->start(seat, children[0].fiber, children[group->count - 1].fiber, group->count);
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- the end */

/* A child's result, with its handle. */
static coir_result child_result(struct child *child)
{
    coir_fiber *fiber = child->fiber;
    coir_result result = child->is_sole ? coir__fiber_move_result(fiber) : coir__fiber_result(fiber);
    child->fiber = NULL;
    coir_fiber_drop(fiber);
    return result;
}

/* Of one whose result is not wanted: a panic is left for the hook, an error is not. */
static void child_forgo(struct child *child)
{
    if (child->fiber == NULL)
        return;
    if (child->has_ended && !child->has_panic)
        store_relaxed(&child->fiber->seen, 1);
    coir_fiber_drop(child->fiber);
    child->fiber = NULL;
}

/* Unless it has ended it goes on, as if it had been forked. */
static void child_let_go(const struct group *group, struct child *child)
{
    coir_fiber *fiber = child->fiber;
    struct coir__scope *scope = coir__scope_of(group->parent);
    coir__fiber_unawait(fiber, &child->watched.waiter);         /* after this it is not noted any more */
    if (child->has_ended)
        return;
    if (scope != NULL)
        coir__scope_adopt(scope, fiber);
    (void)exchange_full(&fiber->is_child, 0);                                   /* [CHILD] */
    if (load_full(&run_of(fiber)->canceling))                                   /* [CHILD] */
        coir__cancel_request(fiber);
}

static coir_result add_failure(coir_result whole, struct child *child)
{
    coir_result part = child_result(child);
    if (part.tag != COIR_CANCELED)
        return coir_result_and(whole, part);
    coir_drop(part.value);                              /* that was what it was asked for */
    return part.also == NULL ? whole : coir_result_and(whole, coir__of_failures(part.also));
}

/* A child was canceled that nobody here had asked: so is the whole. */
static coir_result canceled_too(coir_fiber *fiber, const struct group *group)
{
    char label[64];
    if (fiber->mask > 0)
        return coir_raise(coir__error(DOMAIN_COIR, COIR_CHILD_CANCELED, "%s: fiber%s was canceled", kind_of(group)->function,
                                      coir__fiber_label(group->canceled->fiber, label, sizeof label)));
    coir__cancel_request(fiber);
    return coir_result_of(COIR_CANCELED, coir_none());
}

/* Of a race that was called off all are losers; otherwise what failed is what the whole fails with, or is in its `also`. */
static coir_result failed(coir_fiber *fiber, struct group *group)
{
    coir_result whole = coir_ok(coir_none());
    if (group->canceled != NULL)
        whole = canceled_too(fiber, group);
    else if (group->called_off)
        whole = coir_result_of(COIR_CANCELED, coir_none());
    if (whole.tag != COIR_OK && kind_of(group)->until <= UNTIL_SUCCESS)
        return whole;
    if (!kind_of(group)->is_ordered) {
        for (struct child *child = group->failed_first; child != NULL; child = child->failed_next)
            whole = add_failure(whole, child);
        return whole;
    }
    for (size_t i = 0; i < group->count; i++)
        if (group->children[i].tag != COIR_OK)
            whole = add_failure(whole, &group->children[i]);
    return whole;
}

/* The values of the children in the list; a failure that comes of moving them there. */
static coir_result gathered(struct group *group)
{
    coir_result whole = coir_ok(coir_none());
    for (size_t i = 0; i < group->count && !kind_of(group)->pulls; i++) {
        coir_result part = child_result(&group->children[i]);
        if (likely(part.tag == COIR_OK))
            coir__list_add(&group->list, part.value);
        else
            whole = coir_result_and(whole, part);
    }
    if (whole.tag == COIR_OK)
        whole = coir__checked(coir_ok(coir_take(&group->list)));
    return whole;
}

/* The winner's index and its result, and the loser. */
static coir_result pair(struct group *group)
{
    struct child *winner = group->winner, *loser = &group->children[winner == group->children];
    coir__list_add(&group->list, coir_int(winner - group->children));
    coir__list_add(&group->list, coir_box(child_result(winner)));
    if (unlikely(coir__is_panic_value(&group->list)))
        coir__cancel_request(loser->fiber);             /* nobody will have its handle */
    coir__list_add(&group->list, coir_own(loser->fiber, &coir_fiber_type));
    loser->fiber = NULL;
    return coir__checked(coir_ok(coir_take(&group->list)));
}

static void list_fit(struct group *group)
{
    if (group->places != NULL)
        coir__list_fit(&group->list, !load_relaxed(&group->is_typed), !load_relaxed(&group->is_unsharable));
    group->places = NULL;
}

/* What the whole ends with. Nobody else knows the group any more. */
static coir_result group_result(coir_fiber *fiber, struct group *group)
{
    coir_result result;
    list_fit(group);
    if (group->winner != NULL)
        result = kind_of(group)->is_pair ? pair(group) : child_result(group->winner);
    else if (group->failed_first != NULL || group->left > 0 || group->is_cut_short)
        result = failed(fiber, group);
    else
        result = gathered(group);
    for (size_t i = 0; i < group->count; i++)
        child_forgo(&group->children[i]);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------ the wait */

static void ask_all(struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        coir__cancel_note(group->children[i].fiber);
    for (size_t i = 0; i < group->count; i++)
        coir__cancel_poke(group->children[i].fiber);
}

/* What is to be done next: to ask the others to end; to end; or to wait. */
enum todo { TODO_ASK, TODO_END, TODO_WAIT };

static enum todo group_todo(struct group *group)
{
    const struct kind *kind = kind_of(group);
    bool settled = load_relaxed(&group->settled);
    if (group->left == 0 || (settled && kind->leaves && !group->called_off))
        return TODO_END;
    if (!group->asked && (settled || group->called_off)) {
        group->asked = true;
        return TODO_ASK;
    }
    if (group->called_off && kind->leaves_all)
        return TODO_END;
    group->waiting = true;
    group->generation = wait_generation(&group->parent->wait);
    counter_add(&coir__me.seat->edges_begun, 1);
    return TODO_WAIT;
}

static enum prim_step group_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct group *group = group_of(frame);
    if (group->children == NULL) {                      /* the first time; afterwards the children read what stands there */
        group->parent = fiber;
        if (!group_begin(group)) {
            *result = coir__no_memory();
            return PRIM_DONE;
        }
    }
    for (;;) {
        spin_lock(&group->watch.lock);
        group->waiting = false;
        enum todo todo = group_todo(group);
        spin_unlock(&group->watch.lock);
        if (todo == TODO_WAIT)
            return PRIM_WAIT;
        if (todo == TODO_END)
            break;
        ask_all(group);
    }
    for (size_t i = 0; kind_of(group)->leaves && i < group->count; i++)
        child_let_go(group, &group->children[i]);
    *result = group_result(fiber, group);
    /* A request that came with what settled the outcome has not called it off: then nothing of this is on its behalf. */
    if (unlikely(frame->flags & NODE_FINAL) && (!group->called_off || result->tag != COIR_CANCELED))
        coir__cancel_declined(fiber);
    return PRIM_DONE;
}

/* Once more to group_arm(), which looks at everything. */
static enum prim_step group_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    (void)frame;
    (void)result;
    return PRIM_WAIT;
}

/* When the outcome is settled the others are being called off already: what there is beats the request, which is seen behind it. */
static bool group_can_cancel(const coir_io *frame) { return !load_relaxed(&group_of(frame)->settled); }

static void group_cancel(coir_fiber *fiber, coir_io *frame)
{
    struct group *group = group_of(frame);
    (void)fiber;
    frame->flags |= NODE_FINAL;
    spin_lock(&group->watch.lock);
    group->called_off = !load_relaxed(&group->settled);
    spin_unlock(&group->watch.lock);
    if (group->called_off)                              /* relaxed: what was handed out before is begun, and nothing more */
        group->is_cut_short = exchange_relaxed(&group->next, SIZE_MAX / 2) < group->items_count;
}

/* The run is stopped, and all its fibers with it: no child will end any more. */
static void group_disarm(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    (void)frame;
}

static void group_drop(coir_io *frame)
{
    struct group *group = group_of(frame);
    for (size_t i = 0; group->children != NULL && i < group->count; i++)
        coir_fiber_drop(group->children[i].fiber);
    if (group->children != NULL)
        coir__free(group->children, group->count * sizeof *group->children);
    list_fit(group);
    coir_drop(group->list);
    coir_drop(group->items);
    if (group->source != NULL && group->owns_source)
        coir_io_drop(group->source);
}

/* One that will have to end before the wait does. */
static struct waits_for group_waits_for(const coir_io *frame)
{
    const struct group *group = group_of(frame);
    size_t running = load_relaxed(&group->running);
    uint64_t id = running == 0 ? 0 : group->children[running - 1].fiber->id;
    return (struct waits_for){ .holder = id, .for_fiber = true, .run = run_of(group->parent), .is_let_be = true };
}

/* Whether the parent waits for all its children, called off as it is or will be. A pair that is settled has let go of the loser. */
static bool waits_for_all(const struct group *group)
{
    const struct kind *kind = kind_of(group);
    return !kind->leaves || (!kind->leaves_all && !load_relaxed(&group->settled));
}

bool coir__is_ancestor(const coir_fiber *other, coir_fiber *fiber)
{
    while (load_relaxed(&fiber->is_child)) {            /* relaxed: of a child its group does not change; who is let go has no ancestors */
        spin_lock(&fiber->lock);
        struct watch *watch = coir__fiber_watched_by(fiber);
        struct group *group = watch == NULL || watch->told != group_told ? NULL : container_of(watch, struct group, watch);
        coir_fiber *parent = group == NULL || !waits_for_all(group) ? NULL : group->parent;
        spin_unlock(&fiber->lock);
        if (parent == NULL || parent == other)
            return parent != NULL;
        fiber = parent;
    }
    return false;
}

/* A node that says something else, as that there are too many of them, has no such flag. */
coir_io *coir__children(size_t count, coir_io *const *ios)
{
    coir_io *node = coir_parallel(count, ios);
    if (node != NULL && node->op == OP_PARALLEL)
        node->flags |= NODE_SAVED;
    return node;
}

/* ------------------------------------------------------------------------------------------------------------ the frame */

#define KIND(shown, ...)                                                                                                 \
    {                                                                                                                    \
        .prim = { .name = shown, .awaits = "the end of its children (coir_" shown ")", .size = GROUP_SIZE, .arm = group_arm,            \
                  .woken = group_woken, .disarm = group_disarm, .can_cancel = group_can_cancel, .cancel = group_cancel,  \
                  .drop = group_drop, .waits_for = group_waits_for },                                                    \
        .function = "coir_" shown, __VA_ARGS__                                                                           \
    }

static const struct kind kinds[] = {                                                                            /* ORDER OPS */
    [OP_RACE - OP_RACE]             = KIND("race", .until = UNTIL_END),
    [OP_RACE_OK - OP_RACE]          = KIND("race_ok", .until = UNTIL_SUCCESS, .is_ordered = true),
    [OP_RACE_PAIR - OP_RACE]        = KIND("race_pair", .until = UNTIL_END, .is_pair = true, .leaves = true),
    [OP_NOWAIT - OP_RACE]           = KIND("timeout_nowait", .until = UNTIL_END, .leaves = true, .leaves_all = true),
    [OP_PAR_ZIP - OP_RACE]          = KIND("par_zip", .until = UNTIL_FAILURE),
    [OP_PAR_ZIP_ALL - OP_RACE]      = KIND("par_zip_all", .until = UNTIL_ALL, .is_ordered = true),
    [OP_PAR_TRAVERSE - OP_RACE]     = KIND("par_traverse", .until = UNTIL_FAILURE, .pulls = true),
    [OP_PAR_TRAVERSE_ALL - OP_RACE] = KIND("par_traverse_all", .until = UNTIL_FAILURE, .pulls = true, .boxes = true),
    [OP_PAR_EACH - OP_RACE]         = KIND("par_each", .until = UNTIL_FAILURE, .pulls = true),
};

/* How many children it takes. */
static size_t children_of(const coir_io *node, const struct kind *kind, size_t items_count)
{
    if (!kind->pulls)
        return node->op == OP_NOWAIT ? 1 : node->many.count;
    size_t limit = node->pulled.limit;
    return limit == 0 || limit > items_count ? items_count : limit;
}

coir_io *coir__group(coir_io *node, bool borrowed, coir_value list)
{
    const struct kind *kind = &kinds[node->op - OP_RACE];
    coir_io *frame = coir__prim_new(&kind->prim, NULL, 0);
    if (frame == NULL) {
        coir_drop(list);
        if (!borrowed)
            coir_io_drop(node);
        return NULL;
    }
    struct group *group = group_of(frame);
    group->watch.told = group_told;
    ck_spinlock_fas_init(&group->watch.lock);
    group->source = node;
    group->owns_source = !borrowed;
    group->items = list;
    if (kind->pulls)
        group->items_count = node->op == OP_PAR_EACH ? coir_list_size(&list) : node->pulled.count;
    group->count = children_of(node, kind, group->items_count);
    return frame;
}
