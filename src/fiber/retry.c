/*
 * retry.c - whether RETRY goes round again, and after what pause
 *
 * A verdict is a number: the pause in ns, or NO_MORE, which is longer than any. So `and` is the larger of two, `or` the smaller.
 */
#include "fiber/retry.h"

#include "io/retry.h"

#include <coir/async.h>

#define NO_MORE UINT64_MAX

/* ----------------------------------------------------------------------------------------------------------- numbers */

__extension__ typedef unsigned __int128 wide;

/* 0 ... max, each as likely; the bias is below 2^-64 times max. */
static uint64_t draw_up_to(struct coir__seat *seat, uint64_t max)
{
    uint64_t drawn = seat->run->driver->draw(seat);
    return (uint64_t)((wide)drawn * ((wide)max + 1) >> 64);
}

static uint64_t as_pause(uint64_t ns) { return ns < INT64_MAX ? ns : INT64_MAX; }
static uint64_t pause_of_duration(coir_duration duration) { return duration.ns > 0 ? (uint64_t)duration.ns : 0; }
/* 2^63 and more, of which infinity is one, is beyond the clock's end. */
static uint64_t pause_of_real(double ns) { return ns < 0x1p63 ? (uint64_t)ns : INT64_MAX; }

/* ------------------------------------------------------------------------------------------------------------- parts */

static uint64_t judge_recurs(const struct part *part, uint64_t slot[2])
{
    if (slot[0] == part->times)
        return NO_MORE;
    slot[0]++;
    return 0;
}

/* slot: the bits of the pause before; whether there was one. It is kept as a double, so that small ones grow, too. */
static uint64_t judge_exponential(const struct part *part, uint64_t slot[2])
{
    double pause = (double)part->ns;
    if (slot[1] != 0) {
        memcpy(&pause, &slot[0], sizeof pause);
        pause *= part->number;
    }
    memcpy(&slot[0], &pause, sizeof pause);
    slot[1] = 1;
    return pause_of_real(pause);
}

/* slot: the pause before the last; the one that is next, but for the first, which is the part's own. */
static uint64_t judge_fibonacci(const struct part *part, uint64_t slot[2])
{
    uint64_t pause = slot[1] == 0 ? (uint64_t)part->ns : slot[1];
    slot[1] = as_pause(slot[0] + pause);
    slot[0] = pause;
    return pause;
}

/* slot: the pause before. */
static uint64_t judge_decorrelated(struct coir__seat *seat, const struct part *part, uint64_t slot[2])
{
    uint64_t first = (uint64_t)part->ns, max = (uint64_t)part->max_ns;
    uint64_t before = slot[0] == 0 ? first : slot[0];
    uint64_t upper = before > max / 3 ? max : before * 3;
    slot[0] = first + draw_up_to(seat, upper - first);
    return slot[0];
}

static uint64_t judge_jittered(struct coir__seat *seat, const struct part *part, uint64_t pause)
{
    uint64_t span = pause_of_real((double)pause * part->number);
    span = span < pause ? span : pause;
    return as_pause(pause - span + draw_up_to(seat, 2 * span));
}

static uint64_t judge_next(struct coir__seat *seat, const struct part *part, coir_round round, uint64_t slot[2])
{
    coir_duration pause = coir_ns(0);
    round.random = seat->run->driver->draw(seat);
    round.kept = slot;
    return part->next(part->env, &round, &pause) ? pause_of_duration(pause) : NO_MORE;
}

/* ----------------------------------------------------------------------------------------------------------- a round */

/* What stands in the slots of RESET_AFTER's operands after a round that was long enough: as if there had been none before; and the time of
 * WITHIN counts from now. */
static void begin_anew(const coir_schedule *schedule, const coir_round *round, uint64_t (*slots)[2])
{
    for (uint32_t i = 0; i < schedule->count; i++) {
        const struct part *part = &schedule->parts[i];
        if (part->kind != PART_RESET_AFTER || round->took.ns < part->ns)
            continue;
        for (uint32_t k = i - part->operands; k < i; k++) {
            slots[k][0] = schedule->parts[k].kind == PART_WITHIN ? (uint64_t)round->elapsed.ns : 0;
            slots[k][1] = 0;
        }
    }
}

