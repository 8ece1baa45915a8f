"""From sources to files."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Iterable, Iterator, List, Sequence, Tuple

from ..commands import about
from ..messages import one_line, printable
from ..progress import track_progress
from .predictors import Prediction, Predictor
from .results import ResultWriter
from .sources import Frame, Source, count_frames, read_frames

# How long a frame of a video is shown.
FRAME_SECONDS = 0.001


def predict(sources: Sequence[Source], predictor: Predictor, out: Path, batch_size: int = 1) -> None:
    """Predicts on all pictures and frames and writes the results; what cannot be used is named on stderr and skipped.

    When interrupted, the results so far are kept.

    Args:
        sources (list[Source]): Pictures and videos.
        predictor (Predictor): The model.
        out (Path): Folder for the results.
        batch_size (int): Pictures at a time, at most. Defaults to 1.

    Raises:
        OSError: The results cannot be written.
        ValueError: Something could not be used; all else is done. Or the model fails on a video, which ends the run.
    """
    faults: List[str] = []
    frames = track_progress(read_frames(sources, predictor.load), 'Predicting', count_frames(sources))
    with ResultWriter(out) as writer, closing(frames):
        for batch in make_batches(leave_out(frames, faults), batch_size, predictor.mixes_sizes):
            with about(str(batch[0].source.path)):
                results = list(predict_batch(predictor, batch, faults))
            for frame, prediction in results:
                writer.add(frame, prediction)
    print(f'Results on {writer.images} pictures and frames are in {out}')
    if faults:
        raise ValueError(f'{len(faults)} of {len(sources)} files were skipped or cut short, the first: {faults[0]}')


def predict_batch(predictor: Predictor, batch: List[Frame], faults: List[str]) -> Iterator[Tuple[Frame, Prediction]]:
    """Predicts on a batch; where the model fails, as on a picture of one pixel, on each picture by itself.

    Raises:
        Exception: The model fails on a frame of a video, and so on all of them.
    """
    wait_times = [0 if frame.index is None else FRAME_SECONDS for frame in batch]
    try:
        predictions = predictor([frame.image for frame in batch], wait_times)
    except Exception as error:  # Models raise all kinds.
        if len(batch) > 1:
            for frame in batch:
                yield from predict_batch(predictor, [frame], faults)
        elif batch[0].index is None:
            reason = one_line(f'{type(error).__name__}: {error}')
            add_fault(f'{batch[0].source.path}: the model fails on it: {reason}', faults)
        else:
            raise
    else:
        yield from zip(batch, predictions)


def leave_out(frames: Iterable[Frame], faults: List[str]) -> Iterator[Frame]:
    """Yields what could be read, and names and lists the rest."""
    for frame in frames:
        if frame.fault:
            add_fault(frame.fault, faults)
        else:
            yield frame


def add_fault(fault: str, faults: List[str]) -> None:
    """Names what could not be used at once, and lists it."""
    faults.append(fault)
    print(printable(fault), file=sys.stderr)


def make_batches(frames: Iterable[Frame], size: int, mixes_sizes: bool) -> Iterator[List[Frame]]:
    """Groups pictures that follow each other.

    Args:
        frames (Iterable[Frame]): Pictures and frames.
        size (int): How many a batch has at most.
        mixes_sizes (bool): Whether a batch may consist of pictures of different sizes. Otherwise a picture's result
            would depend on the others, by the padding.
    """
    batch: List[Frame] = []
    for frame in frames:
        if batch and not mixes_sizes and frame.image.shape != batch[0].image.shape:
            yield batch
            batch = []
        batch.append(frame)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
