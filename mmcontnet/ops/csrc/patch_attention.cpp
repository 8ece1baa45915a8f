// Attention inside patches of maps on a CPU, in float32: forward and backward pass.
//
// A task is one head of one patch. Its queries, keys and values are read straight from the map, margins included, and
// stay in the processor's cache until its result is written. Of the code for several instruction sets, that of the
// processor is chosen at run time.
//
// Matrices are in rows: element (i, k) of A at a[i * row + k]. Rows are padded to whole vectors.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "matrix.h"

namespace {

using at::Tensor;
using std::optional;

constexpr long BLOCK = 24;  // Rows of logits that are computed at once: with what they meet they fit the L1 cache.

// ------------------------------------------------------------------------------------------------------- patches

struct Maps {
  long batch, height, width, heads, head_channels, patch_size;
  const float* qkv;        // (B, H, W, 3, heads, head_channels)
  float* out;              // (B, H, W, heads, head_channels)
  const float* bias;       // (heads, p * p, p * p), queries by keys; in the backward pass keys by queries; or null
  const float* grad;       // like out
  float* grad_qkv;         // like qkv
  float* grad_bias;        // (threads, heads, p * p, p * p), keys by queries; or null

  long down() const { return (height + patch_size - 1) / patch_size; }
  long across() const { return (width + patch_size - 1) / patch_size; }
  long tasks() const { return batch * down() * across() * heads; }
  long area() const { return patch_size * patch_size; }
  long channels() const { return heads * head_channels; }
};

INLINE long round_up(long size, long multiple) { return (size + multiple - 1) / multiple * multiple; }

// One head of one patch. Maps are given by their first element and their channels in all.
struct Patch {
  const Maps& maps;
  long head = 0, width = 0, count = 0;
  std::vector<long> pixels;  // The number of each pixel in a map.

  explicit Patch(const Maps& maps) : maps(maps), pixels(maps.area()) {}

  void move_to(long task) {
    const long p = maps.patch_size, patch = task / maps.heads;
    const long left = patch % maps.across() * p, row = patch / maps.across();
    const long top = row % maps.down() * p, image = row / maps.down();
    head = task % maps.heads;
    width = std::min(p, maps.width - left);
    count = std::min(p, maps.height - top) * width;
    for (long n = 0; n < count; n++)
      pixels[n] = (image * maps.height + top + n / width) * maps.width + left + n % width;
  }
};

template <class Map>
INLINE Map* pixel(const Patch& patch, long n, Map* map, long channels) {
  return map + patch.pixels[n] * channels + patch.head * patch.maps.head_channels;
}

// rows (N, row) = factor * the pixels of a patch.
INLINE void read_rows(const Patch& patch, const float* map, long channels, float factor, float* rows, long row) {
  const long depth = patch.maps.head_channels;
  for (long n = 0; n < patch.count; n++, rows += row) {
    const float* from = pixel(patch, n, map, channels);
    for (long c = 0; c < depth; c++) rows[c] = factor * from[c];
    for (long c = depth; c < row; c++) rows[c] = 0;
  }
}

// columns (C, column) = factor * the pixels of a patch, transposed, with zeros after N.
INLINE void read_columns(const Patch& patch, const float* map, long channels, float factor, float* columns,
                         long column) {
  typedef float Four __attribute__((vector_size(16)));
  const long depth = patch.maps.head_channels, fours = depth % 4 ? 0 : patch.count / 4 * 4;
  for (long n = 0; n < fours; n += 4) {
    const float* pixels[4];
    for (int i = 0; i < 4; i++) pixels[i] = pixel(patch, n + i, map, channels);
    for (long c = 0; c < depth; c += 4) {
      Four x[4];
      for (int i = 0; i < 4; i++) x[i] = load<Four>(pixels[i] + c) * factor;
      const Four low0 = __builtin_shufflevector(x[0], x[1], 0, 4, 1, 5);
      const Four low1 = __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5);
      const Four high0 = __builtin_shufflevector(x[0], x[1], 2, 6, 3, 7);
      const Four high1 = __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7);
      float* to = columns + c * column + n;
      store(to, __builtin_shufflevector(low0, low1, 0, 1, 4, 5));
      store(to + column, __builtin_shufflevector(low0, low1, 2, 3, 6, 7));
      store(to + 2 * column, __builtin_shufflevector(high0, high1, 0, 1, 4, 5));
      store(to + 3 * column, __builtin_shufflevector(high0, high1, 2, 3, 6, 7));
    }
  }
  for (long n = fours; n < column; n++)
    for (long c = 0; c < depth; c++)
      columns[c * column + n] = n < patch.count ? factor * pixel(patch, n, map, channels)[c] : 0;
}

