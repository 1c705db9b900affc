/*
 * future.c - what was submitted, seen from outside: the result, and who waits for it
 *
 * The io that was submitted runs inside one machine frame, the lowest of its fiber. Whatever becomes of it goes through that frame: a result of any
 * kind is given to it, and one that never runs, or is let go as it stands, is dropped with it. So the future is done exactly once.
 *
 * The result is the future's; where it can be shared the fiber ends with it, too, and so a failure that nobody looks at is told as that of any fiber.
 *
 * All is under the future's lock, a mutex: who comes here is about to wait for another thread, or has been waited for.
 */
#include "runtime/future.h"

#include "base/clock.h"
#include "fiber/cancel.h"
#include "fiber/driver.h"
#include "io/machine.h"

#include <pthread.h>

struct coir_future {
    _Atomic uint32_t refs;                              /* A: handles, one of them the io's */
    coir_runtime    *runtime;                           /* I: kept */
    pthread_mutex_t  lock;
    pthread_cond_t   changed;
    coir_fiber      *fiber;                             /* L: a handle, once it has begun */
    bool             is_canceled;                       /* L: somebody asked for that */
    _Atomic bool     is_done;                           /* A, written under lock, after the result */
    bool             is_sharable;                       /* written under lock, when it is done; then I */
    bool             is_gone;                           /* L: the result could not be shared, and somebody has it */
    coir_result      result;                            /* likewise; one that cannot be shared L */
    struct done_call *calls, *deliveries;               /* L: until then, the last one first */
};

/* ------------------------------------------------------------------------------------------------------------- handles */

