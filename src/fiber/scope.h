/*
 * scope.h - children that cannot outlive a part of their parent's program
 */
#ifndef FIBER_SCOPE_H
#define FIBER_SCOPE_H

#include "fiber/fiber.h"

struct coir__scope;

/* coir__scope_of: the innermost scope that what the fiber forks belongs to; NULL: none. */
struct coir__scope *coir__scope_of(const coir_fiber *fiber);
/* coir__scope_admit: a new fiber, not started, belongs to the scope: it gets its MEMBER frame. False: no memory. */
bool coir__scope_admit(struct coir__scope *scope, coir_fiber *fiber);
/* coir__scope_leave: the fiber ends with *result, having been given back to its MEMBER frame. NULL: it is let go as it stands. */
void coir__scope_leave(coir_fiber *fiber, coir_io *frame, coir_result *result);
/* coir__scope_awaits: whether `owner` waits, in a scope of its own, for the end of `fiber`. */
bool coir__scope_awaits(const coir_fiber *owner, const coir_fiber *fiber);

#endif
