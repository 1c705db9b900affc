/*
 * build.c - tests of constants, deferred steps, and envs that are given away
 */
#include "program.h"

/* -------------------------------------------------------------------------------------------------------- constants */

TEST(io_build, pure_gives_its_value)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_result result = run(workers, coir_pure(coir_int(42)));
        CHECK_OK_INT(result, 42);
    }
    CHECK_STR(outcome(1, coir_pure(thing(3))), "OK thing 3");
    CHECK_STR(notes(), "-3");
}

TEST(io_build, unit_gives_none_and_can_be_dropped_and_referenced_at_will)
{
    coir_io *unit = coir_unit();
    for (int i = 0; i < 10; i++)
        coir_io_drop(unit);
    CHECK_PTR(coir_io_ref(unit), unit);
    coir_result result = run(1, coir_then(coir_unit(), coir_unit()));
    CHECK_TAG(result, COIR_OK);
    CHECK(coir_is_none(&result.value));
}

TEST(io_build, fail_is_an_error_with_that_payload)
{
    CHECK_STR(outcome(1, coir_fail(coir_int(7))), "ERROR 7");
    CHECK_STR(outcome(1, coir_fail(thing(7))), "ERROR thing 7");
    CHECK_STR(notes(), "-7");
}

TEST(io_build, failf_says_what_and_where)
{
    coir_result result = run(1, coir_failf(ENOENT, "no %s", "page")); int line = __LINE__;
    CHECK_CODE(result, COIR_ERROR, ENOENT);
    CHECK_STR(coir_error_message(&result.value), "no page");
    CHECK_STR(coir_error_file(&result.value), __FILE__);
    CHECK_INT(coir_error_line(&result.value), line);
    coir_result_drop(&result);
}

TEST(io_build, panicf_is_a_panic_that_says_what_was_misused)
{
    coir_result result = run(1, coir_panicf("%d legs", 5));
    CHECK_CODE(result, COIR_PANIC, COIR_MISUSE);
    CHECK_STR(coir_error_message(&result.value), "5 legs");
    CHECK_STR(coir_error_domain(&result.value), "coir");
    coir_result_drop(&result);
}

TEST(io_build, from_result_ends_with_just_that)
{
    static const char *const expected[] = { "OK 5", "ERROR 5", "PANIC 5", "CANCELED 5" };
    for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++)
        CHECK_STR(outcome(1, ending(tag, 5)), expected[tag]);
    coir_result both = coir_result_and(coir_raise(thing(1)), coir_panic(thing(2)));
    CHECK_STR(outcome(1, coir_from_result(both)), "PANIC thing 2 also(ERROR thing 1)");
    CHECK_INT(things_alive, 0);
}

TEST(io_build, result_with_a_tag_that_there_is_not_is_a_panic)
{
    CHECK_CONTAINS(outcome(1, coir_from_result(coir_result_of((coir_tag)4, coir_int(5)))), "PANIC");
}

TEST(io_build, result_that_a_shared_io_carries_comes_whole_each_time)
{
    coir_result both = coir_result_and(coir_raise(thing(1)), coir_raise(thing(2)));
    coir_io *io = coir_from_result(both);
    FOR_WORKERS(workers, 1, 2)
        CHECK_STR(outcome(workers, coir_io_ref(io)), "ERROR thing 1 also(ERROR thing 2)");
    CHECK_STR(notes(), "");
    coir_io_drop(io);
    CHECK_INT(things_alive, 0);
    notes();
}

TEST(io_build, never_ends_with_a_verdict_where_nothing_else_goes_on)
{
    FOR_WORKERS(workers, 1, 2) {
        CHECK_STR(outcome(workers, coir_finally(coir_never(), noting("finalizer"))), "PANIC DEADLOCK");
        CHECK_STR(notes(), "finalizer");
    }
    coir_io_drop(coir_never());
}

TEST(io_build, further_failure_that_cannot_be_shared_is_dropped_once_and_leaves_nothing)
{
    coir_io *io = coir_from_result(coir_result_and(coir_raise(thing(1)), coir_raise(sole_thing(2))));
    for (int i = 0; i < 3; i++) {
        coir_result result = run(1, i < 2 ? coir_io_ref(io) : io);
        CHECK(result.tag == COIR_PANIC || result.tag == COIR_ERROR);
        coir_result_drop(&result);
    }
    CHECK_INT(things_alive, 0);
    CHECK(strchr(notes(), '!') == NULL);
}

