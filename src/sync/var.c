/*
 * var.c - a variable: a value with a lock
 *
 * Made of the lock's HOLD, and inside it what reads the value or changes it. That relies on the following, in which H is the fiber that holds the lock:
 *
 *   1. `value` and `is_lent` are H's alone.
 *   2. As long as `is_lent` a function was lent the value in place, and what that gave to run may look at it still: H does not change it otherwise.
 *
 * Several are locked in the order of their locks' serial numbers, one HOLD in the other.
 */
#include "base/atomic.h"
#include "fiber/driver.h"
#include "io/machine.h"
#include "io/prim.h"

#include <coir/sync.h>

#include <inttypes.h>
#include <stdlib.h>

struct coir_var {
    union {
        struct {
            _Atomic uint32_t refs;
            bool             is_lent;                   /* H */
        };
        struct buried buried;                           /* of a dead one */
    };
    coir_lock *lock;                                    /* I: a reference */
    coir_value value;                                   /* H */
};

/* ------------------------------------------------------------------------------------------------------------- handle */

coir_var *coir_var_new(coir_value initial)
{
    coir_var *var = coir__alloc(sizeof *var);
    coir_lock *lock = var == NULL ? NULL : coir_lock_new();
    if (lock == NULL) {
        coir_drop(initial);
        if (var != NULL)
            coir__free(var, sizeof *var);
        errno = ENOMEM;
        return NULL;
    }
    atomic_init(&var->refs, 1);
    var->is_lent = false;
    var->lock = lock;
    var->value = initial;
    return var;
}

coir_var *coir_var_ref(coir_var *var)
{
    if (var != NULL)
        fetch_add_relaxed(&var->refs, 1u);
    return var;
}

static void var_empty(struct buried *buried)
{
    coir_var *var = container_of(buried, coir_var, buried);
    coir_drop(var->value);
    coir_lock_drop(var->lock);
    coir__free(var, sizeof *var);
}

/* The value may hold another variable, which holds another: dropping must not recurse. */
void coir_var_drop(coir_var *var)
{
    if (var != NULL && fetch_sub_acq_rel(&var->refs, 1u) == 1)
        coir__bury(&var->buried, var_empty);
}

uint64_t coir_var_id(const coir_var *var)   { return var == NULL ? 0 : coir_lock_id(var->lock); }
coir_lock *coir_var_lock(coir_var *var)     { return var == NULL ? NULL : var->lock; }

static coir_result being_updated(const coir_fiber *fiber, const coir_var *var, const char *function)
{
    char label[64];
    return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_%s: fiber%s changes variable %" PRIu64 ", which is just being updated", function,
                        coir__fiber_label(fiber, label, sizeof label), coir_var_id(var));
}

/* A function that is to be called, behind the head of a node; what it has captured comes behind that. */
struct callback {
    union { coir_map_fn *map; coir_flat_map_fn *flat_map; any_fn *any; };
    void *env;
};

static size_t size_with(size_t size, struct env_given given) { return given.bytes == LENT ? size : CALLBACK_AT(size) + given.bytes; }

static void callback_init(struct callback *callback, coir_io *node, size_t size, any_fn *fn, struct env_given given)
{
    callback->any = fn;
    callback->env = given.bytes == LENT ? (void *)(uintptr_t)given.env : capture((char *)node + CALLBACK_AT(size), given.env, given.bytes);
}

/* ---------------------------------------------------------------------------------------------- at once: get and update */

static void var_unref(coir_io *node) { coir_var_drop(node->object); }

static enum prim_step get_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    const coir_var *var = node->object;
    (void)fiber;
    coir__set_ok(result, coir_share(&var->value));
    coir__check(result);
    return PRIM_DONE;
}

static const struct coir__prim get_prim = {
    .name = "var_get", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = get_attempt, .drop = var_unref,
};

enum { UPDATE_SIZE = NODE_SIZE_OF(prim_own) + sizeof(struct callback) };

static struct callback *updater_of(const coir_io *node)
{
    return (struct callback *)(void *)((char *)(uintptr_t)node + NODE_SIZE_OF(prim_own));
}

