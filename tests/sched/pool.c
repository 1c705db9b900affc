/*
 * pool.c - tests of the workers: every fiber runs once, none waits for ever behind others or behind a worker that is stuck, and an idle
 * run costs nothing
 *
 * Who would starve makes its test wait for ever, and the time-out fails it.
 */
#include "fibers.h"

#include <dirent.h>
#include <sys/resource.h>
#include <time.h>

/* ------------------------------------------------------------------------------------------------------ exactly once */

static coir_result count_run(void *mark) { atomic_fetch_add((atomic_uchar *)mark, 1); return coir_ok(coir_none()); }

static int how_many_not_once(atomic_uchar *marks, int count)
{
    int wrong = 0;
    for (int i = 0; i < count; i++)
        wrong += atomic_load(&marks[i]) != 1;
    return wrong;
}

TEST(sched_pool, fibers_of_a_long_list_run_exactly_once_each)
{
    int count = scaled(100000);
    FOR_WORKERS(workers, 1, 2, 4, 8) {
        atomic_uchar *marks = calloc((size_t)count, sizeof *marks);
        coir_io **ios = malloc((size_t)count * sizeof(coir_io *));
        for (int i = 0; i < count; i++)
            ios[i] = coir_defer(count_run, &marks[i]);
        coir_result result = run(workers, coir_flat_map(coir_parallel((size_t)count, ios), wait_it, NULL));
        CHECK_INT((intmax_t)coir_list_size(&result.value), count);
        CHECK_INT(how_many_are(&result.value, COIR_OK), count);
        coir_result_drop(&result);
        CHECK_INT(how_many_not_once(marks, count), 0);
        free(ios);
        free(marks);
    }
}

/* Nobody waits for them: the run does. */
static coir_io *fork_marked(void *marks, size_t index)
{
    return coir_fork(coir_defer(count_run, (atomic_uchar *)marks + index));
}

TEST(sched_pool, fibers_forked_one_by_one_run_exactly_once_each_before_the_run_ends)
{
    int count = scaled(100000);
    FOR_WORKERS(workers, 1, 2, 4, 8) {
        atomic_uchar *marks = calloc((size_t)count, sizeof *marks);
        coir_result result = run(workers, coir_traverse((size_t)count, fork_marked, marks));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
        CHECK_INT(how_many_not_once(marks, count), 0);
        free(marks);
    }
}

/* A tree: each forks two until the leaves, which mark. */
struct branch { atomic_uchar *marks; int count; };
static coir_io *grow(void *branch_)
{
    const struct branch *branch = branch_;
    if (branch->count == 1)
        return coir_defer(count_run, branch->marks);
    int half = branch->count / 2;
    return coir_then(coir_fork(coir_suspend_copy(grow, COIR_ENV(struct branch, branch->marks, half))),
                     coir_fork(coir_suspend_copy(grow, COIR_ENV(struct branch, branch->marks + half, branch->count - half))));
}

TEST(sched_pool, leaves_of_a_tree_of_forks_run_exactly_once_each)
{
    int count = scaled(100000);
    FOR_WORKERS(workers, 1, 2, 4, 8) {
        atomic_uchar *marks = calloc((size_t)count, sizeof *marks);
        coir_result result = run(workers, coir_suspend_copy(grow, COIR_ENV(struct branch, marks, count)));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
        CHECK_INT(how_many_not_once(marks, count), 0);
        free(marks);
    }
}

/* Through the yielded ring and its overflow. */
TEST(sched_pool, fibers_that_yield_again_and_again_come_to_their_end_once_each)
{
    int count = scaled(5000);
    FOR_WORKERS(workers, 1, 2, 4, 8) {
        atomic_uchar *marks = calloc((size_t)count, sizeof *marks);
        coir_io **ios = malloc((size_t)count * sizeof(coir_io *));
        for (int i = 0; i < count; i++)
            ios[i] = coir_then(coir_repeat(coir_yield(), 20), coir_defer(count_run, &marks[i]));
        coir_result result = run(workers, coir_parallel((size_t)count, ios));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
        CHECK_INT(how_many_not_once(marks, count), 0);
        free(ios);
        free(marks);
    }
}

