/*
 * rwlock.c - tests of the read-write lock: many read or one writes, nobody is overtaken, and who holds it is known
 */
#include "ways.h"

#define RWLOCK_ID(lock) ((uintmax_t)coir_rwlock_id(lock))

static coir_io *reading(coir_rwlock *lock, coir_io *io) { return coir_with_read_lock(lock, io); }
static coir_io *writing(coir_rwlock *lock, coir_io *io) { return coir_with_write_lock(lock, io); }

static coir_io *release_if(void *release, coir_value *taken)
{
    bool was_taken = taken->flag;
    return was_taken ? coir_as(coir_io_ref(release), coir_bool(true)) : coir_pure(coir_bool(false));
}
static void drop_io(void *io) { coir_io_drop(io); }

/* free_to: flags: whether another fiber could read, and write; which leaves it as it was. */
static coir_io *free_to(coir_io *try, coir_io *release) { return coir_owns(coir_flat_map(try, release_if, release), release, drop_io); }
static coir_io *free_now(coir_rwlock *lock)
{
    return coir_zip(COIR_IOS(joined(free_to(coir_read_lock_try(lock), coir_read_lock_release(lock))),
                             joined(free_to(coir_write_lock_try(lock), coir_write_lock_release(lock)))));
}

TEST(rwlock, NULL_is_harmless)
{
    CHECK_PTR(coir_rwlock_ref(NULL), NULL);
    coir_rwlock_drop(NULL);
    CHECK_UINT(coir_rwlock_id(NULL), 0);
    CHECK(!coir_rwlock_expose(NULL));
    CHECK_PTR(coir_read_lock_acquire(NULL), NULL);
    CHECK_PTR(coir_write_lock_acquire(NULL), NULL);
    CHECK_PTR(coir_read_lock_try(NULL), NULL);
    CHECK_PTR(coir_write_lock_try(NULL), NULL);
    CHECK_PTR(coir_read_lock_release(NULL), NULL);
    CHECK_PTR(coir_write_lock_release(NULL), NULL);
    CHECK_PTR(coir_read_lock_held(NULL), NULL);
    CHECK_PTR(coir_write_lock_held(NULL), NULL);
    CHECK_PTR(coir_with_read_lock(NULL, coir_pure(thing(1))), NULL);
    CHECK_PTR(coir_with_write_lock(NULL, coir_pure(thing(2))), NULL);
    CHECK_STR(notes(), "-1 -2");
    coir_rwlock *lock = coir_rwlock_new();
    CHECK_PTR(coir_with_read_lock(lock, NULL), NULL);
    CHECK_PTR(coir_with_write_lock(lock, NULL), NULL);
    CHECK_STR(outcome(1, free_now(lock)), "OK [1 1]");
    coir_rwlock_drop(lock);
}

/* -------------------------------------------------------------------------------------------------- readers and writers */

/* Plain memory: a writer changes two numbers one after the other; a reader finds them the same, and never older than before. */
struct page { coir_rwlock *lock; int64_t *numbers; atomic_int *reading, *most; int64_t seen; int rounds; };
static coir_io *writer_step(coir_routine *self)
{
    COIR_BEGIN(self, struct page, my);
    for (; my->rounds > 0; my->rounds--) {
        COIR_AWAIT(coir_write_lock_acquire(my->lock));
        my->numbers[0]++;
        COIR_AWAIT(coir_yield());
        my->numbers[1]++;
        COIR_AWAIT(coir_write_lock_release(my->lock));
    }
    COIR_END;
}
static coir_io *reader_step(coir_routine *self)
{
    COIR_BEGIN(self, struct page, my);
    for (; my->rounds > 0; my->rounds--) {
        COIR_AWAIT(coir_read_lock_acquire(my->lock));
        int readers = atomic_fetch_add(my->reading, 1) + 1, most = atomic_load(my->most);
        while (readers > most && !atomic_compare_exchange_weak(my->most, &most, readers)) {}
        if (my->numbers[0] < my->seen)
            COIR_RAISE(coir_stringf("a write is undone"));
        my->seen = my->numbers[0];
        COIR_AWAIT(coir_yield());
        if (my->numbers[0] != my->seen || my->numbers[1] != my->seen)
            COIR_RAISE(coir_stringf("a writer is inside"));
        atomic_fetch_sub(my->reading, 1);
        COIR_AWAIT(coir_read_lock_release(my->lock));
    }
    COIR_RETURN(coir_int(my->seen));
    COIR_END;
}

