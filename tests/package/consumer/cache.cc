/* SPDX-License-Identifier: MIT */
/* cache.cc - the same in C++, by sinter/cache.hpp. */
#include <urcu-bp.h>

#include <sinter/cache.hpp>

#include <iostream>

int
main()
{
    sinter::cache cache;
    if (cache.set("key", "value") || cache.get("key").value().text() != "value")
        return 1;
    std::cout << "cache.cc: sinter-cache " << handle_version() << " works\n";
    return 0;
}
