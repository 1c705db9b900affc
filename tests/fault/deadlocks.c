/*
 * deadlocks.c - fibers that can never go on: the verdict comes also without memory for what it wants to note and to say
 */
#include "fault.h"

/* -------------------------------------------------------------------------------------------------------------- rings */

/* Its holder waits for a fiber that waits for the lock. */
FAULT_PROGRAM(lock_and_join, "OK <PANIC DEADLOCK>")
{
    coir_lock *lock = coir_lock_new();
    coir_io *io = coir_with_lock(lock, coir_finally(joined(coir_with_lock(lock, coir_pure(thing(1)))), coir_pure(thing(2))));
    coir_lock_drop(lock);
    return fault_run(coir_attempt(io), options);
}

/* Three fibers that are let go when all are there: each with the handle of the one behind it, as far as there is one. */
enum { CIRCLE = 3 };
static struct { coir_fiber *fibers[CIRCLE]; struct gate gate; } circle = { .gate = GATE };

static coir_value behind(size_t index)
{
    coir_value all[CIRCLE];
    size_t count = 0;
    for (size_t i = index + 1; i < index + CIRCLE; i++)
        if (circle.fibers[i % CIRCLE] != NULL)
            all[count++] = coir_fiber_value(coir_fiber_ref(circle.fibers[i % CIRCLE]));
    return coir_list(count, all);
}

static coir_io *waiting_for(coir_value fibers, coir_io *(*wait)(const coir_value *fibers))
{
    if (fibers.type != &coir_list_type)
        return coir_pure(fibers);
    coir_io *io = coir_list_size(&fibers) == 0 ? coir_fail(coir_stringf("nobody")) : wait(&fibers);
    coir_drop(fibers);
    return io;
}
static coir_io *join_first(const coir_value *fibers) { return coir_join(coir_fiber_of(coir_list_at(fibers, 0))); }

struct place { size_t index; coir_io *(*wait)(const coir_value *fibers); };
static coir_io *wait_behind(void *place_)
{
    const struct place *place = place_;
    return waiting_for(behind(place->index), place->wait);
}

static coir_io *in_circle(size_t index, coir_io *(*wait)(const coir_value *fibers))
{
    coir_io *io = coir_then(passing(&circle.gate), coir_suspend_copy(wait_behind, COIR_ENV(struct place, index, wait)));
    return forking(coir_finally(coir_then(io, coir_pure(thing(1))), coir_pure(thing(2))), &circle.fibers[index]);
}

static coir_io *wait_for_circle(void *unused) { (void)unused; return waiting_for(behind(0), coir_wait); }

static coir_result run_circle(const coir_options *options, coir_io *(*wait)(const coir_value *fibers))
{
    circle.gate.is_open = false;
    memset(circle.fibers, 0, sizeof circle.fibers);
    coir_io *forks = coir_sequence(COIR_IOS(in_circle(0, wait), in_circle(1, wait), in_circle(2, wait)));
    coir_result result = fault_run(coir_then(coir_finally(forks, opening(&circle.gate)), coir_suspend(wait_for_circle, NULL)), options);
    for (size_t i = 0; i < CIRCLE; i++)
        coir_fiber_drop(circle.fibers[i]);
    return result;
}

FAULT_PROGRAM(circle_of_joins, "OK [<PANIC DEADLOCK> <PANIC DEADLOCK>]") { return run_circle(options, join_first); }

/* Who waits for the first of several waits for nobody in particular. */
FAULT_PROGRAM(circle_of_any, "OK [<PANIC DEADLOCK> <PANIC DEADLOCK>]") { return run_circle(options, coir_wait_any); }

/* ------------------------------------------------------------------------------------------------------------ silence */

static coir_io *recovered_code(void *env, coir_value *panic)
{
    (void)env;
    return coir_fail(coir_errorf(coir_error_code(panic), "recovered"));
}

FAULT_PROGRAM(silence, "OK [<ERROR DEADLOCK> <PANIC DEADLOCK also(ERROR thing 1)> <PANIC DEADLOCK>]")
{
    coir_semaphore *permits = coir_semaphore_new_bounded(0, 1);
    coir_io *all = coir_parallel(COIR_IOS(coir_recover(coir_never(), recovered_code, NULL),
                                          coir_finally(coir_acquire(permits, 1), coir_fail(thing(1))),
                                          coir_named(coir_with_permits(permits, 1, coir_pure(thing(2))), "a waiter")));
    coir_result result = coir_run(coir_flat_map(all, wait_it, NULL), options);
    coir_semaphore_drop(permits);
    return result;
}

/* The same, and nobody but those who wait has a reference. */
FAULT_PROGRAM(abandoned, "OK [<OK 0> <PANIC ABANDONED also(ERROR thing 1)> <PANIC ABANDONED>]")
{
    coir_semaphore *permits = coir_semaphore_new_bounded(0, 1);
    coir_io *all = coir_parallel(COIR_IOS(coir_repeat(coir_yield(), 10), coir_finally(coir_acquire(permits, 1), coir_fail(thing(1))),
                                          coir_named(coir_with_permits(permits, 1, coir_pure(thing(2))), "a waiter")));
    coir_semaphore_drop(permits);
    return fault_run(coir_flat_map(all, wait_it, NULL), options);
}

FAULT_PROGRAM(stopped_by_silence, "PANIC DEADLOCK")
{
    coir_options stopping = *options;
    stopping.on_deadlock = COIR_DEADLOCK_STOP;
    coir_lock *lock = coir_lock_new();
    coir_io *holds = coir_with_lock(lock, coir_finally(coir_never(), coir_pure(thing(1))));
    coir_io *waits = coir_finally(coir_then(coir_yield(), coir_with_lock(lock, coir_pure(thing(2)))), coir_pure(thing(3)));
    coir_io *all = coir_parallel(COIR_IOS(holds, waits));
    coir_lock_drop(lock);
    return fault_run(coir_then_keep(coir_pure(thing(4)), coir_flat_map(all, wait_it, NULL)), &stopping);
}

FAULT_PROGRAM(stopped_by_a_ring, "PANIC DEADLOCK")
{
    coir_options stopping = *options;
    stopping.on_deadlock = COIR_DEADLOCK_STOP;
    return run_circle(&stopping, join_first);
}
