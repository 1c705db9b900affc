/*
 * local.c - tests of the context and of fiber-local keys: what is seen where, and that it is as before on every way out
 */
#include "program.h"

static coir_value plus(void *env, const coir_value *context) { return coir_int(context->i64 + *(const int64_t *)env); }
static coir_result give_context(void *env, const coir_value *context) { (void)env; return coir_ok(coir_int(context->i64)); }
static coir_result plus_context(void *env, const coir_value *context) { return coir_ok(coir_int(context->i64 + *(const int64_t *)env)); }
static coir_result note_context(void *env, const coir_value *context)
{
    note("%s%d", (const char *)env, (int)context->i64);
    return coir_ok(coir_none());
}
static coir_io *noting_context(const char *text) { return coir_defer_read(note_context, (void *)(uintptr_t)text); }
static coir_io *seen(void) { return coir_defer_read(give_context, NULL); }

static coir_result run_in(unsigned workers, coir_io *io, int64_t context)
{
    return coir_run(io, COIR_OPTIONS(.workers = workers, .context = coir_int(context)));
}

/* ---------------------------------------------------------------------------------------------------------- context */

TEST(fiber_local, context_of_the_run_is_lent_to_all)
{
    int64_t two = 2;
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_result result = run_in(workers, coir_zip(COIR_IOS(coir_ask(), seen(), coir_defer_read(plus_context, &two),
                                                               coir_defer_read_copy(plus_context, &two, sizeof two))), 40);
        CHECK_STR(describe(&result), "OK [40 40 42 42]");
        coir_result_drop(&result);
    }
}

TEST(fiber_local, context_serves_for_many_runs_and_stays_the_callers)
{
    coir_options options = { .workers = 2, .context = thing(3) };
    for (int i = 0; i < 3; i++) {
        coir_result result = coir_run(coir_then(coir_ask(), coir_yield()), &options);
        CHECK_TAG(result, COIR_OK);
        CHECK_STR(notes(), "");
    }
    coir_drop(options.context);
    CHECK_STR(notes(), "-3");
}

static coir_result current_context(void *env)
{
    (void)env;
    return coir_ok(coir_int(coir_context()->i64));
}

TEST(fiber_local, context_function_tells_in_a_callback_and_NULL_elsewhere)
{
    CHECK_PTR(coir_context(), NULL);
    coir_result result = run_in(1, coir_local(coir_defer(current_context, NULL), coir_int(7)), 40);
    CHECK_OK_INT(result, 7);
    result = run_in(1, coir_defer(current_context, NULL), 40);
    CHECK_OK_INT(result, 40);
    CHECK_PTR(coir_context(), NULL);
}

static coir_io *inside(size_t which, coir_io *io)
{
    static int64_t one = 1;
    switch (which) {
    case 0:  return coir_local(io, coir_int(41));
    case 1:  return coir_contra_map(io, plus, &one);
    case 2:  return coir_contra_map_copy(io, plus, &one, sizeof one);
    default: return NULL;
    }
}

TEST(fiber_local, context_is_as_before_on_every_way_out)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (size_t which = 0; which < 3; which++)
            for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++)
                for (int shared = 0; shared < 2; shared++) {
                    CASE("%zu, tag %d%s", which, (int)tag, shared ? ", borrowed" : "");
                    coir_io *body = coir_finally(coir_then(noting_context("in "), ending(tag, 1)), noting_context("in its finalizer "));
                    coir_io *io = coir_finally(inside(which, body), noting_context("after "));
                    coir_result result = run_in(workers, shared ? coir_io_ref(io) : io, 40);
                    CHECK_TAG(result, tag);
                    CHECK_STR(notes(), "in 41 in its finalizer 41 after 40");
                    if (shared)
                        coir_io_drop(io);
                }
}

TEST(fiber_local, handlers_see_the_context_of_where_they_were_written)
{
    coir_result result = run_in(1, coir_or_else(coir_local(coir_fail(coir_int(1)), coir_int(7)), seen()), 40);
    CHECK_OK_INT(result, 40);
    result = run_in(1, coir_local(coir_or_else(coir_fail(coir_int(1)), seen()), coir_int(7)), 40);
    CHECK_OK_INT(result, 7);
}

TEST(fiber_local, nested_contexts_are_each_their_own)
{
    int64_t one = 1;
    coir_io *inner = coir_zip(COIR_IOS(seen(), coir_contra_map(seen(), plus, &one), seen()));
    coir_io *io = coir_zip(COIR_IOS(seen(), coir_contra_map(inner, plus, &one), seen()));
    coir_result result = run_in(2, io, 40);
    CHECK_STR(describe(&result), "OK [40 [41 42 41] 40]");
    coir_result_drop(&result);
}

