/* SPDX-License-Identifier: MIT */
/*
 * backend_malloc.c - values from malloc: the C library's, or the one that LD_PRELOAD put in its
 * place. Values cannot move, and free() waits for the grace period in reclaim().
 */
#include "backend.h"

#include <malloc.h>
#include <stdlib.h>

static bool
open_malloc(bool compact)
{
    (void)compact; /* nothing to compact: pointers are out */
    return true;
}

static void *
create(union value_name *name, size_t size)
{
    name->pointer = malloc(size);
    return name->pointer;
}

static const void *
read_value(const union value_name *name)
{
    return name->pointer;
}

static void *
write_value(union value_name *name)
{
    return name->pointer;
}

static bool
has_size(const union value_name *name, size_t size)
{
    return malloc_usable_size(name->pointer) >= size;
}

static bool
retire(union value_name *name)
{
    return name->pointer != NULL;
}

static void
reclaim(union value_name *name)
{
    free(name->pointer);
    name->pointer = NULL;
}

static void
facts(struct backend_facts *facts)
{
    *facts = (struct backend_facts){.known = false};
}

static int
check(void)
{
    return 0; /* malloc offers no walk over its structures */
}

static bool
close_malloc(void)
{
    return true; /* the cache has counted the values back in */
}

const struct backend backend_malloc = {
    .name = "malloc",
    .open = open_malloc,
    .create = create,
    .read = read_value,
    .write = write_value,
    .has_size = has_size,
    .retire = retire,
    .reclaim = reclaim,
    .facts = facts,
    .check = check,
    .close = close_malloc,
};
