/*
 * bench.c - `bench WORKLOAD [N] [WORKERS]` runs one workload and prints one line of figures
 *
 * Exit status: 0; 1 when the workload's check of its own answer fails; 2 for bad usage; 3 for a workload that there is not.
 */
#define _POSIX_C_SOURCE 200809L

#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WRONG_ANSWER = 1, BAD_USAGE = 2, NO_SUCH_WORKLOAD = 3, SECONDS_MAX = 600, ROUNDS_MAX = 99 };

static const struct workload *const families[] = {
    bench_steps, bench_turns, bench_forks, bench_scopes, bench_waits, bench_channels, bench_calls, bench_time, bench_sim, NULL
};

/* ------------------------------------------------------------------------------------------------- for the workloads */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t bench_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t bench_memory_kib(const char *key)
{
    char    line[256];
    int64_t kib = -1;
    FILE   *status = fopen("/proc/self/status", "r");
    if (!status)
        return -1;
    while (kib < 0 && fgets(line, sizeof line, status))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtoll(line + strlen(key) + 1, NULL, 10);
    fclose(status);
    return kib;
}

uint64_t bench_random(uint64_t *seed)
{
    uint64_t x = *seed;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *seed = x;
}

void bench_check(bool holds, const char *claim)
{
    if (holds)
        return;
    fprintf(stderr, "wrong: %s does not hold\n", claim);
    exit(WRONG_ANSWER);
}

void bench_note(struct bench *b, const char *format, ...)
{
    size_t  used = strlen(b->note);
    va_list arguments;
    va_start(arguments, format);
    used += (size_t)snprintf(b->note + used, sizeof b->note - used, " ");
    vsnprintf(b->note + used, sizeof b->note - used, format, arguments);
    va_end(arguments);
}

static coir_io *wait_for_them(void *env, coir_value *fibers)
{
    (void)env;
    return coir_wait(fibers);
}

static coir_value sum_of_results(void *env, coir_value *results)
{
    (void)env;
    int64_t sum = 0;
    size_t  count = coir_list_size(results);
    for (size_t i = 0; i < count; i++) {
        const coir_result *result = coir_result_in(coir_list_at(results, i));
        if (result->tag != COIR_OK)
            return coir_panic_value("fiber %zu of %zu failed", i, count);
        sum += result->value.i64;
    }
    return coir_int(sum);
}

coir_io *bench_sum(coir_io *fibers)
{
    return coir_map(coir_flat_map(fibers, wait_for_them, NULL), sum_of_results, NULL);
}

static int64_t begun_ns, begun_cpu_ns;

void bench_begin(void)
{
    begun_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    begun_ns = bench_now_ns();
}

void bench_end(struct bench *b)
{
    b->seconds = (double)(bench_now_ns() - begun_ns) * 1e-9;
    b->cpu_seconds = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begun_cpu_ns) * 1e-9;
}

int64_t bench_run(struct bench *b, coir_io *io)
{
    bench_begin();
    coir_result result = coir_run(io, COIR_OPTIONS(.workers = b->workers));
    bench_end(b);
    if (result.tag != COIR_OK)
        coir_result_print(&result, stderr);
    bench_check(result.tag == COIR_OK, "the run succeeds");
    return result.value.i64;
}

/* -------------------------------------------------------------------------------------------------------- the program */

static const struct workload *find(const char *name)
{
    for (const struct workload *const *family = families; *family; family++)
        for (const struct workload *w = *family; w->name; w++)
            if (strcmp(w->name, name) == 0)
                return w;
    return NULL;
}

static void list_workloads(void)
{
    printf("bench WORKLOAD [N] [WORKERS], or bench --table [ROUNDS]\n\n");
    for (const struct workload *const *family = families; *family; family++)
        for (const struct workload *w = *family; w->name; w++)
            printf("%-12s N = %-10" PRId64 "%s\n", w->name, w->n, w->what);
}

/* A whole number from 1 to max; 0 for anything else. */
static int64_t parse_count(const char *text, int64_t max)
{
    char *end;
    errno = 0;
    int64_t count = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && count >= 1 && count <= max ? count : 0;
}

static void print_line(const struct workload *w, const struct bench *b)
{
    printf("%s n=%" PRId64 " workers=%u seconds=%.4f ops=%" PRId64 " ns_per_op=%.2f peak_rss_kib=%" PRId64
           " cpu_s=%.4f%s\n", w->name, b->n, b->workers, b->seconds, b->ops, b->seconds * 1e9 / (double)b->ops,
           bench_memory_kib("VmHWM"), b->cpu_seconds, b->note);
}

static int run_workload(const struct workload *w, int64_t n, unsigned workers)
{
    struct bench b = { .n = w->share ? n / w->share * w->share : n, .workers = workers };
    if (b.n == 0) {
        fprintf(stderr, "%s: N must be at least %" PRId64 "\n", w->name, w->share);
        return BAD_USAGE;
    }
    alarm(SECONDS_MAX);                         /* a run that hangs is to fail, not to hold up who runs them all */
    b.ops = b.n;
    w->run(&b);
    print_line(w, &b);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        list_workloads();
        return 0;
    }
    if (strcmp(argv[1], "--table") == 0) {
        int rounds = argc == 2 ? 1 : argc == 3 ? (int)parse_count(argv[2], ROUNDS_MAX) : 0;
        return rounds == 0 ? BAD_USAGE : bench_table(argv[0], families, rounds) ? WRONG_ANSWER : 0;
    }
    const struct workload *w = find(argv[1]);
    if (!w) {
        fprintf(stderr, "no workload '%s'\n", argv[1]);
        return NO_SUCH_WORKLOAD;
    }
    int64_t n = argc > 2 ? parse_count(argv[2], w->n_max ? w->n_max : INT64_MAX) : w->n;
    int64_t workers = argc > 3 ? parse_count(argv[3], COIR_WORKERS_MAX) : 1;
    if (argc > 4 || n == 0 || workers == 0) {
        fprintf(stderr, "usage: bench WORKLOAD [N] [WORKERS]\n");
        return BAD_USAGE;
    }
    return run_workload(w, n, (unsigned)workers);
}
