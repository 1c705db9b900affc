/*
 * timers.c - tests of the heap of sleepers: against a sorted list, in the order of arming, without memory, and fired by another thread
 *
 * Order here is the order in which fibers are to run. On a worker a driver takes the last to be made ready first, so a test that looks
 * at the order of `ready` calls sits outside the run.
 */
#include "driven.h"

#include "base/random.h"
#include "sched/timers.h"

#include <sched.h>

static struct timers timers;
static struct timer timer_list[STAGE_FIBERS];

static void open_all(void)
{
    stage_open();
    coir__timers_init(&timers);
    memset(timer_list, 0, sizeof timer_list);
}

static void close_all(void)
{
    coir__timers_done(&timers);
    stage_close();
}

static void arm(int number, int64_t due)
{
    struct timer *timer = &timer_list[number];
    wait_parked(stage.fibers[number]);
    *timer = (struct timer){ .due = due, .fiber = stage.fibers[number], .by = CLAIMED_BY_WAKER };
    CHECK(coir__timers_arm(&timers, timer));
}

/* As the interpreter does when a wait has been ended by somebody else. */
static void disarm(int number)
{
    coir_fiber *fiber = stage.fibers[number];
    CHECK_INT(wait_claim(&fiber->wait, wait_generation(&fiber->wait)), CLAIM_PARKED);
    coir__timers_disarm(&timer_list[number]);
    memset(&timer_list[number], 0xff, sizeof timer_list[number]);           /* nobody knows it any more */
}

/* ------------------------------------------------------------------------------------------------------------ order */

TEST(sched_timers, none_is_never)
{
    open_all();
    CHECK_INT(timers_earliest(&timers), INT64_MAX);
    CHECK_UINT(coir__timers_fire(&timers, INT64_MAX - 1), 0);
    close_all();
}

TEST(sched_timers, only_what_is_due_goes_off)
{
    open_all();
    arm(0, 100);
    arm(1, 50);
    arm(2, 75);
    CHECK_INT(timers_earliest(&timers), 50);
    CHECK_UINT(coir__timers_fire(&timers, 49), 0);
    CHECK_UINT(coir__timers_fire(&timers, 75), 2);
    CHECK_INT(timers_earliest(&timers), 100);
    CHECK_INT(atomic_load(&stage.ready_count), 2);
    CHECK_INT(stage.ready[0], 1);
    CHECK_INT(stage.ready[1], 2);
    CHECK_INT(stage.fibers[1]->claimed_by, CLAIMED_BY_WAKER);
    CHECK_UINT(coir__timers_fire(&timers, 100), 1);
    CHECK_INT(stage.ready[2], 0);
    CHECK_INT(timers_earliest(&timers), INT64_MAX);
    close_all();
}

/* By a thread outside the run, whose fibers run in the order in which they are made ready; and by a worker of it. */
TEST(sched_timers, equal_moments_go_off_in_the_order_of_arming_however_many)
{
    for (int sits = 0; sits < 2; sits++)
        for (int count = 1; count <= STAGE_FIBERS; count += 7) {
            CASE("%d at once, %s", count, sits ? "by a worker" : "by another thread");
            open_all();
            for (int i = 0; i < count; i++)
                arm(i, 5);
            stage_sit(sits);
            CHECK_UINT(coir__timers_fire(&timers, 5), (uintmax_t)count);
            stage_sit(false);
            for (int i = 0; i < count; i++)
                CHECK_INT(stage.ready[i], i);
            close_all();
        }
}

TEST(sched_timers, earlier_moments_go_off_first_however_many_are_due)
{
    for (int sits = 0; sits < 2; sits++) {
        struct random random = { 3 };
        bool used[STAGE_FIBERS] = { false };
        open_all();
        for (int armed = 0; armed < STAGE_FIBERS; ) {
            int number = (int)random_below(&random, STAGE_FIBERS);
            if (used[number])
                continue;
            used[number] = true;
            arm(number, number);                        /* in a random order */
            armed++;
        }
        stage_sit(sits);
        CHECK_UINT(coir__timers_fire(&timers, STAGE_FIBERS), STAGE_FIBERS);
        stage_sit(false);
        for (int i = 0; i < STAGE_FIBERS; i++)
            CHECK_INT(stage.ready[i], i);
        close_all();
    }
}

/* -------------------------------------------------------------------------------------------------- against a model */

