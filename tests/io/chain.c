/*
 * chain.c - tests of what runs one io and goes on with its result: steps, handlers, finalizers
 */
#include "program.h"

enum { TAGS = COIR_CANCELED + 1 };

/* ------------------------------------------------------------------------------- every instruction after every result */

/* Each callback notes that it was called and what it was given; its env is a number, captured or not, that it adds. */
static int64_t add(void *env, int64_t to) { return *(const int64_t *)env + to; }

static coir_value map(void *env, coir_value *v)                  { note("fn %d", (int)v->i64); return coir_int(add(env, v->i64)); }
static coir_io *sum(void *env, int64_t to)                       { return coir_pure(coir_int(add(env, to))); }
static coir_io *flat_map(void *env, coir_value *v)               { note("fn %d", (int)v->i64); return sum(env, v->i64); }
static void look(void *env, const coir_value *v)                 { note("fn %d", (int)add(env, v->i64)); }
static bool stop(void *env, const coir_value *v)                 { note("fn %d", (int)add(env, v->i64)); return false; }
static coir_io *redeem(void *env, coir_result *r)                { note("fn %s", describe(r)); return sum(env, r->value.i64); }
static coir_io *final(void *env, const coir_result *r)           { note("fn %s", describe(r)); return sum(env, 1); }
static coir_value context(void *env, const coir_value *c)        { note("fn %d", (int)c->i64); return coir_int(add(env, c->i64)); }

static int64_t forty = 40;
static coir_key *key;

static coir_io *second(void) { return coir_then(noting("second"), coir_pure(coir_int(40))); }

static coir_io *with(size_t which, coir_io *io)
{
    switch (which) {
    case 0:  return coir_map(io, map, &forty);
    case 1:  return coir_map_copy(io, map, &forty, sizeof forty);
    case 2:  return coir_flat_map(io, flat_map, &forty);
    case 3:  return coir_flat_map_copy(io, flat_map, &forty, sizeof forty);
    case 4:  return coir_then(io, second());
    case 5:  return coir_then_keep(io, second());
    case 6:  return coir_as(io, coir_int(40));
    case 7:  return coir_tap(io, look, &forty);
    case 8:  return coir_tap_copy(io, look, &forty, sizeof forty);
    case 9:  return coir_flatten(io);
    case 10: return coir_when(true, io);
    case 11: return coir_when(false, io);
    case 12: return coir_sequence(COIR_IOS(io, second()));
    case 13: return coir_zip(COIR_IOS(io, second()));
    case 14: return coir_attempt(io);
    case 15: return coir_redeem(io, redeem, &forty);
    case 16: return coir_redeem_copy(io, redeem, &forty, sizeof forty);
    case 17: return coir_catch(io, flat_map, &forty);
    case 18: return coir_catch_copy(io, flat_map, &forty, sizeof forty);
    case 19: return coir_catch_code(io, 2, second());
    case 20: return coir_catch_code(io, 3, second());
    case 21: return coir_or_else(io, second());
    case 22: return coir_recover(io, flat_map, &forty);
    case 23: return coir_recover_copy(io, flat_map, &forty, sizeof forty);
    case 24: return coir_map_error(io, map, &forty);
    case 25: return coir_map_error_copy(io, map, &forty, sizeof forty);
    case 26: return coir_map_panic(io, map, &forty);
    case 27: return coir_map_panic_copy(io, map, &forty, sizeof forty);
    case 28: return coir_or_panic(io);
    case 29: return coir_finally(io, second());
    case 30: return coir_finally_fn(io, final, &forty);
    case 31: return coir_finally_fn_copy(io, final, &forty, sizeof forty);
    case 32: return coir_on_failure(io, final, &forty);
    case 33: return coir_on_failure_copy(io, final, &forty, sizeof forty);
    case 34: return coir_on_cancel(io, second());
    case 35: return coir_always(io, second());
    case 36: return coir_repeat(io, 1);
    case 37: return coir_while(io, stop, &forty);
    case 38: return coir_while_copy(io, stop, &forty, sizeof forty);
    case 39: return coir_local(io, coir_int(3));
    case 40: return coir_contra_map(io, context, &forty);
    case 41: return coir_contra_map_copy(io, context, &forty, sizeof forty);
    case 42: return coir_with_key(key, coir_int(3), io);
    case 43: return coir_named(io, "name");
    case 44: return coir_named(io, NULL);
    default: return NULL;
    }
}

