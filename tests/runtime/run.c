/*
 * run.c - tests of coir_run(): its options, where it is refused, many runs after each other and at once, threads, signals
 */
#include "fibers.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

/* ---------------------------------------------------------------------------------------------------------- options */

static void check_refused(const coir_options *options, int code, const char *part)
{
    coir_result result = coir_run(coir_pure(thing(1)), options);
    CHECK_CODE(result, COIR_PANIC, code);
    CHECK_CONTAINS(coir_error_message(&result.value), "coir_run");
    CHECK_CONTAINS(coir_error_message(&result.value), part);
    CHECK_STR(notes(), "-1");
    coir_result_drop(&result);
}

TEST_REAL(runtime_run, options_out_of_range_are_panics_that_name_them_and_drop_the_io, "the message is that of coir_run()")
{
    check_refused(COIR_OPTIONS(.workers = COIR_WORKERS_MAX + 1), EINVAL, "workers");
    check_refused(COIR_OPTIONS(.workers = 1000000), EINVAL, "workers");
    check_refused(COIR_OPTIONS(.workers = UINT32_MAX), EINVAL, "workers");
    check_refused(COIR_OPTIONS(.idle_sleep = coir_ns(-1)), EINVAL, "idle_sleep");
    check_refused(COIR_OPTIONS(.on_deadlock = (coir_on_deadlock)7), EINVAL, "on_deadlock");
    check_refused(&(coir_options){ .size = 1 }, EINVAL, "size");
    check_refused(&(coir_options){ .size = sizeof(coir_options) + 8 }, EINVAL, "size");
}

TEST(runtime_run, options_may_be_NULL_or_zeroed)
{
    coir_result result = coir_run(coir_pure(coir_int(5)), NULL);
    CHECK_OK_INT(result, 5);
    result = coir_run(coir_pure(coir_int(5)), &(coir_options){ 0 });
    CHECK_OK_INT(result, 5);
    result = coir_run(coir_pure(coir_int(5)), &(coir_options){ .workers = 2 });
    CHECK_OK_INT(result, 5);
}

TEST(runtime_run, NULL_io_is_a_panic_for_want_of_memory)
{
    FOR_WORKERS(workers, 1, 2, 4)
        CHECK_STR(outcome(workers, NULL), "PANIC ENOMEM");
}

TEST(runtime_run, options_are_only_lent_and_serve_again)
{
    coir_options options = { .size = sizeof options, .workers = 2, .budget = 3 }, before = options;
    for (int i = 0; i < 3; i++)
        CHECK_STR(outcome_under(&options, coir_repeat(coir_unit(), 100)), "OK 0");
    CHECK_INT(memcmp(&options, &before, sizeof options), 0);
}

/* Each worker is kept in a callback until all are: so there are as many as were asked for. */
static struct { atomic_int arrived; int expected; } meeting;
static coir_result meet(void *env)
{
    (void)env;
    atomic_fetch_add(&meeting.arrived, 1);
    CHECK_SOON(atomic_load(&meeting.arrived) >= meeting.expected);
    return coir_ok(coir_none());
}

TEST_REAL(runtime_run, as_many_workers_as_were_asked_for_work_at_once, "of real threads")
{
    FOR_WORKERS(workers, 1, 2, 3, 8, 64) {
        atomic_store(&meeting.arrived, 0);
        meeting.expected = (int)workers;
        CHECK_STR(outcome(workers, coir_then(copies_of(workers, coir_defer(meet, NULL)), coir_unit())), "OK 0");
    }
}

TEST_REAL(runtime_run, default_is_a_worker_for_each_processor_at_the_most, "of real threads")
{
    cpu_set_t may;
    CHECK_INT(sched_getaffinity(0, sizeof may, &may), 0);
    CHECK(CPU_COUNT(&may) >= 1);
    coir_result result = coir_run(coir_unit(), COIR_OPTIONS(.workers = 0));
    CHECK_TAG(result, COIR_OK);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &may))
            CPU_SET(i, &one);
    CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
    coir_io *order = coir_then(coir_parallel(COIR_IOS(noting("a"), noting("b"), noting("c"))), coir_unit());
    result = coir_run(order, COIR_OPTIONS(.workers = 0));
    CHECK_INT(sched_setaffinity(0, sizeof may, &may), 0);
    CHECK_TAG(result, COIR_OK);
    CHECK_STR(notes(), "a b c");                        /* one worker, so in order */
}

