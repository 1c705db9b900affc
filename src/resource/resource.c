/*
 * resource.c - building resources and taking them apart; use.c acquires and releases them
 */
#include "resource/resource.h"

#include <string.h>

/* -------------------------------------------------------------------------------------------------------------- life */

static void resource_empty(struct buried *buried)
{
    coir_resource *resource = (coir_resource *)buried;
    coir_io_drop(resource->io);
    coir_io_drop(resource->undo);
    coir_resource_drop(resource->outer);
    coir_resource_drop(resource->inner);
    if (!load_relaxed(&resource->is_taken))             /* relaxed: whoever took it has given up his reference since */
        coir_drop(resource->value);
    for (size_t i = 0; resource->items != NULL && i < resource->count; i++)
        coir_resource_drop(resource->items[i]);
    coir__free(resource, resource->size);
}

void coir_resource_drop(coir_resource *resource)
{
    if (resource != NULL && (coir__resource_sole(resource) || fetch_sub_acq_rel(&resource->refs, 1u) == 1))
        coir__bury(&resource->buried, resource_empty);
}

coir_resource *coir_resource_ref(coir_resource *resource)
{
    if (resource != NULL)
        fetch_add_relaxed(&resource->refs, 1u);         /* relaxed: who makes a reference has one already */
    return resource;
}

/* Room for `behind` bytes behind it. NULL without memory. */
static coir_resource *make(enum resource_kind kind, size_t behind)
{
    size_t size = sizeof(coir_resource) + behind;
    coir_resource *resource = coir__alloc(size);
    if (resource == NULL)
        return NULL;
    memset(resource, 0, sizeof *resource);
    atomic_init(&resource->refs, 1);
    atomic_init(&resource->is_taken, false);
    resource->kind = kind;
    resource->size = size;
    resource->value = coir_none();
    return resource;
}

static coir_resource *failing(coir_io *failure) { return coir_resource_lift(failure); }

/* One with a callback, around `outer` unless the kind has none. */
static coir_resource *with_callback(const char *function, enum resource_kind kind, bool around, coir_resource *outer, any_fn *fn,
                                    struct env_given given)
{
    if (around && outer == NULL)
        return NULL;
    const char *bad = coir__callback_bad(fn, given);
    if (bad != NULL) {
        coir_resource_drop(outer);
        return failing(coir__bad_argument(function, bad));
    }
    coir_resource *resource = make(kind, given.bytes == LENT ? 0 : given.bytes);
    if (resource == NULL) {
        coir_resource_drop(outer);
        return NULL;
    }
    resource->outer = outer;
    resource->any_fn = fn;
    resource->env = (void *)(uintptr_t)given.env;
    if (given.bytes != LENT) {
        resource->env = resource + 1;
        capture(resource->env, given.env, given.bytes);
    }
    return resource;
}

/* -------------------------------------------------------------------------------------------------------------- make */

static coir_resource *acquiring(coir_io *acquire)
{
    coir_resource *resource = acquire == NULL ? NULL : make(RESOURCE_NEW, 0);
    if (resource == NULL)
        coir_io_drop(acquire);
    else
        resource->io = acquire;
    return resource;
}

coir_resource *coir__resource_pair(coir_io *acquire, coir_io *undo)
{
    if (undo == NULL) {
        coir_io_drop(acquire);
        return NULL;
    }
    coir_resource *resource = acquiring(acquire);
    if (resource == NULL)
        coir_io_drop(undo);
    else
        resource->undo = undo;
    return resource;
}

static coir_resource *resource_new(const char *function, coir_io *acquire, coir_release_fn *release, struct env_given given)
{
    coir_resource *resource = acquire == NULL ? NULL : with_callback(function, RESOURCE_NEW, false, NULL, (any_fn *)release, given);
    if (resource == NULL || resource->io != NULL)       /* refused: it has an io of its own */
        coir_io_drop(acquire);
    else
        resource->io = acquire;
    return resource;
}

coir_resource *coir_resource_new(coir_io *acquire, coir_release_fn *release, void *env)
{
    return resource_new("coir_resource_new", acquire, release, lent(env));
}
coir_resource *coir_resource_new_copy(coir_io *acquire, coir_release_fn *release, const void *bytes, size_t size)
{
    return resource_new("coir_resource_new_copy", acquire, release, captured(bytes, size));
}

coir_resource *coir_resource_drops(coir_io *acquire) { return acquiring(acquire); }
coir_resource *coir_resource_lift(coir_io *io)       { return acquiring(io); }

/* ------------------------------------------------------------------------------------------------------ put together */

