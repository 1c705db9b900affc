/*
 * semaphore.c - tests of the semaphore: never more than there are, nobody overtaken, given back on every way out
 */
#include "fibers.h"

/* --------------------------------------------------------------------------------------------------------------- new */

TEST(semaphore, numbers_that_make_no_sense_make_no_semaphore)
{
    static const struct { int64_t permits, max; } bad[] = { { -1, 5 }, { 5, 3 }, { -3, -1 }, { 0, -1 }, { INT64_MIN, INT64_MAX } };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        errno = 0;
        CHECK_PTR(coir_semaphore_new_bounded(bad[i].permits, bad[i].max), NULL);
        CHECK_INT(errno, EINVAL);
    }
    errno = 0;
    CHECK_PTR(coir_semaphore_new(-1), NULL);
    CHECK_INT(errno, EINVAL);
}

TEST(semaphore, new_one_has_what_it_starts_with)
{
    static const struct {
        int64_t permits, max;
    } good[] = { { 0, 0 }, { 0, 5 }, { 3, 5 }, { 5, 5 }, { 0, INT64_MAX }, { INT64_MAX, INT64_MAX } };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        coir_semaphore *semaphore = coir_semaphore_new_bounded(good[i].permits, good[i].max);
        CHECK_INT(coir_semaphore_available(semaphore), good[i].permits);
        coir_semaphore_drop(semaphore);
    }
    coir_semaphore *semaphore = coir_semaphore_new(7);
    CHECK_INT(coir_semaphore_available(semaphore), 7);
    coir_semaphore_drop(semaphore);
}

TEST(semaphore, NULL_handle_makes_NULL_and_drops_what_came_with_it)
{
    CHECK_PTR(coir_semaphore_ref(NULL), NULL);
    coir_semaphore_drop(NULL);
    CHECK_INT(coir_semaphore_available(NULL), 0);
    CHECK_PTR(coir_acquire(NULL, 1), NULL);
    CHECK_PTR(coir_try_acquire(NULL, 1), NULL);
    CHECK_PTR(coir_release(NULL, 1), NULL);
    CHECK_PTR(coir_with_permits(NULL, 1, coir_pure(thing(1))), NULL);
    CHECK_STR(notes(), "-1");
    coir_semaphore *semaphore = coir_semaphore_new(1);
    CHECK_PTR(coir_with_permits(semaphore, 1, NULL), NULL);
    CHECK_INT(coir_semaphore_available(semaphore), 1);
    coir_semaphore_drop(semaphore);
}

/* ------------------------------------------------------------------------------------------------------- never more */

/* A random program: takes, tries and gives back, and looks each time that no more is out than there is. */
struct user { coir_semaphore *semaphore; atomic_llong *out; int64_t max, wanted; int rounds; uint64_t random; };
static coir_io *user_step(coir_routine *self)
{
    COIR_BEGIN(self, struct user, my);
    for (; my->rounds > 0; my->rounds--) {
        my->random = my->random * UINT64_C(6364136223846793005) + 1442695040888963407;
        my->wanted = (int64_t)((my->random >> 40) % (uint64_t)(my->max + 1));
        if (my->random >> 62 == 0) {
            COIR_AWAIT(coir_try_acquire(my->semaphore, my->wanted));
            if (!self->result.value.flag)
                continue;
        } else {
            COIR_AWAIT(coir_acquire(my->semaphore, my->wanted));
        }
        if (atomic_fetch_add(my->out, my->wanted) + my->wanted > my->max)
            COIR_RAISE(coir_string("more out than there are", 23));
        if (my->random >> 33 & 1)
            COIR_AWAIT(coir_yield());
        if (my->random >> 34 & 1)
            COIR_AWAIT(coir_yield());
        atomic_fetch_sub(my->out, my->wanted);
        COIR_AWAIT(coir_release(my->semaphore, my->wanted));
    }
    COIR_END;
}

