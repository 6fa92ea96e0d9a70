"""Where every number comes from: configurations, seeds, fingerprints, versions, commands, papers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainfm.evaluation.report.inputs import Absent, Results, RunFolder, parsed
from brainfm.evaluation.report.numbers import several
from brainfm.evaluation.report.papers import Paper, papers_of
from brainfm.store import Store
from brainfm.store.tokens import TokenStore


@dataclass(frozen=True)
class Part:
    """What one stage says of itself.

    Attributes
    ----------
    name
        of the stage.
    place
        its folder, as seen from beside the report.
    command
        that made it, or nothing.
    config
        resolved configuration as YAML, or nothing.
    facts
        the rest of its manifest and model card, as (name, value) pairs.
    versions
        of libraries, by name.
    missing
        one sentence a file that could not be read.
    """

    name: str
    place: str
    command: str
    config: str
    facts: tuple[tuple[str, str], ...]
    versions: dict[str, str]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """Whether two parts of the journey are of the same data: True, False, or None where unknown."""

    says: str
    holds: bool | None


@dataclass(frozen=True)
class Provenance:
    """The section on provenance.

    Attributes
    ----------
    parts
        the stages, in order.
    libraries
        (library, one version a part) rows.
    seeds
        (place, seed) pairs.
    fingerprints
        (what, fingerprint) pairs.
    checks
        whether the parts fit each other.
    commands
        in the order to run them in.
    papers
        to cite.
    """

    parts: tuple[Part, ...]
    libraries: tuple[tuple[str, tuple[str, ...]], ...]
    seeds: tuple[tuple[str, str], ...]
    fingerprints: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...]
    commands: tuple[str, ...]
    papers: tuple[Paper, ...]


def trace(
    evaluation: Results,
    runs: tuple[RunFolder | Absent, ...],
    *,
    store: Store | Absent,
    tokens: TokenStore | Absent,
    out: Path,
) -> Provenance:
    """Gather the section from what the folders say."""
    there = [run for run in runs if isinstance(run, RunFolder)]
    parts = [_run_part(run, out) for run in there] + [_evaluation_part(evaluation, out)]
    return Provenance(
        parts=tuple(parts),
        libraries=_libraries(parts),
        seeds=tuple(_seeds(parts)),
        fingerprints=tuple(_fingerprints(store, tokens)),
        checks=tuple(_checks(there, store, tokens)),
        commands=tuple(_commands(parts, tokens, out)),
        papers=papers_of(evaluation, [part.config for part in parts]),
    )


def _run_part(run: RunFolder, out: Path) -> Part:
    facts = {k: v for k, v in run.manifest.items() if k not in ("versions", "command")}
    facts["model card"] = {k: v for k, v in run.card.items() if k != "versions"}
    return Part(
        name=run.name,
        place=run.path.name,
        command=_command(run.manifest, out),
        config=_portable(run.config, out),
        facts=tuple((k, _portable(v, out)) for k, v in _facts(facts)),
        versions=_versions(run.manifest),
        missing=run.missing,
    )


def _evaluation_part(evaluation: Results, out: Path) -> Part:
    facts = {k: v for k, v in evaluation.manifest.items() if k not in ("versions", "command")}
    return Part(
        name="evaluation",
        place=out.name,
        command=_command(evaluation.manifest, out),
        config=_portable(evaluation.config, out),
        facts=tuple((k, _portable(v, out)) for k, v in _facts(facts)),
        versions=_versions(evaluation.manifest),
        missing=tuple(m for m in evaluation.missing if ".csv" not in m),
    )


def _command(manifest: dict[str, Any], out: Path) -> str:
    command = manifest.get("command", "")
    words = command if isinstance(command, list) else [command]
    return _portable(" ".join(str(word) for word in words), out)


def _versions(manifest: dict[str, Any]) -> dict[str, str]:
    versions = manifest.get("versions")
    return {str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {}


def _portable(text: str, out: Path) -> str:
    """Write the folders beside ``out`` without what leads to them on this machine."""
    return text.replace(f"{out.resolve().parent.as_posix()}/", "")


def _commands(parts: list[Part], tokens: TokenStore | Absent, out: Path) -> Iterator[str]:
    """Yield the commands in the order of the journey; tokens are written after the tokenizer's training."""
    made = dict.fromkeys(p.command for p in parts if p.command and p.name != "tokenizer")
    yield from (p.command for p in parts if p.command and p.name == "tokenizer")
    if isinstance(tokens, TokenStore):
        known = tokens.attributes
        if known.get("store") and known.get("checkpoint"):
            yield _portable(
                f"brainfm tokenize {known['store']} --checkpoint {known['checkpoint']} "
                f"--tokens {tokens.path}",
                out,
            )
    yield from made


def _facts(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested values as dotted names; long lists in short."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _facts(inner, f"{prefix}{key}.")
    elif isinstance(value, list | tuple):
        words = [str(v) for v in value]
        text = ", ".join(words[:6]) + (f", … ({len(words)} in all)" if len(words) > 6 else "")
        yield prefix.rstrip("."), text or "none"
    else:
        yield prefix.rstrip("."), "none" if value is None else str(value)


def _libraries(parts: list[Part]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    names = sorted({name for part in parts for name in part.versions}, key=str.lower)
    return tuple((n, tuple(p.versions.get(n, "–") for p in parts if p.versions)) for n in names)


def _seeds(parts: list[Part]) -> Iterator[tuple[str, str]]:
    for part in parts:
        pairs = list(_facts(parsed(part.config))) + list(part.facts)
        values = {v: None for k, v in pairs if k.rpartition(".")[2] in ("seed", "seeds")}
        if values:
            yield part.name, "; ".join(values)


def _fingerprints(store: Store | Absent, tokens: TokenStore | Absent) -> Iterator[tuple[str, str]]:
    if isinstance(store, Store):
        yield "recordings of the store", store.fingerprint
        yield "preprocessing", str(store.attributes.get("preprocessing_hash", "–"))
    if isinstance(tokens, TokenStore):
        yield "vocabulary", str(tokens.attributes.get("vocabulary_hash", "–"))


def _checks(
    runs: list[RunFolder], store: Store | Absent, tokens: TokenStore | Absent
) -> Iterator[Check]:
    if not isinstance(store, Store):
        return
    if isinstance(tokens, TokenStore):
        said = tokens.attributes.get("store_fingerprint")
        holds = None if said is None else said == store.fingerprint
        yield Check("the tokens are of this store", holds)
    known = set(store.table["fingerprint"])
    for run in runs:
        said = run.card.get("preprocessing_hash")
        ways = said if isinstance(said, list) else [said]  # a list where data sets were mixed
        holds = None if said is None else store.attributes.get("preprocessing_hash") in ways
        yield Check(f"the model of the {run.name} has this store’s preprocessing", holds)
        data = run.card.get("data")
        seen = data.get("fingerprints") if isinstance(data, dict) else None
        if isinstance(seen, list) and seen:
            inside = len(known & {str(s) for s in seen})
            words = f"{inside} of the {several(len(seen), 'recording')} that the {run.name} saw"
            yield Check(f"{words} are in this store", inside == len(seen))
