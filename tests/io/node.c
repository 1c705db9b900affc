/*
 * node.c - tests of references, of dropping whatever its depth, and of what builders refuse
 */
#include "program.h"

#include <stdalign.h>

/* ------------------------------------------------------------------------------------------- callbacks for every builder */

static coir_result give_none(void *env)                                     { (void)env; return coir_ok(coir_none()); }
static coir_result read_none(void *env, const coir_value *context)          { (void)env; (void)context; return coir_ok(coir_none()); }
static coir_io *suspend_unit(void *env)                                     { (void)env; return coir_unit(); }
static coir_value map_none(void *env, coir_value *value)                    { (void)env; (void)value; return coir_none(); }
static coir_io *flat_map_unit(void *env, coir_value *value)                 { (void)env; (void)value; return coir_unit(); }
static coir_io *redeem_unit(void *env, coir_result *result)                 { (void)env; (void)result; return coir_unit(); }
static coir_io *final_unit(void *env, const coir_result *result)            { (void)env; (void)result; return coir_unit(); }
static coir_io *index_unit(void *env, size_t index)                         { (void)env; (void)index; return coir_unit(); }
static coir_io *rec_unit(void *env, coir_io *self)                          { (void)env; (void)self; return coir_unit(); }
static bool test_false(void *env, const coir_value *value)                  { (void)env; (void)value; return false; }
static void look_away(void *env, const coir_value *value)                   { (void)env; (void)value; }
static coir_value context_none(void *env, const coir_value *context)        { (void)env; (void)context; return coir_none(); }
static coir_io *step_unit(coir_routine *self)                               { COIR_BEGIN(self, char, my); (void)my; COIR_END; }

/* ------------------------------------------------------------------------------------------------------------ NULL ios */

static coir_key *some_key(void)
{
    static coir_key *key;
    if (key == NULL)
        key = coir_key_new(coir_none());
    return key;
}

/* The other io is one that shows whether it is dropped. */
static coir_io *other(void) { return coir_pure(thing(9)); }

