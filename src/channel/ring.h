/*
 * channel/ring.h - values that wait, first in first out
 *
 * It belongs to an object, under whose guard all of this is done; but it grows while the guard is free.
 */
#ifndef CHANNEL_RING_H
#define CHANNEL_RING_H

#include "base/spin.h"
#include "value/value.h"

struct ring { coir_value *items; size_t room, first, count; };          /* room: a power of two, or 0 */

static inline void ring_push(struct ring *ring, coir_value value)
{
    coir__set_value(&ring->items[(ring->first + ring->count++) & (ring->room - 1)], value);
}

static inline coir_value ring_pop(struct ring *ring)
{
    coir_value value = ring->items[ring->first];
    ring->first = (ring->first + 1) & (ring->room - 1);
    ring->count--;
    return value;
}

/* coir__ring_grow: room for more, unless others have made some meanwhile. False: there is no memory. */
bool coir__ring_grow(struct ring *ring, ck_spinlock_fas_t *guard);
/* coir__ring_drop: what is inside, and the room. Not under a guard. */
void coir__ring_drop(struct ring *ring);

#endif
