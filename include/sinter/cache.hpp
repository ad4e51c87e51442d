/* SPDX-License-Identifier: MIT */
/*
 * sinter/cache.hpp - sinter/cache.h in the words of C++17, header only: a destructor ends the
 * cache, copies free themselves, what is shown where it lies cannot leave its section, and errors
 * are results. It adds no mechanism: what a call does, costs and promises stands in cache.h, under
 * the name that each member's comment gives.
 *
 *     #include <urcu-bp.h>                     // this flavour: no thread registers anything
 *     #include <sinter/cache.hpp>
 *
 *     sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
 *     options.limit_bytes = 256 << 20;
 *     sinter::cache pages(options);            // throws std::system_error
 *
 *     if (auto error = pages.set("key", "value", std::chrono::minutes(1)))
 *         log(error);                          // a std::error_code
 *     if (auto page = pages.get("key"))        // a copy
 *         use(page->text());
 *     sinter::section section;
 *     if (auto page = pages.look(section, "key"))
 *         use(page.piece());                   // where it lies, until the section ends
 *
 * Several caches that share one limit have a sinter::cache_budget in their options.
 *
 * Keys and values are bytes: a std::string_view of any. bytes_of() makes one of a number, or of a
 * struct without padding.
 *
 * Errors: only constructors throw (std::system_error), value() of a result that has none, and walk
 * and print what the caller's function throws. All else returns a std::error_code of
 * std::generic_category(), or a result<T>. The callbacks in the options are C's: they must not
 * throw.
 *
 * Threads: as in cache.h. Any number may call the members of a cache, besides close; a copy and
 * an item are used by one thread at a time.
 */
#ifndef SINTER_CACHE_HPP
#define SINTER_CACHE_HPP

#include <sinter/cache.h>

#ifndef HANDLE_FLAVOR
#error "include the header of one liburcu flavour before <sinter/cache.hpp>, say <urcu-bp.h>"
#endif

#include <sinter/handle.hpp>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string_view>

namespace sinter
{

/** Statistics, as sinter_cache_stats and sinter_cache_budget_stats fill them. */
using cache_stats = struct ::sinter_cache_stats;
using cache_budget_stats = struct ::sinter_cache_budget_stats;

/** One limit of several caches, which have its native() among their options and end before it. */
class cache_budget
{
  public:
    /** sinter_cache_budget_create. */
    explicit cache_budget(std::uint64_t limit_bytes, std::uint32_t limit_percent = 0)
        : budget_(sinter_cache_budget_create(limit_bytes, limit_percent))
    {
        if (!budget_)
            throw std::system_error(errno, std::generic_category(), "sinter_cache_budget_create");
    }
    cache_budget(cache_budget &&other) noexcept : budget_(std::exchange(other.budget_, nullptr))
    {
    }
    cache_budget &operator=(cache_budget &&) = delete;
    /** While it has tenants (close() would say so) it stays, to the end of the process. */
    ~cache_budget()
    {
        (void)close();
    }
    /** sinter_cache_budget_destroy. On error the budget is as it was. */
    [[nodiscard]] std::error_code close() noexcept
    {
        int error = budget_ ? sinter_cache_budget_destroy(budget_) : 0;
        if (error == 0)
            budget_ = nullptr;
        return error_of(error);
    }
    /** For the options of a cache, and the functions of cache.h. */
    sinter_cache_budget *native() const noexcept
    {
        return budget_;
    }
    /** sinter_cache_budget_limit. */
    [[nodiscard]] std::error_code limit(std::uint64_t bytes, std::uint32_t percent = 0) noexcept
    {
        return error_of(sinter_cache_budget_limit(budget_, bytes, percent));
    }
    /** sinter_cache_budget_stats. */
    result<cache_budget_stats> stats() const noexcept
    {
        cache_budget_stats filled = SINTER_CACHE_BUDGET_STATS_INIT;
        int rc = sinter_cache_budget_stats(budget_, &filled);
        if (rc != 0)
            return result<cache_budget_stats>(error_of(rc));
        return result<cache_budget_stats>(std::move(filled));
    }

