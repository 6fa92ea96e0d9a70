"""The command line: YAML and arguments → one stage.

Only the stage that is called is imported, so that `brainfm --help` and `brainfm status` do not wait for
PyTorch.
"""

from __future__ import annotations

import importlib
import inspect
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

from brainfm.errors import UsageError, WorkError


@dataclass(frozen=True)
class Verb:
    """A command.

    Attributes
    ----------
    stage
        module and function.
    summary
        what it does, in a line.
    positional
        argument → its nargs, for what is given without a flag.
    named
        argument → folder of configs/ in which a bare name is looked up.
    claims
        True where the command keeps its resolved configuration in ``--out``, and goes on only with
        the same one.
    submits
        module and function that check it as a job of SLURM; empty where it cannot be one.
    """

    stage: str
    summary: str
    positional: dict[str, str | None] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    claims: bool = False
    submits: str = ""


VERBS = {
    "ingest": Verb(
        "ingest:ingest",
        "raw recordings (files, folders, globs) → store",
        positional={"source": "+"},
        named={"recipe": "datasets"},
    ),
    "status": Verb("status:status", "what a store holds and what was refused", {"store": None}),
    "verify": Verb("verify:verify", "check every recording of a store", {"store": None}),
    "pretrain": Verb(
        "pretrain:pretrain",
        "train a tokenizer or a foundation model",
        claims=True,
        submits="readiness:pretraining",
    ),
    "tokenize": Verb(
        "tokenize:tokenize", "every window of a store → discrete tokens", {"store": None}
    ),
    "finetune": Verb(
        "finetune:finetune",
        "fine-tune a checkpoint on one split",
        claims=True,
        submits="readiness:finetuning",
    ),
    "evaluate": Verb(
        "evaluate:evaluate",
        "every estimator on the same folds, and a report",
        submits="readiness:evaluation",
    ),
    "plan": Verb("plan:plan", "what a training will need: parameters, memory, days"),
    "list": Verb("listing:list_known", "what there is, a line each", {"what": "?"}),
    "show": Verb("listing:show", "one named configuration and what it costs", {"name": None}),
}


SUBMISSION = ("slurm", "dry_run")
"""Options that say where a command is computed, and are no part of the run's configuration."""

