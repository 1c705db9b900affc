/*
 * sim.c - tests of the simulation as a driver: the two clocks, completions, other threads, verdicts, what the run's options bring
 */
#include "simulation.h"

static coir_sim *opened(coir_io *io, const coir_sim_options *options)
{
    coir_sim *sim = coir_sim_open(io, options);
    CHECK(sim != NULL);
    return sim;
}

/* ----------------------------------------------------------------------------------------------------------- clocks */

TEST(sim, a_year_of_sleep_takes_no_time_and_the_clock_knows_it)
{
    coir_sim_figures figures;
    coir_io *year = coir_then(coir_sleep(coir_seconds(365 * 24 * 3600)), coir_now());
    coir_result result = coir_sim_run(year, COIR_SIM_OPTIONS(.figures = &figures));
    CHECK_TAG(result, COIR_OK);
    CHECK_INT(result.value.i64, (int64_t)365 * 24 * 3600 * 1000000000);
    CHECK_INT(figures.elapsed.ns, result.value.i64);
}

/* Sleepers of different durations, forked in that order; each notes when it woke. */
static coir_result note_now(void *env)
{
    const int64_t *ms = env;
    note("%lld", (long long)*ms);
    return coir_ok(coir_none());
}
static coir_io *sleeper(int64_t ms) { return coir_then(coir_sleep(coir_ms(ms)), coir_defer_copy(note_now, &ms, sizeof ms)); }

TEST(sim, sleepers_wake_in_the_order_of_their_moments_under_every_seed)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        CASE("seed %llu", (unsigned long long)seed);
        coir_io *all = waited(COIR_IOS(sleeper(5), sleeper(1), sleeper(4), sleeper(2), sleeper(3)));
        CHECK_STR(simulated(all, COIR_SIM_OPTIONS(.seed = seed)), "OK [<OK 0> <OK 0> <OK 0> <OK 0> <OK 0>]");
        CHECK_STR(notes(), "1 2 3 4 5");
    }
}

static coir_io *sleeper_named(const char *name) { return coir_then(coir_sleep(coir_ms(7)), noting(name)); }

TEST(sim, who_sleeps_until_the_same_moment_is_woken_in_the_order_of_arming)
{
    coir_io *all = waited(COIR_IOS(sleeper_named("a"), sleeper_named("b"), sleeper_named("c"), sleeper_named("d")));
    CHECK_STR(simulated(all, COIR_SIM_OPTIONS(.policy = COIR_SIM_IN_TURN)), "OK [<OK 0> <OK 0> <OK 0> <OK 0>]");
    CHECK_STR(notes(), "a b c d");
}

TEST(sim, the_clock_stands_while_somebody_can_go_on)
{
    coir_io *busy = coir_then(coir_repeat(coir_yield(), 1000), coir_now());
    for (uint64_t seed = 0; seed < 10; seed++)
        CHECK_STR(simulated(joined(busy = coir_io_ref(busy)), COIR_SIM_OPTIONS(.seed = seed)), "OK 0");
    coir_io_drop(busy);
}

TEST(sim, a_step_takes_up_to_step_time_max_where_that_is_asked_for)
{
    coir_sim_figures figures;
    for (uint64_t seed = 0; seed < 20; seed++) {
        coir_sim_options options = { .size = sizeof options, .seed = seed, .step_time_max = coir_ns(10), .figures = &figures };
        CHECK_STR(simulated(coir_repeat(coir_unit(), 1000), &options), "OK 0");
        CHECK(figures.elapsed.ns > 2 * (int64_t)figures.steps);
        CHECK(figures.elapsed.ns <= 10 * (int64_t)figures.steps);
    }
}

static bool is_before(void *until, const coir_value *now) { return now->i64 < *(const int64_t *)until; }

TEST(sim, who_looks_at_the_clock_until_it_has_moved_on_ends_where_steps_take_time)
{
    int64_t until = 1000;
    coir_io *looking = coir_while(coir_then(coir_yield(), coir_now()), is_before, &until);
    coir_sim_options options = { .size = sizeof options, .steps_max = 10000 };
    CHECK_STR(simulated(coir_io_ref(looking), &options), "PANIC code -1007");
    options.step_time_max = coir_ns(100);
    coir_result result = coir_sim_run(looking, &options);
    CHECK_TAG(result, COIR_OK);
    CHECK(result.value.i64 >= until);
}

