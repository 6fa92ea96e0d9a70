"""Other ways to compute the blocks of a backbone: again in the backward pass, or compiled.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016, arXiv 1604.06174: of each block only
what goes in is kept, and the rest is computed again when its gradient is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from brainfm.contracts import Objective
from brainfm.errors import UsageError


def blocks_of(objective: Objective, option: str) -> Sequence[nn.Module]:
    """Return the blocks of a backbone.

    Raises
    ------
    UsageError
        If there are none, naming the option that needs them.
    """
    blocks = () if objective.backbone is None else objective.backbone.stages()
    if not blocks:
        raise UsageError(
            f"{option} works on the blocks of a backbone and {type(objective).__name__} has none here; "
            "leave it out."
        )
    return blocks


@contextmanager
def recomputed(
    objective: Objective, around: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Generator[None]:
    """Keep only what goes into each block; the numbers are the same to the bit, dropout included.

    Parameters
    ----------
    objective
        whose backbone's blocks are meant.
    around
        makes a context in which a block is computed for the second time.
    """
    blocks = blocks_of(objective, "train.recompute")
    for block in blocks:
        # On the instance, so that names in the state dict stay.
        block.forward = partial(
            checkpoint,
            block.forward,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), around()),
        )
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


@contextmanager
def compiled(objective: Objective) -> Generator[None]:
    """Let PyTorch compile each block when it is first computed.

    Modules whose ``compiles`` is False stay as they are, and what is around them is compiled.

    Raises
    ------
    UsageError
        If this machine has no compiler: nothing falls back in silence.
    """
    blocks = blocks_of(objective, "train.compile")
    _check_compiler()
    apart = [m for b in blocks for m in b.modules() if not getattr(m, "compiles", True)]
    for module in apart:
        module.forward = torch.compiler.disable(module.forward)
    for block in blocks:
        block.compile()
    try:
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None
        for module in apart:
            del module.forward


def _check_compiler() -> None:
    if torch.cuda.is_available():
        return  # Triton brings its own
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise UsageError(
            "train.compile needs a C++ compiler and this machine has none; install g++ or leave it out."
        ) from error
