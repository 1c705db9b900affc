/*
 * value.c - sharing, printing and dropping of any value, through its type
 *
 * Whether a list, a box or an error can be shared depends on all that is inside, however deep. Each remembers the answer of the
 * time when it was filled, so that asking costs nothing and needs no stack. The answer can only be outdated in one direction: what
 * could not be shared may have been taken out since, from a list or from a box inside it. So a "no" is looked into again, a few
 * levels deep; below that the old answer stands.
 */
#include "value/object.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    LOOK_AGAIN  = 8,                                    /* levels below which an old "cannot be shared" is believed */
    PRINT_DEPTH = 32                                    /* what lies deeper is printed as three dots: the C stack is bounded */
};

/* ------------------------------------------------------------------------------------------------------------ heap */

static void heap_drop(void *object) { free(object); }

const coir_type coir_heap_type = { "heap", heap_drop, NULL, NULL };

coir_value coir_heap(void *malloced) { return malloced == NULL ? coir__no_memory_value() : coir_own(malloced, &coir_heap_type); }

/* --------------------------------------------------------------------------------------------------------- sharing */

static bool is_holder(const coir_type *type)
{
    return type == &coir_list_type || type == &coir_result_type || type == &coir_error_type || type == &coir_panic_type;
}

static const coir_value *unsharable_in(const coir_value *holder, int levels);

static bool can_share(const coir_value *value, int levels)
{
    if (value->type == NULL)
        return true;
    if (value->type->share == NULL)
        return false;
    if (!is_holder(value->type) || ((const struct holder *)value->ptr)->is_sharable)
        return true;
    return levels > 0 && unsharable_in(value, levels - 1) == NULL;
}

static const coir_value *unsharable_in_result(const coir_result *result, int levels)
{
    if (!can_share(&result->value, levels))
        return &result->value;
    for (const coir_failure *f = result->also; f != NULL; f = coir_failure_next(f))
        if (!can_share(coir_failure_value(f), levels))
            return coir_failure_value(f);
    return NULL;
}

/* The first value right inside the holder that cannot be shared. */
static const coir_value *unsharable_in(const coir_value *holder, int levels)
{
    if (holder->type == &coir_result_type)
        return unsharable_in_result(coir_result_in(holder), levels);
    if (holder->type != &coir_list_type) {
        const coir_value *cause = coir_error_cause(holder);
        return cause == NULL || can_share(cause, levels) ? NULL : cause;
    }
    for (size_t i = 0, count = coir_list_size(holder); i < count; i++)
        if (!can_share(coir_list_at(holder, i), levels))
            return coir_list_at(holder, i);
    return NULL;
}

static void print_zero(const void *object, FILE *out)
{
    (void)object;
    fputc('0', out);
}
static void *share_zero(void *object) { return object; }
const coir_type coir__zero_type = { "number", NULL, share_zero, print_zero };

static NOINLINE coir_value refuse_to_share(const coir_value *value)
{
    const coir_value *culprit = value, *inside = value;
    while (inside != NULL) {
        culprit = inside;
        inside = is_holder(culprit->type) ? unsharable_in(culprit, LOOK_AGAIN) : NULL;
    }
    if (culprit == value)
        return coir_panic_value("a %s cannot be shared", type_name(value->type));
    return coir_panic_value("a %s cannot be shared: there is a %s inside", type_name(value->type), type_name(culprit->type));
}

coir_value coir_share(const coir_value *value)
{
    const coir_type *type = value->type;
    if (type == NULL || type == &coir__zero_type)
        return *value;
    if (unlikely(!coir_can_share(value)))
        return refuse_to_share(value);
    coir__me.in_hook++;
    void *object = type->share(value->ptr);
    coir__me.in_hook--;
    return object == NULL ? coir__no_memory_value() : coir_own(object, type);
}

bool coir_can_share(const coir_value *value) { return can_share(value, LOOK_AGAIN); }

/* -------------------------------------------------------------------------------------------------------- printing */

/* The depth of hooks is the depth of what is being printed, whether coir or the program prints it. */
void coir_value_print(const coir_value *value, FILE *out)
{
    const coir_type *type = value->type;
    if (type == NULL) {
        fprintf(out, "%" PRId64, value->i64);
    } else if (type->print == NULL) {
        fprintf(out, "<%s>", type_name(type));
    } else if (coir__me.in_hook >= PRINT_DEPTH) {
        fputs("...", out);
    } else {
        coir__me.in_hook++;
        type->print(value->ptr, out);
        coir__me.in_hook--;
    }
}
