"""Finding and reading pictures and videos."""

import glob
import os
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence

os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')  # A damaged video is reported here, in one line.

import mmcv
import numpy as np

from ..datasets.formats.common import list_files
from ..datasets.images import Loader, decode
from ..messages import one_line

PICTURES = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
VIDEOS = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')
# The number of frames that a video announces may be an estimate.
COMPLETE = 0.9


class Source(NamedTuple):
    """A picture or video, and its path relative to the folder that contains all of them."""

    path: Path
    name: Path

    @property
    def is_video(self) -> bool:
        """Whether the name is that of a video."""
        return self.path.suffix.lower() in VIDEOS


class Frame(NamedTuple):
    """A picture, or a frame of a video.

    ``image`` is (H, W, 3), BGR, and None where it cannot be read; ``fault`` says why. ``index`` counts the frames of a
    video from 0 and is None for a picture. ``fps`` is the video's frame rate in 1/s.
    """

    source: Source
    image: Optional[np.ndarray] = None
    index: Optional[int] = None
    fps: float = 0.0
    fault: str = ''


def find_sources(inputs: Sequence[str], results: Sequence[Path] = ()) -> List[Source]:
    """Finds the pictures and videos that a user names, each once.

    Args:
        inputs (list[str]): Files, folders, which are searched with all folders in them, and glob patterns. A file named
            as such may have any suffix. Hidden files in folders are left out.
        results (list[Path]): Folders that results are written to, which are not searched.

    Raises:
        ValueError: An input does not exist, contains no picture or video, or is in a folder of results.
    """
    excluded = [Path(os.path.abspath(folder)) for folder in results]
    files: List[Path] = []
    folders: List[Path] = []
    for text in inputs:
        path = Path(os.path.abspath(text))
        if path.is_file():
            found = [path]
        elif text and path.is_dir():
            found = _search(path, excluded)
        else:
            matches = sorted(glob.glob(text, recursive=True))
            if not matches:
                raise ValueError(f'{text!r}: there is no such file or folder, and it matches none as a pattern')
            found = [file for match in matches for file in _search(Path(os.path.abspath(match)), excluded)]
        if not found:
            suffixes = ', '.join(PICTURES + VIDEOS)
            raise ValueError(f'{text!r} contains no pictures or videos; expected files that end in {suffixes}')
        files += found
        folders += [path] if path.is_dir() else [file.parent for file in found]
    for file in files:
        if _is_inside(file, excluded):
            raise ValueError(f'{file} is in the folder that results are written to; choose another --out')
    root = os.path.commonpath(folders)
    return [Source(file, Path(os.path.relpath(file, root))) for file in dict.fromkeys(files)]


def count_frames(sources: Sequence[Source]) -> Optional[int]:
    """The number of pictures and frames, or None where a video does not tell."""
    counts = [mmcv.VideoReader(str(source.path)).frame_cnt if source.is_video else 1 for source in sources]
    return sum(counts) if all(count > 0 for count in counts) else None


def read_frames(sources: Sequence[Source], load: Loader) -> Iterator[Frame]:
    """Reads pictures and videos in turn.

    Args:
        sources (list[Source]): Where they are.
        load (Loader): The transform of the pipeline that reads pictures.
    """
    for source in sources:
        if source.is_video:
            yield from _read_video(source)
            continue
        try:
            frame = Frame(source, decode(str(source.path), load).astype(np.uint8))
        except Exception as error:  # Decoders raise all kinds.
            reason = getattr(error, 'strerror', None) or one_line(str(error)) or type(error).__name__
            frame = Frame(source, fault=f'{source.path} cannot be read as a picture: {reason}')
        yield frame


def _search(path: Path, excluded: Sequence[Path]) -> List[Path]:
    """The pictures and videos in a folder, or the file itself if it is one, by their suffixes."""
    found = list_files(path, None) if path.is_dir() else [path] if path.is_file() else []
    return [file for file in found if file.suffix.lower() in PICTURES + VIDEOS and not _is_inside(file, excluded)]


def _is_inside(file: Path, folders: Sequence[Path]) -> bool:
    return any(folder in file.parents for folder in folders)


def _read_video(source: Source) -> Iterator[Frame]:
    reader = mmcv.VideoReader(str(source.path))
    count = 0
    # In turn, without the seeking of mmcv's reader, which loses its way where the frame rate varies.
    is_read, image = reader.vcap.read()
    while is_read:
        yield Frame(source, image, count, reader.fps)
        count += 1
        is_read, image = reader.vcap.read()
    if count == 0:
        yield Frame(source, fault=f'{source.path} cannot be read as a video')
    elif count < COMPLETE * reader.frame_cnt:
        yield Frame(source, fault=f'{source.path} is damaged: it ends after {count} of {reader.frame_cnt} frames')
