/*
 * blocking.c - functions that block a thread: called on one of those beside the pool, while the fiber waits as for any callback
 *
 * The job stands in the fiber's frame, which is there until the callback handle is resumed, by whoever it is: the thread, when the function has
 * returned, or a cancellation that found the job before a thread did.
 */
#include "fiber/driver.h"
#include "outside/async.h"

#include <string.h>

/* What an io describes; what it captures comes behind. */
struct call { coir_defer_fn *fn; coir_unblock_fn *unblock; void *env; bool captures; };

/* A run of it. */
struct blocked { struct job job; coir_callback k; const struct call *call; };

static void *env_of(const struct call *call) { return call->captures ? (void *)(uintptr_t)(call + 1) : call->env; }

static void work(struct job *job)
{
    const struct blocked *blocked = container_of(job, struct blocked, job);
    coir_callback k = blocked->k;
    (void)coir_resume(k, blocked->call->fn(env_of(blocked->call)));
}

static void start(void *env, void *op, coir_callback k)
{
    struct blocked *blocked = op;
    struct coir__seat *seat = coir__me.seat;
    *blocked = (struct blocked){ .job = { .work = work }, .k = k, .call = env };
    if (!seat->run->driver->block(seat, &blocked->job))
        (void)coir_resume(k, coir__panicf(DOMAIN_ERRNO, ENOMEM, "coir_blocking: no memory, or no thread to be had"));
}

/* One that runs goes on to its end: its op stays, since the fiber waits for us as well. */
static void cancel(void *env, void *op)
{
    const struct call *call = env;
    struct blocked *blocked = op;
    struct coir__seat *seat = coir__me.seat;
    if (seat->run->driver->unblock(seat, &blocked->job))
        (void)coir_resume(blocked->k, coir_result_of(COIR_CANCELED, coir_none()));
    else if (call->unblock != NULL)
        call->unblock(env_of(call));
}

static const coir_async_type blocking = { .op_size = sizeof(struct blocked), .start = start, .cancel = cancel };

/* ---------------------------------------------------------------------------------------------------------------- ios */

static coir_io *blocking_io(const char *function, coir_defer_fn *fn, coir_unblock_fn *unblock, struct env_given given)
{
    const char *bad = coir__callback_bad((any_fn *)fn, given);
    if (bad != NULL)
        return coir__bad_argument(function, bad);
    size_t captured = given.bytes == LENT ? 0 : given.bytes;
    void *env;
    coir_io *io = coir__async_new(&coir__blocking_prim, &blocking, sizeof(struct call) + captured, &env);
    if (io == NULL)
        return NULL;
    struct call *call = env;
    *call = (struct call){ fn, unblock, (void *)(uintptr_t)given.env, given.bytes != LENT };
    if (captured > 0)
        memcpy(call + 1, given.env, captured);
    return io;
}

coir_io *coir_blocking(coir_defer_fn *fn, void *env) { return blocking_io("coir_blocking", fn, NULL, lent(env)); }
coir_io *coir_blocking_copy(coir_defer_fn *fn, const void *bytes, size_t size)
{
    return blocking_io("coir_blocking_copy", fn, NULL, captured(bytes, size));
}

static coir_io *interruptible_io(const char *function, coir_defer_fn *fn, coir_unblock_fn *unblock, struct env_given given)
{
    return unblock == NULL ? coir__bad_argument(function, "unblock is NULL") : blocking_io(function, fn, unblock, given);
}

coir_io *coir_interruptible(coir_defer_fn *fn, coir_unblock_fn *unblock, void *env)
{
    return interruptible_io("coir_interruptible", fn, unblock, lent(env));
}
coir_io *coir_interruptible_copy(coir_defer_fn *fn, coir_unblock_fn *unblock, const void *bytes, size_t size)
{
    return interruptible_io("coir_interruptible_copy", fn, unblock, captured(bytes, size));
}
