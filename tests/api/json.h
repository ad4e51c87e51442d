/* SPDX-License-Identifier: MIT */
/*
 * json.h - a validator for JSON texts (RFC 8259), strict, without memory of its own. Not a parser:
 * it says whether a text is JSON, and finds keys and numbers by name.
 */
#ifndef TEST_JSON_H
#define TEST_JSON_H

#include <stdbool.h>
#include <stddef.h>

/** Whether text is exactly one JSON value. On failure *at is where it stopped being one. */
bool json_valid(const char *text, size_t *at);

/** Number of times that "key" stands before a colon, anywhere. */
unsigned json_key_count(const char *text, const char *key);

/** The unsigned number after the first "key": in the text; false when there is none. */
bool json_number(const char *text, const char *key, unsigned long long *value);

#endif
