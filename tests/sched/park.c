/*
 * park.c - tests of parking: no wake-up is lost, wherever it falls, and a sleep with a bound ends
 */
#include "program.h"

#include "sched/park.h"

TEST(sched_park, wake_up_after_the_ticket_ends_the_wait_at_once)
{
    struct parking parking;
    park_init(&parking);
    for (int i = 0; i < 1000; i++) {
        uint32_t ticket = park_ticket(&parking);
        park_wake(&parking);
        coir__park_wait(&parking, ticket, INT64_MAX);   /* would sleep for ever */
        CHECK(park_ticket(&parking) != ticket);
    }
}

TEST(sched_park, bounded_wait_ends_when_it_is_due_and_not_before)
{
    struct parking parking;
    park_init(&parking);
    static const int64_t naps[] = { 1000, 20 * 1000, 1000 * 1000, 30 * 1000 * 1000 };
    for (size_t i = 0; i < sizeof naps / sizeof *naps; i++) {
        CASE("%lld ns", (long long)naps[i]);
        int64_t due = clock_monotonic() + naps[i];
        coir__park_wait(&parking, park_ticket(&parking), due);
        CHECK(clock_monotonic() >= due);
    }
}

TEST(sched_park, wait_until_a_past_moment_ends_at_once)
{
    struct parking parking;
    park_init(&parking);
    coir__park_wait(&parking, park_ticket(&parking), clock_monotonic() - 1);
    coir__park_wait(&parking, park_ticket(&parking), 0);
}

/* Two threads wake each other by turns: every lost wake-up would stop them for ever. */
static struct {
    struct parking parkings[2];
    atomic_int     turn;                                /* 0, 1, 0 ... */
    int            rounds;
} pair;

static void *player(void *me_)
{
    int me = *(const int *)me_;
    for (int round = 0; round < pair.rounds; round++) {
        for (;;) {
            uint32_t ticket = park_ticket(&pair.parkings[me]);
            if (atomic_load(&pair.turn) % 2 == me)
                break;
            coir__park_wait(&pair.parkings[me], ticket, INT64_MAX);
        }
        atomic_fetch_add(&pair.turn, 1);
        park_wake(&pair.parkings[1 - me]);
    }
    return NULL;
}

TEST(sched_park, two_threads_that_wake_each_other_never_lose_a_wake_up)
{
    static const int zero = 0, one = 1;
    pthread_t other;
    park_init(&pair.parkings[0]);
    park_init(&pair.parkings[1]);
    atomic_store(&pair.turn, 0);
    pair.rounds = scaled(100000);
    CHECK_INT(pthread_create(&other, NULL, player, (void *)(uintptr_t)&one), 0);
    player((void *)(uintptr_t)&zero);
    CHECK_INT(pthread_join(other, NULL), 0);
    CHECK_INT(atomic_load(&pair.turn), 2 * pair.rounds);
}

/* Several wake one: what each did is seen, by one wake-up or by many. */
static atomic_int work;
static struct parking sleeper;
static void *waker(void *unused)
{
    (void)unused;
    for (int i = 0; i < scaled(50000); i++) {
        atomic_fetch_add(&work, 1);
        park_wake(&sleeper);
    }
    return NULL;
}

TEST(sched_park, what_several_wakers_did_is_all_seen)
{
    pthread_t threads[3];
    park_init(&sleeper);
    atomic_store(&work, 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, waker, NULL), 0);
    for (int done = 0; done < 3 * scaled(50000); ) {
        uint32_t ticket = park_ticket(&sleeper);
        int now = atomic_load(&work);
        if (now == done)
            coir__park_wait(&sleeper, ticket, INT64_MAX);
        done = now;
    }
    for (int i = 0; i < 3; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
}
