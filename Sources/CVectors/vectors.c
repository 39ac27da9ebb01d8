#include "CVectors.h"

#if defined(__x86_64__)
#include <immintrin.h>

int skerry_has_fused(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2");
}

__attribute__((target("avx512f"))) static void wide(const float *row, long depth, const float *matrix, long width, float *out) {
    long column = 0;
    for (; column + 64 <= width; column += 64) {
        __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a;
        for (long k = 0; k < depth; k++) {
            const __m512 factor = _mm512_set1_ps(row[k]);
            const float *line = matrix + k * width + column;
            a = _mm512_fmadd_ps(factor, _mm512_loadu_ps(line), a);
            b = _mm512_fmadd_ps(factor, _mm512_loadu_ps(line + 16), b);
            c = _mm512_fmadd_ps(factor, _mm512_loadu_ps(line + 32), c);
            d = _mm512_fmadd_ps(factor, _mm512_loadu_ps(line + 48), d);
        }
        _mm512_storeu_ps(out + column, a);
        _mm512_storeu_ps(out + column + 16, b);
        _mm512_storeu_ps(out + column + 32, c);
        _mm512_storeu_ps(out + column + 48, d);
    }
    for (; column + 16 <= width; column += 16) {
        __m512 a = _mm512_setzero_ps();
        for (long k = 0; k < depth; k++) {
            a = _mm512_fmadd_ps(_mm512_set1_ps(row[k]), _mm512_loadu_ps(matrix + k * width + column), a);
        }
        _mm512_storeu_ps(out + column, a);
    }
}

__attribute__((target("avx2,fma"))) static void narrow(const float *row, long depth, const float *matrix, long width, float *out) {
    long column = 0;
    for (; column + 32 <= width; column += 32) {
        __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
        for (long k = 0; k < depth; k++) {
            const __m256 factor = _mm256_set1_ps(row[k]);
            const float *line = matrix + k * width + column;
            a = _mm256_fmadd_ps(factor, _mm256_loadu_ps(line), a);
            b = _mm256_fmadd_ps(factor, _mm256_loadu_ps(line + 8), b);
            c = _mm256_fmadd_ps(factor, _mm256_loadu_ps(line + 16), c);
            d = _mm256_fmadd_ps(factor, _mm256_loadu_ps(line + 24), d);
        }
        _mm256_storeu_ps(out + column, a);
        _mm256_storeu_ps(out + column + 8, b);
        _mm256_storeu_ps(out + column + 16, c);
        _mm256_storeu_ps(out + column + 24, d);
    }
    for (; column + 8 <= width; column += 8) {
        __m256 a = _mm256_setzero_ps();
        for (long k = 0; k < depth; k++) {
            a = _mm256_fmadd_ps(_mm256_set1_ps(row[k]), _mm256_loadu_ps(matrix + k * width + column), a);
        }
        _mm256_storeu_ps(out + column, a);
    }
}

void skerry_row_times_matrix(const float *row, long depth, const float *matrix, long width, float *out) {
    if (__builtin_cpu_supports("avx512f")) wide(row, depth, matrix, width, out); else narrow(row, depth, matrix, width, out);
}

__attribute__((target("fma"))) float skerry_fused(float factor, float value, float sum) { return __builtin_fmaf(factor, value, sum); }

#else

// Blocks of columns stay in registers over all rows of the matrix; each column is one chain of fused steps.
#define BLOCK(W) \
    for (; column + W <= width; column += W) { \
        float sums[W]; \
        for (int i = 0; i < W; i++) sums[i] = 0; \
        for (long k = 0; k < depth; k++) { \
            const float factor = row[k]; \
            const float *line = matrix + k * width + column; \
            for (int i = 0; i < W; i++) sums[i] = __builtin_fmaf(factor, line[i], sums[i]); \
        } \
        for (int i = 0; i < W; i++) out[column + i] = sums[i]; \
    }

#define PRODUCT \
    long column = 0; \
    BLOCK(64) \
    BLOCK(32) \
    BLOCK(16)


#if defined(__aarch64__)
int skerry_has_fused(void) { return 1; }
#else
// Right, but slow: never asked.
int skerry_has_fused(void) { return 0; }
#endif

void skerry_row_times_matrix(const float *row, long depth, const float *matrix, long width, float *out) { PRODUCT }

float skerry_fused(float factor, float value, float sum) { return __builtin_fmaf(factor, value, sum); }

#endif
