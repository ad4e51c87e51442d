/* SPDX-License-Identifier: MIT */
/* struct_size_options.c - options of a size that no version had, or with more set than is known. */
#include "support.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Options that end where memory does: whoever reads on faults. */
static struct handle_store_options *
options_at_end(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(memory != MAP_FAILED && mprotect(memory + page, page, PROT_NONE) == 0);
    struct handle_store_options *options = (void *)(memory + page - sizeof(*options));
    *options = store_options();
    return options;
}

static void
run(void)
{
    struct {
        struct handle_store_options options;
        uint64_t later;
    } newer = {store_options(), 1};
    struct handle_store_options *options = options_at_end();
    int standard_error = dup(STDERR_FILENO); /* a line goes there: which callback is meant? */
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDERR_FILENO);
    options->struct_size = 0;
    expect_errno(handle_store_create(options), EINVAL);
    options->struct_size = sizeof(*options) - 1;
    expect_errno(handle_store_create(options), EINVAL);
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    close(nowhere);
    newer.options.struct_size = sizeof(newer);
    expect_errno(handle_store_create(&newer.options), EINVAL);
    newer.later = 0; /* known to nobody, and not set */
    handle_store *store = handle_store_create(&newer.options);
    expect(store != NULL);
    close_sound(store);
}

const struct misuse misuse = {
    run, ALWAYS(REPORTS("options: one is set that this version does not know"))};
