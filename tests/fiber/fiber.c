/*
 * fiber.c - tests of the life of fibers: fork and parallel, turns, handles, what can be seen of one, failures that nobody sees
 */
#include "fibers.h"

#include <semaphore.h>

/* ---------------------------------------------------------------------------------------------------- fork, parallel */

TEST(fiber, run_ends_when_all_its_fibers_have_ended_the_forgotten_ones_too)
{
    FOR_SCHEDULES(options) {
        atomic_int count = 0;
        coir_io *child =
            coir_then(coir_repeat(coir_yield(), 20), coir_then(coir_fork(coir_then(coir_yield(), counting(&count))), counting(&count)));
        CHECK_STR(outcome_under(options, coir_as(coir_repeat(coir_fork(child), 10), coir_int(1))), "OK 1");
        CHECK_INT(count, 20);
    }
}

TEST(fiber, fork_gives_a_handle_and_does_not_wait)
{
    FOR_SCHEDULES(options) {
        struct gate gate = GATE;                        /* opened only after the fork has given its handle */
        coir_fiber *fiber = NULL;
        CHECK_STR(outcome_under(options, coir_then(forking(passing(&gate), &fiber), coir_then(opening(&gate), joining(&fiber)))), "OK 0");
        coir_fiber_drop(fiber);
    }
}

TEST(fiber, parallel_gives_one_handle_each_in_order)
{
    FOR_SCHEDULES(options) {
        CHECK_STR(outcome_under(options, waited(COIR_IOS(coir_pure(coir_int(1)), coir_pure(coir_int(2)), coir_pure(coir_int(3))))),
                  "OK [<OK 1> <OK 2> <OK 3>]");
        CHECK_STR(outcome_under(options, coir_parallel(0, NULL)), "OK []");
        CHECK_STR(outcome_under(options, waited(COIR_IOS(coir_pure(coir_int(1))))), "OK [<OK 1>]");
    }
}

TEST_REAL(fiber, with_one_worker_the_first_of_a_list_starts_first, "the order is the pool's")
{
    CHECK_STR(outcome(1, waited(COIR_IOS(noting("a"), noting("b"), noting("c"), noting("d")))), "OK [<OK 0> <OK 0> <OK 0> <OK 0>]");
    CHECK_STR(notes(), "a b c d");
    atomic_int count = 0;
    coir_result result = run(1, coir_flat_map(copies_of(5000, counting(&count)), wait_it, NULL));
    CHECK_TAG(result, COIR_OK);
    CHECK_INT(coir_result_in(coir_list_at(&result.value, 0))->value.i64, 0);
    coir_result_drop(&result);
}

TEST(fiber, hundred_thousand_start_at_once)
{
    const int many = sized(100000, 300);
    FOR_WORKERS(workers, 1, 2, 4) {
        atomic_int count = 0;
        coir_result result = run(workers, copies_of((size_t)many, counting(&count)));
        CHECK_TAG(result, COIR_OK);
        CHECK_UINT(coir_list_size(&result.value), (size_t)many);
        CHECK_INT(count, many);
        coir_result_drop(&result);
    }
}

TEST(fiber, one_io_may_be_forked_many_times_at_once)
{
    FOR_SCHEDULES(options) {
        atomic_int count = 0;
        coir_io *fork = coir_fork(coir_then(counting(&count), coir_then(coir_yield(), counting(&count))));
        CHECK_STR(outcome_under(options, coir_as(coir_repeat(fork, 300), coir_int(1))), "OK 1");
        CHECK_INT(count, 600);
    }
}

TEST(fiber, NULL_where_an_io_should_be_is_NULL_and_drops_the_rest)
{
    CHECK_PTR(coir_fork(NULL), NULL);
    CHECK_PTR(coir_parallel(COIR_IOS(coir_pure(thing(1)), NULL, coir_pure(thing(2)))), NULL);
    CHECK_INT(things_alive, 0);
    notes();
}

/* fib: each call forks its two, in the manner of the textbook. */
struct fib { int n; coir_value list; };
static coir_io *fib_step(coir_routine *self)
{
    COIR_BEGIN(self, struct fib, my);
    if (my->n < 2)
        COIR_RETURN(coir_int(my->n));
    COIR_AWAIT(
        waited(COIR_IOS(coir_do(fib_step, COIR_ENV(struct fib, .n = my->n - 1)), coir_do(fib_step, COIR_ENV(struct fib, .n = my->n - 2)))));
    COIR_RETURN(coir_int(coir_result_in(coir_list_at(&self->result.value, 0))->value.i64 +
                         coir_result_in(coir_list_at(&self->result.value, 1))->value.i64));
    COIR_END;
}

