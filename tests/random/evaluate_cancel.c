/*
 * evaluate_cancel.c - requests to end, who sees them, masks and time-outs, said by a plain recursive function
 *
 * A time-out that will fire does so at a moment that is not determined: at each instruction where it could be seen there are two ways to go on.
 */
#include "random/evaluate.h"

/* ---------------------------------------------------------------------------------------------------------- visibility */

void model_enter(struct fiber *fiber, struct mark *mark, enum mark_kind kind)
{
    *mark = (struct mark){ .kind = kind, .outer = fiber->marks };
    fiber->marks = mark;
    model_effect(fiber);
}

void model_leave(struct fiber *fiber, const struct mark *mark)
{
    fiber->marks = mark->outer;
    model_effect(fiber);
}

static bool is_on(const struct mark *mark) { return mark->kind != MARK_SCOPE && !mark->is_off; }

bool model_is_masked(const struct fiber *fiber)
{
    bool is_masked = false;
    for (const struct mark *mark = fiber->marks; mark != NULL; mark = mark->outer)
        is_masked |= is_on(mark);
    return is_masked;
}

/* The scopes that are asked to end, or may be, the innermost first: those that see it here, or those that a mask keeps from it. */
enum { SCOPES_MAX = 30 };
struct scopes { size_t count; struct mark *marks[SCOPES_MAX]; };

static struct scopes scopes_of(const struct fiber *fiber, bool are_visible)
{
    struct scopes scopes;
    bool is_behind_mask = false;
    scopes.count = 0;
    for (struct mark *mark = fiber->marks; mark != NULL && scopes.count < SCOPES_MAX; mark = mark->outer) {
        is_behind_mask |= is_on(mark);
        if (mark->asked != ASKED_NOT && is_behind_mask != are_visible)
            scopes.marks[scopes.count++] = mark;
    }
    return scopes;
}

static struct mark *first_that_is(struct scopes scopes, enum asked asked)
{
    for (size_t i = 0; i < scopes.count; i++)
        if (scopes.marks[i]->asked == asked)
            return scopes.marks[i];
    return NULL;
}

static void note_held_back(const struct fiber *fiber)
{
    struct mark *hidden = first_that_is(scopes_of(fiber, false), ASKED_SURE);
    if (hidden == NULL || hidden->was_held_back)
        return;
    hidden->was_held_back = true;
    note_event(EVENT_HELD_BACK);
    if (fiber->stage == STAGE_ACQUIRING)
        note_event(EVENT_HELD_ACQUIRING);
    if (fiber->stage == STAGE_RELEASING)
        note_event(EVENT_HELD_RELEASING);
}

static void note_seen(const struct fiber *fiber)
{
    static const enum event events[] = { [STAGE_ELSEWHERE] = EVENT_SEEN, [STAGE_ACQUIRING] = EVENT_SEEN_ACQUIRING,
                                         [STAGE_USING] = EVENT_SEEN_USING, [STAGE_RELEASING] = EVENT_SEEN_RELEASING };
    note_event(EVENT_SEEN);
    if (fiber->stage != STAGE_ELSEWHERE)
        note_event(events[fiber->stage]);
}

static bool is_asked_now(const struct fiber *fiber, struct mark *scope)
{
    bool has_been_told = scope->declined == fiber->effects + 1;
    scope->declined = fiber->effects + 1;
    return !has_been_told && model_choose(fiber, 2) == 1;
}

/* Of several that are asked the outermost counts. */
bool model_seen(struct fiber *fiber, struct result *r)
{
    struct scopes scopes = scopes_of(fiber, true);
    note_held_back(fiber);
    for (size_t i = scopes.count; i-- > 0;) {
        struct mark *scope = scopes.marks[i];
        if (scope->asked == ASKED_MAYBE && is_asked_now(fiber, scope))
            scope->asked = ASKED_SURE;
        if (scope->asked == ASKED_SURE) {
            *r = result_of(COIR_CANCELED, none);
            r->meant = scope;
            note_seen(fiber);
            return true;
        }
    }
    return false;
}

/* One of those that may be asked is, now; and what counts then is seen. */
static struct result seen_now(struct fiber *fiber, struct scopes scopes)
{
    struct mark *open[SCOPES_MAX];
    size_t count = 0;
    struct result r = ok_none();
    for (size_t i = 0; i < scopes.count; i++)
        if (scopes.marks[i]->asked == ASKED_MAYBE)
            open[count++] = scopes.marks[i];
    open[model_choose(fiber, (unsigned)count)]->asked = ASKED_SURE;
    (void)model_seen(fiber, &r);
    return r;
}

static bool is_timer_due(struct scopes scopes)
{
    bool is_due = false;
    for (size_t i = 0; i < scopes.count; i++)
        is_due |= scopes.marks[i]->is_timer && scopes.marks[i]->asked == ASKED_MAYBE;
    return is_due;
}

/* Nobody else will end this wait: a cancellation does, or else a verdict, which no timer leaves time for. */
struct result model_wait_for_ever(struct fiber *fiber)
{
    struct scopes scopes = scopes_of(fiber, true);
    bool may_be_asked = first_that_is(scopes, ASKED_MAYBE) != NULL;
    if (is_timer_due(scopes) || (may_be_asked && model_choose(fiber, 2) == 1))
        return seen_now(fiber, scopes);
    return panic(COIR_DEADLOCK);
}

/* --------------------------------------------------------------------------------------------------------- instructions */

struct result model_cancel_self(struct fiber *fiber, const struct term *term)
{
    model_tell(fiber, term, &none);
    fiber->root.asked = ASKED_SURE;
    fiber->root.is_own = true;
    model_effect(fiber);
    return ok_none();
}

