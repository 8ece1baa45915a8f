import pytest

from mmcontnet import memory


@pytest.fixture
def environment(monkeypatch):
    for name in (*memory.KEEP, 'LD_PRELOAD', 'RANK', 'SLURM_PROCID'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr('platform.libc_ver', lambda: ('glibc', '2.36'))
    return monkeypatch


def test_advice_is_given_once(environment, capsys):
    memory.advise()
    assert 'MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184' in capsys.readouterr().err
    environment.setenv('RANK', '1')
    memory.advise()
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('variables', [memory.KEEP, dict(LD_PRELOAD='/usr/lib/libjemalloc.so.2')])
def test_no_advice_where_memory_is_kept(variables, environment, capsys):
    for name, value in variables.items():
        environment.setenv(name, value)
    memory.advise()
    assert memory.is_kept() and capsys.readouterr().err == ''


def test_no_advice_for_another_library(environment):
    environment.setattr('platform.libc_ver', lambda: ('', ''))
    assert memory.is_kept()
