/*
 * fault.h - programs with one right answer, run while memory or threads fail
 *
 *     FAULT_PROGRAM(strings, "OK [a b]")
 *     {
 *         return fault_run(coir_zip(COIR_IOS(coir_pure(coir_stringf("a")), coir_pure(coir_stringf("b")))), options);
 *     }
 *
 * Whatever fails, such a program ends: with its answer (as describe() of program.h has it) or with a failure that says ENOMEM; and then
 * nothing of it is left: no thing, no byte, no thread. It builds its ios inside, so building fails too, and runs them by fault_run(), with the
 * options that it is given, or a changed copy of them.
 *
 * `make fault` lets each allocation and each thread of each program fail (sweep.c). The suites run the same programs with what is
 * elsewhere: with cells in place of plain memory, and with an allocator that checks what it is given back (tests/runtime/memory.c).
 */
#ifndef FAULT_H
#define FAULT_H

#include "fibers.h"

#include <limits.h>

/* --------------------------------------------------------------------------------------------------------- programs */

struct fault_program {
    const char  *name, *answer;
    const char  *may_say;                               /* what else it may say beside ENOMEM: "DEADLOCK" where one can follow from it */
    coir_result (*body)(const coir_options *options);
    atomic_int  *things;                                /* of its file: how many are alive */
    const char *(*notes)(void);                         /* of its file */
    struct fault_program *next;
};

#define FAULT_PROGRAM(name, answer) FAULT_PROGRAM_THAT_MAY(name, "", answer)
#define FAULT_PROGRAM_THAT_MAY(name, may_say, answer)                                                         \
    static coir_result name(const coir_options *options);                                                     \
    __attribute__((constructor)) static void name##_add(void)                                                 \
    {                                                                                                         \
        static struct fault_program program = { #name, answer, may_say, name, &things_alive, notes, NULL };   \
        fault_add(&program);                                                                                  \
    }                                                                                                         \
    static coir_result name(const coir_options *options)

void fault_add(struct fault_program *program);
const struct fault_program *fault_programs(void);

/* fault_wrong: in a program, from any thread: something is not as it must be, whatever failed. fault_told: the want of memory was told
 * in a way that the result does not show. */
void fault_wrong(const char *format, ...) COIR_PRINTF(1, 2);
void fault_told(void);
/* fault_expect: a part of the outcome, which is right, or says ENOMEM. fault_expect_all: takes the result; if it is a list of boxes each of
 * them is expected to be just that, and it gives how many they are. */
void fault_expect(size_t part, const coir_value *box, const char *expected);
coir_result fault_expect_all(coir_result result, const char *expected);

/* fault_elsewhere: act(k) on a thread that is none of coir's, soon. It is done before the program's end is judged. */
void fault_elsewhere(void (*act)(coir_callback k), coir_callback k);

/* fault_run: coir_run(), or the same simulated, as the program is tried. */
coir_result fault_run(coir_io *io, const coir_options *options);

/* fault_checked: the result OK with a value, or the panic that the value stands for. */
static inline coir_result fault_checked(coir_value value) { return coir_result_and(coir_ok(coir_none()), coir_ok(value)); }

/* ------------------------------------------------------------------------------------------------------ what can fail */

/* Of what is asked for, counted from 0: `count` in a row fail, from the first on. */
struct fault_span { long long first, count; };
#define FAULT_NONE ((struct fault_span){ LLONG_MAX, 0 })
#define FAULT_FOR_GOOD LLONG_MAX

struct fault_scarce { atomic_llong asked, failed, first, end; };
extern struct fault_scarce fault_memory, fault_threads;

/* fault_strikes: one more is asked for: whether it fails. */
bool fault_strikes(struct fault_scarce *scarce);

/* fault_begin: sets the allocator that can fail; before anything else of coir's is used. */
void fault_begin(void);

/* fault_keeps: what a run of a program may leave for good, and is then used by all later ones: that many bytes, so many times at most. */
void fault_keeps(long long bytes, unsigned times);

enum fault_end { FAULT_RIGHT, FAULT_TOLD, FAULT_WRONG };

struct fault_report {
    enum fault_end end;
    long long memory, threads;                          /* how many were asked for */
    bool      struck;                                   /* one at least has failed */
    long long kept;                                     /* bytes more than before */
    char      text[2 * SCRATCH_SIZE];                   /* how it ended, and what is wrong with that */
};

/* fault_try: the program, run in this way, while these fail. */
struct fault_way { unsigned workers; bool is_simulated; uint64_t seed; };
void fault_try(const struct fault_program *program, struct fault_way way, struct fault_span memory, struct fault_span threads,
               struct fault_report *report);

#endif
