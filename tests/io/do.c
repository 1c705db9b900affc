/*
 * do.c - tests of the sequential notation: its ways out, its frame, what it is lent
 */
#include "program.h"

#include <stdalign.h>

/* ------------------------------------------------------------------------------------------------------ going through */

struct sum { int64_t n, i, sum; };

static coir_io *sum_step(coir_routine *self)
{
    COIR_BEGIN(self, struct sum, my);
    for (my->i = 1; my->i <= my->n; my->i++) {
        if (my->i % 3 == 0)
            continue;
        COIR_AWAIT(coir_pure(coir_int(my->i)));
        my->sum += self->result.value.i64;
        if (my->i == 1000)
            break;
        COIR_TRY(my->i % 2 == 0 ? coir_yield() : coir_fail(coir_int(my->i)));
        if (self->result.tag == COIR_ERROR)
            my->sum += 1000 * self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

TEST(io_do, routine_runs_from_top_to_bottom)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_result result = run(workers, coir_do(sum_step, COIR_ENV(struct sum, .n = 8)));
        CHECK_OK_INT(result, 1 + 2 + 4 + 5 + 7 + 8 + 1000 * (1 + 5 + 7));
    }
    for (uint32_t budget = 1; budget < 10; budget++) {
        coir_result result = coir_run(coir_do(sum_step, COIR_ENV(struct sum, .n = 4)), COIR_OPTIONS(.workers = 1, .budget = budget));
        CHECK_OK_INT(result, 1007);
    }
}

TEST(io_do, without_a_frame_given_it_is_zeroed)
{
    coir_result result = run(1, coir_do(sum_step, NULL, sizeof(struct sum)));
    CHECK_OK_INT(result, 0);
}

/* -------------------------------------------------------------------------------------------------------- ways out */

enum way {
    END, RETURN, RETURN_PANIC_VALUE, RAISE, RAISE_PANIC_VALUE, AWAIT_ERROR, AWAIT_PANIC, AWAIT_CANCELED, AWAIT_NULL, TRY_ERROR, TRY_PANIC,
    TRY_CANCELED, TRY_NULL, BECOME, BECOME_ERROR, BECOME_NULL, OWN_SWITCH, BARE_RETURN, WAYS
};
struct out { enum way way; coir_value held; };

static coir_io *bare(void) { return coir_pure(thing(8)); }

static coir_io *plain_out(coir_routine *self)
{
    COIR_BEGIN(self, struct out, my);
    COIR_AWAIT(coir_pure(thing(1)));
    my->held = coir_take(&self->result.value);
    coir_drop(coir_take(&my->held));                    /* nobody would: it has no COIR_FINALLY */
    if (my->way == RETURN)
        COIR_RETURN(thing(5));
    if (my->way == RETURN_PANIC_VALUE)
        COIR_RETURN(coir_panic_value("no luck"));
    if (my->way == RAISE)
        COIR_RAISE(thing(5));
    if (my->way == RAISE_PANIC_VALUE)
        COIR_RAISE(coir_panic_value("no luck"));
    if (my->way == BECOME)
        COIR_BECOME(coir_pure(thing(6)));
    if (my->way == BECOME_ERROR)
        COIR_BECOME(coir_fail(thing(6)));
    if (my->way == BECOME_NULL)
        COIR_BECOME(NULL);
    if (my->way >= AWAIT_ERROR && my->way <= AWAIT_CANCELED)
        COIR_AWAIT(coir_from_result(coir_result_of((coir_tag)(COIR_ERROR + (int)(my->way - AWAIT_ERROR)), thing(7))));
    if (my->way == AWAIT_NULL)
        COIR_AWAIT(NULL);
    if (my->way >= TRY_ERROR && my->way <= TRY_CANCELED)
        COIR_TRY(coir_from_result(coir_result_of((coir_tag)(COIR_ERROR + (int)(my->way - TRY_ERROR)), thing(7))));
    if (my->way == TRY_NULL)
        COIR_TRY(NULL);
    if (my->way == BARE_RETURN)
        return bare();
    switch ((int)my->way) {
    case OWN_SWITCH:
        COIR_AWAIT(coir_unit());
        note("unreached");
        break;
    default:
        break;
    }
    note("end");
    COIR_END;
}

