/*
 * timers.c - many sleepers of both clocks, fired by whichever worker looks first: nobody wakes early, nobody sleeps on
 */
#include "fibers.h"

#include "base/clock.h"
#include "base/random.h"

static atomic_int early, woken;

struct nap { uint64_t seed; int naps; int64_t due; };

/* Each fiber sleeps many times, some naps of no length, most of up to a millisecond, on the clock that the seed chooses. */
static coir_io *sleeper(coir_routine *self)
{
    COIR_BEGIN(self, struct nap, my);
    while (my->naps-- > 0) {
        struct random random = { my->seed };
        int64_t length = random_below(&random, 8) == 0 ? 0 : random_below(&random, 1000 * 1000);
        bool is_epoch = random_below(&random, 4) == 0;
        my->seed = random.state;
        if (is_epoch) {
            my->due = clock_epoch() + length;
            COIR_AWAIT(coir_sleep_until(timespec_of_ns(my->due)));
            atomic_fetch_add(&early, clock_epoch() < my->due);
        } else {
            my->due = clock_monotonic() + length;
            COIR_AWAIT(coir_sleep(coir_ns(length)));
            atomic_fetch_add(&early, clock_monotonic() < my->due);
        }
    }
    atomic_fetch_add(&woken, 1);
    COIR_END;
}

static coir_io *fork_sleeper(void *naps, size_t index)
{
    return coir_fork(coir_do(sleeper, COIR_ENV(struct nap, .seed = index, .naps = *(int *)naps)));
}

TEST_WITH_TIMEOUT(stress_timers, thousands_of_sleepers_wake_a_hundred_times_each_and_never_early, 1200)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        int naps = 100, count = scaled(10000);
        atomic_store(&early, 0);
        atomic_store(&woken, 0);
        coir_result result = run(workers, coir_then(coir_traverse((size_t)count, fork_sleeper, &naps), coir_unit()));
        CHECK_TAG(result, COIR_OK);
        CHECK_INT(atomic_load(&woken), count);
        CHECK_INT(atomic_load(&early), 0);
    }
}

/* Those who sleep on a worker that is stuck again and again are woken by the others. */
static coir_result be_stuck(void *env)
{
    int64_t end = clock_monotonic() + 500 * 1000;
    (void)env;
    while (clock_monotonic() < end)
        cpu_pause();
    return coir_ok(coir_none());
}
static bool some_still_sleep(void *count, const coir_value *value) { (void)value; return atomic_load(&woken) < *(int *)count; }

TEST_WITH_TIMEOUT(stress_timers, sleepers_of_workers_that_are_often_stuck_wake_all_the_same, 1200)
{
    FOR_WORKERS(workers, 2, 4) {
        int naps = 100, count = scaled(2000);
        atomic_store(&early, 0);
        atomic_store(&woken, 0);
        coir_io *stuck = coir_fork(coir_while(coir_then(coir_defer(be_stuck, NULL), coir_yield()), some_still_sleep, &count));
        coir_io *sleepers = coir_traverse((size_t)count, fork_sleeper, &naps);
        coir_result result = run(workers, coir_sequence(COIR_IOS(sleepers, stuck, coir_unit())));
        CHECK_TAG(result, COIR_OK);
        CHECK_INT(atomic_load(&woken), count);
        CHECK_INT(atomic_load(&early), 0);
    }
}

/* Short runs that end with a sleeper, of either clock: who wakes it is through with the run before that ends. */
TEST_WITH_TIMEOUT(stress_timers, runs_that_end_with_a_sleeper_end, 1200)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int i = 0; i < scaled(5000); i++) {
            coir_io *last = i % 2 == 0 ? coir_sleep(coir_us(i % 100)) : coir_sleep_until(timespec_of_ns(clock_epoch() + i % 100 * 1000));
            CHECK_STR(outcome(workers, coir_then(coir_fork(last), coir_unit())), "OK 0");
        }
}
