/*
 * sweep.h - a program that is simulated again and again, one of its fibers canceled after each number of steps
 *
 *     FOR_EACH_STEP(step, options) {
 *         coir_fiber *victim = NULL;
 *         CHECK_STR(canceled_at(step, options, program(&victim), &victim), "OK 5");
 *         coir_fiber_drop(victim);
 *     }
 */
#ifndef SWEEP_H
#define SWEEP_H

#include "seeds.h"

/* FOR_EACH_STEP(step, options) {...}: under some seeds each, from step 0 on until a program has come to its end before it. */
#define FOR_EACH_STEP(step, options)                                                                           \
    for (uint64_t options##_s = 0; options##_s < sweeps_count(); options##_s++)                               \
        for (coir_sim_options *options = seeded(&(coir_sim_options){ .seed = options##_s * 7 }); options != NULL; options = NULL) \
            for (uint64_t step = sweep_begin(); sweep_goes_on(options, step); step++)

static struct { bool is_over; } sweep;

static inline uint64_t sweeps_count(void) { return (uint64_t)(scaled(24) < 3 ? 3 : scaled(24)); }

static inline uint64_t sweep_begin(void)
{
    sweep.is_over = false;
    return 0;
}

static inline bool sweep_goes_on(const coir_sim_options *options, uint64_t step)
{
    CASE("seed %llu, canceled after %llu steps", (unsigned long long)options->seed, (unsigned long long)step);
    return !sweep.is_over;
}

/* One step; or the clock moves on to when somebody can make one. */
static inline bool sweep_tick(coir_sim *sim)
{
    coir_duration interval;
    coir_sim_state state = coir_sim_tick_one(sim);
    if (state == COIR_SIM_ASLEEP && coir_sim_next_interval(sim, &interval))
        state = coir_sim_advance(sim, interval);
    return state == COIR_SIM_RUNNABLE || state == COIR_SIM_ASLEEP;
}

/* canceled_at: simulates io, whose fiber in *victim is asked to end after so many steps, if it has begun by then. Gives the outcome. */
static inline const char *canceled_at(uint64_t step, const coir_sim_options *options, coir_io *io, coir_fiber **victim)
{
    coir_sim *sim = coir_sim_open(io, options);
    uint64_t made = 0;
    while (made < step && sweep_tick(sim))
        made++;
    sweep.is_over = made < step;
    coir_fiber_cancel(*victim);
    (void)coir_sim_tick_all(sim);
    coir_result result = coir_sim_close(sim);
    const char *text = describe(&result);
    coir_result_drop(&result);
    coir_sim_drop(sim);
    return text;
}

#endif
