/*
 * deadlock.c - tests of the two verdicts: rings and silence; whom they hit, what they say, and when there is none
 */
#include "fibers.h"

#include <semaphore.h>
#include "fiber/deadlock.h"
#include "io/prim.h"

/* ---------------------------------------------------------------------------------------------------------- programs */

/* Two who take two locks in opposite order, each only when the other has its first. */
struct crossed { coir_lock *mine, *yours; coir_semaphore *i_have, *you_have; };

static coir_io *crossing(const struct crossed *c, const char *name)
{
    coir_io *both =
        coir_sequence(COIR_IOS(coir_release(c->i_have, 1), coir_acquire(c->you_have, 1), coir_with_lock(c->yours, noting("both"))));
    return coir_named(coir_finally(coir_with_lock(c->mine, both), coir_defer(note_text, (void *)(uintptr_t)name)), name);
}

/* The ids of the locks, of the last two. */
static struct { uintmax_t annas, berts; } crossed_ids;

static coir_io *crossed_locks(void)
{
    coir_lock *a = coir_lock_new(), *b = coir_lock_new();
    coir_semaphore *x = coir_semaphore_new_bounded(0, 1), *y = coir_semaphore_new_bounded(0, 1);
    struct crossed first = { a, b, x, y }, second = { b, a, y, x };
    coir_io *io = coir_parallel(COIR_IOS(crossing(&first, "anna"), crossing(&second, "bert")));
    crossed_ids.annas = LOCK_ID(a);
    crossed_ids.berts = LOCK_ID(b);
    coir_lock_drop(a);
    coir_lock_drop(b);
    coir_semaphore_drop(x);
    coir_semaphore_drop(y);
    return io;
}

/* A ring of `count` fibers: each joins the next; the last begins it when all are there. */
struct ring { size_t count; coir_fiber *fibers[20]; coir_semaphore *all_there; };
struct link { struct ring *ring; size_t index; };
static coir_io *link_on(void *link_)
{
    struct link *link = link_;
    return coir_join(link->ring->fibers[(link->index + 1) % link->ring->count]);
}

static coir_io *join_ring(struct ring *ring)
{
    coir_io *io = coir_unit();
    for (size_t i = 0; i < ring->count; i++) {
        coir_io *join = coir_suspend_copy(link_on, COIR_ENV(struct link, .ring = ring, .index = i));
        io = coir_then(io, forking(coir_then(coir_acquire(ring->all_there, 1), join), &ring->fibers[i]));
    }
    return coir_then(io, coir_release(ring->all_there, (int64_t)ring->count));
}

static void ring_done(struct ring *ring)
{
    for (size_t i = 0; i < ring->count; i++)
        coir_fiber_drop(ring->fibers[i]);
    coir_semaphore_drop(ring->all_there);
}

static coir_result result_of(coir_fiber *fiber)
{
    coir_result result = run(1, coir_attempt(coir_join(fiber)));
    return result;
}

/* The fiber ended as that verdict, whose message contains `part`. */
static void ended_in_deadlock(coir_fiber *fiber, const char *part)
{
    coir_result outer = result_of(fiber);
    CHECK_TAG(outer, COIR_OK);
    const coir_result *result = coir_result_in(&outer.value);
    CHECK_CODE(*result, COIR_PANIC, COIR_DEADLOCK);
    CHECK_CONTAINS(coir_error_message(&result->value), part);
    coir_result_drop(&outer);
}

/* ------------------------------------------------------------------------------------------------------ rings of locks */

TEST(deadlock, two_who_take_two_locks_in_opposite_order_panic_unwind_and_the_run_goes_on)
{
    FOR_SCHEDULES(options) {
        uint64_t before = coir_counters_now().deadlocks;
        coir_result result = coir_run(coir_flat_map(crossed_locks(), wait_it, NULL), options);
        CHECK_TAG(result, COIR_OK);
        CHECK_UINT(coir_list_size(&result.value), 2);
        for (size_t i = 0; i < 2; i++) {
            const coir_result *one = coir_result_in(coir_list_at(&result.value, i));
            CHECK_CODE(*one, COIR_PANIC, COIR_DEADLOCK);
            const char *message = coir_error_message(&one->value);
            CHECK_CONTAINS(message, spelled("'anna' waits for lock %ju that fiber ", crossed_ids.berts));
            CHECK_CONTAINS(message, spelled("'bert' waits for lock %ju that fiber ", crossed_ids.annas));
            CHECK_CONTAINS(message, "'bert' holds");
        }
        coir_result_drop(&result);
        const char *text = notes();                     /* both finalizers ran, and neither had both locks */
        CHECK(strcmp(text, "anna bert") == 0 || strcmp(text, "bert anna") == 0);
        CHECK_UINT(coir_counters_now().deadlocks - before, 2);
    }
}

