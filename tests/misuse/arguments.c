/* SPDX-License-Identifier: MIT */
/*
 * arguments.c - arguments that no call takes: NULL, sizes, flags, formats.
 *
 * Seen failing, with the library broken like this:
 *   NULL not seen: set_tag, cell_free, stats       null_arguments
 *   ... stores: cell_resize, _pin; purge, stop     null_store_cells; null_store_control
 *   ... flavours; ENOENT without a store           null_store_create; null_store_handles
 *   any size; any flag                             size_too_large; unknown_flags
 *   steps without budget; with any                 step_budget
 *   formats not bounded, in both places            stats_format
 *   any struct_size; what lies behind is ignored   struct_size_options
 *   any struct_size of report; of statistics       struct_size_reports
 */
#include "support.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* A store, and nothing else. */
static void
null_arguments(handle_store *store)
{
    handle_t handle = make(store, 10, NULL);
    const void *object;
    section_enter();
    expect(handle_deref_many(store, NULL, &object, 1) == 0);
    expect(handle_deref_many(store, &handle, NULL, 1) == 0);
    size_t size = 1;
    handle_t made;
    handle_cell *no_cell = NULL;
    expect_errno(handle_alloc_many(store, NULL, 0, &made, NULL, 1), EINVAL);
    expect_errno(handle_alloc_many(store, &size, 0, NULL, NULL, 1), EINVAL);
    expect_errno(handle_alloc_many(store, &size, 1u << 20, &made, NULL, 1), EINVAL);
    expect(handle_alloc_many(store, NULL, 0, NULL, NULL, 0) == 0);
    expect(handle_free_many(store, NULL, 1) == 0);
    expect_errno(handle_cell_alloc_many(store, NULL, &size, 0, NULL, 1), EINVAL);
    expect_errno(handle_cell_alloc_many(store, &no_cell, NULL, 0, NULL, 1), EINVAL);
    expect_errno(handle_cell_alloc_many(store, &no_cell, &size, 0, NULL, 1), EINVAL);
    expect(handle_cell_free_many(store, NULL, 1) == 0);
    expect(handle_cell_free_many(store, &no_cell, 1) == 0);
    expect_errno(handle_cell_alloc(store, NULL, 1, 0), EINVAL);
    expect(handle_cell_free(store, NULL) == -EINVAL);
    expect(handle_cell_free_now(store, NULL) == -EINVAL);
    expect(handle_cell_resize(store, NULL, 1) == -EINVAL);
    expect(handle_cell_resize_reserve(store, NULL, 1, 2) == -EINVAL);
    expect(handle_cell_set_tag(store, NULL, 1) == -EINVAL);
    expect(handle_cell_relocate(store, NULL, NULL) == -EINVAL);
    expect(handle_cell_unlink(store, NULL, NULL) == -EINVAL);
    expect(handle_cell_retire(store, NULL) == -EINVAL);
    expect_errno(handle_cell_pin(store, NULL), EINVAL);
    expect_errno(handle_update_begin(store, handle, 1, NULL), EINVAL);
    expect(handle_update_commit(store, NULL) == -EINVAL);
    handle_update_abort(store, NULL);
    section_leave();
    expect(handle_store_stats(store, NULL) == -EINVAL);
    expect(handle_store_class_stats(store, NULL, sizeof(struct handle_class_stats), 1) == -EINVAL);
    expect(handle_defrag_estimate(store, NULL) == -EINVAL);
    expect(handle_store_each(store, NULL, NULL) == -EINVAL);
    expect(handle_store_used_exact(store, NULL) == -EINVAL);
    expect(handle_store_stats_print(store, HANDLE_STATS_TEXT, NULL, NULL) == -EINVAL);
}

/* ---- no store -------------------------------------------------------------------------------- */

/* No flavour to make one for. */
static void
null_store_create(handle_store *store)
{
    (void)store;
    struct handle_store_options options = store_options();
    expect_errno(handle_store_create_flavor(&options, NULL), EINVAL);
}

