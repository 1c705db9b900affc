/*
 * retry.c - schedules, policies, and the io that goes by one
 *
 * A policy is a schedule that is put together here: what its fields mean is said once, by the parts. Running them: fiber/retry.c.
 */
#include "io/retry.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum again_after { AFTER_ERROR = 1 << COIR_ERROR, AFTER_OK = 1 << COIR_OK, AFTER_EITHER = AFTER_ERROR | AFTER_OK };

/* --------------------------------------------------------------------------------------------------------- captured envs */

static struct captured_env *captured_new(const void *bytes, size_t size)
{
    struct captured_env *captured = coir__alloc(sizeof *captured + size);
    if (captured == NULL)
        return NULL;
    atomic_init(&captured->refs, 1);
    captured->size = size;
    if (size > 0)
        memcpy(captured->bytes, bytes, size);
    return captured;
}

static void captured_drop(struct captured_env *captured)
{
    if (captured != NULL && fetch_sub_acq_rel(&captured->refs, 1u) == 1)
        coir__free(captured, sizeof *captured + captured->size);
}

/* ------------------------------------------------------------------------------------------------------------ schedules */

static size_t schedule_size(uint32_t count) { return sizeof(coir_schedule) + count * sizeof(struct part); }

static coir_schedule *schedule_new(uint32_t count)
{
    coir_schedule *schedule = coir__alloc(schedule_size(count));
    if (schedule == NULL)
        return NULL;
    atomic_init(&schedule->refs, 1);
    schedule->count = count;
    schedule->reads_clock = false;
    schedule->function = schedule->what = NULL;
    return schedule;
}

/* A bad argument, for the ios that will be made of it. */
static coir_schedule *refused(const char *function, const char *what)
{
    coir_schedule *schedule = schedule_new(0);
    if (schedule != NULL) {
        schedule->function = function;
        schedule->what = what;
    }
    return schedule;
}

coir_schedule *coir_schedule_ref(coir_schedule *schedule)
{
    if (schedule != NULL)
        fetch_add_relaxed(&schedule->refs, 1u);         /* relaxed: the caller's own reference keeps it alive */
    return schedule;
}

void coir_schedule_drop(coir_schedule *schedule)
{
    if (schedule == NULL || fetch_sub_acq_rel(&schedule->refs, 1u) != 1)
        return;
    for (uint32_t i = 0; i < schedule->count; i++)
        captured_drop(schedule->parts[i].captured);
    coir__free(schedule, schedule_size(schedule->count));
}

/* Puts a part at the place; its captured env, if it has one, is the schedule's from then on. */
static void put_part(coir_schedule *schedule, uint32_t at, struct part part)
{
    schedule->parts[at] = part;
    if (part.kind == PART_WITHIN || part.kind == PART_RESET_AFTER || part.kind == PART_NEXT)
        schedule->reads_clock = true;
}

static void put_parts_of(coir_schedule *schedule, uint32_t at, const coir_schedule *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        put_part(schedule, at + i, from->parts[i]);
        if (from->parts[i].captured != NULL)
            fetch_add_relaxed(&from->parts[i].captured->refs, 1u);      /* relaxed: `from` has one */
    }
}

static coir_schedule *leaf(struct part part)
{
    coir_schedule *schedule = schedule_new(1);
    if (schedule != NULL)
        put_part(schedule, 0, part);
    return schedule;
}

static coir_schedule *of_one(const char *function, coir_schedule *a, struct part part)
{
    if (a == NULL || a->function != NULL)
        return a;
    bool fits = a->count < SCHEDULE_PARTS_MAX;
    coir_schedule *schedule = fits ? schedule_new(a->count + 1) : refused(function, "more than 64 parts");
    if (schedule != NULL && fits) {
        put_parts_of(schedule, 0, a);
        part.operands = a->count;
        put_part(schedule, a->count, part);
    }
    coir_schedule_drop(a);
    return schedule;
}

static coir_schedule *of_two(const char *function, coir_schedule *a, coir_schedule *b, enum part_kind kind)
{
    if (a == NULL || b == NULL) {
        coir_schedule_drop(a);
        coir_schedule_drop(b);
        return NULL;
    }
    if (a->function != NULL) {                          /* the first bad argument is the one to be told */
        coir_schedule_drop(b);
        return a;
    }
    if (b->function != NULL) {
        coir_schedule_drop(a);
        return b;
    }
    bool fits = a->count + b->count < SCHEDULE_PARTS_MAX;
    coir_schedule *schedule = fits ? schedule_new(a->count + b->count + 1) : refused(function, "more than 64 parts");
    if (schedule != NULL && fits) {
        put_parts_of(schedule, 0, a);
        put_parts_of(schedule, a->count, b);
        put_part(schedule, a->count + b->count, (struct part){ .kind = kind, .operands = a->count + b->count });
    }
    coir_schedule_drop(a);
    coir_schedule_drop(b);
    return schedule;
}

