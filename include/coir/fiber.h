/*
 * coir/fiber.h - computations side by side: fork, join, wait, race, cancel, yield
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
 * Fails    a fiber that was canceled is an error, code COIR_CHILD_CANCELED, alone: if its finalizers failed, and nobody sees that in another way,
 *          options.on_unseen_failure is told. Joining oneself is a panic, code COIR_DEADLOCK. */
COIR_API COIR_MUST_USE coir_io *coir_join(coir_fiber *fiber);
/* coir_wait: waits for a fiber or for all of a list of them. Gives a list of boxed results, in the order of the argument, whatever
 * they are. A value that is no fiber, or a list with one, is a panic, code EINVAL. */
COIR_API COIR_MUST_USE coir_io *coir_wait(const coir_value *fibers);
/* coir_wait_any: waits for the first of them to end. Gives its index; the others go on. Of none: a panic, code EINVAL. */
COIR_API COIR_MUST_USE coir_io *coir_wait_any(const coir_value *fibers);

/* coir_wait_for: waits for a fiber or for a list of them until all have ended, the first has, or the first has failed (ended in another way than with
 * a value; if none does, until all have ended), but not for longer than `limit`. Gives a list in the order of the argument: the boxed result of each
 * that has ended, none for each that has not, and goes on. Zero or less: does not wait. coir_ns(INT64_MAX): no limit. Python's wait(). */
typedef enum coir_until { COIR_ALL_ENDED, COIR_FIRST_ENDED, COIR_FIRST_FAILED } coir_until;
COIR_API COIR_MUST_USE coir_io *coir_wait_for(const coir_value *fibers, coir_until until, coir_duration limit);

/*
 * coir_as_completed: gives a coir_completions, which is told of the end of each of the fibers, in the order in which they end; those that have ended before it
 * was run come first. A counted handle, which keeps those of the fibers; dropping it leaves the fibers alone.
 * coir_completions_next: waits for the next one to end. Gives a list of two: its index, and its boxed result; none, when there has been
 * one for each: so coir_for_each() goes through them. For one fiber at a time: who asks while another waits is a panic, code COIR_MISUSE.
 */
typedef struct coir_completions coir_completions;
COIR_API const coir_type coir_completions_type;
static inline coir_completions *coir_completions_of(const coir_value *v) { return (coir_completions *)coir_cast(v, &coir_completions_type); }
COIR_API coir_completions *coir_completions_ref(coir_completions *ends);
COIR_API void              coir_completions_drop(coir_completions *ends);
COIR_API COIR_MUST_USE coir_io *coir_as_completed(const coir_value *fibers);
COIR_API COIR_MUST_USE coir_io *coir_completions_next(coir_completions *ends);

/*
 * Cancellation asks a fiber to stop. It is seen before an instruction is run, and by a fiber that waits, whatever it waits for; never by a result
 * that is there already, so a value wins over a cancellation that comes with it. Then the fiber unwinds: finalizers run, in order, no
 * handler of errors or panics is asked, and the fiber ends as CANCELED. Who is canceled in a queue loses nothing for the others.
 * A request that no instruction met leaves no trace.
 *
 * coir_cancel: asks, and waits until the fiber has ended, with its finalizers. Its own wait cannot be canceled. Twice, of an ended fiber, of another
 * run's: harmless. Of oneself: returns at once, and is seen at the next instruction. In a ring of fibers that cancel each other nobody waits.
 * A fiber that has not begun ends as CANCELED without running. Gives none.
 * coir_cancel_all: of a fiber or of a list of them: all are asked before the first is waited for. Something else is a panic, code EINVAL.
 * coir_cancel_nowait: only asks. coir_fiber_cancel: the same at once, from any thread. coir_cancel_self: the running fiber.
 * From     cats-effect, but that a value wins.
 */
COIR_API COIR_MUST_USE coir_io *coir_cancel(coir_fiber *fiber);
COIR_API COIR_MUST_USE coir_io *coir_cancel_all(const coir_value *fibers);
COIR_API COIR_MUST_USE coir_io *coir_cancel_nowait(coir_fiber *fiber);
COIR_API COIR_MUST_USE coir_io *coir_cancel_self(void);
COIR_API void coir_fiber_cancel(coir_fiber *fiber);                 /* NULL is harmless */

/*
 * coir_uncancelable: io does not see requests that come from outside of it; a time-out that is opened inside works there. They are seen when it has
 * ended, by the next instruction. coir_cancelable: takes one such mask off for io, on its own fiber, so that a part of an uncancelable io can
 * be canceled. Where there is none, and in finalizers and releases, it changes nothing. Masks count; both end with their io, however it ends.
 * Forked fibers begin unmasked.
 */
COIR_API COIR_MUST_USE coir_io *coir_uncancelable(coir_io *io);
COIR_API COIR_MUST_USE coir_io *coir_cancelable(coir_io *io);
/* In a callback: whether its fiber is masked; whether it is asked to stop, also where that is masked. Elsewhere false. */
COIR_API bool coir_is_masked(void);
COIR_API bool coir_is_canceling(void);

/*
 * coir_timeout: io, or, when it has not ended within the limit, an error, code COIR_TIMEOUT: io is canceled, on the same fiber, and its finalizers have
 * run before. A panic of theirs counts for more than the error. A value that is there wins over the deadline. coir_timeout_to: runs
 * `instead` in place of the error. The limit counts from when the fiber first gives up its worker (waits, yields, or has used its budget), at
 * most one turn late; so a time-out around what does not wait costs neither clock nor timer. Zero or less: io is not begun.
 */
