"""The smallest function that does something: it greets whoever the event names."""


def lambda_handler(event, context):
    name = event.get("name", "world")
    print(f"greeting {name}, {context.get_remaining_time_in_millis()} ms left")
    return {"greeting": f"Hello, {name}!"}
