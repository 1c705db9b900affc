/*
 * wait.pml - one suspension of a fiber: many may want to end it, one does: src/fiber/wait.h
 *
 * Processes
 *   worker     coir__interp() from `arm` to `resumed`, of the one fiber, which waits WAITS times: both workers take it when it is ready. An alternative,
 *              whose arm() may find, when it is registered already, that it need not wait, takes its wait back: TAKE_BACKS times, if nobody has claimed it
 *   waker      who hands something to the first in a queue: queue_claim() and coir__deliver()
 *   moment     coir__timers_fire(): take_due(), end_wait(), of the timer of the same wait
 *   canceller  coir__cancel_poke(): ends a parked wait if a request is visible there, CANCELS times
 *   reader     coir__look() in the search for deadlocks, then wait_take() and wait_end(): a verdict on the wait that it has noted; READS times
 *   memory     what was stored becomes visible when it likes: see below
 *
 * A wait registers its fiber with all of them: in a queue, under the queue's lock, and in a timer heap, under that one's. The waker comes to each wait
 * that is in its queue in the end; the others come or do not.
 *
 * Proved
 *   1. Each wait is ended once, by one claimer, and the fiber goes on with what that one wrote: asserted.
 *   2. It is made ready once for each wait, or goes on where it is; two workers never run it: asserted.
 *   3. A claim that names a generation hits no other: asserted.
 *   4. Who reads under HELD, and who touches the waiter or the timer under their locks, finds the frame of that wait: asserted.
 *   5. No wait is left: the fiber comes to its end, or there would be a state in which all stand still.
 *   6. A wait that is taken back was ended by nobody, and no claim hits it any more: asserted.
 *
 * Late stores. What the worker stores into the word (begin, resumed) and into its frame, and what a claimer writes as the result, is seen by others
 * at any later time, at the latest when its thread releases something: a lock, the word by a compare-and-swap, the run queue.
 *
 * Left out: the queue's other waiters (lock.pml, semaphore.pml), the other timers, the wait in other runs.
 *
 * RUN    -DWAITS=3 -DCANCELS=1
 * BREAK  -DCLAIM_BY_STORE              a claim is a load and a store: two win
 * BREAK  -DANY_GENERATION              a claim does not look at the generation: a late one hits a later wait
 * BREAK  -DGENERATION_LATE             the waker asks for the generation when the queue's lock is free again
 * BREAK  -DNO_DISARM                   the timer stays in the heap after the wait
 * BREAK  -DBEGIN_LATE                  the wait is registered before it has begun
 * BREAK  -DNO_LEFT                     the worker leaves a claimed wait without a word: nobody makes it ready
 * BREAK  -DNO_GIVE                     an early winner makes ready what its worker still has
 * BREAK  -DRESULT_LATE                 the winner wakes the fiber, then writes the result
 * BREAK  -DCANCEL_EARLY                a cancellation claims what its worker may still give up
 * RUN    -DWAITS=3 -DREADS=1
 * BREAK  -DNO_HOLD                     the frame is read without holding the wait
 * BREAK  -DCLAIM_HELD                  a claim does not wait for the reader
 * RUN    -DWAITS=1 -DCANCELS=1 -DREADS=1
 * RUN    -DWAITS=2 -DCANCELS=1 -DLATE=1
 * BREAK  -DGIVE_RELAXED                giving does not release the result
 * RUN    -DWAITS=2 -DREADS=1 -DLATE=1
 * BREAK  -DLET_GO_RELAXED              letting go does not release the frame
 * RUN    -DWAITS=2 -DCANCELS=1 -DTAKE_BACKS=1
 * BREAK  -DTAKEN_BACK_BLINDLY          the worker takes its wait back without looking whether it was claimed
 * RUN    -DWAITS=2 -DTAKE_BACKS=1 -DLATE=1
 * DEEP   -DWAITS=3 -DCANCELS=1 -DREADS=1
 * DEEP   -DWAITS=2 -DCANCELS=2 -DREADS=2
 * DEEP   -DWAITS=3 -DCANCELS=1 -DREADS=1 -DLATE=1
 * DEEP   -DWAITS=3 -DCANCELS=1 -DREADS=1 -DTAKE_BACKS=2
 */
