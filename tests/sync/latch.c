/*
 * latch.c - tests of the latch: the last to count down lets all on, once and for all
 */
#include "ways.h"

static coir_result count_it(void *latch) { return coir_ok(coir_bool(coir_latch_count_down(latch))); }
static coir_io *counting_it(coir_latch *latch) { return coir_defer(count_it, latch); }

TEST(latch, count_that_makes_no_sense_makes_no_latch)
{
    static const int64_t bad[] = { -1, INT64_MIN };
    for (size_t i = 0; i < 2; i++) {
        errno = 0;
        CHECK_PTR(coir_latch_new(bad[i]), NULL);
        CHECK_INT(errno, EINVAL);
    }
    coir_latch *most = coir_latch_new(INT64_MAX);
    CHECK(coir_latch_count_down(most));
    CHECK_INT(coir_latch_count(most), INT64_MAX - 1);
    coir_latch_drop(most);
}

TEST(latch, NULL_is_harmless)
{
    CHECK_PTR(coir_latch_ref(NULL), NULL);
    coir_latch_drop(NULL);
    CHECK(!coir_latch_count_down(NULL));
    CHECK(!coir_latch_expose(NULL));
    CHECK_INT(coir_latch_count(NULL), 0);
    CHECK_UINT(coir_latch_id(NULL), 0);
    CHECK_PTR(coir_latch_wait(NULL), NULL);
    CHECK_PTR(coir_counting_down(NULL, coir_pure(thing(1))), NULL);
    CHECK_STR(notes(), "-1");
    coir_latch *latch = coir_latch_new(1);
    CHECK_PTR(coir_counting_down(latch, NULL), NULL);
    CHECK_INT(coir_latch_count(latch), 1);
    coir_latch_drop(latch);
}

TEST(latch, the_last_to_count_lets_all_on_and_nobody_before)
{
    FOR_WAYS(way) {
        coir_latch *latch = coir_latch_new(3);
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(
            queueing(coir_then(coir_latch_wait(latch), noting("on")), &fibers[0]), queueing(coir_then(coir_latch_wait(latch), noting("on")), &fibers[1]),
            counting_it(latch), counting_it(latch), coir_repeat(coir_yield(), 5), noting("last"), counting_it(latch), joining(&fibers[0]),
            joining(&fibers[1])));
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK_STR(notes(), "last on on");
        CHECK_INT(coir_latch_count(latch), 0);
        fibers_drop(2, fibers);
        coir_latch_drop(latch);
    }
}

TEST(latch, at_0_it_holds_nobody_back_and_is_counted_no_further)
{
    FOR_WAYS(way) {
        coir_latch *latch = coir_latch_new(0), *one = coir_latch_new(1);
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_latch_wait(latch), counting_it(latch), coir_latch_wait(latch)))), "OK [0 0 0]");
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(counting_it(one), counting_it(one), coir_latch_wait(one)))), "OK [1 0 0]");
        CHECK_INT(coir_latch_count(one), 0);
        coir_latch_drop(latch);
        coir_latch_drop(one);
    }
}

/* Plain memory of each worker goes to who waited. */
struct part { int64_t *part; int64_t number; };
static coir_result do_part(void *part_)
{
    struct part *part = part_;
    *part->part = part->number;
    return coir_ok(coir_none());
}
struct whole { coir_latch *latch; int64_t parts[8]; };
static coir_result sum_up(void *whole_)
{
    int64_t sum = 0;
    for (size_t i = 0; i < 8; i++)
        sum += ((struct whole *)whole_)->parts[i];
    return coir_ok(coir_int(sum));
}

TEST(latch, what_was_done_before_it_was_counted_is_seen_by_who_waited)
{
    FOR_WAYS(way) {
        struct whole whole = { .latch = coir_latch_new(8) };
        coir_io *ios[8];
        for (size_t i = 0; i < 8; i++) {
            coir_io *part = coir_defer_copy(do_part, COIR_ENV(struct part, .part = &whole.parts[i], .number = (int64_t)i));
            ios[i] = coir_counting_down(whole.latch, i % 2 == 0 ? part : coir_then(coir_yield(), part));
        }
        coir_io *io = coir_then(coir_parallel(8, ios), coir_then(coir_latch_wait(whole.latch), coir_defer(sum_up, &whole)));
        CHECK_STR(outcome_in(way, io), "OK 28");
        coir_latch_drop(whole.latch);
    }
}

/* ------------------------------------------------------------------------------------------------- coir_counting_down */

TEST(latch, counting_down_does_so_however_io_ended)
{
    static const char *const expected[] = { "OK 5", "ERROR 5", "PANIC 5", "CANCELED 5" };
    FOR_WAYS(way)
        for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
            coir_latch *latch = coir_latch_new(2);
            coir_fiber *fiber = NULL;
            CHECK_STR(outcome_in(way, coir_counting_down(latch, coir_then(coir_yield(), ending(tag, 5)))), expected[tag]);
            coir_io *canceled = coir_then(queueing(coir_counting_down(latch, coir_never()), &fiber), canceling(&fiber));
            CHECK_STR(outcome_in(way, coir_then(canceled, coir_latch_wait(latch))), "OK 0");
            fibers_drop(1, &fiber);
            coir_latch_drop(latch);
        }
}

