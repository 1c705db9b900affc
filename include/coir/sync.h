/*
 * coir/sync.h - what fibers wait for and share: locks, read-write locks, conditions, semaphores, deferreds, events, latches, barriers, variables, cells
 *
 *     coir_semaphore *five = coir_semaphore_new(5);
 *     coir_io *bounded = coir_with_permits(five, 1, call);        never more than five calls at once
 *
 * One set of verbs for every handle: x_new, x_ref (one more owner), x_drop (one less; NULL is harmless), x_id. Handles are counted and
 * may be made, shared and dropped by any thread; an io that mentions one keeps it, so it may be dropped as soon as the ios are
 * built.
 *
 * An object serves the fibers of one run at a time: one that another run's fibers hold or wait for is refused with an error,
 * code COIR_REFUSED. What is no io but acts at once, as coir_event_set(), may be called from any thread; it gives false, and does nothing,
 * while fibers of another run than the caller's wait for the object; a thread that is no worker has no run. So for several runs, and for
 * threads, an object is to be *exposed*: x_expose(), before its first use (false: it came too late). Who waits for an exposed object is
 * never found to wait in vain, since somebody may come.
 *
 * Unless a function says otherwise: handles are borrowed for the call, ios are taken; nothing happens before the io is run; who waits
 * blocks its fiber, never the thread, and is served in order of arrival; a NULL handle makes the io NULL and drops what came with
 * it. A wait that can never end is found out and ends as a panic, code COIR_DEADLOCK, that says what was waited for and who holds it.
 * When every reference to an object is held by fibers that wait for it, nobody is left who could serve them: they panic at once, code
 * COIR_ABANDONED. Messages name an object by its id, a number that no other object of the process has.
 */
#ifndef COIR_SYNC_H
#define COIR_SYNC_H

#include <coir/resource.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A reentrant lock, held by a fiber: its holder may take it again, and releases it as often. Children of the holder do not hold it.
 * A fiber that ends while it holds locks ends as a panic that names them, and the next waiter gets them.
 */
typedef struct coir_lock coir_lock;
COIR_API COIR_MUST_USE coir_lock *coir_lock_new(void);              /* NULL with errno ENOMEM */
COIR_API coir_lock *coir_lock_ref(coir_lock *lock);
COIR_API void coir_lock_drop(coir_lock *lock);
COIR_API uint64_t coir_lock_id(const coir_lock *lock);              /* by which messages and dumps name it; 0 for NULL */
/* coir_with_lock: takes the lock, runs io, releases it however io ended. io's result. Prefer it to the bare acquire and release. */
COIR_API COIR_MUST_USE coir_io *coir_with_lock(coir_lock *lock, coir_io *io);
COIR_API COIR_MUST_USE coir_resource *coir_lock_held(coir_lock *lock);         /* the same as a resource; holds none */
COIR_API COIR_MUST_USE coir_io *coir_lock_acquire(coir_lock *lock);
COIR_API COIR_MUST_USE coir_io *coir_lock_try(coir_lock *lock);     /* flag: taken or not; never waits, never overtakes */
/* coir_lock_release: a fiber that does not hold it panics, code COIR_MISUSE; the lock stays as it was. */
COIR_API COIR_MUST_USE coir_io *coir_lock_release(coir_lock *lock);

/*
 * A read-write lock: many fibers may read at once, or one may write, in order of arrival: a writer who waits holds new readers back. Both are held by a
 * fiber and are reentrant, as a lock: who reads may read again, though a writer waits; who writes may write again, and read. Who reads and asks to write gets it at
 * once if nobody else reads, before a writer who waits; otherwise he would wait for himself, so he is refused with an error, code COIR_REFUSED. A fiber that ends
 * while it holds either ends as a panic. (A ring of waits that goes from a writer through a reader is looked for through the one who came last; through another it is
 * found when that one has left.)
 */
