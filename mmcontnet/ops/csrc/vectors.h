// Vectors of LANES floats. Functions of them are written once for all instruction sets: the compiler makes the code for
// that of the function into which they are inlined.

#pragma once

#include <ATen/Version.h>

#include <cstring>
#include <string>

#define INLINE static inline __attribute__((always_inline))

template <int LANES>
struct Vectors {
  typedef float Floats __attribute__((vector_size(4 * LANES)));
  typedef int Ints __attribute__((vector_size(4 * LANES)));
};

template <class V>
INLINE V load(const float* from) {
  V vector;
  std::memcpy(&vector, from, sizeof(V));
  return vector;
}

template <class V>
INLINE void store(float* to, V vector) {
  std::memcpy(to, &vector, sizeof(V));
}

// exp(x) of x <= 88, to 2 units in the last place; about 1e-38 below -87. NaN stays NaN.
template <int LANES>
INLINE typename Vectors<LANES>::Floats exponential(typename Vectors<LANES>::Floats x) {
  using V = typename Vectors<LANES>::Floats;
  using I = typename Vectors<LANES>::Ints;
  const V lowest = V{} - 87.0f;
  x = x < lowest ? lowest : x;
  // x = n log 2 + r with |r| <= log(2) / 2: adding 1.5 * 2^23 leaves the integer n in the last bits of the sum.
  const V shifted = x * 1.44269504f + 12582912.0f;
  const V n = shifted - 12582912.0f;
  const V r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  // Evaluated in pairs of terms, which shortens the chain of dependent operations.
  const V r2 = r * r;
  V p = (r * 1.98756915e-4f + 1.39819995e-3f) * r2 + (r * 8.33345190e-3f + 4.16657960e-2f);
  p = (p * r2 + (r * 1.66666655e-1f + 5.00000012e-1f)) * r2 + (r + 1.0f);
  return (V)((I)p + ((I)shifted << 23));
}

// ---------------------------------------------------------------------------------------------- instruction sets

#define BASELINE
#ifdef __x86_64__
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma")))
#else
#define AVX2
#define AVX512
#endif

// Picks the variant for the instruction set that torch uses; the environment variable ATEN_CPU_CAPABILITY overrides it.
template <class T>
T choose(T baseline, T avx2, T avx512) {
  const std::string capability = at::get_cpu_capability();
  return capability == "AVX512" ? avx512 : capability == "AVX2" ? avx2 : baseline;
}
