/*
 * blocking.c - tests of functions that block: where they are called, how many at once, and what a cancellation makes of them
 */
#include "fibers.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>

/* ------------------------------------------------------------------------------------------------------------- results */

static coir_result give_tag(void *env)
{
    const coir_tag *tag = env;
    return coir_result_of(*tag, thing(1));
}

TEST(outside_blocking, result_of_each_tag_is_the_fibers)
{
    static const char *const expected[] = { "OK thing 1", "ERROR thing 1", "PANIC thing 1", "CANCELED thing 1" };
    for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++)
        FOR_SCHEDULES(options) {
            CHECK_STR(outcome_under(options, coir_blocking(give_tag, &tag)), expected[tag]);
            CHECK_STR(outcome_under(options, coir_blocking_copy(give_tag, &tag, sizeof tag)), expected[tag]);
        }
}

static coir_result give_broken(void *env) { (void)env; return coir_ok(coir_panic_value("no luck")); }
static coir_result give_nonsense(void *env) { (void)env; return (coir_result){ .tag = (coir_tag)77, .value = coir_none() }; }

TEST(outside_blocking, value_that_stands_for_a_panic_and_a_broken_result_are_panics)
{
    coir_result result = run(1, coir_blocking(give_broken, NULL));
    CHECK_TAG(result, COIR_PANIC);
    CHECK_STR(coir_error_message(&result.value), "no luck");
    coir_result_drop(&result);
    result = run(1, coir_blocking(give_nonsense, NULL));
    CHECK_TAG(result, COIR_PANIC);
    coir_result_drop(&result);
}

static coir_result add_one(void *env) { return coir_ok(coir_int(++*(int64_t *)env)); }

TEST(outside_blocking, env_is_lent_or_captured_and_a_shared_io_runs_anew)
{
    int64_t n = 0;
    CHECK_STR(outcome(2, coir_repeat(coir_blocking(add_one, &n), 5)), "OK 5");
    CHECK_INT(n, 5);
    CHECK_STR(outcome(2, waited(COIR_IOS(coir_blocking_copy(add_one, &n, sizeof n), coir_blocking_copy(add_one, &n, sizeof n)))), "OK [<OK 6> <OK 6>]");
    CHECK_INT(n, 5);
}

static coir_result sum_bytes(void *env)
{
    const unsigned char *bytes = env;
    int64_t sum = 0;
    for (size_t i = 0; i < 64 << 10; i++)
        sum += bytes[i];
    return coir_ok(coir_int(sum));
}

TEST(outside_blocking, captures_64_KiB_and_refuses_more)
{
    static unsigned char bytes[(64 << 10) + 1];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = 1;
    CHECK_STR(outcome(1, coir_blocking_copy(sum_bytes, bytes, 64 << 10)), "OK 65536");
    CHECK_STR(message_of(1, coir_blocking_copy(sum_bytes, bytes, (64 << 10) + 1)), "coir_blocking_copy: size is more than 64 KiB");
}

static void unblock_nothing(void *env) { (void)env; }

TEST(outside_blocking, bad_arguments_are_panics_that_name_the_function)
{
    CHECK_STR(message_of(1, coir_blocking(NULL, NULL)), "coir_blocking: fn is NULL");
    CHECK_STR(message_of(1, coir_blocking_copy(NULL, NULL, 0)), "coir_blocking_copy: fn is NULL");
    CHECK_STR(message_of(1, coir_blocking_copy(give_tag, NULL, 4)), "coir_blocking_copy: bytes is NULL");
    CHECK_STR(message_of(1, coir_interruptible(NULL, unblock_nothing, NULL)), "coir_interruptible: fn is NULL");
    CHECK_STR(message_of(1, coir_interruptible(give_tag, NULL, NULL)), "coir_interruptible: unblock is NULL");
    CHECK_STR(message_of(1, coir_interruptible_copy(give_tag, NULL, "", 1)), "coir_interruptible_copy: unblock is NULL");
    CHECK_STR(message_of(1, coir_interruptible_copy(give_tag, unblock_nothing, NULL, 1)), "coir_interruptible_copy: bytes is NULL");
}

static coir_result run_inside(void *env)
{
    (void)env;
    return coir_run(coir_pure(coir_int(8)), COIR_OPTIONS(.workers = 1));
}

TEST(outside_blocking, another_run_may_be_made_there)
{
    FOR_SCHEDULES(options)
        CHECK_STR(outcome_under(options, coir_blocking(run_inside, NULL)), "OK 8");
}

/* ------------------------------------------------------------------------------------------------------------- threads */

