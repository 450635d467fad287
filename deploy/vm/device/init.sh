#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# The first process of a guest that has a root file system of its own, below which it may change
# nothing: puts a layer in memory over it, and runs guest.sh. On a PC virtme's init does this.
# Runs twice: with the project at /mnt, until the layer is the root; then with the layer.
# usage: init.sh PROJECT
set -eu

if [[ ! -d /run/host ]]; then
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs devtmpfs /dev
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t tmpfs tmpfs /media
    mkdir /media/upper /media/work /run/host
    mount -t tmpfs tmpfs /run/host # where guest.sh looks for what does not change
    mkdir -p "/run/host$1"
    mount --move /mnt "/run/host$1"
    mount -t overlay -o lowerdir=/,upperdir=/media/upper,workdir=/media/work overlay /srv
    exec switch_root /srv /bin/bash "/run/host$1/deploy/vm/device/init.sh" "$1"
fi

mkdir -p /dev/pts /dev/shm /dev/virtio-ports
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
hostname device
ip link set lo up
for port in /sys/class/virtio-ports/*; do
    ln -s "../${port##*/}" "/dev/virtio-ports/$(<"$port/name")"
done
ports=/dev/virtio-ports/virtme
setsid bash "/run/host$1/deploy/vm/device/guest.sh" \
    <$ports.stdin >$ports.stdout 2>$ports.stderr || true
echo b >/proc/sysrq-trigger
