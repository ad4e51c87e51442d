/* SPDX-License-Identifier: MIT */
/* check_cxx.h - checks of programs in C++: the first that fails ends the program by status 1. */
#ifndef TEST_CHECK_CXX_H
#define TEST_CHECK_CXX_H

#include <cstdio>
#include <cstdlib>

#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

[[noreturn]] inline void
check_failed(const char *condition, const char *file, int line)
{
    std::fprintf(stderr, "%s:%d: %s does not hold\n", file, line, condition);
    std::exit(1);
}

#endif
