/*
 * scope.c - tests of scopes: children end before what they were forked in, whatever happens
 */
#include "seeds.h"

#include "base/random.h"

#define RUNS(io, result, noted)                                                                              \
    FOR_SEEDS(options) {                                                                                     \
        CHECK_STR(simulated(options, (io)), (result));                                                       \
        CHECK_STR(notes(), (noted));                                                                         \
    }

/* A child that waits for ever and notes its end. */
static coir_io *waiting(const char *name) { return coir_finally(coir_never(), noting(name)); }
static coir_io *sleeping(int64_t ms, const char *name) { return coir_then(coir_sleep(coir_ms(ms)), noting(name)); }
static coir_io *sleeping_then(int64_t ms, coir_io *io) { return coir_then(coir_sleep(coir_ms(ms)), io); }
static coir_io *forked(coir_io *io) { return coir_then(coir_fork(io), coir_unit()); }

TEST(scope, children_are_awaited_before_what_stands_around_it)
{
    RUNS(coir_finally(coir_scope(coir_then(forked(sleeping(5, "child")), noting("body"))), noting("after")), "OK 0", "body child after")
    RUNS(coir_scope(coir_pure(coir_int(3))), "OK 3", "")
    /* Children of children, too. */
    RUNS(coir_then(coir_scope(forked(coir_then(forked(sleeping(5, "grandchild")), noting("child")))), noting("after")), "OK 0",
         "child grandchild after")
}

TEST(scope, a_body_that_fails_cancels_its_children)
{
    RUNS(coir_scope(coir_sequence(COIR_IOS(forked(waiting("one")), coir_sleep(coir_ms(1)), coir_fail(coir_int(4))))), "ERROR 4", "one")
}

TEST(scope, a_child_that_fails_cancels_the_others_and_the_body)
{
    RUNS(coir_scope(coir_sequence(COIR_IOS(forked(waiting("sibling")), forked(sleeping_then(1, coir_fail(coir_int(4)))),
                                           coir_finally(coir_never(), coir_yield())))),
         "ERROR 4", "sibling")
    /* The body had ended already. */
    RUNS(coir_scope(coir_then(forked(sleeping_then(1, coir_fail(coir_int(4)))), coir_pure(coir_int(1)))), "ERROR 4", "")
}

TEST(scope, the_first_failure_is_the_result_and_the_others_are_kept)
{
    coir_io *late = coir_finally(coir_never(), coir_fail(coir_int(2)));
    coir_io *shared = coir_scope(coir_sequence(COIR_IOS(forked(late), forked(sleeping_then(1, coir_fail(coir_int(1)))), coir_never())));
    RUNS(coir_io_ref(shared), "ERROR 1", "")            /* the one that was canceled ends as CANCELED, with its finalizer's failure in its own also */
    coir_io_drop(shared);
    coir_io *both = coir_scope(coir_sequence(COIR_IOS(forked(coir_uncancelable(sleeping_then(5, coir_fail(coir_int(2))))),
                                                      forked(sleeping_then(1, coir_fail(coir_int(1)))), coir_never())));
    RUNS(coir_io_ref(both), "ERROR 1 also(ERROR 2)", "")
    coir_io_drop(both);
}

TEST(scope, a_childs_failure_counts_even_if_it_was_joined_and_caught)
{
    coir_io *io = coir_scope(coir_then(coir_attempt(joined(coir_fail(coir_int(4)))), coir_sleep(coir_ms(1))));
    RUNS(coir_io_ref(io), "ERROR 4", "")
    coir_io_drop(io);
}

TEST(scope, a_child_canceled_by_somebody_else_cancels_the_whole)
{
    FOR_SEEDS(options) {
        coir_fiber *sibling = NULL;
        coir_io *body = coir_sequence(COIR_IOS(queueing(waiting("sibling"), &sibling), forked(coir_then(coir_cancel_self(), coir_unit())), coir_never()));
        CHECK_STR(simulated(options, coir_scope(body)), "CANCELED 0");
        CHECK_STR(notes(), "sibling");
        coir_fiber_drop(sibling);
        coir_io *masked = coir_uncancelable(coir_scope(coir_then(forked(coir_then(coir_cancel_self(), coir_unit())), coir_sleep(coir_ms(9)))));
        CHECK_STR(simulated(options, coir_attempt(masked)), "OK <ERROR CHILD_CANCELED>");
    }
}

static coir_io *cancel_placed(void *place) { return coir_cancel(*(coir_fiber **)place); }

