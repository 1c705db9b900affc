/*
 * callback.pml - callback handles, and what a cancellation makes of them: src/outside/async.c
 *
 * Processes
 *   fiber      waits for a callback, CALLS times: async_arm(), the wait, async_woken(); after a cancellation async_wait_anew()
 *   friend     a foreign thread that calls each handle once: coir_resume()
 *   stranger   one that copies any handle and calls it when it likes, however late, TRIES times
 *   canceller  a thread outside that asks a fiber to end, CANCELS times: request_from_outside(), coir__cancel_poke()
 *   judge      ends a wait by a verdict, VERDICTS times
 *   stopper    with STOP: the end of a run that was stopped: coir__run_strip(), async_disarm(), pool_await_pins(), coir__run_discard()
 *
 * Proved
 *   1. Of all calls with a handle one wins, and what it brought is what the fiber that waits for it gets, once, and no other: asserted.
 *   2. Each wait comes to its end, or there would be a state in which all stand still.
 *   3. A slot that is in the pool, or another's, is not touched, and in a run that was stopped no fiber that was discarded: asserted.
 *
 * Left out: the memory of slots, which is never given back; that of the run, which goes when the pins are gone: pool.pml. That a request is not missed:
 * cancel.pml; here it comes or does not.
 *
 * RUN    -DFIBERS=2 -DCANCELS=0
 * BREAK  -DARM_EARLY                   the slot is armed before it has its fiber
 * BREAK  -DNO_TICKET                   whatever handle comes first wins
 * BREAK  -DWIN_BY_STORE                winning is a load and a store: two win
 * RUN    -DFIBERS=2 -DTRIES=0
 * BREAK  -DNO_MEETING                  the winner does not claim the wait that came after the cancellation
 * BREAK  -DANY_WAIT                    it claims whichever wait is the fiber's, and so that one before it knows of it
 * RUN    -DFIBERS=1 -DCALLS=2 -DTRIES=0 -DVERDICTS=1
 * RUN    -DFIBERS=1 -DCANCELS=2 -DSTOP=1
 * BREAK  -DNO_PINS                     the winner does not keep the run
 * BREAK  -DNO_WAIT_FOR_WINNER          the slot is given back while somebody is calling
 * BREAK  -DCLAIMED_BY_LATE             a cancellation takes the wait and then says that it did
 * BREAK  -DCLAIMED_BY_FIRST            it is asked who has taken the wait before it is known to be taken
 * DEEP   -DFIBERS=2
 * DEEP   -DFIBERS=1 -DCALLS=2 -DCANCELS=2 -DVERDICTS=1
 * DEEP   -DFIBERS=1 -DCALLS=2 -DCANCELS=2 -DSTOP=1
 */
#ifndef FIBERS
#define FIBERS  2
#endif
#ifndef CALLS
#define CALLS   1
#endif
#ifndef TRIES
#define TRIES   1
#endif
#ifndef CANCELS
#define CANCELS 1
#endif
#ifndef VERDICTS
#define VERDICTS 0
#endif
#ifndef STOP
#define STOP    0
#endif

#include "wait.inc"

/* The slot. Its word is its ticket: odd while it is armed. */
byte ticket, slot_fiber, slot_generation, meet, left_there;
bool free = true;
#define NOBODY_MET  0
#define LEFT_RESULT 1

/* Handles by number; 0: none. The latest of each fiber, and its ticket. */
byte handles;
byte handle[FIBERS], handle_ticket[FIBERS];
bool called[FIBERS] = true;             /* its friend has taken it */

#define WAKER   1
#define CANCEL  2
#define VERDICT 3
byte ready[FIBERS], result[FIBERS], claimed_by[FIBERS];         /* result: the handle that was called */
bool final[FIBERS], waiting[FIBERS], locked[FIBERS], discarded[FIBERS];
byte pins, judging, parted;                      /* parted: fibers that nobody runs any more */
bool stopped;

/* MODEL callback.pml: slot_give */
inline slot_give()
{
    atomic { assert(!free); free = true }
}

