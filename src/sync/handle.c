/*
 * handle.c - the end of the waits for an object that was abandoned
 */
#include "sync/handle.h"

#include <inttypes.h>

coir_result coir__handle_abandoned(const coir_fiber *fiber, const char *function, const char *awaits, uint64_t serial)
{
    char label[64];
    return coir__panicf(DOMAIN_COIR, COIR_ABANDONED, "%s: abandoned: fiber%s waits for %s %" PRIu64 ", and all who refer to it only wait for it",
                        function, coir__fiber_label(fiber, label, sizeof label), awaits, serial);
}

/* A run that is not the caller's is pinned before the claim: after it nothing else keeps it. */
void coir__handle_claim(struct handle *handle, struct queue *queue, struct claimed *claimed)   /* MODEL handle.pml: claim */
{
    if (handle_refs_of(load_acquire(&handle->word)) - 1 != load_relaxed(&handle->waiting))
        return;
    while (!queue_is_empty(queue)) {
        struct coir__run *run = run_of(queue->first->fiber);
        coir_fiber *fiber;
        if (!seat_is_of(run))
            run->driver->pin(run);
        if (handle_queue_claim(handle, queue, &fiber) != CLAIM_LOST) {
            fiber->next = NULL;
            *claimed->last = fiber;
            claimed->last = &fiber->next;
        } else if (!seat_is_of(run)) {
            run->driver->unpin(run);
        }
    }
}

/* How the claim was won; only the winner, who asks, may go on from there. */
static enum claim claim_of(coir_fiber *fiber)
{
    return wait_state_of(load_acquire(&fiber->wait.word)) == WAIT_TAKEN ? CLAIM_PARKED : CLAIM_EARLY;
}

void coir__handle_wake(struct claimed *claimed, const char *function, const char *awaits, uint64_t serial)   /* MODEL handle.pml: wake */
{
    for (coir_fiber *next, *fiber = claimed->first; fiber != NULL; fiber = next) {
        struct coir__run *run = run_of(fiber);
        next = fiber->next;
        coir__deliver(fiber, claim_of(fiber), coir__handle_abandoned(fiber, function, awaits, serial));
        if (!seat_is_of(run))
            run->driver->unpin(run);
    }
}
