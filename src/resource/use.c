/*
 * use.c - acquiring and releasing: one frame, whatever the resource is made of
 *
 * The frame of coir_use() walks the resource as a machine (io/machine.h). What is still to be done with the value that it has got so far stands in a
 * list of *pending* cells, the innermost first; what is to be released in a list of *records*, the last one acquired first.
 *
 *   phase        what runs above the frame         when it has ended
 *   ACQUIRING    an acquisition, masked            OK: record it, go on with what is pending; otherwise fail
 *   USING        the use (or the routine that      that is the outcome; release
 *                holds it)
 *   RELEASING    a release, as a finalizer         its failure joins the outcome; release the next
 *
 * Failing drops what is pending down to the first cell that wants the failure (catch, recover, attempt), releases what was acquired above
 * that cell, and goes on from there; if nobody wants it, all is released and the failure is the result.
 *
 * The record of an acquisition is had before it runs. So nothing that was acquired can fail to be recorded, and releasing allocates nothing.
 */
#include "fiber/cancel.h"
#include "fiber/local.h"
#include "io/machine.h"
#include "resource/resource.h"

#include <coir/fiber.h>

#include <string.h>

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

static struct use *use_of(coir_io *node) { return (struct use *)(void *)((char *)node + NODE_SMALL); }
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

static enum next open_next(struct work *work, coir_resource *resource, bool sole)
{
    work->resource = resource;
    work->sole = sole;
    return OPEN;
}

static enum next fail_with(struct work *work, coir_result failure)
{
    work->failure = failure;
    return FAIL;
}

static enum next fail_without_memory(struct work *work) { return fail_with(work, coir__no_memory()); }

static enum next release_down_to(struct work *work, struct record *mark)
{
    work->mark = mark;
    return RELEASE;
}

/* ------------------------------------------------------------------------------------------------------ records, cells */

static struct record *record_new(coir_fiber *fiber, coir_resource *owner)
{
    struct record *record = coir__alloc(sizeof *record);
    if (record != NULL)
        *record = (struct record){ NULL, coir_none(), coir_resource_ref(owner), false, NULL, coir__context_ref(fiber->context) };
    return record;
}

static void record_free(struct record *record)
{
    coir_drop(record->held);
    coir_resource_drop(record->owner);
    coir__context_drop(record->context);
    coir__free(record, sizeof *record);
}

static void record_push(struct use *use, struct record *record)
{
    record->below = use->records;
    use->records = record;
}

/* Both keep what they take to the end of the use. False: no memory, it is dropped. */
static bool keep_value(struct work *work, coir_value value)
{
    struct record *record = record_new(work->fiber, NULL);
    if (record == NULL) {
        coir_drop(value);
        return false;
    }
    record->held = value;
    record_push(work->use, record);
    work->use->value = &record->held;
    return true;
}

static bool keep_resource(struct work *work, coir_resource *resource)
{
    struct record *record = record_new(work->fiber, resource);
    coir_resource_drop(resource);                       /* the record's reference remains */
    if (record != NULL)
        record_push(work->use, record);
    return record != NULL;
}

/* A resource that a callback has just made: the use keeps it. */
static enum next open_made(struct work *work, coir_resource *resource)
{
    bool sole = coir__resource_sole(resource);
    return keep_resource(work, resource) ? open_next(work, resource, sole) : fail_without_memory(work);
}

static bool pend(struct work *work, coir_resource *resource, bool sole)
{
    struct pending *cell = coir__alloc(sizeof *cell);
    if (cell == NULL)
        return false;
    *cell = (struct pending){ work->use->pending, resource, work->use->records, sole, 0, coir_none(), NULL };
    work->use->pending = cell;
    return true;
}

static void cell_free(struct pending *cell)
{
    coir_drop(cell->list);
    coir__free(cell, sizeof *cell);
}

