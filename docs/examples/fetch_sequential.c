/*
 * fetch_sequential.c - the program of fetch_combinators.c in sequential notation
 *
 * The loop over the tries is C's own. The five permits are a semaphore held through a try and given back during the pause. What came of a URL is
 * told as soon as it is known.
 */
#include "http_client.h"

#include <coir.h>

#include <stdlib.h>

struct job { struct http_client *client; char **urls; coir_semaphore *permits; };

struct fetch { struct job *job; const char *url; int tries; };

static coir_io *fetch_step(coir_routine *self)
{
    COIR_BEGIN(self, struct fetch, my);
    for (my->tries = 1; ; my->tries++) {
        coir_io *one_try = coir_timeout(http_accept(http_get(my->job->client, my->url)), coir_seconds(10));
        COIR_TRY(coir_with_permits(my->job->permits, 1, one_try));
        if (self->result.tag == COIR_OK) {
            printf("%s: %zu bytes\n", my->url, ((const struct http_response *)self->result.value.ptr)->size);
            COIR_RETURN(coir_none());
        }
        if (my->tries == 3 || !http_may_pass(&self->result.value))
            break;
        COIR_AWAIT(coir_sleep(coir_ms(100 << my->tries)));
    }
    printf("%s: %s (tries: %d)\n", my->url, coir_error_message(&self->result.value), my->tries);
    COIR_END;
}

static coir_io *fetch(void *env, size_t index)
{
    struct job *job = env;
    return coir_do(fetch_step, COIR_ENV(struct fetch, .job = job, .url = job->urls[index]));
}

int main(int argc, char **argv)
{
    struct job job = { http_client_new(5), argv + 1, coir_semaphore_new(5) };
    if (job.client == NULL)
        return EXIT_FAILURE;
    size_t count = (size_t)(argc - 1);
    int status = coir_main(coir_par_traverse(0, count, fetch, &job), NULL);
    coir_semaphore_drop(job.permits);
    http_client_drop(job.client);
    return status;
}
