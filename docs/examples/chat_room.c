/*
 * chat_room.c - shows a broadcast made of channels: a process that owns the list of subscribers
 *
 * Nobody else touches that list, so there is no lock. Who leaves poisons the channel of his subscription; the room finds that out by the next message,
 * and nobody waits for anybody.
 */
#include "chat_room.h"

#include <stdlib.h>

/* ------------------------------------------------------------------------------------------------------------ a room */

enum { ROOM_MAX = 64 };

struct room { coir_channel *joining, *messages; size_t capacity; };

struct room *room_new(size_t capacity)
{
    struct room *room = calloc(1, sizeof *room);
    if (room != NULL)
        *room = (struct room){ coir_channel_new(0), coir_channel_new(0), capacity };
    return room;
}

void room_drop(struct room *room)
{
    if (room == NULL)
        return;
    coir_channel_drop(room->joining);
    coir_channel_drop(room->messages);
    free(room);
}

struct members { struct room *room; size_t which, count, told; coir_value message, channels[ROOM_MAX]; };

static coir_io *next_event(struct members *my)
{
    return coir_select(&my->which, COIR_CASES(coir_on(coir_receive(my->room->joining), NULL, NULL), coir_on(coir_receive(my->room->messages), NULL, NULL)));
}

static void leave(struct members *my, size_t i)
{
    coir_drop(my->channels[i]);
    my->channels[i] = my->channels[--my->count];
}

static coir_io *room_step(coir_routine *self)
{
    COIR_BEGIN(self, struct members, my);
    for (;;) {
        COIR_AWAIT(next_event(my));
        if (my->which == 0 && my->count == ROOM_MAX)
            coir_poison(coir_channel_of(&self->result.value));
        else if (my->which == 0)
            my->channels[my->count++] = coir_take(&self->result.value);
        else {
            coir_put(&my->message, coir_take(&self->result.value));
            for (my->told = 0; my->told < my->count; ) {
                COIR_TRY(coir_send(coir_channel_of(&my->channels[my->told]), coir_share(&my->message)));
                if (self->result.tag == COIR_OK)
                    my->told++;
                else
                    leave(my, my->told);
            }
        }
    }
    COIR_FINALLY;
    coir_drop(my->message);
    while (my->count > 0)
        leave(my, my->count - 1);
    COIR_END;
}

coir_io *room_process(struct room *room) { return room == NULL ? NULL : coir_do(room_step, COIR_ENV(struct members, .room = room)); }

coir_io *room_publish(struct room *room, coir_value message) { return coir_send(room->messages, message); }

static coir_io *join(void *room_)
{
    struct room *room = room_;
    coir_value channel = coir_channel_value(coir_channel_new(room->capacity));
    coir_io *send = coir_send(room->joining, coir_share(&channel));
    return coir_as(coir_cancelable(send), channel);
}

static coir_io *unsubscribe(void *env, coir_value *channel, const coir_result *outcome)
{
    (void)env;
    (void)outcome;
    coir_poison(coir_channel_of(channel));
    return coir_unit();
}

coir_resource *room_subscription(struct room *room) { return coir_resource_new(coir_suspend(join, room), unsubscribe, NULL); }

/* ------------------------------------------------------------------------------------------------------------ a line */

enum { LINE_ROOM = 4 };

static void line_drop(void *line_)
{
    struct line *line = line_;
    coir_close(line->out);
    coir_poison(line->in);
    coir_channel_drop(line->in);
    coir_channel_drop(line->out);
    free(line);
}
const coir_type line_type = { .name = "line", .drop = line_drop };

static coir_value line_new(coir_channel *in, coir_channel *out, int number)
{
    struct line *line = malloc(sizeof *line);
    if (line == NULL)
        return coir_panic_value("no memory");
    *line = (struct line){ coir_channel_ref(in), coir_channel_ref(out), number };
    return coir_own(line, &line_type);
}

coir_io *line_read(struct line *line)                   { return coir_next(line->in); }
coir_io *line_write(struct line *line, coir_value text) { return coir_send(line->out, text); }

coir_io *line_connect(coir_channel *listener, int number)
{
    coir_channel *there = coir_channel_new(LINE_ROOM), *back = coir_channel_new(LINE_ROOM);
    coir_value theirs = line_new(there, back, number), ours = line_new(back, there, number);
    coir_channel_drop(there);
    coir_channel_drop(back);
    return coir_as(coir_send(listener, theirs), ours);
}
