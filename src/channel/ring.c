/*
 * ring.c - a ring's room
 */
#include "channel/ring.h"

#include "base/memory.h"

enum { ROOM_MIN = 16 };

static void ring_free(struct ring *ring)
{
    if (ring->room > 0)
        coir__free(ring->items, ring->room * sizeof *ring->items);
}

void coir__ring_drop(struct ring *ring)
{
    while (ring->count > 0)
        coir_drop(ring_pop(ring));
    ring_free(ring);
}

/* L. Under a poison it may come to a ring that was taken away: then it grows for nothing, and the object's end frees it. */
static void ring_replace(struct ring *ring, struct ring *larger)
{
    struct ring small = *ring;
    while (small.count > 0)
        ring_push(larger, ring_pop(&small));
    *ring = *larger;
    *larger = small;
}

NOINLINE bool coir__ring_grow(struct ring *ring, ck_spinlock_fas_t *guard)
{
    spin_lock(guard);
    size_t room = ring->room;
    bool is_full = ring->count == room;
    spin_unlock(guard);
    if (!is_full)
        return true;
    struct ring larger = { NULL, room == 0 ? ROOM_MIN : 2 * room, 0, 0 };
    larger.items = room > SIZE_MAX / 4 / sizeof *larger.items ? NULL : coir__alloc(larger.room * sizeof *larger.items);
    if (larger.items == NULL)
        return false;
    spin_lock(guard);
    if (ring->room == room)
        ring_replace(ring, &larger);
    spin_unlock(guard);
    ring_free(&larger);
    return true;
}
