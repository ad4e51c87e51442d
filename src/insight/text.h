/* SPDX-License-Identifier: MIT */
/* text.h - statistics as text for people. */
#ifndef SN_TEXT_H
#define SN_TEXT_H

#include "insight/printer.h"

void sn_print_text(struct printer *p);

#endif