/* --------------------------------------------------------------------------------------------------- deferred steps */

struct counts { atomic_int calls; };

static coir_result count_call(void *env)
{
    struct counts *counts = env;
    return coir_ok(coir_int(atomic_fetch_add(&counts->calls, 1) + 1));
}

static coir_io *count_call_io(void *env)
{
    struct counts *counts = env;
    return coir_pure(coir_int(atomic_fetch_add(&counts->calls, 1) + 1));
}

static coir_result add_bytes(void *env)
{
    const int64_t *pair = env;
    return coir_ok(coir_int(pair[0] + pair[1]));
}

static coir_io *add_bytes_io(void *env) { return coir_from_result(add_bytes(env)); }

static coir_result add_bytes_read(void *env, const coir_value *context)
{
    coir_result sum = add_bytes(env);
    return coir_ok(coir_int(sum.value.i64 + context->i64));
}

static coir_io *add_bytes_to(void *env, coir_value *value)
{
    coir_result sum = add_bytes(env);
    return coir_pure(coir_int(sum.value.i64 + value->i64));
}

TEST(io_build, building_calls_nothing)
{
    struct counts counts = { 0 };
    coir_io_drop(coir_then(coir_defer(count_call, &counts), coir_suspend(count_call_io, &counts)));
    CHECK_INT(counts.calls, 0);
}

TEST(io_build, defer_is_called_anew_in_each_run)
{
    struct counts counts = { 0 };
    coir_io *io = coir_defer(count_call, &counts);
    FOR_WORKERS(workers, 1, 2, 4) {
        int before = counts.calls;
        coir_result result = run(workers, coir_io_ref(io));
        CHECK_OK_INT(result, before + 1);
        CHECK_INT(counts.calls, before + 1);
    }
    coir_io_drop(io);
}

TEST(io_build, suspend_is_called_anew_in_each_run)
{
    struct counts counts = { 0 };
    coir_io *io = coir_suspend(count_call_io, &counts);
    CHECK_STR(outcome(1, coir_io_ref(io)), "OK 1");
    CHECK_STR(outcome(2, io), "OK 2");
}

TEST(io_build, copy_forms_hold_bytes_of_their_own)
{
    int64_t pair[2] = { 30, 12 };
    coir_io *ios[] = {
        coir_defer_copy(add_bytes, pair, sizeof pair),
        coir_suspend_copy(add_bytes_io, pair, sizeof pair),
        coir_defer_read_copy(add_bytes_read, pair, sizeof pair),
        coir_call_copy(coir_int(0), add_bytes_to, pair, sizeof pair)
    };
    pair[0] = pair[1] = -1;
    FOR_WORKERS(workers, 1, 2)
        for (size_t i = 0; i < sizeof ios / sizeof *ios; i++) {
            CASE("%zu", i);
            CHECK_STR(outcome(workers, coir_io_ref(ios[i])), "OK 42");
        }
    for (size_t i = 0; i < sizeof ios / sizeof *ios; i++)
        CHECK_STR(outcome(1, ios[i]), "OK 42");
}

struct page { int64_t count; const char *url; };
static coir_result length_of_url(void *env)
{
    const struct page *page = env;
    return coir_ok(coir_int(page->count + (int64_t)strlen(page->url)));
}

TEST(io_build, env_is_written_with_designators)
{
    CHECK_STR(outcome(1, coir_defer_copy(length_of_url, COIR_ENV(struct page, .url = "abc", .count = 4))), "OK 7");
}

static coir_result give_tag(void *env)
{
    const coir_tag *tag = env;
    return coir_result_of(*tag, coir_int(5));
}

static coir_result give_tag_read(void *env, const coir_value *context) { (void)context; return give_tag(env); }

TEST(io_build, deferred_step_may_end_in_any_way)
{
    static const char *const expected[] = { "OK 5", "ERROR 5", "PANIC 5", "CANCELED 5" };
    for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
        CHECK_STR(outcome(1, coir_defer(give_tag, &tag)), expected[tag]);
        CHECK_STR(outcome(1, coir_defer_read(give_tag_read, &tag)), expected[tag]);
    }
}

/* ------------------------------------------------------------------------------------------------------------- call */

