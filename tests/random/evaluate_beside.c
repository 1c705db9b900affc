/*
 * evaluate_beside.c - what runs side by side and in scopes, said by a plain recursive function
 *
 * One child is evaluated after the other, each as one that may be asked to end at any moment. What they ended with then says what can have happened: who
 * was the first, whether there was a reason to ask the others. Where there was none nobody can have been asked, and this walk is refuted.
 */
#include "random/evaluate.h"

/* ---------------------------------------------------------------------------------------------------------- the children */

enum { CHILDREN_MAX = TERM_KIDS };
struct children {
    size_t        count;
    struct fiber *all[CHILDREN_MAX];
    bool          is_called_off;                        /* before anything was settled */
    struct result off;                                  /* then: the cancellation */
};

static bool is_own(const struct fiber *child) { return child->tag == COIR_CANCELED && !model_is_struck(child); }
static bool has_failed(const struct fiber *child) { return child->result.tag == COIR_ERROR || child->result.tag == COIR_PANIC; }

/* Whether it found that it had been asked to end, as one of those: then there was a reason. */
static bool knows(const struct fiber *child) { return model_is_struck(child) || (child->root.asked == ASKED_SURE && !child->root.is_own); }

static size_t how_many(const struct children *children, bool (*is_one)(const struct fiber *child))
{
    size_t count = 0;
    for (size_t i = 0; i < children->count; i++)
        count += is_one(children->all[i]);
    return count;
}

/* One of those: NULL: there is none. */
static struct fiber *any_of(const struct fiber *parent, const struct children *children, bool (*is_one)(const struct fiber *child))
{
    size_t count = how_many(children, is_one), chosen = model_choose(parent, (unsigned)count);
    for (size_t i = 0; count > 0; i++)
        if (is_one(children->all[i]) && chosen-- == 0)
            return children->all[i];
    return NULL;
}

static struct result result_of_child(struct fiber *child)
{
    child->is_seen = true;
    return child->result;
}

/* Of what nobody wants an error is dropped; a panic the hook is told of. */
static void forgo(struct fiber *child)
{
    bool has_panic = child->result.tag == COIR_PANIC;
    for (size_t i = 0; i < child->result.also_count; i++)
        has_panic |= child->result.also[i].tag == COIR_PANIC;
    child->is_seen |= !has_panic;
}

/* What it failed with, after what the whole has failed with before; that it was canceled is none. */
static struct result and_failure(struct result whole, struct fiber *child)
{
    struct result part = result_of_child(child);
    if (part.tag == COIR_CANCELED)
        part = of_failures(part.also_count, part.also);
    return part.tag == COIR_OK ? whole : merged(whole, part);
}

/* Those that did not succeed, the first first, the others in any order: that in which they ended. */
static struct result and_failures_of(const struct fiber *parent, struct result whole, const struct children *children, struct fiber *first)
{
    struct fiber *left[CHILDREN_MAX];
    size_t count = 0;
    if (first != NULL)
        whole = and_failure(whole, first);
    for (size_t i = 0; i < children->count; i++) {
        const struct result *r = &children->all[i]->result;
        if (children->all[i] == first || r->tag == COIR_OK)
            continue;
        if (r->tag == COIR_CANCELED && r->also_count == 0)
            (void)result_of_child(children->all[i]);
        else
            left[count++] = children->all[i];
    }
    for (; count > 0; count--) {
        size_t next = model_choose(parent, (unsigned)count);
        whole = and_failure(whole, left[next]);
        left[next] = left[count - 1];
    }
    return whole;
}

static struct result and_failures_in_order(struct result whole, const struct children *children)
{
    for (size_t i = 0; i < children->count; i++)
        if (children->all[i]->result.tag != COIR_OK)
            whole = and_failure(whole, children->all[i]);
    return whole;
}

static struct result values_of(const struct children *children)
{
    struct value items[CHILDREN_MAX];
    for (size_t i = 0; i < children->count; i++)
        items[i] = result_of_child(children->all[i]).value;
    return ok(list(children->count, items));
}

