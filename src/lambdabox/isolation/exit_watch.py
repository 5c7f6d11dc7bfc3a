"""Tell the event loop that a child process has ended, without reaping it.

Until it is reaped its process id, which is also its group's and session's, cannot be given
to another process, so that signals meant for the sandbox cannot hit a stranger. A pidfd
costs one descriptor; where the kernel or a seccomp filter refuses them, a thread waits.
"""

import asyncio
import os
import threading

from lambdabox.ports import Exit


class ExitWatch:
    """Watches one child of this process. Its sandbox closes it, and then reaps the child."""

    def __init__(self, pid: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pid = pid
        self._ended: asyncio.Future[Exit] = self._loop.create_future()
        self._pidfd = _open_pidfd(pid)
        if self._pidfd is None:
            # A daemon, so that a sandbox nobody destroyed cannot keep the node from ending.
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._look)

    async def wait(self) -> Exit:
        return await asyncio.shield(self._ended)

    def close(self) -> None:
        """Stop watching. May be called twice."""
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _look(self) -> None:
        ended = _look_at(self._pid, os.WNOHANG)
        if ended is not None:
            self._tell(ended)
            self.close()

    def _wait_in_thread(self) -> None:
        ended = _look_at(self._pid, 0) or Exit()
        try:
            self._loop.call_soon_threadsafe(self._tell, ended)
        except RuntimeError:
            return  # the loop is closed: nobody is left to tell

    def _tell(self, ended: Exit) -> None:
        if not self._ended.done():
            self._ended.set_result(ended)


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _look_at(pid: int, options: int) -> Exit | None:
    """Return how the child ended, None if it runs, and an empty Exit if it is not ours."""
    try:
        result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | options)
    except ChildProcessError:
        return Exit()
    if result is None:
        return None
    if result.si_code == os.CLD_EXITED:
        return Exit(status=result.si_status)
    return Exit(signal=result.si_status)
