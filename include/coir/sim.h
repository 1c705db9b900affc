/*
 * coir/sim.h - the deterministic runtime: any program, any schedule, twice the same
 *
 *     coir_result result = coir_sim_run(program(), COIR_SIM_OPTIONS(.seed = 17));
 *
 *     static coir_io *make(void *env) { return transfer(env); }
 *     static bool check(void *env, const coir_result *r) { return r->tag == COIR_OK && r->value.i64 == 100; }
 *     coir_sim_explore(make, check, env, NULL, stderr);           a thousand schedules; the first bad one is shown, and how to repeat it
 *
 * A simulation runs the same ios as coir_run(), on one thread, under a virtual clock, instruction by instruction. Which fiber makes the next
 * step, on which of the simulated workers, and when a completion arrives, is drawn from a seed: the same seed gives the same run to the last
 * step, on any machine. Time passes only when nobody can go on, so a sleep of a year costs microseconds. A deadlock is found at once.
 *
 * What is repeated is what happens inside: a program that reads a real clock, or memory that a run before it left behind, or that is
 * resumed by a real thread, is not. The last is allowed, counted (`foreign` in the figures) and waited for, see `foreign_wait`.
 * Fibers, and locks and other objects that are made inside, are numbered from 1 in each run; coir_sim_explore() counts its make() as inside.
 *
 * Unless a function says otherwise: ios and results are taken, options borrowed for the call (what trace and figures point to until the
 * simulation is closed); no function may be called from a callback.
 * From     cats-effect's TestControl, FoundationDB's simulation, Burckhardt et al., "A randomized scheduler with probabilistic guarantees
 *          of finding bugs" (2010), Musuvathi and Qadeer, "Iterative context bounding" (2007).
 */
#ifndef COIR_SIM_H
#define COIR_SIM_H

#include <coir/async.h>
#include <coir/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the next step is chosen. */
typedef enum coir_sim_policy {
    COIR_SIM_RANDOM,                                    /* among all that could go on, each as likely */
    COIR_SIM_PRIORITIES,                                /* each fiber has a priority; the highest goes on; a few changes at random moments, and
                                                         * one in 2,000 steps: nobody is kept out for ever */
    COIR_SIM_IN_TURN                                    /* a fiber goes on until it waits, yields or has used its budget; first in, first out */
} coir_sim_policy;

/* What a simulation did. */
typedef struct coir_sim_figures {
    uint64_t      steps;                                /* instructions */
    uint64_t      fibers;                               /* that there were */
    uint64_t      foreign;                              /* wake-ups by other threads: if there were any, the run cannot be repeated */
    coir_duration elapsed;                              /* on the virtual clock */
    uint64_t      hash;                                 /* of the schedule: which fiber did what, in which order */
} coir_sim_figures;

/* Zeroed: the defaults. */
typedef struct coir_sim_options {
    size_t          size;                               /* set by COIR_SIM_OPTIONS(); 0: as of version 0.1 */
    uint64_t        seed;                               /* any number, 0 like any other */
    unsigned        workers;                            /* simulated ones; 0: 2; at most COIR_WORKERS_MAX */
    uint32_t        budget;                             /* as in coir_options; 1 and more */
    coir_sim_policy policy;
    unsigned        changes;                            /* of COIR_SIM_PRIORITIES: how many; 0: 3; at most 64 */
    uint64_t        changes_within;                     /* among how many steps they lie; 0: 200 */
    uint64_t        steps_max;                          /* then the run is stopped, as a panic, code COIR_STOPPED; 0: ten million */
    const char     *schedule;                           /* choices to repeat in place of the policy's, as coir_sim_explore() writes them */
    coir_duration   step_time_max;                      /* a step takes from nothing to this, drawn; 0: the clock stands while there is work */
    struct timespec epoch;                              /* what the epoch clock shows at first; zeroed: the beginning of the year 2000 */
    coir_duration   foreign_wait;                       /* real time to wait for other threads' calls when nothing else is left; 0: 1 s */
    const coir_options *run;                            /* its context, on_deadlock and hooks hold here, too; and its workers and budget
                                                         * where those above are 0. NULL: none. Refused as by coir_run() */
    FILE           *trace;                              /* a line for each step; NULL: none */
    coir_sim_figures *figures;                          /* filled in at the end; NULL: not wanted */
} coir_sim_options;

