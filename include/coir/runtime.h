/*
 * coir/runtime.h - running an io
 *
 *     coir_result result = coir_run(io, NULL);
 *     ...
 *     coir_result_drop(&result);
 *
 * A run has a fixed pool of workers, of which the calling thread is one. Idle workers sleep: a run in which nothing happens uses no
 * processor time. Runs share nothing: any number of them may go on in one process, from different threads.
 */
#ifndef COIR_RUNTIME_H
#define COIR_RUNTIME_H

#include <coir/io.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COIR_WORKERS_MAX 1024
#define COIR_BUDGET_NONE UINT32_MAX

/* What the verdict on a run that can never go on again is to be. */
typedef enum coir_on_deadlock {
    COIR_DEADLOCK_PANIC,                                /* the fibers concerned panic, unwind, and the run goes on */
    COIR_DEADLOCK_STOP                                  /* the whole run ends as that panic; its fibers are let go without unwinding: no
                                                         * finalizer runs. Locks, and what coir_with_permits() took, are free again;
                                                         * what a bare coir_acquire() took is not */
} coir_on_deadlock;

/* Zeroed: the defaults. */
typedef struct coir_options {
    size_t        size;                                 /* set by COIR_OPTIONS(); 0: as of version 0.1 */
    unsigned      workers;                              /* 0: the processors that this process may use; at most COIR_WORKERS_MAX */
    uint32_t      budget;                               /* steps before a fiber yields by itself. 0: 4096; COIR_BUDGET_NONE: never */
    coir_duration idle_sleep;                           /* the longest nap of an idle worker; 0: no bound, nothing polls */
    size_t        stack_size;                           /* of the workers' threads, in bytes; 0: the system's */
    coir_value    context;                              /* lent: outlives the run, so the options serve for a second one */
    coir_on_deadlock on_deadlock;
    bool          cancel_rest;                          /* when the main fiber has ended the others are asked to stop; false: they are awaited */
    /* Called on a worker, at the latest before coir_run() returns, when a fiber failed and nobody can look at its result any more.
     * The failure is lent to look at. It must not wait or run ios. */
    void        (*on_unseen_failure)(void *env, uint64_t fiber_id, const coir_result *failure);
    void         *env;                                  /* of the hooks; borrowed */
    uint64_t      seed;                                 /* of what the fibers draw at random, such as jitter; 0: another in each run.
                                                         * With one worker the same seed gives the same numbers in the same order */
    /* Called on a worker when a fiber does what a program had better not do: at most once for each fiber. `message` names the fiber and says
     * what it does, and what would be better; it is lent. The hook must not wait or run ios. */
    void        (*on_warning)(void *env, uint64_t fiber_id, const char *message);
    unsigned      blocking_max;                         /* threads for coir_blocking() at once; 0: 512. What exceeds it waits its turn: so it must be
                                                         * more than calls that wait for each other */
} coir_options;

/* COIR_OPTIONS(.workers = 2): a pointer to options, for a call. In C++: make a coir_options and set its fields. */
#define COIR_OPTIONS(...) (&(coir_options){ .size = sizeof(coir_options), __VA_ARGS__ })

/*
 * coir_run: runs io as the main fiber. Takes io; borrows options (NULL: the defaults). Returns when it and all the fibers that were
 * forked have ended, with all threads joined. It may be called again, and from several threads at once, with at least 64 KiB of stack.
 * Gives    the main fiber's result, which is yours.
 * Fails    PANIC with EINVAL for options out of range, ENOMEM without memory or for a NULL io, COIR_MISUSE when it is called from a
 *          callback (on a worker), COIR_REFUSED in a child of fork(). If not all threads can be started, the run goes on with
 *          those that were.
 */
COIR_API COIR_MUST_USE coir_result coir_run(coir_io *io, const coir_options *options);

