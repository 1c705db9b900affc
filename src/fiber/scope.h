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
/* coir__scope_adopt: a member that its parent waited for, as in a race, is let go: from here on it is asked to end as all members are. */
void coir__scope_adopt(struct coir__scope *scope, coir_fiber *fiber);
/* coir__scope_leave: the fiber ends with *result, having been given back to its MEMBER frame. NULL: it is let go as it stands. */
void coir__scope_leave(coir_fiber *fiber, coir_io *frame, coir_result *result);
/* coir__scope_awaits: whether the owner of a scope that `fiber`, which is running, is in is `other`, or a child of other: then that waits, or will wait, for
 * its end. */
bool coir__scope_awaits(const coir_fiber *other, const coir_fiber *fiber);

#endif