TEST(sim, a_sleep_that_reaches_beyond_the_clocks_end_never_ends)
{
    CHECK_CONTAINS(simulated_message(coir_sleep(coir_ns(INT64_MAX)), NULL), "(coir_sleep), and nothing is left that could end the wait");
    CHECK_CONTAINS(simulated_message(coir_sleep_until((struct timespec){ .tv_sec = INT64_MAX }), NULL), "(coir_sleep_until)");
}

TEST(sim, both_clocks_may_come_to_their_end)
{
    coir_sim *sim = opened(waited(COIR_IOS(coir_sleep(coir_seconds(1)), coir_sleep_until((struct timespec){ .tv_sec = 3000000000 }))), NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_advance(sim, coir_ns(INT64_MAX)), COIR_SIM_RUNNABLE);
    CHECK_INT(coir_sim_now(sim).ns, INT64_MAX);
    CHECK_INT(coir_sim_advance(sim, coir_ns(INT64_MAX)), COIR_SIM_RUNNABLE);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    coir_sim_drop(sim);
}

/* ------------------------------------------------------------------------------------------------- the epoch clock */

static struct timespec second(int64_t seconds) { return (struct timespec){ .tv_sec = (time_t)seconds }; }

/* Opened at second 1000 of the epoch clock, with a fiber that sleeps until second 1060. */
static coir_sim *sleeping_until_1060(void)
{
    coir_sim *sim = opened(coir_then(coir_sleep_until(second(1060)), coir_now()), COIR_SIM_OPTIONS(.epoch = second(1000)));
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    return sim;
}

TEST(sim_epoch, who_sleeps_until_a_moment_wakes_when_the_clock_comes_there)
{
    coir_sim *sim = sleeping_until_1060();
    coir_duration left;
    CHECK(coir_sim_next_interval(sim, &left));
    CHECK_INT(left.ns, coir_seconds(60).ns);
    CHECK_INT(coir_sim_advance(sim, coir_ns(left.ns - 1)), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_advance(sim, coir_ns(1)), COIR_SIM_RUNNABLE);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    CHECK_OK_INT(*coir_sim_result(sim), coir_seconds(60).ns);
    coir_sim_drop(sim);
}

TEST(sim_epoch, the_clock_set_forwards_past_the_moment_wakes_him_at_once)
{
    coir_sim *sim = sleeping_until_1060();
    CHECK_INT(coir_sim_set_epoch(sim, second(1059)), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_set_epoch(sim, second(1060)), COIR_SIM_RUNNABLE);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    CHECK_OK_INT(*coir_sim_result(sim), 0);             /* the other clock has not moved */
    coir_sim_drop(sim);
}

TEST(sim_epoch, the_clock_set_forwards_shortens_the_rest)
{
    coir_sim *sim = sleeping_until_1060();
    coir_duration left;
    CHECK_INT(coir_sim_advance(sim, coir_seconds(10)), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_set_epoch(sim, second(1055)), COIR_SIM_ASLEEP);
    CHECK(coir_sim_next_interval(sim, &left));
    CHECK_INT(left.ns, coir_seconds(5).ns);
    CHECK_INT(coir_sim_tick_all(sim), COIR_SIM_ENDED);
    CHECK_OK_INT(*coir_sim_result(sim), coir_seconds(15).ns);
    coir_sim_drop(sim);
}

TEST(sim_epoch, the_clock_set_backwards_prolongs_the_wait_and_nobody_wakes_early)
{
    coir_sim *sim = sleeping_until_1060();
    CHECK_INT(coir_sim_advance(sim, coir_seconds(59)), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_set_epoch(sim, second(1000)), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_advance(sim, coir_seconds(59)), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_advance(sim, coir_seconds(1)), COIR_SIM_RUNNABLE);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    CHECK_OK_INT(*coir_sim_result(sim), coir_seconds(119).ns);
    coir_sim_drop(sim);
}

