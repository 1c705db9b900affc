/*
 * condition.c - tests of the condition: the lock is given up, and had again on every way out; no notification is lost
 */
#include "ways.h"

#define CONDITION_ID(condition) ((uintmax_t)coir_condition_id(condition))

struct monitor { coir_lock *lock; coir_condition *condition; };
static struct monitor monitor_new(void)
{
    coir_lock *lock = coir_lock_new();
    return (struct monitor){ lock, coir_condition_new(lock) };
}
static void monitor_drop(struct monitor *monitor)
{
    coir_condition_drop(monitor->condition);
    coir_lock_drop(monitor->lock);
}

static coir_io *inside(const struct monitor *monitor, coir_io *io)  { return coir_with_lock(monitor->lock, io); }
static coir_io *waiting(const struct monitor *monitor, coir_io *io) { return inside(monitor, coir_then(coir_condition_wait(monitor->condition), io)); }
static coir_io *notifying(const struct monitor *monitor)            { return inside(monitor, coir_condition_notify(monitor->condition)); }
static coir_io *notifying_all(const struct monitor *monitor)        { return inside(monitor, coir_condition_notify_all(monitor->condition)); }

/* held: whether somebody holds the lock, as another fiber sees it, which leaves it as it was. */
static coir_io *give_it_back(void *lock, coir_value *taken)
{
    return taken->flag ? coir_as(coir_lock_release(lock), coir_bool(false)) : coir_pure(coir_bool(true));
}
static coir_io *note_flag(void *env, coir_value *flag)
{
    (void)env;
    note("%s", flag->flag ? "held" : "free");
    return coir_unit();
}
static coir_io *held(coir_lock *lock) { return joined(coir_flat_map(coir_lock_try(lock), give_it_back, lock)); }

/* ------------------------------------------------------------------------------------------------------ wait and notify */

TEST(condition, NULL_is_harmless)
{
    errno = 0;
    CHECK_PTR(coir_condition_new(NULL), NULL);
    CHECK_INT(errno, EINVAL);
    CHECK_PTR(coir_condition_ref(NULL), NULL);
    coir_condition_drop(NULL);
    CHECK_UINT(coir_condition_id(NULL), 0);
    CHECK_PTR(coir_condition_wait(NULL), NULL);
    CHECK_PTR(coir_condition_notify(NULL), NULL);
    CHECK_PTR(coir_condition_notify_all(NULL), NULL);
}

TEST(condition, who_waits_gives_the_lock_up_and_has_it_again_when_he_goes_on)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_fiber *waiter = NULL;
        coir_io *io = coir_zip(COIR_IOS(queueing(waiting(&monitor, held(monitor.lock)), &waiter), held(monitor.lock), notifying(&monitor),
                                        joining(&waiter), held(monitor.lock)));
        CHECK_STR(outcome_in(way, io), "OK [0 0 0 1 0]");
        fibers_drop(1, &waiter);
        monitor_drop(&monitor);
    }
}

TEST(condition, it_is_had_again_as_often_as_it_was_taken)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_fiber *waiter = NULL;
        coir_io *release = coir_then(coir_lock_release(monitor.lock), held(monitor.lock));
        coir_io *deep = coir_then(coir_repeat(coir_lock_acquire(monitor.lock), 3),
                                  coir_then(coir_condition_wait(monitor.condition),
                                            coir_zip(COIR_IOS(coir_io_ref(release), coir_io_ref(release), release,
                                                              coir_attempt(coir_lock_release(monitor.lock))))));
        coir_io *io = coir_sequence(COIR_IOS(queueing(deep, &waiter), notifying(&monitor), joining(&waiter)));
        CHECK_STR(outcome_in(way, io), "OK [1 1 0 <PANIC MISUSE>]");
        fibers_drop(1, &waiter);
        monitor_drop(&monitor);
    }
}

