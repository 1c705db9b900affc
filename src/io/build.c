/*
 * build.c - constants and deferred steps
 */
#include "io/node.h"

#include <string.h>

coir_io *coir_pure(coir_value value)
{
    coir_io *node = coir__node_new(OP_PURE, NODE_SMALL);
    if (unlikely(node == NULL)) {
        coir_drop(value);
        return NULL;
    }
    coir__set_value(&node->value, value);
    coir__node_note_sole(node, &node->value);
    return node;
}

coir_io *coir_unit(void) { return &coir__unit; }

static ALWAYS_INLINE coir_io *result_node(coir_tag tag, coir_value value, coir_failure *also)
{
    coir_io *node = coir__node_new(OP_RESULT, NODE_SIZE_OF(failure));
    if (unlikely(node == NULL))
        return NULL;
    coir__set_value(&node->value, value);
    node->failure.also = also;
    node->failure.tag = tag;
    coir__node_note_sole(node, &node->value);
    for (const coir_failure *f = also; f != NULL; f = coir_failure_next(f))
        coir__node_note_sole(node, coir_failure_value(f));
    return node;
}

coir_io *coir_from_result(coir_result result)
{
    coir__check(&result);
    coir_io *node = result_node(result.tag, result.value, result.also);
    if (node == NULL)
        coir_result_drop(&result);
    return node;
}

coir_io *coir_fail(coir_value error)
{
    if (coir__is_panic_value(&error))
        return coir_from_result(coir__panic_of(error));
    coir_io *node = result_node(COIR_ERROR, error, NULL);
    if (unlikely(node == NULL))
        coir_drop(error);
    return node;
}

coir_io *coir_panicf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    coir_value error = coir__error_v(DOMAIN_COIR, COIR_MISUSE, format, arguments);
    va_end(arguments);
    return coir_from_result(coir_panic(error));
}

/* --------------------------------------------------------------------------------------------------- deferred steps */

static NOINLINE coir_io *leaf_slow(const char *function, enum op op, any_fn *fn, struct env_given given)
{
    const char *bad = coir__callback_bad(fn, given);
    return bad != NULL ? coir__bad_argument(function, bad) : coir__callback_node(op, NODE_SMALL, fn, given);
}

static ALWAYS_INLINE coir_io *leaf(const char *function, enum op op, any_fn *fn, struct env_given given)
{
    coir_io *node = coir__callback_at_hand(op, NODE_SMALL, fn, given);
    return likely(node != NULL) ? node : leaf_slow(function, op, fn, given);
}