/* Until the winner has either claimed the fiber's wait or left his result. MODEL callback.pml: await_winner */
inline await_winner(f)
{
    do
    :: meet == LEFT_RESULT -> break
#ifdef CLAIMED_BY_FIRST
    :: claimed_by[f] == WAKER ->
        if
        :: STATE(word[f]) == TAKEN -> break
        :: claimed_by[f] != WAKER
        fi
#else
    :: STATE(word[f]) == TAKEN ->
        if
        :: claimed_by[f] == WAKER -> break
        :: claimed_by[f] != WAKER -> meet == LEFT_RESULT
        fi
#endif
    od
}

/* MODEL callback.pml: disarm */
inline async_disarm(f)
{
    k = ticket;
    if
    :: k % 2 == 1 ->
        if
        :: atomic { ticket == k -> ticket++; won = true }
        :: ticket != k
        fi
    :: else
    fi;
#ifndef NO_WAIT_FOR_WINNER
    if
    :: !won -> await_winner(f)
    :: else
    fi;
#endif
    won = false;
    slot_give()
}

proctype fiber(byte me)
{
    byte seen, k, calls = CALLS;
    bool away, won;

    do
    :: calls == 0 || stopped -> break
    :: calls > 0 && !stopped ->
        atomic { wait_begin(me); claimed_by[me] = WAKER; waiting[me] = true; final[me] = false; calls-- }
        atomic { free -> free = false; handles++; handle[me] = handles }        /* MODEL callback.pml: slot_take */
        /* MODEL callback.pml: arm */
#ifdef ARM_EARLY
        ticket++;
        atomic { handle_ticket[me] = ticket; called[me] = false }
        slot_fiber = me;
        slot_generation = GENERATION(word[me]);
        meet = NOBODY_MET;
#else
        slot_fiber = me;
        slot_generation = GENERATION(word[me]);
        meet = NOBODY_MET;
        ticket++;
        atomic { handle_ticket[me] = ticket; called[me] = false }
#endif
lets_go:
        wait_let_go(me);
        if
        :: away ->
            away = false;
            if
            :: atomic { ready[me] > 0 && !stopped -> ready[me]-- }
            :: stopped -> break
            fi
        :: else
        fi;
        wait_resumed(me);
        if
        :: claimed_by[me] == CANCEL ->
            atomic { claimed_by[me] = WAKER; final[me] = true; wait_begin(me) }
            result[me] = 0;                                             /* which wait_begin() does not order, but the meeting does */
            if                                                          /* MODEL callback.pml: wait_anew */
            :: atomic { meet == NOBODY_MET -> meet = 2 * GENERATION(word[me]) }
               goto lets_go
            :: meet != NOBODY_MET ->
               assert(meet == LEFT_RESULT);
               result[me] = left_there;
               wait_give_up(me)
            fi
        :: else
        fi;
        if
        :: claimed_by[me] == VERDICT -> async_disarm(me)
        :: else -> assert(result[me] == handle[me]); slot_give()        /* MODEL callback.pml: woken */
        fi;
        atomic { result[me] = 0; waiting[me] = false }
    od;
    parted++
}

/* MODEL callback.pml: win */
inline callback_win()
{
    if
#ifdef NO_TICKET
    :: atomic { ticket % 2 == 1 -> ticket++ } won = true
#elif defined WIN_BY_STORE
    :: ticket == k -> ticket = k + 1; won = true
#else
    :: atomic { ticket == k -> ticket++ } won = true
#endif
    :: else
    fi
}

inline make_ready()
{
    atomic { assert(!discarded[f]); ready[f]++; assert(ready[f] == 1) }
}

inline claim_it(generation)
{
    wait_claim(f, generation);
    if
    :: claim != LOST ->
        atomic { assert(!discarded[f]); result[f] = mine; claimed_by[f] = WAKER }
        if
        :: claim == EARLY -> wait_give(f)
        :: else -> away = true
        fi;
        if
        :: away -> make_ready()
        :: else
        fi
    :: else
    fi
}

