/*
 * retry.c - tests of retry, repeat and keep_running: when they go round again, after what pauses, and what they keep and drop
 *
 * Pauses are measured under the simulation, whose clock stands while anybody can go on: they are exact.
 */
#include "fibers.h"
#include "value/starve.h"

#include <math.h>

/* --------------------------------------------------------------------------------------------------- rounds that are noted */

/* A body for tests: notes when each round began, takes a while, and ends as it is told. */
enum { ROUNDS_MAX = 100 };
struct rounds {
    int           fail_times;                           /* so many rounds fail, then they succeed; -1: all fail */
    coir_duration takes[ROUNDS_MAX];                    /* a round; of those that are not named: nothing */
    atomic_int    count;
    int64_t       began[ROUNDS_MAX];
};

static coir_result round_ends(void *env)
{
    struct rounds *rounds = env;
    int count = atomic_load(&rounds->count);
    bool fails = rounds->fail_times < 0 || count <= rounds->fail_times;
    return fails ? coir_raise(coir_int(count)) : coir_ok(coir_int(count));
}

static coir_io *round_begins(void *env, coir_value *now)
{
    struct rounds *rounds = env;
    int index = atomic_fetch_add(&rounds->count, 1);
    if (index >= ROUNDS_MAX)
        return coir_panicf("more rounds than a test should have");
    rounds->began[index] = now->i64;
    coir_io *end = coir_defer(round_ends, rounds);
    return rounds->takes[index].ns > 0 ? coir_then(coir_sleep(rounds->takes[index]), end) : end;
}

static coir_io *round_of(struct rounds *rounds) { return coir_flat_map(coir_now(), round_begins, rounds); }

static coir_result simulate(coir_io *io, uint64_t seed) { return coir_sim_run(io, COIR_SIM_OPTIONS(.seed = seed)); }

static const char *simulated_with(coir_io *io, uint64_t seed)
{
    coir_result result = simulate(io, seed);
    const char *text = describe(&result);
    coir_result_drop(&result);
    return text;
}

static const char *simulated(coir_io *io) { return simulated_with(io, 1); }

/* pauses_of: the pauses of a schedule (taken) over rounds that take no time, at most eleven of them: "10 20 end". Each is a multiple of
 * `unit`, and divided by it. */
static const char *pauses_of(coir_schedule *schedule, int64_t unit, uint64_t seed)
{
    char *text = scratch();
    struct rounds rounds = { .fail_times = 11 };
    int at = 0;
    coir_result result = simulate(coir_retry_by(round_of(&rounds), schedule), seed);
    text[0] = '\0';
    for (int i = 1; i < atomic_load(&rounds.count); i++) {
        int64_t pause = rounds.began[i] - rounds.began[i - 1];
        CHECK_INT(pause % unit, 0);
        at += snprintf(text + at, (size_t)(SCRATCH_SIZE - at), "%lld ", (long long)(pause / unit));
    }
    snprintf(text + at, (size_t)(SCRATCH_SIZE - at), "%s", result.tag == COIR_ERROR ? "end" : "...");
    CHECK(result.tag <= COIR_ERROR);
    coir_result_drop(&result);
    return text;
}

static const char *in_ms(coir_schedule *schedule) { return pauses_of(schedule, 1000000, 1); }
static const char *in_ns(coir_schedule *schedule) { return pauses_of(schedule, 1, 1); }

/* A body that fails with thing 1, thing 2 ... */
static coir_result fail_with_thing(void *env)
{
    int number = atomic_fetch_add((atomic_int *)env, 1) + 1;
    note("try %d", number);
    return coir_raise(thing(number));
}
static coir_result give_thing(void *env)
{
    coir_result result = fail_with_thing(env);
    result.tag = COIR_OK;
    return result;
}

/* ------------------------------------------------------------------------------------------------- when it goes round again */

TEST(io_retry, retry_runs_until_it_succeeds_or_has_tried_often_enough)
{
    FOR_SCHEDULES(options)
        for (int fails = 0; fails < 5; fails++)
            for (uint64_t tries_max = 1; tries_max < 5; tries_max++) {
                struct rounds rounds = { .fail_times = fails };
                coir_result result = coir_run(coir_retry(round_of(&rounds), COIR_POLICY(.tries_max = tries_max)), options);
                int64_t tries = fails < (int)tries_max ? fails + 1 : (int64_t)tries_max;
                CHECK_TAG(result, fails < (int)tries_max ? COIR_OK : COIR_ERROR);
                CHECK_INT(result.value.i64, tries);
                CHECK_INT(atomic_load(&rounds.count), tries);
            }
}

TEST(io_retry, repeat_policy_runs_until_it_fails_or_has_run_often_enough)
{
    atomic_int count = 0;
    CHECK_STR(outcome(1, coir_repeat_policy(coir_defer(give_thing, &count), COIR_POLICY(.tries_max = 3))), "OK thing 3");
    CHECK_STR(notes(), "try 1 -1 try 2 -2 try 3 -3");
    atomic_store(&count, 0);
    CHECK_STR(outcome(1, coir_repeat_policy(coir_defer(fail_with_thing, &count), COIR_POLICY(.tries_max = 3))), "ERROR thing 1");
    CHECK_STR(notes(), "try 1 -1");
    struct rounds rounds = { .fail_times = 0 };
    CHECK_STR(outcome(1, coir_repeat_by(round_of(&rounds), coir_schedule_recurs(0))), "OK 1");
    CHECK_STR(outcome(1, coir_repeat_by(round_of(&rounds), coir_schedule_recurs(3))), "OK 5");
}

TEST(io_retry, keep_running_goes_on_after_failures_and_successes)
{
    struct rounds rounds = { .fail_times = 2 };
    CHECK_STR(outcome(1, coir_keep_running(round_of(&rounds), COIR_POLICY(.tries_max = 2))), "ERROR 2");
    CHECK_STR(outcome(1, coir_keep_running(round_of(&rounds), COIR_POLICY(.tries_max = 3))), "OK 5");
    CHECK_STR(outcome(1, coir_keep_running_by(round_of(&rounds), coir_schedule_recurs(1))), "OK 7");
}

static coir_io *looping(int which, coir_io *io)
{
    coir_schedule *always = coir_schedule_recurs(UINT64_MAX);
    return which == 0 ? coir_retry_by(io, always) : which == 1 ? coir_repeat_by(io, always) : coir_keep_running_by(io, always);
}

TEST(io_retry, panics_and_cancellations_are_never_tried_again)
{
    for (int which = 0; which < 3; which++)
        for (int shared = 0; shared < 2; shared++) {
            CASE("%d, shared %d", which, shared);
            atomic_int count = 0;
            coir_io *panic = looping(which, coir_finally(coir_panicf("no"), counting(&count)));
            coir_io *cancel = looping(which, coir_finally(ending(COIR_CANCELED, 5), counting(&count)));
            CHECK_STR(outcome(1, shared ? coir_io_ref(panic) : panic), "PANIC MISUSE");
            CHECK_STR(outcome(1, shared ? coir_io_ref(cancel) : cancel), "CANCELED 5");
            CHECK_INT(atomic_load(&count), 2);
            if (shared) {
                coir_io_drop(panic);
                coir_io_drop(cancel);
            }
        }
}

