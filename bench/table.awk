# SPDX-License-Identifier: MIT
#
# table.awk - turns the JSON lines of benchmark runs (report.c) into tables: for each question and
# case the median and spread of every metric and subject, the ratio to the best peer and to
# jemalloc, and the target with its verdict; and how many runs failed, of which run.sh writes a line
# without metrics. Where a run without an allocator ("driver alone") is among them, only its rate
# counts: the column "driver" has the share of each subject's time that is the benchmark's own. It
# reads that format only, and is no JSON parser. Targets that are ratios are
# judged here: only here are both runs at hand.
#
# With -v markdown=1 the same figures as tables of bench/README.md, a column for each subject; each
# question begins with a line "@ QUESTION", which readme.awk looks for.

# The text or number behind "key": in a flat object; "" if it is not there.
function text_of(object, key,    at, rest)
{
    at = index(object, "\"" key "\":\"")
    if (!at)
        return ""
    rest = substr(object, at + length(key) + 4)
    return substr(rest, 1, index(rest, "\"") - 1)
}

function number_of(object, key,    at, rest)
{
    at = index(object, "\"" key "\":")
    if (!at)
        return ""
    rest = substr(object, at + length(key) + 3)
    match(rest, /^[-+0-9.e]+/)
    return substr(rest, 1, RLENGTH)
}

# Notes order of appearance: list[1 .. list[0]].
function remember(list, seen, name)
{
    if (!(name in seen)) {
        seen[name] = 1
        list[++list[0]] = name
    }
}

function is_own(subject)
{
    return subject == "cells" || subject == "handles" || subject == "sinterd"
}

function is_peer(subject)
{
    return !is_own(subject) && subject != driver && subject != "sockets alone"
}

# The time of the run without an allocator over this one's, in percent; "" where there is none.
function driver_share(group, metric, value,    key, alone)
{
    key = group SUBSEP metric SUBSEP driver
    if (!(key in count) || value == 0)
        return ""
    alone = median(key)
    return sprintf("%.0f%%",
        100 * (better[group, metric] == "higher" ? value / alone : alone / value))
}

function median(key,    n, i, j, kept, value)
{
    n = count[key]
    for (i = 1; i <= n; i++)
        value[i] = sample[key, i] + 0
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && value[j] < value[j - 1]; j--) {
            kept = value[j]
            value[j] = value[j - 1]
            value[j - 1] = kept
        }
    low = value[1]
    high = value[n]
    return n % 2 ? value[(n + 1) / 2] : (value[n / 2] + value[n / 2 + 1]) / 2
}

# The best peer's median of a metric; "" without one. Leaves its name in best_name.
function best_peer(group, metric,    i, subject, value, best)
{
    best = ""
    for (i = 1; i <= subjects[0]; i++) {
        subject = subjects[i]
        if (!is_peer(subject) || !((group, metric, subject) in count))
            continue
        value = median(group SUBSEP metric SUBSEP subject)
        if (best == "" || (better[group, metric] == "lower" ? value < best : value > best)) {
            best = value
            best_name = subject
        }
    }
    return best
}

function peer(group, metric, name)
{
    if (name == "best peer")
        return best_peer(group, metric)
    if ((group, metric, name) in count)
        return median(group SUBSEP metric SUBSEP name)
    return ""
}

function number(value,    size)
{
    if (value == "")
        return ""
    size = value < 0 ? -value : value
    return sprintf("%." (size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3) "f", value)
}

function ratio(value, to)
{
    return to == "" || to == 0 ? "" : sprintf("%.2f", value / to)
}

function judge(value, limit, lower)
{
    if (limit == "" || smoke)
        return ""
    met = lower ? value <= limit + 1e-9 : value >= limit - 1e-9
    verdicts[met ? "ok" : "MISSED"]++
    return met ? "ok" : "MISSED"
}

