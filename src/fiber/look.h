/*
 * look.h - what a fiber waits for, seen from outside while others may end the wait, and in words
 */
#ifndef FIBER_LOOK_H
#define FIBER_LOOK_H

#include "fiber/fiber.h"

struct seen {
    uint64_t         id;                                /* of the fiber */
    uint64_t         generation;                        /* of the wait */
    const char      *awaits, *exposed_by;               /* of its primitive */
    struct waits_for known;
};

/* coir__look: what the fiber waits for. False: it does not wait at this moment, or its wait is only beginning. With a label it is written
 * too, while the fiber is sure to be there. */
bool coir__look(coir_fiber *fiber, struct seen *seen, char *label, size_t size);

/* coir__seen_text: "lock 3 that fiber 12 'bee' holds", "the end of fiber 12 'bee'", "a callback". `holder` is the label of the one that could
 * end the wait; NULL: its id serves. */
const char *coir__seen_text(const struct seen *seen, const char *holder, char *buffer, size_t size);
enum { SEEN_TEXT_SIZE = 160 };

#endif
