/*
 * random/building.h - what the parts of the builder share: where a term stands, and what its callbacks are given
 *
 * build.c has an instruction after the other, build_cancel.c what calls off and what keeps it away, build_resource.c brackets and resources,
 * build_fibers.c what forks and waits, build_beside.c what stands side by side and in scopes.
 */
#ifndef RANDOM_BUILDING_H
#define RANDOM_BUILDING_H

#include "random/build.h"

/* What a term may refer to where it stands. Values and ios are lent by callbacks further out. */
struct scope {
    coir_value bound[SLOTS];
    bool       is_bound[SLOTS];
    coir_io   *variables[SLOTS];
    int64_t    again;                                   /* the rounds that the iterate outside has left; -1: none */
    unsigned   soon;                                    /* how many time-outs around it, in its fiber, will fire */
    bool       is_open;                                 /* no mask stands for certain inside of the innermost of them */
    bool       is_hunted;                               /* somebody will call the fiber off, if it waits for that */
    struct guest *guest;                                /* who it is for those who want to know that it does; or NULL */
};

struct env {
    const struct term *term;
    coir_io     *ready;                                 /* a body that was built beforehand, else NULL */
    struct book *book;                                  /* of a fiber that is to begin */
    struct scope scope;
};

extern const struct scope build_nothing_in_scope;

/* build_kid: of a term that stands in that scope. build_scope: where that kid stands. build_env: with the body that is ready, if there is one, which
 * build_keeping() gives to the io whose callback has the env. build_binding: the scope, with what that callback was lent. */
coir_io     *build_term(const struct term *term, const struct scope *scope);
coir_io     *build_kid(const struct term *term, size_t i, const struct scope *scope);
struct scope build_scope(const struct term *term, size_t i, const struct scope *scope);
struct env   build_env(const struct term *term, const struct scope *scope);
coir_io     *build_keeping(const struct env *env, coir_io *io);
struct scope build_binding(const struct env *env, const coir_value *lent);
coir_value   build_mapped(void *env, coir_value *lent);
coir_resource *build_object(const struct term *term);   /* a lock or permits, and whoever enters leaves */

/* What an io owns by coir_owns(): the value, and whatever else its size has room for. */
struct owned { coir_value value; struct env env; int left; };
struct owned *build_owned(coir_value value, const struct env *env, int left);
void          build_owned_drop(void *owned);

/* build_cancel.c */
coir_io *build_around(const struct term *term, const struct scope *scope);              /* masks and time-outs */
coir_io *build_stall(void *env);
coir_result build_mask_seen(void *env);
coir_io *build_cancel_self(const struct term *term);            /* which it notes */

/* build_resource.c */
coir_resource *build_resource(const struct term *term, const struct scope *scope);
coir_io       *build_use(const struct term *term, const struct scope *scope);
coir_io       *build_bracket(const struct term *term, const struct scope *scope);

/* build_beside.c: callbacks whose env is a struct env. */
coir_io *build_group(void *env);
coir_io *build_items(void *env);
coir_io *build_nursery(void *env);

/* build_fibers.c: the same. build_shielded: the i-th kid of a group, if that is one behind a mask. build_ending: of what a child runs: it notes how that ended, in the env's book. build_child: the i-th kid of a term, as what a
 * new fiber of the caller's runs. */
coir_io *build_shielded(const struct term *term, size_t i, coir_io *io);
coir_io *build_ending(const struct env *env, coir_io *io);
coir_io *build_child(const struct term *term, size_t i, struct book *parent, struct gate *gate);
coir_io *build_fork(void *env);
coir_io *build_hunt(void *env);
coir_io *build_parallel(void *env);
coir_io *build_alike(void *env);
coir_io *build_waiting(void *env, coir_value *fibers);

#endif
