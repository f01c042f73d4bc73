#!/usr/bin/env bash
# Runs a command beside a Ray head node of its own, on loopback, and stops that node and no other afterwards:
#
#     tests/end_to_end/with_head_node.sh \
#         ray job submit --working-dir . -- python -m ndabench.sweep sweeps/quickstart.yaml --out "$PWD/reports/job"
#
# Needs ndabench with Ray's dashboard on the PATH (pip install '.[cluster]'). The ports are not Ray's usual ones,
# which may be in use.
set -euo pipefail
: "${RAY_PORT:=6390}" "${RAY_DASHBOARD_PORT:=8275}" "${RAY_CLIENT_PORT:=20011}"
folder=$(mktemp -d /tmp/ndabench-ray-XXXX)   # short, because sockets lie in it

# Only this user's processes may join. And without the last variable Ray takes 127.0.0.1 for this machine's
# address in its network, and listens everywhere.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$folder/token" RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
(umask 077; python -c 'import secrets; print(secrets.token_hex(32))' >"$RAY_AUTH_TOKEN_PATH")

# With --block the node lives as long as this process, which takes the node's other processes down with it.
ray start --head --block --node-ip-address=127.0.0.1 --port="$RAY_PORT" --ray-client-server-port="$RAY_CLIENT_PORT" \
    --dashboard-host=127.0.0.1 --dashboard-port="$RAY_DASHBOARD_PORT" --dashboard-agent-listen-port=0 \
    --temp-dir="$folder" --disable-usage-stats >"$folder/node.log" 2>&1 &
node=$!
stop_node() {
    kill "$node" 2>/dev/null && wait "$node" || true
    for _ in {1..50}; do   # processes of the node may still write in it while they end
        rm -rf "$folder" 2>/dev/null && return
        sleep 0.2
    done
    echo "$folder could not be removed" >&2
}
trap stop_node EXIT

until (exec 3<>"/dev/tcp/127.0.0.1/$RAY_DASHBOARD_PORT") 2>/dev/null; do
    kill -0 "$node" 2>/dev/null || { cat "$folder/node.log" >&2; exit 1; }
    sleep 0.5
done
export RAY_API_SERVER_ADDRESS="http://127.0.0.1:$RAY_DASHBOARD_PORT"   # where `ray job` finds it
"$@"
