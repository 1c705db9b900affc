/*
 * alt.c - tests of alternatives
 */
#include "sweep.h"

/* ---------------------------------------------------------------------------------------------------- words of this suite */

static coir_io *giving(int64_t n) { return coir_pure(coir_int(n)); }
static coir_io *sending(coir_channel *channel, int64_t n) { return coir_send(channel, coir_int(n)); }

static coir_io *cancel_placed(void *place) { return coir_cancel(*(coir_fiber **)place); }
static coir_io *canceling(coir_fiber **place) { return coir_suspend(cancel_placed, place); }

static coir_result close_it(void *channel) { coir_close(channel); return coir_ok(coir_none()); }
static coir_result poison_it(void *channel) { coir_poison(channel); return coir_ok(coir_none()); }
static coir_io *closing(coir_channel *channel)   { return coir_defer(close_it, channel); }
static coir_io *poisoning(coir_channel *channel) { return coir_defer(poison_it, channel); }

static coir_result see_available(void *semaphore) { return coir_ok(coir_int(coir_semaphore_available(semaphore))); }
static coir_io *available(coir_semaphore *semaphore) { return coir_defer(see_available, semaphore); }

/* A case without a handler. AS(n, io): one whose handler gives n. */
static coir_case on(coir_io *io) { return coir_on(io, NULL, NULL); }
static coir_io *give_number(void *number, coir_value *value) { (void)value; return giving((intptr_t)number); }
#define AS(n, io) coir_on((io), give_number, (void *)(intptr_t)(n))

/* Handlers: give what they are lent: taken; or as a list with a word. */
static coir_io *take_it(void *env, coir_value *value) { (void)env; return coir_then(coir_yield(), coir_pure(coir_take(value))); }
static coir_io *leave_it(void *env, coir_value *value)
{
    (void)env;
    note("%d", is_thing(value) ? thing_number(value) : (int)value->i64);
    return coir_then(coir_yield(), noting("."));
}
static coir_io *with_number(void *number, coir_value *value) { return coir_pure(coir_list(2, (coir_value[]){ coir_int(*(int64_t *)number), coir_take(value) })); }

static void drop_all(size_t count, coir_fiber **fibers)
{
    for (size_t i = 0; i < count; i++) {
        coir_fiber_drop(fibers[i]);
        fibers[i] = NULL;
    }
}

/* Two channels, and room for the fibers of a test. */
struct pair { coir_channel *a, *b; coir_fiber *fibers[4]; };
static struct pair pair_of(size_t capacity) { return (struct pair){ .a = coir_channel_new(capacity), .b = coir_channel_new(capacity) }; }
static void pair_drop(struct pair *pair)
{
    drop_all(4, pair->fibers);
    coir_channel_drop(pair->a);
    coir_channel_drop(pair->b);
}

/* ------------------------------------------------------------------------------------------------- what can go at once */

TEST(alt, of_several_that_can_go_at_once_the_first_does)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(3);
        coir_io *io = coir_zip(COIR_IOS(sending(two.a, 1), sending(two.b, 2),
                                        coir_alt(COIR_CASES(on(coir_receive(two.a)), on(coir_receive(two.b)))),
                                        coir_alt(COIR_CASES(on(coir_receive(two.a)), on(coir_receive(two.b)))),
                                        coir_alt(COIR_CASES(AS(3, sending(two.a, 4)), AS(5, sending(two.b, 6)), AS(7, coir_unit()))),
                                        coir_try_receive(two.a), coir_attempt(coir_try_receive(two.b))));
        CHECK_STR(outcome_under(options, io), "OK [0 0 1 2 3 4 <ERROR EAGAIN>]");
        pair_drop(&two);
    }
}

/* What sends comes in its turn, too. */
TEST(alt, the_order_of_the_cases_holds_for_all_kinds)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(1);
        coir_semaphore *permits = coir_semaphore_new(1);
        coir_lock *lock = coir_lock_new();
        coir_fiber *ended = NULL;
        coir_io *prepared = coir_sequence(COIR_IOS(forking(coir_unit(), &ended), joining(&ended), sending(two.b, 9)));
        CHECK_STR(outcome_under(options, prepared), "OK 0");
        struct timespec past = { 1, 0 };
        for (int first = 0; first < 8; first++) {
            coir_case cases[8] = { AS(1, sending(two.a, 1)),           AS(2, coir_next(two.b)),   AS(3, coir_acquire(permits, 1)),
                                   AS(4, coir_lock_acquire(lock)),     AS(5, coir_join(ended)),   AS(6, coir_sleep_until(past)),
                                   AS(7, coir_sleep(coir_ms(0))),      AS(8, coir_unit()) };
            for (int i = 0; i < first; i++)
                coir_io_drop(cases[i].io);
            coir_io *alt = coir_alt(8 - (size_t)first, &cases[first]);
            if (first == 0)
                alt = coir_then_keep(alt, coir_receive(two.a));
            if (first == 1)
                alt = coir_then_keep(alt, sending(two.b, 9));
            if (first == 2)
                alt = coir_then_keep(alt, coir_release(permits, 1));
            if (first == 3)
                alt = coir_then_keep(alt, coir_lock_release(lock));
            CHECK_STR(outcome_under(options, alt), spelled("OK %d", first + 1));
        }
        CHECK_INT(coir_semaphore_available(permits), 1);
        CHECK_STR(outcome_under(options, coir_with_lock(lock, coir_receive(two.b))), "OK 9");
        coir_fiber_drop(ended);
        coir_lock_drop(lock);
        coir_semaphore_drop(permits);
        pair_drop(&two);
    }
}

TEST(alt, a_partner_who_waits_is_met_at_once_and_the_others_are_not_touched)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_receive(two.a), &two.fibers[0]), queueing(coir_send(two.b, thing(2)), &two.fibers[1]),
                                             coir_alt(COIR_CASES(AS(1, sending(two.a, 5)), on(coir_receive(two.b)), on(coir_unit())))));
        io = coir_zip(COIR_IOS(io, joining(&two.fibers[0]), coir_alt(COIR_CASES(on(coir_send(two.a, thing(3))), coir_on(coir_receive(two.b), take_it, NULL)))));
        CHECK_STR(outcome_under(options, io), "OK [1 5 thing 2]");
        CHECK_INT(things_alive, 0);
        notes();
        pair_drop(&two);
    }
}

TEST(alt, a_skip_goes_when_none_before_it_can)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        struct timespec past = { 1, 0 };
        coir_io *skips[] = { coir_unit(), coir_sleep(coir_ms(0)), coir_sleep(coir_ms(-5)), coir_sleep_until(past), coir_yield() };
        for (size_t i = 0; i < 5; i++)
            CHECK_STR(outcome_under(options, coir_alt(COIR_CASES(on(coir_receive(two.a)), on(coir_send(two.b, thing(1))), AS(7, skips[i])))), "OK 7");
        CHECK_STR(notes(), "-1 -1 -1 -1 -1");
        CHECK_STR(outcome_under(options, coir_alt(COIR_CASES(on(coir_receive(two.a)), coir_otherwise(give_number, (void *)4)))), "OK 4");
        CHECK_STR(outcome_under(options, coir_alt(COIR_CASES(on(coir_receive(two.a)), on(coir_pure(sole_thing(2))), on(coir_pure(thing(3)))))), "OK thing 2");
        CHECK_STR(outcome_under(options, coir_alt(COIR_CASES(coir_on(coir_pure(thing(4)), take_it, NULL)))), "OK thing 4");
        CHECK_STR(outcome_under(options, coir_alt(COIR_CASES(on(giving(1)), on(coir_receive(two.a))))), "OK 1");
        CHECK_INT(things_alive, 0);
        notes();
        pair_drop(&two);
    }
}

/* ------------------------------------------------------------------------------------------------------- what is waited for */

enum ender { BY_RECEIVE, BY_SEND, BY_ACQUIRE, BY_LOCK, BY_JOIN, BY_WAIT_ANY, BY_SLEEP, BY_SLEEP_UNTIL, ENDERS };

struct world { coir_channel *a, *b, *go; coir_semaphore *permits; coir_lock *lock; coir_fiber *joined, *waited, *alt; };