static coir_io *null_map(void)              { return coir_map(NULL, map_none, NULL); }
static coir_io *null_map_copy(void)         { return coir_map_copy(NULL, map_none, "x", 1); }
static coir_io *null_flat_map(void)         { return coir_flat_map(NULL, flat_map_unit, NULL); }
static coir_io *null_flat_map_copy(void)    { return coir_flat_map_copy(NULL, flat_map_unit, "x", 1); }
static coir_io *null_then_first(void)       { return coir_then(NULL, other()); }
static coir_io *null_then_second(void)      { return coir_then(other(), NULL); }
static coir_io *null_keep_first(void)       { return coir_then_keep(NULL, other()); }
static coir_io *null_keep_second(void)      { return coir_then_keep(other(), NULL); }
static coir_io *null_as(void)               { return coir_as(NULL, thing(9)); }
static coir_io *null_tap(void)              { return coir_tap(NULL, look_away, NULL); }
static coir_io *null_tap_copy(void)         { return coir_tap_copy(NULL, look_away, "x", 1); }
static coir_io *null_flatten(void)          { return coir_flatten(NULL); }
static coir_io *null_when(void)             { return coir_when(true, NULL); }
static coir_io *null_when_not(void)         { return coir_when(false, NULL); }
static coir_io *null_sequence(void)         { return coir_sequence(COIR_IOS(other(), NULL, other())); }
static coir_io *null_zip(void)              { return coir_zip(COIR_IOS(NULL, other())); }
static coir_io *null_attempt(void)          { return coir_attempt(NULL); }
static coir_io *null_redeem(void)           { return coir_redeem(NULL, redeem_unit, NULL); }
static coir_io *null_redeem_copy(void)      { return coir_redeem_copy(NULL, redeem_unit, "x", 1); }
static coir_io *null_catch(void)            { return coir_catch(NULL, flat_map_unit, NULL); }
static coir_io *null_catch_copy(void)       { return coir_catch_copy(NULL, flat_map_unit, "x", 1); }
static coir_io *null_catch_code(void)       { return coir_catch_code(NULL, 1, other()); }
static coir_io *null_catch_code_2(void)     { return coir_catch_code(other(), 1, NULL); }
static coir_io *null_or_else(void)          { return coir_or_else(NULL, other()); }
static coir_io *null_or_else_2(void)        { return coir_or_else(other(), NULL); }
static coir_io *null_recover(void)          { return coir_recover(NULL, flat_map_unit, NULL); }
static coir_io *null_recover_copy(void)     { return coir_recover_copy(NULL, flat_map_unit, "x", 1); }
static coir_io *null_map_error(void)        { return coir_map_error(NULL, map_none, NULL); }
static coir_io *null_map_error_copy(void)   { return coir_map_error_copy(NULL, map_none, "x", 1); }
static coir_io *null_map_panic(void)        { return coir_map_panic(NULL, map_none, NULL); }
static coir_io *null_map_panic_copy(void)   { return coir_map_panic_copy(NULL, map_none, "x", 1); }
static coir_io *null_or_panic(void)         { return coir_or_panic(NULL); }
static coir_io *null_finally(void)          { return coir_finally(NULL, other()); }
static coir_io *null_finally_2(void)        { return coir_finally(other(), NULL); }
static coir_io *null_finally_fn(void)       { return coir_finally_fn(NULL, final_unit, NULL); }
static coir_io *null_finally_fn_copy(void)  { return coir_finally_fn_copy(NULL, final_unit, "x", 1); }
static coir_io *null_on_failure(void)       { return coir_on_failure(NULL, final_unit, NULL); }
static coir_io *null_on_failure_copy(void)  { return coir_on_failure_copy(NULL, final_unit, "x", 1); }
static coir_io *null_on_cancel(void)        { return coir_on_cancel(NULL, other()); }
static coir_io *null_on_cancel_2(void)      { return coir_on_cancel(other(), NULL); }
static coir_io *null_always(void)           { return coir_always(NULL, other()); }
static coir_io *null_always_2(void)         { return coir_always(other(), NULL); }
static coir_io *null_repeat(void)           { return coir_repeat(NULL, 3); }
static coir_io *null_forever(void)          { return coir_forever(NULL); }
static coir_io *null_while(void)            { return coir_while(NULL, test_false, NULL); }
static coir_io *null_while_copy(void)       { return coir_while_copy(NULL, test_false, "x", 1); }
static coir_io *null_for_each(void)         { return coir_for_each(NULL, flat_map_unit, NULL); }
static coir_io *null_for_each_copy(void)    { return coir_for_each_copy(NULL, flat_map_unit, "x", 1); }
static coir_io *null_local(void)            { return coir_local(NULL, thing(9)); }
static coir_io *null_contra_map(void)       { return coir_contra_map(NULL, context_none, NULL); }
static coir_io *null_contra_map_copy(void)  { return coir_contra_map_copy(NULL, context_none, "x", 1); }
static coir_io *null_with_key(void)         { return coir_with_key(some_key(), thing(9), NULL); }
static coir_io *null_with_no_key(void)      { return coir_with_key(NULL, thing(9), other()); }
static coir_io *null_key_get(void)          { return coir_key_get(NULL); }
static coir_io *null_named(void)            { return coir_named(NULL, "name"); }
static coir_io *null_fork(void)             { return coir_fork(NULL); }
static coir_io *null_parallel(void)         { return coir_parallel(COIR_IOS(other(), NULL)); }

typedef coir_io *make_fn(void);
static make_fn *const with_null[] = {
    null_map, null_map_copy, null_flat_map, null_flat_map_copy, null_then_first, null_then_second, null_keep_first, null_keep_second,
    null_as, null_tap, null_tap_copy, null_flatten, null_when, null_when_not, null_sequence, null_zip, null_attempt, null_redeem,
    null_redeem_copy, null_catch, null_catch_copy, null_catch_code, null_catch_code_2, null_or_else, null_or_else_2, null_recover,
    null_recover_copy, null_map_error, null_map_error_copy, null_map_panic, null_map_panic_copy, null_or_panic, null_finally,
    null_finally_2, null_finally_fn, null_finally_fn_copy, null_on_failure, null_on_failure_copy, null_on_cancel, null_on_cancel_2,
    null_always, null_always_2, null_repeat, null_forever, null_while, null_while_copy, null_for_each, null_for_each_copy, null_local,
    null_contra_map, null_contra_map_copy, null_with_key, null_with_no_key, null_key_get, null_named, null_fork, null_parallel
};

TEST(io_node, whatever_is_built_of_NULL_is_NULL_and_what_came_with_it_is_dropped)
{
    for (size_t i = 0; i < sizeof with_null / sizeof *with_null; i++) {
        CASE("%zu", i);
        CHECK_PTR(with_null[i](), NULL);
        CHECK_INT(things_alive, 0);
        CHECK(strchr(notes(), '!') == NULL);
    }
    coir_key_drop(some_key());
}

TEST(io_node, running_NULL_is_a_panic_that_says_no_memory)
{
    FOR_WORKERS(workers, 1, 2) {
        coir_result result = run(workers, NULL);
        CHECK_CODE(result, COIR_PANIC, ENOMEM);
        coir_result_drop(&result);
    }
}

TEST(io_node, NULL_is_harmless_to_ref_and_drop)
{
    CHECK_PTR(coir_io_ref(NULL), NULL);
    coir_io_drop(NULL);
}

/* ------------------------------------------------------------------------------------------------------ NULL callbacks */

static coir_io *bad_defer(void)             { return coir_defer(NULL, NULL); }
static coir_io *bad_defer_copy(void)        { return coir_defer_copy(NULL, "x", 1); }
static coir_io *bad_suspend(void)           { return coir_suspend(NULL, NULL); }
static coir_io *bad_suspend_copy(void)      { return coir_suspend_copy(NULL, "x", 1); }
static coir_io *bad_defer_read(void)        { return coir_defer_read(NULL, NULL); }
static coir_io *bad_defer_read_copy(void)   { return coir_defer_read_copy(NULL, "x", 1); }
static coir_io *bad_call(void)              { return coir_call(thing(9), NULL, NULL); }
static coir_io *bad_call_copy(void)         { return coir_call_copy(thing(9), NULL, "x", 1); }
static coir_io *bad_map(void)               { return coir_map(other(), NULL, NULL); }
static coir_io *bad_map_copy(void)          { return coir_map_copy(other(), NULL, "x", 1); }
static coir_io *bad_flat_map(void)          { return coir_flat_map(other(), NULL, NULL); }
static coir_io *bad_flat_map_copy(void)     { return coir_flat_map_copy(other(), NULL, "x", 1); }
static coir_io *bad_tap(void)               { return coir_tap(other(), NULL, NULL); }
static coir_io *bad_tap_copy(void)          { return coir_tap_copy(other(), NULL, "x", 1); }
static coir_io *bad_traverse(void)          { return coir_traverse(3, NULL, NULL); }
static coir_io *bad_traverse_copy(void)     { return coir_traverse_copy(3, NULL, "x", 1); }
static coir_io *bad_each(void)              { return coir_each(coir_list(0, NULL), NULL, NULL); }
static coir_io *bad_each_copy(void)         { return coir_each_copy(thing(9), NULL, "x", 1); }
static coir_io *bad_redeem(void)            { return coir_redeem(other(), NULL, NULL); }
static coir_io *bad_redeem_copy(void)       { return coir_redeem_copy(other(), NULL, "x", 1); }
static coir_io *bad_catch(void)             { return coir_catch(other(), NULL, NULL); }
static coir_io *bad_catch_copy(void)        { return coir_catch_copy(other(), NULL, "x", 1); }
static coir_io *bad_recover(void)           { return coir_recover(other(), NULL, NULL); }
static coir_io *bad_recover_copy(void)      { return coir_recover_copy(other(), NULL, "x", 1); }
static coir_io *bad_map_error(void)         { return coir_map_error(other(), NULL, NULL); }
static coir_io *bad_map_error_copy(void)    { return coir_map_error_copy(other(), NULL, "x", 1); }
static coir_io *bad_map_panic(void)         { return coir_map_panic(other(), NULL, NULL); }
static coir_io *bad_map_panic_copy(void)    { return coir_map_panic_copy(other(), NULL, "x", 1); }
static coir_io *bad_finally_fn(void)        { return coir_finally_fn(other(), NULL, NULL); }
static coir_io *bad_finally_fn_copy(void)   { return coir_finally_fn_copy(other(), NULL, "x", 1); }
static coir_io *bad_on_failure(void)        { return coir_on_failure(other(), NULL, NULL); }
static coir_io *bad_on_failure_copy(void)   { return coir_on_failure_copy(other(), NULL, "x", 1); }
static coir_io *bad_iterate(void)           { return coir_iterate(thing(9), NULL, NULL); }
static coir_io *bad_iterate_copy(void)      { return coir_iterate_copy(thing(9), NULL, "x", 1); }
static coir_io *bad_while(void)             { return coir_while(other(), NULL, NULL); }
static coir_io *bad_while_copy(void)        { return coir_while_copy(other(), NULL, "x", 1); }
static coir_io *bad_for_each(void)          { return coir_for_each(other(), NULL, NULL); }
static coir_io *bad_for_each_copy(void)     { return coir_for_each_copy(other(), NULL, "x", 1); }
static coir_io *bad_rec(void)               { return coir_rec(NULL, NULL); }
static coir_io *bad_rec_copy(void)          { return coir_rec_copy(NULL, "x", 1); }
static coir_io *bad_contra_map(void)        { return coir_contra_map(other(), NULL, NULL); }
static coir_io *bad_contra_map_copy(void)   { return coir_contra_map_copy(other(), NULL, "x", 1); }
static coir_io *bad_do(void)                { return coir_do(NULL, "x", 1); }
static coir_io *bad_sequence(void)          { return coir_sequence(3, NULL); }
static coir_io *bad_zip(void)               { return coir_zip(3, NULL); }
static coir_io *bad_parallel(void)          { return coir_parallel(3, NULL); }

