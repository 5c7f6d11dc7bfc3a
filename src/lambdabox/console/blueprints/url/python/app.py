"""Answer HTTP requests: the event is a function URL's, payload format 2.0."""

import json
from datetime import datetime, timezone


def handler(event, context):
    request = event["requestContext"]["http"]
    parameters = event.get("queryStringParameters") or {}
    print(request["method"], event["rawPath"])
    return answer(200, {
        "greeting": f"Hello, {parameters.get('name', 'world')}!",
        "path": event["rawPath"],
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    })


def answer(status, body):
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }
