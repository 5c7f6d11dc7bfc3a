"""uvicorn's HTTP protocol, with bounds on what a client may send before it is answered.

uvicorn's parser takes headers of any length and answers malformed requests in plain
text. Here a request's head is bounded, and whatever cannot be parsed gets an error in
the shape AWS clients read.
"""

from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lambdabox.domain import limits
from lambdabox.gateway.streaming import TRUNCATE


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a bounded head and AWS-shaped refusals."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading_head = True
        self._head_bytes = 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRUNCATE: {"now": self._truncate}}

    def data_received(self, data: bytes) -> None:
        if self._reading_head:
            self._head_bytes += len(data)
            if self._head_bytes > limits.REQUEST_HEAD_BYTES:
                self.send_400_response("The request line and headers exceed 1 MB in total.")
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._reading_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._reading_head, self._head_bytes = True, 0
        super().on_message_complete()

    def _truncate(self) -> None:
        """End a response that cannot be completed: the client sees it, and the log need not."""
        self.cycle.response_complete = True
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        body = orjson.dumps({"message": msg})
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            "content-type: application/json\r\n"
            "x-amzn-errortype: SerializationException\r\n"
            f"content-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        if not self.transport.is_closing():
            self.transport.write(head.encode() + body)
            self.transport.close()
