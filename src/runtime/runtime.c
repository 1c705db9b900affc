/*
 * runtime.c - a run beside a program's own loop: what is submitted comes in by one door, and goes out as a future
 *
 * A thread makes a run whose main fiber takes what was submitted, in order, and forks it, inside a coir_supervise(): so all that was submitted, with
 * what it forks, belongs to that; to stop is to close the door, and to cancel is to cancel the main fiber.
 *
 * The program's handles are counted apart from what keeps the memory: these handles together, the thread, and each future. The thread is joined by the
 * first who stops the runtime, or else detached by the last of the program's handles.
 */
#include "runtime/future.h"

#include "base/atomic.h"
#include "fiber/driver.h"
#include "fiber/fiber.h"
#include "fiber/scope.h"
#include "io/machine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct coir_runtime {
    _Atomic uint32_t users, refs;                       /* A: the program's handles; what keeps the memory */
    coir_options     options;                           /* I */
    pthread_t        thread;                            /* I */
    pthread_mutex_t  lock;
    pthread_cond_t   changed;
    bool             has_begun, is_over;                /* L: the run */
    bool             is_closed, is_canceling;           /* L: the door; what has not begun does not */
    bool             is_joining, is_joined;             /* L: somebody joins the thread, or has detached it; he has */
    coir_io         *first, *last;                      /* L: what the main fiber has not taken yet, through `child` */
    bool             is_asked;                          /* L: it waits for some, to be resumed by */
    coir_callback    k;
    coir_fiber      *main_fiber;                        /* L: a handle, while the run goes on */
    struct done_call *deliveries, *deliveries_last;     /* L: to be called by coir_runtime_dispatch() */
    int              fd;                                /* L: an eventfd, readable while there are some; or -1 */
};

/* ----------------------------------------------------------------------------------------------------------- deliveries */

void coir__done_calls_drop(struct done_call *calls)
{
    for (struct done_call *next; calls != NULL; calls = next) {
        next = calls->next;
        coir_future_drop(calls->future);
        coir__free(calls, sizeof *calls);
    }
}

/* L. */
static struct done_call *deliveries_take(coir_runtime *runtime)
{
    struct done_call *calls = runtime->deliveries;
    uint64_t count;
    runtime->deliveries = runtime->deliveries_last = NULL;
    if (runtime->fd >= 0 && calls != NULL)
        (void)!read(runtime->fd, &count, sizeof count);
    return calls;
}

/* L. */
static void fd_raise(const coir_runtime *runtime)
{
    const uint64_t one = 1;
    if (runtime->fd >= 0)
        (void)!write(runtime->fd, &one, sizeof one);
}

struct done_call *coir__runtime_deliver(coir_runtime *runtime, struct done_call *calls)
{
    if (calls == NULL)
        return NULL;
    pthread_mutex_lock(&runtime->lock);
    bool anybody = load_relaxed(&runtime->users) > 0, first = runtime->deliveries == NULL;
    if (anybody) {
        *(first ? &runtime->deliveries : &runtime->deliveries_last->next) = calls;
        while (calls->next != NULL)
            calls = calls->next;
        runtime->deliveries_last = calls;
        if (first)
            fd_raise(runtime);
    }
    pthread_mutex_unlock(&runtime->lock);
    return anybody ? NULL : calls;
}

int coir_runtime_fd(coir_runtime *runtime)
{
    if (runtime == NULL) {
        errno = EINVAL;
        return -1;
    }
    pthread_mutex_lock(&runtime->lock);
    if (runtime->fd < 0) {
        runtime->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (runtime->deliveries != NULL)
            fd_raise(runtime);
    }
    int fd = runtime->fd;
    pthread_mutex_unlock(&runtime->lock);
    return fd;
}

size_t coir_runtime_dispatch(coir_runtime *runtime)
{
    size_t count = 0;
    if (runtime == NULL)
        return 0;
    pthread_mutex_lock(&runtime->lock);
    struct done_call *calls = deliveries_take(runtime);
    pthread_mutex_unlock(&runtime->lock);
    for (struct done_call *next; calls != NULL; calls = next, count++) {
        next = calls->next;
        coir__done_call_make(calls);
    }
    return count;
}

/* ------------------------------------------------------------------------------------------------------------- handles */

coir_runtime *coir__runtime_keep(coir_runtime *runtime)
{
    fetch_add_relaxed(&runtime->refs, 1u);
    return runtime;
}

void coir__runtime_release(coir_runtime *runtime)
{
    if (fetch_sub_acq_rel(&runtime->refs, 1u) != 1)
        return;
    if (runtime->fd >= 0)
        close(runtime->fd);
    pthread_cond_destroy(&runtime->changed);
    pthread_mutex_destroy(&runtime->lock);
    coir__free(runtime, sizeof *runtime);
}

