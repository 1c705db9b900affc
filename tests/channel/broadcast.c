/*
 * broadcast.c - tests of broadcasts
 */
#include "sweep.h"

/* ---------------------------------------------------------------------------------------------------- words of this suite */

static coir_io *publishing(coir_broadcast *broadcast, int64_t n) { return coir_publish(broadcast, coir_int(n)); }
#define BROADCAST_ID(broadcast) ((uintmax_t)coir_broadcast_id(broadcast))

static coir_io *publishing_from(coir_broadcast *broadcast, int first, int count)
{
    coir_io *ios[8];
    for (int i = 0; i < count; i++)
        ios[i] = publishing(broadcast, first + i);
    return coir_sequence((size_t)count, ios);
}

/* subscribing: io with a subscription, whose handle stands in *place meanwhile. Takes io, and is run once. */
struct holding { coir_subscription **place; coir_io *io; };
static coir_io *hold_it(void *held_, const coir_value *value)
{
    struct holding *held = held_;
    *held->place = coir_subscription_of(value);
    return held->io;
}
static coir_io *subscribing(coir_broadcast *broadcast, coir_subscription **place, coir_io *io)
{
    struct holding held = { place, io };
    return coir_use_copy(coir_subscribed(broadcast), hold_it, &held, sizeof held);
}

static coir_io *receive_placed(void *place)     { return coir_subscription_receive(*(coir_subscription **)place); }
static coir_io *next_placed(void *place)        { return coir_subscription_next(*(coir_subscription **)place); }
static coir_io *try_receive_placed(void *place) { return coir_subscription_try_receive(*(coir_subscription **)place); }
static coir_io *receiving(coir_subscription **place)      { return coir_suspend(receive_placed, place); }
static coir_io *nexting(coir_subscription **place)        { return coir_suspend(next_placed, place); }
static coir_io *trying_receive(coir_subscription **place) { return coir_suspend(try_receive_placed, place); }
static coir_io *receiving_all(coir_subscription **place, int count)
{
    coir_io *ios[8];
    for (int i = 0; i < count; i++)
        ios[i] = receiving(place);
    return coir_zip((size_t)count, ios);
}

static coir_io *cancel_placed(void *place) { return coir_cancel(*(coir_fiber **)place); }
static coir_io *canceling(coir_fiber **place) { return coir_suspend(cancel_placed, place); }
static coir_result close_it(void *broadcast) { coir_broadcast_close(broadcast); return coir_ok(coir_none()); }
static coir_io *closing(coir_broadcast *broadcast) { return coir_defer(close_it, broadcast); }

static coir_result see_subscribers(void *broadcast) { return coir_ok(coir_int((int64_t)coir_broadcast_subscribers(broadcast))); }
static coir_io *subscribers_of(coir_broadcast *broadcast) { return coir_defer(see_subscribers, broadcast); }
static coir_result see_size(void *place) { return coir_ok(coir_int((int64_t)coir_subscription_size(*(coir_subscription **)place))); }
static coir_result see_lost(void *place) { return coir_ok(coir_int((int64_t)coir_subscription_lost(*(coir_subscription **)place))); }
static coir_io *size_of(coir_subscription **place) { return coir_defer(see_size, place); }
static coir_io *lost_of(coir_subscription **place) { return coir_defer(see_lost, place); }
static coir_result see_alive(void *unused) { (void)unused; return coir_ok(coir_int(things_alive)); }
static coir_io *things(void) { return coir_defer(see_alive, NULL); }

static const coir_when_slow policies[] = { COIR_SLOW_WAIT, COIR_SLOW_DROP_OLD, COIR_SLOW_FAIL };

static void drop_all(size_t count, coir_fiber **fibers)
{
    for (size_t i = 0; i < count; i++) {
        coir_fiber_drop(fibers[i]);
        fibers[i] = NULL;
    }
}

/* ------------------------------------------------------------------------------------------------------ every message */

TEST(broadcast, every_subscriber_sees_every_message_in_one_order)
{
    for (int i = 0; i < 3; i++)
        FOR_SCHEDULES(options) {
            coir_subscription *a = NULL, *b = NULL;
            coir_broadcast *broadcast = coir_broadcast_new(5, policies[i], 0);
            coir_io *io = coir_zip(COIR_IOS(publishing_from(broadcast, 1, 5), receiving_all(&a, 5), receiving_all(&b, 5)));
            CHECK_STR(outcome_under(options, subscribing(broadcast, &a, subscribing(broadcast, &b, io))), "OK [2 [1 2 3 4 5] [1 2 3 4 5]]");
            coir_broadcast_drop(broadcast);
        }
}

TEST(broadcast, a_message_is_shared_and_dropped_when_all_have_received_it)
{
    for (int i = 0; i < 3; i++)
        FOR_SCHEDULES(options) {
            coir_subscription *a = NULL, *b = NULL;
            coir_broadcast *broadcast = coir_broadcast_new(2, policies[i], 0);
            coir_io *io = coir_zip(COIR_IOS(coir_publish(broadcast, thing(1)), things(), coir_as(receiving(&a), coir_none()), things(), coir_as(receiving(&b), coir_none()),
                                            things(), coir_publish(broadcast, thing(2)), receiving(&b), receiving(&a)));
            CHECK_STR(outcome_under(options, subscribing(broadcast, &a, subscribing(broadcast, &b, io))), "OK [2 2 0 2 0 1 2 thing 2 thing 2]");
            CHECK_STR(notes(), "-1 -2");
            coir_broadcast_drop(broadcast);
        }
}

