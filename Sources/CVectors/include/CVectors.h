// Sums of products in the processor's own fused steps, which Swift has no way to ask for at run time.
#ifndef SKERRY_CVECTORS_H
#define SKERRY_CVECTORS_H

/// Whether the processor multiplies and adds in one rounding; without it nothing else here may be called.
int skerry_has_fused(void);

/// A row times a matrix: out[j] is the sum over k of row[k] * matrix[k * width + j], begun with 0 and rounded once at each k, in order.
///
/// width: a multiple of 16, or 0. The three memories do not overlap.
void skerry_row_times_matrix(const float *row, long depth, const float *matrix, long width, float *out);

/// factor * value + sum, rounded once.
float skerry_fused(float factor, float value, float sum);

#endif
