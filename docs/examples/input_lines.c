/*
 * input_lines.c - shows a thread that knows nothing of fibers and sends to them: by a channel that is exposed
 */
#include "input_lines.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { AHEAD = 16, LINE_MAX_SIZE = 4096 };

struct input_lines { pthread_t thread; coir_channel *channel; FILE *file; };

static void *read_all(void *lines_)
{
    struct input_lines *lines = lines_;
    char line[LINE_MAX_SIZE];
    bool goes_on = true;
    while (goes_on && fgets(line, sizeof line, lines->file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        coir_result sent = coir_thread_send(lines->channel, coir_stringf("%s", line));      /* waits while there is no room */
        goes_on = sent.tag == COIR_OK;
        coir_result_drop(&sent);
    }
    coir_close(lines->channel);
    return NULL;
}

struct input_lines *input_lines_new(FILE *file)
{
    struct input_lines *lines = calloc(1, sizeof *lines);
    coir_channel *channel = coir_channel_new(AHEAD);
    if (lines != NULL && coir_channel_expose(channel)) {
        lines->file = file;
        lines->channel = channel;
        if (pthread_create(&lines->thread, NULL, read_all, lines) == 0)
            return lines;
    }
    coir_channel_drop(channel);
    free(lines);
    return NULL;
}

void input_lines_drop(struct input_lines *lines)
{
    if (lines == NULL)
        return;
    coir_poison(lines->channel);                        /* so the thread's next send fails */
    pthread_join(lines->thread, NULL);
    coir_channel_drop(lines->channel);
    free(lines);
}

coir_io *input_lines_read(struct input_lines *lines) { return lines == NULL ? NULL : coir_next(lines->channel); }
