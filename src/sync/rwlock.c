/*
 * rwlock.c - a read-write lock: many read or one writes, in order of arrival
 *
 * Invariants, under the guard, when nobody is at work:
 *   1. While somebody writes nobody else reads.
 *   2. Who waits, waits because the first in the queue cannot have it: nobody overtakes, so a writer who waits holds new readers back.
 *   3. Each reader has a record of its own in the list of what his fiber holds, by which he is known: he may read again, though a writer waits.
 *   4. What a release, or one who leaves the queue, makes possible is granted before the guard is let go.
 *
 * The record of a reader who waits is had before, and stands in his frame: granting allocates nothing.
 *
 * A lock that fibers wait for cannot be abandoned (sync/handle.h): somebody holds it, who keeps a reference for as long.
 */
#include "sync/object.h"

#include "resource/resource.h"

#include <coir/sync.h>

#include <inttypes.h>

/* That a fiber reads. */
struct reading {
    struct held     held;                               /* in its fiber's list */
    struct reading *next, *prev;                        /* L: in the lock's */
    coir_rwlock    *lock;                               /* I: a reference */
    coir_fiber     *fiber;                              /* L */
    uint64_t        count;                              /* O, its fiber's worker: how often */
};

struct coir_rwlock {
    struct object    object;
    coir_fiber      *writer;                            /* L */
    uint64_t         writes;                            /* L: how often it has it */
    struct reading  *readings;                          /* L */
    _Atomic uint64_t writer_id, reader_id;              /* A, written under the guard: of the writer, of one reader; 0: none. For the search for deadlocks */
    struct queue     waiters;                           /* L */
    struct held      held;                              /* of the writer */
};

static const char awaited[] = "read-write lock";
static const struct coir__prim read_prim, write_prim;

/* ------------------------------------------------------------------------------------------------------------- handle */

static void writer_abandon(struct held *held);