static const struct row { const char *name, *outcome[TAGS], *notes[TAGS]; } table[] = {
#define PASS "ERROR 2", "PANIC 2", "CANCELED 2"
    { "map",                { "OK 42", PASS },                                      { "fn 2", "", "", "" } },
    { "map_copy",           { "OK 42", PASS },                                      { "fn 2", "", "", "" } },
    { "flat_map",           { "OK 42", PASS },                                      { "fn 2", "", "", "" } },
    { "flat_map_copy",      { "OK 42", PASS },                                      { "fn 2", "", "", "" } },
    { "then",               { "OK 40", PASS },                                      { "second", "", "", "" } },
    { "then_keep",          { "OK 2", PASS },                                       { "second", "", "", "" } },
    { "as",                 { "OK 40", PASS },                                      { "", "", "", "" } },
    { "tap",                { "OK 2", PASS },                                       { "fn 42", "", "", "" } },
    { "tap_copy",           { "OK 2", PASS },                                       { "fn 42", "", "", "" } },
    { "flatten",            { "PANIC MISUSE", PASS },                               { "", "", "", "" } },
    { "when true",          { "OK 2", PASS },                                       { "", "", "", "" } },
    { "when false",         { "OK 0", "OK 0", "OK 0", "OK 0" },                     { "", "", "", "" } },
    { "sequence",           { "OK 40", PASS },                                      { "second", "", "", "" } },
    { "zip",                { "OK [2 40]", PASS },                                  { "second", "", "", "" } },
    { "attempt",            { "OK <OK 2>", "OK <ERROR 2>", "OK <PANIC 2>", "CANCELED 2" },  { "", "", "", "" } },
    { "redeem",             { "OK 42", "OK 42", "OK 42", "CANCELED 2" },            { "fn OK 2", "fn ERROR 2", "fn PANIC 2", "" } },
    { "redeem_copy",        { "OK 42", "OK 42", "OK 42", "CANCELED 2" },            { "fn OK 2", "fn ERROR 2", "fn PANIC 2", "" } },
    { "catch",              { "OK 2", "OK 42", "PANIC 2", "CANCELED 2" },           { "", "fn 2", "", "" } },
    { "catch_copy",         { "OK 2", "OK 42", "PANIC 2", "CANCELED 2" },           { "", "fn 2", "", "" } },
    { "catch_code",         { "OK 2", "OK 40", "PANIC 2", "CANCELED 2" },           { "", "second", "", "" } },
    { "catch_code, other",  { "OK 2", PASS },                                       { "", "", "", "" } },
    { "or_else",            { "OK 2", "OK 40", "PANIC 2", "CANCELED 2" },           { "", "second", "", "" } },
    { "recover",            { "OK 2", "ERROR 2", "OK 42", "CANCELED 2" },           { "", "", "fn 2", "" } },
    { "recover_copy",       { "OK 2", "ERROR 2", "OK 42", "CANCELED 2" },           { "", "", "fn 2", "" } },
    { "map_error",          { "OK 2", "ERROR 42", "PANIC 2", "CANCELED 2" },        { "", "fn 2", "", "" } },
    { "map_error_copy",     { "OK 2", "ERROR 42", "PANIC 2", "CANCELED 2" },        { "", "fn 2", "", "" } },
    { "map_panic",          { "OK 2", "ERROR 2", "PANIC 42", "CANCELED 2" },        { "", "", "fn 2", "" } },
    { "map_panic_copy",     { "OK 2", "ERROR 2", "PANIC 42", "CANCELED 2" },        { "", "", "fn 2", "" } },
    { "or_panic",           { "OK 2", "PANIC 2", "PANIC 2", "CANCELED 2" },         { "", "", "", "" } },
    { "finally",            { "OK 2", PASS },                                       { "second", "second", "second", "second" } },
    { "finally_fn",         { "OK 2", PASS },                     { "fn OK 2", "fn ERROR 2", "fn PANIC 2", "fn CANCELED 2" } },
    { "finally_fn_copy",    { "OK 2", PASS },                     { "fn OK 2", "fn ERROR 2", "fn PANIC 2", "fn CANCELED 2" } },
    { "on_failure",         { "OK 2", PASS },                                       { "", "fn ERROR 2", "fn PANIC 2", "" } },
    { "on_failure_copy",    { "OK 2", PASS },                                       { "", "fn ERROR 2", "fn PANIC 2", "" } },
    { "on_cancel",          { "OK 2", PASS },                                       { "", "", "", "second" } },
    { "always",             { "OK 40", PASS },                                      { "second", "second", "second", "" } },
    { "repeat",             { "OK 2", PASS },                                       { "", "", "", "" } },
    { "while",              { "OK 2", PASS },                                       { "fn 42", "", "", "" } },
    { "while_copy",         { "OK 2", PASS },                                       { "fn 42", "", "", "" } },
    { "local",              { "OK 2", PASS },                                       { "", "", "", "" } },
    { "contra_map",         { "OK 2", PASS },                                       { "fn 0", "fn 0", "fn 0", "fn 0" } },
    { "contra_map_copy",    { "OK 2", PASS },                                       { "fn 0", "fn 0", "fn 0", "fn 0" } },
    { "with_key",           { "OK 2", PASS },                                       { "", "", "", "" } },
    { "named",              { "OK 2", PASS },                                       { "", "", "", "" } },
    { "named without",      { "OK 2", PASS },                                       { "", "", "", "" } }
#undef PASS
};
enum { ROWS = sizeof table / sizeof *table };

/* Each with the io alone (its nodes become the frames), and with another owner (they are borrowed); the result must be no other. */
TEST(io_chain, every_instruction_does_after_every_result_what_its_line_says)
{
    key = coir_key_new(coir_none());
    FOR_WORKERS(workers, 1, 2, 4)
        for (size_t row = 0; row < ROWS; row++)
            for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
                coir_io *io = coir_io_ref(with(row, ending(tag, 2)));
                for (int rest = 1; rest >= 0; rest--) {
                    CASE("%s, tag %d%s", table[row].name, (int)tag, rest > 0 ? ", borrowed" : "");
                    CHECK_STR(outcome(workers, io), table[row].outcome[tag]);
                    CHECK_STR(notes(), table[row].notes[tag]);
                }
            }
    coir_key_drop(key);
}

/* The budget runs out at each step once. */
TEST(io_chain, a_budget_of_any_size_changes_no_result)
{
    key = coir_key_new(coir_none());
    for (uint32_t budget = 1; budget <= 8; budget++)
        for (size_t row = 0; row < ROWS; row++)
            for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
                CASE("%s, tag %d, budget %u", table[row].name, (int)tag, budget);
                coir_result result = coir_run(with(row, ending(tag, 2)), COIR_OPTIONS(.workers = 1, .budget = budget));
                CHECK_STR(describe(&result), table[row].outcome[tag]);
                CHECK_STR(notes(), table[row].notes[tag]);
                coir_result_drop(&result);
            }
    coir_key_drop(key);
}

