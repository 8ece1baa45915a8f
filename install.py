"""Installs mmcontnet with OpenMMLab's toolboxes into the Python environment that runs this script.

    python install.py                # what is missing; what is there, a torch of your own for instance, is kept
    python install.py --stack onedl  # with OneDL's distributions of the toolboxes, which continue OpenMMLab's
    python install.py --imagenet     # with MMPretrain, for training on ImageNet
    python install.py --dev          # with what the tests need

mmcv publishes no binaries for recent versions of torch, so it is compiled here, with its operators and against the
torch found: for a GPU where that torch is a CUDA build, which takes CUDA's compiler nvcc. Versions come from the
stack's file in constraints/.
"""

import argparse
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Dict, List, NamedTuple, NoReturn, Optional

ROOT = Path(__file__).resolve().parent
# By its path: the package cannot be imported before mmengine is installed.
stacks = SimpleNamespace(**runpy.run_path(str(ROOT / 'mmcontnet/stacks.py')))
TOOLBOXES = ['mmengine', 'mmdet', 'mmseg']
TOOLBOXES_NEED = ['pycocotools', 'cityscapesscripts', 'ftfy', 'regex']
# What mim imports. Its own list adds opendatalab, which it does not import and which needs an ancient setuptools.
MIM_NEEDS = ['click', 'colorama', 'model-index', 'pandas', 'pip', 'requests', 'rich', 'tabulate']
# What mmpretrain imports besides.
MMPRETRAIN_NEEDS = ['einops', 'importlib-metadata', 'mat4py']
FOR_TESTS = Path(sys.prefix, 'mmcontnet-tests')
TESTS = r'(site|dist)-packages/.*/tests/'  # The packages' own tests, a fifth of what is installed.
WHEEL = 'wheel'  # The folder of a compiled mmcv.

FIND_TORCH = "from importlib.metadata import version; print(version('torch'))"
READ_TORCH = """
from importlib.metadata import version
import torch
from torch.utils.cpp_extension import CUDA_HOME
# The version that pip knows: torch's own adds the CUDA version to PyPI's builds.
print(version('torch'), torch.version.cuda or '', int(torch.cuda.is_available()), CUDA_HOME or '', sep='|')
"""
READ_OPS = 'import mmcv.ops; print(mmcv.__version__, mmcv.ops.get_compiling_cuda_version(), sep="|")'
READ_REQUIREMENTS = 'from mmcontnet.toolboxes import mmpretrain_requirements as read; print(*read(), sep="|")'
READ_MMPRETRAIN = 'import mmpretrain.models; print(mmpretrain.__version__)'
VERIFY = """
import mmcv.ops, mmdet, mmseg, mmcontnet, torch
from mmcontnet.ops.extension import MISSING
boxes = torch.tensor([[0., 0., 10., 10.], [1., 1., 10., 10.], [20., 20., 30., 30.]])
kept = mmcv.ops.nms(boxes, torch.tensor([0.8, 0.9, 0.7]), iou_threshold=0.5)[1].tolist()
assert kept == [1, 2], f'NMS kept {kept} instead of [1, 2]'
print(f'torch {torch.__version__}, mmcv {mmcv.__version__} with operators, mmdet {mmdet.__version__}, '
      f'mmseg {mmseg.__version__}, mmcontnet {mmcontnet.__version__} '
      f'{"with its" if MISSING is None else f"without its ({MISSING})"} C++ operator: ready')
"""


class Failure(Exception):
    """An installation step failed; the message says why and what to do."""


def fail(why: str, remedy: str) -> NoReturn:
    """Ends the step that is under way."""
    raise Failure(f'{why}\n  What to do: {remedy}')


def ask(code: str) -> Optional[List[str]]:
    """What a fresh interpreter prints for the code, split at ``|``; None where the code fails."""
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    return result.stdout.strip().splitlines()[-1].split('|') if result.returncode == 0 else None


