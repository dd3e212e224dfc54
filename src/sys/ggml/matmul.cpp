// Products of weights in blocks of 32 (Q4_1, Q5_0, Q5_1, Q8_0) with a few or many rows of
// activations, on x86-64 with AVX2. ggml's CPU backend asks here first, where it would ask for its
// K-quant tiles (`ggml_compute_forward_mul_mat_tiled`, renamed for its file by build/plan.rs): it
// has no tiles for these types, or ones that reduce every block of every row on its own.
//
// Eight rows of weights are unpacked side by side, so that the lanes of a register are rows: a whole
// block is summed in 16 bits without a shuffle, and what unpacking costs is shared by all rows of
// activations. Weights stay as they are in the file; nothing is copied when a model is loaded.

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "tiled/tiled.h"

extern "C" size_t lk_mul_mat_wdata_size(int n_tasks, ggml_tensor * dst);
extern "C" bool lk_mul_mat(const ggml_compute_params * params, ggml_tensor * dst);

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <string.h>

namespace {

// Weight rows side by side; elements of a block; blocks that are unpacked at once (10 KiB).
constexpr int64_t ROWS = 8;
constexpr int64_t BLOCK = 32;
constexpr int64_t SLICE = 32;
// Activation rows that go past an unpacked slice together, and those of one job.
constexpr int COLUMNS = 4;
constexpr int64_t JOB_COLUMNS = 64;
// Jobs per thread, so that a thread that is held up leaves its work to the others.
constexpr int64_t JOBS = 8;

int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t parts(int64_t whole, int64_t part) {
    return (whole + part - 1) / part;
}

// One block of eight rows. Dword r of `quants[g]` has the elements 4g to 4g+3 of row r.
struct alignas(32) Panel {
    __m256i quants[8];
    float scale[ROWS];
    float min[ROWS];
};

// A dword of every row.
template <typename Block> __m256i gather(const Block * const rows[ROWS], size_t offset) {
    int32_t v[ROWS];
    for (int r = 0; r < ROWS; r++) {
        memcpy(&v[r], (const char *) rows[r] + offset, sizeof(int32_t));
    }
    return _mm256_setr_epi32(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]);
}

// 16 bytes of every row: dword r of `out[g]` has the bytes 4g to 4g+3 of row r.
template <typename Block> void transpose(const Block * const rows[ROWS], size_t offset, __m256i out[4]) {
    __m256i v[4];
    for (int r = 0; r < 4; r++) {
        const auto * low  = (const __m128i *) ((const char *) rows[r] + offset);
        const auto * high = (const __m128i *) ((const char *) rows[r + 4] + offset);
        v[r] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)), _mm_loadu_si128(high), 1);
    }
    const __m256i a = _mm256_unpacklo_epi32(v[0], v[1]);
    const __m256i b = _mm256_unpackhi_epi32(v[0], v[1]);
    const __m256i c = _mm256_unpacklo_epi32(v[2], v[3]);
    const __m256i d = _mm256_unpackhi_epi32(v[2], v[3]);
    out[0] = _mm256_unpacklo_epi64(a, c);
    out[1] = _mm256_unpackhi_epi64(a, c);
    out[2] = _mm256_unpacklo_epi64(b, d);
    out[3] = _mm256_unpackhi_epi64(b, d);
}

// The 4-bit halves of 16 bytes of every row: elements 0 to 15, then 16 to 31.
template <typename Block> void unpack_nibbles(const Block * const rows[ROWS], size_t offset, __m256i out[8]) {
    const __m256i mask = _mm256_set1_epi8(15);
    __m256i packed[4];
    transpose(rows, offset, packed);
    for (int g = 0; g < 4; g++) {
        out[g]     = _mm256_and_si256(packed[g], mask);
        out[g + 4] = _mm256_and_si256(_mm256_srli_epi16(packed[g], 4), mask);
    }
}

// A byte of `set` where a bit of the 32 in `bits` is set, else of `unset`; bit 4g+k of dword r belongs
// to byte k of dword r of group g.
__m256i by_bit(__m256i bits, int group, uint8_t set, uint8_t unset) {
    // Each of the group's four bits to a byte of its own.
    const __m256i spread = _mm256_shuffle_epi8(
        bits, _mm256_add_epi8(_mm256_set1_epi8((char) (group / 2)),
                              _mm256_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12,
                                               0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12)));
    const __m256i bit = _mm256_set1_epi32(group % 2 == 0 ? 0x08040201 : (int) 0x80402010);
    const __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
    return _mm256_blendv_epi8(_mm256_set1_epi8((char) unset), _mm256_set1_epi8((char) set), is_set);
}

