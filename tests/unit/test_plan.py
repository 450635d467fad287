# SPDX-License-Identifier: GPL-2.0
"""From facts to probes, on the facts of the device's kernels, with and without the patches."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from golden import captures
from golden.captures import facts, without

from cmaobs.errors import CmaobsError, PrivilegeError, UnsupportedError
from cmaobs.kernel import findings, handlers, plan
from cmaobs.kernel.facts import Facts, probe


def states(one: Facts) -> dict[str, str]:
    return {finding.feature: finding.state for finding in plan.doctor(one)}


def test_patched_kernel() -> None:
    made = plan.make(facts("6.1.192-patched"))
    assert (made.patched, made.attach) == (True, "fentry")
    assert set(made.functions) == {*handlers.REQUIRED, *handlers.DEFERRAL}
    assert made.functions["contig"] == "alloc_contig_range"
    assert (made.defines["ALLOC_FN"], made.defines["ALLOC_NARGS"]) == ("cma_alloc", 4)
    cma = made.structs["cma"]
    assert made.defines["CMA_DEFER_COUNT"] == cma["defer_count"]
    assert made.defines["EXTENT_LIST"] == made.structs["cma_defer_free_area"]["list"]
    assert made.max_areas == 8, "CONFIG_CMA_AREAS=7 and one more"
    assert not made.notes


def test_the_shrinkers_batch_is_read_where_it_is_inside_of_struct_cma() -> None:
    one = facts("6.1.192-patched")
    assert plan.make(one).defines["CMA_SHRINKER_BATCH"] == one.structs["cma"]["shrinker"] + 16
    pointer = {**one.structs["cma"], "can_defer": one.structs["cma"]["shrinker"] + 8}
    made = plan.make(dataclasses.replace(one, structs={**one.structs, "cma": pointer}))
    assert "CMA_SHRINKER_BATCH" not in made.defines


def test_a_name_is_read_by_a_pointer_where_the_kernel_hands_one_out() -> None:
    one = facts("6.1.192-patched")
    symbols = {**one.symbols, "bpf_get_current_task_btf": 1}
    structs = {**one.structs, "task_struct": {**one.structs["task_struct"], "comm": 2840}}
    assert plan.make(dataclasses.replace(
        one, symbols=symbols, structs=structs)).defines["TASK_COMM"] == 2840
    lacking = ({"symbols": symbols, "structs": {**structs, "task_struct": {"flags": 44}}},
               {"symbols": one.symbols, "structs": structs})
    for changes in lacking:
        assert "TASK_COMM" not in plan.make(dataclasses.replace(one, **changes)).defines


@pytest.mark.parametrize("size", sorted({
    one[""] for name in captures.NAMES if (one := facts(name).structs.get("cma"))}))
def test_an_address_tells_the_area_without_a_division(size: int) -> None:
    """index_of() of probes/thread.h, in Python."""
    made = plan.division(size)
    start = 0xffffffff82a31c40
    shift, inverse = int(made["CMA_SIZE_SHIFT"]), str(made["CMA_SIZE_INVERSE"])

    def index(address: int) -> int:
        return ((address - start) % (1 << 64) >> shift) * int(inverse[:-3], 16) % (1 << 64)

    assert [index(start + place * size) for place in range(plan.MAX_AREAS)] == list(
        range(plan.MAX_AREAS))
    between = range(start, start + size, size & -size)[1:]
    for other in (0, start - size, *between, start + plan.MAX_AREAS * size, 0xffff888003a40000):
        assert index(other) >= plan.MAX_AREAS


@pytest.mark.parametrize("release", ["6.1.192", "6.12.117"])
def test_an_areas_policy_is_read_and_its_writes_are_seen(release: str) -> None:
    made = plan.make(facts(f"{release}-policy"))
    assert made.functions["policy"] == "cma_defer_set_policy"
    assert made.defines["CMA_POLICY"] == made.structs["cma"]["policy"]
    assert (made.attach, made.notes) == ("fentry", ())
    before = plan.make(facts(f"{release}-patched"))
    assert "CMA_POLICY" not in before.defines
    assert "policy" not in before.functions


def test_arm64_has_the_same_plan_but_for_the_way_to_attach() -> None:
    """No direct ftrace calls before Linux 6.4; what is read is where x86-64 has it."""
    made, other = plan.make(facts("6.1.192-arm64-policy")), plan.make(facts("6.1.192-policy"))
    assert (made.attach, other.attach) == ("kprobe", "fentry")
    assert made.notes == ("fentry: the kernel has no direct ftrace calls",)
    assert (made.functions, made.tracepoints) == (other.functions, other.tracepoints)
    assert made.defines.keys() == other.defines.keys()
    assert made.patched
    with pytest.raises(UnsupportedError, match="no direct ftrace calls"):
        plan.make(facts("6.1.192-arm64-policy"), "fentry")


def test_doctor_says_each_areas_policy() -> None:
    policies = {"camera": "deferred-first", "reserved": "first-fit"}
    row = findings.deferral(facts("6.1.192-policy", policies=policies))
    assert row.detail == "patched; policy: camera deferred-first, reserved first-fit"


def test_a_policy_whose_writes_are_not_seen_is_said() -> None:
    one = facts("6.1.192-policy")
    one = dataclasses.replace(one, symbols=without(one.symbols, "cma_defer_set_policy"))
    assert states(one)["model verdict"] == "limited"
    made = plan.make(one)
    assert made.patched
    assert "policy" not in made.functions
    assert any("cma_defer_set_policy is not seen" in note for note in made.notes)


def test_a_kernel_that_does_not_defer_is_not_asked_for_a_policy() -> None:
    one = facts("6.1.192")
    made = plan.make(dataclasses.replace(
        one, symbols={**one.symbols, "cma_defer_set_policy": 1 << 63}))
    assert "policy" not in made.functions


def test_an_allocated_shrinker_is_followed_to_its_area() -> None:
    """6.12: struct cma has a pointer, and the shrinker has one back."""
    one = facts("6.12.117-patched")
    made = plan.make(one)
    assert made.patched
    assert set(made.functions) == {*handlers.REQUIRED, *handlers.DEFERRAL, "alloc_order"}
    assert made.defines["CMA_SHRINKER"] == one.structs["cma"]["shrinker"]
    assert made.defines["SHRINKER_PRIVATE_DATA"] == one.structs["shrinker"]["private_data"]
    assert made.defines["SHRINKER_BATCH"] == one.structs["shrinker"]["batch"]
    assert "CMA_SHRINKER_BATCH" not in made.defines
    assert "SHRINKER_PRIVATE_DATA" not in plan.make(facts("6.1.192-patched")).defines


def test_cma_alloc_folio_is_followed_beside_cma_alloc() -> None:
    made = plan.make(facts("6.12.117"))
    assert set(made.functions) == {*handlers.REQUIRED, "alloc_order"}
    assert made.functions["contig"] == "alloc_contig_range_noprof"
    assert made.defines["ALLOC_ORDER_FN"] == "cma_alloc_folio"
    assert made.dmabuf_list == facts("6.12.117").symbols["debugfs_list"]


def test_plain_kernel() -> None:
    made = plan.make(facts("6.1.192"))
    assert not made.patched
    assert set(made.functions) == set(handlers.REQUIRED)
    assert not [name for name in made.defines if "DEFER" in name or "EXTENT" in name]
    assert any("deferred freeing" in note for note in made.notes)


@pytest.mark.parametrize("name", ["6.1.192", "6.1.192-patched", "6.12.117",
                                  "6.12.117-patched"])
def test_everything_is_there(name: str) -> None:
    found = states(facts(name))
    deferral = {found.pop("deferred freeing"), found.pop("shrinker")}
    assert deferral == {"ok" if "patched" in name else "missing"}
    assert set(found.values()) == {"ok"}


def test_kprobes_where_asked_for_or_no_fentry() -> None:
    one = facts("6.1.192-patched")
    assert plan.make(one, "kprobe").attach == "kprobe"
    old = dataclasses.replace(one, symbols=without(one.symbols, "register_ftrace_direct"))
    assert plan.make(old).attach == "kprobe"
    with pytest.raises(UnsupportedError, match="fentry"):
        plan.make(old, "fentry")
    untyped = dataclasses.replace(one, typed=without(one.typed, "free_contig_range"))
    assert plan.make(untyped).attach == "kprobe"


def test_kprobes_beside_another_tracer_that_has_fentry() -> None:
    one = facts("6.1.192-patched", direct=("cma_alloc",))
    made = plan.make(one)
    assert made.attach == "kprobe"
    (note,) = made.notes
    assert "another tracer has cma_alloc" in note
    assert findings.fentry(one).state == "ok"
    assert plan.make(one, "fentry").attach == "fentry"
    assert not plan.make(one, "kprobe").notes


@pytest.mark.parametrize("flags", ["R   D", "R   D   M "])
def test_what_another_tracer_has_is_read_of_tracefs(tmp_path: Path, flags: str) -> None:
    """As 6.1.192 and 6.12.117 have it, and functions that are traced without a direct call."""
    (tmp_path / "proc").mkdir()
    file = tmp_path / "sys/kernel/tracing/enabled_functions"
    file.parent.mkdir(parents=True)
    ours = "tramp: ftrace_regs_caller+0x0/0x58 (call_direct_funcs+0x0/0x30)"
    file.write_text(f"cma_alloc (1) {flags}\t{ours}\n"
                    "\tdirect-->bpf_trampoline_6442487018+0x0/0x1000\n"
                    "cma_release (1) R   I     \ttramp: 0xffffffffc0000000\n"
                    f"vfs_read (1) {flags}\t{ours}\n")
    assert probe(tmp_path).direct == ("cma_alloc",)


def test_a_patch_without_our_batch_function_is_observed() -> None:
    """Another patch of the family: batch changes are then seen in the values alone."""
    one = facts("6.1.192-patched")
    other = dataclasses.replace(one, symbols=without(one.symbols, "cma_defer_set_batch"))
    made = plan.make(other)
    assert made.patched
    assert "batch" not in made.functions
    assert states(other)["shrinker"] == "limited"
    assert "shrinker: not seen: cma_defer_set_batch" in made.notes


ONE = facts("6.1.192-patched")


@pytest.mark.parametrize(("feature", "event", "program"), [
    ("busy pages", "test_pages_isolated", "busy_page"),
    ("release event", "cma_release", "release_event")])
def test_a_kernel_without_a_trace_event_is_observed(
        feature: str, event: str, program: str) -> None:
    one = dataclasses.replace(ONE, symbols=without(ONE.symbols, f"__bpf_trace_{event}"))
    assert (states(ONE)[feature], states(one)[feature]) == ("ok", "limited")
    made, less = plan.make(ONE), plan.make(one)
    assert made.tracepoints.keys() - less.tracepoints.keys() == {program}
    assert made.tracepoints[program] == event
    assert len(made.defines) == len(less.defines) + 1
    note, = set(less.notes) - set(made.notes)
    assert note.startswith(f"{feature}: ")
    assert note.endswith(f"no event {event}")


@pytest.mark.parametrize(("feature", "error", "changes"), [
    ("CMA", UnsupportedError,
     {"symbols": without(ONE.symbols, "cma_alloc", "cma_release", "cma_areas", "cma_area_count"),
      "structs": without(ONE.structs, "cma", "cma_defer_free_area")}),
    ("symbols", UnsupportedError,
     {"symbols": without(ONE.symbols, "cma_areas", "cma_area_count")}),
    ("symbols", PrivilegeError, {"symbols": dict.fromkeys(ONE.symbols, 0)}),
    ("BTF", UnsupportedError,
     {"structs": {}, "btf_error": "/sys/kernel/btf/vmlinux does not exist"}),
    ("BTF", UnsupportedError,
     {"structs": {**ONE.structs, "cma": without(ONE.structs["cma"], "base_pfn", "bitmap")}}),
    ("privileges", PrivilegeError, {"capabilities": 0}),
    ("privileges", PrivilegeError, {"lockdown": "confidentiality"}),
    ("kprobes", UnsupportedError, {"kprobe_pmu": False}),
    ("BPF ring buffer", UnsupportedError,
     {"symbols": without(ONE.symbols, "bpf_ringbuf_reserve")}),
    ("kernel headers", UnsupportedError, {"headers": ""}),
])
def test_what_is_missing_is_one_line_with_a_remedy(
        feature: str, error: type[CmaobsError], changes: dict[str, Any]) -> None:
    one = dataclasses.replace(ONE, **changes)
    assert states(one)[feature] == "missing"
    with pytest.raises(error) as raised:
        plan.make(one)
    assert raised.value.message.startswith(feature)
    for text in (raised.value.message, raised.value.remedy):
        assert text
        assert "\n" not in text


def test_capabilities_suffice_without_being_root() -> None:
    few = 1 << findings.CAP_BPF | 1 << findings.CAP_PERFMON
    assert plan.make(facts("6.1.192", capabilities=few, root_user=False))
    with pytest.raises(PrivilegeError):
        plan.make(facts("6.1.192", capabilities=1 << findings.CAP_BPF))


@pytest.mark.parametrize("clock", ["jiffies", "refined-jiffies"])
def test_a_coarse_clock_is_told(clock: str) -> None:
    made = plan.make(facts("6.1.192", clocksource=clock))
    assert any(note.startswith("clock: ") for note in made.notes)