static struct timespec epoch_in(int64_t ns)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    ns += now.tv_nsec;
    return (struct timespec){ now.tv_sec + ns / 1000000000, ns % 1000000000 };
}

/* An alternative of all kinds, none of which can go yet. */
static coir_io *waiting_for_all(void *env, coir_value *ender)
{
    struct world *world = env;
    coir_value fibers = coir_list(1, (coir_value[]){ coir_fiber_value(coir_fiber_ref(world->waited)) });
    const int64_t soon = 1000000, late = INT64_MAX / 2;
    coir_io *any = coir_wait_any(&fibers), *until = coir_sleep_until(epoch_in(ender->i64 == BY_SLEEP_UNTIL ? soon : late));
    coir_drop(fibers);
    return coir_alt(COIR_CASES(AS(BY_RECEIVE, coir_receive(world->a)), AS(BY_SEND, coir_send(world->b, thing(1))),
                               AS(BY_ACQUIRE, coir_acquire(world->permits, 1)), AS(BY_LOCK, coir_lock_acquire(world->lock)),
                               AS(BY_JOIN, coir_join(world->joined)), AS(BY_WAIT_ANY, any),
                               AS(BY_SLEEP, coir_sleep(coir_ns(ender->i64 == BY_SLEEP ? soon : late))), AS(BY_SLEEP_UNTIL, until)));
}

static coir_io *forgetting(coir_io *io) { return coir_as(coir_attempt(io), coir_none()); }

static coir_io *end_by(struct world *world, enum ender ender)
{
    switch (ender) {
    case BY_RECEIVE:  return sending(world->a, 5);
    case BY_SEND:     return forgetting(coir_receive(world->b));
    case BY_ACQUIRE:  return coir_release(world->permits, 1);
    case BY_LOCK:     return coir_lock_release(world->lock);
    case BY_JOIN:     return coir_cancel_nowait(world->joined);
    case BY_WAIT_ANY: return coir_cancel_nowait(world->waited);
    default:          return coir_unit();
    }
}

/* What is left when it has gone: nobody waits, and nothing was taken but by the case that went. */
static coir_io *nothing_else_taken(struct world *world, enum ender ender)
{
    coir_io *unlock = ender == BY_LOCK ? coir_unit() : coir_lock_release(world->lock);
    return coir_zip(COIR_IOS(coir_try_send(world->a, coir_int(1)), coir_attempt(coir_try_receive(world->b)), available(world->permits), unlock,
                             coir_lock_try(world->lock), coir_lock_release(world->lock)));
}

static coir_io *end_of_others(struct world *world)
{
    return coir_sequence(COIR_IOS(closing(world->go), forgetting(joining(&world->joined)), forgetting(joining(&world->waited))));
}

static coir_io *join_the_alt(struct world *world, enum ender ender)
{
    /* A canceled fiber is an error for who joins it, not for who waits for any. */
    coir_io *alt = ender == BY_JOIN ? coir_catch_code(joining(&world->alt), COIR_CHILD_CANCELED, giving(BY_JOIN)) : joining(&world->alt);
    return ender == BY_LOCK ? coir_then_keep(alt, coir_unit()) : alt;
}

static coir_io *ended_by(void *env, coir_value *ender_)
{
    struct world *world = env;
    enum ender ender = (enum ender)ender_->i64;
    /* Who holds a lock must release it: the alternative that got it does. */
    coir_io *alt = coir_call(coir_int(ender), waiting_for_all, world);
    if (ender == BY_LOCK)
        alt = coir_then_keep(alt, coir_lock_release(world->lock));
    bool by_itself = ender == BY_SLEEP || ender == BY_SLEEP_UNTIL;
    return coir_sequence(COIR_IOS((by_itself ? forking : queueing)(alt, &world->alt), end_by(world, ender),
                                  coir_zip(COIR_IOS(join_the_alt(world, ender), nothing_else_taken(world, ender), end_of_others(world)))));
}

static coir_io *world_program(struct world *world, enum ender ender)
{
    return coir_sequence(COIR_IOS(queueing(coir_receive(world->go), &world->joined), queueing(coir_receive(world->go), &world->waited),
                                  coir_lock_acquire(world->lock), coir_call(coir_int(ender), ended_by, world)));
}

TEST(alt, whatever_comes_first_ends_the_wait_and_the_others_are_as_if_never_asked)
{
    FOR_SCHEDULES(options)
        for (enum ender ender = 0; ender < ENDERS; ender++) {
            struct world world = { .a = coir_channel_new(0), .b = coir_channel_new(0), .go = coir_channel_new(0),
                                   .permits = coir_semaphore_new_bounded(0, 1), .lock = coir_lock_new() };
            CHECK_STR(outcome_under(options, world_program(&world, ender)), spelled("OK [%d [0 <ERROR EAGAIN> 0 0 1 0] 0]", (int)ender));
            CHECK_INT(things_alive, 0);
            notes();
            coir_fiber_drop(world.joined);
            coir_fiber_drop(world.waited);
            coir_fiber_drop(world.alt);
            coir_channel_drop(world.a);
            coir_channel_drop(world.b);
            coir_channel_drop(world.go);
            coir_semaphore_drop(world.permits);
            coir_lock_drop(world.lock);
        }
}

/* waiting_for: forks the alternative, does something else when it waits, and joins it. */
static coir_io *waiting_for(coir_fiber **place, coir_io *alt, coir_io *then) { return coir_sequence(COIR_IOS(queueing(alt, place), then, joining(place))); }

TEST(alt, the_value_of_the_case_goes_to_its_handler_or_is_the_result)
{
    int64_t seven = 7;
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        CHECK_STR(outcome_under(options, waiting_for(&two.fibers[0], coir_alt(COIR_CASES(on(coir_receive(two.a)), on(coir_receive(two.b)))),
                                                     coir_send(two.b, sole_thing(1)))), "OK thing 1");
        CHECK_STR(outcome_under(options, waiting_for(&two.fibers[1], coir_alt(COIR_CASES(coir_on(coir_receive(two.a), take_it, NULL))),
                                                     coir_send(two.a, sole_thing(2)))), "OK thing 2");
        CHECK_STR(outcome_under(options, waiting_for(&two.fibers[2], coir_alt(COIR_CASES(coir_on(coir_receive(two.a), with_number, &seven))),
                                                     coir_send(two.a, thing(3)))), "OK [7 thing 3]");
        drop_all(4, two.fibers);
        CHECK_STR(notes(), "-1 -2 -3");
        /* What it does not take is dropped behind the io that it gave. */
        CHECK_STR(outcome_under(options, waiting_for(&two.fibers[0], coir_alt(COIR_CASES(coir_on(coir_receive(two.a), leave_it, NULL))),
                                                     coir_send(two.a, sole_thing(4)))), "OK 0");
        CHECK_STR(notes(), "4 . -4");
        pair_drop(&two);
    }
}

TEST(alt, a_handler_may_have_a_copy_of_its_env)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(1);
        int64_t one = 1, large[100] = { 2 };
        coir_io *alt = coir_alt(COIR_CASES(coir_on_copy(coir_receive(two.a), with_number, &one, sizeof one),
                                           coir_on_copy(coir_receive(two.b), with_number, large, sizeof large)));
        one = large[0] = 9;
        coir_io *io = coir_zip(COIR_IOS(sending(two.a, 5), sending(two.b, 6), coir_io_ref(alt), coir_io_ref(alt)));
        CHECK_STR(outcome_under(options, io), "OK [0 0 [1 5] [2 6]]");
        CHECK_STR(outcome_under(options, waiting_for(&two.fibers[0], alt, sending(two.b, 7))), "OK [2 7]");
        pair_drop(&two);
    }
}

