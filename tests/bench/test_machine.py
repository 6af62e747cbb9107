"""What a measurement was made on."""

import os
import sys

import numpy as np
import pytest

from dinoseek.bench import machine


def test_machine_and_versions_say_what_decides_speed() -> None:
    found = machine.machine()

    assert found["processor"]
    assert found["cores"] == os.cpu_count()
    assert found["python"] == sys.version.split()[0]
    assert machine.versions()["numpy"] == np.__version__
    assert "dinoseek" in machine.versions()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_that_is_taken_shows_in_the_peak_and_stays_there() -> None:
    before = machine.resident_bytes()
    block = np.ones(30_000_000, np.uint8)
    held = machine.resident_bytes()
    del block

    assert held - before > 25_000_000
    assert machine.peak_bytes() > before + 25_000_000
    assert machine.free_memory() > 0


def test_where_there_is_no_proc_nothing_is_known(monkeypatch) -> None:
    monkeypatch.setattr(machine, "_field", lambda _file, _name: "")
    monkeypatch.setattr(machine, "processor_flags", frozenset)

    assert machine.peak_bytes() is None
    assert machine.resident_bytes() is None
    assert machine.free_memory() > 0
    assert machine.machine()["flags"] == []
