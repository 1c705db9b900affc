/*
 * channel/channel.h - the value that an io sends: in its node, and in the frames of its runs
 */
#ifndef CHANNEL_CHANNEL_H
#define CHANNEL_CHANNEL_H

#include "sync/object.h"

#include <coir/channel.h>

/* Behind the common part of the node, and of its frame. */
struct sent {
    coir_value value;                                   /* none once it is sent */
    coir_io   *node;                                    /* I: the node that carries it: in a frame of a shared one another than the frame */
};
enum { SENT_SIZE = NODE_SIZE_OF(prim_own) + sizeof(struct sent) };
static inline struct sent *sent_of(coir_io *node) { return (struct sent *)(void *)((char *)node + NODE_SIZE_OF(prim_own)); }

/* sent_put: into its node, which may be NULL: no memory. Takes the value. */
static inline coir_io *sent_put(coir_io *node, coir_value value)
{
    if (unlikely(node == NULL)) {
        coir_drop(value);
        return NULL;
    }
    coir__node_note_sole(node, &value);
    coir__set_value(&sent_of(node)->value, value);
    sent_of(node)->node = node;
    return node;
}

/* sent_begin: of a run. False: it is a value that cannot be had: *result is the panic. */
static inline bool sent_begin(coir_io *frame, coir_result *result)
{
    struct sent *sent = sent_of(frame);
    coir_io *node = sent->node;
    if (node != frame)
        coir__set_value(&sent->value, coir__value_of_shared(node, &sent_of(node)->value));
    if (likely(!coir__is_panic_value(&sent->value)))
        return true;
    *result = coir__panic_of(coir_take(&sent->value));
    return false;
}

/* sent_end: a frame that is the node itself drops with it what was not sent. */
static inline void sent_end(coir_io *frame)
{
    struct sent *sent = sent_of(frame);
    if (sent->node != frame)
        coir_drop(coir_take(&sent->value));
}

/* sent_drop: of a node that is taken apart. */
static inline void sent_drop(coir_io *node)
{
    if (!(load_relaxed(&node->refs) & NODE_TAKEN))      /* relaxed: by the last owner */
        coir_drop(sent_of(node)->value);
}

#endif