TEST(condition, notify_is_for_the_one_who_has_waited_longest)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_fiber *fibers[3] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(
            queueing(waiting(&monitor, noting("a")), &fibers[0]), queueing(waiting(&monitor, noting("b")), &fibers[1]),
            queueing(waiting(&monitor, noting("c")), &fibers[2]), notifying(&monitor), joining(&fibers[0]), coir_repeat(coir_yield(), 5), noting("one"),
            notifying(&monitor), joining(&fibers[1]), notifying(&monitor), joining(&fibers[2])));
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK_STR(notes(), "a one b c");
        fibers_drop(3, fibers);
        monitor_drop(&monitor);
    }
}

TEST(condition, notify_all_is_for_all_who_go_on_one_after_the_other)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_fiber *fibers[3] = { NULL };
        coir_io *ios[3];
        const char *const in[] = { "a", "b", "c" }, *const out[] = { "-a", "-b", "-c" };
        for (size_t i = 0; i < 3; i++)
            ios[i] = waiting(&monitor, coir_sequence(COIR_IOS(noting(in[i]), coir_repeat(coir_yield(), 3), noting(out[i]))));
        coir_io *io = coir_sequence(COIR_IOS(queueing(ios[0], &fibers[0]), queueing(ios[1], &fibers[1]), queueing(ios[2], &fibers[2]),
                                             notifying_all(&monitor), joining(&fibers[0]), joining(&fibers[1]), joining(&fibers[2])));
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK_STR(notes(), "a -a b -b c -c");
        fibers_drop(3, fibers);
        monitor_drop(&monitor);
    }
}

TEST(condition, who_is_notified_goes_behind_those_who_wait_for_the_lock)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_fiber *fibers[3] = { NULL };
        coir_io *holder = coir_sequence(COIR_IOS(queueing(inside(&monitor, noting("before")), &fibers[1]), coir_condition_notify(monitor.condition),
                                                 queueing(inside(&monitor, noting("behind")), &fibers[2]), noting("holder")));
        coir_io *io = coir_sequence(COIR_IOS(queueing(waiting(&monitor, noting("notified")), &fibers[0]), inside(&monitor, holder),
                                             joining(&fibers[0]), joining(&fibers[1]), joining(&fibers[2])));
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK_STR(notes(), "holder before notified behind");
        fibers_drop(3, fibers);
        monitor_drop(&monitor);
    }
}

TEST(condition, a_notification_that_nobody_waits_for_is_nothing)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        CHECK_STR(outcome_in(way, coir_then(notifying(&monitor), notifying_all(&monitor))), "OK 0");
        CHECK_STR(outcome_in(way, waiting(&monitor, noting("on"))), "PANIC DEADLOCK");
        CHECK_STR(notes(), "");
        monitor_drop(&monitor);
    }
}

TEST(condition, a_shared_io_waits_in_many_fibers_at_once)
{
    FOR_WAYS(way) {
        enum { WAITERS = 6 };
        struct monitor monitor = monitor_new();
        coir_fiber *fibers[WAITERS] = { NULL };
        coir_io *shared = waiting(&monitor, coir_unit()), *ios[WAITERS + 2];
        for (size_t i = 0; i < WAITERS; i++)
            ios[i] = queueing(coir_io_ref(shared), &fibers[i]);
        ios[WAITERS] = notifying_all(&monitor);
        ios[WAITERS + 1] = coir_unit();
        CHECK_STR(outcome_in(way, coir_sequence(WAITERS + 2, ios)), "OK 0");
        for (size_t i = 0; i < WAITERS; i++)
            CHECK_INT(coir_fiber_status(fibers[i]), COIR_ENDED);
        coir_io_drop(shared);
        fibers_drop(WAITERS, fibers);
        monitor_drop(&monitor);
    }
}

/* --------------------------------------------------------------------------------------------------- without the lock */

