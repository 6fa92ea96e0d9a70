#!/usr/bin/env bash
# Pretrain on two nodes of four GPUs: pretrain.sh RUN.yaml [OPTION…]; with --dry-run the script is only printed.
# Before its time is over, or its machines are taken away, the job keeps its step and is queued again.
set -euo pipefail
config=$1
shift
exec brainfm pretrain --config "$config" --train.accelerator gpu \
  --slurm.partition gpu --slurm.time 24:00:00 \
  --slurm.nodes 2 --slurm.processes 4 --slurm.gpus 1 --slurm.cpus 8 --slurm.memory 256GB "$@"
