import pytest
from tool_runner import run_tool


@pytest.mark.slow
def test_tour_ends_with_its_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, _ = run_tool('demo/tour.py', '--images', 4, '--epochs', 1, '--out', 'out')
    assert 'stride 32: (1, 1024, 12, 15)' in text
    assert text.endswith('Maps: out/maps.png, trained: out/trained_maps.png; predictions: out/predicted/vis/new.jpg\n')
    for name in ('maps.png', 'trained_maps.png', 'predicted/vis/new.jpg', 'train/epoch_1.pth'):
        assert (tmp_path / 'out' / name).is_file()
