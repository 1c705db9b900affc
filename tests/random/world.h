/*
 * random/world.h - what the callbacks of a random program share while it runs: things that are counted, books that are written, a foreign
 * thread
 *
 * One program runs at a time in a process.
 */
#ifndef RANDOM_WORLD_H
#define RANDOM_WORLD_H

#include "random/program.h"

#include <coir.h>

#include <pthread.h>
#include <stdatomic.h>

/* What a fiber noted, and the books of those that it forked, in the order in which it did. Written by its fiber alone. */
struct book { struct text trace; struct book *kids, **kids_end, *next; int64_t clock; };

/* What several fibers must not do at once. Under the object, but for what is atomic. */
struct guarded { atomic_int inside, tries_sum; int entered, tries, depth; uint64_t holder; };

enum { WORLD_FIBERS_MAX = 400 };

struct world {
    const struct program *program;
    pthread_mutex_t lock;                               /* of the next five */
    struct arena arena;
    struct { uint64_t id; struct book *book; } fibers[WORLD_FIBERS_MAX];
    size_t       fibers_count;
    bool         is_mute;                               /* nobody keeps a book */
    struct text  wrong, unseen[WORLD_FIBERS_MAX];
    size_t       unseen_count;
    atomic_int   alive, born, owned;                    /* things, those that callbacks bore, and what ios own */
    coir_lock   *locks[OBJECTS];
    coir_semaphore *semaphores[OBJECTS], *closed;       /* of the last nobody gets a permit */
    coir_key    *keys[KEYS];
    struct guarded guarded[OBJECTS];
};
extern struct world world;

void  world_begin(const struct program *program);
void  world_end(void);
/* world_alloc: zeroed, until the end of the program. From any thread, as all below. */
void *world_alloc(size_t size);
/* world_wrong: something happened that no schedule allows. */
void  world_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ------------------------------------------------------------------------------------------------------------- values */

extern const coir_type world_thing_type, world_sole_type;           /* the second cannot be shared */

/* world_thing: `is_born`: by a callback: it is counted until it dies, see random/build.c. */
coir_value world_thing(const coir_type *type, int number, bool is_born);
coir_value world_pair(coir_value first, coir_value second);         /* a list of the two */
coir_value world_make(struct plan plan, bool is_born);
/* world_uncount: from now on the moment at which the things in it die is not determined. */
void       world_uncount(const coir_value *value);
int64_t    world_number(const coir_value *value);                   /* what a program can make of any value */
void       world_add_result(struct text *text, const coir_result *result);

/* -------------------------------------------------------------------------------------------------------------- books */

struct book *world_book(struct book *parent);
void         world_open(struct book *book);                         /* for the fiber for which this callback runs */
struct book *world_book_here(void);                                 /* its book; NULL for fibers that only help */
/* world_tell: notes that this term's callback was lent that value. */
void world_tell(const struct term *term, const coir_value *value);
void world_tell_seen(const struct term *term, const coir_value *value, const coir_value *context);
void world_tell_result(const struct term *term, const coir_result *result);
void world_tell_nothing(const struct term *term);
void world_tell_end(const coir_result *result);                     /* what a child ends with */

/* -------------------------------------------------------------------------------------------------------------- gates */

/* What passes a gate waits, uncancelable, until each of its guests has been announced: once each, by itself or when what it runs is gone. */
struct gate { unsigned left; bool is_waited_for; coir_callback waiting; };
struct guest { struct gate *gate; atomic_bool is_announced; };
struct gate  *world_gate(unsigned guests);
struct guest *world_guest(struct gate *gate);
void          world_announce(struct guest *guest);                  /* NULL is harmless */
coir_io      *world_pass(struct gate *gate);
/* world_as_guest: io, which announces the guest when it goes at the latest. */
coir_io      *world_as_guest(struct guest *guest, coir_io *io);

/* ------------------------------------------------------------------------------------------------------ foreign callers */

/* world_send_afar: a thread that is not coir's will resume k, once, or twice in vain; where the run is simulated, which such a thread would
 * make another each time, this one does. world_end_afar: waits until it has. */
void world_send_afar(coir_callback k, coir_result result, bool twice);
void world_end_afar(void);

#endif
