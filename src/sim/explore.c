/*
 * explore.c - many schedules of one program, until one fails; then the shortest that does
 *
 * Seeds: run i has its own seed and, so that every combination comes, a policy, a number of workers and a budget whose periods have no common
 * divisor. Exhaustive: a depth-first search without stored states. Each run repeats the choices of the one before up to the last that still
 * has an alternative, and takes that; choices that pre-empt a fiber whose turn goes on are bounded, since most bugs need few of them.
 *
 * A failing schedule is made shorter by leaving choices out, halves first, as long as it still fails (Zeller's delta debugging).
 */
#include "sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_DEFAULT = 1000, BUDGET_MAX_DEFAULT = 64, STEPS_DEFAULT = 100000, PREEMPTIONS_DEFAULT = 2, SHRINK_TRIALS = 500, LINES_SHOWN = 300 };

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
    coir_explore_figures figures;
};

/* How one run is to be made, beside its options. */
struct trial {
    coir_sim_options options;
    struct chooser   chooser;
    struct schedule *recorded;                          /* the choices made go there; NULL: not wanted */
    const struct schedule *script;                      /* the choices to make; NULL: none given */
    bool             pre_empts;
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

/* Runs it; the caller drops trial->result. */
static void trial_run(const struct explorer *explorer, struct trial *trial)
{
    coir_io *io = explorer->make(explorer->env);
    trial->options.figures = &trial->figures;
    memset(&trial->figures, 0, sizeof trial->figures);
    coir_sim *sim = coir__sim_new(io, &trial->options, &trial->result);
    if (sim != NULL) {
        sim->chooser = trial->chooser;
        sim->recorded = trial->recorded;
        sim->pre_empts = sim->pre_empts || trial->pre_empts;
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
    if (trial->passed)
        coir_result_drop(&trial->result);
    return trial->passed;
}

static struct trial trial_of(const struct explorer *explorer)
{
    const coir_explore_options *options = &explorer->options;
    return (struct trial){ .options = { .size = sizeof(coir_sim_options), .steps_max = options->steps_max, .run = options->run,
                                        .foreign_wait = options->foreign_wait } };
}

/* ---------------------------------------------------------------------------------------------------------- shrinking */

/* Whether the program still fails with the choices of `script`. */
static bool still_fails(const struct explorer *explorer, const struct trial *failed, const struct schedule *script)
{
    struct trial again = *failed;
    again.chooser.choose = NULL;
    again.recorded = NULL;
    again.script = script;
    trial_run(explorer, &again);
    coir_result_drop(&again.result);
    return !again.passed;
}

static void leave_out(struct schedule *to, const struct schedule *from, size_t start, size_t count)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++)
        if (i < start || i >= start + count)
            to->choices[to->count++] = from->choices[i];
}

