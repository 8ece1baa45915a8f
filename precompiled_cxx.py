#!/usr/bin/env python3
"""Calls the C++ compiler $COMPILER with mmcv's common header, which includes torch's, precompiled.

install.py builds mmcv with this as the compiler. All of mmcv's files include the header and spend most of their time
parsing it. It is precompiled once per set of options, in the folder $PRECOMPILED. If that fails, or if the compiler
rejects the precompiled header, files are compiled without it.
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
    """Precompiles the header with the options of a call and returns the file to include, or None without a header."""
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
            include.write_text(f'#include "{header}"\n')  # Read if the compiler rejects the precompiled one.
            call = [*compiler, *options, '-x', 'c++-header', str(include), '-o', f'{include}.part']
            if subprocess.call(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
                os.replace(f'{include}.part', f'{include}.gch')
            tried.touch()
    return include


def main() -> None:
    """Runs the compiler with the arguments of the command line."""
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