TEST(io_chain, things_in_results_are_dropped_exactly_once_whatever_comes_after_them)
{
    key = coir_key_new(coir_none());
    for (size_t row = 0; row < ROWS; row++)
        for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++)
            for (int shared = 0; shared < 2; shared++) {
                CASE("%s, tag %d%s", table[row].name, (int)tag, shared ? ", borrowed" : "");
                coir_io *io = with(row, coir_from_result(coir_result_of(tag, thing(2))));
                (void)outcome(1, shared ? coir_io_ref(io) : io);
                if (shared)
                    coir_io_drop(io);
                CHECK_INT(things_alive, 0);
                CHECK(strchr(notes(), '!') == NULL);
            }
    coir_key_drop(key);
}

/* ----------------------------------------------------------------------------------------------------- what was lent */

static coir_io *leave(void *env, coir_value *v)         { (void)env; note("fn %d", thing_number(v)); return noting("inner"); }
static coir_io *take_it(void *env, coir_value *v)       { (void)env; note("fn"); coir_drop(coir_take(v)); return noting("inner"); }
static coir_io *give_back(void *env, coir_value *v)     { (void)env; return coir_pure(coir_take(v)); }
static coir_io *leave_result(void *env, coir_result *r) { (void)env; note("fn %d", thing_number(&r->value)); return noting("inner"); }
static coir_io *keep_result(void *env, coir_result *r)  { (void)env; return coir_pure(coir_box(coir_result_take(r))); }
static coir_io *look_on(void *env, const coir_result *r) { (void)env; note("fn %d", thing_number(&r->value)); return noting("inner"); }
static coir_value leave_map(void *env, coir_value *v)   { (void)env; note("fn %d", thing_number(v)); return coir_int(1); }
static coir_value take_map(void *env, coir_value *v)    { (void)env; return coir_take(v); }
static coir_value same_map(void *env, coir_value *v)    { (void)env; return *v; }
static coir_value other_map(void *env, coir_value *v)   { (void)env; (void)v; return thing(4); }

static coir_io *raising(coir_tag tag, int number) { return coir_from_result(coir_result_of(tag, thing(number))); }

TEST(io_chain, what_was_lent_and_not_taken_lives_until_the_io_given_has_ended)
{
    const struct { const char *name; coir_io *io; const char *notes; } cases[] = {
        { "flat_map", coir_flat_map(coir_pure(thing(3)), leave, NULL), "fn 3 inner -3 after" },
        { "catch", coir_catch(raising(COIR_ERROR, 3), leave, NULL), "fn 3 inner -3 after" },
        { "recover", coir_recover(raising(COIR_PANIC, 3), leave, NULL), "fn 3 inner -3 after" },
        { "redeem", coir_redeem(raising(COIR_ERROR, 3), leave_result, NULL), "fn 3 inner -3 after" },
        { "redeem of OK", coir_redeem(coir_pure(thing(3)), leave_result, NULL), "fn 3 inner -3 after" },
        { "taken", coir_flat_map(coir_pure(thing(3)), take_it, NULL), "fn -3 inner after" },
        { "finally_fn", coir_flat_map(coir_finally_fn(coir_pure(thing(3)), look_on, NULL), leave, NULL),
          "fn 3 inner fn 3 inner -3 after" },
        { "on_failure", coir_or_else(coir_on_failure(raising(COIR_ERROR, 3), look_on, NULL), coir_unit()), "fn 3 inner -3 after" },
        { "map", coir_map(coir_pure(thing(3)), leave_map, NULL), "fn 3 -3 after" },
        { "map, taken", coir_flat_map(coir_map(coir_pure(thing(3)), take_map, NULL), leave, NULL), "fn 3 inner -3 after" },
        { "map, the same", coir_flat_map(coir_map(coir_pure(thing(3)), same_map, NULL), leave, NULL), "fn 3 inner -3 after" },
        { "map, another", coir_flat_map(coir_map(coir_pure(thing(3)), other_map, NULL), leave, NULL), "-3 fn 4 inner -4 after" },
        { "map_error, another", coir_catch(coir_map_error(raising(COIR_ERROR, 3), other_map, NULL), leave, NULL),
          "-3 fn 4 inner -4 after" },
        { "map_error, the same", coir_catch(coir_map_error(raising(COIR_ERROR, 3), same_map, NULL), leave, NULL),
          "fn 3 inner -3 after" },
        { "map_panic, another", coir_recover(coir_map_panic(raising(COIR_PANIC, 3), other_map, NULL), leave, NULL),
          "-3 fn 4 inner -4 after" },
        { "then", coir_then(coir_pure(thing(3)), noting("inner")), "-3 inner after" },
        { "then_keep", coir_flat_map(coir_then_keep(coir_pure(thing(3)), noting("inner")), leave, NULL),
          "inner fn 3 inner -3 after" },
        { "sequence", coir_sequence(COIR_IOS(coir_pure(thing(3)), noting("inner"))), "-3 inner after" },
        { "or_else", coir_or_else(raising(COIR_ERROR, 3), noting("inner")), "-3 inner after" },
        { "as", coir_then(coir_as(coir_pure(thing(3)), thing(4)), noting("inner")), "-3 -4 inner after" }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        coir_io *io = coir_io_ref(coir_then(cases[i].io, noting("after")));
        CASE("%s", cases[i].name);
        coir_result borrowed = run(1, io);
        CHECK_TAG(borrowed, COIR_OK);
        const char *shared = notes();
        if (strstr(cases[i].notes, "-3") != NULL)       /* the io still has its own reference to thing 3, and may have one to 4 */
            CHECK(strstr(shared, "-3") == NULL);
        CASE("%s, the io alone", cases[i].name);
        coir_result alone = run(1, io);
        CHECK_TAG(alone, COIR_OK);
        CHECK_STR(notes(), cases[i].notes);
    }
    CHECK_INT(things_alive, 0);
}

