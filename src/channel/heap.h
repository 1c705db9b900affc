/*
 * channel/heap.h - values that wait, the least priority first; among equals first in first out
 *
 * A binary heap. It belongs to an object, under whose guard all of this is done; but it grows while the guard is free.
 */
#ifndef CHANNEL_HEAP_H
#define CHANNEL_HEAP_H

#include "base/spin.h"
#include "value/value.h"

struct ranked { coir_value value; int64_t priority; uint64_t serial; };         /* serial: by which the order of equals is kept */
struct heap { struct ranked *items; size_t room, count; uint64_t serial; };

static inline bool ranked_before(const struct ranked *a, const struct ranked *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->serial < b->serial;
}

/* heap_push: there is room. */
static inline void heap_push(struct heap *heap, coir_value value, int64_t priority)
{
    struct ranked item = { value, priority, heap->serial++ };
    size_t at = heap->count++;
    for (size_t above; at > 0 && ranked_before(&item, &heap->items[above = (at - 1) / 2]); at = above)
        heap->items[at] = heap->items[above];
    heap->items[at] = item;
}

static inline coir_value heap_pop(struct heap *heap)
{
    coir_value value = heap->items[0].value;
    struct ranked last = heap->items[--heap->count];
    size_t at = 0;
    for (size_t below; (below = 2 * at + 1) < heap->count; at = below) {
        if (below + 1 < heap->count && ranked_before(&heap->items[below + 1], &heap->items[below]))
            below++;
        if (!ranked_before(&heap->items[below], &last))
            break;
        heap->items[at] = heap->items[below];
    }
    heap->items[at] = last;
    return value;
}

/* coir__heap_grow: room for more, unless others have made some meanwhile. False: there is no memory. */
bool coir__heap_grow(struct heap *heap, ck_spinlock_fas_t *guard);
/* coir__heap_drop: what is inside, in no order, and the room. Not under a guard. */
void coir__heap_drop(struct heap *heap);

#endif
