"""How a process on a CPU gets the memory of its tensors from glibc."""

import os
import platform
import sys

# Half of the time on a CPU can go into handing memory back and forth; with these variables a process keeps it.
KEEP = {'MALLOC_MMAP_MAX_': '0', 'MALLOC_TRIM_THRESHOLD_': '17179869184'}


def is_kept() -> bool:
    """Whether this process keeps its memory, by :data:`KEEP` or by another allocator than glibc's."""
    allocator = os.environ.get('LD_PRELOAD', '')
    return (
        platform.libc_ver()[0] != 'glibc'
        or set(KEEP) <= set(os.environ)
        or any(name in allocator for name in ('jemalloc', 'tcmalloc', 'mimalloc'))
    )


def advise() -> None:
    """Prints how to keep memory, where it is not kept, to stderr; once for all processes of a run."""
    if not is_kept() and os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0':
        variables = ' '.join(f'{name}={value}' for name, value in KEEP.items())
        print(f'On a CPU this is faster with {variables} before the command (docs/performance.md)', file=sys.stderr)
