/*
 * choose.c - tests of the policies, and of schedules as text
 */
#include "simulation.h"

enum { POLICIES = 3 };
static const coir_sim_policy policies[POLICIES] = { COIR_SIM_RANDOM, COIR_SIM_PRIORITIES, COIR_SIM_IN_TURN };

/* --------------------------------------------------------------------------------------------------------- repeating */

static const char *traced(coir_io *io, coir_sim_options options, struct pad *pad)
{
    options.trace = pad_open(pad)->out;
    (void)simulated(io, &options);
    return pad_text(pad);
}

TEST(sim_choose, the_same_seed_gives_the_same_trace_to_the_last_byte)
{
    static const uint64_t seeds[] = { 0, 1, 2, 3, 1000, UINT64_MAX, UINT64_C(1) << 63 };
    struct shared_count count = { 0 };
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++)
        for (int p = 0; p < POLICIES; p++)
            for (uint32_t budget = 1; budget < 5; budget++) {
                CASE("seed %llu, policy %d, budget %u", (unsigned long long)seeds[i], p, (unsigned)budget);
                struct pad first, second;
                coir_sim_figures figures[2];
                coir_sim_options options = { .seed = seeds[i], .policy = policies[p], .budget = budget, .step_time_max = coir_ns(100) };
                options.figures = &figures[0];
                traced(two_add(&count), options, &first);
                options.figures = &figures[1];
                traced(two_add(&count), options, &second);
                CHECK_STR(first.text, second.text);
                CHECK_UINT(figures[0].hash, figures[1].hash);
                CHECK_UINT(figures[0].steps, figures[1].steps);
                CHECK_INT(figures[0].elapsed.ns, figures[1].elapsed.ns);
                CHECK_UINT(figures[0].fibers, 3);
                pad_close(&first);
                pad_close(&second);
            }
}

TEST(sim_choose, different_seeds_give_different_schedules)
{
    struct shared_count count = { 0 };
    uint64_t hashes[20];
    for (uint64_t seed = 0; seed < 20; seed++) {
        coir_sim_figures figures;
        (void)simulated(two_add(&count), COIR_SIM_OPTIONS(.seed = seed, .figures = &figures));
        hashes[seed] = figures.hash;
    }
    int same = 0;
    for (int i = 0; i < 20; i++)
        for (int j = 0; j < i; j++)
            same += hashes[i] == hashes[j];
    CHECK(same < 20);                                   /* of 190 pairs */
}

/* ---------------------------------------------------------------------------------------------------------- policies */

TEST(sim_choose, a_race_is_lost_under_some_seeds_and_not_under_all)
{
    struct shared_count count = { 0 };
    for (int p = 0; p < 2; p++) {
        int lost = 0;
        CASE("policy %d", p);
        for (uint64_t seed = 0; seed < 200; seed++)
            lost += strcmp(simulated(two_add(&count), COIR_SIM_OPTIONS(.seed = seed, .policy = policies[p], .changes_within = 20)), "OK 2") != 0;
        CHECK(lost > 0);
        CHECK(lost < 200);
    }
}

TEST(sim_choose, in_turn_nobody_is_interrupted_but_by_the_budget)
{
    struct shared_count count = { 0 };
    for (uint64_t seed = 0; seed < 20; seed++) {
        CHECK_STR(simulated(two_add(&count), COIR_SIM_OPTIONS(.seed = seed, .policy = COIR_SIM_IN_TURN)), "OK 2");
        CHECK_STR(simulated(two_add(&count), COIR_SIM_OPTIONS(.seed = seed, .policy = COIR_SIM_IN_TURN, .budget = COIR_BUDGET_NONE)), "OK 2");
        CHECK_STR(simulated(two_add(&count), COIR_SIM_OPTIONS(.seed = seed, .policy = COIR_SIM_IN_TURN, .budget = 1)), "OK 1");
    }
}

TEST(sim_choose, with_one_worker_and_no_budget_a_random_run_interrupts_nobody)
{
    struct shared_count count = { 0 };
    for (uint64_t seed = 0; seed < 100; seed++)
        CHECK_STR(simulated(two_add(&count), COIR_SIM_OPTIONS(.seed = seed, .workers = 1, .budget = COIR_BUDGET_NONE)), "OK 2");
}

static coir_io *taking_turns(const char *name) { return coir_repeat(coir_then(noting(name), coir_yield()), 3); }

