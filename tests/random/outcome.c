/*
 * outcome.c - what a whole random program may come to, as a text
 *
 * Where it is not determined what happens next the evaluator asks model_choose(). One walk over the program follows one list of choices, the
 * first of which are given; further ones are 0. So all outcomes are walked through, the last choice changing first, until one is what a run gave. Each fiber's
 * notes are compared while they are written, and a walk ends where they differ: what happened to a fiber is mostly found out before the
 * next one is looked at, and a choice that had no part in the difference is not made anew.
 */
#include "random/evaluate.h"

struct random_tally random_tally;
const char *const random_events[EVENTS] = {
#define E(name, shown) [EVENT_##name] = shown,
    RANDOM_EVENTS(E)
#undef E
};

/* -------------------------------------------------------------------------------------------- which fibers have to do with each other */

/* Fibers of all the walks over a program, by their names. */
enum { NUMBERS_MAX = 384, NAME_SIZE = 64 };
static struct { unsigned count; char names[NUMBERS_MAX][NAME_SIZE]; } numbers;

unsigned model_number(const char *name)
{
    for (unsigned i = 0; i < numbers.count; i++)
        if (strcmp(numbers.names[i], name) == 0)
            return i;
    if (numbers.count < NUMBERS_MAX)
        snprintf(numbers.names[numbers.count++], NAME_SIZE, "%s", name);
    return numbers.count - 1;
}

/* The one is the other, forked it, or was forked by it, however deep. */
static bool are_related(unsigned a, unsigned b)
{
    const char *first = numbers.names[a], *second = numbers.names[b];
    size_t size = strlen(first) < strlen(second) ? strlen(first) : strlen(second);
    return strncmp(first, second, size) == 0 && strchr(".", first[size]) != NULL && strchr(".", second[size]) != NULL;
}

/* Fibers in which something came to what cannot have been. What others chose had no part in it, unless they have to do with one of these. */
struct conflict { bool is_everything, is_second_run; uint64_t fibers[NUMBERS_MAX / 64]; };

static void add_fiber_to(struct conflict *conflict, unsigned fiber) { conflict->fibers[fiber / 64] |= UINT64_C(1) << fiber % 64; }

static void add_conflict(struct conflict *conflict, const struct conflict *other)
{
    conflict->is_everything |= other->is_everything;
    conflict->is_second_run |= other->is_second_run;
    for (size_t i = 0; i < NUMBERS_MAX / 64; i++)
        conflict->fibers[i] |= other->fibers[i];
}

static bool has_part(const struct conflict *conflict, unsigned fiber)
{
    bool has = conflict->is_everything;
    for (unsigned i = 0; i < numbers.count && !has; i++)
        has = (conflict->fibers[i / 64] >> i % 64 & 1) != 0 && are_related(i, fiber);
    return has;
}

/* ------------------------------------------------------------------------------------------------------------- choices */

enum { CHOICES_MAX = 10000, WALKS_MAX = 1500 };
struct choice { unsigned taken, count, fiber; bool is_second_run, is_settled; struct conflict conflict; };

static struct {
    unsigned count, at;
    bool     are_too_many, is_second_run, are_settled;
    struct conflict conflict;                           /* why the last walk was refuted */
    struct choice   made[CHOICES_MAX];
} choices;

unsigned model_choose(const struct fiber *fiber, unsigned count)
{
    if (is_over() || count < 2)
        return 0;
    if (choices.at == CHOICES_MAX) {
        choices.are_too_many = model.is_refuted = true;
        return 0;
    }
    if (choices.at == choices.count)
        choices.made[choices.count++] = (struct choice){ .count = count, .fiber = fiber->number, .is_second_run = choices.is_second_run };
    return choices.made[choices.at++].taken;
}

unsigned model_choices(void) { return choices.at; }

void model_settle(unsigned since)
{
    for (unsigned i = since; i < choices.at && choices.are_settled && !is_over(); i++)
        choices.made[i].is_settled = true;
}