/* COIR_SIM_OPTIONS(.seed = 17): a pointer to options, for a call. In C++: make a coir_sim_options and set its fields. */
#define COIR_SIM_OPTIONS(...) (&(coir_sim_options){ .size = sizeof(coir_sim_options), __VA_ARGS__ })

/*
 * coir_sim_run: as coir_run(), simulated. Options NULL: the defaults.
 * Gives    the main fiber's result.
 * Fails    PANIC with EINVAL for options out of range or a schedule that cannot be read, ENOMEM without memory or for a NULL io, COIR_MISUSE
 *          when it is called from a callback, COIR_STOPPED for a program that has not ended within steps_max.
 */
COIR_API COIR_MUST_USE coir_result coir_sim_run(coir_io *io, const coir_sim_options *options);

/*
 * coir_sim_complete: in a simulation, for a stand-in of foreign code, as a rule in its start(): k is resumed with result (taken) at a moment
 * between `earliest` and `latest` from now, drawn from the seed, as if by a thread of its own: whatever could happen before does in some
 * schedule. Outside of a simulation it is coir_resume(). From a callback, on the simulation's own thread.
 * Gives    false: not in time, as coir_resume() (outside of a simulation), or a `latest` before `earliest`, or one of them negative: then k is
 *          resumed at once with a panic, code EINVAL.
 */
COIR_API bool coir_sim_complete(coir_callback k, coir_result result, coir_duration earliest, coir_duration latest);

/* ------------------------------------------------------------------------------------------------------- step by step */

/*
 *     coir_sim *sim = coir_sim_open(program(), NULL);
 *     coir_sim_tick(sim);                                          as far as it gets without the clock
 *     coir_sim_advance(sim, coir_seconds(5));
 *     if (coir_sim_tick(sim) == COIR_SIM_ENDED) ... coir_sim_result(sim) ...
 *     coir_sim_drop(sim);
 *
 * A simulation belongs to the thread that opened it. Every function below refuses another thread (errno EPERM), a call from a callback
 * (EDEADLK), a closed simulation (EBADF) and NULL (EINVAL): it gives COIR_SIM_REFUSED, false or NULL, with errno set, and does nothing.
 */
typedef struct coir_sim coir_sim;

typedef enum coir_sim_state {
    COIR_SIM_RUNNABLE,                                  /* a step can be made */
    COIR_SIM_ASLEEP,                                    /* nobody can go on before the clock moves */
    COIR_SIM_OUTSIDE,                                   /* nobody can go on before another thread calls back */
    COIR_SIM_DEADLOCKED,                                /* nobody will ever go on; coir_sim_tick_all() gives the verdict */
    COIR_SIM_ENDED,                                     /* all fibers have ended, or the run was stopped */
    COIR_SIM_REFUSED                                    /* see above */
} coir_sim_state;

/* coir_sim_open: makes ready to run io (taken), and makes no step. NULL with errno ENOMEM, EINVAL for options out of range, EDEADLK in a callback. */
COIR_API COIR_MUST_USE coir_sim *coir_sim_open(coir_io *io, const coir_sim_options *options);
/* coir_sim_tick_one: one step of one fiber, or one completion, if there is any. coir_sim_tick: steps, until nobody can go on without the clock.
 * coir_sim_tick_all: to the end: the clock moves on, other threads are waited for, verdicts on deadlocks are given, which the others never
 * do. They give the state after it. */
COIR_API coir_sim_state coir_sim_tick_one(coir_sim *sim);
COIR_API coir_sim_state coir_sim_tick(coir_sim *sim);
COIR_API coir_sim_state coir_sim_tick_all(coir_sim *sim);
/* coir_sim_advance: moves both clocks on, whatever could go on meanwhile; who slept until then can now. A negative duration is refused (EINVAL).
 * coir_sim_tick_for: coir_sim_tick(), and so again at each moment within the duration at which something is due. */
