/*
 * cancel.c - requests to end, time-outs, and the instructions that make them: cancel.h has the rules
 */
#include "fiber/cancel.h"

#include "base/clock.h"
#include "fiber/join.h"
#include "fiber/par.h"
#include "fiber/scope.h"

#include <coir/fiber.h>

/* ------------------------------------------------------------------------------------------------------------ scopes */

static struct cancel_scope *scope_of(struct held *held) { return held->abandon == NULL ? (struct cancel_scope *)held : NULL; }

void coir__scope_open(coir_fiber *fiber, struct cancel_scope *scope, int64_t limit)
{
    scope->link.abandon = NULL;
    scope->mask = fiber->mask;
    scope->unwinding = scope->armed = false;
    store_relaxed(&scope->requested, false);            /* relaxed: nobody knows it yet */
    scope->timer.due = limit;
    coir__held_add(fiber, &scope->link);
    if (limit <= 0)
        coir__scope_request(fiber, scope);
    else if (limit != INT64_MAX)
        fiber->flags |= FIBER_UNTIMED;
}

/* Whether any request stands, visible or not. */
static bool anything_requested(const coir_fiber *fiber)
{
    bool any = load_relaxed(&fiber->requested);
    for (struct held *held = fiber->held; held != NULL && !any; held = held->next)
        any = scope_of(held) != NULL && load_relaxed(&scope_of(held)->requested);
    return any;
}

/* [CANCEL] Who notes a request after the exchange sets `asked` again; what was noted before it the look that follows sees. */
static void ask_anew(coir_fiber *fiber)                                                 /* MODEL cancel.pml: ask_anew */
{
    (void)exchange_acq_rel(&fiber->asked, 0);
    if (anything_requested(fiber))
        store_relaxed(&fiber->asked, 1);
}

void coir__scope_close(coir_fiber *fiber, struct cancel_scope *scope)
{
    coir__held_remove(fiber, &scope->link);
    if (scope->armed)
        run_of(fiber)->driver->timer_disarm(&scope->timer);
    if (load_relaxed(&scope->requested))
        ask_anew(fiber);
}

void coir__scope_request(coir_fiber *fiber, struct cancel_scope *scope)
{
    store_relaxed(&scope->requested, true);                                     /* R1 */
    (void)exchange_full(&fiber->asked, 1);                                      /* R2 [CANCEL] */
}

/* No scope is above the mask, and none below one that is further out: those to be lowered are the innermost. */
struct cancel_scope *coir__scopes_lower(coir_fiber *fiber)
{
    for (struct held *held = fiber->held; held != NULL; held = held->next) {
        struct cancel_scope *scope = scope_of(held);
        if (scope != NULL && scope->mask <= fiber->mask)
            return scope;
        if (scope != NULL)
            scope->mask = fiber->mask;
    }
    return NULL;
}

void coir__scopes_raise(coir_fiber *fiber, const struct cancel_scope *end)
{
    for (struct held *held = fiber->held; held != (end != NULL ? &end->link : NULL); held = held->next)
        if (scope_of(held) != NULL)
            scope_of(held)->mask = fiber->mask;
}

bool coir__deadlines_arm(struct coir__seat *seat, coir_fiber *fiber)
{
    const struct driver *driver = seat->run->driver;
    int64_t now = driver->now(seat->run, CLOCK_OF_RUN);
    for (struct held *held = fiber->held; held != NULL; held = held->next) {
        struct cancel_scope *scope = scope_of(held);
        if (scope == NULL || scope->armed || scope->timer.due == INT64_MAX)
            continue;
        int64_t limit = scope->timer.due;
        scope->timer.due = ns_add(now, limit);
        scope->timer.fiber = fiber;
        scope->timer.by = CLAIMED_BY_DEADLINE;
        store_relaxed(&scope->timer.home, NULL);
        scope->armed = scope->timer.due == INT64_MAX || driver->timer_arm(seat, &scope->timer, CLOCK_OF_RUN);
        if (!scope->armed) {
            scope->timer.due = limit;
            return false;
        }
    }
    fiber->flags &= (uint8_t)~FIBER_UNTIMED;
    return true;
}

