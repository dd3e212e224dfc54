// Attention as attention.cpp computes it, with two threads, against attention computed row by row
// in double precision.

#include "ggml-cpu-impl.h"
#include "ggml.h"
#include "ops.h"
#include "pool.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

extern "C" void lk_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst);

// Says that it was asked.
static std::atomic<int> upstream{ 0 };

extern "C" void ggml_compute_forward_flash_attn_ext(const ggml_compute_params *, ggml_tensor *) {
    upstream++;
}

struct Case {
    int64_t dk, dv, heads, kv_heads, rows, cells, streams;
    enum Mask { NONE, CAUSAL, SEQUENCES } mask;
    float max_bias, softcap;
    bool sinks, overflow;
};

// A tensor of floats or halves with room behind each row.
struct Tensor {
    static constexpr int64_t GAP = 8;
    ggml_tensor t = {};
    std::vector<float> floats;
    std::vector<uint16_t> halves;

    Tensor(ggml_type type, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3, int64_t gap = GAP) {
        const int64_t n = (ne0 + gap) * ne1 * ne2 * ne3;
        t.type = type;
        t.ne[0] = ne0, t.ne[1] = ne1, t.ne[2] = ne2, t.ne[3] = ne3;
        t.nb[0] = type == GGML_TYPE_F32 ? 4 : 2;
        t.nb[1] = (ne0 + gap) * t.nb[0];
        t.nb[2] = t.nb[1] * ne1;
        t.nb[3] = t.nb[2] * ne2;
        if (type == GGML_TYPE_F32) {
            floats.assign(n, -12345);
            t.data = floats.data();
        } else {
            halves.assign(n, 0x7e00);  // not a number
            t.data = halves.data();
        }
    }

    void * at(int64_t i0, int64_t i1, int64_t i2, int64_t i3) {
        return (char *) t.data + i0 * t.nb[0] + i1 * t.nb[1] + i2 * t.nb[2] + i3 * t.nb[3];
    }

    double get(int64_t i0, int64_t i1, int64_t i2, int64_t i3) {
        return t.type == GGML_TYPE_F32 ? *(float *) at(i0, i1, i2, i3) : _cvtsh_ss(*(uint16_t *) at(i0, i1, i2, i3));
    }

    void set(int64_t i0, int64_t i1, int64_t i2, int64_t i3, float x) {
        if (t.type == GGML_TYPE_F32) {
            *(float *) at(i0, i1, i2, i3) = x;
        } else {
            *(uint16_t *) at(i0, i1, i2, i3) = _cvtss_sh(x, 0);
        }
    }

    template <typename F> void fill(const F & value) {
        for (int64_t i3 = 0; i3 < t.ne[3]; i3++) {
            for (int64_t i2 = 0; i2 < t.ne[2]; i2++) {
                for (int64_t i1 = 0; i1 < t.ne[1]; i1++) {
                    for (int64_t i0 = 0; i0 < t.ne[0]; i0++) {
                        set(i0, i1, i2, i3, value(i0, i1, i2, i3));
                    }
                }
            }
        }
    }
};

