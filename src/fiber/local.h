/*
 * local.h - what travels with a fiber: the context and the values of keys, as one immutable counted snapshot
 *
 * A fork takes one reference, and none when the snapshot is empty (NULL): then the context is the run's own, which is lent by the
 * caller of coir_run() and not counted.
 */
#ifndef FIBER_LOCAL_H
#define FIBER_LOCAL_H

#include "fiber/fiber.h"

struct coir__context;

struct coir__context *coir__context_ref(struct coir__context *context);         /* NULL is harmless, here and below */
void coir__context_drop(struct coir__context *context);

/* coir__context_with: a snapshot like `outer` with another context value, or another value of `key`. Takes value; borrows the others.
 * A NULL outer is the run's. NULL without memory: value is dropped. */
struct coir__context *coir__context_with_value(struct coir__context *outer, coir_value value);
struct coir__context *coir__context_with_key(struct coir__context *outer, coir_key *key, coir_value value);

/* coir__scope_key: the key whose value is the scope that children belong to, see scope.c. coir__context_next: the values of a key, from the innermost
 * outwards: moves *context behind the one that it gives; NULL: there is no more. */
extern coir_key coir__scope_key;
const coir_value *coir__context_next(const struct coir__context **context, const coir_key *key);

/* The values, lent. */
const coir_value *coir__context_value(const coir_fiber *fiber);
const coir_value *coir__context_key(const coir_fiber *fiber, const coir_key *key);

#endif
