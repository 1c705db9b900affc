/*
 * io/do.h - what a step of a routine tells the interpreter
 */
#ifndef IO_DO_H
#define IO_DO_H

#include "io/node.h"

enum routine_flag { ROUTINE_AWAIT = 1, ROUTINE_TRY, ROUTINE_ENDED, ROUTINE_BECOMES, ROUTINE_LEFT, ROUTINE_LOST };

/* The frame's bytes come behind the routine, aligned as by malloc(). */
#define ROUTINE_FRAME_AT ((NODE_SIZE_OF(routine) + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP)

static inline void *coir__routine_bytes(coir_io *node) { return (char *)node + ROUTINE_FRAME_AT; }

#endif