/* `count` fibers and as many locks: each holds its own and wants the next one's. */
struct table { size_t count; coir_lock *locks[9]; coir_semaphore *seated, *go; };
static coir_io *philosopher(struct table *table, size_t i)
{
    coir_io *meal = coir_with_lock(table->locks[(i + 1) % table->count], noting("eats"));
    return coir_with_lock(table->locks[i], coir_sequence(COIR_IOS(coir_release(table->seated, 1), coir_acquire(table->go, 1), meal)));
}

TEST(deadlock, ring_of_any_length_is_found)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (size_t count = 2; count <= 9; count++) {
            struct table table = { count, { NULL }, coir_semaphore_new_bounded(0, 9), coir_semaphore_new_bounded(0, 9) };
            coir_io *ios[10];
            for (size_t i = 0; i < count; i++)
                table.locks[i] = coir_lock_new();
            for (size_t i = 0; i < count; i++)
                ios[i] = philosopher(&table, i);
            ios[count] = coir_then(coir_acquire(table.seated, (int64_t)count), coir_release(table.go, (int64_t)count));
            coir_result result = run(workers, waited(count + 1, ios));
            CHECK_TAG(result, COIR_OK);
            CHECK_INT(how_many_are(&result.value, COIR_PANIC), (int)count);
            coir_result_drop(&result);
            CHECK_STR(notes(), "");
            for (size_t i = 0; i < count; i++)
                coir_lock_drop(table.locks[i]);
            coir_semaphore_drop(table.seated);
            coir_semaphore_drop(table.go);
        }
}

TEST(deadlock, who_waits_behind_a_ring_gets_the_lock_when_the_ring_has_unwound)
{
    FOR_SCHEDULES(options) {
        coir_lock *a = coir_lock_new(), *b = coir_lock_new();
        coir_fiber *fibers[3] = { NULL };
        coir_io *inner = coir_with_lock(b, noting("both"));
        coir_io *behind = coir_with_lock(a, noting("behind"));
        /* The main fiber holds a; the child holds b and wants a, and behind it stands a third; then the main fiber wants b. */
        coir_io *io = coir_with_lock(
            a, coir_sequence(COIR_IOS(queueing(coir_with_lock(b, coir_lock_acquire(a)), &fibers[0]), queueing(behind, &fibers[1]), inner)));
        coir_result result = coir_run(coir_then_keep(coir_attempt(io), coir_attempt(joining(&fibers[1]))), options);
        CHECK_TAG(result, COIR_OK);
        CHECK_CODE(*coir_result_in(&result.value), COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        ended_in_deadlock(fibers[0], spelled("waits for lock %ju that fiber ", LOCK_ID(a)));
        CHECK_STR(notes(), "behind");
        coir_fiber_drop(fibers[0]);
        coir_fiber_drop(fibers[1]);
        coir_lock_drop(a);
        coir_lock_drop(b);
    }
}

/* ------------------------------------------------------------------------------------------------------ rings of joins */

TEST(deadlock, fibers_that_join_each_other_in_a_ring_all_panic)
{
    FOR_SCHEDULES(options)
        for (size_t count = 2; count <= 20; count += 6) {
            struct ring ring = { .count = count, .all_there = coir_semaphore_new_bounded(0, 20) };
            coir_result result = coir_run(join_ring(&ring), options);
            CHECK_TAG(result, COIR_OK);
            for (size_t i = 0; i < count; i++)
                ended_in_deadlock(ring.fibers[i], "waits for the end of fiber");
            ring_done(&ring);
        }
}

struct lists { coir_fiber *fibers[2]; coir_semaphore *all_there; };
static coir_io *wait_for_the_other(void *place)
{
    coir_value other = coir_fiber_value(coir_fiber_ref(*(coir_fiber **)place));
    coir_io *io = coir_wait(&other);
    coir_drop(other);
    return io;
}

TEST(deadlock, fibers_that_wait_for_each_other_panic)
{
    FOR_SCHEDULES(options) {
        struct lists lists = { .all_there = coir_semaphore_new_bounded(0, 2) };
        coir_io *io = coir_sequence(COIR_IOS(
            forking(coir_then(coir_acquire(lists.all_there, 1), coir_suspend(wait_for_the_other, &lists.fibers[1])), &lists.fibers[0]),
            forking(coir_then(coir_acquire(lists.all_there, 1), coir_suspend(wait_for_the_other, &lists.fibers[0])), &lists.fibers[1]),
            coir_release(lists.all_there, 2)));
        CHECK_STR(outcome_under(options, io), "OK 0");
        ended_in_deadlock(lists.fibers[0], "waits for the end of fiber");
        ended_in_deadlock(lists.fibers[1], "waits for the end of fiber");
        coir_fiber_drop(lists.fibers[0]);
        coir_fiber_drop(lists.fibers[1]);
        coir_semaphore_drop(lists.all_there);
    }
}

TEST(deadlock, in_a_ring_of_a_join_and_a_lock_who_waits_for_the_lock_panics_and_the_joiner_goes_on)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_result result = coir_run(coir_with_lock(lock, joined(coir_named(coir_with_lock(lock, noting("in")), "child"))), options);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);                  /* the child's own panic, joined */
        CHECK_CONTAINS(coir_error_message(&result.value), spelled("'child' waits for lock %ju that fiber", LOCK_ID(lock)));
        CHECK_CONTAINS(coir_error_message(&result.value), "waits for the end of fiber");
        coir_result_drop(&result);
        coir_io *attempt = coir_with_lock(lock, coir_attempt(joined(coir_with_lock(lock, noting("in")))));
        CHECK_STR(outcome_under(options, attempt), "OK <PANIC DEADLOCK>");
        CHECK_STR(notes(), "");
        coir_lock_drop(lock);
    }
}