/* A function that gives back the very value that it was lent has taken it. */
static void var_become(coir_var *var, coir_value value)
{
    if (value.type != var->value.type || value.u64 != var->value.u64)
        coir_put(&var->value, value);
}

static enum prim_step update_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_var *var = node->object;
    const struct callback *updater = updater_of(node);
    if (unlikely(var->is_lent)) {
        *result = being_updated(fiber, var, node->prim->name);
        return PRIM_DONE;
    }
    coir_value value = updater->map(updater->env, &var->value);
    coir__set_ok(result, coir_none());
    if (unlikely(coir__is_panic_value(&value)))
        *result = coir__panic_of(value);
    else
        var_become(var, value);
    return PRIM_DONE;
}

static const struct coir__prim update_prim = {
    .name = "var_update", .awaits = "", .size = UPDATE_SIZE, .attempt = update_attempt, .drop = var_unref,
};

/* --------------------------------------------------------------------------------------------- by an io: set, swap, update_io */

/* Behind the head of the node, whose object is the variable. */
struct change {
    coir_io        *io;                                 /* whose value is the new one; in a frame NULL, or borrowed. NULL: that of the callback */
    struct callback callback;
    bool            swaps;                              /* the old value is what it gives */
    bool            lends;                              /* of a frame */
};
enum { CHANGE_SIZE = NODE_SMALL + sizeof(struct change) };

static struct change *change_of(coir_io *node) { return (struct change *)(void *)((char *)node + NODE_SMALL); }

static void lend_end(coir_var *var, struct change *change)
{
    var->is_lent = var->is_lent && !change->lends;
    change->lends = false;
}

static enum machine_way lend(coir_fiber *fiber, coir_var *var, struct change *change, struct machine_turn *turn)
{
    change->lends = var->is_lent = true;
    turn->io = change->callback.flat_map(change->callback.env, &var->value);
    turn->borrowed = false;
    if (likely(turn->io != NULL))
        return MACHINE_RUNS;
    lend_end(var, change);
    turn->result = coir__gave_null(fiber, "coir_var_update_io");
    return MACHINE_IS_OVER;
}

static enum machine_way change_begin(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    coir_var *var = frame->object;
    struct change *change = change_of(frame);
    if (unlikely(var->is_lent)) {
        turn->result = being_updated(fiber, var, frame->machine->name);
        return MACHINE_IS_OVER;
    }
    if (change->io == NULL)
        return lend(fiber, var, change, turn);
    turn->io = change->io;
    turn->borrowed = frame->flags & NODE_BORROWED;
    change->io = NULL;
    return MACHINE_RUNS;
}

static enum machine_way change_given(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    coir_var *var = frame->object;
    (void)fiber;
    lend_end(var, change_of(frame));
    if (unlikely(turn->result.tag != COIR_OK))
        return MACHINE_IS_OVER;
    coir_value old = var->value;
    var->value = turn->result.value;
    coir__set_ok(&turn->result, change_of(frame)->swaps ? old : coir_none());
    coir__check(&turn->result);
    if (!change_of(frame)->swaps)
        coir_drop(old);
    return MACHINE_IS_OVER;
}

static void change_empty(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    lend_end(frame->object, change_of(frame));
}

static void change_drop(coir_io *node)
{
    coir_io_drop(change_of(node)->io);
    coir_var_drop(node->object);
}

#define CHANGES(shown) { .name = shown, .begin = change_begin, .given = change_given, .empty = change_empty, .drop = change_drop }
static const struct coir__machine set_machine = CHANGES("var_set"), swap_machine = CHANGES("var_swap"), update_io_machine = CHANGES("var_update_io");

/* ------------------------------------------------------------------------------------------------------------ several */

/* The object of a node that changes several. */
struct vars { size_t count; coir_var *items[]; };

static size_t vars_size(size_t count) { return sizeof(struct vars) + count * sizeof(coir_var *); }