class Pip:
    """A process of pip, whose output is shown when asked for.

    Args:
        action (str): The command of pip.
        arguments (str): Its arguments.
        constraints (Path | None): A file of versions.
        env (dict | None): Environment variables.
    """

    def __init__(
        self, action: str, *arguments: str, constraints: Optional[Path] = None, env: Optional[Dict[str, str]] = None
    ) -> None:
        versions = ['-c', str(constraints)] if constraints else []
        self.command = [sys.executable, '-m', 'pip', action, *versions, *arguments]
        self.output = tempfile.NamedTemporaryFile('r', errors='replace')
        self.line = ''
        self.last: List[str] = []
        self.began = time.time()
        with open(self.output.name, 'w') as file:
            self.process = subprocess.Popen(self.command, env=env, stdout=file, stderr=subprocess.STDOUT)

    def show(self, until: Optional[str] = None) -> None:
        """Shows the output to its end, or until a line that this pattern matches.

        Of a compilation, only the count of files is shown.

        Raises:
            Failure: pip failed.
        """
        runs = True
        try:
            while runs:
                runs = self.process.poll() is None  # Before reading, so that nothing is missed.
                if self._show_new(until):
                    return
                time.sleep(0.1)
        except KeyboardInterrupt:  # A terminal interrupts pip, too.
            self._wait()
            raise
        if self.process.returncode:
            output = ''.join([*self.last, self.line])
            fail(
                f'{" ".join(self.command)} ended with status {self.process.returncode}:\n{output}',
                'read the last lines above. Without a network, give pip the wheels with PIP_FIND_LINKS; where a '
                'compiler is missing, install gcc and g++. Then run this script again: it goes on where it stopped.',
            )

    def stop(self) -> None:
        """Ends pip; a compilation ends when it next prints something."""
        self.process.send_signal(signal.SIGINT)
        self._wait()

    def _wait(self) -> None:
        """Waits until pip has cleaned up."""
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:  # Background jobs of scripts ignore interruptions.
            self.process.terminate()

    def _show_new(self, until: Optional[str]) -> bool:
        """Shows the new output, and returns whether the line was reached."""
        done = files = 0
        while part := self.output.readline():
            self.line += part
            if not part.endswith('\n'):  # The rest is not written yet.
                break
            line, self.line = self.line, ''
            self.last = [*self.last[-40:], line]
            compiled = re.match(r'\s*\[(\d+)/(\d+)\]', line)
            if compiled:
                done, files = map(int, compiled.groups())
            elif re.match(r'(Collecting|Downloading|Building|Installing|Successfully|ERROR|\s+Building)', line):
                self._show_count(done, files)
                done = 0
                print(f'    {line.strip()[:160]}', flush=True)
            if until and re.match(until, line):
                self.began = time.time()
                return True
        self._show_count(done, files)
        return False

    def _show_count(self, done: int, files: int) -> None:
        if done:
            left = (time.time() - self.began) / done * (files - done)
            text = f'    compiled {done} of {files} files, about {left:.0f} s left'
            if sys.stdout.isatty():  # Each replaces the one before.
                print(f'{text:55}', end='\r' if done < files else '\n', flush=True)
            else:
                print(text, flush=True)


class Building(NamedTuple):
    """An mmcv that is being compiled.

    Args:
        pip (Pip): What compiles it.
        sources (Path): Folder of its sources, kept until it is installed: what is compiled is not compiled again.
        is_usable (Callable): Whether the operators of the mmcv that is there can be used.
    """

    pip: Pip
    sources: Path
    is_usable: Callable[[], bool]

    def install(self, constraints: Path) -> None:
        """Waits until it is compiled, and installs it."""
        self.pip.show()
        pip_install(str(next((self.sources / WHEEL).iterdir())), constraints=constraints)
        if not self.is_usable():
            fail('mmcv is installed, but not its operators', f'see why: {sys.executable} -c "import mmcv.ops"')
        shutil.rmtree(self.sources, ignore_errors=True)


def pip(action: str, *arguments: str, constraints: Optional[Path] = None) -> None:
    """Runs pip, showing its output."""
    Pip(action, *arguments, constraints=constraints).show()


