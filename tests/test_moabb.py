"""MOABB both ways: inside its own evaluations beside its own pipelines, and its data sets as our tasks."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
import yaml
from planted import planted
from pyriemann.classification import MDM, FgMDM
from pyriemann.estimation import Covariances
from pyriemann.tangentspace import TangentSpace
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from brainfm import baselines
from brainfm.cli import main
from brainfm.errors import UsageError
from brainfm.evaluation import AnnotationLabels, Task
from brainfm.evaluation.moabb import for_moabb, moabb_table, task_yaml
from brainfm.evaluation.protocol import run
from brainfm.windows.splits import SubjectFolds

features = pytest.importorskip("moabb.pipelines.features", reason="MOABB is not installed")
AugmentedDataset = features.AugmentedDataset
ROOT = Path(__file__).parents[1]
CHANNELS = ["FC3", "FCz", "FC4", "C3", "Cz", "C4", "CP3", "CP4"]


@pytest.fixture(scope="module")
def moabb_home(tmp_path_factory):
    """A copy of the recordings, for MOABB moves files about, and no way to the network."""
    home = tmp_path_factory.mktemp("moabb")
    data = Path(os.environ["BRAINFM_DATA"])
    wanted = [path for r in (4, 8, 12) for path in (data / "eegmmidb").rglob(f"*R{r:02}.edf")]
    wanted += [path for s in (1, 2, 3) for path in data.rglob(f"subject{s:02}_run*_raw.fif")]
    for path in wanted:
        target = home.joinpath(*path.relative_to(data).parts[1:])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOABB_DOWNLOAD_PROVIDER", "upstream")
        for name in ("MNE_DATASETS_EEGBCI_PATH", "MNE_DATASETS_SSVEPEXO_PATH", "MNE_DATA"):
            patch.setenv(name, str(home))
        patch.setenv("MOABB_RESULTS", str(home / "results"))
        with config_context():  # MOABB changes scikit-learn's configuration for good
            yield home


def imagery(subjects):
    """Return EEGMMIDB with the runs that are there."""
    from moabb.datasets import PhysionetMI

    dataset = PhysionetMI()
    dataset.subject_list, dataset.feet_runs = subjects, []
    return dataset


def flicker(subjects):
    """Return Kalunga2016, whose runs are of different days, with a session a run."""
    from moabb.datasets import Kalunga2016

    class Kalunga(Kalunga2016):
        def _get_single_subject_data(self, subject):
            (runs,) = super()._get_single_subject_data(subject).values()
            return {run: {"0": raw} for run, raw in runs.items()}

    dataset = Kalunga()
    dataset.subject_list, dataset.n_sessions = subjects, 2
    return dataset


def score(evaluation, paradigm, dataset, pipelines, home, **options):
    """Return the scores of one of MOABB's evaluations, a row a test set and a column a pipeline."""
    import moabb.evaluations

    made = getattr(moabb.evaluations, evaluation)(
        paradigm, [dataset], random_state=42, overwrite=True, hdf5_path=str(home / "results")
    )
    table = made.process(pipelines, **options)
    return table.pivot_table(index=["subject", "session"], columns="pipeline", values="score")


def their_tangent_space(estimator):
    return make_pipeline(Covariances(estimator), TangentSpace(), LogisticRegression(max_iter=1000))


@pytest.mark.data
@pytest.mark.filterwarnings("ignore")  # MOABB, MNE and scikit-learn warn of each other
def test_our_pipelines_score_as_moabbs_in_its_own_evaluation_on_every_subject(moabb_home):
    from moabb.paradigms import LeftRightImagery

    paradigm = LeftRightImagery(fmin=8, fmax=32, channels=CHANNELS, resample=128)
    theirs = {
        "TS": their_tangent_space("cov"),
        "ACM": make_pipeline(AugmentedDataset(3, 2), Covariances("cov"), TangentSpace(), SVC()),
    }
    ours = {
        "our TS": baselines.tangent_space_lr("scm", class_weight=None),
        "our ACM": baselines.augmented_tangent_space_svm(3, 2, estimator="scm", class_weight=None),
    }
    dataset = imagery([*range(1, 11), 88])
    scores = score("WithinSessionEvaluation", paradigm, dataset, theirs | ours, moabb_home)
    assert len(scores) == 11
    assert (scores.nunique() > 6).all()
    for name in theirs:
        np.testing.assert_allclose(scores[f"our {name}"], scores[name], atol=1e-6)


