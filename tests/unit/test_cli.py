# SPDX-License-Identifier: GPL-2.0
"""The command line as a user meets it: output, exit status, one line and a remedy."""

from __future__ import annotations

import json
import re
import resource
import socket
import subprocess
import sys
from pathlib import Path

import golden
import pytest
from golden import histories, samples
from golden.cli import NO_BCC, environment, run

from cmaobs import cli
from cmaobs.metrics import table
from cmaobs.metrics.own import RULES as RULE_NAMES
from cmaobs.recording import RecordingWriter, framing
from cmaobs.report.story import RULES
from cmaobs.source import Batch
from cmaobs.state import Reading

ROOT = Path(__file__).parents[2]

def _write(path: Path, steps: list[Batch | Reading]) -> Path:
    with RecordingWriter(str(path), samples.IDENTITY, (samples.AREA,)) as writer:
        for step in steps:
            writer.add(step)
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings")
    _write(path / "lawful", histories.lawful())
    _write(path / "unlawful", histories.unlawful())
    # Lossy, and over before anything was learned again.
    _write(path / "lossy", histories.lossy()[:-2])
    return path


def is_error(done: subprocess.CompletedProcess[str], message: str, remedy: str) -> None:
    """Exit status 2, a line and a remedy, and no more."""
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert lines[1].startswith("  remedy: ")
    assert remedy in lines[1]


@pytest.mark.parametrize("name", ["", *cli.COMMANDS])
def test_help_is_as_it_was(name: str) -> None:
    done = run(*filter(None, (name, "--help")))
    assert done.returncode == 0
    golden.compare(f"help-{name or 'cmaobs'}.txt", done.stdout)


@pytest.mark.parametrize(("name", "status"), [("lawful", 0), ("unlawful", 1), ("lossy", 3)])
def test_the_exit_status_of_replay_is_the_verdict(
        recordings: Path, name: str, status: int) -> None:
    done = run("replay", recordings / name)
    assert (done.returncode, done.stderr) == (status, "")
    outcome = {0: "agree", 1: "diverge", 3: "unknown"}[status]
    assert re.search(rf"^verdict: {outcome}$", done.stdout, re.MULTILINE)


def test_replay_tells_people_what_it_saw(recordings: Path) -> None:
    golden.compare("replay-lawful.txt", run("replay", recordings / "lawful").stdout)


def test_replay_in_json(recordings: Path) -> None:
    data = json.loads(run("replay", recordings / "unlawful", "--json").stdout)
    assert data["verdict"]["outcome"] == "diverge"
    assert data["verdict"]["divergences"][0]["rule"] == "R12"
    assert data["areas"][0]["allocations"] == {"hit": 4, "contig": 1, "failed": 0}
    assert data["records"] == 9


def test_replay_as_metrics(recordings: Path) -> None:
    done = run("replay", recordings / "lawful", "--metrics")
    assert done.returncode == 0
    assert 'cma_alloc_total{area="reserved",path="defer_hit"} 4.0\n' in done.stdout
    assert 'cmaobs_model_verdict{verdict="agree"} 1.0\n' in done.stdout
    names = {line.split()[2] for line in done.stdout.splitlines() if line.startswith("# TYPE")}
    assert names <= set(table.BY_NAME)


def test_a_cut_tail_is_a_warning(recordings: Path, tmp_path: Path) -> None:
    data = (recordings / "lawful").read_bytes()
    (tmp_path / "cut").write_bytes(data[:data.index(framing.END) - 10])
    done = run("replay", tmp_path / "cut")
    assert done.returncode in (0, 3)
    assert f"warning: {tmp_path / 'cut'} was cut off at byte" in done.stdout
    assert done.stderr == ""


def test_damage_is_an_error_after_what_was_read(recordings: Path, tmp_path: Path) -> None:
    data = bytearray((recordings / "unlawful").read_bytes())
    at = data.rindex(framing.READING) + 30
    data[at] ^= 255
    (tmp_path / "damaged").write_bytes(data)
    done = run("replay", tmp_path / "damaged")
    is_error(done, "is damaged at byte", "copy it again")
    assert "area reserved: 16384 pages" in done.stdout


