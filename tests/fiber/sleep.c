/*
 * sleep.c - tests of waiting for a moment: never early, in order, from every worker, and of what never comes
 */
#include "fibers.h"

#include <limits.h>
#include <time.h>

#ifdef CHECK_SIMULATED
#define clock_ns check_clock_
#else
static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
#endif

static struct timespec moment(int64_t epoch_ns)
{
    return (struct timespec){ .tv_sec = (time_t)(epoch_ns / 1000000000), .tv_nsec = (long)(epoch_ns % 1000000000) };
}

/* --------------------------------------------------------------------------------------------------------- durations */

struct nap { int64_t ns; int64_t begun; };
static coir_io *nap_step(coir_routine *self)
{
    COIR_BEGIN(self, struct nap, my);
    my->begun = clock_ns(CLOCK_MONOTONIC);
    COIR_AWAIT(coir_sleep(coir_ns(my->ns)));
    COIR_RETURN(coir_int(clock_ns(CLOCK_MONOTONIC) - my->begun - my->ns));
    COIR_END;
}
/* nap: gives how late it was; early is negative. */
static coir_io *nap(int64_t ns) { return coir_do(nap_step, COIR_ENV(struct nap, .ns = ns)); }

TEST(sleep, sleep_is_never_early)
{
    static const int64_t durations[] = { 1, 999, 1000, 20000, 1000000, 3000000 };
    FOR_SCHEDULES(options)
        for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
            coir_result result = coir_run(nap(durations[i]), options);
            CHECK_TAG(result, COIR_OK);
            CHECK(result.value.i64 >= 0);
        }
}

TEST(sleep, sleep_gives_none)
{
    CHECK_STR(outcome(1, coir_sleep(coir_us(1))), "OK 0");
    CHECK_STR(outcome(1, coir_sleep(coir_us(0))), "OK 0");
    CHECK_STR(outcome(1, coir_sleep_until(moment(0))), "OK 0");
}

TEST(sleep, shared_sleep_counts_from_when_each_fiber_runs_it)
{
    coir_io *one = nap(2000000);
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_result result = run(workers, coir_flat_map(copies_of(200, coir_io_ref(one)), wait_it, NULL));
        CHECK_TAG(result, COIR_OK);
        for (size_t i = 0; i < 200; i++)
            CHECK(coir_result_in(coir_list_at(&result.value, i))->value.i64 >= 0);
        coir_result_drop(&result);
    }
    coir_io_drop(one);
}

/* One that sleeps, and one behind it in the queue that notes its turn: who counts as yielding comes after it. */
static const char *turns_with(coir_io *pause)
{
    CHECK_STR(outcome(1, waited(COIR_IOS(coir_then(pause, noting("sleeper")), noting("other")))), "OK [<OK 0> <OK 0>]");
    return notes();
}

TEST_REAL(sleep, sleep_of_zero_or_less_counts_as_a_yield, "the order is the pool's")
{
    CHECK_STR(turns_with(coir_unit()), "sleeper other");
    CHECK_STR(turns_with(coir_yield()), "other sleeper");
    CHECK_STR(turns_with(coir_sleep(coir_ns(0))), "other sleeper");
    CHECK_STR(turns_with(coir_sleep(coir_ns(-1))), "other sleeper");
    CHECK_STR(turns_with(coir_sleep(coir_ns(INT64_MIN))), "other sleeper");
    CHECK_STR(turns_with(coir_sleep(coir_seconds(INT64_MIN))), "other sleeper");
}

TEST_REAL(sleep, past_moment_counts_as_a_yield, "the order is the pool's")
{
    CHECK_STR(turns_with(coir_sleep_until(moment(0))), "other sleeper");
    CHECK_STR(turns_with(coir_sleep_until((struct timespec){ .tv_sec = -5 })), "other sleeper");
    CHECK_STR(turns_with(coir_sleep_until(moment(clock_ns(CLOCK_REALTIME) - 1))), "other sleeper");
}

struct until { int64_t epoch_ns; };
static coir_io *until_step(coir_routine *self)
{
    COIR_BEGIN(self, struct until, my);
    COIR_AWAIT(coir_sleep_until(moment(my->epoch_ns)));
    COIR_RETURN(coir_int(clock_ns(CLOCK_REALTIME) - my->epoch_ns));
    COIR_END;
}

