// The control block: who owns the object, who owns its memory, and how both end.
//
// One word each for the two counts, so that weak traffic cannot disturb the closing
// compare-exchange, which is one shot and therefore wait-free. After Parkinson, Clebsch and Simner,
// "Wait-Free Weak Reference Counting" (ISMM 2023).
//
//   ops_     static table: how to dispose of the object, how to free the block
//   strong_  | 63 ........ 8 | 7..4 | 3         | 2        | 1        | 0      |
//            | strong count  | -    | IS_LINKED | HAS_SIDE | HAS_WEAK | CLOSED |
//   weak_    tokens; who holds a token may touch the block's memory
//   aux_     plain block: cancelled callbacks (death_node.h); cached block: the key's hash
//   link_    plain block: null, a chain of death nodes, or, once closed, any value with bit 0 set
//            cached block: the entry's state word (table/entry.h); once closed, bit 0 is set too
//
// Tokens. Each +1 of weak_ is one of
//   the implicit token   owned by "the strong set is alive, or its close is pending"
//   the prepaid token    there while HAS_WEAK is clear: the first weak reference takes it by
//   setting
//                        HAS_WEAK, so that it costs one read-modify-write instead of two
//   a WeakRef, a registered callback, a table that lists the block
//   a blocked closer     a releaser that brought the count to 0 and has not tried to close yet,
//                        after somebody promoted from that 0
//
// States (strong_ without HAS_SIDE; n > 0)
//   state     CLOSED HAS_WEAK count | promote        release         first weak
//   OWNED       0      0      n     | (no weak ref)  n-1; 0: CLOSING sets HAS_WEAK -> SHARED
//   SHARED      0      1      n     | n+1            n-1; 0: PENDING weak_ + 1
//   PENDING     0      1      0     | -> SHARED, weak_ + 1 (for the closer that is now blocked)
//   CLOSING     the releaser is alone: no count, no token but its own; plain stores -> CLOSED
//   CLOSED      1      1      any   | fails (the count it added stays and means nothing)
//
// Edges, each named at the line that makes it
//   OWNED -> SHARED     AddWeak
//   OWNED -> CLOSED     CloseAlone: no further read-modify-write
//   SHARED -> PENDING   ReleaseStrong, the last one
//   PENDING -> SHARED   Promote
//   PENDING -> CLOSED   TryClose: one compare-exchange of the whole word; the winner disposes, and
//                       both outcomes drop one token
//
// CLOSED is final and set before the destructor on every path, so that nobody, the destructor
// itself included, brings the object back. The bits besides the count are changed by an owner of a
// strong count in a read-modify-write, by a pending closer in its compare-exchange of the whole
// word, and by the lone owner in CloseAlone; by nobody else, or the one-shot close could fail for
// a flag and nobody would dispose.
//
// Every decision is taken on the value that the read-modify-write returned, never on a reload.
//
// Progress: every operation here is wait-free. (The last release of a cached block continues in
// last_release, which takes its shard's mutex.)

#ifndef WEAKREF_INTERNAL_CONTROL_BLOCK_H_
#define WEAKREF_INTERNAL_CONTROL_BLOCK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "weakref/internal/sync.h"

namespace weakref::internal {

template <class Sync>
class BasicControlBlock;
template <class Sync>
class DeathNode;

// What a kind of block does; one static object per kind (a cached block: one per shard).
template <class Sync>
struct BlockOps {
  using Block = BasicControlBlock<Sync>;

  // Destroys the object. Runs user code; called once, after CLOSED.
  void (*dispose)(Block*) noexcept;
  // Gives the block's memory back; called once, when the last token is gone.
  void (*deallocate)(Block*) noexcept;
  // Null for a plain block. A cached block: goes on after a release that left count 0; `word` is
  // what it left in strong_. The caller owns a token.
  void (*last_release)(Block*, typename Sync::StrongWord word);
  // Null for a plain block. A cached block: retires its last two tokens, the table's and the
  // implicit one.
  void (*finish)(Block*) noexcept;
  // Null for a plain block. A cached block: lists `node` in its shard. Requires a strong count.
  void (*add_death_node)(Block*, DeathNode<Sync>* node);
};

// Runs the rest of the death of a closed block: destructor, callbacks in `nodes`, implicit token.
// Defined in death.h.
template <class Sync>
void RunDeath(BasicControlBlock<Sync>* block, DeathNode<Sync>* nodes) noexcept;

template <class Sync>
class BasicControlBlock {
 public:
  using Word = typename Sync::StrongWord;
  using Weak = typename Sync::WeakWord;
  using Ops = BlockOps<Sync>;