// Rows [begin, end) of (N, row), times factor, to the pixels of a patch.
INLINE void write_rows(const Patch& patch, const float* rows, long row, float factor, long begin, long end, float* map,
                       long channels) {
  for (long n = begin; n < end; n++, rows += row) {
    float* to = pixel(patch, n, map, channels);
    for (long c = 0; c < patch.maps.head_channels; c++) to[c] = factor * rows[c];
  }
}

// Prefetches what the next task reads from a pixel; hardware prefetchers do not follow the strides within a patch.
INLINE void prefetch(const Patch& patch, long n, const float* map, long channels) {
  if (n >= patch.count) return;
  const float* from = pixel(patch, n, map, channels);
  for (long part = 0; part < channels; part += patch.maps.channels())
    for (long c = 0; c < patch.maps.head_channels; c += 16) __builtin_prefetch(from + part + c);
}

// Calls add(a logit of the row of pixel n, its term of the bias), by their places in both.
template <class Function>
INLINE void for_bias(const Patch& patch, long n, Function add) {
  const long p = patch.maps.patch_size, width = patch.width, place = n / width * p + n % width;
  long term = (patch.head * p * p + place) * p * p;
  for (long i = 0; i < patch.count; i += width, term += p)
    for (long x = 0; x < width; x++) add(i + x, term + x);
}

// ------------------------------------------------------------------------------------------------- forward pass

// Replaces a row of logits by exp(logits - maximum) and returns the factor that normalizes them.
template <int LANES>
INLINE float exponentiate(float* logits, long count, long padded) {
  using V = typename Vectors<LANES>::Floats;
  for (long n = count; n < padded; n++) logits[n] = -INFINITY;
  V highest = load<V>(logits);
  for (long n = LANES; n < padded; n += LANES) {
    const V x = load<V>(logits + n);
    highest = x > highest ? x : highest;
  }
  float maximum = highest[0];
  for (int i = 1; i < LANES; i++) maximum = highest[i] > maximum ? highest[i] : maximum;
  V sums = V{};
  for (long n = 0; n < padded; n += LANES) {
    const V x = exponential<LANES>(load<V>(logits + n) - maximum);
    store(logits + n, x);
    sums += x;
  }
  float sum = 0;
  for (int i = 0; i < LANES; i++) sum += sums[i];
  return 1 / sum;
}

template <int LANES, void (*MULTIPLY)(const Product&)>
INLINE void forward(const Maps& maps, long begin, long end) {
  const long depth = maps.head_channels, channels = maps.channels();
  const long row = round_up(depth, LANES), most = round_up(maps.area(), LANES);
  const float scale = 1 / std::sqrt((float)depth);
  std::vector<float> memory(most * (2 * row + depth) + BLOCK * (most + row));
  float *queries = memory.data(), *values = queries + most * row, *keys = values + most * row;
  float *logits = keys + depth * most, *out = logits + BLOCK * most;
  Patch patches[2] = {Patch(maps), Patch(maps)};
  patches[begin % 2].move_to(begin);
  for (long task = begin; task < end; task++) {
    const Patch& patch = patches[task % 2];
    Patch& next = patches[(task + 1) % 2];
    next.move_to(std::min(task + 1, end - 1));
    const long count = patch.count, padded = round_up(count, LANES), blocks = (count + BLOCK - 1) / BLOCK;
    read_rows(patch, maps.qkv, 3 * channels, scale, queries, row);
    read_columns(patch, maps.qkv + channels, 3 * channels, 1, keys, padded);
    read_rows(patch, maps.qkv + 2 * channels, 3 * channels, 1, values, row);
    for (long block = 0; block < blocks; block++) {
      const long first = block * count / blocks, last = (block + 1) * count / blocks, rows = last - first;
      float factors[BLOCK];
      MULTIPLY({rows, padded, depth, queries + first * row, row, 1, keys, padded, logits, padded, false});
      for (long n = first; n < last; n++) {
        float* line = logits + (n - first) * padded;
        prefetch(next, n, maps.qkv, 3 * channels);
        if (maps.bias) for_bias(patch, n, [&](long i, long term) { line[i] += maps.bias[term]; });
        factors[n - first] = exponentiate<LANES>(line, count, padded);
      }
      MULTIPLY({rows, row, count, logits, padded, 1, values, row, out, row, false});
      for (long n = first; n < last; n++)
        write_rows(patch, out + (n - first) * row, row, factors[n - first], n, n + 1, maps.out, channels);
    }
  }
}

// ------------------------------------------------------------------------------------------------ backward pass