/* A door that threads wait at until somebody opens it. */
struct door { pthread_mutex_t lock; pthread_cond_t changed; bool is_open; int inside, most, calls; };
#define DOOR { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER }

static coir_result wait_at_door(void *env)
{
    struct door *door = env;
    pthread_mutex_lock(&door->lock);
    door->calls++;
    door->inside++;
    door->most = door->inside > door->most ? door->inside : door->most;
    pthread_cond_broadcast(&door->changed);
    while (!door->is_open)
        pthread_cond_wait(&door->changed, &door->lock);
    door->inside--;
    pthread_mutex_unlock(&door->lock);
    return coir_ok(thing(7));
}

static void open_door(void *env)
{
    struct door *door = env;
    pthread_mutex_lock(&door->lock);
    door->is_open = true;
    pthread_cond_broadcast(&door->changed);
    pthread_mutex_unlock(&door->lock);
}
static coir_result open_it(void *env) { open_door(env); return coir_ok(coir_none()); }

static void await_inside(struct door *door, int count)
{
    pthread_mutex_lock(&door->lock);
    while (door->inside < count)
        pthread_cond_wait(&door->changed, &door->lock);
    pthread_mutex_unlock(&door->lock);
}

/* An io that ends when so many are inside: itself a blocking call. */
struct inside { struct door *door; int count; };
static coir_result await_them(void *env)
{
    const struct inside *inside = env;
    await_inside(inside->door, inside->count);
    return coir_ok(coir_none());
}
static coir_io *until_inside(struct door *door, int count)
{
    return coir_blocking_copy(await_them, &(struct inside){ door, count }, sizeof(struct inside));
}

TEST_REAL(outside_blocking, worker_goes_on_while_a_call_blocks, "what blocks there blocks the one thread")
{
    struct door door = DOOR;
    coir_io *call = coir_blocking(wait_at_door, &door);
    CHECK_STR(outcome(1, coir_both(call, coir_then(until_inside(&door, 1), coir_defer(open_it, &door)))), "OK [thing 7 0]");
}

TEST_REAL(outside_blocking, run_that_waits_for_a_blocking_call_is_not_silent, "what blocks there blocks the one thread")
{
    struct door door = DOOR;
    struct other_run other;
    uint64_t before = coir_counters_now().deadlocks;
    other_run_begin(&other, COIR_OPTIONS(.workers = 2), coir_blocking(wait_at_door, &door));
    await_inside(&door, 1);
    open_door(&door);
    coir_result result = other_run_end(&other);
    CHECK_STR(describe(&result), "OK thing 7");
    coir_result_drop(&result);
    CHECK_UINT(coir_counters_now().deadlocks, before);
}

static int threads_alive(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL; )
        count += entry->d_name[0] != '.';
    if (tasks != NULL)
        closedir(tasks);
    return count;
}

TEST_REAL(outside_blocking, as_many_threads_as_calls_and_none_is_left_when_the_run_has_ended, "there are no threads")
{
    enum { CALLS = 20 };
    struct door door = DOOR;
    int before = threads_alive();
    coir_io *calls = copies_of(CALLS, coir_blocking(wait_at_door, &door));
    coir_io *end = coir_then(until_inside(&door, CALLS), coir_defer(open_it, &door));
    CHECK_STR(outcome(1, coir_then(calls, end)), "OK 0");
    CHECK_INT(door.most, CALLS);
    CHECK_INT(threads_alive(), before);
}

TEST_REAL(outside_blocking, no_more_at_once_than_blocking_max_and_the_others_have_their_turn, "there are no threads")
{
    enum { CALLS = 50 };
    for (unsigned max = 1; max <= 4; max++) {
        struct door door = DOOR;
        door.is_open = true;
        coir_io *calls = coir_flat_map(copies_of(CALLS, coir_blocking(wait_at_door, &door)), wait_it, NULL);
        coir_result result = coir_run(calls, COIR_OPTIONS(.workers = 2, .blocking_max = max));
        CHECK_INT(how_many_are(&result.value, COIR_OK), CALLS);
        CHECK(door.most <= (int)max);
        CHECK_INT(door.calls, CALLS);
        coir_result_drop(&result);
    }
}

