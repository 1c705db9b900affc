/*
 * object.h - what the objects by which fibers meet have in common: references, a guard, a number, and whose fibers may use them
 *
 * An object serves the fibers of one run at a time, so that what nobody in that run can end is known to have no end. One that is *exposed* serves fibers
 * of any run and any thread; who waits for it is never found to wait in vain.
 */
#ifndef SYNC_OBJECT_H
#define SYNC_OBJECT_H

#include "sync/handle.h"

#include "base/serial.h"
#include "base/spin.h"

struct object {
    struct handle     handle;                           /* A [HANDLE], its waiters under guard */
    ck_spinlock_fas_t guard;
    _Atomic bool      exposed;                          /* A, written under guard */
    uint64_t          serial;                           /* I */
    struct run_token *user;                             /* L: of the run whose fibers use it; NULL at first */
};

static inline void object_init(struct object *object)
{
    handle_init(&object->handle);
    ck_spinlock_fas_init(&object->guard);
    atomic_init(&object->exposed, false);
    object->serial = coir__serial_next();
    object->user = NULL;
}

/* coir__object_expose: false: it has been used. */
bool coir__object_expose(struct object *object);

/* Under the guard. object_serves: whether the fiber's run may use it: it does already, or nobody does (`is_unused`). */
bool coir__object_serves_now(struct object *object, struct run_token *user, bool is_unused);
static inline bool object_serves(struct object *object, const coir_fiber *fiber, bool is_unused)
{
    struct run_token *user = run_of(fiber)->token;
    return likely(object->user == user) || coir__object_serves_now(object, user, is_unused);
}

/* coir__object_serves_caller: the same for the calling thread: a worker as its run's fibers; another as long as no run uses the object, or it is exposed. */
bool coir__object_serves_caller(struct object *object, bool is_unused);

/*
 * object_let_go: gives a reference up. True: it was the last, the object is the caller's to take apart (object_done()). Waiters that are all that is
 * left of it are woken, from the given queues.
 */
bool coir__object_let_go(struct object *object, struct queue *const *queues, const char *function, const char *awaits);
/* object_left: gives a reference up if others than waiters have more. False: it is not given up, object_let_go() is to. */
static inline bool object_left(struct object *object) { return likely(handle_let_go(&object->handle) == HANDLE_LIVES); }
void coir__object_done(struct object *object);

/* coir__object_arm: the arm() of a primitive with an offer. coir__object_try: the same without waiting, of one that has begun: WAIT leaves all as it
 * was. */
enum prim_step coir__object_arm(coir_fiber *fiber, coir_io *frame, coir_result *result);
enum prim_step coir__object_try(coir_fiber *fiber, coir_io *frame, coir_result *result);

/*
 * object_arm: what coir__object_arm() does, for an offer that the compiler knows: an arm() of this one line has the offer's functions inlined.
 * object_meet: one look at the object; if it is to wait, the fiber stands in the queue before the guard is let go.
 */
static ALWAYS_INLINE enum prim_step object_meet(const struct coir__offer *offer, coir_fiber *fiber, coir_io *frame, bool is_to_wait, coir_result *result)
{
    ck_spinlock_fas_t *guard = offer->guard(frame);
    CLAIMED(claimed);
    enum prim_step step;
    do {
        spin_lock(guard);
        step = offer->poll(fiber, frame, result, &claimed);
        if (is_to_wait && step == PRIM_WAIT && !offer->enqueue(fiber, frame, result))
            step = PRIM_DONE;
        spin_unlock(guard);
    } while (unlikely(step == PRIM_PREPARE) && offer->prepare(frame));
    claimed_make_ready(&claimed);
    if (step == PRIM_DONE)
        offer->settle(fiber, frame, result);
    if (likely(step != PRIM_PREPARE))
        return step;
    *result = coir__no_memory();
    return PRIM_DONE;
}

static ALWAYS_INLINE enum prim_step object_arm(const struct coir__offer *offer, coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    if (offer->begin != NULL && unlikely(!offer->begin(frame, result)))
        return PRIM_DONE;
    enum prim_step step = object_meet(offer, fiber, frame, true, result);
    if (step == PRIM_DONE && offer->end != NULL)
        offer->end(frame);
    return step;
}

/* object_note: counts a wait for an exposed object, before it is registered; object_note_end: when it is over, however that came about. */
static inline void object_note(struct object *object)
{
    if (unlikely(load_relaxed(&object->exposed)))
        counter_add(&coir__me.seat->outside_begun, 1);
}
static inline void object_note_end(struct object *object)
{
    if (unlikely(load_relaxed(&object->exposed)))
        counter_add(&coir__me.seat->outside_done, 1);
}

/*
 * What is known under the guard, and what a waker knows, is told in place of a value: errors need memory, so they are made afterwards, by who goes on.
 * The object of the frames concerned begins with a struct object.
 */
enum why_not { WHY_REFUSED, WHY_ABANDONED };
void coir__object_tell(coir_result *result, enum why_not why);
bool coir__object_is_told(const coir_result *result);
/* coir__object_told: makes of what was told what it means. False: *result says something else. */
bool coir__object_told(const coir_fiber *fiber, const coir_io *frame, coir_result *result);

/* coir__function_of: as the program calls it: primitives are named after their functions. */
enum { FUNCTION_SIZE = 48 };
const char *coir__function_of(const struct coir__prim *prim, char buffer[FUNCTION_SIZE]);

/* coir__object_enqueue: under the guard: registers the frame, and counts the wait if the object is exposed. False: with that nobody would be left who
 * could serve it: *result tells that. */
bool coir__object_enqueue(struct queue *queue, coir_fiber *fiber, coir_io *frame, coir_result *result);
struct waits_for coir__object_waits_for(const coir_io *frame);

#endif
