"""What is written does not depend on which kernels of linear algebra the processor gets."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inferometer import analysis
from inferometer.stats.least_squares import fit_curve
from inferometer.stats.polish import polished

REPOSITORY = Path(__file__).parents[2]
EVIDENCE = "results/epyc-2c-24g-371767/tr129"
KERNELS = ("Nehalem", "Haswell")
"""Those of OpenBLAS for x86-64 that need no AVX-512; other processors ignore the choice."""


def test_findings_and_figures_are_the_same_bytes_with_other_kernels(tmp_path):
    written = []
    for kernel in KERNELS:
        folder = tmp_path / kernel / EVIDENCE
        shutil.copytree(REPOSITORY / EVIDENCE, folder)
        verb = [sys.executable, "-m", "inferometer", "analyse", str(folder)]
        environment = os.environ | {"OPENBLAS_CORETYPE": kernel}
        subprocess.run(
            [*verb, "--root", str(REPOSITORY)], env=environment, check=True, capture_output=True
        )
        files = [folder / "findings.json", *sorted((folder / "figures").glob("*.svg"))]
        written.append({path.name: path.read_bytes() for path in files})
    assert len(written[0]) > 1
    assert written[0] == written[1]


def test_polishing_forgets_where_the_search_ended():
    x = np.array([64.0, 128, 256, 512, 1024, 2048])
    y = np.array([0.11, 0.2, 0.47, 0.8, 2.1, 3.9])
    fit = fit_curve(lambda v, a, b: a * v**b, x, y, [[1e-3, 1.0]])
    ends = []
    for shift in (-1e-6, 1e-6):
        start = np.array(fit.parameters) * (1 + shift)
        ends.append(polished(lambda p: p[0] * x ** p[1] - y, start)[0])
    assert ends[0] == pytest.approx(ends[1], rel=1e-13)
    assert fit.parameters == pytest.approx(tuple(ends[0]), rel=1e-13)


def test_curves_that_take_no_complex_numbers_keep_the_fit_of_the_search():
    x, y = np.array([1.0, 2, 3, 4]), np.array([2.1, 3.9, 6.2, 7.9])
    real = fit_curve(lambda v, a: np.array([float(a)] * 4) * v, x, y, [[1.0]])
    assert polished(lambda p: np.array([float(p[0])] * 4) * x - y, np.array([2.0])) is None
    assert real.parameters == pytest.approx(fit_curve(lambda v, a: a * v, x, y, [[1.0]]).parameters)


@pytest.mark.parametrize(
    ("computed", "stored"),
    [
        (0.68608521689591471, 0.6860852169),
        (46080.000000000015, 46080.0),
        (123456789012345.0, 123456789012345.0),
        (123456789012345, 123456789012345),
        (-1.2345678901234e-7, -1.23456789e-7),
    ],
)
def test_findings_keep_ten_digits(computed, stored):
    assert repr(analysis._plain(np.array(computed)[()])) == repr(stored)
