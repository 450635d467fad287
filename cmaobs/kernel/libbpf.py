# SPDX-License-Identifier: GPL-2.0
"""libbpf through ctypes: maps, test runs and the kernel's type information.

Owns every signature of the library that is used. Errors become KernelReadError.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

from cmaobs.errors import KernelReadError

_u32, _u64, _ptr, _int = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int

BTF_KIND_STRUCT = 4
BTF_KIND_FUNC = 12
BPF_F_TEST_RUN_ON_CPU = 1


def _load() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise KernelReadError(f"libbpf.so.1 cannot be loaded: {error}",
                          "install Debian's libbpf1, or your distribution's libbpf 1.x") from None
    lib.libbpf_set_print(None)
    for name, result, *arguments in (
            ("btf__parse", _ptr, ctypes.c_char_p, _ptr),
            ("btf__free", None, _ptr),
            ("btf__find_by_name_kind", ctypes.c_int32, _ptr, ctypes.c_char_p, _u32),
            ("btf__type_by_id", _ptr, _ptr, _u32),
            ("btf__name_by_offset", ctypes.c_char_p, _ptr, _u32),
            ("btf__resolve_size", ctypes.c_int64, _ptr, _u32),
            ("bpf_map_lookup_elem", _int, _int, _ptr, _ptr),
            ("bpf_map_update_elem", _int, _int, _ptr, _ptr, _u64),
            ("bpf_map_get_next_key", _int, _int, _ptr, _ptr),
            ("bpf_prog_test_run_opts", _int, _int, _ptr),
            ("libbpf_num_possible_cpus", _int)):
        function = getattr(lib, name)
        function.restype = result
        function.argtypes = arguments
    return lib


class _Member(ctypes.Structure):
    """struct btf_member of include/uapi/linux/btf.h."""

    _fields_ = [("name_off", _u32), ("type", _u32), ("offset", _u32)]


class _Type(ctypes.Structure):
    """struct btf_type of include/uapi/linux/btf.h."""

    _fields_ = [("name_off", _u32), ("info", _u32), ("size", _u32)]


class _TestRun(ctypes.Structure):
    """struct bpf_test_run_opts of libbpf's bpf.h."""

    _fields_ = [("sz", ctypes.c_size_t), ("data_in", _ptr), ("data_out", _ptr),
                ("data_size_in", _u32), ("data_size_out", _u32),
                ("ctx_in", _ptr), ("ctx_out", _ptr),
                ("ctx_size_in", _u32), ("ctx_size_out", _u32),
                ("retval", _u32), ("repeat", _int), ("duration", _u32),
                ("flags", _u32), ("cpu", _u32), ("batch_size", _u32)]


class Btf:
    """The type information in one file, /sys/kernel/btf/vmlinux as a rule."""

    def __init__(self, path: str) -> None:
        """Raises KernelReadError where the file is missing or is no BTF."""
        self._lib = _load()
        self._btf = self._lib.btf__parse(path.encode(), None)
        if not self._btf:
            raise KernelReadError(f"{path}: no BTF: {os.strerror(ctypes.get_errno())}",
                              "use a kernel built with CONFIG_DEBUG_INFO_BTF=y")

    def close(self) -> None:
        """Free the library's copy (tens of MB for a distribution's kernel)."""
        if self._btf:
            self._lib.btf__free(self._btf)
            self._btf = None

    def has_function(self, name: str) -> bool:
        """Whether a function of that name is described, as fentry needs it."""
        return bool(self._lib.btf__find_by_name_kind(self._btf, name.encode(),
                                                     BTF_KIND_FUNC) > 0)

    def struct(self, name: str) -> dict[str, int] | None:
        """Byte offset of each member of ``struct name``, and its size under "".

        Members of anonymous structs and unions count as the outer struct's.
        None where the kernel has no definition of it.
        """
        type_id = self._lib.btf__find_by_name_kind(self._btf, name.encode(), BTF_KIND_STRUCT)
        if type_id <= 0:
            return None
        return {"": self._lib.btf__resolve_size(self._btf, type_id),
                **dict(self._members(type_id, 0))}

    def _members(self, type_id: int, base: int) -> Iterator[tuple[str, int]]:
        address = self._lib.btf__type_by_id(self._btf, type_id)
        kind = _Type.from_address(address)
        wide = kind.info >> 31  # offsets carry bit-field sizes above bit 24
        members = (_Member * (kind.info & 0xFFFF)).from_address(
            address + ctypes.sizeof(_Type))
        for member in members:
            bits = member.offset & 0xFFFFFF if wide else member.offset
            name = self._lib.btf__name_by_offset(self._btf, member.name_off).decode()
            if name:
                yield name, base + bits // 8
            else:
                yield from self._members(member.type, base + bits // 8)


class Maps:
    """Access to maps and programs by file descriptor."""

    def __init__(self) -> None:
        self._lib = _load()
        self.cpus: int = self._lib.libbpf_num_possible_cpus()

    def lookup(self, fd: int, key: int, size: int) -> bytes | None:
        """The value under a 32-bit key, or None; size in bytes over all CPUs."""
        value = ctypes.create_string_buffer(size)
        if self._lib.bpf_map_lookup_elem(fd, ctypes.byref(_u32(key)), value):
            return None
        return value.raw

    def lookup_percpu(self, fd: int, key: int, size: int) -> list[bytes]:
        """The value of each possible CPU; size in bytes of one."""
        stride = (size + 7) // 8 * 8
        raw = self.lookup(fd, key, stride * self.cpus)
        if raw is None:
            raise KernelReadError(f"BPF map lookup: {os.strerror(ctypes.get_errno())}",
                              "restart the observer")
        return [raw[i * stride:i * stride + size] for i in range(self.cpus)]

    def update(self, fd: int, key: int, value: bytes) -> None:
        """Set the value under a 32-bit key."""
        if self._lib.bpf_map_update_elem(fd, ctypes.byref(_u32(key)), value, 0):
            raise KernelReadError(f"BPF map update: {os.strerror(ctypes.get_errno())}",
                              "restart the observer")

    def keys(self, fd: int) -> Iterator[int]:
        """The 32-bit keys of a hash; concurrent changes may repeat or skip some."""
        key, following = _u32(), _u32()
        previous = None
        while not self._lib.bpf_map_get_next_key(fd, previous, ctypes.byref(following)):
            yield following.value
            key.value = following.value
            previous = ctypes.byref(key)

    def run(self, fd: int, *arguments: int, cpu: int | None = None) -> None:
        """Run a raw tracepoint program once with these 64-bit arguments, on a CPU if one is given.

        Raises KernelReadError, also where the CPU is offline.
        """
        context = (_u64 * len(arguments))(*arguments)
        options = _TestRun(sz=ctypes.sizeof(_TestRun), ctx_in=ctypes.addressof(context),
                           ctx_size_in=ctypes.sizeof(context))
        if cpu is not None:
            options.flags, options.cpu = BPF_F_TEST_RUN_ON_CPU, cpu
        if self._lib.bpf_prog_test_run_opts(fd, ctypes.byref(options)):
            raise KernelReadError(
                f"BPF_PROG_TEST_RUN: {os.strerror(ctypes.get_errno())}",
                "use Linux 5.10 or later, as root or with CAP_BPF and CAP_PERFMON")