TEST(sched_pool, list_of_forks_runs_in_its_order_on_one_worker)
{
    CHECK_STR(outcome(1, coir_then(coir_parallel(COIR_IOS(noting("a"), noting("b"), noting("c"), noting("d"))), coir_unit())), "OK 0");
    CHECK_STR(notes(), "a b c d");
}

/* ---------------------------------------------------------------------------------------------------------- fairness */

/* A stream of fresh forks that ends only when `awaited` fibers have had their turns. Each forks the next, so one is always fresh. */
static struct { atomic_int awaited, streamed; } stream;

static coir_io *flow(void *env, coir_io *self)
{
    (void)env;
    atomic_fetch_add(&stream.streamed, 1);
    return atomic_load(&stream.awaited) == 0 ? coir_unit() : coir_fork(coir_io_ref(self));
}
static coir_io *streaming(int awaited)
{
    atomic_store(&stream.awaited, awaited);
    atomic_store(&stream.streamed, 0);
    return coir_fork(coir_rec(flow, NULL));
}
static coir_result had_its_turn(void *env) { (void)env; atomic_fetch_sub(&stream.awaited, 1); return coir_ok(coir_none()); }
static coir_io *taking_its_turn(void) { return coir_defer(had_its_turn, NULL); }

TEST(sched_pool, who_yields_has_its_turns_under_a_stream_of_forks)
{
    coir_io *yields = coir_then(coir_repeat(coir_yield(), 100), taking_its_turn());
    CHECK_STR(outcome(1, coir_then(streaming(1), yields)), "OK 0");
    CHECK(atomic_load(&stream.streamed) > 1);
}

TEST(sched_pool, what_was_forked_first_has_its_turn_under_a_stream_of_forks)
{
    CHECK_STR(outcome(1, coir_sequence(COIR_IOS(coir_fork(taking_its_turn()), coir_fork(taking_its_turn()), streaming(2), coir_unit()))),
              "OK 0");
    CHECK(atomic_load(&stream.streamed) > 1);
}

TEST(sched_pool, backlog_has_its_turn_under_a_stream_of_forks)
{
    enum { MANY = 3000 };                               /* more than the deque holds */
    CHECK_STR(outcome(1, coir_sequence(COIR_IOS(streaming(MANY), copies_of(MANY, taking_its_turn()), coir_unit()))), "OK 0");
    CHECK_STR(outcome(1, coir_sequence(COIR_IOS(copies_of(MANY, taking_its_turn()), streaming(MANY), coir_unit()))), "OK 0");
}

static void *open_from_outside(void *gate)
{
    CHECK_SOON(gate_waiting(gate) == 1);
    gate_open(gate);
    return NULL;
}

TEST(sched_pool, fiber_woken_from_outside_has_its_turn_under_a_stream_of_forks)
{
    for (int i = 0; i < 20; i++) {
        static struct gate closed = GATE;
        struct gate gate = closed;
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, open_from_outside, &gate), 0);
        CHECK_STR(outcome(1, coir_then(streaming(1), coir_then(passing(&gate), taking_its_turn()))), "OK 0");
        CHECK_INT(pthread_join(thread, NULL), 0);
    }
}

TEST(sched_pool, sleeper_has_its_turn_under_a_stream_of_forks)
{
    CHECK_STR(outcome(1, coir_then(streaming(1), coir_then(coir_sleep(coir_ms(5)), taking_its_turn()))), "OK 0");
}

/* Everybody goes round; nobody is lapped more than a few times. */
enum { LAPS = 20, RUNNERS = 5000 };
static struct { int laps[RUNNERS]; int lead, count, behind; } race;        /* one worker: plain */

