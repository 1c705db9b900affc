/*
 * evaluate.c - what a random program must do, said by a plain recursive function
 *
 * This is a second reading of the headers, not of the interpreter: one function for each instruction, C's own stack, no scheduler. A
 * fiber is evaluated where it is forked, since no fiber sees what another does but through its result. Values have owners here too,
 * so that the moment at which each dies is known: what a callback was lent and did not take dies when the io that it gave has ended.
 *
 * An io is a term in a scope (`struct made`), made when build.c would make it: what an io carries and cannot be shared is taken out of
 * it by the first who needs it, in whatever run.
 */
#include "random/evaluate.h"

struct heap heap;
struct model model;

/* What was noted since then is what the run noted there, or this is not how it went. */
static void compare_trace(struct fiber *fiber, size_t since)
{
    size_t size = fiber->trace.size - since;
    model_effect(fiber);
    if (fiber->found == NULL)
        return;
    if (strncmp(fiber->found, fiber->trace.chars + since, size) == 0)
        fiber->found += size;
    else
        model_refute(fiber);
}

static void tell_seen(struct fiber *fiber, const struct term *term, const struct value *v, const struct value *context)
{
    size_t since = fiber->trace.size;
    if (is_over())
        return;
    random_add(&fiber->trace, " %d(", term->number);
    add_value(&fiber->trace, v);
    random_add(&fiber->trace, ")@%lld", (long long)number_of(context));
    if (model.program->is_alone)
        random_add(&fiber->trace, "#%d", heap.born);
    compare_trace(fiber, since);
}

void model_tell(struct fiber *fiber, const struct term *term, const struct value *v) { tell_seen(fiber, term, v, &fiber->context); }

void model_tell_result(struct fiber *fiber, const struct term *term, const struct result *r)
{
    struct value tag = plain((int64_t)r->tag);
    model_tell(fiber, term, &tag);
    model_tell(fiber, term, &r->value);
}

void model_tell_end(struct fiber *fiber, const struct result *r)
{
    size_t since = fiber->trace.size;
    if (is_over())
        return;
    random_add(&fiber->trace, " ends(");
    add_result(&fiber->trace, r);
    random_add(&fiber->trace, ")");
    compare_trace(fiber, since);
}

void model_close(struct fiber *fiber)
{
    if (fiber->found != NULL && (*fiber->found != '\n' || model_found(model_name_of_kid(fiber)) != NULL))
        model_refute(fiber);
    else if (!fiber->is_main)
        model_settle(fiber->choices);
}

/* -------------------------------------------------------------------------------------------------------- making ios */

static struct result result_to_carry(const struct term *term)
{
    struct result r = result_of((coir_tag)term->how, make(term->value, false));
    for (unsigned i = 0; i < term->times % 3; i++)
        r = merged(r, result_of(i == 0 ? COIR_ERROR : COIR_PANIC, plain(i)));
    return r;
}

struct made *model_make(const struct term *term, const struct scope *scope)
{
    struct made *made = alloc(sizeof *made);
    struct scope *own = alloc(sizeof *own);
    *own = *scope;
    made->term = term;
    made->scope = own;
    if (term->op == OP_RESULT)
        made->carried_result = result_to_carry(term);
    else if (random_ops[term->op].carries)
        made->carried = make(term->value, false);
    for (size_t i = 0; i < term->count; i++)
        if (!is_body(term, i) && term->op != OP_FOREVER && term->op != OP_WHILE && term->op != OP_FOR_EACH)
            made->kids[i] = model_make_kid(term, i, scope);
    if (random_is_ready(term)) {
        struct scope inner = *scope;
        inner.again = -1;
        made->kids[term->count - 1] = model_make_kid(term, term->count - 1, &inner);
    }
    return made;
}

struct made *model_make_kid(const struct term *term, size_t i, const struct scope *scope)
{
    struct scope inner = *scope;
    inner.soon += random_is_due(term, i);
    inner.is_open = (scope->is_open && !random_is_masked(term, i)) || random_is_due(term, i);
    return model_make(term->kids[i], &inner);
}

/* What the io carries, for one run of it. The first need of what cannot be shared gets it, the others a panic. */
struct value model_need(struct made *made)
{
    if (made->is_used_up)
        return broken(COIR_MISUSE);
    if (can_share(&made->carried))
        return share(&made->carried);
    made->is_used_up = true;
    return made->carried;
}

struct scope model_binding(const struct term *term, const struct scope *scope, const struct value *lent)
{
    struct scope inner = *scope;
    if (term->slot >= 0) {
        inner.bound[term->slot] = *lent;
        inner.is_bound[term->slot] = true;
    }
    return inner;
}

static struct result evaluate_body(struct fiber *fiber, struct made *made, const struct scope *scope)
{
    return model_evaluate(fiber, model_make_kid(made->term, made->term->count - 1, scope));
}

struct result model_ready(struct fiber *fiber, struct made *made)
{
    return model_evaluate(fiber, made->kids[made->term->count - 1]);
}