/* `value`: what the parts that look at one are lent; NULL: they have no objection. */
static uint64_t judge(struct coir__seat *seat, const coir_schedule *schedule, const coir_round *round, const coir_value *value,
                      uint64_t (*slots)[2])
{
    uint64_t verdicts[SCHEDULE_PARTS_MAX], *top = verdicts;     /* top: one above the last */
    begin_anew(schedule, round, slots);
    for (uint32_t i = 0; i < schedule->count; i++) {
        const struct part *part = &schedule->parts[i];
        uint64_t *slot = slots[i];
        switch (part->kind) {
        case PART_RECURS:
            *top++ = judge_recurs(part, slot);
            break;
        case PART_SPACED:
            *top++ = (uint64_t)part->ns;
            break;
        case PART_EXPONENTIAL:
            *top++ = judge_exponential(part, slot);
            break;
        case PART_FIBONACCI:
            *top++ = judge_fibonacci(part, slot);
            break;
        case PART_DECORRELATED:
            *top++ = judge_decorrelated(seat, part, slot);
            break;
        case PART_WHILE:
            *top++ = value == NULL || part->test(part->env, value) ? 0 : NO_MORE;
            break;
        case PART_DELAY_FROM:
            *top++ = value == NULL ? 0 : pause_of_duration(part->delay(part->env, value));
            break;
        case PART_NEXT:
            *top++ = judge_next(seat, part, *round, slot);
            break;
        case PART_CAPPED:
            if (top[-1] != NO_MORE && top[-1] > (uint64_t)part->ns)
                top[-1] = (uint64_t)part->ns;
            break;
        case PART_JITTERED:
            if (top[-1] != NO_MORE)
                top[-1] = judge_jittered(seat, part, top[-1]);
            break;
        case PART_FULL_JITTER:
            if (top[-1] != NO_MORE)
                top[-1] = draw_up_to(seat, top[-1]);
            break;
        case PART_WITHIN:
            if (top[-1] != NO_MORE && (uint64_t)round->elapsed.ns - slot[0] + top[-1] >= (uint64_t)part->ns)
                top[-1] = NO_MORE;
            break;
        case PART_RESET_AFTER:
            break;
        case PART_AND:
            top--;
            top[-1] = top[-1] > top[0] ? top[-1] : top[0];
            break;
        case PART_OR:
            top--;
            top[-1] = top[-1] < top[0] ? top[-1] : top[0];
            break;
        }
    }
    return verdicts[0];
}

/* The clock is read only for schedules that look at it. */
static int64_t now(struct coir__seat *seat, const coir_io *frame)
{
    return frame->schedule->reads_clock ? seat->run->driver->now(seat->run, CLOCK_OF_RUN) : 0;
}

void coir__retry_begin(struct coir__seat *seat, coir_io *frame)
{
    struct retry *retry = &frame->retry;
    retry->pausing = false;
    retry->tries = 0;
    retry->pause = 0;
    retry->first_began = retry->began = now(seat, frame);
    memset(coir__retry_slots(frame), 0, frame->schedule->count * sizeof *coir__retry_slots(frame));
}

/* The verdict on the round that ended with `result`. */
static uint64_t round_ended(struct coir__seat *seat, coir_io *frame, const coir_result *result)
{
    struct retry *retry = &frame->retry;
    int64_t ended = now(seat, frame);
    retry->tries++;
    const coir_round round = {
        .tries = retry->tries, .result = result, .elapsed = coir_ns(ended - retry->first_began),
        .took = coir_ns(ended - retry->began), .pause = coir_ns(retry->pause)
    };
    bool is_judged_by_errors = retry->again_after & 1u << COIR_ERROR;
    bool is_looked_at = result->tag == COIR_ERROR || !is_judged_by_errors;
    return judge(seat, frame->schedule, &round, is_looked_at ? &result->value : NULL, coir__retry_slots(frame));
}

coir_io *coir__retry_next(struct coir__seat *seat, coir_io *frame, coir_result *result)
{
    struct retry *retry = &frame->retry;
    if (retry->pausing) {
        retry->pausing = false;
        retry->began = now(seat, frame);
        return likely(result->tag == COIR_OK) ? frame->body : NULL;
    }
    if (!(retry->again_after & 1u << result->tag))
        return NULL;
    uint64_t pause = round_ended(seat, frame, result);
    if (pause == NO_MORE)
        return NULL;
    coir_result_drop(result);
    coir_io *pausing = coir_sleep(coir_ns((int64_t)pause));
    if (unlikely(pausing == NULL)) {
        *result = coir__no_memory();
        return NULL;
    }
    retry->pausing = true;
    retry->pause = (int64_t)pause;
    return pausing;
}