TEST(condition, who_does_not_hold_the_lock_panics_and_nothing_has_changed)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        const char *what = spelled("'rogue' does not hold lock %ju of condition %ju", LOCK_ID(monitor.lock), CONDITION_ID(monitor.condition));
        for (int i = 0; i < 3; i++) {
            static const char *const functions[] = { "coir_condition_wait: fiber", "coir_condition_notify: fiber", "coir_condition_notify_all: fiber" };
            coir_fiber *waiter = NULL;
            coir_io *bare = i == 0 ? coir_condition_wait(monitor.condition) : i == 1 ? coir_condition_notify(monitor.condition)
                                                                                    : coir_condition_notify_all(monitor.condition);
            /* A child of the holder does not hold it. */
            coir_io *rogue = coir_attempt(inside(&monitor, joined(coir_named(bare, "rogue"))));
            coir_io *io = coir_sequence(COIR_IOS(queueing(waiting(&monitor, noting("on")), &waiter),
                                                 coir_then_keep(rogue, coir_sequence(COIR_IOS(noting("not"), notifying(&monitor), joining(&waiter))))));
            coir_result result = run_in(way, io);
            CHECK_TAG(result, COIR_OK);
            const coir_result *ended = coir_result_in(&result.value);
            CHECK_CODE(*ended, COIR_PANIC, COIR_MISUSE);
            CHECK_CONTAINS(coir_error_message(&ended->value), functions[i]);
            CHECK_CONTAINS(coir_error_message(&ended->value), what);
            coir_result_drop(&result);
            CHECK_STR(notes(), "not on");
            fibers_drop(1, &waiter);
        }
        CHECK_STR(outcome_in(way, coir_condition_notify(monitor.condition)), "PANIC MISUSE");
        monitor_drop(&monitor);
    }
}

/* ------------------------------------------------------------------------------------------------------------- canceled */

TEST(condition, who_is_canceled_takes_the_lock_again_before_he_unwinds)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_fiber *waiter = NULL;
        coir_io *body = coir_finally(coir_condition_wait(monitor.condition), coir_flat_map(held(monitor.lock), note_flag, NULL));
        coir_io *io = coir_zip(COIR_IOS(queueing(inside(&monitor, inside(&monitor, body)), &waiter), canceling(&waiter), looking(&waiter),
                                        held(monitor.lock)));
        CHECK_STR(outcome_in(way, io), "OK [0 0 <CANCELED 0> 0]");
        CHECK_STR(notes(), "held");
        fibers_drop(1, &waiter);
        monitor_drop(&monitor);
    }
}

/* Virtual time: the time-out comes while the canceled one waits for the lock. */
TEST(condition, who_is_canceled_waits_for_the_lock_and_heeds_no_further_request)
{
    FOR_SEEDS(options) {
        struct monitor monitor = monitor_new();
        coir_fiber *waiter = NULL;
        coir_io *body = coir_timeout(coir_finally(coir_condition_wait(monitor.condition), noting("finalizer")), coir_us(100));
        coir_io *holder = coir_sequence(COIR_IOS(asking(&waiter), until_parked(&waiter), coir_sleep(coir_us(200)), noting("holder")));
        coir_io *io = coir_sequence(COIR_IOS(queueing(inside(&monitor, body), &waiter), inside(&monitor, holder), looking(&waiter)));
        CHECK_STR(simulated(options, io), "OK <CANCELED 0>");
        CHECK_STR(notes(), "holder finalizer");
        fibers_drop(1, &waiter);
        monitor_drop(&monitor);
    }
}

TEST(condition, a_wait_that_is_timed_out_has_the_lock_again)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_io *late = coir_catch_code(coir_timeout(coir_condition_wait(monitor.condition), coir_us(20)), COIR_TIMEOUT, held(monitor.lock));
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(inside(&monitor, late), held(monitor.lock)))), "OK [1 0]");
        monitor_drop(&monitor);
    }
}

TEST(condition, who_is_canceled_after_he_was_notified_hands_that_on)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_fiber *fibers[2] = { NULL };
        coir_io *holder = coir_sequence(COIR_IOS(coir_condition_notify(monitor.condition), asking(&fibers[0]), coir_yield(), noting("holder")));
        coir_io *io = coir_sequence(COIR_IOS(queueing(waiting(&monitor, noting("a")), &fibers[0]), queueing(waiting(&monitor, noting("b")), &fibers[1]),
                                             inside(&monitor, holder), joining(&fibers[1]), looking(&fibers[0])));
        CHECK_STR(outcome_in(way, io), "OK <CANCELED 0>");
        CHECK_STR(notes(), "holder b");
        fibers_drop(2, fibers);
        monitor_drop(&monitor);
    }
}

