# SPDX-License-Identifier: GPL-2.0
"""The device: a QEMU guest on this machine's own root file system.

__main__   the command line of deploy/vm/run
spec       what was asked for, checked
accel      KVM or emulation: the probe and its memory
machine    the QEMU command line, made by virtme-run for a PC
arm64      the same for arm64: a root of its own, and areas.dts in its device tree
session    one guest's life: output, deadlines, signals, exit status
console    what the guest's console tells about its end
init.sh    the first process where virtme's is not: arm64
guest.sh   the other end, run as root inside the guest
"""
