"""The native tests find bugs: each one here is planted in one source, which is compiled and linked anew."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from test_native import NEON_TOOLS, ROOT, build, build_for_neon, emulate, run


class PlantedBug(NamedTuple):
    file: str  # below csrc/kernels
    original: str
    planted: str
    group: str  # that must fail
    recompiled: str = ""  # the source that includes the file, where it is a header
    instruction_set: str = "scalar"  # the first that the bug is in


PLANTED_BUGS = {
    # What scores are made of.
    "the last dimension of a row is missed": PlantedBug(
        "cpu/scalar.cpp", "j < width", "j < width - (width < 16)", "primitives"
    ),
    "a lane is not folded": PlantedBug(
        "canonical.h", "j < half", "j < half - (half == 4)", "primitives", "cpu/scalar.cpp"
    ),
    "a fused multiply-add": PlantedBug(
        "cpu/scalar.cpp",
        "lanes[j] += term == Term::product ? x * y : (x - y) * (x - y)",
        "lanes[j] = term == Term::product ? lanes[j] + x * y : __builtin_fma(x - y, x - y, lanes[j])",
        "primitives",
    ),
    # What the first pass is made of.
    "a sign of the rotation is another": PlantedBug(
        "rotation.h", "state >> 31 ? -1.0f", "state >> 31 || &sign == signs + 7 ? -1.0f", "first_pass", "cpu/scalar.cpp"
    ),
    "the last block is not rotated": PlantedBug(
        "rotation.h", "if (dim % size)", "if (false)", "first_pass", "cpu/scalar.cpp"
    ),
    "the shift of bytes is dropped": PlantedBug("cpu/scalar.cpp", "int(n) + shift", "int(n)", "first_pass"),
    "halves are rounded away from zero": PlantedBug("cpu/scalar.cpp", "std::rint(", "std::round(", "first_pass"),
    "a key that reaches the threshold exactly is dropped": PlantedBug(
        "cpu/scalar.cpp", "upper >= sink.threshold", "upper > sink.threshold", "tiles"
    ),
    "AVX2: butterflies go astray": PlantedBug(
        "cpu/avx2.cpp", "_mm256_permute_ps(v, 0x4e)", "_mm256_permute_ps(v, 0x1b)", "first_pass", "", "avx2"
    ),
    "AVX2: the shift of bytes is dropped": PlantedBug(
        "cpu/avx2.cpp", "_mm256_add_epi16(n, shifts)", "n", "first_pass", "", "avx2"
    ),
    "AVX2: the last steps of a panel are not packed": PlantedBug(
        "cpu/avx2.cpp", "for (; s < steps; ++s)", "for (; s + 1 < steps; ++s)", "first_pass", "", "avx2"
    ),
    "AVX2: pairs of products overflow": PlantedBug(
        "cpu/avx2.cpp", "kInt8QueryLevels = 64", "kInt8QueryLevels = 127", "tiles", "", "avx2"
    ),
    "AVX2: keys that are not allowed are kept": PlantedBug(
        "cpu/avx2.cpp", "kept &= allowed; kept", "; kept", "tiles", "", "avx2"
    ),
    "AVX2: half a panel is multiplied": PlantedBug(
        "cpu/avx2_tiles.h", "first < kPanelKeys", "first < kPanelKeys / 2", "tiles", "cpu/avx2.cpp", "avx2"
    ),
    "AVX-VNNI: keys are taken for signed": PlantedBug(
        "cpu/avx_vnni.cpp", "dpbusd_avx_epi32(sum, keys, query)", "dpbusd_avx_epi32(sum, query, keys)", "tiles", "",
        "avx2_vnni",
    ),
    "AVX-512: half of the keys that are not allowed are kept": PlantedBug(
        "cpu/avx512.cpp", "allowed >> 16 * half", "allowed", "tiles", "", "avx512"
    ),
    "AVX-512: one half of a panel stands for the other": PlantedBug(
        "cpu/avx512_tiles.h", "sums[r][1], high", "sums[r][1], low", "tiles", "cpu/avx512.cpp", "avx512"
    ),
    "AVX-512 VNNI: keys are taken for signed": PlantedBug(
        "cpu/avx512_vnni.cpp", "dpbusd_epi32(sum, keys, query)", "dpbusd_epi32(sum, query, keys)", "tiles", "",
        "avx512_vnni",
    ),
    "NEON: butterflies go astray": PlantedBug(
        "cpu/neon.cpp", "vextq_f32(v, v, 2)", "vextq_f32(v, v, 1)", "first_pass", "", "neon"
    ),
    "NEON: keys that are not allowed are kept": PlantedBug(
        "cpu/neon.cpp", "kept &= allowed; kept", "; kept", "tiles", "", "neon"
    ),
    "NEON: signs are turned in all bits but the sign": PlantedBug(
        "cpu/neon_tiles.h", "vdupq_n_u8(0x80)", "vdupq_n_u8(0x7f)", "tiles", "cpu/neon.cpp", "neon"
    ),
    "NEON dot product: keys are taken for signed": PlantedBug(
        "cpu/neon_dotprod.cpp", "return signed_keys(stored)", "return stored", "tiles", "", "neon_dotprod"
    ),
    # What is kept.
    "a candidate that could tie is dropped": PlantedBug(
        "cpu/candidates.h", "sink.uppers[i] >= sink.threshold", "sink.uppers[i] > sink.threshold", "candidates",
        "cpu/scan.cpp",
    ),
    "upper ends make the threshold": PlantedBug(
        "cpu/candidates.h", "reaching[count] = lowers_[i]", "reaching[count] = sink.uppers[i]", "search", "cpu/scan.cpp"
    ),
    "a merge loses a candidate": PlantedBug(
        "cpu/candidates.h", "= sink.count + other_sink.count;", "= sink.count + other_sink.count - 1;",
        "search_in_threads", "cpu/scan.cpp",
    ),
    "the k-th largest is the one before it": PlantedBug(
        "cpu/kth_largest.h", "return middle[k - 1]", "return middle[k - (k > 1 ? 2 : 1)]", "search", "cpu/scan.cpp"
    ),
    "a part of the keys is not merged": PlantedBug(
        "cpu/scan.cpp", "part = 1; part < key_parts_", "part = 2; part < key_parts_", "search_in_threads"
    ),
    "keys that the pass cannot hold are forgotten": PlantedBug(
        "cpu/key_panels.cpp", "keys.push_back(first_key + i)", "(void)keys", "search"
    ),
    "excluded keys are found": PlantedBug("cpu/scan.cpp", "if (block_.excludes(q, place))", "if (false)", "search"),
    "keys of the query's own label are found": PlantedBug(
        "cpu/query_block.h", "key_labels_[key] == query_labels_[q]", "false", "search", "cpu/scan.cpp"
    ),
    "every block has the labels of the first queries": PlantedBug(
        "cpu/query_block.cpp", "filter.query_labels + block.begin", "filter.query_labels", "search_in_threads"
    ),
    "a key that may beat the ceiling raises the threshold": PlantedBug(
        "cpu/scan.cpp", "upper < ceiling.within_reach ? lower", "true ? lower", "search"
    ),
    "a key that may reach the ceiling is dropped": PlantedBug(
        "cpu/scan.cpp", "lower > ceiling.beyond", "upper > ceiling.beyond", "search"
    ),
    "keys above the ceiling count as the first k": PlantedBug(
        "cpu/search.cpp", "size_t(p_.k + std::count_if", "size_t(p_.k + 0 * std::count_if", "search"
    ),
    "keys above the ceiling are found": PlantedBug(
        "cpu/search.cpp", "if (pair.value <= block_.ceiling(pair.query))", "if (!std::isnan(pair.value))", "search"
    ),
    "a key at the ceiling is not found": PlantedBug(
        "cpu/search.cpp", "pair.value <= block_.ceiling", "pair.value < block_.ceiling", "search"
    ),
    "an exact scan knows no ceiling": PlantedBug(
        "cpu/search.cpp", "if (value <= block_.ceiling(queries[e])) best", "best", "search"
    ),
    "NaN for a ceiling leaves nothing": PlantedBug(
        "cpu/query_block.cpp", "std::isnan(ceilings[q])", "false", "search"
    ),
    "a query's own pairs are moved together": PlantedBug(
        "cpu/pair_scores.cpp", "targets[count++] = &score", "targets[count++] = &p.scores[q * p.num_pairs + first]",
        "pair_scores",
    ),
    "a guessed threshold is taken for proven": PlantedBug(
        "cpu/search.cpp", "else if (scan.failed(i))", "else if (false)", "search"
    ),
    "a query with too many candidates is left unanswered": PlantedBug(
        "cpu/search.cpp", "left.push_back(scan.queries()[size_t(i)])", "(void)left", "search"
    ),
    "equal scores: the larger id first": PlantedBug(
        "cpu/search.cpp", "~ascending(value)) << 32 | id", "~ascending(value)) << 32 | ~id", "search"
    ),
    "a key of several queries meets the first of them only": PlantedBug(
        "cpu/rescore.cpp", "std::min(first + r, run.end - 1)].query", "run.begin].query", "search"
    ),
    "axes: the tails of another panel": PlantedBug(
        "cpu/scan.cpp", "tile.number * (steps_ - head_steps_)", "(tile.number / 2) * (steps_ - head_steps_)", "search"
    ),
    "axes: heads are held against the bound of whole rows": PlantedBug(
        "cpu/scan.cpp", "facts.residual = principal_", "[[maybe_unused]] auto x = principal_", "search"
    ),
    "a score that equals the threshold is found": PlantedBug(
        "cpu/range_search.cpp", "if (value > threshold_) found_[", "if (value >= threshold_) found_[", "range_search"
    ),
    # select_k.
    "-0 sorts before +0": PlantedBug("cpu/select_k.cpp", "value + 0.0f", "value", "select_k"),
    "equal values: the larger column first": PlantedBug(
        "cpu/select_k.cpp", "std::sort(keys.begin(), keys.end(), std::greater<uint64_t>())",
        "std::sort(keys.begin(), keys.end(), [](auto a, auto b) { return a >> 32 == b >> 32 ? a < b : a > b; })",
        "select_k",
    ),
    "an infinitely bad value is no value": PlantedBug(
        "cpu/select_k.cpp", "(!full && values[c] >= threshold)", "false", "select_k"
    ),
    # Product codes.
    "product codes: of equally near centroids the larger is coded": PlantedBug(
        "cpu/product_codes_scalar.cpp", "if (sums[i] < smallest)", "if (sums[i] <= smallest)", "product_codes"
    ),
    "product codes: the slack of the bound is missing": PlantedBug(
        "cpu/product_levels.h", "double(num_codes + 16) * 0x1p-22", "0.0", "product_codes", "cpu/product_scan.cpp",
        "avx2",
    ),
    "product codes: offsets are not signed": PlantedBug(
        "cpu/product_levels.h", "sign_ * lists_.offsets", "lists_.offsets", "product_codes", "cpu/product_scan.cpp",
        "avx2",
    ),
    "product codes: candidates are compared without the base of their list": PlantedBug(
        "cpu/product_scan.cpp", "offsets[row] : 0.0f) + signed_base", "offsets[row] : 0.0f)", "product_codes", "",
        "avx2",
    ),
    "product codes: fewer rows than are wanted make a threshold": PlantedBug(
        "cpu/kth_largest.h", "count < k ? below", "count + 1 < k ? below", "product_codes", "cpu/product_scan.cpp",
        "avx2",
    ),
    "AVX2, product codes: halves of a table of nibbles are told apart by another bit": PlantedBug(
        "cpu/product_codes_avx2.cpp", "_mm256_slli_epi32(codes, 28)", "_mm256_slli_epi32(codes, 27)",
        "product_codes", "", "avx2",
    ),
    "AVX2, product codes: rows of sums within the limit are mixed up": PlantedBug(
        "cpu/product_codes_avx2.cpp", "_mm256_permute4x64_epi64(bytes, 0xd8)", "bytes", "product_codes", "", "avx2"
    ),
    "AVX2, product codes: the upper codes of bytes are looked up in the table of the lower ones": PlantedBug(
        "cpu/product_codes_avx2.cpp",
        "_mm256_shuffle_epi8(upper,",
        "_mm256_shuffle_epi8(lower,",
        "product_codes",
        "",
        "avx2",
    ),
    "AVX-512, product codes: sums of odd bytes stay in those of even ones": PlantedBug(
        "cpu/product_codes_avx512.h", "_mm512_slli_epi16(odd, 8)", "_mm512_setzero_si512()", "product_codes",
        "cpu/product_codes_avx512.cpp", "avx512",
    ),
    "AVX-512, product codes: the last columns are not compared": PlantedBug(
        "cpu/product_codes_avx512.cpp",
        "for (int j = 0; j < kColumns; ++j) nearest[j].take(",
        "for (int j = 0; j + 1 < kColumns; ++j) nearest[j].take(",
        "product_codes",
        "",
        "avx512",
    ),
    "AVX-512, product codes: halves of rows within the limit are exchanged": PlantedBug(
        "cpu/product_codes_avx512.cpp", "uint64_t(high) << 32 | low", "uint64_t(low) << 32 | high", "product_codes",
        "", "avx512",
    ),
    "AVX-512, product codes: the upper nibbles are scored as the lower ones": PlantedBug(
        "cpu/product_codes_avx512.cpp", "_mm512_srli_epi32(codes, 4)", "codes", "product_codes", "", "avx512"
    ),
    "AVX-512, product codes: some rows are transposed for others": PlantedBug(
        "cpu/product_codes_avx512.cpp", "lane(2), 2)", "lane(1), 2)", "product_codes", "", "avx512"
    ),
    "AVX-512 VBMI, product codes: the halves of a table are exchanged": PlantedBug(
        "cpu/product_codes_avx512_vbmi.cpp", "low, high))", "high, low))", "product_codes", "", "avx512_vnni"
    ),
    # Graphs.
    "row sums: the last dimension of a row is missed": PlantedBug(
        "cpu/row_sums.cpp", "j < width", "j < width - (width < 16)", "hnsw"
    ),
    "AVX2, row sums: the last dimension of a row is missed": PlantedBug(
        "cpu/row_sums_avx2.cpp", "j < count", "j + 1 < count", "hnsw", "", "avx2"
    ),
    "AVX-512, row sums: a fused multiply-add": PlantedBug(
        "cpu/row_sums_avx512.cpp", "_mm512_add_ps(sum, _mm512_mul_ps(difference, difference))",
        "_mm512_fmadd_ps(difference, difference, sum)", "hnsw", "", "avx512",
    ),
    "graphs: what one walk met is not new to the next": PlantedBug(
        "cpu/hnsw_walk.h", "words_[size_t(id) / 64] = 0", "words_[size_t(id) / 64] |= 0", "hnsw", "cpu/hnsw_search.cpp"
    ),
    "graphs: neighbours stay in the order of the walk": PlantedBug(
        "cpu/hnsw_search.cpp", "ranks_before(a.value, a.id, b.value, b.id)", "a.id > b.id", "hnsw"
    ),
    "graphs: the first vector is its own neighbour": PlantedBug(
        "cpu/hnsw_add.cpp", "if (node->id() != id) ", "", "hnsw"
    ),
    # Hamming distances.
    "hamming: the last bytes of a code are not packed": PlantedBug(
        "cpu/hamming_scalar.cpp", "if (whole < words)", "if (false)", "hamming"
    ),
    "hamming: the keys that fill a panel are found": PlantedBug(
        "cpu/hamming.cpp", "if (in_block >= count) break;", "if (place >= p_.num_keys) break;", "hamming"
    ),
    "hamming: of equal distances the larger id stays": PlantedBug(
        "cpu/hamming_nearest.h", "!ids_ascend_ ? worst_ + 1", "false ? worst_ + 1", "hamming", "cpu/hamming.cpp"
    ),
    "hamming: the k-th distance counts one too many": PlantedBug(
        "cpu/hamming_nearest.h", "- counts_[size_t(worst_)] >= k_", "- counts_[size_t(worst_)] >= k_ - 1", "hamming",
        "cpu/hamming.cpp",
    ),
    "hamming: a part of the keys is not merged": PlantedBug(
        "cpu/hamming.cpp", "other = 1; other < found.size()", "other = 2; other < found.size()", "hamming"
    ),
    "AVX2, hamming: the bits of one half of a byte are forgotten": PlantedBug(
        "cpu/hamming_avx2.cpp", "_mm256_shuffle_epi8(bits_of_half, high))", "_mm256_setzero_si256())", "hamming", "",
        "avx2",
    ),
    "AVX2, hamming: counts overflow their bytes": PlantedBug(
        "cpu/hamming_avx2.cpp", "kWordsOfBytes = 31", "kWordsOfBytes = 33", "hamming", "", "avx2"
    ),
    "AVX-512, hamming: words go astray": PlantedBug(
        "cpu/hamming_avx512.cpp", "rows[j + 4] = _mm512_shuffle_i64x2(quads[j], quads[j + 4], 0xdd)",
        "rows[j + 4] = _mm512_shuffle_i64x2(quads[j], quads[j + 4], 0x88)", "hamming", "", "avx512",
    ),
    # Inverted lists.
    "a list that is probed again is skipped": PlantedBug(
        "cpu/list_visits.h", "if (again || rows", "if (again) return; if (rows", "list_search", "cpu/list_search.cpp"
    ),
    "the last block of a list is not visited": PlantedBug(
        "cpu/list_scan.h",
        "row < visit.rows; row +=",
        "row + kPanelKeys < visit.rows; row +=",
        "list_search",
        "cpu/list_search.cpp",
    ),
    "of equal scores the larger id comes first": PlantedBug(
        "cpu/found_rows.h",
        "return ranks_before(value, id, other.value, other.id)",
        "return ranks_before(value, other.id, other.value, id)",
        "list_search",
        recompiled="cpu/list_search.cpp",
    ),
    "thresholds of cosine are not in the scale of the pass": PlantedBug(
        "cpu/value_scale.h", "value * norm_ - shift_", "value - shift_", "list_search", recompiled="cpu/list_scan.cpp"
    ),
    "hidden rows are found by the exact scan": PlantedBug(
        "cpu/list_scan.h",
        "if (!work_.lists.allowed || work_.lists.allowed[p])",
        "if (true)",
        "list_search",
        "cpu/list_search.cpp",
    ),
    "levels lie at the lower ends of their steps": PlantedBug(
        "cpu/levels.cpp", "float(levels[d]) + 0.5f", "float(levels[d])", "list_search"
    ),
    "AVX2: quotients are not rounded as those of a division": PlantedBug(
        "cpu/levels_avx2.cpp",
        "_mm256_fmadd_ps(_mm256_fnmadd_ps(near, steps, middle), inverse, near)",
        "near",
        "list_search",
        "",
        "avx2",
    ),
    "AVX-512: quotients are not rounded as those of a division": PlantedBug(
        "cpu/levels_avx512.cpp",
        "_mm512_fmadd_ps(_mm512_fnmadd_ps(near, steps, middle), inverse, near)",
        "near",
        "list_search",
        "",
        "avx512",
    ),
    # Metrics beyond inner product and L2.
    "extra scores: of NaN and a number NaN is the smaller": PlantedBug(
        "cpu/extra_metrics.h", "pick(is_number, min(q, x), q)", "min(q, x)", "extra_scores", "cpu/extra_scores.cpp"
    ),
    "extra scores: categories that are equal differ": PlantedBug(
        "cpu/extra_metrics.h", "categories & ((q < x) | (x < q))", "categories", "extra_scores", "cpu/extra_scores.cpp"
    ),
    "extra scores: the queries of another block": PlantedBug(
        "cpu/extra_scores.cpp", "if (block != held)", "if (held < 0)", "extra_scores"
    ),
    "AVX2, extra scores: the upper half of a panel is the lower one": PlantedBug(
        "cpu/extra_scores_avx2.cpp", "_mm256_extractf128_ps(floats, 1)", "_mm256_castps256_ps128(floats)",
        "extra_scores", "", "avx2",
    ),
    "AVX2, extra scores: the last dimensions are not packed": PlantedBug(
        "cpu/extra_scores_pack.h", "for (; d < dim; ++d)", "for (; d + 1 < dim; ++d)", "extra_scores",
        "cpu/extra_scores_avx2.cpp", "avx2",
    ),
    "AVX-512, extra scores: absolute values keep their sign": PlantedBug(
        "cpu/extra_scores_avx512.cpp", "_mm512_abs_pd(a.v)", "a.v", "extra_scores", "", "avx512"
    ),
    # Contrastive losses.
    "contrastive: a limit bounds the positive, too": PlantedBug(
        "cpu/contrastive.cpp", "for (const Positive& positive : positives_) scores_", "if (false) for (const Positive& "
        "positive : positives_) scores_", "contrastive",
    ),
    "contrastive: a candidate at its limit is dropped": PlantedBug(
        "cpu/contrastive_rows.h", "limit < V::load(c.judge + i), V(-kInfinity), V::load(c.scores + i) * V(c.scale)",
        "V::load(c.judge + i) < limit, V::load(c.scores + i) * V(c.scale), V(-kInfinity)", "contrastive",
        "cpu/contrastive.cpp",
    ),
    "contrastive: an earlier tile's sum keeps its scale": PlantedBug(
        "cpu/contrastive.cpp", "stat(kExpSum) * std::exp(stat(kLargest) - double(largest))", "stat(kExpSum)",
        "contrastive",
    ),
    "contrastive: candidates beyond the row count": PlantedBug(
        "cpu/contrastive.cpp", "std::fill(scores_.begin() + tile_.columns, scores_.end(), -kInfinity);", "",
        "contrastive",
    ),
    "contrastive: the gradient as an anchor is missing": PlantedBug(
        "cpu/contrastive.cpp", "T(of_anchor + columns.gradient(positive.column, positive.worth))", "T(of_anchor)",
        "contrastive",
    ),
    "contrastive: the logarithm stops too early": PlantedBug(
        "cpu/contrastive_rows.h", "p = p * square + V(1.0f / 3);", "", "contrastive", "cpu/contrastive.cpp"
    ),
    "AVX2, contrastive: the upper lanes are the lower ones": PlantedBug(
        "cpu/contrastive_avx2.cpp", "_mm256_loadu_ps(source + 8)", "_mm256_loadu_ps(source)", "contrastive", "", "avx2"
    ),
    "AVX-512, contrastive: equal is not what equals": PlantedBug(
        "cpu/contrastive_avx512.cpp", "_CMP_EQ_OQ", "_CMP_LT_OQ", "contrastive", "", "avx512"
    ),
}  # fmt: skip


@cache
def made(neon: bool) -> Path:
    return build_for_neon() if neon else build("")


@cache
def instruction_sets(neon: bool) -> list[str]:
    program = made(neon) / "native_tests"
    return (emulate if neon else run)(program, "--sets").stdout.split()


def runner_for(instruction_set: str) -> tuple[Path, Callable[..., subprocess.CompletedProcess[str]]]:
    """The build that has the instruction set, and what runs it; skips where there is none."""
    if instruction_set in instruction_sets(neon=False):
        return made(neon=False), run
    if not instruction_set.startswith("neon"):
        pytest.skip(f"this machine lacks {instruction_set}")
    if not all(map(shutil.which, NEON_TOOLS)):
        pytest.skip(f"needs {' and '.join(NEON_TOOLS)}")
    return made(neon=True), emulate


@pytest.fixture
def csrc(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "csrc" / "kernels", tmp_path / "csrc/kernels", ignore=shutil.ignore_patterns("cuda"))
    return tmp_path / "csrc"


@pytest.mark.parametrize("source", ["cpu/scalar.cpp", "cpu/scan.cpp"])
def test_without_a_planted_bug_nothing_is_found(source: str, csrc: Path, tmp_path: Path) -> None:
    result = run(link_with(source, csrc, made(neon=False), tmp_path), "tiles", "search_in_threads")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", PLANTED_BUGS)
def test_a_planted_bug_is_found(name: str, csrc: Path, tmp_path: Path) -> None:
    bug = PLANTED_BUGS[name]
    folder, runner = runner_for(bug.instruction_set)
    mutated = csrc / "kernels" / bug.file
    source = mutated.read_text()
    assert source.count(bug.original) == 1
    mutated.write_text(source.replace(bug.original, bug.planted))
    result = runner(link_with(bug.recompiled or bug.file, csrc, folder, tmp_path), bug.group)
    assert "FAILED" in result.stderr, f"{bug.group} passes in spite of: {name}"


def test_every_source_of_an_instruction_set_has_a_planted_bug() -> None:
    names = [path.name for path in (ROOT / "csrc/kernels/cpu").iterdir()]
    sources = {f"cpu/{name}" for name in names if name.startswith(("scalar", "avx", "neon"))}
    assert sources <= {bug.file for bug in PLANTED_BUGS.values()}


def link_with(source: str, csrc: Path, folder: Path, target: Path) -> Path:
    """native_tests as it is in `folder`, but with `source` compiled from `csrc`."""
    mutant, program = target / "mutant.o", target / "native_tests"
    objects: list[Path] = []
    compiler: list[str] = []
    for entry in json.loads((folder / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        output = words.index("-o")
        if Path(entry["file"]).resolve() != ROOT / "csrc" / "kernels" / source:
            objects.append(folder / words[output + 1])
            continue
        compiler = words[: next(i for i, word in enumerate(words) if word.startswith("-"))]
        flags = [word.replace(str(ROOT / "csrc"), str(csrc)) for word in words[:output]]
        subprocess.run([*flags, "-O0", "-Wno-error", "-o", mutant, "-c", csrc / "kernels" / source], check=True)
    # First in the list: its inline functions are the ones that the linker keeps.
    static = ["-static"] if folder.name == "aarch64" else []
    subprocess.run([*compiler, mutant, *objects, "-o", program, "-pthread", *static], check=True)
    return program
