/*
 * queue.c - tests of queues of work
 */
#include "sweep.h"

/* ---------------------------------------------------------------------------------------------------- words of this suite */

static coir_io *putting(coir_queue *queue, int64_t n) { return coir_queue_put(queue, coir_int(n)); }
static coir_io *putting_at(coir_queue *queue, int64_t priority, int64_t n) { return coir_queue_put_at(queue, priority, coir_int(n)); }
static coir_queue *plain(size_t capacity) { return coir_queue_new(capacity, COIR_FULL_WAIT); }
#define QUEUE_ID(queue) ((uintmax_t)coir_queue_id(queue))

/* letting_go: io, when the test's handle has been dropped. */
static coir_io *letting_go(coir_queue *queue, coir_io *io)
{
    coir_queue_drop(queue);
    return io;
}

static coir_io *cancel_placed(void *place) { return coir_cancel(*(coir_fiber **)place); }
static coir_io *canceling(coir_fiber **place) { return coir_suspend(cancel_placed, place); }

static coir_result close_it(void *queue) { coir_queue_close(queue); return coir_ok(coir_none()); }
static coir_result poison_it(void *queue) { coir_queue_poison(queue); return coir_ok(coir_none()); }
static coir_io *closing(coir_queue *queue)   { return coir_defer(close_it, queue); }
static coir_io *poisoning(coir_queue *queue) { return coir_defer(poison_it, queue); }

static coir_result see_size(void *queue) { return coir_ok(coir_int((int64_t)coir_queue_size(queue))); }
static coir_result see_unfinished(void *queue) { return coir_ok(coir_int((int64_t)coir_queue_unfinished(queue))); }
static coir_io *size_of(coir_queue *queue)       { return coir_defer(see_size, queue); }
static coir_io *unfinished_of(coir_queue *queue) { return coir_defer(see_unfinished, queue); }

/* noted: io, and a note of the number, or the thing, that it gave. */
static coir_value note_value(void *env, coir_value *value)
{
    (void)env;
    note("%d", is_thing(value) ? thing_number(value) : (int)value->i64);
    return coir_none();
}
static coir_io *noted(coir_io *io) { return coir_map(io, note_value, NULL); }

/* puts: of first, first + 1 and so on. gets: so many, as a list. */
static coir_io *puts_from(coir_queue *queue, int first, int count)
{
    coir_io *ios[8];
    for (int i = 0; i < count; i++)
        ios[i] = putting(queue, first + i);
    return coir_sequence((size_t)count, ios);
}
static coir_io *gets(coir_queue *queue, int count)
{
    coir_io *ios[8];
    for (int i = 0; i < count; i++)
        ios[i] = coir_queue_get(queue);
    return coir_zip((size_t)count, ios);
}

static const size_t capacities[] = { 1, 2, 5, COIR_UNBOUNDED };
enum { CAPACITIES = sizeof capacities / sizeof capacities[0] };

static void drop_all(size_t count, coir_fiber **fibers)
{
    for (size_t i = 0; i < count; i++) {
        coir_fiber_drop(fibers[i]);
        fibers[i] = NULL;
    }
}

/* ----------------------------------------------------------------------------------------------------------- put and get */

static coir_io *through(size_t capacity, coir_value value)
{
    coir_queue *queue = plain(capacity);
    return letting_go(queue, coir_both(coir_queue_put(queue, value), coir_queue_get(queue)));
}

TEST(queue, a_value_goes_from_who_puts_it_to_who_gets_it)
{
    for (size_t i = 0; i < CAPACITIES; i++) {
        CHECK_EVERYWHERE(through(capacities[i], coir_int(5)), "OK [1 5]", "");
        CHECK_EVERYWHERE(through(capacities[i], thing(5)), "OK [1 thing 5]", "-5");
        CHECK_EVERYWHERE(through(capacities[i], sole_thing(5)), "OK [1 thing 5]", "-5");
        CHECK_EVERYWHERE(through(capacities[i], starved_thing(5)), "OK [1 thing 5]", "-5");
    }
}

TEST(queue, a_value_that_cannot_be_had_is_a_panic_of_who_puts_it)
{
    coir_queue *queue = coir_queue_new_by_priority(1, COIR_FULL_WAIT);
    CHECK_EVERYWHERE(coir_queue_put(queue, coir_panic_value("none to be had")), "PANIC MISUSE", "");
    CHECK_EVERYWHERE(coir_queue_put_at(queue, 1, coir_panic_value("none to be had")), "PANIC MISUSE", "");
    CHECK_EVERYWHERE(coir_queue_try_put(queue, coir_panic_value("none to be had")), "PANIC MISUSE", "");
    CHECK_EVERYWHERE(coir_queue_try_put_at(queue, 1, coir_panic_value("none to be had")), "PANIC MISUSE", "");
    CHECK_UINT(coir_queue_size(queue), 0);
    coir_queue_drop(queue);
}

/* How many of seven are put before somebody has got one. */
static coir_io *put_seven(coir_queue *queue, coir_fiber **putter)
{
    coir_io *ios[7];
    for (int i = 0; i < 7; i++)
        ios[i] = coir_then(putting(queue, i), noting("put"));
    return queueing(coir_then(coir_sequence(7, ios), coir_never()), putter);
}

TEST(queue, who_puts_into_a_full_one_waits_for_room)
{
    static const char *const expected[] = { "put", "put put", "put put put put put", "put put put put put put put" };
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_SCHEDULES(options) {
            coir_fiber *putter = NULL;
            coir_queue *queue = plain(capacities[i]);
            coir_io *io = coir_then(put_seven(queue, &putter), size_of(queue));
            CHECK_STR(outcome_under(options, coir_then_keep(io, canceling(&putter))), spelled("OK %d", (int)(capacities[i] < 7 ? capacities[i] : 7)));
            CHECK_STR(notes(), expected[i]);
            CHECK_UINT(coir_queue_dropped(queue), 0);
            coir_fiber_drop(putter);
            coir_queue_drop(queue);
        }
}

TEST(queue, who_waits_to_get_is_given_the_value_itself)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_SCHEDULES(options) {
            coir_fiber *getter = NULL;
            coir_queue *queue = plain(capacities[i]);
            coir_io *io = coir_sequence(COIR_IOS(queueing(coir_queue_get(queue), &getter), coir_queue_put(queue, sole_thing(4)), size_of(queue)));
            CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(io, joining(&getter)))), "OK [0 thing 4]");
            CHECK_STR(notes(), "-4");
            coir_fiber_drop(getter);
            coir_queue_drop(queue);
        }
}

static coir_io *in_order(size_t capacity)
{
    coir_queue *queue = plain(capacity);
    return letting_go(queue, coir_both(puts_from(queue, 1, 6), gets(queue, 6)));
}

TEST(queue, values_of_one_putter_come_out_in_their_order)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        CHECK_EVERYWHERE(in_order(capacities[i]), "OK [1 [1 2 3 4 5 6]]", "");
}

TEST(queue, getters_are_served_in_the_order_of_arrival)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_SCHEDULES(options) {
            coir_fiber *fibers[4] = { NULL };
            coir_queue *queue = plain(capacities[i]);
            coir_io *io = coir_sequence(COIR_IOS(queueing(coir_queue_get(queue), &fibers[0]), queueing(coir_queue_get(queue), &fibers[1]),
                                                 queueing(coir_queue_get_many(queue, 3), &fibers[2]), queueing(coir_queue_next(queue), &fibers[3]),
                                                 canceling(&fibers[1]), puts_from(queue, 1, 3)));
            io = coir_then(io, coir_zip(COIR_IOS(joining(&fibers[0]), joining(&fibers[2]), joining(&fibers[3]))));
            CHECK_STR(outcome_under(options, io), "OK [1 [2] 3]");
            drop_all(4, fibers);
            coir_queue_drop(queue);
        }
}

TEST(queue, putters_are_let_in_in_the_order_of_arrival)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[4] = { NULL };
        coir_queue *queue = plain(2);
        coir_io *io = coir_sequence(COIR_IOS(puts_from(queue, 10, 2), queueing(putting(queue, 1), &fibers[0]), queueing(coir_queue_put(queue, thing(2)), &fibers[1]),
                                             queueing(putting(queue, 3), &fibers[2]), queueing(putting(queue, 4), &fibers[3]), canceling(&fibers[1])));
        CHECK_STR(outcome_under(options, coir_then(io, gets(queue, 5))), "OK [10 11 1 3 4]");
        CHECK_STR(notes(), "-2");
        CHECK_UINT(coir_queue_size(queue), 0);
        drop_all(4, fibers);
        coir_queue_drop(queue);
    }
}

TEST(queue, who_comes_late_does_not_overtake_who_waits)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[2] = { NULL };
        coir_queue *full = plain(1), *empty = plain(1);
        coir_io *io = coir_zip(COIR_IOS(putting(full, 1), queueing(putting(full, 2), &fibers[0]), coir_queue_try_put(full, coir_int(3)), size_of(full),
                                        queueing(coir_queue_get(empty), &fibers[1]), coir_attempt(coir_queue_try_get(empty)), putting(empty, 7),
                                        coir_attempt(coir_queue_try_get(empty)), joining(&fibers[1]), coir_queue_get(full), coir_queue_get(full),
                                        coir_attempt(coir_queue_try_get(full))));
        CHECK_STR(outcome_under(options, io), "OK [1 0 0 1 0 <ERROR EAGAIN> 1 <ERROR EAGAIN> 7 1 2 <ERROR EAGAIN>]");
        drop_all(2, fibers);
        coir_queue_drop(full);
        coir_queue_drop(empty);
    }
}

