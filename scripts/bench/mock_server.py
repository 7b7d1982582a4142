"""A mock server with OpenAI's chat protocol that answers the calls of Oasis, with a fixed latency.

    python scripts/bench/mock_server.py --latency 0.05 --log calls.txt

It prints its port. An answer depends only on the prompt and the seed. 46 of 100 sampled texts are captions, and seven
of 100 scores are low, so 2,000 records make about 8,700 calls, as with a real model.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import time
from pathlib import Path
from typing import Any

from aiohttp import web

CAPTIONS, LOW = 46, 7  # of 100


def answer(text: str, open_turn: bool, seed: int) -> str:
    """Returns an answer that a model might give."""
    number = int.from_bytes(hashlib.blake2b(f"{seed}{text}".encode(), digest_size=4).digest(), "big")
    if open_turn:
        return f"A picture of thing {number}." if number % 100 < CAPTIONS else f"What is shown here ({number})?"
    if "[Begin of Text]" in text:
        sampled = text.rsplit("[Begin of Text]", 1)[1].split("[End of Text]")[0].strip()
        return "NO_INST" if sampled.startswith("A picture") else f"Instruction: {sampled}"
    if "as one of [[1]]" in text:
        return "[[1]]" if number % 100 < LOW else "[[5]]"
    return f"It is thing {number}, seen from the side."


def make_app(latency: float, log: Path | None, model: str = "mock", first: Path | None = None) -> web.Application:
    """Returns the application of the server."""
    file = log.open("a") if log is not None else None

    waiting = [first] if first is not None else []

    async def chat(request: web.Request) -> web.Response:
        if waiting:
            waiting.pop().write_text(str(time.time()))
        body: dict[str, Any] = json.loads(await request.read())
        content = body["messages"][-1]["content"]
        text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
        open_turn = bool(body.get("continue_final_message"))
        # The probe for open prompts is not a call of a record.
        if file is not None and text != "ab12":
            file.write(f"{hashlib.sha256(json.dumps(body).encode()).hexdigest()}\n")
            file.flush()
        if latency:
            await asyncio.sleep(latency)
        made = answer(text, open_turn, body.get("seed") or 0)
        usage = {"prompt_tokens": len(text.split()) + 5 * (not open_turn), "completion_tokens": len(made.split())}
        choice = {"index": 0, "message": {"role": "assistant", "content": made}, "finish_reason": "stop"}
        return web.json_response({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": model, "owned_by": "vllm"}]})

    app = web.Application(client_max_size=2**26)
    app.add_routes([web.post("/v1/chat/completions", chat), web.get("/v1/models", models)])
    return app


async def serve(latency: float, log: Path | None, first: Path | None = None) -> None:
    """Serves until the process is killed."""
    runner = web.AppRunner(make_app(latency, log, first=first), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Reads the arguments and serves."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--first", type=Path, help="file for the time of the first request")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.latency, arguments.log, arguments.first))


if __name__ == "__main__":
    main()
