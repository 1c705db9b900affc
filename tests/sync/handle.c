/*
 * handle.c - tests of what is abandoned: objects that only those who wait for them still refer to
 *
 * In these programs a callback is outstanding all the time, so no verdict on a silent run could end the waits.
 */
#include "fibers.h"

/* giving_up: drops the handle in *place. */
static coir_result give_up(void *place)
{
    coir_semaphore_drop(*(coir_semaphore **)place);
    return coir_ok(coir_none());
}
static coir_io *giving_up(coir_semaphore **place) { return coir_defer(give_up, place); }

/* not_silent: io, beside a fiber that waits for a callback for as long. */
static coir_io *not_silent(struct gate *gate, coir_io *io)
{
    *gate = (struct gate)GATE;
    return coir_then(coir_fork(passing(gate)), coir_finally(io, opening(gate)));
}

static coir_io *wait_for_placed(void *place)
{
    coir_fiber **fibers = place;
    coir_value handles[] = { coir_fiber_value(coir_fiber_ref(fibers[0])), coir_fiber_value(coir_fiber_ref(fibers[1])) };
    coir_value list = coir_list(2, handles);
    coir_io *io = coir_wait(&list);
    coir_drop(list);
    return io;
}

TEST(handle, who_waits_is_woken_when_the_last_other_reference_goes)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new_bounded(0, 5);
        const char *number = spelled("permits of semaphore %ju", SEMAPHORE_ID(semaphore));
        coir_fiber *fibers[2] = { NULL };
        struct gate gate;
        coir_io *bracket = coir_with_permits(semaphore, 2, coir_pure(thing(1)));
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_named(coir_acquire(semaphore, 1), "bare"), &fibers[0]),
                                             queueing(coir_finally(bracket, noting("finalizer")), &fibers[1]), giving_up(&semaphore),
                                             coir_suspend(wait_for_placed, fibers)));
        coir_result result = coir_run(not_silent(&gate, io), options);
        CHECK_STR(describe(&result), "OK [<PANIC ABANDONED> <PANIC ABANDONED>]");
        const char *message = coir_error_message(&coir_result_in(coir_list_at(&result.value, 0))->value);
        CHECK_CONTAINS(message, "'bare'");
        CHECK_CONTAINS(message, number);
        coir_result_drop(&result);
        CHECK_STR(notes(), "-1 finalizer");
        coir_fiber_drop(fibers[0]);
        coir_fiber_drop(fibers[1]);
    }
}

TEST(handle, who_would_wait_with_the_last_reference_is_refused_at_once)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new_bounded(0, 5), *more = coir_semaphore_new_bounded(0, 5);
        coir_io *bare = coir_acquire(semaphore, 1), *bracket = coir_with_permits(more, 1, coir_pure(thing(1)));
        struct gate gate;
        coir_semaphore_drop(semaphore);
        coir_semaphore_drop(more);
        CHECK_STR(outcome_under(options, not_silent(&gate, bare)), "PANIC ABANDONED");
        CHECK_STR(outcome_under(options, not_silent(&gate, bracket)), "PANIC ABANDONED");
        CHECK_STR(notes(), "-1");
    }
}

TEST(handle, last_of_many_to_wait_ends_the_waits_of_all)
{
    FOR_SCHEDULES(options) {
        enum { WAITERS = 20 };
        coir_semaphore *semaphore = coir_semaphore_new_bounded(3, 5);
        coir_io *ios[WAITERS];
        struct gate gate;
        for (size_t i = 0; i < WAITERS; i++)
            ios[i] = coir_then(coir_repeat(coir_yield(), i % 3), i % 2 == 0 ? coir_acquire(semaphore, 4) : coir_with_permits(semaphore, 5, coir_unit()));
        coir_semaphore_drop(semaphore);
        coir_result result = coir_run(not_silent(&gate, waited(WAITERS, ios)), options);
        CHECK_TAG(result, COIR_OK);
        for (size_t i = 0; i < WAITERS; i++)
            CHECK_CODE(*coir_result_in(coir_list_at(&result.value, i)), COIR_PANIC, COIR_ABANDONED);
        coir_result_drop(&result);
    }
}

