/*
 * cancel.c - tests of cancellation: who sees a request, what runs then, masks, time-outs
 */
#include "seeds.h"

/* ---------------------------------------------------------------------------------------------------- words of this suite */

static coir_io *cancel_placed(void *place) { return coir_cancel(*(coir_fiber **)place); }
static coir_io *canceling(coir_fiber **place) { return coir_suspend(cancel_placed, place); }

static coir_io *cancel_placed_nowait(void *place) { return coir_cancel_nowait(*(coir_fiber **)place); }
static coir_io *asking(coir_fiber **place) { return coir_suspend(cancel_placed_nowait, place); }

/* with_placed: what such a function makes of the handle in *place, when this is run. */
static coir_io *with_placed(coir_io *(*function)(const coir_value *fibers), void *place)
{
    coir_value fiber = coir_fiber_value(coir_fiber_ref(*(coir_fiber **)place));
    coir_io *io = function(&fiber);
    coir_drop(fiber);
    return io;
}
static coir_io *wait_placed(void *place)       { return with_placed(coir_wait, place); }
static coir_io *wait_any_placed(void *place)   { return with_placed(coir_wait_any, place); }
static coir_io *cancel_all_placed(void *place) { return with_placed(coir_cancel_all, place); }

/* canceled: forks io, lets it get to where it waits, cancels it: a list of its one result. */
static coir_io *canceled(coir_io *io, coir_fiber **place)
{
    return coir_sequence(COIR_IOS(queueing(io, place), canceling(place), coir_suspend(wait_placed, place)));
}

static coir_io *cancel_two(void *places_)
{
    coir_fiber ***places = places_;
    coir_value both[2];
    for (int i = 0; i < 2; i++)
        both[i] = coir_fiber_value(coir_fiber_ref(*places[i]));
    coir_value list = coir_list(2, both);
    coir_io *io = coir_cancel_all(&list);
    coir_drop(list);
    return io;
}

static coir_result tell_mask(void *env)
{
    (void)env;
    note("%s%s", coir_is_masked() ? "masked " : "", coir_is_canceling() ? "canceling" : "not");
    return coir_ok(coir_none());
}

static void drop_handle(coir_fiber **place) { coir_fiber_drop(*place); *place = NULL; }

/* ------------------------------------------------------------------------------------------------------------- waits */

TEST(cancel, whoever_waits_is_canceled_and_its_finalizer_runs_once)
{
    FOR_SEEDS(options) {
        coir_fiber *fiber = NULL;
        coir_io *io = coir_finally(coir_never(), noting("finalizer"));
        CHECK_STR(simulated(options, canceled(io, &fiber)), "OK [<CANCELED 0>]");
        CHECK_STR(notes(), "finalizer");
        drop_handle(&fiber);
    }
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_fiber *fiber = NULL;
        CHECK_STR(outcome(workers, canceled(coir_finally(coir_never(), noting("finalizer")), &fiber)), "OK [<CANCELED 0>]");
        CHECK_STR(notes(), "finalizer");
        drop_handle(&fiber);
    }
}

TEST(cancel, no_handler_is_asked_but_finalizers_are_in_order)
{
    FOR_SEEDS(options) {
        coir_fiber *fiber = NULL;
        coir_io *io = coir_finally(coir_never(), noting("first"));
        io = coir_or_else(coir_attempt(io), noting("or else"));
        io = coir_on_cancel(io, noting("on cancel"));
        io = coir_always(io, noting("always"));
        io = coir_finally(io, noting("last"));
        CHECK_STR(simulated(options, canceled(io, &fiber)), "OK [<CANCELED 0>]");
        CHECK_STR(notes(), "first on cancel last");
        drop_handle(&fiber);
    }
}

/* One who takes his time to unwind. */
static coir_io *lingering(void) { return coir_finally(coir_never(), coir_then(coir_sleep(coir_ms(5)), noting("finalizer"))); }

TEST(cancel, who_cancels_waits_until_the_finalizers_have_run_and_who_only_asks_does_not)
{
    FOR_SEEDS(options) {
        coir_fiber *fiber = NULL;
        CHECK_STR(simulated(options, coir_sequence(COIR_IOS(queueing(lingering(), &fiber), canceling(&fiber), noting("then")))), "OK 0");
        CHECK_STR(notes(), "finalizer then");
        drop_handle(&fiber);
        CHECK_STR(simulated(options, coir_sequence(COIR_IOS(queueing(lingering(), &fiber), asking(&fiber), noting("then")))), "OK 0");
        CHECK_STR(notes(), "then finalizer");
        drop_handle(&fiber);
    }
}

