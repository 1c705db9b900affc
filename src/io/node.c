/*
 * node.c - references, and taking trees apart in constant C stack
 *
 * A dead node is nobody's but ours, so it serves as the cell of the list that it waits in: by its child pointer if it has no child there,
 * otherwise by the word that held env, which nothing needs any more, or in a HOLD the child of a frame. The thread's list is worked off by drain(); a drop that comes from
 * inside (a value in a node that holds an io) only lengthens it.
 */
#include "io/node.h"

#include "base/spin.h"
#include "io/machine.h"
#include "io/prim.h"

const struct op_info coir__ops[OP_COUNT] = {
#define OP(name, shown, children, value, down, up) { shown, CHILDREN_##children, VALUE_##value },
#define FRAME_OP OP
#include "io/ops.h"
#undef FRAME_OP
#undef OP
};

coir_io coir__unit = { .refs = NODE_REFS_STATIC, .op = OP_PURE, .flags = NODE_STATIC, .steps = 2 };

void coir__node_release_env(coir_io *node)
{
    struct owned_env *owned = (struct owned_env *)(void *)((char *)node + node_size(node)) - 1;
    owned->drop(owned->env);
}

void coir__node_release_items(coir_io *node) { coir__free(node->items, node->many.count * sizeof *node->items); }

#if NODE_WATCHED

/* The nodes that were used up last. */
void coir__node_retire(coir_io *node)
{
    enum { WATCHED = 4096 };
    static ck_spinlock_fas_t lock = CK_SPINLOCK_FAS_INITIALIZER;
    static coir_io *watched[WATCHED];
    static size_t turn;
    store_relaxed(&node->refs, 0);
    spin_lock(&lock);
    coir_io *oldest = watched[turn % WATCHED];
    watched[turn++ % WATCHED] = node;
    spin_unlock(&lock);
    if (oldest != NULL)
        coir__cell_free(oldest, oldest->steps);
}

#endif

/* ------------------------------------------------------------------------------------------------------- dead nodes */

static coir_io **dead_link(coir_io *node)
{
    enum children children = coir__ops[node->op].children;
    if (node->op == OP_HOLD)
        return &node->hold.body;
    return children == CHILDREN_ONE || children == CHILDREN_TWO ? &node->link : &node->child;
}

static void dead_push(coir_io *node)
{
    *dead_link(node) = coir__me.dead_ios;
    coir__me.dead_ios = node;
}

static void give_up(coir_io *io)
{
    if (io != NULL && coir__node_unref(io))
        dead_push(io);
}


static void give_up_children(coir_io *node)
{
    switch (coir__ops[node->op].children) {
    case CHILDREN_NONE:
        break;
    case CHILDREN_TWO:
        give_up(node->second);
        give_up(node->child);
        break;
    case CHILDREN_ONE:
        give_up(node->child);
        break;
    case CHILDREN_MANY:
        for (uint32_t i = node->many.index; i < node->many.count; i++)
            give_up(node->items[i]);
        break;
    }
}

static void drop_carried(coir_io *node)
{
    bool taken = load_relaxed(&node->refs) & NODE_TAKEN;
    switch (coir__ops[node->op].value) {
    case VALUE_NONE:
        break;
    case VALUE_HEAD:
        if (!taken)
            coir_drop(node->value);
        break;
    case VALUE_STATE:
        if (!taken)
            coir_drop(node->state);
        break;
    }
    switch (node->op) {
    case OP_RESULT:
        if (!taken)
            coir__failures_drop(node->failure.also);
        break;
    case OP_OWNS:
        node->drop(node->kept_env);
        break;
    case OP_KEY_GET:
    case OP_WITH_KEY:
        coir_key_drop(node->key);
        break;
    case OP_RETRY:
        coir_schedule_drop(node->schedule);
        break;
    case OP_PRIM:
    case OP_HOLD:
        coir__prim_drop(node);
        break;
    case OP_MACHINE:
        node->machine->drop(node);
        break;
    }
}