coir_runtime *coir_runtime_ref(coir_runtime *runtime)
{
    if (runtime != NULL)
        fetch_add_relaxed(&runtime->users, 1u);
    return runtime;
}

/* L. Gives whom it has to be told to: nobody has, unless the main fiber waits. */
static bool door_close(coir_runtime *runtime, coir_callback *k)
{
    bool is_asked = runtime->is_asked;
    runtime->is_closed = true;
    runtime->is_asked = false;
    *k = runtime->k;
    return is_asked;
}

void coir_runtime_drop(coir_runtime *runtime)
{
    coir_callback k;
    if (runtime == NULL || coir__in_forked_child() || fetch_sub_acq_rel(&runtime->users, 1u) != 1)
        return;
    pthread_mutex_lock(&runtime->lock);
    bool is_asked = door_close(runtime, &k), is_mine = !runtime->is_joining;
    runtime->is_joining = true;
    struct done_call *calls = deliveries_take(runtime);
    pthread_mutex_unlock(&runtime->lock);
    if (is_mine)
        pthread_detach(runtime->thread);
    if (is_asked)
        (void)coir_resume(k, coir_ok(coir_none()));
    coir__done_calls_drop(calls);
    coir__runtime_release(runtime);
}

/* -------------------------------------------------------------------------------------------------------- the main fiber */

/* L. What was submitted first; NULL, when the door is closed and nothing is left. False: it is open, and there is nothing. */
static bool door_take(coir_runtime *runtime, coir_io **io)
{
    *io = runtime->first;
    if (*io == NULL)
        return runtime->is_closed;
    runtime->first = (*io)->child;
    if (runtime->first == NULL)
        runtime->last = NULL;
    (*io)->child = NULL;
    return true;
}

/* L. */
static void door_put(coir_runtime *runtime, coir_io *io)
{
    *(runtime->first == NULL ? &runtime->first : &runtime->last->child) = io;
    runtime->last = io;
}

static void drop_all(coir_io *first)
{
    for (coir_io *next; first != NULL; first = next) {
        next = first->child;
        first->child = NULL;
        coir_io_drop(first);
    }
}

/* L. */
static coir_io *door_take_all(coir_runtime *runtime)
{
    coir_io *first = runtime->first;
    runtime->first = runtime->last = NULL;
    return first;
}

static coir_result as_result(coir_io *io) { return coir_ok(io == NULL ? coir_none() : coir_io_value(io)); }

static void door_ask(void *env, void *op, coir_callback k)
{
    coir_runtime *runtime = env;
    coir_io *io;
    (void)op;
    pthread_mutex_lock(&runtime->lock);
    bool is_there = door_take(runtime, &io);
    runtime->is_asked = !is_there;
    runtime->k = k;
    pthread_mutex_unlock(&runtime->lock);
    if (is_there)
        (void)coir_resume(k, as_result(io));
}

static void door_leave(void *env, void *op)
{
    coir_runtime *runtime = env;
    (void)op;
    pthread_mutex_lock(&runtime->lock);
    bool is_asked = runtime->is_asked;
    runtime->is_asked = false;
    pthread_mutex_unlock(&runtime->lock);
    if (is_asked)
        (void)coir_resume(runtime->k, coir_result_of(COIR_CANCELED, coir_none()));
}

static const coir_async_type door = { .start = door_ask, .cancel = door_leave };

/* ---------------------------------------------------------------------------------------------------------- the server */

/* Asks at the door and forks what it is given, round by round, whatever fails: a machine, since a loop ends when there is no memory for its frame. */
struct server { coir_io *ask; bool is_asking; };           /* is_asking: that is what runs, otherwise a fork, or a pause */
enum { SERVER_SIZE = NODE_SMALL + sizeof(struct server) };

static struct server *server_of(coir_io *node) { return (struct server *)(void *)((char *)node + NODE_SMALL); }

static enum machine_way server_asks(coir_io *frame, struct machine_turn *turn)
{
    server_of(frame)->is_asking = true;
    turn->io = server_of(frame)->ask;
    turn->borrowed = true;
    return MACHINE_RUNS;
}

/* From here on nothing that fails ends it. */
static enum machine_way server_begin(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    coir_runtime *runtime = frame->object;
    pthread_mutex_lock(&runtime->lock);
    runtime->main_fiber = coir_fiber_ref(fiber);
    runtime->has_begun = true;
    run_of(fiber)->root = coir__scope_of(fiber);        /* so that detached fibers are called off, too */
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    return server_asks(frame, turn);
}

