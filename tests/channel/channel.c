/*
 * channel.c - tests of channels
 */
#include "sweep.h"

/* ---------------------------------------------------------------------------------------------------- words of this suite */

static coir_io *after(int64_t ms, coir_io *io) { return coir_then(coir_sleep(coir_ms(ms)), io); }
static coir_io *giving(int64_t n) { return coir_pure(coir_int(n)); }
static coir_io *sending(coir_channel *channel, int64_t n) { return coir_send(channel, coir_int(n)); }

/* letting_go: io, when the test's handle has been dropped. */
static coir_io *letting_go(coir_channel *channel, coir_io *io)
{
    coir_channel_drop(channel);
    return io;
}

static coir_io *cancel_placed(void *place) { return coir_cancel(*(coir_fiber **)place); }
static coir_io *canceling(coir_fiber **place) { return coir_suspend(cancel_placed, place); }

static coir_result see_size(void *channel) { return coir_ok(coir_int((int64_t)coir_channel_size(channel))); }
static coir_io *size_of(coir_channel *channel) { return coir_defer(see_size, channel); }

static coir_result close_it(void *channel) { coir_close(channel); return coir_ok(coir_none()); }
static coir_result poison_it(void *channel) { coir_poison(channel); return coir_ok(coir_none()); }
static coir_io *closing(coir_channel *channel)   { return coir_defer(close_it, channel); }
static coir_io *poisoning(coir_channel *channel) { return coir_defer(poison_it, channel); }

/* noted: io, and a note of the number, or the thing, that it gave. */
static coir_value note_value(void *env, coir_value *value)
{
    (void)env;
    note("%d", is_thing(value) ? thing_number(value) : (int)value->i64);
    return coir_none();
}
static coir_io *noted(coir_io *io) { return coir_map(io, note_value, NULL); }

static const size_t capacities[] = { 0, 1, 3, COIR_UNBOUNDED };
enum { CAPACITIES = sizeof capacities / sizeof capacities[0] };

static void drop_all(size_t count, coir_fiber **fibers)
{
    for (size_t i = 0; i < count; i++) {
        coir_fiber_drop(fibers[i]);
        fibers[i] = NULL;
    }
}

/* -------------------------------------------------------------------------------------------------------------- meeting */

static coir_io *meet(size_t capacity, coir_value value)
{
    coir_channel *channel = coir_channel_new(capacity);
    return letting_go(channel, coir_both(coir_send(channel, value), coir_receive(channel)));
}

TEST(channel, a_value_goes_from_who_sends_it_to_who_receives_it)
{
    for (size_t i = 0; i < CAPACITIES; i++) {
        CHECK_EVERYWHERE(meet(capacities[i], coir_int(5)), "OK [0 5]", "");
        CHECK_EVERYWHERE(meet(capacities[i], thing(5)), "OK [0 thing 5]", "-5");
        CHECK_EVERYWHERE(meet(capacities[i], sole_thing(5)), "OK [0 thing 5]", "-5");
        CHECK_EVERYWHERE(meet(capacities[i], starved_thing(5)), "OK [0 thing 5]", "-5");
    }
}

TEST(channel, a_value_that_cannot_be_had_is_a_panic_of_the_sender)
{
    coir_channel *channel = coir_channel_new(1);
    CHECK_EVERYWHERE(coir_send(channel, coir_panic_value("none to be had")), "PANIC MISUSE", "");
    CHECK_EVERYWHERE(coir_try_send(channel, coir_panic_value("none to be had")), "PANIC MISUSE", "");
    CHECK_UINT(coir_channel_size(channel), 0);
    coir_channel_drop(channel);
}

/* How many of seven are sent before somebody has received one. */
static coir_io *send_seven(coir_channel *channel, coir_fiber **sender)
{
    coir_io *ios[7];
    for (int i = 0; i < 7; i++)
        ios[i] = coir_then(sending(channel, i), noting("sent"));
    return queueing(coir_then(coir_sequence(7, ios), coir_never()), sender);
}

TEST(channel, as_many_values_fit_inside_as_it_was_made_for)
{
    static const char *const expected[] = { "", "sent", "sent sent sent", "sent sent sent sent sent sent sent" };
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_SCHEDULES(options) {
            coir_fiber *sender = NULL;
            coir_channel *channel = coir_channel_new(capacities[i]);
            coir_io *io = coir_then(send_seven(channel, &sender), size_of(channel));
            CHECK_STR(outcome_under(options, coir_then_keep(io, canceling(&sender))), spelled("OK %d", (int)(capacities[i] < 7 ? capacities[i] : 7)));
            CHECK_STR(notes(), expected[i]);
            coir_fiber_drop(sender);
            coir_channel_drop(channel);
        }
}

TEST(channel, at_a_rendezvous_the_sender_goes_on_when_the_value_has_been_received)
{
    FOR_SCHEDULES(options) {
        coir_fiber *sender = NULL;
        coir_channel *channel = coir_channel_new(0);
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_then(sending(channel, 1), noting("sent")), &sender), coir_repeat(coir_yield(), 5),
                                             noting("nobody came"), noted(coir_receive(channel)), joining(&sender)));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_CONTAINS(notes(), "nobody came");
        coir_fiber_drop(sender);
        coir_channel_drop(channel);
    }
}

TEST(channel, who_waits_to_receive_is_given_the_value_itself)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_SCHEDULES(options) {
            coir_fiber *receiver = NULL;
            coir_channel *channel = coir_channel_new(capacities[i]);
            coir_io *io = coir_sequence(COIR_IOS(queueing(coir_receive(channel), &receiver), coir_send(channel, sole_thing(4)), size_of(channel)));
            CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(io, joining(&receiver)))), "OK [0 thing 4]");
            CHECK_STR(notes(), "-4");
            coir_fiber_drop(receiver);
            coir_channel_drop(channel);
        }
}

/* --------------------------------------------------------------------------------------------------------------- order */

static coir_io *send_in_order(coir_channel *channel, int first, int count)
{
    coir_io *ios[8];
    for (int i = 0; i < count; i++)
        ios[i] = sending(channel, first + i);
    return coir_sequence((size_t)count, ios);
}

static coir_io *in_order(size_t capacity)
{
    coir_channel *channel = coir_channel_new(capacity);
    coir_io *receiver = coir_sequence(COIR_IOS(noted(coir_receive(channel)), noted(coir_receive(channel)), noted(coir_receive(channel)),
                                               noted(coir_receive(channel)), noted(coir_receive(channel))));
    return letting_go(channel, coir_both(send_in_order(channel, 1, 5), receiver));
}

TEST(channel, values_of_one_sender_arrive_in_their_order)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        CHECK_EVERYWHERE(in_order(capacities[i]), "OK [0 0]", "1 2 3 4 5");
}

TEST(channel, receivers_are_served_in_the_order_of_arrival)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_SCHEDULES(options) {
            coir_fiber *fibers[4] = { NULL };
            coir_channel *channel = coir_channel_new(capacities[i]);
            coir_io *io = coir_sequence(COIR_IOS(queueing(coir_receive(channel), &fibers[0]), queueing(coir_receive(channel), &fibers[1]),
                                                 queueing(coir_receive(channel), &fibers[2]), queueing(coir_receive(channel), &fibers[3]),
                                                 canceling(&fibers[1]), send_in_order(channel, 1, 3)));
            io = coir_then(io, coir_zip(COIR_IOS(joining(&fibers[0]), joining(&fibers[2]), joining(&fibers[3]))));
            CHECK_STR(outcome_under(options, io), "OK [1 2 3]");
            drop_all(4, fibers);
            coir_channel_drop(channel);
        }
}

