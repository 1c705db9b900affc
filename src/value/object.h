/*
 * value/object.h - what the objects behind values have in common: a count of owners, and a death without recursion
 *
 * A holder is an object that holds values: a list, an error with its cause, a boxed result. Once dead nobody reads its count any
 * more, so the link of the thread's list of the dead stands in the same bytes.
 */
#ifndef VALUE_OBJECT_H
#define VALUE_OBJECT_H

#include "base/atomic.h"
#include "base/memory.h"
#include "value/value.h"

/*
 * Owners. More than REFS_MAX are refused, as if there were no memory: that many values alone would fill 32 GiB. Between the limit
 * and the overflow lie 2^31 more, and a thread passes the limit by one at most, for a moment.
 */
#define REFS_MAX (1u << 31)

static inline bool refs_add(_Atomic uint32_t *refs)
{
    if (likely(fetch_add_relaxed(refs, 1u) < REFS_MAX)) /* relaxed: the caller's own reference keeps the object alive */
        return true;
    fetch_sub_acq_rel(refs, 1u);
    return false;
}

/* [REFS] An owner that goes publishes what it did to the object; the last one sees all of it before it empties the object. */
static inline bool refs_is_sole(_Atomic uint32_t *refs) { return load_acquire(refs) == 1; }
/* Whether that was the last. A sole owner needs no locked instruction: nobody else is there who could add one. */
static inline bool refs_drop(_Atomic uint32_t *refs) { return refs_is_sole(refs) || fetch_sub_acq_rel(refs, 1u) == 1; }

struct holder {
    union {
        struct buried dead;
        struct {
            _Atomic uint32_t refs;                      /* A [REFS] */
            bool is_sharable;                           /* all that was put in could be shared then; see coir_can_share() */
            bool is_plain;                              /* of a list: no item has a type, so none needs a drop */
        };
    };
};

static inline void holder_init(struct holder *holder)
{
    store_relaxed(&holder->refs, 1u);                   /* relaxed: nobody else has it yet */
    holder->is_sharable = true;
    holder->is_plain = true;
}

/* Types of which coir knows that their drop ends there: who holds nothing else needs no burial. */
static inline bool is_leaf(const coir_type *type) { return type == NULL || type == &coir_string_type || type == &coir_heap_type; }

/* What coir drops for the program: no run may begin inside. */
static inline void drop_held(coir_value value)
{
    if (value.type == NULL || value.type->drop == NULL)
        return;
    coir__me.in_hook++;
    value.type->drop(value.ptr);
    coir__me.in_hook--;
}

static inline const char *type_name(const coir_type *type)
{
    return type->name == NULL ? "value of a type without a name" : type->name;
}

/* A text to be printed into an object that is not there yet: short ones are formatted once. */
struct text {
    size_t size;
    const char *format;
    bool is_wrong;                                      /* the C library refused the format: the text is the format itself */
    char start[200];
};
void coir__text_measure(struct text *text, const char *format, va_list arguments) COIR_PRINTF(2, 0);
/* coir__text_write: size + 1 bytes. arguments are those of the measure, once more. */
void coir__text_write(const struct text *text, char *to, va_list arguments);

#endif
