/*
 * join.c - waiting for the end of fibers: join, wait, wait_any
 *
 * coir_wait() goes through its list from the back, waiting for one fiber at a time. That costs one place in a queue however long
 * the list is, and since what was started first tends to end first, the last one's end usually finds the others ended: one suspension in
 * place of a million.
 */
#include "fiber/join.h"

#include <string.h>

coir_result coir__self_join(const coir_fiber *fiber, const char *function)
{
    char label[64];
    return coir__panicf(DOMAIN_COIR, COIR_DEADLOCK, "%s: fiber%s waits for its own end", function,
                        coir__fiber_label(fiber, label, sizeof label));
}

void coir__note_edge(coir_fiber *fiber, coir_io *frame, coir_fiber *other)
{
    if (unlikely(run_of(other) != run_of(fiber))) {
        counter_add(&coir__me.seat->outside_begun, 1);
        frame->prim_own.number++;
    }
    counter_add(&coir__me.seat->edges_begun, 1);
}

void coir__note_edge_end(coir_io *frame)
{
    if (unlikely(frame->prim_own.number > 0))
        counter_add(&coir__me.seat->outside_done, (uint64_t)frame->prim_own.number);
    frame->prim_own.number = 0;
}

/* --------------------------------------------------------------------------------------------------------------- join */

/* A child's cancellation is not the joiner's. What it failed with while it unwound the joiner is not given, so that stays unseen. */
static NOINLINE coir_result joined_slow(coir_fiber *fiber)
{
    if (fiber->result.tag != COIR_CANCELED)
        return coir__fiber_result(fiber);
    char label[64];
    return coir_raise(coir__error(DOMAIN_COIR, COIR_CHILD_CANCELED, "coir_join: fiber%s was canceled",
                                  coir__fiber_label(fiber, label, sizeof label)));
}

static inline void joined(coir_fiber *fiber, coir_result *result)                       /* MODEL join.pml: joined */
{
    if (likely(!(fiber->flags & FIBER_TYPED) && fiber->result.tag != COIR_CANCELED)) {
        store_relaxed(&fiber->seen, 1);
        coir__set(result, &fiber->result);
    } else {
        *result = joined_slow(fiber);
    }
}

static enum prim_step join_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)   /* MODEL join.pml: attempt */
{
    coir_fiber *other = node->object;
    if (other == fiber) {
        *result = coir__self_join(fiber, "coir_join");
        return PRIM_DONE;
    }
    if (!coir__fiber_ended(other))
        return PRIM_WAIT;
    joined(other, result);
    return PRIM_DONE;
}

static enum prim_step join_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_fiber *other = frame->object;
    coir__note_edge(fiber, frame, other);
    if (coir__fiber_await(other, &frame->prim_own.waiter))
        return PRIM_WAIT;
    coir__note_edge_end(frame);
    joined(other, result);
    return PRIM_DONE;
}

static enum prim_step join_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    coir__note_edge_end(frame);
    joined(frame->object, result);
    return PRIM_DONE;
}

static void join_disarm(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    coir__note_edge_end(frame);
    coir__fiber_unawait(frame->object, &frame->prim_own.waiter);
}

static void join_drop(coir_io *node) { coir_fiber_drop(node->object); }
static struct waits_for join_waits_for(const coir_io *frame) { return waits_for_fiber(frame->object); }

static bool join_has_come(const coir_io *frame) { return coir__fiber_ended(frame->object); }

/* A result that cannot be shared is taken by who asks for it: an alternative asks when it has chosen. */
static bool join_arm_as_case(coir_fiber *fiber, coir_io *frame)
{
    coir_fiber *other = frame->object;
    coir__note_edge(fiber, frame, other);
    frame->prim_own.waiter.fiber = fiber;
    if (coir__fiber_await(other, &frame->prim_own.waiter))
        return true;
    frame->prim_own.waiter.fiber = NULL;
    coir__note_edge_end(frame);
    return false;
}

static void join_give(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    joined(frame->object, result);
}

static const struct coir__event join_event = { .has_come = join_has_come, .give = join_give, .arm = join_arm_as_case };

static const struct coir__prim join_prim = {
    .name = "join", .awaits = "the end of a fiber", .size = NODE_SIZE_OF(prim_own), .attempt = join_attempt, .arm = join_arm,
    .woken = join_woken, .disarm = join_disarm, .drop = join_drop, .waits_for = join_waits_for, .event = &join_event,
};

coir_io *coir_join(coir_fiber *fiber)
{
    coir_io *node = fiber == NULL ? NULL : coir__prim_new(&join_prim, coir_fiber_ref(fiber), 0);
    if (node == NULL)
        coir_fiber_drop(fiber);
    return node;
}

/* ------------------------------------------------------------------------------------------------------- wait, wait_any */