static coir_io *look_at_it(void *env, coir_value *value) { (void)env; return coir_pure(coir_int(thing_number(value))); }
static coir_io *keep_it(void *env, coir_value *value)    { (void)env; return coir_pure(coir_take(value)); }
static coir_io *note_while_lent(void *env, coir_value *value)
{
    (void)env;
    note("given %d", thing_number(value));
    return coir_then(noting("inner"), coir_unit());
}

TEST(io_build, call_lends_its_value)
{
    CHECK_STR(outcome(1, coir_call(thing(3), look_at_it, NULL)), "OK 3");
    CHECK_STR(notes(), "-3");
    CHECK_STR(outcome(1, coir_call(thing(4), keep_it, NULL)), "OK thing 4");
    CHECK_STR(notes(), "-4");
}

TEST(io_build, value_that_call_lent_and_nobody_took_lives_until_its_io_has_ended)
{
    CHECK_STR(outcome(1, coir_then(coir_call(thing(3), note_while_lent, NULL), noting("after"))), "OK 0");
    CHECK_STR(notes(), "given 3 inner -3 after");
}

TEST(io_build, call_dropped_unrun_drops_its_value)
{
    coir_io_drop(coir_call(thing(3), keep_it, NULL));
    CHECK_STR(notes(), "-3");
}

TEST(io_build, call_of_a_shared_io_shares_its_value)
{
    coir_io *io = coir_call(thing(3), keep_it, NULL);
    FOR_WORKERS(workers, 1, 2)
        CHECK_STR(outcome(workers, coir_zip(COIR_IOS(coir_io_ref(io), coir_io_ref(io)))), "OK [thing 3 thing 3]");
    coir_io_drop(io);
    CHECK_STR(notes(), "-3");
}

/* -------------------------------------------------------------------------- values that a shared io cannot give to all */

static coir_io *just(coir_value value)                { return coir_pure(value); }
static coir_io *as_it(coir_value value)               { return coir_as(coir_unit(), value); }
static coir_io *call_it(coir_value value)             { return coir_call(value, keep_it, NULL); }
static coir_io *iterate_it(coir_value value)          { return coir_iterate(value, keep_it, NULL); }
static coir_io *fail_and_catch(coir_value value)      { return coir_catch(coir_fail(value), keep_it, NULL); }
static coir_io *list_of_it(coir_value value)          { return coir_pure(coir_list(1, &value)); }
static coir_io *each_of_it(coir_value value)          { return coir_each(coir_list(1, &value), keep_it, NULL); }
static coir_io *box_of_it(coir_value value)           { return coir_pure(coir_box(coir_ok(value))); }

static const struct carrier { const char *name; coir_io *(*of)(coir_value value); const char *first, *type; } carriers[] = {
    { "pure",         just,           "OK thing 3", "sole" },
    { "as",           as_it,          "OK thing 3", "sole" },
    { "call",         call_it,        "OK thing 3", "sole" },
    { "iterate",      iterate_it,     "OK thing 3", "sole" },
    { "fail",         fail_and_catch, "OK thing 3", "sole" },
    { "list",         list_of_it,     "OK [thing 3]", "list" },
    { "each",         each_of_it,     "OK [thing 3]", "list" },
    { "box",          box_of_it,      "OK <OK thing 3>", "result" }
};
enum { CARRIERS = sizeof carriers / sizeof *carriers };

TEST(io_build, value_that_cannot_be_shared_goes_to_the_first_run_and_the_second_panics)
{
    for (size_t i = 0; i < CARRIERS; i++) {
        CASE("%s", carriers[i].name);
        coir_io *io = carriers[i].of(sole_thing(3));
        CHECK_STR(outcome(1, coir_io_ref(io)), carriers[i].first);
        CHECK_STR(notes(), "-3");
        coir_result second = run(1, coir_io_ref(io));
        CHECK_TAG(second, COIR_PANIC);
        CHECK_CONTAINS(coir_error_message(&second.value), "cannot be shared");
        coir_result_drop(&second);
        coir_result third = run(1, io);
        CHECK_TAG(third, COIR_PANIC);
        coir_result_drop(&third);
        CHECK_STR(notes(), "");
    }
}

TEST(io_build, value_that_cannot_be_shared_and_never_ran_is_dropped_once)
{
    for (size_t i = 0; i < CARRIERS; i++) {
        CASE("%s", carriers[i].name);
        coir_io *io = coir_io_ref(carriers[i].of(sole_thing(3)));
        coir_io_drop(io);
        CHECK_STR(notes(), "");
        coir_io_drop(io);
        CHECK_STR(notes(), "-3");
    }
}

