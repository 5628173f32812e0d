"""The stamp on both pages of a report: which findings, in which folder, it was rendered from."""

import json
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from inferometer.errors import UserError
from inferometer.findings import FindingsFile

_COMMENT = re.compile(r"\A<!-- inferometer (\{.*\}) -->\n")


class Stamp(BaseModel):
    """What the first line of a page says about its origin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: Literal["report", "evidence"]
    experiment: str
    machine: str
    depth: str
    results: str
    """The results folder, relative to the page."""
    findings_sha256: str
    observations_sha256: str
    design_digest: str

    def comment(self) -> str:
        """As the HTML comment that is a page's first line."""
        return f"<!-- inferometer {json.dumps(self.model_dump(), sort_keys=True)} -->\n"


def of(
    file: FindingsFile, page: Literal["report", "evidence"], results: str, findings_sha256: str
) -> Stamp:
    """The stamp of a page rendered from a findings file."""
    return Stamp(
        page=page,
        experiment=file.experiment,
        machine=file.machine,
        depth=file.depth,
        results=results,
        findings_sha256=findings_sha256,
        observations_sha256=file.observations_sha256,
        design_digest=file.design_digest,
    )


def read(page: Path) -> Stamp:
    """The stamp of a page on disk; `UserError` when it has none or an unreadable one."""
    try:
        found = _COMMENT.match(page.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{page}: missing; `snakemake {page}` writes it") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{page}: not UTF-8 text ({error})") from error
    if found is None:
        raise UserError(f"{page}: no stamp in its first line; Inferometer did not render this page")
    try:
        return Stamp.model_validate_json(found.group(1))
    except ValidationError as error:
        raise UserError(f"{page}: its stamp is altered: {error.errors()[0]['msg']}") from error
