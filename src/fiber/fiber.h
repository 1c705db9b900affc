/*
 * fiber/fiber.h - the object of a fiber, and the slabs that fibers come from
 *
 * Who may touch a field:
 *   I  set when the fiber is made, then only read
 *   O  whoever owns the fiber: the worker that runs it, or the claimer of its wait until it made the fiber ready
 *   L  under `lock`
 *   A  atomic; the name in brackets is the pair that orders it
 */
#ifndef FIBER_FIBER_H
#define FIBER_FIBER_H

#include "base/spin.h"
#include "fiber/wait.h"
#include "io/node.h"
#include "io/prim.h"

#include <coir/fiber.h>

#include <ck_stack.h>

struct coir__run;
struct coir__seat;

/* Something that a fiber has taken or opened: the head of a lock, which it must not take with it when it ends, or of a cancel_scope. */
struct held {
    struct held *next, *prev;
    void (*abandon)(struct held *held);                 /* its holder has ended: hand it on; NULL: a cancel_scope */
    uint64_t serial;                                    /* the lock's number */
};

enum fiber_flag {
    FIBER_BORROWED  = 1,                                /* `io` is borrowed, see node.h */
    FIBER_WAITING   = 2,                                /* it was suspended: its top frame is the PRIM that it waits in */
    FIBER_FREE      = 4,                                /* the slot is in a free list */
    FIBER_TYPED     = 8,                                /* of an ended one: its result is more than plain bits */
    FIBER_SHARABLE  = 16,                               /* of an ended one: its result can be shared */
    FIBER_UNTIMED   = 32,                               /* a time-out is open that has no timer yet: see coir__deadlines_arm() */
    FIBER_MAIN      = 64,                               /* the run's first */
    FIBER_WARNED    = 128                               /* of it the hook for warnings has been told */
};

/* The life of a fiber, for whoever looks on. ENDED is what joiners wait for. */
enum fiber_phase { PHASE_NEW, PHASE_RUNNING, PHASE_RUNNABLE, PHASE_ENDED };

struct coir_fiber {
    struct wait      wait;                              /* A: see wait.h */
    union {
        coir_fiber      *next;                          /* O: in the one run queue that it is in */
        ck_stack_entry_t injected;
    };
    union {
        struct {
            coir_io *top;                               /* O: the frames */
            coir_io *io;                                /* O: what is to be run next; NULL: `result` goes up */
        };
        struct buried buried;                           /* of a dead one: see fiber.c */
    };
    coir_result      result;                            /* O; after the end I if it can be shared, otherwise L */
    uint64_t         id;                                /* I */
    struct coir__context *context;                      /* O: NULL: the run's own, and no keys */
    struct waiter   *waiters;                           /* L: who waits for the end */
    struct held     *held;                              /* O: the locks that it holds, and its open scopes (cancel.h) */
    void            *name;                              /* I: the object of a string, or NULL */
    _Atomic uint32_t refs;                              /* A: handles, and one for the run until the end */
    ck_spinlock_fas_t lock;
    _Atomic uint8_t  phase;                             /* A [FIBER-END] enum fiber_phase */
    uint8_t          flags;                             /* O */
    uint8_t          claimed_by;                        /* O: enum claimer */
    _Atomic uint8_t  seen;                              /* A: somebody has looked at the result, or it needs no looking */
    uint32_t         mask;                              /* O: how many masks deep it is: 2^32 are 128 GiB of frames */
    _Atomic uint32_t floor;                             /* A, written by O: how many of them finalizers keep up; 0: it is in no finalizer */
    _Atomic uint8_t  asked;                             /* A [CANCEL] a request may stand */
    _Atomic uint8_t  requested;                         /* A [CANCEL] the fiber as a whole is asked to end */
    _Atomic uint8_t  cancels;                           /* A: it waits in coir_cancel(): see cancel.c */
    _Atomic uint8_t  is_child;                          /* A [CHILD] who started it waits for it, and asks it to end: see par.c */
};

/* Fibers of one run; aligned to its size, so a fiber finds it by its address. Slabs come in blocks, which grow up to a huge page, so that a
 * million fibers cost few faults and a dozen little memory. */
enum { SLAB_SIZE = 64 << 10, SLAB_BIAS = 1 << 30, BLOCK_SLABS_MAX = (2 << 20) / SLAB_SIZE };

struct slab {
    struct coir__run *_Atomic run;                      /* A: NULL once the run has ended */
    struct slab      *next;                             /* I: the run's slabs */
    _Atomic int32_t   outstanding;                      /* A [SLAB]: SLAB_BIAS less the fibers given up outside their run; see fiber.c */
    coir_fiber *_Atomic strays;                         /* A [SLAB]: those fibers */
    _Atomic uint32_t  count;                            /* A [SLOT], written by its seat: slots ever used */
    struct slab      *block;                            /* I: the first of its block */
    _Atomic uint32_t  block_refs;                       /* A, of the first: the slabs in use, and one until the run has ended */
    uint32_t          block_slabs;                      /* I, of the first: how many there is room for */
};
enum { SLAB_FIBERS_AT = CACHE_LINE };

static inline struct slab *slab_of(const coir_fiber *fiber)
{
    return (struct slab *)((uintptr_t)fiber & ~(uintptr_t)(SLAB_SIZE - 1));
}
static inline struct coir__run *run_of(const coir_fiber *fiber) { return load_relaxed(&slab_of(fiber)->run); }

/* ---------------------------------------------------------------------------------------------------------- life cycle */