TEST_REAL(runtime_run, most_workers_there_may_be_can_be_started, "of real threads")
{
    unsigned workers = CHECK_SLOWNESS > 1 ? COIR_WORKERS_MAX / 8 : COIR_WORKERS_MAX;
    atomic_int count = 0;
    CHECK_STR(outcome(workers, coir_then(copies_of(5000, counting(&count)), coir_unit())), "OK 0");
    CHECK_INT(atomic_load(&count), 5000);
}

TEST(runtime_run, any_budget_gives_the_same_result)
{
    static const uint32_t budgets[] = { 0, 1, 2, 3, 64, 4096, 1u << 31, COIR_BUDGET_NONE };
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++)
        FOR_WORKERS(workers, 1, 2) {
            CASE("budget %lu", (unsigned long)budgets[i]);
            coir_io *io = coir_then(coir_repeat(coir_finally(coir_unit(), coir_unit()), 100), waited(COIR_IOS(coir_yield(), coir_unit())));
            CHECK_STR(outcome_under(&(coir_options){ .workers = workers, .budget = budgets[i] }, io), "OK [<OK 0> <OK 0>]");
        }
}

/* Who works on beyond the budget has given the other a turn; who has no budget has not. */
static coir_result note_once(void *env)
{
    int64_t *rounds = env;
    if (++*rounds == 1 || *rounds == 10000)
        note("loop %d", (int)*rounds);
    return coir_ok(coir_none());
}

