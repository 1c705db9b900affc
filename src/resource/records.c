/*
 * records.c - what was acquired, what is pending, and releasing
 *
 * The record of an acquisition is had before it runs. So nothing that was acquired can fail to be recorded, and releasing allocates nothing.
 */
#include "resource/use.h"

struct record *coir__record_new(coir_fiber *fiber, coir_resource *owner)
{
    struct record *record = coir__alloc(sizeof *record);
    if (record != NULL)
        *record = (struct record){ NULL, coir_none(), coir_resource_ref(owner), false, NULL, coir__context_ref(fiber->context) };
    return record;
}

void coir__record_free(struct record *record)
{
    coir_drop(record->held);
    coir_resource_drop(record->owner);
    coir__context_drop(record->context);
    coir__free(record, sizeof *record);
}

bool coir__keep_value(struct work *work, coir_value value)
{
    struct record *record = coir__record_new(work->fiber, NULL);
    if (record == NULL) {
        coir_drop(value);
        return false;
    }
    record->held = value;
    record_push(work->use, record);
    work->use->value = &record->held;
    return true;
}

bool coir__keep_resource(struct work *work, coir_resource *resource)
{
    struct record *record = coir__record_new(work->fiber, resource);
    coir_resource_drop(resource);                       /* the record's reference remains */
    if (record != NULL)
        record_push(work->use, record);
    return record != NULL;
}

bool coir__pend(struct work *work, coir_resource *resource, bool sole)
{
    struct pending *cell = coir__alloc(sizeof *cell);
    if (cell == NULL)
        return false;
    *cell = (struct pending){ work->use->pending, resource, work->use->records, sole, 0, coir_none(), NULL };
    work->use->pending = cell;
    return true;
}

void coir__pending_free(struct pending *cell)
{
    coir_drop(cell->list);
    coir__free(cell, sizeof *cell);
}

struct pending *coir__unpend(struct work *work)
{
    struct pending *cell = work->use->pending;
    work->use->pending = cell->outer;
    if (cell->resource->kind == RESOURCE_LOCAL) {
        coir__context_drop(work->fiber->context);
        work->fiber->context = cell->context;
    }
    return cell;
}

void coir__records_free(struct record *record)
{
    for (struct record *below; record != NULL; record = below) {
        below = record->below;
        coir__record_free(record);
    }
}

void coir__take_over(struct use *use, struct record *records)
{
    struct record **last = &records;
    while (*last != NULL)
        last = &(*last)->below;
    *last = use->records;
    use->records = records;
}


/* -------------------------------------------------------------------------------------------------------------- release */

void coir__join_outcome(struct use *use, coir_result result)
{
    coir_result *outcome = use->purpose == FOR_CLOSING ? &use->failed : &use->outcome;
    if (result.tag == COIR_OK)
        coir_result_drop(&result);
    else
        *outcome = coir_result_and(*outcome, result);
}

/* The io that releases the uppermost record, which stays until it has ended. NULL with a failure in *broken. */
static coir_io *release_io(struct use *use, bool *borrowed, coir_result *broken)
{
    struct record *record = use->records;
    *borrowed = record->run != NULL;
    if (record->run != NULL)
        return record->run;
    coir_io *io = record->owner->release(record->owner->env, &record->held, &use->outcome);
    if (io == NULL)
        *broken = resource_gave_null("release");
    return io;
}

static void release_begin(struct work *work)
{
    struct use *use = work->use;
    use->phase = RELEASING;
    use->floor = final_enter(work->fiber);
    use->context = work->fiber->context;
    work->fiber->context = coir__context_ref(use->records->context);
}

void coir__release_end(struct work *work)
{
    struct use *use = work->use;
    struct record *record = use->records;
    coir__context_drop(work->fiber->context);
    work->fiber->context = use->context;
    final_leave(work->fiber, use->floor);
    use->records = record->below;
    coir__record_free(record);
}

static enum next over(struct work *work)
{
    struct use *use = work->use;
    work->turn->result = coir_result_take(use->purpose == FOR_CLOSING ? &use->failed : &use->outcome);
    coir_result_drop(&use->outcome);
    coir_drop(coir_take(&use->opening));
    return OVER;
}

/* Releases what was acquired since work->mark; then goes on with the handler of the failure, or is over. */
enum next coir__release_next(struct work *work)
{
    struct use *use = work->use;
    while (use->records != work->mark) {
        struct record *record = use->records;
        if (record->run == NULL && !record->acquired) {
            use->records = record->below;
            coir__record_free(record);
            continue;
        }
        coir_result broken;
        release_begin(work);
        work->turn->io = release_io(use, &work->turn->borrowed, &broken);
        if (work->turn->io != NULL)
            return RUN;
        coir__release_end(work);
        coir__join_outcome(use, broken);
    }
    return use->handler != NULL ? HANDLE : over(work);
}
