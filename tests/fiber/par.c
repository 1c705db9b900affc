/*
 * par.c - tests of what starts children and waits for them: race, both, par_zip, par_traverse
 */
#include "seeds.h"

/* ---------------------------------------------------------------------------------------------------- words of this suite */

/* after: io when that many milliseconds have passed. */
static coir_io *after(int64_t ms, coir_io *io) { return coir_then(coir_sleep(coir_ms(ms)), io); }
static coir_io *giving(int64_t n) { return coir_pure(coir_int(n)); }
static coir_io *failing(int64_t n) { return coir_fail(coir_int(n)); }

/* One that is canceled, and says so when it has unwound, a while later. */
static coir_io *lingering(const char *text) { return coir_finally(coir_never(), after(1, noting(text))); }

static coir_io *cancel_placed(void *place) { return coir_cancel(*(coir_fiber **)place); }
static coir_io *canceling(coir_fiber **place) { return coir_suspend(cancel_placed, place); }

static coir_io *wait_placed(void *place)
{
    coir_value fiber = coir_fiber_value(coir_fiber_ref(*(coir_fiber **)place));
    coir_io *io = coir_wait(&fiber);
    coir_drop(fiber);
    return io;
}

/* replacing: the handle in *place by another. placing: io, whose fiber leaves its own handle there. */
static coir_io *replace_handle(void *place, coir_value *fiber)
{
    coir_fiber_drop(*(coir_fiber **)place);
    *(coir_fiber **)place = coir_fiber_ref(coir_fiber_of(fiber));
    return coir_unit();
}
static coir_io *replacing(coir_fiber **place, coir_io *io) { return coir_flat_map(io, replace_handle, place); }
static coir_io *placing(coir_fiber **place, coir_io *io) { return coir_then(replacing(place, coir_self()), io); }

/* canceled: forks io, and a while later, when in a simulation all wait that will, cancels it: a list of its one result. */
static coir_io *canceled(coir_io *io, coir_fiber **place)
{
    return coir_sequence(COIR_IOS(replacing(place, coir_fork(io)), after(1, canceling(place)), coir_suspend(wait_placed, place)));
}

static void drop_handle(coir_fiber **place) { coir_fiber_drop(*place); *place = NULL; }

/* Who was told of unseen failures, as notes. */
static void note_unseen(void *env, uint64_t id, const coir_result *failure)
{
    (void)env;
    (void)id;
    note("unseen %s", describe(failure));
}
static const coir_options telling = { .size = sizeof telling, .on_unseen_failure = note_unseen };

/* CHECK_IN_SIMULATION(io, result, notes): for what depends on when things happen. What the hook for unseen failures is told is among the notes. */
#define CHECK_IN_SIMULATION(io, expected, noted)                                                                   \
    do {                                                                                                      \
        FOR_SEEDS(options) {                                                                                  \
            options->run = &telling;                                                                          \
            CHECK_STR(simulated(options, (io)), (expected));                                                  \
            CHECK_STR(notes(), (noted));                                                                      \
        }                                                                                                     \
    } while (0)

/* --------------------------------------------------------------------------------------------------------------- race */

TEST(par, race_gives_what_ends_first_when_the_others_have_unwound)
{
    CHECK_IN_SIMULATION(coir_then_keep(coir_race(COIR_IOS(lingering("first"), after(2, giving(7)), after(500, noting("late")))), noting("behind")),
                     "OK 7", "first behind");
    CHECK_EVERYWHERE(coir_race(COIR_IOS(coir_never(), after(1, failing(3)))), "ERROR 3", "");
    CHECK_EVERYWHERE(coir_race(COIR_IOS(after(1, coir_finally(failing(3), failing(4))), coir_never())), "ERROR 3 also(ERROR 4)", "");
    CHECK_EVERYWHERE(coir_race(COIR_IOS(coir_never(), coir_panicf("broken"), coir_never())), "PANIC MISUSE", "");
    CHECK_EVERYWHERE(coir_race(COIR_IOS(giving(9))), "OK 9", "");
}

TEST(par, race_costs_no_more_time_than_its_winner)
{
    FOR_SEEDS(options) {
        coir_io *io = coir_race(COIR_IOS(coir_sleep(coir_seconds(1000)), coir_sleep(coir_ms(3)), coir_sleep(coir_seconds(2000))));
        CHECK_STR(simulated(options, coir_then(io, coir_now())), "OK 3000000");
    }
}

TEST(par, race_drops_values_and_errors_of_losers_and_tells_their_panics)
{
    CHECK_IN_SIMULATION(coir_as(coir_race(COIR_IOS(coir_uncancelable(after(3, coir_pure(thing(2)))), after(1, coir_pure(thing(1))))), coir_int(5)),
                     "OK 5", "-2 -1");
    CHECK_IN_SIMULATION(coir_race(COIR_IOS(after(1, giving(1)), coir_uncancelable(after(2, failing(2))))), "OK 1", "");
    CHECK_IN_SIMULATION(coir_race(COIR_IOS(after(1, giving(1)), coir_finally(coir_never(), failing(2)))), "OK 1", "");
    CHECK_IN_SIMULATION(coir_race(COIR_IOS(after(1, giving(1)), coir_uncancelable(after(2, coir_panicf("broken"))))), "OK 1", "unseen PANIC MISUSE");
    CHECK_IN_SIMULATION(coir_race(COIR_IOS(after(1, giving(1)), coir_finally(coir_never(), coir_panicf("broken")))), "OK 1",
               "unseen CANCELED 0 also(PANIC MISUSE)");
    CHECK_IN_SIMULATION(coir_attempt(coir_race(COIR_IOS(after(1, failing(1)), coir_never()))), "OK <ERROR 1>", "");
}

TEST(par, race_ok_gives_the_first_success_else_all_failures_in_the_order_of_the_arguments)
{
    CHECK_IN_SIMULATION(coir_race_ok(COIR_IOS(failing(1), after(2, giving(5)), lingering("third"))), "OK 5", "third");
    CHECK_EVERYWHERE(coir_race_ok(COIR_IOS(after(3, failing(1)), failing(2), after(1, failing(3)))), "ERROR 1 also(ERROR 2, ERROR 3)", "");
    CHECK_EVERYWHERE(coir_race_ok(COIR_IOS(failing(1), after(1, coir_panicf("2")), failing(3))), "PANIC MISUSE also(ERROR 1, ERROR 3)", "");
    CHECK_EVERYWHERE(coir_race_ok(COIR_IOS(coir_finally(failing(1), failing(2)), failing(3))), "ERROR 1 also(ERROR 2, ERROR 3)", "");
    CHECK_IN_SIMULATION(coir_race_ok(COIR_IOS(coir_panicf("broken"), after(1, failing(2)), after(2, giving(3)))), "OK 3", "unseen PANIC MISUSE");
}

/* ---------------------------------------------------------------------------------------------------------- both, par_zip */

