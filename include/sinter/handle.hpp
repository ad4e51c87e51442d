/* SPDX-License-Identifier: MIT */
/*
 * sinter/handle.hpp - sinter/handle.h in the words of C++17, header only: what has to be ended is
 * ended by a destructor, an address cannot leave its section, a cell cannot be copied, and a handle
 * says what it names. It adds no mechanism: what a call does, costs and promises stands in
 * handle.h, under the name that each member's comment gives.
 *
 *     #include <urcu.h>              // a flavour's header first: memb, mb, qsbr or bp
 *     #include <sinter/handle.hpp>
 *
 *     sinter::thread registered;     // each thread that reads or writes
 *     sinter::store store;           // throws std::system_error
 *
 *     auto item = store.reserve<session>();    // nobody sees it yet
 *     if (!item)
 *         return item.error();                 // a std::error_code
 *     item->id = 7;
 *     sinter::unique_handle<session> owner(store, item->publish().value());
 *     {
 *         sinter::section section;
 *         if (auto session = store.read(section, owner.get()))
 *             use(session->id);                // the view cannot be copied or returned
 *     }
 *
 * Errors: only constructors throw (std::system_error), and value() of a result that has none. All
 * else returns a std::error_code of std::generic_category(), or a result<T>.
 *
 * Objects are moved by copying their bytes: their types are trivially copyable, and need no larger
 * alignment than the store gives (8 by default). What lies in a store has no destructor.
 *
 * Cells inside objects ("cells inside objects" in handle.h): a type may have cells as a member, and
 * says by `cells_at` which. From it the store learns where they lie, and reserve that it has any.
 *
 *     struct node {
 *         std::uint64_t key;
 *         sinter::cell<node> child[2];                        // one member: a cell, or an array
 *         static constexpr auto cells_at = &node::child;
 *     };
 *
 *     handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
 *     options.cells = sinter::cells_of<node>;
 *     sinter::store store(options);
 *     ...
 *     auto parent = store.write(section, root);               // resolved in this section
 *     error = parent->child[0].publish(store, section, *item);
 *
 * Threads: as in handle.h. An object of this header is used by one thread at a time, except store,
 * whose members any number of threads may call, and cell, which is read by all and written by one.
 */
#ifndef SINTER_HANDLE_HPP
#define SINTER_HANDLE_HPP

#include <sinter/handle.h>

#ifndef HANDLE_FLAVOR
#error "include the header of one liburcu flavour before <sinter/handle.hpp>, say <urcu.h>"
#endif

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

