/*
 * http_client.c - shows how a callback API of somebody else becomes a plain call
 *
 * One thread, the driver, owns the curl multi handle. A worker that starts a transfer hangs it into `arrived` and wakes the
 * driver, which takes it over into `running` and resumes its fiber when curl has ended it.
 *
 * coir_async gives every run its own zeroed `struct transfer`, which stays where it is until coir_resume(): so there is no
 * malloc for it, no reference count, and no question of who frees it.
 *
 *     L  under `mutex`        D  the driver's alone        I  set before the driver starts, then only read
 */
#include "http_client.h"

#include <curl/curl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct http_request { struct http_client *client; const char *url; };   /* env: what to do, the same for all runs of the io */

struct transfer {                                   /* op: one run */
    struct transfer      *next;                     /* L in `arrived`, D in `running` */
    struct transfer     **link;                     /* D what points here */
    CURL                 *easy;
    coir_callback         k;
    struct http_response *response;
};

struct http_client {
    struct http_options options;                    /* I */
    CURLM              *multi;                      /* D but for curl_multi_wakeup(), which any thread may call */
    struct transfer    *running;                    /* D */
    pthread_t           driver;                     /* I */
    pthread_mutex_t     mutex;
    struct transfer    *arrived;                    /* L */
    bool                interrupted;                /* L */
    bool                closing;                    /* L */
    unsigned            in_flight, in_flight_max;   /* L */
};

/* -------------------------------------------------------------------------------------------------------- responses */

static void response_drop(void *object)
{
    struct http_response *response = object;
    free(response->body);
    free(response);
}

static const coir_type response_type = { .name = "http_response", .drop = response_drop };

/* Called by curl for each piece of the body. Another number than it was given ends the transfer with CURLE_WRITE_ERROR. */
static size_t response_append(char *bytes, size_t one, size_t count, void *user)
{
    struct http_response *response = user;
    size_t size = one * count;
    char *body = realloc(response->body, response->size + size + 1);
    if (body == NULL)
        return 0;
    memcpy(body + response->size, bytes, size);
    response->body = body;
    response->size += size;
    body[response->size] = '\0';
    return size;
}

/* -------------------------------------------------------------------------------------------- transfers, on a worker */

static coir_value error_not_started(void)
{
    return coir_error_in("http_client", HTTP_NOT_STARTED, "interrupted before the request");
}

static coir_value error_no_memory(void)
{
    return coir_error_in("curl", CURLE_OUT_OF_MEMORY, "%s", curl_easy_strerror(CURLE_OUT_OF_MEMORY));
}

/* Hands the transfer to the driver. Gives false if the client takes no more. */
static bool transfer_submit(struct http_client *client, struct transfer *transfer)
{
    pthread_mutex_lock(&client->mutex);
    bool is_open = !client->interrupted;
    if (is_open) {
        transfer->next = client->arrived;
        client->arrived = transfer;
        client->in_flight++;
        if (client->in_flight > client->in_flight_max)
            client->in_flight_max = client->in_flight;
    }
    pthread_mutex_unlock(&client->mutex);
    if (is_open)
        curl_multi_wakeup(client->multi);           /* Not a word about the transfer any more: it may have ended already. */
    return is_open;
}

