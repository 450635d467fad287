# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by build and check: the source tree with a series applied, and its configuration.

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
root=$(readlink -f -- "$here/../..")
# shellcheck disable=SC2034 # build and check use it
store=$root/build/kernel
# Images outlive a checkout: 11 MB each.
# shellcheck disable=SC2034
images=${CMAOBS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cmaobs/kernel}

die() { # MESSAGE REMEDY
    echo "error: $1" >&2
    echo "  remedy: $2" >&2
    exit 2
}

say() {
    echo "kernel: $*" >&2
}

sources() {
    sed '/^#/d; s/ .*//' "$here/matrix"
}

# Sets what the matrix says of a source: version, package, its series and flavours. suffix keeps
# what is built of it apart from what is built of the default. And of an architecture: how make
# is called for it, and its image.
# shellcheck disable=SC2034
choose() { # SOURCE [ARCH]
    local names=()
    mapfile -t names < <(sources)
    version=''
    read -r version package series_known flavours_known \
        < <(awk -v name="$1" '$1 == name' "$here/matrix") || true
    [[ $version ]] || die "--source $1: no such source" "one of: ${names[*]}"
    tarball=/usr/src/$package.tar.xz
    suffix=
    [[ $version == "${names[0]}" ]] || suffix=-$version
    arch=${2:-x86_64}
    case $arch in
        x86_64) prefix='' image=arch/x86/boot/bzImage kbuild=(ARCH=x86_64) ;;
        arm64)
            prefix=aarch64-linux-gnu- image=arch/arm64/boot/Image suffix+=-arm64
            kbuild=(ARCH=arm64 CROSS_COMPILE="$prefix")
            ;;
        *) die "--arch $arch: no such architecture" "one of: x86_64, arm64" ;;
    esac
}

listed() { # WORD COMMA-SEPARATED
    [[ ,$2, == *,$1,* ]]
}

# The whole of what is missing, in one line to copy.
need_packages() {
    local missing=() pair
    for pair in make:make gcc:gcc ld:binutils flex:flex bison:bison bc:bc perl:perl xz:xz-utils \
        patch:patch cpio:cpio rsync:rsync pahole:dwarves flock:util-linux; do
        type -P "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [[ -z $prefix ]] || type -P "${prefix}gcc" >/dev/null || missing+=("gcc-${prefix%-}")
    [[ -e /usr/include/gelf.h || -e /usr/include/libelf.h ]] || missing+=(libelf-dev)
    [[ -e /usr/include/openssl/opensslv.h ]] || missing+=(libssl-dev)
    [[ -e $tarball ]] || missing+=("$package")
    [[ ${#missing[@]} -eq 0 ]] ||
        die "what builds the kernel is missing: ${missing[*]}" "apt-get install ${missing[*]}"
}

source_version() {
    dpkg-query -W -f '${Version}' "$package" 2>/dev/null ||
        sha256sum "$tarball" | cut -c1-16
}

# The patches of a series, in order. "none" has none; "defects" has all.
patches_of() {
    case $1 in
        none) ;;
        defects) patches_of "$version" && ls "$here/defects-$version"/*.patch ;;
        *) ls "$here/series-$1"/*.patch "$here/test-only-$1"/*.patch ;;
    esac
}

# The configuration's fragments for a series and a flavour.
fragments_of() {
    echo "$here/config"
    [[ ! -f $here/config-$version ]] || echo "$here/config-$version"
    [[ ! -f $here/config.$arch ]] || echo "$here/config.$arch"
    [[ $1 == none ]] || echo "$here/test-only-$version/config"
    [[ $2 == lean ]] || echo "$here/config.$2"
}

# Without what no build for the architecture reads, a third of the source. Kconfig reads
# arch/*/crypto and arch/x86/ras, and fs/hostfs/Makefile of 6.12 a part of arch/um/scripts.
unpack() { # TREE
    local others=("$package/arch/[!xKu]*/[!c]*")
    [[ $arch != arm64 ]] ||
        others=("$package"/arch/{'[!axKu]*/[!c]*','x*/[!cr]*',alpha,arc,'arm/[!c]*'}
            "$package/arch/arm64/boot/dts/*/*")
    say "unpacking $(basename "$tarball")"
    rm -rf "$1" "$1.new"
    mkdir -p "$1.new"
    tar -xJf "$tarball" -C "$1.new" --strip-components=1 --anchored \
        --no-wildcards-match-slash "${others[@]/#/--exclude=}" \
        --exclude="$package/arch/um/[!cs]*" \
        --exclude="$package/drivers/gpu/drm/amd/include" \
        --exclude="$package/Documentation/translations" \
        --exclude="$package/Documentation/devicetree/bindings/*/*" \
        --exclude="$package/tools/testing/selftests"
    mkdir "$1.new/.series"
    source_version >"$1.new/.series/source"
    mv -T "$1.new" "$1"
}

# Leaves a tree that holds exactly this series, and touches only what has to change, so that
# make rebuilds no more. A tree that was left in between is unpacked again.
prepare() { # TREE SERIES
    local tree=$1 patch name applied number=10
    if [[ ! -e $tree/.series/source || $(<"$tree/.series/source") != "$(source_version)" ]] ||
        [[ -e $tree/.series/busy ]]; then
        unpack "$tree"
    fi
    applied=$(find "$tree/.series" -name '*.patch' | sort | xargs -r cat | sha256sum)
    [[ $applied != "$(patches_of "$2" | xargs -r cat | sha256sum)" ]] || return 0
    : >"$tree/.series/busy"
    for patch in $(find "$tree/.series" -name '*.patch' | sort -r); do
        patch -d "$tree" -R -p1 -s --no-backup-if-mismatch <"$patch" >&2
        rm "$patch"
    done
    for patch in $(patches_of "$2"); do
        name=$((number++))-$(basename "$(dirname "$patch")")-$(basename "$patch")
        patch -d "$tree" -p1 -s --no-backup-if-mismatch <"$patch" >&2 ||
            die "$name does not apply to $package $(source_version)" \
                "install the version that the series was made for, or refresh the series"
        cp "$patch" "$tree/.series/$name"
    done
    rm "$tree/.series/busy"
}

# Of two lines for one option the later counts.
configure() { # TREE FRAGMENT...
    local tree=$1 line dropped=()
    shift
    cat "$@" | tac | awk -F= '!/^CONFIG_/ || !seen[$1]++' | tac >"$tree/.series/fragment"
    make -C "$tree" "${kbuild[@]}" KCONFIG_ALLCONFIG="$tree/.series/fragment" allnoconfig \
        >"$tree/.series/config.log" 2>&1 ||
        { tail -n 20 "$tree/.series/config.log" >&2; die "Kconfig failed" "read the lines above"; }
    while IFS= read -r line; do
        case $line in
            CONFIG_*=n) grep -q "^${line%=n}=" "$tree/.config" && dropped+=("$line") ;;
            CONFIG_*) grep -qxF -- "$line" "$tree/.config" || dropped+=("$line") ;;
        esac
    done <"$tree/.series/fragment"
    [[ ${#dropped[@]} -eq 0 ]] ||
        die "Kconfig did not take: ${dropped[*]}" "add what these depend on to $1, or leave them out"
}
