// The README's first lines, run: many threads ask for the same image, one decodes it.

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "cache/weak_value_cache.h"

namespace {

struct Image {
  std::string name;
  std::vector<char> pixels;
};

std::atomic<int> decoded{0};

Image DecodeImage(const std::string& path) {
  ++decoded;
  return Image{path, std::vector<char>(1 << 20)};
}

}  // namespace

int main() {
  weakref::WeakValueCache<std::string, Image> images;

  const weakref::StrongRef<Image> cat = images.GetOrCreate("cat.png", &DecodeImage);
  std::vector<std::thread> threads;
  std::atomic<int> same{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      if (images.GetOrCreate("cat.png", &DecodeImage) == cat) ++same;
    });
  }
  for (std::thread& thread : threads) thread.join();

  weakref::StrongRef<Image> dog = images.GetOrCreate("dog.png", &DecodeImage);
  const weakref::WeakRef<Image> seen(dog);
  dog.reset();  // the last reference: the image dies, its entry leaves

  std::printf("%d of 8 threads got the same cat, %d images were decoded, dog is %s, %zu left\n",
              same.load(), decoded.load(), seen.expired() ? "gone" : "still there", images.size());
  return same == 8 && decoded == 2 && seen.expired() && images.size() == 1 ? 0 : 1;
}