TEST(fiber_local, context_is_dropped_when_its_io_has_ended)
{
    CHECK_STR(outcome(1, coir_then(coir_local(noting("inside"), thing(3)), noting("after"))), "OK 0");
    CHECK_STR(notes(), "inside -3 after");
    coir_io_drop(coir_local(coir_unit(), thing(4)));
    CHECK_STR(notes(), "-4");
}

static coir_io *in_context(coir_io *io) { return coir_local(io, coir_int(7)); }
static coir_io *join_it(void *env, coir_value *fiber) { (void)env; return coir_join(coir_fiber_of(fiber)); }
static coir_io *wait_all(void *env, coir_value *fibers) { (void)env; return coir_wait(fibers); }

TEST(fiber_local, forked_fibers_inherit_the_context_and_keep_it_when_their_parent_leaves_it)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *child = coir_then(coir_repeat(coir_yield(), 20), seen());
        coir_result result = run_in(workers, coir_flat_map(in_context(coir_fork(child)), join_it, NULL), 40);
        CHECK_OK_INT(result, 7);
        coir_io *two = coir_parallel(COIR_IOS(seen(), coir_local(seen(), coir_int(8))));
        result = run_in(workers, coir_flat_map(in_context(two), wait_all, NULL), 40);
        CHECK_STR(describe(&result), "OK [<OK 7> <OK 8>]");
        coir_result_drop(&result);
    }
}

TEST(fiber_local, context_of_a_child_lives_as_long_as_the_child)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *child = coir_then(coir_repeat(coir_yield(), 20), noting("child"));
        CHECK_STR(outcome(workers, coir_flat_map(coir_local(coir_fork(child), thing(3)), join_it, NULL)), "OK 0");
        CHECK_STR(notes(), "child -3");
    }
}

TEST(fiber_local, context_of_a_shared_io_is_shared_and_one_that_cannot_be_goes_to_the_first)
{
    coir_io *io = coir_local(coir_then(coir_ask(), coir_unit()), thing(3));
    CHECK_STR(outcome(1, coir_then(coir_io_ref(io), io)), "OK 0");
    CHECK_STR(notes(), "-3");
    io = coir_local(coir_then(coir_ask(), coir_unit()), sole_thing(4));
    CHECK_CONTAINS(message_of(1, coir_then(coir_io_ref(io), io)), "sole");
    CHECK_STR(notes(), "-4");
}

/* ------------------------------------------------------------------------------------------------------------- keys */

TEST(fiber_local, key_has_its_initial_value_until_another_is_put_around_an_io)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_key *a = coir_key_new(coir_int(1)), *b = coir_key_new(coir_int(2));
        coir_io *io = coir_zip(COIR_IOS(
            coir_key_get(a),
            coir_with_key(a, coir_int(10), coir_zip(COIR_IOS(
                coir_key_get(a), coir_key_get(b),
                coir_with_key(b, coir_int(20), coir_with_key(a, coir_int(11), coir_zip(COIR_IOS(coir_key_get(a), coir_key_get(b))))),
                coir_key_get(a)))),
            coir_key_get(a)));
        coir_key_drop(a);
        coir_key_drop(b);
        CHECK_STR(outcome(workers, coir_io_ref(io)), "OK [1 [10 2 [11 20] 10] 1]");
        CHECK_STR(outcome(workers, io), "OK [1 [10 2 [11 20] 10] 1]");
    }
}

static coir_io *note_value(void *env, coir_value *v) { note("%s%d", (const char *)env, (int)v->i64); return coir_unit(); }
static coir_io *noting_key(coir_key *key, const char *text)
{
    return coir_flat_map(coir_key_get(key), note_value, (void *)(uintptr_t)text);
}

TEST(fiber_local, key_is_as_before_on_every_way_out)
{
    coir_key *key = coir_key_new(coir_int(1));
    FOR_WORKERS(workers, 1, 2, 4)
        for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++)
            for (int shared = 0; shared < 2; shared++) {
                CASE("tag %d%s", (int)tag, shared ? ", borrowed" : "");
                coir_io *body = coir_finally(coir_then(noting_key(key, "in "), ending(tag, 5)), noting_key(key, "in its finalizer "));
                coir_io *io = coir_finally(coir_with_key(key, coir_int(2), body), noting_key(key, "after "));
                coir_result result = run(workers, shared ? coir_io_ref(io) : io);
                CHECK_TAG(result, tag);
                CHECK_STR(notes(), "in 2 in its finalizer 2 after 1");
                if (shared)
                    coir_io_drop(io);
            }
    coir_key_drop(key);
}

