"""Steps of Adam and Adagrad on the rows that a sparse gradient names: for graphkern.optim. Internal."""

from __future__ import annotations

from graphkern._op import Op
from graphkern.ops.rowwise_adam import reference

_ROWS = "Tensor indices, Tensor values, float step_size"
ROWWISE_ADAM = Op(
    "rowwise_adam",
    f"(Tensor(a!) param, Tensor(b!) exp_avg, Tensor(c!) exp_avg_sq, {_ROWS}, float beta1, float beta2, float eps,"
    " bool maximize) -> ()",
    reference=reference.rowwise_adam,
    fake=lambda *args: None,
    mutates=True,
)
ROWWISE_ADAGRAD = Op(
    "rowwise_adagrad",
    f"(Tensor(a!) param, Tensor(b!) sum, {_ROWS}, float eps, bool maximize) -> ()",
    reference=reference.rowwise_adagrad,
    fake=lambda *args: None,
    mutates=True,
)