// The weights are computed again, transposed (keys by queries): what belongs to a query is then a vector along a row.
template <int LANES, void (*MULTIPLY)(const Product&)>
INLINE void backward(const Maps& maps, long begin, long end) {
  using V = typename Vectors<LANES>::Floats;
  const long depth = maps.head_channels, channels = maps.channels(), area = maps.area();
  const long row = round_up(depth, LANES), most = round_up(area, LANES);
  const float scale = 1 / std::sqrt((float)depth);
  std::vector<float> memory(most * (5 * row + 2 * depth + 2 * area + 3) + 2 * BLOCK * row);
  float *queries = memory.data(), *keys = queries + most * row, *values = keys + most * row;
  float *grads = values + most * row, *grad_queries = grads + most * row;
  float *query_columns = grad_queries + most * row, *grad_columns = query_columns + depth * most;
  float *weights = grad_columns + depth * most, *grad_weights = weights + area * most;
  float *maxima = grad_weights + area * most, *sums = maxima + most;  // of a query's logits, of their exponentials
  float* means = sums + most;  // of the gradients of a query's weights, weighted by these
  float *grad_keys = means + most, *grad_values = grad_keys + BLOCK * row;
  float* grad_bias = maps.grad_bias;
  if (grad_bias) grad_bias += at::get_thread_num() * maps.heads * area * area;
  Patch patches[2] = {Patch(maps), Patch(maps)};
  patches[begin % 2].move_to(begin);
  for (long task = begin; task < end; task++) {
    const Patch& patch = patches[task % 2];
    Patch& next = patches[(task + 1) % 2];
    next.move_to(std::min(task + 1, end - 1));
    const long count = patch.count, padded = round_up(count, LANES), blocks = (count + BLOCK - 1) / BLOCK;
    read_rows(patch, maps.qkv, 3 * channels, scale, queries, row);
    read_columns(patch, maps.qkv, 3 * channels, scale, query_columns, padded);
    read_rows(patch, maps.qkv + channels, 3 * channels, 1, keys, row);
    read_rows(patch, maps.qkv + 2 * channels, 3 * channels, 1, values, row);
    read_rows(patch, maps.grad, channels, 1, grads, row);
    read_columns(patch, maps.grad, channels, 1, grad_columns, padded);
    std::fill(maxima, maxima + padded, -INFINITY);
    std::fill(sums, sums + padded, 0.0f);
    std::fill(means, means + padded, 0.0f);
    for (long block = 0; block < blocks; block++) {
      const long first = block * count / blocks, last = (block + 1) * count / blocks, rows = last - first;
      float *lines = weights + first * padded, *grad_lines = grad_weights + first * padded;
      MULTIPLY({rows, padded, depth, keys + first * row, row, 1, query_columns, padded, lines, padded, false});
      MULTIPLY({rows, padded, depth, values + first * row, row, 1, grad_columns, padded, grad_lines, padded, false});
      for (long n = first; n < last; n++) {
        float* line = weights + n * padded;
        prefetch(next, n, maps.qkv, 3 * channels);
        prefetch(next, n, maps.grad, channels);
        if (maps.bias) for_bias(patch, n, [&](long i, long term) { line[i] += maps.bias[term]; });
        for (long i = 0; i < padded; i += LANES) {
          const V x = load<V>(line + i), highest = load<V>(maxima + i);
          store(maxima + i, x > highest ? x : highest);
        }
      }
    }
    for (long n = 0; n < count; n++)
      for (long i = 0; i < padded; i += LANES) {
        float* weight = weights + n * padded + i;
        const V x = exponential<LANES>(load<V>(weight) - load<V>(maxima + i));
        store(weight, x);
        store(sums + i, load<V>(sums + i) + x);
        store(means + i, load<V>(means + i) + x * load<V>(grad_weights + n * padded + i));
      }
    for (long i = 0; i < padded; i += LANES) store(means + i, load<V>(means + i) / load<V>(sums + i));
    for (long block = 0; block < blocks; block++) {
      const long first = block * count / blocks, last = (block + 1) * count / blocks, rows = last - first;
      float *lines = weights + first * padded, *grad_logits = grad_weights + first * padded;
      for (long n = first; n < last; n++) {
        float *line = weights + n * padded, *grad_line = grad_weights + n * padded;
        for (long i = 0; i < padded; i += LANES) {
          const V weight = load<V>(line + i) / load<V>(sums + i);
          store(line + i, weight);
          store(grad_line + i, weight * (load<V>(grad_line + i) - load<V>(means + i)));
        }
        if (grad_bias) for_bias(patch, n, [&](long i, long term) { grad_bias[term] += grad_line[i]; });
      }
      MULTIPLY({rows, row, count, lines, padded, 1, grads, row, grad_values, row, false});
      MULTIPLY({rows, row, count, grad_logits, padded, 1, queries, row, grad_keys, row, false});
      MULTIPLY({count, row, rows, grad_logits, 1, padded, keys + first * row, row, grad_queries, row, block > 0});
      write_rows(patch, grad_keys, row, 1, first, last, maps.grad_qkv + channels, 3 * channels);
      write_rows(patch, grad_values, row, 1, first, last, maps.grad_qkv + 2 * channels, 3 * channels);
    }
    write_rows(patch, grad_queries, row, scale, 0, count, maps.grad_qkv, 3 * channels);
  }
}

