/*
 * async.c - callback handles under many threads: one caller wins, no wake-up is lost, late callers are harmless
 */
#include "fibers.h"

#include "base/random.h"

#include <sched.h>

/* ----------------------------------------------------------------------------------------- one wins, whoever comes first */

/* start() publishes its handle; threads that look at it all the time call it, and start() itself too, by turns. */
enum { CALLERS = 3 };
static struct {
    pthread_mutex_t lock;
    coir_callback   k;
    uint64_t        round;                              /* 0: none yet */
    atomic_bool     over;
    atomic_ullong   wins, refused;
} prize = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void call(coir_callback k, uint64_t round)
{
    atomic_fetch_add(coir_resume(k, coir_ok(coir_uint(round))) ? &prize.wins : &prize.refused, 1);
}

static void publish(void *env, void *op, coir_callback k)
{
    uint64_t *rounds = env;
    (void)op;
    pthread_mutex_lock(&prize.lock);
    prize.k = k;
    uint64_t round = prize.round = ++*rounds;
    pthread_mutex_unlock(&prize.lock);
    for (uint64_t pause = round % 50; pause > 0; pause--)
        cpu_pause();
    if (round % 3 != 0)
        call(k, round);
}
static const coir_async_type prize_type = { .start = publish };

static void *caller(void *unused)
{
    (void)unused;
    for (uint64_t last = 0; !atomic_load(&prize.over); ) {
        pthread_mutex_lock(&prize.lock);
        coir_callback k = prize.k;
        uint64_t round = prize.round;
        pthread_mutex_unlock(&prize.lock);
        if (round == last) {
            sched_yield();
            continue;
        }
        last = round;
        call(k, round);
        call(k, round);                                 /* once more, perhaps when its slot serves the next */
    }
    return NULL;
}

TEST_WITH_TIMEOUT(stress_async, of_all_who_call_at_the_same_moment_exactly_one_wins, 1200)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        pthread_t threads[CALLERS];
        uint64_t rounds = 0, count = (uint64_t)scaled(300000);
        prize.round = 0;
        atomic_store(&prize.over, false);
        atomic_store(&prize.wins, 0);
        atomic_store(&prize.refused, 0);
        uint64_t before = coir_counters_now().resumes_refused;
        for (int i = 0; i < CALLERS; i++)
            CHECK_INT(pthread_create(&threads[i], NULL, caller, NULL), 0);
        coir_result result = run(workers, coir_repeat(coir_async(&prize_type, &rounds), count));
        CHECK_TAG(result, COIR_OK);
        CHECK_UINT(result.value.u64, count);
        atomic_store(&prize.over, true);
        for (int i = 0; i < CALLERS; i++)
            CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_UINT(atomic_load(&prize.wins), count);
        CHECK_UINT(coir_counters_now().resumes_refused - before, atomic_load(&prize.refused));
        CHECK(atomic_load(&prize.refused) > 0);
    }
}

/* ------------------------------------------------------------------------------------------------ no wake-up is lost */

/* Threads that resume what they are handed, and keep the last handles in order to call them again, in vain. */
enum { HALL_ROOM = 4096, OLD = 64 };
static struct {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    coir_callback   waiting[HALL_ROOM];
    size_t          count;
    bool            over;
} hall = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void enter_hall(void *env, void *op, coir_callback k)
{
    (void)env;
    *(uint64_t *)op = k.ticket;
    pthread_mutex_lock(&hall.lock);
    hall.waiting[hall.count++] = k;
    pthread_cond_signal(&hall.changed);
    pthread_mutex_unlock(&hall.lock);
}
static const coir_async_type hall_type = { .op_size = sizeof(uint64_t), .start = enter_hall };

static void *usher(void *seed)
{
    struct random random = { *(const uint64_t *)seed };
    coir_callback old[OLD] = { { 0 } };
    pthread_mutex_lock(&hall.lock);
    for (size_t turn = 0; !hall.over || hall.count > 0; turn++) {
        if (hall.count == 0) {
            pthread_cond_wait(&hall.changed, &hall.lock);
            continue;
        }
        size_t which = random_below(&random, (uint32_t)hall.count);
        coir_callback k = hall.waiting[which];
        hall.waiting[which] = hall.waiting[--hall.count];
        pthread_mutex_unlock(&hall.lock);
        CHECK(coir_resume(k, coir_ok(coir_none())));
        coir_callback late = old[turn % OLD];
        old[turn % OLD] = k;
        if (random_below(&random, 4) == 0)
            CHECK(!coir_resume(late, coir_ok(coir_none())));
        pthread_mutex_lock(&hall.lock);
    }
    pthread_mutex_unlock(&hall.lock);
    return NULL;
}

static void round_trips(size_t at_once, uint64_t count)
{
    static const uint64_t seeds[] = { 1, 2, 3 };
    FOR_WORKERS(workers, 1, 2, 4) {
        pthread_t threads[3];
        CASE("%zu at once", at_once);
        hall.over = false;
        for (int i = 0; i < 3; i++)
            CHECK_INT(pthread_create(&threads[i], NULL, usher, (void *)(uintptr_t)&seeds[i]), 0);
        coir_io *fiber = coir_repeat(coir_async(&hall_type, NULL), count / at_once);
        coir_result result = run(workers, coir_flat_map(copies_of(at_once, fiber), wait_it, NULL));
        CHECK_INT(how_many_are(&result.value, COIR_OK), (intmax_t)at_once);
        coir_result_drop(&result);
        pthread_mutex_lock(&hall.lock);
        hall.over = true;
        pthread_cond_broadcast(&hall.changed);
        pthread_mutex_unlock(&hall.lock);
        for (int i = 0; i < 3; i++)
            CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
}

TEST_WITH_TIMEOUT(stress_async, million_round_trips_of_one_fiber_lose_no_wake_up, 1200) { round_trips(1, (uint64_t)scaled(400000)); }
TEST_WITH_TIMEOUT(stress_async, million_round_trips_of_a_few_fibers_lose_no_wake_up, 1200) { round_trips(7, (uint64_t)scaled(400000)); }
TEST_WITH_TIMEOUT(stress_async, million_round_trips_of_thousands_of_fibers_lose_no_wake_up, 1200)
{
    round_trips(4000, (uint64_t)scaled(2000000));
}
