// The layer norm of a sum on a CPU, in float32, in a single pass over memory: each row stays in the first-level cache.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <cmath>

#include "vectors.h"

namespace {

using at::Tensor;

template <int LANES>
INLINE float sum_of_lanes(typename Vectors<LANES>::Floats x) {
  float sum = 0;
  for (int lane = 0; lane < LANES; ++lane) sum += x[lane];
  return sum;
}

// Rows of so many channels, a multiple of LANES.
template <int LANES>
INLINE void add_layer_norm(const float* x, const float* y, const float* weight, const float* bias, float eps, float* out,
                           long rows, long channels) {
  using V = typename Vectors<LANES>::Floats;
  for (; rows-- > 0; x += channels, y += channels, out += channels) {
    V sum = {};
    for (long c = 0; c < channels; c += LANES) {
      const V total = load<V>(x + c) + load<V>(y + c);
      store(out + c, total);
      sum += total;
    }
    const V mean = V{} + sum_of_lanes<LANES>(sum) / channels;
    V squares = {};
    for (long c = 0; c < channels; c += LANES) {
      const V centered = load<V>(out + c) - mean;
      squares += centered * centered;
    }
    const V scale = V{} + 1 / std::sqrt(sum_of_lanes<LANES>(squares) / channels + eps);
    for (long c = 0; c < channels; c += LANES)
      store(out + c, (load<V>(out + c) - mean) * scale * load<V>(weight + c) + load<V>(bias + c));
  }
}

using Pass = void (*)(const float*, const float*, const float*, const float*, float, float*, long, long);

#define DEFINE_PASS(NAME, TARGET, LANES)                                                                               \
  TARGET void add_layer_norm_##NAME(const float* x, const float* y, const float* weight, const float* bias, float eps, \
                                    float* out, long rows, long channels) {                                            \
    add_layer_norm<LANES>(x, y, weight, bias, eps, out, rows, channels);                                               \
  }

DEFINE_PASS(baseline, BASELINE, 4)
DEFINE_PASS(avx2, AVX2, 8)
DEFINE_PASS(avx512, AVX512, 16)

const Pass PASS = choose<Pass>(add_layer_norm_baseline, add_layer_norm_avx2, add_layer_norm_avx512);

Tensor run(const Tensor& x, const Tensor& y, const Tensor& weight, const Tensor& bias, double eps) {
  const int64_t channels = x.dim() ? x.size(-1) : 0;
  for (const Tensor& tensor : {x, y, weight, bias})
    TORCH_CHECK(tensor.scalar_type() == at::kFloat && tensor.is_contiguous(), "expected contiguous tensors of float32");
  TORCH_CHECK(x.sizes() == y.sizes() && channels && channels % 16 == 0, "expected two tensors (..., C), C a multiple of 16");
  TORCH_CHECK(weight.numel() == channels && bias.numel() == channels, "expected weight and bias (C,)");
  Tensor out = at::empty_like(x);
  const float *from_x = x.const_data_ptr<float>(), *from_y = y.const_data_ptr<float>();
  const float *scale = weight.const_data_ptr<float>(), *shift = bias.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  at::parallel_for(0, x.numel() / channels, 64, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * channels;
    PASS(from_x + first, from_y + first, scale, shift, eps, to + first, end - begin, channels);
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmcontnet, library) {
  library.def("cpu_add_layer_norm(Tensor x, Tensor y, Tensor weight, Tensor bias, float eps) -> Tensor");
}

TORCH_LIBRARY_IMPL(mmcontnet, CPU, library) { library.impl("cpu_add_layer_norm", run); }
