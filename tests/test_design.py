import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def imports_of(folder):
    """The folders and modules of the package that the files of a folder import, by relative imports."""
    files = (ROOT / 'mmcontnet' / folder).rglob('*.py')
    pattern = r'^ *from \.{2,}(\w*)(?: import (\w+))?'
    return {name or module for path in files for name, module in re.findall(pattern, path.read_text(), re.MULTILINE)}


def test_models_and_operators_stand_by_themselves():
    assert imports_of('ops') == set()
    assert imports_of('models') == {'ops', 'weights'}


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