static void
null_store_handles(handle_store *none)
{
    struct handle_update update = {0};
    const void *object;
    void *made = &update;
    handle_t handle = 1;
    section_enter();
    expect_errno(handle_alloc(none, 1), EINVAL);
    expect_errno(handle_alloc_object(none, 1, 0, &made), EINVAL);
    expect(made == NULL);
    expect_errno(handle_alloc_many(none, &(size_t){1}, 0, &handle, NULL, 1), EINVAL);
    expect(handle_free_many(none, &handle, 1) == 0);
    expect(handle_deref_mut(none, handle) == NULL);
    expect(handle_deref_many(none, &handle, &object, 1) == 0);
    expect(handle_size(none, handle) == 0);
    expect(handle_sparsity(none, handle) == 0);
    expect(handle_free(none, handle) == -EINVAL);
    expect(handle_free_now(none, handle) == -EINVAL);
    expect(handle_resize(none, handle, 1) == -EINVAL);
    expect(handle_resize_reserve(none, handle, 1, 2) == -EINVAL);
    expect_errno(handle_pin(none, handle), EINVAL);
    expect_errno(handle_pin_mut(none, handle), EINVAL);
    handle_unpin(none, &update);
    expect_errno(handle_update_begin(none, handle, 1, &update), EINVAL);
    expect(handle_update_commit(none, &update) == -EINVAL);
    handle_update_abort(none, &update);
    section_leave();
}

static void
null_store_cells(handle_store *none)
{
    handle_cell cell = HANDLE_CELL_INIT, other = HANDLE_CELL_INIT;
    struct handle_update update = {0};
    handle_cell *cells[1] = {&cell};
    const void *object;
    section_enter();
    expect_errno(handle_cell_alloc(none, &cell, 1, 0), EINVAL);
    expect_errno(handle_cell_alloc_many(none, cells, &(size_t){1}, 0, NULL, 1), EINVAL);
    expect(handle_cell_free_many(none, cells, 1) == 0);
    expect(handle_cell_deref_mut(none, &cell) == NULL);
    expect(handle_cell_deref_many(none, cells, &object, 1) == 0);
    expect(handle_cell_size(none, &cell) == 0);
    expect(handle_cell_sparsity(none, &cell) == 0);
    expect(handle_cell_set_tag(none, &cell, 1) == -EINVAL);
    expect(handle_cell_free(none, &cell) == -EINVAL);
    expect(handle_cell_free_now(none, &cell) == -EINVAL);
    expect(handle_cell_resize(none, &cell, 1) == -EINVAL);
    expect(handle_cell_resize_reserve(none, &cell, 1, 2) == -EINVAL);
    expect(handle_cell_relocate(none, &cell, &other) == -EINVAL);
    expect(handle_cell_unlink(none, &cell, &other) == -EINVAL);
    expect(handle_cell_retire(none, &cell) == -EINVAL);
    expect_errno(handle_cell_pin(none, &cell), EINVAL);
    expect_errno(handle_cell_update_begin(none, &cell, 1, &update), EINVAL);
    section_leave();
}

static void
null_store_control(handle_store *none)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    static struct handle_stats stats = HANDLE_STATS_INIT;
    char value[32];
    size_t used;
    expect(handle_store_destroy(none) == -EINVAL);
    expect(handle_store_clear(none) == -EINVAL);
    expect(handle_store_set(none, "max_bytes", "0") == -EINVAL);
    expect(handle_store_get(none, "max_bytes", value, sizeof(value)) == -EINVAL);
    expect(handle_defrag_start(none) == -EINVAL);
    expect(handle_defrag_stop(none) == -EINVAL);
    expect(handle_defrag_step(none, 100, &report) == -EINVAL);
    expect(handle_store_compact(none, &report) == -EINVAL);
    expect(handle_defrag_estimate(none, &report) == -EINVAL);
    expect(handle_store_purge(none, NULL) == -EINVAL);
    expect(handle_store_reclaim(none, 1) == -EINVAL);
    expect(handle_store_used(none) == 0);
    expect(handle_store_used_exact(none, &used) == -EINVAL);
    expect(handle_store_stats(none, &stats) == -EINVAL);
    expect(handle_store_class_stats(none, NULL, sizeof(struct handle_class_stats), 0) == -EINVAL);
    expect(handle_store_check(none, NULL, NULL) == -EINVAL);
    handle_thread_detach(none);
    handle_store_before_fork(none);
    handle_store_after_fork_parent(none);
    handle_store_after_fork_child(none);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* More than an arena holds, up to what overflows. */
