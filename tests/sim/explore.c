/*
 * explore.c - tests of many schedules: what is found, what is printed of it, and that what is printed repeats it
 */
#include "simulation.h"

enum { REPEATS = 10 };

/* Explores, which must fail; then repeats the line of the report that begins with `title`, which must fail every time. The report stays in pad. */
static void check_found(coir_io *(*make)(void *), bool (*check)(void *, const coir_result *), void *env, const coir_explore_options *options,
                        const char *title, struct pad *pad)
{
    char schedule[2000];
    CHECK(!coir_sim_explore(make, check, env, options, pad_open(pad)->out));
    coir_sim_options again = options_printed(pad_text(pad), title, schedule, sizeof schedule);
    again.run = options == NULL ? NULL : options->run;
    if (options != NULL)
        again.foreign_wait = options->foreign_wait;
    for (int i = 0; i < REPEATS; i++) {
        coir_result result = coir_sim_run(make(env), &again);
        CHECK(check == NULL ? result.tag == COIR_PANIC : !check(env, &result));
        coir_result_drop(&result);
    }
}

/* ------------------------------------------------------------------------------------------------- bugs of each kind */

TEST(sim_explore, an_unsafe_counter_is_found_and_the_printed_seed_repeats_it)
{
    struct shared_count count;
    struct pad pad;
    check_found(two_add, count_is_two, &count, NULL, "again:", &pad);
    pad_close(&pad);
}

TEST(sim_explore, the_shortest_schedule_that_it_prints_repeats_it_too)
{
    struct shared_count count;
    for (int exhaustive = 0; exhaustive < 2; exhaustive++) {
        struct pad pad;
        CASE("exhaustive %d", exhaustive);
        check_found(two_add, count_is_two, &count, COIR_EXPLORE_OPTIONS(.exhaustive = exhaustive), "shortest:", &pad);
        CHECK_CONTAINS(pad.text, "result: ok(1)\n");
        CHECK_CONTAINS(pad.text, "'left'");
        pad_close(&pad);
    }
}

struct two_locks { coir_lock *left, *right; };
static coir_io *both_taken(coir_lock *first, coir_lock *second) { return coir_with_lock(first, coir_with_lock(second, coir_unit())); }
static coir_io *crossing(void *locks_)
{
    const struct two_locks *locks = locks_;
    return waited(COIR_IOS(coir_named(both_taken(locks->left, locks->right), "ann"), coir_named(both_taken(locks->right, locks->left), "bob")));
}

TEST(sim_explore, a_deadlock_of_locks_taken_in_opposite_order_is_found)
{
    struct two_locks locks = { coir_lock_new(), coir_lock_new() };
    static const char *const titles[] = { "again:", "shortest:", "shortest:" };
    for (int i = 0; i < 3; i++) {
        struct pad pad;
        CASE("%s exhaustive %d", titles[i], i == 2);
        check_found(crossing, all_ok, &locks, COIR_EXPLORE_OPTIONS(.exhaustive = i == 2), titles[i], &pad);
        CHECK_CONTAINS(pad.text, "that fiber 3 holds");
        CHECK_CONTAINS(pad.text, "that fiber 2 holds");
        pad_close(&pad);
    }
    coir_lock_drop(locks.left);
    coir_lock_drop(locks.right);
}

static coir_io *same_order(void *locks_)
{
    const struct two_locks *locks = locks_;
    return waited(COIR_IOS(both_taken(locks->left, locks->right), both_taken(locks->left, locks->right)));
}

TEST(sim_explore, locks_taken_in_one_order_are_found_to_be_right)
{
    struct two_locks locks = { coir_lock_new(), coir_lock_new() };
    coir_explore_figures figures;
    CHECK(coir_sim_explore(same_order, all_ok, &locks, COIR_EXPLORE_OPTIONS(.figures = &figures), NULL));
    CHECK_UINT(figures.runs, 1000);
    CHECK(figures.distinct > 100);
    CHECK(coir_sim_explore(same_order, all_ok, &locks, COIR_EXPLORE_OPTIONS(.exhaustive = true, .runs = 1000000, .figures = &figures), NULL));
    CHECK(figures.complete);
    coir_lock_drop(locks.left);
    coir_lock_drop(locks.right);
}

