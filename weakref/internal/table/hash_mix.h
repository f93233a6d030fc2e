// From the user's hash to the bits that the table uses.
//
// Whatever the user's hash returns is mixed with a random key of this process before any bit is
// used, so that an identity hash does not put everything in one shard, and nobody outside can aim
// at one bucket. One 64 x 64 -> 128 bit multiplication, folded (as in wyhash, Wang Yi, 2019).
//
//   | 63 ... shard | ... | 31..24 tag | 23..0 home bucket |     the low 32 bits are stored

#ifndef WEAKREF_INTERNAL_TABLE_HASH_MIX_H_
#define WEAKREF_INTERNAL_TABLE_HASH_MIX_H_

#include <cstdint>

namespace weakref::internal::table {

__extension__ using Uint128 = unsigned __int128;

struct HashKey {
  uint64_t add;
  uint64_t multiply;  // odd
};

// Random, the same for the life of the process. Thread-safe.
HashKey ProcessHashKey();

inline uint64_t MixHash(uint64_t hash, const HashKey& key) {
  const auto product = static_cast<Uint128>(hash ^ key.add) * key.multiply;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint32_t StoredHash(uint64_t mixed) { return static_cast<uint32_t>(mixed); }

constexpr int kHomeBits = 24;
inline uint32_t Home(uint32_t stored) { return stored & ((uint32_t{1} << kHomeBits) - 1); }
// 1 to 255: 0 marks an empty slot.
inline uint8_t Tag(uint32_t stored) {
  const uint32_t tag = stored >> kHomeBits;
  return static_cast<uint8_t>(tag == 0 ? 1 : tag);
}

}  // namespace weakref::internal::table

#endif  // WEAKREF_INTERNAL_TABLE_HASH_MIX_H_
