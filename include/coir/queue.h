/*
 * coir/queue.h - queues of work: what happens when one is full is chosen, what comes first may be, and one can wait until all of it is done
 *
 *     coir_queue *jobs = coir_queue_new(100, COIR_FULL_WAIT);
 *     coir_io *worker  = coir_queue_each(jobs, work, NULL);                    work(item), until the queue is closed
 *     coir_io *giver   = coir_sequence(COIR_IOS(put_jobs(jobs), coir_queue_wait_done(jobs)));
 *
 * Queues are counted handles as in coir/sync.h, whose rules hold here too: borrowed by each call, kept by each io that mentions them; NULL makes the io NULL
 * and drops what came with it. Any number of fibers may put and get. Values are moved: a value is owned by who puts it, then by the queue, then by who gets
 * it. Who waits is served in order of arrival. Waiting allocates nothing. A cancellation takes who waits out, and nothing with him: a value that was not put
 * is dropped, one that was not got is for the next.
 *
 * When all who have a queue wait for it, nobody can come any more: they are woken with a panic, code COIR_ABANDONED. A queue serves the fibers of one run at
 * a time, unless it is exposed.
 *
 * A channel (coir/channel.h) is how fibers meet; a queue is where work waits. So a queue always has room inside. Whatever waits here, but for
 * coir_queue_each(), can be a case of coir_alt().
 * From     Python's queue.Queue, PriorityQueue and their shutdown; cats-effect's and ZIO's bounded, dropping, sliding and unbounded Queue.
 */
#ifndef COIR_QUEUE_H
#define COIR_QUEUE_H

#include <coir/channel.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coir_queue coir_queue;
COIR_API const coir_type coir_queue_type;
static inline coir_queue *coir_queue_of(const coir_value *v) { return (coir_queue *)coir_cast(v, &coir_queue_type); }

/* What is done with one more when as many are inside as may be. What is dropped was never there: coir_queue_wait_done() does not wait for it. */
typedef enum coir_when_full {
    COIR_FULL_WAIT,                                     /* who puts waits for room: back-pressure */
    COIR_FULL_DROP_NEW,                                 /* the new one is dropped */
    COIR_FULL_DROP_OLD                                  /* the oldest inside is dropped, and the new one put: a sliding window */
} coir_when_full;

/* coir_queue_new: at most `capacity` values are inside: 1 or more, or COIR_UNBOUNDED. Room is taken as it is needed. NULL with errno ENOMEM, or EINVAL for
 * another capacity (0; a negative number) or another enumerator.
 * coir_queue_new_by_priority: the value with the least priority is got first (Python's PriorityQueue); among equals the one that was put first. Who waits to
 * put has no priority. EINVAL also for COIR_FULL_DROP_OLD: the oldest is not the least wanted there. */
COIR_API COIR_MUST_USE coir_queue *coir_queue_new(size_t capacity, coir_when_full when_full);
COIR_API COIR_MUST_USE coir_queue *coir_queue_new_by_priority(size_t capacity, coir_when_full when_full);
COIR_API coir_queue *coir_queue_ref(coir_queue *queue);
COIR_API void        coir_queue_drop(coir_queue *queue);                       /* the last one drops what is inside */
COIR_API COIR_MUST_USE coir_value coir_queue_value(coir_queue *queue);         /* takes the handle; can be shared */
COIR_API uint64_t    coir_queue_id(const coir_queue *queue);                   /* by which messages name it; 0 for NULL */
/* Snapshots; 0 for NULL. coir_queue_size: values inside. coir_queue_unfinished: values put and not done yet. coir_queue_dropped: how many COIR_FULL_DROP_NEW or
 * COIR_FULL_DROP_OLD has dropped so far. */
COIR_API size_t      coir_queue_size(const coir_queue *queue);
COIR_API uint64_t    coir_queue_unfinished(const coir_queue *queue);
COIR_API uint64_t    coir_queue_dropped(const coir_queue *queue);
/* coir_queue_expose: from now on it serves fibers of several runs, and threads. Before its first use: false otherwise. Who waits for an exposed queue is never
 * found to wait in vain. */
COIR_API bool        coir_queue_expose(coir_queue *queue);

