"""Croissant metadata of an exported dataset: what its files are and what their columns mean, for machines.

Format: MLCommons Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html), JSON-LD.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import maskopt_lib
from maskopt_lib import files
from maskopt_lib.data.tile_store import TileStore

CROISSANT = "croissant.json"

#: Column of the files -> type of its values, and what it says.
FIELDS = {
    "image": ("sc:ImageObject", "the mask, 1 nm a pixel; the top row has the highest y"),
    "conditioning_image": ("sc:ImageObject", "the layout with its context, of the same size"),
    "mask_type": ("sc:Text", "method that made the mask"),
    "context": ("sc:Integer", "surroundings that are shown around the core, in nm"),
    "source_dataset": ("sc:Text", "design that the tile is of"),
}
_TERMS = (
    "citeAs column data equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
).split()
#: As the specification prints it: readers compare it.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _TERMS},
    "data": {"@id": "cr:data", "@type": "@json"},
}


def croissant(store: TileStore, paths: Sequence[Path], *, layer: str) -> dict[str, Any]:
    """Metadata of parquet files that were exported from a store.

    Parameters
    ----------
    store : that the tiles are of.
    paths : of the files, all in one folder; their bytes are hashed.
    layer : that they hold.

    Returns
    -------
    JSON-LD, as plain values.
    """
    record, designs = store.attrs.get("record") or {}, store.attrs.get("designs", {})
    licences = sorted({info.get("licence") or "not said" for info in designs.values()}) or ["not said"]
    rule = store.rule
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": path.name,
            "name": path.name,
            "contentUrl": path.name,
            "contentSize": f"{path.stat().st_size} B",
            "encodingFormat": "application/x-parquet",
            "sha256": files.sha256_of(path),
        }
        for path in sorted(paths)
    ]
    record_sets = [
        {
            "@type": "cr:RecordSet",
            "@id": path.stem,
            "name": path.stem,
            "description": f"tiles of {path.name}",
            "field": [_field(path, name) for name in FIELDS],
        }
        for path in sorted(paths)
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"{store.path.name}-{layer}",
        "description": (
            f"{store.attrs.get('title') or 'Tiles of open designs with masks'}: {layer}, "
            f"cores of {rule['core_nm']:g} nm with up to {rule['context_nm']:g} nm of context; "
            f"digest of the store {store.digest()}."
        ),
        "license": licences,
        "url": "README.md",
        "version": record.get("versions", {}).get("maskopt-study", maskopt_lib.__version__),
        **({"datePublished": record["created_at"][:10]} if record.get("created_at") else {}),
        "creator": {"@type": "sc:Organization", "name": "The MaskOpt Study authors"},
        "citeAs": "See CITATION.cff of the study, and the cards of the designs.",
        "distribution": objects,
        "recordSet": record_sets,
    }


def _field(path: Path, name: str) -> dict[str, Any]:
    kind, meaning = FIELDS[name]
    source = {"fileObject": {"@id": path.name}, "extract": {"column": name}}
    if kind == "sc:ImageObject":  # stored as its bytes and a name
        source["transform"] = {"jsonPath": "bytes"}
    about = {"name": name, "description": meaning, "dataType": kind, "source": source}
    return {"@type": "cr:Field", "@id": f"{path.stem}/{name}"} | about


def write_croissant(store: TileStore, paths: Sequence[Path], *, layer: str) -> Path:
    """Write :func:`croissant` as ``croissant.json`` beside the files."""
    path = paths[0].parent / CROISSANT
    text = json.dumps(croissant(store, paths, layer=layer), indent=1, ensure_ascii=False)
    files.write_bytes(path, f"{text}\n".encode())
    return path