TEST(broadcast, who_waits_is_given_the_message_and_one_subscriptions_receivers_share_its_messages)
{
    FOR_SCHEDULES(options) {
        coir_subscription *a = NULL, *b = NULL;
        coir_fiber *fibers[4] = { NULL };
        coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
        coir_io *wait = coir_sequence(COIR_IOS(queueing(receiving(&a), &fibers[0]), queueing(receiving(&a), &fibers[1]), queueing(receiving(&a), &fibers[2]),
                                               queueing(receiving(&b), &fibers[3]), canceling(&fibers[1])));
        coir_io *io = coir_zip(COIR_IOS(wait, coir_publish(broadcast, thing(1)), coir_publish(broadcast, thing(2)), joining(&fibers[0]), joining(&fibers[2]),
                                        joining(&fibers[3]), receiving(&b), size_of(&a)));
        CHECK_STR(outcome_under(options, subscribing(broadcast, &a, subscribing(broadcast, &b, io))), "OK [0 2 2 thing 1 thing 2 thing 1 thing 2 0]");
        drop_all(4, fibers);
        CHECK_INT(things_alive, 0);
        notes();
        coir_broadcast_drop(broadcast);
    }
}

TEST(broadcast, who_subscribes_sees_what_is_published_from_then_on_until_the_subscription_ends)
{
    FOR_SCHEDULES(options) {
        coir_subscription *a = NULL;
        coir_broadcast *broadcast = coir_broadcast_new(3, COIR_SLOW_WAIT, 0);
        coir_io *inside = coir_zip(COIR_IOS(subscribers_of(broadcast), coir_publish(broadcast, thing(2)), receiving(&a), coir_publish(broadcast, thing(3)),
                                            size_of(&a), coir_attempt(coir_as(trying_receive(&a), coir_none())), coir_attempt(trying_receive(&a)),
                                            coir_publish(broadcast, thing(4))));
        coir_io *io = coir_zip(COIR_IOS(coir_publish(broadcast, thing(1)), subscribing(broadcast, &a, inside), subscribers_of(broadcast), things(), publishing(broadcast, 4)));
        CHECK_STR(outcome_under(options, io), "OK [0 [1 1 thing 2 1 1 <OK 0> <ERROR EAGAIN> 1] 0 1 0]");
        CHECK_STR(notes(), "-1 -3 -4 -2");
        coir_broadcast_drop(broadcast);
    }
}

TEST(broadcast, who_subscribes_late_begins_with_the_last_messages_if_they_are_replayed)
{
    for (int i = 0; i < 3; i++)
        FOR_SCHEDULES(options) {
            coir_subscription *a = NULL, *b = NULL;
            coir_broadcast *broadcast = coir_broadcast_new(4, policies[i], 2);
            coir_io *first = coir_zip(COIR_IOS(size_of(&a), receiving(&a), coir_publish(broadcast, thing(2)), receiving(&a), publishing_from(broadcast, 3, 3)));
            coir_io *second = coir_zip(COIR_IOS(size_of(&b), receiving(&b), coir_publish(broadcast, coir_int(6)), receiving_all(&b, 2), size_of(&b)));
            coir_io *io = coir_zip(COIR_IOS(publishing(broadcast, 1), subscribing(broadcast, &a, first), things(), subscribing(broadcast, &b, second)));
            CHECK_STR(outcome_under(options, io), "OK [0 [1 1 1 thing 2 1] 1 [2 4 1 [5 6] 0]]");
            CHECK_INT(things_alive, 0);
            notes();
            coir_broadcast_drop(broadcast);
        }
}

TEST(broadcast, as_many_are_replayed_as_may_be_kept_at_most)
{
    for (int i = 0; i < 3; i++)
        FOR_SCHEDULES(options) {
            coir_subscription *a = NULL;
            coir_broadcast *broadcast = coir_broadcast_new(2, policies[i], 2);
            coir_io *before = coir_sequence(COIR_IOS(coir_publish(broadcast, thing(1)), coir_publish(broadcast, thing(2)), coir_publish(broadcast, thing(3)), things()));
            CHECK_STR(outcome_under(options, before), "OK 2");
            CHECK_STR(outcome_under(options, subscribing(broadcast, &a, receiving_all(&a, 2))), "OK [thing 2 thing 3]");
            coir_broadcast_drop(broadcast);
            CHECK_INT(things_alive, 0);
            notes();
        }
}

/* -------------------------------------------------------------------------------------------------- slow subscribers */

TEST(broadcast, who_publishes_waits_for_the_slowest)
{
    FOR_SCHEDULES(options) {
        coir_subscription *slow = NULL, *quick = NULL;
        coir_fiber *publisher = NULL;
        coir_broadcast *broadcast = coir_broadcast_new(2, COIR_SLOW_WAIT, 0);
        coir_io *io = coir_zip(COIR_IOS(publishing_from(broadcast, 1, 2), receiving_all(&quick, 2), coir_try_publish(broadcast, thing(9)),
                                        queueing(publishing_from(broadcast, 3, 2), &publisher), size_of(&quick), receiving(&slow), coir_repeat(coir_yield(), 5), size_of(&quick),
                                        receiving_all(&slow, 3), receiving_all(&quick, 2), joining(&publisher), lost_of(&slow)));
        CHECK_STR(outcome_under(options, subscribing(broadcast, &slow, subscribing(broadcast, &quick, io))), "OK [2 [1 2] 0 0 0 1 0 1 [2 3 4] [3 4] 2 0]");
        CHECK_STR(notes(), "-9");
        coir_fiber_drop(publisher);
        coir_broadcast_drop(broadcast);
    }
}

