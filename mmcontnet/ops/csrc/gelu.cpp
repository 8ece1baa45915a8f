// Exact GELU on a CPU, in float32, x Phi(x) with the distribution function Phi of the standard normal distribution, and
// its gradient: one pass over memory each.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>

#include "vectors.h"

namespace {

using at::Tensor;

// Phi(x) and exp(-x^2 / 2), to about 1e-6 of the smaller of Phi and 1 - Phi.
template <int LANES>
INLINE typename Vectors<LANES>::Floats distribution(typename Vectors<LANES>::Floats x,
                                                    typename Vectors<LANES>::Floats& density) {
  using V = typename Vectors<LANES>::Floats;
  density = exponential<LANES>(-0.5f * x * x);
  // Phi(-|x|) = exp(-x^2 / 2) times a polynomial of t, fitted where the first factor is not 0.
  const V t = 1.0f / (1.0f + 0.3f * (x < 0 ? -x : x));
  V p = V{} + 3.593521170e-2f;
  p = p * t - 1.582904025e-1f;
  p = p * t + 2.082312604e-1f;
  p = p * t - 5.541637493e-2f;
  p = p * t + 1.294810259e-1f;
  p = p * t + 9.963393877e-2f;
  p = p * t + 1.207989233e-1f;
  p = p * t + 1.196263532e-1f;
  p = p * t * density;
  return x < 0 ? p : 1.0f - p;
}

template <int LANES>
INLINE void gelu(const float* x, float* out) {
  using V = typename Vectors<LANES>::Floats;
  V density;
  const V input = load<V>(x);
  store(out, input * distribution<LANES>(input, density));
}

// grad *= the derivative at x.
template <int LANES>
INLINE void gelu_backward(const float* x, float* grad) {
  using V = typename Vectors<LANES>::Floats;
  V density;
  const V input = load<V>(x), phi = distribution<LANES>(input, density);
  store(grad, load<V>(grad) * (phi + input * density * 0.398942280f));
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
