/*
 * handle.h - the references to an object that fibers wait for, and how many of them are held by those who wait
 *
 * When all references are held by fibers that wait for the object, nobody is left who could end their waits: it is abandoned, and they are woken
 * with a panic. A fiber that waits in a frame of its own holds one reference there, and counts as long as it is in the object's queue.
 *
 * Who waits in a BORROWED frame (io/node.h) does not count: the reference is the shared tree's, which others may have too. An object that only
 * such waiters are left of is not known to be abandoned; their waits end when the run falls silent.
 *
 * [HANDLE]  The accident: the last who does not wait lets go, another begins to wait, and neither sees that only waiters are left. So one word
 *   counts the references and, in its upper half, the waits that have begun.
 *
 *     to let go                                        to wait, under the object's guard
 *     D1  read the word, then `waiting`                A1  one more waiting
 *     D2  swap the word for one reference less         A2  one more wait begun, and see how many references there are
 *                                                      A3  all of them are waiters' now: take A1 back, and refuse
 *
 *   Both act on the word, so D2 or A2 is first. After D2, A2 sees what is left. After A2, D2 fails, and D1 is done again. If D2 succeeds no wait
 *   has begun since D1, which acquired what the last A2 released; since then `waiting` can only have become less. (It would take 2^32 waits begun
 *   between D1 and D2 to be mistaken.)
 *
 * Who finds that it would leave only waiters keeps its reference until it has taken them out, under the guard: so the object is there as long as
 * anybody is in its queue.
 */
#ifndef SYNC_HANDLE_H
#define SYNC_HANDLE_H

#include "sync/queue.h"

struct handle {
    _Atomic uint64_t word;                              /* A [HANDLE] */
    _Atomic uint32_t waiting;                           /* A [HANDLE], written under the guard */
};

#define HANDLE_WAIT_BEGUN ((uint64_t)1 << 32)

static inline uint32_t handle_refs_of(uint64_t word) { return (uint32_t)word; }

static inline void handle_init(struct handle *handle)
{
    atomic_init(&handle->word, 1);
    atomic_init(&handle->waiting, 0);
}

static inline void handle_ref(struct handle *handle) { fetch_add_relaxed(&handle->word, (uint64_t)1); }

enum handle_end {
    HANDLE_LIVES,                                       /* the reference is given up, others are left */
    HANDLE_DIES,                                        /* it was the last */
    HANDLE_ABANDONED                                    /* it may have been the last but for waiters: it is not given up yet */
};

static inline enum handle_end handle_let_go(struct handle *handle)                      /* MODEL handle.pml: let_go */
{
    uint64_t word = load_acquire(&handle->word);                                /* D1 [HANDLE] */
    do {
        if (unlikely(handle_refs_of(word) - 1 <= load_relaxed(&handle->waiting)))
            return handle_refs_of(word) == 1 ? HANDLE_DIES : HANDLE_ABANDONED;
    } while (!cas_acq_rel(&handle->word, &word, word - 1));                     /* D2 [HANDLE] */
    return HANDLE_LIVES;
}

/* --------------------------------------------------------------------------------- the queue of its waiters, under the guard */

static inline uint32_t handle_share_of(struct waiter *waiter) { return frame_of_waiter(waiter)->flags & NODE_BORROWED ? 0 : 1; }

/* relaxed: under the guard; [HANDLE] says what orders it for others. */
static inline uint32_t handle_waiting_add(struct handle *handle, uint32_t n)
{
    uint32_t waiting = load_relaxed(&handle->waiting) + n;
    store_relaxed(&handle->waiting, waiting);
    return waiting;
}

/* handle_queue_push: false: the object would be abandoned with that, and stays as it was. MODEL handle.pml: push */
static inline bool handle_queue_push(struct handle *handle, struct queue *queue, struct waiter *waiter, coir_fiber *fiber)
{
    uint32_t share = handle_share_of(waiter), waiting = handle_waiting_add(handle, share);           /* A1 */
    uint64_t before = share == 0 ? 0 : fetch_add_acq_rel(&handle->word, HANDLE_WAIT_BEGUN);          /* A2 [HANDLE] */
    if (unlikely(share != 0 && handle_refs_of(before) == waiting)) {                                 /* A3 */
        handle_waiting_add(handle, -share);
        return false;
    }
    queue_push(queue, waiter, fiber);
    return true;
}

static inline bool handle_queue_remove(struct handle *handle, struct queue *queue, struct waiter *waiter)   /* MODEL handle.pml: remove */
{
    if (!queue_remove(queue, waiter))
        return false;
    handle_waiting_add(handle, -handle_share_of(waiter));
    return true;
}

/* handle_queue_claim, handle_queue_claim_one: as queue_claim(). The waiter counts no more, whoever won. */
static ALWAYS_INLINE enum claim handle_queue_claim_one(struct handle *handle, struct queue *queue, struct waiter *waiter, coir_fiber **fiber)
{
    handle_waiting_add(handle, -handle_share_of(waiter));                       /* first: who is claimed may take its frame along */
    return queue_claim_one(queue, waiter, fiber);
}
static ALWAYS_INLINE enum claim handle_queue_claim(struct handle *handle, struct queue *queue, coir_fiber **fiber)
{
    return handle_queue_claim_one(handle, queue, queue->first, fiber);
}

/* ------------------------------------------------------------------------------------------------------------- abandoned */

/* For one whose handle_let_go() said ABANDONED, under the guard. If waiters are all that would be left, coir__handle_claim() takes them out;
 * coir__handle_wake(), when the guard is free again, wakes those whose claims were won. Then the reference can be given up. (An alternative that
 * somebody could still serve elsewhere is only taken out: its frame's `refs`, of no other use in a frame, counts the places that are left.) */
static inline bool handle_has_only_waiters(struct handle *handle)
{
    return handle_refs_of(load_acquire(&handle->word)) - 1 == load_relaxed(&handle->waiting);
}
struct claimed_waits { coir_fiber *first; };            /* chained by `next`; not given yet */
void coir__handle_claim(struct handle *handle, struct queue *queue, struct claimed_waits *claimed);
void coir__handle_wake(struct claimed_waits *claimed, const char *function, const char *awaits, uint64_t serial);

/* coir__handle_abandoned: the panic of one of them. */
coir_result coir__handle_abandoned(const coir_fiber *fiber, const char *function, const char *awaits, uint64_t serial);

#endif
