/*
 * explore.c - many schedules of one program, until one fails; then the shortest that does
 *
 * Seeds: run i has its own seed, and a policy, a number of workers and a budget that change so that every combination comes. The moments at
 * which priorities change are drawn from among as many steps as the longest run so far had.
 *
 * Exhaustive: a depth-first search without stored states. Each run repeats the choices of the one before up to the last that still has an
 * alternative, and takes that; choices that pre-empt a fiber whose turn goes on are bounded, since most bugs need few of them.
 *
 * A failing schedule is run again, told as moves, shrunk (shrink.c) and shown.
 */
#include "sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_DEFAULT = 1000, BUDGET_MAX_DEFAULT = 64, STEPS_DEFAULT = 100000, PREEMPTIONS_DEFAULT = 2, WORKERS_SWEPT = 3, SHORTER_TRIALS = 1000,
       LINES_SHOWN = 300 };

/* ------------------------------------------------------------------------------------------------- schedules seen before */

struct seen { uint64_t *hashes; size_t count, room; };

static bool seen_has_room(struct seen *seen)
{
    if (seen->count * 2 < seen->room)
        return true;
    struct seen larger = { .room = seen->room == 0 ? 1024 : seen->room * 4 };
    larger.hashes = coir__alloc(larger.room * sizeof *larger.hashes);
    if (larger.hashes == NULL)
        return false;
    memset(larger.hashes, 0, larger.room * sizeof *larger.hashes);
    for (size_t i = 0; i < seen->room; i++) {
        size_t at = seen->hashes[i] % larger.room;
        while (seen->hashes[i] != 0 && larger.hashes[at] != 0)
            at = (at + 1) % larger.room;
        if (seen->hashes[i] != 0)
            larger.hashes[at] = seen->hashes[i];
    }
    larger.count = seen->count;
    if (seen->room > 0)
        coir__free(seen->hashes, seen->room * sizeof *seen->hashes);
    *seen = larger;
    return true;
}

/* Without memory it is not counted. */
static void seen_add(struct seen *seen, uint64_t hash)
{
    hash += hash == 0;
    if (!seen_has_room(seen))
        return;
    size_t at = hash % seen->room;
    while (seen->hashes[at] != 0 && seen->hashes[at] != hash)
        at = (at + 1) % seen->room;
    seen->count += seen->hashes[at] == 0;
    seen->hashes[at] = hash;
}

static void seen_done(struct seen *seen)
{
    if (seen->room > 0)
        coir__free(seen->hashes, seen->room * sizeof *seen->hashes);
}

/* ------------------------------------------------------------------------------------------------------------ trials */

struct explorer {
    coir_io *(*make)(void *env);
    bool (*check)(void *env, const coir_result *result);
    void *env;
    coir_explore_options options;                       /* completed */
    FILE *report;
    struct seen seen;
    uint64_t steps_longest;                             /* of a run so far */
    coir_explore_figures figures;
};

/* How one run is to be made, beside its options. */
struct trial {
    coir_sim_options options;
    struct chooser   chooser;
    struct schedule *recorded;                          /* the choices made go there; NULL: not wanted */
    const struct schedule *script;                      /* the choices to make; NULL: none given */
    /* What came of it. */
    bool             passed;
    coir_result      result;
    coir_sim_figures figures;
};

static bool no_panic(void *env, const coir_result *result)
{
    (void)env;
    return result->tag != COIR_PANIC;
}

/* What make() makes is numbered as if it were made in the run. */
static coir_io *make_program(const struct explorer *explorer, uint64_t *serials)
{
    coir__me.serials = serials;
    coir_io *io = explorer->make(explorer->env);
    coir__me.serials = NULL;
    return io;
}

/* Runs it; the caller drops trial->result. */
static void trial_run(const struct explorer *explorer, struct trial *trial)
{
    uint64_t serials = 0;
    coir_io *io = make_program(explorer, &serials);
    trial->options.figures = &trial->figures;
    memset(&trial->figures, 0, sizeof trial->figures);
    coir_sim *sim = coir__sim_new(io, &trial->options, &trial->result);
    if (sim != NULL) {
        sim->serials = serials;
        sim->chooser = trial->chooser;
        sim->recorded = trial->recorded;
        sim->scripted = trial->script != NULL;
        if (trial->script != NULL)
            sim->script = *trial->script;               /* lent */
        coir__sim_run_all(sim);
        sim->script = (struct schedule){ 0 };
        trial->result = coir__sim_close(sim);
        coir__sim_free(sim);
    }
    trial->passed = explorer->check(explorer->env, &trial->result);
}