TEST(rwlock, readers_see_each_write_whole_and_in_order)
{
    FOR_WAYS(way) {
        enum { READERS = 4, WRITERS = 2, WRITES = 8 };
        int64_t numbers[2] = { 0 };
        atomic_int inside = 0, most = 0;
        struct page page = { .lock = coir_rwlock_new(), .numbers = numbers, .reading = &inside, .most = &most, .rounds = WRITES };
        coir_io *writer = coir_do(writer_step, &page, sizeof page), *reader = coir_do(reader_step, &page, sizeof page), *ios[READERS + WRITERS];
        for (size_t i = 0; i < READERS + WRITERS; i++)
            ios[i] = coir_io_ref(i % 3 == 0 ? writer : reader);
        CHECK_STR(outcome_in(way, coir_as(coir_par_zip(READERS + WRITERS, ios), coir_none())), "OK 0");
        CHECK_STR(outcome_in(way, coir_io_ref(reader)), spelled("OK %d", WRITERS * WRITES));
        CHECK_INT(numbers[1], WRITERS * WRITES);
        coir_io_drop(writer);
        coir_io_drop(reader);
        CHECK_STR(outcome_in(way, free_now(page.lock)), "OK [1 1]");
        coir_rwlock_drop(page.lock);
    }
}

TEST(rwlock, readers_are_inside_together_and_a_writer_alone)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(free_now(lock), reading(lock, free_now(lock)), writing(lock, free_now(lock)), free_now(lock)))),
                  "OK [[1 1] [1 0] [0 0] [1 1]]");
        /* Three at once: each waits for the other two inside. */
        coir_barrier *barrier = coir_barrier_new(3);
        coir_io *meet = reading(lock, coir_as(coir_barrier_wait(barrier), coir_int(1)));
        CHECK_STR(outcome_in(way, coir_par_zip(COIR_IOS(coir_io_ref(meet), coir_io_ref(meet), meet))), "OK [1 1 1]");
        coir_barrier_drop(barrier);
        coir_rwlock_drop(lock);
    }
}

TEST(rwlock, they_go_in_the_order_of_arrival_and_neighbours_read_together)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_barrier *two = coir_barrier_new(2);
        coir_fiber *fibers[5] = { NULL };
        coir_io *ios[] = { writing(lock, noting("w1")), reading(lock, coir_then(coir_barrier_wait(two), noting("r"))),
                           reading(lock, coir_then(coir_barrier_wait(two), noting("r"))), writing(lock, noting("w2")), reading(lock, noting("r3")) };
        coir_io *steps[6];
        for (size_t i = 0; i < 5; i++)
            steps[i] = queueing(ios[i], &fibers[i]);
        steps[5] = noting("holder");
        coir_io *io = coir_then(writing(lock, coir_sequence(6, steps)), joining(&fibers[4]));
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK_STR(notes(), "holder w1 r r w2 r3");
        fibers_drop(5, fibers);
        coir_barrier_drop(two);
        coir_rwlock_drop(lock);
    }
}

static coir_io *note_flag(void *env, coir_value *flag)
{
    (void)env;
    note("%d", flag->flag);
    return coir_unit();
}

TEST(rwlock, a_writer_who_waits_holds_new_readers_back)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(
            reading(lock, coir_sequence(COIR_IOS(queueing(writing(lock, noting("writer")), &fibers[0]), queueing(reading(lock, noting("late")), &fibers[1]),
                                                 coir_flat_map(joined(coir_read_lock_try(lock)), note_flag, NULL), noting("reader")))),
            joining(&fibers[0]), joining(&fibers[1])));
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK_STR(notes(), "0 reader writer late");
        fibers_drop(2, fibers);
        coir_rwlock_drop(lock);
    }
}

