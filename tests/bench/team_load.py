"""The team's server under load: many editors at human pace, and one after another against many.

    python -m tests.bench.team_load [--editors 32] [--seconds 60] [--model NAME|FOLDER] [--json]

*Pace.* Each editor asks, reads or types for a while, and asks again: pauses are exponential, 5
seconds on average, as of people who type and look. Every answer is checked against what the same
question got when nobody else asked (greedy, float32), so that a lost or mixed-up one is counted.

*Throughput.* The same questions one after another, then by so many askers at once; the best of
some rounds each, taking turns. Lengths of prompts are given apart, since reading gains nothing
from company. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import codegen_lsp
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from tests.support.team import TeamServer

PAUSE = 5.0
NEW = 32
ROUNDS = 3


@dataclass
class Pace:
    """What editors saw."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0
    busy: int = 0
    wrong: int = 0


def questions(count: int, length: int, seed: int = 0) -> list[list[int]]:
    """So many prompts of *length* tokens, from this package's own code."""
    tokenizer = CodeTokenizer.from_folder(bundled_folder())
    chosen = random.Random(seed)
    files = sorted(Path(codegen_lsp.__file__).parent.rglob("*.py"))
    found: list[list[int]] = []
    while len(found) < count:
        ids = tokenizer.encode(chosen.choice(files).read_text(encoding="utf-8"))
        if len(ids) > length:
            place = chosen.randrange(len(ids) - length)
            found.append(ids[place : place + length])
    return found


@dataclass
class Reply:
    """What came back."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """What the model said."""
        return str(json.loads(self.body)["choices"][0]["text"])


class Client:
    """A connection that is kept, with as little work as can be: client and server share cores."""

    def __init__(self, url: str) -> None:
        self._host, self._port = url.rpartition("//")[2].split(":")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, prompt: Sequence[int], new: int = NEW) -> Reply:
        """One completion.

        :raises OSError: the connection broke.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, int(self._port))
        reader, writer = self._streams
        body = json.dumps({"prompt": list(prompt), "max_tokens": new, "temperature": 0}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: team\r\nContent-Length: {len(body)}"
        writer.write(head.encode() + b"\r\n\r\n" + body)
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
            fields = dict(
                line.lower().split(": ", 1) for line in answer.decode().split("\r\n")[1:-2]
            )
            return Reply(
                int(answer.split()[1]), await reader.readexactly(int(fields["content-length"]))
            )
        except (asyncio.IncompleteReadError, ValueError, KeyError) as error:
            self.close()
            raise ConnectionError("no whole answer") from error

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def throughput(url: str, length: int, askers: int, count: int) -> dict[str, float]:
    """Answers a second, one after another and by *askers* at once."""
    prompts = questions(count, length)
    best = {1: 0.0, askers: 0.0}
    clients = [Client(url) for _ in range(askers)]
    for _ in range(ROUNDS):
        for width in best:
            begin = time.perf_counter()
            await _all(clients[:width], prompts)
            best[width] = max(best[width], count / (time.perf_counter() - begin))
    for client in clients:
        client.close()
    return {
        "prompt_tokens": length,
        "sequential": round(best[1], 1),
        "concurrent": round(best[askers], 1),
        "ratio": round(best[askers] / best[1], 2),
    }


async def _all(clients: Sequence[Client], prompts: Sequence[Sequence[int]]) -> None:
    waiting = list(prompts)

    async def one(client: Client) -> None:
        while waiting:
            reply = await client.ask(waiting.pop())
            if reply.status != 200:
                raise ConnectionError(f"{reply.status}: {reply.body!r}")

    await asyncio.gather(*map(one, clients))


async def pace(url: str, editors: int, seconds: float, length: int) -> Pace:
    """So many editors for so long."""
    seen, prompts = Pace(), questions(editors, length, seed=1)
    clients = [Client(url) for _ in prompts]
    right = [
        (await client.ask(prompt)).text for client, prompt in zip(clients, prompts, strict=True)
    ]
    until = time.monotonic() + seconds

    async def editor(place: int) -> None:
        chosen = random.Random(place)
        while True:
            await asyncio.sleep(chosen.expovariate(1 / PAUSE))
            if time.monotonic() > until:
                return clients[place].close()
            await _once(clients[place], prompts[place], right[place], seen)

    await asyncio.gather(*map(editor, range(editors)))
    return seen


async def _once(client: Client, prompt: Sequence[int], right: str, seen: Pace) -> None:
    begin = time.perf_counter()
    try:
        reply = await client.ask(prompt)
    except OSError:
        seen.errors += 1
        return
    if reply.status == 429:
        seen.busy += 1
    elif reply.status != 200:
        seen.errors += 1
    else:
        seen.seconds.append(time.perf_counter() - begin)
        seen.wrong += reply.text != right


async def unloaded(url: str, length: int) -> float:
    """The median of one editor alone, seconds."""
    times: list[float] = []
    client = Client(url)
    for prompt in questions(40, length, seed=1):
        begin = time.perf_counter()
        await client.ask(prompt)
        times.append(time.perf_counter() - begin)
        await asyncio.sleep(0.02)
    client.close()
    return statistics.median(times)


async def _run(given: argparse.Namespace, server: TeamServer) -> dict[str, Any]:
    rows = [
        await throughput(server.url, length, given.askers, given.count) for length in given.lengths
    ]
    alone = await unloaded(server.url, given.length)
    before = server.memory
    seen = await pace(server.url, given.editors, given.seconds, given.length)
    times = sorted(seen.seconds) or [0.0]
    return {
        "throughput": rows,
        "askers": given.askers,
        "editors": given.editors,
        "seconds": given.seconds,
        "answers": len(seen.seconds),
        "errors": seen.errors,
        "busy": seen.busy,
        "wrong": seen.wrong,
        "unloaded_p50_ms": round(1000 * alone, 1),
        "p50_ms": round(1000 * statistics.median(times), 1),
        "p95_ms": round(1000 * times[int(0.95 * (len(times) - 1))], 1),
        "memory_mib_before": before >> 20,
        "memory_mib_after": server.memory >> 20,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench.team_load", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--compute-type", default="float32")
    parser.add_argument("--editors", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--askers", type=int, default=8)
    parser.add_argument("--count", type=int, default=48, help="questions in a round")
    parser.add_argument("--lengths", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--length", type=int, default=256, help="tokens of the editors' prompts")
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as folder,
        TeamServer(
            Path(folder),
            *("--model", given.model, "--compute-type", given.compute_type),
            *("--rate", "0", "--at-a-time", "0"),
        ) as server,
    ):
        found = asyncio.run(_run(given, server))
    for name, value in found.items():
        print(f"{name}: {value}")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
