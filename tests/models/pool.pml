/*
 * pool.pml - workers that park, watch, and find the end of the run: src/sched/pool.c and src/sched/park.h
 *
 * Processes
 *   worker     worker_loop(): looks for a fiber, runs it, looks once more, rests
 *   outsider   a thread of no run that calls back: drive_pin(), coir__make_ready(), drive_unpin()
 *   sleepers   epoch_main(): the thread that wakes the sleepers of the epoch clock, from outside as well
 *   memory     the machine: what was stored becomes visible when it likes, unless a fence was there before
 *   clock      timers become due when it likes
 *
 * Fibers have no names: in a queue only their number counts. What one does is settled while it runs, by any choice: it forks, or sits in a long
 * callback that lasts until nothing is runnable any more (or no worker is left), and in the end waits for a callback, for a timer of its worker,
 * for the epoch clock, or for what never comes, or ends. JOINERS wait from the beginning, each for the end of some fiber. How many may do each, all
 * together, is set by -D. So the model runs every program of that size.
 *
 * Proved
 *   1. No wake-up is lost: a state in which all stand still is a run that has ended. A runnable fiber while all workers park would be
 *      such a state, and so would be one that waits for a worker in a long callback while another is idle: the watch is never left empty.
 *   2. The run ends when all fibers have ended and not before, and silence is judged when nothing can come: asserted.
 *   3. Who wakes from outside does not touch the pool after coir__pool_run() has returned: asserted.
 *
 * Late stores (-DLATE). A worker's push, the spinner's store, what was written under the lock and the lock's release, and an
 * injection, each by each thread, stay unseen by the others for any time; a fence makes its thread's own visible, and a release those before it.
 * Loads are made in order: the code has a fence or an acquire where two of them matter. Without LATE all stores are seen at once.
 *
 * Left out
 *   - The order of fibers, the ring, the backlog, the turns that take the oldest: any queue's fiber is found where the deque's is. Any turn may be
 *     such a turn as far as whom the end before it has woken is concerned.
 *   - How a deque works: deque.pml. Here one operation of it is one step. A thief may leave a single entry as too fresh at any time; that it
 *     takes it in the end, a nap later, is left out.
 *   - Naps that find nothing new, which change nothing: a nap ends here when there is something to see, or nobody is busy.
 *   - The order of `parked`: any of those who park may be woken. `busy` is the number of workers less `idle`.
 *   - `awakenings` only ever is compared with what it was: one bit says whether it is the same, for the one examiner and for `judged`.
 *   - The tickets of an event count are compared only: one bit, cleared when the ticket is taken, says whether a wake-up has come since.
 *   - Counters are summed from what they were when the examination began, plus what each was changed by since then: so old sums are no state.
 *   - Rings, waits for other runs, idle_sleep: they make a worker look more often.
 *
 * RUN    -DWORKERS=1 -DSTART=2 -DCALLBACKS=2 -DLATE=15
 * BREAK  -DNO_FENCE_INJECT             K1 is seen after K2 was made
 * BREAK  -DNO_FENCE_REST               S1 is seen after S2 was made
 * BREAK  -DNO_LOOK                     S2 is not made
 * RUN    -DWORKERS=1 -DSTART=2 -DCALLBACKS=1 -DEPOCHS=1 -DNEVERS=1
 * RUN    -DWORKERS=1 -DSTART=2 -DEPOCHS=1 -DNEVERS=1 -DLONGS=1 -DLATE=15
 * BREAK  -DNO_SECOND_LOOK              `injected` is not looked at after them
 * BREAK  -DFIRING_EXPECTED             firing counts as something that may still come
 * BREAK  -DFIRING_LATE                 firing begins after the sleepers were taken out
 * RUN    -DWORKERS=2 -DFORKS=1 -DNEVERS=2
 * RUN    -DWORKERS=2 -DJOINERS=2 -DNEVERS=1
 * BREAK  -DNEXT_LOST                   of several whom an end wakes one is kept
 * RUN    -DWORKERS=2 -DSTART=2 -DTIMERS=1 -DLONGS=1
 * RUN    -DWORKERS=2 -DEPOCHS=1
 * RUN    -DWORKERS=2 -DCALLBACKS=2 -DOUTSIDERS=1
 * BREAK  -DTICKET_LATE                 the ticket is taken after S1
 * BREAK  -DNOT_STILL                   the sums of an examination are believed
 * BREAK  -DJUDGED_FOR_GOOD             an awakening does not undo a judgement
 * BREAK  -DNO_PINS                     the run returns under its wakers
 * RUN    -DWORKERS=2 -DCALLBACKS=1 -DLATE=15 -DNO_EXAMINATION
 * RUN    -DWORKERS=2 -DFORKS=1 -DJOINERS=1 -DLONGS=1 -DLATE=15
 * BREAK  -DNEXT_EARLY                  who is forked is seen by nobody else, either
 * RUN    -DWORKERS=2 -DFORKS=1 -DCALLBACKS=1 -DLONGS=1 -DLONGS_LAST -DNO_EXAMINATION
 * BREAK  -DNO_ENSURE_WATCH             who pushes does not see to it that somebody watches
 * BREAK  -DWATCH_UNLOCKED              the watch is left without the lock
 * RUN    -DWORKERS=2 -DFORKS=1 -DCALLBACKS=2 -DOUTSIDERS=1 -DLONGS=1 -DLONGS_LAST -DLATE=2 -DNO_EXAMINATION
 * BREAK  -DNO_FENCE_SPIN               `spinning` is seen as it was when the spinner has looked for the last time
 * RUN    -DWORKERS=3 -DSTART=2 -DFORKS=1 -DLONGS=2 -DLONGS_LAST -DNO_EXAMINATION
 * BREAK  -DNO_RELIEF                   who leaves the watch does not see to it, either
 * DEEP   -DWORKERS=2 -DSTART=2 -DCALLBACKS=1 -DLONGS=1
 * DEEP   -DWORKERS=2 -DEPOCHS=1 -DCALLBACKS=1
 * DEEP   -DWORKERS=2 -DCALLBACKS=1 -DTIMERS=1
 * DEEP   -DWORKERS=2 -DJOINERS=1 -DCALLBACKS=1 -DLONGS=1
 * DEEP   -DWORKERS=2 -DJOINERS=1 -DCALLBACKS=1 -DLATE=15 -DNO_EXAMINATION
 * DEEP   -DWORKERS=3 -DCALLBACKS=1 -DLONGS=1 -DNO_EXAMINATION
 */
