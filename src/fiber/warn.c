/*
 * warn.c - what a fiber does that its program had better not do: counted, and told to a hook
 */
#include "fiber/driver.h"
#include "fiber/local.h"

#include <stdarg.h>
#include <stdio.h>

static _Atomic uint64_t values_kept, warnings;

uint64_t coir__values_kept(void) { return load_relaxed(&values_kept); }
uint64_t coir__warnings(void)    { return load_relaxed(&warnings); }

void coir__seat_done(const struct coir__seat *seat)
{
    fetch_add_relaxed(&values_kept, load_relaxed(&((struct coir__seat *)(uintptr_t)seat)->kept));
}

void coir__warn(coir_fiber *fiber, const char *format, ...)
{
    const coir_options *options = &run_of(fiber)->options;
    char message[512], label[64];
    va_list arguments;
    if (fiber->flags & FIBER_WARNED)
        return;
    fiber->flags |= FIBER_WARNED;
    fetch_add_relaxed(&warnings, (uint64_t)1);
    if (options->on_warning == NULL)
        return;
    int length = snprintf(message, sizeof message, "fiber%s ", coir__fiber_label(fiber, label, sizeof label));
    va_start(arguments, format);
    vsnprintf(message + length, sizeof message - (size_t)length, format, arguments);
    va_end(arguments);
    coir__me.in_hook++;
    options->on_warning(options->env, fiber->id, message);
    coir__me.in_hook--;
}
