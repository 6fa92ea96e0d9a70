"""The papers that a report rests on: those of what it shows, and no others."""

from __future__ import annotations

import re
from dataclasses import dataclass

from brainfm.evaluation.report.inputs import Results


@dataclass(frozen=True)
class Paper:
    """A paper that the numbers rest on.

    Attributes
    ----------
    what
        it describes.
    citation, url
        of it.
    words
        a pattern: it is used where the configuration or a table's name matches.
    """

    what: str
    citation: str
    url: str
    words: str


PAPERS = (
    Paper(
        "Motif tokenizer",
        "Pradeepkumar, Piao, Chen, Sun. Tokenizing single-channel EEG with time-frequency motif "
        "learning. ICLR 2026.",
        "https://arxiv.org/abs/2502.16060",
        r"motif|\btfm|quickstart",
    ),
    Paper(
        "FEMBA",
        "Tegon et al. FEMBA: efficient and scalable EEG analysis with a bidirectional Mamba foundation "
        "model. EMBC 2025.",
        "https://arxiv.org/abs/2502.06438",
        r"femba",
    ),
    Paper(
        "Minimum distance to mean",
        "Barachant, Bonnet, Congedo, Jutten. Multiclass brain-computer interface classification by "
        "Riemannian geometry. IEEE Trans. Biomed. Eng. 59(4), 2012.",
        "https://doi.org/10.1109/TBME.2011.2172210",
        r"mdm",
    ),
    Paper(
        "Tangent space",
        "Barachant, Bonnet, Congedo, Jutten. Classification of covariance matrices using a "
        "Riemannian-based kernel for BCI applications. Neurocomputing 112, 2013.",
        "https://doi.org/10.1016/j.neucom.2012.12.039",
        r"tangent",
    ),
    Paper(
        "Augmented covariance",
        "Carrara, Papadopoulo. Classification of BCI-EEG based on augmented covariance matrix. 2023.",
        "https://arxiv.org/abs/2302.04508",
        r"augmented",
    ),
    Paper(
        "Events",
        "Dan et al. SzCORE: Seizure Community Open-Source Research Evaluation framework. Epilepsia, 2024.",
        "https://doi.org/10.1111/epi.18113",
        r"table events",
    ),
    Paper(
        "Calibration",
        "Guo, Pleiss, Sun, Weinberger. On calibration of modern neural networks. ICML 2017.",
        "https://arxiv.org/abs/1706.04599",
        r"table calibration",
    ),
    Paper(
        "Critical differences",
        "Demšar. Statistical comparisons of classifiers over multiple data sets. J. Mach. Learn. Res. 7, "
        "2006.",
        "https://jmlr.org/papers/v7/demsar06a.html",
        r"estimator",
    ),
    Paper(
        "Reading recordings",
        "Gramfort et al. MEG and EEG data analysis with MNE-Python. Front. Neurosci. 7:267, 2013.",
        "https://doi.org/10.3389/fnins.2013.00267",
        r"",
    ),
)


def papers_of(evaluation: Results, configs: list[str]) -> tuple[Paper, ...]:
    """Return the papers of what was evaluated and measured, and of the trainings before."""
    names = evaluation.statistics.get("estimator", [])
    tables = [f"table {name}" for name, table in evaluation.tables.items() if len(table)]
    text = "\n".join([evaluation.config, *configs, *map(str, names), *tables]).lower()
    return tuple(paper for paper in PAPERS if re.search(paper.words, text))