TEST(io_build, the_last_owner_of_an_io_gets_the_value_itself)
{
    for (size_t i = 0; i < CARRIERS; i++) {
        CASE("%s", carriers[i].name);
        CHECK_STR(outcome(1, carriers[i].of(sole_thing(3))), carriers[i].first);
        coir_io *io = coir_io_ref(carriers[i].of(sole_thing(4)));
        coir_io_drop(io);
        coir_result result = run(1, io);
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
        CHECK_INT(things_alive, 0);
    }
    notes();
}

TEST(io_build, share_without_memory_is_a_panic)
{
    for (size_t i = 0; i < CARRIERS; i++) {
        CASE("%s", carriers[i].name);
        coir_io *io = carriers[i].of(starved_thing(3));
        bool counted = carriers[i].of == list_of_it || carriers[i].of == box_of_it;     /* shared as a whole */
        coir_result result = run(1, coir_io_ref(io));
        if (counted)
            CHECK_TAG(result, COIR_OK);
        else
            CHECK_CODE(result, COIR_PANIC, ENOMEM);
        coir_result_drop(&result);
        coir_io_drop(io);
        CHECK_INT(things_alive, 0);
    }
    notes();
}

static coir_io *count_panics(void *env, coir_value *fibers) { (void)env; return coir_wait(fibers); }

TEST(io_build, of_many_runs_at_once_one_gets_the_value_that_cannot_be_shared)
{
    enum { RUNS = 20 };
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(100); round++)
            for (size_t c = 0; c < CARRIERS; c++) {
                CASE("%s", carriers[c].name);
                coir_io *io = carriers[c].of(sole_thing(3)), *ios[RUNS];
                for (int i = 0; i < RUNS; i++)
                    ios[i] = i == 0 ? io : coir_io_ref(io);
                coir_result result = run(workers, coir_flat_map(coir_parallel(RUNS, ios), count_panics, NULL));
                CHECK_TAG(result, COIR_OK);
                int got = 0, panicked = 0;
                for (size_t i = 0; i < RUNS; i++) {
                    const coir_result *one = coir_result_in(coir_list_at(&result.value, i));
                    got += one->tag == COIR_OK;
                    panicked += one->tag == COIR_PANIC;
                }
                CHECK_INT(got, 1);
                CHECK_INT(panicked, RUNS - 1);
                coir_result_drop(&result);
                CHECK_STR(notes(), "-3");
            }
}

/* ----------------------------------------------------------------------------------------------------- panic values */

static coir_value broken(void) { return coir_panic_value("no luck %d", 7); }

static coir_result defer_broken(void *env)                              { (void)env; return coir_ok(broken()); }
static coir_result defer_raise_broken(void *env)                        { (void)env; return coir_raise(broken()); }
static coir_result defer_canceled_broken(void *env)                     { (void)env; return coir_result_of(COIR_CANCELED, broken()); }
static coir_result read_broken(void *env, const coir_value *context)    { (void)env; (void)context; return coir_ok(broken()); }
static coir_io *again_broken(void *env, coir_value *state)              { (void)env; (void)state; return coir_again(broken()); }

TEST(io_build, panic_value_is_a_panic_wherever_it_is_met)
{
    coir_io *ios[] = {
        coir_pure(broken()), coir_fail(broken()), coir_from_result(coir_ok(broken())), coir_from_result(coir_panic(broken())),
        coir_from_result(coir_result_of(COIR_CANCELED, broken())),
        coir_defer(defer_broken, NULL), coir_defer(defer_raise_broken, NULL), coir_defer(defer_canceled_broken, NULL),
        coir_defer_read(read_broken, NULL),
        coir_call(broken(), keep_it, NULL), coir_iterate(broken(), keep_it, NULL), coir_iterate(coir_int(0), again_broken, NULL),
        coir_each(broken(), keep_it, NULL), coir_as(coir_unit(), broken()), coir_local(coir_unit(), broken()),
        coir_then(coir_unit(), coir_pure(broken())), coir_zip(COIR_IOS(coir_unit(), coir_pure(broken())))
    };
    for (size_t i = 0; i < sizeof ios / sizeof *ios; i++) {
        CASE("%zu", i);
        coir_io_ref(ios[i]);
        for (int round = 0; round < 2; round++) {       /* shared, and then the last owner's */
            coir_result result = run(1, ios[i]);
            CHECK_TAG(result, COIR_PANIC);
            CHECK_STR(coir_error_message(&result.value), "no luck 7");
            coir_result_drop(&result);
        }
    }
}

