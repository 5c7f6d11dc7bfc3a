"""Use a package that `lambdabox deploy` installs from requirements.txt."""

import humanize


def handler(event, context):
    return {
        "size": humanize.naturalsize(event["bytes"], binary=True),
        "humanize": humanize.__version__,
    }
