/*
 * fibers.h - what tests of fibers share: a program under many schedules, gates that another thread opens, short words
 *
 *     FOR_SCHEDULES(options)
 *         CHECK_STR(outcome_under(options, joined(coir_pure(coir_int(5)))), "OK 5");
 */
#ifndef FIBERS_H
#define FIBERS_H

#include "program.h"

#include "fiber/fiber.h"

#include <sched.h>
#include <unistd.h>

/* -------------------------------------------------------------------------------------------------------- schedules */

/* FOR_SCHEDULES(options) {...}: the body under each number of workers with each budget; a failure says under which. Simulated, under one of each. */
#define FOR_SCHEDULES(options)                                                                                \
    for (struct schedules options##_all = { 0 };                                                              \
         schedules_next(&options##_all); )                                                                    \
        for (const coir_options *options = &options##_all.options; options != NULL; options = NULL)

/* FOR_BUDGETS(options, workers) {...}: the body with every budget from 1 to 64: whatever the place, some budget ends there. */
#define FOR_BUDGETS(options, how_many)                                                                        \
    for (uint32_t options##_b = budgets_first(); options##_b <= budgets_last(); options##_b++)                \
        for (coir_options *options = schedule(&(coir_options){ .workers = (how_many), .budget = options##_b }); \
             options != NULL; options = NULL)

struct schedules { size_t at; coir_options options; };

static inline coir_options *schedule(coir_options *options)
{
    options->size = sizeof *options;
    CASE("%u workers, budget %u", options->workers, (unsigned)options->budget);
    return options;
}

#ifndef CHECK_SIMULATED
static inline uint32_t budgets_first(void) { return 1; }
static inline uint32_t budgets_last(void)  { return 64; }
#else
static inline uint32_t budgets_first(void) { return check_budget_(); }
static inline uint32_t budgets_last(void)  { return check_budget_(); }
#endif

static inline bool schedules_next(struct schedules *all)
{
#ifndef CHECK_SIMULATED
    static const unsigned workers[] = { 1, 2, 4 };
    static const uint32_t budgets[] = { 1, 2, 3, 7, 64, 0 };
#else
    const unsigned workers[] = { check_draw_(3) + 1 };
    const uint32_t budgets[] = { check_budget_() };
#endif
    enum { WORKERS = sizeof workers / sizeof workers[0], BUDGETS = sizeof budgets / sizeof budgets[0] };
    if (all->at == WORKERS * BUDGETS)
        return false;
    all->options = (coir_options){ .workers = workers[all->at / BUDGETS], .budget = budgets[all->at % BUDGETS] };
    schedule(&all->options);
    all->at++;
    return true;
}

static inline const char *outcome_under(const coir_options *options, coir_io *io)
{
    coir_result result = coir_run(io, options);
    const char *text = describe(&result);
    coir_result_drop(&result);
    return text;
}

/* ------------------------------------------------------------------------------------------------------------ words */

static inline coir_io *join_it(void *env, coir_value *fiber)       { (void)env; return coir_join(coir_fiber_of(fiber)); }
static inline coir_io *wait_it(void *env, coir_value *fibers)      { (void)env; return coir_wait(fibers); }
static inline coir_io *wait_any_it(void *env, coir_value *fibers)  { (void)env; return coir_wait_any(fibers); }

/* joined, waited: forked, and joined or waited for. */
static inline coir_io *joined(coir_io *io)                             { return coir_flat_map(coir_fork(io), join_it, NULL); }
static inline coir_io *waited(size_t count, coir_io *const *ios) { return coir_flat_map(coir_parallel(count, ios), wait_it, NULL); }

/* forking: forks io and leaves a handle, which is the test's, in *place. */
static inline coir_io *keep_handle(void *place, coir_value *fiber)
{
    *(coir_fiber **)place = coir_fiber_ref(coir_fiber_of(fiber));
    return coir_unit();
}
static inline coir_io *forking(coir_io *io, coir_fiber **place) { return coir_flat_map(coir_fork(io), keep_handle, place); }

/* joining: joins the fiber whose handle will stand in *place when this is run. */
static inline coir_io *join_placed(void *place) { return coir_join(*(coir_fiber **)place); }
static inline coir_io *joining(coir_fiber **place) { return coir_suspend(join_placed, place); }

/* until_parked: yields until the fiber in *place stands in the queue of what it waits for. Its status alone may say so a little early. */
static inline bool not_parked(void *place, const coir_value *value)
{
    (void)value;
    coir_fiber *fiber = *(coir_fiber **)place;
    return wait_state_of(load_relaxed(&fiber->wait.word)) != WAIT_PARKED;
}
static inline coir_io *until_parked(coir_fiber **place) { return coir_while(coir_yield(), not_parked, place); }
/* queueing: forks io, which is going to wait, and goes on when it does. */
static inline coir_io *queueing(coir_io *io, coir_fiber **place) { return coir_then(forking(io, place), until_parked(place)); }

/* copies_of: the same io, shared, in parallel: a list of handles. */
static inline coir_io *copies_of(size_t count, coir_io *io)
{
    coir_io **ios = malloc(count * sizeof(coir_io *) + 1);
    if (ios == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        ios[i] = coir_io_ref(io);
    coir_io_drop(io);
    coir_io *all = coir_parallel(count, ios);
    free(ios);
    return all;
}

/* counting: one more on the counter, which it gives as it was before. */
static inline coir_result count_up(void *counter) { return coir_ok(coir_int(atomic_fetch_add((atomic_int *)counter, 1))); }
static inline coir_io *counting(atomic_int *counter) { return coir_defer(count_up, counter); }

/* how_many_are: of a list of boxed results, those with that tag. */
static inline int how_many_are(const coir_value *results, coir_tag tag)
{
    int count = 0;
    for (size_t i = 0; i < coir_list_size(results); i++)
        count += coir_result_in(coir_list_at(results, i))->tag == tag;
    return count;
}

/* ------------------------------------------------------------------------------------------------------------ gates */

/* A fiber that passes a gate waits until somebody, from whatever thread, has opened it: a callback that is still to come. */
enum { GATE_ROOM = 128 };
struct gate { pthread_mutex_t lock; bool is_open; size_t count; coir_callback waiting[GATE_ROOM]; };
#define GATE { .lock = PTHREAD_MUTEX_INITIALIZER }

static inline void gate_start(void *env, void *op, coir_callback k)
{
    struct gate *gate = env;
    (void)op;
    pthread_mutex_lock(&gate->lock);
    bool is_open = gate->is_open;
    if (!is_open && gate->count < GATE_ROOM)
        gate->waiting[gate->count++] = k;
    pthread_mutex_unlock(&gate->lock);
    if (is_open)
        coir_resume(k, coir_ok(coir_none()));
}
static const coir_async_type gate_type = { .start = gate_start };
static inline coir_io *passing(struct gate *gate) { return coir_async(&gate_type, gate); }

static inline size_t gate_waiting(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    size_t count = gate->count;
    pthread_mutex_unlock(&gate->lock);
    return count;
}

static inline bool gate_is_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    bool is_open = gate->is_open;
    pthread_mutex_unlock(&gate->lock);
    return is_open;
}

static inline void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    size_t count = gate->count;
    gate->count = 0;
    gate->is_open = true;
    pthread_mutex_unlock(&gate->lock);
    for (size_t i = 0; i < count; i++)
        coir_resume(gate->waiting[i], coir_ok(coir_none()));
}

static inline coir_result open_gate(void *gate) { gate_open(gate); return coir_ok(coir_none()); }
static inline coir_io *opening(struct gate *gate) { return coir_defer(open_gate, gate); }

/* ----------------------------------------------------------------------------------------------- a run in another thread */

struct other_run { coir_io *io; const coir_options *options; coir_result result; pthread_t thread; };

static inline void *other_run_main(void *other_)
{
    struct other_run *other = other_;
    other->result = coir_run(other->io, other->options);
    return NULL;
}

/* other_run_begin: takes io. other_run_end: waits for its end and gives the result. */
static inline void other_run_begin(struct other_run *other, const coir_options *options, coir_io *io)
{
    other->io = io;
    other->options = options;
    CHECK_INT(pthread_create(&other->thread, NULL, other_run_main, other), 0);
}

static inline coir_result other_run_end(struct other_run *other)
{
    CHECK_INT(pthread_join(other->thread, NULL), 0);
    return other->result;
}

#endif
