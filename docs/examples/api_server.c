/*
 * api_server.c - libmicrohttpd driven by one thread, so that nothing here needs a lock
 *
 * A request that is answered later is suspended and waits in `paused` until it is due. It is in flight from the moment that it
 * has been read until just before its answer is written: whoever has the answer is no longer counted, so a client that keeps
 * to the limit is never seen above it. For the same reason one whose client went away while it was paused no longer counts.
 */
#define _GNU_SOURCE
#include "api_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_SPREAD_US = 28000, UNAVAILABLE_PERCENT = 5 };

struct visit {                          /* one request */
    struct visit          *next;        /* in `paused` */
    struct MHD_Connection *connection;
    int64_t                due_us;
    uint64_t               random;      /* its own, so that its luck does not depend on what the others draw */
    unsigned               status;      /* what it will be answered; 0: nobody has looked at it yet */
    bool                   in_flight;
};

struct api_server {
    struct MHD_Daemon *daemon;
    pthread_t          thread;
    int                stop;            /* an eventfd, written to once */
    unsigned           allowed;
    int64_t            pause_min_us;
    unsigned           in_flight;
    uint64_t           seed;
    struct visit      *paused;
    bool               is_closing;      /* no more requests */
    struct api_figures seen;            /* read when the thread has ended */
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* SplitMix64. */
static uint64_t draw(uint64_t *random)
{
    uint64_t z = *random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ----------------------------------------------------------------------------------------------------- who is inside */

static void visit_leave(struct api_server *server, struct visit *visit)
{
    if (visit->in_flight)
        server->in_flight--;
    visit->in_flight = false;
}

static bool visit_is_abandoned(const struct visit *visit)
{
    char byte;
    int fd = MHD_get_connection_info(visit->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

/* They are due: libmicrohttpd keeps the connection of a request that is suspended, whether there is a client or not. */
static void forget_abandoned(struct api_server *server)
{
    for (struct visit *visit = server->paused; visit != NULL; visit = visit->next) {
        if (visit_is_abandoned(visit)) {
            visit_leave(server, visit);
            visit->due_us = 0;
        }
    }
}

static void visit_enter(struct api_server *server, struct visit *visit)
{
    if (server->in_flight >= server->allowed)
        forget_abandoned(server);
    visit->in_flight = true;
    server->in_flight++;
    if (server->in_flight > server->seen.in_flight_max)
        server->seen.in_flight_max = server->in_flight;
}

/* --------------------------------------------------------------------------------------------------------- a request */

static enum MHD_Result visit_answer(struct api_server *server, struct visit *visit, const char *url)
{
    char body[160];
    int size = visit->status == MHD_HTTP_OK
        ? snprintf(body, sizeof body, "{ \"path\": \"%.100s\", \"stock\": %u }\n", url, (unsigned)(draw(&visit->random) % 1000))
        : snprintf(body, sizeof body, "{ \"error\": %u }\n", visit->status);
    struct MHD_Response *response = MHD_create_response_from_buffer((size_t)size, body, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    visit_leave(server, visit);         /* Before the answer: once it is on its way the client may ask for the next. */
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    enum MHD_Result queued = MHD_queue_response(visit->connection, visit->status, response);
    MHD_destroy_response(response);
    return queued;
}

static void visit_pause(struct api_server *server, struct visit *visit)
{
    visit->due_us = now_us() + server->pause_min_us + (int64_t)(draw(&visit->random) % PAUSE_SPREAD_US);
    visit->next = server->paused;
    server->paused = visit;
    MHD_suspend_connection(visit->connection);
}

/* Called when the head of a request is there, when all of it is there, and once more when it has been resumed. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_size, void **visit_place)
{
    struct api_server *server = user;
    struct visit *visit = *visit_place;
    (void)method, (void)version, (void)data;
    if (visit == NULL) {
        visit = *visit_place = calloc(1, sizeof *visit);
        if (visit == NULL)
            return MHD_NO;
        visit->connection = connection;
        return MHD_YES;
    }
    if (*data_size > 0) {
        *data_size = 0;                 /* a body: read, and not looked at */
        return MHD_YES;
    }
    if (visit->status != 0)
        return visit_answer(server, visit, url);

    if (server->is_closing || visit_is_abandoned(visit))
        return MHD_NO;                  /* closes the connection */
    visit->random = server->seed + server->seen.requests++;
    visit->random = draw(&visit->random);
    visit_enter(server, visit);
    if (server->in_flight > server->allowed) {
        server->seen.too_many++;
        visit->status = MHD_HTTP_TOO_MANY_REQUESTS;
        return visit_answer(server, visit, url);
    }
    bool unavailable = draw(&visit->random) % 100 < UNAVAILABLE_PERCENT;
    server->seen.unavailable += unavailable;
    visit->status = unavailable ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
    visit_pause(server, visit);
    return MHD_YES;
}

static void on_completed(void *user, struct MHD_Connection *connection, void **visit_place, enum MHD_RequestTerminationCode how)
{
    (void)connection, (void)how;
    if (*visit_place != NULL)
        visit_leave(user, *visit_place);
    free(*visit_place);
    *visit_place = NULL;
}

/* -------------------------------------------------------------------------------------------------------- the thread */

/* Resumes what is due at `now`. Gives for how long the daemon has nothing to do, in milliseconds; -1: until something comes. */
static int resume_due(struct api_server *server, int64_t now)
{
    int64_t wait_us = INT64_MAX;
    for (struct visit **link = &server->paused; *link != NULL; ) {
        struct visit *visit = *link;
        int64_t left_us = visit->due_us - now;
        if (left_us <= 0) {
            *link = visit->next;
            MHD_resume_connection(visit->connection);
            wait_us = 0;                /* The daemon has it to answer now, and does not say so in MHD_get_timeout(). */
            continue;
        }
        if (left_us < wait_us)
            wait_us = left_us;
        link = &visit->next;
    }
    return wait_us == INT64_MAX ? -1 : (int)((wait_us + 999) / 1000);
}

static void *server_run(void *user)
{
    struct api_server *server = user;
    struct pollfd ready[2] = {
        { .fd = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, .events = POLLIN },
        { .fd = server->stop, .events = POLLIN }
    };
    while (!(ready[1].revents & POLLIN)) {
        MHD_run(server->daemon);
        int wait_ms = resume_due(server, now_us());
        MHD_UNSIGNED_LONG_LONG daemon_ms;
        if (MHD_get_timeout(server->daemon, &daemon_ms) == MHD_YES && (wait_ms < 0 || daemon_ms < (unsigned)wait_ms))
            wait_ms = (int)daemon_ms;
        poll(ready, 2, wait_ms);
    }
    server->is_closing = true;
    resume_due(server, INT64_MAX);      /* libmicrohttpd does not stop while a request is suspended. */
    MHD_run(server->daemon);
    return NULL;
}

struct api_server *api_server_new(unsigned in_flight_max, unsigned latency_ms, uint64_t seed)
{
    struct sockaddr_in loopback = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct api_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return NULL;
    server->allowed = in_flight_max;
    server->pause_min_us = (int64_t)latency_ms * 1000;
    server->seed = draw(&seed);         /* Scattered: 1 and 2 would give the same luck, one request later. */
    server->stop = eventfd(0, EFD_CLOEXEC);
    if (server->stop >= 0) {
        server->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, server,
                                          MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&loopback,
                                          MHD_OPTION_CONNECTION_LIMIT, 2 * in_flight_max + 64,
                                          MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_END);
        if (server->daemon != NULL) {
            errno = pthread_create(&server->thread, NULL, server_run, server);
            if (errno == 0)
                return server;
            MHD_stop_daemon(server->daemon);
        }
        close(server->stop);
    }
    free(server);
    return NULL;
}

unsigned api_server_port(const struct api_server *server)
{
    return MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

struct api_figures api_server_stop(struct api_server *server)
{
    eventfd_write(server->stop, 1);
    pthread_join(server->thread, NULL);
    MHD_stop_daemon(server->daemon);
    close(server->stop);
    struct api_figures seen = server->seen;
    free(server);
    return seen;
}
