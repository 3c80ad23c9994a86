"""Data of the study: the manifest of real files, the published tables, and the names and units of what is stored."""

from maskopt_lib.data import manifest, schema
from maskopt_lib.data.papers import golden_scores, published
