/*
 * lock.c - tests of the lock: who holds it, who is next, and that it is given back on every way out
 */
#include "fibers.h"

/* -------------------------------------------------------------------------------------------------------- exclusion */

/* Plain memory that only the lock protects: it is read, others have their turn, it is written. */
struct counter { coir_lock *lock; int64_t *sum; int rounds; int64_t read; };
static coir_io *counter_step(coir_routine *self)
{
    COIR_BEGIN(self, struct counter, my);
    for (; my->rounds > 0; my->rounds--) {
        COIR_AWAIT(coir_lock_acquire(my->lock));
        my->read = *my->sum;
        COIR_AWAIT(coir_yield());
        *my->sum = my->read + 1;
        COIR_AWAIT(coir_lock_release(my->lock));
    }
    COIR_END;
}

static int64_t counted_by(const coir_options *options, size_t fibers, int rounds)
{
    int64_t sum = 0;
    coir_lock *lock = coir_lock_new();
    coir_io *io = coir_do(counter_step, COIR_ENV(struct counter, .lock = lock, .sum = &sum, .rounds = rounds));
    CHECK_STR(outcome_under(options, coir_as(copies_of(fibers, io), coir_none())), "OK 0");
    coir_lock_drop(lock);
    return sum;
}

TEST(lock, one_fiber_at_a_time_has_it)
{
    FOR_SCHEDULES(options)
        CHECK_INT(counted_by(options, 20, 50), 1000);
}

TEST(lock, one_fiber_at_a_time_has_it_wherever_the_budget_ends)
{
    FOR_WORKERS(workers, 1, 2, 4)
        FOR_BUDGETS(options, workers)
            CHECK_INT(counted_by(options, 10, 5), 50);
}

static coir_io *read_and_write(void *sum_)
{
    int64_t *sum = sum_;
    int64_t read = (*sum)++;
    return coir_then(coir_yield(), coir_pure(coir_int(read)));
}

TEST(lock, shared_io_with_a_lock_runs_many_times_at_once)
{
    FOR_SCHEDULES(options) {
        int64_t sum = 0;
        coir_lock *lock = coir_lock_new();
        coir_io *io = coir_with_lock(lock, coir_with_lock(lock, coir_suspend(read_and_write, &sum)));
        coir_lock_drop(lock);                           /* the io keeps it */
        coir_result result = coir_run(coir_flat_map(copies_of(100, coir_repeat(io, 3)), wait_it, NULL), options);
        CHECK_TAG(result, COIR_OK);
        CHECK_INT(how_many_are(&result.value, COIR_OK), 100);
        CHECK_INT(sum, 300);
        coir_result_drop(&result);
    }
}

/* -------------------------------------------------------------------------------------------------------- reentrancy */

TEST(lock, holder_may_take_it_again_and_gives_it_up_with_the_last_release)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_fiber *other = NULL;
        coir_io *take = coir_lock_acquire(lock), *give = coir_lock_release(lock);
        coir_io *io = coir_sequence(COIR_IOS(coir_repeat(coir_io_ref(take), 3),
                                             queueing(coir_then(coir_io_ref(take), coir_then(noting("other"), coir_io_ref(give))), &other),
                                             noting("1"), coir_io_ref(give), coir_repeat(coir_yield(), 5), noting("2"), coir_io_ref(give),
                                             coir_repeat(coir_yield(), 5), noting("3"), coir_io_ref(give), joining(&other), noting("4")));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(notes(), "1 2 3 other 4");
        coir_fiber_drop(other);
        coir_io_drop(take);
        coir_io_drop(give);
        coir_lock_drop(lock);
    }
}

TEST(lock, child_of_the_holder_does_not_hold_it)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        CHECK_STR(outcome_under(options, coir_with_lock(lock, joined(coir_lock_try(lock)))), "OK 0");
        CHECK_STR(outcome_under(options, coir_with_lock(lock, joined(coir_lock_release(lock)))), "PANIC MISUSE");
        CHECK_STR(outcome_under(options, joined(coir_lock_try(lock))), "PANIC MISUSE");     /* taken, so the child ended with it */
        coir_lock_drop(lock);
    }
}

/* ------------------------------------------------------------------------------------------------------------- order */

