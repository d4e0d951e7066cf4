"""How long from the start of the process to the visible window, and how much memory it has then. Prints JSON.

python benchmarks/startup.py --starts 7 [--platform offscreen]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS = 60.0
LOOK_SECONDS = 0.002


def start_once(home: Path, qt_platform: str, settle_seconds: float) -> tuple[float, float, int, int]:
    """One start.

    Returns:
        Seconds to the visible window, the processor's seconds until then, resident bytes then, and resident bytes once it has settled
        on its first page.
    """
    ready = home / "ready"
    ready.unlink(missing_ok=True)
    environment = {**os.environ, "DESKTOP_FT_HOME": str(home), "DESKTOP_FT_READY_FILE": str(ready), "PYTHONPATH": str(ROOT)}
    if qt_platform:
        environment["QT_QPA_PLATFORM"] = qt_platform
    begin = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "desktop_ft"], env=environment, cwd=home)
    try:
        process = psutil.Process(child.pid)
        while not ready.exists():
            if child.poll() is not None or time.perf_counter() - begin > LIMIT_SECONDS:
                raise SystemExit(f"the window did not open; exit status {child.poll()}")
            time.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - begin
        at_first, times = process.memory_info().rss, process.cpu_times()
        time.sleep(settle_seconds)
        return seconds, times.user + times.system, at_first, process.memory_info().rss
    finally:
        child.terminate()
        child.wait(LIMIT_SECONDS)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=7, help="warm starts, after one that is not counted")
    parser.add_argument("--platform", default="", help="Qt platform, such as offscreen; else the system's own")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds until the memory is read again")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="desktop-ft-startup-") as folder:
        measured = [start_once(Path(folder), chosen.platform, chosen.settle) for _ in range(chosen.starts + 1)]
    seconds = sorted(one[0] for one in measured[1:])
    report = {
        "what": "seconds from the start of the process to the visible window, warm",
        "first_seconds": round(measured[0][0], 3),
        "seconds": [round(one, 3) for one in seconds],
        "median_seconds": round(statistics.median(seconds), 3),
        "max_seconds": round(seconds[-1], 3),
        "median_processor_seconds": round(statistics.median(one[1] for one in measured[1:]), 3),
        "rss_at_first_paint_mib": round(max(one[2] for one in measured) / 2**20),
        "rss_settled_mib": round(max(one[3] for one in measured) / 2**20),
        "machine": {"system": platform.platform(), "threads": psutil.cpu_count(), "python": platform.python_version()},
    }
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
