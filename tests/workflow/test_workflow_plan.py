def test_changed_settings_measure_only_their_own_system_again(measured):
    assert measured.planned() == {}

    def change(design):
        design["suts"]["llamacpp-serial"]["settings"]["context_per_slot"] = 1024

    measured.change_design(change)
    assert measured.planned()["measure"] == 2


def test_a_changed_seed_measures_everything_again(measured):
    measured.change_design(lambda design: design.update(seed=1))
    assert measured.planned()["measure"] == 4


def test_an_edited_analysis_measures_nothing(measured):
    path = measured.design_file.with_name("analyse.py")
    path.write_text(path.read_text() + "\n# a comment\n")
    assert measured.planned() == {}
    path.write_text(path.read_text() + "\nHARMLESS = 1\n")
    planned = measured.planned()
    assert {"analyse", "report"} <= set(planned)
    assert "measure" not in planned


def test_one_flipped_byte_of_raw_evidence_fails_the_audit_by_name(measured):
    path = measured.raw_files("*/*.jsonl")[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = measured.inferometer("audit")
    assert done.rc == 1
    assert str(path.relative_to(measured.root)) in done.text.replace("\n", "")


def test_a_fresh_checkout_plans_several_reports_at_once(checkout):
    targets = ("reports/tr129.md", "reports/tr123.md", "reports/aa_calibration.md")
    done = checkout.snakemake("-n", *targets, "--config", "depth=quick")
    assert done.rc == 0, done.text
