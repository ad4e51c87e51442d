# SPDX-License-Identifier: MIT
#
# plot.gp - one picture of resident memory over a run, all subjects together, for gnuplot 5. It is
# called by bench/draw.sh, which sets the variables picture (the file to write; .png or .svg),
# dir (where the files below are), subjects (names of files in dir, the last drawn on top) and
# heading (text), and has written:
#
#   each subject    x, resident MiB, payload MiB; x is phase - 1 and the share of it that is over
#   phases          x of its middle, x of its end, "name"
#   labels          commands: the subjects' names beside where their lines end
#
# Colours are those of Okabe and Ito, which the colour-blind tell apart; two are darkened, so that
# text in them can be read on white.

set encoding utf8
if (picture[strlen(picture) - 3:] eq '.svg') {
    set terminal svg size 1100,560 font 'sans-serif,17' background '#ffffff'
    small = ',15'
    large = ',20'
} else {
    set terminal pngcairo size 1100,560 font 'sans-serif,13' background '#ffffff'
    small = ',11.5'
    large = ',15.5'
}
set output picture

set linetype 1 linecolor rgb '#0072b2' linewidth 4
set linetype 2 linecolor rgb '#3a9bd9' linewidth 4 dashtype (12, 4)
set linetype 3 linecolor rgb '#333333' linewidth 2
set linetype 4 linecolor rgb '#d55e00' linewidth 2
set linetype 5 linecolor rgb '#008060' linewidth 2
set linetype 6 linecolor rgb '#b0508c' linewidth 2
type(subject) = subject eq 'cells'    ? 1 : subject eq 'handles'  ? 2 : subject eq 'glibc' ? 3 : \
                subject eq 'jemalloc' ? 4 : subject eq 'tcmalloc' ? 5 : 6

highest = 0
do for [subject in subjects] {
    stats dir.'/'.subject using 2 nooutput
    highest = STATS_max > highest ? STATS_max : highest
}
stats dir.'/phases' using 2 nooutput
last = STATS_max
top = highest * 1.2
heads = highest * 1.15

set title heading font large offset 0, 0.3
set xrange [0:last]
set yrange [0:top]
unset xtics
set ytics nomirror
set grid ytics linecolor rgb '#cccccc' linewidth 1
set border 3 linecolor rgb '#555555'
set ylabel 'resident memory, MiB'
set xlabel 'progress of the run: every phase drawn equally wide'
set lmargin 9
set rmargin 24
set key off
set clip two

set label 'resident / live at the end' at last * 1.01, heads left font small \
    textcolor rgb '#333333'
load dir.'/labels'

plot dir.'/'.word(subjects, words(subjects)) using 1:3 with filledcurves y1=0 \
         fillcolor rgb '#e4e4e4' fillstyle solid noborder, \
     dir.'/phases' using 2:(0):(0):(top) with vectors nohead linewidth 1 linecolor rgb '#999999' \
         dashtype (4, 4), \
     for [subject in subjects] dir.'/'.subject using 1:2 with lines linetype type(subject), \
     dir.'/phases' using 1:(heads):3 with labels font small textcolor rgb '#333333'
