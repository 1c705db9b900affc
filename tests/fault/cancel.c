/*
 * cancel.c - fibers that are asked to stop, time-outs and masks: what unwinds needs no memory
 */
#include "fault.h"

/* --------------------------------------------------------------------------------------------------------- cancelling */

/* What the bodies below open is closed when they are canceled. */
static atomic_int opened;
static coir_result open_it(void *env)  { (void)env; atomic_fetch_add(&opened, 1); return coir_ok(coir_none()); }
static coir_result close_it(void *env) { (void)env; atomic_fetch_sub(&opened, 1); return coir_ok(coir_none()); }
static coir_io *open_while(coir_io *io)
{
    return coir_finally(coir_then(coir_defer(open_it, NULL), io), coir_defer(close_it, NULL));
}

static coir_io *cancel_them(void *env, coir_value *fibers)
{
    (void)env;
    coir_io *cancel = coir_cancel_all(fibers), *wait = coir_wait(fibers);
    return coir_then(cancel, wait);
}

/* A callback that is asked to be quick, and is. */
struct hurried { coir_callback k; };
static void start_slow(void *env, void *op, coir_callback k)   { (void)env; ((struct hurried *)op)->k = k; }
static void hurry(void *env, void *op)                         { (void)env; coir_resume(((struct hurried *)op)->k, coir_raise(thing(9))); }
static const coir_async_type slow_type = { .op_size = sizeof(struct hurried), .start = start_slow, .cancel = hurry };

/* However far each has come when it is asked. Should there be no memory to ask, the end of the main fiber does. */
FAULT_PROGRAM(canceled_waits, "OK 8")
{
    coir_options canceling = *options;
    canceling.cancel_rest = true;
    atomic_store(&opened, 0);
    coir_semaphore *none_left = coir_semaphore_new_bounded(0, 1);
    coir_lock *lock = coir_lock_new();
    coir_io *locked = open_while(coir_with_lock(lock, coir_never())), *again = coir_io_ref(locked);
    coir_io *all = coir_parallel(COIR_IOS(open_while(coir_never()), open_while(coir_sleep(coir_minutes(1))), locked, again,
                                          open_while(coir_acquire(none_left, 1)), open_while(coir_async(&slow_type, NULL)),
                                          open_while(coir_forever(coir_yield())), open_while(coir_timeout(joined(coir_never()), coir_minutes(1)))));
    coir_result result = fault_expect_all(fault_run(coir_flat_map(all, cancel_them, NULL), &canceling), "CANCELED 0");
    if (atomic_load(&opened) > 0)
        fault_wrong("%d were opened and not closed", atomic_load(&opened));
    coir_semaphore_drop(none_left);
    coir_lock_drop(lock);
    return result;
}

static coir_io *cancel_placed(void *place) { return coir_cancel(*(coir_fiber **)place); }
static coir_io *text(const char *text) { return coir_pure(coir_stringf("%s", text)); }

static coir_io *cancels_itself(coir_io *finalizer)
{
    return joined(coir_finally(coir_then(coir_cancel_self(), coir_on_cancel(coir_forever(coir_yield()), text("on cancel"))), finalizer));
}

static coir_io *masked(void *env)
{
    (void)env;
    return coir_pure(coir_bool(coir_is_masked() && coir_is_canceling()));
}

FAULT_PROGRAM(masks, "OK [<ERROR CHILD_CANCELED> <ERROR CHILD_CANCELED> <ERROR CHILD_CANCELED> <ERROR CHILD_CANCELED>]")
{
    static coir_fiber *first;
    coir_options canceling = *options;
    canceling.cancel_rest = true;
    first = NULL;
    coir_io *sees = coir_uncancelable(coir_zip(COIR_IOS(coir_cancel_self(), coir_suspend(masked, NULL), coir_yield(), coir_pure(thing(1)))));
    coir_io *unmasked = coir_uncancelable(coir_then(coir_cancel_self(), coir_cancelable(coir_finally(coir_never(), coir_pure(thing(2))))));
    coir_io *all[] = { coir_attempt(cancels_itself(coir_pure(thing(3)))), coir_attempt(joined(coir_then(sees, coir_yield()))),
                       coir_attempt(joined(unmasked)),
                       coir_attempt(coir_sequence(COIR_IOS(forking(coir_finally(coir_never(), coir_fail(thing(4))), &first),
                                                           coir_suspend(cancel_placed, &first), joining(&first)))) };
    coir_result result = fault_run(coir_zip(4, all), &canceling);
    coir_fiber_drop(first);
    return result;
}

/* --------------------------------------------------------------------------------------------------------- time-outs */

static coir_io *late(coir_io *io) { return coir_finally(coir_then(io, coir_never()), coir_pure(thing(1))); }

FAULT_PROGRAM(time_outs, "OK [<ERROR code -1001> <OK thing 2> <ERROR code -1001> <ERROR code -1001> <PANIC MISUSE also(ERROR code -1001)> "
                         "<OK thing 5> <ERROR code -1001>]")
{
    coir_io *shared = coir_timeout(late(coir_yield()), coir_us(50)), *again = coir_io_ref(shared);
    coir_io *inner = coir_timeout(coir_uncancelable(coir_timeout(late(coir_unit()), coir_us(20))), coir_minutes(1));
    return fault_run(coir_zip(COIR_IOS(coir_attempt(shared), coir_attempt(coir_timeout_to(late(coir_unit()), coir_us(20), coir_pure(thing(2)))),
                                       coir_attempt(again), coir_attempt(coir_timeout(coir_forever(coir_sleep(coir_us(10))), coir_us(50))),
                                       coir_attempt(coir_timeout(coir_finally(coir_never(), coir_panicf("x")), coir_us(20))),
                                       coir_attempt(coir_timeout(coir_pure(thing(5)), coir_us(20))), coir_attempt(inner))), options);
}
