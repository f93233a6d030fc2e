#ifndef EXAMPLES_RESOURCE_SERVER_SHA256_H_
#define EXAMPLES_RESOURCE_SERVER_SHA256_H_

#include <array>
#include <cstdint>
#include <string_view>

namespace resource_server {

// SHA-256 (FIPS 180-4) of `bytes`.
std::array<uint8_t, 32> Sha256(std::string_view bytes);

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_SHA256_H_