namespace sinter
{

class store;
template <typename T> class cell;

/** What an int function of handle.h returned: 0 or a negative errno. */
[[nodiscard]] inline std::error_code
error_of(int result) noexcept
{
    return std::error_code(-result, std::generic_category());
}

/** A cell, or an array of cells. */
template <typename T> inline constexpr bool is_cells_v = false;
template <typename T> inline constexpr bool is_cells_v<cell<T>> = true;
template <typename T, std::size_t n> inline constexpr bool is_cells_v<T[n]> = is_cells_v<T>;

/** What T::cells_at says: the member that is the cells of a T. */
template <typename Member> struct cells_member {
    static constexpr std::size_t count = 0;
};
template <typename Cells, typename T> struct cells_member<Cells T::*const> {
    static_assert(is_cells_v<Cells>, "cells_at leads to a cell, or to an array of cells");
    static constexpr std::size_t count = sizeof(Cells) / sizeof(handle_cell);
};

/** Whether objects of a type have cells inside: it says by cells_at which of its members. */
template <typename T, typename = void> inline constexpr bool has_cells_v = false;
template <typename T>
inline constexpr bool has_cells_v<T, std::void_t<decltype(T::cells_at)>> =
    cells_member<decltype(T::cells_at)>::count > 0;

/**
 * What may lie in a store: it is moved by copying its bytes, and never destroyed. Cells do not let
 * their type be copied, and so it says where they lie.
 */
template <typename T>
inline constexpr bool is_storable_v =
    std::is_trivially_copyable<T>::value &&std::is_trivially_destructible<T>::value &&
    !std::is_const<T>::value && !std::is_volatile<T>::value &&
    (has_cells_v<T> ? std::is_standard_layout<T>::value : std::is_move_constructible<T>::value);

/** Where the cells of an object lie if it is a T. */
template <typename T>
handle_cells
cells_in(const void *object) noexcept
{
    const char *first =
        reinterpret_cast<const char *>(&(static_cast<const T *>(object)->*T::cells_at));
    handle_cells cells = {};
    cells.offset = static_cast<std::size_t>(first - static_cast<const char *>(object));
    cells.count = cells_member<decltype(T::cells_at)>::count;
    return cells;
}

/** The same if it is one of several types; see cells_of. */
template <typename T>
void
cells_if(const void *object, handle_cells &cells) noexcept
{
    static_assert(std::is_same<decltype(T::kind), std::uint32_t>::value && offsetof(T, kind) == 0,
                  "one of several types begins with a std::uint32_t kind");
    static_assert(T::cells_kind != 0, "0 is the kind of what is not filled yet");
    if (__atomic_load_n(static_cast<const std::uint32_t *>(object), __ATOMIC_RELAXED) ==
        T::cells_kind)
        cells = cells_in<T>(object);
}

/**
 * For the option cells: of a store in which objects of this type have cells, and no others. Of
 * several types each begins with a member `std::uint32_t kind`, which is set to its constant
 * `cells_kind`, another one for each and not 0, before a cell is filled, and not changed then.
 */
template <typename T, typename... Others>
handle_cells
cells_of(void *, const void *object, std::size_t) noexcept
{
    static_assert(has_cells_v<T> && (has_cells_v<Others> && ...), "a type without cells_at");
    if constexpr (sizeof...(Others) == 0) {
        return cells_in<T>(object);
    } else {
        handle_cells cells = {};
        cells_if<T>(object, cells);
        (cells_if<Others>(object, cells), ...);
        return cells;
    }
}

/** A value, or why there is none. */
template <typename T> class [[nodiscard]] result
{
  public:
    result(T &&value) noexcept(std::is_nothrow_move_constructible<T>::value) : has_(true)
    {
        new (&room_) T(std::move(value));
    }
    explicit result(std::error_code error) noexcept : error_(error)
    {
    }
    result(result &&other) noexcept(std::is_nothrow_move_constructible<T>::value)
        : error_(other.error_), has_(other.has_)
    {
        if (has_)
            new (&room_) T(std::move(*other));
    }
    result(const result &) = delete;
    result &operator=(const result &) = delete;
    result &operator=(result &&) = delete;
    ~result()
    {
        if (has_)
            address()->~T();
    }

    explicit operator bool() const noexcept
    {
        return has_;
    }
    /** Why there is no value; no error if there is. */
    std::error_code error() const noexcept
    {
        return error_;
    }
    /** The value. Throws std::system_error if there is none. */
    T &value() &
    {
        if (!has_)
            throw std::system_error(error_);
        return *address();
    }
    T &&value() &&
    {
        return std::move(static_cast<result &>(*this).value());
    }
    /** The same where there is one. */
    T &operator*() noexcept
    {
        return *address();
    }
    T *operator->() noexcept
    {
        return address();
    }

  private:
    T *address() noexcept
    {
        return std::launder(reinterpret_cast<T *>(&room_));
    }
    alignas(T) unsigned char room_[sizeof(T)];
    std::error_code error_{};
    bool has_ = false;
};

/** The calling thread, registered with the flavour as long as this lives. */
class thread
{
  public:
    thread() noexcept
    {
        HANDLE_FLAVOR.register_thread();
    }
    ~thread()
    {
        HANDLE_FLAVOR.unregister_thread();
    }
    thread(const thread &) = delete;
    thread &operator=(const thread &) = delete;
    static void *operator new(std::size_t) = delete; /* it belongs to its thread */
};

/** A read-side critical section of the calling thread; they nest. Under QSBR it is a mark only. */
class section
{
  public:
    section() noexcept
    {
#ifdef rcu_flavor
        rcu_read_lock();
#else
        HANDLE_FLAVOR.read_lock();
#endif
    }
    ~section()
    {
#ifdef rcu_flavor
        rcu_read_unlock();
#else
        HANDLE_FLAVOR.read_unlock();
#endif
    }
    section(const section &) = delete;
    section &operator=(const section &) = delete;
    static void *operator new(std::size_t) = delete;
};

/** An object as a section sees it; or nothing. Stays where it was made: it cannot leave. */
template <typename T> class [[nodiscard]] view
{
  public:
    view(const section &, T *object) noexcept : object_(object)
    {
    }
    view(const section &&, T *) = delete;
    view(const view &) = delete;
    view &operator=(const view &) = delete;
    static void *operator new(std::size_t) = delete;

    explicit operator bool() const noexcept
    {
        return object_ != nullptr;
    }
    T &operator*() const noexcept
    {
        return *object_;
    }
    T *operator->() const noexcept
    {
        return object_;
    }

  private:
    T *const object_;
};

/** A handle_t that says what it names. A value; the empty one names nothing. */
template <typename T> class handle
{
  public:
    constexpr handle() noexcept = default;
    /** From C: that it names a T is the caller's word. */
    constexpr explicit handle(handle_t value) noexcept : value_(value)
    {
    }
    constexpr handle_t get() const noexcept
    {
        return value_;
    }
    constexpr explicit operator bool() const noexcept
    {
        return value_ != HANDLE_NULL;
    }
    friend constexpr bool operator==(handle a, handle b) noexcept
    {
        return a.value_ == b.value_;
    }
    friend constexpr bool operator!=(handle a, handle b) noexcept
    {
        return a.value_ != b.value_;
    }

  private:
    handle_t value_ = HANDLE_NULL;
};

/** An object that nobody sees until it is published; given back if it never is. */
template <typename T> class [[nodiscard]] reserved
{
  public:
    reserved(reserved &&other) noexcept
        : store_(std::exchange(other.store_, nullptr)), raw_(other.raw_)
    {
    }
    reserved(const reserved &) = delete;
    reserved &operator=(const reserved &) = delete;
    reserved &operator=(reserved &&) = delete;
    ~reserved()
    {
        if (store_)
            handle_reserved_abort(store_, &raw_);
    }

    T &operator*() const noexcept
    {
        return *static_cast<T *>(raw_.object);
    }
    T *operator->() const noexcept
    {
        return static_cast<T *>(raw_.object);
    }
    /** handle_publish. On error it stays reserved. */
    result<handle<T>> publish() noexcept
    {
        handle_t named = store_ ? handle_publish(store_, &raw_) : HANDLE_NULL;
        if (named == HANDLE_NULL)
            return result<handle<T>>(error_of(store_ ? -errno : -EINVAL));
        store_ = nullptr;
        return handle<T>(named);
    }

  private:
    friend class store;
    template <typename U> friend class cell;
    reserved(handle_store *store, const handle_reserved &raw) noexcept : store_(store), raw_(raw)
    {
    }
    handle_store *store_;
    handle_reserved raw_;
};

/** handle_pin: the object stays where it is, readable, until this ends. */
template <typename T> class [[nodiscard]] pin
{
  public:
    pin(pin &&other) noexcept : store_(std::exchange(other.store_, nullptr)), object_(other.object_)
    {
    }
    pin(const pin &) = delete;
    pin &operator=(const pin &) = delete;
    pin &operator=(pin &&) = delete;
    ~pin()
    {
        if (store_)
            handle_unpin(store_, object_);
    }
    const T &operator*() const noexcept
    {
        return *object_;
    }
    const T *operator->() const noexcept
    {
        return object_;
    }

  private:
    friend class store;
    template <typename U> friend class cell;
    pin(handle_store *store, const T *object) noexcept : store_(store), object_(object)
    {
    }
    handle_store *store_;
    const T *object_;
};

/** A new version of an object; dropped if it is never committed. */
template <typename T> class [[nodiscard]] update
{
  public:
    update(update &&other) noexcept : store_(std::exchange(other.store_, nullptr)), raw_(other.raw_)
    {
    }
    update(const update &) = delete;
    update &operator=(const update &) = delete;
    update &operator=(update &&) = delete;
    ~update()
    {
        if (store_)
            handle_update_abort(store_, &raw_);
    }
    T &operator*() const noexcept
    {
        return *static_cast<T *>(raw_.object);
    }
    T *operator->() const noexcept
    {
        return static_cast<T *>(raw_.object);
    }
    /** handle_update_commit: over in every case. */
    [[nodiscard]] std::error_code commit(const section &) noexcept
    {
        handle_store *store = std::exchange(store_, nullptr);
        return error_of(store ? handle_update_commit(store, &raw_) : -EINVAL);
    }
    /** handle_cell_update_commit. After EINVAL it goes on. */
    [[nodiscard]] std::error_code commit(const section &, cell<T> &names) noexcept
    {
        int error = store_ ? handle_cell_update_commit(store_, &names.raw_, &raw_) : -EINVAL;
        if (error != -EINVAL)
            store_ = nullptr;
        return error_of(error);
    }

  private:
    friend class store;
    template <typename U> friend class cell;
    update(handle_store *store, const handle_update &raw) noexcept : store_(store), raw_(raw)
    {
    }
    handle_store *store_;
    handle_update raw_;
};

/** A store, destroyed with this: after all that it gave out, and outside of sections. */
class store
{
  public:
    store() : store(nullptr)
    {
    }
    explicit store(const handle_store_options &options) : store(&options)
    {
    }
    store(store &&other) noexcept : store_(std::exchange(other.store_, nullptr))
    {
    }
    store(const store &) = delete;
    store &operator=(const store &) = delete;
    store &operator=(store &&) = delete;
    /** A store that is pinned (close() would say so) stays as it is, to the end of the process. */
    ~store()
    {
        (void)close();
    }
    /** handle_store_destroy. On error the store is as it was. */
    [[nodiscard]] std::error_code close() noexcept
    {
        int error = store_ ? handle_store_destroy(store_) : 0;
        if (error == 0)
            store_ = nullptr;
        return error_of(error);
    }
    /** For the functions of handle.h. */
    handle_store *get() const noexcept
    {
        return store_;
    }

