/*
 * random/evaluate.h - what the parts of the evaluator share: ios that are made, fibers, what they note
 *
 * evaluate.c has an instruction after the other, evaluate_cancel.c what calls off and what keeps it away, evaluate_resource.c brackets and resources,
 * evaluate_fibers.c what forks and waits, evaluate_beside.c what stands side by side and in scopes, outcome.c the whole program.
 */
#ifndef RANDOM_EVALUATE_H
#define RANDOM_EVALUATE_H

#include "random/model.h"

/* A term made into an io. */
struct nursery;
struct made {
    const struct term *term;
    const struct scope *scope;
    struct made *kids[TERM_KIDS];                       /* those that are made with it; NULL: bodies */
    struct value carried;
    struct result carried_result;                       /* of from_result */
    bool     is_used_up;                                /* what it carried could not be shared, and has been taken */
};

struct scope {
    struct value bound[SLOTS];
    bool         is_bound[SLOTS];
    struct made *variables[SLOTS];
    int64_t      again;
    unsigned     soon;                                  /* how many time-outs around it, in its fiber, will fire */
    bool         is_open;                               /* no mask stands for certain inside of the innermost of them */
    bool         is_hunted;                             /* somebody will call the fiber off, if it waits for that */
};

/*
 * What stands around the place at which a fiber is, the innermost first: masks, finalizers, and scopes that can be asked to end. `root`, the outermost, is
 * the fiber as a whole. A request is seen where no mask and no finalizer that is on stands inside of its scope.
 */
enum asked {
    ASKED_NOT,
    ASKED_MAYBE,                                        /* at any time, or never: not determined */
    ASKED_SURE                                          /* it has been */
};
enum mark_kind { MARK_SCOPE, MARK_MASK, MARK_FINAL };
struct mark {
    enum mark_kind kind;
    struct mark *outer;
    bool         is_off;                                /* of a mask: a coir_cancelable() inside of it took it off */
    enum asked   asked;                                 /* of a scope, and what follows */
    bool         is_timer;                              /* it will be, if its fiber waits */
    bool         is_own;                                /* by the fiber itself, or somebody who does not wait for it with others */
    bool         was_held_back;
    unsigned     declined;                              /* it was not asked until so many effects */
};

/* What a fiber is about, of a resource. */
enum stage { STAGE_ELSEWHERE, STAGE_ACQUIRING, STAGE_USING, STAGE_RELEASING };

struct fiber {
    const char   *name;                                 /* "main.0.2": of the main fiber's first child the third */
    unsigned      number;                               /* which stands for the name */
    unsigned      effects;                              /* see model_effect() */
    unsigned      choices;                              /* model_choices() when it began */
    struct text   trace;
    const char   *found;                                /* what a run noted, from where the trace is now; NULL: whatever it was */
    struct fiber *kids, **kids_end, *next;
    unsigned      kids_count;
    struct fiber *made_before;                          /* all of them */
    struct value  context, keys[KEYS];
    struct mark   root, *marks;
    enum stage    stage;
    bool          is_stalked;                           /* it will be asked when it waits for that */
    struct nursery *nursery;                            /* what it forks belongs to that */
    struct fiber *member_before;                        /* of a member */
    bool          is_member;
    struct result failure;                              /* of a member: what the scope has of it */
    struct result result;                               /* what is left of it for those who ask */
    coir_tag      tag;                                  /* as what it ended, whoever took the result since, and what `meant` said */
    const struct mark *meant;
    bool          is_seen, is_main;
};

struct model {
    const struct program *program;
    int      locked[OBJECTS];                           /* how often; alone */
    int64_t  available[OBJECTS];
    int      entered[OBJECTS];
    unsigned steps, fibers;
    uint64_t ran[OPS][HOWS_MAX], events[EVENTS];
    struct fiber *all;
    const char *found;                                  /* by a run whose outcome is in question, or NULL */
    bool     is_refuted;                                /* what was chosen cannot have been */
};
extern struct model model;

enum { STEPS_MAX = 3000, FIBERS_MAX = 150 };

static inline bool is_too_long(void) { return model.steps > STEPS_MAX || model.fibers > FIBERS_MAX; }
static inline bool is_over(void) { return is_too_long() || model.is_refuted; }

static inline void note_event(enum event event)        { model.events[event]++; }
static inline void note_ran(const struct term *term)    { model.ran[term->op][term->how]++; }

/* model_choose: one of so many things that can happen, where that is not determined: see outcome.c. */
unsigned model_choose(const struct fiber *fiber, unsigned count);
/* model_choices: how many there have been. model_settle: those since then have led to what was found. */
unsigned model_choices(void);
void     model_settle(unsigned since);
/* model_refute: what was chosen cannot have been, as shows in that fiber; NULL: in all of them together. */
void     model_refute(const struct fiber *fiber);
unsigned model_number(const char *name);
/* model_effect: canceled after this, the fiber does otherwise than before: only then it is asked again whether it was. */
static inline void model_effect(struct fiber *fiber) { fiber->effects++; }