TEST(io_retry, policy_that_says_nothing_runs_once)
{
    struct rounds rounds = { .fail_times = -1 };
    CHECK_STR(outcome(1, coir_retry(round_of(&rounds), COIR_POLICY(.factor = 2))), "ERROR 1");
    CHECK_STR(outcome(1, coir_retry(round_of(&rounds), &(coir_policy){ .size = 0 })), "ERROR 2");
    CHECK_STR(outcome(1, coir_keep_running(round_of(&rounds), COIR_POLICY(.jitter = 1, .reset_after = coir_ms(1)))), "ERROR 3");
    rounds = (struct rounds){ .fail_times = 0 };
    CHECK_STR(outcome(1, coir_repeat_policy(round_of(&rounds), COIR_POLICY(.delay_max = coir_ms(1)))), "OK 1");
}

TEST(io_retry, without_tries_max_a_pause_a_time_or_a_condition_is_enough_to_go_on)
{
    struct rounds rounds = { .fail_times = 50 };
    CHECK_STR(simulated(coir_retry(round_of(&rounds), COIR_POLICY(.delay = coir_ms(1)))), "OK 51");
    rounds = (struct rounds){ .fail_times = 50 };
    CHECK_STR(simulated(coir_retry(round_of(&rounds), COIR_POLICY(.give_up_after = coir_ms(1)))), "OK 51");
}

TEST(io_retry, what_earlier_rounds_gave_is_dropped_before_the_pause_and_the_last_stands)
{
    for (int shared = 0; shared < 2; shared++) {
        atomic_int count = 0;
        coir_io *body = coir_finally(coir_defer(fail_with_thing, &count), noting("f"));
        coir_io *io = coir_retry(body, COIR_POLICY(.tries_max = 3, .delay = coir_us(1)));
        CHECK_STR(outcome(1, shared ? coir_io_ref(io) : io), "ERROR thing 3");
        CHECK_STR(notes(), "try 1 f -1 try 2 f -2 try 3 f -3");
        if (shared)
            coir_io_drop(io);
    }
}

TEST(io_retry, further_failures_of_the_last_round_stay_with_it)
{
    atomic_int count = 0;
    coir_io *body = coir_finally(coir_defer(fail_with_thing, &count), coir_fail(coir_int(9)));
    CHECK_STR(outcome(1, coir_retry(body, COIR_POLICY(.tries_max = 2))), "ERROR thing 2 also(ERROR 9)");
    CHECK_STR(notes(), "try 1 -1 try 2 -2");
}

/* --------------------------------------------------------------------------------------------------------- what is looked at */

static bool is_below(void *env, const coir_value *value) { note("?%d", (int)value->i64); return value->i64 < *(const int *)env; }

TEST(io_retry, only_if_is_lent_the_error_and_says_whether_to_go_on)
{
    int limit = 3;
    struct rounds rounds = { .fail_times = -1 };
    CHECK_STR(outcome(1, coir_retry(round_of(&rounds), COIR_POLICY(.only_if = is_below, .env = &limit))), "ERROR 3");
    CHECK_STR(notes(), "?1 ?2 ?3");
}

TEST(io_retry, only_if_of_repeat_policy_is_lent_the_value_and_of_keep_running_errors_alone)
{
    int limit = 3;
    struct rounds rounds = { .fail_times = 0 };
    CHECK_STR(outcome(1, coir_repeat_policy(round_of(&rounds), COIR_POLICY(.only_if = is_below, .env = &limit))), "OK 3");
    CHECK_STR(notes(), "?1 ?2 ?3");
    rounds = (struct rounds){ .fail_times = 2 };
    CHECK_STR(outcome(1, coir_keep_running(round_of(&rounds), COIR_POLICY(.tries_max = 5, .only_if = is_below, .env = &limit))), "OK 5");
    CHECK_STR(notes(), "?1 ?2");
    rounds = (struct rounds){ .fail_times = 3 };
    CHECK_STR(outcome(1, coir_keep_running_by(round_of(&rounds), coir_schedule_while_copy(is_below, &limit, sizeof limit))), "ERROR 3");
}

static coir_duration as_the_error_says(void *env, const coir_value *value)
{
    (void)env;
    return coir_ms(value->i64 % 2 == 0 ? -5 : value->i64 * 100);
}

TEST(io_retry, delay_from_takes_the_pause_from_the_error)
{
    CHECK_STR(in_ms(coir_schedule_delay_from(as_the_error_says, NULL)), "100 0 300 0 500 0 700 0 900 0 1100 ...");
    CHECK_STR(in_ms(coir_schedule_and(coir_schedule_delay_from_copy(as_the_error_says, NULL, 0), coir_schedule_spaced(coir_ms(400)))),
              "400 400 400 400 500 400 700 400 900 400 1100 ...");
    struct rounds rounds = { .fail_times = 0 };         /* a success of keep_running has no say */
    coir_schedule *twice = coir_schedule_and(coir_schedule_delay_from(as_the_error_says, NULL), coir_schedule_recurs(2));
    CHECK_STR(simulated(coir_then(coir_keep_running_by(round_of(&rounds), twice), coir_now())), "OK 0");
}

struct seen { coir_round rounds[8]; uint64_t kept[8][2]; };
static bool see(void *env, const coir_round *round, coir_duration *pause)
{
    struct seen *seen = env;
    uint64_t index = round->tries - 1;
    CHECK_INT(pause->ns, 0);
    CHECK_TAG(*round->result, COIR_ERROR);
    CHECK_INT(round->result->value.i64, (int64_t)round->tries);
    seen->rounds[index] = *round;
    memcpy(seen->kept[index], round->kept, sizeof seen->kept[index]);
    round->kept[0] += 10;
    round->kept[1] = round->tries;
    *pause = coir_ms((int64_t)round->tries * 5);
    return round->tries < 4;
}

TEST(io_retry, a_schedule_of_ones_own_sees_tries_times_pauses_and_what_it_kept)
{
    struct seen seen = { .kept = { { 0 } } };
    struct rounds rounds = { .fail_times = -1, .takes = { coir_ms(1), coir_ms(2), coir_ms(3), coir_ms(4) } };
    coir_io *io = coir_retry_by(round_of(&rounds), coir_schedule_new(see, &seen));
    for (int run = 0; run < 2; run++) {                 /* the second run begins like the first */
        atomic_store(&rounds.count, 0);
        CHECK_STR(simulated(run == 0 ? coir_io_ref(io) : io), "ERROR 4");
        static const int64_t elapsed[] = { 1, 1 + 5 + 2, 8 + 10 + 3, 21 + 15 + 4 }, pauses[] = { 0, 5, 10, 15 };
        for (int i = 0; i < 4; i++) {
            CASE("round %d", i + 1);
            CHECK_UINT(seen.rounds[i].tries, (uint64_t)i + 1);
            CHECK_INT(seen.rounds[i].took.ns, (i + 1) * 1000000);
            CHECK_INT(seen.rounds[i].elapsed.ns, elapsed[i] * 1000000);
            CHECK_INT(seen.rounds[i].pause.ns, pauses[i] * 1000000);
            CHECK_UINT(seen.kept[i][0], (uint64_t)i * 10);
            CHECK_UINT(seen.kept[i][1], (uint64_t)i);
        }
        CHECK(seen.rounds[0].random != seen.rounds[1].random);
    }
}

static bool always_but_negative(void *env, const coir_round *round, coir_duration *pause)
{
    (void)env;
    *pause = coir_ns(round->tries % 2 == 0 ? INT64_MIN : -1);
    return round->tries < 5;
}

