/* SPDX-License-Identifier: MIT */
/*
 * handle_hpp.cc - sinter/handle.hpp: each of its types, what ends what, errors. Exit status 1 on
 * the first check that fails. What must not compile is in handle_hpp_refused.cc.
 */
#include "check_cxx.h"
#include "flavour.h"

#include <sinter/handle.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

__thread unsigned section_depth;

namespace
{

struct session {
    std::uint64_t id;
    char name[24];
};

template <typename T>
constexpr bool moves_only_v = std::is_nothrow_move_constructible_v<T> &&
                              !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
template <typename T>
constexpr bool stays_v = !std::is_move_constructible_v<T> && !std::is_copy_constructible_v<T>;

static_assert(moves_only_v<sinter::store> && moves_only_v<sinter::unique_handle<session>>);
static_assert(moves_only_v<sinter::reserved<session>> && moves_only_v<sinter::pin<session>>);
static_assert(moves_only_v<sinter::update<session>>);
static_assert(stays_v<sinter::thread> && stays_v<sinter::section>);
static_assert(stays_v<sinter::view<const session>> && stays_v<sinter::cell<session>>);
static_assert(std::is_trivially_copyable_v<sinter::handle<session>> &&
              sizeof(sinter::handle<session>) == sizeof(handle_t));
static_assert(!std::is_convertible_v<handle_t, sinter::handle<session>>);
static_assert(!std::is_convertible_v<sinter::handle<session>, sinter::handle<int>>);
static_assert(!std::is_constructible_v<sinter::view<int>, sinter::section &&, int *>);

/* Types with cells: all of one store are this one, */
struct node {
    std::uint64_t key;
    sinter::cell<node> child[2];
    static constexpr auto cells_at = &node::child;
};
/* or one of these, by their kind. */
struct leaf {
    std::uint64_t value;
};
struct chain {
    std::uint32_t kind;
    static constexpr std::uint32_t cells_kind = 1;
    sinter::cell<chain> next;
    char text[40];
    static constexpr auto cells_at = &chain::next;
};
struct table {
    std::uint32_t kind, used;
    static constexpr std::uint32_t cells_kind = 2;
    sinter::cell<chain> row[2][8];
    static constexpr auto cells_at = &table::row;
};

static_assert(sinter::has_cells_v<node> && sinter::has_cells_v<table>);
static_assert(!sinter::has_cells_v<session> && !sinter::has_cells_v<int>);
static_assert(sinter::is_storable_v<node> && sinter::is_storable_v<session>);
static_assert(!sinter::is_storable_v<const session> && !sinter::is_storable_v<std::vector<int>>);
static_assert(!sinter::is_storable_v<sinter::cell<leaf>>);
static_assert(sizeof(chain) == 56 && sizeof(table) == 136, "cells take 8 bytes each");

std::uint64_t
objects(sinter::store &store)
{
    static handle_stats stats = HANDLE_STATS_INIT;
    CHECK(handle_store_stats(store.get(), &stats) == 0);
    return stats.objects;
}

void
handles(sinter::store &store)
{
    auto made = store.make(session{7, "seven"});
    CHECK(bool(made) && !made.error());
    sinter::unique_handle<session> owner(store, made.value());
    {
        sinter::section section;
        auto read = store.read(section, owner.get());
        CHECK(read && read->id == 7 && (*read).name[0] == 's');
        store.write(section, owner.get())->id = 8;
        CHECK(store.read(section, owner.get())->id == 8);
        CHECK(!store.read(section, sinter::handle<session>()));
        CHECK(store.sparsity(section, owner.get()) == 0);
    }
    sinter::unique_handle<session> other(std::move(owner));
    CHECK(!owner && other && objects(store) == 1);
    other = sinter::unique_handle<session>();
    CHECK(objects(store) == 0);
    sinter::handle<session> retired = store.make(session{9, "nine"}).value();
    sinter::section section;
    CHECK(!store.retire(retired));
    CHECK(store.retire(retired) == std::errc::no_such_file_or_directory);
    CHECK(store.read(section, retired)->id == 9);
    CHECK(!store.free(retired) && store.free(retired).value() == ENOENT);
}

void
many(sinter::store &store)
{
    session values[40] = {};
    sinter::handle<session> named[40];
    std::size_t made = 0;
    for (unsigned i = 0; i < 40; i++)
        values[i].id = i;
    sinter::section section;
    CHECK(!store.make_many(section, values, named, 40, made) && made == 40);
    for (unsigned i = 0; i < 40; i++)
        CHECK(store.read(section, named[i])->id == i);
    CHECK(!store.free(named[5]) && store.free_many(named, 40) == 39);
    CHECK(!store.make_many(section, values, named, 0, made) && made == 0);
}

void
reservations(sinter::store &store)
{
    sinter::handle<session> named;
    {
        auto dropped = store.reserve<session>();
        CHECK(dropped && objects(store) == 1);
        auto kept = store.reserve<session>(HANDLE_ZERO);
        CHECK((*kept)->id == 0);
        (*kept)->id = 3;
        named = kept->publish().value();
        CHECK(kept->publish().error() == std::errc::invalid_argument);
    }
    CHECK(objects(store) == 1);
    {
        sinter::section section;
        CHECK(store.read(section, named)->id == 3);
    }
    CHECK(!store.free(named));
}

void
cells(sinter::store &store)
{
    static sinter::cell<session> from, to;
    std::uint32_t tag = 0;
    sinter::section section;
    for (std::uint64_t id = 1; id < 4; id++) {
        auto fresh = store.reserve<session>();
        CHECK(bool(fresh));
        (*fresh)->id = id;
        CHECK(!from.publish(store, section, *fresh, 77));
        CHECK(from.read(store, section, tag)->id == id && tag == 77);
        CHECK(from.match(store, section, 77)->id == id && !from.match(store, section, 78));
        CHECK(from.tag() == 77 && to.tag() == 0);
        CHECK(from.publish(store, section, *fresh, 77) == std::errc::invalid_argument);
    }
    from.write(store, section)->id = 12;
    CHECK(!from.relocate(store, section, to));
    CHECK(!from.read(store, section) && to.read(store, section)->id == 12);
    {
        auto pinned = to.pin(store, section);
        CHECK((*pinned)->id == 12);
        auto next = to.update(store, section);
        (*next)->id = 13;
        CHECK(!next->commit(section));
        CHECK((*pinned)->id == 12 && to.read(store, section)->id == 13);
    }
    CHECK(to.sparsity(store, section) == 0);
    CHECK(from.pin(store, section).error().value() == ENOENT);
    static sinter::cell<session> next;
    CHECK(!to.unlink(store, section, next));
    CHECK(to.read(store, section)->id == 13 && next.write(store, section)->id == 13);
    CHECK(!next.retire(store, section) && next.retire(store, section).value() == ENOENT);
    CHECK(next.read(store, section)->id == 13);
    CHECK(next.free(store, section).value() == ENOENT);
}

/* A T that is the head of more. */
void
tails(sinter::store &store)
{
    const std::size_t bytes = sizeof(session) + 100;
    CHECK(store.reserve_bytes<session>(sizeof(session) - 1).error().value() == EINVAL);
    auto fresh = store.reserve_bytes<session>(bytes);
    CHECK(bool(fresh));
    (*fresh)->id = 4;
    std::memset(&**fresh + 1, 'x', 100);
    sinter::unique_handle<session> owner(store, fresh->publish().value());
    sinter::section section;
    CHECK(handle_size(store.get(), owner.get().get()) == bytes);
    auto read = store.read(section, owner.get());
    CHECK(read->id == 4 && reinterpret_cast<const char *>(&*read + 1)[99] == 'x');
    CHECK(store.resize(owner.get(), sizeof(session) - 1).value() == EINVAL);
    CHECK(!store.resize(owner.get(), sizeof(session)));
    CHECK(!store.resize(owner.get(), bytes, 1000000));
    CHECK(handle_capacity(store.get(), owner.get().get()) >= 1000000);
    CHECK(store.read(section, owner.get())->id == 4);
    static sinter::cell<session> cell;
    CHECK(cell.resize(store, section, bytes).value() == ENOENT);
    CHECK(cell.resize(store, section, bytes, 1000000).value() == ENOENT);
    CHECK(cell.resize(store, section, 1, 1000000).value() == EINVAL);
}

/* ---- cells inside objects */

handle_store_options
with_cells(handle_cells (*cells)(void *, const void *, std::size_t))
{
    handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.cells = cells;
    options.defrag.enabled = false;
    return options;
}

void
layouts()
{
    node plain = {};
    handle_cells cells = sinter::cells_of<node>(nullptr, &plain, sizeof(plain));
    CHECK(cells.offset == offsetof(node, child) && cells.count == 2);
    chain first = {};
    table second = {};
    auto of_two = sinter::cells_of<chain, table>;
    CHECK(of_two(nullptr, &first, sizeof(first)).count == 0);
    first.kind = chain::cells_kind;
    second.kind = table::cells_kind;
    cells = of_two(nullptr, &first, sizeof(first));
    CHECK(cells.offset == offsetof(chain, next) && cells.count == 1);
    cells = of_two(nullptr, &second, sizeof(second));
    CHECK(cells.offset == offsetof(table, row) && cells.count == 16);
}

/* Puts a key below a node; in a section. Between two nodes lie others, which go again. */
void
grow(sinter::store &store, const sinter::section &section, sinter::cell<node> &at,
     std::uint64_t key, std::vector<sinter::unique_handle<node>> &holes)
{
    auto here = at.write(store, section);
    if (here) {
        grow(store, section, here->child[key > here->key], key, holes);
        return;
    }
    auto fresh = store.reserve<node>();
    CHECK(fresh && !(*fresh)->child[0].read(store, section));
    (*fresh)->key = key;
    CHECK(!at.publish(store, section, *fresh));
    for (int i = 0; i < 8; i++)
        holes.emplace_back(store, store.reserve<node>()->publish().value());
}

std::size_t
count(const sinter::store &store, const sinter::section &section, const sinter::cell<node> &at,
      std::uint64_t low, std::uint64_t high)
{
    auto here = at.read(store, section);
    if (!here)
        return 0;
    CHECK(here->key >= low && here->key < high);
    return 1 + count(store, section, here->child[0], low, here->key) +
           count(store, section, here->child[1], here->key + 1, high);
}

/* From the leaves up: what still leads to others does not end. */
void
fell(sinter::store &store, const sinter::section &section, sinter::cell<node> &at)
{
    auto here = at.write(store, section);
    if (!here)
        return;
    CHECK(bool(here->child[0].read(store, section)) + bool(here->child[1].read(store, section)) ==
              0 ||
          at.free(store, section) == std::errc::device_or_resource_busy);
    fell(store, section, here->child[0]);
    fell(store, section, here->child[1]);
    CHECK(!at.free(store, section));
}

void
trees()
{
    sinter::store store(with_cells(sinter::cells_of<node>));
    static sinter::cell<node> root;
    std::vector<sinter::unique_handle<node>> holes;
    for (std::uint64_t i = 0; i < 2000; i++) {
        sinter::section section;
        grow(store, section, root, i * 7919 % 2003, holes);
    }
    holes.clear();
    handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    CHECK(handle_store_compact(store.get(), &report) == 0);
    CHECK(report.moved_objects > 0);
    {
        sinter::section section;
        CHECK(count(store, section, root, 0, 2003) == 2000);
        CHECK(handle_store_check(store.get(), nullptr, nullptr) == 0);
        fell(store, section, root);
    }
    CHECK(objects(store) == 0);
}

/* A table of chains: into the front, out again, and a new version of what a cell inside names. */
void
chains()
{
    sinter::store store(with_cells(sinter::cells_of<chain, table>));
    auto fresh = store.reserve<table>();
    (*fresh)->kind = table::cells_kind;
    sinter::handle<table> named = fresh->publish().value();
    sinter::section section;
    for (int i = 0; i < 3; i++) {
        auto item = store.reserve<chain>();
        (*item)->kind = chain::cells_kind;
        (*item)->text[0] = static_cast<char>('a' + i);
        auto rows = store.write(section, named);
        if (rows->row[1][3].read(store, section))
            CHECK(!rows->row[1][3].unlink(store, section, (*item)->next));
        CHECK(!rows->row[1][3].publish(store, section, *item));
    }
    CHECK(store.free(named) == std::errc::device_or_resource_busy);
    CHECK(!store.resize(named, 500));
    auto rows = store.write(section, named);
    auto first = rows->row[1][3].write(store, section);
    CHECK(first->text[0] == 'c');
    auto second = first->next.write(store, section);
    CHECK(!second->next.unlink(store, section, first->next));
    CHECK(first->next.read(store, section)->text[0] == 'a');
    CHECK(second->next.read(store, section)->text[0] == 'a'); /* who stands there goes on */
    {
        auto next = first->next.update(store, section);
        (*next)->kind = chain::cells_kind;
        (*next)->text[0] = 'x';
        static sinter::cell<chain> outside;
        CHECK(next->commit(section, outside) == std::errc::invalid_argument);
        CHECK(!next->commit(section, first->next));
        CHECK(next->commit(section, first->next) == std::errc::invalid_argument);
    }
    CHECK(first->next.read(store, section)->text[0] == 'x');
    CHECK(!first->next.free(store, section) && !rows->row[1][3].free(store, section));
    CHECK(!store.free(named) && objects(store) == 0);
    CHECK(handle_store_check(store.get(), nullptr, nullptr) == 0);
}

/* A store that was not told of cells has none. */
void
without_cells(sinter::store &store)
{
    CHECK(store.reserve<node>().error() == std::errc::invalid_argument);
}

void
pins_and_updates(sinter::store &store)
{
    sinter::unique_handle<session> owner(store, store.make(session{1, "one"}).value());
    {
        sinter::section section;
        auto pinned = store.pin(section, owner.get());
        sinter::pin<session> moved(std::move(*pinned));
        auto dropped = store.update(section, owner.get());
        (*dropped)->id = 5;
        auto next = store.update(section, owner.get());
        (*next)->id = 2;
        CHECK(!next->commit(section));
        CHECK(next->commit(section) == std::errc::invalid_argument);
        CHECK(dropped->commit(section) == std::errc::resource_unavailable_try_again);
        CHECK(moved->id == 1 && store.read(section, owner.get())->id == 2);
        CHECK(store.pin(section, sinter::handle<session>()).error().value() == ENOENT);
    }
    CHECK(!store.reclaim(SIZE_MAX));
}

void
refuses()
{
    handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.error = [](void *, const char *) {};
    options.alignment = 3;
    try {
        sinter::store store(options);
        CHECK(!"made");
    } catch (const std::system_error &error) {
        CHECK(error.code() == std::errc::invalid_argument);
    }
    sinter::store first;
    auto failed = first.update(sinter::section(), sinter::handle<session>());
    try {
        (void)failed.value();
        CHECK(!"a value");
    } catch (const std::system_error &error) {
        CHECK(error.code().value() == ENOENT);
    }
    sinter::handle<session> named = first.make(session{1, "one"}).value();
    const void *pinned = nullptr;
    {
        sinter::section section;
        pinned = handle_pin(first.get(), named.get());
    }
    CHECK(first.close() == std::errc::device_or_resource_busy);
    handle_unpin(first.get(), pinned);
    sinter::store second(std::move(first));
    CHECK(first.get() == nullptr && !first.close() && !second.close());
}

} // namespace

int
main()
{
    sinter::thread registered;
    sinter::store store;
    handles(store);
    many(store);
    reservations(store);
    cells(store);
    tails(store);
    layouts();
    trees();
    chains();
    without_cells(store);
    pins_and_updates(store);
    refuses();
    CHECK(objects(store) == 0);
    CHECK(handle_store_check(store.get(), nullptr, nullptr) == 0);
    return 0;
}