/* ---------------------------------------------------------------------------------------------------- pauses and bounds */

static bool is_factor(double factor)     { return isfinite(factor) && factor >= 1; }
static bool is_fraction(double fraction) { return fraction >= 0 && fraction <= 1; }                     /* no NaN is */

coir_schedule *coir_schedule_recurs(uint64_t times) { return leaf((struct part){ .kind = PART_RECURS, .times = times }); }

coir_schedule *coir_schedule_spaced(coir_duration pause)
{
    if (pause.ns < 0)
        return refused("coir_schedule_spaced", "pause is negative");
    return leaf((struct part){ .kind = PART_SPACED, .ns = pause.ns });
}

coir_schedule *coir_schedule_exponential(coir_duration first, double factor)
{
    if (first.ns < 0)
        return refused("coir_schedule_exponential", "first is negative");
    if (!is_factor(factor))
        return refused("coir_schedule_exponential", "factor is no number of at least 1");
    return leaf((struct part){ .kind = PART_EXPONENTIAL, .ns = first.ns, .number = factor });
}

coir_schedule *coir_schedule_fibonacci(coir_duration first)
{
    if (first.ns < 0)
        return refused("coir_schedule_fibonacci", "first is negative");
    return leaf((struct part){ .kind = PART_FIBONACCI, .ns = first.ns });
}

coir_schedule *coir_schedule_decorrelated(coir_duration first, coir_duration max)
{
    if (first.ns < 0)
        return refused("coir_schedule_decorrelated", "first is negative");
    if (max.ns < first.ns)
        return refused("coir_schedule_decorrelated", "max is less than first");
    return leaf((struct part){ .kind = PART_DECORRELATED, .ns = first.ns, .max_ns = max.ns });
}

coir_schedule *coir_schedule_capped(coir_schedule *schedule, coir_duration max)
{
    if (schedule != NULL && max.ns < 0) {
        coir_schedule_drop(schedule);
        return refused("coir_schedule_capped", "max is negative");
    }
    return of_one("coir_schedule_capped", schedule, (struct part){ .kind = PART_CAPPED, .ns = max.ns });
}

coir_schedule *coir_schedule_jittered(coir_schedule *schedule, double fraction)
{
    if (schedule != NULL && !is_fraction(fraction)) {
        coir_schedule_drop(schedule);
        return refused("coir_schedule_jittered", "fraction is not within 0 and 1");
    }
    return of_one("coir_schedule_jittered", schedule, (struct part){ .kind = PART_JITTERED, .number = fraction });
}

coir_schedule *coir_schedule_full_jitter(coir_schedule *schedule)
{
    return of_one("coir_schedule_full_jitter", schedule, (struct part){ .kind = PART_FULL_JITTER });
}

coir_schedule *coir_schedule_within(coir_schedule *schedule, coir_duration limit)
{
    if (schedule != NULL && limit.ns < 0) {
        coir_schedule_drop(schedule);
        return refused("coir_schedule_within", "limit is negative");
    }
    return of_one("coir_schedule_within", schedule, (struct part){ .kind = PART_WITHIN, .ns = limit.ns });
}

coir_schedule *coir_schedule_reset_after(coir_schedule *schedule, coir_duration duration)
{
    if (schedule != NULL && duration.ns < 0) {
        coir_schedule_drop(schedule);
        return refused("coir_schedule_reset_after", "duration is negative");
    }
    return of_one("coir_schedule_reset_after", schedule, (struct part){ .kind = PART_RESET_AFTER, .ns = duration.ns });
}

coir_schedule *coir_schedule_and(coir_schedule *a, coir_schedule *b) { return of_two("coir_schedule_and", a, b, PART_AND); }
coir_schedule *coir_schedule_or(coir_schedule *a, coir_schedule *b)  { return of_two("coir_schedule_or", a, b, PART_OR); }

/* ------------------------------------------------------------------------------------------------------------ callbacks */

static coir_schedule *calling(const char *function, enum part_kind kind, any_fn *fn, struct env_given given)
{
    const char *bad = coir__callback_bad(fn, given);
    if (bad != NULL)
        return refused(function, bad);
    struct part part = { .kind = kind, .fn = fn, .env = (void *)(uintptr_t)given.env };
    if (given.bytes != LENT) {
        part.captured = captured_new(given.env, given.bytes);
        if (part.captured == NULL)
            return NULL;
        part.env = part.captured->bytes;
    }
    coir_schedule *schedule = leaf(part);
    if (schedule == NULL)
        captured_drop(part.captured);
    return schedule;
}

