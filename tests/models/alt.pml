/*
 * alt.pml - alternatives that meet alternatives, on two channels without room: src/channel/alt.c, channel.c, src/sync/queue.h
 *
 * Processes
 *   fiber    runs an alternative of two cases, and EVENTS of them have one more, an event: try_in_order(), poll_under_guards(), arm_events(), the wait,
 *            alt_woken(), or alt_disarm() when somebody else has ended it; ROUNDS times
 *   event    one for each such fiber: comes at some time, for good, and ends the wait of a fiber that is registered with it
 *   stopper  one for each fiber: ends its waits at any moment, STOPS times all together; of three fibers only the second's
 *   rest     when nobody can go on: looks whether that is as it should be, and lets the stoppers end what is left
 *
 * The first fiber sends on channel 0 and receives on channel 1; the others send on 1 and receive on 0, in the one order or the other: so each of them can meet the
 * first on either channel. With ONE_CHANNEL all send and receive on channel 0, and each could meet any other, but not itself.
 *
 * Proved
 *   1. An alternative commits to one case: through that one a value has moved, once, and through no other; or it was stopped, or chose its event, and
 *      none has: asserted.
 *   2. Nobody stands at one end of a channel while somebody else stands at the other, unless his wait has been claimed already: asserted whenever the
 *      guard is let go; so nobody is left who could meet another.
 *   3. Who claims a waiter finds it in the wait that it registered: asserted. Nobody meets himself: asserted.
 *   4. Guards are never waited for in a ring, and each fiber comes to its end: asserted when nobody can go on.
 *
 * Left out: values inside (a ring under the guard), close and poison, which claim as who meets does, what an event is registered with (join.pml, wait.pml), and
 * objects that are abandoned (handle.pml).
 *
 * RUN    -DFIBERS=2 -DROUNDS=2 -DSTOPS=1
 * BREAK  -DNO_SECOND_LOOK              looks, and enters the queues without having looked again
 * BREAK  -DONE_BY_ONE                  the second look and the queue of each case under its own guard alone
 * BREAK  -DUNORDERED                   guards are taken in the order of the cases
 * BREAK  -DNO_LEAVE                    the cases that did not go stay in their queues
 * BREAK  -DGUESSED                     takes a case for the one that went because it stands in no queue any more
 * BREAK  -DMARKED_LATE                 who claims marks the case when the fiber may be going on already
 * BREAK  -DMOVED_EARLY                 the value is moved before the claim is won
 * BREAK  -DANY_GENERATION              a claim does not look at the generation
 * RUN    -DFIBERS=3 -DROUNDS=1 -DSTOPS=1
 * BREAK  -DLOST_FOR_GOOD               who loses a claim does not try the next
 * RUN    -DFIBERS=2 -DROUNDS=1 -DSTOPS=1 -DEVENTS=1
 * BREAK  -DTAKEN_BACK_BLINDLY          takes its wait back for an event without looking whether it was claimed
 * RUN    -DFIBERS=3 -DROUNDS=1 -DSTOPS=0 -DONE_CHANNEL
 * BREAK  -DTWICE                       takes the guard for each of the cases
 * DEEP   -DFIBERS=2 -DROUNDS=2 -DSTOPS=1 -DEVENTS=2
 * DEEP   -DFIBERS=3 -DROUNDS=1 -DSTOPS=2 -DONE_CHANNEL
 */
#ifndef FIBERS
#define FIBERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef STOPS
#define STOPS  1
#endif
#ifndef EVENTS
#define EVENTS 0
#endif

#define CASES   2
#define EVENT   2                       /* the case behind these */
#define STOPPED 3
#define NOBODY  255
#define WAKER   1
#define STOPPER 2

/* ---------------------------------------------------------------------------------------------------------- the cases */

#define SEND 1                          /* a side: where senders stand; receivers stand at 0 */
byte at[FIBERS * CASES];                /* in which queue a case stands; only read */
#define QUEUE(f, c)      at[(f) * CASES + (c)]
#define STAND(f, c, ch, side) at[(f) * CASES + (c)] = 2 * (ch) + (side)
#ifdef ONE_CHANNEL
#define OTHER 0
#else
#define OTHER 1
#endif
#define CHANNEL(f, c)    (QUEUE(f, c) / 2)
#define FACING(q)        ((q) ^ 1)
#define CASE_OF(f, q)    (QUEUE(f, 0) != (q))

