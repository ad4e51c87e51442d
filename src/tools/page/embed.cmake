# SPDX-License-Identifier: MIT
#
# embed.cmake - puts the page's parts together and writes it as an array of C:
#   cmake -DSOURCE=src/tools -DOUTPUT=map_page.c -P embed.cmake
# uPlot's source loses its indentation and its lines of comment; its notice stays.

file(READ ${SOURCE}/uplot/uPlot.iife.js UPLOT_JS)
file(READ ${SOURCE}/uplot/uPlot.min.css UPLOT_CSS)
file(READ ${SOURCE}/uplot/LICENSE UPLOT_LICENSE)
file(READ ${SOURCE}/page/map.css STYLE)
file(READ ${SOURCE}/page/map.js SCRIPT)
string(REGEX REPLACE "\n[\t ]+" "\n" UPLOT_JS "${UPLOT_JS}")
string(REGEX REPLACE "\n//[^\n]*" "" UPLOT_JS "${UPLOT_JS}")
string(REGEX REPLACE "\n\n+" "\n" UPLOT_JS "${UPLOT_JS}")
configure_file(${SOURCE}/page/map.html ${OUTPUT}.html @ONLY)
file(READ ${OUTPUT}.html page HEX)
string(REGEX REPLACE "(................................)" "\\1\n" page "${page}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," page "${page}")
file(WRITE ${OUTPUT} "/* SPDX-License-Identifier: MIT */\n/* Made by embed.cmake. */\n"
     "extern const unsigned char map_page[];\nextern const unsigned long map_page_bytes;\n"
     "const unsigned char map_page[] = {\n${page}0};\n"
     "const unsigned long map_page_bytes = sizeof(map_page) - 1;\n")
