/*
 * deferred.c - tests of the deferred: one result, once, for all who ask
 */
#include "ways.h"

/* Puts what its env says. */
struct putter { coir_deferred *deferred; coir_result result; };
static coir_result put_it(void *putter_)
{
    struct putter *putter = putter_;
    return coir_ok(coir_bool(coir_deferred_put(putter->deferred, coir_result_take(&putter->result))));
}
static coir_io *putting_it(struct putter *putter) { return coir_defer(put_it, putter); }

static coir_io *getting(coir_deferred *deferred) { return coir_deferred_get(deferred); }

/* ------------------------------------------------------------------------------------------------------------ put, get */

TEST(deferred, the_result_is_for_all_who_wait_and_all_who_come_later)
{
    static const struct { coir_tag tag; const char *ended; } kinds[] = {
        { COIR_OK, "OK thing 1" }, { COIR_ERROR, "ERROR thing 1" }, { COIR_PANIC, "PANIC thing 1" }
    };
    FOR_WAYS(way)
        for (size_t i = 0; i < 3; i++) {
            coir_deferred *deferred = coir_deferred_new();
            coir_fiber *fibers[2] = { NULL };
            struct putter putter = { deferred, coir_result_of(kinds[i].tag, thing(1)) };
            coir_io *shared = getting(deferred);
            const char *each = spelled("<%s>", kinds[i].ended);
            CHECK(!coir_deferred_is_set(deferred));
            coir_io *io = coir_zip(COIR_IOS(queueing(coir_io_ref(shared), &fibers[0]), queueing(coir_io_ref(shared), &fibers[1]), putting_it(&putter),
                                            looking(&fibers[0]), looking(&fibers[1]), coir_attempt(shared), coir_attempt(getting(deferred))));
            CHECK_STR(outcome_in(way, io), spelled("OK [0 0 1 %s %s %s %s]", each, each, each, each));
            CHECK(coir_deferred_is_set(deferred));
            CHECK_STR(outcome_in(way, getting(deferred)), kinds[i].ended);
            fibers_drop(2, fibers);
            CHECK_STR(notes(), "");
            coir_deferred_drop(deferred);
            CHECK_STR(notes(), "-1");
        }
}

TEST(deferred, it_is_written_once_and_what_comes_later_is_dropped)
{
    FOR_WAYS(way) {
        coir_deferred *deferred = coir_deferred_new();
        struct putter first = { deferred, coir_ok(thing(1)) }, second = { deferred, coir_raise(thing(2)) };
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(putting_it(&first), putting_it(&second), getting(deferred)))), "OK [1 0 thing 1]");
        CHECK_STR(notes(), "-2");
        CHECK(!coir_deferred_put(deferred, coir_ok(thing(3))));
        CHECK_STR(notes(), "-3");
        coir_deferred_drop(deferred);
        CHECK_STR(notes(), "-1");
    }
}

TEST(deferred, of_many_who_put_at_once_one_does_and_all_get_that)
{
    FOR_WAYS(way) {
        enum { PUTTERS = 5, GETTERS = 3 };
        coir_deferred *deferred = coir_deferred_new();
        coir_io *ios[PUTTERS + GETTERS];
        for (int i = 0; i < PUTTERS; i++)
            ios[i] = coir_putting(deferred, coir_then(coir_yield(), coir_pure(coir_int(100 + i))));
        for (int i = 0; i < GETTERS; i++)
            ios[PUTTERS + i] = getting(deferred);
        coir_result result = run_in(way, coir_par_zip(PUTTERS + GETTERS, ios));
        CHECK_TAG(result, COIR_OK);
        int winners = 0;
        for (size_t i = 0; i < PUTTERS; i++) {
            bool won = coir_list_at(&result.value, i)->flag;
            winners += won;
            for (size_t j = 0; won && j < GETTERS; j++)
                CHECK_INT(coir_list_at(&result.value, PUTTERS + j)->i64, 100 + (int64_t)i);
        }
        CHECK_INT(winners, 1);
        coir_result_drop(&result);
        coir_deferred_drop(deferred);
    }
}