coir_schedule *coir_schedule_while(coir_test_fn *fn, void *env)
{
    return calling("coir_schedule_while", PART_WHILE, (any_fn *)fn, lent(env));
}
coir_schedule *coir_schedule_while_copy(coir_test_fn *fn, const void *bytes, size_t size)
{
    return calling("coir_schedule_while_copy", PART_WHILE, (any_fn *)fn, captured(bytes, size));
}

coir_schedule *coir_schedule_delay_from(coir_delay_fn *fn, void *env)
{
    return calling("coir_schedule_delay_from", PART_DELAY_FROM, (any_fn *)fn, lent(env));
}
coir_schedule *coir_schedule_delay_from_copy(coir_delay_fn *fn, const void *bytes, size_t size)
{
    return calling("coir_schedule_delay_from_copy", PART_DELAY_FROM, (any_fn *)fn, captured(bytes, size));
}

coir_schedule *coir_schedule_new(coir_next_fn *fn, void *env)
{
    return calling("coir_schedule_new", PART_NEXT, (any_fn *)fn, lent(env));
}
coir_schedule *coir_schedule_new_copy(coir_next_fn *fn, const void *bytes, size_t size)
{
    return calling("coir_schedule_new_copy", PART_NEXT, (any_fn *)fn, captured(bytes, size));
}

/* ------------------------------------------------------------------------------------------------------------- policies */

static const char *policy_bad(const coir_policy *policy)
{
    if (policy == NULL)
        return "policy is NULL";
    if (policy->size != 0 && policy->size != sizeof *policy)
        return "policy.size is of another version";
    if (policy->delay.ns < 0)
        return "policy.delay is negative";
    if (policy->factor != 0 && !is_factor(policy->factor))
        return "policy.factor is neither 0 nor a number of at least 1";
    if (policy->delay_max.ns < 0)
        return "policy.delay_max is negative";
    if (!is_fraction(policy->jitter))
        return "policy.jitter is not within 0 and 1";
    if (policy->give_up_after.ns < 0)
        return "policy.give_up_after is negative";
    if (policy->reset_after.ns < 0)
        return "policy.reset_after is negative";
    return NULL;
}

/* One that would go on for ever without a pause and without looking was hardly meant. */
static uint64_t policy_tries_max(const coir_policy *policy)
{
    bool says_something = policy->delay.ns > 0 || policy->give_up_after.ns > 0 || policy->only_if != NULL;
    return policy->tries_max == 0 && !says_something ? 1 : policy->tries_max;
}

/* One of each kind at the most, and two times `and`. */
struct draft { uint32_t count; struct part parts[9]; };

static void draft_add(struct draft *draft, struct part part)
{
    part.operands = part.kind < PART_CAPPED ? 0 : draft->count;
    draft->parts[draft->count++] = part;
}

/* A condition beside what there is already. */
static void draft_and(struct draft *draft, struct part part)
{
    bool is_first = draft->count == 0;
    draft_add(draft, part);
    if (!is_first)
        draft_add(draft, (struct part){ .kind = PART_AND });
}

static void draft_pauses(struct draft *draft, const coir_policy *policy)
{
    draft_add(draft, (struct part){ .kind = policy->factor == 0 ? PART_SPACED : PART_EXPONENTIAL, .ns = policy->delay.ns,
                                    .number = policy->factor });
    if (policy->delay_max.ns > 0)
        draft_add(draft, (struct part){ .kind = PART_CAPPED, .ns = policy->delay_max.ns });
    if (policy->jitter > 0)
        draft_add(draft, (struct part){ .kind = PART_JITTERED, .number = policy->jitter });
}

static struct draft policy_draft(const coir_policy *policy)
{
    struct draft draft = { .count = 0 };
    uint64_t tries_max = policy_tries_max(policy);
    if (policy->delay.ns > 0 || (tries_max == 0 && policy->only_if == NULL))
        draft_pauses(&draft, policy);
    if (tries_max > 0)
        draft_and(&draft, (struct part){ .kind = PART_RECURS, .times = tries_max - 1 });
    if (policy->only_if != NULL)
        draft_and(&draft, (struct part){ .kind = PART_WHILE, .test = policy->only_if, .env = policy->env });
    if (policy->give_up_after.ns > 0)
        draft_add(&draft, (struct part){ .kind = PART_WITHIN, .ns = policy->give_up_after.ns });
    if (policy->reset_after.ns > 0)
        draft_add(&draft, (struct part){ .kind = PART_RESET_AFTER, .ns = policy->reset_after.ns });
    return draft;
}

static coir_schedule *policy_schedule(const char *function, const coir_policy *policy)
{
    const char *bad = policy_bad(policy);
    if (bad != NULL)
        return refused(function, bad);
    struct draft draft = policy_draft(policy);
    coir_schedule *schedule = schedule_new(draft.count);
    for (uint32_t i = 0; schedule != NULL && i < draft.count; i++)
        put_part(schedule, i, draft.parts[i]);
    return schedule;
}

