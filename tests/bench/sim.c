/*
 * sim.c - what a simulated step costs, and a schedule of an exploration
 */
#include "bench.h"

/* ------------------------------------------------------------------------------------------------------------- simulate */

enum { YIELDERS = 100 };

/* A hundred fibers that yield for ever, stopped after N steps. */
static void simulate(struct bench *b)
{
    coir_io *yielder = coir_fork(coir_forever(coir_yield()));
    coir_io *all = coir_repeat(yielder, YIELDERS);
    coir_sim_figures figures;
    bench_begin();
    coir_result result = coir_sim_run(all, COIR_SIM_OPTIONS(.workers = b->workers, .steps_max = (uint64_t)b->n, .figures = &figures));
    bench_end(b);
    bench_check(coir_error_code(&result.value) == COIR_STOPPED && (int64_t)figures.steps == b->n, "it makes N steps");
    coir_result_drop(&result);
}

/* -------------------------------------------------------------------------------------------------------------- explore */

struct office { coir_lock *lock; int sold; };

static coir_result look(void *office) { return coir_ok(coir_int(((struct office *)office)->sold)); }

static coir_io *count_one_more(void *office, coir_value *sold)
{
    ((struct office *)office)->sold = (int)sold->i64 + 1;
    return coir_unit();
}

static coir_io *sell(struct office *office)
{
    return coir_with_lock(office->lock, coir_flat_map(coir_defer(look, office), count_one_more, office));
}

static coir_io *two_sell(void *office_)
{
    struct office *office = office_;
    office->sold = 0;
    return coir_then(bench_sum(coir_parallel(COIR_IOS(sell(office), sell(office)))), coir_defer(look, office));
}

static bool is_two(void *env, const coir_result *result)
{
    (void)env;
    return result->tag == COIR_OK && result->value.i64 == 2;
}

/* N schedules of two fibers that lock, read and write: the program of docs/examples/sim_counter.c. */
static void explore(struct bench *b)
{
    struct office office = { .lock = coir_lock_new() };
    coir_explore_figures explored;
    coir_sim_figures one;
    bench_begin();
    bool passed = coir_sim_explore(two_sell, is_two, &office,
                                   COIR_EXPLORE_OPTIONS(.runs = (uint64_t)b->n, .workers = b->workers, .figures = &explored), NULL);
    bench_end(b);
    bench_check(passed && (int64_t)explored.runs == b->n, "no schedule fails");
    coir_result result = coir_sim_run(two_sell(&office), COIR_SIM_OPTIONS(.workers = b->workers, .figures = &one));
    coir_result_drop(&result);
    bench_note(b, "schedules_per_s=%.0f distinct=%llu steps=%llu", (double)b->n / b->seconds, (unsigned long long)explored.distinct,
               (unsigned long long)one.steps);
    coir_lock_drop(office.lock);
}

const struct workload bench_sim[] = {
    { .name = "simulate", .run = simulate, .n = 10000000, .quick_n = 1000000, .share = YIELDERS, .what = "100 fibers yield, simulated, N steps" },
    { .name = "explore", .run = explore, .n = 200000, .quick_n = 20000, .what = "N schedules of two fibers that share a lock and a counter" },
    { .name = NULL }
};
