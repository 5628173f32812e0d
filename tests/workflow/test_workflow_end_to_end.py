import json


def test_the_main_command_measures_and_reports_on_a_real_server(measured_once):
    checkout, done = measured_once
    assert done.rc == 0, done.text
    assert not done.messages()
    assert "tr129 llamacpp-serial block 1/2" in done.text
    report = (checkout.root / "reports" / "tr129.md").read_text()
    assert "exploratory" in report.lower()
    assert (checkout.root / "reports" / "tr129.evidence.md").is_file()
    assert (checkout.results / "findings.json").is_file()
    assert len(checkout.raw_files()) == 4
    assert not checkout.servers()


def test_every_session_says_what_it_was_measured_with(measured_once):
    checkout, _ = measured_once
    for path in checkout.results.glob("raw/*/*.manifest.json"):
        sealed = json.loads(path.read_text())
        (server,) = sealed["servers"]
        slots = {"llamacpp-serial": 1, "llamacpp-batch8": 8}[sealed["sut"]]
        assert server["read_back"]["slots"] == slots
        assert server["read_back"]["context_per_slot"] == [512]
        assert server["exact_prompts"] is True
        assert server["environment"]["freeze"]
        assert sealed["machine"]["id"] == checkout.machine
        assert sealed["code"]["commit"]
        assert not sealed["invalid_cells"]
        assert sealed["timing"]["cells_s"] > 0
        assert str(checkout.root) not in path.read_text()


def test_audit_passes_after_the_first_run(measured_once):
    checkout, _ = measured_once
    done = checkout.inferometer("audit")
    assert done.rc == 0, done.text


def test_a_second_run_has_nothing_to_do(measured):
    assert measured.planned() == {}
    done = measured.report()
    assert done.rc == 0, done.text
    assert "Nothing to be done" in done.text