  static constexpr Word kClosed = 1;
  static constexpr Word kHasWeak = 2;
  static constexpr Word kHasSide = 4;   // cached block: its shard lists death nodes for it
  static constexpr Word kIsLinked = 8;  // table entry whose value is in another block
  static constexpr Word kOne = Word{1} << Sync::kFlagBits;
  static constexpr uintptr_t kSentinel = 1;  // link_ of a closed block: bit 0

  // A block that one strong reference owns. `aux` and `link` as described above.
  explicit BasicControlBlock(const Ops* ops)
      : ops_(ops), strong_(kOne), weak_(kImplicitAndPrepaid), aux_(0), link_(0) {}

  // A block that a table lists from the start: HAS_WEAK, one implicit token and the table's.
  struct Listed {};
  BasicControlBlock(Listed, const Ops* ops, uint32_t aux, uintptr_t link)
      : ops_(ops), strong_(kOne | kHasWeak), weak_(2), aux_(aux), link_(link) {}

  BasicControlBlock(const BasicControlBlock&) = delete;
  BasicControlBlock& operator=(const BasicControlBlock&) = delete;

  static constexpr Word Count(Word word) { return word >> Sync::kFlagBits; }

  // ---- strong counts ----

  // Requires a strong count. Wait-free.
  void CopyStrong() { AddStrong(1); }

  void AddStrong(Word n) {
    // relaxed: the caller owns a count already; nothing is published by one more.
    strong_.fetch_add(n * kOne, std::memory_order_relaxed);
  }

  // lock(): takes a strong count unless the block is closed. Requires a token, or an epoch guard
  // under which the block was found in a table. Wait-free, one read-modify-write (two in the window
  // between a last release and its close).
  [[nodiscard]] bool Promote() {
    // [promote.acq_rel] pairs with [last-strong.release], [close.acquire], [close-alone.acquire];
    // carries what was written before any reference was dropped, to the new owner, and what the
    // promoter did before, to the closer; breaks ControlBlockModel.PromoteSeesWritesBeforeDrop.
    const Word old = strong_.fetch_add(kOne, std::memory_order_acq_rel);
    if ((old & kClosed) != 0) [[unlikely]] {
      if (Count(old) >= kDeadCountLimit) ResetDeadCount();
      return false;
    }
    if (Count(old) == 0) [[unlikely]]
      CopyWeak();  // PENDING -> SHARED: the blocked closer's token
    return true;
  }

  // Requires a strong count, which it takes. Wait-free but for what dies.
  void ReleaseStrong() {
    // [last-strong.release] pairs with [promote.acq_rel], [close.acquire], [close-alone.acquire];
    // carries this owner's writes to the object to the thread that destroys it and to whoever locks
    // later; breaks ControlBlockModel.DestructorSeesAllWrites.
    const Word old = strong_.fetch_sub(kOne, std::memory_order_release);
    if (Count(old) == 1) [[unlikely]]
      LastRelease(old - kOne);  // -> PENDING or CLOSING
  }

  // One compare-exchange from `word`, which has count 0, to CLOSED. Requires the token of a pending
  // closer, which the caller keeps in both outcomes. PENDING -> CLOSED.
  [[nodiscard]] bool TryClose(Word word) {
    // [close.acquire] pairs with [last-strong.release], [promote.acq_rel]; carries every owner's
    // writes to the object to its destructor; breaks ControlBlockModel.DestructorSeesAllWrites.
    return strong_.compare_exchange_strong(word, kClosed | kHasWeak, std::memory_order_acquire,
                                           // relaxed: the loser touches nothing but its token.
                                           std::memory_order_relaxed);
  }

  // Closes a listed block that nobody can have promoted: the entry of a failed load, or of an
  // object in another block (kIsLinked). Only the caller has a count.
  void CloseUnpublished(Word flags = 0) {
    // relaxed: there are no owners' writes to collect.
    strong_.fetch_or(kClosed | flags, std::memory_order_relaxed);
  }

