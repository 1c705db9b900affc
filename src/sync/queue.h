/*
 * queue.h - the waiters of an object, in order of arrival
 *
 * Intrusive: a waiter stands in the frame of the fiber that waits, so waiting allocates nothing and leaving is O(1). All under the
 * object's lock. A waiter that has been taken out has no fiber: its own disarm() then knows that there is nothing to take out.
 */
#ifndef SYNC_QUEUE_H
#define SYNC_QUEUE_H

#include "fiber/driver.h"

struct queue { struct waiter *first, *last; };

static inline bool queue_is_empty(const struct queue *queue) { return queue->first == NULL; }

static inline void queue_push(struct queue *queue, struct waiter *waiter, coir_fiber *fiber)
{
    waiter->fiber = fiber;
    waiter->next = NULL;
    waiter->prev = queue->last;
    *(queue->last == NULL ? &queue->first : &queue->last->next) = waiter;
    queue->last = waiter;
}

/* queue_remove: false: it was taken out before. */
static inline bool queue_remove(struct queue *queue, struct waiter *waiter)             /* MODEL wait.pml: queue_remove */
{
    if (waiter->fiber == NULL)
        return false;
    *(waiter->prev == NULL ? &queue->first : &waiter->prev->next) = waiter->next;
    *(waiter->next == NULL ? &queue->last : &waiter->next->prev) = waiter->prev;
    waiter->fiber = NULL;
    return true;
}

static inline coir_io *frame_of_waiter(struct waiter *waiter) { return container_of(waiter, coir_io, prim_own.waiter); }

/*
 * A fiber in an alternative stands in several queues, in a frame for each. Who has claimed its wait marks the frame through which, under the guard of
 * that queue and before the fiber goes on: nobody else writes there any more.
 */
static inline void case_win(coir_io *frame)                                             /* MODEL alt.pml: case_win */
{
    if (unlikely(frame->flags & NODE_CASE))
        frame->flags |= NODE_WON;
}
static inline bool case_has_won(const coir_io *frame) { return frame->flags & NODE_WON; }

/* queue_claim: takes out the first waiter and claims its wait. CLAIM_LOST: somebody else has ended it. Otherwise claimed_add() follows.
 * queue_claim_one: any of them. */
static ALWAYS_INLINE enum claim queue_claim_one(struct queue *queue, struct waiter *waiter, coir_fiber **fiber)   /* MODEL wait.pml: queue_claim */
{
    *fiber = waiter->fiber;
    struct coir__run *run = run_of(*fiber);
    queue_remove(queue, waiter);
    pin_foreign(run);
    enum claim claim = wait_claim(&(*fiber)->wait, wait_generation(&(*fiber)->wait));
    if (likely(claim != CLAIM_LOST))
        case_win(frame_of_waiter(waiter));
    else
        unpin_foreign(run);
    return claim;
}
static ALWAYS_INLINE enum claim queue_claim(struct queue *queue, coir_fiber **fiber) { return queue_claim_one(queue, queue->first, fiber); }

/* Those whose claim was won under the object's lock, until it is free again. */
struct claimed { coir_fiber *first, **last; };
#define CLAIMED(name) struct claimed name = { NULL, &name.first }

/* claimed_add: its result stands in the fiber. */
static ALWAYS_INLINE void claimed_add(struct claimed *claimed, coir_fiber *fiber, enum claim claim)   /* MODEL semaphore.pml: claimed_add */
{
    /* An early claim is given at once: it touches no queue, and the worker that it is for may be spinning on us next. */
    struct coir__run *run = run_of(fiber);
    fiber->claimed_by = CLAIMED_BY_WAKER;
    if (claim == CLAIM_EARLY && !wait_give(&fiber->wait)) {
        unpin_foreign(run);
        return;
    }
    fiber->next = NULL;
    *claimed->last = fiber;
    claimed->last = &fiber->next;
}

static ALWAYS_INLINE void claimed_add_ok(struct claimed *claimed, coir_fiber *fiber, enum claim claim, coir_value value)
{
    coir__set_ok(&fiber->result, value);
    claimed_add(claimed, fiber, claim);
}

static inline void claimed_make_ready(struct claimed *claimed)                          /* MODEL semaphore.pml: claimed_make_ready */
{
    for (coir_fiber *next, *fiber = claimed->first; fiber != NULL; fiber = next) {
        struct coir__run *run = run_of(fiber);
        next = fiber->next;
        run->driver->ready(run, fiber);
        unpin_foreign(run);
    }
}

/* The error of a fiber whose run is not the one that uses the object. */
static inline coir_result refused(const char *function)
{
    return coir_raise(coir__error(DOMAIN_COIR, COIR_REFUSED, "%s: another run's fibers use it", function));
}

#endif
