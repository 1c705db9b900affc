/*
 * deque.c - tests of the work-stealing deque: against an array by one thread, and that owner and thieves get each entry exactly once
 *
 * The deque never looks into a fiber, so the fibers here are addresses of marks, each of which counts how often it was taken.
 */
#include "program.h"

#include "base/random.h"
#include "sched/deque.h"

static struct deque deque;

static void deque_clear(void) { memset(&deque, 0, sizeof deque); }

static coir_fiber *fiber_at(void *mark) { return mark; }

/* ------------------------------------------------------------------------------------------------------- one thread */

TEST(sched_deque, last_pushed_is_popped_first_and_first_pushed_is_stolen_first)
{
    char marks[4];
    deque_clear();
    for (int i = 0; i < 4; i++)
        CHECK(deque_push(&deque, fiber_at(&marks[i])));
    CHECK_INT(deque_size(&deque), 4);
    CHECK_PTR(deque_pop(&deque), &marks[3]);
    CHECK_PTR(deque_steal(&deque), &marks[0]);
    CHECK_PTR(deque_pop(&deque), &marks[2]);
    CHECK_PTR(deque_steal(&deque), &marks[1]);
    CHECK_INT(deque_size(&deque), 0);
}

TEST(sched_deque, empty_gives_NULL_and_goes_on_working)
{
    char mark;
    deque_clear();
    for (int i = 0; i < 3; i++) {
        CHECK_PTR(deque_pop(&deque), NULL);
        CHECK_PTR(deque_steal(&deque), NULL);
        CHECK(deque_push(&deque, fiber_at(&mark)));
        CHECK_PTR(i % 2 == 0 ? deque_pop(&deque) : deque_steal(&deque), &mark);
    }
    CHECK_INT(deque_size(&deque), 0);
}

TEST(sched_deque, full_refuses_and_takes_again_when_one_has_gone)
{
    static char marks[DEQUE_SIZE + 2];
    deque_clear();
    for (int round = 0; round < 3; round++) {           /* from another start in the array each time */
        for (int i = 0; i < DEQUE_SIZE; i++) {
            CHECK_INT(deque_room(&deque), DEQUE_SIZE - i);
            CHECK(deque_push(&deque, fiber_at(&marks[i])));
        }
        CHECK(!deque_push(&deque, fiber_at(&marks[DEQUE_SIZE])));
        CHECK_INT(deque_size(&deque), DEQUE_SIZE);
        CHECK_PTR(deque_steal(&deque), &marks[0]);
        CHECK(deque_push(&deque, fiber_at(&marks[DEQUE_SIZE])));
        CHECK(!deque_push(&deque, fiber_at(&marks[DEQUE_SIZE + 1])));
        CHECK_PTR(deque_pop(&deque), &marks[DEQUE_SIZE]);
        for (int i = 1; i < DEQUE_SIZE; i++)
            CHECK_PTR(deque_steal(&deque), &marks[i]);
        CHECK_PTR(deque_steal(&deque), NULL);
        CHECK(deque_push(&deque, fiber_at(&marks[0])));
        CHECK_PTR(deque_pop(&deque), &marks[0]);
        for (int i = 0; i < 333; i++) {
            CHECK(deque_push(&deque, fiber_at(&marks[1])));
            CHECK_PTR(deque_steal(&deque), &marks[1]);
        }
    }
}

TEST(sched_deque, does_what_an_array_does)
{
    enum { ROOM = 1 << 20 };
    static char marks[1];
    uintptr_t *model = malloc(ROOM * sizeof *model), next = (uintptr_t)marks;
    size_t first, end;
    deque_clear();
    for (uint64_t seed = 1; seed <= 20; seed++) {
        CASE("seed %llu", (unsigned long long)seed);
        struct random random = { seed };
        uint32_t pushes = 30 + 5 * (uint32_t)(seed % 11);                   /* of a hundred: from draining to overflowing */
        first = end = 0;
        for (int step = 0; step < scaled(50000); step++) {
            uint32_t draw = random_below(&random, 100);
            CHECK_INT(deque_size(&deque), (intmax_t)(end - first));
            if (draw < pushes) {
                bool has_room = end - first < DEQUE_SIZE;
                CHECK_INT(deque_push(&deque, (coir_fiber *)next), has_room);
                if (has_room)
                    model[end++] = next++;
            } else if (draw % 2 == 0) {
                CHECK_UINT((uintptr_t)deque_pop(&deque), end > first ? model[--end] : 0);
            } else {
                CHECK_UINT((uintptr_t)deque_steal(&deque), end > first ? model[first++] : 0);
            }
        }
        while (deque_pop(&deque) != NULL)
            end--;
        CHECK_UINT(end, first);
    }
    free(model);
}

/* --------------------------------------------------------------------------------------------------- owner and thieves */

static struct {
    atomic_uchar *taken;                                /* a mark for each entry */
    int           count;
    atomic_bool   over;
} game;

static void take(coir_fiber *fiber) { atomic_fetch_add((atomic_uchar *)(void *)fiber, 1); }

static void *thief(void *unused)
{
    (void)unused;
    while (!atomic_load(&game.over)) {
        coir_fiber *fiber = deque_steal(&deque);
        if (fiber != NULL)
            take(fiber);
    }
    return NULL;
}

/* The owner keeps about `depth` entries: with 1 every pop is a race for the last one. */
static void play(unsigned thieves, uint32_t depth, int count)
{
    pthread_t threads[3];
    struct random random = { depth };
    deque_clear();
    game.count = count;
    game.taken = calloc((size_t)count, sizeof *game.taken);
    atomic_store(&game.over, false);
    for (unsigned i = 0; i < thieves; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, thief, NULL), 0);
    for (int next = 0; next < count; ) {
        uint32_t pushes = 1 + random_below(&random, depth), pops = 1 + random_below(&random, depth);
        while (pushes-- > 0 && next < count && deque_push(&deque, fiber_at(&game.taken[next])))
            next++;
        for (coir_fiber *fiber; pops-- > 0 && (fiber = deque_pop(&deque)) != NULL; )
            take(fiber);
    }
    for (coir_fiber *fiber; (fiber = deque_pop(&deque)) != NULL; )
        take(fiber);
    atomic_store(&game.over, true);
    for (unsigned i = 0; i < thieves; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_INT(deque_size(&deque), 0);
    int wrong = 0;
    for (int i = 0; i < count; i++)
        wrong += atomic_load(&game.taken[i]) != 1;
    free(game.taken);
    CHECK_INT(wrong, 0);
}

TEST(sched_deque, each_entry_is_taken_exactly_once_by_its_owner_or_a_thief)
{
    for (unsigned thieves = 1; thieves <= 3; thieves++)
        for (uint32_t depth = 1; depth <= 1024; depth *= 4) {
            CASE("%u thieves, depth %u", thieves, (unsigned)depth);
            play(thieves, depth, scaled(200000));
        }
}

TEST(sched_deque, last_entry_goes_to_one_of_those_who_race_for_it)
{
    for (unsigned thieves = 1; thieves <= 3; thieves++) {
        CASE("%u thieves", thieves);
        play(thieves, 1, scaled(2000000));
    }
}