TEST(alt, when_a_case_fails_so_does_the_whole)
{
    FOR_SCHEDULES(options) {
        struct pair closed = pair_of(0), poisoned = pair_of(0);
        coir_fiber *failed = NULL;
        coir_io *alt = coir_alt(COIR_CASES(AS(1, coir_receive(closed.a)), AS(2, coir_send(closed.b, thing(1)))));
        CHECK_STR(outcome_under(options, coir_attempt(waiting_for(&closed.fibers[0], alt, closing(closed.a)))), "OK <ERROR CLOSED>");
        CHECK_STR(outcome_under(options, coir_attempt(coir_alt(COIR_CASES(AS(1, coir_receive(closed.b)), AS(2, coir_send(closed.a, thing(2))))))),
                  "OK <ERROR CLOSED>");
        CHECK_STR(outcome_under(options, coir_alt(COIR_CASES(AS(1, coir_receive(closed.b)), AS(2, coir_next(closed.a))))), "OK 2");
        alt = coir_alt(COIR_CASES(AS(1, coir_next(poisoned.a)), AS(2, coir_send(poisoned.b, thing(3)))));
        CHECK_STR(outcome_under(options, coir_attempt(waiting_for(&poisoned.fibers[0], alt, poisoning(poisoned.b)))), "OK <ERROR POISONED>");
        alt = coir_alt(COIR_CASES(AS(1, coir_next(poisoned.a)), AS(2, coir_join(NULL))));
        CHECK_PTR(alt, NULL);
        CHECK_STR(outcome_under(options, coir_then(queueing(coir_then(coir_receive(poisoned.a), coir_fail(thing(4))), &failed), sending(poisoned.a, 1))), "OK 0");
        CHECK_STR(outcome_under(options, coir_attempt(coir_alt(COIR_CASES(AS(1, coir_receive(poisoned.a)), AS(2, coir_join(failed)))))), "OK <ERROR thing 4>");
        coir_fiber_drop(failed);
        pair_drop(&closed);
        pair_drop(&poisoned);
        CHECK_INT(things_alive, 0);
        notes();
    }
}

static coir_io *give_null(void *env, coir_value *value) { (void)env; (void)value; return NULL; }

TEST(alt, a_handler_that_gives_NULL_is_a_panic_of_coir_alt)
{
    CHECK_STR(outcome(1, coir_alt(COIR_CASES(coir_on(coir_pure(thing(1)), give_null, NULL)))), "PANIC ENOMEM");
    CHECK_CONTAINS(message_of(1, coir_alt(COIR_CASES(coir_otherwise(give_null, NULL)))), "coir_alt: its callback gave NULL");
    CHECK_STR(notes(), "-1");
}

/* ---------------------------------------------------------------------------------------------------------------- joins */

TEST(alt, a_result_that_cannot_be_shared_goes_to_the_alternative_that_chose_the_join)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(1);
        CHECK_STR(outcome_under(options, coir_then(forking(coir_pure(sole_thing(1)), &two.fibers[0]), sending(two.a, 5))), "OK 0");
        CHECK_STR(outcome_under(options, coir_alt(COIR_CASES(on(coir_receive(two.a)), on(coir_join(two.fibers[0]))))), "OK 5");
        CHECK_STR(outcome_under(options, coir_alt(COIR_CASES(on(coir_receive(two.a)), on(coir_join(two.fibers[0]))))), "OK thing 1");
        CHECK_STR(outcome_under(options, coir_attempt(coir_alt(COIR_CASES(on(coir_receive(two.a)), on(coir_join(two.fibers[0])))))), "OK <PANIC MISUSE>");
        CHECK_STR(notes(), "-1");
        pair_drop(&two);
    }
}

/* Really: the value comes while the alternative registers with a fiber that has just ended. Which of the two goes is open; the other is still to be had. */
static coir_io *then_join(void *two, coir_value *first)
{
    return coir_zip(COIR_IOS(coir_pure(coir_take(first)), coir_join(((struct pair *)two)->fibers[0])));
}
static coir_io *then_receive(void *two, coir_value *first)
{
    return coir_zip(COIR_IOS(coir_receive(((struct pair *)two)->a), coir_pure(coir_take(first))));
}
static coir_io *receive_and_join(void *two_)
{
    struct pair *two = two_;
    return coir_alt(COIR_CASES(coir_on(coir_receive(two->a), then_join, two), coir_on(coir_join(two->fibers[0]), then_receive, two)));
}

TEST(alt, really_what_does_not_go_is_still_to_be_had)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(sized(3000, 3)); round++) {
            struct pair two = pair_of(0);
            coir_io *ending = coir_then(coir_repeat(coir_yield(), (uint64_t)(round % 5) + 1), coir_pure(sole_thing(2)));
            coir_io *sender = coir_then(coir_repeat(coir_yield(), (uint64_t)(round % 7) + 1), coir_send(two.a, sole_thing(1)));
            coir_io *io = coir_both(coir_then(forking(ending, &two.fibers[0]), coir_suspend(receive_and_join, &two)), sender);
            CHECK_STR(outcome(workers, io), "OK [[thing 1 thing 2] 0]");
            pair_drop(&two);
            CHECK_INT(things_alive, 0);
            notes();
        }
}

static coir_io *first_end_of(void *two_)
{
    struct pair *two = two_;
    return coir_alt(COIR_CASES(AS(1, coir_join(two->fibers[0])), AS(1, coir_join(two->fibers[1]))));
}

TEST(alt, of_ends_alone_it_is_let_be_while_those_fibers_wait_in_vain)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_recover(coir_receive(two.a), give_number, (void *)3), &two.fibers[0]),
                                             queueing(coir_recover(coir_receive(two.b), give_number, (void *)3), &two.fibers[1]),
                                             coir_suspend(first_end_of, &two)));
        CHECK_STR(outcome_under(options, io), "OK 1");
        pair_drop(&two);
    }
}

/* ----------------------------------------------------------------------------------------------------------------- fair */

struct choices { struct pair *two; int counts[4]; coir_io *(*alt)(size_t count, const coir_case *cases); };

static coir_io *count_choice(void *count, coir_value *value) { (void)value; ++*(int *)count; return coir_unit(); }

static coir_io *choose(void *choices_)
{
    struct choices *choices = choices_;
    struct pair *two = choices->two;
    return choices->alt(COIR_CASES(coir_on(coir_receive(two->a), count_choice, &choices->counts[0]),
                                   coir_otherwise(count_choice, &choices->counts[3]),
                                   coir_on(coir_receive(two->b), count_choice, &choices->counts[1]),
                                   coir_on(sending(two->b, 1), count_choice, &choices->counts[2])));
}

static coir_io *fill(coir_channel *channel, uint64_t count) { return coir_repeat(sending(channel, 1), count); }

TEST(alt, fair_takes_any_that_can_go_and_a_skip_when_none_can)
{
    enum { TIMES = 300 };
    FOR_SCHEDULES(options) {
        coir_options seeded = *options;
        seeded.seed = 7;
        struct pair two = pair_of(COIR_UNBOUNDED);
        struct choices choices = { .two = &two, .alt = coir_alt_fair };
        coir_io *io = coir_sequence(COIR_IOS(fill(two.a, TIMES), fill(two.b, TIMES), coir_repeat(coir_suspend(choose, &choices), TIMES)));
        CHECK_STR(outcome_under(&seeded, io), "OK 0");
        for (int i = 0; i < 3; i++)
            CHECK(choices.counts[i] > TIMES / 6);
        CHECK_INT(choices.counts[0] + choices.counts[1] + choices.counts[2], TIMES);
        struct pair empty = pair_of(0);
        CHECK_STR(outcome_under(options, coir_alt_fair(COIR_CASES(AS(1, coir_receive(empty.a)), AS(2, coir_unit()), AS(3, sending(empty.b, 1))))), "OK 2");
        pair_drop(&empty);
        pair_drop(&two);
    }
}

TEST(alt, by_priority_the_first_that_can_go_always_does)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(COIR_UNBOUNDED);
        struct choices choices = { .two = &two, .alt = coir_alt };
        coir_io *io = coir_sequence(COIR_IOS(fill(two.a, 20), fill(two.b, 20), coir_repeat(coir_suspend(choose, &choices), 30)));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_INT(choices.counts[0], 20);
        CHECK_INT(choices.counts[3], 10);
        pair_drop(&two);
    }
}

/* -------------------------------------------------------------------------------------------------- several in one place */

