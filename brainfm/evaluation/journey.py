"""The folders that a whole journey leaves behind, from raw recordings to a table of results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Journey:
    """Where the stages before an evaluation left their results; None for a stage without one.

    The report reads them and nothing else: what is not there, the page says is not there.

    Attributes
    ----------
    store
        the recordings, as ``brainfm ingest`` leaves them.
    tokenizer
        run folder of the tokenizer's training.
    tokens
        token store, as ``brainfm tokenize`` leaves it.
    pretrain
        run folder of the backbone's pretraining.
    finetune
        run folder of the fine-tuning.
    """

    store: Path | None = None
    tokenizer: Path | None = None
    tokens: Path | None = None
    pretrain: Path | None = None
    finetune: Path | None = None
