"""Makes a virtual environment for each version of DTM's Python client, unless it is there already.

    python3 environment.py DIRECTORY [VERSION]...

Needs Python 3 with `venv`, and PyPI for what is not there yet. Everything that is installed is pinned.
"""

import fcntl
import pathlib
import subprocess
import sys
import venv

VERSIONS = ["0.2.1", "1.5.1.0", "1.7.7.0"]
DEPENDENCIES = pathlib.Path(__file__).with_name("dependencies.txt").read_text()


def make(directory, version):
    home = directory / version
    # Another interpreter needs another environment, as other packages do.
    wanted = f"# {sys.executable} {sys.version}\ndtmcli=={version}\n{DEPENDENCIES}"
    done = home / "installed.txt"
    if done.exists() and done.read_text() == wanted:
        return
    venv.create(home, clear=True, with_pip=True)
    requirements = home / "requirements.txt"
    requirements.write_text(wanted)
    pip = [home / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--requirement", requirements], check=True)
    # Last: an environment that was left half made is made again.
    requirements.rename(done)


def main():
    directory = pathlib.Path(sys.argv[1]).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    for version in sys.argv[2:] or VERSIONS:
        with open(directory / f"{version}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            make(directory, version)


main()
