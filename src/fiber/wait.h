/*
 * wait.h - one suspension of a fiber: many may want to end it, one does
 *
 * Roles. The worker that runs the fiber begins the wait, registers it (in a lock's queue, a timer heap, a callback's slot) and lets
 * go. Claimers end it: a waker, a deadline, a cancellation, a verdict. They meet in one word, {generation, state}.
 *
 *   state      begin()    let_go()      claim()               give()                 hold()    meaning
 *   RUNNING    ARMING     -             loses                 -                      no        a worker owns the fiber
 *   ARMING     -          PARKED        CLAIMED, wins         -                      no        the worker is registering it
 *   PARKED     -          -             TAKEN, wins           -                      HELD      no worker touches the fiber
 *   CLAIMED    -          LEFT          loses                 GIVEN                  no        claimed early, its result not yet there
 *   GIVEN      -          goes on: RUNNING   loses            -                      no        claimed early, its result is there
 *   LEFT       -          -             loses                 TAKEN, makes ready     no        claimed early, the worker has gone
 *   TAKEN      -          -             loses                 makes ready            no        the claimer owns the fiber
 *   HELD       -          -             waits for PARKED      -                      -         somebody reads the fiber's frame; take_held(),
 *                                                                                              by that one, makes it TAKEN
 *        - cannot happen: asserted in the checking build
 *
 * Who wins a claim owns the right to write the fiber's result, once; who loses keeps what it wanted to give and hands it on. A claim
 * names the generation that it means, so that one that comes late cannot hit a later wait of the same fiber.
 *
 * Where it takes effect: the compare-and-swap of claim(). Wait-free for the worker but for one retry; a claimer retries only while another
 * thread makes progress, or for the few loads that a HELD state lasts.
 *
 * Pairs
 *   [WAIT-PARK]  let_go() releases, claim() acquires: the claimer sees the fiber and its frames as the worker left them.
 *   [WAIT-GIVE]  give() releases, let_go() acquires: the worker that goes on sees the result. Where the claimer makes the fiber
 *                ready instead, the run queue carries it.
 *   [WAIT-HOLD]  let_go() releases, hold() acquires; unhold() releases, claim() acquires: the reader is gone before the fiber moves.
 * The generation cannot come round: 2^60 waits.
 */
#ifndef FIBER_WAIT_H
#define FIBER_WAIT_H

#include "base/atomic.h"
#include "base/check.h"
#include "base/spin.h"

enum wait_state { WAIT_RUNNING, WAIT_ARMING, WAIT_PARKED, WAIT_CLAIMED, WAIT_GIVEN, WAIT_LEFT, WAIT_TAKEN, WAIT_HELD };

enum { WAIT_STATE_BITS = 3, WAIT_STATE_MASK = (1 << WAIT_STATE_BITS) - 1 };

/* By whom a wait was ended. */
enum claimer { CLAIMED_BY_WAKER, CLAIMED_BY_DEADLINE, CLAIMED_BY_CANCEL, CLAIMED_BY_VERDICT };

enum claim {
    CLAIM_LOST,                                         /* somebody was first: hand it on */
    CLAIM_EARLY,                                        /* won while the worker still registers: write the result, then wait_give() */
    CLAIM_PARKED                                        /* won: write the result, then make the fiber ready */
};

struct wait { _Atomic uint64_t word; };                 /* A [WAIT-PARK] [WAIT-GIVE] [WAIT-HOLD] */

static inline enum wait_state wait_state_of(uint64_t word) { return (enum wait_state)(word & WAIT_STATE_MASK); }
static inline uint64_t wait_generation_of(uint64_t word)   { return word >> WAIT_STATE_BITS; }
static inline uint64_t wait_generation(struct wait *wait)  { return wait_generation_of(load_relaxed(&wait->word)); }

/* wait_begin: by the worker, before it registers anything. relaxed: only what it registers makes the wait known, and does so with a release
 * of its own (a spinlock's unlock, a slot's store). */
static inline void wait_begin(struct wait *wait)                                        /* MODEL wait.pml: begin */
{
    uint64_t word = load_relaxed(&wait->word);
    store_relaxed(&wait->word, (wait_generation_of(word) + 1) << WAIT_STATE_BITS | WAIT_ARMING);
}

/* wait_give_up: by the worker, when arm() found that there is nothing to wait for and nobody can know of the wait, or it has been taken back. */
static inline void wait_give_up(struct wait *wait)                                      /* MODEL wait.pml: give_up */
{
    uint64_t word = load_relaxed(&wait->word);
    invariant(wait_state_of(word) == WAIT_ARMING || wait_state_of(word) == WAIT_RUNNING);
    store_relaxed(&wait->word, (word & ~(uint64_t)WAIT_STATE_MASK) | WAIT_RUNNING);
}