TEST(rwlock, a_writer_who_is_canceled_lets_the_readers_behind_him_in)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_fiber *fibers[3] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(queueing(writing(lock, noting("writer")), &fibers[0]), queueing(reading(lock, noting("late")), &fibers[1]),
                                             queueing(writing(lock, noting("last")), &fibers[2]), canceling(&fibers[0]), joining(&fibers[1]), noting("reader")));
        CHECK_STR(outcome_in(way, coir_then(reading(lock, io), joining(&fibers[2]))), "OK 0");
        CHECK_STR(notes(), "late reader last");
        fibers_drop(3, fibers);
        CHECK_STR(outcome_in(way, free_now(lock)), "OK [1 1]");
        coir_rwlock_drop(lock);
    }
}

/* Whoever is called off whenever, in the end it is free. */
TEST(rwlock, whoever_is_timed_out_holds_nothing)
{
    FOR_WAYS(way) {
        enum { FIBERS = 6 };
        coir_rwlock *lock = coir_rwlock_new();
        coir_io *ios[FIBERS];
        for (size_t i = 0; i < FIBERS; i++) {
            coir_io *inside = coir_repeat(coir_yield(), i);
            coir_io *once = coir_timeout(i % 2 == 0 ? reading(lock, inside) : writing(lock, inside), moment_in(way));
            ios[i] = coir_repeat(coir_or_else(once, coir_unit()), 5);
        }
        CHECK_STR(outcome_in(way, coir_as(coir_par_zip(FIBERS, ios), coir_none())), "OK 0");
        CHECK_STR(outcome_in(way, free_now(lock)), "OK [1 1]");
        coir_rwlock_drop(lock);
    }
}

/* ---------------------------------------------------------------------------------------------------------- reentrancy */

TEST(rwlock, who_reads_may_read_again_though_a_writer_waits)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_fiber *writer = NULL;
        coir_io *again = reading(lock, coir_zip(COIR_IOS(coir_then_keep(coir_read_lock_try(lock), coir_read_lock_release(lock)), noting("again"))));
        coir_io *io = reading(lock, coir_sequence(COIR_IOS(queueing(writing(lock, noting("writer")), &writer), again, coir_repeat(coir_yield(), 5), noting("out"))));
        CHECK_STR(outcome_in(way, coir_then(io, joining(&writer))), "OK 0");
        CHECK_STR(notes(), "again out writer");
        fibers_drop(1, &writer);
        coir_rwlock_drop(lock);
    }
}

TEST(rwlock, who_writes_may_write_again_and_read_and_go_on_reading)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        CHECK_STR(outcome_in(way, writing(lock, writing(lock, reading(lock, coir_zip(COIR_IOS(writing(lock, free_now(lock)), free_now(lock))))))),
                  "OK [[0 0] [0 0]]");
        /* The write lock goes first: others may read with him from then on. */
        coir_io *io = coir_zip(COIR_IOS(coir_write_lock_acquire(lock), coir_read_lock_acquire(lock), free_now(lock), coir_write_lock_release(lock),
                                        free_now(lock), coir_read_lock_release(lock), free_now(lock)));
        CHECK_STR(outcome_in(way, io), "OK [0 0 [0 0] 0 [1 0] 0 [1 1]]");
        coir_rwlock_drop(lock);
    }
}

TEST(rwlock, who_gives_up_writing_lets_waiting_readers_in_beside_him)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(
            coir_write_lock_acquire(lock), coir_read_lock_acquire(lock), queueing(reading(lock, noting("reader")), &fibers[0]),
            queueing(writing(lock, noting("writer")), &fibers[1]), coir_write_lock_release(lock), joining(&fibers[0]), noting("out"),
            coir_read_lock_release(lock), joining(&fibers[1])));
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK_STR(notes(), "reader out writer");
        fibers_drop(2, fibers);
        coir_rwlock_drop(lock);
    }
}

TEST(rwlock, the_only_reader_may_go_on_to_write_before_a_writer_who_waits)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_fiber *writer = NULL;
        coir_io *more = writing(lock, coir_zip(COIR_IOS(free_now(lock), noting("more"))));
        coir_io *io = reading(lock, coir_zip(COIR_IOS(queueing(writing(lock, noting("writer")), &writer), more,
                                                      coir_then_keep(coir_write_lock_try(lock), coir_write_lock_release(lock)))));
        CHECK_STR(outcome_in(way, coir_then_keep(io, joining(&writer))), "OK [0 [[0 0] 0] 1]");
        CHECK_STR(notes(), "more writer");
        fibers_drop(1, &writer);
        coir_rwlock_drop(lock);
    }
}

