#!/usr/bin/env bash
# A sweep on nodes of Slurm, which all see this folder and the virtual environment (NDABENCH_VENV, here .venv):
#
#     sbatch --nodes 4 --gpus-per-node 2 docs/cluster/slurm.sh sweeps/cifar10_local.yaml --out /shared/reports/cifar10
#
# What follows the script's name goes to `ndabench sweep`. Submitted again, or requeued, it resumes.
#SBATCH --job-name=ndabench
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
# shellcheck source=/dev/null
source "${NDABENCH_VENV:-.venv}/bin/activate"

RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))') # else whoever reaches Ray runs code as you
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token
ip=${HEAD_IP:-$(hostname --all-ip-addresses | cut -d ' ' -f 1)} # of the first node, on which this script runs
node=(--block --temp-dir "/tmp/ray-$SLURM_JOB_ID" --disable-usage-stats)

ray start --head --node-ip-address "$ip" --port 6379 --include-dashboard false "${node[@]}" &
head=$!
trap 'kill $(jobs -p) && wait' EXIT # and with them all processes of these nodes
until (exec 3<>"/dev/tcp/$ip/6379") 2>/dev/null; do
    kill -0 "$head"
    sleep 1
done
if ((SLURM_JOB_NUM_NODES > 1)); then
    others=$((SLURM_JOB_NUM_NODES - 1))
    srun --relative 1 --nodes "$others" --ntasks "$others" --cpu-bind none ray start --address "$ip:6379" "${node[@]}" &
fi
for _ in {1..60}; do # some minutes for all to join; then the sweep takes what is there
    (($(ray status --address "$ip:6379" 2>/dev/null | grep -c node_) < SLURM_JOB_NUM_NODES)) || break
    sleep 2
done
python -m ndabench.sweep "$@" --address "$ip:6379" --resume
