/* SPDX-License-Identifier: MIT */
/*
 * exposition.h - a strict reader of Prometheus' text exposition format, as the library prints it:
 * HELP and TYPE above every metric, base units, cumulative histograms, no series twice. It says
 * what is wrong; test_stats_print.c shows that it does.
 */
#ifndef TEST_EXPOSITION_H
#define TEST_EXPOSITION_H

/** What is wrong with the text, and where; NULL: nothing. */
const char *exposition_fault(const char *text, const char **where);

/** Length in bytes of the well-formed UTF-8 character at s; 0: there is none. */
unsigned exposition_character(const char *s);

#endif
