/*
 * timers.h - the sleepers of one worker: a heap by moment, under a lock, so that others can fire what is due
 *
 * Equal moments go off in the order of arming. Arming may need memory, disarming and firing do not.
 */
#ifndef SCHED_TIMERS_H
#define SCHED_TIMERS_H

#include "fiber/driver.h"

struct timer_entry { int64_t due; uint64_t serial; struct timer *timer; };

struct timers {
    ck_spinlock_fas_t   lock;
    struct timer_entry *heap;                           /* L: four children each */
    size_t              count, room;                    /* L */
    uint64_t            serial;                         /* L */
    _Atomic int64_t     earliest;                       /* A, written under lock: INT64_MAX: none */
};

void coir__timers_init(struct timers *timers);
void coir__timers_done(struct timers *timers);
bool coir__timers_arm(struct timers *timers, struct timer *timer);        /* false: no memory */
void coir__timers_disarm(struct timer *timer);                            /* of one that may have gone off */
/* coir__timers_fire: claims the waits of all that are due; gives how many. The fibers are made ready by the calling thread. */
size_t coir__timers_fire(struct timers *timers, int64_t now);

static inline int64_t timers_earliest(struct timers *timers) { return load_relaxed(&timers->earliest); }

#endif
