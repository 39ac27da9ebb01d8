# A small network of convolutions and a small transformer, made with PyPI's onnx: `make FOLDER` writes them, `ask PORT NAME FOLDER` compares what a
# serving worker answers with onnx's own evaluation, for several shapes.
import json
import sys
import urllib.request

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

lots = np.random.default_rng(27)


def weights(name, *shape):
    return numpy_helper.from_array(lots.normal(scale=0.5, size=shape).astype(np.float32), name)


def write(path, nodes, given, made, initializers):
    graph = helper.make_graph(nodes, "network", [given], [made], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def convolutions(path):
    nodes = [
        helper.make_node("Conv", ["image", "filters", "offsets"], ["filtered"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["filtered"], ["positive"]),
        helper.make_node("MaxPool", ["positive"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "bias"], ["margins"]),
        helper.make_node("Softmax", ["margins"], ["probabilities"]),
    ]
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["rows", 1, 8, 8])
    made = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 3])
    write(path, nodes, given, made, [weights("filters", 4, 1, 3, 3), weights("offsets", 4), weights("dense", 64, 3), weights("bias", 3)])


def transformer(path):
    nodes = [helper.make_node("Gather", ["words", "tokens"], ["embedded"])]
    nodes += [helper.make_node("MatMul", ["embedded", "to_" + part], [part]) for part in ("queries", "keys", "values")]
    nodes += [
        helper.make_node("Transpose", ["keys"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["queries", "turned"], ["likeness"]),
        helper.make_node("Div", ["likeness", "scale"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["attention"], axis=-1),
        helper.make_node("MatMul", ["attention", "values"], ["attended"]),
        helper.make_node("Add", ["embedded", "attended"], ["summed"]),
        helper.make_node("LayerNormalization", ["summed", "gain", "shift"], ["normed"], axis=-1),
        helper.make_node("ReduceMean", ["normed"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "dense"], ["margins"]),
    ]
    given = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["rows", "length"])
    made = helper.make_tensor_value_info("margins", TensorProto.FLOAT, ["rows", 3])
    parts = [weights("to_" + part, 8, 8) for part in ("queries", "keys", "values")]
    scale = numpy_helper.from_array(np.array(8**0.5, np.float32), "scale")
    write(path, nodes, given, made, parts + [scale, weights("words", 16, 8), weights("gain", 8), weights("shift", 8), weights("dense", 8, 3)])


def ask(port, name, folder):
    reference = ReferenceEvaluator(folder + "/" + name + ".onnx")
    for shape in {"convolutions": [(1, 1, 8, 8), (5, 1, 8, 8)], "transformer": [(1, 1), (1, 7), (4, 19)]}[name]:
        array = lots.integers(16, size=shape) if name == "transformer" else lots.normal(size=shape).astype(np.float32)
        given = reference.input_names[0]
        tensor = {"name": given, "datatype": "INT64" if name == "transformer" else "FP32", "shape": shape, "data": array.flatten().tolist()}
        request = urllib.request.Request(
            "http://127.0.0.1:%s/v2/models/%s/infer" % (port, name), json.dumps({"inputs": [tensor]}).encode(), {"Content-Type": "application/json"})
        output = json.load(urllib.request.urlopen(request))["outputs"][0]
        expected = reference.run(None, {given: array})[0]
        assert output["shape"] == list(expected.shape), output
        assert np.allclose(np.reshape(output["data"], expected.shape), expected, atol=1e-4), (output, expected)
        print("equal", name, shape)


if sys.argv[1] == "make":
    convolutions(sys.argv[2] + "/convolutions.onnx")
    transformer(sys.argv[2] + "/transformer.onnx")
else:
    ask(*sys.argv[2:])
