/*
 * fetch_combinators.c - shows bounded concurrency with retries and time-outs, put together from combinators
 *
 * Gets the URLs of the command line, never more than five at once. Each has ten seconds a try and three tries with growing
 * pauses; one that fails for good is reported and disturbs nobody. fetch_sequential.c is the same program in sequential notation.
 */
#include "http_client.h"

#include <coir.h>

#include <stdlib.h>

struct job { struct http_client *client; char **urls; };

static bool may_pass(void *env, const coir_value *error)
{
    (void)env;
    return http_may_pass(error);
}

static coir_io *fetch(void *env, size_t index)
{
    struct job *job = env;
    coir_io *one_try = coir_timeout(http_accept(http_get(job->client, job->urls[index])), coir_seconds(10));
    return coir_retry(one_try, COIR_POLICY(.tries_max = 3, .delay = coir_ms(200), .factor = 2, .jitter = 0.2, .only_if = may_pass));
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
    struct job job = { http_client_new(5), argv + 1 };
    if (job.client == NULL)
        return EXIT_FAILURE;
    size_t count = (size_t)(argc - 1);
    int status = coir_main(coir_tap(coir_par_traverse_all(5, count, fetch, &job), report, &job), NULL);
    http_client_drop(job.client);
    return status;
}