static coir_io *notify_if_ok(void *monitor, coir_value *ended)
{
    return coir_result_in(ended)->tag == COIR_OK ? notifying(monitor) : coir_unit();
}

/* Whoever of the first two is asked as the lock goes to him: one of the others goes on. */
TEST(condition, a_request_that_comes_with_the_lock_loses_no_notification)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(
            queueing(inside(&monitor, coir_condition_wait(monitor.condition)), &fibers[0]), queueing(waiting(&monitor, noting("b")), &fibers[1]),
            coir_both(canceling(&fibers[0]), notifying(&monitor)), looking(&fibers[0])));
        coir_result result = run_in(way, coir_flat_map(io, notify_if_ok, &monitor));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
        CHECK_STR(notes(), "b");
        CHECK_INT(coir_fiber_status(fibers[1]), COIR_ENDED);
        fibers_drop(2, fibers);
        monitor_drop(&monitor);
    }
}

/* ------------------------------------------------------------------------------------------------- a buffer for a few */

/* Producers and consumers of a bounded buffer in plain memory, waits of whom are timed out all the time. */
enum { ROOM = 2, PRODUCERS = 2, CONSUMERS = 3, EACH = 6 };
struct buffer { coir_lock *lock; coir_condition *filled, *emptied; int items[ROOM], count; int sum, got; bool is_over; };
struct party { struct buffer *buffer; coir_duration patience; int number, left; };

static coir_io *producer_step(coir_routine *self)
{
    COIR_BEGIN(self, struct party, my);
    for (; my->left > 0; my->left--) {
        COIR_AWAIT(coir_lock_acquire(my->buffer->lock));
        while (my->buffer->count == ROOM)
            COIR_TRY(coir_timeout(coir_condition_wait(my->buffer->emptied), my->patience));
        my->buffer->items[my->buffer->count++] = my->number * EACH + my->left;
        COIR_AWAIT(coir_condition_notify(my->buffer->filled));
        COIR_AWAIT(coir_lock_release(my->buffer->lock));
    }
    COIR_END;
}

static coir_io *consumer_step(coir_routine *self)
{
    COIR_BEGIN(self, struct party, my);
    for (;;) {
        COIR_AWAIT(coir_lock_acquire(my->buffer->lock));
        while (my->buffer->count == 0 && my->buffer->got < PRODUCERS * EACH) {
            if (my->number == 0)
                COIR_AWAIT(coir_condition_wait(my->buffer->filled));
            else
                COIR_TRY(coir_timeout(coir_condition_wait(my->buffer->filled), my->patience));
        }
        if (my->buffer->count == 0)
            break;
        my->buffer->sum += my->buffer->items[--my->buffer->count];
        my->buffer->got++;
        COIR_AWAIT(my->buffer->got == PRODUCERS * EACH ? coir_condition_notify_all(my->buffer->filled) : coir_condition_notify(my->buffer->emptied));
        COIR_AWAIT(coir_lock_release(my->buffer->lock));
    }
    COIR_AWAIT(coir_lock_release(my->buffer->lock));
    COIR_END;
}

/* One of the consumers has no time-out: a notification that was lost with another's wait would leave it waiting for ever. */
TEST(condition, no_item_and_no_notification_is_lost_whoever_is_timed_out)
{
    FOR_WAYS(way) {
        coir_lock *lock = coir_lock_new();
        struct buffer buffer = { .lock = lock, .filled = coir_condition_new(lock), .emptied = coir_condition_new(lock) };
        coir_io *ios[PRODUCERS + CONSUMERS];
        for (int i = 0; i < PRODUCERS; i++)
            ios[i] = coir_do(producer_step, COIR_ENV(struct party, .buffer = &buffer, .patience = moment_in(way), .number = i, .left = EACH));
        for (int i = 0; i < CONSUMERS; i++)
            ios[PRODUCERS + i] = coir_do(consumer_step, COIR_ENV(struct party, .buffer = &buffer, .patience = moment_in(way), .number = i));
        CHECK_STR(outcome_in(way, coir_par_zip(PRODUCERS + CONSUMERS, ios)), "OK [0 0 0 0 0]");
        CHECK_INT(buffer.sum, 6 * 7 / 2 * 2 + EACH * EACH);
        CHECK_INT(buffer.count, 0);
        coir_condition_drop(buffer.filled);
        coir_condition_drop(buffer.emptied);
        coir_lock_drop(lock);
    }
}

