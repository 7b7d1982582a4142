"""A bare aiohttp loop: posts the requests of a file, 64 at a time, and writes the answers. The baseline of overhead.py.

python scripts/bench/bare_loop.py URL requests.jsonl answers.jsonl
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import aiohttp

IN_FLIGHT = 64


async def post_all(url: str, requests: Path, answers: Path) -> None:
    """Posts every line of a file."""
    with requests.open("rb") as lines, answers.open("w") as file:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def work() -> None:
                for line in lines:
                    headers = {"Content-Type": "application/json"}
                    async with session.post(f"{url}/chat/completions", data=line, headers=headers) as response:
                        found = json.loads(await response.read())
                    file.write(json.dumps(found["choices"][0]["message"]["content"]) + "\n")

            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    asyncio.run(post_all(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
