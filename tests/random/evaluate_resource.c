/*
 * evaluate_resource.c - brackets and resources, said by a plain recursive function
 *
 * What was acquired, and all that was made of it, stands in a list, the last one first: in that order it goes back, or dies.
 */
#include "random/evaluate.h"

struct record {
    struct record *below;
    struct value   value;
    struct made   *releases, *runs;                     /* NEW: it releases the value; or an io, in place of a value */
    const struct term *object;                          /* it gives that back */
    struct value   context, keys[KEYS];                 /* as they were */
};

static struct record *push(struct fiber *fiber, struct held *held, struct value v)
{
    struct record *record = alloc(sizeof *record);
    *record = (struct record){ .below = held->records, .value = v, .context = fiber->context };
    memcpy(record->keys, fiber->keys, sizeof record->keys);
    held->records = record;
    return record;
}

static void hold_value(struct fiber *fiber, struct held *held, struct value v) { held->value = &push(fiber, held, v)->value; }

/* ------------------------------------------------------------------------------------------------------------ giving back */

static struct result release(struct fiber *fiber, struct made *made, struct value *v, const struct result *outcome)
{
    struct scope inner = model_binding(made->term, made->scope, v);
    model_tell_result(fiber, made->term, outcome);
    model_tell(fiber, made->term, v);
    switch ((enum release)made->term->how) {
    case RELEASE_BODY:    return model_evaluate(fiber, model_make_kid(made->term, 1, &inner));
    case RELEASE_UNIT:    return ok_none();
    case RELEASE_TAKEN:
        drop(take(v));
        return model_evaluate(fiber, model_make_kid(made->term, 1, made->scope));
    case RELEASE_NOTHING: break;
    }
    return panic(ENOMEM);
}

static struct result give_back(struct fiber *fiber, struct record *record, const struct result *outcome)
{
    if (record->object != NULL)
        return model_give_object(record->object);
    if (record->runs != NULL)
        return model_evaluate(fiber, record->runs);
    return record->releases != NULL ? release(fiber, record->releases, &record->value, outcome) : ok_none();
}

/* In the context in which it was acquired. */
static struct result give_back_there(struct fiber *fiber, struct record *record, const struct result *outcome)
{
    struct value context = fiber->context, keys[KEYS];
    enum stage stage = fiber->stage;
    struct mark final;
    memcpy(keys, fiber->keys, sizeof keys);
    fiber->context = record->context;
    memcpy(fiber->keys, record->keys, sizeof keys);
    fiber->stage = STAGE_RELEASING;
    model_enter(fiber, &final, MARK_FINAL);
    struct result r = give_back(fiber, record, outcome);
    model_leave(fiber, &final);
    fiber->stage = stage;
    fiber->context = context;
    memcpy(fiber->keys, keys, sizeof keys);
    return r;
}

static struct result give_back_down_to(struct fiber *fiber, struct held *held, const struct record *mark, struct result outcome)
{
    while (held->records != mark) {
        struct record *record = held->records;
        outcome = merged(outcome, give_back_there(fiber, record, &outcome));
        drop(record->value);
        held->records = record->below;
    }
    return outcome;
}

struct result model_give_back(struct fiber *fiber, struct held *held, struct result outcome)
{
    return give_back_down_to(fiber, held, NULL, outcome);
}

/* ------------------------------------------------------------------------------------------------------------- acquiring */

static struct result open(struct fiber *fiber, struct made *made, struct held *held);

static struct result acquired(struct fiber *fiber, struct made *io)
{
    enum stage stage = fiber->stage;
    struct mark mask;
    struct result r;
    if (model_seen(fiber, &r))
        return r;
    fiber->stage = STAGE_ACQUIRING;
    model_enter(fiber, &mask, MARK_MASK);
    r = model_evaluate(fiber, io);
    model_leave(fiber, &mask);
    fiber->stage = stage;
    return r;
}

/* `releases` NULL: what is held is dropped. */
static struct result acquire(struct fiber *fiber, struct made *io, struct made *releases, struct held *held)
{
    struct result r = acquired(fiber, io);
    if (r.tag != COIR_OK)
        return r;
    hold_value(fiber, held, r.value);
    held->records->releases = releases;
    return ok_none();
}

/* A lock or permits, and, beside others, the count of those who are inside. */
static struct result acquire_object(struct fiber *fiber, struct made *made, struct held *held)
{
    const struct term *term = made->term;
    struct mark mask;
    struct result r;
    if (model_seen(fiber, &r))
        return r;
    model_enter(fiber, &mask, MARK_MASK);
    r = model_take_object(fiber, term);
    model_leave(fiber, &mask);
    if (r.tag != COIR_OK)
        return r;
    hold_value(fiber, held, none);
    held->records->object = term;
    if (!model.program->is_alone) {
        if (model_seen(fiber, &r))
            return r;
        model.entered[term->which] += permits_asked(term) == permits_of(term->which);
        model_tell(fiber, term, &none);
        hold_value(fiber, held, none);
    }
    return open(fiber, made->kids[0], held);
}