TEST(fiber, tree_of_forks_adds_up)
{
    FOR_SCHEDULES(options) {
        coir_result result = coir_run(coir_do(fib_step, COIR_ENV(struct fib, .n = 12)), options);
        CHECK_OK_INT(result, 144);
    }
}

/* ------------------------------------------------------------------------------------------------------------- turns */

static coir_io *thrice(const char *text, coir_io *between)
{
    return coir_repeat(coir_then(noting(text), between), 3);
}

TEST_REAL(fiber, yield_gives_the_others_their_turn, "the order is the pool's")
{
    CHECK_STR(outcome(1, waited(COIR_IOS(thrice("a", coir_yield()), thrice("b", coir_yield()), thrice("c", coir_yield())))),
              "OK [<OK 0> <OK 0> <OK 0>]");
    CHECK_STR(notes(), "a b c a b c a b c");
}

TEST(fiber, yield_of_the_only_fiber_goes_on)
{
    FOR_SCHEDULES(options)
        CHECK_STR(outcome_under(options, coir_as(coir_repeat(coir_yield(), 1000), coir_int(5))), "OK 5");
}

TEST_REAL(fiber, spent_budget_is_a_yield_at_whatever_instruction, "the order is the pool's")
{
    CHECK_STR(outcome(1, waited(COIR_IOS(thrice("a", coir_unit()), thrice("b", coir_unit())))), "OK [<OK 0> <OK 0>]");
    CHECK_STR(notes(), "a a a b b b");
    coir_result result =
        coir_run(waited(COIR_IOS(thrice("a", coir_unit()), thrice("b", coir_unit()))), COIR_OPTIONS(.workers = 1, .budget = 1));
    CHECK_TAG(result, COIR_OK);
    coir_result_drop(&result);
    CHECK_STR(notes(), "a b a b a b");
}

TEST_REAL(fiber, without_a_budget_nothing_runs_between_two_suspensions, "the order is the pool's")
{
    coir_result result = coir_run(waited(COIR_IOS(coir_repeat(noting("a"), 300), coir_repeat(noting("b"), 300))),
                                  COIR_OPTIONS(.workers = 1, .budget = COIR_BUDGET_NONE));
    CHECK_TAG(result, COIR_OK);
    coir_result_drop(&result);
    const char *text = notes();
    CHECK(strchr(text, 'b') != NULL && strchr(strchr(text, 'b'), 'a') == NULL);
}

/* Each adds to a sum of its own through every kind of frame; interleaving must not show. */
static coir_value add_one(void *env, coir_value *v) { (void)env; return coir_int(v->i64 + 1); }
static coir_io *add_one_io(void *env, coir_value *v) { (void)env; return coir_pure(coir_int(v->i64 + 1)); }
static coir_io *up_to_ten(void *env, coir_value *v)
{
    (void)env;
    return v->i64 < 10 ? coir_again(coir_int(v->i64 + 1)) : coir_pure(coir_int(v->i64));
}

static coir_io *mixture(int64_t start)
{
    coir_io *io = coir_iterate(coir_int(start), up_to_ten, NULL);
    for (int i = 0; i < 10; i++) {
        io = coir_map(io, add_one, NULL);
        io = coir_flat_map(coir_finally(io, coir_yield()), add_one_io, NULL);
        io = coir_catch(coir_flat_map(coir_attempt(io), add_one_io, NULL), add_one_io, NULL);
        io = coir_then(coir_unit(), coir_then_keep(coir_as(io, coir_int(i)), coir_unit()));
    }
    return io;
}

TEST(fiber, results_are_right_wherever_the_budget_ends)
{
    FOR_WORKERS(workers, 1, 2)
        FOR_BUDGETS(options, workers) {
            coir_io *ios[20];
            for (int i = 0; i < 20; i++)
                ios[i] = mixture(i % 10);
            coir_result result = coir_run(waited(20, ios), options);
            CHECK_TAG(result, COIR_OK);
            for (size_t i = 0; i < 20; i++)
                CHECK_INT(coir_result_in(coir_list_at(&result.value, i))->value.i64, 9);
            coir_result_drop(&result);
        }
}

/* ---------------------------------------------------------------------------------------------------------- fairness */

static coir_result set_flag(void *flag) { atomic_store((atomic_bool *)flag, true); return coir_ok(coir_none()); }
static bool not_yet(void *flag, const coir_value *v) { (void)v; return !atomic_load((atomic_bool *)flag); }
static coir_io *setting(atomic_bool *flag) { return coir_defer(set_flag, flag); }
static coir_io *until(atomic_bool *flag, coir_io *io) { return coir_while(io, not_yet, flag); }