static bool trial_passes(struct explorer *explorer, struct trial *trial)
{
    trial_run(explorer, trial);
    explorer->figures.runs++;
    explorer->figures.unfinished += trial->result.tag == COIR_PANIC && coir_error_code(&trial->result.value) == COIR_STOPPED;
    seen_add(&explorer->seen, trial->figures.hash);
    if (trial->figures.steps > explorer->steps_longest)
        explorer->steps_longest = trial->figures.steps;
    if (trial->passed)
        coir_result_drop(&trial->result);
    return trial->passed;
}

static struct trial trial_of(const struct explorer *explorer)
{
    const coir_explore_options *options = &explorer->options;
    return (struct trial){ .options = { .size = sizeof(coir_sim_options), .steps_max = options->steps_max, .run = options->run,
                                        .foreign_wait = options->foreign_wait, .step_time_max = options->step_time_max } };
}

/* ----------------------------------------------------------------------------------------------------- depth first */

/* A choice on the path that is being searched. */
struct branch { uint32_t count, index; bool pre_empts; };

struct search {
    struct branch *path;
    size_t length, room, at;                            /* at: how far the run at hand has come */
    bool   lost;                                        /* no memory: what lies deeper is not searched */
    bool   spent;                                       /* in some run a budget was spent while others could have gone on */
};

static bool search_has_room(struct search *search)
{
    struct branch *path = coir__grow(search->path, &search->room, search->length + 1, sizeof *path);
    if (path != NULL)
        search->path = path;
    return path != NULL;
}

/* After a turn that is over the next in turn goes on: otherwise a loop that waits by yielding would have no end of schedules. */
static uint32_t search_choose(void *search_, struct coir_sim *sim, struct actors actors)
{
    struct search *search = search_;
    if (turn_is_over(sim->turn)) {
        search->spent = search->spent || sim->turn == TURN_SPENT;
        return 0;
    }
    if (search->at < search->length)
        return search->path[search->at++].index;
    if (!search_has_room(search)) {
        search->lost = true;
        return 0;
    }
    search->path[search->length++] = (struct branch){ .count = actors_count(actors), .index = 0, .pre_empts = sim->turn == TURN_GOES_ON };
    search->at++;
    return 0;
}

static void search_begin(struct search *search)
{
    search->length = search->at = 0;
    search->spent = false;
}

static void search_done(struct search *search)
{
    if (search->room > 0)
        coir__free(search->path, search->room * sizeof *search->path);
}

/* To the next path. False: there is none. */
static bool search_next(struct search *search, size_t preemptions_max)
{
    size_t used = 0;
    for (size_t i = 0; i < search->length; i++)
        used += search->path[i].pre_empts && search->path[i].index > 0;
    for (; search->length > 0; search->length--) {
        struct branch *last = &search->path[search->length - 1];
        bool pre_empted = last->pre_empts && last->index > 0;
        if (last->index + 1 < last->count && (!last->pre_empts || pre_empted || used < preemptions_max)) {
            last->index++;
            search->at = 0;
            return true;
        }
        used -= pre_empted;
    }
    return false;
}

/* ---------------------------------------------------------------------------------------------------------- shrinking */

/* Whether the program still fails, run as `how` says. */
static bool fails(const struct explorer *explorer, const struct trial *how)
{
    struct trial again = *how;
    trial_run(explorer, &again);
    coir_result_drop(&again.result);
    return !again.passed;
}

/* How `failed` is run again with the choices of `script`. */
static struct trial scripted(const struct trial *failed, const struct schedule *script)
{
    struct trial again = *failed;
    again.chooser = (struct chooser){ 0 };
    again.recorded = NULL;
    again.script = script;
    return again;
}

/* How it is run by moves: see shrink.c. */
static struct trial following(const struct trial *failed, struct follower *follower)
{
    struct trial again = scripted(failed, NULL);
    again.options.workers = 1;
    again.options.budget = COIR_BUDGET_NONE;
    again.options.policy = COIR_SIM_PRIORITIES;         /* whoever is ready may go on */
    if (follower != NULL)
        again.chooser = coir__follow(follower);
    return again;
}

struct shrinking { const struct explorer *explorer; const struct trial *failed; };

static bool fails_by_moves(void *shrinking_, struct follower *follower)
{
    const struct shrinking *shrinking = shrinking_;
    struct trial trial = following(shrinking->failed, follower);
    return fails(shrinking->explorer, &trial);
}