static coir_io *finally_out(coir_routine *self)
{
    COIR_BEGIN(self, struct out, my);
    COIR_AWAIT(coir_pure(thing(1)));
    my->held = coir_take(&self->result.value);
    if (my->way == RETURN)
        COIR_RETURN(thing(5));
    if (my->way == RETURN_PANIC_VALUE)
        COIR_RETURN(coir_panic_value("no luck"));
    if (my->way == RAISE)
        COIR_RAISE(thing(5));
    if (my->way == RAISE_PANIC_VALUE)
        COIR_RAISE(coir_panic_value("no luck"));
    if (my->way == BECOME)
        COIR_BECOME(coir_then_keep(coir_pure(thing(6)), noting("become")));
    if (my->way == BECOME_ERROR)
        COIR_BECOME(coir_then(noting("become"), coir_fail(thing(6))));
    if (my->way == BECOME_NULL)
        COIR_BECOME(NULL);
    if (my->way >= AWAIT_ERROR && my->way <= AWAIT_CANCELED)
        COIR_AWAIT(coir_from_result(coir_result_of((coir_tag)(COIR_ERROR + (int)(my->way - AWAIT_ERROR)), thing(7))));
    if (my->way == AWAIT_NULL)
        COIR_AWAIT(NULL);
    if (my->way >= TRY_ERROR && my->way <= TRY_CANCELED)
        COIR_TRY(coir_from_result(coir_result_of((coir_tag)(COIR_ERROR + (int)(my->way - TRY_ERROR)), thing(7))));
    if (my->way == TRY_NULL)
        COIR_TRY(NULL);
    if (my->way == BARE_RETURN)
        return bare();
    switch ((int)my->way) {
    case OWN_SWITCH:
        COIR_AWAIT(coir_unit());
        note("unreached");
        break;
    default:
        break;
    }
    note("end");
    COIR_FINALLY;
    note("finally %s", describe(&self->result));
    coir_drop(coir_take(&my->held));
    COIR_AWAIT(coir_yield());
    COIR_TRY(coir_fail(coir_int(9)));
    note("finally again %s", describe(&self->result));
    COIR_END;
}

static const struct { const char *outcome, *finally, *end; } ways[WAYS] = {
    [END]                = { "OK 0",             "finally OK 0",               "end" },
    [RETURN]             = { "OK thing 5",       "finally OK thing 5",         "" },
    [RETURN_PANIC_VALUE] = { "PANIC MISUSE",     "finally PANIC MISUSE",       "" },
    [RAISE]              = { "ERROR thing 5",    "finally ERROR thing 5",      "" },
    [RAISE_PANIC_VALUE]  = { "PANIC MISUSE",     "finally PANIC MISUSE",       "" },
    [AWAIT_ERROR]        = { "ERROR thing 7",    "finally ERROR thing 7",      "" },
    [AWAIT_PANIC]        = { "PANIC thing 7",    "finally PANIC thing 7",      "" },
    [AWAIT_CANCELED]     = { "CANCELED thing 7", "finally CANCELED thing 7",   "" },
    [AWAIT_NULL]         = { "PANIC ENOMEM",     "finally PANIC ENOMEM",       "" },
    [TRY_ERROR]          = { "OK 0",             "finally OK 0",               "end" },
    [TRY_PANIC]          = { "PANIC thing 7",    "finally PANIC thing 7",      "" },
    [TRY_CANCELED]       = { "CANCELED thing 7", "finally CANCELED thing 7",   "" },
    [TRY_NULL]           = { "PANIC ENOMEM",     "finally PANIC ENOMEM",       "" },
    [BECOME]             = { "OK thing 6",       "finally OK 0",               "" },
    [BECOME_ERROR]       = { "ERROR thing 6",    "finally OK 0",               "" },
    [BECOME_NULL]        = { "PANIC ENOMEM",     "finally PANIC ENOMEM",       "" },
    [OWN_SWITCH]         = { "PANIC MISUSE",     "finally PANIC MISUSE",       "" },
    [BARE_RETURN]        = { "PANIC MISUSE",     "finally PANIC MISUSE",       "" }
};

