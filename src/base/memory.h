/*
 * memory.h - memory of nodes, frames, strings, lists: free cells for each thread, by size
 *
 * Every object is a multiple of 16 bytes and is freed with the size that it was asked with. Up to MEMORY_CELL_MAX bytes it is a cell: taken
 * from and given to the calling thread's own free lists, without an atomic. A thread that frees more than it takes hands batches of
 * cells to a depot, where others find them. Cells are carved from chunks, which go back when the library is unloaded. What is
 * larger comes from the allocator directly.
 *
 * With COIR_PLAIN_MEMORY every object is one allocation, so that the sanitizers and fault injection see each life.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include "base/atomic.h"
#include "base/config.h"

enum {
    MEMORY_STEP     = 16,
    MEMORY_CELL_MAX = 256,
    MEMORY_CLASSES  = MEMORY_CELL_MAX / MEMORY_STEP + 1,
    MEMORY_BATCH    = 128                               /* cells that change hands at once */
};

/*
 * A free cell lies on those that were free before it. How many more there is room for stands in each, and is not counted in one place: cells are
 * taken and given in turn within nanoseconds, and each count would have to wait for the one before.
 */
struct cell {
    struct cell *next;                                  /* below it; NULL in what lies under all, and is no cell */
    union {
        int64_t      room;                              /* above it */
        struct cell *next_batch;                        /* of the first cell of a batch that is in a depot */
    };
};

/* What lies under all cells of a magazine, and of one whose thread is not registered: there is no room, so the first cell goes the slow way. */
extern struct cell coir__bottom, coir__no_room;

struct buried {                                         /* a dead object that waits to be emptied: see coir__bury() */
    struct buried *next;
    void (*empty)(struct buried *);
};

/* All that coir keeps for one thread. */
struct coir__thread {
    struct cell    *magazines[MEMORY_CLASSES];          /* of each class the cell that was given last */
    char           *fresh, *fresh_end;                  /* the chunk being carved */
    bool            registered;                         /* what it keeps will be given back when it ends */
    bool            burying;
    struct buried  *buried;
    void           *dead_ios;                           /* io/node.c's own list of the same kind */
    const struct coir__run *blocks_for;                 /* the run whose blocking calls this thread makes; NULL elsewhere (sched/blockers.h) */
    struct coir__seat *seat;                            /* where fibers run on this thread; NULL elsewhere (fiber/driver.h) */
    uint64_t       *serials;                            /* of the simulation that this thread is in the midst of; NULL elsewhere (base/serial.h) */
    unsigned        in_hook;                            /* depth of drop, share, print, hooks: no run may begin there */
};
extern _Thread_local struct coir__thread coir__me __attribute__((tls_model("initial-exec")));

/* coir__alloc: size > 0. NULL when there is no memory. Not zeroed. coir__cell_alloc: the same for `class` times MEMORY_STEP bytes. */
static inline void *coir__alloc(size_t size);
static inline void  coir__free(void *memory, size_t size);
static inline void *coir__cell_alloc(size_t class);
static inline void *coir__cell_at_hand(size_t class);      /* the same if it takes no more than a few instructions, otherwise NULL */
static inline void  coir__cell_free(void *memory, size_t class);

/* coir__grow: an array of *room items of `size` bytes each becomes one of at least `needed`; what is new is zeroed. Gives the array, which may have
 * moved. NULL: no memory, and all is as it was. */
void *coir__grow(void *items, size_t *room, size_t needed, size_t size);

/* coir__allocate, coir__release: straight from and to the user's allocator. */
void *coir__allocate(size_t size);
void  coir__release(void *memory, size_t size);

/* coir__chunk: page-sized and larger memory, aligned to `alignment` (a power of two). */
void *coir__chunk(size_t size, size_t alignment);
void  coir__chunk_free(void *chunk, size_t size, size_t alignment);

/*
 * coir__bury: empties a dead object with `empty`, which drops what it holds and frees it. Called from inside another burial it only puts the
 * object on the thread's list, which the outermost call works off: a drop never recurses, however deep objects hold each other.
 */
void coir__bury(struct buried *dead, void (*empty)(struct buried *));
/* coir__bury_ios: the same for the thread's list of dead ios, which `drain` empties. */
void coir__bury_ios(void (*drain)(void));

/*
 * coir__at_unload: give_back() is called when the library is unloaded, or the process ends, which looks the same from here; and only if no other
 * thread that has used coir's memory is left, who may be at work still. `unload` is static, and given once.
 * coir__thread_used: the calling thread is one that is known.
 */
struct unload { struct unload *next; void (*give_back)(void); };
void coir__at_unload(struct unload *unload);
static inline void coir__thread_used(void);

bool coir__memory_set(void *(*allocate)(void *, size_t), void (*release)(void *, void *, size_t), void *env);

/* The slow ways. */
void coir__thread_register(void);
void coir__unload(void);
void *coir__alloc_slow(size_t size);
void  coir__free_slow(void *memory, size_t size);
void  coir__magazine_spill(size_t class);

#ifdef COIR_PLAIN_MEMORY

static inline void  coir__thread_used(void)                     {}
static inline void *coir__cell_at_hand(size_t class)            { (void)class; return NULL; }
static inline void  coir__cell_free(void *memory, size_t class) { coir__free_slow(memory, class * MEMORY_STEP); }

#else

static inline void coir__thread_used(void)
{
    if (unlikely(!coir__me.registered))
        coir__thread_register();
}

static ALWAYS_INLINE void *coir__cell_at_hand(size_t class)
{
    if (unlikely(class >= MEMORY_CLASSES))
        return NULL;
    struct cell *cell = coir__me.magazines[class];
    if (unlikely(cell->next == NULL))
        return NULL;
    coir__me.magazines[class] = cell->next;
    return cell;
}

static ALWAYS_INLINE void coir__cell_free(void *memory, size_t class)
{
    if (unlikely(class >= MEMORY_CLASSES)) {
        coir__free_slow(memory, class * MEMORY_STEP);
        return;
    }
    struct cell *cell = memory, *below = coir__me.magazines[class];
    int64_t room = below->room - 1;
    cell->next = below;
    cell->room = room;
    coir__me.magazines[class] = cell;
    if (unlikely(room < 0))
        coir__magazine_spill(class);
}

#endif

static ALWAYS_INLINE void *coir__cell_alloc(size_t class)
{
    void *cell = coir__cell_at_hand(class);
    return likely(cell != NULL) ? cell : coir__alloc_slow(class * MEMORY_STEP);
}

static ALWAYS_INLINE size_t coir__class_of(size_t size) { return (size + MEMORY_STEP - 1) / MEMORY_STEP; }
static ALWAYS_INLINE void *coir__alloc(size_t size)     { return coir__cell_alloc(coir__class_of(size)); }
static ALWAYS_INLINE void  coir__free(void *memory, size_t size) { coir__cell_free(memory, coir__class_of(size)); }

#endif