TEST(io_retry, a_negative_pause_of_ones_own_schedule_is_none)
{
    CHECK_STR(in_ms(coir_schedule_new(always_but_negative, NULL)), "0 0 0 0 end");
}

static bool log_it(void *env, const coir_round *round, coir_duration *pause)
{
    (void)env;
    (void)pause;
    note("%d", (int)round->tries);
    return true;
}

TEST(io_retry, a_schedule_that_only_looks_on_changes_nothing)
{
    coir_schedule *schedule = coir_schedule_policy(COIR_POLICY(.tries_max = 3, .delay = coir_ms(7)));
    CHECK_STR(in_ms(coir_schedule_and(coir_schedule_new(log_it, NULL), schedule)), "7 7 end");
    CHECK_STR(notes(), "1 2 3");
}

/* -------------------------------------------------------------------------------------------------------------------- pauses */

TEST(io_retry, pauses_are_as_computed)
{
    CHECK_STR(in_ms(coir_schedule_recurs(3)), "0 0 0 end");
    CHECK_STR(in_ms(coir_schedule_recurs(0)), "end");
    CHECK_STR(in_ms(coir_schedule_spaced(coir_ms(30))), "30 30 30 30 30 30 30 30 30 30 30 ...");
    CHECK_STR(in_ms(coir_schedule_exponential(coir_ms(10), 2)), "10 20 40 80 160 320 640 1280 2560 5120 10240 ...");
    CHECK_STR(in_ms(coir_schedule_exponential(coir_ms(1024), 1.5)),
              "1024 1536 2304 3456 5184 7776 11664 17496 26244 39366 59049 ...");
    CHECK_STR(in_ms(coir_schedule_exponential(coir_ms(3), 1)), "3 3 3 3 3 3 3 3 3 3 3 ...");
    CHECK_STR(in_ms(coir_schedule_fibonacci(coir_ms(10))), "10 10 20 30 50 80 130 210 340 550 890 ...");
    CHECK_STR(in_ms(coir_schedule_capped(coir_schedule_fibonacci(coir_ms(10)), coir_ms(60))), "10 10 20 30 50 60 60 60 60 60 60 ...");
    CHECK_STR(in_ms(coir_schedule_capped(coir_schedule_recurs(2), coir_ms(60))), "0 0 end");
}

TEST(io_retry, pauses_of_a_few_nanoseconds_grow_too)
{
    CHECK_STR(in_ns(coir_schedule_exponential(coir_ns(1), 1.5)), "1 1 2 3 5 7 11 17 25 38 57 ...");
    CHECK_STR(in_ns(coir_schedule_exponential(coir_ns(0), 2)), "0 0 0 0 0 0 0 0 0 0 0 ...");
    CHECK_STR(in_ns(coir_schedule_fibonacci(coir_ns(1))), "1 1 2 3 5 8 13 21 34 55 89 ...");
    CHECK_STR(in_ns(coir_schedule_fibonacci(coir_ns(0))), "0 0 0 0 0 0 0 0 0 0 0 ...");
}

/* The clock ends after 2^63 ns, and a sleep beyond that is for ever: so a cap is what shows that they are as long as can be. */
TEST(io_retry, pauses_that_grow_beyond_all_bounds_stay_as_long_as_can_be)
{
    const coir_duration huge = coir_ns(INT64_MAX / 2 + 1), small = coir_ms(1);
    static const char *const expected = "1 1 1 1 1 1 1 1 1 1 1 ...";
    CHECK_STR(in_ms(coir_schedule_capped(coir_schedule_exponential(huge, 1e300), small)), expected);
    CHECK_STR(in_ms(coir_schedule_capped(coir_schedule_exponential(coir_ns(INT64_MAX), 2), small)), expected);
    CHECK_STR(in_ms(coir_schedule_capped(coir_schedule_fibonacci(huge), small)), expected);
    CHECK_STR(in_ms(coir_schedule_capped(coir_schedule_fibonacci(coir_ns(INT64_MAX)), small)), expected);
    CHECK_STR(in_ms(coir_schedule_capped(coir_schedule_jittered(coir_schedule_spaced(coir_ns(INT64_MAX)), 1), coir_ns(0))),
              "0 0 0 0 0 0 0 0 0 0 0 ...");
    struct rounds rounds = { .fail_times = -1 };
    CHECK_STR(simulated(coir_retry_by(round_of(&rounds), coir_schedule_fibonacci(coir_ns(INT64_MAX)))), "PANIC DEADLOCK");
}

/* Fibonacci numbers come to the bound after 91 of them, powers of ten thousand after 5. */
TEST(io_retry, ninety_rounds_of_growing_pauses_end_at_the_bound)
{
    for (int which = 0; which < 2; which++) {
        struct rounds rounds = { .fail_times = 95 };
        coir_schedule *growing = which == 0 ? coir_schedule_fibonacci(coir_ns(1)) : coir_schedule_exponential(coir_ns(1), 1e4);
        CHECK_STR(simulated(coir_retry_by(round_of(&rounds), coir_schedule_capped(growing, coir_seconds(9)))), "OK 96");
        CHECK_INT(rounds.began[95] - rounds.began[94], 9000000000);
    }
}

static coir_result set_flag(void *flag) { *(bool *)flag = true; return coir_ok(coir_none()); }
static coir_result fail_until_set(void *flag) { return *(bool *)flag ? coir_ok(coir_none()) : coir_raise(coir_int(1)); }

TEST(io_retry, a_pause_of_nothing_is_a_yield)
{
    bool flag = false;
    coir_io *other = coir_then(coir_repeat(coir_yield(), 20), coir_defer(set_flag, &flag));
    coir_io *io = coir_then(coir_fork(other), coir_retry_by(coir_defer(fail_until_set, &flag), coir_schedule_recurs(UINT64_MAX)));
    CHECK_STR(outcome_under(&(coir_options){ .workers = 1, .budget = COIR_BUDGET_NONE }, io), "OK 0");
}

TEST(io_retry, others_run_during_a_pause)
{
    struct rounds rounds = { .fail_times = 1 };
    coir_io *patient = coir_then(coir_retry(round_of(&rounds), COIR_POLICY(.tries_max = 2, .delay = coir_ms(10))), noting("patient"));
    CHECK_STR(simulated(waited(COIR_IOS(patient, coir_then(coir_sleep(coir_ms(9)), noting("other"))))), "OK [<OK 0> <OK 0>]");
    CHECK_STR(notes(), "other patient");
}

/* ------------------------------------------------------------------------------------------------------------------ jitter */

enum { SEEDS = 300 };

static int scaled_seeds(void) { return scaled(SEEDS) < 50 ? 50 : scaled(SEEDS); }

/* Runs it under many seeds. Each pause must lie within low and high; among all there must be some near either bound. */
static void check_within(coir_schedule *schedule, int64_t low, int64_t high)
{
    int64_t least = INT64_MAX, most = 0, tenth = (high - low) / 10;
    struct rounds rounds;
    coir_io *io = coir_retry_by(round_of(&rounds), coir_schedule_and(schedule, coir_schedule_recurs(4)));
    for (int seed = 0; seed < scaled_seeds(); seed++) {
        CASE("seed %d", seed);
        rounds = (struct rounds){ .fail_times = -1 };
        coir_result result = simulate(coir_io_ref(io), (uint64_t)seed);
        CHECK_TAG(result, COIR_ERROR);
        for (int i = 1; i < 5; i++) {
            int64_t pause = rounds.began[i] - rounds.began[i - 1];
            CHECK(pause >= low && pause <= high);
            least = pause < least ? pause : least;
            most = pause > most ? pause : most;
        }
    }
    coir_io_drop(io);
    CHECK(least <= low + tenth);
    CHECK(most >= high - tenth);
}

