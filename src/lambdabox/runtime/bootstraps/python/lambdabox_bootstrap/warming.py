"""Serve a function of our own before the real one, so that memory is touched and code is warm.

The first use of a page after a fork copies it, and a cold start uses some hundreds of pages:
more than half of its time. A prepared process has that behind it when it is given a
function. Whatever the rehearsal changes is put back.
"""

import os
import socket
import sys

from . import logging_import, server  # noqa: F401  # the former is needed later, by each

_PLACE = os.path.dirname(os.path.abspath(__file__))
ENVIRONMENT = {
    # As many variables, and about as long, as a function has.
    **{f"AWS_LAMBDA_REHEARSAL_{number}": "rehearsal" for number in range(16)},
    "TZ": ":UTC",
    "_HANDLER": "rehearsal.handler",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
    "AWS_LAMBDA_FUNCTION_NAME": "rehearsal",
    "LAMBDA_TASK_ROOT": _PLACE,
    "LAMBDABOX_LAYER_PATHS": "/opt",
    "LAMBDABOX_RUNTIME_PACKAGES": _PLACE,
}
"""Of the function that is rehearsed. The caller adopts it as any other's."""

_SOURCE = "import json\n\n\ndef handler(event, context):\n    return {'statusCode': 200}\n"
_EVENT = b'{"warm": [1, 2.5, null, "\\u00e9"]}'
_HEAD = "\0".join(("00000000-0000-0000-0000-000000000000", "0", "arn:rehearsal", "", "", "", ""))


def warm() -> None:
    """Serve one event of the function that ENVIRONMENT describes."""
    path, finders, places = list(sys.path), list(sys.meta_path), set(sys.path_importer_cache)
    handlers = _log_handlers()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(_event())
        ours.shutdown(socket.SHUT_WR)
        rehearsed = server.prepare(theirs.fileno())
        rehearsed.load(os.environ["_HANDLER"])
        rehearsed.run()
        rehearsed.close()
    # A module of the function is compiled, where the rehearsed one may be there in bytecode.
    compile(_SOURCE, "<rehearsal>", "exec")
    sys.path[:], sys.meta_path[:] = path, finders
    sys.modules.pop("rehearsal", None)
    for place in set(sys.path_importer_cache) - places:
        del sys.path_importer_cache[place]
    _forget_handlers(handlers)


def _event() -> bytes:
    head = _HEAD.encode()
    body = len(head).to_bytes(4, "big") + head + _EVENT
    return len(body).to_bytes(4, "big") + b"I" + body


def _log_handlers() -> "list[object]":
    """Return the root logger's, if logging is there: with a package that is preloaded."""
    logging = sys.modules.get("logging")
    return list(logging.root.handlers) if logging is not None else []


def _forget_handlers(kept: "list[object]") -> None:
    logging = sys.modules.get("logging")
    for handler in list(logging.root.handlers) if logging is not None else ():
        if handler not in kept:
            logging.root.removeHandler(handler)  # type: ignore[union-attr]
            handler.close()