TEST(broadcast, who_publishes_waits_no_more_when_the_slowest_ends_its_subscription)
{
    FOR_SCHEDULES(options) {
        coir_subscription *slow = NULL, *quick = NULL;
        coir_fiber *fibers[2] = { NULL };
        coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
        coir_io *jam = coir_sequence(COIR_IOS(coir_publish(broadcast, thing(1)), receiving(&quick), queueing(coir_publish(broadcast, thing(2)), &fibers[0]),
                                              queueing(coir_publish(broadcast, thing(3)), &fibers[1])));
        coir_io *io = coir_zip(COIR_IOS(subscribing(broadcast, &slow, jam), receiving_all(&quick, 2), joining(&fibers[0]), joining(&fibers[1])));
        CHECK_STR(outcome_under(options, subscribing(broadcast, &quick, io)), "OK [0 [thing 2 thing 3] 1 1]");
        drop_all(2, fibers);
        CHECK_INT(things_alive, 0);
        notes();
        coir_broadcast_drop(broadcast);
    }
}

TEST(broadcast, a_slow_subscriber_loses_the_oldest_and_is_told_or_not)
{
    FOR_SCHEDULES(options) {
        coir_subscription *slow = NULL, *quick = NULL;
        coir_broadcast *broadcast = coir_broadcast_new(2, COIR_SLOW_FAIL, 0);
        coir_io *io = coir_zip(COIR_IOS(publishing(broadcast, 1), receiving(&quick), coir_publish(broadcast, thing(2)), coir_try_publish(broadcast, thing(3)), lost_of(&slow),
                                        things(), publishing(broadcast, 4), size_of(&slow), coir_attempt(receiving(&slow)), lost_of(&slow), receiving_all(&slow, 2),
                                        size_of(&quick), coir_attempt(nexting(&quick)), receiving_all(&quick, 2)));
        CHECK_STR(outcome_under(options, subscribing(broadcast, &slow, subscribing(broadcast, &quick, io))),
                  spelled("OK [2 1 2 1 0 2 2 2 <ERROR code %d> 2 [thing 3 4] 2 <ERROR code %d> [thing 3 4]]", COIR_LAGGED, COIR_LAGGED));
        CHECK_INT(things_alive, 0);
        notes();
        coir_broadcast_drop(broadcast);
    }
    FOR_SCHEDULES(options) {
        coir_subscription *slow = NULL, *quick = NULL;
        coir_broadcast *broadcast = coir_broadcast_new(2, COIR_SLOW_DROP_OLD, 0);
        coir_io *io = coir_zip(COIR_IOS(publishing(broadcast, 1), receiving(&quick), coir_publish(broadcast, thing(2)), coir_try_publish(broadcast, thing(3)), lost_of(&slow),
                                        things(), publishing(broadcast, 4), receiving_all(&slow, 2), lost_of(&slow), receiving_all(&quick, 2), lost_of(&quick)));
        CHECK_STR(outcome_under(options, subscribing(broadcast, &slow, subscribing(broadcast, &quick, io))), "OK [2 1 2 1 0 2 2 [thing 3 4] 2 [thing 3 4] 1]");
        CHECK_INT(things_alive, 0);
        notes();
        coir_broadcast_drop(broadcast);
    }
}

static coir_io *publish_index(void *broadcast, size_t index) { return publishing(broadcast, (int64_t)index); }

TEST(broadcast, nobody_waits_for_slow_ones_that_lose_and_never_more_are_kept_than_may_be)
{
    for (int i = 1; i < 3; i++)
        FOR_SCHEDULES(options) {
            coir_subscription *slow = NULL;
            coir_broadcast *broadcast = coir_broadcast_new(20, policies[i], 3);
            coir_io *io = coir_zip(COIR_IOS(coir_as(coir_traverse(300, publish_index, broadcast), coir_none()), size_of(&slow), coir_or_else(receiving(&slow), receiving(&slow)),
                                            lost_of(&slow)));
            CHECK_STR(outcome_under(options, subscribing(broadcast, &slow, io)), "OK [0 20 280 280]");
            coir_broadcast_drop(broadcast);
        }
}

/* -------------------------------------------------------------------------------------------------------------- the end */

TEST(broadcast, what_is_kept_by_a_closed_one_and_what_waits_to_be_published_can_still_be_received)
{
    FOR_SCHEDULES(options) {
        coir_subscription *slow = NULL, *quick = NULL;
        coir_fiber *fibers[2] = { NULL };
        coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
        coir_io *begin = coir_sequence(COIR_IOS(publishing(broadcast, 1), receiving(&quick), queueing(coir_publish(broadcast, thing(2)), &fibers[0]),
                                       queueing(coir_zip(COIR_IOS(receiving(&quick), nexting(&quick))), &fibers[1]), closing(broadcast)));
        coir_io *io = coir_zip(COIR_IOS(begin, coir_attempt(publishing(broadcast, 3)), receiving_all(&slow, 2), nexting(&slow), coir_attempt(receiving(&slow)), joining(&fibers[0]),
                                        joining(&fibers[1]), coir_attempt(trying_receive(&quick))));
        CHECK_STR(outcome_under(options, subscribing(broadcast, &slow, subscribing(broadcast, &quick, io))),
                  "OK [0 <ERROR CLOSED> [1 thing 2] 0 <ERROR CLOSED> 2 [thing 2 0] <ERROR CLOSED>]");
        drop_all(2, fibers);
        CHECK_STR(notes(), "-2");
        coir_broadcast_drop(broadcast);
    }
}

