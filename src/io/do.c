/*
 * do.c - the frame behind the sequential notation
 *
 * A ROUTINE node carries the step function, a coir_routine and the frame's bytes. Running it makes it its own frame (or a copy, if
 * it is shared); each time the awaited io has ended the interpreter puts its result into routine.result and calls the step again. What the
 * step gives back, and the flags that these functions leave, tell the interpreter how to go on:
 *
 *     AWAIT, TRY    an io to run, whose result is offered according to the flag
 *     ENDED         routine.result is the outcome of the body, or the final part's
 *     OVER          routine.result is the outcome of the whole, which has no final part
 *     BECOMES       routine.become is to run in the routine's place
 *     LEFT          COIR_FINALLY, or the whole, has been run through
 *     LOST          the step came to no place that the notation knows: routine.result is a panic
 */
#include "io/do.h"

#include <string.h>

static coir_io *container(coir_routine *self) { return container_of(self, coir_io, routine.routine); }

coir_io *coir_do(coir_step_fn *step, const void *frame, size_t size)
{
    if (step == NULL)
        return coir__bad_argument("coir_do", "step is NULL");
    if (size > CAPTURE_MAX)
        return coir__bad_argument("coir_do", "size is more than 64 KiB");
    coir_io *node = coir__node_new(OP_ROUTINE, ROUTINE_FRAME_AT + size);
    if (node == NULL)
        return NULL;
    node->child = NULL;
    node->step = step;
    node->env = NULL;
    node->routine.become = node->routine.holds = NULL;
    node->routine.routine.at = node->routine.routine.flags = 0;
    node->routine.routine.size = size;
    coir__set_ok(&node->routine.routine.result, coir_none());
    if (frame != NULL)
        memcpy(coir__routine_bytes(node), frame, size);
    else
        memset(coir__routine_bytes(node), 0, size);
    return node;
}

void coir_routine_end_(coir_routine *self, coir_tag tag, coir_value value)
{
    coir__routine_save(container(self));
    if (unlikely(self->result.value.type != NULL || self->result.also != NULL))
        coir_result_drop(&self->result);
    coir__set_ok(&self->result, value);
    self->result.tag = tag;
    coir__check(&self->result);
    self->at = COIR_ENDED_;
}

coir_io *coir_routine_ended_(coir_routine *self)
{
    self->flags = ROUTINE_ENDED;
    return NULL;
}

coir_io *coir_routine_become_(coir_routine *self, coir_io *io)
{
    if (container(self)->flags & NODE_FINAL) {
        coir_io_drop(io);
        coir_routine_end_(self, COIR_PANIC, coir__error(DOMAIN_COIR, COIR_MISUSE, "COIR_BECOME inside COIR_FINALLY"));
        return coir_routine_ended_(self);
    }
    container(self)->routine.become = io;
    coir_result_drop(&self->result);
    self->flags = io != NULL ? ROUTINE_BECOMES : ROUTINE_AWAIT;     /* NULL: as an await of NULL, no memory */
    return NULL;
}

coir_io *coir_routine_leave_(coir_routine *self)
{
    self->flags = ROUTINE_LEFT;
    return NULL;
}

coir_io *coir_routine_lost_(coir_routine *self)
{
    self->flags = self->at == COIR_ENDED_ ? ROUTINE_OVER : ROUTINE_LOST;
    return NULL;
}
