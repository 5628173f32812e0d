import json

from inferometer.findings import Branch, Decision, Leaf
from inferometer.reporting import decisions

TREE = Decision(
    id="slots",
    title="Slots",
    root=Branch(
        question="eta low?",
        finding="eta",
        holds=True,
        yes=Branch(
            question="fair?", finding="jain", yes=Leaf(advice='say "one"'), no=Leaf(advice="two")
        ),
        no=Leaf(advice="three"),
    ),
)


def test_text_marks_the_way_and_what_is_open():
    assert decisions.as_text(TREE).split("\n") == [
        "▶ eta low? (yes)",
        "▶     yes: fair? (undecided)",
        '?         yes: → say "one"',
        "?         no: → two",
        "      no: → three",
    ]


def test_mermaid_has_one_arrow_a_branch():
    text = decisions.as_mermaid(TREE)
    assert "n0 ==>|yes| n1" in text
    assert "n1 -.->|no| n3" in text
    assert "n0 -->|no| n4" in text
    assert "say #quot;one#quot;" in text


def test_json_advice_and_findings():
    assert json.loads(decisions.as_json(TREE))["root"]["finding"] == "eta"
    assert decisions.advice(TREE) == ['say "one"', "two"]
    assert decisions.findings_of(TREE) == ["eta", "jain"]


def test_quick_depth_leaves_all_open():
    assert decisions.advice(decisions.undecided(TREE)) == ['say "one"', "two", "three"]


def test_a_question_without_finding_is_the_readers_own():
    own = Decision(
        id="own",
        title="Own",
        root=Branch(question="many agents?", yes=TREE.root, no=Leaf(advice="four")),
    )
    lines = decisions.as_text(own).split("\n")
    assert lines[0] == "▶ many agents? (your case)"
    assert lines[1] == "▶     yes: eta low? (yes)"
    assert lines[-1] == "▶     no: → four"
    assert "n0 -->|no| n6" in decisions.as_mermaid(own)
