"""A component on disk: `model.safetensors` beside `config.json`, nothing pickled.

`config.json` is the model card. It holds how to build the component again (class and arguments), the
hash of the weights it belongs to, and whatever the training knew: sampling rate, unit, sensor
kinds, preprocessing, data fingerprints, seed, licence, versions.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import torch

from brainfm.contracts import Component
from brainfm.disk import write_whole
from brainfm.errors import UsageError

FORMAT = 1
WEIGHTS, CARD = "model.safetensors", "config.json"


def describe(component: Component) -> dict[str, Any]:
    """Return how to build ``component`` again: its class and the arguments of its constructor.

    Raises
    ------
    UsageError
        If the constructor does not keep an argument under the argument's own name.
    """
    kind = component.saved_as or type(component)
    arguments = {}
    own = kind.__init__ is not torch.nn.Module.__init__
    parameters = inspect.signature(kind.__init__).parameters
    for name in list(parameters)[1:] if own else ():
        if not hasattr(component, name):
            raise UsageError(
                f"{kind.__name__} does not keep its argument {name!r} as an attribute of that name; "
                f"add `self.{name} = {name}` to its constructor so that it can be saved."
            )
        value = parameters[name].default if name in kind.local else getattr(component, name)
        arguments[name] = _plain(value)
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments}


def _plain(value: Any) -> Any:
    if isinstance(value, Component):
        return describe(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def build(spec: dict[str, Any]) -> Component:
    """Build the component that `describe` wrote down, with fresh weights.

    Only subclasses of `Component` are ever called, whatever the file names.
    """
    kind = _component_class(spec["class_path"])
    given = {k: v for k, v in spec["init_args"].items() if k not in kind.local}
    arguments = {k: v if k in kind.plain else _built(v) for k, v in given.items()}
    try:
        return kind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"This brainfm's {kind.__name__} does not take the arguments of the checkpoint ({error}); "
            "load it with the version named in its config.json."
        ) from error


def _built(value: Any) -> Any:
    if isinstance(value, dict):
        if "class_path" in value:
            return build(value)
        return {k: _built(v) for k, v in value.items()}
    return [_built(v) for v in value] if isinstance(value, list) else value


def _component_class(class_path: str) -> type[Component]:
    module, _, name = class_path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"The checkpoint names the class {class_path!r}, which cannot be imported here; "
            "install the package that defines it."
        ) from error
    if not (inspect.isclass(kind) and issubclass(kind, Component)):
        raise UsageError(f"{class_path!r} is no brainfm component, so the checkpoint is refused.")
    return kind


def count_parameters(component: torch.nn.Module) -> int:
    """Count what training changes: parameters that take a gradient, and codebooks learned by EMA."""
    learned = sum(p.numel() for p in component.parameters() if p.requires_grad)
    frozen = {
        inner for m in component.modules() if getattr(m, "frozen", False) for inner in m.modules()
    }
    books = [getattr(m, "ema_codebook", None) for m in component.modules() if m not in frozen]
    return learned + sum(book.numel() for book in books if book is not None)


def save(component: Component, folder: Path, card: dict[str, Any]) -> None:
    """Write ``component`` and its card into ``folder``, the card last: it vouches for both."""
    from safetensors.torch import save as serialise

    tensors = {k: v.detach().cpu().contiguous() for k, v in component.state_dict().items()}
    data = serialise(tensors)
    own = {
        "format": FORMAT,
        "architecture": describe(component),
        "weights_sha256": hashlib.sha256(data).hexdigest(),
    }
    text = json.dumps(card | own, indent=2, sort_keys=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS, data)
    write_whole(folder / CARD, text.encode())


def load_card(folder: Path | str) -> dict[str, Any]:
    """Read the card of a run folder or of its ``model/`` folder."""
    path = _model_folder(folder) / CARD
    try:
        card = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} is no readable model card ({error}); train the model again."
        ) from error
    found = card.get("format") if isinstance(card, dict) else None
    if found != FORMAT:
        raise UsageError(
            f"{path} has format {found!r} and this brainfm reads {FORMAT}; "
            "load it with the version that wrote it."
        )
    if missing := sorted({"architecture", "weights_sha256"} - card.keys()):
        raise UsageError(f"{path} says nothing of {missing}; copy the folder again.")
    return card


def load(folder: Path | str) -> tuple[Component, dict[str, Any]]:
    """Read a component and its card, checking that the weights are the card's own.

    Raises
    ------
    UsageError
        If there is no model, or weights and card do not belong together.
    """
    from safetensors.torch import load as deserialise

    card = load_card(folder)
    data = (_model_folder(folder) / WEIGHTS).read_bytes()
    if hashlib.sha256(data).hexdigest() != card["weights_sha256"]:
        raise UsageError(
            f"The weights in {folder} are not those of its config.json: the file is damaged or "
            "was replaced; copy the folder again."
        )
    component = build(card["architecture"])
    try:
        component.load_state_dict(deserialise(data))
    except RuntimeError as error:
        raise UsageError(
            f"The weights in {folder} are not those of this brainfm's {type(component).__name__}; "
            "load it with the version named in its config.json."
        ) from error
    return component.eval(), card


def _model_folder(folder: Path | str) -> Path:
    folder = Path(folder)
    for candidate in (folder / "model", folder):
        if (candidate / CARD).is_file() and (candidate / WEIGHTS).is_file():
            return candidate
    raise UsageError(
        f"{folder} holds no model ({CARD} beside {WEIGHTS}); give the folder that "
        "`brainfm pretrain` or `brainfm finetune` left behind."
    )