static bool check(const Case & c) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    const auto any = [&](auto...) { return normal(random); };
    Tensor q(GGML_TYPE_F32, c.dk, c.rows, c.heads, c.streams), k(GGML_TYPE_F16, c.dk, c.cells, c.kv_heads, c.streams);
    Tensor v(GGML_TYPE_F16, c.dv, c.cells, c.kv_heads, c.streams), mask(GGML_TYPE_F16, c.cells, c.rows, 1, c.streams);
    // Results are dense.
    Tensor dst(GGML_TYPE_F32, c.dv, c.heads, c.rows, c.streams, 0);
    q.fill(any), k.fill(any), v.fill(any);
    mask.fill([&](int64_t cell, int64_t row, int64_t, int64_t stream) {
        // The rows of three sequences, of which one begins late; one row sees nothing.
        const bool foreign = cell % 3 != (row + stream) % 3 || cell < 40 * (row % 3) || row == 7;
        const bool hidden = c.mask == Case::CAUSAL ? cell > c.cells - c.rows + row : foreign;
        return hidden ? -INFINITY : c.max_bias > 0 ? (float) -std::abs(cell - row) : 0.f;
    });
    const int64_t foreign = 121;  // a cell of the second of three sequences
    if (c.overflow) {
        for (int64_t i = 0; i < c.dk; i++) {
            k.set(i, foreign, 0, 0, i % 2 == 0 ? INFINITY : NAN);
            v.set(i, foreign, 0, 0, i % 2 == 0 ? NAN : -INFINITY);
        }
    }
    std::vector<float> sinks(c.heads);
    for (float & x : sinks) {
        x = normal(random) * 3;
    }
    ggml_tensor sink = {};
    sink.data = sinks.data();
    dst.t.src[0] = &q.t, dst.t.src[1] = &k.t, dst.t.src[2] = &v.t;
    dst.t.src[3] = c.mask == Case::NONE ? nullptr : &mask.t;
    dst.t.src[4] = c.sinks ? &sink : nullptr;
    const float scale = 1 / std::sqrt((float) c.dk);
    memcpy((float *) dst.t.op_params + 0, &scale, 4);
    memcpy((float *) dst.t.op_params + 1, &c.max_bias, 4);
    memcpy((float *) dst.t.op_params + 2, &c.softcap, 4);

    // As much as upstream plans for its tiles of 64 rows and cells.
    const size_t size = 2 * sizeof(float) * (128 * (c.dk + c.dv) + 2 * 64 * 64);
    // What was there before is no number.
    std::vector<char> work(size, (char) 0xff);
    const int before = upstream;
    in_two_threads(work.data(), size, [&](const ggml_compute_params * params) { lk_flash_attn_ext(params, &dst.t); });
    if (upstream != before) {
        fprintf(stderr, "not computed\n");
        return false;
    }

    for (int64_t stream = 0; stream < c.streams; stream++) {
        for (int64_t head = 0; head < c.heads; head++) {
            const int64_t kv = head / (c.heads / c.kv_heads);
            const int64_t n = (int64_t) 1 << (int) std::log2((double) c.heads);
            const double slope = c.max_bias == 0 ? 1
                                 : head < n      ? std::exp2(-c.max_bias / n * (head + 1))
                                                 : std::exp2(-c.max_bias / 2 / n * (2 * (head - n) + 1));
            for (int64_t row = 0; row < c.rows; row++) {
                if (c.overflow && row % 3 == foreign % 3) {
                    continue;
                }
                std::vector<double> scores(c.cells, -INFINITY);
                for (int64_t cell = 0; cell < c.cells; cell++) {
                    const double bias = c.mask == Case::NONE ? 0 : mask.get(cell, row, 0, stream);
                    if (bias == -INFINITY) {
                        continue;
                    }
                    double dot = 0;
                    for (int64_t d = 0; d < c.dk; d++) {
                        dot += q.get(d, row, head, stream) * k.get(d, cell, kv, stream);
                    }
                    dot *= scale;
                    scores[cell] = (c.softcap == 0 ? dot : c.softcap * std::tanh(dot / c.softcap)) + slope * bias;
                }
                double most = *std::max_element(scores.begin(), scores.end());
                most = c.sinks ? std::fmax(most, sinks[head]) : most;
                double sum = c.sinks ? std::exp(sinks[head] - most) : 0;
                std::vector<double> out(c.dv);
                for (int64_t cell = 0; cell < c.cells; cell++) {
                    const double weight = most == -INFINITY ? 0 : std::exp(scores[cell] - most);
                    sum += weight;
                    for (int64_t d = 0; weight > 0 && d < c.dv; d++) {
                        out[d] += weight * v.get(d, cell, kv, stream);
                    }
                }
                for (int64_t d = 0; d < c.dv; d++) {
                    const double want = sum == 0 ? 0 : out[d] / sum, got = dst.get(d, head, row, stream);
                    if (!(std::fabs(got - want) <= 2e-5)) {
                        fprintf(stderr, "dk %ld heads %ld/%ld rows %ld cells %ld: head %ld row %ld: %g, not %g\n",
                                (long) c.dk, (long) c.heads, (long) c.kv_heads, (long) c.rows, (long) c.cells,
                                (long) head, (long) row, got, want);
                        return false;
                    }
                }
            }
        }
    }
    return true;
}

// What is upstream's: it is asked.
static bool declined(ggml_type type, int64_t dk, int64_t rows, size_t size) {
    Tensor q(GGML_TYPE_F32, dk, rows, 2, 1), k(type, dk, 32, 2, 1), v(type, dk, 32, 2, 1), dst(GGML_TYPE_F32, dk, 2, rows, 1, 0);
    dst.t.src[0] = &q.t, dst.t.src[1] = &k.t, dst.t.src[2] = &v.t;
    const int before = upstream;
    in_two_threads(nullptr, size, [&](const ggml_compute_params * params) { lk_flash_attn_ext(params, &dst.t); });
    return upstream == before + 2;
}

int main() {
    bool right = true;
    for (const int64_t rows : { 2, 3, 8, 11, 64, 70 }) {
        for (const Case::Mask mask : { Case::NONE, Case::CAUSAL, Case::SEQUENCES }) {
            right &= check({ 64, 64, 9, 3, rows, 256, 1, mask, 0, 0, false, false });
            right &= check({ 40, 24, 2, 2, rows, 201, 2, mask, 0, 0, false, false });
        }
        // Less than a block.
        right &= check({ 64, 64, 4, 4, rows, 9, 1, Case::NONE, 0, 0, false, false });
        right &= check({ 256, 256, 4, 1, rows, 131, 1, Case::CAUSAL, 0, 0, true, false });
        right &= check({ 64, 64, 6, 2, rows, 256, 1, Case::CAUSAL, 8, 0, false, false });
        right &= check({ 64, 64, 6, 2, rows, 256, 1, Case::CAUSAL, 0, 5, true, false });
        right &= check({ 64, 64, 4, 4, rows, 256, 1, Case::SEQUENCES, 0, 0, false, true });
    }
    const size_t plenty = 1 << 20;
    right &= declined(GGML_TYPE_F16, 64, 1, plenty) && declined(GGML_TYPE_F32, 64, 4, plenty);
    right &= declined(GGML_TYPE_F16, 60, 4, plenty) && declined(GGML_TYPE_F16, 64, 4, 1000);
    return right ? 0 : 1;
}