/* The list of both: `fibers` is the node's own, `left` says how many from the front are still to be waited for. */
struct wait_list {
    struct coir_io node;
    coir_value     fibers;                              /* one fiber, or a list of them */
    struct waiter *waiters;                             /* wait_any: one for each, while it waits */
    size_t         left;
    bool           only_ends;                           /* coir__ends_new(): the results are not looked at */
};

static struct wait_list *list_of(const coir_io *node) { return (struct wait_list *)(uintptr_t)node; }

/* How many from the front may not have ended, looking from the back. */
static size_t ended_from_back(struct fibers fibers, size_t left)
{
    while (left > 0 && coir__fiber_ended(fiber_at(fibers, left - 1)))
        left--;
    return left;
}

static coir_value boxed_result(coir_fiber *fiber)
{
    coir_result result;
    if (likely(!(fiber->flags & FIBER_TYPED))) {
        store_relaxed(&fiber->seen, 1);
        coir__set(&result, &fiber->result);
    } else {
        result = coir__fiber_result(fiber);
    }
    return coir__box(&result);
}

static coir_result all_results(struct fibers fibers)
{
    coir_value list = coir__list_new(fibers.count);
    if (coir__is_panic_value(&list))
        return coir__panic_of(list);
    for (size_t i = 0; i < fibers.count; i++) {
        coir_value box = boxed_result(fiber_at(fibers, i));
        if (coir__is_panic_value(&box)) {
            coir_drop(list);
            return coir__panic_of(box);
        }
        coir__list_add(&list, box);
    }
    return coir_ok(list);
}

static coir_result all_ended(const struct wait_list *list)
{
    return list->only_ends ? coir_ok(coir_none()) : all_results(fibers_of(&list->fibers));
}

static enum prim_step wait_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    struct fibers fibers = fibers_of(&list_of(node)->fibers);
    if (ended_from_back(fibers, fibers.count) == 0)
        *result = all_ended(list_of(node));
    else if (fibers_contain(fibers, fiber))
        *result = coir__self_join(fiber, "coir_wait");
    else
        return PRIM_WAIT;
    return PRIM_DONE;
}

static enum prim_step wait_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct wait_list *list = list_of(frame);
    struct fibers fibers = fibers_of(&list->fibers);
    for (list->left = ended_from_back(fibers, list->left); list->left > 0; list->left--) {
        coir_fiber *other = fiber_at(fibers, list->left - 1);
        coir__note_edge(fiber, frame, other);
        if (coir__fiber_await(other, &frame->prim_own.waiter))
            return PRIM_WAIT;
    }
    coir__note_edge_end(frame);
    *result = all_ended(list);
    return PRIM_DONE;
}

static enum prim_step wait_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct wait_list *list = list_of(frame);
    struct fibers fibers = fibers_of(&list->fibers);
    coir__note_edge_end(frame);
    list->left = ended_from_back(fibers, list->left);
    frame->prim_own.waiter.fiber = fiber;
    if (list->left > 0)
        return PRIM_WAIT;
    *result = all_ended(list);
    return PRIM_DONE;
}

static void wait_disarm(coir_fiber *fiber, coir_io *frame)
{
    struct wait_list *list = list_of(frame);
    (void)fiber;
    coir__note_edge_end(frame);
    coir__fiber_unawait(fiber_at(fibers_of(&list->fibers), list->left - 1), &frame->prim_own.waiter);
}

static void wait_drop(coir_io *node) { coir_drop(list_of(node)->fibers); }

static struct waits_for wait_waits_for(const coir_io *frame)
{
    const struct wait_list *list = list_of(frame);
    struct waits_for known = waits_for_fiber(fiber_at(fibers_of(&list->fibers), list->left - 1));
    known.is_let_be = list->only_ends;
    return known;
}

static const struct coir__prim wait_prim = {
    .name = "wait", .awaits = "the end of fibers", .size = sizeof(struct wait_list), .attempt = wait_attempt, .arm = wait_arm,
    .woken = wait_woken, .disarm = wait_disarm, .drop = wait_drop, .waits_for = wait_waits_for,
};

coir_io *coir__ends_new(void)
{
    coir_io *node = coir__prim_new(&wait_prim, NULL, 0);
    if (node != NULL)
        list_of(node)->only_ends = true;
    return node;
}

void coir__ends_of(coir_io *node, coir_value fibers)
{
    list_of(node)->fibers = fibers;
    list_of(node)->left = fibers_of(&fibers).count;
}

static bool first_ended(struct fibers fibers, coir_result *result)
{
    for (size_t i = 0; i < fibers.count; i++)
        if (coir__fiber_ended(fiber_at(fibers, i))) {
            *result = coir_ok(coir_int((int64_t)i));
            return true;
        }
    return false;
}

static enum prim_step any_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    struct fibers fibers = fibers_of(&list_of(node)->fibers);
    if (first_ended(fibers, result))
        return PRIM_DONE;
    if (fibers.count != 1 || fiber_at(fibers, 0) != fiber)
        return PRIM_WAIT;
    *result = coir__self_join(fiber, "coir_wait_any");
    return PRIM_DONE;
}

