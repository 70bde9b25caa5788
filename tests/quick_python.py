"""
Python processes that start in 2 seconds instead of 12: torch and the like are imported once, by a server, and each new
process is forked from it. Nothing that reads the Hub's environment variables when imported (transformers, datasets,
huggingface_hub) is among them, and nothing of GeneBERT.

    python tests/quick_python.py --serve SOCKET                                   # until its standard input ends
    python -S tests/quick_python.py SOCKET [-c CODE | -m MODULE | SCRIPT] [ARGUMENTS]            # as `python` does

The new process has the environment, the folder and the standard streams of the one that asks for it. That one waits,
hands SIGINT and SIGTERM on to it and all that it started, and ends with the same status; where it is killed, so are
they.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from types import ModuleType


PRELOADED = [
    *("numpy", "torch", "torch._dynamo", "torch.distributed.tensor", "torch.distributed.checkpoint", "pandas"),
    *("pyarrow.parquet", "scipy.stats", "sklearn.metrics", "bitsandbytes", "matplotlib.pyplot", "numba", "aiohttp"),
]
READ_WHEN_IMPORTED = ["huggingface_hub.constants", "transformers.utils.hub", "datasets.config"]
NO_STATUS = 125
PATIENCE = 0.02  # seconds from one look to the next whether a process has ended


def ask(path: str, arguments: list[str]) -> int:
    """Have the server run `arguments`, and wait; returns the exit status."""
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
    message = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [len(message).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(message)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: connection.sendall(bytes([number])))
        answer = connection.recv(8)
    status = int(answer) if answer else NO_STATUS
    if status < 0:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def serve(path: str) -> list[str] | None:
    """Returns in each new process, with its arguments; in the server at the end, with None."""
    for name in PRELOADED:
        with contextlib.suppress(ModuleNotFoundError):  # not installed: there is no time to be saved
            importlib.import_module(name)
    if found := [name for name in READ_WHEN_IMPORTED if name in sys.modules]:
        raise ImportError(f"{', '.join(found)} imported with {', '.join(PRELOADED)}")
    gc.collect()
    gc.freeze()  # what the collector does not touch stays shared memory
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + ".new")
        listener.listen()
        os.rename(path + ".new", path)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no handler stays a zombie
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    return handle(connection)
    return None


def handle(connection: socket.socket) -> list[str]:
    """Start the process that is asked for, in which this returns; here, wait for it, say its status, and end."""
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    request = json.loads(connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
    process = os.fork()
    os.setpgid(process, process)  # in both, so that neither need wait for the other
    if process == 0:
        connection.close()
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        for stream, own in enumerate(streams):
            os.dup2(own, stream)
            os.close(own)
        return request["arguments"]
    for own in streams:
        os.close(own)
    status = None
    while status is None:
        if select.select([connection], [], [], PATIENCE)[0]:
            # A signal; or the end, where the one that asks was killed.
            os.killpg(process, int.from_bytes(connection.recv(1), "big") or signal.SIGKILL)
        ended, found = os.waitpid(process, os.WNOHANG)
        status = found if ended else None
    with contextlib.suppress(BrokenPipeError):
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def run(arguments: list[str]) -> None:
    """Run in this process what `python ARGUMENTS` runs."""
    what, *others = arguments
    sys.modules["__main__"] = main = ModuleType("__main__")
    sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    if what == "-c":
        code, *others = others
        sys.path.insert(0, "")
        sys.argv[:] = ["-c", *others]
        exec(compile(code, "<string>", "exec"), main.__dict__)
    elif what == "-m":
        module, *others = others
        sys.path.insert(0, os.getcwd())
        sys.argv[:] = ["-m", *others]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(os.path.realpath(what)))
        sys.argv[:] = [what, *others]
        runpy.run_path(what, run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        sys.path.pop(0)  # the folder of this file
        if (asked := serve(sys.argv[2])) is not None:
            run(asked)
    else:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
