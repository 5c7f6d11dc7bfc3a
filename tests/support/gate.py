"""Hold invocations in the middle, for tests of what happens meanwhile."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Gate:
    """An HTTP server that holds its callers until `release`: functions call it to be caught."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._released = threading.Event()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate._arrived.release()
                gate._released.wait(20)
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
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def await_callers(self, count: int) -> None:
        for _ in range(count):
            assert self._arrived.acquire(timeout=20)

    def release(self) -> None:
        self._released.set()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
