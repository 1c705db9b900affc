/*
 * pipe.c - a pipe of stages, made of what the public headers offer: fibers, and a channel before each stage
 *
 *     source -> channel -> workers of stage 0 -> channel -> workers of stage 1 ...
 *
 * Who has come to an end closes the channel behind it, and so on to the last stage. Who fails closes nothing: what stands behind is called off, and does not
 * take the failure for an end.
 *
 * An ordered stage of several workers is a ring of turns, one for each worker. Under the stage's lock a worker gets an item and its number. When it has what
 * came of it, it waits for turn number % workers, hands it on, and gives the next turn. No two in progress have the same turn: of the numbers n and n +
 * workers the second is drawn only by a worker that has handed on what it had, and none behind n has.
 */
#include "io/node.h"

#include <coir/channel.h>
#include <coir/pipe.h>

#include <errno.h>
#include <string.h>

enum { WORKERS_MAX = 65536, ALIGNMENT = 16 };

/* What a node describes; of all its runs. */
struct pipe {
    _Atomic uint32_t refs;
    size_t           bytes;                             /* of the whole, with what was copied */
    coir_io         *source;
    size_t           count;
    coir_stage       stages[];
};

/* Of a run. */
struct station {
    const coir_stage *stage;
    coir_channel     *in, *out;                         /* out NULL: the last one */
    coir_lock        *lock;                             /* of an ordered one of several workers: drawing numbers; otherwise NULL */
    coir_semaphore  **turns;
    uint64_t          drawn;                            /* L: how many numbers */
};
struct flow { struct pipe *pipe; struct station stations[]; };

/* Of a fiber of an ordered stage. */
struct worker { struct station *station; uint64_t number; };

/* --------------------------------------------------------------------------------------------------------------- pipe */

static void pipe_drop(void *pipe_)
{
    struct pipe *pipe = pipe_;
    if (fetch_sub_acq_rel(&pipe->refs, 1u) > 1)
        return;
    coir_io_drop(pipe->source);
    coir__free(pipe, pipe->bytes);
}