#ifndef WORKERS
#define WORKERS   2
#endif
#ifndef START
#define START     1
#endif
#ifndef FORKS
#define FORKS     0
#endif
#ifndef LONGS
#define LONGS     0
#endif
#ifndef CALLBACKS
#define CALLBACKS 0
#endif
#ifndef TIMERS
#define TIMERS    0
#endif
#ifndef EPOCHS
#define EPOCHS    0
#endif
#ifndef NEVERS
#define NEVERS    0
#endif
#ifndef JOINERS
#define JOINERS   0
#endif
#ifndef OUTSIDERS
#define OUTSIDERS CALLBACKS
#endif
#ifndef LATE
#define LATE      0
#endif
#define LATE_PUSH   1
#define LATE_SPIN   2
#define LATE_INJECT 4
#define LATE_LOCK   8

/* Threads by number: the workers, the outsiders, the one of the epoch clock. */
#define OUTSIDER(i) (WORKERS + (i))
#define SLEEPERS    (WORKERS + OUTSIDERS)
#define THREADS     (WORKERS + OUTSIDERS + 1)
#define NOBODY      15

#if WORKERS == 1
#define SUM(a) a[0]
#elif WORKERS == 2
#define SUM(a) (a[0] + a[1])
#else
#define SUM(a) (a[0] + a[1] + a[2])
#endif

/* ----------------------------------------------------------------------------------------------------------- the pool */

byte deque[WORKERS];                    /* fibers in it */
byte deque_called[WORKERS];             /* of those: that a callback has woken */
byte injected, injected_called;
byte armed[WORKERS], due[WORKERS];      /* timers, before and after their moment */
byte epoch_armed, epoch_firing;

bool parked[WORKERS], watching[WORKERS], relieves[WORKERS];
bool asleep[WORKERS];                   /* has a ticket, and may sleep by it */
bool woken[WORKERS];                    /* since the ticket was taken */
#define WAKE(who) woken[who] = asleep[who]
byte idle;
bool watched, stopped, spinning;
bool still;                             /* no awakening since the examiner noted their number */
bool judged;                            /* no awakening since the last judgement */
byte pins;
byte left;                              /* workers that have gone */
bool returned;                          /* coir__pool_run() */

