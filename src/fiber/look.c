/*
 * look.c - what is seen of a fiber from outside: its handle as a value, its id, its status, its name, what it waits for
 *
 * Who looks at a wait keeps it HELD (fiber/wait.h) for the few loads that it takes: so the frame stays, and what it mentions.
 */
#include "fiber/look.h"

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
    if (load_relaxed(&seen->floor) > 0)
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

/* ---------------------------------------------------------------------------------------------------- what it waits for */

bool coir__look(coir_fiber *fiber, struct seen *seen, char *label, size_t size)         /* MODEL wait.pml: look */
{
    if (!wait_hold(&fiber->wait))
        return false;
    const coir_io *frame = fiber->top;
    seen->id = fiber->id;
    seen->generation = wait_generation(&fiber->wait);
    seen->known = frame->prim->waits_for == NULL ? (struct waits_for){ .holder = 0 } : frame->prim->waits_for(frame);
    seen->awaits = seen->known.awaits != NULL ? seen->known.awaits : frame->prim->awaits;
    seen->exposed_by = frame->prim->exposed_by;
    if (label != NULL)
        coir__fiber_label(fiber, label, size);
    wait_unhold(&fiber->wait);
    return true;
}

const char *coir__seen_text(const struct seen *seen, const char *holder, char *buffer, size_t size)
{
    char id[32], object[32] = "";
    snprintf(id, sizeof id, " %" PRIu64, seen->known.holder);
    holder = holder == NULL ? id : holder;
    if (seen->known.object != 0)
        snprintf(object, sizeof object, " %" PRIu64, seen->known.object);
    if (seen->known.holder == 0)
        snprintf(buffer, size, "%s%s", seen->awaits, object);
    else if (seen->known.for_fiber)
        snprintf(buffer, size, "the end of fiber%s", holder);
    else
        snprintf(buffer, size, "%s%s that fiber%s holds", seen->awaits, object, holder);
    return buffer;
}

void coir_fiber_dump(const coir_fiber *fiber, FILE *out)
{
    static const char *const names[] = { "new", "runnable", "running", "waiting", "finalizing", "ended" };
    char label[64], text[SEEN_TEXT_SIZE];
    struct seen seen;
    if (fiber == NULL) {
        fprintf(out, "no fiber\n");
        return;
    }
    bool waits = coir__look((coir_fiber *)(uintptr_t)fiber, &seen, NULL, 0);
    coir_status status = coir_fiber_status(fiber);
    fprintf(out, "fiber%s: %s", coir__fiber_label(fiber, label, sizeof label), names[waits && status != COIR_FINALIZING ? COIR_WAITING : status]);
    if (waits)
        fprintf(out, "%s for %s", status == COIR_FINALIZING ? ", waiting" : "", coir__seen_text(&seen, NULL, text, sizeof text));
    fputc('\n', out);
}

uint64_t coir_current_id(void)
{
    return coir__me.seat == NULL || coir__me.seat->fiber == NULL ? 0 : coir__me.seat->fiber->id;
}
