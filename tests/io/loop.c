/*
 * loop.c - tests of loops: what they give, what they are lent, and that they hold no more after ten million rounds than after ten
 */
#include "program.h"

/* ---------------------------------------------------------------------------------------------------------- iterate */

static coir_io *count_to(void *env, coir_value *state)
{
    const int64_t *limit = env;
    return state->i64 == *limit ? coir_pure(coir_int(-1)) : coir_again(coir_int(state->i64 + 1));
}

static coir_io *things_to_3(void *env, coir_value *state)
{
    (void)env;
    int number = thing_number(state);
    note("fn %d", number);
    return coir_then(noting("inner"), number == 3 ? coir_pure(coir_take(state)) : coir_again(thing(number + 1)));
}

static coir_io *same_thrice(void *env, coir_value *state)
{
    int *calls = env;
    return ++*calls == 3 ? coir_pure(coir_take(state)) : coir_again(coir_take(state));
}

static coir_io *fail_at_3(void *env, coir_value *state)
{
    const coir_tag *tag = env;
    return thing_number(state) == 3 ? ending(*tag, 7) : coir_again(thing(thing_number(state) + 1));
}

TEST(io_loop, iterate_goes_round_with_again_and_gives_any_other_value)
{
    int64_t limit = 1000;
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *io = coir_io_ref(coir_iterate(coir_int(0), count_to, &limit));
        CHECK_STR(outcome(workers, io), "OK -1");
        CHECK_STR(outcome(workers, io), "OK -1");
    }
    CHECK_STR(outcome(1, coir_iterate_copy(coir_int(0), count_to, &limit, sizeof limit)), "OK -1");
}

TEST(io_loop, iterate_drops_each_state_when_its_round_has_ended)
{
    CHECK_STR(outcome(1, coir_iterate(thing(1), things_to_3, NULL)), "OK thing 3");
    CHECK_STR(notes(), "fn 1 inner -1 fn 2 inner -2 fn 3 inner -3");
}

TEST(io_loop, iterate_may_take_its_state_round_again)
{
    for (int shared = 0; shared < 2; shared++) {
        int calls = 0;
        coir_io *io = coir_iterate(sole_thing(1), same_thrice, &calls);
        CHECK_STR(outcome(1, shared ? coir_io_ref(io) : io), "OK thing 1");
        if (shared)
            coir_io_drop(io);
        CHECK_STR(notes(), "-1");
    }
}

TEST(io_loop, iterate_stops_at_what_is_not_OK)
{
    static const char *const expected[] = { "OK 7", "ERROR 7", "PANIC 7", "CANCELED 7" };
    for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
        CHECK_STR(outcome(1, coir_iterate(thing(1), fail_at_3, &tag)), expected[tag]);
        CHECK_STR(notes(), "-1 -2 -3");
    }
}

static coir_io *shared_again(void *env, coir_value *state)
{
    coir_io *again = env;
    return thing_number(state) == 5 ? coir_pure(coir_int(5)) : coir_io_ref(again);
}

TEST(io_loop, one_again_may_be_given_by_many)
{
    coir_io *again = coir_again(thing(5));
    CHECK_STR(outcome(1, coir_iterate(thing(1), shared_again, again)), "OK 5");
    CHECK_STR(notes(), "-1");
    CHECK_STR(outcome(1, coir_iterate(thing(2), shared_again, again)), "OK 5");
    CHECK_STR(notes(), "-2");
    coir_io_drop(again);
    CHECK_STR(notes(), "-5");
}

static coir_io *again_through_others(void *env, coir_value *state)
{
    (void)env;
    if (state->i64 == 4)
        return coir_pure(coir_int(state->i64));
    return coir_finally(coir_or_else(coir_fail(coir_none()), coir_named(coir_again(coir_int(state->i64 + 1)), "again")), noting("x"));
}

TEST(io_loop, again_may_come_out_of_other_ios) { CHECK_STR(outcome(1, coir_iterate(coir_int(0), again_through_others, NULL)), "OK 4"); }

TEST(io_loop, iterate_dropped_unrun_drops_its_state)
{
    coir_io_drop(coir_iterate(thing(1), things_to_3, NULL));
    coir_io_drop(coir_again(thing(2)));
    CHECK_STR(notes(), "-1 -2");
}

/* ------------------------------------------------------------------------------------------ repeat, forever, while */