/* ------------------------------------------------------------------------------------- rings while others could go on */

static coir_result set_flag(void *flag) { atomic_store((atomic_bool *)flag, true); return coir_ok(coir_none()); }
static bool not_yet(void *flag, const coir_value *v) { (void)v; return !atomic_load((atomic_bool *)flag); }

TEST(deadlock, ring_is_found_while_another_fiber_keeps_a_worker_busy)
{
    static const unsigned workers[] = { 2, 4 };
    for (size_t i = 0; i < 2; i++)
        for (int round = 0; round < 10; round++) {
            CASE("%u workers, round %d", workers[i], round);
            atomic_bool flag = false;                   /* the loop ends only when the ring has been ended */
            coir_io *ring = coir_then(coir_flat_map(crossed_locks(), wait_it, NULL), coir_defer(set_flag, &flag));
            coir_result result = run(workers[i], waited(COIR_IOS(coir_while(coir_unit(), not_yet, &flag), ring)));
            CHECK_TAG(result, COIR_OK);
            CHECK_INT(how_many_are(&result.value, COIR_OK), 2);
            coir_result_drop(&result);
        }
}

TEST(deadlock, ring_is_found_while_a_callback_or_a_timer_is_still_to_come)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < 10; round++) {
            struct gate gate = GATE;                    /* opened only when the ring has been ended */
            coir_io *ring = coir_then(coir_flat_map(crossed_locks(), wait_it, NULL), opening(&gate));
            coir_result result = run(workers, waited(COIR_IOS(passing(&gate), coir_sleep(coir_us(10)), ring)));
            CHECK_TAG(result, COIR_OK);
            CHECK_INT(how_many_are(&result.value, COIR_OK), 3);
            coir_result_drop(&result);
        }
}

TEST(deadlock, ring_of_joins_is_found_while_a_callback_is_still_to_come)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < 20; round++) {
            struct gate gate = GATE;
            struct ring ring = { .count = 3, .all_there = coir_semaphore_new_bounded(0, 20) };
            coir_io *then = coir_then(coir_attempt(joining(&ring.fibers[0])), opening(&gate));
            coir_result result = run(workers, waited(COIR_IOS(passing(&gate), coir_then(join_ring(&ring), then))));
            CHECK_TAG(result, COIR_OK);
            CHECK_INT(how_many_are(&result.value, COIR_OK), 2);
            coir_result_drop(&result);
            ring_done(&ring);
        }
}

/* ----------------------------------------------------------------------------------------------------------- silence */

TEST(deadlock, wait_that_nothing_can_end_is_a_panic_that_says_for_what)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *none = coir_semaphore_new_bounded(0, 1);
        struct { coir_io *io; const char *part; } table[] = {
            { coir_never(), "coir_never" },
            { coir_acquire(none, 1), spelled("permits of semaphore %ju, and nothing is left", SEMAPHORE_ID(none)) },
            { coir_sleep(coir_ns(INT64_MAX)), "coir_sleep" },
        };
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            coir_result result = coir_run(coir_named(table[i].io, "patient"), options);
            CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
            CHECK_CONTAINS(coir_error_message(&result.value), table[i].part);
            coir_result_drop(&result);
        }
        CHECK_INT(coir_semaphore_available(none), 0);
        coir_semaphore_drop(none);
    }
}

