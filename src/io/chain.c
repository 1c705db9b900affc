/*
 * chain.c - what runs one io and goes on with its result
 */
#include "io/node.h"

/* A node of one child and a callback. */
static NOINLINE coir_io *on_slow(const char *function, enum op op, size_t size, coir_io *io, any_fn *fn, struct env_given given)
{
    const char *bad = coir__callback_bad(fn, given);
    coir_io *node = io != NULL && bad == NULL ? coir__callback_node(op, size, fn, given) : NULL;
    if (node != NULL) {
        node->child = io;
        return node;
    }
    coir_io_drop(io);
    return io != NULL && bad != NULL ? coir__bad_argument(function, bad) : NULL;
}

static ALWAYS_INLINE coir_io *on(const char *function, enum op op, size_t size, coir_io *io, any_fn *fn, struct env_given given)
{
    coir_io *node = likely(io != NULL) ? coir__callback_at_hand(op, size, fn, given) : NULL;
    if (unlikely(node == NULL))
        return on_slow(function, op, size, io, fn, given);
    node->child = io;
    return node;
}

coir_io *coir__node_around(enum op op, size_t size, coir_io *io)
{
    coir_io *node = io == NULL ? NULL : coir__node_new(op, size);
    if (node == NULL) {
        coir_io_drop(io);
        return NULL;
    }
    node->child = io;
    node->second = NULL;
    node->link = NULL;
    return node;
}

coir_io *coir__node_two(enum op op, size_t size, coir_io *first, coir_io *second)
{
    coir_io *node = first != NULL && second != NULL ? coir__node_new(op, size) : NULL;
    if (unlikely(node == NULL)) {
        coir_io_drop(first);
        coir_io_drop(second);
        return NULL;
    }
    node->child = first;
    node->second = second;
    node->link = NULL;
    return node;
}

/* A node of one child that carries a value. */
static coir_io *carrying(enum op op, coir_io *io, coir_value value)
{
    if (io != NULL && coir__is_panic_value(&value)) {
        coir_io_drop(io);
        return coir_from_result(coir__panic_of(value));
    }
    coir_io *node = coir__node_around(op, NODE_SIZE_OF(state), io);
    if (node == NULL) {
        coir_drop(value);
        return NULL;
    }
    coir__set_value(&node->state, value);
    coir__node_note_sole(node, &node->state);
    return node;
}

/* -------------------------------------------------------------------------------------------------------------- chain */