TEST(queue, try_put_gives_whether_there_was_room_or_somebody_waited)
{
    FOR_SCHEDULES(options) {
        coir_fiber *getter = NULL;
        coir_queue *queue = plain(1);
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(queueing(coir_queue_get(queue), &getter), coir_queue_try_put(queue, thing(1)),
                                                           coir_queue_try_put(queue, sole_thing(2)), coir_queue_try_put(queue, thing(3)),
                                                           joining(&getter), coir_queue_try_get(queue)))),
                  "OK [0 1 1 0 thing 1 thing 2]");
        coir_fiber_drop(getter);
        CHECK_STR(notes(), "-3 -2 -1");
        CHECK_UINT(coir_queue_dropped(queue), 0);
        coir_queue_drop(queue);
    }
}

/* ---------------------------------------------------------------------------------------------------------- when it is full */

TEST(queue, a_dropping_one_drops_what_comes_when_it_is_full_and_says_so)
{
    FOR_SCHEDULES(options) {
        coir_queue *queue = coir_queue_new(2, COIR_FULL_DROP_NEW);
        coir_io *io = coir_zip(COIR_IOS(coir_queue_put(queue, thing(1)), coir_queue_put(queue, sole_thing(2)), coir_queue_put(queue, thing(3)),
                                        coir_queue_try_put(queue, sole_thing(4)), unfinished_of(queue), coir_queue_get(queue),
                                        coir_queue_put(queue, coir_int(5)), gets(queue, 2)));
        CHECK_STR(outcome_under(options, io), "OK [1 1 0 0 2 thing 1 1 [thing 2 5]]");
        CHECK_STR(notes(), "-3 -4 -1 -2");
        CHECK_UINT(coir_queue_dropped(queue), 2);
        coir_queue_drop(queue);
    }
}

TEST(queue, a_sliding_one_drops_the_oldest)
{
    FOR_SCHEDULES(options) {
        coir_queue *queue = coir_queue_new(2, COIR_FULL_DROP_OLD);
        coir_io *shared = coir_queue_put(queue, thing(9)), *again = coir_io_ref(shared);
        coir_io *io = coir_zip(COIR_IOS(coir_queue_put(queue, thing(1)), coir_queue_put(queue, sole_thing(2)), coir_queue_put(queue, thing(3)),
                                        coir_queue_try_put(queue, sole_thing(4)), size_of(queue), unfinished_of(queue), shared, again, gets(queue, 2)));
        CHECK_STR(outcome_under(options, io), "OK [1 1 1 1 2 2 1 1 [thing 9 thing 9]]");
        CHECK_STR(notes(), "-1 -2 -3 -4 -9");
        CHECK_UINT(coir_queue_dropped(queue), 4);
        CHECK_INT(things_alive, 0);
        coir_queue_drop(queue);
    }
}

static coir_io *put_index(void *queue, size_t index) { return putting(queue, (int64_t)index + 1); }

TEST(queue, nobody_waits_to_put_into_one_that_drops_and_never_more_are_inside_than_may_be)
{
    static const coir_when_full ways[] = { COIR_FULL_DROP_NEW, COIR_FULL_DROP_OLD };
    const size_t many = 300;
    for (size_t i = 0; i < 2; i++)
        FOR_SCHEDULES(options) {
            coir_queue *queue = coir_queue_new(20, ways[i]);
            CHECK_STR(outcome_under(options, coir_as(coir_traverse(many, put_index, queue), coir_none())), "OK 0");
            CHECK_UINT(coir_queue_size(queue), 20);
            CHECK_UINT(coir_queue_unfinished(queue), 20);
            CHECK_UINT(coir_queue_dropped(queue), many - 20);
            CHECK_STR(outcome_under(options, gets(queue, 3)), i == 0 ? "OK [1 2 3]" : "OK [281 282 283]");
            coir_queue_drop(queue);
        }
}

/* ----------------------------------------------------------------------------------------------------------- priority */

TEST(queue, the_least_priority_is_got_first_and_among_equals_the_first)
{
    FOR_SCHEDULES(options) {
        coir_queue *queue = coir_queue_new_by_priority(COIR_UNBOUNDED, COIR_FULL_WAIT);
        coir_io *io = coir_sequence(COIR_IOS(putting_at(queue, 5, 1), putting_at(queue, -3, 2), putting(queue, 3), putting_at(queue, 5, 4), putting_at(queue, INT64_MAX, 5),
                                             putting_at(queue, INT64_MIN, 6), coir_queue_try_put(queue, coir_int(7)), coir_queue_try_put_at(queue, -3, coir_int(8))));
        CHECK_STR(outcome_under(options, coir_then(io, gets(queue, 8))), "OK [6 2 8 3 7 1 4 5]");
        coir_queue_drop(queue);
    }
}

/* Values in no order, three of each priority: a value is its priority times 1000, and when it was put. */
enum { SHUFFLED = 300 };
static coir_io *put_shuffled(void *queue, size_t index)
{
    int64_t priority = (int64_t)(index * 37 % 100);
    return putting_at(queue, priority, priority * 1000 + (int64_t)index);
}
static coir_io *check_next(void *latest_, coir_value *value)
{
    int64_t *latest = latest_;
    if (value->i64 <= *latest)
        CHECK_FAIL("%d came after %d", (int)value->i64, (int)*latest);
    *latest = value->i64;
    return coir_unit();
}

TEST(queue, many_priorities_come_in_their_order)
{
    FOR_WORKERS(workers, 1, 2) {
        int64_t latest = -1;
        coir_queue *queue = coir_queue_new_by_priority(COIR_UNBOUNDED, COIR_FULL_WAIT);
        CHECK_STR(outcome(workers, coir_as(coir_traverse(SHUFFLED, put_shuffled, queue), coir_none())), "OK 0");
        CHECK_UINT(coir_queue_size(queue), SHUFFLED);
        coir_queue_close(queue);
        CHECK_STR(outcome(workers, coir_for_each(coir_queue_next(queue), check_next, &latest)), "OK 0");
        CHECK_INT(latest, 99 * 1000 + 227);             /* 227 * 37 is 99 more than some hundreds */
        coir_queue_drop(queue);
    }
}

TEST(queue, a_bounded_one_with_priorities_holds_back_or_drops_what_comes)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[2] = { NULL };
        coir_queue *waits = coir_queue_new_by_priority(2, COIR_FULL_WAIT), *drops = coir_queue_new_by_priority(1, COIR_FULL_DROP_NEW);
        coir_io *io = coir_sequence(COIR_IOS(putting_at(waits, 5, 1), putting_at(waits, 4, 2), queueing(putting_at(waits, 3, 3), &fibers[0]),
                                             queueing(putting_at(waits, 1, 4), &fibers[1])));
        CHECK_STR(outcome_under(options, coir_then(io, gets(waits, 4))), "OK [2 3 4 1]");
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(putting_at(drops, 5, 1), coir_queue_put_at(drops, 1, thing(2)), coir_queue_get(drops)))), "OK [1 0 1]");
        CHECK_STR(notes(), "-2");
        drop_all(2, fibers);
        coir_queue_drop(waits);
        coir_queue_drop(drops);
    }
}

/* ----------------------------------------------------------------------------------------------------------- get many */

TEST(queue, get_many_gives_what_is_there_in_order_one_at_least_and_so_many_at_most)
{
    FOR_SCHEDULES(options) {
        coir_fiber *getter = NULL;
        coir_queue *queue = plain(5), *ranked = coir_queue_new_by_priority(5, COIR_FULL_WAIT);
        coir_io *many = coir_queue_get_many(queue, 2), *again = coir_io_ref(many);
        coir_io *io = coir_zip(COIR_IOS(puts_from(queue, 1, 5), many, again, coir_queue_get_many(queue, SIZE_MAX),
                                        queueing(coir_queue_get_many(queue, 3), &getter), puts_from(queue, 6, 2), joining(&getter), coir_queue_get_many(queue, 1)));
        CHECK_STR(outcome_under(options, io), "OK [1 [1 2] [3 4] [5] 0 1 [6] [7]]");
        coir_io *by_priority = coir_zip(COIR_IOS(putting_at(ranked, 3, 1), putting_at(ranked, 1, 2), putting_at(ranked, 2, 3), coir_queue_get_many(ranked, 3)));
        CHECK_STR(outcome_under(options, by_priority), "OK [1 1 1 [2 3 1]]");
        coir_fiber_drop(getter);
        coir_queue_drop(queue);
        coir_queue_drop(ranked);
    }
}