TEST(deferred, a_value_that_stands_for_a_panic_is_a_panic_for_who_gets_it)
{
    coir_deferred *deferred = coir_deferred_new();
    CHECK(coir_deferred_put(deferred, coir_ok(coir_panic_value("no value"))));
    CHECK_STR(outcome(1, getting(deferred)), "PANIC MISUSE");
    CHECK_STR(outcome(1, getting(deferred)), "PANIC MISUSE");
    coir_deferred_drop(deferred);
}

TEST(deferred, a_cancellation_is_an_error_for_who_gets_it)
{
    FOR_WAYS(way) {
        coir_deferred *deferred = coir_deferred_new();
        struct putter putter = { deferred, coir_result_of(COIR_CANCELED, thing(1)) };
        coir_io *io = coir_both(getting(deferred), putting_it(&putter));
        CHECK_CONTAINS(message_in(way, io), spelled("coir_deferred_get: what was to be put into deferred %ju was canceled", (uintmax_t)coir_deferred_id(deferred)));
        CHECK_STR(outcome_in(way, getting(deferred)), "ERROR CHILD_CANCELED");
        CHECK_STR(notes(), "-1");
        coir_deferred_drop(deferred);
    }
}

TEST(deferred, NULL_is_harmless)
{
    CHECK_PTR(coir_deferred_ref(NULL), NULL);
    coir_deferred_drop(NULL);
    CHECK(!coir_deferred_put(NULL, coir_ok(thing(1))));
    CHECK_STR(notes(), "-1");
    CHECK(!coir_deferred_is_set(NULL));
    CHECK(!coir_deferred_expose(NULL));
    CHECK_UINT(coir_deferred_id(NULL), 0);
    CHECK_PTR(coir_deferred_get(NULL), NULL);
    CHECK_PTR(coir_putting(NULL, coir_pure(thing(2))), NULL);
    CHECK_STR(notes(), "-2");
    coir_deferred *deferred = coir_deferred_new();
    CHECK_PTR(coir_putting(deferred, NULL), NULL);
    coir_deferred_drop(deferred);
    coir_value none = coir_deferred_value(NULL);
    CHECK_STR(outcome(1, coir_pure(none)), "PANIC MISUSE");
}

TEST(deferred, handle_as_a_value_is_counted_and_found_again)
{
    coir_deferred *deferred = coir_deferred_new();
    coir_value value = coir_deferred_value(deferred), other = coir_none();
    CHECK_PTR(coir_deferred_of(&value), deferred);
    CHECK_PTR(coir_deferred_of(&other), NULL);
    coir_value shared = coir_share(&value);
    coir_drop(value);
    CHECK(coir_deferred_put(deferred, coir_ok(thing(1))));
    coir_drop(shared);
    CHECK_STR(notes(), "-1");
}

/* ------------------------------------------------------------------------------------------------ what cannot be shared */

TEST(deferred, what_cannot_be_shared_goes_to_one_and_the_others_are_told_its_type)
{
    FOR_WAYS(way) {
        coir_deferred *deferred = coir_deferred_new();
        struct putter putter = { deferred, coir_ok(sole_thing(2)) };
        coir_io *waiters[3];
        for (size_t i = 0; i < 3; i++)
            waiters[i] = coir_then(coir_repeat(coir_yield(), i), getting(deferred));
        coir_result result = run_in(way, coir_then(coir_fork(putting_it(&putter)), waited(3, waiters)));
        CHECK_TAG(result, COIR_OK);
        CHECK_INT(how_many_are(&result.value, COIR_OK), 1);
        for (size_t i = 0; i < 3; i++) {
            coir_result *each = coir_result_in(coir_list_at(&result.value, i));
            if (each->tag == COIR_OK) {
                CHECK_INT(thing_number(&each->value), 2);
                continue;
            }
            CHECK_CODE(*each, COIR_PANIC, COIR_MISUSE);
            CHECK_CONTAINS(coir_error_message(&each->value), "cannot be shared (its type is sole)");
        }
        coir_result_drop(&result);
        CHECK_STR(notes(), "-2");
        coir_deferred_drop(deferred);
        CHECK_STR(notes(), "");
    }
}

TEST(deferred, what_cannot_be_shared_for_want_of_memory_is_a_panic_and_stays)
{
    coir_deferred *deferred = coir_deferred_new();
    CHECK(coir_deferred_put(deferred, coir_ok(starved_thing(1))));
    CHECK_STR(outcome(1, getting(deferred)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, getting(deferred)), "PANIC ENOMEM");
    CHECK_STR(notes(), "");
    coir_deferred_drop(deferred);
    CHECK_STR(notes(), "-1");
}

