"""Mask models: how they trained and score, what fidelity costs and a start is worth, and what ablations say."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from maskopt_lib.data import methods, schema
from maskopt_lib.figures import marks, page, style
from maskopt_lib.figures.dataset import context_panel
from maskopt_lib.figures.page import Figure, Panel
from maskopt_lib.figures.scores import dot_rows


def training_curves(curves: Mapping[str, xr.Dataset], *, scores: Sequence[str], title: str = "") -> Figure:
    """Losses over the steps, and scores of the checks: a panel a term and a score, a line a training.

    Parameters
    ----------
    curves : name -> Dataset with ``loss`` and ``validation_loss`` over ``term``, and scores over ``check`` with
        ``at_step``.
    scores : which of the scores.
    title : over the first panel.

    Returns
    -------
    Panels; of losses thin lines are the steps as they came, thick ones the checks on tiles that are not trained on.
    """
    first = next(iter(curves.values()))
    named = [(look, curves[name]) for name, look in style.looks(curves).items()]
    terms = list(dict.fromkeys(term for ds in curves.values() for term in ds[schema.TERM].values.tolist()))
    panels: list[tuple[str, list]] = []
    for term in terms:
        drawn = []
        for look, ds in named:
            if term in ds[schema.TERM].values:
                one = ds.sel({schema.TERM: term})
                drawn += _line(one[schema.STEP], one["loss"], look, faint=True)
                drawn += _line(one["at_step"], one["validation_loss"], look)
        panels.append((f"{term} loss", drawn))
    for score in scores:
        drawn = [part for look, ds in named for part in _line(ds["at_step"], ds[score], look)]
        panels.append((style.axis_label(first[score], short=True), drawn))
    look = {"aspect": 1.25, "xlabel": "steps", "ruled": True, "yticks": 4}
    drawn = [
        Panel(drawn, title="" if i else title, ylabel=label, **look) for i, (label, drawn) in enumerate(panels) if drawn
    ]
    return Figure(drawn, columns=3)


def score_bars(rows: xr.Dataset, *, names: Sequence[str], title: str = "") -> Figure:
    """Mean scores with their intervals: a row a method, a panel a score.

    Parameters
    ----------
    rows : Dataset over ``method`` and ``statistic`` (mean, low, high).
    names : scores, one panel each.
    title : over the first panel.

    Returns
    -------
    Dots with 95 % intervals, methods from top to bottom in their order; a method without a number has none.
    """
    values = {style.axis_label(rows[name], short=True): np.stack(marks.mean_low_high(rows[name]), -1) for name in names}
    return dot_rows(values, style.names(rows[schema.METHOD]), zero=False, title=title)


def fidelity_map(rows: xr.Dataset, *, y: str = schema.EPE_MEAN_ABS, title: str = "") -> Figure:
    """A score against the shots: a point a method with its name, a curve a family of several.

    Parameters
    ----------
    rows : Dataset over ``method`` and ``statistic`` (mean, low, high). What stands before a comma in a method's name is
        its family; members of one are joined in their order and bear what stands behind the comma.
    y : score, better when smaller.
    title : over the figure.

    Returns
    -------
    Points with 95 % intervals along both axes; a family keeps its colour.
    """
    family_of = np.array([name.partition(",")[0] for name in style.names(rows[schema.METHOD])])
    drawn, named, colours = [], [], []
    for family, look in style.looks(dict.fromkeys(family_of.tolist())).items():
        members = rows.isel({schema.METHOD: family_of == family})
        at_x, at_y = (np.array(marks.mean_low_high(members[name])) for name in (schema.SHOTS, y))
        drawn += marks.crosses(at_x, at_y, look.colour)
        if len(at_x[0]) > 1:
            drawn.append(marks.line(at_x[0], at_y[0], look.colour))
        drawn.append(marks.dots(at_x[0], at_y[0], look.colour, size=24, marker=look.marker, edgecolor="white"))
        there = np.isfinite(at_x[0] + at_y[0])
        texts = [methods.written(name).replace(", dial", ",") for name in style.names(members[schema.METHOD])]
        named += [(*at, text) for *at, text, is_in in zip(at_x[0], at_y[0], texts, there, strict=True) if is_in]
        colours += [style.shaded(look.colour, -0.25)] * int(there.sum())
    return page.single(
        [*drawn, marks.names(named, colours)],
        title=title,
        aspect=(0.85, 1.5),
        ruled=True,
        **style.axis_labels(rows[schema.SHOTS], rows[y], short=True),
    )


def refinement_curves(rows: xr.Dataset, *, y: str, goal: float | None = None, title: str = "") -> Figure:
    """What several starts become, over the steps of a solver and over the seconds.

    Parameters
    ----------
    rows : Dataset over ``start``, ``step`` and ``statistic`` (mean, low, high) with ``y`` and ``runtime_s``.
    y : score, better when smaller; its axis is logarithmic.
    goal : value of ``y`` that a dashed line marks.
    title : over the first panel.

    Returns
    -------
    Two panels with 95 % intervals: steps, evenly spread as they were chosen, and seconds, logarithmic.
    """
    budgets = style.names(rows[schema.STEP])
    seconds = rows[schema.RUNTIME].sel(statistic="mean")
    # What takes no time has no place on an axis of logarithms.
    places = {
        schema.STEP: xr.zeros_like(seconds) + np.arange(len(budgets)),
        schema.RUNTIME: seconds.where(seconds > 0),
    }
    panels = []
    for along, place in places.items():
        drawn = [marks.across(goal, style.FAINT, linestyle="--")] if goal else []
        for start, look in style.looks(rows["start"]).items():
            x = place.sel(start=start).values
            mean, low, high = marks.mean_low_high(rows[y].sel(start=start))
            there = np.isfinite(x) & np.isfinite(mean)
            drawn += marks.intervals(x, low, x, high, look.colour, width=0.7)
            drawn.append(marks.line(x[there], mean[there], look.colour, look.name, marker=look.marker))
        is_step = along == schema.STEP
        panels.append(
            Panel(
                drawn,
                aspect=1.2,
                title="" if panels else title,
                xlabel=style.axis_label(rows[along]),
                ylabel=style.axis_label(rows[y], short=True),
                xticks=list(enumerate(budgets)) if is_step else None,
                log_x=not is_step,
                log_y=True,
                ruled=True,
            )
        )
    return Figure(panels, columns=2, least_inch=2.2)


def context_lines(rows: xr.Dataset, *, names: Sequence[str], reference: str = "", title: str = "") -> Figure:
    """Scores over the context that networks are shown, printed alone and in place, with 95 % intervals.

    Parameters
    ----------
    rows : Dataset over ``network``, ``context`` (nm, -1 all surroundings), ``printed`` and ``statistic`` (mean, low,
        high).
    names : scores, a column of panels each; rows of panels are networks.
    reference : network whose number with all surroundings, in place, is drawn as a level line in all panels.
    title : before the network.

    Returns
    -------
    Panels; all surroundings stand apart, at the right end. Panels of a score share its axis.
    """
    contexts = np.array(sorted(c for c in rows["context"].values.tolist() if c >= 0), float)
    end = contexts.max() + (contexts.max() / (len(contexts) - 1) if len(contexts) > 1 else 16)
    networks = [name for name in style.names(rows["network"]) if name != reference]
    panels = []
    for network in networks:
        for name in names:
            best = None
            if reference:
                best = float(rows[name].sel(network=reference, printed="in place", context=-1, statistic="mean"))
            look = {
                "title": ", ".join(filter(None, (title, methods.written(network)))),
                "xlabel": "context shown (nm)",
                "xticks": [(c, f"{c:g}") for c in (contexts[0], contexts[-1])] + [(end, "all")],
                "ylim": style.limits(rows[name].values),
                "end": end if -1 in rows["context"].values else None,
            }
            panels.append(context_panel(rows[name].sel(network=network), contexts, best, **look))
    keys = [marks.key(f"{methods.written(reference)}, all around", style.BLACK, 1, linestyle=":")] if reference else []
    return Figure(panels, columns=len(names), least_inch=1.5, keys=keys)


def interval_rows(rows: xr.Dataset, *, along: str, panels: str, title: str = "") -> Figure:
    """Effects with their intervals beside zero: a row each, a panel a condition.

    Parameters
    ----------
    rows : Dataset over ``along`` and ``panels``: ``mean``, ``low`` and ``high``, of one unit.
    along : dimension of the rows; the first stands at the top.
    panels : dimension of the panels.
    title : of the figure, before the name of the first panel.

    Returns
    -------
    Dots with 95 % intervals: filled where the interval leaves out zero, hollow where it does not or is not known. Rows
    and panels without any number are left out.
    """
    shown = rows[["mean", "low", "high"]].dropna(along, how="all", subset=["mean"])
    shown = shown.dropna(panels, how="all", subset=["mean"])
    conditions = style.names(shown[panels])
    values = {
        condition: np.stack([shown[name].isel({panels: i}).values for name in ("mean", "low", "high")], axis=-1)
        for i, condition in enumerate(conditions)
    }
    label = style.axis_label(rows["mean"])
    return dot_rows(values, style.names(shown[along]), xlabels=dict.fromkeys(conditions, label), title=title)


def embedding_map(space: xr.Dataset, *, title: str = "") -> Figure:
    """Cells where a network puts them, on the two directions of largest variance, told apart by their family.

    Parameters
    ----------
    space : Dataset over ``cell`` and ``component``: ``position``, ``explained`` (component), and ``family`` (cell).
    title : over the figure.

    Returns
    -------
    Points; those whose name has room bear it.
    """
    position = space["position"].transpose("cell", "component").values
    position = np.pad(position, ((0, 0), (0, max(0, 2 - position.shape[1]))))[:, :2]
    member = space["family"].values.astype(str)
    drawn = [
        marks.dots(*position[member == family].T, look.colour, family, marker=look.marker)
        for family, look in style.looks(sorted(set(member.tolist()))).items()
    ]
    named = [(x, y, name) for (x, y), name in zip(position, style.names(space["cell"]), strict=True)]
    shares = [*(100 * space["explained"].values), 0.0, 0.0]
    return page.single(
        [*drawn, marks.names(named, optional=True)],
        aspect=(0.9, 1.5),
        title=title,
        xlabel=f"first component ({shares[0]:.0f} % of the variance)",
        ylabel=f"second component ({shares[1]:.0f} %)",
        ruled=True,
    )


def _line(x: xr.DataArray, y: xr.DataArray, look: style.Look, *, faint: bool = False) -> list[page.Mark]:
    there = np.isfinite(y.values)
    if not there.any():
        return []
    if faint:
        return [marks.line(x.values[there], y.values[there], look.colour, width=0.4, alpha=0.5)]
    return [marks.line(x.values[there], y.values[there], look.colour, look.name, marker=look.marker)]