TEST(deadlock, asking_again_for_the_only_permit_is_found_and_the_first_is_given_back)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *one = coir_semaphore_new(1);
        CHECK_STR(outcome_under(options, coir_with_permits(one, 1, coir_with_permits(one, 1, noting("inside")))), "PANIC DEADLOCK");
        CHECK_STR(notes(), "");
        CHECK_INT(coir_semaphore_available(one), 1);
        coir_semaphore_drop(one);
    }
}

TEST(deadlock, silence_ends_every_wait_for_an_object_and_no_wait_for_a_fiber)
{
    FOR_SCHEDULES(options) {
        coir_io *ios[] = { coir_never(), joined(coir_never()), joined(coir_then(coir_attempt(coir_never()), coir_pure(coir_int(1)))),
                           waited(COIR_IOS(coir_never(), coir_pure(coir_int(2)))) };
        CHECK_STR(outcome_under(options, waited(4, ios)), "OK [<PANIC DEADLOCK> <PANIC DEADLOCK> <OK 1> <OK [<PANIC DEADLOCK> <OK 2>]>]");
    }
}

TEST(deadlock, waiting_for_the_first_of_several_is_waiting_for_fibers)
{
    FOR_SCHEDULES(options) {
        CHECK_STR(outcome_under(options, coir_flat_map(coir_fork(coir_never()), wait_any_it, NULL)), "OK 0");
        coir_result result = coir_run(coir_flat_map(coir_parallel(COIR_IOS(coir_never(), coir_never())), wait_any_it, NULL), options);
        CHECK_TAG(result, COIR_OK);
        CHECK(result.value.i64 == 0 || result.value.i64 == 1);
    }
}

/* Main waits for the first of two, who wait for main: no object anywhere, and no ring of one way out. */
struct any_ring { coir_fiber *main, *others[2]; coir_semaphore *all_there; };
static coir_io *keep_self(void *place, coir_value *self)
{
    *(coir_fiber **)place = coir_fiber_ref(coir_fiber_of(self));
    return coir_unit();
}
static coir_io *wait_for_the_first(void *ring_)
{
    struct any_ring *ring = ring_;
    coir_value both = coir_list(
        2, (coir_value[]){ coir_fiber_value(coir_fiber_ref(ring->others[0])), coir_fiber_value(coir_fiber_ref(ring->others[1])) });
    coir_io *io = coir_wait_any(&both);
    coir_drop(both);
    return io;
}

TEST(deadlock, who_waits_for_the_first_of_those_who_wait_for_him_panics)
{
    FOR_SCHEDULES(options) {
        struct any_ring ring = { NULL, { NULL, NULL }, NULL };
        coir_io *io =
            coir_sequence(COIR_IOS(coir_flat_map(coir_self(), keep_self, &ring.main), forking(joining(&ring.main), &ring.others[0]),
                                   forking(joining(&ring.main), &ring.others[1]), coir_suspend(wait_for_the_first, &ring)));
        coir_result result = coir_run(io, options);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), "the end of one of several fibers");
        coir_result_drop(&result);
        coir_fiber_drop(ring.main);
        coir_fiber_drop(ring.others[0]);
        coir_fiber_drop(ring.others[1]);
    }
}

TEST(deadlock, finalizer_that_waits_for_the_same_dead_thing_meets_the_next_verdict)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *none = coir_semaphore_new_bounded(0, 1);
        coir_io *io = coir_finally(coir_finally(coir_acquire(none, 1), coir_acquire(none, 1)), noting("end"));
        CHECK_STR(outcome_under(options, io), "PANIC DEADLOCK also(PANIC DEADLOCK)");
        CHECK_STR(notes(), "end");
        coir_semaphore_drop(none);
    }
}

static coir_io *release_instead(void *semaphore, coir_value *panic) { (void)panic; return coir_release(semaphore, 1); }

TEST(deadlock, one_verdict_may_set_the_others_free)
{
    FOR_SCHEDULES(options) {
        coir_semaphore *none = coir_semaphore_new_bounded(0, 4);
        /* Silence hits all who wait for an object at that moment, and no more: what they give after it is taken by who comes then. */
        coir_io *saviour = coir_recover(coir_never(), release_instead, none);
        coir_io *late = coir_recover(coir_never(), release_instead, none);
        coir_io *io = coir_then(waited(COIR_IOS(saviour, late)), coir_then(coir_acquire(none, 2), coir_pure(coir_int(1))));
        CHECK_STR(outcome_under(options, io), "OK 1");
        coir_semaphore_drop(none);
    }
}

TEST(deadlock, main_fiber_that_has_ended_does_not_spare_the_others)
{
    FOR_SCHEDULES(options) {
        coir_fiber *fiber = NULL;
        CHECK_STR(outcome_under(options, forking(coir_never(), &fiber)), "OK 0");
        ended_in_deadlock(fiber, "coir_never");
        coir_fiber_drop(fiber);
    }
}

