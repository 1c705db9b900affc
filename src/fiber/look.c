/*
 * look.c - what is seen of a fiber from outside: its handle as a value, its id, its status, its name
 */
#include "fiber/driver.h"

#include <inttypes.h>

static void fiber_value_drop(void *object) { coir_fiber_drop(object); }
static void *fiber_value_share(void *object) { return coir_fiber_ref(object); }
static void fiber_value_print(const void *object, FILE *out)
{
    char label[64];
    fprintf(out, "fiber%s", coir__fiber_label(object, label, sizeof label));
}

const coir_type coir_fiber_type = { "fiber", fiber_value_drop, fiber_value_share, fiber_value_print };

coir_value coir_fiber_value(coir_fiber *fiber) { return fiber == NULL ? coir_none() : coir_own(fiber, &coir_fiber_type); }

uint64_t coir_fiber_id(const coir_fiber *fiber) { return fiber == NULL ? 0 : fiber->id; }

coir_status coir_fiber_status(const coir_fiber *fiber)
{
    if (fiber == NULL)
        return COIR_ENDED;
    coir_fiber *seen = (coir_fiber *)(uintptr_t)fiber;  /* only its atomics are read */
    switch (load_acquire(&seen->phase)) {
    case PHASE_NEW:
        return COIR_NEW;
    case PHASE_ENDED:
        return COIR_ENDED;
    }
    if (load_relaxed(&seen->finalizing) > 0)
        return COIR_FINALIZING;
    switch (wait_state_of(load_relaxed(&seen->wait.word))) {
    case WAIT_RUNNING:
        return load_relaxed(&seen->phase) == PHASE_RUNNABLE ? COIR_RUNNABLE : COIR_RUNNING;
    case WAIT_PARKED:
    case WAIT_HELD:
    case WAIT_ARMING:
        return COIR_WAITING;
    default:
        return COIR_RUNNABLE;
    }
}

size_t coir_fiber_name(const coir_fiber *fiber, char *name, size_t size)
{
    coir_value string = fiber == NULL || fiber->name == NULL ? coir_none() : coir_own(fiber->name, &coir_string_type);
    return (size_t)snprintf(name, size, "%s", coir_text(&string));
}

const char *coir__fiber_label(const coir_fiber *fiber, char *buffer, size_t size)
{
    coir_value name = fiber->name == NULL ? coir_none() : coir_own(fiber->name, &coir_string_type);
    if (fiber->name == NULL)
        snprintf(buffer, size, " %" PRIu64, fiber->id);
    else
        snprintf(buffer, size, " %" PRIu64 " '%.32s'", fiber->id, coir_text(&name));
    return buffer;
}

void coir_fiber_dump(const coir_fiber *fiber, FILE *out)
{
    static const char *const names[] = { "new", "runnable", "running", "waiting", "finalizing", "ended" };
    char label[64];
    if (fiber == NULL)
        fprintf(out, "no fiber\n");
    else
        fprintf(out, "fiber%s: %s\n", coir__fiber_label(fiber, label, sizeof label), names[coir_fiber_status(fiber)]);
}

uint64_t coir_current_id(void)
{
    return coir__me.seat == NULL || coir__me.seat->fiber == NULL ? 0 : coir__me.seat->fiber->id;
}