/* The children are given up before the memory goes, and after the link has been read: dead_push() writes into them, not into us. */
static void take_apart(coir_io *node)
{
    give_up_children(node);
    drop_carried(node);
    coir__node_free(node);
}

static void drain(void)
{
    coir_io *node = coir__me.dead_ios;
    coir__me.dead_ios = *dead_link(node);
    take_apart(node);
}

void coir_io_drop(coir_io *io)
{
    if (io == NULL || !coir__node_unref(io))
        return;
    dead_push(io);
    coir__bury_ios(drain);
}

coir_io *coir_io_ref(coir_io *io) { return io == NULL ? NULL : coir__node_ref(io); }

/* ---------------------------------------------------------------------------------------------------- ios as values */

static void io_value_drop(void *object) { coir_io_drop(object); }
static void *io_value_share(void *object) { return coir_io_ref(object); }
static void io_value_print(const void *object, FILE *out) { coir__io_print_brief(object, out); }

const coir_type coir_io_type = { "io", io_value_drop, io_value_share, io_value_print };

coir_value coir_io_value(coir_io *io) { return io == NULL ? coir__no_memory_value() : coir_own(io, &coir_io_type); }

/* ------------------------------------------------------------------------------------------------------ for builders */

coir_io *coir__bad_argument(const char *function, const char *what)
{
    return coir_from_result(coir__panicf(DOMAIN_ERRNO, EINVAL, "%s: %s", function, what));
}

void coir__drop_ios(size_t count, coir_io *const *ios)
{
    for (size_t i = 0; ios != NULL && i < count; i++)
        coir_io_drop(ios[i]);
}

const char *coir__callback_bad(any_fn *fn, struct env_given given)
{
    if (fn == NULL)
        return "fn is NULL";
    if (given.bytes == LENT)
        return NULL;
    if (given.bytes > CAPTURE_MAX)
        return "size is more than 64 KiB";
    return given.bytes > 0 && given.env == NULL ? "bytes is NULL" : NULL;
}

/* What a borrowed node carries is shared, or, if it cannot be, taken by the first who comes. The others must not even look at it: it may
 * be gone. */
bool coir__take_from_shared(coir_io *node)
{
    uint32_t refs = load_acquire(&node->refs);
    while (!(refs & NODE_TAKEN))
        if (cas_acq_rel(&node->refs, &refs, refs | NODE_TAKEN))
            return true;
    return false;
}

coir_value coir__taken_before(const coir_value *value)
{
    bool named = value->type != NULL && value->type->name != NULL;
    return coir_panic_value("a %s cannot be shared: the io that carries it runs a second time", named ? value->type->name : "value");
}

coir_value coir__value_of_shared(coir_io *node, const coir_value *value)
{
    if (!(node->flags & NODE_SOLE))
        return coir_share(value);
    return coir__take_from_shared(node) ? *value : coir__taken_before(value);
}

coir_io *coir__prim_new_sized(const struct coir__prim *prim, size_t size, void *object, int64_t number)
{
    coir_io *node = prim_node(prim, size, object, number);
    if (node != NULL && size > NODE_SIZE_OF(prim_own))
        memset((char *)node + NODE_SIZE_OF(prim_own), 0, node_size(node) - NODE_SIZE_OF(prim_own));
    return node;
}

coir_io *coir__prim_new(const struct coir__prim *prim, void *object, int64_t number)
{
    return coir__prim_new_sized(prim, prim->size, object, number);
}

coir_io *coir__hold(const struct coir__prim *prim, void *object, int64_t number, coir_io *io)
{
    coir_io *node = io == NULL ? NULL : coir__prim_new_sized(prim, NODE_SIZE_OF(hold), object, number);
    if (node == NULL) {
        coir_io_drop(io);
        return NULL;
    }
    node->op = OP_HOLD;
    node->child = io;
    return node;
}