TEST(queue, get_many_lets_in_as_many_as_it_takes)
{
    FOR_SCHEDULES(options) {
        coir_fiber *putter = NULL;
        coir_queue *queue = plain(2);
        coir_io *io = coir_sequence(COIR_IOS(queueing(puts_from(queue, 1, 5), &putter), noted(size_of(queue)), coir_queue_get_many(queue, 2)));
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(io, gets(queue, 3), joining(&putter)))), "OK [[1 2] [3 4 5] 1]");
        CHECK_STR(notes(), "2");
        coir_fiber_drop(putter);
        coir_queue_drop(queue);
    }
}

TEST(queue, get_many_gives_at_most_a_thousand_and_twenty_four)
{
    coir_queue *queue = plain(COIR_UNBOUNDED);
    CHECK_STR(outcome(1, coir_as(coir_traverse(2000, put_index, queue), coir_none())), "OK 0");
    coir_result result = run(1, coir_queue_get_many(queue, 2000));
    CHECK_UINT(coir_list_size(&result.value), 1024);
    CHECK_UINT(coir_queue_size(queue), 2000 - 1024);
    coir_result_drop(&result);
    coir_queue_drop(queue);
}

TEST(queue, get_many_fails_at_the_end_as_get_does)
{
    FOR_SCHEDULES(options) {
        coir_fiber *getter = NULL;
        coir_queue *queue = plain(2);
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_attempt(coir_queue_get_many(queue, 3)), &getter), closing(queue)));
        CHECK_STR(outcome_under(options, coir_then(io, joining(&getter))), "OK <ERROR CLOSED>");
        CHECK_STR(outcome_under(options, coir_attempt(coir_queue_get_many(queue, 3))), "OK <ERROR CLOSED>");
        coir_queue_poison(queue);
        CHECK_STR(outcome_under(options, coir_attempt(coir_queue_get_many(queue, 3))), "OK <ERROR POISONED>");
        coir_fiber_drop(getter);
        coir_queue_drop(queue);
    }
}

/* ---------------------------------------------------------------------------------------------------------- done, wait */

TEST(queue, wait_done_waits_until_as_many_are_done_as_were_put)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[2] = { NULL };
        coir_queue *queue = plain(5);
        coir_io *wait = coir_queue_wait_done(queue), *again = coir_io_ref(wait);
        coir_io *io = coir_sequence(COIR_IOS(coir_queue_wait_done(queue), noting("none was put"), puts_from(queue, 1, 2),
                                             queueing(coir_then(wait, noting("all")), &fibers[0]), queueing(coir_then(again, noting("all")), &fibers[1]), gets(queue, 2),
                                             coir_queue_done(queue), coir_repeat(coir_yield(), 5), noting("one"), unfinished_of(queue)));
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(io, coir_queue_done(queue), joining(&fibers[0]), joining(&fibers[1]), coir_queue_wait_done(queue)))),
                  "OK [1 0 0 0 0]");
        CHECK_STR(notes(), "none was put one all all");
        drop_all(2, fibers);
        coir_queue_drop(queue);
    }
}

TEST(queue, what_is_handed_to_a_getter_counts_as_what_is_inside_does)
{
    FOR_SCHEDULES(options) {
        coir_fiber *getter = NULL;
        coir_queue *queue = plain(1);
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_queue_get(queue), &getter), putting(queue, 1), joining(&getter)));
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(io, unfinished_of(queue), coir_queue_done(queue), unfinished_of(queue)))), "OK [1 1 0 0]");
        coir_fiber_drop(getter);
        coir_queue_drop(queue);
    }
}

TEST(queue, done_once_too_often_is_a_panic_and_the_queue_stays_as_it_was)
{
    FOR_SCHEDULES(options) {
        coir_queue *queue = plain(2);
        coir_result result = coir_run(coir_queue_done(queue), options);
        CHECK_CODE(result, COIR_PANIC, COIR_MISUSE);
        CHECK_CONTAINS(coir_error_message(&result.value), spelled("put into queue %ju", QUEUE_ID(queue)));
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_queue_done: fiber");
        coir_result_drop(&result);
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(putting(queue, 1), unfinished_of(queue), coir_queue_done(queue), size_of(queue)))), "OK [1 1 0 1]");
        coir_queue_drop(queue);
    }
}

TEST(queue, poison_after_a_done_too_early_leaves_nothing_unfinished)
{
    FOR_SCHEDULES(options) {
        coir_queue *queue = plain(2);
        CHECK_STR(outcome_under(options, coir_then(putting(queue, 1), coir_queue_done(queue))), "OK 0");
        coir_queue_poison(queue);
        CHECK_UINT(coir_queue_unfinished(queue), 0);
        CHECK_STR(outcome_under(options, coir_queue_wait_done(queue)), "OK 0");
        coir_queue_drop(queue);
    }
}

static coir_io *put_or_sleep(coir_queue *queue, bool sleeps)
{
    coir_case put = coir_on(coir_queue_put(queue, thing(1)), NULL, NULL);
    return sleeps ? coir_alt(COIR_CASES(put, coir_on(coir_sleep(coir_ms(1)), NULL, NULL))) : coir_alt(COIR_CASES(put));
}

TEST(queue, value_that_an_alternative_cannot_put_since_all_who_have_the_queue_wait_is_dropped_once)
{
    for (int sleeps = 0; sleeps < 2; sleeps++)
        FOR_SCHEDULES(options) {
            coir_queue *queue = plain(1);
            coir_io *io = coir_then(coir_queue_put(queue, coir_int(1)), put_or_sleep(queue, sleeps));
            coir_queue_drop(queue);
            CHECK_STR(outcome_under(options, io), sleeps ? "OK 0" : "PANIC ABANDONED");
            CHECK_STR(notes(), "-1");
            CHECK_INT(things_alive, 0);
        }
}

TEST(queue, who_waits_for_all_to_be_done_may_be_canceled)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[2] = { NULL };
        coir_queue *queue = plain(2);
        coir_io *io = coir_sequence(COIR_IOS(putting(queue, 1), queueing(coir_queue_wait_done(queue), &fibers[0]), queueing(coir_queue_wait_done(queue), &fibers[1]),
                                             canceling(&fibers[0]), coir_queue_done(queue), joining(&fibers[1])));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(outcome_under(options, coir_attempt(coir_join(fibers[0]))), "OK <ERROR CHILD_CANCELED>");
        drop_all(2, fibers);
        coir_queue_drop(queue);
    }
}

/* -------------------------------------------------------------------------------------------------------------- each */

static coir_io *note_item(void *env, coir_value *item)
{
    note("%s%d", (const char *)env, is_thing(item) ? thing_number(item) : (int)item->i64);
    return coir_yield();
}

static coir_io *each_of(size_t capacity, bool copies)
{
    coir_queue *queue = plain(capacity);
    coir_io *worker = copies ? coir_queue_each_copy(queue, note_item, "n", 2) : coir_queue_each(queue, note_item, "");
    coir_io *giver = coir_queue_closing(queue, coir_sequence(COIR_IOS(puts_from(queue, 0, 2), coir_queue_put(queue, sole_thing(2)), coir_queue_wait_done(queue))));
    return letting_go(queue, coir_both(giver, worker));
}

TEST(queue, each_runs_fn_on_each_value_until_the_queue_is_closed_and_empty)
{
    for (size_t i = 0; i < CAPACITIES; i++) {
        CHECK_EVERYWHERE(each_of(capacities[i], false), "OK [0 0]", "0 1 2 -2");
        CHECK_EVERYWHERE(each_of(capacities[i], true), "OK [0 0]", "n0 n1 n2 -2");
    }
}

static coir_io *end_as_told(void *env, coir_value *item)
{
    (void)env;
    return coir_then(coir_yield(), ending((coir_tag)item->i64, 7));
}
static coir_io *no_io(void *env, coir_value *item) { (void)env; (void)item; return NULL; }

TEST(queue, a_value_is_done_however_its_work_ended_and_what_it_failed_with_ends_the_worker)
{
    static const char *const expected[] = { "OK <OK 0>", "OK <ERROR 7>", "OK <PANIC 7>", "CANCELED 7" };
    FOR_SCHEDULES(options)
        for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
            coir_queue *queue = plain(3);
            coir_io *giver = coir_then(puts_from(queue, (int)tag, 1), closing(queue));
            CHECK_STR(outcome_under(options, coir_then(giver, coir_attempt(coir_queue_each(queue, end_as_told, NULL)))), expected[tag]);
            CHECK_UINT(coir_queue_unfinished(queue), 0);
            coir_queue_drop(queue);
        }
    FOR_SCHEDULES(options) {
        coir_queue *queue = plain(3);
        CHECK_STR(outcome_under(options, coir_then(puts_from(queue, 1, 2), coir_queue_each(queue, no_io, NULL))), "PANIC ENOMEM");
        CHECK_UINT(coir_queue_unfinished(queue), 1);
        CHECK_UINT(coir_queue_size(queue), 1);
        coir_queue_drop(queue);
    }
}

/* Whoever is canceled at whatever step: what was got is done, and the others do the rest. */
struct office { coir_queue *queue; coir_fiber *workers[2], *waiter; atomic_int begun; };

static coir_io *begin_work(void *office, coir_value *item)
{
    (void)item;
    atomic_fetch_add(&((struct office *)office)->begun, 1);
    return coir_repeat(coir_yield(), 2);
}

