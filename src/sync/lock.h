/*
 * sync/lock.h - the lock as a condition sees it, which takes it from its holder for a while
 *
 * The number of a waiter's frame says how often more than once it will have the lock: 0, or, of one whom a condition sends back, what it had before.
 *
 * Absent are those who have given it up to wait for a condition, and will take it again. Until then it is of their run, though it may be free.
 */
#ifndef SYNC_LOCK_H
#define SYNC_LOCK_H

#include "sync/queue.h"

#include <coir/sync.h>

struct coir_lock {
    _Atomic uint32_t  refs;
    ck_spinlock_fas_t guard;
    coir_fiber       *holder;                           /* L under guard */
    _Atomic uint64_t  holder_id;                        /* A, written under guard: for the search for deadlocks; 0: free */
    uint64_t          count;                            /* L: how often the holder has it */
    struct queue      waiters;                          /* L */
    struct held       held;                             /* of the holder; its serial I */
    uint64_t          absent;                           /* L */
    const struct coir__run *absent_of;                  /* L: their run, as long as there are any */
};

/* All under the guard. coir__lock_own: of a free one. coir__lock_pass_on: its holder, whose it is no more, has let go: to the first who waits. */
void coir__lock_own(coir_lock *lock, coir_fiber *fiber, uint64_t count);
void coir__lock_pass_on(coir_lock *lock, struct claimed *claimed);
/* coir__lock_wait: registers the waiter, on a seat. */
void coir__lock_wait(coir_lock *lock, struct waiter *waiter, coir_fiber *fiber);

#endif