static void
size_too_large(handle_store *store)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 7, SIZE_MAX / 2, (UINT64_C(1) << 30) + 1};
    handle_t handle = make(store, 50, NULL);
    handle_cell cell = HANDLE_CELL_INIT;
    struct handle_update update;
    void *object;
    section_enter();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        expect_errno(handle_alloc(store, sizes[i]), EINVAL);
        expect_errno(handle_alloc_object(store, sizes[i], HANDLE_ZERO, &object), EINVAL);
        expect(object == NULL);
        expect_errno(handle_cell_alloc(store, &cell, sizes[i], 0), EINVAL);
        expect(cell.word == 0);
        expect(handle_resize(store, handle, sizes[i]) == -EINVAL);
        expect(handle_resize_reserve(store, handle, 1, sizes[i]) == -EINVAL);
        expect_errno(handle_update_begin(store, handle, sizes[i], &update), EINVAL);
    }
    expect(handle_size(store, handle) == 50);
    section_leave();
}

static void
unknown_flags(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT;
    void *object = store;
    section_enter();
    expect_errno(handle_alloc_object(store, 8, 4, &object), EINVAL);
    expect(object == NULL);
    expect_errno(handle_alloc_object(store, 8, HANDLE_ZERO | 0x80000000u, &object), EINVAL);
    expect_errno(handle_cell_alloc(store, &cell, 8, 8), EINVAL);
    expect(cell.word == 0);
    section_leave();
}

/* None, and more than a second. */
static void
step_budget(handle_store *store)
{
    expect(handle_defrag_step(store, 0, NULL) == -EINVAL);
    expect(handle_defrag_step(store, 1000001, NULL) == -EINVAL);
    expect(handle_defrag_step(store, UINT32_MAX, NULL) == -EINVAL);
}

static void
write_nothing(void *opaque, const char *text, size_t length)
{
    (void)opaque;
    (void)text;
    (void)length;
}

static void
stats_format(handle_store *store)
{
    expect(handle_store_stats_print(store, (enum handle_stats_format)3, write_nothing, NULL) ==
           -EINVAL);
}

/* ---- struct_size ----------------------------------------------------------------------------- */

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

/* Of a size that no version had, or with more set than is known. */
static void
struct_size_options(handle_store *store)
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
    store = handle_store_create(&newer.options);
    expect(store != NULL);
    close_sound(store);
}

/* Of reports and statistics: not set. */
static void
struct_size_reports(handle_store *store)
{
    struct handle_defrag_report report = {0};
    static struct handle_stats stats;
    expect(handle_store_compact(store, &report) == -EINVAL);
    expect(handle_defrag_estimate(store, &report) == -EINVAL);
    expect(handle_defrag_step(store, 100, &report) == -EINVAL);
    expect(handle_store_stats(store, &stats) == -EINVAL);
    stats.struct_size = sizeof(stats) - 1;
    expect(handle_store_stats(store, &stats) == -EINVAL);
    struct handle_class_stats classes[1];
    expect(handle_store_class_stats(store, classes, sizeof(classes[0]) - 1, 1) == -EINVAL);
    expect(handle_store_class_stats(store, classes, 0, 1) == -EINVAL);
}

const struct misuse misuse_arguments[] = {
    CASE(null_arguments, ALWAYS(RETURNS)),
    CASE_NO_STORE(null_store_create, ALWAYS(REPORTS("flavor: NULL, and not a flavour of liburcu"))),
    CASE_NO_STORE(null_store_handles, ALWAYS(RETURNS)),
    CASE_NO_STORE(null_store_cells, ALWAYS(RETURNS)),
    CASE_NO_STORE(null_store_control, ALWAYS(RETURNS)),
    CASE(size_too_large, ALWAYS(RETURNS)),
    CASE(unknown_flags, ALWAYS(RETURNS)),
    CASE(step_budget, ALWAYS(RETURNS)),
    CASE(stats_format, ALWAYS(RETURNS)),
    CASE_NO_STORE(struct_size_options,
                  ALWAYS(REPORTS("options: one is set that this version does not know"))),
    CASE(struct_size_reports, ALWAYS(RETURNS)),
    CASES_END,
};