TEST(par, both_and_par_zip_give_their_values_in_order)
{
    CHECK_EVERYWHERE(coir_both(after(2, giving(1)), giving(2)), "OK [1 2]", "");
    CHECK_EVERYWHERE(coir_par_zip(COIR_IOS(after(3, giving(1)), coir_yield(), after(1, coir_pure(coir_stringf("c"))))), "OK [1 0 c]", "");
    CHECK_EVERYWHERE(coir_par_zip(0, NULL), "OK []", "");
    CHECK_EVERYWHERE(coir_par_zip_all(0, NULL), "OK []", "");
    CHECK_EVERYWHERE(coir_par_zip_all(COIR_IOS(after(1, giving(1)), giving(2))), "OK [1 2]", "");
}

TEST(par, the_first_failure_cancels_the_others_and_what_they_fail_with_follows_as_it_happened)
{
    CHECK_IN_SIMULATION(coir_both(lingering("first"), after(1, failing(2))), "ERROR 2", "first");
    CHECK_IN_SIMULATION(coir_par_zip(COIR_IOS(coir_finally(coir_never(), after(9, failing(1))), after(1, failing(2)),
                                           coir_finally(coir_never(), after(5, failing(3))))), "ERROR 2 also(ERROR 3, ERROR 1)", "");
    CHECK_IN_SIMULATION(coir_both(coir_finally(coir_never(), coir_panicf("1")), after(1, failing(2))), "PANIC MISUSE also(ERROR 2)", "");
    CHECK_IN_SIMULATION(coir_both(coir_uncancelable(after(2, coir_pure(thing(1)))), after(1, failing(2))), "ERROR 2", "-1");
    CHECK_IN_SIMULATION(coir_attempt(coir_both(coir_uncancelable(after(2, coir_panicf("1"))), after(1, failing(2)))),
               "OK <PANIC MISUSE also(ERROR 2)>", "");
}

TEST(par, par_zip_all_runs_all_to_their_ends_and_gathers_in_the_order_of_the_arguments)
{
    CHECK_EVERYWHERE(coir_par_zip_all(COIR_IOS(after(5, failing(1)), after(1, failing(2)), after(9, noting("done")), after(3, failing(3)))),
                     "ERROR 1 also(ERROR 2, ERROR 3)", "done");
    CHECK_EVERYWHERE(coir_par_zip_all(COIR_IOS(failing(1), after(1, coir_panicf("2")), coir_pure(thing(3)))), "PANIC MISUSE also(ERROR 1)", "-3");
}

TEST(par, a_hundred_thousand_children)
{
    const int many = scaled(100000);
    coir_io **ios = malloc((size_t)many * sizeof *ios);
    FOR_WORKERS(workers, 1, 2) {
        for (int i = 0; i < many; i++)
            ios[i] = i % 3 == 0 ? coir_then(coir_yield(), giving(i)) : giving(i);
        coir_result result = run(workers, coir_par_zip((size_t)many, ios));
        CHECK_TAG(result, COIR_OK);
        CHECK_UINT(coir_list_size(&result.value), (size_t)many);
        for (int i = 0; i < many; i++)
            CHECK_INT(coir_list_at(&result.value, (size_t)i)->i64, i);
        coir_result_drop(&result);
        for (int i = 0; i < many; i++)
            ios[i] = i == many / 2 ? after(1, giving(i)) : coir_never();
        CHECK_STR(outcome(workers, coir_race((size_t)many, ios)), spelled("OK %d", many / 2));
    }
    free(ios);
}

/* ------------------------------------------------------------------------------------------------------- the parent's end */

TEST(par, a_canceled_parent_cancels_its_children_and_waits_for_them)
{
    coir_fiber *fiber = NULL;
#define CHECK_CANCELED(io, expected, noted)                                                                    \
    do {                                                                                                      \
        CHECK_IN_SIMULATION(canceled((io), &fiber), expected, noted);                                             \
        drop_handle(&fiber);                                                                                  \
    } while (0)
    CHECK_CANCELED(coir_finally(coir_both(lingering("child"), coir_never()), noting("parent")), "OK [<CANCELED 0>]", "child parent");
    CHECK_CANCELED(coir_race(COIR_IOS(lingering("a"), coir_never())), "OK [<CANCELED 0>]", "a");
    CHECK_CANCELED(coir_race_ok(COIR_IOS(lingering("a"), coir_never())), "OK [<CANCELED 0>]", "a");
    CHECK_CANCELED(coir_race_pair(lingering("a"), coir_never()), "OK [<CANCELED 0>]", "a");
    CHECK_CANCELED(coir_par_zip_all(COIR_IOS(lingering("a"), coir_never())), "OK [<CANCELED 0>]", "a");
    CHECK_CANCELED(coir_both(coir_never(), coir_finally(coir_never(), after(1, failing(1)))), "OK [<CANCELED 0 also(ERROR 1)>]", "");
    /* Of a race all are losers then. */
    CHECK_CANCELED(coir_race(COIR_IOS(coir_never(), coir_finally(coir_never(), coir_panicf("1")))), "OK [<CANCELED 0>]",
                   "unseen CANCELED 0 also(PANIC MISUSE)");
    CHECK_CANCELED(coir_race_ok(COIR_IOS(failing(1), coir_finally(coir_never(), failing(2)))), "OK [<CANCELED 0>]", "");
    /* Also through several storeys. */
    CHECK_CANCELED(coir_both(coir_never(), coir_race(COIR_IOS(coir_never(), coir_both(lingering("deep"), coir_never())))), "OK [<CANCELED 0>]", "deep");
}

TEST(par, a_value_that_comes_of_it_all_the_same_wins_over_the_cancellation)
{
    coir_fiber *fiber = NULL;
    FOR_SEEDS(options) {
        coir_io *masked = coir_uncancelable(after(5, giving(4)));
        CHECK_STR(simulated(options, canceled(coir_race(COIR_IOS(coir_never(), masked)), &fiber)), "OK [<OK 4>]");
        drop_handle(&fiber);
        CHECK_STR(simulated(options, canceled(coir_both(coir_uncancelable(after(5, giving(4))), coir_uncancelable(after(3, giving(3)))), &fiber)),
                  "OK [<OK [4 3]>]");
        drop_handle(&fiber);
    }
}

/* Nothing goes up on behalf of whoever asked: a cancellation that begins behind the value is none of his, and he does not take it. */
static coir_io *behind(coir_io *io) { return coir_finally(io, coir_from_result(coir_result_of(COIR_CANCELED, coir_none()))); }
static coir_io *behind_a_value(void) { return behind(coir_race(COIR_IOS(coir_uncancelable(after(5, giving(4)))))); }

TEST(par, a_cancellation_that_a_finalizer_begins_is_not_taken_for_that_of_who_asked)
{
    CHECK_IN_SIMULATION(coir_timeout(behind_a_value(), coir_ms(1)), "CANCELED 0", "");
    CHECK_IN_SIMULATION(coir_timeout_to(behind_a_value(), coir_ms(1), noting("instead")), "CANCELED 0", "");
    CHECK_IN_SIMULATION(coir_scope(coir_then(coir_fork(after(1, failing(1))), behind_a_value())), "CANCELED 0 also(ERROR 1)", "");
    /* Nor if it was settled as the request came. */
    CHECK_IN_SIMULATION(coir_timeout_to(behind(coir_race(COIR_IOS(after(5, giving(4)), coir_never()))), coir_ms(5), coir_unit()), "CANCELED 0", "");
    FOR_SEEDS(options) {
        coir_io *failing_then = coir_both(after(5, failing(1)), behind(coir_never()));
        CHECK_CONTAINS(simulated(options, coir_timeout_to(failing_then, coir_ms(5), coir_unit())), "CANCELED 0");
    }
    /* Nor where masks stand around all of it. */
    CHECK_IN_SIMULATION(coir_uncancelable(coir_timeout_to(coir_timeout(behind_a_value(), coir_ms(2)), coir_ms(1), noting("instead"))), "CANCELED 0", "");
}

