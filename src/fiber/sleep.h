/*
 * fiber/sleep.h - sleeps as cases of alternatives
 */
#ifndef FIBER_SLEEP_H
#define FIBER_SLEEP_H

#include "io/node.h"

/* coir__sleep_as_case: what stands for io in an alternative: for coir_sleep_until() a wait for that moment; for a sleep of nothing, or a yield, what
 * goes at once. Any other io as it is. Takes io. NULL: no memory. */
coir_io *coir__sleep_as_case(coir_io *io);

#endif