static coir_io *office_program(struct office *office)
{
    return coir_sequence(COIR_IOS(forking(coir_queue_each(office->queue, begin_work, office), &office->workers[0]),
                                  forking(coir_queue_each(office->queue, begin_work, office), &office->workers[1]), puts_from(office->queue, 1, 5),
                                  coir_queue_wait_done(office->queue), closing(office->queue), coir_attempt(joining(&office->workers[0])),
                                  coir_attempt(joining(&office->workers[1])), coir_unit()));
}

TEST(queue, no_value_is_left_undone_by_a_worker_that_is_canceled_at_whatever_step)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_EACH_STEP(step, options) {
            struct office office = { .queue = plain(capacities[i]) };
            CHECK_STR(canceled_at(step, options, office_program(&office), &office.workers[0]), "OK 0");
            CHECK_UINT(coir_queue_unfinished(office.queue), 0);
            CHECK(office.begun <= 5);
            drop_all(2, office.workers);
            coir_queue_drop(office.queue);
        }
}

/* ------------------------------------------------------------------------------------------------------ close, poison */

TEST(queue, what_is_inside_a_closed_one_and_what_waits_to_be_put_can_still_be_got)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[2] = { NULL };
        coir_queue *queue = plain(2);
        coir_io *io = coir_sequence(COIR_IOS(puts_from(queue, 1, 2), queueing(coir_queue_put(queue, thing(8)), &fibers[0]),
                                             queueing(coir_queue_put(queue, sole_thing(9)), &fibers[1]), closing(queue)));
        io = coir_zip(COIR_IOS(io, gets(queue, 4), joining(&fibers[0]), joining(&fibers[1]), coir_attempt(coir_queue_get(queue)), coir_queue_next(queue),
                               coir_attempt(coir_queue_try_get(queue))));
        CHECK_STR(outcome_under(options, io), "OK [0 [1 2 thing 8 thing 9] 1 1 <ERROR CLOSED> 0 <ERROR CLOSED>]");
        CHECK_STR(notes(), "-8 -9");
        drop_all(2, fibers);
        coir_queue_drop(queue);
    }
}

TEST(queue, what_is_put_into_a_closed_or_poisoned_one_is_refused_and_dropped)
{
    static const coir_when_full ways[] = { COIR_FULL_WAIT, COIR_FULL_DROP_NEW, COIR_FULL_DROP_OLD };
    for (size_t i = 0; i < 3; i++)
        FOR_SCHEDULES(options) {
            coir_queue *queue = coir_queue_new(1, ways[i]);
            coir_io *io = coir_zip(COIR_IOS(closing(queue), coir_attempt(coir_queue_put(queue, thing(1))), coir_attempt(coir_queue_try_put(queue, thing(2))),
                                            poisoning(queue), coir_attempt(coir_queue_put(queue, thing(3))), coir_attempt(coir_queue_try_put(queue, thing(4)))));
            CHECK_STR(outcome_under(options, io), "OK [0 <ERROR CLOSED> <ERROR CLOSED> 0 <ERROR POISONED> <ERROR POISONED>]");
            CHECK_STR(notes(), "-1 -2 -3 -4");
            CHECK_UINT(coir_queue_unfinished(queue), 0);
            coir_queue_drop(queue);
        }
}

TEST(queue, getters_who_wait_when_it_is_closed_come_to_its_end)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[2] = { NULL };
        coir_queue *queue = plain(1);
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_attempt(coir_queue_get(queue)), &fibers[0]), queueing(coir_queue_next(queue), &fibers[1]), closing(queue)));
        CHECK_STR(outcome_under(options, coir_then(io, coir_zip(COIR_IOS(joining(&fibers[0]), joining(&fibers[1]))))), "OK [<ERROR CLOSED> 0]");
        drop_all(2, fibers);
        coir_queue_drop(queue);
    }
}

TEST(queue, poison_drops_what_is_inside_which_counts_as_done_and_wakes_all)
{
    for (int by_priority = 0; by_priority < 2; by_priority++)
        FOR_SCHEDULES(options) {
            coir_fiber *fibers[5] = { NULL };
            coir_queue *full = by_priority ? coir_queue_new_by_priority(2, COIR_FULL_WAIT) : plain(2), *empty = plain(2);
            coir_io *io = coir_sequence(COIR_IOS(coir_queue_put(full, thing(1)), coir_queue_put(full, thing(2)),
                                                 queueing(coir_attempt(coir_queue_put(full, thing(3))), &fibers[0]),
                                                 queueing(coir_attempt(coir_queue_put(full, sole_thing(4))), &fibers[1]),
                                                 queueing(coir_attempt(coir_queue_get(empty)), &fibers[2]), queueing(coir_attempt(coir_queue_next(empty)), &fibers[3]),
                                                 queueing(coir_queue_wait_done(full), &fibers[4]), poisoning(full), poisoning(empty)));
            io = coir_then(io, coir_zip(COIR_IOS(joining(&fibers[0]), joining(&fibers[1]), joining(&fibers[2]), joining(&fibers[3]), joining(&fibers[4]),
                                                 coir_attempt(coir_queue_get(full)), coir_attempt(coir_queue_next(full)), coir_attempt(coir_queue_try_get(full)), size_of(full))));
            CHECK_STR(outcome_under(options, io), "OK [<ERROR POISONED> <ERROR POISONED> <ERROR POISONED> <ERROR POISONED> 0 "
                                                  "<ERROR POISONED> <ERROR POISONED> <ERROR POISONED> 0]");
            CHECK_INT(things_alive, 0);
            notes();
            drop_all(5, fibers);
            coir_queue_drop(full);
            coir_queue_drop(empty);
        }
}

TEST(queue, what_was_got_before_a_poison_is_still_to_be_done)
{
    FOR_SCHEDULES(options) {
        coir_queue *queue = plain(3);
        coir_io *io = coir_zip(COIR_IOS(puts_from(queue, 1, 3), coir_queue_get(queue), poisoning(queue), unfinished_of(queue), coir_queue_done(queue),
                                        coir_queue_wait_done(queue), coir_attempt(coir_queue_done(queue))));
        CHECK_STR(outcome_under(options, io), "OK [1 1 0 1 0 0 <PANIC MISUSE>]");
        coir_queue_drop(queue);
    }
}

TEST(queue, closing_and_poisoning_again_and_of_NULL_do_nothing)
{
    coir_queue *queue = plain(1);
    coir_queue_close(NULL);
    coir_queue_poison(NULL);
    coir_queue_close(queue);
    coir_queue_close(queue);
    CHECK_STR(outcome(1, coir_attempt(coir_queue_get(queue))), "OK <ERROR CLOSED>");
    coir_queue_poison(queue);
    coir_queue_poison(queue);
    coir_queue_close(queue);
    CHECK_STR(outcome(1, coir_attempt(coir_queue_get(queue))), "OK <ERROR POISONED>");
    coir_queue_drop(queue);
}

TEST(queue, closing_comes_however_io_ended)
{
    static const char *const expected[] = { "OK 5", "ERROR 5", "PANIC 5", "CANCELED 5" };
    FOR_SCHEDULES(options)
        for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
            coir_queue *queue = plain(1);
            CHECK_STR(outcome_under(options, coir_queue_closing(queue, coir_then(coir_yield(), ending(tag, 5)))), expected[tag]);
            CHECK_STR(outcome_under(options, coir_attempt(coir_queue_get(queue))), "OK <ERROR CLOSED>");
            coir_queue_drop(queue);
        }
}

static void *close_from_outside(void *queue) { coir_queue_close(queue); return NULL; }
static void *poison_from_outside(void *queue) { coir_queue_poison(queue); return NULL; }

/* A thread that comes when the fiber waits. The gate keeps the run from falling silent before. */
static void check_ended_from_outside(const coir_options *options, void *(*end)(void *), const char *expected)
{
    struct gate gate = GATE;
    struct other_run other;
    pthread_t thread;
    coir_queue *queue = plain(1);
    coir_fiber *getter = NULL;
    other_run_begin(&other, options, coir_sequence(COIR_IOS(queueing(coir_attempt(coir_queue_get(queue)), &getter), passing(&gate), joining(&getter))));
    CHECK_SOON(gate_waiting(&gate) == 1);
    CHECK_INT(pthread_create(&thread, NULL, end, queue), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    gate_open(&gate);
    coir_result result = other_run_end(&other);
    CHECK_STR(describe(&result), expected);
    coir_result_drop(&result);
    coir_fiber_drop(getter);
    coir_queue_drop(queue);
}

TEST(queue, any_thread_may_close_or_poison_it_exposed_or_not)
{
    FOR_SCHEDULES(options) {
        check_ended_from_outside(options, close_from_outside, "OK <ERROR CLOSED>");
        check_ended_from_outside(options, poison_from_outside, "OK <ERROR POISONED>");
    }
}

static coir_io *all_of_them(size_t capacity)
{
    coir_queue *queue = plain(capacity);
    return letting_go(queue, coir_both(coir_queue_closing(queue, puts_from(queue, 0, 3)), coir_for_each(coir_queue_next(queue), note_item, "")));
}

TEST(queue, next_gives_none_at_the_end_and_a_zero_for_a_zero)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        CHECK_EVERYWHERE(all_of_them(capacities[i]), "OK [1 0]", "0 1 2");
}