struct counter { atomic_int calls; int limit; coir_tag tag; };

/* OK with how often it was called; at the limit it ends with `tag`. */
static coir_result tick(void *env)
{
    struct counter *counter = env;
    int calls = atomic_fetch_add(&counter->calls, 1) + 1;
    return coir_result_of(calls == counter->limit ? counter->tag : COIR_OK, coir_int(calls));
}

static coir_result tick_thing(void *env)
{
    coir_result result = tick(env);
    result.value = thing((int)result.value.i64);
    return result;
}

TEST(io_loop, repeat_gives_the_last_value_and_of_0_times_none)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (uint64_t times = 0; times < 5; times++) {
            struct counter counter = { .limit = -1 };
            coir_result result = run(workers, coir_repeat(coir_defer(tick, &counter), times));
            CHECK_OK_INT(result, (int64_t)times);
            CHECK_INT(counter.calls, (int)times);
        }
    coir_io_drop(coir_repeat(coir_pure(thing(1)), 0));
    CHECK_STR(outcome(1, coir_repeat(coir_pure(thing(2)), 0)), "OK 0");
    CHECK_STR(notes(), "-1 -2");
}

TEST(io_loop, loops_stop_at_the_first_result_that_is_not_OK)
{
    static const char *const expected[] = { "", "ERROR thing 3", "PANIC thing 3", "CANCELED thing 3" };
    for (coir_tag tag = COIR_ERROR; tag <= COIR_CANCELED; tag++)
        for (int shared = 0; shared < 2; shared++) {
            struct counter counter = { .limit = 3, .tag = tag };
            coir_io *ios[] = {
                coir_repeat(coir_defer(tick_thing, &counter), 10), coir_repeat(coir_defer(tick_thing, &counter), UINT64_MAX),
                coir_forever(coir_defer(tick_thing, &counter))
            };
            for (size_t i = 0; i < sizeof ios / sizeof *ios; i++) {
                CASE("%zu, tag %d, %d", i, (int)tag, shared);
                counter.calls = 0;
                CHECK_STR(outcome(1, shared ? coir_io_ref(ios[i]) : ios[i]), expected[tag]);
                CHECK_STR(notes(), "-1 -2 -3");
                if (shared)
                    coir_io_drop(ios[i]);
            }
        }
}

static bool below(void *env, const coir_value *v) { return v->i64 < *(const int64_t *)env; }
static bool below_thing(void *env, const coir_value *v) { note("?%d", thing_number(v)); return thing_number(v) < *(const int64_t *)env; }

TEST(io_loop, while_gives_the_value_that_ends_it)
{
    int64_t limit = 5;
    FOR_WORKERS(workers, 1, 2, 4) {
        struct counter counter = { .limit = -1 };
        coir_result result = run(workers, coir_while(coir_defer(tick, &counter), below, &limit));
        CHECK_OK_INT(result, 5);
        CHECK_INT(counter.calls, 5);
    }
    struct counter counter = { .limit = -1 };
    coir_result result = run(1, coir_while_copy(coir_defer(tick, &counter), below, &limit, sizeof limit));
    CHECK_OK_INT(result, 5);
    limit = 3;
    counter.calls = 0;
    CHECK_STR(outcome(1, coir_while(coir_defer(tick_thing, &counter), below_thing, &limit)), "OK thing 3");
    CHECK_STR(notes(), "?1 -1 ?2 -2 ?3 -3");
}

TEST(io_loop, while_stops_at_a_failure_without_asking)
{
    for (coir_tag tag = COIR_ERROR; tag <= COIR_CANCELED; tag++) {
        int64_t limit = 100;
        struct counter counter = { .limit = 2, .tag = tag };
        coir_result result = run(1, coir_while(coir_defer(tick_thing, &counter), below_thing, &limit));
        CHECK_TAG(result, tag);
        coir_result_drop(&result);
        CHECK_STR(notes(), "?1 -1 -2");
    }
}

TEST(io_loop, body_of_a_loop_is_run_anew_and_dropped_once)
{
    coir_io *body = coir_then_keep(coir_pure(thing(3)), coir_yield());
    CHECK_STR(outcome(2, coir_repeat(coir_repeat(body, 3), 3)), "OK thing 3");
    CHECK_STR(notes(), "-3");
}

/* --------------------------------------------------------------------------------------------------------- for_each */

