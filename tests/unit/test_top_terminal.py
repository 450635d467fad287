# SPDX-License-Identifier: GPL-2.0
"""`cmaobs top` on a pty, with real keys, as the command that users type."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import golden
import pytest
from golden import samples, screens
from golden.cli import NO_BCC, ROOT, environment, run
from reference.terminal import BACKSPACE, DOWN, ENTER, ESCAPE, INTERRUPT, LEFT, RIGHT, Terminal

from cmaobs.config import Address
from cmaobs.server import Health, Server

DEMO = str(ROOT / "cmaobs" / "data" / "demo.cmarec")
TOP = [sys.executable, "-c", NO_BCC, "top"]


@pytest.fixture(scope="module")
def exporter() -> Iterator[str]:
    with Server(Address("127.0.0.1", 0), lambda: screens.view(20), Health(10)) as server:
        yield f"http://{server.address}"


def terminal(*arguments: str, term: str = "vt100", columns: int = 80, lines: int = 24,
             **more: str) -> Terminal:
    return Terminal([*TOP, *arguments], {**environment(), **more}, term, columns, lines)


def test_a_recording_by_its_keys() -> None:
    with terminal(DEMO) as top:
        top.until("at the end")
        top.match(r"\A.*agree$")
        last = top.match(r"\] ([\d.]+) of \1 s")
        top.press(LEFT)
        top.until("paused")
        earlier = top.match(rf"\] (?!{re.escape(last[1])} )([\d.]+) of")
        assert float(earlier[1]) < float(last[1])
        top.press(RIGHT)
        top.until("at the end")
        top.press(b"g")
        top.until("] 0.0 of")
        top.press(b" ")
        top.until("playing")
        top.press(b" ")
        top.until("paused")
        top.press(b"G", ENTER)
        top.match("^0x0003bc00  ")
        top.press(ENTER, b"t")
        top.until(lambda text: "since start " in text)
        top.press(b"?")
        top.until("select an area")
        top.press(b"x", b"/", b"zzq", BACKSPACE)
        top.until("areas with: zz_")
        top.press(ENTER)
        top.until("no area has 'zz' in its name")
        top.press(ESCAPE)
        top.until("reserved  ")
        top.press(b"s", b"r", DOWN)
        top.until("by use, reversed")
        top.press(b"q")
        assert top.end() == 0
        assert b"Traceback" not in top.sent


@pytest.mark.parametrize("term", ["vt100", "vt220", "linux", "screen", "xterm-256color"])
def test_terminals(term: str) -> None:
    """What they show is the same; those that have colours use them."""
    with terminal(DEMO, term=term) as top:
        top.until("at the end")
        top.match(r"\A(.*\n){4}AREA ")
        top.match(r"^\? help  q quit.*\Z")
        colours = {cell.fg for row in top.screen.buffer.values() for cell in row.values()}
        assert (len(colours) > 1) == (term not in ("vt100", "vt220"))
        top.press(b"q")
        assert top.end() == 0
        if term.startswith("xterm"):  # what was there before is shown again, and the cursor
            assert b"\x1b[?1049l" in top.sent[-200:]


@pytest.mark.parametrize(("more", "arguments"), [({"NO_COLOR": "1"}, ()), ({}, ("--no-color",))])
def test_colours_can_be_refused(more: dict[str, str], arguments: tuple[str, ...]) -> None:
    with Terminal([*("env" for _ in more), *(f"{n}={v}" for n, v in more.items()), *TOP, DEMO,
                   *arguments], environment(), "xterm-256color") as top:
        top.until("at the end")
        assert {cell.fg for row in top.screen.buffer.values() for cell in row.values()} \
            == {"default"}


def test_keys_that_a_terminal_has_of_its_own() -> None:
    with terminal(DEMO, term="linux") as top:
        top.until("at the end")
        top.press(b"\x1b[1~")  # Home
        top.until("] 0.0 of")
        top.press(b"\x1b[6~", b"\x1b[C")  # PageDown, Right
        top.until(lambda text: "paused" in text and "] 0.0 of" not in text)
        top.press(b"\x1b[4~")  # End
        top.until("at the end")


def test_a_serial_line_without_a_size_gets_80_by_24() -> None:
    with terminal(DEMO, columns=0, lines=0) as top:
        top.match(r"\A(.*\n){23}\? help.*\Z")


def test_the_size_may_change() -> None:
    with terminal(DEMO, term="linux") as top:
        top.until("at the end")
        top.resize(132, 40)
        top.until("FAILED  P99")
        top.resize(30, 8)
        top.until(lambda text: text.startswith("needs 40x12") and "AREA" not in text)
        top.resize(80, 24)
        top.until("at the end")


@pytest.mark.parametrize("how", ["q", "interrupt", "terminate"])
def test_it_ends_in_order(how: str) -> None:
    with terminal(DEMO, term="linux") as top:
        top.until("at the end")
        if how == "terminate":
            top.process.send_signal(signal.SIGTERM)
        else:
            top.press({"q": b"q", "interrupt": INTERRUPT}[how])
        assert top.end() == 0
        assert b"Traceback" not in top.sent


def test_an_exporter_and_its_absence() -> None:
    with contextlib.ExitStack() as running:
        server = running.enter_context(
            Server(Address("127.0.0.1", 0), lambda: screens.view(20), Health(10)))
        with terminal(f"http://{server.address}", "--interval", "200ms") as top:
            top.until("reserved ")
            top.press(ENTER)
            top.until("no map: this source")
            running.close()
            top.until(lambda text: re.search(
                r"^for \d+ s: cannot reach http://127.0.0.1:\d+/metrics: Connection refused",
                text, re.MULTILINE))
            top.press(b"q")
            assert top.end() == 0


def test_an_exporter_that_hangs_does_not_hold_up_the_user() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        # It would wait for an answer longer than this does for its end.
        patient = NO_BCC.replace("from cmaobs.cli", "from cmaobs.top import remote; "
                                 "remote._TIMEOUT_S = 3600.0; from cmaobs.cli")
        with Terminal([sys.executable, "-c", patient, "top",
                       f"http://127.0.0.1:{mute.getsockname()[1]}"], environment()) as top:
            top.until("waiting for the first reading")
            top.press(b"q")
            assert top.end() == 0


def test_the_screen_as_text() -> None:
    done = subprocess.run([*TOP, Path(DEMO).name, "--once", "--total"],
                          env={**environment(), "TZ": "UTC"},
                          cwd=Path(DEMO).parent,
                          capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    golden.compare("top-demo.txt", done.stdout)


def test_one_screen_of_an_exporter(exporter: str) -> None:
    done = run("top", exporter, "--once", "--interval", "100ms", "--area", "codec")
    assert done.returncode == 0, done.stderr
    assert "area codec: 2048 pages, 1984 allocated (97%)" in done.stdout
    assert "since the start: ENOMEM 6" in done.stdout


def test_the_verdict_is_the_exit_status_of_one_screen(tmp_path: Path) -> None:
    with Server(Address("127.0.0.1", 0), samples.view, Health(10)) as server:
        done = run("top", f"http://{server.address}", "--json", "--interval", "100ms")
    assert done.returncode == 1
    assert '"verdict": "diverge"' in done.stdout


@pytest.mark.parametrize(("arguments", "message", "remedy"), [
    ((), "standard input and output are no terminal", "--once"),
    (("ftp://x/", "--once"), "not an address: 'ftp://x/'", "http://"),
    (("http://127.0.0.1:1", "--once"), "Connection refused", "cmaobs serve"),
    (("/nowhere", "--once"), "cannot read /nowhere", "cmaobs record"),
    ((DEMO, "--at", "3"), "--at is for a recording with --once", "--help"),
    ((DEMO, "--once", "--area", "nothing"), "there is no area 'nothing'", "areas: reserved"),
    ((DEMO, "--once", "--at", "soon"), "argument --at: expected a time", "--help"),
])
def test_a_mistake_is_a_line_and_a_remedy(
        arguments: tuple[str, ...], message: str, remedy: str) -> None:
    done = run("top", *arguments)
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert remedy in second


@pytest.mark.parametrize("term", ["dumb", "no-such-terminal", ""])
def test_a_terminal_that_cannot_is_a_line_and_a_remedy(term: str) -> None:
    with terminal(DEMO, term=term) as top:
        assert top.end() == 2
        assert f"error: the terminal type '{term}' is not known" in top.text
        assert "vt100" in top.text


def test_damage_is_said_on_the_screen(tmp_path: Path) -> None:
    data = Path(DEMO).read_bytes()
    cut = bytearray(data)
    cut[len(cut) * 3 // 4] ^= 255
    (tmp_path / "bad.cmarec").write_bytes(cut)
    with terminal(str(tmp_path / "bad.cmarec")) as top:
        top.until("at the end")
        top.match(r"is\s+damaged\s+at\s+byte")