static struct vars *vars_new(size_t count, coir_var *const *items)
{
    struct vars *vars = count > (SIZE_MAX - sizeof *vars) / sizeof *items ? NULL : coir__alloc(vars_size(count));
    if (vars == NULL)
        return NULL;
    vars->count = count;
    for (size_t i = 0; i < count; i++)
        vars->items[i] = coir_var_ref(items[i]);
    return vars;
}

static void vars_drop(struct vars *vars)
{
    for (size_t i = 0; i < vars->count; i++)
        coir_var_drop(vars->items[i]);
    coir__free(vars, vars_size(vars->count));
}

/* All, or, if one of them is a panic value, none. Takes them. */
static coir_result put_all(struct vars *vars, coir_value *values)
{
    coir_result result = coir_ok(coir_none());
    for (size_t i = 0; i < vars->count; i++)
        if (unlikely(coir__is_panic_value(&values[i])))
            result = coir_result_and(result, coir__panic_of(coir_take(&values[i])));
    for (size_t i = 0; i < vars->count; i++)
        if (likely(result.tag == COIR_OK))
            coir_put(&vars->items[i]->value, values[i]);
        else
            coir_drop(values[i]);
    return result;
}

/* list is lent. */
static coir_result put_list(struct vars *vars, const char *function, coir_value *list)
{
    size_t bytes = vars->count * sizeof(coir_value);
    if (coir_cast(list, &coir_list_type) == NULL || coir_list_size(list) != vars->count)
        return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_%s: what it was given is no list of %zu values", function, vars->count);
    if (bytes == 0)
        return coir_ok(coir_none());
    coir_value *values = coir__alloc(bytes);
    if (values == NULL)
        return coir__no_memory();
    for (size_t i = 0; i < vars->count; i++)
        values[i] = coir_list_take(list, i);
    coir_result result = put_all(vars, values);
    coir__free(values, bytes);
    return result;
}

/* Behind the head of the node stands the io, which is the frame's until it runs. */
static coir_io **io_of(coir_io *node) { return (coir_io **)(void *)((char *)node + NODE_SMALL); }

static enum machine_way several_begin(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    const struct vars *vars = frame->object;
    for (size_t i = 0; i < vars->count; i++)
        if (unlikely(vars->items[i]->is_lent)) {
            turn->result = being_updated(fiber, vars->items[i], frame->machine->name);
            return MACHINE_IS_OVER;
        }
    turn->io = *io_of(frame);
    turn->borrowed = frame->flags & NODE_BORROWED;
    *io_of(frame) = NULL;
    return MACHINE_RUNS;
}

static enum machine_way several_given(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    (void)fiber;
    if (likely(turn->result.tag == COIR_OK)) {
        coir_value list = turn->result.value;
        turn->result = put_list(frame->object, frame->machine->name, &list);
        coir_drop(list);
    }
    return MACHINE_IS_OVER;
}

static void several_empty(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    (void)frame;
}

static void several_drop(coir_io *node)
{
    coir_io_drop(*io_of(node));
    vars_drop(node->object);
}

#define CHANGE_SEVERAL(shown) { .name = shown, .begin = several_begin, .given = several_given, .empty = several_empty, .drop = several_drop }
static const struct coir__machine vars_update_machine = CHANGE_SEVERAL("vars_update"), vars_update_io_machine = CHANGE_SEVERAL("vars_update_io");

/* ------------------------------------------------------------------------------------------------------------- ios of one */

static coir_io *get(coir_var *var)
{
    coir_io *node = coir__prim_new(&get_prim, var, 0);
    if (node != NULL)
        coir_var_ref(var);
    return node;
}

coir_io *coir_var_get(coir_var *var) { return var == NULL ? NULL : coir_with_lock(var->lock, get(var)); }

/* Not its io, nor its callback. */
static coir_io *change_node(const struct coir__machine *machine, coir_var *var, size_t size)
{
    coir_io *node = coir__node_new(OP_MACHINE, size);
    if (node == NULL)
        return NULL;
    node->child = NULL;
    node->machine = machine;
    node->object = coir_var_ref(var);
    *change_of(node) = (struct change){ .io = NULL };
    return node;
}

