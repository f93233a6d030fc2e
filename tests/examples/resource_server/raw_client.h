#ifndef TESTS_EXAMPLES_RESOURCE_SERVER_RAW_CLIENT_H_
#define TESTS_EXAMPLES_RESOURCE_SERVER_RAW_CLIENT_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "examples/resource_server/unique_fd.h"

namespace resource_server::testing {

struct RawResponse {
  int status = 0;  // 0: none came
  std::string head;
  std::map<std::string, std::string> fields;  // names in lower case
  std::string body;

  std::string Field(const std::string& name) const;
};

// A client that sends exactly the bytes it is told to: most of what a server must withstand cannot
// be said through a decent HTTP library. Blocking; gives up after 30 seconds, which fails the test.
class RawClient {
 public:
  // With `receive_buffer_bytes`, the kernel takes about so much from a server before we read it.
  explicit RawClient(uint16_t port, int receive_buffer_bytes = 0);

  void Send(std::string_view bytes);

  // Reads one response. `head`: it answers a HEAD, so there is no body whatever its length.
  RawResponse Read(bool head = false);

  // True if the server closed the connection and had nothing more to say.
  bool ReadsEnd();

  // Sends a GET and reads its response.
  RawResponse Get(std::string_view target, std::string_view more_fields = "");

  // Says that nothing more will be sent.
  void ShutDownSend();

 private:
  bool ReadMore();

  UniqueFd socket_;
  std::string received_;
};

// A complete request without a body.
std::string Request(std::string_view method, std::string_view target,
                    std::string_view more_fields = "");

// True if somebody accepts connections at the port of this machine.
bool CanConnect(uint16_t port);

}  // namespace resource_server::testing

#endif  // TESTS_EXAMPLES_RESOURCE_SERVER_RAW_CLIENT_H_
