/*
 * time.c - how late sleepers wake, at rest, in a crowd and beside work; and what rest costs
 */
#include "bench.h"

#include <stdatomic.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double percentile(const double *sorted, size_t count, int percent)
{
    return sorted[(count - 1) * (size_t)percent / 100];
}

/* Sorts them. Nobody may have woken early. */
static void sort_lateness(double *late_us, size_t count)
{
    qsort(late_us, count, sizeof *late_us, ascending);
    bench_check(late_us[0] >= 0, "nobody wakes early");
}

static double *new_figures(int64_t count)
{
    double *figures = malloc((size_t)count * sizeof *figures);
    bench_check(figures != NULL, "there is memory for the figures");
    for (int64_t i = 0; i < count; i++)
        figures[i] = -1;                        /* in place of one that never came: fails as too early */
    return figures;
}

/* ------------------------------------------------------------------------------------------------------------- sleepers */

struct nap { int64_t due_ns; double *late_us; };

static coir_value wake(void *env, coir_value *value)
{
    const struct nap *nap = env;
    (void)value;
    *nap->late_us = (double)(bench_now_ns() - nap->due_ns) * 1e-3;
    return coir_none();
}

struct bed { int64_t delay_ns; double *late_us; };

static coir_io *fall_asleep(void *env)
{
    const struct bed *bed = env;
    coir_io *sleep = coir_sleep(coir_ns(bed->delay_ns));
    return coir_map_copy(sleep, wake, COIR_ENV(struct nap, bench_now_ns() + bed->delay_ns, bed->late_us));
}

struct dormitory { int64_t i, n; uint64_t seed; double *late_us; };

static coir_io *dormitory_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct dormitory, my);
    for (; my->i < my->n; my->i++) {
        struct bed bed = { (int64_t)(bench_random(&my->seed) % 1000000) * 1000, &my->late_us[my->i] };
        COIR_AWAIT(coir_fork(coir_suspend_copy(fall_asleep, &bed, sizeof bed)));
    }
    COIR_END;
}

/* Nobody keeps the handles: the run ends when all have woken. */
static void sleepers(struct bench *b)
{
    size_t  count = (size_t)b->n;
    double *late_us = new_figures(b->n), sum = 0;
    bench_run(b, coir_do(dormitory_routine,
                         COIR_ENV(struct dormitory, .n = b->n, .seed = 88172645463325252u, .late_us = late_us)));
    sort_lateness(late_us, count);
    for (size_t i = 0; i < count; i++)
        sum += late_us[i];
    bench_note(b, "mean_late_us=%.0f p99_late_us=%.0f max_late_us=%.0f", sum / (double)count,
               percentile(late_us, count, 99), percentile(late_us, count, 100));
    free(late_us);
}

/* ----------------------------------------------------------------------------------------------------------------- idle */

static void idle(struct bench *b)
{
    bench_run(b, coir_sleep(coir_seconds(b->n)));
    b->ops = 1;
    bench_check(b->seconds >= (double)b->n, "it sleeps for N seconds");
    bench_note(b, "cpu_ms=%.2f", b->cpu_seconds * 1e3);
}

/* --------------------------------------------------------------------------------------------------------------- ticker */

enum { SLICE_NS = 37000, TICK_NS = 1000000, JITTER_NS = 100000 };

struct ticker { int64_t ticks; double *late_us; atomic_bool is_over; atomic_llong slices; };

static coir_result slice(void *env)
{
    struct ticker *ticker = env;
    int64_t end_ns = bench_now_ns() + SLICE_NS;
    while (bench_now_ns() < end_ns)
        ;
    atomic_fetch_add_explicit(&ticker->slices, 1, memory_order_relaxed);
    return coir_ok(coir_none());
}

static bool goes_on(void *env, const coir_value *value)
{
    struct ticker *ticker = env;
    (void)value;
    return !atomic_load(&ticker->is_over);
}

static coir_io *fork_computation(void *env, size_t index)
{
    (void)index;
    return coir_fork(coir_while(coir_then(coir_defer(slice, env), coir_yield()), goes_on, env));
}

struct ticks { struct ticker *ticker; int64_t i, due_ns; uint64_t seed; };

/* The pseudo-random part keeps the ticks from falling into step with the slices. */
static coir_io *ticks_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct ticks, my);
    for (; my->i < my->ticker->ticks; my->i++) {
        int64_t delay_ns = TICK_NS + (int64_t)(bench_random(&my->seed) % JITTER_NS);
        my->due_ns = bench_now_ns() + delay_ns;
        COIR_AWAIT(coir_sleep(coir_ns(delay_ns)));
        my->ticker->late_us[my->i] = (double)(bench_now_ns() - my->due_ns) * 1e-3;
    }
    atomic_store(&my->ticker->is_over, true);
    COIR_END;
}

static void ticker(struct bench *b)
{
    size_t        count = (size_t)b->n;
    struct ticker ticker = { .ticks = b->n, .late_us = new_figures(b->n) };
    coir_io *computations = coir_traverse(2 * b->workers, fork_computation, &ticker);
    coir_io *ticks = coir_do(ticks_routine, COIR_ENV(struct ticks, .ticker = &ticker, .seed = 88172645463325252u));
    bench_run(b, coir_then(computations, ticks));
    sort_lateness(ticker.late_us, count);
    bench_note(b, "p50_late_us=%.0f p99_late_us=%.0f max_late_us=%.0f slices=%lld", percentile(ticker.late_us, count, 50),
               percentile(ticker.late_us, count, 99), percentile(ticker.late_us, count, 100), atomic_load(&ticker.slices));
    free(ticker.late_us);
}

const struct workload bench_time[] = {
    { .name = "sleepers", .run = sleepers, .n = 1000000, .quick_n = 1000000, .figure = "mean_late_us",
      .budget = { 20000, 20000 }, .goal = { 2000, 2000 }, .what = "N fibers sleep a pseudo-random time below a second" },
    { .name = "idle", .run = idle, .n = 5, .quick_n = 1, .figure = "cpu_ms", .budget = { 1, 1 }, .goal = { 0.2, 0.2 },
      .what = "one fiber is asleep for N seconds" },
    { .name = "ticker", .run = ticker, .n = 2000, .quick_n = 1000, .figure = "p99_late_us", .budget = { 120, 120 },
      .goal = { 60, 60 }, .what = "one fiber sleeps 1 ms and a bit, N times, while 2 x WORKERS fibers compute in slices of 37 us" },
    { .name = NULL }
};
