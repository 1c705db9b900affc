/*
 * spin.h - waiting for what another thread is about to do
 *
 * That thread may have been preempted, and with more threads than processors those who look on would use up the time that it needs, one time
 * slice after the other. So who has looked for a while lets others run between two looks.
 *
 * The locks, for a few instructions each, are Concurrency Kit's.
 */
#ifndef BASE_SPIN_H
#define BASE_SPIN_H

#include "base/config.h"

#include <ck_spinlock.h>
#include <sched.h>

enum { SPIN_LOOKS = 128 };

/* Between two looks; `looks` counts them, from 0. */
static inline void spin_pause(uint32_t *looks)
{
    if (++*looks % SPIN_LOOKS == 0)
        sched_yield();
    else
        cpu_pause();
}

void coir__spin_lock_contended(ck_spinlock_fas_t *lock);

static inline void spin_lock(ck_spinlock_fas_t *lock)
{
    if (unlikely(!ck_spinlock_fas_trylock(lock)))
        coir__spin_lock_contended(lock);
}

static inline void spin_unlock(ck_spinlock_fas_t *lock) { ck_spinlock_fas_unlock(lock); }

#endif
