/*
 * async.c - tests of callback handles: who wakes the fiber, with what, and that every call but the first is refused and harmless
 */
#include "fibers.h"

static uint64_t refused(void) { return coir_counters_now().resumes_refused; }

/* ------------------------------------------------------------------------------------------------------- inside start */

static void resume_with_env(void *env, void *op, coir_callback k)
{
    (void)op;
    CHECK(coir_resume(k, coir_ok(coir_int(*(const int *)env))));
}
static const coir_async_type at_once_type = { .start = resume_with_env };

TEST(outside_async, resumed_inside_start_the_fiber_goes_on_with_that_result)
{
    int n = 7;
    FOR_SCHEDULES(options) {
        CHECK_STR(outcome_under(options, coir_async(&at_once_type, &n)), "OK 7");
        CHECK_STR(outcome_under(options, coir_repeat(coir_async(&at_once_type, &n), 100)), "OK 7");
    }
}

static void resume_with_things(void *env, void *op, coir_callback k)
{
    const coir_tag *tag = env;
    (void)op;
    CHECK(coir_resume(k, coir_result_of(*tag, thing(1))));
    CHECK(!coir_resume(k, coir_result_of(*tag, thing(2))));
    CHECK(!coir_resume(k, coir_ok(sole_thing(3))));
}
static const coir_async_type things_type = { .start = resume_with_things };

TEST(outside_async, result_of_each_tag_is_the_fibers_and_what_comes_later_is_dropped_once)
{
    static const char *const expected[] = { "OK thing 1", "ERROR thing 1", "PANIC thing 1", "CANCELED thing 1" };
    for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++)
        FOR_WORKERS(workers, 1, 2, 4) {
            uint64_t before = refused();
            CHECK_STR(outcome(workers, coir_async(&things_type, &tag)), expected[tag]);
            CHECK_STR(notes(), "-2 -3 -1");
            CHECK_UINT(refused() - before, 2);
        }
}

TEST(outside_async, failures_that_it_ends_with_are_handled_like_any_other)
{
    coir_tag tag = COIR_ERROR;
    CHECK_STR(outcome(1, coir_or_else(coir_async(&things_type, &tag), coir_pure(coir_int(5)))), "OK 5");
    CHECK_STR(outcome(1, coir_finally(coir_async(&things_type, &tag), noting("finalizer"))), "ERROR thing 1");
    tag = COIR_PANIC;
    CHECK_STR(outcome(1, coir_attempt(coir_async(&things_type, &tag))), "OK <PANIC thing 1>");
}

static void resume_with_panic_value(void *env, void *op, coir_callback k)
{
    const coir_tag *tag = env;
    (void)op;
    CHECK(coir_resume(k, coir_result_of(*tag, coir_panic_value("no luck"))));
}
static const coir_async_type broken_type = { .start = resume_with_panic_value };

TEST(outside_async, panic_value_in_whatever_result_is_a_panic)
{
    for (coir_tag tag = COIR_OK; tag <= COIR_PANIC; tag++) {
        coir_result result = run(1, coir_async(&broken_type, &tag));
        CHECK_TAG(result, COIR_PANIC);
        CHECK_STR(coir_error_message(&result.value), "no luck");
        coir_result_drop(&result);
    }
}

static void resume_with_also(void *env, void *op, coir_callback k)
{
    (void)env;
    (void)op;
    coir_resume(k, coir_result_and(coir_raise(coir_int(1)), coir_raise(coir_int(2))));
}
static const coir_async_type also_type = { .start = resume_with_also };

TEST(outside_async, further_failures_come_with_the_result)
{
    CHECK_STR(outcome(1, coir_async(&also_type, NULL)), "ERROR 1 also(ERROR 2)");
}

/* ---------------------------------------------------------------------------------------------------- by other threads */