bool coir__deadline_is_wanted(const coir_fiber *fiber)
{
    bool any = false;
    for (struct held *held = fiber->held; held != NULL && !any; held = held->next) {
        const struct cancel_scope *scope = scope_of(held);
        any = scope != NULL && !scope->armed && scope->timer.due != INT64_MAX && fiber->mask <= scope->mask;
    }
    return any;
}

/* ---------------------------------------------------------------------------------------------------------- visibility */

/* What a fiber may see at this moment. */
struct sight { bool any; struct cancel_scope *scope; };         /* scope NULL: the fiber as a whole */

static struct sight sight_of(const coir_fiber *fiber)
{
    struct sight sight = { false, NULL };
    if (load_relaxed(&fiber->requested) && fiber->mask == 0)
        return (struct sight){ true, NULL };
    for (struct held *held = fiber->held; held != NULL; held = held->next) {    /* the outermost is the last */
        struct cancel_scope *scope = scope_of(held);
        if (scope != NULL && load_relaxed(&scope->requested) && fiber->mask <= scope->mask)
            sight = (struct sight){ true, scope };
    }
    return sight;
}

static void note_unwinding(struct sight sight)
{
    if (sight.scope != NULL)
        sight.scope->unwinding = true;
}

bool coir__cancel_seen(coir_fiber *fiber, coir_result *result)                          /* MODEL cancel.pml: seen */
{
    (void)load_acquire(&fiber->asked);                  /* [CANCEL] what was noted before it was set */
    struct sight sight = sight_of(fiber);
    if (!sight.any) {
        if (!anything_requested(fiber))
            ask_anew(fiber);
        return false;
    }
    note_unwinding(sight);
    *result = coir_result_of(COIR_CANCELED, coir_none());
    return true;
}

/* Which of them had asked need not be known: of a scope that is visible nothing else is going up, for meanwhile only finalizers run, behind a mask. */
void coir__cancel_declined(coir_fiber *fiber)
{
    for (struct held *held = fiber->held; held != NULL; held = held->next)
        if (scope_of(held) != NULL && fiber->mask <= scope_of(held)->mask)
            scope_of(held)->unwinding = false;
}

bool coir__scope_meant(coir_fiber *fiber, const struct cancel_scope *scope)
{
    if (!scope->unwinding)
        return false;
    struct sight outer = load_acquire(&fiber->asked) ? sight_of(fiber) : (struct sight){ false, NULL };
    note_unwinding(outer);
    return !outer.any;
}

/* ------------------------------------------------------------------------------------------------------------ requests */

/* Of a fiber whose wait is held: whether it is to be ended. Only loads. */
static bool is_interruptible(const coir_fiber *fiber)
{
    const coir_io *frame = fiber->top;
    if (frame->flags & NODE_FINAL)
        return false;
    return frame->prim->can_cancel == NULL || frame->prim->can_cancel(frame);
}

void coir__cancel_poke(coir_fiber *fiber)                                               /* MODEL cancel.pml: poke */
{
    uint32_t looks = 0;
    for (;;) {
        switch (wait_state_of(load_full(&fiber->wait.word))) {                  /* R3 [CANCEL] */
        case WAIT_HELD:
            spin_pause(&looks);
            break;
        case WAIT_PARKED: {
            if (!wait_hold(&fiber->wait))
                break;
            struct sight sight = sight_of(fiber);
            if (!sight.any || !is_interruptible(fiber)) {
                wait_unhold(&fiber->wait);
                return;
            }
            note_unwinding(sight);
            fiber->result = coir_result_of(COIR_CANCELED, coir_none());
            fiber->claimed_by = CLAIMED_BY_CANCEL;      /* before it is TAKEN: see await_winner() in outside/async.c */
            wait_take_held(&fiber->wait);
            coir__make_ready(fiber);
            return;
        }
        default:
            return;                                     /* its worker looks by itself, when it lets go or goes on */
        }
    }
}

void coir__cancel_note(coir_fiber *fiber)                                               /* MODEL cancel.pml: request */
{
    if (coir__fiber_ended(fiber))
        return;
    store_relaxed(&fiber->requested, true);                                     /* R1 */
    (void)exchange_full(&fiber->asked, 1);                                      /* R2 [CANCEL] */
}

static void request(coir_fiber *fiber)
{
    coir__cancel_note(fiber);
    coir__cancel_poke(fiber);
}