TEST(io_retry, jitter_keeps_its_bounds_and_comes_near_to_both)
{
    check_within(coir_schedule_jittered(coir_schedule_spaced(coir_ns(1000)), 0.2), 800, 1200);
    check_within(coir_schedule_jittered(coir_schedule_spaced(coir_ns(1000)), 1), 0, 2000);
    check_within(coir_schedule_jittered(coir_schedule_spaced(coir_ns(1000)), 0), 1000, 1000);
    check_within(coir_schedule_full_jitter(coir_schedule_spaced(coir_ns(1000))), 0, 1000);
    check_within(coir_schedule_full_jitter(coir_schedule_spaced(coir_ns(1))), 0, 1);
    check_within(coir_schedule_decorrelated(coir_ns(1000), coir_ns(5000)), 1000, 5000);
    check_within(coir_schedule_decorrelated(coir_ns(1000), coir_ns(1000)), 1000, 1000);
    check_within(coir_schedule_policy(COIR_POLICY(.delay = coir_ns(1000), .jitter = 0.5)), 500, 1500);
}

TEST(io_retry, a_decorrelated_pause_is_at_most_three_times_the_one_before)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        CASE("seed %d", (int)seed);
        struct rounds rounds = { .fail_times = 20 };
        coir_schedule *schedule = coir_schedule_decorrelated(coir_ms(10), coir_seconds(1000));
        coir_result result = simulate(coir_retry_by(round_of(&rounds), schedule), seed);
        CHECK_OK_INT(result, 21);
        int64_t before = 10000000;
        for (int i = 1; i <= 20; i++) {
            int64_t pause = rounds.began[i] - rounds.began[i - 1];
            CHECK(pause >= 10000000 && pause <= before * 3 && pause <= INT64_C(1000000000000));
            before = pause;
        }
    }
}

TEST(io_retry, the_same_seed_draws_the_same_pauses_and_another_others)
{
    int same = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        coir_schedule *schedule = coir_schedule_full_jitter(coir_schedule_exponential(coir_seconds(1), 2));
        const char *first = pauses_of(coir_schedule_ref(schedule), 1, seed);
        CHECK_STR(pauses_of(coir_schedule_ref(schedule), 1, seed), first);
        same += strcmp(pauses_of(schedule, 1, seed + 1), first) == 0;
    }
    CHECK_INT(same, 0);
}

static bool collect_random(void *env, const coir_round *round, coir_duration *pause)
{
    (void)pause;
    ((uint64_t *)env)[round->tries - 1] = round->random;
    return round->tries < 8;
}

TEST_REAL(io_retry, a_real_run_draws_by_its_seed_and_without_one_anew, "a simulation draws by its own seed")
{
    uint64_t drawn[4][8];
    static const uint64_t seeds[4] = { 7, 7, 0, 0 };
    for (int i = 0; i < 4; i++) {
        coir_io *io = coir_retry_by(coir_fail(coir_int(1)), coir_schedule_new(collect_random, drawn[i]));
        CHECK_STR(outcome_under(&(coir_options){ .workers = 1, .seed = seeds[i] }, io), "ERROR 1");
    }
    CHECK(memcmp(drawn[0], drawn[1], sizeof drawn[0]) == 0);
    CHECK(memcmp(drawn[1], drawn[2], sizeof drawn[0]) != 0);
    CHECK(memcmp(drawn[2], drawn[3], sizeof drawn[0]) != 0);
}

/* ---------------------------------------------------------------------------------------------------------------- time bounds */

TEST(io_retry, within_lets_no_round_begin_when_the_time_is_over)
{
    CHECK_STR(in_ms(coir_schedule_within(coir_schedule_spaced(coir_ms(10)), coir_ms(30))), "10 10 end");
    CHECK_STR(in_ms(coir_schedule_within(coir_schedule_spaced(coir_ms(10)), coir_us(30001))), "10 10 10 end");
    CHECK_STR(in_ms(coir_schedule_within(coir_schedule_spaced(coir_ms(10)), coir_ms(0))), "end");
    CHECK_STR(in_ms(coir_schedule_within(coir_schedule_exponential(coir_ms(10), 2), coir_ms(1000))), "10 20 40 80 160 320 end");
    CHECK_STR(in_ms(coir_schedule_policy(COIR_POLICY(.delay = coir_ms(10), .give_up_after = coir_ms(30)))), "10 10 end");
    CHECK_STR(in_ms(coir_schedule_within(coir_schedule_spaced(coir_ns(INT64_MAX)), coir_ns(INT64_MAX))), "end");
}

TEST(io_retry, the_time_counts_from_when_the_first_round_begins)
{
    for (int shared = 0; shared < 2; shared++) {
        struct rounds rounds = { .fail_times = -1, .takes = { coir_ms(4), coir_ms(4), coir_ms(4), coir_ms(4) } };
        coir_io *io = coir_retry(round_of(&rounds), COIR_POLICY(.delay = coir_ms(1), .give_up_after = coir_ms(15)));
        CHECK_STR(simulated(coir_then(coir_sleep(coir_seconds(100)), shared ? coir_io_ref(io) : io)), "ERROR 3");
        CHECK_INT(rounds.began[2] - rounds.began[0], 10000000);
        if (shared)
            coir_io_drop(io);
    }
}

TEST(io_retry, reset_after_a_long_round_tries_pauses_and_time_begin_anew)
{
    struct rounds rounds = { .fail_times = -1, .takes = { [2] = coir_seconds(60), [4] = coir_us(59999999) } };
    const coir_policy policy = { .tries_max = 4, .delay = coir_ms(10), .factor = 2, .reset_after = coir_seconds(60),
                                 .give_up_after = coir_seconds(61) };
    CHECK_STR(simulated(coir_retry(round_of(&rounds), &policy)), "ERROR 6");
    static const int64_t pauses[] = { 10000, 20000, 60010000, 20000, 60039999 };
    for (int i = 0; i < 5; i++)
        CHECK_INT(rounds.began[i + 1] - rounds.began[i], pauses[i] * 1000);
}

TEST(io_retry, only_what_reset_after_encloses_begins_anew)
{
    struct rounds rounds = { .fail_times = -1, .takes = { [1] = coir_ms(100), [3] = coir_ms(100) } };
    coir_schedule *doubling = coir_schedule_reset_after(coir_schedule_exponential(coir_ms(1), 2), coir_ms(100));
    CHECK_STR(simulated(coir_retry_by(round_of(&rounds), coir_schedule_and(doubling, coir_schedule_recurs(4)))), "ERROR 5");
    static const int64_t pauses[] = { 1, 101, 2, 101 };
    for (int i = 0; i < 4; i++)
        CHECK_INT(rounds.began[i + 1] - rounds.began[i], pauses[i] * 1000000);
}

TEST(io_retry, what_ones_own_schedule_kept_is_gone_when_it_begins_anew)
{
    struct seen seen = { .kept = { { 0 } } };
    struct rounds rounds = { .fail_times = -1, .takes = { [2] = coir_ms(100) } };
    coir_schedule *schedule = coir_schedule_reset_after(coir_schedule_new(see, &seen), coir_ms(50));
    CHECK_STR(simulated(coir_retry_by(round_of(&rounds), schedule)), "ERROR 4");
    CHECK_UINT(seen.kept[1][0], 10);
    CHECK_UINT(seen.kept[2][0], 0);
    CHECK_UINT(seen.kept[3][0], 10);
}