    /** handle_reserve, for a T with undefined contents; one with cells is zero, by HANDLE_CELLS. */
    template <typename T> result<reserved<T>> reserve(unsigned flags = 0) noexcept
    {
        return reserve_bytes<T>(sizeof(T), flags);
    }
    /**
     * The same, of so many bytes: a T is their head, and what comes behind it is the caller's (a
     * string, say, whose length the T has). EINVAL: fewer than a T has.
     */
    template <typename T>
    result<reserved<T>> reserve_bytes(std::size_t bytes, unsigned flags = 0) noexcept
    {
        static_assert(is_storable_v<T>, "objects are moved by copying their bytes");
        handle_reserved raw;
        if (bytes < sizeof(T))
            return result<reserved<T>>(error_of(-EINVAL));
        if (!handle_reserve(store_, bytes, has_cells_v<T> ? flags | HANDLE_CELLS : flags, &raw))
            return result<reserved<T>>(error_of(-errno));
        return reserved<T>(store_, raw);
    }
    /** The same, filled and published. */
    template <typename T> result<handle<T>> make(const T &value, unsigned flags = 0) noexcept
    {
        static_assert(!has_cells_v<T>, "what has cells is reserved, and filled where it lies");
        auto object = reserve<T>(flags);
        if (!object)
            return result<handle<T>>(object.error());
        **object = value;
        return object->publish();
    }