/* ---------------------------------------------------------------------------------------- callbacks that are lent a value */

static struct result as(struct result r, struct value v)
{
    if (r.tag != COIR_OK) {
        drop(v);
        return r;
    }
    drop(r.value);
    return ok(v);
}

static struct result both(struct value v, struct result r)
{
    if (r.tag == COIR_OK)
        return ok(pair_of(v, r.value));
    drop(v);
    return r;
}

static struct result kept(struct value v, struct result second)
{
    if (second.tag == COIR_OK) {
        drop(second.value);
        return ok(v);
    }
    drop(v);
    return second;
}

static struct value list_take(struct value *v, size_t index)
{
    if (v->shape != LIST || index >= v->object->count)
        return none;
    return v->object->owners > 1 ? share(&v->object->items[index]) : take(&v->object->items[index]);
}

static struct result in_context(struct fiber *fiber, struct made *made, const struct scope *scope, struct value context)
{
    struct value outside = fiber->context;
    fiber->context = context;
    struct result r = evaluate_body(fiber, made, scope);
    fiber->context = outside;
    drop(context);
    return r;
}

static struct result with_key(struct fiber *fiber, struct made *made, const struct scope *scope, struct value v)
{
    struct value *key = &fiber->keys[made->term->which % KEYS], outside = *key;
    *key = v;
    struct result r = evaluate_body(fiber, made, scope);
    *key = outside;
    drop(v);
    return r;
}

static bool breaks_promise(const struct term *term) { return term->how == USE_NOTHING || term->how == USE_LOSE; }

/*
 * What the io that the callback gives ends with. `failure` is what *lent is the payload of, or NULL: what stands behind it was not lent to
 * anybody, so it goes as soon as the failure has been handled.
 */
static struct result used(struct fiber *fiber, struct made *made, const struct scope *scope, struct value *lent, struct result *failure)
{
    const struct term *term = made->term;
    struct scope inner = model_binding(term, scope, lent);
    struct value v;
    struct result r;
    model_tell(fiber, term, lent);
    for (; failure != NULL && !breaks_promise(term) && failure->also_count > 0; failure->also_count--)
        drop(failure->also[failure->also_count - 1].value);
    if (!breaks_promise(term) && model_seen(fiber, &r))
        return r;
    switch ((enum use)term->how) {
    case USE_LEAVE: return evaluate_body(fiber, made, &inner);
    case USE_DROP:
        drop(take(lent));
        return evaluate_body(fiber, made, scope);
    case USE_GIVE:  return ok(take(lent));
    case USE_FAIL:  return result_of(COIR_ERROR, take(lent));
    case USE_PANIC: return result_of(COIR_PANIC, take(lent));
    case USE_AS:
        v = take(lent);
        return as(evaluate_body(fiber, made, scope), v);
    case USE_KEEP:
        v = take(lent);
        return kept(v, evaluate_body(fiber, made, scope));
    case USE_PAIR:
        v = take(lent);
        return both(v, evaluate_body(fiber, made, scope));
    case USE_FINAL:
        v = take(lent);
        r = evaluate_body(fiber, made, scope);
        drop(v);
        return r;
    case USE_SHARE:
        v = share(lent);
        return v.shape == BROKEN ? ok(v) : kept(v, evaluate_body(fiber, made, &inner));
    case USE_LOCAL: return in_context(fiber, made, scope, take(lent));
    case USE_KEY:   return with_key(fiber, made, scope, take(lent));
    case USE_CALL:
        v = take(lent);
        model_tell(fiber, term, &v);
        inner = model_binding(term, scope, &v);
        r = evaluate_body(fiber, made, &inner);
        drop(v);
        return r;
    case USE_OWNED:
        v = take(lent);
        uncount(&v);
        r = evaluate_body(fiber, made, scope);
        drop(v);
        return r;
    case USE_ITEM:  return ok(list_take(lent, 1));
    case USE_UNBOX:
        if (lent->shape != BOX)
            return ok(take(lent));
        return share_result(&lent->object->result);
    case USE_LOSE:
        drop(take(lent));
        return panic(ENOMEM);
    case USE_NOTHING:
        return panic(ENOMEM);
    case USE_READY: break;
    }
    return model_ready(fiber, made);
}

static struct result use(struct fiber *fiber, struct made *made, const struct scope *scope, struct value lent)
{
    struct result r = used(fiber, made, scope, &lent, NULL);
    drop(lent);
    return r;
}

