# SPDX-License-Identifier: GPL-2.0
"""libbpf through ctypes: maps, test runs and the kernel's type information.

Owns every signature of the library that is used. Errors become KernelReadError.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from cmaobs.errors import KernelReadError, ProbeError

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
            ("bpf_map_create", _int, _int, ctypes.c_char_p, _u32, _u32, _u32, _ptr),
            ("bpf_prog_load", _int, _int, ctypes.c_char_p, ctypes.c_char_p, _ptr,
             ctypes.c_size_t, _ptr),
            ("bpf_raw_tracepoint_open", _int, ctypes.c_char_p, _int),
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


class _Parameter(ctypes.Structure):
    """struct btf_param of include/uapi/linux/btf.h."""

    _fields_ = [("name_off", _u32), ("type", _u32)]


class _TestRun(ctypes.Structure):
    """struct bpf_test_run_opts of libbpf's bpf.h."""

    _fields_ = [("sz", ctypes.c_size_t), ("data_in", _ptr), ("data_out", _ptr),
                ("data_size_in", _u32), ("data_size_out", _u32),
                ("ctx_in", _ptr), ("ctx_out", _ptr),
                ("ctx_size_in", _u32), ("ctx_size_out", _u32),
                ("retval", _u32), ("repeat", _int), ("duration", _u32),
                ("flags", _u32), ("cpu", _u32), ("batch_size", _u32)]


class _MapCreate(ctypes.Structure):
    """struct bpf_map_create_opts of libbpf's bpf.h, as far as it is used."""

    _fields_ = [("sz", ctypes.c_size_t), ("btf_fd", _u32), ("btf_key_type_id", _u32),
                ("btf_value_type_id", _u32), ("btf_vmlinux_value_type_id", _u32),
                ("inner_map_fd", _u32), ("map_flags", _u32)]


class _ProgLoad(ctypes.Structure):
    """struct bpf_prog_load_opts of libbpf's bpf.h, up to libbpf 1.1."""

    _fields_ = [("sz", ctypes.c_size_t), ("attempts", _int), ("expected_attach_type", _u32),
                ("prog_btf_fd", _u32), ("prog_flags", _u32), ("prog_ifindex", _u32),
                ("kern_version", _u32), ("attach_btf_id", _u32), ("attach_prog_fd", _u32),
                ("attach_btf_obj_fd", _u32), ("fd_array", _ptr), ("func_info", _ptr),
                ("func_info_cnt", _u32), ("func_info_rec_size", _u32), ("line_info", _ptr),
                ("line_info_cnt", _u32), ("line_info_rec_size", _u32), ("log_level", _u32),
                ("log_size", _u32), ("log_buf", ctypes.c_char_p)]


class ProgramKind(Enum):
    """bpf_prog_type and bpf_attach_type of include/uapi/linux/bpf.h."""

    KPROBE = (2, 0)
    RAW_TRACEPOINT = (17, 0)
    FENTRY = (26, 24)
    FEXIT = (26, 25)


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

    def function(self, name: str) -> int:
        """The id of a function's description, as fentry needs it; 0 where there is none."""
        found: int = self._lib.btf__find_by_name_kind(self._btf, name.encode(), BTF_KIND_FUNC)
        return max(found, 0)

    def arguments(self, name: str) -> tuple[str, ...] | None:
        """The names of a function's arguments; None where it is not described."""
        type_id = self.function(name)
        if not type_id:
            return None
        function = _Type.from_address(self._lib.btf__type_by_id(self._btf, type_id))
        address = self._lib.btf__type_by_id(self._btf, function.size)  # a union with its type
        count = _Type.from_address(address).info & 0xFFFF
        parameters = (_Parameter * count).from_address(address + ctypes.sizeof(_Type))
        return tuple(self._name(parameter.name_off) for parameter in parameters)

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
            name = self._name(member.name_off)
            if name:
                yield name, base + bits // 8
            else:
                yield from self._members(member.type, base + bits // 8)

    def _name(self, offset: int) -> str:
        name: bytes = self._lib.btf__name_by_offset(self._btf, offset)
        return name.decode()


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


class Programs:
    """Makes maps and programs; each is a descriptor that the caller closes."""

    def __init__(self, root: str) -> None:
        self._lib = _load()
        self._vmlinux = str(Path(root) / "sys/kernel/btf/vmlinux")
        self._btf: Btf | None = None

    def close(self) -> None:
        """Free what load() needed of the kernel's type information."""
        if self._btf is not None:
            self._btf.close()
            self._btf = None

    def create_map(self, name: str, kind: int, key_size: int, value_size: int,
                   max_entries: int, flags: int) -> int:
        """A map; sizes in bytes. Raises ProbeError."""
        options = _MapCreate(sz=ctypes.sizeof(_MapCreate), map_flags=flags)
        fd: int = self._lib.bpf_map_create(kind, name.encode(), key_size, value_size,
                                           max_entries, ctypes.byref(options))
        if fd < 0:
            raise ProbeError(f"BPF map {name}: {os.strerror(-fd)}",
                             "use Linux 5.10 or later, as root or with CAP_BPF")
        return fd

    def load(self, name: str, kind: ProgramKind, code: bytes, function: str = "") -> int:
        """A program that the verifier has passed; function: what fentry and fexit are for.

        Raises ProbeError with the verifier's last line.
        """
        program, attach = kind.value
        options = _ProgLoad(sz=ctypes.sizeof(_ProgLoad), expected_attach_type=attach)
        if function:
            if self._btf is None:
                self._btf = Btf(self._vmlinux)
            options.attach_btf_id = self._btf.function(function)
        fd: int = self._lib.bpf_prog_load(program, name[:15].encode(), b"GPL", code,
                                          len(code) // 8, ctypes.byref(options))
        if fd >= 0:
            return fd
        log = ctypes.create_string_buffer(1 << 24)
        options.log_level, options.log_size = 1, len(log)
        options.log_buf = ctypes.cast(log, ctypes.c_char_p)
        again: int = self._lib.bpf_prog_load(program, name[:15].encode(), b"GPL", code,
                                             len(code) // 8, ctypes.byref(options))
        if again >= 0:
            return again
        lines = [line for line in log.value.decode(errors="replace").splitlines()
                 if line and not line.startswith("processed ")]
        raise ProbeError(f"the kernel does not take the program {name}: {os.strerror(-again)}"
                         + (f": {lines[-1]}" if lines else ""), "see `cmaobs doctor`")

    def open(self, program: int, tracepoint: str = "") -> int:
        """Attach: a raw tracepoint's program to it, one of fentry or fexit to its function."""
        fd: int = self._lib.bpf_raw_tracepoint_open(
            tracepoint.encode() if tracepoint else None, program)
        if fd < 0:
            raise ProbeError(f"a probe could not be attached: {os.strerror(-fd)}",
                             "see `cmaobs doctor`")
        return fd