coir_schedule *coir_schedule_policy(const coir_policy *policy) { return policy_schedule("coir_schedule_policy", policy); }

/* ------------------------------------------------------------------------------------------------------------------- ios */

static coir_io *again(enum again_after again_after, coir_io *io, coir_schedule *schedule)
{
    coir_io *node = NULL;
    if (io != NULL && schedule != NULL && schedule->function != NULL)
        node = coir__bad_argument(schedule->function, schedule->what);
    else if (io != NULL && schedule != NULL)
        node = coir__node_new(OP_RETRY, NODE_SIZE_OF(retry) + schedule->count * 2 * sizeof(uint64_t));
    if (node == NULL || node->op != OP_RETRY) {
        coir_io_drop(io);
        coir_schedule_drop(schedule);
        return node;
    }
    node->child = io;
    node->schedule = schedule;
    node->link = NULL;
    node->retry = (struct retry){ .again_after = (uint8_t)again_after };
    return node;
}

coir_io *coir_retry_by(coir_io *io, coir_schedule *schedule)        { return again(AFTER_ERROR, io, schedule); }
coir_io *coir_repeat_by(coir_io *io, coir_schedule *schedule)       { return again(AFTER_OK, io, schedule); }
coir_io *coir_keep_running_by(coir_io *io, coir_schedule *schedule) { return again(AFTER_EITHER, io, schedule); }

coir_io *coir_retry(coir_io *io, const coir_policy *policy) { return again(AFTER_ERROR, io, policy_schedule("coir_retry", policy)); }
coir_io *coir_repeat_policy(coir_io *io, const coir_policy *policy)
{
    return again(AFTER_OK, io, policy_schedule("coir_repeat_policy", policy));
}
coir_io *coir_keep_running(coir_io *io, const coir_policy *policy)
{
    return again(AFTER_EITHER, io, policy_schedule("coir_keep_running", policy));
}

/* ------------------------------------------------------------------------------------------------------------- as text */

const char *coir__retry_name(const coir_io *node)
{
    switch ((enum again_after)node->retry.again_after) {
    case AFTER_ERROR:
        return "retry";
    case AFTER_OK:
        return "repeat_by";
    case AFTER_EITHER:
        break;
    }
    return "keep_running";
}

static void print_duration(int64_t ns, FILE *out)
{
    static const struct { int64_t ns; const char *name; } units[] = {
        { 1000000000, "s" }, { 1000000, "ms" }, { 1000, "us" }, { 1, "ns" }
    };
    size_t i = 0;
    while (ns % units[i].ns != 0)
        i++;
    fprintf(out, " %" PRId64 " %s", ns / units[i].ns, units[i].name);
}

static void print_part(const struct part *part, FILE *out)
{
    static const char *const names[] = {
        "recurs", "spaced", "exponential", "fibonacci", "decorrelated", "while", "delay_from", "new", " capped", " jittered",
        " full_jitter", " within", " reset_after", ")", ")"                                     /* as enum part_kind */
    };
    fputs(names[part->kind], out);
    switch (part->kind) {
    case PART_RECURS:
        fprintf(out, " %" PRIu64, part->times);
        break;
    case PART_SPACED: case PART_EXPONENTIAL: case PART_FIBONACCI: case PART_DECORRELATED:
    case PART_CAPPED: case PART_WITHIN: case PART_RESET_AFTER:
        print_duration(part->ns, out);
        break;
    default:
        break;
    }
    if (part->kind == PART_EXPONENTIAL)
        fprintf(out, " x %g", part->number);
    if (part->kind == PART_JITTERED)
        fprintf(out, " %g", part->number);
    if (part->kind == PART_DECORRELATED) {
        fputs(" to", out);
        print_duration(part->max_ns, out);
    }
}

/* From the left to the right, since a part stands behind what it is a part of. What would not be seen in time is looked for first: the
 * brackets that open before a part, and the word between two, which comes before the second's first part. */
void coir__parts_print(const coir_schedule *schedule, FILE *out)
{
    uint32_t opened[SCHEDULE_PARTS_MAX] = { 0 };
    const char *word[SCHEDULE_PARTS_MAX] = { NULL };
    for (uint32_t i = 0; i < schedule->count; i++) {
        const struct part *part = &schedule->parts[i];
        if (part->kind != PART_AND && part->kind != PART_OR)
            continue;
        opened[i - part->operands]++;
        word[i - 1 - schedule->parts[i - 1].operands] = part->kind == PART_AND ? " and " : " or ";
    }
    for (uint32_t i = 0; i < schedule->count; i++) {
        if (word[i] != NULL)
            fputs(word[i], out);
        while (opened[i]-- > 0)
            fputc('(', out);
        print_part(&schedule->parts[i], out);
    }
}
