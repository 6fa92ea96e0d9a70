"""Ridge probes against refits, LoRA on every backbone, and the regressor on a planted amplitude."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import Ridge, RidgeClassifierCV, RidgeCV
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from test_contracts import WIDTH, examples, make, tokens
from test_finetuned import CARD, FULL, Deep, checkpoint, labelled, same, state, trials

from brainfm.backbones import PatchTransformer
from brainfm.errors import UsageError
from brainfm.heads import AttentionPooling, LinearHead
from brainfm.layers.ridge import ALPHAS, solve_ridge
from brainfm.learning import Finetuned, FinetunedRegressor, LoRA, RidgeProbe
from brainfm.learning.probe import solve_ridge_classifier, solve_ridge_regressor
from brainfm.objectives import MaskedSignal, Regression
from brainfm.objectives.regression import huber
from brainfm.tokenizers import Patches
from brainfm.weights import count_parameters, load, save


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("trained"))


@given(
    st.integers(0, 1000), st.integers(5, 12), st.integers(1, 20), st.integers(1, 3), st.booleans()
)
@settings(max_examples=25)
def test_leaving_out_in_closed_form_is_fitting_again_without_a_trial(
    seed: int, n: int, dim: int, n_outputs: int, weighted: bool
) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, dim)), rng.standard_normal((n, n_outputs))
    weight = rng.uniform(0.5, 2, n) if weighted else np.ones(n)
    alphas = (0.1, 10.0)
    fit = solve_ridge(X, y, alphas=alphas, weight=weight)
    left_out = {}
    for alpha in alphas:
        left_out[alpha] = np.empty_like(y)
        for i in range(n):
            rest = np.arange(n) != i
            again = Ridge(alpha).fit(X[rest], y[rest], weight[rest])
            left_out[alpha][i] = again.predict(X[i : i + 1]).ravel()
    errors = [np.average(((y - v) ** 2).mean(1), weights=weight) for v in left_out.values()]
    np.testing.assert_allclose(fit.errors, errors, rtol=1e-6)
    assert fit.alpha == alphas[int(np.argmin(errors))]
    np.testing.assert_allclose(fit.left_out, left_out[fit.alpha], rtol=1e-6, atol=1e-8)
    whole = Ridge(fit.alpha).fit(X, y, weight)
    np.testing.assert_allclose(fit.weight, np.atleast_2d(whole.coef_), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fit.bias, whole.intercept_, rtol=1e-6, atol=1e-8)


@given(
    st.integers(0, 1000),
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.integers(1, 12),
    st.booleans(),
)
@settings(max_examples=25)
def test_leaving_out_subjects_in_closed_form_is_fitting_again_without_them(
    seed: int, sizes: list[int], dim: int, weighted: bool
) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat([f"sub-{i}" for i in range(len(sizes))], sizes))
    n = len(groups)
    X, y = rng.standard_normal((n, dim)), rng.standard_normal((n, 2))
    weight = rng.uniform(0.5, 2, n) if weighted else np.ones(n)
    fit = solve_ridge(X, y, alphas=(0.1, 10.0), weight=weight, groups=groups)
    left_out = np.empty_like(y)
    for subject in np.unique(groups):
        mine = groups == subject
        again = Ridge(fit.alpha).fit(X[~mine], y[~mine], weight[~mine])
        left_out[mine] = again.predict(X[mine])
    np.testing.assert_allclose(fit.left_out, left_out, rtol=1e-6, atol=1e-7)
    wanted = np.average(((y - left_out) ** 2).mean(1), weights=weight)
    assert min(fit.errors) == pytest.approx(wanted)
    alone = solve_ridge(X, y, alphas=(0.1, 10.0), weight=weight, groups=np.arange(n))
    one_by_one = solve_ridge(X, y, alphas=(0.1, 10.0), weight=weight)
    np.testing.assert_allclose(alone.errors, one_by_one.errors, rtol=1e-8)


def test_a_penalty_chosen_by_subjects_is_not_fooled_by_windows_that_resemble_each_other() -> None:
    """What names the subject foretells its other windows, and nothing of another person."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(12), 20)
    X = rng.standard_normal((12, 30))[subject] + 0.1 * rng.standard_normal((240, 30))
    y = rng.standard_normal(12)[subject][:, None]
    assert solve_ridge(X, y, groups=subject).alpha > 100 * solve_ridge(X, y).alpha


