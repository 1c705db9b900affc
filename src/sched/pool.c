/*
 * pool.c - workers: find a fiber, run it, look once more, sleep
 *
 * Where a fiber waits for a worker:
 *   deque     what a worker forked or woke, LIFO for itself, FIFO for thieves
 *   yielded   what yielded, FIFO
 *   backlog   what overflowed from either, FIFO
 *   injected  what threads outside the run woke
 * Every FAIRNESS turns a worker takes the oldest first, so that no stream of fresh forks starves the rest.
 *
 * Idle. A worker is busy (it runs or looks for fibers) or idle (in `parked`, counted in `idle`); who wakes it makes it busy, under the
 * idle lock, so the sum never lies. While any worker is busy one idle worker stands watch: it naps, for longer and longer up to
 * NAP_MAX, and looks whether others have more than they can do: deques, yielded, backlogs, expired timers. So a worker that pushes to its own
 * deque wakes nobody, and yet nothing runnable waits for one worker while another is idle. A fresh single entry is left to its
 * owner, who is about to take it, for one nap. When nobody is busy nobody watches: all park, each until its own earliest timer.
 *
 * Who left the watch, by itself or because somebody woke it, and who was woken so that there be one, relieves: when it finds work it wakes
 * the next, and when it finds none it watches itself. So the post is never empty while there is more than one worker can do.
 *
 * [WATCH]  The accident: the watcher leaves its post since nobody is busy, a worker becomes busy and believes it watched. Both happen under
 *   idle_lock: the worker became busy before, then the watcher sees it and stays; or after, then the worker sees `watched` false.
 *
 * The end. The last worker to become idle examines the run as a whole: over, silent, or waiting for something. As long as no worker has
 * become busy since (`awakenings`), its judgement stands.
 *
 * [COUNT]  The accident: a fiber was forked on one worker and has ended on another; its end is seen counted and its fork is not, and makes up for a
 *   fiber that lives. counter_add() releases and the sums acquire, and the ends are summed before the beginnings: who sees an end counted sees
 *   its beginning counted. What begins while the sums are taken pool_was_still() finds.
 *
 * [PIN]  Who wakes a fiber from outside pins the run before the push, when that fiber keeps the run alive, and unpins with a release as the last
 *   thing that it does with the run; coir__pool_run() acquires 0 before it returns.
 */
#include "sched/pool.h"

#include "fiber/deadlock.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>

enum {
    FAIRNESS      = 61,                                 /* turns; a prime, so that it falls in step with nothing */
    DEQUE_SHARE   = 16,                                 /* of those turns one is for the oldest in the deque */
    STEAL_MAX     = 32,
    REFILL        = 256,                                /* fibers from the backlog to the deque at once */
    NAP_MIN       = 20 * 1000,                          /* ns */
    NAP_MAX       = 1000 * 1000,
    SPIN          = 8 * 1000,
    RINGS_PAUSE   = 1000 * 1000                         /* between two searches for rings, at least */
};

static struct pool *pool_of(struct coir__run *run) { return container_of(run, struct pool, run); }
static struct worker *worker_of(struct coir__seat *seat) { return container_of(seat, struct worker, seat); }

/* ------------------------------------------------------------------------------------------------------- the backlog */

static void backlog_put(struct backlog *backlog, coir_fiber *first, coir_fiber *last, size_t count)
{
    last->next = NULL;
    spin_lock(&backlog->lock);
    *(backlog->first == NULL ? &backlog->first : &backlog->last->next) = first;
    backlog->last = last;
    store_relaxed(&backlog->count, load_relaxed(&backlog->count) + count);
    spin_unlock(&backlog->lock);
}

/* Takes at most `most` from the front, as a chain. */
static coir_fiber *backlog_take(struct backlog *backlog, size_t most)
{
    if (likely(load_relaxed(&backlog->count) == 0))
        return NULL;
    spin_lock(&backlog->lock);
    coir_fiber *first = backlog->first, **link = &backlog->first;
    size_t count = 0;
    for (; count < most && *link != NULL; count++)
        link = &(*link)->next;
    backlog->first = *link;
    if (count > 0)
        *link = NULL;
    if (backlog->first == NULL)
        backlog->last = NULL;
    store_relaxed(&backlog->count, load_relaxed(&backlog->count) - count);
    spin_unlock(&backlog->lock);
    return count == 0 ? NULL : first;
}

static inline bool pool_injected_is_empty(struct pool *pool) { return ck_pr_load_ptr(&pool->injected.head) == NULL; }

/* ------------------------------------------------------------------------------------------------------- waking others */

