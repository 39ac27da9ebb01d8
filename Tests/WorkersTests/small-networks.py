# A small network of convolutions, a small transformer and classifiers with maps and lists, made with PyPI's onnx: `make FOLDER` writes them,
# `ask PORT NAME FOLDER` compares what a serving worker answers with onnx's own evaluation, for several shapes.
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


CLASSES = ["leave", "no change", "warmer"]
FLOAT, TEXT = TensorProto.FLOAT, TensorProto.STRING


def linear(count, outputs, **labels):
    parts = {"coefficients": lots.normal(size=count * 4).tolist(), "intercepts": lots.normal(size=count).tolist()}
    return helper.make_node("LinearClassifier", ["x"], outputs, domain="ai.onnx.ml", multi_class=1, post_transform="SOFTMAX", **parts, **labels)


def listed(name, element):
    return helper.make_value_info(name, helper.make_sequence_type_proto(element))


def classifiers(folder):
    """One that tells a map of each row, as converters of scikit-learn's emit it, and one of two labels, which has a list of tables."""
    given = [helper.make_tensor_value_info("x", FLOAT, ["rows", 4])]
    label = helper.make_tensor_value_info("label", TEXT, ["rows"])
    numbers = helper.make_tensor_type_proto(FLOAT, [])
    mapped = helper.make_node("ZipMap", ["shares"], ["probabilities"], domain="ai.onnx.ml", classlabels_strings=CLASSES)
    plain = linear(3, ["label", "shares"], classlabels_strings=CLASSES)
    second = linear(4, ["other", "others"], classlabels_ints=[1, 2, 3, 4])
    both = helper.make_node("SequenceConstruct", ["shares", "others"], ["probabilities"])
    maps = listed("probabilities", helper.make_map_type_proto(TEXT, numbers))
    tables = listed("probabilities", helper.make_tensor_type_proto(FLOAT, ["rows", None]))
    shares = helper.make_tensor_value_info("shares", FLOAT, ["rows", 3])
    for name, nodes, made in [("maps", [plain, mapped], maps), ("maps-plain", [plain], shares), ("lists", [plain, second, both], tables)]:
        graph = helper.make_graph(nodes, name, given, [label, made])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), "%s/%s.onnx" % (folder, name))


def post(port, name, verb, body, kind):
    request = urllib.request.Request("http://127.0.0.1:%s/v2/models/%s/%s" % (port, name, verb), body.encode(), {"Content-Type": kind})
    return urllib.request.urlopen(request).read().decode()


def ask_classifier(port, name, folder):
    reference = ReferenceEvaluator("%s/%s.onnx" % (folder, "maps-plain" if name == "maps" else name))
    for rows in (1, 3, 5):
        array = lots.normal(size=(rows, 4)).astype(np.float32)
        label, expected = reference.run(None, {"x": array})
        tensor = {"name": "x", "datatype": "FP32", "shape": [rows, 4], "data": array.flatten().tolist()}
        outputs = {output["name"]: output for output in json.loads(post(port, name, "infer", json.dumps({"inputs": [tensor]}), "application/json"))["outputs"]}
        assert outputs["label"]["data"] == list(label), outputs
        found = outputs["probabilities"]
        if name == "maps":
            assert found["shape"] == [rows, 3] and outputs["probabilities.keys"]["data"] == CLASSES, outputs
            assert np.allclose(np.reshape(found["data"], (rows, 3)), expected, atol=1e-5), (found, expected)
        else:
            assert found["shape"] == [2, rows, 4] and outputs["probabilities.sizes"]["data"] == [rows, 3, rows, 4], outputs
            tables = np.array(found["data"], dtype=np.float32).reshape(2, rows, 4)
            assert np.allclose(tables[0, :, :3], expected[0], atol=1e-5) and np.allclose(tables[1], expected[1], atol=1e-5), (tables, expected)
            assert np.isnan(tables[0, :, 3]).all(), tables
        # A line for each row, whatever stands beside the rows.
        lines = post(port, name, "infer-stream", "".join(json.dumps({"x": row.tolist()}) + "\n" for row in array), "application/x-ndjson").splitlines()
        assert [json.loads(line)["label"] for line in lines] == list(label) and "probabilities" in json.loads(lines[0]), lines
        table = "x.0,x.1,x.2,x.3\n" + "".join(",".join("%.9g" % value for value in row) + "\n" for row in array)
        answer = post(port, name, "infer-stream", table, "text/csv").splitlines()
        columns = ["label"] + ["probabilities.%d" % place for place in range(3)] * (name == "maps")
        assert answer[0].split(",") == columns and [line.split(",")[0] for line in answer[1:]] == list(label), answer
        print("equal", name, rows)


def ask(port, name, folder):
    if name in ("maps", "lists"):
        return ask_classifier(port, name, folder)
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
    classifiers(sys.argv[2])
else:
    ask(*sys.argv[2:])
