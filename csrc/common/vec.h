// SIMD for the CPU: one register of accumulators, loads and stores that convert to and from every value type.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "isa.h"

namespace graphkern::GK_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// The type that sums are kept in.
template <typename T>
struct AccumulateImpl {
  using type = float;
};
template <>
struct AccumulateImpl<double> {
  using type = double;
};
template <typename T>
using Accumulate = typename AccumulateImpl<T>::type;

template <typename A>
using Vec __attribute__((vector_size(kVectorBytes))) = A;
template <typename A>
constexpr int kLanes = kVectorBytes / sizeof(A);

using HalfBits = uint16_t __attribute__((vector_size(kVectorBytes / 2)));
using FloatBits = uint32_t __attribute__((vector_size(kVectorBytes)));
using FloatMask = int32_t __attribute__((vector_size(kVectorBytes)));

template <typename To, typename From>
inline To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

inline float to_accumulate(float value) { return value; }
inline double to_accumulate(double value) { return value; }
inline float to_accumulate(BFloat16 value) { return bit_cast<float>(uint32_t(value.bits) << 16); }
inline float to_accumulate(Half value) {
#if defined(__F16C__)
  return _cvtsh_ss(value.bits);
#else
  const uint32_t sign = uint32_t(value.bits & 0x8000) << 16, exponent = (value.bits >> 10) & 31;
  const uint32_t mantissa = value.bits & 0x3ff;
  if (exponent == 31) return bit_cast<float>(sign | 0x7f800000 | (mantissa << 13));
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * float(mantissa) * 0x1p-24f;
  return bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
#endif
}

inline void from_accumulate(float value, float* out) { *out = value; }
inline void from_accumulate(double value, double* out) { *out = value; }
inline void from_accumulate(float value, BFloat16* out) {
  const uint32_t bits = bit_cast<uint32_t>(value);
  out->bits = value != value ? 0x7fc0 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
inline void from_accumulate(float value, Half* out) {
#if defined(__F16C__)
  out->bits = _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT);
#else
  const uint32_t bits = bit_cast<uint32_t>(value), magnitude = bits & 0x7fffffff;
  const uint16_t sign = (bits >> 16) & 0x8000;
  if (magnitude > 0x7f800000) {
    out->bits = sign | 0x7e00;  // NaN
  } else if (magnitude >= 0x477ff000) {
    out->bits = sign | 0x7c00;          // rounds to infinity
  } else if (magnitude < 0x38800000) {  // subnormal: the addition rounds to nearest even
    out->bits = sign | (bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - 0x3f000000);
  } else {
    out->bits = sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13);
  }
#endif
}

inline Vec<float> load(const float* from) {
  Vec<float> v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
inline Vec<double> load(const double* from) {
  Vec<double> v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
inline Vec<float> load(const BFloat16* from) {
  HalfBits bits;
  std::memcpy(&bits, from, sizeof(bits));
  return bit_cast<Vec<float>>(__builtin_convertvector(bits, FloatBits) << 16);
}
inline Vec<float> load(const Half* from) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(__F16C__)
  return (Vec<float>)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#else
  Vec<float> v;
  for (int i = 0; i < kLanes<float>; ++i) v[i] = to_accumulate(from[i]);
  return v;
#endif
}

inline void store(Vec<float> v, float* to) { std::memcpy(to, &v, sizeof(v)); }
inline void store(Vec<double> v, double* to) { std::memcpy(to, &v, sizeof(v)); }
inline void store(Vec<float> v, BFloat16* to) {
  const FloatBits bits = bit_cast<FloatBits>(v);
  const FloatBits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const FloatMask is_nan = v != v;
  const HalfBits out = __builtin_convertvector(is_nan ? FloatBits{} + 0x7fc0 : rounded, HalfBits);
  std::memcpy(to, &out, sizeof(out));
}
inline void store(Vec<float> v, Half* to) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int i = 0; i < kLanes<float>; ++i) from_accumulate(v[i], to + i);
#endif
}

// The first n < kLanes elements; the other lanes are 0.
template <typename T>
inline Vec<Accumulate<T>> load_partial(const T* from, int n) {
  T buffer[kLanes<Accumulate<T>>] = {};
  for (int i = 0; i < n; ++i) buffer[i] = from[i];
  return load(buffer);
}
template <typename A, typename T>
inline void store_partial(Vec<A> v, T* to, int n) {
  T buffer[kLanes<A>];
  store(v, buffer);
  for (int i = 0; i < n; ++i) to[i] = buffer[i];
}

// The sums of neighboring lanes: those of a, then those of b.
template <typename A, int... kLane>
inline Vec<A> pairwise(Vec<A> a, Vec<A> b, std::integer_sequence<int, kLane...>) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  if constexpr (sizeof(A) == 4) {  // one instruction instead of four shuffles, but the quarters come out as 0 2 1 3
    return (Vec<A>)_mm256_permute4x64_pd((__m256d)_mm256_hadd_ps((__m256)a, (__m256)b), 0xd8);
  } else {
    return (Vec<A>)_mm256_permute4x64_pd(_mm256_hadd_pd((__m256d)a, (__m256d)b), 0xd8);
  }
#else
  return __builtin_shufflevector(a, b, (2 * kLane)...) + __builtin_shufflevector(a, b, (2 * kLane + 1)...);
#endif
}

// Sums of each kWidth neighboring lanes of kCount registers, one after the other from lane 0 on; kCount and kWidth are
// powers of two, kCount <= kWidth. The order of additions is fixed for a given width of registers.
template <int kWidth, int kCount, typename A>
__attribute__((always_inline)) inline Vec<A> sum_lanes(const Vec<A>* v) {
  constexpr auto kOrder = std::make_integer_sequence<int, kLanes<A>>{};
  if constexpr (kWidth == 1) {
    return v[0];
  } else if constexpr (kCount == 1) {
    const Vec<A> next = pairwise<A>(v[0], Vec<A>{}, kOrder);
    return sum_lanes<kWidth / 2, 1, A>(&next);
  } else {
    Vec<A> next[kCount / 2];
#pragma GCC unroll 8
    for (int i = 0; i < kCount / 2; ++i) next[i] = pairwise<A>(v[2 * i], v[2 * i + 1], kOrder);
    return sum_lanes<kWidth / 2, kCount / 2, A>(next);
  }
}

// e^x, relative error below 3e-7 for x in [-87, 88]; smaller x give 0, larger x infinity, NaN stays.
// Range reduction by ln 2 in two parts, then the Taylor polynomial of degree 7 on [-ln2/2, ln2/2].
inline Vec<float> exp(Vec<float> x) {
  const Vec<float> zero = {};
  const FloatMask small = x<zero - 87.0f, large = x> zero + 88.0f, is_nan = x != x;
  const Vec<float> bounded = small ? zero - 87.0f : large ? zero + 88.0f : is_nan ? zero : x;
  const Vec<float> magic = zero + 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
  const Vec<float> n = (bounded * 1.44269504f + magic) - magic;
  Vec<float> r = bounded - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Vec<float> p = zero + 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const FloatMask exponent = __builtin_convertvector(n, FloatMask);
  const Vec<float> result = bit_cast<Vec<float>>(bit_cast<FloatMask>(p) + (exponent << 23));
  return is_nan ? x : large ? zero + INFINITY : small ? zero : result;
}
inline Vec<double> exp(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = ::exp(x[i]);
  return x;
}

}  // namespace graphkern::GK_ISA
