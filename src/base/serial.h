/*
 * serial.h - serial numbers: by which messages and dumps name objects, and which order them
 */
#ifndef BASE_SERIAL_H
#define BASE_SERIAL_H

#include <stdint.h>

/* coir__serial_next: unique in the process, never 0, larger than those given out before. */
uint64_t coir__serial_next(void);

#endif
