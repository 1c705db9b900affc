/*
 * some.c - tests of waiting for some of several fibers: wait_for, as_completed
 */
#include "seeds.h"

/* ---------------------------------------------------------------------------------------------------- words of this suite */

static coir_io *after(int64_t ms, coir_io *io) { return coir_then(coir_sleep(coir_ms(ms)), io); }
static coir_io *giving(int64_t n) { return coir_pure(coir_int(n)); }
static const coir_duration for_ever = { INT64_MAX };

/* waiting: starts them in parallel and waits for them like that. */
struct waiting { coir_until until; coir_duration limit; };
static coir_io *wait_like_that(void *env, coir_value *fibers)
{
    const struct waiting *waiting = env;
    return coir_wait_for(fibers, waiting->until, waiting->limit);
}
static coir_io *waiting(coir_until until, coir_duration limit, size_t count, coir_io *const *ios)
{
    return coir_flat_map_copy(coir_parallel(count, ios), wait_like_that, COIR_ENV(struct waiting, until, limit));
}

/* And the moment at which that was over. */
static coir_io *timed(coir_io *io) { return coir_zip(COIR_IOS(io, coir_now())); }

/* ------------------------------------------------------------------------------------------------------------ wait_for */

TEST(wait_for, all_ended_gives_every_result)
{
    CHECK_EVERYWHERE(waiting(COIR_ALL_ENDED, for_ever, COIR_IOS(after(1, giving(1)), coir_fail(coir_int(2)), coir_panicf("3"))),
                     "OK [<OK 1> <ERROR 2> <PANIC MISUSE>]", "");
    CHECK_EVERYWHERE(waiting(COIR_ALL_ENDED, for_ever, 0, NULL), "OK []", "");
    CHECK_EVERYWHERE(waiting(COIR_FIRST_ENDED, for_ever, 0, NULL), "OK []", "");
    CHECK_EVERYWHERE(waiting(COIR_FIRST_FAILED, for_ever, COIR_IOS(after(1, giving(1)), giving(2))), "OK [<OK 1> <OK 2>]", "");
}

TEST(wait_for, first_ended_leaves_the_others_running)
{
    FOR_SEEDS(options)
        CHECK_STR(simulated(options, timed(waiting(COIR_FIRST_ENDED, for_ever, COIR_IOS(after(9, noting("on")), after(2, giving(1)), after(5, giving(2)))))),
                  "OK [[0 <OK 1> 0] 2000000]");
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_semaphore *gate = coir_semaphore_new_bounded(0, 1);
        coir_io *io = waiting(COIR_FIRST_ENDED, for_ever, COIR_IOS(coir_acquire(gate, 1), after(1, giving(1))));
        CHECK_STR(outcome(workers, coir_then_keep(io, coir_release(gate, 1))), "OK [0 <OK 1>]");
        coir_semaphore_drop(gate);
    }
}

TEST(wait_for, first_failed_is_not_ended_by_successes)
{
    FOR_SEEDS(options) {
        coir_io *io = waiting(COIR_FIRST_FAILED, for_ever, COIR_IOS(after(9, giving(1)), after(2, giving(2)), after(5, coir_fail(coir_int(3)))));
        CHECK_STR(simulated(options, timed(io)), "OK [[0 <OK 2> <ERROR 3>] 5000000]");
        io = waiting(COIR_FIRST_FAILED, for_ever, COIR_IOS(after(9, giving(1)), after(2, coir_then(coir_cancel_self(), coir_unit()))));
        CHECK_STR(simulated(options, io), "OK [0 <CANCELED 0>]");
    }
}

TEST(wait_for, no_longer_than_the_limit)
{
    FOR_SEEDS(options) {
        coir_io *io = waiting(COIR_ALL_ENDED, coir_ms(5), COIR_IOS(after(2, giving(1)), after(8, noting("on"))));
        CHECK_STR(simulated(options, timed(io)), "OK [[<OK 1> 0] 5000000]");
        CHECK_STR(notes(), "on");
        io = waiting(COIR_ALL_ENDED, coir_ms(0), COIR_IOS(after(2, giving(1)), after(8, giving(2))));
        CHECK_STR(simulated(options, timed(io)), "OK [[0 0] 0]");
        io = waiting(COIR_FIRST_FAILED, coir_ms(-5), COIR_IOS(after(2, giving(1))));
        CHECK_STR(simulated(options, timed(io)), "OK [[0] 0]");
    }
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_semaphore *gate = coir_semaphore_new_bounded(0, 2);
        coir_io *io = waiting(COIR_ALL_ENDED, coir_ms(1), COIR_IOS(coir_acquire(gate, 1), coir_acquire(gate, 1)));
        CHECK_STR(outcome(workers, coir_then_keep(io, coir_release(gate, 2))), "OK [0 0]");
        coir_semaphore_drop(gate);
    }
}

