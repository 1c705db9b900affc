/*
 * http_client.h - HTTP GET as an io: libcurl's multi interface behind coir_async
 *
 *     struct http_client *client = http_client_new(5);
 *     coir_io *page = coir_timeout(http_get(client, "http://localhost/"), coir_seconds(10));      gives a struct http_response
 *
 * One thread drives all transfers of a client, however many there are; a fiber that waits for one blocks no thread.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <coir.h>

struct http_client;

struct http_response {
    long    status;                     /* 200, 404 ... */
    int64_t time_us;                    /* from the start of the request to the last byte */
    size_t  size;
    char   *body;                       /* `size` bytes and a NUL; NULL if there are none */
};

/* http_client_new: keeps up to so many connections open for further use. NULL when there is no memory or no thread. */
struct http_client *http_client_new(unsigned connections_max);
/* http_client_drop: after the run, when no transfer is left. NULL is harmless. */
void http_client_drop(struct http_client *client);

/* http_get: gives a struct http_response, whatever its status, and however long that takes. `url` is borrowed: it must outlive the io's runs.
 * Fails    domain "curl", code a CURLcode.
 * Cancel   closes the connection of a request that is in flight, before the fiber goes on. */
coir_io *http_get(struct http_client *client, const char *url);

/* http_accept: the response that `answer` gives, if its status is below 400; otherwise an error, domain "http", code the status. */
coir_io *http_accept(coir_io *answer);

/* http_may_pass: whether the request that failed with this error may succeed a moment later: the connection failed, it took too
 * long (a time-out of coir's, too), or the server said that it is busy or out of order (429, 500, 502, 503, 504). */
bool http_may_pass(const coir_value *error);

/* http_client_figures: how many requests are under way, and the most that were at one time. From any thread. */
struct http_figures { unsigned in_flight, in_flight_max; };
struct http_figures http_client_figures(struct http_client *client);

#endif