/* An order violation that needs two pre-emptions: a's second step between b's two, and b's first between a's two. */
struct order { int stage; bool met; };
static coir_result step_1(void *order) { ((struct order *)order)->stage = 1; return coir_ok(coir_none()); }
static coir_result step_2(void *order_) { struct order *order = order_; order->stage = order->stage == 1 ? 2 : 0; return coir_ok(coir_none()); }
static coir_result step_3(void *order_) { struct order *order = order_; order->stage = order->stage == 2 ? 3 : 0; return coir_ok(coir_none()); }
static coir_result step_4(void *order_)
{
    struct order *order = order_;
    order->met = order->stage == 3;
    order->stage = 0;
    return coir_ok(coir_none());
}
static coir_io *in_some_order(void *order_)
{
    struct order *order = order_;
    *order = (struct order){ 0 };
    return waited(COIR_IOS(coir_named(coir_then(coir_defer(step_1, order), coir_defer(step_3, order)), "a"),
                           coir_named(coir_then(coir_defer(step_2, order), coir_defer(step_4, order)), "b")));
}
static bool order_kept(void *order, const coir_result *result) { (void)result; return !((struct order *)order)->met; }

TEST(sim_explore, what_needs_two_pre_emptions_is_found_and_shrunk_to_just_two)
{
    struct order order;
    for (int exhaustive = 0; exhaustive < 2; exhaustive++) {
        struct pad pad;
        CASE("exhaustive %d", exhaustive);
        check_found(in_some_order, order_kept, &order, COIR_EXPLORE_OPTIONS(.exhaustive = exhaustive, .runs = 100000), "shortest:", &pad);
        CHECK_CONTAINS(pad.text, "(choices that are not the default: 2)");
        pad_close(&pad);
    }
    for (int point = 0; point < 40; point++)            /* one is not enough */
        for (int index = 1; index < 3; index++) {
            char schedule[40];
            snprintf(schedule, sizeof schedule, "%d:%d", point, index);
            CASE("%s", schedule);
            CHECK_STR(simulated(in_some_order(&order), COIR_SIM_OPTIONS(.workers = 1, .budget = COIR_BUDGET_NONE, .policy = COIR_SIM_PRIORITIES,
                                                                        .schedule = schedule)), "OK [<OK 0> <OK 0>]");
            CHECK(!order.met);
        }
}

static coir_io *opening_late(void *gate_)
{
    *(struct gate *)gate_ = (struct gate)GATE;
    return coir_then(coir_sleep(coir_ms(1)), passing(gate_));
}

TEST(sim_explore, a_callback_that_never_comes_is_a_failure_that_costs_one_wait)
{
    struct gate gate;
    struct pad pad;
    coir_explore_options options = { .size = sizeof options, .foreign_wait = coir_ms(1) };
    check_found(opening_late, NULL, &gate, &options, "shortest:", &pad);
    CHECK_CONTAINS(pad.text, "waits for a callback");
    pad_close(&pad);
}

/* ----------------------------------------------------------------------------------------------- how many there are */

/* Schedules of two fibers with so many steps each, as a recursion that knows nothing of coir: with a budget, and so many pre-emptions at most. */
struct place { int steps[2], running; uint32_t budget_left; unsigned pre_emptions; };
static uint64_t schedules_from(struct place place, uint32_t budget, unsigned most);

static uint64_t switched(struct place place, uint32_t budget, unsigned most)
{
    place.running = !place.running;
    place.budget_left = budget;
    return schedules_from(place, budget, most);
}

static uint64_t schedules_from(struct place place, uint32_t budget, unsigned most)
{
    if (--place.steps[place.running] == 0)
        return place.steps[!place.running] == 0 ? 1 : switched(place, budget, most);
    bool alone = place.steps[!place.running] == 0;
    if (--place.budget_left == 0)
        return alone ? (place.budget_left = budget, schedules_from(place, budget, most)) : switched(place, budget, most);
    uint64_t count = schedules_from(place, budget, most);
    if (!alone && place.pre_emptions++ < most)
        count += switched(place, budget, most);
    return count;
}