TEST(rwlock, one_of_several_readers_is_refused_to_write_with_an_error)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_semaphore *go = coir_semaphore_new_bounded(0, 1);
        coir_fiber *other = NULL;
        coir_io *attempts = coir_zip(COIR_IOS(coir_attempt(coir_write_lock_acquire(lock)), coir_write_lock_try(lock), coir_attempt(writing(lock, noting("in"))),
                                              joined(free_to(coir_read_lock_try(lock), coir_read_lock_release(lock)))));
        coir_io *io = reading(lock, coir_then(queueing(reading(lock, coir_acquire(go, 1)), &other), coir_then_keep(attempts, coir_release(go, 1))));
        coir_result result = run_in(way, coir_named(coir_then_keep(io, joining(&other)), "reader"));
        CHECK_STR(describe(&result), "OK [<ERROR REFUSED> 0 <ERROR REFUSED> 1]");
        const char *message = coir_error_message(&coir_result_in(coir_list_at(&result.value, 0))->value);
        CHECK_CONTAINS(message, "coir_write_lock_acquire: fiber");
        CHECK_CONTAINS(message, spelled("'reader' reads under read-write lock %ju, as others do", RWLOCK_ID(lock)));
        coir_result_drop(&result);
        CHECK_STR(notes(), "");
        CHECK_STR(outcome_in(way, free_now(lock)), "OK [1 1]");
        fibers_drop(1, &other);
        coir_semaphore_drop(go);
        coir_rwlock_drop(lock);
    }
}

TEST(rwlock, child_of_who_holds_it_does_not_hold_it)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        CHECK_STR(outcome_in(way, reading(lock, joined(coir_attempt(coir_read_lock_release(lock))))), "OK <PANIC MISUSE>");
        CHECK_STR(outcome_in(way, writing(lock, joined(coir_attempt(coir_write_lock_release(lock))))), "OK <PANIC MISUSE>");
        coir_rwlock_drop(lock);
    }
}

/* ------------------------------------------------------------------------------------------------------------ release */

TEST(rwlock, releasing_what_one_does_not_hold_so_is_a_panic_that_names_it_and_changes_nothing)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        const char *named = spelled("'rogue' releases read-write lock %ju, which it does not hold so", RWLOCK_ID(lock));
        CHECK_CONTAINS(message_in(way, coir_named(coir_read_lock_release(lock), "rogue")), named);
        CHECK_CONTAINS(message_in(way, coir_named(coir_write_lock_release(lock), "rogue")), named);
        CHECK_CONTAINS(message_in(way, coir_read_lock_release(lock)), "coir_read_lock_release: fiber");
        CHECK_CONTAINS(message_in(way, coir_write_lock_release(lock)), "coir_write_lock_release: fiber");
        CHECK_STR(outcome_in(way, reading(lock, coir_zip(COIR_IOS(coir_attempt(coir_write_lock_release(lock)), free_now(lock))))),
                  "OK [<PANIC MISUSE> [1 0]]");
        CHECK_STR(outcome_in(way, writing(lock, coir_zip(COIR_IOS(coir_attempt(coir_read_lock_release(lock)), free_now(lock))))),
                  "OK [<PANIC MISUSE> [0 0]]");
        CHECK_STR(outcome_in(way, coir_then(reading(lock, coir_unit()), coir_read_lock_release(lock))), "PANIC MISUSE");
        CHECK_STR(outcome_in(way, coir_then(writing(lock, coir_unit()), coir_write_lock_release(lock))), "PANIC MISUSE");
        coir_rwlock_drop(lock);
    }
}