TEST(par, a_request_that_comes_when_the_winner_is_known_is_seen_behind_it)
{
    coir_fiber *fiber = NULL;
    FOR_SEEDS(options) {
        coir_io *race = coir_race(COIR_IOS(after(1, giving(4)), coir_finally(coir_never(), after(10, noting("loser")))));
        coir_io *io = coir_sequence(COIR_IOS(forking(coir_on_cancel(race, noting("not this")), &fiber), after(5, canceling(&fiber)),
                                             coir_suspend(wait_placed, &fiber)));
        CHECK_STR(simulated(options, io), "OK [<OK 4>]");
        CHECK_STR(notes(), "loser");
        drop_handle(&fiber);
    }
}

TEST(par, in_a_mask_the_whole_waits_but_losers_are_canceled)
{
    coir_fiber *fiber = NULL;
    CHECK_IN_SIMULATION(coir_uncancelable(coir_race(COIR_IOS(lingering("loser"), after(1, giving(3))))), "OK 3", "loser");
    FOR_SEEDS(options) {
        coir_io *io = coir_uncancelable(coir_both(after(20, noting("done")), coir_unit()));
        CHECK_STR(simulated(options, canceled(coir_then(io, noting("behind")), &fiber)), "OK [<CANCELED 0>]");
        CHECK_STR(notes(), "done");
        drop_handle(&fiber);
    }
}

TEST(par, a_time_out_around_the_whole_cancels_it)
{
    CHECK_IN_SIMULATION(coir_timeout_to(coir_both(lingering("a"), coir_never()), coir_ms(2), giving(8)), "OK 8", "a");
    CHECK_IN_SIMULATION(coir_timeout_to(coir_race_ok(COIR_IOS(failing(1), lingering("a"))), coir_ms(2), giving(8)), "OK 8", "a");
    CHECK_IN_SIMULATION(coir_uncancelable(coir_timeout_to(coir_race(COIR_IOS(lingering("a"), coir_never())), coir_ms(2), giving(8))), "OK 8", "a");
    CHECK_EVERYWHERE(coir_both(coir_timeout_to(coir_never(), coir_ms(2), giving(1)), coir_timeout_to(coir_never(), coir_ms(1), giving(2))),
                     "OK [1 2]", "");
}

/* Really: those who will be called off have begun. */
static coir_io *telling_that_it_waits(coir_semaphore *begun, const char *text)
{
    return coir_finally(coir_then(coir_release(begun, 1), coir_never()), coir_then(coir_yield(), noting(text)));
}

TEST(par, really_losers_unwind_before_the_whole_ends)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(200); round++) {
            coir_semaphore *begun = coir_semaphore_new_bounded(0, 2);
            coir_io *winner = coir_as(coir_acquire(begun, 2), coir_int(7));
            coir_io *io = coir_race(COIR_IOS(telling_that_it_waits(begun, "x"), telling_that_it_waits(begun, "x"), winner));
            CHECK_STR(outcome(workers, coir_then_keep(io, noting("behind"))), "OK 7");
            CHECK_STR(notes(), "x x behind");
            coir_fiber *fiber = NULL;
            io = coir_finally(coir_both(telling_that_it_waits(begun, "x"), coir_both(telling_that_it_waits(begun, "x"), coir_unit())), noting("behind"));
            io = coir_sequence(COIR_IOS(forking(io, &fiber), coir_acquire(begun, 2), canceling(&fiber), coir_suspend(wait_placed, &fiber)));
            CHECK_STR(outcome(workers, io), "OK [<CANCELED 0>]");
            CHECK_STR(notes(), "x x behind");
            drop_handle(&fiber);
            coir_semaphore_drop(begun);
        }
}

/* -------------------------------------------------------------------------------------- children that others call off */

/* Who has the one permit keeps it, and waits. All others wait for it. */
struct shop { coir_semaphore *one; _Atomic(coir_fiber *) inside; atomic_int came, served; };

static coir_result come(void *shop) { ((struct shop *)shop)->came++; return coir_ok(coir_none()); }

static coir_io *enter(void *shop_, coir_value *self)
{
    struct shop *shop = shop_;
    coir_fiber *nobody = NULL;
    shop->served++;
    if (atomic_compare_exchange_strong(&shop->inside, &nobody, coir_fiber_of(self)))
        coir_fiber_ref(coir_fiber_of(self));
    return coir_never();
}

static coir_io *buy(void *shop_, size_t index)
{
    struct shop *shop = shop_;
    (void)index;
    return coir_then(coir_defer(come, shop), coir_with_permits(shop->one, 1, coir_flat_map(coir_self(), enter, shop)));
}

enum { CUSTOMERS = 5000 };

static coir_result is_quiet(void *shop_)
{
    struct shop *shop = shop_;
    return coir_ok(coir_bool(shop->came == CUSTOMERS && coir_fiber_status(shop->inside) == COIR_WAITING));
}

static bool is_false(void *env, const coir_value *flag) { (void)env; return !flag->flag; }

TEST(par, what_a_child_gives_back_when_it_is_called_off_none_of_the_others_takes)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(50); round++) {
            CASE("round %d", round);
            struct shop shop = { .one = coir_semaphore_new(1) };
            coir_io *quiet = coir_while(coir_then(coir_yield(), coir_defer(is_quiet, &shop)), is_false, NULL);
            CHECK_STR(outcome(workers, coir_race(COIR_IOS(coir_par_traverse(0, CUSTOMERS, buy, &shop), quiet))), "OK 1");
            CHECK_INT(atomic_load(&shop.served), 1);
            CHECK_INT(coir_semaphore_available(shop.one), 1);
            coir_fiber_drop(shop.inside);
            coir_semaphore_drop(shop.one);
        }
}

TEST(par, a_child_that_is_canceled_though_nobody_here_asked_cancels_the_whole)
{
    CHECK_IN_SIMULATION(coir_finally(coir_both(lingering("other"), after(1, coir_then(coir_cancel_self(), coir_unit()))), noting("parent")),
                     "CANCELED 0", "other parent");
    CHECK_IN_SIMULATION(coir_race(COIR_IOS(lingering("other"), after(1, coir_then(coir_cancel_self(), coir_unit())))), "CANCELED 0", "other");
    CHECK_IN_SIMULATION(coir_race_ok(COIR_IOS(lingering("other"), after(1, coir_then(coir_cancel_self(), coir_unit())))), "CANCELED 0", "other");
    CHECK_IN_SIMULATION(coir_par_zip_all(COIR_IOS(lingering("other"), after(1, coir_then(coir_cancel_self(), coir_unit())))), "CANCELED 0", "other");
    CHECK_IN_SIMULATION(coir_both(coir_finally(coir_never(), failing(1)), after(1, coir_then(coir_cancel_self(), coir_unit()))),
                     "CANCELED 0 also(ERROR 1)", "");
    /* It is the fiber that is canceled, no handler goes on. */
    CHECK_EVERYWHERE(coir_then(coir_attempt(coir_race(COIR_IOS(coir_then(coir_cancel_self(), coir_unit()), coir_never()))), noting("on")),
                     "CANCELED 0", "");
}