coir_io *coir_map(coir_io *io, coir_map_fn *fn, void *env) { return on("coir_map", OP_MAP, NODE_SMALL, io, (any_fn *)fn, lent(env)); }
coir_io *coir_map_copy(coir_io *io, coir_map_fn *fn, const void *bytes, size_t size)
{
    return on("coir_map_copy", OP_MAP, NODE_SMALL, io, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_flat_map(coir_io *io, coir_flat_map_fn *fn, void *env)
{
    return on("coir_flat_map", OP_FLAT_MAP, NODE_SMALL, io, (any_fn *)fn, lent(env));
}
coir_io *coir_flat_map_copy(coir_io *io, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    return on("coir_flat_map_copy", OP_FLAT_MAP, NODE_SMALL, io, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_then(coir_io *first, coir_io *second)      { return coir__node_two(OP_THEN, NODE_SMALL, first, second); }
coir_io *coir_then_keep(coir_io *first, coir_io *second) { return coir__node_two(OP_THEN_KEEP, NODE_SMALL, first, second); }
coir_io *coir_as(coir_io *io, coir_value value)          { return carrying(OP_AS, io, value); }

coir_io *coir_tap(coir_io *io, coir_look_fn *fn, void *env) { return on("coir_tap", OP_TAP, NODE_SMALL, io, (any_fn *)fn, lent(env)); }
coir_io *coir_tap_copy(coir_io *io, coir_look_fn *fn, const void *bytes, size_t size)
{
    return on("coir_tap_copy", OP_TAP, NODE_SMALL, io, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_flatten(coir_io *io) { return coir__node_around(OP_FLATTEN, NODE_SMALL, io); }

coir_io *coir_when(bool condition, coir_io *io)
{
    if (condition || io == NULL)
        return io;
    coir_io_drop(io);
    return coir_unit();
}

/* ------------------------------------------------------------------------------------------------------------ several */

/* Up to so many bytes of items stand in the node itself. */
enum { ITEMS_INSIDE = 4096 };

static coir_io *many_node(enum op op, size_t count)
{
    size_t at = coir__items_at(op), bytes = count * sizeof(coir_io *);
    coir_io *node = coir__node_new(op, bytes <= ITEMS_INSIDE ? at + bytes : at);
    if (node == NULL)
        return NULL;
    node->child = NULL;
    node->many.count = (uint32_t)count;
    node->many.index = 0;
    if (bytes <= ITEMS_INSIDE) {
        node->items = (coir_io **)(void *)((char *)node + at);
        return node;
    }
    node->items = coir__alloc(bytes);
    if (node->items != NULL) {
        node->flags = NODE_ASIDE;
        return node;
    }
    coir__node_free(node);
    return NULL;
}

static coir_io *many(const char *function, enum op op, size_t count, coir_io *const *ios)
{
    if (count > 0 && ios == NULL)
        return coir__bad_argument(function, "ios is NULL");
    bool whole = true;
    for (size_t i = 0; i < count; i++)
        whole = whole && ios[i] != NULL;
    if (count > UINT32_MAX) {
        coir__drop_ios(count, ios);
        return coir__bad_argument(function, "more than 2^32 - 1 ios");
    }
    coir_io *node = whole ? many_node(op, count) : NULL;
    if (node == NULL) {
        coir__drop_ios(count, ios);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        node->items[i] = ios[i];
    return node;
}

coir_io *coir_sequence(size_t count, coir_io *const *ios) { return many("coir_sequence", OP_SEQUENCE, count, ios); }
coir_io *coir_zip(size_t count, coir_io *const *ios)      { return many("coir_zip", OP_ZIP, count, ios); }
coir_io *coir_parallel(size_t count, coir_io *const *ios) { return many("coir_parallel", OP_PARALLEL, count, ios); }
coir_io *coir_fork(coir_io *io)                           { return coir__node_around(OP_FORK, NODE_SMALL, io); }

coir_io *coir_race(size_t count, coir_io *const *ios)
{
    return count == 0 ? coir__bad_argument("coir_race", "of no ios none can end") : many("coir_race", OP_RACE, count, ios);
}

coir_io *coir_race_ok(size_t count, coir_io *const *ios)
{
    return count == 0 ? coir__bad_argument("coir_race_ok", "of no ios none can succeed") : many("coir_race_ok", OP_RACE_OK, count, ios);
}

coir_io *coir_race_pair(coir_io *a, coir_io *b) { return many("coir_race_pair", OP_RACE_PAIR, 2, (coir_io *[]){ a, b }); }
coir_io *coir_both(coir_io *a, coir_io *b)      { return many("coir_both", OP_PAR_ZIP, 2, (coir_io *[]){ a, b }); }
coir_io *coir_par_zip(size_t count, coir_io *const *ios)     { return many("coir_par_zip", OP_PAR_ZIP, count, ios); }
coir_io *coir_par_zip_all(size_t count, coir_io *const *ios) { return many("coir_par_zip_all", OP_PAR_ZIP_ALL, count, ios); }

/* ----------------------------------------------------------------------------------------------------------- failures */

coir_io *coir_attempt(coir_io *io) { return coir__node_around(OP_ATTEMPT, NODE_SMALL, io); }

coir_io *coir_redeem(coir_io *io, coir_redeem_fn *fn, void *env)
{
    return on("coir_redeem", OP_REDEEM, NODE_SIZE_OF(result), io, (any_fn *)fn, lent(env));
}
coir_io *coir_redeem_copy(coir_io *io, coir_redeem_fn *fn, const void *bytes, size_t size)
{
    return on("coir_redeem_copy", OP_REDEEM, NODE_SIZE_OF(result), io, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_catch(coir_io *io, coir_flat_map_fn *fn, void *env)
{
    return on("coir_catch", OP_CATCH, NODE_SMALL, io, (any_fn *)fn, lent(env));
}
coir_io *coir_catch_copy(coir_io *io, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    return on("coir_catch_copy", OP_CATCH, NODE_SMALL, io, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_catch_code(coir_io *io, int code, coir_io *instead)
{
    coir_io *node = coir__node_two(OP_CATCH_CODE, NODE_SIZE_OF(result), io, instead);
    if (node != NULL)
        node->match.code = code;
    return node;
}

coir_io *coir_or_else(coir_io *io, coir_io *instead) { return coir__node_two(OP_OR_ELSE, NODE_SMALL, io, instead); }

coir_io *coir_recover(coir_io *io, coir_flat_map_fn *fn, void *env)
{
    return on("coir_recover", OP_RECOVER, NODE_SMALL, io, (any_fn *)fn, lent(env));
}
coir_io *coir_recover_copy(coir_io *io, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    return on("coir_recover_copy", OP_RECOVER, NODE_SMALL, io, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_map_error(coir_io *io, coir_map_fn *fn, void *env)
{
    return on("coir_map_error", OP_MAP_ERROR, NODE_SMALL, io, (any_fn *)fn, lent(env));
}
coir_io *coir_map_error_copy(coir_io *io, coir_map_fn *fn, const void *bytes, size_t size)
{
    return on("coir_map_error_copy", OP_MAP_ERROR, NODE_SMALL, io, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_map_panic(coir_io *io, coir_map_fn *fn, void *env)
{
    return on("coir_map_panic", OP_MAP_PANIC, NODE_SMALL, io, (any_fn *)fn, lent(env));
}
coir_io *coir_map_panic_copy(coir_io *io, coir_map_fn *fn, const void *bytes, size_t size)
{
    return on("coir_map_panic_copy", OP_MAP_PANIC, NODE_SMALL, io, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_or_panic(coir_io *io) { return coir__node_around(OP_OR_PANIC, NODE_SMALL, io); }

/* --------------------------------------------------------------------------------------------------------- finalizers */

/* Each has room for the result that it keeps while its finalizer runs: unwinding allocates nothing. */

coir_io *coir_finally(coir_io *io, coir_io *finalizer)   { return coir__node_two(OP_FINALLY, NODE_SIZE_OF(result), io, finalizer); }
coir_io *coir_on_cancel(coir_io *io, coir_io *finalizer) { return coir__node_two(OP_ON_CANCEL, NODE_SIZE_OF(result), io, finalizer); }
coir_io *coir_always(coir_io *first, coir_io *second)    { return coir__node_two(OP_ALWAYS, NODE_SIZE_OF(result), first, second); }

coir_io *coir_finally_fn(coir_io *io, coir_final_fn *fn, void *env)
{
    return on("coir_finally_fn", OP_FINALLY_FN, NODE_SIZE_OF(result), io, (any_fn *)fn, lent(env));
}
coir_io *coir_finally_fn_copy(coir_io *io, coir_final_fn *fn, const void *bytes, size_t size)
{
    return on("coir_finally_fn_copy", OP_FINALLY_FN, NODE_SIZE_OF(result), io, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_on_failure(coir_io *io, coir_final_fn *fn, void *env)
{
    return on("coir_on_failure", OP_ON_FAILURE, NODE_SIZE_OF(result), io, (any_fn *)fn, lent(env));
}
coir_io *coir_on_failure_copy(coir_io *io, coir_final_fn *fn, const void *bytes, size_t size)
{
    return on("coir_on_failure_copy", OP_ON_FAILURE, NODE_SIZE_OF(result), io, (any_fn *)fn, captured(bytes, size));
}

/* -------------------------------------------------------------------------------------------------------------- loops */

coir_io *coir_repeat(coir_io *io, uint64_t times)
{
    coir_io *node = coir__node_around(OP_REPEAT, NODE_SMALL, io);
    if (node != NULL)
        node->times = times;
    return node;
}

coir_io *coir_forever(coir_io *io) { return coir__node_around(OP_FOREVER, NODE_SMALL, io); }

coir_io *coir_while(coir_io *io, coir_test_fn *fn, void *env)
{
    return on("coir_while", OP_WHILE, NODE_SIZE_OF(loop), io, (any_fn *)fn, lent(env));
}
coir_io *coir_while_copy(coir_io *io, coir_test_fn *fn, const void *bytes, size_t size)
{
    return on("coir_while_copy", OP_WHILE, NODE_SIZE_OF(loop), io, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_for_each(coir_io *next, coir_flat_map_fn *fn, void *env)
{
    return on("coir_for_each", OP_FOR_EACH, NODE_SIZE_OF(loop), next, (any_fn *)fn, lent(env));
}
coir_io *coir_for_each_copy(coir_io *next, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    return on("coir_for_each_copy", OP_FOR_EACH, NODE_SIZE_OF(loop), next, (any_fn *)fn, captured(bytes, size));
}

/* ------------------------------------------------------------------------------------------------- context and labels */

coir_io *coir_local(coir_io *io, coir_value context) { return carrying(OP_LOCAL, io, context); }

coir_io *coir_contra_map(coir_io *io, coir_context_fn *fn, void *env)
{
    return on("coir_contra_map", OP_CONTRA_MAP, NODE_SMALL, io, (any_fn *)fn, lent(env));
}
coir_io *coir_contra_map_copy(coir_io *io, coir_context_fn *fn, const void *bytes, size_t size)
{
    return on("coir_contra_map_copy", OP_CONTRA_MAP, NODE_SMALL, io, (any_fn *)fn, captured(bytes, size));
}

coir_io *coir_with_key(coir_key *key, coir_value value, coir_io *io)
{
    if (key == NULL) {
        coir_drop(value);
        coir_io_drop(io);
        return NULL;
    }
    coir_io *node = carrying(OP_WITH_KEY, io, value);
    if (node != NULL && node->op == OP_WITH_KEY)
        node->key = coir_key_ref(key);
    return node;
}

coir_io *coir_named(coir_io *io, const char *label)
{
    return label == NULL ? io : carrying(OP_NAMED, io, coir_stringf("%s", label));
}