TEST(wait_for, an_end_that_comes_with_the_limit_is_there_or_not_and_nothing_is_lost)
{
    FOR_SEEDS(options) {
        coir_io *io = waiting(COIR_FIRST_ENDED, coir_ms(5), COIR_IOS(after(5, giving(1)), after(5, giving(2)), after(9, giving(3))));
        coir_result result = coir_sim_run(io, options);
        CHECK_TAG(result, COIR_OK);
        CHECK_UINT(coir_list_size(&result.value), 3);
        coir_result_drop(&result);
    }
}

static coir_io *cancel_placed(void *place) { return coir_cancel(*(coir_fiber **)place); }

TEST(wait_for, canceled_it_is_over_and_the_fibers_go_on)
{
    FOR_SEEDS(options) {
        coir_fiber *waiter = NULL;
        coir_io *io = waiting(COIR_ALL_ENDED, coir_seconds(100), COIR_IOS(after(9, noting("a")), after(8, noting("b"))));
        io = coir_sequence(COIR_IOS(forking(coir_finally(io, noting("over")), &waiter), coir_sleep(coir_ms(1)), coir_suspend(cancel_placed, &waiter),
                                    coir_now()));
        CHECK_STR(simulated(options, io), "OK 1000000");
        CHECK_STR(notes(), "over b a");
        coir_fiber_drop(waiter);
    }
}

static coir_io *wait_twice(void *env, coir_value *fiber)
{
    (void)env;
    coir_value both = coir_list(2, (coir_value[]){ coir_share(fiber), coir_share(fiber) });
    coir_io *io = coir_zip(COIR_IOS(coir_wait_for(fiber, COIR_ALL_ENDED, for_ever), coir_wait_for(&both, COIR_ALL_ENDED, for_ever),
                                    coir_wait_for(&both, COIR_FIRST_FAILED, coir_ms(0))));
    coir_drop(both);
    return io;
}

TEST(wait_for, one_fiber_and_one_twice)
{
    CHECK_EVERYWHERE(coir_flat_map(coir_fork(after(1, coir_pure(coir_stringf("a")))), wait_twice, NULL), "OK [[<OK a>] [<OK a> <OK a>] [<OK a> <OK a>]]", "");
}

static coir_io *wait_for_self(void *until, coir_value *self) { return coir_wait_for(self, *(coir_until *)until, for_ever); }

TEST(wait_for, oneself_is_a_deadlock)
{
    for (coir_until until = COIR_ALL_ENDED; until <= COIR_FIRST_FAILED; until++)
        CHECK_EVERYWHERE(coir_flat_map(coir_self(), wait_for_self, &until), "PANIC DEADLOCK", "");
}

TEST(wait_for, what_can_never_come_is_silence)
{
    CHECK_EVERYWHERE(waiting(COIR_ALL_ENDED, for_ever, COIR_IOS(coir_never(), coir_never())), "OK [<PANIC DEADLOCK> <PANIC DEADLOCK>]", "");
}

TEST(wait_for, a_fiber_of_another_run)
{
    FOR_WORKERS(workers, 1, 2) {
        struct gate begun = GATE, go_on = GATE;
        struct other_run other;
        coir_fiber *fiber = NULL;
        coir_io *theirs = coir_sequence(COIR_IOS(forking(coir_then(passing(&go_on), giving(6)), &fiber), opening(&begun), coir_unit()));
        other_run_begin(&other, COIR_OPTIONS(.workers = workers), theirs);
        while (!gate_is_open(&begun))
            sched_yield();
        coir_value handle = coir_fiber_value(coir_fiber_ref(fiber));
        coir_io *io = coir_sequence(COIR_IOS(coir_wait_for(&handle, COIR_FIRST_ENDED, coir_ms(1)), coir_fork(opening(&go_on)),
                                             coir_wait_for(&handle, COIR_FIRST_ENDED, for_ever)));
        CHECK_STR(outcome(workers, io), "OK [<OK 6>]");
        coir_drop(handle);
        coir_fiber_drop(fiber);
        coir_result result = other_run_end(&other);
        coir_result_drop(&result);
    }
}