TEST(par, in_a_mask_a_canceled_child_is_an_error)
{
    CHECK_IN_SIMULATION(coir_uncancelable(coir_both(lingering("other"), after(1, coir_then(coir_cancel_self(), coir_unit())))),
                     "ERROR CHILD_CANCELED", "other");
    CHECK_IN_SIMULATION(coir_finally(giving(1), coir_both(coir_finally(coir_never(), coir_panicf("1")), after(1, coir_then(coir_cancel_self(), coir_unit())))),
                     "PANIC MISUSE also(ERROR CHILD_CANCELED)", "");
    CHECK_CONTAINS(message_of(1, coir_uncancelable(coir_race(COIR_IOS(coir_named(coir_then(coir_cancel_self(), coir_unit()), "bob"))))),
                   "'bob' was canceled");
}

TEST(par, a_child_that_is_canceled_before_it_ran_is_noted_too)
{
    /* Asked by the run of the first, which ends at once, before the others have begun. */
    CHECK_EVERYWHERE(coir_race(COIR_IOS(giving(1), coir_then(coir_never(), noting("2")), coir_then(coir_never(), noting("3")))), "OK 1", "");
    CHECK_EVERYWHERE(coir_both(failing(1), coir_then(coir_never(), noting("2"))), "ERROR 1", "");
}

TEST(par, who_cancels_one_that_waits_for_it_goes_on_at_once)
{
    coir_fiber *parent = NULL;
    FOR_SEEDS(options) {
        coir_io *child = coir_finally(canceling(&parent), noting("canceled it"));
        coir_io *deep = coir_both(coir_never(), coir_race(COIR_IOS(coir_never(), after(1, child))));
        CHECK_STR(simulated(options, coir_finally(placing(&parent, deep), noting("parent"))), "CANCELED 0");
        CHECK_STR(notes(), "canceled it parent");
        drop_handle(&parent);
    }
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *child = after(1, coir_then(canceling(&parent), coir_never()));
        CHECK_STR(outcome(workers, placing(&parent, coir_race(COIR_IOS(coir_never(), child)))), "CANCELED 0");
        drop_handle(&parent);
    }
}

static coir_io *accusing(coir_fiber **self, coir_fiber **other)
{
    return placing(self, coir_both(coir_uncancelable(after(1, canceling(other))), coir_never()));
}

/* Each of two parents has a child that cancels the other parent and waits for its end: by the wait alone none of them would ever end. */
TEST(par, children_that_cancel_each_others_parents_do_not_wait_for_ever)
{
    coir_fiber *parents[2] = { NULL };
    coir_io *ios[2];
    FOR_SEEDS(options) {
        for (int i = 0; i < 2; i++)
            ios[i] = coir_finally(accusing(&parents[i], &parents[1 - i]), coir_yield());
        CHECK_STR(simulated(options, waited(2, ios)), "OK [<CANCELED 0> <CANCELED 0>]");
        for (int i = 0; i < 2; i++)
            drop_handle(&parents[i]);
    }
    FOR_WORKERS(workers, 1, 2, 4) {
        for (int i = 0; i < 2; i++)
            ios[i] = accusing(&parents[i], &parents[1 - i]);
        CHECK_STR(outcome(workers, waited(2, ios)), "OK [<CANCELED 0> <CANCELED 0>]");
        for (int i = 0; i < 2; i++)
            drop_handle(&parents[i]);
    }
}

TEST(par, a_ring_of_cancels_is_no_deadlock_for_who_wants_the_run_to_stop)
{
    static const coir_options stopping = { .size = sizeof stopping, .on_deadlock = COIR_DEADLOCK_STOP };
    coir_fiber *parents[2] = { NULL };
    coir_io *ios[2];
    FOR_SEEDS(options) {
        options->run = &stopping;
        for (int i = 0; i < 2; i++)
            ios[i] = accusing(&parents[i], &parents[1 - i]);
        CHECK_STR(simulated(options, waited(2, ios)), "OK [<CANCELED 0> <CANCELED 0>]");
        for (int i = 0; i < 2; i++)
            drop_handle(&parents[i]);
    }
}

TEST(par, a_child_that_joins_its_parent_panics_and_the_parent_goes_on)
{
    coir_fiber *parent = NULL;
    FOR_SEEDS(options) {
        CHECK_STR(simulated(options, placing(&parent, coir_par_zip_all(COIR_IOS(joining(&parent), after(5, giving(1)))))), "PANIC DEADLOCK");
        drop_handle(&parent);
        CHECK_STR(simulated(options, placing(&parent, coir_race_ok(COIR_IOS(after(5, giving(1)), joining(&parent))))), "OK 1");
        drop_handle(&parent);
    }
    FOR_WORKERS(workers, 1, 2, 4) {
        CHECK_STR(outcome(workers, placing(&parent, coir_both(coir_uncancelable(after(1, coir_unit())), joining(&parent)))), "PANIC DEADLOCK");
        drop_handle(&parent);
    }
}

TEST(par, silence_ends_the_waits_of_children_and_never_the_parents)
{
    CHECK_EVERYWHERE(coir_par_zip_all(COIR_IOS(coir_finally(coir_never(), noting("a")), giving(1))), "PANIC DEADLOCK", "a");
}

/* -------------------------------------------------------------------------------------------------- what children are */

static coir_io *status_of_placed(void *place) { return coir_pure(coir_int(coir_fiber_status(*(coir_fiber **)place))); }

TEST(par, when_the_whole_has_ended_all_its_children_have)
{
    coir_fiber *loser = NULL;
    FOR_SEEDS(options) {
        coir_io *race = coir_race(COIR_IOS(placing(&loser, coir_never()), after(1, coir_unit())));
        CHECK_STR(simulated(options, coir_then(race, coir_suspend(status_of_placed, &loser))), "OK 5");
        drop_handle(&loser);
    }
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *race = coir_race(COIR_IOS(placing(&loser, coir_never()), after(1, coir_unit())));
        CHECK_STR(outcome(workers, coir_then(race, coir_suspend(status_of_placed, &loser))), "OK 5");
        drop_handle(&loser);
    }
    CHECK_INT(COIR_ENDED, 5);
}

static coir_result give_context(void *env, const coir_value *context) { (void)env; return coir_ok(coir_int(context->i64)); }

TEST(par, children_see_the_callers_context_and_keys)
{
    coir_key *key = coir_key_new(coir_int(1));
    FOR_WORKERS(workers, 1, 2) {
        coir_io *io = coir_par_zip(COIR_IOS(coir_defer_read(give_context, NULL), coir_key_get(key), coir_with_key(key, coir_int(3), coir_key_get(key))));
        CHECK_STR(outcome(workers, coir_local(coir_with_key(key, coir_int(2), io), coir_int(7))), "OK [7 2 3]");
    }
    coir_key_drop(key);
}

TEST(par, a_child_that_ends_with_a_lock_fails_the_whole)
{
    coir_lock *lock = coir_lock_new();
    CHECK_EVERYWHERE(coir_both(coir_lock_acquire(lock), coir_with_lock(lock, coir_unit())), "PANIC MISUSE", "");
    coir_lock_drop(lock);
}