typedef struct coir_rwlock coir_rwlock;
COIR_API COIR_MUST_USE coir_rwlock *coir_rwlock_new(void);          /* NULL with errno ENOMEM */
COIR_API coir_rwlock *coir_rwlock_ref(coir_rwlock *lock);
COIR_API void coir_rwlock_drop(coir_rwlock *lock);
COIR_API uint64_t coir_rwlock_id(const coir_rwlock *lock);
COIR_API bool coir_rwlock_expose(coir_rwlock *lock);
/* Takes it, runs io, releases it however io ended. io's result. And the same as resources, which hold none. */
COIR_API COIR_MUST_USE coir_io *coir_with_read_lock(coir_rwlock *lock, coir_io *io);
COIR_API COIR_MUST_USE coir_io *coir_with_write_lock(coir_rwlock *lock, coir_io *io);
COIR_API COIR_MUST_USE coir_resource *coir_read_lock_held(coir_rwlock *lock);
COIR_API COIR_MUST_USE coir_resource *coir_write_lock_held(coir_rwlock *lock);
COIR_API COIR_MUST_USE coir_io *coir_read_lock_acquire(coir_rwlock *lock);     /* these two can be cases of coir_alt() */
COIR_API COIR_MUST_USE coir_io *coir_write_lock_acquire(coir_rwlock *lock);
COIR_API COIR_MUST_USE coir_io *coir_read_lock_try(coir_rwlock *lock);         /* flag; never waits, never overtakes */
COIR_API COIR_MUST_USE coir_io *coir_write_lock_try(coir_rwlock *lock);
/* A fiber that does not hold it so panics, code COIR_MISUSE; the lock stays as it was. */
COIR_API COIR_MUST_USE coir_io *coir_read_lock_release(coir_rwlock *lock);
COIR_API COIR_MUST_USE coir_io *coir_write_lock_release(coir_rwlock *lock);

/*
 * A condition: who holds its lock waits until somebody says that something has changed.
 *
 *     while (my->box->count == 0)
 *         COIR_AWAIT(coir_condition_wait(my->box->filled));
 *
 * Waiting gives the lock up, however often it was taken, and takes it again as often, before it ends, in whatever way it ends. So what was waited for is to be looked at
 * again: another may have come between. A wait that is canceled hands a notification that it was given on to the next.
 */
typedef struct coir_condition coir_condition;
COIR_API COIR_MUST_USE coir_condition *coir_condition_new(coir_lock *lock);    /* keeps the lock. NULL with errno ENOMEM, or EINVAL for NULL */
COIR_API coir_condition *coir_condition_ref(coir_condition *condition);
COIR_API void coir_condition_drop(coir_condition *condition);
COIR_API uint64_t coir_condition_id(const coir_condition *condition);
/* Each gives none. A fiber that does not hold the lock panics, code COIR_MISUSE, and nothing has changed. Whom it wakes waits for the lock, behind those who do already;
 * nobody waiting: nothing. */
COIR_API COIR_MUST_USE coir_io *coir_condition_wait(coir_condition *condition);
COIR_API COIR_MUST_USE coir_io *coir_condition_notify(coir_condition *condition);      /* the one who has waited longest */
COIR_API COIR_MUST_USE coir_io *coir_condition_notify_all(coir_condition *condition);

/*
 * A counting semaphore. It is bounded: giving back more than was taken is a panic, code COIR_MISUSE, and so is asking for more than
 * there can ever be; the semaphore stays as it was. All the permits asked for or none; a big request at the head of the queue is
 * not overtaken by small ones. 0 permits are granted at once; a negative number is a panic, code EINVAL.
 */
typedef struct coir_semaphore coir_semaphore;
/* coir_semaphore_new: bounded by what it starts with. coir_semaphore_new_bounded: may start with fewer than its bound. NULL with
 * errno ENOMEM, or EINVAL for a negative number or permits above max. */
