/*
 * epoch.c - tests of the sleepers of the epoch clock: when they wake, in what order, and the thread that wakes them
 */
#include "driven.h"

#include "base/clock.h"
#include "sched/epoch.h"

#include <sched.h>

enum { MS = 1000 * 1000 };

static struct epoch epoch;
static struct timer timer_list[STAGE_FIBERS];

static void open_all(void)
{
    stage_open();
    coir__epoch_init(&epoch);
}

static void close_all(void)
{
    coir__epoch_done(&epoch);
    stage_close();
}

static void arm(int number, int64_t due)
{
    wait_parked(stage.fibers[number]);
    timer_list[number] = (struct timer){ .due = due, .fiber = stage.fibers[number], .by = CLAIMED_BY_WAKER };
    CHECK(coir__epoch_arm(&epoch, &timer_list[number]));
}

static bool expects_some(void) { return epoch_sleeps(&epoch) || epoch_fires(&epoch); }

TEST(sched_epoch, without_sleepers_there_is_no_thread_and_nothing_to_expect)
{
    open_all();
    CHECK(!epoch.running);
    CHECK(!expects_some());
    close_all();
}

TEST(sched_epoch, sleeper_wakes_when_its_moment_has_come_and_not_before)
{
    open_all();
    int64_t due = clock_epoch() + 20 * MS;
    arm(0, due);
    CHECK(expects_some() || clock_epoch() >= due);
    CHECK_SOON(atomic_load(&stage.readied[0]) == 1);
    CHECK(clock_epoch() >= due);
    CHECK_SOON(!expects_some());
    close_all();
}

/* Again and again, so that the thread surely sleeps towards the later moment when the earlier one comes. */
TEST(sched_epoch, who_sleeps_shorter_overtakes_who_slept_before)
{
    open_all();
    arm(0, clock_epoch() + INT64_C(3600) * NS_PER_SECOND);
    for (int i = 1; i < 50; i++) {
        arm(i, clock_epoch() + 1 * MS);
        CHECK_SOON(atomic_load(&stage.readied[i]) == 1);
    }
    CHECK_INT(atomic_load(&stage.readied[0]), 0);
    CHECK(expects_some());
    close_all();                                        /* and the end does not wait for the other */
}

TEST(sched_epoch, equal_moments_wake_in_the_order_of_arming)
{
    open_all();
    int64_t due = clock_epoch() + 50 * MS;
    for (int i = 0; i < STAGE_FIBERS; i++)
        arm(i, due);
    CHECK_SOON(atomic_load(&stage.ready_count) == STAGE_FIBERS);
    for (int i = 0; i < STAGE_FIBERS; i++)
        CHECK_INT(stage.ready[i], i);
    close_all();
}

TEST(sched_epoch, past_moment_wakes_at_once)
{
    open_all();
    arm(0, 0);
    arm(1, clock_epoch());
    CHECK_SOON(atomic_load(&stage.ready_count) == 2);
    close_all();
}

TEST(sched_epoch, sleepers_that_are_disarmed_do_not_wake)
{
    open_all();
    int64_t due = clock_epoch() + 30 * MS;
    for (int i = 0; i < 100; i++)
        arm(i, due);
    int lost = 0;
    for (int i = 0; i < 100; i += 2) {
        coir_fiber *fiber = stage.fibers[i];
        if (wait_claim(&fiber->wait, wait_generation(&fiber->wait)) == CLAIM_LOST)
            lost++;                                     /* a slow machine: it was due by now */
        else
            coir__timers_disarm(&timer_list[i]);
    }
    CHECK_SOON(atomic_load(&stage.ready_count) == 50 + lost);
    CHECK_SOON(!expects_some());
    for (int i = 1; i < 100; i += 2)
        CHECK_INT(atomic_load(&stage.readied[i]), 1);
    close_all();
}

/* [EPOCH] Who sees neither a sleeper nor the firing sees those fibers in the queue. */
TEST(sched_epoch, nothing_is_expected_only_once_all_are_awake)
{
    open_all();
    for (int round = 0; round < scaled(2000); round++) {
        int before = atomic_load(&stage.ready_count);
        arm(round % STAGE_FIBERS, clock_epoch() + round % 3 * 10000);
        while (expects_some())
            sched_yield();
        CHECK_INT(atomic_load(&stage.ready_count), before + 1);
    }
    close_all();
}