/* A child was canceled though nobody here had asked it. */
static struct result canceled_too(struct fiber *fiber)
{
    note_event(EVENT_FROM_OUTSIDE);
    if (model_is_masked(fiber))
        return result_of(COIR_ERROR, error("coir", COIR_CHILD_CANCELED, 0));
    struct result r = result_of(COIR_CANCELED, none);
    r.meant = &fiber->root;
    fiber->root.asked = ASKED_SURE;
    fiber->root.is_own = true;
    return r;
}

static void note_struck(const struct children *children, enum event event)
{
    for (size_t i = 0; i < children->count; i++)
        if (model_is_struck(children->all[i]))
            note_event(event);
}

/* --------------------------------------------------------------------------------------------------------- side by side */

static bool succeeds(const struct fiber *child) { return child->result.tag == COIR_OK; }
static bool is_free(const struct fiber *child)  { return !model_is_struck(child); }
static bool is_ok_or_own(const struct fiber *child) { return succeeds(child) || is_own(child); }
static bool fails(const struct fiber *child)    { return has_failed(child) || is_own(child); }

/* Whose end, being the first of its kind, settles what the whole ends with. NULL: nobody's. */
static struct fiber *settler(const struct fiber *parent, const struct children *children, enum group how)
{
    bool is_race = how == GROUP_RACE || how == GROUP_RACE_OK;
    if (children->is_called_off)                        /* a failure is the answer to that */
        return is_race ? any_of(parent, children, succeeds) : NULL;
    switch (how) {
    case GROUP_RACE:    return any_of(parent, children, is_free);
    case GROUP_RACE_OK: return any_of(parent, children, is_ok_or_own);
    case GROUP_ZIP_ALL: return any_of(parent, children, is_own);
    default:            return any_of(parent, children, fails);
    }
}

static struct result race_ends(struct fiber *fiber, const struct children *children, struct fiber *first)
{
    if (first != NULL && first->result.tag == COIR_CANCELED)
        return canceled_too(fiber);
    if (first != NULL)
        return result_of_child(first);
    if (children->is_called_off)
        return children->off;                           /* all of them are losers */
    return and_failures_in_order(ok_none(), children);  /* of a race_ok */
}

static struct result zip_ends(struct fiber *fiber, const struct children *children, enum group how, struct fiber *first)
{
    struct result whole = ok_none();
    if (first != NULL && first->result.tag == COIR_CANCELED)
        whole = canceled_too(fiber);
    else if (how_many(children, succeeds) == children->count)
        return values_of(children);
    else if (children->is_called_off)
        whole = children->off;
    return how == GROUP_ZIP_ALL ? and_failures_in_order(whole, children) : and_failures_of(fiber, whole, children, first);
}

static struct result group_ends(struct fiber *fiber, struct children *children, enum group how)
{
    bool is_race = how == GROUP_RACE || how == GROUP_RACE_OK;
    struct fiber *first = settler(fiber, children, how);
    bool was_without_reason = first == NULL ? how_many(children, knows) > 0 : knows(first);
    if (!children->is_called_off && was_without_reason) {
        model_refute(fiber);
        return ok_none();
    }
    note_struck(children, is_race ? EVENT_LOSER : EVENT_SIBLING);
    struct result r = is_race ? race_ends(fiber, children, first) : zip_ends(fiber, children, how, first);
    for (size_t i = 0; i < children->count; i++)
        forgo(children->all[i]);
    if (children->is_called_off)
        note_event(r.tag == COIR_OK ? EVENT_WON_ALL_THE_SAME : EVENT_CALLED_OFF);
    return r;
}

/* See made_sure() in build_beside.c. */
static struct result made_sure(struct fiber *child, const struct term *term, struct result r)
{
    if (!random_is_sure(term) || term->how == GROUP_RACE || r.tag == COIR_CANCELED)
        return r;
    if (term->how == GROUP_RACE_OK)
        return ok(box(r));
    if (term->how != GROUP_ZIP_ALL && r.tag != COIR_OK)
        return r;
    drop_result(&r);
    if (model_seen(child, &r))
        return r;
    if (term->how != GROUP_ZIP_ALL)
        return result_of(COIR_ERROR, error("", 9, 'f'));
    (void)model_cancel_self(child, term);
    (void)model_seen(child, &r);
    return r;
}

