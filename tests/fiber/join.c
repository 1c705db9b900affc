/*
 * join.c - tests of waiting for the end of fibers: join, wait, wait_any
 */
#include "fibers.h"

/* -------------------------------------------------------------------------------------------------------------- join */

TEST(join, result_of_the_child_becomes_the_joiners)
{
    FOR_SCHEDULES(options) {
        CHECK_STR(outcome_under(options, joined(coir_pure(coir_int(5)))), "OK 5");
        CHECK_STR(outcome_under(options, joined(coir_fail(coir_int(5)))), "ERROR 5");
        CHECK_STR(outcome_under(options, joined(ending(COIR_PANIC, 5))), "PANIC 5");
        CHECK_STR(outcome_under(options, joined(coir_pure(thing(5)))), "OK thing 5");
        CHECK_STR(outcome_under(options, joined(coir_finally(coir_fail(coir_int(1)), coir_panicf("2")))),
                  "PANIC MISUSE also(ERROR 1)");
    }
    CHECK_INT(things_alive, 0);
    CHECK(strchr(notes(), '!') == NULL);
}

TEST(join, result_is_the_same_whether_the_child_has_ended_or_still_runs)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fiber = NULL;
        coir_semaphore *go = coir_semaphore_new_bounded(0, 1);
        /* Ended: it was joined before. Running: it waits for what only the joiner's parent gives. */
        CHECK_STR(outcome_under(options, coir_then(forking(coir_pure(coir_int(1)), &fiber), coir_then(joining(&fiber), joining(&fiber)))),
                  "OK 1");
        coir_fiber_drop(fiber);
        coir_io *child = coir_then(coir_acquire(go, 1), coir_pure(coir_int(2)));
        coir_io *two = coir_then(forking(child, &fiber), waited(COIR_IOS(joining(&fiber), coir_then(coir_yield(), coir_release(go, 1)))));
        CHECK_STR(outcome_under(options, two), "OK [<OK 2> <OK 0>]");
        coir_fiber_drop(fiber);
        coir_semaphore_drop(go);
    }
}

TEST(join, canceled_child_is_an_error_of_the_joiner)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_result result = run(workers, joined(coir_named(coir_then(coir_yield(), ending(COIR_CANCELED, 0)), "child")));
        CHECK_CODE(result, COIR_ERROR, COIR_CHILD_CANCELED);
        CHECK_STR(coir_error_domain(&result.value), "coir");
        CHECK_CONTAINS(coir_error_message(&result.value), "'child'");
        coir_result_drop(&result);
    }
}

static void count_call(void *calls, uint64_t id, const coir_result *failure) { (void)id; (void)failure; atomic_fetch_add((atomic_int *)calls, 1); }

TEST(join, what_a_canceled_child_failed_with_while_it_unwound_is_unseen_and_told)
{
    FOR_SCHEDULES(options) {
        atomic_int told = 0;
        coir_io *fails = coir_finally(ending(COIR_CANCELED, 0), coir_fail(coir_int(3)));
        coir_io *panics = coir_finally(ending(COIR_CANCELED, 0), coir_panicf("finalizer"));
        coir_options listening = *options;
        listening.on_unseen_failure = count_call;
        listening.env = &told;
        CHECK_STR(outcome_under(&listening, joined(fails)), "ERROR CHILD_CANCELED");
        CHECK_INT(atomic_load(&told), 1);
        CHECK_STR(outcome_under(&listening, joined(panics)), "ERROR CHILD_CANCELED");
        CHECK_INT(atomic_load(&told), 2);
        CHECK_STR(outcome_under(&listening, joined(ending(COIR_CANCELED, 0))), "ERROR CHILD_CANCELED");
        CHECK_INT(atomic_load(&told), 2);
    }
}

TEST(join, joining_oneself_is_a_panic_at_once)
{
    FOR_SCHEDULES(options) {
        struct gate gate = GATE;                        /* something may still come, so no verdict is due */
        coir_io *io = coir_flat_map(coir_self(), join_it, NULL);
        coir_io *other = passing(&gate);
        coir_result result = coir_run(coir_then(coir_fork(other), coir_finally(io, opening(&gate))), options);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_join");
        coir_result_drop(&result);
    }
}