/* From outside of its run the fiber could end meanwhile, and the run with it: its lock keeps both (see coir__fiber_end(), coir__fiber_discard()). */
static void request_from_outside(coir_fiber *fiber)
{
    spin_lock(&fiber->lock);
    struct coir__run *run = coir__fiber_ended(fiber) ? NULL : run_of(fiber);
    if (run != NULL) {
        run->driver->pin(run);
        request(fiber);
        run->driver->unpin(run);
    }
    spin_unlock(&fiber->lock);
}

void coir__cancel_request(coir_fiber *fiber)
{
    if (coir__fiber_ended(fiber) || load_relaxed(&fiber->requested))
        return;
    if (likely(seat_is_of(run_of(fiber))))
        request(fiber);
    else
        request_from_outside(fiber);
}

void coir_fiber_cancel(coir_fiber *fiber)
{
    if (fiber != NULL)
        coir__cancel_request(fiber);
}

bool coir_is_masked(void)    { return coir__me.seat != NULL && coir__me.seat->fiber != NULL && coir__me.seat->fiber->mask > 0; }
bool coir_is_canceling(void) { return coir__me.seat != NULL && coir__me.seat->fiber != NULL && anything_requested(coir__me.seat->fiber); }

/* -------------------------------------------------------------------------------------------------- cancel, and wait */

/*
 * In a ring of fibers that cancel each other nobody waits: who would close it goes on at once. So does who cancels one that waits for it, as the
 * owner of a scope does for its members, and the parent of a race for its children. `cancels_lock` makes one moment of looking and registering.
 * Under it a fiber whose `cancels` is set stays in its wait, so its frame may be read. (A ring that goes on through one child to another is found by
 * deadlock.c.)
 */
static ck_spinlock_fas_t cancels_lock = CK_SPINLOCK_FAS_INITIALIZER;

/* Whether `other` ends only when fiber, which is running, has ended. */
static bool awaits(const coir_fiber *other, coir_fiber *fiber)
{
    return other == fiber || coir__is_ancestor(other, fiber) || coir__scope_awaits(other, fiber);
}

static bool closes_ring(coir_fiber *fiber, const coir_fiber *other)
{
    while (!awaits(other, fiber) && load_relaxed(&other->cancels))
        other = other->top->object;
    return awaits(other, fiber);
}

static enum prim_step cancel_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_fiber *other = node->object;
    coir__cancel_request(other);
    if (other != fiber && !coir__fiber_ended(other))
        return PRIM_WAIT;
    coir__set_ok(result, coir_none());
    return PRIM_DONE;
}

static enum prim_step cancel_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_fiber *other = frame->object;
    coir__set_ok(result, coir_none());
    coir__note_edge(fiber, frame, other);
    spin_lock(&cancels_lock);
    bool waits = !closes_ring(fiber, other) && coir__fiber_await(other, &frame->prim_own.waiter);
    if (waits)
        store_relaxed(&fiber->cancels, 1);
    spin_unlock(&cancels_lock);
    if (!waits)
        coir__note_edge_end(frame);
    return waits ? PRIM_WAIT : PRIM_DONE;
}

static void cancel_over(coir_fiber *fiber, coir_io *frame)
{
    coir__note_edge_end(frame);
    spin_lock(&cancels_lock);
    store_relaxed(&fiber->cancels, 0);
    spin_unlock(&cancels_lock);
}

static enum prim_step cancel_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    cancel_over(fiber, frame);
    coir__set_ok(result, coir_none());
    return PRIM_DONE;
}

static void cancel_disarm(coir_fiber *fiber, coir_io *frame)
{
    cancel_over(fiber, frame);
    coir__fiber_unawait(frame->object, &frame->prim_own.waiter);
}

static void cancel_drop(coir_io *node) { coir_fiber_drop(node->object); }

static struct waits_for cancel_waits_for(const coir_io *frame)
{
    const coir_fiber *other = frame->object;
    return (struct waits_for){ .holder = other->id, .for_fiber = true, .run = run_of(other), .is_let_be = true, .gives_way = true };
}

