/*
 * starve.h - a piece of code without memory: at its first allocation, at its second, ...
 *
 *     TEST_ALONE(list, without_memory_drops_what_it_took) { starve(build_a_list); }
 *
 * body is called until it needs no further allocation. Whatever came of it, it leaves nothing behind. Only where every object is an
 * allocation of its own (COIR_PLAIN_MEMORY): elsewhere a thread's cells hide most of them.
 */
#ifndef STARVE_H
#define STARVE_H

#include "program.h"

#ifdef COIR_PLAIN_MEMORY
static inline void starve(void (*body)(void))
{
    watch_memory();
    for (int k = 0, enough = 0; !enough; k++) {
        CASE("%d allocations", k);
        atomic_store(&watched.left, k);
        body();
        enough = atomic_load(&watched.left) > 0;
        atomic_store(&watched.left, -1);
        CHECK_INT(atomic_load(&things_alive), 0);
        CHECK_INT(atomic_load(&watched.bytes), 0);
        CHECK(k < 1000);
    }
    CHECK(strchr(notes(), '!') == NULL);                /* nothing was dropped twice */
}

/* Whether there was memory; checks that the value says ENOMEM otherwise. */
static inline bool was_made(const coir_value *value)
{
    if (value->type != &coir_panic_type)
        return true;
    CHECK_INT(coir_error_code(value), ENOMEM);
    CHECK_STR(coir_error_domain(value), "errno");
    return false;
}
#endif

#endif