def pip_install(*arguments: str, constraints: Path) -> None:
    """Runs ``pip install``."""
    pip('install', '--no-compile', *arguments, constraints=constraints)


def compile_bytecode() -> None:
    """Compiles what is installed to bytecode, on all cores; pip would use one."""
    folders = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib'), str(FOR_TESTS)}
    command = [sys.executable, '-m', 'compileall', '-qq', '-j', '0', '-x', TESTS, *folders]
    subprocess.run(command, stdout=subprocess.DEVNULL)


def choose_stack(wanted: Optional[str]) -> str:
    """The stack to install: the one that is wanted, or else the one that is there."""
    try:
        found = stacks.find_stack()
    except ImportError as error:
        fail(str(error), 'as it says; or run this in a new virtual environment')
    if wanted and found and wanted != found:
        names = stacks.list_installed(found)
        fail(
            f'{", ".join(names)} are there, which are of the stack {found!r}, not {wanted!r}',
            f'remove them: {sys.executable} -m pip uninstall {" ".join(names)}; or use a new virtual environment',
        )
    stack = wanted or found or stacks.DEFAULT
    if stack == 'openmmlab' and not found and sys.version_info >= (3, 13):
        fail(
            f"OpenMMLab's mmcv cannot be built on Python {sys.version.split()[0]}",
            "use Python 3.10 to 3.12, or OneDL's toolboxes: --stack onedl (make: STACK=onedl)",
        )
    return stack


def write_constraints(folder: str, stack: str, torch: Optional[str]) -> Path:
    """The constraints, with the torch that is there, if any, in place of the default one."""
    text = (ROOT / 'constraints' / f'{stack}.txt').read_text()
    if torch is not None:
        text = re.sub(r'^torch==.*$', f'torch=={torch}', text, flags=re.MULTILINE)
    path = Path(folder, 'constraints.txt')
    path.write_text(text)
    return path


def check_machine() -> None:
    """Looks for what pip cannot install."""
    if sys.version_info < (3, 10):  # noqa: UP036 (any Python may run this script)
        fail(f'Python {sys.version.split()[0]} is too old', 'use Python 3.10 or newer')
    if ask('import pip; print(pip.__version__)') is None:
        fail(f'{sys.executable} has no pip', 'install it: python -m ensurepip, or the package python3-pip')


def install_torch(constraints: Path) -> List[str]:
    """Installs torch where there is none, and returns what :data:`READ_TORCH` prints."""
    if ask(FIND_TORCH) is None:
        pip_install('torch', constraints=constraints)
        compile_bytecode()  # Here, too, since all further steps import it.
    found = ask(READ_TORCH)
    if found is None:
        fail('torch is installed but cannot be imported', f'see why: {sys.executable} -c "import torch"')
    if tuple(map(int, found[0].split('.')[:2])) < (2, 6):
        fail(f'torch {found[0]} is too old', 'use torch 2.6 or newer, or run this in a new virtual environment')
    print(f'    torch {found[0]}, {f"CUDA {found[1]}" if found[1] else "CPU build"}')
    return found