TEST(handle, those_behind_one_who_is_served_and_leaves_are_abandoned)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new_bounded(0, 5);
        coir_fiber *fibers[2] = { NULL };
        struct gate gate;
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_acquire(semaphore, 1), &fibers[0]), queueing(coir_acquire(semaphore, 1), &fibers[1]),
                                             coir_release(semaphore, 1), giving_up(&semaphore), coir_suspend(wait_for_placed, fibers)));
        CHECK_STR(outcome_under(options, not_silent(&gate, io)), "OK [<OK 0> <PANIC ABANDONED>]");
        coir_fiber_drop(fibers[0]);
        coir_fiber_drop(fibers[1]);
    }
}

TEST(handle, who_holds_permits_in_a_bracket_keeps_the_others_from_being_abandoned)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(1);
        coir_io *ios[10];
        struct gate gate;
        for (size_t i = 0; i < 10; i++)
            ios[i] = coir_with_permits(semaphore, 1, coir_then(coir_yield(), coir_pure(coir_int(1))));
        coir_semaphore_drop(semaphore);
        CHECK_STR(outcome_under(options, not_silent(&gate, waited(10, ios))),
                  "OK [<OK 1> <OK 1> <OK 1> <OK 1> <OK 1> <OK 1> <OK 1> <OK 1> <OK 1> <OK 1>]");
    }
}

TEST(handle, reference_in_what_a_waiter_will_do_later_counts)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new_bounded(0, 5);
        coir_io *io = coir_then(coir_acquire(semaphore, 1), coir_release(semaphore, 1));
        coir_semaphore_drop(semaphore);
        CHECK_STR(outcome_under(options, io), "PANIC DEADLOCK");        /* silence ends that wait, as soon as nothing else goes on */
    }
}

TEST(handle, waits_in_a_shared_io_end_when_the_run_falls_silent)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new_bounded(0, 5);
        coir_io *shared = coir_acquire(semaphore, 1);
        coir_semaphore_drop(semaphore);
        CHECK_STR(outcome_under(options, waited(COIR_IOS(coir_io_ref(shared), coir_then(coir_yield(), coir_io_ref(shared))))),
                  "OK [<PANIC DEADLOCK> <PANIC DEADLOCK>]");
        CHECK_STR(outcome_under(options, coir_repeat(shared, 2)), "PANIC DEADLOCK");
    }
}

TEST(handle, waiters_of_a_stopped_run_are_not_abandoned_and_nothing_is_left)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_semaphore *semaphore = coir_semaphore_new_bounded(0, 5);
        coir_io *ios[] = { coir_acquire(semaphore, 1), coir_with_permits(semaphore, 1, coir_pure(thing(1))),
                           coir_then_keep(coir_never(), coir_release(semaphore, 1)) };
        coir_semaphore_drop(semaphore);
        coir_result result = coir_run(waited(3, ios), COIR_OPTIONS(.workers = workers, .on_deadlock = COIR_DEADLOCK_STOP));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_STR(notes(), "-1");
    }
}

/* --------------------------------------------------------------------------------------------------- on another thread */

static void *drop_handle(void *semaphore)
{
    coir_semaphore_drop(semaphore);
    return NULL;
}

TEST(handle, last_reference_may_go_on_another_thread_at_any_moment)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(300); round++) {
            enum { WAITERS = 4 };
            pthread_t thread;
            struct gate gate;
            coir_semaphore *semaphore = coir_semaphore_new_bounded(0, 5);
            coir_io *ios[WAITERS];
            for (size_t i = 0; i < WAITERS; i++)
                ios[i] = coir_then(coir_repeat(coir_yield(), (uint64_t)(round % 7) * i), coir_acquire(semaphore, 1));
            CHECK_INT(pthread_create(&thread, NULL, drop_handle, semaphore), 0);
            CHECK_STR(outcome(workers, not_silent(&gate, waited(WAITERS, ios))),
                      "OK [<PANIC ABANDONED> <PANIC ABANDONED> <PANIC ABANDONED> <PANIC ABANDONED>]");
            CHECK_INT(pthread_join(thread, NULL), 0);
        }
}
