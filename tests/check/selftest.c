/*
 * selftest.c - tests that must fail, for tests/check/selftest, which looks whether they do
 */
#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

TEST(good, does_nothing) {}

TEST(good, goes_round_with_each_number_of_workers)
{
    unsigned sum = 0;
    FOR_WORKERS(workers, 1, 2, 4)
        sum += workers;
    CHECK_UINT(sum, 7);
}

TEST_ALONE(good, has_a_process_of_its_own) {}

TEST(bad, check_fails)
{
    CHECK_INT(1 + 1, 3);
    _exit(0);                                           /* not reached: a failed check ends the test */
}

TEST(bad, last_round_fails)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        CASE("round of %u", workers);
        CHECK(workers < 4);
    }
}

static void *check_there(void *unused)
{
    CHECK_STR("there", "here");
    return unused;
}

TEST(bad, thread_fails)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, check_there, NULL) == 0);
    pthread_join(thread, NULL);
}

static coir_value check_in_callback(void *unused, coir_value *value)
{
    (void)unused;
    CHECK_INT(value->i64, 1);
    return *value;
}

TEST(bad, callback_fails)
{
    coir_result result = coir_run(coir_map(coir_pure(coir_int(2)), check_in_callback, NULL), NULL);
    CHECK_OK_INT(result, 2);                            /* the run itself came to its end */
}

TEST(bad, result_is_another)
{
    coir_result result = coir_raise(coir_int(7));
    CHECK_CODE(result, COIR_ERROR, 7);
    CHECK_TAG(result, COIR_OK);
}

TEST_ALONE(bad, process_of_its_own_fails) { CHECK(false); }
TEST(bad, process_leaves) { exit(0); }
TEST(bad, process_leaves_at_once) { _exit(0); }
TEST(bad, process_crashes) { abort(); }
TEST_WITH_TIMEOUT(bad, hangs, 1) { for (;;) pause(); }

/* What only simulations see: of two fibers that add one may read what the other is about to write. */
static int counter;
static coir_result read_counter(void *unused) { (void)unused; return coir_ok(coir_int(counter)); }
static coir_io *write_counter(void *unused, coir_value *read) { (void)unused; counter = (int)read->i64 + 1; return coir_unit(); }

TEST(schedule, counter_is_lost)
{
    counter = 0;
    coir_io *add = coir_flat_map(coir_defer(read_counter, NULL), write_counter, NULL);
    coir_result result = coir_run(coir_repeat(coir_fork(add), 2), COIR_OPTIONS(.workers = 1));
    coir_result_drop(&result);
    CHECK_INT(counter, 2);
}

TEST_REAL(schedule, is_of_real_threads, "of real threads") {}

/* What only the sanitizers see. */
static void *volatile kept;

TEST(leak, memory_is_forgotten)
{
    kept = malloc(100);
    kept = NULL;
}

TEST(leak, io_is_forgotten)
{
    coir_io *io = coir_pure(coir_int(1));
    CHECK(io != NULL);
}

TEST(address, freed_memory_is_read)
{
    kept = malloc(100);
    volatile char *memory = kept;                       /* by way of a volatile, or the compiler sees it too */
    free(kept);
    memory[50] = 1;
}

static volatile long shared;

static void *add_there(void *unused)
{
    for (int i = 0; i < 1000; i++)
        shared = shared + 1;
    return unused;
}

TEST(race, two_threads_add)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, add_there, NULL) == 0);
    add_there(NULL);
    pthread_join(thread, NULL);
}

TEST(undefined, sum_overflows)
{
    volatile int most = __INT_MAX__;
    CHECK(most + 1 != 0);
}
