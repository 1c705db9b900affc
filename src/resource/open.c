/*
 * open.c - acquiring: the walk over a resource
 *
 * What is still to be done with the value that there is so far stands in pending cells, the innermost first. Failing drops what is pending down to the
 * first cell that wants the failure (catch, recover, attempt), releases what was acquired above that cell, and goes on from there; if
 * nobody wants it, all is released and the failure is the result.
 */
#include "fiber/join.h"
#include "fiber/par.h"
#include "resource/use.h"

/* A resource that a callback has just made: the use keeps it. */
static enum next open_made(struct work *work, coir_resource *resource)
{
    bool sole = coir__resource_sole(resource);
    return coir__keep_resource(work, resource) ? open_next(work, resource, sole) : fail_without_memory(work);
}

/* -------------------------------------------------------------------------------------------------------------- failing */

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
enum next coir__open_fail(struct work *work)
{
    struct use *use = work->use;
    coir_result failure = work->failure;
    while (use->pending != NULL) {
        struct pending *cell = coir__unpend(work);
        if (wants(cell->resource, &failure)) {
            use->handler = cell;
            use->outcome = failure;
            return release_down_to(work, cell->mark);
        }
        if (cell->resource->kind == RESOURCE_MAP_ERROR)
            failure = coir__map_failures(failure, COIR_ERROR, cell->resource->map_error, cell->resource->env);
        coir__pending_free(cell);
    }
    use->outcome = failure;
    return release_down_to(work, NULL);
}

/* What had been acquired under the handler's cell is released, and its failures may have made the outcome worse: is it still wanted? */
enum next coir__open_handle(struct work *work)
{
    struct use *use = work->use;
    struct pending *cell = use->handler;
    coir_resource *resource = cell->resource;
    coir_result failure = coir_result_take(&use->outcome);
    bool wanted = wants(resource, &failure);
    use->handler = NULL;
    coir__pending_free(cell);
    if (!wanted)
        return fail_with(work, failure);
    if (resource->kind == RESOURCE_ATTEMPT) {
        coir_value box = coir_box(failure);
        if (coir__is_panic_value(&box))
            return fail_with(work, coir__panic_of(box));
        return coir__keep_value(work, box) ? GO_ON : fail_without_memory(work);
    }
    coir_resource *instead = resource->handle(resource->env, &failure.value);
    if (instead == NULL)
        return fail_with(work, coir_result_and(resource_gave_null("coir_resource_catch"), failure));
    coir__failures_drop(failure.also);
    if (!coir__keep_value(work, failure.value)) {             /* what fn was lent and did not take */
        coir_resource_drop(instead);
        return fail_without_memory(work);
    }
    return open_made(work, instead);
}

/* -------------------------------------------------------------------------------------------------------------- acquire */