COIR_API COIR_MUST_USE coir_io *coir_timeout(coir_io *io, coir_duration limit);
COIR_API COIR_MUST_USE coir_io *coir_timeout_to(coir_io *io, coir_duration limit, coir_io *instead);

/*
 * coir_scope: what io forks, however deep in its calls and its children, belongs to the scope and has ended when the scope has: before finalizers that stand
 * around it run. When io has ended its children are waited for; when io or a child fails all others are canceled first. The first failure is the
 * result, the others are in its `also`; a child's failure counts even if somebody joined and caught it. A child that is canceled by somebody else
 * cancels the whole: the others, and then the parent (where a mask keeps it from seeing that, an error, code COIR_CHILD_CANCELED). A cancellation of the parent
 * cancels the children, too, and waits for them. Forks by children are taken as long as the scope waits, and begin canceled if it is canceling.
 * coir_supervise: the same, but a child's failure concerns only who joins it; if nobody does, options.on_unseen_failure is told.
 * coir_supervise_drain: when io has ended well its children have `grace` to end by themselves and are canceled then; zero or less: at once.
 * coir_fork_detached: coir_fork() of a fiber that belongs to no scope, but to the run.
 * From     Trio's nurseries, Kotlin's coroutineScope and supervisorScope.
 */
COIR_API COIR_MUST_USE coir_io *coir_scope(coir_io *io);
COIR_API COIR_MUST_USE coir_io *coir_supervise(coir_io *io);
COIR_API COIR_MUST_USE coir_io *coir_supervise_drain(coir_io *io, coir_duration grace);
COIR_API COIR_MUST_USE coir_io *coir_fork_detached(coir_io *io);

/*
 * Side by side, structured: these start a fiber for each io, in the caller's context, and end when all of them have ended, however that comes about: who
 * loses, or is not needed any more since another failed, is canceled and waited for with its finalizers. So nothing that they start outlives
 * them. (Who means to leave something behind writes coir_race_pair() or coir_timeout_nowait().)
 *
 * A cancellation of the caller cancels all the children, and ends the whole as CANCELED when they have ended, with what failed meanwhile in
 * `also`; a value that comes of it all the same wins. The children begin unmasked, also in a mask; there the whole is not canceled, and waits.
 * A child that somebody else cancels, or that cancels itself, cancels the whole: the others, and then the caller's fiber; in a mask, where that could
 * not be seen, the whole is an error, code COIR_CHILD_CANCELED. A child that cancels one that waits for it goes on at once.
 * Cost     one allocation for the whole, and a fiber for each child.
 *
 * coir_race: what the first to end ends with, whatever that is. The values and errors of the others are dropped; their panics are told to the hook
 *     for unseen failures. Of no ios: a panic, code EINVAL.
 * coir_race_ok: the value of the first to succeed. If none does: the first failure, the others in `also`, in the order of the arguments. Of no
 *     ios: a panic, code EINVAL.
 * coir_par_zip: a list of their values, in the order of the arguments. The first failure cancels the others; what they fail with is in
 *     `also`, in the order in which it happened. Of no ios: the empty list. coir_both: of two.
 * coir_par_zip_all: the same, but a failure does not cancel the others: every failure is gathered, in the order of the arguments.
 * From     cats-effect: race, parSequence; its racers, too, are waited for. ZIO's race is coir_race_ok.
 */
COIR_API COIR_MUST_USE coir_io *coir_race(size_t count, coir_io *const *ios);
COIR_API COIR_MUST_USE coir_io *coir_race_ok(size_t count, coir_io *const *ios);
COIR_API COIR_MUST_USE coir_io *coir_both(coir_io *a, coir_io *b);
COIR_API COIR_MUST_USE coir_io *coir_par_zip(size_t count, coir_io *const *ios);
COIR_API COIR_MUST_USE coir_io *coir_par_zip_all(size_t count, coir_io *const *ios);

/*
 * coir_par_traverse: runs fn(env, 0) to fn(env, count - 1), never more than `limit` of them at once (0: all), and gives a list of their values, in
 * the order of the indices. They begin in that order. The first failure cancels those in progress, and no more are begun. fn is called by
 * several workers at once, on env as it is: only to be read, or with a lock or atomics.
 * `limit` fibers do it, each of which takes the next index when it has done with one: so a million items cost no million fibers, nor memory beyond the
 * list. What an item leaves to its fiber, a lock that it has not released, is the next one's.
 * coir_par_traverse_all: all are run to their ends; gives a list of boxed results, good and bad.
 * coir_par_each: the same for the items of a list, of which fn is lent each. What is not a list is a panic, code COIR_MISUSE.
 */
COIR_API COIR_MUST_USE coir_io *coir_par_traverse(size_t limit, size_t count, coir_index_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_par_traverse_copy(size_t limit, size_t count, coir_index_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_par_traverse_all(size_t limit, size_t count, coir_index_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_par_traverse_all_copy(size_t limit, size_t count, coir_index_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_par_each(size_t limit, coir_value list, coir_flat_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_par_each_copy(size_t limit, coir_value list, coir_flat_map_fn *fn, const void *bytes, size_t size);

/* coir_race_pair: starts both and gives, when the first has ended, a list of three: its index, its boxed result, whatever that is, and the handle of
 * the other, which goes on like one that was forked. Canceled before that, it cancels both and waits for them. */
COIR_API COIR_MUST_USE coir_io *coir_race_pair(coir_io *a, coir_io *b);
/* coir_timeout_nowait: as coir_timeout(), but what has not ended within the limit is only asked to, and left behind: for what takes long to be
 * canceled, or cannot be. io runs in a fiber of its own. A cancellation of the caller leaves it behind likewise. */
COIR_API COIR_MUST_USE coir_io *coir_timeout_nowait(coir_io *io, coir_duration limit);

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