/* The counters of each seat: what they were changed by since the examination began. */
bool examining;
byte forked[WORKERS], ended[WORKERS], begun[WORKERS], answered[WORKERS];
#ifdef NO_EXAMINATION
#define COUNT(counter) skip
#else
#define COUNT(counter) if :: examining -> counter[me]++ :: else fi
#endif

/* -------------------------------------------------------------------------------------------------------- the program */

byte forks = FORKS, longs = LONGS, callbacks = CALLBACKS, timers = TIMERS, epochs = EPOCHS, nevers = NEVERS;
byte joiners = JOINERS;                     /* fibers that wait for the end of another */
byte live = START + JOINERS;                /* fibers that have not ended */
byte runnable = START;                      /* in a queue, or on their way from one to another or to a worker that will run them */
byte handles;                           /* callbacks that have not come */
byte pending;                           /* fibers that wait for one, or were woken by it and not run since */
byte stuck;                             /* fibers that wait for what never comes */
byte blocked;                           /* workers in a long callback */

/* ------------------------------------------------------------------------------------------------------------- memory */

#define BUSY (WORKERS - idle)

byte lock;                              /* 0: free; else it is 1 + who has released it without that being seen */
byte late_push[WORKERS];                /* 1: a fiber, 2: one that a callback has woken */
bool late_spin[WORKERS];                /* spinning := 0 */
byte late_inject[THREADS];              /* as late_push */
byte idle_seen;
bool watched_seen, stopped_seen;

#define MINE         (lock == 1 + me)
#define IDLE_SEEN    (MINE -> idle : idle_seen)
#define WATCHED_SEEN (MINE -> watched : watched_seen)
#define STOPPED_SEEN (MINE -> stopped : stopped_seen)
#define OWN_DEQUE    (deque[me] + late_push[me])

inline show_push(who)
{
    if
    :: late_push[who] > 0 -> deque[who]++; deque_called[who] = deque_called[who] + late_push[who] - 1; late_push[who] = 0
    :: else
    fi
}

inline show_spin(who)
{
    if
    :: late_spin[who] -> spinning = false; late_spin[who] = false
    :: else
    fi
}

inline show_inject(who)
{
    if
    :: late_inject[who] > 0 -> injected++; injected_called = injected_called + late_inject[who] - 1; late_inject[who] = 0
    :: else
    fi
}

inline show_lock() { idle_seen = idle; watched_seen = watched; stopped_seen = stopped; lock = 0 }

inline show_all(who)
{
    if
    :: who < WORKERS -> show_push(who); show_spin(who)
    :: else -> show_inject(who)
    fi;
    if
    :: lock == 1 + who -> show_lock()
    :: else
    fi
}

#define fence() show_all(me)

#if LATE & LATE_PUSH
#define store_push(called) show_push(me); late_push[me] = 1 + called
#else
#define store_push(called) late_push[me] = 1 + called; show_push(me)
#endif
#if LATE & LATE_SPIN
#define store_spin() late_spin[me] = true
#else
#define store_spin() spinning = false
#endif
#if LATE & LATE_INJECT
#define store_inject(called) show_inject(me); late_inject[me] = 1 + called
#else
#define store_inject(called) late_inject[me] = 1 + called; show_inject(me)
#endif
/* Its own release a thread need not have shown before it takes the lock again. */
#define IS_FREE (lock == 0 || lock == 1 + me)
#if LATE & LATE_LOCK
#define RELEASE lock = 1 + me
#else
#define RELEASE lock = 1 + me; show_lock()
#endif

#if LATE
active proctype memory()
{
    byte who;
end:
    do
    :: atomic { late_spin[0] -> show_spin(0) }
#if LATE & LATE_PUSH
    :: atomic { late_push[0] > 0 -> show_push(0) }
#endif
#if WORKERS > 1
    :: atomic { late_push[1] > 0 -> show_push(1) }
    :: atomic { late_spin[1] -> show_spin(1) }
#endif
#if OUTSIDERS > 0
    :: atomic { late_inject[OUTSIDER(0)] > 0 -> show_inject(OUTSIDER(0)) }
#endif
#if OUTSIDERS > 1
    :: atomic { late_inject[OUTSIDER(1)] > 0 -> show_inject(OUTSIDER(1)) }
#endif
#if EPOCHS
    :: atomic { late_inject[SLEEPERS] > 0 -> show_inject(SLEEPERS) }
#endif
    :: atomic { lock > 0 -> who = lock - 1; show_all(who); who = 0 }
    :: atomic { stopped && !stopped_seen -> stopped_seen = true }           /* a release store of its own, before the lock's */
    od
}
#endif