static struct value mapped(struct fiber *fiber, const struct term *term, struct value *lent)
{
    struct value v;
    model_tell(fiber, term, lent);
    switch ((enum map)term->how) {
    case MAP_TAKE: case MAP_SAME: return take(lent);
    case MAP_THING:  return thing(THING, term->number, true);
    case MAP_SOLE:   return thing(SOLE, term->number, true);
    case MAP_NUMBER: return plain(number_of(lent) + 1);
    case MAP_STRING: return string(term->number);
    case MAP_LIST:   return pair_of(take(lent), plain(term->number));
    case MAP_ITEM:   return list_take(lent, 0);
    case MAP_PUSH:
        v = take(lent);
        if (v.shape == LIST) {
            struct value longer = v;
            if (v.object->owners > 1) {
                longer = list(v.object->count, v.object->items);
                for (size_t i = 0; i < v.object->count; i++)
                    (void)share(&v.object->items[i]);
                drop(v);
            } else {
                longer = list(v.object->count, v.object->items);
            }
            longer.object->items[longer.object->count++] = thing(THING, term->number, true);
            return longer;
        }
        return v;
    case MAP_LOSE:
        drop(take(lent));
        break;
    case MAP_BROKEN:
        break;
    }
    return broken(COIR_MISUSE);
}

static struct result map(struct fiber *fiber, const struct term *term, struct result r)
{
    if (r.tag != COIR_OK)
        return r;
    struct result given = ok(mapped(fiber, term, &r.value));
    drop(r.value);
    return given;
}

/*
 * fn on each failure of that tag, the result first, then those in `also`, which stay there. A broken promise makes an error a panic,
 * and the error is kept behind it; for a panic another is no broken promise. The most severe is the result again.
 */
struct result model_map_failures(struct fiber *fiber, const struct term *term, struct result r, coir_tag tag)
{
    struct failure *all = alloc((r.also_count + 1) * 2 * sizeof *all);
    size_t count = 0, worst = 0;
    for (size_t i = 0; i <= r.also_count; i++) {
        struct failure one = i == 0 ? (struct failure){ r.tag, r.value } : r.also[i - 1];
        if (one.tag != tag) {
            all[count++] = one;
            continue;
        }
        struct value lent = one.value;
        bool was_none = is_none(&lent);
        struct result given = result_of(tag, mapped(fiber, term, &lent));
        bool has_broken = term->how == MAP_BROKEN || term->how == MAP_LOSE;
        all[count++] = (struct failure){ given.tag, given.value };
        if (has_broken && tag == COIR_ERROR && (was_none || !is_none(&lent)))
            all[count++] = (struct failure){ tag, lent };
        else
            drop(lent);
    }
    for (size_t i = 1; i < count; i++)
        if (all[i].tag > all[worst].tag)
            worst = i;
    struct failure first = all[worst];
    memmove(all + 1, all, worst * sizeof *all);
    return (struct result){ first.tag, first.value, count - 1, all + 1, r.meant };
}

/* catch and recover. */
static struct result handle(struct fiber *fiber, struct made *made, struct result r, coir_tag tag)
{
    if (r.tag != tag)
        return r;
    struct result given = used(fiber, made, made->scope, &r.value, &r);
    if (breaks_promise(made->term))
        return broken_handler(given, r);
    drop(r.value);
    return given;
}

static struct result redeem(struct fiber *fiber, struct made *made, struct result r)
{
    const struct term *term = made->term;
    if (r.tag == COIR_CANCELED)
        return r;
    struct scope inner = model_binding(term, made->scope, &r.value);
    struct value v;
    struct result given;
    model_tell_result(fiber, term, &r);
    bool gives_io = term->how != REDEEM_NOTHING && term->how != REDEEM_LOSE;
    if (gives_io && model_seen(fiber, &given)) {
        drop_result(&r);
        return given;
    }
    switch ((enum redeem)term->how) {
    case REDEEM_LEAVE:
        given = evaluate_body(fiber, made, &inner);
        break;
    case REDEEM_GIVE:
        return r;
    case REDEEM_BOX:
        return ok(box(r));
    case REDEEM_VALUE:
        v = take(&r.value);
        given = as(evaluate_body(fiber, made, made->scope), v);
        break;
    case REDEEM_NOTHING:
        if (r.tag != COIR_OK)
            return broken_handler(panic(ENOMEM), r);
        given = panic(ENOMEM);
        break;
    case REDEEM_LOSE:
        drop_result(&r);
        return panic(ENOMEM);
    default:
        given = model_ready(fiber, made);
        break;
    }
    drop_result(&r);
    return given;
}

static struct result finalizer_of(struct fiber *fiber, struct made *made, const struct scope *scope)
{
    switch ((enum final)made->term->how) {
    case FINAL_BODY:    return evaluate_body(fiber, made, scope);
    case FINAL_UNIT:    return ok_none();
    case FINAL_NOTHING: return panic(ENOMEM);
    case FINAL_READY:   break;
    }
    return model_ready(fiber, made);
}

static struct result finalize(struct fiber *fiber, struct made *made, struct result r)
{
    struct scope inner = model_binding(made->term, made->scope, &r.value);
    struct mark final;
    model_tell_result(fiber, made->term, &r);
    model_enter(fiber, &final, MARK_FINAL);
    struct result end = finalizer_of(fiber, made, &inner);
    model_leave(fiber, &final);
    return merged(r, end);
}