/* -------------------------------------------------------------------------------------------------------------- shared */

static coir_io *put_again(size_t capacity, coir_value value, int times)
{
    coir_queue *queue = plain(capacity);
    coir_io *putter = coir_queue_closing(queue, coir_attempt(coir_repeat(coir_queue_put(queue, value), (uint64_t)times)));
    coir_io *getter = coir_zip(COIR_IOS(coir_attempt(coir_queue_get(queue)), coir_attempt(coir_queue_get(queue)), coir_attempt(coir_queue_get(queue))));
    return letting_go(queue, coir_both(putter, getter));
}

TEST(queue, an_io_that_puts_may_run_many_times_if_its_value_can_be_shared)
{
    for (size_t i = 0; i < CAPACITIES; i++) {
        CHECK_EVERYWHERE(put_again(capacities[i], thing(1), 2), "OK [<OK 1> [<OK thing 1> <OK thing 1> <ERROR CLOSED>]]", "-1");
        CHECK_EVERYWHERE(put_again(capacities[i], coir_int(1), 3), "OK [<OK 1> [<OK 1> <OK 1> <OK 1>]]", "");
        CHECK_EVERYWHERE(put_again(capacities[i], sole_thing(1), 2), "OK [<PANIC MISUSE> [<OK thing 1> <ERROR CLOSED> <ERROR CLOSED>]]", "-1");
        CHECK_EVERYWHERE(put_again(capacities[i], starved_thing(1), 2), "OK [<PANIC ENOMEM> [<ERROR CLOSED> <ERROR CLOSED> <ERROR CLOSED>]]", "-1");
    }
}

/* ------------------------------------------------------------------------------------------------------- alternatives */

static coir_case on(coir_io *io) { return coir_on(io, NULL, NULL); }

TEST(queue, put_get_and_waiting_for_all_to_be_done_are_cases_of_an_alternative)
{
    FOR_SCHEDULES(options) {
        coir_queue *full = plain(1), *empty = plain(1), *sliding = coir_queue_new(1, COIR_FULL_DROP_OLD);
        CHECK_STR(outcome_under(options, coir_then(putting(full, 1), coir_queue_put(sliding, thing(5)))), "OK 1");
        coir_io *put = coir_alt(COIR_CASES(on(coir_queue_get(empty)), on(coir_queue_put(full, thing(2))), on(coir_queue_put(empty, coir_int(3)))));
        coir_io *get = coir_alt(COIR_CASES(on(coir_queue_wait_done(full)), on(coir_queue_put(full, sole_thing(4))), on(coir_queue_get_many(empty, 5))));
        coir_io *done = coir_alt(COIR_CASES(on(coir_queue_next(empty)), on(coir_queue_wait_done(full))));
        coir_io *slide = coir_alt(COIR_CASES(on(coir_queue_get(empty)), on(coir_queue_put(sliding, coir_int(6)))));
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(put, get, coir_queue_done(full), done, slide, coir_queue_get(sliding)))), "OK [1 [3] 0 0 1 6]");
        CHECK_STR(notes(), "-2 -4 -5");
        CHECK_UINT(coir_queue_size(full), 1);
        coir_queue_drop(full);
        coir_queue_drop(empty);
        coir_queue_drop(sliding);
    }
}

TEST(queue, an_alternative_that_waits_goes_by_whichever_comes_and_by_no_other)
{
    FOR_SCHEDULES(options)
        for (int which = 0; which < 4; which++) {
            coir_fiber *waiter = NULL;
            coir_queue *full = plain(1), *empty = plain(1), *batch = plain(1);
            coir_io *alt = coir_alt(COIR_CASES(on(coir_queue_get(empty)), on(coir_queue_put(full, thing(2))), on(coir_queue_wait_done(full)),
                                               on(coir_queue_get_many(batch, 2))));
            coir_io *makes_go[] = { putting(empty, 7), coir_queue_get(full), coir_queue_done(full), putting(batch, 8) };
            static const char *const expected[] = { "OK 7", "OK 1", "OK 0", "OK [8]" };
            for (int i = 0; i < 4; i++)
                if (i != which)
                    coir_io_drop(makes_go[i]);
            coir_io *io = coir_sequence(COIR_IOS(putting(full, 1), queueing(alt, &waiter), makes_go[which], joining(&waiter)));
            CHECK_STR(outcome_under(options, io), expected[which]);
            CHECK_STR(notes(), which == 1 ? "" : "-2");
            CHECK_UINT(coir_queue_size(empty) + coir_queue_size(batch), 0);
            coir_fiber_drop(waiter);
            coir_queue_drop(full);
            coir_queue_drop(empty);
            coir_queue_drop(batch);
            notes();
        }
}

TEST(queue, an_alternative_that_is_canceled_or_meets_the_end_leaves_nothing)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[2] = { NULL };
        coir_queue *full = plain(1), *empty = plain(1);
        coir_io *alt = coir_alt(COIR_CASES(on(coir_queue_get_many(empty, 5)), on(coir_queue_put(full, thing(2))))), *again = coir_io_ref(alt);
        coir_io *io = coir_sequence(COIR_IOS(putting(full, 1), queueing(coir_attempt(alt), &fibers[0]), queueing(coir_attempt(again), &fibers[1]), canceling(&fibers[0]),
                                             closing(empty), joining(&fibers[1])));
        CHECK_STR(outcome_under(options, io), "OK <ERROR CLOSED>");
        CHECK_STR(notes(), "-2");
        CHECK_STR(outcome_under(options, coir_then(coir_queue_get(full), coir_attempt(coir_queue_try_get(full)))), "OK <ERROR EAGAIN>");
        drop_all(2, fibers);
        coir_queue_drop(full);
        coir_queue_drop(empty);
    }
}

/* --------------------------------------------------------------------------------------------- nothing lost, nothing twice */

enum { PUTTERS = 2, EACH = 3, ITEMS = PUTTERS * EACH, GETTERS = 2, TRADERS = PUTTERS + GETTERS };
enum kind { WAITS, BY_PRIORITY, DROPS_NEW, DROPS_OLD, KINDS };

struct market {
    enum kind     kind;
    coir_queue   *queue;
    size_t        capacity;
    coir_fiber   *traders[TRADERS];
    atomic_int    put[ITEMS], got[ITEMS];
    int           latest[GETTERS][PUTTERS];             /* got by that one of that putter */
};
struct trader { struct market *market; int number; };

/* A callback of the result itself: it is called whatever comes behind it. */
static coir_value note_put(void *trader_, coir_value *is_put)
{
    struct trader *trader = trader_;
    atomic_fetch_add(&trader->market->put[trader->number], is_put->flag);
    if (coir_queue_size(trader->market->queue) > trader->market->capacity)
        CHECK_FAIL("%d are inside", (int)coir_queue_size(trader->market->queue));
    return coir_none();
}

static void note_one(struct trader *trader, const coir_value *item)
{
    int number = thing_number(item);
    if (number < 0 || number >= ITEMS) {
        CHECK_FAIL("%d was got", number);
        return;
    }
    int *latest = &trader->market->latest[trader->number][number / EACH];
    atomic_fetch_add(&trader->market->got[number], 1);
    if (number <= *latest)
        CHECK_FAIL("%d was got after %d", number, *latest);
    *latest = number;
}

static coir_value note_got(void *trader, coir_value *items)
{
    for (size_t i = 0; i < coir_list_size(items); i++)
        note_one(trader, coir_list_at(items, i));
    if (is_thing(items))
        note_one(trader, items);
    return coir_none();
}

static coir_io *market_put(const struct market *market, int number)
{
    coir_value value = number % 2 == 0 ? sole_thing(number) : thing(number);
    return market->kind == BY_PRIORITY ? coir_queue_put_at(market->queue, number, value) : coir_queue_put(market->queue, value);
}

static coir_io *market_putter(struct market *market, int first)
{
    coir_io *ios[EACH];
    for (int i = 0; i < EACH; i++) {
        struct trader trader = { market, first + i };
        ios[i] = coir_map_copy(market_put(market, first + i), note_put, &trader, sizeof trader);
    }
    return coir_sequence(EACH, ios);
}

/* One of them gets many at once. */
static coir_io *market_getter(struct market *market, int number)
{
    struct trader trader = { market, number };
    coir_io *get = number == 0 ? coir_queue_get(market->queue) : coir_queue_get_many(market->queue, 2);
    return coir_forever(coir_map_copy(get, note_got, &trader, sizeof trader));
}

static coir_io *market_program(struct market *market)
{
    coir_fiber **traders = market->traders;
    return coir_sequence(COIR_IOS(forking(market_putter(market, 0), &traders[0]), forking(market_getter(market, 0), &traders[1]),
                                  forking(market_putter(market, EACH), &traders[2]), forking(market_getter(market, 1), &traders[3]),
                                  coir_attempt(joining(&traders[0])), coir_attempt(joining(&traders[2])), closing(market->queue),
                                  coir_attempt(joining(&traders[1])), coir_attempt(joining(&traders[3])), coir_unit()));
}

