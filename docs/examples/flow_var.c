/*
 * flow_var.c - shows deferreds as Nim's FlowVars: something is started, its result is asked for when it is needed
 *
 *     Nim                              here
 *     let a = spawn fib(20)            a = coir_deferred_new(), then coir_fork(coir_putting(a, fib(20)))
 *     echo ^a                          coir_deferred_get(a)
 *     blockUntilAny                    coir_alt() with a coir_deferred_get() in each case
 *
 * Any number of fibers may ask, before and after it is there. Where one asks, a fiber's handle does as well: coir_fork() and coir_join(). A deferred
 * that is exposed may be filled by a thread that knows nothing of fibers.
 */
#include <coir.h>

#include <pthread.h>

/* ------------------------------------------------------------------------------------------------- fib, a spawn for each branch */

static coir_io *fib(int64_t n);

struct branch { int64_t n, here; coir_deferred *there; };

static coir_io *branch_step(coir_routine *self)
{
    COIR_BEGIN(self, struct branch, my);
    if (my->n < 2)
        COIR_RETURN(coir_int(my->n));
    my->there = coir_deferred_new();
    COIR_AWAIT(coir_fork(coir_putting(my->there, fib(my->n - 1))));         /* spawn */
    COIR_AWAIT(fib(my->n - 2));
    my->here = self->result.value.i64;
    COIR_AWAIT(coir_deferred_get(my->there));                               /* ^there */
    COIR_RETURN(coir_int(my->here + self->result.value.i64));
    COIR_FINALLY;
    coir_deferred_drop(my->there);
    COIR_END;
}

static coir_io *fib(int64_t n) { return coir_do(branch_step, COIR_ENV(struct branch, .n = n)); }

/* The same with the handles of fibers. */
static coir_io *add(void *env, coir_value *value) { return coir_pure(coir_int(*(int64_t *)env + value->i64)); }

static coir_io *fib_joined(int64_t n);
static coir_io *join_and_add(void *handle, coir_value *here) { return coir_flat_map_copy(coir_join(*(coir_fiber **)handle), add, &here->i64, sizeof here->i64); }

static coir_io *go_on_here(void *env, coir_value *fiber)
{
    coir_fiber *there = coir_fiber_of(fiber);
    return coir_flat_map_copy(fib_joined(*(int64_t *)env - 2), join_and_add, &there, sizeof there);
}
static coir_io *fork_it(void *n) { return coir_flat_map_copy(coir_fork(fib_joined(*(int64_t *)n - 1)), go_on_here, n, sizeof(int64_t)); }
static coir_io *fib_joined(int64_t n) { return n < 2 ? coir_pure(coir_int(n)) : coir_suspend_copy(fork_it, &n, sizeof n); }

/* ---------------------------------------------------------------------------------------------------- a thread fills it */

static void *some_thread(void *answer)
{
    coir_deferred_put(answer, coir_ok(coir_int(42)));
    coir_deferred_drop(answer);
    return NULL;
}

static coir_io *three_ask(coir_deferred *answer)
{
    return coir_par_zip(COIR_IOS(coir_deferred_get(answer), coir_deferred_get(answer), coir_deferred_get(answer)));
}

static void show(const char *title, coir_io *io)
{
    coir_result result = coir_run(io, NULL);
    printf("%s: ", title);
    coir_result_print(&result, stdout);
    printf("\n");
    coir_result_drop(&result);
}

int main(void)
{
    show("fib(15) by deferreds", fib(15));
    show("fib(15) by joins", fib_joined(15));

    pthread_t thread;
    coir_deferred *answer = coir_deferred_new();
    coir_deferred_expose(answer);
    coir_io *all = three_ask(answer);
    if (pthread_create(&thread, NULL, some_thread, coir_deferred_ref(answer)) != 0)
        return 1;
    show("a thread's answer", all);
    pthread_join(thread, NULL);
    coir_deferred_drop(answer);
    return 0;
}
