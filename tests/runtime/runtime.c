/*
 * runtime.c - tests of a runtime beside a program's own threads: what is submitted, what becomes of it, and how it ends
 */
#include "fibers.h"

#include "fiber/driver.h"

#include <errno.h>
#include <poll.h>
#include <sys/wait.h>

/* a runtime that is stopped and dropped at the end of the test */
#define WITH_RUNTIME(runtime, ...)                                                                             \
    for (coir_runtime *runtime = started(COIR_OPTIONS(__VA_ARGS__)); runtime != NULL; stop_and_drop(&runtime))

static coir_runtime *started(const coir_options *options)
{
    coir_runtime *runtime = coir_runtime_start(options);
    CHECK(runtime != NULL);
    return runtime;
}

static void stop_and_drop(coir_runtime **runtime)
{
    CHECK(coir_runtime_stop(*runtime, COIR_STOP_WAIT));
    coir_runtime_drop(*runtime);
    *runtime = NULL;
}

/* Takes the future. */
static const char *got(coir_future *future)
{
    coir_result result;
    CHECK(coir_future_get(future, COIR_FOREVER, &result));
    const char *text = describe(&result);
    coir_result_drop(&result);
    coir_future_drop(future);
    return text;
}

/* ------------------------------------------------------------------------------------------------------------- submit */

#define WHY "it has threads of its own"

TEST_REAL(runtime_runtime, result_of_each_tag_is_the_futures, WHY)
{
    WITH_RUNTIME(runtime, .workers = 2) {
        CHECK_STR(got(coir_submit(runtime, coir_pure(thing(1)))), "OK thing 1");
        CHECK_STR(got(coir_submit(runtime, ending(COIR_ERROR, 2))), "ERROR 2");
        CHECK_STR(got(coir_submit(runtime, ending(COIR_PANIC, 3))), "PANIC 3");
        CHECK_STR(got(coir_submit(runtime, coir_then(coir_cancel_self(), coir_unit()))), "CANCELED 0");
        CHECK_STR(got(coir_submit(runtime, coir_then(coir_sleep(coir_ms(1)), coir_pure(coir_int(4))))), "OK 4");
    }
}

static coir_io *numbered(void *env, size_t index) { (void)env; return coir_then(coir_yield(), coir_pure(coir_int((int64_t)index))); }

TEST_REAL(runtime_runtime, many_are_submitted_and_each_gives_its_own, WHY)
{
    enum { MANY = 2000 };
    static coir_future *futures[MANY];
    for (unsigned workers = 1; workers <= 4; workers *= 2)
        WITH_RUNTIME(runtime, .workers = workers) {
            for (size_t i = 0; i < MANY; i++)
                futures[i] = coir_submit(runtime, numbered(NULL, i));
            for (size_t i = 0; i < MANY; i++) {
                coir_result result;
                CHECK(coir_future_get(futures[i], COIR_FOREVER, &result));
                CHECK_INT(result.value.i64, (long)i);
                coir_future_drop(futures[i]);
            }
        }
}

struct submitter { coir_runtime *runtime; atomic_int *counter; pthread_t thread; };
enum { SUBMISSIONS = 500 };
static void *submit_many(void *env)
{
    struct submitter *submitter = env;
    for (int i = 0; i < SUBMISSIONS; i++)
        coir_future_drop(coir_submit(submitter->runtime, counting(submitter->counter)));
    return NULL;
}

TEST_REAL(runtime_runtime, several_threads_submit_at_once_and_stop_waits_for_all, WHY)
{
    enum { THREADS = 4 };
    struct submitter submitters[THREADS];
    atomic_int counter = 0;
    WITH_RUNTIME(runtime, .workers = 2) {
        for (int i = 0; i < THREADS; i++) {
            submitters[i] = (struct submitter){ .runtime = runtime, .counter = &counter };
            CHECK_INT(pthread_create(&submitters[i].thread, NULL, submit_many, &submitters[i]), 0);
        }
        for (int i = 0; i < THREADS; i++)
            CHECK_INT(pthread_join(submitters[i].thread, NULL), 0);
    }
    CHECK_INT(counter, THREADS * SUBMISSIONS);
}

