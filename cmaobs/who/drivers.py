# SPDX-License-Identifier: GPL-2.0
"""Which driver asked, by the functions on the kernel stack. Pure; the table is data.

A frame is "function+0xoffset", with " [module]" behind it where it is in one. The first row of
TABLE that has a function or module on the stack names the subsystem. Where the subsystem serves
other drivers, the first module beyond the plumbing is named behind it: "drm: vc4". Names of
functions are those of Linux 5.10 to 7.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

UNKNOWN = "unknown"

# Subsystem, pattern of a function, pattern of a module or "", whether it serves other drivers.
TABLE = (
    ("dma-buf heap", r"(cma|dma)_heap_", "", False),
    ("ion", r"ion_cma_|ion_alloc", r"ion$", False),
    ("debugfs", r"cma_alloc_(write|mem)$", "", False),
    ("hugetlb", r"hugetlb_|alloc_(gigantic|pool_huge|fresh_huge)|(alloc|get)_hugetlb|nr_hugepages_",
     "", False),
    ("kexec", r"kimage_", "", False),
    ("kvm", r"kvm_alloc_(hpt|rma|hpt_cma)|kvmppc_", r"kvm", False),
    ("v4l2", r"vb2_|v4l2?_|video_ioctl2$", r"videobuf|videodev$|v4l2", True),
    ("drm", r"drm_", r"drm", True),
    ("framebuffer", r"fb_(ioctl|mmap|open)$|register_framebuffer", r"fb$", True),
    ("alsa", r"snd_", r"snd", True),
    ("remoteproc", r"rproc_", r"remoteproc$", True),
    ("tee", r"tee_|optee_", r"(op)?tee$", True),
    ("usb", r"hcd_|usb_", r"usbcore$", True),
    ("network", r"__dev_open$|dev_open$|napi_|ndo_", "", True),
    ("dma atomic pool", r"(dma_)?atomic_pool_", "", False),
    ("dma_alloc_coherent", r"dma_alloc_|dma_direct_alloc|dmam_alloc_|dma_pool_alloc", "", True),
)
_ROWS = tuple((name, re.compile(function), re.compile(module or "(?!)"), serves)
              for name, function, module, serves in TABLE)
# Between cma_alloc and the driver: the allocator, the DMA API, and the subsystems' own modules.
_PLUMBING = re.compile(
    r"cma_|__cma_|dma|__dma|iommu|__iommu|arm_dma|arch_dma|remap_|page_pool|alloc_contig|"
    r"vb2_|__vb2|v4l|__v4l|video|__video|drm_|__drm|snd_|__snd|usb_|__usb|hcd_|rproc_|tee_|optee_|"
    r"fb_|do_fb_|\?$")
_MODULES = re.compile(r"videobuf|videodev$|v4l2_|mc$|drm|snd$|snd_pcm|snd_timer|usbcore$|tee$|"
                      r"remoteproc$")
# The way into the kernel: whoever stands here is no driver.
_ENTRY = re.compile(
    r"(__)?(x64_sys|arm64_sys|ia32_sys|se_sys|do_sys|sys)_|vfs_|ksys_|do_syscall|entry_|el0|invoke_|"
    r"do_el0|asm_|exc_|handle_mm|do_fault|__handle|kthread$|worker_thread$|process_one_work$|ret_from|"
    r"do_one_initcall$|really_probe$|kernel_init|full_proxy|simple_attr|debugfs_|seq_|proc_|"
    r"load_module$|do_init_module$|__do_(sys|fault)|__driver_probe|driver_probe|platform_probe$|"
    r"pci_device_probe$|local_pci_probe$|new_sync_|call_write_iter|kernfs_|sysfs_")
_FRAME = re.compile(r"([^+ ]+)(?:\+0x[0-9a-f]+)?(?: \[(.*)\])?$")


def driver_of(frames: Iterable[str]) -> str:
    """The driver that asked, such as "dma-buf heap", "drm: vc4" or "dma_alloc_coherent: eth_open".

    frames: innermost first, cma_alloc's own included. unknown where nothing on the stack tells.
    """
    stack = [_parse(frame) for frame in frames]
    for name, function, module, serves in _ROWS:
        if any(function.match(one) or (within and module.search(within))
               for one, within in stack):
            behind = _behind(stack) if serves else ""
            return f"{name}: {behind}" if behind else name
    return _behind(stack) or UNKNOWN


def folded(frames: Iterable[str]) -> str:
    """The stack on one line, outermost first, as flame graphs are made from: "a;b;cma_alloc"."""
    return ";".join(_parse(frame)[0] for frame in reversed(tuple(frames)))


def _behind(stack: list[tuple[str, str]]) -> str:
    """The module, or else the function, that stands first behind the plumbing; may be empty."""
    for function, module in stack:
        if _ENTRY.match(function):
            break
        if module and not _MODULES.match(module):
            return module
        if not module and not _PLUMBING.match(function):
            return function
    return ""


def _parse(frame: str) -> tuple[str, str]:
    match = _FRAME.match(frame)
    return (match[1], match[2] or "") if match else (frame, "")
