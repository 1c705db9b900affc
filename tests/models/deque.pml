/*
 * deque.pml - the work-stealing deque: src/sched/deque.h
 *
 * Processes
 *   owner   deque_push() and deque_pop() of PUSHES fibers in any order, then pops until nothing is left
 *   thief   deque_steal(), again and again; THIEVES of them
 *   memory  what the owner stored becomes visible when it likes: see below
 *
 * Proved: each fiber that was pushed is taken once, and when a pop finds nothing all have been taken: asserted. The deque has SIZE slots, fewer than
 * there are fibers, so that slots are used again, and a full one refuses.
 *
 * Late stores. The owner's stores to a slot and to bottom stay unseen for any time, one of each; a release shows the slot first, the fence and a
 * compare-and-swap both. A thief's two loads are made in either order unless a fence stands between them. What the owner loads of top, but for
 * O2, which stands behind a fence, may be any that was there since it last looked.
 *
 * RUN    -DPUSHES=4 -DTHIEVES=2
 * BREAK  -DNO_FENCE_POP                O1 is seen after O2 was made
 * BREAK  -DNO_FENCE_STEAL              T2 is made before T1
 * BREAK  -DPUSH_RELAXED                bottom is seen before the slot
 * BREAK  -DNO_SWAP                     after O2 the owner takes the last without the compare-and-swap
 * BREAK  -DLAST_UNSWAPPED              so it does without having lowered bottom
 * BREAK  -DTOP_ONCE                    O2 is not made: the top that was there before O1 is believed
 * DEEP   -DPUSHES=6 -DTHIEVES=2
 * DEEP   -DPUSHES=5 -DTHIEVES=3
 */
#ifndef PUSHES
#define PUSHES  4
#endif
#ifndef THIEVES
#define THIEVES 2
#endif
#define SIZE    2
#define NONE    255

byte top, bottom, slots[SIZE];
byte late_slot = NONE, late_fiber, late_bottom = NONE;
byte top_seen;                          /* by the owner */
byte taken[PUSHES], taken_count;

inline show_slot()
{
    if
    :: late_slot != NONE -> slots[late_slot] = late_fiber; late_slot = NONE; late_fiber = 0
    :: else
    fi
}

inline show_bottom()
{
#ifndef PUSH_RELAXED
    show_slot();
#endif
    if
    :: late_bottom != NONE -> bottom = late_bottom; late_bottom = NONE
    :: else
    fi
}

#define OWN_BOTTOM     (late_bottom != NONE -> late_bottom : bottom)
#define OWN_SLOT(index) (late_slot == (index) % SIZE -> late_fiber : slots[(index) % SIZE])

active proctype memory()
{
end:
    do
    :: atomic { late_slot != NONE -> show_slot() }
    :: atomic { late_bottom != NONE -> show_bottom() }
    od
}

inline take(fiber)
{
    atomic { taken[fiber]++; assert(taken[fiber] == 1); taken_count++ }
}

inline load_top()
{
    atomic {
        t = top_seen;
        do
        :: t < top -> t++
        :: break
        od;
        top_seen = t
    }
}

/* MODEL deque.pml: push */
inline deque_push()
{
    load_top();
    if
    :: OWN_BOTTOM - t >= SIZE                       /* refused: the caller keeps it */
    :: OWN_BOTTOM - t < SIZE ->
        atomic { show_slot(); late_slot = OWN_BOTTOM % SIZE; late_fiber = pushed }
        atomic { b = OWN_BOTTOM + 1; show_bottom(); late_bottom = b; b = 0; pushed++ }
    fi;
    t = 0
}

inline swap_top()
{
    atomic {
        show_slot();
        show_bottom();
        if
        :: top == t -> top = t + 1; take(fiber)
        :: else -> none = true
        fi;
        top_seen = top
    }
}

/* MODEL deque.pml: pop */
inline deque_pop()
{
    load_top();
    if
    :: t >= OWN_BOTTOM -> none = true
    :: t < OWN_BOTTOM ->
        atomic { b = OWN_BOTTOM - 1; fiber = OWN_SLOT(b) }
        if
#ifdef LAST_UNSWAPPED
        :: t == b -> atomic { show_slot(); show_bottom(); take(fiber); top = t + 1 }
#else
        :: t == b -> swap_top()
#endif
        :: t < b ->
            atomic { show_bottom(); late_bottom = b }                                           /* O1 */
#ifndef NO_FENCE_POP
            atomic { show_slot(); show_bottom() }
#endif
#ifndef TOP_ONCE
            atomic { t = top; top_seen = t }                                                    /* O2 */
#endif
            if
            :: t < b -> take(fiber)
            :: t == b ->
#ifdef NO_SWAP
                atomic { take(fiber); top = t + 1 }
#else
                swap_top();
#endif
                atomic { show_bottom(); late_bottom = b + 1 }
            :: t > b -> atomic { show_bottom(); late_bottom = b + 1; none = true }
            fi
        fi
    fi;
    atomic { b = 0; t = 0; fiber = 0 }
}

active proctype owner()
{
    byte b, t, fiber, pushed;
    bool none;

    do
    :: pushed < PUSHES -> deque_push()
    :: deque_pop();
       if
       :: none && pushed < PUSHES -> assert(taken_count == pushed); none = false
       :: none && pushed == PUSHES -> assert(taken_count == pushed); break
       :: else
       fi
    od
}

/* MODEL deque.pml: steal */
active [THIEVES] proctype thief()
{
    byte b, t, fiber;
end:
    do
    :: top < bottom ->                              /* deque_size() */
#ifdef NO_FENCE_STEAL
        if
        :: t = top; b = bottom
        :: b = bottom; t = top
        fi;
#else
        t = top;                                                                                /* T1 */
        b = bottom;                                                                             /* T2 */
#endif
        if
        :: t < b ->
            fiber = slots[t % SIZE];
            atomic {
                if
                :: top == t -> top = t + 1; take(fiber)
                :: else
                fi
            }
        :: else
        fi;
        atomic { b = 0; t = 0; fiber = 0 }
    od
}
