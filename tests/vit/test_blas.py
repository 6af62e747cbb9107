"""The choice of OpenBLAS kernels, in processes of their own: it can be made once only."""

import os
import subprocess
import sys

import pytest

from dinoseek.vit import blas

needs_avx512 = pytest.mark.skipif(not blas.has_avx512(), reason="the processor has no AVX-512")


def python(code, **environment):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS", "DINOSEEK"))}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


PREFER = "from dinoseek.vit import blas; blas.prefer_fast_kernels(); "
ARCHITECTURE = "print(blas.kernels()[0].get('architecture'))"


@needs_avx512
def test_avx512_kernels_are_in_use_where_the_processor_has_them():
    assert python(PREFER + ARCHITECTURE) == "SkylakeX"


@needs_avx512
def test_a_machine_wide_pin_to_avx2_kernels_does_not_halve_the_speed():
    assert python(PREFER + ARCHITECTURE, OPENBLAS_CORETYPE="Haswell") == "SkylakeX"


@needs_avx512
def test_the_user_can_keep_the_kernels_that_the_environment_names():
    kept = {"OPENBLAS_CORETYPE": "Haswell", "DINOSEEK_BLAS_KERNELS": "keep"}

    code = "import os; from dinoseek.vit import blas; blas.prefer_fast_kernels(keep=True); "

    assert python(code + ARCHITECTURE, **kept) == "Haswell"


@needs_avx512
def test_another_avx512_choice_of_the_user_stays():
    code = PREFER + "import os; print(os.environ['OPENBLAS_CORETYPE'])"

    assert python(code, OPENBLAS_CORETYPE="Cooperlake") == "Cooperlake"


def test_nothing_is_set_once_numpy_is_loaded():
    code = "import numpy; from dinoseek.vit import blas; print(blas.prefer_fast_kernels())"

    assert python(code) == "False"


@needs_avx512
def test_the_library_warns_once_on_slow_kernels():
    code = (
        "import warnings; from dinoseek.vit import blas\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always'); blas.warn_if_slow(); blas.warn_if_slow()\n"
        "print(len(caught), caught[0].category.__name__, 'OPENBLAS' in str(caught[0].message))"
    )

    assert python(code, OPENBLAS_CORETYPE="Haswell") == "1 RuntimeWarning True"


def test_choosing_kernels_does_not_import_numpy():
    assert (
        python("import sys; from dinoseek.vit import blas; print('numpy' in sys.modules)")
        == "False"
    )


def test_one_thread_holds_until_the_last_caller_leaves_whichever_threads_they_are():
    code = """
import threading, numpy
from dinoseek.vit import blas
threads = lambda: blas.kernels()[0]["num_threads"]
entered, leave = threading.Event(), threading.Event()

def hold():
    with blas.one_thread():
        entered.set()
        leave.wait(60)

seen = [threads()]
with blas.one_thread():
    seen.append(threads())
seen.append(threads())
thread = threading.Thread(target=hold)
thread.start()
entered.wait(60)
seen.append(threads())
with blas.one_thread():
    pass
seen.append(threads())
with blas.one_thread():
    leave.set()
    thread.join()
    seen.append(threads())
print(*seen, threads())
"""

    assert python(code, OPENBLAS_NUM_THREADS="2") == "2 1 2 1 1 1 2"
