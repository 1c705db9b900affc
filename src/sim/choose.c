/*
 * choose.c - who makes the next step: the policies, and schedules as text
 *
 * A choice is a number below the count of actors; 0, the default, makes no pre-emption: so the choices that are not 0 are the whole schedule, and
 * what has few of them is easy to read.
 *
 * COIR_SIM_PRIORITIES is Burckhardt's scheduler: each fiber draws a priority when it is first seen, the highest goes on, and at a few random
 * steps the one that is about to go on is put below all others. A bug that needs d orderings among n fibers is met with a probability of at
 * least 1 / (n k^(d-1)), k being `changes_within`. Who yields, or has spent its budget, is put below all others as well: a fiber that waits by
 * yielding in a loop would keep the others out for ever. So would two that wake each other in a loop: therefore the one that is about to go on is
 * put below all others once in FAIR_STEPS, too, which shorter programs never see.
 */
#include "sim/sim.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* -------------------------------------------------------------------------------------------------------- priorities */

enum { NEVER_LOWERED = 0, FAIR_STEPS = 2000 };
#define DRAWN UINT64_C(0x8000000000000000)              /* drawn priorities are above it, lowered ones below */

static uint64_t mixed(uint64_t a, uint64_t b)
{
    struct random random = { .state = a ^ b * UINT64_C(0xd1342543de82ef95) };
    return random_next(&random);
}

/* Without memory it stays where it is: another schedule than the seed says, and steps_max ends it if need be. */
static void lower(struct coir_sim *sim, uint64_t id)
{
    struct priorities *priorities = &sim->priorities;
    uint64_t *lowered = coir__grow(priorities->lowered, &priorities->room, id + 1, sizeof *lowered);
    if (lowered == NULL)
        return;
    lowered[id] = priorities->lowest--;
    priorities->lowered = lowered;
}

static uint64_t priority_of(const struct coir_sim *sim, const coir_fiber *fiber)
{
    const struct priorities *priorities = &sim->priorities;
    if (fiber->id < priorities->room && priorities->lowered[fiber->id] != NEVER_LOWERED)
        return priorities->lowered[fiber->id];
    return mixed(sim->options.seed, fiber->id) | DRAWN;
}

static uint64_t priority_of_completion(const struct coir_sim *sim, uint32_t index)
{
    return mixed(~sim->options.seed, sim->points + index) | DRAWN;              /* drawn anew each time: foreign threads come when they come */
}

struct best { uint64_t priority; uint32_t index; coir_fiber *fiber; };

static void consider(struct best *best, uint64_t priority, uint32_t index, coir_fiber *fiber)
{
    if (priority > best->priority)
        *best = (struct best){ priority, index, fiber };
}

static struct best highest(struct coir_sim *sim, struct actors actors)
{
    struct best best = { 0, 0, NULL };
    uint32_t index = 0;
    for (; index < actors.due_first; index++)
        consider(&best, priority_of_completion(sim, index), index, NULL);
    for (uint32_t i = 0; i < actors.working; i++, index++) {
        coir_fiber *fiber = coir__sim_working_at(sim, i);
        consider(&best, priority_of(sim, fiber), index, fiber);
    }
    coir_fiber *fiber = sim->ready_first;
    for (uint32_t i = 0; i < actors.ready; i++, index++, fiber = fiber->next)
        consider(&best, priority_of(sim, fiber), index, fiber);
    for (uint32_t i = 0; i < actors.due; i++, index++)
        consider(&best, priority_of_completion(sim, index), index, NULL);
    return best;
}

static uint32_t choose_by_priority(struct coir_sim *sim, struct actors actors)
{
    struct priorities *priorities = &sim->priorities;
    struct best best = highest(sim, actors);
    bool changed = sim->steps >= priorities->fair_at;
    if (changed)
        priorities->fair_at = sim->steps + FAIR_STEPS;
    for (unsigned i = 0; i < priorities->changes; i++)
        if (priorities->changes_at[i] <= sim->steps) {
            priorities->changes_at[i] = priorities->changes_at[--priorities->changes];
            changed = true;
            break;
        }
    if (!changed || best.fiber == NULL)
        return best.index;
    lower(sim, best.fiber->id);
    return highest(sim, actors).index;
}

void coir__choose_turned(struct coir_sim *sim, const coir_fiber *fiber)
{
    if (sim->options.policy == COIR_SIM_PRIORITIES)
        lower(sim, fiber->id);
}

