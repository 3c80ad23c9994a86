"""A small standard-cell library of our own on the rules of a 45 nm process, drawn from netlists.

A cell is its transistor columns: which net each gate is, and which nets lie between the gates in the upper (p) and the
lower (n) diffusion. From this come active, poly, contacts and straps to the rails
(:mod:`maskopt_lib.layout.cell_drawing`); the other nets are wired in metal 1 (:mod:`maskopt_lib.layout.cell_wiring`).
One column of poly is the gate of a p and an n transistor. All cells are static and complementary but the flip-flop: it
has a single clock phase and keeps its state on nodes that float, and where one of its gates has no second transistor,
both ends of that one are on one net.

What it is not: no transistor was sized, no timing, current or leakage was looked at, and there are no wells, implants
or well ties. It is geometry with the look and the rules of 45 nm cells, whose metal joins what the netlist joins.
"""

from maskopt_lib.layout.cell_drawing import CellSpec, DrawnCell, draw, filler

#: Name -> netlist. Those of the larger cells have the order of stages that could be wired in the least width.
CELLS: dict[str, CellSpec] = {
    "INV_X1": CellSpec(gates="A", p="VDD ZN", n="VSS ZN", pins="A ZN", share=10),
    "INV_X2": CellSpec(gates="A A", p="VDD ZN VDD", n="VSS ZN VSS", pins="A ZN", share=4),
    "INV_X4": CellSpec(gates="A A A A", p="VDD ZN VDD ZN VDD", n="VSS ZN VSS ZN VSS", pins="A ZN", share=2),
    "BUF_X1": CellSpec(gates="A a", p="a VDD Z", n="a VSS Z", pins="A Z", share=4),
    "BUF_X2": CellSpec(gates="A a a", p="a VDD Z VDD", n="a VSS Z VSS", pins="A Z", share=3),
    "BUF_X4": CellSpec(gates="A A a a a a", p="VDD a VDD Z VDD Z VDD", n="VSS a VSS Z VSS Z VSS", pins="A Z", share=1),
    "NAND2_X1": CellSpec(gates="A1 A2", p="VDD ZN VDD", n="VSS i ZN", pins="A1 A2 ZN", share=14),
    "NAND2_X2": CellSpec(gates="A1 A2 A2 A1", p="VDD ZN VDD ZN VDD", n="VSS i ZN j VSS", pins="A1 A2 ZN", share=3),
    "NAND3_X1": CellSpec(gates="A1 A2 A3", p="VDD ZN VDD ZN", n="VSS i j ZN", pins="A1 A2 A3 ZN", share=4),
    "NAND4_X1": CellSpec(
        gates="A1 A2 A3 A4", p="VDD ZN VDD ZN VDD", n="VSS i j k ZN", pins="A1 A2 A3 A4 ZN", share=1.5
    ),
    "NOR2_X1": CellSpec(gates="A1 A2", p="VDD i ZN", n="VSS ZN VSS", pins="A1 A2 ZN", share=8),
    "NOR3_X1": CellSpec(gates="A1 A2 A3", p="VDD i j ZN", n="VSS ZN VSS ZN", pins="A1 A2 A3 ZN", share=2),
    "NOR4_X1": CellSpec(gates="A1 A2 A3 A4", p="VDD i j k ZN", n="VSS ZN VSS ZN VSS", pins="A1 A2 A3 A4 ZN", share=1),
    "AND2_X1": CellSpec(gates="A1 A2 zn", p="VDD zn VDD Z", n="zn i VSS Z", pins="A1 A2 Z", share=4),
    "AND3_X1": CellSpec(gates="A1 A2 A3 zn", p="zn VDD zn VDD Z", n="zn i j VSS Z", pins="A1 A2 A3 Z", share=1.5),
    "OR2_X1": CellSpec(gates="A1 A2 zn", p="zn i VDD Z", n="VSS zn VSS Z", pins="A1 A2 Z", share=3),
    "OR3_X1": CellSpec(gates="A1 A2 A3 zn", p="zn i j VDD Z", n="zn VSS zn VSS Z", pins="A1 A2 A3 Z", share=1),
    "AOI21_X1": CellSpec(gates="A B1 B2", p="ZN m VDD m", n="VSS ZN i VSS", pins="A B1 B2 ZN", share=5),
    "AOI22_X1": CellSpec(gates="A1 A2 B2 B1", p="m VDD m ZN m", n="VSS i ZN j VSS", pins="A1 A2 B1 B2 ZN", share=2),
    "AOI211_X1": CellSpec(gates="C2 C1 B A", p="m VDD m i ZN", n="VSS j ZN VSS ZN", pins="A B C1 C2 ZN", share=1.5),
    "OAI21_X1": CellSpec(gates="A B1 B2", p="VDD ZN i VDD", n="ZN m VSS m", pins="A B1 B2 ZN", share=5),
    "OAI22_X1": CellSpec(gates="A1 A2 B2 B1", p="VDD i ZN j VDD", n="m VSS m ZN m", pins="A1 A2 B1 B2 ZN", share=1.5),
    "XOR2_X1": CellSpec(
        gates="n B A - A B",
        p="Z m VDD m VDD i n",
        n="VSS Z j VSS VSS n VSS",
        pins="A B Z",
        share=2.5,
    ),
    "XNOR2_X1": CellSpec(
        gates="n B A - B A",
        p="VDD ZN j VDD VDD n VDD",
        n="ZN m VSS m VSS i n",
        pins="A B ZN",
        share=2.5,
    ),
    "MUX2_X1": CellSpec(
        gates="zn - B S A s - S",
        p="Z VDD m zn m VDD m VDD s",
        n="Z VSS VSS j zn i VSS VSS s",
        pins="A B S Z",
        share=3,
    ),
    "HA_X1": CellSpec(
        gates="c B A - B A c - s",
        p="CO VDD c VDD VDD i s VDD VDD S",
        n="CO VSS j c m VSS m s VSS S",
        pins="A B CO S",
        share=1,
    ),
    "DLH_X1": CellSpec(
        gates="q - Q g D G - G",
        p="Q VDD m q m VDD m VDD g",
        n="Q VSS VSS j q i VSS VSS g",
        pins="D G Q",
        share=1,
    ),
    "DFF_X1": CellSpec(
        gates="CK D - a CK CK b - q",
        p="a x VDD b b VDD VDD q Q VDD",
        n="VSS VSS a b y VSS z q Q VSS",
        pins="CK D Q",
        share=7,
    ),
    "LOGIC0_X1": CellSpec(gates="t", p="VDD t", n="VSS Z", pins="Z", share=0.5),
    "LOGIC1_X1": CellSpec(gates="t", p="VDD Z", n="VSS t", pins="Z", share=0.5),
}
#: Cells that only fill: name -> width in sites, from the widest.
FILLERS: dict[str, int] = {f"FILLCELL_X{n}": n for n in (8, 4, 2, 1)}


def demo_cells() -> dict[str, DrawnCell]:
    """The cells of the library by name, drawn."""
    fillers = {name: filler(name, sites) for name, sites in FILLERS.items()}
    return {name: draw(name, spec) for name, spec in CELLS.items()} | fillers
