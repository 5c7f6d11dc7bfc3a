"""A node in miniature for the commands' tests: real HTTP, functions in a dictionary."""

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_FUNCTION = re.compile(r"/2015-03-31/functions/([^/]+)(?:/(\w+))?")


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def answer(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode())


def refusal(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"Type": "User", "Message": message}).encode()
    return Answer(status, body, {"x-amzn-ErrorType": code})


class FakeNode:
    """Keeps functions, and answers invocations and log reads with what a test sets."""

    def __init__(self) -> None:
        self.functions: dict[str, dict[str, Any]] = {}
        self.packages: dict[str, bytes] = {}
        self.layers: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.regions: list[str] = []
        """Of the requests, as they were signed."""
        self.events: list[bytes] = []
        self.invocation = answer({})
        self.log_pages: list[Answer] = []
        self.states: list[dict[str, str]] = []
        """What the coming looks at a configuration show instead of ready."""
        self.page_size = 50
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                reply = fake.handle(self.command, self.path, body, dict(self.headers.items()))
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("x-amzn-RequestId", "req-1")
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - the base class looks for these

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def handle(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if "Authorization" in headers:
            self.regions.append(headers["Authorization"].split("/")[2])
        if "X-Amz-Target" in headers:
            self.requests.append(headers["X-Amz-Target"].partition(".")[2] + body.decode())
            return self.log_pages.pop(0) if self.log_pages else answer({"events": []})
        self.requests.append(f"{method} {path}")
        if path.rstrip("/") == "/2015-03-31/functions":
            return self._list(query) if method == "GET" else self._create(json.loads(body))
        if path.startswith("/2018-10-31/layers"):
            return self._layers(query) if method == "GET" else self._publish(path, json.loads(body))
        match = _FUNCTION.fullmatch(path)
        assert match is not None, path
        name, part = match[1], match[2]
        if name not in self.functions:
            return refusal(404, "ResourceNotFoundException", f"Function not found: {name}")
        if part == "invocations":
            self.events.append(body)
            return self.invocation
        return self._one(method, name, part, body)

    def _list(self, query: dict[str, list[str]]) -> Answer:
        start = int(query.get("Marker", ["0"])[0])
        names = sorted(self.functions)[start:]
        page = {"Functions": [self.functions[name] for name in names[: self.page_size]]}
        if len(names) > self.page_size:
            return answer({**page, "NextMarker": str(start + self.page_size)})
        return answer(page)

    def _layers(self, query: dict[str, list[str]]) -> Answer:
        start = int(query.get("Marker", ["0"])[0])
        found = [
            {"LayerName": layer["LayerArn"].split(":")[6], "LayerArn": layer["LayerArn"],
             "LatestMatchingVersion": {k: v for k, v in layer.items() if k != "LayerArn"}}
            for layer in self.layers[start : start + self.page_size]
        ]  # fmt: skip
        following = start + self.page_size
        marker = {"NextMarker": str(following)} if following < len(self.layers) else {}
        return answer({"Layers": found, **marker})

    def _publish(self, path: str, body: dict[str, Any]) -> Answer:
        name = path.split("/")[3]
        self.packages[name] = base64.b64decode(body.pop("Content")["ZipFile"])
        arn = f"arn:aws:lambda:us-east-1:000000000000:layer:{name}"
        created = "2026-01-02T03:04:05.000+0000"
        layer = {"LayerArn": arn, "LayerVersionArn": f"{arn}:1", "Version": 1}
        self.layers.append({**layer, "CreatedDate": created, **body})
        return answer(self.layers[-1], 201)

    def _create(self, body: dict[str, Any]) -> Answer:
        name = body["FunctionName"]
        self.packages[name] = base64.b64decode(body.pop("Code")["ZipFile"])
        self.add(name, **body)
        return answer(self.functions[name], 201)

    def _one(self, method: str, name: str, part: str, body: bytes) -> Answer:
        if method == "DELETE":
            del self.functions[name]
            return Answer(204, b"")
        if method == "PUT" and part == "code":
            self.packages[name] = base64.b64decode(json.loads(body)["ZipFile"])
        elif method == "PUT":
            self.functions[name] |= json.loads(body)
        elif self.states:
            return answer(self.functions[name] | self.states.pop(0))
        return answer(self.functions[name])

    def add(self, name: str, **settings: object) -> None:
        self.functions[name] = {
            "FunctionName": name,
            "FunctionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
            "Runtime": "python3.12",
            "Handler": "app.handler",
            "MemorySize": 128,
            "Timeout": 3,
            "CodeSize": 2048,
            "LastModified": "2026-01-02T03:04:05.000+0000",
            "State": "Active",
            "LastUpdateStatus": "Successful",
            **settings,
        }
