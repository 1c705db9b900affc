/*
 * sim.c - tests of the simulation as a driver: the clock, the schedule, other threads
 */
#include "fibers.h"

static const char *simulated(coir_io *io, const coir_sim_options *options)
{
    coir_result result = coir_sim_run(io, options);
    const char *text = describe(&result);
    coir_result_drop(&result);
    return text;
}

/* Two fibers, each of which reads, and writes one more in a later step. */
struct shared_count { int count; };
static coir_result read_count(void *count)                { return coir_ok(coir_int(((struct shared_count *)count)->count)); }
static coir_io *write_more(void *count, coir_value *read) { ((struct shared_count *)count)->count = (int)read->i64 + 1; return coir_unit(); }
static coir_io *one_more(struct shared_count *count) { return coir_flat_map(coir_defer(read_count, count), write_more, count); }
static coir_io *two_add(void *count_)
{
    struct shared_count *count = count_;
    count->count = 0;
    coir_io *both[] = { coir_named(one_more(count), "left"), coir_named(one_more(count), "right") };
    return coir_then(waited(2, both), coir_defer(read_count, count));
}
static bool count_is_two(void *env, const coir_result *result)
{
    (void)env;
    return result->tag == COIR_OK && result->value.i64 == 2;
}

TEST(sim, a_year_of_sleep_takes_no_time_and_the_clock_knows_it)
{
    coir_sim_figures figures;
    coir_io *year = coir_then(coir_sleep(coir_seconds(365 * 24 * 3600)), coir_now());
    coir_result result = coir_sim_run(year, COIR_SIM_OPTIONS(.figures = &figures));
    CHECK_TAG(result, COIR_OK);
    CHECK_INT(result.value.i64, (int64_t)365 * 24 * 3600 * 1000000000);
    CHECK_INT(figures.elapsed.ns, result.value.i64);
}

TEST(sim, the_same_seed_gives_the_same_trace_to_the_last_byte)
{
    struct shared_count count;
    for (uint64_t seed = 0; seed < 50; seed++) {
        CASE("seed %llu", (unsigned long long)seed);
        char *text[2] = { NULL, NULL };
        size_t size[2];
        coir_sim_figures figures[2];
        for (int i = 0; i < 2; i++) {
            FILE *trace = open_memstream(&text[i], &size[i]);
            const coir_sim_policy policy = seed % 2 == 0 ? COIR_SIM_RANDOM : COIR_SIM_PRIORITIES;
            (void)simulated(two_add(&count), COIR_SIM_OPTIONS(.seed = seed, .policy = policy, .trace = trace, .figures = &figures[i]));
            fclose(trace);
        }
        CHECK_STR(text[0], text[1]);
        CHECK_UINT(figures[0].hash, figures[1].hash);
        CHECK_UINT(figures[0].steps, figures[1].steps);
        free(text[0]);
        free(text[1]);
    }
}

TEST(sim, a_race_is_lost_under_some_seeds_and_not_under_all)
{
    struct shared_count count;
    int lost = 0;
    for (uint64_t seed = 0; seed < 200; seed++)
        lost += strcmp(simulated(two_add(&count), COIR_SIM_OPTIONS(.seed = seed)), "OK 2") != 0;
    CHECK(lost > 0);
    CHECK(lost < 200);
}

TEST(sim, in_turn_nobody_is_interrupted)
{
    struct shared_count count;
    for (uint64_t seed = 0; seed < 20; seed++)
        CHECK_STR(simulated(two_add(&count), COIR_SIM_OPTIONS(.seed = seed, .policy = COIR_SIM_IN_TURN)), "OK 2");
}

TEST(sim, exploring_finds_the_race_and_the_schedule_that_it_prints_repeats_it)
{
    struct shared_count count;
    for (int exhaustive = 0; exhaustive < 2; exhaustive++) {
        CASE("exhaustive %d", exhaustive);
        char *text = NULL;
        size_t size;
        FILE *report = open_memstream(&text, &size);
        CHECK(!coir_sim_explore(two_add, count_is_two, &count, COIR_EXPLORE_OPTIONS(.exhaustive = exhaustive), report));
        fclose(report);
        unsigned long long seed, steps;
        unsigned workers, budget = COIR_BUDGET_NONE;
        char schedule[1000] = "";
        const char *line = strstr(text, "shortest:");
        CHECK(line != NULL);
        CHECK_INT(sscanf(strstr(line, ".seed"), ".seed = %llu, .workers = %u", &seed, &workers), 2);
        (void)sscanf(strstr(line, ".budget"), ".budget = %u", &budget);
        CHECK_INT(sscanf(strstr(line, ".steps_max"), ".steps_max = %llu", &steps), 1);
        (void)sscanf(strstr(line, ".schedule"), ".schedule = \"%999[0-9: ]\"", schedule);
        for (int i = 0; i < 10; i++)
            CHECK_STR(simulated(two_add(&count), COIR_SIM_OPTIONS(.seed = seed, .workers = workers, .budget = budget, .steps_max = steps,
                                                                  .policy = COIR_SIM_PRIORITIES, .schedule = schedule)), "OK 1");
        free(text);
    }
}

TEST(sim, a_deadlock_is_found_at_once_and_explained)
{
    coir_result result = coir_sim_run(coir_named(coir_never(), "waiting"), NULL);
    CHECK_TAG(result, COIR_PANIC);
    CHECK_STR(coir_error_message(&result.value),
              "deadlock: fiber 1 'waiting' waits for what never comes (coir_never), and nothing is left that could end the wait");
    coir_result_drop(&result);
}

TEST(sim, a_program_without_end_is_stopped_and_said_to_be)
{
    coir_sim_figures figures;
    coir_result result = coir_sim_run(coir_forever(coir_yield()), COIR_SIM_OPTIONS(.steps_max = 1000, .figures = &figures));
    CHECK_TAG(result, COIR_PANIC);
    CHECK_INT(coir_error_code(&result.value), COIR_STOPPED);
    CHECK_UINT(figures.steps, 1000);
    coir_result_drop(&result);
}

static void *open_it(void *gate) { gate_open(gate); return NULL; }

TEST(sim, another_thread_may_resume_and_is_counted)
{
    struct gate gate = GATE;
    coir_sim_figures figures;
    pthread_t thread;
    coir_sim *sim = coir_sim_open(passing(&gate), NULL);
    CHECK(sim != NULL);
    CHECK_INT(coir_sim_tick(sim), COIR_SIM_OUTSIDE);
    CHECK_INT(pthread_create(&thread, NULL, open_it, &gate), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(coir_sim_tick_all(sim), COIR_SIM_ENDED);
    CHECK(coir_sim_figures_of(sim, &figures));
    CHECK_UINT(figures.foreign, 1);
    CHECK_TAG(*coir_sim_result(sim), COIR_OK);
    coir_sim_drop(sim);
}