TEST(wait_for, what_is_no_fiber_has_a_clear_answer)
{
    coir_value number = coir_int(3);
    coir_result handle = run(1, coir_fork(coir_unit()));
    CHECK_STR(outcome(1, coir_wait_for(NULL, COIR_ALL_ENDED, for_ever)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_wait_for(&number, COIR_ALL_ENDED, for_ever)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_wait_for(&handle.value, (coir_until)7, for_ever)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_wait_for(&handle.value, COIR_FIRST_ENDED, for_ever)), "OK [<OK 0>]");
    CHECK_STR(outcome(1, coir_as_completed(NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_as_completed(&number)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_completions_next(NULL)), "PANIC ENOMEM");
    CHECK_PTR(coir_completions_ref(NULL), NULL);
    coir_completions_drop(NULL);
    coir_result_drop(&handle);
}

/* -------------------------------------------------------------------------------------------------------- as_completed */

static coir_io *note_end(void *env, coir_value *end)
{
    (void)env;
    coir_result *result = coir_result_in(coir_list_at(end, 1));
    note("%d=%s", (int)coir_list_at(end, 0)->i64, describe(result));
    return coir_unit();
}
static coir_io *note_all(void *env, coir_value *ends) { (void)env; return coir_for_each(coir_completions_next(coir_completions_of(ends)), note_end, NULL); }
static coir_io *complete(void *env, coir_value *fibers) { (void)env; return coir_flat_map(coir_as_completed(fibers), note_all, NULL); }
static coir_io *completing(size_t count, coir_io *const *ios) { return coir_flat_map(coir_parallel(count, ios), complete, NULL); }

TEST(as_completed, gives_ends_in_their_order)
{
    FOR_SEEDS(options) {
        CHECK_STR(simulated(options, completing(COIR_IOS(after(5, giving(10)), after(1, coir_fail(coir_int(11))), after(9, coir_pure(coir_stringf("c")))))), "OK 0");
        CHECK_STR(notes(), "1=ERROR 11 0=OK 10 2=OK c");
        CHECK_STR(simulated(options, completing(0, NULL)), "OK 0");
        CHECK_STR(notes(), "");
    }
}

struct count { atomic_int ends, sum; };
static coir_io *count_end(void *count_, coir_value *end)
{
    struct count *count = count_;
    atomic_fetch_add(&count->ends, 1);
    atomic_fetch_add(&count->sum, (int)coir_list_at(end, 0)->i64);
    return coir_yield();
}
static coir_io *count_all(void *count, coir_value *ends) { return coir_for_each(coir_completions_next(coir_completions_of(ends)), count_end, count); }
static coir_io *complete_counted(void *count, coir_value *fibers) { return coir_flat_map(coir_as_completed(fibers), count_all, count); }

TEST(as_completed, of_many_each_is_given_once)
{
    enum { MANY = 20000 };
    coir_io **ios = malloc(MANY * sizeof *ios);
    FOR_WORKERS(workers, 1, 2, 4) {
        struct count count = { 0 };
        for (int i = 0; i < MANY; i++)
            ios[i] = i % 3 == 0 ? coir_then(coir_yield(), coir_yield()) : i % 3 == 1 ? coir_unit() : coir_sleep(coir_us(i % 1000));
        CHECK_STR(outcome(workers, coir_flat_map(coir_parallel(MANY, ios), complete_counted, &count)), "OK 0");
        CHECK_INT(count.ends, MANY);
        CHECK_INT(count.sum, MANY / 2 * (MANY - 1));
    }
    free(ios);
}

static coir_io *next_only(void *env, coir_value *ends) { (void)env; return coir_completions_next(coir_completions_of(ends)); }
static coir_io *complete_first(void *env, coir_value *fibers) { (void)env; return coir_flat_map(coir_as_completed(fibers), next_only, NULL); }

TEST(as_completed, who_stops_looking_leaves_the_others_alone)
{
    FOR_SEEDS(options) {
        coir_io *ios[] = { after(9, noting("on")), after(1, coir_pure(thing(3))), after(5, giving(1)) };
        CHECK_STR(simulated(options, coir_flat_map(coir_parallel(3, ios), complete_first, NULL)), "OK [1 <OK thing 3>]");
        CHECK_STR(notes(), "on -3");
    }
}

/* Two ask for the next end at once; then a third does, whose turn comes. */
static coir_io *next_after(void *env, coir_value *ends)
{
    (void)env;
    coir_completions *c = coir_completions_of(ends);
    coir_io *canceled = coir_timeout_to(coir_completions_next(c), coir_ms(1), coir_unit());
    return coir_zip(COIR_IOS(coir_par_zip(COIR_IOS(coir_attempt(coir_completions_next(c)), coir_attempt(coir_completions_next(c)))), canceled,
                             coir_completions_next(c), coir_completions_next(c)));
}
static coir_io *complete_for_two(void *env, coir_value *fibers) { (void)env; return coir_flat_map(coir_as_completed(fibers), next_after, NULL); }

TEST(as_completed, one_fiber_at_a_time_and_a_canceled_one_loses_nothing)
{
    FOR_SEEDS(options) {
        coir_io *ios[] = { after(3, giving(1)), after(6, giving(2)) };
        coir_result result = coir_sim_run(coir_flat_map(coir_parallel(2, ios), complete_for_two, NULL), options);
        const char *text = describe(&result);
        CHECK(strcmp(text, "OK [[<OK [0 <OK 1>]> <PANIC MISUSE>] 0 [1 <OK 2>] 0]") == 0 ||
              strcmp(text, "OK [[<PANIC MISUSE> <OK [0 <OK 1>]>] 0 [1 <OK 2>] 0]") == 0);
        coir_result_drop(&result);
    }
}

TEST(as_completed, what_can_never_come_is_silence)
{
    FOR_SEEDS(options) {
        CHECK_STR(simulated(options, completing(COIR_IOS(coir_never(), coir_unit()))), "OK 0");
        CHECK_STR(notes(), "1=OK 0 0=PANIC DEADLOCK");
    }
}

TEST(as_completed, the_handle_may_outlive_fibers_and_runs)
{
    coir_io *ios[] = { giving(1), coir_fail(coir_int(2)) };
    coir_result handles = run(2, coir_parallel(2, ios));
    coir_result ends = run(1, coir_as_completed(&handles.value));
    coir_result_drop(&handles);
    CHECK_TAG(ends, COIR_OK);
    coir_completions *c = coir_completions_of(&ends.value);
    CHECK_STR(outcome(1, coir_completions_next(c)), "OK [0 <OK 1>]");
    coir_value shared = coir_share(&ends.value);
    coir_result_drop(&ends);
    CHECK_STR(outcome(2, coir_zip(COIR_IOS(coir_completions_next(c), coir_completions_next(c)))), "OK [[1 <ERROR 2>] 0]");
    coir_drop(shared);
}

TEST(as_completed, fibers_of_another_run_are_told_across)
{
    FOR_WORKERS(workers, 1, 2) {
        struct gate begun = GATE, go_on = GATE;
        struct other_run other;
        coir_fiber *fiber = NULL;
        coir_io *theirs = coir_sequence(COIR_IOS(forking(coir_then(passing(&go_on), giving(6)), &fiber), opening(&begun), coir_unit()));
        other_run_begin(&other, COIR_OPTIONS(.workers = workers), theirs);
        while (!gate_is_open(&begun))
            sched_yield();
        coir_value handle = coir_fiber_value(coir_fiber_ref(fiber));
        coir_io *io = coir_then(coir_fork(coir_then(coir_sleep(coir_ms(1)), opening(&go_on))),
                                coir_flat_map(coir_as_completed(&handle), next_only, NULL));
        CHECK_STR(outcome(workers, io), "OK [0 <OK 6>]");
        coir_drop(handle);
        coir_fiber_drop(fiber);
        coir_result result = other_run_end(&other);
        coir_result_drop(&result);
    }
}
