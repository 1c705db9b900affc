/*
 * yield.c - shows coir_yield: to the back of the queue, so that the others have their turn
 *
 * On one worker, two fibers that never yield run one after the other; with a yield after each line they take turns. A fiber
 * yields by itself as well, but only after some thousand steps (see polls.c).
 */
#include <coir.h>

struct speaker { const char *name; bool polite; int line; };

static coir_io *speaker_step(coir_routine *self)
{
    COIR_BEGIN(self, struct speaker, my);
    for (my->line = 1; my->line <= 3; my->line++) {
        printf("%s %d\n", my->name, my->line);
        if (my->polite)
            COIR_AWAIT(coir_yield());
    }
    COIR_END;
}

static coir_io *speaker(const char *name, bool polite)
{
    return coir_do(speaker_step, COIR_ENV(struct speaker, .name = name, .polite = polite));
}

int main(void)
{
    puts("without a yield");
    int status = coir_main(coir_parallel(COIR_IOS(speaker("ann", false), speaker("bob", false))), COIR_OPTIONS(.workers = 1));
    puts("with a yield");
    return status | coir_main(coir_parallel(COIR_IOS(speaker("ann", true), speaker("bob", true))), COIR_OPTIONS(.workers = 1));
}
