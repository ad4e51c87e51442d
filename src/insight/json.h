/* SPDX-License-Identifier: MIT */
/* json.h - statistics as JSON. */
#ifndef SN_JSON_H
#define SN_JSON_H

#include "insight/printer.h"

void sn_print_json(struct printer *p);

#endif
