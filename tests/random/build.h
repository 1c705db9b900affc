/*
 * random/build.h - a random program as an io
 */
#ifndef RANDOM_BUILD_H
#define RANDOM_BUILD_H

#include "random/world.h"

coir_io *random_build(const struct program *program);
/* random_build_main: what a main fiber runs, for which that book is opened first. Takes io. */
coir_io *random_build_main(struct book *book, coir_io *io);

#endif
