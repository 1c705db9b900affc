/*
 * main.c - a run as a whole program
 */
#include <coir.h>

enum { STATUS_ERROR = 1, STATUS_PANIC = 70, STATUS_CANCELED = 130 };

int coir_main(coir_io *io, const coir_options *options)
{
    static const int status[] = { 0, STATUS_ERROR, STATUS_PANIC, STATUS_CANCELED };
    coir_result result = coir_run(io, options);
    int exit_status = status[result.tag];
    if (result.tag == COIR_ERROR || result.tag == COIR_PANIC) {
        coir_result_print(&result, stderr);
        fputc('\n', stderr);
    }
    coir_result_drop(&result);
    return exit_status;
}
