"""Functions that stream, for tests of what reaches a client and when."""

from support.programs import node_runtime

NODE = """
const http = require('http');
const get = (url) => new Promise((resolve) => http.get(url, (r) => r.resume().on('end', resolve)));
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const asked = event.rawPath ? JSON.parse(event.body || '{}') : event;
  if (asked.http) stream = awslambda.HttpResponseStream.from(stream, asked.http);
  if (asked.type) stream.setContentType(asked.type);
  if (asked.first) stream.write(asked.first);
  if (asked.gate) await get(asked.gate);
  for (let i = 0; i < (asked.parts || 0); i += 1) {
    if (!stream.write(Buffer.alloc(asked.size, 97))) {
      await new Promise((resolve) => stream.once('drain', resolve));
    }
  }
  if (asked.fail) throw new Error(asked.fail);
  stream.end(asked.last);
});
"""
"""Does what its event asks: `first`, wait for `gate`, `parts` of `size`, `fail`, `last`."""

PYTHON = """#!/usr/bin/env python3
import base64, http.client, json, os, urllib.request
BASE = "/2018-06-01/runtime/invocation/"
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

def chunk(data):
    if data:
        connection.send(b"%x\\r\\n%b\\r\\n" % (len(data), data))

while True:
    connection.request("GET", BASE + "next")
    reply = connection.getresponse()
    event, id = json.load(reply), reply.headers["Lambda-Runtime-Aws-Request-Id"]
    asked = json.loads(event.get("body") or "{}") if "rawPath" in event else event
    connection.putrequest("POST", BASE + id + "/response")
    connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Trailer", "Lambda-Runtime-Function-Error-Type")
    connection.putheader("Content-Type", asked.get("type", "application/octet-stream"))
    connection.endheaders()
    chunk(asked.get("first", "").encode())
    if asked.get("gate"):
        urllib.request.urlopen(asked["gate"]).read()
    for _ in range(asked.get("parts", 0)):
        chunk(b"a" * asked["size"])
    chunk(asked.get("last", "").encode())
    trailers = b""
    if asked.get("fail"):
        body = json.dumps({"errorType": "Error", "errorMessage": asked["fail"]}).encode()
        trailers = (b"Lambda-Runtime-Function-Error-Type: Function.Late\\r\\n"
                    b"Lambda-Runtime-Function-Error-Body: " + base64.b64encode(body) + b"\\r\\n")
    connection.send(b"0\\r\\n" + trailers + b"\\r\\n")
    connection.getresponse().read()
"""
"""The same through the Runtime API, as a custom runtime in Python has it."""

CURL = """#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while true; do
  curl -sS -D /tmp/head -o /tmp/event "$api/next"
  id=$(grep -i '^lambda-runtime-aws-request-id' /tmp/head | tr -d '\\r' | cut -d' ' -f2)
  gate=$(sed -n 's/.*"gate": "\\([^"]*\\)".*/\\1/p' /tmp/event)
  { printf 'first'; test -z "$gate" || curl -sS "$gate"; printf 'last'; } |
    curl -sS -X POST -T - -H 'Lambda-Runtime-Function-Response-Mode: streaming' \\
      -H 'Transfer-Encoding: chunked' -H 'Content-Type: text/plain' -o /dev/null "$api/$id/response"
done
"""
"""Streams `first`, waits for `gate` and streams `last`, with nothing but a shell and curl."""


def node_settings() -> dict[str, object]:
    return {"Runtime": node_runtime(), "Handler": "index.handler"}


OWN_RUNTIME: dict[str, object] = {"Runtime": "provided.al2023", "Handler": "none"}
