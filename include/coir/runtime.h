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
    unsigned      blocking_max;                         /* threads for coir_blocking() at once; 0: 512. What exceeds it waits its turn */
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
