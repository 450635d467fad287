# SPDX-License-Identifier: GPL-2.0
"""Which machine the device's runner takes for an image, without a guest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "vm"))

from device import accel, arm64, spec


@pytest.mark.parametrize(("at", "magic", "arch"), [
    (0x202, b"HdrS", "x86_64"), (0x38, b"ARM\x64", "aarch64")])
def test_the_image_tells_the_architecture(tmp_path: Path, at: int, magic: bytes,
                                          arch: str) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(at) + magic + bytes(1024))
    assert spec.kernel_image(str(image)) == (image, arch)
    image.write_bytes(bytes(at + 1) + magic + bytes(1024))
    with pytest.raises(spec.DeviceError, match="not a kernel image of x86 or arm64"):
        spec.kernel_image(str(image))


def test_another_architecture_is_emulated() -> None:
    foreign = spec.Spec(("true",), Path("Image"), arch="sparc64")
    assert accel.choose(foreign, "qemu") == (False, "the kernel is for sparc64")
    asked = spec.Spec(("true",), Path("Image"), arch="sparc64", accel="kvm")
    with pytest.raises(spec.DeviceError, match="the kernel is for sparc64"):
        accel.choose(asked, "qemu")


def test_without_a_root_it_says_what_makes_one(monkeypatch: pytest.MonkeyPatch,
                                               tmp_path: Path) -> None:
    monkeypatch.setattr(arm64, "ROOT", tmp_path / "none")
    with pytest.raises(spec.DeviceError) as caught:
        arm64.command_line(spec.Spec(("true",), Path("Image"), arch="aarch64"), (), {})
    assert caught.value.remedy == "deploy/vm/arm64"
