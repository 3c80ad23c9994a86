"""Placed and routed designs: DEF and LEF merged with the cells' own layouts, kept hierarchical, asked by region.

A DEF file places cells and draws wires; what a cell looks like stands in the library's GDS. KLayout's reader puts both
together as references, so a design of any size needs memory for its cells and wires only, and a region is looked up
without flattening the rest.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import xarray as xr
from klayout import db

from maskopt_lib.data import manifest, schema
from maskopt_lib.errors import LayoutError, LayoutWarning, MissingDataError, UnknownNameError
from maskopt_lib.layout import def_files, raster
from maskopt_lib.layout.layers import layer_names, resolve_layer
from maskopt_lib.layout.platforms import PLATFORMS, Platform, platform_file
from maskopt_lib.layout.reader import layout_suffix, open_layout, top_cell
from maskopt_lib.layout.shapes import (
    MAX_SHAPES,
    bounds,
    box_nm,
    checked_region,
    count,
    drawn,
    has_shapes,
    merged_rings,
    smallest_nm,
    unit_nm,
    without_area,
)
from maskopt_lib.layout.writer import writable_names, write_layout
from maskopt_lib.options import Positive, check

#: Dimension of a table of placed cells.
INSTANCE = "instance"
#: Where a design file keeps the name of an instance.
_NAME = "name"
# Database unit of a DEF that comes without a KLayout technology, where no file beside it asks for a finer one.
_DBU_UM = 0.0001
_SUFFIXES = (".def", ".gds", ".oas")
# How DEF calls what KLayout calls r0, r90, ...
_ORIENTATIONS = {"r0": "N", "r90": "W", "r180": "S", "r270": "E", "m0": "FS", "m45": "FW", "m90": "FN", "m135": "FE"}


@dataclass(frozen=True, kw_only=True)
class DesignInfo:
    """What is known of a design beside its geometry.

    Attributes
    ----------
    name : as results call it.
    family : the circuit; designs of one family stay on one side of a split.
    platform : name of its cells and layers.
    file : the file it is read from, a name of the manifest or a path; None for one made by code.
    state : "routed", "placed" (legal, no wires), "legalised by us" or "generated".
    layers : those that it is good for.
    licence : of the file.
    redistribution : whether the licence lets one pass on the file and what is cut from it.
    notes : limits, in words.
    facts : counts by an independent merge, where there are any.
    """

    name: str
    family: str
    platform: str
    file: str | None
    state: str
    layers: tuple[str, ...]
    licence: str
    redistribution: bool
    notes: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """A hierarchical layout with its cells.

    Attributes
    ----------
    name : of the design.
    path : the file it was read from.
    platform : whose layers and cells it uses.
    layout : KLayout's object; its only top cell is the design.
    info : family, state, licence and what it is good for; None for a file that was just read.
    """

    name: str
    path: Path
    platform: Platform
    layout: db.Layout
    info: DesignInfo | None = None

    @property
    def top(self) -> db.Cell:
        """The cell that holds all others."""
        return self.layout.top_cell()

    @property
    def die_nm(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of the die; of everything drawn where the file has no die."""
        index = self.layout.find_layer(*self.platform.die)
        box = db.Box() if index is None else db.Region(self.top.shapes(index)).bbox()
        return self.box_nm if box.empty() else self._nm(box)

    @property
    def box_nm(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of everything drawn."""
        return self._nm(self.top.bbox())

    def bounds_nm(self, layer: str | tuple[int, int]) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of a layer."""
        return self._nm(bounds(self.top, self._index(layer)))

    def instances(self) -> xr.Dataset:
        """The placed cells, row by row from below, each from the left.

        Returns
        -------
        Dataset over ``instance`` (names; numbers where the file has none): ``cell``, ``orientation`` as in DEF (N, S,
        W, E, FN, FS, FW, FE), ``x0_nm``, ``y0_nm``, ``x1_nm``, ``y1_nm`` of the cell's outline (NaN for a cell without
        layout), ``is_logic``.

        Raises
        ------
        LayoutError : a cell that is magnified, turned by less than 90 degrees, or placed without bound.
        """
        outline = self.layout.find_layer(*self.platform.outline)
        rows = []
        for reference in self.top.each_inst():
            cell, name = reference.cell, instance_name(reference)
            box = db.Box() if outline is None else cell.bbox(outline)
            if name is None and box.empty():  # a via, or a part that is no cell of the library
                continue
            if reference.is_complex() or reference.size() > MAX_SHAPES:
                raise LayoutError(
                    f"{self.name}: {cell.name} is placed {reference.size()} x by {reference.cplx_trans}; cells stand "
                    "in their own size, turned by quarters, and in no array without bound: flatten what does not"
                )
            for place in reference.cell_inst.each_cplx_trans():
                bounds = (np.nan,) * 4 if box.empty() else self._nm(place * box)
                rows.append((name or "", cell.name, orientation_of(place.s_trans()), *bounds))
        # Files keep their instances in no order of their own.
        rows.sort(key=lambda row: (np.nan_to_num((row[4], row[3]), nan=np.inf).tolist(), row[0]))
        names, cells, turns, *boxes = zip(*rows, strict=True) if rows else [()] * 7
        logic = [self.platform.is_logic(cell) for cell in cells]
        columns = {
            "cell": schema.column(INSTANCE, np.array(cells, dtype=str), "cell"),
            "orientation": schema.column(INSTANCE, np.array(turns, dtype=str), "orientation as in DEF"),
            "is_logic": schema.column(INSTANCE, np.array(logic, dtype=bool), "whether it is a logic cell"),
        }
        for side, values in zip(("x0_nm", "y0_nm", "x1_nm", "y1_nm"), boxes, strict=True):
            sides = np.array(values, dtype=float)
            columns[side] = schema.column(INSTANCE, sides, f"outline of the cell, {side[:2]}", "nm")
        return xr.Dataset(
            columns,
            coords={INSTANCE: np.array([name or str(i) for i, name in enumerate(names)], dtype=str)},
            attrs={"design": self.name, "die_nm": list(self.die_nm)},
        )

    def drawn(self, layer: str | tuple[int, int], cell: db.Cell | None = None) -> db.Region:
        """A layer as it is drawn, of the design or of one of its cells; empty where nothing is on it."""
        index = self.layout.find_layer(*resolve_layer(layer, self.platform.process))
        return db.Region() if index is None else drawn(cell or self.top, index)

    def count(self, layer: str | tuple[int, int]) -> int:
        """Shapes of a layer as drawn, in every place of their cells; of very many texts are counted with them."""
        return count(self.top, self._index(layer))

    def without_area(self, layer: str | tuple[int, int]) -> int:
        """Shapes of a layer that cover nothing; one in a cell counts once, wherever that is placed."""
        return without_area(self.top, self._index(layer))

    def warn_without_area(self, layer: str | tuple[int, int]) -> None:
        """Say how many shapes of a layer cover nothing, and so are left out."""
        if n := self.without_area(layer):
            text = f"{self.path}: {n} shape{'s' * (n > 1)} of layer {layer!r} without area, left out"
            warnings.warn(text, LayoutWarning, stacklevel=3)

    def polygons(self, layer: str | tuple[int, int], region_nm: Sequence[float] | None = None) -> list[np.ndarray]:
        """Merged polygons of a layer; those of a region are cut at its border, without looking at the rest.

        Parameters
        ----------
        layer : a name of the process, or (layer, datatype).
        region_nm : (x0, y0, x1, y1); the whole layer by default.

        Returns
        -------
        (n, 2) float64 in nm each, in a fixed order; holes are keyholes.

        Raises
        ------
        LayoutError : the design has no such layer; lists those it has.
        """
        return merged_rings(self.top, self._index(layer), region_nm)

    def smallest_nm(
        self,
        layer: str | tuple[int, int],
        below_nm: float,
        region_nm: Sequence[float] | None = None,
        *,
        around_nm: float = 0.0,
    ) -> dict[str, float]:
        """Narrowest ``width`` and ``space`` of a layer in nm, see :func:`maskopt_lib.layout.shapes.smallest_nm`."""
        return smallest_nm(self.top, self._index(layer), below_nm, region_nm, around_nm=around_nm)

    def rasterize(self, layer: str | tuple[int, int], region_nm: Sequence[float], pixel_nm: float = 1.0) -> np.ndarray:
        """A region of a layer as pixels.

        Parameters
        ----------
        layer : as for :meth:`polygons`.
        region_nm : (x0, y0, x1, y1), a whole number of pixels wide and high.
        pixel_nm : side of a pixel in nm.

        Returns
        -------
        (y, x) uint8, row 0 lowest: 1 where at least half of the pixel is covered.

        Raises
        ------
        LayoutError : no such layer, or a region that is not whole in pixels.
        """
        check(Positive, pixel_nm=pixel_nm)
        x0, y0, x1, y1 = checked_region(region_nm)
        size = np.array([(y1 - y0) / pixel_nm, (x1 - x0) / pixel_nm])
        n_y, n_x = np.rint(size).astype(int)
        if n_y < 1 or n_x < 1 or np.abs(size - (n_y, n_x)).max() > 1e-6:
            raise LayoutError(
                f"region_nm={tuple(region_nm)} is {x1 - x0:g} x {y1 - y0:g} nm, no whole number of {pixel_nm:g} nm "
                "pixels; move its borders"
            )
        polygons = [points - (x0, y0) for points in self.polygons(layer, region_nm)]
        return raster.painted(polygons, max(n_y, n_x), pixel_nm, disjoint=True)[:n_y, :n_x]

    def write(self, path: str | Path) -> Path:
        """Write the hierarchical layout as .oas or .gds; :func:`read_design` and :func:`read_clip` read it.

        Parameters
        ----------
        path : the file; OASIS keeps the names of the instances. See
            :func:`maskopt_lib.layout.writer.write_layout`.
        """
        writable_names(self.layout)
        write_layout(self.layout, path)
        return Path(path)

    @property
    def dbu_nm(self) -> float:
        """Database unit in nm."""
        return float(unit_nm(self.layout))

    @property
    def layers(self) -> dict[tuple[int, int], str]:
        """(layer, datatype) -> name in the process, or "" for a layer without one; those that hold shapes."""
        known = {pair: name for name, pair in layer_names(self.platform.process).items()}
        infos = [self.layout.get_info(i) for i in self.layout.layer_indexes() if has_shapes(self.top, i)]
        return {(i.layer, i.datatype): known.get((i.layer, i.datatype), "") for i in sorted(infos, key=str)}

    def _index(self, layer: str | tuple[int, int]) -> int:
        pair = resolve_layer(layer, self.platform.process)
        index = self.layout.find_layer(*pair)
        if index is None or not has_shapes(self.top, index):
            there = ", ".join(f"{n or 'no name'} {pair}" for pair, n in self.layers.items())
            raise LayoutError(f"{self.name}: nothing on layer {layer!r}; layers with shapes: {there}")
        return index

    def _nm(self, box: db.Box) -> tuple[float, float, float, float]:
        return box_nm(box, unit_nm(self.layout))


def instance_name(reference: db.Instance) -> str | None:
    """Name that the file gives to a placed cell, None where it gives none."""
    name = reference.property(_NAME)
    return None if name is None else str(name)


def orientation_of(place: db.Trans) -> str:
    """A turn of KLayout in the words of DEF.

    Examples
    --------
    >>> orientation_of(db.Trans.M0)
    'FS'
    """
    return _ORIENTATIONS[str(place).split()[0]]


def read_design(source: str | Path, *, platform: str | Platform | None = None, top: str | None = None) -> Design:
    """A placed and routed design with the layouts of its cells, or a layout file that is hierarchical already.

    Parameters
    ----------
    source : a .def, .gds or .oas file, or a file of the manifest by its full name, its last part, or, for a DEF, its
        stem ("gcd_dense_routed").
    platform : name of one of :data:`PLATFORMS`, or one of your own; by default that of the manifest's folder, and for
        your own .gds and .oas files "nangate45".
    top : the cell that is the design, for a file with several top cells.

    Raises
    ------
    MissingDataError : no such file, neither here nor in the manifest.
    UnknownNameError : no such platform.
    LayoutError : a DEF of your own without a platform, a file that KLayout cannot read, or one with several top cells.

    Notes
    -----
    The DEF is taken to the letter: a global placement, whose cells overlap and lie off their rows, stays one. Cells for
    which the platform has no layout are empty.

    Examples
    --------
    >>> sorted(PLATFORMS), PLATFORMS["nangate45"].process
    (['asap7', 'nangate45'], 'freepdk45')
    """
    path, folder = _find(str(source))
    suffix = layout_suffix(path)
    if suffix == ".def" and platform is None and folder is None:
        raise LayoutError(f"{path}: say whose cells it places, platform= one of {', '.join(PLATFORMS)} or your own")
    chosen = platform if platform is not None else folder or "nangate45"
    if isinstance(chosen, str):
        if chosen not in PLATFORMS:
            raise UnknownNameError(f"no platform {chosen!r}; known: {', '.join(PLATFORMS)}")
        chosen = PLATFORMS[chosen]
    layout = open_layout(path, _options(path, chosen) if suffix == ".def" else None)
    cell = top_cell(path, layout, top, "top")
    kept = {cell.cell_index(), *cell.called_cells()}
    for number in [other.cell_index() for other in layout.each_cell() if other.cell_index() not in kept]:
        layout.delete_cell(number)
    return Design(name=path.name.removesuffix(".gz").rpartition(".")[0], path=path, platform=chosen, layout=layout)


def _options(path: Path, platform: Platform) -> db.LoadLayoutOptions:
    """How KLayout reads a DEF, after a look at what it would drop."""
    technology = db.Technology()
    if platform.technology:
        technology.load(str(platform_file(platform.technology)))
    options = technology.load_layout_options
    lefdef = options.lefdef_config
    lefs, layouts = ([platform_file(name) for name in names] for names in (platform.lefs, platform.layouts))
    text = def_files.read_text(path)
    def_files.check_def(path, text, lefs)
    if not platform.technology:
        lefdef.dbu = _DBU_UM
        lefdef.read_all_layers = False  # what the map does not name would come as layers without numbers
        lefdef.produce_blockages = lefdef.produce_placement_blockages = False  # areas to keep clear are no shapes
        # Wires, pins and vias of one layer are one layer.
        lines = [f"OUTLINE : {platform.die[0]}/{platform.die[1]}"]
        for name, (layer, datatype) in layer_names(platform.process).items():
            lines += [f"{name}{purpose} : {layer}/{datatype}" for purpose in ("", ".PIN")]
        lefdef.layer_map = db.LayerMap.from_string("\n".join(lines))
    lefdef.dbu = def_files.database_um(path, text, lefs, layouts, lefdef.dbu)
    lefdef.lef_files = [str(name) for name in lefs]
    lefdef.read_lef_with_def = False  # only what the platform names: a LEF that lies about decides nothing
    lefdef.macro_resolution_mode = 2  # cells are those of the layouts, not drawn from their abstracts
    lefdef.macro_layout_files = [str(name) for name in layouts]
    lefdef.instance_property_name = _NAME
    options.lefdef_config = lefdef
    options.warn_level = 0  # it would say that DEF and database have other units; all are whole in the one chosen
    return options


def _find(text: str) -> tuple[Path, str | None]:
    """The file, and the folder of the manifest it is from."""
    if Path(text).is_file():
        return Path(text), None
    known = [name for name in map(PurePosixPath, manifest.names()) if name.suffix in _SUFFIXES]
    names = [str(name) for name in known if text == str(name) or name.name in (text, f"{text}.def")]
    if len(names) != 1:
        defs = [PurePosixPath(name).stem for name in manifest.names() if name.endswith(".def")]
        raise MissingDataError(
            f"{text!r} is no file (looked in {Path.cwd()}) and no design of the manifest; it has {', '.join(defs)}"
        )
    return manifest.fetch(names[0]), names[0].split("/")[0]
