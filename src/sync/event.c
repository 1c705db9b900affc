/*
 * event.c - an event: a gate that is opened and shut
 */
#include "sync/gate.h"

#include <coir/sync.h>

struct coir_event { struct gate gate; };

static const char awaited[] = "event";

static void event_unref(coir_io *node) { coir_event_drop(node->object); }

static const struct coir__prim wait_prim = {
    .name = "event_wait", .awaits = awaited, .size = NODE_SIZE_OF(prim_own), .attempt = coir__gate_attempt, .arm = coir__object_arm,
    .woken = coir__gate_woken, .disarm = coir__gate_disarm, .drop = event_unref, .waits_for = coir__object_waits_for, .offer = &coir__gate_offer,
    .exposed_by = "coir_event_expose",
};

/* ------------------------------------------------------------------------------------------------------------- handle */

coir_event *coir_event_new(void)
{
    coir_event *event = coir__alloc(sizeof *event);
    if (event == NULL)
        errno = ENOMEM;
    else
        coir__gate_init(&event->gate, false);
    return event;
}

coir_event *coir_event_ref(coir_event *event)
{
    if (event != NULL)
        handle_ref(&event->gate.object.handle);
    return event;
}

void coir_event_drop(coir_event *event)
{
    if (event != NULL && coir__gate_let_go(&event->gate, "coir_event_wait", awaited))
        coir__free(event, sizeof *event);
}

uint64_t coir_event_id(const coir_event *event) { return event == NULL ? 0 : event->gate.object.serial; }
bool coir_event_expose(coir_event *event)       { return event != NULL && coir__object_expose(&event->gate.object); }
bool coir_event_is_set(const coir_event *event) { return event != NULL && gate_is_open(&event->gate); }

/* --------------------------------------------------------------------------------------------------------- set, clear, wait */

bool coir_event_set(coir_event *event)
{
    CLAIMED(claimed);
    coir_event_ref(event);                              /* who is woken may drop the caller's */
    bool serves = event != NULL && coir__gate_enter(&event->gate);
    if (serves) {
        coir__gate_open(&event->gate, &claimed);
        coir__gate_leave(&event->gate, &claimed);
    }
    coir_event_drop(event);
    return serves;
}

bool coir_event_clear(coir_event *event)
{
    CLAIMED(nobody);
    if (event == NULL || !coir__gate_enter(&event->gate))
        return false;
    store_relaxed(&event->gate.is_open, false);         /* relaxed: an event that is not set says nothing of what came before */
    coir__gate_leave(&event->gate, &nobody);
    return true;
}

coir_io *coir_event_wait(coir_event *event)
{
    coir_io *node = event == NULL ? NULL : coir__prim_new(&wait_prim, event, 0);
    if (node != NULL)
        coir_event_ref(event);
    return node;
}
