// The memory of a shard's entries: aligned, disjoint, given back.

#include "weakref/internal/table/entry_slab.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/run_threads.h"
#include "tests/support/stress_scale.h"
#include "tests/support/test_seed.h"
#include "tests/support/test_syncs.h"

namespace weakref::internal::table {
namespace {

using support::RunThreads;
using support::ScaledIterations;
using support::SwitchSync;
using Slab = EntrySlab<SwitchSync>;

int LiveChunks() { return SwitchSync::live_allocations; }

void* Take(Slab& slab) {
  bool first = false;
  return slab.Allocate(&first);
}

// How many blocks of `slab` share a chunk: taken until a second chunk is needed, and given back.
size_t BlocksPerChunk(Slab& slab) {
  std::vector<void*> blocks = {Take(slab)};
  const int one = LiveChunks();
  while (LiveChunks() == one) blocks.push_back(Take(slab));
  for (void* block : blocks) slab.Free(block);
  return blocks.size() - 1;
}

TEST(EntrySlab, BlocksAreAlignedAndDisjoint) {
  const int before = LiveChunks();
  for (const size_t align : {size_t{8}, size_t{16}, size_t{32}, size_t{64}, size_t{128}}) {
    for (const size_t size : {size_t{1}, size_t{40}, size_t{56}, size_t{64}, size_t{65}, size_t{88},
                              size_t{200}, size_t{1000}, size_t{2032}, size_t{5000}}) {
      Slab slab(size, align);
      EXPECT_GE(slab.block_size(), size);
      std::vector<unsigned char*> blocks;
      for (int i = 0; i < 300; ++i) {
        auto* block = static_cast<unsigned char*>(Take(slab));
        ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % align, 0) << size << ", " << align;
        std::memset(block, i % 251, size);
        blocks.push_back(block);
      }
      for (int i = 0; i < 300; ++i) {  // nobody wrote into another's block
        ASSERT_EQ(std::count(blocks[i], blocks[i] + size, i % 251), size) << size << ", " << align;
      }
      for (unsigned char* block : blocks) slab.Free(block);
    }
  }
  EXPECT_EQ(LiveChunks(), before);
}

TEST(EntrySlab, BlockOfAtMostALineStraddlesNone) {
  for (const size_t size : {size_t{33}, size_t{48}, size_t{56}, size_t{64}}) {
    Slab slab(size, 8);
    std::vector<void*> blocks;
    for (int i = 0; i < 200; ++i) {
      blocks.push_back(Take(slab));
      const auto address = reinterpret_cast<uintptr_t>(blocks.back());
      ASSERT_EQ(address / 64, (address + size - 1) / 64);
    }
    for (void* block : blocks) slab.Free(block);
  }
}

TEST(EntrySlab, FirstAndLastAreTold) {
  for (const size_t size : {size_t{64}, size_t{5000}}) {  // out of chunks, and one by one
    Slab slab(size, 8);
    for (int round = 0; round < 2; ++round) {
      bool first = false;
      void* a = slab.Allocate(&first);
      EXPECT_TRUE(first);
      void* b = slab.Allocate(&first);
      EXPECT_FALSE(first);
      EXPECT_FALSE(slab.Free(a));
      a = slab.Allocate(&first);
      EXPECT_FALSE(first);
      EXPECT_FALSE(slab.Free(b));
      EXPECT_TRUE(slab.Free(a));
    }
  }
}

TEST(EntrySlab, FreedBlockIsUsedAgainBeforeANewChunk) {
  Slab slab(64, 8);
  const size_t per_chunk = BlocksPerChunk(slab);
  ASSERT_GE(per_chunk, 4);
  std::vector<void*> blocks;
  for (size_t i = 0; i < 3 * per_chunk; ++i) blocks.push_back(Take(slab));
  const int chunks = LiveChunks();
  for (const size_t i : {size_t{0}, per_chunk, 2 * per_chunk, size_t{1}}) {  // in full chunks
    slab.Free(blocks[i]);
  }
  std::set<void*> freed = {blocks[0], blocks[per_chunk], blocks[2 * per_chunk], blocks[1]};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(freed.erase(Take(slab)), 1);
  EXPECT_EQ(LiveChunks(), chunks);
  void* one_more = Take(slab);
  EXPECT_EQ(LiveChunks(), chunks + 1);
  slab.Free(one_more);
  for (void* block : blocks) slab.Free(block);
}

TEST(EntrySlab, EmptyChunksGoBackButForOne) {
  const int before = LiveChunks();
  {
    Slab slab(64, 8);
    const size_t per_chunk = BlocksPerChunk(slab);
    std::vector<void*> blocks;
    for (size_t i = 0; i < 10 * per_chunk; ++i) blocks.push_back(Take(slab));
    EXPECT_EQ(LiveChunks(), before + 10);
    for (size_t i = 0; i < 5 * per_chunk; ++i) slab.Free(blocks[i]);
    EXPECT_EQ(LiveChunks(), before + 6) << "five full ones, one to spare";
    for (size_t i = 5 * per_chunk; i < blocks.size(); ++i) slab.Free(blocks[i]);
    EXPECT_EQ(LiveChunks(), before + 1);
    // The spare one serves next.
    void* block = Take(slab);
    EXPECT_EQ(LiveChunks(), before + 1);
    slab.Free(block);
  }
  EXPECT_EQ(LiveChunks(), before);
}

TEST(EntrySlab, LargeBlocksAreAllocatedOneByOneAndGoBackAtOnce) {
  const int before = LiveChunks();
  Slab slab(3000, 8);
  void* a = Take(slab);
  void* b = Take(slab);
  EXPECT_EQ(LiveChunks(), before + 2);
  slab.Free(a);
  EXPECT_EQ(LiveChunks(), before + 1);
  slab.Free(b);
  EXPECT_EQ(LiveChunks(), before);
}

TEST(EntrySlab, NoMemoryThrowsAndChangesNothing) {
  const int before = LiveChunks();
  for (const size_t size : {size_t{64}, size_t{5000}}) {
    Slab slab(size, 8);
    SwitchSync::on_allocate = [] { throw std::bad_alloc(); };
    bool first = false;
    EXPECT_THROW(slab.Allocate(&first), std::bad_alloc);
    EXPECT_FALSE(first);
    void* block = slab.Allocate(&first);  // memory is back
    EXPECT_TRUE(first);
    EXPECT_TRUE(slab.Free(block));
  }
  EXPECT_EQ(LiveChunks(), before);
}

// The mutex is given up to allocate a chunk. Meanwhile somebody frees a block: that one is taken,
// and the chunk that was brought for nothing serves later, or goes with the slab.
TEST(EntrySlab, BlockFreedWhileAChunkIsAllocatedIsTaken) {
  const int before = LiveChunks();
  for (const bool used_later : {false, true}) {
    {
      Slab slab(64, 8);
      const size_t per_chunk = BlocksPerChunk(slab);
      std::vector<void*> blocks;
      for (size_t i = 0; i < per_chunk; ++i) blocks.push_back(Take(slab));
      // The spare chunk of BlocksPerChunk has served: the next one is new.
      SwitchSync::on_allocate = [&] { slab.Free(blocks[3]); };
      void* block = Take(slab);
      EXPECT_EQ(SwitchSync::on_allocate, nullptr) << "a chunk was allocated";
      EXPECT_EQ(block, blocks[3]);
      EXPECT_EQ(LiveChunks(), before + 2);
      if (used_later) {
        for (size_t i = 0; i < per_chunk; ++i) blocks.push_back(Take(slab));
        EXPECT_EQ(LiveChunks(), before + 2);
      }
      for (void* b : blocks) slab.Free(b);
    }
    EXPECT_EQ(LiveChunks(), before);
  }
}

// Another thread does the same at the same time, and its chunk comes first.
TEST(EntrySlab, TwoChunksBroughtAtOnceServeBoth) {
  const int before = LiveChunks();
  {
    Slab slab(64, 8);
    void* other = nullptr;
    SwitchSync::on_allocate = [&] { other = Take(slab); };
    void* block = Take(slab);
    EXPECT_NE(block, other);
    EXPECT_FALSE(slab.Free(other));
    EXPECT_TRUE(slab.Free(block));
  }
  EXPECT_EQ(LiveChunks(), before);
}

TEST(EntrySlab, RandomUseGivesEverythingBack) {
  std::mt19937_64 random(support::TestSeed());
  const int before = LiveChunks();
  for (const size_t size : {size_t{64}, size_t{96}, size_t{1500}}) {
    Slab slab(size, 8);
    std::vector<void*> held;
    std::set<void*> given_out;
    const auto give = [&](size_t i) {
      std::swap(held[i], held.back());
      given_out.erase(held.back());
      EXPECT_EQ(slab.Free(held.back()), held.size() == 1);
      held.pop_back();
    };
    for (int i = 0; i < ScaledIterations(20000); ++i) {
      const bool grow = (i / 2000) % 2 == 0;
      if (held.empty() || random() % 4 < (grow ? 3 : 1)) {
        held.push_back(Take(slab));
        ASSERT_TRUE(given_out.insert(held.back()).second) << "given out twice";
      } else {
        give(random() % held.size());
      }
    }
    while (!held.empty()) give(random() % held.size());
    EXPECT_EQ(LiveChunks(), before + 1);
  }
  EXPECT_EQ(LiveChunks(), before);
}

// Oracle: a block belongs to one thread at a time (each fills it with its own mark and finds the
// mark again), and at the end exactly one Free was the last.
TEST(EntrySlab, ThreadsGetBlocksOfTheirOwn) {
  const int before = LiveChunks();
  const uint64_t seed = support::TestSeed();
  {
    Slab slab(80, 8);
    void* const keep = Take(slab);
    std::atomic<int> mixed_up{0};
    std::atomic<int> lasts{0};
    RunThreads(4, [&](int thread) {
      std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
      std::vector<unsigned char*> held;
      const auto mark = static_cast<unsigned char>(thread + 1);
      const auto give = [&] {
        if (std::count(held.back(), held.back() + 80, mark) != 80) ++mixed_up;
        if (slab.Free(held.back())) ++lasts;
        held.pop_back();
      };
      for (int i = 0; i < ScaledIterations(20000); ++i) {
        if (held.empty() || (held.size() < 400 && random() % 2 == 0)) {
          held.push_back(static_cast<unsigned char*>(Take(slab)));
          std::memset(held.back(), mark, 80);
        } else {
          std::swap(held[random() % held.size()], held.back());
          give();
        }
      }
      while (!held.empty()) give();
    });
    EXPECT_EQ(mixed_up, 0);
    EXPECT_EQ(lasts, 0);
    EXPECT_TRUE(slab.Free(keep));
  }
  EXPECT_EQ(LiveChunks(), before);
}

}  // namespace
}  // namespace weakref::internal::table