/* A thread that resumes each handle that it is given, with its number. */
struct other { pthread_t thread; coir_callback k; int number; bool won; };
static void *other_main(void *other_)
{
    struct other *other = other_;
    other->won = coir_resume(other->k, coir_ok(thing(other->number)));
    return NULL;
}
static void other_begin(struct other *other, coir_callback k, int number)
{
    *other = (struct other){ .k = k, .number = number };
    CHECK_INT(pthread_create(&other->thread, NULL, other_main, other), 0);
}
static bool other_end(struct other *other)
{
    CHECK_INT(pthread_join(other->thread, NULL), 0);
    return other->won;
}

static void resume_by_another(void *env, void *op, coir_callback k) { (void)op; other_begin(env, k, 1); }
static const coir_async_type by_another_type = { .start = resume_by_another };

TEST(outside_async, resumed_by_another_thread_the_fiber_goes_on_with_that_result)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(200); round++) {
            struct other other;
            CHECK_STR(outcome(workers, coir_async(&by_another_type, &other)), "OK thing 1");
            CHECK(other_end(&other));
            CHECK_STR(notes(), "-1");
        }
}

/* Also while the fiber is still in start(), whose op stays its own until that returns. */
static void resume_by_another_and_wait(void *env, void *op, coir_callback k)
{
    other_begin(env, k, 1);
    CHECK(other_end(env));
    memset(op, 1, 64);
}
static const coir_async_type while_in_start_type = { .op_size = 64, .start = resume_by_another_and_wait };

TEST(outside_async, resumed_by_another_thread_while_still_in_start_it_goes_on_with_that_result)
{
    FOR_WORKERS(workers, 1, 2)
        for (int round = 0; round < scaled(200); round++) {
            struct other other;
            CHECK_STR(outcome(workers, coir_async(&while_in_start_type, &other)), "OK thing 1");
            CHECK_STR(notes(), "-1");
        }
}

/* By start() and by another thread at about the same moment: the other begins first. */
struct both { struct other other; bool won; };
static void resume_by_both(void *env, void *op, coir_callback k)
{
    struct both *both = env;
    (void)op;
    other_begin(&both->other, k, 1);
    both->won = coir_resume(k, coir_ok(thing(2)));
}
static const coir_async_type by_both_type = { .start = resume_by_both };

TEST(outside_async, of_start_and_another_thread_just_one_wins)
{
    FOR_WORKERS(workers, 1, 2)
        for (int round = 0; round < scaled(300); round++) {
            struct both both = { .won = false };
            uint64_t before = refused();
            const char *text = outcome(workers, coir_async(&by_both_type, &both));
            bool other_won = other_end(&both.other);
            CHECK(other_won != both.won);
            CHECK_STR(text, other_won ? "OK thing 1" : "OK thing 2");
            CHECK_INT(atomic_load(&things_alive), 0);
            CHECK_UINT(refused() - before, 1);
            CHECK(strchr(notes(), '!') == NULL);
        }
}

struct two { struct other others[2]; };
static void resume_by_two(void *env, void *op, coir_callback k)
{
    struct two *two = env;
    (void)op;
    other_begin(&two->others[0], k, 1);
    other_begin(&two->others[1], k, 2);
}
static const coir_async_type by_two_type = { .start = resume_by_two };

TEST(outside_async, of_two_threads_just_one_wins)
{
    FOR_WORKERS(workers, 1, 2)
        for (int round = 0; round < scaled(300); round++) {
            struct two two;
            const char *text = outcome(workers, coir_async(&by_two_type, &two));
            bool first = other_end(&two.others[0]), second = other_end(&two.others[1]);
            CHECK(first != second);
            CHECK_STR(text, first ? "OK thing 1" : "OK thing 2");
            CHECK_INT(atomic_load(&things_alive), 0);
            CHECK(strchr(notes(), '!') == NULL);
        }
}

/* By another fiber of the same run, and of another one. */
TEST(outside_async, fiber_of_the_same_or_another_run_may_resume_it)
{
    FOR_SCHEDULES(options) {
        struct gate gate = GATE;
        coir_io *both = waited(COIR_IOS(coir_as(passing(&gate), coir_int(1)), coir_then(coir_yield(), opening(&gate))));
        CHECK_STR(outcome_under(options, both), "OK [<OK 1> <OK 0>]");
        struct gate from_afar = GATE;
        struct other_run other;
        other_run_begin(&other, options, coir_as(passing(&from_afar), coir_int(2)));
        CHECK_STR(outcome_under(options, opening(&from_afar)), "OK 0");
        coir_result result = other_run_end(&other);
        CHECK_OK_INT(result, 2);
    }
}