static const struct coir__prim cancel_prim = {
    .name = "cancel", .awaits = "the end of a canceled fiber", .size = NODE_SIZE_OF(prim_own), .attempt = cancel_attempt, .arm = cancel_arm,
    .woken = cancel_woken, .disarm = cancel_disarm, .drop = cancel_drop, .waits_for = cancel_waits_for,
};

/* Its wait is masked: the fiber that it waits for is being called off already. */
coir_io *coir_cancel(coir_fiber *fiber)
{
    coir_io *node = fiber == NULL ? NULL : coir__prim_new(&cancel_prim, coir_fiber_ref(fiber), 0);
    if (node == NULL)
        coir_fiber_drop(fiber);
    return coir_uncancelable(node);
}

/* ------------------------------------------------------------------------------------------------------ only requests */

static enum prim_step ask_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir__cancel_request(node->object == NULL ? fiber : node->object);
    coir__set_ok(result, coir_none());
    return PRIM_DONE;
}

static const struct coir__prim ask_prim = {
    .name = "cancel_nowait", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = ask_attempt, .drop = cancel_drop,
};

coir_io *coir_cancel_nowait(coir_fiber *fiber)
{
    coir_io *node = fiber == NULL ? NULL : coir__prim_new(&ask_prim, coir_fiber_ref(fiber), 0);
    if (node == NULL)
        coir_fiber_drop(fiber);
    return node;
}

static const struct coir__prim ask_self_prim = {
    .name = "cancel_self", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = ask_attempt,
};

coir_io *coir_cancel_self(void) { return coir__prim_new(&ask_self_prim, NULL, 0); }

/* All are asked before the first is woken, but for those of other runs. */
static void request_all(const coir_value *fibers)
{
    size_t count = coir_list_size(fibers);
    for (size_t i = 0; i < count; i++) {
        coir_fiber *fiber = coir_fiber_of(coir_list_at(fibers, i));
        if (seat_is_of(run_of(fiber)))
            coir__cancel_note(fiber);
        else
            coir__cancel_request(fiber);
    }
    for (size_t i = 0; i < count; i++) {
        coir_fiber *fiber = coir_fiber_of(coir_list_at(fibers, i));
        if (seat_is_of(run_of(fiber)))
            coir__cancel_poke(fiber);
    }
}

/* One after the other is as good as all at once, when all have been asked before. */
static coir_io *cancel_at(void *list, size_t index)
{
    const coir_value value = coir_own(list, &coir_list_type);
    return coir_cancel(coir_fiber_of(coir_list_at(&value, index)));
}

static coir_io *cancel_all_of(void *env, coir_value *fibers)
{
    (void)env;
    request_all(fibers);
    return coir_as(coir_traverse(coir_list_size(fibers), cancel_at, fibers->ptr), coir_none());        /* which keeps what it is lent */
}

coir_io *coir_cancel_all(const coir_value *fibers)
{
    if (fibers == NULL)
        return NULL;
    if (fibers->type == &coir_fiber_type)
        return coir_cancel(coir_fiber_of(fibers));
    if (!coir__all_fibers(fibers))
        return coir__no_fibers("coir_cancel_all", fibers);
    return coir_uncancelable(coir_call(coir_share(fibers), cancel_all_of, NULL));
}

/* --------------------------------------------------------------------------------------------------- masks, time-outs */

coir_io *coir_uncancelable(coir_io *io) { return coir__node_around(OP_MASK, NODE_SMALL, io); }
coir_io *coir_cancelable(coir_io *io)   { return coir__node_around(OP_UNMASK, NODE_SMALL, io); }

static coir_io *with_limit(coir_io *node, coir_duration limit)
{
    if (node != NULL)
        timed_of(node)->limit = limit.ns;
    return node;
}

coir_io *coir_timeout(coir_io *io, coir_duration limit)
{
    return with_limit(coir__node_around(OP_TIMEOUT, TIMED_SIZE, io), limit);
}

/* The time-out cancels NOWAIT, which leaves its child behind. */
coir_io *coir_timeout_nowait(coir_io *io, coir_duration limit)
{
    return coir_timeout(coir__node_around(OP_NOWAIT, NODE_SMALL, io), limit);
}

coir_io *coir_timeout_to(coir_io *io, coir_duration limit, coir_io *instead)
{
    return with_limit(coir__node_two(OP_TIMEOUT_TO, TIMED_SIZE, io, instead), limit);
}
