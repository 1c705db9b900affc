/*
 * cells.c - free cells for each thread, batches of them in a depot, chunks from the allocator
 *
 * Invariants
 *   1. A cell is in exactly one place: in use, in one thread's magazine, or in one batch of the depot.
 *   2. A magazine, and a batch, is a chain of cells down to coir__bottom, and each cell's room is MAGAZINE_ROOM less how many there are from it
 *      downwards. (The first of a batch in the depot has its link there instead: it is the one that leaves a magazine first.)
 *   3. A thread's magazine has room for 4 batches of a class; when it overflows two of them go to the depot.
 *   4. When a thread ends all its cells and the rest of its chunk go to the depot.
 *   5. Chunks are on one list and go back only when the library is unloaded (or, where no other thread is left, at the end of the process).
 *
 * The depot of each class is a list of batches under a spinlock held for a few instructions. A batch is a chain through
 * cell.next; batches are chained through next_batch of their first cells.
 */
#include "base/memory.h"

enum { MAGAZINE_ROOM = 4 * MEMORY_BATCH };              /* cells of a class that a thread keeps */

struct cell coir__bottom = { NULL, { MAGAZINE_ROOM } }, coir__no_room = { NULL, { 0 } };

#ifdef COIR_PLAIN_MEMORY

void *coir__alloc_slow(size_t size)             { return coir__allocate(size); }
void  coir__free_slow(void *memory, size_t size) { coir__release(memory, size); }

__attribute__((destructor)) static void plain_unload(void) { coir__unload(); }

#else

#include "base/spin.h"

#include <pthread.h>
#include <sys/mman.h>

/* -------------------------------------------------------------------------------------------------- chunks and the depot */

enum { CHUNK_MIN = 64 << 10, CHUNK_MAX = 2 << 20, HUGE_PAGE = 2 << 20 };

struct chunk { struct chunk *next; size_t alignment; };         /* at the start of each chunk; 16 bytes, so cells stay aligned */

static struct {
    ck_spinlock_fas_t lock;
    struct cell      *batches;
} depots[MEMORY_CLASSES];

/* What an ended thread left of its chunk; it stands at its own start. All are kept: a program of many runs ends thousands of threads. */
struct rest { struct rest *next; char *end; };
_Static_assert(sizeof(struct rest) <= MEMORY_STEP, "the smallest rest has room for it");

static struct {
    pthread_mutex_t lock;
    struct chunk   *chunks;
    size_t          next_size;                          /* doubles from CHUNK_MIN to CHUNK_MAX */
    struct rest    *rests;
} system_memory = { PTHREAD_MUTEX_INITIALIZER, NULL, CHUNK_MIN, NULL };

/* What an ended thread left, if anything. */
static bool rest_take(void)
{
    pthread_mutex_lock(&system_memory.lock);
    struct rest *rest = system_memory.rests;
    if (rest != NULL) {
        system_memory.rests = rest->next;
        coir__me.fresh = (char *)rest;
        coir__me.fresh_end = rest->end;
    }
    pthread_mutex_unlock(&system_memory.lock);
    return rest != NULL;
}

/* The size of the next chunk: each is twice the one before. */
static size_t chunk_size_next(void)
{
    pthread_mutex_lock(&system_memory.lock);
    size_t size = system_memory.next_size;
    if (size < CHUNK_MAX)
        system_memory.next_size *= 2;
    pthread_mutex_unlock(&system_memory.lock);
    return size;
}

/* The allocator is the program's: it is called with the lock open. */
static bool chunk_next(void)
{
    if (rest_take())
        return true;
    size_t size = chunk_size_next(), alignment = size == CHUNK_MAX ? HUGE_PAGE : MEMORY_STEP;
    struct chunk *chunk = coir__chunk(size, alignment);
    if (chunk == NULL)
        return false;
    if (size == CHUNK_MAX)
        (void)madvise(chunk, size, MADV_HUGEPAGE);      /* a fifth of the cost of first touches, where it is granted */
    chunk->alignment = alignment;
    coir__me.fresh = (char *)(chunk + 1);
    coir__me.fresh_end = (char *)chunk + size;
    pthread_mutex_lock(&system_memory.lock);
    chunk->next = system_memory.chunks;
    system_memory.chunks = chunk;
    pthread_mutex_unlock(&system_memory.lock);
    return true;
}

static void depot_put(size_t class, struct cell *batch)
{
    spin_lock(&depots[class].lock);
    batch->next_batch = depots[class].batches;
    depots[class].batches = batch;
    spin_unlock(&depots[class].lock);
}

static struct cell *depot_take(size_t class)
{
    spin_lock(&depots[class].lock);
    struct cell *batch = depots[class].batches;
    if (batch != NULL)
        depots[class].batches = batch->next_batch;
    spin_unlock(&depots[class].lock);
    return batch;
}

/* ------------------------------------------------------------------------------------------- threads that come and go */

static pthread_key_t thread_key;
static pthread_once_t thread_key_once = PTHREAD_ONCE_INIT;
static bool thread_key_made;
static _Atomic int threads_registered;