static coir_io *noting_in(coir_lock *lock, const char *text) { return coir_with_lock(lock, noting(text)); }

TEST(lock, waiters_are_served_in_the_order_of_arrival)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_fiber *fibers[5] = { NULL };
        coir_io *io = coir_with_lock(
            lock, coir_sequence(COIR_IOS(queueing(noting_in(lock, "a"), &fibers[0]), queueing(noting_in(lock, "b"), &fibers[1]),
                                         queueing(noting_in(lock, "c"), &fibers[2]), queueing(noting_in(lock, "d"), &fibers[3]),
                                         queueing(noting_in(lock, "e"), &fibers[4]), noting("holder"))));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(notes(), "holder a b c d e");
        for (size_t i = 0; i < 5; i++)
            coir_fiber_drop(fibers[i]);
        coir_lock_drop(lock);
    }
}

TEST(lock, release_hands_it_to_the_first_waiter_and_the_releaser_queues_behind)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(coir_lock_acquire(lock), queueing(noting_in(lock, "a"), &fibers[0]),
                                             queueing(noting_in(lock, "b"), &fibers[1]), coir_lock_release(lock), coir_lock_acquire(lock),
                                             noting("again"), coir_lock_release(lock)));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(notes(), "a b again");
        coir_fiber_drop(fibers[0]);
        coir_fiber_drop(fibers[1]);
        coir_lock_drop(lock);
    }
}

/* --------------------------------------------------------------------------------------------------------------- try */

TEST(lock, try_takes_it_if_it_is_free_or_ones_own)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_io *again = coir_then_keep(coir_lock_try(lock), coir_lock_release(lock));
        CHECK_STR(outcome_under(options, again), "OK 1");
        CHECK_STR(outcome_under(options, coir_with_lock(lock, coir_then_keep(coir_lock_try(lock), coir_lock_release(lock)))), "OK 1");
        CHECK_STR(outcome_under(options, coir_with_lock(lock, joined(coir_lock_try(lock)))), "OK 0");
        coir_lock_drop(lock);
    }
}

TEST(lock, try_never_overtakes_a_waiter)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_fiber *waiter = NULL;
        struct gate gate = GATE;
        /* After the release it is the waiter's, whether that has run already or not. */
        coir_io *io = coir_sequence(COIR_IOS(coir_lock_acquire(lock), queueing(coir_with_lock(lock, passing(&gate)), &waiter),
                                             coir_lock_release(lock), coir_lock_try(lock)));
        CHECK_STR(outcome_under(options, coir_then_keep(io, opening(&gate))), "OK 0");
        coir_fiber_drop(waiter);
        coir_lock_drop(lock);
    }
}

/* ----------------------------------------------------------------------------------------------------------- release */

TEST(lock, release_by_who_does_not_hold_it_is_a_panic_that_names_function_and_fiber)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_result result = coir_run(joined(coir_named(coir_lock_release(lock), "rogue")), options);
        CHECK_CODE(result, COIR_PANIC, COIR_MISUSE);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_lock_release");
        CHECK_CONTAINS(coir_error_message(&result.value), spelled("'rogue' releases lock %ju that nobody holds", LOCK_ID(lock)));
        coir_result_drop(&result);
        /* Once too often; and the lock is as it was: free. */
        CHECK_STR(outcome_under(options, coir_then(coir_with_lock(lock, coir_unit()), coir_lock_release(lock))), "PANIC MISUSE");
        CHECK_STR(outcome_under(options, coir_with_lock(lock, coir_pure(coir_int(1)))), "OK 1");
        coir_lock_drop(lock);
    }
}

TEST(lock, release_by_another_leaves_it_with_its_holder)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_fiber *waiter = NULL;
        coir_io *rogue = coir_attempt(joined(coir_named(coir_lock_release(lock), "rogue")));
        coir_io *io = coir_with_lock(lock, coir_sequence(COIR_IOS(queueing(noting_in(lock, "waiter"), &waiter), rogue,
                                                                  coir_repeat(coir_yield(), 5), noting("holder"))));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(notes(), "holder waiter");
        coir_fiber_drop(waiter);
        coir_lock_drop(lock);
    }
}

/* --------------------------------------------------------------------------------------------------------- every way out */