static coir_result submit_inside(void *env)
{
    coir_future_drop(coir_submit(env, noting("inner")));
    return coir_ok(coir_none());
}

TEST_REAL(runtime_runtime, fiber_may_submit_to_its_own_runtime, WHY)
{
    WITH_RUNTIME(runtime, .workers = 1)
        CHECK_STR(got(coir_submit(runtime, coir_defer(submit_inside, runtime))), "OK 0");
    CHECK_STR(notes(), "inner");
}


static coir_result give_context(void *env) { (void)env; return coir_ok(coir_share(coir_context())); }

TEST_REAL(runtime_runtime, it_runs_with_the_context_of_the_runtime, WHY)
{
    coir_value context = thing(6);
    WITH_RUNTIME(runtime, .workers = 1, .context = context)
        CHECK_STR(got(coir_submit(runtime, coir_defer(give_context, NULL))), "OK thing 6");
    coir_drop(context);
}

static coir_result name_of_self(void *env)
{
    char label[64];
    (void)env;
    coir__fiber_label(coir__me.seat->fiber, label, sizeof label);
    return coir_ok(coir_bool(strstr(label, "'importer'") != NULL));
}

TEST_REAL(runtime_runtime, its_fiber_has_the_name_that_it_begins_with, WHY)
{
    WITH_RUNTIME(runtime, .workers = 1)
        CHECK_STR(got(coir_submit(runtime, coir_named(coir_defer(name_of_self, NULL), "importer"))), "OK 1");
}

/* --------------------------------------------------------------------------------------------------------------- get */

TEST_REAL(runtime_runtime, get_gives_up_at_its_limit_and_the_fiber_goes_on, WHY)
{
    struct gate gate = GATE;
    coir_result result;
    WITH_RUNTIME(runtime, .workers = 1) {
        coir_future *future = coir_submit(runtime, coir_as(passing(&gate), thing(3)));
        CHECK(!coir_future_get(future, coir_ns(0), &result));
        CHECK(!coir_future_get(future, coir_ns(-5), &result));
        CHECK(!coir_future_get(future, coir_ms(2), &result));
        CHECK_STR(describe(&result), "OK 0");
        CHECK(!coir_future_done(future));
        gate_open(&gate);
        CHECK(coir_future_get(future, coir_seconds(100), &result));
        CHECK(coir_future_done(future));
        CHECK_STR(describe(&result), "OK thing 3");
        coir_result_drop(&result);
        coir_future_drop(future);
    }
}

TEST_REAL(runtime_runtime, what_can_be_shared_can_be_got_again_and_what_cannot_goes_to_the_first, WHY)
{
    WITH_RUNTIME(runtime, .workers = 1) {
        coir_future *future = coir_submit(runtime, coir_pure(thing(1)));
        CHECK_STR(got(coir_future_ref(future)), "OK thing 1");
        CHECK_STR(got(future), "OK thing 1");
        future = coir_submit(runtime, coir_pure(sole_thing(2)));
        CHECK_STR(got(coir_future_ref(future)), "OK thing 2");
        CHECK_STR(got(future), "PANIC MISUSE");
        coir_future_drop(coir_submit(runtime, coir_pure(sole_thing(3))));
    }
    CHECK_INT(things_alive, 0);
}

static coir_result get_inside(void *env)
{
    coir_result result;
    CHECK(coir_future_get(*(coir_future **)env, COIR_FOREVER, &result));
    return result;
}

static coir_result look_inside(void *env)
{
    coir_result result;
    CHECK(!coir_future_get(*(coir_future **)env, coir_ns(0), &result));
    return result;
}

TEST_REAL(runtime_runtime, get_on_a_worker_does_not_wait, WHY)
{
    struct gate gate = GATE;
    WITH_RUNTIME(runtime, .workers = 1) {
        coir_future *future = coir_submit(runtime, coir_as(passing(&gate), coir_int(1)));
        CHECK_STR(got(coir_submit(runtime, coir_defer(get_inside, &future))), "PANIC MISUSE");
        CHECK_STR(got(coir_submit(runtime, coir_defer(look_inside, &future))), "OK 0");
        gate_open(&gate);
        CHECK_STR(got(coir_future_ref(future)), "OK 1");
        CHECK_STR(got(coir_submit(runtime, coir_defer(get_inside, &future))), "OK 1");
        coir_future_drop(future);
    }
}