COIR_API coir_sim_state coir_sim_advance(coir_sim *sim, coir_duration duration);
COIR_API coir_sim_state coir_sim_tick_for(coir_sim *sim, coir_duration duration);
/* coir_sim_set_epoch: sets the epoch clock alone, also backwards, as an administrator would. */
COIR_API coir_sim_state coir_sim_set_epoch(coir_sim *sim, struct timespec epoch);

/* Looking at it. coir_sim_next_interval: how long until the next sleeper or completion is due; false: none is to come. Where an answer goes may
 * be NULL. */
COIR_API coir_sim_state coir_sim_state_of(coir_sim *sim);
COIR_API bool coir_sim_is_deadlocked(coir_sim *sim);
COIR_API bool coir_sim_next_interval(coir_sim *sim, coir_duration *interval);
COIR_API coir_duration coir_sim_now(coir_sim *sim);     /* since it was opened */
COIR_API bool coir_sim_figures_of(coir_sim *sim, coir_sim_figures *figures);
/* coir_sim_result: the main fiber's result, lent until the simulation is closed; NULL as long as the run has not ended. */
COIR_API const coir_result *coir_sim_result(coir_sim *sim);

/* coir_sim_close: ends it: what has not ended is let go without unwinding. Gives the main fiber's result, a panic with COIR_STOPPED if it has
 * not ended; a refused call gives a panic with COIR_MISUSE. coir_sim_drop: closes it, if that was not done, and gives the handle up; refused
 * from another thread or a callback; NULL is harmless. Afterwards the handle means nothing. */
COIR_API COIR_MUST_USE coir_result coir_sim_close(coir_sim *sim);
COIR_API void coir_sim_drop(coir_sim *sim);

/* --------------------------------------------------------------------------------------------------- many schedules */

/* What an exploration did. */
typedef struct coir_explore_figures {
    uint64_t runs, distinct;                            /* schedules that were run; how many of them differed */
    uint64_t unfinished;                                /* runs that were stopped by steps_max */
    bool     complete;                                  /* of an exhaustive one: there are no further schedules within its bounds */
} coir_explore_figures;

/* Zeroed: the defaults. */
typedef struct coir_explore_options {
    size_t   size;                                      /* set by COIR_EXPLORE_OPTIONS(); 0: as of version 0.1 */
    uint64_t runs;                                      /* schedules at most; 0: 1000 */
    uint64_t first_seed;
    uint32_t budget_max;                                /* budgets are swept from 1 to this; 0: 64 */
    unsigned workers;                                   /* 0: 1, 2 and 3 by turns */
    uint64_t steps_max;                                 /* of one run; 0: a hundred thousand */
    bool     exhaustive;                                /* every schedule with few pre-emptions, in place of seeds: for small programs. One
                                                         * draw of moments alone: those of first_seed */
    unsigned preemptions_max;                           /* how many; 0: 2 */
    coir_duration foreign_wait;                         /* as in coir_sim_options */
    const coir_options *run;                            /* likewise */
    coir_explore_figures *figures;                      /* filled in at the end; NULL: not wanted */
    coir_duration step_time_max;                        /* as in coir_sim_options: for time-outs that come in the midst of work */
} coir_explore_options;

#define COIR_EXPLORE_OPTIONS(...) (&(coir_explore_options){ .size = sizeof(coir_explore_options), __VA_ARGS__ })

/*
 * coir_sim_explore: runs what make(env) gives under many schedules, random ones and ones by priority by turns, or all with few pre-emptions,
 * sweeping the budget, and asks check(env, &result), NULL: that the result is no panic, after each run. It stops at the first that fails, looks for
 * the shortest schedule that fails, and writes to report (NULL: nowhere) what happened, step by step, and how to repeat it: a call that can be
 * copied, in which `run` stands for options->run. make and check are called for each run, also of the search for the shortest, and should
 * leave nothing behind from the one before. Exhaustive: those with fewer pre-emptions come first, and again with those that have more.
 * Gives    true: no schedule failed. False with errno EINVAL or EDEADLK and runs in the figures unchanged: options out of range, make NULL, or
 *          called from a callback.
 */
COIR_API bool coir_sim_explore(coir_io *(*make)(void *env), bool (*check)(void *env, const coir_result *result), void *env,
                               const coir_explore_options *options, FILE *report);

#ifdef __cplusplus
}
#endif
#endif
