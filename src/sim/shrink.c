/*
 * shrink.c - of a schedule that fails the part that it needs to
 *
 * A schedule is told as its moves from one actor to the next. A move stands for "when this fiber has made so many steps, that one goes on", so
 * it means the same when others have been left out; a choice by its number does not. Moves are followed on one worker, without a budget:
 * there nobody is interrupted but by a move, whatever the schedule was in which it failed first.
 *
 * First moves are left out: all, halves, smaller parts, at last one by one until none can go (Zeller's delta debugging). That leaves zigzags, where
 * each move needs the next one. So then pieces are joined: the steps of one fiber between two moves, with the next such piece of the same fiber.
 */
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

enum { TRIALS_MAX = 1000 };

/* --------------------------------------------------------------------------------------------------------- following */

static int by_place(const void *a, const void *b)
{
    const struct move *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static struct move *move_at(const struct moves *moves, uint64_t from, uint64_t at)
{
    struct move key = { .from = from, .at = at };
    return moves->count == 0 ? NULL : bsearch(&key, moves->moves, moves->count, sizeof key, by_place);
}

/* Who made the last step, and how many steps it has made; a completion makes one. 0 before the first step. */
static struct move here(const struct follower *follower)
{
    uint64_t last = follower->count == 0 ? 0 : follower->steps[follower->count - 1];
    return (struct move){ .from = last, .at = last & ACTOR_COMPLETION || last == 0 ? 1 : follower->made[last] };
}

static bool count_step(struct follower *follower, uint64_t actor)
{
    if (actor & ACTOR_COMPLETION)
        return true;
    uint64_t *made = coir__grow(follower->made, &follower->made_room, actor + 1, sizeof *made);
    if (made == NULL)
        return false;
    made[actor]++;
    follower->made = made;
    return true;
}

static void follower_acted(void *follower_, uint64_t actor)
{
    struct follower *follower = follower_;
    if (follower->lost)
        return;
    uint64_t *steps = coir__grow(follower->steps, &follower->room, follower->count + 1, sizeof *steps);
    if (steps != NULL)
        follower->steps = steps;
    if (steps == NULL || !count_step(follower, actor))
        follower->lost = true;
    else
        steps[follower->count++] = actor;
}

static uint32_t follower_choose(void *follower_, struct coir_sim *sim, struct actors actors)
{
    struct follower *follower = follower_;
    if (follower->lost)
        return 0;
    struct move place = here(follower), *move = move_at(follower->moves, place.from, place.at);
    uint32_t index = move == NULL ? 0 : coir__sim_find(sim, actors, move->to);
    if (index == 0 || index == actors_count(actors))
        return 0;
    move->used = true;
    return index;
}

struct chooser coir__follow(struct follower *follower)
{
    return (struct chooser){ follower->moves == NULL ? NULL : follower_choose, follower_acted, follower };
}

void coir__follower_done(struct follower *follower)
{
    if (follower->room > 0)
        coir__free(follower->steps, follower->room * sizeof *follower->steps);
    if (follower->made_room > 0)
        coir__free(follower->made, follower->made_room * sizeof *follower->made);
}

/* ------------------------------------------------------------------------------------------------------------- moves */

static bool moves_add(struct moves *moves, struct move move)
{
    struct move *grown = coir__grow(moves->moves, &moves->room, moves->count + 1, sizeof *grown);
    if (grown == NULL)
        return false;
    grown[moves->count++] = move;
    moves->moves = grown;
    return true;
}

void coir__moves_done(struct moves *moves)
{
    if (moves->room > 0)
        coir__free(moves->moves, moves->room * sizeof *moves->moves);
    *moves = (struct moves){ 0 };
}

/* The moves of the steps, in place of those in *moves. False: no memory. */
static bool moves_of(struct moves *moves, const uint64_t *steps, size_t count)
{
    struct follower walker = { 0 };
    bool good = true;
    moves->count = 0;
    for (size_t i = 0; good && i < count; i++) {
        struct move move = here(&walker);
        move.to = steps[i];
        if (i > 0 && move.to != move.from)
            good = moves_add(moves, move);
        follower_acted(&walker, steps[i]);
        good = good && !walker.lost;
    }
    coir__follower_done(&walker);
    if (moves->count > 0)
        qsort(moves->moves, moves->count, sizeof *moves->moves, by_place);
    return good;
}

/* ---------------------------------------------------------------------------------------------------------- shrinking */

struct shrinking {
    bool (*fails)(void *env, struct follower *follower);
    void            *env;
    struct moves    *fewest;                            /* that fail, so far */
    struct follower  best;                              /* what went on with them */
    struct moves     tried;
    unsigned         trials;
};

/* Whether it fails with the moves in `tried`; then those of them that were used are the fewest, if they are fewer than `fewer_than`. */
static bool shrinking_try(struct shrinking *shrinking, size_t fewer_than)
{
    struct follower follower = { .moves = &shrinking->tried };
    size_t used = 0;
    if (shrinking->trials++ >= TRIALS_MAX)
        return false;
    bool failed = shrinking->fails(shrinking->env, &follower) && !follower.lost;
    for (size_t i = 0; i < shrinking->tried.count; i++)
        used += shrinking->tried.moves[i].used;
    bool better = failed && used < fewer_than;
    if (better) {
        shrinking->fewest->count = 0;
        for (size_t i = 0; i < shrinking->tried.count; i++)
            if (shrinking->tried.moves[i].used)
                better = better && moves_add(shrinking->fewest, shrinking->tried.moves[i]);
        coir__follower_done(&shrinking->best);
        shrinking->best = follower;
    } else {
        coir__follower_done(&follower);
    }
    return better;
}

static bool fails_without(struct shrinking *shrinking, size_t start, size_t count)
{
    const struct moves *fewest = shrinking->fewest;
    bool good = true;
    shrinking->tried.count = 0;
    for (size_t i = 0; i < fewest->count; i++)
        if (i < start || i >= start + count)
            good = good && moves_add(&shrinking->tried, (struct move){ fewest->moves[i].from, fewest->moves[i].at, fewest->moves[i].to, false });
    return good && shrinking_try(shrinking, fewest->count);
}

static void leave_out(struct shrinking *shrinking)
{
    bool again = true;
    for (size_t size = shrinking->fewest->count; size > 0; size = size > 1 ? size / 2 : again) {
        again = false;
        for (size_t start = 0; start < shrinking->fewest->count && shrinking->trials < TRIALS_MAX; ) {
            if (fails_without(shrinking, start, size))
                again = true;
            else
                start += size;
        }
    }
}

/* Where the piece that begins at `from` ends. */
static size_t piece_end(const uint64_t *steps, size_t count, size_t from)
{
    size_t end = from + 1;
    while (end < count && steps[end] == steps[from])
        end++;
    return end;
}

static size_t next_of(const uint64_t *steps, size_t count, size_t from, uint64_t actor)
{
    while (from < count && steps[from] != actor)
        from++;
    return from;
}

/* The piece [a, b) is moved to just before d, or, if `forward`, the piece [c, d) of the same fiber to b. */
static bool fails_joined(struct shrinking *shrinking, uint64_t *joined, size_t a, size_t b, size_t c, size_t d, bool forward)
{
    const uint64_t *steps = shrinking->best.steps;
    size_t between = c - b, first = b - a, second = d - c;
    memcpy(joined, steps, shrinking->best.count * sizeof *joined);
    if (forward) {
        memcpy(joined + b, steps + c, second * sizeof *joined);
        memcpy(joined + b + second, steps + b, between * sizeof *joined);
    } else {
        memcpy(joined + a, steps + b, between * sizeof *joined);
        memcpy(joined + a + between, steps + a, first * sizeof *joined);
    }
    return moves_of(&shrinking->tried, joined, shrinking->best.count) && shrinking_try(shrinking, shrinking->fewest->count);
}

static bool join_some(struct shrinking *shrinking)
{
    const uint64_t *steps = shrinking->best.steps;
    size_t count = shrinking->best.count;
    uint64_t *joined = coir__alloc((count + 1) * sizeof *joined);
    bool done = joined == NULL;
    for (size_t a = 0, b; !done && a < count && shrinking->trials < TRIALS_MAX; a = b) {
        b = piece_end(steps, count, a);
        size_t c = next_of(steps, count, b, steps[a]);
        if (c == count)
            continue;
        size_t d = piece_end(steps, count, c);
        done = fails_joined(shrinking, joined, a, b, c, d, true) || fails_joined(shrinking, joined, a, b, c, d, false);
    }
    if (joined != NULL)
        coir__free(joined, (count + 1) * sizeof *joined);
    return done && joined != NULL;
}

bool coir__shrink(struct moves *fewest, const struct follower *failed, bool (*fails)(void *env, struct follower *follower), void *env)
{
    struct shrinking shrinking = { .fails = fails, .env = env, .fewest = fewest };
    bool good = !failed->lost && moves_of(&shrinking.tried, failed->steps, failed->count) && shrinking_try(&shrinking, SIZE_MAX);
    if (good) {
        leave_out(&shrinking);
        while (join_some(&shrinking))
            leave_out(&shrinking);
    }
    coir__follower_done(&shrinking.best);
    coir__moves_done(&shrinking.tried);
    return good;
}