/* model_tell: what world_tell() of world.h is for the real run. */
void model_tell(struct fiber *fiber, const struct term *term, const struct value *v);
void model_tell_result(struct fiber *fiber, const struct term *term, const struct result *r);
void model_tell_end(struct fiber *fiber, const struct result *r);
/* model_close: it notes no more. */
void model_close(struct fiber *fiber);
/* model_found: what the run in question noted in the fiber of that name; NULL: there is none. */
const char *model_found(const char *name);
const char *model_name_of_kid(const struct fiber *parent);

/* model_make: the io of a term. model_evaluate: what it ends with, run by that fiber. */
struct made  *model_make(const struct term *term, const struct scope *scope);
struct result model_evaluate(struct fiber *fiber, struct made *made);

static inline struct result evaluate_kid(struct fiber *fiber, struct made *made, size_t i) { return model_evaluate(fiber, made->kids[i]); }

/* Several values, one after the other. */
struct gathered { size_t count; struct value items[TERM_KIDS + 1]; struct result failure; };
bool          model_gather(struct gathered *gathered, struct result r);
struct result model_all_of(const struct gathered *gathered);

/* evaluate_cancel.c. model_seen: before an instruction is run, and while it waits: whether a request is seen; then *r is the cancellation. */
bool          model_seen(struct fiber *fiber, struct result *r);
void          model_enter(struct fiber *fiber, struct mark *mark, enum mark_kind kind);
void          model_leave(struct fiber *fiber, const struct mark *mark);
bool          model_is_masked(const struct fiber *fiber);
struct result model_wait_for_ever(struct fiber *fiber);
struct result model_cancel_self(struct fiber *fiber, const struct term *term);
struct result model_mask_seen(struct fiber *fiber, const struct term *term);
struct result model_stall(struct fiber *fiber, struct made *made);
struct result model_around(struct fiber *fiber, struct made *made);         /* masks and time-outs */

/* evaluate_resource.c. model_hold: acquires; what is held then goes back by model_give_back(), which is told how that ended for which it was held, and
 * gives what has become of that. Of a failed acquisition nothing is held. */
struct held   { struct record *records; const struct value *value; };
struct result model_use(struct fiber *fiber, struct made *made);
struct result model_use_for_nothing(struct fiber *fiber, struct made *made);
struct result model_bracket(struct fiber *fiber, struct made *made);
struct result model_hold(struct fiber *fiber, struct made *made, struct held *held);
struct result model_give_back(struct fiber *fiber, struct held *held, struct result outcome);

/* evaluate.c: parts of instructions that others are made of. */
struct made  *model_make_kid(const struct term *term, size_t i, const struct scope *scope);
struct result model_ready(struct fiber *fiber, struct made *made);         /* the body that was made beforehand */
struct value  model_need(struct made *made);
struct scope  model_binding(const struct term *term, const struct scope *scope, const struct value *lent);
struct result model_map_failures(struct fiber *fiber, const struct term *term, struct result r, coir_tag tag);
struct result model_take_object(struct fiber *fiber, const struct term *term);
struct result model_give_object(const struct term *term);

/* evaluate_fibers.c. model_fiber: a child with its book, which does not run yet. model_begins: false: it was canceled before it ran; otherwise model_ends()
 * is to follow. model_forks: it becomes a member of its parent's scope. model_child_scope: where the i-th kid of the term stands, run by one. */
extern const struct scope model_nothing_in_scope;
struct fiber *model_fiber(struct fiber *parent);
void          model_forks(struct fiber *child);
bool          model_begins(struct fiber *child);
void          model_ends(struct fiber *child, struct result r);
struct scope  model_child_scope(const struct term *term, size_t i);
void          model_run(struct fiber *child, struct made *made);
bool          model_is_struck(const struct fiber *child);
/* model_ended: what a fiber ends with whose program has. */
struct result model_ended(struct result r);
struct result model_fork(struct fiber *fiber, struct made *made);
struct result model_wait_for_it(struct fiber *fiber, const struct term *term, struct result r);
struct result model_parallel(struct fiber *fiber, struct made *made);
struct result model_alike(struct fiber *fiber, struct made *made);
struct result model_hunt(struct fiber *fiber, struct made *made);

/* evaluate_beside.c. model_note_end: of a member of a scope. */
void          model_admit(struct nursery *nursery, struct fiber *child);
void          model_note_end(struct fiber *child);
struct result model_group(struct fiber *fiber, struct made *made);
struct result model_items(struct fiber *fiber, struct made *made);
struct result model_nursery(struct fiber *fiber, struct made *made);

#endif