/* ---------------------------------------------------------------------------------------------------- what all can see */

bool guard[2];
byte queue[4 * FIBERS], length[4];      /* receivers and senders of each channel */
byte ready[FIBERS];                     /* how often it has been made ready */
byte claimed_by[FIBERS];                /* what the claimer wrote */
bool known[FIBERS];                     /* its wait is registered, so others may know of it */
byte won[FIBERS];                       /* claims that were won of the wait that goes on */
byte marked[FIBERS];                    /* NODE_WON: 1 + the case through which it was claimed */
byte moved[FIBERS * CASES];             /* values, through a case of the round that goes on */
bool come[FIBERS], armed[FIBERS];       /* the event of a fiber; whether the fiber is registered with it */
byte stops = STOPS, finished;
bool still;                             /* nobody could go on */
#define AT_CLAIM(f) won[f]++; assert(won[f] == 1)

#include "wait.inc"

/* A waiter is its fiber and the wait in whose frame it stands. */
#define FIBER(waiter) ((waiter) & 3)
#define WAITER(f)     ((f) + 4 * GENERATION(word[f]))
#define FIRST(q)      queue[(q) * FIBERS]

#define LIVE(f)       (STATE(word[f]) == ARMING || STATE(word[f]) == PARKED)
#if FIBERS > 2
#define STANDS(f, q)  (queue[(q) * FIBERS] == WAITER(f) || queue[(q) * FIBERS + 1] == WAITER(f) || queue[(q) * FIBERS + 2] == WAITER(f))
#define APART(ch)     (PASS(0, 1, ch) && PASS(1, 0, ch) && PASS(0, 2, ch) && PASS(2, 0, ch) && PASS(1, 2, ch) && PASS(2, 1, ch))
#else
#define STANDS(f, q)  (queue[(q) * FIBERS] == WAITER(f) || queue[(q) * FIBERS + 1] == WAITER(f))
#define APART(ch)     (PASS(0, 1, ch) && PASS(1, 0, ch))
#endif
#if FIBERS > 2
#define MAY_STOP(f)   ((f) == 1)
#else
#define MAY_STOP(f)   true
#endif
#define PASS(a, b, ch) (!LIVE(a) || !LIVE(b) || !STANDS(a, 2 * (ch)) || !STANDS(b, 2 * (ch) + SEND))

#define LOCK(ch)      atomic { !guard[ch] -> guard[ch] = true }
#define UNLOCK(ch)    atomic { assert(APART(ch)); guard[ch] = false }

/* ---------------------------------------------------------------------------------------------------------- the queues */

inline queue_push(q) { queue[(q) * FIBERS + length[q]] = WAITER(me); length[q]++ }

/* What stands behind it moves up. MODEL wait.pml: queue_remove */
inline queue_remove(q, f)
{
    removed = false;
    i = 0;
    do
    :: i < length[q] && !removed && FIBER(queue[(q) * FIBERS + i]) == f -> removed = true; length[q]--
    :: i < length[q] && removed -> queue[(q) * FIBERS + i] = queue[(q) * FIBERS + i + 1]; i++
    :: i < length[q] && !removed && FIBER(queue[(q) * FIBERS + i]) != f -> i++
    :: i >= length[q] -> break
    od;
    if
    :: removed -> queue[(q) * FIBERS + length[q]] = 0
    :: else
    fi;
    i = 0;
    removed = false
}

/* Of both who meet: `next`, who is in the queue q, and me, by my case c. */
inline move(c, q)
{
    moved[next * CASES + CASE_OF(next, q)]++;
    moved[me * CASES + c]++;
    assert(moved[next * CASES + CASE_OF(next, q)] == 1 && moved[me * CASES + c] == 1)
}
inline mark(q) { marked[next] = 1 + CASE_OF(next, q) }                                  /* MODEL alt.pml: case_win */

