/*
 * instructions.c - each instruction by itself, owned, shared, and in a fiber of its own
 *
 * Each is built when its turn comes, and attempted: where it lacks memory the others go on. Shared means twice under one reference each: the
 * first time borrowed, the second time owned by the last who has it.
 */
#include "fault.h"

#include <coir/do.h>

/* A number that is copied with the callback, or lent, or owned. */
struct number { int n; };
static struct number lent_number = { 1 };
#define COPIED COIR_ENV(struct number, 2)
static int number_of(const void *env) { return ((const struct number *)env)->n; }

/* ---------------------------------------------------------------------------------------------------------- callbacks */

static coir_value text_of(void *env, const coir_value *value)
{
    return is_thing(value) ? coir_stringf("%d.%d", number_of(env), thing_number(value))
                           : coir_stringf("%d:%s", number_of(env), coir_text(value));
}

static coir_value map_text(void *env, coir_value *value)    { return text_of(env, value); }
static coir_io *io_text(void *env, coir_value *value)       { return coir_pure(text_of(env, value)); }
static coir_result give_text(void *env)                     { return coir_ok(coir_stringf("%d", number_of(env))); }
static coir_io *io_of_text(void *env)                       { return coir_pure(coir_stringf("%d", number_of(env))); }
static void look(void *env, const coir_value *value)        { coir_drop(text_of(env, value)); }
static coir_io *indexed(void *env, size_t index)            { return coir_pure(coir_stringf("%d-%zu", number_of(env), index)); }
static coir_io *redeemed(void *env, coir_result *result)    { (void)env; return coir_pure(coir_box(coir_result_take(result))); }
static coir_io *looked_on(void *env, const coir_result *result)
{
    return coir_map_copy(coir_pure(coir_box(coir_result_share(result))), map_text, env, sizeof(struct number));
}
static coir_value because(void *env, coir_value *value)
{
    return coir_error_because(coir_errorf(number_of(env), "because"), coir_take(value));
}
static coir_result read_text(void *env, const coir_value *context) { return coir_ok(text_of(env, context)); }
static coir_value changed(void *env, const coir_value *context)    { return text_of(env, context); }

/* ---------------------------------------------------------------------------------------- constant, deferred, chained */

static coir_io *string(void)                { return coir_pure(coir_stringf("text")); }
static coir_io *some_thing(void)            { return coir_pure(thing(1)); }
static coir_io *failing(void)               { return coir_fail(coir_errorf(5, "fifth")); }
static coir_io *failing_with_thing(void)    { return coir_fail(thing(5)); }
static coir_io *panicking(void)             { return coir_panicf("a %s", "panic"); }
static coir_io *nothing(void)               { return coir_unit(); }
static coir_io *both_failed(void)           { return coir_from_result(coir_result_and(coir_raise(thing(1)), coir_raise(thing(2)))); }
static coir_io *deferred(void)              { return coir_defer(give_text, &lent_number); }
static coir_io *deferred_copy(void)         { return coir_defer_copy(give_text, COPIED); }
static coir_io *suspended(void)             { return coir_suspend(io_of_text, &lent_number); }
static coir_io *suspended_copy(void)        { return coir_suspend_copy(io_of_text, COPIED); }
static coir_io *called(void)                { return coir_call(thing(1), io_text, &lent_number); }
static coir_io *called_copy(void)           { return coir_call_copy(thing(1), io_text, COPIED); }
static coir_io *mapped(void)                { return coir_map(some_thing(), map_text, &lent_number); }
static coir_io *mapped_copy(void)           { return coir_map_copy(some_thing(), map_text, COPIED); }
static coir_io *bound(void)                 { return coir_flat_map(some_thing(), io_text, &lent_number); }
static coir_io *bound_copy(void)            { return coir_flat_map_copy(some_thing(), io_text, COPIED); }
static coir_io *then(void)                  { return coir_then(some_thing(), string()); }
static coir_io *then_keep(void)             { return coir_then_keep(some_thing(), string()); }
static coir_io *as(void)                    { return coir_as(string(), thing(1)); }
static coir_io *tapped(void)                { return coir_tap(some_thing(), look, &lent_number); }
static coir_io *tapped_copy(void)           { return coir_tap_copy(some_thing(), look, COPIED); }
static coir_io *flattened(void)             { return coir_flatten(coir_pure(coir_io_value(some_thing()))); }
static coir_io *when_not(void)              { return coir_when(false, some_thing()); }
static coir_io *when_so(void)               { return coir_when(true, some_thing()); }
static coir_io *sequenced(void)             { return coir_sequence(COIR_IOS(some_thing(), string(), mapped())); }
static coir_io *sequence_of_none(void)      { return coir_sequence(0, NULL); }
static coir_io *zipped(void)                { return coir_zip(COIR_IOS(some_thing(), string(), mapped())); }
static coir_io *zip_of_none(void)           { return coir_zip(0, NULL); }
static coir_io *zip_that_fails(void)        { return coir_zip(COIR_IOS(some_thing(), failing(), string())); }
static coir_io *traversed(void)             { return coir_traverse(3, indexed, &lent_number); }
static coir_io *traversed_copy(void)        { return coir_traverse_copy(3, indexed, COPIED); }
static coir_value two_things(void)          { return coir_list(2, (coir_value[]){ thing(1), thing(2) }); }
static coir_io *each(void)                  { return coir_each(two_things(), io_text, &lent_number); }
static coir_io *each_copy(void)             { return coir_each_copy(two_things(), io_text, COPIED); }
static coir_io *named(void)                 { return coir_named(some_thing(), "a name"); }
static coir_io *yielding(void)              { return coir_then(coir_yield(), some_thing()); }