/* coir_queue_put: takes value. Gives a flag: whether it was put: false only for COIR_FULL_DROP_NEW: the value was dropped. With COIR_FULL_WAIT it waits for
 * room. coir_queue_put_at: with that priority; coir_queue_put() has 0. In a queue without priorities it is a panic, code EINVAL.
 * Fails    COIR_CLOSED, COIR_POISONED: an error, the value is dropped. */
COIR_API COIR_MUST_USE coir_io *coir_queue_put(coir_queue *queue, coir_value value);
COIR_API COIR_MUST_USE coir_io *coir_queue_put_at(coir_queue *queue, int64_t priority, coir_value value);
/* The same without waiting: false also where they would wait. */
COIR_API COIR_MUST_USE coir_io *coir_queue_try_put(coir_queue *queue, coir_value value);
COIR_API COIR_MUST_USE coir_io *coir_queue_try_put_at(coir_queue *queue, int64_t priority, coir_value value);

/* coir_queue_get: waits for a value, and gives it. Fails  COIR_CLOSED when it is closed and nothing is left inside; COIR_POISONED.
 * coir_queue_next: the same, but gives none when it is closed and nothing is left: for coir_for_each(), and for loops. A zero that was put is a zero: no none.
 * coir_queue_try_get: without waiting: an error, code EAGAIN, when there is nothing to be had. */
COIR_API COIR_MUST_USE coir_io *coir_queue_get(coir_queue *queue);
COIR_API COIR_MUST_USE coir_io *coir_queue_next(coir_queue *queue);
COIR_API COIR_MUST_USE coir_io *coir_queue_try_get(coir_queue *queue);
/* coir_queue_get_many: waits for a value, and gives a list of those that are there, in order: one at least, at most `max`, and never more than 1,024. Of max
 * 0: a panic, code EINVAL. It fails as coir_queue_get() does. */
COIR_API COIR_MUST_USE coir_io *coir_queue_get_many(coir_queue *queue, size_t max);

/* coir_queue_done: says that one of the values that were got is done with: Python's task_done(). Gives none. Once more than was put: a panic, code
 * COIR_MISUSE; the queue stays as it was. Prefer coir_queue_each().
 * coir_queue_wait_done: waits until as many are done as were put, and gives none: Python's join(). It holds nobody back who comes later: more may be put. */
COIR_API COIR_MUST_USE coir_io *coir_queue_done(coir_queue *queue);
COIR_API COIR_MUST_USE coir_io *coir_queue_wait_done(coir_queue *queue);

/* coir_queue_each: a worker: gets a value, runs fn on it, and says that it is done, however that ended; again and again, until the queue is closed and empty.
 * Gives none. A failure of fn's io ends it, as a cancellation does: but no value is got of which it is not said that it is done. */
COIR_API COIR_MUST_USE coir_io *coir_queue_each(coir_queue *queue, coir_flat_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_queue_each_copy(coir_queue *queue, coir_flat_map_fn *fn, const void *bytes, size_t size);

/* coir_queue_close: nothing more can be put. What is inside, and what waits to be put, can still be got. Again, and of NULL: nothing. Any thread; never waits.
 * coir_queue_poison: at once, also of a closed one: what is inside is dropped, and counts as done; who waits to put or to get fails, with COIR_POISONED.
 * Python's shutdown(), and shutdown(immediate=True). */
COIR_API void coir_queue_close(coir_queue *queue);
COIR_API void coir_queue_poison(coir_queue *queue);
/* coir_queue_closing: io, and then close, however io ended. */
COIR_API COIR_MUST_USE coir_io *coir_queue_closing(coir_queue *queue, coir_io *io);

/* For threads that are no workers, and callbacks, of an exposed queue; they do not wait. (Who can wait runs coir_queue_put() or coir_queue_get() by
 * coir_run().) Put, get: false: full, empty, over, or refused since it is not exposed: the value is dropped, *value is none. Done: false: once more than was
 * put, or refused. */
COIR_API bool coir_thread_queue_try_put(coir_queue *queue, coir_value value);
COIR_API bool coir_thread_queue_try_get(coir_queue *queue, coir_value *value);
COIR_API bool coir_thread_queue_done(coir_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