static coir_result things_then_none(void *env)
{
    struct counter *counter = env;
    int calls = atomic_fetch_add(&counter->calls, 1) + 1;
    return coir_ok(calls > counter->limit ? coir_none() : thing(calls));
}

static coir_io *leave(void *env, coir_value *v) { (void)env; note("fn %d", thing_number(v)); return noting("inner"); }
static coir_io *take_and_drop(void *env, coir_value *v)
{
    (void)env;
    coir_value mine = coir_take(v);
    coir_drop(mine);
    return coir_pure(thing(100));
}
static coir_io *fail_on_2(void *env, coir_value *v)
{
    const coir_tag *tag = env;
    return thing_number(v) == 2 ? ending(*tag, 7) : coir_unit();
}

TEST(io_loop, for_each_lends_what_next_gives_until_it_gives_none)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        struct counter counter = { .limit = 3 };
        CHECK_STR(outcome(workers, coir_for_each(coir_defer(things_then_none, &counter), leave, NULL)), "OK 0");
        CHECK_STR(notes(), "fn 1 inner -1 fn 2 inner -2 fn 3 inner -3");
    }
    struct counter counter = { .limit = 2 };
    CHECK_STR(outcome(1, coir_for_each_copy(coir_defer(things_then_none, &counter), take_and_drop, "x", 1)), "OK 0");
    CHECK_STR(notes(), "-1 -100 -2 -100");
    counter = (struct counter){ .limit = 0 };
    CHECK_STR(outcome(1, coir_for_each(coir_defer(things_then_none, &counter), leave, NULL)), "OK 0");
    CHECK_STR(notes(), "");
}

TEST(io_loop, for_each_stops_at_a_failure_of_either)
{
    for (coir_tag tag = COIR_ERROR; tag <= COIR_CANCELED; tag++) {
        struct counter counter = { .limit = 9 };
        coir_result result = run(1, coir_for_each(coir_defer(things_then_none, &counter), fail_on_2, &tag));
        CHECK_TAG(result, tag);
        CHECK_STR(notes(), "-1 -2");
        counter = (struct counter){ .limit = 2, .tag = tag };
        result = run(1, coir_for_each(coir_defer(tick_thing, &counter), leave, NULL));
        CHECK_TAG(result, tag);
        coir_result_drop(&result);
        CHECK_STR(notes(), "fn 1 inner -1 -2");
    }
}

/* -------------------------------------------------------------------------------------------------------------- rec */

static coir_io *rec_down(void *env, coir_io *self)
{
    struct counter *counter = env;
    return --counter->limit < 0 ? coir_pure(coir_int(atomic_load(&counter->calls)))
                                : coir_then(coir_defer(tick, counter), coir_io_ref(self));
}

TEST(io_loop, rec_calls_itself)
{
    for (int shared = 0; shared < 2; shared++) {
        struct counter counter = { .limit = 10 };
        coir_io *io = coir_rec(rec_down, &counter);
        CHECK_STR(outcome(1, shared ? coir_io_ref(io) : io), "OK 10");
        if (shared) {
            counter.limit = 5;
            CHECK_STR(outcome(2, io), "OK 15");
        }
    }
}

static coir_io *rec_twice(void *env, coir_io *self)
{
    struct counter *counter = env;
    if (atomic_load(&counter->calls) >= 1000)
        return coir_pure(coir_int(1));
    return coir_zip(COIR_IOS(coir_defer(tick, counter), coir_catch_code(coir_io_ref(self), 3, coir_unit())));
}

static coir_io *rec_down_at(void *counter, coir_io *self) { return rec_down(*(struct counter **)counter, self); }

TEST(io_loop, rec_may_call_itself_not_in_tail_position)
{
    struct counter counter = { .limit = 3 }, *at = &counter;
    coir_result result = run(1, coir_rec_copy(rec_down_at, &at, sizeof at));
    CHECK_OK_INT(result, 3);
    counter = (struct counter){ .limit = -1 };
    result = run(1, coir_rec(rec_twice, &counter));
    CHECK_TAG(result, COIR_OK);
    coir_result_drop(&result);
}

static coir_io *rec_forgets(void *env, coir_io *self) { (void)env; (void)self; return coir_pure(thing(3)); }

TEST(io_loop, rec_need_not_call_itself)
{
    CHECK_STR(outcome(1, coir_rec(rec_forgets, NULL)), "OK thing 3");
    CHECK_STR(notes(), "-3");
    coir_io_drop(coir_rec(rec_forgets, NULL));
}