/* Takes out the first, which is `next` then, claims its wait, and meets it: what stands under the guard. MODEL alt.pml: claim_first */
inline meet(c, q)
{
    atomic {
        next = FIBER(FIRST(q));
        assert(next != me && FIRST(q) == WAITER(next));
        queue_remove(q, next);
        generation = GENERATION(word[next])
    }
#ifdef MOVED_EARLY
    move(c, q);
#endif
    wait_claim(next, generation);
    generation = 0;
    if
    :: claim != LOST ->
        atomic {
#ifndef MOVED_EARLY
            move(c, q);
#endif
#ifndef MARKED_LATE
            mark(q);
#endif
            claimed_by[next] = WAKER;
            chosen = c
        }
        if                                                              /* MODEL semaphore.pml: claimed_add */
        :: claim == EARLY -> wait_give(next)
        :: claim == RESTING -> away = true
        fi;
#ifdef MARKED_LATE
        mark(q);
#endif
        atomic { granted = away; away = false; claim = LOST }
    :: claim == LOST -> next = 0
    fi
}

/* One look at a case, under its guard. MODEL alt.pml: poll */
inline poll(c)
{
    do
    :: chosen == NOBODY && length[FACING(QUEUE(me, c))] > 0 ->
        meet(c, FACING(QUEUE(me, c)))
#ifdef LOST_FOR_GOOD
        ; break
#endif
    :: else -> break
    od
}

/* MODEL semaphore.pml: claimed_make_ready */
inline claimed_make_ready()
{
    if
    :: granted -> make_ready(next)
    :: else
    fi;
    atomic { granted = false; next = 0 }
}

/* MODEL wait.pml: make_ready */
inline make_ready(f) { atomic { ready[f]++; assert(ready[f] == 1) } }

/* --------------------------------------------------------------------------------------------------------- the alternative */

/* 1. In order, one at a time. MODEL alt.pml: try_in_order */
inline try_in_order()
{
    c = 0;
    do
    :: c < CASES && chosen == NOBODY ->
        LOCK(CHANNEL(me, c));
        poll(c);
        UNLOCK(CHANNEL(me, c));
        claimed_make_ready();
        c++
    :: else -> break
    od;
    c = 0;
    if
    :: chosen == NOBODY && me < EVENTS && come[me] -> chosen = EVENT
    :: else
    fi
}

/* In the order of their addresses, each once. */
inline lock_all()
{
#ifdef UNORDERED
    LOCK(CHANNEL(me, 0));
    LOCK(CHANNEL(me, 1))
#else
    LOCK(0);
#ifdef TWICE
    LOCK(0)
#elif !defined(ONE_CHANNEL)
    LOCK(1)
#else
    skip
#endif
#endif
}
inline unlock_all()
{
#ifndef ONE_CHANNEL
    UNLOCK(1);
#endif
    UNLOCK(0)
}

inline enqueue_all()
{
    atomic {
        if
        :: chosen == NOBODY -> queue_push(QUEUE(me, 0)); queue_push(QUEUE(me, 1)); known[me] = true
        :: else
        fi
    }
}

/* 2. MODEL alt.pml: poll_under_guards */
inline poll_under_guards()
{
#ifdef ONE_BY_ONE
    LOCK(CHANNEL(me, 0));
    poll(0);
    atomic { if :: chosen == NOBODY -> queue_push(QUEUE(me, 0)); known[me] = true :: else fi }
    UNLOCK(CHANNEL(me, 0));
    LOCK(CHANNEL(me, 1));
    poll(1);
    atomic { if :: chosen == NOBODY -> queue_push(QUEUE(me, 1)) :: else fi }
    UNLOCK(CHANNEL(me, 1));
#else
    lock_all();
#ifndef NO_SECOND_LOOK
    poll(0);
    poll(1);
#endif
    enqueue_all();
    unlock_all();
#endif
    claimed_make_ready()
}

/* MODEL alt.pml: leave_all */
inline leave_all()
{
#ifndef NO_LEAVE
    atomic { !guard[CHANNEL(me, 0)] -> queue_remove(QUEUE(me, 0), me) }
    atomic { !guard[CHANNEL(me, 1)] -> queue_remove(QUEUE(me, 1), me) }
#endif
    armed[me] = false
}

/* 3. Registers with the event; or, if it has come, takes the wait back. MODEL alt.pml: arm_events */
inline arm_events()
{
    if
    :: atomic { me < EVENTS && !come[me] -> armed[me] = true }
    :: me < EVENTS && come[me] ->
        wait_take_back(me);
        if
        :: away -> away = false; chosen = EVENT; leave_all()
        :: else
        fi
    :: me >= EVENTS
    fi
}

