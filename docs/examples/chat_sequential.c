/*
 * chat_sequential.c - the server of chat_combinators.c in sequential notation
 *
 * COIR_HOLD acquires for the rest of the routine. What a frame owns is released in COIR_FINALLY, on every way out.
 */
#include "chat_people.h"
#include "chat_room.h"

struct listen { struct room *room; struct line *line; };

static coir_io *listen_step(coir_routine *self)
{
    COIR_BEGIN(self, struct listen, my);
    for (;;) {
        COIR_AWAIT(line_read(my->line));
        if (coir_is_none(&self->result.value))
            break;
        COIR_AWAIT(room_publish(my->room, coir_stringf("%d: %s", my->line->number, coir_text(&self->result.value))));
    }
    COIR_END;
}

struct speak { struct line *line; coir_channel *messages; };

static coir_io *speak_step(coir_routine *self)
{
    COIR_BEGIN(self, struct speak, my);
    for (;;) {
        COIR_AWAIT(coir_receive(my->messages));
        COIR_AWAIT(line_write(my->line, coir_take(&self->result.value)));
    }
    COIR_END;
}

struct client { struct room *room; struct line *line; coir_value subscription; };

static coir_io *client_step(coir_routine *self)
{
    COIR_BEGIN(self, struct client, my);
    COIR_HOLD(my->subscription, room_subscription(my->room));
    COIR_AWAIT(line_write(my->line, coir_stringf("welcome")));
    COIR_AWAIT(coir_race(COIR_IOS(
        coir_do(listen_step, COIR_ENV(struct listen, .room = my->room, .line = my->line)),
        coir_do(speak_step, COIR_ENV(struct speak, .line = my->line, .messages = coir_channel_of(&my->subscription))))));
    COIR_END;
}

static coir_io *serve(void *room, coir_value *line)             /* lent: hung up when the client's routine has ended */
{
    return coir_do(client_step, COIR_ENV(struct client, .room = room, .line = line_of(line)));
}

struct server { struct room *room; coir_channel *listener; };

static coir_io *server_step(coir_routine *self)
{
    COIR_BEGIN(self, struct server, my);
    for (;;) {
        COIR_AWAIT(coir_next(my->listener));
        if (coir_is_none(&self->result.value))
            break;
        COIR_AWAIT(coir_fork(coir_call(coir_take(&self->result.value), serve, my->room)));
    }
    COIR_END;
}

int main(void)
{
    struct room *room = room_new(64);
    coir_channel *listener = coir_channel_new(0);
    coir_io *server = coir_do(server_step, COIR_ENV(struct server, .room = room, .listener = listener));
    coir_io *chat = coir_both(coir_supervise(server), coir_closing(listener, three_people(listener)));
    int status = coir_main(coir_race(COIR_IOS(room_process(room), chat)), NULL);
    coir_channel_drop(listener);
    room_drop(room);
    return status;
}
