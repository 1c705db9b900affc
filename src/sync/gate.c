/*
 * gate.c - waiting until something is open: gate.h has the rules
 */
#include "sync/gate.h"

void coir__gate_init(struct gate *gate, bool is_open)
{
    object_init(&gate->object);
    atomic_init(&gate->is_open, is_open);
    gate->waiters = (struct queue){ NULL, NULL };
}

bool coir__gate_let_go(struct gate *gate, const char *function, const char *awaits)
{
    struct queue *const queues[] = { &gate->waiters, NULL };
    if (!coir__object_let_go(&gate->object, queues, function, awaits))
        return false;
    coir__object_done(&gate->object);
    return true;
}

bool coir__gate_enter(struct gate *gate)
{
    spin_lock(&gate->object.guard);
    bool serves = coir__object_serves_caller(&gate->object, queue_is_empty(&gate->waiters));
    if (unlikely(!serves))
        spin_unlock(&gate->object.guard);
    return serves;
}

void coir__gate_open(struct gate *gate, struct claimed *claimed)
{
    coir_fiber *fiber;
    store_release(&gate->is_open, true);                                        /* [GATE] */
    while (!queue_is_empty(&gate->waiters)) {
        enum claim claim = handle_queue_claim(&gate->object.handle, &gate->waiters, &fiber);
        if (claim != CLAIM_LOST)
            claimed_add_ok(claimed, fiber, claim, coir_none());
    }
}

void coir__gate_leave(struct gate *gate, struct claimed *claimed)
{
    spin_unlock(&gate->object.guard);
    claimed_make_ready(claimed);
}

/* ---------------------------------------------------------------------------------------------------------------- waiting */

enum prim_step coir__gate_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    (void)fiber;
    if (!gate_is_open(node->object))
        return PRIM_WAIT;
    coir__set_ok(result, coir_none());
    return PRIM_DONE;
}

struct ck_spinlock_fas *coir__gate_guard(const coir_io *frame) { return &((struct gate *)frame->object)->object.guard; }

enum prim_step coir__gate_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    struct gate *gate = frame->object;
    (void)claimed;
    coir__set_ok(result, coir_none());
    if (gate_is_open(gate))
        return PRIM_DONE;
    if (likely(object_serves(&gate->object, fiber, queue_is_empty(&gate->waiters))))
        return PRIM_WAIT;
    coir__object_tell(result, WHY_REFUSED);
    return PRIM_DONE;
}

bool coir__gate_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct gate *gate = frame->object;
    return coir__object_enqueue(&gate->waiters, fiber, frame, result);
}

void coir__gate_settle(coir_fiber *fiber, coir_io *frame, coir_result *result) { (void)coir__object_told(fiber, frame, result); }

const struct coir__offer coir__gate_offer = {
    .guard = coir__gate_guard, .poll = coir__gate_poll, .enqueue = coir__gate_enqueue, .settle = coir__gate_settle
};

enum prim_step coir__gate_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    (void)result;
    object_note_end(frame->object);
    return PRIM_DONE;
}

void coir__gate_disarm(coir_fiber *fiber, coir_io *frame)
{
    struct gate *gate = frame->object;
    (void)fiber;
    spin_lock(&gate->object.guard);
    handle_queue_remove(&gate->object.handle, &gate->waiters, &frame->prim_own.waiter);
    spin_unlock(&gate->object.guard);
    object_note_end(&gate->object);
}
