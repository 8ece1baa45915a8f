import cv2
import numpy as np
import pytest
from PIL import Image

from mmcontnet.datasets.images import check_image

WIDTH, HEIGHT = 64, 48


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def save_as(format, mode='RGB'):
    return lambda path: Image.new(mode, (WIDTH, HEIGHT)).save(path, format=format)


# What happens to the image, and the problem that has to be found: its kind, and words of its details.
DAMAGES = {
    'missing': (lambda p: p.unlink(), 'Image is missing', ['1.jpg']),
    'truncated': (cut, 'Image cannot be decoded', ['1.jpg', 'truncated']),
    'empty': (lambda p: p.write_bytes(b''), 'Image cannot be decoded', ['1.jpg']),
    'text': (lambda p: p.write_text('<html>'), 'Image cannot be decoded', ['1.jpg', 'failed to load']),
    'folder': (lambda p: (p.unlink(), p.mkdir()), 'Image is missing', ['1.jpg']),
    'link to itself': (lambda p: (p.unlink(), p.symlink_to(p)), 'Image is missing', ['1.jpg']),
    'other size': (
        lambda p: cv2.imwrite(str(p), np.zeros((50, 70, 3))),
        'Image has another size than its annotation',
        ['1.jpg: (70, 50), annotated as (64, 48)'],
    ),
    # Pillow opens them, OpenCV does not.
    **{
        format: (save_as(format), 'Image cannot be decoded', ['1.jpg', 'failed to load'])
        for format in ('PCX', 'TGA', 'SGI', 'DDS')
    },
}


@pytest.mark.parametrize('name', DAMAGES)
def test_damage_is_found(coco, problems, name):
    damage, kind, words = DAMAGES[name]
    damage(coco.image(1))
    details = ' '.join(problems(coco.cfg)[kind])
    assert all(word in details for word in words), details


def rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (HEIGHT, WIDTH)).save(path, exif=exif)
    assert cv2.imread(str(path)).shape[:2] == (HEIGHT, WIDTH)


def with_long_comment(path):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text('comment', 'x' * 2**21, zip=True)
    Image.new('RGB', (WIDTH, HEIGHT)).save(path, format='PNG', pnginfo=info)
    with pytest.raises(ValueError, match='Decompressed data too large'):
        Image.open(path).load()


def unknown_to_pillow(path):
    cv2.imwrite(str(path.with_suffix('.hdr')), np.zeros((HEIGHT, WIDTH, 3), np.float32))
    path.with_suffix('.hdr').rename(path)


@pytest.mark.parametrize(
    'write',
    [
        rotated,
        with_long_comment,
        unknown_to_pillow,
        save_as('PNG', 'P'),
        save_as('PNG', 'RGBA'),
        save_as('JPEG', 'CMYK'),
        save_as('JPEG', 'L'),
        save_as('BMP'),
        save_as('WEBP'),
        save_as('TIFF'),
    ],
)
def test_what_opencv_reads_passes(coco, problems, write):
    write(coco.image(1))
    assert problems(coco.cfg) == {}


def test_image_is_decoded_as_the_pipeline_says(coco, problems):
    dataset = coco.train_alone()
    dataset.pipeline[0].update(imdecode_backend='pillow')
    save_as('PCX')(coco.image(1))
    assert problems(coco.cfg) == {}
    dataset.pipeline[0].update(imdecode_backend='cv2', ignore_empty=True)
    assert 'failed to load' in problems(coco.cfg)['Image cannot be decoded'][0]
    coco.image(1).write_bytes(b'')  # OpenCV raises, which the transform would hide.
    assert 'ignore_empty' in problems(coco.cfg)['Image cannot be decoded'][0]


def test_large_image_is_decoded_without_limit_of_pillow(tmp_path):
    from mmcv.transforms import LoadImageFromFile

    path = tmp_path / 'large.png'
    Image.new('1', (20000, 10000)).save(path)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    assert list(check_image(str(path), LoadImageFromFile(color_type='grayscale'), (20000, 10000))) == []
