/*
 * ck_ring.h - the ring as the thread sanitizer can see it: stands before the real one in that build only
 *
 * A consumer that loses the race for a slot has read it while it was being refilled, and throws away what it read. So slots are copied
 * by memcpy() on purpose; here word by word with relaxed atomics, which says the same to the sanitizer.
 */
#ifndef COIR_SEEN_CK_RING_H
#define COIR_SEEN_CK_RING_H
#pragma GCC system_header

#include <ck_string.h>
#include <stdint.h>

static inline void *ck_ring_seen_copy(void *to, const void *from, size_t size)
{
    for (size_t i = 0; i < size / sizeof(uintptr_t); i++)
        __atomic_store_n((uintptr_t *)to + i, __atomic_load_n((const uintptr_t *)from + i, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    for (size_t i = size - size % sizeof(uintptr_t); i < size; i++)
        __atomic_store_n((char *)to + i, __atomic_load_n((const char *)from + i, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    return to;
}

#define memcpy ck_ring_seen_copy
#include_next <ck_ring.h>
#undef memcpy

#endif