/* 64 outstanding, completed in whatever order by three threads. */
enum { OUTSTANDING = 64 };
static struct {
    pthread_mutex_t lock;
    coir_callback   waiting[OUTSTANDING];
    int             numbers[OUTSTANDING], count;
    bool            over;
} office = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void ask_office(void *env, void *op, coir_callback k)
{
    (void)op;
    pthread_mutex_lock(&office.lock);
    office.waiting[office.count] = k;
    office.numbers[office.count++] = *(const int *)env;
    pthread_mutex_unlock(&office.lock);
}
static const coir_async_type office_type = { .start = ask_office };

static void *clerk(void *seed)
{
    unsigned draw = *(const unsigned *)seed;
    for (;;) {
        pthread_mutex_lock(&office.lock);
        if (office.count == 0 && office.over) {
            pthread_mutex_unlock(&office.lock);
            return NULL;
        }
        bool any = office.count > 0;
        coir_callback k = { 0 };
        int number = 0;
        if (any) {
            int which = (int)((draw = draw * 1103515245u + 12345u) >> 16) % office.count;
            k = office.waiting[which];
            number = office.numbers[which];
            office.waiting[which] = office.waiting[--office.count];
            office.numbers[which] = office.numbers[office.count];
        }
        pthread_mutex_unlock(&office.lock);
        if (any)
            CHECK(coir_resume(k, coir_ok(coir_int(number))));
        else
            sched_yield();
    }
}

static coir_io *ask(void *env, size_t index)
{
    int number = (int)index;
    (void)env;
    coir_io *calls[10];
    for (int i = 0; i < 10; i++)
        calls[i] = coir_async_copy(&office_type, &number, sizeof number);
    return coir_fork(coir_sequence(10, calls));
}

TEST(outside_async, many_outstanding_are_completed_by_a_pool_of_threads_each_with_its_own_result)
{
    static const unsigned seeds[] = { 1, 2, 3 };
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(50); round++) {
            pthread_t clerks[3];
            office.over = false;
            for (int i = 0; i < 3; i++)
                CHECK_INT(pthread_create(&clerks[i], NULL, clerk, (void *)(uintptr_t)&seeds[i]), 0);
            coir_result result = run(workers, coir_flat_map(coir_traverse(OUTSTANDING, ask, NULL), wait_it, NULL));
            pthread_mutex_lock(&office.lock);
            office.over = true;
            pthread_mutex_unlock(&office.lock);
            for (int i = 0; i < 3; i++)
                CHECK_INT(pthread_join(clerks[i], NULL), 0);
            CHECK_UINT(coir_list_size(&result.value), OUTSTANDING);
            for (size_t i = 0; i < OUTSTANDING; i++)
                CHECK_OK_INT(*coir_result_in(coir_list_at(&result.value, i)), (int64_t)i);
            coir_result_drop(&result);
        }
}

/* ------------------------------------------------------------------------------------------------ who comes too late */

static void keep_and_resume(void *env, void *op, coir_callback k)
{
    (void)op;
    *(coir_callback *)env = k;
    coir_resume(k, coir_ok(coir_int(1)));
}
static const coir_async_type kept_type = { .start = keep_and_resume };

TEST(outside_async, handle_kept_beyond_its_fiber_and_its_run_is_refused_and_harmless)
{
    coir_callback kept;
    CHECK_STR(outcome(2, coir_async(&kept_type, &kept)), "OK 1");
    uint64_t before = refused();
    CHECK(!coir_resume(kept, coir_ok(thing(5))));
    CHECK_STR(notes(), "-5");
    CHECK_UINT(refused() - before, 1);
    coir_callback_drop(kept);
    coir_callback_drop(kept);
    CHECK_UINT(refused() - before, 1);
}

