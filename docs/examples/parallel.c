/*
 * parallel.c - shows how fibers are started: coir_parallel for several, coir_fork for one; the run ends with the last of them
 *
 * Whoever starts a fiber goes on at once and need not wait for it: the run does. One worker takes what was started last first,
 * and the fibers of one coir_parallel in their order; with several workers no order is promised.
 */
#include <coir.h>

static coir_io *say_text(void *env, coir_value *text)
{
    (void)env;
    puts(coir_text(text));
    return coir_unit();
}

static coir_io *say(const char *text)                           /* prints when it is run, not before */
{
    return coir_call(coir_stringf("%s", text), say_text, NULL);
}

int main(void)
{
    coir_io *program = coir_sequence(COIR_IOS(
        say("main starts them"),
        coir_parallel(COIR_IOS(say("first"), say("second"), say("third"))),
        coir_fork(coir_fork(say("a fiber that a fiber started"))),
        say("main has started them, and ends")));

    int status = coir_main(program, COIR_OPTIONS(.workers = 1));
    puts("the run has ended: all of them have");
    return status;
}
