/*
 * local.c - the context and fiber-local keys
 *
 * Snapshots share structure: each holds one thing, the context or one key's value, and a reference to the snapshot that it was made in.
 * Setting is one small allocation, reading walks a chain as long as the nesting of coir_local() and coir_with_key(), which is short.
 */
#include "fiber/local.h"

#include "fiber/driver.h"

struct coir__context {
    struct buried    buried;                            /* must be first */
    _Atomic uint32_t refs;
    coir_key        *key;                               /* NULL: it is the context */
    coir_value       value;
    struct coir__context *outer;
};

struct coir_key {
    _Atomic uint32_t refs;
    coir_value       initial;
};

/* ------------------------------------------------------------------------------------------------------------- keys */

coir_key *coir_key_new(coir_value initial)
{
    coir_key *key = coir__alloc(sizeof *key);
    if (key == NULL) {
        coir_drop(initial);
        errno = ENOMEM;
        return NULL;
    }
    atomic_init(&key->refs, 1);
    key->initial = initial;
    return key;
}

coir_key *coir_key_ref(coir_key *key)
{
    if (key != NULL)
        fetch_add_relaxed(&key->refs, 1u);
    return key;
}

void coir_key_drop(coir_key *key)
{
    if (key == NULL || fetch_sub_acq_rel(&key->refs, 1u) != 1)
        return;
    coir_drop(key->initial);
    coir__free(key, sizeof *key);
}

/* --------------------------------------------------------------------------------------------------------- snapshots */

static void context_empty(struct buried *buried)
{
    struct coir__context *context = (struct coir__context *)buried;
    coir_key_drop(context->key);
    coir_drop(context->value);
    coir__context_drop(context->outer);
    coir__free(context, sizeof *context);
}

struct coir__context *coir__context_ref(struct coir__context *context)
{
    if (context != NULL)
        fetch_add_relaxed(&context->refs, 1u);
    return context;
}

void coir__context_drop(struct coir__context *context)
{
    if (context != NULL && fetch_sub_acq_rel(&context->refs, 1u) == 1)
        coir__bury(&context->buried, context_empty);
}

static struct coir__context *context_new(struct coir__context *outer, coir_key *key, coir_value value)
{
    struct coir__context *context = coir__alloc(sizeof *context);
    if (context == NULL) {
        coir_drop(value);
        return NULL;
    }
    atomic_init(&context->refs, 1);
    context->key = coir_key_ref(key);
    context->value = value;
    context->outer = coir__context_ref(outer);
    return context;
}

struct coir__context *coir__context_with_value(struct coir__context *outer, coir_value value)
{
    return context_new(outer, NULL, value);
}

struct coir__context *coir__context_with_key(struct coir__context *outer, coir_key *key, coir_value value)
{
    return context_new(outer, key, value);
}

coir_key coir__scope_key = { 1, { { 0 }, NULL } };

const coir_value *coir__context_next(const struct coir__context **context, const coir_key *key)
{
    const struct coir__context *at = *context;
    while (at != NULL && at->key != key)
        at = at->outer;
    *context = at == NULL ? NULL : at->outer;
    return at == NULL ? NULL : &at->value;
}

static const coir_value *find(const struct coir__context *context, const coir_key *key) { return coir__context_next(&context, key); }

const coir_value *coir__context_value(const coir_fiber *fiber)
{
    const coir_value *value = find(fiber->context, NULL);
    return value != NULL ? value : &run_of(fiber)->options.context;
}

const coir_value *coir__context_key(const coir_fiber *fiber, const coir_key *key)
{
    const coir_value *value = find(fiber->context, key);
    return value != NULL ? value : &key->initial;
}

const coir_value *coir_context(void)
{
    return coir__me.seat == NULL || coir__me.seat->fiber == NULL ? NULL : coir__context_value(coir__me.seat->fiber);
}
