/*
 * routines.c - the sequential notation, and finalizers that have to run whatever is missing
 */
#include "fault.h"

#include <coir/do.h>

/* ----------------------------------------------------------------------------------------------------------- routines */

struct steps { coir_value first, second; int rounds; };

static coir_io *with_thing(void *env, coir_value *value)
{
    (void)env;
    return coir_pure(coir_list(2, (coir_value[]){ coir_take(value), thing(9) }));
}

/* The final part drops first, then awaits: the await may lack memory. */
static coir_io *steps_step(coir_routine *self)
{
    COIR_BEGIN(self, struct steps, my);
    COIR_AWAIT(coir_pure(thing(1)));
    my->first = coir_take(&self->result.value);
    for (my->rounds = 0; my->rounds < 3; my->rounds++) {
        COIR_TRY(coir_fail(coir_errorf(my->rounds, "round %d", my->rounds)));
        if (self->result.tag == COIR_ERROR)
            coir_put(&my->second, coir_stringf("%s", coir_error_message(&self->result.value)));
    }
    COIR_TRY(coir_attempt(coir_panicf("seen")));
    COIR_AWAIT(coir_then(coir_yield(), coir_pure(thing(2))));
    coir_put(&my->first, coir_list(2, (coir_value[]){ coir_take(&my->first), coir_take(&my->second) }));
    COIR_BECOME(coir_flat_map(coir_pure(coir_take(&my->first)), with_thing, NULL));
    COIR_FINALLY;
    coir_drop(my->first);
    coir_drop(my->second);
    COIR_AWAIT(coir_pure(thing(3)));
    COIR_TRY(coir_failf(4, "not told"));
    COIR_END;
}
static coir_io *steps(void) { return coir_do(steps_step, COIR_ENV(struct steps, .rounds = 0)); }

/* Ends in the way that it is told to. */
struct ending { coir_tag tag; };
static coir_io *ending_step(coir_routine *self)
{
    COIR_BEGIN(self, struct ending, my);
    COIR_AWAIT(coir_unit());
    if (my->tag == COIR_OK)
        COIR_RETURN(thing(5));
    if (my->tag == COIR_ERROR)
        COIR_RAISE(thing(6));
    COIR_AWAIT(coir_panicf("as told"));
    COIR_FINALLY;
    COIR_AWAIT(coir_fail(thing(7)));
    COIR_END;
}
static coir_io *ending_as(coir_tag tag) { return coir_do(ending_step, COIR_ENV(struct ending, tag)); }

static coir_io *shared_routine(void)
{
    coir_io *io = steps(), *again = coir_io_ref(io);
    return coir_zip(COIR_IOS(again, io));
}

FAULT_PROGRAM(routines, "OK [[[thing 1 round 2] thing 9] [[[thing 1 round 2] thing 9] [[thing 1 round 2] thing 9]] <ERROR thing 7> "
                        "<ERROR thing 6 also(ERROR thing 7)> <PANIC MISUSE also(ERROR thing 7)>]")
{
    return fault_run(coir_zip(COIR_IOS(steps(), shared_routine(), coir_attempt(ending_as(COIR_OK)), coir_attempt(ending_as(COIR_ERROR)),
                                      coir_attempt(ending_as(COIR_PANIC)))), options);
}

/* --------------------------------------------------------------------------------------------------------- finalizers */

/* What a body opens is closed, whatever is missing: neither of these two needs memory, and a finalizer's frame is there before its body runs. */
static atomic_int opened;
static coir_result open_it(void *env)   { (void)env; atomic_fetch_add(&opened, 1); return coir_ok(coir_none()); }
static coir_result close_it(void *env)  { (void)env; atomic_fetch_sub(&opened, 1); return coir_ok(coir_none()); }
static coir_io *close_fn(void *env, const coir_result *result)
{
    (void)result;
    close_it(env);
    return coir_pure(thing(8));
}
static coir_io *opening_it(void) { return coir_defer(open_it, NULL); }
static coir_io *closing_it(void) { return coir_defer(close_it, NULL); }
static coir_io *work(void)       { return coir_then(opening_it(), coir_fail(coir_stringf("work"))); }