/* Both forms of one that takes a resource and a callback. */
#define WITH_CALLBACK(name, kind, fn_type)                                                                              \
    coir_resource *name(coir_resource *resource, fn_type *fn, void *env)                                                \
    {                                                                                                                   \
        return with_callback(#name, kind, true, resource, (any_fn *)fn, lent(env));                                     \
    }                                                                                                                   \
    coir_resource *name##_copy(coir_resource *resource, fn_type *fn, const void *bytes, size_t size)                    \
    {                                                                                                                   \
        return with_callback(#name "_copy", kind, true, resource, (any_fn *)fn, captured(bytes, size));                 \
    }

WITH_CALLBACK(coir_resource_map, RESOURCE_MAP, coir_resource_map_fn)
WITH_CALLBACK(coir_resource_flat_map, RESOURCE_FLAT_MAP, coir_resource_fn)
WITH_CALLBACK(coir_resource_catch, RESOURCE_CATCH, coir_resource_catch_fn)
WITH_CALLBACK(coir_resource_recover, RESOURCE_RECOVER, coir_resource_catch_fn)
WITH_CALLBACK(coir_resource_map_error, RESOURCE_MAP_ERROR, coir_map_fn)

coir_resource *coir_resource_suspend(coir_resource_make_fn *fn, void *env)
{
    return with_callback("coir_resource_suspend", RESOURCE_SUSPEND, false, NULL, (any_fn *)fn, lent(env));
}
coir_resource *coir_resource_suspend_copy(coir_resource_make_fn *fn, const void *bytes, size_t size)
{
    return with_callback("coir_resource_suspend_copy", RESOURCE_SUSPEND, false, NULL, (any_fn *)fn, captured(bytes, size));
}

static coir_resource *traverse(const char *function, size_t count, coir_resource_index_fn *fn, struct env_given given)
{
    coir_resource *resource = with_callback(function, RESOURCE_TRAVERSE, false, NULL, (any_fn *)fn, given);
    if (resource != NULL && resource->kind == RESOURCE_TRAVERSE)
        resource->count = count;
    return resource;
}

coir_resource *coir_resource_traverse(size_t count, coir_resource_index_fn *fn, void *env)
{
    return traverse("coir_resource_traverse", count, fn, lent(env));
}
coir_resource *coir_resource_traverse_copy(size_t count, coir_resource_index_fn *fn, const void *bytes, size_t size)
{
    return traverse("coir_resource_traverse_copy", count, fn, captured(bytes, size));
}

static coir_resource *around(enum resource_kind kind, coir_resource *outer)
{
    coir_resource *resource = outer == NULL ? NULL : make(kind, 0);
    if (resource == NULL)
        coir_resource_drop(outer);
    else
        resource->outer = outer;
    return resource;
}

coir_resource *coir_resource_attempt(coir_resource *resource) { return around(RESOURCE_ATTEMPT, resource); }

coir_resource *coir_resource_then(coir_resource *outer, coir_resource *inner)
{
    if (outer == NULL || inner == NULL) {
        coir_resource_drop(outer);
        coir_resource_drop(inner);
        return NULL;
    }
    coir_resource *resource = around(RESOURCE_THEN, outer);
    if (resource == NULL)
        coir_resource_drop(inner);
    else
        resource->inner = inner;
    return resource;
}

coir_resource *coir_resource_local(coir_resource *outer, coir_value context)
{
    if (outer != NULL && coir__is_panic_value(&context)) {
        coir_resource_drop(outer);
        return failing(coir_from_result(coir__panic_of(context)));
    }
    coir_resource *resource = around(RESOURCE_LOCAL, outer);
    if (resource == NULL) {
        coir_drop(context);
        return NULL;
    }
    resource->value = context;
    resource->is_unsharable = !coir_can_share(&context);
    return resource;
}

coir_resource *coir_resource_finally(coir_resource *outer, coir_io *io)
{
    if (outer == NULL || io == NULL) {
        coir_resource_drop(outer);
        coir_io_drop(io);
        return NULL;
    }
    coir_resource *resource = around(RESOURCE_FINALLY, outer);
    if (resource == NULL)
        coir_io_drop(io);
    else
        resource->undo = io;
    return resource;
}

static coir_resource *several(const char *function, enum resource_kind kind, size_t count, coir_resource *const *resources)
{
    if (count > 0 && resources == NULL)
        return failing(coir__bad_argument(function, "resources is NULL"));
    if (count > (SIZE_MAX - sizeof(coir_resource)) / sizeof *resources)
        return failing(coir__bad_argument(function, "count is more than there can be"));
    bool complete = true;
    for (size_t i = 0; complete && i < count; i++)
        complete = resources[i] != NULL;
    coir_resource *resource = complete ? make(kind, count * sizeof *resources) : NULL;
    if (resource == NULL) {
        for (size_t i = 0; i < count; i++)
            coir_resource_drop(resources[i]);
        return NULL;
    }
    resource->count = count;
    resource->items = (coir_resource **)(void *)(resource + 1);
    for (size_t i = 0; i < count; i++)
        resource->items[i] = resources[i];
    return resource;
}

coir_resource *coir_resource_zip(size_t count, coir_resource *const *resources)
{
    return several("coir_resource_zip", RESOURCE_ZIP, count, resources);
}

coir_resource *coir_resource_par_zip(size_t count, coir_resource *const *resources)
{
    return several("coir_resource_par_zip", RESOURCE_PAR_ZIP, count, resources);
}
