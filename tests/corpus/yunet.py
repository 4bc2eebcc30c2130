"""A model with YuNet's inputs and outputs that takes white squares for faces, for want of the real one's weights."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

STRIDES = (8, 16, 32)


def write(path: Path, name_of_boxes: str = "bbox") -> None:
    """Each cell of 8 x 8 pixels is as sure as it is white, and the face's box is that cell."""
    nodes, outputs = [], []
    numbers = {"half": 0.5, "zero": 0.0, "one": 1.0, "scale": 1 / 255}
    held = [helper.make_tensor(key, TensorProto.FLOAT, (1,), [value]) for key, value in numbers.items()]
    held.append(helper.make_tensor("flat", TensorProto.INT64, (3,), [1, -1, 1]))
    nodes.append(helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1))
    nodes.append(helper.make_node("Mul", ["mean", "scale"], ["white"]))
    for s in STRIDES:
        pool = helper.make_node("AveragePool", ["white"], [f"pool{s}"], kernel_shape=[s, s], strides=[s, s])
        nodes += [pool, helper.make_node("Reshape", [f"pool{s}", "flat"], [f"flat_{s}"])]
        nodes.append(helper.make_node("Mul", [f"flat_{s}", "zero"], [f"nil_{s}"]))  # exp(0) is one cell
        factor = "one" if s == 8 else "zero"
        nodes += [helper.make_node("Mul", [f"flat_{s}", factor], [f"{name}_{s}"]) for name in ("cls", "obj")]
        nodes.append(helper.make_node("Add", [f"nil_{s}", "half"], [f"mid_{s}"]))
        box = [f"mid_{s}", f"mid_{s}", f"nil_{s}", f"nil_{s}"]
        nodes.append(helper.make_node("Concat", box, [f"{name_of_boxes}_{s}"], axis=2))
        nodes.append(helper.make_node("Concat", [f"nil_{s}"] * 10, [f"kps_{s}"], axis=2))
    for name, width in (("cls", 1), ("obj", 1), (name_of_boxes, 4), ("kps", 10)):
        outputs += [helper.make_tensor_value_info(f"{name}_{s}", TensorProto.FLOAT, [1, None, width]) for s in STRIDES]
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, None, None])
    graph = helper.make_graph(nodes, "yunet", [image], outputs, held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), str(path))
