/*
 * driver.h - what fibers ask of whoever drives them: the pool of real threads, or a simulation
 *
 * A run is one coir_run(). A seat is a place in it where fibers are run, one at a time: a worker has one. The driver embeds both. Nothing
 * here or above it knows threads; nothing below the driver knows this policy.
 */
#ifndef FIBER_DRIVER_H
#define FIBER_DRIVER_H

#include "fiber/fiber.h"

#include <coir/runtime.h>

struct timers;

/* One moment at which a waiting fiber is to be claimed. It stands in the fiber's frame. */
struct timer {
    int64_t     due;                                    /* on its clock, in ns */
    uint64_t    serial;                                 /* equal moments in the order of arming */
    coir_fiber *fiber;
    enum claimer by;                                    /* as what it claims the wait */
    struct timers *_Atomic home;                        /* A: the set that it is in; NULL: in none */
    size_t      index;                                  /* where in it */
};

/* A call that blocks a thread. It stands in the fiber's frame, which is there until work() has woken the fiber. */
struct job {
    struct job *next, *prev;
    bool        begun;
    void      (*work)(struct job *job);                 /* on a thread that is no worker */
};

enum clock_kind { CLOCK_OF_RUN, CLOCK_OF_EPOCH };

struct driver {
    /* ready: a fiber that was woken may go on. From any thread; the run is pinned by the caller or cannot end before. */
    void (*ready)(struct coir__run *run, coir_fiber *fiber);
    /* next: the same from a seat whose fiber has just ended, which will do nothing else before it looks for the next one. */
    void (*next)(struct coir__run *run, coir_fiber *fiber);
    /* start: `count` fibers, new or woken, chained by `next`, the first to run first. From the seat. */
    void (*start)(struct coir__seat *seat, coir_fiber *first, coir_fiber *last, size_t count);
    int64_t (*now)(struct coir__run *run, enum clock_kind clock);
    uint64_t (*draw)(struct coir__seat *seat);          /* a number at random, from the run's seed */
    /* timer_arm: false: no memory. timer_disarm: of one that may have gone off; afterwards nobody knows it. */
    bool (*timer_arm)(struct coir__seat *seat, struct timer *timer, enum clock_kind clock);
    void (*timer_disarm)(struct timer *timer);
    /* block: has the job worked off elsewhere. False: there is no thread for it. unblock: true: nobody had begun it, and nobody will. Both from a
     * seat. */
    bool (*block)(struct coir__seat *seat, struct job *job);
    bool (*unblock)(struct coir__seat *seat, struct job *job);
    /* pin, unpin: the run cannot end in between. By who wakes one of its fibers from outside: before the claim. */
    void (*pin)(struct coir__run *run);
    void (*unpin)(struct coir__run *run);
};

/* What outlives a run, so that an object can tell whether the run that used it last has ended. */
struct run_token {
    _Atomic uint32_t refs;
    _Atomic bool     ended;
};
struct run_token *coir__run_token_ref(struct run_token *token);
void coir__run_token_drop(struct run_token *token);     /* NULL is harmless */

struct coir__run {
    struct run_token *token;                            /* I */
    const struct driver *driver;                        /* I */
    coir_options     options;                           /* I: completed with the defaults */
    _Atomic bool     canceling;                         /* A: the main fiber has ended, and the others are asked to: see options.cancel_rest */
    ck_spinlock_fas_t slabs_lock;
    struct slab     *slabs;                             /* L under slabs_lock */
    struct slab     *strays_next;                       /* L: where the search for strays goes on */
    bool             is_stopped;                        /* its fibers are being let go as they stand */
    struct coir__scope *root;                           /* what belongs to no other scope belongs to it; NULL: to the run alone. Set before the first fork */
};

struct coir__seat {
    struct coir__run *run;                              /* I */
    coir_fiber      *fiber;                             /* O: the one being run; NULL between two */
    coir_fiber      *free_fibers;                       /* O */
    struct slab     *slab;                              /* O: the one that its new slots come from; NULL at first */
    uint32_t         block_used;                        /* O: the slabs of that one's block that are in use */
    uint64_t         id_next, id_end;                   /* O: ids to give out */
    _Atomic uint64_t forked, ended;                     /* counters with one writer */
    _Atomic uint64_t callbacks_begun, callbacks_done;   /* likewise: handles given out, and fibers that went on after one */
    _Atomic uint64_t outside_begun, outside_done;       /* likewise: waits for fibers of other runs, which end by what happens there */
    _Atomic uint64_t edges_begun;                       /* likewise: waits for something that a fiber holds */
    _Atomic uint64_t kept;                              /* likewise: lent values that were kept under an io */
};

static inline bool seat_is_of(const struct coir__run *run) { return coir__me.seat != NULL && coir__me.seat->run == run; }

/* In its run nobody can end the run while it wakes somebody; from outside the run is pinned, from before the claim until after the wake-up. */
static inline void pin_foreign(struct coir__run *run)
{
    if (unlikely(!seat_is_of(run)))
        run->driver->pin(run);
}
static inline void unpin_foreign(struct coir__run *run)
{
    if (unlikely(!seat_is_of(run)))
        run->driver->unpin(run);
}

/* coir__options_bad: what about options of a run cannot serve, whoever drives it; NULL: nothing. */
const char *coir__options_bad(const coir_options *options);
/* coir__run_init, coir__run_done: the parts above. done gives back the slabs that no handle needs, and tells the unseen failures. */
bool coir__run_init(struct coir__run *run, const struct driver *driver, const coir_options *options);     /* false: no memory */
void coir__run_done(struct coir__run *run);
/* coir__seat_done: before that, of each seat: what it counted goes to the process's figures. */
void coir__seat_done(const struct coir__seat *seat);
uint64_t coir__values_kept(void);                       /* of seats that are done */
uint64_t coir__warnings(void);
/* coir__run_each: calls visit for each fiber that may be alive, until it gives false. They may move meanwhile. */
void coir__run_each(struct coir__run *run, bool (*visit)(void *env, coir_fiber *fiber), void *env);
/* coir__run_strip, then coir__run_discard: all fibers of a run that was stopped, see coir__fiber_strip(). */
void coir__run_strip(struct coir__run *run);
void coir__run_discard(struct coir__run *run);

enum stop { STOP_ENDED, STOP_PARKED, STOP_SPENT, STOP_YIELDED };

/* coir__gave_null: the panic of a callback that gave no io. */
coir_result coir__gave_null(const coir_fiber *fiber, const char *function);
/* coir__interp: runs the fiber until it ends, parks, yields, or has used its budget of steps. After PARKED it is not to be touched. */
enum stop coir__interp(struct coir__seat *seat, coir_fiber *fiber);

#endif
