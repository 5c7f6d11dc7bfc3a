"""Answer an HTTP request: the event is a function URL's, payload format 2.0."""

import json


def handler(event, context):
    parameters = event.get("queryStringParameters") or {}
    try:
        width = float(parameters["width"])
        height = float(parameters["height"])
    except KeyError as missing:
        return answer(400, {"error": f"the parameter {missing.args[0]} is missing"})
    except ValueError as exc:
        return answer(400, {"error": str(exc)})
    return answer(200, {"area": width * height, "path": event["rawPath"]})


def answer(status, body):
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }
