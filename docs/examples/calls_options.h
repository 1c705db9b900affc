/*
 * calls_options.h - the command line of bounded_api_calls
 */
#ifndef CALLS_OPTIONS_H
#define CALLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct calls_options {
    size_t      calls;                  /* to its own server */
    unsigned    limit;                  /* requests in flight at most */
    const char *file;                   /* NULL: its own server; "-": standard input */
    unsigned    retries_max;            /* of one call */
    unsigned    timeout_ms;             /* of one request */
    unsigned    latency_ms;             /* of its own server, at least */
    unsigned    workers;                /* 0: one a processor */
    uint64_t    seed;
    bool        tsv, quiet;
    bool        serve;                  /* be the server, and call nobody */
};

struct url_list { char **urls; size_t count; };

/* calls_options_read: ends the program when there is nothing to do: --help, --version (status 0), bad usage (status 2). */
struct calls_options calls_options_read(int argc, char **argv);

/* url_list_read: a URL a line; empty lines and those that begin with # are skipped. Says on stderr why it gives false. */
bool url_list_read(struct url_list *list, const char *file);
/* url_list_make: http://127.0.0.1:<port>/items/1 and so on. false: no memory. */
bool url_list_make(struct url_list *list, size_t count, unsigned port);
void url_list_drop(struct url_list *list);

#endif
