/*
 * control.c - a simulation as its user holds it: options, the run as a whole, the run step by step
 */
#include "sim/sim.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

enum { WORKERS_DEFAULT = 2, BUDGET_DEFAULT = 4096, CHANGES_DEFAULT = 3, CHANGES_MAX = 64, CHANGES_WITHIN_DEFAULT = 200 };
#define STEPS_MAX_DEFAULT UINT64_C(10000000)
#define EPOCH_DEFAULT     946684800                     /* 2000-01-01T00:00:00Z */

/* ----------------------------------------------------------------------------------------------------------- options */

static void fill_in_run(const coir_options *run, coir_sim_options *complete)
{
    if (run == NULL)
        return;
    if (complete->workers == 0)
        complete->workers = run->workers;
    if (complete->budget == 0)
        complete->budget = run->budget;
}

static void fill_in_defaults(coir_sim_options *complete)
{
    if (complete->workers == 0)
        complete->workers = WORKERS_DEFAULT;
    if (complete->budget == 0)
        complete->budget = BUDGET_DEFAULT;
    if (complete->changes == 0)
        complete->changes = CHANGES_DEFAULT;
    if (complete->changes_within == 0)
        complete->changes_within = CHANGES_WITHIN_DEFAULT;
    if (complete->steps_max == 0)
        complete->steps_max = STEPS_MAX_DEFAULT;
    if (complete->epoch.tv_sec == 0 && complete->epoch.tv_nsec == 0)
        complete->epoch.tv_sec = EPOCH_DEFAULT;
    if (complete->foreign_wait.ns == 0)
        complete->foreign_wait = coir_seconds(1);
}

/* Why the options cannot serve; NULL if they can, and then *complete are they with the defaults. */
static const char *complete_options(const coir_sim_options *given, coir_sim_options *complete)
{
    static const coir_sim_options defaults;
    *complete = given == NULL ? defaults : *given;
    if (complete->size != 0 && complete->size != sizeof *complete)
        return "options.size is of another version";
    if (complete->run != NULL && coir__options_bad(complete->run) != NULL)
        return coir__options_bad(complete->run);
    fill_in_run(complete->run, complete);
    fill_in_defaults(complete);
    if (complete->workers > COIR_WORKERS_MAX)
        return "options.workers is more than COIR_WORKERS_MAX";
    if ((unsigned)complete->policy > COIR_SIM_IN_TURN)
        return "options.policy is none of its values";
    if (complete->changes > CHANGES_MAX)
        return "options.changes is more than 64";
    if (complete->step_time_max.ns < 0 || complete->foreign_wait.ns < 0)
        return "a duration in the options is negative";
    if (complete->epoch.tv_nsec < 0 || complete->epoch.tv_nsec >= NS_PER_SECOND)
        return "options.epoch.tv_nsec is not within 0 and 999999999";
    return NULL;
}

static bool inside_a_callback(void) { return coir__me.seat != NULL || coir__me.in_hook > 0; }

/* ----------------------------------------------------------------------------------------------------- open and close */

static coir_sim_figures figures_of(const struct coir_sim *sim)
{
    return (coir_sim_figures){ .steps = sim->steps, .fibers = load_relaxed(&sim->seat.forked), .foreign = load_relaxed(&sim->foreign),
                               .elapsed = coir_ns(sim->now), .hash = sim->hash };
}

coir_sim *coir__sim_new(coir_io *io, const coir_sim_options *options, coir_result *why)
{
    coir_sim_options complete;
    struct schedule script = { 0 };
    const char *bad = complete_options(options, &complete);
    if (inside_a_callback())
        *why = coir__panicf(DOMAIN_COIR, COIR_MISUSE, "a simulation was begun in a callback");
    else if (bad != NULL)
        *why = coir__panicf(DOMAIN_ERRNO, EINVAL, "simulation: %s", bad);
    else if (complete.schedule != NULL && !coir__schedule_read(&script, complete.schedule))
        *why = errno == ENOMEM ? coir__no_memory()
                               : coir__panicf(DOMAIN_ERRNO, EINVAL, "simulation: options.schedule is none: \"%.40s\"", complete.schedule);
    else
        *why = coir_ok(coir_none());
    coir_sim *sim = why->tag == COIR_OK ? coir__alloc(sizeof *sim) : NULL;
    if (sim == NULL) {
        if (why->tag == COIR_OK)
            *why = coir__no_memory();
        coir__schedule_done(&script);
        coir_io_drop(io);
        return NULL;
    }
    if (!coir__sim_init(sim, io, &complete)) {
        *why = coir__no_memory();
        coir__schedule_done(&script);
        coir__free(sim, sizeof *sim);
        return NULL;
    }
    sim->script = script;
    return sim;
}