TEST(io_do, every_way_out_ends_as_it_says)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (enum way way = 0; way < WAYS; way++) {
            coir_io *io = coir_io_ref(coir_do(plain_out, COIR_ENV(struct out, .way = way)));
            for (int rest = 1; rest >= 0; rest--) {
                CASE("way %d%s", (int)way, rest > 0 ? ", borrowed" : "");
                CHECK_STR(outcome(workers, io), ways[way].outcome);
                CHECK_INT(things_alive, 0);
                const char *noted = notes();
                CHECK(strchr(noted, '!') == NULL);
                CHECK_INT(strstr(noted, "end") != NULL, ways[way].end[0] != '\0');
            }
        }
}

TEST(io_do, finally_runs_once_on_every_way_out_and_sees_how_the_body_ended)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (enum way way = 0; way < WAYS; way++) {
            coir_io *io = coir_io_ref(coir_do(finally_out, COIR_ENV(struct out, .way = way)));
            for (int rest = 1; rest >= 0; rest--) {
                CASE("way %d%s", (int)way, rest > 0 ? ", borrowed" : "");
                CHECK_STR(outcome(workers, io), ways[way].outcome);
                CHECK_INT(things_alive, 0);
                const char *noted = notes(), *finally = strstr(noted, "finally ");
                CHECK(strchr(noted, '!') == NULL);
                CHECK(strstr(noted, "unreached") == NULL);
                CHECK_CONTAINS(noted, ways[way].finally);
                CHECK_CONTAINS(noted, "-1 finally again ERROR 9");
                CHECK(finally != NULL && strstr(finally + 1, "finally again") != NULL);
                CHECK(strstr(strstr(noted, "finally again") + 1, "finally") == NULL);
                if (strstr(noted, "become") != NULL)
                    CHECK(strstr(noted, "become") > strstr(noted, "finally again"));
            }
        }
}

TEST(io_do, own_switch_around_an_await_is_a_panic_that_says_so)
{
    const char *message = message_of(1, coir_do(plain_out, COIR_ENV(struct out, .way = OWN_SWITCH)));
    CHECK_CONTAINS(message, "switch");
    notes();
}

static coir_io *returns_on_2(coir_routine *self)
{
    COIR_BEGIN(self, struct sum, my);
    my->n = 5;
    COIR_END;
}

TEST(io_do, frame_of_another_size_is_a_panic_that_says_so)
{
    char small[4] = "";
    coir_io *io = coir_finally(coir_do(returns_on_2, small, sizeof small), noting("finalizer"));
    coir_result result = run(1, io);
    CHECK_CODE(result, COIR_PANIC, COIR_MISUSE);
    CHECK_CONTAINS(coir_error_message(&result.value), "size");
    coir_result_drop(&result);
    CHECK_STR(notes(), "finalizer");
    CHECK_STR(outcome(1, coir_do(returns_on_2, NULL, 0)), "PANIC MISUSE");
    CHECK_STR(outcome(1, coir_do(returns_on_2, NULL, sizeof(struct sum) + 1)), "PANIC MISUSE");
    CHECK_STR(outcome(1, coir_do(returns_on_2, NULL, sizeof(struct sum))), "OK 0");
}

/* ----------------------------------------------------------------------------------------- failures of the final part */

enum final { FINAL_AWAIT, FINAL_RAISE, FINAL_RETURN, FINAL_NULL, FINAL_SWITCH, FINAL_BECOME, FINAL_BARE, FINALS };
struct failing { coir_tag body; coir_tag last; enum final final; };

static coir_io *failing_step(coir_routine *self)
{
    COIR_BEGIN(self, struct failing, my);
    COIR_AWAIT(coir_from_result(coir_result_of(my->body, thing(1))));
    COIR_RETURN(coir_take(&self->result.value));
    COIR_FINALLY;
    note("final");
    if (my->final == FINAL_RAISE)
        COIR_RAISE(thing(2));
    if (my->final == FINAL_RETURN)
        COIR_RETURN(thing(2));
    if (my->final == FINAL_NULL)
        COIR_AWAIT(NULL);
    if (my->final == FINAL_BECOME)
        COIR_BECOME(coir_pure(thing(2)));
    if (my->final == FINAL_BARE)
        return coir_pure(thing(2));
    switch ((int)my->final) {
    case FINAL_SWITCH:
        COIR_AWAIT(coir_unit());
        break;
    default:
        break;
    }
    COIR_AWAIT(coir_from_result(coir_result_of(my->last, thing(2))));
    note("reached");
    COIR_END;
}