static enum machine_way server_forks(coir_io *frame, struct machine_turn *turn, coir_io *submitted)
{
    turn->io = coir_fork(coir__future_io_named(submitted));
    turn->borrowed = false;
    server_of(frame)->is_asking = false;
    return turn->io == NULL ? server_asks(frame, turn) : MACHINE_RUNS;
}

/* Without memory to wait with: what was submitted fails for want of it, others have their turn, and the next round may find some. The worker rests, too, since
 * fibers cannot: to wait takes memory. */
static enum machine_way server_starves(coir_runtime *runtime, coir_io *frame, struct machine_turn *turn)
{
    const struct timespec rest = { .tv_nsec = 1000 * 1000 };
    pthread_mutex_lock(&runtime->lock);
    coir_io *left = door_take_all(runtime);
    bool is_closed = runtime->is_closed;
    pthread_mutex_unlock(&runtime->lock);
    drop_all(left);
    if (is_closed)
        return MACHINE_IS_OVER;
    nanosleep(&rest, NULL);
    server_of(frame)->is_asking = false;
    turn->io = coir_yield();                            /* a constant */
    turn->borrowed = false;
    return MACHINE_RUNS;
}

static enum machine_way server_given(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    bool is_asked = server_of(frame)->is_asking, is_io = turn->result.value.type == &coir_io_type;
    (void)fiber;
    if (turn->result.tag == COIR_CANCELED || (is_asked && turn->result.tag == COIR_OK && !is_io))
        return MACHINE_IS_OVER;
    if (is_asked && turn->result.tag == COIR_OK)
        return server_forks(frame, turn, turn->result.value.ptr);
    coir_result_drop(&turn->result);
    coir__set_ok(&turn->result, coir_none());
    return is_asked ? server_starves(frame->object, frame, turn) : server_asks(frame, turn);
}

static void server_empty(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    (void)frame;
}

static void server_drop(coir_io *node) { coir_io_drop(server_of(node)->ask); }

static const struct coir__machine server_machine = {
    .name = "runtime", .begin = server_begin, .given = server_given, .empty = server_empty, .drop = server_drop
};

static coir_io *server_new(coir_runtime *runtime)
{
    coir_io *ask = coir_async(&door, runtime), *node = ask == NULL ? NULL : coir__node_new(OP_MACHINE, SERVER_SIZE);
    if (node == NULL) {
        coir_io_drop(ask);
        return NULL;
    }
    node->child = NULL;
    node->machine = &server_machine;
    node->object = runtime;
    *server_of(node) = (struct server){ .ask = ask };
    return node;
}

/* ---------------------------------------------------------------------------------------------------------- the thread */

bool coir__runtime_is_canceling(coir_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    bool is_canceling = runtime->is_canceling;
    pthread_mutex_unlock(&runtime->lock);
    return is_canceling;
}

static void *runtime_main(void *argument)
{
    coir_runtime *runtime = argument;
    pthread_setname_np(pthread_self(), "coir 0");
    coir_result result = coir_run(coir_supervise(server_new(runtime)), &runtime->options);
    coir_result_drop(&result);
    pthread_mutex_lock(&runtime->lock);
    coir_fiber *main_fiber = runtime->main_fiber;
    coir_io *left = door_take_all(runtime);
    runtime->main_fiber = NULL;
    runtime->is_closed = true;
    pthread_mutex_unlock(&runtime->lock);
    drop_all(left);
    coir_fiber_drop(main_fiber);
    pthread_mutex_lock(&runtime->lock);
    runtime->is_over = true;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    coir__runtime_release(runtime);
    return NULL;
}

static int thread_start(coir_runtime *runtime)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    if (runtime->options.stack_size > 0)
        (void)pthread_attr_setstacksize(&attributes, runtime->options.stack_size);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);          /* signals are the program's */
    int status = pthread_create(&runtime->thread, &attributes, runtime_main, runtime);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return status;
}

