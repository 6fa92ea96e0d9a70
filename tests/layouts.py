"""Data sets in small: folders and files as their documentation describes them, signals made up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time
from pathlib import Path

import numpy as np
from edfio import Edf, EdfSignal
from scipy.io import savemat

TUH = tuple(
    f"EEG {name}-REF"
    for name in (
        *("FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "F7", "F8"),
        *("T3", "T4", "T5", "T6", "A1", "A2", "FZ", "CZ", "PZ"),
    )
)
CHB = (
    *("FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP2-F4", "F4-C4"),
    *("C4-P4", "P4-O2", "FP2-F8", "F8-T8", "T8-P8", "P8-O2", "FZ-CZ", "CZ-PZ"),
)
PSG = ("EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal", "EMG submental")


def write_edf(
    path: Path,
    labels: Sequence[str] = TUH,
    *,
    seconds: int = 20,
    sfreq: int = 50,
    start: time = time(0, 0, 0),
    seed: int = 0,
) -> Path:
    """Write white noise of 20 µV under these labels."""
    rng = np.random.default_rng([seed, len(str(path))])
    signals = [
        EdfSignal(
            rng.normal(size=seconds * sfreq) * 20,
            sfreq,
            label=label,
            physical_dimension="uV",
            physical_range=(-500, 500),
        )
        for label in labels
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    Edf(signals, starttime=start, data_record_duration=1).write(path)
    return path


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def tuab(root: Path) -> None:
    """Version 3 beside version 2.0.0, which had folders for patients and sessions."""
    write_edf(root / "v3.0.1/edf/train/normal/01_tcp_ar/aaaaaaaq_s004_t000.edf")
    write_edf(root / "v3.0.1/edf/eval/abnormal/01_tcp_ar/aaaaaebo_s002_t001.edf", seed=1)
    old = "v2.0.0/edf/train/abnormal/01_tcp_ar/007/00000768/s003_2012_04_06/00000768_s003_t000.edf"
    write_edf(root / old, seed=2)


def tuev(root: Path) -> None:
    """A patient of train, and one of eval."""
    train = root / "edf/train/aaaaaaar/aaaaaaar_00000001.edf"
    write_edf(train)
    write(train.with_suffix(".rec"), "8,1.0,2.0,6\n13,3.1,4.1,1\n0,3.1,4.1,1\n")
    test = root / "edf/eval/000/bckg_000_a_.edf"
    write_edf(test, seed=1)
    write(test.with_suffix(".rec"), "21,0.0000,1.0000,6\n")


CSV = """# version = csv_v1.0.0
# bname = aaaaaaju_s005_t000
# duration = 20.0000 secs
# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt
#
channel,start_time,stop_time,label,confidence
FP1-F7,1.5000,3.0000,eyem,1.0000
T3-C3,2.0000,25.0000,eyem_musc,1.0000
TERM,0.0000,20.0000,bckg,1.0000
"""


def tuar(root: Path) -> None:
    """A recording with a label file, of which one label passes the end."""
    write_edf(root / "edf/01_tcp_ar/aaaaaaju_s005_t000.edf")
    write(root / "edf/01_tcp_ar/aaaaaaju_s005_t000.csv", CSV)


TSE = "version = tse_v1.0.0\n\n0.0000 7.5000 bckg 1.0000\n7.5000 17.5000 slow 1.0000\n"


def tusl(root: Path) -> None:
    """A session's folder with its date, as in version 1."""
    path = root / "edf/aaaaaaju/s001_2015_12_30/02_tcp_le/aaaaaaju_s001_t000.edf"
    write_edf(path, [label.replace("REF", "LE") for label in TUH])
    write(path.with_suffix(".tse_agg"), TSE)


def tueg(root: Path) -> None:
    """Version 2, and version 1 with its longer path."""
    write_edf(root / "v2.0.1/edf/000/aaaaaaaa/s001_2015/01_tcp_ar/aaaaaaaa_s001_t000.edf")
    old = "v1.2.0/edf/02_tcp_le/000/00000021/s004_2013_08_15/00000021_s004_t002.edf"
    write_edf(root / old, [label.replace("REF", "LE") for label in TUH], seed=1)


CHB_SUMMARY = """Data Sampling Rate: 256 Hz
*************************

File Name: chb17a_03.edf
File Start Time: 21:02:14
File End Time: 22:02:14
Number of Seizures in File: 1
Seizure Start Time: 5 seconds
Seizure End Time: 9 seconds

File Name: chb17b_57.edf
File Start Time: 1:02:14
File End Time: 25:02:14
Number of Seizures in File: 0
"""

CHB24_SUMMARY = """File Name: chb24_01.edf
Number of Seizures in File: 2
Seizure 1 Start Time: 2 seconds
Seizure 1 End Time: 4 seconds
Seizure 2 Start Time: 11 seconds
Seizure 2 End Time: 15 seconds
"""