TEST(sleep, moment_of_the_epoch_clock_is_never_early)
{
    FOR_SCHEDULES(options) {
        coir_io *io = coir_do(until_step, COIR_ENV(struct until, .epoch_ns = clock_ns(CLOCK_REALTIME) + 2000000));
        coir_result result = coir_run(io, options);
        CHECK_TAG(result, COIR_OK);
        CHECK(result.value.i64 >= 0);
    }
}

TEST(sleep, moment_whose_nanoseconds_are_no_fraction_of_a_second_is_a_panic)
{
    static const long bad[] = { -1, 1000000000, LONG_MAX, LONG_MIN };
    for (size_t i = 0; i < 4; i++) {
        coir_result result = run(1, coir_sleep_until((struct timespec){ .tv_sec = 1, .tv_nsec = bad[i] }));
        CHECK_CODE(result, COIR_PANIC, EINVAL);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_sleep_until");
        coir_result_drop(&result);
    }
    CHECK_STR(outcome(1, coir_sleep_until((struct timespec){ .tv_sec = 1, .tv_nsec = 999999999 })), "OK 0");
}

/* ------------------------------------------------------------------------------------------------------------- order */

static coir_result read_epoch(void *ns)
{
    *(int64_t *)ns = clock_ns(CLOCK_REALTIME);
    return coir_ok(coir_none());
}

/* The last to begin looks at the clock when the others have armed. On a busy machine their moment may be over by then: such a round says nothing. */
TEST_REAL(sleep, equal_moments_wake_in_the_order_of_arming, "the order is the pool's")
{
    static const char *const names[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" };
    enum { SLEEPERS = 10, ROUNDS = 5 };
    for (int told = 0; told < ROUNDS; ) {
        int64_t at = clock_ns(CLOCK_REALTIME) + 20000000, armed = 0;
        coir_io *ios[SLEEPERS + 1];
        for (size_t i = 0; i < SLEEPERS; i++)
            ios[i] = coir_then(coir_sleep_until(moment(at)), noting(names[i]));
        ios[SLEEPERS] = coir_defer(read_epoch, &armed);
        coir_result result = run(1, waited(SLEEPERS + 1, ios));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
        const char *order = notes();
        if (armed >= at)
            continue;
        CHECK_STR(order, "0 1 2 3 4 5 6 7 8 9");
        told++;
    }
}

TEST(sleep, earlier_moments_wake_first_whatever_the_order_of_arming)
{
    static const char *const names[] = { "3", "1", "4", "0", "2" };
    static const int64_t later[] = { 3, 1, 4, 0, 2 };
    int64_t base = clock_ns(CLOCK_REALTIME) + 20000000;
    coir_io *ios[5];
    for (size_t i = 0; i < 5; i++)
        ios[i] = coir_then(coir_sleep_until(moment(base + later[i] * 20000000)), noting(names[i]));
    coir_result result = run(1, waited(5, ios));
    CHECK_TAG(result, COIR_OK);
    coir_result_drop(&result);
    CHECK_STR(notes(), "0 1 2 3 4");
}

/* -------------------------------------------------------------------------------------------------------------- many */

static coir_value late_at_all(void *env, coir_value *results)
{
    int64_t early = 0;
    (void)env;
    for (size_t i = 0; i < coir_list_size(results); i++)
        early += coir_result_in(coir_list_at(results, i))->value.i64 < 0;
    return coir_int(early);
}

TEST(sleep, ten_thousand_sleepers_all_wake_and_none_early)
{
    enum { SLEEPERS = 10000 };
    static coir_io *ios[SLEEPERS];
    const size_t sleepers = (size_t)sized(SLEEPERS, 100);
    FOR_WORKERS(workers, 1, 2, 4) {
        for (size_t i = 0; i < sleepers; i++)
            ios[i] = nap(1000 + (int64_t)(i * 7919 % SLEEPERS) * 2000);
        coir_result result = run(workers, coir_map(waited(sleepers, ios), late_at_all, NULL));
        CHECK_OK_INT(result, 0);
    }
}

struct naps { int left; uint64_t random; };
static coir_io *naps_step(coir_routine *self)
{
    COIR_BEGIN(self, struct naps, my);
    while (my->left-- > 0) {
        my->random = my->random * UINT64_C(6364136223846793005) + 1;
        COIR_AWAIT(nap((int64_t)(my->random >> 45)));
        if (self->result.value.i64 < 0)
            COIR_RAISE(coir_int(self->result.value.i64));
        COIR_AWAIT(coir_yield());
    }
    COIR_END;
}

TEST(sleep, fibers_that_sleep_again_and_again_on_several_workers_are_never_early)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *ios[64];
        for (size_t i = 0; i < 64; i++)
            ios[i] = coir_do(naps_step, COIR_ENV(struct naps, .left = scaled(100), .random = i));
        coir_result result = run(workers, waited(64, ios));
        CHECK_TAG(result, COIR_OK);
        CHECK_INT(how_many_are(&result.value, COIR_OK), 64);
        coir_result_drop(&result);
    }
}

