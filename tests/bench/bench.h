/*
 * bench.h - what the families of workloads share: the table's row, the run under the clock, the line that is printed
 *
 *     static void yield1(struct bench *b)
 *     {
 *         bench_run(b, coir_repeat(coir_yield(), (uint64_t)b->n));
 *     }
 *     const struct workload bench_turns[] = { { .name = "yield1", .run = yield1, .n = 10000000, ... }, { .name = NULL } };
 *
 * A workload is run once in a process, so that neither caches nor peaks of memory tell of the one before.
 */
#ifndef BENCH_H
#define BENCH_H

#include <coir.h>

struct bench {
    int64_t  n;                 /* as asked for, rounded down to a whole number of shares */
    unsigned workers;
    double   seconds;           /* wall time of the run, set by bench_run(), or bench_begin() and bench_end() */
    double   cpu_seconds;       /* processor time of the whole process meanwhile */
    int64_t  ops;               /* what ns_per_op divides by: n, unless the workload says otherwise */
    char     note[160];         /* further key=value pairs of the line */
};

struct workload {
    const char *name;           /* NULL ends a family */
    const char *what;           /* for the list: what is done */
    void      (*run)(struct bench *b);
    int64_t     n, quick_n;     /* by default; in the table */
    int64_t     share;          /* n is a multiple of it: how many fibers divide the work among them; 0: any n will do */
    int64_t     n_max;          /* 0: none */
    const char *figure;         /* the key that the budget is about; NULL: ns_per_op */
    double      budget[2];      /* at 1 and 2 workers: what must be reached, */
    double      goal[2];        /* and what is hoped for; 0: nothing is said */
};

extern const struct workload bench_steps[], bench_turns[], bench_forks[], bench_waits[], bench_scopes[], bench_calls[], bench_time[], bench_sim[], bench_channels[];

/* bench_run: runs io on b's workers under the clock. Gives its value, which must be plain; any failure ends the process with 1. */
int64_t bench_run(struct bench *b, coir_io *io);
/* bench_begin, bench_end: around the work of a workload that is no such run: the clock. */
void    bench_begin(void);
void    bench_end(struct bench *b);
/* bench_check: the workload's own check of its answer: if it does not hold, says so and ends the process with 1. */
void    bench_check(bool holds, const char *claim);
/* bench_note: adds key=value pairs to the line. */
void    bench_note(struct bench *b, const char *format, ...) COIR_PRINTF(2, 3);

/* bench_sum: io gives a list of fibers; waits for all of them and gives the sum of their values. */
coir_io *bench_sum(coir_io *fibers);

int64_t  bench_now_ns(void);                    /* CLOCK_MONOTONIC */
int64_t  bench_memory_kib(const char *key);     /* a line of /proc/self/status: "VmRSS", "VmHWM"; -1: not to be had */
uint64_t bench_random(uint64_t *seed);          /* xorshift; the seed must not be 0 */

/* bench_table: runs every workload `rounds` times as `program` of its own, at 1 and 2 workers. Gives how many runs failed. */
int bench_table(const char *program, const struct workload *const *families, int rounds);

#endif
