/*
 * retries.c - io that is run again by a policy or a schedule
 */
#include "fault.h"

/* Fails until it has been run a few times; what is short of memory meanwhile fails otherwise, and is not tried again. */
struct counted { int left; };
static coir_io *fails_at_first(void *counted_)
{
    struct counted *counted = counted_;
    return counted->left-- > 0 ? coir_fail(thing(1)) : coir_pure(coir_stringf("at last"));
}
static bool is_known(void *env, const coir_value *error) { (void)env; return is_thing(error); }
static coir_duration soon(void *env, const coir_value *error) { (void)env; (void)error; return coir_us(5); }
static bool thrice(void *env, const coir_round *round, coir_duration *pause)
{
    (void)env;
    *pause = coir_us(2);
    return round->tries < 3;
}

static coir_schedule *pauses(void)
{
    coir_schedule *growing = coir_schedule_capped(coir_schedule_exponential(coir_us(2), 1.5), coir_us(9));
    return coir_schedule_or(coir_schedule_jittered(growing, 0.3), coir_schedule_full_jitter(coir_schedule_fibonacci(coir_us(1))));
}

/* All that a schedule can be made of, at most four rounds. */
static coir_schedule *all_parts(void)
{
    coir_schedule *a = coir_schedule_and(coir_schedule_recurs(4), coir_schedule_while_copy(is_known, NULL, 0));
    coir_schedule *b = coir_schedule_or(coir_schedule_spaced(coir_us(3)), coir_schedule_decorrelated(coir_us(1), coir_us(4)));
    coir_schedule *c = coir_schedule_and(coir_schedule_delay_from(soon, NULL), coir_schedule_policy(COIR_POLICY(.delay = coir_us(1), .factor = 2)));
    coir_schedule *d = coir_schedule_within(coir_schedule_reset_after(pauses(), coir_minutes(5)), coir_minutes(10));
    return coir_schedule_and(coir_schedule_and(a, b), coir_schedule_and(c, d));
}

static coir_io *twice(coir_io *io)
{
    coir_io *again = coir_io_ref(io);
    return coir_zip(COIR_IOS(coir_attempt(again), coir_attempt(io)));
}

FAULT_PROGRAM(retries, "OK [<OK at last> <OK at last> [<ERROR thing 1> <ERROR thing 1>] <OK thing 2> [<ERROR thing 1> <ERROR thing 1>]]")
{
    static struct counted first, second;
    first.left = second.left = 2;
    coir_schedule *shared = coir_schedule_new(thrice, NULL);
    coir_schedule *again = coir_schedule_ref(shared);
    coir_io *all[] = {
        coir_attempt(coir_retry(coir_suspend(fails_at_first, &first), COIR_POLICY(.tries_max = 5, .delay = coir_us(1), .factor = 2, .jitter = 0.5))),
        coir_attempt(coir_retry_by(coir_suspend(fails_at_first, &second), all_parts())),
        twice(coir_retry_by(coir_fail(thing(1)), shared)),
        coir_attempt(coir_repeat_by(coir_pure(thing(2)), again)),
        twice(coir_keep_running(coir_fail(thing(1)), COIR_POLICY(.tries_max = 2))),
    };
    return fault_run(coir_zip(sizeof all / sizeof *all, all), options);
}
