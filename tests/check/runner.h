/*
 * runner.h - what our runner asks of the rounds that a test is run in: simulate.c, or once.c where nothing is simulated
 */
#ifndef CHECK_RUNNER_H
#define CHECK_RUNNER_H

#include "check.h"

/* check_passes_once: runner.c: runs the body, and ends the process where that takes too long. */
bool check_passes_once(const struct check_test *test);

/* check_left_out: why it is not run; NULL: it is. */
const char *check_left_out(const struct check_test *test);
/* check_rounds_pass: stops at the first round that fails, and prints `program` with the arguments that repeat it for the test of that name. */
bool check_rounds_pass(const struct check_test *test, const char *program, const char *name);
/* check_round_again: that line, for handlers, while a round is going on; "" otherwise. */
const char *check_round_again(void);
/* check_rounds_option: of the command line; false: it is none. check_rounds_sum: prints how much was simulated. */
bool check_rounds_option(int option, const char *argument);
void check_rounds_sum(void);

#endif