struct model { int64_t due[STAGE_FIBERS]; uint64_t serial[STAGE_FIBERS]; bool is_armed[STAGE_FIBERS]; uint64_t serials; };

static int model_first(const struct model *model)
{
    int first = -1;
    for (int i = 0; i < STAGE_FIBERS; i++)
        if (model->is_armed[i] && (first < 0 || model->due[i] < model->due[first] ||
                                   (model->due[i] == model->due[first] && model->serial[i] < model->serial[first])))
            first = i;
    return first;
}

static void model_step(struct model *model, struct random *random, int64_t now)
{
    int number = (int)random_below(random, STAGE_FIBERS);
    uint32_t draw = random_below(random, 100);
    if (draw < 90 && !model->is_armed[number]) {
        model->due[number] = now + random_below(random, 40);
        model->serial[number] = model->serials++;
        model->is_armed[number] = true;
        arm(number, model->due[number]);
    } else if (draw < 60) {
        model->is_armed[number] = false;
        disarm(number);
    } else if (draw >= 90) {
        int before = atomic_load(&stage.ready_count) % STAGE_READY;
        uintmax_t fired = coir__timers_fire(&timers, now), expected = 0;
        for (int first; (first = model_first(model)) >= 0 && model->due[first] <= now; expected++) {
            CHECK_INT(stage.ready[before++ % STAGE_READY], first);
            CHECK_PTR(load_relaxed(&timer_list[first].home), NULL);
            model->is_armed[first] = false;
        }
        CHECK_UINT(fired, expected);
    }
    int first = model_first(model);
    CHECK_INT(timers_earliest(&timers), first < 0 ? INT64_MAX : model->due[first]);
}

TEST(sched_timers, do_what_a_sorted_list_does)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct model model = { .serials = 0 };
        struct random random = { seed };
        CASE("seed %llu", (unsigned long long)seed);
        open_all();
        for (int64_t step = 0; step < scaled(20000); step++)
            model_step(&model, &random, step / 4);
        for (int i = 0; i < STAGE_FIBERS; i++)
            if (model.is_armed[i])
                disarm(i);
        CHECK_INT(timers_earliest(&timers), INT64_MAX);
        close_all();
    }
}

TEST(sched_timers, invariants_hold_wherever_one_is_taken_out)
{
    for (int out = 0; out < STAGE_FIBERS; out++) {
        CASE("%d", out);
        open_all();
        for (int i = 0; i < STAGE_FIBERS; i++)
            arm(i, (i * 7919) % STAGE_FIBERS);
        disarm(out);
        CHECK_UINT(timers.count, STAGE_FIBERS - 1);
        for (size_t i = 0; i < timers.count; i++) {
            CHECK_UINT(timers.heap[i].timer->index, i);
            CHECK_PTR(load_relaxed(&timers.heap[i].timer->home), &timers);
            if (i > 0)
                CHECK(timers.heap[(i - 1) / 4].due <= timers.heap[i].due);
        }
        close_all();
    }
}

/* ----------------------------------------------------------------------------------------------- who comes too late */

TEST(sched_timers, disarming_what_has_gone_off_or_was_never_armed_does_nothing)
{
    open_all();
    arm(0, 1);
    arm(1, 2);
    CHECK_UINT(coir__timers_fire(&timers, 1), 1);
    coir__timers_disarm(&timer_list[0]);
    coir__timers_disarm(&(struct timer){ .due = 1 });
    CHECK_UINT(timers.count, 1);
    CHECK_UINT(coir__timers_fire(&timers, 2), 1);
    close_all();
}

/* Claimed by another, not yet disarmed: the timer goes off into the void. */
TEST(sched_timers, timer_of_a_wait_that_was_ended_wakes_nobody)
{
    open_all();
    arm(0, 1);
    arm(1, 1);
    CHECK_INT(wait_claim(&stage.fibers[0]->wait, wait_generation(&stage.fibers[0]->wait)), CLAIM_PARKED);
    CHECK_UINT(coir__timers_fire(&timers, 1), 1);
    CHECK_INT(atomic_load(&stage.readied[0]), 0);
    CHECK_INT(atomic_load(&stage.readied[1]), 1);
    close_all();
}

