#include "isa.h"

#ifdef GK_LAUNCHER
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace graphkern {
namespace {

bool supported(Isa isa) {
#ifdef GK_MULTI_ISA
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (isa == Isa::avx2) return avx2;
  if (isa == Isa::avx512) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return isa == Isa::baseline;
}

const char* name_of(Isa isa) { return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "baseline"; }

Isa choose() {
  const char* forced = std::getenv("GRAPHKERN_ISA");
  for (Isa isa : {Isa::avx512, Isa::avx2, Isa::baseline}) {
    if (forced && *forced && std::string(forced) != name_of(isa)) continue;
    if (supported(isa)) return isa;
    if (forced && *forced) throw std::runtime_error(std::string("GRAPHKERN_ISA=") + forced + ": not on this processor");
  }
  throw std::runtime_error(std::string("GRAPHKERN_ISA=") + forced + ": one of baseline, avx2, avx512");
}

}  // namespace

Isa active_isa() {
  static const Isa isa = choose();
  return isa;
}

}  // namespace graphkern

// For `graphkern doctor`; the message of the error where there is none.
extern "C" __attribute__((visibility("default"))) const char* graphkern_isa() {
  try {
    return graphkern::name_of(graphkern::active_isa());
  } catch (const std::exception& error) {
    static const std::string message = error.what();
    return message.c_str();
  }
}
#endif
