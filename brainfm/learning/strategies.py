"""How several processes hold one model: each of them whole (DDP), or each a share of it (FSDP2).

Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", VLDB 2023, in its second
form, ``torch.distributed.fsdp.fully_shard``. Checkpoints are alike: a training that is shared out writes
what one process would write, so that it may go on with any number of processes, shared out or not.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, ParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map_only

from brainfm.contracts import Backbone, Objective
from brainfm.layers.mamba import mixers
from brainfm.learning.processes import Launch, gather
from brainfm.learning.train import Train

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def choose_strategy(train: Train, launch: Launch) -> ParallelStrategy | str:
    """Return how the processes of a training hold its model."""
    size = launch.devices * launch.nodes
    if size == 1:
        return "auto"
    if train.strategy == "fsdp":
        return Sharded(size, 1, save_distributed_checkpoint=False)
    # Buffers that are broadcast would undo what ranks validate by themselves, and hang.
    return Replicated(broadcast_buffers=False)


class Agreeing(ParallelStrategy):
    """Lets all processes fail where the one that writes a checkpoint cannot."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None
    ) -> None:
        """Write on the first process and tell the others."""
        failure = None
        try:
            super().save_checkpoint(checkpoint, filepath, storage_options)
        except OSError as error:
            failure = error
        for told in gather(failure):
            if told is not None:
                raise told


class Replicated(Agreeing, DDPStrategy):
    """Every process holds the whole model, and gradients are averaged."""


class Sharded(Agreeing, ModelParallelStrategy):
    """Every process holds a share of weights, gradients and the optimiser's state."""

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Let Lightning hand over what a checkpoint holds of the optimiser."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the whole weights, on the first process."""
        assert self.lightning_module is not None
        return self._first(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Return the whole state of an optimiser, on the first process."""
        plain = optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        return self._first(plain.state_dict())

    def _first(self, state: dict[str, Any]) -> dict[str, Any]:
        def keep(share: DTensor) -> Tensor | None:
            one = share.full_tensor()
            return one.cpu() if self.is_global_zero else None

        kept = tree_map_only(DTensor, keep, dict(state))
        return kept if self.is_global_zero else {}

    def load_checkpoint(
        self, checkpoint_path: Any, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint of any number of processes."""
        return ParallelStrategy.load_checkpoint(self, checkpoint_path, weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Take this process's share of the weights."""
        assert self.lightning_module is not None
        load_whole(self.lightning_module, checkpoint["state_dict"])

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take this process's share of the optimiser's state."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            # Checkpoints number the parameters, in the order of the groups.
            numbers = chain.from_iterable(group["params"] for group in state["param_groups"])
            parameters = chain.from_iterable(group["params"] for group in optimizer.param_groups)
            of = dict(zip(numbers, parameters, strict=True))
            shares = {n: _like(of[n], one) for n, one in state["state"].items()}
            optimizer.load_state_dict(state | {"state": shares})


def _like(parameter: Tensor, state: dict[str, Any]) -> dict[str, Any]:
    """Return an optimiser's state of a parameter, shared out as that is."""
    return {
        name: _share(value, parameter)
        if isinstance(value, Tensor) and value.shape == parameter.shape
        else value
        for name, value in state.items()
    }


def _share(value: Tensor, like: Tensor) -> Tensor:
    """Return this process's share of what every process has whole."""
    if not isinstance(like, DTensor):
        return value
    whole = value.to(like.device, like.dtype)
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Share a model out, in place: block by block, so that no process ever holds all blocks whole.

    Parameters
    ----------
    module
        the model; of every backbone in it each block is shared out by itself.
    mesh
        the processes.
    """
    backbones = [part for part in module.modules() if isinstance(part, Backbone)]
    for block in chain.from_iterable(backbone.stages() for backbone in backbones):
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)
    register_fsdp_forward_method(module, "observe")


@contextmanager
def gradients_meet(objective: Objective, model: Any, now: bool) -> Generator[None]:
    """Exchange gradients with the other processes only after the last part of a step.

    Parameters
    ----------
    objective
        what is trained; shared out, it exchanges them itself.
    model
        the trainer's, which exchanges them where every process holds the whole.
    now
        whether the part is the last.
    """
    if isinstance(objective, FSDPModule):
        objective.set_requires_gradient_sync(now)
    if now or not isinstance(model, DistributedDataParallel):
        yield
    else:
        with model.no_sync():
            yield


def whole(value: Tensor) -> Tensor:
    """Return a tensor as one, where processes share it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's weights, each as one, on every process."""
    return {name: whole(value).detach().clone() for name, value in module.state_dict().items()}


def load_whole(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Take whole weights into a model that may be shared out."""
    own = module.state_dict()
    module.load_state_dict({k: _share(v, own[k]) if k in own else v for k, v in state.items()})


@contextmanager
def kept_whole(objective: Objective, train: Train) -> Generator[Objective]:
    """Give what is to be trained, and let ``objective`` take its weights when it has been.

    What has been shared out cannot be put together again, so a copy is.
    """
    if train.strategy != "fsdp":
        yield objective
        return
    trained = deepcopy(objective)
    yield trained
    objective.load_state_dict(whole_state(trained))
    for mixer, one in zip(mixers(objective), mixers(trained), strict=True):
        mixer.kernels = one.kernels