TEST(io_do, failure_of_the_final_part_is_appended_as_a_finalizers)
{
    static const char *const expected[COIR_CANCELED + 1][COIR_CANCELED + 1] = {
        { "OK thing 1",       "ERROR thing 2",                          "PANIC thing 2",  "CANCELED thing 2" },
        { "ERROR thing 1",    "ERROR thing 1 also(ERROR thing 2)",      "PANIC thing 2 also(ERROR thing 1)",
          "CANCELED thing 2 also(ERROR thing 1)" },
        { "PANIC thing 1",    "PANIC thing 1 also(ERROR thing 2)",      "PANIC thing 1 also(PANIC thing 2)",
          "CANCELED thing 2 also(PANIC thing 1)" },
        { "CANCELED thing 1", "CANCELED thing 1 also(ERROR thing 2)",   "CANCELED thing 1 also(PANIC thing 2)",
          "CANCELED thing 1 also(CANCELED thing 2)" }
    };
    for (coir_tag body = COIR_OK; body <= COIR_CANCELED; body++)
        for (coir_tag last = COIR_OK; last <= COIR_CANCELED; last++) {
            CASE("%d, %d", (int)body, (int)last);
            CHECK_STR(outcome(1, coir_do(failing_step, COIR_ENV(struct failing, .body = body, .last = last))), expected[body][last]);
            CHECK_INT(things_alive, 0);
            CHECK_INT(strstr(notes(), "reached") != NULL, last == COIR_OK);
        }
}

TEST(io_do, the_final_part_may_end_in_every_way)
{
    static const char *const of_ok[FINALS] = {
        "OK thing 1", "ERROR thing 2", "OK thing 1", "PANIC ENOMEM", "PANIC MISUSE", NULL, "PANIC MISUSE"
    };
    static const char *const of_error[FINALS] = {
        "ERROR thing 1", "ERROR thing 1 also(ERROR thing 2)", "ERROR thing 1", "PANIC ENOMEM also(ERROR thing 1)",
        "PANIC MISUSE also(ERROR thing 1)", NULL, "PANIC MISUSE also(ERROR thing 1)"
    };
    for (enum final final = 0; final < FINALS; final++)
        for (coir_tag body = COIR_OK; body <= COIR_ERROR; body++) {
            CASE("%d, %d", (int)final, (int)body);
            const char *expected = body == COIR_OK ? of_ok[final] : of_error[final];
            const char *actual = outcome(1, coir_do(failing_step, COIR_ENV(struct failing, .body = body, .final = final)));
            if (expected != NULL)
                CHECK_STR(actual, expected);
            CHECK_INT(things_alive, 0);
            CHECK(strchr(notes(), '!') == NULL);
        }
}

static coir_io *become_then_fail(coir_routine *self)
{
    COIR_BEGIN(self, struct failing, my);
    COIR_BECOME(coir_then(noting("never"), coir_pure(thing(3))));
    COIR_FINALLY;
    if (my->final == FINAL_BECOME)
        COIR_BECOME(coir_pure(thing(4)));
    COIR_AWAIT(ending(my->last, 2));
    COIR_END;
}

TEST(io_do, what_a_routine_was_to_become_is_dropped_when_its_final_part_fails)
{
    for (coir_tag last = COIR_ERROR; last <= COIR_CANCELED; last++) {
        coir_result result = run(1, coir_do(become_then_fail, COIR_ENV(struct failing, .last = last)));
        CHECK_TAG(result, last);
        coir_result_drop(&result);
        CHECK_STR(notes(), "-3");
    }
    (void)outcome(1, coir_do(become_then_fail, COIR_ENV(struct failing, .final = FINAL_BECOME)));
    CHECK_INT(things_alive, 0);
    CHECK(strchr(notes(), '!') == NULL);
}

/* -------------------------------------------------------------------------------------------------- what was lent */

