/*
 * join.c - waiting for ends that come from every worker at once, and from other runs
 */
#include "fibers.h"

/* Everybody waits for the first of the same fibers, which end now before, now while they register. */
static coir_io *race_for_them(void *env, coir_value *fibers)
{
    (void)env;
    return coir_flat_map(copies_of(16, coir_then(coir_wait_any(fibers), coir_then(coir_yield(), coir_wait_any(fibers)))), wait_it, NULL);
}

TEST_WITH_TIMEOUT(stress_join, waits_for_the_first_of_the_same_fibers_all_end, 600)
{
    FOR_WORKERS(workers, 1, 2, 3, 4)
        for (uint64_t round = 0; round < (uint64_t)scaled(2000); round++) {
            coir_io *ios[8];
            for (uint64_t i = 0; i < 8; i++)
                ios[i] = coir_repeat(coir_yield(), (i * 5 + round) % 23);
            coir_result result = coir_run(coir_flat_map(coir_parallel(8, ios), race_for_them, NULL),
                                          COIR_OPTIONS(.workers = workers, .budget = (uint32_t)(round % 9)));
            CHECK_TAG(result, COIR_OK);
            CHECK_INT(how_many_are(&result.value, COIR_OK), 16);
            coir_result_drop(&result);
        }
}

/* Each looks for the ends of all, in lists of its own order, while they end. */
static coir_io *wait_for_some(void *env, coir_value *fibers)
{
    (void)env;
    coir_io *ios[8];
    for (size_t i = 0; i < 8; i++) {
        coir_value some = coir_list(0, NULL);
        for (size_t k = 0; k < 12; k++)
            CHECK(coir_list_push(&some, coir_share(coir_list_at(fibers, (k * (i + 1) + i) % 24))));
        ios[i] = i % 2 == 0 ? coir_wait(&some) : coir_then(coir_wait_any(&some), coir_wait(&some));
        coir_drop(some);
    }
    return waited(8, ios);
}

TEST_WITH_TIMEOUT(stress_join, waits_for_lists_that_overlap_give_what_each_fiber_ended_with, 600)
{
    FOR_WORKERS(workers, 1, 2, 3, 4)
        for (uint64_t round = 0; round < (uint64_t)scaled(1000); round++) {
            coir_io *ios[24];
            for (uint64_t i = 0; i < 24; i++)
                ios[i] = coir_then(coir_repeat(coir_yield(), (i * 7 + round) % 31), coir_pure(coir_int((int64_t)i)));
            coir_result result = run(workers, coir_flat_map(coir_parallel(24, ios), wait_for_some, NULL));
            CHECK_TAG(result, COIR_OK);
            for (size_t i = 0; i < 8; i++) {
                const coir_result *one = coir_result_in(coir_list_at(&result.value, i));
                CHECK_TAG(*one, COIR_OK);
                for (size_t k = 0; k < 12; k++)
                    CHECK_INT(coir_result_in(coir_list_at(&one->value, k))->value.i64, (int64_t)((k * (i + 1) + i) % 24));
            }
            coir_result_drop(&result);
        }
}

/* A handle that a foreign thread takes from one run and that another run joins while both go on. */
TEST_WITH_TIMEOUT(stress_join, fiber_is_joined_across_runs_at_any_moment_of_its_end, 600)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (uint64_t round = 0; round < (uint64_t)scaled(1000); round++) {
            coir_options options = { .workers = workers };
            coir_fiber *fiber = NULL;
            struct gate there = GATE, go = GATE;
            struct other_run other;
            coir_io *child = coir_then(passing(&go), coir_then(coir_repeat(coir_yield(), round % 40), coir_pure(thing((int)round))));
            other_run_begin(&other, &options, coir_then(forking(child, &fiber), passing(&there)));
            CHECK_SOON(gate_waiting(&there) == 1);
            coir_io *joins = coir_flat_map(copies_of(4, coir_then(coir_yield(), coir_join(fiber))), wait_it, NULL);
            coir_result result = coir_run(coir_then(opening(&go), joins), &options);
            CHECK_TAG(result, COIR_OK);
            CHECK_INT(how_many_are(&result.value, COIR_OK), 4);
            coir_result_drop(&result);
            coir_fiber_drop(fiber);
            gate_open(&there);
            result = other_run_end(&other);
            CHECK_TAG(result, COIR_OK);
            coir_result_drop(&result);
            CHECK_INT(things_alive, 0);
            notes();
        }
}

/* ------------------------------------------------------------------------------------------- handles in other threads */

enum { DROPPERS = 3, HANDLES = 200 };
struct dropper { coir_fiber *_Atomic slots[HANDLES]; struct gate done; };

static void *drop_each(void *dropper_)
{
    struct dropper *dropper = dropper_;
    for (size_t i = 0; i < HANDLES; i++) {
        CHECK_SOON(atomic_load(&dropper->slots[i]) != NULL);
        coir_fiber_drop(atomic_load(&dropper->slots[i]));
    }
    gate_open(&dropper->done);
    return NULL;
}

struct hand { struct dropper *droppers; size_t index; };
static coir_io *hand_out(void *hand_, coir_value *fiber)
{
    struct hand *hand = hand_;
    for (size_t i = 0; i < DROPPERS; i++)
        atomic_store(&hand->droppers[i].slots[hand->index], coir_fiber_ref(coir_fiber_of(fiber)));
    return coir_unit();
}

TEST_WITH_TIMEOUT(stress_join, handles_are_given_up_by_other_threads_while_fibers_begin_and_end, 600)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(30); round++) {
            static struct dropper droppers[DROPPERS];
            pthread_t threads[DROPPERS];
            atomic_int count = 0;
            for (size_t i = 0; i < DROPPERS; i++) {
                droppers[i] = (struct dropper){ .done = GATE };
                CHECK_INT(pthread_create(&threads[i], NULL, drop_each, &droppers[i]), 0);
            }
            coir_io *ios[HANDLES];
            for (size_t i = 0; i < HANDLES; i++) {
                coir_io *child = coir_then(coir_repeat(coir_yield(), i % 5), counting(&count));
                ios[i] = coir_flat_map_copy(coir_fork(child), hand_out, COIR_ENV(struct hand, .droppers = droppers, .index = i));
            }
            coir_io *all = coir_as(coir_zip(HANDLES, ios), coir_none());
            for (size_t i = 0; i < DROPPERS; i++)
                all = coir_then(all, passing(&droppers[i].done));
            CHECK_STR(outcome(workers, all), "OK 0");
            CHECK_INT(count, HANDLES);
            for (size_t i = 0; i < DROPPERS; i++)
                CHECK_INT(pthread_join(threads[i], NULL), 0);
        }
}