/* ------------------------------------------------------------------------------------------------------- waking others */

/* MODEL pool.pml: parked_remove */
inline parked_remove(who, to_watch)
{
    parked[who] = false;
#ifdef NO_RELIEF
    relieves[who] = false;
#else
    relieves[who] = watching[who] || to_watch;
#endif
    if
    :: watching[who] -> watched = false
    :: else
    fi;
    watching[who] = false;
    idle--;
    still = false;
#ifndef JUDGED_FOR_GOOD
    judged = false
#endif
}

/* MODEL pool.pml: wake_one */
inline pool_wake_one(to_watch)
{
    atomic {
        IS_FREE ->
        assert(!returned);
        if
        :: idle == 0
        :: parked[0] -> parked_remove(0, to_watch); chosen = 0
#if WORKERS > 1
        :: parked[1] -> parked_remove(1, to_watch); chosen = 1
#endif
#if WORKERS > 2
        :: parked[2] -> parked_remove(2, to_watch); chosen = 2
#endif
        fi;
        RELEASE
    }
    atomic {
        if
        :: chosen != NOBODY -> assert(!returned); WAKE(chosen); chosen = NOBODY
        :: else
        fi
    }
}

/* MODEL pool.pml: ensure_watch */
inline pool_ensure_watch()
{
    if
#ifndef NO_ENSURE_WATCH
    :: IDLE_SEEN > 0 ->
        if
        :: !WATCHED_SEEN -> pool_wake_one(true)
        :: else
        fi
#endif
    :: else
    fi
}

/* MODEL pool.pml: stop */
inline pool_stop()
{
    atomic {
        IS_FREE ->
        stopped = true;
        do
        :: i < WORKERS -> waking[i] = parked[i]; parked[i] = false; i++
        :: else -> i = 0; break
        od;
        idle = 0;
        RELEASE
    }
    do
    :: atomic { i < WORKERS && waking[i] -> waking[i] = false; WAKE(i); i++ }
    :: atomic { i < WORKERS && !waking[i] -> i++ }
    :: atomic { i == WORKERS -> i = 0; break }
    od
}

/* MODEL pool.pml: inject */
inline pool_inject(called)
{
    atomic { store_inject(called) }                                                 /* K1 */
#ifndef NO_FENCE_INJECT
    atomic { fence() }
#endif
    if
    :: !spinning ->                                                                 /* K2 */
        if
        :: IDLE_SEEN > 0 -> pool_wake_one(false)
        :: else
        fi
    :: else
    fi
}

/* ------------------------------------------------------------------------------------------------------- finding work */

/* MODEL pool.pml: push */
inline worker_push(called)
{
    atomic { store_push(called) }
    pool_ensure_watch()
}

inline deque_take(who)
{
    if
    :: deque[who] > deque_called[who] -> deque[who]--; got = true
    :: deque_called[who] > 0 -> deque[who]--; deque_called[who]--; got = true; called = true
    :: deque[who] == 0
    fi
}

/* MODEL pool.pml: fire_timers */
inline worker_fire_timers()
{
    if
    :: atomic { due[me] > 0 -> due[me]--; runnable++ } worker_push(0)
    :: due[me] == 0 && armed[me] > 0 -> pool_ensure_watch()
    :: due[me] == 0 && armed[me] == 0
    fi
}

inline ensure_injected_watched()
{
    if
    :: got && injected > 0 -> pool_ensure_watch()
    :: else
    fi
}

/* Without a fence: what was pushed before may still be late. MODEL pool.pml: take_newest */
inline worker_take_next()
{
    if
    :: next -> next = false; got = true; ensure_injected_watched()
    :: next -> next = false; worker_push(0)                                         /* MODEL pool.pml: take_oldest */
    :: !next
    fi
}

/* `stopped`, its own deque, or the stack of those that were injected, in one step: an empty deque stays empty while its owner looks elsewhere, and a pop that
 * finds something has a fence of its own. MODEL pool.pml: take_own */