struct lent { coir_value kept; int round; };

static coir_io *lent_step(coir_routine *self)
{
    COIR_BEGIN(self, struct lent, my);
    COIR_AWAIT(coir_pure(thing(1)));
    note("have %d", thing_number(&self->result.value));
    COIR_AWAIT(noting("inner"));
    note("next");
    COIR_AWAIT(coir_pure(thing(2)));
    my->kept = coir_take(&self->result.value);
    COIR_AWAIT(noting("kept"));
    coir_drop(coir_take(&my->kept));
    COIR_TRY(coir_finally(coir_fail(thing(3)), coir_fail(thing(4))));
    note("%s", describe(&self->result));
    COIR_AWAIT(coir_unit());
    COIR_AWAIT(coir_pure(thing(5)));
    COIR_END;
}

TEST(io_do, result_is_lent_until_the_next_one_comes)
{
    for (int shared = 0; shared < 2; shared++) {
        coir_io *io = coir_do(lent_step, COIR_ENV(struct lent, .round = 0));
        CHECK_STR(outcome(1, coir_then(shared ? coir_io_ref(io) : io, noting("after"))), "OK 0");
        CHECK_STR(notes(), "have 1 inner -1 next kept -2 ERROR thing 3 also(ERROR thing 4) -3 -4 -5 after");
        if (shared)
            coir_io_drop(io);
    }
}

TEST(io_do, dropped_unrun_it_leaves_nothing)
{
    coir_io_drop(coir_do(lent_step, COIR_ENV(struct lent, .round = 0)));
    coir_io *io = coir_do(lent_step, COIR_ENV(struct lent, .round = 0));
    coir_io_drop(coir_io_ref(io));
    coir_io_drop(io);
}

/* -------------------------------------------------------------------------------------------------------- the frame */

struct aligned_frame { char c; alignas(16) char aligned[3]; long double x; void *first; };

static coir_io *aligned_step(coir_routine *self)
{
    COIR_BEGIN(self, struct aligned_frame, my);
    my->first = my;
    my->x = 1.5L;
    COIR_AWAIT(coir_yield());
    my->x *= 2;
    COIR_AWAIT(coir_yield());
    if (my->first != (void *)my)
        COIR_RAISE(coir_int(1));
    if ((uintptr_t)my % alignof(max_align_t) != 0 || (uintptr_t)my->aligned % 16 != 0 || (uintptr_t)&my->x % alignof(long double) != 0)
        COIR_RAISE(coir_int(2));
    COIR_RETURN(coir_int((int64_t)(my->x * 10) + my->c));
    COIR_END;
}

TEST(io_do, frame_is_aligned_and_does_not_move)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *io = coir_io_ref(coir_do(aligned_step, COIR_ENV(struct aligned_frame, .c = 7)));
        CHECK_STR(outcome(workers, io), "OK 37");
        CHECK_STR(outcome(workers, io), "OK 37");
    }
}

struct large { int64_t numbers[(64 << 10) / sizeof(int64_t)]; };

static coir_io *large_step(coir_routine *self)
{
    enum { COUNT = sizeof(struct large) / sizeof(int64_t) };
    COIR_BEGIN(self, struct large, my);
    COIR_AWAIT(coir_yield());
    COIR_RETURN(coir_int(my->numbers[0] + my->numbers[COUNT - 1]));
    COIR_END;
}

TEST(io_do, frame_may_have_64_KiB)
{
    static struct large frame;
    frame.numbers[0] = 40;
    frame.numbers[sizeof frame / sizeof(int64_t) - 1] = 2;
    coir_io *io = coir_io_ref(coir_do(large_step, &frame, sizeof frame));
    frame.numbers[0] = 0;
    CHECK_STR(outcome(1, io), "OK 42");
    CHECK_STR(outcome(2, io), "OK 42");
}

static coir_io *wait_all(void *env, coir_value *fibers) { (void)env; return coir_wait(fibers); }