static coir_result note_number(void *env) { note("%d", *(int *)env); return coir_ok(coir_none()); }
TEST_REAL(outside_blocking, what_exceeds_the_bound_is_called_in_the_order_in_which_it_came, "an order of its own is chosen there")
{
    enum { CALLS = 5 };
    struct door door = DOOR;
    coir_fiber *fibers[CALLS + 1];
    coir_io *io = queueing(coir_blocking(wait_at_door, &door), &fibers[CALLS]);
    for (int i = 0; i < CALLS; i++)
        io = coir_then(io, queueing(coir_blocking_copy(note_number, &i, sizeof i), &fibers[i]));
    coir_result result = coir_run(coir_then(io, coir_defer(open_it, &door)), COIR_OPTIONS(.workers = 1, .blocking_max = 1));
    CHECK_STR(describe(&result), "OK 0");
    coir_result_drop(&result);
    for (int i = 0; i <= CALLS; i++)
        coir_fiber_drop(fibers[i]);
    CHECK_STR(notes(), "0 1 2 3 4 -7");
}

static coir_result look_around(void *env)
{
    char name[16];
    sigset_t blocked;
    (void)env;
    pthread_getname_np(pthread_self(), name, sizeof name);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    note("%s %d %d", name, sigismember(&blocked, SIGINT), sigismember(&blocked, SIGTERM));
    return coir_ok(coir_none());
}

TEST_REAL(outside_blocking, its_threads_have_a_name_and_no_signals, "there are no threads")
{
    CHECK_STR(outcome(1, coir_blocking(look_around, NULL)), "OK 0");
    CHECK_STR(notes(), "coir blocking 1 1");
}

static coir_result its_thread(void *env) { (void)env; return coir_ok(coir_uint((uint64_t)(uintptr_t)pthread_self())); }

TEST_REAL(outside_blocking, thread_that_is_idle_serves_the_next_call, "there are no threads")
{
    coir_result result = run(1, coir_zip(COIR_IOS(coir_blocking(its_thread, NULL), coir_blocking(its_thread, NULL), coir_blocking(its_thread, NULL))));
    CHECK_TAG(result, COIR_OK);
    CHECK(coir_list_at(&result.value, 0)->u64 == coir_list_at(&result.value, 2)->u64 ||
          coir_list_at(&result.value, 0)->u64 == coir_list_at(&result.value, 1)->u64 ||
          coir_list_at(&result.value, 1)->u64 == coir_list_at(&result.value, 2)->u64);
    CHECK(coir_list_at(&result.value, 0)->u64 != (uint64_t)(uintptr_t)pthread_self());
    coir_result_drop(&result);
}

static coir_io *hundred_calls(void *env, size_t index)
{
    (void)index;
    return coir_repeat(coir_blocking(count_up, env), 100);
}

TEST(outside_blocking, many_calls_of_many_fibers_are_each_made_once)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        atomic_int calls = 0;
        CHECK_STR(outcome(workers, coir_as(coir_par_traverse(0, 20, hundred_calls, &calls), coir_none())), "OK 0");
        CHECK_INT(calls, 2000);
    }
}

/* ------------------------------------------------------------------------------------------------------------ cancel */

static coir_io *cancel_placed(void *place) { return coir_cancel(*(coir_fiber **)place); }
static coir_io *ask_placed(void *place)    { return coir_cancel_nowait(*(coir_fiber **)place); }

TEST_REAL(outside_blocking, canceled_before_its_turn_it_is_not_called, "nothing waits for a thread there")
{
    struct door door = DOOR;
    atomic_int calls = 0;
    coir_fiber *first, *second;
    coir_io *io = coir_then(queueing(coir_blocking(wait_at_door, &door), &first), queueing(coir_blocking(count_up, &calls), &second));
    io = coir_then(io, coir_suspend(cancel_placed, &second));
    coir_result result = coir_run(coir_then(io, coir_defer(open_it, &door)), COIR_OPTIONS(.workers = 2, .blocking_max = 1));
    CHECK_STR(describe(&result), "OK 0");
    coir_result_drop(&result);
    CHECK_INT(coir_fiber_status(second), COIR_ENDED);
    CHECK_INT(calls, 0);
    coir_fiber_drop(first);
    coir_fiber_drop(second);
}

static coir_result fail_at_door(void *env)
{
    coir_result result = wait_at_door(env);
    coir_result_drop(&result);
    return coir_raise(thing(9));
}

/* The call is asked to end while it is inside; then the door opens. How its fiber ended. */
static const char *canceled_while_it_runs(coir_io *call, struct door *door)
{
    coir_fiber *fiber;
    coir_io *asked = coir_then(coir_then(forking(call, &fiber), until_inside(door, 1)), coir_then(until_parked(&fiber), coir_suspend(ask_placed, &fiber)));
    const char *text = outcome(2, coir_then(coir_then(asked, coir_defer(open_it, door)), joining(&fiber)));
    coir_fiber_drop(fiber);
    return text;
}

