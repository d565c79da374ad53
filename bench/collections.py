"""Retrieval collections in BEIR's form, questions mistyped by rule, and the figures that are told of a ranking.

The form is that of Thakur et al., *BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information Retrieval
Models*, 2021: `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and `qrels.tsv` or
`qrels/test.tsv` (query-id, corpus-id, score, with a header).
"""

from __future__ import annotations

import json
import math
import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
OWN: Final = ROOT / "tests" / "data" / "search"
"""The project's own collection."""


class CollectionError(Exception):
    """A collection cannot be read; the words say what to mend."""


@dataclass(frozen=True)
class Document:
    """What can be found."""

    id: str
    title: str
    text: str


@dataclass(frozen=True)
class Query:
    """What is asked; `split` says whether anything may be tuned by it."""

    id: str
    text: str
    split: str = "test"


@dataclass(frozen=True)
class Collection:
    """Documents, questions, and which documents answer which question, and how well."""

    name: str
    documents: tuple[Document, ...]
    queries: tuple[Query, ...]
    judgments: Mapping[str, Mapping[str, int]]
    others: tuple[str, ...] = ()
    """Questions that nothing here answers."""


def read(folder: Path) -> Collection:
    """Read a collection; raises `CollectionError`."""
    documents = tuple(
        Document(row["_id"], row.get("title") or "", row["text"]) for row in _rows(folder / "corpus.jsonl")
    )
    known = {document.id for document in documents}
    judgments: dict[str, dict[str, int]] = {}
    for query_id, document_id, score in _judgments(folder):
        if document_id not in known:
            raise CollectionError(f"{folder}: a judgment names the document {document_id!r}, which is not there")
        if score > 0:
            judgments.setdefault(query_id, {})[document_id] = score
    queries = tuple(
        Query(row["_id"], row["text"], row.get("split", "test"))
        for row in _rows(folder / "queries.jsonl")
        if row["_id"] in judgments
    )
    others = folder / "others.jsonl"
    asked = tuple(row["text"] for row in _rows(others)) if others.is_file() else ()
    return Collection(folder.name, documents, queries, judgments, asked)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as fault:
        raise CollectionError(f"{path} cannot be read: {fault.strerror}") from fault
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line)
                row["_id"], row["text"]
            except (ValueError, KeyError, TypeError) as fault:
                raise CollectionError(f"{path}, line {number}: wants an object with _id and text") from fault
            yield row


def _judgments(folder: Path) -> Iterator[tuple[str, str, int]]:
    path = next((each for each in (folder / "qrels.tsv", folder / "qrels" / "test.tsv") if each.is_file()), None)
    if path is None:
        raise CollectionError(f"{folder} has neither qrels.tsv nor qrels/test.tsv")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        columns = line.split("\t")
        if number == 1 and columns[:1] == ["query-id"]:
            continue
        try:
            yield columns[0], columns[1], int(columns[2])
        except (IndexError, ValueError) as fault:
            raise CollectionError(f"{path}, line {number}: wants query-id, corpus-id and a whole number") from fault


def ndcg(ranked: Sequence[str], judged: Mapping[str, int], k: int = 10) -> float:
    """Return the normalised discounted cumulative gain of the first k, 0 to 1.

    Gains are linear and discounted by log2 of the rank plus one, as trec_eval does (Järvelin and Kekäläinen, *Cumulated
    gain-based evaluation of IR techniques*, 2002).
    """
    gained = sum(judged.get(each, 0) / math.log2(rank + 2) for rank, each in enumerate(ranked[:k]))
    best = sum(score / math.log2(rank + 2) for rank, score in enumerate(sorted(judged.values(), reverse=True)[:k]))
    return gained / best if best else 0.0


def recall(ranked: Sequence[str], judged: Mapping[str, int], k: int = 10) -> float:
    """Return which share of what could be found among the first k was found, 0 to 1."""
    return len(set(ranked[:k]) & set(judged)) / min(k, len(judged)) if judged else 0.0


@dataclass(frozen=True)
class Mistyping:
    """How questions are mistyped: one edit in each word of at least so many letters, the first letter kept."""

    seed: int
    shortest: int
    edits: tuple[str, ...]
    letters: str

    @classmethod
    def read(cls, path: Path = OWN / "mistyped.toml") -> Mistyping:
        """Read the rule."""
        rule = tomllib.loads(path.read_text(encoding="utf-8"))
        return cls(rule["seed"], rule["shortest"], tuple(rule["edits"]), rule["letters"])

    def of(self, query: Query) -> str:
        """Mistype a question, always in the same way."""
        chance = random.Random(f"{self.seed} {query.id} {query.text}")
        return " ".join(self._word(word, chance) for word in query.text.split(" "))

    def _word(self, word: str, chance: random.Random) -> str:
        if sum(letter.isalpha() for letter in word) < self.shortest or not word.strip(".,;:!?\"'()").isalpha():
            return word
        start = next(place for place, letter in enumerate(word) if letter.isalpha())
        end = max(place for place, letter in enumerate(word) if letter.isalpha()) + 1
        place = chance.randrange(start + 1, end)
        match chance.choice(self.edits):
            case "drop":
                return word[:place] + word[place + 1 :]
            case "double":
                return word[:place] + word[place] + word[place:]
            case "swap" if place + 1 < end:
                return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
            case _:
                return word[:place] + chance.choice(self.letters) + word[place + 1 :]