TEST(channel, senders_are_served_in_the_order_of_arrival_behind_what_is_inside)
{
    for (size_t i = 0; i < CAPACITIES - 1; i++)
        FOR_SCHEDULES(options) {
            coir_fiber *fibers[4] = { NULL };
            coir_channel *channel = coir_channel_new(capacities[i]);
            coir_io *io = coir_sequence(COIR_IOS(send_in_order(channel, 10, (int)capacities[i]), queueing(sending(channel, 1), &fibers[0]),
                                                 queueing(coir_send(channel, thing(2)), &fibers[1]), queueing(sending(channel, 3), &fibers[2]),
                                                 queueing(sending(channel, 4), &fibers[3]), canceling(&fibers[1])));
            for (size_t n = 0; n < capacities[i] + 3; n++)
                io = coir_then(io, noted(coir_receive(channel)));
            CHECK_STR(outcome_under(options, io), "OK 0");
            CHECK_STR(notes(), i == 0 ? "-2 1 3 4" : i == 1 ? "-2 10 1 3 4" : "-2 10 11 12 1 3 4");
            CHECK_UINT(coir_channel_size(channel), 0);
            drop_all(4, fibers);
            coir_channel_drop(channel);
        }
}

TEST(channel, who_comes_late_does_not_overtake_who_waits)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[2] = { NULL };
        coir_channel *full = coir_channel_new(1), *empty = coir_channel_new(1);
        coir_io *io = coir_zip(COIR_IOS(sending(full, 1), queueing(sending(full, 2), &fibers[0]), coir_try_send(full, coir_int(3)),
                                        queueing(coir_receive(empty), &fibers[1]), coir_attempt(coir_try_receive(empty)),
                                        sending(empty, 7), coir_attempt(coir_try_receive(empty)), joining(&fibers[1]),
                                        coir_receive(full), coir_receive(full), coir_attempt(coir_try_receive(full))));
        CHECK_STR(outcome_under(options, io), "OK [0 0 0 0 <ERROR EAGAIN> 0 <ERROR EAGAIN> 7 1 2 <ERROR EAGAIN>]");
        drop_all(2, fibers);
        coir_channel_drop(full);
        coir_channel_drop(empty);
    }
}

/* ----------------------------------------------------------------------------------------------------- without waiting */

TEST(channel, try_send_gives_whether_somebody_took_it_or_there_was_room)
{
    FOR_SCHEDULES(options) {
        coir_fiber *receiver = NULL;
        coir_channel *meeting = coir_channel_new(0), *two = coir_channel_new(2);
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_try_send(meeting, thing(1)), queueing(coir_receive(meeting), &receiver),
                                                           coir_try_send(meeting, thing(2)), coir_try_send(meeting, thing(3)), joining(&receiver)))),
                  "OK [0 0 1 0 thing 2]");
        coir_fiber_drop(receiver);
        CHECK_STR(notes(), "-1 -3 -2");
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_try_send(two, coir_int(1)), coir_try_send(two, coir_int(2)), coir_try_send(two, thing(3)),
                                                           coir_receive(two), coir_try_send(two, sole_thing(4)), coir_receive(two)))),
                  "OK [1 1 0 1 1 2]");
        coir_channel_drop(meeting);
        coir_channel_drop(two);
        CHECK_STR(notes(), "-3 -4");
    }
}

TEST(channel, try_receive_takes_what_is_inside_or_from_a_sender_who_waits)
{
    FOR_SCHEDULES(options) {
        coir_fiber *sender = NULL;
        coir_channel *meeting = coir_channel_new(0), *two = coir_channel_new(2);
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_attempt(coir_try_receive(meeting)), queueing(coir_send(meeting, sole_thing(1)), &sender),
                                                           coir_try_receive(meeting), joining(&sender)))),
                  "OK [<ERROR EAGAIN> 0 thing 1 0]");
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_send(two, thing(2)), coir_try_receive(two), coir_attempt(coir_try_receive(two))))),
                  "OK [0 thing 2 <ERROR EAGAIN>]");
        coir_fiber_drop(sender);
        coir_channel_drop(meeting);
        coir_channel_drop(two);
        notes();
        CHECK_INT(things_alive, 0);
    }
}

/* ------------------------------------------------------------------------------------------------------ close, poison */

TEST(channel, what_is_inside_a_closed_one_and_what_waits_to_be_sent_can_still_be_received)
{
    for (size_t i = 0; i < CAPACITIES - 1; i++)
        FOR_SCHEDULES(options) {
            coir_fiber *fibers[2] = { NULL };
            coir_channel *channel = coir_channel_new(capacities[i]);
            coir_io *io = coir_sequence(COIR_IOS(send_in_order(channel, 1, (int)capacities[i]), queueing(coir_send(channel, thing(8)), &fibers[0]),
                                                 queueing(coir_send(channel, sole_thing(9)), &fibers[1]), closing(channel)));
            for (size_t n = 0; n < capacities[i] + 2; n++)
                io = coir_then(io, noted(coir_receive(channel)));
            io = coir_then(io, coir_zip(COIR_IOS(joining(&fibers[0]), joining(&fibers[1]), coir_attempt(coir_receive(channel)), coir_next(channel))));
            CHECK_STR(outcome_under(options, io), "OK [0 0 <ERROR CLOSED> 0]");
            CHECK_STR(notes(), i == 0 ? "8 -8 9 -9" : i == 1 ? "1 8 -8 9 -9" : "1 2 3 8 -8 9 -9");
            drop_all(2, fibers);
            coir_channel_drop(channel);
        }
}

TEST(channel, what_is_sent_to_a_closed_or_poisoned_one_is_refused_and_dropped)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_SCHEDULES(options) {
            coir_channel *channel = coir_channel_new(capacities[i]);
            coir_io *io = coir_zip(COIR_IOS(closing(channel), coir_attempt(coir_send(channel, thing(1))), coir_attempt(coir_try_send(channel, thing(2))),
                                            poisoning(channel), coir_attempt(coir_send(channel, thing(3))), coir_attempt(coir_try_send(channel, thing(4)))));
            CHECK_STR(outcome_under(options, io), "OK [0 <ERROR CLOSED> <ERROR CLOSED> 0 <ERROR POISONED> <ERROR POISONED>]");
            CHECK_STR(notes(), "-1 -2 -3 -4");
            CHECK_UINT(coir_channel_size(channel), 0);
            coir_channel_drop(channel);
        }
}

TEST(channel, receivers_who_wait_when_it_is_closed_come_to_its_end)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[3] = { NULL };
        coir_channel *channel = coir_channel_new(1);
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_attempt(coir_receive(channel)), &fibers[0]), queueing(coir_next(channel), &fibers[1]),
                                             queueing(coir_attempt(coir_receive(channel)), &fibers[2]), closing(channel)));
        io = coir_then(io, coir_zip(COIR_IOS(joining(&fibers[0]), joining(&fibers[1]), joining(&fibers[2]), coir_attempt(coir_try_receive(channel)))));
        CHECK_STR(outcome_under(options, io), "OK [<ERROR CLOSED> 0 <ERROR CLOSED> <ERROR CLOSED>]");
        drop_all(3, fibers);
        coir_channel_drop(channel);
    }
}