static void market_open(struct market *market, enum kind kind, size_t capacity)
{
    static const coir_when_full ways[] = { COIR_FULL_WAIT, COIR_FULL_WAIT, COIR_FULL_DROP_NEW, COIR_FULL_DROP_OLD };
    *market = (struct market){ .kind = kind, .capacity = capacity };
    market->queue = kind == BY_PRIORITY ? coir_queue_new_by_priority(capacity, COIR_FULL_WAIT) : coir_queue_new(capacity, ways[kind]);
    for (int i = 0; i < GETTERS; i++)
        for (int n = 0; n < PUTTERS; n++)
            market->latest[i][n] = -1;
}

/* What was put was got by one; of a queue that slides, or was dropped. Nothing else was got, and both getters may have been canceled. */
static void market_close(struct market *market)
{
    int put = 0, got = 0;
    for (int i = 0; i < ITEMS; i++) {
        CHECK(market->put[i] <= 1);
        CHECK(market->got[i] <= market->put[i]);
        put += market->put[i];
        got += market->got[i];
    }
    int dropped = market->kind == DROPS_OLD ? (int)coir_queue_dropped(market->queue) : 0;
    CHECK_INT(got + dropped + (int)coir_queue_size(market->queue), put);
    CHECK_UINT(coir_queue_unfinished(market->queue), (uint64_t)(put - dropped));
    drop_all(TRADERS, market->traders);
    coir_queue_drop(market->queue);
    CHECK_INT(things_alive, 0);
    CHECK(strchr(notes(), '!') == NULL);
}

TEST(queue, no_item_is_lost_or_doubled_and_each_putters_order_is_kept)
{
    for (enum kind kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < CAPACITIES; i++) {
            struct market market;
            FOR_SEEDS(options) {
                market_open(&market, kind, capacities[i]);
                CHECK_STR(simulated(options, market_program(&market)), "OK 0");
                market_close(&market);
            }
            FOR_WORKERS(workers, 1, 2, 4)
                for (int round = 0; round < scaled(100); round++) {
                    market_open(&market, kind, capacities[i]);
                    CHECK_STR(outcome(workers, market_program(&market)), "OK 0");
                    market_close(&market);
                }
        }
}

TEST(queue, no_item_is_lost_or_doubled_whoever_is_canceled_at_whatever_step)
{
    for (enum kind kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < 2; i++)
            for (int victim = 0; victim < TRADERS; victim++)
                FOR_EACH_STEP(step, options) {
                    struct market market;
                    market_open(&market, kind, capacities[i]);
                    CHECK_STR(canceled_at(step, options, market_program(&market), &market.traders[victim]), "OK 0");
                    market_close(&market);
                }
}

/* Each wait has a time-out, which goes off while it is being served, or before, or after. */
static coir_io *impatient(coir_io *io, int64_t ns) { return coir_attempt(coir_timeout(io, coir_ns(ns))); }

static coir_io *hasty_program(struct market *market, int64_t patience)
{
    coir_io *putter = impatient(market_putter(market, 0), patience), *getter = impatient(market_getter(market, 1), patience);
    coir_io *rest = coir_attempt(market_getter(market, 0));
    return coir_then(coir_both(coir_queue_closing(market->queue, putter), coir_then(getter, rest)), coir_unit());
}

TEST(queue, no_item_is_lost_or_doubled_when_time_outs_go_off)
{
    for (enum kind kind = 0; kind < KINDS; kind++)
        for (int64_t patience = 1; patience < 40; patience++)
            FOR_SEEDS(options) {
                struct market market;
                options->step_time_max = coir_ns(3);
                market_open(&market, kind, 1 + (size_t)patience % 2);
                CHECK_STR(simulated(options, hasty_program(&market, patience)), "OK 0");
                market_close(&market);
            }
}

/* Really: a fiber that cancels another while both are at it. */
static coir_io *market_with_canceler(struct market *market, int victim, uint64_t yields)
{
    coir_fiber **traders = market->traders;
    coir_io *canceler = coir_then(coir_repeat(coir_yield(), yields), coir_suspend(cancel_placed, &traders[victim]));
    return coir_sequence(COIR_IOS(forking(market_putter(market, 0), &traders[0]), forking(market_getter(market, 0), &traders[1]),
                                  forking(market_putter(market, EACH), &traders[2]), forking(market_getter(market, 1), &traders[3]), canceler,
                                  coir_attempt(joining(&traders[0])), coir_attempt(joining(&traders[2])), closing(market->queue),
                                  coir_attempt(joining(&traders[1])), coir_attempt(joining(&traders[3])), coir_unit()));
}

TEST(queue, really_no_item_is_lost_or_doubled_whoever_is_canceled)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(2000); round++) {
            struct market market;
            market_open(&market, (enum kind)(round % KINDS), capacities[round / KINDS % CAPACITIES]);
            CHECK_STR(outcome(workers, market_with_canceler(&market, round / 3 % TRADERS, (uint64_t)(round / (KINDS * TRADERS)) % 12 + 1)), "OK 0");
            market_close(&market);
        }
}

/* ------------------------------------------------------------------------------------------------------------- many */

static coir_io *add_up(void *sum, coir_value *item)
{
    atomic_fetch_add((atomic_llong *)sum, item->i64);
    return coir_unit();
}

static coir_io *pool_of(coir_queue *queue, int many, atomic_llong *sum)
{
    coir_io *workers = coir_par_zip(COIR_IOS(coir_queue_each(queue, add_up, sum), coir_queue_each(queue, add_up, sum), coir_queue_each(queue, add_up, sum)));
    coir_io *giver = coir_then(coir_par_traverse(2, (size_t)many, put_index, queue), coir_queue_wait_done(queue));
    return coir_both(coir_queue_closing(queue, giver), workers);
}

TEST(queue, a_pool_of_workers_does_all_of_many)
{
    const int many = scaled(sized(50000, 200));
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_WORKERS(workers, 1, 2, 4) {
            atomic_llong sum = 0;
            coir_queue *queue = plain(capacities[i]);
            CHECK_STR(outcome(workers, pool_of(queue, many, &sum)), "OK [0 [0 0 0]]");
            CHECK_INT(sum, (int64_t)many * (many + 1) / 2);
            CHECK_UINT(coir_queue_unfinished(queue), 0);
            coir_queue_drop(queue);
        }
}

/* -------------------------------------------------------------------------------------------------------------- handles */

TEST(queue, the_last_handle_drops_what_is_inside)
{
    for (int by_priority = 0; by_priority < 2; by_priority++)
        FOR_SCHEDULES(options) {
            coir_queue *queue = by_priority ? coir_queue_new_by_priority(5, COIR_FULL_WAIT) : plain(5);
            CHECK_STR(outcome_under(options, coir_sequence(COIR_IOS(coir_queue_put(queue, thing(1)), coir_queue_put(queue, sole_thing(2))))), "OK 1");
            CHECK_PTR(coir_queue_ref(queue), queue);
            coir_queue_drop(queue);
            CHECK_STR(notes(), "");
            coir_queue_drop(queue);
            CHECK_STR(notes(), "-1 -2");
        }
    coir_queue_drop(NULL);
    CHECK_PTR(coir_queue_ref(NULL), NULL);
}

TEST(queue, each_io_that_mentions_one_keeps_it)
{
    FOR_SCHEDULES(options) {
        coir_queue *queue = coir_queue_new_by_priority(1, COIR_FULL_WAIT);
        coir_io *ios[] = { coir_queue_put(queue, coir_int(1)), coir_queue_put_at(queue, 1, coir_int(1)), coir_queue_try_put(queue, coir_int(1)),
                           coir_queue_try_put_at(queue, 1, coir_int(1)), coir_queue_get(queue), coir_queue_next(queue), coir_queue_try_get(queue),
                           coir_queue_get_many(queue, 1), coir_queue_done(queue), coir_queue_wait_done(queue), coir_queue_each(queue, note_item, ""),
                           coir_queue_closing(queue, coir_unit()) };
        coir_queue_drop(queue);
        for (size_t i = 1; i < sizeof ios / sizeof ios[0]; i++)
            coir_io_drop(ios[i]);
        CHECK_STR(outcome_under(options, ios[0]), "OK 1");
    }
}

static coir_io *get_from(void *env, coir_value *queue) { (void)env; return coir_queue_get(coir_queue_of(queue)); }

TEST(queue, a_queue_is_a_value_that_can_be_put_and_shared)
{
    FOR_SCHEDULES(options) {
        coir_queue *inner = plain(1), *outer = plain(1);
        coir_io *io = coir_sequence(COIR_IOS(putting(inner, 7), coir_queue_put(outer, coir_queue_value(coir_queue_ref(inner))),
                                             coir_flat_map(coir_queue_get(outer), get_from, NULL)));
        CHECK_STR(outcome_under(options, io), "OK 7");
        coir_value value = coir_queue_value(inner), shared = coir_share(&value), number = coir_int(1);
        CHECK(coir_can_share(&value));
        CHECK_PTR(coir_queue_of(&shared), inner);
        CHECK_PTR(coir_queue_of(&number), NULL);
        CHECK_STR(describe(&(coir_result){ COIR_OK, value, NULL }), spelled("OK queue %ju", QUEUE_ID(inner)));
        coir_drop(value);
        coir_drop(shared);
        coir_queue_drop(outer);
    }
    CHECK_STR(outcome(1, coir_pure(coir_queue_value(NULL))), "PANIC MISUSE");
}

