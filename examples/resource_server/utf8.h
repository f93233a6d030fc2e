#ifndef EXAMPLES_RESOURCE_SERVER_UTF8_H_
#define EXAMPLES_RESOURCE_SERVER_UTF8_H_

#include <string_view>

namespace resource_server {

// True if `text` is UTF-8 as RFC 3629 has it: shortest forms only (an overlong "/" or "." is the
// classic way past a path check), no surrogates, nothing above U+10FFFF.
bool IsValidUtf8(std::string_view text);

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_UTF8_H_
