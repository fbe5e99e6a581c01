// Which instruction set a file is compiled for, and which one runs.
//
// CMake compiles every <op>_cpu.cpp once per instruction set with GK_ISA = baseline, avx2 or avx512. Kernels live in
// namespace graphkern::GK_ISA; what follows GK_LAUNCHER (checks, allocation, registration) is compiled once.
// A kernel may use nothing with weak linkage from outside its namespace (no std containers or algorithms): the linker
// would merge copies built for different instruction sets.
#pragma once

#include <cstdint>

#ifndef GK_ISA
#define GK_ISA baseline
#define GK_LAUNCHER 1
#endif

namespace graphkern {

enum class Isa { baseline, avx2, avx512 };

// The best the processor has, or what GRAPHKERN_ISA names. Throws where the processor lacks it.
Isa active_isa();

}  // namespace graphkern

#ifdef GK_MULTI_ISA
#define GK_DECLARE_KERNEL(result, name, ...) \
  namespace baseline {                       \
  result name(__VA_ARGS__);                  \
  }                                          \
  namespace avx2 {                           \
  result name(__VA_ARGS__);                  \
  }                                          \
  namespace avx512 {                         \
  result name(__VA_ARGS__);                  \
  }
#define GK_KERNEL(name)                                                 \
  (::graphkern::active_isa() == ::graphkern::Isa::avx512 ? avx512::name \
   : ::graphkern::active_isa() == ::graphkern::Isa::avx2 ? avx2::name   \
                                                         : baseline::name)
#else
#define GK_DECLARE_KERNEL(result, name, ...) \
  namespace baseline {                       \
  result name(__VA_ARGS__);                  \
  }
#define GK_KERNEL(name) baseline::name
#endif
