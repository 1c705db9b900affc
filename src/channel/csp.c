/*
 * csp.c - CSP's processes, made of what the public headers offer
 */
#include "io/node.h"

#include <coir/csp.h>

#include <errno.h>
#include <string.h>

/* The channels that a process keeps, and poisons when it ends. */
enum { ENDS_MAX = 8 };
struct ends { size_t count; coir_channel *channels[ENDS_MAX]; };

static void ends_drop(void *ends_)
{
    struct ends *ends = ends_;
    for (size_t i = 0; i < ends->count; i++)
        coir_channel_drop(ends->channels[i]);
    coir__free(ends, sizeof *ends);
}

static coir_result poison_all(void *ends_)
{
    struct ends *ends = ends_;
    for (size_t i = 0; i < ends->count; i++)
        coir_poison(ends->channels[i]);
    return coir_ok(coir_none());
}

/* A program's own codes may be the same numbers. */
static bool is_end_of_channel(const coir_value *error)
{
    int code = coir_error_code(error);
    return (code == COIR_POISONED || code == COIR_CLOSED) && strcmp(coir_error_domain(error), DOMAIN_COIR) == 0;
}

static coir_io *end_well(void *unused, coir_value *error)
{
    (void)unused;
    return is_end_of_channel(error) ? coir_unit() : coir_fail(coir_take(error));
}

static struct ends *ends_new(size_t count, coir_channel *const *channels)
{
    struct ends *ends = coir__alloc(sizeof *ends);
    if (ends == NULL)
        return NULL;
    ends->count = count;
    for (size_t i = 0; i < count; i++)
        ends->channels[i] = coir_channel_ref(channels[i]);
    return ends;
}

static const char *ends_bad(size_t count, coir_channel *const *channels)
{
    return count > ENDS_MAX ? "more than 8 channels" : count > 0 && channels == NULL ? "channels is NULL" : NULL;
}

coir_io *coir_csp_process(coir_io *io, size_t count, coir_channel *const *channels)
{
    const char *bad = ends_bad(count, channels);
    bool any_null = io == NULL;
    for (size_t i = 0; i < count && bad == NULL; i++)
        any_null = any_null || channels[i] == NULL;
    if (any_null || bad != NULL) {
        coir_io_drop(io);
        return any_null ? NULL : coir__bad_argument("coir_csp_process", bad);
    }
    struct ends *ends = ends_new(count, channels);
    if (ends == NULL) {
        coir_io_drop(io);
        return NULL;
    }
    coir_io *whole = coir_as(coir_finally(io, coir_defer(poison_all, ends)), coir_none());
    return coir_owns(coir_catch(whole, end_well, NULL), ends, ends_drop);
}

/* ---------------------------------------------------------------------------------------------- that hand values on */

/* What the loops below work on; the process around them keeps the channels. */
struct route { coir_channel *in, *first, *second; };

static coir_io *send_on(void *route, coir_value *value)
{
    return coir_send(((const struct route *)route)->first, coir_take(value));
}

static coir_io *send_successor(void *route, coir_value *value)
{
    if (value->type != NULL && value->type != &coir__zero_type)
        return coir_failf(EINVAL, "coir_csp_successor: not an integer");
    if (value->i64 == INT64_MAX)
        return coir_failf(EINVAL, "coir_csp_successor: no integer is greater");
    return coir_send(((const struct route *)route)->first, coir_int(value->i64 + 1));
}

static coir_io *send_both(void *route_, coir_value *value)
{
    const struct route *route = route_;
    coir_io *first = coir_send(route->first, coir_share(value));
    return coir_then(first, coir_send(route->second, coir_take(value)));
}

/* Whichever goes first, then the other one. */
static coir_io *send_either_first(void *route_, coir_value *value)
{
    const struct route *route = route_;
    coir_io *first = coir_send(route->first, coir_share(value));
    return coir_then(coir_both(first, coir_send(route->second, coir_take(value))), coir_unit());
}

static coir_io *drop_it(void *unused, coir_value *value)
{
    (void)unused;
    (void)value;
    return coir_unit();
}

static bool any_null(const coir_channel *a, const coir_channel *b, const coir_channel *c) { return a == NULL || b == NULL || c == NULL; }

static coir_io *hand_on(coir_flat_map_fn *fn, struct route route)
{
    return coir_forever(coir_flat_map_copy(coir_receive(route.in), fn, &route, sizeof route));
}

coir_io *coir_csp_identity(coir_channel *in, coir_channel *out)
{
    return any_null(in, out, in) ? NULL : coir_csp_process(hand_on(send_on, (struct route){ in, out, NULL }), COIR_CHANNELS(in, out));
}

coir_io *coir_csp_prefix(coir_value value, coir_channel *in, coir_channel *out)
{
    if (any_null(in, out, in)) {
        coir_drop(value);
        return NULL;
    }
    return coir_csp_process(coir_then(coir_send(out, value), hand_on(send_on, (struct route){ in, out, NULL })), COIR_CHANNELS(in, out));
}

coir_io *coir_csp_successor(coir_channel *in, coir_channel *out)
{
    return any_null(in, out, in) ? NULL : coir_csp_process(hand_on(send_successor, (struct route){ in, out, NULL }), COIR_CHANNELS(in, out));
}

static coir_io *delta(coir_flat_map_fn *fn, coir_channel *in, coir_channel *first, coir_channel *second)
{
    return any_null(in, first, second) ? NULL : coir_csp_process(hand_on(fn, (struct route){ in, first, second }), COIR_CHANNELS(in, first, second));
}

coir_io *coir_csp_delta(coir_channel *in, coir_channel *first, coir_channel *second) { return delta(send_both, in, first, second); }
coir_io *coir_csp_par_delta(coir_channel *in, coir_channel *first, coir_channel *second) { return delta(send_either_first, in, first, second); }

coir_io *coir_csp_mux(coir_channel *first, coir_channel *second, coir_channel *out)
{
    if (any_null(first, second, out))
        return NULL;
    const struct route route = { NULL, out, NULL };
    coir_io *one = coir_alt_fair(COIR_CASES(coir_on_copy(coir_receive(first), send_on, &route, sizeof route),
                                            coir_on_copy(coir_receive(second), send_on, &route, sizeof route)));
    return coir_csp_process(coir_forever(one), COIR_CHANNELS(first, second, out));
}

coir_io *coir_csp_skip(coir_channel *in)
{
    return in == NULL ? NULL : coir_csp_process(hand_on(drop_it, (struct route){ in, NULL, NULL }), COIR_CHANNELS(in));
}

coir_io *coir_csp_par(size_t count, coir_io *const *processes) { return coir_as(coir_par_zip(count, processes), coir_none()); }