// The 4-bit halves of every row with what a set or unset fifth bit adds.
template <typename Block> void unpack_fives(const Block * const rows[ROWS], uint8_t set, uint8_t unset, __m256i out[8]) {
    unpack_nibbles(rows, offsetof(Block, qs), out);
    const __m256i bits = gather(rows, offsetof(Block, qh));
    for (int g = 0; g < 8; g++) {
        out[g] = _mm256_or_si256(out[g], by_bit(bits, g, set, unset));
    }
}

// Scales in the low halves of dwords, minima in the high ones.
void unpack_scales(__m256i pairs, float * low, float * high) {
    const __m256i halves = _mm256_permute4x64_epi64(
        _mm256_shuffle_epi8(pairs, _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,
                                                    0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15)),
        0xd8);
    _mm256_store_ps(low, _mm256_cvtph_ps(_mm256_castsi256_si128(halves)));
    if (high) {
        _mm256_store_ps(high, _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1)));
    }
}

// How a type of weights is unpacked. With a minimum, quants are unsigned and activations carry their
// sum; without, quants are signed.
struct Q4_1 {
    using Block = block_q4_1;
    static constexpr bool has_min = true;
    // Groups of products that 16 bits can sum: 8 * 2 * 15 * 127 < 2^15.
    static constexpr int groups = 8;

    static void unpack(const Block * const rows[ROWS], Panel & panel) {
        unpack_nibbles(rows, offsetof(Block, qs), panel.quants);
        unpack_scales(gather(rows, 0), panel.scale, panel.min);
    }
};

struct Q5_1 {
    using Block = block_q5_1;
    static constexpr bool has_min = true;
    // 4 * 2 * 31 * 127 < 2^15.
    static constexpr int groups = 4;

    static void unpack(const Block * const rows[ROWS], Panel & panel) {
        unpack_fives(rows, 16, 0, panel.quants);
        unpack_scales(gather(rows, 0), panel.scale, panel.min);
    }
};

struct Q5_0 {
    using Block = block_q5_0;
    static constexpr bool has_min = false;
    // 8 * 2 * 16 * 127 < 2^15.
    static constexpr int groups = 8;

    static void unpack(const Block * const rows[ROWS], Panel & panel) {
        // Less 16: an unset fifth bit becomes the sign.
        unpack_fives(rows, 0, 0xf0, panel.quants);
        unpack_scales(gather(rows, 0), panel.scale, nullptr);
    }
};

struct Q8_0 {
    using Block = block_q8_0;
    static constexpr bool has_min = false;
    // 2 * 128 * 127 < 2^15.
    static constexpr int groups = 1;

    static void unpack(const Block * const rows[ROWS], Panel & panel) {
        transpose(rows, offsetof(Block, qs), panel.quants);
        transpose(rows, offsetof(Block, qs) + 16, panel.quants + 4);
        unpack_scales(gather(rows, 0), panel.scale, nullptr);
    }
};

// Activations as ggml quantizes them for a type of weights: with their scaled sum where these have a
// minimum.
template <bool HasMin> struct Activations;

template <> struct Activations<true> {
    using Block = block_q8_1;
    static constexpr ggml_type type = GGML_TYPE_Q8_1;

    static float scale(const Block & block) { return _cvtsh_ss(block.data.data.d); }
    static float sum(const Block & block) { return _cvtsh_ss(block.data.data.s); }
};

template <> struct Activations<false> {
    using Block = block_q8_0;
    static constexpr ggml_type type = GGML_TYPE_Q8_0;

    static float scale(const Block & block) { return _cvtsh_ss(block.d); }
    static float sum(const Block &) { return 0; }
};

// Of one block of activations, as floats.
struct Factors {
    float scale;
    float sum;
};

// The operands of one product. The factors of a block lie side by side for all activation rows.
struct Product {
    const char * weights;
    size_t weight_stride;
    char * activations;
    size_t activation_stride;
    Factors * factors;
    int64_t columns;
    char * out;
    size_t out_stride;
    int64_t blocks;
};

