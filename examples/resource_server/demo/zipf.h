#ifndef EXAMPLES_RESOURCE_SERVER_DEMO_ZIPF_H_
#define EXAMPLES_RESOURCE_SERVER_DEMO_ZIPF_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace resource_server::demo {

// Draws numbers below `count` with probabilities that fall as 1 / (1 + n)^skew: what is asked of a
// web server looks like that, with a skew near one. Thread safety: const, shared freely.
class Zipf {
 public:
  // REQUIRES: count > 0.
  Zipf(size_t count, double skew) {
    cumulative_.reserve(count);
    double sum = 0;
    for (size_t n = 0; n < count; ++n) {
      sum += std::pow(static_cast<double>(n + 1), -skew);
      cumulative_.push_back(sum);
    }
  }

  size_t operator()(std::mt19937_64& random) const {
    const double unit = static_cast<double>(random() >> 11) * 0x1p-53;
    const auto found =
        std::upper_bound(cumulative_.begin(), cumulative_.end(), unit * cumulative_.back());
    return std::min(static_cast<size_t>(found - cumulative_.begin()), cumulative_.size() - 1);
  }

 private:
  std::vector<double> cumulative_;
};

}  // namespace resource_server::demo

#endif  // EXAMPLES_RESOURCE_SERVER_DEMO_ZIPF_H_