static const struct refused { const char *function; make_fn *make; } refused[] = {
    { "coir_defer",         bad_defer },        { "coir_defer_copy",        bad_defer_copy },
    { "coir_suspend",       bad_suspend },      { "coir_suspend_copy",      bad_suspend_copy },
    { "coir_defer_read",    bad_defer_read },   { "coir_defer_read_copy",   bad_defer_read_copy },
    { "coir_call",          bad_call },         { "coir_call_copy",         bad_call_copy },
    { "coir_map",           bad_map },          { "coir_map_copy",          bad_map_copy },
    { "coir_flat_map",      bad_flat_map },     { "coir_flat_map_copy",     bad_flat_map_copy },
    { "coir_tap",           bad_tap },          { "coir_tap_copy",          bad_tap_copy },
    { "coir_traverse",      bad_traverse },     { "coir_traverse_copy",     bad_traverse_copy },
    { "coir_each",          bad_each },         { "coir_each_copy",         bad_each_copy },
    { "coir_redeem",        bad_redeem },       { "coir_redeem_copy",       bad_redeem_copy },
    { "coir_catch",         bad_catch },        { "coir_catch_copy",        bad_catch_copy },
    { "coir_recover",       bad_recover },      { "coir_recover_copy",      bad_recover_copy },
    { "coir_map_error",     bad_map_error },    { "coir_map_error_copy",    bad_map_error_copy },
    { "coir_map_panic",     bad_map_panic },    { "coir_map_panic_copy",    bad_map_panic_copy },
    { "coir_finally_fn",    bad_finally_fn },   { "coir_finally_fn_copy",   bad_finally_fn_copy },
    { "coir_on_failure",    bad_on_failure },   { "coir_on_failure_copy",   bad_on_failure_copy },
    { "coir_iterate",       bad_iterate },      { "coir_iterate_copy",      bad_iterate_copy },
    { "coir_while",         bad_while },        { "coir_while_copy",        bad_while_copy },
    { "coir_for_each",      bad_for_each },     { "coir_for_each_copy",     bad_for_each_copy },
    { "coir_rec",           bad_rec },          { "coir_rec_copy",          bad_rec_copy },
    { "coir_contra_map",    bad_contra_map },   { "coir_contra_map_copy",   bad_contra_map_copy },
    { "coir_do",            bad_do },           { "coir_sequence",          bad_sequence },
    { "coir_zip",           bad_zip },          { "coir_parallel",          bad_parallel }
};

TEST(io_node, NULL_callback_gives_a_panic_that_names_the_function)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        CASE("%s", refused[i].function);
        coir_io *io = refused[i].make();
        CHECK_INT(things_alive, 0);
        CHECK(strchr(notes(), '!') == NULL);
        coir_result result = run(1, io);
        CHECK_CODE(result, COIR_PANIC, EINVAL);
        char named[64];
        snprintf(named, sizeof named, "%s:", refused[i].function);
        CHECK_CONTAINS(coir_error_message(&result.value), named);
        coir_result_drop(&result);
    }
}

