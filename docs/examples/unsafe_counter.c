/*
 * unsafe_counter.c - shows what goes wrong when fibers share a variable and nothing guards it
 *
 * Ten fibers add one to a counter: each reads it, lets the others run, writes it back. All ten read 0, so nine updates are lost,
 * on a single thread. lock.c is this program with a lock.
 */
#include <coir.h>

struct increment { int *counter, seen; };

static coir_io *increment_step(coir_routine *self)
{
    COIR_BEGIN(self, struct increment, my);
    my->seen = *my->counter;
    COIR_AWAIT(coir_yield());                                   /* the others come in here */
    *my->counter = my->seen + 1;
    COIR_END;
}

int main(void)
{
    int counter = 0;
    coir_io *increment = coir_do(increment_step, COIR_ENV(struct increment, .counter = &counter));
    int status = coir_main(coir_repeat(coir_fork(increment), 10), COIR_OPTIONS(.workers = 1));
    printf("ten increments, and the counter says %d\n", counter);
    return status;
}
