/*
 * fetch_combinators.c - shows bounded concurrency with retries, put together from combinators
 *
 * Gets the URLs of the command line, never more than five at once. Each has ten seconds a try and three tries with growing
 * pauses; one that fails for good is reported and disturbs nobody. fetch_sequential.c is the same program in sequential notation.
 */
#include "http_client.h"

#include <coir.h>

#include <stdlib.h>

enum { IN_FLIGHT_MAX = 5, TRIES_MAX = 3 };

struct job { struct http_client *client; coir_semaphore *permits; char **urls; };

/* ---- One of them. */
static bool may_pass(void *env, const coir_value *error)
{
    (void)env;
    return http_may_pass(error);
}

static coir_io *fork_fetch(void *env, size_t index)
{
    struct job *job = env;
    coir_io *page = coir_with_permits(job->permits, 1, http_accept(http_get(job->client, job->urls[index])));
    return coir_fork(coir_retry(page, COIR_POLICY(.tries_max = TRIES_MAX, .delay = coir_ms(200), .factor = 2, .jitter = 0.2,
                                                  .only_if = may_pass)));
}

/* ---- All of them. */
static coir_io *wait_for_all(void *env, coir_value *fibers)
{
    (void)env;
    return coir_wait(fibers);
}

static void report(void *env, const coir_value *results)
{
    struct job *job = env;
    for (size_t i = 0; i < coir_list_size(results); i++) {
        const coir_result *result = coir_result_in(coir_list_at(results, i));
        if (result->tag == COIR_OK)
            printf("%s: %zu bytes\n", job->urls[i], ((const struct http_response *)result->value.ptr)->size);
        else
            printf("%s: %s\n", job->urls[i], coir_error_message(&result->value));
    }
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? (size_t)(argc - 1) : 0;
    struct job job = {
        .client = http_client_new(&(struct http_options){ .timeout_ms = 10000 }), .permits = coir_semaphore_new(IN_FLIGHT_MAX),
        .urls = argv + 1
    };
    if (job.client == NULL)
        return EXIT_FAILURE;
    coir_io *results = coir_flat_map(coir_traverse(count, fork_fetch, &job), wait_for_all, NULL);
    int status = coir_main(coir_tap(results, report, &job), NULL);
    coir_semaphore_drop(job.permits);
    http_client_drop(job.client);
    return status;
}