/* Takes the innermost cell out; a context that it put in place goes with it. The caller frees it. */
static struct pending *unpend(struct work *work)
{
    struct pending *cell = work->use->pending;
    work->use->pending = cell->outer;
    if (cell->resource->kind == RESOURCE_LOCAL) {
        coir__context_drop(work->fiber->context);
        work->fiber->context = cell->context;
    }
    return cell;
}

/* ------------------------------------------------------------------------------------------------------------ release */

static coir_result gave_null(const char *what)
{
    return coir__panicf(DOMAIN_ERRNO, ENOMEM, "%s: its callback gave NULL: no memory", what);
}

static void join_outcome(struct use *use, coir_result result)
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
        *broken = gave_null("release");
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

static void release_end(struct work *work)
{
    struct use *use = work->use;
    struct record *record = use->records;
    coir__context_drop(work->fiber->context);
    work->fiber->context = use->context;
    final_leave(work->fiber, use->floor);
    use->records = record->below;
    record_free(record);
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
static enum next release_next(struct work *work)
{
    struct use *use = work->use;
    while (use->records != work->mark) {
        struct record *record = use->records;
        if (record->run == NULL && !record->acquired) {
            use->records = record->below;
            record_free(record);
            continue;
        }
        coir_result broken;
        release_begin(work);
        work->turn->io = release_io(use, &work->turn->borrowed, &broken);
        if (work->turn->io != NULL)
            return RUN;
        release_end(work);
        join_outcome(use, broken);
    }
    return use->handler != NULL ? HANDLE : over(work);
}

/* ------------------------------------------------------------------------------------------------------------ failing */

static bool wants(const coir_resource *resource, const coir_result *failure)
{
    switch (resource->kind) {
    case RESOURCE_CATCH:
        return failure->tag == COIR_ERROR;
    case RESOURCE_RECOVER:
        return failure->tag == COIR_PANIC;
    case RESOURCE_ATTEMPT:
        return failure->tag != COIR_CANCELED;
    default:
        return false;
    }
}

/* The acquisition has failed. */
static enum next fail(struct work *work)
{
    struct use *use = work->use;
    coir_result failure = work->failure;
    while (use->pending != NULL) {
        struct pending *cell = unpend(work);
        if (wants(cell->resource, &failure)) {
            use->handler = cell;
            use->outcome = failure;
            return release_down_to(work, cell->mark);
        }
        if (cell->resource->kind == RESOURCE_MAP_ERROR)
            failure = coir__map_failures(failure, COIR_ERROR, cell->resource->map_error, cell->resource->env);
        cell_free(cell);
    }
    use->outcome = failure;
    return release_down_to(work, NULL);
}

/* What had been acquired under the handler's cell is released, and its failures may have made the outcome worse: is it still wanted? */
static enum next handle(struct work *work)
{
    struct use *use = work->use;
    struct pending *cell = use->handler;
    coir_resource *resource = cell->resource;
    coir_result failure = coir_result_take(&use->outcome);
    bool wanted = wants(resource, &failure);
    use->handler = NULL;
    cell_free(cell);
    if (!wanted)
        return fail_with(work, failure);
    if (resource->kind == RESOURCE_ATTEMPT) {
        coir_value box = coir_box(failure);
        if (coir__is_panic_value(&box))
            return fail_with(work, coir__panic_of(box));
        return keep_value(work, box) ? GO_ON : fail_without_memory(work);
    }
    coir_resource *instead = resource->handle(resource->env, &failure.value);
    if (instead == NULL)
        return fail_with(work, coir_result_and(gave_null("coir_resource_catch"), failure));
    coir__failures_drop(failure.also);
    if (!keep_value(work, failure.value)) {             /* what fn was lent and did not take */
        coir_resource_drop(instead);
        return fail_without_memory(work);
    }
    return open_made(work, instead);
}

/* ------------------------------------------------------------------------------------------------------------ acquire */

static enum next acquire(struct work *work, coir_resource *resource, bool sole)
{
    struct use *use = work->use;
    coir_result canceled;
    if (unlikely(load_relaxed(&work->fiber->asked)) && coir__cancel_seen(work->fiber, &canceled))
        return fail_with(work, canceled);
    use->fresh = record_new(work->fiber, resource);
    if (use->fresh == NULL)
        return fail_without_memory(work);
    use->phase = ACQUIRING;
    work->fiber->mask++;
    work->turn->io = resource->io;
    work->turn->borrowed = !sole;
    if (sole)
        resource->io = NULL;
    return RUN;
}

static enum next acquired(struct work *work)
{
    struct use *use = work->use;
    struct record *record = use->fresh;
    use->fresh = NULL;
    work->fiber->mask--;
    if (work->turn->result.tag != COIR_OK) {
        record_free(record);
        return fail_with(work, work->turn->result);
    }
    record->held = work->turn->result.value;
    record->acquired = record->owner->release != NULL;
    record->run = record->owner->undo;
    record_push(use, record);
    use->value = &record->held;
    return GO_ON;
}

/* What several hold, as an item of their list: a share, or, of what cannot be shared, a pointer that is lent. */
static coir_value item_of(const coir_value *held)
{
    if (coir_can_share(held))
        return coir_share(held);
    coir_value item = *held;
    item.type = NULL;
    return item;
}

/* The next of several; or their list. */
static enum next next_of_several(struct work *work)
{
    struct pending *cell = work->use->pending;
    coir_resource *resource = cell->resource;
    if (cell->index == resource->count || coir__is_panic_value(&cell->list)) {
        coir_value list = coir_take(&cell->list);
        cell_free(unpend(work));
        if (coir__is_panic_value(&list))
            return fail_with(work, coir__panic_of(list));
        return keep_value(work, list) ? GO_ON : fail_without_memory(work);
    }
    if (resource->kind == RESOURCE_ZIP) {
        coir_resource *item = resource->items[cell->index];
        return open_next(work, item, cell->sole && coir__resource_sole(item));
    }
    coir_resource *made = resource->index(resource->env, cell->index);
    return made != NULL ? open_made(work, made) : fail_with(work, gave_null("coir_resource_traverse"));
}

static enum next open_several(struct work *work, coir_resource *resource, bool sole)
{
    if (!pend(work, resource, sole))
        return fail_without_memory(work);
    work->use->pending->list = coir__list_new(resource->count);
    return next_of_several(work);
}

static bool enter_context(struct work *work, coir_resource *resource, bool sole)
{
    coir_value value = sole ? coir_take(&resource->value) : coir_share(&resource->value);
    struct coir__context *before = work->fiber->context;
    if (coir__is_panic_value(&value) || !pend(work, resource, sole)) {
        coir_drop(value);
        return false;
    }
    struct coir__context *context = coir__context_with_value(before, value);
    if (context == NULL) {
        struct pending *cell = work->use->pending;
        work->use->pending = cell->outer;
        cell_free(cell);
        return false;
    }
    work->use->pending->context = before;
    work->fiber->context = context;
    return true;
}

/* Notes what is to run when all that follows was released. */
static bool note_finalizer(struct work *work, coir_resource *resource)
{
    struct record *record = record_new(work->fiber, resource);
    if (record == NULL)
        return false;
    record->run = resource->undo;
    record_push(work->use, record);
    return true;
}

static enum next open_side_by_side(struct work *work, coir_resource *resource, bool sole);

static enum next open_resource(struct work *work)
{
    coir_resource *resource = work->resource;
    bool sole = work->sole;
    for (;;) {
        switch ((enum resource_kind)resource->kind) {
        case RESOURCE_NEW:
            return acquire(work, resource, sole);
        case RESOURCE_SUSPEND: {
            coir_resource *made = resource->make(resource->env);
            if (made == NULL)
                return fail_with(work, gave_null("coir_resource_suspend"));
            sole = coir__resource_sole(made);
            if (!keep_resource(work, made))
                return fail_without_memory(work);
            resource = made;
            continue;
        }
        case RESOURCE_ZIP:
        case RESOURCE_TRAVERSE:
            return open_several(work, resource, sole);
        case RESOURCE_PAR_ZIP:
            return open_side_by_side(work, resource, sole);
        case RESOURCE_LOCAL:
            if (!enter_context(work, resource, sole))
                return fail_without_memory(work);
            break;
        case RESOURCE_FINALLY:
            if (!note_finalizer(work, resource))
                return fail_without_memory(work);
            break;
        case RESOURCE_MAP:
        case RESOURCE_FLAT_MAP:
        case RESOURCE_THEN:
        case RESOURCE_CATCH:
        case RESOURCE_RECOVER:
        case RESOURCE_MAP_ERROR:
        case RESOURCE_ATTEMPT:
            if (!pend(work, resource, sole))
                return fail_without_memory(work);
            break;
        }
        sole = sole && coir__resource_sole(resource->outer);
        resource = resource->outer;
    }
}

/* ------------------------------------------------------------------------------------------------------ side by side */

/* One of several that are acquired side by side, each by a fiber of its own; `index` of the parent's cell says that one has failed. */
struct side { coir_resource *resource; _Atomic bool *failed; };

static coir_io *open_side(void *env)
{
    const struct side *side = env;
    if (load_relaxed(side->failed))
        return coir_unit();                             /* not begun */
    return coir_resource_open(coir_resource_ref(side->resource));
}

static coir_io *note_side_failure(void *env, const coir_result *result)
{
    const struct side *side = env;
    if (result->tag != COIR_OK)
        store_relaxed(side->failed, true);
    return coir_unit();
}

static coir_io *wait_for_sides(void *env, coir_value *fibers) { (void)env; return coir_wait(fibers); }

/* The cell's list is a box of the flag that the fibers share. */
static void flag_drop(void *flag) { coir__free(flag, sizeof(_Atomic bool)); }
static const coir_type flag_type = { "flag", flag_drop, NULL, NULL };

static coir_io *sides_io(const coir_resource *resource, _Atomic bool *failed)
{
    coir_io **ios = coir__alloc((resource->count + 1) * sizeof *ios);
    if (ios == NULL)
        return NULL;
    for (size_t i = 0; i < resource->count; i++) {
        struct side side = { resource->items[i], failed };
        ios[i] = coir_finally_fn_copy(coir_suspend_copy(open_side, &side, sizeof side), note_side_failure, &side, sizeof side);
    }
    coir_io *io = coir_flat_map(coir_parallel(resource->count, ios), wait_for_sides, NULL);
    coir__free(ios, (resource->count + 1) * sizeof *ios);
    return io;
}

static enum next open_side_by_side(struct work *work, coir_resource *resource, bool sole)
{
    struct use *use = work->use;
    _Atomic bool *failed = pend(work, resource, sole) ? coir__alloc(sizeof *failed) : NULL;
    if (failed == NULL)
        return fail_without_memory(work);
    atomic_init(failed, false);
    use->pending->list = coir_own(failed, &flag_type);
    work->turn->io = sides_io(resource, failed);
    if (work->turn->io == NULL)
        return fail_without_memory(work);
    use->phase = ACQUIRING;
    use->fresh = NULL;
    work->fiber->mask++;
    work->turn->borrowed = false;
    return RUN;
}

static void take_over(struct use *use, struct record *records);
static struct record *opened_take(const coir_value *opened);

/* All have ended: what was acquired is taken over, in order, and listed; a failure fails the whole. */
static enum next acquired_side_by_side(struct work *work)
{
    struct use *use = work->use;
    coir_result failure = coir_ok(coir_none()), sides = work->turn->result;
    work->fiber->mask--;
    coir_value list = coir__list_new(use->pending->resource->count);
    cell_free(unpend(work));
    if (sides.tag != COIR_OK) {
        coir_drop(list);
        return fail_with(work, sides);
    }
    for (size_t i = 0; i < coir_list_size(&sides.value); i++) {
        coir_result *side = coir_result_in(coir_list_at(&sides.value, i));
        if (side->tag == COIR_OK && side->value.type == &coir_opened_type) {
            coir__list_add(&list, item_of(coir_opened_value(&side->value)));
            take_over(use, opened_take(&side->value));
        } else if (side->tag != COIR_OK) {
            failure = coir_result_and(failure, coir_result_take(side));
        }
    }
    coir_drop(sides.value);
    if (failure.tag != COIR_OK) {
        coir_drop(list);
        return fail_with(work, failure);
    }
    if (coir__is_panic_value(&list))
        return fail_with(work, coir__panic_of(list));
    return keep_value(work, list) ? GO_ON : fail_without_memory(work);
}

/* --------------------------------------------------------------------------------------------------------------- use */

static enum next use_it(struct work *work);

/* Another part was acquired, and holds use->value. */
static enum next go_on(struct work *work)
{
    struct use *use = work->use;
    for (;;) {
        struct pending *cell = use->pending;
        if (cell == NULL)
            return use_it(work);
        coir_resource *resource = cell->resource;
        bool sole = cell->sole;
        switch ((enum resource_kind)resource->kind) {
        case RESOURCE_ZIP:
        case RESOURCE_TRAVERSE:
            coir__list_add(&cell->list, item_of(use->value));
            cell->index++;
            return next_of_several(work);
        case RESOURCE_MAP: {
            cell_free(unpend(work));
            coir_value value = resource->map(resource->env, use->value);
            if (coir__is_panic_value(&value))
                return fail_with(work, coir__panic_of(value));
            if (!keep_value(work, value))
                return fail_without_memory(work);
            continue;
        }
        case RESOURCE_FLAT_MAP: {
            cell_free(unpend(work));
            coir_resource *made = resource->flat_map(resource->env, use->value);
            return made != NULL ? open_made(work, made) : fail_with(work, gave_null("coir_resource_flat_map"));
        }
        case RESOURCE_THEN:
            cell_free(unpend(work));
            return open_next(work, resource->inner, sole && coir__resource_sole(resource->inner));
        case RESOURCE_ATTEMPT: {
            cell_free(unpend(work));
            coir_value box = coir_box(coir_ok(item_of(use->value)));
            if (coir__is_panic_value(&box))
                return fail_with(work, coir__panic_of(box));
            if (!keep_value(work, box))
                return fail_without_memory(work);
            continue;
        }
        default:                                        /* LOCAL, CATCH, RECOVER, MAP_ERROR: nothing more to do */
            cell_free(unpend(work));
            continue;
        }
    }
}

/* An opened one: what was acquired, away from any frame. */
struct opened { struct record *_Atomic records; const coir_value *value; };

static void records_free(struct record *record)
{
    for (struct record *below; record != NULL; record = below) {
        below = record->below;
        record_free(record);
    }
}

static void opened_drop(void *object)
{
    struct opened *opened = object;
    records_free(load_acquire(&opened->records));
    coir__free(opened, sizeof *opened);
}

const coir_type coir_opened_type = { "opened resource", opened_drop, NULL, NULL };

/* Whoever comes first gets the records. */
static struct record *opened_take(const coir_value *value)
{
    struct opened *opened = coir_cast(value, &coir_opened_type);
    return opened == NULL ? NULL : exchange_acq_rel(&opened->records, NULL);
}

/* Puts them on top. */
static void take_over(struct use *use, struct record *records)
{
    struct record **last = &records;
    while (*last != NULL)
        last = &(*last)->below;
    *last = use->records;
    use->records = records;
}

static enum next give_opened(struct work *work)
{
    struct use *use = work->use;
    struct opened *opened = use->opening.ptr;
    store_release(&opened->records, use->records);
    opened->value = use->value;
    use->records = NULL;
    work->turn->result = coir_ok(coir_take(&use->opening));
    return OVER;
}

static enum next use_it(struct work *work)
{
    struct use *use = work->use;
    struct machine_turn *turn = work->turn;
    use->phase = USING;
    turn->borrowed = false;
    switch (use->purpose) {
    case FOR_USE:
        turn->io = use->fn(use->env, use->value);
        if (turn->io != NULL)
            return RUN;
        use->outcome = gave_null("coir_use");
        return release_down_to(work, NULL);
    case FOR_IO:
        turn->io = use->io;
        turn->borrowed = work->frame->flags & NODE_BORROWED;
        if (!turn->borrowed)
            use->io = NULL;
        return RUN;
    case FOR_ROUTINE:
        turn->result = coir_ok(*use->value);
        return STAY;
    case FOR_OPENING:
        return give_opened(work);
    case FOR_CLOSING:
        break;
    }
    unreachable();
}

/* ----------------------------------------------------------------------------------------------------------- the machine */

static enum next begin_closing(struct work *work)
{
    struct use *use = work->use;
    use->outcome = coir_result_share(&use->told);
    use->records = opened_take(&use->closing);
    return release_down_to(work, NULL);
}

/* What will be given is had before anything is acquired. False: no memory. */
static bool make_opened(struct use *use)
{
    struct opened *opened = coir__alloc(sizeof *opened);
    if (opened == NULL)
        return false;
    atomic_init(&opened->records, NULL);
    opened->value = NULL;
    use->opening = coir_own(opened, &coir_opened_type);
    return true;
}

static enum machine_way proceed(struct work *work, enum next next)
{
    for (;;) {
        switch (next) {
        case OPEN:
            next = open_resource(work);
            break;
        case GO_ON:
            next = go_on(work);
            break;
        case FAIL:
            next = fail(work);
            break;
        case RELEASE:
            next = release_next(work);
            break;
        case HANDLE:
            next = handle(work);
            break;
        default:
            return (enum machine_way)next;
        }
    }
}

static enum next begin(struct work *work)
{
    struct use *use = work->use;
    if (use->purpose == FOR_CLOSING)
        return begin_closing(work);
    if (use->purpose == FOR_OPENING && !make_opened(use))
        return fail_without_memory(work);
    return open_next(work, work->frame->object, !(work->frame->flags & NODE_BORROWED) && coir__resource_sole(work->frame->object));
}

static enum next given(struct work *work)
{
    struct use *use = work->use;
    switch (use->phase) {
    case ACQUIRING:
        return use->fresh != NULL ? acquired(work) : acquired_side_by_side(work);
    case USING:
        use->outcome = work->turn->result;
        return release_down_to(work, NULL);
    case RELEASING:
        release_end(work);
        join_outcome(use, work->turn->result);
        return release_down_to(work, use->handler != NULL ? use->handler->mark : NULL);
    }
    unreachable();
}

static enum machine_way use_begin(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    struct use *use = use_of(frame);
    struct work work = { .fiber = fiber, .frame = frame, .use = use, .turn = turn };
    use->records = use->fresh = NULL;
    use->pending = use->handler = NULL;
    use->opening = coir_none();
    use->outcome = use->failed = coir_ok(coir_none());
    return proceed(&work, begin(&work));
}

static enum machine_way use_given(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    struct work work = { .fiber = fiber, .frame = frame, .use = use_of(frame), .turn = turn };
    return proceed(&work, given(&work));
}

static void use_empty(coir_fiber *fiber, coir_io *frame)
{
    struct use *use = use_of(frame);
    struct work work = { .fiber = fiber, .frame = frame, .use = use };
    while (use->pending != NULL)
        cell_free(unpend(&work));
    if (use->handler != NULL)
        cell_free(use->handler);
    if (use->fresh != NULL)
        record_free(use->fresh);
    records_free(use->records);
    coir_drop(use->opening);
    coir_result_drop(&use->outcome);
    coir_result_drop(&use->failed);
}

static void use_drop(coir_io *node)
{
    struct use *use = use_of(node);
    coir_resource_drop(node->object);
    if (use->purpose == FOR_IO)
        coir_io_drop(use->io);
    if (use->purpose == FOR_CLOSING) {
        coir_drop(use->closing);
        coir_result_drop(&use->told);
    }
}

#define MACHINE(shown) { .name = shown, .begin = use_begin, .given = use_given, .empty = use_empty, .drop = use_drop }
static const struct coir__machine use_machine = MACHINE("use"), with_machine = MACHINE("with"), hold_machine = MACHINE("hold"),
    open_machine = MACHINE("resource_open"), close_machine = MACHINE("opened_close");

/* --------------------------------------------------------------------------------------------------------------- ios */

/* Takes resource. `behind`: bytes to be captured. */
static coir_io *use_node(const struct coir__machine *machine, enum purpose purpose, coir_resource *resource, size_t behind)
{
    coir_io *node = coir__node_new(OP_MACHINE, USE_SIZE + behind);
    if (node == NULL) {
        coir_resource_drop(resource);
        return NULL;
    }
    node->child = NULL;
    node->machine = machine;
    node->object = resource;
    use_of(node)->purpose = purpose;
    use_of(node)->io = NULL;
    return node;
}

static coir_io *use_with(const char *function, coir_resource *resource, coir_use_fn *fn, struct env_given given)
{
    if (resource == NULL)
        return NULL;
    const char *bad = coir__callback_bad((any_fn *)fn, given);
    if (bad != NULL) {
        coir_resource_drop(resource);
        return coir__bad_argument(function, bad);
    }
    coir_io *node = use_node(&use_machine, FOR_USE, resource, given.bytes == LENT ? 0 : given.bytes);
    if (node == NULL)
        return NULL;
    use_of(node)->fn = fn;
    use_of(node)->env = (void *)(uintptr_t)given.env;
    if (given.bytes != LENT) {
        use_of(node)->env = (char *)node + USE_SIZE;
        capture(use_of(node)->env, given.env, given.bytes);
    }
    return node;
}

coir_io *coir_use(coir_resource *resource, coir_use_fn *fn, void *env) { return use_with("coir_use", resource, fn, lent(env)); }
coir_io *coir_use_copy(coir_resource *resource, coir_use_fn *fn, const void *bytes, size_t size)
{
    return use_with("coir_use_copy", resource, fn, captured(bytes, size));
}

coir_io *coir_bracket(coir_io *acquire, coir_use_fn *use, coir_release_fn *release, void *env)
{
    return use_with("coir_bracket", coir_resource_new(acquire, release, env), use, lent(env));
}

coir_io *coir_with(coir_resource *resource, coir_io *io)
{
    if (resource == NULL || io == NULL) {
        coir_resource_drop(resource);
        coir_io_drop(io);
        return NULL;
    }
    coir_io *node = use_node(&with_machine, FOR_IO, resource, 0);
    if (node == NULL)
        coir_io_drop(io);
    else
        use_of(node)->io = io;
    return node;
}

coir_io *coir_resource_hold_(coir_resource *resource)
{
    return resource == NULL ? NULL : use_node(&hold_machine, FOR_ROUTINE, resource, 0);
}

coir_io *coir_resource_open(coir_resource *resource)
{
    return resource == NULL ? NULL : use_node(&open_machine, FOR_OPENING, resource, 0);
}

const coir_value *coir_opened_value(const coir_value *opened)
{
    struct opened *object = coir_cast(opened, &coir_opened_type);
    return object == NULL || load_acquire(&object->records) == NULL ? NULL : object->value;
}

coir_io *coir_opened_close(coir_value opened, const coir_result *outcome)
{
    if (opened.type != &coir_opened_type) {
        coir_drop(opened);
        return coir__bad_argument("coir_opened_close", "opened is none");
    }
    coir_io *node = use_node(&close_machine, FOR_CLOSING, NULL, 0);
    if (node == NULL) {
        coir_drop(opened);
        return NULL;
    }
    use_of(node)->closing = opened;
    use_of(node)->told = outcome == NULL ? coir_ok(coir_none()) : coir_result_share(outcome);
    return node;
}