/* A kid that runs as a finalizer of what ended with r. */
static struct result then_finalizer(struct fiber *fiber, struct made *made, size_t i, struct result r)
{
    struct mark final;
    model_enter(fiber, &final, MARK_FINAL);
    struct result end = evaluate_kid(fiber, made, i);
    model_leave(fiber, &final);
    return merged(r, end);
}

/* ------------------------------------------------------------------------------------------------------------- loops */

static struct result iterate(struct fiber *fiber, struct made *made)
{
    struct value state = model_need(made);
    for (;;) {
        if (state.shape == BROKEN)
            return ok(state);
        struct scope scope = *made->scope;
        int64_t number = number_of(&state);
        scope.again = (number < 0 ? 0 : number % 4) - 1;
        struct result r = use(fiber, made, &scope, state);
        if (r.tag != COIR_OK || r.value.shape != AGAIN || is_over())
            return r;
        state = model_need(r.value.object->made);
        drop(r.value);
    }
}

static struct result repeat(struct fiber *fiber, struct made *made)
{
    struct result r = ok_none();
    for (unsigned i = 0; i < made->term->times % 4 && r.tag == COIR_OK; i++) {
        drop(r.value);
        r = evaluate_kid(fiber, made, 0);
    }
    return r;
}

static struct result retry(struct fiber *fiber, struct made *made)
{
    enum retry after = made->term->how;
    for (unsigned left = made->term->times % 4;; left--) {
        struct result r = evaluate_kid(fiber, made, 0);
        bool is_asked = (r.tag == COIR_ERROR && after != RETRY_VALUES) || (r.tag == COIR_OK && after != RETRY_ERRORS);
        if (!is_asked || left == 0)
            return r;
        drop_result(&r);
    }
}

static struct result forever(struct fiber *fiber, struct made *made)
{
    struct made *body = model_make_kid(made->term, 0, made->scope);
    for (unsigned left = made->term->times % 4;; left--) {
        struct result r = model_evaluate(fiber, body);
        if (r.tag != COIR_OK)
            return r;
        drop(r.value);
        if (model_seen(fiber, &r))                      /* behind the body stands what counts the rounds */
            return r;
        if (left == 0)
            return result_of(COIR_ERROR, make(made->term->value, true));
    }
}

static struct result while_going_on(struct fiber *fiber, struct made *made)
{
    struct made *body = model_make_kid(made->term, 0, made->scope);
    for (unsigned left = made->term->times % 4;; left--) {
        struct result r = model_evaluate(fiber, body);
        if (r.tag != COIR_OK)
            return r;
        model_tell(fiber, made->term, &r.value);
        if (left == 0)
            return r;
        drop(r.value);
    }
}

static struct result for_each(struct fiber *fiber, struct made *made)
{
    struct made *next = model_make_kid(made->term, 0, made->scope);
    for (unsigned left = made->term->times % 4;; left--) {
        struct result r = model_evaluate(fiber, next);
        if (r.tag != COIR_OK)
            return r;
        drop(r.value);
        if (model_seen(fiber, &r))
            return r;
        if (left == 0)
            return ok_none();
        r = use(fiber, made, made->scope, thing(THING, made->term->number, true));
        if (r.tag != COIR_OK)
            return r;
        drop(r.value);
    }
}

static struct result call_itself(struct fiber *fiber, struct made *made, unsigned left)
{
    struct result r;
    if (model_seen(fiber, &r))
        return r;
    model_tell(fiber, made->term, &none);
    if (model_seen(fiber, &r))                          /* before the finalizer is due */
        return r;
    model_effect(fiber);
    r = evaluate_body(fiber, made, made->scope);
    if (left == 0)
        return r;
    if (made->term->how == REC_FINALLY) {
        struct mark final;
        model_enter(fiber, &final, MARK_FINAL);
        struct result end = call_itself(fiber, made, left - 1);
        model_leave(fiber, &final);
        return merged(r, end);
    }
    if (r.tag != COIR_OK)
        return r;
    if (made->term->how == REC_KEEP)
        return kept(r.value, call_itself(fiber, made, left - 1));
    drop(r.value);
    return call_itself(fiber, made, left - 1);
}

bool model_gather(struct gathered *gathered, struct result r)
{
    if (r.tag == COIR_OK) {
        gathered->items[gathered->count++] = r.value;
        return true;
    }
    for (size_t i = 0; i < gathered->count; i++)
        drop(gathered->items[i]);
    gathered->failure = r;
    return false;
}
struct result model_all_of(const struct gathered *gathered)
{
    return gathered->failure.tag != COIR_OK ? gathered->failure : ok(list(gathered->count, gathered->items));
}

static struct result each(struct fiber *fiber, struct made *made)
{
    struct gathered gathered = { 0 };
    struct value items = model_need(made);
    if (items.shape != LIST) {
        drop(items);
        return items.shape == BROKEN ? ok(items) : panic(COIR_MISUSE);
    }
    for (size_t i = 0; i < items.object->count; i++)
        if (!model_gather(&gathered, use(fiber, made, made->scope, list_take(&items, i))))
            break;
    drop(items);
    return model_all_of(&gathered);
}