/* The moves as choices. False: no memory. */
static bool choices_of(const struct explorer *explorer, const struct trial *failed, struct moves *moves, struct schedule *choices)
{
    struct follower follower = { .moves = moves };
    struct trial trial = following(failed, &follower);
    trial.recorded = choices;
    bool failed_again = fails(explorer, &trial);
    coir__follower_done(&follower);
    return failed_again && !follower.lost && !choices->lost;
}

/* In place of the failed trial and the script that repeats it come shorter ones. False: both stay as they are. */
static bool shrink_once(const struct explorer *explorer, struct trial *failed, struct schedule *script)
{
    struct follower told = { 0 };
    struct moves moves = { 0 };
    struct schedule shortest = { 0 };
    struct shrinking shrinking = { explorer, failed };
    struct trial telling = scripted(failed, script);
    telling.chooser = coir__follow(&told);
    bool shrunk = fails(explorer, &telling) && coir__shrink(&moves, &told, fails_by_moves, &shrinking) &&
                  choices_of(explorer, failed, &moves, &shortest);
    if (shrunk) {
        coir__schedule_done(script);
        *script = shortest;
        *failed = following(failed, NULL);
    } else {
        coir__schedule_done(&shortest);
    }
    coir__moves_done(&moves);
    coir__follower_done(&told);
    return shrunk;
}

/* Into *found, among the first so many schedules, one that fails with fewer pre-emptions than there are choices in *script. */
static bool find_fewer(const struct explorer *explorer, const struct trial *failed, const struct schedule *script, struct schedule *found)
{
    struct search search = { 0 };
    bool good = false;
    unsigned trials = 0;
    for (size_t most = 0; !good && most < script->count && trials < SHORTER_TRIALS; most++) {
        search_begin(&search);
        do {
            struct trial trial = following(failed, NULL);
            trial.chooser = (struct chooser){ search_choose, NULL, &search };
            trial.recorded = found;
            found->count = 0;
            good = fails(explorer, &trial) && !found->lost;
        } while (!good && ++trials < SHORTER_TRIALS && search_next(&search, most));
    }
    search_done(&search);
    return good;
}