COIR_API COIR_MUST_USE coir_semaphore *coir_semaphore_new(int64_t permits);
COIR_API COIR_MUST_USE coir_semaphore *coir_semaphore_new_bounded(int64_t permits, int64_t max);
COIR_API coir_semaphore *coir_semaphore_ref(coir_semaphore *semaphore);
COIR_API void coir_semaphore_drop(coir_semaphore *semaphore);
COIR_API uint64_t coir_semaphore_id(const coir_semaphore *semaphore);
/* coir_with_permits: takes them, runs io, gives them back however io ended. io's result. */
COIR_API COIR_MUST_USE coir_io *coir_with_permits(coir_semaphore *semaphore, int64_t permits, coir_io *io);
COIR_API COIR_MUST_USE coir_resource *coir_permits(coir_semaphore *semaphore, int64_t permits);         /* likewise */
COIR_API COIR_MUST_USE coir_io *coir_acquire(coir_semaphore *semaphore, int64_t permits);
COIR_API COIR_MUST_USE coir_io *coir_try_acquire(coir_semaphore *semaphore, int64_t permits);   /* flag; never overtakes */
COIR_API COIR_MUST_USE coir_io *coir_release(coir_semaphore *semaphore, int64_t permits);       /* by any fiber */
COIR_API int64_t coir_semaphore_available(const coir_semaphore *semaphore);                     /* a snapshot; 0 for NULL */

/*
 * A deferred: a place for one result, written once and read by many. Others call it a promise, a future, or a FlowVar: start something and leave its
 * result there, on a fiber or a thread, and whoever needs it waits for it.
 */
typedef struct coir_deferred coir_deferred;
COIR_API const coir_type coir_deferred_type;
static inline coir_deferred *coir_deferred_of(const coir_value *v) { return (coir_deferred *)coir_cast(v, &coir_deferred_type); }
COIR_API COIR_MUST_USE coir_deferred *coir_deferred_new(void);      /* NULL with errno ENOMEM */
COIR_API coir_deferred *coir_deferred_ref(coir_deferred *deferred);
COIR_API void coir_deferred_drop(coir_deferred *deferred);          /* the last one drops the result */
COIR_API COIR_MUST_USE coir_value coir_deferred_value(coir_deferred *deferred);        /* takes the handle; can be shared */
COIR_API uint64_t coir_deferred_id(const coir_deferred *deferred);
COIR_API bool coir_deferred_expose(coir_deferred *deferred);
/* coir_deferred_put: takes result, and wakes all who wait for it. False: there is one already, or it is refused: result is dropped. In place of CANCELED those who
 * wait get an error, code COIR_CHILD_CANCELED. */
COIR_API bool coir_deferred_put(coir_deferred *deferred, coir_result result);
/* coir_putting: runs io, and puts how it ended. Gives a flag: what putting gave. A cancellation is put, and goes on. */
COIR_API COIR_MUST_USE coir_io *coir_putting(coir_deferred *deferred, coir_io *io);
COIR_API bool coir_deferred_is_set(const coir_deferred *deferred);  /* a snapshot; false for NULL */
/* coir_deferred_get: waits until there is a result, and ends as that, shared. One that cannot be shared goes to the first who asks; for the others it is a panic,
 * code COIR_MISUSE, that names its type. It can be a case of coir_alt(). */
COIR_API COIR_MUST_USE coir_io *coir_deferred_get(coir_deferred *deferred);

/*
 * An event: set or not. Fibers wait until it is set; then it holds nobody back until it is cleared. Who was woken goes on, also if it has been
 * cleared meanwhile.
 */
typedef struct coir_event coir_event;
COIR_API COIR_MUST_USE coir_event *coir_event_new(void);            /* not set. NULL with errno ENOMEM */
COIR_API coir_event *coir_event_ref(coir_event *event);
COIR_API void coir_event_drop(coir_event *event);
COIR_API uint64_t coir_event_id(const coir_event *event);
COIR_API bool coir_event_expose(coir_event *event);
/* coir_event_set: wakes all who wait. Again: nothing. coir_event_clear: from now on it holds back. Both false if refused. */
COIR_API bool coir_event_set(coir_event *event);
COIR_API bool coir_event_clear(coir_event *event);
COIR_API bool coir_event_is_set(const coir_event *event);           /* a snapshot; false for NULL */
COIR_API COIR_MUST_USE coir_io *coir_event_wait(coir_event *event); /* gives none. It can be a case of coir_alt() */

/*
 * A latch: fibers wait until it has been counted down to 0, and from then on it holds nobody back. It counts only down: what is to begin anew is a barrier.
 */
