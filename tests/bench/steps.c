/*
 * steps.c - what one step of a program costs: bind, maps, failures, sequential notation, an io that many fibers share
 */
#include "bench.h"

#include <stdlib.h>

/* The step of most loops here: one more than *env. */
static coir_result one_more(void *env)
{
    const int64_t *i = env;
    return coir_ok(coir_int(*i + 1));
}

static coir_value add_one(void *env, coir_value *i)
{
    (void)env;
    return coir_int(i->i64 + 1);
}

/* ------------------------------------------------------------------------------------------------------- bind, leftbind */

/* loop(i) = i == n ? pure(i) : defer(i + 1) >>= loop */
static coir_io *loop(void *env, coir_value *i)
{
    if (i->i64 == *(const int64_t *)env)
        return coir_pure(*i);
    return coir_flat_map(coir_defer_copy(one_more, &i->i64, sizeof i->i64), loop, env);
}

static void bind(struct bench *b)
{
    bench_check(bench_run(b, coir_call(coir_int(0), loop, &b->n)) == b->n, "the loop counts to N");
}

static coir_io *pure_one_more(void *env, coir_value *i)
{
    (void)env;
    return coir_pure(coir_int(i->i64 + 1));
}

static coir_io *build_to_the_left(void *env)
{
    const struct bench *b = env;
    coir_io *io = coir_pure(coir_int(0));
    for (int64_t i = 0; i < b->n; i++)
        io = coir_flat_map(io, pure_one_more, NULL);
    return io;
}

static void leftbind(struct bench *b)
{
    bench_check(bench_run(b, coir_suspend(build_to_the_left, b)) == b->n, "each of N binds adds one");
}

/* --------------------------------------------------------------------------------------------- map120, attempt, do */

enum { MAPS = 120 };

static coir_io *maps(int count)
{
    coir_io *io = coir_pure(coir_int(0));
    for (int i = 0; i < count; i++)
        io = coir_map(io, add_one, NULL);
    return io;
}

struct rounds { int64_t count, done, sum; };

static coir_io *map120_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct rounds, my);
    for (; my->done < my->count; my->done++) {
        COIR_AWAIT(maps(MAPS));
        my->sum += self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static void map120(struct bench *b)
{
    coir_io *io = coir_do(map120_routine, COIR_ENV(struct rounds, .count = b->n / MAPS));
    bench_check(bench_run(b, io) == b->n, "the maps add up to N");
}

/* Who catches an error raises the next. */
static coir_io *raise_next(void *env, coir_value *i)
{
    if (i->i64 == *(const int64_t *)env)
        return coir_pure(*i);
    return coir_catch(coir_fail(coir_int(i->i64 + 1)), raise_next, env);
}

static void attempt(struct bench *b)
{
    coir_io *io = coir_catch(coir_fail(coir_int(0)), raise_next, &b->n);
    bench_check(bench_run(b, io) == b->n, "N errors were caught");
}

struct count { int64_t i, n; };

static coir_io *do_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct count, my);
    while (my->i < my->n) {
        COIR_AWAIT(coir_defer(one_more, &my->i));
        my->i = self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->i));
    COIR_END;
}

static void sequential(struct bench *b)
{
    coir_io *io = coir_do(do_routine, COIR_ENV(struct count, .n = b->n));
    bench_check(bench_run(b, io) == b->n, "the loop counts to N");
}

/* ---------------------------------------------------------------------------------------------------------------- shared */

enum { SHARERS = 1000, SHARED_STEPS = 10 };

/* One for each fiber, on a cache line of its own. */
struct tally { _Alignas(64) int64_t rounds_left; int64_t sum; };

struct shared { coir_io *steps; struct tally tallies[SHARERS]; };

static bool tally_round(void *env, const coir_value *value)
{
    struct tally *tally = env;
    tally->sum += value->i64;
    return --tally->rounds_left > 0;
}

static coir_io *fork_sharer(void *env, size_t index)
{
    struct shared *shared = env;
    return coir_fork(coir_while(coir_io_ref(shared->steps), tally_round, &shared->tallies[index]));
}

static void shared_io(struct bench *b)
{
    static struct shared shared;
    int64_t sum = 0;
    for (int i = 0; i < SHARERS; i++)
        shared.tallies[i].rounds_left = b->n / (SHARERS * SHARED_STEPS);
    shared.steps = maps(SHARED_STEPS);
    bench_run(b, bench_sum(coir_traverse(SHARERS, fork_sharer, &shared)));
    for (int i = 0; i < SHARERS; i++)
        sum += shared.tallies[i].sum;
    coir_io_drop(shared.steps);
    bench_check(sum == b->n, "the steps add up to N");
}

const struct workload bench_steps[] = {
    { .name = "bind", .run = bind, .n = 10000000, .quick_n = 2000000, .budget = { 12, 12 }, .goal = { 6, 6 },
      .what = "loop(i) = i == N ? pure(i) : defer(i + 1) >>= loop" },
    { .name = "leftbind", .run = leftbind, .n = 1000000, .quick_n = 1000000, .budget = { 40, 40 }, .goal = { 20, 20 },
      .what = "build pure(0) >>= f >>= f ... N deep to the left, and run it" },
    { .name = "map120", .run = map120, .n = 12000000, .quick_n = 2400000, .share = MAPS, .budget = { 8, 8 }, .goal = { 4, 4 },
      .what = "build 120 maps over a pure, run them; until N maps ran" },
    { .name = "attempt", .run = attempt, .n = 1000000, .quick_n = 1000000, .budget = { 25, 25 }, .goal = { 12, 12 },
      .what = "raise, catch, go on; N times" },
    { .name = "do", .run = sequential, .n = 10000000, .quick_n = 2000000, .budget = { 12, 12 }, .goal = { 6, 6 },
      .what = "the loop of bind in sequential notation" },
    { .name = "shared", .run = shared_io, .n = 10000000, .quick_n = 10000000, .share = SHARERS * SHARED_STEPS,
      .budget = { 15, 10 }, .goal = { 8, 5 },
      .what = "1,000 fibers run one shared io of ten steps N / 10,000 times each" },
    { .name = NULL }
};
