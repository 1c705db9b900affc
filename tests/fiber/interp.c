/*
 * interp.c - what the interpreter does with ios that nobody should have passed
 */
#include "program.h"

#include "io/node.h"

/* In other builds this is undefined, and under plain memory the sanitizers' to find. */
#if NODE_WATCHED

TEST(interp, io_that_was_used_up_is_a_panic_in_the_checking_build)
{
    FOR_WORKERS(workers, 1, 2) {
        coir_io *io = coir_pure(coir_int(1));
        coir_result result = run(workers, coir_then(io, io));
        CHECK_TAG(result, COIR_PANIC);
        CHECK_CONTAINS(coir_error_message(&result.value), "used up");
        coir_result_drop(&result);
    }
}

TEST(interp, io_run_a_second_time_is_a_panic_in_the_checking_build)
{
    coir_io *io = coir_named(coir_map(coir_unit(), NULL, NULL), "once");
    coir_result first = run(1, io), second = run(1, io);
    CHECK_TAG(second, COIR_PANIC);
    CHECK_CONTAINS(coir_error_message(&second.value), "used up");
    coir_result_drop(&first);
    coir_result_drop(&second);
}

#endif

TEST(interp, null_io_is_a_panic_with_enomem_that_names_the_fiber)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_result result = run(workers, NULL);
        CHECK_TAG(result, COIR_PANIC);
        CHECK_INT(coir_error_code(&result.value), ENOMEM);
        CHECK_CONTAINS(coir_error_message(&result.value), "(fiber ");
        coir_result_drop(&result);
    }
}