TEST_REAL(runtime_runtime, bad_arguments_have_answers, WHY)
{
    coir_result result = coir_ok(coir_none());
    CHECK(coir_future_get(NULL, COIR_FOREVER, &result));
    CHECK_STR(coir_error_message(&result.value), "coir_future_get: future is NULL");
    coir_result_drop(&result);
    CHECK(!coir_future_done(NULL));
    coir_future_cancel(NULL);
    coir_future_drop(coir_future_ref(NULL));
    coir_runtime_drop(coir_runtime_ref(NULL));
    CHECK(!coir_runtime_stop(NULL, COIR_STOP_WAIT));
    CHECK(coir_submit(NULL, coir_pure(thing(1))) == NULL);
    errno = 0;
    CHECK_INT(coir_runtime_fd(NULL), -1);
    CHECK_INT(errno, EINVAL);
    CHECK_UINT(coir_runtime_dispatch(NULL), 0);
    CHECK(!coir_future_on_done(NULL, NULL, NULL));
    CHECK(!coir_future_deliver(NULL, NULL, NULL));
    result = coir_runtime_map(NULL, 1, 1, numbered, NULL, COIR_FOREVER);
    CHECK_STR(coir_error_message(&result.value), "coir_runtime_map: runtime is NULL");
    coir_result_drop(&result);
    errno = 0;
    CHECK(coir_runtime_start(COIR_OPTIONS(.workers = COIR_WORKERS_MAX + 1)) == NULL);
    CHECK_INT(errno, EINVAL);
    WITH_RUNTIME(runtime, .workers = 1) {
        CHECK(coir_submit(runtime, NULL) == NULL);
        CHECK(!coir_runtime_stop(runtime, (coir_stop_how)9));
        coir_future *future = coir_submit(runtime, coir_unit());
        CHECK(!coir_future_get(future, COIR_FOREVER, NULL));
        CHECK(!coir_future_on_done(future, NULL, NULL));
        CHECK(!coir_future_deliver(future, NULL, NULL));
        CHECK_STR(got(future), "OK 0");
    }
    CHECK_INT(things_alive, 0);
}

/* ------------------------------------------------------------------------------------------------------------- cancel */

TEST_REAL(runtime_runtime, canceled_future_ends_as_canceled_and_its_finalizers_have_run, WHY)
{
    for (unsigned workers = 1; workers <= 2; workers++)
        WITH_RUNTIME(runtime, .workers = workers) {
            coir_future *future = coir_submit(runtime, coir_finally(coir_never(), noting("finalizer")));
            coir_future_cancel(future);
            coir_future_cancel(future);
            CHECK_STR(got(future), "CANCELED 0");
        }
}

TEST_REAL(runtime_runtime, cancel_of_one_that_is_done_changes_nothing, WHY)
{
    WITH_RUNTIME(runtime, .workers = 1) {
        coir_future *future = coir_submit(runtime, coir_pure(coir_int(5)));
        CHECK_STR(got(coir_future_ref(future)), "OK 5");
        coir_future_cancel(future);
        CHECK_STR(got(future), "OK 5");
    }
}

TEST_REAL(runtime_runtime, canceled_at_whatever_moment_it_is_done_once, WHY)
{
    atomic_int counter = 0;
    WITH_RUNTIME(runtime, .workers = 2)
        for (int i = 0; i < scaled(2000); i++) {
            coir_result result;
            coir_future *future = coir_submit(runtime, coir_then(coir_yield(), counting(&counter)));
            coir_future_cancel(future);
            CHECK(coir_future_get(future, COIR_FOREVER, &result));
            CHECK(result.tag == COIR_OK || result.tag == COIR_CANCELED);
            coir_result_drop(&result);
            coir_future_drop(future);
        }
}

/* ------------------------------------------------------------------------------------------------------------- silence */