TEST(sim_epoch, who_sleeps_for_a_duration_does_not_care_how_the_epoch_clock_is_set)
{
    coir_sim *sim = opened(coir_sleep(coir_seconds(60)), COIR_SIM_OPTIONS(.epoch = second(1000)));
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_set_epoch(sim, second(5000)), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_set_epoch(sim, second(5)), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_advance(sim, coir_seconds(60)), COIR_SIM_RUNNABLE);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    coir_sim_drop(sim);
}

TEST(sim_epoch, moments_before_1970_and_the_ends_of_time_can_be_set)
{
    coir_sim *sim = opened(coir_sleep_until(second(-100)), COIR_SIM_OPTIONS(.epoch = second(-160)));
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_advance(sim, coir_seconds(59)), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_set_epoch(sim, (struct timespec){ .tv_sec = INT64_MIN }), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_set_epoch(sim, (struct timespec){ .tv_sec = INT64_MAX }), COIR_SIM_RUNNABLE);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    coir_sim_drop(sim);
}

TEST(sim_epoch, without_an_option_it_is_the_beginning_of_the_year_2000)
{
    static const int64_t year_2000 = 946684800;
    coir_sim *sim = opened(coir_sleep_until(second(year_2000 + 3)), NULL);
    coir_duration left;
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    CHECK(coir_sim_next_interval(sim, &left));
    CHECK_INT(left.ns, coir_seconds(3).ns);
    coir_sim_drop(sim);
}

/* ------------------------------------------------------------------------------------------------------ completions */

struct call { coir_duration earliest, latest; coir_tag tag; };

/* Stands in for foreign code: it will call some time between. */
static void call_start(void *env, void *op, coir_callback k)
{
    const struct call *call = env;
    (void)op;
    if (!coir_sim_complete(k, coir_result_of(call->tag, coir_int(5)), call->earliest, call->latest))
        note("refused");
}
static const coir_async_type call_type = { .start = call_start };
static coir_io *calling(int64_t earliest, int64_t latest)
{
    return coir_async_copy(&call_type, COIR_ENV(struct call, coir_ns(earliest), coir_ns(latest), COIR_OK));
}

TEST(sim_complete, a_completion_comes_between_its_earliest_and_its_latest_moment)
{
    bool seen[11] = { false };
    for (uint64_t seed = 0; seed < 500; seed++) {
        CASE("seed %llu", (unsigned long long)seed);
        coir_result result = coir_sim_run(coir_then(calling(20, 30), coir_now()), COIR_SIM_OPTIONS(.seed = seed));
        CHECK_TAG(result, COIR_OK);
        CHECK(result.value.i64 >= 20 && result.value.i64 <= 30);
        seen[result.value.i64 - 20] = true;
    }
    for (int i = 0; i <= 10; i++)
        CHECK(seen[i]);
}

TEST(sim_complete, its_moment_may_be_now_or_any_one)
{
    CHECK_STR(simulated(calling(0, 0), NULL), "OK 5");
    CHECK_STR(simulated(coir_then(calling(7, 7), coir_now()), NULL), "OK 7");
    CHECK_STR(simulated(calling(0, INT64_MAX), NULL), "OK 5");
    CHECK_STR(simulated(coir_async_copy(&call_type, COIR_ENV(struct call, .tag = COIR_ERROR)), NULL), "ERROR 5");
    CHECK_STR(notes(), "");
}

TEST(sim_complete, in_some_schedules_it_comes_first_and_in_some_last)
{
    int first = 0;
    enum { SEEDS = 200 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        coir_io *both[] = { coir_then(calling(0, 0), noting("call")), coir_then(coir_repeat(coir_unit(), 3), noting("steps")) };
        CHECK_STR(simulated(waited(2, both), COIR_SIM_OPTIONS(.seed = seed)), "OK [<OK 0> <OK 0>]");
        const char *order = notes();
        first += strcmp(order, "call steps") == 0;
        CHECK(strcmp(order, "call steps") == 0 || strcmp(order, "steps call") == 0);
    }
    CHECK(first > 0 && first < SEEDS);
}

/* Waits for a call by looking again and again whether it has come. */
static bool not_ended(void *place, const coir_value *value) { (void)value; return coir_fiber_status(*(coir_fiber **)place) != COIR_ENDED; }