TEST(sim_choose, in_turn_those_who_yield_take_turns)
{
    coir_io *all = waited(COIR_IOS(taking_turns("a"), taking_turns("b"), taking_turns("c")));
    CHECK_STR(simulated(all, COIR_SIM_OPTIONS(.policy = COIR_SIM_IN_TURN)), "OK [<OK 0> <OK 0> <OK 0>]");
    CHECK_STR(notes(), "a b c a b c a b c");
}

TEST(sim_choose, every_fiber_of_many_comes_first_under_some_seed)
{
    enum { FIBERS = 6 };
    for (int p = 0; p < 2; p++) {
        bool came_first[FIBERS] = { false };
        CASE("policy %d", p);
        for (uint64_t seed = 0; seed < 300; seed++) {
            static const char *const names[FIBERS] = { "0", "1", "2", "3", "4", "5" };
            coir_io *ios[FIBERS];
            for (int i = 0; i < FIBERS; i++)
                ios[i] = noting(names[i]);
            coir_result result = coir_sim_run(waited(FIBERS, ios), COIR_SIM_OPTIONS(.seed = seed, .workers = 1 + (unsigned)seed % 4, .policy = policies[p]));
            CHECK(all_ok(NULL, &result));
            coir_result_drop(&result);
            came_first[notes()[0] - '0'] = true;
        }
        for (int i = 0; i < FIBERS; i++)
            CHECK(came_first[i]);
    }
}

TEST(sim_choose, each_of_the_simulated_workers_is_used_and_no_other)
{
    struct shared_count count = { 0 };
    for (unsigned workers = 1; workers <= 5; workers++) {
        unsigned used = 0;
        CASE("%u workers", workers);
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct pad pad;
            coir_io *all = coir_flat_map(copies_of(8, one_more(&count)), wait_it, NULL);
            const char *row = strchr(traced(all, (coir_sim_options){ .workers = workers, .seed = seed }, &pad), '\n');
            for (; row[1] != '\0'; row = strchr(row + 1, '\n')) {
                unsigned worker;
                CHECK_INT(sscanf(row + 1, "%*u %*s %u", &worker), 1);
                used |= 1u << worker;
            }
            pad_close(&pad);
        }
        CHECK_UINT(used, (1u << workers) - 1);
    }
}

TEST(sim_choose, who_waits_by_yielding_keeps_nobody_out_under_any_policy)
{
    for (int p = 0; p < POLICIES; p++)
        for (uint64_t seed = 0; seed < 50; seed++) {
            coir_fiber *fiber = NULL;
            coir_io *io = coir_then(queueing(coir_sleep(coir_ms(1)), &fiber), joining(&fiber));
            CASE("policy %d, seed %llu", p, (unsigned long long)seed);
            CHECK_STR(simulated(io, COIR_SIM_OPTIONS(.policy = policies[p], .seed = seed, .steps_max = 100000)), "OK 0");
            coir_fiber_drop(fiber);
        }
}

/* Two that hand a permit to and fro until a third says so: they never yield, and have no budget to spend. The one change is over at once. */
struct to_and_fro { coir_semaphore *to, *fro; bool enough; };
static bool not_enough(void *both, const coir_value *value) { (void)value; return !((struct to_and_fro *)both)->enough; }
static coir_io *handing(struct to_and_fro *both, coir_semaphore *from, coir_semaphore *to)
{
    return coir_while(coir_then(coir_acquire(from, 1), coir_release(to, 1)), not_enough, both);
}
static coir_result say_enough(void *both) { ((struct to_and_fro *)both)->enough = true; return coir_ok(coir_none()); }

TEST(sim_choose, two_that_wake_each_other_for_ever_keep_nobody_out_under_any_policy)
{
    for (int p = 0; p < POLICIES; p++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct to_and_fro both = { coir_semaphore_new_bounded(1, 2), coir_semaphore_new_bounded(0, 2), false };
            coir_io *all = coir_parallel(COIR_IOS(handing(&both, both.to, both.fro), handing(&both, both.fro, both.to), coir_defer(say_enough, &both)));
            CASE("policy %d, seed %llu", p, (unsigned long long)seed);
            coir_result result = coir_sim_run(all, COIR_SIM_OPTIONS(.policy = policies[p], .seed = seed, .budget = COIR_BUDGET_NONE, .changes = 1,
                                                                    .changes_within = 1, .steps_max = 100000));
            CHECK_TAG(result, COIR_OK);
            coir_result_drop(&result);
            coir_semaphore_drop(both.to);
            coir_semaphore_drop(both.fro);
        }
}