/* The numbers that ios own. */
static atomic_int owned;
static void *owned_number(void)
{
    struct number *number = malloc(sizeof *number);
    if (number == NULL)
        abort();
    number->n = 3;
    atomic_fetch_add(&owned, 1);
    return number;
}
static void owned_drop(void *number)
{
    atomic_fetch_sub(&owned, 1);
    free(number);
}
static coir_io *mapped_owning(void)
{
    struct number *number = owned_number();
    return coir_owns(coir_map(some_thing(), map_text, number), number, owned_drop);
}
static coir_io *sequence_owning(void)
{
    struct number *number = owned_number();
    return coir_owns(coir_then(coir_defer(give_text, number), coir_map(some_thing(), map_text, number)), number, owned_drop);
}

/* ----------------------------------------------------------------------------------------------------------- failures */

static coir_io *attempted(void)             { return coir_attempt(failing_with_thing()); }
static coir_io *redeeming(void)             { return coir_redeem(failing_with_thing(), redeemed, &lent_number); }
static coir_io *redeeming_copy(void)        { return coir_redeem_copy(both_failed(), redeemed, COPIED); }
static coir_io *caught(void)                { return coir_catch(failing_with_thing(), io_text, &lent_number); }
static coir_io *caught_copy(void)           { return coir_catch_copy(both_failed(), io_text, COPIED); }
static coir_io *caught_code(void)           { return coir_catch_code(failing(), 5, some_thing()); }
static coir_io *other_code(void)            { return coir_catch_code(failing(), 6, some_thing()); }
static coir_io *or_else(void)               { return coir_or_else(both_failed(), some_thing()); }
static coir_io *no_else(void)               { return coir_or_else(some_thing(), string()); }
static coir_io *thing_panics(void)          { return coir_from_result(coir_panic(thing(3))); }
static coir_io *recovered(void)             { return coir_recover(thing_panics(), io_text, &lent_number); }
static coir_io *recovered_copy(void)        { return coir_recover_copy(thing_panics(), io_text, COPIED); }
static coir_io *error_mapped(void)          { return coir_map_error(both_failed(), because, &lent_number); }
static coir_io *error_mapped_copy(void)     { return coir_map_error_copy(failing(), because, COPIED); }
static coir_io *panic_mapped(void)          { return coir_map_panic(thing_panics(), because, &lent_number); }
static coir_io *panic_mapped_copy(void)     { return coir_map_panic_copy(panicking(), because, COPIED); }
static coir_io *or_panic(void)              { return coir_or_panic(failing_with_thing()); }
static coir_io *finally(void)               { return coir_finally(some_thing(), string()); }
static coir_io *finally_fails(void)         { return coir_finally(failing_with_thing(), both_failed()); }
static coir_io *finally_panics(void)        { return coir_finally(both_failed(), thing_panics()); }
static coir_io *finally_fn(void)            { return coir_finally_fn(some_thing(), looked_on, &lent_number); }
static coir_io *finally_fn_copy(void)       { return coir_finally_fn_copy(failing_with_thing(), looked_on, COPIED); }
static coir_io *on_failure(void)            { return coir_on_failure(failing(), looked_on, &lent_number); }
static coir_io *on_failure_copy(void)       { return coir_on_failure_copy(some_thing(), looked_on, COPIED); }
static coir_io *on_cancel(void)             { return coir_attempt(coir_on_cancel(some_thing(), string())); }
static coir_io *always(void)                { return coir_always(some_thing(), string()); }
static coir_io *always_fails(void)          { return coir_always(failing_with_thing(), both_failed()); }

