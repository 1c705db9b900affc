/*
 * use.c - tests of acquiring, using and releasing, whatever the resource is made of and whatever happens on the way
 */
#include "seeds.h"

/* ---------------------------------------------------------------------------------------------------- words of this suite */

/* named_thing: acquiring notes "+n" and gives thing n; releasing notes "~n" with the first letter of the outcome, and drops it: "-n". */
static coir_result acquire_thing(void *number)
{
    note("+%d", *(const int *)number);
    return coir_ok(sole_thing(*(const int *)number));
}
static coir_io *release_thing(void *env, coir_value *held, const coir_result *outcome)
{
    (void)env;
    note("~%d%c", thing_number(held), coir_tag_name(outcome->tag)[0]);
    return coir_yield();
}
static coir_resource *one(int number)
{
    return coir_resource_new(coir_then(coir_yield(), coir_defer_copy(acquire_thing, &number, sizeof number)), release_thing, NULL);
}

static coir_resource *failing_one(int number) { return coir_resource_new(coir_fail(coir_int(number)), release_thing, NULL); }

static coir_io *look_at(void *env, const coir_value *held)
{
    (void)env;
    if (coir_list_size(held) == 0) {
        note("use%d", is_thing(held) ? thing_number(held) : held->type == NULL ? (int)held->i64 : 0);
        return coir_unit();
    }
    for (size_t i = 0; i < coir_list_size(held); i++)
        note("use%d", ((const struct thing *)coir_list_at(held, i)->ptr)->number);
    return coir_unit();
}
static coir_io *fail_with(void *env, const coir_value *held) { (void)env; (void)held; return coir_fail(coir_int(9)); }
static coir_io *give_null(void *env, const coir_value *held) { (void)env; (void)held; return NULL; }
static coir_io *give_value(void *env, const coir_value *held) { (void)env; return coir_pure(coir_int(thing_number(held))); }
static coir_resource *next_one(void *env, const coir_value *held) { (void)env; return one(thing_number(held) + 1); }
static coir_resource *no_resource(void *env, const coir_value *held) { (void)env; (void)held; return NULL; }
static coir_value ten_times(void *env, const coir_value *held) { (void)env; return coir_int(10 * thing_number(held)); }
static coir_resource *in_place(void *env, coir_value *failure) { (void)env; return one((int)failure->i64); }
static coir_resource *indexed(void *env, size_t index) { (void)env; return one((int)index + 1); }

#define RUNS(io, result, noted)                                                                              \
    FOR_SEEDS(options) {                                                                                     \
        CHECK_STR(simulated(options, (io)), (result));                                                       \
        CHECK_STR(notes(), (noted));                                                                         \
        CHECK_INT(atomic_load(&things_alive), 0);                                                            \
    }

/* --------------------------------------------------------------------------------------------------------------- one */

TEST(use, acquired_used_released_and_told_how_it_went)
{
    RUNS(coir_use(one(1), look_at, NULL), "OK 0", "+1 use1 ~1o -1")
    RUNS(coir_use(one(1), give_value, NULL), "OK 1", "+1 ~1o -1")
    RUNS(coir_use(one(1), fail_with, NULL), "ERROR 9", "+1 ~1e -1")
    RUNS(coir_use(one(1), give_null, NULL), "PANIC ENOMEM", "+1 ~1p -1")
    RUNS(coir_use(failing_one(4), look_at, NULL), "ERROR 4", "")
    RUNS(coir_with(one(1), noting("body")), "OK 0", "+1 body ~1o -1")
    int number = 3;
    RUNS(coir_bracket(coir_defer_copy(acquire_thing, &number, sizeof number), look_at, release_thing, NULL), "OK 0", "+3 use3 ~3o -3")
}

TEST(use, one_may_be_used_many_times_also_at_once)
{
    FOR_SEEDS(options) {
        coir_resource *resource = one(1);
        coir_io *twice = coir_repeat(coir_use(coir_resource_ref(resource), give_value, NULL), 2);
        CHECK_STR(simulated(options, waited(2, (coir_io *[]){ twice, coir_use(resource, give_value, NULL) })), "OK [<OK 1> <OK 1>]");
        const char *all = notes();
        int acquired = 0, released = 0;
        for (const char *c = all; *c != '\0'; c++) {
            acquired += *c == '+';
            released += *c == '~';
        }
        CHECK_INT(acquired, 3);
        CHECK_INT(released, 3);
    }
}

static coir_io *release_badly(void *env, coir_value *held, const coir_result *outcome)
{
    (void)env;
    (void)held;
    (void)outcome;
    return coir_fail(coir_int(7));
}
static coir_resource *badly_released(void) { return coir_resource_new(coir_pure(sole_thing(2)), release_badly, NULL); }

