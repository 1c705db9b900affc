/*
 * env.c - tests of captured bytes in the checking build: what points into them after their callback has returned reads garbage
 */
#include "fibers.h"

#include "io/env.h"

/* In other builds such a program is wrong by luck or right by luck; under plain memory the sanitizers find it. */
#if NODE_WATCHED

struct captured { uint32_t number; char padding[20]; };
enum { NUMBER = 1234567 };
#define CAPTURED COIR_ENV(struct captured, .number = NUMBER)

static uint32_t garbage(void)
{
    uint32_t number;
    memset(&number, ENV_GARBAGE, sizeof number);
    return number;
}

/* What was read last. */
static struct { atomic_int times; atomic_uint number; } reads;

static coir_result read_number(void *number)
{
    atomic_fetch_add(&reads.times, 1);
    atomic_store(&reads.number, *(uint32_t *)number);
    return coir_ok(coir_none());
}

/* reading: an io that reads the number when it is run: it points into env. */
static coir_io *reading(void *env)
{
    struct captured *captured = env;
    CHECK_UINT(captured->number, NUMBER);               /* as long as the callback runs it is there */
    return coir_defer(read_number, &captured->number);
}
static coir_io *reading_at(void *nothing, coir_value *pointer) { (void)nothing; return coir_defer(read_number, pointer->ptr); }

/* Callbacks that give an io, and callbacks that give a pointer, or leave one. */
static coir_io *bind(void *env, coir_value *value)                 { (void)value; return reading(env); }
static coir_io *redeem(void *env, coir_result *result)             { (void)result; return reading(env); }
static coir_io *at_index(void *env, size_t index)                  { (void)index; return reading(env); }
static coir_io *recur(void *env, coir_io *self)                    { (void)self; return reading(env); }
static coir_io *finish(void *env, const coir_result *result)       { (void)result; return reading(env); }
static coir_value map(void *env, coir_value *value)                { (void)value; return coir_lend(env); }
static coir_result defer(void *env)                                { return coir_ok(coir_lend(env)); }
static coir_result defer_read(void *env, const coir_value *value)  { (void)value; return coir_ok(coir_lend(env)); }
static coir_value change(void *env, const coir_value *context)     { (void)context; return coir_lend(env); }

static void *left;
static void look(void *env, const coir_value *value) { (void)value; left = env; }
static bool test(void *env, const coir_value *value) { (void)value; left = env; return false; }
static coir_io *read_left(void *nothing)             { (void)nothing; return coir_defer(read_number, left); }

static coir_io *then_at(coir_io *io) { return coir_flat_map(io, reading_at, NULL); }
static coir_io *then_left(coir_io *io) { return coir_then(io, coir_suspend(read_left, NULL)); }
static coir_io *give_once(void *given)
{
    int *count = given;
    return coir_pure((*count)++ % 2 == 0 ? coir_int(1) : coir_none());
}

/* One of each kind; NULL past the last. */
static coir_io *with_callback(int kind)
{
    static int given;
    switch (kind) {
    case 0:  return coir_suspend_copy(reading, CAPTURED);
    case 1:  return coir_flat_map_copy(coir_unit(), bind, CAPTURED);
    case 2:  return coir_call_copy(coir_int(1), bind, CAPTURED);
    case 3:  return coir_redeem_copy(coir_unit(), redeem, CAPTURED);
    case 4:  return coir_catch_copy(coir_fail(coir_int(1)), bind, CAPTURED);
    case 5:  return coir_recover_copy(coir_panicf("1"), bind, CAPTURED);
    case 6:  return coir_iterate_copy(coir_int(1), bind, CAPTURED);
    case 7:  return coir_for_each_copy(coir_suspend(give_once, &given), bind, CAPTURED);
    case 8:  return coir_traverse_copy(2, at_index, CAPTURED);
    case 9:  return coir_each_copy(coir_list(1, (coir_value[]){ coir_int(1) }), bind, CAPTURED);
    case 10: return coir_rec_copy(recur, CAPTURED);
    case 11: return coir_finally_fn_copy(coir_unit(), finish, CAPTURED);
    case 12: return coir_attempt(coir_on_failure_copy(coir_fail(coir_int(1)), finish, CAPTURED));
    case 13: return then_at(coir_map_copy(coir_unit(), map, CAPTURED));
    case 14: return then_at(coir_defer_copy(defer, CAPTURED));
    case 15: return then_at(coir_defer_read_copy(defer_read, CAPTURED));
    case 16: return coir_contra_map_copy(then_at(coir_ask()), change, CAPTURED);
    case 17: return coir_catch(coir_map_error_copy(coir_fail(coir_int(1)), map, CAPTURED), reading_at, NULL);
    case 18: return coir_recover(coir_map_panic_copy(coir_panicf("1"), map, CAPTURED), reading_at, NULL);
    case 19: return then_left(coir_tap_copy(coir_unit(), look, CAPTURED));
    case 20: return then_left(coir_while_copy(coir_unit(), test, CAPTURED));
    case 21: return coir_par_traverse_copy(0, 2, at_index, CAPTURED);
    case 22: return coir_par_each_copy(0, coir_list(1, (coir_value[]){ coir_int(1) }), bind, CAPTURED);
    default: return NULL;
    }
}