static struct result traverse(struct fiber *fiber, struct made *made)
{
    struct gathered gathered = { 0 };
    for (unsigned i = 0; i < made->term->times % 4; i++) {
        struct value number = plain(i);
        struct scope inner = model_binding(made->term, made->scope, &number);
        model_tell(fiber, made->term, &number);
        struct result r = made->term->how == SUSPEND_NOTHING && i > 0 ? panic(ENOMEM)
                          : made->term->how == SUSPEND_READY ? model_ready(fiber, made)
                                                             : evaluate_body(fiber, made, &inner);
        if (!model_gather(&gathered, r))
            break;
    }
    return model_all_of(&gathered);
}

static struct result zip(struct fiber *fiber, struct made *made)
{
    struct gathered gathered = { 0 };
    for (size_t i = 0; i < made->term->count; i++)
        if (!model_gather(&gathered, evaluate_kid(fiber, made, i)))
            break;
    return model_all_of(&gathered);
}

static struct result sequence(struct fiber *fiber, struct made *made)
{
    struct result r = ok_none();
    for (size_t i = 0; i < made->term->count && r.tag == COIR_OK; i++) {
        drop(r.value);
        r = evaluate_kid(fiber, made, i);
    }
    return r;
}

/* ---------------------------------------------------------------------------------------------------------- routines */

/* See the routines of build.c. What an await gave lives until the next result comes. */
static struct result routine_end(struct fiber *fiber, struct made *made, struct result *last, struct value *held)
{
    const struct term *term = made->term;
    struct result r;
    switch ((enum ending)term->how) {
    case ENDING_LAST:   r = ok(take(&last->value)); break;
    case ENDING_HELD:   r = ok(term->which == 1 ? take(held) : take(&last->value)); break;
    case ENDING_RAISE:  r = result_of(COIR_ERROR, take(&last->value)); break;
    case ENDING_NOTHING: r = panic(ENOMEM); break;
    default:            r = ok_none(); break;
    }
    drop_result(last);
    if (term->which == 0)
        return r;
    if (term->how != ENDING_BECOME)
        model_tell_result(fiber, term, &r);
    return r;
}

/* Its second kid, which goes back when it has ended. */
static struct result hold_for_routine(struct fiber *fiber, struct made *made, struct held *held)
{
    struct result r;
    if (model_seen(fiber, &r))
        return r;
    return model_hold(fiber, model_make_kid(made->term, 1, made->scope), held);
}

static struct result routine(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    size_t awaits = term->how == ENDING_BECOME ? 2 : 3;
    struct value held = none;
    struct held lent = { 0 };
    struct result last = ok_none(), r;
    bool has_failed = false;
    for (size_t at = 0; at < awaits && !has_failed; at++) {
        bool is_held = at == 1 && random_holds(term), is_tried = !is_held && at < 2 && (term->times >> at & 1) != 0;
        r = is_held ? hold_for_routine(fiber, made, &lent) : model_evaluate(fiber, model_make_kid(term, at, made->scope));
        drop_result(&last);
        last = r;
        has_failed = r.tag > (is_tried ? COIR_ERROR : COIR_OK);
        if (has_failed)
            break;
        if (is_held)
            model_tell(fiber, term, lent.value);
        model_tell_result(fiber, term, &last);
        if (at == 0 && term->which == 1)
            held = take(&last.value);
    }
    if (has_failed) {
        r = last;
        if (term->which == 1 && term->how != ENDING_BECOME)
            model_tell_result(fiber, term, &r);
    } else {
        r = routine_end(fiber, made, &last, &held);
    }
    if (term->which == 1) {
        struct mark final;
        drop(held);
        model_enter(fiber, &final, MARK_FINAL);
        r = merged(r, model_evaluate(fiber, model_make_kid(term, 3, made->scope)));
        model_leave(fiber, &final);
    }
    r = model_give_back(fiber, &lent, r);
    if (term->how == ENDING_BECOME && r.tag == COIR_OK)
        return model_evaluate(fiber, model_make_kid(term, 2, made->scope));
    return r;
}

/* ------------------------------------------------------------------------------------------------- locks and permits */

struct result model_take_object(struct fiber *fiber, const struct term *term)
{
    unsigned object = term->which;
    if (!model.program->is_alone)
        return ok_none();
    if (!is_lock(object) && model.available[object] < permits_asked(term))
        return model_wait_for_ever(fiber);              /* nobody else is there who could give back */
    model.locked[object]++;
    model.available[object] -= permits_asked(term);
    return ok_none();
}

struct result model_give_object(const struct term *term)
{
    unsigned object = term->which;
    if (!model.program->is_alone)
        return ok_none();
    if (is_lock(object) ? model.locked[object] == 0 : model.available[object] + permits_asked(term) > permits_of(object))
        return panic(COIR_MISUSE);
    model.locked[object]--;
    model.available[object] += permits_asked(term);
    return ok_none();
}