static void thread_gone(void *me)
{
    struct coir__thread *thread = me;
    for (size_t class = 1; class < MEMORY_CLASSES; class++) {
        if (thread->magazines[class]->next != NULL)
            depot_put(class, thread->magazines[class]);
        thread->magazines[class] = &coir__no_room;
    }
    if (thread->fresh < thread->fresh_end) {
        struct rest *rest = (struct rest *)(void *)thread->fresh;
        pthread_mutex_lock(&system_memory.lock);
        *rest = (struct rest){ system_memory.rests, thread->fresh_end };
        system_memory.rests = rest;
        pthread_mutex_unlock(&system_memory.lock);
    }
    thread->fresh = thread->fresh_end = NULL;
    thread->registered = false;                         /* another key's destructor may come here once more */
    fetch_sub_acq_rel(&threads_registered, 1);
}

static void thread_key_make(void) { thread_key_made = pthread_key_create(&thread_key, thread_gone) == 0; }

void coir__thread_register(void)
{
    pthread_once(&thread_key_once, thread_key_make);
    for (size_t class = 1; class < MEMORY_CLASSES; class++)
        if (coir__me.magazines[class] == &coir__no_room)
            coir__me.magazines[class] = &coir__bottom;
    if (thread_key_made && pthread_setspecific(thread_key, &coir__me) == 0) {
        coir__me.registered = true;
        fetch_add_acq_rel(&threads_registered, 1);
    }
}

/* Unloading, and the end of the process, which looks the same from here: there another thread may still be at work, so then the
 * chunks stay. */
__attribute__((destructor)) static void memory_unload(void)
{
    if (thread_key_made)
        pthread_key_delete(thread_key);
    if (load_acquire(&threads_registered) > (coir__me.registered ? 1 : 0))
        return;
    coir__unload();
    while (system_memory.chunks != NULL) {
        struct chunk *chunk = system_memory.chunks;
        system_memory.chunks = chunk->next;
        coir__chunk_free(chunk, 0, chunk->alignment);
    }
    for (size_t class = 0; class < MEMORY_CLASSES; class++)
        coir__me.magazines[class] = &coir__no_room;
    coir__me.fresh = coir__me.fresh_end = NULL;
    coir__me.registered = false;
    for (size_t class = 0; class < MEMORY_CLASSES; class++)
        depots[class].batches = NULL;
    system_memory.rests = NULL;
}

/* --------------------------------------------------------------------------------------------------------- slow ways */

enum { CARVE = 16 };                                    /* cells made at once, so that the way here is seldom gone */

/* Makes sure of a chunk with room for one cell at least. */
static bool chunk_has(size_t size)
{
    while ((size_t)(coir__me.fresh_end - coir__me.fresh) < size)
        if (!chunk_next())                              /* an ended thread's rest may be too small: then a whole one follows */
            return false;
    return true;
}

/* Puts a cell on top of those below it. */
static struct cell *cell_on(struct cell *below, void *memory)
{
    struct cell *cell = memory;
    cell->next = below;
    cell->room = below->room - 1;
    return cell;
}

static struct cell *carve(size_t class)
{
    size_t size = class * MEMORY_STEP;
    if (!chunk_has(size))
        return NULL;
    size_t room = (size_t)(coir__me.fresh_end - coir__me.fresh) / size, count = room < CARVE ? room : CARVE;
    struct cell *first = &coir__bottom;
    for (size_t i = count; i-- > 0; )
        first = cell_on(first, coir__me.fresh + i * size);
    coir__me.fresh += count * size;
    return first;
}

static NOINLINE void *cell_slow(size_t class)
{
    coir__thread_used();
    struct cell *batch = depot_take(class);
    if (batch == NULL)
        batch = carve(class);
    if (batch != NULL)
        coir__me.magazines[class] = batch->next;
    return batch;
}

void *coir__alloc_slow(size_t size)
{
    if (size > MEMORY_CELL_MAX)
        return coir__allocate(size);
    return cell_slow((size + MEMORY_STEP - 1) / MEMORY_STEP);
}

void coir__free_slow(void *memory, size_t size) { coir__release(memory, size); }

/* Takes the batch that was freed last, standing on a bottom of its own. */
static struct cell *spill_batch(struct cell **magazine)
{
    struct cell *batch = *magazine, *last = batch;
    for (int64_t room = MAGAZINE_ROOM - MEMORY_BATCH; ; last = last->next) {
        last->room = room++;
        if (room == MAGAZINE_ROOM)
            break;
    }
    *magazine = last->next;
    last->next = &coir__bottom;
    return batch;
}

/* Hands the two batches freed last to the depot: the older cells stay, they are the likelier to be in the cache of nobody else. */
void coir__magazine_spill(size_t class)
{
    struct cell **magazine = &coir__me.magazines[class], *given = *magazine;
    if (given->next == &coir__no_room) {                /* the thread's first */
        coir__thread_register();
        *magazine = cell_on(&coir__bottom, given);
        return;
    }
    depot_put(class, spill_batch(magazine));
    depot_put(class, spill_batch(magazine));
}

#endif
