"""A test ends with its row of the published tables."""

from pathlib import Path
from typing import Dict, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...evaluation.results import COLUMNS, append_result, measured, render_results


@HOOKS.register_module()
class ResultsHook(Hook):
    """Prints what was measured beside what is published, and keeps it."""

    # After the hooks that log the metrics.
    priority = 'LOWEST'
    # File to which the measured row is added as a line of JSON. Set by tools/test.py: no path fits into KEY=VALUE.
    file: Optional[Path] = None

    def after_test_epoch(self, runner: Runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Prints and keeps the row."""
        if not is_main_process():
            return
        result = measured(runner.cfg.filename, runner.cfg.load_from, metrics or {})
        if not result.metrics:
            print(f'None of the published metrics was measured; expected one of {", ".join(COLUMNS)}')
            return
        print(f'\n{render_results([result])}\n')
        if self.file:
            append_result(self.file, result)
            print(f'Added to {self.file}; all rows as tables: python tools/render_results.py {self.file}')