static void nest_queues(void *env)
{
    (void)env;
    coir_queue *queue = plain(1);
    for (int i = 0; i < scaled(200000); i++) {
        coir_queue *outer = i % 2 == 0 ? plain(1) : coir_queue_new_by_priority(1, COIR_FULL_WAIT);
        CHECK(coir_queue_expose(outer));
        CHECK(coir_thread_queue_try_put(outer, coir_queue_value(queue)));
        queue = outer;
    }
    coir_queue_drop(queue);
}

TEST(queue, queues_within_queues_are_dropped_in_constant_stack)
{
    on_small_stack(nest_queues, NULL);
}

TEST(queue, it_is_shown_by_its_id_and_counts)
{
    coir_queue *a = plain(2), *b = plain(2);
    CHECK(coir_queue_id(a) != 0 && coir_queue_id(a) != coir_queue_id(b));
    CHECK_UINT(coir_queue_id(NULL), 0);
    CHECK_UINT(coir_queue_size(NULL), 0);
    CHECK_UINT(coir_queue_unfinished(NULL), 0);
    CHECK_UINT(coir_queue_dropped(NULL), 0);
    CHECK_STR(outcome(1, coir_then(puts_from(a, 1, 2), coir_queue_get(a))), "OK 1");
    CHECK_UINT(coir_queue_size(a), 1);
    CHECK_UINT(coir_queue_unfinished(a), 2);
    coir_queue_drop(a);
    coir_queue_drop(b);
}

/* ----------------------------------------------------------------------------------------------------------- bad input */

static void check_no_queue(coir_queue *queue)
{
    CHECK_PTR(queue, NULL);
    CHECK_INT(errno, EINVAL);
    errno = 0;
}

TEST(queue, a_capacity_or_a_policy_that_cannot_be_gives_EINVAL)
{
    static const size_t bad[] = { 0, SIZE_MAX / 2 + 1, SIZE_MAX - 1, (size_t)-2, (size_t)INT64_MIN };
    errno = 0;
    for (size_t i = 0; i < 5; i++) {
        check_no_queue(coir_queue_new(bad[i], COIR_FULL_WAIT));
        check_no_queue(coir_queue_new_by_priority(bad[i], COIR_FULL_WAIT));
    }
    check_no_queue(coir_queue_new(1, (coir_when_full)3));
    check_no_queue(coir_queue_new(1, (coir_when_full)-1));
    check_no_queue(coir_queue_new_by_priority(1, COIR_FULL_DROP_OLD));
    coir_queue *large = plain(SIZE_MAX / 2);
    CHECK_STR(outcome(1, coir_then(putting(large, 1), coir_queue_get(large))), "OK 1");
    coir_queue_drop(large);
}

TEST(queue, of_NULL_every_io_is_NULL_and_what_came_with_it_is_dropped)
{
    CHECK_PTR(coir_queue_put(NULL, thing(1)), NULL);
    CHECK_PTR(coir_queue_put_at(NULL, 1, thing(2)), NULL);
    CHECK_PTR(coir_queue_try_put(NULL, thing(3)), NULL);
    CHECK_PTR(coir_queue_try_put_at(NULL, 1, thing(4)), NULL);
    CHECK_PTR(coir_queue_get(NULL), NULL);
    CHECK_PTR(coir_queue_next(NULL), NULL);
    CHECK_PTR(coir_queue_try_get(NULL), NULL);
    CHECK_PTR(coir_queue_get_many(NULL, 1), NULL);
    CHECK_PTR(coir_queue_done(NULL), NULL);
    CHECK_PTR(coir_queue_wait_done(NULL), NULL);
    CHECK_PTR(coir_queue_each(NULL, note_item, NULL), NULL);
    CHECK_PTR(coir_queue_closing(NULL, coir_as(coir_unit(), thing(5))), NULL);
    CHECK_STR(notes(), "-1 -2 -3 -4 -5");
    coir_queue *queue = plain(1);
    CHECK_PTR(coir_queue_closing(queue, NULL), NULL);
    CHECK(!coir_queue_expose(NULL));
    coir_queue_drop(queue);
}

TEST(queue, bad_arguments_are_panics_that_name_the_function)
{
    coir_queue *queue = plain(1);
    CHECK_STR(message_of(1, coir_queue_get_many(queue, 0)), "coir_queue_get_many: max is 0");
    CHECK_STR(message_of(1, coir_queue_put_at(queue, 1, thing(1))), "coir_queue_put_at: a queue without priorities");
    CHECK_STR(message_of(1, coir_queue_try_put_at(queue, 1, thing(2))), "coir_queue_try_put_at: a queue without priorities");
    CHECK_STR(message_of(1, coir_queue_each(queue, NULL, NULL)), "coir_queue_each: fn is NULL");
    CHECK_CONTAINS(message_of(1, coir_queue_each_copy(queue, note_item, "", (size_t)1 << 20)), "coir_queue_each_copy: ");
    CHECK_STR(outcome(1, coir_queue_get_many(queue, 0)), "PANIC EINVAL");
    CHECK_STR(notes(), "-1 -2");
    coir_queue_drop(queue);
}

TEST(queue, errors_name_the_function_and_the_queue)
{
    coir_queue *closed = plain(1), *poisoned = coir_queue_new_by_priority(1, COIR_FULL_WAIT), *empty = plain(1);
    coir_queue_close(closed);
    coir_queue_poison(poisoned);
    CHECK_STR(message_of(1, coir_queue_put(closed, coir_none())), spelled("coir_queue_put: queue %ju is closed", QUEUE_ID(closed)));
    CHECK_STR(message_of(1, coir_queue_put_at(poisoned, 1, coir_none())), spelled("coir_queue_put_at: queue %ju is poisoned", QUEUE_ID(poisoned)));
    CHECK_STR(message_of(1, coir_queue_try_put(poisoned, coir_none())), spelled("coir_queue_try_put: queue %ju is poisoned", QUEUE_ID(poisoned)));
    CHECK_STR(message_of(1, coir_queue_get(closed)), spelled("coir_queue_get: queue %ju is closed", QUEUE_ID(closed)));
    CHECK_STR(message_of(1, coir_queue_get_many(closed, 1)), spelled("coir_queue_get_many: queue %ju is closed", QUEUE_ID(closed)));
    CHECK_STR(message_of(1, coir_queue_next(poisoned)), spelled("coir_queue_next: queue %ju is poisoned", QUEUE_ID(poisoned)));
    CHECK_STR(message_of(1, coir_queue_try_get(closed)), spelled("coir_queue_try_get: queue %ju is closed", QUEUE_ID(closed)));
    CHECK_STR(message_of(1, coir_queue_try_get(empty)), spelled("coir_queue_try_get: queue %ju is empty", QUEUE_ID(empty)));
    coir_queue_drop(closed);
    coir_queue_drop(poisoned);
    coir_queue_drop(empty);
}

/* ------------------------------------------------------------------------------------------- nobody can come any more */

static coir_result drop_handle(void *queue) { coir_queue_drop(queue); return coir_ok(coir_none()); }

TEST(queue, when_all_who_have_it_wait_they_are_woken_with_a_panic)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[3] = { NULL };
        coir_queue *queue = plain(1);
        coir_io *io = coir_sequence(COIR_IOS(coir_queue_put(queue, thing(1)), queueing(coir_queue_put(queue, thing(2)), &fibers[0]),
                                             queueing(coir_queue_wait_done(queue), &fibers[1]), coir_defer(drop_handle, queue),
                                             coir_zip(COIR_IOS(coir_attempt(joining(&fibers[0])), coir_attempt(joining(&fibers[1]))))));
        CHECK_STR(outcome_under(options, io), "OK [<PANIC ABANDONED> <PANIC ABANDONED>]");
        CHECK_INT(things_alive, 0);
        notes();
        drop_all(3, fibers);
        queue = plain(1);
        uintmax_t id = QUEUE_ID(queue);
        CHECK_CONTAINS(message_of(1, letting_go(queue, coir_then(coir_queue_get_many(queue, 3), coir_unit()))), spelled("an item of queue %ju", id));
    }
}

TEST(queue, a_wait_that_nobody_can_end_is_a_deadlock_which_names_it)
{
    FOR_SCHEDULES(options) {
        coir_queue *queue = plain(1);
        CHECK_CONTAINS(message_of(options->workers, coir_queue_get(queue)), spelled("waits for an item of queue %ju", QUEUE_ID(queue)));
        CHECK_CONTAINS(message_of(options->workers, coir_then(putting(queue, 1), coir_queue_put(queue, thing(1)))), spelled("waits for room in queue %ju", QUEUE_ID(queue)));
        CHECK_CONTAINS(message_of(options->workers, coir_queue_wait_done(queue)), spelled("waits for all to be done of queue %ju", QUEUE_ID(queue)));
        CHECK_STR(outcome_under(options, coir_queue_wait_done(queue)), "PANIC DEADLOCK");
        CHECK_STR(notes(), "-1");
        coir_queue_drop(queue);
    }
}

