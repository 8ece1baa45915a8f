"""A backbone as it is in another commit of this project, run in a process of its own."""

import inspect
import json
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, Sequence

ROOT = Path(__file__).resolve().parents[2]


class Baseline:
    """A backbone of another commit.

    Args:
        cfg (dict): Its config.
        commit (str): Commit, branch or tag of the repository that this file is in.

    Raises:
        ValueError: There is no such commit.
    """

    def __init__(self, cfg: Dict[str, Any], commit: str) -> None:
        if commit.startswith('-'):  # Git would take it for an option.
            raise ValueError(f'there is no commit {commit!r} in {ROOT}')
        archive = subprocess.run(['git', 'archive', commit, 'mmcontnet'], cwd=ROOT, capture_output=True)
        if archive.returncode:
            raise ValueError(f'there is no commit {commit!r} in {ROOT}: {archive.stderr.decode().strip()}')
        self.cfg = cfg
        self.folder = TemporaryDirectory()
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
            files.extractall(self.folder.name)
        # In the folder Python finds the package of that commit first.
        self.process = subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-c', f'{inspect.getsource(serve)}\nserve()'],
            cwd=self.folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def prepare(self, shape: Sequence[int], **mode: Any) -> None:
        """Builds the model and random images of a shape.

        Args:
            shape (Sequence[int]): (B, 3, H, W).
            mode: ``device``, ``dtype``, ``train``, ``compile`` and ``channels_last``.
        """
        self._ask(dict(mode, cfg=self.cfg, shape=shape))

    def run(self) -> bool:
        """Runs a step, and returns whether all outputs are finite."""
        return self._ask({})

    def _ask(self, question: Dict[str, Any]) -> Any:
        self.process.stdin.write(f'{json.dumps(question)}\n')
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith('answer '):
                return json.loads(line[len('answer ') :])
        raise ValueError('the network of another commit cannot be run; see its output above')


def serve() -> None:
    """Answers :class:`Baseline`; runs in an interpreter that knows nothing of this file."""
    import json
    import sys

    import torch
    from mmengine.registry import MODELS

    import mmcontnet  # noqa: F401 (registers the backbone)

    for line in sys.stdin:
        question = json.loads(line)
        if question:
            device, dtype, train = question['device'], getattr(torch, question['dtype']), question['train']
            layout = torch.channels_last if question['channels_last'] else torch.contiguous_format
            model = MODELS.build(question['cfg']).to(device, memory_format=layout).train(train)
            images = torch.rand(question['shape'], device=device).to(memory_format=layout)
            forward = torch.compile(model, dynamic=False) if question['compile'] else model
            finite = True
        else:
            autocast = torch.autocast(device, dtype, enabled=dtype != torch.float32)
            with torch.set_grad_enabled(train), autocast:
                outputs = forward(images)
            if train:
                sum(output.mean(dtype=torch.float32) for output in outputs).backward()
                model.zero_grad()
            finite = all(bool(output.isfinite().all()) for output in outputs)
        print('answer', json.dumps(finite), flush=True)
