// Fused attention of two rows or more over a cache in 16-bit floats, on x86-64 with AVX2. ggml's CPU
// backend calls this where it would call `ggml_compute_forward_flash_attn_ext` (renamed for its C
// file by build/plan.rs), which computes fewer than 64 rows one by one: steps of a few requests and
// small chunks of prompts then cost as much per row as single tokens.
//
// A block of cells is converted once for all rows of all heads that read it. Blocks that are masked
// for a row are skipped for that row, so rows of different sequences do not pay for each other, and
// no row's result depends on which other rows are computed with it.

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "ops.h"

extern "C" void lk_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst);

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include "vec.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include <array>
#include <utility>

namespace {

// Cells of a block; rows of queries that pass over a block together; floats of a register.
constexpr int64_t CELLS = 32;
constexpr int64_t TILE = 48;
constexpr int64_t LANES = 8;
// What converting a block costs, in rows of queries.
constexpr int64_t CONVERSION = 8;
// Minus infinity in 16 bits.
constexpr int16_t MASKED = (int16_t) 0xfc00;

int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t parts(int64_t whole, int64_t part) {
    return (whole + part - 1) / part;
}

const char * at(const ggml_tensor * t, int64_t i1, int64_t i2, int64_t i3) {
    return (const char *) t->data + i1 * t->nb[1] + i2 * t->nb[2] + i3 * t->nb[3];
}

// Eight halves. What overflowed becomes the largest number: it must not reach other rows, for which
// it counts zero times.
__m128i load_halves(const char * from) {
    const __m128i x = _mm_loadu_si128((const __m128i *) from);
    const __m128i size = _mm_and_si128(x, _mm_set1_epi16(0x7fff));
    return _mm_or_si128(_mm_min_epi16(size, _mm_set1_epi16(0x7bff)), _mm_andnot_si128(_mm_set1_epi16(0x7fff), x));
}

// Element d of cell c goes to `out[d * CELLS + c]`, for eight cells and eight elements.
void transpose(const char * const cells[LANES], size_t offset, float * out) {
    __m128i v[LANES], w[LANES];
    for (int c = 0; c < LANES; c++) {
        v[c] = load_halves(cells[c] + offset);
    }
    for (int c = 0; c < LANES; c += 2) {
        w[c] = _mm_unpacklo_epi16(v[c], v[c + 1]);
        w[c + 1] = _mm_unpackhi_epi16(v[c], v[c + 1]);
    }
    for (int c = 0; c < LANES; c += 4) {
        v[c] = _mm_unpacklo_epi32(w[c], w[c + 2]);
        v[c + 1] = _mm_unpackhi_epi32(w[c], w[c + 2]);
        v[c + 2] = _mm_unpacklo_epi32(w[c + 1], w[c + 3]);
        v[c + 3] = _mm_unpackhi_epi32(w[c + 1], w[c + 3]);
    }
    for (int d = 0; d < 4; d++) {
        _mm256_storeu_ps(out + 2 * d * CELLS, _mm256_cvtph_ps(_mm_unpacklo_epi64(v[d], v[d + 4])));
        _mm256_storeu_ps(out + (2 * d + 1) * CELLS, _mm256_cvtph_ps(_mm_unpackhi_epi64(v[d], v[d + 4])));
    }
}

// c[R][j] += sum over i of a[R][i] * b[i * width + j], for the lanes of one register of j or of two.
// All indices are constants, so that the sums stay in registers.
template <bool TWO, int... R>
void multiply(std::integer_sequence<int, R...>, const float * const * a, const float * b, float * const * c,
              int64_t inner, int64_t width) {
    __m256 left[] = { _mm256_loadu_ps(c[R])... };
    __m256 right[] = { TWO ? _mm256_loadu_ps(c[R] + LANES) : _mm256_setzero_ps()... };
    for (int64_t i = 0; i < inner; i++) {
        const __m256 x = _mm256_loadu_ps(b + i * width);
        const __m256 y = TWO ? _mm256_loadu_ps(b + i * width + LANES) : x;
        const auto add = [&](const float * factor, __m256 & l, __m256 & r) {
            const __m256 f = _mm256_broadcast_ss(factor);
            l = _mm256_fmadd_ps(f, x, l);
            if (TWO) {
                r = _mm256_fmadd_ps(f, y, r);
            }
        };
        (add(a[R] + i, left[R], right[R]), ...);
    }
    (_mm256_storeu_ps(c[R], left[R]), ...);
    if (TWO) {
        (_mm256_storeu_ps(c[R] + LANES, right[R]), ...);
    }
}

template <int ROWS>
void multiply_rows(const float * const * a, const float * b, float * const * c, int64_t inner, int64_t width) {
    constexpr std::make_integer_sequence<int, ROWS> rows;
    const auto from = [&](int64_t j) {
        std::array<float *, ROWS> columns;
        for (int r = 0; r < ROWS; r++) {
            columns[r] = c[r] + j;
        }
        return columns;
    };
    int64_t j = 0;
    for (; j + 2 * LANES <= width; j += 2 * LANES) {
        multiply<true>(rows, a, b + j, from(j).data(), inner, width);
    }
    if (j < width) {
        multiply<false>(rows, a, b + j, from(j).data(), inner, width);
    }
}

// Rows of `a` and `c` are where the pointers say; `b` is dense.
void multiply(const float * const * a, const float * b, float * const * c, int64_t rows, int64_t inner, int64_t width) {
    int64_t r = 0;
    for (; r + 6 <= rows; r += 6) {
        multiply_rows<6>(a + r, b, c + r, inner, width);
    }
    switch (rows - r) {
        case 5: multiply_rows<5>(a + r, b, c + r, inner, width); break;
        case 4: multiply_rows<4>(a + r, b, c + r, inner, width); break;
        case 3: multiply_rows<3>(a + r, b, c + r, inner, width); break;
        case 2: multiply_rows<2>(a + r, b, c + r, inner, width); break;
        case 1: multiply_rows<1>(a + r, b, c + r, inner, width); break;
        default: break;
    }
}

float lanes_sum(__m256 x) {
    float v[LANES];
    _mm256_storeu_ps(v, x);
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

float lanes_max(__m256 x) {
    float v[LANES];
    _mm256_storeu_ps(v, x);
    float most = v[0];
    for (int i = 1; i < LANES; i++) {
        most = v[i] > most ? v[i] : most;
    }
    return most;
}

// ggml's function is as wide as the registers of the instruction sets that it is compiled for.
__m256 exponential(__m256 x) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
    return _mm512_castps512_ps256(ggml_v_expf(_mm512_zextps256_ps512(x)));
#else
    return ggml_v_expf(x);
#endif
}

void scale(float * x, int64_t n, float by) {
    const __m256 factor = _mm256_set1_ps(by);
    for (int64_t i = 0; i < n; i += LANES) {
        _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
    }
}

// What all jobs of a product have in common.
struct Attention {
    const ggml_tensor * q;
    const ggml_tensor * k;
    const ggml_tensor * v;
    const ggml_tensor * mask;
    const ggml_tensor * sinks;
    ggml_tensor * dst;
    float scale, max_bias, softcap;
    // Heads of queries that read one head of the cache, and their rows.
    int64_t group, rows;