TEST(io_chain, what_was_lent_lives_as_long_where_the_io_given_fails)
{
    CHECK_STR(outcome(1, coir_flat_map(coir_pure(thing(3)), give_back, NULL)), "OK thing 3");
    CHECK_STR(notes(), "-3");
    CHECK_STR(outcome(1, coir_finally(coir_then(coir_flat_map(coir_pure(thing(3)), leave, NULL), coir_fail(coir_int(1))),
                                      noting("finalizer"))), "ERROR 1");
    CHECK_STR(notes(), "fn 3 inner -3 finalizer");
}

static coir_io *fail_inside(void *env, coir_value *v)
{
    (void)env;
    (void)v;
    return coir_finally(coir_fail(coir_int(1)), noting("inner finalizer"));
}

TEST(io_chain, untaken_value_is_dropped_between_the_finalizers_inside_and_outside)
{
    CHECK_STR(outcome(1, coir_finally(coir_flat_map(coir_pure(thing(3)), fail_inside, NULL), noting("outer finalizer"))), "ERROR 1");
    CHECK_STR(notes(), "inner finalizer -3 outer finalizer");
}

TEST(io_chain, redeem_is_given_the_further_failures_too_and_may_keep_them)
{
    coir_io *io = coir_finally(raising(COIR_ERROR, 1), raising(COIR_PANIC, 2));
    CHECK_STR(outcome(1, coir_redeem(io, keep_result, NULL)), "OK <PANIC thing 2 also(ERROR thing 1)>");
    CHECK_INT(things_alive, 0);
    notes();
}

TEST(io_chain, handler_has_taken_the_failure_with_its_further_failures)
{
    coir_io *two = coir_finally(raising(COIR_ERROR, 1), raising(COIR_ERROR, 2));
    CHECK_STR(outcome(1, coir_catch(two, give_back, NULL)), "OK thing 1");
    CHECK_STR(outcome(1, coir_or_else(coir_finally(raising(COIR_ERROR, 1), raising(COIR_ERROR, 2)), coir_fail(coir_int(5)))), "ERROR 5");
    CHECK_STR(outcome(1, coir_recover(coir_finally(raising(COIR_ERROR, 1), raising(COIR_PANIC, 2)), give_back, NULL)), "OK thing 2");
    CHECK_STR(outcome(1, coir_attempt(coir_finally(ending(COIR_ERROR, 1), ending(COIR_PANIC, 2)))), "OK <PANIC 2 also(ERROR 1)>");
    CHECK_INT(things_alive, 0);
    notes();
}

/* --------------------------------------------------------------------------------- callbacks that break their promise */

static coir_io *null_flat_map(void *env, coir_value *v)         { (void)env; (void)v; return NULL; }
static coir_io *null_redeem(void *env, coir_result *r)          { (void)env; (void)r; return NULL; }
static coir_io *null_final(void *env, const coir_result *r)     { (void)env; (void)r; return NULL; }
static coir_io *null_index(void *env, size_t index)             { (void)env; return index == 1 ? NULL : coir_unit(); }
static coir_io *null_rec(void *env, coir_io *self)              { (void)env; (void)self; return NULL; }
static coir_io *null_suspend(void *env)                         { (void)env; return NULL; }

TEST(io_chain, callback_that_gives_NULL_is_a_panic_that_names_function_and_fiber_and_unwinds)
{
    coir_value three = coir_int(3);
    const struct { const char *function; coir_io *io; const char *outcome; } cases[] = {
        { "coir_suspend", coir_suspend(null_suspend, NULL), "PANIC ENOMEM" },
        { "coir_call", coir_call(thing(1), null_flat_map, NULL), "PANIC ENOMEM" },
        { "coir_flat_map", coir_flat_map(coir_pure(thing(1)), null_flat_map, NULL), "PANIC ENOMEM" },
        { "coir_traverse", coir_traverse(3, null_index, NULL), "PANIC ENOMEM" },
        { "coir_each", coir_each(coir_list(1, &three), null_flat_map, NULL), "PANIC ENOMEM" },
        { "coir_redeem", coir_redeem(coir_fail(coir_int(2)), null_redeem, NULL), "PANIC ENOMEM also(ERROR 2)" },
        { "coir_redeem", coir_redeem(coir_pure(coir_int(2)), null_redeem, NULL), "PANIC ENOMEM" },
        { "coir_catch", coir_catch(coir_fail(coir_int(2)), null_flat_map, NULL), "PANIC ENOMEM also(ERROR 2)" },
        { "coir_recover", coir_recover(ending(COIR_PANIC, 2), null_flat_map, NULL), "PANIC ENOMEM also(PANIC 2)" },
        { "coir_finally_fn", coir_finally_fn(coir_pure(thing(1)), null_final, NULL), "PANIC ENOMEM" },
        { "coir_finally_fn", coir_finally_fn(coir_fail(coir_int(2)), null_final, NULL), "PANIC ENOMEM also(ERROR 2)" },
        { "coir_on_failure", coir_on_failure(coir_fail(coir_int(2)), null_final, NULL), "PANIC ENOMEM also(ERROR 2)" },
        { "coir_iterate", coir_iterate(thing(1), null_flat_map, NULL), "PANIC ENOMEM" },
        { "coir_for_each", coir_for_each(coir_pure(thing(1)), null_flat_map, NULL), "PANIC ENOMEM" },
        { "coir_rec", coir_rec(null_rec, NULL), "PANIC ENOMEM" }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        coir_io *named = coir_io_ref(coir_named(cases[i].io, "worker bee"));
        coir_io *unwinding = coir_finally(named, noting("finalizer"));
        for (int borrowed = 1; borrowed >= 0; borrowed--) {
            CASE("%zu %s%s", i, cases[i].function, borrowed ? ", borrowed" : "");
            coir_result result = run(1, borrowed ? unwinding : named);
            CHECK_STR(describe(&result), cases[i].outcome);
            CHECK_CONTAINS(coir_error_message(&result.value), cases[i].function);
            CHECK_CONTAINS(coir_error_message(&result.value), borrowed ? "fiber" : "worker bee");
            coir_result_drop(&result);
            if (borrowed)
                CHECK_CONTAINS(notes(), "finalizer");
        }
    }
    CHECK_INT(things_alive, 0);
    notes();
}

