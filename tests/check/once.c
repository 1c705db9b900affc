/*
 * once.c - in place of simulate.c: nothing is simulated, and each test has one round
 */
#include "check/runner.h"

const char *check_left_out(const struct check_test *test) { (void)test; return NULL; }
bool check_rounds_option(int option, const char *argument) { (void)option; (void)argument; return false; }
const char *check_round_again(void) { return ""; }
void check_rounds_sum(void) {}

bool check_rounds_pass(const struct check_test *test, const char *program, const char *name)
{
    (void)program;
    (void)name;
    return check_passes_once(test);
}
