/*
 * look.c - tests of what is seen of a fiber from outside: what a dump says, and that looking disturbs nobody
 */
#include "fibers.h"

/* ---------------------------------------------------------------------------------------------------------- one line */

static const char *dump_of(const coir_fiber *fiber)
{
    char *text = scratch();
    memset(text, 0, SCRATCH_SIZE);
    FILE *out = fmemopen(text, SCRATCH_SIZE - 1, "w");
    coir_fiber_dump(fiber, out);
    fclose(out);
    return text;
}

TEST(fiber, dump_is_one_line_with_id_name_and_status)
{
    coir_fiber *fiber = NULL;
    CHECK_STR(outcome(1, forking(coir_named(coir_unit(), "bee"), &fiber)), "OK 0");
    char expected[80];
    snprintf(expected, sizeof expected, "fiber %ju 'bee': ended\n", (uintmax_t)coir_fiber_id(fiber));
    CHECK_STR(dump_of(fiber), expected);
    CHECK(strchr(dump_of(NULL), '\n') != NULL);
    coir_value value = coir_fiber_value(fiber);
    char *text = scratch();
    memset(text, 0, SCRATCH_SIZE);
    FILE *out = fmemopen(text, SCRATCH_SIZE - 1, "w");
    coir_value_print(&value, out);
    fclose(out);
    CHECK_CONTAINS(text, "bee");
    coir_drop(value);
}

/* Of a fiber that waits, what the dump says behind its name. */
struct dumped { coir_fiber *fiber; const char *text; };
static coir_result dump_placed(void *dumped_)
{
    struct dumped *dumped = dumped_;
    do                                                  /* who looks for rings may be looking at it just now: then the dump says less */
        dumped->text = strchr(dump_of(dumped->fiber), ':');
    while (strcmp(dumped->text, ": waiting\n") == 0);
    return coir_ok(coir_none());
}

/* dumping: forks io, dumps it when it waits, and leaves it to the others. */
static coir_io *dumping(coir_io *io, struct dumped *dumped)
{
    return coir_then(queueing(coir_named(io, "patient"), &dumped->fiber), coir_defer(dump_placed, dumped));
}
static coir_io *wait_for_two(void *place)
{
    coir_fiber **fibers = place;
    coir_value both[] = { coir_fiber_value(coir_fiber_ref(fibers[0])), coir_fiber_value(coir_fiber_ref(fibers[1])) };
    coir_value list = coir_list(2, both);
    coir_io *io = coir_wait(&list);
    coir_drop(list);
    return io;
}
static coir_io *wait_any_of_two(void *place)
{
    coir_fiber **fibers = place;
    coir_value both[] = { coir_fiber_value(coir_fiber_ref(fibers[0])), coir_fiber_value(coir_fiber_ref(fibers[1])) };
    coir_value list = coir_list(2, both);
    coir_io *io = coir_wait_any(&list);
    coir_drop(list);
    return io;
}

TEST(look, dump_of_who_waits_says_for_what_and_who_holds_it)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        enum { DUMPED = 9 };
        struct dumped d[DUMPED] = { 0 };
        struct gate gate = GATE;
        coir_lock *lock = coir_lock_new();
        coir_semaphore *none = coir_semaphore_new_bounded(0, 1);
        coir_fiber *main_fiber = NULL, *gated[2] = { NULL };
        coir_io *held = coir_sequence(COIR_IOS(
            coir_flat_map(coir_self(), keep_handle, &main_fiber), queueing(passing(&gate), &gated[0]), queueing(passing(&gate), &gated[1]),
            dumping(coir_with_lock(lock, coir_unit()), &d[0]), dumping(coir_lock_acquire(lock), &d[1]),
            dumping(coir_acquire(none, 1), &d[2]), dumping(coir_with_permits(none, 1, coir_unit()), &d[3]),
            dumping(joining(&gated[0]), &d[4]), dumping(coir_suspend(wait_for_two, gated), &d[5]),
            dumping(coir_suspend(wait_any_of_two, gated), &d[6]), dumping(passing(&gate), &d[7]),
            dumping(coir_finally(coir_unit(), coir_acquire(none, 1)), &d[8]), opening(&gate)));
        coir_result result = run(workers, coir_with_lock(lock, held));
        CHECK_TAG(result, COIR_OK);
        coir_result_drop(&result);
        const char *for_lock = spelled(": waiting for lock %ju that fiber %ju holds\n", LOCK_ID(lock), FIBER_ID(main_fiber));
        const char *for_permits = spelled(": waiting for permits of semaphore %ju\n", SEMAPHORE_ID(none));
        CHECK_STR(d[0].text, for_lock);
        CHECK_STR(d[1].text, for_lock);
        CHECK_STR(d[2].text, for_permits);
        CHECK_STR(d[3].text, for_permits);
        CHECK_STR(d[4].text, spelled(": waiting for the end of fiber %ju\n", FIBER_ID(gated[0])));
        CHECK_STR(d[5].text, spelled(": waiting for the end of fiber %ju\n", FIBER_ID(gated[1])));
        CHECK_STR(d[6].text, ": waiting for the end of one of several fibers\n");
        CHECK_STR(d[7].text, ": waiting for a callback\n");
        CHECK_STR(d[8].text, spelled(": finalizing, waiting for permits of semaphore %ju\n", SEMAPHORE_ID(none)));
        for (size_t i = 0; i < DUMPED; i++)
            coir_fiber_drop(d[i].fiber);
        coir_fiber_drop(main_fiber);
        coir_fiber_drop(gated[0]);
        coir_fiber_drop(gated[1]);
        coir_semaphore_drop(none);
        coir_lock_drop(lock);
    }
}