TEST(alt, it_waits_in_the_order_of_arrival_with_others_and_leaves_without_a_trace)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        coir_io *alts[3];
        for (int i = 0; i < 3; i++)
            alts[i] = coir_alt(COIR_CASES(on(coir_receive(two.b)), on(coir_receive(two.a))));
        coir_io *io = coir_sequence(COIR_IOS(queueing(alts[0], &two.fibers[0]), queueing(coir_receive(two.a), &two.fibers[1]), queueing(alts[1], &two.fibers[2]),
                                             queueing(alts[2], &two.fibers[3]), sending(two.b, 9), sending(two.a, 1), sending(two.a, 2), sending(two.a, 3)));
        io = coir_then(io, coir_zip(COIR_IOS(joining(&two.fibers[0]), joining(&two.fibers[1]), joining(&two.fibers[2]), joining(&two.fibers[3]))));
        CHECK_STR(outcome_under(options, io), "OK [9 1 2 3]");
        pair_drop(&two);
    }
}

TEST(alt, the_same_channel_in_several_cases_is_asked_once_for_each)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        coir_io *alt = coir_alt(COIR_CASES(AS(1, coir_receive(two.a)), AS(2, coir_receive(two.a)), AS(3, coir_next(two.a))));
        CHECK_STR(outcome_under(options, coir_then_keep(waiting_for(&two.fibers[0], alt, sending(two.a, 5)), coir_try_send(two.a, coir_int(6)))), "OK 1");
        alt = coir_alt(COIR_CASES(AS(1, coir_send(two.a, thing(1))), AS(2, coir_send(two.a, thing(2)))));
        coir_io *io = coir_zip(COIR_IOS(queueing(alt, &two.fibers[1]), coir_receive(two.a), joining(&two.fibers[1]), coir_attempt(coir_try_receive(two.a))));
        CHECK_STR(outcome_under(options, io), "OK [0 thing 1 1 <ERROR EAGAIN>]");
        pair_drop(&two);
        CHECK_INT(things_alive, 0);
        notes();
    }
}

static coir_io *either_way(coir_channel *out, coir_channel *in, int64_t n) { return coir_alt(COIR_CASES(AS(-1, sending(out, n)), on(coir_receive(in)))); }

TEST(alt, it_does_not_meet_itself_but_another_on_the_same_channel)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        CHECK_STR(outcome_under(options, coir_alt(COIR_CASES(AS(-1, sending(two.a, 1)), on(coir_receive(two.a)), AS(7, coir_sleep(coir_ms(1)))))), "OK 7");
        CHECK_STR(outcome_under(options, coir_recover(either_way(two.a, two.a, 1), give_number, (void *)8)), "OK 8");
        CHECK_CONTAINS("OK [-1 1] OK [2 -1]", outcome_under(options, coir_both(either_way(two.a, two.a, 1), either_way(two.a, two.a, 2))));
        CHECK_STR(outcome_under(options, coir_both(either_way(two.a, two.a, 1), sending(two.a, 4))), "OK [4 0]");
        CHECK_STR(outcome_under(options, coir_both(either_way(two.a, two.a, 1), coir_receive(two.a))), "OK [-1 1]");
        pair_drop(&two);
    }
}

TEST(alt, two_that_could_meet_on_two_channels_meet_on_one)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        CHECK_CONTAINS("OK [-1 1] OK [2 -1]", outcome_under(options, coir_both(either_way(two.a, two.b, 1), either_way(two.b, two.a, 2))));
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_try_send(two.a, coir_int(1)), coir_try_send(two.b, coir_int(1)),
                                                           coir_attempt(coir_try_receive(two.a)), coir_attempt(coir_try_receive(two.b))))),
                  "OK [0 0 <ERROR EAGAIN> <ERROR EAGAIN>]");
        pair_drop(&two);
    }
}

/* ---------------------------------------------------------------------------------------------- nothing lost, nothing twice */

/*
 * Traders of two kinds: one sends by channel a and receives by b, the other the other way round. In each of its rounds a trader does one of the two,
 * so each round is one of a trader of each kind, and all come to their end.
 */
enum { TRADERS = 4, ROUNDS = 3, ITEMS = TRADERS * ROUNDS };

struct market { struct pair two; atomic_int sent[ITEMS], got[ITEMS]; bool is_fair; };
struct deal { struct market *market; int number; };

/* Handlers are called with the result, whatever comes behind it. */
static coir_io *note_sent(void *deal_, coir_value *none)
{
    struct deal *deal = deal_;
    (void)none;
    atomic_fetch_add(&deal->market->sent[deal->number], 1);
    return coir_unit();
}
static coir_io *note_got(void *market, coir_value *item)
{
    int number = thing_number(item);
    if (number < 0 || number >= ITEMS)
        CHECK_FAIL("%d was received", number);
    else
        atomic_fetch_add(&((struct market *)market)->got[number], 1);
    return coir_unit();
}

static coir_io *deal(void *deal_)
{
    struct deal *deal = deal_;
    struct pair *two = &deal->market->two;
    bool turned = deal->number / ROUNDS % 2 == 1;
    coir_value item = deal->number % 2 == 0 ? sole_thing(deal->number) : thing(deal->number);
    return (deal->market->is_fair ? coir_alt_fair : coir_alt)(
        COIR_CASES(coir_on_copy(coir_send(turned ? two->b : two->a, item), note_sent, deal, sizeof *deal),
                   coir_on(coir_receive(turned ? two->a : two->b), note_got, deal->market)));
}

static coir_io *trader(struct market *market, int number)
{
    coir_io *ios[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        struct deal one = { market, number * ROUNDS + i };
        ios[i] = coir_suspend_copy(deal, &one, sizeof one);
    }
    return coir_sequence(ROUNDS, ios);
}

static coir_io *ended(coir_fiber **fiber) { return coir_as(coir_recover(coir_attempt(joining(fiber)), give_number, NULL), coir_none()); }

/* Who is left alone by one who was canceled waits in vain, and is told so. */
static coir_io *market_program(struct market *market)
{
    coir_fiber **fibers = market->two.fibers;
    return coir_sequence(COIR_IOS(forking(trader(market, 0), &fibers[0]), forking(trader(market, 1), &fibers[1]), forking(trader(market, 2), &fibers[2]),
                                  forking(trader(market, 3), &fibers[3]), ended(&fibers[0]), ended(&fibers[1]), ended(&fibers[2]), ended(&fibers[3])));
}

static void market_open(struct market *market, bool is_fair) { *market = (struct market){ .two = pair_of(0), .is_fair = is_fair }; }

static void market_close(struct market *market)
{
    for (int i = 0; i < ITEMS; i++) {
        CHECK(market->sent[i] <= 1);
        CHECK_INT(market->got[i], market->sent[i]);
    }
    pair_drop(&market->two);
    CHECK_INT(things_alive, 0);
    CHECK(strchr(notes(), '!') == NULL);
}

static int deals(const struct market *market)
{
    int count = 0;
    for (int i = 0; i < ITEMS; i++)
        count += market->sent[i];
    return count;
}

TEST(alt, alternatives_among_each_other_commit_once_each)
{
    struct market market;
    FOR_SEEDS(options) {
        market_open(&market, options->seed % 3 == 0);
        CHECK_STR(simulated(options, market_program(&market)), "OK 0");
        CHECK_INT(deals(&market), ITEMS / 2);
        market_close(&market);
    }
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(1000); round++) {
            market_open(&market, round % 2 == 0);
            CHECK_STR(outcome(workers, market_program(&market)), "OK 0");
            CHECK_INT(deals(&market), ITEMS / 2);
            market_close(&market);
        }
}

TEST(alt, no_item_is_lost_or_doubled_whoever_is_canceled_at_whatever_step)
{
    for (int victim = 0; victim < TRADERS; victim++)
        FOR_EACH_STEP(step, options) {
            struct market market;
            market_open(&market, options->seed % 2 == 0);
            CHECK_STR(canceled_at(step, options, market_program(&market), &market.two.fibers[victim]), "OK 0");
            market_close(&market);
        }
}

static coir_io *canceling_market(struct market *market, int victim, uint64_t yields)
{
    coir_fiber **fibers = market->two.fibers;
    return coir_sequence(COIR_IOS(forking(trader(market, 0), &fibers[0]), forking(trader(market, 1), &fibers[1]), forking(trader(market, 2), &fibers[2]),
                                  forking(trader(market, 3), &fibers[3]), coir_repeat(coir_yield(), yields), canceling(&fibers[victim]),
                                  ended(&fibers[0]), ended(&fibers[1]), ended(&fibers[2]), ended(&fibers[3])));
}