TEST(scope, the_parents_cancellation_cancels_the_children_and_waits_for_them)
{
    FOR_SEEDS(options) {
        coir_fiber *parent = NULL;
        coir_io *slow = coir_finally(coir_never(), coir_then(coir_sleep(coir_ms(3)), noting("child")));
        coir_io *io = coir_finally(coir_scope(forked(slow)), noting("parent"));
        coir_io *main_io = coir_sequence(COIR_IOS(forking(io, &parent), coir_sleep(coir_ms(1)), coir_suspend(cancel_placed, &parent)));
        CHECK_STR(simulated(options, main_io), "OK 0");
        CHECK_STR(notes(), "child parent");
        coir_fiber_drop(parent);
    }
}

TEST(scope, a_time_out_ends_the_children_too)
{
    RUNS(coir_timeout_to(coir_scope(coir_then(forked(waiting("child")), coir_never())), coir_ms(5), noting("instead")), "OK 0", "child instead")
    RUNS(coir_timeout_to(coir_scope(forked(waiting("child"))), coir_ms(5), noting("instead")), "OK 0", "child instead")
}

TEST(scope, who_is_forked_while_it_cancels_begins_canceled)
{
    coir_io *late = coir_finally(coir_never(), coir_then(forked(noting("never begins")), noting("finalizer")));
    RUNS(coir_scope(coir_sequence(COIR_IOS(forked(coir_io_ref(late)), coir_sleep(coir_ms(1)), coir_fail(coir_int(1))))), "ERROR 1", "finalizer")
    coir_io_drop(late);
}

TEST(scope, a_child_that_cancels_the_owner_does_not_wait_for_it)
{
    FOR_SEEDS(options) {
        coir_fiber *owner = NULL;
        coir_io *child = coir_then(coir_sleep(coir_ms(1)), coir_suspend(cancel_placed, &owner));
        coir_io *io = coir_then(forking(coir_scope(coir_then(forked(child), coir_never())), &owner), joining(&owner));
        CHECK_STR(simulated(options, coir_attempt(io)), "OK <ERROR CHILD_CANCELED>");
        coir_fiber_drop(owner);
    }
}

TEST(scope, detached_fibers_belong_to_the_run_alone)
{
    RUNS(coir_then(coir_scope(coir_then(coir_fork_detached(sleeping(5, "detached")), coir_unit())), noting("after")), "OK 0", "after detached")
}

/* -------------------------------------------------------------------------------------------------------- supervision */

static void tell_unseen(void *env, uint64_t id, const coir_result *failure)
{
    (void)env;
    (void)id;
    note("unseen%lld", (long long)failure->value.i64);
}

TEST(scope, under_supervision_a_failure_concerns_its_joiner_only)
{
    static const coir_options hooked = { .size = sizeof hooked, .on_unseen_failure = tell_unseen };
    FOR_SEEDS(options) {
        options->run = &hooked;
        coir_io *io = coir_sequence(COIR_IOS(forked(coir_fail(coir_int(7))), forked(sleeping(5, "other")), coir_pure(coir_int(1))));
        CHECK_STR(simulated(options, coir_supervise(io)), "OK 1");
        CHECK_STR(notes(), "unseen7 other");
        io = coir_scope(coir_then(forked(coir_fail(coir_int(7))), coir_never()));
        CHECK_STR(simulated(options, io), "ERROR 7");
        CHECK_STR(notes(), "");                         /* the scope has told it */
    }
}

TEST(scope, drain_gives_the_children_time_to_end)
{
    RUNS(coir_supervise_drain(coir_then(forked(sleeping(5, "quick")), forked(coir_finally(coir_sleep(coir_ms(50)), noting("canceled")))), coir_ms(20)),
         "OK 0", "quick canceled")
    RUNS(coir_supervise_drain(coir_then(forked(sleeping(5, "quick")), coir_pure(coir_int(3))), coir_ms(20)), "OK 3", "quick")
    RUNS(coir_supervise_drain(forked(coir_finally(coir_then(coir_yield(), coir_never()), coir_unit())), coir_ms(-1)), "OK 0", "")
}

/* ------------------------------------------------------------------------------------------------------------- others */

TEST(scope, on_threads_many_children_of_many_scopes)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        atomic_int count = 0;
        coir_io *children = coir_repeat(coir_fork(coir_then(coir_yield(), counting(&count))), 50);
        coir_io *one = coir_scope(children);
        CHECK_STR(outcome(workers, coir_then(waited(4, (coir_io *[]){ coir_repeat(coir_io_ref(one), 20), coir_repeat(coir_io_ref(one), 20),
                                                                      coir_repeat(coir_io_ref(one), 20), coir_repeat(one, 20) }),
                                             coir_pure(coir_int(1)))), "OK 1");
        CHECK_INT(atomic_load(&count), 4 * 20 * 50);
        coir_io *failing = coir_scope(coir_sequence(COIR_IOS(coir_repeat(coir_fork(coir_finally(coir_never(), counting(&count))), 20),
                                                             coir_fork(coir_fail(coir_int(1))), coir_never())));
        CHECK_STR(outcome(workers, coir_repeat(coir_attempt(failing), 100)), "OK <ERROR 1>");
    }
}

