/* SPDX-License-Identifier: MIT */
/* look.h - what the commands share that look at single spans, objects, threads. */
#ifndef LOOK_H
#define LOOK_H

#include "tools/commands.h"

/** A number in C's notation, all of the text. */
bool read_number(const char *text, uint64_t *number);

int command_memory(int argc, char **argv);
int command_classes(int argc, char **argv);
int command_spans(int argc, char **argv);
int command_span(int argc, char **argv);
int command_ptr(int argc, char **argv);
int command_handle(int argc, char **argv);
int command_cell(int argc, char **argv);
int command_objects(int argc, char **argv);
int command_check(int argc, char **argv);
int command_reach(int argc, char **argv);
int command_find(int argc, char **argv);
int command_readers(int argc, char **argv);
int command_top(int argc, char **argv);
int command_cache(int argc, char **argv);
int command_item(int argc, char **argv);

#endif
