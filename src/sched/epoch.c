/*
 * epoch.c - one thread that sleeps until the earliest moment of the epoch clock
 */
#include "sched/epoch.h"

#include "base/clock.h"

#include <signal.h>

static void *epoch_main(void *argument)                                                 /* MODEL pool.pml: sleepers */
{
    struct epoch *epoch = argument;
    pthread_mutex_lock(&epoch->mutex);
    while (!epoch->ending) {
        int64_t earliest = timers_earliest(&epoch->timers);
        if (earliest == INT64_MAX) {
            pthread_cond_wait(&epoch->changed, &epoch->mutex);
        } else if (earliest > clock_epoch()) {
            struct timespec moment = timespec_of_ns(earliest);
            pthread_cond_timedwait(&epoch->changed, &epoch->mutex, &moment);
        } else {
            pthread_mutex_unlock(&epoch->mutex);
            store_relaxed(&epoch->firing, true);        /* relaxed: the lock in coir__timers_fire() puts it before what is taken out */
            coir__timers_fire(&epoch->timers, clock_epoch());
            store_release(&epoch->firing, false);
            pthread_mutex_lock(&epoch->mutex);
        }
    }
    pthread_mutex_unlock(&epoch->mutex);
    return NULL;
}

void coir__epoch_init(struct epoch *epoch)
{
    coir__timers_init(&epoch->timers);
    pthread_mutex_init(&epoch->mutex, NULL);
    pthread_cond_init(&epoch->changed, NULL);
    epoch->running = epoch->ending = false;
}

/* Signals are the program's: none is to be handled on a thread of ours. */
static bool epoch_start(struct epoch *epoch)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    bool started = pthread_create(&epoch->thread, NULL, epoch_main, epoch) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started)
        pthread_setname_np(epoch->thread, "coir epoch");
    return started;
}

static bool epoch_runs(struct epoch *epoch)
{
    pthread_mutex_lock(&epoch->mutex);
    if (!epoch->running)
        epoch->running = epoch_start(epoch);
    bool runs = epoch->running;
    pthread_mutex_unlock(&epoch->mutex);
    return runs;
}

/* Armed with the mutex open, since that may call the program's allocator; the thread is told afterwards, when it either waits or has still to look. */
bool coir__epoch_arm(struct epoch *epoch, struct timer *timer)
{
    if (!epoch_runs(epoch) || !coir__timers_arm(&epoch->timers, timer))
        return false;
    pthread_mutex_lock(&epoch->mutex);
    pthread_cond_signal(&epoch->changed);
    pthread_mutex_unlock(&epoch->mutex);
    return true;
}

void coir__epoch_stop(struct epoch *epoch)
{
    pthread_mutex_lock(&epoch->mutex);
    bool running = epoch->running && !epoch->ending;
    epoch->ending = true;
    pthread_cond_signal(&epoch->changed);
    pthread_mutex_unlock(&epoch->mutex);
    if (running)
        pthread_join(epoch->thread, NULL);
}

void coir__epoch_done(struct epoch *epoch)
{
    coir__epoch_stop(epoch);
    pthread_cond_destroy(&epoch->changed);
    pthread_mutex_destroy(&epoch->mutex);
    coir__timers_done(&epoch->timers);
}