static enum next acquire(struct work *work, coir_resource *resource, bool sole)
{
    struct use *use = work->use;
    coir_result canceled;
    if (unlikely(load_relaxed(&work->fiber->asked)) && coir__cancel_seen(work->fiber, &canceled))
        return fail_with(work, canceled);
    use->fresh = coir__record_new(work->fiber, resource);
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

enum next coir__acquired(struct work *work)
{
    struct use *use = work->use;
    struct record *record = use->fresh;
    use->fresh = NULL;
    work->fiber->mask--;
    if (work->turn->result.tag != COIR_OK) {
        coir__record_free(record);
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
        coir__pending_free(coir__unpend(work));
        if (coir__is_panic_value(&list))
            return fail_with(work, coir__panic_of(list));
        return coir__keep_value(work, list) ? GO_ON : fail_without_memory(work);
    }
    if (resource->kind == RESOURCE_ZIP) {
        coir_resource *item = resource->items[cell->index];
        return open_next(work, item, cell->sole && coir__resource_sole(item));
    }
    coir_resource *made = resource->index(resource->env, cell->index);
    return made != NULL ? open_made(work, made) : fail_with(work, resource_gave_null("coir_resource_traverse"));
}

static enum next open_several(struct work *work, coir_resource *resource, bool sole)
{
    if (!coir__pend(work, resource, sole))
        return fail_without_memory(work);
    work->use->pending->list = coir__list_new(resource->count);
    return next_of_several(work);
}

/* What cannot be shared the first use gets; the others may not even look at more than its type: it may be gone. */
static coir_value take_once(coir_resource *resource)
{
    const coir_type *type = resource->value.type;
    if (!exchange_acq_rel(&resource->is_taken, true))
        return resource->value;
    return coir_panic_value("a %s cannot be shared: the resource that carries it is used a second time",
                            type != NULL && type->name != NULL ? type->name : "value");
}

static coir_value carried_context(coir_resource *resource, bool sole)
{
    if (resource->is_unsharable)
        return take_once(resource);
    return sole ? coir_take(&resource->value) : coir_share(&resource->value);
}

/* False: *failure says why not. */
static bool enter_context(struct work *work, coir_resource *resource, bool sole, coir_result *failure)
{
    coir_value value = carried_context(resource, sole);
    struct coir__context *before = work->fiber->context;
    if (coir__is_panic_value(&value)) {
        *failure = coir__panic_of(value);
        return false;
    }
    *failure = coir__no_memory();
    if (!coir__pend(work, resource, sole)) {
        coir_drop(value);
        return false;
    }
    struct coir__context *context = coir__context_with_value(before, value);
    if (context == NULL) {
        struct pending *cell = work->use->pending;
        work->use->pending = cell->outer;
        coir__pending_free(cell);
        return false;
    }
    work->use->pending->context = before;
    work->fiber->context = context;
    return true;
}

/* Notes what is to run when all that follows was released. */
static bool note_finalizer(struct work *work, coir_resource *resource)
{
    struct record *record = coir__record_new(work->fiber, resource);
    if (record == NULL)
        return false;
    record->run = resource->undo;
    record_push(work->use, record);
    return true;
}

static enum next open_side_by_side(struct work *work, coir_resource *resource, bool sole);

enum next coir__open_resource(struct work *work)
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
                return fail_with(work, resource_gave_null("coir_resource_suspend"));
            sole = coir__resource_sole(made);
            if (!coir__keep_resource(work, made))
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
            if (!enter_context(work, resource, sole, &work->failure))
                return FAIL;
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
            if (!coir__pend(work, resource, sole))
                return fail_without_memory(work);
            break;
        }
        sole = sole && coir__resource_sole(resource->outer);
        resource = resource->outer;
    }
}

/* --------------------------------------------------------------------------------------------------------- side by side */

/*
 * Each is acquired by a fiber of its own, and opened, so that the fiber's result is what it acquired. All are started, or none; what waits for their
 * ends is made before: once one has begun nothing needs memory until all that they acquired is taken over. They are children, no members of a scope
 * that the use is in: that would cancel them though the acquisition is masked, and fail for what a coir_resource_catch() takes.
 */
struct sides {                                          /* the cell's list is its owner */
    _Atomic bool failed;                                /* who has not begun need not */
    coir_io     *ends;                                  /* the wait; NULL: it has been run */
    coir_value   fibers;
};

static void sides_drop(void *object)
{
    struct sides *sides = object;
    coir_io_drop(sides->ends);
    coir_drop(sides->fibers);
    coir__free(sides, sizeof *sides);
}
static const coir_type sides_type = { "sides", sides_drop, NULL, NULL };

static struct sides *sides_new(void)
{
    struct sides *sides = coir__alloc(sizeof *sides);
    if (sides == NULL)
        return NULL;
    atomic_init(&sides->failed, false);
    sides->ends = coir__ends_new();
    sides->fibers = coir_none();
    return sides;
}

struct side { coir_resource *resource; struct sides *all; };

static coir_io *open_side(void *env)
{
    const struct side *side = env;
    if (load_relaxed(&side->all->failed))
        return coir_unit();                             /* not begun */
    return coir_resource_open(coir_resource_ref(side->resource));
}

static coir_io *note_side_failure(void *env, const coir_result *result)
{
    const struct side *side = env;
    if (result->tag != COIR_OK)
        store_relaxed(&side->all->failed, true);
    return coir_unit();
}

static coir_io *sides_io(const coir_resource *resource, struct sides *sides)
{
    coir_io **ios = coir__alloc((resource->count + 1) * sizeof *ios);
    if (ios == NULL)
        return NULL;
    for (size_t i = 0; i < resource->count; i++) {
        struct side side = { resource->items[i], sides };
        ios[i] = coir_finally_fn_copy(coir_suspend_copy(open_side, &side, sizeof side), note_side_failure, &side, sizeof side);
    }
    coir_io *io = coir__children(resource->count, ios);
    coir__free(ios, (resource->count + 1) * sizeof *ios);
    return io;
}