TEST(join, same_fiber_may_be_joined_any_number_of_times_by_any_number_of_fibers)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fiber = NULL;
        coir_semaphore *go = coir_semaphore_new_bounded(0, 1);
        coir_io *child = coir_then(coir_acquire(go, 1), coir_pure(thing(7)));
        coir_io *joiners = coir_flat_map(copies_of(50, coir_then(joining(&fiber), joining(&fiber))), wait_it, NULL);
        coir_io *io = coir_then(forking(child, &fiber), coir_then(coir_fork(coir_then(coir_repeat(coir_yield(), 20), coir_release(go, 1))),
                                                                  joiners));
        coir_result result = coir_run(io, options);
        CHECK_TAG(result, COIR_OK);
        CHECK_UINT(coir_list_size(&result.value), 50);
        for (size_t i = 0; i < 50; i++)
            CHECK_INT(thing_number(&coir_result_in(coir_list_at(&result.value, i))->value), 7);
        coir_result_drop(&result);
        CHECK_STR(notes(), "");
        coir_fiber_drop(fiber);
        CHECK_STR(notes(), "-7");
        coir_semaphore_drop(go);
    }
}

TEST(join, result_that_cannot_be_shared_goes_to_the_first_and_the_second_is_a_panic_that_names_the_type)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fiber = NULL;
        coir_io *io = coir_then(forking(coir_pure(sole_thing(3)), &fiber), joining(&fiber));
        CHECK_STR(outcome_under(options, io), "OK thing 3");
        CHECK_STR(notes(), "-3");
        coir_result second = coir_run(coir_join(fiber), options);
        CHECK_TAG(second, COIR_PANIC);
        CHECK_CONTAINS(coir_error_message(&second.value), "sole");
        coir_result_drop(&second);
        coir_fiber_drop(fiber);
        CHECK_STR(notes(), "");
    }
}

TEST(join, of_many_joiners_one_gets_what_cannot_be_shared)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(50); round++) {
            coir_fiber *fiber = NULL;
            coir_io *joiners = coir_flat_map(copies_of(16, joining(&fiber)), wait_it, NULL);
            coir_result result = run(workers, coir_then(forking(coir_then(coir_yield(), coir_pure(sole_thing(3))), &fiber), joiners));
            CHECK_TAG(result, COIR_OK);
            CHECK_INT(how_many_are(&result.value, COIR_OK), 1);
            CHECK_INT(how_many_are(&result.value, COIR_PANIC), 15);
            coir_result_drop(&result);
            coir_fiber_drop(fiber);
            CHECK_STR(notes(), "-3");
        }
}

/* -------------------------------------------------------------------------------------------------------- other runs */

TEST(join, fiber_of_a_run_that_has_ended_is_joined_and_waited_for_at_once)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fiber = NULL;
        CHECK_STR(outcome_under(options, forking(coir_then(coir_yield(), coir_fail(coir_string("text", 4))), &fiber)), "OK 0");
        coir_value handle = coir_fiber_value(coir_fiber_ref(fiber));
        CHECK_STR(outcome_under(options, coir_join(fiber)), "ERROR text");
        CHECK_STR(outcome_under(options, coir_wait(&handle)), "OK [<ERROR text>]");
        CHECK_STR(outcome_under(options, coir_wait_any(&handle)), "OK 0");
        coir_drop(handle);
        coir_fiber_drop(fiber);
    }
}

TEST(join, io_keeps_the_handle_that_it_mentions)
{
    coir_fiber *fiber = NULL;
    CHECK_STR(outcome(1, forking(coir_pure(thing(4)), &fiber)), "OK 0");
    coir_io *io = coir_join(fiber);
    coir_fiber_drop(fiber);
    CHECK_STR(notes(), "");
    for (int i = 0; i < 3; i++)
        CHECK_STR(outcome(2, coir_io_ref(io)), "OK thing 4");
    coir_io_drop(io);
    CHECK_STR(notes(), "-4");
}

/* The fiber of one run, that cannot end before the other run's joiners wait for it. */
struct elsewhere { coir_fiber *fiber; struct gate go, there; };

static coir_io *across(int how, struct elsewhere *elsewhere)
{
    coir_value one = coir_fiber_value(coir_fiber_ref(elsewhere->fiber));
    coir_io *io = how == 0 ? coir_join(elsewhere->fiber) : how == 1 ? coir_wait(&one) : coir_wait_any(&one);
    coir_drop(one);
    return io;
}