TEST(broadcast, receivers_come_to_the_end_when_the_last_who_waited_to_publish_is_canceled)
{
    FOR_SCHEDULES(options) {
        coir_subscription *slow = NULL, *quick = NULL;
        coir_fiber *fibers[2] = { NULL };
        coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
        coir_io *io = coir_sequence(COIR_IOS(publishing(broadcast, 1), receiving(&quick), queueing(coir_publish(broadcast, thing(2)), &fibers[0]),
                                             queueing(nexting(&quick), &fibers[1]), closing(broadcast), canceling(&fibers[0]), joining(&fibers[1])));
        CHECK_STR(outcome_under(options, subscribing(broadcast, &slow, subscribing(broadcast, &quick, io))), "OK 0");
        CHECK_STR(notes(), "-2");
        drop_all(2, fibers);
        coir_broadcast_drop(broadcast);
    }
}

TEST(broadcast, receivers_who_wait_when_it_is_closed_come_to_its_end)
{
    FOR_SCHEDULES(options) {
        coir_subscription *a = NULL;
        coir_fiber *fibers[2] = { NULL };
        coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_FAIL, 1);
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_attempt(receiving(&a)), &fibers[0]), queueing(nexting(&a), &fibers[1]), closing(broadcast), closing(broadcast)));
        io = coir_then(io, coir_zip(COIR_IOS(joining(&fibers[0]), joining(&fibers[1]))));
        CHECK_STR(outcome_under(options, subscribing(broadcast, &a, io)), "OK [<ERROR CLOSED> 0]");
        drop_all(2, fibers);
        coir_broadcast_drop(broadcast);
    }
    coir_broadcast_close(NULL);
}

TEST(broadcast, closing_comes_however_io_ended)
{
    static const char *const expected[] = { "OK 5", "ERROR 5", "PANIC 5", "CANCELED 5" };
    FOR_SCHEDULES(options)
        for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
            coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
            CHECK_STR(outcome_under(options, coir_broadcast_closing(broadcast, coir_then(coir_yield(), ending(tag, 5)))), expected[tag]);
            CHECK_STR(outcome_under(options, coir_attempt(coir_publish(broadcast, thing(1)))), "OK <ERROR CLOSED>");
            CHECK_STR(outcome_under(options, coir_attempt(coir_try_publish(broadcast, thing(2)))), "OK <ERROR CLOSED>");
            CHECK_STR(notes(), "-1 -2");
            coir_broadcast_drop(broadcast);
        }
}

static void *close_from_outside(void *broadcast) { coir_broadcast_close(broadcast); return NULL; }

TEST(broadcast, any_thread_may_close_it_exposed_or_not)
{
    FOR_SCHEDULES(options) {
        struct gate gate = GATE;
        struct other_run other;
        pthread_t thread;
        coir_fiber *receiver = NULL;
        coir_subscription *a = NULL;
        coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_attempt(receiving(&a)), &receiver), passing(&gate), joining(&receiver)));
        other_run_begin(&other, options, subscribing(broadcast, &a, io));
        CHECK_SOON(gate_waiting(&gate) == 1);
        CHECK_INT(pthread_create(&thread, NULL, close_from_outside, broadcast), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
        gate_open(&gate);
        coir_result result = other_run_end(&other);
        CHECK_STR(describe(&result), "OK <ERROR CLOSED>");
        coir_result_drop(&result);
        coir_fiber_drop(receiver);
        coir_broadcast_drop(broadcast);
    }
}

static coir_io *keep_subscription(void *place, const coir_value *held)
{
    *(coir_subscription **)place = coir_subscription_ref(coir_subscription_of(held));
    return coir_unit();
}

TEST(broadcast, a_subscription_that_is_kept_when_it_is_over_receives_nothing)
{
    FOR_SCHEDULES(options) {
        coir_subscription *kept = NULL, *open = NULL;
        coir_fiber *waiter = NULL;
        coir_broadcast *broadcast = coir_broadcast_new(2, COIR_SLOW_WAIT, 0);
        CHECK_STR(outcome_under(options, coir_use(coir_subscribed(broadcast), keep_subscription, &kept)), "OK 0");
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(publishing(broadcast, 1), coir_attempt(receiving(&kept)), nexting(&kept), coir_attempt(trying_receive(&kept))))),
                  "OK [0 <ERROR CLOSED> 0 <ERROR CLOSED>]");
        CHECK_CONTAINS(message_of(1, coir_subscription_receive(kept)), spelled("a subscription to broadcast %ju that is over", BROADCAST_ID(broadcast)));
        CHECK_UINT(coir_subscription_size(kept), 0);
        coir_io *io = subscribing(broadcast, &open, coir_then(queueing(coir_attempt(receiving(&open)), &waiter), coir_yield()));
        CHECK_STR(outcome_under(options, coir_then(io, joining(&waiter))), "OK <ERROR CLOSED>");
        coir_fiber_drop(waiter);
        coir_subscription_drop(kept);
        coir_broadcast_drop(broadcast);
    }
    coir_subscription_drop(NULL);
    CHECK_PTR(coir_subscription_ref(NULL), NULL);
}

/* -------------------------------------------------------------------------------------------------------------- values */

TEST(broadcast, a_value_that_cannot_be_shared_is_refused_with_the_name_of_its_type)
{
    coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
    CHECK_CONTAINS(message_of(1, coir_publish(broadcast, sole_thing(1))), "coir_publish: a value that cannot be shared (its type is sole)");
    CHECK_CONTAINS(message_of(1, coir_try_publish(broadcast, sole_thing(2))), "coir_try_publish: a value that cannot be shared (its type is sole)");
    CHECK_STR(outcome(1, coir_publish(broadcast, sole_thing(3))), "PANIC MISUSE");
    CHECK_STR(outcome(1, coir_publish(broadcast, coir_panic_value("none to be had"))), "PANIC MISUSE");
    CHECK_STR(notes(), "-1 -2 -3");
    coir_broadcast_drop(broadcast);
}