coir_rwlock *coir_rwlock_new(void)
{
    coir_rwlock *lock = coir__alloc(sizeof *lock);
    if (lock == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    object_init(&lock->object);
    lock->writer = NULL;
    lock->writes = 0;
    lock->readings = NULL;
    atomic_init(&lock->writer_id, 0);
    atomic_init(&lock->reader_id, 0);
    lock->waiters = (struct queue){ NULL, NULL };
    lock->held = (struct held){ .abandon = writer_abandon, .serial = lock->object.serial };
    return lock;
}

coir_rwlock *coir_rwlock_ref(coir_rwlock *lock)
{
    if (lock != NULL)
        handle_ref(&lock->object.handle);
    return lock;
}

void coir_rwlock_drop(coir_rwlock *lock)
{
    struct queue *const nobody[] = { NULL };
    if (lock == NULL || !coir__object_let_go(&lock->object, nobody, "coir_rwlock", awaited))
        return;
    coir__object_done(&lock->object);
    coir__free(lock, sizeof *lock);
}

uint64_t coir_rwlock_id(const coir_rwlock *lock) { return lock == NULL ? 0 : lock->object.serial; }
bool coir_rwlock_expose(coir_rwlock *lock)       { return lock != NULL && coir__object_expose(&lock->object); }

/* ----------------------------------------------------------------------------------------------------------- readings */

static void reading_abandon(struct held *held);

/* Of the fiber that runs, or whose wait is claimed. NULL: it does not read. */
static struct reading *reading_of(const coir_rwlock *lock, const coir_fiber *fiber)
{
    for (struct held *held = fiber->held; held != NULL; held = held->next)
        if (held->abandon == reading_abandon && container_of(held, struct reading, held)->lock == lock)
            return container_of(held, struct reading, held);
    return NULL;
}

static struct reading *reading_new(coir_rwlock *lock)
{
    struct reading *reading = coir__alloc(sizeof *reading);
    if (reading != NULL)
        *reading = (struct reading){ .held = { .abandon = reading_abandon, .serial = lock->object.serial }, .lock = lock, .count = 1 };
    return reading;
}

static void reading_free(struct reading *reading)
{
    if (reading != NULL)
        coir__free(reading, sizeof *reading);
}

/* The record of a frame that waits to read. */
static struct reading *spare_of(const coir_io *frame)             { return (struct reading *)(intptr_t)frame->prim_own.number; }
static void set_spare(coir_io *frame, struct reading *reading)    { frame->prim_own.number = (intptr_t)reading; }

/* -------------------------------------------------------------------------------------------------------- under guard */

/* Of an exposed one a holder may be another run's, of whom that search knows nothing. A new reader to wait for may close a ring though no wait begins. */
static void note_holders(coir_rwlock *lock)
{
    bool is_exposed = load_relaxed(&lock->object.exposed);
    const coir_fiber *reader = lock->readings == NULL ? NULL : lock->readings->fiber;
    store_relaxed(&lock->writer_id, lock->writer == NULL || is_exposed ? 0 : lock->writer->id);        /* relaxed: who reads it checks that nobody has moved */
    store_relaxed(&lock->reader_id, reader == NULL || is_exposed ? 0 : reader->id);
    if (unlikely(!queue_is_empty(&lock->waiters) && coir__me.seat != NULL))
        counter_add(&coir__me.seat->edges_begun, 1);
}

static void write_begin(coir_rwlock *lock, coir_fiber *fiber)
{
    lock->writer = fiber;
    lock->writes = 1;
    coir__held_add(fiber, &lock->held);
    coir_rwlock_ref(lock);                              /* held: it must not die before it is released */
    note_holders(lock);
}

static void read_begin(coir_rwlock *lock, coir_fiber *fiber, struct reading *reading)
{
    reading->fiber = fiber;
    reading->prev = NULL;
    reading->next = lock->readings;
    if (reading->next != NULL)
        reading->next->prev = reading;
    lock->readings = reading;
    coir__held_add(fiber, &reading->held);
    coir_rwlock_ref(lock);
    note_holders(lock);
}

static bool may_go(const coir_rwlock *lock, const struct coir__prim *prim)
{
    return lock->writer == NULL && (prim == &read_prim || lock->readings == NULL);
}

/* To the first in the queue, as long as he may have it. */
static void rwlock_grant(coir_rwlock *lock, struct claimed *claimed)
{
    while (!queue_is_empty(&lock->waiters)) {
        coir_io *frame = frame_of_waiter(lock->waiters.first);
        const struct coir__prim *prim = frame->prim;
        coir_fiber *fiber;
        if (!may_go(lock, prim))
            return;
        enum claim claim = queue_claim(&lock->waiters, &fiber);
        if (claim == CLAIM_LOST)
            continue;
        if (prim == &write_prim) {
            write_begin(lock, fiber);
        } else {
            read_begin(lock, fiber, spare_of(frame));
            set_spare(frame, NULL);
        }
        claimed_add_ok(claimed, fiber, claim, coir_none());
    }
}

static void read_end(coir_rwlock *lock, struct reading *reading, struct claimed *claimed)
{
    *(reading->prev == NULL ? &lock->readings : &reading->prev->next) = reading->next;
    if (reading->next != NULL)
        reading->next->prev = reading->prev;
    note_holders(lock);
    rwlock_grant(lock, claimed);
}

static void write_end(coir_rwlock *lock, struct claimed *claimed)
{
    lock->writer = NULL;
    note_holders(lock);
    rwlock_grant(lock, claimed);
}

/* MIXED: it reads, as others do: it would wait for itself. */
enum taking { TAKEN, BUSY, REFUSED, MIXED };

static bool is_unused(const coir_rwlock *lock) { return lock->writer == NULL && lock->readings == NULL && queue_is_empty(&lock->waiters); }

/* With a record, which is taken if it is used. It is there unless the fiber reads already. */
static enum taking take_to_read(coir_rwlock *lock, coir_fiber *fiber, struct reading **spare)
{
    struct reading *own = reading_of(lock, fiber);
    if (unlikely(!object_serves(&lock->object, fiber, is_unused(lock))))
        return REFUSED;
    if (own != NULL) {
        own->count++;
        return TAKEN;
    }
    if (lock->writer != fiber && !(queue_is_empty(&lock->waiters) && may_go(lock, &read_prim)))
        return BUSY;
    read_begin(lock, fiber, *spare);
    *spare = NULL;
    return TAKEN;
}

static enum taking take_to_write(coir_rwlock *lock, coir_fiber *fiber)
{
    struct reading *own = reading_of(lock, fiber);
    if (unlikely(!object_serves(&lock->object, fiber, is_unused(lock))))
        return REFUSED;
    if (lock->writer == fiber) {
        lock->writes++;
        return TAKEN;
    }
    if (own != NULL && (own->prev != NULL || own->next != NULL))
        return MIXED;
    if (own == NULL && !(queue_is_empty(&lock->waiters) && may_go(lock, &write_prim)))
        return BUSY;
    write_begin(lock, fiber);
    return TAKEN;
}

/* ------------------------------------------------------------------------------------------------------------ acquire */

static bool is_to_read(const coir_io *node);

static coir_result mixed(const coir_fiber *fiber, const coir_rwlock *lock)
{
    char label[64];
    return coir_raise(coir__error(DOMAIN_COIR, COIR_REFUSED, "coir_write_lock_acquire: fiber%s reads under read-write lock %" PRIu64
                                  ", as others do: it would wait for itself", coir__fiber_label(fiber, label, sizeof label), lock->object.serial));
}

static coir_result taken(const coir_fiber *fiber, const coir_io *node, enum taking taking)
{
    char function[FUNCTION_SIZE];
    if (likely(taking == TAKEN))
        return coir_ok(coir_none());
    return taking == MIXED ? mixed(fiber, node->object) : refused(coir__function_of(node->prim, function));
}

/* Under the guard. */
static enum taking take(coir_fiber *fiber, const coir_io *node, struct reading **spare)
{
    return is_to_read(node) ? take_to_read(node->object, fiber, spare) : take_to_write(node->object, fiber);
}

/* Without waiting. False: there is no memory. */
static bool take_at_once(coir_fiber *fiber, const coir_io *node, enum taking *taking)
{
    coir_rwlock *lock = node->object;
    bool needs_record = is_to_read(node) && reading_of(lock, fiber) == NULL;
    struct reading *spare = needs_record ? reading_new(lock) : NULL;
    if (unlikely(needs_record && spare == NULL))
        return false;
    spin_lock(&lock->object.guard);
    *taking = take(fiber, node, &spare);
    spin_unlock(&lock->object.guard);
    reading_free(spare);
    return true;
}

static enum prim_step acquire_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    enum taking taking;
    if (unlikely(!take_at_once(fiber, node, &taking)))
        *result = coir__no_memory();
    else if (taking == BUSY)
        return PRIM_WAIT;
    else
        *result = taken(fiber, node, taking);
    return PRIM_DONE;
}

