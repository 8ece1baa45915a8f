"""Makes mmpretrain importable: it stands apart from the other packages, see install.py, as may do its torchvision."""

import os
import runpy
import sys

from conftest import ROOT

from install import FOR_TESTS

sys.path.append(str(FOR_TESTS))
PATHS = [FOR_TESTS]
try:
    import torchvision  # noqa: F401
except RuntimeError:  # It was built for another torch.
    PATHS.append(ROOT / 'tests/torchvision_operators')
    runpy.run_path(str(PATHS[-1] / 'sitecustomize.py'))
# For commands.
ENV = dict(PYTHONPATH=os.pathsep.join([*map(str, PATHS), os.environ.get('PYTHONPATH', '')]))
