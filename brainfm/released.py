"""Weights that others have released, under our names.

FEMBA's (Tegon et al., 2025; CC BY-ND 4.0) and TFM-Tokenizer's (Pradeepkumar et al., ICLR 2026; MIT), by the
names in their published code. Each function takes a released state dict and returns ours, tensor for tensor;
`take` loads it and refuses whatever does not match. Nothing is unpickled beyond plain tensors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from brainfm.errors import UsageError

UNREADABLE = (OSError, EOFError, ValueError, LookupError, RuntimeError, UnpicklingError)

State = Mapping[str, Tensor]
Rule = tuple[str, str, Callable[[Tensor], Tensor] | None]

ATTENTION: tuple[Rule, ...] = tuple(
    (rf"layers\.layers\.(\d+)\.{theirs}\.", rf"blocks.\1.{ours}.", None)
    for theirs, ours in (
        (r"0\.norm", "norm1"),
        (r"0\.fn\.to_q", "attention.query"),
        (r"0\.fn\.to_k", "attention.key"),
        (r"0\.fn\.to_v", "attention.value"),
        (r"0\.fn\.to_out", "attention.out"),
        (r"1\.norm", "norm2"),
        (r"1\.fn\.w1", "feed.0"),
        (r"1\.fn\.w2", "feed.2"),
    )
)  # of linear-attention-transformer 0.19.1


def read_released(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, or a torch file as far as it holds tensors and plain values.

    Raises
    ------
    UsageError
        If it is neither, or would have to be unpickled.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (*UNREADABLE, SafetensorError) as error:
        raise UsageError(
            f"{path} holds no weights that can be read without running code in it "
            f"({type(error).__name__}); convert it to safetensors."
        ) from error
    found = found.get("state_dict", found) if isinstance(found, dict) else {}
    return {k: v for k, v in found.items() if isinstance(v, Tensor)}


def femba(state: State) -> dict[str, Tensor]:
    """Return FEMBA's weights for `MaskedRectangles`, or with a classifier for `Classification`.

    The released decoder smooths over (token, feature) and ours over (feature, token), so its kernel is
    turned.
    """
    rules: tuple[Rule, ...] = (
        (r"^model\.", "", None),
        (r"^patch_embed\.proj\.", "tokenizer.embed.", None),
        (r"^pos_embed$", "tokenizer.position", None),
        (r"^mamba_blocks\.(\d+)\.mamba_fwd\.", r"backbone.blocks.\1.forwards.", None),
        (r"^mamba_blocks\.(\d+)\.mamba_rev\.", r"backbone.blocks.\1.backwards.", None),
        (r"^norm_layers\.(\d+)\.", r"backbone.blocks.\1.norm.", None),
        (r"^decoder\.dec_conv\.", "decoder.smooth.", lambda x: x.transpose(-1, -2)),
        (r"^decoder\.conv_transpose\.", "decoder.draw.", None),
        (r"^classifier\.fc1\.", "head.project.", None),
        (r"^classifier\.mamba_1\.", "head.mamba.", None),
        (r"^classifier\.fc3\.", "head.linear.", None),
    )
    return _renamed(state, rules)


def tfm_tokenizer(state: State) -> dict[str, Tensor]:
    """Return TFM-Tokenizer's weights for `MotifTokenizer`."""
    one = Tensor.unsqueeze
    rules: tuple[Rule, ...] = (
        (r"^decoder\.", "readout.", None),
        (r"^freq_patch_embedding\.", "spectral.embed.", None),
        (r"^freq_patch_embedding_2_atten\.0\.", "spectral.gate.", None),
        (r"^freq_patch_embedding_2\.0\.", "spectral.gather.", None),
        (r"^temporal_patch_embedding\.", "temporal.", None),
        (r"^trans_freq_encoder\.transformer\.", "spectral.transformer.", None),
        (r"^trans_temporal_encoder\.transformer\.", "fusion.", None),
        (r"^trans_decoder\.transformer\.", "decoder.", None),
        *ATTENTION,
        (r"^quantizer\.embedding\.weight$", f"{BOOK}.embed", lambda x: one(x, 0)),
        (r"^quantizer\.ema_w$", f"{BOOK}.embed_avg", lambda x: one(x, 0)),
        (r"^quantizer\.cluster_size$", f"{BOOK}.cluster_size", lambda x: one(x, 0)),
    )
    return _renamed(state, rules) | {f"{BOOK}.initted": torch.tensor(True)}


BOOK = "quantizer.vq._codebook"


def tfm_encoder(state: State) -> dict[str, Tensor]:
    """Return the weights of TFM's encoder for `MotifEncoder`; its own head is left out.

    Its table of sines is no weight and is left out too.
    """
    rules: tuple[Rule, ...] = (
        (r"^eeg_token_embedding\.", "code.", None),
        (r"^channel_embed\.", "channel.", None),
        (r"^index$", "row", None),
        (r"^cls_token$", "cls", Tensor.flatten),
        (r"^LAT\.", "transformer.", None),
        *ATTENTION,
    )
    own = {
        k: v
        for k, v in state.items()
        if not k.startswith(("temporal_pos_embed.", "classification_head."))
    }
    return _renamed(own, rules)


def _renamed(state: State, rules: tuple[Rule, ...]) -> dict[str, Tensor]:
    """Apply every rule that matches, in their order, to names and tensors."""
    made = {}
    for name, tensor in state.items():
        for pattern, replacement, change in rules:
            name, count = re.subn(pattern, replacement, name)
            if count and change is not None:
                tensor = change(tensor)
        made[name] = tensor.contiguous()
    return made


def take(component: nn.Module, state: State) -> None:
    """Load weights that must match in every name and shape.

    Raises
    ------
    UsageError
        With what is missing, too much, or of another shape; the component stays as it was.
    """
    own = component.state_dict()
    shapes = [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
    found = {
        "missing": sorted(own.keys() - state.keys()),
        "unknown": sorted(state.keys() - own.keys()),
        "of another shape": sorted(shapes),
    }
    if any(found.values()):
        said = "; ".join(f"{len(v)} {k}, such as {v[0]}" for k, v in found.items() if v)
        raise UsageError(
            f"The weights are not those of this {type(component).__name__}: {said}; build it at the size "
            "of the released one."
        )
    component.load_state_dict(dict(state))
