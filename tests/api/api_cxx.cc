/* SPDX-License-Identifier: MIT */
/*
 * api_cxx.cc - the header used from C++17: initialisers, inline functions, cells, callbacks, types.
 * Not a second interface test: the basics of each group, in the words of C++. Exit status 1 on the
 * first check that fails.
 */
#include "check_cxx.h"
#include "flavour.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

__thread unsigned section_depth;

static_assert(std::is_same<handle_t, std::uint64_t>::value, "a handle is a 64-bit value");
static_assert(std::is_trivially_copyable<handle_cell>::value && sizeof(handle_cell) == 8,
              "a cell is one word");
static_assert(std::is_standard_layout<handle_store_options>::value, "shared with C");
static_assert(sizeof(handle_update) == 64, "part of the ABI");
static_assert(sizeof(handle_reserved) == 48, "part of the ABI");

namespace
{

/** A section as an object. */
class Section
{
  public:
    Section()
    {
        section_enter();
    }
    ~Section()
    {
        section_leave();
    }
    Section(const Section &) = delete;
    Section &operator=(const Section &) = delete;
};

struct Close {
    void operator()(handle_store *store) const
    {
        CHECK(handle_store_destroy(store) == 0);
    }
};
using Store = std::unique_ptr<handle_store, Close>;

unsigned reported;

Store
open_store()
{
    handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "c++";
    options.arena_bytes = std::uint64_t(1) << 30;
    options.error = [](void *opaque, const char *) { ++*static_cast<unsigned *>(opaque); };
    options.opaque = &reported;
    Store store(handle_store_create(&options));
    CHECK(store != nullptr);
    return store;
}

handle_t
put(handle_store *store, const std::string &text)
{
    Section section;
    void *object = nullptr;
    handle_t handle = handle_alloc_object(store, text.size(), 0, &object);
    CHECK(handle != HANDLE_NULL);
    std::memcpy(object, text.data(), text.size());
    return handle;
}

std::string
get(const handle_store *store, handle_t handle)
{
    Section section;
    const void *object = handle_deref(store, handle);
    CHECK(object != nullptr);
    return std::string(static_cast<const char *>(object), handle_size(store, handle));
}

void
objects_by_handle()
{
    Store store = open_store();
    std::map<handle_t, std::string> expected;
    for (unsigned i = 0; i < 5000; i++) {
        std::string text(i % 300, static_cast<char>('a' + i % 26));
        expected[put(store.get(), text)] = text;
    }
    CHECK(expected.size() == 5000);
    for (auto at = expected.begin(); at != expected.end();) {
        if (at->second.size() % 3 == 0) {
            ++at;
            continue;
        }
        CHECK(handle_free(store.get(), at->first) == 0);
        CHECK(handle_free(store.get(), at->first) == -ENOENT);
        at = expected.erase(at);
    }
    handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    CHECK(handle_store_compact(store.get(), &report) == 0);
    for (const auto &entry : expected)
        CHECK(get(store.get(), entry.first) == entry.second);
    CHECK(handle_store_check(store.get(), nullptr, nullptr) == 0);
}

void
many_at_once()
{
    Store store = open_store();
    const std::size_t sizes[] = {3, 4, 5};
    static handle_cell cells[3];
    handle_cell *names[] = {&cells[0], &cells[1], &cells[2]};
    handle_t handles[3];
    void *objects[3];
    Section section;
    CHECK(handle_alloc_many(store.get(), sizes, 0, handles, objects, 3) == 3);
    CHECK(handle_deref(store.get(), handles[2]) == objects[2]);
    CHECK(handle_free_many(store.get(), handles, 3) == 3);
    CHECK(handle_cell_alloc_many(store.get(), names, sizes, 0, objects, 3) == 3);
    CHECK(handle_cell_deref(store.get(), &cells[2]) == objects[2]);
    CHECK(handle_cell_free_many(store.get(), names, 3) == 3);
}

void
updates_and_pins()
{
    Store store = open_store();
    handle_t handle = put(store.get(), "first");
    const void *pinned;
    {
        Section section;
        pinned = handle_pin(store.get(), handle);
        CHECK(pinned != nullptr);
        handle_update update;
        void *version = handle_update_begin(store.get(), handle, 6, &update);
        CHECK(version == update.object);
        std::memcpy(version, "second", 6);
        CHECK(handle_update_commit(store.get(), &update) == 0);
    }
    CHECK(get(store.get(), handle) == "second");
    CHECK(std::memcmp(pinned, "first", 5) == 0);
    handle_unpin(store.get(), pinned);
    CHECK(reported == 0);
    handle_unpin(store.get(), pinned);
    CHECK(reported == 1);
    CHECK(handle_resize(store.get(), handle, 3) == 0);
    CHECK(get(store.get(), handle) == "sec");
}

void
objects_by_cell()
{
    Store store = open_store();
    handle_cell from = HANDLE_CELL_INIT, to = HANDLE_CELL_INIT;
    std::uint32_t tag = 0;
    Section section;
    std::memcpy(handle_cell_alloc(store.get(), &from, 4, HANDLE_ZERO), "cell", 4);
    CHECK(handle_cell_set_tag(store.get(), &from, 0xfeed) == 0);
    CHECK(handle_cell_relocate(store.get(), &from, &to) == 0);
    CHECK(handle_cell_deref(store.get(), &from) == nullptr && from.word == 0);
    CHECK(std::memcmp(handle_cell_read(store.get(), &to, &tag), "cell", 4) == 0 && tag == 0xfeed);
    CHECK(handle_cell_size(store.get(), &to) == 4);
    CHECK(handle_cell_sparsity(store.get(), &to) == 0);
    CHECK(handle_cell_unlink(store.get(), &to, &from) == 0);
    CHECK(handle_cell_deref(store.get(), &to) == handle_cell_deref_mut(store.get(), &from));
    CHECK(handle_cell_retire(store.get(), &from) == 0);
    CHECK(std::memcmp(handle_cell_deref(store.get(), &from), "cell", 4) == 0);
    CHECK(handle_store_used(store.get()) == 0);
}

void
reserve_and_publish()
{
    Store store = open_store();
    handle_cell cell = HANDLE_CELL_INIT;
    handle_reserved reserved;
    std::uint32_t tag = 0;
    for (const char *text : {"four", "five", "nine"}) {
        std::memcpy(handle_reserve(store.get(), 4, 0, &reserved), text, 4);
        Section section;
        CHECK(handle_cell_publish(store.get(), &cell, &reserved, 0xbeef) == 0);
        CHECK(std::memcmp(handle_cell_read(store.get(), &cell, &tag), text, 4) == 0);
        CHECK(tag == 0xbeef);
    }
    std::memcpy(handle_reserve(store.get(), 4, 0, &reserved), "once", 4);
    CHECK(get(store.get(), handle_publish(store.get(), &reserved)) == "once");
    CHECK(handle_publish(store.get(), &reserved) == HANDLE_NULL && errno == EINVAL);
    CHECK(handle_reserve(store.get(), 100, 0, &reserved) != nullptr);
    handle_reserved_abort(store.get(), &reserved);
    Section section;
    CHECK(handle_cell_free(store.get(), &cell) == 0);
    CHECK(handle_store_used(store.get()) == 4);
    handle_t retired = put(store.get(), "later");
    CHECK(handle_retire(store.get(), retired) == 0);
    CHECK(handle_retire(store.get(), retired) == -ENOENT);
    CHECK(get(store.get(), retired) == "later");
    CHECK(handle_store_used(store.get()) == 4);
}

void
insight()
{
    Store store = open_store();
    for (unsigned i = 0; i < 100; i++)
        put(store.get(), std::string(i, 'x'));
    handle_stats stats = HANDLE_STATS_INIT;
    CHECK(handle_store_stats(store.get(), &stats) == 0);
    std::size_t used = 0;
    CHECK(stats.objects == 100 && stats.requested + stats.rounding >= 99 * 100 / 2);
    CHECK(handle_store_used_exact(store.get(), &used) == 0 && used == 99 * 100 / 2);
    std::vector<handle_class_stats> classes(stats.classes);
    CHECK(handle_store_class_stats(store.get(), classes.data(), sizeof(classes[0]),
                                   stats.classes) == static_cast<int>(stats.classes));
    CHECK(classes.front().live > 0 && classes.back().live == 0);
    std::string json;
    auto append = [](void *opaque, const char *text, std::size_t length) {
        static_cast<std::string *>(opaque)->append(text, length);
    };
    CHECK(handle_store_stats_print(store.get(), HANDLE_STATS_JSON, append, &json) == 0);
    const auto ignore = [](void *, const struct handle_finding *) {};
    CHECK(handle_stats_doctor(&stats, ignore, nullptr) >= 0);
    CHECK(handle_store_doctor(store.get(), ignore, nullptr) >= 0);
    std::string difference;
    CHECK(handle_stats_diff(&stats, &stats, HANDLE_STATS_JSON, append, &difference) == 0);
    CHECK(difference == "{}\n");
    CHECK(json.find("\"c++\"") != std::string::npos);
    std::vector<std::size_t> sizes;
    auto visit = [](void *opaque, const handle_object *object) {
        static_cast<std::vector<std::size_t> *>(opaque)->push_back(object->size);
        return 0;
    };
    CHECK(handle_store_each(store.get(), visit, &sizes) == 0);
    CHECK(sizes.size() == 100);
    CHECK(handle_store_clear(store.get()) == 0);
    CHECK(handle_store_used(store.get()) == 0);
}

} // namespace

int
main()
{
    thread_enter();
    CHECK(std::string(handle_version()) == std::to_string(HANDLE_VERSION_MAJOR) + "." +
                                               std::to_string(HANDLE_VERSION_MINOR) + "." +
                                               std::to_string(HANDLE_VERSION_PATCH));
    objects_by_handle();
    many_at_once();
    updates_and_pins();
    objects_by_cell();
    reserve_and_publish();
    insight();
    thread_leave();
    return 0;
}
