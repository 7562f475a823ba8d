"""Name the packages that installed ones require and that the image leaves out on purpose."""

from importlib.metadata import distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

found = {canonicalize_name(one.name): one for one in distributions()}
seen: set[tuple[str, str]] = set()
ends = [(name, "") for name in found]
while ends:
    name, extra = ends.pop()
    if (name, extra) in seen:
        continue
    seen.add((name, extra))
    if name not in found:
        continue
    for text in found[name].requires or []:
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": extra}):
            ends += [(canonicalize_name(needed.name), one) for one in ("", *needed.extras)]
print(*sorted({name for name, _ in seen} - found.keys()), sep="\n")