    /**
     * handle_alloc_many: n objects as `values`, named by the first `made` of `named`. On error
     * fewer than n, which stay.
     */
    template <typename T>
    std::error_code make_many(const section &, const T *values, handle<T> *named, std::size_t n,
                              std::size_t &made) noexcept
    {
        static_assert(is_storable_v<T> && !has_cells_v<T>, "objects are moved by copying them");
        constexpr std::size_t most = 16;
        std::size_t sizes[most], group = most;
        for (std::size_t &size : sizes)
            size = sizeof(T);
        for (made = 0; made < n && group == most; made += group) {
            handle_t names[most];
            void *objects[most];
            std::size_t asked = n - made < most ? n - made : most;
            group = handle_alloc_many(store_, sizes, 0, names, objects, asked);
            for (std::size_t i = 0; i < group; i++) {
                *static_cast<T *>(objects[i]) = values[made + i];
                named[made + i] = handle<T>(names[i]);
            }
        }
        return error_of(made < n ? -errno : 0);
    }

    /** handle_deref. */
    template <typename T> view<const T> read(const section &in, handle<T> named) const noexcept
    {
        return view<const T>(in, static_cast<const T *>(handle_deref(store_, named.get())));
    }
    template <typename T> view<const T> read(const section &&, handle<T>) const = delete;
    /** handle_deref_mut. */
    template <typename T> view<T> write(const section &in, handle<T> named) noexcept
    {
        return view<T>(in, static_cast<T *>(handle_deref_mut(store_, named.get())));
    }
    template <typename T> view<T> write(const section &&, handle<T>) = delete;