/* ------------------------------------------------------------------------------------------------------- busy workers */

static coir_result set_flag(void *flag) { atomic_store((atomic_bool *)flag, true); return coir_ok(coir_none()); }
static coir_result spin_until(void *flag) { CHECK_SOON(atomic_load((atomic_bool *)flag)); return coir_ok(coir_none()); }

TEST_REAL(sleep, sleeper_wakes_while_a_callback_keeps_the_worker_that_armed_it_busy, "of real threads")
{
    for (int round = 0; round < 20; round++) {
        atomic_bool flag = false;
        coir_io *sleeper = coir_then(coir_sleep(coir_us(100)), coir_defer(set_flag, &flag));
        coir_io *callback = coir_defer(spin_until, &flag);
        coir_result result = run(2, waited(COIR_IOS(sleeper, callback)));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
    }
}

static bool not_yet(void *flag, const coir_value *value) { (void)value; return !atomic_load((atomic_bool *)flag); }

TEST_REAL(sleep, sleeper_wakes_while_another_fiber_keeps_the_only_worker_busy, "a loop waits for the clock")
{
    static const uint32_t budgets[] = { 1, 7, 0 };
    for (size_t i = 0; i < 3; i++) {
        atomic_bool flag = false;
        coir_io *sleeper = coir_then(coir_sleep(coir_us(100)), coir_defer(set_flag, &flag));
        coir_io *looper = coir_while(coir_unit(), not_yet, &flag);
        coir_result result = coir_run(waited(COIR_IOS(looper, sleeper)), COIR_OPTIONS(.workers = 1, .budget = budgets[i]));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
    }
}

/* --------------------------------------------------------------------------------------------- what never comes, and now */

TEST(sleep, sleep_beyond_the_clocks_end_never_ends_and_silence_says_so)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        CHECK_STR(outcome(workers, coir_sleep(coir_ns(INT64_MAX))), "PANIC DEADLOCK");
        CHECK_STR(outcome(workers, coir_sleep(coir_minutes(INT64_MAX))), "PANIC DEADLOCK");
        CHECK_CONTAINS(message_of(workers, coir_sleep(coir_ns(INT64_MAX))), "coir_sleep");
        CHECK_STR(outcome(workers, coir_sleep_until((struct timespec){ .tv_sec = INT64_MAX })), "PANIC DEADLOCK");
        CHECK_CONTAINS(message_of(workers, coir_sleep_until((struct timespec){ .tv_sec = INT64_MAX })), "coir_sleep_until");
    }
}

TEST(sleep, sleep_that_never_ends_lasts_as_long_as_another_can_end_its_own)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *never = coir_finally(coir_sleep(coir_ns(INT64_MAX)), noting("verdict"));
        coir_result result = run(workers, waited(COIR_IOS(never, coir_then(coir_sleep(coir_ms(5)), noting("woke")))));
        CHECK_STR(describe(&result), "OK [<PANIC DEADLOCK> <OK 0>]");
        coir_result_drop(&result);
        CHECK_STR(notes(), "woke verdict");
    }
}

TEST(sleep, finalizer_may_sleep)
{
    FOR_WORKERS(workers, 1, 2) {
        CHECK_STR(outcome(workers, coir_finally(coir_fail(coir_int(3)), coir_then(coir_sleep(coir_us(10)), noting("slept")))), "ERROR 3");
        CHECK_STR(notes(), "slept");
    }
}

TEST_REAL(sleep, now_is_the_monotonic_clock, "of the real clock")
{
    int64_t before = clock_ns(CLOCK_MONOTONIC);
    coir_result result = run(1, coir_now());
    CHECK_TAG(result, COIR_OK);
    CHECK(before <= result.value.i64 && result.value.i64 <= clock_ns(CLOCK_MONOTONIC));
}