TEST(join, fiber_of_another_run_that_still_goes_on_is_waited_for)
{
    static const char *const expected[] = { "<OK thing 9>", "<OK [<OK thing 9>]>", "<OK 0>" };
    FOR_SCHEDULES(options)
        for (int how = 0; how < 3; how++) {
            struct elsewhere elsewhere = { .go = GATE, .there = GATE };
            struct other_run other;
            other_run_begin(&other, options, coir_then(forking(coir_then(passing(&elsewhere.go), coir_pure(thing(9))), &elsewhere.fiber),
                                                       passing(&elsewhere.there)));
            CHECK_SOON(gate_waiting(&elsewhere.there) == 1);
            /* Three wait, of whom nobody else knows; the fourth lets go of what they wait for. */
            coir_io *io = waited(COIR_IOS(across(how, &elsewhere), across(how, &elsewhere), across(how, &elsewhere),
                                          coir_then(coir_repeat(coir_yield(), 5), opening(&elsewhere.go))));
            coir_result result = coir_run(io, options);
            char text[200];
            snprintf(text, sizeof text, "OK [%s %s %s <OK 0>]", expected[how], expected[how], expected[how]);
            CHECK_STR(describe(&result), text);
            coir_result_drop(&result);
            gate_open(&elsewhere.there);
            result = other_run_end(&other);
            CHECK_TAG(result, COIR_OK);
            coir_result_drop(&result);
            coir_fiber_drop(elsewhere.fiber);
        }
    CHECK_INT(things_alive, 0);
}

TEST(join, run_that_only_waits_for_a_fiber_of_another_run_is_not_judged_silent)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        struct elsewhere elsewhere = { .go = GATE, .there = GATE };
        struct other_run first, second;
        coir_options options = { .workers = workers };
        other_run_begin(&first, &options, coir_then(forking(coir_then(passing(&elsewhere.go), coir_pure(coir_int(9))), &elsewhere.fiber),
                                                    passing(&elsewhere.there)));
        CHECK_SOON(gate_waiting(&elsewhere.there) == 1);
        other_run_begin(&second, &options, coir_join(elsewhere.fiber));
        coir_result napped = run(1, coir_sleep(coir_ms(5)));            /* time to judge wrongly; the test does not need it */
        CHECK_TAG(napped, COIR_OK);
        gate_open(&elsewhere.go);
        coir_result result = other_run_end(&second);
        CHECK_OK_INT(result, 9);
        gate_open(&elsewhere.there);
        result = other_run_end(&first);
        CHECK_TAG(result, COIR_OK);
        coir_fiber_drop(elsewhere.fiber);
    }
}

/* -------------------------------------------------------------------------------------------------------------- wait */

TEST(join, wait_gives_all_results_in_the_order_of_the_argument_whatever_they_are)
{
    FOR_SCHEDULES(options) {
        coir_io *ios = waited(COIR_IOS(coir_pure(coir_int(0)), coir_then(coir_repeat(coir_yield(), 9), coir_fail(coir_int(1))),
                                       ending(COIR_PANIC, 2), coir_then(coir_yield(), ending(COIR_CANCELED, 3)), coir_pure(thing(4))));
        CHECK_STR(outcome_under(options, ios), "OK [<OK 0> <ERROR 1> <PANIC 2> <CANCELED 3> <OK thing 4>]");
    }
    CHECK_INT(things_alive, 0);
}

TEST(join, wait_of_none_gives_the_empty_list)
{
    coir_value none = coir_list(0, NULL);
    FOR_SCHEDULES(options) {
        CHECK_STR(outcome_under(options, coir_wait(&none)), "OK []");
        CHECK_STR(outcome_under(options, waited(0, NULL)), "OK []");
    }
    coir_drop(none);
}

TEST(join, wait_of_a_single_fiber_gives_a_list_of_one)
{
    FOR_SCHEDULES(options)
    CHECK_STR(outcome_under(options, coir_flat_map(coir_fork(coir_then(coir_yield(), coir_fail(coir_int(8)))), wait_it, NULL)),
              "OK [<ERROR 8>]");
}

static coir_io *wait_twice_over(void *env, coir_value *fibers)
{
    (void)env;
    coir_value again = coir_list(0, NULL);
    for (size_t i = 0; i < 6; i++)
        CHECK(coir_list_push(&again, coir_share(coir_list_at(fibers, i % 2))));
    coir_io *wait = coir_wait(&again);
    coir_drop(again);
    return wait;
}

TEST(join, wait_takes_the_same_fiber_many_times)
{
    FOR_SCHEDULES(options)
    CHECK_STR(outcome_under(options,
                            coir_flat_map(coir_parallel(COIR_IOS(coir_then(coir_yield(), coir_pure(coir_int(1))), coir_pure(coir_int(2)))),
                                          wait_twice_over, NULL)),
              "OK [<OK 1> <OK 2> <OK 1> <OK 2> <OK 1> <OK 2>]");
}