/* -------------------------------------------------------------------------------------------------- no false verdict */

static void *open_later(void *gate_)
{
    struct gate *gate = gate_;
    CHECK_SOON(gate_waiting(gate) == 1);
    coir_result napped =
        coir_run(coir_sleep(coir_ms(2)), COIR_OPTIONS(.workers = 1)); /* time to judge wrongly; the test does not need it */
    CHECK_TAG(napped, COIR_OK);
    gate_open(gate);
    return NULL;
}

TEST(deadlock, run_is_not_silent_while_a_callback_may_come)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < 10; round++) {
            struct gate gate = GATE;
            pthread_t thread;
            CHECK_INT(pthread_create(&thread, NULL, open_later, &gate), 0);
            coir_semaphore *semaphore = coir_semaphore_new_bounded(0, 1);
            coir_io *io = waited(COIR_IOS(coir_acquire(semaphore, 1), coir_then(passing(&gate), coir_release(semaphore, 1))));
            CHECK_STR(outcome(workers, io), "OK [<OK 0> <OK 0>]");
            CHECK_INT(pthread_join(thread, NULL), 0);
            coir_semaphore_drop(semaphore);
        }
}

TEST(deadlock, run_is_not_silent_while_a_timer_of_either_clock_may_go_off)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < 10; round++) {
            coir_semaphore *semaphore = coir_semaphore_new_bounded(0, 2);
            struct timespec soon;
            clock_gettime(CLOCK_REALTIME, &soon);
            soon.tv_nsec += 2000000;
            if (soon.tv_nsec >= 1000000000) {
                soon.tv_sec++;
                soon.tv_nsec -= 1000000000;
            }
            coir_io *io = waited(COIR_IOS(coir_acquire(semaphore, 2), coir_then(coir_sleep(coir_ms(1)), coir_release(semaphore, 1)),
                                          coir_then(coir_sleep_until(soon), coir_release(semaphore, 1))));
            CHECK_STR(outcome(workers, io), "OK [<OK 0> <OK 0> <OK 0>]");
            coir_semaphore_drop(semaphore);
        }
}

TEST(deadlock, join_of_a_fiber_that_waits_for_a_lock_of_a_third_is_no_ring)
{
    FOR_SCHEDULES(options) {
        coir_lock *lock = coir_lock_new();
        coir_fiber *holder = NULL;
        coir_semaphore *held = coir_semaphore_new_bounded(0, 1);
        coir_io *hold = coir_with_lock(lock, coir_then(coir_release(held, 1), coir_sleep(coir_us(200))));
        coir_io *io =
            coir_sequence(COIR_IOS(forking(hold, &holder), coir_acquire(held, 1), joined(coir_with_lock(lock, coir_pure(coir_int(1))))));
        CHECK_STR(outcome_under(options, io), "OK 1");
        coir_fiber_drop(holder);
        coir_lock_drop(lock);
        coir_semaphore_drop(held);
    }
}

/* ---------------------------------------------------------------------------------- the search, while the others move */

/* A primitive that waits until it is woken, and says of whom it waits what the test wants. */
static struct { atomic_int asked; uint64_t holder; size_t found; uint64_t edges; } told;

static enum prim_step waiting(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    (void)fiber;
    (void)node;
    (void)result;
    return PRIM_WAIT;
}
static enum prim_step wait_on(coir_fiber *fiber, coir_io *frame, coir_result *result) { return waiting(fiber, frame, result); }
static void leave_nothing(coir_fiber *fiber, coir_io *frame) { (void)fiber; (void)frame; }
static struct waits_for once_for_the_holder(const coir_io *frame)
{
    (void)frame;
    return (struct waits_for){ .holder = atomic_fetch_add(&told.asked, 1) == 0 ? told.holder : 0 };
}
static const struct coir__prim shifty = {
    .name = "shifty", .awaits = "something", .size = NODE_SIZE_OF(prim_own), .attempt = waiting, .arm = wait_on, .disarm = leave_nothing,
    .waits_for = once_for_the_holder,
};

static coir_io *search_and_wake(void *fibers_)
{
    coir_fiber **fibers = fibers_;
    told.holder = coir_fiber_id(fibers[1]);
    told.found = coir__deadlock_rings(coir__me.seat->run, NULL);
    CHECK(coir__claim(fibers[0], wait_generation(&fibers[0]->wait), CLAIMED_BY_WAKER, coir_ok(coir_int(7))));
    return coir_join(fibers[1]);
}