TEST(broadcast, without_memory_for_a_share_who_receives_panics_and_the_others_do_not)
{
    FOR_SCHEDULES(options) {
        coir_subscription *a = NULL, *b = NULL;
        coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
        coir_io *io = coir_zip(COIR_IOS(coir_publish(broadcast, starved_thing(1)), coir_attempt(receiving(&a)), receiving(&b)));
        CHECK_STR(outcome_under(options, subscribing(broadcast, &a, subscribing(broadcast, &b, io))), "OK [2 <PANIC ENOMEM> thing 1]");
        CHECK_STR(notes(), "-1");
        coir_broadcast_drop(broadcast);
    }
}

TEST(broadcast, an_io_that_publishes_may_run_many_times)
{
    FOR_SCHEDULES(options) {
        coir_subscription *a = NULL;
        coir_broadcast *broadcast = coir_broadcast_new(5, COIR_SLOW_WAIT, 0);
        coir_io *io = coir_zip(COIR_IOS(coir_repeat(coir_publish(broadcast, thing(1)), 3), coir_repeat(coir_try_publish(broadcast, coir_int(2)), 2), receiving_all(&a, 5)));
        CHECK_STR(outcome_under(options, subscribing(broadcast, &a, io)), "OK [1 1 [thing 1 thing 1 thing 1 2 2]]");
        CHECK_STR(notes(), "-1");
        coir_broadcast_drop(broadcast);
    }
}

static coir_io *note_item(void *unused, coir_value *item)
{
    (void)unused;
    note("%d", (int)item->i64);
    return coir_yield();
}

static coir_io *all_of_them(void)
{
    static coir_subscription *a;
    coir_broadcast *broadcast = coir_broadcast_new(2, COIR_SLOW_WAIT, 0);
    coir_io *both = coir_both(coir_broadcast_closing(broadcast, publishing_from(broadcast, 0, 4)), coir_for_each(nexting(&a), note_item, NULL));
    coir_io *io = subscribing(broadcast, &a, both);
    coir_broadcast_drop(broadcast);
    return io;
}

TEST(broadcast, next_gives_none_at_the_end_and_a_zero_for_a_zero)
{
    CHECK_EVERYWHERE(all_of_them(), "OK [1 0]", "0 1 2 3");
}

/* ------------------------------------------------------------------------------------------------------- alternatives */

static coir_case on(coir_io *io) { return coir_on(io, NULL, NULL); }
struct both { coir_broadcast *full, *empty; coir_subscription *of_full, *of_empty; };

static coir_io *either_way(void *both_)
{
    struct both *both = both_;
    return coir_alt(COIR_CASES(on(coir_subscription_receive(both->of_empty)), on(coir_publish(both->full, thing(2)))));
}

TEST(broadcast, publishing_and_receiving_are_cases_of_an_alternative)
{
    FOR_SCHEDULES(options)
        for (int which = 0; which < 3; which++) {
            coir_fiber *waiter = NULL;
            struct both both = { .full = coir_broadcast_new(1, COIR_SLOW_WAIT, 0), .empty = coir_broadcast_new(1, COIR_SLOW_WAIT, 0) };
            coir_io *makes_go[] = { publishing(both.empty, 7), receiving(&both.of_full), canceling(&waiter) };
            static const char *const expected[] = { "OK <OK 7>", "OK <OK 1>", "OK <ERROR CHILD_CANCELED>" };
            for (int i = 0; i < 3; i++)
                if (i != which)
                    coir_io_drop(makes_go[i]);
            coir_io *io = coir_sequence(COIR_IOS(publishing(both.full, 1), queueing(coir_suspend(either_way, &both), &waiter), makes_go[which], coir_attempt(joining(&waiter))));
            CHECK_STR(outcome_under(options, subscribing(both.full, &both.of_full, subscribing(both.empty, &both.of_empty, io))), expected[which]);
            CHECK_INT(things_alive, 0);
            notes();
            coir_fiber_drop(waiter);
            coir_broadcast_drop(both.full);
            coir_broadcast_drop(both.empty);
        }
}

/* --------------------------------------------------------------------------------------------- nothing lost, nothing twice */

enum { PUBLISHERS = 2, EACH = 3, ITEMS = PUBLISHERS * EACH, LISTENERS = 2, MEMBERS = PUBLISHERS + LISTENERS };

struct hall {
    coir_broadcast *broadcast;
    coir_fiber     *members[MEMBERS];                   /* the listeners first */
    atomic_int      ready[LISTENERS], sent[ITEMS], got[LISTENERS][ITEMS];
    int             latest[LISTENERS][PUBLISHERS];
    int             order[LISTENERS][ITEMS], count[LISTENERS];
};
struct member { struct hall *hall; int number; };

static coir_value note_sent(void *member_, coir_value *count)
{
    struct member *member = member_;
    (void)count;
    atomic_fetch_add(&member->hall->sent[member->number], 1);
    return coir_none();
}

static coir_io *publisher(struct hall *hall, int first)
{
    coir_io *ios[EACH];
    for (int i = 0; i < EACH; i++) {
        struct member member = { hall, first + i };
        ios[i] = coir_map_copy(coir_publish(hall->broadcast, thing(first + i)), note_sent, &member, sizeof member);
    }
    return coir_sequence(EACH, ios);
}

