/*
 * sim/sim.h - the driver of a simulation: one thread, a virtual clock, and a schedule that somebody chooses
 *
 * All is touched by the thread that opened the simulation alone, but for what stands under `lock`, through which other threads wake fibers.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "base/random.h"
#include "fiber/driver.h"
#include "sched/timers.h"

#include <coir/sim.h>

#include <pthread.h>

/* One choice that was not the default: at the point of that number (points count where there is more than one way to go on) this one was taken. */
struct choice { uint64_t point; uint32_t index; };
struct schedule { struct choice *choices; size_t count, room; bool lost; };     /* lost: without memory some are missing */

/* How the turn of the fiber that made the last step stands. */
enum turn {
    TURN_GOES_ON,                                       /* it could make the next one */
    TURN_YIELDED, TURN_SPENT,                           /* it yielded, or its budget is spent: it stands behind the others */
    TURN_LEFT                                           /* it waits or has ended, or there was none */
};
static inline bool turn_is_over(enum turn turn) { return turn == TURN_YIELDED || turn == TURN_SPENT; }

struct sim_worker { coir_fiber *fiber; uint64_t left; };                        /* NULL: free; left: steps of its budget */

/* A call of foreign code that is to come, see coir_sim_complete(); or one that blocks, and does so in no time at that moment. */
struct completion {
    struct completion *next;
    int64_t       due;
    uint64_t      serial;
    struct job   *job;                                  /* NULL: it is k that is called */
    coir_callback k;
    coir_result   result;
};

/* Who could make the next step, in the order in which a choice counts them. Choice 0, the default, is the fiber that made the last step, if
 * its turn goes on, otherwise who comes next in turn. */
struct actors {
    uint32_t due_first;                                 /* completions whose moment has come, after a turn that is over: who waits for one by
                                                         * yielding in a loop must not keep it out */
    uint32_t working;                                   /* fibers that have a worker; the one that ran last is the first */
    uint32_t ready;                                     /* fibers that could be given one, oldest first */
    uint32_t due;                                       /* completions whose moment has come, otherwise */
};
static inline uint32_t actors_count(struct actors actors) { return actors.due_first + actors.working + actors.ready + actors.due; }

/* The priorities of COIR_SIM_PRIORITIES: drawn for each fiber, but for those that were lowered. */
struct priorities {
    uint64_t *lowered;                                  /* by fiber id; 0: not lowered */
    size_t    room;
    uint64_t  lowest;                                   /* the next one to be given to who is lowered: below all others */
    uint64_t  fair_at;                                  /* not before that step the next one is lowered so that the others have their turn */
    uint64_t  changes_at[64];
    unsigned  changes;
};

/* Stands in place of a policy, as an exhaustive search does, or looks on. Either function may be NULL. */
struct chooser {
    uint32_t (*choose)(void *env, struct coir_sim *sim, struct actors actors);     /* one of more than one */
    void (*acted)(void *env, uint64_t actor);           /* who made a step: a fiber, by its id, or a completion, by its number and this bit */
    void *env;
};
#define ACTOR_COMPLETION UINT64_C(0x8000000000000000)

enum { EFFECTS_SIZE = 512 };

struct coir_sim {
    struct coir__run   run;                             /* first: a run of this driver is a simulation */
    struct coir__seat  seat;                            /* the one place where fibers run: the workers are only places in a schedule */
    pthread_t          thread;
    coir_sim_options   options;                         /* completed */
    coir_fiber        *main_fiber;
    coir_result        result;
    bool               ended, closed;
    uint64_t           steps, points, hash, serials;    /* serials: numbers of objects given out */

    struct sim_worker *workers;
    unsigned           count, last;                     /* last: the one that made the last step */
    enum turn          turn;
    coir_fiber        *ready_first, *ready_last;        /* what may go on and has no worker, through `next`, oldest first */
    size_t             ready_count;

    int64_t            now, epoch;                      /* the clock; what the epoch clock is ahead of it */
    struct timers      timers, epoch_timers;
    struct completion *completions;                     /* in no order */
    uint64_t           completions_begun;
    bool               is_in_job;                       /* a function that blocks is being called: as on another thread, but of this simulation */

    struct random      choosing, drawing;               /* the policy's; the program's: what it draws, and moments */
    struct chooser     chooser;
    bool               pre_empts;                       /* what is ready may take the place of a fiber whose turn goes on */
    struct priorities  priorities;
    struct schedule   *recorded;                        /* NULL: not wanted */
    bool               scripted;                        /* what `script` does not name is the default */
    struct schedule    script;
    size_t             script_at;

    uint64_t           edges_judged, rings_due;         /* of the search for rings: waits begun at the last one; not before that step */
    char               effects[EFFECTS_SIZE];           /* of the step that is being made, for the trace */
    size_t             effects_size;

    pthread_mutex_t    lock;
    pthread_cond_t     changed;                         /* foreign_first has become something */
    coir_fiber        *foreign_first, *foreign_last;    /* under lock: what other threads woke */
    _Atomic uint64_t   foreign;                         /* A, written under lock: how many there were */
    uint64_t           foreign_taken;
    _Atomic uint32_t   pins;                            /* A [SIM-PIN] */
};

/* ------------------------------------------------------------------------------------------------------------- sim.c */

