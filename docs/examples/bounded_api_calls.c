/*
 * bounded_api_calls.c - shows thousands of API calls, never more than a few in flight, each tried again when that may help
 *
 * A fiber for each call, all of them started at once: they are cheap. What is scarce, a place at the server, is a permit of a
 * semaphore, and a fiber holds one for a request, not while it pauses between two tries. `--help` lists what can be set.
 *
 *     http_client.c     libcurl as an io               calls_options.c   the command line
 *     api_server.c      the server to try it on        calls_report.c    progress, table, lines for scripts
 */
#define _POSIX_C_SOURCE 200809L
#include "api_server.h"
#include "calls_options.h"
#include "calls_report.h"
#include "http_client.h"

#include <coir.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct batch {
    struct http_client *client;
    coir_semaphore     *permits;        /* one for each request that may be in flight */
    struct progress    *progress;
    unsigned            retries_max;
    struct call        *calls;
    size_t              count, failed;
    double              begun, seconds;
    bool                is_collected;   /* every call has its result in its record */
};

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --------------------------------------------------------------------------------------------------------- one call */

static void note_answer(void *env, const coir_value *value)
{
    struct call *call = env;
    const struct http_response *response = value->ptr;
    call->status = response->status;
    call->latency_us = response->time_us;
    call->bytes = response->size;
}

struct fetch { struct batch *batch; struct call *call; };

/* The permit is held for the request alone. */
static coir_io *one_try(void *env)
{
    const struct fetch *my = env;
    my->call->tries++;
    coir_io *answer = coir_tap(http_get(my->batch->client, my->call->url), note_answer, my->call);
    return coir_with_permits(my->batch->permits, 1, http_accept(answer));
}

static bool may_pass(void *env, const coir_value *error)
{
    (void)env;
    return http_may_pass(error);
}

static coir_io *note_end(void *env, const coir_result *result)
{
    progress_end(env, result->tag == COIR_OK);
    return coir_unit();
}

/* Tried until it succeeds, or fails in a way that will not pass, or has been tried often enough. After a pause, which holds no permit, the
 * call queues up anew, behind those that wait for one. */
static coir_io *fetch(struct batch *batch, struct call *call)
{
    coir_io *a_try = coir_suspend_copy(one_try, COIR_ENV(struct fetch, .batch = batch, .call = call));
    coir_io *tries = coir_retry(a_try, COIR_POLICY(.tries_max = 1 + (uint64_t)batch->retries_max, .delay = coir_ms(50), .factor = 2,
                                                   .delay_max = coir_seconds(2), .jitter = 0.5, .only_if = may_pass));
    return coir_finally_fn(coir_as(tries, coir_none()), note_end, batch->progress);
}

/* -------------------------------------------------------------------------------------------- all of them, side by side */

static coir_io *start_fetch(void *env, size_t index)
{
    struct batch *batch = env;
    return coir_fork(fetch(batch, &batch->calls[index]));
}

static coir_io *wait_for_all(void *env, coir_value *fibers)
{
    (void)env;
    return coir_wait(fibers);
}

/* The results become part of the records. A fiber that could not even begin, for want of memory, has one too. */
static void collect(void *env, const coir_value *results)
{
    struct batch *batch = env;
    for (size_t i = 0; i < batch->count; i++) {
        const coir_result *result = coir_result_in(coir_list_at(results, i));
        struct call *call = &batch->calls[i];
        call->succeeded = result->tag == COIR_OK;
        if (call->succeeded)
            continue;
        batch->failed++;
        call->failure = coir_share(&result->value);
        if (coir_failed_in(result, "http_client", HTTP_NOT_STARTED))
            call->tries--;                                      /* the last one was none */
    }
    batch->seconds = seconds_now() - batch->begun;
    batch->is_collected = true;
}

static coir_io *all_calls(struct batch *batch)
{
    coir_io *fibers = coir_traverse(batch->count, start_fetch, batch);
    return coir_tap(coir_flat_map(fibers, wait_for_all, NULL), collect, batch);
}

/* ------------------------------------------------------------------------------------------------------ interruption */

/* A thread that waits for SIGINT and SIGTERM, which all others block, so what it then does need not be safe in a handler. */
struct watch { pthread_t thread; struct http_client *client; bool interrupted; };

enum { INTERRUPTIONS = 1, END_OF_WATCH = 2 };