static struct result child_result(struct fiber *child, const struct term *term, size_t i, struct made *made)
{
    struct result r = model_evaluate(child, made);      /* whether it waits for the others makes no difference */
    return i > 0 ? r : made_sure(child, term, r);
}

/* See build_shielded() in build_fibers.c. */
static struct result shielded(struct fiber *child, const struct term *term, size_t i, struct made *made)
{
    struct mark mask, final;
    struct result r;
    if (model_seen(child, &r))
        return r;
    model_enter(child, &mask, MARK_MASK);
    r = child_result(child, term, i, made);
    model_enter(child, &final, MARK_FINAL);
    (void)model_mask_seen(child, term);
    model_leave(child, &final);
    model_leave(child, &mask);
    return r;
}

static void run_child(struct fiber *child, const struct term *term, size_t i)
{
    const struct scope scope = model_child_scope(term, i);
    struct made *made = model_make(term->kids[i], &scope);
    child->root.asked = ASKED_MAYBE;
    if (!model_begins(child))
        return;
    model_ends(child, random_is_shielded(term, i) ? shielded(child, term, i, made) : child_result(child, term, i, made));
}

struct result model_group(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    bool is_race = term->how == GROUP_RACE || term->how == GROUP_RACE_OK;
    struct children children = { .count = term->count };
    struct result r;
    for (size_t i = 0; i < children.count; i++)
        children.all[i] = model_fiber(fiber);
    if (model_seen(fiber, &r))
        return r;
    if (children.count == 0)
        return is_race ? panic(EINVAL) : ok(list(0, NULL));
    model_effect(fiber);
    children.is_called_off = model_seen(fiber, &children.off);
    for (size_t i = 0; i < children.count; i++)
        run_child(children.all[i], term, i);
    return is_over() ? ok_none() : group_ends(fiber, &children, (enum group)term->how);
}

/* --------------------------------------------------------------------------------------------------------------- items */

static bool are_boxed(const struct term *term) { return term->how == ITEMS_BOXES || term->how == ITEMS_BOXED_NOTHING; }

/* One item, by a fiber that it has for itself here: what one leaves to the next is nothing. */
static struct result item(struct fiber *fiber, const struct term *term, size_t index)
{
    struct value number = plain((int64_t)index);
    struct result r;
    model_tell(fiber, term, &number);
    if ((term->how == ITEMS_NOTHING || term->how == ITEMS_BOXED_NOTHING) && index > 0)
        return panic(ENOMEM);
    if (model_seen(fiber, &r))
        return r;
    model_effect(fiber);                                /* from now on it notes its end */
    r = model_evaluate(fiber, model_make(term->kids[0], &model_nothing_in_scope));
    struct result after;
    if (r.tag != COIR_CANCELED && model_seen(fiber, &after)) {
        drop_result(&r);
        r = after;
    }
    model_tell_end(fiber, &r);
    return r;
}

static void run_item(struct fiber *child, const struct term *term, size_t index)
{
    child->root.asked = ASKED_MAYBE;
    child->choices = model_choices();
    struct result r = item(child, term, index);
    if (are_boxed(term) && r.tag != COIR_CANCELED)
        r = ok(box(r));
    child->result = r;
    child->tag = r.tag;
    child->meant = r.meant;
    child->is_seen = true;
    model_close(child);
}

/* They begin in order; when something is settled no more do, nor for a fiber that has ended with one. Gives how many have begun. */
static size_t run_items(const struct fiber *parent, struct children *children, const struct term *term)
{
    size_t limit = (size_t)term->number % 4, at_once = limit == 0 || limit > children->count ? children->count : limit, ended = 0;
    for (size_t i = 0; i < children->count; i++) {
        if (ended == at_once || model_choose(parent, 2) == 1) {
            note_event(EVENT_NOT_BEGUN);
            return i;
        }
        run_item(children->all[i], term, i);
        ended += children->all[i]->result.tag != COIR_OK;
    }
    return children->count;
}