@pytest.mark.data
@pytest.mark.filterwarnings("ignore")
def test_our_nested_search_scores_as_moabbs_in_its_own_evaluation(moabb_home):
    from moabb.paradigms import LeftRightImagery

    inner = StratifiedKFold(3, shuffle=True, random_state=42)  # as WithinSessionEvaluation has it
    grid = {
        "augmenteddataset__order": [1, 2], "augmenteddataset__lag": [1, 4],
        "svc__C": [0.5], "svc__kernel": ["rbf", "linear"],
    }  # fmt: skip
    pipelines = {
        "theirs": make_pipeline(AugmentedDataset(), Covariances("cov"), TangentSpace(), SVC()),
        "ours": baselines.AugmentedSearch(
            (1, 2), (1, 4), C=(0.5,), estimator="scm", scoring="auroc", folds=inner,
            class_weight=None,
        ),
    }  # fmt: skip
    scores = score(
        "WithinSessionEvaluation",
        LeftRightImagery(fmin=8, fmax=32, channels=CHANNELS),
        imagery([1]),
        pipelines,
        moabb_home,
        param_grid={"theirs": grid},
    )
    assert len(scores) == 1
    np.testing.assert_allclose(scores["ours"], scores["theirs"], atol=1e-6)


@pytest.mark.data
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("evaluation", "make", "subjects", "n_scores"),
    [
        ("WithinSessionEvaluation", flicker, [1], 2),
        ("CrossSessionEvaluation", flicker, [1, 2, 3], 6),
        ("CrossSubjectEvaluation", flicker, [1, 2, 3], 6),
        ("CrossSubjectEvaluation", imagery, [1, 2, 3], 3),  # who came once: no session to cross
    ],
)
def test_our_pipelines_score_as_moabbs_by_session_and_across(
    evaluation, make, subjects, n_scores, moabb_home
):
    from moabb.paradigms import SSVEP, LeftRightImagery

    hands = LeftRightImagery(channels=CHANNELS, resample=128)
    paradigm, dataset = SSVEP(n_classes=4) if make is flicker else hands, make(subjects)
    theirs = {
        "MDM": make_pipeline(Covariances("oas"), MDM()),
        "FgMDM": make_pipeline(Covariances("oas"), FgMDM()),
        "TS": their_tangent_space("oas"),
    }
    ours = {
        "our MDM": baselines.mdm(),
        "our FgMDM": baselines.fgmdm(),
        "our TS": baselines.tangent_space_lr(class_weight=None),
    }
    scores = score(evaluation, paradigm, dataset, theirs | ours, moabb_home)
    assert len(scores) == n_scores
    for name in theirs:
        np.testing.assert_allclose(scores[f"our {name}"], scores[name], atol=1e-6)
    assert scores["TS"].nunique() > 1


@pytest.mark.data
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("evaluation", "flickers"),
    [
        ("WithinSessionEvaluation", False),
        ("CrossSessionEvaluation", True),
        ("CrossSubjectEvaluation", True),
    ],
)
def test_a_checkpoint_and_a_network_run_inside_moabb(evaluation, flickers, moabb_home, tmp_path):
    from moabb.paradigms import SSVEP, LeftRightImagery
    from test_finetuned import checkpoint

    import brainfm

    dataset = flicker([1, 2]) if flickers else imagery([1, 2])
    paradigm = (
        SSVEP(n_classes=4, resample=200, channels=["Oz", "O1", "O2"])
        if flickers
        else LeftRightImagery(fmin=8, fmax=32, channels=["C3", "Cz", "C4"], resample=200)
    )
    info = paradigm.get_data(dataset, [1], return_epochs=True)[0].info
    given = {
        "probe": brainfm.Finetuned(checkpoint(tmp_path) / "model"),
        "EEGNet": baselines.EEGNet(epochs=2),
        "TS": baselines.tangent_space_lr(),
    }
    # The amplitudes of Kalunga2016 are a thousand times too large to be microvolts.
    factor = 1e-9 if flickers else 1e-6
    pipelines = {name: for_moabb(e, info, factor=factor) for name, e in given.items()}
    probe = pipelines["probe"]["estimator"]
    assert probe.sensors.names == tuple(info["ch_names"])
    assert probe.sfreq == 200
    everything = pipelines | {"bare TS": given["TS"]}
    scores = score(evaluation, paradigm, dataset, everything, moabb_home)
    assert scores.shape == (4 if flickers else 2, 4)
    assert ((scores >= 0) & (scores <= 1)).all(axis=None)
    # The unit changes nothing but the last digits of a single-precision window.
    np.testing.assert_allclose(scores["TS"], scores["bare TS"], atol=0.02)


def test_channels_that_are_no_sensors_are_refused():
    info = mne.create_info(["C3", "C4", "EMG1"], 100.0, ["eeg", "eeg", "emg"])
    with pytest.raises(UsageError, match="EMG1"):
        for_moabb(baselines.mdm(), info)


