"""Is v4l2loopback installed for this kernel, and will Secure Boot let it in?"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from .modprobe import MODULE
from .system import Step, System

SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
# Where DKMS (Debian, Arch), Ubuntu and Fedora's akmods keep the key they sign modules with.
KEYS = (
    "/var/lib/shim-signed/mok/MOK.der",
    "/var/lib/dkms/mok.pub",
    "/etc/pki/akmods/certs/public_key.der",
)
ENROL = "choose a password, restart, take `Enroll MOK` on the blue screen and type it there"


def installed(system: System) -> Step:
    """The module in this kernel's index, or loaded already by another way."""
    version = module_version(system)
    if _loaded(system) or _indexed(system):
        return Step(True, " ".join((MODULE, version, "is installed")).replace("  ", " "))
    no_headers = not system.path(f"/lib/modules/{system.release}/build").exists()
    if any(system.path("/usr/src").glob(f"{MODULE}-*")):
        reason = "; the kernel's headers are missing" if no_headers else ""
        text = f"{MODULE} is installed, but was not built for kernel {system.release}{reason}"
        return Step(False, text, by_hand=(_build_line(system, no_headers),))
    return Step(
        False, f"{MODULE} is not installed", by_hand=(install_line(system, headers=no_headers),)
    )


def _loaded(system: System) -> bool:
    return system.path(f"/sys/module/{MODULE}").exists()


def _indexed(system: System) -> bool:
    """Whether modprobe would find it; the index is what modprobe reads."""
    try:
        index = system.path(f"/lib/modules/{system.release}/modules.dep").read_text("utf-8")
    except OSError:
        return False
    return any(f"/{MODULE}.ko" in line.partition(":")[0] for line in index.splitlines())


def module_version(system: System) -> str:
    """Like 0.15.4; empty where nobody knows."""
    try:
        return system.path(f"/sys/module/{MODULE}/version").read_text().strip()
    except OSError:
        done = system.run(("modinfo", "-F", "version", MODULE))
        return done.text.strip() if done.code == 0 else ""


def install_line(system: System, *, headers: bool) -> str:
    """The line to type on this distribution; `headers`: the kernel's are needed, too."""
    release, family = system.release, _family(system)
    if family == "debian":
        more = f"linux-headers-{release} " if headers else ""
        return f"sudo apt install {more}{MODULE}-dkms"
    if family == "fedora":
        more = f"kernel-devel-{release} " if headers else ""
        return (
            f"sudo dnf install {more}akmod-{MODULE} {MODULE} "
            "(from RPM Fusion: https://rpmfusion.org/Configuration)"
        )
    if family == "arch":
        more = f"{_arch_kernel(system)}-headers " if headers else ""
        return f"sudo pacman -S {more}{MODULE}-dkms"
    return f"install the package {MODULE}-dkms or {MODULE} of your distribution"


def _build_line(system: System, no_headers: bool) -> str:
    install = install_line(system, headers=no_headers)
    return f"{install} && sudo dkms autoinstall" if no_headers else "sudo dkms autoinstall"


def _family(system: System) -> str:
    """debian, fedora, arch, or empty."""
    facts = _os_release(system)
    names = (facts.get("ID", ""), *facts.get("ID_LIKE", "").split())
    families = {"ubuntu": "debian", "rhel": "fedora", "manjaro": "arch"}
    found = (families.get(name, name) for name in names)
    return next((name for name in found if name in {"debian", "fedora", "arch"}), "")


def _os_release(system: System) -> Mapping[str, str]:
    for place in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            words = shlex.split(system.path(place).read_text("utf-8"), comments=True)
        except (OSError, ValueError):
            continue
        return dict(word.split("=", 1) for word in words if "=" in word)
    return {}


def _arch_kernel(system: System) -> str:
    """linux, linux-lts, linux-zen ...: what the headers are named after."""
    try:
        return system.path(f"/lib/modules/{system.release}/pkgbase").read_text().strip()
    except OSError:
        return "linux"


def secure_boot(system: System) -> Step:
    """Whether the kernel will take a module that was built on this machine."""
    if not _secure_boot_on(system):
        return Step(True, "Secure Boot is off")
    if _loaded(system):
        return Step(True, f"Secure Boot is on, and the kernel has taken {MODULE}")
    if not _indexed(system):
        note = "its installation asks for a password that the next start asks for again"
        return Step(True, f"Secure Boot is on: {MODULE} must be signed; {note} (Enroll MOK)")
    key = next((key for key in KEYS if system.path(key).exists()), None)
    signer = system.run(("modinfo", "-F", "signer", MODULE))
    if signer.code == 0 and not signer.text.strip():
        return Step(False, f"Secure Boot is on, and {MODULE} is not signed", by_hand=_sign(system))
    if key and "already enrolled" in system.run(("mokutil", "--test-key", key)).text:
        return Step(True, f"Secure Boot is on, and knows the key of {MODULE}")
    return Step(
        False,
        f"Secure Boot is on, and does not know the key that {MODULE} is signed with",
        by_hand=(f"sudo mokutil --import {key or KEYS[1]}", ENROL),
    )


def _secure_boot_on(system: System) -> bool:
    """shim's answer, which knows more than the firmware's variable."""
    done = system.run(("mokutil", "--sb-state"))
    if done.code == 0 and "SecureBoot" in done.text:
        return "SecureBoot enabled" in done.text and "validation is disabled" not in done.text
    try:
        return system.path(SECURE_BOOT).read_bytes()[-1:] == b"\1"  # the first four are attributes
    except OSError:  # no EFI
        return False


def _sign(system: System) -> tuple[str, ...]:
    version = module_version(system)
    name = f"{MODULE}/{version}" if version else MODULE
    key = next((key for key in KEYS if system.path(key).exists()), KEYS[1])
    return (
        f"sudo dkms build --force {name} && sudo dkms install --force {name} (DKMS 3 signs)",
        f"sudo mokutil --import {key}",
        ENROL,
    )
