#!/usr/bin/env bash
# benchmarks/gpu/pack.sh [RELEASED]
#
# Packs what a bare machine lacks into benchmarks/gpu/packed, which git ignores: wheels for CPython 3.12 on
# Linux x86-64, the two CIFAR-10 Parquet files of $NDABENCH_DATA, the paper's code if its folder RELEASED is
# given, and the commit. Prints the size, and fails above 50 MiB.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
packed=$here/packed
most_kib=$((50 * 1024))
rm -rf "$packed"
mkdir -p "$packed/wheels"
fetch() {
  python3 -m pip download --quiet --only-binary=:all: --python-version 3.12 --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --dest "$packed/wheels" "$@"
}
fetch pydantic pyyaml
fetch --no-deps torch-fidelity
if [ -n "${NDABENCH_DATA:-}" ] && [ -d "$NDABENCH_DATA/cifar10" ]; then
  mkdir "$packed/cifar10"
  cp "$NDABENCH_DATA"/cifar10/*.parquet "$packed/cifar10/"
else
  echo "pack.sh: NDABENCH_DATA names no folder with cifar10: the trainings on it cannot run" >&2
fi
if [ -n "${1:-}" ]; then
  mkdir "$packed/released"
  cp "$1"/*.py "$packed/released/"
  if [ -d "$1/sync_batchnorm" ]; then cp -r "$1/sync_batchnorm" "$packed/released/"; fi
fi
git -C "$here" describe --always --dirty --abbrev=40 --exclude '*' >"$packed/COMMIT" || true
chmod -R u+w "$packed"
kib=$(du -sk "$packed" | cut -f1)
echo "packed $((kib / 1024)).$((kib % 1024 * 10 / 1024)) MiB into $packed"
if [ "$kib" -gt "$most_kib" ]; then
  echo "pack.sh: more than $((most_kib / 1024)) MiB" >&2
  exit 1
fi
