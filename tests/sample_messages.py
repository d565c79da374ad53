"""Random messages of the contracts that lie on the path, a JSON object to a line: run under the previous state's code.

They say what that state may say, beyond what the walk has it say; they are the same at every run.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings

from hivemind_server.contracts_command import contracts_of
from hivemind_server.services import SERVICES

# Today's way to make examples, of the models of then.
EXAMPLES: Final = Path(__file__).resolve().parents[1] / "libs/common/src/hivemind_common/testing/examples.py"
PARTS: Final = {"request": 12, "reply": 3, "item": 6, "message": 6}
"""How many of each."""


def main() -> None:
    messages_of = runpy.run_path(str(EXAMPLES))["messages_of"]
    for contract in contracts_of(SERVICES):
        for part, count in PARTS.items():
            model = getattr(contract, part, None)
            if model is not None:
                for text in samples(messages_of(model), count, is_question=part == "request"):
                    line = {"subject": contract.subject, "part": part, "message": json.loads(text)}
                    sys.stdout.write(f"{json.dumps(line, separators=(',', ':'))}\n")


def samples(messages: Any, count: int, *, is_question: bool) -> list[str]:
    """Return different messages, as the bus would write them."""
    found: dict[str, None] = {}

    @seed(1)
    @settings(
        max_examples=count * 3,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(messages)
    def look(message: Any) -> None:
        found[message.model_dump_json(exclude_unset=is_question)] = None

    look()
    # The first ones are the plainest.
    return list(found)[-count:]


if __name__ == "__main__":
    main()
