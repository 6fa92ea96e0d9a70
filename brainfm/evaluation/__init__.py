"""Every estimator × task × fold × seed to tables and a report."""

from brainfm.evaluation.calibration import Calibration
from brainfm.evaluation.hypnogram import Hypnograms
from brainfm.evaluation.journey import Journey
from brainfm.evaluation.labels import (
    AnnotationLabels,
    HypnogramLabels,
    JoinedLabels,
    RecordingLabels,
    SpanLabels,
)
from brainfm.evaluation.number_labels import NumberLabels
from brainfm.evaluation.published import PublishedSplit
from brainfm.evaluation.seizures import SeizureEvents
from brainfm.evaluation.task import Task
from brainfm.evaluation.threshold import ValidationThreshold
from brainfm.evaluation.tiled_labels import BiotSeizureLabels, OverlapLabels
from brainfm.evaluation.tuning import ValidationSearch

__all__ = [
    "AnnotationLabels",
    "BiotSeizureLabels",
    "Calibration",
    "HypnogramLabels",
    "Hypnograms",
    "JoinedLabels",
    "Journey",
    "NumberLabels",
    "OverlapLabels",
    "PublishedSplit",
    "RecordingLabels",
    "SeizureEvents",
    "SpanLabels",
    "Task",
    "ValidationSearch",
    "ValidationThreshold",
]
