#!/usr/bin/env bash
# Evaluate each of several configurations in a task of one job array: evaluate.sh BENCH.yaml…
# Each names its own `out`. Options of sbatch may be given in SBATCH_PARTITION, SBATCH_ACCOUNT and the like.
#SBATCH --job-name=brainfm-evaluate
#SBATCH --time=12:00:00
#SBATCH --cpus-per-task=8
#SBATCH --mem=32GB
#SBATCH --requeue
set -euo pipefail
if [ -z "${SLURM_ARRAY_TASK_ID:-}" ]; then
  exec sbatch --array="0-$(($# - 1))" "$0" "$@"
fi
shift "$SLURM_ARRAY_TASK_ID"
exec brainfm evaluate --config "$1"
