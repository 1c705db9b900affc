/*
 * outside.c - what comes from outside: moments, callbacks, the context of a run; and looking at a program
 */
#include "fault.h"

#include <time.h>

/* ----------------------------------------------------------------------------------------------------------- sleeping */

/* More than a heap has room for at first. */
enum { SLEEPERS = 20 };
FAULT_PROGRAM(sleepers, "OK 20")
{
    return fault_expect_all(fault_run(coir_flat_map(copies_of(SLEEPERS, coir_sleep(coir_us(100))), wait_it, NULL), options), "OK 0");
}

static struct timespec in_us(long us)
{
    struct timespec moment;
    clock_gettime(CLOCK_REALTIME, &moment);
    moment.tv_nsec += us * 1000;
    moment.tv_sec += moment.tv_nsec / 1000000000;
    moment.tv_nsec %= 1000000000;
    return moment;
}

FAULT_PROGRAM(sleepers_until, "OK [<OK thing 1> <OK thing 2> <OK thing 3> <OK thing 4>]")
{
    static const struct timespec past = { 0 };
    return fault_run(waited(COIR_IOS(coir_as(coir_sleep_until(in_us(300)), thing(1)), coir_as(coir_sleep_until(past), thing(2)),
                                    coir_then(coir_now(), coir_as(coir_sleep(coir_us(100)), thing(3))),
                                    coir_as(coir_sleep_until(in_us(100)), thing(4)))), options);
}

/* ---------------------------------------------------------------------------------------------------------- callbacks */

static void resume_with_text(coir_callback k) { coir_resume(k, coir_ok(coir_stringf("elsewhere"))); }
static void resume_twice(coir_callback k)
{
    coir_resume(k, coir_raise(thing(1)));
    coir_resume(k, coir_ok(thing(2)));
}

static void resume_inside(void *env, void *op, coir_callback k)
{
    *(int *)op = *(int *)env;
    coir_resume(k, coir_ok(thing(*(int *)op)));
}
static void resume_elsewhere(void *env, void *op, coir_callback k)       { (void)env; (void)op; fault_elsewhere(resume_with_text, k); }
static void resume_elsewhere_twice(void *env, void *op, coir_callback k) { (void)env; (void)op; fault_elsewhere(resume_twice, k); }
static void drop_inside(void *env, void *op, coir_callback k)            { (void)env; (void)op; coir_callback_drop(k); }
static void drop_elsewhere(void *env, void *op, coir_callback k)         { (void)env; (void)op; fault_elsewhere(coir_callback_drop, k); }

static const coir_async_type inside_type = { .op_size = 40, .start = resume_inside }, elsewhere_type = { .start = resume_elsewhere },
                             twice_type = { .start = resume_elsewhere_twice }, dropped_type = { .start = drop_inside },
                             dropped_elsewhere_type = { .start = drop_elsewhere };

FAULT_PROGRAM(callbacks, "OK [<OK thing 5> <OK thing 6> <OK elsewhere> <ERROR thing 1> <PANIC ABANDONED> <PANIC ABANDONED> <OK elsewhere>]")
{
    static int five = 5;
    coir_io *elsewhere = coir_async(&elsewhere_type, NULL), *again = coir_io_ref(elsewhere);
    return fault_run(waited(COIR_IOS(coir_async(&inside_type, &five), coir_async_copy(&inside_type, COIR_ENV(int, 6)), elsewhere,
                                    coir_async(&twice_type, NULL), coir_async(&dropped_type, NULL), coir_async(&dropped_elsewhere_type, NULL),
                                    again)), options);
}

/* Fibers that wait for callbacks until another one makes them: as a finalizer, which comes also where nobody waits. */
FAULT_PROGRAM(callbacks_later, "OK [<OK thing 1> <OK thing 2> <OK 0>]")
{
    static struct gate gate = GATE;
    gate.is_open = false;
    coir_io *waiting = coir_parallel(COIR_IOS(coir_as(passing(&gate), thing(1)), coir_as(passing(&gate), thing(2)), passing(&gate)));
    return fault_run(coir_flat_map(coir_finally(waiting, opening(&gate)), wait_it, NULL), options);
}

/* ------------------------------------------------------------------------------------------------------------ context */

static coir_value number_and(void *env, const coir_value *context) { (void)env; return coir_stringf("%d and more", thing_number(context)); }
static coir_result read_number(void *env, const coir_value *context) { (void)env; return coir_ok(coir_int(thing_number(context))); }
static coir_result read_text(void *env, const coir_value *context) { (void)env; return coir_ok(coir_stringf("%s", coir_text(context))); }

/* Each fiber has the context and the keys of where it was forked. */
FAULT_PROGRAM(contexts, "OK [1 1 2 [thing 3 thing 4 thing 4 thing 3] 2 and more thing 5]")
{
    coir_value context = thing(1);
    coir_options with_context = *options;
    with_context.context = context;
    coir_key *key = coir_key_new(thing(3));
    coir_io *get = coir_key_get(key), *again = coir_io_ref(get), *third = coir_io_ref(get), *fourth = coir_io_ref(get);
    coir_io *keyed = coir_zip(COIR_IOS(get, coir_with_key(key, thing(4), again), coir_with_key(key, thing(4), joined(third)), fourth));
    coir_io *deep = coir_with_key(key, thing(6), coir_with_key(key, thing(5), coir_local(coir_key_get(key), thing(7))));
    coir_key_drop(key);
    coir_io *changed = coir_local(coir_contra_map(joined(coir_defer_read(read_text, NULL)), number_and, NULL), thing(2));
    coir_result result = fault_run(coir_zip(COIR_IOS(coir_defer_read(read_number, NULL), joined(coir_defer_read(read_number, NULL)),
                                                    coir_local(joined(coir_defer_read(read_number, NULL)), thing(2)), keyed, changed,
                                                    deep)), &with_context);
    coir_drop(context);
    return result;
}

