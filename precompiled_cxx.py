#!/usr/bin/env python3
"""The C++ compiler in $COMPILER, which reads mmcv's common header, and torch's with it, already compiled.

install.py puts this in the place of the compiler while it builds mmcv. All of its files include this header, and take
most of their time to read it. It is compiled once for each set of options, into the folder $PRECOMPILED. Where that
fails, or where the compiler refuses what it made, files are compiled as they would be without.
"""

import fcntl
import hashlib
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import List, Optional

HEADER = 'pytorch_cpp_helper.hpp'


def precompile(compiler: List[str], arguments: List[str], folder: Path) -> Optional[Path]:
    """Compiles the header by the options of a call; returns what to include, or None where there is no header."""
    headers = [Path(argument[2:], HEADER) for argument in arguments if argument.startswith('-I')]
    header = next((path.resolve() for path in headers if path.is_file()), None)
    if header is None:
        return None
    options, rest = [], iter(arguments)
    for argument in rest:
        if argument in ('-o', '-MF'):
            next(rest)
        elif argument not in ('-c', '-MMD') and not argument.endswith('.cpp'):
            options.append(argument)
    folder = folder / hashlib.sha256('\0'.join([*compiler, *options]).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    include, tried = folder / HEADER, folder / 'tried'
    with (folder / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Files are compiled side by side.
        if not tried.exists():
            include.write_text(f'#include "{header}"\n')  # What the compiler reads where it refuses the compiled one.
            call = [*compiler, *options, '-x', 'c++-header', str(include), '-o', f'{include}.part']
            if subprocess.call(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
                os.replace(f'{include}.part', f'{include}.gch')
            tried.touch()
    return include


def main() -> None:
    """Compiles what the command line says."""
    compiler, arguments = shlex.split(os.environ['COMPILER']), sys.argv[1:]
    if '-c' in arguments and any(argument.endswith('.cpp') for argument in arguments):
        include = precompile(compiler, arguments, Path(os.environ['PRECOMPILED']))
        if include and not subprocess.call(
            [*compiler, '-include', str(include), *arguments], stderr=subprocess.DEVNULL
        ):
            return
    os.execvp(compiler[0], [*compiler, *arguments])


if __name__ == '__main__':
    main()