TEST(sim_complete, polling_for_its_effect_ends_under_any_policy)
{
    static const coir_sim_policy policies[] = { COIR_SIM_RANDOM, COIR_SIM_PRIORITIES, COIR_SIM_IN_TURN };
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        coir_fiber *fiber = NULL;
        coir_io *io = coir_then(forking(calling(0, 0), &fiber), coir_while(coir_yield(), not_ended, &fiber));
        CASE("policy %d", (int)policies[i]);
        CHECK_STR(simulated(io, COIR_SIM_OPTIONS(.policy = policies[i], .steps_max = 10000)), "OK 0");
        coir_fiber_drop(fiber);
    }
}

TEST(sim_complete, a_range_that_is_none_is_refused_and_the_call_panics)
{
    static const struct { int64_t earliest, latest; } cases[] = { { -1, 5 }, { 5, 4 }, { -5, -1 }, { 0, -1 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_STR(simulated(calling(cases[i].earliest, cases[i].latest), NULL), "PANIC EINVAL");
        CHECK_STR(notes(), "refused");
        CHECK_STR(outcome(1, calling(cases[i].earliest, cases[i].latest)), "PANIC EINVAL");
        CHECK_STR(notes(), "refused");
    }
}

TEST(sim_complete, outside_of_a_simulation_it_calls_at_once)
{
    CHECK_STR(outcome(2, calling(1000000000000, 2000000000000)), "OK 5");
    CHECK(!coir_sim_complete((coir_callback){ NULL, 0 }, coir_ok(thing(1)), coir_ns(0), coir_ns(0)));
    CHECK_STR(notes(), "-1");
}

static void call_twice(void *env, void *op, coir_callback k)
{
    (void)env;
    (void)op;
    (void)coir_sim_complete(k, coir_ok(thing(1)), coir_ns(10), coir_ns(10));
    (void)coir_sim_complete(k, coir_ok(thing(2)), coir_ns(5), coir_ns(5));
    (void)coir_sim_complete(k, coir_ok(thing(3)), coir_seconds(1000), coir_seconds(2000));
}

TEST(sim_complete, of_two_the_first_counts_and_no_result_is_lost)
{
    static const coir_async_type twice = { .start = call_twice };
    CHECK_STR(simulated(coir_as(coir_async(&twice, NULL), coir_int(1)), NULL), "OK 1");
    CHECK_INT(atomic_load(&things_alive), 0);
}

/* ---------------------------------------------------------------------------------------------------- other threads */

static void *open_it(void *gate) { gate_open(gate); return NULL; }

TEST(sim_foreign, another_thread_may_resume_and_is_counted)
{
    struct gate gate = GATE;
    coir_sim_figures figures;
    pthread_t thread;
    coir_sim *sim = opened(passing(&gate), NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_OUTSIDE);
    CHECK_INT(pthread_create(&thread, NULL, open_it, &gate), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(coir_sim_state_of(sim), COIR_SIM_RUNNABLE);
    CHECK_INT(coir_sim_tick_all(sim), COIR_SIM_ENDED);
    CHECK(coir_sim_figures_of(sim, &figures));
    CHECK_UINT(figures.foreign, 1);
    CHECK_TAG(*coir_sim_result(sim), COIR_OK);
    coir_sim_drop(sim);
}

static void *open_when_waited_for(void *gate)
{
    CHECK_SOON(gate_waiting(gate) > 0);
    gate_open(gate);
    return NULL;
}

TEST(sim_foreign, a_run_waits_for_a_thread_that_is_still_to_call)
{
    for (int round = 0; round < 20; round++) {
        struct gate gate = GATE;
        coir_sim_figures figures;
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, open_when_waited_for, &gate), 0);
        CHECK_STR(simulated(passing(&gate), COIR_SIM_OPTIONS(.foreign_wait = coir_seconds(60), .figures = &figures)), "OK 0");
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_UINT(figures.foreign, 1);
    }
}

TEST(sim_foreign, many_threads_that_call_at_once_are_all_heard)
{
    enum { THREADS = 8 };
    struct gate gates[THREADS];
    pthread_t threads[THREADS];
    coir_io *ios[THREADS];
    coir_sim_figures figures;
    for (int i = 0; i < THREADS; i++) {
        gates[i] = (struct gate)GATE;
        ios[i] = passing(&gates[i]);
        CHECK_INT(pthread_create(&threads[i], NULL, open_when_waited_for, &gates[i]), 0);
    }
    coir_result result = coir_sim_run(waited(THREADS, ios), COIR_SIM_OPTIONS(.foreign_wait = coir_seconds(60), .figures = &figures));
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK(all_ok(NULL, &result));
    CHECK_UINT(figures.foreign, THREADS);
    coir_result_drop(&result);
}

