/*
 * build_beside.c - what random programs run side by side and in scopes, as ios
 */
#include "random/building.h"

/* Bits 0 and 1 of `times`: before and behind what the first kid does it waits until all the others are about to wait to be called off, or have
 * ended. Only where no verdict can be waited for: a callback that is to come keeps it away. */
static coir_io *with_others(const struct term *term, struct gate *gate, coir_io *io)
{
    if (gate == NULL)
        return io;
    if (term->times & 2)
        io = coir_finally(io, world_pass(gate));
    return term->times & 1 ? coir_then(world_pass(gate), io) : io;
}

static struct gate *gate_of(const struct term *term) { return world.program->is_calm && term->count > 1 ? world_gate((unsigned)term->count - 1) : NULL; }

/* --------------------------------------------------------------------------------------------------------- side by side */

/* So that it settles the outcome, whatever came of it. */
static coir_io *made_sure(const struct term *term, coir_io *io)
{
    if (!random_is_sure(term))
        return io;
    switch ((enum group)term->how) {
    case GROUP_RACE:    break;
    case GROUP_RACE_OK: return coir_attempt(io);
    case GROUP_ZIP: case GROUP_BOTH:
        return coir_then(io, coir_failf(9, "f9"));
    case GROUP_ZIP_ALL: return coir_then(coir_attempt(io), coir_then(build_cancel_self(term), coir_unit()));
    }
    return io;
}

static coir_io *group_of(enum group how, size_t count, coir_io *const *ios)
{
    switch (how) {
    case GROUP_RACE:    return coir_race(count, ios);
    case GROUP_RACE_OK: return coir_race_ok(count, ios);
    case GROUP_ZIP:     break;
    case GROUP_BOTH:
        if (count == 2)
            return coir_both(ios[0], ios[1]);
        break;
    case GROUP_ZIP_ALL: return coir_par_zip_all(count, ios);
    }
    return coir_par_zip(count, ios);
}

static coir_result opening(void *env) { world_open(((const struct env *)env)->book); return coir_ok(coir_none()); }

/* The first kid, with what is done around it. */
static coir_io *first_of(const struct term *term, struct book *parent, struct gate *gate)
{
    struct env env = { .term = term->kids[0], .book = world_book(parent) };
    coir_io *io = with_others(term, gate, build_term(term->kids[0], &build_nothing_in_scope));
    return build_ending(&env, build_shielded(term, 0, coir_then(coir_defer_copy(opening, &env, sizeof env), made_sure(term, io))));
}

coir_io *build_group(void *env_)
{
    const struct term *term = ((const struct env *)env_)->term;
    struct book *parent = world_book_here();
    struct gate *gate = gate_of(term);
    coir_io *ios[TERM_KIDS];
    for (size_t i = 0; i < term->count; i++)
        ios[i] = i == 0 ? first_of(term, parent, gate) : build_child(term, i, parent, gate);
    return group_of((enum group)term->how, term->count, ios);
}

/* --------------------------------------------------------------------------------------------------------------- items */

struct item_env { struct env env; struct book *books[TERM_KIDS]; };

static coir_io *once_more(void *env, coir_result *result)
{
    (void)env;
    return coir_from_result(coir_result_take(result));
}

/* The fiber that runs it goes on to others: so there is an instruction behind it, however it ended, that sees what it asked itself to do. */
static coir_io *item(void *items_, size_t index)
{
    const struct item_env *items = items_;
    const struct term *term = items->env.term;
    const coir_value number = coir_int((int64_t)index);
    struct env env = { .term = term, .book = items->books[index] };
    world_open(env.book);
    world_tell(term, &number);
    if ((term->how == ITEMS_NOTHING || term->how == ITEMS_BOXED_NOTHING) && index > 0)
        return NULL;
    return build_ending(&env, coir_redeem(build_term(term->kids[0], &build_nothing_in_scope), once_more, NULL));
}

coir_io *build_items(void *env)
{
    struct item_env items = { .env = *(const struct env *)env };
    const struct term *term = items.env.term;
    struct book *parent = world_book_here();
    size_t limit = (size_t)term->number % 4, count = term->times % 4;
    for (size_t i = 0; i < count; i++)
        items.books[i] = world_book(parent);
    if (term->how == ITEMS_VALUES || term->how == ITEMS_NOTHING)
        return coir_par_traverse_copy(limit, count, item, &items, sizeof items);
    return coir_par_traverse_all_copy(limit, count, item, &items, sizeof items);
}

/* -------------------------------------------------------------------------------------------------------------- scopes */

static coir_io *nursery_of(enum nursery_of how, coir_io *io)
{
    switch (how) {
    case NURSERY_SCOPE:     return coir_scope(io);
    case NURSERY_SUPERVISE: return coir_supervise(io);
    case NURSERY_AT_ONCE:   return coir_supervise_drain(io, coir_ns(0));
    case NURSERY_SOON:      return coir_supervise_drain(io, coir_us(2));
    case NURSERY_LATE:      break;
    }
    return coir_supervise_drain(io, coir_seconds(3600));
}

/* The first kid is the scope's own io; the others are forked in it beforehand. */
coir_io *build_nursery(void *env_)
{
    const struct env *env = env_;
    const struct term *term = env->term;
    struct book *parent = world_book_here();
    struct gate *gate = gate_of(term);
    coir_io *members[TERM_KIDS];
    for (size_t i = 1; i < term->count; i++)
        members[i - 1] = build_child(term, i, parent, gate);
    coir_io *io = with_others(term, gate, term->count > 0 ? build_kid(term, 0, &env->scope) : coir_unit());
    if (term->which == 1)
        io = coir_then(io, coir_failf(9, "f9"));
    if (term->count > 1)
        io = coir_then(coir_parallel(term->count - 1, members), io);
    return nursery_of((enum nursery_of)term->how, io);
}