/* ------------------------------------------------------------------------------------------------------------- verdicts */

TEST(condition, a_verdict_names_it_and_leaves_the_lock_with_who_unwinds)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_io *io = inside(&monitor, coir_finally(coir_condition_wait(monitor.condition), coir_flat_map(held(monitor.lock), note_flag, NULL)));
        const char *named = spelled("waits for a notification of condition %ju", CONDITION_ID(monitor.condition));
        coir_result result = run_in(way, waited(COIR_IOS(coir_io_ref(io), io)));
        CHECK_STR(describe(&result), "OK [<PANIC DEADLOCK> <PANIC DEADLOCK>]");
        CHECK_CONTAINS(coir_error_message(&coir_result_in(coir_list_at(&result.value, 0))->value), named);
        coir_result_drop(&result);
        CHECK_STR(notes(), "held held");
        CHECK_STR(outcome_in(way, held(monitor.lock)), "OK 0");
        monitor_drop(&monitor);
    }
}

TEST(condition, who_can_have_the_lock_no_more_unwinds_without_it)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_fiber *fibers[2] = { NULL };
        /* The holder never lets go: both wait in vain, and the verdict is for both at once. */
        coir_io *io = coir_zip(COIR_IOS(queueing(waiting(&monitor, coir_unit()), &fibers[0]), queueing(inside(&monitor, coir_never()), &fibers[1]),
                                        asking(&fibers[0]), looking(&fibers[0]), looking(&fibers[1])));
        CHECK_STR(outcome_in(way, io), "OK [0 0 0 <CANCELED 0 also(PANIC DEADLOCK, PANIC MISUSE)> <PANIC DEADLOCK>]");
        CHECK_STR(outcome_in(way, held(monitor.lock)), "OK 0");
        fibers_drop(2, fibers);
        monitor_drop(&monitor);
    }
}

TEST(condition, a_ring_through_the_lock_of_who_was_notified_is_found)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        coir_fiber *waiter = NULL;
        struct gate gate;
        coir_io *holder = inside(&monitor, coir_then(coir_condition_notify(monitor.condition), joining(&waiter)));
        coir_io *io = coir_then(queueing(waiting(&monitor, coir_unit()), &waiter), coir_then_keep(coir_attempt(joined(holder)), looking(&waiter)));
        coir_result result = run_in(way, not_silent(&gate, io));
        CHECK_TAG(result, COIR_OK);
        const coir_result *ended = coir_result_in(&result.value);
        CHECK_CODE(*ended, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&ended->value), spelled("waits for lock %ju that fiber", LOCK_ID(monitor.lock)));
        coir_result_drop(&result);
        fibers_drop(1, &waiter);
        monitor_drop(&monitor);
    }
}

static coir_result give_up(void *place)
{
    coir_condition_drop(*(coir_condition **)place);
    return coir_ok(coir_none());
}

