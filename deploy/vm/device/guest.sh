#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# The guest's end of deploy/vm/run. virtme's init runs it as root, with the control
# port as stdin and the stdout and stderr ports as those. What it shall do comes as
# NUL-terminated words: "mount TAG DIR", "forward", "cd DIR", "env NAME=VALUE", "arg WORD",
# "go"; after that, lines with names of signals. What it has to tell goes to the status port:
# "started", "beat", "note TEXT", "fail TEXT", "status N".
set -u

ports=/dev/virtio-ports
if [[ ! -e $ports/virtme.ret ]]; then
    echo "device: no virtio ports in the guest"
    exit 1
fi
exec 3<&0 0</dev/null 4>"$ports/virtme.ret"
# Memory pressure is part of the job: it must not end the one who reports it.
echo -1000 >/proc/self/oom_score_adj

# virtme points these at ports that one process at a time can open.
for n in 0:stdin 1:stdout 2:stderr; do
    ln -sfn "/proc/self/fd/${n%:*}" "/dev/${n#*:}"
done
[[ -e /dev/fd ]] || ln -s /proc/self/fd /dev/fd

# A read-only view of the host's files before anything hides them: it is cached, while a
# share is not, so that host and guest see each other's writes at once. init.sh has made one.
present() {
    grep -q " $1 " /proc/mounts
}
mkdir -p /run/host
present /run/host || mount --bind / /run/host
mount -t tmpfs -o mode=1777 tmpfs /tmp
present /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
present /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
present /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf 2>/dev/null

fail() {
    echo "fail $*" >&4
    exit 1
}

share() { # TAG DIR
    mkdir -p "$2"
    mount -t 9p -o \
        version=9p2000.L,trans=virtio,access=any,cache=mmap,msize=524288 "$1" "$2" ||
        fail "cannot mount $2: the kernel needs 9P_FS and NET_9P_VIRTIO"
    # The interpreter's packages and the project's own code do not change: take the cached ones.
    [[ -e $2/deploy/vm/device/guest.sh ]] || return 0
    local part from
    for part in .venv cmaobs probes tests; do
        from=/run/host$2/$part
        [[ $part != .venv || ! -d $from-$(uname -m) ]] || from+=-$(uname -m)
        [[ ! -d $from ]] || mount --bind "$from" "$2/$part"
    done
}

network() {
    local path name
    for path in /sys/class/net/*; do
        name=${path##*/}
        [[ $name == lo ]] && continue
        ip link set "$name" up && ip addr add 10.0.2.15/24 dev "$name" && return
    done
    fail "no network device for --forward: the kernel needs VIRTIO_NET"
}

clock=$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource 2>/dev/null)
case $clock in
    *jiffies* | '')
        echo "note the guest's clock is ${clock:-unknown}: times below a tick (1 to 10 ms) read 0" >&4
        ;;
esac

argv=() environment=()
while IFS= read -r -d '' -u 3 word; do
    rest=${word#* }
    case $word in
        mount\ *) share "${rest%% *}" "${rest#* }" ;;
        forward) network ;;
        cd\ *) cd -- "$rest" || fail "cannot enter $rest" ;;
        env\ *) environment+=("$rest") ;;
        arg\ *) argv+=("$rest") ;;
        go) break ;;
    esac
done

# The command gets pipes, so that it can reopen /dev/stdout as everywhere else.
exec 5> >(exec cat)
out=$!
exec 6> >(exec cat >&2)
err=$!

echo started >&4
set -m # a process group of its own, and SIGINT not ignored
(
    echo 0 >/proc/self/oom_score_adj
    exec 3<&- 4>&-
    exec env -i "${environment[@]}" "${argv[@]}" >&5 2>&6 5>&- 6>&-
) &
pid=$!
set +m
exec 5>&- 6>&-

(
    while :; do
        if IFS= read -r -t 10 -u 3 signal; then
            kill -s "$signal" -- "-$pid" 2>/dev/null
        fi
        echo beat >&4
    done
) 2>/dev/null &
watcher=$!

wait "$pid"
status=$?

kill "$watcher"
kill -KILL -- "-$pid" 2>/dev/null
(
    sleep 2 # for what a daemon of the command still has to say
    kill "$out" "$err"
) 2>/dev/null &
wait "$out" "$err"
sync
echo "status $status" >&4
# QEMU ends at a reboot; a kernel without ACPI could not turn the machine off.
echo b >/proc/sysrq-trigger
exit "$status"