static void users_of(const coir_options *options, int64_t max, size_t count, int rounds)
{
    coir_semaphore *semaphore = coir_semaphore_new(max);
    atomic_llong out = 0;
    coir_io *ios[40];
    for (size_t i = 0; i < count; i++)
        ios[i] = coir_do(user_step,
                         COIR_ENV(struct user, .semaphore = semaphore, .out = &out, .max = max, .rounds = rounds, .random = i * 77 + 1));
    coir_result result = coir_run(waited(count, ios), options);
    CHECK_TAG(result, COIR_OK);
    CHECK_INT(how_many_are(&result.value, COIR_OK), (int)count);
    coir_result_drop(&result);
    CHECK_INT(coir_semaphore_available(semaphore), max);
    coir_semaphore_drop(semaphore);
}

TEST(semaphore, never_more_permits_are_out_than_there_are)
{
    FOR_SCHEDULES(options)
        for (int64_t max = 0; max <= 5; max++)
            users_of(options, max, 20, 20);
}

TEST(semaphore, never_more_permits_are_out_wherever_the_budget_ends)
{
    FOR_WORKERS(workers, 1, 2, 4)
        FOR_BUDGETS(options, workers)
            users_of(options, 3, 8, 8);
}

static coir_value most_of(void *env, coir_value *v) { (void)v; return coir_int(atomic_load((atomic_int *)env)); }

struct crowd { atomic_int inside, most; };
static coir_io *crowd_enter(void *crowd_)
{
    struct crowd *crowd = crowd_;
    int inside = atomic_fetch_add(&crowd->inside, 1) + 1, most = atomic_load(&crowd->most);
    while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside)) {}
    return coir_repeat(coir_yield(), 3);
}
static coir_result crowd_leave(void *crowd_) { atomic_fetch_sub(&((struct crowd *)crowd_)->inside, 1); return coir_ok(coir_none()); }

TEST(semaphore, five_calls_at_once_and_never_a_sixth)
{
    FOR_SCHEDULES(options) {
        struct crowd crowd = { 0 };
        coir_semaphore *five = coir_semaphore_new(5);
        coir_io *call = coir_then(coir_suspend(crowd_enter, &crowd), coir_defer(crowd_leave, &crowd));
        coir_io *all = copies_of(100, coir_with_permits(five, 1, call));
        coir_result result = coir_run(coir_map(coir_flat_map(all, wait_it, NULL), most_of, &crowd.most), options);
        CHECK_TAG(result, COIR_OK);
        CHECK(result.value.i64 <= 5);
        if (options->workers == 1)
            CHECK_INT(result.value.i64, 5);             /* as many as may: all stand in line before the first is done */
        CHECK_INT(coir_semaphore_available(five), 5);
        coir_semaphore_drop(five);
    }
}

/* ------------------------------------------------------------------------------------------------------------- order */

static coir_io *noting_with(coir_semaphore *semaphore, int64_t permits, const char *text)
{
    return coir_with_permits(semaphore, permits, noting(text));
}

TEST(semaphore, all_the_permits_asked_for_or_none)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(3);
        coir_fiber *waiter = NULL;
        coir_io *io = coir_sequence(COIR_IOS(coir_acquire(semaphore, 2), queueing(noting_with(semaphore, 2, "two"), &waiter)));
        coir_result result =
            coir_run(coir_then(io, coir_then_keep(coir_unit(), coir_then(noting("one is left"), coir_release(semaphore, 2)))), options);
        CHECK_TAG(result, COIR_OK);
        CHECK_STR(notes(), "one is left two");
        CHECK_INT(coir_semaphore_available(semaphore), 3);
        coir_fiber_drop(waiter);
        coir_semaphore_drop(semaphore);
    }
}

static coir_result see_available(void *semaphore) { return coir_ok(coir_int(coir_semaphore_available(semaphore))); }

