/*
 * semaphore.c - a counting semaphore, fair and bounded
 *
 * Invariants, under `guard`:
 *   1. 0 <= available <= max.
 *   2. Who waits, waits because the first in the queue asks for more than is available: nobody overtakes.
 *   3. What a release makes possible it grants before it lets go of the guard.
 */
#include "sync/object.h"

#include "base/serial.h"

#include "resource/resource.h"

#include <coir/sync.h>

#include <inttypes.h>

struct coir_semaphore {
    struct handle     handle;                           /* A [HANDLE], its waiters under guard */
    ck_spinlock_fas_t guard;
    int64_t           max;                              /* I */
    uint64_t          serial;                           /* I */
    _Atomic int64_t   available;                        /* A, written under guard */
    struct queue      waiters;                          /* L */
    struct run_token *user;                             /* L: of the run whose fibers use it; NULL at first */
};

/* ------------------------------------------------------------------------------------------------------------- handle */

coir_semaphore *coir_semaphore_new_bounded(int64_t permits, int64_t max)
{
    coir_semaphore *semaphore = permits < 0 || max < permits ? NULL : coir__alloc(sizeof *semaphore);
    if (semaphore == NULL) {
        errno = permits < 0 || max < permits ? EINVAL : ENOMEM;
        return NULL;
    }
    handle_init(&semaphore->handle);
    ck_spinlock_fas_init(&semaphore->guard);
    semaphore->max = max;
    semaphore->serial = coir__serial_next();
    atomic_init(&semaphore->available, permits);
    semaphore->waiters = (struct queue){ NULL, NULL };
    semaphore->user = NULL;
    return semaphore;
}

coir_semaphore *coir_semaphore_new(int64_t permits) { return coir_semaphore_new_bounded(permits, permits); }

coir_semaphore *coir_semaphore_ref(coir_semaphore *semaphore)
{
    if (semaphore != NULL)
        handle_ref(&semaphore->handle);
    return semaphore;
}

static const char awaited[] = "permits of semaphore";

/* If only waiters would be left: nobody could give them anything. */
static void semaphore_abandon(coir_semaphore *semaphore)
{
    struct claimed_waits claimed = { NULL };
    spin_lock(&semaphore->guard);
    if (handle_has_only_waiters(&semaphore->handle))
        coir__handle_claim(&semaphore->handle, &semaphore->waiters, &claimed);
    spin_unlock(&semaphore->guard);
    coir__handle_wake(&claimed, "coir_acquire", awaited, semaphore->serial);
}

static NOINLINE void semaphore_let_go(coir_semaphore *semaphore, enum handle_end end)     /* MODEL handle.pml: drop */
{
    for (; end == HANDLE_ABANDONED; end = handle_let_go(&semaphore->handle))
        semaphore_abandon(semaphore);
    if (end == HANDLE_LIVES)
        return;
    coir__run_token_drop(semaphore->user);
    coir__free(semaphore, sizeof *semaphore);
}

void coir_semaphore_drop(coir_semaphore *semaphore)
{
    enum handle_end end = semaphore == NULL ? HANDLE_LIVES : handle_let_go(&semaphore->handle);
    if (unlikely(end != HANDLE_LIVES))
        semaphore_let_go(semaphore, end);
}

int64_t coir_semaphore_available(const coir_semaphore *semaphore)
{
    return semaphore == NULL ? 0 : load_relaxed(&((coir_semaphore *)(uintptr_t)semaphore)->available);
}

uint64_t coir_semaphore_id(const coir_semaphore *semaphore) { return semaphore == NULL ? 0 : semaphore->serial; }

/* -------------------------------------------------------------------------------------------------------- under guard */

/* Whether the fiber's run may use it: it does already, or nobody does. */
static inline bool semaphore_serves(coir_semaphore *semaphore, struct run_token *user)
{
    if (likely(semaphore->user == user))
        return true;
    bool unused = queue_is_empty(&semaphore->waiters) && load_relaxed(&semaphore->available) == semaphore->max;
    if (semaphore->user != NULL && !unused && !load_acquire(&semaphore->user->ended))
        return false;
    coir__run_token_drop(semaphore->user);
    semaphore->user = coir__run_token_ref(user);
    return true;
}

static int64_t wanted_by(struct waiter *waiter) { return frame_of_waiter(waiter)->prim_own.number; }

/* The first in the queue, if there is enough for it; or for another case of its alternative, which does not stand in its own way. NULL: neither. */
static inline struct waiter *next_to_grant(const coir_semaphore *semaphore, int64_t available)
{
    struct waiter *waiter = semaphore->waiters.first;
    const coir_fiber *first = waiter == NULL ? NULL : waiter->fiber;
    while (waiter != NULL && waiter->fiber == first && wanted_by(waiter) > available)
        waiter = waiter->next;
    return waiter != NULL && waiter->fiber == first ? waiter : NULL;
}

