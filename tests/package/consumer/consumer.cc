/* SPDX-License-Identifier: MIT */
/*
 * consumer.cc - a C++ program outside the source tree that uses the installed library: the header's
 * types, initialisers and inline functions, seen from C++. Not a test of the store itself.
 */
#include <urcu.h>

#include <sinter/handle.h>

#include <cstring>
#include <iostream>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace
{

struct section {
    section()
    {
        rcu_read_lock();
    }
    ~section()
    {
        rcu_read_unlock();
    }
    section(const section &) = delete;
    section &operator=(const section &) = delete;
};

struct registration {
    registration()
    {
        rcu_register_thread();
    }
    ~registration()
    {
        rcu_unregister_thread();
    }
    registration(const registration &) = delete;
    registration &operator=(const registration &) = delete;
};

struct destroy {
    void operator()(handle_store *store) const
    {
        handle_store_destroy(store);
    }
};
using store_ptr = std::unique_ptr<handle_store, destroy>;

handle_t
keep(handle_store *store, const std::string &text)
{
    section guard;
    void *object = nullptr;
    handle_t handle = handle_alloc_object(store, text.size(), HANDLE_ZERO, &object);
    if (handle == HANDLE_NULL)
        throw std::bad_alloc();
    std::memcpy(object, text.data(), text.size());
    return handle;
}

bool
holds(handle_store *store, handle_t handle, const std::string &text)
{
    section guard;
    const void *object = handle_deref(store, handle);
    return object && handle_size(store, handle) == text.size() &&
           std::memcmp(object, text.data(), text.size()) == 0;
}

std::string
text_of(int i)
{
    return "object " + std::to_string(i) + std::string(static_cast<size_t>(i % 97), 'x');
}

bool
run()
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.arena_bytes = 64u << 20;
    store_ptr store(handle_store_create(&options));
    if (!store)
        return false;
    std::vector<handle_t> handles;
    for (int i = 0; i < 1000; i++)
        handles.push_back(keep(store.get(), text_of(i)));
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    if (handle_store_compact(store.get(), &report) != 0)
        return false;
    for (int i = 0; i < 1000; i++)
        if (!holds(store.get(), handles[static_cast<size_t>(i)], text_of(i)))
            return false;
    auto stats = std::make_unique<handle_stats>(HANDLE_STATS_INIT);
    return handle_store_stats(store.get(), stats.get()) == 0 && stats->objects == 1000;
}

} // namespace

int
main()
{
    registration registered;
    if (!run()) {
        std::cerr << "consumer.cc: the store does not keep what it was given\n";
        return 1;
    }
    std::cout << "consumer.cc: sinter " << handle_version() << " works\n";
    return 0;
}
