# SPDX-License-Identifier: GPL-2.0
"""The driver behind a kernel stack. Stacks are as the kernel's sources call, innermost first."""

from __future__ import annotations

import re

import pytest

from cmaobs.who import drivers

SYSCALL = ("__x64_sys_ioctl", "do_syscall_64", "entry_SYSCALL_64_after_hwframe")
DMA = ("cma_alloc", "dma_alloc_contiguous", "__dma_direct_alloc_pages", "dma_direct_alloc",
       "dma_alloc_attrs")
STACKS = {
    "dma-buf heap": ("cma_alloc", "cma_heap_allocate", "dma_heap_ioctl", *SYSCALL),
    "debugfs": ("cma_alloc", "cma_alloc_write", "simple_attr_write", "debugfs_attr_write",
                "full_proxy_write", "vfs_write", "ksys_write", "do_syscall_64"),
    "hugetlb": ("cma_alloc", "alloc_gigantic_page", "alloc_pool_huge_page", "set_max_huge_pages",
                "nr_hugepages_store", "kobj_attr_store", "sysfs_kf_write"),
    "v4l2: vim2m": (*DMA, "vb2_dc_alloc [videobuf2_dma_contig]",
                    "__vb2_queue_alloc [videobuf2_common]", "vb2_core_reqbufs [videobuf2_common]",
                    "v4l2_m2m_reqbufs [v4l2_mem2mem]", "vim2m_reqbufs [vim2m]",
                    "__video_do_ioctl [videodev]", "v4l2_ioctl [videodev]", *SYSCALL),
    "v4l2": (*DMA, "vb2_dc_alloc", "__vb2_queue_alloc", "vb2_core_reqbufs", "vb2_ioctl_reqbufs",
             "v4l_reqbufs", "__video_do_ioctl", "video_usercopy", "v4l2_ioctl", *SYSCALL),
    "drm: vc4": (*DMA, "dma_alloc_wc", "drm_gem_dma_create [drm_dma_helper]",
                 "vc4_bo_create [vc4]", "vc4_bo_dumb_create [vc4]",
                 "drm_mode_create_dumb [drm]", "drm_ioctl_kernel [drm]", "drm_ioctl [drm]",
                 *SYSCALL),
    "alsa: snd_soc_imx_pcm_dma": (
        *DMA, "snd_dma_dev_alloc [snd_pcm]", "snd_dma_alloc_dir_pages [snd_pcm]",
        "preallocate_pages [snd_pcm]", "imx_pcm_new [snd_soc_imx_pcm_dma]",
        "really_probe", "driver_probe_device"),
    "dma_alloc_coherent: e1000e": (
        *DMA, "e1000e_setup_tx_resources [e1000e]", "e1000_open [e1000e]", "really_probe"),
    "dma_alloc_coherent: xhci_mem_init": (
        *DMA, "xhci_mem_init", "xhci_init", "really_probe", "worker_thread", "kthread"),
    "remoteproc": (*DMA, "rproc_alloc_carveout", "rproc_resource_setup", "rproc_fw_boot",
                   "rproc_boot", "vfs_write"),
    "dma atomic pool": ("cma_alloc", "dma_alloc_from_contiguous", "atomic_pool_expand",
                        "atomic_pool_resize", "atomic_pool_work_fn", "process_one_work",
                        "worker_thread", "kthread", "ret_from_fork"),
    "my_module": ("cma_alloc", "my_function [my_module]", "vfs_write"),
    "unknown": (),
}


@pytest.mark.parametrize("name", STACKS)
def test_it_is_named(name: str) -> None:
    frames = tuple(re.sub(r"^\S+", lambda match: f"{match[0]}+0x12", one) for one in STACKS[name])
    assert drivers.driver_of(frames) == name
    assert drivers.driver_of(STACKS[name]) == name


def test_every_row_of_the_table_was_tried_or_is_of_hardware_not_had() -> None:
    tried = {name.partition(":")[0] for name in STACKS}
    assert {row[0] for row in drivers.TABLE} - tried == {
        "ion", "kexec", "kvm", "framebuffer", "tee", "usb", "network"}


def test_a_stack_folds_outermost_first() -> None:
    assert drivers.folded(("cma_alloc+0x0", "f+0x10 [module]", "?")) == "?;f;cma_alloc"
    assert drivers.folded(()) == ""