static coir_result lap(void *mine)
{
    int laps = ++*(int *)mine;
    if (laps > race.lead) {
        race.lead = laps;
        race.behind = 0;
        for (int i = 0; i < race.count; i++)
            if (race.behind < race.lead - race.laps[i] - 1)
                race.behind = race.lead - race.laps[i] - 1;
        if (race.behind > 2)
            CHECK_FAIL("in its lap %d one is %d laps ahead of another", laps, race.behind + 1);
    }
    return coir_ok(coir_none());
}

TEST(sched_pool, nobody_laps_the_others_by_much_in_a_loop_of_yields)
{
    static coir_io *ios[RUNNERS];
    static const int counts[] = { 2, 10, 100, 1000, 1030, RUNNERS };
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        CASE("%d fibers", counts[c]);
        memset(&race, 0, sizeof race);
        race.count = counts[c];
        for (int i = 0; i < race.count; i++)
            ios[i] = coir_repeat(coir_then(coir_defer(lap, &race.laps[i]), coir_yield()), LAPS);
        coir_result result = run(1, coir_parallel((size_t)race.count, ios));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
        CHECK_INT(race.lead, LAPS);
    }
}

/* A fiber that never gives up the worker by itself yields after its budget. */
static atomic_bool others_done;
static bool others_still_run(void *env, const coir_value *value) { (void)env; (void)value; return !atomic_load(&others_done); }
static coir_result say_done(void *env) { (void)env; atomic_store(&others_done, true); return coir_ok(coir_none()); }

TEST(sched_pool, loop_without_end_lets_the_others_run)
{
    atomic_store(&others_done, false);
    coir_io *others = coir_then(waited(COIR_IOS(coir_repeat(coir_yield(), 10), coir_repeat(coir_yield(), 20))), coir_defer(say_done, NULL));
    CHECK_STR(outcome(1, coir_then(coir_fork(others), coir_while(coir_unit(), others_still_run, NULL))), "OK 0");
}

/* ------------------------------------------------------------------------------------------------- a worker that is stuck */

/*
 * Two workers. One is in a callback that does not return before some other fiber has run: that is to be run by the other worker,
 * wherever it waits.
 */
static atomic_bool freed;
static coir_result get_stuck(void *env)
{
    (void)env;
    CHECK_SOON(atomic_load(&freed));
    return coir_ok(coir_none());
}
static coir_result free_the_stuck(void *env) { (void)env; atomic_store(&freed, true); return coir_ok(coir_none()); }
static coir_io *stuck(void) { return coir_defer(get_stuck, NULL); }
static coir_io *freeing(void) { return coir_defer(free_the_stuck, NULL); }

static struct gate stuck_gate;
static coir_result open_and_get_stuck(void *env)
{
    gate_open(&stuck_gate);
    return get_stuck(env);
}
static coir_result get_stuck_after_sleepers_are_due(void *env) { return get_stuck(env); }
static void *open_stuck_gate(void *unused) { (void)unused; gate_open(&stuck_gate); return NULL; }
static coir_result let_outside_open_and_get_stuck(void *env)
{
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, open_stuck_gate, NULL), 0);
    get_stuck(env);
    CHECK_INT(pthread_join(thread, NULL), 0);
    return coir_ok(coir_none());
}

static coir_io *stuck_program(int which)
{
    switch (which) {
    case 0: return coir_then(coir_fork(freeing()), stuck());                                    /* alone in the deque */
    case 1: return coir_then(coir_parallel(COIR_IOS(coir_unit(), coir_unit(), freeing())), stuck());
    case 2: return coir_then(coir_fork(coir_then(coir_yield(), freeing())), coir_then(coir_yield(), stuck()));
    case 3: return coir_then(copies_of(3000, freeing()), stuck());                              /* in the backlog too */
    case 4: return coir_then(coir_fork(coir_then(coir_sleep(coir_ms(2)), freeing())), coir_then(coir_yield(), stuck()));
    case 5: return coir_then(coir_fork(coir_then(passing(&stuck_gate), freeing())), coir_then(coir_yield(), coir_defer(open_and_get_stuck, NULL)));
    case 6: return coir_then(coir_fork(coir_then(passing(&stuck_gate), freeing())),
                             coir_then(coir_yield(), coir_defer(let_outside_open_and_get_stuck, NULL)));
    case 7: return coir_then(coir_fork(coir_then(coir_sleep(coir_ms(1)), freeing())),           /* armed by who gets stuck, next */
                             coir_then(coir_sleep(coir_us(200)), coir_defer(get_stuck_after_sleepers_are_due, NULL)));
    default: return NULL;
    }
}

