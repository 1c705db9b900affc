/*
 * memory.c - tests of cells: that each is its own, is used again by whichever thread, and comes back when its thread ends; and of burials
 *
 * Bounds are of what coir has from the allocator, see watch_memory(). A chunk is at most 2 MiB.
 */
#include "program.h"

#include "base/memory.h"

#include <semaphore.h>

enum { MIB = 1 << 20, CHUNKS = 8 * MIB };               /* a few chunks: what caches of a few threads may hold */

static void check_at_most(long long bytes, long long most)
{
    if (bytes > most)
        CHECK_FAIL("%lld bytes, more than %lld", bytes, most);
}

/* ------------------------------------------------------------------------------------------------------ one by one */

TEST(base_memory, every_size_is_aligned_and_overlaps_nothing)
{
    enum { SIZES = 1100, STEP = 3 };
    static unsigned char *memory[SIZES];
    for (int round = 0; round < 2; round++) {
        for (size_t size = 1; size < SIZES; size += STEP) {
            memory[size] = coir__alloc(size);
            CHECK(memory[size] != NULL && (uintptr_t)memory[size] % MEMORY_STEP == 0);
            memset(memory[size], (int)(size % 251), size);
        }
        for (size_t size = 1; size < SIZES; size += STEP) {
            for (size_t i = 0; i < size; i++)
                if (memory[size][i] != size % 251)
                    CHECK_FAIL("byte %zu of %zu was overwritten", i, size);
            coir__free(memory[size], size);
        }
    }
}

TEST(base_memory, an_array_that_grows_keeps_its_items_and_the_new_ones_are_zero)
{
    int *items = NULL;
    size_t room = 0, needed[] = { 0, 1, 60, 64, 65, 1000, 999, 100000 };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        size_t before = room;
        CASE("%zu", needed[i]);
        items = coir__grow(items, &room, needed[i], sizeof *items);
        CHECK(room >= needed[i] && room >= before);
        CHECK((items == NULL) == (room == 0));
        for (size_t item = 0; item < room; item++)
            CHECK_INT(items[item], item < before ? (int)item : 0);
        for (size_t item = before; item < room; item++)
            items[item] = (int)item;
    }
    coir__free(items, room * sizeof *items);
}

TEST_ALONE(base_memory, an_array_that_cannot_grow_stays_as_it_was)
{
    watch_memory();
    size_t room = 0;
    char *items = coir__grow(NULL, &room, 1, 1), *before = items;
    size_t room_before = room;
    items[0] = 'x';
    atomic_store(&watched.left, 0);
    CHECK(coir__grow(items, &room, 1 << 20, 1) == NULL);
    CHECK_PTR(coir__grow(items, &room, room, 1), before);
    atomic_store(&watched.left, -1);
    CHECK_UINT(room, room_before);
    CHECK_INT(items[0], 'x');
    coir__free(items, room);
}

TEST(base_memory, chunks_are_aligned_as_asked_for)
{
    for (size_t alignment = 16; alignment <= 2 * MIB; alignment *= 2) {
        void *chunk = coir__chunk(3000, alignment);
        CHECK(chunk != NULL);
        CHECK_UINT((uintptr_t)chunk % alignment, 0);
        memset(chunk, 1, 3000);
        coir__chunk_free(chunk, 3000, alignment);
    }
}

TEST_ALONE(base_memory, what_is_larger_than_a_cell_goes_back_at_once)
{
    watch_memory();
    coir__free(coir__alloc(16), 16);
    long long before = atomic_load(&watched.bytes);
    static const size_t sizes[] = { MEMORY_CELL_MAX + 1, 1000, 64 << 10, 10 * MIB };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *memory = coir__alloc(sizes[i]);
        CHECK(memory != NULL);
        memset(memory, 1, sizes[i]);
        CHECK(atomic_load(&watched.bytes) >= before + (long long)sizes[i]);
        coir__free(memory, sizes[i]);
        CHECK_INT(atomic_load(&watched.bytes), before);
    }
}

#ifndef COIR_PLAIN_MEMORY
TEST(base_memory, cell_freed_last_is_the_next_of_its_size)
{
    for (size_t size = 1; size <= MEMORY_CELL_MAX; size++) {
        void *cell = coir__alloc(size);
        coir__free(cell, size);
        void *again = coir__alloc(size);
        CHECK_PTR(again, cell);
        coir__free(again, size);
    }
}

