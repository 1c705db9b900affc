/*
 * serial.c - one counter for the process
 */
#include "base/serial.h"

#include "base/atomic.h"

uint64_t coir__serial_next(void)
{
    static _Atomic uint64_t last;
    return fetch_add_relaxed(&last, (uint64_t)1) + 1;   /* relaxed: the number carries nothing else */
}
