"""Runs inside every Python process of a smoke run, as its sitecustomize; any Python from 3.8.

Records which lines of the reviewed tree were executed and what the process tried to reach, and
writes both when the process ends. Evidence, not protection: the sandbox is what protects.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from typing import Any

CODE = os.environ.get("OHGW_CODE", "") + os.sep
OBSERVED = os.environ.get("OHGW_OBSERVED", "")
MAX_CALLS = 2000  # of one function: after that its lines are known, and tracing only costs
MAX_EVENTS = 200

lines: dict[str, set[int]] = {}  # file -> set of lines
calls: dict[Any, int] = {}  # code object -> number of calls
events: list[list[str]] = []  # [kind, what], each once


def seen(filename: str, line: int) -> None:
    lines.setdefault(filename[len(CODE) :], set()).add(line)


def note(kind: str, what: str) -> None:
    event = [kind, what[:300]]
    if event not in events and len(events) < MAX_EVENTS:
        events.append(event)


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    try:
        if event == "socket.connect":
            address = arguments[1]
            if isinstance(address, tuple) and str(address[0]) not in ("127.0.0.1", "::1"):
                note("network", f"{address[0]}:{address[1]}")
        elif event == "socket.getaddrinfo":
            if str(arguments[0]) not in ("localhost", "127.0.0.1", "None"):
                note("network", f"{arguments[0]}:{arguments[1]}")
        elif event == "open" and isinstance(arguments[0], str):
            if any(part in arguments[0] for part in ("/.ssh", "/.aws", "/.netrc", "/etc/shadow")):
                note("secret", arguments[0])
    except Exception:  # nothing that we watch may break what we watch
        pass


def trace(frame: Any, event: str, argument: Any) -> Any:
    """For Pythons without sys.monitoring: lines of the tree, function by function."""
    code = frame.f_code
    if not code.co_filename.startswith(CODE):
        return None
    count = calls[code] = calls.get(code, 0) + 1
    if count > MAX_CALLS:
        return None
    seen(code.co_filename, frame.f_lineno)

    def local(frame: Any, event: str, argument: Any) -> Any:
        if event == "line":
            seen(code.co_filename, frame.f_lineno)
        return local

    return local


def monitor() -> None:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    tool = monitoring.COVERAGE_ID
    monitoring.use_tool_id(tool, "ohgw")

    def line(code: Any, number: int) -> Any:
        if code.co_filename.startswith(CODE):
            seen(code.co_filename, number)
        return monitoring.DISABLE

    monitoring.register_callback(tool, monitoring.events.LINE, line)
    monitoring.set_events(tool, monitoring.events.LINE)


def write() -> None:
    sys.settrace(None)
    record = {
        "argv": [str(word) for word in getattr(sys, "argv", [])],
        "lines": {name: sorted(found) for name, found in lines.items()},
        "events": events,
    }
    try:
        with open(os.path.join(OBSERVED, f"{os.getpid()}.json"), "w") as file:
            json.dump(record, file)
    except OSError:
        pass


if OBSERVED:
    sys.addaudithook(audit)
    if hasattr(sys, "monitoring"):
        monitor()
    else:
        threading.settrace(trace)
        sys.settrace(trace)
    atexit.register(write)
