/*
 * random/program.h - random programs, what they do, and what they must do
 *
 *     struct program *program = random_program(random_from_seed(17));
 *     char *expected = random_expected(program), *found = random_run(program);
 *     ... the two texts are equal, or random_print(program, stderr) shows the program that does what it must not
 *
 * A program is a small tree of ours (a term). It has two readings: build.c makes an io of it and has it run, evaluate.c walks over it
 * and says what must come out, from what the headers promise. Both write the same text: how the run ended, what each fiber noted, in
 * the order in which it did, and what was left. So programs are drawn such that these are the same in every schedule: each fiber has
 * a trace of its own, what several fibers count they count under a lock, and objects are taken in one order, which makes no ring. What
 * is not determined (whether a lock could be had at once, who was the first to end) stays out of the text; that it is one of the allowed
 * answers is checked while the program runs.
 *
 * A new instruction is a line in ops.h, a case in build.c, one in evaluate.c, and perhaps one in program.c, where it is drawn.
 * run.c knows the drivers.
 *
 * Terms are total: what refers to something that is not there (a value lent further out, a shared io) is a unit. So terms can be cut
 * and replaced without a look at the others, and the shrinker does.
 */
#ifndef RANDOM_PROGRAM_H
#define RANDOM_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ------------------------------------------------------------------------------------------------------------- memory */

/* An arena: everything in it is zeroed, and goes at once. From one thread at a time. */
struct arena { struct block *blocks; };
void *random_alloc(struct arena *arena, size_t size);
void  random_free_all(struct arena *arena);

/* A text that grows, always with a NUL. Zeroed it is empty. */
struct text { char *chars; size_t size, room; };
void random_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* -------------------------------------------------------------------------------------------------------------- draws */

/* Where choices come from: without end from a seed, or from bytes, after which all choices are 0. */
struct source { const uint8_t *bytes; size_t left; uint64_t state; };
struct source random_from_seed(uint64_t seed);
struct source random_from_bytes(const uint8_t *bytes, size_t size);
unsigned      random_draw(struct source *source, unsigned limit);   /* below limit, which is at most 65536 */
uint8_t       random_byte(struct source *source);

/* -------------------------------------------------------------------------------------------------------------- terms */

enum op {
#define OP(name, ...) OP_##name,
#include "random/ops.h"
#undef OP
    OPS
};

enum { TERM_KIDS = 4, SLOTS = 4, KEYS = 2, OBJECTS = 4, MANY = 100 };

/* What a value is, before it is made. Of one plan the same is made in every run. */
enum kind {
    KIND_NONE, KIND_INT, KIND_THING, KIND_SOLE, KIND_STRING, KIND_ERROR, KIND_BECAUSE, KIND_INTS, KIND_THINGS, KIND_SOLES, KIND_BOX,
    KIND_BAD_BOX, KINDS
};
struct plan { enum kind kind; int number; };

/* The lists of variants, and what their members are called: `how` in a term is an index of its op's list. */
enum ways {
    WAYS_PLAIN, WAYS_TAGS, WAYS_BAD, WAYS_DEFER, WAYS_AGAIN, WAYS_SLEEP, WAYS_ASYNC, WAYS_MAP, WAYS_FLATTEN, WAYS_CONTEXT, WAYS_REC,
    WAYS_SUSPEND, WAYS_USE, WAYS_TWICE, WAYS_REDEEM, WAYS_FINAL, WAYS_ROUTINE, WAYS_HOLD, WAYS_WRONG, WAYS_FORK, WAYS_PARALLEL,
    WAYS_WAIT, WAYS_RETRY, WAYS
};

enum bad       { BAD_FUNCTION, BAD_BIG, BAD_NEVER_BUILT, BAD_PANIC_VALUE };
enum defer     { DEFER_OK, DEFER_ERROR, DEFER_PANIC, DEFER_CANCELED, DEFER_BROKEN };
enum again     { AGAIN_INT, AGAIN_THING, AGAIN_SOLE };
enum sleep     { SLEEP_SOME, SLEEP_NONE, SLEEP_UNTIL_PAST };
enum async     {
    ASYNC_OK, ASYNC_ERROR, ASYNC_PANIC, ASYNC_BROKEN, ASYNC_TWICE, ASYNC_DROPPED, ASYNC_AND_DROPPED, ASYNC_AFAR, ASYNC_AFAR_TWICE
};
enum flatten   { FLATTEN_IO, FLATTEN_VALUE };
enum context   { CONTEXT_NEXT, CONTEXT_SHARE, CONTEXT_BORN, CONTEXT_BROKEN };
enum rec       { REC_THEN, REC_KEEP, REC_FINALLY };
enum suspend   { SUSPEND_BODY, SUSPEND_NOTHING, SUSPEND_READY };
enum retry     { RETRY_ERRORS, RETRY_VALUES, RETRY_BOTH };
enum twice     { TWICE_ATTEMPT, TWICE_ZIP, TWICE_OR_ELSE, TWICE_FINALLY };
enum hold      { HOLD_WITH, HOLD_APART };
enum wrong     { WRONG_TOO_MANY, WRONG_NEGATIVE, WRONG_NONE, WRONG_GIVES_TOO_MANY };
enum fork      { FORK_HANDLE, FORK_JOIN, FORK_WAIT, FORK_DETACHED };
enum waiting   { WAITING_JOIN, WAITING_ALL, WAITING_ANY };
enum parallel  { PARALLEL_EACH, PARALLEL_ZIP, PARALLEL_LAST, PARALLEL_HANDLES };