// Eight rows of weights from `row` on with N rows of activations from `column` on, in `n` blocks
// from `first` on; the products of blocks before are in the output already.
template <typename W, int N>
void multiply(const Product & p, const Panel * panels, int64_t first, int64_t n, int64_t row, int64_t column) {
    using Block = typename Activations<W::has_min>::Block;
    const __m256i ones = _mm256_set1_epi16(1);
    const Block * columns[N];
    float * out[N];
    __m256 sums[N];
    for (int c = 0; c < N; c++) {
        columns[c] = (const Block *) (p.activations + (column + c) * p.activation_stride) + first;
        out[c] = (float *) (p.out + (column + c) * p.out_stride) + row;
        sums[c] = first == 0 ? _mm256_setzero_ps() : _mm256_loadu_ps(out[c]);
    }
    const Factors * factors = p.factors + first * p.columns + column;
    for (int64_t k = 0; k < n; k++) {
        const Panel & panel = panels[k];
        __m256i wide[N];
        for (int from = 0; from < 8; from += W::groups) {
            __m256i narrow[N];
            for (auto & sum : narrow) {
                sum = _mm256_setzero_si256();
            }
            // Unrolled, all products come before all sums and go through memory.
#pragma GCC unroll 1
            for (int g = from; g < from + W::groups; g++) {
                const __m256i quants = panel.quants[g];
                const __m256i bytes = W::has_min ? quants : _mm256_abs_epi8(quants);
                for (int c = 0; c < N; c++) {
                    int32_t four;
                    memcpy(&four, columns[c][k].qs + 4 * g, sizeof(four));
                    __m256i x = _mm256_set1_epi32(four);
                    x = W::has_min ? x : _mm256_sign_epi8(x, quants);
                    narrow[c] = _mm256_add_epi16(narrow[c], _mm256_maddubs_epi16(bytes, x));
                }
            }
            for (int c = 0; c < N; c++) {
                const __m256i pairs = _mm256_madd_epi16(narrow[c], ones);
                wide[c] = from == 0 ? pairs : _mm256_add_epi32(wide[c], pairs);
            }
        }
        const __m256 scale = _mm256_load_ps(panel.scale);
        for (int c = 0; c < N; c++) {
            const __m256 both = _mm256_mul_ps(scale, _mm256_broadcast_ss(&factors[c].scale));
            sums[c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(wide[c]), both, sums[c]);
            if (W::has_min) {
                const __m256 sum = _mm256_broadcast_ss(&factors[c].sum);
                sums[c] = _mm256_fmadd_ps(_mm256_load_ps(panel.min), sum, sums[c]);
            }
        }
        factors += p.columns;
    }
    for (int c = 0; c < N; c++) {
        _mm256_storeu_ps(out[c], sums[c]);
    }
}

// Eight rows of weights from `row` on with the activation rows from `column` to `end`.
template <typename W> void multiply_panel(const Product & p, int64_t row, int64_t column, int64_t end) {
    Panel panels[SLICE];
    for (int64_t block = 0; block < p.blocks; block += SLICE) {
        const int64_t n = smaller(SLICE, p.blocks - block);
        const typename W::Block * rows[ROWS];
        for (int r = 0; r < ROWS; r++) {
            rows[r] = (const typename W::Block *) (p.weights + (row + r) * p.weight_stride) + block;
        }
        for (int64_t k = 0; k < n; k++) {
            for (auto & r : rows) {
                // The same block of the next panel: rows are too short for the CPU to see a pattern.
                _mm_prefetch((const char *) r + ROWS * p.weight_stride, _MM_HINT_T0);
            }
            W::unpack(rows, panels[k]);
            for (auto & r : rows) {
                r++;
            }
        }
        int64_t c = column;
        for (; c + COLUMNS <= end; c += COLUMNS) {
            multiply<W, COLUMNS>(p, panels, block, n, row, c);
        }
        switch (end - c) {
            case 3: multiply<W, 3>(p, panels, block, n, row, c); break;
            case 2: multiply<W, 2>(p, panels, block, n, row, c); break;
            case 1: multiply<W, 1>(p, panels, block, n, row, c); break;
        }
    }
}