/* coir__sim_init: ready to run io (taken). False: no memory; nothing is left. The options are complete. */
bool coir__sim_init(struct coir_sim *sim, coir_io *io, const coir_sim_options *options);
/* coir__sim_enter, coir__sim_leave: before and after anything below, on the simulation's thread, which is in no callback. */
void coir__sim_enter(struct coir_sim *sim);
void coir__sim_leave(void);
/* coir__sim_tick: one step. False: nobody can go on. coir__sim_goes_on: after that: moves the clock, waits for other threads, gives verdicts;
 * false: the run has ended. coir__sim_judge: gives the verdict on rings while others go on, as a worker with nothing to do would; may end the run. */
bool coir__sim_tick(struct coir_sim *sim);
bool coir__sim_goes_on(struct coir_sim *sim);
void coir__sim_judge(struct coir_sim *sim);
/* coir__sim_stop: ends a run that has not ended, with the verdict (taken) as its result. */
void coir__sim_stop(struct coir_sim *sim, coir_result verdict);
/* coir__sim_done: of one that has ended: gives back what is left. The result is the caller's to drop. */
void coir__sim_done(struct coir_sim *sim);

struct actors coir__sim_actors(struct coir_sim *sim);
/* coir__sim_find: which of the actors that one is, see struct chooser; their count: none. */
uint32_t coir__sim_find(struct coir_sim *sim, struct actors actors, uint64_t actor);
/* coir__sim_due: when the clock will have something to do; INT64_MAX: never. coir__sim_move_clock: to that moment. */
int64_t coir__sim_due(struct coir_sim *sim);
void coir__sim_move_clock(struct coir_sim *sim, int64_t to);
bool coir__sim_awaits_others(struct coir_sim *sim);
/* coir__sim_of_thread: the simulation that the calling thread is in the midst of; NULL: none. */
struct coir_sim *coir__sim_of_thread(void);
coir_fiber *coir__sim_working_at(struct coir_sim *sim, uint32_t index);

/* ---------------------------------------------------------------------------------------------------------- choose.c */

void coir__choose_begin(struct coir_sim *sim);
/* coir__choose: one of the actors, of whom there is more than one. */
uint32_t coir__choose(struct coir_sim *sim, struct actors actors);
/* coir__choose_turned: the fiber's turn is over. */
void coir__choose_turned(struct coir_sim *sim, const coir_fiber *fiber);
void coir__choose_done(struct coir_sim *sim);

void coir__schedule_add(struct schedule *schedule, uint64_t point, uint32_t index);
void coir__schedule_done(struct schedule *schedule);
/* coir__schedule_read: false: it cannot be read, or no memory (errno EINVAL, ENOMEM). */
bool coir__schedule_read(struct schedule *schedule, const char *text);
void coir__schedule_print(const struct schedule *schedule, FILE *out);

/* ---------------------------------------------------------------------------------------------------------- shrink.c */

/* A schedule as its moves: when `from` has made `at` steps and was the last, `to` is next. */
struct move { uint64_t from, at, to; bool used; };                              /* used: it said something else than the default */
struct moves { struct move *moves; size_t count, room; };                       /* by from, then at */

/* Goes through a run by moves, if there are any, and tells who made each step. */
struct follower {
    struct moves *moves;                                /* NULL: it only looks on */
    uint64_t     *steps;                                /* actors, one after the other */
    size_t        count, room;
    uint64_t     *made;                                 /* by fiber id: how many */
    size_t        made_room;
    bool          lost;                                 /* without memory it lost its way */
};
struct chooser coir__follow(struct follower *follower);
void coir__follower_done(struct follower *follower);

/* coir__shrink: the fewest moves with which `fails` does, from a run that did. False: it does not, told as moves; or there is no memory. */
bool coir__shrink(struct moves *fewest, const struct follower *failed, bool (*fails)(void *env, struct follower *follower), void *env);
void coir__moves_done(struct moves *moves);

/* ----------------------------------------------------------------------------------------------------------- trace.c */

/* What a step is about to do: one instruction of a fiber, run or given a result. */
struct instruction { const char *name; unsigned op; bool up, woken; coir_tag tag; char given[64]; };
struct instruction coir__trace_next(const struct coir_sim *sim, const coir_fiber *fiber);
void coir__trace_title(FILE *out);
/* coir__trace_effect: appends to what the step at hand does, if there is a trace. */
void coir__trace_effect(struct coir_sim *sim, const char *format, ...) COIR_PRINTF(2, 3);
void coir__trace_fiber(struct coir_sim *sim, const char *verb, const coir_fiber *fiber);
void coir__trace_waits(struct coir_sim *sim, coir_fiber *fiber);
void coir__trace_end(struct coir_sim *sim, const coir_result *result);
/* coir__trace_row: writes the line. `who`: of the fiber, as it was before the step; "" for a completion. */
void coir__trace_row(struct coir_sim *sim, unsigned worker, const char *who, const struct instruction *instruction);

/* --------------------------------------------------------------------------------------------------------- control.c */

/* coir__sim_new: coir_sim_open(), saying why not in *why (OK if it could). coir__sim_close, coir__sim_free: the two halves of coir_sim_drop(). */
struct coir_sim *coir__sim_new(coir_io *io, const coir_sim_options *options, coir_result *why);
coir_result coir__sim_close(struct coir_sim *sim);
void coir__sim_free(struct coir_sim *sim);
/* coir__sim_run_all: to the end, or to steps_max. */
void coir__sim_run_all(struct coir_sim *sim);

#endif
