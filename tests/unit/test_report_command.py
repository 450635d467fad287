# SPDX-License-Identifier: GPL-2.0
"""`cmaobs report`: the page, the CSV, and that one has what the other shows."""

from __future__ import annotations

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from golden import histories, recordings
from golden.cli import ROOT, run

DEMO = ROOT / "cmaobs" / "data" / "demo.cmarec"
TRIAL = ROOT / "tests" / "fixtures" / "trial"
VOID = {"meta"}


class Page(HTMLParser):
    """Well-formedness, and every attribute there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"{tag} has an attribute twice"
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def made(out: Path, *files: Path) -> tuple[str, list[dict[str, str]]]:
    """The page's text, and the rows of the CSV."""
    done = run("report", *files, "-o", out)
    assert done.returncode == 0, done.stderr
    assert sorted(one.name for one in out.iterdir()) == ["report.csv", "report.html"]
    with (out / "report.csv").open(newline="") as file:
        return (out / "report.html").read_text(), list(csv.DictReader(file))


@pytest.fixture(scope="module", params=["alone", "trial"])
def report(request: pytest.FixtureRequest,
           tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, str]]]:
    out = tmp_path_factory.mktemp("report") / "out"
    if request.param == "trial":
        return made(out, TRIAL / "manifest.json")
    recordings.write(out.parent / "small.cmarec", histories.lawful())
    return made(out, DEMO, out.parent / "small.cmarec")


def test_the_page_is_well_formed(report: tuple[str, list[dict[str, str]]]) -> None:
    page = Page(report[0])
    drawn = re.findall(r"<svg.*?</svg>", report[0], re.DOTALL)
    assert len(drawn) >= 5
    for svg in drawn:
        ET.fromstring(svg)
    tags = {tag for tag, _ in page.seen}
    assert {"section", "svg", "table", "title"} <= tags
    assert all(attrs.get("aria-label") for tag, attrs in page.seen if tag == "svg")


