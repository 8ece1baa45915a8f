// Products of matrices in registers.

#pragma once

#include "vectors.h"

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
