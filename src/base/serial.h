/*
 * serial.h - serial numbers: by which messages and dumps name objects, and which order them
 */
#ifndef BASE_SERIAL_H
#define BASE_SERIAL_H

#include <stdint.h>

/* coir__serial_next: never 0, larger than those given out before; unique in the process, or, on a thread that is in the midst of a simulation, among
 * what is made in that one (coir__me.serials), which counts from 1: so two objects of one number can meet in a simulation. */
uint64_t coir__serial_next(void);

#endif
