/* SPDX-License-Identifier: MIT */
/* struct_size_options.c - options of a size that no version had, or with more set than is known. */
#include "support.h"

static void
run(void)
{
    struct {
        struct handle_store_options options;
        uint64_t later;
    } newer = {store_options(), 1};
    struct handle_store_options options = store_options();
    options.struct_size = 0;
    expect_errno(handle_store_create(&options), EINVAL);
    options.struct_size = sizeof(options) - 1;
    expect_errno(handle_store_create(&options), EINVAL);
    newer.options.struct_size = sizeof(newer);
    expect_errno(handle_store_create(&newer.options), EINVAL);
    newer.later = 0; /* known to nobody, and not set */
    handle_store *store = handle_store_create(&newer.options);
    expect(store != NULL);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
