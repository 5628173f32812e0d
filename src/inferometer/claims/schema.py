"""The shape of a registry file: a source, its claims, their checks and their findings."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from inferometer.claims import expression
from inferometer.claims.functions import FUNCTIONS

Kind = Literal[
    "arithmetic",
    "physics-bound",
    "vendor-fact",
    "measurement",
    "equivalence",
    "projection",
    "policy",
]
Role = Literal["identity", "limit", "bound", "support"]
VerdictKind = Literal[
    "impossible",
    "inconsistent",
    "contradicted",
    "reproduced",
    "inconclusive",
    "plausible",
    "consistent",
    "not testable here",
    "not judged",
]
Need = Literal[
    "arithmetic-only",
    "vendor-spec",
    "roofline",
    "cpu-run",
    "gpu-run",
    "model>=1b",
    "dataset",
    "docker",
    "not-testable",
]
NEEDS: dict[str, str] = {
    "arithmetic-only": "the document's own numbers",
    "vendor-spec": "a published specification",
    "roofline": "bandwidth and compute of the named machine",
    "cpu-run": "a run on a CPU",
    "gpu-run": "a run on a GPU",
    "model>=1b": "a model of a billion parameters or more",
    "dataset": "labelled items",
    "docker": "a container engine",
    "not-testable": "something that no run can settle",
}
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
ClaimId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9\-]*$")]
Text = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Quantity(_Entry):
    """A published number, range or word, with its unit.

    In expressions a range `x` is `x_low` and `x_high`; anything else is `x`. A word codes what a
    passage recommends, so that two passages can be compared.
    """

    name: Name
    value: float | tuple[float, float] | Text
    unit: Text

    @field_validator("value")
    @classmethod
    def _ordered(cls, value: float | tuple[float, float] | str) -> object:
        if isinstance(value, tuple) and value[0] > value[1]:
            raise ValueError(f"range {value[0]:g} to {value[1]:g}: write the smaller end first")
        return value


class Step(_Entry):
    """A named intermediate result; later steps and the tests can use it."""

    name: Name
    expr: Text
    unit: str = ""


class Condition(_Entry):
    """What decides: an expression that is true or false, and what either outcome means.

    | role | holds | fails |
    |---|---|---|
    | `identity` | consistent | inconsistent |
    | `limit` | consistent | impossible |
    | `bound` | plausible | impossible |
    | `support` | plausible | inconsistent |

    `against` names the section, formula or fact that the claim is held against.
    """

    expr: Text
    role: Role
    against: str = ""


class Check(_Entry):
    """Arithmetic that judges a claim: steps, then tests; the gravest test gives the verdict."""

    steps: list[Step] = []
    tests: list[Condition] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_arithmetic(self) -> Self:
        written = [(f"steps.{step.name}", step.expr) for step in self.steps]
        written += [(f"tests.{at}", test.expr) for at, test in enumerate(self.tests)]
        for where, text in written:
            try:
                expression.parse(text)
            except expression.ExpressionError as error:
                raise ValueError(f"{where}: {text!r}: {error}") from None
        for step in self.steps:
            if step.name in FUNCTIONS:
                raise ValueError(f"steps.{step.name}: is a function's name; choose another")
        return self


class Binding(_Entry):
    """The finding of an experiment that can decide the claim.

    `expected`, `low`, `high` are expressions over the claim's quantities and steps. `within` uses
    low and high; `at_least` and `at_most` use expected; `equals` uses expected and the relative
    `tolerance`; `equivalent` uses expected and the absolute `margin` (two one-sided tests by
    interval inclusion).

    `scope: any` lets every machine reproduce or contradict the claim; `scope: same-machine` lets
    only a machine whose id begins with `machine` do so, and others merely comment.
    """

    finding: Annotated[str, Field(pattern=r"^[a-z0-9_]+\.[a-z0-9][a-z0-9_.\-]*$")]
    relation: Literal["within", "at_least", "at_most", "equals", "equivalent"]
    expected: str | None = None
    low: str | None = None
    high: str | None = None
    tolerance: float | None = Field(default=None, gt=0)
    margin: float | None = Field(default=None, gt=0)
    scope: Literal["any", "same-machine"]
    machine: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        wanted = {
            "within": ("low", "high"),
            "at_least": ("expected",),
            "at_most": ("expected",),
            "equals": ("expected", "tolerance"),
            "equivalent": ("expected", "margin"),
        }[self.relation]
        for key in wanted:
            if getattr(self, key) is None:
                raise ValueError(f"relation {self.relation} needs {' and '.join(wanted)}")
        if (self.scope == "same-machine") != (self.machine is not None):
            raise ValueError("scope same-machine and the key machine go together")
        for key in ("expected", "low", "high"):
            text = getattr(self, key)
            if text is not None:
                try:
                    expression.parse(text)
                except expression.ExpressionError as error:
                    raise ValueError(f"{key}: {text!r}: {error}") from None
        return self

    @property
    def experiment(self) -> str:
        """The experiment that the finding belongs to: the part before the first dot."""
        return self.finding.split(".", 1)[0]


class Claim(_Entry):
    """One falsifiable statement of a document, in the project's own words.

    `expected` is what the authors of the registry think the verdict is. It is never printed as a
    result; the tests compare it with the computed one.
    """

    id: ClaimId
    locator: Text
    statement: Text
    kind: Kind
    quantities: list[Quantity]
    needs: list[Need] = Field(min_length=1)
    experiment: Text
    check: Check | None = None
    binding: Binding | None = None
    note: str = ""
    evidence: list[Text] = []
    expected: VerdictKind | None = None

    @model_validator(mode="after")
    def _names_distinct(self) -> Self:
        names = [quantity.name for quantity in self.quantities]
        names += [step.name for step in self.check.steps] if self.check else []
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]!r} is used twice in quantities and steps")
        return self


class Source(_Entry):
    """The document that the claims of a file come from."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9\-]*$")]
    title: Text
    dated: Text
    document: Text
    about: Text
    machine: str = ""


class Constant(_Entry):
    """A number or word that checks may use besides the claim's own.

    `sourced` was found in the named place; `derived` follows from the named facts by arithmetic;
    `archive` is a measurement published in the archive that a source summarises, not re-measured;
    `unsourced` is from memory, and a verdict that hangs on it says so.
    """

    value: float | Text
    unit: Text
    what: Text
    status: Literal["sourced", "derived", "archive", "unsourced"]
    source: Text
    seen: date


class ArchitectureEntry(_Entry):
    """A model's shape, with where it was read."""

    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    hidden: int = Field(gt=0)
    params: float = Field(gt=0)
    active_params: float | None = Field(default=None, gt=0)
    kv_layers: int | None = Field(default=None, gt=0)
    positions: int = Field(gt=0)
    status: Literal["sourced", "derived", "archive", "unsourced"]
    source: Text
    seen: date


class ConstantsFile(_Entry):
    """The table of constants and architectures that every check may name."""

    schema_version: Literal[1]
    architectures: dict[Name, ArchitectureEntry]
    constants: dict[Name, Constant]
