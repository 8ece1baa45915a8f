"""Keeping freed memory, which makes processes on a CPU faster."""

import os
import platform
import sys

# With these variables a process keeps freed memory instead of returning it to the system, which can take half the time.
KEEP = {'MALLOC_MMAP_MAX_': '0', 'MALLOC_TRIM_THRESHOLD_': '17179869184'}


def is_kept() -> bool:
    """Whether this process keeps freed memory, by :data:`KEEP` or because its allocator is not glibc's."""
    allocator = os.environ.get('LD_PRELOAD', '')
    return (
        platform.libc_ver()[0] != 'glibc'
        or set(KEEP) <= set(os.environ)
        or any(name in allocator for name in ('jemalloc', 'tcmalloc', 'mimalloc'))
    )


def advise() -> None:
    """Prints to stderr how to keep freed memory, unless it is kept; only in the first process of a run."""
    if not is_kept() and os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0':
        variables = ' '.join(f'{name}={value}' for name, value in KEEP.items())
        print(f'Tip: prefix the command with {variables} to run faster on a CPU', file=sys.stderr)