/* No option below can fail but for want of memory; a transfer without its URL then ends as CURLE_URL_MALFORMAT. */
static void transfer_set_up(struct transfer *transfer, const char *url, const struct http_options *options)
{
    curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
    curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, options->timeout_ms);
    curl_easy_setopt(transfer->easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(transfer->easy, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(transfer->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, response_append);
    curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer->response);
    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(transfer->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(transfer->easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(transfer->easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl_easy_setopt(transfer->easy, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static void transfer_start(void *env, void *op, coir_callback k)
{
    const struct http_request *request = env;
    struct transfer *transfer = op;

    transfer->k = k;
    transfer->easy = curl_easy_init();
    transfer->response = calloc(1, sizeof *transfer->response);
    bool has_memory = transfer->easy != NULL && transfer->response != NULL;
    if (has_memory) {
        transfer_set_up(transfer, request->url, &request->client->options);
        if (transfer_submit(request->client, transfer))
            return;
    }
    curl_easy_cleanup(transfer->easy);
    free(transfer->response);
    coir_resume(k, coir_raise(has_memory ? error_not_started() : error_no_memory()));
}

coir_io *http_get(struct http_client *client, const char *url)
{
    static const coir_async_type transfer_type = { .op_size = sizeof(struct transfer), .start = transfer_start };
    return coir_async_copy(&transfer_type, COIR_ENV(struct http_request, .client = client, .url = url));
}

/* ---------------------------------------------------------------------------------------- transfers, on the driver */

/* What the fiber is given. Takes the response. */
static coir_result transfer_result(struct transfer *transfer, CURLcode code)
{
    struct http_response *response = transfer->response;
    if (code == CURLE_OK) {
        curl_off_t time_us = 0;
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &response->status);
        curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &time_us);
        response->time_us = time_us;
        return coir_ok(coir_own(response, &response_type));
    }
    response_drop(response);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return coir_raise(coir_error_in("http_client", HTTP_INTERRUPTED, "interrupted"));
    return coir_raise(coir_error_in("curl", (int)code, "%s", curl_easy_strerror(code)));
}

static void transfer_end(struct http_client *client, struct transfer *transfer, CURLcode code)
{
    *transfer->link = transfer->next;
    if (transfer->next != NULL)
        transfer->next->link = transfer->link;

    coir_result result = transfer_result(transfer, code);
    curl_multi_remove_handle(client->multi, transfer->easy);    /* Closes the connection of one that was called off ... */
    curl_easy_cleanup(transfer->easy);
    pthread_mutex_lock(&client->mutex);
    client->in_flight--;
    pthread_mutex_unlock(&client->mutex);
    coir_resume(transfer->k, result);                           /* ... so it is over before the fiber gives its permit back. */
}

static void transfer_begin(struct http_client *client, struct transfer *transfer)
{
    transfer->link = &client->running;
    transfer->next = client->running;
    if (transfer->next != NULL)
        transfer->next->link = &transfer->next;
    client->running = transfer;
    if (curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK)
        transfer_end(client, transfer, CURLE_FAILED_INIT);
}

/* Takes over what has arrived, and does what the other threads asked for. Gives false when the client is being dropped. */
static bool driver_listen(struct http_client *client)
{
    pthread_mutex_lock(&client->mutex);
    struct transfer *arrived = client->arrived;
    bool interrupted = client->interrupted, closing = client->closing;
    client->arrived = NULL;
    pthread_mutex_unlock(&client->mutex);

    for (struct transfer *next; arrived != NULL; arrived = next) {
        next = arrived->next;
        transfer_begin(client, arrived);
    }
    while (interrupted && client->running != NULL)
        transfer_end(client, client->running, CURLE_ABORTED_BY_CALLBACK);
    return !closing;
}

static void *driver_run(void *user)
{
    struct http_client *client = user;
    while (driver_listen(client)) {
        int left;
        curl_multi_perform(client->multi, &left);
        for (CURLMsg *message; (message = curl_multi_info_read(client->multi, &left)) != NULL; ) {
            struct transfer *transfer = NULL;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
            transfer_end(client, transfer, message->data.result);
        }
        curl_multi_poll(client->multi, NULL, 0, INT_MAX, NULL); /* A wake-up that came meanwhile is not lost. */
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------------- answers */

static coir_io *response_accept(void *env, coir_value *value)
{
    const struct http_response *response = value->ptr;
    (void)env;
    if (response->status >= 400)
        return coir_fail(coir_error_in("http", (int)response->status, "status %ld", response->status));
    return coir_pure(coir_take(value));
}

coir_io *http_accept(coir_io *answer)
{
    return coir_flat_map(answer, response_accept, NULL);
}

bool http_may_pass(const coir_value *error)
{
    static const struct { const char *domain; int code; } passing[] = {
        { "http", 429 }, { "http", 500 }, { "http", 502 }, { "http", 503 }, { "http", 504 },
        { "curl", CURLE_COULDNT_RESOLVE_HOST }, { "curl", CURLE_COULDNT_CONNECT }, { "curl", CURLE_OPERATION_TIMEDOUT },
        { "curl", CURLE_GOT_NOTHING }, { "curl", CURLE_PARTIAL_FILE }, { "curl", CURLE_SEND_ERROR }, { "curl", CURLE_RECV_ERROR },
        { "curl", CURLE_HTTP2 }, { "curl", CURLE_HTTP2_STREAM }
    };
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (coir_error_code(error) == passing[i].code && strcmp(coir_error_domain(error), passing[i].domain) == 0)
            return true;
    return false;
}

/* ----------------------------------------------------------------------------------------------------------- client */

struct http_client *http_client_new(const struct http_options *options)
{
    struct http_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    client->options = *options;
    pthread_mutex_init(&client->mutex, NULL);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
        client->multi = curl_multi_init();
        if (client->multi != NULL) {
            curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, options->connections_max);
            if (pthread_create(&client->driver, NULL, driver_run, client) == 0)
                return client;
            curl_multi_cleanup(client->multi);
        }
        curl_global_cleanup();
    }
    pthread_mutex_destroy(&client->mutex);
    free(client);
    return NULL;
}

void http_client_drop(struct http_client *client)
{
    if (client == NULL)
        return;
    pthread_mutex_lock(&client->mutex);
    client->closing = true;
    pthread_mutex_unlock(&client->mutex);
    curl_multi_wakeup(client->multi);
    pthread_join(client->driver, NULL);
    curl_multi_cleanup(client->multi);
    curl_global_cleanup();
    pthread_mutex_destroy(&client->mutex);
    free(client);
}

void http_client_interrupt(struct http_client *client)
{
    pthread_mutex_lock(&client->mutex);
    client->interrupted = true;
    pthread_mutex_unlock(&client->mutex);
    curl_multi_wakeup(client->multi);
}

unsigned http_client_in_flight_max(struct http_client *client)
{
    pthread_mutex_lock(&client->mutex);
    unsigned in_flight_max = client->in_flight_max;
    pthread_mutex_unlock(&client->mutex);
    return in_flight_max;
}