/* Bit 0: masked; bit 1: asked to end, whether it can be seen or not. */
struct result model_mask_seen(struct fiber *fiber, const struct term *term)
{
    bool is_asked = false;
    for (struct mark *mark = fiber->marks; mark != NULL; mark = mark->outer) {
        if (mark->asked == ASKED_MAYBE && model_choose(fiber, 2) == 1)
            mark->asked = ASKED_SURE;
        is_asked |= mark->asked == ASKED_SURE;
    }
    struct value seen = plain(model_is_masked(fiber) | is_asked << 1);
    model_tell(fiber, term, &seen);
    return ok_none();
}

/* Of a callback that was waited for, if it had begun, when it was called off: its value wins, its error was the answer, its panic stays. */
static struct result answered(const struct fiber *fiber, const struct term *term, struct result canceled)
{
    bool may_answer = term->how == STALL_VALUE || term->how == STALL_PANIC;
    if (!may_answer || model_choose(fiber, 2) == 0)
        return canceled;
    note_event(EVENT_ANSWERED);
    return term->how == STALL_VALUE ? ok_none() : merged(canceled, result_of(COIR_PANIC, plain(term->number)));
}

/* Who waits for that is told now. */
static void note_stalked(struct fiber *fiber)
{
    if (!fiber->is_stalked)
        return;
    fiber->is_stalked = false;
    fiber->root.is_own = true;
    if (fiber->root.asked == ASKED_NOT)
        fiber->root.asked = ASKED_MAYBE;
}

/* Waits until something around it is called off: for something that this ends, or, where it may be hidden, by looking whether it is. */
struct result model_stall(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    const struct scope *scope = made->scope;
    bool can_see = (scope->soon > 0 && scope->is_open) || (scope->is_hunted && !model_is_masked(fiber));
    bool is_looking = !can_see || term->how == STALL_LOOKS;
    if (scope->soon == 0 && !scope->is_hunted)
        return ok_none();
    note_stalked(fiber);
    struct scopes visible = scopes_of(fiber, true), hidden = scopes_of(fiber, false);
    bool is_hidden = first_that_is(hidden, ASKED_SURE) != NULL, may_hide = is_hidden || first_that_is(hidden, ASKED_MAYBE) != NULL;
    if (first_that_is(visible, ASKED_MAYBE) != NULL && !(is_looking && may_hide && model_choose(fiber, 2) == 1)) {
        struct result r = seen_now(fiber, visible);
        return is_looking ? r : answered(fiber, term, r);
    }
    if (!may_hide)
        model_refute(fiber);
    else if (!is_hidden)
        (void)seen_now(fiber, hidden);
    return ok_none();
}

/* ---------------------------------------------------------------------------------------------------- masks and time-outs */

static struct result uncancelable(struct fiber *fiber, struct made *made)
{
    struct mark mask;
    model_enter(fiber, &mask, MARK_MASK);
    struct result r = evaluate_kid(fiber, made, 0);
    model_leave(fiber, &mask);
    return r;
}

/* The innermost mask that is on; not those around a finalizer that it stands in. */
static struct mark *mask_to_take_off(const struct fiber *fiber)
{
    for (struct mark *mark = fiber->marks; mark != NULL && mark->kind != MARK_FINAL; mark = mark->outer)
        if (is_on(mark))
            return mark;
    return NULL;
}

static struct result cancelable(struct fiber *fiber, struct made *made)
{
    struct mark *mask = mask_to_take_off(fiber);
    if (mask != NULL)
        mask->is_off = true;
    struct result r = evaluate_kid(fiber, made, 0);
    if (mask != NULL)
        mask->is_off = false;
    return r;
}

/* What failed while it was canceled stays: in `also` of the error, or, behind the io that stands for it, as if that had followed. */
static struct result timed_out(struct fiber *fiber, struct made *made, struct result canceled)
{
    if (made->term->op == OP_TIMEOUT_TO) {
        struct result instead = evaluate_kid(fiber, made, 1);
        return canceled.also_count == 0 ? instead : merged(of_failures(canceled.also_count, canceled.also), instead);
    }
    struct result r = result_of(COIR_ERROR, error("coir", COIR_TIMEOUT, 0));
    r.also = canceled.also;
    r.also_count = canceled.also_count;
    return settled(r);
}

static struct result timeout(struct fiber *fiber, struct made *made)
{
    enum limit limit = made->term->how;
    struct mark scope;
    struct result outer;
    model_enter(fiber, &scope, MARK_SCOPE);
    scope.asked = limit == LIMIT_PAST ? ASKED_SURE : limit == LIMIT_SOON ? ASKED_MAYBE : ASKED_NOT;
    scope.is_timer = limit == LIMIT_SOON;
    struct result r = evaluate_kid(fiber, made, 0);
    model_leave(fiber, &scope);
    if (r.tag != COIR_CANCELED && scope.asked == ASKED_SURE)
        note_event(EVENT_VALUE_WON);
    if (r.tag != COIR_CANCELED || r.meant != &scope)
        return r;
    if (model_seen(fiber, &outer)) {                    /* asked again, now that this one is left */
        note_event(EVENT_PASSED_ON);
        r.meant = outer.meant;
        return r;
    }
    note_event(EVENT_TIMED_OUT);
    return timed_out(fiber, made, r);
}

struct result model_around(struct fiber *fiber, struct made *made)
{
    switch (made->term->op) {
    case OP_UNCANCELABLE: return uncancelable(fiber, made);
    case OP_CANCELABLE:   return cancelable(fiber, made);
    default:              return timeout(fiber, made);
    }
}
