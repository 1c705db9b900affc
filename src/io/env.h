/*
 * env.h - the env that a callback of a node is handed
 *
 *     ENV_LOCAL;                                          once, where callbacks are called
 *     io = frame->suspend(ENV_OF(frame));
 *     ENV_BACK();
 *
 * Captured bytes are a callback's until it returns: the node, and they with it, may be gone when what it gave is run. That is often noticed late
 * or never, since the cell is not used again at once, or the node is shared. So the checking build hands out a copy, and overwrites it when the
 * callback has returned. Such copies are kept for a while: who reads them later reads ENV_GARBAGE, and nothing undefined happens. (With plain
 * memory they are freed, and the tools find the reader.) What the callback wrote into its copy is written back; but callbacks of concurrent
 * runs do not see each other's writes at once.
 */
#ifndef IO_ENV_H
#define IO_ENV_H

#include "io/node.h"

#ifdef COIR_CHECK

enum { ENV_GARBAGE = 0xdb };

/* coir__env_lend: the env of a node, or of its frame; or a copy of it, noted in *lent. coir__env_back: ends the loan of the copy, if there is one,
 * while the node is still there. */
void *coir__env_lend(const coir_io *node, void **lent);
void  coir__env_back(void **lent);

#define ENV_LOCAL     void *env_lent = NULL
#define ENV_OF(node)  coir__env_lend((node), &env_lent)
#define ENV_BACK()    coir__env_back(&env_lent)

#else

#define ENV_LOCAL     ((void)0)
#define ENV_OF(node)  ((node)->env)
#define ENV_BACK()    ((void)0)

#endif
#endif
