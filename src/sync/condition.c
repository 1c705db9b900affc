/*
 * condition.c - a condition: fibers give a lock up, wait to be notified, and take it again
 *
 * Who is notified is moved from the condition's queue to the lock's, where the notifier, who holds the lock, leaves him: nobody is woken who could not go on.
 *
 *   stage          its waiter stands in           waits for
 *   AWAITS_NOTICE  the condition's queue          a notification
 *   NOTIFIED       the lock's queue               the lock
 *   TAKES_LOCK     the lock's queue, or nowhere   the lock, which it takes before it goes on with the result that was kept: a cancellation, a verdict
 *
 * Invariants, under both guards:
 *   1. A notification is some fiber's: who goes on otherwise hands it on to the next who awaits one, or finds none.
 *   2. The lock is free only if nobody stands in its queue (sync/lock.h): who hands a notification on while it is free passes it on, too.
 *
 * The condition's guard is taken first, then the lock's.
 */
#include "sync/lock.h"
#include "sync/object.h"

#include <inttypes.h>

struct coir_condition {
    struct object object;
    coir_lock    *lock;                                 /* I: a reference */
    struct queue  waiters;                              /* L: AWAITS_NOTICE */
};

enum stage { AWAITS_NOTICE, NOTIFIED, TAKES_LOCK };

/* Of a waiter's frame, behind the common part. Its number is that of the lock's waiters. */
struct wait_for_notice {
    _Atomic uint32_t stage;                             /* A, written under both guards, TAKES_LOCK by the fiber: for the search for deadlocks */
    bool             is_absent;                         /* L, the lock's */
    coir_result      kept;                              /* of TAKES_LOCK */
};
enum { WAIT_SIZE = NODE_SIZE_OF(prim_own) + sizeof(struct wait_for_notice) };

static struct wait_for_notice *wait_of(const coir_io *frame)
{
    return (struct wait_for_notice *)(void *)((char *)(uintptr_t)frame + NODE_SIZE_OF(prim_own));
}

static const char awaited[] = "a notification of condition";

/* ------------------------------------------------------------------------------------------------------------- handle */

coir_condition *coir_condition_new(coir_lock *lock)
{
    coir_condition *condition = lock == NULL ? NULL : coir__alloc(sizeof *condition);
    if (condition == NULL) {
        errno = lock == NULL ? EINVAL : ENOMEM;
        return NULL;
    }
    object_init(&condition->object);
    condition->lock = coir_lock_ref(lock);
    condition->waiters = (struct queue){ NULL, NULL };
    return condition;
}

coir_condition *coir_condition_ref(coir_condition *condition)
{
    if (condition != NULL)
        handle_ref(&condition->object.handle);
    return condition;
}

void coir_condition_drop(coir_condition *condition)
{
    if (condition == NULL)
        return;
    struct queue *const queues[] = { &condition->waiters, NULL };
    if (!coir__object_let_go(&condition->object, queues, "coir_condition_wait", awaited))
        return;
    coir_lock_drop(condition->lock);
    coir__object_done(&condition->object);
    coir__free(condition, sizeof *condition);
}

uint64_t coir_condition_id(const coir_condition *condition) { return condition == NULL ? 0 : condition->object.serial; }

/* ------------------------------------------------------------------------------------------------------- under both guards */

static void guards_lock(coir_condition *condition)
{
    spin_lock(&condition->object.guard);
    spin_lock(&condition->lock->guard);
}

static void guards_unlock(coir_condition *condition)
{
    spin_unlock(&condition->lock->guard);
    spin_unlock(&condition->object.guard);
}

/* Under the lock's guard. */
static void absent_begin(coir_lock *lock, const coir_fiber *fiber, struct wait_for_notice *wait)
{
    lock->absent += wait->is_absent ? 0 : 1;
    lock->absent_of = run_of(fiber);
    wait->is_absent = true;
}

static void absent_end(coir_lock *lock, struct wait_for_notice *wait)
{
    lock->absent -= wait->is_absent ? 1 : 0;
    wait->is_absent = false;
}