/* ------------------------------------------------------------------------------------------------------------------- and, or */

static bool every_third_no_more(void *env, const coir_value *value) { (void)env; return value->i64 % 3 != 0; }

/* A few schedules that draw nothing: which one, and for how long. */
enum { SAMPLES = 9 };
static coir_schedule *sample(int which)
{
    switch (which) {
    case 0:  return coir_schedule_recurs(0);
    case 1:  return coir_schedule_recurs(4);
    case 2:  return coir_schedule_spaced(coir_ms(20));
    case 3:  return coir_schedule_exponential(coir_ms(3), 2);
    case 4:  return coir_schedule_fibonacci(coir_ms(7));
    case 5:  return coir_schedule_within(coir_schedule_exponential(coir_ms(5), 3), coir_ms(500));
    case 6:  return coir_schedule_and(coir_schedule_recurs(6), coir_schedule_spaced(coir_ms(40)));
    case 7:  return coir_schedule_while(every_third_no_more, NULL);
    default: return coir_schedule_delay_from(as_the_error_says, NULL);
    }
}

static coir_schedule *and_(coir_schedule *a, coir_schedule *b) { return coir_schedule_and(a, b); }
static coir_schedule *or_(coir_schedule *a, coir_schedule *b)  { return coir_schedule_or(a, b); }

TEST(io_retry, and_goes_on_as_long_as_both_with_the_longer_pause_and_or_as_long_as_one_with_the_shorter)
{
    coir_schedule *four = coir_schedule_and(coir_schedule_recurs(4), coir_schedule_spaced(coir_ms(25)));
    CHECK_STR(in_ms(and_(coir_schedule_ref(four), coir_schedule_exponential(coir_ms(10), 2))), "25 25 40 80 end");
    CHECK_STR(in_ms(or_(four, coir_schedule_exponential(coir_ms(10), 2))), "10 20 25 25 160 320 640 1280 2560 5120 10240 ...");
}

TEST(io_retry, and_or_commute_and_each_with_itself_is_itself)
{
    for (int a = 0; a < SAMPLES; a++)
        for (int b = 0; b < SAMPLES; b++) {
            CASE("%d %d", a, b);
            CHECK_STR(in_ms(and_(sample(a), sample(b))), in_ms(and_(sample(b), sample(a))));
            CHECK_STR(in_ms(or_(sample(a), sample(b))), in_ms(or_(sample(b), sample(a))));
            CHECK_STR(in_ms(or_(sample(a), and_(sample(a), sample(b)))), in_ms(sample(a)));
            CHECK_STR(in_ms(and_(sample(a), or_(sample(a), sample(b)))), in_ms(sample(a)));
        }
}

TEST(io_retry, and_or_associate_and_distribute_over_each_other)
{
    for (int a = 0; a < SAMPLES; a++)
        for (int b = 0; b < SAMPLES; b++)
            for (int c = 0; c < SAMPLES; c++) {
                CASE("%d %d %d", a, b, c);
                CHECK_STR(in_ms(and_(sample(a), and_(sample(b), sample(c)))), in_ms(and_(and_(sample(a), sample(b)), sample(c))));
                CHECK_STR(in_ms(or_(sample(a), or_(sample(b), sample(c)))), in_ms(or_(or_(sample(a), sample(b)), sample(c))));
                CHECK_STR(in_ms(and_(sample(a), or_(sample(b), sample(c)))),
                          in_ms(or_(and_(sample(a), sample(b)), and_(sample(a), sample(c)))));
                CHECK_STR(in_ms(or_(sample(a), and_(sample(b), sample(c)))),
                          in_ms(and_(or_(sample(a), sample(b)), or_(sample(a), sample(c)))));
            }
}

TEST(io_retry, and_has_going_on_for_ever_as_its_neutral_and_or_never_going_on)
{
    for (int a = 0; a < SAMPLES; a++) {
        CASE("%d", a);
        CHECK_STR(in_ms(and_(sample(a), coir_schedule_recurs(UINT64_MAX))), in_ms(sample(a)));
        CHECK_STR(in_ms(or_(coir_schedule_recurs(0), sample(a))), in_ms(sample(a)));
        CHECK_STR(in_ms(and_(sample(a), coir_schedule_recurs(0))), "end");
    }
}

/* ------------------------------------------------------------------------------------------------------ a policy is a schedule */

static coir_schedule *by_hand(const coir_policy *p)
{
    coir_schedule *schedule = p->factor == 0 ? coir_schedule_spaced(p->delay) : coir_schedule_exponential(p->delay, p->factor);
    if (p->delay_max.ns > 0)
        schedule = coir_schedule_capped(schedule, p->delay_max);
    if (p->jitter > 0)
        schedule = coir_schedule_jittered(schedule, p->jitter);
    if (p->tries_max > 0)
        schedule = and_(schedule, coir_schedule_recurs(p->tries_max - 1));
    if (p->only_if != NULL)
        schedule = and_(schedule, coir_schedule_while(p->only_if, p->env));
    if (p->give_up_after.ns > 0)
        schedule = coir_schedule_within(schedule, p->give_up_after);
    return p->reset_after.ns > 0 ? coir_schedule_reset_after(schedule, p->reset_after) : schedule;
}

TEST(io_retry, policies_are_schedules)
{
    for (unsigned which = 0; which < 128; which++) {
        CASE("policy %u", which);
        const coir_policy policy = {
            .tries_max = which & 1 ? 6 : 0, .delay = coir_ms(10), .factor = which & 2 ? 1.7 : 0, .delay_max = coir_ms(which & 4 ? 50 : 0),
            .jitter = which & 8 ? 0.3 : 0, .give_up_after = coir_ms(which & 16 ? 170 : 0),
            .only_if = which & 32 ? every_third_no_more : NULL, .reset_after = coir_ns(which & 64 ? 1 : 0)
        };
        CHECK_STR(pauses_of(coir_schedule_policy(&policy), 1, which), pauses_of(by_hand(&policy), 1, which));
    }
}

/* --------------------------------------------------------------------------------------------------------------- many runs */

/* Each fiber counts its own tries, by a key. */
struct tries { atomic_int left; };
static coir_io *fail_thrice(void *key, coir_value *count)
{
    (void)key;
    atomic_int *left = count->ptr;
    return atomic_fetch_sub(left, 1) > 1 ? coir_fail(coir_int(1)) : coir_pure(coir_int(5));
}

TEST(io_retry, a_shared_io_is_run_by_many_fibers_at_once_each_with_its_own_tries)
{
    enum { FIBERS = 50 };
    FOR_SCHEDULES(options) {
        coir_key *key = coir_key_new(coir_none());
        struct tries tries[FIBERS];
        coir_io *ios[FIBERS];
        coir_io *io = coir_retry(coir_flat_map(coir_key_get(key), fail_thrice, NULL),
                                 COIR_POLICY(.tries_max = 3, .delay = coir_us(20), .factor = 2, .jitter = 0.5,
                                             .give_up_after = coir_seconds(100)));
        for (int i = 0; i < FIBERS; i++) {
            atomic_init(&tries[i].left, i % 2 == 0 ? 3 : 4);            /* one more than it will be given */
            ios[i] = coir_with_key(key, coir_lend(&tries[i].left), coir_io_ref(io));
        }
        coir_io_drop(io);
        coir_result result = coir_run(waited(FIBERS, ios), options);
        CHECK_TAG(result, COIR_OK);
        for (int i = 0; i < FIBERS; i++) {
            const coir_result *one = coir_result_in(coir_list_at(&result.value, (size_t)i));
            CHECK_INT(one->tag, i % 2 == 0 ? COIR_OK : COIR_ERROR);
            CHECK_INT(atomic_load(&tries[i].left), i % 2 == 0 ? 0 : 1);
        }
        coir_result_drop(&result);
        coir_key_drop(key);
    }
}

