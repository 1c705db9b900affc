/*
 * sim.c - the driver of a simulation: makes one step after the other, on one thread
 *
 * A step is one instruction, since the budget of the run is 1: so every place between two instructions is a place where another fiber may go on.
 * The budget that the program asked for is counted here. Fibers that are in progress stand on simulated workers, the others in one queue;
 * who makes the next step is a choice (choose.c), and nothing else is: the same choices make the same run.
 *
 * Time. The clock moves when nobody can go on, to the next moment at which something is due (and by step_time_max, if that was asked for).
 * Timers that are due make their fibers ready at once, in their order; a completion that is due is one more that may go on, as the thread that
 * it stands for could be fast or slow.
 *
 * Other threads hand the fibers that they wake to `foreign_first`, and are counted: what they do is not in the schedule.
 *
 * [SIM-PIN]  As [PIN] in sched/pool.c: who wakes a fiber from outside pins the run and unpins it with a release as the last thing; the end of
 *   the run acquires 0.
 */
#include "sim/sim.h"

#include "base/clock.h"
#include "fiber/deadlock.h"

#include <sched.h>
#include <string.h>

enum {
    READY_CHOICES = 1024,                               /* of a long queue only so many are up for a choice: walking it costs */
    RINGS_PAUSE   = 64                                  /* steps between two searches for rings, at least */
};

static struct coir_sim *sim_of(struct coir__run *run) { return container_of(run, struct coir_sim, run); }

/* --------------------------------------------------------------------------------------------------------- what is ready */

static void ready_put(struct coir_sim *sim, coir_fiber *fiber)
{
    fiber->next = NULL;
    *(sim->ready_first == NULL ? &sim->ready_first : &sim->ready_last->next) = fiber;
    sim->ready_last = fiber;
    sim->ready_count++;
}

static void ready_put_first(struct coir_sim *sim, coir_fiber *fiber)
{
    fiber->next = sim->ready_first;
    sim->ready_first = fiber;
    if (fiber->next == NULL)
        sim->ready_last = fiber;
    sim->ready_count++;
}

static coir_fiber *ready_take(struct coir_sim *sim, size_t index)
{
    coir_fiber **link = &sim->ready_first, *before = NULL;
    for (; index > 0; index--) {
        before = *link;
        link = &before->next;
    }
    coir_fiber *fiber = *link;
    *link = fiber->next;
    if (sim->ready_last == fiber)
        sim->ready_last = before;
    sim->ready_count--;
    return fiber;
}

/* ---------------------------------------------------------------------------------------------------- what fibers ask for */

static void drive_ready(struct coir__run *run, coir_fiber *fiber)
{
    struct coir_sim *sim = sim_of(run);
    if (pthread_equal(pthread_self(), sim->thread)) {
        coir__trace_fiber(sim, "wakes", fiber);
        ready_put(sim, fiber);
        return;
    }
    pthread_mutex_lock(&sim->lock);
    fiber->next = NULL;
    *(sim->foreign_first == NULL ? &sim->foreign_first : &sim->foreign_last->next) = fiber;
    sim->foreign_last = fiber;
    fetch_add_relaxed(&sim->foreign, (uint64_t)1);      /* relaxed: a hint to look under the lock */
    pthread_cond_signal(&sim->changed);
    pthread_mutex_unlock(&sim->lock);
}

static void drive_start(struct coir__seat *seat, coir_fiber *first, coir_fiber *last, size_t count)
{
    struct coir_sim *sim = sim_of(seat->run);
    (void)last;
    for (coir_fiber *next; count > 0; first = next, count--) {
        next = first->next;
        coir__trace_fiber(sim, load_relaxed(&first->phase) == PHASE_NEW ? "forks" : "wakes", first);
        ready_put(sim, first);
    }
}

static int64_t drive_now(struct coir__run *run, enum clock_kind clock)
{
    const struct coir_sim *sim = sim_of(run);
    return clock == CLOCK_OF_RUN ? sim->now : ns_add(sim->now, sim->epoch);
}

static uint64_t drive_draw(struct coir__seat *seat) { return random_next(&sim_of(seat->run)->drawing); }

