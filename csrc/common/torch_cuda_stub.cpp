// Stands for libtorch_cuda.so at link time only, so that libgraphkern_cuda.so names it as needed even when it is built
// beside a CPU torch. torch loads its libraries privately: a symbol is found only in a library that is named.
#include <cstdint>

extern "C" __attribute__((visibility("default"))) int32_t aoti_torch_get_current_cuda_stream(int32_t, void**) {
  return 1;
}