static void await_end(coir_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    bool is_mine = !runtime->is_joining;
    runtime->is_joining = true;
    while (!is_mine && !runtime->is_joined)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
    if (!is_mine)
        return;
    pthread_join(runtime->thread, NULL);
    pthread_mutex_lock(&runtime->lock);
    runtime->is_joined = true;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

static bool await_begin(coir_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    while (!runtime->has_begun && !runtime->is_over)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    bool has_begun = runtime->has_begun;
    pthread_mutex_unlock(&runtime->lock);
    return has_begun;
}

/* ---------------------------------------------------------------------------------------------------- for the program */

static coir_runtime *runtime_new(const coir_options *options)
{
    static const coir_options defaults;
    coir_runtime *runtime = coir__alloc(sizeof *runtime);
    if (runtime == NULL)
        return NULL;
    *runtime = (coir_runtime){ .options = options == NULL ? defaults : *options, .fd = -1 };
    atomic_init(&runtime->users, 1);
    atomic_init(&runtime->refs, 2);                     /* the program's handles, and the thread */
    pthread_mutex_init(&runtime->lock, NULL);
    pthread_cond_init(&runtime->changed, NULL);
    return runtime;
}

coir_runtime *coir_runtime_start(const coir_options *options)
{
    int status = options != NULL && coir__options_bad(options) != NULL ? EINVAL : coir__in_forked_child() ? EPERM : 0;
    coir_runtime *runtime = status == 0 ? runtime_new(options) : NULL;
    if (runtime == NULL) {
        errno = status == 0 ? ENOMEM : status;
        return NULL;
    }
    status = thread_start(runtime);
    if (status == 0 && await_begin(runtime))
        return runtime;
    if (status == 0)
        await_end(runtime);
    else
        coir__runtime_release(runtime);                 /* for the thread */
    coir__runtime_release(runtime);
    errno = status == 0 ? ENOMEM : status;
    return NULL;
}

/* Takes io. */
static void put_in(coir_runtime *runtime, coir_future *future, coir_io *io)
{
    pthread_mutex_lock(&runtime->lock);
    bool is_closed = runtime->is_closed, is_asked = runtime->is_asked;
    coir_callback k = runtime->k;
    if (!is_closed && !is_asked)
        door_put(runtime, io);
    runtime->is_asked = false;
    pthread_mutex_unlock(&runtime->lock);
    if (is_closed) {
        coir__future_refuse(future, coir_raise(coir__error(DOMAIN_COIR, COIR_REFUSED, "coir_submit: the runtime was stopped")));
        coir_io_drop(io);
    } else if (is_asked) {
        (void)coir_resume(k, as_result(io));
    }
}

coir_future *coir_submit(coir_runtime *runtime, coir_io *io)
{
    coir_future *future = runtime == NULL || io == NULL ? NULL : coir__future_new(runtime);
    if (future == NULL) {
        coir_io_drop(io);
        return NULL;
    }
    if (coir__in_forked_child()) {                      /* its lock may be held by a thread that is not there */
        coir__future_refuse(future, coir_raise(coir__error(DOMAIN_COIR, COIR_REFUSED, "coir_submit: in a child of fork(), which has none of the parent's threads")));
        coir_io_drop(io);
        return future;
    }
    io = coir__future_io(future, io);
    if (io == NULL) {
        coir_future_drop(future);
        return NULL;
    }
    put_in(runtime, future, io);
    return future;
}

static bool is_inside_a_callback(void) { return coir__me.seat != NULL || coir__me.in_hook > 0; }

/* On a thread of a blocking call that the runtime waits for. L. */
static bool is_blocking_for(const coir_runtime *runtime)
{
    return coir__me.blocks_for != NULL && runtime->main_fiber != NULL && coir__me.blocks_for == run_of(runtime->main_fiber);
}

bool coir_runtime_stop(coir_runtime *runtime, coir_stop_how how)
{
    coir_callback k;
    if (runtime == NULL || is_inside_a_callback() || coir__in_forked_child() || (how != COIR_STOP_WAIT && how != COIR_STOP_CANCEL))
        return false;
    pthread_mutex_lock(&runtime->lock);
    if (is_blocking_for(runtime)) {
        pthread_mutex_unlock(&runtime->lock);
        return false;
    }
    bool is_asked = door_close(runtime, &k);
    runtime->is_canceling = runtime->is_canceling || how == COIR_STOP_CANCEL;
    coir_io *left = how == COIR_STOP_CANCEL ? door_take_all(runtime) : NULL;
    coir_fiber *main_fiber = how == COIR_STOP_CANCEL ? coir_fiber_ref(runtime->main_fiber) : NULL;
    pthread_mutex_unlock(&runtime->lock);
    coir_fiber_cancel(main_fiber);                      /* first: with the door closed the run might be found silent */
    coir_fiber_drop(main_fiber);
    if (is_asked)
        (void)coir_resume(k, coir_ok(coir_none()));
    drop_all(left);
    await_end(runtime);
    return true;
}

coir_result coir_runtime_map(coir_runtime *runtime, size_t limit, size_t count, coir_index_fn *fn, void *env, coir_duration timeout)
{
    coir_result result;
    if (runtime == NULL)
        return coir__panicf(DOMAIN_ERRNO, EINVAL, "coir_runtime_map: runtime is NULL");
    if (is_inside_a_callback())
        return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_runtime_map: called from a callback: it would block a worker");
    coir_future *future = coir_submit(runtime, coir_timeout(coir_par_traverse(limit, count, fn, env), timeout));
    if (future == NULL)
        return coir__no_memory();
    bool is_done = coir_future_get(future, COIR_FOREVER, &result);
    coir_future_drop(future);
    return is_done ? result : coir__no_memory();
}
