"""Code that a template holds itself, as a deployment package.

AWS puts a small module beside such code, with which functions that back custom resources
answer: `cfnresponse` for Python, `cfn-response` for Node.js. These are ours. They answer at
whatever address they are given, by http too.
"""

import io
import zipfile

_WRITTEN = (2026, 1, 1, 0, 0, 0)
"""The same code makes the same package, so that an update can tell that nothing has changed."""

_PYTHON = """\
import json
import urllib.request

SUCCESS = "SUCCESS"
FAILED = "FAILED"


def send(event, context, responseStatus, responseData, physicalResourceId=None, noEcho=False,
         reason=None):
    answer = {
        "Status": responseStatus,
        "Reason": reason or "See the log stream " + context.log_stream_name,
        "PhysicalResourceId": physicalResourceId or context.log_stream_name,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "NoEcho": noEcho,
        "Data": responseData,
    }
    request = urllib.request.Request(
        event["ResponseURL"], json.dumps(answer).encode(), {"Content-Type": ""}, method="PUT"
    )
    with urllib.request.urlopen(request):
        pass
"""

_NODE = """\
exports.SUCCESS = "SUCCESS";
exports.FAILED = "FAILED";

exports.send = (event, context, responseStatus, responseData, physicalResourceId, noEcho) => {
  const body = JSON.stringify({
    Status: responseStatus,
    Reason: `See the log stream ${context.logStreamName}`,
    PhysicalResourceId: physicalResourceId || context.logStreamName,
    StackId: event.StackId,
    RequestId: event.RequestId,
    LogicalResourceId: event.LogicalResourceId,
    NoEcho: noEcho || false,
    Data: responseData,
  });
  const url = new URL(event.ResponseURL);
  const client = require(url.protocol === "https:" ? "https" : "http");
  const headers = { "content-type": "", "content-length": Buffer.byteLength(body) };
  const request = client.request(url, { method: "PUT", headers }, () => context.done());
  request.on("error", (error) => context.done(error));
  request.end(body);
};
"""


def package(code: str, runtime: str) -> bytes:
    """Return a package with `code` as its module `index`."""
    if runtime.startswith("python"):
        files = {"index.py": code, "cfnresponse.py": _PYTHON}
    elif runtime.startswith("nodejs"):
        files = {"index.js": code, "cfn-response.js": _NODE}
    elif runtime.startswith("ruby"):
        files = {"index.rb": code}
    else:
        files = {"bootstrap": code}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, _WRITTEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
    return buffer.getvalue()
