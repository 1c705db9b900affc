/*
 * result.c - outcomes: the chain of further failures, which of two is the more severe, pure functions, boxes
 *
 * Further failures are a chain whose first knows the last, so that chains are joined in no time: a thousand siblings that fail
 * cost a thousand steps. `last` means something in the first of a chain only.
 */
#include "value/object.h"

#include <string.h>

struct coir_failure {
    coir_failure *next;
    coir_failure *last;                                 /* of the first of a chain */
    coir_value    value;
    coir_tag      tag;
};

static _Atomic uint64_t forgotten;                      /* failures for which there was no memory */

/* ------------------------------------------------------------------------------------------------ chains of failures */

coir_failure *coir__failures_join(coir_failure *chain, coir_failure *behind)
{
    if (chain == NULL || behind == NULL)
        return chain == NULL ? behind : chain;
    chain->last->next = behind;
    chain->last = behind->last;
    return chain;
}

coir_failure *coir__failures_of(coir_result failure)
{
    coir_failure *first = coir__alloc(sizeof *first);
    if (first == NULL) {
        fetch_add_relaxed(&forgotten, 1u);              /* relaxed: a statistic */
        drop_held(failure.value);
        return failure.also;
    }
    first->next = NULL;
    first->last = first;
    first->value = failure.value;
    first->tag = failure.tag;
    return coir__failures_join(first, failure.also);
}

static void insert_behind(coir_failure *first, coir_failure *place, coir_failure *one)
{
    one->next = place->next;
    place->next = one;
    if (first->last == place)
        first->last = one;
}

void coir__also(coir_result *result, coir_result further)
{
    coir__check(&further);
    if (further.tag == COIR_OK)
        coir_result_drop(&further);
    else
        result->also = coir__failures_join(result->also, coir__failures_of(further));
}

uint64_t coir__failures_forgotten(void) { return load_relaxed(&forgotten); }

void coir__failures_drop(coir_failure *first)
{
    while (first != NULL) {
        coir_failure *dead = first;
        first = dead->next;
        drop_held(dead->value);
        coir__free(dead, sizeof *dead);
    }
}

coir_result coir__settled(coir_result result)
{
    coir_failure *worst = NULL, *before_worst = NULL, *before = NULL;
    for (coir_failure *f = result.also; f != NULL; before = f, f = f->next) {
        if (f->tag > (worst == NULL ? result.tag : worst->tag)) {
            worst = f;
            before_worst = before;
        }
    }
    if (worst == NULL)
        return result;
    if (before_worst != NULL) {                         /* its cell goes to the front, for what was the result */
        coir_failure *first = result.also;
        before_worst->next = worst->next;
        worst->last = first->last == worst ? before_worst : first->last;
        worst->next = first;
    }
    coir_result raised = { worst->tag, worst->value, worst };
    worst->tag = result.tag;
    worst->value = result.value;
    return raised;
}

/* --------------------------------------------------------------------------------------------- results from outside */

coir_result coir__checked_slow(coir_result result)
{
    coir_result panic = coir__is_panic_value(&result.value)
                            ? coir__panic_of(result.value)
                            : coir__panicf(DOMAIN_COIR, COIR_MISUSE, "%d is not the tag of a result", (int)result.tag);
    if (!coir__is_panic_value(&result.value))
        drop_held(result.value);
    panic.also = result.also;
    return panic;
}

/* ------------------------------------------------------------------------------------------------------- callbacks */

/* What a map function was lent and neither took nor gave back. */
static void drop_rest(coir_value lent, coir_value given)
{
    if (lent.ptr != given.ptr || lent.type != given.type)
        drop_held(lent);
}

static bool was_taken(const coir_value *before, const coir_value *lent) { return coir_is_none(lent) && !coir_is_none(before); }

/* fn on the payload of one failure. If it breaks its promise the failure stays, in `also` of the panic; for a panic another is no broken
 * promise. */