inline worker_take_own()
{
    atomic {
#if !(TIMERS + JOINERS)
        !STOPPED_SEEN ->
#endif
        if
        :: OWN_DEQUE > 0 -> fence(); deque_take(me)
        :: else -> many = injected; many_called = injected_called; injected = 0; injected_called = 0
        fi
    }
#if CALLBACKS + EPOCHS
    ensure_injected_watched();
    do                                                                              /* MODEL pool.pml: take_injected */
    :: many > 1 ->
        atomic {
            if
            :: many_called > 0 -> store_push(1); many_called--
            :: many_called < many -> store_push(0)
            fi;
            many--
        }
        pool_ensure_watch()
    :: atomic { many == 1 -> got = true; called = many_called; many = 0; many_called = 0 }
    :: many == 0 -> break
    od
#endif
}

inline worker_steal_from(which)
{
    victim = (which) % WORKERS;
    if
    :: deque_take(victim)
    :: deque[victim] == 1
    fi;
    victim = 0
}

/* MODEL pool.pml: steal */
inline worker_steal()
{
#if WORKERS > 2
    atomic {
        if
        :: i = 1
        :: i = 2
        fi;
        worker_steal_from(me + i)
    }
    atomic {
        if
        :: !got -> worker_steal_from(me + 2 * i)
        :: else
        fi;
        i = 0
    }
#elif WORKERS > 1
    atomic { worker_steal_from(me + 1) }
#else
    skip;
#endif
#if TIMERS
    do
    :: atomic { !got && i < WORKERS && due[i] > 0 -> due[i]--; runnable++; i = 0 }
       worker_push(0);
       atomic { fence(); deque_take(me) }
       break
    :: atomic { !got && i < WORKERS && due[i] == 0 -> i++ }
    :: atomic { got || i == WORKERS -> i = 0; break }
    od
#endif
}

/* ---------------------------------------------------------------------------------------------------------------- idle */

/* It looks again and again: what it sees at one moment stands for all. MODEL pool.pml: spin */
inline worker_spin()
{
    if
    :: atomic { !spinning -> spinning = true }
       if
       :: injected > 0 || STOPPED_SEEN -> found = true
       :: injected == 0 && !STOPPED_SEEN
       fi;
       store_spin();
#ifndef NO_FENCE_SPIN
       atomic { fence() }
#endif
    :: spinning
    fi
}

inline add_up(sign, counter)
{
    do
    :: atomic { i < WORKERS -> sum = sum + sign * counter; i++ }
    :: atomic { i == WORKERS -> i = 0; break }
    od
}

/* Of callbacks, and below of fibers: the ends are summed before the beginnings. MODEL pool.pml: expects */
inline pool_expects()
{
    expects = epoch_armed > 0;
#ifdef FIRING_EXPECTED
    if
    :: !expects -> expects = epoch_firing
    :: else
    fi;
#endif
#if CALLBACKS
    if
    :: !expects -> atomic { sum = pending_before }
       add_up(-1, answered[i]);
       add_up(1, begun[i]);
       atomic { expects = sum != 0; sum = 0 }
    :: else
    fi;
#endif
#if TIMERS
    do
    :: atomic { i < WORKERS -> expects = expects || armed[i] + due[i] > 0; i++ }
    :: atomic { i == WORKERS -> i = 0; break }
    od
#endif
}

/* MODEL pool.pml: was_still */
inline pool_was_still()
{
#ifdef NOT_STILL
    has_work = false
#else
    atomic { IS_FREE -> has_work = !(BUSY == 1 && still); RELEASE }
#endif
}

/* MODEL pool.pml: examine */
inline pool_examine()
{
    if
    :: injected > 0 -> has_work = true
    :: else ->
        sum = live_before;
        add_up(-1, ended[i]);
        add_up(1, forked[i]);
        atomic { all_ended = sum == 0; sum = 0 }
        pool_expects();
#if EPOCHS && !defined FIRING_EXPECTED
        has_work = epoch_firing;
#endif
        if
#ifndef NO_SECOND_LOOK
        :: !has_work && injected > 0 -> has_work = true
#endif
        :: else
        fi;
        if
        :: !has_work -> pool_was_still()
        :: else
        fi;
        if
        :: has_work
        :: !has_work && all_ended -> assert(live == 0); pool_stop(); has_work = true
        :: !has_work && !all_ended && expects
        :: !has_work && !all_ended && !expects ->
            atomic {
                assert(runnable == 0 && pending == 0 && SUM(armed) + SUM(due) + epoch_armed == 0);
                assert(stuck > 0 && stuck + joiners == live)
            }
            do                                                                      /* the verdict wakes them */
            :: stuck > 0 -> atomic { stuck--; runnable++; has_work = true } worker_push(0)
            :: else -> break
            od
        fi
    fi
}