struct result model_items(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    struct children children = { .count = term->times % 4 };
    struct result r;
    for (size_t i = 0; i < children.count; i++)
        children.all[i] = model_fiber(fiber);
    if (model_seen(fiber, &r))
        return r;
    model_effect(fiber);
    children.is_called_off = children.count > 0 && model_seen(fiber, &children.off);
    size_t begun = run_items(fiber, &children, term);
    bool is_short = begun < children.count;
    children.count = begun;
    if (is_over())
        return ok_none();
    struct fiber *first = settler(fiber, &children, are_boxed(term) ? GROUP_ZIP_ALL : GROUP_ZIP);
    if (first == NULL && !children.is_called_off && (is_short || how_many(&children, model_is_struck) > 0)) {
        model_refute(fiber);
        return ok_none();
    }
    note_struck(&children, EVENT_SIBLING);
    if (children.is_called_off)
        note_event(EVENT_CALLED_OFF);
    bool may_idle = children.count > 1 && term->number % 4 != 1;        /* a fiber that came too late for an item is canceled, too */
    if (first == NULL && children.is_called_off && (is_short || (may_idle && model_choose(fiber, 2) == 1)))
        return and_failures_of(fiber, children.off, &children, NULL);
    return zip_ends(fiber, &children, GROUP_ZIP, first);
}

/* -------------------------------------------------------------------------------------------------------------- scopes */

struct nursery {
    enum nursery_of how;
    struct fiber *members;                              /* the last one first */
};

void model_admit(struct nursery *nursery, struct fiber *child)
{
    child->is_member = true;
    child->member_before = nursery->members;
    nursery->members = child;
    if (child->root.asked == ASKED_NOT)
        child->root.asked = ASKED_MAYBE;
}

/* The failure of a member of a coir_scope() counts there, whoever else looks at it. What cannot be shared the scope gets. */
void model_note_end(struct fiber *child)
{
    if (!child->is_member || child->nursery->how != NURSERY_SCOPE || !has_failed(child))
        return;
    child->is_seen = true;
    child->failure = child->result;
    if (can_share_result(&child->result))
        child->result = share_result(&child->result);
    else
        child->result = panic(COIR_MISUSE);
}

/* How a scope went. */
struct course {
    struct nursery *nursery;
    struct result body, waited;                         /* what its own io ended with, and how the wait for the members did */
    bool is_owner_struck;                               /* its own io was canceled by a member's end */
    bool has_waited;
};

static bool has_counted(const struct fiber *member) { return member->failure.tag != COIR_OK; }

/* What happened first that calls the members off: the failure of the body, or of the wait, or the end of a member. */
enum cause { CAUSE_NONE, CAUSE_OWNER, CAUSE_MEMBER };
struct first { enum cause cause; struct fiber *member; };

static struct first first_of(const struct fiber *owner, const struct course *course)
{
    struct first candidates[2 + 150];
    size_t count = 0;
    bool owner_fails = course->has_waited ? course->waited.tag == COIR_CANCELED : !course->is_owner_struck;
    if (owner_fails)
        candidates[count++] = (struct first){ CAUSE_OWNER, NULL };
    for (struct fiber *member = course->nursery->members; member != NULL && course->nursery->how == NURSERY_SCOPE; member = member->member_before)
        if (has_counted(member) || is_own(member))
            candidates[count++] = (struct first){ CAUSE_MEMBER, member };
    return count == 0 ? (struct first){ CAUSE_NONE, NULL } : candidates[model_choose(owner, (unsigned)count)];
}

static bool is_anybody_struck(const struct nursery *nursery)
{
    bool is = false;
    for (const struct fiber *member = nursery->members; member != NULL; member = member->member_before)
        is |= model_is_struck(member);
    return is;
}

