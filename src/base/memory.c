/*
 * memory.c - the allocator under everything, and burials: drops that never recurse
 */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#define NONE     &coir__no_room
#define NONE_X4  NONE, NONE, NONE, NONE
_Static_assert(MEMORY_CLASSES == 17, "each magazine has its bottom below");
_Thread_local struct coir__thread coir__me __attribute__((tls_model("initial-exec"))) = {
    .magazines = { NONE_X4, NONE_X4, NONE_X4, NONE_X4, NONE }
};

#if defined(__SANITIZE_THREAD__) || defined(COIR_TSAN)
_Atomic uint32_t coir__fence_word;
#endif

/* ------------------------------------------------------------------------------------------------ the user's allocator */

static void *default_allocate(void *env, size_t size) { (void)env; return malloc(size); }
static void default_release(void *env, void *memory, size_t size) { (void)env; (void)size; free(memory); }

static struct {
    void *(*allocate)(void *env, size_t size);
    void  (*release)(void *env, void *memory, size_t size);
    void   *env;
} allocator = { default_allocate, default_release, NULL };
static _Atomic bool used;                               /* the allocator has served: it can no longer be changed */

bool coir__memory_set(void *(*allocate)(void *, size_t), void (*release)(void *, void *, size_t), void *env)
{
    if (allocate == NULL || release == NULL || load_acquire(&used))
        return false;
    allocator.allocate = allocate;
    allocator.release = release;
    allocator.env = env;
    return true;
}

void *coir__allocate(size_t size)
{
    if (unlikely(!load_relaxed(&used)))
        store_release(&used, true);
    return allocator.allocate(allocator.env, size);
}

void coir__release(void *memory, size_t size) { allocator.release(allocator.env, memory, size); }

void *coir__grow(void *items, size_t *room, size_t needed, size_t size)
{
    enum { ROOM_MIN = 64 };
    size_t larger = *room == 0 ? ROOM_MIN : *room;
    if (needed <= *room)
        return items;
    while (larger < needed)
        larger *= 2;
    char *grown = coir__alloc(larger * size);
    if (grown == NULL)
        return NULL;
    if (*room > 0) {
        memcpy(grown, items, *room * size);
        coir__free(items, *room * size);
    }
    memset(grown + *room * size, 0, (larger - *room) * size);
    *room = larger;
    return grown;
}

/* An aligned chunk keeps the address that it was cut from just before itself, unless it is huge and the system's. */
struct cut { void *whole; size_t size; };

void *coir__chunk(size_t size, size_t alignment)
{
    size_t whole_size = size + alignment + sizeof(struct cut);
    char *whole = coir__allocate(whole_size);
    if (whole == NULL)
        return NULL;
    uintptr_t start = ((uintptr_t)whole + sizeof(struct cut) + alignment - 1) & ~(uintptr_t)(alignment - 1);
    struct cut *cut = (struct cut *)start - 1;
    cut->whole = whole;
    cut->size = whole_size;
    return (void *)start;
}

void coir__chunk_free(void *chunk, size_t size, size_t alignment)
{
    struct cut cut = ((struct cut *)chunk)[-1];
    (void)size;
    (void)alignment;
    coir__release(cut.whole, cut.size);
}

/* -------------------------------------------------------------------------------------------------------- unloading */

static struct unload *_Atomic unloads;

void coir__at_unload(struct unload *unload)
{
    unload->next = load_relaxed(&unloads);
    while (!cas_acq_rel(&unloads, &unload->next, unload))
        ;
}

void coir__unload(void)
{
    for (struct unload *unload = exchange_acq_rel(&unloads, NULL); unload != NULL; unload = unload->next)
        unload->give_back();
}

/* ---------------------------------------------------------------------------------------------------------- burials */

/* How the thread's list of ios is emptied: the same function always, but known here only once an io has died. */
static void (*_Atomic drain_ios)(void);

static void bury_all(void)
{
    while (coir__me.buried != NULL || coir__me.dead_ios != NULL) {
        if (coir__me.dead_ios != NULL) {
            load_relaxed(&drain_ios)();                 /* relaxed: this thread has set it, if it has a list */
            continue;
        }
        struct buried *dead = coir__me.buried;
        coir__me.buried = dead->next;
        dead->empty(dead);
    }
}

static void bury_unless_burying(void)
{
    if (coir__me.burying)
        return;
    coir__me.burying = true;
    bury_all();
    coir__me.burying = false;
}

void coir__bury(struct buried *dead, void (*empty)(struct buried *))
{
    dead->empty = empty;
    dead->next = coir__me.buried;
    coir__me.buried = dead;
    bury_unless_burying();
}

void coir__bury_ios(void (*drain)(void))
{
    if (unlikely(load_relaxed(&drain_ios) != drain))
        store_relaxed(&drain_ios, drain);
    bury_unless_burying();
}
