/*
 * coir/resource.h - acquire and release as one value
 *
 *     static coir_io *open_log(void *path) { ... coir_pure(coir_own(file, &file_type)) ... }
 *     static coir_io *close_log(void *env, coir_value *file, const coir_result *outcome) { ... }
 *     static coir_io *write_to(void *env, const coir_value *file) { ... }
 *
 *     coir_resource *log = coir_resource_new(coir_suspend(open_log, path), close_log, NULL);
 *     coir_io *io = coir_use(log, write_to, NULL);                 opened, used, closed, whatever happens between
 *
 * A coir_resource says how to acquire something and how to give it back. Like an io it does nothing until it is used, and it may be used any number of
 * times, also at once. Resources are put together as ios are; what was acquired first is released last.
 *
 * Acquiring and releasing are masked: a cancellation comes before, between two acquisitions, or after. (coir_cancelable() inside an
 * acquisition opens it; a cancellation there means that it failed, and nothing is released.) After an acquisition that succeeded its release runs
 * once: on success, error, panic and cancellation of the use, and is told which. A release that fails after a failure is appended to it; after a
 * success it is the failure; the others run all the same. A release that never ends is never ended by anybody.
 *
 * Unless a function says otherwise: ios, resources and values are taken; coir_resource_ref() makes one more reference; env is borrowed,
 * x_copy(..., bytes, size) copies; a NULL io or resource gives NULL and drops what came with it, no memory likewise; a NULL callback gives a
 * resource whose acquisition is a panic, code EINVAL. What was acquired is the resource's: use is lent it to look at, as long as it runs.
 * Thread   building, ref and drop: any.
 * From     cats-effect's Resource, Raffiot's Resource.
 */
#ifndef COIR_RESOURCE_H
#define COIR_RESOURCE_H

#include <coir/do.h>
#include <coir/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coir_resource coir_resource;
COIR_API coir_resource *coir_resource_ref(coir_resource *resource);
COIR_API void           coir_resource_drop(coir_resource *resource);            /* NULL is harmless */

typedef coir_io       *coir_use_fn(void *env, const coir_value *held);
/* What is released may be taken; what is not is dropped when the io that release gives has ended. */
typedef coir_io       *coir_release_fn(void *env, coir_value *held, const coir_result *outcome);
typedef coir_resource *coir_resource_fn(void *env, const coir_value *held);
typedef coir_value     coir_resource_map_fn(void *env, const coir_value *held);
typedef coir_resource *coir_resource_make_fn(void *env);
typedef coir_resource *coir_resource_index_fn(void *env, size_t index);
typedef coir_resource *coir_resource_catch_fn(void *env, coir_value *failure);

/* --------------------------------------------------------------------------------------------------------------- use */