enum { STEPS = 4 };
static uint64_t schedules(uint32_t budget, unsigned most)
{
    return 2 * schedules_from((struct place){ { STEPS, STEPS }, 0, budget, 0 }, budget, most);
}

/* Two fibers of STEPS steps: the sequence, its first, the way up, its second. Nobody waits for them. */
static coir_io *two_of_four(void *env)
{
    (void)env;
    return coir_parallel(COIR_IOS(coir_sequence(COIR_IOS(coir_unit(), coir_unit())), coir_sequence(COIR_IOS(coir_unit(), coir_unit()))));
}

TEST(sim_explore, exhaustive_means_every_schedule_and_each_once)
{
    /* By hand, without a budget: r pieces, of which the first fiber has half, rounded up, and the other the rest. The last change of fibers but
     * none is a pre-emption for all r > 2: 2 + 2 * 3 with at most one, 2 * 3 * 3 more with two. */
    CHECK_UINT(schedules(1000, 0), 2);
    CHECK_UINT(schedules(1000, 1), 8);
    CHECK_UINT(schedules(1000, 2), 26);
    CHECK_UINT(schedules(1000, 100), 70);               /* 8 over 4 */
    for (unsigned most = 1; most <= 7; most++) {
        coir_explore_figures figures;
        uint64_t expected = 0;
        CASE("%u pre-emptions", most);
        for (unsigned fewer = 0; fewer <= most; fewer++)
            expected += schedules(1000, fewer);
        for (uint32_t budget = 1; budget <= STEPS; budget++)            /* nobody spends the last */
            expected += schedules(budget, most);
        CHECK(coir_sim_explore(two_of_four, NULL, NULL,
                               COIR_EXPLORE_OPTIONS(.exhaustive = true, .preemptions_max = most, .runs = 100000, .figures = &figures), NULL));
        CHECK_UINT(figures.runs, expected);
        CHECK(figures.complete);
        if (most >= 6)
            CHECK_UINT(figures.distinct, schedules(1000, 100));
    }
}

TEST(sim_explore, fewer_runs_than_there_are_schedules_are_not_complete)
{
    coir_explore_figures figures;
    struct pad pad;
    CHECK(coir_sim_explore(two_of_four, NULL, NULL, COIR_EXPLORE_OPTIONS(.exhaustive = true, .runs = 20, .figures = &figures), pad_open(&pad)->out));
    CHECK_UINT(figures.runs, 20);
    CHECK(!figures.complete);
    CHECK_CONTAINS(pad_text(&pad), "none failed; that is not all of them\n");
    pad_close(&pad);
    CHECK(coir_sim_explore(two_of_four, NULL, NULL, COIR_EXPLORE_OPTIONS(.exhaustive = true, .runs = 10000, .figures = &figures), pad_open(&pad)->out));
    CHECK(figures.complete);
    CHECK_CONTAINS(pad_text(&pad), "there are no others with at most 2 pre-emptions\n");
    pad_close(&pad);
}

static coir_io *yielding_pair(void *env)
{
    (void)env;
    return coir_parallel(COIR_IOS(coir_repeat(coir_yield(), 3), coir_repeat(coir_yield(), 3)));
}

TEST(sim_explore, exhaustive_ends_for_programs_that_yield)
{
    coir_explore_figures figures;
    CHECK(coir_sim_explore(yielding_pair, NULL, NULL, COIR_EXPLORE_OPTIONS(.exhaustive = true, .runs = 100000, .figures = &figures), NULL));
    CHECK(figures.complete);
    CHECK(figures.runs < 10000);
}

static void call_start(void *env, void *op, coir_callback k)
{
    (void)env;
    (void)op;
    (void)coir_sim_complete(k, coir_ok(coir_none()), coir_ns(0), coir_ns(0));
}
static const coir_async_type call_type = { .start = call_start };