/* The pool of slots is a stack: who waits next has the same slot. */
static coir_callback two_kept[2];
static void resume_the_first_again(void *env, void *op, coir_callback k)
{
    (void)env;
    (void)op;
    two_kept[1] = k;
    CHECK_PTR(k.slot, two_kept[0].slot);
    CHECK(k.ticket != two_kept[0].ticket);
    CHECK(!coir_resume(two_kept[0], coir_ok(coir_int(6))));
    coir_callback_drop(two_kept[0]);
    CHECK(coir_resume(k, coir_ok(coir_int(7))));
}
static const coir_async_type recycled_type = { .start = resume_the_first_again };

TEST(outside_async, handle_of_a_recycled_slot_is_refused_and_does_not_disturb_who_waits_there_now)
{
    FOR_WORKERS(workers, 1, 2) {
        CHECK_STR(outcome(workers, coir_then(coir_async(&kept_type, &two_kept[0]), coir_async(&recycled_type, NULL))), "OK 7");
        CHECK_STR(outcome(workers, coir_async(&kept_type, &two_kept[0])), "OK 1");
        CHECK_STR(outcome(workers, coir_async(&recycled_type, NULL)), "OK 7");
    }
}

TEST(outside_async, zeroed_handle_is_refused_and_harmless)
{
    coir_callback none = { 0 };
    uint64_t before = refused();
    CHECK(!coir_resume(none, coir_ok(thing(1))));
    CHECK_STR(notes(), "-1");
    CHECK_UINT(refused() - before, 1);
    coir_callback_drop(none);
}

static void drop_handle(void *env, void *op, coir_callback k)
{
    (void)env;
    (void)op;
    coir_callback_drop(k);
    CHECK(!coir_resume(k, coir_ok(coir_int(1))));
}
static const coir_async_type dropped_type = { .start = drop_handle };

static void *drop_by_another(void *k) { coir_callback_drop(*(coir_callback *)k); return NULL; }
static pthread_t dropper;
static void drop_handle_elsewhere(void *env, void *op, coir_callback k)
{
    (void)env;
    *(coir_callback *)op = k;
    CHECK_INT(pthread_create(&dropper, NULL, drop_by_another, op), 0);
}
static const coir_async_type dropped_elsewhere_type = { .op_size = sizeof(coir_callback), .start = drop_handle_elsewhere };

TEST(outside_async, handle_dropped_uncalled_is_a_panic_of_who_waits)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_result result = run(workers, coir_async(&dropped_type, NULL));
        CHECK_CODE(result, COIR_PANIC, COIR_ABANDONED);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_async");
        coir_result_drop(&result);
        result = run(workers, coir_async(&dropped_elsewhere_type, NULL));
        CHECK_INT(pthread_join(dropper, NULL), 0);
        CHECK_CODE(result, COIR_PANIC, COIR_ABANDONED);
        coir_result_drop(&result);
    }
    coir_result result = run(1, joined(coir_named(coir_async(&dropped_type, NULL), "waiting in vain")));
    CHECK_CONTAINS(coir_error_message(&result.value), "waiting in vain");
    coir_result_drop(&result);
}

/* ----------------------------------------------------------------------------------------------------------- op, env */

enum { OP_SIZE = 200 };
static atomic_int op_is_wrong;
static void look_at_op(void *env, void *op, coir_callback k)
{
    (void)env;
    const unsigned char *bytes = op;
    int wrong = (uintptr_t)op % _Alignof(max_align_t) != 0;
    for (int i = 0; i < OP_SIZE; i++)
        wrong += bytes[i] != 0;
    atomic_fetch_add(&op_is_wrong, wrong);
    memset(op, 0xff, OP_SIZE);
    coir_resume(k, coir_ok(coir_none()));
}
static const coir_async_type op_type = { .op_size = OP_SIZE, .start = look_at_op };