def start_mmcv(constraints: Path, name: str, torch: List[str], cpu_ops: bool) -> Optional[Building]:
    """Begins to compile mmcv, which a stack calls ``name``, with its operators, for a GPU where torch is.

    Returns:
        Building | None: None where pip finds a finished mmcv; that is installed.
    """
    cuda, gpu, cuda_home = torch[1], torch[2] == '1', torch[3]
    for_gpu = bool(cuda) and not cpu_ops
    if for_gpu and not (cuda_home and Path(cuda_home, 'bin', 'nvcc').exists()):
        if gpu:
            fail(
                f"this torch is built for CUDA {cuda}, but CUDA's compiler nvcc is not found",
                f'install the CUDA toolkit {cuda} and set CUDA_HOME to its folder, or run this script with --cpu-ops: '
                'then detectors train and run on the CPU alone.',
            )
        print(f'    torch is built for CUDA {cuda}, but there is no GPU and no nvcc: the operators will run on the CPU')
        print('    alone. For a GPU, install the CUDA toolkit, set CUDA_HOME, remove mmcv and run this script again.')
        for_gpu = False

    def usable() -> bool:
        ops = ask(READ_OPS)
        return ops is not None and not (for_gpu and ops[1] == 'not available')

    if usable():
        print(f'    mmcv {ask(READ_OPS)[0]} is there')
        return None
    if ask('import mmcv; print(mmcv.__version__)') is not None:
        fail(
            'there is an mmcv without operators, or not built for this torch',
            f'remove it and run this script again: {sys.executable} -m pip uninstall {name} mmcv-lite mmcv-full',
        )
    if shutil.which('g++') is None and 'CXX' not in os.environ:
        fail('there is no C++ compiler', 'install gcc and g++ (Debian, Ubuntu: apt-get install build-essential)')
    # Its setup.py imports torch and pkg_resources, so it is built in this environment, not in one of pip's own.
    pip_install('wheel', 'ninja', 'psutil', constraints=constraints)
    sources = Path(sys.prefix, f'mmcontnet-mmcv-{torch[0]}-{"gpu" if for_gpu else "cpu"}')
    found = fetch_mmcv(sources, name, constraints)
    if found.suffix == '.whl':
        pip_install(str(found), constraints=constraints)
        if usable():
            shutil.rmtree(sources, ignore_errors=True)
            return None
        print('    the mmcv that pip found was built for another torch; compiling it')
        pip('uninstall', '--yes', name)
        found = fetch_mmcv(sources, name, constraints, '--no-binary', name)
    print(f'    compiling it, which takes {"ten" if for_gpu else "about three"} minutes on two cores')
    options = ['--no-build-isolation', '--no-deps', '-v', '--wheel-dir', str(sources / WHEEL)]
    call = Pip('wheel', *options, str(found), constraints=constraints, env=build_environment(sources, for_gpu))
    call.show(until=r'\s*building .* extension')  # From here on it imports nothing that may be installed meanwhile.
    return Building(call, sources, usable)


def fetch_mmcv(sources: Path, name: str, constraints: Path, *options: str) -> Path:
    """Downloads mmcv, if that is not done yet, and returns what pip found: a wheel, or a folder of sources."""
    files = f'{name.replace("-", "_")}-*'
    if not next(sources.glob(f'{files}/setup.py'), None):
        shutil.rmtree(sources, ignore_errors=True)
        options = ('--no-build-isolation', '--no-deps', '--dest', str(sources), *options)
        pip('download', *options, name, constraints=constraints)
        archive = next(sources.glob(files))
        if archive.suffix == '.whl':
            return archive
        shutil.unpack_archive(archive, sources / 'part')
        next((sources / 'part').iterdir()).rename(sources / archive.name.replace('.tar.gz', ''))
    return next(sources.glob(f'{files}/setup.py')).parent


def build_environment(sources: Path, for_gpu: bool) -> Dict[str, str]:
    """The environment variables for building mmcv."""
    env = {**os.environ, 'MMCV_WITH_OPS': '1', 'FORCE_CUDA': '1' if for_gpu else '0'}
    if not for_gpu and sys.platform == 'linux':
        # Python's own flags, but without debug information, which takes longer than everything else.
        env['CFLAGS'] = f'{os.environ.get("CFLAGS", "")} -O3 -g0'
        env['COMPILER'] = os.environ.get('CXX', 'c++')
        env['CXX'] = str(ROOT / 'precompiled_cxx.py')
        env['PRECOMPILED'] = str(sources / 'precompiled')
    return env


