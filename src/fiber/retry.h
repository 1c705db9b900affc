/*
 * fiber/retry.h - the rounds of RETRY, for the interpreter
 */
#ifndef FIBER_RETRY_H
#define FIBER_RETRY_H

#include "fiber/driver.h"

/* coir__retry_begin: the first round is about to begin. */
void coir__retry_begin(struct coir__seat *seat, coir_io *frame);
/* coir__retry_next: offers the frame a result of its body, or of a pause. Gives what is to be run: the frame's body, or a pause, which is
 * the caller's; *result is used up then. NULL: the loop is over, with *result. */
coir_io *coir__retry_next(struct coir__seat *seat, coir_io *frame, coir_result *result);

#endif
