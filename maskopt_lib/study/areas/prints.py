"""What a stitched mask prints: scores, edges and broken rules of every core, taken from the mask as it stands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage

from maskopt_lib import files, metrics
from maskopt_lib.data import schema
from maskopt_lib.layout.designs import Design
from maskopt_lib.layout.windows import Plan, StitchedMask, Window
from maskopt_lib.litho import Simulator
from maskopt_lib.metrics.contour import PLACE
from maskopt_lib.runs.gather import Task, complete
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.parts import part_path, read_part, write_part
from maskopt_lib.runs.spread import Kept, torch_threads
from maskopt_lib.study.areas.batches import Area, TiledArea, open_mask, pixels_of
from maskopt_lib.study.areas.tables import OUTLINE_COLUMNS, RULE_COLUMNS, SITE_COLUMNS, TILE, Measured, table
from maskopt_lib.study.labelled_images import images, pictures

_AT_ONCE = 8
# Sites are found on no more pixels a side than this.
_FINEST_SIDE = 8192


def measure(tiled: TiledArea, stitched: StitchedMask, *, deck: Mapping[str, float], rules_every: int = 1) -> Measured:
    """Print a stitched mask window by window, and score every core.

    Parameters
    ----------
    tiled : the plan's windows are printed, whatever windows the mask was made with.
    stitched : the mask.
    deck : mask rules, as for :func:`maskopt_lib.metrics.rule_report`.
    rules_every : check the rules in every n-th window only, counted along rows; 1 checks all.
    """
    area, plan = tiled.area, tiled.plan
    settings = hashed([
        stitched.digest(), area.imaging_digest(), files.sha256_of(area.layout_file), str(area.layer),
        list(deck.items()), area.device, area.threads,  # a part holds its rules by their place in the deck
        source_hash(["maskopt_lib.metrics.contour", "maskopt_lib.metrics.rules", "maskopt_lib.litho.simulator"]),
        source_hash(["maskopt_lib.study.areas.prints"], follow=False),
    ])  # fmt: skip
    windows = list(plan.windows)
    tasks = []
    for i in range(0, len(windows), _AT_ONCE):
        printed = tuple(windows[i : i + _AT_ONCE])
        checked = tuple((i + k) % rules_every == 0 for k in range(len(printed)))
        key = key_of([settings, [window.field_nm for window in printed], asdict(plan), checked])
        tasks.append(
            _Print(
                area=area, stitched=stitched.path, plan=plan, windows=printed, checked=checked,
                deck=dict(deck), path=part_path(tiled.run.out_dir, "print", key=key),
            )
        )  # fmt: skip
    complete(
        _print, tasks, client=tiled.client, title=f"print {stitched.path.stem}", unit="window",
        size=lambda task: len(task.windows),
    )  # fmt: skip
    parts = [read_part(task.path) for task in tasks]
    scores, sites, outline, broken, worst = (
        np.concatenate([part[name] for part in parts]) for name in ("scores", "sites", "outline", "broken", "worst")
    )
    violations = table(pd.DataFrame(broken, columns=list(RULE_COLUMNS)), "violation", RULE_COLUMNS)
    return Measured(
        windows=schema.label(xr.Dataset({schema.L2: (TILE, scores[:, 0]), schema.PVB: (TILE, scores[:, 1])}))
        .assign_attrs(region_nm=list(plan.region_nm)),
        sites=table(pd.DataFrame(sites, columns=list(SITE_COLUMNS)), schema.SITE, SITE_COLUMNS),
        outline=table(pd.DataFrame(outline, columns=list(OUTLINE_COLUMNS)), PLACE, OUTLINE_COLUMNS),
        violations=violations.assign(
            at_least=("rule", list(map(float, deck.values())), {"long_name": "limit of the rule", "units": "nm"}),
            worst=("rule", np.fmin.reduce(worst), {"long_name": "smallest value found", "units": "nm"}),
            checked_nm2=((), sum(p["checked_nm2"].item() for p in parts), {"long_name": "checked", "units": "nm2"}),
        ).assign_coords(rule=list(deck)),
        not_printed=[tuple(place) for part in parts for place in part["not_printed"].tolist()],
    )  # fmt: skip


def violating_places(measured: Measured) -> np.ndarray:
    """(n, 2) x and y in nm of the sites that violate the 15 nm limit or have lost their edge."""
    sites = measured.sites
    wrong = (sites["violates15"].values > 0) | np.isnan(sites["edge_error_nm"].values)
    return np.stack([sites["x_nm"].values[wrong], sites["y_nm"].values[wrong]], axis=1)


def within(places: xr.Dataset, box_nm: Sequence[float]) -> xr.Dataset:
    """Sites or violations of a box: what has ``x_nm`` and ``y_nm`` in it."""
    (dim,), (x0, y0, x1, y1) = places["x_nm"].dims, box_nm
    x, y = places["x_nm"].values, places["y_nm"].values
    return places.isel({dim: (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)})


def picture(area: Area, stitched: StitchedMask, region_nm: Sequence[float]) -> xr.Dataset:
    """Target, mask and prints of a part of a stitched mask, in layout coordinates, printed with full context.

    Returns
    -------
    Dataset over ``y`` and ``x``: 0/1 ``target``, ``mask``, ``nominal``, ``outer``, ``inner``.
    """
    field_nm, step_nm = area.process.period_nm, 4 * stitched.pixel_nm
    plan = Plan(
        region_nm=tuple(region_nm), pixel_nm=stitched.pixel_nm, field_nm=field_nm,
        core_nm=field_nm // (2 * step_nm) * step_nm, context_nm=0.0,
    )  # fmt: skip
    design, sim = area.design(), area.simulator()
    cores = []
    for window in plan.windows:
        place = {"pixel_nm": plan.pixel_nm, "corner_nm": window.field_nm[:2]}
        target = images(design.rasterize(area.layer, window.field_nm, plan.pixel_nm), **place)
        field = pictures(images(stitched.read(window.field_nm), **place), target, sim, margin_nm=None)
        x0, y0, x1, y1 = plan.inside(window)
        cores.append(field.sel(y=slice(y0, y1), x=slice(x0, x1)))
    return xr.combine_by_coords(cores, combine_attrs="override")


def overview(stitched: StitchedMask, *, pixel_nm: float = 32.0) -> xr.Dataset:
    """The share of clear mask in large pixels, read strip by strip: Dataset ``coverage`` (y, x) in layout nm."""
    factor = round(pixel_nm / stitched.pixel_nm)
    step = factor * stitched.pixel_nm
    n_y, n_x = (n // factor for n in stitched.shape)
    x0, y0, *_ = stitched.region_nm
    at_once = max(1, 1024 // factor)
    strips = []
    for row in range(0, n_y, at_once):
        rows = min(at_once, n_y - row)
        strip = stitched.read((x0, y0 + row * step, x0 + n_x * step, y0 + (row + rows) * step))
        strips.append(strip.reshape(rows, factor, n_x, factor).mean(axis=(1, 3)).astype(np.float32))
    coverage = images(np.concatenate(strips), step, corner_nm=(x0, y0))
    return coverage.assign_attrs(long_name="clear share of the mask", units="1").to_dataset(name="coverage")


@dataclass(frozen=True, kw_only=True)
class _Print(Task):
    """Windows that are printed together, and which of them are held against the rules."""

    area: Area
    stitched: Path
    plan: Plan
    windows: tuple[Window, ...]
    checked: tuple[bool, ...]
    deck: Mapping[str, float]

    def __str__(self) -> str:
        return f"windows {[(w.row, w.column) for w in self.windows]}"


def _print(task: _Print, kept: Kept) -> None:
    """What a worker does: print, score, keep."""
    area, stitched = task.area, open_mask(task.stitched)
    pixel_nm = stitched.pixel_nm
    design, sim = area.design(kept), area.simulator(kept)
    scores, checked_nm2 = [], 0.0
    sites, outline = [np.zeros((0, len(SITE_COLUMNS)))], [np.zeros((0, len(OUTLINE_COLUMNS)))]
    broken, worst = [np.zeros((0, len(RULE_COLUMNS)))], [np.full(len(task.deck), np.nan)]
    lost: list[tuple[float, float]] = []
    with torch_threads(area.threads):
        for window, is_checked in zip(task.windows, task.checked, strict=True):
            target, mask = design.rasterize(area.layer, window.field_nm, pixel_nm), stitched.read(window.field_nm)
            x0, y0, x1, y1 = box = task.plan.inside(window)
            core = pixels_of(box, window.field_nm[:2], pixel_nm)
            aerial = sim.aerial(mask, corners=schema.CORNERS).cpu().numpy()
            areas = metrics.print_areas(aerial, target > 0, pixel_nm=pixel_nm, threshold=sim.threshold, part=core)
            scores.append([areas[schema.L2], areas[schema.PVB]])
            if target[core].any():
                lost += _not_printed(aerial[0] >= sim.threshold, target, core, window, pixel_nm)
                drawn = drawn_sites(design, area.layer, window, pixel_nm)
                of_field = edge_sites(sim, mask, target, window, pixel_nm, drawn, aerial[0])
                sites.append(_in_core(of_field, SITE_COLUMNS, box, task.plan))
                if not metrics.is_manhattan(target > 0):
                    along = metrics.contour_error(aerial[0], target, pixel_nm=pixel_nm, threshold=sim.threshold)
                    outline.append(_in_core(_in_layout(along, window), OUTLINE_COLUMNS, box, task.plan))
            if is_checked:
                report = metrics.rule_report(mask, task.deck, pixel_nm, region_nm=box, origin_nm=window.field_nm[:2])
                numbers = [list(task.deck).index(str(rule)) for rule in report["broken"].values]
                columns = [report[name].values for name in list(RULE_COLUMNS)[:-2]]
                broken.append(np.stack([*columns, _of_target(report, target, window, pixel_nm), numbers], axis=1))
                worst.append(report["worst"].values)
                checked_nm2 += (x1 - x0) * (y1 - y0)
    write_part(
        task.path,
        {
            "scores": np.array(scores, float),
            "sites": np.concatenate(sites),
            "outline": np.concatenate(outline),
            "broken": np.concatenate(broken),
            "worst": np.array(worst),
            "checked_nm2": np.array(checked_nm2),
            "not_printed": np.reshape(np.array(lost, float), (-1, 2)),
        },
    )


def _not_printed(
    printed: np.ndarray, target: np.ndarray, core: tuple[slice, slice], window: Window, pixel_nm: float
) -> list[tuple[float, float]]:
    """Middles of the target's shapes of which nothing prints; a shape belongs to the core of its first pixel."""
    shapes, n = ndimage.label(target)
    lost = np.setdiff1d(np.arange(1, n + 1), shapes[printed])
    boxes = ndimage.find_objects(shapes)
    places = []
    for number in lost.tolist():
        rows, columns = boxes[number - 1]
        first = rows.start, columns.start + int(np.argmax(shapes[rows.start, columns] == number))
        if all(part.start <= at < part.stop for part, at in zip(core, first, strict=True)):
            x, y = ((side.start + side.stop) / 2 * pixel_nm for side in (columns, rows))
            places.append((x + window.field_nm[0], y + window.field_nm[1]))
    return places


