/*
 * coir/csp.h - the small processes of CSP, which are plugged together by channels
 *
 *     coir_csp_par(COIR_IOS(coir_csp_prefix(coir_int(0), c, a), coir_csp_delta(a, b, d), coir_csp_successor(b, c), consume(d)))
 *
 * Each goes on until one of its channels is poisoned or closed, and poisons the others then: so poison goes through the whole network, every process
 * ends, and ends well. It keeps its channels. Values that go two ways are shared, so they must be of a kind that can be.
 * From     occam's and JCSP's "plug and play" processes, aPyCSP's plugNplay.
 */
#ifndef COIR_CSP_H
#define COIR_CSP_H

#include <coir/channel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* coir_csp_identity: hands on. coir_csp_prefix: sends value (taken) first. coir_csp_successor: hands each integer on, one greater; what is none, or
 * the greatest, is an error, code EINVAL. coir_csp_delta: hands each on to both, one after the other; coir_csp_par_delta: to whoever takes it first, then to the other.
 * coir_csp_mux: hands on what comes from either, fairly. coir_csp_skip: takes, and gives nothing. */
COIR_API COIR_MUST_USE coir_io *coir_csp_identity(coir_channel *in, coir_channel *out);
COIR_API COIR_MUST_USE coir_io *coir_csp_prefix(coir_value value, coir_channel *in, coir_channel *out);
COIR_API COIR_MUST_USE coir_io *coir_csp_successor(coir_channel *in, coir_channel *out);
COIR_API COIR_MUST_USE coir_io *coir_csp_delta(coir_channel *in, coir_channel *first, coir_channel *second);
COIR_API COIR_MUST_USE coir_io *coir_csp_par_delta(coir_channel *in, coir_channel *first, coir_channel *second);
COIR_API COIR_MUST_USE coir_io *coir_csp_mux(coir_channel *first, coir_channel *second, coir_channel *out);
COIR_API COIR_MUST_USE coir_io *coir_csp_skip(coir_channel *in);

/* coir_csp_process: io with its channels: when it ends, however, they are poisoned, and an end by poison or close is a good one: it gives none. It keeps the
 * channels: io may use them without doing so itself. More than 8 of them, or an array that
 * is NULL: a panic, code EINVAL. */
COIR_API COIR_MUST_USE coir_io *coir_csp_process(coir_io *io, size_t count, coir_channel *const *channels);
/* coir_csp_par: runs processes side by side until all have ended (CSP's Par, aPyCSP's Parallel); gives none. A failure of one cancels the others. */
COIR_API COIR_MUST_USE coir_io *coir_csp_par(size_t count, coir_io *const *processes);
#define COIR_CHANNELS(...) (sizeof((coir_channel *[]){ __VA_ARGS__ }) / sizeof(coir_channel *)), (coir_channel *[]){ __VA_ARGS__ }

#ifdef __cplusplus
}
#endif
#endif
