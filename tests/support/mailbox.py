"""Where functions of a test leave messages for it."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WAIT_SECONDS = 30.0

POST = """
import json, urllib.request
def post(box, message):
    urllib.request.urlopen({url!r} + box, json.dumps(message).encode(), timeout=20).close()
"""


class Mailbox:
    """An HTTP server with boxes by name; `source` is the Python that functions post with."""

    def __init__(self) -> None:
        self._boxes: dict[str, list[Any]] = {}
        self._changed = threading.Condition()
        mailbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                mailbox._take(self.path.removeprefix("/"), json.loads(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def source(self) -> str:
        return POST.format(url=f"http://127.0.0.1:{self._server.server_address[1]}/")

    def messages(self, box: str, count: int) -> list[Any]:
        """Return what is in the box, once there are so many."""
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while len(self._boxes.get(box, ())) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"{box}: {self._boxes.get(box, ())}, not {count} messages"
                self._changed.wait(left)
            return list(self._boxes.get(box, ()))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, box: str, message: Any) -> None:
        with self._changed:
            self._boxes.setdefault(box, []).append(message)
            self._changed.notify_all()
