#!/usr/bin/env bash
# From raw recordings to an honest table: the whole of brainfm, top to bottom, on the sample in this repository.
# Interrupted, it goes on where it stopped; `rm -r runs/quickstart` begins anew.
set -euo pipefail
cd "$(dirname "$0")/.."
run=runs/quickstart

brainfm ingest sample/eegmat --recipe eegmat --store $run/store.zarr
brainfm verify $run/store.zarr
brainfm pretrain --config configs/runs/quickstart-tokenizer.yaml
brainfm tokenize $run/store.zarr --checkpoint $run/tokenizer --tokens $run/tokens.zarr
brainfm pretrain --config configs/runs/quickstart-pretrain.yaml
brainfm finetune --config configs/runs/quickstart-finetune.yaml
brainfm evaluate --config configs/runs/quickstart-evaluate.yaml

echo "The report: $run/report.html"
