/*
 * coir/pipe.h - a pipe: items from a source go through stages, each with so many workers
 *
 *     coir_io *copy = coir_par_pipe(next_url(list), COIR_STAGES(coir_stage_unordered(8, fetch, NULL),
 *                                                               coir_stage_ordered(2, parse, NULL),
 *                                                               coir_stage_ordered(1, store, &database)));
 *
 * coir_par_pipe runs `source` again and again until it gives none (as coir_for_each() does; a coir_int(0) is one, too). Each item that it gives goes to the
 * first stage, what that makes of it to the second, and so on; what the last one gives is dropped. All stages are at work side by side, in fibers of their
 * own, in the caller's context. The pipe gives none, when all items have gone through.
 *
 * A stage is a function of an item, which it is lent, as by coir_for_each(): it may take it; what it does not take lives until what the stage gives has been
 * handed on. Never more than `workers` of its ios are in progress. Up to `ahead` items wait before it; when as many do, who comes before it waits. So a pipe
 * needs memory for what is in it, never for how many have gone through.
 *
 * The first failure, of the source or of any stage, ends the pipe and is what it fails with: all the others are canceled and waited for, with their finalizers,
 * and the items in between are dropped. (So a stage that has seen enough stops the pipe by an error of its own, to be caught.) A cancellation of the caller
 * cancels all. An item that a failure or a cancellation meets is dropped; no item goes through a stage twice.
 *
 * Like any io a pipe may run many times, also at once: each run has stages and items of its own. Sources and stages are taken and copied.
 * From     Go's pipelines of channels, Python's multiprocessing.Pool.imap and imap_unordered, fs2's parEvalMap and parEvalMapUnordered, ZIO's mapZIOPar.
 */
#ifndef COIR_PIPE_H
#define COIR_PIPE_H

#include <coir/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coir_stage {
    coir_flat_map_fn *fn;                               /* called by several workers at once, on env as it is */
    void             *env;
    size_t            size;                             /* of what env points to, if it is to be copied; 0: it is lent */
    size_t            workers;                          /* at least 1, at most 65,536 */
    size_t            ahead;                            /* 0: as many as workers */
    bool              is_ordered;                       /* what it gives goes on in the order in which its items came */
} coir_stage;

/* coir_stage_ordered: who is done with an item waits until what came before has gone on: so a slow item holds up the workers behind it. coir_stage_unordered:
 * what is done goes on at once. With one worker they are the same. What they point to, also the bytes of the _copy forms, is looked at when the pipe is made.
 * */
static inline coir_stage coir_stage_ordered(size_t workers, coir_flat_map_fn *fn, void *env)
{
    coir_stage s = { fn, env, 0, workers, 0, true };
    return s;
}
static inline coir_stage coir_stage_ordered_copy(size_t workers, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    coir_stage s = { fn, (void *)(uintptr_t)bytes, size, workers, 0, true };
    return s;
}
static inline coir_stage coir_stage_unordered(size_t workers, coir_flat_map_fn *fn, void *env)
{
    coir_stage s = { fn, env, 0, workers, 0, false };
    return s;
}
static inline coir_stage coir_stage_unordered_copy(size_t workers, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    coir_stage s = { fn, (void *)(uintptr_t)bytes, size, workers, 0, false };
    return s;
}
#ifndef __cplusplus
#define COIR_STAGES(...) (sizeof((coir_stage[]){ __VA_ARGS__ }) / sizeof(coir_stage)), (coir_stage[]){ __VA_ARGS__ }
#else
#define COIR_STAGES(...) coir_count_<decltype(std::make_tuple(__VA_ARGS__))>(), std::initializer_list<coir_stage>{ __VA_ARGS__ }.begin()
#endif

/* coir_par_pipe: see above. The stages are borrowed for the call. No stages, a stage without workers or with too many, or without fn: a panic, code EINVAL. */
COIR_API COIR_MUST_USE coir_io *coir_par_pipe(coir_io *source, size_t count, const coir_stage *stages);
/* coir_stage_skip: what a stage's io gives when nothing is to go on: so stages filter. (A none goes on like any other value.) */
COIR_API COIR_MUST_USE coir_io *coir_stage_skip(void);

#ifdef __cplusplus
}
#endif
#endif
