/*
 * spin.c - what spinning is like where a lock is held
 */
#include "base/spin.h"

void coir__spin_lock_contended(ck_spinlock_fas_t *lock)
{
    uint32_t looks = 0;
    do {
        while (ck_spinlock_fas_locked(lock))
            spin_pause(&looks);
    } while (!ck_spinlock_fas_trylock(lock));
}
