/*
 * outside/async.h - what waits for callbacks under another name
 */
#ifndef OUTSIDE_ASYNC_H
#define OUTSIDE_ASYNC_H

#include "io/prim.h"

#include <coir/async.h>

extern const struct coir__prim coir__async_prim, coir__blocking_prim;

/* coir__async_new: coir_async() with an env of so many bytes of the node's own, at *env, not set yet. NULL without memory. */
coir_io *coir__async_new(const struct coir__prim *prim, const coir_async_type *type, size_t env_size, void **env);

#endif