TEST(alt, really_no_item_is_lost_or_doubled_whoever_is_canceled)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(1000); round++) {
            struct market market;
            market_open(&market, round % 2 == 0);
            CHECK_STR(outcome(workers, canceling_market(&market, round % TRADERS, (uint64_t)(round / TRADERS) % 10 + 1)), "OK 0");
            market_close(&market);
        }
}

/* A time-out goes off when the choice has been made, or just before: a value that is there wins. */
TEST(alt, no_item_is_lost_or_doubled_when_time_outs_go_off)
{
    for (int64_t patience = 1; patience < 40; patience++)
        FOR_SEEDS(options) {
            struct market market;
            coir_io *ios[TRADERS];
            options->step_time_max = coir_ns(3);
            market_open(&market, options->seed % 2 == 0);
            for (int i = 0; i < TRADERS; i++)
                ios[i] = coir_as(coir_recover(coir_attempt(coir_timeout(trader(&market, i), coir_ns(i % 2 == 0 ? patience : 1000))), give_number, NULL), coir_none());
            CHECK_STR(simulated(options, coir_as(coir_par_zip(TRADERS, ios), coir_none())), "OK 0");
            market_close(&market);
        }
}

/* Without a handler the value is the result, with nothing between. */
TEST(alt, a_value_that_is_there_at_the_deadline_wins)
{
    for (int64_t patience = 1; patience < 30; patience++)
        FOR_SEEDS(options) {
            struct pair two = pair_of(1);
            options->step_time_max = coir_ns(3);
            coir_io *alt = coir_alt(COIR_CASES(on(coir_receive(two.a)), on(coir_receive(two.b))));
            coir_io *io = coir_both(coir_timeout_to(alt, coir_ns(patience), giving(-1)), coir_then(coir_repeat(coir_yield(), 3), sending(two.a, 5)));
            const char *text = simulated(options, coir_zip(COIR_IOS(io, coir_catch_code(coir_try_receive(two.a), EAGAIN, giving(-1)))));
            CHECK_CONTAINS("OK [[5 0] -1] OK [[-1 0] 5]", text);
            pair_drop(&two);
        }
}

/* Many, over four channels, each in an order of its own: who takes several guards takes them in one order. */
enum { CHANNELS = 4 };
struct tangle { coir_channel *channels[CHANNELS]; atomic_int sent, got; int rounds; };
struct tangled { struct tangle *tangle; uint32_t state; int rounds; };

static coir_io *tangle_sent(void *tangle, coir_value *none) { (void)none; atomic_fetch_add(&((struct tangle *)tangle)->sent, 1); return coir_unit(); }
static coir_io *tangle_got(void *tangle, coir_value *item) { (void)item; atomic_fetch_add(&((struct tangle *)tangle)->got, 1); return coir_unit(); }

static coir_io *tangled_step(coir_routine *self)
{
    COIR_BEGIN(self, struct tangled, my);
    for (; my->rounds > 0; my->rounds--) {
        my->state = my->state * 1664525 + 1013904223;
        {
            struct tangle *tangle = my->tangle;
            unsigned at = my->state >> 24, by = my->state >> 16 & 1 ? 1 : CHANNELS - 1;
            coir_case cases[2 * CHANNELS];
            for (unsigned i = 0; i < CHANNELS; i++) {
                cases[2 * i] = coir_on(coir_receive(tangle->channels[(at + i * by) % CHANNELS]), tangle_got, tangle);
                cases[2 * i + 1] = coir_on(sending(tangle->channels[(at + i * by + 1) % CHANNELS], 1), tangle_sent, tangle);
            }
            COIR_AWAIT(coir_alt(2 * CHANNELS, cases));
        }
    }
    COIR_END;
}

TEST(alt, who_takes_several_guards_takes_them_in_one_order)
{
    enum { FIBERS = 6 };
    FOR_WORKERS(workers, 1, 2, 4) {
        struct tangle tangle = { .rounds = scaled(sized(2000, 10)) };
        coir_io *ios[FIBERS];
        for (int i = 0; i < CHANNELS; i++)
            tangle.channels[i] = coir_channel_new(0);
        for (int i = 0; i < FIBERS; i++)
            ios[i] = coir_do(tangled_step, COIR_ENV(struct tangled, .tangle = &tangle, .state = (uint32_t)i * 7919, .rounds = tangle.rounds));
        /* Whoever is left over when the others have had their rounds waits in vain. */
        coir_result result = run(workers, waited(FIBERS, ios));
        CHECK_TAG(result, COIR_OK);
        CHECK_INT(tangle.got, tangle.sent);
        CHECK(tangle.sent >= tangle.rounds);
        coir_result_drop(&result);
        for (int i = 0; i < CHANNELS; i++)
            coir_channel_drop(tangle.channels[i]);
    }
}

/* ------------------------------------------------------------------------------------------------------ permits, locks */

TEST(alt, an_alternative_does_not_stand_in_its_own_way_for_permits)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *permits = coir_semaphore_new_bounded(0, 3);
        coir_fiber *alt = NULL, *behind = NULL;
        coir_io *either = coir_alt(COIR_CASES(AS(3, coir_acquire(permits, 3)), AS(1, coir_acquire(permits, 1))));
        coir_io *io = coir_sequence(COIR_IOS(queueing(either, &alt), queueing(coir_acquire(permits, 1), &behind), coir_release(permits, 1), joining(&alt)));
        CHECK_STR(outcome_under(options, coir_then_keep(io, coir_then(coir_release(permits, 1), joining(&behind)))), "OK 1");
        CHECK_INT(coir_semaphore_available(permits), 0);
        coir_fiber_drop(alt);
        coir_fiber_drop(behind);
        either = coir_alt(COIR_CASES(AS(3, coir_acquire(permits, 3)), AS(1, coir_acquire(permits, 1))));
        CHECK_STR(outcome_under(options, waiting_for(&alt, either, coir_release(permits, 3))), "OK 3");
        CHECK_INT(coir_semaphore_available(permits), 0);
        coir_fiber_drop(alt);
        coir_semaphore_drop(permits);
    }
}

TEST(alt, who_leaves_the_head_of_a_queue_by_another_case_lets_the_next_ones_in)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *permits = coir_semaphore_new_bounded(1, 3);
        coir_channel *channel = coir_channel_new(0);
        coir_fiber *alt = NULL, *behind = NULL;
        coir_io *either = coir_alt(COIR_CASES(AS(3, coir_acquire(permits, 3)), AS(1, coir_receive(channel))));
        coir_io *io = coir_sequence(COIR_IOS(queueing(either, &alt), queueing(coir_acquire(permits, 1), &behind), sending(channel, 1), joining(&behind), joining(&alt)));
        CHECK_STR(outcome_under(options, io), "OK 1");
        CHECK_INT(coir_semaphore_available(permits), 0);
        coir_fiber_drop(alt);
        coir_fiber_drop(behind);
        coir_channel_drop(channel);
        coir_semaphore_drop(permits);
    }
}

TEST(alt, what_can_never_be_granted_is_a_panic_as_without_an_alternative)
{
    coir_semaphore *permits = coir_semaphore_new(2);
    CHECK_STR(outcome(1, coir_alt(COIR_CASES(on(coir_acquire(permits, 3)), AS(1, coir_unit())))), "PANIC MISUSE");
    CHECK_STR(outcome(1, coir_alt(COIR_CASES(on(coir_acquire(permits, 0)), AS(1, coir_unit())))), "OK 0");
    coir_semaphore_drop(permits);
}

static coir_io *use_none(void *env, const coir_value *held) { (void)env; (void)held; return coir_pure(coir_int(1)); }
static coir_io *release_it(void *permits, coir_value *held, const coir_result *outcome) { (void)held; (void)outcome; return coir_release(permits, 1); }

