/*
 * lock.c - a reentrant lock, handed from its holder to the first who waits
 *
 * Invariants, under `guard`:
 *   1. Who waits, waits because somebody holds it: a free lock has no waiters.
 *   2. A release gives it to the first waiter whose wait can be claimed; nobody can come between.
 *   3. `held` is in the holder's list of what it holds, as long as there is one.
 *
 * A lock that fibers wait for cannot be abandoned (sync/handle.h): it has a holder, which keeps a reference for as long as it holds it.
 */
#include "sync/lock.h"
#include "sync/object.h"

#include "base/serial.h"

#include "resource/resource.h"

#include <inttypes.h>

/* ------------------------------------------------------------------------------------------------------------- handle */

static void lock_abandon(struct held *held);

coir_lock *coir_lock_new(void)
{
    coir_lock *lock = coir__alloc(sizeof *lock);
    if (lock == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    atomic_init(&lock->refs, 1);
    ck_spinlock_fas_init(&lock->guard);
    lock->holder = NULL;
    atomic_init(&lock->holder_id, 0);
    lock->count = 0;
    lock->waiters = (struct queue){ NULL, NULL };
    lock->held = (struct held){ .abandon = lock_abandon, .serial = coir__serial_next() };
    lock->absent = 0;
    lock->absent_of = NULL;
    return lock;
}

coir_lock *coir_lock_ref(coir_lock *lock)
{
    if (lock != NULL)
        fetch_add_relaxed(&lock->refs, 1u);
    return lock;
}

void coir_lock_drop(coir_lock *lock)
{
    if (lock != NULL && fetch_sub_acq_rel(&lock->refs, 1u) == 1)
        coir__free(lock, sizeof *lock);
}

uint64_t coir_lock_id(const coir_lock *lock) { return lock == NULL ? 0 : lock->held.serial; }

/* -------------------------------------------------------------------------------------------------------- under guard */

void coir__lock_own(coir_lock *lock, coir_fiber *fiber, uint64_t count)
{
    lock->holder = fiber;
    lock->count = count;
    store_relaxed(&lock->holder_id, fiber->id);         /* relaxed: who reads it checks afterwards that nobody has moved */
    coir__held_add(fiber, &lock->held);
    coir_lock_ref(lock);                                /* held: it must not die before it is released */
}

void coir__lock_pass_on(coir_lock *lock, struct claimed *claimed)                       /* MODEL lock.pml: pass_on */
{
    lock->holder = NULL;
    store_relaxed(&lock->holder_id, (uint64_t)0);
    while (!queue_is_empty(&lock->waiters)) {
        coir_fiber *fiber;
        uint64_t count = (uint64_t)frame_of_waiter(lock->waiters.first)->prim_own.number + 1;
        enum claim claim = queue_claim(&lock->waiters, &fiber);
        if (claim == CLAIM_LOST)
            continue;
        coir__lock_own(lock, fiber, count);
        claimed_add_ok(claimed, fiber, claim, coir_none());
        return;
    }
}

void coir__lock_wait(coir_lock *lock, struct waiter *waiter, coir_fiber *fiber)
{
    counter_add(&coir__me.seat->edges_begun, 1);
    queue_push(&lock->waiters, waiter, fiber);
}

/* ------------------------------------------------------------------------------------------------------------ acquire */

enum taking { TAKEN, REFUSED, BUSY };

static enum taking lock_take(coir_lock *lock, coir_fiber *fiber)                        /* MODEL lock.pml: take */
{
    if (lock->holder == NULL) {
        if (unlikely(lock->absent > 0 && lock->absent_of != run_of(fiber)))
            return REFUSED;
        coir__lock_own(lock, fiber, 1);
        return TAKEN;
    }
    if (lock->holder == fiber) {
        lock->count++;
        return TAKEN;
    }
    return run_of(lock->holder) == run_of(fiber) ? BUSY : REFUSED;
}

static coir_result lock_result(enum taking taking)
{
    return taking == TAKEN ? coir_ok(coir_none()) : refused("coir_lock_acquire");
}

static enum prim_step acquire_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)   /* MODEL lock.pml: attempt */
{
    coir_lock *lock = node->object;
    spin_lock(&lock->guard);
    enum taking taking = lock_take(lock, fiber);
    spin_unlock(&lock->guard);
    if (taking == BUSY)
        return PRIM_WAIT;
    *result = lock_result(taking);
    return PRIM_DONE;
}

static struct ck_spinlock_fas *guard_of(const coir_io *frame) { return &((coir_lock *)frame->object)->guard; }

/* What is known under the guard; the error is made afterwards. */
static enum prim_step acquire_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    enum taking taking = lock_take(frame->object, fiber);
    (void)claimed;
    coir__set_ok(result, coir_uint(taking));
    return taking == BUSY ? PRIM_WAIT : PRIM_DONE;
}

