/*
 * simulate.c - the tests as simulations, for `make explore`: rounds, and what coir_run() is in them
 *
 * A round of a test has a seed and a budget. Each of its runs is a simulation under a seed of its own, which comes from the round's and the number
 * of the run, and says the policy too, and how many workers, where the test does not. The budget is the round's, where the test asks for none. So
 * a round can be repeated, as long as no other thread takes part; those that do are counted, and mentioned with the failure.
 */
#include "check/runner.h"

#include "base/clock.h"
#include "base/random.h"
#include "sim/sim.h"

#include <inttypes.h>
#include <stdatomic.h>

#undef coir_run

enum { BUDGETS = 64 };

struct round { uint64_t seed; uint32_t budget; };

static struct round present, only;                      /* only: of -r; budget 0: all */
static uint64_t seeds = 1;                              /* for each budget */
static char again[500];
static atomic_uint_fast64_t draws, runs, foreign;       /* of the present round; a test may simulate in several threads */
static struct { uint64_t tests, rounds; atomic_uint_fast64_t runs, steps; } sum;

/* ------------------------------------------------------------------------------------------------------------ rounds */

static bool round_passes(const struct check_test *test, struct round round, const char *program, const char *name)
{
    present = round;
    atomic_store(&draws, 0);
    atomic_store(&runs, 0);
    atomic_store(&foreign, 0);
    snprintf(again, sizeof again, "%s -r %" PRIu64 ":%" PRIu32 " =%s", program, round.seed, round.budget, name);
    bool passes = check_passes_once(test);
    if (!passes)
        fprintf(stderr, "again: %s%s\n", again, atomic_load(&foreign) > 0 ? "    (other threads took part, so it need not fail again)" : "");
    again[0] = '\0';
    sum.rounds += atomic_load(&runs) > 0;
    return passes;
}

/* What simulates nothing is the same in each round. */
bool check_rounds_pass(const struct check_test *test, const char *program, const char *name)
{
    bool passes = true;
    if (only.budget > 0)
        passes = round_passes(test, only, program, name);
    else
        for (uint64_t i = 0; passes && i < seeds * BUDGETS && (i == 0 || atomic_load(&runs) > 0); i++)
            passes = round_passes(test, (struct round){ i, (uint32_t)(i % BUDGETS) + 1 }, program, name);
    sum.tests += atomic_load(&runs) > 0;
    return passes;
}

const char *check_left_out(const struct check_test *test) { return test->real_for; }
const char *check_round_again(void)                       { return again; }

bool check_rounds_option(int option, const char *argument)
{
    char rest;
    if (option == 's')
        return sscanf(argument, "%" SCNu64 "%c", &seeds, &rest) == 1 && seeds > 0;
    return sscanf(argument, "%" SCNu64 ":%" SCNu32 "%c", &only.seed, &only.budget, &rest) == 2 && only.budget > 0;
}

void check_rounds_sum(void)
{
    printf("simulated: %" PRIu64 " tests, in %" PRIu64 " rounds, with %" PRIuFAST64 " runs of %" PRIuFAST64 " steps altogether\n", sum.tests,
           sum.rounds, atomic_load(&sum.runs), atomic_load(&sum.steps));
}

/* -------------------------------------------------------------------------------------------------- what tests ask for */

static uint64_t mixed(uint64_t a, uint64_t b)
{
    struct random random = { .state = a * UINT64_C(0xd1342543de82ef95) + b };
    return random_next(&random);
}

uint32_t check_budget_(void) { return present.budget; }

unsigned check_draw_(size_t count)
{
    struct random random = { .state = mixed(present.seed, atomic_fetch_add(&draws, 1)) };
    return random_below(&random, (uint32_t)count);
}

int64_t check_clock_(clockid_t clock)
{
    const struct coir_sim *sim = coir__sim_of_thread();
    if (sim == NULL)
        return clock == CLOCK_MONOTONIC ? clock_monotonic() : clock_epoch();
    return clock == CLOCK_MONOTONIC ? sim->now : ns_add(sim->now, sim->epoch);
}

/* Other threads are waited for as long as a real run would, near enough: a test that has them makes sure that they come. */
coir_result check_run_(coir_io *io, const coir_options *options)
{
    uint64_t seed = mixed(~present.seed, atomic_fetch_add(&runs, 1));
    struct random random = { .state = seed };
    coir_sim_figures figures = { 0 };
    coir_sim_options simulated = { .size = sizeof simulated, .seed = seed, .run = options, .foreign_wait = coir_seconds(60), .figures = &figures };
    simulated.policy = random_below(&random, 2) == 0 ? COIR_SIM_RANDOM : COIR_SIM_PRIORITIES;
    simulated.changes_within = UINT64_C(16) << random_below(&random, 10);
    if (random_below(&random, 2) == 0)
        simulated.step_time_max = coir_ns(100);         /* so that a sleep of a millisecond still outlasts what the others do */
    if (options == NULL || options->workers == 0)
        simulated.workers = 1 + random_below(&random, 3);
    if (options == NULL || options->budget == 0)
        simulated.budget = present.budget;
    coir_result result = coir_sim_run(io, &simulated);
    atomic_fetch_add(&foreign, figures.foreign);
    atomic_fetch_add(&sum.runs, 1);
    atomic_fetch_add(&sum.steps, figures.steps);
    return result;
}