TEST(semaphore, who_waits_has_taken_nothing)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(3);
        coir_fiber *waiter = NULL;
        coir_io *io = coir_with_permits(
            semaphore, 1, coir_then(queueing(noting_with(semaphore, 3, "all"), &waiter), coir_defer(see_available, semaphore)));
        CHECK_STR(outcome_under(options, io), "OK 2");
        CHECK_STR(notes(), "all");
        coir_fiber_drop(waiter);
        coir_semaphore_drop(semaphore);
    }
}

TEST(semaphore, waiters_are_served_in_the_order_of_arrival)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(1);
        coir_fiber *fibers[4] = { NULL };
        coir_io *io = coir_with_permits(semaphore, 1, coir_sequence(COIR_IOS(
            queueing(noting_with(semaphore, 1, "a"), &fibers[0]), queueing(noting_with(semaphore, 1, "b"), &fibers[1]),
            queueing(noting_with(semaphore, 1, "c"), &fibers[2]), queueing(noting_with(semaphore, 1, "d"), &fibers[3]), noting("holder"))));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(notes(), "holder a b c d");
        for (size_t i = 0; i < 4; i++)
            coir_fiber_drop(fibers[i]);
        coir_semaphore_drop(semaphore);
    }
}

TEST(semaphore, big_request_at_the_head_is_not_overtaken_by_small_ones)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(3);
        coir_fiber *big = NULL, *small = NULL;
        coir_io *io = coir_sequence(COIR_IOS(coir_acquire(semaphore, 2), queueing(noting_with(semaphore, 3, "big"), &big),
                                             queueing(noting_with(semaphore, 1, "small"), &small), coir_release(semaphore, 1),
                                             coir_repeat(coir_yield(), 5), noting("two are free"), coir_release(semaphore, 1),
                                             joining(&big), joining(&small)));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(notes(), "two are free big small");
        coir_fiber_drop(big);
        coir_fiber_drop(small);
        coir_semaphore_drop(semaphore);
    }
}

TEST(semaphore, one_release_lets_in_as_many_as_there_is_enough_for)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new_bounded(0, 10), *inside = coir_semaphore_new_bounded(0, 10);
        coir_fiber *fibers[4] = { NULL };
        /* Of requests for 1, 2, 3 and 4 the first three are met by 9: with 3 left the last waits on. */
        coir_io *io = coir_sequence(COIR_IOS(
            queueing(coir_then(coir_acquire(semaphore, 1), coir_release(inside, 1)), &fibers[0]),
            queueing(coir_then(coir_acquire(semaphore, 2), coir_release(inside, 1)), &fibers[1]),
            queueing(coir_then(coir_acquire(semaphore, 3), coir_release(inside, 1)), &fibers[2]),
            queueing(coir_then(coir_acquire(semaphore, 4), coir_release(inside, 1)), &fibers[3]),
            coir_release(semaphore, 9), coir_acquire(inside, 3), until_parked(&fibers[3]), coir_defer(see_available, semaphore)));
        CHECK_STR(outcome_under(options, coir_then_keep(io, coir_release(semaphore, 1))), "OK 3");
        CHECK_INT(coir_semaphore_available(semaphore), 0);
        CHECK_INT(coir_semaphore_available(inside), 1);
        for (size_t i = 0; i < 4; i++)
            coir_fiber_drop(fibers[i]);
        coir_semaphore_drop(semaphore);
        coir_semaphore_drop(inside);
    }
}

/* --------------------------------------------------------------------------------------------------------------- try */