/*
 * coir_main: coir_run() for a whole program: prints a failure to stderr, drops the result and gives the exit status: OK 0, ERROR 1,
 * PANIC 70, CANCELED 130. Failures of fibers that nobody saw, and warnings, are printed too, unless options have hooks for them. The
 * one function of coir that prints.
 */
COIR_API COIR_MUST_USE int coir_main(coir_io *io, const coir_options *options);

/* ----------------------------------------------------------------------------------- a runtime beside a program's own loop */

/*
 *     coir_runtime *runtime = coir_runtime_start(NULL);
 *     coir_future *answer = coir_submit(runtime, io);                 from any thread, as often as you like
 *     if (coir_future_get(answer, coir_seconds(2), &result)) ...
 *     coir_runtime_stop(runtime, COIR_STOP_WAIT);
 *     coir_runtime_drop(runtime);
 *
 * A runtime is a run that has no main io of the program's and goes on until it is stopped; all its workers are threads of its own. Handles are
 * counted references; _ref(NULL) gives NULL, _drop(NULL) is harmless. Unless it says otherwise a function may be called from any thread.
 *
 * As long as it is not stopped silence is never found, since somebody may still submit; rings are.
 *
 * None of these functions may be called from a signal handler. In a child of fork() nothing of the parent's runtimes goes on: submitting, waiting and stopping
 * are refused there.
 */
typedef struct coir_runtime coir_runtime;
typedef struct coir_future coir_future;

/* coir_runtime_start: borrows options, which are copied (NULL: the defaults); what they mention must stay until the runtime has ended. Returns when the
 * workers are there. NULL with errno: EINVAL for options out of range, ENOMEM, EAGAIN without a thread, EPERM in a child of fork(). */
COIR_API COIR_MUST_USE coir_runtime *coir_runtime_start(const coir_options *options);
COIR_API coir_runtime *coir_runtime_ref(coir_runtime *runtime);
/* coir_runtime_drop: the last handle of a runtime that was not stopped closes it: what was submitted goes on to its end, nobody waits for that. */
COIR_API void coir_runtime_drop(coir_runtime *runtime);

/*
 * coir_submit: has io run as a fiber of the runtime, with its context and the keys' initial values. Takes io.
 * Gives    a future, which is yours; NULL if the runtime or io is NULL, or without memory: then nothing runs. After coir_runtime_stop() the future
 *          is done at once, with an error COIR_REFUSED, and io is dropped.
 * From     executors: Java's ExecutorService, Python's concurrent.futures.
 */
COIR_API COIR_MUST_USE coir_future *coir_submit(coir_runtime *runtime, coir_io *io);

/* COIR_STOP_WAIT: nothing is accepted any more, and what was is awaited, with all fibers that it forked. COIR_STOP_CANCEL: they are asked to end, too;
 * what has not begun does not. */
typedef enum coir_stop_how { COIR_STOP_WAIT, COIR_STOP_CANCEL } coir_stop_how;
/* coir_runtime_stop: returns when the run has ended, with all its threads joined and all its futures done. A second one waits as well, and may turn
 * WAIT into CANCEL. From a callback, where it would block a worker, and from a blocking call of the runtime's own, which it would wait for, it is refused, as for
 * NULL and for another enumerator: false, and nothing has happened. */
COIR_API bool coir_runtime_stop(coir_runtime *runtime, coir_stop_how how);

/*
 * A future is what was submitted, seen from outside. Dropping it detaches it: the fiber goes on, and if it fails the hook for unseen failures is told. So it is
 * when the run ends and nobody has got the failure yet, though it can still be got.
 *
 * coir_future_get: waits until it is done, at most `limit` (zero or less: it only looks; COIR_FOREVER: no bound), and gives its result, which is
 * yours: shared, so that it can be got again; one that cannot be shared goes to the first who asks, and the others get a panic.
 * Gives    false: it is not done; *result is OK with none. (Also when result is NULL.) In a callback, which would block a worker, it does not wait: if there is a
 *          limit, and it is not done, *result is a panic, code COIR_MISUSE; for NULL one with EINVAL. On a thread of coir_blocking() do not wait for what waits for
 *          that very call.
 */
