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
 * is not determined and makes no difference (whether a lock could be had at once) stays out of the text; that it is one of the allowed
 * answers is checked while the program runs.
 *
 * What is not determined and does make a difference is above all the moment of a cancellation: of a time-out that fires, of who lost a race, whose
 * sibling failed, whom its parent or its scope calls off. There the evaluator chooses (model_choose()), and what a program may come to is not one text but
 * all that the choices lead to: outcome.c looks whether what a run gave is among them. Choices that cannot have been, as a sibling that was asked to end
 * though nothing had failed, are refuted.
 *
 * So that something is there to be called off, programs wait for it (OP_STALL), where a time-out that fires stands around them, a group or a scope
 * that somebody settles, or a parent who cancels them when they wait. Behind a mask they look whether they have been asked, until they have.
 *
 * Counted is, besides the instructions run, what happened to them (RANDOM_EVENTS): law/random.c fails if anything of this never did.
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
    WAYS_WAIT, WAYS_RETRY, WAYS_LIMIT, WAYS_STALL, WAYS_BRACKET,
    WAYS_USING, WAYS_RELEASE, WAYS_DROPS, WAYS_MAKE, WAYS_HELD, WAYS_HUNT, WAYS_GROUP, WAYS_ITEMS, WAYS_NURSERY, WAYS
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
/* Of a time-out: none; long after all has ended; a moment, so that it fires if there is time; it has passed. */
enum limit     { LIMIT_NONE, LIMIT_LONG, LIMIT_SOON, LIMIT_PAST };
/* How what is waiting to be called off waits, where it can see that; else it looks again and again whether it has been. The last three wait for
 * a callback, which brings a value, an error or a panic when it is asked for. */
enum stall     { STALL_LOOKS, STALL_NEVER, STALL_SLEEP, STALL_ACQUIRE, STALL_VALUE, STALL_ERROR, STALL_PANIC };
enum twice     { TWICE_ATTEMPT, TWICE_ZIP, TWICE_OR_ELSE, TWICE_FINALLY };
enum hold      { HOLD_WITH, HOLD_APART };
enum wrong     { WRONG_TOO_MANY, WRONG_NEGATIVE, WRONG_NONE, WRONG_GIVES_TOO_MANY };
enum fork      { FORK_HANDLE, FORK_JOIN, FORK_WAIT, FORK_DETACHED };
/* When a child is canceled: as soon as it waits to be, or has ended; at once; when it has ended. */
enum hunt      { HUNT_STALLED, HUNT_AT_ONCE, HUNT_ENDED };
enum hunt_end  { HUNT_WAIT, HUNT_JOIN, HUNT_HANDLE, HUNT_FORGET };
enum group     { GROUP_RACE, GROUP_RACE_OK, GROUP_ZIP, GROUP_BOTH, GROUP_ZIP_ALL };
enum items     { ITEMS_VALUES, ITEMS_NOTHING, ITEMS_BOXES, ITEMS_BOXED_NOTHING };
/* The last three: a supervise_drain. */
enum nursery_of { NURSERY_SCOPE, NURSERY_SUPERVISE, NURSERY_AT_ONCE, NURSERY_SOON, NURSERY_LATE };
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

/* Of resources: what use and release make of what is held; what a callback gives in place of one; what is held in place of it. */
enum bracket { BRACKET_BODIES, BRACKET_NO_USE, BRACKET_NO_RELEASE, BRACKET_TAKEN };
enum using   { USING_USE, USING_WITH, USING_NOTHING };
enum release { RELEASE_BODY, RELEASE_UNIT, RELEASE_TAKEN, RELEASE_NOTHING };
enum drops   { DROPS_VALUE, DROPS_NOTHING };
enum make    { MAKE_BODY, MAKE_TAKEN, MAKE_NOTHING };
enum held_as { HELD_NUMBER, HELD_THING, HELD_SHARE, HELD_BROKEN };

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
enum { HOWS_MAX = 19 };
struct ways_facts { unsigned count; const char *const *names; };
extern const struct ways_facts random_ways[WAYS];

/* Whether kid number i of the term is built by its callback. */
static inline bool is_body(const struct term *term, size_t i) { return i + random_ops[term->op].bodies >= term->count; }
/* Whether the term is a resource, or kid number i of it stands for one. Elsewhere a resource is used for nothing, and an io in its place is lifted. */
bool random_is_resource(enum op op);
bool random_takes_resource(const struct term *term, size_t i);
/* Whether a routine holds its second kid. */
static inline bool random_holds(const struct term *term) { return (term->times & 4) != 0; }
/* Whether around kid number i stands, by this term, a time-out that fires. */
static inline bool random_is_due(const struct term *term, size_t i)
{
    return (term->op == OP_TIMEOUT || term->op == OP_TIMEOUT_TO) && i == 0 && term->how == LIMIT_SOON;
}
/* Whether the first kid of such a group ends in a way that settles it, or that of a scope in a failure, whatever it does: so the others may wait for that. */
bool random_is_sure(const struct term *term);
/* Whether kid number i of such a group is masked from beginning to end: so it comes to something though the whole is called off. Not where it cancels itself
 * in order to settle that. */