FILES = {"--config": "runs", "--model": "models", "--task": "tasks"}
"""Options that take a file, and the folder of configs/ in which a bare name is looked up."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0 for done, 1 for failed or incomplete, 2 for a wrong call."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `brainfm list | head` is no error
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    try:
        return _run(arguments[0], arguments[1:])
    except (UsageError, WorkError) as error:
        if debug:
            raise
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("Interrupted; the same command goes on where it stopped.", 1)
    except Exception as error:
        if debug:
            raise
        told = " ".join(str(error).split())[:300]
        return _complain(f"{type(error).__name__}: {told}; --debug shows the traceback.", 1)


def _help() -> str:
    lines = [f"  {name:<10} {verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: brainfm VERB ...",
            "",
            "Build EEG/MEG foundation models and find out honestly whether they work.",
            "",
            *lines,
            "",
            "`brainfm VERB --help` lists a verb's options with units and defaults. Every verb takes",
            "--config YAML, dotted overrides (--train.lr 1e-3), --print_config, and --debug for tracebacks.",
            "Exit code: 0 done, 1 failed or incomplete, 2 the call or the configuration is wrong; 143 of a",
            "training that a signal ended, which goes on with the same command.",
        ]
    )


def _complain(sentence: str, code: int) -> int:
    if sentence:  # else another process says it
        print(f"brainfm: {' '.join(sentence.split())}", file=sys.stderr)
    return code


def _run(name: str, arguments: list[str]) -> int:
    if name not in VERBS:
        raise UsageError(f"There is no verb {name!r}; known: {', '.join(VERBS)}.")
    verb = VERBS[name]
    stage = _import(verb.stage)
    parser = build_parser(f"brainfm {name}", verb, stage)
    config = _parse(parser, name_files(arguments))
    for argument, folder in verb.named.items():
        config[argument] = _lookup(config.get(argument), folder)
    values = _instantiate(parser, config)
    if verb.submits:
        slurm, dry_run = (values.pop(key) for key in SUBMISSION)
        for key in SUBMISSION:
            config.pop(key)
        if dry_run and slurm is None:
            raise UsageError("--dry-run prints a job's script; say with --slurm what job.")
        if slurm is not None:
            asked = _import(verb.submits)(slurm, **values)
            return _submit(name, asked, Path(values["out"]), _dump(parser, config), dry_run)
    if "out" not in values or name == "plan":
        stage(**values)
        return 0
    return _run_into(Path(values["out"]), verb, stage, values, _dump(parser, config))


def _import(place: str) -> Callable[..., Any]:
    module, function = place.split(":")
    return getattr(importlib.import_module(f"brainfm.stages.{module}"), function)


def _run_into(
    out: Path, verb: Verb, stage: Callable[..., Any], values: dict[str, Any], config: str
) -> int:
    """Run a stage that keeps its configuration in a folder; take it back where it left nothing else."""
    from brainfm.stages import run

    before = run.look(out)
    (run.claim if verb.claims else run.note)(out, config)
    try:
        stage(**values)
    except BaseException:
        run.release(out, before)
        raise
    return 0


def _submit(name: str, slurm: Any, out: Path, config: str, dry_run: bool) -> int:
    """Make a job of a command: the job gives it again, with the same resolved configuration."""
    from brainfm.stages import run, submission

    if VERBS[name].claims:
        run.compare(out, config)
    script = submission.write_script(slurm, name, config, out)
    if dry_run:
        print(script, end="")
        return 0
    submission.check_place()
    print(script, end="")
    print(submission.submit(script), flush=True)
    # Only now: what lies there may be of an earlier job, which a refused one does not replace.
    (run.claim if VERBS[name].claims else run.note)(out, config)
    submission.keep(script, out)
    return 0


def build_parser(program: str, verb: Verb, stage: Callable[..., Any]) -> Any:
    """Make the parser of a stage from its signature and docstring."""
    from jsonargparse import ActionConfigFile, ArgumentParser

    summary = (stage.__doc__ or verb.summary).strip().split("\n\n", maxsplit=1)[0]
    parser = ArgumentParser(
        prog=program, description=summary, exit_on_error=False, allow_abbrev=False
    )
    parser.add_argument("--config", action=ActionConfigFile, help="YAML with any of the options")
    told, kinds = _told(stage), get_type_hints(stage)
    for argument, nargs in verb.positional.items():
        kind = get_args(kinds[argument])[0] if nargs == "+" else kinds[argument]
        parser.add_argument(argument, nargs=nargs, type=kind, help=told.get(argument))
    switches = {p.name for p in inspect.signature(stage).parameters.values() if p.default is False}
    for argument in sorted(switches):
        spellings = dict.fromkeys([f"--{argument.replace('_', '-')}", f"--{argument}"])
        parser.add_argument(*spellings, action="store_true", help=told.get(argument))
    parser.add_function_arguments(
        stage, skip={*verb.positional, *switches}, as_positional=False, sub_configs=True
    )
    if verb.submits:
        from brainfm.stages.allocation import Allocation

        told = "make it a job of SLURM, which asks for this; the job is queued and the call ends"
        parser.add_argument("--slurm", type=Allocation | None, default=None, help=told)
        told = "print the job's script and do nothing"
        parser.add_argument("--dry-run", "--dry_run", action="store_true", help=told)
    return parser


def _told(stage: Callable[..., Any]) -> dict[str, str | None]:
    """Return what a stage's docstring says of each argument."""
    from docstring_parser import parse

    return {p.arg_name: p.description for p in parse(stage.__doc__ or "").params}


def _parse(parser: Any, arguments: list[str]) -> Any:
    from jsonargparse import ArgumentError

    try:
        return parser.parse_args(arguments)
    except ArgumentError as error:
        from brainfm.stages.refusals import explain

        raise UsageError(explain(str(error), tuple(FILES))) from error


def _instantiate(parser: Any, config: Any) -> dict[str, Any]:
    """Make the values of a stage's arguments; `UsageError` where a constructor refuses them."""
    values = dict(vars(parser.instantiate(config)))
    values.pop("config", None)
    return values


def _dump(parser: Any, config: Any) -> str:
    resolved = config.clone()
    resolved.pop("config", None)
    return parser.dump(resolved, skip_unset=False)


def name_files(arguments: list[str]) -> list[str]:
    """Put the file of a named configuration where its bare name follows ``--model`` or the like."""
    named = list(arguments)
    for place, (flag, value) in enumerate(pairwise(arguments), start=1):
        if flag in FILES and re.fullmatch(r"[\w-]+", value):
            named[place] = str(_lookup(value, FILES[flag]))
    return named


def _lookup(value: Any, folder: str) -> Any:
    """Return the path of a named configuration where ``value`` is no file."""
    if value is None or Path(str(value)).is_file():
        return value
    from brainfm.stages.catalog import find

    return find(str(value), folder)
