/*
 * bounded_api_calls.c - shows thousands of API calls, never more than a few in flight, each tried again when that may help
 *
 * A fiber for each call, all of them started at once: they are cheap. What is scarce, a place at the server, is a permit of a
 * semaphore, and a fiber holds one for a request, not while it pauses between two tries. `--help` lists what can be set.
 *
 *     http_client.c     libcurl as an io               calls_options.c   the command line
 *     interruption.c    Ctrl-C as an io                calls_report.c    progress, table, lines for scripts
 *     api_server.c      the server to try it on
 */
#define _POSIX_C_SOURCE 200809L
#include "api_server.h"
#include "calls_options.h"
#include "calls_report.h"
#include "http_client.h"
#include "interruption.h"

#include <coir.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct batch {
    struct http_client *client;
    coir_semaphore     *permits;        /* one for each request that may be in flight */
    struct progress    *progress;
    struct interruption watch;
    unsigned            retries_max;
    coir_duration       timeout;        /* of each request */
    struct call        *calls;
    size_t              count;
    double              seconds;
};

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --------------------------------------------------------------------------------------------------------- one call */

static coir_result note_try(void *env)
{
    struct call *call = env;
    call->tries++;
    return coir_ok(coir_none());
}

static void note_answer(void *env, const coir_value *value)
{
    struct call *call = env;
    const struct http_response *response = value->ptr;
    call->status = response->status;
    call->latency_us = response->time_us;
    call->bytes = response->size;
}

struct ending { struct progress *progress; struct call *call; };

/* Into its record, and not only into the list of results: when the calls are called off there is no list. */
static coir_io *note_end(void *env, const coir_result *result)
{
    const struct ending *my = env;
    my->call->succeeded = result->tag == COIR_OK;
    my->call->failure = coir_share(&result->value);
    progress_end(my->progress, my->call->succeeded);
    return coir_unit();
}

static bool may_pass(void *env, const coir_value *error)
{
    (void)env;
    return http_may_pass(error);
}

/* Tried until it succeeds, or fails in a way that will not pass, or has been tried often enough. The permit is held for a request alone, not
 * while the call pauses: after that it queues up anew. */
static coir_io *fetch(void *env, size_t index)
{
    struct batch *batch = env;
    struct call *call = &batch->calls[index];
    coir_io *answer = http_accept(coir_tap(http_get(batch->client, call->url), note_answer, call));
    coir_io *request = coir_then(coir_defer(note_try, call), coir_timeout(answer, batch->timeout));
    coir_io *tries = coir_retry(coir_with_permits(batch->permits, 1, request),
                                COIR_POLICY(.tries_max = 1 + (uint64_t)batch->retries_max, .delay = coir_ms(50), .factor = 2,
                                            .delay_max = coir_seconds(2), .jitter = 0.5, .only_if = may_pass));
    return coir_finally_fn_copy(coir_as(tries, coir_none()), note_end, COIR_ENV(struct ending, batch->progress, call));
}

/* --------------------------------------------------------------------------------------------------- the whole program */

enum { FAILED = 1, BAD_USAGE = 2, BROKEN = 70, INTERRUPTED = 130 };

static int cannot(const char *what, int error)
{
    fprintf(stderr, "bounded_api_calls: cannot %s: %s\n", what, strerror(error));
    return FAILED;
}

static bool batch_init(struct batch *batch, const struct url_list *urls, const struct calls_options *options)
{
    *batch = (struct batch){
        .client = http_client_new(options->limit),
        .permits = coir_semaphore_new(options->limit),
        .retries_max = options->retries_max,
        .timeout = coir_ms(options->timeout_ms),
        .calls = calloc(urls->count, sizeof(struct call)),
        .count = urls->count
    };
    batch->progress = progress_new(urls->count, batch->client);
    if (batch->client == NULL || batch->permits == NULL || batch->progress == NULL || batch->calls == NULL)
        return false;
    for (size_t i = 0; i < batch->count; i++)
        batch->calls[i].url = urls->urls[i];
    return true;
}