static coir_value broken(void)                                         { return coir_panic_value("no luck"); }
static coir_value panic_map(void *env, coir_value *v)                  { (void)env; (void)v; return broken(); }
static coir_io *panic_pure(void *env, coir_value *v)                   { (void)env; (void)v; return coir_pure(broken()); }
static coir_value panic_context(void *env, const coir_value *c)        { (void)env; (void)c; return broken(); }

TEST(io_chain, panic_value_that_a_callback_gives_is_a_panic_and_unwinds)
{
    coir_value three = coir_int(3);
    const struct { const char *name; coir_io *io; const char *outcome; } cases[] = {
        { "map", coir_map(coir_pure(thing(1)), panic_map, NULL), "PANIC MISUSE" },
        { "flat_map", coir_flat_map(coir_pure(thing(1)), panic_pure, NULL), "PANIC MISUSE" },
        { "contra_map", coir_contra_map(noting("never"), panic_context, NULL), "PANIC MISUSE" },
        { "each", coir_each(coir_list(1, &three), panic_pure, NULL), "PANIC MISUSE" },
        { "map_error", coir_map_error(coir_fail(coir_int(2)), panic_map, NULL), "PANIC MISUSE also(ERROR 2)" },
        { "map_panic", coir_map_panic(ending(COIR_PANIC, 2), panic_map, NULL), "PANIC MISUSE" },
        { "catch", coir_catch(coir_fail(coir_int(2)), panic_pure, NULL), "PANIC MISUSE" },
        { "iterate", coir_iterate(coir_int(2), panic_pure, NULL), "PANIC MISUSE" }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CASE("%s", cases[i].name);
        coir_io *io = coir_finally(cases[i].io, noting("finalizer"));
        CHECK_STR(outcome(1, coir_io_ref(io)), cases[i].outcome);
        CHECK_CONTAINS(notes(), "finalizer");
        CHECK_STR(outcome(1, io), cases[i].outcome);
        CHECK(strstr(notes(), "never") == NULL);
    }
    CHECK_INT(things_alive, 0);
}

/* --------------------------------------------------------------------------------- the order and severity of failures */

TEST(io_chain, of_two_failures_the_more_severe_is_the_result_and_the_first_among_equals)
{
    /* rows: how io ended; columns: how its finalizer did */
    static const char *const expected[TAGS][TAGS] = {
        { "OK 1",       "ERROR 2",                    "PANIC 2",                    "CANCELED 2" },
        { "ERROR 1",    "ERROR 1 also(ERROR 2)",      "PANIC 2 also(ERROR 1)",      "CANCELED 2 also(ERROR 1)" },
        { "PANIC 1",    "PANIC 1 also(ERROR 2)",      "PANIC 1 also(PANIC 2)",      "CANCELED 2 also(PANIC 1)" },
        { "CANCELED 1", "CANCELED 1 also(ERROR 2)",   "CANCELED 1 also(PANIC 2)",   "CANCELED 1 also(CANCELED 2)" }
    };
    for (coir_tag first = COIR_OK; first <= COIR_CANCELED; first++)
        for (coir_tag last = COIR_OK; last <= COIR_CANCELED; last++) {
            CASE("%d then %d", (int)first, (int)last);
            CHECK_STR(outcome(1, coir_finally(ending(first, 1), ending(last, 2))), expected[first][last]);
            if (first == COIR_CANCELED)
                CHECK_STR(outcome(1, coir_on_cancel(ending(first, 1), ending(last, 2))), expected[first][last]);
            else if (first == COIR_OK)
                CHECK_STR(outcome(1, coir_always(ending(first, 1), ending(last, 2))),
                          last == COIR_OK ? "OK 2" : expected[first][last]);
            else
                CHECK_STR(outcome(1, coir_always(ending(first, 1), ending(last, 2))), expected[first][last]);
        }
}

static coir_io *fail_as(void *env, const coir_result *r)
{
    const coir_tag *tag = env;
    (void)r;
    return ending(*tag, 2);
}

TEST(io_chain, finalizers_that_look_at_the_result_fail_as_others_do)
{
    coir_tag tag = COIR_PANIC;
    CHECK_STR(outcome(1, coir_finally_fn(ending(COIR_ERROR, 1), fail_as, &tag)), "PANIC 2 also(ERROR 1)");
    CHECK_STR(outcome(1, coir_on_failure(ending(COIR_ERROR, 1), fail_as, &tag)), "PANIC 2 also(ERROR 1)");
    CHECK_STR(outcome(1, coir_on_failure_copy(ending(COIR_PANIC, 1), fail_as, &tag, sizeof tag)), "PANIC 1 also(PANIC 2)");
    CHECK_STR(outcome(1, coir_finally_fn(ending(COIR_OK, 1), fail_as, &tag)), "PANIC 2");
}

