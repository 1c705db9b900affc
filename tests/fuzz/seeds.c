/*
 * fuzz/seeds.c - what libFuzzer begins with: the bytes of the first programs that the tests run
 *
 *     seeds FOLDER COUNT
 */
#include "random/program.h"

#include <stdlib.h>

enum { BYTES = 1024 };

static bool write_seed(const char *folder, unsigned seed)
{
    char path[1000];
    struct source source = random_from_seed(seed);
    snprintf(path, sizeof path, "%s/seed-%u", folder, seed);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    for (int i = 0; i < BYTES; i++)
        fputc(random_byte(&source), file);
    return fclose(file) == 0;
}

int main(int argc, char **argv)
{
    unsigned count = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    for (unsigned seed = 0; seed < count; seed++)
        if (!write_seed(argv[1], seed))
            return 1;
    return count == 0;
}