/* ------------------------------------------------------------------------------------------------------ captured bytes */

enum { MOST = 64 << 10 };

static coir_io *capturing(size_t which, const void *bytes, size_t size)
{
    switch (which) {
    case 0:  return coir_defer_copy(give_none, bytes, size);
    case 1:  return coir_suspend_copy(suspend_unit, bytes, size);
    case 2:  return coir_defer_read_copy(read_none, bytes, size);
    case 3:  return coir_call_copy(thing(9), flat_map_unit, bytes, size);
    case 4:  return coir_map_copy(other(), map_none, bytes, size);
    case 5:  return coir_flat_map_copy(other(), flat_map_unit, bytes, size);
    case 6:  return coir_tap_copy(coir_unit(), look_away, bytes, size);
    case 7:  return coir_traverse_copy(0, index_unit, bytes, size);
    case 8:  return coir_each_copy(coir_list(0, NULL), flat_map_unit, bytes, size);
    case 9:  return coir_redeem_copy(other(), redeem_unit, bytes, size);
    case 10: return coir_catch_copy(coir_fail(thing(9)), flat_map_unit, bytes, size);
    case 11: return coir_recover_copy(coir_unit(), flat_map_unit, bytes, size);
    case 12: return coir_map_error_copy(coir_unit(), map_none, bytes, size);
    case 13: return coir_map_panic_copy(coir_unit(), map_none, bytes, size);
    case 14: return coir_finally_fn_copy(coir_unit(), final_unit, bytes, size);
    case 15: return coir_on_failure_copy(coir_unit(), final_unit, bytes, size);
    case 16: return coir_iterate_copy(thing(9), flat_map_unit, bytes, size);
    case 17: return coir_while_copy(coir_unit(), test_false, bytes, size);
    case 18: return coir_for_each_copy(coir_unit(), flat_map_unit, bytes, size);
    case 19: return coir_rec_copy(rec_unit, bytes, size);
    case 20: return coir_contra_map_copy(coir_unit(), context_none, bytes, size);
    case 21: return coir_do(step_unit, bytes, size);
    default: return NULL;
    }
}

TEST(io_node, more_than_64_KiB_of_env_is_a_panic)
{
    static const char bytes[MOST + 1];
    coir_io *io;
    for (size_t i = 0; (io = capturing(i, bytes, MOST + 1)) != NULL; i++) {
        CASE("%zu", i);
        CHECK_INT(things_alive, 0);
        coir_result result = run(1, io);
        CHECK_CODE(result, COIR_PANIC, EINVAL);
        CHECK_CONTAINS(coir_error_message(&result.value), ": size is more than 64 KiB");
        coir_result_drop(&result);
    }
    notes();
}

TEST(io_node, a_size_that_would_overflow_is_a_panic)
{
    coir_result result = run(1, coir_map_copy(other(), map_none, "x", SIZE_MAX));
    CHECK_CODE(result, COIR_PANIC, EINVAL);
    coir_result_drop(&result);
    CHECK_STR(notes(), "-9");
}

TEST(io_node, bytes_that_are_NULL_are_a_panic_and_none_of_them_are_none)
{
    enum { FRAME = 21 };                                /* of coir_do(): NULL is one of zeros */
    for (size_t i = 0; i < FRAME; i++) {
        CASE("%zu", i);
        coir_result result = run(1, capturing(i, NULL, 8));
        CHECK_CODE(result, COIR_PANIC, EINVAL);
        coir_result_drop(&result);
    }
    for (size_t i = 0; i < FRAME; i++) {
        CASE("%zu, of size 0", i);
        coir_result result = run(1, capturing(i, NULL, 0));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
    }
    CHECK_INT(things_alive, 0);
    notes();
}

static coir_result check_all_bytes(void *env)
{
    const unsigned char *bytes = env;
    for (size_t i = 0; i < MOST; i++)
        if (bytes[i] != (unsigned char)(i % 251))
            return coir_raise(coir_int((int64_t)i));
    return coir_ok(coir_int((uintptr_t)env % alignof(max_align_t) == 0));
}