TEST_REAL(runtime_run, spent_budget_is_a_yield_and_COIR_BUDGET_NONE_never_yields, "the order is the pool's")
{
    static const struct { uint32_t budget; const char *expected; } cases[] = {
        { 1, "loop 1 other loop 10000" }, { 100, "loop 1 other loop 10000" }, { 0, "loop 1 other loop 10000" },
        { COIR_BUDGET_NONE, "loop 1 loop 10000 other" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t rounds = 0;
        CASE("budget %lu", (unsigned long)cases[i].budget);
        coir_io *io = coir_then(coir_fork(coir_then(coir_yield(), noting("other"))), coir_repeat(coir_defer(note_once, &rounds), 10000));
        CHECK_STR(outcome_under(&(coir_options){ .workers = 1, .budget = cases[i].budget }, io), "OK 0");
        const char *order = notes();
        if (cases[i].budget == 1)                       /* then "other" may even come before the loop */
            CHECK(strstr(order, "loop 10000") > strstr(order, "other"));
        else
            CHECK_STR(order, cases[i].expected);
    }
}

/* Naps of a millisecond make the workers look about, and then none of it changes what a run does. */
static long switches(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
}

TEST_REAL(runtime_run, idle_sleep_bounds_the_naps_of_idle_workers, "of real threads")
{
    long counts[2];
    for (int i = 0; i < 2; i++) {
        long before = switches();
        coir_result result = coir_run(coir_sleep(coir_ms(300)), COIR_OPTIONS(.workers = 4, .idle_sleep = coir_ms(i)));
        CHECK_TAG(result, COIR_OK);
        counts[i] = switches() - before;
    }
    if (counts[1] < counts[0] + 40)
        CHECK_FAIL("%ld switches with naps of a millisecond, %ld without a bound", counts[1], counts[0]);
    static const int64_t naps[] = { 1, 1000, INT64_MAX };
    for (size_t i = 0; i < sizeof naps / sizeof *naps; i++)
        FOR_WORKERS(workers, 1, 2, 4) {
            const coir_options options = { .workers = workers, .idle_sleep = coir_ns(naps[i]) };
            CHECK_STR(outcome_under(&options, waited(COIR_IOS(coir_sleep(coir_ms(2)), coir_sleep_until((struct timespec){ 0 })))),
                      "OK [<OK 0> <OK 0>]");
        }
}

/* -------------------------------------------------------------------------------------------------- where it is refused */

static coir_tag inner_tag;
static int inner_code;
static void try_to_run(void)
{
    coir_result result = coir_run(coir_pure(thing(9)), NULL);
    inner_tag = result.tag;
    inner_code = coir_error_code(&result.value);
    coir_result_drop(&result);
}
static void check_tried(void)
{
    CHECK_INT(inner_tag, COIR_PANIC);
    CHECK_INT(inner_code, COIR_MISUSE);
    CHECK_CONTAINS(notes(), "-9");
    inner_tag = COIR_OK;
}

static coir_result run_in_defer(void *env) { (void)env; try_to_run(); return coir_ok(coir_none()); }
static coir_value run_in_map(void *env, coir_value *v) { (void)env; try_to_run(); return coir_take(v); }
static void run_in_start(void *env, void *op, coir_callback k)
{
    (void)env;
    (void)op;
    try_to_run();
    coir_resume(k, coir_ok(coir_none()));
}
static const coir_async_type running_type = { .start = run_in_start };
static void run_in_drop(void *object) { (void)object; try_to_run(); }
static void *run_in_share(void *object) { try_to_run(); return object; }
static const coir_type drop_runs_type = { .name = "runner", .drop = run_in_drop };
static const coir_type share_runs_type = { .name = "runner", .share = run_in_share };
static void run_in_hook(void *env, uint64_t id, const coir_result *failure)
{
    (void)env;
    (void)id;
    (void)failure;
    try_to_run();
}

TEST(runtime_run, called_from_a_callback_or_a_drop_or_a_hook_it_is_refused)
{
    static int object;
    FOR_WORKERS(workers, 1, 2) {
        CHECK_STR(outcome(workers, coir_defer(run_in_defer, NULL)), "OK 0");
        check_tried();
        CHECK_STR(outcome(workers, coir_then(coir_yield(), joined(coir_map(coir_unit(), run_in_map, NULL)))), "OK 0");
        check_tried();
        CHECK_STR(outcome(workers, coir_async(&running_type, NULL)), "OK 0");
        check_tried();
        CHECK_STR(outcome(workers, coir_then(coir_pure(coir_own(&object, &drop_runs_type)), coir_unit())), "OK 0");
        check_tried();
        coir_io *shared = coir_pure(coir_own(&object, &share_runs_type));
        CHECK_STR(outcome(workers, coir_then(coir_io_ref(shared), coir_unit())), "OK 0");
        coir_io_drop(shared);
        check_tried();
        coir_result result = coir_run(coir_then(coir_fork(coir_fail(coir_int(1))), coir_unit()),
                                      COIR_OPTIONS(.workers = workers, .on_unseen_failure = run_in_hook));
        CHECK_TAG(result, COIR_OK);
        check_tried();
    }
}

/* The hook is called where the last handle is dropped: here on a thread of the program's. */
static coir_fiber *last_handle;
static void *drop_last_handle(void *unused) { (void)unused; coir_fiber_drop(last_handle); return NULL; }
static coir_result drop_it_elsewhere(void *env)
{
    pthread_t thread;
    (void)env;
    CHECK_SOON(coir_fiber_status(last_handle) == COIR_ENDED);
    CHECK_INT(pthread_create(&thread, NULL, drop_last_handle, NULL), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    return coir_ok(coir_none());
}

TEST(runtime_run, called_from_a_hook_on_a_foreign_thread_it_is_refused)
{
    coir_io *io = coir_then(forking(coir_fail(coir_int(1)), &last_handle), coir_then(coir_sleep(coir_ms(1)), coir_defer(drop_it_elsewhere, NULL)));
    coir_result result = coir_run(io, COIR_OPTIONS(.workers = 2, .on_unseen_failure = run_in_hook));
    CHECK_TAG(result, COIR_OK);
    check_tried();
}

TEST_REAL(runtime_run, in_a_child_of_fork_it_is_refused_and_the_parent_goes_on, "of processes")
{
    CHECK_STR(outcome(2, coir_unit()), "OK 0");
    pid_t child = fork();
    if (child == 0) {
        coir_result result = coir_run(coir_pure(coir_stringf("x")), NULL);
        bool as_said = result.tag == COIR_PANIC && coir_error_code(&result.value) == COIR_REFUSED;
        coir_result_drop(&result);
        _exit(as_said ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0);
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_STR(outcome(2, coir_unit()), "OK 0");
}

/* ------------------------------------------------------------------------------------------------------------ many runs */

static int entries(const char *directory)
{
    DIR *opened = opendir(directory);
    int count = 0;
    for (struct dirent *entry; opened != NULL && (entry = readdir(opened)) != NULL; )
        count += entry->d_name[0] != '.';
    closedir(opened);
    return count;
}

static coir_io *busy(void)
{
    struct timespec past = { 0 };
    return waited(COIR_IOS(coir_yield(), coir_sleep(coir_us(1)), coir_sleep_until(past), coir_pure(coir_stringf("%d", 7)),
                           coir_attempt(coir_failf(5, "x")), coir_repeat(coir_unit(), 50)));
}
static const char busy_outcome[] = "OK [<OK 0> <OK 0> <OK 0> <OK 7> <OK <ERROR code 5>> <OK 0>]";

TEST_ALONE(runtime_run, thousands_one_after_the_other_leave_no_memory_thread_or_descriptor_behind)
{
    watch_memory();
    FOR_WORKERS(workers, 1, 2, 4) {
        for (int i = 0; i < scaled(300); i++)
            CHECK_STR(outcome(workers, busy()), busy_outcome);
        long long bytes = atomic_load(&watched.bytes);
        int threads = entries("/proc/self/task"), files = entries("/proc/self/fd");
        for (int i = 0; i < scaled(1500); i++)
            CHECK_STR(outcome(workers, busy()), busy_outcome);
        long long more = atomic_load(&watched.bytes) - bytes;
        if (more > 4 << 20)                             /* free cells may lie with the wrong thread: a chunk more now and then */
            CHECK_FAIL("%lld bytes more", more);
        CHECK_SOON(entries("/proc/self/task") <= threads);
        CHECK_INT(entries("/proc/self/fd"), files);
    }
}

static void *run_again_and_again(void *unused)
{
    (void)unused;
    for (int i = 0; i < scaled(200); i++)
        CHECK_STR(outcome(1 + (unsigned)i % 3, busy()), busy_outcome);
    return NULL;
}

TEST(runtime_run, several_at_once_from_several_threads_do_not_disturb_each_other)
{
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, run_again_and_again, NULL), 0);
    for (int i = 0; i < 6; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
}

/* They meet: each run goes on only when all have begun. */
static coir_result meet_the_others(void *env) { return meet(env); }
TEST(runtime_run, several_go_on_at_once)
{
    struct other_run others[5];
    coir_options options = { .workers = 1 };
    atomic_store(&meeting.arrived, 0);
    meeting.expected = 6;
    for (int i = 0; i < 5; i++)
        other_run_begin(&others[i], &options, coir_defer(meet_the_others, NULL));
    CHECK_STR(outcome(1, coir_defer(meet_the_others, NULL)), "OK 0");
    for (int i = 0; i < 5; i++) {
        coir_result result = other_run_end(&others[i]);
        CHECK_TAG(result, COIR_OK);
    }
}

/* The same io, counted, run by all at once. */
static void *run_shared(void *io)
{
    for (int i = 0; i < scaled(200); i++)
        CHECK_STR(outcome(2, coir_io_ref(io)), "OK [1 x 0]");
    return NULL;
}

TEST(runtime_run, same_io_may_be_run_from_several_threads_at_once)
{
    pthread_t threads[4];
    coir_io *io = coir_zip(COIR_IOS(coir_as(coir_repeat(coir_yield(), 3), coir_int(1)), coir_pure(coir_stringf("x")), coir_sleep(coir_us(5))));
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, run_shared, io), 0);
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    coir_io_drop(io);
}

