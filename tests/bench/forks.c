/*
 * forks.c - what a fiber costs from fork to join: in bulk, one at a time, in trees
 */
#include "bench.h"

#include <stdlib.h>

static coir_result number_fn(void *env)
{
    const int64_t *i = env;
    return coir_ok(coir_int(*i));
}

/* The trivial fiber: it calls one function, which gives i. */
static coir_io *number(int64_t i)
{
    return coir_defer_copy(number_fn, &i, sizeof i);
}

static int64_t sum_below(int64_t n)
{
    return n * (n - 1) / 2;
}

/* -------------------------------------------------------------------------------------------------- spawnjoin, spawnjoin1 */

struct crowd { int64_t i, n, sum; coir_value *fibers; };

static coir_io *crowd_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct crowd, my);
    for (; my->i < my->n; my->i++) {
        COIR_AWAIT(coir_fork(number(my->i)));
        my->fibers[my->i] = coir_take(&self->result.value);
    }
    for (my->i = 0; my->i < my->n; my->i++) {
        COIR_AWAIT(coir_join(coir_fiber_of(&my->fibers[my->i])));
        my->sum += self->result.value.i64;
        coir_drop(my->fibers[my->i]);
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static void spawnjoin(struct bench *b)
{
    coir_value *fibers = malloc((size_t)b->n * sizeof *fibers);
    bench_check(fibers != NULL, "there is memory for the handles");
    coir_io *io = coir_do(crowd_routine, COIR_ENV(struct crowd, .n = b->n, .fibers = fibers));
    bench_check(bench_run(b, io) == sum_below(b->n), "the fibers' values add up");
    free(fibers);
}

struct one_by_one { int64_t i, n, sum; };

static coir_io *join_it(void *env, coir_value *fiber)
{
    (void)env;
    return coir_join(coir_fiber_of(fiber));
}

static coir_io *one_by_one_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct one_by_one, my);
    for (; my->i < my->n; my->i++) {
        COIR_AWAIT(coir_flat_map(coir_fork(number(my->i)), join_it, NULL));
        my->sum += self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static void spawnjoin1(struct bench *b)
{
    coir_io *io = coir_do(one_by_one_routine, COIR_ENV(struct one_by_one, .n = b->n));
    bench_check(bench_run(b, io) == sum_below(b->n), "the fibers' values add up");
}

/* ---------------------------------------------------------------------------------------------------------------- skynet */

enum { CHILDREN = 10 };

struct range { int64_t first, count; };

static coir_io *skynet_io(int64_t first, int64_t count);

static coir_io *split_or_give(void *env)
{
    const struct range *range = env;
    coir_io *children[CHILDREN];
    int64_t  count = range->count / CHILDREN;
    if (range->count == 1)
        return coir_pure(coir_int(range->first));
    for (int i = 0; i < CHILDREN; i++)
        children[i] = skynet_io(range->first + i * count, count);
    return bench_sum(coir_parallel(CHILDREN, children));
}

static coir_io *skynet_io(int64_t first, int64_t count)
{
    return coir_suspend_copy(split_or_give, COIR_ENV(struct range, .first = first, .count = count));
}

static void skynet(struct bench *b)
{
    int64_t leaves = 1;
    while (leaves <= b->n / CHILDREN)
        leaves *= CHILDREN;
    b->ops = leaves;
    bench_check(bench_run(b, skynet_io(0, leaves)) == sum_below(leaves), "the leaves add up");
}

/* ------------------------------------------------------------------------------------------------------------------- fib */

struct fib { int64_t n, sum; coir_value left; };

static coir_io *fib_routine(coir_routine *self);

static coir_io *fib_io(int64_t n)
{
    return coir_do(fib_routine, COIR_ENV(struct fib, .n = n));
}

static coir_io *fib_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct fib, my);
    if (my->n < 2)
        COIR_RETURN(coir_int(my->n));
    COIR_AWAIT(coir_fork(fib_io(my->n - 1)));
    my->left = coir_take(&self->result.value);
    COIR_AWAIT(fib_io(my->n - 2));
    my->sum = self->result.value.i64;
    COIR_AWAIT(coir_join(coir_fiber_of(&my->left)));
    my->sum += self->result.value.i64;
    coir_drop(my->left);
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static void fib(struct bench *b)
{
    int64_t value = 0, next = 1, calls = 1, next_calls = 1;     /* of fib(0) and fib(1) */
    for (int64_t i = 0; i < b->n; i++) {
        int64_t value_after = value + next, calls_after = calls + next_calls + 1;
        value = next, next = value_after;
        calls = next_calls, next_calls = calls_after;
    }
    b->ops = calls;
    bench_check(bench_run(b, fib_io(b->n)) == value, "fib(N) is right");
}

