"""Builds the C++ operators; all else is in setup.cfg.

They are left out where torch cannot be imported, as in pip's isolated builds, and where the compiler fails. The package
then computes by torch's own operators.
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
        optional=True,
    )
    # Without ninja, whose failures setuptools does not know. The file of another torch must not stay: force.
    build = BuildExtension.with_options(use_ninja=False, force=True)
    return dict(ext_modules=[module], cmdclass=dict(build_ext=build))


setup(**extension())