/* -------------------------------------------------------------------------------------------------------------- stacks */

static void run_on_little_stack(void *unused)
{
    (void)unused;
    CHECK_STR(outcome(2, busy()), busy_outcome);
    CHECK_STR(outcome(1, ending(COIR_PANIC, 3)), "PANIC 3");
    coir_io *deep = coir_unit();
    for (int i = 0; i < scaled(100000); i++)
        deep = coir_finally(coir_then(deep, coir_unit()), coir_unit());
    CHECK_STR(outcome(2, deep), "OK 0");
    coir_lock *lock = coir_lock_new();
    CHECK_STR(outcome(1, coir_then(coir_with_lock(lock, coir_unit()), coir_never())), "PANIC DEADLOCK");
    coir_lock_drop(lock);
}

TEST(runtime_run, runs_on_a_thread_with_64_KiB_of_stack) { on_small_stack(run_on_little_stack, NULL); }

static coir_result use_stack(void *size)
{
    volatile char bytes[32 << 10];
    for (size_t i = 0; i < sizeof bytes; i += 1024)
        bytes[i] = (char)i;
    return coir_ok(coir_int(bytes[1024] + *(int *)size));
}

TEST(runtime_run, stack_size_of_workers_is_as_asked_for_or_the_systems_where_that_cannot_be)
{
    static const size_t sizes[] = { SMALL_STACK, 1 << 20, 64 << 20, 1, 12345 };
    static int zero;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CASE("%zu bytes", sizes[i]);
        const coir_options options = { .workers = 4, .stack_size = sizes[i] };
        CHECK_STR(outcome_under(&options, coir_then(copies_of(50, coir_defer(use_stack, &zero)), busy())), busy_outcome);
    }
}