/* Each of these would go on for ever if the other never had its turn: the test ends because it has. */
static void ends_beside(const char *what, uint32_t budget, coir_io *endless, coir_io *other)
{
    CASE("%s, budget %u", what, (unsigned)budget);
    coir_result result = coir_run(waited(COIR_IOS(endless, other)), COIR_OPTIONS(.workers = 1, .budget = budget));
    CHECK_TAG(result, COIR_OK);
    CHECK_INT(how_many_are(&result.value, COIR_OK), 2);
    coir_result_drop(&result);
}

static coir_io *fork_on(void *flag)
{
    return atomic_load((atomic_bool *)flag) ? coir_unit() : coir_as(coir_fork(coir_suspend(fork_on, flag)), coir_none());
}

static coir_io *ping(coir_semaphore *mine, coir_semaphore *yours) { return coir_then(coir_acquire(mine, 1), coir_release(yours, 1)); }

TEST_REAL(fiber, with_one_worker_nobody_who_goes_on_for_ever_starves_the_others, "it is the pool that is fair")
{
    static const uint32_t budgets[] = { 1, 2, 7, 64, 0 };
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        atomic_bool flag = false;
        coir_io *patient = coir_then(coir_repeat(coir_yield(), 50), setting(&flag));
        ends_beside("a loop", budgets[i], until(&flag, coir_unit()), coir_io_ref(patient));
        atomic_store(&flag, false);
        ends_beside("a loop of yields", budgets[i], until(&flag, coir_yield()), coir_io_ref(patient));
        atomic_store(&flag, false);
        ends_beside("a loop of forks", budgets[i], until(&flag, coir_fork(coir_unit())), coir_io_ref(patient));
        atomic_store(&flag, false);
        ends_beside("forks that fork", budgets[i], coir_suspend(fork_on, &flag), coir_io_ref(patient));
        atomic_store(&flag, false);
        ends_beside("a fork that has not started", budgets[i], until(&flag, coir_unit()), setting(&flag));
        coir_io_drop(patient);
    }
}

TEST(fiber, two_that_wake_each_other_for_ever_do_not_starve_a_third)
{
    coir_semaphore *a = coir_semaphore_new_bounded(1, 2), *b = coir_semaphore_new_bounded(0, 2);
    atomic_bool flag = false;
    coir_io *third = coir_then(coir_repeat(coir_yield(), 20),
                               coir_then(setting(&flag), coir_sequence(COIR_IOS(coir_release(a, 1), coir_release(b, 1)))));
    coir_result result = run(1, waited(COIR_IOS(until(&flag, ping(a, b)), until(&flag, ping(b, a)), third)));
    CHECK_TAG(result, COIR_OK);
    CHECK(atomic_load(&flag));
    coir_result_drop(&result);
    coir_semaphore_drop(a);
    coir_semaphore_drop(b);
}

struct opener { struct gate *gate; size_t count; };
static void *open_when_waited_for(void *opener_)
{
    struct opener *opener = opener_;
    CHECK_SOON(gate_waiting(opener->gate) == opener->count);
    gate_open(opener->gate);
    return NULL;
}

TEST_REAL(fiber, what_a_foreign_thread_wakes_has_its_turn_beside_an_endless_loop, "a loop waits for a real thread")
{
    for (int round = 0; round < 20; round++) {
        struct gate gate = GATE;
        struct opener opener = { &gate, 1 };
        atomic_bool flag = false;
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, open_when_waited_for, &opener), 0);
        ends_beside("a loop", 0, coir_then(passing(&gate), setting(&flag)), until(&flag, coir_unit()));
        CHECK_INT(pthread_join(thread, NULL), 0);
    }
}

static coir_result spin_until(void *flag) { CHECK_SOON(atomic_load((atomic_bool *)flag)); return coir_ok(coir_none()); }

TEST_REAL(fiber, callback_that_takes_long_stops_nobody_who_could_run_on_another_worker, "of real threads")
{
    for (int round = 0; round < 20; round++) {
        atomic_bool flag = false;
        coir_io *io = coir_then(coir_fork(coir_then(coir_yield(), setting(&flag))), coir_defer(spin_until, &flag));
        CHECK_STR(outcome(2, io), "OK 0");
    }
}

/* ----------------------------------------------------------------------------------------------------------- handles */

TEST(fiber, handle_given_up_does_not_stop_the_fiber)
{
    FOR_SCHEDULES(options) {
        atomic_int count = 0;
        CHECK_STR(outcome_under(options, coir_as(coir_fork(coir_then(coir_repeat(coir_yield(), 5), counting(&count))), coir_none())),
                  "OK 0");
        CHECK_INT(count, 1);
    }
}

