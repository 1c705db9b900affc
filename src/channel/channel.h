/*
 * channel/channel.h - what a sender's frame holds
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

#endif
