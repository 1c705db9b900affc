/*
 * prim.h - the table of a primitive: how fibers use, and wait for, one kind of object
 *
 * The one instruction PRIM carries such a table, so the floors above add primitives (locks, sleeps, joins) that this floor and the interpreter
 * need not know; HOLD carries one that acquires, and gives back when its child has ended. Such a node has `object` and `number`, the primitive's own, and room behind them up to `size` bytes.
 */
#ifndef IO_PRIM_H
#define IO_PRIM_H

#include "io/node.h"

struct ck_spinlock_fas;
struct claimed;                                         /* sync/queue.h: fibers that are to be woken */

enum prim_step {
    PRIM_DONE,                                          /* *result says how */
    PRIM_WAIT,                                          /* attempt: arm it; arm, woken: the fiber waits */
    PRIM_PREPARE                                        /* poll alone: prepare() is to be called, and then poll() anew */
};

struct coir__run;

/* What a waiting fiber waits for, as far as its end is known. */
struct waits_for {
    uint64_t holder;                                    /* the id of the fiber that could end the wait; 0: nobody in particular */
    bool     for_fiber;                                 /* it is that fiber's end that is waited for, no object */
    const struct coir__run *run;                        /* that fiber's, or NULL, if that has ended; of an object it is the waiter's, and not said */
    uint64_t object;                                    /* the serial number of what is waited for; 0: it has none */
    const char *awaits;                                 /* what that is, if it is another thing than the primitive's own; NULL: it is not */
    bool     is_let_be;                                 /* no verdict ends it: it ends when that fiber does (cancel, race, scope) */
    bool     gives_way;                                 /* of one that is let be: in a ring of nothing else it ends at once, as OK (cancel) */
};

/*
 * How a primitive whose wait ends by taking something away (an item, a permit, a lock) takes part in an alternative: what arm() does, in pieces, so
 * that the guards of several objects can be held at once.
 */
struct coir__offer {
    struct ck_spinlock_fas *(*guard)(const coir_io *frame);
    /* begin, end: of one run of the frame, first and last: what it takes out of a shared node and gives up again. begin: false: *result says why.
     * NULL: nothing of that kind. */
    bool (*begin)(coir_io *frame, coir_result *result);
    void (*end)(coir_io *frame);
    /* poll: under the guard: does it, if that takes no waiting. Whom it wakes goes to `claimed`. */
    enum prim_step (*poll)(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed);
    /* prepare: after poll() said PRIM_PREPARE, and without the guard: makes what it needs. False: there is no memory. NULL: poll() does not say so. */
    bool (*prepare)(coir_io *frame);
    /* enqueue: under the guard, after poll() said PRIM_WAIT: registers the frame. False: nobody could ever serve it: *result says so; the object begins
     * with a struct handle. */
    bool (*enqueue)(coir_fiber *fiber, coir_io *frame, coir_result *result);
    /* settle: when the guard is free again: makes, of what poll() or enqueue() has left in *result, what it means: errors need memory. */
    void (*settle)(coir_fiber *fiber, coir_io *frame, coir_result *result);
    /* let_go: gives up one reference to the object, and nothing else of the frame. NULL: drop() does just that. */
    void (*let_go)(coir_io *frame);
};

/*
 * How one takes part in an alternative that waits for what stays as it is once it has come: an end, a moment. The place where it waits takes nothing
 * away, so it need not be the one through which the wait was claimed: whatever has come may be chosen.
 */
struct coir__event {
    bool (*has_come)(const coir_io *frame);             /* of a frame that is registered; only atomics are read */
    /* give: when it has come, and the frame was taken out by disarm(): what it gives. NULL: none. */
    void (*give)(coir_fiber *fiber, coir_io *frame, coir_result *result);
    /* arm: in place of the primitive's own, where that would take what can be had but once: registers the frame; or gives false: it has come, and give()
     * may follow. NULL: the primitive's own. */
    bool (*arm)(coir_fiber *fiber, coir_io *frame);
};

struct coir__prim {
    const char *name;                                   /* "acquire", for pictures */
    const char *holds;                                  /* "with_lock": the same in a HOLD node; NULL: none such */
    const char *awaits;                                 /* for messages: "a callback", or what is numbered: "lock" */
    const char *exposed_by;                             /* the function after which others than its run could end the wait: "coir_event_expose"; or NULL */
    size_t      size;                                   /* of its nodes, at least NODE_SIZE_OF(prim_own) */

