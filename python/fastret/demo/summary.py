"""What the demo saw, in plain words: every clause is chosen by the numbers, none is written in advance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fastret.evaluate import Comparison, Evaluation

from .faiss_search import SearchComparison
from .near_duplicates import CONCEPT, EXACT, WITHIN

SIGNIFICANCE = 0.05


def verdict(comparison: Comparison) -> str:
    """Who is ahead, by how much, and whether chance explains it.

    >>> verdict(compare(a, b))  # doctest: +SKIP
    'MiniLM is ahead of SmolLM2 by 30.1 points (95 % interval 25.0 to 35.2, p < 0.001)'
    """
    c = comparison
    low, high = c.interval or (c.difference, c.difference)
    if c.difference < 0:
        low, high = -high, -low
    ahead, behind = (c.model_a, c.model_b) if c.difference >= 0 else (c.model_b, c.model_a)
    p = "p < 0.001" if c.p_value_holm < 0.001 else f"p = {c.p_value_holm:.2g}"
    numbers = f"{100 * abs(c.difference):.1f} points (95 % interval {100 * low:.1f} to {100 * high:.1f}, {p})"
    if c.p_value_holm < SIGNIFICANCE:
        return f"{ahead} is ahead of {behind} by {numbers}"
    return f"{c.queries} queries do not tell {ahead} and {behind} apart, {numbers}"


def share(evaluation: Evaluation, measure: str) -> str:
    """A measure in percent with its interval."""
    interval = evaluation.intervals[measure]
    bounds = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return f"{100 * evaluation.metrics[measure]:.1f} %{bounds}"


def against_chance(evaluation: Evaluation, measure: str, chance: float) -> str:
    """How a measure stands to guessing, by its interval."""
    interval = evaluation.intervals[measure]
    value = evaluation.metrics[measure]
    guess = f"guessing gives {100 * chance:.2g} %"
    if interval and interval[0] > chance:
        return f"{value / chance:.2g} times what guessing gives, {100 * chance:.2g} %"
    if interval and interval[1] < chance:
        return f"fewer than by guessing: {guess}"
    return f"no better than by guessing, as far as these queries tell: {guess}"


def keywords_sentences(raw: Iterable[Evaluation], comparisons: Iterable[Comparison], support: int) -> str:
    """Text to text, before and after the corrections."""
    raw, comparisons = list(raw), list(comparisons)
    queries = len(raw[0].query_ids)
    shares = ", ".join(f"{e.model} {share(e, 'recall@1')}" for e in raw)
    return (
        f"Given an emoji's label, the right one of {queries} keyword lists, which share no word with it, comes first "
        f"for these shares of the labels (95 % intervals in brackets): {shares}. "
        f"Pair by pair, with the corrections fitted on {support} other concepts: "
        f"{'; '.join(verdict(c) for c in comparisons)}."
    )


def pictures_sentence(evaluations: Iterable[Evaluation]) -> str:
    """Text to image and back, on concepts without training."""
    text_to_image, image_to_text = evaluations
    candidates = int(str(text_to_image.dataset["candidates"]))
    return (
        f"Two small heads on frozen {text_to_image.model} features find, for {candidates} concepts that they were not "
        f"trained on, the image of a label first for {share(text_to_image, 'recall@1')}, "
        f"{against_chance(text_to_image, 'recall@1', 1 / candidates)}, and among the first ten for "
        f"{share(text_to_image, 'recall@10')}; the label of an image first for {share(image_to_text, 'recall@1')}."
    )


def near_duplicates_sentence(evaluations: Iterable[Evaluation], chance: float) -> str:
    """Where near-duplicates go wrong: at the concept, or within it."""
    by_name: Mapping[str, Evaluation] = {e.model: e for e in evaluations}
    exact, concept, within = (by_name[name] for name in (EXACT, CONCEPT, WITHIN))
    wrong_concept = 1 - concept.metrics["hit@1"]
    wrong_variant = concept.metrics["hit@1"] - exact.metrics["recall@1"]
    weaker = (
        "the concept more often than the variant"
        if wrong_concept > wrong_variant
        else ("the variant at least as often as the concept")
    )
    return (
        f"Among {len(exact.query_ids)} near-duplicates (skin tone, gender, direction) of the held-out concepts, "
        f"the first image is of the right concept for {share(concept, 'hit@1')} and the very one for "
        f"{share(exact, 'recall@1')}: they miss {weaker}. With the concept given, the very one comes first for {share(within, 'recall@1')}, "
        f"{against_chance(within, 'recall@1', chance)}."
    )


def faiss_sentence(search: SearchComparison | None) -> str:
    """Whether FAISS answers alike, and the times."""
    if search is None:
        return "faiss-cpu is not installed, so the search was not compared with it."
    places = f"{search.queries} x {search.k} places"
    if search.equal_ids == 1:
        answers = f"the same ids in all {places}"
    else:
        explained = "each" if search.explained_ids == 1 else f"{100 * search.explained_ids:.1f} %"
        answers = (
            f"the same ids in {100 * search.equal_ids:.2f} % of {places}; of the others {explained} is a tie within "
            "float32 rounding"
        )
    return (
        f"FAISS {search.faiss_version} gives {answers}, with scores at most "
        f"{search.largest_score_difference:.1g} apart. "
        f"For Q = {search.queries}, N = {search.keys}, D = {search.dim} on {search.threads} threads fastret took "
        f"{search.fastret_ms:.1f} ms and FAISS {search.faiss_ms:.1f} ms."
    )