#ifndef LATE
#define LATE 0
#endif
#ifndef WAITS
#define WAITS 3
#endif

#ifndef CANCELS
#define CANCELS 0
#endif
#ifndef READS
#define READS 0
#endif
#ifndef TAKE_BACKS
#define TAKE_BACKS 0
#endif

#define FIBERS 1
#define NONE   255
#define WAKER     1
#define MOMENT  2
#define CANCELLER 3
#define VERDICT   4

byte ready;                             /* how often the fiber is in a run queue */
byte running;                           /* workers that run it */
bool ended;
byte waits;                             /* that have begun */
byte take_backs = TAKE_BACKS;

byte frame, late_frame = NONE;          /* of which wait it is, 0: none; + FULL when arm() has done with it */
#define FULL          128
#define NUMBER(frame) ((frame) & 127)
bool queued, queue_lock;
bool armed, timers_lock;                /* armed: in the heap; the timer's home */

byte result, late_result;               /* the claimer who wrote it */
byte winner;                            /* of the wait that goes on, or has just ended */

byte late_word = NONE;                         /* 255: none */

#define OWN_WORD(f)          (late_word != NONE -> late_word : word[f])
#if LATE
#define STORE_WORD(f, value) atomic { new_word = value; show_word(); late_word = new_word; new_word = 0 }
#else
#define STORE_WORD(f, value) word[f] = value
#endif
#ifdef LET_GO_RELAXED
#define SWAP_WORD(f, value)  word[f] = value; late_word = NONE
#else
#define SWAP_WORD(f, value)  word[f] = value; late_word = NONE; show_frame()
#endif
#define AT_LET_GO(f)         running--
#define AT_CLAIM(f)          assert(winner == 0 && waits == meant); winner = who

#ifndef GIVE_RELAXED
#define AT_GIVE(f)           show_result()
#endif

inline show_word()   { if :: late_word != NONE -> word[0] = late_word; late_word = NONE :: else fi }
inline show_frame()  { if :: late_frame != NONE -> frame = late_frame; late_frame = NONE :: else fi }
inline store_frame(value)
{
    show_frame();
    late_frame = value;
#if !LATE
    show_frame()
#endif
}
inline store_result()
{
    show_result();
    late_result = who;
#if !LATE
    show_result()
#endif
}
inline show_result() { if :: late_result != 0 -> result = late_result; late_result = 0 :: else fi }

#include "wait.inc"

#if LATE
active proctype memory()
{
end:
    do
    :: atomic { late_word != NONE -> show_word() }
    :: atomic { late_frame != NONE -> show_frame() }
    :: atomic { late_result != 0 -> show_result() }
    od
}
#endif

/* MODEL wait.pml: make_ready */
inline make_ready()
{
    atomic { show_result(); ready++; assert(ready == 1 && running == 0) }
}

/* What is done with a claim that was won. MODEL wait.pml: deliver */
inline deliver()
{
    if
    :: claim == LOST
    :: claim != LOST ->
#ifndef RESULT_LATE
       atomic { store_result() }
#endif
       if
       :: claim == RESTING -> make_ready()
#ifdef NO_GIVE
       :: claim == EARLY -> make_ready()
#else
       :: claim == EARLY ->
          wait_give(0);
          if
          :: away -> make_ready()
          :: else
          fi
#endif
       fi;
#ifdef RESULT_LATE
       atomic { store_result() }
#endif
    fi;
    atomic { claim = LOST; away = false; meant = 0 }
}

/* ------------------------------------------------------------------------------------------------------ the worker */

/* MODEL wait.pml: queue_remove */
inline take_out_of_queue()
{
    atomic { !queue_lock -> queued = false; show_word() }
}

/* MODEL wait.pml: disarm_timer */
inline take_out_of_heap()
{
#ifndef NO_DISARM
    if
    :: armed -> atomic { !timers_lock -> armed = false; show_word() }
    :: !armed
    fi
#else
    skip
#endif
}

/* In a queue, and in the heap: each lock's release shows what was stored before it. */
inline register()
{
    atomic { !queue_lock -> queued = true; show_word(); show_frame() }
    atomic { !timers_lock -> armed = true; show_word(); show_frame() }
}