/* However the callback's node is entered. */
static coir_io *owned(coir_io *io)    { return io; }
static coir_io *shared(coir_io *io)   { return coir_repeat(io, 2); }
static coir_io *beside(coir_io *io)   { return joined(io); }
static void do_nothing(void *env)     { (void)env; }
static coir_io *owning(coir_io *io)   { return coir_owns(io, NULL, do_nothing); }
static coir_io *to_others(coir_io *io) { return coir_flat_map(copies_of(3, io), wait_it, NULL); }

static void reads_garbage(coir_io *(*way)(coir_io *io), unsigned workers)
{
    coir_io *io;
    for (int kind = 0; (io = with_callback(kind)) != NULL; kind++) {
        CASE("callback %d, %u workers", kind, workers);
        atomic_store(&reads.times, 0);
        coir_result result = run(workers, way(io));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
        CHECK(atomic_load(&reads.times) > 0);
        CHECK_UINT(atomic_load(&reads.number), garbage());
    }
}

TEST(env, what_points_into_captured_bytes_reads_garbage_when_the_callback_has_returned)
{
    reads_garbage(owned, 1);
    reads_garbage(owning, 1);
}

TEST(env, what_points_into_captured_bytes_of_a_shared_io_reads_garbage_too)
{
    reads_garbage(shared, 1);
    reads_garbage(to_others, 1);
    reads_garbage(beside, 2);
}

static coir_io *count_down(void *env)
{
    struct captured *captured = env;
    return coir_pure(coir_uint(--captured->number));
}
static coir_io *count_on(void *env, coir_value *value)
{
    struct captured *captured = env;
    (void)value;
    return --captured->number > NUMBER - 10 ? coir_again(coir_none()) : coir_pure(coir_uint(captured->number));
}

TEST(env, what_a_callback_writes_into_captured_bytes_is_there_the_next_time)
{
    coir_io *io = coir_suspend_copy(count_down, CAPTURED);
    for (int round = 1; round <= 3; round++) {
        coir_result result = run(1, coir_repeat(coir_io_ref(io), 10));
        CHECK_OK_INT(result, NUMBER - 10 * round);
    }
    coir_io_drop(io);
    coir_io *loop = coir_iterate_copy(coir_none(), count_on, CAPTURED);
    coir_result result = run(1, coir_io_ref(loop));
    CHECK_OK_INT(result, NUMBER - 10);
    result = run(1, loop);
    CHECK_OK_INT(result, NUMBER - 11);
}

static coir_io *nest(void *env, coir_value *value)
{
    struct captured *captured = env;
    int64_t depth = value->i64;
    if (depth == 0)
        return coir_pure(coir_uint(captured->number));
    return coir_flat_map_copy(coir_pure(coir_int(depth - 1)), nest, COIR_ENV(struct captured, .number = captured->number + 1));
}

TEST(env, captured_bytes_are_there_while_the_callback_runs_however_often_they_were_copied)
{
    FOR_SCHEDULES(options) {
        coir_io *io = coir_flat_map_copy(coir_pure(coir_int(1000)), nest, CAPTURED);
        coir_result result = coir_run(coir_flat_map(copies_of(5, io), wait_it, NULL), options);
        CHECK_TAG(result, COIR_OK);
        for (size_t i = 0; i < 5; i++)
            CHECK_UINT(coir_result_in(coir_list_at(&result.value, i))->value.u64, NUMBER + 1000);
        coir_result_drop(&result);
    }
}

#endif
