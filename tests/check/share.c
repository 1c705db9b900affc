/*
 * share.c - the tests shared out among processes
 */
#include "check/share.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct counts { atomic_uint next, passed, failed; };

static struct counts own, *counts = &own;                      /* once shared out: between the processes */

void     share_count(bool passed) { atomic_fetch_add(passed ? &counts->passed : &counts->failed, 1); }
unsigned share_passed(void)       { return atomic_load(&counts->passed); }
unsigned share_failed(void)       { return atomic_load(&counts->failed); }

bool share_takes(unsigned index)
{
    static unsigned mine;
    static bool     has_one;
    if (counts == &own)
        return true;
    if (!has_one || mine < index)
        mine = atomic_fetch_add(&counts->next, 1);
    has_one = true;
    return mine == index;
}

static bool start(void (*run)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child != 0)
        return child > 0;
    run();
    exit(0);                                                    /* what looks for leaks at the end changes that */
}

static bool await_one(void)
{
    int status;
    while (wait(&status) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void share_out(unsigned processes, void (*run)(void))
{
    void *memory = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned started = 0;
    counts = memory == MAP_FAILED ? &own : memory;
    while (counts != &own && started < processes && start(run))
        started++;
    if (started == 0)
        run();
    while (started-- > 0)
        if (!await_one())
            share_count(false);
}
