/*
 * semaphore.pml - a counting semaphore, fair and bounded: src/sync/semaphore.c, src/sync/queue.h
 *
 * Processes
 *   fiber    acquires and releases, ROUNDS times: acquire_attempt(), acquire_arm(), the wait, release_attempt(); acquire_disarm() when somebody
 *            else has ended its wait. The second fiber asks for both permits, the others for one
 *   stopper  one for each fiber: ends its waits at any moment, STOPS times all together
 *
 * Proved
 *   1. What is available and what the fibers hold is PERMITS together, whenever the guard is free: none is lost, none made twice: asserted.
 *   2. Nobody takes permits while others wait, nobody waits who could have them, whenever the guard is free: asserted.
 *   3. Each fiber comes to its end, or there would be a state in which all stand still.
 *
 * Left out: the runs whose fibers may use it (a comparison under the guard), a release of what nobody has, zero permits.
 *
 * RUN    -DFIBERS=3 -DROUNDS=1 -DSTOPS=1
 * BREAK  -DNO_SECOND_LOOK              looks, lets go of the guard, and then enters the queue
 * BREAK  -DOVERTAKE                    takes what is there although others wait
 * BREAK  -DGRANT_UNCLAIMED             permits are given to a waiter whose claim may be lost
 * BREAK  -DNO_GRANT                    who leaves the head of the queue lets nobody in
 * RUN    -DFIBERS=2 -DROUNDS=2 -DSTOPS=2
 * DEEP   -DFIBERS=3 -DROUNDS=1 -DSTOPS=3
 * DEEP   -DFIBERS=3 -DROUNDS=2 -DSTOPS=1
 */
#ifndef FIBERS
#define FIBERS 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef STOPS
#define STOPS  2
#endif
#define PERMITS   2
#define WANTED(f) (1 + (f == 1))

#include "queue.inc"

byte available = PERMITS;
byte held;                              /* by fibers that have been given them */

#define CHECK assert(available + held == PERMITS && (queue_length == 0 || WANTED(FIBER(queue[0])) > available))

/* MODEL semaphore.pml: take */
inline semaphore_take(f)
{
    if
#ifdef OVERTAKE
    :: WANTED(f) <= available ->
#else
    :: queue_length == 0 && WANTED(f) <= available ->
#endif
        assert(queue_length == 0);
        available = available - WANTED(f); held = held + WANTED(f); taken = true
    :: else -> taken = false
    fi
}

/* Under the guard: an early claim is given at once, who is parked is made ready when the guard is free. MODEL semaphore.pml: grant */
inline semaphore_grant()
{
    do
    :: queue_length > 0 && WANTED(FIBER(queue[0])) <= available ->
#ifdef GRANT_UNCLAIMED
        atomic { available = available - WANTED(FIBER(queue[0])); held = held + WANTED(FIBER(queue[0])) }
        queue_claim();
#else
        queue_claim();
        atomic {
            if
            :: claim != LOST -> available = available - WANTED(next); held = held + WANTED(next)
            :: else
            fi
        }
#endif
        if                                                              /* MODEL semaphore.pml: claimed_add */
        :: claim != LOST ->
            claimed_by[next] = WAKER;
            if
            :: claim == EARLY -> wait_give(next)
            :: else -> away = true
            fi;
            atomic { granted[next] = away; away = false; claim = LOST }
        :: else
        fi
    :: else -> break
    od;
    next = 0
}

/* MODEL semaphore.pml: claimed_make_ready */
inline claimed_make_ready()
{
    do
    :: next < FIBERS && granted[next] -> granted[next] = false; make_ready(next); next++
    :: next < FIBERS && !granted[next] -> next++
    :: next == FIBERS -> next = 0; break
    od
}

proctype fiber(byte me)
{
    byte seen, claim, generation, next, i, rounds = ROUNDS;
    bool taken, away, removed, granted[FIBERS];

    do
    :: rounds == 0 -> break
    :: rounds > 0 ->
        rounds--;
        if                                                              /* MODEL semaphore.pml: attempt */
        :: WANTED(me) > available
        :: else -> atomic { !guard -> semaphore_take(me) }
        fi;
        if
        :: !taken ->
            wait_begin(me);
            atomic {                                                    /* MODEL semaphore.pml: arm */
                !guard ->
#ifndef NO_SECOND_LOOK
                semaphore_take(me);
#endif
                if
                :: !taken -> queue_push(me)
                :: taken
                fi
            }
            if
            :: taken -> wait_give_up(me)
            :: else ->
                suspend(me);
                taken = claimed_by[me] == WAKER;
                if
                :: taken
                :: else ->                                              /* MODEL semaphore.pml: disarm */
                    atomic { LOCK; queue_remove(me, removed) }
                    if
#ifndef NO_GRANT
                    :: removed -> removed = false; semaphore_grant()
#endif
                    :: else
                    fi;
                    atomic { CHECK; UNLOCK }
                    claimed_make_ready()
                fi
            fi
        :: taken
        fi;
        if
        :: taken ->
            atomic {                                                    /* MODEL semaphore.pml: release */
                LOCK;
                available = available + WANTED(me); held = held - WANTED(me); taken = false
            }
            semaphore_grant();
            atomic { CHECK; UNLOCK }
            claimed_make_ready()
        :: else
        fi
    od
}

init
{
    atomic {
        run fiber(0); run stopper(0);
        run fiber(1); run stopper(1);
#if FIBERS > 2
        run fiber(2); run stopper(2)
#endif
    }
}