static bool acquire_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result)             /* MODEL lock.pml: arm */
{
    coir_lock *lock = frame->object;
    (void)result;
    coir__lock_wait(lock, &frame->prim_own.waiter, fiber);
    return true;
}

static void acquire_settle(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    (void)frame;
    *result = lock_result((enum taking)result->value.u64);
}

static const struct coir__offer acquire_offer = {
    .guard = guard_of, .poll = acquire_poll, .enqueue = acquire_enqueue, .settle = acquire_settle
};

static void acquire_disarm(coir_fiber *fiber, coir_io *frame)                           /* MODEL lock.pml: disarm */
{
    coir_lock *lock = frame->object;
    (void)fiber;
    spin_lock(&lock->guard);
    queue_remove(&lock->waiters, &frame->prim_own.waiter);
    spin_unlock(&lock->guard);
}

static void node_drop(coir_io *node) { coir_lock_drop(node->object); }

static struct waits_for acquire_waits_for(const coir_io *frame)
{
    const coir_lock *lock = frame->object;
    return (struct waits_for){ .holder = load_relaxed(&lock->holder_id), .object = lock->held.serial };
}

static enum prim_step try_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_lock *lock = node->object;
    spin_lock(&lock->guard);
    enum taking taking = lock_take(lock, fiber);
    spin_unlock(&lock->guard);
    *result = taking == REFUSED ? refused("coir_lock_try") : coir_ok(coir_bool(taking == TAKEN));
    return PRIM_DONE;
}

static const struct coir__prim try_prim = {
    .name = "lock_try", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = try_attempt, .drop = node_drop,
};

/* ------------------------------------------------------------------------------------------------------------ release */

static coir_result not_held(const coir_fiber *fiber, const coir_lock *lock, uint64_t holder)
{
    char label[64], who[32] = "nobody";
    if (holder != 0)
        snprintf(who, sizeof who, "fiber %" PRIu64, holder);
    return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_lock_release: fiber%s releases lock %" PRIu64 " that %s holds",
                        coir__fiber_label(fiber, label, sizeof label), lock->held.serial, who);
}

static enum prim_step release_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)   /* MODEL lock.pml: release */
{
    coir_lock *lock = node->object;
    CLAIMED(claimed);
    spin_lock(&lock->guard);
    if (lock->holder != fiber) {
        uint64_t holder = load_relaxed(&lock->holder_id);
        spin_unlock(&lock->guard);
        *result = not_held(fiber, lock, holder);
        return PRIM_DONE;
    }
    bool last = --lock->count == 0;
    if (last) {
        coir__held_remove(fiber, &lock->held);
        coir__lock_pass_on(lock, &claimed);
    }
    spin_unlock(&lock->guard);
    claimed_make_ready(&claimed);
    if (last)
        coir_lock_drop(lock);
    coir__set_ok(result, coir_none());
    return PRIM_DONE;
}

static const struct coir__prim release_prim = {
    .name = "lock_release", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = release_attempt, .drop = node_drop,
};

static void give_back(coir_fiber *fiber, const coir_io *frame, coir_result *result) { (void)release_attempt(fiber, frame, result); }

static const struct coir__prim acquire_prim = {
    .name = "lock_acquire", .holds = "with_lock", .awaits = "lock", .size = NODE_SIZE_OF(prim_own), .attempt = acquire_attempt, .arm = coir__object_arm,
    .disarm = acquire_disarm, .drop = node_drop, .waits_for = acquire_waits_for, .give_back = give_back,
    .offer = &acquire_offer,
};

/* The holder has ended with it. */
static void lock_abandon(struct held *held)
{
    coir_lock *lock = container_of(held, coir_lock, held);
    CLAIMED(claimed);
    spin_lock(&lock->guard);
    lock->count = 0;
    coir__lock_pass_on(lock, &claimed);
    spin_unlock(&lock->guard);
    claimed_make_ready(&claimed);
    coir_lock_drop(lock);
}

/* --------------------------------------------------------------------------------------------------------------- ios */

static coir_io *lock_io(const struct coir__prim *prim, coir_lock *lock)
{
    coir_io *node = lock == NULL ? NULL : coir__prim_new(prim, lock, 0);
    if (node != NULL)
        coir_lock_ref(lock);
    return node;
}

coir_io *coir_lock_acquire(coir_lock *lock) { return lock_io(&acquire_prim, lock); }
coir_io *coir_lock_try(coir_lock *lock)     { return lock_io(&try_prim, lock); }
coir_io *coir_lock_release(coir_lock *lock) { return lock_io(&release_prim, lock); }

coir_io *coir_with_lock(coir_lock *lock, coir_io *io)
{
    if (lock == NULL) {
        coir_io_drop(io);
        return NULL;
    }
    coir_io *node = coir__hold(&acquire_prim, lock, 0, io);
    if (node != NULL)
        coir_lock_ref(lock);
    return node;
}

coir_resource *coir_lock_held(coir_lock *lock) { return coir__resource_pair(coir_lock_acquire(lock), coir_lock_release(lock)); }