TEST(io_build, list_with_a_panic_value_in_it_is_a_panic)
{
    coir_value items[] = { coir_int(1), broken(), thing(3) };
    CHECK_STR(message_of(1, coir_pure(coir_list(3, items))), "no luck 7");
    CHECK_INT(things_alive, 0);
    notes();
}

TEST(io_build, heap_of_NULL_is_a_panic_that_says_no_memory)
{
    coir_result result = run(1, coir_pure(coir_heap(NULL)));
    CHECK_CODE(result, COIR_PANIC, ENOMEM);
    coir_result_drop(&result);
}

/* ------------------------------------------------------------------------------------------------------- coir_owns */

struct owned { const char *name; int64_t number; };

static void owned_drop(void *env)
{
    struct owned *owned = env;
    note("~%s", owned->name);
    free(owned);
}

static struct owned *owned_new(const char *name)
{
    struct owned *owned = malloc(sizeof *owned);
    if (owned == NULL)
        abort();
    owned->name = name;
    owned->number = 40;
    return owned;
}

static int64_t number_in(void *env) { return ((const struct owned *)env)->number; }
static coir_io *sum_io(void *env, int64_t n) { return coir_pure(coir_int(number_in(env) + n)); }

static coir_result read_owned(void *env)                            { note("ran"); return coir_ok(coir_int(number_in(env))); }
static coir_io *owned_suspend(void *env)                            { return sum_io(env, 0); }
static coir_value add_owned(void *env, coir_value *v)               { return coir_int(number_in(env) + v->i64); }
static coir_io *add_owned_io(void *env, coir_value *v)              { return sum_io(env, v->i64); }
static coir_io *owned_index(void *env, size_t index)                { return sum_io(env, (int64_t)index); }
static bool below_owned(void *env, const coir_value *v)             { return v->i64 < number_in(env); }
static coir_io *owned_redeem(void *env, coir_result *r)             { return sum_io(env, r->value.i64); }
static coir_io *owned_final(void *env, const coir_result *r)        { (void)r; return sum_io(env, 0); }
static void owned_look(void *env, const coir_value *v)              { note("%d", (int)(number_in(env) + v->i64)); }
static coir_value owned_context(void *env, const coir_value *c)     { (void)c; return coir_int(number_in(env)); }
static coir_io *owned_rec(void *env, coir_io *self)                 { (void)self; return sum_io(env, 0); }
static coir_io *owned_then_none(void *env, coir_value *v)           { note("%d", (int)(number_in(env) + v->i64)); return coir_unit(); }
static coir_result owned_read(void *env, const coir_value *c)       { (void)c; return coir_ok(coir_int(number_in(env))); }

static coir_result one_then_none(void *env)
{
    int *calls = env;
    return coir_ok(coir_int((*calls)++ == 0 ? 1 : 0));
}