def _of_target(report: xr.Dataset, target: np.ndarray, window: Window, pixel_nm: float) -> np.ndarray:
    """(violation,) bool: whether the target breaks a rule where its mask does.

    Not for radii: right angles are drawn, and every print rounds them.
    """
    names, x, y, limits = (report[name].values for name in ("broken", "x_nm", "y_nm", "limit"))
    deck = {str(rule): float(limit) for rule, limit in zip(names, limits, strict=True) if rule != schema.MIN_RADIUS}
    drawn = metrics.rule_report(target, deck, pixel_nm, origin_nm=window.field_nm[:2], only_broken=True)
    found = drawn.drop_dims("rule").to_dataframe()
    of_target = np.zeros(len(names), bool)
    for rule, limit in deck.items():
        near_nm = np.sqrt(limit) if rule == schema.MSA else limit
        for _, place in found[found["broken"] == rule].iterrows():
            away_nm = np.hypot(x - place["x_nm"], y - place["y_nm"])
            of_target |= (names == rule) & (away_nm <= near_nm + place["extent_nm"] / 2)
    return of_target


def _in_core(places: xr.Dataset, columns: Iterable[str], box_nm: Sequence[float], plan: Plan) -> np.ndarray:
    """(place, column) what lies in a core, half open, so that what is on a border belongs to one window; the region's
    own end is closed."""
    x0, y0, *ends = box_nm
    right, top = (low + (low == end) for low, end in zip(ends, plan.region_nm[2:], strict=True))
    x, y, *_ = values = np.stack([places[name].values for name in columns])
    return values[:, (x >= x0) & (x < right) & (y >= y0) & (y < top)].T


