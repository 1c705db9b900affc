/*
 * bracket.c - tests of brackets: whatever happens on the way, what was acquired is released once, and told how it went
 */
#include "seeds.h"

static coir_result acquire_thing(void *env)
{
    (void)env;
    note("acquired");
    return coir_ok(sole_thing(1));
}
static coir_io *acquiring(void) { return coir_then(coir_yield(), coir_defer(acquire_thing, NULL)); }

/* What the use and the release run beside their notes; borrowed. */
struct bodies { coir_io *use, *release; };

static coir_io *use_it(void *env, const coir_value *held)
{
    const struct bodies *bodies = env;
    CHECK_INT(thing_number(held), 1);
    note("use");
    return coir_io_ref(bodies->use);
}

static coir_io *release_it(void *env, coir_value *held, const coir_result *outcome)
{
    const struct bodies *bodies = env;
    CHECK_INT(thing_number(held), 1);
    note("release:%s", coir_tag_name(outcome->tag));
    return coir_io_ref(bodies->release);
}

/* Runs the bracket under seeds; takes both ios. */
static void check_bracket(coir_io *use, coir_io *release, coir_io *(*around)(coir_io *bracket), const char *expected, const char *noted)
{
    struct bodies bodies = { use, release };
    FOR_SEEDS(options) {
        coir_io *bracket = coir_bracket(acquiring(), use_it, release_it, &bodies);
        CHECK_STR(simulated(options, around == NULL ? bracket : around(bracket)), expected);
        CHECK_STR(notes(), noted);
        CHECK_INT(atomic_load(&things_alive), 0);
    }
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *bracket = coir_bracket(acquiring(), use_it, release_it, &bodies);
        CHECK_STR(outcome(workers, around == NULL ? bracket : around(bracket)), expected);
        CHECK_STR(notes(), noted);
    }
    coir_io_drop(use);
    coir_io_drop(release);
}

static coir_io *yielding(coir_io *io) { return coir_then(coir_yield(), io); }

TEST(bracket, release_runs_once_after_every_outcome_and_is_told_which)
{
    check_bracket(yielding(coir_pure(coir_int(5))), coir_yield(), NULL, "OK 5", "acquired use release:ok -1");
    check_bracket(yielding(coir_fail(coir_int(6))), coir_yield(), NULL, "ERROR 6", "acquired use release:error -1");
    check_bracket(yielding(coir_panicf("broken")), coir_yield(), NULL, "PANIC MISUSE", "acquired use release:panic -1");
    check_bracket(coir_then(coir_cancel_self(), coir_unit()), coir_yield(), NULL, "CANCELED 0", "acquired use release:canceled -1");
}

TEST(bracket, release_that_fails_fails_the_whole_or_is_put_to_the_failure)
{
    check_bracket(coir_unit(), coir_fail(coir_int(7)), NULL, "ERROR 7", "acquired use release:ok -1");
    check_bracket(coir_unit(), coir_panicf("broken"), NULL, "PANIC MISUSE", "acquired use release:ok -1");
    check_bracket(coir_fail(coir_int(6)), coir_fail(coir_int(7)), NULL, "ERROR 6 also(ERROR 7)", "acquired use release:error -1");
    check_bracket(coir_fail(coir_int(6)), coir_panicf("broken"), NULL, "PANIC MISUSE also(ERROR 6)", "acquired use release:error -1");
}

TEST(bracket, release_that_cancels_its_own_fiber_runs_to_its_end)
{
    check_bracket(coir_unit(), coir_sequence(COIR_IOS(coir_cancel_self(), coir_yield(), noting("to the end"))), NULL, "OK 0",
                  "acquired use release:ok to the end -1");
}

static coir_io *in_no_time(coir_io *bracket) { return coir_timeout(bracket, coir_ms(5)); }

TEST(bracket, time_out_ends_the_use_and_waits_for_the_release)
{
    check_bracket(coir_never(), coir_then(coir_sleep(coir_ms(20)), noting("released")), in_no_time, "ERROR code -1001",
                  "acquired use release:canceled released -1");
}

TEST(bracket, acquisition_that_fails_is_not_released)
{
    struct bodies bodies = { NULL, NULL };
    CHECK_EVERYWHERE(coir_bracket(coir_fail(coir_int(3)), use_it, release_it, &bodies), "ERROR 3", "");
    CHECK_EVERYWHERE(coir_bracket(coir_panicf("broken"), use_it, release_it, &bodies), "PANIC MISUSE", "");
    CHECK_EVERYWHERE(coir_bracket(coir_cancelable(coir_then(coir_cancel_self(), coir_unit())), use_it, release_it, &bodies), "CANCELED 0", "");
}

/* A request that comes while it is acquired is seen when the use begins: by then it is there to be released. */
TEST(bracket, acquisition_is_masked_and_a_request_is_seen_in_the_use)
{
    struct bodies bodies = { coir_then(noting("not run"), coir_unit()), coir_unit() };
    CHECK_EVERYWHERE(coir_bracket(coir_then(coir_cancel_self(), acquiring()), use_it, release_it, &bodies), "CANCELED 0",
                     "acquired use release:canceled -1");
    coir_io_drop(bodies.use);
    coir_io_drop(bodies.release);
}

TEST(bracket, callbacks_that_give_NULL_are_panics_and_the_release_runs_all_the_same)
{
    struct bodies no_use = { NULL, coir_unit() }, no_release = { coir_unit(), NULL };
    CHECK_EVERYWHERE(coir_bracket(acquiring(), use_it, release_it, &no_use), "PANIC ENOMEM", "acquired use release:panic -1");
    CHECK_EVERYWHERE(coir_bracket(acquiring(), use_it, release_it, &no_release), "PANIC ENOMEM", "acquired use release:ok -1");
    coir_io_drop(no_use.release);
    coir_io_drop(no_release.use);
}

TEST(bracket, shared_one_acquires_anew_each_time)
{
    struct bodies bodies = { coir_unit(), coir_unit() };
    CHECK_EVERYWHERE(coir_repeat(coir_bracket(acquiring(), use_it, release_it, &bodies), 2), "OK 0",
                     "acquired use release:ok -1 acquired use release:ok -1");
    coir_io_drop(bodies.use);
    coir_io_drop(bodies.release);
}

TEST(bracket, of_a_run_that_was_stopped_in_its_use_gives_up_what_it_holds)
{
    struct bodies bodies = { coir_never(), coir_unit() };
    const coir_options options = { .on_deadlock = COIR_DEADLOCK_STOP, .workers = 1 };
    coir_result result = coir_run(coir_bracket(acquiring(), use_it, release_it, &bodies), &options);
    CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
    CHECK_INT(atomic_load(&things_alive), 0);
    notes();
    coir_result_drop(&result);
    coir_io_drop(bodies.use);
    coir_io_drop(bodies.release);
}
