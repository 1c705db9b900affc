/*
 * resource/use.h - the frame of coir_use(), and what the files that work on it share
 *
 *   records.c   what was acquired, and releasing it
 *   open.c      acquiring: the walk over a resource, its failures
 *   use.c       what it is acquired for; the machine
 */
#ifndef RESOURCE_USE_H
#define RESOURCE_USE_H

#include "fiber/cancel.h"
#include "fiber/local.h"
#include "io/machine.h"
#include "resource/resource.h"

/* Something to be released, or only to be kept until then. */
struct record {
    struct record *below;                               /* acquired before it */
    coir_value     held;
    coir_resource *owner;                               /* a reference: its callback and env, or what must outlive the use; or NULL */
    bool           acquired;                            /* owner's release is to be run */
    coir_io       *run;                                 /* an io of owner's to be run in place of its release, or NULL */
    struct coir__context *context;                      /* what stood when it was acquired */
};

/* What is to be done when a part of the resource has been acquired. */
struct pending {
    struct pending *outer;
    coir_resource  *resource;                           /* lent: the frame, or a record, keeps it */
    struct record  *mark;                               /* the last record when it was begun */
    bool            sole;                               /* nobody else can reach the resource */
    size_t          index;                              /* ZIP, TRAVERSE, PAR_ZIP: items that are there */
    coir_value      list;                               /* likewise: of what they hold */
    struct coir__context *context;                      /* LOCAL: what stood before */
};

enum phase { ACQUIRING, USING, RELEASING };
enum purpose { FOR_USE, FOR_IO, FOR_ROUTINE, FOR_OPENING, FOR_CLOSING };

/* Behind the head of the node, whose object is the resource. */
struct use {
    enum purpose   purpose;
    coir_use_fn   *fn;                                  /* FOR_USE */
    void          *env;
    coir_io       *io;                                  /* FOR_IO */
    coir_value     closing;                             /* FOR_CLOSING: the opened one, and what its releases are told */
    coir_result    told;
    /* Of a frame. */
    enum phase     phase;
    uint32_t       floor;
    struct record *records, *fresh;                     /* fresh: of the acquisition that is running */
    struct pending *pending, *handler;                  /* handler: the cell that wants the failure, while is released what it had acquired */
    const coir_value *value;                            /* what the part that was acquired last holds: lent */
    struct coir__context *context;                      /* RELEASING: what stands without it */
    coir_result    outcome;                             /* what releases are told */
    coir_value     opening;                             /* FOR_OPENING: what will be given */
    coir_result    failed;                              /* FOR_CLOSING: of the releases */
};

static inline struct use *use_of(coir_io *node) { return (struct use *)(void *)((char *)node + NODE_SMALL); }
enum { USE_SIZE = (NODE_SMALL + sizeof(struct use) + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP };

/* What is to be done next. The first three leave the machine; the others go round in proceed(), so that no depth of a resource needs C stack. */
enum next { RUN = MACHINE_RUNS, OVER = MACHINE_IS_OVER, STAY = MACHINE_STAYS, OPEN, GO_ON, FAIL, RELEASE, HANDLE };

/* What the functions below work on. */
struct work {
    coir_fiber *fiber;
    coir_io    *frame;
    struct use *use;
    struct machine_turn *turn;
    coir_resource *resource;                            /* OPEN: this one */
    bool           sole;                                /* OPEN: nobody else can reach it */
    coir_result    failure;                             /* FAIL: with this */
    struct record *mark;                                /* RELEASE: down to there */
};

static inline enum next open_next(struct work *work, coir_resource *resource, bool sole)
{
    work->resource = resource;
    work->sole = sole;
    return OPEN;
}

static inline enum next fail_with(struct work *work, coir_result failure)
{
    work->failure = failure;
    return FAIL;
}

static inline enum next fail_without_memory(struct work *work) { return fail_with(work, coir__no_memory()); }

static inline enum next release_down_to(struct work *work, struct record *mark)
{
    work->mark = mark;
    return RELEASE;
}

static inline coir_result resource_gave_null(const char *what)
{
    return coir__panicf(DOMAIN_ERRNO, ENOMEM, "%s: its callback gave NULL: no memory, or an io or a handle that it used was NULL", what);
}

/* --------------------------------------------------------------------------------------------------------- records.c */

/* coir__record_new: that keeps `owner` (borrowed, may be NULL). NULL without memory. */
struct record *coir__record_new(coir_fiber *fiber, coir_resource *owner);
void coir__record_free(struct record *record);
void coir__records_free(struct record *record);         /* with all below it */
static inline void record_push(struct use *use, struct record *record)
{
    record->below = use->records;
    use->records = record;
}
/* coir__keep_value, coir__keep_resource: keep what they take to the end of the use. False: no memory, it is dropped. */
bool coir__keep_value(struct work *work, coir_value value);
bool coir__keep_resource(struct work *work, coir_resource *resource);
/* coir__take_over: puts records that were acquired elsewhere on top. */
void coir__take_over(struct use *use, struct record *records);

/* coir__pend: a cell for the resource, innermost. False: no memory. coir__unpend: takes the innermost cell out, with the context that it put in place. */
bool coir__pend(struct work *work, coir_resource *resource, bool sole);
struct pending *coir__unpend(struct work *work);
void coir__pending_free(struct pending *cell);

/* coir__release_next: RELEASE. coir__release_end: after what it ran. coir__join_outcome: takes how that ended. */
enum next coir__release_next(struct work *work);
void coir__release_end(struct work *work);
void coir__join_outcome(struct use *use, coir_result result);

/* ------------------------------------------------------------------------------------------------------------ open.c */

/* OPEN, GO_ON, FAIL, HANDLE. */
enum next coir__open_resource(struct work *work);
enum next coir__open_go_on(struct work *work);
enum next coir__open_fail(struct work *work);
enum next coir__open_handle(struct work *work);
/* After what they ran. */
enum next coir__acquired(struct work *work);
enum next coir__acquired_side_by_side(struct work *work);

/* ------------------------------------------------------------------------------------------------------------- use.c */

/* coir__use_it: all is acquired. coir__opened_take: the records of an opened one, once. */
enum next coir__use_it(struct work *work);
struct record *coir__opened_take(const coir_value *value);

#endif