static int errno_of(const coir_result *why)
{
    int code = coir_error_code(&why->value);
    return code == COIR_MISUSE ? EDEADLK : code;
}

coir_sim *coir_sim_open(coir_io *io, const coir_sim_options *options)
{
    coir_result why;
    coir_sim *sim = coir__sim_new(io, options, &why);
    if (sim == NULL)
        errno = errno_of(&why);
    coir_result_drop(&why);
    return sim;
}

coir_result coir__sim_close(coir_sim *sim)
{
    coir__sim_enter(sim);
    if (!sim->ended)
        coir__sim_stop(sim, coir__panicf(DOMAIN_COIR, COIR_STOPPED, "the simulation was closed before its fibers had ended"));
    coir__sim_leave();
    sim->closed = true;
    if (sim->options.figures != NULL)
        *sim->options.figures = figures_of(sim);
    return coir_result_take(&sim->result);
}

void coir__sim_free(coir_sim *sim)
{
    coir__schedule_done(&sim->script);
    coir__sim_done(sim);
    coir__free(sim, sizeof *sim);
}

/* 0, or why the caller may not use it. */
static int refusal(const coir_sim *sim)
{
    if (sim == NULL)
        return EINVAL;
    if (!pthread_equal(pthread_self(), sim->thread))
        return EPERM;
    if (inside_a_callback() || sim->is_in_job)
        return EDEADLK;
    return sim->closed ? EBADF : 0;
}

static bool refused(const coir_sim *sim)
{
    int why = refusal(sim);
    if (why != 0)
        errno = why;
    return why != 0;
}

coir_result coir_sim_close(coir_sim *sim)
{
    if (refused(sim))
        return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_sim_close: %s", strerror(errno));
    return coir__sim_close(sim);
}

void coir_sim_drop(coir_sim *sim)
{
    int why = refusal(sim);
    if (sim == NULL)
        return;
    if (why != 0 && why != EBADF) {
        errno = why;
        return;
    }
    if (why == 0) {
        coir_result result = coir__sim_close(sim);
        coir_result_drop(&result);
    }
    coir__sim_free(sim);
}

/* ------------------------------------------------------------------------------------------------------------- steps */

static coir_sim_state state_of(struct coir_sim *sim)
{
    if (sim->ended)
        return COIR_SIM_ENDED;
    if (actors_count(coir__sim_actors(sim)) > 0 || load_relaxed(&sim->foreign) != sim->foreign_taken)
        return COIR_SIM_RUNNABLE;
    if (coir__sim_due(sim) != INT64_MAX)
        return COIR_SIM_ASLEEP;
    return coir__sim_awaits_others(sim) ? COIR_SIM_OUTSIDE : COIR_SIM_DEADLOCKED;
}

/* Whether steps_max leaves room for one more; if not, the run is over. */
static bool may_step(struct coir_sim *sim)
{
    if (sim->ended)
        return false;
    if (sim->steps < sim->options.steps_max)
        return true;
    coir__sim_stop(sim, coir__panicf(DOMAIN_COIR, COIR_STOPPED, "the simulation was stopped: it had not ended after %llu steps",
                                     (unsigned long long)sim->options.steps_max));
    return false;
}

void coir__sim_run_all(struct coir_sim *sim)
{
    coir__sim_enter(sim);
    while (may_step(sim)) {
        coir__sim_judge(sim);
        if (sim->ended || (!coir__sim_tick(sim) && !coir__sim_goes_on(sim)))
            break;
    }
    coir__sim_leave();
}

static void tick_until_blocked(struct coir_sim *sim)
{
    while (may_step(sim) && coir__sim_tick(sim)) {
    }
}

