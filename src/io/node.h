/*
 * node.h - a node of an io's tree, which becomes a frame when it is run
 *
 * A node is at least 32 bytes: a header of 8, one pointer that is the child in a node and the frame below in a frame, and two words
 * whose meaning its op tells. What needs more goes on behind (NODE_SIZE_OF(field)); captured bytes of an env come last.
 *
 * A fiber enters a node in one of two ways.
 *   Owned    the fiber holds the one reference there is: nobody else can reach the node, which becomes the frame itself; its children
 *            are owned in turn. A bind allocates nothing beyond the node that the user built.
 *   Borrowed the node has other owners. A PIN frame holds the fiber's reference to the shared root; what lies under it is read,
 *            never counted, never changed. Its frame is a shallow copy, marked BORROWED: it owns nothing.
 * What changes during a run lives in a frame, so one io may run a thousand times at once.
 */
#ifndef IO_NODE_H
#define IO_NODE_H

#include "base/atomic.h"
#include "base/check.h"
#include "base/config.h"
#include "base/memory.h"
#include "value/value.h"

#include <coir/do.h>
#include <coir/fiber.h>
#include <coir/io.h>

#include <string.h>

enum op {
#define OP(name, ...) OP_##name,
#define FRAME_OP OP
#include "io/ops.h"
#undef FRAME_OP
#undef OP
    OP_COUNT
};

enum { OP_LAST_PUSHED_SMALL = OP_OR_PANIC, OP_LAST_PUSHED = OP_ALWAYS };                 /* ORDER OPS */

enum children { CHILDREN_NONE, CHILDREN_ONE, CHILDREN_TWO, CHILDREN_MANY };
enum carried { VALUE_NONE, VALUE_HEAD, VALUE_STATE };

struct op_info { const char *name; enum children children; enum carried value; };
extern const struct op_info coir__ops[OP_COUNT];

enum node_flags {
    NODE_STATIC   = 1,                                  /* never counted, never freed */
    NODE_BORROWED = 2,                                  /* a frame: what it points to belongs to a pinned node */
    NODE_CAPTURED = 4,                                  /* env points to bytes at the node's own end */
    NODE_OWNS     = 8,                                  /* its last two words are a struct owned_env */
    NODE_FINAL    = 16,                                 /* a frame in its finalizing part: MERGE, ROUTINE */
    NODE_SAVED    = 32,                                 /* of ROUTINE: the body's outcome stands in `outcome`; of HOLD: acquired; of PARALLEL:
                                                         * they are children, see coir__children() */
    NODE_SOLE     = 128,                                /* the value that it carries cannot be shared: known before anybody may take it */
    NODE_ASIDE    = 64,                                 /* of one with `many`: too many items for the node, they stand elsewhere */
    NODE_CASE     = NODE_SAVED,                         /* of a PRIM that is a case of an alternative, whose frame is `up`: see NODE_WON */
    NODE_WON      = NODE_CAPTURED                       /* of a CASE: it was the one through whose place in a queue the wait was claimed */
};

#define NODE_TAKEN    (1u << 31)                        /* in refs: the value of a shared node has gone to its first reader */
#define NODE_REFS_STATIC (1u << 30)

enum { CAPTURE_MAX = 64 << 10 };

struct owned_env { void *env; void (*drop)(void *env); };

struct coir__prim;                                      /* io/prim.h: how fibers wait for one kind of object */
struct coir__machine;                                   /* io/machine.h: an instruction of many turns */
struct coir__context;                                   /* fiber/local.h */
struct coir__scope;                                     /* fiber/scope.h */
struct coir_schedule;                                   /* io/retry.h */

/* A fiber that waits, in the queue of what it waits for. */
struct waiter { struct waiter *next, *prev; coir_fiber *fiber; };

/* A run of RETRY. After what it goes round again: bits 1 << tag. Behind it in the node, two words for each part of the schedule. */
struct retry { uint8_t again_after; bool pausing; uint64_t tries; int64_t first_began, began, pause; };

/* What gathers values: ZIP, TRAVERSE, EACH. */
struct gather { size_t count, index; coir_value list; };