static void set_stage(struct wait_for_notice *wait, enum stage stage) { store_relaxed(&wait->stage, (uint32_t)stage); }

/* Its wait may be over already, which is seen by who passes the lock on, and by the fiber itself. */
static void notify_first(coir_condition *condition)
{
    struct waiter *waiter = condition->waiters.first;
    struct wait_for_notice *wait = wait_of(frame_of_waiter(waiter));
    coir_fiber *fiber = waiter->fiber;
    handle_queue_remove(&condition->object.handle, &condition->waiters, waiter);
    set_stage(wait, NOTIFIED);
    absent_end(condition->lock, wait);
    coir__lock_wait(condition->lock, waiter, fiber);
}

static void hand_on(coir_condition *condition, struct claimed *claimed)
{
    if (queue_is_empty(&condition->waiters))
        return;
    notify_first(condition);
    if (condition->lock->holder == NULL)
        coir__lock_pass_on(condition->lock, claimed);
}

/* --------------------------------------------------------------------------------------------------------------- wait */

static coir_result not_held(const coir_fiber *fiber, const char *function, const coir_condition *condition)
{
    char label[64];
    return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "%s: fiber%s does not hold lock %" PRIu64 " of condition %" PRIu64, function,
                        coir__fiber_label(fiber, label, sizeof label), coir_lock_id(condition->lock), condition->object.serial);
}

static bool is_held_by(coir_lock *lock, const coir_fiber *fiber)
{
    spin_lock(&lock->guard);
    bool is_held = lock->holder == fiber;
    spin_unlock(&lock->guard);
    return is_held;
}

static enum prim_step wait_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    const coir_condition *condition = node->object;
    if (likely(is_held_by(condition->lock, fiber)))
        return PRIM_WAIT;
    *result = not_held(fiber, "coir_condition_wait", condition);
    return PRIM_DONE;
}

/* The lock, which the fiber holds, and the wait for a notification, in one step. */
static enum prim_step let_go_and_wait(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_condition *condition = frame->object;
    coir_lock *lock = condition->lock;
    CLAIMED(claimed);
    guards_lock(condition);
    bool waits = handle_queue_push(&condition->object.handle, &condition->waiters, &frame->prim_own.waiter, fiber);
    if (likely(waits)) {
        frame->prim_own.number = (int64_t)lock->count - 1;
        absent_begin(lock, fiber, wait_of(frame));
        coir__held_remove(fiber, &lock->held);
        coir__lock_pass_on(lock, &claimed);
    }
    guards_unlock(condition);
    claimed_make_ready(&claimed);
    if (likely(waits)) {
        coir_lock_drop(lock);                           /* the holder's reference */
        return PRIM_WAIT;
    }
    *result = coir__handle_abandoned(fiber, "coir_condition_wait", awaited, condition->object.serial);
    return PRIM_DONE;
}

static enum prim_step take_lock_again(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_condition *condition = frame->object;
    coir_lock *lock = condition->lock;
    spin_lock(&lock->guard);
    absent_end(lock, wait_of(frame));
    bool is_free = lock->holder == NULL;
    if (is_free)
        coir__lock_own(lock, fiber, (uint64_t)frame->prim_own.number + 1);
    else
        coir__lock_wait(lock, &frame->prim_own.waiter, fiber);
    spin_unlock(&lock->guard);
    if (!is_free)
        return PRIM_WAIT;
    *result = coir_result_take(&wait_of(frame)->kept);
    return PRIM_DONE;
}

static enum prim_step wait_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    return frame->flags & NODE_FINAL ? take_lock_again(fiber, frame, result) : let_go_and_wait(fiber, frame, result);
}

/* The fiber will end with *result, and take the lock again before. */
static enum prim_step keep_result(coir_io *frame, coir_result *result)
{
    struct wait_for_notice *wait = wait_of(frame);
    coir__set(&wait->kept, result);
    set_stage(wait, TAKES_LOCK);
    frame->flags |= NODE_FINAL;
    return PRIM_WAIT;
}

