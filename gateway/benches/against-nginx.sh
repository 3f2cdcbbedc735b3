#!/usr/bin/env bash
# CPU time per request: Postern against nginx with a map of keys, one worker each, the same backend, in turn.
#
# Usage: gateway/benches/against-nginx.sh [ROUNDS] [SECONDS]     (5 rounds of 5 s if not given)
#
# Installs nginx and wrk with apt-get where they are missing (then it must run as root). Everything listens on loopback.
# Both answer `GET /orgs/bench/env-types` for one of 1,000 known keys; nginx looks the key up in a map and forwards,
# Postern authenticates, decides by a role policy in Wasm, signs an identity and forwards. CPU time is that of all
# threads of the process, as /proc has it; the figure holds on noisy machines, where requests a second do not.
set -euo pipefail

rounds=${1:-5}
seconds=${2:-5}
connections=32
here=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

for program in nginx wrk curl; do
    command -v "$program" >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$program" >/dev/null; }
done
(cd "$here" && cargo build --profile dist --locked --bin postern)

backend=19001 nginx_port=19002
nginx_conf() { # NAME HTTP-BLOCK
    cat >"$work/$1.conf" <<CONF
worker_processes 1; daemon off; pid $work/$1.pid; error_log $work/$1.err;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; client_body_temp_path $work/$1-b; proxy_temp_path $work/$1-p;
  fastcgi_temp_path $work/$1-f; uwsgi_temp_path $work/$1-u; scgi_temp_path $work/$1-s; $2 }
CONF
    nginx -c "$work/$1.conf" -p "$work" & pids+=($!)
}

nginx_conf backend "server { listen 127.0.0.1:$backend backlog=4096; location / { default_type application/json; return 200 '[{\"id\":\"development\"}]'; } }"

# A thousand keys for nginx; Postern gets a thousand tokens through its API.
{ for n in $(seq 999); do echo "\"Bearer key-$n-$(head -c 12 /dev/urandom | base64 | tr -dc 'A-Za-z0-9')\" 1;"; done; echo '"Bearer nginx-key" 1;'; } >"$work/keys"
nginx_conf front "map_hash_max_size 4096; map_hash_bucket_size 256; map \$http_authorization \$known { default 0; include $work/keys; }
  upstream backend { server 127.0.0.1:$backend; keepalive 64; keepalive_requests 100000000; }
  server { listen 127.0.0.1:$nginx_port backlog=4096; location / { if (\$known = 0) { return 401; }
    proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Authorization 'Bearer upstream'; proxy_pass http://backend; } }"

echo upstream >"$work/credential"
start_postern() { # NAME FLAGS...
    local name=$1; shift
    mkdir -p "$work/$name"
    "$target/dist/postern" serve --upstream "http://127.0.0.1:$backend" --upstream-token-file "$work/credential" --org bench \
        --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --console-listen "" --workers 1 --data "$work/$name" "$@" 2>"$work/$name.log" & pids+=($!)
    eval "${name}_pid=$!"
    until grep -q '"message":"listening"' "$work/$name.log"; do sleep 0.1; done
    eval "${name}_url=http://$(sed -n 's/.*"listening","requests":"\([^"]*\)".*/\1/p' "$work/$name.log")"
    local url admin id
    eval "url=\$${name}_url"
    admin=$(cat "$work/$name/bootstrap-token")
    until curl -sf -o /dev/null "$url/orgs" -H "Authorization: Bearer $admin"; do sleep 0.1; done
    id=$(curl -sS "$url/orgs/bench/users" -H "Authorization: Bearer $admin" -d '{"name":"bench","role":"member"}' -H 'Content-Type: application/json' | sed 's/.*"id":"\([^"]*\)".*/\1/')
    for n in $(seq 1000); do
        printf 'next\nurl = "%s/users/%s/tokens"\nheader = "Authorization: Bearer %s"\nheader = "Content-Type: application/json"\ndata = "{\\"id\\":\\"t%s\\",\\"type\\":\\"static\\"}"\n' "$url" "$id" "$admin" "$n"
    done | tail -n +2 | curl -sS -K - >"$work/$name.tokens"
    eval "${name}_token=\$(grep -o 'pstn_[0-9A-Za-z]*' '$work/$name.tokens' | sed -n 500p)"
}
start_postern remembered --access-log /dev/null
start_postern fresh --access-log /dev/null --remember-verdicts false
start_postern quiet --access-log off

ticks=$(getconf CLK_TCK)
cpu() { awk '{print $14 + $15}' "/proc/$1/stat"; }
measure() { # NAME PID URL TOKEN
    local before after requests
    before=$(cpu "$2")
    requests=$(wrk -t1 -c$connections -d"${seconds}s" -H "Authorization: Bearer $4" "$3/orgs/bench/env-types" |
        awk '/requests in/ {print $1} /Non-2xx/ {print "failed" > "/dev/stderr"; exit 1}')
    after=$(cpu "$2")
    awk -v name="$1" -v ticks=$((after - before)) -v hz="$ticks" -v n="$requests" -v s="$seconds" \
        'BEGIN {printf "%s %.2f %d\n", name, ticks * 1e6 / hz / n, n / s}' | tee -a "$work/results"
}
front_pid=$(pgrep -P "$(cat "$work/front.pid")")
for url in "http://127.0.0.1:$nginx_port nginx-key" "$remembered_url $remembered_token" "$fresh_url $fresh_token" "$quiet_url $quiet_token"; do
    set -- $url
    wrk -t1 -c$connections -d1s -H "Authorization: Bearer $2" "$1/orgs/bench/env-types" >/dev/null
done
for _ in $(seq "$rounds"); do
    measure nginx "$front_pid" "http://127.0.0.1:$nginx_port" nginx-key
    measure postern-remembered "$remembered_pid" "$remembered_url" "$remembered_token"
    measure postern-fresh "$fresh_pid" "$fresh_url" "$fresh_token"
    measure postern-remembered-no-log "$quiet_pid" "$quiet_url" "$quiet_token"
done
echo
echo "CPU µs per request, $connections connections, $rounds rounds of $seconds s ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) processors)"
printf '%-28s %8s %8s %8s %8s %12s\n' '' min median max '/nginx' 'requests/s'
for name in nginx postern-remembered postern-fresh postern-remembered-no-log; do
    base=$(awk '$1 == "nginx" {print $2}' "$work/results" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}')
    awk -v n="$name" '$1 == n {print $2, $3}' "$work/results" | sort -n |
        awk -v n="$name" -v base="$base" '{v[NR] = $1; r[NR] = $2} END {m = int((NR + 1) / 2); printf "%-28s %8.2f %8.2f %8.2f %8.2f %12d\n", n, v[1], v[m], v[NR], v[m] / base, r[m]}'
done