  private:
    sinter_cache_budget *budget_;
};

/** An object as a key or a value. It is the object's own bytes that are looked at: they stay where
 * they are until the call returns. */
template <typename T>
std::string_view
bytes_of(const T &object) noexcept
{
    static_assert(std::has_unique_object_representations_v<T>,
                  "padding, and what has several representations, makes no key");
    return {reinterpret_cast<const char *>(&object), sizeof(object)};
}
template <typename T> std::string_view bytes_of(const T &&) = delete;

/** A copy of a value; it belongs to whoever has it. */
class [[nodiscard]] cache_copy
{
  public:
    cache_copy(cache_copy &&other) noexcept
        : memory_(std::move(other.memory_)), info_(std::exchange(other.info_, {}))
    {
    }
    cache_copy &operator=(cache_copy &&other) noexcept
    {
        memory_ = std::move(other.memory_);
        info_ = std::exchange(other.info_, {});
        return *this;
    }
    /** The value. Behind it stands a 0. */
    std::string_view text() const noexcept
    {
        return {static_cast<const char *>(memory_.get()), info_.size};
    }
    const void *data() const noexcept
    {
        return memory_.get();
    }
    std::size_t size() const noexcept
    {
        return info_.size;
    }
    const sinter_cache_info &info() const noexcept
    {
        return info_;
    }

  private:
    friend class cache;
    struct release {
        void operator()(void *memory) const noexcept
        {
            std::free(memory);
        }
    };
    cache_copy(void *memory, const sinter_cache_info &info) noexcept : memory_(memory), info_(info)
    {
    }
    std::unique_ptr<void, release> memory_;
    sinter_cache_info info_;
};

/** An item where it lies, as a section sees it; or why there is none. Stays where it was made. */
class [[nodiscard]] cache_item
{
  public:
    cache_item(const cache_item &) = delete;
    cache_item &operator=(const cache_item &) = delete;
    static void *operator new(std::size_t) = delete;

    explicit operator bool() const noexcept
    {
        return rc_ == 0;
    }
    /** Why there is none. */
    std::error_code error() const noexcept
    {
        return error_of(rc_);
    }
    const sinter_cache_info &info() const noexcept
    {
        return view_.info;
    }
    /** Of the whole value. */
    std::size_t size() const noexcept
    {
        return view_.info.size;
    }
    std::string_view key() const noexcept
    {
        return {static_cast<const char *>(view_.key), view_.key_size};
    }
    /** The part of the value that is shown: all of it, up to 60 KiB or so. */
    std::string_view piece() const noexcept
    {
        return {static_cast<const char *>(view_.data), view_.data_size};
    }
    /** sinter_cache_next. */
    bool next() noexcept
    {
        return sinter_cache_next(cache_, &view_);
    }

  private:
    friend class cache;
    cache_item(sinter_cache *of, std::string_view key) noexcept
        : cache_(of), rc_(sinter_cache_look(of, key.data(), key.size(), &view_))
    {
    }
    cache_item(sinter_cache *of, const sinter_cache_view &view) noexcept
        : cache_(of), view_(view), rc_(0)
    {
    }
    sinter_cache *cache_;
    sinter_cache_view view_{};
    int rc_;
};

/** A cache, destroyed with this: outside of sections, when no other thread uses it any more. */
class cache
{
  public:
    using milliseconds = std::chrono::milliseconds;

    cache() : cache(nullptr)
    {
    }
    explicit cache(const sinter_cache_options &options) : cache(&options)
    {
    }
    cache(cache &&other) noexcept : cache_(std::exchange(other.cache_, nullptr))
    {
    }
    cache(const cache &) = delete;
    cache &operator=(const cache &) = delete;
    cache &operator=(cache &&) = delete;
    /** In a section (close() would say so) the cache stays, to the end of the process. */
    ~cache()
    {
        (void)close();
    }
    /** sinter_cache_destroy. On error the cache is as it was, but for EBUSY: then it has ended. */
    [[nodiscard]] std::error_code close() noexcept
    {
        int error = cache_ ? sinter_cache_destroy(cache_) : 0;
        if (error == 0 || error == -EBUSY)
            cache_ = nullptr;
        return error_of(error);
    }
    /** For the functions of cache.h. */
    sinter_cache *native() const noexcept
    {
        return cache_;
    }
    /** sinter_cache_configure. */
    [[nodiscard]] std::error_code configure(const char *name, const char *value) noexcept
    {
        return error_of(sinter_cache_configure(cache_, name, value));
    }