/* What a map function gives. */
enum map {
    MAP_TAKE, MAP_SAME, MAP_THING, MAP_SOLE, MAP_NUMBER, MAP_STRING, MAP_LIST, MAP_ITEM, MAP_PUSH, MAP_BROKEN, MAP_LOSE
};

/* What a callback does with the value that it is lent, and what it gives: the body, or something around it. */
enum use {
    USE_LEAVE,                                          /* not taken; the body may look at it */
    USE_DROP,                                           /* taken and dropped before the body is built */
    USE_GIVE, USE_FAIL, USE_PANIC,                      /* taken, and given at once, without a body */
    USE_AS, USE_KEEP, USE_PAIR, USE_FINAL,              /* taken into an io around the body */
    USE_SHARE,                                          /* a share of it is, and it is not taken */
    USE_LOCAL, USE_KEY,                                 /* taken for the body's context, or a key's value */
    USE_CALL,                                           /* taken into a call, which is lent it again */
    USE_OWNED,                                          /* taken; the body owns it */
    USE_ITEM, USE_UNBOX,                                /* what is inside, where something is */
    USE_NOTHING, USE_LOSE,                              /* NULL; with it, or after it was dropped */
    USE_READY                                           /* not taken; the body was built beforehand */
};

enum redeem { REDEEM_LEAVE, REDEEM_GIVE, REDEEM_BOX, REDEEM_VALUE, REDEEM_NOTHING, REDEEM_LOSE, REDEEM_READY };
enum final  { FINAL_BODY, FINAL_UNIT, FINAL_NOTHING, FINAL_READY };
enum ending { ENDING_LAST, ENDING_FALL, ENDING_RAISE, ENDING_BECOME, ENDING_HELD, ENDING_NOTHING };

/* How a parallel's fibers are looked at: a script of these, each with an index. */
enum look { LOOK_JOIN, LOOK_WAIT, LOOK_WAIT_ALL, LOOK_WAIT_ANY, LOOK_JOIN_ELSEWHERE, LOOKS };
struct look_at { uint8_t look, index; };

struct term {
    enum op      op;
    unsigned     how;
    unsigned     times;                                 /* rounds, permits, a routine's flags */
    unsigned     which;                                 /* of the keys, objects, variables; a flag of some */
    int          number;                                /* its own, in what it notes */
    int          slot;                                  /* where its body finds what its callback was lent; -1: nowhere */
    struct plan  value;
    size_t       count;
    struct term *kids[TERM_KIDS];
    uint8_t      looks_count;
    struct look_at looks[3];
};

struct op_facts {
    const char *shown;
    unsigned    kids, bodies;
    enum ways   ways;
    bool        carries, bears;
};
extern const struct op_facts random_ops[OPS];
struct ways_facts { unsigned count; const char *const *names; };
extern const struct ways_facts random_ways[WAYS];

/* Whether kid number i of the term is built by its callback. */
static inline bool is_body(const struct term *term, size_t i) { return i + random_ops[term->op].bodies >= term->count; }
/* Whether that body is built together with the term all the same. */
bool random_is_ready(const struct term *term);

/* The objects of sync.h in the order in which they may be taken: two locks, two semaphores. */
static inline bool is_lock(unsigned object)      { return object % 2 == 0; }
static inline int  permits_of(unsigned object)   { return is_lock(object) ? 1 : object == 1 ? 3 : 1; }
/* How many permits a term asks for. */
static inline int  permits_asked(const struct term *term) { return 1 + (int)term->times % permits_of(term->which); }

/* -------------------------------------------------------------------------------------------------------------- programs */

/* The schedule. */
struct how {
    bool     is_simulated;
    unsigned workers;                                   /* as in coir_options */
    uint32_t budget;
    unsigned seed, policy;                              /* of the simulation */
};

struct program {
    struct arena arena;
    struct term *root;
    bool         is_alone;                              /* one fiber: all that happens is determined, to the moment at which a value dies */
    bool         runs_twice;                            /* the same io */
    bool         is_shown;                              /* printed, drawn and visited before it runs */
    struct plan  context;
    struct how   how;                                   /* drawn with it, for whoever wants no other */
};

/* random_program_of: one of about so many terms at most. */
struct program *random_program(struct source source);
struct program *random_program_of(struct source source, unsigned terms);
void            random_program_drop(struct program *program);
/* random_print: the tree, a line a term, with the schedule. */
void            random_print(const struct program *program, FILE *out);

/* random_run: builds the program and runs it as its `how` says. random_expected: what that must give; NULL: the program is too long to be
 * worth a run. random_verdict: NULL if a run gives it, otherwise both, for people. All texts are the caller's to free(). */
char           *random_run(const struct program *program);
char           *random_expected(const struct program *program);
char           *random_verdict(const struct program *program);

/* random_shrink: makes the program smaller as long as fails(env, program) says that it still fails. Gives how often it asked. */
typedef bool random_fails_fn(void *env, const struct program *program);
unsigned        random_shrink(struct program *program, random_fails_fn *fails, void *env);

#endif
