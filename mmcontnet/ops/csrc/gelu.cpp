// Exact GELU on a CPU, in float32, x Phi(x) with the distribution function Phi of the standard normal distribution, and
// its gradient: one pass over memory each.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>

#include "vectors.h"

namespace {

using at::Tensor;

// Phi(x), within 2e-7: 1 / 2 + x P(x^2) / Q(x^2) as far as float32 tells it from 0 and 1, with P and Q fitted.
template <int LANES>
INLINE typename Vectors<LANES>::Floats distribution(typename Vectors<LANES>::Floats x) {
  using V = typename Vectors<LANES>::Floats;
  const V limit = V{} + 5.6f;
  x = x > limit ? limit : x < -limit ? -limit : x;
  const V x2 = x * x, x4 = x2 * x2;
  // Evaluated in pairs of terms, which shortens the chain of dependent operations.
  const V p = ((x2 * 1.080116418e-10f - 2.199511154e-08f) * x4 + (x2 * 3.361382192e-06f + 1.824631142e-04f)) * x4 * x2 +
              ((x2 * 4.587546628e-03f + 3.711247649e-02f) * x2 + 3.989421262e-01f);
  const V q = (x2 * 6.624484286e-05f + 1.901462895e-03f) * x4 * x2 +
              ((x2 * 2.978595156e-02f + 2.596913072e-01f) * x2 + 1.0f);
  return x * p / q + 0.5f;
}

template <int LANES>
INLINE void gelu(const float* x, float* out) {
  using V = typename Vectors<LANES>::Floats;
  const V input = load<V>(x);
  store(out, input * distribution<LANES>(input));
}

// grad *= Phi(x) + x phi(x), the derivative, where phi is the density of the distribution.
template <int LANES>
INLINE void gelu_backward(const float* x, float* grad) {
  using V = typename Vectors<LANES>::Floats;
  const V input = load<V>(x), density = exponential<LANES>(-0.5f * input * input) * 0.398942280f;
  store(grad, load<V>(grad) * (distribution<LANES>(input) + input * density));
}

// Calls a function of LANES numbers for each LANES of two arrays, for the last ones on copies.
template <int LANES, class Function>
INLINE void for_each(const float* x, float* y, long count, Function function) {
  long i = 0;
  for (; i + LANES <= count; i += LANES) function(x + i, y + i);
  if (i == count) return;
  float last_x[LANES] = {}, last_y[LANES] = {};
  std::copy(x + i, x + count, last_x);
  std::copy(y + i, y + count, last_y);
  function(last_x, last_y);
  std::copy(last_y, last_y + count - i, y + i);
}

using Pass = void (*)(const float*, float*, long);

#define DEFINE_PASSES(NAME, TARGET, LANES)                                       \
  TARGET void gelu_##NAME(const float* x, float* out, long count) {              \
    for_each<LANES>(x, out, count, gelu<LANES>);                                 \
  }                                                                              \
  TARGET void gelu_backward_##NAME(const float* x, float* grad, long count) {    \
    for_each<LANES>(x, grad, count, gelu_backward<LANES>);                       \
  }

DEFINE_PASSES(baseline, BASELINE, 4)
DEFINE_PASSES(avx2, AVX2, 8)
DEFINE_PASSES(avx512, AVX512, 16)

const Pass GELU = choose<Pass>(gelu_baseline, gelu_avx2, gelu_avx512);
const Pass GELU_BACKWARD = choose<Pass>(gelu_backward_baseline, gelu_backward_avx2, gelu_backward_avx512);

void run(Pass pass, const Tensor& x, const Tensor& y) {
  TORCH_CHECK(x.scalar_type() == at::kFloat && y.scalar_type() == at::kFloat && x.sizes() == y.sizes() &&
                  x.strides() == y.strides() && x.is_non_overlapping_and_dense(),
              "expected two float32 tensors of one shape and one dense layout");
  const float* from = x.const_data_ptr<float>();
  float* to = y.data_ptr<float>();
  at::parallel_for(0, x.numel(), 4096,
                   [&](int64_t begin, int64_t end) { pass(from + begin, to + begin, end - begin); });
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmcontnet, library) {
  library.def("cpu_gelu(Tensor x, Tensor(a!) out) -> ()");
  library.def("cpu_gelu_backward(Tensor x, Tensor(a!) grad) -> ()");
}

TORCH_LIBRARY_IMPL(mmcontnet, CPU, library) {
  library.impl("cpu_gelu", [](const Tensor& x, const Tensor& out) { run(GELU, x, out); });
  library.impl("cpu_gelu_backward", [](const Tensor& x, const Tensor& grad) { run(GELU_BACKWARD, x, grad); });
}
