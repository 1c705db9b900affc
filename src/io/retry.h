/*
 * io/retry.h - a schedule: when a round of RETRY is followed by another
 *
 * A schedule is an array of parts in postfix order: a part of one or two others stands right behind them. So it is judged from the left
 * to the right with a small stack, whatever its shape; putting two together copies them. Parts are only read: what a run must remember,
 * two words a part, stands in its frame.
 */
#ifndef IO_RETRY_H
#define IO_RETRY_H

#include "io/node.h"

enum part_kind {
    PART_RECURS, PART_SPACED, PART_EXPONENTIAL, PART_FIBONACCI, PART_DECORRELATED, PART_WHILE, PART_DELAY_FROM, PART_NEXT,
    PART_CAPPED, PART_JITTERED, PART_FULL_JITTER, PART_WITHIN, PART_RESET_AFTER,                    /* of the one before */
    PART_AND, PART_OR                                                                               /* of the two before */
};

enum { SCHEDULE_PARTS_MAX = 64 };

/* Bytes of an env that parts share. */
struct captured_env {
    _Atomic uint32_t refs;
    size_t           size;
    _Alignas(16) unsigned char bytes[];
};

struct part {
    enum part_kind kind;
    uint32_t       operands;                            /* how many parts before it are what it is a part of */
    union {
        uint64_t       times;                           /* RECURS */
        int64_t        ns;                              /* a pause, a bound */
        coir_test_fn  *test;
        coir_delay_fn *delay;
        coir_next_fn  *next;
        any_fn        *fn;
    };
    union {
        double  number;                                 /* EXPONENTIAL: factor; JITTERED: fraction */
        int64_t max_ns;                                 /* DECORRELATED */
        void   *env;                                    /* WHILE, DELAY_FROM, NEXT */
    };
    struct captured_env *captured;                      /* where env points to; NULL: env is borrowed, or there is none */
};

struct coir_schedule {
    _Atomic uint32_t refs;
    uint32_t         count;
    bool             reads_clock;
    const char      *function, *what;                   /* of a bad argument, see coir__bad_argument(); NULL: it is none, and has parts */
    struct part      parts[];
};

/* coir__retry_slots: of a node or frame of RETRY. */
static inline uint64_t (*coir__retry_slots(coir_io *node))[2]
{
    return (uint64_t (*)[2])(void *)((char *)node + NODE_SIZE_OF(retry));
}

const char *coir__retry_name(const coir_io *node);
void coir__parts_print(const coir_schedule *schedule, FILE *out);

#endif
