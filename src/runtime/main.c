/*
 * main.c - a run as a whole program
 */
#include <coir.h>

#include <inttypes.h>

enum { STATUS_ERROR = 1, STATUS_PANIC = 70, STATUS_CANCELED = 130 };

/* Workers call it at the same time: a failure is a line, or some, of its own. */
static void print_unseen(void *env, uint64_t fiber_id, const coir_result *failure)
{
    (void)env;
    flockfile(stderr);
    fprintf(stderr, "fiber %" PRIu64 ", whose end nobody waited for: ", fiber_id);
    coir_result_print(failure, stderr);
    fputc('\n', stderr);
    funlockfile(stderr);
}

static void print_warning(void *env, uint64_t fiber_id, const char *message)
{
    (void)env;
    (void)fiber_id;
    fprintf(stderr, "warning: %s\n", message);
}

/* The options with hooks where there are none. Those of another version stay: coir_run() refuses them. */
static const coir_options *with_hooks(const coir_options *given, coir_options *own)
{
    static const coir_options defaults = { .size = sizeof defaults };
    if (given != NULL && given->size != 0 && given->size != sizeof *given)
        return given;
    *own = given == NULL ? defaults : *given;
    if (own->on_unseen_failure == NULL)
        own->on_unseen_failure = print_unseen;
    if (own->on_warning == NULL)
        own->on_warning = print_warning;
    return own;
}

int coir_main(coir_io *io, const coir_options *options)
{
    static const int status[] = { 0, STATUS_ERROR, STATUS_PANIC, STATUS_CANCELED };
    coir_options own;
    coir_result result = coir_run(io, with_hooks(options, &own));
    int exit_status = status[result.tag];
    if (result.tag == COIR_ERROR || result.tag == COIR_PANIC) {
        coir_result_print(&result, stderr);
        fputc('\n', stderr);
    }
    coir_result_drop(&result);
    return exit_status;
}
