/*
 * io/do.h - what a step of a routine tells the interpreter
 */
#ifndef IO_DO_H
#define IO_DO_H

#include "io/node.h"

enum routine_flag {
    ROUTINE_AWAIT = COIR_AWAITS_, ROUTINE_TRY = COIR_TRIES_, ROUTINE_ENDED, ROUTINE_OVER, ROUTINE_BECOMES, ROUTINE_LEFT, ROUTINE_LOST
};

/* The frame's bytes come right behind the routine, aligned as by malloc(). */
#define ROUTINE_FRAME_AT NODE_SIZE_OF(routine)
_Static_assert(ROUTINE_FRAME_AT % MEMORY_STEP == 0, "the frame is aligned");

static inline void *coir__routine_bytes(coir_io *node) { return (char *)node + ROUTINE_FRAME_AT; }

/* coir__routine_save: the body's outcome stands in routine.result until something else in the final part needs the place. */
static inline void coir__routine_save(coir_io *frame)
{
    if (likely(!(frame->flags & NODE_FINAL)) || frame->flags & NODE_SAVED)
        return;
    frame->routine.outcome = coir_result_take(&frame->routine.routine.result);
    frame->flags |= NODE_SAVED;
}

#endif
