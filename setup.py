"""Builds the C++ operators; everything else is in setup.cfg.

They are skipped if torch cannot be imported, as in pip's isolated builds, or if compilation fails. The package then
uses torch's own operators.
"""

from glob import glob
from typing import Any, Dict

from setuptools import setup


def extension() -> Dict[str, Any]:
    """The arguments of ``setup`` that build the operators."""
    try:
        from torch.utils.cpp_extension import BuildExtension, CppExtension
    except ImportError:
        return {}
    module = CppExtension(
        'mmcontnet.ops._C',
        sorted(glob('mmcontnet/ops/csrc/*.cpp')),
        depends=glob('mmcontnet/ops/csrc/*.h'),
        extra_compile_args=['-O3', '-g0', '-fopenmp', '-Wno-psabi'],
        extra_link_args=['-fopenmp'],  # clang has a library of its own for it.
        optional=True,
    )
    # Not with ninja: setuptools could not ignore its failures. Always, since the last build may be for another torch.
    build = BuildExtension.with_options(use_ninja=False, force=True)
    return dict(ext_modules=[module], cmdclass=dict(build_ext=build))


setup(**extension())
