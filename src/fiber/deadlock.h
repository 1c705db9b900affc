/*
 * fiber/deadlock.h - who waits for whom: rings, and silence
 */
#ifndef FIBER_DEADLOCK_H
#define FIBER_DEADLOCK_H

#include "fiber/driver.h"

/* coir__deadlock_rings: finds the rings of fibers that wait for each other, and ends, as a panic that explains it, the waits of those in
 * them that wait for an object (of the joiners, if all wait for fibers). While others may run. Gives how many were woken. A ring of nothing but waits that are let
 * be is no deadlock: those of them that give way just end.
 * With a report: a deadlock ends no wait; the first gives *report, the panic, and 1. */
size_t coir__deadlock_rings(struct coir__run *run, coir_result *report);

/* coir__deadlock_silence: for a run in which nothing is runnable and nothing can come: ends the waits of those that wait for an object. */
size_t coir__deadlock_silence(struct coir__run *run, coir_result *report);

uint64_t coir__deadlocks(void);                         /* verdicts in this process */

#endif
