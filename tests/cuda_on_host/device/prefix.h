// Compiled once for all launchers: most of what they include.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cmath>
#include <deque>
#include <functional>
#include <optional>
#include <source_location>
#include <string>
#include <tuple>
#include <vector>
