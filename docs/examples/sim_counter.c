/*
 * sim_counter.c - shows how a lost update is found, repeated and mended: a counter that two fibers share
 *
 * Selling reads how many tickets are sold, and in its next step writes one more. A hundred ordinary runs see nothing wrong. The simulator
 * tries other orders, and shows the shortest in which a sale is lost. With a lock around the two steps no order loses one.
 */
#include <coir.h>

struct office { int sold; coir_lock *lock; };

/* ---- What is to be tested. */
static coir_result look(void *office) { return coir_ok(coir_int(((struct office *)office)->sold)); }

static coir_io *count_one_more(void *office, coir_value *sold)
{
    ((struct office *)office)->sold = (int)sold->i64 + 1;
    return coir_unit();
}

static coir_io *sell(struct office *office) { return coir_flat_map(coir_defer(look, office), count_one_more, office); }
static coir_io *sell_locked(struct office *office) { return coir_with_lock(office->lock, sell(office)); }

/* ---- The test: a program, made anew for each schedule, and what must hold when it has ended. */
static coir_io *wait_for_both(void *env, coir_value *fibers) { (void)env; return coir_wait(fibers); }

static coir_io *at_two_desks(struct office *office, coir_io *(*sale)(struct office *office))
{
    office->sold = 0;
    coir_io *both = coir_parallel(COIR_IOS(coir_named(sale(office), "ann"), coir_named(sale(office), "bob")));
    return coir_then(coir_flat_map(both, wait_for_both, NULL), coir_defer(look, office));
}

static coir_io *make(void *office)        { return at_two_desks(office, sell); }
static coir_io *make_locked(void *office) { return at_two_desks(office, sell_locked); }

static bool is_two(void *env, const coir_result *result)
{
    (void)env;
    return result->tag == COIR_OK && result->value.i64 == 2;
}

/* ---- As an ordinary test would run it. */
static int failures_in_a_hundred_runs(struct office *office)
{
    int failures = 0;
    for (int i = 0; i < 100; i++) {
        coir_result result = coir_run(make(office), COIR_OPTIONS(.workers = 1));
        failures += !is_two(NULL, &result);
        coir_result_drop(&result);
    }
    return failures;
}

/* ---- One schedule again and again: the call is copied from what the exploration printed. */
static int failures_in_ten_repetitions(struct office *office)
{
    int failures = 0;
    for (int i = 0; i < 10; i++) {
        coir_result result = coir_sim_run(make(office), COIR_SIM_OPTIONS(.seed = 2, .workers = 2, .budget = 2, .policy = COIR_SIM_RANDOM,
                                                                         .changes_within = 20, .steps_max = 100000));
        failures += !is_two(NULL, &result);
        coir_result_drop(&result);
    }
    return failures;
}

int main(void)
{
    struct office office = { 0, coir_lock_new() };
    printf("a hundred ordinary runs: %d failed\n\n", failures_in_a_hundred_runs(&office));

    bool passed = coir_sim_explore(make, is_two, &office, NULL, stdout);
    printf("\nten repetitions: %d failed\n\n", failures_in_ten_repetitions(&office));

    bool mended = coir_sim_explore(make_locked, is_two, &office, NULL, stdout);
    bool surely =
        coir_sim_explore(make_locked, is_two, &office, COIR_EXPLORE_OPTIONS(.exhaustive = true, .runs = 100000), stdout);
    coir_lock_drop(office.lock);
    return passed || !mended || !surely;
}