def _in_layout(places: xr.Dataset, window: Window) -> xr.Dataset:
    x0, y0, *_ = window.field_nm
    return places.assign(x_nm=places["x_nm"] + x0, y_nm=places["y_nm"] + y0)


def drawn_sites(design: Design, layer: str | tuple[int, int], window: Window, pixel_nm: float) -> xr.Dataset:
    """The sites of a field's drawn edges, as :func:`maskopt_lib.metrics.target_sites` gives them.

    They are found on pixels of 1 nm (where the mask's are no whole nm: near it) whatever those of the mask, so that a
    curve that ends a straight edge begins at the same place for all. Only where a field would have more than 8192 of
    them a side they are larger. An edge that the field's border cuts ends there: what windows do not reach across
    differs where they lie otherwise.
    """
    side = round((window.field_nm[2] - window.field_nm[0]) / pixel_nm)
    fine_nm = pixel_nm / max(1, min(round(pixel_nm), _FINEST_SIDE // side))
    return metrics.target_sites(design.rasterize(layer, window.field_nm, fine_nm), fine_nm)


def edge_sites(
    sim: Simulator,
    mask: np.ndarray,
    target: np.ndarray,
    window: Window,
    pixel_nm: float,
    sites: xr.Dataset,
    nominal: np.ndarray | None = None,
) -> xr.Dataset:
    """Edge placement at all sites of a field, in layout coordinates.

    Parameters
    ----------
    sim : to print with.
    mask, target : (y, x) of the field, 0 or 1.
    window : whose field it is.
    pixel_nm : of the field.
    sites : where is looked, see :func:`drawn_sites`.
    nominal : (y, x) nominal aerial image, where it is there already.
    """
    if nominal is None:
        nominal = sim.aerial(mask.astype(np.float32), corners=[schema.NOMINAL]).cpu().numpy()[0]
    found = metrics.epe_sites(nominal, target, pixel_nm=pixel_nm, threshold=sim.threshold, sites=lambda *_: sites)
    return _in_layout(found, window)