static void parked_remove(struct pool *pool, struct worker *worker)                     /* MODEL pool.pml: parked_remove */
{
    *(worker->parked_prev == NULL ? &pool->parked : &worker->parked_prev->parked_next) = worker->parked_next;
    if (worker->parked_next != NULL)
        worker->parked_next->parked_prev = worker->parked_prev;
    worker->parked = false;
    worker->relieves = worker->watching;
    if (worker->watching)
        store_relaxed(&pool->watched, false);
    worker->watching = false;
    store_relaxed(&pool->idle, load_relaxed(&pool->idle) - 1);
    pool->busy++;
    pool->awakenings++;
}

static NOINLINE void pool_wake_one(struct pool *pool, bool to_watch)                    /* MODEL pool.pml: wake_one */
{
    spin_lock(&pool->idle_lock);
    struct worker *worker = pool->parked;
    if (worker != NULL) {
        parked_remove(pool, worker);
        worker->relieves = worker->relieves || to_watch;
    }
    spin_unlock(&pool->idle_lock);
    if (worker != NULL)
        park_wake(&worker->parking);
}

/* After something became visible that the calling worker does not run at once. */
static inline void pool_ensure_watch(struct pool *pool)                                 /* MODEL pool.pml: ensure_watch */
{
    if (unlikely(load_relaxed(&pool->idle) > 0 && !load_relaxed(&pool->watched)))
        pool_wake_one(pool, true);
}

static void pool_stop(struct pool *pool, coir_result verdict)                           /* MODEL pool.pml: stop */
{
    spin_lock(&pool->idle_lock);
    bool first = !load_relaxed(&pool->stopped);
    if (first)
        pool->verdict = verdict;
    store_release(&pool->stopped, true);
    struct worker *parked = pool->parked;
    for (struct worker *worker = parked; worker != NULL; worker = worker->parked_next) {
        worker->parked = false;
        pool->busy++;
    }
    pool->parked = NULL;
    store_relaxed(&pool->idle, 0);
    spin_unlock(&pool->idle_lock);
    for (struct worker *next, *worker = parked; worker != NULL; worker = next) {
        next = worker->parked_next;
        park_wake(&worker->parking);
    }
    if (!first)
        coir_result_drop(&verdict);
}

/* From a thread that is no worker of the run. */
static void pool_inject(struct pool *pool, coir_fiber *fiber)                           /* MODEL pool.pml: inject */
{
    ck_stack_push_upmc(&pool->injected, &fiber->injected);                      /* K1 */
    fence_full();                                                               /* [PARK] pairs with worker_rest() */
    if (load_relaxed(&pool->spinning) == 0 && load_relaxed(&pool->idle) > 0)    /* K2; who spins looks once more before it parks */
        pool_wake_one(pool, false);
}

/* ------------------------------------------------------------------------------------------------- what fibers ask for */

static inline void worker_push(struct worker *worker, coir_fiber *fiber)                /* MODEL pool.pml: push */
{
    if (unlikely(!deque_push(&worker->deque, fiber)))
        backlog_put(&worker->backlog, fiber, fiber, 1);
    pool_ensure_watch(worker->pool);
}

static void drive_ready(struct coir__run *run, coir_fiber *fiber)
{
    if (likely(seat_is_of(run)))
        worker_push(worker_of(coir__me.seat), fiber);
    else
        pool_inject(pool_of(run), fiber);
}

/* What this end wakes runs next, and so needs no queue; of several the last one does. */
static void drive_next(struct coir__run *run, coir_fiber *fiber)                        /* MODEL pool.pml: next */
{
    struct worker *worker = worker_of(coir__me.seat);
    (void)run;
    if (unlikely(worker->next != NULL))
        worker_push(worker, worker->next);
    worker->next = fiber;
}

/* A list is pushed backwards, so that its first is the first to run; what the deque cannot hold waits behind. */
static void drive_start(struct coir__seat *seat, coir_fiber *first, coir_fiber *last, size_t count)
{
    struct worker *worker = worker_of(seat);
    if (likely(count == 1)) {
        worker_push(worker, first);
        return;
    }
    coir_fiber *batch[REFILL];
    size_t room = (size_t)deque_room(&worker->deque), n = count < room ? count : room;
    n = n < REFILL ? n : REFILL;
    coir_fiber *next = first;
    for (size_t i = 0; i < n; i++) {
        batch[i] = next;
        next = next->next;
    }
    if (next != NULL)
        backlog_put(&worker->backlog, next, last, count - n);
    while (n-- > 0)
        (void)deque_push(&worker->deque, batch[n]);
    pool_ensure_watch(worker->pool);
}

static int64_t drive_now(struct coir__run *run, enum clock_kind clock)
{
    (void)run;
    return clock == CLOCK_OF_RUN ? clock_monotonic() : clock_epoch();
}

static uint64_t seed_of_system(const struct worker *worker)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)       /* soon after the machine was started */
        seed = (uint64_t)clock_monotonic() ^ (uint64_t)(uintptr_t)worker;
    return seed;
}

/* Seeded by the first draw: most runs draw nothing. */
static uint64_t drive_draw(struct coir__seat *seat)
{
    struct worker *worker = worker_of(seat);
    if (unlikely(!worker->drawing_begun)) {
        uint64_t seed = worker->pool->run.options.seed;
        worker->drawing.state = seed == 0 ? seed_of_system(worker) : seed ^ worker->index * UINT64_C(0xd1342543de82ef95);
        worker->drawing_begun = true;
    }
    return random_next(&worker->drawing);
}

static bool drive_timer_arm(struct coir__seat *seat, struct timer *timer, enum clock_kind clock)
{
    struct worker *worker = worker_of(seat);
    return clock == CLOCK_OF_RUN ? coir__timers_arm(&worker->timers, timer) : coir__epoch_arm(&worker->pool->epoch, timer);
}

static bool drive_block(struct coir__seat *seat, struct job *job) { return coir__blockers_add(&pool_of(seat->run)->blockers, job); }
static bool drive_unblock(struct coir__seat *seat, struct job *job) { return coir__blockers_remove(&pool_of(seat->run)->blockers, job); }

static void drive_pin(struct coir__run *run) { fetch_add_relaxed(&pool_of(run)->pins, 1u); }
static void drive_unpin(struct coir__run *run) { fetch_sub_release(&pool_of(run)->pins, 1u); }           /* [PIN] */

static const struct driver pool_driver = {
    .ready = drive_ready, .next = drive_next, .start = drive_start, .now = drive_now, .draw = drive_draw,
    .timer_arm = drive_timer_arm, .timer_disarm = coir__timers_disarm, .block = drive_block, .unblock = drive_unblock,
    .pin = drive_pin, .unpin = drive_unpin,
};

/* -------------------------------------------------------------------------------------------------------- finding work */

/* Pushes a chain so that its first is run first. Its length is at most REFILL, and the deque is nearly empty. */
static coir_fiber *worker_adopt(struct worker *worker, coir_fiber *chain)
{
    coir_fiber *fiber = chain, *rest = chain->next, *batch[REFILL];
    size_t n = 0;
    for (coir_fiber *next; rest != NULL; rest = next) {
        next = rest->next;
        batch[n++] = rest;
    }
    while (n-- > 0)
        worker_push(worker, batch[n]);
    return fiber;
}

/* The stack gives the newest first; what was injected first is to run first. */
static coir_fiber *worker_take_injected(struct worker *worker)                          /* MODEL pool.pml: take_injected */
{
    if (likely(pool_injected_is_empty(worker->pool)))
        return NULL;
    ck_stack_entry_t *entry = ck_stack_batch_pop_upmc(&worker->pool->injected);
    coir_fiber *oldest = NULL;
    while (entry != NULL) {
        coir_fiber *fiber = container_of(entry, coir_fiber, injected);
        entry = CK_STACK_NEXT(entry);
        if (oldest != NULL)
            worker_push(worker, oldest);
        oldest = fiber;
    }
    return oldest;
}

static coir_fiber *worker_take_yielded(struct worker *from)
{
    void *fiber = NULL;
    return ck_ring_dequeue_spmc(&from->yielded, from->yielded_slots, &fiber) ? fiber : NULL;
}

static coir_fiber *worker_take_backlog(struct worker *worker)
{
    coir_fiber *chain = backlog_take(&worker->backlog, REFILL);
    return chain == NULL ? NULL : worker_adopt(worker, chain);
}

/* What is oldest in the queues; now and then what is oldest in the deque, which its owner reaches last. That is rarer: there it begins another
 * branch of a fork-join tree, and with it memory. */
static coir_fiber *worker_take_oldest(struct worker *worker)                            /* MODEL pool.pml: take_oldest */
{
    if (worker->next != NULL)
        worker_push(worker, worker->next);              /* it waits for another turn, and others may take it */
    worker->next = NULL;
    coir_fiber *fiber = worker->turns / FAIRNESS % DEQUE_SHARE == 0 ? deque_steal(&worker->deque) : NULL;
    if (fiber == NULL)
        fiber = worker_take_injected(worker);
    if (fiber == NULL)
        fiber = worker_take_yielded(worker);
    return fiber != NULL ? fiber : backlog_take(&worker->backlog, 1);       /* one: the deque may be full */
}

static inline coir_fiber *worker_take_newest(struct worker *worker)                     /* MODEL pool.pml: take_newest */
{
    coir_fiber *fiber = worker->next;
    if (fiber == NULL)
        return deque_pop(&worker->deque);
    worker->next = NULL;
    return fiber;
}

static bool worker_has_more(struct worker *worker)
{
    return deque_size(&worker->deque) > 0 || ck_ring_size(&worker->yielded) > 0 || load_relaxed(&worker->backlog.count) > 0 ||
           !pool_injected_is_empty(worker->pool);
}

/* To the back of the queue, unless it is alone. */
static coir_fiber *worker_put_spent(struct worker *worker)
{
    coir_fiber *fiber = worker->spent;
    worker->spent = NULL;
    if (!worker_has_more(worker))
        return fiber;
    /* While there is a backlog it is the back of the queue: so what yielded before is ahead of it, and nothing behind it is overtaken. */
    if (load_relaxed(&worker->backlog.count) > 0 || !ck_ring_enqueue_spmc(&worker->yielded, worker->yielded_slots, fiber))
        backlog_put(&worker->backlog, fiber, fiber, 1);
    pool_ensure_watch(worker->pool);
    return NULL;
}

static inline void worker_fire_timers(struct worker *worker)                            /* MODEL pool.pml: fire_timers */
{
    if (timers_earliest(&worker->timers) == INT64_MAX)
        return;
    int64_t now = clock_monotonic();
    if (timers_earliest(&worker->timers) <= now)
        coir__timers_fire(&worker->timers, now);
    else
        pool_ensure_watch(worker->pool);                /* should this turn take long, somebody else fires them */
}

static coir_fiber *worker_take_own(struct worker *worker)                               /* MODEL pool.pml: take_own */
{
    worker_fire_timers(worker);
    if (worker->spent != NULL) {
        coir_fiber *alone = worker_put_spent(worker);
        if (alone != NULL)
            return alone;
    }
    coir_fiber *fiber = NULL;
    if (unlikely(++worker->turns % FAIRNESS == 0))
        fiber = worker_take_oldest(worker);
    if (fiber == NULL)
        fiber = worker_take_newest(worker);
    if (fiber == NULL)
        fiber = worker_take_yielded(worker);
    if (fiber == NULL)
        fiber = worker_take_backlog(worker);
    if (fiber == NULL)
        return worker_take_injected(worker);
    if (unlikely(!pool_injected_is_empty(worker->pool)))
        pool_ensure_watch(worker->pool);                /* should this turn take long, somebody else takes them */
    return fiber;
}

/* Up to half of what a deque holds; a single entry only if it has been there for a nap. */
static coir_fiber *worker_steal_deque(struct worker *thief, struct worker *victim)
{
    int64_t size = deque_size(&victim->deque);
    if (size == 0 || (size == 1 && load_relaxed(&victim->deque.top) != thief->seen_top[victim->index]))
        return NULL;
    coir_fiber *fiber = deque_steal(&victim->deque);
    for (int64_t more = size / 2 - 1 < STEAL_MAX ? size / 2 - 1 : STEAL_MAX; fiber != NULL && more > 0; more--) {
        coir_fiber *further = deque_steal(&victim->deque);
        if (further == NULL)
            break;
        worker_push(thief, further);
    }
    return fiber;
}

static coir_fiber *worker_steal_from(struct worker *thief, struct worker *victim)
{
    coir_fiber *fiber = worker_steal_deque(thief, victim);
    if (fiber == NULL && ck_ring_size(&victim->yielded) > 0)
        fiber = worker_take_yielded(victim);
    if (fiber == NULL) {
        coir_fiber *chain = backlog_take(&victim->backlog, STEAL_MAX);
        fiber = chain == NULL ? NULL : worker_adopt(thief, chain);
    }
    return fiber;
}

static coir_fiber *worker_steal(struct worker *thief)                                   /* MODEL pool.pml: steal */
{
    struct pool *pool = thief->pool;
    unsigned start = random_below(&thief->random, pool->count);
    for (unsigned i = 0; i < pool->count; i++) {
        struct worker *victim = pool->workers[(start + i) % pool->count];
        coir_fiber *fiber = victim == thief ? NULL : worker_steal_from(thief, victim);
        if (fiber != NULL)
            return fiber;
    }
    int64_t now = clock_monotonic();
    for (unsigned i = 0; i < pool->count; i++)
        if (timers_earliest(&pool->workers[i]->timers) <= now && coir__timers_fire(&pool->workers[i]->timers, now) > 0)
            return deque_pop(&thief->deque);
    return NULL;
}

/* --------------------------------------------------------------------------------------------------------------- idle */

/* What an idle worker sees of the others without touching it. In passing it notes which single entries are there. */
static bool worker_sees_work(struct worker *worker, bool watching)                      /* MODEL pool.pml: sees_work */
{
    struct pool *pool = worker->pool;
    bool any = !pool_injected_is_empty(pool);
    if (!watching)
        return any || load_relaxed(&pool->stopped);
    int64_t now = clock_monotonic();
    for (unsigned i = 0; i < pool->count; i++) {
        struct worker *other = pool->workers[i];
        int64_t size = deque_size(&other->deque), top = load_relaxed(&other->deque.top);
        any = any || size > 1 || (size == 1 && worker->seen_top[i] == top) || ck_ring_size(&other->yielded) > 0 ||
              load_relaxed(&other->backlog.count) > 0 || timers_earliest(&other->timers) <= now;
        worker->seen_top[i] = size > 0 ? top : -1;
    }
    return any || load_relaxed(&pool->stopped);
}

/* A while of looking on before parking: a wake-up by futex costs ten times as much. One worker at a time does so. */
static bool worker_spin(struct worker *worker)                                          /* MODEL pool.pml: spin */
{
    struct pool *pool = worker->pool;
    uint32_t nobody = 0;
    if (!cas_relaxed(&pool->spinning, &nobody, 1))
        return false;
    int64_t end = clock_monotonic() + SPIN;
    bool found = false;
    do {
        for (int i = 0; i < 32 && !found; i++) {
            cpu_pause();
            found = !pool_injected_is_empty(pool) || load_relaxed(&pool->stopped);
        }
    } while (!found && clock_monotonic() < end);
    store_relaxed(&pool->spinning, 0);                                          /* S1 */
    fence_full();                                                               /* [PARK] pairs with pool_inject() */
    return found;
}

static uint64_t pool_sum(struct pool *pool, size_t counter)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < pool->count; i++)
        sum += load_acquire((_Atomic uint64_t *)(void *)((char *)&pool->workers[i]->seat + counter));       /* [COUNT] */
    return sum;
}
#define POOL_SUM(pool, counter) pool_sum((pool), offsetof(struct coir__seat, counter))

/* Whether all that have begun are over. */
static bool pool_evens(struct pool *pool, size_t begun, size_t over)
{
    uint64_t overs = pool_sum(pool, over);                                      /* before the beginnings: [COUNT] */
    return pool_sum(pool, begun) == overs;
}
#define POOL_EVENS(pool, begun, over) pool_evens((pool), offsetof(struct coir__seat, begun), offsetof(struct coir__seat, over))

/* Whether something may still come to a run in which nothing is runnable. */
static bool pool_expects(struct pool *pool)                                             /* MODEL pool.pml: expects */
{
    bool expects = epoch_sleeps(&pool->epoch) || !POOL_EVENS(pool, outside_begun, outside_done) ||
                   !POOL_EVENS(pool, callbacks_begun, callbacks_done);
    for (unsigned i = 0; i < pool->count; i++)
        expects = expects || timers_earliest(&pool->workers[i]->timers) != INT64_MAX;
    return expects;
}

static bool pool_rings_due(struct pool *pool, int64_t now)
{
    return POOL_SUM(pool, edges_begun) != load_relaxed(&pool->edges_judged) && now >= load_relaxed(&pool->rings_due);
}

/* Looks for rings, if waits have begun since the last time; by one worker at a time, and not all the time. True: there is work now, or
 * the run is over. */
static bool pool_judge_rings(struct pool *pool, bool at_once)
{
    uint64_t edges = POOL_SUM(pool, edges_begun);
    int64_t begun = clock_monotonic();
    uint32_t nobody = 0;
    if (edges == load_relaxed(&pool->edges_judged) || (!at_once && begun < load_relaxed(&pool->rings_due)) ||
        !cas_acq_rel(&pool->judging, &nobody, 1))
        return false;
    store_relaxed(&pool->edges_judged, edges);
    coir_result report = coir_ok(coir_none());
    bool stop = pool->run.options.on_deadlock == COIR_DEADLOCK_STOP;
    bool found = coir__deadlock_rings(&pool->run, stop ? &report : NULL) > 0;
    int64_t ended = clock_monotonic();
    store_relaxed(&pool->rings_due, ended + RINGS_PAUSE + 50 * (ended - begun));
    store_release(&pool->judging, 0);
    if (report.tag != COIR_OK)
        pool_stop(pool, report);
    return found;
}

enum judgement { RUN_GOES_ON, RUN_HAS_WORK, RUN_IS_OVER };           /* over: pool->stopped */

/* Whether nobody but the caller has been busy since then: so what it has summed up meanwhile is of one moment. */
static bool pool_was_still(struct pool *pool, uint64_t awakenings)                      /* MODEL pool.pml: was_still */
{
    spin_lock(&pool->idle_lock);
    bool still = pool->busy == 1 && pool->awakenings == awakenings;
    spin_unlock(&pool->idle_lock);
    return still;
}

