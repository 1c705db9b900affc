/*
 * fiber/par.h - children that their parent waits for: race, both, par_zip, par_traverse
 *
 * The parent waits in one frame, the group, a PRIM in place of the node that it ran. Its children are fibers, which it watches (struct watch in
 * fiber.h): each end is noted in the group, and the parent is woken when there is something to do for it: when the outcome is settled before
 * all have ended, so that the others are to be called off, and when all have ended. So no child outlives the instruction; but for the loser
 * of a RACE_PAIR and the child of a NOWAIT that was called off, which it lets go.
 */
#ifndef FIBER_PAR_H
#define FIBER_PAR_H

#include "fiber/driver.h"

/* coir__group: the frame for `node`, which is taken unless it is borrowed, and with it the list of a PAR_EACH. It is to be pushed and armed.
 * NULL without memory. */
coir_io *coir__group(coir_io *node, bool borrowed, coir_value list);

/* A PULL is what the children of PAR_TRAVERSE and PAR_EACH run: each takes the next index, until there is none.
 * coir__pull: the io of the next one. NULL: *result is what the child ends with.
 * coir__pulled: *result is that io's. False: it is what the child ends with. */
coir_io *coir__pull(const coir_fiber *fiber, coir_io *frame, coir_result *result);
bool coir__pulled(coir_io *frame, coir_result *result);

/* coir__children: as coir_parallel(), for who waits for all their ends himself whatever happens: they begin without a request, belong to no scope, and
 * nobody asks them to end. */
coir_io *coir__children(size_t count, coir_io *const *ios);

/* coir__is_ancestor: whether `fiber` is a child of other, or a child's child, and so on: then it ends before other does. While it cannot end. */
bool coir__is_ancestor(const coir_fiber *other, coir_fiber *fiber);

#endif
