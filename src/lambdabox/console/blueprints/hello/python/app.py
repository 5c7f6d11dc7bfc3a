"""Greet whoever the event names."""


def handler(event, context):
    name = event.get("name", "world")
    print(f"greeting {name}, {context.get_remaining_time_in_millis()} ms left")
    return {"greeting": f"Hello, {name}!"}