// ---------------------------------------------------------------------------------------------- instruction sets

using Pass = void (*)(const Maps&, long, long);
struct Passes {
  Pass forward, backward;
};

#define DEFINE_PASSES(NAME, TARGET, LANES, WIDTH)                              \
  TARGET void multiply_##NAME(const Product& p) { multiply<LANES, WIDTH>(p); } \
  TARGET void forward_##NAME(const Maps& maps, long begin, long end) {         \
    forward<LANES, multiply_##NAME>(maps, begin, end);                         \
  }                                                                            \
  TARGET void backward_##NAME(const Maps& maps, long begin, long end) {        \
    backward<LANES, multiply_##NAME>(maps, begin, end);                        \
  }

DEFINE_PASSES(baseline, BASELINE, 4, 2)
DEFINE_PASSES(avx2, AVX2, 8, 2)
DEFINE_PASSES(avx512, AVX512, 16, 4)

const Passes PASSES = choose(Passes{forward_baseline, backward_baseline}, Passes{forward_avx2, backward_avx2},
                             Passes{forward_avx512, backward_avx512});

void run(Pass pass, const Maps& maps) {
  at::parallel_for(0, maps.tasks(), 1, [&](int64_t begin, int64_t end) { pass(maps, begin, end); });
}

// ----------------------------------------------------------------------------------------------------- operators

const float* pointer(const Tensor& tensor) { return tensor.const_data_ptr<float>(); }

bool is_kind(const Tensor& x, at::IntArrayRef shape) { return x.sizes() == shape && x.scalar_type() == at::kFloat; }

Maps describe(const Tensor& qkv, int64_t heads, int64_t p, const Tensor& bias) {
  TORCH_CHECK(qkv.dim() == 4 && qkv.scalar_type() == at::kFloat && heads > 0 && qkv.size(3) % (3 * heads) == 0 && p > 0,
              "expected float32 qkv (B, H, W, 3C), heads that divide C and a patch size; found ", qkv.sizes(), ", ",
              qkv.scalar_type(), ", ", heads, " heads, patch size ", p);
  TORCH_CHECK(!bias.defined() || is_kind(bias, {heads, p * p, p * p}), "expected a float32 bias (heads, p * p, p * p)");
  return {qkv.size(0), qkv.size(1), qkv.size(2), heads, qkv.size(3) / 3 / heads, p, pointer(qkv),
          nullptr, bias.defined() ? pointer(bias) : nullptr, nullptr, nullptr, nullptr};
}

Tensor attention(const Tensor& qkv, int64_t heads, int64_t patch_size, const optional<Tensor>& bias) {
  const Tensor inputs = qkv.contiguous(), added = bias ? bias->contiguous() : Tensor();
  Maps maps = describe(inputs, heads, patch_size, added);
  const Tensor out = at::empty({maps.batch, maps.height, maps.width, maps.channels()}, qkv.options());
  maps.out = out.data_ptr<float>();
  run(PASSES.forward, maps);
  return out;
}

std::tuple<Tensor, Tensor> attention_backward(const Tensor& grad, const Tensor& qkv, int64_t heads,
                                              int64_t patch_size, const optional<Tensor>& bias) {
  const Tensor inputs = qkv.contiguous(), grads = grad.contiguous();
  const Tensor added = bias ? bias->transpose(1, 2).contiguous() : Tensor();
  Maps maps = describe(inputs, heads, patch_size, added);
  TORCH_CHECK(is_kind(grads, {maps.batch, maps.height, maps.width, maps.channels()}),
              "expected a float32 gradient of the shape of the output");
  const Tensor grad_qkv = at::empty_like(inputs);
  maps.grad = pointer(grads);
  maps.grad_qkv = grad_qkv.data_ptr<float>();
  Tensor grad_bias;
  if (bias) {
    grad_bias = at::zeros({at::get_num_threads(), heads, maps.area(), maps.area()}, qkv.options());
    maps.grad_bias = grad_bias.data_ptr<float>();
  }
  run(PASSES.backward, maps);
  return {grad_qkv, bias ? grad_bias.sum(0).transpose(1, 2).contiguous() : at::empty({0}, qkv.options())};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmcontnet, library) {
  library.def("cpu_attention(Tensor qkv, int heads, int patch_size, Tensor? bias) -> Tensor");
  library.def(
      "cpu_attention_backward(Tensor grad, Tensor qkv, int heads, int patch_size, Tensor? bias) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(mmcontnet, CPU, library) {
  library.impl("cpu_attention", &attention);
  library.impl("cpu_attention_backward", &attention_backward);
}
