/* SPDX-License-Identifier: MIT */
/* settings.h - the options of a store that lives, and what follows from them. */
#ifndef SN_SETTINGS_H
#define SN_SETTINGS_H

#include "core/store.h"

/** Makes the options that a store was made with take effect. */
void sn_settings_apply(handle_store *store);

/** In every forked child: other threads may have been setting options. */
void sn_settings_begin_child(void);

#endif