static coir_value note_got(void *member_, coir_value *item)
{
    struct member *member = member_;
    struct hall *hall = member->hall;
    int number = thing_number(item), *latest = &hall->latest[member->number][number / EACH];
    atomic_fetch_add(&hall->got[member->number][number], 1);
    if (number <= *latest)
        CHECK_FAIL("%d was received after %d", number, *latest);
    *latest = number;
    hall->order[member->number][hall->count[member->number]++ % ITEMS] = number;
    return coir_none();
}

static coir_io *listen(void *member_, const coir_value *held)
{
    struct member *member = member_;
    atomic_store(&member->hall->ready[member->number], 1);
    return coir_forever(coir_map_copy(coir_subscription_receive(coir_subscription_of(held)), note_got, member, sizeof *member));
}

static coir_io *listener(struct hall *hall, int number)
{
    struct member member = { hall, number };
    return coir_use_copy(coir_subscribed(hall->broadcast), listen, &member, sizeof member);
}

/* The publishers begin when everybody listens, or has been canceled before. */
static bool not_begun(void *hall_, const coir_value *value)
{
    struct hall *hall = hall_;
    bool begun = true;
    (void)value;
    for (int l = 0; l < LISTENERS; l++)
        begun = begun && (atomic_load(&hall->ready[l]) || coir_fiber_status(hall->members[l]) == COIR_ENDED);
    return !begun;
}

static coir_io *hall_program(struct hall *hall)
{
    coir_fiber **members = hall->members;
    return coir_sequence(COIR_IOS(forking(listener(hall, 0), &members[0]), forking(listener(hall, 1), &members[1]), coir_while(coir_yield(), not_begun, hall),
                                  forking(publisher(hall, 0), &members[2]), forking(publisher(hall, EACH), &members[3]), coir_attempt(joining(&members[2])),
                                  coir_attempt(joining(&members[3])), closing(hall->broadcast), coir_attempt(joining(&members[0])), coir_attempt(joining(&members[1])),
                                  coir_unit()));
}

static void hall_open(struct hall *hall, size_t capacity, size_t replay)
{
    *hall = (struct hall){ .broadcast = coir_broadcast_new(capacity, COIR_SLOW_WAIT, replay) };
    for (int i = 0; i < LISTENERS; i++)
        for (int n = 0; n < PUBLISHERS; n++)
            hall->latest[i][n] = -1;
}

/* Whoever was not canceled has received all that was sent; nobody has received anything twice; and they have received it in one order. */
static void hall_close(struct hall *hall, int victim)
{
    for (int l = 0; l < LISTENERS; l++)
        for (int i = 0; i < ITEMS; i++) {
            CHECK(hall->got[l][i] <= hall->sent[i] && hall->sent[i] <= 1);
            if (l != victim)
                CHECK_INT(hall->got[l][i], hall->sent[i]);
        }
    for (int i = 0; i < hall->count[0] && i < hall->count[1]; i++)
        CHECK_INT(hall->order[0][i], hall->order[1][i]);
    drop_all(MEMBERS, hall->members);
    CHECK_UINT(coir_broadcast_subscribers(hall->broadcast), 0);
    coir_broadcast_drop(hall->broadcast);
    CHECK_INT(things_alive, 0);
    CHECK(strchr(notes(), '!') == NULL);
}

static const size_t capacities[] = { 1, 2, COIR_UNBOUNDED };

TEST(broadcast, no_message_is_lost_or_doubled_and_all_see_one_order)
{
    for (size_t i = 0; i < 3; i++) {
        struct hall hall;
        FOR_SEEDS(options) {
            hall_open(&hall, capacities[i], options->seed % 2);
            CHECK_STR(simulated(options, hall_program(&hall)), "OK 0");
            hall_close(&hall, -1);
        }
        FOR_WORKERS(workers, 1, 2, 4)
            for (int round = 0; round < scaled(200); round++) {
                hall_open(&hall, capacities[i], (size_t)round % 2);
                CHECK_STR(outcome(workers, hall_program(&hall)), "OK 0");
                hall_close(&hall, -1);
            }
    }
}

TEST(broadcast, no_message_is_lost_or_doubled_whoever_is_canceled_at_whatever_step)
{
    for (size_t i = 0; i < 3; i++)
        for (int victim = 0; victim < MEMBERS; victim++)
            FOR_EACH_STEP(step, options) {
                struct hall hall;
                hall_open(&hall, capacities[i], step % 2);
                CHECK_STR(canceled_at(step, options, hall_program(&hall), &hall.members[victim]), "OK 0");
                hall_close(&hall, victim);
            }
}

/* -------------------------------------------------------------------------------------------------------------- handles */

TEST(broadcast, the_last_handle_drops_what_is_kept_and_ios_and_subscriptions_have_one)
{
    FOR_SCHEDULES(options) {
        coir_broadcast *broadcast = coir_broadcast_new(3, COIR_SLOW_DROP_OLD, 2);
        CHECK_STR(outcome_under(options, coir_then(coir_publish(broadcast, thing(1)), coir_publish(broadcast, thing(2)))), "OK 0");
        CHECK_PTR(coir_broadcast_ref(broadcast), broadcast);
        coir_io *ios[] = { coir_publish(broadcast, coir_int(1)), coir_try_publish(broadcast, coir_int(1)), coir_broadcast_closing(broadcast, coir_unit()) };
        coir_resource *subscribed = coir_subscribed(broadcast);
        coir_broadcast_drop(broadcast);
        coir_broadcast_drop(broadcast);
        for (int i = 0; i < 3; i++)
            coir_io_drop(ios[i]);
        CHECK_STR(notes(), "");
        coir_resource_drop(subscribed);
        CHECK_STR(notes(), "-1 -2");
    }
    coir_broadcast_drop(NULL);
    CHECK_PTR(coir_broadcast_ref(NULL), NULL);
}

