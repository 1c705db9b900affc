/*
 * serial.c - one counter for the process, and those of simulations
 */
#include "base/serial.h"

#include "base/memory.h"

uint64_t coir__serial_next(void)
{
    static _Atomic uint64_t last;
    if (unlikely(coir__me.serials != NULL))
        return ++*coir__me.serials;
    return fetch_add_relaxed(&last, (uint64_t)1) + 1;   /* relaxed: the number carries nothing else */
}
