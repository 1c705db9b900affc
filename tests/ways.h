/*
 * ways.h - programs under many simulated schedules and many real ones, in one loop; what tests of those who wait for each other share
 *
 *     FOR_WAYS(way)
 *         CHECK_STR(outcome_in(way, program()), "OK 5");
 */
#ifndef WAYS_H
#define WAYS_H

#include "seeds.h"

/* FOR_WAYS(way) {...}: the body under each seed of FOR_SEEDS, then under each schedule of FOR_SCHEDULES. */
#define FOR_WAYS(way)                                                                                          \
    for (struct ways way##_all = { .seeds = 0 };                                                              \
         ways_next(&way##_all); )                                                                             \
        for (const struct way *way = &way##_all.way; way != NULL; way = NULL)

struct way { const coir_options *real; coir_sim_options simulated; };          /* real NULL: simulated */
struct ways { uint64_t seeds; struct schedules schedules; struct way way; };

static inline bool ways_next(struct ways *ways)
{
    if (ways->seeds < seeds_count()) {
        ways->way = (struct way){ .simulated = { .size = sizeof(coir_sim_options), .seed = ways->seeds++ } };
        seeded(&ways->way.simulated);
        ways->way.simulated.step_time_max = coir_ns(ways->seeds % 4 < 2 ? 0 : 10);          /* so that time runs out while others are at work, too */
        return true;
    }
    ways->way.real = &ways->schedules.options;
    return schedules_next(&ways->schedules);
}

static inline coir_result run_in(const struct way *way, coir_io *io)
{
    return way->real != NULL ? coir_run(io, way->real) : coir_sim_run(io, &way->simulated);
}

static inline const char *outcome_in(const struct way *way, coir_io *io)
{
    coir_result result = run_in(way, io);
    const char *text = describe(&result);
    coir_result_drop(&result);
    return text;
}

/* message_in: of a failure; "(no failure)" otherwise. */
static inline const char *message_in(const struct way *way, coir_io *io)
{
    coir_result result = run_in(way, io);
    const char *text = spelled("%s", result.tag == COIR_OK ? "(no failure)" : coir_error_message(&result.value));
    coir_result_drop(&result);
    return text;
}

/* moment_in: in which a fiber makes some steps, and which is soon over. */
static inline coir_duration moment_in(const struct way *way) { return way->real != NULL ? coir_us(30) : coir_ns(30); }

/* ------------------------------------------------------------------------------------------------------------ words */

static inline coir_io *cancel_placed(void *place) { return coir_cancel(*(coir_fiber **)place); }
static inline coir_io *canceling(coir_fiber **place) { return coir_suspend(cancel_placed, place); }

/* asking: asks the fiber in *place to stop, and goes on. */
static inline coir_result ask_placed(void *place) { coir_fiber_cancel(*(coir_fiber **)place); return coir_ok(coir_none()); }
static inline coir_io *asking(coir_fiber **place) { return coir_defer(ask_placed, place); }

/* looking: the result of the fiber in *place, once it has ended, in a box. */
static inline coir_io *take_first(void *env, coir_value *list) { (void)env; return coir_pure(coir_list_take(list, 0)); }
static inline coir_io *wait_placed(void *place)
{
    coir_value fiber = coir_fiber_value(coir_fiber_ref(*(coir_fiber **)place));
    coir_io *io = coir_wait(&fiber);
    coir_drop(fiber);
    return coir_flat_map(io, take_first, NULL);
}
static inline coir_io *looking(coir_fiber **place) { return coir_suspend(wait_placed, place); }

static inline void fibers_drop(size_t count, coir_fiber **places)
{
    for (size_t i = 0; i < count; i++) {
        coir_fiber_drop(places[i]);
        places[i] = NULL;
    }
}

/* not_silent: io, beside a fiber that waits for a callback for as long: so no verdict on a silent run ends a wait. */
static inline coir_io *not_silent(struct gate *gate, coir_io *io)
{
    *gate = (struct gate)GATE;
    return coir_then(coir_fork(passing(gate)), coir_finally(io, opening(gate)));
}

/* telling: forks io, opens the gate when it waits, and joins it: for another thread that is to act then. */
static inline coir_io *telling(coir_io *io, coir_fiber **place, struct gate *gate)
{
    return coir_sequence(COIR_IOS(queueing(io, place), opening(gate), joining(place)));
}

/* waits_elsewhere: io waits in a run in another thread, which does not fall silent; waits_elsewhere_end: gives how it ended. */
struct elsewhere { struct other_run run; struct gate waits, silence; coir_fiber *fiber; };
static inline void waits_elsewhere(struct elsewhere *elsewhere, const coir_options *options, coir_io *io)
{
    elsewhere->waits = (struct gate)GATE;
    elsewhere->fiber = NULL;
    other_run_begin(&elsewhere->run, options, not_silent(&elsewhere->silence, telling(io, &elsewhere->fiber, &elsewhere->waits)));
    CHECK_SOON(gate_is_open(&elsewhere->waits));
}
static inline const char *waits_elsewhere_end(struct elsewhere *elsewhere)
{
    coir_result result = other_run_end(&elsewhere->run);
    const char *text = describe(&result);
    coir_result_drop(&result);
    coir_fiber_drop(elsewhere->fiber);
    return text;
}

#endif
