import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_a_folder_imports_from_those_below_it():
    """In the order of docs/design.md; the models load pretrained weights, the one exception."""
    folders = re.findall(r'^   (\w+)/ ', (ROOT / 'docs/design.md').read_text(), re.MULTILINE)
    packages = {path.parent.name for path in ROOT.glob('mmcontnet/*/__init__.py')}
    assert set(folders) == packages
    upwards = set()
    for position, folder in enumerate(folders):
        for path in (ROOT / 'mmcontnet' / folder).rglob('*.py'):
            imported = re.findall(r'^ *from \.{2,}(\w+)', path.read_text(), re.MULTILINE)
            upwards |= {(folder, name) for name in imported if name in folders[:position]}
    assert upwards == {('models', 'weights')}