static coir_result mapped_failure(coir_tag tag, coir_value value, coir_map_fn *fn, void *env)
{
    coir_value lent = value;
    coir_value given = fn(env, &lent);
    if (likely(!coir__is_panic_value(&given))) {
        drop_rest(lent, given);
        return coir_result_of(tag, given);
    }
    coir_result panic = coir__panic_of(given);
    if (tag == COIR_PANIC)
        drop_held(lent);
    else if (!was_taken(&value, &lent))
        coir__also(&panic, coir_result_of(tag, lent));
    return panic;
}

void coir__failures_map(coir_failure *first, coir_tag tag, coir_map_fn *fn, void *env)
{
    for (coir_failure *f = first; f != NULL; f = f->next) {
        if (f->tag != tag)
            continue;
        coir_result mapped = mapped_failure(tag, f->value, fn, env);
        f->tag = mapped.tag;
        f->value = mapped.value;
        if (mapped.also != NULL) {
            insert_behind(first, f, mapped.also);
            f = mapped.also;                            /* it has been offered to fn already */
        }
    }
}

coir_result coir__map_failures(coir_result result, coir_tag tag, coir_map_fn *fn, void *env)
{
    if (result.tag == tag) {
        coir_failure *also = result.also;
        result = mapped_failure(tag, result.value, fn, env);
        coir__failures_map(also, tag, fn, env);
        result.also = coir__failures_join(result.also, also);
    } else {
        coir__failures_map(result.also, tag, fn, env);
    }
    return coir__settled(result);
}

/* A handler is given a failure: what it gives is the result. If it breaks its promise the failure stays, in `also` of the panic. */
static coir_result handled(coir_result failure, coir_result_fn *fn, void *env)
{
    coir_value before = failure.value;
    coir_result given = fn(env, &failure.value);
    if (likely(!coir__is_broken(&given))) {
        coir_result_drop(&failure);
        return given;
    }
    given = coir__checked_slow(given);
    if (was_taken(&before, &failure.value))
        given.also = coir__failures_join(given.also, failure.also);
    else
        coir__also(&given, failure);
    return given;
}

coir_result coir__of_failures(coir_failure *first)
{
    coir_result result = { first->tag, first->value, first->next };
    if (result.also != NULL)
        result.also->last = first->last;
    coir__free(first, sizeof *first);
    return coir__settled(result);
}

static NOINLINE coir_result without_function(const char *function, coir_result result)
{
    return coir_result_and(result, coir__panicf(DOMAIN_ERRNO, EINVAL, "%s: fn is NULL", function));
}

/* ---------------------------------------------------------------------------------------------- public functions */

static bool has_code(const coir_value *value, int code)
{
    bool has_one = value->type == &coir_error_type || (value->type == NULL && value->i64 == coir_error_code(value));
    return has_one && coir_error_code(value) == code;
}

bool coir_failed_with(const coir_result *result, int code) { return result->tag == COIR_ERROR && has_code(&result->value, code); }

bool coir_failed_in(const coir_result *result, const char *domain, int code)
{
    return coir_failed_with(result, code) && strcmp(coir_error_domain(&result->value), domain == NULL ? "" : domain) == 0;
}

void coir_result_drop(coir_result *result)
{
    coir_result dead = coir_result_take(result);
    drop_held(dead.value);
    coir__failures_drop(dead.also);
}

const char *coir_tag_name(coir_tag tag)
{
    static const char *const names[] = { "ok", "error", "panic", "canceled" };
    return (unsigned)tag > COIR_CANCELED ? "?" : names[tag];
}

static void print_outcome(coir_tag tag, const coir_value *value, FILE *out)
{
    fputs(coir_tag_name(tag), out);
    if (tag == COIR_CANCELED && coir_is_none(value))
        return;
    putc('(', out);
    coir_value_print(value, out);
    putc(')', out);
}

void coir_result_print(const coir_result *result, FILE *out)
{
    print_outcome(result->tag, &result->value, out);
    for (const coir_failure *f = result->also; f != NULL; f = f->next) {
        fputs(", also ", out);
        print_outcome(f->tag, &f->value, out);
    }
}