TEST(use, a_release_that_fails_is_the_failure_or_joins_it)
{
    RUNS(coir_use(badly_released(), look_at, NULL), "ERROR 7", "use2 -2")
    RUNS(coir_use(badly_released(), fail_with, NULL), "ERROR 9 also(ERROR 7)", "-2")
    RUNS(coir_use(coir_resource_then(one(1), badly_released()), look_at, NULL), "ERROR 7", "+1 use2 -2 ~1e -1")
}

/* ------------------------------------------------------------------------------------------------------- put together */

TEST(use, what_was_acquired_first_is_released_last)
{
    RUNS(coir_use(coir_resource_then(one(1), one(2)), look_at, NULL), "OK 0", "+1 +2 use2 ~2o -2 ~1o -1")
    RUNS(coir_use(coir_resource_flat_map(one(1), next_one, NULL), look_at, NULL), "OK 0", "+1 +2 use2 ~2o -2 ~1o -1")
    RUNS(coir_use(coir_resource_zip(3, (coir_resource *[]){ one(1), one(2), one(3) }), look_at, NULL), "OK 0",
         "+1 +2 +3 use1 use2 use3 ~3o -3 ~2o -2 ~1o -1")
    RUNS(coir_use(coir_resource_traverse(2, indexed, NULL), look_at, NULL), "OK 0", "+1 +2 use1 use2 ~2o -2 ~1o -1")
    RUNS(coir_use(coir_resource_zip(0, NULL), look_at, NULL), "OK 0", "use0")
}

TEST(use, an_acquisition_that_fails_releases_what_was_there)
{
    RUNS(coir_use(coir_resource_then(one(1), failing_one(5)), look_at, NULL), "ERROR 5", "+1 ~1e -1")
    RUNS(coir_use(coir_resource_zip(3, (coir_resource *[]){ one(1), one(2), failing_one(5) }), look_at, NULL), "ERROR 5",
         "+1 +2 ~2e -2 ~1e -1")
    RUNS(coir_use(coir_resource_flat_map(one(1), no_resource, NULL), look_at, NULL), "PANIC ENOMEM", "+1 ~1p -1")
}

TEST(use, map_changes_what_use_sees_and_release_gets_the_original)
{
    RUNS(coir_use(coir_resource_map(one(4), ten_times, NULL), look_at, NULL), "OK 0", "+4 use40 ~4o -4")
}

TEST(use, side_by_side_and_released_in_reverse_order)
{
    FOR_SEEDS(options) {
        coir_resource *all = coir_resource_par_zip(3, (coir_resource *[]){ one(1), one(2), one(3) });
        CHECK_STR(simulated(options, coir_use(all, look_at, NULL)), "OK 0");
        const char *noted = notes();
        CHECK_STR(strstr(noted, "use1"), "use1 use2 use3 ~3o -3 ~2o -2 ~1o -1");
    }
    FOR_SEEDS(options) {
        coir_resource *all = coir_resource_par_zip(3, (coir_resource *[]){ one(1), failing_one(6), one(3) });
        CHECK_STR(simulated(options, coir_use(all, look_at, NULL)), "ERROR 6");
        const char *noted = notes();
        CHECK(strstr(noted, "use") == NULL);
        CHECK_INT(strstr(noted, "+1") != NULL, strstr(noted, "~1e") != NULL);
        CHECK_INT(strstr(noted, "+3") != NULL, strstr(noted, "~3e") != NULL);
        CHECK_INT(atomic_load(&things_alive), 0);
    }
    RUNS(coir_use(coir_resource_par_zip(0, NULL), look_at, NULL), "OK 0", "use0")
}

static coir_io *after(int ms, coir_io *io) { return coir_then(coir_sleep(coir_ms(ms)), io); }

TEST(use, side_by_side_in_a_scope_a_failure_is_the_acquisitions_alone)
{
    FOR_SEEDS(options) {
        coir_resource *all = coir_resource_par_zip(2, (coir_resource *[]){ one(1), failing_one(6) });
        CHECK_STR(simulated(options, coir_scope(coir_use(coir_resource_catch(all, in_place, NULL), give_value, NULL))), "OK 6");
        CHECK_INT(atomic_load(&things_alive), 0);
    }
}