coir_future *coir__future_new(coir_runtime *runtime)
{
    coir_future *future = coir__alloc(sizeof *future);
    pthread_condattr_t monotonic;
    if (future == NULL)
        return NULL;
    *future = (coir_future){ .result = coir_ok(coir_none()), .runtime = coir__runtime_keep(runtime) };
    atomic_init(&future->refs, 1);
    pthread_mutex_init(&future->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&future->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return future;
}

coir_future *coir_future_ref(coir_future *future)
{
    if (future != NULL)
        fetch_add_relaxed(&future->refs, 1u);
    return future;
}

void coir_future_drop(coir_future *future)
{
    if (future == NULL || fetch_sub_acq_rel(&future->refs, 1u) != 1)
        return;
    coir_result_drop(&future->result);
    coir_fiber_drop(future->fiber);
    coir__runtime_release(future->runtime);
    pthread_cond_destroy(&future->changed);
    pthread_mutex_destroy(&future->lock);
    coir__free(future, sizeof *future);
}

/* ---------------------------------------------------------------------------------------------------------------- done */

void coir__done_call_make(struct done_call *call)
{
    call->fn(call->env, call->future);
    coir_future_drop(call->future);
    coir__free(call, sizeof *call);
}

/* Where nothing may wait. */
static void call_from_within(struct done_call *call)
{
    coir__me.in_hook++;
    coir__done_call_make(call);
    coir__me.in_hook--;
}

static struct done_call *reversed(struct done_call *calls)
{
    struct done_call *first = NULL;
    for (struct done_call *next; calls != NULL; calls = next) {
        next = calls->next;
        calls->next = first;
        first = calls;
    }
    return first;
}

/* Takes result. Once. */
static void future_done(coir_future *future, coir_result result)
{
    pthread_mutex_lock(&future->lock);
    struct done_call *calls = reversed(future->calls), *deliveries = reversed(future->deliveries);
    future->result = result;
    future->is_sharable = coir__result_can_share(&result);
    future->calls = future->deliveries = NULL;
    store_release(&future->is_done, true);
    pthread_cond_broadcast(&future->changed);
    struct done_call *refused = coir__runtime_deliver(future->runtime, deliveries);         /* under the lock: so they come in the order in which futures are done */
    pthread_mutex_unlock(&future->lock);
    coir__done_calls_drop(refused);
    for (struct done_call *next; calls != NULL; calls = next) {
        next = calls->next;
        call_from_within(calls);
    }
}

void coir__future_refuse(coir_future *future, coir_result result) { future_done(future, result); }

bool coir_future_done(const coir_future *future) { return future != NULL && load_acquire(&((coir_future *)(uintptr_t)future)->is_done); }

/* ------------------------------------------------------------------------------------------------------------ the frame */

/* The child is an object of the node until it runs. */
struct submitted { coir_future *future; };
enum { SUBMITTED_SIZE = NODE_SMALL + sizeof(struct submitted) };

static struct submitted *submitted_of(coir_io *node) { return (struct submitted *)(void *)((char *)node + NODE_SMALL); }

static enum machine_way submitted_begin(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    coir_future *future = submitted_of(frame)->future;
    pthread_mutex_lock(&future->lock);
    future->fiber = coir_fiber_ref(fiber);
    bool is_canceled = future->is_canceled;
    pthread_mutex_unlock(&future->lock);
    if (is_canceled)
        coir__cancel_request(fiber);
    turn->io = frame->object;
    turn->borrowed = false;
    frame->object = NULL;
    return MACHINE_RUNS;
}

/* What cannot be shared goes to the future alone, unless nobody has a handle of it any more. */
static coir_result result_for(coir_future *future, const coir_fiber *fiber, coir_result *result)
{
    coir_result theirs = *result;
    if (coir__result_can_share(result))
        return coir_result_share(result);
    if (load_acquire(&future->refs) == 1)
        return coir_ok(coir_none());
    coir__set_ok(result, coir_none());
    if (theirs.tag == COIR_ERROR || theirs.tag == COIR_PANIC || theirs.also != NULL) {      /* to be told, if nobody gets it */
        char label[64];
        *result = coir__panicf(DOMAIN_COIR, COIR_MISUSE, "the failure of fiber%s cannot be shared, and its future has it",
                               coir__fiber_label(fiber, label, sizeof label));
    }
    return theirs;
}

static enum machine_way submitted_given(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    coir_future *future = submitted_of(frame)->future;
    future_done(future, result_for(future, fiber, &turn->result));
    return MACHINE_IS_OVER;
}

/* It did not come to its end. If it had not begun, it was called off before that; or a verdict has stopped the run; or, where the server is at work,
 * there was no memory for a fiber. */
static coir_result result_of_dropped(const coir_future *future)
{
    const struct coir__seat *seat = coir__me.seat;
    if (future->fiber == NULL && coir__runtime_is_canceling(future->runtime))
        return coir_result_of(COIR_CANCELED, coir_none());
    if (future->fiber == NULL && seat != NULL && !seat->run->is_stopped)
        return coir__no_memory();
    return coir__panicf(DOMAIN_COIR, COIR_STOPPED, "the runtime was stopped before this had ended");
}

static void submitted_drop(coir_io *node)
{
    coir_future *future = submitted_of(node)->future;
    if (node->object != NULL)
        coir_io_drop(node->object);
    if (!coir_future_done(future))
        future_done(future, result_of_dropped(future));
    coir_future_drop(future);
}

static void submitted_empty(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    (void)frame;
}

static const struct coir__machine submitted_machine = {
    .name = "submitted", .begin = submitted_begin, .given = submitted_given, .empty = submitted_empty, .drop = submitted_drop
};

coir_io *coir__future_io(coir_future *future, coir_io *io)
{
    coir_io *node = coir__node_new(OP_MACHINE, SUBMITTED_SIZE);
    if (node == NULL) {
        coir_io_drop(io);
        return NULL;
    }
    node->child = NULL;
    node->machine = &submitted_machine;
    node->object = io;
    submitted_of(node)->future = coir_future_ref(future);
    return node;
}

/* A fiber is called after the label that it begins with: that goes outside. */
coir_io *coir__future_io_named(coir_io *io)
{
    coir_io *inner = io->object;
    if (inner->op != OP_NAMED || !coir__node_sole(inner))
        return io;
    io->object = inner->child;
    inner->child = io;
    return inner;
}

/* ---------------------------------------------------------------------------------------------------------- for others */

void coir_future_cancel(coir_future *future)
{
    if (future == NULL)
        return;
    pthread_mutex_lock(&future->lock);
    future->is_canceled = true;
    coir_fiber *fiber = coir_fiber_ref(future->fiber);
    pthread_mutex_unlock(&future->lock);
    coir_fiber_cancel(fiber);
    coir_fiber_drop(fiber);
}

/* Under the lock. */
static bool wait_until_done(coir_future *future, coir_duration limit)
{
    int64_t due = limit.ns == INT64_MAX ? INT64_MAX : ns_add(clock_monotonic(), limit.ns);
    struct timespec until = timespec_of_ns(due);
    int status = 0;
    while (!load_relaxed(&future->is_done) && status == 0)
        status = due == INT64_MAX ? pthread_cond_wait(&future->changed, &future->lock)
                                  : pthread_cond_timedwait(&future->changed, &future->lock, &until);
    return load_relaxed(&future->is_done);
}

/* One that cannot be shared, by who asks first. */
static coir_result take_once(coir_future *future)
{
    pthread_mutex_lock(&future->lock);
    bool is_gone = future->is_gone;
    coir_result result = future->result;
    future->is_gone = true;
    if (!is_gone)
        future->result = coir_ok(coir_none());
    pthread_mutex_unlock(&future->lock);
    return is_gone ? coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_future_get: the result cannot be shared, and another has it") : result;
}

static coir_result result_of_done(coir_future *future)
{
    if (future->fiber != NULL)
        store_relaxed(&future->fiber->seen, 1);
    return future->is_sharable ? coir_result_share(&future->result) : take_once(future);
}

bool coir_future_get(coir_future *future, coir_duration limit, coir_result *result)
{
    bool would_block_a_worker = coir__me.seat != NULL || coir__me.in_hook > 0;
    if (result == NULL)
        return false;
    if (future == NULL) {
        *result = coir__panicf(DOMAIN_ERRNO, EINVAL, "coir_future_get: future is NULL");
        return true;
    }
    bool is_done = coir_future_done(future), is_to_wait = !is_done && limit.ns > 0;
    if (is_to_wait && would_block_a_worker) {
        *result = coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_future_get: called from a callback: it would block a worker");
        return true;
    }
    if (is_to_wait && coir__in_forked_child()) {
        *result = coir__panicf(DOMAIN_COIR, COIR_REFUSED, "coir_future_get: in a child of fork(), which has none of the parent's threads");
        return true;
    }
    if (is_to_wait) {
        pthread_mutex_lock(&future->lock);
        is_done = wait_until_done(future, limit);
        pthread_mutex_unlock(&future->lock);
    }
    *result = is_done ? result_of_done(future) : coir_ok(coir_none());
    return is_done;
}

/* NULL without memory, or of what makes no sense. */
static struct done_call *call_new(coir_future *future, coir_done_fn *fn, void *env)
{
    struct done_call *call = future == NULL || fn == NULL ? NULL : coir__alloc(sizeof *call);
    if (call != NULL)
        *call = (struct done_call){ .fn = fn, .env = env, .future = coir_future_ref(future) };
    return call;
}

bool coir_future_on_done(coir_future *future, coir_done_fn *fn, void *env)
{
    struct done_call *call = call_new(future, fn, env);
    if (call == NULL)
        return false;
    pthread_mutex_lock(&future->lock);
    bool is_done = load_relaxed(&future->is_done);
    if (!is_done) {
        call->next = future->calls;
        future->calls = call;
    }
    pthread_mutex_unlock(&future->lock);
    if (is_done)
        call_from_within(call);
    return true;
}

bool coir_future_deliver(coir_future *future, coir_done_fn *fn, void *env)
{
    struct done_call *call = call_new(future, fn, env);
    if (call == NULL)
        return false;
    pthread_mutex_lock(&future->lock);
    if (load_relaxed(&future->is_done)) {
        call = coir__runtime_deliver(future->runtime, call);
    } else {
        call->next = future->deliveries;
        future->deliveries = call;
        call = NULL;
    }
    pthread_mutex_unlock(&future->lock);
    coir__done_calls_drop(call);
    return true;
}
