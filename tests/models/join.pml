/*
 * join.pml - the end of a fiber, and those who wait for it: src/fiber/fiber.c, [FIBER-END]
 *
 * Processes
 *   ending   coir__fiber_end() of one fiber, on its worker: waiters_claim(), gives up its own reference, makes ready whom it has claimed
 *   fiber    a joiner: join_attempt(), join_arm() with coir__fiber_await(), the wait; coir__fiber_unawait() when somebody else has ended it;
 *            reads the result, and gives up its handle
 *   stopper  one for each joiner: ends its wait at any moment, STOPS times all together
 *
 * Proved
 *   1. Each joiner comes to its end, or there would be a state in which all stand still.
 *   2. Who sees ENDED, and whom the end has woken, finds the result: asserted.
 *   3. The ended fiber is freed once, and not touched any more; no waiter is touched after its frame has gone: asserted.
 *
 * Left out: slots and slabs; joiners of other runs, which are pinned in between.
 *
 * RUN    -DFIBERS=2 -DSTOPS=1
 * BREAK  -DNO_SECOND_LOOK              the joiner does not look again under the lock
 * BREAK  -DNO_UNAWAIT                  a joiner that was stopped stays in the list
 * BREAK  -DCLEAR_LATE                  a waiter is taken out after its fiber may have gone on
 * BREAK  -DRESULT_LATE                 the result comes after the phase
 * BREAK  -DENDED_UNLOCKED              the phase is set when the list was looked through
 * RUN    -DFIBERS=1 -DSTOPS=1
 * DEEP   -DSTOPS=2
 * DEEP   -DFIBERS=3 -DSTOPS=1
 */
#ifndef FIBERS
#define FIBERS 2
#endif
#ifndef STOPS
#define STOPS  2
#endif

#include "queue.inc"

/* The fiber that ends. `guard` is its lock. */
bool result, ended, freed;
byte refs = FIBERS + 1;
bool listed[FIBERS];                    /* the joiner's waiter has a fiber: it is in the list */
bool frame[FIBERS];                     /* and stands in a frame that is there */

inline drop()
{
    atomic {
        assert(!freed);
        refs--;
        if
        :: refs == 0 -> freed = true
        :: else
        fi
    }
}

/* Those who are to be made ready. MODEL join.pml: waiters_claim */
inline waiters_claim()
{
    do
    :: f < FIBERS && listed[f] ->
        assert(frame[f]);
#ifndef CLEAR_LATE
        listed[f] = false;
#endif
        generation = GENERATION(word[f]);
        wait_claim(f, generation);
        if
        :: claim != LOST ->
            claimed_by[f] = WAKER;
            if
            :: claim == EARLY -> wait_give(f)
            :: else -> away = true
            fi;
            woken[f] = away
        :: else
        fi;
#ifdef CLEAR_LATE
        atomic { assert(frame[f]); listed[f] = false }
#endif
        atomic { away = false; claim = LOST; generation = 0; f++ }
    :: f < FIBERS && !listed[f] -> f++
    :: f == FIBERS -> f = 0; break
    od
}

/* MODEL join.pml: end */
proctype ending()
{
    byte seen, claim, generation, f;
    bool away, woken[FIBERS];

#ifdef RESULT_LATE
    ended = true;
    result = true;
#else
    result = true;
#endif
    if
    :: refs == 1 -> ended = true; refs = 0; freed = true
    :: else ->
        atomic { LOCK }
#ifndef ENDED_UNLOCKED
        ended = true;
#endif
        waiters_claim();
        UNLOCK;
#ifdef ENDED_UNLOCKED
        ended = true;
#endif
        drop();
        do
        :: f < FIBERS && woken[f] ->
            assert(!freed);                                             /* who has not gone on keeps it */
            make_ready(f);
            f++
        :: f < FIBERS && !woken[f] -> f++
        :: f == FIBERS -> break
        od
    fi
}

proctype fiber(byte me)
{
    byte seen;
    bool away, waits, stopped;

    assert(!freed);
    if
    :: ended                                                            /* MODEL join.pml: attempt */
    :: !ended ->
        atomic { wait_begin(me); frame[me] = true }
        atomic {                                                        /* MODEL join.pml: await */
            !guard ->
            assert(!freed);
#ifndef NO_SECOND_LOOK
            waits = !ended;
#else
            waits = true;
#endif
            listed[me] = waits;
            known[me] = waits
        }
        if
        :: !waits -> wait_give_up(me)
        :: waits ->
            suspend(me);
            stopped = claimed_by[me] == STOPPER;
            if
#ifndef NO_UNAWAIT
            :: stopped -> atomic { !guard -> assert(!freed); listed[me] = false }     /* MODEL join.pml: unawait */
#endif
            :: else
            fi
        fi;
        frame[me] = false
    fi;
    if
    :: !stopped -> assert(ended && result && !freed)                    /* MODEL join.pml: joined */
    :: stopped
    fi;
    drop()
}

init
{
    atomic {
        run ending();
        run fiber(0); run stopper(0);
#if FIBERS > 1
        run fiber(1); run stopper(1);
#endif
#if FIBERS > 2
        run fiber(2); run stopper(2)
#endif
    }
}
