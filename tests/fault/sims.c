/*
 * sims.c - simulations, step by step and by the dozen
 */
#include "fault.h"

#include <coir/sim.h>

/* ------------------------------------------------------------------------------------------------------- step by step */

static void complete_soon(void *env, void *op, coir_callback k)
{
    (void)env;
    (void)op;
    coir_sim_complete(k, coir_ok(coir_stringf("completed")), coir_ms(1), coir_ms(5));
}
static const coir_async_type completed_soon = { .start = complete_soon };

static coir_result opened_and_stepped(coir_sim *sim)
{
    for (int i = 0; i < 3; i++)
        (void)coir_sim_tick_one(sim);
    (void)coir_sim_tick(sim);
    (void)coir_sim_advance(sim, coir_ms(2));
    (void)coir_sim_tick_for(sim, coir_seconds(3600));
    if (coir_sim_state_of(sim) != COIR_SIM_ENDED)
        fault_wrong("the simulation has not ended after an hour");
    coir_result result = coir_sim_close(sim);
    coir_sim_drop(sim);
    return result;
}

static coir_io *sleeper(void) { return coir_as(coir_sleep(coir_minutes(30)), thing(1)); }

FAULT_PROGRAM(stepped, "OK [<OK thing 1> <OK completed> <ERROR thing 2>]")
{
    coir_io *all = waited(COIR_IOS(sleeper(), coir_async(&completed_soon, NULL), coir_fail(thing(2))));
    coir_sim *sim = coir_sim_open(all, COIR_SIM_OPTIONS(.seed = 5, .run = options));
    if (sim != NULL)
        return opened_and_stepped(sim);
    if (errno != ENOMEM)
        fault_wrong("a simulation is refused with errno %d", errno);
    return fault_checked(coir_heap(NULL));
}

FAULT_PROGRAM(closed_early, "PANIC code -1007")
{
    coir_lock *lock = coir_lock_new();
    coir_io *all = waited(COIR_IOS(sleeper(), coir_with_lock(lock, coir_async(&completed_soon, NULL)), coir_with_lock(lock, coir_unit())));
    coir_lock_drop(lock);
    coir_sim *sim = coir_sim_open(coir_finally(all, coir_pure(thing(2))), COIR_SIM_OPTIONS(.seed = 5, .run = options));
    if (sim == NULL)
        return fault_checked(coir_heap(NULL));
    (void)coir_sim_tick(sim);
    coir_result result = coir_sim_close(sim);
    coir_sim_drop(sim);
    return result;
}

/* Written as coir_sim_explore() writes schedules. */
FAULT_PROGRAM(repeated, "OK [thing 1 thing 1]")
{
    static const char schedule[] = "1:1 2:1 3:1 5:1";
    coir_io *io = sleeper(), *again = coir_io_ref(io);
    return coir_sim_run(coir_zip(COIR_IOS(joined(io), joined(again))), COIR_SIM_OPTIONS(.run = options, .schedule = schedule));
}

/* ---------------------------------------------------------------------------------------------------------- exploring */

/* Two fibers add to a number by reading and writing it, and now and then one addition is lost. */
static int number;
static coir_result read_number(void *env)              { (void)env; return coir_ok(coir_int(number)); }
static coir_io *write_more(void *env, coir_value *read) { (void)env; number = (int)read->i64 + 1; return coir_pure(thing(3)); }
static coir_io *add_one(void)                           { return coir_flat_map(coir_defer(read_number, NULL), write_more, NULL); }
static coir_io *two_add(void *env)
{
    number = 0;
    return coir_then(waited(COIR_IOS(add_one(), add_one())), coir_defer(read_number, env));
}

static bool says_no_memory(const coir_result *result)
{
    bool says = strstr(describe(result), "ENOMEM") != NULL;
    if (says)
        fault_told();
    return says;
}
static bool any_number(void *env, const coir_result *result) { (void)env; return says_no_memory(result) || result->tag == COIR_OK; }
static bool never(void *env, const coir_result *result)      { (void)env; return says_no_memory(result); }

static coir_result explored(bool (*check)(void *env, const coir_result *result), coir_explore_options *explore)
{
    static char text[1 << 16];
    coir_explore_figures figures;
    memset(text, 0, sizeof text);
    FILE *report = fmemopen(text, sizeof text - 1, "w");
    if (report == NULL)
        abort();
    explore->figures = &figures;
    bool passes = coir_sim_explore(two_add, check, NULL, explore, report);
    fclose(report);
    if (explore->exhaustive && !figures.complete && figures.runs < explore->runs)
        fault_told();                                   /* what it had no memory for was not searched */
    return coir_ok(coir_bool(passes));
}

FAULT_PROGRAM(explored_by_seeds, "OK 1")
{
    return explored(any_number, &(coir_explore_options){ .runs = 6, .run = options });
}

FAULT_PROGRAM(explored_in_order, "OK 1")
{
    return explored(any_number, &(coir_explore_options){ .exhaustive = true, .runs = 8, .run = options });
}

FAULT_PROGRAM(explored_to_a_failure, "OK 0")
{
    return explored(never, &(coir_explore_options){ .exhaustive = true, .runs = 8, .run = options });
}