@pytest.mark.parametrize("dim", [5, 80])
def test_a_ridge_is_scikit_learn_s(dim: int) -> None:
    rng = np.random.default_rng(dim)
    X = rng.standard_normal((60, dim)) * rng.uniform(0.1, 10, dim) + 3
    y = X[:, 0] + 5 * rng.standard_normal(60)
    scaled = StandardScaler().fit_transform(X)
    probe, wanted = solve_ridge_regressor(X, y), RidgeCV(ALPHAS).fit(scaled, y)
    assert probe.penalty == pytest.approx(wanted.alpha_)
    np.testing.assert_allclose(
        X @ probe.weight.T + probe.bias, wanted.predict(scaled)[:, None], rtol=1e-6
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_a_ridge_classifier_is_scikit_learn_s_but_for_the_size_of_its_scores(classes: int) -> None:
    rng = np.random.default_rng(classes)
    y = np.array(["a", "b", "c"])[rng.integers(0, classes, 90)]
    X = rng.standard_normal((90, 6)) + 0.8 * (y == "a")[:, None]
    scaled = StandardScaler().fit_transform(X)
    probe = solve_ridge_classifier(X, y)
    wanted = RidgeClassifierCV(ALPHAS, class_weight="balanced").fit(scaled, y)
    assert probe.penalty == pytest.approx(wanted.alpha_)
    scores = X @ probe.weight.T + probe.bias
    assert (np.unique(y)[scores.argmax(1)] == wanted.predict(scaled)).all()
    theirs = wanted.decision_function(scaled)
    theirs = np.stack([-theirs, theirs], 1) if classes == 2 else theirs
    factor = scores / theirs
    np.testing.assert_allclose(factor, factor[0, 0], rtol=1e-6)
    # On new trials its probabilities are better than those of the bare scores.
    new = rng.standard_normal((500, 6))
    truth = np.unique(y)[rng.integers(0, classes, 500)]
    new += 0.8 * (truth == "a")[:, None]
    logits = new @ probe.weight.T + probe.bias
    loss = [
        log_loss(truth, torch.from_numpy(s).softmax(1).numpy()) for s in (logits, logits / factor[0, 0])
    ]  # fmt: skip
    assert loss[0] < loss[1]


def test_a_ridge_probe_fits_a_linear_head_and_nothing_else(trained: Path) -> None:
    X, y = trials(40, classes=3)
    probe = Finetuned(trained, "ridge", sfreq=200.0).fit(X, y)
    wanted = solve_ridge_classifier(probe.transform(X), y)
    scores = probe.transform(X) @ wanted.weight.T + wanted.bias
    np.testing.assert_allclose(
        probe.predict_proba(X), torch.from_numpy(scores).softmax(1).numpy(), atol=1e-5
    )
    assert probe.penalty_ == wanted.penalty
    assert probe.n_trained_parameters_ == count_parameters(LinearHead(WIDTH, 3))
    loaded, _ = load(trained)
    assert same(state(probe.model_.backbone), state(loaded.backbone))
    subject = np.repeat(np.arange(4), 10)
    told = Finetuned(trained, "ridge", sfreq=200.0).fit(X, y, groups=subject)
    by_subject = solve_ridge_classifier(probe.transform(X), y, groups=subject)
    weights = told.model_.head.linear.weight.detach().numpy()
    np.testing.assert_allclose(weights, by_subject.weight, rtol=1e-4, atol=1e-6)
    strong = Finetuned(trained, RidgeProbe(alphas=(1e6,)), sfreq=200.0).fit(X, y)
    assert strong.penalty_ == 1e6
    assert clone(strong).adaptation == RidgeProbe(alphas=(1e6,))
    with pytest.raises(UsageError, match="given Deep; choose the adaptation `probe`"):
        Finetuned(trained, "ridge", head=Deep, sfreq=200.0).fit(X, y)
    with pytest.raises(UsageError, match="above 0"):
        RidgeProbe(alphas=(0.0, 1.0))
    with pytest.raises(UsageError, match="no adaptation 'rigde'; choose from probe, ridge"):
        Finetuned(trained, sfreq=200.0).set_params(adaptation="rigde").fit(X, y)


@pytest.mark.parametrize("name", examples("backbones"))
def test_every_adapter_of_every_backbone_has_an_effect(name: str) -> None:
    backbone = make("backbones", name)
    before = backbone.eval()(tokens()).value
    own = dict(backbone.named_parameters())
    LoRA(rank=2).open(backbone)
    torch.testing.assert_close(backbone(tokens()).value, before)
    assert not any(p.requires_grad for p in own.values())
    added = {n: p for n, p in backbone.named_parameters() if p.requires_grad}
    assert added
    assert all("lora_" in n for n in added)
    for n, p in added.items():  # the second factors start at zero, which would hide the first
        if "lora_B" in n:
            torch.nn.init.normal_(p, std=0.1)
    backbone(tokens()).value.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in added.values())
    moved = backbone(tokens()).value
    LoRA(rank=2).close(backbone)
    torch.testing.assert_close(backbone(tokens()).value, moved, rtol=1e-3, atol=1e-4)
    assert list(backbone.state_dict()) == list(make("backbones", name).state_dict())