TEST(use, side_by_side_masked_is_called_off_neither_by_a_scope_nor_with_the_rest_of_a_run)
{
    FOR_SEEDS(options) {
        coir_resource *all = coir_resource_par_zip(1, (coir_resource *[]){ coir_resource_then(one(1), coir_resource_lift(after(10, noting("both")))) });
        coir_io *used = coir_uncancelable(after(10, coir_with(all, noting("use"))));
        CHECK_STR(simulated(options, coir_scope(coir_then(coir_fork(after(5, coir_fail(coir_int(7)))), used))), "ERROR 7");
        CHECK_STR(notes(), "+1 both use ~1o -1");
    }
    FOR_SEEDS(options) {
        const coir_options run = { .size = sizeof run, .cancel_rest = true };
        coir_resource *all = coir_resource_par_zip(2, (coir_resource *[]){ one(1), coir_resource_lift(after(10, noting("both"))) });
        coir_io *last = coir_finally(coir_never(), after(10, coir_with(all, noting("use"))));
        options->run = &run;
        CHECK_STR(simulated(options, coir_then(coir_fork(last), coir_sleep(coir_ms(5)))), "OK 0");
        CHECK_STR(notes(), "+1 both use ~1o -1");
    }
}

TEST(use, failures_of_the_acquisition_can_be_taken_and_those_of_the_use_not)
{
    RUNS(coir_use(coir_resource_catch(failing_one(5), in_place, NULL), look_at, NULL), "OK 0", "+5 use5 ~5o -5")
    RUNS(coir_use(coir_resource_catch(coir_resource_then(one(1), failing_one(5)), in_place, NULL), look_at, NULL), "OK 0",
         "+1 ~1e -1 +5 use5 ~5o -5")
    RUNS(coir_use(coir_resource_catch(one(1), in_place, NULL), fail_with, NULL), "ERROR 9", "+1 ~1e -1")
    RUNS(coir_use(coir_resource_recover(failing_one(5), in_place, NULL), look_at, NULL), "ERROR 5", "")
    RUNS(coir_use(coir_resource_attempt(coir_resource_then(one(1), failing_one(5))), look_at, NULL), "OK 0", "+1 ~1e -1 use0")
}

static coir_value one_more(void *env, coir_value *error) { (void)env; return coir_int(error->i64 + 1); }

TEST(use, map_error_is_for_the_acquisition)
{
    RUNS(coir_use(coir_resource_map_error(failing_one(5), one_more, NULL), look_at, NULL), "ERROR 6", "")
    RUNS(coir_use(coir_resource_map_error(one(1), one_more, NULL), fail_with, NULL), "ERROR 9", "+1 ~1e -1")
}

static coir_result note_context(void *env, const coir_value *context)
{
    note("%s%lld", (const char *)env, (long long)context->i64);
    return coir_ok(coir_none());
}
static coir_io *telling(const char *what) { return coir_defer_read(note_context, (void *)(uintptr_t)what); }
static coir_io *tell_release(void *env, coir_value *held, const coir_result *outcome)
{
    (void)env;
    (void)held;
    (void)outcome;
    return telling("release");
}

TEST(use, local_is_for_acquire_and_release)
{
    coir_value five = coir_int(5);
    RUNS(coir_local(coir_with(coir_resource_local(coir_resource_new(telling("acquire"), tell_release, NULL), five), telling("use")),
                    coir_int(1)),
         "OK 0", "acquire5 use1 release5")
}

/* The resource, used three times. */
static coir_io *three_uses(coir_resource *resource)
{
    coir_io *uses[3];
    for (int i = 0; i < 3; i++)
        uses[i] = coir_attempt(coir_with(coir_resource_ref(resource), coir_unit()));
    coir_resource_drop(resource);
    return coir_zip(3, uses);
}

TEST(use, a_context_that_cannot_be_shared_goes_to_the_first_use_and_the_others_panic)
{
    RUNS(three_uses(coir_resource_local(coir_resource_lift(coir_unit()), sole_thing(5))), "OK [<OK 0> <PANIC MISUSE> <PANIC MISUSE>]", "-5")
    RUNS(three_uses(coir_resource_local(coir_resource_lift(coir_unit()), thing(5))), "OK [<OK 0> <OK 0> <OK 0>]", "-5")
    coir_resource *resource = coir_resource_local(coir_resource_lift(coir_unit()), sole_thing(6));
    CHECK_CONTAINS(message_of(1, coir_then(coir_with(coir_resource_ref(resource), coir_unit()), coir_with(resource, coir_unit()))),
                   "a sole cannot be shared: the resource that carries it is used a second time");
    CHECK_STR(notes(), "-6");
    coir_resource_drop(coir_resource_local(coir_resource_lift(coir_unit()), sole_thing(7)));
    CHECK_STR(notes(), "-7");
}

