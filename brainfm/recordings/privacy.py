"""What may be written of a recording: no name, no date, no code of a person, by default.

Headers are not written at all: subject, session and run come from the path. What is free text, an
annotation or a channel's label, keeps the words of a vocabulary and loses every other, because no list of
names is complete: `docs/privacy.md` tells the rules and how a recipe keeps more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

import mne

from brainfm.recordings.vocabulary import MESSAGES, SURNAMES, WORDS

REMOVED = "…"
"""What stands where something was taken out."""

PLACEHOLDERS = frozenset(
    (
        *("no", "name", "none", "unknown", "unspecified", "mne", "na", "xxx", "male", "female"),
        *("anonymous", "anonymized", "anonymised", "anonymize", "anonymise", "subject", "patient"),
        *("test", "startdate", "id", "pt"),
    )
)
"""Words in a header's place for the patient that are nobody."""

_MONTH = r"(?:(?:jan|feb|mar|mär|apr|may|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-z]*|mai(?![a-z]))"
_GAP = rf"(?:(?![\n{REMOVED}])[\W_])"
_TH = r"(?:st|nd|rd|th)?"
_FOUR = r"(?:19|20)\d\d"
_YEAR = r"(?<![^\W_])(?<!\d\.)(?:19|20)\d\d(?![^\W_]|\.\d)"
_SURNAME = rf"(?<![^\W_])(?:{'|'.join(sorted(SURNAMES))})(?![^\W_])"
_CAPITAL = r"(?-i:[A-Z][a-z]+)(?![^\W_])"
# These go before decimal numbers are spared, of which "02.05 1951" seems to have one. Where the year has
# two digits the same sign stands twice, so that "0.5-70 Hz" is no date, and no comma: "1, 2, 10" is a list.
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<!\d)(?:\d{{1,2}}{_GAP}{{1,3}}\d{{1,2}}{_GAP}{{1,3}}{_FOUR}"
        rf"|{_FOUR}{_GAP}{{1,3}}\d{{1,2}}{_GAP}{{1,3}}\d{{1,2}})(?!\d)",
        r"(?<![\d.])(?:\d{1,2}\s{0,2}([-./|\u2010-\u2015\u2212])\s{0,2}\d{1,2}\s{0,2}\1\s{0,2}\d\d)(?![\d.]*\d)",
    )
)
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\S+@\S+",
        r"\b(?:https?|ftp)://\S+|\bwww\.\S+",
        r"(?<!\d)\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?!\d)",
        # One of the outer groups has two digits at least: T1_2_3 is a code.
        r"(?<!\d)(?:\d{2,4}[_:]\d{1,2}[_:]\d{1,4}|\d{1,2}[_:]\d{1,2}[_:]\d{2,4})(?!\d)",
        rf"(?<!\d)\d{{1,2}}{_TH}{_GAP}*(?:of\s+)?{_MONTH}{_GAP}*\d{{2,4}}(?!\d)",
        rf"(?<![^\W_]){_MONTH}{_GAP}*\d{{1,2}}{_TH}{_GAP}+\d{{2,4}}(?!\d)",
        rf"\b(?:born|birth|dob|geb)\w*\D{{0,20}}{_YEAR}",
        # Telephones, record numbers and other codes: six digits or more, also in groups.
        r"(?<![\w.])\+?\(?\d[\d()/ -]{4,}\d\b",
        r"\b[A-Za-z]{0,4}\d{6,}\w*\b",
    )
)
# Words of the vocabulary are names behind a title, as in "Dr. Brown"; "Patient awake" is none.
_TITLE = r"(?:mr|ms|mrs|dr|prof|sir|nurse|herr|frau)[\s.:,=_-]+"
_MORE = rf"(?:{_TITLE}|(?:med|rer|nat|phil|dent|habil)[\s.]+|(?:and|und|&)\s+(?={_TITLE}))*"
_INITIALS = r"(?:[^\W\d_]\.[\s_]*|[^\W\d_][\s_]+(?=(?-i:[A-Z])))*"
_TITLED = re.compile(
    rf"(?<![^\W_])({_TITLE}|(?:miss|patient|pt|name)[\s.:,=_-]+"
    rf"(?={_TITLE}|{_INITIALS}(?:{_CAPITAL}|{_SURNAME}|[a-z]{{2}}(?![^\W_]))))"
    rf"{_MORE}{_INITIALS}[^\W\d_][^\W_]*(?:[\s_-]+{_CAPITAL})?",
    re.IGNORECASE,
)
# A year, and a name that is a word as well, beside what was taken out: "John Brown, 1951".
_BESIDE = rf"(?:{_YEAR}|(?=[A-Z])(?i:{_SURNAME}))"
_RUN = re.compile(
    rf"(?:{_BESIDE}[ ,;:.()\-_/]*)*{REMOVED}(?:[ ,;:.()\-_/]*(?:{REMOVED}|{_BESIDE}))*"
)
_DECIMAL = re.compile(r"(?<![\d.])[+-]?\d{1,4}\.\d{1,6}(?![\d.])")
_TOKEN = re.compile(r"[^\W_]+")
_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_CODE = re.compile(
    r"[A-Za-z]{0,3}\d{1,5}|\d{1,5}[A-Za-z]{0,3}|[A-Za-z]{1,3}\d{1,3}[A-Za-z]{1,3}\d{0,3}"
)


