/*
 * coir/async.h - time, and the callbacks of other people's code
 *
 *     static void start(void *env, void *op, coir_callback k) { their_api_begin(env, their_done, k); }
 *     static const coir_async_type their_call = { .start = start };
 *     coir_io *call = coir_async(&their_call, request);           their_done() calls coir_resume(k, coir_ok(value))
 *
 * Unless a function says otherwise: nothing happens before the io is run, and who waits blocks its fiber, never the thread.
 */
#ifndef COIR_ASYNC_H
#define COIR_ASYNC_H

#include <coir/io.h>

#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* coir_sleep: on the monotonic clock, counted from when it is run; never early. Zero or less counts as a yield. A duration that
 * reaches beyond the clock's end never ends. coir_sleep_until: until a moment of the epoch clock (CLOCK_REALTIME), right also when that
 * clock is set meanwhile; a past moment counts as a yield; tv_nsec outside 0..999999999 is a panic, code EINVAL. */
COIR_API COIR_MUST_USE coir_io *coir_sleep(coir_duration duration);
COIR_API COIR_MUST_USE coir_io *coir_sleep_until(struct timespec epoch_time);
COIR_API COIR_MUST_USE coir_io *coir_now(void);         /* the monotonic clock, as i64 nanoseconds */

/*
 * A callback handle: a plain value of two words. Copy it freely. Whoever calls coir_resume() on it first, from any thread, at once
 * inside start() or in a year, wakes the fiber; every later call, by whomever and however late, is refused, counted and harmless.
 */
typedef struct coir_callback { void *slot; uint64_t ticket; } coir_callback;

typedef struct coir_async_type {
    size_t op_size;                                     /* bytes of `op`: this run's own, zeroed, owned by the fiber; at most 64 KiB */
    void (*start)(void *env, void *op, coir_callback k);
    void (*cancel)(void *env, void *op);                /* asks the foreign code to be quick; NULL: it cannot be hurried */
} coir_async_type;

/*
 * coir_async: calls start(env, op, k) on a worker and suspends the fiber until k is resumed; ends with the result that was given.
 * env and op stay valid until then, so foreign code never sees freed memory and the glue needs no malloc(). start() must not
 * block; it fails by resuming with a failure. `type` must be static.
 * Cancel   only asks: cancel() is called at most once, on a worker, after start() has returned, and the resume must still come.
 * Fails    a handle dropped without being called is a panic, code COIR_ABANDONED.
 * From     cats-effect's async, with a handle that can be refused in place of a generation stamp.
 */
COIR_API COIR_MUST_USE coir_io *coir_async(const coir_async_type *type, void *env);
COIR_API COIR_MUST_USE coir_io *coir_async_copy(const coir_async_type *type, const void *bytes, size_t size);

/* coir_resume: takes result always. From any thread, but not from a signal handler.
 * Gives    true: in time, the fiber goes on with it; false: somebody was first, and the result has been dropped. */
COIR_API bool coir_resume(coir_callback k, coir_result result);
/* coir_callback_drop: says that nobody will call. If nobody has, the fiber panics. */
COIR_API void coir_callback_drop(coir_callback k);

/*
 * coir_blocking: calls fn(env) on a thread beside the pool, which may block for as long as it likes: system calls on files, name resolution, a
 * library that waits. The fiber leaves its worker meanwhile, and ends with the result that fn gives. Threads are begun as they are needed, up to
 * options.blocking_max; what exceeds that waits its turn, in order. Idle ones end after some seconds. Their name is "coir blocking"; signals are
 * blocked on them. On such a thread coir_run() and other calls that block are allowed; what asks for the fiber (coir_context(), coir_is_canceling()) is not
 * of use.
 * Takes    of coir_blocking_copy: size bytes, at most 64 KiB, copied; they, as an env that is lent, must stay until fn has returned.
 * Cancel   before fn was begun: it is not. Afterwards the fiber waits until fn has returned: a value wins, and is followed by the cancellation at
 *          the next step; an error is CANCELED.
 * Fails    PANIC with EINVAL for NULL or a size out of range, with ENOMEM without memory, and when there is no thread and none to be had.
 * Simulated it is called at once on the simulation's thread, at a moment that the seed chooses.
 * From     cats-effect's blocking and interruptible, tokio's spawn_blocking.
 *
 * coir_interruptible: the same, and a cancellation calls unblock(env), once, on a worker: it makes fn return, by shutting a socket down, by a
 * write to a pipe, by a flag. It may come while fn is just beginning or has just returned, must not block, and must do no harm then.
 */
typedef void coir_unblock_fn(void *env);
COIR_API COIR_MUST_USE coir_io *coir_blocking(coir_defer_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_blocking_copy(coir_defer_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_interruptible(coir_defer_fn *fn, coir_unblock_fn *unblock, void *env);
COIR_API COIR_MUST_USE coir_io *coir_interruptible_copy(coir_defer_fn *fn, coir_unblock_fn *unblock, const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif
#endif
