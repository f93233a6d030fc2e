#include "examples/resource_server/utf8.h"

#include <cstddef>

namespace resource_server {
namespace {

// Length of the sequence that `lead` begins, and the bounds of its second byte, which is where
// overlong forms, surrogates and too large code points show. Table 3-7 of the Unicode standard.
struct SequenceRule {
  size_t length;
  unsigned char second_min;
  unsigned char second_max;
};

constexpr SequenceRule RuleFor(unsigned char lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2) return {0, 0, 0};  // continuation bytes and overlong two-byte forms
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead < 0xF0) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const SequenceRule rule = RuleFor(static_cast<unsigned char>(text[i]));
    if (rule.length == 0 || text.size() - i < rule.length) return false;
    for (size_t k = 1; k < rule.length; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      const unsigned char min = k == 1 ? rule.second_min : 0x80;
      const unsigned char max = k == 1 ? rule.second_max : 0xBF;
      if (byte < min || byte > max) return false;
    }
    i += rule.length;
  }
  return true;
}

}  // namespace resource_server