static enum next open_side_by_side(struct work *work, coir_resource *resource, bool sole)
{
    struct use *use = work->use;
    struct sides *sides = coir__pend(work, resource, sole) ? sides_new() : NULL;
    if (sides == NULL)
        return fail_without_memory(work);
    use->pending->list = coir_own(sides, &sides_type);
    work->turn->io = sides->ends == NULL ? NULL : sides_io(resource, sides);
    if (work->turn->io == NULL)
        return fail_without_memory(work);
    use->phase = ACQUIRING;
    use->fresh = NULL;
    work->fiber->mask++;
    work->turn->borrowed = false;
    return RUN;
}

/* They have been started. */
static enum next wait_for_sides(struct work *work, struct sides *sides)
{
    sides->fibers = work->turn->result.value;
    coir__ends_of(sides->ends, coir_share(&sides->fibers));
    work->turn->io = sides->ends;
    work->turn->borrowed = false;
    sides->ends = NULL;
    return RUN;
}

/* What one of them acquired is taken over, and goes into the list; its failure is given. */
static coir_result take_side(struct use *use, coir_fiber *fiber, coir_value *list)
{
    coir_result side = coir__fiber_result(fiber);
    if (side.tag != COIR_OK)
        return side;
    if (side.value.type == &coir_opened_type) {
        coir__list_add(list, item_of(coir_opened_value(&side.value)));
        coir__take_over(use, coir__opened_take(&side.value));
    }
    coir_result_drop(&side);
    return coir_ok(coir_none());
}

/* What they ran has ended: first that which starts them; then all of them, in whose order what they acquired is taken over and listed. A failure
 * fails the whole. */
enum next coir__acquired_side_by_side(struct work *work)
{
    struct use *use = work->use;
    struct sides *sides = use->pending->list.ptr;
    coir_result failure = work->turn->result;
    if (sides->ends != NULL && failure.tag == COIR_OK)
        return wait_for_sides(work, sides);
    size_t count;
    coir_value fibers = coir_take(&sides->fibers), list = coir__list_new(use->pending->resource->count);
    const coir_value *fiber = coir__list_items(&fibers, &count);
    work->fiber->mask--;
    coir__pending_free(coir__unpend(work));
    for (size_t i = 0; i < count; i++)
        failure = coir_result_and(failure, take_side(use, coir_fiber_of(&fiber[i]), &list));
    coir_drop(fibers);
    if (failure.tag != COIR_OK) {
        coir_drop(list);
        return fail_with(work, failure);
    }
    if (coir__is_panic_value(&list))
        return fail_with(work, coir__panic_of(list));
    return coir__keep_value(work, list) ? GO_ON : fail_without_memory(work);
}

/* ---------------------------------------------------------------------------------------------------------------- go on */

/* Another part was acquired, and holds use->value. */
enum next coir__open_go_on(struct work *work)
{
    struct use *use = work->use;
    for (;;) {
        struct pending *cell = use->pending;
        if (cell == NULL)
            return coir__use_it(work);
        coir_resource *resource = cell->resource;
        bool sole = cell->sole;
        switch ((enum resource_kind)resource->kind) {
        case RESOURCE_ZIP:
        case RESOURCE_TRAVERSE:
            coir__list_add(&cell->list, item_of(use->value));
            cell->index++;
            return next_of_several(work);
        case RESOURCE_MAP: {
            coir__pending_free(coir__unpend(work));
            coir_value value = resource->map(resource->env, use->value);
            if (coir__is_panic_value(&value))
                return fail_with(work, coir__panic_of(value));
            if (!coir__keep_value(work, value))
                return fail_without_memory(work);
            continue;
        }
        case RESOURCE_FLAT_MAP: {
            coir__pending_free(coir__unpend(work));
            coir_resource *made = resource->flat_map(resource->env, use->value);
            return made != NULL ? open_made(work, made) : fail_with(work, resource_gave_null("coir_resource_flat_map"));
        }
        case RESOURCE_THEN:
            coir__pending_free(coir__unpend(work));
            return open_next(work, resource->inner, sole && coir__resource_sole(resource->inner));
        case RESOURCE_ATTEMPT: {
            coir__pending_free(coir__unpend(work));
            coir_value box = coir_box(coir_ok(item_of(use->value)));
            if (coir__is_panic_value(&box))
                return fail_with(work, coir__panic_of(box));
            if (!coir__keep_value(work, box))
                return fail_without_memory(work);
            continue;
        }
        default:                                        /* LOCAL, CATCH, RECOVER, MAP_ERROR: nothing more to do */
            coir__pending_free(coir__unpend(work));
            continue;
        }
    }
}
