/*
 * http_client.h - HTTP GET as an io: libcurl's multi interface behind coir_async
 *
 *     struct http_client *client = http_client_new(&(struct http_options){ .timeout_ms = 10000 });
 *     coir_io *page = http_get(client, "http://localhost/");          gives a struct http_response
 *
 * One thread drives all transfers of a client, however many there are; a fiber that waits for one blocks no thread.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <coir.h>

struct http_client;

struct http_options {
    long timeout_ms;                    /* of a request, from its start to the last byte; 0: none */
    long connections_max;               /* kept open for further use; 0: as libcurl likes */
};

struct http_response {
    long    status;                     /* 200, 404 ... */
    int64_t time_us;                    /* from the start of the request to the last byte */
    size_t  size;
    char   *body;                       /* `size` bytes and a NUL; NULL if there are none */
};

/* Codes of errors whose domain is "http_client". */
enum {
    HTTP_INTERRUPTED = 1,               /* called off in flight by http_client_interrupt() */
    HTTP_NOT_STARTED = 2                /* asked for after it */
};

/* http_client_new: NULL when there is no memory or no thread. Options are copied. */
struct http_client *http_client_new(const struct http_options *options);
/* http_client_drop: after the run, when no transfer is left. NULL is harmless. */
void http_client_drop(struct http_client *client);

/* http_get: gives a struct http_response, whatever its status. `url` is borrowed: it must outlive the io's runs.
 * Fails    domain "curl", code a CURLcode; domain "http_client" with the codes above. */
coir_io *http_get(struct http_client *client, const char *url);

/* http_accept: the response that `answer` gives, if its status is below 400; otherwise an error, domain "http", code the status. */
coir_io *http_accept(coir_io *answer);

/* http_may_pass: whether the request that failed with this error may succeed a moment later: the connection failed, it took too
 * long, or the server said that it is busy or out of order (429, 500, 502, 503, 504). */
bool http_may_pass(const coir_value *error);

/* http_client_interrupt: calls off what is in flight and refuses what comes later, for good. From any thread, but not from a
 * signal handler. */
void http_client_interrupt(struct http_client *client);

/* http_client_in_flight_max: the most requests that were under way at one time. */
unsigned http_client_in_flight_max(struct http_client *client);

#endif
