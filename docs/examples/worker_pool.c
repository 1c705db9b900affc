/*
 * worker_pool.c - shows workers at a queue of jobs, which may put further ones, and somebody who waits until all are done
 *
 * A number that is no prime is two jobs: a divisor, and what is left. So nobody knows beforehand which job will be the last; but when as many are done as were put
 * nobody is at work who could put more. Then the queue is closed, and the workers go home.
 */
#include <coir.h>
#include <stdatomic.h>

enum { WORKERS = 3 };

struct factory { coir_queue *jobs; atomic_llong primes, product; };

static coir_io *put(struct factory *factory, int64_t number) { return coir_queue_put(factory->jobs, coir_int(number)); }

static coir_io *work(void *env, coir_value *job)
{
    struct factory *factory = env;
    int64_t number = job->i64;
    for (int64_t divisor = 2; divisor * divisor <= number; divisor++)
        if (number % divisor == 0)
            return coir_sequence(COIR_IOS(put(factory, divisor), put(factory, number / divisor)));
    atomic_fetch_add(&factory->primes, 1);
    long long product = atomic_load(&factory->product);
    while (!atomic_compare_exchange_weak(&factory->product, &product, product * number)) {}
    return coir_unit();
}

/* Says of each job that it is done when work() of it has ended, in whatever way. */
static coir_io *worker(void *env, size_t index)
{
    (void)index;
    return coir_queue_each(((struct factory *)env)->jobs, work, env);
}

int main(void)
{
    struct factory factory = { .jobs = coir_queue_new(COIR_UNBOUNDED, COIR_FULL_WAIT), .product = 1 };
    coir_io *boss = coir_sequence(COIR_IOS(put(&factory, 720720), put(&factory, 1009), coir_queue_wait_done(factory.jobs)));
    coir_io *workers = coir_par_traverse(0, WORKERS, worker, &factory);
    int status = coir_main(coir_both(coir_queue_closing(factory.jobs, boss), workers), NULL);

    printf("primes: %lld\n", atomic_load(&factory.primes));
    printf("their product: %lld = 720720 * 1009\n", atomic_load(&factory.product));
    printf("jobs that are not done: %llu\n", (unsigned long long)coir_queue_unfinished(factory.jobs));
    coir_queue_drop(factory.jobs);
    return status;
}
