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

/* Whether somebody could still serve it elsewhere: so it is for the last of an alternative's places to end the wait. */
static bool waits_elsewhere(const coir_io *frame)
{
    return frame->flags & NODE_CASE && fetch_sub_acq_rel(&frame->up->refs, 1u) > 1;
}

void coir__handle_claim(struct handle *handle, struct queue *queue, struct claimed_waits *claimed)   /* MODEL handle.pml: claim */
{
    coir_fiber **last = &claimed->first, *fiber;
    while (*last != NULL)
        last = &(*last)->next;
    while (!queue_is_empty(queue)) {
        if (unlikely(waits_elsewhere(frame_of_waiter(queue->first)))) {
            (void)handle_queue_remove(handle, queue, queue->first);
            continue;
        }
        if (handle_queue_claim(handle, queue, &fiber) == CLAIM_LOST)
            continue;
        fiber->next = NULL;
        *last = fiber;
        last = &fiber->next;
    }
}

/* How the claim was won; only the winner, who asks, may go on from there. */
static enum claim claim_of(coir_fiber *fiber)
{
    return wait_state_of(load_acquire(&fiber->wait.word)) == WAIT_TAKEN ? CLAIM_PARKED : CLAIM_EARLY;
}

void coir__handle_wake(struct claimed_waits *claimed, const char *function, const char *awaits, uint64_t serial)   /* MODEL handle.pml: wake */
{
    CLAIMED(woken);
    for (coir_fiber *next, *fiber = claimed->first; fiber != NULL; fiber = next) {
        next = fiber->next;
        coir_result panic = coir__handle_abandoned(fiber, function, awaits, serial);
        coir__set(&fiber->result, &panic);
        claimed_add(&woken, fiber, claim_of(fiber));
    }
    claimed_make_ready(&woken);
}