@pytest.mark.parametrize(("args", "message", "remedy"), [
    ((), "COMMAND", "cmaobs --help"),
    (("dance",), "invalid choice: 'dance'", "cmaobs --help"),
    (("check", "--intervall", "1"), "unrecognized arguments", "--help"),
    (("check", "--interval", "soon"), "argument --interval: expected a time such as 2, 500ms, 5m "
     "or 1h, got 'soon'", "cmaobs check --help"),
    (("serve", "--listen", "9759"), "expected HOST:PORT", "cmaobs serve --help"),
    (("check", "--config", "/nowhere.yaml"), "/nowhere.yaml: No such file", "can be read"),
    (("replay", "/nowhere"), "cannot read /nowhere: No such file", "cmaobs record"),
    (("replay", "/etc/passwd"), "/etc/passwd at byte 0: this is no recording", "cmaobs record"),
    (("record",), "no file to record to", "-o FILE"),
    (("replay", "x", "--json", "--metrics"), "not allowed with", "replay --help"),
])
def test_a_mistake_is_a_line_and_a_remedy(
        args: tuple[str, ...], message: str, remedy: str) -> None:
    is_error(run(*args), message, remedy)


def test_a_mistake_in_the_configuration_is_a_line_and_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("interval: 1\nlisten: here\n")
    is_error(run("serve", "--config", tmp_path / "c.yaml"),
             f"{tmp_path / 'c.yaml'}:2: listen: expected HOST:PORT", "correct that line")


def test_a_port_in_use_shows_before_anything_is_attached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        is_error(run("serve", "--listen", f"127.0.0.1:{port}"),
                 f"cannot listen on 127.0.0.1:{port}: Address already in use", "--listen")


def test_explain_names_the_rule_and_what_led_there(recordings: Path) -> None:
    done = run("explain", recordings / "unlawful")
    assert done.returncode == 1
    assert done.stdout.startswith("R12 was broken in area reserved at pfn 0x40000+16.\n"
                                  f"The rule: {RULES['R12']}\n")
    assert "a hit, pfn 0x40000+16 from the deferred list" in done.stdout
    assert "verdict: agree" in run("explain", recordings / "lawful").stdout


def _processor_s() -> float:
    """Of all processes that have ended here, which does not count what they wait for others."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def test_the_demo_is_a_real_run_that_agrees_and_takes_seconds(tmp_path: Path) -> None:
    began = _processor_s()
    done = run("demo")
    assert done.returncode == 0, done.stdout
    assert _processor_s() - began < 20
    assert done.stdout.endswith("verdict: agree\n")
    assert "Look for" in done.stderr
    data = json.loads(run("demo", "--json").stdout)
    area = data["areas"][0]
    assert area["allocations"]["hit"] > 100
    assert area["decided"] == area["operations"] > 1000
    assert area["rests"] > 10
    assert data["counts_compared"]["mismatched"] == 0
    assert "cma_defer_hits_total" in run("demo", "--metrics").stdout


def test_every_rule_is_explained() -> None:
    assert tuple(RULES) == RULE_NAMES


def test_who_stops_reading_causes_no_traceback(recordings: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", NO_BCC, "replay", str(recordings / "lawful"),
                           "--metrics"], env=environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(300) == 2


def test_the_version() -> None:
    assert run("--version").stdout == "cmaobs 0.1.0\n"


def test_doctor_on_a_tree_without_anything_is_a_line_and_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    done = run("doctor", "--root", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 2
    assert "BTF" in done.stdout
    assert re.search(r"^cmaobs cannot observe this kernel as it is: it needs .*CMA",
                     done.stdout, re.MULTILINE)
    assert json.loads(run("doctor", "--root", tmp_path, "--json").stdout)
