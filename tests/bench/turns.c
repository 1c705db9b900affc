/*
 * turns.c - what it costs to let others go first: one fiber that yields, and a thousand
 */
#include "bench.h"

struct turns { int64_t left, taken; };

static coir_io *turns_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct turns, my);
    for (; my->left > 0; my->left--) {
        COIR_AWAIT(coir_yield());
        my->taken++;
    }
    COIR_RETURN(coir_int(my->taken));
    COIR_END;
}

static coir_io *turns(int64_t count)
{
    return coir_do(turns_routine, COIR_ENV(struct turns, .left = count));
}

static void yield1(struct bench *b)
{
    bench_check(bench_run(b, turns(b->n)) == b->n, "it yields N times");
}

enum { YIELDERS = 1000 };

static coir_io *fork_yielder(void *env, size_t index)
{
    const struct bench *b = env;
    (void)index;
    return coir_fork(turns(b->n / YIELDERS));
}

static void yield1000(struct bench *b)
{
    bench_check(bench_run(b, bench_sum(coir_traverse(YIELDERS, fork_yielder, b))) == b->n, "they yield N times in all");
}

const struct workload bench_turns[] = {
    { .name = "yield1", .run = yield1, .n = 10000000, .quick_n = 2000000, .budget = { 18, 18 }, .goal = { 10, 10 },
      .what = "one fiber yields N times" },
    { .name = "yield1000", .run = yield1000, .n = 10000000, .quick_n = 2000000, .share = YIELDERS, .budget = { 18, 18 },
      .goal = { 10, 10 }, .what = "1,000 fibers yield N / 1,000 times each" },
    { .name = NULL }
};
