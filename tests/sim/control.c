/*
 * control.c - tests of a simulation as its user holds it: options, steps, what is refused and how, the end
 */
#include "simulation.h"

static coir_sim *opened(coir_io *io, const coir_sim_options *options)
{
    coir_sim *sim = coir_sim_open(io, options);
    CHECK(sim != NULL);
    return sim;
}

/* ---------------------------------------------------------------------------------------------------------- options */

static void check_bad_options(const coir_sim_options *options, const char *part)
{
    coir_result result = coir_sim_run(coir_pure(thing(1)), options);
    CASE("%s", part);
    CHECK_CODE(result, COIR_PANIC, EINVAL);
    CHECK_CONTAINS(coir_error_message(&result.value), part);
    CHECK_STR(notes(), "-1");
    coir_result_drop(&result);
    errno = 0;
    CHECK(coir_sim_open(coir_pure(thing(2)), options) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK_STR(notes(), "-2");
}

TEST(sim_control, options_out_of_range_are_refused)
{
    check_bad_options(COIR_SIM_OPTIONS(.workers = COIR_WORKERS_MAX + 1), "workers");
    check_bad_options(COIR_SIM_OPTIONS(.policy = (coir_sim_policy)3), "policy");
    check_bad_options(COIR_SIM_OPTIONS(.policy = (coir_sim_policy)-1), "policy");
    check_bad_options(COIR_SIM_OPTIONS(.changes = 65), "changes");
    check_bad_options(COIR_SIM_OPTIONS(.step_time_max = coir_ns(-1)), "negative");
    check_bad_options(COIR_SIM_OPTIONS(.foreign_wait = coir_ns(-1)), "negative");
    check_bad_options(COIR_SIM_OPTIONS(.epoch = { .tv_nsec = -1 }), "epoch");
    check_bad_options(COIR_SIM_OPTIONS(.epoch = { .tv_nsec = 1000000000 }), "epoch");
    check_bad_options(COIR_SIM_OPTIONS(.schedule = "1:2:3"), "schedule");
    check_bad_options(&(coir_sim_options){ .size = 1 }, "size");
    check_bad_options(&(coir_sim_options){ .size = sizeof(coir_sim_options) + 8 }, "size");
}

TEST(sim_control, options_of_the_run_are_refused_as_a_real_run_does)
{
    static const struct { coir_options run; const char *part; } cases[] = {
        { { .size = 1 }, "size" }, { { .workers = COIR_WORKERS_MAX + 1 }, "workers" }, { { .idle_sleep = { -1 } }, "idle_sleep" },
        { { .on_deadlock = (coir_on_deadlock)7 }, "on_deadlock" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_bad_options(COIR_SIM_OPTIONS(.run = &cases[i].run), cases[i].part);
}

TEST(sim_control, the_ends_of_each_range_are_taken)
{
    CHECK_STR(simulated(coir_pure(coir_int(1)), &(coir_sim_options){ .size = 0 }), "OK 1");
    CHECK_STR(simulated(coir_pure(coir_int(1)), COIR_SIM_OPTIONS(.seed = UINT64_MAX, .workers = COIR_WORKERS_MAX, .budget = COIR_BUDGET_NONE)), "OK 1");
    CHECK_STR(simulated(coir_pure(coir_int(1)), COIR_SIM_OPTIONS(.policy = COIR_SIM_PRIORITIES, .changes = 64, .changes_within = UINT64_MAX)), "OK 1");
    CHECK_STR(simulated(coir_pure(coir_int(1)), COIR_SIM_OPTIONS(.steps_max = 1)), "OK 1");
    CHECK_STR(simulated(coir_pure(coir_int(1)), COIR_SIM_OPTIONS(.steps_max = UINT64_MAX, .step_time_max = coir_ns(INT64_MAX))), "OK 1");
}

TEST(sim_control, no_io_is_a_panic_as_in_a_real_run)
{
    CHECK_STR(simulated(NULL, NULL), "PANIC ENOMEM");
    coir_sim *sim = opened(NULL, NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    CHECK_CODE(*coir_sim_result(sim), COIR_PANIC, ENOMEM);
    coir_sim_drop(sim);
}

/* ------------------------------------------------------------------------------------------------------- step by step */

TEST(sim_control, opening_makes_no_step)
{
    coir_sim_figures figures;
    coir_sim *sim = opened(noting("ran"), NULL);
    CHECK_STR(notes(), "");
    CHECK_INT(coir_sim_state_of(sim), COIR_SIM_RUNNABLE);
    CHECK(coir_sim_figures_of(sim, &figures));
    CHECK_UINT(figures.steps, 0);
    CHECK_UINT(figures.fibers, 1);
    CHECK_UINT(figures.hash, 0);
    CHECK(coir_sim_result(sim) == NULL);
    coir_sim_drop(sim);
    CHECK_STR(notes(), "");
}

TEST(sim_control, one_tick_is_one_step_of_one_fiber)
{
    coir_sim_figures figures;
    coir_sim *sim = opened(coir_sequence(COIR_IOS(noting("a"), noting("b"), noting("c"))), NULL);
    static const char *const noted[] = { "", "a", "", "b", "", "c" };
    for (uint64_t i = 0; i < 6; i++) {
        CASE("step %d", (int)i);
        CHECK_INT(coir_sim_tick_one(sim), i < 5 ? COIR_SIM_RUNNABLE : COIR_SIM_ENDED);
        CHECK_STR(notes(), noted[i]);
        CHECK(coir_sim_figures_of(sim, &figures));
        CHECK_UINT(figures.steps, i + 1);
    }
    CHECK_INT(coir_sim_tick_one(sim), COIR_SIM_ENDED);
    CHECK(coir_sim_figures_of(sim, &figures));
    CHECK_UINT(figures.steps, 6);
    coir_sim_drop(sim);
}

TEST(sim_control, a_tick_goes_as_far_as_it_gets_without_the_clock)
{
    coir_duration left;
    coir_sim *sim = opened(coir_sequence(COIR_IOS(noting("a"), coir_sleep(coir_ms(5)), noting("b"), coir_sleep(coir_ms(1)), noting("c"))), NULL);
    CHECK(!coir_sim_next_interval(sim, &left));
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    CHECK_STR(notes(), "a");
    CHECK(coir_sim_next_interval(sim, NULL));
    CHECK(coir_sim_next_interval(sim, &left));
    CHECK_INT(left.ns, 5000000);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_tick_one(sim), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_now(sim).ns, 0);
    CHECK_INT(coir_sim_advance(sim, coir_ms(2)), COIR_SIM_ASLEEP);
    CHECK(coir_sim_next_interval(sim, &left));
    CHECK_INT(left.ns, 3000000);
    CHECK_INT(coir_sim_advance(sim, coir_ms(3)), COIR_SIM_RUNNABLE);
    CHECK_STR(notes(), "");
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    CHECK_STR(notes(), "b");
    CHECK_INT(coir_sim_now(sim).ns, 5000000);
    CHECK_INT(coir_sim_tick_all(sim), COIR_SIM_ENDED);
    CHECK_STR(notes(), "c");
    CHECK_INT(coir_sim_now(sim).ns, 6000000);
    CHECK(!coir_sim_next_interval(sim, &left));
    CHECK_OK_INT(*coir_sim_result(sim), 0);
    coir_sim_drop(sim);
}

TEST(sim_control, advancing_takes_the_clock_past_several_moments_at_once)
{
    coir_io *both[] = { coir_then(coir_sleep(coir_ms(1)), coir_then(coir_sleep(coir_ms(1)), coir_now())), coir_then(coir_sleep(coir_ms(2)), coir_now()) };
    coir_sim *sim = opened(waited(2, both), NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_advance(sim, coir_ms(10)), COIR_SIM_RUNNABLE);
    CHECK_INT(coir_sim_tick_all(sim), COIR_SIM_ENDED);
    CHECK_STR(describe(coir_sim_result(sim)), "OK [<OK 11000000> <OK 10000000>]");
    coir_sim_drop(sim);
}

TEST(sim_control, ticking_for_a_while_stops_at_every_moment_within_it)
{
    coir_io *five = coir_repeat(coir_then(coir_sleep(coir_ms(2)), noting("tick")), 5);
    coir_sim *sim = opened(coir_then(five, coir_now()), NULL);
    CHECK_INT(coir_sim_tick_for(sim, coir_ms(0)), COIR_SIM_ASLEEP);
    CHECK_STR(notes(), "");
    CHECK_INT(coir_sim_tick_for(sim, coir_ns(5999999)), COIR_SIM_ASLEEP);
    CHECK_STR(notes(), "tick tick");
    CHECK_INT(coir_sim_now(sim).ns, 5999999);
    CHECK_INT(coir_sim_tick_for(sim, coir_ns(1)), COIR_SIM_ASLEEP);
    CHECK_STR(notes(), "tick");
    CHECK_INT(coir_sim_tick_for(sim, coir_ns(INT64_MAX)), COIR_SIM_ENDED);
    CHECK_STR(notes(), "tick tick");
    CHECK_OK_INT(*coir_sim_result(sim), 10000000);
    coir_sim_drop(sim);
}

TEST(sim_control, nothing_moves_the_clock_of_a_run_that_has_ended)
{
    coir_sim *sim = opened(coir_unit(), NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    CHECK_INT(coir_sim_advance(sim, coir_seconds(1)), COIR_SIM_ENDED);
    CHECK_INT(coir_sim_tick_for(sim, coir_seconds(1)), COIR_SIM_ENDED);
    CHECK_INT(coir_sim_set_epoch(sim, (struct timespec){ .tv_sec = 5 }), COIR_SIM_ENDED);
    CHECK_INT(coir_sim_tick_all(sim), COIR_SIM_ENDED);
    CHECK_INT(coir_sim_now(sim).ns, 0);
    coir_sim_drop(sim);
}

/* Two that wait for each other's lock. */
static coir_io *take_both(coir_lock *first, coir_lock *second)
{
    return coir_with_lock(first, coir_then(coir_yield(), coir_with_lock(second, coir_unit())));
}

TEST(sim_control, a_deadlock_is_seen_before_the_verdict_is_given)
{
    coir_lock *left = coir_lock_new(), *right = coir_lock_new();
    coir_io *both[] = { take_both(left, right), take_both(right, left) };
    coir_sim *sim = opened(waited(2, both), COIR_SIM_OPTIONS(.policy = COIR_SIM_IN_TURN));
    CHECK(!coir_sim_is_deadlocked(sim));
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_DEADLOCKED);
    CHECK(coir_sim_is_deadlocked(sim));
    CHECK_INT(coir_sim_tick_one(sim), COIR_SIM_DEADLOCKED);
    CHECK_INT(coir_sim_tick_for(sim, coir_seconds(1000)), COIR_SIM_DEADLOCKED);
    CHECK_INT(coir_sim_advance(sim, coir_seconds(1000)), COIR_SIM_DEADLOCKED);
    CHECK(coir_sim_result(sim) == NULL);
    CHECK_INT(coir_sim_tick_all(sim), COIR_SIM_ENDED);
    CHECK(!coir_sim_is_deadlocked(sim));
    CHECK_STR(describe(coir_sim_result(sim)), "OK [<PANIC DEADLOCK> <PANIC DEADLOCK>]");
    coir_sim_drop(sim);
    coir_lock_drop(left);
    coir_lock_drop(right);
}

TEST(sim_control, a_run_of_too_many_steps_ends_in_whatever_call_makes_them)
{
    for (int how = 0; how < 4; how++) {
        coir_sim *sim = opened(coir_forever(coir_then(coir_unit(), coir_yield())), COIR_SIM_OPTIONS(.steps_max = 100));
        coir_sim_state state = COIR_SIM_RUNNABLE;
        CASE("call %d", how);
        switch (how) {
        case 0:
            for (int i = 0; i < 101; i++)
                state = coir_sim_tick_one(sim);
            break;
        case 1: state = coir_sim_tick(sim); break;
        case 2: state = coir_sim_tick_for(sim, coir_seconds(1)); break;
        case 3: state = coir_sim_tick_all(sim); break;
        }
        CHECK_INT(state, COIR_SIM_ENDED);
        CHECK_CODE(*coir_sim_result(sim), COIR_PANIC, COIR_STOPPED);
        coir_sim_drop(sim);
    }
}

TEST(sim_control, several_simulations_go_on_side_by_side)
{
    enum { SIMS = 5 };
    coir_sim *sims[SIMS];
    for (int i = 0; i < SIMS; i++)
        sims[i] = opened(coir_then(coir_sleep(coir_seconds(i)), coir_pure(coir_int(i))), NULL);
    for (int i = 0; i < SIMS; i++) {
        CHECK_INT(coir_sim_tick(sims[i]), i == 0 ? COIR_SIM_ENDED : COIR_SIM_ASLEEP);
        CHECK_STR(outcome(2, joined(coir_pure(coir_int(4)))), "OK 4");
    }
    for (int i = SIMS; i-- > 0; ) {
        CHECK_INT(coir_sim_tick_all(sims[i]), COIR_SIM_ENDED);
        CHECK_OK_INT(*coir_sim_result(sims[i]), i);
        coir_sim_drop(sims[i]);
    }
}

/* ---------------------------------------------------------------------------------------------------- what is refused */

/* Each function of the stepping interface but those that close. */
static void check_refuses(coir_sim *sim, int why)
{
    coir_duration interval = coir_ns(42);
    coir_sim_figures figures = { .steps = 42 };
#define CHECK_REFUSED(call, answer) (errno = 0, CHECK((call) == (answer)), CHECK_INT(errno, why))
    CHECK_REFUSED(coir_sim_tick_one(sim), COIR_SIM_REFUSED);
    CHECK_REFUSED(coir_sim_tick(sim), COIR_SIM_REFUSED);
    CHECK_REFUSED(coir_sim_tick_all(sim), COIR_SIM_REFUSED);
    CHECK_REFUSED(coir_sim_advance(sim, coir_ms(1)), COIR_SIM_REFUSED);
    CHECK_REFUSED(coir_sim_tick_for(sim, coir_ms(1)), COIR_SIM_REFUSED);
    CHECK_REFUSED(coir_sim_set_epoch(sim, (struct timespec){ .tv_sec = 1 }), COIR_SIM_REFUSED);
    CHECK_REFUSED(coir_sim_state_of(sim), COIR_SIM_REFUSED);
    CHECK_REFUSED(coir_sim_is_deadlocked(sim), false);
    CHECK_REFUSED(coir_sim_next_interval(sim, &interval), false);
    CHECK_REFUSED(coir_sim_now(sim).ns, 0);
    CHECK_REFUSED(coir_sim_figures_of(sim, &figures), false);
    CHECK_REFUSED(coir_sim_result(sim), NULL);
#undef CHECK_REFUSED
    CHECK_INT(interval.ns, 42);
    CHECK_UINT(figures.steps, 42);
}

static void check_close_refused(coir_sim *sim, int why)
{
    errno = 0;
    coir_result result = coir_sim_close(sim);
    CHECK_INT(errno, why);
    CHECK_CODE(result, COIR_PANIC, COIR_MISUSE);
    CHECK_CONTAINS(coir_error_message(&result.value), "coir_sim_close");
    coir_result_drop(&result);
}

TEST(sim_control, no_simulation_is_refused)
{
    check_refuses(NULL, EINVAL);
    check_close_refused(NULL, EINVAL);
    coir_sim_drop(NULL);
}

TEST(sim_control, a_closed_one_is_refused_and_can_only_be_given_up)
{
    coir_sim *sim = opened(coir_pure(thing(1)), NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    coir_result result = coir_sim_close(sim);
    CHECK_STR(describe(&result), "OK thing 1");
    coir_result_drop(&result);
    check_refuses(sim, EBADF);
    check_close_refused(sim, EBADF);
    coir_sim_drop(sim);
    CHECK_STR(notes(), "-1");
}

static void *refused_elsewhere(void *sim)
{
    check_refuses(sim, EPERM);
    check_close_refused(sim, EPERM);
    errno = 0;
    coir_sim_drop(sim);
    CHECK_INT(errno, EPERM);
    return NULL;
}

TEST(sim_control, another_thread_is_refused_and_changes_nothing)
{
    pthread_t thread;
    coir_sim *sim = opened(coir_then(coir_sleep(coir_ms(1)), coir_pure(coir_int(6))), NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    CHECK_INT(pthread_create(&thread, NULL, refused_elsewhere, sim), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(coir_sim_state_of(sim), COIR_SIM_ASLEEP);
    CHECK_INT(coir_sim_tick_all(sim), COIR_SIM_ENDED);
    CHECK_OK_INT(*coir_sim_result(sim), 6);
    coir_sim_drop(sim);
}

static coir_sim *inside;
static coir_io *make_unit(void *env) { (void)env; return coir_unit(); }

static coir_result refused_inside(void *env)
{
    (void)env;
    struct pad pad;
    check_refuses(inside, EDEADLK);
    check_close_refused(inside, EDEADLK);
    errno = 0;
    coir_sim_drop(inside);
    CHECK_INT(errno, EDEADLK);
    errno = 0;
    CHECK(coir_sim_open(coir_unit(), NULL) == NULL);
    CHECK_INT(errno, EDEADLK);
    errno = 0;
    CHECK(!coir_sim_explore(make_unit, NULL, NULL, NULL, pad_open(&pad)->out));
    CHECK_INT(errno, EDEADLK);
    CHECK_STR(pad_text(&pad), "coir_sim_explore: called from a callback\n");
    pad_close(&pad);
    coir_result result = coir_run(coir_unit(), NULL);
    CHECK_CODE(result, COIR_PANIC, COIR_MISUSE);
    coir_result_drop(&result);
    return coir_sim_run(coir_pure(thing(1)), NULL);
}

TEST(sim_control, a_callback_is_refused_of_this_simulation_of_another_and_of_a_real_run)
{
    inside = opened(coir_defer(refused_inside, NULL), NULL);
    CHECK_INT(coir_sim_tick(inside), COIR_SIM_ENDED);
    CHECK_STR(describe(coir_sim_result(inside)), "PANIC MISUSE");
    CHECK_STR(notes(), "-1");
    CHECK_STR(simulated(coir_defer(refused_inside, NULL), NULL), "PANIC MISUSE");
    CHECK_STR(outcome(1, coir_defer(refused_inside, NULL)), "PANIC MISUSE");
    coir_sim_drop(inside);
}

static void refused_hook(void *env, uint64_t fiber_id, const coir_result *failure)
{
    (void)env;
    (void)fiber_id;
    (void)failure;
    coir_result result = refused_inside(NULL);
    note("%s", describe(&result));
    coir_result_drop(&result);
}

TEST(sim_control, so_is_a_hook)
{
    const coir_options run_options = { .on_unseen_failure = refused_hook };
    inside = opened(coir_unit(), NULL);
    CHECK_STR(simulated(coir_fork(coir_fail(coir_int(1))), COIR_SIM_OPTIONS(.run = &run_options)), "OK fiber 2");
    CHECK_CONTAINS(notes(), "PANIC MISUSE");
    coir_sim_drop(inside);
}

TEST(sim_control, negative_durations_and_moments_that_are_none_are_refused)
{
    coir_sim *sim = opened(coir_sleep(coir_ms(1)), NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    static const int64_t negative[] = { -1, INT64_MIN };
    static const long bad_ns[] = { -1, 1000000000 };
    for (int i = 0; i < 2; i++) {
        errno = 0;
        CHECK_INT(coir_sim_advance(sim, coir_ns(negative[i])), COIR_SIM_REFUSED);
        CHECK_INT(errno, EINVAL);
        errno = 0;
        CHECK_INT(coir_sim_tick_for(sim, coir_ns(negative[i])), COIR_SIM_REFUSED);
        CHECK_INT(errno, EINVAL);
        errno = 0;
        CHECK_INT(coir_sim_set_epoch(sim, (struct timespec){ .tv_nsec = bad_ns[i] }), COIR_SIM_REFUSED);
        CHECK_INT(errno, EINVAL);
    }
    CHECK_INT(coir_sim_now(sim).ns, 0);
    CHECK_INT(coir_sim_state_of(sim), COIR_SIM_ASLEEP);
    coir_sim_drop(sim);
}

/* ---------------------------------------------------------------------------------------------------------- the end */

TEST(sim_control, closed_in_the_middle_it_ends_as_stopped_without_unwinding)
{
    coir_sim_figures figures = { 0 };
    coir_sim *sim = opened(coir_finally(coir_then(coir_sleep(coir_ms(1)), coir_pure(thing(1))), noting("unwound")), COIR_SIM_OPTIONS(.figures = &figures));
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ASLEEP);
    coir_result result = coir_sim_close(sim);
    CHECK_CODE(result, COIR_PANIC, COIR_STOPPED);
    CHECK_CONTAINS(coir_error_message(&result.value), "closed before");
    CHECK_STR(notes(), "-1");
    CHECK(figures.steps > 0);
    coir_result_drop(&result);
    coir_sim_drop(sim);
}

TEST(sim_control, the_result_is_lent_until_it_is_closed_and_then_given)
{
    coir_sim *sim = opened(coir_pure(sole_thing(1)), NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    CHECK_STR(describe(coir_sim_result(sim)), "OK thing 1");
    CHECK_STR(describe(coir_sim_result(sim)), "OK thing 1");
    coir_result result = coir_sim_close(sim);
    coir_sim_drop(sim);
    CHECK_STR(notes(), "");
    CHECK_STR(describe(&result), "OK thing 1");
    coir_result_drop(&result);
    CHECK_STR(notes(), "-1");
}

TEST(sim_control, dropping_it_drops_the_result)
{
    coir_sim *sim = opened(coir_pure(thing(1)), NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_ENDED);
    coir_sim_drop(sim);
    CHECK_STR(notes(), "-1");
    coir_sim_drop(opened(coir_pure(thing(2)), NULL));
    CHECK_STR(notes(), "-2");
}

TEST(sim_control, a_handle_outlives_its_simulation)
{
    coir_fiber *ended = NULL, *stopped = NULL;
    coir_sim *sim = opened(coir_then(forking(coir_pure(coir_int(3)), &ended), forking(coir_never(), &stopped)), NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_DEADLOCKED);
    coir_sim_drop(sim);
    CHECK_STR(simulated(coir_join(ended), NULL), "OK 3");
    CHECK_STR(outcome(1, coir_join(ended)), "OK 3");
    CHECK_STR(simulated(coir_join(stopped), NULL), "PANIC code -1007");
    coir_fiber_drop(ended);
    coir_fiber_drop(stopped);
}

TEST_ALONE(sim_control, without_memory_nothing_is_opened_and_nothing_left)
{
    watch_memory();
    CHECK_STR(simulated(coir_unit(), NULL), "OK 0");
    int failed = 0;
    for (int before = 0; before < 20; before++) {
        CASE("%d allocations succeed", before);
        long long bytes = atomic_load(&watched.bytes);
        coir_io *io = coir_pure(coir_int(1));
        atomic_store(&watched.left, before);
        errno = 0;
        coir_sim *sim = coir_sim_open(io, COIR_SIM_OPTIONS(.workers = 100, .schedule = "1:1 2:1"));
        atomic_store(&watched.left, -1);
        failed += sim == NULL;
        if (sim == NULL)
            CHECK_INT(errno, ENOMEM);
        coir_sim_drop(sim);
        CHECK(atomic_load(&watched.bytes) <= bytes + (1 << 21));
    }
    CHECK(failed > 0 && failed < 20);
}
