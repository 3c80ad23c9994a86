"""Data of the study: the manifest of real files, the published tables, and the names and units of what is stored."""

from maskopt_lib.data import manifest, schema
from maskopt_lib.data.papers import published
from maskopt_lib.data.reference import golden_scores

__all__ = ["golden_scores", "manifest", "published", "schema"]