static inline bool random_is_shielded(const struct term *term, size_t i)
{
    return (term->which & 2) != 0 && !(i == 0 && term->how == GROUP_ZIP_ALL && random_is_sure(term));
}
/* Whether kid number i may be run behind a mask that the term puts there. */
bool random_is_masked(const struct term *term, size_t i);
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
    bool         is_calm;                               /* nobody waits for a verdict: so there can be timers that are not to fire */
    bool         runs_twice;                            /* the same io */
    bool         is_shown;                              /* printed, drawn and visited before it runs */
    struct plan  context;
    struct how   how;                                   /* drawn with it, for whoever wants no other */
};

/* Whether what kid number i of the term runs is called off, if it waits for that: not where a verdict could be waited for. */
bool random_is_hunted(const struct program *program, const struct term *term, size_t i);

/* random_program_of: one of about so many terms at most. */
struct program *random_program(struct source source);
struct program *random_program_of(struct source source, unsigned terms);
void            random_program_drop(struct program *program);
/* random_print: the tree, a line a term, with the schedule. */
void            random_print(const struct program *program, FILE *out);

/* random_run: builds the program and runs it as its `how` says. random_expected: what that must give, or one of what it may; NULL: the program is
 * too long to be worth a run. random_verdict: NULL if what a run gives is allowed, otherwise both, for people. All texts are the caller's to
 * free(). */
char           *random_run(const struct program *program);
char           *random_expected(const struct program *program);
char           *random_verdict(const struct program *program);

/* What happens that is rare enough to be counted. The evaluator knows of it, whose walk comes to what the run gave. */
#define RANDOM_EVENTS(E)                                                                                                \
    E(SEEN,          "cancellation seen")                                                                               \
    E(HELD_BACK,     "cancellation held back by a mask")                                                                \
    E(TIMED_OUT,     "time-out that fired")                                                                             \
    E(PASSED_ON,     "time-out that fired inside of what was canceled, too")                                            \
    E(VALUE_WON,     "value that was there when the time-out fired")                                                    \
    E(ANSWERED,      "callback called off that brought a value or a panic")                                             \
    E(SEEN_ACQUIRING, "cancellation seen inside of an acquisition")                                                     \
    E(SEEN_USING,    "cancellation seen inside of a use")                                                               \
    E(SEEN_RELEASING, "cancellation seen inside of a release")                                                          \
    E(HELD_ACQUIRING, "cancellation held back by an acquisition")                                                       \
    E(HELD_RELEASING, "cancellation held back by a release")                                                            \
    E(NEVER_BEGAN,   "fiber canceled before it began")                                                                  \
    E(HUNTED,        "fiber canceled by its parent")                                                                    \
    E(LOSER,         "loser of a race canceled")                                                                        \
    E(SIBLING,       "sibling of a failure canceled")                                                                   \
    E(CALLED_OFF,    "whole called off with its children")                                                              \
    E(WON_ALL_THE_SAME, "whole called off that came to a value all the same")                                           \
    E(FROM_OUTSIDE,  "whole canceled by a child that nobody here had asked")                                            \
    E(NOT_BEGUN,     "item not begun any more")                                                                         \
    E(MEMBER,        "member of a scope canceled")                                                                      \
    E(OWNER,         "scope's own io canceled by a member's end")                                                       \
    E(GRACE_OVER,    "member canceled since the grace was over")
enum event {
#define E(name, shown) EVENT_##name,
    RANDOM_EVENTS(E)
#undef E
    EVENTS
};
extern const char *const random_events[EVENTS];

/* What the verdicts of this process were about. */
struct random_tally {
    uint64_t programs, too_long, walks;
    uint64_t ran[OPS][HOWS_MAX], events[EVENTS];        /* instructions run, by variants, and what happened, in runs that were allowed */
    uint64_t other;                                     /* runs that gave another outcome than the expected one */
    uint64_t undecided;                                 /* of these: whether it is allowed would have taken too long to find out */
};
extern struct random_tally random_tally;

/* random_shrink: makes the program smaller as long as fails(env, program) says that it still fails. Gives how often it asked. */
typedef bool random_fails_fn(void *env, const struct program *program);
unsigned        random_shrink(struct program *program, random_fails_fn *fails, void *env);

#endif