TEST(latch, counting_down_once_too_often_is_a_panic_that_names_it)
{
    FOR_WAYS(way) {
        coir_latch *latch = coir_latch_new(0);
        coir_result result = run_in(way, coir_named(coir_counting_down(latch, coir_pure(thing(1))), "eager"));
        CHECK_CODE(result, COIR_PANIC, COIR_MISUSE);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_counting_down: fiber");
        CHECK_CONTAINS(coir_error_message(&result.value), spelled("'eager' counts latch %ju down", (uintmax_t)coir_latch_id(latch)));
        coir_result_drop(&result);
        CHECK_STR(notes(), "-1");
        coir_latch_drop(latch);
    }
}

/* -------------------------------------------------------------------------------------------------------- who leaves */

TEST(latch, who_is_canceled_leaves_and_changes_nothing)
{
    FOR_WAYS(way) {
        coir_latch *latch = coir_latch_new(1);
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_latch_wait(latch), &fibers[0]), queueing(coir_latch_wait(latch), &fibers[1]),
                                             canceling(&fibers[0]), counting_it(latch), joining(&fibers[1]), looking(&fibers[0])));
        CHECK_STR(outcome_in(way, io), "OK <CANCELED 0>");
        fibers_drop(2, fibers);
        coir_latch_drop(latch);
    }
}

static coir_result give_up(void *place)
{
    coir_latch_drop(*(coir_latch **)place);
    return coir_ok(coir_none());
}

TEST(latch, a_wait_that_nobody_can_end_is_a_panic)
{
    FOR_WAYS(way) {
        coir_latch *latch = coir_latch_new(1);
        coir_fiber *waiter = NULL;
        struct gate gate;
        CHECK_CONTAINS(message_in(way, coir_latch_wait(latch)), spelled("waits for latch %ju", (uintmax_t)coir_latch_id(latch)));
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_latch_wait(latch), &waiter), coir_defer(give_up, &latch), joining(&waiter)));
        CHECK_STR(outcome_in(way, not_silent(&gate, io)), "PANIC ABANDONED");
        fibers_drop(1, &waiter);
    }
}

/* ------------------------------------------------------------------------------------------------- other runs, threads */

TEST(latch, another_run_and_a_thread_are_refused_while_fibers_wait_for_it)
{
    FOR_SCHEDULES(options) {
        coir_latch *latch = coir_latch_new(1);
        struct elsewhere elsewhere;
        waits_elsewhere(&elsewhere, options, coir_latch_wait(latch));
        CHECK(!coir_latch_count_down(latch));
        coir_result result = coir_run(coir_latch_wait(latch), options);
        CHECK_CODE(result, COIR_ERROR, COIR_REFUSED);
        coir_result_drop(&result);
        result = coir_run(coir_counting_down(latch, coir_unit()), options);
        CHECK_CODE(result, COIR_ERROR, COIR_REFUSED);
        coir_result_drop(&result);
        CHECK_INT(coir_latch_count(latch), 1);
        coir_fiber_cancel(elsewhere.fiber);
        gate_open(&elsewhere.silence);
        waits_elsewhere_end(&elsewhere);
        coir_latch_drop(latch);
    }
}

static void *count_main(void *latch)
{
    coir_latch_count_down(latch);
    coir_latch_drop(latch);
    return NULL;
}

TEST(latch, exposed_one_is_counted_by_threads_too)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(100); round++) {
            coir_latch *latch = coir_latch_new(3);
            pthread_t threads[2];
            CHECK(coir_latch_expose(latch));
            for (size_t i = 0; i < 2; i++)
                CHECK_INT(pthread_create(&threads[i], NULL, count_main, coir_latch_ref(latch)), 0);
            coir_io *io = coir_then(coir_fork(coir_counting_down(latch, coir_yield())), coir_latch_wait(latch));
            CHECK_STR(outcome(workers, coir_zip(COIR_IOS(io, coir_latch_wait(latch)))), "OK [0 0]");
            for (size_t i = 0; i < 2; i++)
                CHECK_INT(pthread_join(threads[i], NULL), 0);
            CHECK_INT(coir_latch_count(latch), 0);
            coir_latch_drop(latch);
        }
}

TEST(latch, as_a_case_it_goes_when_it_has_been_counted_down)
{
    FOR_WAYS(way) {
        coir_latch *latch = coir_latch_new(2);
        coir_fiber *waiter = NULL;
        coir_io *alt = coir_alt(COIR_CASES(coir_on(coir_latch_wait(latch), NULL, NULL), coir_on(coir_sleep(coir_minutes(60)), NULL, NULL)));
        CHECK_STR(outcome_in(way, coir_sequence(COIR_IOS(queueing(coir_io_ref(alt), &waiter), counting_it(latch), counting_it(latch), joining(&waiter),
                                                         alt))), "OK 0");
        fibers_drop(1, &waiter);
        coir_latch_drop(latch);
    }
}