/* So large that no thread can be had: then the caller works alone. */
TEST_REAL(runtime_run, without_threads_to_be_had_the_run_goes_on_with_the_caller_alone, "of real threads")
{
    const coir_options options = { .workers = 4, .stack_size = (size_t)1 << 60 };
    coir_io *order = coir_then(coir_parallel(COIR_IOS(noting("a"), noting("b"), noting("c"))), coir_unit());
    CHECK_STR(outcome_under(&options, order), "OK 0");
    CHECK_STR(notes(), "a b c");
    CHECK_STR(outcome_under(&options, busy()), busy_outcome);
    CHECK_STR(outcome_under(&options, coir_never()), "PANIC DEADLOCK");
    int before = entries("/proc/self/task");
    CHECK_STR(outcome_under(&options, coir_then(copies_of(3, coir_unit()), coir_unit())), "OK 0");
    CHECK_INT(entries("/proc/self/task"), before);
}

/* ------------------------------------------------------------------------------------------------------------- signals */

/* Of all our threads: those whose names begin with "coir", with their masks of blocked signals. */
static struct { int count, open; } threads_seen;
static coir_result look_at_threads(void *env)
{
    (void)env;
    threads_seen.count = threads_seen.open = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL; ) {
        char path[300], line[300], name[300] = "";
        unsigned long long blocked = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *status = fopen(path, "re");
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            sscanf(line, "Name: %299[^\n]", name);
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        if (status != NULL)
            fclose(status);
        if (strncmp(name, "coir ", 5) != 0)
            continue;
        threads_seen.count++;
        threads_seen.open += !(blocked & 1ull << (SIGUSR1 - 1)) || !(blocked & 1ull << (SIGINT - 1)) || !(blocked & 1ull << (SIGTERM - 1));
    }
    closedir(tasks);
    return coir_ok(coir_int(threads_seen.count));
}

static bool too_few_yet(void *expected, const coir_value *seen) { return seen->i64 < *(int *)expected; }

TEST_REAL(runtime_run, threads_of_a_run_have_names_and_block_all_signals, "of real threads")
{
    int expected = 4;                                   /* workers 1 to 3, and the thread of the epoch clock */
    struct timespec later;
    clock_gettime(CLOCK_REALTIME, &later);
    later.tv_sec += 1;
    coir_io *look = coir_while(coir_then(coir_yield(), coir_defer(look_at_threads, NULL)), too_few_yet, &expected);
    coir_result result = run(4, coir_then(coir_fork(coir_sleep_until(later)), look));
    CHECK_OK_INT(result, expected);
    CHECK_INT(threads_seen.open, 0);
}