TEST(broadcast, a_broadcast_is_a_value_that_can_be_published_and_shared)
{
    coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
    coir_value value = coir_broadcast_value(broadcast), shared = coir_share(&value), number = coir_int(1);
    CHECK_PTR(coir_broadcast_of(&shared), broadcast);
    CHECK_PTR(coir_broadcast_of(&number), NULL);
    CHECK_PTR(coir_subscription_of(&number), NULL);
    CHECK_STR(describe(&(coir_result){ COIR_OK, value, NULL }), spelled("OK broadcast %ju", BROADCAST_ID(broadcast)));
    coir_drop(value);
    coir_drop(shared);
    CHECK_STR(outcome(1, coir_pure(coir_broadcast_value(NULL))), "PANIC MISUSE");
}

static void nest_broadcasts(void *env)
{
    (void)env;
    coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 1);
    for (int i = 0; i < scaled(20000); i++) {
        coir_broadcast *outer = coir_broadcast_new(1, COIR_SLOW_WAIT, 1);
        CHECK_STR(outcome(1, coir_publish(outer, coir_broadcast_value(broadcast))), "OK 0");
        broadcast = outer;
    }
    coir_broadcast_drop(broadcast);
}

TEST(broadcast, broadcasts_within_broadcasts_are_dropped_in_constant_stack)
{
    on_small_stack(nest_broadcasts, NULL);
}

TEST(broadcast, it_is_shown_by_its_id_and_what_it_holds)
{
    coir_broadcast *a = coir_broadcast_new(1, COIR_SLOW_WAIT, 0), *b = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
    CHECK(coir_broadcast_id(a) != 0 && coir_broadcast_id(a) != coir_broadcast_id(b));
    CHECK_UINT(coir_broadcast_id(NULL), 0);
    CHECK_UINT(coir_broadcast_subscribers(NULL), 0);
    CHECK_UINT(coir_subscription_size(NULL), 0);
    CHECK_UINT(coir_subscription_lost(NULL), 0);
    coir_broadcast_drop(a);
    coir_broadcast_drop(b);
}

/* ----------------------------------------------------------------------------------------------------------- bad input */

static void check_no_broadcast(coir_broadcast *broadcast)
{
    CHECK_PTR(broadcast, NULL);
    CHECK_INT(errno, EINVAL);
    errno = 0;
}

TEST(broadcast, numbers_that_cannot_be_give_EINVAL)
{
    errno = 0;
    check_no_broadcast(coir_broadcast_new(0, COIR_SLOW_WAIT, 0));
    check_no_broadcast(coir_broadcast_new((size_t)-2, COIR_SLOW_WAIT, 0));
    check_no_broadcast(coir_broadcast_new(SIZE_MAX / 2 + 1, COIR_SLOW_WAIT, 0));
    check_no_broadcast(coir_broadcast_new(2, COIR_SLOW_WAIT, 3));
    check_no_broadcast(coir_broadcast_new(2, (coir_when_slow)3, 0));
    check_no_broadcast(coir_broadcast_new(2, (coir_when_slow)-1, 0));
}

TEST(broadcast, of_NULL_every_io_is_NULL_and_what_came_with_it_is_dropped)
{
    CHECK_PTR(coir_publish(NULL, thing(1)), NULL);
    CHECK_PTR(coir_publish(NULL, sole_thing(2)), NULL);
    CHECK_PTR(coir_try_publish(NULL, thing(3)), NULL);
    CHECK_PTR(coir_broadcast_closing(NULL, coir_as(coir_unit(), thing(4))), NULL);
    CHECK_PTR(coir_subscribed(NULL), NULL);
    CHECK_PTR(coir_subscription_receive(NULL), NULL);
    CHECK_PTR(coir_subscription_next(NULL), NULL);
    CHECK_PTR(coir_subscription_try_receive(NULL), NULL);
    CHECK(!coir_broadcast_expose(NULL));
    CHECK_STR(notes(), "-1 -2 -3 -4");
}

TEST(broadcast, errors_name_the_function_and_the_broadcast)
{
    coir_subscription *a = NULL;
    coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_FAIL, 0);
    uintmax_t id = BROADCAST_ID(broadcast);
    CHECK_STR(message_of(1, subscribing(broadcast, &a, trying_receive(&a))), spelled("coir_subscription_try_receive: there is no message of broadcast %ju", id));
    CHECK_STR(message_of(1, subscribing(broadcast, &a, coir_then(publishing_from(broadcast, 1, 4), nexting(&a)))),
              spelled("coir_subscription_next: 3 messages of broadcast %ju were lost", id));
    coir_broadcast_close(broadcast);
    CHECK_STR(message_of(1, coir_publish(broadcast, coir_none())), spelled("coir_publish: broadcast %ju is closed", id));
    CHECK_STR(message_of(1, coir_try_publish(broadcast, coir_none())), spelled("coir_try_publish: broadcast %ju is closed", id));
    CHECK_STR(message_of(1, subscribing(broadcast, &a, receiving(&a))), spelled("coir_subscription_receive: broadcast %ju is closed", id));
    coir_broadcast_drop(broadcast);
}

