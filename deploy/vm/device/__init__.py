# SPDX-License-Identifier: GPL-2.0
"""The device: a QEMU guest on this machine's own root file system.

__main__   the command line of deploy/vm/run
spec       what was asked for, checked
accel      KVM or emulation: the probe and its memory
machine    the QEMU command line, made by virtme-run
session    one guest's life: output, deadlines, signals, exit status
console    what the guest's console tells about its end
guest.sh   the other end, run as root inside the guest
"""
