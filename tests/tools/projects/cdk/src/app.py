import os

import words


def handler(event, context):
    source = (event.get("Records") or [{}])[0].get("eventSource", "somebody")
    print("asked by", source)
    return {"word": words.loud(os.environ["WORD"]), "release": 1, "path": event.get("rawPath")}
