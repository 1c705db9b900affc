/*
 * hello.c - shows the smallest program: an io is a value, and nothing happens before it is run
 */
#include <coir.h>

static coir_io *greet(void *env, coir_value *name)              /* name is lent: dropped for us when we are done */
{
    (void)env;
    printf("hello %s\n", coir_text(name));
    return coir_unit();
}

int main(void)
{
    coir_io *hello = coir_flat_map(coir_pure(coir_stringf("world")), greet, NULL);
    coir_io *twice = coir_then(coir_io_ref(hello), hello);      /* used twice, so one more reference */

    puts("built, and nothing printed so far");
    return coir_main(twice, NULL);                              /* takes it: nothing is left to free */
}
