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
    pins_and_updates(store);
    refuses();
    CHECK(objects(store) == 0);
    CHECK(handle_store_check(store.get(), nullptr, nullptr) == 0);
    return 0;
}