TEST_REAL(runtime_runtime, what_waits_for_nothing_is_let_wait_until_the_runtime_is_stopped, WHY)
{
    coir_result result;
    WITH_RUNTIME(runtime, .workers = 1) {
        coir_future *future = coir_submit(runtime, coir_never());
        CHECK(!coir_future_get(future, coir_ms(5), &result));
        CHECK(coir_runtime_stop(runtime, COIR_STOP_WAIT));
        CHECK_STR(got(future), "PANIC DEADLOCK");
    }
}

/* -------------------------------------------------------------------------------------------------------------- on_done */

static void note_done(void *env, coir_future *future)
{
    coir_result result;
    CHECK(coir_future_get(future, coir_ns(0), &result));
    note("%s %s", (const char *)env, describe(&result));
    coir_result_drop(&result);
}

TEST_REAL(runtime_runtime, on_done_is_called_once_in_order_and_at_once_if_it_is_done, WHY)
{
    struct gate gate = GATE;
    WITH_RUNTIME(runtime, .workers = 1) {
        coir_future *future = coir_submit(runtime, coir_as(passing(&gate), coir_int(1)));
        CHECK(coir_future_on_done(future, note_done, "a"));
        CHECK(coir_future_on_done(future, note_done, "b"));
        gate_open(&gate);
        CHECK(coir_runtime_stop(runtime, COIR_STOP_WAIT));
        CHECK_STR(notes(), "a OK 1 b OK 1");
        CHECK(coir_future_on_done(future, note_done, "c"));
        CHECK_STR(notes(), "c OK 1");
        coir_future_drop(future);
    }
}

static void wait_readable(int fd)
{
    struct pollfd one = { .fd = fd, .events = POLLIN };
    int ready;
    do
        ready = poll(&one, 1, -1);
    while (ready < 0 && errno == EINTR);
    CHECK_INT(ready, 1);
}

static bool is_readable(int fd) { return poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0) == 1; }

TEST_REAL(runtime_runtime, deliveries_make_the_descriptor_readable_and_are_called_by_dispatch, WHY)
{
    struct gate gate = GATE;
    WITH_RUNTIME(runtime, .workers = 2) {
        int fd = coir_runtime_fd(runtime);
        CHECK(fd >= 0);
        CHECK_INT(coir_runtime_fd(runtime), fd);
        coir_future *future = coir_submit(runtime, coir_as(passing(&gate), coir_int(1)));
        CHECK(coir_future_deliver(future, note_done, "a"));
        CHECK(coir_future_deliver(future, note_done, "b"));
        CHECK(!is_readable(fd));
        CHECK_UINT(coir_runtime_dispatch(runtime), 0);
        gate_open(&gate);
        CHECK_STR(got(coir_future_ref(future)), "OK 1");
        wait_readable(fd);
        CHECK_STR(notes(), "");
        size_t called = 0;
        while (called < 2)
            called += coir_runtime_dispatch(runtime);
        CHECK_STR(notes(), "a OK 1 b OK 1");
        CHECK(!is_readable(fd));
        CHECK(coir_future_deliver(future, note_done, "c"));
        CHECK(is_readable(fd));
        CHECK_UINT(coir_runtime_dispatch(runtime), 1);
        CHECK_STR(notes(), "c OK 1");
        coir_future_drop(future);
    }
}

TEST_REAL(runtime_runtime, descriptor_that_is_asked_for_late_tells_of_what_came_before, WHY)
{
    WITH_RUNTIME(runtime, .workers = 1) {
        coir_future *future = coir_submit(runtime, coir_pure(coir_int(1)));
        CHECK_STR(got(coir_future_ref(future)), "OK 1");
        CHECK(coir_future_deliver(future, note_done, "late"));
        coir_future_drop(future);
        CHECK(is_readable(coir_runtime_fd(runtime)));
    }
    CHECK_STR(notes(), "");
}

/* ---------------------------------------------------------------------------------------------------------------- stop */

TEST_REAL(runtime_runtime, stop_waits_for_what_was_submitted_and_what_that_forked, WHY)
{
    for (unsigned workers = 1; workers <= 2; workers++)
        WITH_RUNTIME(runtime, .workers = workers) {
            coir_io *child = coir_then(coir_sleep(coir_ms(2)), noting("child"));
            coir_future_drop(coir_submit(runtime, coir_then(coir_fork(child), noting("parent"))));
            CHECK(coir_runtime_stop(runtime, COIR_STOP_WAIT));
            CHECK_STR(notes(), "parent child");
            CHECK(coir_runtime_stop(runtime, COIR_STOP_WAIT));
        }
}