@dataclass(frozen=True)
class Scrubber:
    """Takes from texts what could name a person.

    Attributes
    ----------
    identity
        words of the header's places for people, in lower case: they go wherever they stand.
    words
        words that stay beside the vocabulary's, in lower case: the recording's own channel names,
        levels that a BIDS sidecar documents.
    keep
        texts, or patterns with ``*``, that stay as they are but for the identity.
    """

    identity: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    keep: tuple[str, ...] = ()

    def label(self, text: str) -> str:
        """Return a channel's label without the words of the header's people."""
        for word in sorted(self.identity, key=len, reverse=True):
            text = re.sub(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", REMOVED, text, flags=re.I)
        return text

    def text(self, text: str) -> str:
        """Return free text with the vocabulary's words, codes and small numbers only."""
        text = self.label(text)
        if any(fnmatchcase(text, pattern) for pattern in self.keep):
            return text
        for pattern in _DATES:
            text = pattern.sub(REMOVED, text)
        # What stands between decimal numbers is scrubbed, the numbers are not.
        ends = [0, *(i for found in _DECIMAL.finditer(text) for i in found.span()), len(text)]
        parts = [text[start:end] for start, end in pairwise(ends)]
        text = "".join(part if i % 2 else self._part(part) for i, part in enumerate(parts))
        return _RUN.sub(REMOVED, text)

    def _part(self, text: str) -> str:
        for pattern in _PATTERNS:
            text = pattern.sub(REMOVED, text)
        text = _TITLED.sub(rf"\1{REMOVED}", text)
        return _TOKEN.sub(lambda found: self._token(found[0]), text)

    def _token(self, token: str) -> str:
        if (
            token.casefold() in self.words
            or token.isdigit()
            or (len(token) <= 2 and token.isascii())
        ):
            return token
        if _CODE.fullmatch(token):
            return token
        # camelCase is taken apart; letters that are not ASCII know no case to do it by.
        pieces = _PIECE.findall(token) if token.isascii() else []
        known = (p.casefold() in WORDS or len(p) == 1 for p in pieces)
        return token if token.casefold() in WORDS or (pieces and all(known)) else REMOVED


def find_identity(info: mne.Info) -> frozenset[str]:
    """Return the words that a header has for people and their codes, in lower case."""
    person = dict(info.get("subject_info") or {})
    texts = [str(v) for k, v in person.items() if k.endswith("name") or k in ("his_id", "id")]
    texts.append(str(info.get("experimenter") or ""))
    found = {word.casefold() for text in texts for word in _split(text)}
    return frozenset(w for w in found if w not in PLACEHOLDERS)


def _split(text: str) -> Iterable[str]:
    # A single letter is an X or a sex, S1 and 01 are running numbers: they would take codes along.
    words = re.findall(r"[^\W_]+", text)
    return (w for w in words if len(w) >= 3 or (len(w) == 2 and w.isalpha()))


def redact(message: str) -> str:
    """Return an error's message without what it may quote of a header: known words stay, quotes do not."""
    # Where a quote begins a mark as in "doesn't" may hide, and some messages quote without any.
    text = re.sub(
        r"""(?<!\w)b?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|‘[^’]*’|`[^`]*`""", REMOVED, message
    )
    text = re.sub(r"(?<!\w)(?:[A-Za-z]:\\|/)\S+|\d{5,}", REMOVED, text)
    return Scrubber(words=MESSAGES).text(text)