/* The body, in place of a resource; what it was lent is held until then, too. */
static struct result open_body(struct fiber *fiber, struct made *made, const struct scope *scope, struct held *held)
{
    if (made->term->how == MAKE_NOTHING)
        return panic(ENOMEM);
    return open(fiber, model_make_kid(made->term, made->term->count - 1, scope), held);
}

static struct result open_flat_map(struct fiber *fiber, struct made *made, struct held *held)
{
    struct result r = open(fiber, made->kids[0], held);
    if (r.tag != COIR_OK)
        return r;
    struct scope inner = model_binding(made->term, made->scope, held->value);
    model_tell(fiber, made->term, held->value);
    return open_body(fiber, made, &inner, held);
}

static struct value shared(const struct value *v) { return can_share(v) ? share(v) : plain(number_of(v)); }

static struct result open_map(struct fiber *fiber, struct made *made, struct held *held)
{
    struct result r = open(fiber, made->kids[0], held);
    if (r.tag != COIR_OK)
        return r;
    model_tell(fiber, made->term, held->value);
    switch ((enum held_as)made->term->how) {
    case HELD_NUMBER: hold_value(fiber, held, plain(number_of(held->value) + 1)); break;
    case HELD_THING:  hold_value(fiber, held, thing(THING, made->term->number, true)); break;
    case HELD_SHARE:  hold_value(fiber, held, shared(held->value)); break;
    case HELD_BROKEN: return panic(COIR_MISUSE);
    }
    return ok_none();
}

static struct result open_then(struct fiber *fiber, struct made *made, struct held *held)
{
    struct result r = open(fiber, made->kids[0], held);
    return r.tag == COIR_OK ? open(fiber, made->kids[1], held) : r;
}

static struct result open_zip(struct fiber *fiber, struct made *made, struct held *held)
{
    struct gathered gathered = { 0 };
    for (size_t i = 0; i < made->term->count; i++) {
        struct result r = open(fiber, made->kids[i], held);
        if (r.tag == COIR_OK) {
            hold_value(fiber, held, shared(held->value));
            r = ok(share(held->value));
        }
        if (!model_gather(&gathered, r))
            return gathered.failure;
    }
    hold_value(fiber, held, list(gathered.count, gathered.items));
    return ok_none();
}

/* What was acquired before it failed goes back first, which may make it another failure. */
static struct result open_handled(struct fiber *fiber, struct made *made, struct held *held, coir_tag tag)
{
    const struct record *mark = held->records;
    struct result r = open(fiber, made->kids[0], held);
    if (r.tag != tag)
        return r;
    r = give_back_down_to(fiber, held, mark, r);
    if (r.tag != tag)
        return r;
    struct scope inner = model_binding(made->term, made->scope, &r.value);
    bool is_taken = made->term->how == MAKE_TAKEN;
    model_tell(fiber, made->term, &r.value);
    if (made->term->how == MAKE_NOTHING)
        return broken_handler(panic(ENOMEM), r);
    if (is_taken)
        drop(take(&r.value));
    for (size_t i = 0; i < r.also_count; i++)
        drop(r.also[i].value);
    hold_value(fiber, held, r.value);
    return open_body(fiber, made, is_taken ? made->scope : &inner, held);
}

static struct result open_attempt(struct fiber *fiber, struct made *made, struct held *held)
{
    const struct record *mark = held->records;
    struct result r = open(fiber, made->kids[0], held);
    if (r.tag == COIR_OK) {
        hold_value(fiber, held, shared(held->value));
        hold_value(fiber, held, box(ok(share(held->value))));
        return ok_none();
    }
    if (r.tag != COIR_CANCELED)
        r = give_back_down_to(fiber, held, mark, r);
    if (r.tag == COIR_CANCELED)
        return r;
    hold_value(fiber, held, box(r));
    return ok_none();
}

static struct result open_finally(struct fiber *fiber, struct made *made, struct held *held)
{
    push(fiber, held, none)->runs = made->kids[1];
    return open(fiber, made->kids[0], held);
}

static struct result open_local(struct fiber *fiber, struct made *made, struct held *held)
{
    struct value v = model_need(made), outside = fiber->context;
    if (v.shape == BROKEN)
        return ok(v);
    fiber->context = v;
    struct result r = open(fiber, made->kids[0], held);
    fiber->context = outside;
    return r;
}

