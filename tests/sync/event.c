/*
 * event.c - tests of the event: who waits goes on when it is set, whoever sets it; and of what objects of this kind have in common: runs, threads,
 * abandonment, alternatives
 */
#include "ways.h"

static coir_result set_it(void *event)   { return coir_ok(coir_bool(coir_event_set(event))); }
static coir_result clear_it(void *event) { return coir_ok(coir_bool(coir_event_clear(event))); }
static coir_io *setting(coir_event *event)  { return coir_defer(set_it, event); }
static coir_io *clearing(coir_event *event) { return coir_defer(clear_it, event); }

static coir_result set_and_clear(void *event) { return coir_ok(coir_bool(coir_event_set(event) && coir_event_clear(event))); }

/* -------------------------------------------------------------------------------------------------------- set and clear */

TEST(event, all_who_wait_go_on_when_it_is_set)
{
    FOR_WAYS(way) {
        enum { WAITERS = 5 };
        coir_event *event = coir_event_new();
        coir_fiber *fibers[WAITERS] = { NULL };
        coir_io *ios[2 * WAITERS + 2];
        size_t count = 0;
        for (size_t i = 0; i < WAITERS; i++)
            ios[count++] = queueing(coir_then(coir_event_wait(event), noting("on")), &fibers[i]);
        ios[count++] = noting("set");
        ios[count++] = setting(event);
        for (size_t i = 0; i < WAITERS; i++)
            ios[count++] = joining(&fibers[i]);
        CHECK_STR(outcome_in(way, coir_sequence(count, ios)), "OK 0");
        CHECK_STR(notes(), "set on on on on on");
        CHECK(coir_event_is_set(event));
        fibers_drop(WAITERS, fibers);
        coir_event_drop(event);
    }
}

TEST(event, set_one_holds_nobody_back_until_it_is_cleared)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        coir_fiber *waiter = NULL;
        CHECK(!coir_event_is_set(event));
        CHECK(coir_event_set(event));
        CHECK_STR(outcome_in(way, coir_repeat(coir_event_wait(event), 3)), "OK 0");
        CHECK(coir_event_clear(event));
        CHECK(!coir_event_is_set(event));
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_then(coir_event_wait(event), noting("on")), &waiter), coir_repeat(coir_yield(), 5),
                                             noting("set"), setting(event), joining(&waiter)));
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK_STR(notes(), "set on");
        fibers_drop(1, &waiter);
        coir_event_drop(event);
    }
}

TEST(event, setting_it_again_and_clearing_it_again_change_nothing)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(clearing(event), setting(event), setting(event), coir_event_wait(event), clearing(event),
                                                    clearing(event)))),
                  "OK [1 1 1 0 1 1]");
        CHECK(!coir_event_is_set(event));
        coir_event_drop(event);
    }
}

TEST(event, who_was_woken_goes_on_though_it_is_cleared_at_once)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        coir_fiber *fibers[2] = { NULL };
        coir_io *shared = coir_event_wait(event);
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_io_ref(shared), &fibers[0]), queueing(shared, &fibers[1]),
                                             coir_defer(set_and_clear, event), joining(&fibers[0]), joining(&fibers[1])));
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK(!coir_event_is_set(event));
        fibers_drop(2, fibers);
        coir_event_drop(event);
    }
}

/* Two fibers by turns, each with an event of its own: plain memory goes between them. */
struct turns { coir_event *mine, *other; int64_t *ball; int rounds; };
static coir_io *turns_step(coir_routine *self)
{
    COIR_BEGIN(self, struct turns, my);
    for (; my->rounds > 0; my->rounds--) {
        COIR_AWAIT(coir_event_wait(my->mine));
        coir_event_clear(my->mine);
        ++*my->ball;
        coir_event_set(my->other);
    }
    COIR_END;
}

TEST(event, what_was_done_before_it_was_set_is_seen_by_who_waited)
{
    FOR_WAYS(way) {
        coir_event *events[2] = { coir_event_new(), coir_event_new() };
        int64_t ball = 0;
        coir_event_set(events[0]);
        coir_io *first = coir_do(turns_step, COIR_ENV(struct turns, .mine = events[0], .other = events[1], .ball = &ball, .rounds = 50));
        coir_io *second = coir_do(turns_step, COIR_ENV(struct turns, .mine = events[1], .other = events[0], .ball = &ball, .rounds = 50));
        CHECK_STR(outcome_in(way, coir_both(first, second)), "OK [0 0]");
        CHECK_INT(ball, 100);
        coir_event_drop(events[0]);
        coir_event_drop(events[1]);
    }
}

