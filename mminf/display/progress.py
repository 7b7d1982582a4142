"""The display of a run's progress: a live table in a terminal or a notebook, lines elsewhere."""

from __future__ import annotations

import html
import importlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mminf.display.rates import Rates
from mminf.display.table import progress_line, progress_lines
from mminf.engine.stats import RunStats
from mminf.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

log = logging.getLogger("mminf")
lines_log = logging.getLogger("mminf.progress")
LIVE_SECONDS = 0.5
NOTEBOOK_SECONDS = 1.0
LINE_SECONDS = 10.0
STILL = 5
"""Number of lines in a row that are not printed if nothing has changed."""
NOTEBOOK_WIDTH, NOTEBOOK_HEIGHT = 100, 40


def show_stats(stats: Callable[[], RunStats]) -> Callable[[], None]:
    """Shows counters until the returned function is called; `stats` is called for every update."""
    if is_notebook():
        return _show_in_notebook(stats)
    return _show_live(stats) if sys.stderr.isatty() else _print_lines(stats)


def is_notebook() -> bool:
    """Returns whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _show_live(stats: Callable[[], RunStats]) -> Callable[[], None]:
    from rich.console import Console
    from rich.live import Live
    from rich.logging import RichHandler

    console = Console(stderr=True)
    rates = Rates()
    live = Live(
        get_renderable=lambda: render_progress(stats(), rates, console),
        console=console,
        refresh_per_second=1 / LIVE_SECONDS,
        transient=False,
    )
    handler = RichHandler(console=console, show_path=False, markup=False, log_time_format="%H:%M:%S")
    plain, log.handlers = log.handlers, [handler]
    live.start()

    def stop() -> None:
        live.stop()
        log.handlers = plain

    return stop


def render_progress(stats: RunStats, rates: Rates, console: Console) -> RenderableType:
    """Returns a run's progress, folded to the size of a window: steps, engines, and last the whole run."""
    from rich.text import Text

    rates.note(stats)
    # One line stays free: a line of the log is printed above the display.
    parts, whole = progress_lines(stats, rates, console.width, console.height - 1)
    text = Text(printable("\n".join(parts)), no_wrap=True, end="\n")
    text.append(printable("\n" + "\n".join(whole)), style="bold")
    return text


def _show_in_notebook(stats: Callable[[], RunStats]) -> Callable[[], None]:
    """Shows the table in the output of a cell. Rich's own display would need ipywidgets."""
    display: Any = importlib.import_module("IPython.display")
    name = f"mminf-progress-{time.monotonic_ns()}"
    rates = Rates()

    def draw(show: Callable[..., None]) -> None:
        now = stats()
        rates.note(now)
        parts, whole = progress_lines(now, rates, NOTEBOOK_WIDTH, NOTEBOOK_HEIGHT)
        text = printable("\n".join([*parts, *whole]))
        data = {"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>"}
        show(data, raw=True, display_id=name)

    def update() -> None:
        draw(display.update_display)

    draw(display.display)
    return repeat(update, NOTEBOOK_SECONDS, update)


def _print_lines(stats: Callable[[], RunStats]) -> Callable[[], None]:
    # A program that uses mminf without configuring its log gets the lines on stderr: it has asked for them.
    is_logged = lines_log.isEnabledFor(logging.INFO) and lines_log.hasHandlers()

    unchanged = Unchanged(STILL)

    def say() -> None:
        line = progress_line(stats())
        if unchanged.hides(line):
            return
        if is_logged:
            lines_log.info("%s", line)
        else:
            print(time.strftime("%H:%M:%S"), printable(line), file=sys.stderr, flush=True)

    def last() -> None:
        if stats().read:
            say()

    return repeat(say, LINE_SECONDS, last)


class Unchanged:
    """Hides lines that say the same as the one before, but not all of them: a run that waits is seen to be alive.

    Args:
        most: number of lines that are hidden in a row.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._line = ""
        self._hidden = 0

    def hides(self, line: str) -> bool:
        """Returns whether a line is hidden."""
        if line != self._line or self._hidden >= self._most:
            self._line, self._hidden = line, 0
            return False
        self._hidden += 1
        return True


def repeat(draw: Callable[[], None], seconds: float, last: Callable[[], None]) -> Callable[[], None]:
    """Calls a function periodically in a thread. Returns a function that ends it, and then calls `last`."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(seconds):
            draw()

    thread = threading.Thread(target=work, name="mminf-progress", daemon=True)
    thread.start()

    def stop() -> None:
        over.set()
        thread.join()
        last()

    return stop
