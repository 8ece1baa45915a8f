"""The sizes of the network (paper, table 1)."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Callable, Dict, Tuple, Union

from .arguments import check, integer, rate, several

NUM_STAGES = 4
POSITIVE = range(1, 1 << 16)


@dataclass(frozen=True)
class Arch:
    """Sizes of a ConTNet; a tuple has one entry for each of the four stages.

    Args:
        width (int): Channels of the first stage; each further stage doubles them.
        depths (tuple[int]): ConT blocks.
        mlp_widths (tuple[int]): Hidden widths of the MLPs.
        heads (tuple[int]): Attention heads. Defaults to (1, 2, 4, 8).
        dropouts (tuple[float]): Dropout rates of the encoders. Defaults to none.
        output_dropout (float): Dropout rate of the trunk's output. Defaults to 0.
        patch_sizes (tuple[tuple[int]]): Patch sizes of the first and the second encoder of a block. Defaults to 7 and
            14 in the first three stages, 7 and 7 in the last.

    Raises:
        ValueError: A size is impossible.
    """

    width: int
    depths: Tuple[int, ...]
    mlp_widths: Tuple[int, ...]
    heads: Tuple[int, ...] = (1, 2, 4, 8)
    dropouts: Tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    output_dropout: float = 0.0
    patch_sizes: Tuple[Tuple[int, int], ...] = ((7, 14), (7, 14), (7, 14), (7, 7))

    def __post_init__(self) -> None:
        positive = integer(POSITIVE)
        self._set('width', integer(range(2, POSITIVE.stop, 2)), 'a positive even number')
        for name in ('depths', 'mlp_widths', 'heads'):
            self._set(name, several(positive, NUM_STAGES), f'{NUM_STAGES} positive integers')
        if any(channels % heads for channels, heads in zip(self.channels, self.heads)):
            raise ValueError(
                f"arch['heads'] is {self.heads!r}; expected numbers that divide the channels of the stages, "
                f'{self.channels}'
            )
        self._set('dropouts', several(rate, NUM_STAGES), f'{NUM_STAGES} rates of at least 0 and below 1')
        self._set('output_dropout', rate, 'a rate of at least 0 and below 1')
        pairs = several(several(positive, 2), NUM_STAGES)
        self._set('patch_sizes', pairs, f'{NUM_STAGES} pairs of positive integers')

    def _set(self, name: str, convert: Callable[[Any], Any], expected: str) -> None:
        value = check(f"arch['{name}']", getattr(self, name), convert, expected)
        object.__setattr__(self, name, value)  # The class is frozen.

    @property
    def channels(self) -> Tuple[int, ...]:
        """Channels inside each stage: E, 2E, 4E, 8E."""
        return tuple(self.width * 2**stage for stage in range(NUM_STAGES))


ARCHS: Dict[str, Arch] = {
    'ti': Arch(48, (1, 1, 1, 1), (196, 392, 768, 768)),
    's': Arch(64, (1, 1, 1, 1), (256, 512, 1024, 1024)),
    'm': Arch(64, (2, 2, 2, 2), (256, 512, 1024, 1024)),
    'b': Arch(64, (3, 4, 6, 3), (256, 512, 1024, 1024), dropouts=(0.0, 0.0, 0.1, 0.1), output_dropout=0.2),
}


def get_arch(arch: Union[str, Dict[str, Any]]) -> Arch:
    """The sizes that ``arch`` means: a name in :data:`ARCHS` or a dict of the fields of :class:`Arch`.

    Raises:
        ValueError: There is no such name, or the dict has wrong fields.
    """
    if isinstance(arch, str) and arch in ARCHS:
        return ARCHS[arch]
    if not isinstance(arch, dict):
        raise ValueError(f'arch is {arch!r}; expected one of {sorted(ARCHS)} or a dict of sizes')
    allowed = [field.name for field in fields(Arch)]
    unknown = sorted(set(arch) - set(allowed))
    missing = sorted({'width', 'depths', 'mlp_widths'} - set(arch))
    if unknown or missing:
        raise ValueError(f'arch has unknown fields {unknown} and lacks {missing}; its fields are {allowed}')
    return Arch(**arch)


def name_arch(arch: Arch) -> Union[str, Dict[str, Any]]:
    """The shortest argument that :func:`get_arch` understands as ``arch``."""
    names = [name for name, known in ARCHS.items() if known == arch]
    return names[0] if names else asdict(arch)