TEST(cancel, who_is_canceled_by_several_unwinds_once_and_all_of_them_wait_for_that)
{
    FOR_SEEDS(options) {
        coir_fiber *fiber = NULL;
        coir_io *late = coir_then(coir_sleep(coir_ms(2)), canceling(&fiber));
        coir_io *all = coir_par_zip(COIR_IOS(canceling(&fiber), canceling(&fiber), asking(&fiber), late));
        CHECK_STR(simulated(options, coir_sequence(COIR_IOS(queueing(lingering(), &fiber), all, noting("then")))), "OK 0");
        CHECK_STR(notes(), "finalizer then");
        drop_handle(&fiber);
    }
}

TEST(cancel, who_has_ended_is_canceled_in_vain)
{
    FOR_SEEDS(options) {
        coir_fiber *fiber = NULL;
        coir_io *io = coir_sequence(COIR_IOS(forking(coir_pure(coir_int(5)), &fiber), joining(&fiber), canceling(&fiber), asking(&fiber),
                                             coir_suspend(cancel_all_placed, &fiber), joining(&fiber)));
        CHECK_STR(simulated(options, io), "OK 5");
        coir_fiber_cancel(fiber);
        CHECK_STR(simulated(options, joining(&fiber)), "OK 5");
        drop_handle(&fiber);
    }
}

/* An io for each way to wait, for what will not come. `held` is a lock that somebody else has. */
enum { WAITS = 9 };
static coir_io *waiting(int how, coir_lock *held, coir_semaphore *none, coir_fiber **other)
{
    switch (how) {
    case 0:  return coir_sleep(coir_seconds(1000000));
    case 1:  return coir_sleep_until((struct timespec){ .tv_sec = INT64_C(1) << 40 });
    case 2:  return coir_lock_acquire(held);
    case 3:  return coir_with_lock(held, noting("held"));
    case 4:  return coir_acquire(none, 1);
    case 5:  return coir_with_permits(none, 1, noting("held"));
    case 6:  return joining(other);
    case 7:  return coir_suspend(wait_placed, other);
    default: return coir_suspend(wait_any_placed, other);
    }
}

TEST(cancel, whatever_one_waits_for_a_request_ends_the_wait)
{
    FOR_SEEDS(options)
        for (int how = 0; how < WAITS; how++) {
            CASE("seed %llu, wait %d", (unsigned long long)options->seed, how);
            coir_lock *lock = coir_lock_new();
            coir_semaphore *none = coir_semaphore_new_bounded(0, 1);
            coir_fiber *fiber = NULL, *other = NULL;
            coir_io *waiter = coir_finally(waiting(how, lock, none, &other), noting("finalizer"));
            coir_io *io = coir_sequence(COIR_IOS(queueing(coir_never(), &other), coir_with_lock(lock, canceled(waiter, &fiber)), canceling(&other),
                                                 coir_with_lock(lock, coir_suspend(wait_placed, &fiber))));
            CHECK_STR(simulated(options, io), "OK [<CANCELED 0>]");
            CHECK_STR(notes(), "finalizer");
            coir_lock_drop(lock);
            coir_semaphore_drop(none);
            drop_handle(&fiber);
            drop_handle(&other);
        }
}

TEST(cancel, a_canceled_waiter_of_a_lock_is_passed_over)
{
    FOR_SEEDS(options) {
        coir_lock *lock = coir_lock_new();
        coir_fiber *first = NULL, *second = NULL;
        coir_io *body = coir_sequence(COIR_IOS(queueing(coir_with_lock(lock, noting("first")), &first),
                                               queueing(coir_with_lock(lock, noting("second")), &second), canceling(&first)));
        CHECK_STR(simulated(options, coir_then(coir_with_lock(lock, body), joining(&second))), "OK 0");
        CHECK_STR(notes(), "second");
        coir_lock_drop(lock);
        drop_handle(&first);
        drop_handle(&second);
    }
}