/* What can only be had by waiting, or never, is not to be had. */
static enum prim_step try_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    enum taking taking;
    if (unlikely(!take_at_once(fiber, node, &taking)))
        *result = coir__no_memory();
    else
        *result = taking == REFUSED ? taken(fiber, node, taking) : coir_ok(coir_bool(taking == TAKEN));
    return PRIM_DONE;
}

static struct ck_spinlock_fas *guard_of(const coir_io *frame) { return &((coir_rwlock *)frame->object)->object.guard; }

static bool acquire_begin(coir_io *frame, coir_result *result)
{
    set_spare(frame, is_to_read(frame) ? reading_new(frame->object) : NULL);
    if (likely(!is_to_read(frame) || spare_of(frame) != NULL))
        return true;
    *result = coir__no_memory();
    return false;
}

static void acquire_end(coir_io *frame)
{
    reading_free(spare_of(frame));
    set_spare(frame, NULL);
}

/* What is known under the guard; the error is made afterwards. */
static enum prim_step acquire_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    struct reading *spare = spare_of(frame);
    enum taking taking = take(fiber, frame, &spare);
    (void)claimed;
    set_spare(frame, spare);
    coir__set_ok(result, coir_uint(taking));
    return taking == BUSY ? PRIM_WAIT : PRIM_DONE;
}