static coir_result note_first(void *first) { if (*(int *)first == 0) *(int *)first = 1; return coir_ok(coir_none()); }
static coir_result note_second(void *first) { if (*(int *)first == 0) *(int *)first = 2; return coir_ok(coir_none()); }
static coir_io *call_and_steps(void *first)
{
    *(int *)first = 0;
    return waited(COIR_IOS(coir_then(coir_async(&call_type, NULL), coir_defer(note_first, first)),
                           coir_sequence(COIR_IOS(coir_unit(), coir_unit(), coir_defer(note_second, first)))));
}
static bool second_was_first(void *first, const coir_result *result) { (void)result; return *(int *)first == 2; }
static bool first_was_first(void *first, const coir_result *result) { (void)result; return *(int *)first == 1; }

TEST(sim_explore, exhaustive_lets_a_completion_come_at_every_time)
{
    int first;
    struct pad pad;
    check_found(call_and_steps, second_was_first, &first, COIR_EXPLORE_OPTIONS(.exhaustive = true), "shortest:", &pad);
    pad_close(&pad);
    check_found(call_and_steps, first_was_first, &first, COIR_EXPLORE_OPTIONS(.exhaustive = true), "shortest:", &pad);
    pad_close(&pad);
}

/* ------------------------------------------------------------------------------------------------------------ sweeps */

static coir_io *make_unit(void *env) { (void)env; return coir_unit(); }

static coir_io *make_two_units(void *env) { (void)env; return waited(COIR_IOS(coir_unit(), coir_unit())); }

TEST(sim_explore, one_schedule_seen_twice_counts_once)
{
    coir_explore_figures figures;
    CHECK(coir_sim_explore(make_unit, NULL, NULL, COIR_EXPLORE_OPTIONS(.runs = 100, .figures = &figures), NULL));
    CHECK_UINT(figures.runs, 100);
    CHECK_UINT(figures.distinct, 1);
    CHECK(coir_sim_explore(make_two_units, NULL, NULL, COIR_EXPLORE_OPTIONS(.runs = 5000, .figures = &figures), NULL));
    CHECK_UINT(figures.runs, 5000);
    /* Each of the two before, between or after the main fiber's next steps: nine, and three more as the two in one place come in two orders; and
     * where both come last, the main fiber may be woken between them. */
    CHECK_UINT(figures.distinct, 9 + 3 + 1);
}

/* Which numbers of workers and budgets a failing run is said to have had, the check failing at run number `fails_at`. */
struct countdown { uint64_t left; };
static bool fails_late(void *countdown, const coir_result *result)
{
    uint64_t *left = &((struct countdown *)countdown)->left;
    (void)result;
    *left -= *left > 0;
    return *left > 0;
}

static coir_sim_options options_of_run(uint64_t number, coir_explore_options options)
{
    struct countdown countdown = { number + 1 };
    struct pad pad;
    char schedule[200];
    unsigned long long seed = 0;
    options.size = sizeof options;
    options.runs = 100000;
    CHECK(!coir_sim_explore(make_unit, fails_late, &countdown, &options, pad_open(&pad)->out));
    coir_sim_options found = options_printed(pad_text(&pad), "again:", schedule, sizeof schedule);
    CHECK_INT(sscanf(strstr(pad.text, ".seed"), ".seed = %llu", &seed), 1);
    CHECK_UINT(seed, options.first_seed + number);
    pad_close(&pad);
    return found;
}

static void check_sweep(uint32_t budget_max, unsigned runs)
{
    bool seen[2][3][16] = { 0 };
    for (unsigned number = 0; number < runs; number++) {
        coir_sim_options options = options_of_run(number, (coir_explore_options){ .budget_max = budget_max, .first_seed = 7 });
        CHECK(options.workers >= 1 && options.workers <= 3);
        CHECK(options.budget >= 1 && options.budget <= budget_max);
        CHECK(options.policy == COIR_SIM_RANDOM || options.policy == COIR_SIM_PRIORITIES);
        seen[options.policy][options.workers - 1][options.budget - 1] = true;
    }
    for (int policy = 0; policy < 2; policy++)
        for (unsigned workers = 0; workers < 3; workers++)
            for (uint32_t budget = 0; budget < budget_max; budget++)
                CHECK(seen[policy][workers][budget]);
}

