/*
 * value/value.h - what the other floors need of values beside the public header
 */
#ifndef VALUE_VALUE_H
#define VALUE_VALUE_H

#include "base/config.h"

#include <coir/value.h>

#include <errno.h>
#include <stdarg.h>

/* The domains of coir's own errors. */
#define DOMAIN_COIR  "coir"
#define DOMAIN_ERRNO "errno"

/* coir__error: a coir_error without a place. Without memory: the static one that says ENOMEM, so it never fails. */
coir_value coir__error(const char *domain, int code, const char *format, ...) COIR_PRINTF(3, 4);
coir_value coir__error_v(const char *domain, int code, const char *format, va_list arguments);

/* coir__panicf: the same as a COIR_PANIC. coir__no_memory: the PANIC with ENOMEM; allocates nothing. */
coir_result coir__panicf(const char *domain, int code, const char *format, ...) COIR_PRINTF(3, 4);
coir_result coir__no_memory(void);
/* coir__no_memory_value: the coir_panic_value() that says ENOMEM; allocates nothing. */
coir_value coir__no_memory_value(void);

/*
 * A plain zero (coir_int(0), coir_bool(false)) is the same value as none. Where none has a meaning of its own, such as the end of a stream, a zero that is
 * meant as a value has this type: it is like a plain one in every other respect.
 */
extern const coir_type coir__zero_type;
static inline void coir__mark_zero(coir_value *v)
{
    if (unlikely(coir_is_none(v)))
        v->type = &coir__zero_type;
}

static inline bool coir__is_panic_value(const coir_value *v) { return unlikely(v->type == &coir_panic_type); }
/* coir__panic_of: takes a value of coir_panic_type; gives the PANIC that it stands for. */
coir_result coir__panic_of(coir_value value);
/* coir__is_broken: of a result that came from outside: its value is a panic value, or its tag is none of the four. */
static inline bool coir__is_broken(const coir_result *result)
{
    return unlikely(coir__is_panic_value(&result->value) || (unsigned)result->tag > COIR_CANCELED);
}
/* coir__checked: takes a result that came from outside: a broken one becomes a PANIC, which keeps its `also`. */
coir_result coir__checked_slow(coir_result result);
static inline coir_result coir__checked(coir_result result)
{
    return coir__is_broken(&result) ? coir__checked_slow(result) : result;
}
/*
 * coir__set: *to = *from, member by member. A compiler copies a struct in pieces of 16 bytes; if it has just been written member by member, as by a
 * callback that gives it, such a load must wait until all those stores have left the processor's store buffer: some 5 ns, once for
 * each instruction of a program. (The library is built with -fno-tree-slp-vectorize, which would undo this.)
 */
static ALWAYS_INLINE void coir__set_value(coir_value *to, coir_value value)
{
    to->u64 = value.u64;
    to->type = value.type;
}
static ALWAYS_INLINE void coir__set(coir_result *to, const coir_result *from)
{
    to->tag = from->tag;
    coir__set_value(&to->value, from->value);
    to->also = from->also;
}
static ALWAYS_INLINE void coir__set_ok(coir_result *to, coir_value value)
{
    to->tag = COIR_OK;
    coir__set_value(&to->value, value);
    to->also = NULL;
}

/* coir__check: the same in place. For what is called often: compilers copy a struct that passes through a function in wide pieces,
 * which then wait for the narrow stores that made it: 8 ns against 4 for a call and its check (gcc, AMD EPYC). */
static inline void coir__check(coir_result *result)
{
    if (coir__is_broken(result))
        *result = coir__checked_slow(*result);
}

/* coir__result_can_share: as coir_can_share(), of all that is in it. */
bool coir__result_can_share(const coir_result *result);

/* coir__box: coir_box() of *result, which is taken. */
coir_value coir__box(coir_result *result);

/* coir__also: appends a further failure (taken, with its own `also` after it) to the failures of *result, which is one. Without
 * memory it is dropped and counted. */
void coir__also(coir_result *result, coir_result further);
uint64_t coir__failures_forgotten(void);
/* coir__settled: makes the most severe of all the result again. coir__of_failures: a chain, which is not NULL, as a result. Both take. */
coir_result coir__settled(coir_result result);
coir_result coir__of_failures(coir_failure *first);
/* coir__failures_of: a failure (taken) that is not the result any more, as a chain: itself, if there is memory for it, then its own further ones.
 * coir__failures_join: one behind the other, each of which may be NULL; calls nothing. */
coir_failure *coir__failures_of(coir_result failure);
coir_failure *coir__failures_join(coir_failure *chain, coir_failure *behind);
/* coir__failures_drop: the chain, which may be NULL. */
void coir__failures_drop(coir_failure *first);
/* coir__failures_map: lets fn change the payload of each failure with that tag in the chain. One for which fn gives a panic value
 * becomes a PANIC, and stands behind it as it was, if fn has not taken it. */
void coir__failures_map(coir_failure *first, coir_tag tag, coir_map_fn *fn, void *env);
/* coir__map_failures: the same for the result itself and all in its `also`; if a panic has come of it, that is the result. */
coir_result coir__map_failures(coir_result result, coir_tag tag, coir_map_fn *fn, void *env);

/* coir__list_new: a list with room for `capacity` items; pushing that many does not allocate. A panic value without memory. */
coir_value coir__list_new(size_t capacity);
/* coir__list_blank: a list of that many nones, and the places where they stand, in each of which one thread at a time may put a value that is no
 * panic value. Until coir__list_fit() it is nobody else's: which says whether any of them has a type, and whether those that have can be shared. */
coir_value coir__list_blank(size_t count, coir_value **places);
void coir__list_fit(const coir_value *list, bool is_plain, bool is_sharable);
/* coir__list_items: the items themselves, lent; of what is not a list none. */
const coir_value *coir__list_items(const coir_value *list, size_t *count);
/* coir__list_add: takes item; the list is not shared and has room. A panic value, as list or as item, is what the list then is. */
void coir__list_add(coir_value *list, coir_value item);

/* coir__print_escaped: as a C string constant, without the quotes. */
void coir__print_escaped(const char *bytes, size_t size, FILE *out);

#endif