TEST(rwlock, it_is_given_back_however_io_ended)
{
    static const char *const expected[] = { "OK 5", "ERROR 5", "PANIC 5", "CANCELED 5" };
    FOR_WAYS(way)
        for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
            coir_rwlock *lock = coir_rwlock_new();
            coir_io *read = reading(lock, coir_then(coir_yield(), ending(tag, 5)));
            CHECK_STR(outcome_in(way, coir_io_ref(read)), expected[tag]);
            CHECK_STR(outcome_in(way, read), expected[tag]);
            CHECK_STR(outcome_in(way, writing(lock, coir_then(coir_yield(), ending(tag, 5)))), expected[tag]);
            CHECK_STR(outcome_in(way, coir_with(coir_read_lock_held(lock), coir_then(coir_yield(), ending(tag, 5)))), expected[tag]);
            CHECK_STR(outcome_in(way, coir_with(coir_write_lock_held(lock), coir_then(coir_yield(), ending(tag, 5)))), expected[tag]);
            CHECK_STR(outcome_in(way, free_now(lock)), "OK [1 1]");
            coir_rwlock_drop(lock);
        }
}

TEST(rwlock, fiber_that_ends_with_it_is_a_panic_and_the_next_get_it)
{
    FOR_WAYS(way)
        for (int writes = 0; writes < 2; writes++) {
            coir_rwlock *lock = coir_rwlock_new();
            coir_semaphore *go = coir_semaphore_new_bounded(0, 1);
            coir_fiber *fibers[2] = { NULL };
            coir_io *take = writes ? coir_write_lock_acquire(lock) : coir_read_lock_acquire(lock);
            coir_io *hold = coir_named(coir_then(coir_repeat(take, 2), coir_acquire(go, 1)), "careless");
            coir_io *io = coir_sequence(COIR_IOS(queueing(hold, &fibers[0]), queueing(writing(lock, noting("next")), &fibers[1]), coir_release(go, 1),
                                                 joining(&fibers[1]), joining(&fibers[0])));
            coir_result result = run_in(way, io);
            CHECK_CODE(result, COIR_PANIC, COIR_MISUSE);
            CHECK_CONTAINS(coir_error_message(&result.value), spelled("'careless' ended while it held lock %ju", RWLOCK_ID(lock)));
            coir_result_drop(&result);
            CHECK_STR(notes(), "next");
            CHECK_STR(outcome_in(way, free_now(lock)), "OK [1 1]");
            fibers_drop(2, fibers);
            coir_semaphore_drop(go);
            coir_rwlock_drop(lock);
        }
}

TEST(rwlock, handle_may_be_dropped_while_fibers_hold_it_and_wait)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(coir_read_lock_acquire(lock), queueing(writing(lock, noting("writer")), &fibers[0]),
                                             queueing(reading(lock, noting("reader")), &fibers[1]), coir_read_lock_release(lock), joining(&fibers[1])));
        CHECK_PTR(coir_rwlock_ref(lock), lock);
        coir_rwlock_drop(lock);
        coir_rwlock_drop(lock);
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK_STR(notes(), "writer reader");
        fibers_drop(2, fibers);
    }
}

/* ----------------------------------------------------------------------------------------------------------- deadlocks */

TEST(rwlock, a_ring_through_readers_and_writers_is_found_and_named)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_fiber *waiter = NULL;
        struct gate gate;
        const char *named = spelled("waits for read-write lock %ju that fiber", RWLOCK_ID(lock));
        for (int i = 0; i < 3; i++) {
            coir_io *wants = i == 0 ? reading(lock, coir_unit()) : writing(lock, coir_unit());
            coir_io *joins = coir_then(queueing(wants, &waiter), joining(&waiter));
            coir_io *io = i == 2 ? reading(lock, joins) : writing(lock, joins);
            coir_result result = run_in(way, not_silent(&gate, io));
            CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
            CHECK_CONTAINS(coir_error_message(&result.value), named);
            coir_result_drop(&result);
            fibers_drop(1, &waiter);
        }
        CHECK_STR(outcome_in(way, free_now(lock)), "OK [1 1]");
        coir_rwlock_drop(lock);
    }
}

