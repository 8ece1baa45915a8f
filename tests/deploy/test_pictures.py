import cv2
import numpy as np
import pytest
from PIL import Image

from mmcontnet.deploy.pictures import crop, prepare, read_picture, resize, target_size


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_pictures_are_resized_as_by_opencv(rng):
    for _ in range(200):
        height, width, new_height, new_width = map(int, rng.integers(1, 150, 4))
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        expected = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(resize(image, new_width, new_height, 'cv2'), expected)


def test_pictures_are_resized_as_by_pillow(rng):
    image = rng.integers(0, 256, (40, 60, 3), np.uint8)
    expected = Image.fromarray(image).resize((30, 25), Image.Resampling.BILINEAR)
    assert np.array_equal(resize(image, 30, 25, 'pillow'), np.asarray(expected))


@pytest.mark.parametrize(
    'how, size',
    [
        (None, (640, 427)),
        (dict(scale=[1333, 800]), (1199, 800)),
        (dict(scale=[800, 1333]), (1199, 800)),
        (dict(scale=[700, 800]), (800, 534)),
        (dict(size=[300, 200]), (300, 200)),
        (dict(edge='short', length=256), (383, 256)),
        (dict(edge='long', length=256), (256, 170)),
        (dict(edge='width', length=256), (256, 170)),
        (dict(edge='height', length=256), (383, 256)),
    ],
)
def test_sizes(how, size):
    assert target_size(640, 427, how) == size


def test_scale_is_that_of_each_axis():
    prepared = prepare(
        np.zeros((427, 640, 3), np.uint8), dict(resize=dict(scale=[1333, 800]), backend='cv2', crop=None)
    )
    assert prepared.image.shape == (800, 1199, 3) and prepared.scale == (1199 / 640, 800 / 427)


def test_center_is_cropped(rng):
    image = rng.integers(0, 256, (10, 20, 3), np.uint8)
    assert np.array_equal(crop(image, 4, 6), image[2:8, 8:12])
    assert np.array_equal(crop(image, 30, 6), image[2:8])


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp'])
@pytest.mark.parametrize('channels', [1, 3, 4])
def test_files_are_read_as_by_opencv(rng, tmp_path, suffix, channels):
    path = tmp_path / f'a{suffix}'
    kept = channels if suffix == '.png' else min(channels, 3)
    cv2.imwrite(str(path), rng.integers(0, 256, (20, 30, kept), np.uint8))
    assert np.array_equal(read_picture(path), cv2.imread(str(path))[..., ::-1])


@pytest.mark.parametrize('channels', [1, 3])
def test_16_bits_become_8(rng, tmp_path, channels):
    path = tmp_path / 'deep.png'
    cv2.imwrite(str(path), rng.integers(0, 2**16, (20, 30, channels), np.uint16))
    assert np.array_equal(read_picture(path), cv2.imread(str(path))[..., ::-1])


def test_pictures_are_turned_upright(rng, tmp_path):
    picture = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / 'turned.jpg', exif=exif)
    read = read_picture(str(tmp_path / 'turned.jpg'))
    assert read.shape == (30, 20, 3)
    assert np.array_equal(read, cv2.imread(str(tmp_path / 'turned.jpg'))[..., ::-1])


def test_pictures_and_arrays(rng):
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    assert read_picture(image) is image
    assert np.array_equal(read_picture(Image.fromarray(image)), image)


@pytest.mark.parametrize(
    'picture, message',
    [
        (3, 'picture is int; expected a file, a picture of Pillow or an array'),
        (np.zeros((5, 5)), r'picture is float64 \(5, 5\); expected \(H, W, 3\) of uint8, RGB'),
        (np.zeros((5, 5, 4), np.uint8), r'picture is uint8 \(5, 5, 4\)'),
        (np.zeros((0, 5, 3), np.uint8), r'picture is uint8 \(0, 5, 3\)'),
    ],
)
def test_other_types_are_refused(picture, message):
    with pytest.raises(ValueError, match=message):
        read_picture(picture)


def truncated(path):
    Image.new('RGB', (60, 40)).save(path)
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    'name, write, message',
    [
        ('missing.png', lambda path: None, 'No such file or directory'),
        ('text.jpg', lambda path: path.write_text('hello'), 'Pillow does not know its format'),
        ('empty.jpg', lambda path: path.touch(), 'Pillow does not know its format'),
        ('folder.jpg', lambda path: path.mkdir(), 'Is a directory'),
        ('half.jpg', truncated, 'image file is truncated'),
        ('half.png', truncated, ''),
        ('nothing\0', lambda path: None, 'embedded null byte'),
    ],
)
def test_files_that_are_no_pictures_are_named(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(OSError) as error:
        read_picture(tmp_path / name)
    assert str(error.value).startswith(f'{tmp_path / name} cannot be read as a picture: {message}')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGBA', 'CMYK', 'YCbCr', 'I', 'I;16'])
def test_every_mode_becomes_rgb(mode):
    picture = Image.new('L', (30, 20)).convert(mode) if mode != 'I;16' else Image.new(mode, (30, 20))
    read = read_picture(picture)
    assert read.shape == (20, 30, 3) and read.dtype == np.uint8 and (read == read[0, 0]).all()


def test_picture_of_which_nothing_would_be_left_is_refused():
    pipeline = dict(resize=dict(scale=[1333, 800]), backend='cv2', crop=None)
    with pytest.raises(ValueError, match='picture is too narrow: 5000x1 pixels would become 1333x0'):
        prepare(np.zeros((1, 5000, 3), np.uint8), pipeline)
    assert prepare(np.zeros((1, 1, 3), np.uint8), pipeline).image.shape == (800, 800, 3)


def test_sixteen_and_thirty_two_bits():
    """Values above a byte are 16 bits; smaller ones are what they are."""
    assert (read_picture(Image.fromarray(np.full((3, 4), 200 << 8, np.uint16))) == 200).all()
    assert (read_picture(Image.fromarray(np.full((3, 4), 200 << 8, np.int32))) == 200).all()
    assert (read_picture(Image.fromarray(np.full((3, 4), 200, np.int32))) == 200).all()


@pytest.mark.parametrize(
    'picture, message',
    [
        (Image.fromarray(np.full((3, 4), 0.5, np.float32)), 'floating-point pixels; expected 8 or 16 bits'),
        (Image.new('RGB', (0, 7)), 'picture is empty: 0x7 pixels'),
    ],
)
def test_other_pictures_are_refused(picture, message):
    with pytest.raises(ValueError, match=message):
        read_picture(picture)