static struct completion *completion_new(struct coir_sim *sim, int64_t delay)
{
    struct completion *completion = coir__alloc(sizeof *completion);
    if (completion == NULL)
        return NULL;
    *completion = (struct completion){ .next = sim->completions, .due = ns_add(sim->now, delay), .serial = ++sim->completions_begun };
    sim->completions = completion;
    return completion;
}

static bool drive_timer_arm(struct coir__seat *seat, struct timer *timer, enum clock_kind clock)
{
    struct coir_sim *sim = sim_of(seat->run);
    return coir__timers_arm(clock == CLOCK_OF_RUN ? &sim->timers : &sim->epoch_timers, timer);
}

/* A function that blocks takes a while, but in a simulation none of the thread's time can pass with that. */
static bool drive_block(struct coir__seat *seat, struct job *job)
{
    enum { NS_MAX = 1000 * 1000 };
    struct coir_sim *sim = sim_of(seat->run);
    struct completion *completion = completion_new(sim, (int64_t)(random_next(&sim->drawing) % NS_MAX));
    if (completion == NULL)
        return false;
    completion->job = job;
    return true;
}

static bool drive_unblock(struct coir__seat *seat, struct job *job)
{
    struct completion **link = &sim_of(seat->run)->completions, *completion;
    while (*link != NULL && (*link)->job != job)
        link = &(*link)->next;
    completion = *link;
    if (completion == NULL)
        return false;
    *link = completion->next;
    coir__free(completion, sizeof *completion);
    return true;
}

static void drive_pin(struct coir__run *run) { fetch_add_relaxed(&sim_of(run)->pins, 1u); }
static void drive_unpin(struct coir__run *run) { fetch_sub_release(&sim_of(run)->pins, 1u); }            /* [SIM-PIN] */

static const struct driver sim_driver = {
    .ready = drive_ready, .next = drive_ready, .start = drive_start, .now = drive_now, .draw = drive_draw,
    .timer_arm = drive_timer_arm, .timer_disarm = coir__timers_disarm, .block = drive_block, .unblock = drive_unblock,
    .pin = drive_pin, .unpin = drive_unpin,
};

struct coir_sim *coir__sim_of_thread(void)
{
    struct coir__run *run = coir__me.seat == NULL ? NULL : coir__me.seat->run;
    return run == NULL || run->driver != &sim_driver ? NULL : sim_of(run);
}

void coir__sim_enter(struct coir_sim *sim)
{
    coir__me.seat = &sim->seat;
    coir__me.serials = &sim->serials;
}

void coir__sim_leave(void)
{
    coir__me.seat = NULL;
    coir__me.serials = NULL;
}

static void take_foreign(struct coir_sim *sim)
{
    if (load_relaxed(&sim->foreign) == sim->foreign_taken)
        return;
    pthread_mutex_lock(&sim->lock);
    coir_fiber *first = sim->foreign_first;
    sim->foreign_first = NULL;
    sim->foreign_taken = load_relaxed(&sim->foreign);
    pthread_mutex_unlock(&sim->lock);
    for (coir_fiber *next; first != NULL; first = next) {
        next = first->next;
        ready_put(sim, first);
    }
}

static void acted(struct coir_sim *sim, uint64_t actor)
{
    if (sim->chooser.acted != NULL)
        sim->chooser.acted(sim->chooser.env, actor);
}

/* ------------------------------------------------------------------------------------------------------- completions */

static struct completion **due_completion(struct coir_sim *sim, uint32_t index)
{
    struct completion **link = &sim->completions;
    while ((*link)->due > sim->now || index-- > 0)
        link = &(*link)->next;
    return link;
}

/* As on a thread that is no worker. */
static void do_job(struct job *job)
{
    struct coir_sim *sim = coir__sim_of_thread();
    coir__me.seat = NULL;                               /* what it makes has numbers of the simulation all the same */
    sim->is_in_job = true;
    job->work(job);
    sim->is_in_job = false;
    coir__sim_enter(sim);
}

