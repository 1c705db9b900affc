/*
 * random/build.h - a random program as an io
 */
#ifndef RANDOM_BUILD_H
#define RANDOM_BUILD_H

#include "random/world.h"

coir_io *random_build(const struct program *program);
/* random_around: NULL, or what becomes of each term's io: around it, whenever it is built, its callbacks' bodies as well. */
typedef coir_io *random_around_fn(const struct term *term, coir_io *io);
extern random_around_fn *random_around;
/* random_build_main: what a main fiber runs, for which that book is opened first. Takes io. */
coir_io *random_build_main(struct book *book, coir_io *io);

#endif