typedef struct coir_latch coir_latch;
COIR_API COIR_MUST_USE coir_latch *coir_latch_new(int64_t count);   /* NULL with errno ENOMEM, or EINVAL for a negative count */
COIR_API coir_latch *coir_latch_ref(coir_latch *latch);
COIR_API void coir_latch_drop(coir_latch *latch);
COIR_API uint64_t coir_latch_id(const coir_latch *latch);
COIR_API bool coir_latch_expose(coir_latch *latch);
COIR_API bool coir_latch_count_down(coir_latch *latch);             /* by one. False: it was at 0 already, or it is refused */
/* coir_counting_down: io, and then that, however io ended. At 0 already it is a panic, code COIR_MISUSE. */
COIR_API COIR_MUST_USE coir_io *coir_counting_down(coir_latch *latch, coir_io *io);
COIR_API int64_t coir_latch_count(const coir_latch *latch);         /* a snapshot; 0 for NULL */
COIR_API COIR_MUST_USE coir_io *coir_latch_wait(coir_latch *latch); /* gives none. It can be a case of coir_alt() */

/*
 * A barrier: `parties` fibers wait for each other; when the last of them has come all go on, and it is as at the beginning, for the next generation. Who is
 * canceled before it is complete leaves, and his place is free again; who is canceled later has been there. So no generation is complete with fewer, and nobody
 * is left behind.
 */
typedef struct coir_barrier coir_barrier;
COIR_API COIR_MUST_USE coir_barrier *coir_barrier_new(int64_t parties);        /* NULL with errno ENOMEM, or EINVAL for less than 1 */
COIR_API coir_barrier *coir_barrier_ref(coir_barrier *barrier);
COIR_API void coir_barrier_drop(coir_barrier *barrier);
COIR_API uint64_t coir_barrier_id(const coir_barrier *barrier);
COIR_API bool coir_barrier_expose(coir_barrier *barrier);
COIR_API int64_t coir_barrier_waiting(const coir_barrier *barrier); /* how many wait: a snapshot; 0 for NULL */
COIR_API COIR_MUST_USE coir_io *coir_barrier_wait(coir_barrier *barrier);      /* flag: true for the last of a generation, false for the others */

/*
 * A variable: a value with a lock of its own, by which fibers read it and change it one after the other.
 *
 *     coir_io *pay = coir_vars_update(COIR_VARS(from, to), move, &amount);         both change, or neither
 *
 * Whoever changes it makes the new value first, and then puts it there. So what fails, panics, or is canceled before leaves the old one, as far as it has not
 * been taken out. An io of several steps that is to find nothing changed between them is run by coir_with_vars(): inside, the others cost no waiting. Those that are taken
 * together are taken in the order of their age, so they cannot wait for each other in a ring, whatever the order in which they are named (if who
 * has some does not ask for more).
 */
typedef struct coir_var coir_var;
COIR_API COIR_MUST_USE coir_var *coir_var_new(coir_value initial);  /* takes it. NULL with errno ENOMEM */
COIR_API coir_var *coir_var_ref(coir_var *var);
COIR_API void coir_var_drop(coir_var *var);
COIR_API uint64_t coir_var_id(const coir_var *var);                 /* its lock's, by which messages name it */
/* coir_var_lock: its lock, borrowed: for coir_with_lock(), for a condition on the value, for a case of coir_alt(). */
COIR_API coir_lock *coir_var_lock(coir_var *var);
/* coir_var_get: the value, shared; for one that cannot be shared a panic, code COIR_MISUSE, that names its type. */
COIR_API COIR_MUST_USE coir_io *coir_var_get(coir_var *var);
/* coir_var_swap: takes the value, and gives the old one, which nobody else has from then on. The others give none.
 * coir_var_set: takes the value, and drops the old one.
 * coir_var_update: fn is lent the value in place, and gives the new one; the old one is dropped. One that it has taken, and then gives a panic value, is gone: what
 *   it left in its place stays.
 * coir_var_update_io: the same by an io, whose value is the new one. As long as it runs what fn was lent stays where it is: the var can be read, but
 *   to change it otherwise is a panic, code COIR_MISUSE, of whoever tries. */
