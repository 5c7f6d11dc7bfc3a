"""As much of DNS's messages (RFC 1035) as a relay has to look at.

Sandboxes are hostile, so what they send must be one plain question before it goes anywhere;
and what comes back must be the answer to that question.
"""

import struct

_HEAD = struct.Struct("!HHHHHH")
_RESPONSE = 0x8000
_OPCODE = 0x7800
_ECHOED = 0x7900
"""Operation code and "recursion desired": what a response repeats of the query."""
_RECURSION_AVAILABLE = 0x0080
_RCODE = 0x000F
_SERVER_FAILURE = 2
_UNHELPFUL = (2, 4, 5)
"""Server failure, not implemented, refused: another resolver may know better."""
_LONGEST_NAME = 255
_LONGEST_LABEL = 63


def is_query(message: bytes) -> bool:
    """Whether the message asks one question, as every resolver library does."""
    if _end_of_question(message) is None:
        return False
    _, flags, questions, answers, _, _ = _HEAD.unpack_from(message)
    return not flags & (_RESPONSE | _OPCODE) and questions == 1 and answers == 0


def with_id(message: bytes, number: int) -> bytes:
    return number.to_bytes(2, "big") + message[2:]


def id_of(message: bytes) -> int:
    return int.from_bytes(message[:2], "big")


def is_answer(message: bytes, query: bytes) -> bool:
    """Whether the message answers the query: same number, same question."""
    end = _end_of_question(query)
    if end is None or len(message) < _HEAD.size or message[:2] != query[:2]:
        return False
    _, flags, questions, _, _, _ = _HEAD.unpack_from(message)
    if not flags & _RESPONSE:
        return False
    if questions == 0:  # how some say that they do not understand it at all
        return bool(flags & _RCODE)
    asked, repeated = query[_HEAD.size : end], message[_HEAD.size : end]
    # The name's case is free; type and class follow it.
    return asked[:-4].lower() == repeated[:-4].lower() and asked[-4:] == repeated[-4:]


def is_unhelpful(answer: bytes) -> bool:
    return answer[3] & _RCODE in _UNHELPFUL


def server_failure(query: bytes) -> bytes:
    """Return the answer that no resolver has answered."""
    number, flags, _, _, _, _ = _HEAD.unpack_from(query)
    flags = _RESPONSE | flags & _ECHOED | _RECURSION_AVAILABLE | _SERVER_FAILURE
    end = _end_of_question(query) or _HEAD.size
    questions = int(end > _HEAD.size)
    return _HEAD.pack(number, flags, questions, 0, 0, 0) + query[_HEAD.size : end]


def _end_of_question(message: bytes) -> int | None:
    """Return where the first question ends; None if there is none, or it is not plain."""
    offset = _HEAD.size
    while offset < len(message) and offset - _HEAD.size < _LONGEST_NAME:
        length = message[offset]
        offset += 1 + length
        if length == 0:
            return offset + 4 if offset + 4 <= len(message) else None
        if length > _LONGEST_LABEL:
            return None
    return None