TEST(channel, poison_drops_what_is_inside_and_wakes_all_with_an_error)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[4] = { NULL };
        coir_channel *full = coir_channel_new(2), *empty = coir_channel_new(2);
        coir_io *io = coir_sequence(COIR_IOS(coir_send(full, thing(1)), coir_send(full, thing(2)), queueing(coir_attempt(coir_send(full, thing(3))), &fibers[0]),
                                             queueing(coir_attempt(coir_send(full, sole_thing(4))), &fibers[1]),
                                             queueing(coir_attempt(coir_receive(empty)), &fibers[2]), queueing(coir_attempt(coir_next(empty)), &fibers[3]),
                                             poisoning(full), poisoning(empty)));
        io = coir_then(io, coir_zip(COIR_IOS(joining(&fibers[0]), joining(&fibers[1]), joining(&fibers[2]), joining(&fibers[3]),
                                             coir_attempt(coir_receive(full)), coir_attempt(coir_next(full)), coir_attempt(coir_try_receive(full)), size_of(full))));
        CHECK_STR(outcome_under(options, io), "OK [<ERROR POISONED> <ERROR POISONED> <ERROR POISONED> <ERROR POISONED> "
                                              "<ERROR POISONED> <ERROR POISONED> <ERROR POISONED> 0]");
        CHECK_INT(things_alive, 0);
        const char *dropped = notes();                  /* among them those of the senders, who drop theirs when they like */
        CHECK_CONTAINS(dropped, "-1");
        CHECK_CONTAINS(dropped, "-2");
        drop_all(4, fibers);
        coir_channel_drop(full);
        coir_channel_drop(empty);
    }
}

TEST(channel, poison_also_ends_the_waits_of_senders_to_a_closed_one)
{
    FOR_SCHEDULES(options) {
        coir_fiber *sender = NULL;
        coir_channel *channel = coir_channel_new(1);
        coir_io *io = coir_sequence(COIR_IOS(coir_send(channel, thing(1)), queueing(coir_attempt(coir_send(channel, thing(2))), &sender), closing(channel),
                                             poisoning(channel), closing(channel), coir_zip(COIR_IOS(joining(&sender), coir_attempt(coir_receive(channel))))));
        CHECK_STR(outcome_under(options, io), "OK [<ERROR POISONED> <ERROR POISONED>]");
        CHECK_INT(things_alive, 0);
        notes();
        coir_fiber_drop(sender);
        coir_channel_drop(channel);
    }
}

TEST(channel, closing_and_poisoning_again_and_of_NULL_do_nothing)
{
    coir_channel *channel = coir_channel_new(1);
    coir_close(NULL);
    coir_poison(NULL);
    coir_close(channel);
    coir_close(channel);
    CHECK_STR(outcome(1, coir_attempt(coir_receive(channel))), "OK <ERROR CLOSED>");
    coir_poison(channel);
    coir_poison(channel);
    CHECK_STR(outcome(1, coir_attempt(coir_receive(channel))), "OK <ERROR POISONED>");
    coir_channel_drop(channel);
}

TEST(channel, closing_and_poisoning_come_however_io_ended)
{
    static const char *const expected[] = { "OK 5", "ERROR 5", "PANIC 5", "CANCELED 5" };
    FOR_SCHEDULES(options)
        for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
            coir_channel *closed = coir_channel_new(0), *poisoned = coir_channel_new(0);
            CHECK_STR(outcome_under(options, coir_closing(closed, coir_then(coir_yield(), ending(tag, 5)))), expected[tag]);
            CHECK_STR(outcome_under(options, coir_poisoning(poisoned, coir_then(coir_yield(), ending(tag, 5)))), expected[tag]);
            CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_attempt(coir_receive(closed)), coir_attempt(coir_receive(poisoned))))),
                      "OK [<ERROR CLOSED> <ERROR POISONED>]");
            coir_channel_drop(closed);
            coir_channel_drop(poisoned);
        }
}

static void *close_from_outside(void *channel) { coir_close(channel); return NULL; }
static void *poison_from_outside(void *channel) { coir_poison(channel); return NULL; }

/* A thread that comes when the fiber waits. The gate keeps the run from falling silent before. */
static void check_ended_from_outside(const coir_options *options, void *(*end)(void *), const char *expected)
{
    struct gate gate = GATE;
    struct other_run other;
    pthread_t thread;
    coir_channel *channel = coir_channel_new(0);
    coir_fiber *receiver = NULL;
    other_run_begin(&other, options, coir_sequence(COIR_IOS(queueing(coir_attempt(coir_receive(channel)), &receiver), passing(&gate), joining(&receiver))));
    CHECK_SOON(gate_waiting(&gate) == 1);
    CHECK_INT(pthread_create(&thread, NULL, end, channel), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    gate_open(&gate);
    coir_result result = other_run_end(&other);
    CHECK_STR(describe(&result), expected);
    coir_result_drop(&result);
    coir_fiber_drop(receiver);
    coir_channel_drop(channel);
}

TEST(channel, any_thread_may_close_or_poison_it_exposed_or_not)
{
    FOR_SCHEDULES(options) {
        check_ended_from_outside(options, close_from_outside, "OK <ERROR CLOSED>");
        check_ended_from_outside(options, poison_from_outside, "OK <ERROR POISONED>");
    }
}

/* ----------------------------------------------------------------------------------------------------------- iteration */

static coir_io *note_item(void *env, coir_value *item)
{
    (void)env;
    note("%d", (int)item->i64);
    return coir_yield();
}

static coir_io *all_of_them(size_t capacity)
{
    coir_channel *channel = coir_channel_new(capacity);
    return letting_go(channel, coir_both(coir_closing(channel, send_in_order(channel, 1, 5)), coir_for_each(coir_next(channel), note_item, NULL)));
}

TEST(channel, next_gives_none_at_the_end_so_for_each_goes_through_all_of_it)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        CHECK_EVERYWHERE(all_of_them(capacities[i]), "OK [0 0]", "1 2 3 4 5");
}

/* -------------------------------------------------------------------------------------------------------------- shared */

static coir_io *sent_again(size_t capacity, coir_value value, int times)
{
    coir_channel *channel = coir_channel_new(capacity);
    coir_io *sender = coir_closing(channel, coir_attempt(coir_repeat(coir_send(channel, value), (uint64_t)times)));
    coir_io *receiver = coir_zip(COIR_IOS(coir_attempt(coir_receive(channel)), coir_attempt(coir_receive(channel)), coir_attempt(coir_receive(channel))));
    return letting_go(channel, coir_both(sender, receiver));
}

TEST(channel, an_io_that_sends_may_run_many_times_if_its_value_can_be_shared)
{
    for (size_t i = 0; i < CAPACITIES; i++) {
        CHECK_EVERYWHERE(sent_again(capacities[i], thing(1), 2), "OK [<OK 0> [<OK thing 1> <OK thing 1> <ERROR CLOSED>]]", "-1");
        CHECK_EVERYWHERE(sent_again(capacities[i], coir_int(1), 3), "OK [<OK 0> [<OK 1> <OK 1> <OK 1>]]", "");
        CHECK_EVERYWHERE(sent_again(capacities[i], sole_thing(1), 2), "OK [<PANIC MISUSE> [<OK thing 1> <ERROR CLOSED> <ERROR CLOSED>]]", "-1");
        CHECK_EVERYWHERE(sent_again(capacities[i], starved_thing(1), 2), "OK [<PANIC ENOMEM> [<ERROR CLOSED> <ERROR CLOSED> <ERROR CLOSED>]]", "-1");
    }
}

