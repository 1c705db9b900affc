/*
 * deadlock.c - verdicts while everything moves: rings that close at any moment are all found, and where there is none, none is
 */
#include "fibers.h"

/* ---------------------------------------------------------------------------------------------------- none is missed */

struct pair { coir_fiber *fibers[2]; coir_semaphore *go; };

/* Two who join each other, let go at once: one registers while another worker may be looking for rings. */
static coir_io *pair_of_joiners(struct pair *pair)
{
    coir_io *io = coir_sequence(COIR_IOS(forking(coir_then(coir_acquire(pair->go, 1), joining(&pair->fibers[1])), &pair->fibers[0]),
                                         forking(coir_then(coir_acquire(pair->go, 1), joining(&pair->fibers[0])), &pair->fibers[1])));
    return coir_then(io, coir_release(pair->go, 2));
}

static bool pair_panicked(struct pair *pair)
{
    bool panicked = true;
    for (size_t i = 0; i < 2; i++) {
        coir_result result = run(1, coir_join(pair->fibers[i]));
        panicked = panicked && result.tag == COIR_PANIC && coir_error_code(&result.value) == COIR_DEADLOCK;
        coir_result_drop(&result);
        coir_fiber_drop(pair->fibers[i]);
    }
    coir_semaphore_drop(pair->go);
    return panicked;
}

TEST_WITH_TIMEOUT(stress_deadlock, ring_of_joins_is_found_however_it_closes, 600)
{
    FOR_WORKERS(workers, 2, 3, 4)
        for (int round = 0; round < scaled(20000); round++) {
            struct pair pair = { .go = coir_semaphore_new_bounded(0, 2) };
            CHECK_STR(outcome(workers, pair_of_joiners(&pair)), "OK 0");
            CHECK(pair_panicked(&pair));
        }
}

TEST_WITH_TIMEOUT(stress_deadlock, ring_of_joins_is_found_while_a_callback_is_still_to_come, 600)
{
    FOR_WORKERS(workers, 2, 3, 4)
        for (int round = 0; round < scaled(5000); round++) {
            struct pair pair = { .go = coir_semaphore_new_bounded(0, 2) };
            struct gate gate = GATE;
            coir_io *io = coir_then(pair_of_joiners(&pair), coir_then(coir_attempt(joining(&pair.fibers[0])), opening(&gate)));
            CHECK_STR(outcome(workers, waited(COIR_IOS(passing(&gate), io))), "OK [<OK 0> <OK 0>]");
            CHECK(pair_panicked(&pair));
        }
}

/* ------------------------------------------------------------------------------------------------------ none is false */

/*
 * Nobody here waits for one lock while it holds one that comes before it, so there never is a ring; but whoever looks at one fiber, then at
 * another a little later, sees ends that do not belong together: the one waits for a lock that the other held then and gave up since.
 */
struct mover { coir_lock *outer, *inner; coir_semaphore *permits; int rounds; uint64_t random; };
static coir_io *mover_step(coir_routine *self)
{
    COIR_BEGIN(self, struct mover, my);
    for (; my->rounds > 0; my->rounds--) {
        my->random = my->random * UINT64_C(6364136223846793005) + 1442695040888963407;
        if (my->random >> 60 < 6) {
            COIR_AWAIT(coir_with_lock(my->outer, coir_with_lock(my->inner, coir_sleep(coir_us(my->random >> 40 & 31)))));
        } else if (my->random >> 60 < 12) {
            COIR_AWAIT(coir_with_lock(my->inner, coir_sleep(coir_us(my->random >> 40 & 31))));
            COIR_AWAIT(coir_with_lock(my->outer, coir_yield()));
        } else if (my->random >> 60 < 14) {
            COIR_AWAIT(coir_with_permits(my->permits, 2, coir_sleep(coir_us(my->random >> 40 & 31))));
        } else {
            COIR_AWAIT(joined(coir_with_lock(my->inner, coir_sleep(coir_us(my->random >> 40 & 31)))));
        }
    }
    COIR_END;
}

TEST_WITH_TIMEOUT(stress_deadlock, locks_taken_in_order_are_never_judged, 600)
{
    uint64_t before = coir_counters_now().deadlocks;
    FOR_WORKERS(workers, 2, 3, 4)
        for (uint64_t round = 0; round < (uint64_t)scaled(50); round++) {
            coir_lock *outer = coir_lock_new(), *inner = coir_lock_new();
            coir_semaphore *permits = coir_semaphore_new(3);
            coir_io *ios[12];
            for (uint64_t i = 0; i < 12; i++)
                ios[i] = coir_do(mover_step, COIR_ENV(struct mover, .outer = outer, .inner = inner, .permits = permits, .rounds = 100,
                                                      .random = round * 12 + i));
            coir_result result = run(workers, waited(12, ios));
            CHECK_TAG(result, COIR_OK);
            if (how_many_are(&result.value, COIR_OK) != 12)
                for (size_t i = 0; i < 12; i++) {
                    coir_value_print(coir_list_at(&result.value, i), stderr);
                    fputs("\n", stderr);
                }
            CHECK_INT(how_many_are(&result.value, COIR_OK), 12);
            coir_result_drop(&result);
            coir_lock_drop(outer);
            coir_lock_drop(inner);
            coir_semaphore_drop(permits);
        }
    CHECK_UINT(coir_counters_now().deadlocks, before);
}

/* What ends the wait of each comes from another thread, now before and now after everybody has fallen silent. */
static void *open_at_some_time(void *gate_)
{
    struct gate *gate = gate_;
    CHECK_SOON(gate_waiting(gate) > 0);
    gate_open(gate);
    return NULL;
}

TEST_WITH_TIMEOUT(stress_deadlock, run_that_a_foreign_thread_will_wake_is_never_silent, 600)
{
    uint64_t before = coir_counters_now().deadlocks;
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(2000); round++) {
            struct gate gate = GATE;
            coir_semaphore *semaphore = coir_semaphore_new_bounded(0, 3);
            pthread_t thread;
            CHECK_INT(pthread_create(&thread, NULL, open_at_some_time, &gate), 0);
            coir_io *one = coir_then(passing(&gate), coir_release(semaphore, 1));
            coir_io *io = waited(COIR_IOS(coir_acquire(semaphore, 3), coir_io_ref(one), coir_io_ref(one), coir_io_ref(one)));
            coir_io_drop(one);
            CHECK_STR(outcome(workers, io), "OK [<OK 0> <OK 0> <OK 0> <OK 0>]");
            CHECK_INT(pthread_join(thread, NULL), 0);
            coir_semaphore_drop(semaphore);
        }
    CHECK_UINT(coir_counters_now().deadlocks, before);
}