TEST(io_chain, further_failures_stand_in_the_order_in_which_they_happened)
{
    coir_io *three = coir_finally(coir_finally(ending(COIR_ERROR, 1), ending(COIR_ERROR, 2)), ending(COIR_ERROR, 3));
    CHECK_STR(outcome(1, three), "ERROR 1 also(ERROR 2, ERROR 3)");
    three = coir_finally(coir_finally(ending(COIR_ERROR, 1), ending(COIR_PANIC, 2)), ending(COIR_ERROR, 3));
    CHECK_STR(outcome(1, three), "PANIC 2 also(ERROR 1, ERROR 3)");
    three = coir_finally(coir_finally(ending(COIR_ERROR, 1), ending(COIR_ERROR, 2)), ending(COIR_PANIC, 3));
    CHECK_STR(outcome(1, three), "PANIC 3 also(ERROR 1, ERROR 2)");
    three = coir_finally(ending(COIR_ERROR, 1), coir_finally(ending(COIR_ERROR, 2), ending(COIR_ERROR, 3)));
    CHECK_STR(outcome(1, three), "ERROR 1 also(ERROR 2, ERROR 3)");
    three = coir_finally(coir_finally(ending(COIR_OK, 1), ending(COIR_ERROR, 2)), ending(COIR_ERROR, 3));
    CHECK_STR(outcome(1, three), "ERROR 2 also(ERROR 3)");
}

TEST(io_chain, finalizers_run_once_each_from_the_inside_out_on_every_way_out)
{
    for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
        CASE("%d", (int)tag);
        coir_io *io = coir_then(ending(tag, 1), coir_unit());
        io = coir_finally(coir_finally(coir_finally(io, noting("a")), noting("b")), noting("c"));
        coir_result result = run(1, io);
        CHECK_TAG(result, tag);
        CHECK_STR(notes(), "a b c");
    }
}

TEST(io_chain, finalizer_after_a_finalizer_that_failed_runs_all_the_same)
{
    CHECK_STR(outcome(1, coir_finally(coir_finally(coir_unit(), ending(COIR_PANIC, 1)), noting("outer"))), "PANIC 1");
    CHECK_STR(notes(), "outer");
}

TEST(io_chain, value_of_a_finalizer_is_dropped)
{
    CHECK_STR(outcome(1, coir_then(coir_finally(coir_pure(coir_int(1)), coir_pure(thing(3))), noting("after"))), "OK 0");
    CHECK_STR(notes(), "-3 after");
}

TEST(io_chain, map_error_visits_the_further_errors_too_and_map_panic_the_panics)
{
    for (int shared = 0; shared < 2; shared++) {
        coir_io *io = coir_finally(coir_finally(ending(COIR_ERROR, 1), ending(COIR_PANIC, 2)), ending(COIR_ERROR, 3));
        coir_io *errors = coir_map_error(coir_io_ref(io), map, &forty), *panics = coir_map_panic(io, map, &forty);
        CHECK_STR(outcome(1, shared ? coir_io_ref(errors) : errors), "PANIC 2 also(ERROR 41, ERROR 43)");
        CHECK_STR(notes(), "fn 1 fn 3");
        CHECK_STR(outcome(1, shared ? coir_io_ref(panics) : panics), "PANIC 42 also(ERROR 1, ERROR 3)");
        CHECK_STR(notes(), "fn 2");
        if (shared) {
            coir_io_drop(errors);
            coir_io_drop(panics);
        }
    }
}

TEST(io_chain, catch_code_knows_plain_codes_and_those_of_errors)
{
    CHECK_STR(outcome(1, coir_catch_code(coir_failf(ENOENT, "x"), ENOENT, coir_pure(coir_int(1)))), "OK 1");
    CHECK_STR(outcome(1, coir_catch_code(coir_failf(EACCES, "x"), ENOENT, coir_pure(coir_int(1)))), "ERROR code 13");
    CHECK_STR(outcome(1, coir_catch_code(coir_fail(coir_int(-7)), -7, coir_pure(coir_int(1)))), "OK 1");
    CHECK_STR(outcome(1, coir_catch_code(coir_fail(thing(3)), 3, coir_pure(coir_int(1)))), "ERROR thing 3");
    notes();
}

/* As coir_failed_with() has it: what is neither an error nor a plain number has no code, not even 0. */
TEST(io_chain, catch_code_0_leaves_what_has_no_code)
{
    const coir_value without[] = { thing(3), coir_string("text", 4), coir_list(0, NULL), coir_int(INT64_C(1) << 40) };
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        CASE("%zu", i);
        coir_result result = run(1, coir_catch_code(coir_fail(without[i]), 0, coir_pure(coir_int(5))));
        CHECK_TAG(result, COIR_ERROR);
        coir_result_drop(&result);
    }
    CHECK_STR(outcome(1, coir_catch_code(coir_fail(coir_none()), 0, coir_pure(coir_int(5)))), "OK 5");
    CHECK_STR(outcome(1, coir_catch_code(coir_failf(0, "zero"), 0, coir_pure(coir_int(5)))), "OK 5");
    CHECK_INT(things_alive, 0);
}

TEST(io_chain, or_panic_keeps_payload_and_further_failures)
{
    CHECK_STR(outcome(1, coir_or_panic(coir_finally(raising(COIR_ERROR, 1), ending(COIR_ERROR, 2)))), "PANIC thing 1 also(ERROR 2)");
    CHECK_STR(notes(), "-1");
}

TEST(io_chain, on_cancel_sees_cancellation_and_on_failure_does_not)
{
    coir_io *canceled = coir_on_failure(coir_on_cancel(ending(COIR_CANCELED, 1), noting("on_cancel")), final, &forty);
    coir_io *caught = coir_redeem(coir_attempt(coir_recover(coir_catch(canceled, flat_map, &forty), flat_map, &forty)), redeem, &forty);
    CHECK_STR(outcome(1, coir_or_else(caught, noting("or_else"))), "CANCELED 1");
    CHECK_STR(notes(), "on_cancel");
}