/* MODEL alt.pml: chosen_by_claim */
inline chosen_by_claim()
{
    atomic {
        if
        :: claimed_by[me] == STOPPER -> chosen = STOPPED
#ifdef GUESSED
        :: claimed_by[me] == WAKER && !STANDS(me, QUEUE(me, 0)) -> chosen = 0
        :: claimed_by[me] == WAKER && STANDS(me, QUEUE(me, 0)) && !STANDS(me, QUEUE(me, 1)) -> chosen = 1
        :: claimed_by[me] == WAKER && STANDS(me, QUEUE(me, 0)) && STANDS(me, QUEUE(me, 1)) -> chosen = EVENT
#else
        :: claimed_by[me] == WAKER && marked[me] > 0 -> chosen = marked[me] - 1
        :: claimed_by[me] == WAKER && marked[me] == 0 -> assert(me < EVENTS && come[me]); chosen = EVENT
#endif
        fi;
        claimed_by[me] = 0
    }
}

/* From wait_let_go() to the resumption. */
inline suspend()
{
    wait_let_go(me);
    if
    :: away -> atomic { ready[me] > 0 -> ready[me]--; away = false }
    :: else
    fi;
    wait_resumed(me);
    atomic { assert(won[me] == 1 && ready[me] == 0); known[me] = false }
}

proctype fiber(byte me)
{
    byte seen, claim, generation, next, i, c, chosen, rounds = ROUNDS;
    bool away, removed, granted;

    do
    :: rounds == 0 -> break
    :: rounds > 0 ->
        rounds--;
        chosen = NOBODY;
        wait_begin(me);
        try_in_order();
        if
        :: chosen == NOBODY -> poll_under_guards()
        :: else
        fi;
        if
        :: chosen == NOBODY -> arm_events()
        :: else
        fi;
        if
        :: chosen != NOBODY -> wait_give_up(me); known[me] = false
        :: else ->
            suspend();
            chosen_by_claim();                                          /* MODEL alt.pml: woken */
            leave_all()                                                 /* MODEL alt.pml: disarm */
        fi;
        atomic {
            assert(moved[me * CASES] == (chosen == 0) && moved[me * CASES + 1] == (chosen == 1));
            moved[me * CASES] = 0; moved[me * CASES + 1] = 0; marked[me] = 0; won[me] = 0
        }
    od;
    finished++
}

/* ----------------------------------------------------------------------------------------------------------- the others */

/* What is done with a claim that was won. MODEL wait.pml: deliver */
inline deliver(f, by)
{
    if
    :: claim == LOST
    :: claim != LOST ->
        claimed_by[f] = by;
        if
        :: claim == EARLY -> wait_give(f)
        :: claim == RESTING -> away = true
        fi;
        if
        :: away -> make_ready(f)
        :: else
        fi
    fi;
    atomic { claim = LOST; away = false }
}

proctype event(byte f)
{
    byte seen, claim, generation;
    bool away;

    if
    :: atomic { armed[f] -> come[f] = true; armed[f] = false; generation = GENERATION(word[f]) }
       wait_claim(f, generation);
       deliver(f, WAKER)
    :: atomic { !armed[f] -> come[f] = true }
    fi
}

/* A deadline, a cancellation, a verdict. */
proctype stopper(byte f)
{
    byte seen, claim, generation;
    bool away;
end:
    do
    :: atomic { known[f] && (still || stops > 0 && MAY_STOP(f)) -> stops = stops - (stops > 0); generation = GENERATION(word[f]) }
       wait_claim(f, generation);
       deliver(f, STOPPER);
       generation = 0
    od
}

proctype rest()
{
    atomic { timeout -> assert(!guard[0] && !guard[1] && APART(0) && APART(1)); still = true }
    atomic { finished == FIBERS -> assert(length[0] + length[1] + length[2] + length[3] == 0) }
}

init
{
    atomic {
        STAND(0, 0, 0, SEND);     STAND(0, 1, OTHER, 0);
        STAND(1, 0, OTHER, SEND); STAND(1, 1, 0, 0);
#if FIBERS > 2
        STAND(2, 0, 0, 0);        STAND(2, 1, OTHER, SEND);
#endif
        run fiber(0); run stopper(0);
        run fiber(1); run stopper(1);
#if FIBERS > 2
        run fiber(2); run stopper(2);
#endif
#if EVENTS > 0
        run event(0);
#endif
#if EVENTS > 1
        run event(1);
#endif
        run rest()
    }
}