/* Whoever enters leaves, since a mask is around both, which is off for what stands between. */
static struct result inside(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    if (permits_asked(term) == permits_of(term->which))
        model.entered[term->which]++;
    model_tell(fiber, term, &none);
    return evaluate_kid(fiber, made, 0);
}

static struct result hold(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    struct result r = model_take_object(fiber, term);
    if (r.tag != COIR_OK)
        return r;
    if (model.program->is_alone)
        r = evaluate_kid(fiber, made, 0);
    else if (!model_seen(fiber, &r))
        r = inside(fiber, made);
    return merged(r, model_give_object(term));
}

static struct result try_object(struct fiber *fiber, const struct term *term)
{
    unsigned object = term->which;
    if (!model.program->is_alone)
        return ok_none();                               /* whether it is free is not determined; see tried() in build.c */
    if (!is_lock(object) && model.available[object] < permits_asked(term))
        return ok(plain(0));
    (void)model_take_object(fiber, term);
    return ok(plain(1));
}

static struct result release_free(const struct term *term)
{
    if (is_lock(term->which) && model.program->is_alone && model.locked[term->which] > 0)
        return model_give_object(term);
    return panic(COIR_MISUSE);
}

static struct result ask_wrong(const struct term *term)
{
    switch ((enum wrong)term->how) {
    case WRONG_NEGATIVE: return panic(EINVAL);
    case WRONG_NONE:     return ok_none();
    default:             return panic(COIR_MISUSE);
    }
}

/* ---------------------------------------------------------------------------------------------------------- evaluate */

static struct result from_result(struct made *made)
{
    if (made->is_used_up)
        return panic(COIR_MISUSE);
    if (can_share_result(&made->carried_result))
        return share_result(&made->carried_result);
    made->is_used_up = true;
    return made->carried_result;
}

static struct result bad(struct made *made)
{
    switch ((enum bad)made->term->how) {
    case BAD_NEVER_BUILT: return panic(ENOMEM);
    case BAD_PANIC_VALUE: return panic(COIR_MISUSE);
    default:              return panic(EINVAL);
    }
}

static struct result deferred(struct fiber *fiber, const struct term *term)
{
    model_tell(fiber, term, &none);
    return term->how == DEFER_BROKEN ? panic(COIR_MISUSE) : result_of((coir_tag)term->how, make(term->value, true));
}

static struct result look(struct fiber *fiber, struct made *made)
{
    const struct value *bound = &made->scope->bound[made->term->which];
    if (!made->scope->is_bound[made->term->which])
        return ok_none();
    model_tell(fiber, made->term, bound);
    return ok(plain(number_of(bound)));
}

struct result variable(struct fiber *fiber, struct made *made) { return made != NULL ? model_evaluate(fiber, made) : ok_none(); }

static struct result again(struct made *made)
{
    if (made->scope->again < 0)
        return ok(plain(0));
    if (made->carried.object == NULL && is_none(&made->carried)) {
        int64_t left = made->scope->again;
        made->carried = made->term->how == AGAIN_INT ? plain(left) : thing(made->term->how == AGAIN_THING ? THING : SOLE, left, false);
    }
    struct value v = holding(AGAIN);
    v.object->made = made;
    return ok(v);
}

static struct result async(struct fiber *fiber, const struct term *term)
{
    model_tell(fiber, term, &none);
    switch ((enum async)term->how) {
    case ASYNC_ERROR: case ASYNC_AFAR_TWICE: return result_of(COIR_ERROR, make(term->value, true));
    case ASYNC_PANIC:   return result_of(COIR_PANIC, make(term->value, true));
    case ASYNC_BROKEN:  return panic(COIR_MISUSE);
    case ASYNC_DROPPED: return panic(COIR_ABANDONED);
    default:            return ok(make(term->value, true));
    }
}

static struct result contra_map(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    struct value outside = fiber->context, inside;
    tell_seen(fiber, term, &outside, &outside);
    switch ((enum context)term->how) {
    case CONTEXT_NEXT:  inside = plain(number_of(&outside) + 1); break;
    case CONTEXT_SHARE: inside = share(&outside); break;
    case CONTEXT_BORN:  inside = make(term->value, true); break;
    default:            inside = broken(COIR_MISUSE); break;
    }
    if (inside.shape == BROKEN)
        return ok(inside);
    fiber->context = inside;
    struct result r = evaluate_kid(fiber, made, 0);
    fiber->context = outside;
    drop(inside);
    return r;
}

static struct result with_carried(struct fiber *fiber, struct made *made, struct value *place)
{
    struct value v = model_need(made), outside = *place;
    if (v.shape == BROKEN)
        return ok(v);
    *place = v;
    struct result r = evaluate_kid(fiber, made, 0);
    *place = outside;
    drop(v);
    return r;
}

static struct result let(struct fiber *fiber, struct made *made)
{
    struct scope inner = *made->scope;
    inner.variables[made->term->which] = made->kids[0];
    return evaluate_body(fiber, made, &inner);
}