TEST(io_do, each_of_many_runs_at_once_has_a_frame_of_its_own)
{
    enum { RUNS = 100 };
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(50); round++) {
            coir_io *io = coir_do(sum_step, COIR_ENV(struct sum, .n = 8)), *ios[RUNS];
            for (int i = 0; i < RUNS; i++)
                ios[i] = i == 0 ? io : coir_io_ref(io);
            coir_result result = run(workers, coir_flat_map(coir_parallel(RUNS, ios), wait_all, NULL));
            CHECK_TAG(result, COIR_OK);
            for (size_t i = 0; i < RUNS; i++)
                CHECK_OK_INT(*coir_result_in(coir_list_at(&result.value, i)), 13027);
            coir_result_drop(&result);
        }
}

/* ------------------------------------------------------------------------------------------------- one in another */

struct fib { int64_t n, first; };

static coir_io *fib_step(coir_routine *self)
{
    COIR_BEGIN(self, struct fib, my);
    if (my->n < 2)
        COIR_RETURN(coir_int(my->n));
    COIR_AWAIT(coir_do(fib_step, COIR_ENV(struct fib, .n = my->n - 1)));
    my->first = self->result.value.i64;
    COIR_AWAIT(coir_do(fib_step, COIR_ENV(struct fib, .n = my->n - 2)));
    COIR_RETURN(coir_int(my->first + self->result.value.i64));
    COIR_END;
}

static coir_io *deep_step(coir_routine *self)
{
    COIR_BEGIN(self, struct fib, my);
    if (my->n == 0)
        COIR_RETURN(coir_int(0));
    COIR_AWAIT(coir_do(deep_step, COIR_ENV(struct fib, .n = my->n - 1)));
    COIR_RETURN(coir_int(self->result.value.i64 + 1));
    COIR_FINALLY;
    COIR_AWAIT(coir_unit());
    COIR_END;
}

static void run_deep(void *env)
{
    int64_t n = scaled(1000000);
    (void)env;
    coir_result result = run(1, coir_do(deep_step, COIR_ENV(struct fib, .n = n)));
    CHECK_OK_INT(result, n);
}

TEST(io_do, routines_call_routines)
{
    FOR_WORKERS(workers, 1, 2) {
        coir_result result = run(workers, coir_do(fib_step, COIR_ENV(struct fib, .n = 15)));
        CHECK_OK_INT(result, 610);
    }
}

TEST(io_do, million_routines_deep_run_on_a_small_stack) { on_small_stack(run_deep, NULL); }

static coir_io *attempting(coir_routine *self)
{
    COIR_BEGIN(self, struct fib, my);
    my->n = 3;
    COIR_TRY(coir_attempt(ending(COIR_PANIC, 7)));
    COIR_RETURN(coir_take(&self->result.value));
    COIR_END;
}

TEST(io_do, attempt_shows_panics_to_a_try)
{
    CHECK_STR(outcome(1, coir_do(attempting, COIR_ENV(struct fib, .n = 0))), "OK <PANIC 7>");
}

/* -------------------------------------------------------------------------------------------------------- no memory */

struct padded { char bytes[400]; int64_t n; };

static coir_io *padded_step(coir_routine *self)
{
    COIR_BEGIN(self, struct padded, my);
    COIR_AWAIT(coir_unit());
    COIR_RETURN(coir_int(my->n));
    COIR_END;
}

static coir_result no_more_memory(void *env) { (void)env; atomic_store(&watched.left, 0); return coir_ok(coir_none()); }

TEST_ALONE(io_do, without_memory_for_its_frame_a_run_is_a_panic)
{
    watch_memory();
    coir_io *io = coir_do(padded_step, COIR_ENV(struct padded, .n = 5));
    coir_io *program = coir_finally(coir_then(coir_defer(no_more_memory, NULL), coir_io_ref(io)), noting("finalizer"));
    coir_result result = run(1, program);
    atomic_store(&watched.left, -1);
    CHECK_CODE(result, COIR_PANIC, ENOMEM);
    coir_result_drop(&result);
    CHECK_STR(notes(), "finalizer");
    CHECK_STR(outcome(1, io), "OK 5");
}

TEST_ALONE(io_do, without_memory_to_build_it_is_NULL)
{
    watch_memory();
    atomic_store(&watched.left, 0);
    CHECK_PTR(coir_do(padded_step, COIR_ENV(struct padded, .n = 5)), NULL);
    atomic_store(&watched.left, -1);
}