TEST_ALONE(base_memory, largest_cell_is_a_cell_and_the_next_larger_is_not)
{
    watch_memory();
    coir__free(coir__alloc(MEMORY_CELL_MAX), MEMORY_CELL_MAX);
    long long before = atomic_load(&watched.bytes);
    void *cell = coir__alloc(MEMORY_CELL_MAX);
    CHECK_INT(atomic_load(&watched.bytes), before);
    void *larger = coir__alloc(MEMORY_CELL_MAX + 1);
    CHECK(atomic_load(&watched.bytes) > before);
    coir__free(larger, MEMORY_CELL_MAX + 1);
    coir__free(cell, MEMORY_CELL_MAX);
}

TEST_ALONE(base_memory, allocator_is_asked_for_chunks_not_for_cells)
{
    watch_memory();
    void *cells[10000];
    atomic_store(&watched.left, 20);                    /* fewer than a hundredth */
    for (int i = 0; i < 10000; i++)
        CHECK((cells[i] = coir__alloc(64)) != NULL);
    CHECK(atomic_load(&watched.left) > 0);
    for (int i = 0; i < 10000; i++)
        coir__free(cells[i], 64);
}
#endif

TEST_ALONE(base_memory, ios_built_and_dropped_for_long_hold_no_more_memory_than_a_few)
{
    watch_memory();
    for (int i = 0; i < scaled(1000000); i++)
        coir_io_drop(coir_flat_map(coir_then(coir_unit(), coir_pure(coir_stringf("%d", i))), NULL, NULL));
    check_at_most(atomic_load(&watched.peak), CHUNKS);
}

/* Waves: many at once, then none. What one wave needed serves the next, also for another size by another wave. */
TEST_ALONE(base_memory, waves_of_allocations_hold_no_more_than_the_largest)
{
    enum { WAVE = 20000 };
    static void *cells[WAVE];
    long long first = 0;
    watch_memory();
    for (int wave = 0; wave < 20; wave++) {
        for (int i = 0; i < WAVE; i++)
            CHECK((cells[i] = coir__alloc(100)) != NULL);
        for (int i = 0; i < WAVE; i++)
            coir__free(cells[wave % 2 == 0 ? i : WAVE - 1 - i], 100);
        if (wave == 0)
            first = atomic_load(&watched.peak);
    }
    CHECK_INT(atomic_load(&watched.peak), first);
}

/* ------------------------------------------------------------------------------------------------------ two threads */

/* One thread builds ios, another drops them: the dropping one must give its cells back to the building one. */
enum { LINE_ROOM = 256 };
static struct { sem_t room, ready; coir_io *ios[LINE_ROOM]; int count; } line;

static void *build_ios(void *unused)
{
    (void)unused;
    for (int i = 0; i < line.count; i++) {
        sem_wait(&line.room);
        line.ios[i % LINE_ROOM] = coir_then(coir_unit(), coir_then(coir_pure(coir_stringf("io %d", i)), coir_unit()));
        sem_post(&line.ready);
    }
    return NULL;
}

TEST_ALONE(base_memory, ios_built_by_one_thread_and_dropped_by_another_hold_a_few_chunks_however_many)
{
    pthread_t builder;
    watch_memory();
    line.count = scaled(1000000);
    sem_init(&line.room, 0, LINE_ROOM);
    sem_init(&line.ready, 0, 0);
    CHECK_INT(pthread_create(&builder, NULL, build_ios, NULL), 0);
    for (int i = 0; i < line.count; i++) {
        sem_wait(&line.ready);
        CHECK(line.ios[i % LINE_ROOM] != NULL);
        coir_io_drop(line.ios[i % LINE_ROOM]);
        sem_post(&line.room);
    }
    CHECK_INT(pthread_join(builder, NULL), 0);
    check_at_most(atomic_load(&watched.peak), CHUNKS);
}

static coir_io *build_in_a_fiber(void *env)
{
    (void)env;
    return coir_pure(coir_io_value(coir_then(coir_unit(), coir_pure(coir_stringf("%d", 1)))));
}
static coir_io *pass_on(void *env, coir_value *fiber) { (void)env; return coir_then(coir_join(coir_fiber_of(fiber)), coir_unit()); }

TEST_ALONE(base_memory, what_workers_hand_to_each_other_holds_a_few_chunks_however_much)
{
    watch_memory();
    coir_io *once = coir_flat_map(coir_fork(coir_then(coir_yield(), coir_suspend(build_in_a_fiber, NULL))), pass_on, NULL);
    CHECK_STR(outcome(4, coir_repeat(once, (uint64_t)scaled(200000))), "OK 0");
    check_at_most(atomic_load(&watched.peak), CHUNKS);
}

/* ------------------------------------------------------------------------------------------- threads that come and go */