static struct result flatten(struct result r)
{
    if (r.tag != COIR_OK)
        return r;
    drop(r.value);
    return panic(COIR_MISUSE);                          /* no value of these programs is an io */
}

static struct result twice(struct fiber *fiber, struct made *made)
{
    struct result r = evaluate_kid(fiber, made, 0);
    switch ((enum twice)made->term->how) {
    case TWICE_ATTEMPT:
        if (r.tag == COIR_CANCELED)
            return r;
        drop_result(&r);
        return evaluate_kid(fiber, made, 0);
    case TWICE_ZIP:
        return r.tag == COIR_OK ? both(r.value, evaluate_kid(fiber, made, 0)) : r;
    case TWICE_OR_ELSE:
        if (r.tag != COIR_ERROR)
            return r;
        drop_result(&r);
        return evaluate_kid(fiber, made, 0);
    case TWICE_FINALLY: break;
    }
    return then_finalizer(fiber, made, 0, r);
}

/* The code of an error, or of plain bits that are an int. */
static bool has_code(const struct value *v, int64_t code)
{
    return (v->shape == ERROR && v->object->number == code) || (v->shape == PLAIN && v->n == code);
}

static struct result always(struct fiber *fiber, struct made *made, struct result r)
{
    if (r.tag == COIR_CANCELED)
        return r;
    if (r.tag != COIR_OK) {
        model_effect(fiber);                            /* what is canceled from now on has that failure behind it */
        r = merged(r, evaluate_kid(fiber, made, 1));
        model_effect(fiber);                            /* and who is given all of it can drop it */
        return r;
    }
    drop(r.value);
    return evaluate_kid(fiber, made, 1);
}

/* Those that first run kid 0, and go on with what it gave. */
static struct result continued(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    struct result r = evaluate_kid(fiber, made, 0);
    switch (term->op) {
    case OP_MAP:       return map(fiber, term, r);
    case OP_MAP_ERROR: return model_map_failures(fiber, term, r, COIR_ERROR);
    case OP_MAP_PANIC: return model_map_failures(fiber, term, r, COIR_PANIC);
    case OP_TAP:
        if (r.tag == COIR_OK)
            model_tell(fiber, term, &r.value);
        return r;
    case OP_FLATTEN:   return term->how == FLATTEN_IO ? r : flatten(r);
    case OP_ATTEMPT:   return r.tag == COIR_CANCELED ? r : ok(box(r));
    case OP_OR_PANIC:
        r.tag = r.tag == COIR_ERROR ? COIR_PANIC : r.tag;
        return r;
    case OP_NAMED: case OP_OWNS:
        return r;
    case OP_WAIT_FOR:  return model_wait_for_it(fiber, term, r);
    case OP_THEN:
        if (r.tag != COIR_OK)
            return r;
        drop(r.value);
        return evaluate_kid(fiber, made, 1);
    case OP_THEN_KEEP: return r.tag == COIR_OK ? kept(r.value, evaluate_kid(fiber, made, 1)) : r;
    case OP_OR_ELSE: case OP_CATCH_CODE:
        if (r.tag != COIR_ERROR || (term->op == OP_CATCH_CODE && !has_code(&r.value, term->times % 4)))
            return r;
        drop_result(&r);
        return evaluate_kid(fiber, made, 1);
    case OP_FINALLY:   return then_finalizer(fiber, made, 1, r);
    case OP_ON_CANCEL: return r.tag == COIR_CANCELED ? then_finalizer(fiber, made, 1, r) : r;
    case OP_ALWAYS:    return always(fiber, made, r);
    case OP_FLAT_MAP:  return r.tag == COIR_OK ? use(fiber, made, made->scope, r.value) : r;
    case OP_CATCH:     return handle(fiber, made, r, COIR_ERROR);
    case OP_RECOVER:   return handle(fiber, made, r, COIR_PANIC);
    case OP_REDEEM:    return redeem(fiber, made, r);
    case OP_FINALLY_FN: return finalize(fiber, made, r);
    default:           return r.tag == COIR_ERROR || r.tag == COIR_PANIC ? finalize(fiber, made, r) : r;        /* on_failure */
    }
}