COIR_API COIR_MUST_USE coir_io *coir_var_swap(coir_var *var, coir_value value);
COIR_API COIR_MUST_USE coir_io *coir_var_set(coir_var *var, coir_value value);
COIR_API COIR_MUST_USE coir_io *coir_var_update(coir_var *var, coir_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_var_update_copy(coir_var *var, coir_map_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_var_update_io(coir_var *var, coir_flat_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_var_update_io_copy(coir_var *var, coir_flat_map_fn *fn, const void *bytes, size_t size);

/* COIR_VARS(a, b): the count and the array of the functions that take several. The array is borrowed for the call; a NULL in it makes the io NULL. Of none:
 * nothing is locked. */
#ifndef __cplusplus
#define COIR_VARS(...) (sizeof((coir_var *[]){ __VA_ARGS__ }) / sizeof(coir_var *)), (coir_var *[]){ __VA_ARGS__ }
#else
#define COIR_VARS(...) coir_count_<decltype(std::make_tuple(__VA_ARGS__))>(), std::initializer_list<coir_var *>{ __VA_ARGS__ }.begin()
#endif
/* coir_with_vars: takes their locks, runs io, releases them however io ended. io's result. */
COIR_API COIR_MUST_USE coir_io *coir_with_vars(size_t count, coir_var *const *vars, coir_io *io);
/* coir_vars_get: a list of their values, shared, of one moment. */
COIR_API COIR_MUST_USE coir_io *coir_vars_get(size_t count, coir_var *const *vars);
/* coir_vars_update: fn is lent such a list, and gives a list of as many new values: all of them are put there, or none. Anything else is a panic, code COIR_MISUSE;
 * a variable that is named twice is one, code EINVAL. coir_vars_update_io: the same by an io. They give none. */
COIR_API COIR_MUST_USE coir_io *coir_vars_update(size_t count, coir_var *const *vars, coir_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_vars_update_copy(size_t count, coir_var *const *vars, coir_map_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_vars_update_io(size_t count, coir_var *const *vars, coir_flat_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_vars_update_io_copy(size_t count, coir_var *const *vars, coir_flat_map_fn *fn, const void *bytes, size_t size);

/*
 * A cell: an atomic place for a value. Nobody waits for it, so these are no ios: they act at once, on any thread, in runs and outside. What cannot be shared is not to be looked at:
 * it can only be put in and taken out.
 */
typedef struct coir_cell coir_cell;
COIR_API COIR_MUST_USE coir_cell *coir_cell_new(coir_value initial);           /* takes it. NULL with errno ENOMEM */
COIR_API coir_cell *coir_cell_ref(coir_cell *cell);
COIR_API void coir_cell_drop(coir_cell *cell);                      /* the last one drops the value */
/* coir_cell_get: the value, shared; a panic value for one that cannot be. None for NULL. */
COIR_API COIR_MUST_USE coir_value coir_cell_get(coir_cell *cell);
/* coir_cell_set: takes value, and drops what was there. False: there is no memory, or no cell, or value cannot be had (a panic value): it is dropped,
 *   and nothing has changed.
 * coir_cell_swap: gives what was there: the very thing, or, if somebody is looking at it just now, a share (a panic value, if its type then cannot make one: value
 *   is there all the same). Without memory, and for a value that cannot be had, a panic value, and nothing has changed. */
COIR_API bool coir_cell_set(coir_cell *cell, coir_value value);
COIR_API COIR_MUST_USE coir_value coir_cell_swap(coir_cell *cell, coir_value value);
/* coir_cell_update: puts there what fn makes of the value that it looks at, in one step, and gives what was there, as coir_cell_swap(). If another thread was faster fn is called again: so
 * it does nothing else. A panic value, of fn's or for a value that cannot be shared, is what it gives then, and nothing has changed. To leave all as it is fn gives
 * coir_share(value). */
typedef coir_value coir_cell_fn(void *env, const coir_value *value);
COIR_API COIR_MUST_USE coir_value coir_cell_update(coir_cell *cell, coir_cell_fn *fn, void *env);

#ifdef __cplusplus
}
#endif
#endif