/* The writer waits for two readers, one of whom waits for him. When the other has gone that is a ring, though no wait has begun since. */
TEST(rwlock, a_ring_that_is_closed_by_a_reader_who_goes_is_found)
{
    FOR_WAYS(way) {
        coir_rwlock *rwlock = coir_rwlock_new();
        coir_lock *lock = coir_lock_new();
        coir_semaphore *go = coir_semaphore_new_bounded(0, 1);
        coir_fiber *fibers[3] = { NULL };
        struct gate gate;
        coir_io *stays = reading(rwlock, coir_then(coir_acquire(go, 1), coir_with_lock(lock, coir_unit())));
        coir_io *goes = reading(rwlock, coir_sleep(coir_ms(2)));
        coir_io *writer = coir_with_lock(lock, writing(rwlock, coir_unit()));
        coir_io *io = coir_sequence(COIR_IOS(
            queueing(stays, &fibers[0]), queueing(goes, &fibers[1]), queueing(writer, &fibers[2]), coir_release(go, 1),
            coir_zip(COIR_IOS(looking(&fibers[0]), looking(&fibers[1]), looking(&fibers[2])))));
        CHECK_STR(outcome_in(way, not_silent(&gate, io)), "OK [<PANIC DEADLOCK> <OK 0> <PANIC DEADLOCK>]");
        fibers_drop(3, fibers);
        coir_semaphore_drop(go);
        coir_lock_drop(lock);
        coir_rwlock_drop(rwlock);
    }
}

/* Who waits behind a writer waits for whoever is to come, not for those who read: the writer may be called off. */
TEST(rwlock, who_waits_behind_a_writer_that_is_timed_out_is_no_ring)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_fiber *fibers[2] = { NULL };
        coir_io *writer = coir_or_else(coir_timeout(writing(lock, coir_unit()), coir_ms(2)), noting("late"));
        coir_io *io = reading(lock, coir_sequence(COIR_IOS(queueing(writer, &fibers[0]), queueing(reading(lock, noting("reader")), &fibers[1]),
                                                           joining(&fibers[1]))));
        CHECK_STR(outcome_in(way, coir_then(io, joining(&fibers[0]))), "OK 0");
        const char *noted = notes();
        CHECK(strcmp(noted, "late reader") == 0 || strcmp(noted, "reader late") == 0);
        fibers_drop(2, fibers);
        coir_rwlock_drop(lock);
    }
}

TEST(rwlock, waiting_in_a_silent_run_is_a_panic_and_leaves_it_as_it_was)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_io *never = reading(lock, coir_never());
        coir_result result = run_in(way, waited(COIR_IOS(coir_io_ref(never), never, writing(lock, coir_unit()), reading(lock, coir_unit()))));
        CHECK_TAG(result, COIR_OK);
        CHECK(how_many_are(&result.value, COIR_PANIC) >= 2);
        coir_result_drop(&result);
        CHECK_STR(outcome_in(way, free_now(lock)), "OK [1 1]");
        coir_rwlock_drop(lock);
    }
}

TEST(rwlock, a_run_that_is_stopped_leaves_it_free)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_io *ios[] = { reading(lock, coir_never()), coir_then(coir_read_lock_acquire(lock), coir_never()),
                           writing(lock, coir_pure(thing(1))), reading(lock, coir_pure(thing(1))) };
        coir_result result = coir_run(waited(4, ios), COIR_OPTIONS(.workers = workers, .on_deadlock = COIR_DEADLOCK_STOP));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        notes();
        CHECK_INT(things_alive, 0);
        CHECK_STR(outcome(workers, free_now(lock)), "OK [1 1]");
        coir_rwlock_drop(lock);
    }
}

/* ---------------------------------------------------------------------------------------------------------- other runs */

TEST(rwlock, another_run_is_refused_while_one_holds_it_or_waits)
{
    FOR_SCHEDULES(options) {
        coir_rwlock *lock = coir_rwlock_new();
        struct gate gate = GATE;
        struct other_run other;
        other_run_begin(&other, options, reading(lock, passing(&gate)));
        CHECK_SOON(gate_waiting(&gate) == 1);
        coir_io *refused[] = { coir_read_lock_acquire(lock), coir_write_lock_acquire(lock), coir_read_lock_try(lock), coir_write_lock_try(lock),
                               writing(lock, coir_unit()) };
        for (size_t i = 0; i < 5; i++) {
            coir_result result = coir_run(refused[i], options);
            CHECK_CODE(result, COIR_ERROR, COIR_REFUSED);
            coir_result_drop(&result);
        }
        gate_open(&gate);
        coir_result result = other_run_end(&other);
        CHECK_TAG(result, COIR_OK);
        CHECK_STR(outcome_under(options, free_now(lock)), "OK [1 1]");
        coir_rwlock_drop(lock);
    }
}

