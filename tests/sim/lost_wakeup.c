/*
 * lost_wakeup.c - a lock that is wrong on purpose, as Raffiot's was, and how it is caught
 *
 * It looks whether it is taken, and only in a later step puts itself into the queue. The holder may let go in between: he finds nobody waiting, so
 * nobody will ever be called. On real threads that shows once in a million rounds.
 */
#include "simulation.h"

enum { ROOM = 16 };

struct bad_lock { bool is_taken; int waiting; coir_callback queue[ROOM]; };

static coir_result look(void *lock_)
{
    struct bad_lock *lock = lock_;
    bool was_taken = lock->is_taken;
    lock->is_taken = true;
    return coir_ok(coir_bool(was_taken));
}

static void queue_start(void *lock_, void *op, coir_callback k)
{
    struct bad_lock *lock = lock_;
    (void)op;
    lock->queue[lock->waiting++] = k;
}
static const coir_async_type queue_type = { .start = queue_start };

static coir_io *queue_if_taken(void *lock, coir_value *was_taken) { return was_taken->flag ? coir_async(&queue_type, lock) : coir_unit(); }
static coir_io *acquire(struct bad_lock *lock) { return coir_flat_map(coir_defer(look, lock), queue_if_taken, lock); }

static coir_result let_go(void *lock_)
{
    struct bad_lock *lock = lock_;
    if (lock->waiting == 0) {
        lock->is_taken = false;
        return coir_ok(coir_none());
    }
    coir_callback next = lock->queue[0];
    memmove(lock->queue, lock->queue + 1, (size_t)--lock->waiting * sizeof next);
    coir_resume(next, coir_ok(coir_none()));
    return coir_ok(coir_none());
}
static coir_io *release(struct bad_lock *lock) { return coir_defer(let_go, lock); }

static coir_io *section(struct bad_lock *lock) { return coir_then(acquire(lock), release(lock)); }

static coir_io *make(void *lock)
{
    *(struct bad_lock *)lock = (struct bad_lock){ 0 };
    return waited(COIR_IOS(coir_named(section(lock), "ann"), coir_named(section(lock), "bob"), coir_named(section(lock), "cleo")));
}

TEST(sim_lost_wakeup, a_lock_that_queues_itself_in_a_later_step_is_caught_and_repeated_ten_times_out_of_ten)
{
    struct bad_lock lock;
    struct pad pad;
    char schedule[2000];
    coir_explore_figures figures;
    coir_explore_options options = { .size = sizeof options, .runs = 1000, .foreign_wait = coir_ms(1), .figures = &figures };
    CHECK(!coir_sim_explore(make, all_ok, &lock, &options, pad_open(&pad)->out));
    CHECK(figures.runs <= 1000);
    CHECK_CONTAINS(pad_text(&pad), "waits for a callback, and nothing is left that could end the wait");
    static const char *const titles[] = { "again:", "shortest:" };
    for (int i = 0; i < 2; i++) {
        coir_sim_options again = options_printed(pad.text, titles[i], schedule, sizeof schedule);
        again.foreign_wait = coir_ns(1);
        for (int round = 0; round < 10; round++) {
            coir_result result = coir_sim_run(make(&lock), &again);
            CHECK(!all_ok(NULL, &result));
            coir_result_drop(&result);
        }
    }
    pad_close(&pad);
}

TEST(sim_lost_wakeup, every_search_catches_it_and_shrinks_it_to_two_pre_emptions)
{
    for (int exhaustive = 0; exhaustive < 2; exhaustive++)
        for (uint64_t seed = 0; seed < 5; seed++) {
            struct bad_lock lock;
            struct pad pad;
            coir_explore_options options = { .size = sizeof options, .exhaustive = exhaustive, .first_seed = seed * 1000, .foreign_wait = coir_ns(1) };
            CASE("exhaustive %d, from seed %d", exhaustive, (int)seed * 1000);
            CHECK(!coir_sim_explore(make, all_ok, &lock, &options, pad_open(&pad)->out));
            CHECK_CONTAINS(pad_text(&pad), "(choices that are not the default: 2)");
            pad_close(&pad);
        }
}
