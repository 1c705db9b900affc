/*
 * unload.c LIBRARY - loads coir, uses what keeps memory of the process, and unloads it, a few times: nothing is left
 */
#include <coir.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static int passed, failed;

static void check(bool holds, const char *claim)
{
    *(holds ? &passed : &failed) += 1;
    if (!holds)
        printf("FAIL  %s\n", claim);
}

/* The program's allocator, which counts. */
static atomic_llong bytes;
static void *allocate(void *env, size_t size)
{
    (void)env;
    atomic_fetch_add(&bytes, (long long)size);
    return malloc(size);
}
static void release(void *env, void *memory, size_t size)
{
    (void)env;
    atomic_fetch_sub(&bytes, (long long)size);
    free(memory);
}

/* Functions of the library, by name: ISO C has no cast from an object pointer. */
static void *library;
static void find(void *function, const char *name)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    if (symbol == NULL) {
        printf("FAIL  no %s\n", name);
        exit(1);
    }
}
#define FIND(name) __typeof__(&name) its_##name; find(&its_##name, #name)

static bool (*resume)(coir_callback k, coir_result result);

static void *call_back(void *k)
{
    resume(*(coir_callback *)k, coir_ok(coir_int(7)));
    return NULL;
}

/* With an env from a foreign thread. */
static void start(void *env, void *op, coir_callback k)
{
    (void)op;
    pthread_t thread;
    if (env != NULL && pthread_create(&thread, NULL, call_back, &k) == 0)
        pthread_join(thread, NULL);
    else
        resume(k, coir_ok(coir_int(7)));
}

static void use(void)
{
    static const coir_async_type type = { .start = start };
    const coir_memory memory = { allocate, release, NULL };
    FIND(coir_set_memory);
    FIND(coir_async);
    FIND(coir_then);
    FIND(coir_repeat);
    FIND(coir_fork);
    FIND(coir_run);
    FIND(coir_resume);
    FIND(coir_lock_new);
    FIND(coir_with_lock);
    FIND(coir_lock_drop);
    resume = its_coir_resume;
    check(its_coir_set_memory(&memory), "the library is new each time: memory can be set");
    coir_lock *lock = its_coir_lock_new();
    coir_io *both = its_coir_then(its_coir_async(&type, NULL), its_coir_async(&type, library));
    coir_io *io = its_coir_then(its_coir_repeat(its_coir_fork(its_coir_with_lock(lock, its_coir_async(&type, NULL))), 1000), both);
    coir_result result = its_coir_run(io, COIR_OPTIONS(.workers = 2));
    check(result.tag == COIR_OK && result.value.i64 == 7, "it runs");
    its_coir_lock_drop(lock);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    for (int i = 0; i < 4; i++) {
        library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) {
            printf("FAIL  %s\n", dlerror());
            return 1;
        }
        use();
        check(atomic_load(&bytes) > 0, "it keeps memory as long as it is there");
        check(dlclose(library) == 0 && dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL, "it goes when it is closed");
        check(atomic_load(&bytes) == 0, "it leaves nothing behind");
    }
    printf("unload: %d passed, %d failed\n", passed, failed);
    return failed > 0;
}
