/*
 * interruption.h - SIGINT and SIGTERM as an io: who is interrupted loses a race
 *
 *     interruptions_block();                                          before there is another thread
 *     struct interruption watch = { 0 };
 *     coir_result result = coir_run(coir_race(COIR_IOS(work, interruption(&watch))), NULL);
 *     ... what is left to do, perhaps with what there is so far ...
 *     interruption_end(&watch);
 */
#ifndef INTERRUPTION_H
#define INTERRUPTION_H

#include <coir.h>

#include <pthread.h>

struct interruption { pthread_t thread; bool is_watched; coir_callback k; };      /* zeroed, and then left alone */

/* interruptions_block: from now on they are for whoever asks for them here. Threads inherit it. */
void interruptions_block(void);
/* interruptions_await: blocks the thread until there is one. */
void interruptions_await(void);

/* interruption: ends with true when there is one; to be run once. From then on, or when it has been canceled, the next one ends the process,
 * until interruption_end(). */
coir_io *interruption(struct interruption *watch);
void     interruption_end(struct interruption *watch);

#endif
