#!/usr/bin/env bash
# benchmarks/gpu/run.sh MINUTES OUT [--only NAME]... [--skip NAME]... [--rehearse]
#
# Proves correctness and measures speed on one card, on a machine that has Python, torch, torchvision,
# pyarrow, typer and rich, and no network. What else is needed lies in packed/, made by pack.sh. It ends within
# MINUTES and leaves OUT/results.jsonl, OUT/summary.txt and OUT/log.txt.
set -eu
began=$SECONDS
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
minutes=${1:?MINUTES} out=${2:?OUT}
shift 2
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
# A packed wheel is unpacked only where the machine has no such module: its own is newer or fits better.
while read -r module wheel; do
  python3 -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$module') is None)" 2>/dev/null ||
    for file in "$here"/packed/wheels/"$wheel"-*.whl; do
      if [ -e "$file" ]; then python3 -m zipfile -e "$file" "$site"
      else echo "run.sh: $module is neither installed nor packed; run benchmarks/gpu/pack.sh first" >&2; exit 2
      fi
    done
done <<WHEELS
pydantic pydantic
pydantic_core pydantic_core
typing_extensions typing_extensions
typing_inspection typing_inspection
annotated_types annotated_types
yaml pyyaml
torch_fidelity torch_fidelity
WHEELS
if [ -f "$here/packed/COMMIT" ]; then NDABENCH_GPU_COMMIT=$(cat "$here/packed/COMMIT"); export NDABENCH_GPU_COMMIT; fi
export PYTHONPATH="$root:$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
export NDABENCH_CACHE="${NDABENCH_CACHE:-$site/cache}"
export CUBLAS_WORKSPACE_CONFIG=:4096:8 # for the deterministic runs
cd "$root"
export NDABENCH_GPU_STARTED_AGO=$((SECONDS - began))
# The last resort, should the script itself hang.
timeout --kill-after=5 "$(python3 -c "print(60 * $minutes + 10)")" \
  python3 -m benchmarks.gpu "$minutes" "$out" "$@"
