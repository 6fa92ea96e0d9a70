"""Cut EDF files at data-record borders without touching a sample.

Run as ``python sample/crop.py SOURCE_FOLDER``: for each ``Subject??_?.edf`` there it writes the
first 46 data records (46 s) to ``sample/eegmat``. Header and records are copied byte for byte; the
only bytes that change are the eight of the header that state the number of data records.
"""

import sys
from pathlib import Path

RECORDS = 46
SUBJECTS = range(8)
CONDITIONS = (1, 2)  # 1: rest before the task, 2: mental arithmetic


def crop(edf: bytes, records: int) -> bytes:
    """Return the first data records of an EDF file, its header changed only in their number.

    Parameters
    ----------
    edf : content of an EDF file.
    records : how many data records to keep; the file must have at least so many.
    """
    header_bytes, in_file, signals = int(edf[184:192]), int(edf[236:244]), int(edf[252:256])
    if records > in_file:
        raise ValueError(f"The file has {in_file} data records, {records} are wanted.")
    # Samples a record stand, 8 characters a signal, after 216 characters a signal of other fields.
    start = 256 + 216 * signals
    samples = sum(int(edf[start + 8 * i : start + 8 * (i + 1)]) for i in range(signals))
    header = edf[:236] + f"{records:<8d}".encode("ascii") + edf[244:header_bytes]
    return header + edf[header_bytes : header_bytes + records * samples * 2]


def main(source: Path, to: Path) -> None:
    """Crop both conditions of every subject."""
    to.mkdir(parents=True, exist_ok=True)
    for subject in SUBJECTS:
        for condition in CONDITIONS:
            name = f"Subject{subject:02d}_{condition}.edf"
            (to / name).write_bytes(crop((source / name).read_bytes(), RECORDS))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent / "eegmat")
