/*
 * heap.c - a heap's room
 */
#include "channel/heap.h"

#include "base/memory.h"

#include <string.h>

enum { ROOM_MIN = 16 };

static void heap_free(struct heap *heap)
{
    if (heap->room > 0)
        coir__free(heap->items, heap->room * sizeof *heap->items);
}

void coir__heap_drop(struct heap *heap)
{
    for (size_t i = 0; i < heap->count; i++)
        coir_drop(heap->items[i].value);
    heap_free(heap);
}

NOINLINE bool coir__heap_grow(struct heap *heap, ck_spinlock_fas_t *guard)
{
    spin_lock(guard);
    size_t room = heap->room;
    bool is_full = heap->count == room;
    spin_unlock(guard);
    if (!is_full)
        return true;
    struct heap other = { .room = room == 0 ? ROOM_MIN : 2 * room };
    other.items = room > SIZE_MAX / 4 / sizeof *other.items ? NULL : coir__alloc(other.room * sizeof *other.items);
    if (other.items == NULL)
        return false;
    spin_lock(guard);
    if (heap->room == room) {
        struct ranked *items = heap->items;
        if (heap->count > 0)
            memcpy(other.items, items, heap->count * sizeof *items);
        heap->items = other.items;
        heap->room = other.room;
        other = (struct heap){ .items = items, .room = room };
    }
    spin_unlock(guard);
    heap_free(&other);
    return true;
}
