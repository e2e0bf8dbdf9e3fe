"""How the numbers were computed, in short, for the foot of the page (HTML)."""

import html
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_REGIONS = """
<dl>
<dt>Weight effect w</dt><dd>The change of test {metric} per doubling of nnz, each
sparse structure against itself at the neighbouring budgets, averaged over
structures.</dd>
<dt>Structure effect</dt><dd>The standard deviation between the sparse structures at
exactly the same nnz, corrected for the noise of seeds.</dd>
<dt>Dominance R</dt><dd>|w| divided by the structure effect: how many structure standard
deviations one doubling of the weights is worth. R&nbsp;=&nbsp;1 is a convention; a
class is <em>fragile</em> when it changes at ½ or 2, on another scale, or when one
structure or method is left out.</dd>
<dt>Classes</dt><dd>Weight-dominated: w is not 0 and R&nbsp;&gt;&nbsp;1, both with
confidence. Structure-dominated: the structure effect is significant and
R&nbsp;&lt;&nbsp;1 with confidence. Both tests, of R against 1 and of the structure
effect, are Holm-corrected over the budgets of a map (of each method's map by itself),
so that a map with R&nbsp;=&nbsp;1 everywhere has a wrong class of these two, at any
budget, in 5&nbsp;% of the cases; intervals in the tables are 95&nbsp;% each, so that
one may exclude 1 where the class is undetermined. Balanced: both effects significant,
and R between ½ and 2 with 1 in its interval. Saturated: neither, and both narrowly
around 0. Undetermined: too few seeds or structures to tell; the remarks say how many it
would take.</dd>
<dt>Large-sparse against small-dense</dt><dd>At each nnz the best sparse structure and
the best small dense network, both chosen on {chosen_on}, compared on test over paired
seeds, the choice for each seed made on the others. The gain is in doublings: how many
times more weights small-dense needs for the same {metric} (≥ where the dense curve ends
first).</dd>
<dt>At other equal costs</dt><dd>The same with each structure against small dense
networks of its own parameters, effective parameters (those on a path from an input to
an output), training FLOPs, or bytes (float32; kernels in the smallest of dense, bitmap
and coordinates): their {metric} is read off a monotone curve over the logarithm of the
cost. The structure is the one furthest ahead on {chosen_on}, chosen for each seed on
the others. Beyond the ends of the curve nothing is extrapolated: ≥ and ≤ are
bounds.</dd>
<dt>Shares of the variance</dt><dd>Weights: the means of the budgets; structure: what
structures add at every budget alike; interaction: the rest of the cells' means; seeds:
the rest of a trial. Where cells are missing, weights and structure are averaged over
both orders (Shapley). The noise of seeds is subtracted; intervals are by the jackknife
over seeds.</dd>
<dt>Held-out R²</dt><dd>Every seed is predicted from the other seeds by a line in
log₂ nnz, one mean a budget, + one a structure, + one a cell. The intervals carry the
correction of Nadeau and Bengio (2003) for folds that share data.</dd>
<dt>Equal numbers of weights</dt><dd>Networks whose nnz is within 2&nbsp;% of a budget,
small dense ones within 5&nbsp;%, count as of that budget; what they have more or less
is worth, read off the curve of the best of their family, is taken away.</dd>
<dt>Intervals</dt><dd>95 %, over seeds, for the declared structures as a fixed set. A
seed may shift all structures at a budget together; how much it does, relative to the
noise of single trainings, is pooled over budgets, and the interval of w is over what
that may be. Of what is chosen (best structures, Pareto fronts) the choice is made again
for every seed on the other seeds; the variance of a difference is twice that of its
seeds where the choice depends on the one left out. From five seeds on a budget's
differences have their own variance; with three or four, budgets share what their
variances have in common (moderated, Smyth 2004), and one that varies more keeps its
own; two are too few to tell, and intervals wide.
{values}</dd>
</dl>
"""
_OWN = "Test metrics are final, evaluated once, at the end of each trial."
_FOREIGN = "What the metrics of this table are is known to who made it."


def regions(region_map: dict[str, Any]) -> str:
    """How a region map was computed."""
    return _REGIONS.format(
        metric=region_map["metric"].removeprefix("test_"),
        chosen_on=region_map["chosen_on"],
        values=_OWN if region_map["chosen_on"] == "validation" else _FOREIGN,
    )


def rebuild_table(words: Sequence[str]) -> str:
    """The command that makes a page again from somebody else's table."""
    line = html.escape(shlex.join(["sparse-search", *words]))
    return f"<p>The same table gives the same bytes:</p><pre>{line}</pre>"


def rebuild(
    command: str,
    paths: Sequence[Path],
    out: Path | None = None,
    metric: str = "accuracy",
    more: Sequence[str] = (),
) -> str:
    """The command that makes this page again from the journals."""
    words = " ".join(shlex.quote(str(path)) for path in paths)
    if metric != "accuracy":
        words += f" --metric={metric}"
    for option in more:
        words += f" {shlex.quote(option)}"
    if out is not None:
        words += f" --out={shlex.quote(str(out))}"
    return (
        "<p>Everything here is computed from <code>trials.jsonl</code> and "
        "<code>rounds.jsonl</code> of the workdir; the same journals give the same "
        "bytes. To make it again:</p>"
        f"<pre>sparse-search {html.escape(f'{command} {words}')}</pre>"
    )