TEST(deadlock, ring_that_is_none_when_it_is_looked_at_again_is_not_judged)
{
    coir_fiber *fibers[2] = { NULL };
    memset(&told, 0, sizeof told);
    coir_io *io = coir_sequence(COIR_IOS(queueing(coir__prim_new(&shifty, NULL, 0), &fibers[0]), queueing(joining(&fibers[0]), &fibers[1]),
                                         coir_suspend(search_and_wake, fibers)));
    CHECK_STR(outcome(1, io), "OK 7");
    CHECK_UINT(told.found, 0);
    CHECK(told.asked >= 2);
    coir_fiber_drop(fibers[0]);
    coir_fiber_drop(fibers[1]);
}

static enum prim_step search_in_between(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    (void)frame;
    uint64_t before = load_relaxed(&coir__me.seat->edges_begun);
    (void)coir__deadlock_rings(coir__me.seat->run, NULL);
    *result = coir_ok(coir_uint(load_relaxed(&coir__me.seat->edges_begun) - before));
    return PRIM_DONE;
}
static const struct coir__prim searching = {
    .name = "searching",
    .awaits = "nothing",
    .size = NODE_SIZE_OF(prim_own),
    .attempt = waiting,
    .arm = search_in_between,
    .disarm = leave_nothing,
};

TEST(deadlock, search_that_meets_a_fiber_while_it_registers_asks_for_another_search)
{
    CHECK_STR(outcome(1, coir__prim_new(&searching, NULL, 0)), "OK 1");
}

/* -------------------------------------------------------------------------------------------------------------- stop */

static coir_result stopped(unsigned workers, coir_io *io)
{
    return coir_run(io, COIR_OPTIONS(.workers = workers, .on_deadlock = COIR_DEADLOCK_STOP));
}

TEST(deadlock, option_stop_ends_the_run_with_the_report_and_runs_no_finalizer)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_semaphore *none = coir_semaphore_new_bounded(0, 1);
        coir_result result = stopped(workers, coir_finally(coir_acquire(none, 1), noting("finalizer")));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), spelled("permits of semaphore %ju", SEMAPHORE_ID(none)));
        coir_result_drop(&result);
        coir_semaphore_drop(none);
        CHECK_STR(notes(), "");
    }
}

TEST(deadlock, option_stop_reports_a_ring)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        struct ring ring = { .count = 5, .all_there = coir_semaphore_new_bounded(0, 20) };
        coir_result result = stopped(workers, join_ring(&ring));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), "waits for the end of fiber");
        coir_result_drop(&result);
        for (size_t i = 0; i < ring.count; i++)
            CHECK_INT(coir_fiber_status(ring.fibers[i]), COIR_ENDED);
        ring_done(&ring);
    }
}

TEST(deadlock, option_stop_says_nothing_of_a_run_that_ends)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_result result = stopped(workers, waited(COIR_IOS(coir_sleep(coir_us(10)), joined(coir_pure(thing(1))))));
        CHECK_STR(describe(&result), "OK [<OK 0> <OK thing 1>]");
        coir_result_drop(&result);
    }
}

/* ---------------------------------------------------------------------------------------------- what was found in review */

static coir_io *take_second(void *env, coir_value *none) { (void)none; return coir_with_lock(env, coir_unit()); }

TEST(deadlock, locks_of_a_stopped_run_are_free_for_the_next)
{
    FOR_WORKERS(workers, 1, 2) {
        coir_lock *a = coir_lock_new(), *b = coir_lock_new();
        coir_io *first = coir_with_lock(a, coir_flat_map(coir_sleep(coir_ms(1)), take_second, b));
        coir_io *second = coir_with_lock(b, coir_flat_map(coir_sleep(coir_ms(1)), take_second, a));
        coir_result result = stopped(workers, waited(COIR_IOS(first, second)));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_STR(outcome(workers, coir_with_lock(a, coir_with_lock(b, coir_pure(coir_int(7))))), "OK 7");
        coir_lock_drop(a);
        coir_lock_drop(b);
    }
}

TEST(deadlock, sleeping_holder_is_never_a_deadlock)
{
    uint64_t before = coir_counters_now().deadlocks;
    for (int round = 0; round < scaled(300); round++) {
        coir_lock *lock = coir_lock_new();
        coir_io *holder = coir_with_lock(lock, coir_repeat(coir_sleep(coir_us(50 + round % 50)), 5));
        coir_io *waiter = coir_then(coir_sleep(coir_us(30)), coir_with_lock(lock, coir_unit()));
        CHECK_STR(outcome(2, waited(COIR_IOS(holder, waiter))), "OK [<OK 0> <OK 0>]");
        coir_lock_drop(lock);
    }
    CHECK_UINT(coir_counters_now().deadlocks, before);
}

