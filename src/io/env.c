/*
 * env.c - copies of captured bytes, for the checking build alone
 */
#include "io/env.h"

#ifdef COIR_CHECK

#include <ck_spinlock.h>
#include <stdlib.h>

/* Behind it stand the bytes that are lent, and then the same as they were. Not from coir's allocator: the checking build is to ask for as much, and
 * keep as little, as the others. */
struct env_copy { _Alignas(max_align_t) unsigned char *original; size_t size; };

static unsigned char *lent_of(struct env_copy *copy)   { return (unsigned char *)(copy + 1); }
static unsigned char *before_of(struct env_copy *copy) { return lent_of(copy) + copy->size; }

void *coir__env_lend(const coir_io *node, void **lent)
{
    coir__env_back(lent);
    if (!(node->flags & NODE_CAPTURED))
        return node->env;
    bool borrowed = node->flags & NODE_BORROWED;
    size_t size = borrowed ? *coir__frame_captured((coir_io *)(uintptr_t)node) : coir__node_captured(node);
    struct env_copy *copy = malloc(sizeof *copy + 2 * size);
    if (copy == NULL)
        return node->env;
    *copy = (struct env_copy){ node->env, size };
    memcpy(before_of(copy), copy->original, size);
    memcpy(lent_of(copy), before_of(copy), size);
    return *lent = lent_of(copy);
}

/* What the callback changed goes where it was meant to go. */
static void write_back(struct env_copy *copy)
{
    for (size_t i = 0; i < copy->size; i++)
        if (lent_of(copy)[i] != before_of(copy)[i])
            copy->original[i] = lent_of(copy)[i];
}

/* Gives the one that is to go in its place. */
static struct env_copy *keep_for_a_while(struct env_copy *copy)
{
    enum { KEPT = NODE_WATCHED ? 256 : 1 };
    static ck_spinlock_fas_t lock = CK_SPINLOCK_FAS_INITIALIZER;
    static struct env_copy *kept[KEPT];
    static size_t turn;
    if (!NODE_WATCHED)
        return copy;
    ck_spinlock_fas_lock(&lock);
    struct env_copy *oldest = kept[turn % KEPT];
    kept[turn++ % KEPT] = copy;
    ck_spinlock_fas_unlock(&lock);
    return oldest;
}

void coir__env_back(void **lent)
{
    if (*lent == NULL)
        return;
    struct env_copy *copy = (struct env_copy *)*lent - 1;
    *lent = NULL;
    write_back(copy);
    memset(lent_of(copy), ENV_GARBAGE, copy->size);
    free(keep_for_a_while(copy));
}

#else

typedef int coir__env_is_lent_as_it_stands;             /* ISO C forbids an empty file */

#endif