/* -------------------------------------------------------------------------------------------------------------- loops */

static coir_io *again_to_3(void *env, coir_value *state)
{
    if (coir_text_size(state) == 3)
        return coir_pure(coir_take(state));
    return coir_again(coir_stringf("%s%d", coir_text(state), number_of(env)));
}
static coir_io *call_itself(void *env, coir_io *self)
{
    struct number *left = env;
    return left->n-- > 0 ? coir_then(coir_unit(), coir_io_ref(self)) : coir_pure(thing(1));
}
static coir_io *itself_or_thing(void *env, coir_io *self)
{
    coir_drop(coir_io_value(coir_io_ref(self)));
    return coir_pure(thing(number_of(env)));
}

static coir_io *iterated(void)              { return coir_iterate(coir_string("", 0), again_to_3, &lent_number); }
static coir_io *iterated_copy(void)         { return coir_iterate_copy(coir_string("", 0), again_to_3, COPIED); }
static coir_io *repeated(void)              { return coir_repeat(mapped(), 3); }
static coir_io *repeated_never(void)        { return coir_repeat(mapped(), 0); }
static coir_io *tried_thrice(void)          { return coir_retry(failing_with_thing(), COIR_POLICY(.tries_max = 3, .delay = coir_ns(1), .jitter = 1)); }
static coir_duration pause_of(void *env, const coir_value *value) { (void)value; return coir_ns(number_of(env)); }
static coir_io *tried_by_schedule(void)
{
    coir_schedule *pauses = coir_schedule_full_jitter(coir_schedule_delay_from_copy(pause_of, COPIED));
    coir_schedule *bounded = coir_schedule_and(coir_schedule_or(pauses, coir_schedule_fibonacci(coir_ns(1))), coir_schedule_recurs(2));
    return coir_keep_running_by(some_thing(), coir_schedule_within(bounded, coir_seconds(1000)));
}
static coir_io *bad_schedule(void)
{
    coir_schedule *bad = coir_schedule_and(coir_schedule_spaced(coir_ns(-1)), coir_schedule_recurs(1));
    return coir_retry_by(some_thing(), coir_schedule_capped(bad, coir_ms(1)));
}
static coir_io *forever(void)               { return coir_forever(coir_then(some_thing(), failing_with_thing())); }
static coir_io *rec_copy(void)              { return coir_rec_copy(itself_or_thing, COPIED); }

/* A source of a thing, a string and none. */
static coir_io *from_source(void *left_)
{
    struct number *left = left_;
    switch (left->n--) {
    case 2:  return some_thing();
    case 1:  return string();
    default: return coir_unit();
    }
}
static bool was_thing(void *env, const coir_value *value) { (void)env; return is_thing(value); }
struct source { struct number left; coir_value last; };
static coir_io *source_step(coir_routine *self)
{
    COIR_BEGIN(self, struct source, my);
    my->left.n = 2;
    COIR_AWAIT(coir_for_each(coir_suspend(from_source, &my->left), io_text, &lent_number));
    my->left.n = 2;
    COIR_AWAIT(coir_for_each_copy(coir_suspend(from_source, &my->left), io_text, COPIED));
    my->left.n = 2;
    COIR_AWAIT(coir_while(coir_suspend(from_source, &my->left), was_thing, NULL));
    my->last = coir_take(&self->result.value);
    my->left.n = 2;
    COIR_AWAIT(coir_while_copy(coir_suspend(from_source, &my->left), was_thing, COPIED));
    coir_put(&my->last, coir_list(2, (coir_value[]){ coir_take(&my->last), coir_take(&self->result.value) }));
    my->left.n = 3;
    COIR_AWAIT(coir_rec(call_itself, &my->left));
    COIR_RETURN(coir_list(2, (coir_value[]){ coir_take(&my->last), coir_take(&self->result.value) }));
    COIR_FINALLY;
    coir_drop(my->last);
    COIR_END;
}
static coir_io *from_sources(void)          { return coir_do(source_step, NULL, sizeof(struct source)); }

/* ------------------------------------------------------------------------------------------------------------ context */

static coir_io *with_a_key(coir_io *(*inside)(coir_key *key))
{
    coir_key *key = coir_key_new(thing(6));
    coir_io *io = inside(key);
    coir_key_drop(key);
    return io;
}
static coir_io *key_inside(coir_key *key)   { return coir_zip(COIR_IOS(coir_key_get(key), coir_with_key(key, thing(7), coir_key_get(key)))); }

