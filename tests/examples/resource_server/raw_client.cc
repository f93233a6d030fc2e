#include "tests/examples/resource_server/raw_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace resource_server::testing {
namespace {

constexpr timeval kPatience = {.tv_sec = 30, .tv_usec = 0};

int Connect(int socket, uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

}  // namespace

std::string RawResponse::Field(const std::string& name) const {
  const auto found = fields.find(name);
  return found == fields.end() ? "" : found->second;
}

RawClient::RawClient(uint16_t port, int receive_buffer_bytes)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  if (receive_buffer_bytes > 0) {
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                 sizeof(receive_buffer_bytes));
  }
  if (Connect(socket_.get(), port) != 0) ADD_FAILURE() << "connect: " << std::strerror(errno);
}

void RawClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    // A server may refuse what it has seen so far, and close; the response tells.
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return;
    if (sent < 0) {
      ADD_FAILURE() << "send: " << std::strerror(errno);
      return;
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

bool RawClient::ReadMore() {
  std::array<char, 65536> bytes;
  const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
  if (got < 0 && errno == EAGAIN) ADD_FAILURE() << "the server says nothing";
  if (got <= 0) return false;
  received_.append(bytes.data(), static_cast<size_t>(got));
  return true;
}

RawResponse RawClient::Read(bool head) {
  size_t end;
  while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
    if (!ReadMore()) return {};
  }
  RawResponse response;
  response.head = received_.substr(0, end + 2);
  received_.erase(0, end + 4);
  std::vector<std::string> lines = absl::StrSplit(response.head, "\r\n", absl::SkipEmpty());
  if (!absl::SimpleAtoi(lines[0].substr(9, 3), &response.status)) ADD_FAILURE() << lines[0];
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::pair<std::string, std::string> field =
        absl::StrSplit(lines[i], absl::MaxSplits(": ", 1));
    response.fields[absl::AsciiStrToLower(field.first)] = field.second;
  }
  size_t length = 0;
  const bool has_length = absl::SimpleAtoi(response.Field("content-length"), &length);
  if (head || response.status == 304) return response;
  EXPECT_TRUE(has_length) << response.head;
  while (received_.size() < length) {
    if (!ReadMore()) return {};
  }
  response.body = received_.substr(0, length);
  received_.erase(0, length);
  return response;
}

bool RawClient::ReadsEnd() {
  if (!received_.empty()) return false;
  char byte;
  return ::recv(socket_.get(), &byte, 1, 0) == 0;
}

RawResponse RawClient::Get(std::string_view target, std::string_view more_fields) {
  Send(Request("GET", target, more_fields));
  return Read();
}

void RawClient::ShutDownSend() { ::shutdown(socket_.get(), SHUT_WR); }

std::string Request(std::string_view method, std::string_view target,
                    std::string_view more_fields) {
  return absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: test\r\n", more_fields, "\r\n");
}

bool CanConnect(uint16_t port) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return Connect(socket.get(), port) == 0;
}

}  // namespace resource_server::testing