TEST(par, values_are_moved_not_shared)
{
    CHECK_EVERYWHERE(coir_both(coir_then(coir_yield(), coir_pure(sole_thing(1))), coir_pure(starved_thing(2))), "OK [thing 1 thing 2]", "-1 -2");
    CHECK_EVERYWHERE(coir_attempt(coir_race(COIR_IOS(coir_never(), coir_pure(starved_thing(2))))), "OK <OK thing 2>", "-2");
    CHECK_EVERYWHERE(coir_attempt(coir_both(coir_fail(starved_thing(1)), coir_never())), "OK <ERROR thing 1>", "-1");
}

static coir_io *is_placed(void *place, coir_value *self)
{
    bool same = coir_fiber_of(self) == *(coir_fiber **)place;
    drop_handle(place);
    return coir_pure(coir_bool(same));
}

TEST(par, a_child_may_give_its_own_handle)
{
    coir_fiber *child = NULL;
    CHECK_EVERYWHERE(coir_flat_map(coir_race(COIR_IOS(placing(&child, coir_self()), coir_never())), is_placed, &child), "OK 1", "");
}

TEST(par, who_has_a_childs_handle_sees_its_result_too)
{
    coir_fiber *child = NULL;
    FOR_SEEDS(options) {
        coir_io *io = coir_both(placing(&child, coir_pure(thing(1))), coir_never());
        io = coir_then(coir_timeout_to(io, coir_ms(1), coir_unit()), joining(&child));
        CHECK_STR(simulated(options, io), "OK thing 1");
        drop_handle(&child);
        CHECK_STR(notes(), "-1");
    }
}

TEST(par, an_io_that_is_shared_runs_many_times_and_at_once)
{
    coir_io *io = coir_race(COIR_IOS(coir_never(), coir_then(coir_yield(), coir_pure(coir_stringf("a")))));
    io = coir_par_zip(COIR_IOS(io, coir_io_ref(io), coir_par_zip_all(COIR_IOS(giving(1), giving(2)))));
    FOR_SEEDS(options)
        CHECK_STR(simulated(options, waited(2, (coir_io *[]){ coir_io_ref(io), coir_then(coir_repeat(coir_io_ref(io), 3), coir_unit()) })),
                  "OK [<OK [a a [1 2]]> <OK 0>]");
    FOR_WORKERS(workers, 1, 2, 4)
        CHECK_STR(outcome(workers, coir_both(coir_io_ref(io), coir_io_ref(io))), "OK [[a a [1 2]] [a a [1 2]]]");
    coir_io_drop(io);
}

static coir_io *nest(void *env, coir_value *depth)
{
    (void)env;
    coir_io *inner = depth->i64 == 0 ? giving(5) : coir_call(coir_int(depth->i64 - 1), nest, NULL);
    return depth->i64 % 2 == 0 ? coir_race(COIR_IOS(coir_never(), inner)) : coir_race_ok(COIR_IOS(failing(1), inner));
}

static void nest_deep(void *workers)
{
    CHECK_STR(outcome(*(unsigned *)workers, coir_call(coir_int(scaled(20000)), nest, NULL)), "OK 5");
    CHECK_STR(outcome(*(unsigned *)workers, coir_timeout_to(coir_both(coir_call(coir_int(scaled(20000)), nest, NULL), coir_never()), coir_ms(20), giving(6))),
              "OK 6");
}

TEST(par, races_within_races_as_deep_as_one_likes)
{
    FOR_WORKERS(workers, 1, 2)
        on_small_stack(nest_deep, &workers);
}

TEST(par, when_the_rest_of_a_run_is_called_off_children_inside_a_finalizer_go_on)
{
    static const coir_options rest = { .size = sizeof rest, .cancel_rest = true };
    FOR_SEEDS(options) {
        options->run = &rest;
        /* One is called off first; the other is in its finalizer when the main fiber ends. */
        coir_io *finalizer = coir_then(coir_both(after(6, noting("b")), after(5, noting("a"))), coir_both(coir_unit(), noting("c")));
        coir_io *unwinding = options->seed % 2 == 0 ? coir_finally(coir_both(coir_never(), lingering("child")), finalizer)
                                                    : coir_finally(noting("child"), finalizer);
        coir_io *io = coir_then(coir_fork(unwinding), after(3, giving(4)));
        CHECK_STR(simulated(options, io), "OK 4");
        CHECK_STR(notes(), "child a b c");
    }
}

/* -------------------------------------------------------------------------------------------------------- par_traverse */

static coir_io *square(void *env, size_t index) { (void)env; return coir_pure(coir_int((int64_t)(index * index))); }
static coir_io *square_later(void *env, size_t index) { (void)env; return coir_then(coir_yield(), square(NULL, index)); }

TEST(par, par_traverse_gives_values_at_their_indices)
{
    CHECK_EVERYWHERE(coir_par_traverse(3, 7, square, NULL), "OK [0 1 4 9 16 25 36]", "");
    CHECK_EVERYWHERE(coir_par_traverse(1, 5, square_later, NULL), "OK [0 1 4 9 16]", "");
    CHECK_EVERYWHERE(coir_par_traverse(0, 5, square_later, NULL), "OK [0 1 4 9 16]", "");
    CHECK_EVERYWHERE(coir_par_traverse(99, 5, square_later, NULL), "OK [0 1 4 9 16]", "");
    CHECK_EVERYWHERE(coir_par_traverse(3, 0, square, NULL), "OK []", "");
    CHECK_EVERYWHERE(coir_par_traverse_all(2, 3, square_later, NULL), "OK [<OK 0> <OK 1> <OK 4>]", "");
}

/* How many are inside at once, and in which order they began. */
struct room { atomic_int inside, most, begun; atomic_bool out_of_order; int64_t pause_ms; };

static coir_result leave(void *room) { atomic_fetch_sub(&((struct room *)room)->inside, 1); return coir_ok(coir_none()); }
static coir_io *visit(void *room_, size_t index)
{
    struct room *room = room_;
    int inside = atomic_fetch_add(&room->inside, 1) + 1, most = atomic_load(&room->most);
    while (inside > most && !atomic_compare_exchange_weak(&room->most, &most, inside)) {}
    if (atomic_fetch_add(&room->begun, 1) != (int)index)
        atomic_store(&room->out_of_order, true);
    return coir_then(room->pause_ms > 0 ? coir_sleep(coir_ms(room->pause_ms)) : coir_yield(), coir_defer(leave, room));
}

TEST(par, par_traverse_never_has_more_than_the_limit_inside_and_begins_in_order)
{
    for (size_t limit = 0; limit <= 5; limit++)
        FOR_SEEDS(options) {
            struct room room = { .pause_ms = 1 };
            options->workers = 1;
            CHECK_STR(simulated(options, coir_as(coir_par_traverse(limit, 20, visit, &room), coir_none())), "OK 0");
            CHECK_INT(room.most, limit == 0 ? 20 : (int)limit);
            CHECK(!room.out_of_order);
        }
    FOR_WORKERS(workers, 1, 2, 4) {
        struct room room = { .pause_ms = 0 };
        CHECK_STR(outcome(workers, coir_as(coir_par_traverse(3, 1000, visit, &room), coir_none())), "OK 0");
        CHECK(room.most <= 3);
        CHECK_INT(room.begun, 1000);
    }
}