/* -------------------------------------------------------------------------------------------------- in constant memory */

enum { SMALL = 4 << 20 };                               /* bytes: less than ten million of anything */

static int64_t rounds(void) { return scaled(10000000); }

static bool below_rounds(void *env, const coir_value *v) { (void)env; return v->i64 < rounds(); }
static coir_io *count_things(void *env, coir_value *state)
{
    int64_t *count = env;
    (void)state;
    return ++*count == rounds() / 10 ? coir_pure(coir_int(-1)) : coir_again(coir_stringf("%d", (int)*count));
}
static coir_result again_until_rounds(void *env)
{
    int64_t *count = env;
    return ++*count >= rounds() ? coir_raise(coir_int(1)) : coir_ok(coir_int(*count));
}
static coir_result count_up(void *env)
{
    int64_t *count = env;
    return coir_ok(coir_int(++*count));
}
static coir_result none_at_rounds(void *env)
{
    int64_t *count = env;
    return coir_ok(coir_int(++*count >= rounds() ? 0 : *count));
}
static coir_result fail_until_rounds(void *env)
{
    int64_t *count = env;
    return ++*count >= rounds() ? coir_ok(coir_int(-1)) : coir_raise(coir_int(*count));
}
static coir_result fail_with_strings_until_rounds(void *env)
{
    int64_t *count = env;
    return ++*count >= rounds() / 10 ? coir_ok(coir_int(-1)) : coir_raise(coir_stringf("%d", (int)*count));
}
static coir_result strings_until_rounds(void *env)
{
    int64_t *count = env;
    return coir_ok(++*count >= rounds() / 10 ? coir_none() : coir_stringf("%d", (int)*count));
}
static coir_io *ignore_it(void *env, coir_value *v) { (void)env; (void)v; return coir_unit(); }
static coir_io *tail_flat_map(void *env, coir_value *v)
{
    (void)env;
    return v->i64 == rounds() ? coir_pure(coir_int(-1)) : coir_flat_map(coir_pure(coir_int(v->i64 + 1)), tail_flat_map, NULL);
}
static coir_io *tail_flat_map_taking(void *env, coir_value *v)
{
    int64_t *count = env;
    coir_value mine = coir_take(v);
    return ++*count == rounds() / 10 ? coir_as(coir_unit(), mine) : coir_flat_map(coir_pure(mine), tail_flat_map_taking, env);
}
static coir_io *tail_catch(void *env, coir_value *v)
{
    (void)env;
    return v->i64 == rounds() ? coir_pure(coir_int(-1)) : coir_catch(coir_fail(coir_int(v->i64 + 1)), tail_catch, NULL);
}
static coir_io *tail_suspend(void *env)
{
    int64_t *count = env;
    return ++*count == rounds() ? coir_pure(coir_int(-1)) : coir_suspend(tail_suspend, env);
}
static coir_io *tail_suspend_then(void *env)
{
    int64_t *count = env;
    return ++*count == rounds() ? coir_pure(coir_int(-1)) : coir_then(coir_unit(), coir_suspend(tail_suspend_then, env));
}
static coir_io *tail_sequence(void *env)
{
    int64_t *count = env;
    return ++*count == rounds() ? coir_pure(coir_int(-1)) : coir_sequence(COIR_IOS(coir_unit(), coir_suspend(tail_sequence, env)));
}
static coir_io *tail_call(void *env, coir_value *v)
{
    (void)env;
    return v->i64 == rounds() ? coir_pure(coir_int(-1)) : coir_call(coir_int(v->i64 + 1), tail_call, NULL);
}
static coir_io *tail_rec(void *env, coir_io *self)
{
    int64_t *count = env;
    return ++*count == rounds() ? coir_pure(coir_int(-1)) : coir_then(coir_unit(), coir_io_ref(self));
}
static coir_io *tail_rec_bare(void *env, coir_io *self)
{
    int64_t *count = env;
    return ++*count == rounds() ? coir_pure(coir_int(-1)) : coir_io_ref(self);
}
static coir_io *tail_named(void *env)
{
    int64_t *count = env;
    return ++*count == rounds() / 10 ? coir_pure(coir_int(-1)) : coir_named(coir_suspend(tail_named, env), "again");
}
struct owned_count { int64_t *count; };
static coir_io *tail_owning(void *env)
{
    const struct owned_count *own = env;
    int64_t *count = own->count;
    if (++*count == rounds() / 10)
        return coir_pure(coir_int(-1));
    struct owned_count *next = malloc(sizeof *next);
    if (next == NULL)
        abort();
    next->count = count;
    return coir_owns(coir_suspend(tail_owning, next), next, free);
}
static coir_io *tail_redeem(void *env, coir_result *r)
{
    (void)env;
    return r->value.i64 == rounds() ? coir_pure(coir_int(-1)) : coir_redeem(coir_pure(coir_int(r->value.i64 + 1)), tail_redeem, NULL);
}