TEST(sim_foreign, who_does_not_call_within_foreign_wait_is_not_waited_for_any_longer)
{
    struct gate gate = GATE;
    coir_sim_figures figures;
    uint64_t refused = coir_counters_now().resumes_refused;
    coir_sim_options options = { .size = sizeof options, .foreign_wait = coir_ms(1), .figures = &figures };
    CHECK_STR(simulated_message(passing(&gate), &options),
              "deadlock: fiber 1 waits for a callback, and nothing is left that could end the wait");
    CHECK_UINT(figures.foreign, 0);
    gate_open(&gate);
    CHECK_UINT(coir_counters_now().resumes_refused, refused + 1);
}

TEST(sim_foreign, the_simulations_own_thread_may_call_between_two_steps_and_is_no_stranger)
{
    struct gate gate = GATE;
    coir_sim_figures figures;
    coir_sim *sim = opened(passing(&gate), NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_OUTSIDE);
    gate_open(&gate);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    CHECK(coir_sim_figures_of(sim, &figures));
    CHECK_UINT(figures.foreign, 0);
    coir_sim_drop(sim);
}

TEST(sim_foreign, a_fiber_of_a_real_run_may_be_joined)
{
    struct gate gate = GATE;
    coir_fiber *fiber = NULL;
    struct other_run other;
    other_run_begin(&other, NULL, forking(coir_then(passing(&gate), coir_pure(coir_int(8))), &fiber));
    CHECK_SOON(gate_waiting(&gate) > 0);
    coir_sim *sim = opened(coir_join(fiber), COIR_SIM_OPTIONS(.foreign_wait = coir_seconds(60)));
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_OUTSIDE);
    gate_open(&gate);
    CHECK_INT(coir_sim_tick_all(sim), COIR_SIM_ENDED);
    CHECK_OK_INT(*coir_sim_result(sim), 8);
    coir_sim_drop(sim);
    coir_result result = other_run_end(&other);
    CHECK_OK_INT(result, 0);
    coir_fiber_drop(fiber);
}

static bool not_placed(void *place, const coir_value *value) { (void)value; return *(coir_fiber **)place == NULL; }
static coir_io *until_placed(coir_fiber **place) { return coir_while(coir_yield(), not_placed, place); }

/* The third fiber waits for fiber 2 of another run (in a process of its own this is its number), and fiber 2 of this run waits for the third. */
TEST(sim_foreign, a_fiber_of_another_run_is_not_taken_for_one_of_this_that_has_its_number)
{
    struct gate gate = GATE;
    coir_fiber *other = NULL, *third = NULL;
    struct other_run run_of_other;
    other_run_begin(&run_of_other, COIR_OPTIONS(.workers = 1), forking(coir_then(passing(&gate), coir_pure(coir_int(8))), &other));
    CHECK_SOON(gate_waiting(&gate) > 0);
    coir_io *opener = coir_sequence(COIR_IOS(until_parked(&third), coir_repeat(coir_yield(), 100), coir_defer(open_gate, &gate)));
    coir_io *ring = coir_then(coir_fork(coir_then(until_placed(&third), joining(&third))), forking(coir_join(other), &third));
    coir_sim_options options = { .size = sizeof options, .foreign_wait = coir_seconds(60), .policy = COIR_SIM_IN_TURN };
    CHECK_STR(simulated(coir_sequence(COIR_IOS(ring, opener, joining(&third))), &options), "OK 8");
    coir_result result = other_run_end(&run_of_other);
    CHECK_OK_INT(result, 0);
    coir_fiber_drop(other);
    coir_fiber_drop(third);
}

/* --------------------------------------------------------------------------------------------------------- verdicts */

TEST(sim, a_deadlock_is_found_at_once_and_explained)
{
    CHECK_STR(simulated_message(coir_named(coir_never(), "waiting"), NULL),
              "deadlock: fiber 1 'waiting' waits for what never comes (coir_never), and nothing is left that could end the wait");
}

