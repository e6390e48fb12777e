"""The fork server that starts every process of custom code, and the layers it puts around each.

It runs as a program of its own (`python -I -S -B start.py`), from the standard library only: small, single-threaded,
and without anything of the server's memory. Nothing else of Freehold is imported here, and the server imports
nothing of this.

The layers; `contain.enter` applies them from the inside of a new process. L0 are the limits that the server keeps:

| layer | file | what it takes away |
| --- | --- | --- |
| L1 | flags of Node, `start.py` | environment, descriptors, files by path, child processes, addons, worker threads |
| L2 | `seccomp.py` | every system call that a running script does not need: sockets, processes, signals, tracing |
| L2 | `landlock.py` | every file but Node, its libraries and the worker's own code; TCP; signals to others |
| L3 | `rlimits.py` | memory, files written, open files, threads, core dumps |
| L4 | `cgroups.py` | memory, also the kernel's part of it, threads, and the processor that others need |
| L4 | `namespaces.py` | other processes, network interfaces, the file system, the host's name, System V IPC |
"""
