/*
 * show.c - shows that a program is data: it can be printed, drawn and counted before it is run, or instead
 *
 *     show | sed -n '/^digraph/,/^}/p' | dot -Tsvg >program.svg
 */
#include <coir.h>

#include <errno.h>

static coir_result read_page(void *env)
{
    (void)env;
    return coir_ok(coir_stringf("a page"));
}

static coir_io *print_page(void *env, coir_value *page)
{
    (void)env;
    puts(coir_text(page));
    return coir_unit();
}

static bool count(void *env, const coir_io_view *view)
{
    size_t *instructions = env;
    (void)view;
    ++*instructions;
    return true;                                                /* go on */
}

int main(void)
{
    coir_lock *lock = coir_lock_new();
    coir_io *page = coir_named(coir_then(coir_sleep(coir_ms(1)), coir_defer(read_page, NULL)), "read the page");
    coir_io *fallback = coir_or_else(page, coir_pure(coir_stringf("no page")));
    coir_io *program = coir_with_lock(lock, coir_flat_map(fallback, print_page, NULL));
    coir_lock_drop(lock);

    size_t instructions = 0;
    coir_io_visit(program, count, &instructions);
    printf("%zu instructions\n", instructions);
    coir_io_print(program, stdout, 0);
    coir_io_dot(program, stdout, 0);
    return coir_main(program, NULL);
}