def test_lora_trains_adapters_and_head_alone(trained: Path, tmp_path: Path) -> None:
    X, y = trials()
    tuned = Finetuned(trained, LoRA(rank=3), train=FULL, sfreq=200.0).fit(X, y)
    loaded, _ = load(trained)
    model = tuned.model_
    before, after = loaded.backbone.state_dict(), model.backbone.state_dict()
    own = {n.replace(".base_layer", ""): v for n, v in after.items() if "lora_" not in n}
    assert same(own, before)
    assert same(state(model.tokenizer), state(loaded.tokenizer))
    second = [v for n, v in after.items() if "lora_B" in n]
    assert second
    assert all(bool(v.abs().sum() > 0) for v in second)
    parts = [m for block in loaded.backbone.stages() for m in block.modules()]
    linear = [m for m in parts if isinstance(m, torch.nn.Linear)]
    wanted = sum(3 * (m.in_features + m.out_features) for m in linear)
    assert tuned.n_trained_parameters_ == wanted + count_parameters(LinearHead(WIDTH, 2))
    again = Finetuned(trained, LoRA(rank=3), train=FULL, sfreq=200.0).fit(X, y)
    assert same(state(again.model_), state(model))
    tuned.save(tmp_path / "model")
    kept = load(tmp_path)[0].backbone.state_dict()
    assert kept.keys() == before.keys()
    assert not same(dict(kept), dict(before))
    assert (
        model.backbone.state_dict().keys()
    ) == after.keys()  # saving takes nothing off the model


def test_lora_says_what_it_lacks(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"no linear map called \['nowhere'\]"):
        LoRA(targets=("nowhere",)).open(make("backbones", "PatchTransformer"))
    chosen = make("backbones", "PatchTransformer")
    LoRA(targets=("attention.out",)).open(chosen)
    assert {n.split(".lora_")[0] for n, p in chosen.named_parameters() if p.requires_grad} == {
        "blocks.0.attention.out",
        "blocks.1.attention.out",
    }
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UsageError, match=r"pip install 'brainfm\[lora\]'"):
        Finetuned(trained, "lora", sfreq=200.0).fit(*trials())


@given(st.floats(-5, 5), st.one_of(st.none(), st.floats(0.1, 3)))
def test_hubers_loss_is_pytorch_s(error: float, delta: float | None) -> None:
    value, zero = torch.tensor([error], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    wanted = torch.nn.functional.huber_loss(value, zero, delta=1e9 if delta is None else delta)
    torch.testing.assert_close(huber(value, delta)[0], wanted)


def amplitudes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A 10 Hz rhythm on one of two channels whose amplitude in µV is to be told."""
    rng = np.random.default_rng(seed)
    y = rng.uniform(0, 20, n)
    wave = np.sin(2 * np.pi * 10 * np.arange(400) / 200)
    X = 10 * rng.standard_normal((n, 2, 400))
    X[:, 0] += y[:, None] * wave
    return (1e-6 * X).astype(np.float32), y


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patches")
    torch.manual_seed(0)
    backbone = PatchTransformer(32, depth=1, heads=2)
    save(MaskedSignal(Patches(32, n_samples=40), backbone), folder / "model", CARD)
    return folder


@pytest.mark.parametrize(
    ("adaptation", "head"),
    [
        ("probe", LinearHead),
        ("ridge", LinearHead),
        ("full", LinearHead),
        ("lora", AttentionPooling),
    ],
)
def test_a_planted_amplitude_is_told(patches: Path, adaptation: str, head: type) -> None:
    options = replace(FULL, steps=40, lr=3e-3, batch_size=16, validate_every=0)
    regressor = FinetunedRegressor(patches, adaptation, head=head, train=options, sfreq=200.0)
    fitted = regressor.fit(*amplitudes(120, 0))
    X, y = amplitudes(60, 1)
    predicted = fitted.predict(X)
    assert predicted.shape == y.shape
    assert fitted.score(X, y) > 0.5  # R²
    assert abs(predicted.mean() - y.mean()) < 3


def test_a_regressor_obeys_scikit_learn(patches: Path, tmp_path: Path) -> None:
    regressor = FinetunedRegressor(patches, "ridge", sfreq=200.0, random_state=3)
    assert regressor.__sklearn_tags__().estimator_type == "regressor"
    assert clone(regressor).get_params() == regressor.get_params()
    X, y = amplitudes(40, 0)
    plain = regressor.fit(X, y)
    pipeline = make_pipeline(FunctionTransformer(), clone(regressor)).fit(X, y)
    np.testing.assert_array_equal(pipeline.predict(X), plain.predict(X))
    moved = clone(regressor).fit(X, 1000 + 5 * y)  # the unit of the answers does not matter
    np.testing.assert_allclose(moved.predict(X), 1000 + 5 * plain.predict(X), rtol=1e-5)
    plain.save(tmp_path / "model", seen={"subjects": ["z"]})
    model, card = load(tmp_path)
    assert isinstance(model, Regression)
    assert card["target"] == {"mean": model.mean, "scale": model.scale}
    with torch.no_grad():
        scores = model.scores(labelled(X, np.zeros(len(X), np.int64)))[:, 0].numpy()
    np.testing.assert_allclose(model.mean + model.scale * scores, plain.predict(X), rtol=1e-4)
    with pytest.raises(UsageError, match="All 40 trials have the number 1"):
        clone(regressor).fit(X, np.ones(40))
    with pytest.raises(UsageError, match="one finite number a trial"):
        clone(regressor).fit(X, np.full(40, "a"))
