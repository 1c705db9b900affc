/*
 * sent.c - the value that an io sends: in its node, and in the frames of its runs
 */
#include "channel/channel.h"

coir_io *coir__sent_put(coir_io *node, coir_value value)
{
    if (node == NULL) {
        coir_drop(value);
        return NULL;
    }
    if (!coir_can_share(&value))
        node->flags |= NODE_SOLE;
    *sent_of(node) = (struct sent){ value, node };
    return node;
}

bool coir__sent_begin(coir_io *frame, coir_result *result)
{
    struct sent *sent = sent_of(frame);
    coir_io *node = sent->node;
    if (node != frame)
        coir__set_value(&sent->value, coir__value_of_shared(node, &sent_of(node)->value));
    if (likely(!coir__is_panic_value(&sent->value)))
        return true;
    *result = coir__panic_of(coir_take(&sent->value));
    return false;
}

void coir__sent_end(coir_io *frame)
{
    struct sent *sent = sent_of(frame);
    if (sent->node != frame)
        coir_drop(coir_take(&sent->value));
}

void coir__sent_drop(coir_io *node)
{
    if (!(load_relaxed(&node->refs) & NODE_TAKEN))      /* relaxed: by the last owner */
        coir_drop(sent_of(node)->value);
}