    /* attempt: does it if that takes no waiting. `node` may be shared: it is only read, and owns what it mentions. NULL: it needs a frame.
     * arm: does it, or registers `frame`, which is the fiber's own, as a waiter, in one step: no wake-up can fall between. From then on
     *   the wait may be claimed; whoever claims it leaves the result in the fiber.
     * woken: after a wake-up, with the result that the waker left: what it means. NULL: just that.
     * arm, woken: when it is done they may have made the frame one of CHOSEN, which has nothing left of the primitive: its callback gets the result.
     * disarm: takes the frame out of every queue, after a claim by anyone but a waker; gives up what arm() allocated. */
    /* can_cancel: whether a cancellation may end the wait; only loads. NULL: yes.
     * cancel: in place of disarm, after a claim by a cancellation: the fiber cannot go on at once. It asks whom it waits for to be quick, marks the
     *   frame NODE_FINAL, so that it is not asked again, and the frame is armed anew. NULL: the wait is over as CANCELED.
     * interrupted: in place of disarm and cancel when the fiber is to go on, after a claim by anyone but a waker, with the result that this one left. Takes the frame
     *   out of every queue. DONE: *result is what has come of it. WAIT: there is something left to wait for: it has marked the frame NODE_FINAL, so that no
     *   cancellation ends that wait, and the frame is armed anew. NULL: as above. */
    enum prim_step (*attempt)(coir_fiber *fiber, const coir_io *node, coir_result *result);
    enum prim_step (*arm)(coir_fiber *fiber, coir_io *frame, coir_result *result);
    enum prim_step (*woken)(coir_fiber *fiber, coir_io *frame, coir_result *result);
    void (*disarm)(coir_fiber *fiber, coir_io *frame);
    bool (*can_cancel)(const coir_io *frame);
    void (*cancel)(coir_fiber *fiber, coir_io *frame);
    enum prim_step (*interrupted)(coir_fiber *fiber, coir_io *frame, coir_result *result);
    void (*give_back)(coir_fiber *fiber, const coir_io *frame, coir_result *result);       /* undoes it, at once: for HOLD; or NULL */
    void (*drop)(coir_io *node);                        /* gives up what the node mentions; NULL: nothing */
    const struct coir__offer *offer;                    /* how it is a case of an alternative: one of the two, or none */
    const struct coir__event *event;
    bool blocks;                                        /* it waits for a thread, which cancel() makes quick: also of a run that is stopped */
    bool arms_at_once;                                  /* where a node is its own frame, which costs nothing, arm() is as quick as attempt() */
    struct waits_for (*waits_for)(const coir_io *frame);    /* NULL: nobody in particular. Only reads atomics of the object */
};

/* prim_node: a PRIM node of `size` bytes; what is behind prim_own is not set. NULL without memory.
 * coir__prim_new: a PRIM node of prim->size bytes, zeroed behind the header. NULL without memory. */
static ALWAYS_INLINE coir_io *prim_node(const struct coir__prim *prim, size_t size, void *object, int64_t number)
{
    coir_io *node = coir__node_new(OP_PRIM, size);
    if (unlikely(node == NULL))
        return NULL;
    node->child = NULL;
    node->prim = prim;
    node->object = object;
    node->prim_own.number = number;
    node->prim_own.waiter = (struct waiter){ NULL, NULL, NULL };
    return node;
}
coir_io *coir__prim_new(const struct coir__prim *prim, void *object, int64_t number);
/* coir__hold: runs io between the primitive and its give_back(). Takes io; the object's reference only if it does not give NULL. */
coir_io *coir__hold(const struct coir__prim *prim, void *object, int64_t number, coir_io *io);
/* coir__prim_attempt: if there is an attempt(). */
static ALWAYS_INLINE enum prim_step coir__prim_attempt(coir_fiber *fiber, const coir_io *node, bool borrowed, coir_result *result)
{
    const struct coir__prim *prim = node->prim;
    return prim->attempt == NULL || (prim->arms_at_once && !borrowed) ? PRIM_WAIT : prim->attempt(fiber, node, result);
}
/* coir__prim_drop: what a node of either kind mentions. */
static inline void coir__prim_drop(coir_io *node)
{
    if (node->prim->drop != NULL)
        node->prim->drop(node);
}
/* coir__prim_new_sized: with more room than prim->size. */
coir_io *coir__prim_new_sized(const struct coir__prim *prim, size_t size, void *object, int64_t number);

#endif
