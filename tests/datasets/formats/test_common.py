import pytest
from PIL import Image

from mmcontnet.datasets.findings import collect
from mmcontnet.datasets.formats.common import check_names, read_classes, read_size, split_off


def kinds(check):
    return [(finding.kind, finding.harmless) for finding in collect(check)[1]]


@pytest.mark.parametrize('count, expected', [(2, 1), (3, 1), (10, 2), (101, 20)])
def test_a_fifth_is_split_off(count, expected):
    items = [f'{number}.jpg' for number in range(count)]
    train, val = split_off(items)
    assert len(val) == expected and sorted(train + val) == sorted(items)
    assert train == [item for item in items if item not in val]
    assert split_off(items) == (train, val)


@pytest.mark.parametrize('count', [0, 1])
def test_too_few_images(count):
    with pytest.raises(ValueError, match=f'{count} images'):
        split_off(['a'] * count)


@pytest.mark.parametrize(
    'names, expected',
    [
        (['cat', 'dog'], []),
        ([], [('There are no classes', False)]),
        (['cat', 'cat'], [('Class is named twice', False)]),
        (['cat', ''], [('Class name is empty or cannot be printed', False)]),
        (['cat', ' '], [('Class name is empty or cannot be printed', False)]),
        (['cat\n'], [('Class name is empty or cannot be printed', False)]),
        (['\x1b[31m'], [('Class name is empty or cannot be printed', False)]),
        (['{{ $HOME }}'], [('Class name holds {{, which configs replace', False)]),
        (['cat', 'Cat'], [('Class names differ in case or spaces only', True)]),
        (['cat '], [('Class name begins or ends with a space', True)]),
        (['d"o\'g\\', '犬', '50%', '#1', 'a,b'], []),
    ],
)
def test_names_of_classes(names, expected):
    assert kinds(check_names(names, 'file')) == expected


@pytest.mark.parametrize(
    'text, names, expected',
    [
        ('road\nsky\n', ['road', 'sky'], []),
        ('\ufeffroad\r\nsky\r\n\r\n', ['road', 'sky'], []),
        ('road\n\nsky\n', ['road', 'sky'], ['List of classes has a blank line']),
        ('', [], ['There are no classes']),
    ],
)
def test_list_of_classes(tmp_path, text, names, expected):
    path = tmp_path / 'classes.txt'
    path.write_bytes(text.encode())
    found, findings = collect(read_classes(path))
    assert found == names and [finding.kind for finding in findings] == expected


def test_list_in_another_encoding(tmp_path):
    path = tmp_path / 'classes.txt'
    path.write_bytes('Straße'.encode('latin-1'))
    assert kinds(read_classes(path))[0] == ('File cannot be read', False)


def test_size_is_that_of_the_turned_picture(tmp_path):
    picture = Image.new('RGB', (30, 20))
    exif = picture.getexif()
    exif[274] = 6
    picture.save(tmp_path / 'a.jpg', exif=exif)
    assert collect(read_size(tmp_path / 'a.jpg'))[0] == (20, 30)