/* The failures of the members, in the order in which they ended, as one. */
static struct result failures_of_members(const struct fiber *owner, const struct nursery *nursery, struct fiber *first)
{
    struct fiber *left[150];
    size_t count = 0;
    struct result whole = ok_none();
    for (struct fiber *member = nursery->members; member != NULL; member = member->member_before)
        if (has_counted(member) && member != first)
            left[count++] = member;
    if (first != NULL && has_counted(first))
        whole = first->failure;
    for (; count > 0; count--) {
        size_t next = model_choose(owner, (unsigned)count);
        whole = merged(whole, left[next]->failure);
        left[next] = left[count - 1];
    }
    return whole;
}

static struct result nursery_ends(struct fiber *fiber, const struct course *course)
{
    struct first first = first_of(fiber, course);
    bool is_grace_over = course->has_waited && (course->nursery->how == NURSERY_AT_ONCE || course->nursery->how == NURSERY_SOON);
    if ((course->is_owner_struck && first.cause != CAUSE_MEMBER) ||
        (first.cause == CAUSE_NONE && !is_grace_over && is_anybody_struck(course->nursery))) {
        model_refute(fiber);
        return ok_none();
    }
    struct result failures = failures_of_members(fiber, course->nursery, first.member), r = course->body;
    bool is_behind = r.tag == COIR_OK || first.cause == CAUSE_OWNER;
    if (failures.tag != COIR_OK)
        r = is_behind ? merged(r, failures) : merged(failures, r);
    if (first.cause == CAUSE_MEMBER && is_own(first.member))
        r = merged(r, canceled_too(fiber));
    if (course->waited.tag == COIR_CANCELED)
        r = merged(r, course->waited);
    for (const struct fiber *member = course->nursery->members; member != NULL; member = member->member_before)
        if (model_is_struck(member))
            note_event(first.cause == CAUSE_NONE ? EVENT_GRACE_OVER : EVENT_MEMBER);
    return r;
}

/* The io of the scope, with the members that it forks first. */
static struct result nursery_body(struct fiber *fiber, struct made *made, struct fiber *const *members)
{
    const struct term *term = made->term;
    struct result r;
    if (term->count > 1 && model_seen(fiber, &r))
        return r;
    for (size_t i = 1; i < term->count; i++) {
        const struct scope scope = model_child_scope(term, i);
        model_forks(members[i]);
        model_run(members[i], model_make(term->kids[i], &scope));
    }
    model_effect(fiber);
    if (!model_seen(fiber, &r))
        r = term->count > 0 ? model_evaluate(fiber, model_make_kid(term, 0, made->scope)) : ok_none();
    if (term->which == 0 || r.tag != COIR_OK)
        return r;
    drop(r.value);
    return model_seen(fiber, &r) ? r : result_of(COIR_ERROR, error("", 9, 'f'));
}

struct result model_nursery(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    struct nursery *nursery = alloc(sizeof *nursery), *outer = fiber->nursery;
    struct course course = { .nursery = nursery };
    struct fiber *members[CHILDREN_MAX];
    struct mark scope;
    struct result r;
    for (size_t i = 1; i < term->count; i++)
        members[i] = model_fiber(fiber);
    if (model_seen(fiber, &r))
        return r;
    nursery->how = (enum nursery_of)term->how;
    fiber->nursery = nursery;
    for (size_t i = 1; i < term->count; i++)
        members[i]->nursery = nursery;
    model_enter(fiber, &scope, MARK_SCOPE);
    scope.asked = nursery->how == NURSERY_SCOPE ? ASKED_MAYBE : ASKED_NOT;
    course.body = nursery_body(fiber, made, members);
    model_leave(fiber, &scope);
    fiber->nursery = outer;
    course.has_waited = course.body.tag == COIR_OK;
    course.is_owner_struck = course.body.tag == COIR_CANCELED && course.body.meant == &scope;
    if (course.is_owner_struck) {
        note_event(EVENT_OWNER);
        if (model_seen(fiber, &r))
            course.body.meant = r.meant;
        else
            course.body = of_failures(course.body.also_count, course.body.also);
    }
    if (course.has_waited && model_seen(fiber, &r))
        course.waited = r;
    return is_over() ? ok_none() : nursery_ends(fiber, &course);
}