/* By who passed the lock on; or by who gave the condition up, and left a panic. */
static enum prim_step wait_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    if (unlikely(result->tag != COIR_OK))
        return keep_result(frame, result);
    if (unlikely(frame->flags & NODE_FINAL))
        *result = coir_result_take(&wait_of(frame)->kept);
    return PRIM_DONE;
}

/* Takes the frame out of whatever queue it is in. Gives the stage in which it was. */
static enum stage leave(coir_fiber *fiber, coir_io *frame, bool goes_on)
{
    coir_condition *condition = frame->object;
    struct wait_for_notice *wait = wait_of(frame);
    CLAIMED(claimed);
    guards_lock(condition);
    enum stage stage = (enum stage)load_relaxed(&wait->stage);
    if (stage == AWAITS_NOTICE)
        handle_queue_remove(&condition->object.handle, &condition->waiters, &frame->prim_own.waiter);
    else
        queue_remove(&condition->lock->waiters, &frame->prim_own.waiter);
    if (goes_on && stage != TAKES_LOCK)
        absent_begin(condition->lock, fiber, wait);
    else
        absent_end(condition->lock, wait);
    if (stage == NOTIFIED)
        hand_on(condition, &claimed);
    guards_unlock(condition);
    claimed_make_ready(&claimed);
    return stage;
}

/* A verdict on who takes the lock again leaves him without it. */
static enum prim_step wait_interrupted(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    if (leave(fiber, frame, true) != TAKES_LOCK)
        return keep_result(frame, result);
    *result = coir_result_and(coir_result_take(&wait_of(frame)->kept), *result);
    return PRIM_DONE;
}

static void wait_disarm(coir_fiber *fiber, coir_io *frame)
{
    (void)leave(fiber, frame, false);
    coir_result_drop(&wait_of(frame)->kept);
}

static struct waits_for wait_waits_for(const coir_io *frame)
{
    const coir_condition *condition = frame->object;
    if (load_relaxed(&wait_of(frame)->stage) == AWAITS_NOTICE)
        return (struct waits_for){ .object = condition->object.serial };
    return (struct waits_for){ .holder = load_relaxed(&condition->lock->holder_id), .object = coir_lock_id(condition->lock), .awaits = "lock" };
}

static void condition_unref(coir_io *node) { coir_condition_drop(node->object); }

static const struct coir__prim wait_prim = {
    .name = "condition_wait", .awaits = awaited, .size = WAIT_SIZE, .attempt = wait_attempt, .arm = wait_arm, .woken = wait_woken,
    .disarm = wait_disarm, .interrupted = wait_interrupted, .drop = condition_unref, .waits_for = wait_waits_for,
};

/* ------------------------------------------------------------------------------------------------------------- notify */

/* The number of its node: how many. */
static enum prim_step notify_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_condition *condition = node->object;
    guards_lock(condition);
    bool is_held = condition->lock->holder == fiber;
    for (int64_t left = is_held ? node->prim_own.number : 0; left > 0 && !queue_is_empty(&condition->waiters); left--)
        notify_first(condition);
    guards_unlock(condition);
    coir__set_ok(result, coir_none());
    if (unlikely(!is_held))
        *result = not_held(fiber, node->prim_own.number == 1 ? "coir_condition_notify" : "coir_condition_notify_all", condition);
    return PRIM_DONE;
}

static const struct coir__prim notify_prim = {
    .name = "condition_notify", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = notify_attempt, .drop = condition_unref,
};
static const struct coir__prim notify_all_prim = {
    .name = "condition_notify_all", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = notify_attempt, .drop = condition_unref,
};

static coir_io *condition_io(const struct coir__prim *prim, coir_condition *condition, int64_t number)
{
    coir_io *node = condition == NULL ? NULL : coir__prim_new(prim, condition, number);
    if (node != NULL)
        coir_condition_ref(condition);
    return node;
}

coir_io *coir_condition_wait(coir_condition *condition)       { return condition_io(&wait_prim, condition, 0); }
coir_io *coir_condition_notify(coir_condition *condition)     { return condition_io(&notify_prim, condition, 1); }
coir_io *coir_condition_notify_all(coir_condition *condition) { return condition_io(&notify_all_prim, condition, INT64_MAX); }