/* MODEL pool.pml: become_idle */
inline worker_become_idle()
{
    do
#ifdef NO_EXAMINATION
    :: atomic { IS_FREE && !stopped && BUSY == 1 && !judged -> judged = true; RELEASE }
       if
       :: live == 0 -> pool_stop(); break
       :: else
       fi
#else
    :: atomic {
           IS_FREE && !stopped && BUSY == 1 && !judged ->
           still = true; examining = true; live_before = live; pending_before = pending;
           RELEASE
       }
       pool_examine();
       atomic {
           examining = false; live_before = 0; pending_before = 0; all_ended = false; expects = false;
           do
           :: i < WORKERS -> forked[i] = 0; ended[i] = 0; begun[i] = 0; answered[i] = 0; i++
           :: else -> i = 0; break
           od
       }
       if
       :: has_work -> has_work = false; break
       :: else -> atomic { IS_FREE -> judged = still; RELEASE }
       fi
#endif
    :: atomic { IS_FREE && stopped -> RELEASE; break }
    :: atomic {
           IS_FREE && !stopped && (BUSY > 1 || judged) ->
           relieves[me] = false; parked[me] = true; idle++;                         /* S1 */
           RELEASE
       }
       is_idle = true;
       break
    od
}

/* MODEL pool.pml: become_busy */
inline worker_become_busy()
{
    atomic {
        IS_FREE ->
        if
        :: parked[me] -> parked_remove(me, false)
        :: else
        fi;
        RELEASE
    }
}

/* MODEL pool.pml: stands_watch */
inline worker_stands_watch()
{
#ifdef WATCH_UNLOCKED
    if
    :: watching[me] && BUSY == 0 -> watching[me] = false; watched = false; watches = false
    :: else ->
#endif
    atomic {
        IS_FREE ->
        if
        :: parked[me] && !watching[me] && BUSY > 0 && !watched -> watching[me] = true; watched = true
        :: watching[me] && BUSY == 0 -> watching[me] = false; watched = false
        :: else
        fi;
        watches = watching[me];
        RELEASE
    }
#ifdef WATCH_UNLOCKED
    fi
#endif
}

/* MODEL pool.pml: sees_work */
#define SEES_WORK (injected > 0 || STOPPED_SEEN || (watches && SUM(deque) + SUM(due) > 0))

/* MODEL pool.pml: rest */
inline worker_rest()
{
#if CALLBACKS + EPOCHS
    worker_spin();
#endif
    if
    :: found -> found = false
    :: else ->
#ifndef TICKET_LATE
        asleep[me] = true;                                                          /* the ticket */
#endif
        worker_become_idle();
#ifdef TICKET_LATE
        asleep[me] = true;
#endif
        if
        :: is_idle ->
            is_idle = false;
#ifndef NO_FENCE_REST
            atomic { fence() }
#endif
            do
            :: worker_stands_watch();
               if
#ifndef NO_LOOK
               :: SEES_WORK -> break                                                /* S2 */
#endif
               :: else
               fi;
               woken[me] || due[me] > 0 || (watches && (SEES_WORK || BUSY == 0));   /* MODEL pool.pml: park_wait */
               if
               :: woken[me] || due[me] > 0 -> break
               :: else
               fi
            od;
            worker_become_busy();
            watches = false
        :: else
        fi;
        atomic { asleep[me] = false; woken[me] = false }
    fi
}

/* ------------------------------------------------------------------------------------------------------------ running */

#ifdef LONGS_LAST
#define MAY_BE_LONG (forks + callbacks == 0)
#else
#define MAY_BE_LONG true
#endif

/* MODEL pool.pml: next */
inline drive_next()
{
    if
#ifndef NEXT_LOST
    :: next -> worker_push(0)
#endif
    :: else -> next = true
    fi
}

