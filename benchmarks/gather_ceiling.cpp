// Reads rows of a table at given positions and keeps nothing but one sum: what gathering costs at the least.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace {

typedef uint64_t Lane __attribute__((vector_size(32)));
constexpr int64_t kLine = 64;

// Adds the rows index[begin..end) of `table`; asks for the row `ahead` positions on, where ahead is not 0.
template <int kLanes, typename I>
uint64_t read_rows(const char* table, const I* index, int64_t begin, int64_t end, int64_t ahead) {
  constexpr int64_t kRowBytes = kLanes * sizeof(Lane);
  Lane sum[kLanes < 4 ? kLanes : 4] = {};
  constexpr int kSums = sizeof(sum) / sizeof(Lane);
  for (int64_t i = begin; i < end; ++i) {
    if (ahead && i + ahead < end) {
      const char* next = table + index[i + ahead] * kRowBytes;
      for (int64_t at = 0; at < kRowBytes; at += kLine) __builtin_prefetch(next + at);
    }
    const char* row = table + index[i] * kRowBytes;
#pragma GCC unroll 32
    for (int lane = 0; lane < kLanes; ++lane) {
      Lane value;
      std::memcpy(&value, row + lane * sizeof(Lane), sizeof(Lane));
      sum[lane % kSums] += value;
    }
  }
  uint64_t total = 0;
  for (const Lane& lane : sum) total += lane[0] + lane[1] + lane[2] + lane[3];
  return total;
}

template <typename I>
auto reader(int64_t row_bytes) -> uint64_t (*)(const char*, const I*, int64_t, int64_t, int64_t) {
  switch (row_bytes) {
    case 32:
      return read_rows<1, I>;
    case 64:
      return read_rows<2, I>;
    case 128:
      return read_rows<4, I>;
    case 256:
      return read_rows<8, I>;
    case 512:
      return read_rows<16, I>;
    case 1024:
      return read_rows<32, I>;
    default:
      return nullptr;
  }
}

template <typename I>
int gather(
    const char* table, int64_t row_bytes, const I* index, int64_t size, int64_t ahead, int threads, uint64_t* sum) {
  auto read = reader<I>(row_bytes);
  if (read == nullptr) return 1;
  std::vector<uint64_t> sums(threads * 8);
  auto part = [&](int thread) {
    sums[thread * 8] = read(table, index, size * thread / threads, size * (thread + 1) / threads, ahead);
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(part, thread);
  part(0);
  for (auto& other : others) other.join();
  *sum = 0;
  for (uint64_t each : sums) *sum += each;
  return 0;
}

}  // namespace

// table: rows of row_bytes; index: [size] rows. Returns 1 for a row width that is not compiled.
extern "C" int gather_int32(
    const char* table, int64_t row_bytes, const int32_t* index, int64_t size, int64_t ahead, int threads,
    uint64_t* sum) {
  return gather(table, row_bytes, index, size, ahead, threads, sum);
}

extern "C" int gather_int64(
    const char* table, int64_t row_bytes, const int64_t* index, int64_t size, int64_t ahead, int threads,
    uint64_t* sum) {
  return gather(table, row_bytes, index, size, ahead, threads, sum);
}
