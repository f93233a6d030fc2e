#include "examples/resource_server/prometheus.h"

#include "absl/strings/str_cat.h"

namespace resource_server {
namespace {

template <class Value>
void AppendSample(std::string& text, std::string_view name, std::string_view labels, Value value) {
  absl::StrAppend(&text, name);
  if (!labels.empty()) absl::StrAppend(&text, "{", labels, "}");
  absl::StrAppend(&text, " ", value, "\n");
}

}  // namespace

void PrometheusWriter::Counter(std::string_view name, std::string_view help, uint64_t value) {
  Head(name, help, "counter");
  Sample(name, "", value);
}

void PrometheusWriter::Gauge(std::string_view name, std::string_view help, uint64_t value) {
  Head(name, help, "gauge");
  Sample(name, "", value);
}

void PrometheusWriter::Head(std::string_view name, std::string_view help, std::string_view type) {
  absl::StrAppend(&text_, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
}

void PrometheusWriter::Sample(std::string_view name, std::string_view labels, uint64_t value) {
  AppendSample(text_, name, labels, value);
}

void PrometheusWriter::Sample(std::string_view name, std::string_view labels, double value) {
  AppendSample(text_, name, labels, value);
}

}  // namespace resource_server