/* --------------------------------------------------------------------------------------------------------------- nqueens */

enum { QUEENS_MAX = 12, FIBERS_MIN = 200000 };

/* Which columns are taken, and which of the next row are threatened along the two diagonals. */
struct board { uint32_t size, columns, falling, rising; };

static uint32_t free_columns(const struct board *board)
{
    return ~(board->columns | board->falling | board->rising) & ((1u << board->size) - 1);
}

static struct board with_queen(const struct board *board, uint32_t column)
{
    return (struct board){ .size = board->size, .columns = board->columns | column,
                           .falling = (board->falling | column) << 1, .rising = (board->rising | column) >> 1 };
}

static bool is_full(const struct board *board)
{
    return board->columns == (1u << board->size) - 1;
}

struct queens { struct board board; int64_t placements; uint32_t left, count; coir_fiber *moves[QUEENS_MAX]; };

static coir_io *queens_routine(coir_routine *self);

static coir_io *count_placements(const struct board *board)
{
    uint32_t left = free_columns(board);
    if (left == 0)
        return coir_pure(coir_int(is_full(board)));
    return coir_do(queens_routine, COIR_ENV(struct queens, .board = *board, .left = left));
}

static coir_io *queens_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct queens, my);
    for (; my->left; my->left &= my->left - 1) {
        struct board next = with_queen(&my->board, my->left & -my->left);
        COIR_AWAIT(coir_fork(count_placements(&next)));
        my->moves[my->count++] = coir_fiber_ref(coir_fiber_of(&self->result.value));
    }
    while (my->count > 0) {
        COIR_AWAIT(coir_join(my->moves[--my->count]));
        my->placements += self->result.value.i64;
        coir_fiber_drop(my->moves[my->count]);
    }
    COIR_RETURN(coir_int(my->placements));
    COIR_END;
}

/* The same without fibers: counts the placements, and the moves that the fibers are forked for. */
static int64_t count_plainly(const struct board *board, int64_t *moves)
{
    int64_t placements = is_full(board);
    for (uint32_t left = free_columns(board); left; left &= left - 1) {
        struct board next = with_queen(board, left & -left);
        ++*moves;
        placements += count_plainly(&next, moves);
    }
    return placements;
}

struct matches { struct board board; int64_t left, sum; };

static coir_io *matches_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct matches, my);
    for (; my->left > 0; my->left--) {
        COIR_AWAIT(count_placements(&my->board));
        my->sum += self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

/* One count for N = 8 takes less time than a thread takes to start, so it is repeated. */
static void nqueens(struct bench *b)
{
    struct board board = { .size = (uint32_t)b->n };
    int64_t moves = 0, placements = count_plainly(&board, &moves), rounds = FIBERS_MIN / moves + 1;
    coir_io *io = coir_do(matches_routine, COIR_ENV(struct matches, .board = board, .left = rounds));
    b->ops = rounds * moves;
    bench_note(b, "placements=%lld rounds=%lld", (long long)placements, (long long)rounds);
    bench_check(bench_run(b, io) == rounds * placements, "every placement is counted");
}

const struct workload bench_forks[] = {
    { .name = "spawnjoin", .run = spawnjoin, .n = 1000000, .quick_n = 1000000, .budget = { 150, 150 }, .goal = { 70, 60 },
      .what = "N trivial fibers, started at once, all waited for, summed" },
    { .name = "spawnjoin1", .run = spawnjoin1, .n = 1000000, .quick_n = 500000, .budget = { 90, 100 }, .goal = { 30, 40 },
      .what = "start a trivial fiber, wait for it; N times" },
    { .name = "skynet", .run = skynet, .n = 1000000, .quick_n = 1000000, .budget = { 80, 50 }, .goal = { 30, 16 },
      .what = "a tree of fibers, ten children each, N leaves; sums" },
    { .name = "fib", .run = fib, .n = 27, .quick_n = 25, .n_max = 60, .budget = { 60, 35 }, .goal = { 25, 13 },
      .what = "fork fib(N - 1), compute fib(N - 2), wait; no cut-off" },
    { .name = "nqueens", .run = nqueens, .n = 8, .quick_n = 8, .n_max = QUEENS_MAX, .budget = { 60, 35 }, .goal = { 25, 13 },
      .what = "count the placements of N queens with a fiber for each legal next move" },
    { .name = NULL }
};
