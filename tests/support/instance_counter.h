// Counts instances of a class, so that a test can say "each was destroyed exactly once".
//
//   InstanceCounts counts;
//   { auto object = MakeStrong<Counted>(&counts); EXPECT_EQ(counts.live(), 1); }
//   EXPECT_EQ(counts.destroyed(), 1);
//
// Thread-safe. A second destruction of the same instance, or one of what was never constructed,
// aborts at once: later the evidence would be gone.

#ifndef WEAKREF_TESTS_SUPPORT_INSTANCE_COUNTER_H_
#define WEAKREF_TESTS_SUPPORT_INSTANCE_COUNTER_H_

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace weakref::support {

class InstanceCounts {
 public:
  int64_t constructed() const { return constructed_.load(); }
  int64_t destroyed() const { return destroyed_.load(); }
  int64_t live() const { return constructed() - destroyed(); }

 private:
  friend class Counted;
  std::atomic<int64_t> constructed_{0};
  std::atomic<int64_t> destroyed_{0};
};

class Counted {
 public:
  explicit Counted(InstanceCounts* counts) : counts_(counts) { counts_->constructed_.fetch_add(1); }
  Counted(const Counted& other) : Counted(other.counts_) {}
  Counted& operator=(const Counted&) { return *this; }
  ~Counted() {
    if (alive_ != kAlive) {
      std::fprintf(stderr, "Counted: destroyed twice, or never constructed\n");
      std::abort();
    }
    alive_ = kDead;
    counts_->destroyed_.fetch_add(1);
  }

  // Whether the memory still holds a live instance: for readers that may come too late.
  bool alive() const { return alive_ == kAlive; }

 private:
  static constexpr uint64_t kAlive = 0x11feed1feed1fe11;
  static constexpr uint64_t kDead = 0xdeaddeaddeaddead;

  // Volatile: the destructor's store is what the next destructor looks at.
  volatile uint64_t alive_ = kAlive;
  InstanceCounts* counts_;
};

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_INSTANCE_COUNTER_H_
