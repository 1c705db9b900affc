/*
 * turns.c - what it costs to let others go first: one fiber that yields, and a thousand
 */
#include "bench.h"

enum { YIELDERS = 1000 };

/* One for each fiber, on a cache line of its own. */
struct turns { _Alignas(64) int64_t left; };

static bool is_not_last(void *env, const coir_value *value)
{
    struct turns *turns = env;
    (void)value;
    return --turns->left > 0;
}

static void yield1(struct bench *b)
{
    struct turns turns = { .left = b->n };
    bench_run(b, coir_while(coir_yield(), is_not_last, &turns));
    bench_check(turns.left == 0, "it yields N times");
}

static coir_io *fork_yielder(void *env, size_t index)
{
    struct turns *turns = env;
    return coir_fork(coir_while(coir_yield(), is_not_last, &turns[index]));
}

static void yield1000(struct bench *b)
{
    static struct turns turns[YIELDERS];
    int64_t left = 0;
    for (int i = 0; i < YIELDERS; i++)
        turns[i].left = b->n / YIELDERS;
    bench_run(b, bench_sum(coir_traverse(YIELDERS, fork_yielder, turns)));
    for (int i = 0; i < YIELDERS; i++)
        left += turns[i].left;
    bench_check(left == 0, "each yields N / 1,000 times");
}

const struct workload bench_turns[] = {
    { .name = "yield1", .run = yield1, .n = 10000000, .quick_n = 2000000, .budget = { 18, 18 }, .goal = { 10, 10 },
      .what = "one fiber yields N times" },
    { .name = "yield1000", .run = yield1000, .n = 10000000, .quick_n = 2000000, .share = YIELDERS, .budget = { 18, 18 },
      .goal = { 10, 10 }, .what = "1,000 fibers yield N / 1,000 times each" },
    { .name = NULL }
};
