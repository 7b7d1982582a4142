"""Memory of freed images is kept in the process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

HEAPS = """
import ctypes, sys, threading
from mminf.image.memory import keep_freed_memory

keep_freed_memory()
libc = ctypes.CDLL(None)
barrier = threading.Barrier(4)

def work():
    libc.free(libc.malloc(100_000))
    barrier.wait()

libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fopen.restype, libc.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_char_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
print(open(sys.argv[1]).read().count("<heap "))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")
@pytest.mark.parametrize(("variables", "one"), [({}, True), ({"MALLOC_ARENA_TEST": "8"}, False)])
def test_threads_share_a_heap_unless_the_user_chose(variables: dict[str, str], one: bool, tmp_path: object) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", HEAPS, f"{tmp_path}/info.xml"]
    done = subprocess.run(command, env=clean | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (int(done.stdout) == 1) is one, done.stdout
