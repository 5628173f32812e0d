import os

import pytest

from inferometer import digests


@pytest.fixture
def code(tmp_path):
    package = tmp_path / "inferometer"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "near.py").write_text("from inferometer import far\n\nNEAR = 1\n")
    (package / "far.py").write_text('"""Far."""\nFAR = 1  # one\n')
    (tmp_path / "step.py").write_text("import os\nfrom inferometer.near import NEAR\n")

    def digest(**options):
        return digests.of_code(tmp_path / "step.py", search=tmp_path, **options)

    def write(name, text):
        path = tmp_path / name
        path.touch()
        before = path.stat().st_mtime_ns
        path.write_text(text)
        os.utime(path, ns=(before + 10**9, before + 10**9))

    return digest, write


def test_comments_docstrings_and_layout_do_not_count(code):
    digest, write = code
    before = digest()
    write("inferometer/far.py", '"""Another text."""\n\n# a comment\nFAR = (\n    1\n)\n')
    write("step.py", "# begin\nimport os\n\nfrom inferometer.near import NEAR  # near\n")
    assert digest() == before


def test_a_change_behind_two_imports_counts(code):
    digest, write = code
    before = digest()
    write("inferometer/far.py", "FAR = 2\n")
    assert digest() != before


def test_modules_left_out_do_not_count(code):
    digest, write = code
    before = digest(leave_out=["far"])
    write("inferometer/far.py", "FAR = 2\n")
    assert digest(leave_out=["far"]) == before


def test_a_docstring_added_to_a_function_does_not_count(code):
    digest, write = code
    write("inferometer/far.py", "def far():\n    return 1\n")
    before = digest()
    write("inferometer/far.py", 'def far():\n    """Say it."""\n    return 1\n')
    assert digest() == before


def test_equal_data_have_equal_digests_and_nan_is_refused():
    assert digests.of_data({"b": 1, "a": [2]}) == digests.of_data({"a": [2], "b": 1})
    assert digests.of_data({"a": 1}) != digests.of_data({"a": 1.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        digests.of_data(float("nan"))


def test_files_beside_the_importing_one_count_as_those_of_hosts_do(code):
    digest, write = code
    write("behind.py", "BEHIND = 1\n")
    write("other.py", "OTHER = 1\n")
    write("helper.py", "import behind\n")
    write("step.py", "import helper\n")
    before = digest()
    write("behind.py", "BEHIND = 2\n")
    assert digest() != before
    before = digest()
    write("other.py", "OTHER = 2\n")
    assert digest() == before
