"""Runs commands in this process, which takes no time for imports."""

import contextlib
import gc
import io
import multiprocessing
import runpy
import sys
from unittest.mock import patch

from conftest import ROOT
from mmengine.visualization import Visualizer


def run_tool(script, *arguments, status=0):
    """What a command prints to stdout and to stderr; it must end with the status."""
    stdout, stderr = io.StringIO(), io.StringIO()
    ended_with = 0
    argv = list(map(str, [script, *arguments]))
    with patch.object(sys, 'argv', argv), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            runpy.run_path(str(ROOT / script), run_name='__main__')
        except SystemExit as error:
            ended_with = error.code or 0
            if isinstance(ended_with, str):  # Python prints it and ends with 1.
                stderr.write(f'{ended_with}\n')
                ended_with = 1
        finally:
            _end_as_a_process()
    assert ended_with == status, f'{ended_with}\n{stdout.getvalue()[-1000:]}\n{stderr.getvalue()[-3000:]}'
    return stdout.getvalue(), stderr.getvalue()


def _end_as_a_process():
    """Leaves nothing that a new process would not find."""
    workers = multiprocessing.active_children()
    for worker in workers:  # Torch would wait up to 5 seconds for each.
        worker.terminate()
    if workers:
        gc.collect()  # Their queues are closed now, not during the next command.
    for kind in (Visualizer, *Visualizer.__subclasses__()):  # Hooks take the last one, of whatever toolbox.
        kind._instance_dict.clear()