TEST(look, dump_says_what_a_sleeper_waits_for)
{
    struct dumped dumped = { 0 };
    CHECK_STR(outcome(1, dumping(coir_sleep(coir_ms(1)), &dumped)), "OK 0");
    CHECK_STR(dumped.text, ": waiting for a moment (coir_sleep)\n");
    coir_fiber_drop(dumped.fiber);
}

/* ---------------------------------------------------------------------------------------------- looking disturbs nobody */

/* Another thread dumps fibers all the time, while they wait for this and that, end, or are let go with their run. */
struct watcher { coir_fiber *_Atomic fibers[3]; atomic_bool over; atomic_int looks; };
static void *watch_them(void *watcher_)
{
    struct watcher *watcher = watcher_;
    FILE *out = fopen("/dev/null", "w");
    while (!atomic_load(&watcher->over))
        for (size_t i = 0; i < 3; i++)
            if (atomic_load(&watcher->fibers[i]) != NULL) {
                coir_fiber_dump(atomic_load(&watcher->fibers[i]), out);
                atomic_fetch_add(&watcher->looks, 1);
            }
    fclose(out);
    return NULL;
}

struct shown { struct watcher *watcher; size_t index; };
static coir_io *show_fiber(void *shown_, coir_value *fiber)
{
    struct shown *shown = shown_;
    atomic_store(&shown->watcher->fibers[shown->index], coir_fiber_ref(coir_fiber_of(fiber)));
    return coir_unit();
}
static coir_io *showing(struct watcher *watcher, size_t index, coir_io *io)
{
    return coir_flat_map_copy(coir_fork(io), show_fiber, COIR_ENV(struct shown, .watcher = watcher, .index = index));
}

static void watched_run(unsigned workers, int rounds, bool stop)
{
    struct watcher watcher = { .over = false };
    coir_lock *lock = coir_lock_new();
    coir_semaphore *two = coir_semaphore_new(2);
    struct gate gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .is_open = true };
    pthread_t thread;
    coir_io *locking = coir_repeat(coir_with_lock(lock, coir_yield()), (uint64_t)rounds);
    coir_io *taking = coir_repeat(coir_then(coir_with_permits(two, 2, coir_yield()), passing(&gate)), (uint64_t)rounds);
    coir_io *joins = coir_repeat(coir_then(joined(coir_yield()), coir_sleep(coir_us(1))), (uint64_t)rounds / 10);
    coir_io *last = stop ? coir_with_permits(two, 2, coir_with_lock(lock, coir_never())) : coir_unit();
    CHECK_INT(pthread_create(&thread, NULL, watch_them, &watcher), 0);
    coir_io *io = coir_sequence(COIR_IOS(showing(&watcher, 0, coir_then(coir_io_ref(locking), coir_io_ref(last))),
                                         showing(&watcher, 1, coir_then(coir_io_ref(taking), coir_io_ref(last))),
                                         showing(&watcher, 2, coir_then(joins, coir_io_ref(last))), locking, taking, last));
    coir_result result = coir_run(io, COIR_OPTIONS(.workers = workers, .on_deadlock = COIR_DEADLOCK_STOP));
    CHECK_TAG(result, stop ? COIR_PANIC : COIR_OK);
    coir_result_drop(&result);
    int looks = atomic_load(&watcher.looks);
    CHECK_SOON(atomic_load(&watcher.looks) > looks + 10);       /* at the ended ones too */
    atomic_store(&watcher.over, true);
    CHECK_INT(pthread_join(thread, NULL), 0);
    for (size_t i = 0; i < 3; i++)
        coir_fiber_drop(watcher.fibers[i]);
    CHECK_INT(coir_semaphore_available(two), 2);
    coir_semaphore_drop(two);
    coir_lock_drop(lock);
}

TEST(look, fibers_may_be_dumped_by_another_thread_whatever_they_do)
{
    FOR_WORKERS(workers, 1, 2, 4)
        watched_run(workers, scaled(2000), false);
}

TEST(look, fibers_may_be_dumped_while_their_run_is_stopped)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int i = 0; i < scaled(200); i++)
            watched_run(workers, 10, true);
}