TEST(io_retry, every_budget_gives_the_same)
{
    FOR_BUDGETS(options, 1) {
        atomic_int count = 0;
        coir_io *body = coir_finally(coir_or_else(coir_defer(fail_with_thing, &count), coir_fail(coir_int(3))), noting("f"));
        coir_io *inner = coir_retry(body, COIR_POLICY(.tries_max = 2));
        CHECK_STR(outcome_under(options, coir_retry(inner, COIR_POLICY(.tries_max = 2, .delay = coir_ns(1), .jitter = 1))), "ERROR 3");
        CHECK_STR(notes(), "try 1 -1 f try 2 -2 f try 3 -3 f try 4 -4 f");
    }
}

TEST(io_retry, loops_within_loops_count_each_for_themselves)
{
    struct rounds rounds = { .fail_times = -1 };
    coir_io *io = coir_retry(coir_retry(coir_retry(round_of(&rounds), COIR_POLICY(.tries_max = 2)), COIR_POLICY(.tries_max = 3)),
                             COIR_POLICY(.tries_max = 4));
    CHECK_STR(simulated(io), "ERROR 24");
}

TEST(io_retry, env_that_the_io_owns_lives_through_all_rounds)
{
    struct rounds *rounds = calloc(1, sizeof *rounds);
    if (rounds == NULL)
        abort();
    rounds->fail_times = 5;
    CHECK_STR(simulated(coir_owns(coir_retry(round_of(rounds), COIR_POLICY(.tries_max = 10)), rounds, free)), "OK 6");
}

struct bytes { char text[40]; coir_duration pause; };
static coir_duration pause_in_bytes(void *env, const coir_value *value)
{
    const struct bytes *bytes = env;
    (void)value;
    CHECK_STR(bytes->text, "captured");
    return bytes->pause;
}

TEST(io_retry, captured_bytes_live_as_long_as_any_schedule_made_of_them)
{
    struct bytes bytes = { "captured", coir_ms(3) };
    coir_schedule *schedule = coir_schedule_delay_from_copy(pause_in_bytes, &bytes, sizeof bytes);
    bytes = (struct bytes){ "changed", coir_ms(4) };
    coir_schedule *bounded = coir_schedule_and(coir_schedule_ref(schedule), coir_schedule_recurs(2));
    coir_schedule_drop(schedule);
    CHECK_STR(in_ms(coir_schedule_ref(bounded)), "3 3 end");
    CHECK_STR(in_ms(coir_schedule_or(coir_schedule_ref(bounded), bounded)), "3 3 end");
}

/* A run that is stopped lets go of loops in a round and in a pause. */
TEST(io_retry, loops_of_a_stopped_run_leave_nothing_behind)
{
    for (int shared = 0; shared < 2; shared++) {
        const coir_options options = { .workers = 1, .on_deadlock = COIR_DEADLOCK_STOP };
        coir_io *in_round = coir_retry(coir_as(coir_never(), thing(1)), COIR_POLICY(.tries_max = 2));
        coir_io *in_pause = coir_retry(coir_then(coir_pure(thing(2)), coir_fail(coir_int(1))), COIR_POLICY(.delay = coir_ns(INT64_MAX)));
        coir_io *both = coir_then(coir_fork(shared ? coir_io_ref(in_round) : in_round), shared ? coir_io_ref(in_pause) : in_pause);
        coir_result result = coir_run(both, &options);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        if (shared) {
            coir_io_drop(in_round);
            coir_io_drop(in_pause);
        }
        CHECK_INT(atomic_load(&things_alive), 0);
        CHECK(strchr(notes(), '!') == NULL);
    }
}

/* --------------------------------------------------------------------------------------------- cancellation and time-outs */

static coir_io *cancel_it(void *place) { return coir_cancel(*(coir_fiber **)place); }
/* until_then_cancel: forks io, cancels it after a while and tells when that was over, in ms. */
static coir_io *until_then_cancel(coir_io *io, coir_duration when, coir_fiber **place)
{
    return coir_then(forking(io, place), coir_then(coir_sleep(when), coir_then(coir_suspend(cancel_it, place), coir_now())));
}

TEST(io_retry, a_cancellation_ends_a_pause_and_a_round_for_good)
{
    for (int which = 0; which < 2; which++) {
        const coir_duration pause = coir_seconds(which == 0 ? 10 : 0), takes = coir_seconds(which == 0 ? 0 : 10);
        struct rounds rounds = { .fail_times = -1, .takes = { takes, takes } };
        coir_fiber *fiber;
        coir_io *io = coir_finally(coir_retry(round_of(&rounds), COIR_POLICY(.tries_max = 9, .delay = pause)), noting("f"));
        coir_result result = simulate(until_then_cancel(io, coir_seconds(15), &fiber), 1);
        CHECK_OK_INT(result, INT64_C(15000000000));
        CHECK_INT(atomic_load(&rounds.count), 2);
        CHECK_STR(notes(), "f");
        coir_fiber_drop(fiber);
    }
}

TEST(io_retry, a_mask_outlasts_all_tries)
{
    struct rounds rounds = { .fail_times = 3 };
    coir_fiber *fiber;
    coir_io *io = coir_uncancelable(coir_retry(round_of(&rounds), COIR_POLICY(.delay = coir_seconds(10))));
    coir_result result = simulate(until_then_cancel(io, coir_seconds(15), &fiber), 1);
    CHECK_OK_INT(result, INT64_C(30000000000));
    CHECK_INT(atomic_load(&rounds.count), 4);
    coir_fiber_drop(fiber);
}

TEST(io_retry, a_time_out_of_each_try_is_tried_again_and_one_of_all_ends_them)
{
    struct rounds rounds = { .fail_times = -1, .takes = { coir_seconds(9), coir_seconds(9), coir_seconds(9), coir_seconds(9) } };
    coir_io *each = coir_retry(coir_timeout(round_of(&rounds), coir_seconds(2)), COIR_POLICY(.tries_max = 3, .delay = coir_seconds(1)));
    coir_result result = simulate(coir_then(coir_attempt(each), coir_now()), 1);
    CHECK_OK_INT(result, INT64_C(8000000000));          /* three times two seconds, and two pauses */
    CHECK_INT(atomic_load(&rounds.count), 3);
    static const coir_duration limits[] = { { 3500000000 }, { 4500000000 } };           /* in a pause, in a round */
    for (int i = 0; i < 2; i++) {
        rounds = (struct rounds){ .fail_times = -1, .takes = { coir_seconds(1), coir_seconds(1), coir_seconds(1) } };
        coir_io *all = coir_timeout(coir_retry(round_of(&rounds), COIR_POLICY(.delay = coir_seconds(1))), limits[i]);
        result = simulate(coir_then(coir_catch_code(all, COIR_TIMEOUT, coir_unit()), coir_now()), 1);
        CHECK_OK_INT(result, limits[i].ns);
        CHECK_INT(atomic_load(&rounds.count), 2 + i);
    }
}

