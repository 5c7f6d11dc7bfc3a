"""What holds for every test."""

import signal


def pytest_configure() -> None:
    """Have signals do what they do at a terminal, for programs under test inherit what is ignored.

    `nohup` and a shell's `&` have some of them ignored.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