/* coir__fiber_new: a fiber that will run io (taken, even when it fails), with one handle beside the run's reference, and the context
 * of `parent` (NULL: the run's). It is not started. NULL without memory. */
coir_fiber *coir__fiber_new(struct coir__seat *seat, coir_io *io, bool borrowed, coir_fiber *parent);
/* coir__fiber_is_child: of one that nobody else knows yet: who makes it waits for it. It begins without a request, also if the run calls off the
 * rest. */
static inline void coir__fiber_is_child(coir_fiber *fiber)
{
    store_relaxed(&fiber->asked, 0);                    /* relaxed, all three: nobody knows it yet */
    store_relaxed(&fiber->requested, 0);
    store_relaxed(&fiber->is_child, 1);
}
/* coir__fiber_end: after interp() said that it ended: its result is there. Wakes those who wait. The fiber may be gone afterwards. */
void coir__fiber_end(struct coir__seat *seat, coir_fiber *fiber);
/* coir__fiber_discard: one that will never run again, after coir__fiber_strip(), which takes it out of what it waits for. Drops all that it was
 * about to do without unwinding, and gives back what it holds: its locks, and what its brackets (HOLD) acquired. Of several all are stripped
 * first: then nobody waits for what one of them gives back. */
void coir__fiber_strip(coir_fiber *fiber);              /* interp.c */
void coir__fiber_discard(coir_fiber *fiber);
/* coir__frames_drop: the frames of a fiber, without unwinding (interp.c). */
void coir__frames_drop(coir_fiber *fiber);
/* What stands in place of a result that could not be shared, once somebody has it. */
extern const coir_type coir__gone_type;

/* coir__fiber_result: the result of an ended fiber, shared. */
coir_result coir__fiber_result(coir_fiber *fiber);
static inline bool coir__fiber_ended(coir_fiber *fiber) { return load_acquire(&fiber->phase) == PHASE_ENDED; }  /* [FIBER-END] */

/* coir__fiber_await: registers waiter for the end, if that is still to come. False: it has come. */
bool coir__fiber_await(coir_fiber *fiber, struct waiter *waiter);
void coir__fiber_unawait(coir_fiber *fiber, struct waiter *waiter);

/*
 * A watch is a wait for several fibers at once. It has a place among the waiters of each. When one of these ends, told() is called once, under that
 * fiber's lock: it notes the end in what the watch is part of, and says whose wait ends with it. So when a place has been taken back the watch
 * is told no more of that fiber, and may go. The lock of a watch is taken inside that of a fiber, never the other way round.
 */
struct watched;
struct claimed_wait { coir_fiber *fiber; enum claim claim; };                   /* LOST: no wait ends */
struct watch {
    /* told: claims the wait that ends now, by coir__waiter_claim(), under the watch's lock. */
    struct claimed_wait (*told)(struct watch *watch, struct watched *watched, coir_fiber *ended);
    ck_spinlock_fas_t lock;
};
struct watched { struct waiter waiter; struct watch *watch; };

/* coir__fiber_watch: as coir__fiber_await(); coir__fiber_unawait() takes it back. */
bool coir__fiber_watch(coir_fiber *fiber, struct watched *watched, struct watch *watch);
/* coir__fiber_watch_new: of one that nobody else knows yet, and before all who will wait for it: so it is told as the last. */
void coir__fiber_watch_new(coir_fiber *fiber, struct watched *watched, struct watch *watch);
/* coir__fiber_watched_by: the watch that fiber was made with, until that takes its place back; NULL: there is none. Under its lock. */
struct watch *coir__fiber_watched_by(const coir_fiber *fiber);
/* coir__waiter_claim: claims the wait of a fiber, perhaps of another run, which is pinned until coir__fiber_end() has made it ready. */
struct claimed_wait coir__waiter_claim(coir_fiber *waiting);
/* coir__waiter_claim_of: the wait of that generation, and no later one that the fiber has begun meanwhile. */
struct claimed_wait coir__waiter_claim_of(coir_fiber *waiting, uint64_t generation);

/* coir__fiber_move_result: the result of an ended fiber of which nobody else has a handle: not shared, but moved. */
coir_result coir__fiber_move_result(coir_fiber *fiber);
/* coir__fiber_unmake: one that was never started. Without its handle. */
void coir__fiber_unmake(struct coir__seat *seat, coir_fiber *fiber);

/* coir__claim: claims the wait of that generation, and hands it `result` (taken if it wins). False: lost. */
bool coir__claim(coir_fiber *fiber, uint64_t generation, enum claimer by, coir_result result);

/* coir__deliver: the second half of a wake-up whose claim was won under an object's lock; to be called when that is free again. */
void coir__deliver(coir_fiber *fiber, enum claim claim, coir_result result);

/* coir__make_ready: a fiber whose wait the caller has claimed, and that is parked, may go on. */
void coir__make_ready(coir_fiber *fiber);

/* coir__fiber_label: " 12", or " 12 'name'", for messages. */
const char *coir__fiber_label(const coir_fiber *fiber, char *buffer, size_t size);

/* coir__warn: tells the hook for warnings, if there is one, unless it was told of this fiber before. By whom owns the fiber, on its run's seat. */
void coir__warn(coir_fiber *fiber, const char *format, ...) COIR_PRINTF(2, 3);

/* What a fiber holds. */
void coir__held_add(coir_fiber *fiber, struct held *held);
void coir__held_remove(coir_fiber *fiber, struct held *held);

#endif