/* Each takes one lock and wants the other's; `then` is what comes first in the middle. */
struct two_locks { coir_lock *left, *right; };
static coir_io *take_both(coir_lock *first, coir_lock *second)
{
    return coir_with_lock(first, coir_then(coir_yield(), coir_with_lock(second, coir_unit())));
}
static coir_io *crossing(const struct two_locks *locks)
{
    return waited(COIR_IOS(coir_named(take_both(locks->left, locks->right), "ann"), coir_named(take_both(locks->right, locks->left), "bob")));
}

static bool not_yet_ended(void *place, const coir_value *value) { (void)value; return coir_fiber_status(*(coir_fiber **)place) != COIR_ENDED; }

TEST(sim, a_ring_is_found_while_another_fiber_never_rests_where_a_worker_has_nothing_to_do)
{
    struct two_locks locks = { coir_lock_new(), coir_lock_new() };
    coir_fiber *fiber = NULL;
    coir_io *io = coir_then(forking(crossing(&locks), &fiber), coir_while(coir_yield(), not_yet_ended, &fiber));
    coir_sim_options options = { .size = sizeof options, .budget = 1, .steps_max = 10000 };
    for (options.seed = 0; options.seed < 50; options.seed++) {
        CHECK_STR(simulated(coir_io_ref(io), &options), "OK 0");
        coir_fiber_drop(fiber);
    }
    coir_io_drop(io);
    coir_lock_drop(locks.left);
    coir_lock_drop(locks.right);
}

TEST(sim, a_ring_ends_while_others_go_on_and_the_locks_are_free_afterwards)
{
    struct two_locks locks = { coir_lock_new(), coir_lock_new() };
    coir_fiber *fiber = NULL;
    coir_io *io = coir_then(forking(coir_sleep(coir_seconds(1000)), &fiber), coir_then(crossing(&locks), coir_now()));
    coir_sim_options options = { .size = sizeof options, .policy = COIR_SIM_IN_TURN };
    CHECK_STR(simulated(io, &options), "OK 0");         /* before the sleeper woke */
    CHECK_STR(simulated(crossing(&locks), &options), "OK [<PANIC DEADLOCK> <PANIC DEADLOCK>]");
    CHECK_STR(simulated(take_both(locks.left, locks.right), &options), "OK 0");
    coir_fiber_drop(fiber);
    coir_lock_drop(locks.left);
    coir_lock_drop(locks.right);
}

static const char *ring_of(const struct two_locks *locks)
{
    char *text = scratch();
    snprintf(text, SCRATCH_SIZE, "deadlock: fiber 3 'bob' waits for lock %llu that fiber 2 'ann' holds; fiber 2 'ann' waits for lock %llu that fiber 3 'bob' "
             "holds", (unsigned long long)coir_lock_id(locks->left), (unsigned long long)coir_lock_id(locks->right));
    return text;
}

TEST(sim, on_deadlock_stop_ends_the_run_as_the_verdict)
{
    static const coir_options stop = { .on_deadlock = COIR_DEADLOCK_STOP };
    struct two_locks locks = { coir_lock_new(), coir_lock_new() };
    coir_sim_options options = { .size = sizeof options, .policy = COIR_SIM_IN_TURN, .run = &stop };
    CHECK_STR(simulated(coir_finally(coir_never(), noting("unwound")), &options), "PANIC DEADLOCK");
    CHECK_STR(simulated_message(crossing(&locks), &options),
              ring_of(&locks));
    CHECK_STR(simulated(coir_then(coir_fork(coir_never()), coir_pure(coir_int(3))), &options), "PANIC DEADLOCK");
    CHECK_STR(notes(), "");
    coir_lock_drop(locks.left);
    coir_lock_drop(locks.right);
}

TEST(sim, a_program_without_end_is_stopped_and_said_to_be)
{
    coir_sim_figures figures;
    coir_sim_options options = { .size = sizeof options, .steps_max = 1000, .figures = &figures };
    CHECK_STR(simulated_message(coir_forever(coir_yield()), &options), "the simulation was stopped: it had not ended after 1000 steps");
    CHECK_UINT(figures.steps, 1000);
    coir_result result = coir_sim_run(coir_forever(coir_sleep(coir_seconds(1))), &options);
    CHECK_CODE(result, COIR_PANIC, COIR_STOPPED);
    coir_result_drop(&result);
}