/* Which of eight fibers have ended before the wait: each bit of the pattern, one that is let go beforehand. */
struct mixed { unsigned pattern; coir_semaphore *early, *late; coir_value fibers; };
static coir_io *mixed_step(coir_routine *self)
{
    COIR_BEGIN(self, struct mixed, my);
    coir_io *ios[8];
    for (unsigned i = 0; i < 8; i++)
        ios[i] = coir_then(coir_acquire(my->pattern >> i & 1 ? my->early : my->late, 1), coir_pure(coir_int((int)i)));
    COIR_AWAIT(coir_parallel(8, ios));
    my->fibers = coir_take(&self->result.value);
    COIR_AWAIT(coir_release(my->early, 8));
    COIR_AWAIT(coir_repeat(coir_yield(), 4));
    COIR_AWAIT(coir_fork(coir_then(coir_yield(), coir_release(my->late, 8))));
    COIR_AWAIT(coir_wait(&my->fibers));
    COIR_RETURN(coir_take(&self->result.value));
    COIR_FINALLY;
    coir_drop(my->fibers);
    COIR_END;
}

TEST(join, wait_takes_fibers_that_have_ended_and_fibers_that_have_not_in_any_mixture)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (unsigned pattern = 0; pattern < 256; pattern += workers == 1 ? 1 : 7) {
            coir_semaphore *early = coir_semaphore_new_bounded(0, 8), *late = coir_semaphore_new_bounded(0, 8);
            CASE("pattern %x", pattern);
            coir_io *io = coir_do(mixed_step, COIR_ENV(struct mixed, .pattern = pattern, .early = early, .late = late));
            CHECK_STR(outcome(workers, io), "OK [<OK 0> <OK 1> <OK 2> <OK 3> <OK 4> <OK 5> <OK 6> <OK 7>]");
            coir_semaphore_drop(early);
            coir_semaphore_drop(late);
        }
}

TEST(join, wait_may_be_the_first_instruction_of_a_fiber)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fiber = NULL;
        CHECK_STR(outcome_under(options, forking(coir_then(coir_yield(), coir_pure(coir_int(3))), &fiber)), "OK 0");
        coir_value handle = coir_fiber_value(fiber);
        /* Of an ended fiber, in the main fiber and in a forked one; then of one that has not ended. */
        CHECK_STR(outcome_under(options, coir_wait(&handle)), "OK [<OK 3>]");
        CHECK_STR(outcome_under(options, joined(coir_wait(&handle))), "OK [<OK 3>]");
        CHECK_STR(outcome_under(options, joined(coir_wait_any(&handle))), "OK 0");
        CHECK_STR(outcome_under(options, joined(coir_join(coir_fiber_of(&handle)))), "OK 3");
        coir_drop(handle);
    }
}

static coir_io *fork_its_wait(void *env, coir_value *fiber) { (void)env; return joined(coir_wait(fiber)); }

TEST(join, wait_for_a_sibling_may_be_the_first_instruction_of_a_fiber)
{
    FOR_SCHEDULES(options)
    CHECK_STR(outcome_under(
                  options, coir_flat_map(coir_fork(coir_then(coir_repeat(coir_yield(), 10), coir_pure(coir_int(3)))), fork_its_wait, NULL)),
              "OK [<OK 3>]");
}

TEST(join, what_is_no_fiber_is_a_panic_that_names_the_function)
{
    coir_fiber *fiber = NULL;
    CHECK_STR(outcome(1, forking(coir_unit(), &fiber)), "OK 0");
    coir_value bad[] = { coir_int(3), coir_string("fiber", 5), coir_none(), coir_list(1, (coir_value[]){ coir_int(1) }),
                         coir_list(2, (coir_value[]){ coir_fiber_value(coir_fiber_ref(fiber)), coir_none() }),
                         coir_list(1, (coir_value[]){ coir_list(1, (coir_value[]){ coir_fiber_value(coir_fiber_ref(fiber)) }) }) };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CASE("argument %zu", i);
        coir_result result = run(1, coir_wait(&bad[i]));
        CHECK_CODE(result, COIR_PANIC, EINVAL);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_wait:");
        coir_result_drop(&result);
        result = run(1, coir_wait_any(&bad[i]));
        CHECK_CODE(result, COIR_PANIC, EINVAL);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_wait_any:");
        coir_result_drop(&result);
        coir_drop(bad[i]);
    }
    coir_fiber_drop(fiber);
}

