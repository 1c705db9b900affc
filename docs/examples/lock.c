/*
 * lock.c - shows a lock: the counter of unsafe_counter.c, right this time, and on several threads
 *
 * Who waits for the lock blocks its fiber, never a thread. coir_with_lock releases it however its io ends. The lock is reentrant:
 * its holder may take it again.
 */
#include <coir.h>

struct increment { int *counter, seen; };

static coir_io *increment_step(coir_routine *self)
{
    COIR_BEGIN(self, struct increment, my);
    my->seen = *my->counter;
    COIR_AWAIT(coir_yield());                                   /* the others run, but do not come in */
    *my->counter = my->seen + 1;
    COIR_END;
}

int main(void)
{
    int counter = 0;
    coir_lock *lock = coir_lock_new();
    coir_io *increment = coir_do(increment_step, COIR_ENV(struct increment, .counter = &counter));
    coir_io *locked = coir_with_lock(lock, coir_with_lock(lock, increment));
    coir_lock_drop(lock);                                       /* the io keeps it */
    int status = coir_main(coir_repeat(coir_fork(locked), 10), COIR_OPTIONS(.workers = 4));
    printf("ten increments, and the counter says %d\n", counter);
    return status;
}
