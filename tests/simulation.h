/*
 * simulation.h - what tests of simulations share: a run as text, its trace, programs that race
 */
#ifndef SIMULATION_H
#define SIMULATION_H

#include "fibers.h"

static inline const char *simulated(coir_io *io, const coir_sim_options *options)
{
    coir_result result = coir_sim_run(io, options);
    const char *text = describe(&result);
    coir_result_drop(&result);
    return text;
}

/* simulated_message: what the failure says; "" where that is no coir_error. */
static inline const char *simulated_message(coir_io *io, const coir_sim_options *options)
{
    char *text = scratch();
    coir_result result = coir_sim_run(io, options);
    snprintf(text, SCRATCH_SIZE, "%s", result.tag == COIR_OK ? "(no failure)" : coir_error_message(&result.value));
    coir_result_drop(&result);
    return text;
}

/* A text that is written to as a FILE. */
struct pad { char *text; size_t size; FILE *out; };
static inline struct pad *pad_open(struct pad *pad)
{
    pad->out = open_memstream(&pad->text, &pad->size);
    if (pad->out == NULL)
        abort();
    return pad;
}
static inline const char *pad_text(struct pad *pad)
{
    if (pad->out != NULL)
        fclose(pad->out);
    pad->out = NULL;
    return pad->text;
}
static inline void pad_close(struct pad *pad)
{
    pad_text(pad);
    free(pad->text);
}

/* ---------------------------------------------------------------------------------------------- programs that race */

/* Two fibers, each of which reads, and writes one more in a later step. */
struct shared_count { int count; };
static coir_result read_count(void *count)                { return coir_ok(coir_int(((struct shared_count *)count)->count)); }
static coir_io *write_more(void *count, coir_value *read) { ((struct shared_count *)count)->count = (int)read->i64 + 1; return coir_unit(); }
static inline coir_io *one_more(struct shared_count *count) { return coir_flat_map(coir_defer(read_count, count), write_more, count); }
static inline coir_io *two_add(void *count_)
{
    struct shared_count *count = count_;
    count->count = 0;
    coir_io *both[] = { coir_named(one_more(count), "left"), coir_named(one_more(count), "right") };
    return coir_then(waited(2, both), coir_defer(read_count, count));
}
static inline bool count_is_two(void *env, const coir_result *result)
{
    (void)env;
    return result->tag == COIR_OK && result->value.i64 == 2;
}

/* all_ok: that the list of boxed results of a wait holds successes alone. */
static inline bool all_ok(void *env, const coir_result *result)
{
    (void)env;
    return result->tag == COIR_OK && how_many_are(&result->value, COIR_OK) == (int)coir_list_size(&result->value);
}

/* What an exploration printed, made into options: the line that begins with `title`. The schedule, if it has one, goes into the buffer. */
static inline coir_sim_options options_printed(const char *report, const char *title, char *schedule, size_t size)
{
    static const char *const policies[] = { "COIR_SIM_RANDOM", "COIR_SIM_PRIORITIES", "COIR_SIM_IN_TURN" };
    coir_sim_options options = { .size = sizeof options, .budget = COIR_BUDGET_NONE };
    unsigned long long seed = 0, steps = 0, within = 0;
    char policy[40] = "";
    const char *at = strstr(report, title), *end = at == NULL ? NULL : strchr(at, '\n');
    CHECK(end != NULL);
    char *line = strndup(at, (size_t)(end - at));
    CHECK_INT(sscanf(strstr(line, ".seed"), ".seed = %llu, .workers = %u", &seed, &options.workers), 2);
    (void)sscanf(strstr(line, ".budget"), ".budget = %u", &options.budget);
    CHECK_INT(sscanf(strstr(line, ".policy"), ".policy = %39[A-Z_]", policy), 1);
    CHECK_INT(sscanf(strstr(line, ".steps_max"), ".steps_max = %llu", &steps), 1);
    if (strstr(line, ".changes_within") != NULL)
        CHECK_INT(sscanf(strstr(line, ".changes_within"), ".changes_within = %llu", &within), 1);
    long long step_time = 0;
    if (strstr(line, ".step_time_max") != NULL)
        CHECK_INT(sscanf(strstr(line, ".step_time_max"), ".step_time_max = coir_ns(%lld)", &step_time), 1);
    options.step_time_max = coir_ns(step_time);
    options.seed = seed;
    options.steps_max = steps;
    options.changes_within = within;
    while (strcmp(policies[options.policy], policy) != 0)
        options.policy++;
    const char *choices = strstr(line, ".schedule = \"");
    if (choices != NULL) {
        snprintf(schedule, size, "%s", choices + strlen(".schedule = \""));
        *strchr(schedule, '"') = '\0';
        options.schedule = schedule;
    }
    free(line);
    return options;
}

#endif