#define COIR_FOREVER coir_ns(INT64_MAX)
COIR_API COIR_MUST_USE bool coir_future_get(coir_future *future, coir_duration limit, coir_result *result);
COIR_API bool coir_future_done(const coir_future *future);
/* coir_future_cancel: asks the fiber to end; the result is then most likely CANCELED. Does not wait. */
COIR_API void coir_future_cancel(coir_future *future);
COIR_API coir_future *coir_future_ref(coir_future *future);
COIR_API void coir_future_drop(coir_future *future);

/*
 * coir_future_on_done: has fn(env, future) called once when it is done: on the worker that ended it (or the thread that stops the runtime, if it never began),
 * or at once and here if it is done already. It is lent the future, must not wait, and may call coir_future_get(). Any number of them, called in order.
 * coir_future_deliver: the same, but called by coir_runtime_dispatch(), on the program's own thread, where it may wait. When the last handle of the runtime is
 * dropped what has not been called is not.
 * False: no memory, or future or fn is NULL; it will not be called.
 */
typedef void coir_done_fn(void *env, coir_future *future);
COIR_API COIR_MUST_USE bool coir_future_on_done(coir_future *future, coir_done_fn *fn, void *env);
COIR_API COIR_MUST_USE bool coir_future_deliver(coir_future *future, coir_done_fn *fn, void *env);

/*
 * For a program with a main loop: one descriptor to poll for reading, which is the runtime's (do not read or close it), and what to call when it
 * is readable. coir_runtime_fd: -1 with errno when there is none to be had. coir_runtime_dispatch: calls what coir_future_deliver() asked for and has
 * become due, in the order in which the futures were done, and gives how many; from one thread at a time.
 */
COIR_API int coir_runtime_fd(coir_runtime *runtime);
COIR_API size_t coir_runtime_dispatch(coir_runtime *runtime);

/*
 * coir_runtime_map: runs the ios that fn(env, 0) to fn(env, count - 1) give, at most `limit` at a time (0: all at once), and gives the list of their
 * values in order, as coir_par_traverse() does; when `timeout` is over before that they are called off, and it gives an error, code COIR_TIMEOUT.
 * Blocks the calling thread; refused where coir_future_get() is.
 * From     Python's Executor.map.
 */
COIR_API COIR_MUST_USE coir_result coir_runtime_map(coir_runtime *runtime, size_t limit, size_t count, coir_index_fn *fn, void *env, coir_duration timeout);

/*
 * coir_set_memory: where coir's memory comes from, once for the process, before the first use of anything else of coir's. `memory` is
 * copied. allocate(env, size) gives memory aligned as by malloc() or NULL; release(env, p, size) takes it back. Both from any
 * thread. Threads' stacks, and strings that the C library makes, are not concerned.
 * Gives    false if it came too late or a function is NULL; nothing has changed then.
 */
typedef struct coir_memory {
    void *(*allocate)(void *env, size_t size);
    void  (*release)(void *env, void *memory, size_t size);
    void   *env;
} coir_memory;
COIR_API bool coir_set_memory(const coir_memory *memory);

/* Figures of the process, for tests and the curious: totals since it began. */
typedef struct coir_counters {
    uint64_t resumes_refused;                           /* calls of a callback handle that came too late */
    uint64_t failures_forgotten;                        /* further failures that could not be recorded for want of memory */
    uint64_t deadlocks;                                 /* verdicts */
    uint64_t values_kept;                               /* lent values that were not taken, and kept under an io; of runs that are over */
    uint64_t warnings;                                  /* also those for which there was no hook */
} coir_counters;
COIR_API coir_counters coir_counters_now(void);

#ifdef __cplusplus
}
#endif
#endif
