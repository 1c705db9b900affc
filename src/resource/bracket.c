/*
 * bracket.c - acquire, use, release, in one frame: what coir_use() of a resource that is made of nothing else comes to
 *
 * Brackets are frequent, and most resources that are used are single ones made on the spot: so they need neither the resource, nor a record of what was
 * acquired. What use.c says of a resource holds here too; the frame's own phases are the same.
 */
#include "fiber/cancel.h"
#include "resource/use.h"

/* Behind the head of the node, whose object is the io that acquires; in a frame NULL, or borrowed. */
struct bracket {
    coir_use_fn     *use;
    coir_release_fn *release;
    void            *env;
    /* Of a frame. */
    uint32_t         phase, floor;
    coir_value       held;                              /* from USING on */
    coir_result      outcome;                           /* RELEASING */
};

enum { BRACKET_SIZE = NODE_SMALL + sizeof(struct bracket) };

static struct bracket *bracket_of(coir_io *node) { return (struct bracket *)(void *)((char *)node + NODE_SMALL); }

static enum machine_way bracket_begin(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    bracket_of(frame)->phase = ACQUIRING;
    fiber->mask++;
    turn->io = frame->object;
    turn->borrowed = frame->flags & NODE_BORROWED;
    frame->object = NULL;
    return MACHINE_RUNS;
}

static enum machine_way bracket_over(struct bracket *bracket, struct machine_turn *turn)
{
    coir_drop(bracket->held);
    turn->result = bracket->outcome;
    return MACHINE_IS_OVER;
}

static enum machine_way bracket_release(coir_fiber *fiber, struct bracket *bracket, struct machine_turn *turn)
{
    bracket->phase = RELEASING;
    bracket->floor = final_enter(fiber);
    turn->io = bracket->release(bracket->env, &bracket->held, &bracket->outcome);
    turn->borrowed = false;
    if (likely(turn->io != NULL))
        return MACHINE_RUNS;
    final_leave(fiber, bracket->floor);
    bracket->outcome = coir_result_and(bracket->outcome, resource_gave_null("release"));
    return bracket_over(bracket, turn);
}

static enum machine_way bracket_use(coir_fiber *fiber, struct bracket *bracket, struct machine_turn *turn)
{
    fiber->mask--;
    if (unlikely(turn->result.tag != COIR_OK))
        return MACHINE_IS_OVER;
    bracket->phase = USING;
    coir__set_value(&bracket->held, turn->result.value);
    turn->io = bracket->use(bracket->env, &bracket->held);
    turn->borrowed = false;
    if (likely(turn->io != NULL))
        return MACHINE_RUNS;
    bracket->outcome = resource_gave_null("coir_bracket");
    return bracket_release(fiber, bracket, turn);
}

static enum machine_way bracket_given(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    struct bracket *bracket = bracket_of(frame);
    switch ((enum phase)bracket->phase) {
    case ACQUIRING:
        return bracket_use(fiber, bracket, turn);
    case USING:
        coir__set(&bracket->outcome, &turn->result);
        return bracket_release(fiber, bracket, turn);
    case RELEASING:
        final_leave(fiber, bracket->floor);
        if (unlikely(turn->result.tag != COIR_OK))
            bracket->outcome = coir_result_and(bracket->outcome, turn->result);
        else
            coir_result_drop(&turn->result);
        return bracket_over(bracket, turn);
    }
    unreachable();
}

static void bracket_empty(coir_fiber *fiber, coir_io *frame)
{
    struct bracket *bracket = bracket_of(frame);
    (void)fiber;
    if (bracket->phase != ACQUIRING)
        coir_drop(bracket->held);
    if (bracket->phase == RELEASING)
        coir_result_drop(&bracket->outcome);
}

static void bracket_drop(coir_io *node)
{
    if (node->object != NULL)
        coir_io_drop(node->object);
}

static const struct coir__machine bracket_machine = {
    .name = "bracket", .begin = bracket_begin, .given = bracket_given, .empty = bracket_empty, .drop = bracket_drop
};

coir_io *coir_bracket(coir_io *acquire, coir_use_fn *use, coir_release_fn *release, void *env)
{
    if (acquire == NULL)
        return NULL;
    if (use == NULL || release == NULL) {
        coir_io_drop(acquire);
        return coir__bad_argument("coir_bracket", use == NULL ? "use is NULL" : "release is NULL");
    }
    coir_io *node = coir__node_new(OP_MACHINE, BRACKET_SIZE);
    if (node == NULL) {
        coir_io_drop(acquire);
        return NULL;
    }
    node->child = NULL;
    node->machine = &bracket_machine;
    node->object = acquire;
    bracket_of(node)->use = use;
    bracket_of(node)->release = release;
    bracket_of(node)->env = env;
    return node;
}
