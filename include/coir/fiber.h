/*
 * coir/fiber.h - computations side by side: fork, join, wait, yield
 *
 *     static coir_io *wait_for_them(void *env, coir_value *fibers) { return coir_wait(fibers); }
 *
 *     coir_io *both = coir_flat_map(coir_parallel(COIR_IOS(first, second)), wait_for_them, NULL);
 *     gives a list of two boxed results: coir_result_in(coir_list_at(&value, 0)) is the first
 *
 * A fiber is an io in progress: a small object, millions of which share the workers of a run. It yields by itself after a budget
 * of steps. A run ends when all its fibers have ended.
 *
 * A handle is a counted coir_fiber: the value of coir_fork(), of type coir_fiber_type, shared like any value and dropped when the
 * value is. Dropping it does not stop the fiber. It may be used by any thread and in any run, also when its own run has ended.
 * An ended fiber lives, with its result, as long as a handle does. A fiber may end with its own handle; but ended fibers that hold
 * each other's handles in their results, in a ring, or one its own inside a list or a box, are what counting cannot free.
 *
 * Unless a function says otherwise: a coir_io is taken, a handle or a list of handles is borrowed for the call, and an io that
 * mentions one keeps it; who waits blocks its fiber, never the thread. Any number of fibers may wait for one, before or after its
 * end, also for one twice. Results are shared: of a value that cannot be shared the first to ask gets it, the others a panic that
 * names the type. A NULL handle makes the io NULL.
 */
#ifndef COIR_FIBER_H
#define COIR_FIBER_H

#include <coir/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coir_fiber coir_fiber;
COIR_API const coir_type coir_fiber_type;
static inline coir_fiber *coir_fiber_of(const coir_value *v) { return (coir_fiber *)coir_cast(v, &coir_fiber_type); }

COIR_API coir_fiber *coir_fiber_ref(coir_fiber *fiber);             /* one more owner; gives it back */
COIR_API void        coir_fiber_drop(coir_fiber *fiber);            /* one less; NULL is harmless */
COIR_API COIR_MUST_USE coir_value coir_fiber_value(coir_fiber *fiber);      /* takes the handle */

/* coir_fork: starts io beside the caller, in the caller's context. Gives its handle. Go's go, with something to wait for. */
COIR_API COIR_MUST_USE coir_io *coir_fork(coir_io *io);
/* coir_parallel: starts them all; the first starts first. Gives a list of handles, in order. Raffiot's parallel. */
COIR_API COIR_MUST_USE coir_io *coir_parallel(size_t count, coir_io *const *ios);

/* coir_join: waits for the fiber's end; its result becomes the caller's.
 * Fails    a fiber that was canceled is an error, code COIR_CHILD_CANCELED; joining oneself is a panic, code COIR_DEADLOCK. */
COIR_API COIR_MUST_USE coir_io *coir_join(coir_fiber *fiber);
/* coir_wait: waits for a fiber or for all of a list of them. Gives a list of boxed results, in the order of the argument, whatever
 * they are. A value that is no fiber, or a list with one, is a panic, code EINVAL. */
COIR_API COIR_MUST_USE coir_io *coir_wait(const coir_value *fibers);
/* coir_wait_any: waits for the first of them to end. Gives its index; the others go on. Of none: a panic, code EINVAL. */
COIR_API COIR_MUST_USE coir_io *coir_wait_any(const coir_value *fibers);

COIR_API COIR_MUST_USE coir_io *coir_yield(void);                   /* to the back of the queue */
COIR_API COIR_MUST_USE coir_io *coir_self(void);                    /* the running fiber's own handle */

/* Looking at one: a snapshot, which may be old when it is read. */
typedef enum coir_status {
    COIR_NEW, COIR_RUNNABLE, COIR_RUNNING, COIR_WAITING, COIR_FINALIZING, COIR_ENDED
} coir_status;
COIR_API uint64_t    coir_fiber_id(const coir_fiber *fiber);        /* unique in the process, not consecutive; 0 for NULL */
COIR_API coir_status coir_fiber_status(const coir_fiber *fiber);    /* COIR_ENDED for NULL */
COIR_API size_t      coir_fiber_name(const coir_fiber *fiber, char *name, size_t size);     /* as snprintf(); "" without one */
/* coir_fiber_dump: a line that says what it is doing: "fiber 3 'bob': waiting for lock 1 that fiber 2 holds". From any thread. */
COIR_API void        coir_fiber_dump(const coir_fiber *fiber, FILE *out);
/* coir_current_id: in a callback the id of the fiber that it runs for; elsewhere 0. */
COIR_API uint64_t    coir_current_id(void);

#ifdef __cplusplus
}
#endif
#endif