TEST(rwlock, exposed_one_serves_several_runs)
{
    FOR_SCHEDULES(options) {
        coir_rwlock *lock = coir_rwlock_new();
        struct gate gate = GATE;
        struct other_run other;
        struct elsewhere waits;
        CHECK(coir_rwlock_expose(lock));
        other_run_begin(&other, options, reading(lock, passing(&gate)));
        CHECK_SOON(gate_waiting(&gate) == 1);
        CHECK_STR(outcome_under(options, free_now(lock)), "OK [1 0]");
        waits_elsewhere(&waits, options, writing(lock, coir_pure(coir_int(3))));
        CHECK_STR(outcome_under(options, free_now(lock)), "OK [0 0]");
        gate_open(&gate);
        CHECK_STR(waits_elsewhere_end(&waits), "OK 3");
        coir_result result = other_run_end(&other);
        CHECK_TAG(result, COIR_OK);
        CHECK_STR(outcome_under(options, writing(lock, coir_pure(coir_int(4)))), "OK 4");
        coir_rwlock_drop(lock);
    }
}

/* -------------------------------------------------------------------------------------------------------- alternatives */

static coir_io *release_read(void *lock, coir_value *none)  { (void)none; return coir_then(noting("read"), coir_read_lock_release(lock)); }
static coir_io *release_write(void *lock, coir_value *none) { (void)none; return coir_then(noting("write"), coir_write_lock_release(lock)); }

TEST(rwlock, an_alternative_holds_just_what_its_case_took)
{
    FOR_WAYS(way) {
        coir_rwlock *locks[2] = { coir_rwlock_new(), coir_rwlock_new() };
        coir_fiber *fibers[2] = { NULL };
        coir_io *alt = coir_alt(COIR_CASES(coir_on(coir_write_lock_acquire(locks[0]), release_write, locks[0]),
                                           coir_on(coir_read_lock_acquire(locks[1]), release_read, locks[1])));
        CHECK_STR(outcome_in(way, coir_io_ref(alt)), "OK 0");
        CHECK_STR(outcome_in(way, reading(locks[0], joined(coir_io_ref(alt)))), "OK 0");
        CHECK_STR(notes(), "write read");
        /* Both are held: it waits for the first that is let go. */
        coir_io *io = reading(locks[0], coir_sequence(COIR_IOS(
            coir_write_lock_acquire(locks[1]), queueing(coir_io_ref(alt), &fibers[0]), queueing(alt, &fibers[1]), coir_write_lock_release(locks[1]),
            joining(&fibers[0]), joining(&fibers[1]))));
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK_STR(notes(), "read read");
        fibers_drop(2, fibers);
        for (size_t i = 0; i < 2; i++) {
            CHECK_STR(outcome_in(way, free_now(locks[i])), "OK [1 1]");
            coir_rwlock_drop(locks[i]);
        }
    }
}

static coir_result set_it(void *event) { return coir_ok(coir_bool(coir_event_set(event))); }

TEST(rwlock, an_alternative_that_ends_otherwise_holds_nothing_back)
{
    FOR_WAYS(way) {
        coir_rwlock *lock = coir_rwlock_new();
        coir_event *event = coir_event_new();
        coir_fiber *fibers[2] = { NULL };
        coir_io *late = coir_alt(COIR_CASES(coir_on(coir_write_lock_acquire(lock), release_write, lock), coir_on(coir_event_wait(event), NULL, NULL)));
        coir_io *io = reading(lock, coir_sequence(COIR_IOS(queueing(late, &fibers[0]), queueing(reading(lock, noting("reader")), &fibers[1]), noting("set"),
                                                           coir_defer(set_it, event), joining(&fibers[1]), joining(&fibers[0]))));
        CHECK_STR(outcome_in(way, io), "OK 0");
        CHECK_STR(notes(), "set reader");
        CHECK_STR(outcome_in(way, free_now(lock)), "OK [1 1]");
        fibers_drop(2, fibers);
        coir_event_drop(event);
        coir_rwlock_drop(lock);
    }
}
