/* SPDX-License-Identifier: MIT */
/*
 * cache_hpp_refused.cc - what sinter/cache.hpp does not let compile: one line for each REFUSED,
 * which a test defines. Without it, all compiles.
 */
#include <urcu-bp.h>

#include <sinter/cache.hpp>

#ifndef REFUSED
#define REFUSED 0
#endif

struct padded {
    char kind;
    int number;
};

void use(sinter::cache &cache, sinter::section &section, int number);

void
use(sinter::cache &cache, sinter::section &section, int number)
{
    auto item = cache.look(section, sinter::bytes_of(number));
    auto copy = cache.get("key");
    (void)item;
    (void)copy;
    (void)cache.walk([](const sinter::cache_item &) {});
    (void)cache.walk([](sinter::cache_item &one) { return one.next(); });
    (void)cache.print(HANDLE_STATS_TEXT, [](std::string_view) {});
    (void)cache.stats();
    (void)cache.sweep(1);
    (void)cache.incr("key");
#if REFUSED == 1 /* an address that outlives its section */
    auto left = cache.look(sinter::section(), "key");
#elif REFUSED == 2
    auto other = item;
#elif REFUSED == 3
    auto other = std::move(item);
#elif REFUSED == 4
    sinter::cache_item *kept = new sinter::cache_item(cache.look(section, "key"));
#elif REFUSED == 5
    sinter::cache other(cache);
#elif REFUSED == 6
    sinter::cache other;
    other = std::move(cache);
#elif REFUSED == 7  /* bytes of what is gone when the name of it is used */
    auto key = sinter::bytes_of(7);
#elif REFUSED == 8  /* a write through what is for reading */
    item.piece()[0] = 'x';
#elif REFUSED == 9  /* bytes that nobody has written */
    padded key{'a', 7};
    (void)cache.get(sinter::bytes_of(key));
#elif REFUSED == 10 /* a copy is freed once */
    auto other = *copy;
#elif REFUSED == 11
    auto walked = [](sinter::cache_item one) {};
    (void)cache.walk(walked);
#elif REFUSED == 12 /* a number without a unit */
    (void)cache.set("key", "value", 60);
#elif REFUSED == 13 /* what ends a budget is there once */
    sinter::cache_budget budget(8 << 20), other(budget);
#endif
}
