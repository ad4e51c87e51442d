# SPDX-License-Identifier: MIT
#
# Tests with pages of 16 and 64 KiB where the kernel's have 4 KiB: the library's debug build takes
# for a page what the environment says (src/base/page.h), gives back, protects and charges memory in
# such pages only, and asserts that it does. A test whose numbers are those of small pages is
# skipped. Label: platform; those of 16 KiB, and longer ones, "more" too.

# sinter_with_larger_pages(<name> <longer> <command>...)
function(sinter_with_larger_pages name longer)
    foreach(kib IN ITEMS 16 64)
        math(EXPR bytes "${kib} * 1024")
        set(labels platform)
        if(longer OR kib EQUAL 16)
            list(APPEND labels more)
        endif()
        add_test(NAME ${name}.pages_${kib}k COMMAND ${ARGN})
        set_tests_properties(
            ${name}.pages_${kib}k
            PROPERTIES LABELS "${labels}" TIMEOUT 1800
                       ENVIRONMENT SINTER_DEBUG_PAGE_BYTES=${bytes})
    endforeach()
endfunction()
