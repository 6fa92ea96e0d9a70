"""Which checkpoint a fine-tuning starts from: one that has not seen whom it will be tested on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brainfm.contracts import Backbone, Tokenizer
from brainfm.errors import UsageError
from brainfm.weights import load, load_card


def choose_checkpoint(
    candidates: Path | str | Sequence[Path | str], test_subjects: Sequence[str]
) -> Path:
    """Return the one checkpoint, or the first that has seen none of the test subjects.

    Raises
    ------
    UsageError
        If there are several and each has seen some.
    """
    if isinstance(candidates, str | Path):
        return Path(candidates)
    for candidate in map(Path, candidates):
        if not set(test_subjects) & set(load_card(candidate)["data"]["subjects"]):
            return candidate
    raise UsageError(
        f"Each of the checkpoints {[str(c) for c in candidates]} has seen some of the test "
        f"subjects {list(test_subjects)} in pretraining; add one that has not."
    )


def load_pretrained(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return a model that has a tokenizer and a backbone, and its card.

    Raises
    ------
    UsageError
        If what the folder holds has no backbone, as a tokenizer alone.
    """
    model, card = load(folder)
    if not isinstance(getattr(model, "backbone", None), Backbone):
        raise UsageError(f"{folder} holds no backbone; give the folder of a pretrained model.")
    assert isinstance(model.tokenizer, Tokenizer)
    return model, card