TEST_REAL(runtime_runtime, what_is_submitted_after_stop_is_refused_and_dropped, WHY)
{
    WITH_RUNTIME(runtime, .workers = 1) {
        CHECK(coir_runtime_stop(runtime, COIR_STOP_WAIT));
        coir_future *future = coir_submit(runtime, coir_pure(thing(1)));
        CHECK_INT(things_alive, 0);
        CHECK(coir_future_done(future));
        CHECK_STR(got(future), "ERROR REFUSED");
    }
}

TEST_REAL(runtime_runtime, stop_with_cancel_calls_all_off_and_awaits_the_finalizers, WHY)
{
    struct gate gate = GATE;
    for (unsigned workers = 1; workers <= 2; workers++)
        WITH_RUNTIME(runtime, .workers = workers) {
            coir_future *endless = coir_submit(runtime, coir_finally(coir_never(), noting("finalizer")));
            coir_future *forker = coir_submit(runtime, coir_as(coir_fork(coir_finally(coir_never(), coir_then(passing(&gate), noting("child")))), coir_int(7)));
            CHECK_STR(got(coir_future_ref(forker)), "OK 7");
            gate_open(&gate);
            CHECK(coir_runtime_stop(runtime, COIR_STOP_CANCEL));
            CHECK_STR(got(endless), "CANCELED 0");
            coir_future_drop(forker);
        }
}

struct stopper { coir_runtime *runtime; pthread_t thread; };
static void *stop_and_wait(void *env)
{
    CHECK(coir_runtime_stop(((struct stopper *)env)->runtime, COIR_STOP_WAIT));
    return NULL;
}

TEST_REAL(runtime_runtime, second_stop_may_turn_waiting_into_cancelling, WHY)
{
    WITH_RUNTIME(runtime, .workers = 1) {
        struct stopper stopper = { .runtime = runtime };
        coir_future *endless = coir_submit(runtime, coir_sleep(coir_seconds(100000)));
        CHECK_INT(pthread_create(&stopper.thread, NULL, stop_and_wait, &stopper), 0);
        for (coir_future *probe = NULL; ; ) {                   /* until the door is closed */
            coir_result result;
            probe = coir_submit(runtime, coir_unit());
            CHECK(coir_future_get(probe, COIR_FOREVER, &result));
            bool is_closed = result.tag == COIR_ERROR;
            coir_result_drop(&result);
            coir_future_drop(probe);
            if (is_closed)
                break;
        }
        CHECK(!coir_future_done(endless));
        CHECK(coir_runtime_stop(runtime, COIR_STOP_CANCEL));
        CHECK_INT(pthread_join(stopper.thread, NULL), 0);
        CHECK_STR(got(endless), "CANCELED 0");
    }
}

TEST_REAL(runtime_runtime, detached_fibers_are_called_off_with_the_others, WHY)
{
    coir_runtime *runtime = started(COIR_OPTIONS(.workers = 1));
    CHECK_STR(got(coir_submit(runtime, coir_as(coir_fork_detached(coir_finally(coir_sleep(coir_seconds(100000)), noting("finalizer"))), coir_int(1)))), "OK 1");
    CHECK(coir_runtime_stop(runtime, COIR_STOP_CANCEL));
    coir_runtime_drop(runtime);
}

static void stop_there(void *env, coir_future *future)
{
    (void)future;
    CHECK(coir_runtime_stop(env, COIR_STOP_WAIT));
    note("stopped");
}

TEST_REAL(runtime_runtime, what_is_delivered_may_wait_and_stop_the_runtime, WHY)
{
    coir_runtime *runtime = started(COIR_OPTIONS(.workers = 1));
    coir_future *future = coir_submit(runtime, coir_unit());
    CHECK_STR(got(coir_future_ref(future)), "OK 0");
    CHECK(coir_future_deliver(future, stop_there, runtime));
    CHECK_UINT(coir_runtime_dispatch(runtime), 1);
    CHECK_STR(notes(), "stopped");
    coir_future_drop(future);
    coir_runtime_drop(runtime);
}