static coir_io *asked(void)                 { return coir_then(coir_local(coir_ask(), thing(1)), some_thing()); }
static coir_io *read_context(void)          { return coir_local(coir_defer_read(read_text, &lent_number), thing(1)); }
static coir_io *read_context_copy(void)     { return coir_local(coir_defer_read_copy(read_text, COPIED), thing(1)); }
static coir_io *contra(void)                { return coir_local(coir_contra_map(read_context(), changed, &lent_number), thing(2)); }
static coir_io *contra_copy(void)
{
    return coir_local(coir_contra_map_copy(coir_defer_read(read_text, &lent_number), changed, COPIED), thing(2));
}
static coir_io *keys(void)                  { return with_a_key(key_inside); }

/* -------------------------------------------------------------------------------------------------------------- table */

struct instruction { coir_io *(*make)(void); const char *outcome; };

static const struct instruction instructions[] = {
    { string,              "OK text" },
    { some_thing,          "OK thing 1" },
    { failing,             "ERROR code 5" },
    { failing_with_thing,  "ERROR thing 5" },
    { panicking,           "PANIC MISUSE" },
    { nothing,             "OK 0" },
    { both_failed,         "ERROR thing 1 also(ERROR thing 2)" },
    { deferred,            "OK 1" },
    { deferred_copy,       "OK 2" },
    { suspended,           "OK 1" },
    { suspended_copy,      "OK 2" },
    { called,              "OK 1.1" },
    { called_copy,         "OK 2.1" },
    { mapped,              "OK 1.1" },
    { mapped_copy,         "OK 2.1" },
    { bound,               "OK 1.1" },
    { bound_copy,          "OK 2.1" },
    { then,                "OK text" },
    { then_keep,           "OK thing 1" },
    { as,                  "OK thing 1" },
    { tapped,              "OK thing 1" },
    { tapped_copy,         "OK thing 1" },
    { flattened,           "OK thing 1" },
    { when_not,            "OK 0" },
    { when_so,             "OK thing 1" },
    { sequenced,           "OK 1.1" },
    { sequence_of_none,    "OK 0" },
    { zipped,              "OK [thing 1 text 1.1]" },
    { zip_of_none,         "OK []" },
    { zip_that_fails,      "ERROR code 5" },
    { traversed,           "OK [1-0 1-1 1-2]" },
    { traversed_copy,      "OK [2-0 2-1 2-2]" },
    { each,                "OK [1.1 1.2]" },
    { each_copy,           "OK [2.1 2.2]" },
    { named,               "OK thing 1" },
    { yielding,            "OK thing 1" },
    { mapped_owning,       "OK 3.1" },
    { sequence_owning,     "OK 3.1" },
};

static const struct instruction handlers[] = {
    { attempted,           "OK <ERROR thing 5>" },
    { redeeming,           "OK <ERROR thing 5>" },
    { redeeming_copy,      "OK <ERROR thing 1 also(ERROR thing 2)>" },
    { caught,              "OK 1.5" },
    { caught_copy,         "OK 2.1" },
    { caught_code,         "OK thing 1" },
    { other_code,          "ERROR code 5" },
    { or_else,             "OK thing 1" },
    { no_else,             "OK thing 1" },
    { recovered,           "OK 1.3" },
    { recovered_copy,      "OK 2.3" },
    { error_mapped,        "ERROR code 1 also(ERROR code 1)" },
    { error_mapped_copy,   "ERROR code 2" },
    { panic_mapped,        "PANIC code 1" },
    { panic_mapped_copy,   "PANIC code 2" },
    { or_panic,            "PANIC thing 5" },
    { finally,             "OK thing 1" },
    { finally_fails,       "ERROR thing 5 also(ERROR thing 1, ERROR thing 2)" },
    { finally_panics,      "PANIC thing 3 also(ERROR thing 1, ERROR thing 2)" },
    { finally_fn,          "OK thing 1" },
    { finally_fn_copy,     "ERROR thing 5" },
    { on_failure,          "ERROR code 5" },
    { on_failure_copy,     "OK thing 1" },
    { on_cancel,           "OK <OK thing 1>" },
    { always,              "OK text" },
    { always_fails,        "ERROR thing 5 also(ERROR thing 1, ERROR thing 2)" },
};

