/*
 * fiber/join.h - what all waits for the ends of fibers share: several of them as one value, edges, oneself among them
 */
#ifndef FIBER_JOIN_H
#define FIBER_JOIN_H

#include "fiber/driver.h"

/* The fibers of a value, which is one or a list of nothing else, as an array of their values. */
struct fibers { const coir_value *at; size_t count; };

static inline struct fibers fibers_of(const coir_value *value)
{
    struct fibers fibers = { value, 1 };
    if (value->type != &coir_fiber_type)
        fibers.at = coir__list_items(value, &fibers.count);
    return fibers;
}

static inline coir_fiber *fiber_at(struct fibers fibers, size_t index) { return fibers.at[index].ptr; }

static inline bool fibers_contain(struct fibers fibers, const coir_fiber *fiber)
{
    for (size_t i = 0; i < fibers.count; i++)
        if (fiber_at(fibers, i) == fiber)
            return true;
    return false;
}

/* coir__all_fibers: whether it is a fiber, or a list of nothing else. coir__no_fibers: the io that says that it is not. */
bool coir__all_fibers(const coir_value *value);
coir_io *coir__no_fibers(const char *function, const coir_value *value);

/* coir__note_edge: a wait for `other` begins. One that crosses runs can be ended by what happens elsewhere, so its run must not be judged silent:
 * such waits are counted, in the frame's number too, so that coir__note_edge_end() can take them off. */
void coir__note_edge(coir_fiber *fiber, coir_io *frame, coir_fiber *other);
void coir__note_edge_end(coir_io *frame);

/* coir__ends_new: an io that waits until fibers have ended, which no verdict keeps it from, and leaves their results alone. Made before they are
 * started it needs no memory when it is run. coir__ends_of: of this list, which is taken. */
coir_io *coir__ends_new(void);
void coir__ends_of(coir_io *node, coir_value fibers);

static inline struct waits_for waits_for_fiber(const coir_fiber *fiber)
{
    return (struct waits_for){ .holder = fiber->id, .for_fiber = true, .run = run_of(fiber) };
}

/* coir__self_join: the panic of a fiber that waits for its own end. */
coir_result coir__self_join(const coir_fiber *fiber, const char *function);

#endif
