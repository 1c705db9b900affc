/*
 * atomic.h - the only door to atomics of our own; each name says its order
 *
 * A plain load or store of an _Atomic variable is sequentially consistent in C: nothing in coir uses that form.
 */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define load_relaxed(p)             atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p)             atomic_load_explicit((p), memory_order_acquire)
#define load_full(p)                atomic_load_explicit((p), memory_order_seq_cst)
#define store_relaxed(p, v)         atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v)         atomic_store_explicit((p), (v), memory_order_release)
#define exchange_relaxed(p, v)      atomic_exchange_explicit((p), (v), memory_order_relaxed)
#define exchange_acq_rel(p, v)      atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define exchange_full(p, v)         atomic_exchange_explicit((p), (v), memory_order_seq_cst)
#define exchange_acquire(p, v)      atomic_exchange_explicit((p), (v), memory_order_acquire)
#define fetch_add_relaxed(p, v)     atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define fetch_add_acq_rel(p, v)     atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define fetch_add_full(p, v)        atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define fetch_sub_full(p, v)        atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst)
#define fetch_sub_acq_rel(p, v)     atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define fetch_sub_release(p, v)     atomic_fetch_sub_explicit((p), (v), memory_order_release)
#define fetch_or_acq_rel(p, v)      atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define cas_acq_rel(p, old, new)    atomic_compare_exchange_strong_explicit((p), (old), (new), memory_order_acq_rel, memory_order_acquire)
#define cas_full(p, old, new)       atomic_compare_exchange_strong_explicit((p), (old), (new), memory_order_seq_cst, memory_order_seq_cst)
#define cas_relaxed(p, old, new)    atomic_compare_exchange_strong_explicit((p), (old), (new), memory_order_relaxed, memory_order_relaxed)

/* fence_full: a store before it is seen before a load after it is made. The thread sanitizer does not know fences: there it is an
 * operation on one common word, which orders at least as much. */
#if defined(__SANITIZE_THREAD__) || defined(COIR_TSAN)
extern _Atomic uint32_t coir__fence_word;
static inline void fence_full(void) { (void)fetch_add_full(&coir__fence_word, 1u); }
#else
static inline void fence_full(void) { atomic_thread_fence(memory_order_seq_cst); }
#endif

/* counter_add: for a counter with one writer, which others read as a snapshot: no locked instruction. It releases, for who reads it with
 * acquire: [COUNT] in sched/pool.c. */
#define counter_add(p, v)           store_release((p), load_relaxed(p) + (v))

#endif
