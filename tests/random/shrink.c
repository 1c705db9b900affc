/*
 * shrink.c - a program that fails is made smaller as long as it fails
 *
 * Terms are total, so any of them may be replaced by one of its kids, or by a unit, and any figure by 0.
 */
#include "random/program.h"

#include <stdlib.h>
#include <string.h>

enum { ASKED_MAX = 4000 };
struct shrinking { struct program *program; random_fails_fn *fails; void *env; unsigned asked; };

static bool still_fails(struct shrinking *shrinking)
{
    return shrinking->asked < ASKED_MAX && (shrinking->asked++, shrinking->fails(shrinking->env, shrinking->program));
}

/* Another term in the place, if it fails with that one too. */
static bool replaced(struct shrinking *shrinking, struct term **place, struct term *other)
{
    struct term *before = *place;
    *place = other;
    if (still_fails(shrinking))
        return true;
    *place = before;
    return false;
}

static bool lowered(struct shrinking *shrinking, unsigned *figure, unsigned to)
{
    unsigned before = *figure;
    if (before <= to)
        return false;
    *figure = to;
    if (still_fails(shrinking))
        return true;
    *figure = before;
    return false;
}

static bool simplified(struct shrinking *shrinking, struct term *term)
{
    struct term before = *term;
    bool any = lowered(shrinking, &term->how, 0);
    any |= lowered(shrinking, &term->times, 0) || lowered(shrinking, &term->times, 1);
    any |= lowered(shrinking, &term->which, 0);
    before = *term;
    if (term->value.kind != KIND_NONE) {
        term->value.kind = term->value.kind > KIND_INT ? KIND_INT : KIND_NONE;
        if (still_fails(shrinking))
            return true;
        *term = before;
    }
    if (term->looks_count > 1) {
        term->looks_count--;
        if (still_fails(shrinking))
            return true;
        *term = before;
    }
    return any;
}

/* One kid fewer, where the op takes any number of them. */
static bool shortened(struct shrinking *shrinking, struct term *term)
{
    if (random_ops[term->op].kids != MANY)
        return false;
    for (size_t i = 0; i < term->count; i++) {
        struct term before = *term;
        memmove(&term->kids[i], &term->kids[i + 1], (term->count - i - 1) * sizeof term->kids[0]);
        term->count--;
        if (still_fails(shrinking))
            return true;
        *term = before;
    }
    return false;
}

static bool shrunk_at(struct shrinking *shrinking, struct term **place)
{
    bool any = false;
    if ((*place)->op != OP_UNIT) {
        struct term *unit = random_alloc(&shrinking->program->arena, sizeof *unit);
        unit->number = (*place)->number;
        unit->slot = -1;
        if (replaced(shrinking, place, unit))
            return true;
    }
    for (size_t i = 0; i < (*place)->count; i++)
        if (replaced(shrinking, place, (*place)->kids[i]))
            return true;
    any |= shortened(shrinking, *place);
    any |= simplified(shrinking, *place);
    for (size_t i = 0; i < (*place)->count; i++)
        any |= shrunk_at(shrinking, &(*place)->kids[i]);
    return any;
}

static bool cleared(struct shrinking *shrinking, bool *flag)
{
    if (!*flag)
        return false;
    *flag = false;
    return still_fails(shrinking) || (*flag = true, false);
}

unsigned random_shrink(struct program *program, random_fails_fn *fails, void *env)
{
    struct shrinking shrinking = { program, fails, env, 0 };
    bool any;
    do {
        any = cleared(&shrinking, &program->runs_twice);
        any |= cleared(&shrinking, &program->is_shown);
        any |= lowered(&shrinking, &program->how.workers, 1);
        any |= lowered(&shrinking, &program->how.budget, 0);
        any |= shrunk_at(&shrinking, &program->root);
    } while (any && shrinking.asked < ASKED_MAX);
    return shrinking.asked;
}