/* Takes value. */
static coir_io *putting(const struct coir__machine *machine, coir_var *var, coir_value value)
{
    coir_io *pure = coir_pure(value);
    coir_io *node = var == NULL || pure == NULL ? NULL : change_node(machine, var, CHANGE_SIZE);
    if (node == NULL) {
        coir_io_drop(pure);
        return NULL;
    }
    change_of(node)->io = pure;
    change_of(node)->swaps = machine == &swap_machine;
    return coir_with_lock(var->lock, node);
}

coir_io *coir_var_set(coir_var *var, coir_value value)  { return putting(&set_machine, var, value); }
coir_io *coir_var_swap(coir_var *var, coir_value value) { return putting(&swap_machine, var, value); }

static coir_io *update(const char *function, coir_var *var, coir_map_fn *fn, struct env_given given)
{
    const char *bad = coir__callback_bad((any_fn *)fn, given);
    if (var == NULL || bad != NULL)
        return var == NULL ? NULL : coir__bad_argument(function, bad);
    coir_io *node = coir__prim_new_sized(&update_prim, size_with(UPDATE_SIZE, given), var, 0);
    if (node == NULL)
        return NULL;
    coir_var_ref(var);
    callback_init(updater_of(node), node, UPDATE_SIZE, (any_fn *)fn, given);
    return coir_with_lock(var->lock, node);
}

static coir_io *update_io(const char *function, coir_var *var, coir_flat_map_fn *fn, struct env_given given)
{
    const char *bad = coir__callback_bad((any_fn *)fn, given);
    if (var == NULL || bad != NULL)
        return var == NULL ? NULL : coir__bad_argument(function, bad);
    coir_io *node = change_node(&update_io_machine, var, size_with(CHANGE_SIZE, given));
    if (node == NULL)
        return NULL;
    callback_init(&change_of(node)->callback, node, CHANGE_SIZE, (any_fn *)fn, given);
    return coir_with_lock(var->lock, node);
}

coir_io *coir_var_update(coir_var *var, coir_map_fn *fn, void *env) { return update("coir_var_update", var, fn, lent(env)); }
coir_io *coir_var_update_copy(coir_var *var, coir_map_fn *fn, const void *bytes, size_t size)
{
    return update("coir_var_update_copy", var, fn, captured(bytes, size));
}

coir_io *coir_var_update_io(coir_var *var, coir_flat_map_fn *fn, void *env) { return update_io("coir_var_update_io", var, fn, lent(env)); }
coir_io *coir_var_update_io_copy(coir_var *var, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    return update_io("coir_var_update_io_copy", var, fn, captured(bytes, size));
}

/* --------------------------------------------------------------------------------------------------------- ios of several */

static int youngest_first(const void *a, const void *b)
{
    uint64_t x = coir_var_id(*(coir_var *const *)a), y = coir_var_id(*(coir_var *const *)b);
    return x < y ? 1 : x > y ? -1 : 0;
}

static bool any_null(size_t count, coir_var *const *vars)
{
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any = any || vars[i] == NULL;
    return any;
}

static bool any_twice(const struct vars *sorted)
{
    bool any = false;
    for (size_t i = 1; i < sorted->count; i++)
        any = any || sorted->items[i] == sorted->items[i - 1];
    return any;
}

/* Takes io, which may be NULL. changed_by: the function that is to give each of them a value, so that none may be there twice; or NULL. */
static coir_io *with_vars(const char *changed_by, size_t count, coir_var *const *items, coir_io *io)
{
    struct vars *vars = io == NULL || any_null(count, items) ? NULL : vars_new(count, items);
    if (vars == NULL) {
        coir_io_drop(io);
        return NULL;
    }
    qsort(vars->items, count, sizeof(coir_var *), youngest_first);
    if (changed_by != NULL && any_twice(vars)) {
        coir_io_drop(io);
        io = coir__bad_argument(changed_by, "a variable is named twice");
    } else {
        for (size_t i = 0; i < count; i++)
            io = coir_with_lock(vars->items[i]->lock, io);
    }
    vars_drop(vars);
    return io;
}