/* Whatever step the cancellation comes before, everything is dropped once and the finalizer of a begun round has run. */
TEST(io_retry, canceled_at_any_step_nothing_is_left)
{
    for (uint64_t seed = 0; seed < (uint64_t)scaled(400); seed++) {
        CASE("seed %d", (int)seed);
        atomic_int count = 0;
        coir_fiber *fiber;
        coir_io *body = coir_finally(coir_then(coir_pure(thing(-1)), coir_defer(fail_with_thing, &count)), noting("f"));
        coir_io *io = coir_retry(body, COIR_POLICY(.tries_max = 3, .delay = coir_ns(1), .jitter = 1));
        coir_io *canceler = coir_then(coir_repeat(coir_yield(), seed % 20), coir_suspend(cancel_it, &fiber));
        CHECK_STR(simulated_with(coir_then(forking(seed % 2 == 0 ? coir_io_ref(io) : io, &fiber), canceler), seed), "OK 0");
        if (seed % 2 == 0)
            coir_io_drop(io);
        coir_fiber_drop(fiber);
        CHECK_INT(atomic_load(&things_alive), 0);
        const char *said = notes();
        CHECK(strchr(said, '!') == NULL);
        int finals = 0;
        for (const char *c = said; *c != '\0'; c++)
            finals += *c == 'f';
        CHECK(finals >= atomic_load(&count));           /* a round may have been canceled before its try */
    }
}

/* ------------------------------------------------------------------------------------------------------------- bad arguments */

static const char *said(coir_io *io) { return message_of(1, io); }
static const char *said_of(coir_schedule *schedule) { return said(coir_retry_by(coir_pure(thing(1)), schedule)); }

