/*
 * queues.c - queues of work, pipes, broadcasts: whose waits and rooms need memory
 */
#include "fault.h"

static coir_io *give_thing(void *env, coir_value *item) { (void)env; return coir_then(coir_yield(), coir_pure(coir_take(item))); }

/* A producer, and a worker that takes them one by one; the queue is full at times. A worker that ends for want of memory leaves the producer to wait. */
FAULT_PROGRAM_THAT_MAY(queues, "DEADLOCK", "OK [<OK 1> <OK 0> <OK [thing 5]> <OK thing 4>]")
{
    coir_queue *jobs = coir_queue_new(1, COIR_FULL_WAIT), *batches = coir_queue_new(2, COIR_FULL_DROP_OLD), *ranked = coir_queue_new_by_priority(30, COIR_FULL_WAIT);
    coir_io *again = coir_queue_put(jobs, thing(2)), *and_again = coir_io_ref(again);
    coir_io *giver = coir_queue_closing(jobs, coir_sequence(COIR_IOS(coir_queue_put(jobs, sole_thing(1)), again, coir_yield(), and_again)));
    coir_io *worker = coir_queue_each(jobs, give_thing, NULL);
    coir_io *batch = coir_then(coir_queue_put(batches, thing(5)), coir_queue_get_many(batches, 10));
    coir_io *rank = coir_sequence(COIR_IOS(coir_queue_put_at(ranked, 2, thing(3)), coir_queue_put_at(ranked, 1, thing(4)), coir_queue_get(ranked)));
    coir_result result = fault_run(coir_flat_map(coir_parallel(COIR_IOS(giver, worker, batch, rank)), wait_it, NULL), options);
    if (jobs != NULL && coir_queue_unfinished(jobs) != coir_queue_size(jobs))
        fault_wrong("%d are not done", (int)coir_queue_unfinished(jobs));
    coir_queue_drop(jobs);
    coir_queue_drop(batches);
    coir_queue_drop(ranked);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------- pipes */

/* Its source gives three things, and then none. */
static coir_io *next_thing(void *left) { return --*(int *)left < 0 ? coir_unit() : coir_pure(*(int *)left == 1 ? sole_thing(1) : thing(*(int *)left)); }

FAULT_PROGRAM(pipes, "OK 0")
{
    int left = 3;
    return fault_run(coir_par_pipe(coir_suspend(next_thing, &left), COIR_STAGES(coir_stage_ordered(2, give_thing, NULL), coir_stage_unordered(1, give_thing, NULL),
                                                                                coir_stage_ordered(1, give_thing, NULL))), options);
}

/* --------------------------------------------------------------------------------------------------------- broadcasts */

struct both { coir_broadcast *broadcast; coir_subscription *first; };

static coir_io *receive_two(coir_subscription *subscription)
{
    return coir_zip(COIR_IOS(coir_subscription_receive(subscription), coir_subscription_receive(subscription)));
}

static coir_io *publish_to_both(void *both_, const coir_value *held)
{
    const struct both *both = both_;
    coir_io *writer = coir_sequence(COIR_IOS(coir_publish(both->broadcast, thing(1)), coir_publish(both->broadcast, thing(2))));
    return coir_par_zip(COIR_IOS(receive_two(both->first), receive_two(coir_subscription_of(held)), writer));
}

static coir_io *with_first(void *broadcast, const coir_value *held)
{
    return coir_use_copy(coir_subscribed(broadcast), publish_to_both, COIR_ENV(struct both, broadcast, coir_subscription_of(held)));
}

FAULT_PROGRAM(broadcasts, "OK [[thing 1 thing 2] [thing 1 thing 2] 2]")
{
    coir_broadcast *broadcast = coir_broadcast_new(1, COIR_SLOW_WAIT, 1);
    coir_result result = fault_run(coir_use(coir_subscribed(broadcast), with_first, broadcast), options);
    if (coir_broadcast_subscribers(broadcast) != 0)
        fault_wrong("%d still subscribe", (int)coir_broadcast_subscribers(broadcast));
    coir_broadcast_drop(broadcast);
    return result;
}