/* A shared io that runs itself in tail position by way of its env: the pins replace each other. */
static coir_io *tail_shared(void *env)
{
    struct { coir_io *self; int64_t count; } *own = env;
    return ++own->count == rounds() ? coir_pure(coir_int(-1)) : coir_then(coir_unit(), coir_io_ref(own->self));
}

struct loop_step { int64_t count; };
static coir_io *routine_loop(coir_routine *self)
{
    COIR_BEGIN(self, struct loop_step, my);
    for (my->count = 0; my->count < rounds(); my->count++)
        COIR_AWAIT(coir_unit());
    COIR_RETURN(coir_int(-1));
    COIR_END;
}
static coir_io *routine_trying_loop(coir_routine *self)
{
    COIR_BEGIN(self, struct loop_step, my);
    for (my->count = 0; my->count < rounds() / 10; my->count++)
        COIR_TRY(my->count % 2 == 0 ? coir_pure(coir_stringf("%d", 1)) : coir_failf(1, "x"));
    COIR_RETURN(coir_int(-1));
    COIR_END;
}
static coir_io *routine_becoming(coir_routine *self)
{
    COIR_BEGIN(self, struct loop_step, my);
    COIR_AWAIT(coir_unit());
    if (my->count == rounds() / 10)
        COIR_RETURN(coir_int(-1));
    COIR_BECOME(coir_do(routine_becoming, COIR_ENV(struct loop_step, .count = my->count + 1)));
    COIR_END;
}
static coir_io *routine_becoming_finally(coir_routine *self)
{
    COIR_BEGIN(self, struct loop_step, my);
    COIR_AWAIT(coir_unit());
    if (my->count == rounds() / 10)
        COIR_RETURN(coir_int(-1));
    COIR_BECOME(coir_do(routine_becoming_finally, COIR_ENV(struct loop_step, .count = my->count + 1)));
    COIR_FINALLY;
    COIR_AWAIT(coir_unit());
    COIR_END;
}

static void check_constant(unsigned workers, const char *name, coir_io *io, const char *expected)
{
    CASE("%s", name);
    long long peak = peak_of(workers, io, expected);
    if (peak > SMALL)
        CHECK_FAIL("it held %lld bytes", peak);
}

