/*
 * blockers.h - the threads beside the pool on which blocking functions are called
 *
 * There are as many as are needed at once, up to a bound; what exceeds it waits, first in, first out. A thread with nothing to do ends after
 * IDLE_TIME. All of them have ended before the run has.
 */
#ifndef SCHED_BLOCKERS_H
#define SCHED_BLOCKERS_H

#include "fiber/driver.h"

#include <pthread.h>

struct blocker;

struct blockers {
    pthread_mutex_t lock;
    pthread_cond_t  wanted;                             /* there is a job, or the end has come */
    struct job     *first, *last;                       /* under lock, as all that follows: those that nobody has begun */
    unsigned        waiting;                            /* how many they are */
    unsigned        threads, idle;                      /* idle: of those threads, who wait for a job */
    unsigned        max;                                /* I */
    struct blocker *ended;                              /* those to be joined */
    size_t          stack_size;                         /* I; 0: the system's */
    bool            over;
    const struct coir__run *run;                        /* I */
};

void coir__blockers_init(struct blockers *blockers, const struct coir__run *run, const coir_options *options);
/* coir__blockers_add: false: there is no thread, and none can be had. coir__blockers_remove: true: nobody had begun it, and nobody will. */
bool coir__blockers_add(struct blockers *blockers, struct job *job);
bool coir__blockers_remove(struct blockers *blockers, struct job *job);
/* coir__blockers_stop: waits for the jobs that have begun; those that have not are left alone. Nothing is added afterwards. */
void coir__blockers_stop(struct blockers *blockers);
void coir__blockers_done(struct blockers *blockers);

#endif