TEST(sim_explore, every_policy_meets_every_number_of_workers_and_every_budget)
{
    for (uint32_t budget_max = 1; budget_max <= 7; budget_max++) {
        CASE("budgets to %u", (unsigned)budget_max);
        check_sweep(budget_max, 2 * 3 * budget_max);
    }
    CHECK_UINT(options_of_run(2 * 63, (coir_explore_options){ 0 }).budget, 64);
    CHECK_UINT(options_of_run(2 * 64, (coir_explore_options){ 0 }).budget, 1);
    CHECK_UINT(options_of_run(3, (coir_explore_options){ .workers = 5 }).workers, 5);
}

static coir_io *make_endless(void *env) { (void)env; return coir_forever(coir_yield()); }
static bool anything(void *env, const coir_result *result) { (void)env; (void)result; return true; }

TEST(sim_explore, runs_that_do_not_end_are_stopped_and_counted)
{
    coir_explore_figures figures;
    struct pad pad;
    coir_explore_options options = { .size = sizeof options, .runs = 10, .steps_max = 500, .figures = &figures };
    CHECK(coir_sim_explore(make_endless, anything, NULL, &options, pad_open(&pad)->out));
    CHECK_UINT(figures.unfinished, 10);
    CHECK_CONTAINS(pad_text(&pad), "10 had not ended after 500 steps");
    pad_close(&pad);
    CHECK(!coir_sim_explore(make_endless, NULL, NULL, &options, pad_open(&pad)->out));
    CHECK_UINT(figures.runs, 1);
    CHECK_CONTAINS(pad_text(&pad), "it had not ended after 500 steps");
    CHECK_CONTAINS(pad.text, "   ...\n");               /* the last lines of the trace alone */
    pad_close(&pad);
}

static coir_io *ask_twice(void *env) { (void)env; return coir_then(coir_yield(), coir_ask()); }
static bool is_not_77(void *env, const coir_result *result) { (void)env; return result->value.i64 != 77; }

TEST(sim_explore, options_of_the_run_hold_and_the_printed_call_mentions_them)
{
    const coir_options run_options = { .context = coir_int(77) };
    struct pad pad;
    check_found(ask_twice, is_not_77, NULL, COIR_EXPLORE_OPTIONS(.run = &run_options), "again:", &pad);
    CHECK_CONTAINS(pad.text, ".run = run");
    pad_close(&pad);
}

/* Takes, and puts back three steps later: a time-out in between loses it. */
static coir_result take(void *left)     { --*(int *)left; return coir_ok(coir_none()); }
static coir_result put_back(void *left) { ++*(int *)left; return coir_ok(coir_none()); }
static coir_io *borrow_within_a_second(void *left)
{
    *(int *)left = 1;
    coir_io *borrow = coir_sequence(COIR_IOS(coir_sleep(coir_ms(900)), coir_defer(take, left), coir_yield(), coir_defer(put_back, left)));
    return coir_attempt(coir_timeout(borrow, coir_seconds(1)));
}
static bool is_back(void *left, const coir_result *result) { (void)result; return *(int *)left == 1; }

TEST(sim_explore, a_time_out_in_the_midst_of_work_is_found_where_steps_take_time)
{
    int left;
    struct pad pad;
    CHECK(coir_sim_explore(borrow_within_a_second, is_back, &left, NULL, NULL));
    check_found(borrow_within_a_second, is_back, &left, COIR_EXPLORE_OPTIONS(.step_time_max = coir_ms(50)), "again:", &pad);
    CHECK_CONTAINS(pad.text, ".step_time_max = coir_ns(50000000)");
    pad_close(&pad);
    check_found(borrow_within_a_second, is_back, &left, COIR_EXPLORE_OPTIONS(.step_time_max = coir_ms(50)), "shortest:", &pad);
    pad_close(&pad);
}

/* ---------------------------------------------------------------------------------------- what cannot be repeated */

/* Fails once and then never again, whatever the schedule. */
static bool fails_once(void *countdown, const coir_result *result)
{
    (void)result;
    return ((struct countdown *)countdown)->left-- != 5;
}