TEST(channel, a_shared_io_that_is_canceled_or_refused_drops_its_share_alone)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fibers[3] = { NULL };
        coir_channel *channel = coir_channel_new(0);
        coir_io *send = coir_send(channel, thing(1)), *tried = coir_try_send(channel, thing(2)), *sole = coir_send(channel, sole_thing(3));
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_io_ref(send), &fibers[0]), queueing(coir_io_ref(send), &fibers[1]),
                                             queueing(coir_io_ref(sole), &fibers[2]), canceling(&fibers[0]), canceling(&fibers[2]), coir_io_ref(tried),
                                             coir_receive(channel)));
        CHECK_STR(outcome_under(options, io), "OK thing 1");
        CHECK_STR(notes(), "-3");
        coir_close(channel);
        CHECK_STR(outcome_under(options, coir_attempt(coir_io_ref(send))), "OK <ERROR CLOSED>");
        CHECK_INT(things_alive, 2);
        coir_io_drop(send);
        coir_io_drop(tried);
        coir_io_drop(sole);
        CHECK_STR(notes(), "-1 -2");
        drop_all(3, fibers);
        coir_channel_drop(channel);
    }
}

/* --------------------------------------------------------------------------------------------- nothing lost, nothing twice */

enum { SENDERS = 2, EACH = 3, ITEMS = SENDERS * EACH, RECEIVERS = 2, TRADERS = SENDERS + RECEIVERS };

struct market {
    coir_channel *channel;
    coir_fiber   *traders[TRADERS];
    atomic_int    sent[ITEMS], got[ITEMS];
    int           latest[RECEIVERS][SENDERS];           /* received by that one of that sender */
};
struct trader { struct market *market; int number; };

/* A callback of the result itself: it is called whatever comes behind it. */
static coir_value note_sent(void *trader_, coir_value *none)
{
    struct trader *trader = trader_;
    (void)none;
    atomic_fetch_add(&trader->market->sent[trader->number], 1);
    return coir_none();
}

static coir_value note_got(void *trader_, coir_value *item)
{
    struct trader *trader = trader_;
    int number = thing_number(item);
    if (number < 0 || number >= ITEMS) {
        CHECK_FAIL("%d was received", number);
        return coir_none();
    }
    int *latest = &trader->market->latest[trader->number][number / EACH];
    atomic_fetch_add(&trader->market->got[number], 1);
    if (number <= *latest)
        CHECK_FAIL("%d was received after %d", number, *latest);
    *latest = number;
    return coir_none();
}

static coir_io *market_sender(struct market *market, int first)
{
    coir_io *ios[EACH];
    for (int i = 0; i < EACH; i++) {
        struct trader trader = { market, first + i };
        ios[i] = coir_map_copy(coir_send(market->channel, i % 2 == 0 ? sole_thing(first + i) : thing(first + i)), note_sent, &trader, sizeof trader);
    }
    return coir_sequence(EACH, ios);
}

static coir_io *market_receiver(struct market *market, int number)
{
    struct trader trader = { market, number };
    return coir_forever(coir_map_copy(coir_receive(market->channel), note_got, &trader, sizeof trader));
}

/* Who sends and who receives; the receivers come to the end when all senders have. */
static coir_io *market_program(struct market *market)
{
    coir_fiber **traders = market->traders;
    return coir_sequence(COIR_IOS(forking(market_sender(market, 0), &traders[0]), forking(market_receiver(market, 0), &traders[1]),
                                  forking(market_sender(market, EACH), &traders[2]), forking(market_receiver(market, 1), &traders[3]),
                                  coir_attempt(joining(&traders[0])), coir_attempt(joining(&traders[2])), closing(market->channel),
                                  coir_attempt(joining(&traders[1])), coir_attempt(joining(&traders[3])), coir_unit()));
}

static void market_open(struct market *market, size_t capacity)
{
    *market = (struct market){ .channel = coir_channel_new(capacity) };
    for (int i = 0; i < RECEIVERS; i++)
        for (int n = 0; n < SENDERS; n++)
            market->latest[i][n] = -1;
}

/* What a sender knows to be sent was received by one, and nothing else was. */
static void market_close(struct market *market)
{
    for (int i = 0; i < ITEMS; i++) {
        CHECK(market->sent[i] <= 1);
        CHECK_INT(market->got[i], market->sent[i]);
    }
    drop_all(TRADERS, market->traders);
    coir_channel_drop(market->channel);
    CHECK_INT(things_alive, 0);
    CHECK(strchr(notes(), '!') == NULL);
}

TEST(channel, no_item_is_lost_or_doubled_and_each_senders_order_is_kept)
{
    for (size_t i = 0; i < CAPACITIES; i++) {
        struct market market;
        FOR_SEEDS(options) {
            market_open(&market, capacities[i]);
            CHECK_STR(simulated(options, market_program(&market)), "OK 0");
            for (int n = 0; n < ITEMS; n++)
                CHECK_INT(market.got[n], 1);
            market_close(&market);
        }
        FOR_WORKERS(workers, 1, 2, 4)
            for (int round = 0; round < scaled(100); round++) {
                market_open(&market, capacities[i]);
                CHECK_STR(outcome(workers, market_program(&market)), "OK 0");
                market_close(&market);
            }
    }
}

TEST(channel, no_item_is_lost_or_doubled_whoever_is_canceled_at_whatever_step)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        for (int victim = 0; victim < TRADERS; victim++)
            FOR_EACH_STEP(step, options) {
                struct market market;
                market_open(&market, capacities[i]);
                CHECK_STR(canceled_at(step, options, market_program(&market), &market.traders[victim]), "OK 0");
                market_close(&market);
            }
}

/* Each wait has a time-out, which goes off while it is being served, or before, or after. */
static coir_io *impatient(coir_io *io, int64_t ns) { return coir_timeout(io, coir_ns(ns)); }

static coir_io *hasty_program(struct market *market, int64_t patience)
{
    coir_io *sender = coir_attempt(impatient(market_sender(market, 0), patience)), *receiver = coir_attempt(impatient(market_receiver(market, 0), patience));
    coir_io *rest = coir_attempt(market_receiver(market, 1));
    return coir_then(coir_both(coir_closing(market->channel, sender), coir_then(receiver, rest)), coir_unit());
}

TEST(channel, no_item_is_lost_or_doubled_when_time_outs_go_off)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        for (int64_t patience = 1; patience < 40; patience++)
            FOR_SEEDS(options) {
                struct market market;
                options->step_time_max = coir_ns(3);
                market_open(&market, capacities[i]);
                CHECK_STR(simulated(options, hasty_program(&market, patience)), "OK 0");
                market_close(&market);
            }
}

