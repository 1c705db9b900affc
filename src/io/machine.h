/*
 * machine.h - an instruction of many turns: what runs one io after the other, and decides itself what comes next
 *
 * The one instruction MACHINE carries such a table, so the floors above add what needs a frame of its own (brackets, resources), and the
 * interpreter knows none of it. A machine's node has `machine` and `object` in its head, and room behind it for what is its own.
 */
#ifndef IO_MACHINE_H
#define IO_MACHINE_H

#include "io/node.h"

enum machine_way {
    MACHINE_RUNS,                                       /* turn->io is to be run, its result comes back */
    MACHINE_IS_OVER,                                    /* turn->result is what it ends with */
    MACHINE_STAYS                                       /* turn->result goes on; the frame stays with the routine below, and is given how that ends */
};

struct machine_turn {
    coir_io    *io;                                     /* of RUNS: not NULL */
    bool        borrowed;                               /* the frame keeps it alive */
    coir_result result;                                 /* what was given; then what it ends with */
};

struct coir__machine {
    const char *name;                                   /* "use", for pictures */
    enum machine_way (*begin)(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn);
    enum machine_way (*given)(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn);
    void (*empty)(coir_fiber *fiber, coir_io *frame);   /* of a frame that is let go as it stands: drops what running put into it */
    void (*drop)(coir_io *node);                        /* drops what the node mentions */
};

#endif
