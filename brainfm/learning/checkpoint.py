"""Checkpoints from which a training goes on as if nothing had happened.

Two generations are kept. Each is written under another name, flushed to the disk and then given its
own, so whatever interrupts a run leaves a whole one. A file ends with a seal: the SHA-256 of all before
it, which is compared before anything is read of it, so one that was cut short or damaged later is
recognised wherever the damage is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from brainfm.disk import flush_folder
from brainfm.errors import Stopped, WorkError

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
SIGNALS = (signal.SIGUSR1, signal.SIGTERM)
SEAL, PIECE = b"brainfm sha256 ", 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def find_checkpoint(folder: Path | None) -> Path | None:
    """Return the newest whole checkpoint of a run, saying so where a newer one is damaged.

    Parameters
    ----------
    folder
        of the run; None has no checkpoint.

    Raises
    ------
    WorkError
        If there are checkpoints and all are damaged: starting again would overwrite them unasked.
    """
    there = [p for name in (LAST, PREVIOUS) if folder and (p := folder / name).exists()]
    for path in there:
        if is_whole(path):
            return path
        print(f"brainfm: {path} is cut short or damaged; going back before it.", file=sys.stderr)
    if there:
        raise WorkError(
            f"No checkpoint in {folder} is whole ({', '.join(p.name for p in there)}), or they are of an "
            "earlier brainfm; restore one from a backup, or remove the folder to train from the start."
        )
    return None


def is_whole(path: Path) -> bool:
    """Return whether a checkpoint ends with the seal of what comes before it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END) - len(SEAL) - hashlib.sha256().digest_size
        file.seek(0)
        return size > 0 and _seal(file, size) == file.read()


def _seal(file: IO[bytes], size: int) -> bytes:
    """Return the seal of the next ``size`` bytes."""
    digest = hashlib.sha256()
    while size and (piece := file.read(min(size, PIECE))):
        digest.update(piece)
        size -= len(piece)
    return SEAL + digest.digest()


def discard_previous(folder: Path) -> None:
    """Remove the older generation, when the run has come to its end."""
    (folder / PREVIOUS).unlink(missing_ok=True)


@contextmanager
def full_disk(folder: Path | None) -> Generator[None]:
    """Make one sentence of a disk that is full.

    Raises
    ------
    WorkError
        If something could not be written for want of space.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch's writer of archives raises an error of its own over the system's.
        full = next((e for e in _chain(error) if isinstance(e, OSError) and e.errno in FULL), None)
        if full is None:
            raise
        there = [p.name for p in (folder or Path()).glob("*.ckpt")]
        raise WorkError(
            f"The disk has no space left for {folder} ({full.strerror}); make some and give the same "
            f"command, which goes on from {LAST if there else 'the start'}."
        ) from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint as a file that is there whole or not at all, keeping the one before.

    One that another process has left is looked at first: a damaged one is replaced, and the whole one
    before it stays.
    """

    def __init__(self) -> None:
        self.wrote = False

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write, seal, flush, then rename both generations."""
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("w+b") as file:
                torch.save(checkpoint, file)
                size = file.tell()
                file.seek(0)
                file.write(_seal(file, size))
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        if path.exists() and (self.wrote or is_whole(path)):
            path.replace(path.with_name(PREVIOUS))
        partial.replace(path)
        self.wrote = True
        flush_folder(path.parent)


class LastCheckpoint(Callback):
    """Writes last.ckpt now and then, and at once when the process is asked to stop.

    A cluster asks by SIGUSR1 or SIGTERM before it takes a job's machines away. The step under way is
    finished, all processes agree that it is the last, and the run ends with `Stopped`.

    It comes last among the callbacks and, at a step that is validated, after the validation, so that
    it holds what the others have gathered by then: Lightning does not validate a step again.

    Parameters
    ----------
    folder
        where to.
    validate_every
        steps between two validations, 0 for none.
    """

    def __init__(self, folder: Path, validate_every: int):
        self.path, self.validate_every = folder / LAST, validate_every

    def setup(self, trainer: lightning.Trainer, loop: Any, stage: str) -> None:
        """Listen for the signals; before, while processes find each other, they just end this one."""
        if threading.current_thread() is threading.main_thread():
            for one in SIGNALS:
                signal.signal(one, lambda number, frame: loop.ask_to_stop())

    def on_train_batch_end(
        self, trainer: lightning.Trainer, loop: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save now and then, and at the end."""
        if not self.validate_every or trainer.global_step % self.validate_every:
            self._save(trainer, loop)

    def on_validation_end(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Save likewise after a validation."""
        self._save(trainer, loop)

    def _save(self, trainer: lightning.Trainer, loop: Any) -> None:
        step, ended = trainer.global_step, trainer.global_step == trainer.max_steps
        if step % loop.options.checkpoint_every == 0 or ended or loop.stopping:
            trainer.save_checkpoint(self.path)
        if loop.stopping and not ended:
            raise Stopped(
                f"Asked to stop, the training kept step {step} of {trainer.max_steps} in {self.path}; "
                "the same command goes on from there."
            )
