"""The card of a dataset: a datasheet (Gebru et al., 2021) whose every number is read from the store."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

import maskopt_lib
from maskopt_lib import files
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data import tile_summary
from maskopt_lib.data.shards import WHOLE
from maskopt_lib.data.splits import SPLITS, SplitRule, leaks, rule_of, split_table, splits
from maskopt_lib.data.tile_store import TileStore

CARD = "README.md"

_WINDOWS = """\
Our reading of the paper, which does not state its algorithm: windows of {core:g} nm are stepped in the cell's own frame
from the lower left corner of its outline until the cell is covered, the last ones overhang; the placement's transform
carries them into the layout, so that a window of a cell is the same part of it in every orientation. Around that core
the layout is kept {context:g} nm wide on each side; narrower contexts are crops of it. An image is {image:g} nm wide
with pixels of {pixel:g} nm, and empty beyond its context: {core:g} + 2 x {context:g} = {content:g} nm, and only an
empty border makes a context of 0 nm meaningful. Pixels are half-open and exact in area; row 0 has the lowest y."""

_STATES = {
    "routed": "signal nets have wires: metal 1, contacts and via 1 are real",
    "placed": "cells on rows, signal nets without wires: metal 1 and contacts are those of the cells, no via 1",
    "legalised by us": "a global placement put on rows by our legaliser, without wires: as for placed",
    "routed by us": (
        "a square of a placed design whose nets between its cells were routed with qrouter, not by the design's own "
        "router; nets that leave the square have no wires: via 1 alone are cut from it"
    ),
    "generated": "cells and placement made by our own code from a seed",
}


def write_card(
    store: TileStore,
    path: str | Path | None = None,
    *,
    rule: SplitRule | None = None,
    deep: bool = True,
) -> Path:
    """Write the card of a store; gives its path.

    Parameters
    ----------
    store : described.
    path : of the file; ``README.md`` in the store's folder by default.
    rule : of the splits that are counted, for another choice than that of the store.
    deep : verify every byte, not sizes only, before the card says that the store is whole.
    """
    path = Path(path) if path is not None else store.path / CARD
    files.write_bytes(path, card_text(store, rule=rule, deep=deep).encode())
    return path


def card_text(store: TileStore, *, rule: SplitRule | None = None, deep: bool = True, partial: bool = False) -> str:
    """The card as Markdown, see :func:`write_card`; with ``partial`` of a store that is not complete, and says so."""
    rule = rule_of(store) if rule is None else rule
    state = store.verify(deep=deep)
    sections = [
        [f"# {store.attrs.get('title') or store.path.name}", _made_by(store)],
        ["## Motivation", _motivation(store)],
        ["## Composition", *_composition(store, partial), *_splits(store, rule, partial)],
        ["## Collection", *_collection(store)],
        ["## Preprocessing and labels", *_labels(store, partial)],
        ["## Uses", *_uses(store)],
        ["## Distribution", *_distribution(store)],
        ["## Maintenance and integrity", *_integrity(store, state, deep)],
    ]
    return "\n\n".join(block for section in sections for block in section if block) + "\n"


def _made_by(store: TileStore) -> str:
    record = store.attrs.get("record") or {}
    commit = f", commit {record['git_commit']}" if record.get("git_commit") else ""
    made = f", {record['created_at']}" if record.get("created_at") else ""
    version = record.get("versions", {}).get("maskopt-study", maskopt_lib.__version__)
    return f"Made by maskopt-study {version}{commit}{made}."


def _motivation(store: TileStore) -> str:
    if "reading" in store.rule:
        return f"Images of another dataset, brought into the form of this study's stores: {store.rule['reading']}."
    return (
        "Mask optimization is to be learned from tiles of real standard-cell designs that keep the cell they belong to "
        "and show their surroundings, as MaskOpt proposed. Its designs, settings and code are not public: this is a "
        "dataset built anew from open designs, not the authors' data, and its numbers are not theirs."
    )


def _composition(store: TileStore, partial: bool) -> list[str]:
    rule = store.rule
    layers = tile_summary.layer_counts(store, partial=partial)
    contexts = tile_summary.context_counts(store, partial=partial)
    designs = tile_summary.design_counts(store, partial=partial)
    cells = tile_summary.cell_counts(store, partial=partial)
    infos = store.attrs.get("designs", {})
    columns = [str(layer) for layer in layers.layer.values]
    kinds = (
        f"A tile is a core of {rule['core_nm']:g} nm with up to {rule['context_nm']:g} nm of context, a binary image "
        "of one layer, with design, layer, cell, instance, orientation, window and position. A label is a mask by each "
        "method with its scores; tiles that are equal under a symmetry of the optics share one."
    )
    return [
        kinds if "reading" not in rule else "A tile is an image of one layer as it was given.",
        _table(
            ["layer", "tiles", "different geometries", "labels", "bytes a tile", "bytes a mask"],
            [
                [layer, _n(at.tiles), _n(at.geometries), _n(at.labels), _n(at.tile_bytes), _n(at.mask_bytes)]
                for layer in columns
                for at in [layers.sel(layer=layer)]
            ],
        ),
        "By design:",
        _table(
            ["design", "family", "state", *columns],
            [
                [name, *(infos.get(name, {}).get(key, "not said") for key in ("family", "state"))]
                + [_n(designs.tiles.sel(design=name, layer=layer)) for layer in columns]
                for name in map(str, designs.design.values)
            ],
        ),
        "By context; geometries that are turns or mirrors of one another count once:",
        _table(
            ["layer", "context / nm", "geometries", "tiles a geometry", "with a shape cut", "labels", "labelled tiles"],
            [
                [
                    layer,
                    str(context),
                    _n(at.geometries),
                    f"{float(at.tiles_a_geometry):.1f}",
                    f"{float(at.cut_tiles):.1%}",
                    _n(at.labels),
                    _n(at.labelled_tiles),
                ]
                for layer in columns
                for context in contexts[ta.CONTEXT].values.tolist()
                for at in [contexts.sel({"layer": layer, ta.CONTEXT: context})]
            ],
        ),
        f"By cell, {cells.sizes['cell']} of them:",
        "<details><summary>tiles of every cell</summary>\n\n"
        + _table(
            ["cell", *columns],
            [
                [str(name), *(_n(cells.tiles.sel(cell=name, layer=layer)) for layer in columns)]
                for name in cells.cell.values
            ],
        )
        + "\n\n</details>",
    ]


def _splits(store: TileStore, rule: SplitRule, partial: bool) -> list[str]:
    blocks = [
        f"Splits are by family of designs (validation: {_listed(rule.validation_designs)}; held out: "
        f"{_listed(rule.held_out_designs)}) and by function of cells, never by tile. A geometry that occurs in two "
        "splits belongs to the first of them and is excluded from the other."
    ]
    for layer in store.layers:
        context = _main_context(store, layer, partial)
        of_tiles = splits(store, layer, context, rule, partial=partial)
        table = split_table(of_tiles)
        n_leaks = leaks(of_tiles.split.values, of_tiles.core.values)
        blocks += [
            f"{layer} at {context} nm; cells held out: {_listed(of_tiles.attrs['held_out_cells'])}; geometries in two "
            f"splits: {n_leaks}.",
            _table(
                ["split", "tiles", "share", "geometries", "cells", "functions", "designs"],
                [
                    [name, _n(at.tiles), f"{float(at.share):.1%}"]
                    + [_n(at[kind]) for kind in ("geometries", "cells", "functions", "designs")]
                    for name in SPLITS
                    for at in [table.sel(split=name)]
                ],
            ),
        ]
    return blocks


def _collection(store: TileStore) -> list[str]:
    infos = store.attrs.get("designs", {})
    states = sorted({info["state"] for info in infos.values() if "state" in info})
    rule = store.rule
    words = {name: rule[f"{name}_nm"] for name in ("core", "context", "image", "pixel")}
    words["content"] = rule["core_nm"] + 2 * rule["context_nm"]
    return [
        "\n".join(f"- **{state}**: {_STATES.get(state, 'not known to this card')}" for state in states),
        "\n".join(f"- `{name}`: {info['notes'].strip()}" for name, info in infos.items() if info.get("notes")),
        "\n".join(f"- `{name}`: {line}" for name, info in infos.items() for line in _left_out(info)),
        _WINDOWS.format(**words) if "reading" not in rule else "",
        f"The rule: `{json.dumps(rule, sort_keys=True)}`.",
    ]


def _left_out(info: Mapping[str, Any]) -> list[str]:
    """What was left out of a design for the rules that its tiles keep, a line a layer."""
    rules = _listed(info.get("rules", ()))
    return [
        f"{_n(n)} of {_n(of)} windows of {layer} are left out, for their core or context shows a place that breaks one "
        f"of its rules ({rules})"
        for layer, (n, of) in info.get("windows_left_out", {}).items()
    ]


def _labels(store: TileStore, partial: bool) -> list[str]:
    blocks = [
        "Rows are packed, eight pixels a byte, lowest bit first. Shapes that the edge of the window cuts are counted "
        "for each tile (`n_shapes_cut`), with the smallest width that a cut leaves (`min_cut_nm`), so that such tiles "
        "can be left out."
    ]
    for layer in store.layers:
        if not tile_summary.has_labels(store, layer):
            blocks.append(f"**{layer}** has no labels.")
            continue
        scores = tile_summary.label_scores(store, layer, partial=partial)
        names = [name for name in scores.data_vars if name != "labels"]
        settings = {name: value for name, value in scores.attrs.items() if name not in ("missing_shards", "methods")}
        blocks += [
            f"**{layer}**, mean scores of the masks on the core:",
            _table(
                ["context / nm", "method", "masks", *(_with_unit(scores[name]) for name in names)],
                [
                    [str(context), str(method), _n(at.labels), *(f"{float(at[name]):.4g}" for name in names)]
                    for context in scores[ta.CONTEXT].values.tolist()
                    for method in scores[ta.METHOD].values
                    for at in [scores.sel({ta.CONTEXT: context, ta.METHOD: method})]
                ],
            ),
            "<details><summary>methods and constants</summary>\n\n```json\n"
            + json.dumps(settings, indent=1, sort_keys=True, default=lambda v: getattr(v, "tolist", lambda: str(v))())
            + "\n```\n\n</details>"
            if settings
            else "",
        ]
    return blocks


def _uses(store: TileStore) -> list[str]:
    states = {info.get("state") for info in store.attrs.get("designs", {}).values()}
    lines = [
        "For training and judging models of masks, on seen and unseen cells and designs, and for studies of context.",
        "Scores hold for the optics and the limits that are named with the labels, not for another process.",
    ]
    if states & {"placed", "legalised by us"}:
        lines.append(
            "Not for claims about wiring on metal 1: designs without routing show the metal 1 of their cells only."
        )
    if "legalised by us" in states:
        lines.append(
            "Not for claims about placers: where a design was legalised by us, neighbours are of our choosing."
        )
    if "generated" in states:
        lines.append("Generated designs are for first contact and tests, not for numbers to publish.")
    return ["\n".join(f"- {line}" for line in lines)]


def _distribution(store: TileStore) -> list[str]:
    infos = store.attrs.get("designs", {})
    rows = [
        [name, info.get("licence") or "not said", "yes" if info.get("redistribution") is True else "no"]
        for name, info in infos.items()
    ]
    closed = [name for name, info in infos.items() if info.get("redistribution") is not True]
    note = (
        f"Tiles of {_listed(closed)} must not be passed on: export refuses them. Fetch those designs and build the "
        "dataset."
        if closed
        else "All designs may be passed on under their licences."
    )
    return [_table(["design", "licence", "may be passed on"], rows) if rows else "", note]


def _integrity(store: TileStore, state: xr.Dataset, deep: bool) -> list[str]:
    bad = state.where(state.state != WHOLE, drop=True)
    n = state.sizes["shard"]
    looked = "every byte read" if deep else "by size"
    blocks = [
        f"{n - bad.sizes['shard']} of {n} shards and descriptions are whole ({looked}); `TileStore(...).verify()` "
        "looks again, and a new run of the build repairs exactly what is missing or damaged."
    ]
    if bad.sizes["shard"]:
        columns = (bad[name].values.tolist() for name in ("layer", "kind", "index", "state"))
        listed = [f"{layer} {kind} {i:.0f} {what}" for layer, kind, i, what in zip(*columns, strict=True)]
        return [*blocks, "**Not complete**: " + ", ".join(listed[:20]) + (", ..." if len(listed) > 20 else "")]
    return [
        *blocks,
        f"SHA-256 over the checksums of all shards, whatever the order they were written in: `{store.digest()}`. The "
        "hash of every file stands in `shards/`.",
    ]


def _main_context(store: TileStore, layer: str, partial: bool) -> int:
    """The context that most labels of a layer are made with; the widest without labels."""
    contexts = [round(c) for c in store.rule["contexts_nm"]]
    if not tile_summary.has_labels(store, layer):
        return max(contexts)
    made = store.open(layer, labels=True, partial=partial).context_nm.values
    return max(contexts, key=lambda c: (int((made == c).sum()), c))


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def _n(value: Any) -> str:
    return f"{int(value):,}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _with_unit(score: xr.DataArray) -> str:
    units = score.attrs.get("units", "1")
    return f"{score.attrs.get('long_name', score.name)}" + ("" if units == "1" else f" / {units}")
