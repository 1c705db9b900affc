/*
 * sync.c - locks and semaphores that fibers wait for
 */
#include "fault.h"

/* -------------------------------------------------------------------------------------------------------------- locks */

/* Reentrant, and shared by the fibers: each takes it twice, and gives it up while it holds it once. */
static coir_io *held_twice(coir_lock *lock)
{
    return coir_with_lock(lock, coir_then(coir_yield(), coir_with_lock(lock, coir_then(coir_yield(), coir_pure(thing(1))))));
}

static coir_io *bare_acquire(coir_lock *lock)
{
    return coir_then(coir_lock_acquire(lock), coir_finally(coir_as(coir_yield(), thing(2)), coir_lock_release(lock)));
}

/* A lock that is still held ends as MISUSE of the fiber that holds it. */
FAULT_PROGRAM(locks, "OK [<OK thing 1> <OK thing 1> <OK thing 1> <OK thing 2> <OK 0>]")
{
    coir_lock *lock = coir_lock_new();
    coir_io *io = held_twice(lock), *again = coir_io_ref(io), *third = coir_io_ref(io);
    coir_io *tried = coir_then(coir_lock_try(lock), coir_then(coir_attempt(coir_lock_release(lock)), coir_unit()));
    coir_io *all = coir_parallel(COIR_IOS(io, again, third, bare_acquire(lock), tried));
    coir_lock_drop(lock);
    return fault_run(coir_flat_map(all, wait_it, NULL), options);
}

/* --------------------------------------------------------------------------------------------------------- semaphores */

static coir_io *using(coir_semaphore *permits, int64_t count, int number)
{
    return coir_with_permits(permits, count, coir_then(coir_yield(), coir_pure(thing(number))));
}