TEST(condition, waiters_that_alone_are_left_are_woken_and_have_the_lock_again)
{
    FOR_WAYS(way) {
        struct monitor monitor = monitor_new();
        const char *named = spelled("waits for a notification of condition %ju", CONDITION_ID(monitor.condition));
        coir_fiber *fibers[2] = { NULL };
        struct gate gate;
        coir_io *first = inside(&monitor, coir_finally(coir_condition_wait(monitor.condition), coir_flat_map(held(monitor.lock), note_flag, NULL)));
        coir_io *second = inside(&monitor, coir_finally(coir_condition_wait(monitor.condition), coir_flat_map(held(monitor.lock), note_flag, NULL)));
        coir_io *io = coir_sequence(COIR_IOS(queueing(first, &fibers[0]), queueing(second, &fibers[1]), coir_defer(give_up, &monitor.condition),
                                             looking(&fibers[0]), looking(&fibers[1])));
        coir_result result = run_in(way, not_silent(&gate, io));
        CHECK_TAG(result, COIR_OK);
        CHECK_STR(describe(coir_result_in(&result.value)), "PANIC ABANDONED");
        CHECK_CONTAINS(coir_error_message(&coir_result_in(&result.value)->value), named);
        coir_result_drop(&result);
        CHECK_STR(notes(), "held held");
        CHECK_STR(outcome_in(way, held(monitor.lock)), "OK 0");
        fibers_drop(2, fibers);
        coir_lock_drop(monitor.lock);
    }
}

TEST(condition, who_would_wait_with_the_last_reference_is_refused_and_keeps_the_lock)
{
    FOR_WAYS(way) {
        coir_lock *lock = coir_lock_new();
        coir_condition *condition = coir_condition_new(lock);
        struct gate gate;
        coir_io *wait = coir_with_lock(lock, coir_finally(coir_condition_wait(condition), coir_flat_map(held(lock), note_flag, NULL)));
        coir_condition_drop(condition);
        CHECK_STR(outcome_in(way, not_silent(&gate, wait)), "PANIC ABANDONED");
        CHECK_STR(notes(), "held");
        coir_lock_drop(lock);
    }
}

TEST(condition, waiters_of_a_run_that_is_stopped_leave_lock_and_condition_as_they_were)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        struct monitor monitor = monitor_new();
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(queueing(waiting(&monitor, coir_pure(thing(1))), &fibers[0]),
                                             queueing(waiting(&monitor, coir_unit()), &fibers[1]),
                                             inside(&monitor, coir_then(coir_condition_notify(monitor.condition), coir_never()))));
        coir_result result = coir_run(io, COIR_OPTIONS(.workers = workers, .on_deadlock = COIR_DEADLOCK_STOP));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_STR(notes(), "-1");
        fibers_drop(2, fibers);
        CHECK_STR(outcome(workers, held(monitor.lock)), "OK 0");
        io = coir_sequence(COIR_IOS(queueing(waiting(&monitor, noting("on")), &fibers[0]), notifying(&monitor), joining(&fibers[0])));
        CHECK_STR(outcome(workers, io), "OK 0");
        CHECK_STR(notes(), "on");
        fibers_drop(1, fibers);
        monitor_drop(&monitor);
    }
}

TEST(condition, it_is_no_case_of_an_alternative)
{
    struct monitor monitor = monitor_new();
    CHECK_STR(outcome(1, coir_alt(COIR_CASES(coir_on(coir_condition_wait(monitor.condition), NULL, NULL)))), "PANIC EINVAL");
    monitor_drop(&monitor);
}

/* ---------------------------------------------------------------------------------------------------------- other runs */

TEST(condition, the_free_lock_is_refused_to_another_run_while_fibers_wait)
{
    FOR_SCHEDULES(options) {
        struct monitor monitor = monitor_new();
        struct elsewhere elsewhere;
        waits_elsewhere(&elsewhere, options, waiting(&monitor, coir_unit()));
        coir_io *refused[] = { coir_lock_acquire(monitor.lock), coir_lock_try(monitor.lock), notifying(&monitor) };
        for (size_t i = 0; i < 3; i++) {
            coir_result result = coir_run(refused[i], options);
            CHECK_CODE(result, COIR_ERROR, COIR_REFUSED);
            coir_result_drop(&result);
        }
        coir_fiber_cancel(elsewhere.fiber);
        gate_open(&elsewhere.silence);
        waits_elsewhere_end(&elsewhere);
        CHECK_STR(outcome_under(options, notifying(&monitor)), "OK 0");
        monitor_drop(&monitor);
    }
}