TEST(semaphore, try_never_waits_and_never_overtakes)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(3);
        coir_fiber *waiter = NULL;
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_try_acquire(semaphore, 2), coir_try_acquire(semaphore, 2),
                                                           coir_try_acquire(semaphore, 1), coir_try_acquire(semaphore, 1),
                                                           coir_try_acquire(semaphore, 0)))),
                  "OK [1 0 1 0 1]");
        CHECK_INT(coir_semaphore_available(semaphore), 0);
        CHECK_STR(outcome_under(options, coir_release(semaphore, 3)), "OK 0");
        /* Two are free, but somebody stands in line for three. */
        coir_io *io = coir_sequence(
            COIR_IOS(coir_acquire(semaphore, 1), queueing(noting_with(semaphore, 3, "all"), &waiter), coir_try_acquire(semaphore, 1)));
        CHECK_STR(outcome_under(options, coir_then_keep(io, coir_release(semaphore, 1))), "OK 0");
        CHECK_STR(notes(), "all");
        CHECK_INT(coir_semaphore_available(semaphore), 3);
        coir_fiber_drop(waiter);
        coir_semaphore_drop(semaphore);
    }
}

TEST(semaphore, nothing_at_all_is_granted_at_once_also_to_who_comes_late)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(1), *none = coir_semaphore_new(0);
        coir_fiber *waiter = NULL;
        CHECK_STR(outcome_under(options, coir_with_permits(none, 0, coir_pure(coir_int(1)))), "OK 1");
        coir_io *inner = coir_sequence(COIR_IOS(queueing(noting_with(semaphore, 1, "waiter"), &waiter), noting_with(semaphore, 0, "none"),
                                                coir_try_acquire(semaphore, 0)));
        CHECK_STR(outcome_under(options, coir_with_permits(semaphore, 1, inner)), "OK 1");
        CHECK_STR(notes(), "none waiter");
        coir_fiber_drop(waiter);
        coir_semaphore_drop(semaphore);
        coir_semaphore_drop(none);
    }
}

/* ------------------------------------------------------------------------------------------------------ wrong numbers */

static void panics_with(const coir_options *options, int code, const char *part, coir_io *io)
{
    coir_result result = coir_run(coir_named(io, "caller"), options);
    CHECK_CODE(result, COIR_PANIC, code);
    CHECK_CONTAINS(coir_error_message(&result.value), part);
    coir_result_drop(&result);
}

TEST(semaphore, negative_number_is_a_panic_that_names_the_function)
{
    static const int64_t bad[] = { -1, INT64_MIN };
    coir_semaphore *semaphore = coir_semaphore_new(3);
    for (size_t i = 0; i < 2; i++) {
        const coir_options *options = COIR_OPTIONS(.workers = 1);
        panics_with(options, EINVAL, "coir_acquire:", coir_acquire(semaphore, bad[i]));
        panics_with(options, EINVAL, "coir_try_acquire:", coir_try_acquire(semaphore, bad[i]));
        panics_with(options, EINVAL, "coir_release:", coir_release(semaphore, bad[i]));
        panics_with(options, EINVAL, "coir_with_permits:", coir_with_permits(semaphore, bad[i], noting("inside")));
    }
    CHECK_STR(notes(), "");
    CHECK_INT(coir_semaphore_available(semaphore), 3);
    coir_semaphore_drop(semaphore);
}

TEST(semaphore, asking_for_more_than_there_can_ever_be_is_a_panic_at_once)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new_bounded(1, 3);
        panics_with(options, COIR_MISUSE, "coir_acquire: fiber", coir_acquire(semaphore, 4));
        panics_with(options, COIR_MISUSE, "'caller'", coir_acquire(semaphore, INT64_MAX));
        panics_with(options, COIR_MISUSE, "coir_try_acquire: fiber", coir_try_acquire(semaphore, 4));
        panics_with(options, COIR_MISUSE, "coir_acquire: fiber", coir_with_permits(semaphore, 4, noting("inside")));
        CHECK_STR(notes(), "");
        CHECK_INT(coir_semaphore_available(semaphore), 1);
        coir_semaphore_drop(semaphore);
    }
}