    float slope(int64_t head) const {
        if (max_bias <= 0) {
            return 1;
        }
        const int64_t n = (int64_t) 1 << (int) floor(log2((double) q->ne[2]));
        return head < n ? powf(powf(2, -max_bias / n), head + 1) : powf(powf(2, -max_bias / 2 / n), 2 * (head - n) + 1);
    }
};

// A row of a tile and what is known of it so far.
struct Row {
    int64_t token, head;
    const char * mask;
    float slope, most;
    // What the weights of each lane add up to.
    __m256 sums;
    float * query;
    float * out;
};

// Memory of one thread.
struct Scratch {
    float * queries;
    float * outs;
    float * scores;
    float * keys;
    float * values;

    static int64_t floats(int64_t dk, int64_t dv) {
        return (TILE + CELLS) * (dk + dv) + TILE * CELLS;
    }

    Scratch(float * base, int64_t dk, int64_t dv) {
        queries = base;
        outs = queries + TILE * dk;
        scores = outs + TILE * dv;
        keys = scores + TILE * CELLS;
        values = keys + CELLS * dk;
    }
};

// Whether a row may look at any of `n` cells from `first` on.
bool sees(const Row & row, int64_t first, int64_t n) {
    if (row.mask == nullptr) {
        return true;
    }
    const char * from = row.mask + first * sizeof(ggml_fp16_t);
    const __m256i masked = _mm256_set1_epi16(MASKED);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i x = _mm256_loadu_si256((const __m256i *) (from + i * sizeof(ggml_fp16_t)));
        if (_mm256_movemask_epi8(_mm256_cmpeq_epi16(x, masked)) != -1) {
            return true;
        }
    }
    for (; i < n; i++) {
        int16_t x;
        memcpy(&x, from + i * sizeof(x), sizeof(x));
        if (x != MASKED) {
            return true;
        }
    }
    return false;
}