# Sets aim and verdict for one line of the table.
function judge_line(group, metric, key, value,    sign, to, limit)
{
    sign = better[group, metric] == "lower" ? "<=" : ">="
    aim = verdict = ""
    if (target[key] != "") {
        aim = sign " " number(target[key])
        verdict = judge(value, target[key], sign == "<=")
    } else if (ratio_to[key] != "") {
        aim = sprintf("%s %.2f x %s", sign, ratio_target[key], ratio_to[key])
        if (ratio_metric[key] != metric)
            aim = aim ": " ratio_metric[key]
        to = peer(group, ratio_metric[key], ratio_to[key])
        if (to != "")
            verdict = judge(value / to, ratio_target[key], sign == "<=")
        else if (!smoke)
            verdict = "no peer"
    }
}

function print_line(group, metric, subject,    key, value, spread, best)
{
    key = group SUBSEP metric SUBSEP subject
    value = median(key)
    spread = value ? 100 * (high - low) / (value < 0 ? -value : value) : 0
    best = is_own(subject) ? best_peer(group, metric) : ""
    judge_line(group, metric, key, value)
    printf "  %-36s %-14s %9s %-12s %7s %8s %7s %9s %9s  %-22s %s\n",
        (shown == metric ? "" : metric), subject, number(value), unit[group, metric],
        (count[key] > 1 ? sprintf("%.1f%%", spread) : ""), number(floor[key]),
        (subject == driver ? "" : driver_share(group, metric, value)), ratio(value, best),
        (is_own(subject) ? ratio(value, peer(group, metric, "jemalloc")) : ""), aim, verdict
    shown = metric
}

function print_failures(group, reason,    i, runs)
{
    for (i = 1; i <= subjects[0]; i++)
        if ((group, reason, subjects[i]) in failures) {
            runs = failures[group, reason, subjects[i]]
            printf "  %-36s %-14s %9d run%s\n", reason, subjects[i], runs, (runs > 1 ? "s" : "")
        }
}

function print_group(group,    i, j, part)
{
    split(group, part, SUBSEP)
    printf "\n%s %s: %s\n", part[1], title[group in title ? group : part[1]], part[2]
    printf "  %-36s %-14s %9s %-12s %7s %8s %7s %9s %9s  %-22s %s\n", "metric", "subject",
        "median", "unit", "spread", "floor", "driver", "/best", "/jemalloc", "target", "verdict"
    shown = ""
    for (i = 1; i <= metrics[0]; i++)
        for (j = 1; j <= subjects[0]; j++)
            if ((group, metrics[i], subjects[j]) in count)
                print_line(group, metrics[i], subjects[j])
    for (i = 1; i <= reasons[0]; i++)
        print_failures(group, reasons[i])
    for (i = 1; i <= notes[0]; i++)
        if ((group, notes[i]) in note_of)
            printf "  note: %s\n", notes[i]
}

# ---- markdown ------------------------------------------------------------------------------------

# A subject's value of a metric; bold where a target is missed. Notes the target in aims.
function markdown_value(group, metric, subject,    key, text)
{
    key = group SUBSEP metric SUBSEP subject
    if (!(key in count))
        return ""
    text = number(median(key))
    judge_line(group, metric, key, median(key))
    if (aim != "" && index("; " aims "; ", "; " aim "; ") == 0)
        aims = aims (aims == "" ? "" : "; ") aim
    return verdict == "MISSED" ? "**" text "**" : text
}

function markdown_group(group,    i, j, part, row, rule, runs)
{
    split(group, part, SUBSEP)
    if (part[1] != shown)
        printf "@ %s\n", part[1]
    shown = part[1]
    row = "| " part[2]
    rule = "|---"
    for (j = 1; j <= subjects[0]; j++)
        if ((group, subjects[j]) in ran) {
            row = row " | " subjects[j]
            rule = rule "|---"
        }
    printf "\n%s | target |\n%s|---|\n", row, rule
    for (i = 1; i <= metrics[0]; i++) {
        if (!((group, metrics[i]) in unit))
            continue
        row = "| " metrics[i] ", " unit[group, metrics[i]]
        aims = ""
        for (j = 1; j <= subjects[0]; j++)
            if ((group, subjects[j]) in ran)
                row = row " | " markdown_value(group, metrics[i], subjects[j])
        printf "%s | %s |\n", row, aims
    }
    for (i = 1; i <= reasons[0]; i++)
        for (j = 1; j <= subjects[0]; j++)
            if ((group, reasons[i], subjects[j]) in failures) {
                runs = failures[group, reasons[i], subjects[j]]
                printf "\n%s: %s (%d run%s).\n", subjects[j], reasons[i], runs,
                    runs > 1 ? "s" : ""
            }
}