TEST(semaphore, giving_back_more_than_was_taken_is_a_panic_and_changes_nothing)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(3);
        panics_with(options, COIR_MISUSE, "coir_release: fiber", coir_release(semaphore, 1));
        panics_with(options, COIR_MISUSE, "coir_release: fiber", coir_release(semaphore, INT64_MAX));
        CHECK_STR(outcome_under(options, coir_with_permits(semaphore, 2, coir_release(semaphore, 3))), "PANIC MISUSE");
        CHECK_INT(coir_semaphore_available(semaphore), 3);
        coir_semaphore_drop(semaphore);
    }
}

TEST(semaphore, any_fiber_may_give_back_what_another_took)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(2);
        CHECK_STR(outcome_under(options, coir_then(coir_acquire(semaphore, 2), joined(coir_release(semaphore, 2)))), "OK 0");
        CHECK_INT(coir_semaphore_available(semaphore), 2);
        coir_semaphore_drop(semaphore);
    }
}

/* -------------------------------------------------------------------------------------------------------- every way out */

TEST(semaphore, with_permits_gives_them_back_however_io_ended)
{
    static const char *const expected[] = { "OK 5", "ERROR 5", "PANIC 5", "CANCELED 5" };
    FOR_SCHEDULES(options)
        for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
            coir_semaphore *semaphore = coir_semaphore_new(3);
            coir_io *io = coir_with_permits(semaphore, 2, coir_then(coir_yield(), ending(tag, 5)));
            CHECK_STR(outcome_under(options, coir_io_ref(io)), expected[tag]);
            CHECK_STR(outcome_under(options, io), expected[tag]);
            CHECK_INT(coir_semaphore_available(semaphore), 3);
            coir_semaphore_drop(semaphore);
        }
}

TEST(semaphore, handle_may_be_dropped_while_fibers_hold_permits_and_wait)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(1);
        coir_fiber *waiter = NULL;
        coir_io *io = coir_sequence(
            COIR_IOS(coir_acquire(semaphore, 1), queueing(noting_with(semaphore, 1, "waiter"), &waiter), coir_release(semaphore, 1)));
        CHECK_PTR(coir_semaphore_ref(semaphore), semaphore);
        coir_semaphore_drop(semaphore);
        coir_semaphore_drop(semaphore);
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(notes(), "waiter");
        coir_fiber_drop(waiter);
    }
}

/* ---------------------------------------------------------------------------------------------------------- two runs */

TEST(semaphore, another_run_is_refused_while_one_uses_it_and_served_afterwards)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(2);
        struct gate gate = GATE;
        struct other_run other;
        other_run_begin(&other, options, coir_with_permits(semaphore, 1, passing(&gate)));
        CHECK_SOON(gate_waiting(&gate) == 1);
        coir_io *refused[] = { coir_acquire(semaphore, 1), coir_try_acquire(semaphore, 1), coir_release(semaphore, 1) };
        for (size_t i = 0; i < 3; i++) {
            coir_result result = coir_run(refused[i], options);
            CHECK_CODE(result, COIR_ERROR, COIR_REFUSED);
            coir_result_drop(&result);
        }
        CHECK_INT(coir_semaphore_available(semaphore), 1);
        gate_open(&gate);
        coir_result result = other_run_end(&other);
        CHECK_TAG(result, COIR_OK);
        CHECK_STR(outcome_under(options, coir_with_permits(semaphore, 2, coir_pure(coir_int(1)))), "OK 1");
        coir_semaphore_drop(semaphore);
    }
}

TEST(semaphore, permits_that_a_run_took_and_kept_may_be_given_back_in_a_later_one)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *semaphore = coir_semaphore_new(2);
        CHECK_STR(outcome_under(options, coir_acquire(semaphore, 2)), "OK 0");
        CHECK_INT(coir_semaphore_available(semaphore), 0);
        CHECK_STR(outcome_under(options, coir_then(coir_release(semaphore, 1), coir_try_acquire(semaphore, 1))), "OK 1");
        CHECK_STR(outcome_under(options, coir_release(semaphore, 2)), "OK 0");
        CHECK_INT(coir_semaphore_available(semaphore), 2);
        coir_semaphore_drop(semaphore);
    }
}
