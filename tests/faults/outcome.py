"""What came of a fault that was done many times: how often nothing was lost, and what was."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """One row of the table.

    Attributes
    ----------
    fault : what was done, and to what.
    tried : how often.
    lost : a sentence for each time that something was lost, or something half-written was read.
    """

    fault: str
    tried: int = 0
    lost: list[str] = field(default_factory=list)

    def note(self, trouble: str | None) -> None:
        """Count one try; ``trouble`` says what went wrong, None that nothing did."""
        self.tried += 1
        if trouble:
            self.lost.append(trouble)

    @property
    def row(self) -> str:
        """As it stands in the table."""
        return f"{self.fault:<66} {self.tried:>6} {self.tried - len(self.lost):>9} {len(self.lost):>5}"


HEAD = f"{'fault':<66} {'tried':>6} {'survived':>9} {'lost':>5}"