TEST(fiber, handle_outlives_its_run_and_keeps_the_result)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fiber = NULL;
        CHECK_STR(outcome_under(options, forking(coir_named(coir_pure(thing(6)), "left"), &fiber)), "OK 0");
        CHECK_INT(coir_fiber_status(fiber), COIR_ENDED);
        CHECK(coir_fiber_id(fiber) > 0);
        char name[10];
        CHECK_UINT(coir_fiber_name(fiber, name, sizeof name), 4);
        CHECK_STR(name, "left");
        CHECK_STR(notes(), "");
        CHECK_PTR(coir_fiber_ref(fiber), fiber);
        coir_fiber_drop(fiber);
        CHECK_STR(notes(), "");
        coir_fiber_drop(fiber);
        CHECK_STR(notes(), "-6");
    }
}

TEST(fiber, handle_is_a_value_that_is_shared_and_dropped_as_any_other)
{
    coir_fiber *fiber = NULL;
    CHECK_STR(outcome(1, forking(coir_pure(thing(6)), &fiber)), "OK 0");
    coir_value value = coir_fiber_value(fiber), more = coir_share(&value);
    CHECK_PTR(coir_fiber_of(&value), fiber);
    CHECK_PTR(coir_fiber_of(&more), fiber);
    CHECK(coir_can_share(&value));
    coir_drop(value);
    CHECK_STR(notes(), "");
    coir_drop(more);
    CHECK_STR(notes(), "-6");
    coir_value other = coir_int(5);
    CHECK_PTR(coir_fiber_of(&other), NULL);
}

TEST(fiber, NULL_is_a_harmless_handle)
{
    char name[4] = "abc";
    coir_fiber_drop(NULL);
    CHECK_PTR(coir_fiber_ref(NULL), NULL);
    CHECK_UINT(coir_fiber_id(NULL), 0);
    CHECK_INT(coir_fiber_status(NULL), COIR_ENDED);
    CHECK_UINT(coir_fiber_name(NULL, name, sizeof name), 0);
    CHECK_STR(name, "");
}

/* Foreign threads use handles while the run goes on: each has references of its own. */
struct onlooker { struct gate *gate; coir_fiber *_Atomic fiber; coir_status last; atomic_bool run_is_over; };
static void *look_on(void *onlooker_)
{
    struct onlooker *onlooker = onlooker_;
    CHECK_SOON(atomic_load(&onlooker->fiber) != NULL);
    coir_fiber *fiber = atomic_load(&onlooker->fiber);
    for (int i = 0; i < 200; i++) {
        coir_fiber *more = coir_fiber_ref(fiber);
        char name[8];
        CHECK_UINT(coir_fiber_name(more, name, sizeof name), 4);
        CHECK(coir_fiber_id(more) > 0);
        onlooker->last = coir_fiber_status(more);
        coir_fiber_drop(more);
    }
    gate_open(onlooker->gate);
    CHECK_SOON(coir_fiber_status(fiber) == COIR_ENDED);
    CHECK_SOON(atomic_load(&onlooker->run_is_over));
    coir_fiber_drop(fiber);
    return NULL;
}

static coir_io *show_to_onlooker(void *onlooker, coir_value *fiber)
{
    atomic_store(&((struct onlooker *)onlooker)->fiber, coir_fiber_ref(coir_fiber_of(fiber)));
    return coir_unit();
}

TEST(fiber, foreign_threads_may_look_at_a_fiber_and_hold_the_last_handle)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < 10; round++) {
            struct gate gate = GATE;
            struct onlooker onlooker = { .gate = &gate };
            pthread_t thread;
            CHECK_INT(pthread_create(&thread, NULL, look_on, &onlooker), 0);
            coir_io *child = coir_named(coir_then(passing(&gate), coir_pure(thing(1))), "seen");
            CHECK_STR(outcome(workers, coir_flat_map(coir_fork(child), show_to_onlooker, &onlooker)), "OK 0");
            CHECK_STR(notes(), "");
            atomic_store(&onlooker.run_is_over, true);
            CHECK_INT(pthread_join(thread, NULL), 0);
            CHECK_STR(notes(), "-1");
        }
}

/* --------------------------------------------------------------------------------------------------- seen from outside */

static coir_io *note_status(void *text, coir_value *fiber)
{
    static const char *const names[] = { "NEW", "RUNNABLE", "RUNNING", "WAITING", "FINALIZING", "ENDED" };
    note("%s:%s", (const char *)text, names[coir_fiber_status(coir_fiber_of(fiber))]);
    return coir_unit();
}

struct looking { const char *text; coir_fiber **place; };
static coir_io *look_at_placed(void *looking_)
{
    struct looking *looking = looking_;
    coir_value value = coir_fiber_value(coir_fiber_ref(*looking->place));
    coir_io *io = note_status((void *)(uintptr_t)looking->text, &value);
    coir_drop(value);
    return io;
}
static coir_io *looking_at(const char *text, coir_fiber **place)
{
    return coir_suspend_copy(look_at_placed, COIR_ENV(struct looking, .text = text, .place = place));
}