TEST_REAL(outside_blocking, canceled_while_it_runs_it_is_waited_for_and_a_value_wins, "what blocks there blocks the one thread")
{
    struct door door = DOOR;
    CHECK_STR(canceled_while_it_runs(coir_blocking(wait_at_door, &door), &door), "OK thing 7");
    CHECK_INT(door.inside, 0);
}

TEST_REAL(outside_blocking, canceled_while_it_runs_an_error_is_a_cancellation, "what blocks there blocks the one thread")
{
    struct door door = DOOR;
    CHECK_STR(canceled_while_it_runs(coir_blocking(fail_at_door, &door), &door), "ERROR CHILD_CANCELED");
    CHECK_STR(notes(), "-7 -9");
}

/* ----------------------------------------------------------------------------------------------------- interruptible */

/* What blocks in a read, and what ends it. */
struct reader { int ends[2]; struct door door; atomic_int unblocked; };

static coir_result read_byte(void *env)
{
    struct reader *reader = env;
    char byte;
    pthread_mutex_lock(&reader->door.lock);
    reader->door.inside++;
    pthread_cond_broadcast(&reader->door.changed);
    pthread_mutex_unlock(&reader->door.lock);
    return read(reader->ends[0], &byte, 1) == 1 ? coir_ok(coir_int(byte)) : coir_raisef(EINTR, "interrupted");
}

static void close_end(void *env)
{
    struct reader *reader = env;
    if (atomic_fetch_add(&reader->unblocked, 1) == 0)
        close(reader->ends[1]);
}

TEST_REAL(outside_blocking, interruptible_call_is_unblocked_once_by_a_cancellation, "what blocks there blocks the one thread")
{
    struct reader reader = { .door = DOOR };
    coir_fiber *fiber;
    CHECK_INT(pipe(reader.ends), 0);
    coir_io *io = coir_then(forking(coir_interruptible(read_byte, close_end, &reader), &fiber), until_inside(&reader.door, 1));
    io = coir_then(io, coir_suspend(cancel_placed, &fiber));
    CHECK_STR(outcome(2, coir_then(io, joining(&fiber))), "ERROR CHILD_CANCELED");
    CHECK_INT(reader.unblocked, 1);
    close(reader.ends[0]);
    coir_fiber_drop(fiber);
}

/* On a busy machine the limit may be over before a thread has begun: then there is nothing to unblock, and the next one is longer. */
TEST_REAL(outside_blocking, interruptible_call_obeys_a_time_out, "what blocks there blocks the one thread")
{
    struct reader reader = { .door = DOOR };
    for (int64_t ms = 5; reader.door.inside == 0; ms *= 2) {
        CHECK_INT(pipe(reader.ends), 0);
        CHECK_STR(outcome(1, coir_timeout_to(coir_interruptible(read_byte, close_end, &reader), coir_ms(ms), coir_pure(coir_int(-1)))), "OK -1");
        CHECK_INT(reader.unblocked, reader.door.inside);
        close(reader.ends[0]);
        if (reader.unblocked == 0)
            close(reader.ends[1]);
    }
}

TEST_REAL(outside_blocking, interruptible_call_that_is_not_canceled_is_not_unblocked, "what blocks there blocks the one thread")
{
    struct reader reader = { .door = DOOR };
    CHECK_INT(pipe(reader.ends), 0);
    CHECK_INT((int)write(reader.ends[1], "x", 1), 1);
    CHECK_STR(outcome(1, coir_interruptible(read_byte, close_end, &reader)), "OK 120");
    CHECK_INT(reader.unblocked, 0);
    close(reader.ends[0]);
    close(reader.ends[1]);
}

/* Called off at about the moment at which it returns. */
static coir_result soon(void *env) { (void)env; sched_yield(); return coir_ok(coir_int(3)); }
static void count_unblock(void *env) { atomic_fetch_add((atomic_int *)env, 1); }
static coir_io *cancel_it(void *env, coir_value *fiber) { (void)env; return coir_cancel(coir_fiber_of(fiber)); }

TEST(outside_blocking, canceled_at_whatever_moment_it_is_over_when_the_canceler_goes_on)
{
    FOR_WORKERS(workers, 1, 2) {
        atomic_int unblocked = 0;
        coir_io *round = coir_flat_map(coir_fork(coir_interruptible(soon, count_unblock, &unblocked)), cancel_it, NULL);
        CHECK_STR(outcome(workers, coir_repeat(round, (uint64_t)scaled(3000))), "OK 0");
        CHECK(unblocked <= scaled(3000));
    }
}

/* ------------------------------------------------------------------------------------------------------------- stopped */

static coir_io *two_locks(coir_lock *a, coir_lock *b, struct gate *one, struct gate *other)
{
    return coir_with_lock(a, coir_then(opening(one), coir_then(passing(other), coir_with_lock(b, coir_unit()))));
}