static bool acquire_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_rwlock *lock = frame->object;
    (void)result;
    object_note(&lock->object);
    counter_add(&coir__me.seat->edges_begun, 1);
    queue_push(&lock->waiters, &frame->prim_own.waiter, fiber);
    return true;
}

static void acquire_settle(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    *result = taken(fiber, frame, (enum taking)result->value.u64);
}

static const struct coir__offer acquire_offer = {
    .guard = guard_of, .begin = acquire_begin, .end = acquire_end, .poll = acquire_poll, .enqueue = acquire_enqueue, .settle = acquire_settle
};

static enum prim_step acquire_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    (void)result;
    object_note_end(frame->object);
    acquire_end(frame);
    return PRIM_DONE;
}

/* A writer who leaves may let readers in. */
static void acquire_disarm(coir_fiber *fiber, coir_io *frame)
{
    coir_rwlock *lock = frame->object;
    CLAIMED(claimed);
    (void)fiber;
    spin_lock(&lock->object.guard);
    if (queue_remove(&lock->waiters, &frame->prim_own.waiter))
        rwlock_grant(lock, &claimed);
    spin_unlock(&lock->object.guard);
    claimed_make_ready(&claimed);
    object_note_end(&lock->object);
    acquire_end(frame);
}

/* Who waits to write waits for each of those who read. Who waits to read, for a writer; or he waits behind one, who may be called off. */
static struct waits_for acquire_waits_for(const coir_io *frame)
{
    const coir_rwlock *lock = frame->object;
    uint64_t writer = load_relaxed(&lock->writer_id);
    uint64_t reader = is_to_read(frame) ? 0 : load_relaxed(&lock->reader_id);
    return (struct waits_for){ .holder = writer != 0 ? writer : reader, .object = lock->object.serial };
}

static void rwlock_unref(coir_io *node) { coir_rwlock_drop(node->object); }

/* ------------------------------------------------------------------------------------------------------------ release */

static coir_result not_held(const coir_fiber *fiber, const char *function, const coir_rwlock *lock)
{
    char label[64];
    return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "%s: fiber%s releases read-write lock %" PRIu64 ", which it does not hold so", function,
                        coir__fiber_label(fiber, label, sizeof label), lock->object.serial);
}

static void release_read(coir_fiber *fiber, coir_rwlock *lock, coir_result *result)
{
    struct reading *reading = reading_of(lock, fiber);
    CLAIMED(claimed);
    coir__set_ok(result, coir_none());
    if (unlikely(reading == NULL))
        *result = not_held(fiber, "coir_read_lock_release", lock);
    if (reading == NULL || --reading->count > 0)
        return;
    coir__held_remove(fiber, &reading->held);
    spin_lock(&lock->object.guard);
    read_end(lock, reading, &claimed);
    spin_unlock(&lock->object.guard);
    claimed_make_ready(&claimed);
    reading_free(reading);
    coir_rwlock_drop(lock);
}

static void release_write(coir_fiber *fiber, coir_rwlock *lock, coir_result *result)
{
    CLAIMED(claimed);
    spin_lock(&lock->object.guard);
    bool is_writer = lock->writer == fiber, is_last = is_writer && --lock->writes == 0;
    if (is_last) {
        coir__held_remove(fiber, &lock->held);
        write_end(lock, &claimed);
    }
    spin_unlock(&lock->object.guard);
    claimed_make_ready(&claimed);
    if (is_last)
        coir_rwlock_drop(lock);
    coir__set_ok(result, coir_none());
    if (unlikely(!is_writer))
        *result = not_held(fiber, "coir_write_lock_release", lock);
}

static void give_back(coir_fiber *fiber, const coir_io *frame, coir_result *result)
{
    if (is_to_read(frame))
        release_read(fiber, frame->object, result);
    else
        release_write(fiber, frame->object, result);
}

static enum prim_step release_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    give_back(fiber, node, result);
    return PRIM_DONE;
}

