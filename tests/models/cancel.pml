/*
 * cancel.pml - a request to end is not missed by a fiber that is about to be suspended: src/fiber/cancel.h, [CANCEL]
 *
 * Processes
 *   fiber      a worker and its fiber: waits masked, and is woken; closes a scope; looks on its way down; waits unmasked for what never comes
 *   waker      ends the masked wait
 *   requester  two of them ask the fiber to end: request(), coir__cancel_poke()
 *   memory     what was stored becomes visible when it likes: see below
 *
 * Proved
 *   1. The fiber comes to its end: there would be a state in which all stand still, if the last wait were not ended.
 *   2. The masked wait is ended by its waker: asserted.
 *
 * Late stores. W1 and R2 are sequentially consistent, so each is seen before its thread loads again; the switches take that from them. R1 is relaxed
 * and is seen at the latest with R2.
 *
 * Left out: scopes inside scopes, whose requests are noted in the same way; threads outside the run, which are pinned: callback.pml.
 *
 * RUN
 * BREAK  -DNO_W2                       the worker does not look after it has let go
 * BREAK  -DW1_LATE                     letting go is not sequentially consistent
 * BREAK  -DR2_LATE                     nor is asking
 * BREAK  -DR1_AFTER_R2                 what is asked for is noted after asking
 * BREAK  -DLOOK_BEFORE                 `asked` is cleared after the look for requests
 */
#define FIBERS 1

byte late_word, late_asked;             /* 0: none */
bool late_requested;

#ifdef W1_LATE
#define OWN_WORD(f)          (late_word -> late_word : word[f])
#define STORE_WORD(f, value) word[f] = value; late_word = 0
#define SWAP_WORD(f, value)  late_word = value
#endif
#include "wait.inc"

byte ready, mask = 1;
bool asked, requested, canceled, woken;

inline show_word()      { if :: late_word -> word[0] = late_word; late_word = 0 :: else fi }
inline show_requested() { if :: late_requested -> requested = true; late_requested = false :: else fi }
inline show_asked()     { if :: late_asked -> show_requested(); asked = true; late_asked = false :: else fi }

active proctype memory()
{
end:
    do
    :: atomic { late_requested -> show_requested() }
#ifdef W1_LATE
    :: atomic { late_word -> show_word() }
#endif
#ifdef R2_LATE
    :: atomic { late_asked -> show_asked() }
#endif
    od
}

/* MODEL cancel.pml: poke */
inline coir__cancel_poke()
{
    do
    :: atomic { STATE(word[0]) != PARKED && STATE(word[0]) != HELD -> break }                   /* R3 */
    :: STATE(word[0]) == PARKED ->
        wait_hold(0);
        if
        :: away ->
            away = false;
            if
            :: requested && mask == 0 ->
                canceled = true;
                wait_take_held(0);
                atomic { ready++; assert(ready == 1) }
            :: else -> wait_unhold(0)
            fi;
            break
        :: else
        fi
    od
}

/* To PARKED, and W2: MODEL cancel.pml: suspend */
inline suspend()
{
    wait_begin(0);
    wait_let_go(0);
    atomic { assert(away); away = false }
#ifndef NO_W2
    if
    :: asked -> coir__cancel_poke()                                                             /* W2 */
    :: else
    fi;
#endif
    atomic { ready > 0 -> ready-- }
    wait_resumed(0)
}

/* MODEL cancel.pml: ask_anew */
inline ask_anew()
{
#ifdef LOOK_BEFORE
    if
    :: requested -> skip
    :: else -> asked = false
    fi
#else
    asked = false;
    if
    :: requested -> asked = true
    :: else
    fi
#endif
}

active proctype fiber()
{
    byte seen;
    bool away;

    suspend();
    assert(woken && !canceled);
    mask = 0;
    ask_anew();
    if
    :: asked && requested                                                                       /* MODEL cancel.pml: seen */
    :: else -> suspend(); assert(canceled)
    fi
}

active proctype waker()
{
    byte seen, claim;

    STATE(word[0]) == PARKED || STATE(word[0]) == HELD;
    wait_claim(0, 1);
    atomic { assert(claim == RESTING); woken = true; ready++; assert(ready == 1) }
}

/* MODEL cancel.pml: request */
active [2] proctype requester()
{
    byte seen;
    bool away;

#ifndef R1_AFTER_R2
    late_requested = true;                                                                      /* R1 */
#endif
#ifdef R2_LATE
    late_asked = true;
#else
    atomic { show_requested(); asked = true }                                                   /* R2 */
#endif
#ifdef R1_AFTER_R2
    late_requested = true;
#endif
    coir__cancel_poke()
}