/* MODEL callback.pml: deliver */
inline callback_deliver()
{
    f = slot_fiber;
#ifndef NO_PINS
    pins++;
#endif
#ifdef ANY_WAIT
    generation = GENERATION(word[f]);
#else
    generation = slot_generation;
#endif
    claim_it(generation);
    if
    :: claim == LOST ->
        left_there = mine;
        assert(!free && ticket == k + 1);
        if
        :: atomic { meet == NOBODY_MET -> meet = LEFT_RESULT }
        :: atomic { meet != NOBODY_MET -> generation = meet / 2 }
#ifndef NO_MEETING
           claim_it(generation);
#endif
           if
           :: claim == LOST -> assert(!free && ticket == k + 1); meet = LEFT_RESULT
           :: else
           fi
        fi
    :: else
    fi;
#ifndef NO_PINS
    pins--;
#endif
    atomic { claim = LOST; away = false; generation = 0; f = 0 }
}

/* MODEL callback.pml: resume */
inline resume()
{
    callback_win();
    if
    :: won -> won = false; callback_deliver()
    :: else
    fi;
    atomic { k = 0; mine = 0 }
}

inline copy_handle(whose) { k = handle_ticket[whose]; mine = handle[whose] }

active proctype friend()
{
    byte seen, claim, generation, k, mine, f;
    bool away, won;
end:
    do
    :: atomic { !called[0] -> called[0] = true; copy_handle(0) } resume()
#if FIBERS > 1
    :: atomic { !called[1] -> called[1] = true; copy_handle(1) } resume()
#endif
    od
}

#if TRIES
active proctype stranger()
{
    byte seen, claim, generation, k, mine, f, tries = TRIES;
    bool away, won;
end:
    do
    :: atomic { tries > 0 && handle_ticket[0] > 0 -> tries--; copy_handle(0) } resume()
#if FIBERS > 1
    :: atomic { tries > 0 && handle_ticket[1] > 0 -> tries--; copy_handle(1) } resume()
#endif
    od
}
#endif

#if CANCELS
/* MODEL cancel.pml: poke */
proctype canceller(byte f)
{
    byte seen, claim, tries = CANCELS;
    bool away;
end:
    do
    :: atomic { tries > 0 && !locked[f] -> locked[f] = true; tries-- }
       if
       :: discarded[f]
       :: else ->
           pins++;
           do
           :: atomic { STATE(word[f]) != PARKED && STATE(word[f]) != HELD -> break }
           :: STATE(word[f]) == PARKED ->
               wait_hold(f);
               if
               :: away ->
                   away = false;
                   if
                   :: final[f] -> wait_unhold(f)
                   :: !final[f] ->
#ifndef CLAIMED_BY_LATE
                       claimed_by[f] = CANCEL;
                       wait_take_held(f);
#else
                       wait_take_held(f);
                       claimed_by[f] = CANCEL;
#endif
                       make_ready()
                   fi;
                   break
               :: else
               fi
           od;
           pins--
       fi;
       locked[f] = false
    od
}
#endif

#if VERDICTS
/* A worker that searches for deadlocks. That one could concern a callback is not so now, see pool_expects(), but async_disarm() provides for it. */
proctype judge(byte f)
{
    byte seen, claim, generation, verdicts = VERDICTS;
    bool away;
end:
    do
    :: atomic { verdicts > 0 && !stopped && STATE(word[f]) == PARKED -> verdicts--; judging++; generation = GENERATION(word[f]) }
       wait_claim(f, generation);
       if
       :: claim != LOST -> claimed_by[f] = VERDICT; make_ready()
       :: else
       fi;
       atomic { claim = LOST; generation = 0; judging-- }
    od
}
#endif

#if STOP
/* Any moment is the end of the run. MODEL callback.pml: strip */
active proctype stopper()
{
    byte seen, claim, generation, k, f;
    bool won;

    stopped = true;
    parted == FIBERS && judging == 0;
    do
    :: f < FIBERS && waiting[f] ->
        async_disarm(f);
        generation = GENERATION(word[f]);
        wait_claim(f, generation);
        atomic { f++; generation = 0; k = 0 }
    :: f < FIBERS && !waiting[f] -> f++
    :: f == FIBERS -> break
    od;
    pins == 0;
    f = 0;
    do
    :: atomic { f < FIBERS && !locked[f] -> discarded[f] = true; f++ }
    :: f == FIBERS -> break
    od
}
#endif

init
{
    atomic {
        run fiber(0);
#if FIBERS > 1
        run fiber(1);
#endif
#if CANCELS
        run canceller(0);
#endif
#if VERDICTS
        run judge(0)
#endif
    }
}
