#!/usr/bin/env bash
# Each family of foundation models, pretrained for some minutes on a laptop's worth of EEG, and what a linear probe
# finds in it before and after, beside Riemannian pipelines. The result stands in docs/log.md.
#
#   pipelines/families.sh DATA
#
# DATA holds the folders eegmat_arithmetic, eegmmidb, kalunga2016_ssvep and eeghdf_clinical. About an hour on two cores.
# Interrupted, it goes on where it stopped; `rm -r runs/families` begins anew.
set -euo pipefail
data=$(realpath "${1:?give the folder that holds the recordings}")
cd "$(dirname "$0")/.."
run=runs/families

brainfm ingest "$data/eegmat_arithmetic" --recipe eegmat --store $run/store.zarr
brainfm ingest "$data/eegmmidb" --recipe eegmmidb --store $run/store.zarr
brainfm ingest "$data/kalunga2016_ssvep" --recipe kalunga2016 --store $run/store.zarr
brainfm ingest "$data/eeghdf_clinical" --recipe eeghdf --store $run/store.zarr

# As in the quickstart no test subject may have been seen: each half is pretrained on without the other's subjects.
first='["00", "01", "02", "03", "001", "002", "003", "004", "005", "088"]'
second='["04", "05", "06", "07", "006", "007", "008", "009", "010"]'
for half in a b; do
  [ $half = a ] && unseen=$second || unseen=$first
  pretrain() { brainfm pretrain --config "families-$1" --data.exclude_subjects "$unseen" --out "$run/$half/$2" "${@:3}"; }
  pretrain motif-tokenizer tokenizer
  pretrain tfm-pretrain tfm --tokenizer $run/$half/tokenizer
  for family in patches eegdm femba; do
    pretrain $family-pretrain $family
  done
done
for task in eegmat eegmat-montage imagery imagery-montage; do
  brainfm evaluate --config families-$task-evaluate
done
echo "The reports: $run/{eegmat,imagery}{,-montage}/report.html"