/* By the one busy worker, with nothing runnable, which has found so many awakenings. */
static enum judgement pool_examine(struct pool *pool, uint64_t awakenings)              /* MODEL pool.pml: examine */
{
    if (!pool_injected_is_empty(pool))
        return RUN_HAS_WORK;
    bool all_ended = POOL_EVENS(pool, forked, ended), expects = pool_expects(pool);
    /* What was expected may just have come, or another worker may have woken, and ended again, between two of the sums. Firing ends without a
     * worker's awakening, after which a judgement that counted on it would still stand: so it is waited for. */
    if (epoch_fires(&pool->epoch) || !pool_injected_is_empty(pool) || !pool_was_still(pool, awakenings))
        return RUN_HAS_WORK;
    if (all_ended) {
        pool_stop(pool, coir_ok(coir_none()));
        return RUN_IS_OVER;
    }
    if (pool_judge_rings(pool, !expects))
        return RUN_HAS_WORK;
    if (expects)
        return RUN_GOES_ON;
    coir_result report = coir_ok(coir_none());
    bool stop = pool->run.options.on_deadlock == COIR_DEADLOCK_STOP;
    if (coir__deadlock_silence(&pool->run, stop ? &report : NULL) > 0) {
        if (report.tag != COIR_OK)
            pool_stop(pool, report);
        return RUN_HAS_WORK;
    }
    return RUN_GOES_ON;
}

/* Becomes idle; the last one to do so examines the run first. False: there is something to do, or the run is over. */
static bool worker_become_idle(struct worker *worker)                                   /* MODEL pool.pml: become_idle */
{
    struct pool *pool = worker->pool;
    for (;;) {
        spin_lock(&pool->idle_lock);
        uint64_t awakenings = pool->awakenings;
        bool stopped = load_relaxed(&pool->stopped);
        if (stopped || pool->busy > 1 || pool->judged == awakenings)
            break;
        spin_unlock(&pool->idle_lock);
        if (pool_examine(pool, awakenings) != RUN_GOES_ON)
            return false;
        spin_lock(&pool->idle_lock);
        pool->judged = awakenings;
        spin_unlock(&pool->idle_lock);
    }
    if (load_relaxed(&pool->stopped)) {
        spin_unlock(&pool->idle_lock);
        return false;
    }
    pool->busy--;
    worker->relieves = false;
    worker->parked = true;
    worker->parked_prev = NULL;
    worker->parked_next = pool->parked;
    if (pool->parked != NULL)
        pool->parked->parked_prev = worker;
    pool->parked = worker;
    store_relaxed(&pool->idle, load_relaxed(&pool->idle) + 1);                  /* S1 */
    spin_unlock(&pool->idle_lock);
    return true;
}

/* Leaves the idle ones, unless somebody has taken it out already. */
static void worker_become_busy(struct worker *worker)                                   /* MODEL pool.pml: become_busy */
{
    struct pool *pool = worker->pool;
    spin_lock(&pool->idle_lock);
    if (worker->parked)
        parked_remove(pool, worker);
    spin_unlock(&pool->idle_lock);
}

/* Takes or leaves the watch, as it is needed: [WATCH]. */
static bool worker_stands_watch(struct worker *worker)                                  /* MODEL pool.pml: stands_watch */
{
    struct pool *pool = worker->pool;
    spin_lock(&pool->idle_lock);
    if (worker->parked && !worker->watching && pool->busy > 0 && !load_relaxed(&pool->watched)) {
        worker->watching = true;
        store_relaxed(&pool->watched, true);
    } else if (worker->watching && pool->busy == 0) {
        worker->watching = false;
        store_relaxed(&pool->watched, false);
    }
    bool watching = worker->watching;
    spin_unlock(&pool->idle_lock);
    return watching;
}