/* One run joins a fiber of another, and is then judged as any other. */
struct neighbour { coir_fiber *fiber; struct gate gate; sem_t is_there; };
static coir_io *show_and_wait(void *env, coir_value *fiber)
{
    struct neighbour *neighbour = env;
    neighbour->fiber = coir_fiber_ref(coir_fiber_of(fiber));
    sem_post(&neighbour->is_there);
    return coir_wait(fiber);
}
static void *run_neighbour(void *env)
{
    struct neighbour *neighbour = env;
    coir_result result = run(1, coir_flat_map(coir_fork(passing(&neighbour->gate)), show_and_wait, neighbour));
    coir_result_drop(&result);
    return NULL;
}
static coir_result let_neighbour_go(void *env)
{
    gate_open(&((struct neighbour *)env)->gate);
    return coir_ok(coir_none());
}

TEST(deadlock, silence_is_judged_again_after_a_wait_for_another_runs_fiber)
{
    struct neighbour neighbour = { .fiber = NULL, .gate = GATE };
    pthread_t thread;
    CHECK_INT(sem_init(&neighbour.is_there, 0, 0), 0);
    CHECK_INT(pthread_create(&thread, NULL, run_neighbour, &neighbour), 0);
    sem_wait(&neighbour.is_there);
    coir_io *both = waited(COIR_IOS(coir_join(neighbour.fiber), coir_then(coir_yield(), coir_defer(let_neighbour_go, &neighbour))));
    coir_result result = run(1, coir_then(both, coir_never()));
    CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
    coir_result_drop(&result);
    CHECK_INT(pthread_join(thread, NULL), 0);
    coir_fiber_drop(neighbour.fiber);
    sem_destroy(&neighbour.is_there);
}

static coir_io *hold_and_never(void *env, coir_value *value) { (void)env; (void)value; return coir_never(); }

TEST(deadlock, option_stop_leaves_nothing_behind)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *holding = coir_flat_map(coir_pure(thing(1)), hold_and_never, NULL);
        coir_io *gathering =
            coir_zip(COIR_IOS(coir_pure(thing(2)), coir_then(coir_as(coir_unit(), coir_none()), coir_never()), coir_pure(thing(3))));
        coir_io *merging = coir_finally(coir_fail(thing(4)), coir_never());
        coir_result result = stopped(workers, waited(COIR_IOS(holding, gathering, merging, coir_repeat(joined(coir_never()), 3))));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_INT(things_alive, 0);
        CHECK(strchr(notes(), '!') == NULL);
    }
}

TEST(deadlock, option_stop_leaves_locks_free_for_a_later_run)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_result result = stopped(workers, crossed_locks());
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), "holds");
        coir_result_drop(&result);
        coir_lock *lock = coir_lock_new();
        coir_io *take = coir_lock_acquire(lock);
        result = stopped(
            workers, coir_then(coir_io_ref(take), coir_then(coir_parallel(COIR_IOS(coir_io_ref(take), coir_io_ref(take))), coir_never())));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_STR(outcome(workers, coir_with_lock(lock, coir_pure(coir_int(1)))), "OK 1");
        coir_io_drop(take);
        coir_lock_drop(lock);
    }
}
TEST(deadlock, permits_that_a_stopped_run_held_are_there_for_the_next)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_semaphore *five = coir_semaphore_new(5), *many = coir_semaphore_new(1000);
        coir_lock *lock = coir_lock_new();
        coir_io *holding = coir_with_permits(many, 3, coir_with_lock(lock, coir_with_permits(five, 2, coir_never())));
        coir_io *shared = coir_with_permits(many, 1, coir_with_permits(five, 4, coir_never()));      /* four of those that are left: waits */
        coir_io *twice = coir_then(coir_fork(coir_io_ref(shared)), shared);
        coir_io *releasing = coir_with_permits(many, 1, coir_finally(coir_fail(coir_int(1)), coir_with_permits(many, 5, coir_never())));
        coir_result result = stopped(workers, waited(COIR_IOS(holding, twice, releasing, coir_with_lock(lock, coir_unit()))));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_INT(coir_semaphore_available(five), 5);
        CHECK_INT(coir_semaphore_available(many), 1000);
        CHECK_STR(outcome(workers, coir_with_permits(five, 5, coir_with_lock(lock, coir_pure(coir_int(1))))), "OK 1");
        coir_semaphore_drop(five);
        coir_semaphore_drop(many);
        coir_lock_drop(lock);
    }
}

/* A run that is driven by hand: a fiber that was woken stays where it is. */
static void leave_ready(struct coir__run *run, coir_fiber *fiber) { (void)run; (void)fiber; }
static const struct driver by_hand = { .ready = leave_ready };

