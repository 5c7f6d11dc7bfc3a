"""The program that stands for AWS's other services: moto's server, on a free port of loopback.

The node starts it, as a process of its own, when it is first needed. It ends with its standard
input, so it never outlives the node. It answers nobody who does not know the word that the node
has told it: other programs of the machine, functions included, must come through the node,
which knows their account.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

TOKEN_HEADER = "x-lambdabox-neighbour"  # noqa: S105  # only a name

_TOKEN_VARIABLE = "HTTP_X_LAMBDABOX_NEIGHBOUR"  # noqa: S105  # as above

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def _only_for_the_node(application: Wsgi, token: str) -> Wsgi:
    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.pop(_TOKEN_VARIABLE, None) != token:
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"Ask the node.\n"]
        return application(environ, start_response)

    return answer


def _end_with_standard_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


def main() -> None:
    """Serve until standard input ends. The word is its first line; the port goes to stdout."""
    token = os.read(0, 64).decode().strip()
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    # Imported here, so that the node, which needs a name from above, does not import moto.
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    from lambdabox.backends import moto_repairs

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto_repairs.without_functions()

    def create(service: Any) -> Any:
        application = create_backend_app(service)
        moto_repairs.repair(service)
        return application

    application = _only_for_the_node(DomainDispatcherApplication(create), token)
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler
    )
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
