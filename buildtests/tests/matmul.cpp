// Products as matmul.cpp computes them, with two threads, against products computed one by one.
// What it calls of ggml is here, in the plainest form; block formats are upstream's.

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "pool.h"

#include <immintrin.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

extern "C" {

size_t lk_mul_mat_wdata_size(int n_tasks, ggml_tensor * dst);
bool lk_mul_mat(const ggml_compute_params * params, ggml_tensor * dst);

size_t ggml_type_size(ggml_type type) {
    switch (type) {
        case GGML_TYPE_Q4_1: return sizeof(block_q4_1);
        case GGML_TYPE_Q5_0: return sizeof(block_q5_0);
        case GGML_TYPE_Q5_1: return sizeof(block_q5_1);
        case GGML_TYPE_Q8_0: return sizeof(block_q8_0);
        case GGML_TYPE_Q8_1: return sizeof(block_q8_1);
        default: return 0;
    }
}

size_t ggml_row_size(ggml_type type, int64_t ne) {
    return ggml_type_size(type) * ne / 32;
}

int64_t ggml_nelements(const ggml_tensor * t) {
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
}

int64_t ggml_nrows(const ggml_tensor * t) {
    return t->ne[1] * t->ne[2] * t->ne[3];
}

size_t ggml_tiled_wdata_size(int, ggml_tensor *) {
    return 7;
}

// Says that it was asked.
static std::atomic<int> tiled{ 0 };

bool ggml_compute_forward_mul_mat_tiled(const ggml_compute_params *, ggml_tensor *) {
    tiled++;
    return false;
}

static void quantize(const float * x, ggml_half * d, int8_t * qs, int * sum) {
    float most = 0;
    for (int i = 0; i < 32; i++) {
        most = std::fmax(most, std::fabs(x[i]));
    }
    *d = _cvtss_sh(most / 127, 0);
    *sum = 0;
    for (int i = 0; i < 32; i++) {
        qs[i] = (int8_t) (most == 0 ? 0 : std::lround(x[i] * 127 / most));
        *sum += qs[i];
    }
}

static void to_q8_0(const float * x, void * out, int64_t n) {
    for (auto * b = (block_q8_0 *) out; n > 0; n -= 32, x += 32, b++) {
        int sum;
        quantize(x, &b->d, b->qs, &sum);
    }
}

static void to_q8_1(const float * x, void * out, int64_t n) {
    for (auto * b = (block_q8_1 *) out; n > 0; n -= 32, x += 32, b++) {
        int sum;
        quantize(x, &b->data.data.d, b->qs, &sum);
        b->data.data.s = _cvtss_sh(_cvtsh_ss(b->data.data.d) * sum, 0);
    }
}

const ggml_type_traits_cpu * ggml_get_type_traits_cpu(ggml_type type) {
    static ggml_type_traits_cpu q8_0, q8_1;
    q8_0.from_float = to_q8_0;
    q8_1.from_float = to_q8_1;
    return type == GGML_TYPE_Q8_1 ? &q8_1 : &q8_0;
}

}  // extern "C"

// Element i of a block of weights as an integer, and the block's scale and minimum.
static int element(ggml_type type, const char * block, int i, double * scale, double * min) {
    const auto half = [&](size_t at) {
        ggml_half h;
        memcpy(&h, block + at, sizeof(h));
        return (double) _cvtsh_ss(h);
    };
    const auto nibble = [&](size_t at) {
        const int byte = (uint8_t) block[at + i % 16];
        return i < 16 ? byte & 15 : byte >> 4;
    };
    const auto bit = [&](size_t at) { return ((uint8_t) block[at + i / 8] >> (i % 8)) & 1; };
    *scale = half(0);
    *min = 0;
    switch (type) {
        case GGML_TYPE_Q4_1: *min = half(2); return nibble(4);
        case GGML_TYPE_Q5_0: return (nibble(6) | bit(2) << 4) - 16;
        case GGML_TYPE_Q5_1: *min = half(2); return nibble(8) | bit(4) << 4;
        default: return (int8_t) block[2 + i];
    }
}

static ggml_tensor tensor(ggml_type type, int64_t ne0, int64_t ne1, size_t element_size, size_t row, void * data) {
    ggml_tensor t = {};
    t.type = type;
    t.ne[0] = ne0;
    t.ne[1] = ne1;
    t.ne[2] = t.ne[3] = 1;
    t.nb[0] = element_size;
    t.nb[1] = row;
    t.nb[2] = t.nb[3] = row * ne1;
    t.data = data;
    return t;
}

struct Case {
    ggml_type type;
    int64_t inner, rows, columns;
    // Weights of the largest size and activations of one sign.
    bool extreme;
};