/* Its worker has not yet let go of it: it goes on by itself, and must not be put into a queue too. */
TEST(sched_timers, timer_that_goes_off_while_its_fiber_still_arms_lets_it_go_on)
{
    open_all();
    struct timer timer = { .due = 1, .fiber = stage.fibers[0], .by = CLAIMED_BY_WAKER };
    wait_begin(&stage.fibers[0]->wait);
    CHECK(coir__timers_arm(&timers, &timer));
    CHECK_UINT(coir__timers_fire(&timers, 1), 1);
    CHECK_INT(atomic_load(&stage.ready_count), 0);
    CHECK(!wait_let_go(&stage.fibers[0]->wait));
    close_all();
}

/* ------------------------------------------------------------------------------------------------------------ memory */

TEST_ALONE(sched_timers, without_memory_arming_fails_and_what_was_armed_stays)
{
    watch_memory();
    open_all();
    int armed = 0;
    atomic_store(&watched.left, 2);                     /* cells may hide the smallest sizes */
    for (bool ok = true; ok && armed < STAGE_FIBERS; armed += ok) {
        wait_parked(stage.fibers[armed]);
        timer_list[armed] = (struct timer){ .due = STAGE_FIBERS - armed, .fiber = stage.fibers[armed], .by = CLAIMED_BY_WAKER };
        ok = coir__timers_arm(&timers, &timer_list[armed]);
    }
    CHECK(armed > 0 && armed < STAGE_FIBERS);
    atomic_store(&watched.left, -1);
    CHECK_PTR(load_relaxed(&timer_list[armed].home), NULL);
    coir__timers_disarm(&timer_list[armed]);
    CHECK(coir__timers_arm(&timers, &timer_list[armed]));                   /* there is memory again */
    CHECK_UINT(coir__timers_fire(&timers, STAGE_FIBERS), (uintmax_t)armed + 1);
    for (int i = 0; i <= armed; i++)
        CHECK_INT(stage.ready[i], armed - i);
    close_all();
}

TEST_ALONE(sched_timers, memory_grows_with_the_most_that_slept_at_once_only)
{
    watch_memory();
    open_all();
    for (int i = 0; i < STAGE_FIBERS; i++)
        arm(i, i);
    CHECK_UINT(coir__timers_fire(&timers, STAGE_FIBERS), STAGE_FIBERS);
    long long before = atomic_load(&watched.bytes);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < STAGE_FIBERS; i++)
            arm(i, i);
        CHECK_UINT(coir__timers_fire(&timers, STAGE_FIBERS), STAGE_FIBERS);
    }
    CHECK_INT(atomic_load(&watched.bytes), before);
    close_all();
}

/* ---------------------------------------------------------------------------------------------------------- threads */

/*
 * One thread arms and, as if the wait had been canceled, disarms; another fires. Each wait is ended by one of them, and the memory of a
 * timer is used anew at once, as a frame's is.
 */
static atomic_bool over;

static void *fire_all_the_time(void *unused)
{
    (void)unused;
    while (!atomic_load(&over)) {
        coir__timers_fire(&timers, 1);
        sched_yield();
    }
    return NULL;
}

TEST(sched_timers, fired_by_one_thread_and_disarmed_by_another_each_wait_ends_once)
{
    pthread_t thread;
    struct random random = { 5 };
    int fired = 0, disarmed = 0;
    open_all();
    atomic_store(&over, false);
    CHECK_INT(pthread_create(&thread, NULL, fire_all_the_time, NULL), 0);
    for (int round = 0; round < scaled(20000) || fired == 0 || disarmed == 0; round++) {
        enum { AT_ONCE = 8 };
        int before[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++) {
            before[i] = atomic_load(&stage.readied[i]);
            arm(i, random_below(&random, 2));
        }
        for (uint32_t pause = random_below(&random, 300); pause > 0; pause--)
            cpu_pause();
        for (int i = 0; i < AT_ONCE; i++) {
            coir_fiber *fiber = stage.fibers[i];
            if (wait_claim(&fiber->wait, wait_generation(&fiber->wait)) == CLAIM_PARKED) {
                coir__timers_disarm(&timer_list[i]);
                CHECK_INT(atomic_load(&stage.readied[i]), before[i]);
                disarmed++;
            } else {
                CHECK_SOON(atomic_load(&stage.readied[i]) == before[i] + 1);
                fired++;
            }
            memset(&timer_list[i], 0xff, sizeof timer_list[i]);
        }
    }
    atomic_store(&over, true);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(atomic_load(&stage.ready_count), fired);
    CHECK_UINT(timers.count, 0);
    close_all();
}