/* As the header says who must not lose them writes it. */
static coir_io *bracketed(coir_semaphore *permits, coir_channel *channel, coir_fiber **victim)
{
    coir_io *select = coir_select(NULL, COIR_CASES(on(coir_acquire(permits, 1)), on(coir_receive(channel))));
    coir_io *user = coir_bracket(coir_cancelable(select), use_none, release_it, permits);
    return coir_sequence(COIR_IOS(forking(user, victim), coir_yield(), coir_release(permits, 1), coir_as(coir_attempt(joining(victim)), coir_none())));
}

TEST(alt, permits_of_a_select_that_acquires_in_a_bracket_are_never_lost)
{
    FOR_EACH_STEP(step, options) {
        coir_fiber *victim = NULL;
        coir_semaphore *permits = coir_semaphore_new_bounded(0, 1);
        coir_channel *channel = coir_channel_new(0);
        CHECK_STR(canceled_at(step, options, bracketed(permits, channel, &victim), &victim), "OK 0");
        CHECK_INT(coir_semaphore_available(permits), 1);
        coir_fiber_drop(victim);
        coir_channel_drop(channel);
        coir_semaphore_drop(permits);
    }
}

/* ----------------------------------------------------------------------------------------------- nobody can come any more */

static coir_result drop_handle(void *channel) { coir_channel_drop(channel); return coir_ok(coir_none()); }
static coir_io *dropping(coir_channel *channel) { return coir_defer(drop_handle, channel); }

/* The handles of both are dropped as soon as the alternative has them, or while it waits. */
static coir_io *alt_of(struct pair *two, coir_io *third, bool drops)
{
    coir_io *alt = third == NULL ? coir_alt(COIR_CASES(AS(1, coir_receive(two->a)), AS(2, coir_send(two->b, thing(2)))))
                                 : coir_alt(COIR_CASES(AS(1, coir_receive(two->a)), AS(2, coir_send(two->b, thing(2))), AS(3, third)));
    if (drops)
        pair_drop(two);
    return alt;
}

TEST(alt, a_case_that_nobody_could_let_go_is_passed_over)
{
    FOR_SCHEDULES(options) {
        struct pair dead = pair_of(0), live = pair_of(0);
        CHECK_STR(outcome_under(options, coir_then(coir_unit(), alt_of(&dead, coir_sleep(coir_ms(1)), true))), "OK 3");
        dead = pair_of(0);
        coir_io *alt = alt_of(&dead, coir_receive(live.a), true);
        CHECK_STR(outcome_under(options, coir_both(alt, coir_then(coir_repeat(coir_yield(), 3), sending(live.a, 1)))), "OK [3 0]");
        dead = pair_of(0);
        coir_io *io = coir_sequence(COIR_IOS(queueing(alt_of(&dead, coir_receive(live.a), false), &live.fibers[0]), dropping(dead.a), dropping(dead.b),
                                             coir_repeat(coir_yield(), 3), sending(live.a, 1), joining(&live.fibers[0])));
        CHECK_STR(outcome_under(options, io), "OK 3");
        pair_drop(&live);
        CHECK_INT(things_alive, 0);
        notes();
    }
}

/* Beside a fiber: all who have the channel wait for it, so whoever comes last the fiber is woken, while the alternative goes on elsewhere. */
TEST(alt, who_waits_where_a_case_is_passed_over_is_abandoned)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        coir_io *alone = queueing(coir_receive(two.a), &two.fibers[0]);
        coir_io *alt = queueing(coir_alt(COIR_CASES(AS(1, coir_next(two.a)), AS(2, coir_receive(two.b)))), &two.fibers[1]);
        coir_channel_drop(two.a);
        two.a = NULL;
        coir_io *io = coir_zip(COIR_IOS(alone, alt, coir_attempt(joining(&two.fibers[0])), sending(two.b, 1), joining(&two.fibers[1])));
        CHECK_STR(outcome_under(options, io), "OK [0 0 <PANIC ABANDONED> 0 2]");
        pair_drop(&two);
    }
}

TEST(alt, when_all_cases_are_such_it_is_abandoned)
{
    FOR_SCHEDULES(options) {
        struct pair dead = pair_of(0);
        CHECK_STR(outcome_under(options, coir_then(coir_unit(), alt_of(&dead, NULL, true))), "PANIC ABANDONED");
        dead = pair_of(0);
        coir_fiber *fiber = NULL;
        coir_io *io = coir_sequence(COIR_IOS(queueing(alt_of(&dead, NULL, false), &fiber), dropping(dead.b), coir_repeat(coir_yield(), 3), dropping(dead.a),
                                             coir_attempt(joining(&fiber))));
        CHECK_STR(outcome_under(options, io), "OK <PANIC ABANDONED>");
        coir_fiber_drop(fiber);
        /* The same channel in both cases, with nobody else from the start. */
        dead = pair_of(0);
        coir_io *same = coir_alt(COIR_CASES(AS(1, coir_receive(dead.a)), AS(2, coir_send(dead.a, thing(3)))));
        coir_io *twice = coir_alt(COIR_CASES(AS(1, coir_receive(dead.b)), AS(2, coir_next(dead.b))));
        pair_drop(&dead);
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_attempt(same), coir_attempt(twice)))), "OK [<PANIC ABANDONED> <PANIC ABANDONED>]");
        /* The same channel at both ends. */
        coir_channel *channel = coir_channel_new(0);
        io = coir_sequence(COIR_IOS(queueing(either_way(channel, channel, 1), &fiber), dropping(channel), coir_attempt(joining(&fiber))));
        CHECK_STR(outcome_under(options, io), "OK <PANIC ABANDONED>");
        coir_fiber_drop(fiber);
        CHECK_INT(things_alive, 0);
        notes();
    }
}

/* Really: two who drop the last handles of its two channels at once, and a third case, or none. */
TEST(alt, really_of_two_who_abandon_it_one_ends_the_wait)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(sized(2000, 3)); round++) {
            struct pair dead = pair_of(0), live = pair_of(0);
            coir_io *alt = coir_as(coir_attempt(alt_of(&dead, round % 2 == 0 ? NULL : coir_receive(live.a), false)), coir_none());
            coir_io *droppers = coir_both(coir_then(coir_repeat(coir_yield(), (uint64_t)(round % 3) + 1), dropping(dead.a)),
                                          coir_then(coir_repeat(coir_yield(), (uint64_t)(round % 4) + 1), dropping(dead.b)));
            coir_io *rest = round % 2 == 0 ? coir_unit() : sending(live.a, 1);
            CHECK_STR(outcome(workers, coir_both(alt, coir_then(droppers, rest))), "OK [0 0]");
            pair_drop(&live);
            CHECK_INT(things_alive, 0);
            notes();
        }
}

TEST(alt, one_that_waits_in_vain_is_told_what_for_and_leaves_its_places)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        coir_result result = coir_run(alt_of(&two, NULL, false), options);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), "waits for the first of several cases");
        coir_result_drop(&result);
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_try_send(two.a, coir_none()), coir_attempt(coir_try_receive(two.b))))), "OK [0 <ERROR EAGAIN>]");
        CHECK_STR(notes(), "-2");
        pair_drop(&two);
    }
}

TEST(alt, a_run_that_is_stopped_leaves_nothing_of_it)
{
    FOR_SCHEDULES(options) {
        coir_options stop = *options;
        stop.on_deadlock = COIR_DEADLOCK_STOP;
        struct pair two = pair_of(0);
        coir_semaphore *permits = coir_semaphore_new_bounded(0, 1);
        coir_io *shared = alt_of(&two, coir_acquire(permits, 1), false);
        coir_io *own = coir_alt_fair(COIR_CASES(on(coir_send(two.b, sole_thing(3))), on(coir_sleep(coir_ns(INT64_MAX))), on(coir_acquire(permits, 1))));
        coir_result result = coir_run(coir_par_zip(COIR_IOS(coir_io_ref(shared), own, shared)), &stop);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_try_send(two.a, coir_none()), coir_release(permits, 1), available(permits)))), "OK [0 0 1]");
        coir_semaphore_drop(permits);
        pair_drop(&two);
        CHECK_INT(things_alive, 0);
        notes();
    }
}

/* --------------------------------------------------------------------------------------------------- masks, cancellation */

