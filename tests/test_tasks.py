"""The tasks of configs/tasks on data sets in small, their published splits, and windows left in the store."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import ArgumentParser
from planted import sensors
from scipy.io import loadmat, savemat
from scipy.signal import resample
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from brainfm import baselines
from brainfm.cli import main
from brainfm.errors import UsageError
from brainfm.evaluation import (
    BiotSeizureLabels,
    HypnogramLabels,
    OverlapLabels,
    RecordingLabels,
    SpanLabels,
    Task,
)
from brainfm.evaluation.labels import Span, Tiling
from brainfm.evaluation.leakage import SIDES, find_leaks
from brainfm.evaluation.protocol import run
from brainfm.evaluation.tiled_labels import covered_by
from brainfm.learning.trial_batches import LabelledTrials, OrderedBatches
from brainfm.recordings.formats.shu import ShuMat
from brainfm.recordings.quarantine import Refused
from brainfm.recordings.recording import Annotations
from brainfm.stages.ingest import ingest
from brainfm.windows.published import CorpusFolders, LeftOutInTurn, SubjectLists
from brainfm.windows.reader import WindowReader
from brainfm.windows.splits import Fold, SubjectFolds
from brainfm.windows.stored import StoredWindows
from brainfm.windows.trials import Trials

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"


def task_of(name: str, store: Path) -> Task:
    """Build a task of configs/tasks on another store."""
    parser = ArgumentParser()
    parser.add_argument("--task", type=Task)
    built = parser.instantiate(parser.parse_args([f"--task={CONFIGS / 'tasks' / name}.yaml"]))
    return replace(built.task, store=store)


def ingested(root: Path, recipe: str) -> Path:
    ingest([str(root)], store=root / "s.zarr", recipe=CONFIGS / "datasets" / f"{recipe}.yaml")
    return root / "s.zarr"


def counted(task: Task, split: str, **load: Any) -> dict[str, int]:
    """Return the windows on each side of a published split."""
    trials = task.as_published(split).load(**load)
    (fold,) = task.published(split).split.split(trials.table, 0)
    return {side: int(fold.rows(side, trials.meta).sum()) for side in SIDES}


# ------------------------------------------------------------------ Temple University Hospital


TUAB = {
    # (side, class, subject): seconds of the recording
    ("train", "normal", "aaaaaaaa"): 31,
    ("train", "normal", "aaaaaaab"): 20,
    ("train", "normal", "aaaaaaac"): 10,
    ("train", "normal", "aaaaaaad"): 45,
    ("train", "normal", "aaaaaaae"): 29,
    ("train", "abnormal", "aaaaaaae"): 50,
    ("train", "abnormal", "aaaaaaaf"): 12,
    ("eval", "normal", "aaaaaaag"): 25,
    ("eval", "abnormal", "aaaaaaah"): 9,
    ("eval", "abnormal", "aaaaaaai"): 60,
}


@pytest.fixture(scope="module")
def tuab(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("tuab")
    for i, ((side, kind, subject), seconds) in enumerate(TUAB.items()):
        name = f"edf/{side}/{kind}/01_tcp_ar/{subject}_s001_t{i:03d}.edf"
        layouts.write_edf(root / name, seconds=seconds, sfreq=160, seed=i)
    return ingested(root, "tuab")


def test_tuab_is_cut_and_divided_as_published(tuab):
    task = task_of("tuab-abnormal", tuab)
    # Of five normal subjects the last by name validates, of two abnormal ones the last.
    assert counted(task, "cbramod") == {"train": 3 + 2 + 1 + 4 + 5, "validation": 2 + 1, "test": 8}
    trials = task.load()
    assert trials.X.shape == (26, 16, 2000)
    assert task.classes == ("normal", "abnormal")
    shuffled = [task.published("biot").split.split(trials.table, s)[0] for s in range(6)]
    assert len({fold.validation for fold in shuffled}) > 1
    assert {fold.test for fold in shuffled} == {shuffled[0].test}
    assert task.published("biot").split.split(trials.table, 3)[0] == shuffled[3]


def test_other_counts_than_published_are_refused_by_number(tuab):
    task = task_of("tuab-abnormal", tuab)
    published, trials = task.published("cbramod"), task.load()
    folds = published.split.split(trials.table, 0)
    said = r"15 for train, 3 for validation, 8 for test .* 297,103 for train, 75,407 for validation"
    with pytest.raises(UsageError, match=said):
        published.check(folds, trials.meta, "cbramod", n_channels=16)
    ours = replace(published, expected={"train": 15, "total": 26})
    ours.check(folds, trials.meta, "cbramod", n_channels=16)
    with pytest.raises(UsageError, match="have 22 channels and were published with 16"):
        ours.check(folds, trials.meta, "cbramod", n_channels=22)


def test_somebody_in_two_classes_leaks_in_the_published_split(tuab):
    trials = task_of("tuab-abnormal", tuab).load()
    spec = task_of("tuab-abnormal", tuab).published("cbramod")
    leaks = find_leaks(trials.table, spec.split.split(trials.table, 0))
    assert leaks == ["Subject 'aaaaaaae' is in train and in validation of fold 0"]
    together = CorpusFolders(within="corpus").split(trials.table, 0)
    assert find_leaks(trials.table, together) == []


def test_the_corpus_sides_must_stand_in_the_path(tuab):
    table = task_of("tuab-abnormal", tuab).load().table
    with pytest.raises(UsageError, match="ingest the corpus from its root"):
        CorpusFolders().split(table.assign(source="somewhere/else.edf"), 0)


def test_every_label_of_tuev_is_a_window_that_wraps_at_the_ends(tmp_path):
    layouts.tuev(tmp_path)
    rec = tmp_path / "edf/eval/000/bckg_000_a_.rec"
    rec.write_text("21,0.0,1.0,6\n3,19.0,20.0,1\n")
    second = tmp_path / "edf/train/aaaaaaas/aaaaaaas_00000001.edf"
    layouts.write_edf(second, seed=3)
    second.with_suffix(".rec").write_text("1,9.0,10.0,2\n2,9.0,10.0,3\n3,5.0,6.0,4\n4,5.0,6.0,5\n")
    store = ingested(tmp_path, "tuev")
    task = task_of("tuev-events", store)
    assert counted(task, "cbramod") == {"train": 3, "validation": 4, "test": 2}
    trials = task.load()
    mine = trials.meta["case"].eq("000").to_numpy()
    whole = task.load(memory=0.0).X
    assert isinstance(whole, StoredWindows)
    whole = replace(whole.take(mine), start=np.array([0, 0]), n_times=4000)[0]
    for kind, first in (("bckg", -400), ("spsw", 3400)):
        wanted = np.take(whole, np.arange(first, first + 1000), axis=1, mode="wrap")
        np.testing.assert_array_equal(trials.X[mine & (trials.y == kind)][0], wanted)


def test_tusl_and_tuar_have_their_classes(tmp_path):
    layouts.tusl(tmp_path / "tusl")
    with pytest.raises(UsageError, match=r"No window of class \['seizure'\]"):
        task_of("tusl-slowing", ingested(tmp_path / "tusl", "tusl")).load()
    layouts.tuar(tmp_path / "tuar")
    quiet = layouts.write_edf(tmp_path / "tuar/edf/01_tcp_ar/aaaaaaju_s006_t000.edf", seed=4)
    lines = [x for x in layouts.CSV.splitlines() if "eyem_musc" not in x]
    layouts.write(quiet.with_suffix(".csv"), "\n".join(lines))
    trials = task_of("tuar-artifacts", ingested(tmp_path / "tuar", "tuar")).load()
    # Eyes alone are 1.5 s of the first window, which are 30 %; with muscles they go on to the end.
    by = trials.meta.assign(y=trials.y).groupby("session")["y"].agg(list)
    assert by["s005"] == ["artefact"] * 4
    assert by["s006"] == ["artefact", "clean", "clean", "clean"]


# ------------------------------------------------------------------ seizures


def events(*spans: tuple[float, float, str]) -> Annotations:
    onset, duration = (np.array([s[i] for s in spans], dtype=np.float64) for i in (0, 1))
    return Annotations(onset, duration, tuple(s[2] for s in spans))


def row(seconds: float, sfreq: float = 10.0) -> pd.Series:
    return pd.Series({"id": "r", "n_times": round(seconds * sfreq), "sfreq": sfreq})


TEN = Tiling(100, 100, 10.0)


def test_a_window_inside_a_long_seizure_is_background_by_the_published_rule_only():
    marks = events((12.0, 25.0, "seizure"))  # to 37 s
    ours = OverlapLabels("background", {"seizure": "seizure"}).cut(row(60), marks, TEN)
    names = [cut.label for cut in ours]
    assert names == ["background", "seizure", "seizure", "seizure", "background", "background"]
    theirs = BiotSeizureLabels().cut(row(60), marks, TEN)
    assert [c.label for c in theirs[:6]] == [
        "background", "seizure", "background", "seizure", "background", "background",
    ]  # fmt: skip
    # From 1 s before to 1 s after, every 5 s.
    assert [c.start for c in theirs[6:]] == [110, 160, 210, 260, 310, 360]
    assert {c.label for c in theirs[6:]} == {"seizure"}
    at_the_end = BiotSeizureLabels().cut(row(40), marks, TEN)
    assert [c.start for c in at_the_end[4:]] == [110, 160, 210, 260]


@given(
    spans=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=6),
    share=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_a_window_is_an_event_s_where_enough_of_it_is_covered(spans, share):
    marks = events(*((float(a), float(b), "e") for a, b in spans)) if spans else events()
    labels = OverlapLabels("none", {"e": "event"}, share)
    hit = np.zeros(600, bool)
    for onset, length in spans:
        hit[onset * 10 : (onset + length) * 10] = True
    for cut in labels.cut(row(60), marks, TEN):
        covered = hit[cut.start : cut.start + 100].mean()
        wanted = "event" if covered > 0 and covered >= share - 1e-9 else "none"
        assert cut.label == wanted


def test_what_two_annotations_cover_counts_once():
    spans = [Span(*s, "e") for s in ((0.0, 4.0), (2.0, 6.0), (3.0, 5.0), (8.0, 9.0))]
    assert covered_by(spans, np.array([0.0]), np.array([10.0])).tolist() == [7.0]


ONE_SEIZURE = """Number of Seizures in File: 1
Seizure Start Time: 5 seconds
Seizure End Time: 12 seconds
"""


def test_chb21_is_chb01_and_the_published_split_says_so(tmp_path):
    for i, case in enumerate(("chb01", "chb02", "chb21", "chb22", "chb23", "chb24")):
        file = tmp_path / f"{case}/{case}_01.edf"
        layouts.write_edf(file, layouts.CHB, seconds=40, sfreq=160, seed=i)
        layouts.write(
            file.with_name(f"{case}-summary.txt"), f"File Name: {case}_01.edf\n{ONE_SEIZURE}"
        )
    store = ingested(tmp_path, "chb-mit")
    task = task_of("chb-mit-seizures", store)
    ours = task.load()
    assert set(ours.meta["subject"]) == {"chb01", "chb02", "chb22", "chb23", "chb24"}
    assert set(ours.meta["case"]) >= {"chb21"}
    assert ours.y.tolist() == ["seizure", "seizure", "background", "background"] * 6
    for fold in SubjectFolds(2, 0.3).split(ours.table, 0):
        both = ours.meta["case"].isin(["chb01", "chb21"]).to_numpy()
        assert any(fold.rows(side, ours.meta)[both].all() for side in SIDES)
    published = task.as_published("cbramod")
    trials = published.load()
    folds = published.published("cbramod").split.split(trials.table, 0)
    assert counted(task, "cbramod") == {"train": 12, "validation": 12, "test": 12}
    found = find_leaks(trials.table, folds)
    assert found == ["Subject 'chb01' is in train and in validation of fold 0"]


# ------------------------------------------------------------------ sleep


def test_waking_is_kept_for_half_an_hour_around_sleep():
    night = (
        (0, 7200, "W"),
        (7200, 600, "N1"),
        (7800, 600, "W"),
        (8400, 300, "R"),
        (8700, 9000, "W"),
    )
    stages = events(*night)
    labels = HypnogramLabels({"W": "W", "N1": "N1", "R": "R"})
    cuts = labels.cut(row(17700), stages, Tiling(300, 300, 10.0))
    assert [c.label for c in cuts].count("W") == 60 + 20 + 60
    assert (cuts[0].start, cuts[-1].start) == (54000, 104700)
    assert labels.cut(row(600), events((0, 600, "W")), TEN) == []


def test_a_stage_longer_than_the_recording_ends_with_it():
    cuts = SpanLabels({"a": "x"}).cut(row(25), events((0, 25.04, "a"), (30, 5, "a")), TEN)
    assert [c.start for c in cuts] == [0, 100]


# ------------------------------------------------------------------ splits by name

README = "CBraMod's README of June 2025"
SHUFFLED = "the sum of CBraMod's fixed split, whose subjects BIOT and EEGPT shuffle; test is the corpus' own"
STAMP = "Shook et al. 2025, arXiv:2511.10848, the table of data sets"
PUBLISHED = {
    # (task, split): windows by side, channels of a window, its seconds, and where that was published
    ("tuab-abnormal", "cbramod"): (
        {"train": 297_103, "validation": 75_407, "test": 36_945}, 16, 10, README,
    ),
    ("tuab-abnormal", "biot"): ({"test": 36_945, "total": 409_455}, 16, 10, SHUFFLED),
    ("tuab-abnormal", "eegpt"): ({"test": 36_945, "total": 409_455}, None, 10, SHUFFLED),
    ("tuev-events", "cbramod"): (
        {"train": 68_445, "validation": 15_487, "test": 29_421}, 16, 5, README + ", v2.0.1",
    ),
    ("tuev-events", "biot"): ({"test": 29_421}, 16, 5, SHUFFLED),
    ("tuev-events", "eegpt"): ({"test": 29_421}, None, 5, SHUFFLED),
    ("chb-mit-seizures", "cbramod"): ({}, 16, 10, "BIOT's scripts; no count is certain"),
    ("chb-mit-seizures", "biot"): ({}, 16, 10, "BIOT's scripts; no count is certain"),
    ("eegmat-arithmetic", "cbramod"): ({"total": 1_707}, 20, 5, STAMP),
    ("eegmmidb-imagery", "cbramod"): ({"total": 9_837}, 64, 4, STAMP),
    ("shu-mi-imagery", "cbramod"): ({"total": 11_988}, 32, 4, STAMP),
    ("bnci2014-001-imagery", "cbramod"): (
        {"train": 2_784, "validation": 1_152, "test": 1_152, "total": 5_088}, 22, 4,
        STAMP + "; 5, 2 and 2 people of 576 trials, but for A04T's first two runs of 48",
    ),
    ("bnci2014-001-imagery", "eegpt"): ({}, None, 4, "EEGPT's scripts; one person a fold"),
    ("bnci2014-004-imagery", "eegpt"): ({}, None, 4, "EEGPT's scripts; one person a fold"),
    ("sleep-edf-stages", "eegpt"): ({}, None, 30, "EEGPT's scripts; its crop of waking is not known"),
}  # fmt: skip
SHIPPED = [
    (path.stem, name)
    for path in sorted((CONFIGS / "tasks").glob("*.yaml"))
    for name in task_of(path.stem, Path("none")).splits
]


@pytest.mark.parametrize(("name", "split"), SHIPPED)
def test_a_published_split_accepts_what_was_published_and_nothing_else(name, split):
    task = task_of(name, Path("none"))
    published = task.published(split)
    windows, n_channels, seconds, _ = PUBLISHED[name, split]
    assert (published.expected, published.n_channels) == (windows, n_channels)
    assert task.as_published(split).seconds == seconds
    sizes = {side: windows.get(side, 3) for side in SIDES}
    if "total" in windows:  # the sides of which nothing was published share what is left
        free = [side for side in SIDES if side not in windows]
        left = windows["total"] - sum(windows.get(side, 0) for side in SIDES)
        sizes |= {side: left // len(free) + (i < left % len(free)) for i, side in enumerate(free)}
    fold = Fold(0, ("train",), ("validation",), ("test",), by="recording")
    there = n_channels or 19

    def check(sizes: dict[str, int], channels: int = there) -> None:
        meta = pd.DataFrame({"recording": np.repeat(list(sizes), list(sizes.values()))})
        published.check([fold], meta, split, n_channels=channels)

    check(sizes)
    for side in SIDES:
        lost = sizes | {side: sizes[side] - 1}
        if side in windows or "total" in windows:
            with pytest.raises(UsageError, match="windows and was published with"):
                check(lost)
        else:
            check(lost)
    if n_channels is not None:
        with pytest.raises(UsageError, match=f"published with {n_channels}: ingest"):
            check(sizes, n_channels - 1)


def test_no_published_count_is_without_its_source():
    assert sorted(SHIPPED) == sorted(PUBLISHED)
    text = (ROOT / "docs" / "evaluation.md").read_text()
    for windows, *_ in PUBLISHED.values():
        missing = [n for side, n in windows.items() if f"{n:,}" not in text and side != "total"]
        assert not missing


def table(subjects: list[str], windows: int = 1, **columns: Any) -> pd.DataFrame:
    rows = [
        {"subject": s, "recording": f"r{s}", "label": "a", **columns}
        for s in subjects
        for _ in range(windows)
    ]
    return pd.DataFrame(rows)


def test_bci_iv_2a_has_the_published_windows():
    rows = [
        {
            "subject": str(s),
            "session": session,
            "run": str(run),
            "recording": f"{s}-{session}-{run}",
        }
        for s in range(1, 10)
        for session in ("0train", "1test")
        for run in range(6)
        for _ in range(48)
    ]
    task = task_of("bnci2014-001-imagery", Path("none"))
    published, meta = task.published("cbramod"), pd.DataFrame(rows)
    assert len(meta) == 5184
    published.check(published.split.split(meta, 0), meta, "cbramod", n_channels=22)
    whole = replace(published.split, exclude=())
    with pytest.raises(UsageError, match="2,880 for train, 5,184 for total"):
        published.check(whole.split(meta, 0), meta, "cbramod", n_channels=22)
    left_out = task.published("eegpt").split.split(meta, 0)
    tested = [set(meta["subject"][f.rows("test", meta)]) for f in left_out]
    assert tested == [{str(s)} for s in range(1, 10)]


@pytest.mark.parametrize(
    ("name", "names", "sizes"),
    [
        ("eegmmidb-imagery", [f"{i:03d}" for i in range(1, 110)], (70, 19, 20)),
        ("eegmat-arithmetic", [f"{i:02d}" for i in range(36)], (28, 4, 4)),
        ("shu-mi-imagery", [f"{i:03d}" for i in range(1, 26)], (15, 5, 5)),
        ("chb-mit-seizures", [f"chb{i:02d}" for i in range(1, 25)], (20, 2, 2)),
    ],
)
def test_the_literature_s_people_are_on_their_sides(name, names, sizes):
    (fold,) = task_of(name, Path("none")).published("cbramod").split.split(table(names), 3)
    assert (len(fold.train), len(fold.validation), len(fold.test)) == sizes
    assert fold.train[0] == f"r{names[0]}"
    assert fold.test[-1] == f"r{names[-1]}"


def test_sleep_edf_has_eegpt_s_ten_folds():
    split = task_of("sleep-edf-stages", Path("none")).published("eegpt").split
    names = [f"SC4{i:02d}" for i in range(83) if i not in (39, 68, 69, 78, 79)]
    folds = split.split(table(names), 0)
    assert [len(f.test) for f in folds] == [6] * 10
    assert {len(f.train) for f in folds} == {58}
    assert "rSC400" in folds[0].test
    assert len({name for f in folds for name in f.test}) == 60


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (SubjectLists(("1",), ("9",)), "Nobody is left"),
        (SubjectLists(("1",), ("2",), ("7",)), "Nobody is left"),
        (LeftOutInTurn(9), "3 subjects cannot be left out in 9"),
    ],
)
def test_a_published_split_without_its_people_is_refused(split, message):
    with pytest.raises(UsageError, match=message):
        split.split(table(["1", "2", "3"]), 0)


def test_a_task_lists_its_splits_when_another_is_asked_for():
    with pytest.raises(UsageError, match="has no split 'labram'; it has cbramod, biot"):
        task_of("tuab-abnormal", Path("none")).published("labram")


# ------------------------------------------------------------------ SHU-MI, from MATLAB's files


@pytest.fixture(scope="module")
def shu(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    root = tmp_path_factory.mktemp("shu")
    data = layouts.shu(root)
    return ingested(root, "shu-mi"), data


def test_shu_s_trials_are_its_arrays_and_know_nothing_of_each_other(shu):
    store, data = shu
    task = task_of("shu-mi-imagery", store)
    trials = task.load()
    assert trials.X.shape == (3 * 2 * 6, 32, 800)
    assert trials.sensors.names[:2] + trials.sensors.names[14:18] == (
        "Fp1", "Fp2", "T7", "T8", "A1", "A2",
    )  # fmt: skip
    assert set(trials.meta["session"]) == {"01", "02"}
    for name, each in data.items():
        mine = trials.meta["source"].str.endswith(name).to_numpy()
        wanted = 1e-6 * resample(each, 800, axis=2)
        np.testing.assert_allclose(trials.X[mine], wanted, atol=3e-9)  # half a step of int16
        labels = loadmat(store.parent / name)["labels"][0]
        assert trials.y[mine].tolist() == [("left hand", "right hand")[k - 1] for k in labels]
    assert counted(task, "cbramod") == {"train": 12, "validation": 12, "test": 12}


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ({"data": np.zeros((2, 31, 1000)), "labels": [[1, 2]]}, "unknown_format"),
        ({"labels": [[1, 2]]}, "unknown_format"),
        ({"data": np.zeros((2, 32, 1000)), "labels": [[1]]}, "bad_labels"),
        ({"data": np.zeros((2, 32, 1000)), "labels": [[1, 3]]}, "bad_labels"),
        ({"data": np.zeros((2, 32, 1000))}, "bad_labels"),
        (None, "damaged"),
    ],
)
def test_another_layout_than_shu_s_is_refused(held, reason, tmp_path):
    path = tmp_path / "sub-001_ses-01_task_motorimagery_eeg.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(600))
    if held is not None:
        savemat(path, held)
    with pytest.raises(Refused) as refused:
        ShuMat().open(path)
    assert refused.value.args[0] == reason


def test_a_wrong_count_ends_the_command_with_one_sentence(shu, tmp_path, capsys):
    call = [
        "evaluate", "--task", str(CONFIGS / "tasks" / "shu-mi-imagery.yaml"), "--task.store", str(shu[0]),
        "--split", "cbramod", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    (tmp_path / "bench.yaml").write_text("estimators: {mdm: {class_path: brainfm.baselines.mdm}}")
    assert main([*call, "--config", str(tmp_path / "bench.yaml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has 36 for total windows and was published with 11,988 for total: give" in line
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ windows that stay in the store


ARITHMETIC = RecordingLabels("run", {"1": "rest", "2": "arithmetic"})


@pytest.fixture(scope="module")
def arithmetic(tmp_path_factory) -> Task:
    path = tmp_path_factory.mktemp("task") / "store.zarr"
    files = sorted(map(str, (ROOT / "sample" / "eegmat").glob("Subject0[0-3]_*.edf")))
    ingest(files, store=path, recipe=CONFIGS / "datasets" / "eegmat.yaml")
    return Task("eegmat", path, ARITHMETIC, 5.0)


def test_windows_in_the_store_are_those_of_the_array(arithmetic):
    array, stored = arithmetic.load(), arithmetic.load(memory=1e-3)
    assert isinstance(array.X, np.ndarray)
    assert isinstance(stored.X, StoredWindows)
    assert stored.X.shape == array.X.shape
    rng = np.random.default_rng(0)
    for rows in (3, slice(2, 9, 3), rng.permutation(20), array.y == "rest"):
        np.testing.assert_array_equal(stored.X[rows], array.X[rows])
    some = stored.take(np.array([5, 1]))
    assert isinstance(some.X, StoredWindows)
    np.testing.assert_array_equal(some.X[:], array.X[[5, 1]])
    spread = [t.X.std(axis=-1, dtype=np.float64) for t in (stored, array)]
    np.testing.assert_allclose(*spread)
    halves = stored.X / np.full((19, 1), 2.0)
    np.testing.assert_allclose(halves[:4], array.X[:4] / 2)
    label = np.zeros(len(array), np.int64)
    for one, two in zip(
        *(OrderedBatches(LabelledTrials(t.X, label, t.sensors, t.sfreq)) for t in (array, stored)),
        strict=True,
    ):
        assert (one.signal == two.signal).all()
        assert set(two.recording) <= set(stored.X.recording)  # an error names them


def test_an_estimator_that_reads_in_batches_scores_the_same_and_another_is_told_why_not(
    arithmetic, tmp_path
):
    estimators = {
        "tangent": baselines.tangent_space_lr(),
        "all at once": make_pipeline(
            FunctionTransformer(lambda X: np.asarray(X).reshape(len(X), -1)[:, :50]),
            LinearDiscriminantAnalysis(),
        ),
    }
    call = {"folds": SubjectFolds(2, 0.0), "seeds": [0], "draws": 20}
    whole = run(arithmetic.load(), estimators, out=tmp_path / "a", **call)
    whole.check_complete()
    streamed = run(arithmetic.load(memory=1e-3), estimators, out=tmp_path / "b", **call)
    both = [o.predictions[o.predictions["estimator"] == "tangent"] for o in (whole, streamed)]
    np.testing.assert_allclose(both[0]["p_rest"], both[1]["p_rest"], rtol=1e-4)
    assert {record.estimator for record in streamed.failed} == {"all at once"}
    assert "in one array of 0.0 GB, which is more than `memory` allows" in streamed.failed[0].error


def test_a_corpus_of_the_size_of_tuab_is_divided_without_reading_it():
    count, recordings = 409_455, 2993
    id = np.array([f"r{i:04d}" for i in range(recordings)], dtype=object)
    which = np.sort(np.random.default_rng(0).integers(0, recordings, count))
    X = StoredWindows(
        WindowReader(Path("none"), ("eeg",)), 200.0, recording=id[which],
        start=np.arange(count) * 2000, lengths=dict.fromkeys(id, 10**10), n_channels=16, n_times=2000,
    )  # fmt: skip
    meta = pd.DataFrame({
        "recording": id[which], "subject": which % 2329, "session": None, "run": None,
        "onset": np.arange(count) * 10.0, "fingerprint": id[which],
    })  # fmt: skip
    meta["subject"] = meta["subject"].astype(str)
    trials = Trials(X, np.where(which % 2, "normal", "abnormal"), meta, sensors(16), 200.0)
    assert X.nbytes > 52e9
    parts = [trials.of(fold, "train") for fold in SubjectFolds(5, 0.2).split(trials.table, 0)]
    assert all(isinstance(part.X, StoredWindows) and len(part) > 200_000 for part in parts)


# ------------------------------------------------------------------ on the recordings given


@pytest.mark.data
def test_eegmat_s_windows_are_as_many_as_its_recordings_hold(tmp_path):
    files = Path(os.environ["BRAINFM_DATA"]) / "eegmat_arithmetic"
    ingest([str(files)], store=tmp_path / "s.zarr", recipe=CONFIGS / "datasets" / "eegmat-20.yaml")
    task = task_of("eegmat-arithmetic", tmp_path / "s.zarr")
    trials = task.load()
    assert trials.X.shape[1:] == (PUBLISHED["eegmat-arithmetic", "cbramod"][1], 1000)
    assert trials.sensors.names[-1] == "EEG A2-A1"
    # Eight of the 36 people: 36 windows of rest and 12 of arithmetic each, but 34 of subject 04's rest. By
    # that rule 36 people give 1,728; 1,707 are published, some rests being shorter.
    per = trials.meta.groupby(["subject", "run"]).size()
    assert per[:, "1"].tolist() == [36, 36, 36, 36, 34, 36, 36, 36]
    assert set(per[:, "2"]) == {12}
    assert len(trials) == 382
    with pytest.raises(UsageError, match="Nobody is left"):
        task.published("cbramod").split.split(trials.table, 0)


@pytest.mark.data
def test_imagery_of_four_kinds_takes_its_meaning_from_the_run(tmp_path):
    files = [
        str(p) for r in ("03", "04", "06", "08", "10", "12", "14")
        for p in Path(os.environ["BRAINFM_DATA"]).rglob(f"S001R{r}.edf")
    ]  # fmt: skip
    ingest(files, store=tmp_path / "s.zarr", recipe=CONFIGS / "datasets" / "eegmmidb.yaml")
    trials = task_of("eegmmidb-imagery", tmp_path / "s.zarr").load()
    assert len(trials) == 6 * 15
    kinds = trials.meta.assign(y=trials.y).groupby("run")["y"].agg(set)
    assert kinds["04"] == {"left fist", "right fist"}
    assert kinds["06"] == {"both fists", "both feet"}
    assert "03" not in kinds
