/*
 * warn.c - tests of warnings: a fiber that keeps more lent values than a program should is told of, once, by its name
 */
#include "fibers.h"

static struct { atomic_int count; char message[512]; } told;

static void tell(void *env, uint64_t fiber_id, const char *message)
{
    char text[32];
    snprintf(text, sizeof text, "fiber %llu ", (unsigned long long)fiber_id);
    CHECK_CONTAINS(message, text);
    CHECK_STR(env, "env");
    snprintf(told.message, sizeof told.message, "%s", message);
    atomic_fetch_add(&told.count, 1);
}

/* How often the hook was told while io ran. */
static int times_told(unsigned workers, coir_io *io)
{
    atomic_store(&told.count, 0);
    coir_result result = coir_run(io, COIR_OPTIONS(.workers = workers, .on_warning = tell, .env = "env"));
    CHECK_TAG(result, COIR_OK);
    coir_result_drop(&result);
    return atomic_load(&told.count);
}

static coir_io *down_lent(void *env, coir_value *value)
{
    int left = thing_number(value);
    return left <= 1 ? coir_unit() : coir_flat_map(coir_pure(thing(left - 1)), down_lent, env);
}

static coir_io *down_taken(void *env, coir_value *value)
{
    coir_value taken = coir_take(value);
    int left = thing_number(&taken);
    coir_drop(taken);
    return left <= 1 ? coir_unit() : coir_flat_map(coir_pure(thing(left - 1)), down_taken, env);
}

static coir_io *down_failing(void *env, coir_result *result)
{
    int left = thing_number(&result->value);
    return left <= 1 ? coir_unit() : coir_redeem(coir_fail(thing(left - 1)), down_failing, env);
}

static coir_io *around(void *env, coir_value *state)
{
    (void)env;
    int left = thing_number(state);
    return left <= 1 ? coir_unit() : coir_again(thing(left - 1));
}

enum { LIMIT = 10000 };
static coir_io *recursion(coir_flat_map_fn *fn, int depth) { return coir_flat_map(coir_pure(thing(depth)), fn, NULL); }

TEST(warn, recursion_that_keeps_more_than_ten_thousand_values_is_told_once_with_the_fibers_name)
{
    FOR_WORKERS(workers, 1, 2) {
        CHECK_INT(times_told(workers, recursion(down_lent, LIMIT)), 0);
        CHECK_INT(times_told(workers, recursion(down_lent, LIMIT + 1)), 1);
        CHECK_INT(times_told(workers, coir_named(recursion(down_lent, 3 * LIMIT), "deep")), 1);
        CHECK_CONTAINS(told.message, "'deep'");
        CHECK_CONTAINS(told.message, "10001 lent values");
        CHECK_CONTAINS(told.message, "coir_take");
        CHECK_INT(times_told(workers, coir_redeem(coir_fail(thing(LIMIT + 1)), down_failing, NULL)), 1);
        CHECK_INT(times_told(workers, waited(COIR_IOS(recursion(down_lent, 2 * LIMIT), coir_unit(), recursion(down_lent, 2 * LIMIT)))), 2);
    }
    CHECK_INT(things_alive, 0);
}

TEST(warn, values_that_are_taken_or_go_round_a_loop_are_kept_by_nobody)
{
    uint64_t before = coir_counters_now().warnings;
    CHECK_INT(times_told(1, recursion(down_taken, 3 * LIMIT)), 0);
    CHECK_INT(times_told(1, coir_iterate(thing(3 * LIMIT), around, NULL)), 0);
    CHECK_INT(times_told(1, coir_repeat(recursion(down_lent, 10), LIMIT)), 0);
    CHECK_UINT(coir_counters_now().warnings, before);
    CHECK_INT(things_alive, 0);
}

TEST(warn, kept_values_and_warnings_are_counted_with_and_without_a_hook)
{
    coir_counters before = coir_counters_now();
    coir_result result = run(1, recursion(down_lent, LIMIT + 1));
    CHECK_TAG(result, COIR_OK);
    CHECK_UINT(coir_counters_now().values_kept, before.values_kept + LIMIT + 1);
    CHECK_UINT(coir_counters_now().warnings, before.warnings + 1);
}

static void run_in_hook(void *env, uint64_t fiber_id, const char *message)
{
    (void)env;
    (void)fiber_id;
    (void)message;
    coir_result result = coir_run(coir_unit(), NULL);
    CHECK_TAG(result, COIR_PANIC);
    coir_result_drop(&result);
    atomic_fetch_add(&told.count, 1);
}

TEST(warn, hook_must_not_run_ios)
{
    atomic_store(&told.count, 0);
    coir_result result = coir_run(recursion(down_lent, LIMIT + 1), COIR_OPTIONS(.workers = 1, .on_warning = run_in_hook));
    CHECK_TAG(result, COIR_OK);
    CHECK_INT(told.count, 1);
}