static struct result evaluate_here(struct fiber *fiber, struct made *made)
{
    const struct term *term = made->term;
    if (random_is_resource(term->op))
        return model_use_for_nothing(fiber, made);
    switch (term->op) {
    case OP_UNIT: case OP_YIELD: case OP_SLEEP: case OP_SELF: case OP_NOW:
        return ok_none();
    case OP_PURE:       return ok(model_need(made));
    case OP_FAIL:       return result_of(COIR_ERROR, model_need(made));
    case OP_FAILF:      return result_of(COIR_ERROR, error("", term->times, 'f'));
    case OP_PANICF:     return panic(COIR_MISUSE);
    case OP_RESULT:     return from_result(made);
    case OP_BAD:        return bad(made);
    case OP_DEFER:      return deferred(fiber, term);
    case OP_LOOK:       return look(fiber, made);
    case OP_VAR:        return variable(fiber, made->scope->variables[term->which]);
    case OP_AGAIN:      return again(made);
    case OP_ASK: case OP_READ:
        model_tell(fiber, term, &fiber->context);
        return ok(plain(number_of(&fiber->context)));
    case OP_KEY_GET:    return ok(share(&fiber->keys[term->which]));
    case OP_NEVER:      return model_wait_for_ever(fiber);
    case OP_CANCEL_SELF: return model_cancel_self(fiber, term);
    case OP_MASK_SEEN:  return model_mask_seen(fiber, term);
    case OP_STALL:      return model_stall(fiber, made);
    case OP_UNCANCELABLE: case OP_CANCELABLE: case OP_TIMEOUT: case OP_TIMEOUT_TO:
        return model_around(fiber, made);
    case OP_ASYNC:      return async(fiber, term);
    case OP_MEET:       return result_of((coir_tag)term->how, make(term->value, true));
    case OP_AS: {
        struct value v = model_need(made);                    /* the run needs it, whether or not it comes to give it */
        return as(evaluate_kid(fiber, made, 0), v);
    }
    case OP_WHEN:       return term->times % 2 == 1 ? evaluate_kid(fiber, made, 0) : ok_none();
    case OP_LOCAL:      return with_carried(fiber, made, &fiber->context);
    case OP_CONTRA_MAP: return contra_map(fiber, made);
    case OP_WITH_KEY:   return with_carried(fiber, made, &fiber->keys[term->which]);
    case OP_REPEAT:     return repeat(fiber, made);
    case OP_RETRY:      return retry(fiber, made);
    case OP_FOREVER:    return forever(fiber, made);
    case OP_WHILE:      return while_going_on(fiber, made);
    case OP_REC:        return call_itself(fiber, made, term->times % 4);
    case OP_SUSPEND:
        model_tell(fiber, term, &none);
        return term->how == SUSPEND_NOTHING ? panic(ENOMEM)
               : term->how == SUSPEND_READY ? model_ready(fiber, made)
                                            : evaluate_body(fiber, made, made->scope);
    case OP_CALL: {
        struct value v = model_need(made);
        return v.shape == BROKEN ? ok(v) : use(fiber, made, made->scope, v);
    }
    case OP_TRAVERSE:   return traverse(fiber, made);
    case OP_EACH:       return each(fiber, made);
    case OP_ITERATE:    return iterate(fiber, made);
    case OP_TWICE:      return twice(fiber, made);
    case OP_FOR_EACH:   return for_each(fiber, made);
    case OP_LET:        return let(fiber, made);
    case OP_SEQUENCE:   return sequence(fiber, made);
    case OP_ZIP:        return zip(fiber, made);
    case OP_ROUTINE:    return routine(fiber, made);
    case OP_BRACKET:    return model_bracket(fiber, made);
    case OP_USE:        return model_use(fiber, made);
    case OP_HOLD:       return hold(fiber, made);
    case OP_TRY:        return try_object(fiber, term);
    case OP_ASK_WRONG:  return ask_wrong(term);
    case OP_WAIT_SELF:  return panic(COIR_DEADLOCK);
    case OP_RELEASE_FREE: return release_free(term);
    case OP_ACQUIRE:    return model_take_object(fiber, term);
    case OP_RELEASE:    return model_give_object(term);
    case OP_FORK:       return model_fork(fiber, made);
    case OP_PARALLEL:   return model_parallel(fiber, made);
    case OP_HUNT:       return model_hunt(fiber, made);
    case OP_GROUP:      return model_group(fiber, made);
    case OP_ITEMS:      return model_items(fiber, made);
    case OP_NURSERY:    return model_nursery(fiber, made);
    case OP_ALIKE:      return model_alike(fiber, made);
    default:            return continued(fiber, made);
    }
}

/* Whether a cancellation inside of it, or behind, is another than one before: by its finalizers, or by what it has done. */
static bool has_effect(const struct term *term)
{
    switch (term->op) {
    case OP_FINALLY: case OP_FINALLY_FN: case OP_ON_CANCEL: case OP_HOLD: case OP_TRY: case OP_ACQUIRE: case OP_RELEASE: case OP_BRACKET: case OP_USE:
    case OP_FORK: case OP_PARALLEL: case OP_ALIKE: case OP_HUNT: case OP_GROUP: case OP_ITEMS: case OP_NURSERY:
        return true;
    case OP_ROUTINE: return term->which == 1 || random_holds(term);
    case OP_TWICE:   return term->how == TWICE_FINALLY;
    case OP_REC:     return term->how == REC_FINALLY;
    default:         return random_is_resource(term->op);
    }
}

struct result model_evaluate(struct fiber *fiber, struct made *made)
{
    struct result r;
    model.steps++;
    if (is_over())
        return ok_none();
    if (model_seen(fiber, &r))
        return r;
    note_ran(made->term);
    if (!has_effect(made->term))
        return evaluate_here(fiber, made);
    model_effect(fiber);
    r = evaluate_here(fiber, made);
    model_effect(fiber);
    return r;
}