/* Really: a fiber that cancels another while both are at it. */
static coir_io *market_with_canceler(struct market *market, int victim, uint64_t yields)
{
    coir_io *canceler = coir_then(coir_repeat(coir_yield(), yields), coir_suspend(cancel_placed, &market->traders[victim]));
    coir_fiber **traders = market->traders;
    return coir_sequence(COIR_IOS(forking(market_sender(market, 0), &traders[0]), forking(market_receiver(market, 0), &traders[1]),
                                  forking(market_sender(market, EACH), &traders[2]), forking(market_receiver(market, 1), &traders[3]), canceler,
                                  coir_attempt(joining(&traders[0])), coir_attempt(joining(&traders[2])), closing(market->channel),
                                  coir_attempt(joining(&traders[1])), coir_attempt(joining(&traders[3])), coir_unit()));
}

TEST(channel, really_no_item_is_lost_or_doubled_whoever_is_canceled)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(2000); round++) {
            struct market market;
            market_open(&market, capacities[round % CAPACITIES]);
            CHECK_STR(outcome(workers, market_with_canceler(&market, round / CAPACITIES % TRADERS, (uint64_t)(round / (CAPACITIES * TRADERS)) % 12 + 1)), "OK 0");
            market_close(&market);
        }
}

/* ------------------------------------------------------------------------------------------------------------- many */

static coir_io *send_index(void *channel, size_t index) { return sending(channel, (int64_t)index); }
static coir_io *send_many(coir_channel *channel, int count) { return coir_closing(channel, coir_as(coir_traverse((size_t)count, send_index, channel), coir_none())); }

struct sum { int64_t sum, count; };
static coir_io *add_up(void *sum_, coir_value *item)
{
    struct sum *sum = sum_;
    sum->sum += item->i64 + 1;
    sum->count++;
    return coir_unit();
}

/* What is sent is one more, since a none looks like the end. */
static coir_io *send_one_more(void *channel, coir_value *item)
{
    int64_t n = item->i64;
    return n == 0 ? coir_pure(coir_none()) : coir_then(coir_send(channel, coir_int(n)), coir_again(coir_int(n - 1)));
}
static coir_io *count_down(coir_channel *channel, int from) { return coir_closing(channel, coir_iterate(coir_int(from), send_one_more, channel)); }

TEST(channel, many_values_go_through_in_constant_memory_or_wait_inside)
{
    const int many = scaled(sized(100000, 300));
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_WORKERS(workers, 1, 2, 4) {
            struct sum sum = { 0 };
            coir_channel *channel = coir_channel_new(capacities[i]);
            coir_io *io = coir_both(count_down(channel, many), coir_for_each(coir_next(channel), add_up, &sum));
            CHECK_STR(outcome(workers, io), "OK [0 0]");
            CHECK_INT(sum.count, many);
            CHECK_INT(sum.sum, (int64_t)many * (many + 1) / 2 + many);
            coir_channel_drop(channel);
        }
}

TEST(channel, an_unbounded_one_takes_all_and_gives_them_in_order)
{
    const int many = 300 + scaled(100000);
    FOR_WORKERS(workers, 1, 2) {
        coir_channel *channel = coir_channel_new(COIR_UNBOUNDED);
        CHECK_STR(outcome(workers, send_many(channel, many)), "OK 0");
        CHECK_UINT(coir_channel_size(channel), (size_t)many);
        for (int i = 0; i < 40; i++)                    /* round its end, and larger meanwhile */
            CHECK_STR(outcome(workers, coir_receive(channel)), spelled("OK %d", i));
        coir_channel_drop(channel);
    }
}

static coir_io *noisy_market(coir_channel *channel, struct sum sums[4], int each)
{
    coir_io *senders[4], *receivers[4];
    for (int i = 0; i < 4; i++) {
        senders[i] = coir_iterate(coir_int(each), send_one_more, channel);
        receivers[i] = coir_for_each(coir_next(channel), add_up, &sums[i]);
    }
    return coir_both(coir_closing(channel, coir_par_zip(4, senders)), coir_par_zip(4, receivers));
}

TEST(channel, four_senders_and_four_receivers_share_one)
{
    const int each = scaled(sized(20000, 50));
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_WORKERS(workers, 1, 2, 4) {
            struct sum sums[4] = { { 0, 0 } };
            coir_channel *channel = coir_channel_new(capacities[i]);
            CHECK_STR(outcome(workers, noisy_market(channel, sums, each)), "OK [[0 0 0 0] [0 0 0 0]]");
            CHECK_INT(sums[0].count + sums[1].count + sums[2].count + sums[3].count, 4 * (int64_t)each);
            CHECK_INT(sums[0].sum + sums[1].sum + sums[2].sum + sums[3].sum, 4 * ((int64_t)each * (each + 1) / 2 + each));
            coir_channel_drop(channel);
        }
}

/* -------------------------------------------------------------------------------------------------------------- handles */

TEST(channel, the_last_handle_drops_what_is_inside)
{
    FOR_SCHEDULES(options) {
        coir_channel *channel = coir_channel_new(5);
        CHECK_STR(outcome_under(options, coir_sequence(COIR_IOS(coir_send(channel, thing(1)), coir_send(channel, sole_thing(2))))), "OK 0");
        CHECK_PTR(coir_channel_ref(channel), channel);
        coir_channel_drop(channel);
        CHECK_STR(notes(), "");
        coir_channel_drop(channel);
        CHECK_STR(notes(), "-1 -2");
    }
    coir_channel_drop(NULL);
    CHECK_PTR(coir_channel_ref(NULL), NULL);
}

TEST(channel, each_io_that_mentions_one_keeps_it)
{
    FOR_SCHEDULES(options) {
        coir_channel *channel = coir_channel_new(1);
        coir_io *ios[] = { coir_send(channel, coir_int(1)), coir_receive(channel), coir_next(channel), coir_try_send(channel, coir_int(1)),
                           coir_try_receive(channel), coir_closing(channel, coir_unit()), coir_poisoning(channel, coir_unit()) };
        coir_channel_drop(channel);
        for (size_t i = 1; i < sizeof ios / sizeof ios[0]; i++)
            coir_io_drop(ios[i]);
        CHECK_STR(outcome_under(options, ios[0]), "OK 0");
    }
}

static coir_io *receive_from(void *env, coir_value *channel) { (void)env; return coir_receive(coir_channel_of(channel)); }

TEST(channel, a_channel_is_a_value_that_can_be_sent_and_shared)
{
    FOR_SCHEDULES(options) {
        coir_channel *inner = coir_channel_new(1), *outer = coir_channel_new(1);
        coir_io *io = coir_sequence(COIR_IOS(coir_send(inner, coir_int(7)), coir_send(outer, coir_channel_value(coir_channel_ref(inner))),
                                             coir_flat_map(coir_receive(outer), receive_from, NULL)));
        CHECK_STR(outcome_under(options, io), "OK 7");
        coir_value value = coir_channel_value(inner), shared = coir_share(&value), number = coir_int(1);
        CHECK(coir_can_share(&value));
        CHECK_PTR(coir_channel_of(&shared), inner);
        CHECK_PTR(coir_channel_of(&number), NULL);
        CHECK_STR(describe(&(coir_result){ COIR_OK, value, NULL }), spelled("OK channel %ju", CHANNEL_ID(inner)));
        coir_drop(value);
        coir_drop(shared);
        coir_channel_drop(outer);
    }
    coir_value none = coir_channel_value(NULL);
    CHECK_STR(outcome(1, coir_pure(none)), "PANIC MISUSE");
}

