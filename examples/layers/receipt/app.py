"""Write the receipt of an order, line by line."""

import pricing


def handler(event, context):
    order = event["order"]
    lines = [f"{count} x {item}" for item, count in order.items()]
    return {"lines": [*lines, f"total {pricing.shown(pricing.total(order))}"]}