TEST(fiber_local, context_and_keys_do_not_disturb_each_other)
{
    coir_key *key = coir_key_new(coir_int(1));
    coir_io *both = coir_zip(COIR_IOS(seen(), coir_key_get(key)));
    coir_io *io = coir_zip(COIR_IOS(coir_local(coir_with_key(key, coir_int(2), coir_io_ref(both)), coir_int(7)),
                                    coir_with_key(key, coir_int(3), coir_local(both, coir_int(8)))));
    coir_result result = run_in(1, io, 40);
    CHECK_STR(describe(&result), "OK [[7 2] [8 3]]");
    coir_result_drop(&result);
    coir_key_drop(key);
}

TEST(fiber_local, forked_fibers_inherit_the_keys)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_key *key = coir_key_new(coir_int(1));
        coir_io *child = coir_then(coir_repeat(coir_yield(), 20), coir_key_get(key));
        coir_result result = run(workers, coir_flat_map(coir_with_key(key, coir_int(2), coir_fork(child)), join_it, NULL));
        CHECK_OK_INT(result, 2);
        coir_key_drop(key);
    }
}

TEST(fiber_local, values_of_keys_are_shared_with_who_gets_them)
{
    coir_key *key = coir_key_new(thing(3));
    CHECK_STR(outcome(1, coir_zip(COIR_IOS(coir_key_get(key), coir_with_key(key, thing(4), coir_key_get(key))))), "OK [thing 3 thing 4]");
    CHECK_STR(notes(), "-4");
    coir_key_drop(key);
    CHECK_STR(notes(), "-3");
    key = coir_key_new(sole_thing(5));
    CHECK_CONTAINS(message_of(1, coir_key_get(key)), "sole");
    coir_key_drop(key);
    CHECK_STR(notes(), "-5");
}

TEST(fiber_local, key_is_kept_by_the_ios_that_mention_it)
{
    coir_key *key = coir_key_new(thing(3));
    coir_io *get = coir_key_get(key), *with = coir_with_key(key, coir_int(1), coir_unit());
    coir_key_drop(key);
    coir_io_drop(with);
    CHECK_STR(notes(), "");
    CHECK_STR(outcome(1, get), "OK thing 3");
    CHECK_STR(notes(), "-3");
    CHECK_PTR(coir_key_ref(NULL), NULL);
    coir_key_drop(NULL);
}

TEST(fiber_local, panic_value_of_a_key_is_a_panic)
{
    coir_key *key = coir_key_new(coir_int(1));
    CHECK_STR(message_of(1, coir_with_key(key, coir_panic_value("no luck"), coir_unit())), "no luck");
    coir_key *broken = coir_key_new(coir_panic_value("no luck"));
    CHECK_STR(message_of(1, coir_key_get(broken)), "no luck");
    coir_key_drop(broken);
    coir_key_drop(key);
}

/* ------------------------------------------------------------------------------------------------------------ names */

static coir_io *name_of_fiber(void *env, coir_value *fiber)
{
    char name[32];
    size_t size = coir_fiber_name(coir_fiber_of(fiber), name, sizeof name);
    (void)env;
    return coir_pure(coir_stringf("%s %zu", name, size));
}

TEST(fiber_local, fiber_is_named_after_the_io_it_was_forked_with)
{
    FOR_WORKERS(workers, 1, 2) {
        char label[] = "worker bee";
        coir_io *named = coir_named(coir_yield(), label);
        label[0] = 'x';
        CHECK_STR(outcome(workers, coir_flat_map(coir_fork(named), name_of_fiber, NULL)), "OK worker bee 10");
        CHECK_STR(outcome(workers, coir_flat_map(coir_fork(coir_unit()), name_of_fiber, NULL)), "OK  0");
        CHECK_STR(outcome(workers, coir_named(coir_flat_map(coir_self(), name_of_fiber, NULL), "main")), "OK main 4");
        CHECK_STR(outcome(workers, coir_flat_map(coir_fork(coir_named(coir_unit(), "")), name_of_fiber, NULL)), "OK  0");
    }
}

TEST(fiber_local, fiber_that_shares_its_io_has_the_name_too)
{
    coir_io *named = coir_named(coir_yield(), "shared");
    coir_io *fork = coir_flat_map(coir_fork(named), name_of_fiber, NULL);
    CHECK_STR(outcome(1, coir_zip(COIR_IOS(coir_io_ref(fork), fork))), "OK [shared 6 shared 6]");
}

TEST(fiber_local, label_of_NULL_leaves_the_io_as_it_is)
{
    coir_io *io = coir_pure(coir_int(1));
    CHECK_PTR(coir_named(io, NULL), io);
    coir_io_drop(io);
}
