/*
 * list.c - the value that holds values: one block, a head and the items behind it
 *
 * A list that grows moves to a block twice as large, which its only value then points to. Invariants:
 *   1. Only a sole owner changes a list; who is not copies it first, sharing each item.
 *   2. No item is a panic value: a list that is given one becomes it.
 *   3. is_plain: no item has a type. is_sharable: every item could be shared when it was put in.
 */
#include "value/object.h"

#include "base/check.h"

#include <string.h>

struct list {
    struct holder head;
    size_t count, capacity;
    coir_value items[];
};

enum { CAPACITY_MIN = 4 };

static size_t list_memory(size_t capacity) { return sizeof(struct list) + capacity * sizeof(coir_value); }

static struct list *list_new(size_t capacity)
{
    struct list *list = capacity < SIZE_MAX / 2 / sizeof(coir_value) ? coir__alloc(list_memory(capacity)) : NULL;
    if (list == NULL)
        return NULL;
    holder_init(&list->head);
    list->count = 0;
    list->capacity = capacity;
    return list;
}

static void list_free(struct list *list) { coir__free(list, list_memory(list->capacity)); }

static struct list *list_of(const coir_value *value)
{
    return value != NULL && value->type == &coir_list_type ? value->ptr : NULL;
}

/* The list is not shared and has room; the item is no panic value. */
static inline void append(struct list *list, coir_value item)
{
    invariant(list->count < list->capacity);
    coir_value *place = &list->items[list->count++];
    coir__set_value(place, item);
    if (item.type != NULL) {
        list->head.is_plain = false;
        list->head.is_sharable = list->head.is_sharable && coir_can_share(place);
    }
}

/* ------------------------------------------------------------------------------------------------------- the type */

static void list_empty(struct buried *dead)
{
    struct list *list = (struct list *)(void *)dead;
    for (size_t i = 0; i < list->count; i++)
        drop_held(list->items[i]);
    list_free(list);
}

static void list_drop(void *object)
{
    struct list *list = object;
    if (!refs_drop(&list->head.refs))
        return;
    if (list->head.is_plain)
        list_free(list);
    else
        coir__bury(&list->head.dead, list_empty);
}

static void *list_share(void *object)
{
    coir_value value = coir_own(object, &coir_list_type);
    return coir_can_share(&value) && refs_add(&((struct list *)object)->head.refs) ? object : NULL;
}

static void list_print(const void *object, FILE *out)
{
    const struct list *list = object;
    putc('[', out);
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            fputs(", ", out);
        coir_value_print(&list->items[i], out);
    }
    putc(']', out);
}

const coir_type coir_list_type = { "list", list_drop, list_share, list_print };

/* ---------------------------------------------------------------------------------------------- for other floors */

coir_value coir__list_new(size_t capacity)
{
    struct list *list = list_new(capacity);
    return list == NULL ? coir__no_memory_value() : coir_own(list, &coir_list_type);
}

void coir__list_add(coir_value *list, coir_value item)
{
    if (unlikely(list->type != &coir_list_type))
        drop_held(item);
    else if (unlikely(coir__is_panic_value(&item)))
        coir_put(list, item);
    else
        append(list->ptr, item);
}

coir_value coir__list_blank(size_t count, coir_value **places)
{
    struct list *list = list_new(count);
    if (list == NULL)
        return coir__no_memory_value();
    memset(list->items, 0, count * sizeof list->items[0]);          /* nones */
    list->count = count;
    *places = list->items;
    return coir_own(list, &coir_list_type);
}

void coir__list_fit(const coir_value *list, bool is_plain, bool is_sharable)
{
    struct list *items = list->ptr;
    items->head.is_plain = is_plain;
    items->head.is_sharable = is_sharable;
}

/* -------------------------------------------------------------------------------------------------------- growing */

/* The items in a larger block; the smaller one is gone. NULL: nothing has changed. */
static struct list *moved(struct list *list)
{
    struct list *larger = list_new(list->capacity < CAPACITY_MIN ? CAPACITY_MIN : list->capacity * 2);
    if (larger == NULL)
        return NULL;
    memcpy(larger->items, list->items, list->count * sizeof list->items[0]);
    larger->count = list->count;
    larger->head.is_plain = list->head.is_plain;
    larger->head.is_sharable = list->head.is_sharable;
    list_free(list);
    return larger;
}

/* A copy with room for one more, each item shared. NULL: one could not be, or there is no memory. */
static struct list *copied(const struct list *list)
{
    struct list *copy = list_new(list->count + 1);
    for (size_t i = 0; copy != NULL && i < list->count; i++) {
        coir_value item = coir_share(&list->items[i]);
        if (!coir__is_panic_value(&item)) {
            append(copy, item);
            continue;
        }
        drop_held(item);
        list_drop(copy);
        copy = NULL;
    }
    return copy;
}

/* The list itself or what stands for it, sole and with room; the value's own reference goes with it. */
static struct list *with_room(struct list *list)
{
    if (!refs_is_sole(&list->head.refs)) {
        struct list *copy = copied(list);
        if (copy != NULL)
            list_drop(list);
        return copy;
    }
    return list->count < list->capacity ? list : moved(list);
}

/* ---------------------------------------------------------------------------------------------- public functions */

static void drop_all(size_t count, const coir_value *items)
{
    for (size_t i = 0; i < count; i++)
        drop_held(items[i]);
}

coir_value coir_list(size_t count, const coir_value *items)
{
    if (items == NULL && count > 0)
        return coir_panic_value("coir_list: items is NULL, count is %zu", count);
    struct list *list = list_new(count);
    if (list == NULL) {
        drop_all(count, items);
        return coir__no_memory_value();
    }
    for (size_t i = 0; i < count; i++) {
        if (unlikely(coir__is_panic_value(&items[i]))) {
            coir_value panic = items[i];
            drop_all(count - i - 1, items + i + 1);
            list_drop(list);
            return panic;
        }
        append(list, items[i]);
    }
    return coir_own(list, &coir_list_type);
}

bool coir_list_push(coir_value *list, coir_value item)
{
    struct list *place = list_of(list);
    if (place != NULL && unlikely(coir__is_panic_value(&item))) {
        coir_put(list, item);
        return false;
    }
    place = place == NULL ? NULL : with_room(place);
    if (place == NULL) {
        drop_held(item);
        return false;
    }
    append(place, item);
    list->ptr = place;
    return true;
}

size_t coir_list_size(const coir_value *list)
{
    const struct list *items = list_of(list);
    return items == NULL ? 0 : items->count;
}

const coir_value *coir__list_items(const coir_value *list, size_t *count)
{
    const struct list *items = list_of(list);
    *count = items == NULL ? 0 : items->count;
    return items == NULL ? NULL : items->items;
}

const coir_value *coir_list_at(const coir_value *list, size_t index)
{
    const struct list *items = list_of(list);
    return items == NULL || index >= items->count ? NULL : &items->items[index];
}

coir_value coir_list_take(coir_value *list, size_t index)
{
    struct list *items = list_of(list);
    if (items == NULL || index >= items->count)
        return coir_none();
    return refs_is_sole(&items->head.refs) ? coir_take(&items->items[index]) : coir_share(&items->items[index]);
}
