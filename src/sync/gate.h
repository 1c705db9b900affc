/*
 * gate.h - what fibers wait for until it is open: the common part of event, latch and deferred
 *
 * Who opens it wakes all who wait. An open one holds nobody back, of whatever run he is.
 *
 * Invariant, under the guard, when nobody is at work: nobody waits at an open gate.
 *
 * [GATE]  Who opens it releases what he did before, above all what he has put inside; who finds it open, under the guard or without, acquires that.
 *
 * Waiting at it is an offer of an alternative (io/prim.h), though what has come stays: a result that cannot be shared goes to the first who asks for it, and an
 * alternative that ends with something else must not have asked.
 */
#ifndef SYNC_GATE_H
#define SYNC_GATE_H

#include "sync/object.h"

struct gate {
    struct object object;
    _Atomic bool  is_open;                              /* A [GATE], written under the guard */
    struct queue  waiters;                              /* L */
};

void coir__gate_init(struct gate *gate, bool is_open);
/* coir__gate_let_go: gives a reference up. True: it was the last, the gate has been taken apart, and its memory is the caller's. */
bool coir__gate_let_go(struct gate *gate, const char *function, const char *awaits);

static inline bool gate_is_open(const struct gate *gate)
{
    return load_acquire(&((struct gate *)(uintptr_t)gate)->is_open);                    /* [GATE] */
}

/* coir__gate_enter: locks the guard for the calling thread, which has a reference that nobody else can drop. False: another run's fibers wait, and it is
 * not locked. coir__gate_open: under the guard. coir__gate_leave: unlocks it, and wakes whom that claimed. */
bool coir__gate_enter(struct gate *gate);
void coir__gate_open(struct gate *gate, struct claimed *claimed);
void coir__gate_leave(struct gate *gate, struct claimed *claimed);

/* ------------------------------------------------------------------------- of a primitive that waits: its object begins with the gate */

/* A result OK with none says that the gate is open. */
enum prim_step coir__gate_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result);
enum prim_step coir__gate_woken(coir_fiber *fiber, coir_io *frame, coir_result *result);
void           coir__gate_disarm(coir_fiber *fiber, coir_io *frame);

struct ck_spinlock_fas *coir__gate_guard(const coir_io *frame);
enum prim_step coir__gate_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed);
bool           coir__gate_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result);
void           coir__gate_settle(coir_fiber *fiber, coir_io *frame, coir_result *result);
extern const struct coir__offer coir__gate_offer;

#endif