TEST(io_retry, policies_out_of_range_are_refused_by_name)
{
    static const struct { coir_policy policy; const char *complaint; } cases[] = {
        { { .delay = { -1 } }, "policy.delay is negative" },
        { { .delay_max = { INT64_MIN } }, "policy.delay_max is negative" },
        { { .give_up_after = { -5 } }, "policy.give_up_after is negative" },
        { { .reset_after = { -5 } }, "policy.reset_after is negative" },
        { { .factor = 0.99 }, "policy.factor is neither 0 nor a number of at least 1" },
        { { .factor = -2 }, "policy.factor is neither 0 nor a number of at least 1" },
        { { .factor = NAN }, "policy.factor is neither 0 nor a number of at least 1" },
        { { .factor = INFINITY }, "policy.factor is neither 0 nor a number of at least 1" },
        { { .jitter = -0.1 }, "policy.jitter is not within 0 and 1" },
        { { .jitter = 1.1 }, "policy.jitter is not within 0 and 1" },
        { { .jitter = NAN }, "policy.jitter is not within 0 and 1" },
        { { .size = 3 }, "policy.size is of another version" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[100];
        CASE("%s", cases[i].complaint);
        CHECK_STR(outcome(1, coir_retry(coir_pure(thing(1)), &cases[i].policy)), "PANIC EINVAL");
        snprintf(expected, sizeof expected, "coir_retry: %s", cases[i].complaint);
        CHECK_STR(said(coir_retry(coir_pure(thing(1)), &cases[i].policy)), expected);
        snprintf(expected, sizeof expected, "coir_keep_running: %s", cases[i].complaint);
        CHECK_STR(said(coir_keep_running(coir_pure(thing(1)), &cases[i].policy)), expected);
        snprintf(expected, sizeof expected, "coir_repeat_policy: %s", cases[i].complaint);
        CHECK_STR(said(coir_repeat_policy(coir_pure(thing(1)), &cases[i].policy)), expected);
        snprintf(expected, sizeof expected, "coir_schedule_policy: %s", cases[i].complaint);
        CHECK_STR(said_of(coir_schedule_policy(&cases[i].policy)), expected);
    }
    CHECK_STR(said(coir_retry(coir_unit(), NULL)), "coir_retry: policy is NULL");
    CHECK_INT(atomic_load(&things_alive), 0);
}

TEST(io_retry, schedules_out_of_range_are_refused_by_name)
{
    const coir_duration less = coir_ns(-1), ms = coir_ms(1);
    char bytes[1];
    CHECK_STR(said_of(coir_schedule_spaced(less)), "coir_schedule_spaced: pause is negative");
    CHECK_STR(said_of(coir_schedule_exponential(less, 2)), "coir_schedule_exponential: first is negative");
    CHECK_STR(said_of(coir_schedule_exponential(ms, 0)), "coir_schedule_exponential: factor is no number of at least 1");
    CHECK_STR(said_of(coir_schedule_exponential(ms, NAN)), "coir_schedule_exponential: factor is no number of at least 1");
    CHECK_STR(said_of(coir_schedule_fibonacci(less)), "coir_schedule_fibonacci: first is negative");
    CHECK_STR(said_of(coir_schedule_decorrelated(less, ms)), "coir_schedule_decorrelated: first is negative");
    CHECK_STR(said_of(coir_schedule_decorrelated(ms, coir_us(999))), "coir_schedule_decorrelated: max is less than first");
    CHECK_STR(said_of(coir_schedule_capped(sample(1), less)), "coir_schedule_capped: max is negative");
    CHECK_STR(said_of(coir_schedule_jittered(sample(1), -0.5)), "coir_schedule_jittered: fraction is not within 0 and 1");
    CHECK_STR(said_of(coir_schedule_jittered(sample(1), NAN)), "coir_schedule_jittered: fraction is not within 0 and 1");
    CHECK_STR(said_of(coir_schedule_within(sample(1), less)), "coir_schedule_within: limit is negative");
    CHECK_STR(said_of(coir_schedule_reset_after(sample(1), less)), "coir_schedule_reset_after: duration is negative");
    CHECK_STR(said_of(coir_schedule_while(NULL, NULL)), "coir_schedule_while: fn is NULL");
    CHECK_STR(said_of(coir_schedule_while_copy(NULL, NULL, 0)), "coir_schedule_while_copy: fn is NULL");
    CHECK_STR(said_of(coir_schedule_delay_from(NULL, NULL)), "coir_schedule_delay_from: fn is NULL");
    CHECK_STR(said_of(coir_schedule_delay_from_copy(as_the_error_says, NULL, 1)), "coir_schedule_delay_from_copy: bytes is NULL");
    CHECK_STR(said_of(coir_schedule_new(NULL, NULL)), "coir_schedule_new: fn is NULL");
    CHECK_STR(said_of(coir_schedule_new_copy(see, bytes, 1 << 17)), "coir_schedule_new_copy: size is more than 64 KiB");
    CHECK_INT(atomic_load(&things_alive), 0);
}

TEST(io_retry, the_first_bad_argument_of_a_schedule_is_told_wherever_it_stands)
{
    coir_schedule *bad = coir_schedule_spaced(coir_ns(-1));
    CHECK_STR(said_of(coir_schedule_and(coir_schedule_within(coir_schedule_ref(bad), coir_ms(1)), sample(1))),
              "coir_schedule_spaced: pause is negative");
    CHECK_STR(said_of(coir_schedule_or(sample(1), coir_schedule_ref(bad))), "coir_schedule_spaced: pause is negative");
    CHECK_STR(said_of(coir_schedule_or(bad, coir_schedule_recurs(1))), "coir_schedule_spaced: pause is negative");
}

TEST(io_retry, more_than_64_parts_are_refused)
{
    coir_schedule *schedule = coir_schedule_recurs(3), *most = coir_schedule_recurs(3);
    for (int i = 0; i < 5; i++)
        schedule = coir_schedule_and(coir_schedule_ref(schedule), schedule);            /* 63 parts */
    for (int i = 0; i < 63; i++)
        most = coir_schedule_full_jitter(most);
    CHECK_STR(in_ms(coir_schedule_ref(schedule)), "0 0 0 end");
    CHECK_STR(in_ms(coir_schedule_within(coir_schedule_ref(schedule), coir_ms(1))), "0 0 0 end");
    CHECK_STR(in_ms(coir_schedule_ref(most)), "0 0 0 end");
    CHECK_STR(said_of(coir_schedule_or(schedule, coir_schedule_recurs(3))), "coir_schedule_or: more than 64 parts");
    CHECK_STR(said_of(coir_schedule_capped(most, coir_ms(1))), "coir_schedule_capped: more than 64 parts");
}

TEST(io_retry, NULL_makes_the_whole_NULL)
{
    CHECK_PTR(coir_retry(NULL, COIR_POLICY(.tries_max = 2)), NULL);
    CHECK_PTR(coir_retry(NULL, NULL), NULL);
    CHECK_PTR(coir_retry_by(coir_pure(thing(1)), NULL), NULL);
    CHECK_PTR(coir_repeat_by(NULL, sample(2)), NULL);
    CHECK_PTR(coir_keep_running_by(NULL, coir_schedule_spaced(coir_ns(-1))), NULL);
    CHECK_PTR(coir_schedule_and(NULL, sample(6)), NULL);
    CHECK_PTR(coir_schedule_or(sample(6), NULL), NULL);
    CHECK_PTR(coir_schedule_capped(NULL, coir_ns(-1)), NULL);
    CHECK_PTR(coir_schedule_jittered(NULL, 0.5), NULL);
    CHECK_PTR(coir_schedule_full_jitter(NULL), NULL);
    CHECK_PTR(coir_schedule_within(NULL, coir_ms(1)), NULL);
    CHECK_PTR(coir_schedule_reset_after(NULL, coir_ns(-1)), NULL);
    CHECK_PTR(coir_schedule_ref(NULL), NULL);
    coir_schedule_drop(NULL);
    CHECK_STR(notes(), "-1");
}

TEST(io_retry, what_is_dropped_unrun_leaves_nothing_behind)
{
    coir_io_drop(coir_retry(coir_pure(thing(1)), COIR_POLICY(.tries_max = 3)));
    coir_io *io = coir_keep_running_by(coir_pure(thing(2)), sample(5));
    coir_io_drop(coir_io_ref(io));
    coir_io_drop(io);
    coir_schedule_drop(coir_schedule_new_copy(see, "x", 1));
    CHECK_STR(notes(), "-1 -2");
}

/* ---------------------------------------------------------------------------------------------------------------- memory */

#ifdef COIR_PLAIN_MEMORY

static void build_and_run_retries(void)
{
    atomic_int count = 0;
    struct bytes bytes = { "captured", coir_ns(3) };
    coir_schedule *mine = coir_schedule_delay_from_copy(pause_in_bytes, &bytes, sizeof bytes);
    coir_schedule *schedule = and_(or_(coir_schedule_jittered(mine, 0.5), coir_schedule_recurs(5)), coir_schedule_recurs(3));
    coir_io *body = coir_defer(fail_with_thing, &count);
    coir_io *inner = coir_retry(coir_io_ref(body), COIR_POLICY(.tries_max = 2, .delay = coir_ns(1), .give_up_after = coir_seconds(100)));
    coir_io_drop(body);
    coir_io *io = coir_retry_by(inner, coir_schedule_within(schedule, coir_seconds(100)));
    coir_io_drop(coir_retry(coir_unit(), COIR_POLICY(.jitter = 2)));
    coir_io_drop(coir_retry_by(coir_unit(), coir_schedule_capped(coir_schedule_spaced(coir_ns(-1)), coir_ns(1))));
    for (int run = 0; run < 2; run++) {
        coir_result result = coir_run(coir_io_ref(io), COIR_OPTIONS(.workers = 1));
        CHECK(result.tag == COIR_ERROR || (result.tag == COIR_PANIC && coir_error_code(&result.value) == ENOMEM));
        coir_result_drop(&result);
    }
    coir_io_drop(io);
}

TEST_ALONE(io_retry, without_memory_it_is_a_panic_and_nothing_leaks) { starve(build_and_run_retries); }

#endif

/* -------------------------------------------------------------------------------------------------------------- as text */

static const char *text_of(coir_io *io, bool as_graph)
{
    char *text = scratch();
    memset(text, 0, SCRATCH_SIZE);
    FILE *out = fmemopen(text, SCRATCH_SIZE - 1, "w");
    if (out == NULL)
        abort();
    (as_graph ? coir_io_dot : coir_io_print)(io, out, 0);
    fclose(out);
    coir_io_drop(io);
    return text;
}

TEST(io_retry, print_shows_what_the_policy_says)
{
    const coir_policy policy = { .tries_max = 5, .delay = coir_ms(50), .factor = 2, .delay_max = coir_seconds(2), .jitter = 0.2,
                                 .give_up_after = coir_seconds(10), .reset_after = coir_us(1500), .only_if = is_below };
    CHECK_STR(text_of(coir_retry(coir_unit(), &policy), false),
              "retry ((exponential 50 ms x 2 capped 2 s jittered 0.2 and recurs 4) and while) within 10 s reset_after 1500 us\n"
              "  pure 0\n");
    CHECK_STR(text_of(coir_retry(coir_unit(), COIR_POLICY(.tries_max = 3, .factor = 2)), false), "retry recurs 2\n  pure 0\n");
    CHECK_STR(text_of(coir_repeat_policy(coir_unit(), COIR_POLICY(.give_up_after = coir_ms(5))), false),
              "repeat_by spaced 0 s within 5 ms\n  pure 0\n");
    CHECK_STR(text_of(coir_keep_running(coir_yield(), COIR_POLICY(.delay = coir_ns(1001))), false),
              "keep_running spaced 1001 ns\n  yield\n");
}

TEST(io_retry, print_shows_how_a_schedule_is_put_together)
{
    coir_schedule *left = or_(coir_schedule_fibonacci(coir_ms(3)), coir_schedule_decorrelated(coir_ms(4), coir_seconds(5)));
    coir_schedule *said = and_(coir_schedule_delay_from(as_the_error_says, NULL), coir_schedule_recurs(0));
    coir_schedule *right = and_(coir_schedule_new(see, NULL), said);
    CHECK_STR(text_of(coir_retry_by(coir_unit(), or_(coir_schedule_full_jitter(left), right)), false),
              "retry ((fibonacci 3 ms or decorrelated 4 ms to 5 s) full_jitter or (new and (delay_from and recurs 0)))\n  pure 0\n");
    coir_schedule *spaced = coir_schedule_spaced(coir_ms(0));
    CHECK_CONTAINS(text_of(coir_repeat_by(coir_unit(), spaced), true), "[label=\"repeat_by spaced 0 s\"]");
    coir_schedule *many = coir_schedule_recurs(3);
    for (int i = 0; i < 5; i++)
        many = and_(coir_schedule_ref(many), many);
    const char *text = text_of(coir_retry_by(coir_unit(), many), false);
    CHECK(strlen(text) < 200);
    CHECK_CONTAINS(text, "...\n");
}