/* ------------------------------------------------------------------------------------------------------- coir_putting */

TEST(deferred, putting_puts_however_io_ended)
{
    static const struct { coir_tag tag; const char *putter, *getter; } kinds[] = {
        { COIR_OK, "<OK 1>", "<OK 5>" }, { COIR_ERROR, "<OK 1>", "<ERROR 5>" }, { COIR_PANIC, "<OK 1>", "<PANIC 5>" },
        { COIR_CANCELED, "<CANCELED 0>", "<ERROR CHILD_CANCELED>" },
    };
    FOR_WAYS(way)
        for (size_t i = 0; i < 4; i++) {
            coir_deferred *deferred = coir_deferred_new();
            coir_io *io = coir_putting(deferred, coir_then(coir_yield(), kinds[i].tag == COIR_CANCELED ? coir_then(coir_cancel_self(), coir_unit())
                                                                                                   : ending(kinds[i].tag, 5)));
            CHECK_STR(outcome_in(way, waited(COIR_IOS(io, getting(deferred)))), spelled("OK [%s %s]", kinds[i].putter, kinds[i].getter));
            coir_deferred_drop(deferred);
        }
}

TEST(deferred, putting_keeps_what_failed_while_a_cancellation_unwound)
{
    coir_deferred *deferred = coir_deferred_new();
    coir_fiber *fiber = NULL;
    coir_io *io = coir_putting(deferred, coir_finally(coir_never(), coir_panicf("in the finalizer")));
    CHECK_STR(outcome(1, coir_sequence(COIR_IOS(queueing(io, &fiber), canceling(&fiber), looking(&fiber)))), "OK <CANCELED 0 also(PANIC MISUSE)>");
    CHECK_STR(outcome(1, getting(deferred)), "ERROR CHILD_CANCELED");
    fibers_drop(1, &fiber);
    coir_deferred_drop(deferred);
}

TEST(deferred, putting_where_there_is_a_result_drops_its_own_and_says_so)
{
    FOR_WAYS(way) {
        coir_deferred *deferred = coir_deferred_new();
        coir_io *io = coir_putting(deferred, coir_then(coir_yield(), coir_pure(thing(8))));
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_io_ref(io), io, getting(deferred)))), "OK [1 0 thing 8]");
        coir_deferred_drop(deferred);
        CHECK_STR(notes(), "-8");
    }
}

TEST(deferred, who_waits_for_a_fiber_that_never_ran_is_woken)
{
    FOR_WAYS(way) {
        coir_deferred *deferred = coir_deferred_new();
        struct gate gate;
        coir_io *get = coir_attempt(getting(deferred));
        coir_io *put = coir_attempt(joined(coir_then(coir_cancel_self(), coir_putting(deferred, coir_unit()))));
        coir_deferred_drop(deferred);
        CHECK_STR(outcome_in(way, not_silent(&gate, coir_both(get, put))), "OK [<PANIC ABANDONED> <ERROR CHILD_CANCELED>]");
    }
}

TEST(deferred, putting_in_a_run_that_is_stopped_puts_nothing)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_deferred *deferred = coir_deferred_new();
        coir_io *ios[] = { coir_putting(deferred, coir_then(coir_never(), coir_pure(thing(1)))), getting(deferred) };
        coir_result result = coir_run(waited(2, ios), COIR_OPTIONS(.workers = workers, .on_deadlock = COIR_DEADLOCK_STOP));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_STR(notes(), "-1");
        CHECK(!coir_deferred_is_set(deferred));
        coir_deferred_drop(deferred);
    }
}

/* ------------------------------------------------------------------------------------------------------------ who leaves */

TEST(deferred, who_is_canceled_leaves_and_the_others_get_it)
{
    FOR_WAYS(way) {
        coir_deferred *deferred = coir_deferred_new();
        coir_fiber *fibers[2] = { NULL };
        struct putter putter = { deferred, coir_ok(thing(1)) };
        coir_io *io = coir_zip(COIR_IOS(queueing(getting(deferred), &fibers[0]), queueing(getting(deferred), &fibers[1]), canceling(&fibers[0]),
                                        putting_it(&putter), looking(&fibers[0]), looking(&fibers[1])));
        CHECK_STR(outcome_in(way, io), "OK [0 0 0 1 <CANCELED 0> <OK thing 1>]");
        fibers_drop(2, fibers);
        coir_deferred_drop(deferred);
    }
}