/* Who was granted permits and did not go on before the run was stopped, alone or under a share of what the others run. */
static void stop_when_granted(coir_io *(*hold)(coir_semaphore *one))
{
    coir_semaphore *one = coir_semaphore_new(1);
    struct coir__run run;
    struct coir__seat seat = { .run = &run };
    CHECK(coir__run_init(&run, &by_hand, COIR_OPTIONS(.budget = 100)));
    coir__me.seat = &seat;
    coir_io *io[3] = { coir_then(coir_acquire(one, 1), coir_then(coir_yield(), coir_release(one, 1))), hold(one), coir_acquire(one, 1) };
    coir_fiber *fibers[3];
    for (size_t i = 0; i < 3; i++) {
        fibers[i] = coir__fiber_new(&seat, io[i], false, NULL);
        CHECK_INT(coir__interp(&seat, fibers[i]), i == 0 ? STOP_YIELDED : STOP_PARKED);
    }
    CHECK_INT(coir__interp(&seat, fibers[0]), STOP_ENDED);
    coir__fiber_end(&seat, fibers[0]);
    CHECK_INT(coir_semaphore_available(one), 0);        /* it is the second fiber's */
    for (size_t i = 1; i < 3; i++)
        coir__fiber_strip(fibers[i]);
    for (size_t i = 1; i < 3; i++)
        coir__fiber_discard(fibers[i]);
    CHECK_INT(coir_semaphore_available(one), 1);
    for (size_t i = 0; i < 3; i++)
        coir_fiber_drop(fibers[i]);
    coir__run_done(&run);
    coir__me.seat = NULL;
    coir_semaphore_drop(one);
    CHECK_INT(things_alive, 0);
    notes();
}

static coir_io *owned_hold(coir_semaphore *one) { return coir_with_permits(one, 1, coir_pure(thing(1))); }
static coir_io *shared_hold(coir_semaphore *one) { return coir_repeat(owned_hold(one), 2); }

TEST(deadlock, permits_granted_to_who_had_not_gone_on_yet_are_given_back)
{
    stop_when_granted(owned_hold);
    stop_when_granted(shared_hold);
}

TEST(deadlock, option_stop_ends_the_run_with_waiters_of_every_kind)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_semaphore *none = coir_semaphore_new_bounded(0, 1);
        coir_io *io = waited(
            COIR_IOS(coir_finally(coir_acquire(none, 1), noting("finalizer")), coir_finally(joined(coir_never()), noting("finalizer"))));
        coir_result result = stopped(workers, io);
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), "waits for");
        coir_result_drop(&result);
        coir_semaphore_drop(none);
        CHECK_STR(notes(), "");
    }
}

TEST(deadlock, option_stop_reports_a_ring_of_joins)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        struct ring ring = { .count = 5, .all_there = coir_semaphore_new_bounded(0, 20) };
        coir_result result = stopped(workers, join_ring(&ring));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        CHECK_CONTAINS(coir_error_message(&result.value), "waits for the end of fiber");
        coir_result_drop(&result);
        for (size_t i = 0; i < ring.count; i++) {
            CHECK_INT(coir_fiber_status(ring.fibers[i]), COIR_ENDED);
            result = run(1, coir_join(ring.fibers[i]));
            CHECK_CODE(result, COIR_PANIC, COIR_STOPPED);
            coir_result_drop(&result);
        }
        ring_done(&ring);
    }
}

/* The owner of a scope waits for all of its children: of that wait no one fiber is the end. The child joins another, and that one the owner. */
struct by_scope { struct gate gate; coir_fiber *owner, *child, *other; };

static coir_io *through_a_scope(struct by_scope *all)
{
    coir_io *child = coir_finally(coir_then(passing(&all->gate), joining(&all->other)), noting("child"));
    coir_io *other = coir_finally(coir_then(passing(&all->gate), joining(&all->owner)), noting("other"));
    coir_io *owner = coir_scope(coir_then(forking(child, &all->child), coir_unit()));
    coir_io *forks = coir_then(forking(other, &all->other), forking(owner, &all->owner));
    return coir_sequence(COIR_IOS(forks, until_parked(&all->owner), opening(&all->gate), coir_attempt(joining(&all->owner))));
}

TEST(deadlock, ring_that_leads_through_a_scope_is_ended_by_silence)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        struct by_scope all = { .gate = GATE };
        CHECK_STR(outcome(workers, through_a_scope(&all)), "OK <PANIC DEADLOCK>");
        const char *both = notes();
        CHECK_CONTAINS(both, "child");
        CHECK_CONTAINS(both, "other");
        CHECK_INT(coir_fiber_status(all.owner), COIR_ENDED);
        coir_fiber_drop(all.owner);
        coir_fiber_drop(all.child);
        coir_fiber_drop(all.other);
    }
}
