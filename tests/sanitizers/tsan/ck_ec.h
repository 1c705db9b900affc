/*
 * ck_ec.h - the event count as the thread sanitizer can see it: stands before the real one in that build only
 *
 * ck_ec_inc() is assembly whatever ck_pr.h says; ck_ec_add() is not, unless the mode has single_producer. The waiting itself stays in
 * libck, which the sanitizer does not see: it learns of a wake-up when the woken thread next calls ck_ec_value().
 */
#ifndef COIR_SEEN_CK_EC_H
#define COIR_SEEN_CK_EC_H
#pragma GCC system_header

#include_next <ck_ec.h>

#undef ck_ec_inc
#define ck_ec_inc(ec, mode)   ((void)ck_ec_add((ec), (mode), 1))
#define ck_ec32_inc(ec, mode) ((void)ck_ec32_add((ec), (mode), 1))

#endif
