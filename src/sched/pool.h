/*
 * pool.h - the driver of real threads: workers that share what is runnable
 *
 *   I  set by init, then only read       O  its worker alone, plain accesses
 *   L  under `idle_lock`                 A  atomic; the name in brackets is the pair that orders it
 */
#ifndef SCHED_POOL_H
#define SCHED_POOL_H

#include "base/random.h"
#include "sched/blockers.h"
#include "sched/deque.h"
#include "sched/epoch.h"
#include "sched/park.h"
#include "sched/timers.h"

#include <ck_ring.h>
#include <ck_stack.h>

enum { RING_SIZE = 1024 };

/* What does not fit into a deque or a ring: first in, first out, linked through the fibers themselves, so that it never allocates. */
struct backlog {
    ck_spinlock_fas_t lock;
    coir_fiber       *first, *last;                     /* under lock */
    _Atomic size_t    count;                            /* A, written under lock */
};

struct worker {
    struct coir__seat seat;                             /* first: a seat of this driver is a worker */
    struct pool      *pool;                             /* I */
    unsigned          index;                            /* I */
    pthread_t         thread;                           /* I; not of worker 0, which is the caller of coir_run() */
    coir_fiber       *spent;                            /* O: the fiber that yielded in this turn */
    coir_fiber       *next;                             /* O: whom the end of this turn has woken: runs next. Nobody else sees it */
    uint64_t          turns;                            /* O */
    struct random     random;                           /* O: where to steal first */
    struct worker    *parked_next, *parked_prev;        /* L: in pool->parked */
    bool              parked;                           /* L */
    bool              watching;                         /* L: stands watch */
    bool              relieves;                         /* L, while it is busy O: if it finds work another must watch: see pool.c */
    bool              drawing_begun;                    /* O: `drawing` has been seeded */
    struct random     drawing;                          /* O: what its fibers draw: apart, so that stealing does not change it */
    int64_t          *seen_top;                         /* O: of each worker's deque, at the last nap of a watch */
    struct parking    parking;                          /* [PARK] */

    struct deque      deque;                            /* what it forked and woke */
    LINE_ALIGNED ck_ring_t yielded;                     /* what yielded */
    ck_ring_buffer_t  yielded_slots[RING_SIZE];
    LINE_ALIGNED struct backlog backlog;
    LINE_ALIGNED struct timers timers;
};

struct pool {
    struct coir__run run;                               /* first: a run of this driver is a pool */
    unsigned         count;                             /* I: workers that run */
    unsigned         made;                              /* I: that there were to be */
    struct worker  **workers;                           /* I */
    pthread_mutex_t  starting;                          /* held until all are there */
    struct epoch     epoch;
    struct blockers  blockers;

    LINE_ALIGNED ck_stack_t injected;                   /* A [PARK]: from threads that are no workers of the run */
    LINE_ALIGNED _Atomic uint32_t idle;                 /* A [PARK], written under idle_lock: workers in `parked` */
    _Atomic bool     watched;                           /* A, written under idle_lock: one of them stands watch */
    _Atomic bool     stopped;                           /* A, written under idle_lock: the run is over */
    LINE_ALIGNED ck_spinlock_fas_t idle_lock;
    struct worker   *parked;                            /* L: the one that parked last first */
    uint32_t         busy;                              /* L: workers that run or look for fibers */
    uint64_t         awakenings;                        /* L: how often one became busy */
    uint64_t         judged;                            /* L: awakenings when the run was last examined as a whole */
    _Atomic uint32_t judging;                           /* A: a worker looks for rings */
    _Atomic uint64_t edges_judged;                      /* A, written by it: how many waits had begun at the last search */
    _Atomic int64_t  rings_due;                         /* A, likewise: no further search before that moment */
    coir_result      verdict;                           /* L: why the run was stopped before its end; OK if it was not */
    _Atomic uint32_t spinning;                          /* A: one idle worker looks on before it parks */
    LINE_ALIGNED _Atomic uint32_t pins;                 /* A [PIN] */
};

/* coir__pool_new: with workers that do not run yet; the calling thread will be the first. NULL without memory. */
struct pool *coir__pool_new(const coir_options *options);
/* coir__pool_run: runs io on the pool to the end of the run and gives the main fiber's result. Takes io. */
coir_result coir__pool_run(struct pool *pool, coir_io *io);
void coir__pool_drop(struct pool *pool);

#endif
