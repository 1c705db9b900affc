/*
 * handle.pml - an object that only those refer to who wait for it: src/sync/handle.h, [HANDLE]
 *
 * Processes
 *   fiber    waits for what nobody will give it: handle_queue_push(), the wait, handle_queue_remove() when somebody else has ended it; then gives up
 *            the reference that its frame held
 *   holder   has a reference and gives it up: handle_let_go(), coir__handle_claim(), coir__handle_wake()
 *   stopper  one for each fiber: ends its wait at any moment, STOPS times all together
 *
 * Proved
 *   1. No fiber is left waiting: there would be a state in which all stand still.
 *   2. The object is freed once, by whoever is the last, and not touched any more: asserted.
 *
 * Late stores. A1 and the taking back of it are relaxed, and seen by others at the latest with the next swap of the word or release of the guard: here at
 * once, since whoever reads `waiting` has acquired the word after A2.
 *
 * RUN    -DHOLDERS=1
 * BREAK  -DNOT_BEGUN                   beginning to wait does not change the word
 * BREAK  -DNOT_REFUSED                 the last who comes does not look whether only waiters are left
 * BREAK  -DNOT_KEPT                    the last who does not wait lets go before it has woken the others
 * RUN    -DHOLDERS=2 -DSTOPS=0
 * DEEP   -DHOLDERS=2 -DSTOPS=2
 */
#ifndef FIBERS
#define FIBERS  2
#endif
#ifndef HOLDERS
#define HOLDERS 2
#endif
#ifndef STOPS
#define STOPS   1
#endif

#include "queue.inc"

byte refs = FIBERS + HOLDERS, begun;    /* the two halves of one word */
byte waiting;
byte finished;
bool freed;

#define DIES      1
#define ABANDONED 2
#define LIVES     3
#ifdef NOT_BEGUN
#define SAME (refs == r)
#else
#define SAME (refs == r && begun == b)
#endif

/* MODEL handle.pml: let_go */
inline handle_let_go()
{
    atomic { assert(!freed); r = refs; b = begun }                                              /* D1 */
    do
    :: r - 1 <= waiting -> end = (r == 1 -> DIES : ABANDONED); break
    :: r - 1 > waiting ->
        if
        :: atomic { SAME -> assert(!freed); refs--; end = LIVES; break }                        /* D2 */
        :: atomic { !SAME -> assert(!freed); r = refs; b = begun }
        fi
    od;
    atomic { r = 0; b = 0 }
}

/* Under the guard; who is claimed is delivered when that is free. MODEL handle.pml: claim */
inline handle_claim_all()
{
    do
    :: refs - 1 == waiting && queue_length > 0 || taking && queue_length > 0 ->
        taking = true;
        waiting--;
        queue_claim();
        woken[next] = claim
    :: else -> taking = false; break
    od;
    claim = LOST
}

/* MODEL handle.pml: wake */
inline handle_wake()
{
    next = 0;
    do
    :: next < FIBERS && woken[next] != LOST -> claim = woken[next]; woken[next] = LOST; deliver(next, WAKER); next++
    :: next < FIBERS && woken[next] == LOST -> next++
    :: next == FIBERS -> next = 0; break
    od
}

/* MODEL handle.pml: drop */
inline drop()
{
    do
    :: handle_let_go();
       if
       :: end == ABANDONED ->
#ifdef NOT_KEPT
           refs--;
#endif
           atomic { LOCK; assert(!freed) }
           handle_claim_all();
           atomic { assert(!freed); UNLOCK }
           handle_wake();
#ifdef NOT_KEPT
           break
#endif
       :: end == DIES -> atomic { assert(!freed); freed = true; refs = 0; break }
       :: end == LIVES -> break
       fi
    od;
    atomic { finished++; assert(finished < FIBERS + HOLDERS || freed) }
}

proctype fiber(byte me)
{
    byte seen, claim, generation, next, i, r, b, end, before, woken[FIBERS];
    bool away, removed, refused, taking;

    wait_begin(me);
    atomic { LOCK; assert(!freed); waiting++ }                                                  /* A1 */
    atomic { begun++; before = refs }                                                           /* A2 */
    atomic {                                                            /* MODEL handle.pml: push */
        if
#ifndef NOT_REFUSED
        :: before == waiting -> waiting--; refused = true                                       /* A3 */
#endif
        :: else -> queue_push(me)
        fi;
        before = 0;
        UNLOCK
    }
    if
    :: refused -> wait_give_up(me)
    :: else ->
        suspend(me);
        if
        :: claimed_by[me] == STOPPER ->
            atomic {                                                    /* MODEL handle.pml: remove */
                !guard ->
                assert(!freed);
                queue_remove(me, removed);
                if
                :: removed -> waiting--; removed = false
                :: else
                fi
            }
        :: else
        fi
    fi;
    drop()
}

proctype holder()
{
    byte seen, claim, generation, next, i, r, b, end, woken[FIBERS];
    bool away, removed, taking;

    drop()
}

init
{
    atomic {
        run fiber(0); run stopper(0);
        run fiber(1); run stopper(1);
        run holder();
#if HOLDERS > 1
        run holder()
#endif
    }
}