static const struct instruction loops[] = {
    { iterated,            "OK 111" },
    { iterated_copy,       "OK 222" },
    { repeated,            "OK 1.1" },
    { repeated_never,      "OK 0" },
    { tried_thrice,        "ERROR thing 5" },
    { tried_by_schedule,   "OK thing 1" },
    { bad_schedule,        "PANIC EINVAL" },
    { forever,             "ERROR thing 5" },
    { rec_copy,            "OK thing 2" },
    { from_sources,        "OK [[text text] thing 1]" },
    { asked,               "OK thing 1" },
    { read_context,        "OK 1.1" },
    { read_context_copy,   "OK 2.1" },
    { contra,              "OK 1.1" },
    { contra_copy,         "OK 1:2.2" },
    { keys,                "OK [thing 6 thing 7]" },
};

enum arrangement { IN_TURN, SHARED, SIDE_BY_SIDE };
struct table { const struct instruction *all; size_t count; enum arrangement arrangement; };
#define TABLE(instructions, arrangement) { (instructions), sizeof(instructions) / sizeof *(instructions), (arrangement) }

struct turn { const struct table *table; size_t index; };
static coir_io *one_of(void *turn_)
{
    const struct turn *turn = turn_;
    coir_io *io = turn->table->all[turn->index].make();
    if (turn->table->arrangement != SHARED)
        return io;
    coir_io *again = coir_io_ref(io);
    return coir_zip(COIR_IOS(coir_attempt(again), coir_attempt(io)));
}
static coir_io *made_late(const struct table *table, size_t index)
{
    return coir_suspend_copy(one_of, COIR_ENV(struct turn, .table = table, .index = index));
}
static coir_io *attempt_one(void *table, size_t index) { return coir_attempt(made_late(table, index)); }

/* Gives a list of boxed results. */
static coir_io *arranged(const struct table *table)
{
    if (table->arrangement != SIDE_BY_SIDE)
        return coir_traverse(table->count, attempt_one, (void *)(uintptr_t)table);
    coir_io *ios[64];
    for (size_t i = 0; i < table->count; i++)
        ios[i] = made_late(table, i);
    return waited(table->count, ios);
}

/* As many as there are, if all has gone well. */
static coir_result all_of(const struct table *table, const coir_options *options)
{
    coir_result result = fault_run(arranged(table), options);
    if (atomic_exchange(&owned, 0) != 0)
        fault_wrong("what ios own is not dropped");
    if (result.tag != COIR_OK)
        return result;
    for (size_t i = 0; i < table->count; i++) {
        const coir_value *box = coir_list_at(&result.value, i), *pair = &coir_result_in(box)->value;
        const char *outcome = table->all[i].outcome;
        if (table->arrangement != SHARED || coir_list_size(pair) != 2) {
            fault_expect(i, box, outcome);
            continue;
        }
        fault_expect(i, coir_list_at(pair, 0), outcome);
        fault_expect(i, coir_list_at(pair, 1), outcome);
    }
    coir_result_drop(&result);
    return coir_ok(coir_int((int64_t)table->count));
}

FAULT_PROGRAM(chains, "OK 38")
{
    static const struct table table = TABLE(instructions, IN_TURN);
    return all_of(&table, options);
}

FAULT_PROGRAM(chains_shared, "OK 38")
{
    static const struct table table = TABLE(instructions, SHARED);
    return all_of(&table, options);
}

FAULT_PROGRAM(chains_in_fibers, "OK 38")
{
    static const struct table table = TABLE(instructions, SIDE_BY_SIDE);
    return all_of(&table, options);
}

FAULT_PROGRAM(failures, "OK 26")
{
    static const struct table table = TABLE(handlers, IN_TURN);
    return all_of(&table, options);
}

FAULT_PROGRAM(failures_shared, "OK 26")
{
    static const struct table table = TABLE(handlers, SHARED);
    return all_of(&table, options);
}

FAULT_PROGRAM(failures_in_fibers, "OK 26")
{
    static const struct table table = TABLE(handlers, SIDE_BY_SIDE);
    return all_of(&table, options);
}

FAULT_PROGRAM(loops_and_context, "OK 16")
{
    static const struct table table = TABLE(loops, IN_TURN);
    return all_of(&table, options);
}

FAULT_PROGRAM(loops_and_context_shared, "OK 16")
{
    static const struct table table = TABLE(loops, SHARED);
    return all_of(&table, options);
}

FAULT_PROGRAM(loops_and_context_in_fibers, "OK 16")
{
    static const struct table table = TABLE(loops, SIDE_BY_SIDE);
    return all_of(&table, options);
}
