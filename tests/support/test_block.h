// A bare control block of any Sync policy, with a log of how it died: for tests that drive the
// state machine itself.

#ifndef WEAKREF_TESTS_SUPPORT_TEST_BLOCK_H_
#define WEAKREF_TESTS_SUPPORT_TEST_BLOCK_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "weakref/internal/control_block.h"
#include "weakref/internal/death.h"

namespace weakref::support {

// What happened to one block; outlives it.
struct BlockLog {
  std::atomic<int> disposed{0};
  std::atomic<int> freed{0};
  std::function<void()> at_dispose = [] {};  // the object's destructor
};

template <class Sync>
class TestBlock final : public internal::BasicControlBlock<Sync> {
 public:
  using Block = internal::BasicControlBlock<Sync>;
  using Word = typename Block::Word;
  using Ops = typename Block::Ops;

  // With one strong count.
  static TestBlock* Make(BlockLog* log) { return new TestBlock(log); }
  // As a table's entry: one strong count, the implicit token and the table's. `last_release` as in
  // BlockOps; null: the block closes like a plain one. Nothing retires the table's token.
  using LastRelease = void (*)(Block*, Word);
  template <LastRelease kLastRelease = nullptr>
  static TestBlock* MakeListed(BlockLog* log, uint32_t aux = 0) {
    static constexpr Ops kListedOps = {&Dispose, &Deallocate, kLastRelease, nullptr, nullptr};
    return new TestBlock(log, &kListedOps, aux);
  }

  // For a block that a pinned count leaked on purpose.
  static void FreeLeaked(TestBlock* block) { delete block; }

  BlockLog* log() const { return log_; }

 private:
  explicit TestBlock(BlockLog* log) : Block(&kOps), log_(log) {}
  TestBlock(BlockLog* log, const Ops* ops, uint32_t aux)
      : Block(typename Block::Listed(), ops, aux, 0), log_(log) {}
  ~TestBlock() = default;

  static void Dispose(Block* block) noexcept {
    BlockLog* log = static_cast<TestBlock*>(block)->log_;
    ++log->disposed;
    log->at_dispose();
  }
  static void Deallocate(Block* block) noexcept {
    ++static_cast<TestBlock*>(block)->log_->freed;
    delete static_cast<TestBlock*>(block);
  }
  static constexpr Ops kOps = {&Dispose, &Deallocate, nullptr, nullptr, nullptr};

  BlockLog* const log_;
};

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_TEST_BLOCK_H_
