/*
 * deque.c - hundreds of millions of entries through one deque, and each is taken exactly once
 *
 * An entry is a number. What the owner and the thieves took is compared by count and by three sums, which two mistakes do not leave alone
 * but by a miracle.
 */
#include "check.h"

#include "base/random.h"
#include "sched/deque.h"

#include <pthread.h>

static struct deque deque;
static atomic_bool over;

struct tally { LINE_ALIGNED uint64_t count, sum, squares, mixed; };

static void add(struct tally *tally, uintptr_t entry)
{
    tally->count++;
    tally->sum += entry;
    tally->squares += (uint64_t)entry * entry;
    tally->mixed += random_next(&(struct random){ entry });
}

static void add_all(struct tally *tally, const struct tally *other)
{
    tally->count += other->count;
    tally->sum += other->sum;
    tally->squares += other->squares;
    tally->mixed += other->mixed;
}

static void *thief(void *tally)
{
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        coir_fiber *fiber = deque_steal(&deque);
        if (fiber != NULL)
            add(tally, (uintptr_t)fiber);
    }
    return NULL;
}

static void play(unsigned thieves, uint32_t depth, uintptr_t entries)
{
    pthread_t threads[3];
    struct tally stolen[3] = { 0 }, pushed = { 0 }, taken = { 0 };
    struct random random = { depth };
    CASE("%u thieves, depth %u", thieves, (unsigned)depth);
    deque = (struct deque){ .top = 0 };
    atomic_store(&over, false);
    for (unsigned i = 0; i < thieves; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, thief, &stolen[i]), 0);
    for (uintptr_t next = 1; next <= entries; ) {
        uint32_t pushes = 1 + random_below(&random, depth), pops = 1 + random_below(&random, depth);
        for (; pushes > 0 && next <= entries && deque_push(&deque, (coir_fiber *)next); pushes--)
            add(&pushed, next++);
        for (coir_fiber *fiber; pops > 0 && (fiber = deque_pop(&deque)) != NULL; pops--)
            add(&taken, (uintptr_t)fiber);
    }
    for (coir_fiber *fiber; (fiber = deque_pop(&deque)) != NULL; )
        add(&taken, (uintptr_t)fiber);
    atomic_store(&over, true);
    for (unsigned i = 0; i < thieves; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        add_all(&taken, &stolen[i]);
    }
    CHECK_UINT(taken.count, pushed.count);
    CHECK_UINT(taken.sum, pushed.sum);
    CHECK_UINT(taken.squares, pushed.squares);
    CHECK_UINT(taken.mixed, pushed.mixed);
}

TEST_WITH_TIMEOUT(stress_deque, each_of_hundreds_of_millions_is_taken_exactly_once, 1200)
{
    for (unsigned thieves = 1; thieves <= 3; thieves++)
        for (uint32_t depth = 1; depth <= 2048; depth *= 8)
            play(thieves, depth, (uintptr_t)scaled(20000000));
}