static void nest_channels(void *env)
{
    (void)env;
    coir_channel *channel = coir_channel_new(1);
    for (int i = 0; i < scaled(200000); i++) {
        coir_channel *outer = coir_channel_new(1);
        CHECK(coir_channel_expose(outer));
        CHECK(coir_thread_try_send(outer, coir_channel_value(channel)));
        channel = outer;
    }
    coir_channel_drop(channel);
}

TEST(channel, channels_within_channels_are_dropped_in_constant_stack)
{
    on_small_stack(nest_channels, NULL);
}

TEST(channel, it_is_shown_by_its_id_and_size)
{
    coir_channel *a = coir_channel_new(2), *b = coir_channel_new(2);
    CHECK(coir_channel_id(a) != 0 && coir_channel_id(a) != coir_channel_id(b));
    CHECK_UINT(coir_channel_id(NULL), 0);
    CHECK_UINT(coir_channel_size(NULL), 0);
    CHECK_UINT(coir_channel_size(a), 0);
    CHECK_STR(outcome(1, coir_then(sending(a, 1), sending(a, 2))), "OK 0");
    CHECK_UINT(coir_channel_size(a), 2);
    CHECK_STR(outcome(1, coir_receive(a)), "OK 1");
    CHECK_UINT(coir_channel_size(a), 1);
    coir_channel_drop(a);
    coir_channel_drop(b);
}

/* ----------------------------------------------------------------------------------------------------------- bad input */

TEST(channel, a_capacity_that_cannot_be_gives_EINVAL)
{
    static const size_t bad[] = { SIZE_MAX / 2 + 1, SIZE_MAX - 1, (size_t)-2, (size_t)INT64_MIN };
    for (size_t i = 0; i < 4; i++) {
        errno = 0;
        CHECK_PTR(coir_channel_new(bad[i]), NULL);
        CHECK_INT(errno, EINVAL);
    }
    coir_channel *large = coir_channel_new(SIZE_MAX / 2);
    CHECK_STR(outcome(1, coir_then(sending(large, 1), coir_receive(large))), "OK 1");
    coir_channel_drop(large);
}

TEST(channel, of_NULL_every_io_is_NULL_and_what_came_with_it_is_dropped)
{
    CHECK_PTR(coir_send(NULL, thing(1)), NULL);
    CHECK_PTR(coir_try_send(NULL, thing(2)), NULL);
    CHECK_PTR(coir_receive(NULL), NULL);
    CHECK_PTR(coir_next(NULL), NULL);
    CHECK_PTR(coir_try_receive(NULL), NULL);
    CHECK_PTR(coir_closing(NULL, coir_as(coir_unit(), thing(3))), NULL);
    CHECK_PTR(coir_poisoning(NULL, coir_as(coir_unit(), thing(4))), NULL);
    CHECK_STR(notes(), "-1 -2 -3 -4");
    coir_channel *channel = coir_channel_new(0);
    CHECK_PTR(coir_closing(channel, NULL), NULL);
    CHECK_PTR(coir_poisoning(channel, NULL), NULL);
    CHECK(!coir_channel_expose(NULL));
    coir_channel_drop(channel);
}

TEST(channel, errors_name_the_function_and_the_channel)
{
    coir_channel *closed = coir_channel_new(0), *poisoned = coir_channel_new(0), *empty = coir_channel_new(0);
    coir_close(closed);
    coir_poison(poisoned);
    CHECK_STR(message_of(1, coir_send(closed, coir_none())), spelled("coir_send: channel %ju is closed", CHANNEL_ID(closed)));
    CHECK_STR(message_of(1, coir_try_send(poisoned, coir_none())), spelled("coir_try_send: channel %ju is poisoned", CHANNEL_ID(poisoned)));
    CHECK_STR(message_of(1, coir_receive(closed)), spelled("coir_receive: channel %ju is closed", CHANNEL_ID(closed)));
    CHECK_STR(message_of(1, coir_next(poisoned)), spelled("coir_next: channel %ju is poisoned", CHANNEL_ID(poisoned)));
    CHECK_STR(message_of(1, coir_try_receive(closed)), spelled("coir_try_receive: channel %ju is closed", CHANNEL_ID(closed)));
    CHECK_STR(message_of(1, coir_try_receive(empty)), spelled("coir_try_receive: channel %ju is empty", CHANNEL_ID(empty)));
    coir_channel_drop(closed);
    coir_channel_drop(poisoned);
    coir_channel_drop(empty);
}

/* ------------------------------------------------------------------------------------------- nobody can come any more */

TEST(channel, when_all_who_have_it_wait_they_are_woken_with_a_panic)
{
    FOR_SCHEDULES(options) {
        coir_channel *channel = coir_channel_new(1);
        coir_fiber *fibers[2] = { NULL };
        coir_io *receive = coir_receive(channel), *next = coir_next(channel);
        coir_channel_drop(channel);
        CHECK_STR(outcome_under(options, coir_then(receive, coir_unit())), "PANIC DEADLOCK");  /* next refers to it as well */
        CHECK_STR(outcome_under(options, coir_then(next, coir_unit())), "PANIC ABANDONED");
        channel = coir_channel_new(0);
        coir_io *io = coir_zip(COIR_IOS(forking(coir_receive(channel), &fibers[0]), forking(coir_receive(channel), &fibers[1]),
                                        coir_attempt(joining(&fibers[0])), coir_attempt(joining(&fibers[1]))));
        coir_channel_drop(channel);
        CHECK_STR(outcome_under(options, io), "OK [0 0 <PANIC ABANDONED> <PANIC ABANDONED>]");
        drop_all(2, fibers);
        channel = coir_channel_new(0);
        CHECK_STR(outcome_under(options, letting_go(channel, coir_then(coir_send(channel, thing(1)), coir_unit()))), "PANIC ABANDONED");
        CHECK_STR(notes(), "-1");
    }
}

static coir_result drop_handle(void *channel) { coir_channel_drop(channel); return coir_ok(coir_none()); }

TEST(channel, who_drops_the_last_handle_but_those_of_waiters_wakes_them)
{
    FOR_SCHEDULES(options) {
        coir_channel *channel = coir_channel_new(1);
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(coir_send(channel, thing(1)), queueing(coir_send(channel, thing(2)), &fibers[0]),
                                             queueing(coir_send(channel, thing(3)), &fibers[1]), coir_defer(drop_handle, channel),
                                             coir_zip(COIR_IOS(coir_attempt(joining(&fibers[0])), coir_attempt(joining(&fibers[1]))))));
        CHECK_STR(outcome_under(options, io), "OK [<PANIC ABANDONED> <PANIC ABANDONED>]");
        CHECK_INT(things_alive, 0);
        notes();
        drop_all(2, fibers);
        channel = coir_channel_new(0);
        uintmax_t id = CHANNEL_ID(channel);
        CHECK_CONTAINS(message_of(1, letting_go(channel, coir_then(coir_receive(channel), coir_unit()))), spelled("an item of channel %ju", id));
    }
}

TEST(channel, a_wait_that_nobody_can_end_is_a_deadlock_which_names_it)
{
    FOR_SCHEDULES(options) {
        coir_channel *channel = coir_channel_new(0);
        coir_result result = coir_run(coir_receive(channel), options);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), spelled("waits for an item of channel %ju", CHANNEL_ID(channel)));
        coir_result_drop(&result);
        result = coir_run(coir_send(channel, thing(1)), options);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), spelled("waits for room in channel %ju", CHANNEL_ID(channel)));
        coir_result_drop(&result);
        CHECK_STR(notes(), "-1");
        coir_channel_drop(channel);
    }
}