def install_mmpretrain(constraints: Path) -> None:
    """Installs mmpretrain, and the torchvision that is built for the torch found."""
    pip_install('--upgrade', *ask(READ_REQUIREMENTS), constraints=constraints)
    if ask(READ_MMPRETRAIN) is None:
        fail(
            'mmpretrain is installed but cannot be imported, most likely for its torchvision',
            f'see why: {sys.executable} -c "import mmpretrain.models". Where no torchvision for this torch can be had, '
            f'remove it, since mmdet cannot train beside it either: {sys.executable} -m pip uninstall torchvision',
        )


def install_for_tests(constraints: Path, name: str, torch: str) -> None:
    """Installs mmpretrain and torchvision in a folder of their own.

    PyPI's torchvision cannot be imported beside a CPU build of torch, and mmengine trains nothing beside a torchvision
    that cannot be imported. The tests alone know how to get along with it.
    """
    torchvision = f'torchvision==0.{int(torch.split(".")[1]) + 15}.*'  # 0.21 is for torch 2.6, 0.28 for 2.13.
    pip_install(*MMPRETRAIN_NEEDS, constraints=constraints)
    options = ['--upgrade', '--no-deps', '--target', str(FOR_TESTS)]
    pip_install(*options, name, torchvision, constraints=constraints)


def verify() -> None:
    """Imports everything and runs one NMS."""
    result = subprocess.run([sys.executable, '-W', 'ignore', '-c', VERIFY], capture_output=True, text=True)
    if result.returncode:
        fail(
            f'the installed packages do not work together:\n{result.stderr}',
            'the last line above names the package at fault. In an environment of your own, try an empty one.',
        )
    print(f'    {result.stdout.strip().splitlines()[-1]}')


def main() -> None:
    """Runs the steps, and names the one that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--stack',
        choices=stacks.DISTRIBUTIONS,
        help=f'whose distributions of the toolboxes (default: those that are there, or else {stacks.DEFAULT})',
    )
    parser.add_argument('--imagenet', action='store_true', help='install MMPretrain, too')
    parser.add_argument('--dev', action='store_true', help='install what the tests need, too')
    parser.add_argument('--cpu-ops', action='store_true', help="compile mmcv's operators for the CPU alone")
    args = parser.parse_args()
    step = ''

    def begin(name: str) -> None:
        nonlocal step
        step = name
        print(f'== {name}', flush=True)

    try:
        with tempfile.TemporaryDirectory() as folder:
            begin(f'Python {sys.version.split()[0]} at {sys.prefix}')
            check_machine()
            stack = choose_stack(args.stack)
            names = stacks.DISTRIBUTIONS[stack]
            constraints = write_constraints(folder, stack, None)
            begin('setuptools')
            pip_install('setuptools', constraints=constraints)  # Torch's build tools import it.
            begin('torch')
            torch = install_torch(constraints)
            constraints = write_constraints(folder, stack, torch[0])
            begin(names['mmcv'])
            building = start_mmcv(constraints, names['mmcv'], torch, args.cpu_ops)
            try:
                begin('toolboxes')
                toolboxes = [names[module] for module in TOOLBOXES]
                pip_install(*toolboxes, *TOOLBOXES_NEED, *MIM_NEEDS, constraints=constraints)
                pip_install(names['mim'], '--no-deps', constraints=constraints)
                begin('mmcontnet')
                package = f'{ROOT}[dev]' if args.dev else str(ROOT)
                pip_install('--no-build-isolation', '-e', package, constraints=constraints)
                if args.dev:
                    begin(f'{names["mmpretrain"]} for the tests')
                    install_for_tests(constraints, names['mmpretrain'], torch[0])
                if building:
                    begin(f'{names["mmcv"]}, compiled meanwhile')
                    building.install(constraints)
            except Failure:
                if building:
                    building.pip.stop()
                raise
            if args.imagenet:
                begin(names['mmpretrain'])
                install_mmpretrain(constraints)
            begin('bytecode')
            compile_bytecode()
            begin('verification')
            verify()
    except Failure as failure:
        sys.exit(f'\nStep {step!r} failed: {failure}')
    except KeyboardInterrupt:
        sys.exit('\nInterrupted. Run this script again: it goes on where it stopped.')


if __name__ == '__main__':
    main()