static void complete(struct coir_sim *sim, uint32_t index)
{
    struct completion **link = due_completion(sim, index), *completion = *link;
    struct instruction instruction = { .name = "a completion" };
    *link = completion->next;
    sim->hash = (sim->hash ^ completion->serial) * UINT64_C(0x9e3779b97f4a7c15);
    acted(sim, completion->serial | ACTOR_COMPLETION);
    if (completion->job == NULL)
        (void)coir_resume(completion->k, completion->result);
    else
        do_job(completion->job);
    coir__free(completion, sizeof *completion);
    coir__trace_row(sim, 0, "", &instruction);
}

static void completions_drop(struct coir_sim *sim)
{
    for (struct completion *next, *completion = sim->completions; completion != NULL; completion = next) {
        next = completion->next;
        coir_result_drop(&completion->result);
        coir__free(completion, sizeof *completion);
    }
    sim->completions = NULL;
}

bool coir_sim_complete(coir_callback k, coir_result result, coir_duration earliest, coir_duration latest)
{
    struct coir_sim *sim = coir__sim_of_thread();
    if (earliest.ns < 0 || latest.ns < earliest.ns) {
        coir_result_drop(&result);
        (void)coir_resume(k, coir__panicf(DOMAIN_ERRNO, EINVAL, "coir_sim_complete: earliest is negative, or after latest"));
        return false;
    }
    if (sim == NULL)
        return coir_resume(k, result);
    uint64_t span = (uint64_t)(latest.ns - earliest.ns) + 1;
    struct completion *completion = completion_new(sim, earliest.ns + (int64_t)(random_next(&sim->drawing) % span));
    if (completion == NULL) {
        coir_result_drop(&result);
        return coir_resume(k, coir__no_memory());
    }
    completion->k = k;
    completion->result = result;
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- clock */

static int64_t sooner_of(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t coir__sim_due(struct coir_sim *sim)
{
    int64_t due = timers_earliest(&sim->timers), epoch_due = timers_earliest(&sim->epoch_timers);
    if (epoch_due != INT64_MAX)
        due = sooner_of(due, ns_sub(epoch_due, sim->epoch));
    for (const struct completion *completion = sim->completions; completion != NULL; completion = completion->next)
        due = sooner_of(due, completion->due);
    return due;
}

/* A clock that has come to its end stands before the moment that means never. */
static void fire_timers(struct timers *timers, int64_t now)
{
    if (timers_earliest(timers) <= now)
        (void)coir__timers_fire(timers, now < INT64_MAX ? now : INT64_MAX - 1);
}

void coir__sim_move_clock(struct coir_sim *sim, int64_t to)
{
    sim->now = to < sim->now ? sim->now : to;
    fire_timers(&sim->timers, sim->now);
    fire_timers(&sim->epoch_timers, ns_add(sim->now, sim->epoch));
}

/* -------------------------------------------------------------------------------------------------------- who goes on */

static uint32_t workers_busy(const struct coir_sim *sim)
{
    uint32_t busy = 0;
    for (unsigned i = 0; i < sim->count; i++)
        busy += sim->workers[i].fiber != NULL;
    return busy;
}

struct actors coir__sim_actors(struct coir_sim *sim)
{
    struct actors actors = { .working = workers_busy(sim) };
    if (actors.working < sim->count || sim->pre_empts)
        actors.ready = (uint32_t)(sim->ready_count < READY_CHOICES ? sim->ready_count : READY_CHOICES);
    uint32_t *due = turn_is_over(sim->turn) ? &actors.due_first : &actors.due;
    for (const struct completion *completion = sim->completions; completion != NULL; completion = completion->next)
        *due += completion->due <= sim->now;
    return actors;
}

/* The number of the index-th busy worker, the last one counted first. */
static unsigned working_at(const struct coir_sim *sim, uint32_t index)
{
    if (sim->workers[sim->last].fiber != NULL && index-- == 0)
        return sim->last;
    unsigned at = 0;
    for (;; at++)
        if (at != sim->last && sim->workers[at].fiber != NULL && index-- == 0)
            return at;
}

coir_fiber *coir__sim_working_at(struct coir_sim *sim, uint32_t index) { return sim->workers[working_at(sim, index)].fiber; }

static uint32_t find_completion(const struct coir_sim *sim, struct actors actors, uint64_t serial)
{
    uint32_t index = actors.due_first > 0 ? 0 : actors.working + actors.ready;
    for (const struct completion *completion = sim->completions; completion != NULL; completion = completion->next) {
        if (completion->due <= sim->now && completion->serial == serial)
            return index;
        index += completion->due <= sim->now;
    }
    return actors_count(actors);
}

uint32_t coir__sim_find(struct coir_sim *sim, struct actors actors, uint64_t actor)
{
    if (actor & ACTOR_COMPLETION)
        return find_completion(sim, actors, actor & ~ACTOR_COMPLETION);
    uint32_t index = actors.due_first;
    for (uint32_t i = 0; i < actors.working; i++, index++)
        if (coir__sim_working_at(sim, i)->id == actor)
            return index;
    const coir_fiber *fiber = sim->ready_first;
    for (uint32_t i = 0; i < actors.ready; i++, index++, fiber = fiber->next)
        if (fiber->id == actor)
            return index;
    return actors_count(actors);
}

/* A worker for a fiber that is ready: a free one, or the last one, whose fiber has to wait, before all others. */
static unsigned worker_for_ready(struct coir_sim *sim, size_t index)
{
    coir_fiber *fiber = ready_take(sim, index);
    unsigned at = 0;
    while (at < sim->count && sim->workers[at].fiber != NULL)
        at++;
    if (at == sim->count) {
        at = sim->last;
        store_relaxed(&sim->workers[at].fiber->phase, PHASE_RUNNABLE);
        coir__trace_fiber(sim, "pre-empts", sim->workers[at].fiber);
        ready_put_first(sim, sim->workers[at].fiber);
    }
    sim->workers[at].fiber = fiber;
    sim->workers[at].left = sim->options.budget == COIR_BUDGET_NONE ? UINT64_MAX : sim->options.budget;
    return at;
}

/* ------------------------------------------------------------------------------------------------------------- steps */

static void note_step(struct coir_sim *sim, const coir_fiber *fiber, const struct instruction *instruction)
{
    uint64_t what = fiber->id << 16 ^ (uint64_t)instruction->op << 4 ^ (uint64_t)instruction->up << 3 ^
                    (uint64_t)instruction->woken << 2 ^ (uint64_t)instruction->tag;
    sim->hash = (sim->hash ^ what) * UINT64_C(0x9e3779b97f4a7c15);
    sim->hash ^= sim->hash >> 29;
    sim->steps++;
}

/* The fiber's turn is over: to the back of the queue. */
static void worker_turn(struct coir_sim *sim, struct sim_worker *worker, enum turn how)
{
    coir_fiber *fiber = worker->fiber;
    store_relaxed(&fiber->phase, PHASE_RUNNABLE);
    worker->fiber = NULL;
    ready_put(sim, fiber);
    coir__choose_turned(sim, fiber);
    sim->turn = how;
}

static void worker_step(struct coir_sim *sim, unsigned at)
{
    struct sim_worker *worker = &sim->workers[at];
    coir_fiber *fiber = worker->fiber;
    char who[64];
    struct instruction instruction = coir__trace_next(sim, fiber);
    if (sim->options.trace != NULL)
        coir__fiber_label(fiber, who, sizeof who);
    note_step(sim, fiber, &instruction);
    acted(sim, fiber->id);
    sim->last = at;
    enum stop stop = coir__interp(&sim->seat, fiber);
    sim->seat.fiber = NULL;
    sim->turn = TURN_LEFT;
    switch (stop) {
    case STOP_ENDED:
        worker->fiber = NULL;
        coir__trace_end(sim, &fiber->result);
        coir__fiber_end(&sim->seat, fiber);
        break;
    case STOP_PARKED:
        worker->fiber = NULL;
        coir__trace_waits(sim, fiber);
        break;
    case STOP_YIELDED:
        coir__trace_effect(sim, "yields");
        worker_turn(sim, worker, TURN_YIELDED);
        break;
    case STOP_SPENT:
        sim->turn = TURN_GOES_ON;
        if (--worker->left > 0)
            break;
        coir__trace_effect(sim, "its budget is spent");
        worker_turn(sim, worker, TURN_SPENT);
        break;
    }
    coir__trace_row(sim, at, who, &instruction);
}

static bool all_ended(const struct coir_sim *sim)
{
    return load_relaxed(&sim->seat.forked) == load_relaxed(&sim->seat.ended);
}

static void sim_end(struct coir_sim *sim)
{
    while (load_acquire(&sim->pins) > 0)                                        /* [SIM-PIN] */
        sched_yield();
    if (sim->result.tag == COIR_OK && sim->main_fiber != NULL)
        sim->result = coir__fiber_result(sim->main_fiber);
    if (sim->main_fiber != NULL) {
        store_relaxed(&sim->main_fiber->seen, 1);
        coir_fiber_drop(sim->main_fiber);
    }
    sim->main_fiber = NULL;
    completions_drop(sim);
    coir__seat_done(&sim->seat);
    coir__run_done(&sim->run);
    sim->ended = true;
}

void coir__sim_stop(struct coir_sim *sim, coir_result verdict)
{
    sim->result = verdict;
    for (unsigned i = 0; i < sim->count; i++)
        sim->workers[i].fiber = NULL;
    sim->ready_first = sim->ready_last = NULL;
    sim->ready_count = 0;
    coir__run_strip(&sim->run);
    while (load_acquire(&sim->pins) > 0)                                        /* [SIM-PIN] nobody wakes any of them any more */
        sched_yield();
    coir__run_discard(&sim->run);
    sim_end(sim);
}

static bool judge_rings(struct coir_sim *sim)
{
    uint64_t edges = load_relaxed(&sim->seat.edges_begun);
    if (edges == sim->edges_judged)
        return false;
    sim->edges_judged = edges;
    uint64_t alive = load_relaxed(&sim->seat.forked) - load_relaxed(&sim->seat.ended);
    sim->rings_due = sim->steps + RINGS_PAUSE + 16 * alive;
    coir_result report = coir_ok(coir_none());
    bool stop = sim->run.options.on_deadlock == COIR_DEADLOCK_STOP;
    bool found = coir__deadlock_rings(&sim->run, stop ? &report : NULL) > 0;
    if (report.tag != COIR_OK)
        coir__sim_stop(sim, report);
    return found;
}

/* A real run looks for rings when a worker has nothing to do. */
void coir__sim_judge(struct coir_sim *sim)
{
    if (unlikely(load_relaxed(&sim->seat.edges_begun) != sim->edges_judged) && sim->steps >= sim->rings_due &&
        sim->ready_count + workers_busy(sim) < sim->count)
        (void)judge_rings(sim);
}

static void act(struct coir_sim *sim, struct actors actors, uint32_t index)
{
    sim->effects_size = 0;                              /* whom the clock woke is no effect of this step */
    if (index < actors.due_first) {
        complete(sim, index);
        return;
    }
    index -= actors.due_first;
    if (index < actors.working)
        worker_step(sim, working_at(sim, index));
    else if (index < actors.working + actors.ready)
        worker_step(sim, worker_for_ready(sim, index - actors.working));
    else
        complete(sim, index - actors.working - actors.ready);
}

bool coir__sim_tick(struct coir_sim *sim)
{
    take_foreign(sim);
    struct actors actors = coir__sim_actors(sim);
    uint32_t count = actors_count(actors);
    if (count == 0)
        return false;
    act(sim, actors, count == 1 ? 0 : coir__choose(sim, actors));
    if (sim->options.step_time_max.ns > 0)
        coir__sim_move_clock(sim, ns_add(sim->now, (int64_t)(random_next(&sim->drawing) % ((uint64_t)sim->options.step_time_max.ns + 1))));
    if (all_ended(sim))
        sim_end(sim);
    return true;
}

/* ------------------------------------------------------------------------------------------------------- nobody goes on */

bool coir__sim_awaits_others(struct coir_sim *sim)
{
    const struct coir__seat *seat = &sim->seat;
    return load_relaxed(&seat->callbacks_begun) != load_relaxed(&seat->callbacks_done) ||
           load_relaxed(&seat->outside_begun) != load_relaxed(&seat->outside_done);
}

/* For real time. True: somebody has called. */
static bool await_others(struct coir_sim *sim)
{
    struct timespec until = timespec_of_ns(ns_add(clock_monotonic(), sim->options.foreign_wait.ns));
    int status = 0;
    pthread_mutex_lock(&sim->lock);
    while (sim->foreign_first == NULL && status == 0)
        status = pthread_cond_timedwait(&sim->changed, &sim->lock, &until);
    bool any = sim->foreign_first != NULL;
    pthread_mutex_unlock(&sim->lock);
    return any;
}

static void judge_silence(struct coir_sim *sim)
{
    coir_result report = coir_ok(coir_none());
    bool stop = sim->run.options.on_deadlock == COIR_DEADLOCK_STOP;
    size_t found = coir__deadlock_silence(&sim->run, stop ? &report : NULL);
    if (found == 0 && (load_relaxed(&sim->foreign) != sim->foreign_taken || load_acquire(&sim->pins) > 0))
        return;                                         /* another thread was just in time, or is about to be */
    if (found == 0)
        report = coir__panicf(DOMAIN_COIR, COIR_DEADLOCK, "deadlock: every fiber waits for the end of others");
    if (report.tag != COIR_OK)
        coir__sim_stop(sim, report);
}

bool coir__sim_goes_on(struct coir_sim *sim)
{
    if (judge_rings(sim))
        return !sim->ended;
    int64_t due = coir__sim_due(sim);
    if (due != INT64_MAX)
        coir__sim_move_clock(sim, due);
    else if (!coir__sim_awaits_others(sim) || !await_others(sim))
        judge_silence(sim);
    return !sim->ended;
}

/* ----------------------------------------------------------------------------------------------------- begin and end */

static coir_options options_of_run(const coir_sim_options *options)
{
    coir_options of_run = { .size = 0 };
    if (options->run != NULL)
        of_run = *options->run;
    of_run.budget = 1;                                  /* a step at a time */
    of_run.workers = options->workers;
    return of_run;
}

bool coir__sim_init(struct coir_sim *sim, coir_io *io, const coir_sim_options *options)
{
    coir_options of_run = options_of_run(options);
    memset(sim, 0, sizeof *sim);
    sim->workers = coir__alloc(options->workers * sizeof *sim->workers);
    if (sim->workers == NULL || !coir__run_init(&sim->run, &sim_driver, &of_run)) {
        if (sim->workers != NULL)
            coir__free(sim->workers, options->workers * sizeof *sim->workers);
        coir_io_drop(io);
        return false;
    }
    memset(sim->workers, 0, options->workers * sizeof *sim->workers);
    sim->options = *options;
    sim->scripted = options->schedule != NULL;
    sim->count = options->workers;
    sim->turn = TURN_LEFT;
    sim->thread = pthread_self();
    sim->seat.run = &sim->run;
    sim->seat.id_next = 1;                              /* the fibers of each simulation are numbered from 1 */
    sim->seat.id_end = UINT64_MAX;
    sim->epoch = ns_of_timespec(options->epoch);
    sim->choosing.state = options->seed;
    sim->drawing.state = ~options->seed;
    sim->result = coir_ok(coir_none());
    coir__timers_init(&sim->timers);
    coir__timers_init(&sim->epoch_timers);
    pthread_mutex_init(&sim->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&sim->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    coir__choose_begin(sim);
    if (options->trace != NULL)
        coir__trace_title(options->trace);

    coir__sim_enter(sim);
    sim->main_fiber = coir__fiber_new(&sim->seat, io, false, NULL);
    if (sim->main_fiber != NULL) {
        sim->main_fiber->flags |= FIBER_MAIN;
        ready_put(sim, sim->main_fiber);
    } else {
        sim->result = coir__no_memory();
        sim_end(sim);
    }
    coir__sim_leave();
    return true;
}

void coir__sim_done(struct coir_sim *sim)
{
    coir__choose_done(sim);
    coir__timers_done(&sim->timers);
    coir__timers_done(&sim->epoch_timers);
    pthread_cond_destroy(&sim->changed);
    pthread_mutex_destroy(&sim->lock);
    coir__free(sim->workers, sim->count * sizeof *sim->workers);
}