/* --------------------------------------------------------------------------------------------- a program is data */

static coir_io *same(void *env, coir_value *value) { (void)env; return coir_pure(coir_take(value)); }
static bool count_it(void *count, const coir_io_view *view) { (void)view; ++*(int *)count; return true; }

static coir_io *picture(void)
{
    coir_io *shared = coir_named(coir_zip(COIR_IOS(coir_pure(thing(1)), coir_fail(coir_errorf(5, "fifth")))), "a pair");
    coir_io *again = coir_io_ref(shared);
    coir_io *io = coir_finally(coir_flat_map(shared, same, NULL), again);
    for (int i = 0; i < 10; i++)
        io = coir_then(coir_attempt(io), coir_sequence(COIR_IOS(coir_unit(), coir_pure(coir_int(i)))));
    return io;
}

/* What print writes; said to lack memory where it says so itself. */
static coir_value text_by(void (*print)(const coir_io *io, FILE *out, size_t nodes_max), const coir_io *io)
{
    char *text = scratch();
    memset(text, 0, SCRATCH_SIZE);
    FILE *out = fmemopen(text, SCRATCH_SIZE - 1, "w");
    if (out == NULL)
        abort();
    print(io, out, 0);
    fclose(out);
    bool is_told = strstr(text, "no memory to show more") != NULL || strstr(text, "out of memory") != NULL;
    return is_told ? coir_heap(NULL) : coir_int((int64_t)strlen(text));
}

FAULT_PROGRAM(pictures, "OK [1741 2438 58]")
{
    (void)options;
    coir_io *io = picture();
    int count = 0;
    bool is_whole = coir_io_visit(io, count_it, &count) && io != NULL;
    coir_value all[] = { text_by(coir_io_print, io), text_by(coir_io_dot, io), is_whole ? coir_int(count) : coir_heap(NULL) };
    coir_result result = io == NULL ? fault_run(NULL, options) : fault_checked(coir_list(3, all));
    coir_io_drop(io);
    return result;
}

/* ------------------------------------------------------------------------------------------------------ blocking calls */

static coir_result block_a_moment(void *env) { return coir_ok(thing(*(int *)env)); }

FAULT_PROGRAM(blocking_calls, "OK [<OK thing 1> <OK thing 2> <OK thing 3>]")
{
    static int one = 1, two = 2;
    int three = 3;
    return fault_run(waited(COIR_IOS(coir_blocking(block_a_moment, &one), coir_blocking(block_a_moment, &two),
                                     coir_blocking_copy(block_a_moment, &three, sizeof three))), options);
}

/* ------------------------------------------------------------------------------------------------------------ runtimes */

static void expect_future(size_t part, coir_future *future, const char *expected)
{
    coir_result result;
    if (future == NULL) {
        fault_told();
        return;
    }
    if (!coir_future_get(future, COIR_FOREVER, &result))
        fault_wrong("future %zu is not done", part);
    if (strstr(describe(&result), "ENOMEM") != NULL)
        fault_told();
    else if (strcmp(describe(&result), expected) != 0)
        fault_wrong("future %zu is %s, expected %s", part, describe(&result), expected);
    coir_result_drop(&result);
    coir_future_drop(future);
}

static void count_call(void *env, coir_future *future) { (void)future; atomic_fetch_add((atomic_int *)env, 1); }

FAULT_PROGRAM(runtimes, "OK 0")
{
    atomic_int calls = 0;
    int asked = 0;
    coir_runtime *runtime = coir_runtime_start(options);
    if (runtime == NULL) {
        fault_told();
        return coir_ok(coir_none());
    }
    coir_future *futures[] = { coir_submit(runtime, coir_pure(thing(1))), coir_submit(runtime, coir_fail(thing(2))),
                               coir_submit(runtime, coir_then(coir_yield(), coir_pure(coir_stringf("three")))) };
    for (size_t i = 0; i < 3; i++) {
        asked += futures[i] != NULL && coir_future_on_done(futures[i], count_call, &calls);
        asked += futures[i] != NULL && coir_future_deliver(futures[i], count_call, &calls);
    }
    expect_future(0, futures[0], "OK thing 1");
    expect_future(1, futures[1], "ERROR thing 2");
    expect_future(2, futures[2], "OK three");
    if (!coir_runtime_stop(runtime, COIR_STOP_WAIT))
        fault_wrong("it could not be stopped");
    coir_runtime_dispatch(runtime);
    if (calls != asked)
        fault_wrong("%d calls of %d that were asked for", (int)calls, asked);
    if (asked < 6)
        fault_told();
    coir_runtime_drop(runtime);
    return coir_ok(coir_none());
}
