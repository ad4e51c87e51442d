# SPDX-License-Identifier: MIT
#
# flavours.cmake - the liburcu flavours that are installed, for tests compiled once per flavour.
# Sets TEST_FLAVOURS; sinter_test_flavour(target flavour) makes a target one of that flavour.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

set(TEST_MODULE_memb liburcu)
set(TEST_MODULE_mb liburcu-mb)
set(TEST_MODULE_qsbr liburcu-qsbr)
set(TEST_MODULE_bp liburcu-bp)

set(TEST_FLAVOURS)
foreach(flavour IN ITEMS memb mb qsbr bp)
    pkg_check_modules(TEST_URCU_${flavour} QUIET IMPORTED_TARGET ${TEST_MODULE_${flavour}})
    if(TARGET PkgConfig::TEST_URCU_${flavour})
        list(APPEND TEST_FLAVOURS ${flavour})
    else()
        message(STATUS "tests: ${TEST_MODULE_${flavour}} not found, its flavour is left out")
    endif()
endforeach()

set(TEST_FLAVOUR_DIR ${CMAKE_CURRENT_LIST_DIR})

function(sinter_test_flavour target flavour)
    string(TOUPPER ${flavour} upper)
    target_compile_definitions(${target} PRIVATE TEST_FLAVOUR_${upper} _GNU_SOURCE)
    target_compile_options(${target} PRIVATE -Wall -Wextra
                           $<$<BOOL:${SINTER_WERROR}>:-Werror>)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include ${TEST_FLAVOUR_DIR})
    target_link_libraries(${target} PRIVATE PkgConfig::TEST_URCU_${flavour} Threads::Threads)
endfunction()
