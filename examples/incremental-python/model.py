"""A softmax regression that is written and read as ONNX: inputs, outputs and names as the built-in workers have them."""
import os

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


class Model:
    """probabilities = softmax(((x or mean) - mean) / scale · weights + biases)"""

    title = "softmax regression"

    def __init__(self, features, classes, mean, scale, weights, biases):
        self.features, self.classes = features, classes
        self.mean, self.scale, self.weights, self.biases = mean, scale, weights, biases

    @staticmethod
    def fresh(features, classes, rows):
        rows = numpy.asarray(rows, numpy.float64)
        known = numpy.where(numpy.isnan(rows), 0, rows)
        counts = numpy.maximum((~numpy.isnan(rows)).sum(axis=0), 1)
        mean = known.sum(axis=0) / counts
        scale = numpy.sqrt(numpy.where(numpy.isnan(rows), 0, (known - mean) ** 2).sum(axis=0) / counts)
        scale[scale < 1e-6] = 1
        return Model(
            features, classes, mean, scale, numpy.zeros((len(features), len(classes))), numpy.zeros(len(classes)))

    def prepared(self, rows):
        rows = numpy.asarray(rows, numpy.float64)
        return (numpy.where(numpy.isnan(rows), self.mean, rows) - self.mean) / self.scale

    def probabilities(self, rows):
        margins = self.prepared(rows) @ self.weights + self.biases
        powers = numpy.exp(margins - margins.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def learn(self, rows, labels, epochs, told=lambda epoch: None, rate=0.5, pull=1e-3):
        """Gradient descent from where the model is: a round of an incremental job."""
        inputs, truth = self.prepared(rows), numpy.eye(len(self.classes))[labels]
        for epoch in range(epochs):
            margins = inputs @ self.weights + self.biases
            powers = numpy.exp(margins - margins.max(axis=1, keepdims=True))
            error = powers / powers.sum(axis=1, keepdims=True) - truth
            self.weights -= rate * (inputs.T @ error / len(inputs) + pull * self.weights)
            self.biases -= rate * error.mean(axis=0)
            told(epoch + 1)

    def save(self, path, version):
        def constant(name, values):
            return numpy_helper.from_array(numpy.asarray(values, numpy.float32), name)

        nodes = [
            helper.make_node("IsNaN", ["features"], ["missing"]),
            helper.make_node("Where", ["missing", "mean", "features"], ["filled"]),
            helper.make_node("Sub", ["filled", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "scale"], ["scaled"]),
            helper.make_node("Gemm", ["scaled", "weights", "biases"], ["margins"]),
            helper.make_node("Softmax", ["margins"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["margins"], ["label"], axis=1, keepdims=0),
        ]
        graph = helper.make_graph(
            nodes, self.title,
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", len(self.features)])],
            [
                helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", len(self.classes)]),
                helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
                helper.make_tensor_value_info("margins", TensorProto.FLOAT, ["rows", len(self.classes)]),
            ],
            [constant("mean", self.mean), constant("scale", self.scale), constant("weights", self.weights),
             constant("biases", self.biases)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(
            model, {"features": "\n".join(self.features), "classes": "\n".join(self.classes), "version": version})
        onnx.checker.check_model(model, full_check=True)
        # Whole or not at all: nobody reads half a model.
        with open(path + ".new", "wb") as file:
            file.write(model.SerializeToString())
        os.replace(path + ".new", path)

    @staticmethod
    def load(path):
        """A model that `save` wrote, to go on learning from."""
        model = onnx.load(path)
        properties = {entry.key: entry.value for entry in model.metadata_props}
        values = {tensor.name: numpy_helper.to_array(tensor).astype(numpy.float64) for tensor in model.graph.initializer}
        return Model(
            properties["features"].split("\n"), properties["classes"].split("\n"), values["mean"], values["scale"],
            values["weights"], values["biases"])


class Predictor:
    """Any ONNX file with the built-in workers' inputs and outputs."""

    def __init__(self, path):
        model = onnx.load(path)
        properties = {entry.key: entry.value for entry in model.metadata_props}
        self.features, self.classes = properties["features"].split("\n"), properties["classes"].split("\n")
        self.version = properties.get("version", "")
        try:
            import onnxruntime
            session = onnxruntime.InferenceSession(path)
            self.run = lambda rows: session.run(["probabilities"], {"features": rows})[0]
        except ImportError:
            reference = ReferenceEvaluator(model)
            self.run = lambda rows: reference.run(["probabilities"], {"features": rows})[0]

    def probabilities(self, rows):
        return self.run(numpy.asarray(rows, numpy.float32))