TEST(lock, with_lock_gives_it_back_however_io_ended)
{
    static const char *const expected[] = { "OK 5", "ERROR 5", "PANIC 5", "CANCELED 5" };
    FOR_SCHEDULES(options)
        for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
            coir_lock *lock = coir_lock_new();
            CHECK_STR(outcome_under(options, coir_with_lock(lock, coir_then(coir_yield(), ending(tag, 5)))), expected[tag]);
            CHECK_STR(outcome_under(options, coir_then_keep(coir_lock_try(lock), coir_lock_release(lock))), "OK 1");
            coir_lock_drop(lock);
        }
}

TEST(lock, fiber_that_ends_with_it_is_a_panic_and_the_next_waiter_gets_it)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_fiber *holder = NULL, *waiter = NULL;
        coir_semaphore *go = coir_semaphore_new_bounded(0, 1);
        coir_io *hold =
            coir_named(coir_sequence(COIR_IOS(coir_lock_acquire(lock), coir_lock_acquire(lock), coir_acquire(go, 1), coir_pure(thing(1)))),
                       "careless");
        coir_io *io = coir_sequence(COIR_IOS(queueing(hold, &holder), queueing(noting_in(lock, "waiter"), &waiter), coir_release(go, 1),
                                             joining(&waiter), joining(&holder)));
        coir_result result = coir_run(io, options);
        CHECK_CODE(result, COIR_PANIC, COIR_MISUSE);
        CHECK_CONTAINS(coir_error_message(&result.value), spelled("'careless' ended while it held lock %ju", LOCK_ID(lock)));
        coir_result_drop(&result);
        CHECK(strstr(notes(), "waiter") != NULL);
        CHECK_STR(outcome_under(options, coir_then_keep(coir_lock_try(lock), coir_lock_release(lock))), "OK 1");
        coir_fiber_drop(holder);
        coir_fiber_drop(waiter);
        coir_semaphore_drop(go);
        coir_lock_drop(lock);
    }
    CHECK_INT(things_alive, 0);
}

TEST(lock, fiber_that_ends_with_several_gives_each_to_its_next_waiter)
{
    FOR_SCHEDULES(options) {
        coir_lock *locks[3] = { coir_lock_new(), coir_lock_new(), coir_lock_new() };
        coir_semaphore *go = coir_semaphore_new_bounded(0, 1);
        coir_fiber *holder = NULL, *waiters[2] = { NULL };
        coir_io *hold = coir_sequence(COIR_IOS(coir_lock_acquire(locks[0]), coir_lock_acquire(locks[1]), coir_lock_acquire(locks[2]),
                                               coir_lock_release(locks[1]), coir_acquire(go, 1), coir_fail(coir_int(3))));
        coir_io *io = coir_sequence(COIR_IOS(queueing(hold, &holder), queueing(noting_in(locks[0], "first"), &waiters[0]),
                                             queueing(noting_in(locks[2], "third"), &waiters[1]), coir_release(go, 1), joining(&waiters[0]),
                                             joining(&waiters[1]), joining(&holder)));
        coir_result result = coir_run(io, options);
        CHECK_STR(describe(&result), "PANIC MISUSE also(ERROR 3)");
        CHECK_CONTAINS(coir_error_message(&result.value), spelled("ended while it held locks %ju, %ju", LOCK_ID(locks[2]), LOCK_ID(locks[0])));
        coir_result_drop(&result);
        const char *text = notes();
        CHECK_CONTAINS(text, "first");
        CHECK_CONTAINS(text, "third");
        for (size_t i = 0; i < 3; i++) {
            CHECK_STR(outcome_under(options, coir_then_keep(coir_lock_try(locks[i]), coir_lock_release(locks[i]))), "OK 1");
            coir_lock_drop(locks[i]);
        }
        coir_fiber_drop(holder);
        coir_fiber_drop(waiters[0]);
        coir_fiber_drop(waiters[1]);
        coir_semaphore_drop(go);
    }
}

