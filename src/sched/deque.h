/*
 * deque.h - a work-stealing deque of fibers, of fixed size
 *
 * Roles. The owner pushes and pops at the bottom (LIFO: what was forked last, still warm, runs next); any worker steals at the top
 * (FIFO: the oldest, which in a fork-join tree is the biggest piece). Chase and Lev's deque, with the C11 orders of Lê, Pop, Cohen and
 * Nardelli, "Correct and efficient work-stealing for weak memory models" (2013), without growing: a full one refuses.
 *
 * The entries are those from top to bottom - 1. An operation takes effect
 *   push    at the store of bottom
 *   pop     at the store of bottom, but for the last entry, where it is the compare-and-swap of top
 *   steal   at the compare-and-swap of top
 * What looks like the last entry to the owner it takes as a thief does, by that compare-and-swap alone, which saves the fence. A stale top only
 * makes the deque look fuller than it is: then the owner goes the other way, where it reads top again.
 * Push is wait-free, pop too; a steal that fails lost to another one, or to the owner. No ABA: top only grows, 2^63 steals.
 *
 * [DEQUE-PUSH]  push() releases bottom, steal() acquires it: the thief sees the slot, and the fiber behind it.
 * [DEQUE-LAST]  The accident: the owner pops the last entry while a thief steals it.
 *
 *     owner, in pop                        thief
 *     O1  bottom := bottom - 1             T1  read top
 *         full fence                           full fence
 *     O2  read top                         T2  read bottom
 *
 *   The fences are in one total order. If the owner's comes first, T2 reads the lower bottom and the thief leaves the entry; otherwise O2
 *   reads a top at least as new as T1, and for the last entry both then meet in the compare-and-swap of top.
 */
#ifndef SCHED_DEQUE_H
#define SCHED_DEQUE_H

#include "fiber/fiber.h"

enum { DEQUE_SIZE = 1024 };

struct deque {
    LINE_ALIGNED _Atomic int64_t top;                   /* A [DEQUE-LAST] */
    LINE_ALIGNED _Atomic int64_t bottom;                /* A [DEQUE-PUSH] [DEQUE-LAST], written by the owner alone */
    coir_fiber *_Atomic slots[DEQUE_SIZE];
};

static inline coir_fiber *_Atomic *deque_slot(struct deque *deque, int64_t index) { return &deque->slots[index & (DEQUE_SIZE - 1)]; }

/* deque_size: by anyone, a snapshot. */
static inline int64_t deque_size(struct deque *deque)
{
    int64_t size = load_relaxed(&deque->bottom) - load_relaxed(&deque->top);
    return size < 0 ? 0 : size;
}

/* deque_room: by the owner: how many it surely takes. */
static inline int64_t deque_room(struct deque *deque)
{
    return DEQUE_SIZE - (load_relaxed(&deque->bottom) - load_acquire(&deque->top));
}

static inline bool deque_push(struct deque *deque, coir_fiber *fiber)                   /* MODEL deque.pml: push */
{
    int64_t bottom = load_relaxed(&deque->bottom);      /* relaxed: our own */
    if (unlikely(bottom - load_acquire(&deque->top) >= DEQUE_SIZE))
        return false;
    store_relaxed(deque_slot(deque, bottom), fiber);
    store_release(&deque->bottom, bottom + 1);                                  /* [DEQUE-PUSH] */
    return true;
}

static inline coir_fiber *deque_pop(struct deque *deque)                                /* MODEL deque.pml: pop */
{
    int64_t bottom = load_relaxed(&deque->bottom), top = load_relaxed(&deque->top);
    if (top >= bottom)                                  /* empty: top only grows, so a stale one errs on the safe side */
        return NULL;
    bottom--;
    coir_fiber *fiber = load_relaxed(deque_slot(deque, bottom));
    if (top == bottom)
        return cas_full(&deque->top, &top, top + 1) ? fiber : NULL;
    store_relaxed(&deque->bottom, bottom);                                      /* O1 */
    fence_full();                                                               /* [DEQUE-LAST] pairs with deque_steal() */
    top = load_relaxed(&deque->top);                                            /* O2 */
    if (likely(top <= bottom)) {
        if (likely(top < bottom))
            return fiber;
        if (!cas_full(&deque->top, &top, top + 1))
            fiber = NULL;                               /* a thief has it */
    } else {
        fiber = NULL;
    }
    store_relaxed(&deque->bottom, bottom + 1);
    return fiber;
}

/* deque_steal: NULL: empty, or somebody was faster. */
static inline coir_fiber *deque_steal(struct deque *deque)                              /* MODEL deque.pml: steal */
{
    int64_t top = load_acquire(&deque->top);                                    /* T1 */
    fence_full();                                                               /* [DEQUE-LAST] pairs with deque_pop() */
    int64_t bottom = load_acquire(&deque->bottom);                              /* T2 [DEQUE-PUSH] */
    if (top >= bottom)
        return NULL;
    coir_fiber *fiber = load_relaxed(deque_slot(deque, top));
    return cas_full(&deque->top, &top, top + 1) ? fiber : NULL;
}

#endif
