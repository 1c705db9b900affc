/*
 * pool.c - shows a resource made of smaller ones: a pool of connections
 *
 * Using one: a permit, then an idle connection, else a new one. Giving back: after a success it goes to the idle ones, after a failure it is closed, since
 * nobody knows what is left in its buffers. Ten requests, never more than three connections at once; the fourth request fails.
 */
#include <coir.h>

enum { CONNECTIONS = 3, REQUESTS = 10 };

struct pool { coir_semaphore *permits; int idle[CONNECTIONS], idle_count, made, closed, open_max; };      /* plain: there is one worker */

static coir_result connect(void *pool_)
{
    struct pool *pool = pool_;
    if (pool->idle_count > 0)
        return coir_ok(coir_int(pool->idle[--pool->idle_count]));
    pool->made++;
    if (pool->made - pool->closed > pool->open_max)
        pool->open_max = pool->made - pool->closed;
    return coir_ok(coir_int(pool->made));
}

static coir_io *give_back(void *pool_, coir_value *connection, const coir_result *outcome)
{
    struct pool *pool = pool_;
    if (outcome->tag == COIR_OK)
        pool->idle[pool->idle_count++] = (int)connection->i64;
    else
        pool->closed++;
    return coir_unit();
}

static coir_resource *pool_connection(struct pool *pool)
{
    coir_io *acquire = coir_then(coir_yield(), coir_defer(connect, pool));
    return coir_resource_then(coir_permits(pool->permits, 1), coir_resource_new(acquire, give_back, pool));
}

static coir_io *talk(void *index, const coir_value *connection)
{
    (void)connection;
    if (*(const size_t *)index == 3)
        return coir_then(coir_yield(), coir_failf(1, "the server hung up"));
    return coir_yield();
}

static coir_io *request(void *pool, size_t index) { return coir_fork(coir_use_copy(pool_connection(pool), talk, &index, sizeof index)); }

static coir_io *wait_for(void *env, coir_value *fibers) { (void)env; return coir_wait(fibers); }

static void count(void *env, const coir_value *results)
{
    int failed = 0;
    (void)env;
    for (size_t i = 0; i < coir_list_size(results); i++)
        failed += coir_result_in(coir_list_at(results, i))->tag != COIR_OK;
    printf("requests: %zu, failed: %d\n", coir_list_size(results), failed);
}

int main(void)
{
    struct pool pool = { .permits = coir_semaphore_new(CONNECTIONS) };
    coir_io *all = coir_flat_map(coir_traverse(REQUESTS, request, &pool), wait_for, NULL);
    int status = coir_main(coir_tap(all, count, NULL), COIR_OPTIONS(.workers = 1));
    printf("connections: %d made, %d closed after a failure, never more than %d open\n", pool.made, pool.closed, pool.open_max);
    printf("idle at the end: %d\n", pool.idle_count);
    coir_semaphore_drop(pool.permits);
    return status;
}