TEST(lock, panic_of_who_ends_with_many_names_the_last_of_them)
{
    coir_lock *locks[10];
    coir_io *io = coir_unit();
    for (size_t i = 0; i < 10; i++) {
        locks[i] = coir_lock_new();
        io = coir_then(io, coir_lock_acquire(locks[i]));
    }
    const char *message = message_of(1, io);
    CHECK_CONTAINS(message, spelled("locks %ju, %ju, %ju, ", LOCK_ID(locks[9]), LOCK_ID(locks[8]), LOCK_ID(locks[7])));
    CHECK_CONTAINS(message, spelled(", %ju and more", LOCK_ID(locks[2])));
    for (size_t i = 0; i < 10; i++)
        coir_lock_drop(locks[i]);
}

TEST(lock, main_fiber_that_ends_with_it_is_a_panic)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        CHECK_STR(outcome_under(options, coir_lock_acquire(lock)), "PANIC MISUSE");
        CHECK_STR(outcome_under(options, coir_with_lock(lock, coir_unit())), "OK 0");
        coir_lock_drop(lock);
    }
}

/* ------------------------------------------------------------------------------------------------------------- handle */

TEST(lock, id_is_a_number_of_its_own)
{
    coir_lock *first = coir_lock_new(), *second = coir_lock_new();
    coir_semaphore *semaphore = coir_semaphore_new(1);
    CHECK(coir_lock_id(first) > 0);
    CHECK(coir_lock_id(second) > coir_lock_id(first));
    CHECK(coir_semaphore_id(semaphore) > coir_lock_id(second));
    CHECK_UINT(coir_lock_id(NULL), 0);
    CHECK_UINT(coir_semaphore_id(NULL), 0);
    coir_lock_drop(first);
    coir_lock_drop(second);
    coir_semaphore_drop(semaphore);
}

TEST(lock, handle_may_be_dropped_while_it_is_held_and_waited_for)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_fiber *waiter = NULL;
        coir_io *io = coir_sequence(
            COIR_IOS(coir_lock_acquire(lock), queueing(noting_in(lock, "waiter"), &waiter), coir_lock_release(lock), joining(&waiter)));
        CHECK_PTR(coir_lock_ref(lock), lock);
        coir_lock_drop(lock);
        coir_lock_drop(lock);
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(notes(), "waiter");
        coir_fiber_drop(waiter);
    }
}

TEST(lock, who_ends_with_the_last_reference_to_a_lock_frees_it)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_io *io = coir_lock_acquire(lock);
        coir_lock_drop(lock);
        CHECK_STR(outcome_under(options, coir_then(io, coir_pure(coir_int(1)))), "PANIC MISUSE");
    }
}

TEST(lock, NULL_handle_makes_NULL_and_drops_what_came_with_it)
{
    CHECK_PTR(coir_lock_ref(NULL), NULL);
    coir_lock_drop(NULL);
    CHECK_PTR(coir_lock_acquire(NULL), NULL);
    CHECK_PTR(coir_lock_try(NULL), NULL);
    CHECK_PTR(coir_lock_release(NULL), NULL);
    CHECK_PTR(coir_with_lock(NULL, coir_pure(thing(1))), NULL);
    CHECK_STR(notes(), "-1");
    coir_lock *lock = coir_lock_new();
    CHECK_PTR(coir_with_lock(lock, NULL), NULL);
    coir_lock_drop(lock);
}

/* ---------------------------------------------------------------------------------------------------------- two runs */

TEST(lock, another_run_is_refused_while_one_holds_it_and_served_afterwards)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        struct gate gate = GATE;
        struct other_run other;
        other_run_begin(&other, options, coir_with_lock(lock, passing(&gate)));
        CHECK_SOON(gate_waiting(&gate) == 1);
        coir_result result = coir_run(coir_lock_acquire(lock), options);
        CHECK_CODE(result, COIR_ERROR, COIR_REFUSED);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_lock_acquire");
        coir_result_drop(&result);
        result = coir_run(coir_lock_try(lock), options);
        CHECK_CODE(result, COIR_ERROR, COIR_REFUSED);
        coir_result_drop(&result);
        CHECK_STR(outcome_under(options, coir_lock_release(lock)), "PANIC MISUSE");
        gate_open(&gate);
        result = other_run_end(&other);
        CHECK_TAG(result, COIR_OK);
        CHECK_STR(outcome_under(options, coir_with_lock(lock, coir_pure(coir_int(1)))), "OK 1");
        coir_lock_drop(lock);
    }
}
