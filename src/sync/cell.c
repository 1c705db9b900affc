/*
 * cell.c - an atomic place for a value: nothing waits for it, so any thread may use it
 *
 * The guard is held for a few loads and stores. What share() and drop() of a type do, and what a function makes of the value, takes place outside; meanwhile another
 * may have put something else in. So a value that can be shared has a count of its own: whoever looks at it owns it, too, and the last of them drops it. One
 * that cannot be shared nobody looks at: it goes from hand to hand.
 *
 * Invariant, under the guard: `version` was another whenever there was another value.
 */
#include "base/atomic.h"
#include "base/memory.h"
#include "base/spin.h"
#include "value/value.h"

#include <coir/sync.h>

struct owners { _Atomic uint32_t count; };

struct content {
    coir_value     value;
    struct owners *owners;                              /* of whom this is one; NULL: of a plain value, or of one that cannot be shared */
};

struct coir_cell {
    union {
        struct {
            _Atomic uint32_t  refs;
            ck_spinlock_fas_t guard;
            uint64_t          version;                  /* L under guard */
        };
        struct buried buried;                           /* of a dead one */
    };
    struct content content;                             /* L */
};

/* ------------------------------------------------------------------------------------------------------------- content */

/* Takes value; drops it, and gives false, if there is no memory. */
static bool content_init(struct content *content, coir_value value)
{
    *content = (struct content){ .value = value };
    if (value.type == NULL || !coir_can_share(&value))
        return true;
    content->owners = coir__alloc(sizeof *content->owners);
    if (content->owners == NULL) {
        coir_drop(value);
        return false;
    }
    atomic_init(&content->owners->count, 1);
    return true;
}

static struct content content_ref(const struct content *content)
{
    if (content->owners != NULL)
        fetch_add_relaxed(&content->owners->count, 1u);
    return *content;
}

static void content_drop(struct content *content)
{
    if (content->owners != NULL) {
        if (fetch_sub_acq_rel(&content->owners->count, 1u) != 1)
            return;
        coir__free(content->owners, sizeof *content->owners);
    }
    coir_drop(content->value);
}

/* The value, of which others may be owners, too. Takes content. */
static coir_value content_value(struct content *content)
{
    if (content->owners != NULL && load_acquire(&content->owners->count) > 1) {
        coir_value value = coir_share(&content->value);
        content_drop(content);
        return value;
    }
    if (content->owners != NULL)
        coir__free(content->owners, sizeof *content->owners);
    return content->value;
}

/* ---------------------------------------------------------------------------------------------------------- the place */

/* An owner more. */
static struct content look(coir_cell *cell, uint64_t *version)
{
    spin_lock(&cell->guard);
    struct content content = content_ref(&cell->content);
    *version = cell->version;
    spin_unlock(&cell->guard);
    return content;
}

/* Only if it is still that version; *version NULL: whatever is there. True: *content is what was there. */
static bool exchange(coir_cell *cell, struct content *content, const uint64_t *version)
{
    spin_lock(&cell->guard);
    bool is_it = version == NULL || *version == cell->version;
    if (is_it) {
        struct content before = cell->content;
        cell->content = *content;
        cell->version++;
        *content = before;
    }
    spin_unlock(&cell->guard);
    return is_it;
}

static bool is_sole(const struct content *content) { return content->owners == NULL && content->value.type != NULL; }

/* ------------------------------------------------------------------------------------------------------------- handle */

coir_cell *coir_cell_new(coir_value initial)
{
    struct content content;
    coir_cell *cell = coir__alloc(sizeof *cell);
    if (cell == NULL)
        coir_drop(initial);
    else if (content_init(&content, initial)) {
        atomic_init(&cell->refs, 1);
        ck_spinlock_fas_init(&cell->guard);
        cell->version = 0;
        cell->content = content;
        return cell;
    } else
        coir__free(cell, sizeof *cell);
    errno = ENOMEM;
    return NULL;
}

coir_cell *coir_cell_ref(coir_cell *cell)
{
    if (cell != NULL)
        fetch_add_relaxed(&cell->refs, 1u);
    return cell;
}

static void cell_empty(struct buried *buried)
{
    coir_cell *cell = container_of(buried, coir_cell, buried);
    content_drop(&cell->content);
    coir__free(cell, sizeof *cell);
}

/* The value may hold another cell, which holds another: dropping must not recurse. */
void coir_cell_drop(coir_cell *cell)
{
    if (cell != NULL && fetch_sub_acq_rel(&cell->refs, 1u) == 1)
        coir__bury(&cell->buried, cell_empty);
}

/* ------------------------------------------------------------------------------------------------------------ get, set */

static coir_value cannot_share(const char *function, const coir_value *value)
{
    return coir_panic_value("%s: a %s cannot be shared", function, value->type->name == NULL ? "value" : value->type->name);
}

coir_value coir_cell_get(coir_cell *cell)
{
    uint64_t version;
    if (cell == NULL)
        return coir_none();
    struct content content = look(cell, &version);
    if (unlikely(is_sole(&content)))
        return cannot_share("coir_cell_get", &content.value);
    return content_value(&content);
}

coir_value coir_cell_swap(coir_cell *cell, coir_value value)
{
    struct content content;
    if (cell == NULL) {
        coir_drop(value);
        return coir_none();
    }
    if (coir__is_panic_value(&value))
        return value;
    if (!content_init(&content, value))
        return coir__no_memory_value();
    (void)exchange(cell, &content, NULL);
    return content_value(&content);
}

bool coir_cell_set(coir_cell *cell, coir_value value)
{
    struct content content;
    if (cell == NULL || coir__is_panic_value(&value)) {
        coir_drop(value);
        return false;
    }
    if (!content_init(&content, value))
        return false;
    (void)exchange(cell, &content, NULL);
    content_drop(&content);
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- update */

/* One attempt on what was seen. True: it is over: *content is what was there, or a panic value. False: another came between. */
static bool try_update(coir_cell *cell, const struct content *seen, uint64_t version, coir_cell_fn *fn, void *env, struct content *content)
{
    coir_value value = fn(env, &seen->value);
    if (coir__is_panic_value(&value)) {
        *content = (struct content){ .value = value };
        return true;
    }
    if (!content_init(content, value)) {
        *content = (struct content){ .value = coir__no_memory_value() };
        return true;
    }
    bool is_updated = exchange(cell, content, &version);
    if (!is_updated)
        content_drop(content);
    return is_updated;
}

coir_value coir_cell_update(coir_cell *cell, coir_cell_fn *fn, void *env)
{
    struct content content;
    bool is_over = false;
    if (cell == NULL)
        return coir_none();
    if (fn == NULL)
        return coir_panic_value("coir_cell_update: fn is NULL");
    while (!is_over) {
        uint64_t version;
        struct content seen = look(cell, &version);
        if (unlikely(is_sole(&seen)))
            return cannot_share("coir_cell_update", &seen.value);
        is_over = try_update(cell, &seen, version, fn, env, &content);
        content_drop(&seen);
    }
    return content_value(&content);
}
