#!/bin/bash
# Runs a command in the guest that build.sh made: a webcam (vivid) at /dev/video0 and three
# virtual cameras (v4l2loopback) at /dev/video10, 11 and 12, named bshm-live, clip, second.
#   guest [-w FOLDER] [-t SECONDS] [-m MEMORY] COMMAND [ARGUMENT...]
# The machine's own files are the guest's, read-only; FOLDER (the current one unless given)
# can be written to. One core, no network but its own. The exit status is the command's;
# 124 when it took longer than SECONDS (300), 125 when the guest did not start.
set -u

kernel=$(cd "$(dirname "$0")" && pwd)
folder=$PWD seconds=300 memory=3G
while getopts w:t:m: option; do
    case $option in
        w) folder=$(cd "$OPTARG" && pwd) ;;
        t) seconds=$OPTARG ;;
        m) memory=$OPTARG ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { sed -n 's/^# \{0,1\}//p' "$0" >&2; exit 2; }

job=$(mktemp -d "$folder/.guest-XXXXXX") || exit 125
trap 'rm -rf "$job"' EXIT

# What the guest's first process does: file systems, modules, the command, power off.
{
    echo '#!/bin/bash'
    echo 'export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8'
    echo 'mount -t proc proc /proc'
    echo 'mount -t sysfs sysfs /sys'
    echo 'mount -t tmpfs tmpfs /run'
    echo 'mkdir -p /dev/shm /dev/pts /run/home /run/tmp'
    echo 'mount -t tmpfs tmpfs /dev/shm'
    echo 'mount -t devpts devpts /dev/pts'
    printf 'mount -t hostfs hostfs %q -o %q\n' "$folder" "$folder"
    echo 'export HOME=/run/home TMPDIR=/run/tmp'
    echo 'ip link set lo up'
    printf 'cd %q\n' "$kernel"
    for module in font v4l2-tpg videobuf2-common videobuf2-v4l2 videobuf2-memops \
        videobuf2-vmalloc videobuf2-dma-contig; do
        echo "[ ! -f $module.ko ] || insmod $module.ko"
    done
    echo 'insmod vivid.ko n_devs=1 node_types=0x1 num_inputs=1 input_types=0 vid_cap_nr=0' \
        "no_error_inj=${VIVID_NO_ERROR_INJ:-1}"
    echo 'insmod v4l2loopback.ko video_nr=10,11,12 card_label=bshm-live,clip,second' \
        'exclusive_caps=1,1,1'
    printf 'cd %q\n' "$PWD"
    for name in PATH PYTHONPATH VIRTUAL_ENV CI; do
        [ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
    done
    # A page fault is dear in user mode: freed memory is kept.
    echo 'export MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296'
    printf 'timeout -k 5 %q' "$seconds"
    printf ' %q' "$@"
    printf ' > %q 2>&1 < /dev/null\n' "$job/output"
    printf 'echo $? > %q\n' "$job/status"
    echo 'sync; echo o > /proc/sysrq-trigger; sleep 10'
} > "$job/init"
chmod +x "$job/init"
: > "$job/output"

tail -n +1 -f "$job/output" &
tail=$!
timeout -k 5 $((seconds + 30)) "$kernel/linux" "mem=$memory" root=/dev/root rootfstype=hostfs \
    rootflags=/ ro "init=$job/init" con=null con0=null,fd:1 quiet seccomp=on \
    < /dev/null > "$job/console" 2>&1
sleep 0.2
kill "$tail"
wait "$tail" 2> /dev/null
if [ ! -s "$job/status" ]; then
    echo "the guest did not run the command:" >&2
    tail -n 20 "$job/console" >&2
    exit 125
fi
exit "$(cat "$job/status")"