TEST_REAL(fiber, status_tells_where_in_its_life_a_fiber_is, "the order is the pool's")
{
    coir_fiber *fiber = NULL;
    coir_semaphore *go = coir_semaphore_new_bounded(0, 1);
    coir_io *body = coir_then(looking_at("itself", &fiber), coir_acquire(go, 1));
    coir_io *child = coir_finally(body, coir_then(looking_at("finalizer", &fiber), coir_acquire(go, 1)));
    coir_io *io = coir_sequence(COIR_IOS(forking(child, &fiber), looking_at("forked", &fiber), coir_yield(), looking_at("waits", &fiber),
                                         coir_release(go, 1), looking_at("woken", &fiber), coir_yield(), looking_at("finalizes", &fiber),
                                         coir_release(go, 1), joining(&fiber), looking_at("after", &fiber)));
    CHECK_STR(outcome(1, io), "OK 0");
    CHECK_STR(notes(), "forked:NEW itself:RUNNING waits:WAITING woken:RUNNABLE finalizer:FINALIZING finalizes:FINALIZING after:ENDED");
    coir_fiber_drop(fiber);
    coir_semaphore_drop(go);
}

TEST(fiber, finalizers_within_finalizers_are_finalizing_however_many)
{
    static const int depths[] = { 255, 256, 65535, 65536, 65537 };
    for (int i = 0; i < sized(5, 2); i++) {
        coir_io *io = coir_flat_map(coir_self(), note_status, "inmost");
        CASE("%d deep", depths[i]);
        for (int n = 0; n < depths[i]; n++)
            io = coir_finally(coir_unit(), io);
        CHECK_STR(outcome(1, coir_then(io, coir_flat_map(coir_self(), note_status, "after"))), "OK 0");
        CHECK_STR(notes(), "inmost:FINALIZING after:RUNNING");
    }
}

TEST_REAL(fiber, ids_are_unique_in_the_process_and_never_zero, "in each simulation they begin at 1")
{
    enum { FIBERS = 2000, THREADS = 3 };
    static uint64_t ids[FIBERS * (THREADS + 1)];
    size_t count = 0;
    struct other_run others[THREADS];
    coir_options options = { .workers = 2 };
    for (int i = 0; i < THREADS; i++)
        other_run_begin(&others[i], &options, copies_of(FIBERS, coir_unit()));
    coir_result results[THREADS + 1] = { run(4, copies_of(FIBERS, coir_unit())) };
    for (int i = 0; i < THREADS; i++)
        results[i + 1] = other_run_end(&others[i]);
    for (int i = 0; i <= THREADS; i++) {
        CHECK_TAG(results[i], COIR_OK);
        for (size_t k = 0; k < FIBERS; k++)
            ids[count++] = coir_fiber_id(coir_fiber_of(coir_list_at(&results[i].value, k)));
        coir_result_drop(&results[i]);
    }
    static const size_t slots = 65536;
    static uint64_t seen[65536];
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < count; i++) {
        CHECK(ids[i] > 0);
        size_t at = (size_t)(ids[i] * UINT64_C(0x9e3779b97f4a7c15) >> 48) % slots;
        for (; seen[at] != 0; at = (at + 1) % slots)
            if (seen[at] == ids[i])
                CHECK_FAIL("id %ju was given twice", (uintmax_t)ids[i]);
        seen[at] = ids[i];
    }
}

TEST(fiber, name_is_that_of_the_io_it_was_forked_with)
{
    coir_fiber *named = NULL, *plain = NULL, *inner = NULL;
    CHECK_STR(outcome(2, coir_sequence(COIR_IOS(forking(coir_named(coir_unit(), "worker bee"), &named), forking(coir_unit(), &plain),
                                                forking(coir_then(coir_named(coir_unit(), "no"), coir_unit()), &inner)))), "OK 0");
    char name[20], small[4], none[1] = "x";
    CHECK_UINT(coir_fiber_name(named, name, sizeof name), 10);
    CHECK_STR(name, "worker bee");
    CHECK_UINT(coir_fiber_name(named, small, sizeof small), 10);
    CHECK_STR(small, "wor");
    CHECK_UINT(coir_fiber_name(named, none, 0), 10);
    CHECK_INT(none[0], 'x');
    CHECK_UINT(coir_fiber_name(plain, name, sizeof name), 0);
    CHECK_STR(name, "");
    CHECK_UINT(coir_fiber_name(inner, name, sizeof name), 0);
    coir_fiber_drop(named);
    coir_fiber_drop(plain);
    coir_fiber_drop(inner);
}