static coir_options stopping(const coir_options *options)
{
    coir_options stopping = *options;
    stopping.on_deadlock = COIR_DEADLOCK_STOP;
    return stopping;
}

TEST(channel, a_run_that_is_stopped_leaves_nothing_in_it_nor_in_who_waits)
{
    FOR_SCHEDULES(options) {
        coir_options stop = stopping(options);
        coir_channel *full = coir_channel_new(1), *empty = coir_channel_new(0);
        coir_io *shared = coir_send(full, thing(4));
        coir_io *io = coir_both(coir_then(coir_send(full, thing(1)), coir_send(full, thing(2))),
                                coir_par_zip(COIR_IOS(coir_send(full, sole_thing(3)), coir_receive(empty), coir_io_ref(shared), coir_io_ref(shared))));
        coir_result result = coir_run(io, &stop);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_STR(outcome_under(options, coir_as(coir_try_receive(full), coir_none())), "OK 0");      /* one is inside; nobody waits any more */
        CHECK_STR(outcome_under(options, coir_attempt(coir_try_receive(full))), "OK <ERROR EAGAIN>");
        CHECK_STR(outcome_under(options, coir_then(coir_fork(coir_receive(empty)), coir_send(empty, coir_int(1)))), "OK 0");
        coir_io_drop(shared);
        coir_channel_drop(full);
        coir_channel_drop(empty);
        CHECK_INT(things_alive, 0);
        CHECK(strchr(notes(), '!') == NULL);
    }
}

/* ---------------------------------------------------------------------------------------------------------- other runs */

TEST(channel, another_run_is_refused_while_ones_fibers_wait_and_served_afterwards)
{
    FOR_SCHEDULES(options) {
        struct gate gate = GATE;
        struct other_run other;
        coir_fiber *receiver = NULL;
        coir_channel *channel = coir_channel_new(1);
        other_run_begin(&other, options, coir_sequence(COIR_IOS(queueing(coir_receive(channel), &receiver), passing(&gate), sending(channel, 7), joining(&receiver))));
        CHECK_SOON(gate_waiting(&gate) == 1);
        coir_io *refused[] = { coir_send(channel, thing(1)), coir_receive(channel), coir_next(channel), coir_try_send(channel, thing(2)),
                               coir_try_receive(channel) };
        for (size_t i = 0; i < 5; i++)
            CHECK_STR(outcome_under(options, refused[i]), "ERROR REFUSED");
        CHECK_STR(notes(), "-1 -2");
        gate_open(&gate);
        coir_result result = other_run_end(&other);
        CHECK_STR(describe(&result), "OK 7");
        CHECK_STR(outcome_under(options, coir_then(sending(channel, 3), coir_receive(channel))), "OK 3");
        coir_fiber_drop(receiver);
        coir_channel_drop(channel);
    }
}

TEST(channel, what_one_run_left_inside_a_later_one_receives)
{
    FOR_SCHEDULES(options) {
        coir_channel *channel = coir_channel_new(COIR_UNBOUNDED);
        CHECK_STR(outcome_under(options, coir_then(coir_send(channel, sole_thing(1)), coir_send(channel, thing(2)))), "OK 0");
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_receive(channel), coir_receive(channel)))), "OK [thing 1 thing 2]");
        CHECK_STR(notes(), "-1 -2");
        coir_channel_drop(channel);
    }
}

TEST(channel, it_is_exposed_before_its_first_use_or_never)
{
    coir_channel *channel = coir_channel_new(1), *used = coir_channel_new(1);
    CHECK(coir_channel_expose(channel));
    CHECK_STR(outcome(1, coir_then(sending(channel, 1), coir_receive(channel))), "OK 1");
    CHECK(coir_channel_expose(channel));
    CHECK_STR(outcome(1, coir_then(sending(used, 1), coir_receive(used))), "OK 1");
    CHECK(!coir_channel_expose(used));
    coir_channel_drop(channel);
    coir_channel_drop(used);
}

static coir_channel *exposed(size_t capacity)
{
    coir_channel *channel = coir_channel_new(capacity);
    CHECK(coir_channel_expose(channel));
    return channel;
}

TEST(channel, an_exposed_one_serves_the_fibers_of_several_runs)
{
    const int many = scaled(sized(2000, 50));
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_WORKERS(workers, 1, 2) {
            struct other_run other;
            struct sum sum = { 0 };
            coir_options options = { .workers = workers };
            coir_channel *channel = exposed(capacities[i]);
            other_run_begin(&other, &options, count_down(channel, many));
            CHECK_STR(outcome(workers, coir_for_each(coir_next(channel), add_up, &sum)), "OK 0");
            CHECK_INT(sum.count, many);
            coir_result result = other_run_end(&other);
            CHECK_TAG(result, COIR_OK);
            coir_channel_drop(channel);
        }
}

TEST(channel, who_waits_for_an_exposed_one_is_not_found_to_wait_in_vain)
{
    FOR_WORKERS(workers, 1, 2) {
        struct other_run other;
        coir_options options = { .workers = workers };
        coir_channel *channel = exposed(0), *there = exposed(0);
        other_run_begin(&other, &options, coir_then(coir_send(there, coir_none()), coir_receive(channel)));
        coir_result met = coir_thread_receive(there);
        CHECK_TAG(met, COIR_OK);
        usleep(3000);                                   /* long enough to be judged, if it were */
        coir_result sent = coir_thread_send(channel, thing(6)), result = other_run_end(&other);
        CHECK_TAG(sent, COIR_OK);
        CHECK_STR(describe(&result), "OK thing 6");
        coir_result_drop(&result);
        notes();
        coir_channel_drop(channel);
        coir_channel_drop(there);
    }
}

/* ------------------------------------------------------------------------------------------------------------- threads */

struct thread_work { coir_channel *channel; int from, count; atomic_int done; };

static void *thread_sends(void *work_)
{
    struct thread_work *work = work_;
    for (int i = 0; i < work->count; i++) {
        coir_result result = coir_thread_send(work->channel, sole_thing(work->from + i));
        CHECK_TAG(result, COIR_OK);
        atomic_fetch_add(&work->done, 1);
    }
    return NULL;
}

static void *thread_receives(void *work_)
{
    struct thread_work *work = work_;
    for (;;) {
        coir_result result = coir_thread_receive(work->channel);
        if (result.tag != COIR_OK) {
            CHECK_CODE(result, COIR_ERROR, COIR_CLOSED);
            coir_result_drop(&result);
            return NULL;
        }
        atomic_fetch_add(&work->done, 1);
        coir_result_drop(&result);
    }
}

TEST_REAL(channel, threads_hand_values_to_threads, "only threads are at work")
{
    for (size_t i = 0; i < CAPACITIES; i++) {
        pthread_t threads[4];
        coir_channel *channel = exposed(capacities[i]);
        int count = scaled(300);
        struct thread_work work[4] = { { channel, 0, count, 0 }, { channel, count, count, 0 }, { channel, 0, 0, 0 }, { channel, 0, 0, 0 } };
        for (int n = 0; n < 4; n++)
            CHECK_INT(pthread_create(&threads[n], NULL, n < 2 ? thread_sends : thread_receives, &work[n]), 0);
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        coir_close(channel);
        pthread_join(threads[2], NULL);
        pthread_join(threads[3], NULL);
        CHECK_INT(work[2].done + work[3].done, 2 * count);
        CHECK_INT(things_alive, 0);
        notes();
        coir_channel_drop(channel);
    }
}

