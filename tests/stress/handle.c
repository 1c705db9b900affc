/*
 * handle.c - the last reference that no waiter holds goes at the very moment at which fibers begin to wait: each of them is woken
 */
#include "fibers.h"

/* One thread for many handles, each given up when a fiber is just about to wait: the count of yields differs, and the machine does the rest. */
enum { OBJECTS = 64, WAITERS = 2 };
struct objects { coir_semaphore *semaphores[OBJECTS]; atomic_uint go; };

static void *drop_each(void *objects_)
{
    struct objects *objects = objects_;
    for (unsigned i = 0; i < OBJECTS; i++) {
        while (atomic_load_explicit(&objects->go, memory_order_acquire) <= i)
            ;
        coir_semaphore_drop(objects->semaphores[i]);
    }
    return NULL;
}

static coir_result say_go(void *objects) { atomic_fetch_add(&((struct objects *)objects)->go, 1); return coir_ok(coir_none()); }

TEST_WITH_TIMEOUT(stress_handle, handle_that_goes_while_fibers_begin_to_wait_leaves_none_waiting, 600)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(600); round++) {
            struct objects objects = { .go = 0 };
            struct gate gate = GATE;
            coir_io *each[OBJECTS];
            pthread_t thread;
            for (size_t i = 0; i < OBJECTS; i++) {
                objects.semaphores[i] = coir_semaphore_new_bounded(0, 1);
                coir_io *first = coir_acquire(objects.semaphores[i], 1), *second = coir_acquire(objects.semaphores[i], 1);
                each[i] = waited(COIR_IOS(coir_then(coir_defer(say_go, &objects), first), second));
            }
            CHECK_INT(pthread_create(&thread, NULL, drop_each, &objects), 0);
            coir_result result = run(workers, coir_then(coir_fork(passing(&gate)), coir_finally(coir_zip(OBJECTS, each), opening(&gate))));
            CHECK_TAG(result, COIR_OK);
            for (size_t i = 0; i < OBJECTS; i++)
                CHECK_INT(how_many_are(coir_list_at(&result.value, i), COIR_PANIC), WAITERS);
            coir_result_drop(&result);
            CHECK_INT(pthread_join(thread, NULL), 0);
        }
}
