# SPDX-License-Identifier: MIT
#
# readme.awk - puts measured tables into a page: what stands between the lines "<!-- begin Q -->"
# and "<!-- end Q -->" becomes the table of question Q, under the line `heading`. The first file is
# what table.awk prints with -v markdown=1, the second the page, which goes to stdout. Questions
# that were not measured keep what they have. Status 1: a measured question has no place in it.

function place(line, word,    part)
{
    split(line, part, " ")
    return part[1] == "<!--" && part[2] == word && part[4] == "-->" ? part[3] : ""
}

FNR == NR {
    if ($1 == "@")
        question = $2
    else
        table[question] = table[question] $0 "\n"
    next
}

place($0, "end") != "" { inside = 0 }
!inside { print }
place($0, "begin") in table {
    question = place($0, "begin")
    printf "%s\n%s", heading, table[question]
    delete table[question]
    inside = 1
}

END {
    for (question in table) {
        printf "readme.awk: the page has no lines begin and end for %s\n", question > "/dev/stderr"
        bad = 1
    }
    exit bad
}
