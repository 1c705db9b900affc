/*
 * cancel.h - calling a fiber off: requests, what they mean, who sees them
 *
 * A request names a scope: the fiber as a whole, or a part of its program that was opened inside it (the body of a time-out, of a
 * coir_scope()). It is visible where the mask is no deeper than it was when that scope was opened, and is seen on the way down, before an
 * instruction is run, and by a fiber that is suspended; never on the way up, so a value that is there wins. Of several that are visible the
 * outermost counts. What is seen ends the instruction as CANCELED, and the frames unwind up to the scope that was meant.
 *
 * Masks count. Where coir_cancelable() takes one off that a scope was opened in, it is off for that scope, too: a mask that is put on inside
 * hides its requests again, though the count is what it was when the scope was opened. Finalizers, releases and cancellers put `floor` under what coir_cancelable() may take off.
 *
 * [CANCEL]  The accident: the request is not seen by a fiber that is about to be suspended, and the requester sees no wait that it could end.
 *
 *     requester                            worker, about to let the fiber go
 *     R1  notes the request in the scope   W1  wait := PARKED, in let_go()
 *     R2  asked := 1
 *     R3  reads the wait                   W2  reads asked
 *
 *   R2, R3, W1 and W2 are sequentially consistent. If R3 finds no PARKED wait, W1 comes after it, so W2 reads 1, and the worker does
 *   what the requester could not. Both go through coir__cancel_poke(), which holds the wait while it looks: WAIT_HELD, see wait.h. R2
 *   releases R1 to whoever acquires `asked`.
 *   By W2 the fiber may be another's, ended, or a new fiber in the same slot: all that is looked at is that slot's own request, so nobody
 *   is canceled who is not asked to be; and the slot stays as long as the run.
 */
#ifndef FIBER_CANCEL_H
#define FIBER_CANCEL_H

#include "fiber/driver.h"

/* A part of a fiber's program that can be called off by itself. It stands in the frame that opened it. */
struct cancel_scope {
    struct held  link;                                  /* in the fiber's list of what it has open; its `abandon` is NULL */
    uint32_t     mask;                                  /* O: how deep the mask was when it was opened; less where it was taken off since */
    bool         unwinding;                             /* O: a cancellation on its behalf is going up */
    bool         armed;                                 /* O: its timer is */
    _Atomic bool requested;                             /* A [CANCEL] */
    struct timer timer;                                 /* its due is a duration until it is armed; INT64_MAX: none */
};

/* coir__scope_open: `limit` ns from when the fiber first gives up its worker; INT64_MAX: no limit. By the fiber's worker, as all with O. */
void coir__scope_open(coir_fiber *fiber, struct cancel_scope *scope, int64_t limit);
void coir__scope_close(coir_fiber *fiber, struct cancel_scope *scope);
/* coir__scope_meant: of one that was just closed, and was given CANCELED: whether it was on its behalf, and no outer one wants more. */
bool coir__scope_meant(coir_fiber *fiber, const struct cancel_scope *scope);
/* coir__scope_request: asks the scope, which is open, to end. By the fiber's own worker, or under whatever keeps the scope from being closed;
 * then coir__cancel_poke() is to follow, which needs no such thing. */
void coir__scope_request(coir_fiber *fiber, struct cancel_scope *scope);

/* coir__scopes_lower: after the mask became one less: scopes that were opened under the one that is off see to it. Gives where they end, for
 * coir__scopes_raise(), which is called after it was put on again. */
struct cancel_scope *coir__scopes_lower(coir_fiber *fiber);
void coir__scopes_raise(coir_fiber *fiber, const struct cancel_scope *end);

/* coir__deadlines_arm: before the fiber gives up its worker. False: no memory for a timer. coir__deadline_is_wanted: after that: one could end what the fiber does now. (A
 * masked wait goes on without: who waits for children must not leave them behind for want of a timer that may not end it.) */
bool coir__deadlines_arm(struct coir__seat *seat, coir_fiber *fiber);
bool coir__deadline_is_wanted(const coir_fiber *fiber);

/* coir__cancel_seen: O: whether there is a request that is visible; then *result is the cancellation. */
bool coir__cancel_seen(coir_fiber *fiber, coir_result *result);
/* coir__cancel_declined: O: a wait that a request had ended has come to something else all the same: nothing goes up on behalf of the scope that asked, and
 * a CANCELED that a finalizer makes of what goes up is none of its own. */
void coir__cancel_declined(coir_fiber *fiber);
/* coir__cancel_request: asks the fiber to end. From any thread, with a handle. */
void coir__cancel_request(coir_fiber *fiber);
/* coir__cancel_note: the first half of that, for a fiber of the run at hand: what is running sees it. coir__cancel_poke() is to follow. So of many
 * all are asked before the first of them is woken, and none takes what another, being called off, gives back. */
void coir__cancel_note(coir_fiber *fiber);
/* coir__cancel_poke: a fiber that is suspended and sees the request goes on. From any thread while the run cannot end. */
void coir__cancel_poke(coir_fiber *fiber);

/* The mask, O. enter and leave in pairs; `floor` is what leave puts back. */
static inline uint32_t final_enter(coir_fiber *fiber)
{
    uint32_t floor = load_relaxed(&fiber->floor);
    store_relaxed(&fiber->floor, ++fiber->mask);
    return floor;
}
static inline void final_leave(coir_fiber *fiber, uint32_t floor)
{
    fiber->mask--;
    store_relaxed(&fiber->floor, floor);
}

/* The frame of coir_timeout() and coir_timeout_to(): what stands behind the node's head. */
struct timed { int64_t limit; struct cancel_scope scope; };
static inline struct timed *timed_of(coir_io *frame) { return (struct timed *)(void *)((char *)frame + NODE_SMALL); }
enum { TIMED_SIZE = NODE_SMALL + sizeof(struct timed) };

#endif