/* Every io with a callback, all of them with `env`. */
static size_t ios_of_env(void *env, int *calls, coir_io **ios, const char **expected)
{
    coir_value one = coir_int(1);
    const struct { coir_io *io; const char *expected; } all[] = {
        { coir_defer(read_owned, env), "OK 40" },
        { coir_defer_read(owned_read, env), "OK 40" },
        { coir_suspend(owned_suspend, env), "OK 40" },
        { coir_call(coir_int(1), add_owned_io, env), "OK 41" },
        { coir_map(coir_pure(coir_int(1)), add_owned, env), "OK 41" },
        { coir_flat_map(coir_pure(coir_int(1)), add_owned_io, env), "OK 41" },
        { coir_tap(coir_pure(coir_int(1)), owned_look, env), "OK 1" },
        { coir_redeem(coir_fail(coir_int(1)), owned_redeem, env), "OK 41" },
        { coir_catch(coir_fail(coir_int(1)), add_owned_io, env), "OK 41" },
        { coir_recover(ending(COIR_PANIC, 1), add_owned_io, env), "OK 41" },
        { coir_map_error(coir_fail(coir_int(1)), add_owned, env), "ERROR 41" },
        { coir_map_panic(ending(COIR_PANIC, 1), add_owned, env), "PANIC 41" },
        { coir_finally_fn(coir_pure(coir_int(41)), owned_final, env), "OK 41" },
        { coir_on_failure(coir_fail(coir_int(1)), owned_final, env), "ERROR 1" },
        { coir_iterate(coir_int(1), add_owned_io, env), "OK 41" },
        { coir_while(coir_pure(coir_int(41)), below_owned, env), "OK 41" },
        { coir_for_each(coir_defer(one_then_none, calls), owned_then_none, env), "OK 0" },
        { coir_traverse(2, owned_index, env), "OK [40 41]" },
        { coir_each(coir_list(1, &one), add_owned_io, env), "OK [41]" },
        { coir_rec(owned_rec, env), "OK 40" },
        { coir_contra_map(coir_defer_read(owned_read, env), owned_context, env), "OK 40" }
    };
    enum { COUNT = sizeof all / sizeof *all };
    for (size_t i = 0; i < COUNT; i++) {
        ios[i] = all[i].io;
        expected[i] = all[i].expected;
    }
    return COUNT;
}

TEST(io_build, every_io_with_a_callback_can_own_its_env)
{
    coir_io *ios[40];
    const char *expected[40];
    for (int shared = 0; shared < 2; shared++)
        for (size_t i = 0, count = 1; i < count; i++) {
            CASE("%zu%s", i, shared ? ", with another owner" : "");
            int calls = 0;
            struct owned *env = owned_new("env");
            count = ios_of_env(env, &calls, ios, expected);
            for (size_t other = 0; other < count; other++)
                if (other != i)
                    coir_io_drop(ios[other]);
            if (shared)
                coir_io_ref(ios[i]);
            coir_io *owner = coir_owns(ios[i], env, owned_drop);
            CHECK_STR(notes(), "");
            CHECK_STR(outcome(1, owner), expected[i]);
            CHECK_CONTAINS(notes(), "~env");            /* with the node that owns it, whoever else has the io itself */
            if (shared)
                coir_io_drop(ios[i]);
            CHECK_STR(notes(), "");
        }
}

TEST(io_build, owned_env_goes_with_an_io_that_is_dropped_unrun)
{
    coir_io_drop(coir_owns(coir_defer(read_owned, NULL), owned_new("leaf"), owned_drop));
    coir_io_drop(coir_owns(coir_map(coir_pure(thing(3)), add_owned, NULL), owned_new("map"), owned_drop));
    coir_io_drop(coir_owns(coir_pure(thing(4)), owned_new("pure"), owned_drop));
    coir_io_drop(coir_owns(coir_unit(), owned_new("unit"), owned_drop));
    CHECK_INT(things_alive, 0);
    const char *all = notes();
    CHECK_CONTAINS(all, "~leaf");
    CHECK_CONTAINS(all, "~map");
    CHECK_CONTAINS(all, "~pure");
    CHECK_CONTAINS(all, "~unit");
}

TEST(io_build, owned_env_of_NULL_is_dropped_at_once)
{
    CHECK_PTR(coir_owns(NULL, owned_new("env"), owned_drop), NULL);
    CHECK_STR(notes(), "~env");
}

TEST(io_build, owns_without_a_drop_is_a_panic_that_names_it)
{
    CHECK_CONTAINS(message_of(1, coir_owns(coir_pure(thing(3)), NULL, NULL)), "coir_owns");
    CHECK_STR(notes(), "-3");
}

TEST(io_build, captured_bytes_stay_where_the_env_is_owned_too)
{
    int64_t pair[2] = { 2, 3 };
    coir_io *io = coir_owns(coir_defer_copy(add_bytes, pair, sizeof pair), owned_new("env"), owned_drop);
    CHECK_STR(outcome(1, coir_io_ref(io)), "OK 5");
    CHECK_STR(notes(), "");
    CHECK_STR(outcome(1, io), "OK 5");
    CHECK_STR(notes(), "~env");
}

TEST(io_build, an_io_may_own_several_envs)
{
    coir_io *io = coir_defer(read_owned, NULL);
    coir_io_drop(io);
    struct owned *env = owned_new("first");
    io = coir_owns(coir_owns(coir_defer(read_owned, env), env, owned_drop), owned_new("second"), owned_drop);
    CHECK_STR(outcome(1, io), "OK 40");
    const char *all = notes();
    CHECK_CONTAINS(all, "~first");
    CHECK_CONTAINS(all, "~second");
}

