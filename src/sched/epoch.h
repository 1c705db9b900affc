/*
 * epoch.h - the sleepers of the epoch clock, which may be set while they sleep
 *
 * A thread of its own, begun with the first of them, waits on the condition variable's own clock, CLOCK_REALTIME, by an absolute
 * moment: the kernel ends such a wait when the clock, however it came there, has reached it.
 */
#ifndef SCHED_EPOCH_H
#define SCHED_EPOCH_H

#include "sched/timers.h"

#include <pthread.h>

struct epoch {
    struct timers   timers;
    pthread_mutex_t mutex;
    pthread_cond_t  changed;
    pthread_t       thread;
    bool            running, ending;                    /* under mutex */
    _Atomic bool    firing;                             /* A [EPOCH]: what was due is being woken */
};

void coir__epoch_init(struct epoch *epoch);
void coir__epoch_stop(struct epoch *epoch);                     /* nobody is woken any more; twice is harmless */
void coir__epoch_done(struct epoch *epoch);                     /* no sleeper is left */
/* epoch_sleeps: whether a sleeper is still to be woken. epoch_fires: whether some are just being woken. [EPOCH] `firing` is set before the sleepers
 * are taken out, and cleared after they were made ready: who sees no sleeper, and after that no firing, sees after that those fibers in the queue. */
static inline bool epoch_sleeps(struct epoch *epoch) { return load_acquire(&epoch->timers.earliest) != INT64_MAX; }
static inline bool epoch_fires(struct epoch *epoch)  { return load_acquire(&epoch->firing); }
bool coir__epoch_arm(struct epoch *epoch, struct timer *timer);           /* false: no memory, or no thread */

#endif