TEST(sim, steps_max_is_enough_for_a_program_of_just_so_many_steps)
{
    coir_sim_figures figures;
    CHECK_STR(simulated(coir_repeat(coir_unit(), 50), COIR_SIM_OPTIONS(.figures = &figures)), "OK 0");
    CHECK_STR(simulated(coir_repeat(coir_unit(), 50), COIR_SIM_OPTIONS(.steps_max = figures.steps)), "OK 0");
    coir_result result = coir_sim_run(coir_repeat(coir_unit(), 50), COIR_SIM_OPTIONS(.steps_max = figures.steps - 1));
    CHECK_CODE(result, COIR_PANIC, COIR_STOPPED);
    coir_result_drop(&result);
}

/* -------------------------------------------------------------------------------------------------- the run's options */

static coir_result note_id(void *env) { (void)env; note("%llu", (unsigned long long)coir_current_id()); return coir_ok(coir_none()); }

TEST(sim, fibers_are_numbered_from_1_in_every_run)
{
    for (int round = 0; round < 3; round++) {
        coir_io *ids = coir_then(coir_defer(note_id, NULL), waited(COIR_IOS(coir_defer(note_id, NULL), coir_defer(note_id, NULL))));
        CHECK_STR(simulated(ids, COIR_SIM_OPTIONS(.policy = COIR_SIM_IN_TURN)), "OK [<OK 0> <OK 0>]");
        CHECK_STR(notes(), "1 2 3");
        CHECK_STR(outcome(2, joined(coir_unit())), "OK 0");
    }
}

static coir_result note_objects(void *env)
{
    coir_lock *lock = coir_lock_new();
    coir_semaphore *semaphore = coir_semaphore_new(1);
    (void)env;
    note("lock %llu, semaphore %llu", (unsigned long long)coir_lock_id(lock), (unsigned long long)coir_semaphore_id(semaphore));
    coir_lock_drop(lock);
    coir_semaphore_drop(semaphore);
    return coir_ok(coir_none());
}

TEST(sim, objects_that_are_made_inside_are_numbered_from_1_in_every_run_and_the_others_are_not_concerned)
{
    uint64_t before = 0;
    for (int round = 0; round < 3; round++) {
        CHECK_STR(simulated(coir_repeat(coir_defer(note_objects, NULL), 2), NULL), "OK 0");
        CHECK_STR(notes(), "lock 1, semaphore 2 lock 3, semaphore 4");
        coir_lock *lock = coir_lock_new();
        CHECK(coir_lock_id(lock) > before);
        before = coir_lock_id(lock);
        coir_lock_drop(lock);
    }
}

static void note_unseen(void *env, uint64_t fiber_id, const coir_result *failure)
{
    note("%s %llu %s", (const char *)env, (unsigned long long)fiber_id, describe(failure));
}

TEST(sim, context_and_hooks_of_the_runs_options_hold)
{
    const coir_options run_options = { .context = coir_int(77), .on_unseen_failure = note_unseen, .env = "unseen" };
    coir_sim_options options = { .size = sizeof options, .run = &run_options };
    CHECK_STR(simulated(coir_ask(), &options), "OK 77");
    CHECK_STR(simulated(coir_then(coir_fork(coir_fail(coir_int(4))), coir_ask()), &options), "OK 77");
    CHECK_STR(notes(), "unseen 2 ERROR 4");
}

TEST(sim, a_budget_of_the_runs_options_holds_where_none_is_given)
{
    struct shared_count count;
    const coir_options run_options = { .budget = 1 };
    coir_sim_options options = { .size = sizeof options, .policy = COIR_SIM_IN_TURN, .run = &run_options };
    CHECK_STR(simulated(two_add(&count), &options), "OK 1");            /* one reads while the other does */
    options.budget = 100;
    CHECK_STR(simulated(two_add(&count), &options), "OK 2");
}

/* A fiber's status as another one sees it, which holds the only worker. */
static coir_result look_at(void *place) { note("%d", (int)coir_fiber_status(*(coir_fiber **)place)); return coir_ok(coir_none()); }

