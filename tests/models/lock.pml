/*
 * lock.pml - a lock that is handed from its holder to the first who waits: src/sync/lock.c, src/sync/queue.h
 *
 * Processes
 *   fiber    acquires and releases, ROUNDS times: acquire_attempt(), acquire_arm(), the wait, release_attempt(); acquire_disarm() when somebody
 *            else has ended its wait
 *   stopper  one for each fiber: ends its waits at any moment, STOPS times all together
 *
 * Proved
 *   1. One fiber is inside at a time, and it is the one that the lock says: asserted.
 *   2. A free lock has no waiters, whenever the guard is free: asserted.
 *   3. Who loses a claim hands the lock on: each fiber comes to its end, or there would be a state in which all stand still.
 *
 * Left out: reentrance and what the holder holds, which are the holder's own; an end with the lock held (lock_abandon), which passes it on by the same
 * function.
 *
 * RUN    -DFIBERS=3 -DROUNDS=1 -DSTOPS=1
 * BREAK  -DNO_SECOND_LOOK              looks, lets go of the guard, and then enters the queue
 * BREAK  -DLOST_FOR_GOOD               who loses a claim does not try the next
 * RUN    -DFIBERS=2 -DROUNDS=2 -DSTOPS=2
 * BREAK  -DNO_DISARM                   who was stopped stays in the queue
 * BREAK  -DANY_GENERATION              a claim does not look at the generation
 * DEEP   -DFIBERS=3 -DROUNDS=1 -DSTOPS=3
 * DEEP   -DFIBERS=3 -DROUNDS=2 -DSTOPS=1
 */
#ifndef FIBERS
#define FIBERS 3
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef STOPS
#define STOPS  2
#endif

#include "queue.inc"

byte holder = NOBODY;
byte inside;

#define CHECK assert(holder != NOBODY || queue_length == 0)

/* MODEL lock.pml: take */
inline lock_take(f)
{
    if
    :: holder == NOBODY -> holder = f; taken = true
    :: holder != NOBODY -> taken = false
    fi
}

/* Under the guard. MODEL lock.pml: pass_on */
inline lock_pass_on()
{
    do
    :: queue_length == 0 -> atomic { holder = NOBODY; claim = LOST; break }
    :: queue_length > 0 ->
        queue_claim();
        if
        :: claim != LOST -> holder = next; break
#ifdef LOST_FOR_GOOD
        :: claim == LOST -> holder = NOBODY; break
#else
        :: claim == LOST
#endif
        fi
    od
}

proctype fiber(byte me)
{
    byte seen, claim, generation, next, i, rounds = ROUNDS;
    bool taken, away, removed;

    do
    :: rounds == 0 -> break
    :: rounds > 0 ->
        rounds--;
        atomic { !guard -> lock_take(me) }                              /* MODEL lock.pml: attempt */
        if
        :: !taken ->
            wait_begin(me);
            atomic {                                                    /* MODEL lock.pml: arm */
                !guard ->
#ifndef NO_SECOND_LOOK
                lock_take(me);
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
                :: else ->
#ifndef NO_DISARM
                    atomic { !guard -> queue_remove(me, removed); removed = false }     /* MODEL lock.pml: disarm */
#endif
                    skip
                fi
            fi
        :: taken
        fi;
        if
        :: taken ->
            atomic { inside++; assert(inside == 1 && holder == me) }
            atomic { inside--; taken = false }
            atomic { LOCK }                                             /* MODEL lock.pml: release */
            lock_pass_on();
            atomic { CHECK; UNLOCK }
            if
            :: claim != LOST -> deliver(next, WAKER)
            :: else
            fi;
            next = 0
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