TEST(broadcast, a_wait_that_nobody_can_end_is_a_deadlock_which_names_it)
{
    FOR_SCHEDULES(options) {
        coir_subscription *a = NULL;
        coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
        CHECK_CONTAINS(message_of(options->workers, subscribing(broadcast, &a, receiving(&a))), spelled("waits for a message of broadcast %ju", BROADCAST_ID(broadcast)));
        CHECK_CONTAINS(message_of(options->workers, subscribing(broadcast, &a, coir_then(publishing(broadcast, 1), coir_publish(broadcast, thing(2))))),
                       spelled("waits for room in broadcast %ju", BROADCAST_ID(broadcast)));
        CHECK_STR(notes(), "-2");
        CHECK_UINT(coir_broadcast_subscribers(broadcast), 0);
        coir_broadcast_drop(broadcast);
    }
}

TEST(broadcast, a_run_that_is_stopped_leaves_no_subscription)
{
    FOR_SCHEDULES(options) {
        coir_subscription *a = NULL, *b = NULL;
        coir_options stop = *options;
        stop.on_deadlock = COIR_DEADLOCK_STOP;
        coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
        coir_io *jam = subscribing(broadcast, &a, coir_then(coir_publish(broadcast, thing(1)), coir_publish(broadcast, thing(2))));
        coir_result result = coir_run(coir_both(jam, subscribing(broadcast, &b, coir_forever(receiving(&b)))), &stop);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_UINT(coir_broadcast_subscribers(broadcast), 0);
        CHECK_INT(things_alive, 0);
        CHECK(strchr(notes(), '!') == NULL);
        coir_broadcast_drop(broadcast);
    }
}

/* ---------------------------------------------------------------------------------------------------------- other runs */

TEST(broadcast, another_run_is_refused_while_ones_fibers_subscribe_and_served_afterwards)
{
    FOR_SCHEDULES(options) {
        struct gate gate = GATE;
        struct other_run other;
        coir_subscription *a = NULL, *b = NULL;
        coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
        other_run_begin(&other, options, subscribing(broadcast, &a, coir_sequence(COIR_IOS(passing(&gate), publishing(broadcast, 7), receiving(&a)))));
        CHECK_SOON(gate_waiting(&gate) == 1);
        coir_io *refused[] = { coir_publish(broadcast, thing(1)), coir_try_publish(broadcast, thing(2)), subscribing(broadcast, &b, coir_unit()), receiving(&a) };
        for (size_t i = 0; i < 4; i++)
            if (i != 2)
                CHECK_STR(outcome_under(options, refused[i]), "ERROR REFUSED");
        CHECK_STR(message_of(1, refused[2]), "coir_subscribed: another run's fibers use it");
        CHECK_STR(notes(), "-1 -2");
        gate_open(&gate);
        coir_result result = other_run_end(&other);
        CHECK_STR(describe(&result), "OK 7");
        CHECK_STR(outcome_under(options, publishing(broadcast, 3)), "OK 0");
        coir_broadcast_drop(broadcast);
    }
}

TEST(broadcast, it_is_exposed_before_its_first_use_or_never)
{
    coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0), *used = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
    CHECK(coir_broadcast_expose(broadcast));
    CHECK_STR(outcome(1, publishing(broadcast, 1)), "OK 0");
    CHECK(coir_broadcast_expose(broadcast));
    CHECK_STR(outcome(1, publishing(used, 1)), "OK 0");
    CHECK(!coir_broadcast_expose(used));
    coir_broadcast_drop(broadcast);
    coir_broadcast_drop(used);
}

static coir_io *add_up(void *sum, coir_value *item) { atomic_fetch_add((atomic_int *)sum, (int)item->i64); return coir_unit(); }
static bool nobody_listens(void *broadcast, const coir_value *value) { (void)value; return coir_broadcast_subscribers(broadcast) == 0; }

TEST(broadcast, an_exposed_one_serves_the_fibers_of_several_runs_which_are_not_found_to_wait_in_vain)
{
    const int many = scaled(sized(2000, 30));
    for (size_t i = 0; i < 3; i++)
        FOR_WORKERS(workers, 1, 2) {
            struct other_run other;
            coir_subscription *a = NULL;
            atomic_int sum = 0;
            coir_options options = { .workers = workers };
            coir_broadcast *broadcast = coir_broadcast_new(capacities[i], COIR_SLOW_WAIT, 0);
            CHECK(coir_broadcast_expose(broadcast));
            other_run_begin(&other, &options, subscribing(broadcast, &a, coir_for_each(nexting(&a), add_up, &sum)));
            CHECK_SOON(!nobody_listens(broadcast, NULL));
            CHECK_STR(outcome(workers, coir_broadcast_closing(broadcast, coir_as(coir_repeat(publishing(broadcast, 1), (uint64_t)many), coir_none()))), "OK 0");
            coir_result result = other_run_end(&other);
            CHECK_TAG(result, COIR_OK);
            CHECK_INT(sum, many);
            coir_broadcast_drop(broadcast);
        }
}

/* -------------------------------------------------------------------------------------------------------------- pictures */

TEST(broadcast, its_ios_are_shown_as_they_are_called)
{
    char text[1000] = "";
    FILE *out = fmemopen(text, sizeof text - 1, "w");
    coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 0);
    coir_io *io = coir_sequence(COIR_IOS(coir_publish(broadcast, coir_int(1)), coir_broadcast_closing(broadcast, coir_try_publish(broadcast, coir_int(1)))));
    coir_io_print(io, out, 0);
    fclose(out);
    coir_io_drop(io);
    coir_broadcast_drop(broadcast);
    static const char *const words[] = { "publish", "try_publish", "broadcast_close" };
    for (size_t i = 0; i < 3; i++)
        CHECK_CONTAINS(text, words[i]);
}