TEST(io_build, io_without_a_callback_that_owns_keeps_the_env_until_it_has_ended)
{
    struct owned *env = owned_new("env");
    coir_io *inside = coir_then(coir_defer(read_owned, env), noting("inside"));
    CHECK_STR(outcome(1, coir_then(coir_owns(inside, env, owned_drop), noting("after"))), "OK 0");
    CHECK_STR(notes(), "ran inside ~env after");
}

TEST(io_build, io_with_other_owners_keeps_the_env_until_the_owning_one_has_ended)
{
    struct owned *env = owned_new("env");
    coir_io *io = coir_io_ref(coir_defer(read_owned, env));
    CHECK_STR(outcome(1, coir_then(coir_owns(io, env, owned_drop), noting("after"))), "OK 0");
    CHECK_STR(notes(), "ran ~env after");
    coir_io_drop(io);
}

TEST(io_build, owned_env_of_an_io_that_runs_many_times_at_once_is_dropped_once)
{
    enum { RUNS = 50 };
    FOR_WORKERS(workers, 1, 2, 4) {
        struct owned *env = owned_new("env");
        coir_io *io = coir_owns(coir_flat_map(coir_pure(coir_int(2)), add_owned_io, env), env, owned_drop), *ios[RUNS];
        for (int i = 0; i < RUNS; i++)
            ios[i] = i == 0 ? io : coir_io_ref(io);
        coir_result result = run(workers, coir_flat_map(coir_parallel(RUNS, ios), count_panics, NULL));
        for (size_t i = 0; i < RUNS; i++)
            CHECK_OK_INT(*coir_result_in(coir_list_at(&result.value, i)), 42);
        coir_result_drop(&result);
        CHECK_STR(notes(), "~env");
    }
}

enum { LARGE = 300 };                                   /* a node with so many bytes comes from the allocator directly */

TEST_ALONE(io_build, env_is_dropped_once_whether_there_is_memory_to_own_it_or_not)
{
    watch_memory();
    for (int n = 0; n < 6; n++) {
        coir_io *ios[] = { coir_unit(), coir_defer(read_owned, NULL), coir_io_ref(coir_defer(read_owned, NULL)), coir_pure(thing(3)) };
        coir_io *shared = ios[2];
        for (size_t i = 0; i < sizeof ios / sizeof *ios; i++) {
            atomic_store(&watched.left, n);
            coir_io *owner = coir_owns(ios[i], owned_new("env"), owned_drop);
            atomic_store(&watched.left, -1);
            coir_io_drop(owner);
            CHECK_CONTAINS(notes(), "~env");
        }
        coir_io_drop(shared);
        CHECK_STR(notes(), "");
        CHECK_INT(things_alive, 0);
    }
}

TEST_ALONE(io_build, without_memory_everything_given_is_dropped_and_NULL_comes_back)
{
    watch_memory();
    char bytes[LARGE] = "";
    coir_io *plain = coir_defer_copy(add_bytes, bytes, sizeof bytes);
    atomic_store(&watched.left, 0);
    CHECK_PTR(coir_owns(plain, owned_new("env"), owned_drop), NULL);
    CHECK_STR(notes(), "~env");
    CHECK_PTR(coir_defer_copy(add_bytes, bytes, sizeof bytes), NULL);
    CHECK_PTR(coir_suspend_copy(add_bytes_io, bytes, sizeof bytes), NULL);
    CHECK_PTR(coir_defer_read_copy(add_bytes_read, bytes, sizeof bytes), NULL);
    CHECK_PTR(coir_rec_copy(owned_rec, bytes, sizeof bytes), NULL);
    CHECK_PTR(coir_traverse_copy(2, owned_index, bytes, sizeof bytes), NULL);
    CHECK_PTR(coir_call_copy(thing(1), keep_it, bytes, sizeof bytes), NULL);
    CHECK_PTR(coir_iterate_copy(thing(2), keep_it, bytes, sizeof bytes), NULL);
    CHECK_PTR(coir_each_copy(thing(3), keep_it, bytes, sizeof bytes), NULL);
    CHECK_STR(notes(), "-1 -2 -3");
    atomic_store(&watched.left, -1);
}
