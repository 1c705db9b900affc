/*
 * serial.c - tests of serial numbers
 */
#include "check.h"

#include "base/serial.h"

#include <pthread.h>

enum { NUMBERS = 10000 };

static void *take_many(void *last)
{
    for (int i = 0; i < NUMBERS; i++) {
        uint64_t next = coir__serial_next();
        CHECK(next > *(uint64_t *)last);
        *(uint64_t *)last = next;
    }
    return NULL;
}

TEST(serial, numbers_grow_and_none_is_given_twice)
{
    uint64_t mine = 0, theirs = 0, first = coir__serial_next();
    pthread_t thread;
    CHECK(first > 0);
    CHECK_INT(pthread_create(&thread, NULL, take_many, &theirs), 0);
    take_many(&mine);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_UINT(coir__serial_next(), first + 2 * NUMBERS + 1);       /* as many as were taken: so no two are the same */
}
