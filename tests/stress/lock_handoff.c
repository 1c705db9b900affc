/*
 * lock_handoff.c - locks and semaphores that go from hand to hand between workers, at every moment of each other's registering and leaving
 */
#include "fibers.h"

static uint64_t next(uint64_t random) { return random * UINT64_C(6364136223846793005) + 1442695040888963407; }

static const uint32_t budgets[] = { 1, 3, 64, 0 };
enum { BUDGETS = sizeof budgets / sizeof budgets[0] };

/* -------------------------------------------------------------------------------------------------------------- locks */

/* Each sum is protected by its lock alone; each fiber gives how often it had one. */
struct user { coir_lock **locks; int64_t *sums; size_t count; int rounds; uint64_t random; size_t at; int64_t read, had; };
static coir_io *user_step(coir_routine *self)
{
    COIR_BEGIN(self, struct user, my);
    for (; my->rounds > 0; my->rounds--) {
        my->random = next(my->random);
        my->at = (size_t)(my->random >> 40) % my->count;
        if (my->random >> 61 == 0) {
            COIR_AWAIT(coir_lock_try(my->locks[my->at]));
            if (!self->result.value.flag)
                continue;
        } else {
            COIR_AWAIT(coir_lock_acquire(my->locks[my->at]));
        }
        my->read = my->sums[my->at];
        if (my->random >> 60 & 1)
            COIR_AWAIT(coir_yield());
        my->sums[my->at] = my->read + 1;
        my->had++;
        if (my->random >> 59 & 1) {                     /* once more, and both given back */
            COIR_AWAIT(coir_lock_acquire(my->locks[my->at]));
            COIR_AWAIT(coir_lock_release(my->locks[my->at]));
        }
        COIR_AWAIT(coir_lock_release(my->locks[my->at]));
    }
    COIR_RETURN(coir_int(my->had));
    COIR_END;
}

static void lock_users(unsigned workers, uint32_t budget, size_t count)
{
    enum { FIBERS = 32, LOCKS = 4 };
    CASE("budget %u, %zu locks", (unsigned)budget, count);
    coir_lock *locks[LOCKS];
    coir_io *ios[FIBERS];
    int64_t sums[LOCKS] = { 0 }, sum = 0, had = 0;
    for (size_t i = 0; i < count; i++)
        locks[i] = coir_lock_new();
    for (size_t i = 0; i < FIBERS; i++)
        ios[i] =
            coir_do(user_step, COIR_ENV(struct user, .locks = locks, .sums = sums, .count = count, .rounds = scaled(5000), .random = i));
    coir_result result = coir_run(waited(FIBERS, ios), COIR_OPTIONS(.workers = workers, .budget = budget));
    CHECK_TAG(result, COIR_OK);
    CHECK_INT(how_many_are(&result.value, COIR_OK), FIBERS);
    for (size_t i = 0; i < FIBERS; i++)
        had += coir_result_in(coir_list_at(&result.value, i))->value.i64;
    coir_result_drop(&result);
    for (size_t i = 0; i < count; i++) {
        sum += sums[i];
        coir_lock_drop(locks[i]);
    }
    CHECK_INT(sum, had);
}

TEST_WITH_TIMEOUT(stress_lock, lock_that_goes_from_worker_to_worker_is_held_by_one_at_a_time, 600)
{
    FOR_WORKERS(workers, 1, 2, 3, 4)
        for (size_t i = 0; i < BUDGETS; i++) {
            lock_users(workers, budgets[i], 1);
            lock_users(workers, budgets[i], 4);
        }
}

/* Fibers that end with the lock while others queue for it: it passes on to each of them. */
TEST_WITH_TIMEOUT(stress_lock, lock_that_every_holder_ends_with_reaches_all, 600)
{
    FOR_WORKERS(workers, 1, 2, 3, 4)
        for (int round = 0; round < scaled(500); round++) {
            coir_lock *lock = coir_lock_new();
            atomic_int count = 0;
            coir_io *careless = coir_sequence(COIR_IOS(coir_yield(), coir_lock_acquire(lock), counting(&count)));
            coir_lock_drop(lock);
            coir_result result = run(workers, coir_flat_map(copies_of(64, careless), wait_it, NULL));
            CHECK_TAG(result, COIR_OK);
            CHECK_INT(how_many_are(&result.value, COIR_PANIC), 64);
            CHECK_INT(count, 64);
            coir_result_drop(&result);
        }
}

