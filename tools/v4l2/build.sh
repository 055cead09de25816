#!/bin/bash
# Builds a small Linux guest that has a webcam and virtual cameras: a User-Mode Linux
# kernel and its modules, from Debian's source packages. Nothing is installed on the
# machine, no root is needed, and no KVM.
#   tools/v4l2/build.sh [FOLDER]   FOLDER (default: ./guest-kernel) gets linux, *.ko and guest
# Needs: gcc make flex bison bc perl kmod xz-utils cpio, 3 GB of disk, 20 minutes of one core.
# Also builds the v4l2loopback of Debian 12 (0.12.7), as v4l2loopback-0.12.ko.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
target=$(mkdir -p "${1:-guest-kernel}" && cd "${1:-guest-kernel}" && pwd)
work=${WORK:-$target/build}
jobs=${JOBS:-$(nproc)}
mirror=${MIRROR:-http://deb.debian.org/debian}

for tool in gcc make flex bison bc perl xz; do
    command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done

# A package state of our own: the machine's is neither read nor changed.
private_apt() {
    mkdir -p "$work"/apt/{lists/partial,cache/archives/partial} "$work/debs"
    : > "$work/apt/status"
    printf 'deb %s %s main\n' \
        "$mirror" bookworm "$mirror" trixie-backports "$mirror" sid > "$work/apt/sources.list"
    cat > "$work/apt/apt.conf" << CONF
Dir::Etc::SourceList "$work/apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$work/apt/lists";
Dir::State::Status "$work/apt/status";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
CONF
    export APT_CONFIG=$work/apt/apt.conf
    apt-get update -q
}

fetch() {
    # The newest kernel there is; user mode needs 6.16 for its seccomp mode, which is fast.
    kernel=${KERNEL:-$(apt-cache search --names-only '^linux-source-[0-9.]+$' |
        cut -d' ' -f1 | sort -V | tail -1)}
    (cd "$work/debs" && apt-get download -q "$kernel" v4l2loopback-dkms/sid)
    (cd "$work/debs" && apt-get download -q v4l2loopback-dkms/bookworm)
    for package in "$work"/debs/*.deb; do
        dpkg-deb -x "$package" "$work/unpacked"
    done
    mkdir -p "$work/kernel"
    tar -xJf "$work"/unpacked/usr/src/"$kernel".tar.xz -C "$work/kernel" --strip-components=1
}

# What the guest needs beyond the defaults of a User-Mode Linux; vivid asks for DMA, and
# in user mode that comes with PCI.
configure() {
    cd "$work/kernel"
    make -s ARCH=um defconfig
    local option
    for option in MODULES MODULE_UNLOAD MODULE_FORCE_UNLOAD HOSTFS TMPFS DEVTMPFS \
        DEVTMPFS_MOUNT HIGH_RES_TIMERS USER_NS VIRTIO_UML UML_PCI_OVER_VIRTIO \
        MEDIA_SUPPORT VIDEO_DEV MEDIA_TEST_SUPPORT V4L_TEST_DRIVERS DEBUG_INFO_NONE; do
        scripts/config --enable "$option"
    done
    scripts/config --module VIDEO_VIVID --set-val UML_PCI_OVER_VIRTIO_DEVICE_ID 1234 \
        --set-str LOCALVERSION -guest --disable LOCALVERSION_AUTO
    for option in MEDIA_SUPPORT_FILTER MEDIA_SUBDRV_AUTOSELECT UML_TIME_TRAVEL_SUPPORT \
        SOUND UML_SOUND BTRFS_FS EXT4_FS REISERFS_FS ISO9660_FS QUOTA AUTOFS_FS DVB_CORE \
        RC_CORE RADIO_ADAPTERS MEDIA_PLATFORM_DRIVERS FB NETDEVICES WIRELESS HID_SUPPORT \
        USB_SUPPORT HWMON INPUT SERIO VT PTP_1588_CLOCK CGROUPS IO_URING BLK_DEV_LOOP \
        BLK_DEV_NBD EFI_PARTITION; do
        scripts/config --disable "$option"
    done
    make -s ARCH=um olddefconfig
    grep -q '^CONFIG_VIDEO_VIVID=m' .config || { echo "this kernel has no vivid" >&2; exit 1; }
}

# v4l2loopback 0.12 in the words of today's kernel; what it does stays as it was.
translate() {
    sed -i -e 's/strlcpy/strscpy/; s/del_timer_sync/timer_delete_sync/' \
        -e 's/from_timer/timer_container_of/; s/fh_to_opener(fh)/fh_to_opener(file->private_data)/' \
        -e 's/\(v4l2_fh_add\|v4l2_fh_del\)(&opener->fh)/\1(\&opener->fh, file)/' "$1"
}

build() {
    make -s ARCH=um -j"$jobs" linux modules
    local source
    for source in "$work"/unpacked/usr/src/v4l2loopback-*; do
        case $source in *-0.12.*) translate "$source/v4l2loopback.c" ;; esac
        make -s ARCH=um M="$source" modules
        case $source in
            *-0.12.*) cp "$source/v4l2loopback.ko" "$target/v4l2loopback-0.12.ko" ;;
            *) cp "$source/v4l2loopback.ko" "$target/v4l2loopback.ko" ;;
        esac
    done
    cp linux "$target/linux"
    find . -name '*.ko' ! -name binfmt_misc.ko -exec cp {} "$target/" \;
    strip -s "$target/linux"
    strip -g "$target"/*.ko
    cp "$here/guest.sh" "$target/guest"
}

private_apt
fetch
configure
build
echo "built: $target"