/* The one who is asked to stop as the result is put either has it, or leaves it to the other. */
TEST(deferred, a_request_that_comes_with_the_result_loses_nothing_that_cannot_be_shared)
{
    FOR_WAYS(way) {
        coir_deferred *deferred = coir_deferred_new();
        coir_fiber *waiter = NULL;
        struct putter putter = { deferred, coir_ok(sole_thing(1)) };
        coir_io *io = coir_sequence(COIR_IOS(queueing(getting(deferred), &waiter), coir_both(canceling(&waiter), putting_it(&putter)),
                                             coir_zip(COIR_IOS(looking(&waiter), coir_attempt(getting(deferred))))));
        const char *ended = outcome_in(way, io);
        CHECK(strcmp(ended, "OK [<OK thing 1> <PANIC MISUSE>]") == 0 || strcmp(ended, "OK [<CANCELED 0> <OK thing 1>]") == 0);
        fibers_drop(1, &waiter);
        coir_deferred_drop(deferred);
        CHECK_STR(notes(), "-1");
    }
}

static coir_result give_up(void *place)
{
    coir_deferred_drop(*(coir_deferred **)place);
    return coir_ok(coir_none());
}

TEST(deferred, a_wait_that_nobody_can_end_is_a_panic_that_names_it)
{
    FOR_WAYS(way) {
        coir_deferred *deferred = coir_deferred_new();
        const char *named = spelled("waits for the result of deferred %ju", (uintmax_t)coir_deferred_id(deferred));
        coir_fiber *waiter = NULL;
        struct gate gate;
        CHECK_CONTAINS(message_in(way, getting(deferred)), named);
        coir_io *io = coir_sequence(COIR_IOS(queueing(getting(deferred), &waiter), coir_defer(give_up, &deferred), joining(&waiter)));
        coir_result result = run_in(way, not_silent(&gate, io));
        CHECK_CODE(result, COIR_PANIC, COIR_ABANDONED);
        CHECK_CONTAINS(coir_error_message(&result.value), named);
        coir_result_drop(&result);
        fibers_drop(1, &waiter);
    }
}

static void drop_chain(void *chain)
{
    coir_deferred_drop(chain);
}

TEST(deferred, a_chain_of_a_million_is_dropped_in_little_stack)
{
    coir_deferred *first = NULL;
    for (int i = 0; i < scaled(1000000); i++) {
        coir_deferred *next = coir_deferred_new();
        CHECK(coir_deferred_put(next, coir_ok(first == NULL ? thing(1) : coir_deferred_value(first))));
        first = next;
    }
    on_small_stack(drop_chain, first);
    CHECK_STR(notes(), "-1");
}

/* ------------------------------------------------------------------------------------------------- other runs, threads */

TEST(deferred, another_run_and_a_thread_are_refused_while_fibers_wait_for_it)
{
    FOR_SCHEDULES(options) {
        coir_deferred *deferred = coir_deferred_new();
        struct elsewhere elsewhere;
        waits_elsewhere(&elsewhere, options, getting(deferred));
        CHECK(!coir_deferred_put(deferred, coir_ok(thing(1))));
        CHECK_STR(notes(), "-1");
        coir_io *refused[] = { getting(deferred), coir_putting(deferred, coir_pure(thing(2))) };
        for (size_t i = 0; i < 2; i++) {
            coir_result result = coir_run(refused[i], options);
            CHECK_CODE(result, COIR_ERROR, COIR_REFUSED);
            coir_result_drop(&result);
        }
        CHECK_STR(notes(), "-2");
        coir_fiber_cancel(elsewhere.fiber);
        gate_open(&elsewhere.silence);
        waits_elsewhere_end(&elsewhere);
        CHECK(!coir_deferred_is_set(deferred));
        coir_deferred_drop(deferred);
    }
}

