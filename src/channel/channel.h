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

/* coir__sent_put: gives the node its value; both are taken. A node that is NULL drops it. */
coir_io *coir__sent_put(coir_io *node, coir_value value);
/* coir__sent_begin: of a run: the frame has the value. False: it cannot be had: *result is the panic. coir__sent_end: a frame gives up what was not sent;
 * one that is the node itself drops that with it, by coir__sent_drop(). */
bool coir__sent_begin(coir_io *frame, coir_result *result);
void coir__sent_end(coir_io *frame);
void coir__sent_drop(coir_io *node);

#endif
