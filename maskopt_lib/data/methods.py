"""What methods are called and how they look, in every table, figure and page: one table.

A method comes under many labels: the key of its solver or network, its paper's spelling, a name with what is varied.
:func:`find` knows whose label one is; the rest of it is its variant.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """How a method is written and drawn.

    Attributes
    ----------
    name : as it is written.
    colour : hexadecimal; any two methods differ in normal sight and with protanopia and deuteranopia.
    marker : of its points, a name of matplotlib; no two methods of one kind share it.
    kind : ``"solver"``, ``"network"`` or ``"reference"``.
    labels : what it is called elsewhere, the keys of ``opc.METHODS`` and ``models.MODELS`` among them.
    """

    name: str
    colour: str
    marker: str
    kind: str
    labels: tuple[str, ...] = ()


#: All methods, in the order of tables. The colours are as far from each other as a search could get them, in CIELAB,
#: for three kinds of eyes; ``tests/data/test_methods.py`` holds how far.
METHODS = (
    Method("target as mask", "#8C8C8C", "X", "reference", ("identity", "layout as mask", "target")),
    Method("OPC", "#5A0F69", "s", "solver", ("model_based_opc", "model-based OPC", "opc")),
    Method("edge gradient", "#96694B", "p", "solver", ("edge_gradient", "edges")),
    Method("assisted edges", "#B4B478", "P", "solver"),
    Method("pixel ILT", "#69B4F0", "v", "solver", ("pixel_ilt",)),
    Method("MultiILT", "#E1C30F", "^", "solver", ("multilevel", "multi-level ILT")),
    Method("level set", "#5A2D00", "<", "solver", ("level_set",)),
    Method("CurvMulti", "#96D2B4", ">", "solver", ("curv_multi",)),
    Method("A2-ILT", "#8787FF", "h", "solver", ("attention_ilt",)),
    Method("CurvyILT", "#0072B2", "o", "solver", ("curvy", "curvyILT", "curvilinear ILT")),
    Method("rule-aware", "#D55E00", "D", "solver", ("rule_aware", "ilt")),  # "ilt": of the dataset's masks
    Method("GAN-OPC", "#693C3C", "s", "network", ("gan_opc",)),
    Method("Neural-ILT", "#004BB4", "v", "network", ("neural_ilt",)),
    Method("DAMO", "#783C69", "^", "network", ("damo",)),
    Method("CFNO", "#87D2E1", "<", "network", ("cfno",)),
    Method("U-Net", "#4B5AFF", "p", "network", ("unet",)),
    Method("unrolled descent", "#1E00B4", "D", "network", ("unrolled_litho", "ours")),
    Method("unrolled descent, untrained", "#D2C35A", "d", "network", ("ours untrained", "ours_untrained")),
    Method("labels", "#000000", "*", "reference", ("released masks", "published")),
)


def find(label: str) -> tuple[Method | None, str]:
    """Whose label this is, and what is left of it: the variant.

    Returns
    -------
    The method, None where the label is of no method; and its variant, empty for the method as such.

    Examples
    --------
    >>> find("curvyILT CDR+morph")[0].name, find("curvyILT CDR+morph")[1]
    ('CurvyILT', 'CDR+morph')
    >>> find("CurvyILT, tuned") == find("curvy, tuned"), find("metal1")
    (True, (None, ''))
    """
    known = [
        (each, method)
        for method in METHODS
        for each in (method.name, *method.labels)
        if label.startswith(each) and label[len(each) : len(each) + 1] in ("", " ", ",", "#", "-")
    ]
    if not known:
        return None, ""
    longest, method = max(known, key=lambda pair: len(pair[0]))
    return method, label[len(longest) :].lstrip(" ,#-")


def written(label: str) -> str:
    """A label as it is written everywhere: the method's one name, and the variant behind a comma.

    Examples
    --------
    >>> written("curvy-paper"), written("level_set"), written("8 nm pixels")
    ('CurvyILT, paper', 'level set', '8 nm pixels')
    """
    method, variant = find(label)
    if method is None or label in ("released masks", "published"):
        return label
    return f"{method.name}, {variant}" if variant else method.name


def looks(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Label -> colour and marker, for those that are of a method."""
    found = {label: find(label)[0] for label in labels}
    return {label: (method.colour, method.marker) for label, method in found.items() if method is not None}