static coir_io *fail_third(void *env, size_t index)
{
    (void)env;
    note("%d", (int)index);
    if (index == 2)
        return after(3, failing(2));
    return coir_finally(coir_never(), index == 0 ? after(5, failing(100)) : failing(101));
}

TEST(par, the_first_failing_item_cancels_those_in_progress_and_no_more_begin)
{
    FOR_SEEDS(options) {
        options->policy = COIR_SIM_IN_TURN;
        CHECK_STR(simulated(options, coir_par_traverse(3, 10, fail_third, NULL)), "ERROR 2 also(ERROR 101, ERROR 100)");
        CHECK_STR(notes(), "0 1 2");
    }
    FOR_WORKERS(workers, 1, 2, 4) {
        CHECK_STR(outcome(workers, coir_par_traverse(3, 10, fail_third, NULL)), "ERROR 2 also(ERROR 101, ERROR 100)");
        CHECK_INT((int)strlen(notes()), 5);
    }
}

static coir_io *of_all_sorts(void *env, size_t index)
{
    (void)env;
    switch (index) {
    case 0:  return coir_pure(thing(7));
    case 1:  return after(1, failing(1));
    case 2:  return coir_panicf("2");
    case 3:  return NULL;
    case 4:  return coir_finally(failing(4), failing(5));
    case 5:  return coir_suspend(NULL, NULL);
    default: return square_later(NULL, index);
    }
}

TEST(par, par_traverse_all_gives_a_box_for_each_good_or_bad)
{
    CHECK_EVERYWHERE(coir_par_traverse_all(2, 7, of_all_sorts, NULL),
                     "OK [<OK thing 7> <ERROR 1> <PANIC MISUSE> <PANIC ENOMEM> <ERROR 4 also(ERROR 5)> <PANIC EINVAL> <OK 36>]", "-7");
}

static coir_io *one_cancels_itself(void *env, size_t index)
{
    (void)env;
    return index == 1 ? after(1, coir_then(coir_cancel_self(), coir_unit())) : lingering("other");
}

TEST(par, an_item_that_is_canceled_cancels_the_whole)
{
    CHECK_IN_SIMULATION(coir_par_traverse_all(2, 2, one_cancels_itself, NULL), "CANCELED 0", "other");
    CHECK_IN_SIMULATION(coir_uncancelable(coir_par_traverse(2, 2, one_cancels_itself, NULL)), "ERROR CHILD_CANCELED", "other");
}

static coir_io *linger(void *env, size_t index) { (void)env; return index < 2 ? lingering("child") : noting("late"); }

TEST(par, a_canceled_par_traverse_begins_no_more)
{
    coir_fiber *fiber = NULL;
    FOR_SEEDS(options) {
        CHECK_STR(simulated(options, canceled(coir_par_traverse(2, 100, linger, NULL), &fiber)), "OK [<CANCELED 0>]");
        CHECK_STR(notes(), "child child");
        drop_handle(&fiber);
    }
}

/* The first works behind a mask when the whole is called off, and succeeds. */
static coir_io *masked_work(void *env, size_t index)
{
    (void)env;
    return coir_uncancelable(after(5, coir_then(noting("item"), giving((int64_t)index))));
}

TEST(par, a_canceled_par_traverse_gives_no_list_with_items_missing)
{
    CHECK_IN_SIMULATION(coir_timeout(coir_par_traverse(1, 3, masked_work, NULL), coir_ms(7)), "ERROR code -1001", "item item");
    CHECK_IN_SIMULATION(coir_timeout(coir_par_traverse_all(1, 3, masked_work, NULL), coir_ms(7)), "ERROR code -1001", "item item");
    CHECK_IN_SIMULATION(coir_timeout(coir_par_traverse(1, 3, masked_work, NULL), coir_ms(12)), "OK [0 1 2]", "item item item");
    CHECK_IN_SIMULATION(coir_timeout(coir_par_traverse(2, 2, masked_work, NULL), coir_ms(3)), "OK [0 1]", "item item");
}

static coir_io *null_third(void *env, size_t index) { return index == 2 ? NULL : square(env, index); }

TEST(par, a_callback_that_gives_NULL_is_a_panic)
{
    CHECK_EVERYWHERE(coir_par_traverse(2, 5, null_third, NULL), "PANIC ENOMEM", "");
    CHECK_CONTAINS(message_of(1, coir_par_traverse(2, 5, null_third, NULL)), "coir_par_traverse: its callback gave NULL");
}

static coir_io *plus_captured(void *env, size_t index) { return coir_pure(coir_int(*(const int64_t *)env + (int64_t)index)); }
static void free_counted(void *counter) { atomic_fetch_add((atomic_int *)counter, 1); }

TEST(par, par_traverse_copies_or_owns_its_env)
{
    int64_t ten = 10;
    atomic_int freed = 0;
    CHECK_EVERYWHERE(coir_par_traverse_copy(2, 3, plus_captured, &ten, sizeof ten), "OK [10 11 12]", "");
    CHECK_EVERYWHERE(coir_par_traverse_all_copy(2, 2, plus_captured, &ten, sizeof ten), "OK [<OK 10> <OK 11>]", "");
    CHECK_STR(outcome(2, coir_owns(coir_par_traverse(2, 3, square, NULL), &freed, free_counted)), "OK [0 1 4]");
    CHECK_INT(freed, 1);
    coir_io *shared = coir_owns(coir_par_traverse(2, 3, square, NULL), &freed, free_counted);
    CHECK_STR(outcome(2, coir_both(coir_io_ref(shared), shared)), "OK [[0 1 4] [0 1 4]]");
    CHECK_INT(freed, 2);
}

static coir_io *give_sole(void *env, size_t index) { (void)env; return coir_pure(sole_thing((int)index)); }
static coir_io *give_things(void *env, size_t index) { return index == 5 ? after(1, failing(1)) : coir_pure(env == NULL ? thing(1) : coir_int(1)); }

TEST(par, typed_values_of_items_are_held_and_dropped)
{
    CHECK_EVERYWHERE(coir_as(coir_par_traverse(2, 2, give_sole, NULL), coir_none()), "OK 0", "-0 -1");
    CHECK_EVERYWHERE(coir_par_traverse(1, 6, give_things, NULL), "ERROR 1", "-1 -1 -1 -1 -1");
    coir_result result = run(2, coir_par_traverse(2, 2, give_sole, NULL));
    CHECK(!coir_can_share(&result.value));
    coir_result_drop(&result);
    result = run(2, coir_par_traverse(2, 2, give_things, NULL));
    CHECK(coir_can_share(&result.value));
    coir_result_drop(&result);
    CHECK_INT(things_alive, 0);
    notes();
}

/* ------------------------------------------------------------------------------------------------------------ par_each */

static coir_io *take_it(void *env, coir_value *item) { (void)env; return coir_then(coir_yield(), coir_pure(coir_take(item))); }
static coir_io *look_at_it(void *env, coir_value *item)
{
    (void)env;
    note("%d", item->type == NULL ? (int)item->i64 : 0);
    return coir_then(coir_yield(), noting("."));
}
static coir_value things(int count)
{
    coir_value list = coir_list(0, NULL);
    for (int i = 1; i <= count; i++)
        CHECK(coir_list_push(&list, thing(i)));
    return list;
}

