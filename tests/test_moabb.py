"""Inside MOABB's own evaluations, on real recordings, beside MOABB's own pipelines."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import mne
import numpy as np
import pytest
from planted import planted
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from brainfm import baselines
from brainfm.errors import UsageError
from brainfm.evaluation.moabb import for_moabb, moabb_table
from brainfm.evaluation.protocol import run
from brainfm.windows.splits import SubjectFolds

pytest.importorskip("moabb", reason="MOABB is not installed")
CHANNELS = ["FC3", "FCz", "FC4", "C3", "Cz", "C4", "CP3", "CP4"]


@pytest.fixture(scope="module")
def moabb_home(tmp_path_factory):
    """A copy of the recordings, for MOABB moves files about, and no way to the network."""
    home = tmp_path_factory.mktemp("moabb")
    source = Path(os.environ["BRAINFM_DATA"]) / "eegmmidb"
    wanted = [f"S{s:03}R{r:02}.edf" for s in (1, 2) for r in (4, 8, 12)]
    wanted += [f"S001R{r:02}.edf" for r in (6, 10, 14)]
    for path in source.rglob("*.edf"):
        if path.name in wanted:
            target = home / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOABB_DOWNLOAD_PROVIDER", "upstream")
        patch.setenv("MNE_DATASETS_EEGBCI_PATH", str(home))
        patch.setenv("MOABB_RESULTS", str(home / "results"))
        patch.setenv("MNE_DATA", str(home))
        with config_context():  # MOABB changes scikit-learn's configuration for good
            yield home


def evaluate(pipelines, home, *, resample=None, **options):
    """Return MOABB's table of its within-session evaluation."""
    from moabb.datasets import PhysionetMI
    from moabb.evaluations import WithinSessionEvaluation
    from moabb.paradigms import LeftRightImagery

    dataset = PhysionetMI()
    dataset.subject_list, dataset.feet_runs = [1, 2], []
    evaluation = WithinSessionEvaluation(
        LeftRightImagery(fmin=8, fmax=32, channels=CHANNELS, resample=resample), [dataset],
        random_state=42, overwrite=True, hdf5_path=str(home / "results"),
    )  # fmt: skip
    table = evaluation.process(pipelines, **options)
    return table.pivot_table(index=["subject", "session"], columns="pipeline", values="score")


@pytest.mark.data
@pytest.mark.filterwarnings("ignore")  # MOABB, MNE and scikit-learn warn of each other
def test_our_pipelines_score_as_moabbs_in_its_own_evaluation(moabb_home):
    from moabb.pipelines.features import AugmentedDataset
    from pyriemann.estimation import Covariances
    from pyriemann.tangentspace import TangentSpace

    inner = StratifiedKFold(3, shuffle=True, random_state=42)  # as WithinSessionEvaluation has it
    grid = {
        "augmenteddataset__order": [1, 2], "augmenteddataset__lag": [1, 4],
        "svc__C": [0.5, 1.0], "svc__kernel": ["rbf", "linear"],
    }  # fmt: skip
    theirs = {
        "TS": make_pipeline(
            Covariances("cov"), TangentSpace(metric="riemann"), LogisticRegression(max_iter=1000)
        ),
        "ACM": make_pipeline(AugmentedDataset(3, 2), Covariances("cov"), TangentSpace(), SVC()),
        "ACM grid": make_pipeline(AugmentedDataset(), Covariances("cov"), TangentSpace(), SVC()),
    }
    ours = {
        "our TS": baselines.tangent_space_lr("scm", class_weight=None),
        "our ACM": baselines.augmented_tangent_space_svm(3, 2, estimator="scm", class_weight=None),
        "our ACM grid": baselines.AugmentedSearch(
            (1, 2),
            (1, 4),
            C=(0.5, 1.0),
            estimator="scm",
            scoring="auroc",
            folds=inner,
            class_weight=None,
        ),
    }
    scores = evaluate(theirs | ours, moabb_home, param_grid={"ACM grid": grid})
    assert len(scores) == 2
    for name in theirs:
        np.testing.assert_allclose(scores[f"our {name}"], scores[name], atol=1e-6)
    assert scores["ACM"].nunique() == 2


@pytest.mark.data
@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_and_a_network_run_inside_moabb(moabb_home, tmp_path):
    from moabb.datasets import PhysionetMI
    from moabb.paradigms import LeftRightImagery
    from test_finetuned import checkpoint

    import brainfm

    dataset = PhysionetMI()
    dataset.subject_list, dataset.feet_runs = [1, 2], []
    paradigm = LeftRightImagery(fmin=8, fmax=32, channels=CHANNELS, resample=200)
    info = paradigm.get_data(dataset, [1], return_epochs=True)[0].info
    given = {
        "probe": brainfm.Finetuned(checkpoint(tmp_path) / "model"),
        "EEGNet": baselines.EEGNet(epochs=2),
        "TS": baselines.tangent_space_lr(),
    }
    pipelines = {name: for_moabb(estimator, info) for name, estimator in given.items()}
    probe = pipelines["probe"]["estimator"]
    assert probe.sensors.names == tuple(CHANNELS)
    assert probe.sfreq == 200
    scores = evaluate(pipelines | {"bare TS": given["TS"]}, moabb_home, resample=200)
    assert scores.shape == (2, 4)
    assert ((scores >= 0) & (scores <= 1)).all(axis=None)
    # The unit changes nothing but the last digits of a single-precision window.
    np.testing.assert_allclose(scores["TS"], scores["bare TS"], atol=0.02)


def test_channels_that_are_no_sensors_are_refused():
    info = mne.create_info(["C3", "C4", "EMG1"], 100.0, ["eeg", "eeg", "emg"])
    with pytest.raises(UsageError, match="EMG1"):
        for_moabb(baselines.mdm(), info)


def test_our_results_are_a_table_that_moabb_analyses(tmp_path):
    from moabb.analysis.meta_analysis import compute_dataset_statistics

    trials = planted(subjects=8, windows=6)
    outcome = run(
        trials, {"mdm": baselines.mdm(), "tangent": baselines.tangent_space_lr()},
        folds=SubjectFolds(4, 0.2), seeds=[0, 1], out=tmp_path, task="toy", draws=20,
    )  # fmt: skip
    table = moabb_table(outcome.results, outcome.predictions, n_channels=5)
    assert set(table) == {
        "score", "time", "samples", "subject", "session", "channels", "n_sessions", "dataset",
        "pipeline",
    }  # fmt: skip
    assert len(table) == 8 * 2
    assert (table["samples"] == 12).all()
    one = outcome.predictions.query("estimator == 'mdm' and subject == '03'")
    want = [roc_auc_score(p["y_true"] == "rest", p["p_rest"]) for _, p in one.groupby("seed")]
    mine = table.query("pipeline == 'mdm' and subject == '03'")["score"].item()
    assert mine == pytest.approx(np.mean(want))
    statistics = compute_dataset_statistics(table, perm_cutoff=20)
    assert set(statistics["pipe1"]) == {"mdm", "tangent"}
