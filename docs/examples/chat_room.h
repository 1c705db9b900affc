/*
 * chat_room.h - a room in which everybody hears everything, and the lines by which people reach it, made of channels
 *
 * Sockets, and coir_broadcast, are no part of coir yet. So a client's line is a pair of channels, and the room is a process that hands each message to all who
 * are subscribed. What is said stands in room_step(): one alternative.
 */
#ifndef CHAT_ROOM_H
#define CHAT_ROOM_H

#include <coir.h>

/* ------------------------------------------------------------------------------------------------------------ a room */

struct room;
struct room *room_new(size_t capacity);                 /* how many messages may wait for each subscriber before all wait for him; NULL: no memory */
void room_drop(struct room *room);
/* Its process, which goes on until it is canceled: one for each room. */
coir_io *room_process(struct room *room);
coir_io *room_publish(struct room *room, coir_value message);
/* Holds a channel of what is published meanwhile. There is room for 64; a further one is poisoned at once. */
coir_resource *room_subscription(struct room *room);

/* ------------------------------------------------------------------------------------------------------------ a line */

/* Each end of a line reads what the other one writes. Dropping an end hangs up: who reads comes to the end, who writes fails. */
struct line { coir_channel *in, *out; int number; };
extern const coir_type line_type;
static inline struct line *line_of(const coir_value *value) { return coir_cast(value, &line_type); }

coir_io *line_read(struct line *line);                  /* none when the other end has hung up, and all is read */
coir_io *line_write(struct line *line, coir_value text);
/* line_connect: makes a line, sends one end of it to who accepts, and gives the other. */
coir_io *line_connect(coir_channel *listener, int number);

#endif