struct ordered { coir_runtime *runtime; coir_future *later; };
static void deliver_later(void *env, coir_future *future)
{
    struct ordered *ordered = env;
    (void)future;
    ordered->later = coir_submit(ordered->runtime, coir_pure(coir_int(2)));
    CHECK(coir_future_deliver(ordered->later, note_done, "later"));
}

TEST_REAL(runtime_runtime, deliveries_come_in_the_order_in_which_futures_are_done, WHY)
{
    struct gate gate = GATE;
    WITH_RUNTIME(runtime, .workers = 2) {
        struct ordered ordered = { .runtime = runtime };
        coir_future *future = coir_submit(runtime, coir_as(passing(&gate), coir_int(1)));
        CHECK(coir_future_on_done(future, deliver_later, &ordered));
        CHECK(coir_future_deliver(future, note_done, "first"));
        gate_open(&gate);
        CHECK(coir_runtime_stop(runtime, COIR_STOP_WAIT));
        size_t called = coir_runtime_dispatch(runtime);
        CHECK(called == 2 || coir_future_done(ordered.later));
        const char *order = notes();
        CHECK(strncmp(order, "first OK 1", strlen("first OK 1")) == 0);
        coir_future_drop(ordered.later);
        coir_future_drop(future);
    }
}

static coir_result stop_from_blocking(void *env) { return coir_ok(coir_bool(coir_runtime_stop(env, COIR_STOP_WAIT))); }

TEST_REAL(runtime_runtime, stop_in_its_own_blocking_call_is_refused, WHY)
{
    WITH_RUNTIME(runtime, .workers = 1)
        CHECK_STR(got(coir_submit(runtime, coir_blocking(stop_from_blocking, runtime))), "OK 0");
}

/* In the child: a status, as little else is of use there. */
static int use_in_child(coir_runtime *runtime, coir_future *undone)
{
    coir_result result;
    coir_future *future = coir_submit(runtime, coir_pure(coir_int(1)));
    if (!coir_future_get(future, COIR_FOREVER, &result) || result.tag != COIR_ERROR)
        return 1;
    if (!coir_future_get(undone, COIR_FOREVER, &result) || result.tag != COIR_PANIC)
        return 2;
    if (coir_runtime_stop(runtime, COIR_STOP_WAIT))
        return 3;
    errno = 0;
    return coir_runtime_start(NULL) == NULL && errno == EPERM ? 0 : 4;
}

TEST_REAL(runtime_runtime, child_of_fork_is_refused_everything_that_would_wait, WHY)
{
    struct gate gate = GATE;
    WITH_RUNTIME(runtime, .workers = 1) {
        coir_future *undone = coir_submit(runtime, passing(&gate));
        int status = 0;
        pid_t child = fork();
        if (child == 0)
            _exit(use_in_child(runtime, undone));
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK_INT(WEXITSTATUS(status), 0);
        gate_open(&gate);
        coir_future_drop(undone);
    }
}

static coir_result stop_inside(void *env) { return coir_ok(coir_bool(coir_runtime_stop(env, COIR_STOP_WAIT))); }
static coir_result map_inside(void *env) { return coir_runtime_map(env, 1, 1, numbered, NULL, COIR_FOREVER); }

TEST_REAL(runtime_runtime, stop_and_map_on_a_worker_are_refused, WHY)
{
    WITH_RUNTIME(runtime, .workers = 1) {
        CHECK_STR(got(coir_submit(runtime, coir_defer(stop_inside, runtime))), "OK 0");
        CHECK_STR(got(coir_submit(runtime, coir_defer(map_inside, runtime))), "PANIC MISUSE");
    }
}

TEST_REAL(runtime_runtime, dropped_without_a_stop_it_goes_on_until_all_is_done, WHY)
{
    struct gate gate = GATE;
    coir_runtime *runtime = started(COIR_OPTIONS(.workers = 1));
    coir_future *future = coir_submit(runtime, coir_as(passing(&gate), thing(4)));
    coir_runtime_drop(runtime);
    gate_open(&gate);
    CHECK_STR(got(future), "OK thing 4");
}