TEST(fiber, name_serves_each_fiber_that_is_forked_with_a_shared_io)
{
    coir_result result = run(2, copies_of(30, coir_named(coir_yield(), "same")));
    CHECK_TAG(result, COIR_OK);
    for (size_t i = 0; i < 30; i++) {
        char name[10];
        coir_fiber_name(coir_fiber_of(coir_list_at(&result.value, i)), name, sizeof name);
        CHECK_STR(name, "same");
    }
    coir_result_drop(&result);
}

static coir_io *compare_ids(void *env, coir_value *self)
{
    (void)env;
    return coir_pure(coir_int(coir_current_id() != 0 && coir_current_id() == coir_fiber_id(coir_fiber_of(self))));
}

TEST(fiber, self_gives_the_running_fibers_own_handle)
{
    FOR_SCHEDULES(options) {
        coir_io *io = coir_flat_map(coir_self(), compare_ids, NULL);
        CHECK_STR(outcome_under(options, waited(COIR_IOS(coir_io_ref(io), coir_then(coir_yield(), coir_io_ref(io)), joined(io)))),
                  "OK [<OK 1> <OK 1> <OK 1>]");
        coir_fiber *self = NULL;
        CHECK_STR(outcome_under(options, coir_flat_map(coir_self(), keep_handle, &self)), "OK 0");
        CHECK_INT(coir_fiber_status(self), COIR_ENDED);
        coir_fiber_drop(self);
    }
}

static coir_io *join_twice(void *env, coir_value *fiber)
{
    (void)env;
    return coir_zip(COIR_IOS(coir_join(coir_fiber_of(fiber)), coir_pure(coir_share(fiber)), coir_join(coir_fiber_of(fiber))));
}
static coir_value are_the_same(void *env, coir_value *three)
{
    (void)env;
    const coir_fiber *first = coir_fiber_of(coir_list_at(three, 0)), *second = coir_fiber_of(coir_list_at(three, 1));
    return coir_bool(first != NULL && first == second && second == coir_fiber_of(coir_list_at(three, 2)));
}
static coir_io *fail_with(void *env, coir_value *payload) { (void)env; return coir_fail(coir_take(payload)); }
static coir_io *catch_them(void *env, coir_value *fiber) { (void)env; return coir_attempt(coir_join(coir_fiber_of(fiber))); }

/* Its result is its own handle: as a success, as an error, and as an error that nothing else may share. */
static coir_io *ending_with_itself(void) { return coir_flat_map(coir_fork(coir_then(coir_yield(), coir_self())), join_twice, NULL); }
static coir_io *failing_with_itself(coir_io *finalizer)
{
    return coir_flat_map(coir_fork(coir_finally(coir_flat_map(coir_self(), fail_with, NULL), finalizer)), catch_them, NULL);
}

static void end_with_themselves(void)
{
    CHECK_STR(outcome(2, coir_map(ending_with_itself(), are_the_same, NULL)), "OK 1");
    CHECK(strncmp(outcome(2, failing_with_itself(coir_unit())), "OK <ERROR fiber ", 16) == 0);
    CHECK(strncmp(outcome(2, failing_with_itself(coir_fail(sole_thing(1)))), "OK <ERROR fiber ", 16) == 0);
    CHECK_STR(outcome(2, coir_as(coir_repeat(coir_fork(coir_self()), 100), coir_int(1))), "OK 1");
    coir_result result = run(1, coir_self());
    coir_value self = coir_share(&result.value);
    coir_result_drop(&result);
    CHECK_INT(coir_fiber_status(coir_fiber_of(&self)), COIR_ENDED);
    CHECK(strncmp(outcome(1, coir_join(coir_fiber_of(&self))), "OK fiber ", 9) == 0);
    coir_drop(self);
    CHECK_INT(things_alive, 0);
}

TEST_ALONE(fiber, fiber_that_ends_with_its_own_handle_leaves_nothing_behind)
{
    watch_memory();
    end_with_themselves();
    long long before = atomic_load(&watched.bytes);
    for (int round = 0; round < 100; round++)
        end_with_themselves();
    CHECK(atomic_load(&watched.bytes) - before < 8 << 20);      /* each fiber that stays keeps 64 KiB, and there are five runs in a round */
}

struct ids { uint64_t own; int wrong; };
static coir_io *ids_step(coir_routine *self)
{
    COIR_BEGIN(self, struct ids, my);
    my->own = coir_current_id();
    COIR_AWAIT(coir_yield());
    my->wrong += coir_current_id() != my->own;
    COIR_AWAIT(coir_sleep(coir_us(1)));
    my->wrong += coir_current_id() != my->own;
    COIR_AWAIT(joined(coir_yield()));
    my->wrong += coir_current_id() != my->own || my->own == 0;
    COIR_RETURN(coir_int(my->wrong));
    COIR_END;
}