TEST(sim_explore, a_program_that_depends_on_something_outside_is_said_to)
{
    struct countdown countdown = { 10 };
    struct pad pad;
    CHECK(!coir_sim_explore(make_unit, fails_once, &countdown, NULL, pad_open(&pad)->out));
    CHECK_CONTAINS(pad_text(&pad), "schedule 6 failed");
    CHECK_CONTAINS(pad.text, "the program depends on something outside of the simulation");
    CHECK(strstr(pad.text, "\nagain:") == NULL);
    pad_close(&pad);
}

/* A thread opens the gate that the program waits at, in every run anew. */
struct visited { struct gate gate; pthread_t thread; };

static void *open_when_waited_for(void *gate)
{
    CHECK_SOON(gate_waiting(gate) > 0);
    gate_open(gate);
    return NULL;
}

static coir_io *with_visitor(void *visited_)
{
    struct visited *visited = visited_;
    visited->gate = (struct gate)GATE;
    CHECK_INT(pthread_create(&visited->thread, NULL, open_when_waited_for, &visited->gate), 0);
    return passing(&visited->gate);
}

static bool visitor_came(void *visited_, const coir_result *result)
{
    CHECK_INT(pthread_join(((struct visited *)visited_)->thread, NULL), 0);
    return result->tag != COIR_OK;
}

TEST(sim_explore, wake_ups_by_other_threads_are_reported_with_the_failure)
{
    struct visited visited;
    struct pad pad;
    CHECK(!coir_sim_explore(with_visitor, visitor_came, &visited, COIR_EXPLORE_OPTIONS(.foreign_wait = coir_seconds(60)), pad_open(&pad)->out));
    CHECK_CONTAINS(pad_text(&pad), "other threads woke fibers 1 times: what they do is in no schedule\n");
    pad_close(&pad);
}

/* ---------------------------------------------------------------------------------------------------- what is refused */

static void check_bad(coir_io *(*make)(void *), const coir_explore_options *options, const char *part)
{
    struct pad pad;
    errno = 0;
    CASE("%s", part);
    CHECK(!coir_sim_explore(make, NULL, NULL, options, pad_open(&pad)->out));
    CHECK_INT(errno, EINVAL);
    CHECK_CONTAINS(pad_text(&pad), part);
    CHECK_CONTAINS(pad.text, "coir_sim_explore: ");
    pad_close(&pad);
    errno = 0;
    CHECK(!coir_sim_explore(make, NULL, NULL, options, NULL));
    CHECK_INT(errno, EINVAL);
}

TEST(sim_explore, options_out_of_range_are_refused)
{
    const coir_options bad_run = { .workers = COIR_WORKERS_MAX + 1 };
    check_bad(NULL, NULL, "make is NULL");
    check_bad(make_unit, COIR_EXPLORE_OPTIONS(.workers = COIR_WORKERS_MAX + 1), "workers");
    check_bad(make_unit, COIR_EXPLORE_OPTIONS(.budget_max = COIR_BUDGET_NONE), "budget_max");
    check_bad(make_unit, COIR_EXPLORE_OPTIONS(.foreign_wait = coir_ns(-1)), "foreign_wait");
    check_bad(make_unit, COIR_EXPLORE_OPTIONS(.step_time_max = coir_ns(-1)), "step_time_max");
    check_bad(make_unit, COIR_EXPLORE_OPTIONS(.run = &bad_run), "workers");
    check_bad(make_unit, &(coir_explore_options){ .size = 3 }, "size");
}

static coir_io *make_nothing(void *env) { (void)env; return NULL; }

TEST(sim_explore, a_program_that_could_not_be_made_is_a_failure_without_memory)
{
    struct pad pad;
    check_found(make_nothing, NULL, NULL, NULL, "again:", &pad);
    CHECK_CONTAINS(pad.text, "no memory");
    pad_close(&pad);
}

TEST(sim_explore, without_a_report_and_figures_it_only_answers)
{
    struct shared_count count;
    CHECK(!coir_sim_explore(two_add, count_is_two, &count, NULL, NULL));
    CHECK(!coir_sim_explore(two_add, count_is_two, &count, COIR_EXPLORE_OPTIONS(.exhaustive = true), NULL));
    CHECK(coir_sim_explore(two_add, NULL, &count, NULL, NULL));
}
