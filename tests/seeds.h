/*
 * seeds.h - programs under many simulated schedules, and under real ones
 *
 *     FOR_SEEDS(options)
 *         CHECK_STR(simulated(options, program()), "OK 5");
 *
 *     CHECK_EVERYWHERE(coir_both(noting("a"), coir_yield()), "OK [0 0]", "a");
 */
#ifndef SEEDS_H
#define SEEDS_H

#include "fibers.h"

#include <coir/sim.h>

/* FOR_SEEDS(options) {...}: the body simulated under seeds, each with a budget of its own from 1 to 64 and one to three workers. */
#define FOR_SEEDS(options)                                                                                     \
    for (uint64_t options##_s = 0; options##_s < seeds_count(); options##_s++)                                \
        for (coir_sim_options *options = seeded(&(coir_sim_options){ .seed = options##_s }); options != NULL; options = NULL)

static inline uint64_t seeds_count(void) { return (uint64_t)(scaled(192) < 16 ? 16 : scaled(192)); }

static inline coir_sim_options *seeded(coir_sim_options *options)
{
    options->budget = (uint32_t)(options->seed % 64) + 1;
    options->workers = (unsigned)(options->seed % 3) + 1;
    options->policy = options->seed % 2 == 0 ? COIR_SIM_RANDOM : COIR_SIM_PRIORITIES;
    options->steps_max = 100000;
    CASE("seed %llu", (unsigned long long)options->seed);
    return options;
}

static inline const char *simulated(const coir_sim_options *options, coir_io *io)
{
    coir_result result = coir_sim_run(io, options);
    const char *text = describe(&result);
    coir_result_drop(&result);
    return text;
}

/* CHECK_EVERYWHERE(io, result, notes): makes and runs the io anew under each seed, and really with 1, 2 and 4 workers. */
#define CHECK_EVERYWHERE(io, expected, noted)                                                                  \
    do {                                                                                                      \
        FOR_SEEDS(options) {                                                                                  \
            CHECK_STR(simulated(options, (io)), (expected));                                                  \
            CHECK_STR(notes(), (noted));                                                                      \
        }                                                                                                     \
        FOR_WORKERS(workers, 1, 2, 4) {                                                                       \
            CHECK_STR(outcome(workers, (io)), (expected));                                                    \
            CHECK_STR(notes(), (noted));                                                                      \
        }                                                                                                     \
    } while (0)

#endif