TEST(cancel, a_sleeper_goes_at_once)
{
    FOR_SEEDS(options) {
        coir_fiber *fiber = NULL;
        CHECK_STR(simulated(options, coir_then(canceled(coir_sleep(coir_seconds(1000)), &fiber), coir_now())), "OK 0");
        drop_handle(&fiber);
    }
}

TEST(cancel, a_canceled_waiter_of_a_semaphore_lets_the_next_one_in)
{
    FOR_SEEDS(options) {
        coir_semaphore *semaphore = coir_semaphore_new(2);
        coir_fiber *big = NULL, *small = NULL;
        /* One of two permits is held; who asks for two stands at the head and keeps out who asks for one. */
        coir_io *body = coir_sequence(COIR_IOS(queueing(coir_with_permits(semaphore, 2, noting("big")), &big),
                                               queueing(coir_with_permits(semaphore, 1, noting("small")), &small),
                                               canceling(&big), joining(&small)));
        CHECK_STR(simulated(options, coir_with_permits(semaphore, 1, body)), "OK 0");
        CHECK_STR(notes(), "small");
        CHECK_INT(coir_semaphore_available(semaphore), 2);
        coir_semaphore_drop(semaphore);
        drop_handle(&big);
        drop_handle(&small);
    }
}

TEST(cancel, a_request_that_comes_with_the_permit_loses_no_permit)
{
    /* The holder releases and cancels the waiter at once: whoever is first, the permit is there in the end. */
    FOR_SEEDS(options) {
        coir_semaphore *semaphore = coir_semaphore_new(1);
        coir_fiber *waiter = NULL, *third = NULL;
        coir_io *body = coir_sequence(COIR_IOS(
            coir_acquire(semaphore, 1), queueing(coir_with_permits(semaphore, 1, coir_yield()), &waiter),
            queueing(coir_with_permits(semaphore, 1, coir_unit()), &third), coir_release(semaphore, 1), canceling(&waiter), joining(&third)));
        CHECK_STR(simulated(options, body), "OK 0");
        CHECK_INT(coir_semaphore_available(semaphore), 1);
        coir_semaphore_drop(semaphore);
        drop_handle(&waiter);
        drop_handle(&third);
    }
}

TEST(cancel, one_that_never_began_ends_without_running)
{
    FOR_SEEDS(options) {
        coir_fiber *fiber = NULL;
        coir_io *io = coir_then(forking(noting("ran"), &fiber), canceling(&fiber));
        io = coir_then(io, coir_suspend(wait_placed, &fiber));
        options->policy = COIR_SIM_IN_TURN;
        options->budget = COIR_BUDGET_NONE;
        options->workers = 1;
        CHECK_STR(simulated(options, io), "OK [<CANCELED 0>]");
        CHECK_STR(notes(), "");
        drop_handle(&fiber);
    }
}

TEST(cancel, oneself_at_the_next_instruction)
{
    FOR_SEEDS(options) {
        CHECK_STR(simulated(options, coir_sequence(COIR_IOS(noting("before"), coir_cancel_self(), noting("after")))), "CANCELED 0");
        CHECK_STR(notes(), "before");
    }
}