/* ------------------------------------------------------------------------------------------------------------ several */

static coir_io *index_pure(void *env, size_t index)
{
    note("%zu", index);
    return coir_pure(coir_int((int64_t)index + (env == NULL ? 0 : *(const int64_t *)env)));
}

static coir_io *index_fails(void *env, size_t index)
{
    const size_t *at = env;
    return index == *at ? coir_fail(coir_int((int64_t)index)) : coir_pure(thing((int)index));
}

TEST(io_chain, sequence_gives_the_last_value_and_of_none_none)
{
    CHECK_STR(outcome(1, coir_sequence(0, NULL)), "OK 0");
    CHECK_STR(outcome(1, coir_sequence(COIR_IOS(coir_pure(thing(1))))), "OK thing 1");
    CHECK_STR(outcome(1, coir_sequence(COIR_IOS(coir_pure(thing(2)), noting("x"), coir_pure(thing(3))))), "OK thing 3");
    CHECK_STR(notes(), "-1 -2 x -3");
}

TEST(io_chain, zip_gives_the_values_in_order_and_of_none_the_empty_list)
{
    CHECK_STR(outcome(1, coir_zip(0, NULL)), "OK []");
    CHECK_STR(outcome(1, coir_zip(COIR_IOS(coir_pure(thing(1)), coir_unit(), coir_pure(thing(3))))), "OK [thing 1 0 thing 3]");
    CHECK_STR(notes(), "-1 -3");
}

TEST(io_chain, sequence_and_zip_stop_at_the_first_that_is_not_OK)
{
    for (coir_tag tag = COIR_ERROR; tag <= COIR_CANCELED; tag++)
        for (size_t at = 0; at < 3; at++)
            for (int shared = 0; shared < 4; shared++) {
                CASE("tag %d at %zu, %d", (int)tag, at, shared);
                coir_io *ios[3];
                for (size_t i = 0; i < 3; i++)
                    ios[i] = i == at ? ending(tag, 7) : coir_pure(thing((int)i));
                coir_io *io = shared & 1 ? coir_zip(3, ios) : coir_sequence(3, ios);
                coir_result result = run(1, shared & 2 ? coir_io_ref(io) : io);
                CHECK_TAG(result, tag);
                CHECK_INT(result.value.i64, 7);
                coir_result_drop(&result);
                if (shared & 2)
                    coir_io_drop(io);
                CHECK_INT(things_alive, 0);
                CHECK(strchr(notes(), '!') == NULL);
            }
}

TEST(io_chain, traverse_makes_each_io_when_the_one_before_has_ended)
{
    CHECK_STR(outcome(1, coir_traverse(0, index_pure, NULL)), "OK []");
    CHECK_STR(outcome(1, coir_traverse(3, index_pure, NULL)), "OK [0 1 2]");
    CHECK_STR(notes(), "0 1 2");
    CHECK_STR(outcome(1, coir_traverse_copy(3, index_pure, &forty, sizeof forty)), "OK [40 41 42]");
    notes();
    for (size_t at = 0; at < 3; at++) {
        CHECK_CONTAINS(outcome(1, coir_traverse(3, index_fails, &at)), "ERROR");
        CHECK_INT(things_alive, 0);
    }
    notes();
}