/* Some of those who wait for a fiber may have waited for this one; whoever is left waits for another. */
inline fiber_wakes()
{
    do
    :: atomic { joiners > 0 -> joiners--; runnable++ } drive_next()
    :: joiners == 0 || live > joiners -> break
    od
}

inline fiber_run()
{
    atomic { got = false; runnable-- }
    if
    :: called -> atomic { called = false; pending--; COUNT(answered) }
    :: else
    fi;
    do
#ifdef NEXT_EARLY
    :: atomic { forks > 0 -> forks--; live++; runnable++; COUNT(forked) } drive_next()
#else
    :: atomic { forks > 0 -> forks--; live++; runnable++; COUNT(forked) } worker_push(0)
#endif
    :: atomic { longs > 0 && MAY_BE_LONG -> longs--; blocked++ }
       atomic { runnable + SUM(due) == 0 || blocked == WORKERS -> blocked-- }
    :: atomic { callbacks > 0 -> callbacks--; pending++; COUNT(begun); handles++; break }
    :: atomic { timers > 0 -> timers--; armed[me]++; break }
    :: atomic { epochs > 0 -> epochs--; epoch_armed++; break }
    :: atomic { nevers > 0 -> nevers--; stuck++; break }
#if JOINERS
    :: atomic { live--; COUNT(ended) } fiber_wakes(); break
#else
    :: atomic { live--; COUNT(ended); break }
#endif
    od
}

proctype worker(byte me)
{
    byte i, victim, many, many_called, live_before, pending_before, chosen = NOBODY;
    short sum;
    bool got, called, next, found, watches, is_idle, has_work, all_ended, expects, waking[WORKERS];

    do
    :: STOPPED_SEEN -> break
#if TIMERS + JOINERS
    :: !STOPPED_SEEN ->
#if TIMERS
        worker_fire_timers();
#endif
#if JOINERS
        worker_take_next();
#endif
        if
        :: !got -> worker_take_own()
        :: else
        fi;
#else
    :: worker_take_own();
#endif
        if
        :: !got -> worker_steal()
        :: else
        fi;
        if                                                                          /* MODEL pool.pml: look */
        :: got && relieves[me] -> relieves[me] = false; pool_ensure_watch()
        :: else
        fi;
        if
        :: got -> fiber_run()
        :: else -> worker_rest()
        fi
    od;
    atomic { fence() }
    if
    :: me > 0 -> left++
    :: else ->
        left == WORKERS - 1;
#ifndef NO_PINS
        pins == 0;                                                                  /* MODEL pool.pml: await_pins */
#endif
        assert(live == 0);
        returned = true
    fi
}

/* ------------------------------------------------------------------------------------------------------------- outside */

#if OUTSIDERS
/* The claim, by which the fiber is in its hands, is wait.pml's. MODEL wait.pml: make_ready */
proctype outsider(byte me)
{
    byte chosen = NOBODY;
end:
    do
    :: atomic { handles > 0 -> handles--; pins++; runnable++ }
       pool_inject(1);
       atomic { assert(!returned); pins-- }
    od
}
#endif

#if EPOCHS
/* MODEL pool.pml: sleepers */
proctype sleepers(byte me)
{
    byte chosen = NOBODY;
end:
    do
    :: epoch_armed > 0 ->
#ifndef FIRING_LATE
       epoch_firing = true;
#endif
       atomic { epoch_armed--; pins++; runnable++ }
#ifdef FIRING_LATE
       epoch_firing = true;
#endif
       pool_inject(0);
       atomic { assert(!returned); pins-- }
       epoch_firing = false
    od
}
#endif

#if TIMERS
active proctype clock()
{
end:
    do
    :: atomic { armed[0] > 0 -> armed[0]--; due[0]++ }
#if WORKERS > 1
    :: atomic { armed[1] > 0 -> armed[1]--; due[1]++ }
#endif
#if WORKERS > 2
    :: atomic { armed[2] > 0 -> armed[2]--; due[2]++ }
#endif
    od
}
#endif

init
{
    atomic {
        deque[0] = START;
        run worker(0);
#if WORKERS > 1
        run worker(1);
#endif
#if WORKERS > 2
        run worker(2);
#endif
#if OUTSIDERS > 0
        run outsider(OUTSIDER(0));
#endif
#if OUTSIDERS > 1
        run outsider(OUTSIDER(1));
#endif
#if EPOCHS
        run sleepers(SLEEPERS)
#endif
    }
}