static sigset_t signals(int which)
{
    sigset_t set;
    sigemptyset(&set);
    if (which & INTERRUPTIONS) {
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
    }
    if (which & END_OF_WATCH)
        sigaddset(&set, SIGUSR1);
    return set;
}

static int await_signal(int which)
{
    sigset_t awaited = signals(which);
    int signal_number = 0;
    sigwait(&awaited, &signal_number);
    return signal_number;
}

/* Called before there is another thread: they inherit it. */
static void block_signals(void)
{
    sigset_t blocked = signals(INTERRUPTIONS | END_OF_WATCH);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);                                   /* a pipe or a connection that is closed is an error like others */
}

static void *watch_run(void *user)
{
    struct watch *watch = user;
    sigset_t interruptions = signals(INTERRUPTIONS);
    if (await_signal(INTERRUPTIONS | END_OF_WATCH) == SIGUSR1)
        return NULL;
    watch->interrupted = true;
    fputs("\ninterrupted: nothing new is started\n", stderr);
    http_client_interrupt(watch->client);
    pthread_sigmask(SIG_UNBLOCK, &interruptions, NULL);         /* a second one ends the process */
    await_signal(END_OF_WATCH);
    return NULL;
}

static bool watch_end(struct watch *watch)                      /* Gives whether there was an interruption. */
{
    pthread_kill(watch->thread, SIGUSR1);
    pthread_join(watch->thread, NULL);
    return watch->interrupted;
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
        .client = http_client_new(&(struct http_options){ .timeout_ms = (long)options->timeout_ms,
                                                          .connections_max = (long)options->limit }),
        .permits = coir_semaphore_new(options->limit),
        .progress = progress_new(urls->count),
        .retries_max = options->retries_max,
        .calls = calloc(urls->count, sizeof(struct call)),
        .count = urls->count
    };
    if (batch->client == NULL || batch->permits == NULL || batch->progress == NULL || batch->calls == NULL)
        return false;
    for (size_t i = 0; i < batch->count; i++)
        batch->calls[i].url = urls->urls[i];
    return true;
}

static void batch_done(struct batch *batch)
{
    for (size_t i = 0; batch->calls != NULL && i < batch->count; i++)
        coir_drop(batch->calls[i].failure);
    free(batch->calls);
    progress_drop(batch->progress);
    coir_semaphore_drop(batch->permits);
    http_client_drop(batch->client);
}

/* Gives the exit status. */
static int batch_run(struct batch *batch, const struct calls_options *options)
{
    struct watch watch = { .client = batch->client };
    int error = pthread_create(&watch.thread, NULL, watch_run, &watch);
    if (error != 0)
        return cannot("start a thread", error);

    coir_io *program = all_calls(batch);
    if (!options->quiet)
        program = progress_beside(batch->progress, program);
    batch->begun = seconds_now();
    coir_result result = coir_run(program, COIR_OPTIONS(.workers = options->workers));
    bool interrupted = watch_end(&watch);

    if (!batch->is_collected) {
        fputs("bounded_api_calls: ", stderr);
        coir_result_print(&result, stderr);
        fputc('\n', stderr);
    }
    coir_result_drop(&result);
    return !batch->is_collected ? BROKEN : interrupted ? INTERRUPTED : batch->failed > 0 ? FAILED : 0;
}

static void report(const struct batch *batch, const struct calls_options *options, const struct api_figures *server)
{
    if (options->tsv)
        report_tsv(stdout, batch->calls, batch->count);
    report_table(options->tsv ? stderr : stdout, &(struct calls_summary){
        .calls = batch->calls, .count = batch->count, .server = server, .seconds = batch->seconds,
        .in_flight_max = http_client_in_flight_max(batch->client) });
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
    int status = has_urls && batch_init(&batch, urls, options) ? batch_run(&batch, options) : cannot("begin", ENOMEM);
    if (server != NULL)
        seen = api_server_stop(server);
    if (batch.is_collected)
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
    await_signal(INTERRUPTIONS);
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
    block_signals();                                            /* Not before: reading from a terminal can be interrupted. */
    int status = options.serve ? serve(&options) : call_them(&options, &urls);
    url_list_drop(&urls);
    if (fflush(stdout) != 0 || ferror(stdout))
        status = cannot("write", errno);
    return status;
}