def chb_mit(root: Path) -> None:
    """chb17 with its letters and chb24, whose summary has no times and lists only files with seizures."""
    for name in (
        "chb17/chb17a_03.edf",
        "chb17/chb17b_57.edf",
        "chb24/chb24_01.edf",
        "chb24/chb24_02.edf",
    ):
        write_edf(root / name, CHB)
    write_edf(root / "chb02/chb02_16+.edf", CHB)
    write(
        root / "chb02/chb02-summary.txt",
        "File Name: chb02_16+.edf\nNumber of Seizures in File: 0\n",
    )
    write(root / "chb17/chb17-summary.txt", CHB_SUMMARY)
    write(root / "chb24/chb24-summary.txt", CHB24_SUMMARY)
    write(root / "RECORDS-WITH-SEIZURES", "chb17/chb17a_03.edf\nchb24/chb24_01.edf\n")


SIENA = (
    "EEG Fp1",
    "EEG F3",
    "EEG C3",
    "EEG P3",
    "EEG O1",
    "EEG F7",
    "EEG T3",
    "EKG EKG",
    "SPO2",
    "1",
)
SIENA_00 = """Sampling rate of data: 512 Hz (files in EDF format)
*********************

Channels in EDF Files:
******************
Channel 1: Fp1

Seizure n 1 (in PN00-1.edf)
File name: PN00-1.edf
Registration start time: 19.39.33
Registration end time:  20.22.58
Seizure start time: 19.58.36
Seizure end time: 19.59.46

Seizure n 3
File name: PN00-3.edf
Registration start time: 18.15.44
Registration end time: 18.57.13
Seizure start time: 18.28.29
Seizure end time: 19.29.29
"""
# The file is named before the first seizure and once for both, with another name than it has.
SIENA_01 = """File name: PN01.edf
Registration start time: 19:00:44
Registration end time: 08:00:44

Seizure n 1
Start time: 21:51:02
End time: 21:51:56

Seizure n 2
Start time: 07:53.17
End time: 07:54:31
"""
SIENA_10 = """Seizure n 2
File name: PN1O-2.edf
Registration start time:1 6.49.25
Seizure start time: 11.40.13
Seizure end time: 11.41.04 opure 11.40.43

Seizure n 3
File name: PN10-4.5.6.edf
Registration start time: 15.00.00
Seizure start time: 15.43.53 (CLINICAL ONSET); 15.43.59 (ELECTRIC ONSET)
Seizure end time: 15.44.10
"""


def siena(root: Path) -> None:
    """Times with . or : , past midnight, after the end, twice; misspelt file names."""
    long = {"sfreq": 1, "seconds": 2490}
    write_edf(root / "PN00/PN00-1.edf", SIENA, start=time(19, 39, 33), **long)
    write_edf(root / "PN00/PN00-3.edf", SIENA, start=time(18, 15, 44), **long, seed=1)
    write(root / "PN00/Seizures-list-PN00.txt", SIENA_00)
    write_edf(root / "PN01/PN01-1.edf", SIENA[:2], start=time(19, 0, 44), sfreq=1, seconds=46800)
    write(root / "PN01/Seizures-list-PN01.txt", SIENA_01)
    write_edf(root / "PN10/PN10-2.edf", SIENA, start=time(11, 30, 0), **long)
    write_edf(root / "PN10/PN10-4.5.6.edf", SIENA, start=time(15, 10, 0), **long, seed=1)
    write(root / "PN10/Seizures-list-PN10.txt", SIENA_10)


def hbn(root: Path) -> None:
    """BIDS with EEGLAB files of EGI's net: E1 to E128 and Cz, events in the sidecar and in the file."""
    write(root / "dataset_description.json", '{"Name": "HBN", "BIDSVersion": "1.9.0"}')
    stem = "sub-NDARAC904DMU/eeg/sub-NDARAC904DMU_task-RestingState"
    path = root / f"{stem}_eeg.set"
    path.parent.mkdir(parents=True)
    names = [*(f"E{i}" for i in range(1, 129)), "Cz"]
    rng = np.random.default_rng(0)
    eeg = {
        "setname": "HBN",
        "srate": 500.0,
        "nbchan": 129,
        "trials": 1,
        "pnts": 1000,
        "xmin": 0.0,
        "xmax": 1.998,
        "data": rng.normal(size=(129, 1000)).astype(np.float32) * 20,
        "chanlocs": np.array([(name,) for name in names], dtype=[("labels", object)]),
        "event": np.array(
            [("instructed_toOpenEyes", 251.0, 1.0)],
            dtype=[("type", object), ("latency", object), ("duration", object)],
        ),
    }
    savemat(path, {"EEG": eeg}, appendmat=False)


def shu(root: Path, people: Sequence[int] = (1, 16, 21), trials: int = 6) -> dict[str, np.ndarray]:
    """Write two sessions each; return the trials in microvolts by the file's name."""
    root.mkdir(parents=True, exist_ok=True)
    data = {}
    for person in people:
        for session in (1, 2):
            name = f"sub-{person:03d}_ses-{session:02d}_task_motorimagery_eeg.mat"
            rng = np.random.default_rng([person, session])
            labels = (rng.permutation(trials) % 2 + 1).astype(np.uint8)
            data[name] = 20 * rng.standard_normal((trials, 32, 1000))
            savemat(root / name, {"data": data[name], "labels": labels[None]})
    return data