coir_io *coir_defer(coir_defer_fn *fn, void *env) { return leaf("coir_defer", OP_DEFER, (any_fn *)fn, lent(env)); }
coir_io *coir_defer_copy(coir_defer_fn *fn, const void *bytes, size_t size)
{
    return leaf("coir_defer_copy", OP_DEFER, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_suspend(coir_suspend_fn *fn, void *env) { return leaf("coir_suspend", OP_SUSPEND, (any_fn *)fn, lent(env)); }
coir_io *coir_suspend_copy(coir_suspend_fn *fn, const void *bytes, size_t size)
{
    return leaf("coir_suspend_copy", OP_SUSPEND, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_defer_read(coir_read_fn *fn, void *env) { return leaf("coir_defer_read", OP_DEFER_READ, (any_fn *)fn, lent(env)); }
coir_io *coir_defer_read_copy(coir_read_fn *fn, const void *bytes, size_t size)
{
    return leaf("coir_defer_read_copy", OP_DEFER_READ, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_rec(coir_rec_fn *fn, void *env) { return leaf("coir_rec", OP_REC, (any_fn *)fn, lent(env)); }
coir_io *coir_rec_copy(coir_rec_fn *fn, const void *bytes, size_t size)
{
    return leaf("coir_rec_copy", OP_REC, (any_fn *)fn, captured(bytes, size));
}

/* A leaf that carries a value for its callback: CALL, ITERATE, EACH, PAR_EACH. */
static coir_io *leaf_with(const char *function, enum op op, size_t size, coir_value state, any_fn *fn, struct env_given given)
{
    const char *bad = coir__callback_bad(fn, given);
    if (bad == NULL && coir__is_panic_value(&state))
        return coir_from_result(coir__panic_of(state));
    coir_io *node = bad == NULL ? coir__callback_node(op, size, fn, given) : NULL;
    if (node == NULL) {
        coir_drop(state);
        return bad == NULL ? NULL : coir__bad_argument(function, bad);
    }
    coir__set_value(&node->state, state);
    coir__node_note_sole(node, &node->state);
    return node;
}

coir_io *coir_call(coir_value value, coir_flat_map_fn *fn, void *env)
{
    return leaf_with("coir_call", OP_CALL, NODE_SIZE_OF(state), value, (any_fn *)fn, lent(env));
}
coir_io *coir_call_copy(coir_value value, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    return leaf_with("coir_call_copy", OP_CALL, NODE_SIZE_OF(state), value, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_iterate(coir_value state, coir_flat_map_fn *fn, void *env)
{
    return leaf_with("coir_iterate", OP_ITERATE, NODE_SIZE_OF(state), state, (any_fn *)fn, lent(env));
}
coir_io *coir_iterate_copy(coir_value state, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    return leaf_with("coir_iterate_copy", OP_ITERATE, NODE_SIZE_OF(state), state, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_each(coir_value list, coir_flat_map_fn *fn, void *env)
{
    return leaf_with("coir_each", OP_EACH, NODE_SIZE_OF(each), list, (any_fn *)fn, lent(env));
}
coir_io *coir_each_copy(coir_value list, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    return leaf_with("coir_each_copy", OP_EACH, NODE_SIZE_OF(each), list, (any_fn *)fn, captured(bytes, size));
}

static coir_io *traverse(const char *function, size_t count, any_fn *fn, struct env_given given)
{
    const char *bad = coir__callback_bad(fn, given);
    if (bad != NULL)
        return coir__bad_argument(function, bad);
    coir_io *node = coir__callback_node(OP_TRAVERSE, NODE_SIZE_OF(gather), fn, given);
    if (node != NULL)
        node->gather = (struct gather){ .count = count, .index = 0, .list = coir_none() };
    return node;
}

coir_io *coir_traverse(size_t count, coir_index_fn *fn, void *env)
{
    return traverse("coir_traverse", count, (any_fn *)fn, lent(env));
}
coir_io *coir_traverse_copy(size_t count, coir_index_fn *fn, const void *bytes, size_t size)
{
    return traverse("coir_traverse_copy", count, (any_fn *)fn, captured(bytes, size));
}

/* ---------------------------------------------------------------------------------------------- the same, side by side */

static coir_io *par_traverse(const char *function, enum op op, size_t limit, size_t count, any_fn *fn, struct env_given given)
{
    const char *bad = coir__callback_bad(fn, given);
    if (bad != NULL)
        return coir__bad_argument(function, bad);
    coir_io *node = coir__callback_node(op, NODE_SIZE_OF(pulled), fn, given);
    if (node == NULL)
        return NULL;
    node->pulled.list = coir_none();
    node->pulled.limit = limit;
    node->pulled.count = count;
    return node;
}

coir_io *coir_par_traverse(size_t limit, size_t count, coir_index_fn *fn, void *env)
{
    return par_traverse("coir_par_traverse", OP_PAR_TRAVERSE, limit, count, (any_fn *)fn, lent(env));
}
coir_io *coir_par_traverse_copy(size_t limit, size_t count, coir_index_fn *fn, const void *bytes, size_t size)
{
    return par_traverse("coir_par_traverse_copy", OP_PAR_TRAVERSE, limit, count, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_par_traverse_all(size_t limit, size_t count, coir_index_fn *fn, void *env)
{
    return par_traverse("coir_par_traverse_all", OP_PAR_TRAVERSE_ALL, limit, count, (any_fn *)fn, lent(env));
}
coir_io *coir_par_traverse_all_copy(size_t limit, size_t count, coir_index_fn *fn, const void *bytes, size_t size)
{
    return par_traverse("coir_par_traverse_all_copy", OP_PAR_TRAVERSE_ALL, limit, count, (any_fn *)fn, captured(bytes, size));
}

static coir_io *with_limit(coir_io *node, size_t limit)
{
    if (node != NULL && node->op == OP_PAR_EACH)
        node->pulled.limit = limit;
    return node;
}

coir_io *coir_par_each(size_t limit, coir_value list, coir_flat_map_fn *fn, void *env)
{
    return with_limit(leaf_with("coir_par_each", OP_PAR_EACH, NODE_SIZE_OF(pulled), list, (any_fn *)fn, lent(env)), limit);
}
coir_io *coir_par_each_copy(size_t limit, coir_value list, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    return with_limit(leaf_with("coir_par_each_copy", OP_PAR_EACH, NODE_SIZE_OF(pulled), list, (any_fn *)fn, captured(bytes, size)), limit);
}

/* ------------------------------------------------------------------------------------------------------------- again */

coir_io *coir_again(coir_value state)
{
    coir_io *node = coir_pure(state);
    if (node != NULL)
        node->op = OP_AGAIN;
    return node;
}

/* -------------------------------------------------------------------------------------- without a callback or a child */

static coir_io *bare(enum op op)
{
    coir_io *node = coir__node_new(op, NODE_SMALL);
    if (node != NULL)
        node->child = NULL;
    return node;
}

coir_io *coir_ask(void)   { return bare(OP_ASK); }
coir_io *coir_self(void)  { return bare(OP_SELF); }

coir_io *coir_yield(void)
{
    static coir_io yield = { .refs = NODE_REFS_STATIC, .op = OP_YIELD, .flags = NODE_STATIC, .steps = 2 };
    return &yield;
}

coir_io *coir_key_get(coir_key *key)
{
    coir_io *node = key == NULL ? NULL : bare(OP_KEY_GET);
    if (node != NULL)
        node->key = coir_key_ref(key);
    return node;
}

/* ------------------------------------------------------------------------------------------------- giving an env away */

/* An io that others hold too, or whose op has no callback of its own, gets a node around it, which keeps env to its end. */
static coir_io *owns_around(coir_io *io, void *env, void (*drop)(void *env))
{
    coir_io *node = coir__node_new(OP_OWNS, NODE_SIZE_OF(result));
    if (node == NULL)
        return NULL;
    node->child = io;
    node->drop = drop;
    node->link = NULL;
    node->kept_env = env;
    return node;
}

/* An io that is ours alone is made anew with room for env at its end: it goes with the node, and tail calls stay in constant memory. */
static coir_io *owns_inside(coir_io *io, void *env, void (*drop)(void *env))
{
    size_t size = node_size(io);
    coir_io *node = coir__node_new((enum op)io->op, size + sizeof(struct owned_env));
    if (node == NULL)
        return NULL;
    uint16_t steps = node->steps;
    memcpy(node, io, size);
    node->steps = steps;
    node->flags |= NODE_OWNS;
    if (node->flags & NODE_CAPTURED)
        node->env = (char *)node + ((char *)io->env - (char *)io);
    *((struct owned_env *)(void *)((char *)node + node_size(node)) - 1) = (struct owned_env){ env, drop };
    coir__free(io, size);
    return node;
}

static bool has_callback(const coir_io *io)
{
    switch (io->op) {
    case OP_DEFER: case OP_DEFER_READ: case OP_SUSPEND: case OP_CALL: case OP_MAP: case OP_FLAT_MAP: case OP_TAP: case OP_REDEEM:
    case OP_CATCH: case OP_RECOVER: case OP_MAP_ERROR: case OP_MAP_PANIC: case OP_FINALLY_FN: case OP_ON_FAILURE:
    case OP_ITERATE: case OP_WHILE: case OP_FOR_EACH: case OP_TRAVERSE: case OP_EACH: case OP_REC: case OP_CONTRA_MAP:
    case OP_PAR_TRAVERSE: case OP_PAR_TRAVERSE_ALL: case OP_PAR_EACH:
        return !(io->flags & NODE_OWNS);
    default:
        return false;
    }
}

coir_io *coir_owns(coir_io *io, void *env, void (*drop)(void *env))
{
    if (drop == NULL) {
        coir_io_drop(io);
        return coir__bad_argument("coir_owns", "drop is NULL");
    }
    coir_io *owner = NULL;
    if (io != NULL)
        owner = has_callback(io) && coir__node_sole(io) ? owns_inside(io, env, drop) : owns_around(io, env, drop);
    if (owner == NULL) {
        coir_io_drop(io);
        drop(env);
    }
    return owner;
}