/* Shrinks what failed; that may end with more choices than need be, so then shorter ones are looked for from the shortest on. */
static bool shrink(const struct explorer *explorer, struct trial *failed, struct schedule *script)
{
    struct schedule found = { 0 };
    if (!shrink_once(explorer, failed, script))
        return false;
    if (find_fewer(explorer, failed, script, &found) && shrink_once(explorer, failed, &found) && found.count < script->count) {
        struct schedule longer = *script;
        *script = found;
        found = longer;
    }
    coir__schedule_done(&found);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ report */

static const char *const policy_names[] = { "COIR_SIM_RANDOM", "COIR_SIM_PRIORITIES", "COIR_SIM_IN_TURN" };

/* The last lines of a trace, under its title. */
static void print_tail(const char *text, FILE *out)
{
    size_t lines = 0;
    const char *from = text + strlen(text);
    while (from > text && lines <= LINES_SHOWN)
        lines += *--from == '\n';
    if (lines > LINES_SHOWN) {
        coir__trace_title(out);
        fprintf(out, "   ...\n%s", from + 1);
    } else {
        fputs(text, out);
    }
}

/* As somebody would write it who wants to see it again. */
static void print_call(const char *title, const coir_sim_options *options, const struct schedule *script, FILE *out)
{
    fprintf(out, "%s coir_sim_run(make(env), COIR_SIM_OPTIONS(.seed = %" PRIu64 ", .workers = %u, .budget = ", title, options->seed,
            options->workers);
    if (options->budget == COIR_BUDGET_NONE)
        fputs("COIR_BUDGET_NONE", out);
    else
        fprintf(out, "%" PRIu32, options->budget);
    fprintf(out, ", .policy = %s", policy_names[options->policy]);
    if (script == NULL && options->changes_within != 0)
        fprintf(out, ", .changes_within = %" PRIu64, options->changes_within);
    if (options->step_time_max.ns > 0)
        fprintf(out, ", .step_time_max = coir_ns(%" PRId64 ")", options->step_time_max.ns);
    fprintf(out, ", .steps_max = %" PRIu64 "%s", options->steps_max, options->run == NULL ? "" : ", .run = run");
    if (script != NULL) {
        fputs(", .schedule = \"", out);
        coir__schedule_print(script, out);
        fputs("\"", out);
    }
    fputs("))\n", out);
}

/* Runs the script once more, with a trace. */
static void print_trace(const struct explorer *explorer, const struct trial *failed, const struct schedule *script)
{
    struct trial shown = scripted(failed, script);
    char *text = NULL;
    size_t size = 0;
    shown.options.trace = open_memstream(&text, &size);
    trial_run(explorer, &shown);
    if (shown.options.trace != NULL) {
        fclose(shown.options.trace);
        print_tail(text, explorer->report);
        free(text);
    }
    fputs("result: ", explorer->report);
    coir_result_print(&shown.result, explorer->report);
    fputs("\n", explorer->report);
    coir_result_drop(&shown.result);
}

static void report_failure(struct explorer *explorer, struct trial *failed, struct schedule *recorded)
{
    FILE *out = explorer->report;
    struct trial again = scripted(failed, recorded);
    if (failed->figures.foreign == 0)
        again.options.foreign_wait = coir_ns(1);        /* nobody came: so none of the many runs that follow waits for him */
    fprintf(out, "schedule %" PRIu64 " failed: ", explorer->figures.runs);
    coir_result_print(&failed->result, out);
    fprintf(out, "\n(schedules run: %" PRIu64 ", different ones: %zu)\n", explorer->figures.runs, explorer->seen.count);
    if (failed->figures.foreign > 0)
        fprintf(out, "other threads woke fibers %" PRIu64 " times: what they do is in no schedule\n", failed->figures.foreign);
    if (recorded->lost || !fails(explorer, &again)) {
        fprintf(out, "the same schedule did not fail again: the program depends on something outside of the simulation\n");
        return;
    }
    if (!explorer->options.exhaustive)
        print_call("again:   ", &failed->options, NULL, out);
    print_call(shrink(explorer, &again, recorded) ? "shortest:" : "schedule:", &again.options, recorded, out);
    fprintf(out, "(choices that are not the default: %zu)\n\n", recorded->count);
    print_trace(explorer, &again, recorded);
}

static void report_success(const struct explorer *explorer)
{
    const coir_explore_figures *figures = &explorer->figures;
    fprintf(explorer->report, "%" PRIu64 " schedules, %" PRIu64 " of them different, none failed", figures->runs, figures->distinct);
    if (figures->unfinished > 0)
        fprintf(explorer->report, "; %" PRIu64 " had not ended after %" PRIu64 " steps", figures->unfinished, explorer->options.steps_max);
    if (figures->complete)
        fprintf(explorer->report, "; there are no others with at most %u pre-emptions", explorer->options.preemptions_max);
    else if (explorer->options.exhaustive)
        fputs("; that is not all of them", explorer->report);
    fputs("\n", explorer->report);
}

/* Drops the result of the trial that failed. */
static void explore_failed(struct explorer *explorer, struct trial *failed, struct schedule *recorded)
{
    if (explorer->report != NULL)
        report_failure(explorer, failed, recorded);
    coir_result_drop(&failed->result);
}

/* ------------------------------------------------------------------------------------------------------------- seeds */

/* By turns, and one further with each round of the budgets where otherwise each budget would meet the same number always. */
static unsigned workers_of(uint64_t turn, uint32_t budget_max)
{
    return (unsigned)((turn + (budget_max % WORKERS_SWEPT == 0 ? turn / budget_max : 0)) % WORKERS_SWEPT) + 1;
}

static bool explore_seeds(struct explorer *explorer)
{
    const coir_explore_options *options = &explorer->options;
    struct schedule recorded = { 0 };
    bool passes = true;
    for (uint64_t i = 0; passes && i < options->runs; i++) {
        struct trial trial = trial_of(explorer);
        trial.options.seed = options->first_seed + i;
        trial.options.policy = i % 2 == 0 ? COIR_SIM_RANDOM : COIR_SIM_PRIORITIES;
        trial.options.changes_within = explorer->steps_longest;
        trial.options.workers = options->workers != 0 ? options->workers : workers_of(i / 2, options->budget_max);
        trial.options.budget = (uint32_t)(i / 2 % options->budget_max) + 1;
        trial.recorded = &recorded;
        recorded.count = 0;
        passes = trial_passes(explorer, &trial);
        if (!passes)
            explore_failed(explorer, &trial, &recorded);
    }
    coir__schedule_done(&recorded);
    return passes;
}

/* -------------------------------------------------------------------------------------------------------- exhaustively */

/* All schedules with one budget and so many pre-emptions, as far as the number of runs allows. */
static bool search_all(struct explorer *explorer, uint32_t budget, unsigned preemptions_max, struct search *search, struct schedule *recorded)
{
    const coir_explore_options *options = &explorer->options;
    search_begin(search);
    do {
        if (explorer->figures.runs == options->runs) {
            explorer->figures.complete = false;
            return true;
        }
        struct trial trial = trial_of(explorer);
        trial.options.seed = options->first_seed;
        trial.options.workers = 1;
        trial.options.budget = budget;
        trial.options.policy = COIR_SIM_PRIORITIES;     /* repeated as by priority: whoever is ready may go on */
        trial.chooser = (struct chooser){ search_choose, NULL, search };
        trial.recorded = recorded;
        recorded->count = 0;
        if (!trial_passes(explorer, &trial)) {
            explore_failed(explorer, &trial, recorded);
            return false;
        }
    } while (search_next(search, preemptions_max));
    return true;
}

/* Without a budget first, from no pre-emption on, so that what is found first has the fewest (Musuvathi and Qadeer); that costs little, because
 * those with one more are many more. Then with each budget, until one is so large that nobody spends it. */
static bool explore_all(struct explorer *explorer)
{
    struct search search = { 0 };
    struct schedule recorded = { 0 };
    coir_explore_figures *figures = &explorer->figures;
    const unsigned preemptions_max = explorer->options.preemptions_max;
    bool passes = true;
    figures->complete = true;
    for (unsigned most = 0; passes && figures->complete && most <= preemptions_max; most++)
        passes = search_all(explorer, COIR_BUDGET_NONE, most, &search, &recorded);
    search.spent = true;
    for (uint32_t budget = 1; passes && figures->complete && search.spent && budget <= explorer->options.budget_max; budget++)
        passes = search_all(explorer, budget, preemptions_max, &search, &recorded);
    figures->complete = figures->complete && passes && !search.lost;
    search_done(&search);
    coir__schedule_done(&recorded);
    return passes;
}

/* ----------------------------------------------------------------------------------------------------------- explore */

static const char *complete_explore_options(const coir_explore_options *given, coir_explore_options *complete)
{
    static const coir_explore_options defaults;
    *complete = given == NULL ? defaults : *given;
    if (complete->size != 0 && complete->size != sizeof *complete)
        return "options.size is of another version";
    if (complete->workers > COIR_WORKERS_MAX)
        return "options.workers is more than COIR_WORKERS_MAX";
    if (complete->budget_max == COIR_BUDGET_NONE)
        return "options.budget_max is no budget";
    if (complete->foreign_wait.ns < 0)
        return "options.foreign_wait is negative";
    if (complete->step_time_max.ns < 0)
        return "options.step_time_max is negative";
    if (complete->run != NULL && coir__options_bad(complete->run) != NULL)
        return coir__options_bad(complete->run);
    if (complete->runs == 0)
        complete->runs = RUNS_DEFAULT;
    if (complete->budget_max == 0)
        complete->budget_max = BUDGET_MAX_DEFAULT;
    if (complete->steps_max == 0)
        complete->steps_max = STEPS_DEFAULT;
    if (complete->preemptions_max == 0)
        complete->preemptions_max = PREEMPTIONS_DEFAULT;
    return NULL;
}

/* Why not, with errno set; NULL if it can. */
static const char *why_not(coir_io *(*make)(void *), const coir_explore_options *given, coir_explore_options *complete)
{
    errno = EDEADLK;
    if (coir__me.seat != NULL || coir__me.in_hook > 0)
        return "called from a callback";
    errno = EINVAL;
    return make == NULL ? "make is NULL" : complete_explore_options(given, complete);
}

bool coir_sim_explore(coir_io *(*make)(void *env), bool (*check)(void *env, const coir_result *result), void *env,
                      const coir_explore_options *options, FILE *report)
{
    struct explorer explorer = { .make = make, .check = check == NULL ? no_panic : check, .env = env, .report = report };
    const char *bad = why_not(make, options, &explorer.options);
    if (bad != NULL) {
        int why = errno;
        if (report != NULL)
            fprintf(report, "coir_sim_explore: %s\n", bad);
        errno = why;
        return false;
    }
    bool passes = explorer.options.exhaustive ? explore_all(&explorer) : explore_seeds(&explorer);
    explorer.figures.distinct = explorer.seen.count;
    if (passes && report != NULL)
        report_success(&explorer);
    if (explorer.options.figures != NULL)
        *explorer.options.figures = explorer.figures;
    seen_done(&explorer.seen);
    return passes;
}