/* Of locked ones. */
static coir_io *get_all(size_t count, coir_var *const *vars)
{
    coir_io **gets = any_null(count, vars) || count > SIZE_MAX / sizeof *gets ? NULL : coir__alloc(count * sizeof *gets + 1);
    if (gets == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        gets[i] = get(vars[i]);
    coir_io *io = coir_zip(count, gets);
    coir__free(gets, count * sizeof *gets + 1);
    return io;
}

/* Takes io, which may be NULL. */
static coir_io *change_several(const char *function, const struct coir__machine *machine, size_t count, coir_var *const *items, coir_io *io)
{
    struct vars *vars = io == NULL ? NULL : vars_new(count, items);
    coir_io *node = vars == NULL ? NULL : coir__node_new(OP_MACHINE, NODE_SMALL + sizeof io);
    if (node == NULL) {
        coir_io_drop(io);
        if (vars != NULL)
            vars_drop(vars);
        return NULL;
    }
    node->child = NULL;
    node->machine = machine;
    node->object = vars;
    *io_of(node) = io;
    return with_vars(function, count, items, node);
}

static const char *vars_bad(size_t count, coir_var *const *vars) { return count > 0 && vars == NULL ? "vars is NULL" : NULL; }

coir_io *coir_with_vars(size_t count, coir_var *const *vars, coir_io *io)
{
    const char *bad = vars_bad(count, vars);
    if (io == NULL || bad == NULL)
        return with_vars(NULL, bad == NULL ? count : 0, vars, io);
    coir_io_drop(io);
    return coir__bad_argument("coir_with_vars", bad);
}

coir_io *coir_vars_get(size_t count, coir_var *const *vars)
{
    const char *bad = vars_bad(count, vars);
    return bad != NULL ? coir__bad_argument("coir_vars_get", bad) : with_vars(NULL, count, vars, get_all(count, vars));
}

static const char *several_bad(size_t count, coir_var *const *vars, any_fn *fn, struct env_given given)
{
    const char *bad = vars_bad(count, vars);
    return bad != NULL ? bad : coir__callback_bad(fn, given);
}

static coir_io *vars_update(const char *function, size_t count, coir_var *const *vars, coir_map_fn *fn, struct env_given given)
{
    const char *bad = several_bad(count, vars, (any_fn *)fn, given);
    if (bad != NULL)
        return coir__bad_argument(function, bad);
    coir_io *all = get_all(count, vars);
    void *env = (void *)(uintptr_t)given.env;
    return change_several(function, &vars_update_machine, count, vars,
                          given.bytes == LENT ? coir_map(all, fn, env) : coir_map_copy(all, fn, env, given.bytes));
}

static coir_io *vars_update_io(const char *function, size_t count, coir_var *const *vars, coir_flat_map_fn *fn, struct env_given given)
{
    const char *bad = several_bad(count, vars, (any_fn *)fn, given);
    if (bad != NULL)
        return coir__bad_argument(function, bad);
    coir_io *all = get_all(count, vars);
    void *env = (void *)(uintptr_t)given.env;
    return change_several(function, &vars_update_io_machine, count, vars,
                          given.bytes == LENT ? coir_flat_map(all, fn, env) : coir_flat_map_copy(all, fn, env, given.bytes));
}

coir_io *coir_vars_update(size_t count, coir_var *const *vars, coir_map_fn *fn, void *env)
{
    return vars_update("coir_vars_update", count, vars, fn, lent(env));
}
coir_io *coir_vars_update_copy(size_t count, coir_var *const *vars, coir_map_fn *fn, const void *bytes, size_t size)
{
    return vars_update("coir_vars_update_copy", count, vars, fn, captured(bytes, size));
}

coir_io *coir_vars_update_io(size_t count, coir_var *const *vars, coir_flat_map_fn *fn, void *env)
{
    return vars_update_io("coir_vars_update_io", count, vars, fn, lent(env));
}
coir_io *coir_vars_update_io_copy(size_t count, coir_var *const *vars, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    return vars_update_io("coir_vars_update_io_copy", count, vars, fn, captured(bytes, size));
}
