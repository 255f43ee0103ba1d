"""Scripts in cells ("percent format"): `# %% [markdown]` begins text, `# %%` begins code."""

from __future__ import annotations

import re


def as_markdown(script: str) -> str:
    """A script in cells as Markdown; what stands before the first cell is left out."""
    kinds = re.compile(r"^# %%( \[markdown\])?$", re.MULTILINE)
    _, *parts = kinds.split(script)
    pages = []
    for kind, cell in zip(parts[::2], parts[1::2], strict=True):
        if kind:
            pages.append("\n".join(re.sub("^# ?", "", line) for line in cell.strip().splitlines()))
        else:
            pages.append(f"```python\n{cell.strip()}\n```")
    return "\n\n".join(pages)
