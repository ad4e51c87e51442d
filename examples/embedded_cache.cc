/* SPDX-License-Identifier: MIT */
/* embedded_cache.cc - libsinter-cache in C++: look up, make what is not there, put it in. */
#include <urcu-bp.h>

#include <sinter/cache.hpp>

#include <iostream>

/** A page out of the cache, or made and put there for a minute. */
static std::string
page_of(sinter::cache &pages, unsigned number)
{
    if (auto page = pages.get(sinter::bytes_of(number)))
        return std::string(page->text());
    std::string made(200 + number * 37 % 20000, static_cast<char>('a' + number % 26));
    (void)pages.set(sinter::bytes_of(number), made, std::chrono::minutes(1)); /* or next time */
    return made;
}

int
main()
{
    sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    options.limit_bytes = 16 << 20;
    sinter::cache pages(options); /* throws std::system_error */
    for (unsigned i = 0; i < 100000; i++)
        if (page_of(pages, i % 3 ? i % 500 : i).size() < 200)
            return 1;
    auto stats = pages.stats().value();
    std::cout << stats.hits << " of " << stats.gets << " look-ups hit\n";
    return stats.held_bytes <= options.limit_bytes && stats.hits > stats.misses ? 0 : 1;
}
