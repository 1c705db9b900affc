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
 */
#include "resource/use.h"

/* ---------------------------------------------------------------------------------------------------------- opened ones */

/* An opened one: what was acquired, away from any frame. */
struct opened { struct record *_Atomic records; const coir_value *value; };

static void opened_drop(void *object)
{
    struct opened *opened = object;
    coir__records_free(load_acquire(&opened->records));
    coir__free(opened, sizeof *opened);
}

const coir_type coir_opened_type = { "opened resource", opened_drop, NULL, NULL };

/* Whoever comes first gets the records. */
struct record *coir__opened_take(const coir_value *value)
{
    struct opened *opened = coir_cast(value, &coir_opened_type);
    return opened == NULL ? NULL : exchange_acq_rel(&opened->records, NULL);
}

/* ------------------------------------------------------------------------------------------------------- what it is for */

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

enum next coir__use_it(struct work *work)
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
        use->outcome = resource_gave_null("coir_use");
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

/* ---------------------------------------------------------------------------------------------------------- the machine */

static enum next begin_closing(struct work *work)
{
    struct use *use = work->use;
    use->outcome = coir_result_share(&use->told);
    use->records = coir__opened_take(&use->closing);
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
            next = coir__open_resource(work);
            break;
        case GO_ON:
            next = coir__open_go_on(work);
            break;
        case FAIL:
            next = coir__open_fail(work);
            break;
        case RELEASE:
            next = coir__release_next(work);
            break;
        case HANDLE:
            next = coir__open_handle(work);
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
        return use->fresh != NULL ? coir__acquired(work) : coir__acquired_side_by_side(work);
    case USING:
        use->outcome = work->turn->result;
        return release_down_to(work, NULL);
    case RELEASING:
        coir__release_end(work);
        coir__join_outcome(use, work->turn->result);
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
        coir__pending_free(coir__unpend(&work));
    if (use->handler != NULL)
        coir__pending_free(use->handler);
    if (use->fresh != NULL)
        coir__record_free(use->fresh);
    coir__records_free(use->records);
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

/* ------------------------------------------------------------------------------------------------------------------ ios */

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