/* OK: held->value is what is held. Otherwise what was acquired until then is still to be given back. */
static struct result open(struct fiber *fiber, struct made *made, struct held *held)
{
    struct result r;
    if (is_over())
        return panic(ENOMEM);
    if (random_is_resource(made->term->op))
        note_ran(made->term);
    switch (made->term->op) {
    case OP_NEW:            return acquire(fiber, made->kids[0], made, held);
    case OP_DROPS:          return acquire(fiber, made->kids[0], NULL, held);
    case OP_MAKE:
        model_tell(fiber, made->term, &none);
        return open_body(fiber, made, made->scope, held);
    case OP_HELD_MAP:       return open_map(fiber, made, held);
    case OP_HELD_FLAT_MAP:  return open_flat_map(fiber, made, held);
    case OP_HELD_THEN:      return open_then(fiber, made, held);
    case OP_HELD_ZIP:       return open_zip(fiber, made, held);
    case OP_HELD_CATCH:     return open_handled(fiber, made, held, COIR_ERROR);
    case OP_HELD_RECOVER:   return open_handled(fiber, made, held, COIR_PANIC);
    case OP_HELD_MAP_ERROR:
        r = open(fiber, made->kids[0], held);
        return r.tag == COIR_OK ? r : model_map_failures(fiber, made->term, r, COIR_ERROR);
    case OP_HELD_ATTEMPT:   return open_attempt(fiber, made, held);
    case OP_HELD_FINALLY:   return open_finally(fiber, made, held);
    case OP_HELD_LOCAL:     return open_local(fiber, made, held);
    case OP_HELD_OBJECT:    return acquire_object(fiber, made, held);
    default:                return acquire(fiber, made, NULL, held);
    }
}

struct result model_hold(struct fiber *fiber, struct made *made, struct held *held)
{
    struct result r = open(fiber, made, held);
    return r.tag == COIR_OK ? r : model_give_back(fiber, held, r);
}

/* ------------------------------------------------------------------------------------------------------------------ use */

static struct result used(struct fiber *fiber, struct made *made, const struct value *v)
{
    if (made->term->how == USING_WITH)
        return model_ready(fiber, made);
    struct scope inner = model_binding(made->term, made->scope, v);
    model_tell(fiber, made->term, v);
    return made->term->how == USING_NOTHING ? panic(ENOMEM) : model_evaluate(fiber, model_make_kid(made->term, 1, &inner));
}

struct result model_use(struct fiber *fiber, struct made *made)
{
    enum stage stage = fiber->stage;
    struct held held = { 0 };
    struct result r = open(fiber, made->kids[0], &held);
    fiber->stage = STAGE_USING;
    if (r.tag == COIR_OK)
        r = used(fiber, made, held.value);
    fiber->stage = stage;
    return model_give_back(fiber, &held, r);
}

struct result model_use_for_nothing(struct fiber *fiber, struct made *made)
{
    struct held held = { 0 };
    struct result r = open(fiber, made, &held);
    if (r.tag == COIR_OK && !model_seen(fiber, &r))
        r = ok_none();
    return model_give_back(fiber, &held, r);
}

static struct result bracket_used(struct fiber *fiber, struct made *made, const struct value *v)
{
    enum stage stage = fiber->stage;
    struct scope inner = model_binding(made->term, made->scope, v);
    model_tell(fiber, made->term, v);
    fiber->stage = STAGE_USING;
    struct result r = made->term->how == BRACKET_NO_USE ? panic(ENOMEM) : model_evaluate(fiber, model_make_kid(made->term, 1, &inner));
    fiber->stage = stage;
    return r;
}

static struct result bracket_released(struct fiber *fiber, struct made *made, struct value *v, const struct result *outcome)
{
    struct scope inner = model_binding(made->term, made->scope, v);
    bool is_taken = made->term->how == BRACKET_TAKEN;
    model_tell_result(fiber, made->term, outcome);
    model_tell(fiber, made->term, v);
    if (made->term->how == BRACKET_NO_RELEASE)
        return panic(ENOMEM);
    if (is_taken)
        drop(take(v));
    return model_evaluate(fiber, model_make_kid(made->term, 2, is_taken ? made->scope : &inner));
}

struct result model_bracket(struct fiber *fiber, struct made *made)
{
    enum stage stage = fiber->stage;
    struct mark final;
    struct result r = acquired(fiber, made->kids[0]);
    if (r.tag != COIR_OK)
        return r;
    struct value v = r.value;
    r = bracket_used(fiber, made, &v);
    fiber->stage = STAGE_RELEASING;
    model_enter(fiber, &final, MARK_FINAL);
    r = merged(r, bracket_released(fiber, made, &v, &r));
    model_leave(fiber, &final);
    fiber->stage = stage;
    drop(v);
    return r;
}