/* Its fiber has ended with it. */
static void reading_abandon(struct held *held)
{
    struct reading *reading = container_of(held, struct reading, held);
    coir_rwlock *lock = reading->lock;
    CLAIMED(claimed);
    spin_lock(&lock->object.guard);
    read_end(lock, reading, &claimed);
    spin_unlock(&lock->object.guard);
    claimed_make_ready(&claimed);
    reading_free(reading);
    coir_rwlock_drop(lock);
}

static void writer_abandon(struct held *held)
{
    coir_rwlock *lock = container_of(held, coir_rwlock, held);
    CLAIMED(claimed);
    spin_lock(&lock->object.guard);
    write_end(lock, &claimed);
    spin_unlock(&lock->object.guard);
    claimed_make_ready(&claimed);
    coir_rwlock_drop(lock);
}

/* --------------------------------------------------------------------------------------------------------------- ios */

#define ACQUIRES(name_, holds_)                                                                                         \
    {                                                                                                                   \
        .name = name_, .holds = holds_, .awaits = awaited, .size = NODE_SIZE_OF(prim_own), .attempt = acquire_attempt,  \
        .arm = coir__object_arm, .woken = acquire_woken, .disarm = acquire_disarm, .drop = rwlock_unref,                \
        .waits_for = acquire_waits_for, .exposed_by = "coir_rwlock_expose", .give_back = give_back, .offer = &acquire_offer                                 \
    }
#define ACTS(name_, attempt_)                                                                                           \
    { .name = name_, .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = attempt_, .drop = rwlock_unref }

static const struct coir__prim
    read_prim = ACQUIRES("read_lock_acquire", "with_read_lock"), write_prim = ACQUIRES("write_lock_acquire", "with_write_lock"),
    try_read_prim = ACTS("read_lock_try", try_attempt), try_write_prim = ACTS("write_lock_try", try_attempt),
    read_end_prim = ACTS("read_lock_release", release_attempt), write_end_prim = ACTS("write_lock_release", release_attempt);

static bool is_to_read(const coir_io *node)
{
    return node->prim == &read_prim || node->prim == &try_read_prim || node->prim == &read_end_prim;
}

static coir_io *rwlock_io(const struct coir__prim *prim, coir_rwlock *lock)
{
    coir_io *node = lock == NULL ? NULL : coir__prim_new(prim, lock, 0);
    if (node != NULL)
        coir_rwlock_ref(lock);
    return node;
}

static coir_io *with(const struct coir__prim *prim, coir_rwlock *lock, coir_io *io)
{
    if (lock == NULL) {
        coir_io_drop(io);
        return NULL;
    }
    coir_io *node = coir__hold(prim, lock, 0, io);
    if (node != NULL)
        coir_rwlock_ref(lock);
    return node;
}

coir_io *coir_read_lock_acquire(coir_rwlock *lock)  { return rwlock_io(&read_prim, lock); }
coir_io *coir_write_lock_acquire(coir_rwlock *lock) { return rwlock_io(&write_prim, lock); }
coir_io *coir_read_lock_try(coir_rwlock *lock)      { return rwlock_io(&try_read_prim, lock); }
coir_io *coir_write_lock_try(coir_rwlock *lock)     { return rwlock_io(&try_write_prim, lock); }
coir_io *coir_read_lock_release(coir_rwlock *lock)  { return rwlock_io(&read_end_prim, lock); }
coir_io *coir_write_lock_release(coir_rwlock *lock) { return rwlock_io(&write_end_prim, lock); }

coir_io *coir_with_read_lock(coir_rwlock *lock, coir_io *io)  { return with(&read_prim, lock, io); }
coir_io *coir_with_write_lock(coir_rwlock *lock, coir_io *io) { return with(&write_prim, lock, io); }

coir_resource *coir_read_lock_held(coir_rwlock *lock)
{
    return coir__resource_pair(coir_read_lock_acquire(lock), coir_read_lock_release(lock));
}

coir_resource *coir_write_lock_held(coir_rwlock *lock)
{
    return coir__resource_pair(coir_write_lock_acquire(lock), coir_write_lock_release(lock));
}
