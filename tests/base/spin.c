/*
 * spin.c - tests of the locks for a few instructions
 */
#include "check.h"

#include "base/spin.h"

#include <pthread.h>

enum { THREADS = 48, ROUNDS = 500 };

static ck_spinlock_fas_t lock = CK_SPINLOCK_FAS_INITIALIZER;
static long              inside, inside_max, rounds;

/* Who holds the lock gives the processor away: as if preempted, with more who want it than there are processors. */
static void *hold_often(void *unused)
{
    for (int i = 0; i < ROUNDS / CHECK_SLOWNESS; i++) {
        spin_lock(&lock);
        inside++;
        inside_max = inside > inside_max ? inside : inside_max;
        sched_yield();
        inside--;
        rounds++;
        spin_unlock(&lock);
    }
    return unused;
}

TEST(spin, of_more_threads_than_processors_one_at_a_time_holds_the_lock)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, hold_often, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_INT(inside_max, 1);
    CHECK_INT(rounds, THREADS * (ROUNDS / CHECK_SLOWNESS));
}