static int64_t sooner_of(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t worker_sleeps_until(struct worker *worker, bool watching, int64_t nap)
{
    struct pool *pool = worker->pool;
    int64_t now = clock_monotonic(), due = timers_earliest(&worker->timers);
    if (watching)
        due = sooner_of(due, now + nap);
    else if (POOL_SUM(pool, edges_begun) != load_relaxed(&pool->edges_judged))
        due = sooner_of(due, load_relaxed(&pool->rings_due));
    if (pool->run.options.idle_sleep.ns > 0)
        due = sooner_of(due, ns_add(now, pool->run.options.idle_sleep.ns));
    return due;
}

/* Sleeps until there may be something to do. */
static void worker_rest(struct worker *worker)                                          /* MODEL pool.pml: rest */
{
    struct pool *pool = worker->pool;
    if (worker_spin(worker))
        return;
    uint32_t ticket = park_ticket(&worker->parking);
    if (!worker_become_idle(worker))
        return;
    fence_full();                                                               /* [PARK] pairs with pool_inject() */
    for (int64_t nap = NAP_MIN; ; nap = nap * 2 < NAP_MAX ? nap * 2 : NAP_MAX) {
        bool watching = worker_stands_watch(worker);
        if (worker_sees_work(worker, watching))                                 /* S2 */
            break;
        coir__park_wait(&worker->parking, ticket, worker_sleeps_until(worker, watching, nap));   /* MODEL pool.pml: park_wait */
        int64_t now = clock_monotonic();
        if (park_ticket(&worker->parking) != ticket || timers_earliest(&worker->timers) <= now || pool_rings_due(pool, now))
            break;
    }
    worker_become_busy(worker);
}

/* ------------------------------------------------------------------------------------------------------------ the loop */

static inline coir_fiber *worker_look(struct worker *worker)                            /* MODEL pool.pml: look */
{
    coir_fiber *fiber = worker_take_own(worker);
    if (unlikely(fiber == NULL))
        fiber = worker_steal(worker);
    if (unlikely(fiber != NULL && worker->relieves)) {
        worker->relieves = false;
        pool_ensure_watch(worker->pool);
    }
    return fiber;
}

static coir_fiber *worker_find(struct worker *worker)
{
    for (;;) {
        if (unlikely(load_acquire(&worker->pool->stopped)))
            return NULL;
        coir_fiber *fiber = worker_look(worker);
        if (likely(fiber != NULL))
            return fiber;
        if (!pool_judge_rings(worker->pool, false))
            worker_rest(worker);
    }
}

static void worker_loop(struct worker *worker)
{
    struct coir__seat *seat = &worker->seat, *outer = coir__me.seat;
    coir__me.seat = seat;
    for (coir_fiber *fiber; (fiber = worker_find(worker)) != NULL; ) {
        switch (coir__interp(seat, fiber)) {
        case STOP_ENDED:
            coir__fiber_end(seat, fiber);
            break;
        case STOP_SPENT:
        case STOP_YIELDED:
            seat->fiber = NULL;
            store_relaxed(&fiber->phase, PHASE_RUNNABLE);
            worker->spent = fiber;
            break;
        case STOP_PARKED:
            break;
        }
    }
    coir__me.seat = outer;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    char name[16];
    pthread_mutex_lock(&worker->pool->starting);
    pthread_mutex_unlock(&worker->pool->starting);
    snprintf(name, sizeof name, "coir %u", worker->index % 100000);
    pthread_setname_np(pthread_self(), name);
    (void)prctl(PR_SET_TIMERSLACK, 1000ul, 0ul, 0ul, 0ul);      /* ns: sleepers are to be on time */
    worker_loop(worker);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------ the pool */

static struct worker *worker_new(struct pool *pool, unsigned index)
{
    struct worker *worker = coir__chunk(sizeof *worker, CACHE_LINE);
    if (worker == NULL)
        return NULL;
    memset(worker, 0, sizeof *worker);
    worker->seat.run = &pool->run;
    worker->pool = pool;
    worker->index = index;
    worker->random.state = index;
    worker->seen_top = coir__alloc(pool->count * sizeof *worker->seen_top);
    if (worker->seen_top == NULL) {
        coir__chunk_free(worker, sizeof *worker, CACHE_LINE);
        return NULL;
    }
    for (unsigned i = 0; i < pool->count; i++)
        worker->seen_top[i] = -1;
    park_init(&worker->parking);
    ck_ring_init(&worker->yielded, RING_SIZE);
    ck_spinlock_fas_init(&worker->backlog.lock);
    coir__timers_init(&worker->timers);
    return worker;
}

static void worker_drop(struct worker *worker, unsigned count)
{
    coir__timers_done(&worker->timers);
    coir__free(worker->seen_top, count * sizeof *worker->seen_top);
    coir__chunk_free(worker, sizeof *worker, CACHE_LINE);
}

static void workers_drop(struct pool *pool, unsigned made)
{
    for (unsigned i = 0; i < made; i++)
        worker_drop(pool->workers[i], pool->made);
    coir__free(pool->workers, pool->made * sizeof *pool->workers);
}

static bool workers_make(struct pool *pool)
{
    pool->workers = coir__alloc(pool->made * sizeof *pool->workers);
    if (pool->workers == NULL)
        return false;
    for (unsigned i = 0; i < pool->made; i++) {
        pool->workers[i] = worker_new(pool, i);
        if (pool->workers[i] == NULL) {
            workers_drop(pool, i);
            return false;
        }
    }
    return true;
}

struct pool *coir__pool_new(const coir_options *options)
{
    struct pool *pool = coir__chunk(sizeof *pool, CACHE_LINE);
    if (pool == NULL)
        return NULL;
    memset(pool, 0, sizeof *pool);
    pool->count = pool->made = options->workers;
    ck_stack_init(&pool->injected);
    ck_spinlock_fas_init(&pool->idle_lock);
    pthread_mutex_init(&pool->starting, NULL);
    coir__epoch_init(&pool->epoch);
    coir__blockers_init(&pool->blockers, &pool->run, options);
    pool->judged = UINT64_MAX;
    pool->verdict = coir_ok(coir_none());
    bool made = workers_make(pool);
    if (made && coir__run_init(&pool->run, &pool_driver, options))
        return pool;
    if (made)
        workers_drop(pool, pool->made);
    coir__blockers_done(&pool->blockers);
    coir__epoch_done(&pool->epoch);
    pthread_mutex_destroy(&pool->starting);
    coir__chunk_free(pool, sizeof *pool, CACHE_LINE);
    return NULL;
}

void coir__pool_drop(struct pool *pool)
{
    coir__blockers_done(&pool->blockers);
    coir__epoch_done(&pool->epoch);
    workers_drop(pool, pool->made);
    pthread_mutex_destroy(&pool->starting);
    coir__chunk_free(pool, sizeof *pool, CACHE_LINE);
}

/* Starts the others; with fewer, if there are no more threads to be had. They wait for `starting`, so that all see how many they are. */
static void workers_start(struct pool *pool)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    if (pool->run.options.stack_size > 0)
        (void)pthread_attr_setstacksize(&attributes, pool->run.options.stack_size);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);          /* signals are the program's */
    pthread_mutex_lock(&pool->starting);
    unsigned started = 1;
    while (started < pool->made &&
           pthread_create(&pool->workers[started]->thread, &attributes, worker_main, pool->workers[started]) == 0)
        started++;
    pool->count = pool->busy = started;
    pthread_mutex_unlock(&pool->starting);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static void pool_await_pins(struct pool *pool)                                          /* MODEL pool.pml: await_pins */
{
    while (load_acquire(&pool->pins) > 0)                                       /* [PIN] */
        sched_yield();
}

/* The fibers of a run that was stopped, in which others may still be about to wake some. */
static void pool_discard_fibers(struct pool *pool)
{
    coir__epoch_stop(&pool->epoch);
    coir__run_strip(&pool->run);
    pool_await_pins(pool);
    coir__run_discard(&pool->run);
}

/* Of a run that was stopped: what has not begun will not, what has is asked to be quick. No worker is left, so the fibers stay where they are. */
static bool unblock(void *env, coir_fiber *fiber)
{
    coir_io *frame = fiber->top;
    (void)env;
    if (fiber->flags & FIBER_WAITING && frame->op == OP_PRIM && frame->prim->blocks && !(frame->flags & NODE_FINAL))
        frame->prim->cancel(fiber, frame);
    return true;
}

coir_result coir__pool_run(struct pool *pool, coir_io *io)
{
    struct worker *first = pool->workers[0];
    struct coir__seat *outer = coir__me.seat;
    coir__me.seat = &first->seat;
    coir_fiber *main_fiber = coir__fiber_new(&first->seat, io, false, NULL);
    coir_result result = coir__no_memory();
    workers_start(pool);
    if (main_fiber == NULL) {
        pool_stop(pool, coir_ok(coir_none()));
    } else {
        main_fiber->flags |= FIBER_MAIN;
        drive_start(&first->seat, main_fiber, main_fiber, 1);
        worker_loop(first);
    }
    for (unsigned i = 1; i < pool->count; i++)
        pthread_join(pool->workers[i]->thread, NULL);
    coir__me.seat = &first->seat;
    if (pool->verdict.tag != COIR_OK)
        coir__run_each(&pool->run, unblock, NULL);
    coir__blockers_stop(&pool->blockers);               /* before the frames go that its jobs stand in */
    if (pool->verdict.tag != COIR_OK)
        pool_discard_fibers(pool);
    else
        pool_await_pins(pool);
    if (main_fiber != NULL) {
        result = pool->verdict.tag != COIR_OK ? pool->verdict : coir__fiber_result(main_fiber);
        store_relaxed(&main_fiber->seen, 1);
        coir_fiber_drop(main_fiber);
    }
    for (unsigned i = 0; i < pool->count; i++)
        coir__seat_done(&pool->workers[i]->seat);
    coir__run_done(&pool->run);
    coir__me.seat = outer;
    return result;
}
