/*
 * runs.c - runs without number: one after the other, at once, with handles that outlive them; and nothing of them is left
 */
#include "fibers.h"

#include <dirent.h>

static int entries(const char *directory)
{
    DIR *opened = opendir(directory);
    int count = 0;
    for (struct dirent *entry; opened != NULL && (entry = readdir(opened)) != NULL; )
        count += entry->d_name[0] != '.';
    closedir(opened);
    return count;
}

/* Resident memory of the process, in bytes. */
static long long resident(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%*d %lld", &pages) != 1)
        abort();
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static coir_io *program(int which)
{
    coir_lock *lock = coir_lock_new();
    coir_io *io = NULL;
    switch (which % 6) {
    case 0: io = coir_pure(coir_int(1)); break;
    case 1: io = coir_as(copies_of(20, coir_then(coir_yield(), coir_unit())), coir_int(1)); break;
    case 2: io = coir_as(waited(COIR_IOS(coir_sleep(coir_us(20)), coir_sleep_until((struct timespec){ 0 }))), coir_int(1)); break;
    case 3: io = coir_as(copies_of(10, coir_with_lock(lock, coir_yield())), coir_int(1)); break;
    case 4: io = coir_as(coir_attempt(coir_never()), coir_int(1)); break;
    case 5: io = coir_as(copies_of(3, coir_failf(1, "nobody looks")), coir_int(1)); break;
    }
    coir_lock_drop(lock);
    return io;
}

enum { ALLOWED = 16 << 20 };                            /* bytes: caches and stacks that the system keeps */

TEST_WITH_TIMEOUT(stress_runs, tens_of_thousands_leave_no_memory_thread_or_descriptor_behind, 1200)
{
    long long before = 0;
    int threads = 0, files = 0;
    for (int i = 0; i < scaled(30000); i++) {
        if (i == scaled(3000)) {
            before = resident();
            threads = entries("/proc/self/task");
            files = entries("/proc/self/fd");
        }
        CHECK_STR(outcome(1 + (unsigned)i % 4, program(i)), "OK 1");
    }
    CHECK_SOON(entries("/proc/self/task") <= threads);
    CHECK_INT(entries("/proc/self/fd"), files);
    long long after = resident();
    if (CHECK_SLOWNESS == 1 && after > before + ALLOWED)
        CHECK_FAIL("%lld bytes before, %lld after", before, after);
}

static void *many_runs(void *seed)
{
    for (int i = 0; i < scaled(3000); i++)
        CHECK_STR(outcome(1 + (unsigned)i % 3, program(i + *(const int *)seed)), "OK 1");
    return NULL;
}

TEST_WITH_TIMEOUT(stress_runs, many_threads_run_at_once_all_the_time, 1200)
{
    static const int seeds[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, many_runs, (void *)(uintptr_t)&seeds[i]), 0);
    for (int i = 0; i < 8; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
}

/* Handles outlive their run, are joined in others by several threads, and dropped by whoever was last. */
static void *join_in_a_run(void *fiber)
{
    CHECK_STR(outcome(2, coir_join(fiber)), "OK thing 7");
    coir_fiber_drop(fiber);
    return NULL;
}

TEST_WITH_TIMEOUT(stress_runs, handles_are_joined_in_other_runs_while_their_own_ends, 1200)
{
    for (int round = 0; round < scaled(3000); round++) {
        coir_fiber *fiber = NULL;
        pthread_t threads[3];
        CHECK_STR(outcome(2, forking(coir_then(coir_yield(), coir_pure(thing(7))), &fiber)), "OK 0");
        for (int i = 0; i < 3; i++)
            CHECK_INT(pthread_create(&threads[i], NULL, join_in_a_run, coir_fiber_ref(fiber)), 0);
        coir_fiber_drop(fiber);
        for (int i = 0; i < 3; i++)
            CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_INT(atomic_load(&things_alive), 0);
        CHECK_STR(notes(), "-7");
    }
}

/* A fiber of one run is joined by a second run, which may end with that very wake-up. */
static struct { pthread_mutex_t lock; coir_fiber *fiber; } shown = { .lock = PTHREAD_MUTEX_INITIALIZER };
static coir_io *show(void *env, coir_value *fiber)
{
    (void)env;
    pthread_mutex_lock(&shown.lock);
    shown.fiber = coir_fiber_ref(coir_fiber_of(fiber));
    pthread_mutex_unlock(&shown.lock);
    return coir_unit();
}
static coir_fiber *look(void)
{
    pthread_mutex_lock(&shown.lock);
    coir_fiber *fiber = shown.fiber;
    pthread_mutex_unlock(&shown.lock);
    return fiber;
}

TEST_WITH_TIMEOUT(stress_runs, fiber_wakes_who_joins_it_in_another_run_that_ends_with_that, 1200)
{
    for (int round = 0; round < scaled(5000); round++) {
        struct other_run other;
        coir_options options = { .workers = 1 + (unsigned)round % 2 };
        coir_io *work = coir_then(coir_repeat(coir_yield(), (uint64_t)(round % 40)), coir_pure(coir_int(round)));
        shown.fiber = NULL;
        other_run_begin(&other, &options, coir_flat_map(coir_fork(work), show, NULL));
        CHECK_SOON(look() != NULL);
        coir_fiber *fiber = look();
        coir_result joined_here = run(1 + (unsigned)round % 3, coir_join(fiber));
        CHECK_OK_INT(joined_here, round);
        coir_fiber_drop(fiber);
        coir_result result = other_run_end(&other);
        CHECK_TAG(result, COIR_OK);
    }
}