TEST(deferred, what_has_been_put_is_there_for_fibers_of_any_run)
{
    FOR_SCHEDULES(options) {
        coir_deferred *deferred = coir_deferred_new();
        struct elsewhere elsewhere;
        struct gate gate = GATE;
        CHECK_STR(outcome_under(options, coir_putting(deferred, coir_pure(thing(1)))), "OK 1");
        other_run_begin(&elsewhere.run, options, coir_then(passing(&gate), getting(deferred)));
        CHECK_STR(outcome_under(options, getting(deferred)), "OK thing 1");
        gate_open(&gate);
        coir_result result = other_run_end(&elsewhere.run);
        CHECK_STR(describe(&result), "OK thing 1");
        coir_result_drop(&result);
        coir_deferred_drop(deferred);
    }
}

static void *put_main(void *deferred)
{
    CHECK(coir_deferred_put(deferred, coir_ok(thing(6))));
    coir_deferred_drop(deferred);
    return NULL;
}
static void *drop_main(void *deferred)
{
    coir_deferred_drop(deferred);
    return NULL;
}

TEST(deferred, thread_puts_into_an_exposed_one_or_gives_it_up_and_all_who_wait_are_told)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(200); round++) {
            enum { WAITERS = 3 };
            coir_deferred *deferred = coir_deferred_new();
            bool puts = round % 2 == 0;
            coir_io *ios[WAITERS];
            pthread_t thread;
            CHECK(coir_deferred_expose(deferred));
            for (size_t i = 0; i < WAITERS; i++)
                ios[i] = coir_then(coir_repeat(coir_yield(), (uint64_t)(round % 7) * i), getting(deferred));
            CHECK_INT(pthread_create(&thread, NULL, puts ? put_main : drop_main, deferred), 0);
            CHECK_STR(outcome(workers, waited(WAITERS, ios)),
                      puts ? "OK [<OK thing 6> <OK thing 6> <OK thing 6>]" : "OK [<PANIC ABANDONED> <PANIC ABANDONED> <PANIC ABANDONED>]");
            CHECK_INT(pthread_join(thread, NULL), 0);
        }
}

/* -------------------------------------------------------------------------------------------------------- alternatives */

TEST(deferred, as_a_case_it_gives_its_result_to_the_handler)
{
    FOR_WAYS(way) {
        coir_deferred *deferred = coir_deferred_new();
        coir_fiber *waiter = NULL;
        struct putter putter = { deferred, coir_ok(thing(1)) };
        coir_io *alt = coir_alt(COIR_CASES(coir_on(getting(deferred), NULL, NULL), coir_on(coir_sleep(coir_minutes(60)), NULL, NULL)));
        coir_io *io = coir_zip(COIR_IOS(queueing(coir_io_ref(alt), &waiter), putting_it(&putter), joining(&waiter), alt));
        CHECK_STR(outcome_in(way, io), "OK [0 1 thing 1 thing 1]");
        fibers_drop(1, &waiter);
        coir_deferred_drop(deferred);
    }
}

TEST(deferred, an_alternative_that_ends_otherwise_leaves_what_cannot_be_shared)
{
    FOR_WAYS(way) {
        coir_deferred *deferreds[2] = { coir_deferred_new(), coir_deferred_new() };
        coir_fiber *waiter = NULL;
        struct putter putters[2] = { { deferreds[0], coir_ok(sole_thing(1)) }, { deferreds[1], coir_ok(sole_thing(1)) } };
        coir_io *alt = coir_alt(COIR_CASES(coir_on(getting(deferreds[0]), NULL, NULL), coir_on(getting(deferreds[1]), NULL, NULL)));
        /* It takes one, whichever; of the two who ask afterwards one finds the other. */
        coir_io *io = coir_sequence(COIR_IOS(
            forking(alt, &waiter), coir_both(putting_it(&putters[0]), putting_it(&putters[1])), joining(&waiter),
            coir_zip(COIR_IOS(coir_attempt(getting(deferreds[0])), coir_attempt(getting(deferreds[1]))))));
        const char *ended = outcome_in(way, io);
        CHECK(strcmp(ended, "OK [<OK thing 1> <PANIC MISUSE>]") == 0 || strcmp(ended, "OK [<PANIC MISUSE> <OK thing 1>]") == 0);
        fibers_drop(1, &waiter);
        coir_deferred_drop(deferreds[0]);
        coir_deferred_drop(deferreds[1]);
        CHECK_STR(notes(), "-1 -1");
    }
}
