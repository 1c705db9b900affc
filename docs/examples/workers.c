/*
 * workers.c - shows a run with a pool of workers: the same program, the same answer, on one thread, two or four
 *
 * A million numbers are summed in a hundred parts, a fiber for each. How many threads share the fibers is an option of the run,
 * not a property of the program. The calling thread is one of them.
 */
#include <coir.h>

enum { PARTS = 100, PART_SIZE = 10000 };

static coir_result sum_part(void *env)
{
    size_t part = *(size_t *)env;
    int64_t sum = 0;
    for (size_t i = 0; i < PART_SIZE; i++)
        sum += (int64_t)(part * PART_SIZE + i);
    return coir_ok(coir_int(sum));
}

static coir_io *fork_part(void *env, size_t part)
{
    (void)env;
    return coir_fork(coir_defer_copy(sum_part, &part, sizeof part));
}

static coir_io *join_part(void *env, coir_value *fiber)
{
    (void)env;
    return coir_join(coir_fiber_of(fiber));
}

static coir_io *join_parts(void *env, coir_value *fibers)
{
    return coir_each(coir_take(fibers), join_part, env);
}

static coir_value add_up(void *env, coir_value *sums)
{
    int64_t total = 0;
    (void)env;
    for (size_t i = 0; i < coir_list_size(sums); i++)
        total += coir_list_at(sums, i)->i64;
    return coir_int(total);
}

static void show(void *env, const coir_value *total)
{
    const unsigned *workers = env;
    printf("workers: %u, sum: %lld\n", *workers, (long long)total->i64);
}

int main(void)
{
    coir_io *parts = coir_traverse(PARTS, fork_part, NULL);
    coir_io *total = coir_map(coir_flat_map(parts, join_parts, NULL), add_up, NULL);
    int status = 0;

    for (unsigned workers = 1; workers <= 4; workers *= 2)
        status |= coir_main(coir_tap(coir_io_ref(total), show, &workers), COIR_OPTIONS(.workers = workers));
    coir_io_drop(total);
    return status;
}
