"""The report: what it may say, what it must not, and that it needs nothing but its own file."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from brainfm.evaluation.intervals import Interval
from brainfm.evaluation.journey import Journey
from brainfm.evaluation.pairs import Difference, sign_flip_p
from brainfm.evaluation.report import write_report
from brainfm.evaluation.report.comparison import compare_estimators
from brainfm.evaluation.report.conditions import find_conditions
from brainfm.evaluation.report.drawing import Frame, Linear, Logarithmic, plot
from brainfm.evaluation.report.heads import project
from brainfm.evaluation.report.inputs import read_results
from brainfm.evaluation.report.motifs import describe_motifs
from brainfm.evaluation.report.numbers import figure, listed
from brainfm.evaluation.report.occurrences import find_occurrences, read_snippets
from brainfm.evaluation.report.ranks import rank_diagram, ranking_of
from brainfm.evaluation.report.spectra import recording_spectra
from brainfm.evaluation.report.standings import caution, class_paths
from brainfm.evaluation.report.strips import apart
from brainfm.evaluation.report.training import scale_for
from brainfm.evaluation.report.verdict import (
    Family,
    Standing,
    against_baseline,
    family_of,
    pretraining_gain,
    verdict,
)
from brainfm.recordings.synthetic import POSTERIOR, synthesise
from brainfm.store import open_store
from brainfm.store.hold import create_store, writing
from brainfm.store.tokens import TokenWriter, header, open_tokens
from brainfm.store.write import write_quarantine, write_recording

METRICS = ("balanced_accuracy", "auroc", "auc_pr", "kappa", "weighted_f1")
ESTIMATORS = (
    "foundation-full",
    "foundation-probe",
    "random-probe",
    "mdm",
    "tangent-svm",
    "bandpower-lda",
)
FOLDS, SEEDS = 4, 2
CLASSES = ("none", "rhythm")
ALPHA, OTHER = 7, 3
"""Codes of the fake token store: one marks the planted rhythm, the other all else."""


# ---- inputs with a known answer -------------------------------------------------------------------


def make_store(path: Path, **changes) -> None:
    create_store(path, {"l_freq": 0.1, "h_freq": 75.0, "sfreq": 200.0, "unit": "SI"}, "abc")
    with writing(path):
        for number, recording in enumerate(synthesise(4, seconds=12.0)):
            write_recording(path, replace(recording, **changes), f"{number:064d}")
        write_quarantine(
            path,
            "bad/file.edf",
            reason="truncated",
            detail="Half is gone.",
            sha256="0",
            recipe_hash="1",
        )


def make_tokens(path: Path, store_path: Path) -> None:
    """The rhythm's code stands on posterior channels of recordings with the rhythm, and nowhere else."""
    store = open_store(store_path)
    writer = TokenWriter(
        path,
        header(
            vocabulary=16, vocabulary_hash="v", seconds=4.0, step=0.5, span=1.0, sfreq=200.0,
            store="s", store_fingerprint=store.fingerprint, checkpoint="c",
        ),
    )  # fmt: skip
    writer.begin()
    for row in store.table.to_dict("records"):
        codes = np.full((3, 19, 7), OTHER, np.int32)
        if row["run"] == "1":
            posterior = [n in POSTERIOR for n in store.sensors(row["id"]).names]
            codes[:, posterior] = ALPHA
        writer.write(row["id"], codes, np.arange(3) * 4.0)
    writer.finish()


def make_evaluation(out: Path, store_path: Path, estimators=ESTIMATORS, classes=CLASSES) -> None:
    out.mkdir()
    rng = np.random.default_rng(0)
    table = open_store(store_path).table
    results, predictions, statistics = [], [], []
    for e, name in enumerate(estimators):
        for fold, seed in np.ndindex(FOLDS, SEEDS):
            results += [
                {
                    "task": "synthetic", "estimator": name, "fold": fold, "seed": seed,
                    "test_subjects": f"{fold:02d}", "metric": m, "value": 0.5 + 0.05 * e, "n_test": 4,
                    "trained_parameters": 1_166_100, "seconds": 1.5, "overlap": "clean", "error": "",
                }
                for m in METRICS
            ]  # fmt: skip
            for row in table[table["subject"] == f"{fold:02d}"].to_dict("records"):
                for onset in (0.0, 4.0):
                    p = float(rng.uniform(0.2, 0.8))
                    predictions.append(
                        {
                            "task": "synthetic", "estimator": name, "fold": fold, "seed": seed,
                            "subject": row["subject"], "recording": row["id"], "onset": onset,
                            "y_true": classes[int(row["run"] == "1")],
                            f"p_{classes[0]}": 1 - p, f"p_{classes[1]}": p,
                        }
                    )  # fmt: skip
        statistics += [
            {
                "task": "synthetic", "estimator": name, "metric": m, "value": 0.5 + 0.05 * e,
                "low": 0.45 + 0.05 * e, "high": 0.55 + 0.05 * e, "chance_low": 0.4, "chance_high": 0.59,
                "p_chance_holm": 0.01 if e > 2 else 0.5,
                "n_subjects": 4, "folds_done": FOLDS * SEEDS, "folds_expected": FOLDS * SEEDS,
                "complete": True, "reference": "" if e == 0 else estimators[0],
                "difference": 0.05 * e, "difference_low": -0.1, "difference_high": 0.2, "p": 0.125,
                "n_paired": 4,
            }
            for m in METRICS
        ]  # fmt: skip
    for stem, rows in (
        ("results", results),
        ("predictions", predictions),
        ("statistics", statistics),
    ):
        pd.DataFrame(rows).to_csv(out / f"{stem}.csv", index=False)
    (out / "config.yaml").write_text(yaml.safe_dump({"task": {"seconds": 4.0}, "seeds": [0, 1]}))
    (out / "manifest.json").write_text(
        json.dumps({"command": "brainfm evaluate --config b.yaml", "versions": {"numpy": "2.4.1"}})
    )


