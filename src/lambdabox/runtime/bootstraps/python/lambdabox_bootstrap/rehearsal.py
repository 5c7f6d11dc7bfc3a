"""The function that `warming` serves before there is a real one. Imported as users' code is."""


def handler(event: object, context: object) -> object:
    repr(context)
    return event
