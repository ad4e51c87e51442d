# SPDX-License-Identifier: MIT
#
# servers.gp - one picture of C1, all servers together, for gnuplot 5: above, the resident memory of
# each in percent of its limit; below, how many of the newest keys it still has. It is called by
# bench/draw.sh, which sets the variables picture (the file to write; .png or .svg), dir (where the
# series of c1_shift are) and servers (names of files in dir).

set encoding utf8
if (picture[strlen(picture) - 3:] eq '.svg') {
    set terminal svg size 1100,760 font 'sans-serif,17' background '#ffffff'
} else {
    set terminal pngcairo size 1100,760 font 'sans-serif,13' background '#ffffff'
}
set output picture

set linetype 1 linecolor rgb '#0072b2' linewidth 4
set linetype 2 linecolor rgb '#008060' linewidth 2
set linetype 3 linecolor rgb '#d55e00' linewidth 2
type(name) = name eq 'C1-sinterd' ? 1 : name eq 'C1-memcached' ? 2 : 3

set multiplot layout 2,1 title 'C1, sizes shift in a server’s cache'
set xrange [0:4]
set xtics ('240-256 bytes' 0.5, '272-288' 1.5, '16-64' 2.5, '640' 3.5) scale 0
set grid ytics linecolor rgb '#cccccc' linewidth 1
set border 3 linecolor rgb '#555555'
set lmargin 9
set rmargin 4
set key outside top center horizontal
do for [i = 1:3] {
    set arrow i from i, graph 0 to i, graph 1 nohead dashtype (4, 4) linecolor rgb '#999999'
}

set ylabel 'resident memory, % of the limit'
set yrange [0:*]
plot 100 notitle with lines dashtype (8, 4) linecolor rgb '#333333', \
     for [name in servers] dir.'/'.name using 1:2 with lines linetype type(name) title name[4:]
unset key
set ylabel 'newest keys found, %'
set yrange [0:105]
plot for [name in servers] dir.'/'.name using 1:3 with lines linetype type(name) title name[4:]
unset multiplot