TEST(use, finally_runs_after_the_release)
{
    RUNS(coir_use(coir_resource_finally(one(1), noting("last")), look_at, NULL), "OK 0", "+1 use1 ~1o -1 last")
    RUNS(coir_use(coir_resource_finally(failing_one(5), noting("last")), look_at, NULL), "ERROR 5", "last")
}

static coir_resource *made_anew(void *env) { (void)env; note("made"); return one(8); }

TEST(use, suspend_makes_it_anew)
{
    RUNS(coir_repeat(coir_use(coir_resource_suspend(made_anew, NULL), look_at, NULL), 2), "OK 0", "made +8 use8 ~8o -8 made +8 use8 ~8o -8")
}

TEST(use, lift_lends_a_value_and_drops_releases_by_dropping)
{
    RUNS(coir_use(coir_resource_lift(coir_pure(sole_thing(3))), look_at, NULL), "OK 0", "use3 -3")
    RUNS(coir_use(coir_resource_then(one(1), coir_resource_drops(coir_pure(sole_thing(3)))), look_at, NULL), "OK 0",
         "+1 use3 -3 ~1o -1")
}

TEST(use, locks_and_permits_are_resources)
{
    FOR_SEEDS(options) {
        coir_lock *lock = coir_lock_new();
        coir_semaphore *semaphore = coir_semaphore_new(3);
        coir_resource *both = coir_resource_then(coir_lock_held(lock), coir_permits(semaphore, 2));
        CHECK_STR(simulated(options, coir_with(both, coir_fail(coir_int(1)))), "ERROR 1");
        CHECK_INT(coir_semaphore_available(semaphore), 3);
        CHECK_STR(simulated(options, coir_lock_try(lock)), "PANIC MISUSE");     /* taken, so it was free, and never given back */
        coir_lock_drop(lock);
        coir_semaphore_drop(semaphore);
    }
}

/* ----------------------------------------------------------------------------------------------------- open and close */

static coir_io *close_it(void *env, coir_value *opened)
{
    (void)env;
    note("opened%d", thing_number(coir_opened_value(opened)));
    return coir_opened_close(coir_take(opened), NULL);
}

TEST(use, opened_here_and_closed_there)
{
    RUNS(coir_flat_map(coir_resource_open(coir_resource_then(one(1), one(2))), close_it, NULL), "OK 0", "+1 +2 opened2 ~2o -2 ~1o -1")
    RUNS(coir_then(coir_resource_open(one(1)), noting("forgotten")), "OK 0", "+1 -1 forgotten")
    RUNS(coir_opened_close(coir_int(3), NULL), "PANIC EINVAL", "")
    coir_value number = coir_int(3);
    CHECK_PTR(coir_opened_value(&number), NULL);
}

/* ----------------------------------------------------------------------------------------------------------- routines */

struct holder { coir_value first, second; int way; };
static coir_io *holder_step(coir_routine *self)
{
    COIR_BEGIN(self, struct holder, my);
    COIR_HOLD(my->first, one(1));
    COIR_AWAIT(coir_yield());
    COIR_HOLD(my->second, coir_resource_then(one(2), one(3)));
    note("body%d%d", thing_number(&my->first), thing_number(&my->second));
    COIR_AWAIT(coir_yield());
    if (my->way == 1)
        COIR_RAISE(coir_int(5));
    if (my->way == 2)
        COIR_BECOME(noting("became"));
    if (my->way == 3)
        COIR_AWAIT(coir_panicf("broken"));
    if (my->way == 4)
        COIR_AWAIT(coir_never());
    COIR_RETURN(coir_int(4));
    COIR_FINALLY;
    COIR_AWAIT(coir_yield());
    note("finally");
    COIR_END;
}
static coir_io *holding(int way) { return coir_do(holder_step, COIR_ENV(struct holder, .way = way)); }

TEST(use, a_routine_holds_to_its_end)
{
    RUNS(holding(0), "OK 4", "+1 +2 +3 body13 finally ~3o -3 ~2o -2 ~1o -1")
    RUNS(holding(1), "ERROR 5", "+1 +2 +3 body13 finally ~3e -3 ~2e -2 ~1e -1")
    RUNS(holding(2), "OK 0", "+1 +2 +3 body13 finally ~3o -3 ~2o -2 ~1o -1 became")
    RUNS(holding(3), "PANIC MISUSE", "+1 +2 +3 body13 finally ~3p -3 ~2p -2 ~1p -1")
    RUNS(coir_timeout_to(holding(4), coir_ms(5), noting("instead")), "OK 0", "+1 +2 +3 body13 finally ~3c -3 ~2c -2 ~1c -1 instead")
    coir_io *shared = holding(0);
    RUNS(coir_repeat(coir_io_ref(shared), 1), "OK 4", "+1 +2 +3 body13 finally ~3o -3 ~2o -2 ~1o -1")
    coir_io_drop(shared);
}