TEST_ALONE(scope, children_that_have_ended_leave_nothing)
{
    watch_memory();
    coir_io *few = coir_scope(coir_repeat(joined(coir_unit()), (uint64_t)scaled(20000)));
    coir_io *many = coir_scope(coir_repeat(joined(coir_unit()), (uint64_t)scaled(100000)));
    long long a_few = peak_of(1, few, "OK 0"), a_lot = peak_of(1, many, "OK 0");
    CHECK(a_lot < a_few + 65536);
}

TEST(scope, null_has_a_clear_answer)
{
    CHECK_STR(outcome(1, coir_scope(NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_supervise(NULL)), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_supervise_drain(NULL, coir_ms(1))), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_fork_detached(NULL)), "PANIC ENOMEM");
}

/* ----------------------------------------------------------------------------------------------- canceled at every step */

/* A random tree of scopes and forks: each node notes its begin, "(n", and its end, ")n", in a finalizer; children are numbered behind parents. */
struct tree { struct random random; int next, depth; };

static coir_result note_number(void *env) { note("%c%d", ((const int *)env)[0], ((const int *)env)[1]); return coir_ok(coir_none()); }
static coir_io *noting_number(char mark, int number)
{
    const int both[2] = { mark, number };
    return coir_defer_copy(note_number, both, sizeof both);
}

static coir_io *leaf(struct tree *tree)
{
    switch (random_below(&tree->random, 4)) {
    case 0:
        return coir_sleep(coir_ms(1 + (int64_t)random_below(&tree->random, 5)));
    case 1:
        return coir_yield();
    case 2:
        return random_below(&tree->random, 4) == 0 ? coir_fail(coir_int(1)) : coir_unit();
    default:
        return coir_uncancelable(coir_yield());
    }
}

static coir_io *grow(struct tree *tree)
{
    int number = tree->next++;
    coir_io *body = leaf(tree);
    if (tree->depth > 0) {
        tree->depth--;
        for (uint32_t i = random_below(&tree->random, 3); i > 0; i--)
            body = coir_then(coir_fork(grow(tree)), body);
        tree->depth++;
        body = random_below(&tree->random, 4) == 0 ? coir_supervise(body) : coir_scope(body);
    }
    body = coir_finally(coir_then(noting_number('(', number), body), coir_then(coir_yield(), noting_number(')', number)));
    return body;
}

static int place_of(const char *text, char mark, int number)
{
    for (const char *c = text; *c != '\0'; c++)
        if (*c == mark && atoi(c + 1) == number)
            return (int)(c - text);
    return -1;
}

static coir_io *keep_self(void *place, coir_value *self)
{
    *(coir_fiber **)place = coir_fiber_ref(coir_fiber_of(self));
    return coir_unit();
}

TEST(scope, canceled_at_any_step_no_child_outlives_its_scope)
{
    int canceled_trees = 0;
    for (uint64_t seed = 0; seed < (uint64_t)scaled(60); seed++) {
        bool ended = false;
        for (uint64_t step = 1; !ended; step += 1 + seed % 3) {
            CASE("seed %llu, step %llu", (unsigned long long)seed, (unsigned long long)step);
            struct tree tree = { { seed }, 0, 3 };
            coir_fiber *self = NULL;
            coir_io *io = coir_then(coir_flat_map(coir_self(), keep_self, &self), grow(&tree));
            coir_sim *sim = coir_sim_open(io, COIR_SIM_OPTIONS(.seed = seed, .workers = 3));
            CHECK(sim != NULL);
            for (uint64_t i = 0; i < step && coir_sim_state_of(sim) != COIR_SIM_ENDED; i++)
                if (coir_sim_tick_one(sim) == COIR_SIM_ASLEEP)
                    coir_sim_advance(sim, coir_ms(1));
            ended = coir_sim_state_of(sim) == COIR_SIM_ENDED;
            coir_fiber_cancel(self);
            CHECK_INT(coir_sim_tick_all(sim), COIR_SIM_ENDED);
            canceled_trees += coir_sim_result(sim)->tag == COIR_CANCELED;
            const char *noted = notes();
            int root_end = place_of(noted, ')', 0);
            for (int number = 0; number < tree.next; number++) {
                int end = place_of(noted, ')', number);
                CHECK(end >= 0 || place_of(noted, '(', number) < 0);
                CHECK(end <= root_end);
            }
            coir_sim_drop(sim);
            coir_fiber_drop(self);
        }
    }
    CHECK(canceled_trees > 5);
}
