"""Build EEG/MEG foundation models and find out honestly whether they work."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brainfm import baselines
    from brainfm.learning import Finetuned, FinetunedRegressor
    from brainfm.store.read import open_store
    from brainfm.weights import load

__version__ = "0.1.0"
__all__ = ["Finetuned", "FinetunedRegressor", "baselines", "load", "open_store"]

# Imported when first used, so that `import brainfm` waits for neither PyTorch nor zarr.
_PLACES = {
    "Finetuned": "brainfm.learning",
    "FinetunedRegressor": "brainfm.learning",
    "load": "brainfm.weights",
    "open_store": "brainfm.store.read",
}


def __getattr__(name: str) -> Any:
    if name == "baselines":
        return import_module("brainfm.baselines")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'brainfm' has no attribute {name!r}; it has {', '.join(__all__)}")
