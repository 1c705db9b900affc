/*
 * sleep.c - shows coir_sleep: it blocks a fiber, not a thread, and never ends early
 *
 * A hundred fibers sleep for 50 ms each on one worker. One after the other that would be five seconds.
 */
#include <coir.h>

enum { SLEEPERS = 100, NAP_MS = 50 };

static coir_io *fork_sleeper(void *env, size_t index)
{
    (void)env, (void)index;
    return coir_fork(coir_sleep(coir_ms(NAP_MS)));
}

struct program { int64_t began_ns; };

static coir_io *program_step(coir_routine *self)
{
    COIR_BEGIN(self, struct program, my);
    COIR_AWAIT(coir_now());
    my->began_ns = self->result.value.i64;
    COIR_AWAIT(coir_traverse(SLEEPERS, fork_sleeper, NULL));
    COIR_AWAIT(coir_wait(&self->result.value));
    printf("sleepers: %zu\n", coir_list_size(&self->result.value));

    COIR_AWAIT(coir_now());
    int64_t took_ns = self->result.value.i64 - my->began_ns;
    printf("not early: %s\n", took_ns >= coir_ms(NAP_MS).ns ? "yes" : "no");
    printf("side by side: %s\n", took_ns < coir_ms(SLEEPERS * NAP_MS).ns ? "yes" : "no");
    COIR_END;
}

int main(void)
{
    return coir_main(coir_do(program_step, COIR_ENV(struct program, 0)), COIR_OPTIONS(.workers = 1));
}