TEST_REAL(outside_blocking, run_that_is_stopped_waits_for_what_blocks, "what blocks there blocks the one thread")
{
    struct door door = DOOR;
    struct gate one = GATE, other = GATE;
    struct other_run run;
    coir_lock *a = coir_lock_new(), *b = coir_lock_new();
    coir_io *ring = coir_both(two_locks(a, b, &one, &other), two_locks(b, a, &other, &one));
    coir_io *io = coir_then(coir_fork(coir_blocking(wait_at_door, &door)), coir_then(until_inside(&door, 1), ring));
    uint64_t before = coir_counters_now().deadlocks;
    other_run_begin(&run, COIR_OPTIONS(.workers = 2, .on_deadlock = COIR_DEADLOCK_STOP), io);
    while (coir_counters_now().deadlocks == before)
        sched_yield();
    open_door(&door);
    coir_result result = other_run_end(&run);
    CHECK_TAG(result, COIR_PANIC);
    CHECK_INT(door.inside, 0);
    coir_result_drop(&result);
    coir_lock_drop(a);
    coir_lock_drop(b);
}

TEST_REAL(outside_blocking, run_that_is_stopped_unblocks_what_is_interruptible, "what blocks there blocks the one thread")
{
    struct reader reader = { .door = DOOR };
    struct gate one = GATE, other = GATE;
    coir_lock *a = coir_lock_new(), *b = coir_lock_new();
    CHECK_INT(pipe(reader.ends), 0);
    coir_io *ring = coir_both(two_locks(a, b, &one, &other), two_locks(b, a, &other, &one));
    coir_io *io = coir_then(coir_fork(coir_interruptible(read_byte, close_end, &reader)), coir_then(until_inside(&reader.door, 1), ring));
    coir_result result = coir_run(io, COIR_OPTIONS(.workers = 2, .on_deadlock = COIR_DEADLOCK_STOP));
    CHECK_TAG(result, COIR_PANIC);
    coir_result_drop(&result);
    CHECK_INT(reader.unblocked, 1);
    close(reader.ends[0]);
    coir_lock_drop(a);
    coir_lock_drop(b);
}

/* ----------------------------------------------------------------------------------------------------------- simulated */

static coir_io *call_and_sleep(void)
{
    return coir_race(COIR_IOS(coir_as(coir_blocking(soon, NULL), coir_int(1)), coir_as(coir_sleep(coir_us(500)), coir_int(2))));
}

TEST(outside_blocking, simulated_it_takes_a_while_that_the_seed_chooses)
{
    int ones = 0;
    enum { SEEDS = 200 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        coir_result result = coir_sim_run(call_and_sleep(), COIR_SIM_OPTIONS(.seed = seed));
        CHECK_TAG(result, COIR_OK);
        ones += result.value.i64 == 1;
        coir_result_drop(&result);
    }
    CHECK(ones > SEEDS / 4);
    CHECK(ones < SEEDS * 3 / 4);
}

TEST(outside_blocking, simulated_it_may_be_canceled_before_it_is_called)
{
    atomic_int calls = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        coir_io *io = coir_timeout_to(coir_blocking(count_up, &calls), coir_ns(1), coir_pure(coir_int(-1)));
        coir_result result = coir_sim_run(io, COIR_SIM_OPTIONS(.seed = seed));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
    }
    CHECK(calls < 50);
}

static coir_result tick_inside(void *env) { return coir_ok(coir_bool(coir_sim_tick(*(coir_sim **)env) == COIR_SIM_REFUSED)); }

TEST(outside_blocking, simulation_cannot_be_moved_from_a_blocking_call_of_its_own)
{
    coir_sim *sim = NULL;
    sim = coir_sim_open(coir_blocking(tick_inside, &sim), NULL);
    coir_sim_tick_all(sim);
    coir_result result = coir_sim_close(sim);
    CHECK_STR(describe(&result), "OK 1");
    coir_result_drop(&result);
    coir_sim_drop(sim);
}

static coir_result id_of_new(void *env)
{
    (void)env;
    coir_lock *lock = coir_lock_new();
    coir_value id = coir_uint(coir_lock_id(lock));
    coir_lock_drop(lock);
    return coir_ok(id);
}

TEST(outside_blocking, simulated_what_it_makes_has_the_simulations_numbers)
{
    for (int i = 0; i < 2; i++) {
        coir_result result = coir_sim_run(coir_blocking(id_of_new, NULL), NULL);
        CHECK_STR(describe(&result), "OK 1");
        coir_result_drop(&result);
    }
}
