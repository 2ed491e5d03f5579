"""llama.cpp's own server in a process of its own, as a peer: ``python -m … GGUF CONTEXT THREADS``.

Everything is llama.cpp's default but what makes it one user's server on this machine: one slot, a
free port, no page, and as many threads as are asked for (0: its own choice). Writes its address as
the first line and serves until stdin is closed. The only module of the evaluation that imports
xllamacpp, and imported by none.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Serve until the one who started us goes away."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = sys.argv[1]
    parameters.n_ctx = int(sys.argv[2])
    parameters.n_parallel = 1
    parameters.port = 0
    parameters.ui = False
    parameters.verbosity = -1
    if threads := int(sys.argv[3]):
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    sys.stdout.flush()
    os._exit(0)  # its threads may still wait for a connection; nothing is to be saved


if __name__ == "__main__":
    main()
