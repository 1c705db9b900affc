/*
 * coir.h - all of coir: an effect runtime for C. A program is a value, a tree of instructions, run later by fibers on a pool of threads.
 */
#ifndef COIR_H
#define COIR_H

#define COIR_VERSION_MAJOR 0
#define COIR_VERSION_MINOR 1
#define COIR_VERSION_PATCH 0
#define COIR_VERSION       "0.1.0"

#include <coir/async.h>
#include <coir/broadcast.h>
#include <coir/channel.h>
#include <coir/csp.h>
#include <coir/do.h>
#include <coir/fiber.h>
#include <coir/io.h>
#include <coir/pipe.h>
#include <coir/queue.h>
#include <coir/resource.h>
#include <coir/runtime.h>
#include <coir/sim.h>
#include <coir/sync.h>
#include <coir/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* coir_version: of the library that the program runs with, as COIR_VERSION is of the one that it was compiled with. Static. */
COIR_API const char *coir_version(void);

#ifdef __cplusplus
}
#endif
#endif
