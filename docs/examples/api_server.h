/*
 * api_server.h - an API to try a client on: slow, sometimes down, and strict about how many may ask at a time
 *
 *     struct api_server *server = api_server_new(5, 2, 1);    at most five requests at a time; after 2 ms or more; the seed of its moods
 *     ... GET http://127.0.0.1:<api_server_port(server)>/items/17
 *     struct api_figures seen = api_server_stop(server);
 *
 * It answers after a pause of `latency_ms` and up to 28 ms more, with 503 to one request in twenty, and at once with 429 to a request that comes
 * while as many as it allows are being answered. It listens on loopback, at a port that the system chose, and runs on a
 * thread of its own.
 */
#ifndef API_SERVER_H
#define API_SERVER_H

#include <stdint.h>

struct api_server;

struct api_figures {                    /* what the server saw */
    unsigned in_flight_max;             /* the most requests at one time, those that were refused included */
    uint64_t requests;
    uint64_t too_many;                  /* answered with 429 */
    uint64_t unavailable;               /* answered with 503 */
};

/* api_server_new: NULL with errno when it cannot be started. The same seed gives the n-th request the same pause and the same luck. */
struct api_server *api_server_new(unsigned in_flight_max, unsigned latency_ms, uint64_t seed);
unsigned           api_server_port(const struct api_server *server);
struct api_figures api_server_stop(struct api_server *server);

#endif
