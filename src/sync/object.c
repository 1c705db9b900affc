/*
 * object.c - whose fibers may use an object, its last reference, and waiting for it
 */
#include "sync/object.h"

bool coir__object_expose(struct object *object)
{
    spin_lock(&object->guard);
    bool unused = object->user == NULL;
    if (unused)
        store_relaxed(&object->exposed, true);
    spin_unlock(&object->guard);
    return unused;
}

bool coir__object_serves_now(struct object *object, struct run_token *user, bool is_unused)
{
    if (load_relaxed(&object->exposed))
        return true;
    if (object->user != NULL && !is_unused && !load_acquire(&object->user->ended))
        return false;
    coir__run_token_drop(object->user);
    object->user = coir__run_token_ref(user);
    return true;
}

/* A thread that is no worker leaves no trace: it is no run. */
bool coir__object_serves_caller(struct object *object, bool is_unused)
{
    struct coir__seat *seat = coir__me.seat;
    if (seat != NULL)
        return object->user == seat->run->token || coir__object_serves_now(object, seat->run->token, is_unused);
    return is_unused || load_relaxed(&object->exposed) || object->user == NULL || load_acquire(&object->user->ended);
}

static void abandon(struct object *object, struct queue *const *queues, const char *function, const char *awaits)
{
    struct claimed_waits claimed = { NULL };
    spin_lock(&object->guard);
    if (handle_has_only_waiters(&object->handle))
        for (; *queues != NULL; queues++)
            coir__handle_claim(&object->handle, *queues, &claimed);
    spin_unlock(&object->guard);
    coir__handle_wake(&claimed, function, awaits, object->serial);
}

bool coir__object_let_go(struct object *object, struct queue *const *queues, const char *function, const char *awaits)
{
    enum handle_end end;
    while (unlikely((end = handle_let_go(&object->handle)) == HANDLE_ABANDONED))
        abandon(object, queues, function, awaits);
    return end == HANDLE_DIES;
}

void coir__object_done(struct object *object) { coir__run_token_drop(object->user); }

/* ---------------------------------------------------------------------------------------------------------------- waiting */

static const coir_type why_not_type = { .name = "end of a wait" };

void coir__object_tell(coir_result *result, enum why_not why)
{
    coir__set_ok(result, (coir_value){ .type = &why_not_type, .u64 = why });
}

bool coir__object_is_told(const coir_result *result) { return result->tag == COIR_OK && result->value.type == &why_not_type; }

const char *coir__function_of(const struct coir__prim *prim, char buffer[FUNCTION_SIZE])
{
    snprintf(buffer, FUNCTION_SIZE, "coir_%s", prim->name);
    return buffer;
}

bool coir__object_told(const coir_fiber *fiber, const coir_io *frame, coir_result *result)
{
    char function[FUNCTION_SIZE];
    const struct object *object = frame->object;
    if (likely(!coir__object_is_told(result)))
        return false;
    coir__function_of(frame->prim, function);
    *result = result->value.u64 == WHY_REFUSED ? refused(function)
                                                : coir__handle_abandoned(fiber, function, frame->prim->awaits, object->serial);
    return true;
}

bool coir__object_enqueue(struct queue *queue, coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct object *object = frame->object;
    object_note(object);
    if (likely(handle_queue_push(&object->handle, queue, &frame->prim_own.waiter, fiber)))
        return true;
    object_note_end(object);
    coir__object_tell(result, WHY_ABANDONED);
    return false;
}

struct waits_for coir__object_waits_for(const coir_io *frame)
{
    const struct object *object = frame->object;
    return (struct waits_for){ .object = object->serial };
}

enum prim_step coir__object_try(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    return object_meet(frame->prim->offer, fiber, frame, false, result);
}

enum prim_step coir__object_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    return object_arm(frame->prim->offer, fiber, frame, result);
}