def test_nothing_is_asked_of_anybody(report: tuple[str, list[dict[str, str]]]) -> None:
    page = Page(report[0])
    assert not {tag for tag, _ in page.seen} & {"script", "link", "img", "iframe", "object", "a",
                                                "image", "use", "form", "base"}
    names = {name for _, attrs in page.seen for name in attrs}
    assert not names & {"href", "src", "srcset", "style", "xlink:href", "action", "background"}
    assert not [name for name in names if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?://", report[0])


def test_every_number_that_is_drawn_is_in_the_csv(
        report: tuple[str, list[dict[str, str]]]) -> None:
    text, rows = report
    assert [row["row"] for row in rows] == [str(n) for n in range(1, len(rows) + 1)]
    drawn = [(attrs["data-row"], attrs["data-value"]) for _, attrs in Page(text).seen
             if "data-row" in attrs]
    assert len(drawn) > 50
    for number, value in drawn:
        assert number is not None
        assert float(rows[int(number) - 1]["value"]) == float(value or "nan")
    shapes = re.findall(r"<(rect|text class=\"dot\")[^>]*>", text)
    assert len(shapes) == len(drawn)


def test_it_fits_a_phone_and_the_night(report: tuple[str, list[dict[str, str]]]) -> None:
    assert 'content="width=device-width' in report[0]
    assert "prefers-color-scheme: dark" in report[0]
    widths = re.findall(r'viewBox="0 0 (\d+) ', report[0])
    assert widths
    assert max(map(int, widths)) <= 360


def test_a_trial_compares_batch_0_with_another(tmp_path: Path) -> None:
    text, rows = made(tmp_path / "out", TRIAL / "manifest.json")
    hits = {row["batch"]: float(row["value"]) for row in rows if row["table"] == "hits"}
    assert hits["0"] == 0
    assert 0.9 < hits["64"] < 1
    ratios = [row for row in rows if row["table"] == "ratio"]
    assert {row["operation"] for row in ratios} == {"alloc", "release"}
    for row in ratios:
        assert (row["batch"], row["against"], row["runs"]) == ("64", "0", "2")
        assert float(row["confidence"]) == 0.5
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
    host = json.loads((TRIAL / "manifest.json").read_text())["host"]
    for told in (host["kernel"], host["processors"], "QEMU"):
        assert told in text


def test_the_numbers_of_a_trial_are_those_of_replay(tmp_path: Path) -> None:
    _, rows = made(tmp_path / "out", TRIAL / "manifest.json")
    manifest = json.loads((TRIAL / "manifest.json").read_text())
    for batch in (0, 64):
        means, counts = [], 0
        for one in manifest["runs"]:
            if one["batch"] == batch:
                said = run("replay", TRIAL / one["recording"], "--json").stdout
                found = json.loads(said)["areas"][0]["latency"]["alloc_contig"]
                means.append(found["mean_s"])
                counts += found["count"]
        row, = (row for row in rows if row["table"] == "latency" and row["statistic"] == "mean"
                and row["operation"] == "alloc_contig" and row["batch"] == str(batch))
        assert [float(row["low"]), float(row["high"])] == [min(means), max(means)]
        assert int(row["operations"]) == counts


def test_a_ratio_is_of_pairs_with_the_same_seed(tmp_path: Path) -> None:
    _, rows = made(tmp_path / "out", TRIAL / "manifest.json")
    means: dict[tuple[int, int], float] = {}
    for one in json.loads((TRIAL / "manifest.json").read_text())["runs"]:
        said = json.loads(run("replay", TRIAL / one["recording"], "--json").stdout)
        found = [said["areas"][0]["latency"][kind] for kind in ("alloc_hit", "alloc_contig")
                 if kind in said["areas"][0]["latency"]]
        count = sum(kind["count"] for kind in found)
        means[one["seed"], one["batch"]] = sum(
            kind["mean_s"] * kind["count"] for kind in found) / count
    ratios = sorted(means[seed, 64] / means[seed, 0] for seed in {seed for seed, _ in means})
    row, = (row for row in rows if row["table"] == "ratio" and row["statistic"] == "mean"
            and row["operation"] == "alloc")
    assert [float(row["low"]), float(row["high"])] == pytest.approx([ratios[0], ratios[-1]])
    assert float(row["value"]) == pytest.approx(sum(ratios) / 2)


def test_what_others_feel_is_of_vmstat_and_of_the_pressure(tmp_path: Path) -> None:
    """As a kernel under pressure would have said it."""
    trial = tmp_path / "trial"
    shutil.copytree(TRIAL, trial)
    value = json.loads((trial / "manifest.json").read_text())
    for place, one in enumerate(value["runs"]):
        one["seconds"] = 2.0
        one["condition"] = "pressure"
        one["vmstat"] = {"allocstall_movable": [5, 5 + 8 * place], "allocstall_normal": [0, 2],
                         "pgscan_kswapd": [7, 7], "oom_kill": [3, 3 + (place == 1)]}
        one["load"]["pressure"] = ({"ended": "killed"} if place == 1 else
                                   {"refilled": 1000 * (place + 1), "refilling_s": 4.0})
    (trial / "manifest.json").write_text(json.dumps(value))
    text, rows = made(tmp_path / "out", trial / "manifest.json")
    said = {(row["batch"], row["statistic"]): row for row in rows if row["table"] == "others"}
    for batch in (0, 64):
        places = [n for n, one in enumerate(value["runs"]) if one["batch"] == batch]
        stalls = sorted((2 + 8 * place) / 2 for place in places)
        row = said[str(batch), "allocation stalls"]
        assert [float(row["low"]), float(row["high"])] == stalls
        assert float(said[str(batch), "pages scanned by kswapd"]["value"]) == 0
        killed = said[str(batch), "processes killed for memory, in all runs"]
        assert (killed["value"], killed["runs"]) == (str(int(1 in places)), "2")
        filled = [250.0 * (place + 1) for place in places if place != 1]
        row = said[str(batch), "memory filled"]
        assert [float(row["low"]), float(row["high"])] == [filled[0], filled[-1]]
        assert row["runs"] == str(len(filled))
    assert "processes killed for memory" in text


@pytest.mark.parametrize(("name", "message"), [
    ("nothing.cmarec", "cannot read"), ("text.cmarec", "text.cmarec"),
    ("empty.cmarec", "there is no operation in"), ("corrupt.cmarec", "is damaged at byte")])
def test_bad_input_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "text.cmarec").write_text("hello\n")
    recordings.write(tmp_path / "empty.cmarec", histories.lawful()[:1])
    whole = bytearray(DEMO.read_bytes())
    whole[len(whole) // 2] ^= 1
    (tmp_path / "corrupt.cmarec").write_bytes(whole)
    done = run("report", tmp_path / name, "-o", tmp_path / "out")
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert second
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_tail_that_was_cut_off_is_told(tmp_path: Path) -> None:
    (tmp_path / "cut.cmarec").write_bytes(DEMO.read_bytes()[:40_000])
    done = run("report", tmp_path / "cut.cmarec", "-o", tmp_path / "out")
    assert done.returncode == 0
    warning, _ = done.stderr.splitlines()
    assert "was cut off at byte" in warning
    assert "was cut off at byte" in (tmp_path / "out" / "report.html").read_text()


def test_only_a_report_is_overwritten(tmp_path: Path) -> None:
    for _ in range(2):
        made(tmp_path / "out", DEMO)
    (tmp_path / "out" / "report.html").write_text("mine\n")
    done = run("report", DEMO, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "it exists and is no report" in done.stderr
    assert (tmp_path / "out" / "report.html").read_text() == "mine\n"


def test_a_manifest_comes_alone(tmp_path: Path) -> None:
    done = run("report", TRIAL / "manifest.json", DEMO, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "a manifest and other files" in done.stderr
    done = run("report", DEMO, "-o", "/proc/nowhere")
    assert done.returncode == 2
    assert "cannot write /proc/nowhere" in done.stderr
