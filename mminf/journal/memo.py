"""The memo: every model call that was answered, by the digest of everything that its answer depends on."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mminf.journal.checksum import SqlValue
from mminf.journal.codec import clean, deflate, inflate
from mminf.journal.database import Database, Values, inserting
from mminf.journal.meta import RunMeta
from mminf.journal.row import Call, CallHistory, Chat, Prompt, Totals
from mminf.request import Generation

_TOTALS = "SELECT step, count(*), sum(prompt_tokens), sum(completion_tokens), sum(seconds) FROM memo GROUP BY step"


class MemoTables:
    """Reads the tables of the memo in one database.

    Args:
        database: may lack the tables of later versions.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.has_calls = database.one("SELECT 1 FROM memo LIMIT 1") is not None
        # Journals of earlier versions, opened for reading, lack the table.
        has_table = database.one("SELECT 1 FROM sqlite_master WHERE name = 'reasoning'") is not None
        self.has_reasoning = has_table and database.one("SELECT 1 FROM reasoning LIMIT 1") is not None

    def note(self, *, calls: bool = False, reasoning: bool = False) -> None:
        """Notes that a table which was empty may have rows now."""
        self.has_calls |= calls
        self.has_reasoning |= reasoning

    def call(self, key: bytes) -> Values | None:
        """Returns the row of a call."""
        return self.database.find("memo", "WHERE key = ?", key) if self.has_calls else None

    def reasoning(self, key: bytes) -> str | None:
        """Returns the reasoning before an answer."""
        row = self.database.find("reasoning", "WHERE key = ?", key) if self.has_reasoning else None
        return None if row is None else str(row[1])

    def vector(self, key: bytes) -> bytes | None:
        """Returns an embedding."""
        row = self.database.find("vectors", "WHERE key = ?", key)
        return None if row is None else bytes(row[1])

    def totals(self) -> dict[str, Totals]:
        """Returns the calls and tokens of each step."""
        return {row[0]: Totals(*row[1:]) for row in self.database.all(_TOTALS)}


