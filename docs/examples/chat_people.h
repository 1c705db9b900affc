/*
 * chat_people.h - the people who use a chat, to show that it works
 */
#ifndef CHAT_PEOPLE_H
#define CHAT_PEOPLE_H

#include "chat_room.h"

/* Three people connect; when each was welcomed they talk, and hear what is said, until nothing more comes; then they hang up. */
coir_io *three_people(coir_channel *listener);

#endif
