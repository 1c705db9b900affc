/*
 * barrier.c - a barrier: so many fibers wait for each other, then all go on, and the next so many may come
 *
 * Invariants, under the guard:
 *   1. `arrived` is the length of the queue, less than `parties`.
 *   2. The last to arrive takes the whole queue out and begins the next generation, in one step.
 *
 * Who is canceled leaves, unless his generation was complete before he came to the guard: then the others have gone on because of him, so he has been there, and
 * his wait ends as theirs. Hence a barrier is no case of an alternative: its last party would count those whose waits have just ended otherwise.
 */
#include "sync/object.h"

#include <coir/sync.h>

struct coir_barrier {
    struct object   object;
    int64_t         parties;                            /* I */
    _Atomic int64_t arrived;                            /* A, written under the guard */
    int64_t         generation;                         /* L */
    struct queue    waiters;                            /* L */
};

static const char awaited[] = "the other parties of barrier";

/* ------------------------------------------------------------------------------------------------------------- handle */

coir_barrier *coir_barrier_new(int64_t parties)
{
    coir_barrier *barrier = parties < 1 ? NULL : coir__alloc(sizeof *barrier);
    if (barrier == NULL) {
        errno = parties < 1 ? EINVAL : ENOMEM;
        return NULL;
    }
    object_init(&barrier->object);
    barrier->parties = parties;
    atomic_init(&barrier->arrived, 0);
    barrier->generation = 0;
    barrier->waiters = (struct queue){ NULL, NULL };
    return barrier;
}

coir_barrier *coir_barrier_ref(coir_barrier *barrier)
{
    if (barrier != NULL)
        handle_ref(&barrier->object.handle);
    return barrier;
}

void coir_barrier_drop(coir_barrier *barrier)
{
    if (barrier == NULL)
        return;
    struct queue *const queues[] = { &barrier->waiters, NULL };
    if (!coir__object_let_go(&barrier->object, queues, "coir_barrier_wait", awaited))
        return;
    coir__object_done(&barrier->object);
    coir__free(barrier, sizeof *barrier);
}

uint64_t coir_barrier_id(const coir_barrier *barrier) { return barrier == NULL ? 0 : barrier->object.serial; }
bool coir_barrier_expose(coir_barrier *barrier)       { return barrier != NULL && coir__object_expose(&barrier->object); }

int64_t coir_barrier_waiting(const coir_barrier *barrier)
{
    return barrier == NULL ? 0 : load_relaxed(&((coir_barrier *)(uintptr_t)barrier)->arrived);
}

/* -------------------------------------------------------------------------------------------------------- under guard */

static void barrier_arrived_add(coir_barrier *barrier, int64_t n) { store_relaxed(&barrier->arrived, load_relaxed(&barrier->arrived) + n); }

static void barrier_complete(coir_barrier *barrier, struct claimed *claimed)
{
    coir_fiber *fiber;
    barrier->generation++;
    store_relaxed(&barrier->arrived, (int64_t)0);
    while (!queue_is_empty(&barrier->waiters)) {
        enum claim claim = handle_queue_claim(&barrier->object.handle, &barrier->waiters, &fiber);
        if (claim != CLAIM_LOST)
            claimed_add_ok(claimed, fiber, claim, coir_bool(false));
    }
}

/* Of one who may be the last. WAIT: he is not. */
static enum prim_step barrier_arrive(coir_barrier *barrier, const coir_fiber *fiber, coir_result *result, struct claimed *claimed)
{
    if (unlikely(!object_serves(&barrier->object, fiber, queue_is_empty(&barrier->waiters)))) {
        coir__object_tell(result, WHY_REFUSED);
        return PRIM_DONE;
    }
    if (load_relaxed(&barrier->arrived) + 1 < barrier->parties)
        return PRIM_WAIT;
    barrier_complete(barrier, claimed);
    coir__set_ok(result, coir_bool(true));
    return PRIM_DONE;
}

/* --------------------------------------------------------------------------------------------------------------- wait */

static enum prim_step wait_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_barrier *barrier = node->object;
    CLAIMED(claimed);
    spin_lock(&barrier->object.guard);
    enum prim_step step = barrier_arrive(barrier, fiber, result, &claimed);
    spin_unlock(&barrier->object.guard);
    claimed_make_ready(&claimed);
    if (step == PRIM_DONE)
        (void)coir__object_told(fiber, node, result);
    return step;
}

static enum prim_step wait_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_barrier *barrier = frame->object;
    CLAIMED(claimed);
    spin_lock(&barrier->object.guard);
    enum prim_step step = barrier_arrive(barrier, fiber, result, &claimed);
    if (step == PRIM_WAIT) {
        frame->prim_own.number = barrier->generation;
        if (coir__object_enqueue(&barrier->waiters, fiber, frame, result))
            barrier_arrived_add(barrier, 1);
        else
            step = PRIM_DONE;
    }
    spin_unlock(&barrier->object.guard);
    claimed_make_ready(&claimed);
    if (step == PRIM_DONE)
        (void)coir__object_told(fiber, frame, result);
    return step;
}

static enum prim_step wait_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    (void)result;
    object_note_end(frame->object);
    return PRIM_DONE;
}

/* Gives whether the frame's generation was complete before. */
static bool leave(coir_io *frame)
{
    coir_barrier *barrier = frame->object;
    spin_lock(&barrier->object.guard);
    if (handle_queue_remove(&barrier->object.handle, &barrier->waiters, &frame->prim_own.waiter))
        barrier_arrived_add(barrier, -1);
    bool is_complete = barrier->generation != frame->prim_own.number;
    spin_unlock(&barrier->object.guard);
    object_note_end(&barrier->object);
    return is_complete;
}

static void wait_disarm(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    (void)leave(frame);
}

static enum prim_step wait_interrupted(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    if (leave(frame) && fiber->claimed_by == CLAIMED_BY_CANCEL)
        coir__set_ok(result, coir_bool(false));
    return PRIM_DONE;
}

static void barrier_unref(coir_io *node) { coir_barrier_drop(node->object); }

static const struct coir__prim wait_prim = {
    .name = "barrier_wait", .awaits = awaited, .size = NODE_SIZE_OF(prim_own), .attempt = wait_attempt, .arm = wait_arm, .woken = wait_woken,
    .disarm = wait_disarm, .interrupted = wait_interrupted, .drop = barrier_unref, .waits_for = coir__object_waits_for,
    .exposed_by = "coir_barrier_expose",
};

coir_io *coir_barrier_wait(coir_barrier *barrier)
{
    coir_io *node = barrier == NULL ? NULL : coir__prim_new(&wait_prim, barrier, 0);
    if (node != NULL)
        coir_barrier_ref(barrier);
    return node;
}
