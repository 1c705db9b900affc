/*
 * scopes.c - what it costs to keep promises: to give back, to call off, to be over in time, to wait for whoever was started
 */
#include "bench.h"

struct count { int64_t i, n; };

/* --------------------------------------------------------------------------------------------------------------- bracket */

static coir_io *use_held(void *env, const coir_value *held) { (void)env; return coir_pure(coir_int(held->i64 + 1)); }
static coir_io *give_back(void *env, coir_value *held, const coir_result *outcome)
{
    (void)env;
    (void)held;
    (void)outcome;
    return coir_unit();
}

static coir_io *bracket_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct count, my);
    while (my->i < my->n) {
        COIR_AWAIT(coir_bracket(coir_pure(coir_int(my->i)), use_held, give_back, NULL));
        my->i = self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->i));
    COIR_END;
}

static void bracket(struct bench *b)
{
    coir_io *io = coir_do(bracket_routine, COIR_ENV(struct count, .n = b->n));
    bench_check(bench_run(b, io) == b->n, "the loop counts to N");
}

/* ---------------------------------------------------------------------------------------------------------------- cancel */

static coir_io *cancel_it(void *env, coir_value *fiber)
{
    (void)env;
    return coir_then(coir_yield(), coir_cancel(coir_fiber_of(fiber)));
}

/* With a yield before, so that what is canceled is asleep. */
static coir_io *cancel_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct count, my);
    for (; my->i < my->n; my->i++)
        COIR_AWAIT(coir_flat_map(coir_fork(coir_sleep(coir_seconds(3600))), cancel_it, NULL));
    COIR_RETURN(coir_int(my->i));
    COIR_END;
}

static void cancel(struct bench *b)
{
    coir_io *io = coir_do(cancel_routine, COIR_ENV(struct count, .n = b->n));
    bench_check(bench_run(b, io) == b->n, "the loop counts to N");
}

/* --------------------------------------------------------------------------------------------------------------- timeout */

static coir_io *timeout_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct count, my);
    for (; my->i < my->n; my->i++)
        COIR_AWAIT(coir_timeout(coir_yield(), coir_seconds(3600)));
    COIR_RETURN(coir_int(my->i));
    COIR_END;
}

static void timeout(struct bench *b)
{
    coir_io *io = coir_do(timeout_routine, COIR_ENV(struct count, .n = b->n));
    bench_check(bench_run(b, io) == b->n, "the loop counts to N");
}

/* ----------------------------------------------------------------------------------------------------------- partraverse */

static coir_io *item(void *env, size_t index)
{
    (void)env;
    return coir_pure(coir_int((int64_t)index));
}

static coir_value sum_up(void *env, coir_value *values)
{
    int64_t sum = 0;
    (void)env;
    for (size_t i = 0; i < coir_list_size(values); i++)
        sum += coir_list_at(values, i)->i64;
    return coir_int(sum);
}

static void partraverse(struct bench *b)
{
    int64_t sum = bench_run(b, coir_map(coir_par_traverse(8, (size_t)b->n, item, NULL), sum_up, NULL));
    bench_check(sum == b->n * (b->n - 1) / 2, "the items add up");
}

const struct workload bench_scopes[] = {
    { .name = "bracket", .run = bracket, .n = 1000000, .quick_n = 1000000, .budget = { 60, 60 }, .goal = { 25, 25 },
      .what = "acquire, use, release, each trivial; N times" },
    { .name = "cancel", .run = cancel, .n = 1000000, .quick_n = 500000, .budget = { 200, 200 }, .goal = { 90, 90 },
      .what = "start a sleeper, cancel it, wait for its end; N times" },
    { .name = "timeout", .run = timeout, .n = 1000000, .quick_n = 1000000, .budget = { 80, 80 }, .goal = { 35, 35 },
      .what = "a yield within an hour; N times" },
    { .name = "partraverse", .run = partraverse, .n = 1000000, .quick_n = 1000000, .budget = { 100, 100 }, .goal = { 40, 40 },
      .what = "N trivial items, eight at a time, in one list" },
    { .name = NULL }
};
