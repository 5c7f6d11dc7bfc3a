"""Where functions that back custom resources put their answers: a URL of the node's for each.

The secret in the URL is what makes an answer somebody's; it is good until the answer has been
waited for, and not after the node has ended.
"""

from secrets import token_urlsafe
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from lambdabox.stacks.resources.kinds import Answer

PATH = "/_lambdabox/stack-answers/"
MAX_BYTES = 64 * 1024


class AnswerBox:
    """`address` is the node's, as functions reach it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._open: dict[str, Answer] = {}

    def open(self) -> "Answer":
        """Return where an answer will come; the caller closes it."""
        # Deferred: the gateway knows this module, and a node without stacks starts without theirs.
        from lambdabox.stacks.resources.kinds import Answer

        token = token_urlsafe(24)

        def close() -> None:
            self._open.pop(token, None)

        answer = Answer(f"{self._address}{PATH}{token}", close)
        self._open[token] = answer
        return answer

    def take(self, token: str, body: bytes) -> bool:
        """Take an answer; return whether anybody waits for it. Raises ValueError if it is none."""
        answer = self._open.get(token)
        if answer is None:
            return False
        answer.give(orjson.loads(body))
        return True