    /** sinter_cache_get_copy. */
    result<cache_copy> get(std::string_view key) const noexcept
    {
        sinter_cache_info info;
        void *memory = sinter_cache_get_copy(cache_, key.data(), key.size(), &info);
        if (!memory)
            return result<cache_copy>(error_of(-errno));
        return cache_copy(memory, info);
    }
    /** sinter_cache_get: into memory of the caller's. */
    [[nodiscard]] std::error_code get(std::string_view key, void *buffer, std::size_t size,
                                      sinter_cache_info *info = nullptr) const noexcept
    {
        return error_of(sinter_cache_get(cache_, key.data(), key.size(), buffer, size, info));
    }
    /** sinter_cache_look. */
    cache_item look(const section &, std::string_view key) const noexcept
    {
        return cache_item(cache_, key);
    }
    cache_item look(const section &&, std::string_view) const = delete;

    /** sinter_cache_set. A time to live of 0 is none. */
    [[nodiscard]] std::error_code set(std::string_view key, std::string_view value,
                                      milliseconds ttl = {}, std::uint32_t flags = 0) noexcept
    {
        return error_of(sinter_cache_set(cache_, key.data(), key.size(), value.data(), value.size(),
                                         flags, ms_of(ttl)));
    }
    /** sinter_cache_add. */
    [[nodiscard]] std::error_code add(std::string_view key, std::string_view value,
                                      milliseconds ttl = {}, std::uint32_t flags = 0) noexcept
    {
        return error_of(sinter_cache_add(cache_, key.data(), key.size(), value.data(), value.size(),
                                         flags, ms_of(ttl)));
    }
    /** sinter_cache_replace. */
    [[nodiscard]] std::error_code replace(std::string_view key, std::string_view value,
                                          milliseconds ttl = {}, std::uint32_t flags = 0) noexcept
    {
        return error_of(sinter_cache_replace(cache_, key.data(), key.size(), value.data(),
                                             value.size(), flags, ms_of(ttl)));
    }
    /** sinter_cache_cas: `expected` is info().cas of what is to be replaced. */
    [[nodiscard]] std::error_code cas(std::string_view key, std::string_view value,
                                      std::uint64_t expected, milliseconds ttl = {},
                                      std::uint32_t flags = 0) noexcept
    {
        return error_of(sinter_cache_cas(cache_, key.data(), key.size(), value.data(), value.size(),
                                         flags, ms_of(ttl), expected));
    }
    /** sinter_cache_append. */
    [[nodiscard]] std::error_code append(std::string_view key, std::string_view data) noexcept
    {
        return error_of(
            sinter_cache_append(cache_, key.data(), key.size(), data.data(), data.size()));
    }
    /** sinter_cache_prepend. */
    [[nodiscard]] std::error_code prepend(std::string_view key, std::string_view data) noexcept
    {
        return error_of(
            sinter_cache_prepend(cache_, key.data(), key.size(), data.data(), data.size()));
    }
    /** sinter_cache_incr. */
    result<std::uint64_t> incr(std::string_view key, std::uint64_t by = 1) noexcept
    {
        std::uint64_t number = 0;
        int rc = sinter_cache_incr(cache_, key.data(), key.size(), by, &number);
        return number_or(rc, number);
    }
    /** sinter_cache_decr. */
    result<std::uint64_t> decr(std::string_view key, std::uint64_t by = 1) noexcept
    {
        std::uint64_t number = 0;
        int rc = sinter_cache_decr(cache_, key.data(), key.size(), by, &number);
        return number_or(rc, number);
    }
    /** sinter_cache_touch. */
    [[nodiscard]] std::error_code touch(std::string_view key, milliseconds ttl) noexcept
    {
        return error_of(sinter_cache_touch(cache_, key.data(), key.size(), ms_of(ttl)));
    }
    /** sinter_cache_delete. */
    std::error_code erase(std::string_view key, std::uint64_t expected = 0) noexcept
    {
        return error_of(sinter_cache_delete(cache_, key.data(), key.size(), expected));
    }
    /** sinter_cache_clear. */
    [[nodiscard]] std::error_code clear() noexcept
    {
        return error_of(sinter_cache_clear(cache_));
    }

