import re

import pytest
import tiny

from inferometer.errors import UserError
from inferometer.findings import FindingsFile
from inferometer.reporting import pages, stamps

TEMPLATE = "experiments/tr900_tiny/report.md.j2"


def edit_template(repo, old: str, new: str) -> None:
    path = repo.root / TEMPLATE
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_numbers_are_links_with_their_interval(repo):
    text = repo.report.read_text()
    assert "[71.8 [69.4, 74.3]](tr900.evidence.md#one-slot.rate.n2)" in text
    assert "[70.7 [≥ 69.0] %](tr900.evidence.md#one-slot.efficiency)" in text
    assert "[not defined (the rate falls at every level)](tr900.evidence.md#peak)" in text
    assert "**inconclusive**" in text
    assert "measured `2025-01-02`" in text
    assert "[1](tr900.evidence.md#set-aside) aborted" in text


def test_equal_inputs_give_equal_bytes(repo):
    before = {path: path.read_bytes() for path in repo.render()}
    assert {path: path.read_bytes() for path in repo.render()} == before
    assert {path.name for path in before} == {
        "tr900.md",
        "tr900.evidence.md",
        "slots.json",
        "slots.mmd",
    }


def test_every_link_leads_to_an_entry(repo):
    evidence = (repo.reports / "tr900.evidence.md").read_text()
    assert pages.missing_anchors(repo.report.read_text(), {"tr900.evidence.md": evidence}) == []
    file = FindingsFile.load(repo.findings)
    assert {finding.id for finding in file.findings} <= pages.anchors(evidence)
    for session in file.sessions:
        assert session.raw_sha256 in evidence
        assert session.manifest_sha256 in evidence


def test_the_stamp_names_the_findings(repo):
    stamp = stamps.read(repo.report)
    assert stamp.results == f"../results/{tiny.MACHINE}/tr900"
    assert stamp.design_digest == repo.experiment.design.digest


def test_quick_depth_prints_no_verdict(tmp_path):
    quick = tiny.make(tmp_path / "repo", depth="quick")
    text = quick.report.read_text()
    assert "**Exploratory.**" in text
    assert "No verdict at this depth." in text
    evidence = (quick.reports / "tr900.evidence.md").read_text()
    for page in (text, evidence):
        assert not re.search(r"\*\*(supported|refuted|inconclusive|not testable here)\*\*", page)
    edit_template(quick, "One machine;", "{{ verdict('rate-falls').outcome }}")
    with pytest.raises(UserError, match="quick depth prints no verdicts"):
        quick.render()


def test_another_design_is_said_at_the_top(repo):
    file = FindingsFile.load(repo.findings)
    other = [file.sessions[0].model_copy(update={"design_digest": "f" * 64}), *file.sessions[1:]]
    repo.rewrite(sessions=other)
    repo.render()
    text = repo.report.read_text()
    assert "**Another design.**" in text.split("## Question")[0]
    assert "[1 of 6 sessions](tr900.evidence.md#sessions)" in text


@pytest.mark.parametrize(
    ("inserted", "message"),
    [
        ("about 12.5 tokens/s", r"line \d+: 12.5 is not linked"),
        ("{{ value('one-slot.rate.n3') }}", r"report.md.j2:\d+: .*did you mean one-slot.rate.n2"),
        ("{{ design('N = 77') }}", "77 is not a number of the design"),
        ("{{ unheard_of }}", r"report.md.j2:\d+: 'unheard_of' is undefined"),
        ("{{ value('peak', 'ms', ) ", r"report.md.j2:\d+: "),
        ("{{ figure('none', 'x') }}", "it drew: rate"),
        ("{{ says('rate-falls', supported='') }}", "no text for inconclusive"),
        ("{{ value('one-slot.rate.n1', 'ms') }}", "cannot be written in 'ms'"),
    ],
)
def test_rendering_refuses(repo, inserted, message):
    edit_template(repo, "One machine;", inserted)
    before = repo.report.read_bytes()
    with pytest.raises(UserError, match=message):
        repo.render()
    assert repo.report.read_bytes() == before


def test_a_finding_without_n_is_refused(repo):
    file = FindingsFile.load(repo.findings)
    bare = file.findings[0].model_copy(update={"n": 0})
    repo.rewrite(findings=[bare, *file.findings[1:]])
    with pytest.raises(UserError, match=r"finding one-slot.rate.n1: has a value but no n"):
        repo.render()


def test_a_declared_hypothesis_needs_a_verdict(repo):
    repo.rewrite(verdicts=[])
    with pytest.raises(UserError, match="hypothesis 'rate-falls' has no verdict"):
        repo.render()


def test_a_number_in_a_verdict_needs_its_source(repo):
    file = FindingsFile.load(repo.findings)
    loose = file.verdicts[0].model_copy(update={"reason": "it falls by 29 %"})
    repo.rewrite(verdicts=[loose])
    with pytest.raises(UserError, match="29 is not linked"):
        repo.render()


def test_a_wrong_context_is_named(repo):
    file = FindingsFile.load(repo.findings)
    repo.rewrite(context={**file.context, "cells_measured": "many"})
    with pytest.raises(UserError, match=r"context.cells_measured"):
        repo.render()


def test_texts_follow_the_outcome(repo):
    repo.rewrite(verdicts=[tiny._verdict("supported")])
    repo.render()
    assert "The rate falls to [71.8 tokens/s](tr900.evidence.md" in repo.report.read_text()
