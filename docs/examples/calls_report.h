/*
 * calls_report.h - what bounded_api_calls tells: how far it is, and at the end how it went
 */
#ifndef CALLS_REPORT_H
#define CALLS_REPORT_H

#include "api_server.h"
#include "http_client.h"

#include <coir.h>

/* One call, from its first try to its end. Its own fiber writes it. */
struct call {
    const char *url;
    unsigned    tries;                  /* requests that were begun */
    bool        succeeded;
    long        status;                 /* of the last answer; 0: there was none */
    int64_t     latency_us;             /* of that answer, from the request to its last byte */
    size_t      bytes;
    coir_value  failure;                /* a coir_error; none if it succeeded, or was called off */
};

struct calls_summary {
    const struct call *calls;
    size_t             count;
    unsigned           in_flight_max;   /* as the client saw it */
    const struct api_figures *server;   /* NULL: not our own server */
    double             seconds;
};

void report_table(FILE *out, const struct calls_summary *summary);
void report_server(FILE *out, const struct api_figures *server);        /* its lines of the table */
/* report_tsv: a line a call, in their order. A tab or the like inside a field is written as a percent sign and two digits. */
void report_tsv(FILE *out, const struct call *calls, size_t count);

/*
 * Progress on stderr: a bar that moves where it is a terminal, otherwise a line a second.
 * progress_beside: calls, with a fiber beside it that shows how far they are until it has ended.
 */
struct progress;
struct progress *progress_new(size_t count, struct http_client *client);       /* NULL: no memory. Borrows the client */
void     progress_drop(struct progress *progress);
void     progress_end(struct progress *progress, bool succeeded);      /* from any fiber: a call has ended */
coir_io *progress_beside(struct progress *progress, coir_io *calls);

#endif
