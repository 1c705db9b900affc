/*
 * waits.c - what it costs to wait for each other: permits, a lock, and a million fibers that only wait
 */
#include "bench.h"

#include <stdatomic.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------------------------------------- semaphore */

enum { VISITORS = 10000, PERMITS = 5 };

struct room { coir_semaphore *permits; int64_t times; atomic_int inside, most; atomic_llong visits; };

static void enter(struct room *room)
{
    int inside = atomic_fetch_add(&room->inside, 1) + 1;
    if (inside > atomic_load(&room->most))
        atomic_store(&room->most, inside);
}

static void leave(struct room *room)
{
    atomic_fetch_add(&room->visits, 1);
    atomic_fetch_sub(&room->inside, 1);
}

struct visitor { struct room *room; int64_t visits; };

static coir_io *visitor_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct visitor, my);
    for (; my->visits < my->room->times; my->visits++) {
        COIR_AWAIT(coir_acquire(my->room->permits, 1));
        enter(my->room);
        COIR_AWAIT(coir_yield());
        leave(my->room);
        COIR_AWAIT(coir_release(my->room->permits, 1));
    }
    COIR_END;
}

static coir_io *fork_visitor(void *env, size_t index)
{
    (void)index;
    return coir_fork(coir_do(visitor_routine, COIR_ENV(struct visitor, .room = env)));
}

static void semaphore(struct bench *b)
{
    struct room room = { .times = b->n / VISITORS, .permits = coir_semaphore_new(PERMITS) };
    bench_run(b, bench_sum(coir_traverse(VISITORS, fork_visitor, &room)));
    coir_semaphore_drop(room.permits);
    bench_note(b, "most=%d", atomic_load(&room.most));
    bench_check(atomic_load(&room.most) <= PERMITS, "no more than five are inside");
    bench_check(atomic_load(&room.visits) == b->n, "each visit takes place");
}

/* ------------------------------------------------------------------------------------------------------------------ lock */

enum { COUNTERS = 1000 };

struct counter { coir_io *count; uint64_t times; int64_t total; };

static coir_result count_one(void *env)
{
    struct counter *counter = env;
    counter->total++;                           /* no atomic: the lock keeps the others out */
    return coir_ok(coir_none());
}

static coir_io *fork_counter(void *env, size_t index)
{
    struct counter *counter = env;
    (void)index;
    return coir_fork(coir_repeat(coir_io_ref(counter->count), counter->times));
}

static void lock(struct bench *b)
{
    struct counter counter = { .times = (uint64_t)b->n / COUNTERS };
    coir_lock     *held = coir_lock_new();
    counter.count = coir_with_lock(held, coir_defer(count_one, &counter));
    bench_run(b, bench_sum(coir_traverse(COUNTERS, fork_counter, &counter)));
    coir_io_drop(counter.count);
    coir_lock_drop(held);
    bench_check(counter.total == b->n, "no count is lost");
}

/* ---------------------------------------------------------------------------------------------------------------- parked */

struct crowd { coir_semaphore *gate; atomic_llong arrived; int64_t count; double bytes; };

static coir_result arrive(void *env)
{
    struct crowd *crowd = env;
    atomic_fetch_add_explicit(&crowd->arrived, 1, memory_order_relaxed);
    return coir_ok(coir_none());
}

static coir_io *waiter(struct crowd *crowd)
{
    return coir_then(coir_defer(arrive, crowd), coir_acquire(crowd->gate, 1));
}

struct opening { struct crowd *crowd; int64_t forked, kib_before; };

static coir_io *opening_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct opening, my);
    my->kib_before = bench_memory_kib("VmRSS");
    for (; my->forked < my->crowd->count; my->forked++)
        COIR_AWAIT(coir_fork(waiter(my->crowd)));
    while (atomic_load(&my->crowd->arrived) < my->crowd->count)
        COIR_AWAIT(coir_yield());
    COIR_AWAIT(coir_sleep(coir_ms(20)));        /* who arrived last may still be on its way into the queue */
    my->crowd->bytes = (double)(bench_memory_kib("VmRSS") - my->kib_before) * 1024 / (double)my->crowd->count;
    COIR_AWAIT(coir_release(my->crowd->gate, my->crowd->count));
    COIR_END;
}

/* The run ends when all have passed, so each of the permits has been taken. */
static void parked(struct bench *b)
{
    struct crowd crowd = { .count = b->n, .gate = coir_semaphore_new_bounded(0, b->n) };
    bench_run(b, coir_do(opening_routine, COIR_ENV(struct opening, .crowd = &crowd)));
    bench_note(b, "bytes_per_fiber=%.0f", crowd.bytes);
    bench_check(coir_semaphore_available(crowd.gate) == 0, "all have passed the gate");
    coir_semaphore_drop(crowd.gate);
}

const struct workload bench_waits[] = {
    { .name = "semaphore", .run = semaphore, .n = 1000000, .quick_n = 500000, .share = VISITORS, .budget = { 150, 200 },
      .goal = { 50, 60 }, .what = "10,000 fibers take 1 of 5 permits, yield, give it back; N / 10,000 times each" },
    { .name = "lock", .run = lock, .n = 1000000, .quick_n = 1000000, .share = COUNTERS, .budget = { 30, 60 },
      .goal = { 15, 25 }, .what = "1,000 fibers lock, count, unlock; N / 1,000 times each" },
    { .name = "parked", .run = parked, .n = 1000000, .quick_n = 1000000, .figure = "bytes_per_fiber",
      .budget = { 200, 200 }, .goal = { 96, 96 }, .what = "N fibers, forked in a loop without handles, wait at a gate, which then opens" },
    { .name = NULL }
};