TEST(sim, a_fiber_that_was_pre_empted_is_runnable_and_not_running)
{
    coir_fiber *fiber = NULL;
    coir_io *io = coir_then(forking(coir_repeat(coir_unit(), 5), &fiber), coir_sequence(COIR_IOS(
        coir_defer(look_at, &fiber), coir_defer(look_at, &fiber), coir_defer(look_at, &fiber), coir_defer(look_at, &fiber))));
    int runnable = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        CHECK_STR(simulated(coir_io_ref(io), COIR_SIM_OPTIONS(.seed = seed, .workers = 1, .policy = COIR_SIM_PRIORITIES, .changes_within = 10)),
                  "OK 0");
        const char *seen = notes();
        CHECK(strchr(seen, '2') == NULL);               /* COIR_RUNNING: there is one worker, and the one who looks has it */
        runnable += strchr(seen, '1') != NULL;
        coir_fiber_drop(fiber);
    }
    coir_io_drop(io);
    CHECK(runnable > 0);
}

/* ----------------------------------------------------------------------------------------------------------- memory */

static coir_io *keep_thing(void *env, coir_value *value) { (void)env; (void)value; return coir_then(coir_yield(), coir_unit()); }

struct rounds { int round; };
static coir_io *routine_step(coir_routine *self)
{
    COIR_BEGIN(self, struct rounds, my);
    for (my->round = 0; my->round < 3; my->round++)
        COIR_AWAIT(coir_then(coir_yield(), coir_pure(thing(my->round))));
    COIR_FINALLY;
    COIR_AWAIT(coir_sleep(coir_ms(1)));
    COIR_END;
}

/* Something of everything that a fiber can be in the midst of. */
static coir_io *broad(coir_lock *lock, coir_semaphore *semaphore)
{
    coir_io *shared = coir_flat_map(coir_pure(thing(1)), keep_thing, NULL);
    return coir_finally(waited(COIR_IOS(
        coir_with_lock(lock, coir_flat_map(coir_pure(sole_thing(2)), keep_thing, NULL)),
        coir_with_lock(lock, coir_finally(coir_sleep(coir_ms(2)), coir_sleep(coir_ms(3)))),
        coir_with_permits(semaphore, 2, coir_then(calling(5, 1000), coir_fail(thing(3)))),
        coir_with_permits(semaphore, 2, coir_attempt(coir_panicf("broken"))),
        coir_repeat(shared, 2),
        coir_local(coir_then(coir_yield(), joined(coir_pure(thing(4)))), thing(5)),
        coir_do(routine_step, COIR_ENV(struct rounds, .round = 0)),
        coir_sleep_until((struct timespec){ .tv_sec = 946684801 }),
        coir_zip(COIR_IOS(coir_pure(thing(6)), coir_yield(), coir_as(coir_yield(), thing(7)))))), coir_yield());
}

TEST(sim, closed_after_any_step_nothing_is_left_behind)
{
    coir_lock *lock = coir_lock_new();
    bool ended = false;
    for (int steps = 0; !ended; steps++) {
        coir_semaphore *semaphore = coir_semaphore_new(3);      /* a run that is closed gives no permits back */
        CASE("closed after %d steps", steps);
        coir_sim *sim = opened(broad(lock, semaphore), COIR_SIM_OPTIONS(.seed = (uint64_t)steps));
        for (int i = 0; i < steps && !ended; i++) {
            coir_duration left;
            if (coir_sim_tick_one(sim) == COIR_SIM_ASLEEP && coir_sim_next_interval(sim, &left))
                (void)coir_sim_advance(sim, left);
            ended = coir_sim_state_of(sim) == COIR_SIM_ENDED;
        }
        coir_result result = coir_sim_close(sim);
        if (!ended)
            CHECK_CODE(result, COIR_PANIC, COIR_STOPPED);
        coir_result_drop(&result);
        coir_sim_drop(sim);
        coir_semaphore_drop(semaphore);
        CHECK_INT(atomic_load(&things_alive), 0);
        notes();
    }
    CHECK_STR(simulated(coir_with_lock(lock, coir_unit()), NULL), "OK 0");
    coir_lock_drop(lock);
}
