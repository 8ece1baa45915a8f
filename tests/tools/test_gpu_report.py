"""tools/gpu_report.py on a CPU, and its tables in the documentation."""

import json

import pytest
from conftest import ROOT
from tool_runner import run_tool

from mmcontnet.evaluation.gpu_tables import render_report


@pytest.mark.slow
def test_report(tmp_path):
    out = tmp_path / 'gpu.json'
    options = ['--device', 'cpu', '--quick', '--rounds', '1', '--models', 'contti']
    printed, _ = run_tool('tools/gpu_report.py', *options, '--out', out)
    report = json.loads(out.read_text())
    assert printed.strip() == render_report(report)
    assert not report['failures'] and all(row['holds'] for row in report['equality'])
    assert {(row['model'], row['step']) for row in report['times']} == {
        (model, step) for model in ('r50', 'contti') for step in ('inference', 'training')
    }


def test_documented_tables():
    report = json.loads((ROOT / 'docs' / 'gpu.json').read_text())
    assert render_report(report) in (ROOT / 'docs' / 'performance.md').read_text()
