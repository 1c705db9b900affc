/*
 * raffiot_guide.c - shows the examples of Raffiot's guide to asynchronous and concurrent programming, in one run
 *
 * A counter that ten fibers share, a semaphore of five for a hundred of them, a moment to wait for, all side by side; each has a
 * page of its own too (lock.c, semaphore.c, sleep_until.c). What is printed holds for any number of workers.
 */
#include <coir.h>

#include <stdatomic.h>

/* Runs an io `count` times side by side, and waits for all. */
enum { FIBERS_MAX = 100 };

static coir_io *join_one(void *env, coir_value *fiber)
{
    (void)env;
    return coir_join(coir_fiber_of(fiber));
}

static coir_io *join_all(void *env, coir_value *fibers)
{
    return coir_each(coir_take(fibers), join_one, env);
}

static coir_io *side_by_side(size_t count, coir_io *io)
{
    coir_io *same[FIBERS_MAX];
    for (size_t i = 0; i < count; i++)
        same[i] = coir_io_ref(io);
    coir_io_drop(io);
    return coir_flat_map(coir_parallel(count, same), join_all, NULL);
}

/* 1. A counter that is read, shown to everybody and written back: the lock keeps it whole. */
struct increment { int *counter, seen; };

static coir_io *increment_step(coir_routine *self)
{
    COIR_BEGIN(self, struct increment, my);
    my->seen = *my->counter;
    COIR_AWAIT(coir_yield());                                   /* without the lock the others would come in here */
    *my->counter = my->seen + 1;
    COIR_END;
}

static coir_io *increments(coir_lock *lock, int *counter)
{
    coir_io *increment = coir_do(increment_step, COIR_ENV(struct increment, .counter = counter));
    return side_by_side(10, coir_with_lock(lock, increment));
}

/* 2. A hundred fibers, never more than five of them inside. */
struct room { atomic_int inside; atomic_bool crowded; };

static coir_result come_in(void *env)
{
    struct room *room = env;
    if (atomic_fetch_add(&room->inside, 1) >= 5)
        atomic_store(&room->crowded, true);
    return coir_ok(coir_none());
}

static coir_result go_out(void *env)
{
    struct room *room = env;
    atomic_fetch_sub(&room->inside, 1);
    return coir_ok(coir_none());
}

static coir_io *visits(coir_semaphore *five, struct room *room)
{
    coir_io *visit = coir_sequence(COIR_IOS(coir_defer(come_in, room), coir_sleep(coir_ms(1)), coir_defer(go_out, room)));
    return side_by_side(FIBERS_MAX, coir_with_permits(five, 1, visit));
}

/* 3. Sleep until a moment of the calendar. */
static coir_io *sleep_until_next_second(void *env)
{
    struct timespec moment;
    (void)env;
    timespec_get(&moment, TIME_UTC);                            /* when it is run, not when it is built */
    moment.tv_sec += 1;
    moment.tv_nsec = 0;
    return coir_sleep_until(moment);
}

/* 4. All three at once; wait() gives each one's result, good or bad. */
static coir_io *wait_for_them(void *env, coir_value *fibers)
{
    (void)env;
    return coir_wait(fibers);
}

static void show(void *env, const coir_value *results)
{
    static const char *const names[] = { "counter", "room", "sleeper" };
    (void)env;
    for (size_t i = 0; i < coir_list_size(results); i++)
        printf("%s: %s\n", names[i], coir_result_in(coir_list_at(results, i))->tag == COIR_OK ? "ended well" : "failed");
}

int main(void)
{
    int counter = 0;
    struct room room = { 0 };
    coir_lock *lock = coir_lock_new();
    coir_semaphore *five = coir_semaphore_new(5);
    coir_io *fibers = coir_parallel(COIR_IOS(
        increments(lock, &counter), visits(five, &room), coir_suspend(sleep_until_next_second, NULL)));

    int status = coir_main(coir_tap(coir_flat_map(fibers, wait_for_them, NULL), show, NULL), NULL);
    printf("the counter says %d, the room was %s\n", counter, room.crowded ? "crowded" : "never crowded");
    coir_semaphore_drop(five);
    coir_lock_drop(lock);
    return status;
}