static void *use_some(void *unused)
{
    void *cells[300];
    (void)unused;
    for (size_t i = 0; i < 300; i++)
        CHECK((cells[i] = coir__alloc(1 + i % MEMORY_CELL_MAX)) != NULL);
    for (size_t i = 0; i < 300; i++)
        coir__free(cells[i], 1 + i % MEMORY_CELL_MAX);
    return NULL;
}

static void come_and_go(int rounds, int at_once)
{
    pthread_t threads[8];
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < at_once; i++)
            CHECK_INT(pthread_create(&threads[i], NULL, use_some, NULL), 0);
        for (int i = 0; i < at_once; i++)
            CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
}

TEST_ALONE(base_memory, thread_that_ends_gives_its_cells_to_the_next)
{
    watch_memory();
    come_and_go(1, 1);
    long long first = atomic_load(&watched.peak);
    come_and_go(scaled(2000), 1);
    CHECK_INT(atomic_load(&watched.peak), first);
}

TEST_ALONE(base_memory, threads_that_come_and_go_in_groups_hold_a_few_chunks_however_often)
{
    watch_memory();
    come_and_go(scaled(100), 8);
    long long before = atomic_load(&watched.peak);
    come_and_go(scaled(1000), 8);
    check_at_most(atomic_load(&watched.peak) - before, 4 * MIB);
}

/* A destructor of another key that runs after ours and uses memory again. */
static pthread_key_t late_key;
static void use_again(void *rounds)
{
    use_some(NULL);
    if (--*(int *)rounds > 0)
        pthread_setspecific(late_key, rounds);
}
static void *leave_late_work(void *unused)
{
    static _Thread_local int rounds;
    (void)unused;
    rounds = 3;
    pthread_setspecific(late_key, &rounds);
    return use_some(NULL);
}

TEST_ALONE(base_memory, thread_that_uses_memory_while_it_ends_gives_that_back_too)
{
    pthread_t thread;
    watch_memory();
    CHECK_INT(pthread_key_create(&late_key, use_again), 0);
    for (int i = 0; i < scaled(500); i++) {
        CHECK_INT(pthread_create(&thread, NULL, leave_late_work, NULL), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
    }
    check_at_most(atomic_load(&watched.peak), CHUNKS);
}

/* ----------------------------------------------------------------------------------------------------------- burials */

/* An io in a value in a list in a box in an error's cause in an io ... */
static coir_value nest(int depth)
{
    coir_value value = thing(1);
    for (int i = 0; i < depth; i++)
        switch (i % 5) {
        case 0: value = coir_io_value(coir_pure(value)); break;
        case 1: value = coir_list(1, &value); break;
        case 2: value = coir_box(coir_raise(value)); break;
        case 3: value = coir_error_because(coir_errorf(1, "x"), value); break;
        case 4: value = coir_io_value(coir_then(coir_fail(value), coir_unit())); break;
        }
    return value;
}

static void drop_a_deep_nest(void *unused)
{
    (void)unused;
    coir_drop(nest(scaled(1000000)));
    CHECK_STR(notes(), "-1");
}

TEST(base_memory, million_objects_inside_each_other_are_dropped_in_64_KiB_of_stack) { on_small_stack(drop_a_deep_nest, NULL); }

/* A drop of the program's own that drops more, and builds meanwhile. */
struct matryoshka { struct matryoshka *inner; };
static atomic_int dolls;
static void doll_drop(void *doll_)
{
    struct matryoshka *doll = doll_;
    static const coir_type type = { .name = "doll", .drop = doll_drop };
    coir_io_drop(coir_then(coir_unit(), coir_pure(coir_stringf("built by a drop"))));
    if (doll->inner != NULL)
        coir_io_drop(coir_pure(coir_own(doll->inner, &type)));
    free(doll);
    atomic_fetch_sub(&dolls, 1);
}

static void drop_dolls(void *unused)
{
    static const coir_type type = { .name = "doll", .drop = doll_drop };
    struct matryoshka *doll = NULL;
    (void)unused;
    for (int i = 0; i < scaled(200000); i++) {
        struct matryoshka *outer = malloc(sizeof *outer);
        outer->inner = doll;
        doll = outer;
        atomic_fetch_add(&dolls, 1);
    }
    coir_io_drop(coir_pure(coir_own(doll, &type)));
    CHECK_INT(atomic_load(&dolls), 0);
}

TEST(base_memory, drops_that_build_and_drop_ios_do_not_recurse) { on_small_stack(drop_dolls, NULL); }

/* Two threads bury at once, each its own. */
static void *bury_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < scaled(200); i++)
        coir_drop(nest(500));
    return NULL;
}

TEST(base_memory, threads_bury_independently_of_each_other)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, bury_many, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_INT(atomic_load(&things_alive), 0);
}
