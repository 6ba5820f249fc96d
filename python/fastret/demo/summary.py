"""What the demo saw, in plain words: every clause is chosen by the numbers, none is written in advance."""

from __future__ import annotations

from collections.abc import Sequence

from fastret.evaluate import Comparison, Evaluation

from .faiss_search import SearchComparison
from .near_duplicates import CONCEPT, EXACT, WITHIN

SIGNIFICANCE = 0.05


def differs(comparison: Comparison) -> bool:
    """Whether the paired test, adjusted for all that were made, tells the two apart."""
    return comparison.p_value_holm < SIGNIFICANCE


def change(comparison: Comparison) -> str:
    """How far the first model is from the second, if chance does not explain it: "8.5 points more (5.2 to 11.5)"."""
    c = comparison
    low, high = c.interval or (c.difference, c.difference)
    if not differs(c):
        points = f"{100 * c.difference:+.1f} points, {100 * low:+.1f} to {100 * high:+.1f}"
        return f"no difference that {c.queries} queries could show ({points})"
    if c.difference < 0:
        return f"{-100 * c.difference:.1f} points fewer ({-100 * high:.1f} to {-100 * low:.1f})"
    return f"{100 * c.difference:.1f} points more ({100 * low:.1f} to {100 * high:.1f})"


def in_short(generator: Comparison, realign: Comparison, realigned: Comparison) -> str:
    """Who retrieves better, and what ReAlign does about it.

    The comparisons: generator and retriever, realigned and raw generator, realigned generator and retriever.
    """
    retriever, name = generator.model_b, generator.model_a
    if not differs(generator):
        standing = f"{name} and {retriever} are not told apart"
    else:
        standing = f"{name} retrieves {'better' if generator.difference > 0 else 'worse'} than {retriever}"
    if not differs(realign):
        effect = "ReAlign does not measurably change that"
    elif realign.difference < 0:
        effect = "ReAlign makes it worse"
    elif differs(generator) and generator.difference > 0:
        effect = "ReAlign, without any training, takes it further"
    elif differs(realigned) and realigned.difference < 0:
        closed = realign.difference / -generator.difference
        effect = f"ReAlign, without any training, closes {100 * closed:.0f} % of the distance"
    else:
        effect = (
            f"ReAlign, without any training, brings it {'past' if differs(realigned) else 'level with'} {retriever}"
        )
    return f"In short: {standing}; {effect}."


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


def keywords_sentences(
    raw: Sequence[Evaluation], corrected: Sequence[Evaluation], comparisons: Sequence[Comparison], support: int
) -> str:
    """Text to text, before and after the corrections; the arguments are those of `compare_keywords` and its answers."""
    retriever, mean, last = raw
    by_model = {evaluation.model: evaluation for evaluation in corrected}
    centred, realigned = (by_model[f"{last.model} + {way}"] for way in ("Centring", "ReAlign"))
    of_last, of_mean, of_centring, of_realign, to_retriever, of_retriever = map(change, comparisons)
    return (
        f"{in_short(comparisons[0], comparisons[3], comparisons[4])} "
        f"{retriever.model} puts the right one of {len(retriever.query_ids)} keyword lists first for "
        f"{share(retriever, 'recall@1')} of the emoji labels, though list and label share no word (95 % intervals in "
        f"brackets). {last.model} does so for {share(last, 'recall@1')}: {of_last}. {mean.model} does so for "
        f"{share(mean, 'recall@1')}: against the last token, {of_mean}. Fitted on {support} other concepts, centring "
        f"gives the last token {share(centred, 'recall@1')}: {of_centring}; ReAlign gives it "
        f"{share(realigned, 'recall@1')}: {of_realign}. Against {retriever.model} that is {to_retriever}. What ReAlign "
        f"does for {retriever.model} itself: {of_retriever}."
    )


def pictures_sentence(evaluations: Sequence[Evaluation]) -> str:
    """Text to image and back, on concepts without training."""
    text_to_image, image_to_text = evaluations
    candidates = int(str(text_to_image.dataset["candidates"]))
    return (
        f"Two small heads on frozen {text_to_image.model} features find, for {candidates} concepts that they were not "
        f"trained on, the image of a label first for {share(text_to_image, 'recall@1')}, "
        f"{against_chance(text_to_image, 'recall@1', 1 / candidates)}, and among the first ten for "
        f"{share(text_to_image, 'recall@10')}; the label of an image first for {share(image_to_text, 'recall@1')}."
    )


def near_duplicates_sentence(evaluations: Sequence[Evaluation], chance: float) -> str:
    """Where near-duplicates go wrong: at the concept, or within it."""
    by_name = {e.model: e for e in evaluations}
    exact, concept, within = (by_name[name] for name in (EXACT, CONCEPT, WITHIN))
    wrong_concept = 1 - concept.metrics["hit@1"]
    wrong_variant = concept.metrics["hit@1"] - exact.metrics["recall@1"]
    weaker = (
        "the concept more often than the variant"
        if wrong_concept > wrong_variant
        else "the variant at least as often as the concept"
    )
    return (
        f"Among {len(exact.query_ids)} near-duplicates (skin tone, gender, direction) of the held-out concepts, the "
        f"first image is of the right concept for {share(concept, 'hit@1')} and the very one for "
        f"{share(exact, 'recall@1')}: they miss {weaker}. With the concept given, the very one comes first for "
        f"{share(within, 'recall@1')}, {against_chance(within, 'recall@1', chance)}."
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
