/*
 * chat_people.c - people in a chat, at the other end of the line
 *
 * Each talks and listens at once: who would only listen when he has said all stands in everybody's way as soon as his line is full.
 */
#include "chat_people.h"

#include <string.h>

enum { PEOPLE = 3, SAYINGS = 20, HEARD = PEOPLE * SAYINGS };

struct talk { struct line *line; int said; };

static coir_io *talk_step(coir_routine *self)
{
    COIR_BEGIN(self, struct talk, my);
    for (; my->said < SAYINGS; my->said++)
        COIR_AWAIT(line_write(my->line, coir_stringf("saying %d", my->said)));
    COIR_END;
}

/* Gives whom it has heard, a digit for each saying; an x for one that does not come in its speaker's order. */
struct listen { struct line *line; int heard, next[PEOPLE]; char whom[HEARD + 1]; };

static coir_io *listen_step(coir_routine *self)
{
    COIR_BEGIN(self, struct listen, my);
    for (; my->heard < HEARD; my->heard++) {
        COIR_AWAIT(line_read(my->line));
        int who = -1, what = -1;
        sscanf(coir_text(&self->result.value), "%d: saying %d", &who, &what);
        my->whom[my->heard] = who >= 0 && who < PEOPLE && my->next[who]++ == what ? (char)('0' + who) : 'x';
    }
    COIR_RETURN(coir_stringf("%s", my->whom));
    COIR_END;
}

struct person { coir_channel *listener; coir_barrier *all_here; int number; coir_value line; };

static coir_io *person_step(coir_routine *self)
{
    COIR_BEGIN(self, struct person, my);
    COIR_AWAIT(line_connect(my->listener, my->number));
    my->line = coir_take(&self->result.value);
    COIR_AWAIT(line_read(line_of(&my->line)));                  /* the welcome: from now on nothing is missed */
    COIR_AWAIT(coir_barrier_wait(my->all_here));
    COIR_AWAIT(coir_both(coir_do(talk_step, COIR_ENV(struct talk, .line = line_of(&my->line))),
                         coir_do(listen_step, COIR_ENV(struct listen, .line = line_of(&my->line)))));
    COIR_RETURN(coir_share(coir_list_at(&self->result.value, 1)));
    COIR_FINALLY;
    coir_drop(my->line);                                        /* hangs up */
    COIR_END;
}

static void compare(void *env, const coir_value *all)
{
    const char *first = coir_text(coir_list_at(all, 0));
    (void)env;
    for (size_t i = 0; i < coir_list_size(all); i++) {
        const char *whom = coir_text(coir_list_at(all, i));
        printf("person %zu heard %zu sayings%s%s\n", i, strlen(whom), strchr(whom, 'x') == NULL ? ", each speaker's in order" : "",
               strcmp(whom, first) == 0 ? ", the same as all" : "");
    }
}

static void drop_barrier(void *barrier) { coir_barrier_drop(barrier); }

coir_io *three_people(coir_channel *listener)
{
    coir_barrier *all_here = coir_barrier_new(PEOPLE);
    coir_io *people[PEOPLE];
    for (int i = 0; i < PEOPLE; i++)
        people[i] = coir_do(person_step, COIR_ENV(struct person, .listener = listener, .all_here = all_here, .number = i));
    coir_io *all = coir_tap(coir_par_zip(PEOPLE, people), compare, NULL);
    return coir_owns(all, all_here, drop_barrier);
}