TEST(alt, in_a_mask_it_waits_on)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        coir_io *alt = coir_uncancelable(coir_then(coir_alt(COIR_CASES(on(coir_receive(two.a)), on(coir_receive(two.b)))), noting("went")));
        coir_io *io = coir_sequence(COIR_IOS(queueing(coir_then(alt, noting("behind")), &two.fibers[0]), queueing(canceling(&two.fibers[0]), &two.fibers[1]),
                                    noting("now"), sending(two.b, 1), joining(&two.fibers[1])));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(notes(), "now went");
        pair_drop(&two);
    }
}

/* --------------------------------------------------------------------------------------------------------------- shared */

TEST(alt, one_that_is_shared_runs_many_times_and_at_once)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        int64_t one = 1;
        coir_io *alt = coir_alt(COIR_CASES(AS(-1, coir_send(two.a, thing(1))), coir_on_copy(coir_receive(two.b), with_number, &one, sizeof one)));
        coir_io *partner = coir_alt(COIR_CASES(coir_on(coir_receive(two.a), take_it, NULL), AS(-2, coir_send(two.b, coir_int(6)))));
        coir_io *io = coir_par_zip(COIR_IOS(coir_repeat(coir_io_ref(alt), 4), coir_repeat(partner, 5), coir_io_ref(alt)));
        coir_result result = coir_run(io, options);
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
        CHECK_INT(things_alive, 1);
        coir_io_drop(alt);
        CHECK_STR(notes(), "-1");
        pair_drop(&two);
    }
}

TEST(alt, a_case_whose_io_alone_is_shared_is_run_beside_others_of_it)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        coir_io *send = coir_send(two.a, thing(1)), *receive = coir_receive(two.b);
        coir_io *alt = coir_alt(COIR_CASES(AS(1, coir_io_ref(send)), on(coir_io_ref(receive)), AS(3, coir_io_ref(send))));
        coir_io *io = coir_sequence(COIR_IOS(queueing(alt, &two.fibers[0]), queueing(coir_io_ref(send), &two.fibers[1]), queueing(coir_io_ref(receive), &two.fibers[2]),
                                             coir_zip(COIR_IOS(coir_receive(two.a), coir_receive(two.a), sending(two.b, 5), joining(&two.fibers[0]),
                                                               joining(&two.fibers[1]), joining(&two.fibers[2])))));
        CHECK_STR(outcome_under(options, io), "OK [thing 1 thing 1 0 1 0 5]");
        coir_io_drop(send);
        coir_io_drop(receive);
        CHECK_STR(notes(), "-1");
        pair_drop(&two);
    }
}

TEST(alt, what_cannot_be_shared_goes_to_the_first_run_of_a_shared_one)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(3);
        coir_io *alt = coir_alt(COIR_CASES(on(coir_receive(two.b)), AS(1, coir_send(two.a, sole_thing(1)))));
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_io_ref(alt), coir_attempt(coir_io_ref(alt)), coir_receive(two.a)))), "OK [1 <PANIC MISUSE> thing 1]");
        coir_io_drop(alt);
        alt = coir_alt(COIR_CASES(on(coir_receive(two.b)), on(coir_pure(sole_thing(2)))));
        CHECK_STR(outcome_under(options, coir_zip(COIR_IOS(coir_io_ref(alt), coir_attempt(coir_io_ref(alt))))), "OK [thing 2 <PANIC MISUSE>]");
        coir_io_drop(alt);
        CHECK_STR(notes(), "-1 -2");
        pair_drop(&two);
    }
}

/* --------------------------------------------------------------------------------------------------------------- select */

TEST(alt, select_says_which_and_calls_no_handler)
{
    FOR_SCHEDULES(options) {
        struct pair two = pair_of(0);
        size_t which = 9;
        CHECK_STR(outcome_under(options, coir_select(&which, COIR_CASES(AS(7, coir_receive(two.a)), AS(8, coir_pure(thing(1)))))), "OK thing 1");
        CHECK_UINT(which, 1);
        coir_io *select = coir_select(&which, COIR_CASES(AS(7, coir_receive(two.a)), AS(8, coir_receive(two.b)), AS(9, coir_send(two.b, thing(2)))));
        CHECK_STR(outcome_under(options, waiting_for(&two.fibers[0], select, coir_receive(two.b))), "OK 0");
        CHECK_UINT(which, 2);
        select = coir_select(&which, COIR_CASES(AS(7, coir_receive(two.a)), AS(8, coir_receive(two.b))));
        CHECK_STR(outcome_under(options, coir_attempt(waiting_for(&two.fibers[1], select, closing(two.a)))), "OK <ERROR CLOSED>");
        CHECK_UINT(which, 0);
        CHECK_STR(outcome_under(options, coir_select(NULL, COIR_CASES(on(coir_receive(two.b)), on(giving(3))))), "OK 3");
        pair_drop(&two);
        CHECK_INT(things_alive, 0);
        notes();
    }
}

/* A routine that adds up what comes by two channels until both are closed. */
struct pump { size_t which; int64_t sum; coir_channel *open[2]; size_t left; };
static coir_io *pump_step(coir_routine *self)
{
    COIR_BEGIN(self, struct pump, my);
    while (my->left > 0) {
        {
            coir_case cases[] = { on(coir_receive(my->open[0])), on(coir_receive(my->open[my->left - 1])) };
            COIR_TRY(coir_select(&my->which, 2, cases));
        }
        if (self->result.tag == COIR_OK) {
            my->sum += self->result.value.i64;
        } else {
            my->open[0] = my->open[1 - my->which];
            my->left--;
        }
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

TEST(alt, a_routine_selects_in_a_loop)
{
    for (size_t capacity = 0; capacity < 2; capacity++)
        FOR_SCHEDULES(options) {
            struct pair two = pair_of(capacity);
            coir_io *senders = coir_both(coir_closing(two.a, coir_repeat(sending(two.a, 1), 10)), coir_closing(two.b, coir_repeat(sending(two.b, 100), 10)));
            coir_io *pump = coir_do(pump_step, COIR_ENV(struct pump, .open = { two.a, two.b }, .left = 2));
            CHECK_STR(outcome_under(options, coir_both(pump, senders)), "OK [1010 [0 0]]");
            pair_drop(&two);
        }
}

/* ---------------------------------------------------------------------------------------------------------------- many */

struct many { coir_channel *channel, *never; atomic_int got; };

static coir_io *count_got(void *many, coir_value *value) { (void)value; atomic_fetch_add(&((struct many *)many)->got, 1); return coir_unit(); }
static coir_io *one_of_many(void *many_, size_t index)
{
    struct many *many = many_;
    (void)index;
    return coir_alt(COIR_CASES(coir_on(coir_receive(many->channel), count_got, many), on(coir_receive(many->never))));
}
static coir_io *feed(void *many_)
{
    struct many *many = many_;
    return coir_repeat(sending(many->channel, 1), (uint64_t)scaled(sized(1000, 50)));
}

TEST(alt, a_thousand_wait_on_one_channel)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        struct many many = { coir_channel_new(0), coir_channel_new(0), 0 };
        size_t count = (size_t)scaled(sized(1000, 50));
        CHECK_STR(outcome(workers, coir_as(coir_both(coir_par_traverse(count, count, one_of_many, &many), coir_suspend(feed, &many)), coir_none())), "OK 0");
        CHECK_INT(many.got, (int)count);
        CHECK_STR(outcome(workers, coir_zip(COIR_IOS(coir_try_send(many.channel, coir_none()), coir_try_send(many.never, coir_none())))), "OK [0 0]");
        coir_channel_drop(many.channel);
        coir_channel_drop(many.never);
    }
}

TEST(alt, one_of_a_thousand_cases_goes)
{
    enum { CASES = 1000 };
    static coir_channel *channels[CASES];
    static coir_case cases[CASES];
    for (int i = 0; i < CASES; i++)
        channels[i] = coir_channel_new(0);
    FOR_WORKERS(workers, 1, 2) {
        size_t which = 0;
        coir_fiber *fiber = NULL;
        for (int i = 0; i < CASES; i++)
            cases[i] = i % 2 == 0 ? on(coir_receive(channels[i])) : on(coir_send(channels[i], thing(i)));
        coir_io *select = coir_select(&which, CASES, cases);
        CHECK_STR(outcome(workers, waiting_for(&fiber, select, coir_receive(channels[777]))), "OK 0");
        CHECK_UINT(which, 777);
        CHECK_INT(things_alive, 0);
        notes();
        coir_fiber_drop(fiber);
    }
    for (int i = 0; i < CASES; i++)
        coir_channel_drop(channels[i]);
}

