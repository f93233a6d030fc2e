// What a writer's lookup has learnt by calling the user's equality: entry by entry, equal or not.
// Nearly always one entry; more only when stored hashes collide.

#ifndef WEAKREF_INTERNAL_TABLE_COMPARED_ENTRIES_H_
#define WEAKREF_INTERNAL_TABLE_COMPARED_ENTRIES_H_

#include <array>
#include <cstddef>
#include <vector>

namespace weakref::internal::table {

template <class Block>
class ComparedEntries {
 public:
  enum class Verdict { kUnknown, kEqual, kDifferent };

  // Throws: std::bad_alloc, from the fifth on.
  void Add(const Block* entry, bool equal) {
    const Compared compared{entry, equal};
    if (size_ < first_.size()) {
      first_[size_] = compared;
    } else {
      further_.push_back(compared);
    }
    ++size_;
  }

  Verdict Find(const Block* entry) const {
    for (size_t i = 0; i < size_; ++i) {
      const Compared& compared = i < first_.size() ? first_[i] : further_[i - first_.size()];
      if (compared.entry == entry) return compared.equal ? Verdict::kEqual : Verdict::kDifferent;
    }
    return Verdict::kUnknown;
  }

 private:
  struct Compared {
    const Block* entry = nullptr;
    bool equal = false;
  };
  std::array<Compared, 4> first_;
  std::vector<Compared> further_;
  size_t size_ = 0;
};

}  // namespace weakref::internal::table

#endif  // WEAKREF_INTERNAL_TABLE_COMPARED_ENTRIES_H_
