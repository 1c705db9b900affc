/*
 * coir/do.h - sequential notation: an io written from top to bottom
 *
 *     struct fetch { const char *url; int tries; };                     what must survive an await
 *     static coir_io *fetch_step(coir_routine *self)
 *     {
 *         COIR_BEGIN(self, struct fetch, my);
 *         for (my->tries = 0; my->tries < 3; my->tries++) {
 *             COIR_TRY(http_get(my->url));                              goes on, whatever the result
 *             if (self->result.tag == COIR_OK)
 *                 COIR_RETURN(coir_take(&self->result.value));
 *             COIR_AWAIT(coir_sleep(coir_ms(50)));                      a failure here ends the routine
 *         }
 *         COIR_RAISE(coir_errorf(ETIMEDOUT, "%s: gave up", my->url));
 *         COIR_END;
 *     }
 *     coir_io *fetch(const char *url) { return coir_do(fetch_step, COIR_ENV(struct fetch, .url = url)); }
 *
 * A routine is a stackless coroutine: the function is called again for each step and jumps to where it was. Locals of C do not
 * survive an await, the fields of its frame do. Every run begins with a copy of the frame given to coir_do(), aligned as by
 * malloc(), which does not move; what the given frame points to is borrowed. Loops and conditions are C's own, but an await
 * inside a switch of one's own is a panic that says so, and two awaits on one line do not compile.
 *
 * self->result is what the last await gave. It is lent: dropped when the next result comes, unless taken. An await costs no
 * allocation beyond the io that is awaited. The step after an await that succeeded always runs: a cancel that came with it is
 * seen at the next await, so what was acquired can be noted in the frame.
 */
#ifndef COIR_DO_H
#define COIR_DO_H

#include <coir/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coir_routine {
    unsigned    at;                                     /* where to go on: 0, a line, COIR_ENDED_ or COIR_FINALLY_; the runtime's */
    unsigned    flags;                                  /* the runtime's */
    size_t      size;                                   /* of the frame, which stands behind this; the runtime's */
    coir_result result;                                 /* what the last await gave; in COIR_FINALLY: how the body ended */
} coir_routine;

typedef coir_io *coir_step_fn(coir_routine *self);

/* coir_do: an io that runs the routine `step`, each time from a copy of `size` bytes of `frame` (NULL: zeroed), at most 64 KiB. */
COIR_API COIR_MUST_USE coir_io *coir_do(coir_step_fn *step, const void *frame, size_t size);

/* COIR_BEGIN(self, type, my): opens the body; `my` is the frame. A `type` of another size than coir_do() was given is a panic. */
#define COIR_BEGIN(self, type, my)                                                              \
    coir_routine *const coir_self_ = (self);                                                    \
    type *const my = (type *)(void *)(coir_self_ + 1);                                          \
    if (coir_self_->size != sizeof(type))                                                       \
        return coir_routine_lost_(coir_self_);                                                  \
    coir_go_on_: __attribute__((__unused__));                                                   \
    switch (coir_self_->at) { case 0:

/* COIR_AWAIT(io): runs io; a failure ends the routine. COIR_TRY(io): goes on with OK and ERROR alike; a panic or a cancellation
 * ends the routine (COIR_TRY(coir_attempt(io)) shows panics). */
#define COIR_AWAIT(io)  do { return coir_routine_await_(coir_self_, __LINE__, COIR_AWAITS_, (io)); case __LINE__:; } while (0)
#define COIR_TRY(io)    do { return coir_routine_await_(coir_self_, __LINE__, COIR_TRIES_, (io)); case __LINE__:; } while (0)

/* How the body ends: with a value, an error, or by becoming another io, which runs in the routine's place, in constant memory,
 * after what COIR_FINALLY says. Running into COIR_END is COIR_RETURN(coir_none()). */
#define COIR_RETURN(v)  do { coir_routine_end_(coir_self_, COIR_OK, (v)); goto coir_go_on_; } while (0)
#define COIR_RAISE(v)   do { coir_routine_end_(coir_self_, COIR_ERROR, (v)); goto coir_go_on_; } while (0)
#define COIR_BECOME(io) return coir_routine_become_(coir_self_, (io))

/* COIR_FINALLY: opens the part that runs once on every way out: return, raise, become, a failed await, a panic, a cancellation. It
 * cannot be canceled, may await, and drops what the frame holds: coir_drop() of a zeroed field does nothing. Its failure is
 * appended to the outcome, as a finalizer's. For what it awaits there may be no memory, which ends it: so it drops first, and what must
 * be awaited for certain was built before and kept in the frame. */
#define COIR_FINALLY    COIR_RETURN(coir_none()); case COIR_ENDED_: return coir_routine_ended_(coir_self_); case COIR_FINALLY_:
#define COIR_END        return coir_routine_leave_(coir_self_); default: break; } return coir_routine_lost_(coir_self_)

/* What the macros need. A body that ends goes to COIR_ENDED_, which is there if a final part is: otherwise the whole has ended with it. */
#define COIR_ENDED_   0x7ffffffeu
#define COIR_FINALLY_ 0x7fffffffu
#define COIR_AWAITS_  1u
#define COIR_TRIES_   2u
static inline coir_io *coir_routine_await_(coir_routine *self, unsigned at, unsigned how, coir_io *io)
{
    self->at = at;
    self->flags = how;
    return io;
}
COIR_API void     coir_routine_end_(coir_routine *self, coir_tag tag, coir_value value);
COIR_API coir_io *coir_routine_ended_(coir_routine *self);
COIR_API coir_io *coir_routine_become_(coir_routine *self, coir_io *io);
COIR_API coir_io *coir_routine_leave_(coir_routine *self);
COIR_API coir_io *coir_routine_lost_(coir_routine *self);

#ifdef __cplusplus
}
#endif
#endif