static coir_io *two_locks(coir_lock *a, coir_lock *b, struct gate *one, struct gate *other)
{
    return coir_with_lock(a, coir_then(opening(one), coir_then(passing(other), coir_with_lock(b, coir_unit()))));
}

TEST_REAL(runtime_runtime, runtime_that_a_verdict_stops_leaves_no_future_undone, WHY)
{
    struct gate one = GATE, other = GATE;
    coir_lock *a = coir_lock_new(), *b = coir_lock_new();
    WITH_RUNTIME(runtime, .workers = 2, .on_deadlock = COIR_DEADLOCK_STOP) {
        coir_future *never = coir_submit(runtime, coir_never());
        coir_future *first = coir_submit(runtime, two_locks(a, b, &one, &other)), *second = coir_submit(runtime, two_locks(b, a, &other, &one));
        CHECK_STR(got(never), "PANIC code -1007");
        CHECK_STR(got(first), "PANIC code -1007");
        CHECK_STR(got(second), "PANIC code -1007");
    }
    coir_lock_drop(a);
    coir_lock_drop(b);
}

/* --------------------------------------------------------------------------------------------------------------- unseen */

static atomic_int unseen;
static void count_unseen(void *env, uint64_t fiber_id, const coir_result *failure)
{
    (void)env;
    (void)fiber_id;
    (void)failure;
    atomic_fetch_add(&unseen, 1);
}

TEST_REAL(runtime_runtime, failure_that_nobody_got_is_told_once_and_no_other, WHY)
{
    unseen = 0;
    WITH_RUNTIME(runtime, .workers = 2, .on_unseen_failure = count_unseen) {
        coir_future_drop(coir_submit(runtime, ending(COIR_ERROR, 1)));
        coir_future *not_got = coir_submit(runtime, ending(COIR_PANIC, 2));
        coir_future *seen = coir_submit(runtime, ending(COIR_ERROR, 3));
        CHECK_STR(got(seen), "ERROR 3");
        coir_future_drop(coir_submit(runtime, coir_unit()));
        CHECK(coir_runtime_stop(runtime, COIR_STOP_WAIT));
        coir_future_drop(not_got);
    }
    CHECK_INT(unseen, 2);
}

TEST_REAL(runtime_runtime, failure_that_cannot_be_shared_is_told_if_nobody_got_it, WHY)
{
    unseen = 0;
    WITH_RUNTIME(runtime, .workers = 1, .on_unseen_failure = count_unseen) {
        coir_future *future = coir_submit(runtime, coir_fail(sole_thing(1)));
        while (!coir_future_done(future))
            sched_yield();
        coir_future_drop(future);
        future = coir_submit(runtime, coir_fail(sole_thing(2)));
        CHECK_STR(got(future), "ERROR thing 2");
    }
    CHECK_INT(unseen, 1);
}

/* ------------------------------------------------------------------------------------------------------------------ map */

static coir_io *fails_at_three(void *env, size_t index) { (void)env; return index == 3 ? ending(COIR_ERROR, 33) : coir_pure(coir_int((int64_t)index)); }
static coir_io *endless(void *env, size_t index) { (void)env; (void)index; return coir_never(); }

TEST_REAL(runtime_runtime, map_gives_the_values_in_order_or_the_first_failure_or_a_time_out, WHY)
{
    WITH_RUNTIME(runtime, .workers = 2) {
        coir_result result = coir_runtime_map(runtime, 2, 5, numbered, NULL, COIR_FOREVER);
        CHECK_STR(describe(&result), "OK [0 1 2 3 4]");
        coir_result_drop(&result);
        result = coir_runtime_map(runtime, 0, 9, fails_at_three, NULL, COIR_FOREVER);
        CHECK_STR(describe(&result), "ERROR 33");
        coir_result_drop(&result);
        result = coir_runtime_map(runtime, 3, 5, endless, NULL, coir_ms(2));
        CHECK_STR(describe(&result), "ERROR code -1001");
        coir_result_drop(&result);
    }
}
