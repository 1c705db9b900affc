/*
 * evaluate_fibers.c - what forks, joins and waits do, said by a plain recursive function
 */
#include "random/evaluate.h"

/* Of the next kid that it has. */
const char *model_name_of_kid(const struct fiber *parent)
{
    if (parent == NULL)
        return "main";
    size_t size = strlen(parent->name) + 12;
    char *name = alloc(size);
    snprintf(name, size, "%s.%u", parent->name, parent->kids_count);
    return name;
}

struct fiber *model_fiber(struct fiber *parent)
{
    struct fiber *fiber = alloc(sizeof *fiber);
    fiber->kids_end = &fiber->kids;
    fiber->marks = &fiber->root;
    fiber->name = model_name_of_kid(parent);
    fiber->number = model_number(fiber->name);
    fiber->choices = model_choices();
    fiber->found = model_found(fiber->name);
    fiber->made_before = model.all;
    model.all = fiber;
    model.fibers++;
    if (parent != NULL) {
        parent->kids_count++;
        model_effect(parent);
        if (model.found != NULL && fiber->found == NULL)
            model_refute(parent);
        fiber->context = parent->context;
        fiber->nursery = parent->nursery;
        memcpy(fiber->keys, parent->keys, sizeof fiber->keys);
        *parent->kids_end = fiber;
        parent->kids_end = &fiber->next;
    }
    return fiber;
}

/* A fiber that ends while it holds locks ends as a panic that says so. */
struct result model_ended(struct result r)
{
    bool holds = false;
    for (unsigned i = 0; i < OBJECTS; i++)
        if (is_lock(i) && model.locked[i] > 0) {
            holds = true;
            model.locked[i] = 0;
        }
    return holds ? merged(r, panic(COIR_MISUSE)) : r;
}

const struct scope model_nothing_in_scope = { .again = -1 };

void model_forks(struct fiber *child)
{
    if (child->nursery != NULL)
        model_admit(child->nursery, child);
}

static void note_end(struct fiber *child)
{
    child->tag = child->result.tag;
    child->meant = child->result.meant;
    model_close(child);
    model_note_end(child);
}

bool model_begins(struct fiber *child)
{
    child->choices = model_choices();
    if (is_over())
        return false;
    if (!model_seen(child, &child->result)) {
        model_effect(child);                            /* from now on it notes its end */
        return true;
    }
    note_event(EVENT_NEVER_BEGAN);                      /* and notes nothing */
    note_end(child);
    return false;
}

void model_ends(struct fiber *child, struct result r)
{
    child->result = r;
    model_tell_end(child, &r);
    note_end(child);
}

struct scope model_child_scope(const struct term *term, size_t i)
{
    struct scope scope = model_nothing_in_scope;
    scope.is_hunted = random_is_hunted(model.program, term, i);
    return scope;
}

void model_run(struct fiber *child, struct made *made)
{
    if (model_begins(child))
        model_ends(child, model_evaluate(child, made));
}

/* What it ended with was asked of it by somebody else: by those of whom it is one. */
bool model_is_struck(const struct fiber *child)
{
    return child->tag == COIR_CANCELED && child->meant != NULL && !child->root.is_own;
}

static struct value handle_of(struct fiber *child)
{
    struct value handle = holding(HANDLE);
    handle.object->fiber = child;
    return handle;
}

static struct value fork_made(struct fiber *parent, struct fiber *child, struct made *made)
{
    model_effect(parent);
    model_forks(child);
    model_run(child, made);
    return handle_of(child);
}

static struct value fork_kid(struct fiber *parent, struct fiber *child, const struct term *term, size_t i)
{
    const struct scope scope = model_child_scope(term, i);
    return fork_made(parent, child, model_make(term->kids[i], &scope));
}

/* What one who asks for the fiber's result is given. What cannot be shared goes to the first. */
static struct result asked_for(struct fiber *asker, struct fiber *fiber)
{
    model_effect(asker);
    fiber->is_seen = true;
    if (can_share_result(&fiber->result))
        return share_result(&fiber->result);
    struct result r = fiber->result;
    fiber->result = panic(COIR_MISUSE);
    return r;
}

static struct result join(struct fiber *fiber, struct value handle)
{
    if (handle.object->fiber->tag != COIR_CANCELED)
        return asked_for(fiber, handle.object->fiber);
    return result_of(COIR_ERROR, error("coir", COIR_CHILD_CANCELED, 0));
}

static struct result wait_for(struct fiber *fiber, size_t count, const struct value *handles)
{
    struct value *boxes = alloc((count + 1) * sizeof *boxes);
    for (size_t i = 0; i < count; i++)
        boxes[i] = box(asked_for(fiber, handles[i].object->fiber));
    return ok(list(count, boxes));
}

static struct result noted(struct fiber *fiber, const struct term *term, struct result look)
{
    if (look.tag == COIR_OK)
        model_tell(fiber, term, &look.value);
    return look;
}

struct result model_fork(struct fiber *fiber, struct made *made)
{
    struct fiber *child = model_fiber(fiber);
    struct result r;
    if (model_seen(fiber, &r))
        return r;
    if (made->term->how == FORK_DETACHED)
        child->nursery = NULL;
    struct value handle = fork_kid(fiber, child, made->term, 0);
    if (made->term->how != FORK_HANDLE && model_seen(fiber, &r))
        return r;
    switch ((enum fork)made->term->how) {
    case FORK_HANDLE:   return ok(handle);
    case FORK_JOIN:     return noted(fiber, made->term, join(fiber, handle));
    case FORK_WAIT:     return noted(fiber, made->term, wait_for(fiber, 1, &handle));
    case FORK_DETACHED: break;
    }
    return ok_none();
}

