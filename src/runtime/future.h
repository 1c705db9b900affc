/*
 * runtime/future.h - what was submitted, seen from outside
 */
#ifndef RUNTIME_FUTURE_H
#define RUNTIME_FUTURE_H

#include "base/memory.h"

#include <coir.h>

/* coir__future_new: with one handle. NULL: no memory. coir__future_io: what runs io (taken) for it; NULL: no memory. */
coir_future *coir__future_new(coir_runtime *runtime);
coir_io *coir__future_io(coir_future *future, coir_io *io);
/* coir__future_io_named: the same io, so that the fiber that runs it is called as what was submitted. */
coir_io *coir__future_io_named(coir_io *io);
/* coir__future_refuse: it is done, with that result (taken), and its io never begins. */
void coir__future_refuse(coir_future *future, coir_result result);

/* coir__runtime_keep, coir__runtime_release: its memory, beyond the last of the program's handles. */
coir_runtime *coir__runtime_keep(coir_runtime *runtime);
void coir__runtime_release(coir_runtime *runtime);
/* coir__runtime_is_canceling: somebody has stopped it with COIR_STOP_CANCEL. */
bool coir__runtime_is_canceling(coir_runtime *runtime);

/* coir__in_forked_child: of a process that had runs, perhaps; none of their threads are there (run.c). */
bool coir__in_forked_child(void);

/* A call of somebody who wants to know. */
struct done_call { struct done_call *next; coir_done_fn *fn; void *env; coir_future *future; };
/* coir__runtime_deliver: has them called by coir_runtime_dispatch(). Takes them, with a handle of its future each, unless nobody is left who could call that:
 * then it gives them back. */
struct done_call *coir__runtime_deliver(coir_runtime *runtime, struct done_call *calls);
void coir__done_calls_drop(struct done_call *calls);
void coir__done_call_make(struct done_call *call);

#endif