def test_a_paradigm_becomes_the_task_that_its_file_holds():
    from moabb.datasets import Kalunga2016, PhysionetMI
    from moabb.paradigms import P300, SSVEP, LeftRightImagery

    text = task_yaml(Kalunga2016(), SSVEP(n_classes=4), "runs/kalunga2016/store.zarr")
    assert "7–45 Hz" in text
    committed = (ROOT / "configs" / "tasks" / "kalunga2016-ssvep.yaml").read_text()
    assert yaml.safe_load(text) == yaml.safe_load(committed)
    paradigm = LeftRightImagery(tmin=0.5, tmax=2.5, channels=["C3", "C4"])
    imagery = yaml.safe_load(task_yaml(PhysionetMI(), paradigm, "s.zarr"))
    labels = imagery["label"]["init_args"]
    assert (labels["tmin"], labels["tmax"], imagery["seconds"]) == (0.5, 2.5, 2.0)
    assert imagery["channels"] == ["C3", "C4"]
    assert list(labels["classes"]) == [
        "left_hand",
        "right_hand",
    ]  # MOABB counts the last as positive
    with pytest.raises(UsageError, match="no data set of the paradigm P300"):
        task_yaml(PhysionetMI(), P300(), "s.zarr")


@pytest.mark.data
@pytest.mark.filterwarnings("ignore")
def test_a_data_set_of_moabb_is_a_task_on_the_command_line(moabb_home, tmp_path):
    from moabb.datasets import Kalunga2016
    from moabb.paradigms import SSVEP

    store, bench = tmp_path / "s.zarr", tmp_path / "bench.yaml"
    assert (
        main(["ingest", "moabb:Kalunga2016/1-3", "--recipe", "kalunga2016", "--store", str(store)])
        == 0
    )
    text = task_yaml(Kalunga2016(), SSVEP(n_classes=4), store)
    (tmp_path / "task.yaml").write_text(text)
    mdm = {"class_path": "brainfm.baselines.mdm"}
    in_band = {"class_path": "brainfm.baselines.InBand",
               "init_args": {"low": 7, "high": 45, "estimator": mdm}}  # fmt: skip
    config = {"task": "task.yaml", "estimators": {"MDM": in_band}, "seeds": [0],
              "folds": {"folds": 3, "validation": 0.0}, "out": str(tmp_path / "out")}  # fmt: skip
    bench.write_text(yaml.safe_dump(config))
    assert main(["evaluate", "--config", str(bench)]) == 0
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert results["n_test"].unique().tolist() == [64]

    label = AnnotationLabels({c: c for c in ("13", "17", "21", "rest")}, 0.0, 2.0)
    trials = Task("ssvep", store, label, 2.0).load()
    paradigm = SSVEP(n_classes=4, resample=200)
    X, y, meta = paradigm.get_data(flicker([1, 2, 3]), [1, 2, 3])
    assert trials.y.tolist() == y.tolist()
    assert trials.meta["subject"].tolist() == meta["subject"].astype(str).tolist()
    ours = baselines.InBand(baselines.mdm(), 7.0, 45.0, sfreq=200.0)._filtered(trials.X)[
        ..., 50:350
    ]
    theirs = X[..., 50:350]
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(ours, theirs, strict=True)]
    assert (
        min(alike) > 0.9
    )  # ingestion has taken the mains out, of which MOABB's filter leaves some


def test_our_results_are_a_table_that_moabb_analyses(tmp_path):
    from moabb.analysis.meta_analysis import compute_dataset_statistics

    trials = planted(subjects=8, windows=6)
    # Both days have both classes: what is one recording here is a day there.
    day = np.where(np.arange(len(trials)) % 2, "0train", "1test")
    trials = replace(trials, meta=trials.meta.assign(session=day))
    outcome = run(
        trials, {"mdm": baselines.mdm(), "tangent": baselines.tangent_space_lr()},
        folds=SubjectFolds(4, 0.2), seeds=[0, 1], out=tmp_path, task="toy", draws=20,
    )  # fmt: skip
    predictions = pd.read_csv(tmp_path / "predictions.csv", dtype={"subject": str})
    table = moabb_table(outcome.results, predictions, n_channels=5)
    assert set(table) == {
        "score", "time", "samples", "subject", "session", "channels", "n_sessions", "dataset",
        "pipeline",
    }  # fmt: skip
    assert len(table) == 8 * 2 * 2
    assert (table["samples"] == 6).all()
    assert (table["n_sessions"] == 2).all()
    one = outcome.predictions.query("estimator == 'mdm' and subject == '03' and session == '1test'")
    want = [roc_auc_score(p["y_true"] == "rest", p["p_rest"]) for _, p in one.groupby("seed")]
    of_day = "pipeline == 'mdm' and subject == '03' and session == '1test'"
    assert table.query(of_day)["score"].item() == pytest.approx(np.mean(want))
    statistics = compute_dataset_statistics(table, perm_cutoff=20)
    assert set(statistics["pipe1"]) == {"mdm", "tangent"}
    nameless = moabb_table(outcome.results, predictions.assign(session=None), n_channels=5)
    assert len(nameless) == 8 * 2
    assert set(nameless["session"]) == {"0"}