struct coir_io {
    union {
        struct {
            _Atomic uint32_t refs;
            uint8_t  op, flags;
            uint16_t steps;                             /* the node's size in units of MEMORY_STEP */
        };
        uint64_t header;                                /* all of that, for making it in one store */
    };
    union {
        coir_io *child;                                 /* in a node; one that has no such child is linked by it when dead */
        coir_io *up;                                    /* in a frame: the frame below it on the fiber's stack */
    };
    union {
        struct {
            union {
                coir_defer_fn    *defer;
                coir_suspend_fn  *suspend;
                coir_read_fn     *read;
                coir_map_fn      *map;
                coir_flat_map_fn *flat_map;
                coir_redeem_fn   *redeem;
                coir_final_fn    *final;
                coir_index_fn    *indexed;
                coir_rec_fn      *rec;
                coir_test_fn     *test;
                coir_look_fn     *look;
                coir_context_fn  *contra_map;
                coir_step_fn     *step;
                void            (*drop)(void *env);
                void            (*any_fn)(void);        /* whichever of them it is */
                coir_io          *second;
                coir_io          *pinned;               /* PIN */
                coir_key         *key;
                struct coir__context *context;          /* RESTORE */
                struct coir__scope *scope;              /* MEMBER */
                const struct coir__prim *prim;
                const struct coir__machine *machine;
                uint64_t          times;                /* REPEAT; in its frame the rounds that are left */
                size_t            index;                /* PULL: of the item that it is at */
                struct coir_schedule *schedule;         /* RETRY */
                struct { uint32_t count, index; } many; /* SEQUENCE, ZIP, PARALLEL, RACE to PAR_ZIP_ALL */
            };
            union {
                void     *env;
                coir_io  *link;                         /* of a dead node with a child: the next one */
                coir_io  *body;                         /* in a frame of REPEAT, FOREVER, RETRY */
                coir_io **items;                        /* of those with `many`: in the node, or aside */
                uint32_t  floor;                        /* in a frame of MERGE, and of ROUTINE in its final part: the fiber's before */
                void     *object;                       /* PRIM, HOLD, MACHINE; PULL: its group */
            };
        };
        coir_value value;                               /* PURE, RESULT, AGAIN, KEEP, GIVE */
    };
    union {                                             /* from here on only in nodes of ops that say so */
        coir_value state;                               /* CALL, AS, ITERATE, LOCAL, WITH_KEY, NAMED, EACH, PAR_EACH; PULL: what fn was lent */
        struct { coir_failure *also; coir_tag tag; } failure;                   /* RESULT */
        coir_result result;                             /* MERGE, KEEP_ALL and what becomes one of them */
        struct { coir_io *body; bool consuming; coir_value kept; } loop;        /* in a frame of WHILE, FOR_EACH */
        struct retry retry;                             /* RETRY */
        struct { int code; } match;                     /* CATCH_CODE */
        struct { coir_io *next, *prev; coir_fiber *fiber; } member;             /* MEMBER: in its scope's list */
        void *kept_env;                                 /* OWNS, dropped by `drop` */
        struct gather gather;                           /* TRAVERSE */
        struct { coir_value list; struct gather gather; coir_value kept; } each;                 /* EACH: list is `state` */
        struct { struct gather gather; } zip;
        struct { coir_value list; size_t limit, count; } pulled;                /* PAR_TRAVERSE, PAR_EACH: list is `state` */
        struct { coir_io *become, *holds; coir_result outcome; coir_routine routine; } routine;  /* ROUTINE: outcome, if NODE_SAVED; holds, the
                                                         * frames of what COIR_HOLD acquired, the last one first */
        struct { int64_t number; struct waiter waiter; } prim_own;              /* PRIM: more behind it if the primitive says so */
        struct { int64_t number; struct waiter waiter; coir_io *body; } hold;   /* HOLD; in its frame body is its child */
    };
};

#define NODE_SMALL          ((size_t)32)
#define NODE_SIZE_OF(field) (offsetof(struct coir_io, field) + sizeof(((struct coir_io *)0)->field))

/* ------------------------------------------------------------------------------------------------- making and freeing */

static ALWAYS_INLINE size_t node_size(const coir_io *node) { return (size_t)node->steps * MEMORY_STEP; }

/* The header of a node with one reference, in one store. */
static ALWAYS_INLINE uint64_t node_header(enum op op, enum node_flags flags, size_t steps)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return 1 | (uint64_t)op << 32 | (uint64_t)flags << 40 | (uint64_t)steps << 48;
#else
    return (uint64_t)1 << 32 | (uint64_t)op << 24 | (uint64_t)flags << 16 | (uint64_t)steps;
#endif
}

/* coir__node_new: of at least `size` bytes, with one reference; nothing behind the header is set. NULL without memory. */
static ALWAYS_INLINE coir_io *coir__node_new(enum op op, size_t size)
{
    size_t steps = coir__class_of(size);
    coir_io *node = coir__cell_alloc(steps);
    if (likely(node != NULL))
        node->header = node_header(op, 0, steps);
    return node;
}

