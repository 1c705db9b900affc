/*
 * deferred.c - a deferred: a gate that opens when a result has been put inside
 *
 * [GATE] publishes the result. From then on it stays as it is if it can be shared, so who gets it needs no guard. One that cannot goes to the first who asks,
 * under the guard, and leaves a value that says so.
 */
#include "sync/gate.h"

#include "io/machine.h"
#include "value/object.h"

#include <coir/sync.h>

#include <inttypes.h>

struct coir_deferred {
    union {
        struct gate   gate;
        struct buried buried;                           /* of a dead one */
    };
    coir_result result;                                 /* [GATE]; of what cannot be shared L */
    bool        is_sharable;                            /* [GATE] */
};

static const char awaited[] = "the result of deferred";

/* ------------------------------------------------------------------------------------------------------------- handle */

coir_deferred *coir_deferred_new(void)
{
    coir_deferred *deferred = coir__alloc(sizeof *deferred);
    if (deferred == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    coir__gate_init(&deferred->gate, false);
    deferred->result = coir_ok(coir_none());
    deferred->is_sharable = true;
    return deferred;
}

coir_deferred *coir_deferred_ref(coir_deferred *deferred)
{
    if (deferred != NULL)
        handle_ref(&deferred->gate.object.handle);
    return deferred;
}

static void deferred_empty(struct buried *buried)
{
    coir_deferred *deferred = container_of(buried, coir_deferred, buried);
    coir_result_drop(&deferred->result);
    coir__free(deferred, sizeof *deferred);
}

/* The result may hold another deferred, which holds another, as in a list that is still growing: dropping must not recurse. */
void coir_deferred_drop(coir_deferred *deferred)
{
    if (deferred != NULL && coir__gate_let_go(&deferred->gate, "coir_deferred_get", awaited))
        coir__bury(&deferred->buried, deferred_empty);
}

static void value_drop(void *object) { coir_deferred_drop(object); }
static void *value_share(void *object) { return coir_deferred_ref(object); }
const coir_type coir_deferred_type = { "deferred", value_drop, value_share, NULL };

coir_value coir_deferred_value(coir_deferred *deferred)
{
    return deferred == NULL ? coir_panic_value("coir_deferred_value: deferred is NULL") : coir_own(deferred, &coir_deferred_type);
}

uint64_t coir_deferred_id(const coir_deferred *deferred) { return deferred == NULL ? 0 : deferred->gate.object.serial; }
bool coir_deferred_expose(coir_deferred *deferred)       { return deferred != NULL && coir__object_expose(&deferred->gate.object); }
bool coir_deferred_is_set(const coir_deferred *deferred) { return deferred != NULL && gate_is_open(&deferred->gate); }

/* ---------------------------------------------------------------------------------------------------------------- put */

/* A cancellation is that of who was to put something, not of those who get it. */
static coir_result canceled_put(const coir_deferred *deferred)
{
    return coir_raise(coir__error(DOMAIN_COIR, COIR_CHILD_CANCELED, "coir_deferred_get: what was to be put into deferred %" PRIu64 " was canceled",
                                  coir_deferred_id(deferred)));
}

static bool can_share(const coir_result *result)
{
    bool can = coir_can_share(&result->value);
    for (const coir_failure *f = result->also; f != NULL; f = coir_failure_next(f))
        can = can && coir_can_share(coir_failure_value(f));
    return can;
}

enum putting { PUT, WRITTEN_BEFORE, REFUSED };

static enum putting try_put(coir_deferred *deferred, coir_result *result)
{
    CLAIMED(claimed);
    enum putting putting = WRITTEN_BEFORE;
    bool is_sharable = can_share(result);
    if (!coir__gate_enter(&deferred->gate))
        return REFUSED;
    if (!gate_is_open(&deferred->gate)) {
        deferred->result = coir_result_take(result);
        deferred->is_sharable = is_sharable;
        coir__gate_open(&deferred->gate, &claimed);
        putting = PUT;
    }
    coir__gate_leave(&deferred->gate, &claimed);
    return putting;
}

/* Takes result. */
static enum putting put(coir_deferred *deferred, coir_result result)
{
    enum putting putting = try_put(deferred, &result);
    coir_result_drop(&result);
    return putting;
}

bool coir_deferred_put(coir_deferred *deferred, coir_result result)
{
    if (deferred == NULL) {
        coir_result_drop(&result);
        return false;
    }
    coir__check(&result);
    if (result.tag == COIR_CANCELED) {
        coir_result_drop(&result);
        result = canceled_put(deferred);
    }
    coir_deferred_ref(deferred);                        /* who is woken may drop the caller's */
    enum putting putting = put(deferred, result);
    coir_deferred_drop(deferred);
    return putting == PUT;
}

/* ---------------------------------------------------------------------------------------------------------------- get */

static const coir_type gone_type = { .name = "gone" };

static coir_result take_once(coir_deferred *deferred)
{
    spin_lock(&deferred->gate.object.guard);
    coir_result result = deferred->result;
    bool gone = result.value.type == &gone_type;
    if (!gone)
        deferred->result = coir_ok(coir_own((void *)(uintptr_t)result.value.type, &gone_type));
    spin_unlock(&deferred->gate.object.guard);
    if (!gone)
        return result;
    const coir_type *type = result.value.ptr;
    return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_deferred_get: the result of deferred %" PRIu64 " cannot be shared (its type is %s), and another has it",
                        coir_deferred_id(deferred), type == NULL || type->name == NULL ? "plain" : type->name);
}