static atomic_int handled, handled_elsewhere;
static pthread_t program_thread;
static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
    if (!pthread_equal(pthread_self(), program_thread))
        atomic_fetch_add(&handled_elsewhere, 1);
}

static coir_result send_signal(void *env)
{
    (void)env;
    int before = atomic_load(&handled);
    kill(getpid(), SIGUSR1);
    CHECK_SOON(atomic_load(&handled) > before);
    return coir_ok(coir_none());
}

TEST(runtime_run, signals_are_handled_on_the_programs_threads_only)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART }, before;
    sigset_t mask_before, mask_after;
    program_thread = pthread_self();
    sigemptyset(&action.sa_mask);
    CHECK_INT(sigaction(SIGUSR1, &action, &before), 0);
    CHECK_INT(pthread_sigmask(SIG_BLOCK, NULL, &mask_before), 0);
    CHECK_STR(outcome(4, coir_repeat(coir_then(coir_sleep(coir_us(10)), coir_defer(send_signal, NULL)), (uint64_t)scaled(500))), "OK 0");
    CHECK_INT(pthread_sigmask(SIG_BLOCK, NULL, &mask_after), 0);
    for (int i = 1; i < 32; i++)
        CHECK_INT(sigismember(&mask_after, i), sigismember(&mask_before, i));
    CHECK(atomic_load(&handled) > 0);
    CHECK_INT(atomic_load(&handled_elsewhere), 0);
    sigaction(SIGUSR1, &before, NULL);
}

/* Idle workers sleep in the kernel: a signal that interrupts the caller's sleep ends it neither early nor for ever. */
static void *send_signals(void *over)
{
    while (!atomic_load((atomic_bool *)over)) {
        pthread_kill(program_thread, SIGUSR1);
        nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
    }
    return NULL;
}

TEST(runtime_run, signals_that_interrupt_idle_workers_end_no_sleep_early)
{
    struct sigaction action = { .sa_handler = on_signal }, before;
    atomic_bool over = false;
    pthread_t thread;
    program_thread = pthread_self();
    sigemptyset(&action.sa_mask);
    CHECK_INT(sigaction(SIGUSR1, &action, &before), 0);
    CHECK_INT(pthread_create(&thread, NULL, send_signals, &over), 0);
    FOR_WORKERS(workers, 1, 2) {
        coir_result result = run(workers, coir_zip(COIR_IOS(coir_now(), coir_sleep(coir_ms(50)), coir_now())));
        CHECK_TAG(result, COIR_OK);
        CHECK(coir_list_at(&result.value, 2)->i64 - coir_list_at(&result.value, 0)->i64 >= 50 * 1000 * 1000);
        coir_result_drop(&result);
    }
    atomic_store(&over, true);
    CHECK_INT(pthread_join(thread, NULL), 0);
    sigaction(SIGUSR1, &before, NULL);
}

/* ------------------------------------------------------------------------------------------------------------- figures */

static void resume_late(void *env, void *op, coir_callback k)
{
    (void)env;
    (void)op;
    coir_resume(k, coir_ok(coir_none()));
    coir_resume(k, coir_ok(coir_none()));
}
static const coir_async_type late_type = { .start = resume_late };

TEST(runtime_run, counters_tell_what_was_refused_and_the_verdicts)
{
    coir_counters before = coir_counters_now();
    CHECK_STR(outcome(1, coir_repeat(coir_async(&late_type, NULL), 3)), "OK 0");
    CHECK_STR(outcome(1, coir_never()), "PANIC DEADLOCK");
    coir_counters after = coir_counters_now();
    CHECK_UINT(after.resumes_refused - before.resumes_refused, 3);
    CHECK_UINT(after.deadlocks - before.deadlocks, 1);
    CHECK_UINT(after.failures_forgotten, before.failures_forgotten);
}

TEST(runtime_run, version_of_the_library_is_that_of_its_header)
{
    char version[40];
    snprintf(version, sizeof version, "%d.%d.%d", COIR_VERSION_MAJOR, COIR_VERSION_MINOR, COIR_VERSION_PATCH);
    CHECK_STR(coir_version(), version);
    CHECK_STR(coir_version(), COIR_VERSION);
    CHECK_PTR(coir_version(), coir_version());
}