static inline void semaphore_grant(coir_semaphore *semaphore, struct claimed *claimed)         /* MODEL semaphore.pml: grant */
{
    int64_t available = load_relaxed(&semaphore->available);
    for (struct waiter *next; (next = next_to_grant(semaphore, available)) != NULL; ) {
        int64_t wanted = wanted_by(next);
        coir_fiber *fiber;
        enum claim claim = handle_queue_claim_one(&semaphore->handle, &semaphore->waiters, next, &fiber);
        if (claim == CLAIM_LOST)
            continue;
        available -= wanted;
        claimed_add_ok(claimed, fiber, claim, coir_none());
    }
    store_relaxed(&semaphore->available, available);
}

enum taking { TAKEN, REFUSED, BUSY };

static inline enum taking semaphore_take(coir_semaphore *semaphore, coir_fiber *fiber, int64_t permits)   /* MODEL semaphore.pml: take */
{
    if (unlikely(!semaphore_serves(semaphore, run_of(fiber)->token)))
        return REFUSED;
    int64_t available = load_relaxed(&semaphore->available);
    if (!queue_is_empty(&semaphore->waiters) || permits > available)
        return permits == 0 ? TAKEN : BUSY;
    store_relaxed(&semaphore->available, available - permits);
    return TAKEN;
}

/* ------------------------------------------------------------------------------------------------------------ acquire */

static coir_result too_many(const coir_fiber *fiber, const char *function, int64_t permits, const coir_semaphore *semaphore)
{
    char label[64];
    return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "%s: fiber%s asks for %" PRId64 " permits of semaphore %" PRIu64 ", which has %" PRId64, function,
                        coir__fiber_label(fiber, label, sizeof label), permits, semaphore->serial, semaphore->max);
}

static enum prim_step acquire_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)   /* MODEL semaphore.pml: attempt */
{
    coir_semaphore *semaphore = node->object;
    int64_t permits = node->prim_own.number;
    if (unlikely(permits > semaphore->max)) {
        *result = too_many(fiber, "coir_acquire", permits, semaphore);
        return PRIM_DONE;
    }
    if (permits > load_relaxed(&semaphore->available))
        return PRIM_WAIT;                               /* a hint that saves the guard: arm() asks again under it */
    spin_lock(&semaphore->guard);
    enum taking taking = semaphore_take(semaphore, fiber, permits);
    spin_unlock(&semaphore->guard);
    if (taking == BUSY)
        return PRIM_WAIT;
    *result = taking == TAKEN ? coir_ok(coir_none()) : refused("coir_acquire");
    return PRIM_DONE;
}

static struct ck_spinlock_fas *guard_of(const coir_io *frame) { return &((coir_semaphore *)frame->object)->guard; }

/* What is known under the guard; the errors are made afterwards. */
enum told { TOLD_TAKEN, TOLD_REFUSED, TOLD_TOO_MANY, TOLD_ABANDONED };

static inline enum prim_step acquire_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    coir_semaphore *semaphore = frame->object;
    int64_t permits = frame->prim_own.number;
    (void)claimed;
    if (unlikely(permits > semaphore->max)) {
        coir__set_ok(result, coir_uint(TOLD_TOO_MANY));
        return PRIM_DONE;
    }
    enum taking taking = semaphore_take(semaphore, fiber, permits);
    coir__set_ok(result, coir_uint(taking == TAKEN ? TOLD_TAKEN : TOLD_REFUSED));
    return taking == BUSY ? PRIM_WAIT : PRIM_DONE;
}

static inline bool acquire_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result)             /* MODEL semaphore.pml: arm */
{
    coir_semaphore *semaphore = frame->object;
    coir__set_ok(result, coir_uint(TOLD_ABANDONED));
    return handle_queue_push(&semaphore->handle, &semaphore->waiters, &frame->prim_own.waiter, fiber);
}

static void acquire_settle(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_semaphore *semaphore = frame->object;
    switch ((enum told)result->value.u64) {
    case TOLD_TAKEN:
        coir__set_ok(result, coir_none());
        break;
    case TOLD_REFUSED:
        *result = refused("coir_acquire");
        break;
    case TOLD_TOO_MANY:
        *result = too_many(fiber, "coir_acquire", frame->prim_own.number, semaphore);
        break;
    case TOLD_ABANDONED:
        *result = coir__handle_abandoned(fiber, "coir_acquire", awaited, semaphore->serial);
        break;
    }
}

static const struct coir__offer acquire_offer = {
    .guard = guard_of, .poll = acquire_poll, .enqueue = acquire_enqueue, .settle = acquire_settle
};

/* Leaving the head of the queue may let the next ones in. */
static void acquire_disarm(coir_fiber *fiber, coir_io *frame)                           /* MODEL semaphore.pml: disarm */
{
    coir_semaphore *semaphore = frame->object;
    CLAIMED(claimed);
    (void)fiber;
    spin_lock(&semaphore->guard);
    if (handle_queue_remove(&semaphore->handle, &semaphore->waiters, &frame->prim_own.waiter))
        semaphore_grant(semaphore, &claimed);
    spin_unlock(&semaphore->guard);
    claimed_make_ready(&claimed);
}