static void get(coir_deferred *deferred, coir_result *result)
{
    *result = likely(deferred->is_sharable) ? coir_result_share(&deferred->result) : take_once(deferred);
}

static enum prim_step get_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    if (coir__gate_attempt(fiber, node, result) == PRIM_WAIT)
        return PRIM_WAIT;
    get(node->object, result);
    return PRIM_DONE;
}

static void get_settle(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    if (likely(!coir__object_told(fiber, frame, result)))
        get(frame->object, result);
}

/* A waker who has not put anything left a panic. */
static enum prim_step get_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)coir__gate_woken(fiber, frame, result);
    if (likely(result->tag == COIR_OK))
        get(frame->object, result);
    return PRIM_DONE;
}

static void deferred_unref(coir_io *node) { coir_deferred_drop(node->object); }

static const struct coir__offer get_offer = {
    .guard = coir__gate_guard, .poll = coir__gate_poll, .enqueue = coir__gate_enqueue, .settle = get_settle
};

static const struct coir__prim get_prim = {
    .name = "deferred_get", .awaits = awaited, .size = NODE_SIZE_OF(prim_own), .attempt = get_attempt, .arm = coir__object_arm,
    .woken = get_woken, .disarm = coir__gate_disarm, .drop = deferred_unref, .waits_for = coir__object_waits_for, .offer = &get_offer,
    .exposed_by = "coir_deferred_expose",
};

coir_io *coir_deferred_get(coir_deferred *deferred)
{
    coir_io *node = deferred == NULL ? NULL : coir__prim_new(&get_prim, deferred, 0);
    if (node != NULL)
        coir_deferred_ref(deferred);
    return node;
}

/* ------------------------------------------------------------------------------------------------------------ putting */

/* The node's object is the deferred; behind its head stands the io, which is the frame's until it runs. */
static coir_io **io_of(coir_io *node) { return (coir_io **)(void *)((char *)node + NODE_SMALL); }

static enum machine_way putting_begin(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    (void)fiber;
    turn->io = *io_of(frame);
    turn->borrowed = frame->flags & NODE_BORROWED;
    *io_of(frame) = NULL;
    return MACHINE_RUNS;
}

static coir_result told_of(enum putting putting)
{
    return putting == REFUSED ? refused("coir_putting") : coir_ok(coir_bool(putting == PUT));
}

static enum machine_way putting_given(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    coir_deferred *deferred = frame->object;
    (void)fiber;
    if (unlikely(turn->result.tag == COIR_CANCELED))
        (void)put(deferred, canceled_put(deferred));    /* and goes on unwinding */
    else
        turn->result = told_of(put(deferred, turn->result));
    return MACHINE_IS_OVER;
}

static void putting_empty(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    (void)frame;
}

static void putting_drop(coir_io *node)
{
    coir_io_drop(*io_of(node));
    coir_deferred_drop(node->object);
}

static const struct coir__machine putting_machine = {
    .name = "putting", .begin = putting_begin, .given = putting_given, .empty = putting_empty, .drop = putting_drop
};

coir_io *coir_putting(coir_deferred *deferred, coir_io *io)
{
    coir_io *node = deferred == NULL || io == NULL ? NULL : coir__node_new(OP_MACHINE, NODE_SMALL + sizeof io);
    if (node == NULL) {
        coir_io_drop(io);
        return NULL;
    }
    node->child = NULL;
    node->machine = &putting_machine;
    node->object = coir_deferred_ref(deferred);
    *io_of(node) = io;
    return node;
}