/* coir__node_free: the memory alone; what the node points to has gone elsewhere. An owned env is dropped. */
void coir__node_release_env(coir_io *node);
void coir__node_release_items(coir_io *node);
/*
 * NODE_WATCHED: in the checking build a used-up node keeps its memory for a while, with no references, so that one who passes it again is
 * caught. (With plain memory the tools catch him.)
 */
#if defined(COIR_CHECK) && !defined(COIR_PLAIN_MEMORY)
#define NODE_WATCHED 1
void coir__node_retire(coir_io *node);
#else
#define NODE_WATCHED 0
static inline void coir__node_retire(coir_io *node) { coir__cell_free(node, node->steps); }
#endif
static ALWAYS_INLINE void coir__node_free(coir_io *node)
{
    if (unlikely(node->flags & (NODE_OWNS | NODE_ASIDE))) {
        if (node->flags & NODE_OWNS)
            coir__node_release_env(node);
        else
            coir__node_release_items(node);
    }
    coir__node_retire(node);
}

/* coir__value_of_shared: the value that a node which others may run too carries: shared, or, of what cannot be, given to the first who asks; to others
 * coir__taken_before(), a panic. */
bool coir__take_from_shared(coir_io *node);
coir_value coir__taken_before(const coir_value *value);
coir_value coir__value_of_shared(coir_io *node, const coir_value *value);

/* coir__node_sole: whether the caller's reference is the only one. The acquire pairs with the release of those who gave theirs up:
 * what they did to the node comes before what we do. */
static ALWAYS_INLINE bool coir__node_sole(coir_io *node) { return load_acquire(&node->refs) == 1; }

/* coir__node_used_up: caught in the checking build alone; elsewhere using such a node is undefined. */
static ALWAYS_INLINE bool coir__node_used_up(coir_io *node) { return NODE_WATCHED && load_relaxed(&node->refs) == 0; }

/* coir__node_unref: gives one reference up. True: it was the last, the node is the caller's to take apart. */
static inline bool coir__node_unref(coir_io *node)
{
    if (node->flags & NODE_STATIC || coir__node_used_up(node))
        return false;
    if (load_acquire(&node->refs) == 1)
        return true;
    return (fetch_sub_acq_rel(&node->refs, 1u) & ~NODE_TAKEN) == 1;
}

static inline coir_io *coir__node_ref(coir_io *node)
{
    if (!(node->flags & NODE_STATIC || coir__node_used_up(node)))
        fetch_add_relaxed(&node->refs, 1u);             /* relaxed: who makes a reference has one already */
    return node;
}

#ifdef COIR_CHECK
/* In the checking build a frame of a borrowed node keeps at its end how many bytes that one captured (io/env.h). */
static inline size_t *coir__frame_captured(coir_io *frame) { return (size_t *)(void *)((char *)frame + node_size(frame) - MEMORY_STEP); }
static inline size_t coir__node_captured(const coir_io *node)
{
    size_t at = (size_t)((const char *)node->env - (const char *)node);
    return node_size(node) - at - (node->flags & NODE_OWNS ? sizeof(struct owned_env) : 0);
}
#endif

/* coir__frame_of: a frame for a borrowed node, a shallow copy of its first `size` bytes, which owns nothing. NULL without memory. */
static ALWAYS_INLINE coir_io *coir__frame_of(const coir_io *node, size_t size)
{
    const size_t header = sizeof node->header;
    invariant(size <= node_size(node));
#ifdef COIR_CHECK
    coir_io *frame = coir__node_new((enum op)node->op, size + (node->flags & NODE_CAPTURED ? MEMORY_STEP : 0));
#else
    coir_io *frame = coir__node_new((enum op)node->op, size);
#endif
    if (unlikely(frame == NULL))
        return NULL;
    memcpy((char *)frame + header, (const char *)node + header, size - header);
    frame->flags = NODE_BORROWED;
#ifdef COIR_CHECK
    if (node->flags & NODE_CAPTURED) {
        frame->flags |= NODE_CAPTURED;
        *coir__frame_captured(frame) = coir__node_captured(node);
    }
#endif
    return frame;
}

/* Where the items of a node with `many` begin in it, if they stand there. */
static inline size_t coir__items_at(enum op op) { return op == OP_ZIP ? NODE_SIZE_OF(zip) : NODE_SMALL; }

/* ------------------------------------------------------------------------------------------------------ for builders */

