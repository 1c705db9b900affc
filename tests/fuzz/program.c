/*
 * fuzz/program.c - random programs from the bytes of libFuzzer, which looks for those that go where none has gone before
 *
 *     make fuzz                                   for FUZZ_SECONDS
 *     build/fuzz/programs build/fuzz/found/...    what failed, again: it is made smaller and printed
 *
 * With COIR_RANDOM_SHOW=1 each program is printed before it runs: for those that crash, or leak.
 */
#include "random/program.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool fails(void *env, const struct program *program)
{
    char *verdict = random_verdict(program);
    (void)env;
    free(verdict);
    return verdict != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct program *program = random_program(random_from_bytes(bytes, size));
    if (getenv("COIR_RANDOM_SHOW") != NULL)
        random_print(program, stderr);
    char *verdict = random_verdict(program);
    if (verdict != NULL) {
        random_print(program, stderr);
        fputs(verdict, stderr);
        (void)random_shrink(program, fails, NULL);
        fputs("\nMade smaller:\n", stderr);
        random_print(program, stderr);
        abort();
    }
    random_program_drop(program);
    return 0;
}