TEST(cancel, a_request_that_no_instruction_met_leaves_no_trace)
{
    FOR_SEEDS(options)
        CHECK_STR(simulated(options, coir_map(coir_cancel_self(), NULL, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_cancel_self()), "OK 0");
}

TEST(cancel, a_loop_that_never_waits_is_canceled)
{
    FOR_WORKERS(workers, 1, 2) {
        coir_fiber *fiber = NULL;
        coir_io *io = coir_then(forking(coir_forever(coir_unit()), &fiber), canceling(&fiber));
        CHECK_STR(outcome(workers, coir_then(io, coir_suspend(wait_placed, &fiber))), "OK [<CANCELED 0>]");
        drop_handle(&fiber);
    }
}

/* Until all three handles are there. */
static bool some_are_missing(void *fibers_, const coir_value *value)
{
    coir_fiber **fibers = fibers_;
    (void)value;
    return fibers[0] == NULL || fibers[1] == NULL || fibers[2] == NULL;
}

TEST(cancel, in_a_ring_of_cancels_all_end)
{
    FOR_SEEDS(options) {
        coir_fiber *fibers[3] = { NULL };
        coir_io *ios[3];
        for (int i = 0; i < 3; i++)
            ios[i] = forking(coir_then(coir_while(coir_yield(), some_are_missing, fibers), canceling(&fibers[(i + 1) % 3])), &fibers[i]);
        CHECK_STR(simulated(options, coir_sequence(3, ios)), "OK 0");
        for (int i = 0; i < 3; i++) {
            CHECK_INT(coir_fiber_status(fibers[i]), COIR_ENDED);
            drop_handle(&fibers[i]);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------- masks */

TEST(cancel, a_mask_shields_and_the_request_is_seen_behind_it)
{
    FOR_SEEDS(options) {
        coir_fiber *fiber = NULL;
        coir_io *masked = coir_uncancelable(coir_sequence(COIR_IOS(coir_cancel_self(), noting("masked"), coir_yield(), noting("still"))));
        CHECK_STR(simulated(options, canceled(coir_then(coir_then(coir_sleep(coir_ms(1)), coir_unit()), coir_unit()), &fiber)),
                  "OK [<CANCELED 0>]");
        drop_handle(&fiber);
        CHECK_STR(simulated(options, coir_sequence(COIR_IOS(masked, noting("behind")))), "CANCELED 0");
        CHECK_STR(notes(), "masked still");
    }
}

TEST(cancel, masks_count_and_cancelable_takes_one_off)
{
    FOR_SEEDS(options) {
        coir_io *open = coir_finally(coir_cancelable(noting("open")), noting("f1"));
        CHECK_STR(simulated(options, coir_uncancelable(coir_then(coir_cancel_self(), open))), "CANCELED 0");
        CHECK_STR(notes(), "f1");
        coir_io *shut = coir_cancelable(noting("shut"));
        CHECK_STR(simulated(options, coir_uncancelable(coir_uncancelable(coir_then(coir_cancel_self(), shut)))), "OK 0");
        CHECK_STR(notes(), "shut");
    }
}

TEST(cancel, a_mask_inside_cancelable_hides_a_time_out_that_was_opened_outside_of_both)
{
    FOR_SEEDS(options) {
        coir_io *inner = coir_uncancelable(coir_then(coir_sleep(coir_ms(20)), noting("masked")));
        coir_io *open = coir_cancelable(coir_then(inner, noting("open")));
        CHECK_STR(simulated(options, coir_uncancelable(coir_timeout_to(open, coir_ms(5), coir_pure(coir_int(7))))), "OK 7");
        CHECK_STR(notes(), "masked");
        coir_io *after = coir_then(coir_cancelable(coir_unit()), coir_then(coir_sleep(coir_ms(20)), noting("late")));
        CHECK_STR(simulated(options, coir_uncancelable(coir_timeout_to(after, coir_ms(5), coir_pure(coir_int(7))))), "OK 7");
        CHECK_STR(notes(), "");
    }
}

TEST(cancel, who_is_forked_in_a_mask_begins_unmasked)
{
    FOR_SEEDS(options) {
        coir_fiber *fiber = NULL;
        CHECK_STR(simulated(options, coir_uncancelable(canceled(coir_then(coir_defer(tell_mask, NULL), coir_never()), &fiber))), "OK [<CANCELED 0>]");
        CHECK_STR(notes(), "not");
        drop_handle(&fiber);
    }
}

TEST(cancel, in_a_finalizer_cancelable_changes_nothing)
{
    FOR_SEEDS(options) {
        coir_io *finalizer = coir_sequence(COIR_IOS(coir_cancelable(noting("one")), coir_cancelable(coir_yield()), noting("two")));
        CHECK_STR(simulated(options, coir_finally(coir_then(coir_cancel_self(), coir_never()), finalizer)), "CANCELED 0");
        CHECK_STR(notes(), "one two");
    }
}

/* --------------------------------------------------------------------------------------------------------- time-outs */

TEST(cancel, a_time_out_cancels_runs_finalizers_and_is_an_error)
{
    FOR_SEEDS(options) {
        coir_io *io = coir_timeout(coir_finally(coir_never(), noting("finalizer")), coir_ms(5));
        coir_result result = coir_sim_run(io, options);
        CHECK_TAG(result, COIR_ERROR);
        CHECK_INT(coir_error_code(&result.value), COIR_TIMEOUT);
        coir_result_drop(&result);
        CHECK_STR(notes(), "finalizer");
    }
}

TEST(cancel, a_time_out_that_is_not_needed_costs_no_timer)
{
    coir_sim_figures figures;
    CHECK_STR(simulated(COIR_SIM_OPTIONS(.figures = &figures), coir_timeout(coir_pure(coir_int(3)), coir_ms(5))), "OK 3");
    CHECK_INT(figures.elapsed.ns, 0);
}

TEST(cancel, time_outs_nest_in_any_order)
{
    static const struct { int64_t inner, outer; const char *out; } cases[] = {
        { 5, 10, "OK 1" }, { 10, 5, "OK 2" }, { 5, 5, "OK 2" }, { 20, 30, "OK 0" }, { 30, 20, "OK 0" }, { 0, 5, "OK 1" }, { 5, 0, "OK 2" },
    };
    FOR_SEEDS(options)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            CASE("seed %llu, %lld in %lld", (unsigned long long)options->seed, (long long)cases[i].inner, (long long)cases[i].outer);
            coir_io *inner = coir_timeout_to(coir_then(coir_sleep(coir_ms(15)), coir_pure(coir_int(0))), coir_ms(cases[i].inner),
                                             coir_pure(coir_int(1)));
            CHECK_STR(simulated(options, coir_timeout_to(inner, coir_ms(cases[i].outer), coir_pure(coir_int(2)))), cases[i].out);
        }
}

TEST(cancel, the_value_wins_over_the_deadline)
{
    /* What the waiter gets and the deadline are due at one moment: whichever is first, nothing is lost. */
    FOR_SEEDS(options) {
        coir_semaphore *semaphore = coir_semaphore_new(1);
        coir_fiber *fiber = NULL;
        coir_io *waiter = coir_timeout_to(coir_as(coir_acquire(semaphore, 1), coir_int(1)), coir_ms(5), coir_pure(coir_int(0)));
        coir_io *io = coir_sequence(COIR_IOS(coir_acquire(semaphore, 1), queueing(waiter, &fiber), coir_sleep(coir_ms(5)),
                                             coir_release(semaphore, 1), joining(&fiber)));
        coir_result result = coir_sim_run(io, options);
        CHECK_TAG(result, COIR_OK);
        CHECK_INT(coir_semaphore_available(semaphore), 1 - result.value.i64);
        coir_semaphore_drop(semaphore);
        drop_handle(&fiber);
    }
}

TEST(cancel, a_limit_that_is_negative_is_none_and_one_beyond_all_time_never_comes)
{
    static const int64_t passed[] = { 0, -1, INT64_MIN };
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        CHECK_EVERYWHERE(coir_timeout(noting("begun"), coir_ns(passed[i])), "ERROR code -1001", "");
        CHECK_STR(message_of(1, coir_timeout(coir_unit(), coir_ns(passed[i]))), "coir_timeout: it was not begun: the limit is zero or less");
        CHECK_EVERYWHERE(coir_timeout_to(noting("begun"), coir_ns(passed[i]), noting("instead")), "OK 0", "instead");
    }
    CHECK_EVERYWHERE(coir_timeout(coir_then(coir_yield(), noting("begun")), coir_ns(INT64_MAX)), "OK 0", "begun");
    CHECK_EVERYWHERE(coir_timeout(coir_timeout(coir_sleep(coir_ms(2)), coir_ns(INT64_MAX)), coir_seconds(INT64_MAX)), "OK 0", "");
}

TEST(cancel, a_time_out_inside_a_mask_works_and_one_outside_waits)
{
    FOR_SEEDS(options) {
        coir_io *slow = coir_then(coir_sleep(coir_ms(20)), coir_now());
        CHECK_STR(simulated(options, coir_uncancelable(coir_timeout_to(slow, coir_ms(5), coir_pure(coir_int(7))))), "OK 7");
        coir_io *masked = coir_uncancelable(coir_then(coir_sleep(coir_ms(20)), noting("slept")));
        CHECK_STR(simulated(options, coir_timeout_to(coir_then(masked, noting("behind")), coir_ms(5), coir_now())), "OK 20000000");
        CHECK_STR(notes(), "slept");
    }
}

TEST(cancel, a_cancel_that_comes_while_a_time_out_unwinds_is_what_counts)
{
    FOR_SEEDS(options) {
        coir_fiber *fiber = NULL;
        coir_io *slow = coir_finally(coir_never(), coir_then(coir_sleep(coir_ms(10)), noting("unwound")));
        coir_io *io = coir_timeout_to(slow, coir_ms(5), noting("instead"));
        io = coir_sequence(COIR_IOS(queueing(io, &fiber), coir_sleep(coir_ms(8)), canceling(&fiber), coir_suspend(wait_placed, &fiber)));
        CHECK_STR(simulated(options, io), "OK [<CANCELED 0>]");
        CHECK_STR(notes(), "unwound");
        drop_handle(&fiber);
    }
}

TEST(cancel, a_panic_while_a_time_out_unwinds_counts_for_more)
{
    FOR_SEEDS(options) {
        coir_io *io = coir_timeout(coir_finally(coir_never(), coir_panicf("broken")), coir_ms(5));
        CHECK_STR(simulated(options, io), "PANIC MISUSE also(ERROR code -1001)");
        io = coir_timeout_to(coir_finally(coir_never(), coir_fail(coir_int(3))), coir_ms(5), coir_pure(coir_int(1)));
        CHECK_STR(simulated(options, io), "ERROR 3");
    }
}

TEST(cancel, a_borrowed_time_out_runs_many_times)
{
    FOR_SEEDS(options) {
        coir_io *io = coir_timeout_to(coir_sleep(coir_ms(10)), coir_ms(5), coir_unit());
        CHECK_STR(simulated(options, coir_then(waited(2, (coir_io *[]){ coir_io_ref(io), coir_repeat(io, 3) }), coir_now())),
                  "OK 15000000");
    }
}

/* ---------------------------------------------------------------------------------------------- runs, and their other ends */

TEST_REAL(cancel, a_fiber_of_another_run_is_canceled_too, "a sleep waits for a real thread")
{
    FOR_WORKERS(workers, 1, 2) {
        struct gate begun = GATE;
        struct other_run other;
        coir_fiber *fiber = NULL;
        coir_io *long_sleep = coir_finally(coir_sleep(coir_seconds(1000)), noting("theirs"));
        coir_io *theirs = coir_sequence(COIR_IOS(queueing(long_sleep, &fiber), opening(&begun), joining(&fiber)));
        other_run_begin(&other, COIR_OPTIONS(.workers = workers), coir_attempt(theirs));
        CHECK_STR(outcome(workers, coir_then(passing(&begun), canceling(&fiber))), "OK 0");
        CHECK_INT(coir_fiber_status(fiber), COIR_ENDED);
        coir_result result = other_run_end(&other);
        CHECK_STR(describe(&result), "OK <ERROR CHILD_CANCELED>");
        coir_result_drop(&result);
        CHECK_STR(notes(), "theirs");
        drop_handle(&fiber);
    }
}

TEST_REAL(cancel, from_a_thread_that_is_no_worker, "a sleep waits for a real thread")
{
    FOR_WORKERS(workers, 1, 2) {
        struct gate begun = GATE;
        struct other_run other;
        coir_fiber *fiber = NULL;
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_sleep(coir_seconds(1000)), &fiber), opening(&begun), coir_suspend(wait_placed, &fiber)));
        other_run_begin(&other, COIR_OPTIONS(.workers = workers), io);
        while (!gate_is_open(&begun))
            sched_yield();
        coir_fiber_cancel(fiber);
        coir_result result = other_run_end(&other);
        CHECK_STR(describe(&result), "OK [<CANCELED 0>]");
        coir_result_drop(&result);
        coir_fiber_cancel(fiber);
        coir_fiber_cancel(NULL);
        drop_handle(&fiber);
    }
}

