/*
 * latch.c - a latch: a gate that opens when it has been counted down
 *
 * Invariant: the gate is open if and only if the count is 0.
 */
#include "sync/gate.h"

#include <coir/sync.h>

#include <inttypes.h>

struct coir_latch {
    struct gate     gate;
    _Atomic int64_t count;                              /* A, written under the guard */
};

static const char awaited[] = "latch";

static void latch_unref(coir_io *node) { coir_latch_drop(node->object); }

static const struct coir__prim wait_prim = {
    .name = "latch_wait", .awaits = awaited, .size = NODE_SIZE_OF(prim_own), .attempt = coir__gate_attempt, .arm = coir__object_arm,
    .woken = coir__gate_woken, .disarm = coir__gate_disarm, .drop = latch_unref, .waits_for = coir__object_waits_for, .offer = &coir__gate_offer,
    .exposed_by = "coir_latch_expose",
};

/* ------------------------------------------------------------------------------------------------------------- handle */

coir_latch *coir_latch_new(int64_t count)
{
    coir_latch *latch = count < 0 ? NULL : coir__alloc(sizeof *latch);
    if (latch == NULL) {
        errno = count < 0 ? EINVAL : ENOMEM;
        return NULL;
    }
    coir__gate_init(&latch->gate, count == 0);
    atomic_init(&latch->count, count);
    return latch;
}

coir_latch *coir_latch_ref(coir_latch *latch)
{
    if (latch != NULL)
        handle_ref(&latch->gate.object.handle);
    return latch;
}

void coir_latch_drop(coir_latch *latch)
{
    if (latch != NULL && coir__gate_let_go(&latch->gate, "coir_latch_wait", awaited))
        coir__free(latch, sizeof *latch);
}

uint64_t coir_latch_id(const coir_latch *latch) { return latch == NULL ? 0 : latch->gate.object.serial; }
bool coir_latch_expose(coir_latch *latch)       { return latch != NULL && coir__object_expose(&latch->gate.object); }

int64_t coir_latch_count(const coir_latch *latch)
{
    return latch == NULL ? 0 : load_relaxed(&((coir_latch *)(uintptr_t)latch)->count);
}

/* --------------------------------------------------------------------------------------------------------- count, wait */

enum counting { COUNTED, TOO_OFTEN, REFUSED };

static enum counting count_down(coir_latch *latch)
{
    CLAIMED(claimed);
    enum counting counting = TOO_OFTEN;
    if (!coir__gate_enter(&latch->gate))
        return REFUSED;
    int64_t count = load_relaxed(&latch->count);
    if (count > 0) {
        store_relaxed(&latch->count, count - 1);
        counting = COUNTED;
    }
    if (count == 1)
        coir__gate_open(&latch->gate, &claimed);
    coir__gate_leave(&latch->gate, &claimed);
    return counting;
}

bool coir_latch_count_down(coir_latch *latch)
{
    coir_latch_ref(latch);                              /* who is woken may drop the caller's */
    bool counted = latch != NULL && count_down(latch) == COUNTED;
    coir_latch_drop(latch);
    return counted;
}

static coir_result too_often(const coir_fiber *fiber, const coir_latch *latch)
{
    char label[64];
    return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_counting_down: fiber%s counts latch %" PRIu64 " down, which is at 0",
                        coir__fiber_label(fiber, label, sizeof label), latch->gate.object.serial);
}

static enum prim_step count_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    switch (count_down(node->object)) {
    case COUNTED:
        coir__set_ok(result, coir_none());
        break;
    case TOO_OFTEN:
        *result = too_often(fiber, node->object);
        break;
    case REFUSED:
        *result = refused("coir_counting_down");
        break;
    }
    return PRIM_DONE;
}

static const struct coir__prim count_prim = {
    .name = "latch_count_down", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = count_attempt, .drop = latch_unref,
};

static coir_io *latch_io(const struct coir__prim *prim, coir_latch *latch)
{
    coir_io *node = latch == NULL ? NULL : coir__prim_new(prim, latch, 0);
    if (node != NULL)
        coir_latch_ref(latch);
    return node;
}

coir_io *coir_latch_wait(coir_latch *latch)                  { return latch_io(&wait_prim, latch); }
coir_io *coir_counting_down(coir_latch *latch, coir_io *io)  { return coir_finally(io, latch_io(&count_prim, latch)); }