/* --------------------------------------------------------------------------------------------------------- semaphores */

struct taker { coir_semaphore *semaphore; atomic_llong *out; int64_t max, wanted; int rounds; uint64_t random; };
static coir_io *taker_step(coir_routine *self)
{
    COIR_BEGIN(self, struct taker, my);
    for (; my->rounds > 0; my->rounds--) {
        my->random = next(my->random);
        my->wanted = (int64_t)((my->random >> 40) % (uint64_t)(my->max + 1));
        COIR_AWAIT(coir_acquire(my->semaphore, my->wanted));
        if (atomic_fetch_add(my->out, my->wanted) + my->wanted > my->max)
            COIR_RAISE(coir_string("more out than there are", 23));
        if (my->random >> 60 & 1)
            COIR_AWAIT(coir_yield());
        atomic_fetch_sub(my->out, my->wanted);
        COIR_AWAIT(coir_release(my->semaphore, my->wanted));
    }
    COIR_END;
}

TEST_WITH_TIMEOUT(stress_semaphore, permits_that_go_from_worker_to_worker_are_never_too_many_and_none_is_lost, 600)
{
    enum { FIBERS = 32 };
    FOR_WORKERS(workers, 1, 2, 3, 4)
        for (size_t i = 0; i < BUDGETS; i++)
            for (int64_t max = 1; max <= 5; max += 2) {
                CASE("budget %u, %d permits", (unsigned)budgets[i], (int)max);
                coir_semaphore *semaphore = coir_semaphore_new(max);
                atomic_llong out = 0;
                coir_io *ios[FIBERS];
                for (size_t k = 0; k < FIBERS; k++)
                    ios[k] = coir_do(taker_step, COIR_ENV(struct taker, .semaphore = semaphore, .out = &out, .max = max,
                                                          .rounds = scaled(3000), .random = k));
                coir_result result = coir_run(waited(FIBERS, ios), COIR_OPTIONS(.workers = workers, .budget = budgets[i]));
                CHECK_TAG(result, COIR_OK);
                CHECK_INT(how_many_are(&result.value, COIR_OK), FIBERS);
                coir_result_drop(&result);
                CHECK_INT(coir_semaphore_available(semaphore), max);
                coir_semaphore_drop(semaphore);
            }
}

/* ---------------------------------------------------------------------------------------------------------- two runs */

/* Two runs in two threads want the same lock and the same permits: each is served or refused, and nobody comes between. */
static coir_result visit_begin(void *inside)
{
    return atomic_fetch_add((atomic_int *)inside, 1) == 0 ? coir_ok(coir_none()) : coir_panic(coir_int(2));
}
static coir_result visit_end(void *inside) { atomic_fetch_sub((atomic_int *)inside, 1); return coir_ok(coir_none()); }
TEST_WITH_TIMEOUT(stress_lock, runs_that_want_the_same_are_served_or_refused, 600)
{
    for (int which = 0; which < 2; which++)
        for (int round = 0; round < scaled(300); round++) {
            coir_lock *lock = coir_lock_new();
            coir_semaphore *semaphore = coir_semaphore_new(1);
            atomic_int inside = 0;
            coir_options options = { .workers = 2 };
            struct other_run others[2];
            for (int i = 0; i < 2; i++) {
                coir_io *visit = coir_sequence(COIR_IOS(coir_defer(visit_begin, &inside), coir_yield(), coir_defer(visit_end, &inside)));
                coir_io *guarded = which == 0 ? coir_with_lock(lock, visit) : coir_with_permits(semaphore, 1, visit);
                other_run_begin(
                    &others[i], &options,
                    coir_flat_map(copies_of(8, coir_repeat(coir_catch_code(guarded, COIR_REFUSED, coir_unit()), 20)), wait_it, NULL));
            }
            for (int i = 0; i < 2; i++) {
                coir_result result = other_run_end(&others[i]);
                CHECK_TAG(result, COIR_OK);
                CHECK_INT(how_many_are(&result.value, COIR_OK), 8);
                coir_result_drop(&result);
            }
            CHECK_INT(coir_semaphore_available(semaphore), 1);
            coir_lock_drop(lock);
            coir_semaphore_drop(semaphore);
        }
}