static void node_drop(coir_io *node) { coir_semaphore_drop(node->object); }

static struct waits_for acquire_waits_for(const coir_io *frame)
{
    const coir_semaphore *semaphore = frame->object;
    return (struct waits_for){ .object = semaphore->serial };
}

static enum prim_step try_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_semaphore *semaphore = node->object;
    int64_t permits = node->prim_own.number;
    if (unlikely(permits > semaphore->max)) {
        *result = too_many(fiber, "coir_try_acquire", permits, semaphore);
        return PRIM_DONE;
    }
    spin_lock(&semaphore->guard);
    enum taking taking = semaphore_take(semaphore, fiber, permits);
    spin_unlock(&semaphore->guard);
    *result = taking == REFUSED ? refused("coir_try_acquire") : coir_ok(coir_bool(taking == TAKEN));
    return PRIM_DONE;
}

static const struct coir__prim try_prim = {
    .name = "try_acquire", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = try_attempt, .drop = node_drop,
};

/* ------------------------------------------------------------------------------------------------------------ release */

static coir_result released_too_often(const coir_fiber *fiber, int64_t permits, const coir_semaphore *semaphore)
{
    char label[64];
    return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_release: fiber%s gives back %" PRId64 " permits, more than were taken of semaphore %" PRIu64,
                        coir__fiber_label(fiber, label, sizeof label), permits, semaphore->serial);
}

static enum prim_step release_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)   /* MODEL semaphore.pml: release */
{
    coir_semaphore *semaphore = node->object;
    int64_t permits = node->prim_own.number;
    CLAIMED(claimed);
    coir__set_ok(result, coir_none());
    spin_lock(&semaphore->guard);
    bool serves = semaphore_serves(semaphore, run_of(fiber)->token);
    int64_t available = load_relaxed(&semaphore->available);
    bool fits = permits <= semaphore->max - available;
    if (likely(serves && fits)) {
        store_relaxed(&semaphore->available, available + permits);
        if (!queue_is_empty(&semaphore->waiters))
            semaphore_grant(semaphore, &claimed);
    }
    spin_unlock(&semaphore->guard);
    claimed_make_ready(&claimed);
    if (unlikely(!serves))
        *result = refused("coir_release");
    else if (unlikely(!fits))
        *result = released_too_often(fiber, permits, semaphore);
    return PRIM_DONE;
}

static const struct coir__prim release_prim = {
    .name = "release", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = release_attempt, .drop = node_drop,
};

static void give_back(coir_fiber *fiber, const coir_io *frame, coir_result *result) { (void)release_attempt(fiber, frame, result); }

static enum prim_step acquire_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    return object_arm(&acquire_offer, fiber, frame, result);
}

static const struct coir__prim acquire_prim = {
    .name = "acquire", .holds = "with_permits", .awaits = awaited, .size = NODE_SIZE_OF(prim_own), .attempt = acquire_attempt,
    .arm = acquire_arm, .disarm = acquire_disarm, .drop = node_drop, .waits_for = acquire_waits_for, .give_back = give_back,
    .offer = &acquire_offer,
};

/* --------------------------------------------------------------------------------------------------------------- ios */

static coir_io *permits_io(const char *function, const struct coir__prim *prim, coir_semaphore *semaphore, int64_t permits)
{
    if (semaphore == NULL)
        return NULL;
    if (permits < 0)
        return coir__bad_argument(function, "a negative number of permits");
    coir_io *node = prim_node(prim, NODE_SIZE_OF(prim_own), semaphore, permits);
    if (likely(node != NULL))
        handle_ref(&semaphore->handle);
    return node;
}

coir_io *coir_acquire(coir_semaphore *semaphore, int64_t permits)
{
    return permits_io("coir_acquire", &acquire_prim, semaphore, permits);
}

coir_io *coir_try_acquire(coir_semaphore *semaphore, int64_t permits)
{
    return permits_io("coir_try_acquire", &try_prim, semaphore, permits);
}

coir_io *coir_release(coir_semaphore *semaphore, int64_t permits)
{
    return permits_io("coir_release", &release_prim, semaphore, permits);
}

coir_io *coir_with_permits(coir_semaphore *semaphore, int64_t permits, coir_io *io)
{
    if (semaphore == NULL || permits < 0) {
        coir_io_drop(io);
        return semaphore == NULL ? NULL : coir__bad_argument("coir_with_permits", "a negative number of permits");
    }
    coir_io *node = coir__hold(&acquire_prim, semaphore, permits, io);
    if (node != NULL)
        coir_semaphore_ref(semaphore);
    return node;
}

coir_resource *coir_permits(coir_semaphore *semaphore, int64_t permits)
{
    return coir__resource_pair(coir_acquire(semaphore, permits), coir_release(semaphore, permits));
}