/* ----------------------------------------------------------------------------------------------------------- choices */

void coir__choose_begin(struct coir_sim *sim)
{
    struct priorities *priorities = &sim->priorities;
    priorities->lowest = DRAWN - 1;
    priorities->fair_at = FAIR_STEPS;
    sim->pre_empts = sim->options.policy == COIR_SIM_PRIORITIES;
    if (sim->options.policy != COIR_SIM_PRIORITIES)
        return;
    priorities->changes = sim->options.changes;
    for (unsigned i = 0; i < priorities->changes; i++)
        priorities->changes_at[i] = random_next(&sim->choosing) % sim->options.changes_within;
}

void coir__choose_done(struct coir_sim *sim)
{
    if (sim->priorities.room > 0)
        coir__free(sim->priorities.lowered, sim->priorities.room * sizeof *sim->priorities.lowered);
}

/* A repetition: what the script does not name is the default. */
static uint32_t choose_by_script(struct coir_sim *sim)
{
    const struct schedule *script = &sim->script;
    if (sim->script_at == script->count || script->choices[sim->script_at].point != sim->points)
        return 0;
    return script->choices[sim->script_at++].index;
}

static uint32_t choose_by_policy(struct coir_sim *sim, struct actors actors)
{
    switch (sim->options.policy) {
    case COIR_SIM_RANDOM:
        return random_below(&sim->choosing, actors_count(actors));
    case COIR_SIM_PRIORITIES:
        return choose_by_priority(sim, actors);
    case COIR_SIM_IN_TURN:
        return 0;
    }
    unreachable();
}

uint32_t coir__choose(struct coir_sim *sim, struct actors actors)
{
    uint32_t count = actors_count(actors), index;
    if (sim->scripted)
        index = choose_by_script(sim);
    else if (sim->chooser.choose != NULL)
        index = sim->chooser.choose(sim->chooser.env, sim, actors);
    else
        index = choose_by_policy(sim, actors);
    if (index >= count)
        index = 0;                                      /* of a script for another program */
    if (sim->recorded != NULL && index > 0)
        coir__schedule_add(sim->recorded, sim->points, index);
    sim->points++;
    return index;
}

/* ------------------------------------------------------------------------------------------------- schedules as text */

void coir__schedule_add(struct schedule *schedule, uint64_t point, uint32_t index)
{
    struct choice *choices = coir__grow(schedule->choices, &schedule->room, schedule->count + 1, sizeof *choices);
    if (choices == NULL) {
        schedule->lost = true;
        return;
    }
    choices[schedule->count++] = (struct choice){ point, index };
    schedule->choices = choices;
}

void coir__schedule_done(struct schedule *schedule)
{
    if (schedule->room > 0)
        coir__free(schedule->choices, schedule->room * sizeof *schedule->choices);
    *schedule = (struct schedule){ 0 };
}

/* A number without sign or blank before it. */
static bool read_number(const char **text, char end, uint64_t *number)
{
    char *after;
    if (!isdigit((unsigned char)**text))
        return false;
    errno = 0;
    *number = strtoull(*text, &after, 10);
    if (errno != 0 || (*after != end && !(end == ' ' && *after == '\0')))
        return false;
    *text = *after == '\0' ? after : after + 1;
    return true;
}

bool coir__schedule_read(struct schedule *schedule, const char *text)
{
    uint64_t point, index;
    *schedule = (struct schedule){ 0 };
    while (*text != '\0' && !schedule->lost) {
        bool good = read_number(&text, ':', &point) && read_number(&text, ' ', &index) && index > 0 && index <= UINT32_MAX &&
                    (schedule->count == 0 || point > schedule->choices[schedule->count - 1].point);
        if (!good) {
            coir__schedule_done(schedule);
            errno = EINVAL;
            return false;
        }
        coir__schedule_add(schedule, point, (uint32_t)index);
    }
    if (!schedule->lost)
        return true;
    coir__schedule_done(schedule);
    errno = ENOMEM;
    return false;
}

void coir__schedule_print(const struct schedule *schedule, FILE *out)
{
    for (size_t i = 0; i < schedule->count; i++)
        fprintf(out, "%s%" PRIu64 ":%" PRIu32, i == 0 ? "" : " ", schedule->choices[i].point, schedule->choices[i].index);
}
