/*
 * calls_report.c - the progress bar, the table and the tab-separated lines of bounded_api_calls
 */
#define _POSIX_C_SOURCE 200809L
#include "calls_report.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --------------------------------------------------------------------------------------------------------- progress */

struct progress {
    size_t              count;
    struct http_client *client;
    bool                on_terminal;
    atomic_size_t       ended, failed;
};

enum { BAR_WIDTH = 40 };

struct progress *progress_new(size_t count, struct http_client *client)
{
    struct progress *progress = calloc(1, sizeof *progress);
    if (progress != NULL) {
        progress->count = count;
        progress->client = client;
        progress->on_terminal = isatty(STDERR_FILENO);
    }
    return progress;
}

void progress_drop(struct progress *progress)
{
    free(progress);
}

void progress_end(struct progress *progress, bool succeeded)
{
    if (!succeeded)
        progress->failed++;
    progress->ended++;
}

/* In place of the line before. */
static void show_bar(const struct progress *progress)
{
    static const char full[] = "########################################", empty[] = "........................................";
    int done = (int)(progress->ended * BAR_WIDTH / progress->count);
    fprintf(stderr, "\r\033[K[%.*s%.*s] ", done, full, BAR_WIDTH - done, empty);
}

static void show(const struct progress *progress, const char *end)
{
    if (progress->on_terminal)
        show_bar(progress);
    fprintf(stderr, "%zu of %zu calls ended, %zu failed, %u in flight%s", (size_t)progress->ended, progress->count,
            (size_t)progress->failed, http_client_figures(progress->client).in_flight, end);
}

static coir_result progress_look(void *env)
{
    const struct progress *progress = env;
    show(progress, progress->on_terminal ? "" : "\n");
    return coir_ok(coir_none());
}

static coir_result progress_close(void *env)
{
    show(env, "\n");
    return coir_ok(coir_none());
}

/* Whoever watches for ever loses the race. */
coir_io *progress_beside(struct progress *progress, coir_io *calls)
{
    coir_io *pause = coir_sleep(coir_ms(progress->on_terminal ? 100 : 1000));
    coir_io *watch = coir_forever(coir_then(pause, coir_defer(progress_look, progress)));
    coir_io *watched = coir_race(COIR_IOS(calls, coir_named(watch, "progress")));
    return coir_finally(watched, coir_defer(progress_close, progress));
}

/* ----------------------------------------------------------------------------------------------------------- figures */

/* Why a call failed; "" if it did not. */
static const char *reason_of(const struct call *call)
{
    if (call->failure.type != NULL)
        return coir_error_code(&call->failure) == COIR_TIMEOUT ? "timed out" : coir_error_message(&call->failure);
    return call->succeeded ? "" : call->tries > 0 ? "called off" : "not begun";
}

/* Each reason once, and how often. */
struct reason { const char *text; size_t count; };

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct reason *)a)->text, ((const struct reason *)b)->text);
}

static int by_count(const void *a, const void *b)
{
    size_t m = ((const struct reason *)a)->count, n = ((const struct reason *)b)->count;
    return m == n ? by_text(a, b) : m < n ? 1 : -1;
}

/* Joins equal neighbours; gives how many are left. */
static size_t reasons_join(struct reason *reasons, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        if (left > 0 && strcmp(reasons[left - 1].text, reasons[i].text) == 0)
            reasons[left - 1].count++;
        else
            reasons[left++] = reasons[i];
    }
    return left;
}

static void print_reasons(FILE *out, const struct calls_summary *summary, size_t failed)
{
    struct reason *reasons = calloc(failed + 1, sizeof *reasons);
    if (reasons == NULL)
        return;
    size_t count = 0;
    for (size_t i = 0; i < summary->count; i++)
        if (!summary->calls[i].succeeded)
            reasons[count++] = (struct reason){ reason_of(&summary->calls[i]), 1 };
    qsort(reasons, count, sizeof *reasons, by_text);
    count = reasons_join(reasons, count);
    qsort(reasons, count, sizeof *reasons, by_count);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%28s%7zu  %s\n", "", reasons[i].count, reasons[i].text);
    free(reasons);
}

static int by_size(const void *a, const void *b)
{
    int64_t m = *(const int64_t *)a, n = *(const int64_t *)b;
    return (m > n) - (m < n);
}

/* The latency that so many percent of them do not exceed. */
static double percentile_ms(const int64_t *sorted_us, size_t count, size_t percent)
{
    return (double)sorted_us[(count * percent + 99) / 100 - 1] / 1000;
}

static void print_latencies(FILE *out, const struct calls_summary *summary, size_t succeeded)
{
    int64_t *us = calloc(succeeded, sizeof *us);
    if (us == NULL)
        return;
    size_t count = 0;
    for (size_t i = 0; i < summary->count; i++)
        if (summary->calls[i].succeeded)
            us[count++] = summary->calls[i].latency_us;
    qsort(us, count, sizeof *us, by_size);
    fprintf(out, "latency of successes:       p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, max %.1f ms\n", percentile_ms(us, count, 50),
            percentile_ms(us, count, 90), percentile_ms(us, count, 99), percentile_ms(us, count, 100));
    free(us);
}

void report_server(FILE *out, const struct api_figures *server)
{
    fprintf(out, "requests (server):          %llu, %llu refused with 429, %llu with 503\n", (unsigned long long)server->requests,
            (unsigned long long)server->too_many, (unsigned long long)server->unavailable);
    fprintf(out, "largest in flight (server): %u\n", server->in_flight_max);
}

void report_table(FILE *out, const struct calls_summary *summary)
{
    size_t succeeded = 0, retries = 0;
    for (size_t i = 0; i < summary->count; i++) {
        const struct call *call = &summary->calls[i];
        succeeded += call->succeeded;
        retries += call->tries > 1 ? call->tries - 1 : 0;
    }
    fprintf(out, "calls:                      %zu\n", summary->count);
    fprintf(out, "succeeded:                  %zu\n", succeeded);
    fprintf(out, "failed:                     %zu\n", summary->count - succeeded);
    if (succeeded < summary->count)
        print_reasons(out, summary, summary->count - succeeded);
    fprintf(out, "retries:                    %zu\n", retries);
    if (summary->server != NULL)
        report_server(out, summary->server);
    else
        fprintf(out, "largest in flight (client): %u\n", summary->in_flight_max);
    if (succeeded > 0)
        print_latencies(out, summary, succeeded);
    fprintf(out, "wall time:                  %.2f s\n", summary->seconds);
}

/* ------------------------------------------------------------------------------------------------------------ script */

static void print_field(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ')
            fprintf(out, "%%%02X", (unsigned)*text);
        else
            putc(*text, out);
    }
}

void report_tsv(FILE *out, const struct call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct call *call = &calls[i];
        print_field(out, call->url);
        fprintf(out, "\t%ld\t%u\t%.1f\t%zu\t", call->status, call->tries, (double)call->latency_us / 1000, call->bytes);
        print_field(out, reason_of(call));
        putc('\n', out);
    }
}