    /**
     * sinter_cache_walk: calls `visit` with each item, a cache_item &. If it returns a bool, false
     * ends the walk. What it throws ends the walk, too, and comes out of this.
     */
    template <typename F> std::error_code walk(F &&visit) const
    {
        visitor<F> state{cache_, visit, nullptr};
        int rc = sinter_cache_walk(cache_, &visitor<F>::show, &state);
        if (state.thrown)
            std::rethrow_exception(state.thrown);
        return error_of(rc > 0 ? 0 : rc);
    }
    /** sinter_cache_items. */
    std::uint64_t items() const noexcept
    {
        return sinter_cache_items(cache_);
    }
    /** sinter_cache_sweep: how many items were freed. */
    result<std::uint64_t> sweep(std::uint64_t buckets) noexcept
    {
        std::int64_t gone = sinter_cache_sweep(cache_, buckets);
        return number_or(gone < 0 ? static_cast<int>(gone) : 0, static_cast<std::uint64_t>(gone));
    }
    /** sinter_cache_stats. */
    result<cache_stats> stats() const noexcept
    {
        cache_stats filled = SINTER_CACHE_STATS_INIT;
        int rc = sinter_cache_stats(cache_, &filled);
        if (rc != 0)
            return result<cache_stats>(error_of(rc));
        return result<cache_stats>(std::move(filled));
    }
    /** sinter_cache_print: calls `write` with one piece of text after the other, each a
     * std::string_view. What it throws comes out of this. */
    template <typename F> std::error_code print(handle_stats_format format, F &&write) const
    {
        writer<F> state{write, nullptr};
        int rc = sinter_cache_print(cache_, format, &writer<F>::put, &state);
        if (state.thrown)
            std::rethrow_exception(state.thrown);
        return error_of(rc);
    }

  private:
    explicit cache(const sinter_cache_options *options) : cache_(sinter_cache_create(options))
    {
        if (!cache_)
            throw std::system_error(errno, std::generic_category(), "sinter_cache_create");
    }
    /* A negative time is out of range for C as well. */
    static std::uint64_t ms_of(milliseconds ttl) noexcept
    {
        return static_cast<std::uint64_t>(ttl.count());
    }
    static result<std::uint64_t> number_or(int error, std::uint64_t number) noexcept
    {
        if (error != 0)
            return result<std::uint64_t>(error_of(error));
        return result<std::uint64_t>(std::move(number));
    }

    /* C calls these, and nothing may be thrown through it. */
    template <typename F> struct visitor {
        sinter_cache *of;
        F &visit;
        std::exception_ptr thrown;
        static int show(void *opaque, const sinter_cache_view *view) noexcept
        {
            auto *self = static_cast<visitor *>(opaque);
            try {
                cache_item item(self->of, *view);
                if constexpr (std::is_void_v<std::invoke_result_t<F &, cache_item &>>) {
                    self->visit(item);
                    return 0;
                } else {
                    return self->visit(item) ? 0 : 1;
                }
            } catch (...) {
                self->thrown = std::current_exception();
                return 1;
            }
        }
    };
    template <typename F> struct writer {
        F &write;
        std::exception_ptr thrown;
        static void put(void *opaque, const char *text, std::size_t length) noexcept
        {
            auto *self = static_cast<writer *>(opaque);
            try {
                if (!self->thrown)
                    self->write(std::string_view(text, length));
            } catch (...) {
                self->thrown = std::current_exception();
            }
        }
    };

    sinter_cache *cache_;
};

} // namespace sinter

#endif /* SINTER_CACHE_HPP */
