"""Time and memory of what is run, and what it is run on."""

import json
import platform
import re
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile


def name_device(device: str) -> str:
    """The name of the GPU or of the processor."""
    if device == 'cuda':
        return torch.cuda.get_device_name()
    names = re.findall(r'^model name\s*:\s*(.+)', Path('/proc/cpuinfo').read_text(), re.MULTILINE)
    return names[0] if names else platform.machine()


def name_dtype(dtype: torch.dtype) -> str:
    """The name of a type, such as ``'bfloat16'``."""
    return str(dtype).replace('torch.', '')


def measure_time(run: Callable[[], Any], device: str) -> float:
    """Seconds that a run takes on a device."""
    synchronize = getattr(torch, device).synchronize
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


def measure_memory(run: Callable[[], Any], device: str) -> int:
    """Bytes of tensors that a run holds at once at most, beyond those that were there before."""
    if device == 'cuda':
        torch.cuda.empty_cache()  # Tensors would count as large as the blocks of others that they are put into.
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, 'trace.json')
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())['traceEvents']
    # A positive number of bytes for each tensor that comes, a negative one for each that goes.
    changes = sorted((event['ts'], event['args']['Bytes']) for event in events if event['name'] == '[memory]')
    return int(np.cumsum([0] + [change for _, change in changes]).max())
