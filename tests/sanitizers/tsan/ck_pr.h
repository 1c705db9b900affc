/*
 * ck_pr.h - Concurrency Kit's primitives as the thread sanitizer can see them: stands before the real one in that build only
 *
 * The real ones are inline assembly, which the sanitizer does not follow, so it would report correct programs. Here every operation
 * is the compiler's own and sequentially consistent, and fences have nothing left to do. The limit of it: a fence missing around a
 * call of Concurrency Kit's is not found in this build. Those orders are argued in comments where they are relied upon.
 */
#ifndef CK_PR_H
#define CK_PR_H
#pragma GCC system_header

#include <ck_cc.h>
#include <ck_md.h>
#include <ck_stdbool.h>
#include <ck_stdint.h>

#define CK_PR_SEEN_FENCE(name) static inline void ck_pr_fence_##name(void) { __asm__ __volatile__("" ::: "memory"); }
CK_PR_SEEN_FENCE(atomic)      CK_PR_SEEN_FENCE(atomic_load)  CK_PR_SEEN_FENCE(atomic_store) CK_PR_SEEN_FENCE(store_atomic)
CK_PR_SEEN_FENCE(load_atomic) CK_PR_SEEN_FENCE(load_store)   CK_PR_SEEN_FENCE(store_load)   CK_PR_SEEN_FENCE(load_depends)
CK_PR_SEEN_FENCE(load)        CK_PR_SEEN_FENCE(store)        CK_PR_SEEN_FENCE(memory)       CK_PR_SEEN_FENCE(acquire)
CK_PR_SEEN_FENCE(release)     CK_PR_SEEN_FENCE(acqrel)       CK_PR_SEEN_FENCE(lock)         CK_PR_SEEN_FENCE(unlock)

static inline void ck_pr_barrier(void) { __asm__ __volatile__("" ::: "memory"); }
static inline void ck_pr_stall(void) { ck_pr_barrier(); }

/* Of a pointer to any pointer, and with its type. */
#define ck_pr_load_ptr(from)             __atomic_load_n((from), __ATOMIC_SEQ_CST)
#define ck_pr_store_ptr(to, value)       __atomic_store_n((to), (value), __ATOMIC_SEQ_CST)
#define ck_pr_store_ptr_unsafe(to, value) __atomic_store_n((void **)(to), (void *)(value), __ATOMIC_SEQ_CST)
static inline void *ck_pr_fas_ptr(void *at, void *value) { return __atomic_exchange_n((void **)at, value, __ATOMIC_SEQ_CST); }
static inline bool ck_pr_cas_ptr(void *at, void *old, void *new_value)
{
    return __atomic_compare_exchange_n((void **)at, &old, new_value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline bool ck_pr_cas_ptr_value(void *at, void *old, void *new_value, void *found)
{
    bool done = __atomic_compare_exchange_n((void **)at, &old, new_value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    *(void **)found = old;
    return done;
}

#define CK_PR_SEEN(S, T)                                                                                                     \
    static inline T    ck_pr_load_##S(const T *from)       { return __atomic_load_n(from, __ATOMIC_SEQ_CST); }               \
    static inline void ck_pr_store_##S(T *to, T value)     { __atomic_store_n(to, value, __ATOMIC_SEQ_CST); }                \
    static inline T    ck_pr_fas_##S(T *at, T value)       { return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST); }      \
    static inline T    ck_pr_faa_##S(T *at, T value)       { return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST); }       \
    static inline void ck_pr_add_##S(T *at, T value)       { (void)__atomic_fetch_add(at, value, __ATOMIC_SEQ_CST); }        \
    static inline void ck_pr_sub_##S(T *at, T value)       { (void)__atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST); }        \
    static inline void ck_pr_and_##S(T *at, T value)       { (void)__atomic_fetch_and(at, value, __ATOMIC_SEQ_CST); }        \
    static inline void ck_pr_or_##S(T *at, T value)        { (void)__atomic_fetch_or(at, value, __ATOMIC_SEQ_CST); }         \
    static inline void ck_pr_inc_##S(T *at)                { (void)__atomic_fetch_add(at, 1, __ATOMIC_SEQ_CST); }            \
    static inline void ck_pr_dec_##S(T *at)                { (void)__atomic_fetch_sub(at, 1, __ATOMIC_SEQ_CST); }            \
    static inline bool ck_pr_dec_##S##_is_zero(T *at)      { return __atomic_sub_fetch(at, 1, __ATOMIC_SEQ_CST) == 0; }      \
    static inline void ck_pr_dec_##S##_zero(T *at, bool *is_zero) { *is_zero = ck_pr_dec_##S##_is_zero(at); }               \
    static inline bool ck_pr_cas_##S(T *at, T old, T new_value)                                                              \
    {                                                                                                                        \
        return __atomic_compare_exchange_n(at, &old, new_value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                  \
    }                                                                                                                        \
    static inline bool ck_pr_cas_##S##_value(T *at, T old, T new_value, T *found)                                            \
    {                                                                                                                        \
        bool done = __atomic_compare_exchange_n(at, &old, new_value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);             \
        *found = old;                                                                                                        \
        return done;                                                                                                         \
    }
CK_PR_SEEN(char, char)
CK_PR_SEEN(int, int)
CK_PR_SEEN(uint, unsigned int)
CK_PR_SEEN(8, uint8_t)
CK_PR_SEEN(16, uint16_t)
CK_PR_SEEN(32, uint32_t)
CK_PR_SEEN(64, uint64_t)

/* What other headers of Concurrency Kit ask for before they use it. */
#define CK_F_PR_LOAD_64
#define CK_F_PR_STORE_64
#define CK_F_PR_FAA_32
#define CK_F_PR_FAA_64
#define CK_F_PR_CAS_32
#define CK_F_PR_CAS_64
#define CK_F_PR_CAS_PTR_VALUE

#endif