TEST(join, NULL_for_a_handle_is_NULL_for_the_io)
{
    CHECK_PTR(coir_join(NULL), NULL);
    CHECK_PTR(coir_wait(NULL), NULL);
    CHECK_PTR(coir_wait_any(NULL), NULL);
}

struct selfish { int how; coir_value list; };
static coir_io *selfish_step(coir_routine *self)
{
    COIR_BEGIN(self, struct selfish, my);
    my->list = coir_list(0, NULL);
    COIR_AWAIT(coir_fork(coir_pure(coir_int(1))));
    if (my->how != 2)
        CHECK(coir_list_push(&my->list, coir_take(&self->result.value)));
    COIR_AWAIT(coir_self());
    CHECK(coir_list_push(&my->list, coir_take(&self->result.value)));
    COIR_AWAIT(my->how == 0 ? coir_wait(&my->list) : coir_wait_any(&my->list));
    COIR_RETURN(coir_take(&self->result.value));
    COIR_FINALLY;
    coir_drop(my->list);
    COIR_END;
}

TEST(join, waiting_for_oneself_among_others_is_a_panic)
{
    FOR_SCHEDULES(options) {
        coir_result result = coir_run(coir_do(selfish_step, COIR_ENV(struct selfish, .how = 0)), options);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_wait");
        coir_result_drop(&result);
        CHECK_STR(outcome_under(options, coir_do(selfish_step, COIR_ENV(struct selfish, .how = 1))), "OK 0");
        result = coir_run(coir_do(selfish_step, COIR_ENV(struct selfish, .how = 2)), options);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_wait_any");
        coir_result_drop(&result);
    }
}

static coir_io *wait_forty_times(void *go, coir_value *fibers)
{
    coir_io *waiters = copies_of(40, coir_wait(fibers));
    return coir_then(coir_fork(coir_then(coir_repeat(coir_yield(), 10), coir_release(go, 40))), coir_flat_map(waiters, wait_it, NULL));
}

TEST(join, forty_waiters_for_the_same_forty_fibers_all_get_all_results)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *go = coir_semaphore_new_bounded(0, 40);
        coir_io *children = copies_of(40, coir_then(coir_acquire(go, 1), coir_pure(coir_int(1))));
        coir_result result = coir_run(coir_flat_map(children, wait_forty_times, go), options);
        CHECK_TAG(result, COIR_OK);
        CHECK_UINT(coir_list_size(&result.value), 40);
        for (size_t i = 0; i < 40; i++) {
            const coir_result *one = coir_result_in(coir_list_at(&result.value, i));
            CHECK_TAG(*one, COIR_OK);
            CHECK_UINT(coir_list_size(&one->value), 40);
            CHECK_INT(how_many_are(&one->value, COIR_OK), 40);
        }
        coir_result_drop(&result);
        coir_semaphore_drop(go);
    }
}

TEST(join, wait_for_a_hundred_thousand_fibers_costs_no_stack)
{
    enum { FIBERS = 100000 };
    FOR_WORKERS(workers, 1, 2) {
        atomic_int count = 0;
        coir_result result =
            run(workers, coir_flat_map(copies_of((size_t)scaled(FIBERS), coir_then(coir_yield(), counting(&count))), wait_it, NULL));
        CHECK_TAG(result, COIR_OK);
        CHECK_INT(how_many_are(&result.value, COIR_OK), scaled(FIBERS));
        CHECK_INT(count, scaled(FIBERS));
        coir_result_drop(&result);
    }
}

/* ---------------------------------------------------------------------------------------------------------- wait_any */

