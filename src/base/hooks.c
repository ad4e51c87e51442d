/* SPDX-License-Identifier: MIT */
/* hooks.c - see hooks.h; debug builds alone have these. */
#include "base/hooks.h"

#if SN_DEBUG
void (*sn_hook_fn)(enum sn_hook_point point, const void *object);
int (*sn_inject_fn)(enum sn_inject_point point);
bool sn_debug_force_moves;
#endif
