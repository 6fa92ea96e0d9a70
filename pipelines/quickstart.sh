#!/usr/bin/env bash
# From raw recordings to an honest table: the whole of brainfm, top to bottom, on the sample in this repository.
# Interrupted, it goes on where it stopped; `rm -r runs/quickstart` begins anew.
set -euo pipefail
cd "$(dirname "$0")/.."
run=runs/quickstart

brainfm ingest sample/eegmat --recipe eegmat --store $run/store.zarr
brainfm verify $run/store.zarr
# The recordings of a test subject may not have been seen in pretraining, not even without labels. So there are
# two models, each pretrained on one half of the subjects and tested on the other.
brainfm pretrain --config configs/runs/quickstart-tokenizer.yaml
brainfm pretrain --config configs/runs/quickstart-pretrain.yaml
first_half='["00", "01", "02", "03"]'
brainfm pretrain --config configs/runs/quickstart-tokenizer.yaml \
  --data.exclude_subjects "$first_half" --out $run/tokenizer-b
brainfm pretrain --config configs/runs/quickstart-pretrain.yaml --tokenizer $run/tokenizer-b \
  --data.exclude_subjects "$first_half" --out $run/pretrain-b

brainfm tokenize $run/store.zarr --checkpoint $run/tokenizer --tokens $run/tokens.zarr
brainfm finetune --config configs/runs/quickstart-finetune.yaml
brainfm evaluate --config configs/runs/quickstart-evaluate.yaml

echo "The report: $run/report.html"
