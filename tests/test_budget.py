"""How many settings every estimator may try in a fold, and how many it did, whatever it is wrapped in."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import SFREQ, planted
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeClassifierCV
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import all_estimators
from test_configs import CONFIGS, built
from test_finetuned import CARD, checkpoint
from test_finetuned import trials as rhythms

from brainfm import baselines
from brainfm.errors import UsageError
from brainfm.evaluation import ValidationSearch, ValidationThreshold
from brainfm.evaluation.protocol import run
from brainfm.evaluation.settings import planned_fits, tried_fits
from brainfm.evaluation.tuning import Budget
from brainfm.heads import AttentionPooling
from brainfm.learning import Finetuned, FinetunedRegressor, FrozenProbe, RidgeProbe
from brainfm.windows.fitting import fit_validated
from brainfm.windows.splits import SubjectFolds
from brainfm.windows.trials import Trials

CALL = {"folds": SubjectFolds(2, 0.3), "seeds": [0], "draws": 20}
HALVING = {"cv": 2, "min_resources": 20, "factor": 2, "random_state": 0}
STRENGTHS = [0.01, 0.1, 1.0, 10.0, 100.0]
LR = baselines.tangent_space_lr()
# What scikit-learn warns of where it is not said.
OF_TODAY: dict[str, Any] = {
    "l1_ratios": (0.0,), "scoring": "accuracy", "use_legacy_attributes": False, "max_iter": 5000,
}  # fmt: skip


@pytest.fixture(scope="module")
def trials() -> Trials:
    return planted()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("trained"))


def flat() -> FunctionTransformer:
    """Windows as rows of logarithms of power."""
    return FunctionTransformer(lambda X: np.log(X.var(axis=2)))


def augmented(**options: Any) -> baselines.AugmentedSearch:
    return baselines.AugmentedSearch([1, 2], [1, 2, 3], C=[1.0], kernels=["linear"], **options)


def grid(estimator: BaseEstimator, **values: list[Any]) -> GridSearchCV:
    return GridSearchCV(estimator, values, cv=2)


# What is counted: by name, the estimator and the number of settings that its fit chooses among.
COUNTED: dict[str, tuple[Callable[[], BaseEstimator], int]] = {
    "nothing": (baselines.mdm, 1),
    "a pipeline": (lambda: LR, 1),
    "a grid on validation subjects": (lambda: ValidationSearch(LR, {"lr__C": STRENGTHS}), 5),
    "a search of its own": (augmented, 6),
    "in a band": (lambda: baselines.InBand(augmented(), 8.0, 32.0), 6),
    "under a threshold": (lambda: ValidationThreshold(baselines.InBand(augmented(), 8.0, 32.0)), 6),
    "in a pipeline": (lambda: make_pipeline(FunctionTransformer(), augmented()), 6),
    "a grid over a search": (
        lambda: ValidationSearch(augmented(), {"estimator": ["oas", "scm"]}),
        12,
    ),
    "a grid over searches of different sizes": (
        lambda: ValidationSearch(augmented(), {"lags": [[1], [1, 2]]}),
        2 + 4,
    ),
    "scikit-learn's grid": (
        lambda: make_pipeline(flat(), grid(LogisticRegression(), C=STRENGTHS)),
        5,
    ),
    "a grid in a grid": (
        lambda: make_pipeline(
            flat(),
            grid(grid(LogisticRegression(), C=STRENGTHS), estimator__class_weight=[None, "balanced"]),
        ),
        10,
    ),
    "scikit-learn's grid over searches of different sizes": (
        lambda: grid(augmented(), lags=[[1], [1, 2]]),
        2 + 4,
    ),
    "a grid by halving": (
        lambda: make_pipeline(
            flat(),
            HalvingGridSearchCV(
                LogisticRegression(max_iter=1000), {"C": STRENGTHS}, **HALVING
            ),
        ),
        5,
    ),
    "drawn and halved": (
        lambda: make_pipeline(
            flat(),
            HalvingRandomSearchCV(
                LogisticRegression(max_iter=1000), {"C": STRENGTHS}, n_candidates=4, **HALVING
            ),
        ),
        4,
    ),
    "drawn from lists": (
        lambda: make_pipeline(
            flat(), RandomizedSearchCV(LogisticRegression(max_iter=1000), {"C": STRENGTHS}, n_iter=4, cv=2)
        ),
        4,
    ),
    "calibrated": (
        lambda: CalibratedClassifierCV(
            make_pipeline(flat(), grid(LogisticRegression(), C=STRENGTHS)), cv=2
        ),
        5,
    ),
    "a vote of two": (
        lambda: VotingClassifier(
            [("a", make_pipeline(flat(), grid(LogisticRegression(), C=STRENGTHS))), ("b", augmented())],
            voting="soft",
        ),
        5 + 6,
    ),
    "a path of penalties": (
        lambda: make_pipeline(flat(), LogisticRegressionCV(Cs=7, cv=2, **OF_TODAY)),
        7,
    ),
    "a ridge of scikit-learn's": (
        lambda: make_pipeline(flat(), RidgeClassifierCV(alphas=(0.1, 1.0))),
        2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTED)
def test_settings_are_counted_alike_before_and_after_a_fit(trials: Trials, name: str) -> None:
    make, expected = COUNTED[name]
    estimator = clone(make())
    asked = [p for p in estimator.get_params() if p.rpartition("__")[2] == "sfreq"]
    estimator.set_params(**dict.fromkeys(asked, SFREQ))
    assert planned_fits(estimator) == expected
    train, held = trials.take(np.arange(64)), trials.take(np.arange(64, 128))
    fitted = fit_validated(estimator, train.X, train.y, (held.X, held.y))
    assert tried_fits(fitted) == expected


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda c: Finetuned(c), 6),
        (lambda c: Finetuned(c, FrozenProbe(penalties=(1.0,))), 1),
        (lambda c: Finetuned(c, "ridge"), 17),
        (lambda c: Finetuned(c, RidgeProbe(alphas=(1.0, 10.0))), 2),
        (lambda c: Finetuned(c, "full"), 6),
        (lambda c: Finetuned(c, "lora"), 6),
        (lambda c: Finetuned(c, head=AttentionPooling), 1),
        (lambda c: FinetunedRegressor(c), 17),
        (lambda c: FinetunedRegressor(c, FrozenProbe(alphas=(1.0,))), 1),
        (lambda c: baselines.InBand(Finetuned(c), 8.0, 32.0), 6),
        (lambda c: ValidationSearch(Finetuned(c), {"adaptation": ["probe", "ridge"]}), 23),
        (lambda c: baselines.tangent_space_ridge(), 17),
    ],
)
def test_penalties_of_linear_heads_are_settings(trained, make, expected) -> None:
    assert planned_fits(make(trained)) == expected


@pytest.mark.parametrize(
    ("adaptation", "validated", "expected"),
    [("probe", True, 6), ("probe", False, 1), ("ridge", True, 17), ("ridge", False, 17)],
)
def test_a_probe_says_how_many_penalties_it_tried(trained, adaptation, validated, expected) -> None:
    held = rhythms(16, seed=2) if validated else None
    probe = baselines.InBand(
        Finetuned(trained, adaptation, sfreq=CARD["sfreq"]), 8.0, 32.0, sfreq=200.0
    )
    fitted = fit_validated(probe, *rhythms(), held)
    assert tried_fits(fitted) == fitted.estimator_.n_fits_ == expected


def test_every_estimator_has_the_same_budget_and_what_it_tried_is_printed(trials, tmp_path) -> None:
    many = {
        "large": ValidationSearch(LR, {"lr__C": STRENGTHS}),
        "nested": ValidationSearch(augmented(), {"estimator": ["oas", "scm"]}),
        "small": ValidationSearch(LR, {"lr__C": [1.0]}),
        "none": baselines.mdm(),
    }
    within = run(trials, many, out=tmp_path / "b", budget=Budget(fits=6), **CALL)
    within.check_complete()
    once = within.results[within.results["metric"] == "auroc"]
    assert once.groupby("estimator")["fits"].agg(set).to_dict() == {
        "large": {5}, "nested": {6}, "small": {1}, "none": {1},
    }  # fmt: skip
    whole = run(trials, {"nested": many["nested"]}, out=tmp_path / "a", **CALL)
    assert whole.results["fits"].eq(12).all()
    tight = run(trials, {"large": many["large"]}, out=tmp_path / "c", budget=Budget(fits=3), **CALL)
    assert tight.results["fits"].eq(3).all()


@pytest.mark.parametrize(
    "estimator",
    [
        augmented(),
        baselines.InBand(augmented(), 8.0, 32.0),
        ValidationThreshold(augmented()),
        ValidationSearch(augmented(), {"estimator": ["oas"]}),
        make_pipeline(flat(), grid(LogisticRegression(), C=[*STRENGTHS, 1000.0])),
    ],
)
def test_a_search_beyond_the_budget_is_refused_whatever_wraps_it(
    trials, tmp_path, estimator
) -> None:
    with pytest.raises(UsageError, match=r"'many' tries 6 settings .* the budget is 5"):
        run(trials, {"many": estimator}, out=tmp_path, budget=Budget(fits=5), **CALL)
    assert list(tmp_path.iterdir()) == []


def searches_of_scikit_learn() -> list[str]:
    """Return the names of whatever cross-validates in scikit-learn."""
    return [name for name, kind in all_estimators() if "cv" in signature(kind).parameters]


# Of a search of its own without further arguments, or None where it chooses nothing.
PENALTIES = {
    "ElasticNetCV": 100, "LassoCV": 100, "LogisticRegressionCV": 10, "MultiTaskElasticNetCV": 100,
    "MultiTaskLassoCV": 100, "RidgeCV": 3, "RidgeClassifierCV": 3,
    **dict.fromkeys(("CalibratedClassifierCV", "GraphicalLassoCV", "TargetEncoder"), 1),
    **dict.fromkeys(("StackingClassifier", "StackingRegressor", "TunedThresholdClassifierCV"), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", searches_of_scikit_learn())
def test_what_cross_validates_in_scikit_learn_is_counted_or_refused(name, tmp_path, trials) -> None:
    kind, inner = dict(all_estimators())[name], LogisticRegression()
    if name.startswith("Stacking"):
        search = kind([("a", inner)])
    elif "param_grid" in signature(kind).parameters:
        search = kind(inner, {"C": STRENGTHS})
    elif "param_distributions" in signature(kind).parameters:
        search = kind(inner, {"C": STRENGTHS}).set_params(
            **{"n_iter" if name == "RandomizedSearchCV" else "n_candidates": 3}
        )
    else:
        search = kind(inner) if "estimator" in signature(kind).parameters else kind()
    expected = {"GridSearchCV": 5, "HalvingGridSearchCV": 5} | PENALTIES
    expected |= dict.fromkeys(("RandomizedSearchCV", "HalvingRandomSearchCV"), 3)
    if name in expected:
        assert planned_fits(search) == expected[name]
        return
    with pytest.raises(UsageError, match=f"{name} chooses by cross-validation and does not say"):
        run(trials, {"it": make_pipeline(flat(), search, inner)}, out=tmp_path, **CALL)
    assert list(tmp_path.iterdir()) == []


def test_a_search_that_draws_as_it_will_is_refused() -> None:
    with pytest.raises(UsageError, match="give `n_candidates`"):
        planned_fits(HalvingRandomSearchCV(LogisticRegression(max_iter=1000), {"C": STRENGTHS}))


@pytest.mark.parametrize("name", ["quickstart-evaluate", "quickstart-adaptations-evaluate"])
def test_the_shipped_comparisons_tune_their_baselines_as_often_as_their_probes(name) -> None:
    run = built("evaluate", "--config", str(CONFIGS / "runs" / f"{name}.yaml"))
    counts = {n: planned_fits(estimator) for n, estimator in run.estimators.items()}
    without = {"covariance + MDM", "log band power + LDA"}  # have no penalty
    assert {c for n, c in counts.items() if n not in without} == {6} == {run.budget.fits}


@pytest.mark.parametrize("values", [{"lr__D": [1.0]}, {"lr__C": []}])
def test_a_grid_that_cannot_be_tried_is_refused_before_any_fit(trials, tmp_path, values) -> None:
    with pytest.raises(UsageError, match="The grid of 'wrong' cannot be tried"):
        run(trials, {"wrong": ValidationSearch(LR, values)}, out=tmp_path, **CALL)
    assert list(tmp_path.iterdir()) == []


class Sly(ClassifierMixin, BaseEstimator):
    """Plans one setting and tries a hundred."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Sly:
        self.inner_ = DummyClassifier(strategy="prior").fit(X, y)
        self.classes_, self.n_fits_ = self.inner_.classes_, 100
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.inner_.predict_proba(X)


def test_whoever_tried_more_than_the_budget_has_no_result(trials, tmp_path) -> None:
    outcome = run(trials, {"sly": Sly()}, out=tmp_path, budget=Budget(fits=20), **CALL)
    assert outcome.results["error"].str.contains("tried 100 settings and the budget is 20").all()
    assert outcome.results["value"].isna().all()


def test_a_search_stops_when_its_time_is_up(trials) -> None:
    search = ValidationSearch(LR, {"lr__C": STRENGTHS}, budget=Budget(seconds=1e-9))
    train, held = trials.take(np.arange(64)), trials.take(np.arange(64, 128))
    assert search.fit(train.X, train.y, validation=(held.X, held.y)).n_fits_ == 1
    with pytest.raises(UsageError, match="numbers above 0"):
        Budget(fits=0)