TEST(sched_pool, what_is_runnable_behind_a_stuck_worker_is_run_by_the_other)
{
    for (int which = 0; which < 8; which++)
        for (int round = 0; round < scaled(50); round++) {
            CASE("%d, round %d", which, round);
            atomic_store(&freed, false);
            stuck_gate = (struct gate)GATE;
            CHECK_STR(outcome(2, stuck_program(which)), "OK 0");
        }
}

/* All but one are stuck, and what frees them comes last. */
static atomic_int stuck_now;
static coir_result get_stuck_counted(void *env) { atomic_fetch_add(&stuck_now, 1); return get_stuck(env); }
static coir_result free_when_all_are_stuck(void *count)
{
    CHECK_SOON(atomic_load(&stuck_now) == *(int *)count);
    return free_the_stuck(NULL);
}

TEST(sched_pool, one_free_worker_is_enough)
{
    FOR_WORKERS(workers, 2, 4, 8) {
        int count = (int)workers - 1;
        atomic_store(&stuck_now, 0);
        atomic_store(&freed, false);
        coir_io *all = copies_of((size_t)count, coir_defer(get_stuck_counted, NULL));
        CHECK_STR(outcome(workers, coir_sequence(COIR_IOS(all, coir_fork(coir_defer(free_when_all_are_stuck, &count)), coir_unit()))), "OK 0");
    }
}

/* ---------------------------------------------------------------------------------------------------------- idleness */

static int64_t processor_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void check_idle(coir_io *io, const char *expected)
{
    int64_t before = processor_time();
    CHECK_STR(outcome(4, io), expected);
    int64_t used = processor_time() - before;
    if (used > INT64_C(100000000) * (CHECK_SLOWNESS > 1 ? 3 : 1))
        CHECK_FAIL("a second in which nothing happens used %lld ms of processor time", (long long)(used / 1000000));
}

static void *open_in_a_second(void *gate)
{
    nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
    gate_open(gate);
    return NULL;
}

TEST(sched_pool, run_in_which_nothing_happens_uses_no_processor_time)
{
    check_idle(coir_sleep(coir_seconds(1)), "OK 0");
    coir_io *sleepers = waited(COIR_IOS(coir_sleep(coir_seconds(1)), coir_sleep(coir_ms(900)), coir_sleep(coir_ms(800))));
    check_idle(sleepers, "OK [<OK 0> <OK 0> <OK 0>]");
}

TEST(sched_pool, run_that_waits_for_a_callback_uses_no_processor_time)
{
    struct gate gate = GATE;
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, open_in_a_second, &gate), 0);
    check_idle(passing(&gate), "OK 0");
    CHECK_INT(pthread_join(thread, NULL), 0);
}

/* --------------------------------------------------------------------------------------------------- foreign wake-ups */

/* A thread that resumes whatever it is handed: with each round trip workers park and are woken. */
enum { ECHO_ROOM = 256 };
static struct {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    coir_callback   waiting[ECHO_ROOM];
    size_t          count;
    bool            over;
} echo = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void echo_start(void *env, void *op, coir_callback k)
{
    (void)env;
    (void)op;
    pthread_mutex_lock(&echo.lock);
    echo.waiting[echo.count++] = k;
    pthread_cond_signal(&echo.changed);
    pthread_mutex_unlock(&echo.lock);
}
static const coir_async_type echo_type = { .start = echo_start };

