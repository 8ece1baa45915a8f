// Vectors of LANES floats, and products of matrices in registers. Written once, for all instruction sets: the compiler
// makes the code for that of the function into which these are inlined.

#pragma once

#include <cstring>

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
  V p = V{} + 1.98756915e-4f;
  p = p * r + 1.39819995e-3f;
  p = p * r + 8.33345190e-3f;
  p = p * r + 4.16657960e-2f;
  p = p * r + 1.66666655e-1f;
  p = p * r + 5.00000012e-1f;
  p = p * r * r + r + 1.0f;
  return (V)((I)p + ((I)shifted << 23));
}

// What a product reads and writes. A has a stride for rows and one for columns, so it may be a transpose.
struct Product {
  long rows, columns, depth;
  const float* a;
  long a_row, a_column;
  const float* b;
  long b_row;
  float* c;
  long c_row;
  bool add;  // C += A B rather than C = A B
};

template <int LANES, int ROWS, int WIDTH>
INLINE void multiply_tile(const Product& p, const float* a, const float* b, float* c) {
  using V = typename Vectors<LANES>::Floats;
  V sums[ROWS][WIDTH];
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < WIDTH; j++) sums[i][j] = p.add ? load<V>(c + i * p.c_row + j * LANES) : V{};
  for (long k = 0; k < p.depth; k++, a += p.a_column, b += p.b_row) {
    V row[WIDTH];
    for (int j = 0; j < WIDTH; j++) row[j] = load<V>(b + j * LANES);
    for (int i = 0; i < ROWS; i++) {
      const float factor = a[i * p.a_row];
      for (int j = 0; j < WIDTH; j++) sums[i][j] += factor * row[j];
    }
  }
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < WIDTH; j++) store(c + i * p.c_row + j * LANES, sums[i][j]);
}

// Rows [begin, end) of a product, at most ROWS of them, and WIDTH vectors of columns.
template <int LANES, int ROWS, int WIDTH>
INLINE void multiply_rows(const Product& p, long begin, long end, long column) {
  if (ROWS > 1 && end - begin < ROWS)
    multiply_rows<LANES, (ROWS > 1 ? ROWS - 1 : 1), WIDTH>(p, begin, end, column);
  else
    multiply_tile<LANES, ROWS, WIDTH>(p, p.a + begin * p.a_row, p.b + column, p.c + begin * p.c_row + column);
}

template <int LANES, int WIDTH>
INLINE void multiply_columns(const Product& p, long column) {
  constexpr int ROWS = 6;
  // Tiles of nearly equal height: one of a single row would wait for its own sums.
  const long tiles = (p.rows + ROWS - 1) / ROWS;
  for (long tile = 0; tile < tiles; tile++)
    multiply_rows<LANES, ROWS, WIDTH>(p, tile * p.rows / tiles, (tile + 1) * p.rows / tiles, column);
}

// C = A B or C += A B, WIDTH vectors of columns at a time.
template <int LANES, int WIDTH>
INLINE void multiply(const Product& p) {
  long column = 0;
  for (; column + WIDTH * LANES <= p.columns; column += WIDTH * LANES) multiply_columns<LANES, WIDTH>(p, column);
  if constexpr (WIDTH > 2)
    for (; column + 2 * LANES <= p.columns; column += 2 * LANES) multiply_columns<LANES, 2>(p, column);
  for (; column < p.columns; column += LANES) multiply_columns<LANES, 1>(p, column);
}