static void any_unawait(struct wait_list *list)
{
    struct fibers fibers = fibers_of(&list->fibers);
    for (size_t i = 0; i < fibers.count; i++)
        coir__fiber_unawait(fiber_at(fibers, i), &list->waiters[i]);
    coir__free(list->waiters, fibers.count * sizeof *list->waiters);
    list->waiters = NULL;
}

/* Registers with each, until one has ended: a claim may come while the others are still being registered. */
static enum prim_step any_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct wait_list *list = list_of(frame);
    struct fibers fibers = fibers_of(&list->fibers);
    list->waiters = coir__alloc(fibers.count * sizeof *list->waiters);
    if (list->waiters == NULL) {
        *result = coir__no_memory();
        return PRIM_DONE;
    }
    for (size_t i = 0; i < fibers.count; i++)
        list->waiters[i] = (struct waiter){ NULL, NULL, NULL };
    for (size_t i = fibers.count; i-- > 0; ) {          /* backwards: of a fiber named twice the first place is woken */
        coir_fiber *other = fiber_at(fibers, i);
        coir__note_edge(fiber, frame, other);
        list->waiters[i].fiber = fiber;
        if (coir__fiber_await(other, &list->waiters[i]))
            continue;
        list->waiters[i].fiber = NULL;
        /* Already ended: ends the wait itself, unless another's end has done so. */
        enum claim claim = wait_claim(&fiber->wait, wait_generation(&fiber->wait));
        if (claim != CLAIM_LOST) {
            coir__set_ok(&fiber->result, coir_lend(&list->waiters[i]));
            fiber->claimed_by = CLAIMED_BY_WAKER;
            (void)wait_give(&fiber->wait);
        }
        break;
    }
    return PRIM_WAIT;
}

static enum prim_step any_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct wait_list *list = list_of(frame);
    (void)fiber;
    coir__note_edge_end(frame);
    const struct waiter *first = result->value.ptr;
    coir__set_ok(result, coir_int(first - list->waiters));
    any_unawait(list);
    return PRIM_DONE;
}

static void any_disarm(coir_fiber *fiber, coir_io *frame)
{
    struct wait_list *list = list_of(frame);
    (void)fiber;
    coir__note_edge_end(frame);
    if (list->waiters != NULL)
        any_unawait(list);
}

/* Of several nobody knows which will end first. */
static struct waits_for any_waits_for(const coir_io *frame)
{
    struct fibers fibers = fibers_of(&list_of(frame)->fibers);
    return fibers.count == 1 ? waits_for_fiber(fiber_at(fibers, 0)) : (struct waits_for){ .for_fiber = true };
}

static bool any_has_come(const coir_io *frame)
{
    coir_result first;
    return first_ended(fibers_of(&list_of(frame)->fibers), &first);
}

static void any_give(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    (void)first_ended(fibers_of(&list_of(frame)->fibers), result);
}

static const struct coir__event any_event = { .has_come = any_has_come, .give = any_give };

static const struct coir__prim wait_any_prim = {
    .name = "wait_any", .awaits = "the end of one of several fibers", .size = sizeof(struct wait_list), .attempt = any_attempt,
    .arm = any_arm, .woken = any_woken, .disarm = any_disarm, .drop = wait_drop, .waits_for = any_waits_for, .event = &any_event,
};

bool coir__all_fibers(const coir_value *value)
{
    if (value->type != &coir_fiber_type && value->type != &coir_list_type)
        return false;
    struct fibers fibers = fibers_of(value);
    for (size_t i = 0; i < fibers.count; i++)
        if (fibers.at[i].type != &coir_fiber_type)
            return false;
    return true;
}

coir_io *coir__no_fibers(const char *function, const coir_value *value)
{
    return coir__is_panic_value(value) ? coir_pure(coir_share(value)) : coir__bad_argument(function, "neither a fiber nor a list of fibers");
}

static coir_io *wait_node(const struct coir__prim *prim, const char *function, const coir_value *fibers)
{
    if (fibers == NULL)
        return NULL;
    if (!coir__all_fibers(fibers))
        return coir__no_fibers(function, fibers);
    if (prim == &wait_any_prim && fibers_of(fibers).count == 0)
        return coir__bad_argument(function, "of no fibers none can end");
    coir_io *node = coir__prim_new(prim, NULL, 0);
    if (node == NULL)
        return NULL;
    list_of(node)->fibers = coir_share(fibers);
    list_of(node)->left = fibers_of(fibers).count;
    return node;
}

coir_io *coir_wait(const coir_value *fibers)     { return wait_node(&wait_prim, "coir_wait", fibers); }
coir_io *coir_wait_any(const coir_value *fibers) { return wait_node(&wait_any_prim, "coir_wait_any", fibers); }