class Memo:
    """The memo of a run.

    Args:
        base: the memo of the main journal, for a shard.
    """

    def __init__(self, database: Database, meta: RunMeta, base: MemoTables | None = None) -> None:
        self._database = database
        self._meta = meta
        self._own = MemoTables(database)
        self._tables = [self._own] if base is None else [self._own, base]
        self._prompts: dict[str, tuple[int, bytes]] = {}
        self._next_prompt = int(database.value("SELECT coalesce(max(id), 0) FROM prompts"))

    def find(self, key: bytes) -> Generation | None:
        """Returns the answer to a call that was made before.

        Calls of one run never repeat, so a new journal is not searched.
        """
        row = next((row for tables in self._tables if (row := tables.call(key)) is not None), None)
        if row is None:
            return None
        text, finish_reason, *logprobs, prompt_tokens, completion_tokens, seconds = row[5:12]
        tokens, choices = (None if item is None else tuple(json.loads(item)) for item in logprobs)
        return Generation(
            text,
            finish_reason,
            prompt_tokens,
            completion_tokens,
            tokens,
            choices,
            reasoning=self._reasoning(key),
            seconds=seconds,
        )

    def search_again(self) -> None:
        """Notes that a call of this run may be repeated: the steps of a parked record run again."""
        self._own.note(calls=True)

    def _reasoning(self, key: bytes) -> str | None:
        return next((text for tables in self._tables if (text := tables.reasoning(key)) is not None), None)

    async def add(self, call: Call) -> None:
        """Writes an answered call; returns once it is committed."""
        answer = call.generation
        prompt_id, dictionary = self._prompts.get(call.step, (None, b""))
        run = self._meta.run
        statements = [inserting("memo", lambda: _values(call, run, prompt_id, dictionary), or_="IGNORE")]
        if answer.reasoning is not None:
            self._own.note(reasoning=True)
            statements.append(inserting("reasoning", (call.key, clean(answer.reasoning))))
        if answer.vector is not None:
            statements.append(inserting("vectors", (call.key, answer.vector)))
        await self._database.commit(statements)

    def vector(self, key: str) -> bytes | None:
        """Returns an embedding by its key in hex, as `Context.embed` returned it; None if there is none."""
        try:
            data = bytes.fromhex(key)
        except ValueError:
            return None
        return next((found for tables in self._tables if (found := tables.vector(data)) is not None), None)

    def totals(self) -> dict[str, Totals]:
        """Returns the calls and tokens of each step in this journal, over all runs."""
        return self._own.totals()

    def totals_before(self) -> dict[str, Totals]:
        """Returns the totals of the main journal for the memo of a shard; otherwise empty."""
        return self._tables[-1].totals() if len(self._tables) > 1 else {}

    # Prompts

    def knows_prompt(self, step: str) -> bool:
        """Returns whether this run has written a prompt of the step."""
        return step in self._prompts

    def add_prompt(self, step: str, chat: bytes, sent: str | None, tokens: int | None) -> None:
        """Writes the first prompt of a step; the chats of its later calls are deflated against it.

        A second call for the same chat adds the text that was sent to the model.
        """
        if step not in self._prompts:
            self._next_prompt += 1
            self._prompts[step] = (self._next_prompt, chat)
        number = self._prompts[step][0]
        self._database.insert("prompts", number, step, chat, clean(sent), tokens)

    def prompts(self) -> list[Prompt]:
        """Returns the newest stored prompt of each step."""
        rows = self._database.all("SELECT step, sent, tokens, max(id) FROM prompts GROUP BY step ORDER BY step")
        return [Prompt(step=row[0], sent=row[1], tokens=row[2]) for row in rows]

    # History

    def calls(self, record: str) -> list[CallHistory]:
        """Returns the calls of a record and its children, by step and attempt."""
        where = "WHERE record = ? OR substr(record, 1, ?) = ? ORDER BY record, run, step, attempt, sample"
        rows = self._database.all(self._database.select("memo", where), record, len(record) + 1, record + "/")
        return [self._history(self._database.verify("memo", row)) for row in rows]

    def _history(self, row: Values) -> CallHistory:
        key, step, record, attempt, sample, text, finish_reason, *_ = row
        prompt_tokens, completion_tokens, seconds, run, prompt_id, prompt = row[9:]
        return CallHistory(
            step=step,
            record=record,
            attempt=attempt,
            sample=sample,
            text=text,
            finish_reason=finish_reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            seconds=seconds,
            run=run,
            reasoning=self._reasoning(key),
            chat=self._chat(prompt_id, prompt),
        )

    def _chat(self, prompt_id: int | None, prompt: bytes | None) -> Chat | None:
        if prompt is None:
            return None
        first = self._database.find("prompts", "WHERE id = ?", prompt_id)
        chat: Chat = json.loads(inflate(prompt, bytes(first[2]) if first is not None else b""))
        return chat


def add_totals(parts: Iterable[dict[str, Totals]]) -> dict[str, Totals]:
    """Returns the sums of several journals' totals."""
    whole: dict[str, Totals] = {}
    for part in parts:
        for step, total in part.items():
            whole[step] = whole.get(step, Totals(0, 0, 0, 0.0)).plus(total)
    return whole


def _values(call: Call, run: int, prompt_id: int | None, dictionary: bytes) -> tuple[SqlValue, ...]:
    """Returns the row of a call; its chat is deflated against the first one of its step."""
    answer = call.generation
    return (
        call.key,
        call.step,
        clean(call.record),
        call.attempt,
        call.sample,
        clean(answer.text),
        answer.finish_reason,
        None if answer.logprobs is None else json.dumps(answer.logprobs),
        None if answer.choice_logprobs is None else json.dumps(answer.choice_logprobs),
        answer.prompt_tokens,
        answer.completion_tokens,
        float(call.seconds),
        run,
        prompt_id,
        deflate(call.chat, dictionary),
    )
