"""How good the search is: `.venv/bin/python -m bench.search_quality [--collection DIR …]`.

The project's own collection, and any other in BEIR's form. Compared are what Postgres offers (all words, any word), BM25
over the same stems as the yardstick, ours, and ours with the extra `embeddings` where it is installed. Then whether a bot knows when it does not know: for every threshold the
share of a collection's questions that are answered, of questions about other things that are refused, and of questions
whose answers were taken out that are refused.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Final

from bench import collections
from bench.collections import Collection, Mistyping, Query, ndcg, recall
from bench.report import Figure, figure, finish, note
from bench.retrieval import Loaded, Rig, load, rig
from hivemind_knowledge.minilm import is_installed
from hivemind_knowledge.ranking import LEAST_COVERAGE

THRESHOLDS: Final = sorted({0.2, 0.25, 0.3, 0.4, 0.45, 0.5, 0.6, 0.65, 0.8, 1.0, *LEAST_COVERAGE.values()})
DEEP: Final = 50
"""Hits that are looked at where the answers are taken out."""

Ranker = Callable[[str], Awaitable[Sequence[str]]]


async def measure(folders: Sequence[Path], split: str | None) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Measure on each collection; returns the table and what it was made from."""
    figures: list[Figure] = []
    rounds: list[dict[str, Any]] = []
    async with rig() as made:
        loaded = await _loaded(made, folders, split)
        yardsticks, ratios = {}, []
        for each in loaded:
            found = await _rankings(each)
            rounds.append({"collection": each.collection.name} | found)
            ratio = found["ours"]["ndcg"] / found["bm25"]["ndcg"]
            ratios.append(ratio)
            name = each.collection.name
            yardsticks[name] = found["bm25"]["ndcg"]
            for way in ("and", "or", "bm25", "ours"):
                figures.append(figure(f"nDCG@10, {way}", name, found[way]["ndcg"], ""))
                figures.append(figure(f"recall@10, {way}", name, found[way]["recall"], ""))
                figures.append(figure(f"gets a hit, {way}", name, 100 * found[way]["hit"], "%"))
            figures.append(figure("nDCG@10, ours against BM25", name, ratio, "×", least=0.97))
            figures.append(figure("questions that get a hit", name, 100 * found["ours"]["hit"], "%", least=99))
            kept = found["mistyped"]["recall"] / found["ours"]["recall"]
            figures.append(figure("recall@10, mistyped against clean", name, kept, "×", least=0.9))
        figures.append(figure("nDCG@10, ours against BM25", "mean", mean(ratios), "×", least=1.06))
        figures += await _abstaining(loaded, rounds, "", least_out=15)
    if is_installed():
        async with rig(with_vectors=True) as made:
            loaded = await _loaded(made, folders, split)
            note("making vectors")
            await made.vectors_are_made()
            for each in loaded:
                figures += await _by_meaning(each, yardsticks[each.collection.name], rounds)
            figures += await _abstaining(loaded, rounds, ", with embeddings", least_out=40)
    return figures, rounds


async def _loaded(made: Rig, folders: Sequence[Path], split: str | None) -> list[Loaded]:
    loaded = []
    for folder in folders:
        collection = collections.read(folder)
        note(f"{collection.name}: {len(collection.documents)} documents, {len(collection.queries)} questions")
        loaded.append(await load(made, _part(collection, split)))
    return loaded


async def _by_meaning(each: Loaded, yardstick: float, rounds: list[dict[str, Any]]) -> list[Figure]:
    async def both(text: str) -> Sequence[str]:
        return (await each.ours(text))[0]

    alone = await _judge(each.collection, each.meanings, lambda query: query.text)
    found = await _judge(each.collection, both, lambda query: query.text)
    name = each.collection.name
    rounds.append({"collection": name, "vectors": alone, "ours with embeddings": found})
    ratio = found["ndcg"] / max(yardstick, alone["ndcg"])
    return [
        figure("nDCG@10, vectors alone", name, alone["ndcg"], ""),
        figure("nDCG@10, ours with embeddings", name, found["ndcg"], ""),
        figure("recall@10, ours with embeddings", name, found["recall"], ""),
        figure("with embeddings, against the better of BM25 and vectors", name, ratio, "×", least=1.0),
    ]


def _part(collection: Collection, split: str | None) -> Collection:
    if split is None:
        return collection
    queries = tuple(query for query in collection.queries if query.split == split)
    return Collection(collection.name, collection.documents, queries, collection.judgments, collection.others)