  [[nodiscard]] bool IsLinked() const {
    // relaxed: set before the entry was published.
    return (strong_.load(std::memory_order_relaxed) & kIsLinked) != 0;
  }

  // ---- tokens ----

  // Requires a strong count, or to be inside the object's destructor. Wait-free.
  void AddWeak() {
    // relaxed: HAS_WEAK is sticky; a stale 0 only leads to the fetch_or below.
    if ((strong_.load(std::memory_order_relaxed) & kHasWeak) == 0) {
      // relaxed: the owner's later release carries it to the closer.  OWNED -> SHARED
      if ((strong_.fetch_or(kHasWeak, std::memory_order_relaxed) & kHasWeak) == 0) return;
    }
    CopyWeak();
  }

  // Requires a token that stays, or a guard and an open block. Wait-free.
  void CopyWeak() { AddTokens(1); }

  void AddTokens(Weak n) {
    // relaxed: the caller is entitled to the block already.
    const Weak old = weak_.fetch_add(n, std::memory_order_relaxed);
    if (old >= kSaturated) [[unlikely]]
      Saturate();
  }

  // Gives up one token; the last one frees the block. Wait-free.
  void DropWeak() { DropTokens(1); }

  // Gives up `n` tokens that the caller owns.
  void DropTokens(Weak n) {
    // [last-weak.release] pairs with [free.acquire], [close-alone.acquire], [sole-weak.acquire],
    // [sole-closer.acquire]; carries this holder's accesses to the block to the thread that frees
    // it; breaks ControlBlockModel.FreeAfterLastWeak.
    const Weak old = weak_.fetch_sub(n, std::memory_order_release);
    if (old >= kSaturated) [[unlikely]] {
      Saturate();
    } else if (old == n) {
      // [free.acquire] pairs with [last-weak.release]; carries every holder's accesses to the block
      // to the thread that frees it; breaks ControlBlockModel.FreeAfterLastWeak.
      (void)weak_.load(std::memory_order_acquire);
      ops_->deallocate(this);
    }
  }

  // As DropTokens, for a caller that is likely the last: no read-modify-write if so.
  void DropLastTokens(Weak n) {
    // [sole-weak.acquire] pairs with [last-weak.release]; carries every holder's accesses to the
    // block to the thread that frees it; breaks ControlBlockModel.FreeAfterLastWeak.
    if (weak_.load(std::memory_order_acquire) == n) {
      ops_->deallocate(this);  // all tokens are the caller's: nobody is left who could add one
    } else {
      DropTokens(n);
    }
  }

  // ---- observers: relaxed, stale at once ----

  [[nodiscard]] bool IsClosed() const {
    // relaxed: an answer about a moment that has passed; orders nothing.
    return (strong_.load(std::memory_order_relaxed) & kClosed) != 0;
  }

  [[nodiscard]] Word UseCount() const {
    // relaxed: as above.
    const Word word = strong_.load(std::memory_order_relaxed);
    return (word & kClosed) != 0 ? 0 : Count(word);
  }

  // Tokens of WeakRefs and registered callbacks. May count a closer that is blocked right now.
  [[nodiscard]] Weak WeakRefCount() const {
    // relaxed: as above.
    const bool prepaid = (strong_.load(std::memory_order_relaxed) & kHasWeak) == 0;
    // relaxed: as above.
    const Weak tokens = weak_.load(std::memory_order_relaxed);
    const Weak own = ops_->finish != nullptr || prepaid ? 2 : 1;
    return tokens > own ? tokens - own : 0;
  }

  // Marks, in strong_, that the shard lists death nodes for this block. Requires a strong count.
  void SetHasSide() {
    // relaxed: the owner's later release carries it to the closer.
    strong_.fetch_or(kHasSide, std::memory_order_relaxed);
  }

  const Ops* ops() const { return ops_; }
  typename Sync::template Atomic<uint32_t>& aux() { return aux_; }
  const typename Sync::template Atomic<uint32_t>& aux() const { return aux_; }
  typename Sync::template Atomic<uintptr_t>& link() { return link_; }
  const typename Sync::template Atomic<uintptr_t>& link() const { return link_; }