// Scores of a block become weights: exponentials less the largest so far, by which the sums so far
// are scaled down.
void weigh(const Attention & a, Row & row, float * scores, int64_t first, int64_t n) {
    int16_t bias[CELLS];
    for (int64_t c = 0; c < CELLS; c++) {
        bias[c] = c < n ? 0 : MASKED;
    }
    if (row.mask != nullptr) {
        memcpy(bias, row.mask + first * sizeof(*bias), n * sizeof(*bias));
    }
    const __m256 slope = _mm256_set1_ps(row.slope);
    __m256 v[CELLS / LANES];
    __m256 most = _mm256_set1_ps(-INFINITY);
    for (int64_t i = 0; i < CELLS / LANES; i++) {
        if (a.softcap != 0) {
            for (int64_t c = i * LANES; c < (i + 1) * LANES; c++) {
                scores[c] = a.softcap * tanhf(scores[c]);
            }
        }
        const __m256 b = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (bias + i * LANES)));
        v[i] = _mm256_fmadd_ps(slope, b, _mm256_loadu_ps(scores + i * LANES));
        most = _mm256_max_ps(most, v[i]);
    }
    if (_mm256_movemask_ps(_mm256_cmp_ps(most, _mm256_set1_ps(row.most), _CMP_GT_OQ)) != 0) {
        const float before = row.most;
        row.most = lanes_max(most);
        const float factor = expf(before - row.most);
        scale(row.out, a.v->ne[0], factor);
        row.sums = _mm256_mul_ps(row.sums, _mm256_set1_ps(factor));
    }
    for (int64_t i = 0; i < CELLS / LANES; i++) {
        const __m256 weight = exponential(_mm256_sub_ps(v[i], _mm256_set1_ps(row.most)));
        row.sums = _mm256_add_ps(row.sums, weight);
        _mm256_storeu_ps(scores + i * LANES, weight);
    }
}

// Keys and values of cells from `first` on. Of keys a block is always full: what was in memory before
// could be no number, which stays none whatever masks it.
void convert(const Attention & a, const Scratch & s, int64_t head, int64_t stream, int64_t first, int64_t n) {
    const int64_t dk = a.k->ne[0], dv = a.v->ne[0];
    const int64_t k_head = head, v_head = head * a.v->ne[2] / a.k->ne[2];
    const int64_t k_stream = stream / (a.q->ne[3] / a.k->ne[3]), v_stream = stream / (a.q->ne[3] / a.v->ne[3]);
    for (int64_t c = 0; c < n; c += LANES) {
        const char * cells[LANES];
        for (int64_t i = 0; i < LANES; i++) {
            cells[i] = at(a.k, first + smaller(c + i, n - 1), k_head, k_stream);
        }
        for (int64_t d = 0; d < dk; d += LANES) {
            transpose(cells, d * sizeof(ggml_fp16_t), s.keys + d * CELLS + c);
        }
    }
    const int64_t filled = parts(n, LANES) * LANES;
    for (int64_t d = 0; d < dk && filled < CELLS; d++) {
        memset(s.keys + d * CELLS + filled, 0, (CELLS - filled) * sizeof(float));
    }
    for (int64_t c = 0; c < n; c++) {
        const char * cell = at(a.v, first + c, v_head, v_stream);
        for (int64_t d = 0; d < dv; d += LANES) {
            _mm256_storeu_ps(s.values + c * dv + d, _mm256_cvtph_ps(load_halves(cell + d * sizeof(ggml_fp16_t))));
        }
    }
}

// Rows from `begin` to `end` of those that read one head of the cache: those of one token are
// neighbours.
void compute(const Attention & a, const Scratch & s, int64_t head, int64_t stream, int64_t begin, int64_t end) {
    const int64_t dk = a.k->ne[0], dv = a.v->ne[0];
    const int64_t n_rows = end - begin;
    Row rows[TILE];
    for (int64_t r = 0; r < n_rows; r++) {
        Row & row = rows[r];
        row.token = (begin + r) / a.group;
        row.head = head * a.group + (begin + r) % a.group;
        row.mask = a.mask == nullptr
                       ? nullptr
                       : at(a.mask, row.token, row.head % a.mask->ne[2], stream % a.mask->ne[3]);
        row.slope = a.slope(row.head);
        row.most = -INFINITY;
        row.sums = _mm256_setzero_ps();
        row.query = s.queries + r * dk;
        row.out = s.outs + r * dv;
        memcpy(row.query, at(a.q, row.token, row.head, stream), dk * sizeof(float));
        scale(row.query, dk, a.scale);
        memset(row.out, 0, dv * sizeof(float));
    }
    const int64_t cells = a.k->ne[1];
    for (int64_t first = 0; first < cells; first += CELLS) {
        const int64_t n = smaller(CELLS, cells - first);
        Row * seeing[TILE];
        const float * queries[TILE];
        float * scores[TILE];
        const float * weights[TILE];
        float * outs[TILE];
        int64_t count = 0;
        for (int64_t r = 0; r < n_rows; r++) {
            if (sees(rows[r], first, n)) {
                seeing[count] = &rows[r];
                queries[count] = rows[r].query;
                scores[count] = s.scores + count * CELLS;
                weights[count] = scores[count];
                outs[count] = rows[r].out;
                count++;
            }
        }
        if (count == 0) {
            continue;
        }
        convert(a, s, head, stream, first, n);
        memset(s.scores, 0, count * CELLS * sizeof(float));
        multiply(queries, s.keys, scores, count, dk, CELLS);
        for (int64_t r = 0; r < count; r++) {
            weigh(a, *seeing[r], scores[r], first, n);
        }
        multiply(weights, s.values, outs, count, n, dv);
    }
    for (int64_t r = 0; r < n_rows; r++) {
        Row & row = rows[r];
        float sum = lanes_sum(row.sums);
        if (a.sinks != nullptr) {
            const float sink = ((const float *) a.sinks->data)[row.head];
            if (sink > row.most) {
                const float factor = expf(row.most - sink);
                scale(row.out, dv, factor);
                sum = sum * factor + 1;
            } else {
                sum += expf(sink - row.most);
            }
        }
        scale(row.out, dv, sum == 0 ? 0 : 1 / sum);
        memcpy((char *) at(a.dst, row.head, row.token, stream), row.out, dv * sizeof(float));
    }
}

