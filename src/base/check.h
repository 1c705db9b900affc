/*
 * check.h - assertions about coir itself; a user's mistake is never one of them
 *
 * invariant() is compiled into the checking build only (make CHECK=1), where a failed one stops the program at once: what follows a
 * broken invariant cannot be trusted.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#ifdef COIR_CHECK
#define invariant(condition) ((condition) ? (void)0 : __builtin_trap())
#else
#define invariant(condition) ((void)sizeof(condition))
#endif

#define unreachable() __builtin_unreachable()

#endif