TEST(queue, a_run_that_is_stopped_leaves_nothing_in_it_nor_in_who_waits)
{
    FOR_SCHEDULES(options) {
        coir_options stop = *options;
        stop.on_deadlock = COIR_DEADLOCK_STOP;
        coir_queue *full = plain(1), *empty = plain(1);
        coir_io *shared = coir_queue_put(full, thing(4));
        coir_io *io = coir_both(coir_then(coir_queue_put(full, thing(1)), coir_queue_put(full, thing(2))),
                                coir_par_zip(COIR_IOS(coir_queue_put(full, sole_thing(3)), coir_queue_get(empty), coir_queue_get_many(empty, 3), coir_queue_wait_done(full),
                                                      coir_io_ref(shared), coir_io_ref(shared))));
        coir_result result = coir_run(io, &stop);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_STR(outcome_under(options, coir_as(coir_queue_try_get(full), coir_none())), "OK 0");      /* one is inside; nobody waits any more */
        CHECK_STR(outcome_under(options, coir_attempt(coir_queue_try_get(full))), "OK <ERROR EAGAIN>");
        coir_io_drop(shared);
        coir_queue_drop(full);
        coir_queue_drop(empty);
        CHECK_INT(things_alive, 0);
        CHECK(strchr(notes(), '!') == NULL);
    }
}

/* ---------------------------------------------------------------------------------------------------------- other runs */

TEST(queue, another_run_is_refused_while_ones_fibers_wait_and_served_afterwards)
{
    FOR_SCHEDULES(options) {
        struct gate gate = GATE;
        struct other_run other;
        coir_fiber *getter = NULL;
        coir_queue *queue = plain(1);
        other_run_begin(&other, options, coir_sequence(COIR_IOS(queueing(coir_queue_get(queue), &getter), passing(&gate), putting(queue, 7), joining(&getter))));
        CHECK_SOON(gate_waiting(&gate) == 1);
        coir_io *refused[] = { coir_queue_put(queue, thing(1)), coir_queue_get(queue), coir_queue_next(queue), coir_queue_try_put(queue, thing(2)),
                               coir_queue_try_get(queue), coir_queue_get_many(queue, 2), coir_queue_done(queue), coir_queue_wait_done(queue) };
        for (size_t i = 0; i < 8; i++)
            CHECK_STR(outcome_under(options, refused[i]), "ERROR REFUSED");
        CHECK_STR(message_of(1, coir_queue_done(queue)), "coir_queue_done: another run's fibers use it");
        CHECK_STR(notes(), "-1 -2");
        gate_open(&gate);
        coir_result result = other_run_end(&other);
        CHECK_STR(describe(&result), "OK 7");
        CHECK_STR(outcome_under(options, coir_then(putting(queue, 3), coir_queue_get(queue))), "OK 3");
        coir_fiber_drop(getter);
        coir_queue_drop(queue);
    }
}

TEST(queue, it_is_exposed_before_its_first_use_or_never)
{
    coir_queue *queue = plain(1), *used = plain(1);
    CHECK(coir_queue_expose(queue));
    CHECK_STR(outcome(1, coir_then(putting(queue, 1), coir_queue_get(queue))), "OK 1");
    CHECK(coir_queue_expose(queue));
    CHECK_STR(outcome(1, coir_then(putting(used, 1), coir_queue_get(used))), "OK 1");
    CHECK(!coir_queue_expose(used));
    coir_queue_drop(queue);
    coir_queue_drop(used);
}

static coir_queue *exposed(size_t capacity)
{
    coir_queue *queue = plain(capacity);
    CHECK(coir_queue_expose(queue));
    return queue;
}

TEST(queue, an_exposed_one_serves_the_fibers_of_several_runs_which_are_not_found_to_wait_in_vain)
{
    const int many = scaled(sized(2000, 50));
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_WORKERS(workers, 1, 2) {
            struct other_run other;
            atomic_llong sum = 0;
            coir_options options = { .workers = workers };
            coir_queue *queue = exposed(capacities[i]);
            other_run_begin(&other, &options, coir_queue_each(queue, add_up, &sum));
            CHECK_STR(outcome(workers, coir_then(coir_par_traverse(1, (size_t)many, put_index, queue), coir_queue_wait_done(queue))), "OK 0");
            CHECK_INT(sum, (int64_t)many * (many + 1) / 2);
            coir_queue_close(queue);
            coir_result result = other_run_end(&other);
            CHECK_TAG(result, COIR_OK);
            coir_queue_drop(queue);
        }
}

/* ------------------------------------------------------------------------------------------------------------- threads */

TEST(queue, a_thread_is_told_whether_it_put_or_got_or_was_done)
{
    coir_value value = coir_int(1);
    coir_queue *queue = exposed(1);
    CHECK(!coir_thread_queue_try_get(queue, &value));
    CHECK(coir_is_none(&value));
    CHECK(coir_thread_queue_try_put(queue, sole_thing(1)));
    CHECK(!coir_thread_queue_try_put(queue, thing(2)));
    CHECK(!coir_thread_queue_try_put(queue, coir_panic_value("none")));
    CHECK(!coir_thread_queue_try_get(queue, NULL));
    CHECK(coir_thread_queue_try_get(queue, &value));
    CHECK_INT(thing_number(&value), 1);
    coir_drop(value);
    CHECK(coir_thread_queue_done(queue));
    CHECK(!coir_thread_queue_done(queue));
    coir_queue_close(queue);
    CHECK(!coir_thread_queue_try_put(queue, thing(3)));
    CHECK(!coir_thread_queue_try_get(queue, &value));
    CHECK_STR(notes(), "-2 -1 -3");
    coir_queue_drop(queue);
}

TEST(queue, threads_are_refused_for_one_that_is_not_exposed)
{
    coir_value value = coir_int(1);
    coir_queue *queue = plain(1), *const refused[] = { NULL, queue };
    CHECK_STR(outcome(1, putting(queue, 5)), "OK 1");
    for (size_t i = 0; i < 2; i++) {
        CHECK(!coir_thread_queue_try_put(refused[i], thing(1)));
        CHECK(!coir_thread_queue_try_get(refused[i], &value));
        CHECK(coir_is_none(&value));
        CHECK(!coir_thread_queue_done(refused[i]));
    }
    CHECK_STR(notes(), "-1 -1");
    CHECK_UINT(coir_queue_unfinished(queue), 1);
    coir_queue_drop(queue);
}

static coir_result use_in_callback(void *queue)
{
    coir_value value;
    bool put = coir_thread_queue_try_put(queue, coir_int(6)), got = coir_thread_queue_try_get(queue, &value), done = coir_thread_queue_done(queue);
    return coir_ok(coir_bool(put && got && done && value.i64 == 6));
}

TEST(queue, callbacks_may_use_an_exposed_one_as_threads_do)
{
    FOR_SCHEDULES(options) {
        coir_queue *queue = exposed(1);
        CHECK_STR(outcome_under(options, coir_defer(use_in_callback, queue)), "OK 1");
        coir_queue_drop(queue);
    }
}

struct feeder { coir_queue *queue; int count; };
static void *feed(void *feeder_)
{
    struct feeder *feeder = feeder_;
    for (int i = 1; i <= feeder->count; )
        if (coir_thread_queue_try_put(feeder->queue, coir_int(i)))
            i++;
        else
            sched_yield();
    coir_queue_close(feeder->queue);
    return NULL;
}

TEST(queue, threads_put_what_fibers_get)
{
    const int many = scaled(sized(2000, 50));
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_WORKERS(workers, 1, 2) {
            pthread_t thread;
            struct other_run other;
            atomic_llong sum = 0;
            coir_options options = { .workers = workers };
            struct feeder feeder = { exposed(capacities[i]), many };
            other_run_begin(&other, &options, coir_queue_each(feeder.queue, add_up, &sum));
            CHECK_INT(pthread_create(&thread, NULL, feed, &feeder), 0);
            pthread_join(thread, NULL);
            coir_result result = other_run_end(&other);
            CHECK_TAG(result, COIR_OK);
            CHECK_INT(sum, (int64_t)many * (many + 1) / 2);
            coir_queue_drop(feeder.queue);
        }
}

/* -------------------------------------------------------------------------------------------------------------- pictures */

TEST(queue, its_ios_are_shown_as_they_are_called)
{
    char text[2000] = "";
    FILE *out = fmemopen(text, sizeof text - 1, "w");
    coir_queue *queue = coir_queue_new_by_priority(1, COIR_FULL_WAIT);
    coir_io *io = coir_sequence(COIR_IOS(coir_queue_put_at(queue, 1, coir_int(1)), coir_queue_get(queue), coir_queue_try_put(queue, coir_int(1)),
                                         coir_queue_get_many(queue, 1), coir_queue_closing(queue, coir_queue_wait_done(queue)), coir_queue_done(queue)));
    coir_io_print(io, out, 0);
    fclose(out);
    coir_io_drop(io);
    coir_queue_drop(queue);
    static const char *const words[] = { "queue_put_at", "queue_get", "queue_try_put", "queue_get_many", "queue_close", "queue_wait_done", "queue_done" };
    for (size_t i = 0; i < 7; i++)
        CHECK_CONTAINS(text, words[i]);
}
