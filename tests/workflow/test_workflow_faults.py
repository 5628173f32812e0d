"""Real faults: kills, hangs, refused disks. The records taken before must stay."""

import os
import signal
import subprocess
from contextlib import contextmanager

import pytest
from checkouts import server_process, until

MEASURE = ("measure", "tr129", "--sut", "llamacpp-serial", "--block", "0", "--depth", "quick")


def long_cells(checkout, deadline_s=60):
    """Cells long enough to be hit in the middle."""

    def change(design):
        effort = design["depths"]["quick"]["effort"]
        effort.update(min_s=20, deadline_s=deadline_s)

    checkout.change_design(change)


def short_cells(checkout):
    checkout.change_design(
        lambda d: d["depths"]["quick"]["effort"].update(min_s=0.3, deadline_s=20)
    )


def requests_taken(checkout):
    lines = [
        line
        for path in checkout.raw_files("*/aborted/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return sum('"kind":"request"' in line for line in lines)


def in_mid_block(checkout, running):
    assert until(lambda: requests_taken(checkout) > 2 or running.process.poll() is not None, 60)
    assert running.process.poll() is None, running.text


def measuring(running):
    """The process that measures, below snakemake and its shell."""
    return next(p for p in running.family() if p.cmdline()[1:4] == ["-m", "inferometer", "measure"])


def one_message(done):
    assert done.rc != 0
    assert "Traceback" not in done.text, done.text
    (message,) = done.messages()
    return message


def test_kill_9_of_the_runner_leaves_no_server_and_loses_no_record(checkout):
    long_cells(checkout)
    running = checkout.start("inferometer", *MEASURE)
    in_mid_block(checkout, running)
    before = requests_taken(checkout)
    running.process.kill()
    running.wait(60)
    assert checkout.no_server_left()
    assert requests_taken(checkout) >= before
    (partial,) = checkout.raw_files("*/aborted/*.jsonl")
    kept = partial.read_bytes()
    short_cells(checkout)
    done = checkout.inferometer(*MEASURE)
    assert done.rc == 0, done.text
    assert checkout.raw_files("llamacpp-serial/00.jsonl")
    assert partial.read_bytes() == kept


def test_a_server_that_is_killed_in_mid_block_is_one_message(checkout):
    long_cells(checkout)
    running = checkout.start("inferometer", *MEASURE)
    in_mid_block(checkout, running)
    before = requests_taken(checkout)
    server_process(checkout).kill()
    done = running.wait(60)
    message = one_message(done)
    assert "tr129 llamacpp-serial block 1/2" in message
    assert "stopped answering" in message
    assert "run again" in message
    assert "has ended" in done.err
    assert requests_taken(checkout) >= before
    assert checkout.no_server_left()


@pytest.mark.slow
def test_a_server_that_hangs_ends_the_block_within_its_deadline(checkout):
    long_cells(checkout, deadline_s=4)
    checkout.change_design(lambda d: d["depths"]["quick"]["effort"].update(min_s=3.5))
    running = checkout.start("inferometer", *MEASURE)
    in_mid_block(checkout, running)
    server_process(checkout).send_signal(signal.SIGSTOP)
    done = running.wait(60)
    assert "block 1/2" in one_message(done)
    assert checkout.no_server_left()
    assert requests_taken(checkout) > 2


def test_ctrl_c_ends_everything_and_the_next_run_goes_on(checkout):
    long_cells(checkout)
    running = checkout.start("inferometer", *MEASURE)
    in_mid_block(checkout, running)
    running.signal_group(signal.SIGINT)
    done = running.wait(60)
    assert "interrupted" in one_message(done)
    assert checkout.no_server_left()
    assert requests_taken(checkout) > 2


def test_a_results_folder_that_cannot_be_written_is_one_message(checkout):
    (checkout.root / "results").write_text("a file, no folder")
    message = one_message(checkout.inferometer(*MEASURE))
    assert "cannot write" in message
    assert "run again" in message
    assert not checkout.servers()


@contextmanager
def small_disk(path):
    """A file system of 24 KiB at `path`; skips where it may not be mounted."""
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_one_message_and_keeps_what_was_written(checkout):
    long_cells(checkout)
    with small_disk(checkout.root / "results"):
        done = checkout.inferometer(*MEASURE)
        message = one_message(done)
        assert "cannot write" in message
        assert "Free space" in message
        assert done.text.count("cannot write") == 1
        assert requests_taken(checkout) > 2
    assert checkout.no_server_left()


def test_a_model_with_a_wrong_sha256_is_refused(checkout):
    model = checkout.root / "mine.gguf"
    model.write_bytes(b"GGUF")

    def change(config):
        config["artifacts"] = {"smollm2-135m-q4_1": {"path": str(model), "sha256": "0" * 64}}

    checkout.change_config(change)
    message = one_message(checkout.inferometer(*MEASURE))
    assert "artifacts.smollm2-135m-q4_1.sha256" in message


def test_a_missing_model_file_is_refused(checkout):
    def change(config):
        path = str(checkout.root / "none.gguf")
        config["artifacts"] = {"smollm2-135m-q4_1": {"path": path, "sha256": "0" * 64}}

    checkout.change_config(change)
    message = one_message(checkout.inferometer(*MEASURE))
    assert "none.gguf does not exist" in message


def test_the_worker_refuses_to_measure_for_another_machine(checkout):
    done = checkout.inferometer(*MEASURE, "--machine", "other-2c-8g-abc123")
    message = one_message(done)
    assert "belongs to machine other-2c-8g-abc123" in message
    assert not (checkout.root / "results").exists()