def make_run(folder: Path) -> None:
    (folder / "model").mkdir(parents=True)
    steps = np.arange(10, 301, 10)
    table = pd.DataFrame({"step": steps, "loss": 40 * np.exp(-steps / 50) + 0.5, "lr": 1e-3})
    table["val/loss"] = np.where(steps % 100 == 0, table["loss"] * 1.1, np.nan)
    table.to_csv(folder / "metrics.csv", index=False)
    (folder / "config.yaml").write_text("seed: 11\ntrain:\n  lr: 0.001\n")
    (folder / "manifest.json").write_text(
        json.dumps(
            {
                "command": f"brainfm pretrain --config {folder.name}.yaml",
                "versions": {"torch": "2.6"},
            }
        )
    )
    (folder / "model/config.json").write_text(
        json.dumps({"preprocessing_hash": "abc", "kinds": ["eeg"]})
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A folder with all that a journey leaves behind."""
    root = tmp_path_factory.mktemp("journey")
    make_store(root / "store.zarr")
    make_tokens(root / "tokens.zarr", root / "store.zarr")
    make_evaluation(root / "eval", root / "store.zarr")
    for name in ("tokenizer", "pretrain", "finetune"):
        make_run(root / name)
    return root


@pytest.fixture
def root(whole, tmp_path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(whole, tmp_path / "j")
    return tmp_path / "j"


def journey(root: Path) -> Journey:
    names = ("tokenizer", "pretrain", "finetune")
    return Journey(
        store=root / "store.zarr", tokens=root / "tokens.zarr", **{n: root / n for n in names}
    )


@pytest.fixture(scope="module")
def html(whole) -> str:
    """The page of a whole journey."""
    return report(whole)


def report(root: Path) -> str:
    return write_report(root / "eval", journey=journey(root)).read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Checks that what is opened is closed, and gathers tags, attributes and text."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


# ---- the page ---------------------------------------------------------------------------------


def test_every_section_has_what_it_is_for(html):
    text = " ".join(Tags(html).text)
    for words in (
        *(
            "bandpower-lda, tangent-svm and mdm are above chance",
            "8 of 8",
            "All measures",
            "Cohen’s κ",
        ),
        *(
            "1.17 M",
            "Paired differences",
            "What was ingested",
            "rhythm",
            "truncated",
            "Half is gone.",
        ),
        *(f"motif {ALPHA}", "perplexity", "Tokenizer", "Pretraining", "Fine-tuning", "Please cite"),
        *("brainfm pretrain --config", "2.4.1"),
    ):
        assert words in text, words
    assert "absent" not in {a.get("class") for _, a in Tags(html).seen}


def test_the_page_needs_nothing_but_itself(html):
    for tag, attributes in Tags(html).seen:
        for name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
            link = attributes.get(name) or ""
            plain_anchor = tag == "a" and name == "href" and link.startswith("https://")
            assert plain_anchor or link.startswith("#") or link in ("", "data:,"), (tag, link)
        assert tag not in ("iframe", "object", "embed", "img", "base")
        assert not any(name.startswith("on") for name in attributes)
    assert "@import" not in html
    assert "url(" not in html
    assert len(html) < 6_000_000


def test_pictures_have_words_and_tables_have_headers(html):
    seen = Tags(html).seen
    roles = [a for t, a in seen if t == "svg" and a.get("role") == "img"]
    assert len(roles) > 20
    assert all(a["aria-label"] for a in roles)
    assert sum(t == "table" for t, _ in seen) <= sum(t == "thead" for t, _ in seen)
    assert all(a.get("scope") for t, a in seen if t == "th")
    assert next(a for t, a in seen if t == "html")["lang"] == "en"


def test_same_files_same_bytes_wherever_they_lie(whole, tmp_path):
    pages = set()
    for place in ("here", "there/below"):
        shutil.copytree(whole, tmp_path / place)
        pages |= {report(tmp_path / place), report(tmp_path / place)}
    assert len(pages) == 1
    assert str(tmp_path) not in pages.pop()


def test_nothing_half_written_stays(root):
    report(root)
    assert [p.name for p in (root / "eval").glob("*report*")] == ["report.html"]


# ---- what is missing is said, and never made up -------------------------------------------------

PARTS = (
    "eval/results.csv", "eval/statistics.csv", "eval/predictions.csv", "eval/config.yaml",
    "eval/manifest.json", "store.zarr", "tokens.zarr", "tokenizer", "pretrain/metrics.csv",
    "finetune/config.yaml", "finetune/manifest.json", "tokenizer/model/config.json",
)  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_a_sentence(root, part):
    path = root / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    html = report(root)
    Tags(html)
    sentences = re.findall(r'class="absent">([^<]*)<', html)
    assert any(path.name in sentence for sentence in sentences)


@pytest.mark.parametrize("damage", [b"\x00\xff\xfe", b"{", b"a,b\n1,2,3\n4"])
@pytest.mark.parametrize(
    "part", [p for p in PARTS if "." in p.rpartition("/")[2] and "zarr" not in p]
)
def test_a_damaged_file_does_not_stop_the_page(root, part, damage):
    (root / part).write_bytes(damage)
    # Without store and tokens, whose pictures would take most of the time.
    light = replace(journey(root), store=None, tokens=None)
    Tags(write_report(root / "eval", journey=light).read_text(encoding="utf-8"))


def test_nothing_at_all_is_still_a_page(tmp_path):
    html = write_report(tmp_path / "eval").read_text()
    assert "There is no comparison to show." in html
    assert "There is no eval/statistics.csv." in html
    # What nobody asked for has no section.
    for words in ("What was ingested", "Motifs", "Training"):
        assert words not in html


def test_a_damaged_recording_does_not_stop_the_page(root):
    for chunk in (root / "store.zarr/recordings").glob("*/signal/c.*"):
        if chunk.is_file():
            chunk.write_bytes(b"no zarr")
    html = report(root)
    Tags(html)
    assert "store.zarr is damaged and cannot be shown" in html


def test_tokens_of_another_store_are_not_drawn(root, tmp_path):
    make_store(tmp_path / "other.zarr", source="elsewhere.edf")
    shutil.rmtree(root / "store.zarr")
    create_store(root / "store.zarr", {"sfreq": 200.0}, "abc")
    with writing(root / "store.zarr"):
        write_recording(root / "store.zarr", synthesise(1, seconds=12.0, seed=9)[0], "0" * 64)
    assert "The tokens were made of another store" in report(root)


def incomplete(root: Path, *, estimator: str, value: str = "") -> None:
    """Take away one fold of an estimator, as the protocol notes it."""
    results = pd.read_csv(root / "eval/results.csv", dtype=str, keep_default_na=False)
    lost = (results["estimator"] == estimator) & (results["fold"] == "2") & (results["seed"] == "1")
    results.loc[lost, ["value", "error"]] = ["", "RuntimeError: out of memory"]
    results.to_csv(root / "eval/results.csv", index=False)
    statistics = pd.read_csv(root / "eval/statistics.csv", dtype=str, keep_default_na=False)
    mine = statistics["estimator"] == estimator
    columns = ["value", "low", "high", "folds_done", "complete"]
    statistics.loc[mine, columns] = [value, value, value, str(FOLDS * SEEDS - 1), "False"]
    statistics.to_csv(root / "eval/statistics.csv", index=False)


@pytest.mark.parametrize("value", ["", "0.98765"])
def test_a_missing_fold_is_red_and_never_averaged(root, value):
    incomplete(root, estimator="bandpower-lda", value=value)
    html = report(root)
    assert re.search(r'class="alarm" role="alert"', html)
    assert "bandpower-lda: 1 fold missing: fold 2 seed 1 (RuntimeError: out of memory)" in html
    assert re.search(r'class="folds lost-words">7 of 8<', html)
    assert html.count("missing<span") == len(METRICS)
    assert "0.988" not in html
    (comparison,) = compare_estimators(read_results(root / "eval"))
    row = comparison.rows[-1]
    assert row.name == "bandpower-lda"
    assert "marker" not in row.strip
    assert "lost" in row.strip
    assert "circle" not in row.subject_strip
    assert row.overlap == "clean"  # folds are compared with pretraining before they are fitted


def test_a_complete_table_raises_no_alarm(html):
    assert 'role="alert"' not in html


def test_the_worst_overlap_of_any_fold_is_shown(root):
    results = pd.read_csv(root / "eval/results.csv")
    first = results.index[results["estimator"] == "foundation-full"][0]
    results.loc[first, "overlap"] = "seen-unlabelled"
    results.to_csv(root / "eval/results.csv", index=False)
    (comparison,) = compare_estimators(read_results(root / "eval"))
    overlap = {row.name: row.overlap for row in comparison.rows}
    assert overlap.pop("foundation-full") == "seen unlabelled"
    assert set(overlap.values()) == {"clean"}


def test_two_tasks_have_two_results(root):
    for name in ("results", "statistics", "predictions"):
        table = pd.read_csv(root / f"eval/{name}.csv", dtype=str, keep_default_na=False)
        pd.concat([table, table.assign(task="again")]).to_csv(
            root / f"eval/{name}.csv", index=False
        )
    html = report(root)
    Tags(html)
    assert "<h2>synthetic</h2>" in html
    assert "<h2>again</h2>" in html


# ---- text from data is text ---------------------------------------------------------------------

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"


def test_p_values_are_the_corrected_ones_where_there_are_any(root):
    statistics = pd.read_csv(root / "eval/statistics.csv", dtype=str, keep_default_na=False)
    assert "not corrected for the number of comparisons" in report(root)
    statistics["p_holm"], statistics["effect"] = "0.0456", "1.23"
    statistics.to_csv(root / "eval/statistics.csv", index=False)
    html = report(root)
    assert "corrected for the number of comparisons (Holm)" in html
    assert '<td class="g">+1.23</td><td class="p">0.0456</td>' in html


def test_estimators_are_ranked_and_the_alike_joined():
    rng = np.random.default_rng(0)
    names = ["<foundation>", "tangent space", "bandpower"]
    base = pd.DataFrame(rng.normal(size=(1, 20)))
    subjects = {
        names[0]: base + 1, names[1]: base + 1 + rng.normal(0, 0.2, 20),
        names[2]: base.iloc[:, :18],
    }  # fmt: skip
    standings = [standing(name) for name in names]
    assert ranking_of(standings, subjects, 20) is None  # two are not scored by all
    ranking = ranking_of(standings, subjects, 18)
    assert (ranking.names[2], ranking.n_subjects, ranking.alike) == ("bandpower", 18, ((0, 1),))
    drawn = str(rank_diagram(ranking, standings))
    assert drawn.count('class="alike"') == 1
    assert drawn.count('class="marker') == 3
    assert "Not told apart" in drawn
    assert "<foundation>" not in drawn  # escaped
    lost = [*standings[:2], standing(names[2], complete=False)]
    assert ranking_of(lost, subjects, 18) is None


def test_hostile_names_stay_text(tmp_path):
    names = (HOSTILE, "mdm</style>", "foundation --><svg onload=alert(1)>")
    make_store(tmp_path / "store.zarr", task=HOSTILE)
    make_evaluation(
        tmp_path / "eval", tmp_path / "store.zarr", names, classes=("</title><b>", "</script><i>")
    )
    make_tokens(tmp_path / "tokens.zarr", tmp_path / "store.zarr")
    make_run(tmp_path / "tokenizer")
    (tmp_path / "tokenizer/config.yaml").write_text(f"note: </pre>{HOSTILE}\n")
    incomplete(tmp_path, estimator=HOSTILE)
    html = report(tmp_path)
    tags = Tags(html)
    assert sum(tag == "script" for tag, _ in tags.seen) == 1
    assert not {"img", "b", "i"} & {tag for tag, _ in tags.seen if tag != "i" or "style" not in _}
    assert not any(name.startswith("on") for _, a in tags.seen for name in a)
    assert HOSTILE in " ".join(tags.text)
    assert "49" not in re.findall(r"\{\{ 7\*7 \}\}|49(?=&)", html)


@given(st.text(min_size=1, max_size=40))
def test_any_text_in_a_figure_is_escaped(text):
    frame = Frame(Linear(0.0, 1.0), Linear(0.0, 1.0), 50)

    def tags(said):
        drawing = plot(frame, [], says=said, over=[frame.dot(0.5, 0.5, "x", said)])
        return [(name, sorted(attributes)) for name, attributes in Tags(drawing).seen]

    assert tags(text) == tags("plain")


# ---- the verdict ----------------------------------------------------------------------------------


def standing(name="foundation", value=0.7, half=0.05, **changes) -> Standing:
    return replace(
        Standing(
            estimator=name, family=family_of(name), value=value, low=value - half, high=value + half,
            chance_low=0.42, chance_high=0.58, p_chance_holm=0.01 if value > 0.58 else 0.5, complete=True,
        ),
        **changes,
    )  # fmt: skip


def gaps(**found: tuple[float, float]):
    """Return differences by names as of ``foundation_mdm=(difference, p)``; None for all others."""
    nothing = Interval(float("nan"), float("nan"))
    return lambda a, b: (
        Difference(*found[f"{a}_{b}"][:1], nothing, found[f"{a}_{b}"][1], 9)
        if f"{a}_{b}" in found
        else None
    )


VERDICTS = [
    ([], {}, "No estimator has finished every fold, so nothing can be said yet."),
    (
        [standing(complete=False)], {},
        "No estimator has finished every fold, so nothing can be said yet.",
    ),
    ([standing(value=0.57), standing("mdm", 0.5)], {}, "No estimator is distinguishable from chance."),
    # The labels are not luck, but the subjects may be.
    ([standing(value=0.62, half=0.15)], {}, "No estimator is distinguishable from chance."),
    # The subjects are not luck, but the labels may be, of so many estimators.
    ([standing(p_chance_holm=0.03)], {}, "No estimator is distinguishable from chance."),
    (
        [standing(value=0.5), standing("mdm", complete=False)], {},
        "No estimator with all its folds is distinguishable from chance.",
    ),
    (
        [standing(), standing("mdm", 0.68), standing("band", 0.5)],
        {"foundation_mdm": (0.02, 0.06), "foundation_band": (0.2, 0.001)},
        "foundation and mdm are above chance; the foundation model is not distinguishable from the "
        "Riemannian baseline.",
    ),
    (
        [standing(value=0.9), standing("mdm")], {"foundation_mdm": (0.2, 0.05)},
        "Every estimator is above chance; the foundation model is better than the Riemannian baseline.",
    ),
    # Intervals overlap, but subject by subject the difference is clear: the paired one decides.
    (
        [standing(half=0.1), standing("mdm", 0.72, half=0.1)], {"foundation_mdm": (-0.02, 0.01)},
        "Every estimator is above chance; the foundation model is worse than the Riemannian baseline.",
    ),
    # Of two baselines the better one is the one to beat, and p is of having picked it.
    (
        [standing(value=0.8), standing("mdm", 0.7), standing("tangent", 0.79)],
        {"foundation_mdm": (0.1, 0.5), "foundation_tangent": (0.01, 0.03)},
        "Every estimator is above chance; the foundation model is not distinguishable from the best of 2 "
        "Riemannian baselines.",
    ),
    (
        [standing("foundation", 0.9), standing("probe", 0.8), standing("mdm", 0.7)],
        {"foundation_mdm": (0.2, 0.02), "probe_mdm": (0.1, 0.03)},
        "Every estimator is above chance; the best of 2 foundation-model rows is better than the Riemannian "
        "baseline.",
    ),
    ([standing("mdm")], {}, "mdm is above chance; no foundation model was evaluated."),
    (
        [standing(complete=False), standing("mdm")], {},
        "mdm is above chance; the foundation model has missing folds and is not judged.",
    ),
    (
        [standing(value=0.9), standing("bandpower", 0.7)], {"foundation_bandpower": (0.2, 0.01)},
        "Every estimator is above chance; the foundation model is better than the band-power baseline.",
    ),
    # Where nothing is known of the difference, intervals that lie apart are not made one.
    (
        [standing(value=0.9), standing("mdm", 0.7)], {},
        "Every estimator is above chance; the foundation model cannot be compared with the Riemannian "
        "baseline.",
    ),
    (
        [standing(value=0.9), standing("mdm", 0.7)], {"foundation_mdm": (0.2, float("nan"))},
        "Every estimator is above chance; the foundation model cannot be compared with the Riemannian "
        "baseline.",
    ),
    (
        [standing()], {},
        "foundation is above chance; no baseline has finished to compare the foundation model with.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("standings", "found", "sentence"), VERDICTS)
def test_the_verdict_follows_from_the_differences(standings, found, sentence):
    assert verdict(standings, gaps(**found)) == sentence


def test_the_best_of_several_equals_is_not_called_better():
    """Of 300 evaluations whose estimators are all alike, one in twenty may find a difference."""
    rng, nothing = np.random.default_rng(0), Interval(float("nan"), float("nan"))
    found = unpicked = 0
    for _ in range(300):
        hard = rng.normal(size=20)
        probes = [f"probe {i}" for i in range(8)]
        scores = {name: hard + rng.normal(size=20) for name in [*probes, "mdm"]}
        gaps = {
            name: Difference(gap.mean(), nothing, sign_flip_p(gap[None], draws=1000, seed=0), 20)
            for name in probes
            for gap in [scores[name] - scores["mdm"]]
        }
        table = [standing(n, float(one.mean()), p_chance_holm=0.01) for n, one in scores.items()]
        played = against_baseline(table, lambda a, b, gaps=gaps: gaps[a])
        found += played.p <= 0.05
        unpicked += gaps[played.ours.estimator].p <= 0.05
    assert (played.n_ours, played.n_theirs) == (8, 1)
    assert found / 300 <= 0.07 < unpicked / 300


def test_too_few_shuffles_for_so_many_estimators_are_said():
    few = [standing(str(i), p_chance_least=1 / 256) for i in range(7)]
    told = "Nobody can be above chance here: shuffled labels are the true ones in 1 of 256 cases"
    assert caution(8, few, flipped=True).endswith(f"{told}, too often for 7 estimators.")
    assert caution(30, few, flipped=True).startswith(told)
    assert "Nobody" not in caution(8, few[:6], flipped=True)
    assert caution(30, [standing()], flipped=True) == ""


def test_the_best_baseline_is_compared_subject_by_subject_even_where_it_is_not_the_reference(root):
    statistics = pd.read_csv(root / "eval/statistics.csv", dtype=str, keep_default_na=False)
    statistics["reference"] = "random-probe"
    ours, theirs = "foundation-probe", "tangent-svm"
    predictions = pd.read_csv(root / "eval/predictions.csv", dtype={"subject": str})
    right = (predictions["y_true"] == "rhythm").astype(float)
    for name, p in ((ours, 0.9 * right + 0.05), (theirs, 1 - right)):
        mine = predictions["estimator"] == name
        predictions.loc[mine, "p_rhythm"] = p[mine]
        predictions.loc[mine, "p_none"] = 1 - p[mine]
    # Four subjects have too few signs for any difference.
    copies = [predictions.assign(subject=predictions["subject"] + letter) for letter in "ab"]
    pd.concat(copies).to_csv(root / "eval/predictions.csv", index=False)
    statistics.to_csv(root / "eval/statistics.csv", index=False)
    (comparison,) = compare_estimators(read_results(root / "eval"))
    assert comparison.scatter_says == (ours, theirs)
    assert comparison.verdict.endswith(
        "the best of 2 foundation-model rows is better than the best of 2 Riemannian baselines."
    )


def test_what_pretraining_gained():
    assert pretraining_gain([standing()], gaps()) == ""
    both = [standing(value=0.9), standing("random", 0.6)]
    found = {"foundation_random": (0.3, 0.01), "probe_random": (-0.1, 0.03)}
    assert pretraining_gain(both, gaps(**found)) == (
        "With pretrained weights the network is better than itself with random weights."
    )
    assert pretraining_gain([standing("probe", 0.5), *both[1:]], gaps(**found)) == (
        "With pretrained weights the network is worse than itself with random weights."
    )
    assert pretraining_gain([standing("probe", 0.8), *both], gaps(**found)) == (
        "With pretrained weights the best of 2 rows is better than the network with random weights."
    )


def test_patients_who_show_one_class_each_are_compared_by_what_all_predictions_give(tmp_path):
    rng, rows, statistics = np.random.default_rng(0), [], []
    truth = np.repeat(np.arange(24) % 2, 10)
    subject = np.repeat([f"{i:02d}" for i in range(24)], 10)
    windows = {
        "task": "t", "fold": 0, "seed": 0, "subject": subject, "recording": subject,
        "onset": np.tile(np.arange(10), 24), "y_true": np.take(["no", "yes"], truth),
    }  # fmt: skip
    about = {
        "task": "t", "metric": "auroc", "low": 0.6, "high": 0.99, "chance_low": 0.45, "chance_high": 0.55,
        "p_chance_holm": 0.01, "n_subjects": 24, "complete": True,
    }  # fmt: skip
    for name, skill in (("foundation", 3.0), ("mdm", 0.0)):
        p = 1 / (1 + np.exp(-(skill * (truth - 0.5) + rng.normal(size=240))))
        rows.append(pd.DataFrame({**windows, "estimator": name, "p_no": 1 - p, "p_yes": p}))
        statistics.append({**about, "estimator": name, "value": 0.6 + skill / 9})
    pd.concat(rows).to_csv(tmp_path / "predictions.csv", index=False)
    pd.DataFrame(statistics).to_csv(tmp_path / "statistics.csv", index=False)
    (comparison,) = compare_estimators(read_results(tmp_path))
    assert comparison.verdict.endswith(
        "the foundation model is better than the Riemannian baseline."
    )
    assert comparison.ranks is None
    assert not comparison.scored


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("tfm-full", Family.foundation),
        ("finetuned", Family.foundation),
        ("random-initialised", Family.random),
        ("tfm random probe", Family.random),
        ("MDM", Family.riemann),
        ("tangent-space-lr", Family.riemann),
        ("augmented-svm", Family.riemann),
        ("bandpower-lda", Family.bandpower),
        ("log band power", Family.bandpower),
        ("pretrained backbone, full fine-tuning", Family.foundation),
        ("random backbone, probe", Family.random),
        ("random forest", Family.other),
        ("chaos", Family.other),
    ],
)
def test_families_are_known_by_their_names(name, family):
    assert family_of(name) is family


def test_a_class_says_more_than_a_name():
    assert family_of("A", "brainfm.learning.Finetuned") is Family.foundation
    assert family_of("A", "brainfm.learning.Untrained") is Family.random
    assert family_of("pretrained?", "brainfm.baselines.log_bandpower_lda") is Family.bandpower
    assert family_of("A", "brainfm.baselines.filter_bank_lr") is Family.riemann
    assert family_of("A", "brainfm.baselines.EEGNet") is Family.other


def test_a_wrapped_estimator_is_of_its_own_family():
    def wrap(kind, inner):
        return {"class_path": f"brainfm.{kind}", "init_args": {"estimator": inner}}

    tangent = {"class_path": "brainfm.baselines.tangent_space_lr"}
    model = {"class_path": "brainfm.learning.Finetuned", "init_args": {"checkpoint": "a"}}
    config = {
        "A": wrap("evaluation.ValidationSearch", tangent),
        "B": wrap("evaluation.ValidationThreshold", wrap("baselines.InBand", tangent)),
        "C": wrap("baselines.InBand", model),
        "D": tangent,
    }
    classes = class_paths(yaml.safe_dump({"estimators": config}))
    families = [family_of(name, classes[name]) for name in config]
    assert families == [Family.riemann, Family.riemann, Family.foundation, Family.riemann]


# ---- what was ingested ----------------------------------------------------------------------------


def test_spectra_show_the_planted_rhythm(whole):
    store = open_store(whole / "store.zarr")
    predictions = read_results(whole / "eval").predictions
    spectra = recording_spectra(store, find_conditions(store, predictions, 4.0))
    with_rhythm = np.array([c == "rhythm" for c in spectra.condition])
    assert 0 < with_rhythm.sum() < len(with_rhythm)
    gap = spectra.power[with_rhythm].mean(0) - spectra.power[~with_rhythm].mean(0)
    # The median over sensors hardly sees a rhythm over 7 of 19 of them, but sees it at 10 Hz alone.
    assert spectra.freqs[np.argmax(gap)] == pytest.approx(10, abs=1)


def test_conditions_come_from_the_task_before_anything_else(whole):
    store = open_store(whole / "store.zarr")
    predictions = read_results(whole / "eval").predictions
    by_task = find_conditions(store, predictions.assign(y_true=predictions["y_true"] + "!"), 4.0)
    assert by_task.names == ("none!", "rhythm!")
    by_recording = find_conditions(store, pd.DataFrame(), None)
    assert by_recording.names == CLASSES
    assert by_recording.origin == "the task of each recording"


def test_conditions_of_windows_end_with_the_window(whole):
    store = open_store(whole / "store.zarr")
    id = store.table["id"][0]
    rows = {"recording": [id, id], "onset": [2.0, 6.0], "y_true": ["left", "right"]}
    conditions = find_conditions(store, pd.DataFrame(rows), 3.0)
    at = conditions.at(id, np.array([1.9, 2.0, 4.9, 5.0, 6.5, 9.0]))
    np.testing.assert_array_equal(at, [-1, 0, 0, -1, 1, -1])
    assert conditions.of(id) == ""


def test_the_map_is_seen_from_above(whole):
    store = open_store(whole / "store.zarr")
    sensors = store.sensors(store.table["id"][0])
    place = dict(zip(sensors.names, project(sensors.position), strict=True))
    assert np.linalg.norm(place["Cz"]) < 0.15
    assert place["Fz"][1] > place["Cz"][1] > place["Pz"][1]
    assert place["T8"][0] > 0.7
    assert place["T7"][0] < -0.7
    assert np.isnan(project(np.full((3, 3), np.nan))).all()


@given(st.floats(-np.pi, np.pi))
def test_turning_the_head_turns_the_map(angle):
    rng = np.random.default_rng(0)
    points = rng.standard_normal((20, 3))
    points[:, 2] = np.abs(points[:, 2])
    points = 0.09 * points / np.linalg.norm(points, axis=1, keepdims=True) + [0, 0, 0.04]
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    np.testing.assert_allclose(
        project(points @ turn.T), project(points) @ turn[:2, :2].T, atol=1e-6
    )


# ---- motifs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gallery(whole):
    store, tokens = open_store(whole / "store.zarr"), open_tokens(whole / "tokens.zarr")
    conditions = find_conditions(store, read_results(whole / "eval").predictions, 4.0)
    return describe_motifs(tokens, store, conditions)


def test_the_gallery_finds_the_planted_motif(gallery):
    common, rare = gallery.motifs
    assert (common.code, rare.code) == (OTHER, ALPHA)
    assert rare.peak == "10 Hz"
    assert all(name in POSTERIOR for name in re.split(", | and ", rare.where))
    ratios = {r.name: r.ratio for r in rare.ratios}
    assert ratios == {"none": 0, "rhythm": 2}
    assert rare.share == f"{figure(100 * 7 / 19 / 2)} %"
    assert ("14", "dead") in gallery.tiles


def test_counts_add_up_to_the_usage(whole):
    store, tokens = open_store(whole / "store.zarr"), open_tokens(whole / "tokens.zarr")
    found = find_occurrences(tokens, store, find_conditions(store, pd.DataFrame(), None))
    for i, code in enumerate(found.codes):
        assert len(found.places[i]) == tokens.usage[code] == found.channels[i].sum()
    assert found.channels_seen.sum() == tokens.usage.sum() == found.conditions_seen.sum()


def test_a_snippet_is_the_signal_under_its_token(whole):
    store, tokens = open_store(whole / "store.zarr"), open_tokens(whole / "tokens.zarr")
    found = find_occurrences(tokens, store, find_conditions(store, pd.DataFrame(), None))
    # Recording 1, window 2 (from 8 s), channel 5, frame 3 (1.5 s later): samples 1900 to 2100.
    place = np.array([[1, 2, 5, 3]])
    (snippet,) = read_snippets(store, found, place, step=0.5, sfreq=200.0, n_times=200)
    raw = store.read(tokens.ids[1], 1900, 2100)[5].astype(float)
    np.testing.assert_allclose(snippet, (raw - raw.mean()) / raw.std())


# ---- numbers, scales and curves ---------------------------------------------------------------------


@given(st.floats(1e-12, 1e12) | st.floats(-1e12, -1e-12))
def test_three_significant_figures(x):
    text = figure(x).replace("\u202f", "").replace("−", "-")
    assert float(text) == float(f"{x:.2e}")
    digits = re.sub(r"e.*|[-.]", "", text).lstrip("0")
    assert len(digits) == 3 or abs(x) >= 999.5


def test_no_number_is_a_dash():
    assert [figure(v) for v in (None, float("nan"), float("inf"), "", "x")] == ["–"] * 5
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 9))
def test_linear_ticks_are_inside_and_evenly_spread(low, width, n):
    scale = Linear(low, low + width)
    ticks = scale.ticks(n)
    assert len(ticks) <= n + 2
    assert all(scale.low - 1e-6 * width <= t <= scale.high + 1e-6 * width for t in ticks)


@given(st.floats(1e-6, 1e3), st.floats(1.5, 1e6), st.integers(3, 8))
def test_logarithmic_ticks_are_inside(low, factor, n):
    scale = Logarithmic(low, low * factor)
    assert all(low * 0.99 <= t <= low * factor * 1.01 for t in scale.ticks(n))
    np.testing.assert_allclose(scale([low, low * factor]), [0, 1], atol=1e-9)


def test_a_line_is_broken_where_nothing_was_measured():
    frame = Frame(Linear(0.0, 3.0), Linear(0.0, 1.0), 100)
    path = frame.line([0, 1, 2, 3], [0, float("nan"), 1, 0.5], "x")
    assert re.search(r'd="M0\.0 100\.0M666\.7 0\.0L1000\.0 50\.0"', path)


def test_a_loss_over_decades_is_drawn_on_a_logarithmic_axis():
    assert isinstance(scale_for(np.array([100.0, 1.0])), Logarithmic)
    assert isinstance(scale_for(np.array([2.0, 1.0])), Linear)
    assert isinstance(scale_for(np.array([100.0, -1.0])), Linear)


# ---- few labels --------------------------------------------------------------------------------


def test_curves_over_few_labels_end_with_all_of_them(root):
    out = root / "eval"
    whole = pd.read_csv(out / "results.csv", dtype={"test_subjects": str})
    few = [
        whole.assign(shots=float(k), shots_of=of, value=whole["value"] - 0.1 / k)
        for of in ("trials", "subjects")
        for k in (1, 2, 4)
    ]
    pd.concat([whole.assign(shots=np.nan, shots_of=""), *few]).to_csv(
        out / "results.csv", index=False
    )
    (comparison,) = compare_estimators(read_results(out))
    windows, subjects = comparison.few_shot
    assert windows.of == "labelled windows of each class"
    assert subjects.of == "training subjects"
    assert windows.drawing.count(", all labels: ") == len(ESTIMATORS)
    assert f"{ESTIMATORS[-1]}, 2: {figure(0.5 + 0.05 * 5 - 0.05)}" in windows.drawing
    assert comparison.rows[0].folds == "8 of 8"  # the few are in no other figure
    html = report(root)
    Tags(html)
    assert html.count("With few labels") == 1


def test_subjects_with_one_score_are_seen_as_many():
    moved = apart([0.5, 0.5, 0.501, 0.8], 34)
    assert len(set(moved[:3])) == 3
    assert moved[3] == 0
    assert max(abs(m) for m in apart([0.5] * 50, 34)) + 4.5 <= 17


def test_the_identity_check_is_a_table_where_it_was_made(root, html):
    assert "who it is" not in html
    pd.DataFrame(
        {
            "task": "synthetic",
            "estimator": ESTIMATORS[:2],
            "seed": 1,
            "subject_accuracy": [0.91, 0.5],
        }
    ).to_csv(root / "eval/identity.csv", index=False)
    page = report(root)
    Tags(page)
    assert "subject accuracy" in page
    assert "0.910" in page
    assert '<td class="n">1</td>' in page


def test_what_every_estimator_cost_is_on_the_page_and_unequal_tuning_on_its_first_screen(
    root, html
):
    assert "Tuning" not in html
    table = pd.read_csv(root / "eval/results.csv")
    table["flops"], table["fits"] = 1_500_000, 6
    table.to_csv(root / "eval/results.csv", index=False)
    page = report(root)
    assert '<td class="n">1.17 M</td><td class="n">1.50 M</td><td class="n">6</td>' in page
    first = page[: page.index('id="table"')]
    assert "Every estimator tried 6 settings in each fold." in first
    table.loc[table["estimator"] == "mdm", "fits"] = 1
    table.to_csv(root / "eval/results.csv", index=False)
    page = report(root)
    assert (
        "between 1 and 6 settings were tried, most by 5 estimators"
        in page[: page.index('id="table"')]
    )