coir_sim_state coir_sim_tick_one(coir_sim *sim)
{
    if (refused(sim))
        return COIR_SIM_REFUSED;
    coir__sim_enter(sim);
    if (may_step(sim))
        (void)coir__sim_tick(sim);
    coir__sim_leave();
    return state_of(sim);
}

coir_sim_state coir_sim_tick(coir_sim *sim)
{
    if (refused(sim))
        return COIR_SIM_REFUSED;
    coir__sim_enter(sim);
    tick_until_blocked(sim);
    coir__sim_leave();
    return state_of(sim);
}

coir_sim_state coir_sim_tick_all(coir_sim *sim)
{
    if (refused(sim))
        return COIR_SIM_REFUSED;
    coir__sim_run_all(sim);
    return state_of(sim);
}

static bool negative(coir_duration duration)
{
    if (duration.ns < 0)
        errno = EINVAL;
    return duration.ns < 0;
}

coir_sim_state coir_sim_advance(coir_sim *sim, coir_duration duration)
{
    if (refused(sim) || negative(duration))
        return COIR_SIM_REFUSED;
    coir__sim_enter(sim);
    if (!sim->ended)
        coir__sim_move_clock(sim, ns_add(sim->now, duration.ns));
    coir__sim_leave();
    return state_of(sim);
}

coir_sim_state coir_sim_tick_for(coir_sim *sim, coir_duration duration)
{
    if (refused(sim) || negative(duration))
        return COIR_SIM_REFUSED;
    coir__sim_enter(sim);
    int64_t end = ns_add(sim->now, duration.ns);
    tick_until_blocked(sim);
    while (!sim->ended && coir__sim_due(sim) <= end && coir__sim_due(sim) != INT64_MAX) {
        coir__sim_move_clock(sim, coir__sim_due(sim));
        tick_until_blocked(sim);
    }
    if (!sim->ended)
        coir__sim_move_clock(sim, end);
    coir__sim_leave();
    return state_of(sim);
}

coir_sim_state coir_sim_set_epoch(coir_sim *sim, struct timespec epoch)
{
    if (refused(sim))
        return COIR_SIM_REFUSED;
    if (epoch.tv_nsec < 0 || epoch.tv_nsec >= NS_PER_SECOND) {
        errno = EINVAL;
        return COIR_SIM_REFUSED;
    }
    coir__sim_enter(sim);
    sim->epoch = ns_sub(ns_of_timespec(epoch), sim->now);
    if (!sim->ended)
        coir__sim_move_clock(sim, sim->now);
    coir__sim_leave();
    return state_of(sim);
}

/* -------------------------------------------------------------------------------------------------------- looking at it */

coir_sim_state coir_sim_state_of(coir_sim *sim)  { return refused(sim) ? COIR_SIM_REFUSED : state_of(sim); }
bool coir_sim_is_deadlocked(coir_sim *sim)       { return !refused(sim) && state_of(sim) == COIR_SIM_DEADLOCKED; }
coir_duration coir_sim_now(coir_sim *sim)        { return refused(sim) ? coir_ns(0) : coir_ns(sim->now); }

bool coir_sim_next_interval(coir_sim *sim, coir_duration *interval)
{
    if (refused(sim) || sim->ended || coir__sim_due(sim) == INT64_MAX)
        return false;
    int64_t left = ns_sub(coir__sim_due(sim), sim->now);
    if (interval != NULL)
        *interval = coir_ns(left > 0 ? left : 0);
    return true;
}

bool coir_sim_figures_of(coir_sim *sim, coir_sim_figures *figures)
{
    if (refused(sim))
        return false;
    if (figures != NULL)
        *figures = figures_of(sim);
    return true;
}

const coir_result *coir_sim_result(coir_sim *sim) { return refused(sim) || !sim->ended ? NULL : &sim->result; }

/* --------------------------------------------------------------------------------------------------------- all at once */

coir_result coir_sim_run(coir_io *io, const coir_sim_options *options)
{
    coir_result why;
    coir_sim *sim = coir__sim_new(io, options, &why);
    if (sim == NULL)
        return why;
    coir__sim_run_all(sim);
    coir_result result = coir__sim_close(sim);
    coir__sim_free(sim);
    return result;
}
