"""What is a word, in a snippet and in a question."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Refunds take ten days.", "Refunds take ten days"),
        ("Say “hello”, don't shout—ever…", "Say hello don t shout ever"),
        ("getUserName", "get User Name getUserName"),
        ("HTTPServer, PDFs and IDs", "HTTP Server PDFs and IDs HTTPServer"),
        ("AB-1234", "AB 1234 AB1234"),
        ("error E0432 at 10.4.1", "error E0432 at 10 4 1 1041"),
        ("log-in by e-mail", "log in by e mail login email"),
        ("https://example.org/api/v1?x=1&y=snake_case", "https example org api v1 x 1 y snake case snakecase"),
        ("wide \uff21\uff22\uff23 \ufb01n", "wide ABC fin"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("返金は十日", "返金 金は は十 十日"),
        ("月", "月"),
        ("Tokyo 東京 tower", "Tokyo 東京 tower"),
        ("반품 기간", "반품 기간"),
        ("emoji 😀🎉 only 👍🏽", "emoji only"),
        ("a & b | !c <-> 'd' \\ :*", "a b c d"),
        ("שלום עולם", "שלום עולם"),
        ("", ""),
        ("... ---", ""),
    ],
)
async def test_words_are_taken_apart(owner: Any, text: str, words: str) -> None:
    assert " ".join((await owner.fetchval("SELECT knowledge.words_of($1)", text)).split()) == words


async def test_a_word_without_an_end_is_cut(owner: Any) -> None:
    found = await owner.fetchval("SELECT knowledge.words_of($1)", "x" * 20_000 + " end")

    assert found == "x" * 80 + " end"


@pytest.mark.parametrize(
    ("language", "question", "heavy"),
    [
        ("en", "Hello, could you please tell me how refunds work?", ["refund", "work"]),
        ("en", "what is it?", []),
        ("de", "Hallo, wie lange dauern Rückerstattungen bitte?", ["lang", "dau", "ruckerstatt"]),
        ("fr", "Bonjour, comment puis-je créer des clés ?", ["cré", "clé", "puisj"]),
        ("es", "¿Cómo puedo cancelar los pedidos?", ["cancel", "ped"]),
        ("it", "Come posso annullare gli ordini?", ["annull", "ordin"]),
        ("pt", "Olá, como posso cancelar as encomendas?", ["cancel", "encomend"]),
        ("nl", "Hoe kan ik bestellingen annuleren?", ["bestell", "annuler"]),
        ("und", "Refunds 返金", ["refunds", "返金"]),
    ],
)
async def test_words_of_questions_are_light(owner: Any, language: str, question: str, heavy: list[str]) -> None:
    rows = await owner.fetch("SELECT * FROM knowledge.asked($1, $2)", question, language)

    assert [lexeme for row in rows if not row["is_light"] for lexeme in row["lexemes"]] == heavy


@pytest.mark.parametrize(
    ("language", "one", "many"),
    [
        ("en", "refund policy", "refunds policies"),
        ("de", "Bestellung Haus", "Bestellungen Häuser"),
        ("fr", "commande annulée", "commandes annulées"),
        ("es", "pedido cancelado", "pedidos cancelados"),
        ("it", "ordine annullato", "ordini annullati"),
        ("pt", "encomenda cancelada", "encomendas canceladas"),
        ("nl", "bestelling geannuleerd", "bestellingen geannuleerde"),
    ],
)
async def test_inflections_are_one_lexeme(owner: Any, language: str, one: str, many: str) -> None:
    lexemes = "SELECT tsvector_to_array(knowledge.lexemes_of($1, '', $2))"

    assert await owner.fetchval(lexemes, language, one) == await owner.fetchval(lexemes, language, many)


async def test_words_are_counted_with_their_places(owner: Any) -> None:
    counted = await owner.fetchrow(
        "SELECT * FROM knowledge.lengths_of(knowledge.lexemes_of('en', 'Refunds of orders', 'They take ten days. Ten!'))"
    )

    assert tuple(counted) == (3, 5)
