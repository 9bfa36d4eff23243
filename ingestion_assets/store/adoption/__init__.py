"""Tables of embeddings that other packages made, taken over without embedding them again."""

from ingestion_assets.store.adoption.adopting import Adopted, Target, adopt
from ingestion_assets.store.adoption.joining import check_name, join, joined
from ingestion_assets.store.adoption.layout import Layout, detect
from ingestion_assets.store.adoption.reading import Row, Survey, rows, sample, survey
from ingestion_assets.store.adoption.verifying import Verdict, compare

__all__ = [
    "Adopted",
    "Layout",
    "Row",
    "Survey",
    "Target",
    "Verdict",
    "adopt",
    "check_name",
    "compare",
    "detect",
    "join",
    "joined",
    "rows",
    "sample",
    "survey",
]