/* wait_take_back: by the worker, while it still registers: ends the wait itself. False: somebody has claimed it before. */
static inline bool wait_take_back(struct wait *wait)                                    /* MODEL wait.pml: take_back */
{
    uint64_t word = load_relaxed(&wait->word);
    return wait_state_of(word) == WAIT_ARMING && cas_acq_rel(&wait->word, &word, word - WAIT_ARMING + WAIT_RUNNING);
}

/* wait_let_go: by the worker, last of all. True: the fiber is no longer its own. False: the wait has been ended, go on. */
static inline bool wait_let_go(struct wait *wait)                                       /* MODEL wait.pml: let_go */
{
    uint64_t word = load_acquire(&wait->word);                              /* [WAIT-GIVE] */
    uint64_t base = word & ~(uint64_t)WAIT_STATE_MASK;
    for (;;) {
        enum wait_state to = wait_state_of(word) == WAIT_ARMING ? WAIT_PARKED : WAIT_LEFT;
        if (wait_state_of(word) == WAIT_GIVEN)
            return false;                               /* wait_resumed() follows */
        if (cas_full(&wait->word, &word, base | to))                        /* [WAIT-PARK] [WAIT-GIVE], W1 of [CANCEL] */
            return true;
    }
}

/* wait_claim: ends the wait of that generation, if nobody has yet. */
static inline enum claim wait_claim(struct wait *wait, uint64_t generation)             /* MODEL wait.pml: claim */
{
    uint64_t word = load_acquire(&wait->word);
    uint64_t base = generation << WAIT_STATE_BITS;
    uint32_t looks = 0;
    for (;;) {
        if (wait_generation_of(word) != generation)
            return CLAIM_LOST;
        switch (wait_state_of(word)) {
        case WAIT_ARMING:
            if (cas_acq_rel(&wait->word, &word, base | WAIT_CLAIMED))
                return CLAIM_EARLY;
            break;
        case WAIT_PARKED:
            if (cas_acq_rel(&wait->word, &word, base | WAIT_TAKEN))         /* [WAIT-PARK] */
                return CLAIM_PARKED;
            break;
        case WAIT_HELD:
            spin_pause(&looks);
            word = load_acquire(&wait->word);
            break;
        default:
            return CLAIM_LOST;
        }
    }
}

/* wait_give: by the winner of an early claim, after it wrote the result. True: the worker has gone, the fiber is to be made ready. */
static inline bool wait_give(struct wait *wait)                                         /* MODEL wait.pml: give */
{
    uint64_t word = load_relaxed(&wait->word);
    uint64_t base = word & ~(uint64_t)WAIT_STATE_MASK;
    for (;;) {
        invariant(wait_state_of(word) == WAIT_CLAIMED || wait_state_of(word) == WAIT_LEFT);
        enum wait_state to = wait_state_of(word) == WAIT_CLAIMED ? WAIT_GIVEN : WAIT_TAKEN;
        if (cas_acq_rel(&wait->word, &word, base | to))                     /* [WAIT-GIVE] */
            return to == WAIT_TAKEN;
    }
}

/* wait_resumed: by the worker that runs the fiber again. */
static inline void wait_resumed(struct wait *wait)                                      /* MODEL wait.pml: resumed */
{
    uint64_t word = load_relaxed(&wait->word);
    store_relaxed(&wait->word, (word & ~(uint64_t)WAIT_STATE_MASK) | WAIT_RUNNING);
}

/* wait_hold: keeps a parked fiber parked for as long as its frame is read. Only loads may come between, no lock; and before wait_take_held() what a
 * claimer writes. */
static inline bool wait_hold(struct wait *wait)                                         /* MODEL wait.pml: hold */
{
    uint64_t word = load_acquire(&wait->word);
    return wait_state_of(word) == WAIT_PARKED && cas_acq_rel(&wait->word, &word, word - WAIT_PARKED + WAIT_HELD);   /* [WAIT-HOLD] */
}

/* wait_take_held: a claim by who holds it. */
static inline void wait_take_held(struct wait *wait)                                    /* MODEL wait.pml: take_held */
{
    uint64_t word = load_relaxed(&wait->word);
    invariant(wait_state_of(word) == WAIT_HELD);
    store_release(&wait->word, word - WAIT_HELD + WAIT_TAKEN);
}

static inline void wait_unhold(struct wait *wait)                                       /* MODEL wait.pml: unhold */
{
    uint64_t word = load_relaxed(&wait->word);
    invariant(wait_state_of(word) == WAIT_HELD);
    store_release(&wait->word, word - WAIT_HELD + WAIT_PARKED);             /* [WAIT-HOLD] */
}

#endif
