"""How long `import tonggan` and `tonggan --help` take, each in a fresh process: the best of several.

python benchmarks/startup.py
"""

import subprocess
import sys
import time


def main() -> None:
    for name, arguments in {
        "import tonggan": ["-c", "import tonggan"],
        "tonggan --help": ["-m", "tonggan", "--help"],
        "python alone": ["-c", ""],
    }.items():
        print(f"{name:16} {min(seconds_of(arguments) for _ in range(9)):.3f} s")


def seconds_of(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
