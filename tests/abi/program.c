/* SPDX-License-Identifier: MIT */
/*
 * program.c - asks for a store, with the header that HEADER names: this version's, another's, or
 * the text of an older one. There is no flavour here, so it gets none; what the library says to it
 * is on standard error. It fails where it gets an answer of EINVAL.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include HEADER

int
main(void)
{
    errno = 0;
    return handle_store_create_flavor(NULL, NULL) != NULL || errno == EINVAL;
}