/* coir_use: acquires, runs what fn makes of it, releases. Its result is that of fn's io. coir_with: runs io meanwhile. */
COIR_API COIR_MUST_USE coir_io *coir_use(coir_resource *resource, coir_use_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_use_copy(coir_resource *resource, coir_use_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_with(coir_resource *resource, coir_io *io);
/* coir_bracket: coir_use() of coir_resource_new(), with one env for both. */
COIR_API COIR_MUST_USE coir_io *coir_bracket(coir_io *acquire, coir_use_fn *use, coir_release_fn *release, void *env);

/* ------------------------------------------------------------------------------------------------------------- make */

COIR_API COIR_MUST_USE coir_resource *coir_resource_new(coir_io *acquire, coir_release_fn *release, void *env);
COIR_API COIR_MUST_USE coir_resource *coir_resource_new_copy(coir_io *acquire, coir_release_fn *release, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_resource *coir_resource_drops(coir_io *acquire);    /* released by dropping the value */
COIR_API COIR_MUST_USE coir_resource *coir_resource_lift(coir_io *io);          /* nothing to release: its value, lent */
/* coir_resource_suspend: what fn gives, made anew for each use. */
COIR_API COIR_MUST_USE coir_resource *coir_resource_suspend(coir_resource_make_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_resource *coir_resource_suspend_copy(coir_resource_make_fn *fn, const void *bytes, size_t size);

/* ---------------------------------------------------------------------------------------------------------- put together */

/* coir_resource_map: use sees what fn gives; release is still given what was acquired. coir_resource_flat_map: then what fn makes of it, and holds
 * that one's value. coir_resource_then: both, and holds inner's value. */
COIR_API COIR_MUST_USE coir_resource *coir_resource_map(coir_resource *resource, coir_resource_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_resource *coir_resource_map_copy(coir_resource *resource, coir_resource_map_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_resource *coir_resource_flat_map(coir_resource *outer, coir_resource_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_resource *coir_resource_flat_map_copy(coir_resource *outer, coir_resource_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_resource *coir_resource_then(coir_resource *outer, coir_resource *inner);
/* Several, one after the other; holds the list of their values: each shared, or, where it cannot be, a pointer that is lent.
 * coir_resource_par_zip: acquired side by side, each in a fiber of its own, released one after the other; a failure keeps those out that have not
 * begun. (So nothing that belongs to the fiber that acquired it, as a lock does.) */
COIR_API COIR_MUST_USE coir_resource *coir_resource_zip(size_t count, coir_resource *const *resources);
COIR_API COIR_MUST_USE coir_resource *coir_resource_par_zip(size_t count, coir_resource *const *resources);
COIR_API COIR_MUST_USE coir_resource *coir_resource_traverse(size_t count, coir_resource_index_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_resource *coir_resource_traverse_copy(size_t count, coir_resource_index_fn *fn, const void *bytes, size_t size);
/* coir_resource_local: acquired and released in that context; the use is not in it. */
COIR_API COIR_MUST_USE coir_resource *coir_resource_local(coir_resource *resource, coir_value context);
/* coir_resource_finally: io runs when the resource was released, or could not be acquired. */
COIR_API COIR_MUST_USE coir_resource *coir_resource_finally(coir_resource *resource, coir_io *io);

/* Failures of the acquisition, never of the use. What had been acquired of it is released before.
 * catch: errors; recover: panics; fn's resource in its place. map_error: another payload. attempt: holds the result in a box. */
COIR_API COIR_MUST_USE coir_resource *coir_resource_catch(coir_resource *resource, coir_resource_catch_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_resource *coir_resource_catch_copy(coir_resource *resource, coir_resource_catch_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_resource *coir_resource_recover(coir_resource *resource, coir_resource_catch_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_resource *coir_resource_recover_copy(coir_resource *resource, coir_resource_catch_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_resource *coir_resource_map_error(coir_resource *resource, coir_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_resource *coir_resource_map_error_copy(coir_resource *resource, coir_map_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_resource *coir_resource_attempt(coir_resource *resource);

/* --------------------------------------------------------------------------------------- acquired here, released elsewhere */

/*
 * coir_resource_open: acquires, and gives an opened one, of type coir_opened_type: coir_opened_value() is what it holds, lent with it, and
 * coir_opened_close() releases it, telling the releases that outcome (NULL: success); running that io twice does nothing. One that is dropped without
 * being closed drops what it holds and runs no release. It cannot be shared.
 * For code that acquires and releases in different places; otherwise coir_use() is the safe one.
 */
COIR_API const coir_type coir_opened_type;
COIR_API COIR_MUST_USE coir_io *coir_resource_open(coir_resource *resource);
COIR_API const coir_value *coir_opened_value(const coir_value *opened);         /* NULL for what is none, or closed */
COIR_API COIR_MUST_USE coir_io *coir_opened_close(coir_value opened, const coir_result *outcome);

/*
 * COIR_HOLD(place, resource): in a routine (coir/do.h): acquires, and puts what it holds into place, a coir_value, lent: not to be dropped. It is released
 * when the routine has ended, after COIR_FINALLY, the last one first, and told the routine's outcome.
 */
#define COIR_HOLD(place, resource)                                                                                      \
    do {                                                                                                                \
        return coir_routine_await_(coir_self_, __LINE__, COIR_AWAITS_, coir_resource_hold_(resource));                                \
        case __LINE__:                                                                                                  \
            (place) = coir_take(&coir_self_->result.value);                                                             \
    } while (0)
COIR_API coir_io *coir_resource_hold_(coir_resource *resource);

#ifdef __cplusplus
}
#endif
#endif