void model_refute(const struct fiber *fiber)
{
    if (is_over())
        return;
    model.is_refuted = true;
    choices.conflict = (struct conflict){ .is_everything = fiber == NULL, .is_second_run = choices.is_second_run };
    if (fiber != NULL)
        add_fiber_to(&choices.conflict, fiber->number);
}

/* The next list of choices, if there is one: the last choice that had a part in it is made otherwise; where there is no other way, what led to it
 * has a part. */
static bool choose_otherwise(void)
{
    struct conflict conflict = choices.conflict;
    for (choices.count = choices.at; choices.count > 0; choices.count--) {
        struct choice *last = &choices.made[choices.count - 1];
        bool is_before = conflict.is_second_run && !last->is_second_run;
        if (last->is_settled || (!is_before && !has_part(&conflict, last->fiber)))
            continue;
        add_conflict(&last->conflict, &conflict);
        if (++last->taken < last->count)
            return true;
        conflict = last->conflict;
        add_fiber_to(&conflict, last->fiber);
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- the text */

const char *model_found(const char *name)
{
    char line[120];
    if (model.found == NULL)
        return NULL;
    snprintf(line, sizeof line, "\n%s:", name);
    const char *place = strstr(model.found, line), *end = strstr(model.found + 1, "\nresult: ");
    return place == NULL || (end != NULL && place > end) ? NULL : place + strlen(line);
}

/* The failures that nobody can look at any more. */
static bool is_unseen(const struct fiber *fiber)
{
    const struct result *r = &fiber->result;
    bool has_failed = r->tag == COIR_ERROR || r->tag == COIR_PANIC || r->also_count > 0;
    return has_failed && !fiber->is_seen && !fiber->is_main;
}

static int by_text(const void *a, const void *b) { return strcmp(((const struct text *)a)->chars, ((const struct text *)b)->chars); }

static void add_all_unseen(struct text *text)
{
    struct text *texts = calloc(model.fibers, sizeof *texts);
    size_t count = 0;
    if (texts == NULL)
        abort();
    for (const struct fiber *fiber = model.all; fiber != NULL; fiber = fiber->made_before)
        if (is_unseen(fiber))
            add_result(&texts[count++], &fiber->result);
    qsort(texts, count, sizeof *texts, by_text);
    for (size_t i = 0; i < count; i++) {
        random_add(text, "unseen: %s\n", texts[i].chars);
        free(texts[i].chars);
    }
    free(texts);
}

static void add_fiber(struct text *text, const struct fiber *fiber)
{
    random_add(text, "%s:%s\n", fiber->name, fiber->trace.chars != NULL ? fiber->trace.chars : "");
    for (const struct fiber *kid = fiber->kids; kid != NULL; kid = kid->next)
        add_fiber(text, kid);
}

static void free_traces(void)
{
    for (struct fiber *fiber = model.all; fiber != NULL; fiber = fiber->made_before)
        free(fiber->trace.chars);
    model.all = NULL;
}

static void run_main(struct text *text, struct made *root)
{
    struct fiber *fiber = model_fiber(NULL);
    fiber->is_main = true;
    fiber->context = make(model.program->context, false);
    for (int i = 0; i < KEYS; i++)
        fiber->keys[i] = plain(i);
    struct result r = model_ended(model_evaluate(fiber, root));
    model_close(fiber);
    random_add(text, "result: ");
    add_result(text, &r);
    random_add(text, "\n");
    drop_result(&r);
    add_fiber(text, fiber);
    add_all_unseen(text);
    free_traces();
}

static bool permits_are_back(void)
{
    bool are_back = true;
    for (unsigned i = 0; i < OBJECTS; i++)
        are_back &= is_lock(i) || model.available[i] == permits_of(i);
    return are_back;
}

static void add_objects(struct text *text)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        if (is_lock(i))
            random_add(text, "object %u: free, entered %d times\n", i, model.entered[i]);
        else
            random_add(text, "object %u: %lld permits, entered %d times\n", i, (long long)model.available[i], model.entered[i]);
    random_add(text, "left: 0 things, 0 owned\n");
}

/* ---------------------------------------------------------------------------------------------------------------- walks */

/* One walk over the program, with the choices as they stand. NULL: refuted, or too long; model says which. */
static char *walk(const struct program *program, const char *found)
{
    struct text text = { 0 };
    memset(&model, 0, sizeof model);
    heap.born = 0;
    choices.at = 0;
    choices.is_second_run = false;
    model.program = program;
    model.found = found;
    for (unsigned i = 0; i < OBJECTS; i++)
        model.available[i] = permits_of(i);
    struct made *root = model_make(program->root, &model_nothing_in_scope);
    run_main(&text, root);
    if (program->runs_twice && permits_are_back() && !is_over()) {
        choices.is_second_run = true;
        if (found != NULL)
            model.found = strstr(found + 1, "\nresult: ");
        if (found != NULL && model.found == NULL)
            model_refute(NULL);
        else
            run_main(&text, root);
    }
    add_objects(&text);
    random_free_all(&heap.arena);
    if (!is_over())
        return text.chars;
    free(text.chars);
    return NULL;
}

/* The first outcome that is allowed, and, if found is not NULL, is that. `are_settled`: what a child that noted what it did has chosen is not chosen anew:
 * so an outcome may be missed. NULL: there is none, or *is_undecided: the program is too long, or may come to too much. */
static char *outcome(const struct program *program, const char *found, bool are_settled, bool *is_undecided)
{
    choices.count = numbers.count = 0;
    choices.are_too_many = false;
    choices.are_settled = are_settled;
    for (unsigned walks = 0; walks < WALKS_MAX; walks++) {
        char *text = walk(program, found);
        random_tally.walks++;
        if (text != NULL && (found == NULL || strcmp(text, found) == 0))
            return text;
        if (text != NULL)
            model_refute(NULL);
        free(text);
        if (is_too_long() || choices.are_too_many)
            break;
        if (!choose_otherwise())
            return NULL;
    }
    *is_undecided = true;
    return NULL;
}

char *random_expected(const struct program *program)
{
    bool is_undecided = false;
    return outcome(program, NULL, false, &is_undecided);
}

/* ------------------------------------------------------------------------------------------------------------- verdicts */

/* What the last walk went through has happened. */
static void count_walk(void)
{
    for (int op = 0; op < OPS; op++)
        for (unsigned how = 0; how < random_ways[random_ops[op].ways].count; how++)
            random_tally.ran[op][how] += model.ran[op][how];
    for (int event = 0; event < EVENTS; event++)
        random_tally.events[event] += model.events[event];
}

static bool is_allowed(const struct program *program, const char *expected, const char *found)
{
    bool is_undecided = false;
    if (strcmp(expected, found) == 0)
        return true;
    if (choices.count == 0)
        return false;
    random_tally.other++;
    char *text = outcome(program, found, true, &is_undecided);
    is_undecided = false;
    if (text == NULL)
        text = outcome(program, found, false, &is_undecided);
    bool is = text != NULL || is_undecided;
    random_tally.undecided += is_undecided;
    free(text);
    return is;
}

char *random_verdict(const struct program *program)
{
    struct text text = { 0 };
    char *expected = random_expected(program);
    random_tally.programs++;
    random_tally.too_long += expected == NULL;
    if (expected == NULL)
        return NULL;
    bool has_several = choices.count > 0;
    char *found = random_run(program);
    if (is_allowed(program, expected, found))
        count_walk();
    else
        random_add(&text, "---- expected%s\n%s---- found\n%s", has_several ? ", among others" : "", expected, found);
    free(expected);
    free(found);
    return text.chars;
}
