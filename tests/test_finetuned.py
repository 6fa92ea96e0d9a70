"""The fine-tuned estimator: what scikit-learn expects of it, and what it may change."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_contracts import CODES, WIDTH, small_backbone, small_tokenizer
from torch import nn

from brainfm.backbones import BiMamba
from brainfm.contracts import Features, Head
from brainfm.errors import UsageError, WorkError
from brainfm.heads import LinearHead, StampHead
from brainfm.layers.spectrum import scale_by_percentile
from brainfm.learning import Finetuned, Full, Train, Untrained
from brainfm.learning.probe import PENALTIES
from brainfm.objectives import Classification, LabelledBatch, MaskedCodes, MaskedSignal
from brainfm.recordings.recording import Sensors
from brainfm.tokenizers import Cached, Frozen, Patches, WindowCache
from brainfm.weights import count_parameters, load, load_card, save
from brainfm.windows.collate import batch_of

FULL = Train(
    steps=6,
    batch_size=8,
    lr=1e-3,
    warmup=1,
    validate_every=2,
    checkpoint_every=2,
    accelerator="cpu",
)
CARD = {
    "sfreq": 200.0,
    "unit": "SI: V, T, T/m",
    "kinds": ["eeg"],
    "view": {"class": "brainfm.windows.views.Native", "arguments": {}},
    "preprocessing_hash": "0123",
    "data": {"subjects": ["a", "b"], "fingerprints": ["f"]},
    "seed": 0,
    "licence": "none",
}


def checkpoint(folder: Path, **card: object) -> Path:
    torch.manual_seed(0)
    objective = MaskedCodes(Frozen(small_tokenizer(), card={"sfreq": 200.0}), small_backbone())
    with torch.no_grad():  # an untrained code book is all but zero: spread it
        objective.tokenizer.tokenizer.codebook.normal_()
        objective.backbone.adopt(objective.tokenizer.codebook)
    save(objective, folder / "model", CARD | card)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("trained"))


def trials(n: int = 24, *, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise, with a 10 Hz rhythm that grows with the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    wave = np.sin(2 * np.pi * 10 * np.arange(400) / 200 + rng.uniform(0, 6, (n, 1)))
    X = rng.standard_normal((n, 2, 400)) + 3 * (y[:, None] * wave)[:, None]
    return (1e-5 * X).astype(np.float32), np.array(["none", "some", "much"])[y]


def labelled(X: np.ndarray, label: np.ndarray) -> LabelledBatch:
    unknown = np.full((2, 3), np.nan)
    sensors = Sensors(("a", "b"), ("eeg", "eeg"), unknown, unknown, ("none",) * 2)
    return LabelledBatch(**vars(batch_of(X, sensors, 200.0)), label=torch.from_numpy(label))


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in module.state_dict().items()}


def same(first: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    assert first.keys() == other.keys()
    return all(torch.equal(v, other[k]) for k, v in first.items())


def test_obeys_scikit_learn(trained: Path) -> None:
    estimator = Finetuned(trained, "full", train=FULL, sfreq=200.0, random_state=3)
    twin = clone(estimator)
    assert twin.get_params() == estimator.get_params()
    assert twin.set_params(adaptation="probe").adaptation == "probe"
    assert estimator.adaptation == "full"
    assert estimator.__sklearn_tags__().estimator_type == "classifier"
    X, y = trials()
    assert twin.fit(X, y) is twin
    assert set(twin.predict(X)) <= set(twin.classes_.tolist()) == {"none", "some"}
    np.testing.assert_allclose(twin.predict_proba(X).sum(1), 1)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_probe_is_scikit_learn_s_logistic_regression(trained: Path, classes: int) -> None:
    X, y = trials(30, classes=classes)
    probe = Finetuned(trained, sfreq=200.0).fit(X, y)
    assert probe.penalty_ == 1.0
    wanted = make_pipeline(
        StandardScaler(), LogisticRegression(C=1.0, max_iter=2000, class_weight="balanced")
    ).fit(probe.transform(X), y)
    new, _ = trials(20, classes=classes, seed=1)
    np.testing.assert_allclose(
        probe.predict_proba(new), wanted.predict_proba(probe.transform(new)), atol=1e-5
    )
    assert probe.n_trained_parameters_ == count_parameters(LinearHead(WIDTH, classes))
    loaded, _ = load(trained)
    assert same(state(probe.model_.backbone), state(loaded.backbone))


@pytest.mark.parametrize("kind", [Finetuned, Untrained])
def test_what_was_learned_holds_for_new_trials(tmp_path: Path, kind: type[Finetuned]) -> None:
    torch.manual_seed(0)
    tokenizer = small_tokenizer().eval()
    rows = scale_by_percentile(torch.from_numpy(trials(8, seed=50)[0]).flatten(0, 1))
    with torch.no_grad():  # code vectors that lie where the data are
        encoded = tokenizer.encode(tokenizer.spectrogram(rows), rows).flatten(0, 1)
        tokenizer.codebook.copy_(encoded[torch.randperm(len(encoded))[:CODES]])
    save(MaskedCodes(Frozen(tokenizer), small_backbone()), tmp_path / "model", CARD)
    probe = kind(tmp_path, sfreq=200.0).fit(*trials(120))
    assert probe.score(*trials(100, seed=1)) > 0.7  # 0.6 would be two standard errors


def test_a_probe_s_penalty_is_the_best_on_validation(trained: Path) -> None:
    (X, y), (held_out, truth) = trials(20), trials(16, seed=2)
    truth = truth[np.random.default_rng(0).permutation(16)]
    probe = Finetuned(trained, sfreq=200.0).fit(X, y, validation=(held_out, truth))
    losses = {}
    for c in PENALTIES:
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=c, max_iter=2000, class_weight="balanced")
        ).fit(probe.transform(X), y)
        losses[c] = log_loss(truth, model.predict_proba(probe.transform(held_out)))
    assert probe.penalty_ == min(losses, key=losses.get)


def test_full_fine_tuning_changes_backbone_and_head_and_not_the_tokenizer(trained: Path) -> None:
    X, y = trials()
    tuned = Finetuned(trained, "full", train=FULL, sfreq=200.0).fit(X, y)
    loaded, _ = load(trained)
    assert same(state(tuned.model_.tokenizer), state(loaded.tokenizer))
    changed = {
        name
        for name, value in tuned.model_.backbone.state_dict().items()
        if not torch.equal(value, loaded.backbone.state_dict()[name])
    }
    learned = {n for n, p in loaded.backbone.named_parameters() if p.requires_grad}
    assert changed == learned
    head = count_parameters(LinearHead(WIDTH, 2))
    assert tuned.n_trained_parameters_ == count_parameters(loaded.backbone) + head
    again = Finetuned(trained, "full", train=FULL, sfreq=200.0).fit(X, y)
    assert same(state(again.model_), state(tuned.model_))
    other = Finetuned(trained, "full", train=FULL, sfreq=200.0, random_state=1).fit(X, y)
    assert not same(state(other.model_), state(tuned.model_))


@pytest.mark.parametrize("kind", [Finetuned, Untrained])
def test_an_embedding_of_patches_is_trained_with_the_backbone(
    tmp_path: Path, kind: type[Finetuned]
) -> None:
    torch.manual_seed(0)
    objective = MaskedSignal(Patches(16, n_samples=100), BiMamba(16, depth=1, d_state=2, expand=1))
    save(objective, tmp_path / "model", CARD)
    before, (X, y) = state(objective.tokenizer), trials()
    probe = kind(tmp_path, sfreq=200.0).fit(X, y)
    full = kind(tmp_path, "full", sfreq=200.0, train=FULL).fit(X, y)
    kept = state(probe.model_.tokenizer.tokenizer)
    assert same(kept, before) is (kind is Finetuned)
    assert not same(state(full.model_.tokenizer), before)
    assert full.n_trained_parameters_ == count_parameters(full.model_)
    assert not same(state(full.model_.tokenizer), kept)
    full.save(tmp_path / "again" / "model")
    assert isinstance(load(tmp_path / "again")[0].tokenizer, Patches)


def test_full_fine_tuning_drops_units_and_a_tokenizer_never_does(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    forward = Classification.forward

    def spy(self, batch, generator):
        modes = [{m.training for m in part.modules()} for part in (self.backbone, self.tokenizer)]
        seen.append((self.training, *modes))
        return forward(self, batch, generator)

    monkeypatch.setattr(Classification, "forward", spy)
    X, y = trials()
    for kind in (Finetuned, Untrained):
        seen.clear()
        kind(trained, "full", train=FULL, sfreq=200.0).fit(X, y, validation=(X, y))
        assert (True, {True}, {False}) in seen
        assert (False, {False}, {False}) in seen
        assert {tokenizer == {False} for *_, tokenizer in seen} == {True}


def test_full_fine_tuning_keeps_the_step_with_the_best_validation_loss(
    trained: Path, tmp_path: Path
) -> None:
    (X, y), n = trials(), 16
    held_out, wrong = X[:n], np.where(y[:n] == "none", "some", "none")  # so training does harm
    options = {"train": replace(FULL, steps=12, lr=3e-3), "sfreq": 200.0}
    tuned = Finetuned(trained, "full", out=tmp_path, **options)
    tuned.fit(X, y, validation=(held_out, wrong))
    table = pd.read_csv(tmp_path / "metrics.csv").dropna(subset="val/loss").set_index("step")
    best = table["val/loss"].idxmin()
    assert tuned.chosen_step_ == best < 12
    label = np.searchsorted(tuned.classes_, wrong)
    with torch.no_grad():
        terms = tuned.model_(labelled(held_out, label), torch.Generator())
    assert float(terms["loss"]) == pytest.approx(table.loc[best, "val/loss"], rel=1e-5)


@pytest.mark.parametrize(("epochs", "steps"), [(2.0, 6), (0.01, 1)])
def test_epochs_are_passes_over_the_trials(
    trained: Path, tmp_path: Path, epochs: float, steps: int
) -> None:
    X, y = trials()
    options = replace(FULL, epochs=epochs, steps=999, batch_size=len(X) // 3, log_every=1)
    Finetuned(trained, "full", train=options, sfreq=200.0, out=tmp_path).fit(X, y)
    assert pd.read_csv(tmp_path / "metrics.csv")["step"].iloc[-1] == steps


class Deep(Head):
    """A head that no closed form solves."""

    def __init__(self, dim: int, n_outputs: int):
        super().__init__()
        self.dim, self.n_outputs = dim, n_outputs
        self.layers = nn.Sequential(nn.Linear(dim, 8), nn.Tanh(), nn.Linear(8, n_outputs))

    def forward(self, features: Features) -> torch.Tensor:
        return self.layers(features.pooled())


def test_any_head_can_be_probed_and_the_backbone_stays(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = trials()
    modes = set()
    forward = Classification.forward

    def spy(self, batch, generator):
        modes.update(m.training for m in self.backbone.modules())
        return forward(self, batch, generator)

    monkeypatch.setattr(Classification, "forward", spy)
    probe = Finetuned(trained, head=Deep, train=FULL, sfreq=200.0).fit(X, y)
    loaded, _ = load(trained)
    assert modes == {False}  # its features are the same at every step
    assert same(state(probe.model_.backbone), state(loaded.backbone))
    assert probe.n_trained_parameters_ == count_parameters(Deep(WIDTH, 2))


def test_untrained_differs_in_nothing_but_the_backbone(trained: Path) -> None:
    X, y = trials()
    ours, theirs = (k(trained, sfreq=200.0).fit(X, y) for k in (Finetuned, Untrained))
    assert same(state(ours.model_.tokenizer), state(theirs.model_.tokenizer))
    assert not same(state(ours.model_.backbone), state(theirs.model_.backbone))
    assert torch.equal(theirs.model_.backbone.code.weight[:-1], theirs.model_.tokenizer.codebook)
    assert ours.get_params() == theirs.get_params()
    assert ours.n_trained_parameters_ == theirs.n_trained_parameters_
    again = Untrained(trained, sfreq=200.0).fit(X, y)
    assert same(state(again.model_), state(theirs.model_))
    full = [k(trained, "full", sfreq=200.0) for k in (Finetuned, Untrained)]
    for estimator in full:
        estimator.adaptation_ = Full()
        torch.manual_seed(0)
        estimator._start(X, 2)
    assert same(state(full[0].model_.head), state(full[1].model_.head))


@pytest.mark.parametrize("adaptation", ["probe", "ridge", "full", "lora"])
def test_save_and_load_give_the_same_probabilities(
    trained: Path, tmp_path: Path, adaptation: str
) -> None:
    X, y = trials()
    fitted = Finetuned(trained, adaptation, train=FULL, sfreq=200.0).fit(X, y)
    fitted.save(tmp_path / "model", seen={"subjects": ["z", "a"], "fingerprints": ["h"]})
    model, card = load(tmp_path)
    assert card["data"]["subjects"] == ["a", "b", "z"]
    assert card["data"]["fingerprints"] == ["f", "h"]
    assert card["data"]["people"] == [["", "a"], ["", "b"], ["", "z"]]
    assert card["labels"] == ["none", "some"]
    assert card["sfreq"] == 200.0
    assert isinstance(model, Classification)
    assert type(model.tokenizer) is Frozen
    batch = labelled(X, np.zeros(len(X), np.int64))
    with torch.no_grad():
        proba = model.scores(batch).double().softmax(-1).numpy()
    np.testing.assert_allclose(proba, fitted.predict_proba(X), rtol=1e-4, atol=1e-5)
    # ... and a fine-tuned model can itself be fine-tuned.
    assert Finetuned(tmp_path, sfreq=200.0).fit(X, y).predict(X).shape == y.shape


def test_trials_that_do_not_fit_are_refused(trained: Path) -> None:
    X, y = trials()
    with pytest.raises(UsageError, match=r"trained at 200 Hz, not 250 Hz"):
        Finetuned(trained, sfreq=250.0).fit(X, y)
    with pytest.raises(UsageError, match="Hz"):
        Finetuned(trained).fit(X, y)
    unknown = np.full((2, 3), np.nan)
    meg = Sensors(("a", "b"), ("eeg", "mag"), unknown, unknown, ("none",) * 2)
    with pytest.raises(UsageError, match="mag"):
        Finetuned(trained, sfreq=200.0, sensors=meg).fit(X, y)
    with pytest.raises(UsageError, match="two or more"):
        Finetuned(trained, sfreq=200.0).fit(X, np.full(len(X), "none"))


@pytest.mark.parametrize("adaptation", ["probe", "full"])
def test_a_class_of_validation_trials_alone_is_refused(trained: Path, adaptation: str) -> None:
    (X, y), (held_out, three) = trials(), trials(classes=3, seed=1)
    estimator = Finetuned(trained, adaptation, train=FULL, sfreq=200.0)
    with pytest.raises(UsageError, match=r"class \['much'\] of the validation .*'none', 'some'"):
        estimator.fit(X, y, validation=(held_out, three))


def test_a_head_for_other_windows_is_refused_before_the_training(
    trained: Path, tmp_path: Path
) -> None:
    head = partial(StampHead, n_channels=19, n_steps=4)
    estimator = Finetuned(trained, head=head, train=FULL, sfreq=200.0, out=tmp_path / "out")
    with pytest.raises(UsageError, match=r"19 channels and 4 steps .* set `n_channels`"):
        estimator.fit(*trials())
    assert not (tmp_path / "out").exists()


def test_a_training_that_meets_no_number_names_the_trials(trained: Path) -> None:
    steep = replace(FULL, lr=1e30, warmup=0, validate_every=1)
    estimator = Finetuned(trained, "full", train=steep, sfreq=200.0)
    with pytest.raises(WorkError, match=r"validation loss became nan at step 1, .*'trial 0', 'tri"):
        estimator.fit(*trials(), validation=trials(seed=1))
    names = tuple(np.array([f"{side} of s1"] * len(trials()[1])) for side in ("rest", "act"))
    with pytest.raises(WorkError, match=r"validation loss became nan at step 1, .*\['act of s1'\]"):
        estimator.fit(*trials(), validation=trials(seed=1), recordings=names)


def test_a_tokenizer_s_folder_is_refused(tmp_path: Path) -> None:
    from brainfm.objectives import MotifReconstruction

    save(MotifReconstruction(small_tokenizer()), tmp_path / "model", CARD)
    with pytest.raises(UsageError, match="holds no backbone"):
        Finetuned(tmp_path, sfreq=200.0).fit(*trials())


def test_of_several_checkpoints_the_first_that_has_not_seen_the_test_subjects(
    trained: Path, tmp_path: Path
) -> None:
    other = checkpoint(tmp_path / "other", data={"subjects": ["c", "d"], "fingerprints": ["g"]})
    both = [trained, other]
    for subjects, chosen in ((["c"], trained), (["a"], other), (["x"], trained), ([], trained)):
        estimator = Finetuned(both, sfreq=200.0, test_subjects=subjects).fit(*trials())
        assert estimator.checkpoint_ == chosen
        assert estimator.pretraining == load_card(chosen)["data"]
        assert clone(estimator).get_params()["checkpoint"] == both
    with pytest.raises(UsageError, match="has seen some of the test subjects"):
        Finetuned(both, sfreq=200.0, test_subjects=["a", "c"]).fit(*trials())


def test_fits_share_their_tokens_and_features(trained: Path) -> None:
    X, y = trials()
    cache = WindowCache()
    first = Finetuned(trained, sfreq=200.0, cache=cache)
    plain = Finetuned(trained, sfreq=200.0).fit(X, y)
    for estimator in (first, clone(first), Untrained(trained, sfreq=200.0, cache=cache)):
        estimator.fit(X, y)
        assert isinstance(estimator.model_.tokenizer, Cached)
        assert estimator.cache is cache
    assert cache.n_computed == 3 * len(X)  # tokens, and features of two backbones
    np.testing.assert_array_equal(clone(first).fit(X, y).predict_proba(X), plain.predict_proba(X))
    assert cache.n_computed == 3 * len(X)


@pytest.mark.parametrize("kind", [Finetuned, Untrained])
def test_features_do_not_depend_on_what_was_computed_before(
    trained: Path, kind: type[Finetuned]
) -> None:
    (X, y), cache = trials(), WindowCache()
    whole = kind(trained, sfreq=200.0).fit(X, y).transform(X)
    for rows in ([3, 4], [1, 3, 20, 7], list(range(24))):
        probe = kind(trained, sfreq=200.0, cache=cache).fit(X[rows], y[rows])
        np.testing.assert_array_equal(probe.transform(X[rows]), whole[rows])


def test_a_trained_backbone_s_features_are_its_own(trained: Path) -> None:
    (X, y), cache = trials(), WindowCache()
    probe, full = (
        Finetuned(trained, kind, train=FULL, sfreq=200.0, cache=cache).fit(X, y)
        for kind in ("probe", "full")
    )
    model = full.model_
    with torch.no_grad():
        wanted = model.backbone(model.tokenizer(labelled(X, np.zeros(24, np.int64)))).pooled()
    np.testing.assert_allclose(full.transform(X), wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(full.transform(X) - probe.transform(X)).max() > 1e-3


def test_an_interrupted_fine_tuning_goes_on(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = trials()
    options = {"train": FULL, "sfreq": 200.0}
    whole = Finetuned(trained, "full", **options).fit(X, y, validation=(X, y))
    calls = []
    forward = Classification.forward

    def failing(self, batch, generator):
        calls.append(self.training)
        if calls.count(True) == 5:
            raise MemoryError
        return forward(self, batch, generator)

    monkeypatch.setattr(Classification, "forward", failing)
    with pytest.raises(MemoryError):
        Finetuned(trained, "full", out=tmp_path, **options).fit(X, y, validation=(X, y))
    monkeypatch.undo()
    again = Finetuned(trained, "full", out=tmp_path, **options).fit(X, y, validation=(X, y))
    assert same(state(again.model_), state(whole.model_))
    assert again.chosen_step_ == whole.chosen_step_