    /** handle_free. */
    template <typename T> std::error_code free(handle<T> named) noexcept
    {
        return error_of(handle_free(store_, named.get()));
    }
    /** handle_free_many. */
    template <typename T> std::size_t free_many(const handle<T> *named, std::size_t n) noexcept
    {
        static_assert(sizeof(handle<T>) == sizeof(handle_t), "no room but the name");
        return handle_free_many(store_, reinterpret_cast<const handle_t *>(named), n);
    }
    /** handle_retire. */
    template <typename T> std::error_code retire(handle<T> named) noexcept
    {
        return error_of(handle_retire(store_, named.get()));
    }
    /**
     * handle_resize, of a T that is the head of more; capacity, if given: handle_resize_reserve.
     * EINVAL: fewer bytes than a T has.
     */
    template <typename T>
    [[nodiscard]] std::error_code resize(handle<T> named, std::size_t bytes) noexcept
    {
        return error_of(bytes < sizeof(T) ? -EINVAL : handle_resize(store_, named.get(), bytes));
    }
    template <typename T>
    [[nodiscard]] std::error_code
    resize(handle<T> named, std::size_t bytes, std::size_t capacity) noexcept
    {
        return error_of(bytes < sizeof(T)
                            ? -EINVAL
                            : handle_resize_reserve(store_, named.get(), bytes, capacity));
    }
    /** handle_sparsity: of what may be evicted, that with the largest first. */
    template <typename T> std::uint32_t sparsity(const section &, handle<T> named) const noexcept
    {
        return handle_sparsity(store_, named.get());
    }
    /** handle_pin. */
    template <typename T> result<sinter::pin<T>> pin(const section &, handle<T> named) noexcept
    {
        const void *object = handle_pin(store_, named.get());
        if (!object)
            return result<sinter::pin<T>>(error_of(-errno));
        return sinter::pin<T>(store_, static_cast<const T *>(object));
    }
    /** handle_update_begin. */
    template <typename T>
    result<sinter::update<T>> update(const section &, handle<T> named) noexcept
    {
        handle_update raw;
        if (!handle_update_begin(store_, named.get(), sizeof(T), &raw))
            return result<sinter::update<T>>(error_of(-errno));
        return sinter::update<T>(store_, raw);
    }
    /** handle_store_reclaim: what to call after EAGAIN. Not in a section. */
    std::error_code reclaim(std::size_t bytes) noexcept
    {
        return error_of(handle_store_reclaim(store_, bytes));
    }