static void batch_done(struct batch *batch)
{
    interruption_end(&batch->watch);
    for (size_t i = 0; batch->calls != NULL && i < batch->count; i++)
        coir_drop(batch->calls[i].failure);
    free(batch->calls);
    progress_drop(batch->progress);
    coir_semaphore_drop(batch->permits);
    http_client_drop(batch->client);
}

static bool all_succeeded(const struct batch *batch)
{
    size_t i = 0;
    while (i < batch->count && batch->calls[i].succeeded)
        i++;
    return i == batch->count;
}

/* All calls side by side, however many there are; or, if it comes first, an interruption. Gives the exit status. */
static int batch_run(struct batch *batch, const struct calls_options *options)
{
    coir_io *calls = coir_as(coir_par_traverse_all(0, batch->count, fetch, batch), coir_bool(false));
    if (!options->quiet)
        calls = progress_beside(batch->progress, calls);
    double begun = seconds_now();
    coir_result result = coir_run(coir_race(COIR_IOS(calls, interruption(&batch->watch))), COIR_OPTIONS(.workers = options->workers));
    batch->seconds = seconds_now() - begun;
    if (result.tag == COIR_OK)
        return result.value.flag ? INTERRUPTED : all_succeeded(batch) ? 0 : FAILED;
    fputs("bounded_api_calls: ", stderr);
    coir_result_print(&result, stderr);
    fputc('\n', stderr);
    coir_result_drop(&result);
    return BROKEN;
}

static void report(const struct batch *batch, const struct calls_options *options, const struct api_figures *server)
{
    if (options->tsv)
        report_tsv(stdout, batch->calls, batch->count);
    report_table(options->tsv ? stderr : stdout, &(struct calls_summary){
        .calls = batch->calls, .count = batch->count, .server = server, .seconds = batch->seconds,
        .in_flight_max = http_client_figures(batch->client).in_flight_max });
    fflush(stdout);
}

static int call_them(const struct calls_options *options, struct url_list *urls)
{
    struct api_server *server = NULL;
    struct api_figures seen = { 0 };
    struct batch batch = { 0 };

    if (options->file == NULL) {
        server = api_server_new(options->limit, options->latency_ms, options->seed);
        if (server == NULL)
            return cannot("start its server", errno);
    }
    bool has_urls = server == NULL || url_list_make(urls, options->calls, api_server_port(server));
    bool is_ready = has_urls && batch_init(&batch, urls, options);
    int status = is_ready ? batch_run(&batch, options) : cannot("begin", ENOMEM);
    if (server != NULL)
        seen = api_server_stop(server);
    if (is_ready)
        report(&batch, options, server != NULL ? &seen : NULL);
    batch_done(&batch);
    return status;
}

static int serve(const struct calls_options *options)
{
    struct api_server *server = api_server_new(options->limit, options->latency_ms, options->seed);
    if (server == NULL)
        return cannot("start its server", errno);
    printf("http://127.0.0.1:%u/items/1\n", api_server_port(server));
    fflush(stdout);
    interruptions_await();
    struct api_figures seen = api_server_stop(server);
    report_server(stdout, &seen);
    return 0;
}

int main(int argc, char **argv)
{
    const struct calls_options options = calls_options_read(argc, argv);
    struct url_list urls = { 0 };
    if (options.file != NULL && !url_list_read(&urls, options.file))
        return BAD_USAGE;
    interruptions_block();                                      /* Not before: reading from a terminal can be interrupted. */
    signal(SIGPIPE, SIG_IGN);                                   /* a pipe or a connection that is closed is an error like others */
    int status = options.serve ? serve(&options) : call_them(&options, &urls);
    url_list_drop(&urls);
    if (fflush(stdout) != 0 || ferror(stdout))
        status = cannot("write", errno);
    return status;
}