TEST(cancel, the_rest_is_canceled_when_the_main_fiber_has_ended_if_that_was_asked_for)
{
    static const coir_options rest = { .size = sizeof rest, .cancel_rest = true };
    FOR_SEEDS(options) {
        options->run = &rest;
        coir_io *late = coir_finally(coir_never(), coir_then(coir_yield(), coir_fork(noting("forked too late"))));
        coir_fiber *fiber = NULL;
        CHECK_STR(simulated(options, coir_then(queueing(late, &fiber), coir_pure(coir_int(4)))), "OK 4");
        CHECK_STR(notes(), "");
        CHECK_INT(coir_fiber_status(fiber), COIR_ENDED);
        drop_handle(&fiber);
    }
}

/* ------------------------------------------------------------------------------------------------------- bad input */

TEST(cancel, what_is_no_fiber_has_a_clear_answer)
{
    coir_value number = coir_int(3), none_at_all = coir_list(0, NULL);
    CHECK_STR(outcome(1, coir_cancel(NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_cancel_nowait(NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_cancel_all(NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_cancel_all(&number)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_cancel_all(&none_at_all)), "OK 0");
    CHECK_STR(outcome(1, coir_uncancelable(NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_cancelable(NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_timeout(NULL, coir_ms(1))), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_timeout_to(NULL, coir_ms(1), coir_unit())), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_timeout_to(coir_unit(), coir_ms(1), NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_timeout(coir_pure(coir_int(1)), coir_ns(INT64_MAX))), "OK 1");
    CHECK(!coir_is_masked());
    CHECK(!coir_is_canceling());
    coir_drop(none_at_all);
}

TEST(cancel, all_of_a_list_are_asked_before_the_first_is_waited_for)
{
    FOR_SEEDS(options) {
        coir_fiber *first = NULL, *second = NULL;
        /* The first one's finalizer waits until the second has ended: that would be for ever if the second were asked later. */
        coir_io *waits = coir_finally(coir_never(), coir_attempt(joining(&second)));
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_never(), &second), queueing(waits, &first)));
        CHECK_STR(simulated(options, coir_then(io, coir_suspend(cancel_two, (coir_fiber **[]){ &first, &second }))), "OK 0");
        drop_handle(&first);
        drop_handle(&second);
    }
}

/* Who has the one permit keeps it, and waits. All others wait for it. */
struct queue { coir_semaphore *one; atomic_int came, served; };

static coir_io *in_queue(struct queue *queue)
{
    return coir_then(counting(&queue->came), coir_with_permits(queue->one, 1, coir_then(counting(&queue->served), coir_never())));
}

enum { QUEUED = 5000 };

static coir_io *fork_one(void *queue, size_t index) { (void)index; return coir_fork(in_queue(queue)); }
static bool is_coming(void *queue_, const coir_value *value)
{
    const struct queue *queue = queue_;
    (void)value;
    return queue->came < QUEUED || queue->served == 0;
}
static coir_io *until_quiet(struct queue *queue) { return coir_then(coir_while(coir_yield(), is_coming, queue), coir_sleep(coir_ms(2))); }
static coir_io *cancel_them(void *queue, coir_value *fibers) { return coir_then(until_quiet(queue), coir_cancel_all(fibers)); }

TEST_REAL(cancel, what_one_of_many_gives_back_when_it_is_called_off_none_of_the_others_takes, "a request is one step of a simulation")
{
    FOR_WORKERS(workers, 2, 4)
        for (int round = 0; round < scaled(40); round++) {
            CASE("round %d", round);
            struct queue queue = { .one = coir_semaphore_new(1) };
            CHECK_STR(outcome(workers, coir_flat_map(copies_of(QUEUED, in_queue(&queue)), cancel_them, &queue)), "OK 0");
            CHECK_INT(atomic_load(&queue.served), 1);
            queue.came = queue.served = 0;
            coir_io *members = coir_then(coir_traverse(QUEUED, fork_one, &queue), until_quiet(&queue));
            CHECK_STR(outcome(workers, coir_scope(coir_then(members, coir_fail(coir_int(1))))), "ERROR 1");
            CHECK_INT(atomic_load(&queue.served), 1);
            coir_semaphore_drop(queue.one);
        }
}

TEST(cancel, callbacks_can_ask_how_it_stands)
{
    coir_io *tell = coir_defer(tell_mask, NULL);
    coir_io *masked = coir_uncancelable(coir_sequence(COIR_IOS(coir_io_ref(tell), coir_cancel_self(), coir_io_ref(tell))));
    CHECK_STR(outcome(1, coir_finally(coir_then(coir_io_ref(tell), masked), tell)), "OK 0");
    CHECK_STR(notes(), "not masked not masked canceling masked canceling");
}
