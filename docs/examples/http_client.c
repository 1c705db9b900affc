/*
 * http_client.c - shows how a callback API of somebody else becomes a plain call
 *
 * One thread, the driver, owns the curl multi handle. Workers hang what they want of it into lists and wake it.
 *
 *     a transfer is in   where it was hung by                what the driver does with it
 *     arrived            start(), on a worker                adds it to the multi handle, and hangs it over into `running`
 *     running            the driver                          ends it when curl has done with it
 *     called_off         cancel(), on a worker, from either  ends it
 *     no list            the driver, which is ending it      resumes its fiber; a cancel() that comes now leaves it alone
 *
 * coir_async gives every run its own zeroed `struct transfer`, which stays where it is until coir_resume() was called and cancel(), if it
 * is called, has returned: so there is no malloc for it, no reference count, and no question of who frees it.
 *
 *     L  under `mutex`        D  the driver's alone        I  set before the driver starts, then only read
 */
#include "http_client.h"

#include <curl/curl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct http_request { struct http_client *client; const char *url; };   /* env: what to do, the same for all runs of the io */

struct transfer {                                   /* op: one run */
    struct transfer      *next, **link;             /* L  link: what points here; NULL in no list */
    CURL                 *easy;                     /* D  from when it has been hung up, as are those below */
    coir_callback         k;
    struct http_response *response;
};

struct http_client {
    CURLM              *multi;                      /* D but for curl_multi_wakeup(), which any thread may call */
    pthread_t           driver;                     /* I */
    pthread_mutex_t     mutex;
    struct transfer    *arrived, *running, *called_off;         /* L */
    struct http_figures figures;                    /* L */
    atomic_bool         closing;
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

/* ----------------------------------------------------------------------------------------------- lists, under the mutex */

static void transfer_hang(struct transfer **list, struct transfer *transfer)
{
    transfer->link = list;
    transfer->next = *list;
    if (transfer->next != NULL)
        transfer->next->link = &transfer->next;
    *list = transfer;
}

static void transfer_unhang(struct transfer *transfer)
{
    *transfer->link = transfer->next;
    if (transfer->next != NULL)
        transfer->next->link = transfer->link;
    transfer->link = NULL;
}

/* -------------------------------------------------------------------------------------------- transfers, on a worker */

static coir_value error_of(CURLcode code)
{
    return coir_error_in("curl", (int)code, "%s", curl_easy_strerror(code));
}

/* No option below can fail but for want of memory; a transfer without its URL then ends as CURLE_URL_MALFORMAT. */
static void transfer_set_up(struct transfer *transfer, const char *url)
{
    curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
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
#if LIBCURL_VERSION_NUM >= 0x075700                 /* Who is called off while a name is looked up does not wait for the answer. */
    curl_easy_setopt(transfer->easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}

static void transfer_start(void *env, void *op, coir_callback k)
{
    const struct http_request *request = env;
    struct http_client *client = request->client;
    struct transfer *transfer = op;

    transfer->k = k;
    transfer->easy = curl_easy_init();
    transfer->response = calloc(1, sizeof *transfer->response);
    if (transfer->easy == NULL || transfer->response == NULL) {
        curl_easy_cleanup(transfer->easy);
        free(transfer->response);
        coir_resume(k, coir_raise(error_of(CURLE_OUT_OF_MEMORY)));
        return;
    }
    transfer_set_up(transfer, request->url);
    pthread_mutex_lock(&client->mutex);
    transfer_hang(&client->arrived, transfer);
    client->figures.in_flight++;
    if (client->figures.in_flight > client->figures.in_flight_max)
        client->figures.in_flight_max = client->figures.in_flight;
    pthread_mutex_unlock(&client->mutex);
    curl_multi_wakeup(client->multi);               /* Not a word about the transfer any more: it may have ended already. */
}

static void transfer_cancel(void *env, void *op)
{
    struct http_client *client = ((const struct http_request *)env)->client;
    struct transfer *transfer = op;
    pthread_mutex_lock(&client->mutex);
    bool is_open = transfer->link != NULL;
    if (is_open) {
        transfer_unhang(transfer);
        transfer_hang(&client->called_off, transfer);
    }
    pthread_mutex_unlock(&client->mutex);
    if (is_open)
        curl_multi_wakeup(client->multi);
}

coir_io *http_get(struct http_client *client, const char *url)
{
    static const coir_async_type transfer_type = {
        .op_size = sizeof(struct transfer), .start = transfer_start, .cancel = transfer_cancel
    };
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
    return coir_raise(error_of(code));
}

static void transfer_end(struct http_client *client, struct transfer *transfer, CURLcode code)
{
    pthread_mutex_lock(&client->mutex);
    transfer_unhang(transfer);                                  /* From here on cancel() leaves it alone. */
    client->figures.in_flight--;
    pthread_mutex_unlock(&client->mutex);

    curl_multi_remove_handle(client->multi, transfer->easy);    /* Closes the connection of one that was called off ... */
    coir_result result = transfer_result(transfer, code);
    curl_easy_cleanup(transfer->easy);
    coir_resume(transfer->k, result);                           /* ... so it is over before the fiber gives its permit back. */
}

/* The next one to be added. It is in `running` from now on, if it has not been called off in the meantime. */
static struct transfer *driver_next_arrived(struct http_client *client)
{
    pthread_mutex_lock(&client->mutex);
    struct transfer *transfer = client->arrived;
    if (transfer != NULL) {
        transfer_unhang(transfer);
        transfer_hang(&client->running, transfer);
    }
    pthread_mutex_unlock(&client->mutex);
    return transfer;
}

static struct transfer *driver_next_called_off(struct http_client *client)
{
    pthread_mutex_lock(&client->mutex);
    struct transfer *transfer = client->called_off;
    pthread_mutex_unlock(&client->mutex);
    return transfer;
}

/* Does what the workers want. */
static void driver_listen(struct http_client *client)
{
    for (struct transfer *transfer; (transfer = driver_next_arrived(client)) != NULL; )
        if (curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK)
            transfer_end(client, transfer, CURLE_FAILED_INIT);
    for (struct transfer *transfer; (transfer = driver_next_called_off(client)) != NULL; )
        transfer_end(client, transfer, CURLE_ABORTED_BY_CALLBACK);
}

static void *driver_run(void *user)
{
    struct http_client *client = user;
    while (!client->closing) {
        int left;
        driver_listen(client);
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
        { "coir", COIR_TIMEOUT },
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

struct http_client *http_client_new(unsigned connections_max)
{
    struct http_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    pthread_mutex_init(&client->mutex, NULL);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
        client->multi = curl_multi_init();
        if (client->multi != NULL) {
            curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)connections_max);
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
    client->closing = true;
    curl_multi_wakeup(client->multi);
    pthread_join(client->driver, NULL);
    curl_multi_cleanup(client->multi);
    curl_global_cleanup();
    pthread_mutex_destroy(&client->mutex);
    free(client);
}

struct http_figures http_client_figures(struct http_client *client)
{
    pthread_mutex_lock(&client->mutex);
    struct http_figures figures = client->figures;
    pthread_mutex_unlock(&client->mutex);
    return figures;
}
