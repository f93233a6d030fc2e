// Memory for the entries of one shard: equal blocks, carved out of chunks.
//
// A chunk is aligned to its size, so that a block finds its chunk's header. A chunk that is all
// free goes back, but for one. Entries too large for four to a chunk are allocated one by one.
// Thread-safe: one mutex, under which nothing but lists is touched (a chunk is allocated outside).

#ifndef WEAKREF_INTERNAL_TABLE_ENTRY_SLAB_H_
#define WEAKREF_INTERNAL_TABLE_ENTRY_SLAB_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "weakref/internal/sync.h"

namespace weakref::internal::table {

template <class Sync>
class EntrySlab {
 public:
  // 8 KiB, less room for the allocator's header so that chunks can lie side by side.
  static constexpr size_t kChunkAlign = 8192;
  static constexpr size_t kChunkSize = kChunkAlign - 64;

  // Blocks of at most a cache line take one each, so that none straddles two.
  EntrySlab(size_t size, size_t align)
      : align_(align < kLine ? kLine : align),
        size_(RoundUp(size, size <= kLine ? kLine : (align < 16 ? 16 : align))) {}
  EntrySlab(const EntrySlab&) = delete;
  EntrySlab& operator=(const EntrySlab&) = delete;
  ~EntrySlab() {
    if (spare_ != nullptr) FreeChunk(spare_);
    // What a thread brought that was no longer needed, and nobody has used since.
    while (partial_ != nullptr) FreeChunk(std::exchange(partial_, partial_->next));
  }

  // Throws: std::bad_alloc. Sets *first if nothing was allocated before this.
  void* Allocate(bool* first) {
    if (!Chunked()) {
      void* block = Sync::Allocate(size_, align_);
      typename Sync::MutexLock lock(&mutex_);
      *first = live_++ == 0;
      return block;
    }
    Chunk* fresh = nullptr;
    for (;;) {
      {
        typename Sync::MutexLock lock(&mutex_);
        if (partial_ == nullptr && spare_ != nullptr) {
          PushPartial(spare_);
          spare_ = nullptr;
        }
        if (partial_ == nullptr && fresh != nullptr) {
          PushPartial(fresh);
          fresh = nullptr;
        }
        if (partial_ != nullptr) {
          void* block = TakeLocked();
          *first = live_++ == 0;
          if (fresh != nullptr) PushPartial(fresh);  // somebody freed a block meanwhile
          return block;
        }
      }
      fresh = NewChunk();
    }
  }

  // Returns true if this was the last block.
  bool Free(void* block) {
    Chunk* empty = nullptr;
    bool last;
    if (!Chunked()) {
      Sync::Deallocate(block, size_, align_);
      typename Sync::MutexLock lock(&mutex_);
      return --live_ == 0;
    }
    {
      typename Sync::MutexLock lock(&mutex_);
      Chunk* chunk = ChunkOf(block);
      auto* node = ::new (block) FreeBlock{chunk->free};
      chunk->free = node;
      if (chunk->used-- == PerChunk()) PushPartial(chunk);
      if (chunk->used == 0) {
        RemovePartial(chunk);
        if (spare_ == nullptr) {
          spare_ = chunk;
        } else {
          empty = chunk;
        }
      }
      last = --live_ == 0;
    }
    if (empty != nullptr) FreeChunk(empty);
    return last;
  }

  size_t block_size() const { return size_; }

 private:
  static constexpr size_t kLine = 64;

  struct FreeBlock {
    FreeBlock* next;
  };
  struct Chunk {
    Chunk* previous;
    Chunk* next;
    FreeBlock* free;
    uint32_t used;
    uint32_t carved;  // blocks behind this one have never been used
  };
  static_assert(sizeof(Chunk) <= kLine);

  static constexpr size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }
  bool Chunked() const { return size_ * 4 <= kChunkSize && align_ <= kLine; }
  uint32_t PerChunk() const { return static_cast<uint32_t>((kChunkSize - kLine) / size_); }
  static Chunk* ChunkOf(void* block) {
    return reinterpret_cast<Chunk*>(reinterpret_cast<uintptr_t>(block) & ~(kChunkAlign - 1));
  }
  static Chunk* NewChunk() {
    return ::new (Sync::Allocate(kChunkSize, kChunkAlign)) Chunk{nullptr, nullptr, nullptr, 0, 0};
  }
  static void FreeChunk(Chunk* chunk) { Sync::Deallocate(chunk, kChunkSize, kChunkAlign); }

  void* TakeLocked() {
    Chunk* chunk = partial_;
    void* block;
    if (chunk->free != nullptr) {
      block = chunk->free;
      chunk->free = chunk->free->next;
    } else {
      block = reinterpret_cast<std::byte*>(chunk) + kLine + size_ * chunk->carved++;
    }
    if (++chunk->used == PerChunk()) RemovePartial(chunk);
    return block;
  }
  void PushPartial(Chunk* chunk) {
    chunk->previous = nullptr;
    chunk->next = partial_;
    if (partial_ != nullptr) partial_->previous = chunk;
    partial_ = chunk;
  }
  void RemovePartial(Chunk* chunk) {
    (chunk->previous == nullptr ? partial_ : chunk->previous->next) = chunk->next;
    if (chunk->next != nullptr) chunk->next->previous = chunk->previous;
  }

  const size_t align_;
  const size_t size_;
  typename Sync::Mutex mutex_;
  Chunk* partial_ = nullptr;  // chunks with a free block
  Chunk* spare_ = nullptr;    // one chunk that is all free
  size_t live_ = 0;
};

}  // namespace weakref::internal::table

#endif  // WEAKREF_INTERNAL_TABLE_ENTRY_SLAB_H_
