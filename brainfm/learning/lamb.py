"""Adam whose step is as long as each weight matrix asks for, for very large batches.

You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", ICLR 2020, arXiv
1904.00962.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """LAMB: r = m̂ / (√v̂ + ε) + λw and w ← w − lr · ‖w‖ / ‖r‖ · r, each parameter by itself.

    Parameters
    ----------
    params
        parameters or groups of them.
    lr
        learning rate.
    betas
        decays of the averages m of the gradient and v of its square.
    eps
        ε.
    weight_decay
        λ.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ):
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take a step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(self._change(parameter, parameter.grad, group))
        return loss

    def _change(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> Tensor:
        state, (first, second) = self.state[parameter], group["betas"]
        if not state:
            state["step"] = torch.zeros(())
            state["m"], state["v"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        count = float(state["step"])
        m = state["m"].lerp_(grad, 1 - first)
        v = state["v"].lerp_(grad.square(), 1 - second)
        r = (m / (1 - first**count)) / ((v / (1 - second**count)).sqrt() + group["eps"])
        r = r + group["weight_decay"] * parameter
        lengths = parameter.norm(), r.norm()
        trust = torch.where(
            (lengths[0] > 0) & (lengths[1] > 0), lengths[0] / lengths[1], torch.ones(())
        )
        return group["lr"] * trust * r