TEST(par, par_each_lends_each_item_to_its_call)
{
    CHECK_EVERYWHERE(coir_par_each(2, things(3), take_it, NULL), "OK [thing 1 thing 2 thing 3]", "-1 -2 -3");
    CHECK_EVERYWHERE(coir_as(coir_par_each(1, things(2), look_at_it, NULL), coir_none()), "OK 0", "0 . -1 0 . -2");
    CHECK_EVERYWHERE(coir_par_each(2, coir_list(0, NULL), take_it, NULL), "OK []", "");
    CHECK_EVERYWHERE(coir_par_each(0, coir_list(2, (coir_value[]){ sole_thing(1), sole_thing(2) }), take_it, NULL), "OK [thing 1 thing 2]", "-1 -2");
}

TEST(par, par_each_of_a_shared_io_shares_its_items)
{
    coir_io *io = coir_par_each(2, things(2), take_it, NULL);
    CHECK_STR(outcome(2, coir_both(coir_io_ref(io), coir_io_ref(io))), "OK [[thing 1 thing 2] [thing 1 thing 2]]");
    coir_io_drop(io);
    CHECK_INT(things_alive, 0);
    notes();
    io = coir_par_each(2, coir_list(1, (coir_value[]){ sole_thing(1) }), take_it, NULL);
    CHECK_STR(outcome(1, coir_zip(COIR_IOS(coir_attempt(coir_io_ref(io)), coir_attempt(coir_io_ref(io))))), "OK [<OK [thing 1]> <PANIC MISUSE>]");
    coir_io_drop(io);
    CHECK_INT(things_alive, 0);
    notes();
}

TEST(par, par_each_of_what_is_no_list_is_a_panic)
{
    CHECK_EVERYWHERE(coir_par_each(2, coir_int(3), take_it, NULL), "PANIC MISUSE", "");
    CHECK_EVERYWHERE(coir_par_each(2, thing(3), take_it, NULL), "PANIC MISUSE", "-3");
    CHECK_EVERYWHERE(coir_par_each(2, coir_panic_value("no"), take_it, NULL), "PANIC MISUSE", "");
    CHECK_EVERYWHERE(coir_par_each(2, things(1), NULL, NULL), "PANIC EINVAL", "-1");
}

/* ------------------------------------------------------------------------------------------------------------ race_pair */

static coir_io *join_third(void *env, coir_value *pair)
{
    (void)env;
    coir_value first = coir_list_take(pair, 0), box = coir_list_take(pair, 1);
    coir_io *joined_loser = coir_join(coir_fiber_of(coir_list_at(pair, 2)));
    return coir_zip(COIR_IOS(coir_pure(first), coir_pure(box), joined_loser));
}

TEST(par, race_pair_gives_the_winner_and_leaves_the_loser_running)
{
    CHECK_IN_SIMULATION(coir_flat_map(coir_race_pair(after(5, coir_then(noting("loser"), giving(1))), after(1, giving(2))), join_third, NULL),
                     "OK [1 <OK 2> 1]", "loser");
    CHECK_IN_SIMULATION(coir_flat_map(coir_race_pair(after(1, failing(3)), after(3, giving(4))), join_third, NULL), "OK [0 <ERROR 3> 4]", "");
    CHECK_IN_SIMULATION(coir_flat_map(coir_race_pair(coir_then(coir_cancel_self(), coir_unit()), after(3, giving(4))), join_third, NULL),
                     "OK [0 <CANCELED 0> 4]", "");
    CHECK_IN_SIMULATION(coir_flat_map(coir_race_pair(coir_pure(sole_thing(1)), after(3, coir_pure(sole_thing(2)))), join_third, NULL),
                     "OK [0 <OK thing 1> thing 2]", "-2 -1");
    /* The failure of a loser that nobody joins is told like any other fiber's. */
    CHECK_IN_SIMULATION(coir_as(coir_race_pair(giving(1), after(3, failing(2))), coir_none()), "OK 0", "unseen ERROR 2");
}

TEST(par, the_loser_of_a_pair_is_called_off_with_the_rest_of_the_run)
{
    static const coir_options rest = { .size = sizeof rest, .cancel_rest = true };
    FOR_SEEDS(options) {
        options->run = &rest;
        CHECK_STR(simulated(options, coir_as(coir_race_pair(lingering("loser"), after(1, giving(1))), coir_int(3))), "OK 3");
        CHECK_STR(notes(), "loser");
    }
}

/* ------------------------------------------------------------------------------------------------------- timeout_nowait */

TEST(par, timeout_nowait_leaves_behind_what_takes_too_long)
{
    FOR_SEEDS(options) {
        coir_io *slow = coir_uncancelable(after(20, noting("late")));
        coir_io *io = coir_zip(COIR_IOS(coir_attempt(coir_timeout_nowait(slow, coir_ms(5))), coir_now(), noting("on")));
        CHECK_STR(simulated(options, io), "OK [<ERROR code -1001> 5000000 0]");
        CHECK_STR(notes(), "on late");
    }
    CHECK_IN_SIMULATION(coir_timeout_nowait(coir_uncancelable(after(3, noting("late"))), coir_ms(1)), "ERROR code -1001", "late");
    CHECK_IN_SIMULATION(coir_timeout_nowait(lingering("asked"), coir_ms(1)), "ERROR code -1001", "asked");
    CHECK_EVERYWHERE(coir_timeout_nowait(after(1, coir_pure(sole_thing(4))), coir_seconds(100)), "OK thing 4", "-4");
    CHECK_EVERYWHERE(coir_timeout_nowait(failing(4), coir_seconds(100)), "ERROR 4", "");
    CHECK_EVERYWHERE(coir_timeout_nowait(coir_then(coir_cancel_self(), coir_unit()), coir_seconds(100)), "CANCELED 0", "");
    CHECK_IN_SIMULATION(coir_attempt(coir_timeout_nowait(coir_uncancelable(after(3, coir_panicf("late"))), coir_ms(1))), "OK <ERROR code -1001>",
               "unseen PANIC MISUSE");
}

TEST(par, a_cancellation_leaves_it_behind_too)
{
    coir_fiber *fiber = NULL;
    FOR_SEEDS(options) {
        coir_io *io = coir_timeout_nowait(coir_finally(coir_never(), after(5, noting("late"))), coir_seconds(100));
        CHECK_STR(simulated(options, coir_then(canceled(io, &fiber), coir_now())), "OK 1000000");
        CHECK_STR(notes(), "late");
        drop_handle(&fiber);
    }
}

/* ----------------------------------------------------------------------------------------------------------- in scopes */

static coir_io *attempted(coir_io *io) { return coir_as(coir_attempt(io), coir_none()); }