/* coir__bad_argument: an io that is a panic with EINVAL: "coir_map: fn is NULL". */
coir_io *coir__bad_argument(const char *function, const char *what);
/* coir__node_around, coir__node_two: a node of `size` bytes with one child, with a child and a second io, which are taken; nothing behind its
 * head is set. NULL without memory, or for a NULL io. */
coir_io *coir__node_around(enum op op, size_t size, coir_io *io);
coir_io *coir__node_two(enum op op, size_t size, coir_io *first, coir_io *second);
/* coir__drop_ios: what a builder was given when it cannot build. */
void coir__drop_ios(size_t count, coir_io *const *ios);

typedef void any_fn(void);                              /* a callback, until its node's op says of what type it is */

/* The env of a callback: borrowed (bytes is LENT), or so many bytes to be captured. Two words, so that it goes in registers. */
struct env_given { const void *env; size_t bytes; };
#define LENT SIZE_MAX
static ALWAYS_INLINE struct env_given lent(const void *env) { return (struct env_given){ env, LENT }; }
static ALWAYS_INLINE struct env_given captured(const void *bytes, size_t size)
{
    return (struct env_given){ bytes, likely(size <= CAPTURE_MAX) ? size : CAPTURE_MAX + 1 };
}

/* coir__callback_bad: why a callback and its env cannot serve; NULL if they can. */
const char *coir__callback_bad(any_fn *fn, struct env_given given);

/* Most envs are a word or two, for which a call of memcpy() would cost more than all the rest. Gives `to`, as memcpy() does: so its caller keeps
 * nothing across that call. */
static ALWAYS_INLINE void *capture(void *to, const void *from, size_t bytes)
{
    if (likely(bytes == 8))
        return memcpy(to, from, 8);
    if (bytes == 16) {                                  /* in two steps: as one it would wait for the two stores that made it */
        memcpy(to, from, 8);
        memcpy((char *)to + 8, (const char *)from + 8, 8);
        return to;
    }
    return bytes > 0 ? memcpy(to, from, bytes) : to;
}

/*
 * coir__callback_node: a node of `op`, with `size` bytes before what it captures; fn and env are set, and no child. NULL without memory.
 * coir__callback_at_hand: the same, but NULL as well where that takes more than a few instructions, or the callback or its env cannot serve: a
 *   builder then asks again in a function of its own, which finds out why. So the way that is nearly always gone calls nothing.
 */
static ALWAYS_INLINE coir_io *callback_node(coir_io *node, enum op op, size_t at, size_t steps, any_fn *fn, struct env_given given)
{
    if (unlikely(node == NULL))
        return NULL;
    bool captures = given.bytes != LENT;
    node->header = node_header(op, captures ? NODE_CAPTURED : 0, steps);
    node->child = NULL;
    node->any_fn = fn;
    node->env = captures ? (char *)node + at : (void *)(uintptr_t)given.env;
    return captures ? (coir_io *)(void *)((char *)capture(node->env, given.env, given.bytes) - at) : node;
}

#define CALLBACK_AT(size) (coir__class_of(size) * MEMORY_STEP)          /* captured bytes are aligned as by malloc() */
static ALWAYS_INLINE size_t callback_steps(size_t size, struct env_given given)
{
    return coir__class_of(given.bytes != LENT ? CALLBACK_AT(size) + given.bytes : size);
}

static ALWAYS_INLINE coir_io *coir__callback_node(enum op op, size_t size, any_fn *fn, struct env_given given)
{
    size_t steps = callback_steps(size, given);
    return callback_node(coir__cell_alloc(steps), op, CALLBACK_AT(size), steps, fn, given);
}

static ALWAYS_INLINE coir_io *coir__callback_at_hand(enum op op, size_t size, any_fn *fn, struct env_given given)
{
    if (unlikely(fn == NULL || (given.bytes != LENT && (given.env == NULL || CALLBACK_AT(size) + given.bytes > MEMORY_CELL_MAX))))
        return NULL;
    size_t steps = callback_steps(size, given);
    return callback_node(coir__cell_at_hand(steps), op, CALLBACK_AT(size), steps, fn, given);
}

/* coir__node_note_sole: after the node's value was set. */
static inline void coir__node_note_sole(coir_io *node, const coir_value *value)
{
    if (unlikely(value->type != NULL) && !coir_can_share(value))
        node->flags |= NODE_SOLE;
}

/* The io of coir_unit(): static. */
extern coir_io coir__unit;

/* coir__io_print_brief: an io inside a value, on one line: its first instruction. What is inside it is not shown, so that printing ios in
 * values in ios needs no deeper a stack. */
void coir__io_print_brief(const coir_io *io, FILE *out);

#endif
