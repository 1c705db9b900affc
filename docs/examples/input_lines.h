/*
 * input_lines.h - the lines of a file in a channel, read by a thread
 *
 * Descriptors on which fibers wait are no part of coir yet. A thread that reads and sends does until they are; what it cannot do is stop in the middle of a
 * read: so input_lines_drop() waits until a line has come, or the end.
 */
#ifndef INPUT_LINES_H
#define INPUT_LINES_H

#include <coir.h>

struct input_lines;
struct input_lines *input_lines_new(FILE *file);        /* NULL: no memory, or no thread */
void input_lines_drop(struct input_lines *lines);
/* A string without its newline; none at the end. */
coir_io *input_lines_read(struct input_lines *lines);

#endif
