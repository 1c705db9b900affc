/*
 * fetch_sequential.c - the program of fetch_combinators.c in sequential notation
 *
 * The loop over the tries is C's own. A permit is held through a try and given back during the pause.
 */
#include "http_client.h"

#include <coir.h>

#include <stdlib.h>

enum { IN_FLIGHT_MAX = 5, TRIES_MAX = 3 };

struct job { struct http_client *client; coir_semaphore *permits; char **urls; size_t count; };

/* ---- One of them. */
struct fetch { struct job *job; const char *url; int tries; };

static coir_io *fetch_step(coir_routine *self)
{
    COIR_BEGIN(self, struct fetch, my);
    for (my->tries = 1; ; my->tries++) {
        COIR_TRY(coir_with_permits(my->job->permits, 1, http_accept(http_get(my->job->client, my->url))));
        if (self->result.tag == COIR_OK)
            COIR_RETURN(coir_take(&self->result.value));
        if (my->tries == TRIES_MAX || !http_may_pass(&self->result.value))
            COIR_RAISE(coir_take(&self->result.value));
        COIR_AWAIT(coir_sleep(coir_ms(100 << my->tries)));
    }
    COIR_END;
}

static coir_io *fork_fetch(void *env, size_t index)
{
    struct job *job = env;
    return coir_fork(coir_do(fetch_step, COIR_ENV(struct fetch, .job = job, .url = job->urls[index])));
}

/* ---- All of them. */
static void report(const struct job *job, const coir_value *results)
{
    for (size_t i = 0; i < job->count; i++) {
        const coir_result *result = coir_result_in(coir_list_at(results, i));
        if (result->tag == COIR_OK)
            printf("%s: %zu bytes\n", job->urls[i], ((const struct http_response *)result->value.ptr)->size);
        else
            printf("%s: %s\n", job->urls[i], coir_error_message(&result->value));
    }
}

struct fetch_all { struct job *job; };

static coir_io *fetch_all_step(coir_routine *self)
{
    COIR_BEGIN(self, struct fetch_all, my);
    COIR_AWAIT(coir_traverse(my->job->count, fork_fetch, my->job));
    COIR_AWAIT(coir_wait(&self->result.value));
    report(my->job, &self->result.value);
    COIR_END;
}

int main(int argc, char **argv)
{
    struct job job = {
        .client = http_client_new(&(struct http_options){ .timeout_ms = 10000 }), .permits = coir_semaphore_new(IN_FLIGHT_MAX),
        .urls = argv + 1, .count = argc > 1 ? (size_t)(argc - 1) : 0
    };
    if (job.client == NULL)
        return EXIT_FAILURE;
    int status = coir_main(coir_do(fetch_all_step, COIR_ENV(struct fetch_all, .job = &job)), NULL);
    coir_semaphore_drop(job.permits);
    http_client_drop(job.client);
    return status;
}
