"""The files that predictions are written to."""

import errno
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Set

import cv2
import mmcv
import numpy as np

from ..fileio import whole_file
from .predictors import Prediction
from .sources import PICTURES, Frame

ANNOTATED = 'vis'
LABEL_MAPS = 'labels'
PREDICTIONS = 'predictions.json'
# OpenCV writes these in gray, or in color under a name that says otherwise.
NOT_WRITTEN = ('.pgm', '.ppm')


class ResultWriter:
    """Writes what was predicted, picture by picture; on leaving the context, finished or not, ``predictions.json``.

    Args:
        out (Path): The folder to write to. Annotated pictures and videos go to its folder ``vis``, label maps to
            ``labels``.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.records: List[Dict[str, Any]] = []
        self.images = 0
        self._names: Set[Path] = set()
        self._video: Optional[_Video] = None

    def __enter__(self) -> 'ResultWriter':
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self._close_video()
        finally:
            with whole_file(self.out / PREDICTIONS) as file:
                file.write(json.dumps(self.records, indent=1).encode())

    def add(self, frame: Frame, prediction: Prediction) -> None:
        """Writes the annotated picture or frame and its label map, and keeps its records.

        Raises:
            OSError: A file cannot be written.
        """
        name = frame.source.name
        is_frame = frame.index is not None
        drawn = np.ascontiguousarray(prediction.drawn[..., ::-1])
        if is_frame:
            self._add_to_video(frame, drawn)
        else:
            suffix = name.suffix.lower()
            kept = suffix in PICTURES and suffix not in NOT_WRITTEN
            _write_picture(self._choose_name(ANNOTATED, name if kept else name.with_suffix('.png')), drawn)
        position: Dict[str, Any] = dict(file_name=name.as_posix(), **(dict(frame=frame.index) if is_frame else {}))
        if prediction.label_map is not None:
            wanted = name.with_suffix('') / f'{frame.index:06d}.png' if is_frame else name.with_suffix('.png')
            path = self._choose_name(LABEL_MAPS, wanted)
            _write_picture(path, prediction.label_map)
            position['label_map'] = path.relative_to(self.out).as_posix()
        self.images += 1
        self.records += [dict(image_id=self.images, **position, **record) for record in prediction.records]

    def _choose_name(self, folder: str, name: Path) -> Path:
        """A path in the folder that no other picture of this run has, so x.pgm and x.ppm do not become one x.png."""
        path = self.out / folder / name
        number = 2
        while path in self._names:
            path = self.out / folder / name.with_name(f'{name.stem}_{number}{name.suffix}')
            number += 1
        self._names.add(path)
        return path

    def _add_to_video(self, frame: Frame, drawn: np.ndarray) -> None:
        if frame.index == 0:
            self._close_video()
            self._video = _Video(self._choose_name(ANNOTATED, frame.source.name.with_suffix('.mp4')), frame, drawn)
        self._video.add(drawn)

    def _close_video(self) -> None:
        video, self._video = self._video, None
        if video is not None:
            video.close()


def _write_picture(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(cv2.imencode(path.suffix, picture)[1].tobytes())


class _Video:
    """A video that has its name once it is closed.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, path: Path, frame: Frame, drawn: np.ndarray) -> None:
        self.path = path
        self.size = drawn.shape[1::-1]
        self.count = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self.unfinished = path.with_name(f'.{path.name}.{os.getpid()}.part{path.suffix}')
        fps = frame.fps if frame.fps > 0 else 25
        self.writer = cv2.VideoWriter(str(self.unfinished), cv2.VideoWriter_fourcc(*'mp4v'), fps, self.size)

    def add(self, drawn: np.ndarray) -> None:
        """Adds a frame, (H, W, 3), BGR."""
        self.writer.write(drawn if drawn.shape[1::-1] == self.size else mmcv.imresize(drawn, self.size))
        self.count += 1

    def close(self) -> None:
        """Completes the file."""
        self.writer.release()
        try:
            # OpenCV raises no errors.
            if not self.unfinished.exists() or mmcv.VideoReader(str(self.unfinished)).frame_cnt < self.count:
                raise OSError(errno.EIO, 'OpenCV cannot write it; is the disk full?', str(self.path))
            os.replace(self.unfinished, self.path)
        finally:
            self.unfinished.unlink(missing_ok=True)
