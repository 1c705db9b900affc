/*
 * share.h - the tests shared out among processes, each of which takes the next one when it has done with one
 */
#ifndef CHECK_SHARE_H
#define CHECK_SHARE_H

#include <stdbool.h>

/* share_out: has so many processes call run, and waits for them. One that crashes has failed in a test; what the others, and it before, have counted
 * stays counted. */
void share_out(unsigned processes, void (*run)(void));

/* share_takes: whether the calling process is the one for the test of that index; asked of each, in order. Where nothing is shared: true. */
bool share_takes(unsigned index);

/* share_count: a test that has passed or failed. share_passed, share_failed: how many have, in all processes. */
void     share_count(bool passed);
unsigned share_passed(void);
unsigned share_failed(void);

#endif