TEST(par, what_children_fork_belongs_to_the_scope_but_their_failures_are_the_wholes)
{
    CHECK_IN_SIMULATION(coir_scope(coir_race(COIR_IOS(coir_never(), coir_as(coir_fork(after(5, noting("forked"))), coir_int(3))))), "OK 3", "forked");
    CHECK_IN_SIMULATION(coir_scope(coir_race_ok(COIR_IOS(failing(1), after(1, giving(2))))), "OK 2", "");
    CHECK_IN_SIMULATION(coir_then(coir_scope(attempted(coir_both(after(1, failing(1)), lingering("a")))), noting("behind")), "OK 0", "a behind");
    CHECK_IN_SIMULATION(coir_scope(coir_both(lingering("child"), after(1, coir_then(coir_fork(failing(4)), coir_never())))), "ERROR 4", "child");
}

TEST(par, who_is_left_behind_in_a_scope_is_the_scopes)
{
    CHECK_IN_SIMULATION(coir_then(coir_scope(coir_as(coir_race_pair(giving(1), after(5, noting("loser"))), coir_none())), noting("behind")), "OK 0",
                    "loser behind");
    CHECK_IN_SIMULATION(coir_then(coir_scope(attempted(coir_timeout_nowait(coir_uncancelable(after(5, noting("late"))), coir_ms(1)))), noting("behind")),
                    "OK 0", "late behind");
    /* From then on its failure is the scope's; before, it was the pair's. */
    CHECK_IN_SIMULATION(coir_scope(coir_as(coir_race_pair(giving(1), after(5, failing(2))), coir_none())), "ERROR 2", "");
    CHECK_IN_SIMULATION(coir_scope(coir_as(coir_race_pair(failing(1), after(5, giving(2))), coir_none())), "OK 0", "");
    CHECK_IN_SIMULATION(coir_scope(attempted(coir_timeout_nowait(failing(1), coir_ms(1)))), "OK 0", "");
    CHECK_IN_SIMULATION(coir_scope(coir_then(coir_race_pair(after(1, giving(1)), lingering("loser")), failing(3))), "ERROR 3", "loser");
}

TEST(par, in_a_scope_that_is_called_off_a_finalizers_children_go_on)
{
    FOR_SEEDS(options) {
        coir_io *finalizer = coir_then(coir_race_pair(noting("a"), after(3, noting("b"))), attempted(coir_timeout_nowait(after(5, noting("c")), coir_ms(9))));
        coir_io *member = coir_finally(coir_never(), finalizer);
        CHECK_STR(simulated(options, coir_scope(coir_then(coir_fork(member), after(1, failing(7))))), "ERROR 7");
        CHECK_STR(notes(), "a c");                      /* the loser of the pair was let go, into a scope that is being called off */
    }
}

TEST(par, a_child_may_cancel_the_owner_of_its_scope_and_who_waits_for_that)
{
    coir_fiber *owner = NULL;
    FOR_SEEDS(options) {
        /* owner: both of a child that opens a scope, in which is forked who races one that cancels the owner. */
        coir_io *racing = coir_race(COIR_IOS(coir_never(), after(1, coir_uncancelable(coir_then(canceling(&owner), noting("at once"))))));
        coir_io *inner = coir_scope(coir_then(coir_fork(racing), coir_never()));
        CHECK_STR(simulated(options, placing(&owner, coir_both(coir_never(), inner))), "CANCELED 0");
        CHECK_STR(notes(), "at once");
        drop_handle(&owner);
        racing = coir_race(COIR_IOS(coir_never(), after(1, coir_uncancelable(coir_then(canceling(&owner), noting("at once"))))));
        CHECK_STR(simulated(options, coir_scope(placing(&owner, coir_then(coir_fork(racing), coir_never())))), "CANCELED 0");
        CHECK_STR(notes(), "at once");
        drop_handle(&owner);
    }
}

TEST(par, a_member_inside_a_pair_may_cancel_who_waits_for_the_pair)
{
    coir_fiber *parent = NULL;
    FOR_SEEDS(options) {
        coir_io *member = after(1, coir_uncancelable(coir_then(canceling(&parent), noting("at once"))));
        coir_io *holding = coir_finally(coir_scope(coir_then(coir_fork(member), coir_never())), noting("released"));
        CHECK_STR(simulated(options, placing(&parent, coir_race_pair(holding, lingering("other")))), "CANCELED 0");
        CHECK_CONTAINS(notes(), "released");
        drop_handle(&parent);
    }
}

/* ------------------------------------------------------------------------------------------------------------ bad input */

TEST(par, what_cannot_be_has_a_clear_answer)
{
    CHECK_STR(outcome(1, coir_race(0, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_race_ok(0, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_race(2, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_par_zip(2, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_race(COIR_IOS(coir_pure(thing(1)), NULL))), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_both(NULL, coir_pure(thing(2)))), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_race_pair(coir_pure(thing(3)), NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_timeout_nowait(NULL, coir_ms(1))), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_timeout_nowait(noting("not this"), coir_ms(0))), "ERROR code -1001");
    CHECK_STR(notes(), "-1 -2 -3");
    CHECK_STR(outcome(1, coir_par_traverse(2, 3, NULL, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_par_traverse(2, SIZE_MAX, square, NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_par_traverse(0, SIZE_MAX, square, NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_par_traverse_copy(2, 3, square, NULL, 8)), "PANIC EINVAL");
}

/* ------------------------------------------------------------------------------------------------------------- pictures */

TEST(par, they_are_shown_as_they_are_called)
{
    char text[1000] = "";
    FILE *out = fmemopen(text, sizeof text - 1, "w");
    coir_io *io = coir_race(COIR_IOS(coir_both(coir_unit(), coir_never()), coir_par_traverse(2, 3, square, NULL)));
    coir_io_print(io, out, 0);
    fclose(out);
    coir_io_drop(io);
    CHECK_CONTAINS(text, "race");
    CHECK_CONTAINS(text, "par_zip");
    CHECK_CONTAINS(text, "never");
    CHECK_CONTAINS(text, "par_traverse");
}

/* ------------------------------------------------------------------------------------------------- runs that are stopped */

TEST(par, a_run_that_is_stopped_leaves_nothing_of_them)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *io = coir_par_zip(COIR_IOS(coir_race(COIR_IOS(coir_never(), coir_as(coir_never(), thing(1)))), coir_par_each(2, things(3), look_at_it, NULL),
                                            coir_race_pair(coir_never(), coir_never()), coir_timeout_nowait(coir_never(), coir_ns(INT64_MAX))));
        coir_result result = coir_run(io, COIR_OPTIONS(.workers = workers, .on_deadlock = COIR_DEADLOCK_STOP));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_INT(things_alive, 0);
        notes();
    }
}

/* --------------------------------------------------------------------------------------------------------------- memory */

static coir_io *unit_at(void *env, size_t index) { (void)env; (void)index; return coir_unit(); }

TEST_ALONE(par, a_million_items_need_no_million_fibers)
{
    watch_memory();
    enum { MILLION = 1000000 };
    int items = scaled(MILLION);
    CHECK_STR(outcome(1, coir_as(coir_par_traverse(8, 1000, unit_at, NULL), coir_none())), "OK 0");
    FOR_WORKERS(workers, 1, 2) {
        coir_io *io = coir_as(coir_par_traverse(8, (size_t)items, unit_at, NULL), coir_none());
        long long list = (long long)items * (long long)sizeof(coir_value);
        CHECK(peak_of(workers, io, "OK 0") < list + (512 << 10));              /* some 170 KiB, which 1000 items take as well */
    }
}