/* The first who needs memory gets it only when a second one has been through with arming: an allocator may wait for other threads. */
static struct { atomic_int asked; atomic_bool second_is_through; } meeting;

static void *allocate_after_the_second(void *env, size_t size)
{
    (void)env;
    if (atomic_fetch_add(&meeting.asked, 1) == 0)
        while (!atomic_load(&meeting.second_is_through))
            sched_yield();
    return malloc(size);
}
static void release_at_once(void *env, void *memory, size_t size) { (void)env; (void)size; free(memory); }

static void *arm_the_second(void *unused)
{
    while (atomic_load(&meeting.asked) == 0)
        sched_yield();
    arm(1, clock_epoch() + INT64_C(3600) * NS_PER_SECOND);
    atomic_store(&meeting.second_is_through, true);
    return unused;
}

TEST_ALONE(sched_epoch, who_waits_for_memory_keeps_nobody_else_from_sleeping)
{
    const coir_memory memory = { allocate_after_the_second, release_at_once, NULL };
    pthread_t thread;
    open_all();
    CHECK(coir_set_memory(&memory));
    CHECK_INT(pthread_create(&thread, NULL, arm_the_second, NULL), 0);
    arm(0, clock_epoch() + INT64_C(3600) * NS_PER_SECOND);
    CHECK_INT(pthread_join(thread, NULL), 0);
    close_all();
}

/* ----------------------------------------------------------------------------------------------------------- in a run */

static struct timespec in_ms(int64_t ms) { return timespec_of_ns(clock_epoch() + ms * MS); }

static coir_io *sleep_20_ms(void *env)
{
    int64_t *due = env;
    struct timespec moment = in_ms(20);
    *due = ns_of_timespec(moment);
    return coir_sleep_until(moment);
}
static coir_result now_is_later(void *due) { return coir_ok(coir_bool(clock_epoch() >= *(const int64_t *)due)); }

TEST(sched_epoch, fibers_sleep_until_a_moment_and_never_wake_early)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        int64_t due = 0;
        coir_result result = run(workers, coir_then(coir_suspend(sleep_20_ms, &due), coir_defer(now_is_later, &due)));
        CHECK_TAG(result, COIR_OK);
        CHECK(result.value.flag);
    }
}

static atomic_int woken;
static coir_result count_woken(void *unused) { (void)unused; return coir_ok(coir_int(atomic_fetch_add(&woken, 1))); }
static coir_io *wait_all(void *env, coir_value *fibers) { (void)env; return coir_wait(fibers); }
static coir_io *sleeper_at(void *env, size_t index)
{
    (void)env;
    return coir_fork(coir_then(coir_sleep_until(in_ms((int64_t)(index % 20))), coir_defer(count_woken, NULL)));
}

TEST(sched_epoch, thousands_sleep_until_different_moments_and_all_wake)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        atomic_store(&woken, 0);
        int count = scaled(5000);
        coir_result result = run(workers, coir_flat_map(coir_traverse((size_t)count, sleeper_at, NULL), wait_all, NULL));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
        CHECK_INT(atomic_load(&woken), count);
    }
}

/* The run cannot be silent while somebody sleeps, though no worker has anything to do. */
TEST(sched_epoch, sleeper_is_waited_for_by_a_run_in_which_nothing_else_happens)
{
    uint64_t before = coir_counters_now().deadlocks;
    for (int i = 0; i < scaled(200); i++)
        CHECK_STR(outcome(2, coir_sleep_until(in_ms(1))), "OK 0");
    CHECK_UINT(coir_counters_now().deadlocks, before);
}

static coir_io *sleep_200_us(void *unused)
{
    (void)unused;
    return coir_sleep_until(timespec_of_ns(clock_epoch() + 200 * 1000));
}

/* The fiber that the thread has woken may have ended, and its worker look whether the run is silent, before the thread says that it is done. */
TEST(sched_epoch, silence_after_the_last_sleeper_is_found_however_soon_that_one_ends)
{
    for (int i = 0; i < scaled(500); i++) {
        coir_result result = run(2, coir_then(coir_fork(coir_suspend(sleep_200_us, NULL)), coir_never()));
        CHECK_TAG(result, COIR_PANIC);
        coir_result_drop(&result);
    }
}