TEST(io_node, exactly_64_KiB_of_env_arrive_whole_and_aligned)
{
    static unsigned char bytes[MOST];
    for (size_t i = 0; i < MOST; i++)
        bytes[i] = (unsigned char)(i % 251);
    coir_io *io = coir_defer_copy(check_all_bytes, bytes, sizeof bytes);
    memset(bytes, 0, sizeof bytes);
    CHECK_STR(outcome(1, coir_io_ref(io)), "OK 1");
    CHECK_STR(outcome(2, io), "OK 1");
}

static coir_result is_aligned(void *env) { return coir_ok(coir_int((uintptr_t)env % alignof(max_align_t) == 0)); }

TEST(io_node, captured_bytes_of_any_size_are_aligned_as_by_malloc)
{
    static const char bytes[400];
    for (size_t size = 1; size <= sizeof bytes; size++)
        CHECK_STR(outcome(1, coir_defer_copy(is_aligned, bytes, size)), "OK 1");
}

/* ------------------------------------------------------------------------------------------------- dropping, unrun */

static coir_value map_it(void *env, coir_value *value) { (void)env; return coir_take(value); }
static coir_io *pure_it(void *env, coir_value *value)  { (void)env; return coir_pure(coir_take(value)); }
static void ignore(void *env)                          { (void)env; }

/* What is left at the end is dropped by the process. */
static coir_lock *some_lock(void)
{
    static coir_lock *lock;
    if (lock == NULL)
        lock = coir_lock_new();
    return lock;
}

static coir_semaphore *some_semaphore(void)
{
    static coir_semaphore *semaphore;
    if (semaphore == NULL)
        semaphore = coir_semaphore_new(INT64_MAX);
    return semaphore;
}

/* One more layer around io. */
static coir_io *layer(size_t which, coir_io *io)
{
    switch (which) {
    case 0:  return coir_map(io, map_it, NULL);
    case 1:  return coir_flat_map(io, pure_it, NULL);
    case 2:  return coir_then(io, coir_unit());
    case 3:  return coir_then(coir_unit(), io);
    case 4:  return coir_then_keep(io, coir_unit());
    case 5:  return coir_then_keep(coir_unit(), io);
    case 6:  return coir_as(io, coir_none());
    case 7:  return coir_tap(io, look_away, NULL);
    case 8:  return coir_sequence(COIR_IOS(io));
    case 9:  return coir_sequence(COIR_IOS(coir_unit(), io, coir_unit()));
    case 10: return coir_zip(COIR_IOS(io, coir_unit()));
    case 11: return coir_attempt(io);
    case 12: return coir_redeem(io, redeem_unit, NULL);
    case 13: return coir_catch(io, pure_it, NULL);
    case 14: return coir_catch(coir_then(coir_fail(coir_none()), io), pure_it, NULL);
    case 15: return coir_catch_code(io, 3, coir_unit());
    case 16: return coir_catch_code(coir_fail(coir_int(3)), 3, io);
    case 17: return coir_or_else(io, coir_unit());
    case 18: return coir_or_else(coir_fail(coir_none()), io);
    case 19: return coir_recover(io, pure_it, NULL);
    case 20: return coir_map_error(io, map_it, NULL);
    case 21: return coir_map_panic(io, map_it, NULL);
    case 22: return coir_or_panic(io);
    case 23: return coir_finally(io, coir_unit());
    case 24: return coir_finally(coir_unit(), io);
    case 25: return coir_finally_fn(io, final_unit, NULL);
    case 26: return coir_on_failure(io, final_unit, NULL);
    case 27: return coir_on_cancel(io, coir_unit());
    case 28: return coir_on_cancel(coir_unit(), io);
    case 29: return coir_always(io, coir_unit());
    case 30: return coir_always(coir_unit(), io);
    case 31: return coir_repeat(io, 1);
    case 32: return coir_while(io, test_false, NULL);
    case 33: return coir_local(io, coir_none());
    case 34: return coir_contra_map(io, context_none, NULL);
    case 35: return coir_named(io, "layer");
    case 36: return coir_owns(io, NULL, ignore);
    case 37: return coir_owns(coir_map(io, map_it, NULL), NULL, ignore);
    case 38: return coir_map_copy(io, map_it, "x", 1);
    case 39: return coir_flatten(coir_pure(coir_io_value(io)));
    case 40: return coir_with_lock(some_lock(), io);
    case 41: return coir_with_permits(some_semaphore(), 1, io);
    case 42: return coir_call(coir_io_value(io), pure_it, NULL);
    case 43: return coir_forever(io);
    case 44: return coir_for_each(io, pure_it, NULL);
    case 45: return coir_fork(io);
    case 46: return coir_parallel(COIR_IOS(coir_unit(), io));
    case 47: return coir_fail(coir_io_value(io));
    default: return NULL;
    }
}
/* Those that come first end when they are run, and those before them may be run in several runs at once. */
enum { LAYERS = 48, RUNNABLE_LAYERS = 42, FREE_LAYERS = 40 };