FAULT_PROGRAM(semaphores, "OK [<OK thing 1> <OK thing 1> <OK thing 3> <OK thing 1> <OK 0> <PANIC MISUSE>]")
{
    coir_semaphore *permits = coir_semaphore_new_bounded(3, 3);
    coir_io *one = using(permits, 1, 1), *again = coir_io_ref(one), *third = coir_io_ref(one);
    coir_io *bare = coir_then(coir_acquire(permits, 2), coir_finally(coir_as(coir_yield(), coir_none()), coir_release(permits, 2)));
    coir_io *all = coir_parallel(COIR_IOS(one, again, using(permits, 3, 3), third, bare, coir_acquire(permits, 4)));
    coir_result result = fault_run(coir_flat_map(all, wait_it, NULL), options);
    if (permits != NULL && coir_semaphore_available(permits) != 3)
        fault_wrong("%d permits are left", (int)coir_semaphore_available(permits));
    coir_semaphore_drop(permits);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------- events */

static coir_result set_event(void *event) { return coir_ok(coir_bool(coir_event_set(event))); }
static coir_io *give_thing(void *env, coir_value *none) { (void)env; (void)none; return coir_pure(thing(4)); }

FAULT_PROGRAM(events, "OK [<OK 0> <OK 0> <OK thing 4> <OK 1>]")
{
    coir_event *event = coir_event_new();
    coir_io *wait = coir_event_wait(event), *again = coir_io_ref(wait);
    coir_io *alt = coir_alt(COIR_CASES(coir_on(coir_event_wait(event), give_thing, NULL), coir_on(coir_sleep(coir_minutes(60)), NULL, NULL)));
    coir_io *all = coir_parallel(COIR_IOS(wait, again, alt, coir_then(coir_yield(), coir_defer(set_event, event))));
    coir_result result = fault_run(coir_flat_map(all, wait_it, NULL), options);
    coir_event_drop(event);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------ latches */

FAULT_PROGRAM(latches, "OK [<OK 0> <OK 0> <OK thing 1> <ERROR thing 2> <PANIC MISUSE>]")
{
    coir_latch *latch = coir_latch_new(2), *at_0 = coir_latch_new(0);
    coir_io *wait = coir_latch_wait(latch), *again = coir_io_ref(wait);
    coir_io *all = coir_parallel(COIR_IOS(wait, again, coir_counting_down(latch, coir_pure(thing(1))),
                                          coir_counting_down(latch, coir_then(coir_yield(), coir_fail(thing(2)))),
                                          coir_counting_down(at_0, coir_yield())));
    coir_result result = fault_run(coir_flat_map(all, wait_it, NULL), options);
    if (result.tag == COIR_OK && coir_latch_count(latch) != 0)
        fault_wrong("the latch is at %d", (int)coir_latch_count(latch));
    coir_latch_drop(latch);
    coir_latch_drop(at_0);
    return result;
}

/* --------------------------------------------------------------------------------------------------------- deferreds */

FAULT_PROGRAM(deferreds, "OK [<OK thing 3> <OK thing 3> <OK thing 3> <OK 1> <OK thing 5>]")
{
    coir_deferred *shared = coir_deferred_new(), *sole = coir_deferred_new();
    coir_io *get = coir_deferred_get(shared), *again = coir_io_ref(get);
    coir_io *alt = coir_alt(COIR_CASES(coir_on(coir_deferred_get(shared), NULL, NULL), coir_on(coir_sleep(coir_minutes(60)), NULL, NULL)));
    coir_io *put = coir_putting(shared, coir_then(coir_yield(), coir_pure(thing(3))));
    coir_io *moved = coir_then(coir_fork(coir_putting(sole, coir_pure(sole_thing(5)))), coir_deferred_get(sole));
    coir_io *all = coir_parallel(COIR_IOS(get, again, alt, put, moved));
    coir_deferred_drop(shared);
    coir_deferred_drop(sole);
    return fault_run(coir_flat_map(all, wait_it, NULL), options);
}

/* ----------------------------------------------------------------------------------------------------------- barriers */

/* Should one of them not come for want of memory the others wait in vain. */
FAULT_PROGRAM_THAT_MAY(barriers, "DEADLOCK", "OK [<OK thing 1> <OK thing 1> <OK thing 2>]")
{
    coir_barrier *barrier = coir_barrier_new(3);
    coir_io *one = coir_then(coir_repeat(coir_then(coir_yield(), coir_barrier_wait(barrier)), 3), coir_pure(thing(1))), *again = coir_io_ref(one);
    coir_io *other = coir_then(coir_barrier_wait(barrier), coir_then(coir_repeat(coir_barrier_wait(barrier), 2), coir_pure(thing(2))));
    coir_io *all = coir_parallel(COIR_IOS(one, again, other));
    coir_result result = fault_run(coir_flat_map(all, wait_it, NULL), options);
    if (coir_barrier_waiting(barrier) != 0)
        fault_wrong("%d are left at the barrier", (int)coir_barrier_waiting(barrier));
    coir_barrier_drop(barrier);
    return result;
}

/* --------------------------------------------------------------------------------------------------------- conditions */

struct fault_box { coir_lock *lock; coir_condition *changed; int count; };

struct fault_party { struct fault_box *box; int64_t by; };
static coir_io *party_step(coir_routine *self)
{
    COIR_BEGIN(self, struct fault_party, my);
    COIR_AWAIT(coir_yield());
    while (my->by < 0 && my->box->count == 0)
        COIR_AWAIT(coir_condition_wait(my->box->changed));
    my->box->count += (int)my->by;
    COIR_AWAIT(coir_condition_notify_all(my->box->changed));
    COIR_RETURN(thing(7));
    COIR_END;
}

/* What waits for who did not come is no fault. */
FAULT_PROGRAM_THAT_MAY(conditions, "DEADLOCK", "OK [<OK thing 7> <OK thing 7> <OK thing 7> <OK thing 7> <ERROR code -1001>]")
{
    coir_lock *lock = coir_lock_new();
    struct fault_box box = { .lock = lock, .changed = coir_condition_new(lock) };
    coir_io *take = coir_with_lock(lock, coir_do(party_step, COIR_ENV(struct fault_party, .box = &box, .by = -1))), *again = coir_io_ref(take);
    coir_io *put = coir_with_lock(lock, coir_do(party_step, COIR_ENV(struct fault_party, .box = &box, .by = 1))), *more = coir_io_ref(put);
    coir_condition *never = coir_condition_new(lock);
    coir_io *late = coir_with_lock(lock, coir_timeout(coir_condition_wait(never), coir_ms(1)));
    coir_io *all = coir_parallel(COIR_IOS(take, again, put, more, late));
    coir_result result = fault_run(coir_flat_map(all, wait_it, NULL), options);
    coir_condition_drop(box.changed);
    coir_condition_drop(never);
    coir_lock_drop(lock);
    return result;
}

/* --------------------------------------------------------------------------------------------------- read-write locks */

/* Bare, in a bracket; taken twice, and on to reading; as a case. */
FAULT_PROGRAM(rwlocks, "OK [<OK thing 1> <OK thing 1> <OK thing 2> <OK 1> <OK thing 3> <PANIC MISUSE>]")
{
    coir_rwlock *lock = coir_rwlock_new();
    coir_io *read = coir_with_read_lock(lock, coir_then(coir_yield(), coir_with_read_lock(lock, coir_pure(thing(1))))), *again = coir_io_ref(read);
    coir_io *write = coir_with_write_lock(lock, coir_then(coir_yield(), coir_with_read_lock(lock, coir_pure(thing(2)))));
    coir_io *bare = coir_then(coir_read_lock_acquire(lock), coir_finally(coir_as(coir_yield(), coir_int(1)), coir_read_lock_release(lock)));
    coir_io *alt = coir_alt(COIR_CASES(coir_on(coir_write_lock_acquire(lock), NULL, NULL), coir_on(coir_sleep(coir_minutes(60)), NULL, NULL)));
    coir_io *chosen = coir_as(coir_then(alt, coir_write_lock_release(lock)), thing(3));
    coir_io *all = coir_parallel(COIR_IOS(read, again, write, bare, chosen, coir_write_lock_release(lock)));
    coir_rwlock_drop(lock);
    return fault_run(coir_flat_map(all, wait_it, NULL), options);
}

/* --------------------------------------------------------------------------------------------------------- variables */

static coir_value thing_after(void *env, coir_value *value) { (void)env; return thing(thing_number(value) + 1); }
static coir_io *thing_later(void *env, coir_value *value)   { (void)env; return coir_then(coir_yield(), coir_pure(thing(thing_number(value) + 1))); }

/* From the first to the second; two that are no longer as they were together are wrong. */
static coir_value move_one(void *env, coir_value *list)
{
    int64_t from = coir_list_at(list, 0)->i64, to = coir_list_at(list, 1)->i64;
    (void)env;
    if (from + to != 20)
        fault_wrong("%d and %d are left of 20", (int)from, (int)to);
    return coir_list(2, (coir_value[]){ coir_int(from - 1), coir_int(to + 1) });
}
static coir_io *move_later(void *env, coir_value *list) { return coir_then(coir_yield(), coir_pure(move_one(env, list))); }

static coir_var *var_new(coir_value initial)
{
    errno = 0;
    coir_var *var = coir_var_new(initial);
    if (var == NULL && errno != ENOMEM)
        fault_wrong("no variable, and errno is %d", errno);
    return var;
}

FAULT_PROGRAM(variables, "OK [<OK 0> <OK 0> <OK 0> <OK 0> <OK 0>]")
{
    coir_var *var = var_new(thing(1)), *a = var_new(coir_int(10)), *b = var_new(coir_int(10));
    int moved = 0;
    coir_io *update = coir_var_update_copy(var, thing_after, &moved, sizeof moved), *again = coir_io_ref(update);
    coir_io *slow = coir_then(coir_var_update_io(var, thing_later, NULL), coir_then(coir_var_set(var, thing(9)), coir_unit()));
    coir_io *move = coir_then(coir_vars_update(COIR_VARS(a, b), move_one, NULL), coir_vars_update_io(COIR_VARS(b, a), move_later, NULL));
    coir_io *look = coir_with_vars(COIR_VARS(b, a), coir_as(coir_map(coir_vars_get(COIR_VARS(a, b)), move_one, NULL), coir_none()));
    coir_io *all = coir_parallel(COIR_IOS(update, again, slow, move, look));
    coir_result result = fault_run(coir_flat_map(all, wait_it, NULL), options);
    coir_var_drop(var);
    coir_var_drop(a);
    coir_var_drop(b);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------- cells */

static coir_value thing_next(void *env, const coir_value *value) { (void)env; return thing(thing_number(value) + 1); }

/* holds: what is there, and no other thing, whatever failed. */
static void cell_holds(coir_cell *cell, int number)
{
    coir_value value = coir_cell_get(cell);
    if (thing_number(&value) != number)
        fault_wrong("the cell holds thing %d, not %d", thing_number(&value), number);
    coir_drop(value);
}

FAULT_PROGRAM(cells, "OK [thing 1 thing 2 thing 3]")
{
    (void)options;
    errno = 0;
    coir_cell *cell = coir_cell_new(thing(1));
    if (cell == NULL && errno != ENOMEM)
        fault_wrong("no cell, and errno is %d", errno);
    if (cell == NULL)
        return fault_checked(coir_heap(NULL));
    coir_value one = coir_cell_swap(cell, thing(2));
    bool is_swapped = is_thing(&one);
    cell_holds(cell, is_swapped ? 2 : 1);
    coir_value two = coir_cell_update(cell, thing_next, NULL);
    int number = (is_swapped ? 2 : 1) + (is_thing(&two) ? 1 : 0);
    cell_holds(cell, number);
    bool is_set = coir_cell_set(cell, thing(5));
    cell_holds(cell, is_set ? 5 : number);
    coir_cell_drop(cell);
    return fault_checked(coir_list(3, (coir_value[]){ one, two, is_set ? thing(3) : coir_heap(NULL) }));
}