# B5: a row for each case and subject, a column for each metric.
function markdown_tuning(    i, j, k, part, row, rule)
{
    print "@ B5"
    for (i = 1; i <= groups[0]; i++) {
        split(groups[i], part, SUBSEP)
        if (part[1] != "B5")
            continue
        row = "| workload, threshold, mover | subject"
        rule = "|---|---"
        for (j = 1; j <= subjects[0]; j++) {
            if (!((groups[i], subjects[j]) in ran))
                continue
            values = "| " part[2] " | " subjects[j]
            for (k = 1; k <= metrics[0]; k++)
                if ((groups[i], metrics[k]) in unit) {
                    row = row " | " metrics[k] (unit[groups[i], metrics[k]] == "RSS/live" ? \
                        "" : ", " unit[groups[i], metrics[k]])
                    rule = rule "|---"
                    values = values " | " \
                        number(median(groups[i] SUBSEP metrics[k] SUBSEP subjects[j]))
                }
            if (!headed++)
                printf "\n%s |\n%s|\n", row, rule
            print values " |"
        }
    }
}

function take_metric(group, subject, object,    metric, key)
{
    metric = text_of(object, "name")
    if (subject == driver && text_of(object, "unit") !~ /\/s$|^ns$/)
        return
    key = group SUBSEP metric SUBSEP subject
    remember(metrics, metric_seen, metric)
    sample[key, ++count[key]] = number_of(object, "value")
    floor[key] = number_of(object, "floor")
    unit[group, metric] = text_of(object, "unit")
    better[group, metric] = text_of(object, "better")
    target[key] = number_of(object, "target")
    ratio_to[key] = text_of(object, "ratio_to")
    ratio_metric[key] = text_of(object, "ratio_metric")
    ratio_target[key] = number_of(object, "ratio_target")
}

BEGIN {
    driver = "driver alone"
    groups[0] = metrics[0] = subjects[0] = reasons[0] = notes[0] = 0
    own[1] = "cells"
    own[2] = "handles"
    for (i = 1; i <= 2; i++)
        remember(subjects, subject_seen, own[i])
}

# Metrics come behind "metrics":[ and end before ],"notes":[ ; objects are separated by },{
{
    at = index($0, "\"metrics\":[")
    end = index($0, "],\"notes\":[")
    if (!at || !end) {
        printf "table.awk: line %d is no result of a run\n", NR > "/dev/stderr"
        failed = 1
        next
    }
    head = substr($0, 1, at)
    question = text_of(head, "question")
    if (question == "B5" && !markdown) # has a table of its own
        next
    subject = text_of(head, "subject")
    group = question SUBSEP text_of(head, "case")
    text = text_of(head, "title")
    if (text != "") # failed runs have none
        title[group] = title[question] = text
    if (index(head, "\"smoke\":true"))
        smoke = 1
    remember(groups, group_seen, group)
    remember(subjects, subject_seen, subject)
    ran[group, subject] = 1
    reason = text_of(head, "failed")
    if (reason != "") {
        remember(reasons, reason_seen, reason)
        failures[group, reason, subject]++
    }
    n = split(substr($0, at + 11, end - at - 11), part, /},{/)
    for (i = 1; i <= n; i++)
        take_metric(group, subject, part[i])
    n = split(substr($0, end + 11), part, /},{/)
    for (i = 1; i <= n; i++) {
        note = text_of(part[i], "note")
        if (note != "") {
            remember(notes, note_seen, note)
            note_of[group, note] = 1
        }
    }
}

END {
    for (i = 1; i <= groups[0]; i++)
        if (markdown && index(groups[i], "B5" SUBSEP) != 1)
            markdown_group(groups[i])
        else if (markdown && !tuned++)
            markdown_tuning()
        else if (markdown)
            continue
        else
            print_group(groups[i])
    if (!smoke && !markdown)
        printf "\n%d targets met, %d MISSED\n", verdicts["ok"], verdicts["MISSED"]
    exit failed
}