static int deep(void) { return sized(scaled(1000000), 200); }

static coir_io *tower(size_t which)
{
    coir_io *io = coir_unit();
    for (int i = 0; i < deep() && io != NULL; i++)
        io = layer(which, io);
    return io;
}

static void drop_towers(void *env)
{
    (void)env;
    for (size_t which = 0; which < LAYERS; which++) {
        CASE("layer %zu", which);
        coir_io *io = tower(which);
        CHECK(io != NULL);
        coir_io_drop(io);
    }
}

TEST_WITH_TIMEOUT(io_node, million_deep_ios_are_dropped_unrun_on_a_small_stack, 600) { on_small_stack(drop_towers, NULL); }

/* Run alone: each layer is the fiber's own. Run with another owner: all are borrowed. Then the other owner runs it. */
static void run_towers(void *env)
{
    const unsigned *workers = env;
    for (size_t which = 0; which < RUNNABLE_LAYERS; which++)
        for (int shared = 0; shared < 2; shared++) {
            CASE("layer %zu%s", which, shared ? ", borrowed" : "");
            coir_io *io = tower(which);
            CHECK(io != NULL);
            for (int rest = shared; rest >= 0; rest--) {
                coir_io *mine = rest > 0 ? coir_io_ref(io) : io;
                coir_result result = coir_run(mine, COIR_OPTIONS(.workers = *workers, .stack_size = SMALL_STACK));
                CHECK_TAG(result, COIR_OK);
                coir_result_drop(&result);
            }
        }
}

TEST_WITH_TIMEOUT(io_node, million_deep_ios_run_on_a_small_stack, 600)
{
    FOR_WORKERS(workers, 1)
        on_small_stack(run_towers, &workers);
}

TEST_WITH_TIMEOUT(io_node, million_deep_ios_run_on_small_stacks_of_two_workers, 600)
{
    FOR_WORKERS(workers, 2)
        on_small_stack(run_towers, &workers);
}

/* Frames whose fiber is let go without unwinding: dropped, not given a result. */
static void stop_towers(void *env)
{
    (void)env;
    for (size_t which = 0; which < RUNNABLE_LAYERS; which++)
        for (int shared = 0; shared < 2; shared++) {
            CASE("layer %zu%s", which, shared ? ", borrowed" : "");
            coir_io *io = coir_then(coir_never(), coir_pure(thing(3)));
            for (int i = 0; i < deep() / 10; i++)
                io = layer(which, io);
            coir_io *run_it = shared ? coir_io_ref(io) : io;
            coir_result result = coir_run(run_it, COIR_OPTIONS(.workers = 1, .on_deadlock = COIR_DEADLOCK_STOP));
            CHECK_TAG(result, which == 14 || which == 28 ? COIR_OK : COIR_PANIC);       /* those do not come to what is inside */
            coir_result_drop(&result);
            if (shared)
                coir_io_drop(io);
            CHECK_STR(notes(), "-3");
        }
}

TEST(io_node, frames_of_a_fiber_that_is_let_go_are_dropped_on_a_small_stack) { on_small_stack(stop_towers, NULL); }

static void run_failing_tower(void *env)
{
    (void)env;
    for (size_t which = 0; which < RUNNABLE_LAYERS; which++)
        for (coir_tag tag = COIR_ERROR; tag <= COIR_CANCELED; tag++) {
            CASE("layer %zu, tag %d", which, (int)tag);
            coir_io *io = ending(tag, 1);
            for (int i = 0; i < deep() / 4; i++)
                io = layer(which, io);
            coir_result result = run(1, io);
            coir_result_drop(&result);
        }
}