/* A bug of depth three, and far off: the first fiber's two steps stand at its beginning, the second's two in its middle; it is met when they come in
 * the order first, second, first, second. */
struct deep { int stage; bool met; };
static coir_result first_a(void *deep_)  { struct deep *deep = deep_; deep->stage = 1; return coir_ok(coir_none()); }
static coir_result second_a(void *deep_) { struct deep *deep = deep_; deep->stage = deep->stage == 1 ? 2 : 0; return coir_ok(coir_none()); }
static coir_result first_b(void *deep_)  { struct deep *deep = deep_; deep->stage = deep->stage == 2 ? 3 : 0; return coir_ok(coir_none()); }
static coir_result second_b(void *deep_)
{
    struct deep *deep = deep_;
    deep->met = deep->stage == 3;
    return coir_ok(coir_none());
}

static bool deep_is_met(coir_sim_policy policy, uint64_t seed)
{
    struct deep deep = { 0 };
    coir_io *first = coir_sequence(COIR_IOS(coir_defer(first_a, &deep), coir_defer(first_b, &deep), coir_repeat(coir_unit(), 12)));
    coir_io *second = coir_sequence(COIR_IOS(coir_repeat(coir_unit(), 12), coir_defer(second_a, &deep), coir_defer(second_b, &deep)));
    coir_io *both[] = { first, second };
    coir_result result = coir_sim_run(waited(2, both), COIR_SIM_OPTIONS(.seed = seed, .policy = policy, .changes = 2, .changes_within = 50));
    coir_result_drop(&result);
    return deep.met;
}

TEST(sim_choose, priorities_meet_a_bug_of_depth_three_that_random_steps_do_not)
{
    int met[2] = { 0, 0 };
    for (uint64_t seed = 0; seed < 10000; seed++)
        for (int p = 0; p < 2; p++)
            met[p] += deep_is_met(policies[p], seed);
    CHECK_INT(met[COIR_SIM_RANDOM], 0);
    CHECK(met[COIR_SIM_PRIORITIES] > 0);
}

/* --------------------------------------------------------------------------------------------------- schedules as text */

TEST(sim_choose, a_schedule_makes_the_choices_that_it_names)
{
    struct shared_count count = { 0 };
    coir_sim_options options = { .size = sizeof options, .workers = 1, .budget = COIR_BUDGET_NONE, .policy = COIR_SIM_PRIORITIES };
    options.schedule = "";
    CHECK_STR(simulated(two_add(&count), &options), "OK 2");
    options.schedule = "5:1";                           /* one is interrupted after it has read */
    CHECK_STR(simulated(two_add(&count), &options), "OK 1");
}

TEST(sim_choose, what_a_schedule_names_for_another_program_is_passed_over)
{
    struct shared_count count = { 0 };
    CHECK_STR(simulated(two_add(&count), COIR_SIM_OPTIONS(.workers = 1, .schedule = "0:99 1:4294967295 100000:1")), "OK 2");
    CHECK_STR(simulated(coir_pure(coir_int(4)), COIR_SIM_OPTIONS(.schedule = "18446744073709551615:1")), "OK 4");
}

TEST(sim_choose, what_is_no_schedule_is_refused_and_shown)
{
    static const char *const bad[] = {
        " ", "x", "1", "1:", ":1", "1:0", "1:-1", "-1:1", "+1:1", " 1:1", "1:1,2:1", "1:1  2:1", "1:1 1:1", "2:1 1:1", "1:1x", "1.5:1", "0x1:1",
        "1:4294967296", "18446744073709551616:1", "1:1\n2:1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CASE("\"%s\"", bad[i]);
        CHECK_STR(simulated(coir_pure(thing(1)), COIR_SIM_OPTIONS(.schedule = bad[i])), "PANIC EINVAL");
        CHECK_STR(notes(), "-1");
        errno = 0;
        CHECK(coir_sim_open(coir_pure(thing(2)), COIR_SIM_OPTIONS(.schedule = bad[i])) == NULL);
        CHECK_INT(errno, EINVAL);
        CHECK_STR(notes(), "-2");
    }
    CHECK_CONTAINS(simulated_message(coir_unit(), COIR_SIM_OPTIONS(.schedule = "1:1 nonsense")), "\"1:1 nonsense\"");
}
