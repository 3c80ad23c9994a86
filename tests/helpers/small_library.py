"""A library of one cell with two pins, and a placement of it on rows: enough to clip, to route and to check."""

from __future__ import annotations

import gdstk

from maskopt_lib.layout.platforms import Platform

SITE_NM, HEIGHT_NM, STEP_NM = 190, 1400, 1140
_METAL = """LAYER metal{n}
  TYPE ROUTING ;
  SPACING 0.065 ;
  WIDTH 0.07 ;
  PITCH {pitch} ;
  DIRECTION {direction} ;
  OFFSET 0.095 0.07 ;
END metal{n}
"""
_CUT = """LAYER via{n}
  TYPE CUT ;
  SPACING 0.08 ;
  WIDTH 0.07 ;
END via{n}
"""
_VIA = """VIA {name} DEFAULT
  LAYER via{n} ;
    RECT -0.035 -0.035 0.035 0.035 ;
  LAYER metal{n} ;
    RECT -{a} -{b} {a} {b} ;
  LAYER metal{above} ;
    RECT -{c} -{d} {c} {d} ;
END {name}
"""
_HEAD = """VERSION 5.6 ;
BUSBITCHARS "[]" ;
DIVIDERCHAR "/" ;
UNITS
  DATABASE MICRONS 2000 ;
END UNITS
MANUFACTURINGGRID 0.005 ;
"""
_SITE = """SITE core
  CLASS CORE ;
  SIZE 0.19 BY 1.4 ;
END core
"""
_PIN = """  PIN {name}
    DIRECTION {direction} ;
    USE {use} ;
    PORT
      LAYER metal1 ;
        RECT {x0} {y0} {x1} {y1} ;
    END
  END {name}
"""
#: Pin -> direction, use, rectangle in um.
PINS = {
    "A": ("INPUT", "SIGNAL", (0.06, 0.56, 0.13, 0.84)),
    "Z": ("OUTPUT", "SIGNAL", (0.63, 0.56, 0.7, 0.84)),
    "VDD": ("INOUT", "POWER", (0, 1.315, 0.76, 1.485)),
    "VSS": ("INOUT", "GROUND", (0, -0.085, 0.76, 0.085)),
}


def platform(folder) -> Platform:
    """Write LEF and GDS of the library into a folder."""
    metals = [_METAL.format(n=n, pitch=p, direction=d) for n, p, d in ((1, 0.14, "HORIZONTAL"), (2, 0.19, "VERTICAL"))]
    metals.append(_METAL.format(n=3, pitch=0.14, direction="HORIZONTAL"))
    vias = [
        _VIA.format(name="via1_tall", n=1, above=2, a=0.035, b=0.07, c=0.035, d=0.07),
        _VIA.format(name="via1_big", n=1, above=2, a=0.07, b=0.07, c=0.07, d=0.07),
        _VIA.format(name="via2_flat", n=2, above=3, a=0.035, b=0.07, c=0.07, d=0.035),
    ]
    layers = [metals[0], _CUT.format(n=1), metals[1], _CUT.format(n=2), metals[2]]
    (folder / "tech.lef").write_text("\n".join([_HEAD, *layers, *vias, _SITE, "END LIBRARY\n"]))
    pins = [
        _PIN.format(name=name, direction=direction, use=use, x0=x0, y0=y0, x1=x1, y1=y1)
        for name, (direction, use, (x0, y0, x1, y1)) in PINS.items()
    ]
    macro = "MACRO BOX\n  CLASS CORE ;\n  ORIGIN 0 0 ;\n  SIZE 0.76 BY 1.4 ;\n  SYMMETRY X Y ;\n  SITE core ;\n"
    (folder / "cells.lef").write_text(_HEAD + macro + "".join(pins) + "END BOX\n\nEND LIBRARY\n")
    library = gdstk.Library(unit=1e-6, precision=1e-9)
    cell = library.new_cell("BOX")
    cell.add(gdstk.rectangle((0, 0), (0.76, 1.4), layer=235))
    for _, _, (x0, y0, x1, y1) in PINS.values():
        cell.add(gdstk.rectangle((x0, y0), (x1, y1), layer=11))
    library.write_gds(folder / "cells.gds")
    return Platform(
        process={"metal1": (11, 0), "via1": (12, 0), "metal2": (13, 0), "via2": (14, 0), "metal3": (15, 0)},
        technology="",
        lefs=(str(folder / "tech.lef"), str(folder / "cells.lef")),
        layouts=(str(folder / "cells.gds"),),
        outline=(235, 0),
        die=(236, 0),
        no_logic=(),
    )


def placed(path, n_rows: int = 4, n_columns: int = 5, nets: dict[str, str] | None = None, wires: str = ""):
    """Write the DEF of cells ``u<row>_<column>`` on every second place; by default each feeds its right neighbour."""
    if nets is None:
        pairs = [(row, column) for row in range(n_rows) for column in range(n_columns - 1)]
        nets = {f"n{row}_{column}": f"( u{row}_{column} Z ) ( u{row}_{column + 1} A )" for row, column in pairs}
    turns = ["N" if row % 2 == 0 else "FS" for row in range(n_rows)]
    sites = n_columns * STEP_NM // SITE_NM
    lines = ["VERSION 5.6 ;", "DESIGN small ;", "UNITS DISTANCE MICRONS 2000 ;"]
    lines.append(f"DIEAREA ( 0 0 ) ( {2 * sites * SITE_NM} {2 * n_rows * HEIGHT_NM} ) ;")
    for row, turn in enumerate(turns):
        lines.append(f"ROW R{row} core 0 {2 * row * HEIGHT_NM} {turn} DO {sites} BY 1 STEP {2 * SITE_NM} 0 ;")
    lines.append(f"COMPONENTS {n_rows * n_columns} ;")
    for row, turn in enumerate(turns):
        for column in range(n_columns):
            at = f"( {2 * column * STEP_NM} {2 * row * HEIGHT_NM} ) {turn}"
            lines.append(f"- u{row}_{column} BOX + PLACED {at} ;")
    lines += ["END COMPONENTS", f"NETS {len(nets)} ;"]
    lines += [f"- {name} {pins} {wires} ;" for name, pins in nets.items()]
    path.write_text("\n".join([*lines, "END NETS", "END DESIGN", ""]))
    return path