bool coir__result_can_share(const coir_result *result)
{
    bool can = coir_can_share(&result->value);
    for (const coir_failure *f = result->also; f != NULL; f = coir_failure_next(f))
        can = can && coir_can_share(coir_failure_value(f));
    return can;
}

coir_result coir_result_share(const coir_result *result)
{
    coir_result shared = coir_result_of(result->tag, coir_share(&result->value));
    coir_failure *last = NULL;
    if (coir__is_panic_value(&shared.value))
        return coir__panic_of(shared.value);
    for (const coir_failure *f = result->also; f != NULL; f = f->next) {
        coir_value value = coir_share(&f->value);
        coir_failure *one = coir__is_panic_value(&value) ? NULL : coir__alloc(sizeof *one);
        if (one == NULL) {
            coir_result_drop(&shared);
            if (coir__is_panic_value(&value))
                return coir__panic_of(value);
            drop_held(value);
            return coir__no_memory();
        }
        *one = (coir_failure){ .next = NULL, .last = one, .value = value, .tag = f->tag };
        if (last == NULL)
            shared.also = one;
        else
            last->next = one;
        shared.also->last = last = one;
    }
    return shared;
}

coir_tag coir_failure_tag(const coir_failure *failure) { return failure->tag; }
const coir_value *coir_failure_value(const coir_failure *failure) { return &failure->value; }
const coir_failure *coir_failure_next(const coir_failure *failure) { return failure->next; }

coir_result coir_result_and(coir_result first, coir_result second)
{
    coir__check(&first);
    coir__check(&second);
    if (first.tag == COIR_OK) {
        coir_result_drop(&first);
        return second;
    }
    if (second.tag == COIR_OK) {
        coir_result_drop(&second);
        return first;
    }
    if (second.tag > first.tag) {
        second.also = coir__failures_join(coir__failures_of(first), second.also);
        return second;
    }
    first.also = coir__failures_join(first.also, coir__failures_of(second));
    return first;
}

coir_result coir_result_map(coir_result result, coir_map_fn *fn, void *env)
{
    coir__check(&result);
    if (fn == NULL)
        return without_function("coir_result_map", result);
    if (result.tag != COIR_OK)
        return result;
    coir_value given = fn(env, &result.value);
    drop_rest(result.value, given);
    return coir__checked(coir_ok(given));
}

coir_result coir_result_flat_map(coir_result result, coir_result_fn *fn, void *env)
{
    coir__check(&result);
    if (fn == NULL)
        return without_function("coir_result_flat_map", result);
    if (result.tag != COIR_OK)
        return result;
    coir_result given = fn(env, &result.value);
    drop_held(result.value);
    return coir__checked(given);
}

coir_result coir_result_map_error(coir_result result, coir_map_fn *fn, void *env)
{
    coir__check(&result);
    if (fn == NULL)
        return without_function("coir_result_map_error", result);
    return coir__map_failures(result, COIR_ERROR, fn, env);
}

coir_result coir_result_catch(coir_result result, coir_result_fn *fn, void *env)
{
    coir__check(&result);
    if (fn == NULL)
        return without_function("coir_result_catch", result);
    return result.tag == COIR_ERROR ? handled(result, fn, env) : result;
}

coir_result coir_result_recover(coir_result result, coir_result_fn *fn, void *env)
{
    coir__check(&result);
    if (fn == NULL)
        return without_function("coir_result_recover", result);
    return result.tag == COIR_PANIC ? handled(result, fn, env) : result;
}

coir_value coir_result_fold(coir_result result, coir_result_fold_fn *fn, void *env)
{
    coir__check(&result);
    coir_value given = fn == NULL ? coir_panic_value("coir_result_fold: fn is NULL") : fn(env, &result);
    coir_result_drop(&result);
    return given;
}