static size_t aligned(size_t size) { return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* Takes source. NULL: no memory. */
static struct pipe *pipe_new(coir_io *source, size_t count, const coir_stage *stages)
{
    size_t at = aligned(sizeof(struct pipe) + count * sizeof *stages), bytes = at;
    for (size_t i = 0; i < count; i++)
        bytes += aligned(stages[i].size);
    struct pipe *pipe = coir__alloc(bytes);
    if (pipe == NULL) {
        coir_io_drop(source);
        return NULL;
    }
    atomic_init(&pipe->refs, 1);
    pipe->bytes = bytes;
    pipe->source = source;
    pipe->count = count;
    for (size_t i = 0; i < count; i++) {
        coir_stage *stage = &pipe->stages[i];
        *stage = stages[i];
        if (stage->size > 0)
            stage->env = memcpy((char *)pipe + at, stage->env, stage->size);
        at += aligned(stage->size);
    }
    return pipe;
}

/* --------------------------------------------------------------------------------------------------------------- flow */

static size_t flow_size(size_t count) { return sizeof(struct flow) + count * sizeof(struct station); }
static bool takes_turns(const struct station *station) { return station->turns != NULL; }

static void station_done(struct station *station)
{
    size_t workers = station->stage->workers;
    for (size_t i = 0; i < workers && takes_turns(station); i++)
        coir_semaphore_drop(station->turns[i]);
    if (takes_turns(station))
        coir__free(station->turns, workers * sizeof *station->turns);
    coir_lock_drop(station->lock);
    coir_channel_drop(station->in);
}

static void flow_drop(void *flow_)
{
    struct flow *flow = flow_;
    struct pipe *pipe = flow->pipe;
    for (size_t i = 0; i < pipe->count; i++)
        station_done(&flow->stations[i]);
    coir__free(flow, flow_size(pipe->count));
    pipe_drop(pipe);
}

static bool turns_init(struct station *station)
{
    size_t workers = station->stage->workers;
    station->lock = coir_lock_new();
    station->turns = coir__alloc(workers * sizeof *station->turns);
    if (station->turns == NULL)
        return false;
    bool complete = station->lock != NULL;
    for (size_t i = 0; i < workers; i++) {
        station->turns[i] = coir_semaphore_new_bounded(i == 0, 1);
        complete = complete && station->turns[i] != NULL;
    }
    return complete;
}

/* Whatever it gives, station_done() is due. */
static bool station_init(struct station *station, const coir_stage *stage, bool is_last)
{
    station->stage = stage;
    station->in = coir_channel_new(stage->ahead == 0 ? stage->workers : stage->ahead);
    return station->in != NULL && (is_last || !stage->is_ordered || stage->workers == 1 || turns_init(station));
}

static struct flow *flow_new(struct pipe *pipe)
{
    size_t count = pipe->count;
    struct flow *flow = coir__alloc(flow_size(count));
    if (flow == NULL)
        return NULL;
    memset(flow, 0, flow_size(count));
    fetch_add_relaxed(&pipe->refs, 1u);                 /* relaxed: who runs it has one */
    flow->pipe = pipe;
    bool complete = true;
    for (size_t i = 0; i < count; i++)
        complete = station_init(&flow->stations[i], &pipe->stages[i], i == count - 1) && complete;
    for (size_t i = 0; i + 1 < count; i++)
        flow->stations[i].out = flow->stations[i + 1].in;
    if (complete)
        return flow;
    flow_drop(flow);
    return NULL;
}

static coir_result poison_all(void *flow_)
{
    struct flow *flow = flow_;
    for (size_t i = 0; i < flow->pipe->count; i++)
        coir_poison(flow->stations[i].in);
    return coir_ok(coir_none());
}

/* -------------------------------------------------------------------------------------------------------------- skips */

static const coir_type skip_type = { .name = "skip" };

coir_io *coir_stage_skip(void) { return coir_pure((coir_value){ .type = &skip_type }); }

static coir_io *send_on(coir_channel *out, coir_value *value)
{
    return value->type == &skip_type ? coir_unit() : coir_send(out, coir_take(value));
}

/* ------------------------------------------------------------------------------------------------------------ workers */

static coir_io *hand_on(void *station_, coir_value *value)
{
    const struct station *station = station_;
    return send_on(station->out, value);
}

static coir_io *work_on(void *station_, coir_value *item)
{
    struct station *station = station_;
    coir_io *io = station->stage->fn(station->stage->env, item);
    return station->out == NULL ? io : coir_flat_map(io, hand_on, station);
}

/* The same, in turn. */
static coir_value draw_number(void *worker_, coir_value *item)
{
    struct worker *worker = worker_;
    worker->number = worker->station->drawn++;
    return *item;
}

static coir_io *hand_on_in_turn(void *worker_, coir_value *value)
{
    const struct worker *worker = worker_;
    const struct station *station = worker->station;
    size_t workers = station->stage->workers;
    coir_io *my_turn = coir_acquire(station->turns[worker->number % workers], 1), *next_turn = coir_release(station->turns[(worker->number + 1) % workers], 1);
    return coir_sequence(COIR_IOS(my_turn, send_on(station->out, value), next_turn));
}

static coir_io *work_on_in_turn(void *worker_, coir_value *item)
{
    struct worker *worker = worker_;
    const coir_stage *stage = worker->station->stage;
    return coir_flat_map(stage->fn(stage->env, item), hand_on_in_turn, worker);
}

static void worker_drop(void *worker) { coir__free(worker, sizeof(struct worker)); }

static coir_io *worker_in_turn(struct station *station)
{
    struct worker *worker = coir__alloc(sizeof *worker);
    if (worker == NULL)
        return NULL;
    *worker = (struct worker){ station, 0 };
    coir_io *next = coir_with_lock(station->lock, coir_map(coir_next(station->in), draw_number, worker));
    return coir_owns(coir_for_each(next, work_on_in_turn, worker), worker, worker_drop);
}

static coir_io *worker_of(void *station_, size_t index)
{
    struct station *station = station_;
    (void)index;
    return takes_turns(station) ? worker_in_turn(station) : coir_for_each(coir_next(station->in), work_on, station);
}

/* ------------------------------------------------------------------------------------------------------------- fibers */

static coir_io *then_close(coir_io *io, coir_channel *out) { return out == NULL ? io : coir_then(io, coir_closing(out, coir_unit())); }

static coir_io *station_io(struct station *station)
{
    size_t workers = station->stage->workers;
    return then_close(coir_par_traverse(workers, workers, worker_of, station), station->out);
}

static coir_io *send_first(void *in, coir_value *item) { return coir_send(in, coir_take(item)); }

static coir_io *source_io(struct flow *flow)
{
    coir_channel *in = flow->stations[0].in;
    coir_io *source = coir_io_ref(flow->pipe->source);
    return then_close(coir_for_each(source, send_first, in), in);
}

static coir_io *flow_io(void *flow_, size_t index)
{
    struct flow *flow = flow_;
    return index == 0 ? source_io(flow) : station_io(&flow->stations[index - 1]);
}

static coir_io *flow_begin(void *pipe)
{
    struct flow *flow = flow_new(pipe);
    if (flow == NULL)
        return NULL;
    coir_io *all = coir_par_traverse(0, flow->pipe->count + 1, flow_io, flow);
    return coir_owns(coir_as(coir_finally(all, coir_defer(poison_all, flow)), coir_none()), flow, flow_drop);
}

/* ---------------------------------------------------------------------------------------------------------------- io */

/* NULL: it can be one. */
static const char *stage_bad(const coir_stage *stage)
{
    if (stage->fn == NULL)
        return "fn of a stage is NULL";
    if (stage->workers == 0)
        return "a stage has no workers";
    if (stage->workers > WORKERS_MAX)
        return "a stage has more than 65,536 workers";
    if (stage->ahead > SIZE_MAX / 2)
        return "a stage has a negative number of items ahead";
    if (stage->size > CAPTURE_MAX)
        return "a stage captures more than 64 KiB";
    return stage->size > 0 && stage->env == NULL ? "bytes of a stage is NULL" : NULL;
}

static const char *stages_bad(size_t count, const coir_stage *stages)
{
    const char *bad = count == 0 ? "there are no stages" : count > WORKERS_MAX ? "there are too many stages" : stages == NULL ? "stages is NULL" : NULL;
    for (size_t i = 0; i < count && bad == NULL; i++)
        bad = stage_bad(&stages[i]);
    return bad;
}

coir_io *coir_par_pipe(coir_io *source, size_t count, const coir_stage *stages)
{
    const char *bad = source == NULL ? NULL : stages_bad(count, stages);
    if (source == NULL || bad != NULL) {
        coir_io_drop(source);
        return source == NULL ? NULL : coir__bad_argument("coir_par_pipe", bad);
    }
    struct pipe *pipe = pipe_new(source, count, stages);
    return pipe == NULL ? NULL : coir_owns(coir_suspend(flow_begin, pipe), pipe, pipe_drop);
}
