#!/usr/bin/env bash
# Bring raw recordings into a store with workers that are SLURM jobs: ingest.sh SOURCE STORE [OPTION…]
# This machine deals the files out and writes the table; call it in a session that lives as long, for instance
# under tmux on a login node. Interrupted, the same call does what is missing. Needs `pip install 'brainfm[cluster]'`.
set -euo pipefail
source=$1 store=$2
shift 2
exec brainfm ingest "$source" --store "$store" \
  --slurm.partition cpu --slurm.workers 64 --slurm.time 04:00:00 --slurm.memory 4GB "$@"
