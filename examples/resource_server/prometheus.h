#ifndef EXAMPLES_RESOURCE_SERVER_PROMETHEUS_H_
#define EXAMPLES_RESOURCE_SERVER_PROMETHEUS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace resource_server {

// Appends metrics to a string in Prometheus' text format 0.0.4.
class PrometheusWriter {
 public:
  explicit PrometheusWriter(std::string& text) : text_(text) {}

  // A counter's name ends in "_total".
  void Counter(std::string_view name, std::string_view help, uint64_t value);
  void Gauge(std::string_view name, std::string_view help, uint64_t value);

  // For metrics of several samples: the head once, then the samples. `labels` is empty or what goes
  // between the braces (code="200").
  void Head(std::string_view name, std::string_view help, std::string_view type);
  void Sample(std::string_view name, std::string_view labels, uint64_t value);
  void Sample(std::string_view name, std::string_view labels, double value);

 private:
  std::string& text_;
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_PROMETHEUS_H_
