// Memory of the sampler. Compiled once.
#pragma once

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include "../common/checks.h"

namespace graphkern {

// Blocks that one sample hands on to the next: fresh memory costs a page fault for each page, a third of a sample's
// time.
class BlockPool {
 public:
  struct Block {
    char* data = nullptr;
    int64_t size = 0;
  };

  static BlockPool& instance() {
    static BlockPool* pool = new BlockPool;  // never destroyed: threads may outlive the end of the program
    return *pool;
  }

  // At least so many bytes, not initialised.
  Block take(int64_t bytes) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (size_t i = 0; i < blocks_.size(); ++i) {
        if (blocks_[i].size < bytes || blocks_[i].size > 4 * bytes) continue;
        const Block block = blocks_[i];
        blocks_[i] = blocks_.back();
        blocks_.pop_back();
        held_ -= block.size;
        return block;
      }
    }
    const Block block{static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)), (bytes + 63) / 64 * 64};
    STD_TORCH_CHECK(block.data != nullptr, "out of memory");
    return block;
  }

  void give(const Block& block) {
    if (block.size >= kLeast) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (held_ + block.size <= kMost) {
        held_ += block.size;
        return blocks_.push_back(block);
      }
    }
    std::free(block.data);
  }

 private:
  static constexpr int64_t kLeast = 1 << 14, kMost = 1 << 26;
  std::mutex mutex_;
  std::vector<Block> blocks_;
  int64_t held_ = 0;
};

// Keeps its contents when it grows; what is new is not initialised.
class Memory {
 public:
  explicit Memory(int64_t bytes = 0) { reserve(bytes); }
  ~Memory() { BlockPool::instance().give(block_); }
  Memory(Memory&& other) noexcept : block_(std::exchange(other.block_, {})) {}
  Memory& operator=(Memory&& other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }

  void reserve(int64_t bytes) {
    if (bytes <= block_.size) return;
    const BlockPool::Block larger = BlockPool::instance().take(bytes);
    if (block_.size > 0) std::memcpy(larger.data, block_.data, block_.size);
    BlockPool::instance().give(std::exchange(block_, larger));
  }

  char* data() const { return block_.data; }
  template <typename T>
  T* as(int64_t offset = 0) const {
    return reinterpret_cast<T*>(block_.data) + offset;
  }

 private:
  BlockPool::Block block_;
};

}  // namespace graphkern