static bool check(const Case & c) {
    std::mt19937 random(7);
    const size_t block = ggml_type_size(c.type);
    const size_t row = c.inner / 32 * block;
    std::vector<char> weights(row * c.rows);
    for (size_t at = 0; at < weights.size(); at++) {
        weights[at] = c.extreme ? (char) (c.type == GGML_TYPE_Q8_0 ? 0x80 : 0xff) : (char) random();
        if (at % block < (c.type == GGML_TYPE_Q4_1 || c.type == GGML_TYPE_Q5_1 ? 4 : 2)) {
            // Halves between 0.0001 and 1.
            weights[at] = (char) (at % 2 == 0 ? random() : 0x1c + random() % 0x1f);
        }
    }
    // Rows of activations and of results lie apart.
    const int64_t gap = 16;
    std::vector<float> activations((c.inner + gap) * c.columns), out((c.rows + gap) * c.columns, -12345);
    for (float & x : activations) {
        x = c.extreme ? 3 : (float) ((double) random() / random.max() * 8 - 4);
    }
    ggml_tensor a = tensor(c.type, c.inner, c.rows, block, row, weights.data());
    ggml_tensor b = tensor(GGML_TYPE_F32, c.inner, c.columns, 4, (c.inner + gap) * 4, activations.data());
    ggml_tensor dst = tensor(GGML_TYPE_F32, c.rows, c.columns, 4, (c.rows + gap) * 4, out.data());
    dst.op = GGML_OP_MUL_MAT;
    dst.src[0] = &a;
    dst.src[1] = &b;

    const bool has_min = c.type == GGML_TYPE_Q4_1 || c.type == GGML_TYPE_Q5_1;
    const ggml_type type = has_min ? GGML_TYPE_Q8_1 : GGML_TYPE_Q8_0;
    const size_t quantized = GGML_PAD(ggml_row_size(type, c.inner) * c.columns, 64);
    const size_t size = quantized + lk_mul_mat_wdata_size(2, &dst);
    std::vector<char> work(size + 64, 0x5a);
    std::atomic<int> done{ 0 };
    in_two_threads((void *) GGML_PAD((uintptr_t) work.data(), 8), size,
                   [&](const ggml_compute_params * params) { done += lk_mul_mat(params, &dst); });
    if (done != 2) {
        fprintf(stderr, "not computed\n");
        return false;
    }

    std::vector<char> rows(ggml_row_size(type, c.inner) * c.columns);
    for (int64_t column = 0; column < c.columns; column++) {
        char * to = rows.data() + column * ggml_row_size(type, c.inner);
        ggml_get_type_traits_cpu(type)->from_float(activations.data() + column * (c.inner + gap), to, c.inner);
        for (int64_t r = 0; r < c.rows; r++) {
            double sum = 0, size_of = 0;
            for (int64_t k = 0; k < c.inner / 32; k++) {
                const auto * q8_1 = (const block_q8_1 *) to + k;
                const auto * q8_0 = (const block_q8_0 *) to + k;
                double scale = 0, min = 0;
                int product = 0;
                for (int i = 0; i < 32; i++) {
                    product += element(c.type, weights.data() + r * row + k * block, i, &scale, &min) *
                               (has_min ? q8_1->qs[i] : q8_0->qs[i]);
                }
                const double d = _cvtsh_ss(has_min ? q8_1->data.data.d : q8_0->d);
                const double added = scale * d * product + (has_min ? min * _cvtsh_ss(q8_1->data.data.s) : 0);
                sum += added;
                size_of += std::fabs(added);
            }
            const double got = out[column * (c.rows + gap) + r];
            if (!(std::fabs(got - sum) <= 1e-5 * size_of + 1e-6)) {
                fprintf(stderr, "type %d, %ld x %ld x %ld: row %ld column %ld is %g, not %g\n", (int) c.type,
                        (long) c.inner, (long) c.rows, (long) c.columns, (long) r, (long) column, got, sum);
                return false;
            }
        }
        for (int64_t r = c.rows; r < c.rows + gap; r++) {
            if (out[column * (c.rows + gap) + r] != -12345) {
                fprintf(stderr, "wrote beyond row %ld\n", (long) column);
                return false;
            }
        }
    }
    return true;
}

// Products that are upstream's: it is asked, and no room is taken.
static bool declined(ggml_type type, int64_t rows, int64_t columns) {
    ggml_tensor a = tensor(type, 64, rows, ggml_type_size(type), ggml_row_size(type, 64), nullptr);
    ggml_tensor b = tensor(GGML_TYPE_F32, 64, columns, 4, 256, nullptr);
    ggml_tensor dst = tensor(GGML_TYPE_F32, rows, columns, 4, rows * 4, nullptr);
    dst.op = GGML_OP_MUL_MAT;
    dst.src[0] = &a;
    dst.src[1] = &b;
    const ggml_compute_params params = {};
    const int before = tiled;
    return lk_mul_mat_wdata_size(2, &dst) == 7 && !lk_mul_mat(&params, &dst) && tiled == before + 1;
}

int main() {
    bool right = true;
    for (const ggml_type type : { GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q8_0 }) {
        for (const int64_t columns : { 2, 3, 4, 5, 7, 64, 67, 130 }) {
            right &= check({ type, 32, 8, columns, false });
            right &= check({ type, 576, 192, columns, false });
        }
        // More than one slice of blocks.
        right &= check({ type, 2080, 40, 6, false });
        right &= check({ type, 2048, 16, 5, true });
        right &= declined(type, 16, 1) && declined(type, 12, 4);
    }
    right &= declined(GGML_TYPE_Q8_1, 16, 4);
    return right ? 0 : 1;
}