static coir_value count_thing(void *counter, coir_value *item)
{
    atomic_fetch_add((atomic_int *)counter, is_thing(item) ? 1 : 1000000);
    return coir_bool(true);
}

TEST(channel, threads_hand_values_to_fibers)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_WORKERS(workers, 1, 2, 4) {
            pthread_t thread;
            struct other_run other;
            atomic_int got = 0;
            coir_options options = { .workers = workers };
            coir_channel *channel = exposed(capacities[i]);
            struct thread_work work = { channel, 0, scaled(sized(300, 20)), 0 };
            other_run_begin(&other, &options, coir_attempt(coir_forever(coir_map(coir_receive(channel), count_thing, &got))));
            CHECK_INT(pthread_create(&thread, NULL, thread_sends, &work), 0);
            pthread_join(thread, NULL);
            coir_close(channel);
            coir_result result = other_run_end(&other);
            CHECK_STR(describe(&result), "OK <ERROR CLOSED>");
            coir_result_drop(&result);
            CHECK_INT(got, work.count);
            CHECK_INT(things_alive, 0);
            notes();
            coir_channel_drop(channel);
        }
}

TEST(channel, fibers_hand_values_to_threads)
{
    for (size_t i = 0; i < CAPACITIES; i++)
        FOR_WORKERS(workers, 1, 2, 4) {
            pthread_t thread;
            coir_channel *channel = exposed(capacities[i]);
            struct thread_work work = { channel, 0, 0, 0 };
            CHECK_INT(pthread_create(&thread, NULL, thread_receives, &work), 0);
            int each = scaled(sized(300, 20));
            CHECK_STR(outcome(workers, coir_both(coir_repeat(sending(channel, 1), (uint64_t)each), coir_repeat(sending(channel, 2), (uint64_t)each))), "OK [0 0]");
            coir_close(channel);
            pthread_join(thread, NULL);
            CHECK_INT(work.done, 2 * each);
            coir_channel_drop(channel);
        }
}

TEST(channel, a_thread_that_does_not_wait_is_told_whether_it_went)
{
    coir_value value = coir_int(1);
    coir_channel *channel = exposed(1), *meeting = exposed(0);
    CHECK(!coir_thread_try_receive(channel, &value));
    CHECK(value.type == NULL && value.i64 == 0);
    CHECK(coir_thread_try_send(channel, sole_thing(1)));
    CHECK(!coir_thread_try_send(channel, thing(2)));
    CHECK(!coir_thread_try_send(meeting, thing(3)));
    CHECK_STR(notes(), "-2 -3");
    CHECK(coir_thread_try_receive(channel, &value));
    CHECK_INT(thing_number(&value), 1);
    coir_drop(value);
    CHECK(!coir_thread_try_send(channel, coir_panic_value("none")));
    CHECK(coir_thread_try_send(channel, thing(4)));
    coir_close(channel);
    CHECK(!coir_thread_try_send(channel, thing(5)));
    CHECK(!coir_thread_try_receive(channel, NULL));
    CHECK(coir_thread_try_receive(channel, &value));
    CHECK_INT(thing_number(&value), 4);
    coir_drop(value);
    CHECK(!coir_thread_try_receive(channel, &value));
    CHECK_STR(notes(), "-1 -5 -4");
    coir_channel_drop(channel);
    coir_channel_drop(meeting);
}

TEST(channel, threads_come_to_the_end_of_closed_and_poisoned_ones)
{
    coir_channel *closed = exposed(1), *poisoned = exposed(1);
    coir_close(closed);
    coir_poison(poisoned);
    coir_result results[] = { coir_thread_send(closed, thing(1)), coir_thread_receive(closed), coir_thread_send(poisoned, thing(2)),
                              coir_thread_receive(poisoned), coir_thread_send(closed, coir_panic_value("none")) };
    static const char *const expected[] = { "ERROR CLOSED", "ERROR CLOSED", "ERROR POISONED", "ERROR POISONED", "PANIC MISUSE" };
    for (size_t i = 0; i < 5; i++) {
        CHECK_STR(describe(&results[i]), expected[i]);
        coir_result_drop(&results[i]);
    }
    CHECK_STR(notes(), "-1 -2");
    coir_channel_drop(closed);
    coir_channel_drop(poisoned);
}

static void check_refused(coir_channel *channel, const char *part)
{
    coir_value value = coir_int(1);
    coir_result sent = coir_thread_send(channel, thing(1)), received = coir_thread_receive(channel);
    CHECK_CODE(sent, COIR_ERROR, COIR_REFUSED);
    CHECK_CODE(received, COIR_ERROR, COIR_REFUSED);
    CHECK_CONTAINS(coir_error_message(&sent.value), "coir_thread_send: ");
    CHECK_CONTAINS(coir_error_message(&received.value), "coir_thread_receive: ");
    CHECK_CONTAINS(coir_error_message(&sent.value), part);
    coir_result_drop(&sent);
    coir_result_drop(&received);
    CHECK_STR(notes(), "-1");
    if (channel != NULL && strstr(part, "callback") != NULL)
        return;
    CHECK(!coir_thread_try_send(channel, thing(2)));
    CHECK(!coir_thread_try_receive(channel, &value));
    CHECK(value.type == NULL && value.i64 == 0);
    CHECK_STR(notes(), "-2");
}

static coir_result refuse_in_callback(void *channel) { check_refused(channel, "called from a callback"); return coir_ok(coir_none()); }
static coir_result try_in_callback(void *channel)
{
    coir_value value;
    bool sent = coir_thread_try_send(channel, coir_int(6)), received = coir_thread_try_receive(channel, &value);
    return coir_ok(coir_bool(sent && received && value.i64 == 6));
}

TEST(channel, threads_are_refused_for_others_and_where_they_would_block_a_worker)
{
    coir_channel *channel = exposed(1), *hidden = coir_channel_new(1);
    check_refused(NULL, "channel is NULL");
    check_refused(hidden, "not exposed");
    CHECK_STR(outcome(1, coir_defer(refuse_in_callback, channel)), "OK 0");
    CHECK_STR(outcome(1, coir_defer(try_in_callback, channel)), "OK 1");
    coir_channel_drop(channel);
    coir_channel_drop(hidden);
}

/* -------------------------------------------------------------------------------------------------------------- pictures */

TEST(channel, its_ios_are_shown_as_they_are_called)
{
    char text[1000] = "";
    FILE *out = fmemopen(text, sizeof text - 1, "w");
    coir_channel *channel = coir_channel_new(1);
    coir_io *io = coir_sequence(COIR_IOS(coir_send(channel, coir_int(1)), coir_receive(channel), coir_try_send(channel, coir_int(1)), coir_try_receive(channel),
                                         coir_closing(channel, coir_unit()), coir_poisoning(channel, after(1, giving(1)))));
    coir_io_print(io, out, 0);
    fclose(out);
    coir_io_drop(io);
    coir_channel_drop(channel);
    static const char *const words[] = { "send", "receive", "try_send", "try_receive", "close", "poison" };
    for (size_t i = 0; i < 6; i++)
        CHECK_CONTAINS(text, words[i]);
}