TEST(io_chain, traverse_of_more_than_there_is_memory_for_is_a_panic)
{
    CHECK_STR(outcome(1, coir_finally(coir_traverse(SIZE_MAX, index_pure, NULL), noting("finalizer"))), "PANIC ENOMEM");
    CHECK_STR(notes(), "finalizer");
    CHECK_STR(outcome(1, coir_traverse(SIZE_MAX / sizeof(coir_value), index_pure, NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_traverse(SIZE_MAX / sizeof(coir_value) + 1, index_pure, NULL)), "PANIC ENOMEM");
}

static coir_io *add_each(void *env, coir_value *v) { return coir_pure(coir_int(v->i64 + (env == NULL ? 0 : *(const int64_t *)env))); }

TEST(io_chain, each_lends_the_items_in_turn)
{
    coir_value numbers[] = { coir_int(1), coir_int(2) }, things[] = { thing(1), thing(2) };
    CHECK_STR(outcome(1, coir_each(coir_list(0, NULL), add_each, NULL)), "OK []");
    CHECK_STR(outcome(1, coir_each(coir_list(2, numbers), add_each, NULL)), "OK [1 2]");
    CHECK_STR(outcome(1, coir_each_copy(coir_list(2, numbers), add_each, &forty, sizeof forty)), "OK [41 42]");
    CHECK_STR(outcome(1, coir_each(coir_list(2, things), leave, NULL)), "OK [0 0]");
    CHECK_STR(notes(), "fn 1 inner -1 fn 2 inner -2");
}

TEST(io_chain, each_of_a_list_that_others_share_leaves_it_as_it_was)
{
    coir_value things[] = { thing(1), thing(2) };
    coir_value list = coir_list(2, things);
    CHECK_STR(outcome(1, coir_each(coir_share(&list), give_back, NULL)), "OK [thing 1 thing 2]");
    CHECK_STR(notes(), "");
    CHECK_INT(thing_number(coir_list_at(&list, 0)), 1);
    coir_drop(list);
    CHECK_STR(notes(), "-1 -2");
}

TEST(io_chain, each_of_what_is_no_list_is_a_panic)
{
    CHECK_STR(outcome(1, coir_each(coir_int(3), add_each, NULL)), "PANIC MISUSE");
    CHECK_STR(outcome(1, coir_each(thing(3), add_each, NULL)), "PANIC MISUSE");
    CHECK_STR(notes(), "-3");
}

TEST(io_chain, each_stops_at_the_first_failure_and_drops_the_rest)
{
    coir_value things[] = { thing(1), thing(2), thing(3) };
    CHECK_STR(outcome(1, coir_each(coir_list(3, things), fail_inside, NULL)), "ERROR 1");
    CHECK_INT(things_alive, 0);
    notes();
}

/* From where all stand in the node itself to where none does. */
static const size_t sizes[] = { 1, 2, 511, 512, 513, 10000, 300000 };
static int sizes_count(void) { return sized(7, 5); }

TEST(io_chain, several_may_be_any_number)
{
    for (int s = 0; s < sizes_count(); s++) {
        size_t count = sizes[s];
        coir_io **ios = malloc(count * sizeof *ios);
        for (size_t i = 0; i < count; i++)
            ios[i] = coir_pure(coir_int((int64_t)i));
        coir_io *zip = coir_io_ref(coir_zip(count, ios));
        for (int rest = 1; rest >= 0; rest--) {
            CASE("%zu%s", count, rest > 0 ? ", borrowed" : "");
            coir_result result = run(2, zip);
            CHECK_TAG(result, COIR_OK);
            CHECK_UINT(coir_list_size(&result.value), count);
            CHECK_INT(coir_list_at(&result.value, count - 1)->i64, (int64_t)count - 1);
            coir_result_drop(&result);
        }
        for (size_t i = 0; i < count; i++)
            ios[i] = coir_pure(coir_int((int64_t)i));
        coir_io *sequence = coir_io_ref(coir_sequence(count, ios));
        for (int rest = 1; rest >= 0; rest--) {
            coir_result result = run(2, sequence);
            CHECK_OK_INT(result, (int64_t)count - 1);
        }
        free(ios);
    }
}

static coir_io *one_that_fails(coir_io *(*several)(size_t, coir_io *const *), size_t count, size_t at)
{
    coir_io **ios = malloc(count * sizeof *ios);
    for (size_t i = 0; i < count; i++)
        ios[i] = i == at ? coir_fail(coir_int(7)) : coir_pure(thing(1));
    coir_io *io = several(count, ios);
    free(ios);
    return io;
}

TEST(io_chain, of_any_number_the_rest_is_dropped_after_a_failure_and_all_when_unrun)
{
    for (int s = 0; s + 1 < sizes_count(); s++)
        for (int sequence = 0; sequence < 2; sequence++) {
            coir_io *(*several)(size_t, coir_io *const *) = sequence ? coir_sequence : coir_zip;
            CASE("%zu, %d", sizes[s], sequence);
            CHECK_STR(outcome(1, one_that_fails(several, sizes[s], sizes[s] / 2)), "ERROR 7");
            CHECK_INT(things_alive, 0);
            coir_io *shared = one_that_fails(several, sizes[s], sizes[s] - 1);
            CHECK_STR(outcome(1, coir_io_ref(shared)), "ERROR 7");
            coir_io_drop(shared);
            CHECK_INT(things_alive, 0);
            coir_io_drop(one_that_fails(several, sizes[s], 0));
            CHECK_INT(things_alive, 0);
        }
}

TEST(io_chain, flatten_runs_the_io_that_is_the_value)
{
    CHECK_STR(outcome(1, coir_flatten(coir_pure(coir_io_value(coir_pure(thing(3)))))), "OK thing 3");
    CHECK_STR(outcome(1, coir_flatten(coir_pure(thing(4)))), "PANIC MISUSE");
    coir_io *shared = coir_flatten(coir_pure(coir_io_value(coir_pure(thing(5)))));
    CHECK_STR(outcome(1, coir_zip(COIR_IOS(coir_io_ref(shared), shared))), "OK [thing 5 thing 5]");
    CHECK_STR(notes(), "-3 -4 -5");
}

/* --------------------------------------------------------------------------------------------- one io, many runs at once */

static coir_io *wait_all(void *env, coir_value *fibers) { (void)env; return coir_wait(fibers); }

static coir_value noiseless(void *env, coir_value *v)             { return coir_int(*(const int64_t *)env + v->i64); }
static coir_io *noiseless_io(void *env, coir_value *v)            { return coir_pure(coir_int(*(const int64_t *)env + v->i64)); }
static coir_io *noiseless_final(void *env, const coir_result *r)  { (void)env; (void)r; return coir_yield(); }

static coir_io *busy(void)
{
    coir_io *io = coir_then(coir_yield(), coir_map_copy(coir_pure(coir_int(1)), noiseless, &forty, sizeof forty));
    io = coir_catch(coir_flat_map(io, noiseless_io, &forty), noiseless_io, &forty);
    io = coir_finally_fn(coir_then_keep(io, coir_yield()), noiseless_final, NULL);
    io = coir_zip(COIR_IOS(io, coir_yield(), coir_or_else(coir_fail(coir_int(1)), coir_pure(thing(3)))));
    return coir_repeat(coir_sequence(COIR_IOS(coir_yield(), io)), 3);
}

TEST(io_chain, one_io_runs_many_times_at_once_as_if_it_were_alone)
{
    enum { RUNS = 100 };
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(20); round++) {
            coir_io *io = busy(), *ios[RUNS];
            for (int i = 0; i < RUNS; i++)
                ios[i] = i == 0 ? io : coir_io_ref(io);
            coir_result result = run(workers, coir_flat_map(coir_parallel(RUNS, ios), wait_all, NULL));
            CHECK_TAG(result, COIR_OK);
            for (size_t i = 0; i < RUNS; i++)
                CHECK_STR(describe(coir_result_in(coir_list_at(&result.value, i))), "OK [81 0 thing 3]");
            coir_result_drop(&result);
            CHECK_STR(notes(), "-3");
        }
}
