"""The child's side of `confined.py`: sets bounds, then runs a worker.

A worker, once it has begun, can open no connection and start no program: both are refused by an audit hook, whatever
library asks for them. The bounds on memory, CPU time and written files are the kernel's.
"""

import resource
import runpy
import sys

_FORBIDDEN = (
    "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.exec", "os.system", "os.fork",
    "os.posix_spawn",
)  # fmt: skip


def main() -> None:
    """Read the bounds and the worker from the arguments."""
    memory, cpu, file_size = (int(part) for part in sys.argv[1].split(","))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    sys.dont_write_bytecode = True
    sys.addaudithook(_refuse)
    runpy.run_path(sys.argv[2], run_name="__main__")


def _refuse(event: str, _arguments: object) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"{event} is not for this process")


if __name__ == "__main__":
    main()