/* Leaves out of `script` what it can do without. False: no memory for a second one; the script stays as it is. */
static bool shrink(const struct explorer *explorer, const struct trial *failed, struct schedule *script)
{
    struct schedule shorter = { .room = script->count };
    size_t trials = 0;
    if (script->count == 0)
        return true;
    shorter.choices = coir__alloc(shorter.room * sizeof *shorter.choices);
    if (shorter.choices == NULL)
        return false;
    for (size_t size = script->count; size > 0; size /= 2)
        for (size_t start = 0; start < script->count && trials < SHRINK_TRIALS; trials++) {
            leave_out(&shorter, script, start, size);
            if (!still_fails(explorer, failed, &shorter)) {
                start += size;
                continue;
            }
            script->count = shorter.count;
            memcpy(script->choices, shorter.choices, shorter.count * sizeof *shorter.choices);
        }
    coir__schedule_done(&shorter);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ report */

static const char *const policy_names[] = { "COIR_SIM_RANDOM", "COIR_SIM_PRIORITIES", "COIR_SIM_IN_TURN" };

/* The last lines of a text. */
static void print_tail(const char *text, FILE *out)
{
    size_t lines = 0;
    const char *from = text + strlen(text);
    while (from > text && lines <= LINES_SHOWN)
        lines += *--from == '\n';
    if (lines > LINES_SHOWN)
        fprintf(out, "   ...\n%s", from + 1);
    else
        fputs(text, out);
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
    fprintf(out, ", .policy = %s, .steps_max = %" PRIu64, policy_names[options->policy], options->steps_max);
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
    struct trial shown = *failed;
    char *text = NULL;
    size_t size = 0;
    shown.chooser.choose = NULL;
    shown.recorded = NULL;
    shown.script = script;
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

static void report_failure(struct explorer *explorer, const struct trial *failed, struct schedule *recorded)
{
    FILE *out = explorer->report;
    size_t before = recorded->count;
    fprintf(out, "schedule %" PRIu64 " failed: ", explorer->figures.runs);
    coir_result_print(&failed->result, out);
    fprintf(out, "\n(%" PRIu64 " schedules were run, %zu of them different)\n", explorer->figures.runs, explorer->seen.count);
    if (failed->figures.foreign > 0)
        fprintf(out, "other threads woke fibers %" PRIu64 " times: what they do is in no schedule\n", failed->figures.foreign);
    if (recorded->lost || !still_fails(explorer, failed, recorded)) {
        fprintf(out, "the same schedule did not fail again: the program depends on something outside of the simulation\n");
        return;
    }
    if (!explorer->options.exhaustive)
        print_call("again:   ", &failed->options, NULL, out);
    (void)shrink(explorer, failed, recorded);
    print_call("shortest:", &failed->options, recorded, out);
    fprintf(out, "(%zu choices in place of %zu)\n\n", recorded->count, before);
    print_trace(explorer, failed, recorded);
}

/* Drops the result of the trial that failed. */
static void explore_failed(struct explorer *explorer, struct trial *failed, struct schedule *recorded)
{
    if (explorer->report != NULL)
        report_failure(explorer, failed, recorded);
    coir_result_drop(&failed->result);
}

/* ------------------------------------------------------------------------------------------------------------- seeds */

static bool explore_seeds(struct explorer *explorer)
{
    const coir_explore_options *options = &explorer->options;
    struct schedule recorded = { 0 };
    bool passes = true;
    for (uint64_t i = 0; passes && i < options->runs; i++) {
        struct trial trial = trial_of(explorer);
        trial.options.seed = options->first_seed + i;
        trial.options.policy = i % 2 == 0 ? COIR_SIM_RANDOM : COIR_SIM_PRIORITIES;
        trial.options.workers = options->workers != 0 ? options->workers : (unsigned)(i / 2 % 3) + 1;
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

/* A choice on the path that is being searched. */
struct branch { uint32_t count, index; bool pre_empts; };

struct search {
    struct branch *path;
    size_t length, room, at;                            /* at: how far the run at hand has come */
    bool   lost;                                        /* no memory: what lies deeper is not searched */
    bool   turned;                                      /* in some run a budget was spent, or a fiber yielded */
};

static bool search_has_room(struct search *search)
{
    if (search->length < search->room)
        return true;
    size_t room = search->room == 0 ? 256 : search->room * 2;
    struct branch *path = coir__alloc(room * sizeof *path);
    if (path == NULL)
        return false;
    if (search->room > 0) {
        memcpy(path, search->path, search->room * sizeof *path);
        coir__free(search->path, search->room * sizeof *path);
    }
    search->path = path;
    search->room = room;
    return true;
}

/* After a turn that is over the next in turn goes on: otherwise a loop that waits by yielding would have no end of schedules. */
static uint32_t search_choose(void *search_, struct coir_sim *sim, uint32_t count)
{
    struct search *search = search_;
    if (sim->turn == TURN_IS_OVER) {
        search->turned = true;
        return 0;
    }
    if (search->at < search->length)
        return search->path[search->at++].index;
    if (!search_has_room(search)) {
        search->lost = true;
        return 0;
    }
    search->path[search->length++] = (struct branch){ .count = count, .index = 0, .pre_empts = sim->turn == TURN_GOES_ON };
    search->at++;
    return 0;
}

/* To the next path. False: there is none. */
static bool search_next(struct search *search, unsigned preemptions_max)
{
    unsigned used = 0;
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

/* All schedules with one budget, as far as the number of runs allows. */
static bool search_budget(struct explorer *explorer, uint32_t budget, struct search *search, struct schedule *recorded)
{
    const coir_explore_options *options = &explorer->options;
    search->length = search->at = 0;
    search->turned = false;
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
        trial.chooser = (struct chooser){ search_choose, search };
        trial.recorded = recorded;
        recorded->count = 0;
        if (!trial_passes(explorer, &trial)) {
            explore_failed(explorer, &trial, recorded);
            return false;
        }
    } while (search_next(search, options->preemptions_max));
    return true;
}

/* Without a budget first; then each, until one is so large that nobody spends it. */
static bool explore_all(struct explorer *explorer)
{
    struct search search = { 0 };
    struct schedule recorded = { 0 };
    explorer->figures.complete = true;
    bool passes = search_budget(explorer, COIR_BUDGET_NONE, &search, &recorded);
    for (uint32_t budget = 1; passes && budget <= explorer->options.budget_max && explorer->figures.complete; budget++) {
        passes = search_budget(explorer, budget, &search, &recorded);
        if (!search.turned)
            break;
    }
    explorer->figures.complete = explorer->figures.complete && passes && !search.lost;
    if (search.room > 0)
        coir__free(search.path, search.room * sizeof *search.path);
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
    if (complete->foreign_wait.ns < 0)
        return "options.foreign_wait is negative";
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

static const char *why_not(coir_io *(*make)(void *), const coir_explore_options *given, coir_explore_options *complete)
{
    if (make == NULL)
        return "make is NULL";
    if (coir__me.seat != NULL || coir__me.in_hook > 0)
        return "called from a callback";
    return complete_explore_options(given, complete);
}

bool coir_sim_explore(coir_io *(*make)(void *env), bool (*check)(void *env, const coir_result *result), void *env,
                      const coir_explore_options *options, FILE *report)
{
    struct explorer explorer = { .make = make, .check = check == NULL ? no_panic : check, .env = env, .report = report };
    const char *bad = why_not(make, options, &explorer.options);
    if (bad != NULL) {
        if (report != NULL)
            fprintf(report, "coir_sim_explore: %s\n", bad);
        return false;
    }
    bool passes = explorer.options.exhaustive ? explore_all(&explorer) : explore_seeds(&explorer);
    explorer.figures.distinct = explorer.seen.count;
    if (passes && report != NULL)
        fprintf(report, "%" PRIu64 " schedules, %" PRIu64 " of them different, none failed\n", explorer.figures.runs, explorer.figures.distinct);
    if (explorer.options.figures != NULL)
        *explorer.options.figures = explorer.figures;
    seen_done(&explorer.seen);
    return passes;
}