TEST(outside_async, op_is_zeroed_and_aligned_in_each_run)
{
    atomic_store(&op_is_wrong, 0);
    coir_io *io = coir_async(&op_type, NULL);
    for (int i = 0; i < 5; i++)
        CHECK_STR(outcome(1, coir_io_ref(io)), "OK 0");
    CHECK_STR(outcome(1, coir_repeat(coir_io_ref(io), 10)), "OK 0");
    CHECK_STR(outcome(1, coir_then(coir_io_ref(io), io)), "OK 0");
    CHECK_STR(outcome(1, coir_async_copy(&op_type, "x", 0)), "OK 0");
    CHECK_INT(atomic_load(&op_is_wrong), 0);
}

/* Many fibers run the same io at once: each writes its own number into its op and finds it there when it is resumed. */
enum { SHARERS = 50 };
static struct { struct gate gate; void *ops[SHARERS]; atomic_int count; } shared = { .gate = GATE };
static void write_op(void *env, void *op, coir_callback k)
{
    int number = atomic_fetch_add(&shared.count, 1);
    (void)env;
    atomic_fetch_add(&op_is_wrong, *(int *)op != 0);
    *(int *)op = number;
    shared.ops[number] = op;
    gate_start(&shared.gate, NULL, k);
}
static const coir_async_type shared_type = { .op_size = sizeof(int), .start = write_op };

static coir_result look_at_ops(void *env)
{
    (void)env;
    int wrong = 0;
    for (int i = 0; i < SHARERS; i++)
        wrong += *(int *)shared.ops[i] != i;
    return coir_ok(coir_int(wrong));
}
static bool not_all_there(void *env, const coir_value *value)
{
    (void)env;
    (void)value;
    return gate_waiting(&shared.gate) < SHARERS;
}

TEST(outside_async, op_is_its_own_in_each_run_of_a_shared_io_and_stays_until_the_resume)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        shared.gate = (struct gate)GATE;
        atomic_store(&shared.count, 0);
        atomic_store(&op_is_wrong, 0);
        coir_io *look = coir_then(coir_while(coir_yield(), not_all_there, NULL), coir_defer(look_at_ops, NULL));
        CHECK_STR(outcome(workers, coir_then_keep(coir_then(copies_of(SHARERS, coir_async(&shared_type, NULL)), look),
                                                  opening(&shared.gate))), "OK 0");
        CHECK_INT(atomic_load(&op_is_wrong), 0);
    }
}

struct captured { int64_t numbers[100]; };
static atomic_int env_is_wrong;
static void look_at_env(void *env, void *op, coir_callback k)
{
    const struct captured *captured = env;
    int wrong = (uintptr_t)env % _Alignof(max_align_t) != 0;
    memset(op, 0xff, 24);
    for (int i = 0; i < 100; i++)
        wrong += captured->numbers[i] != i;
    atomic_fetch_add(&env_is_wrong, wrong);
    coir_resume(k, coir_ok(coir_int(captured->numbers[99])));
}
static const coir_async_type captured_type = { .op_size = 24, .start = look_at_env };

TEST(outside_async, captured_bytes_are_copied_and_aligned_also_when_the_io_is_shared)
{
    struct captured captured;
    for (int i = 0; i < 100; i++)
        captured.numbers[i] = i;
    coir_io *io = coir_async_copy(&captured_type, &captured, sizeof captured);
    memset(&captured, 0xff, sizeof captured);
    atomic_store(&env_is_wrong, 0);
    CHECK_STR(outcome(1, coir_io_ref(io)), "OK 99");
    CHECK_STR(outcome(2, coir_then(copies_of(20, coir_io_ref(io)), coir_unit())), "OK 0");
    CHECK_STR(outcome(1, coir_repeat(coir_io_ref(io), 3)), "OK 99");
    CHECK_STR(outcome(1, io), "OK 99");
    CHECK_INT(atomic_load(&env_is_wrong), 0);
}

static void owned_env_start(void *env, void *op, coir_callback k)
{
    (void)op;
    coir_resume(k, coir_ok(coir_int(*(const int *)env)));
}
static const coir_async_type owned_env_type = { .start = owned_env_start };
static void note_and_free(void *env) { note("free"); free(env); }

