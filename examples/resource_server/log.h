#ifndef EXAMPLES_RESOURCE_SERVER_LOG_H_
#define EXAMPLES_RESOURCE_SERVER_LOG_H_

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

namespace resource_server {

// Structured log, one line an event: level=warn msg="request refused" status=404 target="/files/x".
//
// Values come from clients. They are escaped, so that nobody can forge a line, and cut, so that a
// long request target does not become a long line.
//
// Thread safety: may be called from any thread at once; so may the sink be.
class Logger {
 public:
  struct Field {
    std::string_view key;
    std::string value;
  };
  using Fields = std::initializer_list<Field>;
  // Receives one line with its newline.
  using Sink = std::function<void(std::string_view line)>;

  // An empty sink means stderr, one write(2) a line.
  explicit Logger(Sink sink = nullptr);

  void Info(std::string_view message, Fields fields = {}) const;
  void Warn(std::string_view message, Fields fields = {}) const;
  void Error(std::string_view message, Fields fields = {}) const;

 private:
  void Write(std::string_view level, std::string_view message, Fields fields) const;

  Sink sink_;
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_LOG_H_