static void loops_in_constant_memory(unsigned workers)
{
    watch_memory();
    int64_t limit = rounds(), count = 0;
    check_constant(workers, "iterate", coir_iterate(coir_int(0), count_to, &limit), "OK -1");
    check_constant(workers, "iterate over strings", coir_iterate(coir_stringf("0"), count_things, &count), "OK -1");
    check_constant(workers, "repeat", coir_as(coir_repeat(coir_then(coir_unit(), coir_unit()), (uint64_t)rounds()), coir_int(-1)), "OK -1");
    count = 0;
    check_constant(workers, "forever", coir_forever(coir_defer(again_until_rounds, &count)), "ERROR 1");
    count = 0;
    check_constant(workers, "while", coir_as(coir_while(coir_defer(count_up, &count), below_rounds, NULL), coir_int(-1)), "OK -1");
    count = 0;
    check_constant(workers, "for_each", coir_for_each(coir_defer(none_at_rounds, &count), ignore_it, NULL), "OK 0");
    count = 0;
    check_constant(workers, "for_each over strings", coir_for_each(coir_defer(strings_until_rounds, &count), ignore_it, NULL), "OK 0");
    count = 0;
    coir_schedule *always = coir_schedule_recurs(UINT64_MAX);
    check_constant(workers, "retry", coir_retry_by(coir_defer(fail_until_rounds, &count), coir_schedule_ref(always)), "OK -1");
    count = 0;
    check_constant(workers, "retry after strings", coir_retry_by(coir_defer(fail_with_strings_until_rounds, &count),
                   coir_schedule_within(coir_schedule_jittered(coir_schedule_ref(always), 0.5), coir_seconds(100000))), "OK -1");
    check_constant(workers, "repeat_by", coir_as(coir_repeat_by(coir_then(coir_unit(), coir_unit()),
                   coir_schedule_recurs((uint64_t)rounds())), coir_int(-1)), "OK -1");
    coir_schedule_drop(always);
    check_constant(workers, "tail flat_map", coir_call(coir_int(0), tail_flat_map, NULL), "OK -1");
    count = 0;
    check_constant(workers, "tail flat_map that takes", coir_call(coir_stringf("s"), tail_flat_map_taking, &count), "OK s");
    check_constant(workers, "tail catch", coir_call(coir_int(0), tail_catch, NULL), "OK -1");
    check_constant(workers, "tail redeem", coir_redeem(coir_pure(coir_int(0)), tail_redeem, NULL), "OK -1");
    check_constant(workers, "tail call", coir_call(coir_int(0), tail_call, NULL), "OK -1");
    count = 0;
    check_constant(workers, "tail suspend", coir_suspend(tail_suspend, &count), "OK -1");
    count = 0;
    check_constant(workers, "tail then", coir_suspend(tail_suspend_then, &count), "OK -1");
    count = 0;
    check_constant(workers, "tail sequence", coir_suspend(tail_sequence, &count), "OK -1");
    count = 0;
    check_constant(workers, "rec", coir_rec(tail_rec, &count), "OK -1");
    count = 0;
    check_constant(workers, "rec itself", coir_rec(tail_rec_bare, &count), "OK -1");
    count = 0;
    check_constant(workers, "tail named", coir_suspend(tail_named, &count), "OK -1");
    count = 0;
    check_constant(workers, "tail of what owns its env", coir_suspend(tail_owning, &(struct owned_count){ &count }), "OK -1");
    struct { coir_io *self; int64_t count; } own = { NULL, 0 };
    own.self = coir_suspend(tail_shared, &own);
    check_constant(workers, "tail of a shared io", coir_io_ref(own.self), "OK -1");
    coir_io_drop(own.self);
    check_constant(workers, "routine", coir_do(routine_loop, COIR_ENV(struct loop_step, 0)), "OK -1");
    check_constant(workers, "routine that tries", coir_do(routine_trying_loop, COIR_ENV(struct loop_step, 0)), "OK -1");
    check_constant(workers, "become", coir_do(routine_becoming, COIR_ENV(struct loop_step, 0)), "OK -1");
    check_constant(workers, "become with finally", coir_do(routine_becoming_finally, COIR_ENV(struct loop_step, 0)), "OK -1");
}

TEST_ALONE(io_loop, ten_million_rounds_hold_no_more_memory_than_ten) { loops_in_constant_memory(1); }
TEST_ALONE(io_loop, ten_million_rounds_on_two_workers_hold_no_more_memory_than_ten) { loops_in_constant_memory(2); }

/* The same for what is borrowed: a shared loop makes frames, and must not keep them. */
TEST_ALONE(io_loop, rounds_of_a_shared_loop_hold_no_more_memory_than_ten)
{
    watch_memory();
    uint64_t times = (uint64_t)rounds() / 10;
    coir_io *bodies[] = {
        coir_then(coir_unit(), coir_unit()), coir_finally(coir_unit(), coir_unit()), coir_zip(COIR_IOS(coir_unit(), coir_unit())),
        coir_attempt(coir_fail(coir_int(1))), coir_catch(coir_fail(coir_stringf("x")), ignore_it, NULL),
        coir_local(coir_ask(), coir_int(1)), coir_call(coir_stringf("x"), ignore_it, NULL), coir_repeat(coir_unit(), 3),
        coir_do(routine_becoming, COIR_ENV(struct loop_step, .count = rounds() / 10)), coir_named(coir_unit(), "named"),
        coir_as(coir_unit(), coir_stringf("x")), coir_yield(), coir_or_else(coir_failf(1, "x"), coir_unit()),
        coir_or_else(coir_retry(coir_failf(1, "x"), COIR_POLICY(.tries_max = 2)), coir_unit())
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        CASE("%zu", i);
        char name[32];
        snprintf(name, sizeof name, "body %zu", i);
        check_constant(1, name, coir_as(coir_repeat(bodies[i], times), coir_int(-1)), "OK -1");
    }
}