/* The objects in any order, each in two cases. */
TEST(alt, of_many_cases_in_whatever_order_one_goes)
{
    enum { CHANNELS_OF_MANY = 300, CASES = 2 * CHANNELS_OF_MANY };
    static coir_channel *channels[CHANNELS_OF_MANY];
    static coir_case cases[CASES];
    for (int i = 0; i < CHANNELS_OF_MANY; i++)
        channels[i] = coir_channel_new(0);
    for (int order = 0; order < 5; order++)
        FOR_WORKERS(workers, 1, 2) {
            size_t which = 0;
            coir_fiber *fiber = NULL;
            for (int i = 0; i < CASES; i++) {
                int at = i / 2, at_in[] = { at, CHANNELS_OF_MANY - 1 - at, at % 2 * (CHANNELS_OF_MANY / 2) + at / 2, at * 7 % CHANNELS_OF_MANY, i % CHANNELS_OF_MANY };
                cases[i] = on(i % 2 == 0 ? coir_receive(channels[at_in[order]]) : coir_next(channels[at_in[order]]));
            }
            coir_io *select = coir_select(&which, CASES, cases), *two = coir_io_ref(select);
            CHECK_STR(outcome(workers, waiting_for(&fiber, select, sending(channels[77], 5))), "OK 5");
            coir_fiber_drop(fiber);
            CHECK_STR(outcome(workers, waiting_for(&fiber, two, sending(channels[299], 6))), "OK 6");
            coir_fiber_drop(fiber);
        }
    for (int i = 0; i < CHANNELS_OF_MANY; i++)
        coir_channel_drop(channels[i]);
}

/* A loop by way of a handler. */
static coir_io *loop_on(void *channel, coir_value *left)
{
    if (left->i64 == 0)
        return giving(5);
    coir_io *alt = coir_alt(COIR_CASES(coir_on(coir_receive(channel), loop_on, channel)));
    return coir_then(coir_send(channel, coir_int(left->i64 - 1)), alt);
}

TEST_ALONE(alt, a_recursion_by_way_of_a_handler_holds_no_memory)
{
    watch_memory();
    coir_channel *channel = coir_channel_new(1);
    FOR_WORKERS(workers, 1, 2) {
        long long little = peak_of(workers, coir_call(coir_int(5000), loop_on, channel), "OK 5");     /* the checking build keeps the last 4096 nodes */
        long long much = peak_of(workers, coir_call(coir_int(scaled(sized(100000, 1000))), loop_on, channel), "OK 5");
        CHECK(much <= little + (64 << 10));
    }
    coir_channel_drop(channel);
}

/* ----------------------------------------------------------------------------------------------------------- other runs */

TEST(alt, it_waits_for_exposed_channels_of_several_runs_and_threads)
{
    FOR_WORKERS(workers, 1, 2)
        for (int by = 0; by < 2; by++) {
            struct pair two = pair_of(0);
            struct other_run other;
            coir_options options = { .workers = workers };
            CHECK(coir_channel_expose(two.a) && coir_channel_expose(two.b));
            other_run_begin(&other, &options, coir_alt(COIR_CASES(on(coir_receive(two.a)), AS(7, coir_send(two.b, thing(7))))));
            coir_result here = by == 0 ? coir_thread_send(two.a, thing(3)) : run(workers, coir_receive(two.b)), there = other_run_end(&other);
            CHECK_STR(describe(&here), by == 0 ? "OK 0" : "OK thing 7");
            CHECK_STR(describe(&there), by == 0 ? "OK thing 3" : "OK 7");
            coir_result_drop(&here);
            coir_result_drop(&there);
            CHECK(!coir_thread_try_send(two.a, coir_none()));
            CHECK_INT(things_alive, 0);
            notes();
            pair_drop(&two);
        }
}

TEST(alt, alternatives_of_two_runs_meet_once_each)
{
    FOR_WORKERS(workers, 1, 2) {
        struct other_run other;
        coir_options options = { .workers = workers };
        struct pair two = pair_of(0);
        const uint64_t rounds = (uint64_t)scaled(sized(2000, 10));
        CHECK(coir_channel_expose(two.a) && coir_channel_expose(two.b));
        other_run_begin(&other, &options, coir_as(coir_repeat(either_way(two.a, two.b, 1), rounds), coir_none()));
        CHECK_STR(outcome(workers, coir_as(coir_repeat(either_way(two.b, two.a, 2), rounds), coir_none())), "OK 0");
        coir_result result = other_run_end(&other);
        CHECK_TAG(result, COIR_OK);
        CHECK(!coir_thread_try_send(two.a, coir_none()) && !coir_thread_try_send(two.b, coir_none()));
        pair_drop(&two);
    }
}

TEST(alt, a_case_of_another_runs_channel_is_refused)
{
    FOR_SCHEDULES(options) {
        struct gate gate = GATE;
        struct other_run other;
        struct pair two = pair_of(0);
        other_run_begin(&other, options, coir_sequence(COIR_IOS(queueing(coir_receive(two.a), &two.fibers[0]), passing(&gate), sending(two.a, 7))));
        CHECK_SOON(gate_waiting(&gate) == 1);
        CHECK_STR(outcome_under(options, coir_alt(COIR_CASES(on(coir_receive(two.b)), on(coir_send(two.a, thing(1)))))), "ERROR REFUSED");
        CHECK_STR(notes(), "-1");
        gate_open(&gate);
        coir_result result = other_run_end(&other);
        CHECK_TAG(result, COIR_OK);
        pair_drop(&two);
    }
}

/* ----------------------------------------------------------------------------------------------------------- bad input */

static coir_result make_one(void *env) { (void)env; return coir_ok(coir_none()); }

TEST(alt, what_cannot_be_has_a_clear_answer)
{
    static char large[(64 << 10) + 1];
    CHECK_STR(outcome(1, coir_alt(0, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_alt_fair(0, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_alt(3, NULL)), "PANIC EINVAL");
    CHECK_CONTAINS(message_of(1, coir_alt(0, NULL)), "coir_alt: there are no cases");
    CHECK_CONTAINS(message_of(1, coir_alt_fair(1, NULL)), "coir_alt_fair: cases is NULL");
    CHECK_CONTAINS(message_of(1, coir_select(NULL, 0, NULL)), "coir_select: there are no cases");
    CHECK_PTR(coir_alt(COIR_CASES(on(coir_pure(thing(1))), on(NULL))), NULL);
    CHECK_PTR(coir_select(NULL, COIR_CASES(on(coir_receive(NULL)), on(coir_pure(thing(2))))), NULL);
    CHECK_STR(notes(), "-1 -2");
    CHECK_STR(outcome(1, coir_alt(COIR_CASES(on(coir_pure(thing(3))), on(coir_defer(make_one, NULL))))), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_alt(COIR_CASES(on(coir_named(coir_pure(thing(4)), "x"))))), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_alt(COIR_CASES(on(coir_never()), on(coir_pure(thing(5)))))), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_alt(COIR_CASES(coir_on_copy(coir_pure(thing(6)), take_it, large, sizeof large)))), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_alt(COIR_CASES(coir_on_copy(coir_pure(thing(7)), take_it, NULL, 8)))), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_alt(COIR_CASES(coir_on_copy(coir_pure(thing(8)), take_it, large, sizeof large - 1)))), "OK thing 8");
    CHECK_STR(notes(), "-3 -4 -5 -6 -7 -8");
}

TEST(alt, it_is_shown_as_alt)
{
    char text[1000] = "";
    FILE *out = fmemopen(text, sizeof text - 1, "w");
    coir_io *io = coir_then(coir_alt(COIR_CASES(on(coir_unit()))), coir_unit());
    coir_io_print(io, out, 0);
    fclose(out);
    coir_io_drop(io);
    CHECK_CONTAINS(text, "alt");
}