/* By a fiber in between. */
static struct result join_elsewhere(struct fiber *fiber, struct fiber *other, struct value handle)
{
    struct result r;
    model_effect(fiber);
    model_forks(other);
    if (model_begins(other)) {
        if (!model_seen(other, &r))
            r = join(other, handle);
        model_ends(other, r);
    }
    return model_seen(fiber, &r) ? r : join(fiber, handle_of(other));
}

static struct result look_at(struct fiber *fiber, struct look_at look, struct fiber *other, size_t count, const struct value *handles)
{
    if (count == 0 && look.look == LOOK_WAIT_ANY)
        return panic(EINVAL);
    if (count == 0 && look.look != LOOK_WAIT_ALL)
        return ok_none();
    switch ((enum look)look.look) {
    case LOOK_JOIN:     return join(fiber, handles[look.index % count]);
    case LOOK_JOIN_ELSEWHERE: return join_elsewhere(fiber, other, handles[look.index % count]);
    case LOOK_WAIT:     return wait_for(fiber, 1, &handles[look.index % count]);
    case LOOK_WAIT_ALL: return wait_for(fiber, count, handles);
    default:            return ok_none();               /* which one ends first is not determined; build.c looks that it has */
    }
}

/* Of what a term gave: a handle, a list of them, or something else. */
struct result model_wait_for_it(struct fiber *fiber, const struct term *term, struct result r)
{
    if (r.tag != COIR_OK)
        return r;
    size_t count = r.value.shape == LIST ? r.value.object->count : 1;
    const struct value *handles = r.value.shape == LIST ? r.value.object->items : &r.value;
    bool are_fibers = term->how != WAITING_JOIN || r.value.shape == HANDLE;
    for (size_t i = 0; i < count; i++)
        are_fibers &= handles[i].shape == HANDLE;
    struct result given;
    if (!are_fibers && term->how == WAITING_JOIN)
        given = panic(ENOMEM);                          /* the handle that there is not, is NULL */
    else if (model_seen(fiber, &given))
        ;
    else if (!are_fibers)
        given = panic(EINVAL);
    else if (term->how == WAITING_JOIN)
        given = join(fiber, r.value);
    else if (term->how == WAITING_ALL)
        given = wait_for(fiber, count, handles);
    else
        given = count == 0 ? panic(EINVAL) : ok_none();
    drop(r.value);
    return given;
}

/* One after the other or all at once; false: canceled before the last was forked. */
static bool fork_all(struct fiber *fiber, const struct term *term, struct value *handles, struct result *r)
{
    struct fiber *children[TERM_KIDS];
    for (size_t i = 0; i < term->count; i++)
        children[i] = model_fiber(fiber);
    if (model_seen(fiber, r))
        return false;
    for (size_t i = 0; i < term->count; i++) {
        if (term->which == 1 && model_seen(fiber, r))
            return false;
        handles[i] = fork_kid(fiber, children[i], term, i);
    }
    return true;
}

struct result model_parallel(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    struct value handles[TERM_KIDS];
    struct fiber *others[3];
    struct gathered gathered = { 0 };
    struct result r = ok_none();
    if (!fork_all(fiber, term, handles, &r))
        return r;
    if (term->how == PARALLEL_HANDLES)
        return model_seen(fiber, &r) ? r : ok(list(term->count, handles));
    for (size_t i = 0; i < term->looks_count; i++)
        others[i] = term->looks[i].look == LOOK_JOIN_ELSEWHERE && term->count > 0 ? model_fiber(fiber) : NULL;
    if (model_seen(fiber, &r))
        return r;
    for (size_t i = 0; i < term->looks_count; i++) {
        if (!model_seen(fiber, &r))
            r = noted(fiber, term, look_at(fiber, term->looks[i], others[i], term->count, handles));
        if (term->how == PARALLEL_EACH && r.tag != COIR_CANCELED)
            r = ok(box(r));
        if (!model_gather(&gathered, r))
            break;
    }
    return term->how == PARALLEL_LAST ? r : model_all_of(&gathered);
}

struct result model_alike(struct fiber *fiber, struct made *made)
{
    struct made *shared = model_make(made->term->kids[0], &model_nothing_in_scope);
    struct fiber *children[3];
    struct value handles[3];
    struct result r;
    for (size_t i = 0; i < 3; i++)
        children[i] = model_fiber(fiber);
    if (model_seen(fiber, &r))
        return r;
    for (size_t i = 0; i < 3; i++)
        handles[i] = fork_made(fiber, children[i], shared);
    return model_seen(fiber, &r) ? r : noted(fiber, made->term, wait_for(fiber, 3, handles));
}

/* Canceled as a mask around both lets it be for certain. */
struct result model_hunt(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    struct fiber *child = model_fiber(fiber);
    struct result r;
    if (model_seen(fiber, &r))
        return r;
    child->is_stalked = term->how == HUNT_STALLED;
    if (term->how == HUNT_AT_ONCE) {
        child->root.asked = ASKED_MAYBE;
        child->root.is_own = true;
    }
    struct value handle = fork_kid(fiber, child, term, 0);
    if (child->tag == COIR_CANCELED && child->meant != NULL)
        note_event(EVENT_HUNTED);
    if (term->how == HUNT_ENDED)                        /* who waits for it until then has looked at it */
        (void)wait_for(fiber, 1, &handle);
    enum hunt_end end = term->times >> 1 & 3;
    if (end != HUNT_HANDLE && model_seen(fiber, &r))
        return r;
    switch (end) {
    case HUNT_WAIT:   return noted(fiber, term, wait_for(fiber, 1, &handle));
    case HUNT_JOIN:   return noted(fiber, term, join(fiber, handle));
    case HUNT_HANDLE: return ok(handle);
    case HUNT_FORGET: break;
    }
    return ok_none();
}