 protected:
  ~BasicControlBlock() = default;  // never through this class: ops_->deallocate knows the type

 private:
  static constexpr Weak kImplicitAndPrepaid = 2;
  // From half of the range on, a count of tokens is pinned: it leaks its block and never wraps.
  // (As Linux' refcount_t; the other quarter of the range is room for threads between their
  // read-modify-write and the store that pins.)
  static constexpr Weak kSaturated = Weak{1} << (8 * sizeof(Weak) - 1);
  static constexpr Weak kPinned = kSaturated | (kSaturated >> 1);
  static constexpr Word kDeadCountLimit = Word{1} << (8 * sizeof(Word) - Sync::kFlagBits - 1);

  void Saturate() {
    // relaxed: a pinned count is never decided upon again.
    weak_.store(kPinned, std::memory_order_relaxed);
  }

  // 2^55 failed promotions are years, but a cache polls its dead entries: keep them from carrying.
  void ResetDeadCount() {
    // relaxed: a closed word has nothing left to say but CLOSED, which stays.
    strong_.store(kClosed | kHasWeak, std::memory_order_relaxed);
  }

  [[gnu::noinline]] void LastRelease(Word word) {
    if (ops_->last_release != nullptr) {
      ops_->last_release(this, word);
    } else if ((word & kHasWeak) == 0) {
      CloseAlone();
    } else {
      ClosePending(word);
    }
  }

  // No HAS_WEAK: count 0 and no other token, so nobody else can reach the block.  OWNED -> CLOSED
  void CloseAlone() {
    // [close-alone.acquire] pairs with [last-strong.release], [promote.acq_rel],
    // [last-weak.release]; carries every owner's writes to the object to its destructor; breaks
    // ControlBlockModel.LoneDestructorSeesAllWrites.
    (void)strong_.load(std::memory_order_acquire);
    // relaxed, all: alone; whoever gets a reference from the destructor gets it by its own means.
    strong_.store(kClosed | kHasWeak, std::memory_order_relaxed);
    weak_.store(1, std::memory_order_relaxed);  // relaxed: the prepaid token ends here
    // relaxed: pushes need a strong count and happened before.
    DeathNode<Sync>* nodes = NodesOf(link_.load(std::memory_order_relaxed));
    link_.store(kSentinel, std::memory_order_relaxed);  // relaxed: alone
    RunDeath<Sync>(this, nodes);
  }

  void ClosePending(Word word) {
    // [sole-closer.acquire] pairs with [last-weak.release]; carries the closes and frees of those
    // who dropped their tokens to this thread, which decides alone if none is left but its own;
    // breaks ControlBlockModel.SoleTokenSeesEarlierClose.
    if (weak_.load(std::memory_order_acquire) == 1) {
      // Only this thread's token is left, so nobody can promote any more; but a closer that was
      // faster may have closed, disposed and dropped its token already.
      // relaxed: its close happened before its drop, which was acquired above.
      if ((strong_.load(std::memory_order_relaxed) & kClosed) == 0) {
        CloseAlone();
      } else {
        DropLastTokens(1);
      }
    } else if (TryClose(word)) {
      // [take.acq_rel] pairs with [push.release], [sweep.acquire]; carries the nodes to the closer;
      // breaks CallbackModel.RegisteredCallbackRuns.
      const uintptr_t chain = link_.exchange(kSentinel, std::memory_order_acq_rel);
      RunDeath<Sync>(this, NodesOf(chain));
    } else {
      DropWeak();  // somebody promoted from this 0: they close, and brought a token for it
    }
  }

  static DeathNode<Sync>* NodesOf(uintptr_t link) {
    return reinterpret_cast<DeathNode<Sync>*>(link);
  }

  const Ops* const ops_;
  typename Sync::template Atomic<Word> strong_;
  typename Sync::template Atomic<Weak> weak_;
  typename Sync::template Atomic<uint32_t> aux_;
  typename Sync::template Atomic<uintptr_t> link_;
};

using ControlBlock = BasicControlBlock<RealSync>;
static_assert(sizeof(ControlBlock) == 32, "header of every object");

}  // namespace weakref::internal

#endif  // WEAKREF_INTERNAL_CONTROL_BLOCK_H_