TEST(fiber, current_id_is_the_running_fibers_in_its_callbacks_and_zero_elsewhere)
{
    CHECK_UINT(coir_current_id(), 0);
    FOR_SCHEDULES(options) {
        coir_result result = coir_run(coir_flat_map(copies_of(20, coir_do(ids_step, NULL, sizeof(struct ids))), wait_it, NULL), options);
        CHECK_TAG(result, COIR_OK);
        for (size_t i = 0; i < 20; i++)
            CHECK_INT(coir_result_in(coir_list_at(&result.value, i))->value.i64, 0);
        coir_result_drop(&result);
        CHECK_UINT(coir_current_id(), 0);
    }
}

/* ---------------------------------------------------------------------------------------------------- unseen failures */

struct told { atomic_int count, wrong; atomic_bool run_is_over; };
static void tell(void *env, uint64_t id, const coir_result *failure)
{
    struct told *told = env;
    atomic_fetch_add(&told->count, 1);
    if (id == 0 || failure->tag == COIR_OK || atomic_load(&told->run_is_over))
        atomic_fetch_add(&told->wrong, 1);
}

/* How often the hook was told while io ran, under each schedule; what io gave is dropped after the run. */
static void is_told(int times, coir_io *io)
{
    FOR_SCHEDULES(options) {
        struct told told = { 0 };
        coir_options with_hook = *options;
        with_hook.on_unseen_failure = tell;
        with_hook.env = &told;
        coir_result result = coir_run(coir_io_ref(io), &with_hook);
        CHECK_INT(told.count, times);
        atomic_store(&told.run_is_over, true);
        coir_result_drop(&result);
        CHECK_INT(told.count, times);
        CHECK_INT(told.wrong, 0);
    }
    coir_io_drop(io);
}

TEST(fiber, failure_that_nobody_looks_at_is_told_once)
{
    is_told(1, coir_as(coir_fork(coir_fail(coir_int(1))), coir_none()));
    is_told(1, coir_as(coir_fork(coir_then(coir_yield(), coir_panicf("broken"))), coir_none()));
    is_told(1, coir_as(coir_fork(coir_fail(thing(1))), coir_none()));
    is_told(3, coir_as(coir_parallel(COIR_IOS(coir_fail(coir_int(1)), coir_unit(), coir_panicf("2"),
                                              coir_then(coir_yield(), coir_fail(coir_int(3))))),
                       coir_none()));
    is_told(1, coir_as(coir_fork(coir_finally(ending(COIR_CANCELED, 0), coir_fail(coir_int(1)))), coir_none()));
    CHECK_INT(things_alive, 0);
}

TEST(fiber, failure_of_a_fiber_whose_handle_lives_on_is_told_before_the_run_returns_and_not_again)
{
    is_told(1, coir_fork(coir_fail(coir_int(1))));
    is_told(2, coir_parallel(COIR_IOS(coir_fail(thing(1)), coir_unit(), coir_panicf("2"))));
    CHECK_INT(things_alive, 0);
}

TEST(fiber, failure_whose_payload_is_the_fibers_own_handle_is_told_as_any_other)
{
    is_told(1, coir_as(coir_fork(coir_flat_map(coir_self(), fail_with, NULL)), coir_none()));
    is_told(1, coir_fork(coir_flat_map(coir_self(), fail_with, NULL)));
    is_told(0, failing_with_itself(coir_unit()));
}

TEST(fiber, failure_that_somebody_looked_at_is_not_told)
{
    is_told(0, joined(coir_fail(coir_int(1))));
    is_told(0, joined(coir_panicf("broken")));
    is_told(0, coir_attempt(joined(coir_then(coir_yield(), coir_fail(thing(1))))));
    is_told(0, waited(COIR_IOS(coir_fail(coir_int(1)), coir_then(coir_yield(), coir_panicf("2")), coir_fail(thing(3)))));
    is_told(0, coir_flat_map(coir_fork(coir_fail(sole_thing(1))), wait_it, NULL));
    CHECK_INT(things_alive, 0);
}

TEST(fiber, failure_of_the_main_fiber_is_its_result_and_not_told)
{
    is_told(0, coir_fail(coir_int(1)));
    is_told(0, coir_then(coir_yield(), coir_panicf("broken")));
}

TEST(fiber, success_and_cancellation_are_no_failures_to_tell)
{
    is_told(0, coir_as(coir_parallel(COIR_IOS(coir_unit(), coir_pure(thing(1)), ending(COIR_CANCELED, 0))), coir_none()));
}