// Quantizes this thread's blocks of every activation row.
template <typename W> void quantize(const ggml_compute_params * params, const ggml_tensor * src, const Product & p) {
    using A = Activations<W::has_min>;
    const auto from_float = ggml_get_type_traits_cpu(A::type)->from_float;
    const int64_t begin = p.blocks * params->ith / params->nth;
    const int64_t end = p.blocks * (params->ith + 1) / params->nth;
    for (int64_t c = 0; c < p.columns; c++) {
        const float * row = (const float *) ((const char *) src->data + c * src->nb[1]);
        auto * out = (typename A::Block *) (p.activations + c * p.activation_stride);
        from_float(row + begin * BLOCK, out + begin, (end - begin) * BLOCK);
        for (int64_t b = begin; b < end; b++) {
            p.factors[b * p.columns + c] = { A::scale(out[b]), A::sum(out[b]) };
        }
    }
}

size_t factors_size(const ggml_tensor * activations) {
    return ggml_nelements(activations) / BLOCK * sizeof(Factors);
}

template <typename W> bool mul_mat(const ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor * weights = dst->src[0];
    const ggml_tensor * activations = dst->src[1];
    const size_t row_size = ggml_row_size(Activations<W::has_min>::type, activations->ne[0]);
    const size_t factors = GGML_PAD(row_size * activations->ne[1], sizeof(Factors));
    if (params->wsize < factors + factors_size(activations)) {
        return false;
    }
    const Product product = {
        (const char *) weights->data,
        weights->nb[1],
        (char *) params->wdata,
        row_size,
        (Factors *) ((char *) params->wdata + factors),
        activations->ne[1],
        (char *) dst->data,
        dst->nb[1],
        weights->ne[0] / BLOCK,
    };
    quantize<W>(params, activations, product);

    const int64_t panels = weights->ne[1] / ROWS;
    const int64_t per_job = parts(panels, params->nth * JOBS);
    const int64_t stripes = parts(panels, per_job);
    const int64_t jobs = stripes * parts(product.columns, JOB_COLUMNS);
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    for (int64_t job = params->ith; job < jobs; job = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        const int64_t column = job / stripes * JOB_COLUMNS;
        const int64_t first = job % stripes * per_job;
        for (int64_t panel = first; panel < smaller(first + per_job, panels); panel++) {
            multiply_panel<W>(product, panel * ROWS, column, smaller(column + JOB_COLUMNS, product.columns));
        }
    }
    return true;
}

// Whether a product is computed here. A single row of activations is not: unpacking would not pay.
bool computes(const ggml_tensor * dst) {
    const ggml_tensor * weights = dst->src[0];
    const ggml_tensor * activations = dst->src[1];
    switch (weights->type) {
        case GGML_TYPE_Q4_1:
        case GGML_TYPE_Q5_0:
        case GGML_TYPE_Q5_1:
        case GGML_TYPE_Q8_0: break;
        default: return false;
    }
    return dst->op == GGML_OP_MUL_MAT && activations->type == GGML_TYPE_F32 && activations->ne[1] > 1 &&
           weights->ne[1] % ROWS == 0 && weights->nb[0] == ggml_type_size(weights->type) &&
           activations->nb[0] == sizeof(float) && dst->nb[0] == sizeof(float) &&
           ggml_nrows(weights) == weights->ne[1] && ggml_nrows(activations) == activations->ne[1];
}

}  // namespace

size_t lk_mul_mat_wdata_size(int n_tasks, ggml_tensor * dst) {
    return computes(dst) ? factors_size(dst->src[1]) : ggml_tiled_wdata_size(n_tasks, dst);
}

bool lk_mul_mat(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!params->use_ref && computes(dst)) {
        switch (dst->src[0]->type) {
            case GGML_TYPE_Q4_1: return mul_mat<Q4_1>(params, dst);
            case GGML_TYPE_Q5_0: return mul_mat<Q5_0>(params, dst);
            case GGML_TYPE_Q5_1: return mul_mat<Q5_1>(params, dst);
            case GGML_TYPE_Q8_0: return mul_mat<Q8_0>(params, dst);
            default: break;
        }
    }
    return ggml_compute_forward_mul_mat_tiled(params, dst);
}

#else

size_t lk_mul_mat_wdata_size(int n_tasks, ggml_tensor * dst) {
    return ggml_tiled_wdata_size(n_tasks, dst);
}

bool lk_mul_mat(const ggml_compute_params * params, ggml_tensor * dst) {
    return ggml_compute_forward_mul_mat_tiled(params, dst);
}

#endif