// Into how many tiles the rows of a head go, so that the last thread is done first.
int64_t tiles(int64_t rows, int64_t heads, int64_t threads) {
    const int64_t fewest = parts(rows, TILE);
    int64_t best = fewest, least = INT64_MAX;
    for (int64_t n = fewest; n <= smaller(rows, fewest + 2 * threads); n++) {
        const int64_t cost = parts(heads * n, threads) * (CONVERSION + parts(rows, n));
        if (cost < least) {
            least = cost;
            best = n;
        }
    }
    return best;
}

bool is_dense(const ggml_tensor * t, ggml_type type) {
    return t->type == type && t->nb[0] == (type == GGML_TYPE_F32 ? sizeof(float) : sizeof(ggml_fp16_t)) &&
           t->ne[0] % LANES == 0;
}

bool computes(const ggml_compute_params * params, const ggml_tensor * dst) {
    const ggml_tensor * q = dst->src[0];
    const ggml_tensor * k = dst->src[1];
    const ggml_tensor * v = dst->src[2];
    const size_t work = Scratch::floats(k->ne[0], v->ne[0]) * sizeof(float) + CACHE_LINE_SIZE;
    return !params->use_ref && q->ne[1] > 1 && is_dense(q, GGML_TYPE_F32) && is_dense(k, GGML_TYPE_F16) &&
           is_dense(v, GGML_TYPE_F16) && is_dense(dst, GGML_TYPE_F32) && q->ne[2] % k->ne[2] == 0 &&
           k->ne[2] % v->ne[2] == 0 && q->ne[3] % k->ne[3] == 0 && q->ne[3] % v->ne[3] == 0 &&
           params->wsize >= work * params->nth;
}

}  // namespace

void lk_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!computes(params, dst)) {
        ggml_compute_forward_flash_attn_ext(params, dst);
        return;
    }
    Attention a = {};
    a.q = dst->src[0];
    a.k = dst->src[1];
    a.v = dst->src[2];
    a.mask = dst->src[3];
    a.sinks = dst->src[4];
    a.dst = dst;
    memcpy(&a.scale, (const float *) dst->op_params + 0, sizeof(float));
    memcpy(&a.max_bias, (const float *) dst->op_params + 1, sizeof(float));
    memcpy(&a.softcap, (const float *) dst->op_params + 2, sizeof(float));
    if (a.softcap != 0) {
        a.scale /= a.softcap;
    }
    const int64_t heads = a.k->ne[2];
    a.group = a.q->ne[2] / heads;
    a.rows = a.q->ne[1] * a.group;

    const int64_t per_head = tiles(a.rows, heads, params->nth);
    const int64_t jobs = per_head * heads * a.q->ne[3];
    const int64_t floats = Scratch::floats(a.k->ne[0], a.v->ne[0]) + CACHE_LINE_SIZE_F32;
    const Scratch scratch((float *) params->wdata + floats * params->ith, a.k->ne[0], a.v->ne[0]);
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    for (int64_t job = params->ith; job < jobs; job = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        // The last tile of causal attention is the longest: it goes first.
        const int64_t tile = per_head - 1 - job / heads % per_head;
        compute(a, scratch, job % heads, job / heads / per_head, a.rows * tile / per_head,
                a.rows * (tile + 1) / per_head);
    }
}

#else

void lk_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst) {
    ggml_compute_forward_flash_attn_ext(params, dst);
}

#endif
