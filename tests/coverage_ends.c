/* SPDX-License-Identifier: MIT */
/*
 * coverage_ends.c - in the coverage build alone: processes that end by _exit (forked children) or
 * abort (misuse that was found) leave what they have counted. The linker puts these in the place of
 * both, also for the static library; gcov itself writes at exit only.
 */
#include <unistd.h>

void __gcov_dump(void);
_Noreturn void __real__exit(int status);
_Noreturn void __real_abort(void);
_Noreturn void __wrap__exit(int status);
_Noreturn void __wrap_abort(void);

void
__wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}

void
__wrap_abort(void)
{
    __gcov_dump();
    __real_abort();
}
