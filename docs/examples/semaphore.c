/*
 * semaphore.c - shows a semaphore: a hundred fibers want into a room, and never more than five are inside
 */
#include <coir.h>

struct room { int inside, inside_max, visits; };                /* plain numbers do: there is one worker */

struct visit { struct room *room; int look; };

static coir_io *visit_step(coir_routine *self)
{
    COIR_BEGIN(self, struct visit, my);
    if (++my->room->inside > my->room->inside_max)
        my->room->inside_max = my->room->inside;
    for (my->look = 0; my->look < 10; my->look++)
        COIR_AWAIT(coir_yield());                               /* everybody has time to come in, if they can */
    my->room->inside--;
    my->room->visits++;
    COIR_END;
}

int main(void)
{
    struct room room = { 0 };
    coir_semaphore *five = coir_semaphore_new(5);
    coir_io *visit = coir_do(visit_step, COIR_ENV(struct visit, .room = &room));
    coir_io *visitor = coir_with_permits(five, 1, visit);
    int status = coir_main(coir_repeat(coir_fork(visitor), 100), COIR_OPTIONS(.workers = 1));

    printf("visits: %d\n", room.visits);
    printf("most inside at once: %d\n", room.inside_max);
    printf("permits that came back: %lld\n", (long long)coir_semaphore_available(five));
    coir_semaphore_drop(five);
    return status;
}