  private:
    explicit store(const handle_store_options *options) : store_(handle_store_create(options))
    {
        if (!store_)
            throw std::system_error(errno, std::generic_category(), "handle_store_create");
    }
    handle_store *store_;
};

/**
 * The one owner of an object: frees it, as handle_free, when it ends. Ends before the store. An
 * object whose cells still name others is not freed, and stays.
 */
template <typename T> class unique_handle
{
  public:
    unique_handle() noexcept = default;
    unique_handle(store &in, handle<T> named) noexcept : store_(in.get()), handle_(named)
    {
    }
    unique_handle(unique_handle &&other) noexcept
        : store_(other.store_), handle_(std::exchange(other.handle_, handle<T>()))
    {
    }
    unique_handle &operator=(unique_handle &&other) noexcept
    {
        unique_handle old(std::move(*this));
        store_ = other.store_;
        handle_ = std::exchange(other.handle_, handle<T>());
        return *this;
    }
    unique_handle(const unique_handle &) = delete;
    unique_handle &operator=(const unique_handle &) = delete;
    ~unique_handle()
    {
        if (handle_)
            (void)handle_free(store_, handle_.get());
    }
    handle<T> get() const noexcept
    {
        return handle_;
    }
    explicit operator bool() const noexcept
    {
        return bool(handle_);
    }
    /** The caller frees it. */
    [[nodiscard]] handle<T> release() noexcept
    {
        return std::exchange(handle_, handle<T>());
    }

  private:
    handle_store *store_ = nullptr;
    handle<T> handle_;
};

/**
 * handle_cell: names one object from the application's own memory, or from inside another object,
 * whose type says so (cells_at); then who writes has that object by write() in the same section. It
 * cannot be copied or moved, and so neither what it lies in: use relocate. It does not free what it
 * names: that needs a section, and a grace period before its memory goes.
 */
template <typename T> class cell
{
  public:
    cell() noexcept = default;
    cell(const cell &) = delete;
    cell &operator=(const cell &) = delete;

    /** handle_cell_deref. */
    view<const T> read(const store &of, const section &in) const noexcept
    {
        return view<const T>(in, static_cast<const T *>(handle_cell_deref(of.get(), &raw_)));
    }
    view<const T> read(const store &, const section &&) const = delete;
    /** handle_cell_read. */
    view<const T> read(const store &of, const section &in, std::uint32_t &tag) const noexcept
    {
        return view<const T>(in, static_cast<const T *>(handle_cell_read(of.get(), &raw_, &tag)));
    }
    view<const T> read(const store &, const section &&, std::uint32_t &) const = delete;
    /** handle_cell_match: the object if the cell has this tag. Touches no object. */
    view<const T> match(const store &of, const section &in, std::uint32_t tag) const noexcept
    {
        return view<const T>(in, static_cast<const T *>(handle_cell_match(of.get(), &raw_, tag)));
    }
    view<const T> match(const store &, const section &&, std::uint32_t) const = delete;
    /** handle_cell_tag. */
    std::uint32_t tag() const noexcept
    {
        return handle_cell_tag(&raw_);
    }
    /** handle_cell_sparsity. */
    std::uint32_t sparsity(const store &of, const section &) const noexcept
    {
        return handle_cell_sparsity(of.get(), &raw_);
    }
    /** handle_cell_deref_mut. */
    view<T> write(store &of, const section &in) noexcept
    {
        return view<T>(in, static_cast<T *>(handle_cell_deref_mut(of.get(), &raw_)));
    }
    view<T> write(store &, const section &&) = delete;
    /** handle_cell_publish: on error it stays reserved. */
    [[nodiscard]] std::error_code
    publish(store &of, const section &, reserved<T> &object, std::uint32_t tag = 0) noexcept
    {
        int error = handle_cell_publish(of.get(), &raw_, &object.raw_, tag);
        if (error == 0)
            object.store_ = nullptr;
        return error_of(error);
    }
    /** handle_cell_resize, or with a capacity handle_cell_resize_reserve. As store::resize. */
    [[nodiscard]] std::error_code resize(store &of, const section &, std::size_t bytes) noexcept
    {
        return error_of(bytes < sizeof(T) ? -EINVAL : handle_cell_resize(of.get(), &raw_, bytes));
    }
    [[nodiscard]] std::error_code
    resize(store &of, const section &, std::size_t bytes, std::size_t capacity) noexcept
    {
        return error_of(bytes < sizeof(T)
                            ? -EINVAL
                            : handle_cell_resize_reserve(of.get(), &raw_, bytes, capacity));
    }
    /** handle_cell_free. */
    std::error_code free(store &of, const section &) noexcept
    {
        return error_of(handle_cell_free(of.get(), &raw_));
    }
    /** handle_cell_relocate. */
    [[nodiscard]] std::error_code relocate(store &of, const section &, cell &to) noexcept
    {
        return error_of(handle_cell_relocate(of.get(), &raw_, &to.raw_));
    }
    /** handle_cell_retire: out of reach first. */
    [[nodiscard]] std::error_code retire(store &of, const section &) noexcept
    {
        return error_of(handle_cell_retire(of.get(), &raw_));
    }
    /** handle_cell_unlink: `to` names the object, also in the place of another one. */
    [[nodiscard]] std::error_code unlink(store &of, const section &, cell &to) noexcept
    {
        return error_of(handle_cell_unlink(of.get(), &raw_, &to.raw_));
    }
    /** handle_cell_pin. */
    result<sinter::pin<T>> pin(store &of, const section &) noexcept
    {
        const void *object = handle_cell_pin(of.get(), &raw_);
        if (!object)
            return result<sinter::pin<T>>(error_of(-errno));
        return sinter::pin<T>(of.get(), static_cast<const T *>(object));
    }
    /** handle_cell_update_begin. */
    result<sinter::update<T>> update(store &of, const section &) noexcept
    {
        handle_update raw;
        if (!handle_cell_update_begin(of.get(), &raw_, sizeof(T), &raw))
            return result<sinter::update<T>>(error_of(-errno));
        return sinter::update<T>(of.get(), raw);
    }

  private:
    friend class sinter::update<T>;
    handle_cell raw_ = HANDLE_CELL_INIT;
};
static_assert(sizeof(cell<int>) == sizeof(handle_cell), "no room but the word");

} // namespace sinter

#endif /* SINTER_HANDLE_HPP */