TEST(fiber, among_many_each_unseen_failure_is_told_once)
{
    const int many = sized(2000, 50);
    FOR_WORKERS(workers, 1, 2, 4) {
        struct told told = { 0 };
        coir_io *seen = joined(coir_then(coir_yield(), coir_fail(coir_int(1))));
        coir_io *unseen = coir_fork(coir_then(coir_yield(), coir_fail(coir_int(2))));
        coir_io *each = coir_then(coir_attempt(seen), coir_as(unseen, coir_none()));
        coir_result result = coir_run(coir_as(copies_of((size_t)many, each), coir_none()),
                                      COIR_OPTIONS(.workers = workers, .on_unseen_failure = tell, .env = &told));
        CHECK_TAG(result, COIR_OK);
        CHECK_INT(told.count, many);
        CHECK_INT(told.wrong, 0);
    }
}

static void note_failure(void *env, uint64_t id, const coir_result *failure)
{
    (void)env;
    (void)id;
    note("%s", describe(failure));
}

TEST(fiber, failure_is_lent_to_the_hook_whole)
{
    coir_result result = coir_run(coir_as(coir_fork(coir_finally(coir_fail(thing(1)), coir_panicf("2"))), coir_none()),
                                  COIR_OPTIONS(.workers = 1, .on_unseen_failure = note_failure));
    CHECK_TAG(result, COIR_OK);
    CHECK_STR(notes(), "PANIC MISUSE also(ERROR thing 1) -1");
}

static pthread_t outsider;
static atomic_int told_outside, told_inside;
static void tell_where(void *env, uint64_t id, const coir_result *failure)
{
    (void)env;
    (void)id;
    (void)failure;
    atomic_fetch_add(pthread_equal(pthread_self(), outsider) ? &told_outside : &told_inside, 1);
}

struct handed { coir_fiber *fiber; sem_t may_drop; };
static void *drop_outside(void *env)
{
    struct handed *handed = env;
    sem_wait(&handed->may_drop);
    coir_fiber_drop(handed->fiber);
    return NULL;
}

static coir_io *hand_over(void *env, coir_value *fiber)
{
    struct handed *handed = env;
    handed->fiber = coir_fiber_ref(coir_fiber_of(fiber));
    return coir_wait_any(fiber);                        /* which does not look at the result */
}

static coir_result drop_and_join(void *env)
{
    struct handed *handed = env;
    sem_post(&handed->may_drop);
    CHECK_INT(pthread_join(outsider, NULL), 0);
    return coir_ok(coir_none());
}

TEST(fiber, failure_whose_last_handle_goes_on_another_thread_is_told_on_a_worker)
{
    FOR_WORKERS(workers, 1, 2) {
        struct handed handed = { .fiber = NULL };
        CHECK_INT(sem_init(&handed.may_drop, 0, 0), 0);
        atomic_store(&told_outside, 0);
        atomic_store(&told_inside, 0);
        CHECK_INT(pthread_create(&outsider, NULL, drop_outside, &handed), 0);
        coir_io *io = coir_then(coir_flat_map(coir_fork(coir_fail(thing(3))), hand_over, &handed), coir_defer(drop_and_join, &handed));
        coir_result result = coir_run(io, COIR_OPTIONS(.workers = workers, .on_unseen_failure = tell_where));
        CHECK_TAG(result, COIR_OK);
        CHECK_INT(told_outside, 0);
        CHECK_INT(told_inside, 1);
        CHECK_INT(things_alive, 0);
        sem_destroy(&handed.may_drop);
    }
}

static coir_fiber *kept_for_the_hook;
static void drop_kept(void *env, uint64_t id, const coir_result *failure)
{
    (void)env;
    (void)id;
    (void)failure;
    coir_fiber_drop(kept_for_the_hook);
    kept_for_the_hook = NULL;
}

TEST(fiber, hook_that_drops_the_handle_of_the_fiber_that_it_is_told_of_leaves_nothing)
{
    FOR_WORKERS(workers, 1, 2) {
        coir_result result = coir_run(forking(coir_fail(thing(3)), &kept_for_the_hook),
                                      COIR_OPTIONS(.workers = workers, .on_unseen_failure = drop_kept));
        coir_result_drop(&result);
        CHECK_PTR(kept_for_the_hook, NULL);
        CHECK_INT(things_alive, 0);
    }
}

/* ------------------------------------------------------------------------------------------------------------ chains */

static coir_io *fork_the_next(void *env, coir_value *left)
{
    (void)env;
    return left->i64 == 0 ? coir_unit() : coir_fork(coir_call(coir_int(left->i64 - 1), fork_the_next, NULL));
}

static void chain_of_fibers(void *env)
{
    coir_result result = run(1, coir_call(coir_int(*(int *)env), fork_the_next, NULL));
    CHECK_TAG(result, COIR_OK);
    coir_result_drop(&result);
}

TEST(fiber, fibers_each_of_which_is_the_result_of_the_next_are_dropped_in_constant_stack)
{
    int count = scaled(1000000);
    on_small_stack(chain_of_fibers, &count);
}