TEST_WITH_TIMEOUT(io_node, failures_pass_a_quarter_of_a_million_layers_on_a_small_stack, 600)
{
    on_small_stack(run_failing_tower, NULL);
}

TEST(io_node, io_dropped_halfway_leaves_nothing)
{
    for (size_t which = 0; which < LAYERS; which++) {
        CASE("layer %zu", which);
        coir_io *inner = layer(which, coir_pure(thing(3)));
        for (size_t around = 0; around < LAYERS; around++)
            inner = layer(around, inner);
        coir_io *two = coir_then(coir_io_ref(inner), inner);
        coir_io_drop(two);
        CHECK_STR(notes(), "-3");
    }
}

/* --------------------------------------------------------------------------------------------------- several threads */

enum { THREADS = 8 };

/* in_threads: gives each of them a reference of its own to io, and waits for them. Takes io. */
static void in_threads(void *(*body)(void *io), coir_io *io)
{
    pthread_t threads[THREADS];
    for (int i = 1; i < THREADS; i++)
        coir_io_ref(io);
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, body, io), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
}

static void *drop_it(void *io) { coir_io_drop(io); return NULL; }

TEST(io_node, references_are_dropped_by_any_thread_and_the_last_takes_it_apart)
{
    for (int round = 0; round < scaled(200); round++) {
        coir_io *io = coir_pure(thing(3));
        for (size_t which = 0; which < LAYERS; which++)
            io = layer(which, io);
        in_threads(drop_it, io);
        CHECK_STR(notes(), "-3");
    }
}

static void *run_it(void *io)
{
    coir_result result = run(2, io);
    CHECK_TAG(result, COIR_OK);
    coir_result_drop(&result);
    return NULL;
}

TEST(io_node, one_io_runs_in_several_runs_at_once)
{
    for (int round = 0; round < scaled(50); round++) {
        coir_io *io = coir_pure(thing(3));
        for (size_t which = 0; which < FREE_LAYERS; which++)
            io = layer(which, io);
        in_threads(run_it, io);
        CHECK_STR(notes(), "-3");
    }
}

TEST_ALONE(io_node, what_threads_that_come_and_go_have_dropped_serves_again)
{
    enum { IOS = 100 };
    watch_memory();
    long long after_some = 0;
    for (int round = 0; round < scaled(2000); round++) {
        coir_io *ios[IOS];
        for (int i = 0; i < IOS; i++)
            ios[i] = coir_map(coir_pure(coir_int(i)), map_it, NULL);
        coir_io *io = coir_sequence(IOS, ios);
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, drop_it, io), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
        if (round == scaled(2000) / 10)
            after_some = atomic_load(&watched.bytes);
    }
    CHECK_INT(atomic_load(&watched.bytes), after_some);
}

/* ----------------------------------------------------------------------------------------------------- ios as values */

TEST(io_node, io_is_a_value_that_is_shared_and_dropped_as_one)
{
    coir_value value = coir_io_value(coir_pure(thing(3)));
    CHECK_PTR(value.type, &coir_io_type);
    coir_value other_one = coir_share(&value);
    coir_drop(value);
    CHECK_STR(notes(), "");
    CHECK_STR(outcome(1, coir_flatten(coir_pure(other_one))), "OK thing 3");
    CHECK_STR(notes(), "-3");
}

TEST(io_node, value_of_a_NULL_io_is_the_panic_that_says_no_memory)
{
    coir_result result = run(1, coir_flatten(coir_pure(coir_io_value(NULL))));
    CHECK_CODE(result, COIR_PANIC, ENOMEM);
    coir_result_drop(&result);
}

/* A drop that drops ios, whose values' drops drop ios. */
static void drop_inner(void *io) { coir_io_drop(io); }
static const coir_type nest_type = { "nest", drop_inner, NULL, NULL };

static void drop_nest(void *env)
{
    (void)env;
    coir_io *io = coir_unit();
    for (int i = 0; i < deep(); i++)
        io = coir_pure(coir_own(io, &nest_type));
    coir_io_drop(io);
    coir_value list = coir_none();
    for (int i = 0; i < deep(); i++) {
        coir_value item = coir_io_value(coir_pure(list));
        list = coir_list(1, &item);
    }
    coir_drop(list);
}

TEST(io_node, ios_in_values_in_ios_are_dropped_on_a_small_stack) { on_small_stack(drop_nest, NULL); }
