/*
 * resource/resource.h - a resource as data: what to acquire, and what was put around it
 */
#ifndef RESOURCE_RESOURCE_H
#define RESOURCE_RESOURCE_H

#include "io/node.h"

#include <coir/resource.h>

enum resource_kind {
    RESOURCE_NEW,                                       /* run io; release, or drop, what it gave */
    RESOURCE_SUSPEND,
    RESOURCE_MAP, RESOURCE_FLAT_MAP, RESOURCE_THEN,
    RESOURCE_ZIP, RESOURCE_PAR_ZIP, RESOURCE_TRAVERSE,
    RESOURCE_LOCAL, RESOURCE_FINALLY,
    RESOURCE_CATCH, RESOURCE_RECOVER, RESOURCE_MAP_ERROR, RESOURCE_ATTEMPT
};

struct coir_resource {
    _Alignas(MEMORY_STEP) struct buried buried;         /* must be first; what stands behind the whole is aligned as by malloc() */
    _Atomic uint32_t refs;
    uint32_t         kind;
    size_t           size;                              /* of its memory, with what stands behind it: captured bytes, or items */
    coir_io         *io;                                /* NEW; NULL once the only use has taken it */
    coir_io         *undo;                              /* FINALLY; NEW: in place of `release`, made beforehand, so that it needs no memory; or NULL */
    union {
        coir_release_fn        *release;                /* NEW; NULL: dropping the value releases it */
        coir_resource_make_fn  *make;
        coir_resource_map_fn   *map;
        coir_resource_fn       *flat_map;
        coir_resource_index_fn *index;
        coir_resource_catch_fn *handle;
        coir_map_fn            *map_error;
        any_fn                 *any_fn;
    };
    void            *env;
    coir_resource   *outer, *inner;
    coir_value       value;                             /* LOCAL: the context */
    bool             is_unsharable;                     /* LOCAL: the context cannot be shared: whoever comes first has it */
    _Atomic bool     is_taken;                          /* LOCAL: and has come: it is not the resource's any more */
    size_t           count;                             /* ZIP, PAR_ZIP, TRAVERSE */
    coir_resource  **items;                             /* ZIP, PAR_ZIP: behind it */
};

/* coir__resource_pair: released by running an io. Takes both. */
coir_resource *coir__resource_pair(coir_io *acquire, coir_io *undo);
/* coir__resource_sole: whether the caller's reference is the only one. */
static inline bool coir__resource_sole(coir_resource *resource) { return load_acquire(&resource->refs) == 1; }

#endif
