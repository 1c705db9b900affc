/*
 * chat_combinators.c - shows a chat server: a fiber for each client, a broadcast for the room, in combinators
 *
 * What one client reads, all get. A client ends when its line does, in either direction: the race cancels the other half, the subscription is released, the
 * line is dropped with its owner, `struct client`.
 */
#include "chat_people.h"
#include "chat_room.h"

#include <stdlib.h>

struct client { struct room *room; coir_value line; };

static void client_drop(void *object)
{
    struct client *client = object;
    coir_drop(client->line);
    free(client);
}
static const coir_type client_type = { .name = "client", .drop = client_drop };

static coir_io *publish_line(void *env, coir_value *text)
{
    struct client *client = env;
    return room_publish(client->room, coir_stringf("%d: %s", line_of(&client->line)->number, coir_text(text)));
}

static coir_io *write_line(void *env, coir_value *text)
{
    struct client *client = env;
    return line_write(line_of(&client->line), coir_take(text));
}

static coir_io *talk(void *env, const coir_value *subscription)
{
    struct client *client = env;
    coir_io *listen = coir_for_each(line_read(line_of(&client->line)), publish_line, client);
    coir_io *speak = coir_for_each(coir_next(coir_channel_of(subscription)), write_line, client);
    return coir_then(line_write(line_of(&client->line), coir_stringf("welcome")), coir_race(COIR_IOS(listen, speak)));
}

/* The client lives until what this returns has ended: the value is lent for that long. */
static coir_io *serve_client(void *env, coir_value *value)
{
    struct client *client = value->ptr;
    (void)env;
    return coir_use(room_subscription(client->room), talk, client);
}

static coir_io *welcome(void *room, coir_value *line)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return coir_panicf("no memory");
    client->room = room;
    client->line = coir_take(line);
    return coir_as(coir_fork(coir_call(coir_own(client, &client_type), serve_client, NULL)), coir_none());
}

static coir_io *accept_all(coir_channel *listener, struct room *room)
{
    return coir_supervise(coir_for_each(coir_next(listener), welcome, room));
}

int main(void)
{
    struct room *room = room_new(64);
    coir_channel *listener = coir_channel_new(0);
    coir_io *chat = coir_both(accept_all(listener, room), coir_closing(listener, three_people(listener)));
    int status = coir_main(coir_race(COIR_IOS(room_process(room), chat)), NULL);
    coir_channel_drop(listener);
    room_drop(room);
    return status;
}
