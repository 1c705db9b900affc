/*
 * async.c - shows how threads that know nothing of fibers serve them: a foreign pool of pthreads behind coir_async
 *
 * coir_async gives every run its own zeroed `struct job`, which lives until the fiber has gone on: so the queue below links the
 * jobs themselves, and there is no malloc. The fiber sleeps meanwhile; no worker is held up.
 */
#include <coir.h>

#include <pthread.h>
#include <stdlib.h>

/* ---- The foreign code: three threads that square numbers. */
enum { THREADS = 3 };

struct job { struct job *next; int64_t number; coir_callback k; };

struct pool {
    pthread_t       threads[THREADS];
    pthread_mutex_t mutex;
    pthread_cond_t  wake;
    struct job     *jobs;                                       /* under mutex, as is closing */
    bool            closing;
};

static struct job *pool_next(struct pool *pool)                 /* NULL: the pool is closing */
{
    pthread_mutex_lock(&pool->mutex);
    while (pool->jobs == NULL && !pool->closing)
        pthread_cond_wait(&pool->wake, &pool->mutex);
    struct job *job = pool->jobs;
    if (job != NULL)
        pool->jobs = job->next;
    pthread_mutex_unlock(&pool->mutex);
    return job;
}

static void *pool_thread(void *user)
{
    for (struct job *job; (job = pool_next(user)) != NULL; )
        coir_resume(job->k, coir_ok(coir_int(job->number * job->number)));      /* job is the fiber's again: hands off */
    return NULL;
}

/* ---- The glue: one function, and what it needs to know. */
struct square { struct pool *pool; int64_t number; };

static void square_start(void *env, void *op, coir_callback k)
{
    const struct square *square = env;
    struct pool *pool = square->pool;
    struct job *job = op;
    job->number = square->number;
    job->k = k;
    pthread_mutex_lock(&pool->mutex);
    job->next = pool->jobs;
    pool->jobs = job;
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

static coir_io *square(struct pool *pool, int64_t number)
{
    static const coir_async_type type = { .op_size = sizeof(struct job), .start = square_start };
    return coir_async_copy(&type, COIR_ENV(struct square, .pool = pool, .number = number));
}

/* ---- The program: ten squares at once, told in order. */
static coir_io *fork_square(void *env, size_t index)
{
    return coir_fork(square(env, (int64_t)index + 1));
}

static void tell(void *env, const coir_value *number)
{
    (void)env;
    printf("%lld\n", (long long)number->i64);
}

static coir_io *join_and_tell(void *env, coir_value *fiber)
{
    return coir_tap(coir_join(coir_fiber_of(fiber)), tell, env);
}

static coir_io *tell_all(void *env, coir_value *fibers)
{
    return coir_each(coir_take(fibers), join_and_tell, env);
}

int main(void)
{
    struct pool pool = { .mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&pool.threads[i], NULL, pool_thread, &pool) != 0)
            return EXIT_FAILURE;

    int status = coir_main(coir_flat_map(coir_traverse(10, fork_square, &pool), tell_all, NULL), NULL);

    pthread_mutex_lock(&pool.mutex);
    pool.closing = true;
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.mutex);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(pool.threads[i], NULL);
    return status;
}
