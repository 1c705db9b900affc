/*
 * table.c - `bench --table [ROUNDS]`: every workload at 1 and 2 workers, each run a process of its own, beside its budget
 *
 * The rounds go over the whole list, so that a minute in which the machine is busy spoils one round of each workload and not all
 * rounds of one.
 */
#define _POSIX_C_SOURCE 200809L

#include "bench.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { WORKERS_MAX = 2 };

/* What the runs of one workload at one number of workers gave. */
struct figures { int count; double *of_round; };

struct row { const struct workload *workload; struct figures at[WORKERS_MAX]; };

static const char *figure_of(const struct workload *w)
{
    return w->figure ? w->figure : "ns_per_op";
}

/* The value of key=value in a line; -1 if it has none. */
static double value_in(const char *line, const char *key)
{
    size_t size = strlen(key);
    for (const char *at = line; (at = strchr(at, ' ')) != NULL; ) {
        at++;
        if (strncmp(at, key, size) == 0 && at[size] == '=')
            return strtod(at + size + 1, NULL);
    }
    return -1;
}

/* One run in a process of its own. Gives the workload's figure, or -1 if the run failed. */
static double measure(const char *program, const struct workload *w, int workers)
{
    char command[512], line[512] = "";
    snprintf(command, sizeof command, "'%s' %s %" PRId64 " %d", program, w->name, w->quick_n, workers);
    FILE *child = popen(command, "r");
    if (!child)
        return -1;
    double figure = fgets(line, sizeof line, child) ? value_in(line, figure_of(w)) : -1;
    int status = pclose(child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? figure : -1;
}

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void print_value(double value, int width)
{
    printf(" %*.*f", width, value < 100 ? 1 : 0, value);
}

/* Median, smallest, greatest; an exclamation mark where the median misses the budget. */
static void print_figures(struct figures *figures, double budget)
{
    if (figures->count == 0) {
        printf(" %9s %19s ", "failed", "");
        return;
    }
    qsort(figures->of_round, (size_t)figures->count, sizeof(double), ascending);
    double median = figures->of_round[figures->count / 2];
    print_value(median, 9);
    print_value(figures->of_round[0], 9);
    print_value(figures->of_round[figures->count - 1], 9);
    printf(budget > 0 && median > budget ? "!" : " ");
}

static void print_row(struct row *row)
{
    const struct workload *w = row->workload;
    printf("%-11s %-16s", w->name, figure_of(w));
    for (int i = 0; i < WORKERS_MAX; i++) {
        printf(" |");
        print_figures(&row->at[i], w->budget[i]);
        print_value(w->budget[i], 7);
        print_value(w->goal[i], 7);
    }
    printf("\n");
}

static void print_head(void)
{
    printf("%-11s %-16s", "workload", "figure");
    for (int i = 1; i <= WORKERS_MAX; i++)
        printf(" | %d worker%s %9s %9s  %7s %7s", i, i > 1 ? "s" : " ", "least", "most", "budget", "goal");
    printf("\n");
}

static int measure_row(const char *program, struct row *row)
{
    int failed = 0;
    for (int i = 0; i < WORKERS_MAX; i++) {
        struct figures *figures = &row->at[i];
        double figure = measure(program, row->workload, i + 1);
        if (figure < 0)
            failed++;
        else
            figures->of_round[figures->count++] = figure;
    }
    return failed;
}

/* Rows for all the families; *count is how many. NULL: no memory. */
static struct row *new_rows(const struct workload *const *families, int rounds, size_t *count)
{
    size_t workloads = 0;
    for (const struct workload *const *family = families; *family; family++)
        for (const struct workload *w = *family; w->name; w++)
            workloads++;
    struct row *rows = calloc(workloads, sizeof *rows);
    double     *values = calloc(workloads * WORKERS_MAX * (size_t)rounds, sizeof *values);
    *count = 0;
    if (!rows || !values) {
        free(rows);
        free(values);
        return NULL;
    }
    for (const struct workload *const *family = families; *family; family++)
        for (const struct workload *w = *family; w->name; w++) {
            struct row *row = &rows[(*count)++];
            row->workload = w;
            for (int i = 0; i < WORKERS_MAX; i++, values += rounds)
                row->at[i].of_round = values;
        }
    return rows;
}

int bench_table(const char *program, const struct workload *const *families, int rounds)
{
    size_t      count;
    int         failed = 0;
    struct row *rows = new_rows(families, rounds, &count);
    bench_check(rows != NULL, "there is memory for the table");
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < count; i++)
            failed += measure_row(program, &rows[i]);
    print_head();
    for (size_t i = 0; i < count; i++)
        print_row(&rows[i]);
    free(rows[0].at[0].of_round);               /* the one array that all of them point into */
    free(rows);
    return failed;
}