proctype worker()
{
    byte seen, new_word;
    bool away;

    do
    :: atomic { ended -> break }
    :: atomic { ready > 0 -> ready--; running++; assert(running == 1) }
       if
       :: waits == 0 -> goto next
       :: else
       fi;
resumed:
       wait_resumed(0);
       atomic { assert(result == winner && winner != 0); result = 0 }
       assert(frame == waits + FULL || late_frame == waits + FULL);
       if
       :: winner == WAKER
       :: else -> take_out_of_queue()
       fi;
       if
       :: winner == MOMENT
       :: else -> take_out_of_heap()
       fi;
       atomic { show_frame(); frame = 0; winner = 0 }
next:
       if
       :: waits == WAITS -> atomic { show_word(); show_frame(); running--; ended = true; break }
       :: waits < WAITS -> atomic { waits++; store_frame(waits) }
       fi;
#ifndef BEGIN_LATE
       wait_begin(0);
#endif
       if
       :: atomic { wait_give_up(0); frame = 0; late_frame = NONE }
          goto next
       :: register()
       fi;
#ifdef BEGIN_LATE
       wait_begin(0);
#endif
       if
       :: take_backs > 0 ->
           take_backs--;
           wait_take_back(0);
           if
           :: away ->
               atomic { away = false; assert(winner == 0 && result == 0) }
               take_out_of_queue();
               take_out_of_heap();
               atomic { show_frame(); frame = 0 }
               goto next
           :: else
           fi
       :: true
       fi;
       atomic { store_frame(waits + FULL) }
       wait_let_go(0);
       if
       :: away -> away = false
       :: else -> goto resumed
       fi
    od
}

/* --------------------------------------------------------------------------------------------------- the claimers */

/* MODEL wait.pml: queue_claim */
active proctype waker()
{
    byte seen, claim, meant, generation, who = WAKER;
    bool away;
end:
    do
    :: atomic { queued && !queue_lock -> queue_lock = true; queued = false; meant = NUMBER(frame) }
#ifdef GENERATION_LATE
       queue_lock = false;
#endif
       generation = GENERATION(word[0]);
       wait_claim(0, generation);
#ifndef GENERATION_LATE
       queue_lock = false;
#endif
       generation = 0;
       deliver()
    od
}

/* MODEL wait.pml: timers_fire */
active proctype moment()
{
    byte seen, claim, meant, generation, who = MOMENT;
    bool away;
end:
    do
    :: atomic { armed && !timers_lock -> timers_lock = true; meant = NUMBER(frame) }
       generation = GENERATION(word[0]);
       atomic { armed = false; timers_lock = false }
       wait_claim(0, generation);
       generation = 0;
       deliver()
    od
}

/* Whether the request is visible is settled by any choice. MODEL cancel.pml: poke */
active proctype canceller()
{
    byte seen, claim, meant, tries = CANCELS, who = CANCELLER;
    bool away;
end:
    do
    :: tries > 0 ->
#ifdef CANCEL_EARLY
       meant = GENERATION(word[0]);
       wait_claim(0, meant);
#else
       do
       :: atomic { STATE(word[0]) != PARKED && STATE(word[0]) != HELD -> break }
       :: STATE(word[0]) == PARKED ->
           wait_hold(0);
           if
           :: away ->
               away = false;
               atomic { meant = GENERATION(word[0]); assert(frame == meant + FULL) }
               if
               :: wait_unhold(0)
               :: wait_take_held(0); claim = RESTING
               fi;
               break
           :: else
           fi
       od;
#endif
       tries--;
       deliver()
    od
}

/* MODEL wait.pml: look */
active proctype reader()
{
    byte seen, claim, meant, tries = READS, who = VERDICT;
    bool away;
end:
    do
    :: atomic { tries > 0 -> tries-- }
#ifdef NO_HOLD
       away = STATE(word[0]) == PARKED;
#else
       wait_hold(0);
#endif
       if
       :: away ->
           atomic { meant = GENERATION(word[0]); assert(frame == meant + FULL) }
           assert(frame == meant + FULL);
#ifndef NO_HOLD
           wait_unhold(0);
#endif
           away = false;
           if
           :: wait_claim(0, meant); deliver()                   /* MODEL wait.pml: verdict */
           :: meant = 0
           fi
       :: else
       fi
    od
}

init { atomic { ready = 1; run worker(); run worker() } }
