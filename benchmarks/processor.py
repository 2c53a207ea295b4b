"""Which processor a run was on."""

import platform
from pathlib import Path


def processor() -> str:
    """The processor's name, vendor and widest vectors, from /proc/cpuinfo where there is one."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    rows: dict[str, str] = {}
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        rows[key.strip()] = value.strip()
    widest = next((w for w in ("avx512f", "avx2") if w in rows.get("flags", "").split()), "no AVX2")
    known = [rows.get(key, "?") for key in ("vendor_id", "cpu family", "model")]
    made = "{} family {} model {}".format(*known)
    return f"{rows.get('model name', platform.machine())} ({made}; {widest})"