struct first { coir_semaphore *go[3]; size_t which; coir_value fibers; };
static coir_io *first_step(coir_routine *self)
{
    COIR_BEGIN(self, struct first, my);
    coir_io *ios[3];
    for (size_t i = 0; i < 3; i++)
        ios[i] = coir_then(coir_acquire(my->go[i], 1), coir_pure(coir_int((int)i)));
    COIR_AWAIT(coir_parallel(3, ios));
    my->fibers = coir_take(&self->result.value);
    COIR_AWAIT(coir_fork(coir_then(coir_repeat(coir_yield(), 3), coir_release(my->go[my->which], 1))));
    COIR_AWAIT(coir_wait_any(&my->fibers));
    if (self->result.value.i64 != (int64_t)my->which)
        COIR_RAISE(coir_int(self->result.value.i64));
    for (size_t i = 0; i < 3; i++)                      /* the others go on */
        if (i != my->which && coir_fiber_status(coir_fiber_of(coir_list_at(&my->fibers, i))) == COIR_ENDED)
            COIR_RAISE(coir_string("ended", 5));
    COIR_AWAIT(coir_wait_any(&my->fibers));             /* again: it has ended already */
    if (self->result.value.i64 != (int64_t)my->which)
        COIR_RAISE(coir_int(self->result.value.i64));
    COIR_AWAIT(coir_release(my->go[(my->which + 1) % 3], 1));
    COIR_AWAIT(coir_release(my->go[(my->which + 2) % 3], 1));
    COIR_AWAIT(coir_wait(&my->fibers));
    COIR_RETURN(coir_take(&self->result.value));
    COIR_FINALLY;
    coir_drop(my->fibers);
    COIR_END;
}

TEST(join, wait_any_gives_the_index_of_the_first_to_end_and_leaves_the_others_alone)
{
    FOR_SCHEDULES(options)
        for (size_t which = 0; which < 3; which++) {
            struct first first = { .which = which };
            for (size_t i = 0; i < 3; i++)
                first.go[i] = coir_semaphore_new_bounded(0, 1);
            CHECK_STR(outcome_under(options, coir_do(first_step, &first, sizeof first)), "OK [<OK 0> <OK 1> <OK 2>]");
            for (size_t i = 0; i < 3; i++)
                coir_semaphore_drop(first.go[i]);
        }
}

TEST(join, wait_any_of_none_is_a_panic)
{
    coir_value none = coir_list(0, NULL);
    coir_result result = run(1, coir_wait_any(&none));
    CHECK_CODE(result, COIR_PANIC, EINVAL);
    CHECK_CONTAINS(coir_error_message(&result.value), "coir_wait_any");
    coir_result_drop(&result);
    coir_drop(none);
}

static coir_io *any_of_it_thrice(void *env, coir_value *fiber)
{
    (void)env;
    coir_value list = coir_list(3, (coir_value[]){ coir_share(fiber), coir_share(fiber), coir_share(fiber) });
    coir_io *any = coir_wait_any(&list);
    coir_drop(list);
    return any;
}

/* Where it ends while wait_any looks at one after the other it may be seen to have ended at any place. */
TEST(join, wait_any_takes_the_same_fiber_many_times)
{
    FOR_SCHEDULES(options) {
        coir_result result = coir_run(coir_flat_map(coir_fork(coir_repeat(coir_yield(), 5)), any_of_it_thrice, NULL), options);
        CHECK_TAG(result, COIR_OK);
        CHECK(result.value.i64 >= 0 && result.value.i64 < 3);
    }
}

static coir_io *race_for_it(void *env, coir_value *fibers)
{
    (void)env;
    return coir_flat_map(copies_of(20, coir_wait_any(fibers)), wait_it, NULL);
}

TEST(join, many_waits_for_the_first_of_the_same_fibers_all_end)
{
    FOR_SCHEDULES(options)
        for (int round = 0; round < 5; round++) {
            coir_io *ios[8];
            for (size_t i = 0; i < 8; i++)
                ios[i] = coir_repeat(coir_yield(), i * 3 + (uint64_t)round);
            coir_result result = coir_run(coir_flat_map(coir_parallel(8, ios), race_for_it, NULL), options);
            CHECK_TAG(result, COIR_OK);
            CHECK_INT(how_many_are(&result.value, COIR_OK), 20);
            for (size_t i = 0; i < 20; i++)
                CHECK(coir_result_in(coir_list_at(&result.value, i))->value.i64 < 8);
            coir_result_drop(&result);
        }
}

/* wait_any looks at no result: the failure of the first is unseen, and told. */
static void count_unseen(void *env, uint64_t id, const coir_result *failure)
{
    (void)id;
    (void)failure;
    atomic_fetch_add((atomic_int *)env, 1);
}

TEST(join, wait_any_looks_at_no_result)
{
    FOR_WORKERS(workers, 1, 2) {
        atomic_int told = 0;
        coir_result result = coir_run(coir_flat_map(coir_fork(coir_then(coir_yield(), coir_fail(coir_int(1)))), wait_any_it, NULL),
                                      COIR_OPTIONS(.workers = workers, .on_unseen_failure = count_unseen, .env = &told));
        CHECK_OK_INT(result, 0);
        CHECK_INT(told, 1);
    }
}