TEST(outside_async, owned_env_lives_until_the_fiber_has_gone_on)
{
    for (int is_shared = 0; is_shared < 2; is_shared++) {
        int *env = malloc(sizeof *env);
        *env = 5;
        coir_io *io = coir_owns(coir_async(&owned_env_type, env), env, note_and_free);
        CHECK_STR(outcome(2, is_shared ? coir_io_ref(io) : io), "OK 5");
        CHECK_STR(notes(), is_shared ? "" : "free");
        if (is_shared)
            coir_io_drop(io);
        CHECK_STR(notes(), is_shared ? "free" : "");
    }
}

/* ------------------------------------------------------------------------------------------------------ bad arguments */

static const coir_async_type no_start_type = { .op_size = 8 };
static const coir_async_type op_most_type = { .op_size = 64 << 10, .start = drop_handle };
static const coir_async_type op_too_big_type = { .op_size = (64 << 10) + 1, .start = drop_handle };

TEST(outside_async, bad_arguments_are_panics_that_name_the_function)
{
    static char bytes[(64 << 10) + 1];
    CHECK_STR(outcome(1, coir_async(NULL, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_async(&no_start_type, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_async(&op_too_big_type, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_async_copy(NULL, NULL, 0)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_async_copy(&kept_type, bytes, sizeof bytes)), "PANIC EINVAL");
    CHECK_CONTAINS(message_of(1, coir_async(NULL, NULL)), "coir_async");
    CHECK_CONTAINS(message_of(1, coir_async_copy(&op_too_big_type, NULL, 0)), "coir_async_copy");
}

TEST(outside_async, largest_op_beside_the_largest_capture_serves)
{
    static char bytes[64 << 10];
    coir_result result = run(1, coir_async_copy(&op_most_type, bytes, sizeof bytes));
    CHECK_CODE(result, COIR_PANIC, COIR_ABANDONED);
    coir_result_drop(&result);
}

TEST(outside_async, nothing_happens_before_it_is_run)
{
    int n = 1;
    for (int i = 0; i < 1000; i++)
        coir_io_drop(coir_async_copy(&captured_type, &n, sizeof n));
    CHECK_STR(notes(), "");
}

/* ------------------------------------------------------------------------------------------------- the end of all hope */

/* A run in which a callback is still to come is not silent, however long nothing happens. */
static void *open_late(void *gate)
{
    CHECK_SOON(gate_waiting(gate) == 1);
    nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    gate_open(gate);
    return NULL;
}

TEST(outside_async, run_that_waits_for_a_callback_is_not_taken_for_dead)
{
    uint64_t before = coir_counters_now().deadlocks;
    FOR_WORKERS(workers, 1, 2, 4) {
        struct gate gate = GATE;
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, open_late, &gate), 0);
        CHECK_STR(outcome(workers, passing(&gate)), "OK 0");
        CHECK_INT(pthread_join(thread, NULL), 0);
    }
    CHECK_UINT(coir_counters_now().deadlocks, before);
}

/* In a run that is stopped the fiber does not go on: its handle is refused from then on. */
static void keep_only(void *env, void *op, coir_callback k) { (void)op; *(coir_callback *)env = k; }
static const coir_async_type never_called_type = { .start = keep_only };

/* Two fibers that join each other. */
static coir_fiber *ring_of[2];
static coir_io *ring(void)
{
    return coir_sequence(COIR_IOS(forking(coir_then(coir_sleep(coir_ms(5)), joining(&ring_of[1])), &ring_of[0]),
                                  forking(joining(&ring_of[0]), &ring_of[1]), coir_never()));
}

TEST(outside_async, handle_of_a_run_that_was_stopped_is_refused)
{
    FOR_WORKERS(workers, 1, 2) {
        coir_callback kept[2] = { { 0 } };
        coir_io *io = coir_sequence(COIR_IOS(coir_fork(coir_async(&never_called_type, &kept[0])),
                                             coir_fork(coir_finally(coir_async(&never_called_type, &kept[1]), noting("not run"))), ring()));
        coir_result result = coir_run(io, COIR_OPTIONS(.workers = workers, .on_deadlock = COIR_DEADLOCK_STOP));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        for (int i = 0; i < 2; i++) {
            coir_fiber_drop(ring_of[i]);
            CHECK(kept[i].slot != NULL);
            CHECK(!coir_resume(kept[i], coir_ok(thing(1))));
            CHECK_STR(notes(), "-1");
            coir_callback_drop(kept[i]);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------ cancellation */

/* Foreign code that is asked to be quick: what it then brings, at once or a while later. */
struct hurried { coir_callback k; coir_tag tag; bool later; atomic_int asked; };
static void hurried_start(void *env, void *op, coir_callback k) { (void)op; ((struct hurried *)env)->k = k; }
static void hurried_cancel(void *env, void *op)
{
    struct hurried *hurried = env;
    (void)op;
    atomic_fetch_add(&hurried->asked, 1);
    coir_result answer = coir_result_of(hurried->tag, coir_int(9));
    if (hurried->later)
        (void)coir_sim_complete(hurried->k, answer, coir_ms(1), coir_ms(3));
    else
        (void)coir_resume(hurried->k, answer);
}
static const coir_async_type hurried_type = { .start = hurried_start, .cancel = hurried_cancel };

static coir_io *time_is_up(struct hurried *hurried, coir_duration limit)
{
    return coir_timeout_to(coir_async(&hurried_type, hurried), limit, coir_pure(coir_int(1)));
}

TEST(async, a_cancellation_asks_once_and_what_comes_then_decides)
{
    static const char *const outcomes[] = { "OK 9", "OK 1", "PANIC 9", "OK 1" };
    for (int later = 0; later < 2; later++)
        for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++)
            for (uint64_t seed = 0; seed < 64; seed++) {
                CASE("tag %d, later %d, seed %llu", (int)tag, later, (unsigned long long)seed);
                struct hurried hurried = { .tag = tag, .later = later };
                coir_result result = coir_sim_run(time_is_up(&hurried, coir_ms(5)), COIR_SIM_OPTIONS(.seed = seed));
                CHECK_STR(describe(&result), outcomes[tag]);
                CHECK_INT(atomic_load(&hurried.asked), 1);
                coir_result_drop(&result);
            }
}

TEST(async, a_finalizer_that_cancels_a_value_that_won_is_not_taken_for_the_time_out)
{
    for (int later = 0; later < 2; later++)
        for (uint64_t seed = 0; seed < 64; seed++) {
            CASE("later %d, seed %llu", later, (unsigned long long)seed);
            struct hurried hurried = { .tag = COIR_OK, .later = later };
            coir_io *io = coir_finally(coir_async(&hurried_type, &hurried), coir_from_result(coir_result_of(COIR_CANCELED, coir_none())));
            coir_result result = coir_sim_run(coir_timeout_to(io, coir_ms(5), coir_pure(coir_int(1))), COIR_SIM_OPTIONS(.seed = seed));
            CHECK_STR(describe(&result), "CANCELED 0");
            CHECK_INT(atomic_load(&hurried.asked), 1);
            coir_result_drop(&result);
        }
}

/* Foreign code that brings a value by itself at about the moment at which it is asked to be quick, and refuses nothing. */
static void slow_start(void *env, void *op, coir_callback k)
{
    (void)op;
    ((struct hurried *)env)->k = k;
    (void)coir_sim_complete(k, coir_ok(coir_int(7)), coir_ms(4), coir_ms(6));
}
static void slow_cancel(void *env, void *op) { (void)op; atomic_fetch_add(&((struct hurried *)env)->asked, 1); }
static const coir_async_type slow_type = { .start = slow_start, .cancel = slow_cancel };

TEST(async, the_value_wins_over_a_cancellation_that_comes_with_it)
{
    int asked = 0;
    for (uint64_t seed = 0; seed < 500; seed++) {
        CASE("seed %llu", (unsigned long long)seed);
        struct hurried hurried = { .tag = COIR_OK };
        coir_io *io = coir_timeout_to(coir_async(&slow_type, &hurried), coir_ms(5), coir_pure(coir_int(1)));
        coir_result result = coir_sim_run(io, COIR_SIM_OPTIONS(.seed = seed, .workers = 2));
        CHECK_STR(describe(&result), "OK 7");
        asked += atomic_load(&hurried.asked);
    }
    CHECK(asked > 100);
    CHECK(asked < 400);
}

TEST(async, what_cannot_be_hurried_is_waited_for)
{
    static const coir_async_type unhurried_type = { .start = slow_start };
    struct hurried hurried = { .tag = COIR_OK };
    coir_io *io = coir_timeout_to(coir_then(coir_async(&unhurried_type, &hurried), noting("behind")), coir_ms(1), coir_pure(coir_int(1)));
    coir_result result = coir_sim_run(io, NULL);
    CHECK_STR(describe(&result), "OK 1");
    CHECK_STR(notes(), "");
}

/* A thread that resumes as soon as it sees the handle, while the fiber is being canceled. */
struct both_at_once { _Atomic(uint64_t) ticket; coir_callback k; atomic_bool over; atomic_int asked; };
static void both_start(void *env, void *op, coir_callback k)
{
    struct both_at_once *both = env;
    (void)op;
    both->k = k;
    atomic_store(&both->ticket, k.ticket);
}
static void both_cancel(void *env, void *op) { (void)op; atomic_fetch_add(&((struct both_at_once *)env)->asked, 1); }
static const coir_async_type both_type = { .start = both_start, .cancel = both_cancel };
static void *both_resumer(void *env)
{
    struct both_at_once *both = env;
    while (!atomic_load(&both->over))
        if (atomic_exchange(&both->ticket, 0) != 0)
            (void)coir_resume(both->k, coir_raise(coir_int(5)));
    return NULL;
}
static coir_io *cancel_at_once(void *env, coir_value *fiber) { (void)env; return coir_cancel(coir_fiber_of(fiber)); }

TEST(async, resumed_by_a_thread_and_canceled_at_the_same_moment)
{
    FOR_WORKERS(workers, 1, 2) {
        struct both_at_once both = { .ticket = 0 };
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, both_resumer, &both), 0);
        coir_io *round = coir_flat_map(coir_fork(coir_async(&both_type, &both)), cancel_at_once, NULL);
        CHECK_STR(outcome(workers, coir_repeat(round, (uint64_t)scaled(20000))), "OK 0");
        atomic_store(&both.over, true);
        CHECK_INT(pthread_join(thread, NULL), 0);
    }
}

/* A thread that answers when it is asked to be quick: while the fiber is about to wait anew, for the answer alone. */
static void asked_start(void *env, void *op, coir_callback k) { (void)op; ((struct both_at_once *)env)->k = k; }
static void asked_cancel(void *env, void *op)
{
    struct both_at_once *both = env;
    (void)op;
    atomic_fetch_add(&both->asked, 1);
    atomic_store(&both->ticket, both->k.ticket);
}
static const coir_async_type asked_type = { .start = asked_start, .cancel = asked_cancel };

TEST_REAL(async, answer_of_another_thread_meets_the_fiber_that_waits_anew, "two threads race for the wait")
{
    FOR_WORKERS(workers, 1, 2) {
        struct both_at_once both = { .ticket = 0 };
        pthread_t thread;
        int rounds = scaled(20000);
        CHECK_INT(pthread_create(&thread, NULL, both_resumer, &both), 0);
        coir_io *round = coir_timeout_to(coir_async(&asked_type, &both), coir_ns(1), coir_pure(coir_int(1)));
        CHECK_STR(outcome(workers, coir_repeat(round, (uint64_t)rounds)), "OK 1");
        CHECK(atomic_load(&both.asked) > rounds / 2);           /* a few end before they begin: the fiber yields by itself, too */
        atomic_store(&both.over, true);
        CHECK_INT(pthread_join(thread, NULL), 0);
    }
}