TEST(use, what_is_to_be_held_and_is_awaited_elsewhere_is_a_panic)
{
    RUNS(coir_resource_hold_(one(1)), "PANIC MISUSE", "+1 ~1p -1")
}

/* ---------------------------------------------------------------------------------------------------------- cancellation */

/* A broad program of resources. */
static coir_io *broad(void)
{
    coir_resource *deep = coir_resource_catch(coir_resource_then(one(2), failing_one(5)), in_place, NULL);
    coir_resource *side = coir_resource_par_zip(2, (coir_resource *[]){ one(6), one(7) });
    coir_resource *all = coir_resource_zip(3, (coir_resource *[]){ coir_resource_map(one(1), ten_times, NULL), deep, side });
    return coir_with(coir_resource_then(all, coir_resource_flat_map(one(3), next_one, NULL)), coir_then(coir_yield(), holding(0)));
}

/* How often a character follows another one in the text. */
static int count_of(const char *text, char mark, int number)
{
    int count = 0;
    for (const char *c = text; *c != '\0'; c++)
        count += *c == mark && atoi(c + 1) == number;
    return count;
}

static coir_io *keep_self(void *place, coir_value *self)
{
    *(coir_fiber **)place = coir_fiber_ref(coir_fiber_of(self));
    return broad();
}

TEST(use, canceled_at_any_step_everything_is_given_back_once)
{
    int hits = 0, clean = 0;
    bool ended = false;
    for (uint64_t step = 1; !ended; step++) {
        CASE("step %llu", (unsigned long long)step);
        coir_fiber *self = NULL;
        coir_sim *sim = coir_sim_open(coir_flat_map(coir_self(), keep_self, &self), COIR_SIM_OPTIONS(.seed = step));
        CHECK(sim != NULL);
        coir_sim_state state = COIR_SIM_RUNNABLE;
        for (uint64_t i = 0; i < step && state == COIR_SIM_RUNNABLE; i++)
            state = coir_sim_tick_one(sim);
        ended = state == COIR_SIM_ENDED;
        coir_fiber_cancel(self);
        CHECK_INT(coir_sim_tick_all(sim), COIR_SIM_ENDED);
        const char *noted = notes();
        for (int thing = 1; thing <= 7; thing++) {
            CHECK_INT(count_of(noted, '+', thing), count_of(noted, '~', thing));
            CHECK_INT(count_of(noted, '+', thing), count_of(noted, '-', thing));
            hits += count_of(noted, '+', thing) > 0;
        }
        clean += coir_sim_result(sim)->tag == COIR_OK;
        CHECK_INT(atomic_load(&things_alive), 0);
        coir_sim_drop(sim);
        coir_fiber_drop(self);
    }
    CHECK(hits > 50);
    CHECK(clean > 0);
}

TEST(use, a_cancel_waits_behind_acquire_and_release_and_is_seen_between)
{
    /* The main fiber is asked to end while it acquires the first: that one is released, the second is not acquired. */
    coir_io *ask = coir_then(coir_cancel_self(), coir_yield());
    FOR_SEEDS(options) {
        coir_resource *first = coir_resource_new(coir_then(coir_io_ref(ask), noting("acquired")), release_thing, NULL);
        CHECK_STR(simulated(options, coir_use(coir_resource_then(first, one(2)), look_at, NULL)), "CANCELED 0");
        CHECK_STR(notes(), "acquired ~-1c");
    }
    FOR_SEEDS(options) {
        coir_resource *open = coir_resource_new(coir_then(coir_io_ref(ask), coir_cancelable(noting("not reached"))), release_thing, NULL);
        CHECK_STR(simulated(options, coir_use(open, look_at, NULL)), "CANCELED 0");
        CHECK_STR(notes(), "");
    }
    coir_io_drop(ask);
}

TEST(use, inside_a_mask_the_use_is_masked_too)
{
    FOR_SEEDS(options) {
        coir_io *body = coir_sequence(COIR_IOS(coir_cancel_self(), coir_yield(), noting("masked")));
        CHECK_STR(simulated(options, coir_then(coir_uncancelable(coir_with(one(1), body)), noting("behind"))), "CANCELED 0");
        CHECK_STR(notes(), "+1 masked ~1o -1");
    }
}