/* The most severe of them, the first among equals; count if all are OK. */
static size_t worst_of(size_t count, coir_result *results)
{
    size_t worst = count;
    for (size_t i = 0; i < count; i++) {
        coir__check(&results[i]);
        if (results[i].tag > (worst == count ? COIR_OK : results[worst].tag))
            worst = i;
    }
    return worst;
}

/* The failures among them, in their order, around the worst one; the successes are dropped. */
static coir_result all_failures(size_t count, coir_result *results, size_t worst)
{
    coir_result whole = coir_result_take(&results[worst]);
    coir_failure *others = NULL;
    for (size_t i = 0; i < count; i++) {
        if (i == worst)
            others = coir__failures_join(others, whole.also);
        else if (results[i].tag == COIR_OK)
            coir_result_drop(&results[i]);
        else
            others = coir__failures_join(others, coir__failures_of(coir_result_take(&results[i])));
    }
    whole.also = others;
    return whole;
}

coir_result coir_result_zip(size_t count, coir_result *results)
{
    if (results == NULL && count > 0)
        return coir__panicf(DOMAIN_ERRNO, EINVAL, "coir_result_zip: results is NULL");
    size_t worst = worst_of(count, results);
    if (worst < count)
        return all_failures(count, results, worst);
    coir_value list = coir__list_new(count);
    for (size_t i = 0; i < count; i++) {
        coir__list_add(&list, coir_take(&results[i].value));
        coir_result_drop(&results[i]);
    }
    return coir__checked(coir_ok(list));
}

coir_result coir_result_sequence(size_t count, coir_result *results)
{
    if (results == NULL && count > 0)
        return coir__panicf(DOMAIN_ERRNO, EINVAL, "coir_result_sequence: results is NULL");
    size_t worst = worst_of(count, results);
    if (worst < count)
        return all_failures(count, results, worst);
    for (size_t i = 0; i + 1 < count; i++)
        coir_result_drop(&results[i]);
    return count == 0 ? coir_ok(coir_none()) : coir_result_take(&results[count - 1]);
}

/* ----------------------------------------------------------------------------------------------------------- boxes */

struct box {
    struct holder head;
    coir_result result;
};

static void box_empty(struct buried *dead)
{
    struct box *box = (struct box *)(void *)dead;
    coir_result_drop(&box->result);
    coir__free(box, sizeof *box);
}

static void box_drop(void *object)
{
    struct box *box = object;
    if (!refs_drop(&box->head.refs))
        return;
    if (unlikely(box->result.also != NULL || !is_leaf(box->result.value.type))) {
        coir__bury(&box->head.dead, box_empty);
        return;
    }
    drop_held(box->result.value);
    coir__free(box, sizeof *box);
}

static void *box_share(void *object)
{
    coir_value value = coir_own(object, &coir_result_type);
    return coir_can_share(&value) && refs_add(&((struct box *)object)->head.refs) ? object : NULL;
}

static void box_print(const void *object, FILE *out) { coir_result_print(&((const struct box *)object)->result, out); }

const coir_type coir_result_type = { "result", box_drop, box_share, box_print };

static bool can_share_result(const coir_result *result)
{
    bool can = coir_can_share(&result->value);
    for (const coir_failure *f = result->also; can && f != NULL; f = f->next)
        can = coir_can_share(&f->value);
    return can;
}

coir_value coir__box(coir_result *result)
{
    struct box *box = coir__alloc(sizeof *box);
    if (unlikely(box == NULL)) {
        coir_result_drop(result);
        return coir__no_memory_value();
    }
    holder_init(&box->head);
    coir__set(&box->result, result);
    coir__check(&box->result);
    if (unlikely(box->result.value.type != NULL || box->result.also != NULL))
        box->head.is_sharable = can_share_result(&box->result);
    return coir_own(box, &coir_result_type);
}

coir_value coir_box(coir_result result) { return coir__box(&result); }

coir_result *coir_result_in(const coir_value *boxed)
{
    return boxed != NULL && boxed->type == &coir_result_type ? &((struct box *)boxed->ptr)->result : NULL;
}