static coir_io *twice(coir_io *io)
{
    coir_io *again = coir_io_ref(io);
    return coir_zip(COIR_IOS(coir_attempt(again), coir_attempt(io)));
}

static coir_io *one_finalizer_for_two(void)
{
    coir_io *finalizer = closing_it(), *again = coir_io_ref(finalizer);
    return coir_finally(coir_finally(coir_then(opening_it(), work()), finalizer), again);
}

static coir_io *finalizers_fail(void)
{
    coir_io *inner = coir_finally(coir_finally(work(), closing_it()), coir_fail(thing(2)));
    return coir_finally(coir_finally(inner, coir_panicf("a finalizer")), coir_then(coir_yield(), coir_fail(thing(3))));
}

struct opening { coir_value kept; };
static coir_io *opening_step(coir_routine *self)
{
    COIR_BEGIN(self, struct opening, my);
    open_it(NULL);
    COIR_AWAIT(coir_pure(thing(4)));
    my->kept = coir_take(&self->result.value);
    COIR_AWAIT(coir_fail(coir_stringf("work")));
    COIR_FINALLY;
    close_it(NULL);
    coir_drop(my->kept);
    COIR_AWAIT(coir_pure(thing(5)));
    COIR_END;
}
static coir_io *opening_routine(void) { return coir_do(opening_step, NULL, sizeof(struct opening)); }

FAULT_PROGRAM(finalizers, "OK [<ERROR work> <ERROR work> <ERROR work> <ERROR work> [<ERROR work> <ERROR work>] "
                          "<PANIC MISUSE also(ERROR work, ERROR thing 2, ERROR thing 3)> <ERROR work> [<ERROR work> <ERROR work>]]")
{
    atomic_store(&opened, 0);
    coir_io *all[] = {
        coir_attempt(coir_finally(work(), closing_it())),
        coir_attempt(coir_finally_fn(work(), close_fn, NULL)),
        coir_attempt(coir_on_failure(work(), close_fn, NULL)),
        coir_attempt(one_finalizer_for_two()),
        twice(coir_finally(work(), closing_it())),
        coir_attempt(finalizers_fail()),
        coir_attempt(opening_routine()),
        twice(opening_routine()),
    };
    coir_result result = fault_run(coir_zip(sizeof all / sizeof *all, all), options);
    if (atomic_load(&opened) > 0)
        fault_wrong("%d were opened and not closed", atomic_load(&opened));
    return result;
}

/* The same with permits: the release that follows an acquire needs no memory, also where several share it. */
FAULT_PROGRAM(releases, "OK [<ERROR work> <ERROR work> <ERROR work> [<ERROR work> <ERROR work>]]")
{
    coir_semaphore *permits = coir_semaphore_new(2);
    coir_io *release = coir_release(permits, 1), *again = coir_io_ref(release), *third = coir_io_ref(release);
    coir_io *all[] = {
        coir_attempt(coir_then(coir_acquire(permits, 1), coir_finally(coir_fail(coir_stringf("work")), release))),
        coir_attempt(coir_then(coir_acquire(permits, 1), coir_finally(coir_fail(coir_stringf("work")), again))),
        coir_attempt(coir_then(coir_acquire(permits, 1), coir_on_failure(coir_finally(coir_fail(coir_stringf("work")), third), close_fn, NULL))),
        twice(coir_with_permits(permits, 2, coir_fail(coir_stringf("work")))),
    };
    coir_result result = fault_run(coir_zip(sizeof all / sizeof *all, all), options);
    if (permits != NULL && coir_semaphore_available(permits) != 2)
        fault_wrong("%d permits are left", (int)coir_semaphore_available(permits));
    coir_semaphore_drop(permits);
    return result;
}
