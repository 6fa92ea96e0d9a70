#!/usr/bin/env bash
# Bring raw recordings into a store with one job array: ingest.sh SOURCE STORE [OPTION…]
# Task 0 deals the files out and writes the table, the others read. Interrupted, the same call does what is missing.
# Needs `pip install 'brainfm[cluster]'` and a folder that all machines see. Options of sbatch may be given in
# SBATCH_PARTITION, SBATCH_ACCOUNT and the like, another number N of readers as SBATCH_ARRAY_INX=0-N.
#SBATCH --job-name=brainfm-ingest
#SBATCH --array=0-64
#SBATCH --output=brainfm-ingest-%A.out
#SBATCH --open-mode=append
#SBATCH --time=24:00:00
#SBATCH --cpus-per-task=1
#SBATCH --mem=4GB
#SBATCH --requeue
set -euo pipefail
source=${1:?ingest.sh SOURCE STORE [OPTION…]} store=${2:?ingest.sh SOURCE STORE [OPTION…]}
if [ -z "${SLURM_ARRAY_TASK_ID:-}" ]; then
  exec sbatch "$0" "$@"
fi
shift 2
meeting=$PWD/brainfm-ingest-$SLURM_ARRAY_JOB_ID.json # where the readers find task 0
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 DASK_LOGGING__DISTRIBUTED=warning

if [ "$SLURM_ARRAY_TASK_ID" != 0 ]; then
  # Again and again: task 0 may go back into the queue. What needs more memory costs a process, not the task.
  while true; do
    dask worker --scheduler-file "$meeting" --nthreads 1 --no-dashboard --death-timeout 30 \
      --local-directory "${TMPDIR:-/tmp}" --memory-limit "${SLURM_MEM_PER_NODE:-4096}MiB" || sleep 1
  done
fi

rm -f "$meeting"
dask scheduler --scheduler-file "$meeting" --port 0 --no-dashboard &
until [ -s "$meeting" ]; do
  kill -0 $! || exit 1
  sleep 0.1
done
code=0
address=$(sed -n 's/.*"address": "\([^"]*\)".*/\1/p' "$meeting")
brainfm ingest "$source" --store "$store" --cluster "$address" "$@" || code=$?
kill $!
rm -f "$meeting"
scancel "${SLURM_ARRAY_JOB_ID}_[1-$SLURM_ARRAY_TASK_MAX]" || true # some may have come to their time's end
exit "$code"
