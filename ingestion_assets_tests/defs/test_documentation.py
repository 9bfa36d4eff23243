import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion_assets_tests.defs.conftest import Materialize

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [
    pytest.param(code, id=page.stem)
    for page in PAGES
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    if "@dg.asset" in code
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_example_asset_works(code: str, materialize: Materialize) -> None:
    names: dict[str, Any] = {}
    exec(code, names)
    assets = [value for value in names.values() if isinstance(value, dg.AssetsDefinition)]
    assert len(assets) == 1
    assert len(code.splitlines()) < 20
    assert materialize(*assets).success


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
