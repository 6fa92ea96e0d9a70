"""What a fit is told besides windows and labels: the validation subjects, and whose the windows are."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np


def fit_validated(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    validation: tuple[Any, np.ndarray] | None,
    groups: np.ndarray | None = None,
) -> Any:
    """Fit, handing over what ``fit`` has an argument for: ``validation`` windows, the windows' ``groups``.

    Groups are the training windows' subjects, for estimators that leave windows out to choose by.
    """
    asked = inspect.signature(estimator.fit).parameters
    given = {"validation": validation, "groups": groups}
    known = {name: value for name, value in given.items() if value is not None and name in asked}
    return estimator.fit(X, y, **known)