static void *echo_main(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&echo.lock);
    while (!echo.over || echo.count > 0) {
        if (echo.count == 0) {
            pthread_cond_wait(&echo.changed, &echo.lock);
            continue;
        }
        coir_callback k = echo.waiting[--echo.count];
        pthread_mutex_unlock(&echo.lock);
        CHECK(coir_resume(k, coir_ok(coir_int(1))));
        pthread_mutex_lock(&echo.lock);
    }
    pthread_mutex_unlock(&echo.lock);
    return NULL;
}

TEST(sched_pool, wake_ups_from_outside_are_never_lost)
{
    static const size_t at_once[] = { 1, 2, 5, 64 };
    pthread_t thread;
    echo.over = false;
    CHECK_INT(pthread_create(&thread, NULL, echo_main, NULL), 0);
    FOR_WORKERS(workers, 1, 2, 4)
        for (size_t i = 0; i < sizeof at_once / sizeof *at_once; i++) {
            uint64_t rounds = (uint64_t)scaled(10000) / at_once[i];
            CASE("%zu at once", at_once[i]);
            coir_io *fiber = coir_repeat(coir_async(&echo_type, NULL), rounds);
            coir_result result = run(workers, coir_flat_map(copies_of(at_once[i], fiber), wait_it, NULL));
            CHECK_INT(how_many_are(&result.value, COIR_OK), (intmax_t)at_once[i]);
            coir_result_drop(&result);
        }
    pthread_mutex_lock(&echo.lock);
    echo.over = true;
    pthread_cond_signal(&echo.changed);
    pthread_mutex_unlock(&echo.lock);
    CHECK_INT(pthread_join(thread, NULL), 0);
}

/* Each run ends with the wake-up from outside: the waker must be through with the run before its memory goes. */
TEST(sched_pool, run_ends_with_a_wake_up_from_outside_which_is_then_through_with_it)
{
    pthread_t thread;
    echo.over = false;
    CHECK_INT(pthread_create(&thread, NULL, echo_main, NULL), 0);
    FOR_WORKERS(workers, 1, 2, 4)
        for (int i = 0; i < scaled(2000); i++)
            CHECK_STR(outcome(workers, coir_async(&echo_type, NULL)), "OK 1");
    pthread_mutex_lock(&echo.lock);
    echo.over = true;
    pthread_cond_signal(&echo.changed);
    pthread_mutex_unlock(&echo.lock);
    CHECK_INT(pthread_join(thread, NULL), 0);
}

/* ------------------------------------------------------------------------------------------------------------ the end */

static int threads_now(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL; )
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

static coir_result count_threads(void *count) { *(int *)count = threads_now(); return coir_ok(coir_none()); }

TEST(sched_pool, run_has_as_many_threads_as_workers_and_leaves_none_behind)
{
    int before = threads_now(), meanwhile = 0;
    FOR_WORKERS(workers, 1, 2, 4, 8, 64) {
        CHECK_STR(outcome(workers, coir_defer(count_threads, &meanwhile)), "OK 0");
        CHECK_INT(meanwhile, before + (int)workers - 1);
        CHECK_SOON(threads_now() == before);            /* a joined thread may show for a moment */
    }
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    CHECK_STR(outcome(2, coir_sleep_until(soon)), "OK 0");
    soon.tv_sec += 1;
    CHECK_STR(outcome(2, coir_sleep_until(soon)), "OK 0");
    CHECK_SOON(threads_now() == before);
}

TEST(sched_pool, run_goes_on_until_the_last_fiber_has_ended)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        atomic_int count = 0;
        coir_io *late = coir_sequence(COIR_IOS(coir_sleep(coir_ms(10)), coir_repeat(coir_yield(), 10), counting(&count)));
        CHECK_STR(outcome(workers, coir_then(coir_fork(coir_then(coir_fork(late), counting(&count))), coir_pure(coir_int(5)))), "OK 5");
        CHECK_INT(atomic_load(&count), 2);
    }
}
