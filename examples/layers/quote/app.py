"""Say what an order would cost."""

import pricing


def handler(event, context):
    return {"total": pricing.shown(pricing.total(event["order"]))}