TEST(event, NULL_is_harmless)
{
    CHECK_PTR(coir_event_ref(NULL), NULL);
    coir_event_drop(NULL);
    CHECK(!coir_event_set(NULL));
    CHECK(!coir_event_clear(NULL));
    CHECK(!coir_event_is_set(NULL));
    CHECK(!coir_event_expose(NULL));
    CHECK_UINT(coir_event_id(NULL), 0);
    CHECK_PTR(coir_event_wait(NULL), NULL);
}

/* ------------------------------------------------------------------------------------------------------------ canceled */

TEST(event, who_is_canceled_leaves_and_the_others_wait_on)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        coir_fiber *fibers[3] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_finally(coir_event_wait(event), noting("finalizer")), &fibers[0]),
                                             queueing(coir_then(coir_event_wait(event), noting("on")), &fibers[1]), canceling(&fibers[0]),
                                             coir_repeat(coir_yield(), 3), setting(event), joining(&fibers[1]), looking(&fibers[0])));
        CHECK_STR(outcome_in(way, io), "OK <CANCELED 0>");
        CHECK_STR(notes(), "finalizer on");
        fibers_drop(2, fibers);
        coir_event_drop(event);
    }
}

TEST(event, a_wait_that_is_timed_out_may_be_begun_again)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        coir_io *hasty = coir_or_else(coir_timeout(coir_event_wait(event), coir_us(20)), noting("late"));
        CHECK_STR(outcome_in(way, coir_sequence(COIR_IOS(hasty, setting(event), coir_event_wait(event)))), "OK 0");
        CHECK_STR(notes(), "late");
        coir_event_drop(event);
    }
}

/* Whichever comes first: who is canceled when it is set has either gone on or not, and the others have. */
TEST(event, a_request_that_comes_as_it_is_set_keeps_nobody_waiting)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_event_wait(event), &fibers[0]), queueing(coir_event_wait(event), &fibers[1]),
                                             coir_both(canceling(&fibers[0]), setting(event)), joining(&fibers[1])));
        CHECK_STR(outcome_in(way, io), "OK 0");
        fibers_drop(2, fibers);
        coir_event_drop(event);
    }
}

/* ------------------------------------------------------------------------------------------- nobody could ever set it */

static coir_result give_up(void *place)
{
    coir_event_drop(*(coir_event **)place);
    return coir_ok(coir_none());
}

TEST(event, waiting_in_a_silent_run_is_a_panic_that_names_it)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        coir_result result = run_in(way, coir_named(coir_event_wait(event), "patient"));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), spelled("'patient' waits for event %ju", (uintmax_t)coir_event_id(event)));
        coir_result_drop(&result);
        coir_event_drop(event);
    }
}

TEST(event, that_panic_says_what_would_let_others_end_the_wait_if_there_is_such_a_thing)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        coir_latch *latch = coir_latch_new(1);
        coir_deferred *deferred = coir_deferred_new();
        coir_barrier *barrier = coir_barrier_new(2);
        coir_channel *channel = coir_channel_new(0);
        coir_queue *queue = coir_queue_new(1, COIR_FULL_WAIT);
        coir_semaphore *permits = coir_semaphore_new_bounded(0, 1);
        struct { coir_io *io; const char *exposed_by; } const cases[] = {
            { coir_event_wait(event), "coir_event_expose" },
            { coir_latch_wait(latch), "coir_latch_expose" },
            { coir_deferred_get(deferred), "coir_deferred_expose" },
            { coir_barrier_wait(barrier), "coir_barrier_expose" },
            { coir_receive(channel), "coir_channel_expose" },
            { coir_send(channel, coir_none()), "coir_channel_expose" },
            { coir_queue_get(queue), "coir_queue_expose" },
            { coir_acquire(permits, 1), NULL },
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            const char *message = message_in(way, cases[i].io), *hint = strstr(message, "end the wait");
            CHECK(hint != NULL);
            CHECK_STR(hint, cases[i].exposed_by == NULL ? "end the wait" : spelled("end the wait (threads and other runs could, after %s())", cases[i].exposed_by));
        }
        coir_event_drop(event);
        coir_latch_drop(latch);
        coir_deferred_drop(deferred);
        coir_barrier_drop(barrier);
        coir_channel_drop(channel);
        coir_queue_drop(queue);
        coir_semaphore_drop(permits);
    }
}

TEST(event, waiters_that_alone_are_left_are_woken_with_a_panic_that_names_it)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        const char *number = spelled("coir_event_wait: abandoned: fiber"), *id = spelled("event %ju", (uintmax_t)coir_event_id(event));
        coir_fiber *waiter = NULL;
        struct gate gate;
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_event_wait(event), &waiter), coir_defer(give_up, &event), joining(&waiter)));
        coir_result result = run_in(way, not_silent(&gate, io));
        CHECK_CODE(result, COIR_PANIC, COIR_ABANDONED);
        CHECK_CONTAINS(coir_error_message(&result.value), number);
        CHECK_CONTAINS(coir_error_message(&result.value), id);
        coir_result_drop(&result);
        fibers_drop(1, &waiter);
    }
}

TEST(event, who_would_begin_to_wait_with_the_last_reference_is_refused_at_once)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        struct gate gate;
        coir_io *wait = coir_event_wait(event);
        coir_event_drop(event);
        CHECK_STR(outcome_in(way, not_silent(&gate, wait)), "PANIC ABANDONED");
    }
}

TEST(event, waiters_of_a_run_that_is_stopped_leave_it_as_it_was)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_event *event = coir_event_new();
        coir_io *ios[] = { coir_event_wait(event), coir_then(coir_event_wait(event), coir_pure(thing(1))) };
        coir_result result = coir_run(waited(2, ios), COIR_OPTIONS(.workers = workers, .on_deadlock = COIR_DEADLOCK_STOP));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_STR(notes(), "-1");
        CHECK(coir_event_set(event));
        CHECK_STR(outcome(workers, coir_event_wait(event)), "OK 0");
        coir_event_drop(event);
    }
}

/* ------------------------------------------------------------------------------------------------- other runs, threads */

TEST(event, another_run_and_a_thread_are_refused_while_fibers_wait_for_it)
{
    FOR_SCHEDULES(options) {
        coir_event *event = coir_event_new();
        struct elsewhere elsewhere;
        waits_elsewhere(&elsewhere, options, coir_event_wait(event));
        CHECK(!coir_event_set(event));
        CHECK(!coir_event_clear(event));
        CHECK(!coir_event_is_set(event));
        coir_result result = coir_run(coir_event_wait(event), options);
        CHECK_CODE(result, COIR_ERROR, COIR_REFUSED);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_event_wait");
        coir_result_drop(&result);
        CHECK_STR(outcome_under(options, setting(event)), "OK 0");
        coir_fiber_cancel(elsewhere.fiber);
        gate_open(&elsewhere.silence);
        waits_elsewhere_end(&elsewhere);
        CHECK(coir_event_set(event));
        CHECK_STR(outcome_under(options, coir_event_wait(event)), "OK 0");
        coir_event_drop(event);
    }
}

TEST(event, exposed_one_serves_fibers_of_any_run_and_threads)
{
    FOR_SCHEDULES(options) {
        coir_event *event = coir_event_new();
        struct elsewhere first, second;
        CHECK(coir_event_expose(event));
        waits_elsewhere(&first, options, coir_event_wait(event));
        waits_elsewhere(&second, options, coir_event_wait(event));
        CHECK(coir_event_set(event));
        CHECK_STR(waits_elsewhere_end(&first), "OK 0");
        CHECK_STR(waits_elsewhere_end(&second), "OK 0");
        CHECK(coir_event_clear(event));
        waits_elsewhere(&first, options, coir_event_wait(event));
        CHECK_STR(outcome_under(options, setting(event)), "OK 1");
        CHECK_STR(waits_elsewhere_end(&first), "OK 0");
        coir_event_drop(event);
    }
}

static void *set_main(void *event)
{
    coir_event_set(event);
    coir_event_drop(event);
    return NULL;
}

/* Nothing else goes on in the run: a verdict would be mistaken. */
TEST(event, who_waits_for_an_exposed_one_is_never_found_to_wait_in_vain)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(200); round++) {
            enum { WAITERS = 4 };
            coir_event *event = coir_event_new();
            coir_io *ios[WAITERS];
            pthread_t thread;
            CHECK(coir_event_expose(event));
            for (size_t i = 0; i < WAITERS; i++)
                ios[i] = coir_then(coir_repeat(coir_yield(), (uint64_t)(round % 7) * i), coir_event_wait(event));
            CHECK_INT(pthread_create(&thread, NULL, set_main, coir_event_ref(event)), 0);
            CHECK_STR(outcome(workers, coir_zip(WAITERS, ios)), "OK [0 0 0 0]");
            CHECK_INT(pthread_join(thread, NULL), 0);
            coir_event_drop(event);
        }
}

TEST(event, it_can_be_exposed_before_its_first_use_only)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new(), *fresh = coir_event_new();
        coir_fiber *waiter = NULL;
        CHECK_STR(outcome_in(way, coir_then(queueing(coir_event_wait(event), &waiter), canceling(&waiter))), "OK 0");
        CHECK(!coir_event_expose(event));
        fibers_drop(1, &waiter);
        CHECK(coir_event_set(fresh));                   /* by a thread that is no worker: it is used by no run */
        CHECK(coir_event_expose(fresh));
        coir_event_drop(event);
        coir_event_drop(fresh);
    }
}

/* -------------------------------------------------------------------------------------------------------- alternatives */

static coir_io *note_name(void *name, coir_value *value) { (void)value; note("%s", (const char *)name); return coir_unit(); }
static coir_io *either(coir_event *first, coir_event *second)
{
    return coir_alt(COIR_CASES(coir_on(coir_event_wait(first), note_name, (void *)(uintptr_t)"first"),
                               coir_on(coir_event_wait(second), note_name, (void *)(uintptr_t)"second")));
}

TEST(event, as_a_case_it_goes_when_it_is_set_before_or_while_the_alternative_waits)
{
    FOR_WAYS(way) {
        coir_event *first = coir_event_new(), *second = coir_event_new();
        coir_fiber *waiter = NULL;
        CHECK_STR(outcome_in(way, coir_sequence(COIR_IOS(queueing(either(first, second), &waiter), setting(second), joining(&waiter)))), "OK 0");
        CHECK_STR(notes(), "second");
        CHECK_STR(outcome_in(way, either(first, second)), "OK 0");
        CHECK_STR(notes(), "second");
        coir_event_set(first);
        CHECK_STR(outcome_in(way, either(first, second)), "OK 0");
        CHECK_STR(notes(), "first");
        fibers_drop(1, &waiter);
        coir_event_drop(first);
        coir_event_drop(second);
    }
}

TEST(event, as_a_case_it_takes_nothing_from_the_others)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        coir_channel *channel = coir_channel_new(2);
        coir_semaphore *semaphore = coir_semaphore_new(1);
        coir_fiber *waiter = NULL, *sender = NULL;
        coir_io *three = coir_alt(COIR_CASES(coir_on(coir_receive(channel), NULL, NULL), coir_on(coir_event_wait(event), NULL, NULL),
                                             coir_on(coir_acquire(semaphore, 1), NULL, NULL)));
        coir_io *io = coir_sequence(COIR_IOS(
            coir_acquire(semaphore, 1), queueing(three, &waiter), forking(coir_send(channel, thing(7)), &sender), setting(event),
            coir_release(semaphore, 1), looking(&waiter), joining(&sender)));
        CHECK_STR(outcome_in(way, io), "OK 0");
        /* Whichever it was, the item is either received or still inside, the permit either taken or not. */
        coir_result result = run_in(way, looking(&waiter));
        const char *ended = describe(&result);
        bool received = strcmp(ended, "OK <OK thing 7>") == 0;
        coir_result_drop(&result);
        CHECK(received || strcmp(ended, "OK <OK 0>") == 0);
        CHECK_UINT(coir_channel_size(channel) + (received ? 1 : 0), 1);
        CHECK(coir_semaphore_available(semaphore) == 1 || (!received && coir_semaphore_available(semaphore) == 0));
        fibers_drop(1, &waiter);
        fibers_drop(1, &sender);
        coir_event_drop(event);
        coir_channel_drop(channel);
        coir_semaphore_drop(semaphore);
        CHECK_STR(notes(), "-7");
    }
}

TEST(event, an_alternative_that_ends_otherwise_waits_for_it_no_more)
{
    FOR_WAYS(way) {
        coir_event *event = coir_event_new();
        coir_fiber *waiter = NULL;
        coir_io *sleeper = coir_alt(COIR_CASES(coir_on(coir_event_wait(event), NULL, NULL), coir_on(coir_sleep(coir_ns(5)), NULL, NULL)));
        coir_io *canceled = coir_alt(COIR_CASES(coir_on(coir_event_wait(event), NULL, NULL), coir_on(coir_sleep(coir_minutes(60)), NULL, NULL)));
        coir_io *io = coir_sequence(COIR_IOS(sleeper, queueing(canceled, &waiter), canceling(&waiter), setting(event), looking(&waiter)));
        CHECK_STR(outcome_in(way, io), "OK <CANCELED 0>");
        fibers_drop(1, &waiter);
        coir_event_drop(event);
    }
}
