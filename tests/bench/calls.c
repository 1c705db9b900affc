/*
 * calls.c - what it costs to be called back by a foreign thread: one call outstanding, and 64
 *
 * The foreign thread spins for work, so that what is measured is the way there and back and not its own waking up. Requests
 * go to it on a stack, newest first: fibers push with a compare-and-swap, it takes all of them at once, so nothing is ever popped
 * from a stack that others pop from.
 */
#define _POSIX_C_SOURCE 200809L

#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { ANSWER = 7, SPINS_MAX = 4096 };

/* Lives in the fiber that waits for it, and is gone as soon as it has been answered. */
struct request { struct request *next; coir_callback answer; };

struct desk { _Atomic(struct request *) newest; atomic_bool is_closed; int64_t calls_each; };

/* After many looks in vain it lets others run: with as many workers as processors somebody else needs this one. */
static struct request *take_all(struct desk *desk)
{
    for (int spins = 1; !atomic_load(&desk->is_closed); spins++) {
        if (atomic_load_explicit(&desk->newest, memory_order_relaxed))
            return atomic_exchange_explicit(&desk->newest, NULL, memory_order_acquire);
        if (spins % SPINS_MAX == 0)
            sched_yield();
    }
    return NULL;
}

static void *answer_them(void *env)
{
    struct request *request;
    while ((request = take_all(env)) != NULL)
        while (request) {
            struct request *next = request->next;           /* before the answer: after it the request is gone */
            coir_resume(request->answer, coir_ok(coir_int(ANSWER)));
            request = next;
        }
    return NULL;
}

static void ask(void *env, void *op, coir_callback k)
{
    struct desk    *desk = env;
    struct request *request = op;
    request->answer = k;
    request->next = atomic_load_explicit(&desk->newest, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&desk->newest, &request->next, request, memory_order_release,
                                                  memory_order_relaxed))
        ;
}

static const coir_async_type asking = { .op_size = sizeof(struct request), .start = ask };

struct caller { struct desk *desk; int64_t done, sum; };

static coir_io *caller_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct caller, my);
    for (; my->done < my->desk->calls_each; my->done++) {
        COIR_AWAIT(coir_async(&asking, my->desk));
        my->sum += self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static coir_io *fork_caller(void *env, size_t index)
{
    (void)index;
    return coir_fork(coir_do(caller_routine, COIR_ENV(struct caller, .desk = env)));
}

static void call_from(struct bench *b, int64_t callers)
{
    struct desk desk = { .calls_each = b->n / callers };
    pthread_t   thread;
    bench_check(pthread_create(&thread, NULL, answer_them, &desk) == 0, "the foreign thread starts");
    int64_t sum = bench_run(b, bench_sum(coir_traverse((size_t)callers, fork_caller, &desk)));
    atomic_store(&desk.is_closed, true);
    pthread_join(thread, NULL);
    bench_check(sum == ANSWER * b->n, "each call is answered");
}

static void async1(struct bench *b)
{
    call_from(b, 1);
}

static void async64(struct bench *b)
{
    call_from(b, 64);
}

const struct workload bench_calls[] = {
    { .name = "async1", .run = async1, .n = 200000, .quick_n = 50000, .budget = { 30000, 30000 }, .goal = { 5000, 5000 },
      .what = "a fiber suspends on a callback that a foreign thread, which spins for work, completes" },
    { .name = "async64", .run = async64, .n = 1000000, .quick_n = 320000, .share = 64, .budget = { 400, 400 },
      .goal = { 200, 200 }, .what = "the same with 64 fibers" },
    { .name = NULL }
};
