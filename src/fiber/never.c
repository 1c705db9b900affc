/*
 * never.c - a wait that nobody ends but a cancellation or a verdict
 */
#include "io/prim.h"

static enum prim_step never_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    (void)fiber;
    (void)node;
    (void)result;
    return PRIM_WAIT;
}

static enum prim_step never_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    return never_attempt(fiber, frame, result);
}

static void never_disarm(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    (void)frame;
}

static const struct coir__prim never_prim = {
    .name = "never", .awaits = "what never comes (coir_never)", .size = NODE_SIZE_OF(prim_own), .attempt = never_attempt,
    .arm = never_arm, .disarm = never_disarm,
};

coir_io *coir_never(void) { return coir__prim_new(&never_prim, NULL, 0); }
