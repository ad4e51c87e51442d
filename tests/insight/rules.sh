#!/bin/sh
# SPDX-License-Identifier: MIT
#
# rules.sh RULES HOARD STEP: the alerts of sinter.rules.yml, by the real tools. Exit status 77: what
# is needed is missing.
#
#   rules     promtool: they are well formed, and fire when they are to; what they read is there
#   scrape    a Prometheus scrapes a store, answers what the alerts ask, and one of them fires
set -eu

rules=$1 program=$2 step=$3
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/insight/hoard.sh
. "$here/hoard.sh"

# metrics FILE: those of the program.
metrics()
{
    start 20000 full
    echo "metrics $1" >&3
    await 2
    stop
}

# ask PATH: of the API; the answer in $work/answer.
ask()
{
    python3 - "http://127.0.0.1:$port/api/v1/$1" >"$work/answer" 2>&1 <<'EOF'
import sys
import urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
EOF
}

# until_answer PATH WORD
until_answer()
{
    tries=0
    until ask "$1" && grep -q "$2" "$work/answer"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "$1 has no $2: $(cat "$work/answer" "$work/prometheus.log")"
        sleep 0.2
    done
}

free_port()
{
    python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

case $step in
rules)
    command -v promtool >/dev/null 2>&1 || skip 'promtool (prometheus) is not installed'
    cp "$rules" "$work/sinter.rules.yml"
    cp "$here/rules_test.yml" "$work"
    promtool check rules "$work/sinter.rules.yml" >"$work/said" 2>&1 || fail "$(cat "$work/said")"
    promtool test rules "$work/rules_test.yml" >"$work/said" 2>&1 || fail "$(cat "$work/said")"
    metrics "$work/metrics"
    promtool check metrics <"$work/metrics" >"$work/said" 2>&1 || fail "$(cat "$work/said")"
    grep -o 'sinter_[a-z_]*' "$rules" | sort -u >"$work/names"
    [ -s "$work/names" ] || fail 'the alerts read nothing'
    while read -r name; do
        grep -q "^$name{" "$work/metrics" || fail "the store says nothing of $name"
    done <"$work/names"
    grep -o 'alert: [A-Za-z]*' "$rules" | sed 's/alert: //' | while read -r alert; do
        grep -q "alertname: $alert$" "$here/rules_test.yml" || fail "no test of $alert"
    done
    ;;
scrape)
    command -v prometheus >/dev/null 2>&1 || skip 'prometheus is not installed'
    command -v python3 >/dev/null 2>&1 || skip 'python3 is not installed'
    mkdir "$work/served"
    metrics "$work/served/metrics"
    sed 's/for: 10m/for: 0s/; s/0\.2 \*/0.05 */' "$rules" >"$work/rules.yml"
    served=$(free_port)
    port=$(free_port)
    cat >"$work/prometheus.yml" <<EOF
global: {scrape_interval: 200ms, evaluation_interval: 200ms}
rule_files: [rules.yml]
scrape_configs:
  - job_name: sinter
    static_configs: [{targets: ["127.0.0.1:$served"]}]
EOF
    python3 -m http.server --bind 127.0.0.1 --directory "$work/served" "$served" \
        >"$work/http.log" 2>&1 &
    http=$!
    prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
        --web.listen-address="127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
    prometheus=$!
    trap 'kill $http $prometheus; wait $prometheus || true; rm -rf "$work"' EXIT
    until_answer 'query?query=sinter_committed_bytes' '"store":"hoard"'
    until_answer 'query?query=sinter_grace_period_age_seconds' '"store":"hoard"'
    # Compaction is off, and an eighth of the memory could go back; here a twentieth is asked for.
    until_answer alerts '"alertname":"SinterCompactionOff".*"state":"firing"'
    ask rules
    ! grep -q '"health":"err"' "$work/answer" || fail "an alert cannot be evaluated"
    ;;
*) fail "no such step: $step" ;;
esac