async def _rankings(each: Loaded) -> dict[str, Any]:
    yardstick = await each.yardstick()
    mistyping = Mistyping.read()

    async def ours(text: str) -> Sequence[str]:
        return (await each.ours(text))[0]

    ways: dict[str, Ranker] = {
        "and": each.all_words,
        "or": each.any_word,
        "bm25": yardstick.rank,
        "ours": ours,
    }
    found = {name: await _judge(each.collection, way, lambda query: query.text) for name, way in ways.items()}
    found["mistyped"] = await _judge(each.collection, ours, mistyping.of)
    return found


async def _judge(collection: Collection, way: Ranker, text_of: Callable[[Query], str]) -> dict[str, float]:
    gains, recalls, hits = [], [], []
    for query in collection.queries:
        ranked = await way(text_of(query))
        judged = collection.judgments[query.id]
        gains.append(ndcg(ranked, judged))
        recalls.append(recall(ranked, judged))
        hits.append(bool(ranked))
    return {"ndcg": mean(gains), "recall": mean(recalls), "hit": mean(hits)}


async def _abstaining(
    loaded: Sequence[Loaded], rounds: list[dict[str, Any]], way: str, *, least_out: float
) -> list[Figure]:
    figures: list[Figure] = []
    refused_rates: dict[float, list[float]] = {threshold: [] for threshold in THRESHOLDS}
    for each in loaded:
        own, without = [], []
        for query in each.collection.queries:
            ranked, found = await each.ours(query.text, DEEP)
            coverages = [match.coverage for _, match in found.hits]
            own.append(max(coverages, default=0.0))
            judged = each.collection.judgments[query.id]
            pairs = zip(ranked, coverages, strict=True)
            without.append(max((coverage for name, coverage in pairs if name not in judged), default=0.0))
        foreign = (
            [("others", [await _best(each, text) for text in each.collection.others])] if each.collection.others else []
        )
        foreign += [
            (f"of {other.collection.name}", [await _best(each, query.text) for query in other.collection.queries])
            for other in loaded
            if other is not each
        ]
        name = each.collection.name
        curve = {
            threshold: {
                "answered": _share(own, threshold),
                "refused without answers": 1 - _share(without, threshold),
                **{f"refused, {kind}": 1 - _share(found, threshold) for kind, found in foreign},
            }
            for threshold in THRESHOLDS
        }
        for threshold in THRESHOLDS:
            refused_rates[threshold] += [1 - _share(found, threshold) for _, found in foreign]
        rounds.append({"collection": name + way, "curve": {str(key): value for key, value in curve.items()}})
        _print_curve(name + way, curve)
        normal = LEAST_COVERAGE["normal"]
        figures.append(figure(f"own questions answered{way}", name, 100 * _share(own, normal), "%", least=95))
        for kind, coverages in foreign:
            figures.append(figure(f"refused, {kind}{way}", name, 100 * (1 - _share(coverages, normal)), "%"))
        figures.append(
            figure(f"refused, answers taken out{way}", name, 100 * (1 - _share(without, normal)), "%", least=least_out)
        )
    if refused_rates[LEAST_COVERAGE["normal"]]:
        figures.append(
            figure(
                f"refused, about other things{way}",
                "mean",
                100 * mean(refused_rates[LEAST_COVERAGE["normal"]]),
                "%",
                least=93,
            )
        )
    return figures


async def _best(each: Loaded, text: str) -> float:
    _, found = await each.ours(text, 10)
    return max((match.coverage for _, match in found.hits), default=0.0)


def _share(coverages: Iterable[float], threshold: float) -> float:
    return mean(coverage >= threshold for coverage in coverages)


def _print_curve(name: str, curve: dict[float, dict[str, float]]) -> None:
    kinds = list(next(iter(curve.values())))
    note(f"\n{name}: at least this coverage; " + "; ".join(kinds))
    for threshold, row in curve.items():
        note(f"  {threshold:4.2f}  " + "  ".join(f"{100 * row[kind]:5.1f} %" for kind in kinds))


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--collection", type=Path, action="append", default=[], help="a folder in BEIR's form")
    parser.add_argument("--split", choices=("dev", "test"), help="only questions of this part of a collection")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    own = [collections.OWN] if (collections.OWN / "corpus.jsonl").is_file() else []
    try:
        figures, rounds = asyncio.run(measure([*own, *options.collection], options.split))
    except collections.CollectionError as fault:
        print(fault, file=sys.stderr)
        return 2
    return finish("search_quality", figures, rounds, writes=not options.no_write)


if __name__ == "__main__":
    sys.exit(main())
