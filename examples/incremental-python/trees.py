"""XGBoost's trees that are written and read as ONNX: inputs, outputs and names as the built-in workers have them."""
import base64
import json
import os

import numpy
import onnx
import xgboost
from onnx import TensorProto, helper

import worker

# Property of the ONNX file that holds the trees as XGBoost itself writes them, to go on from.
BOOSTER = "booster"
# Of trees of each class: what a node answers quickly, some megabytes.
ROUNDS_MAX = 2000


class Trees:
    """margins = sum of trees, one of each class a round; probabilities = softmax(margins)"""

    def __init__(self, features, classes, booster=None):
        self.features, self.classes, self.booster = features, classes, booster

    @property
    def title(self):
        return f"XGBoost, {self.booster.num_boosted_rounds()} rounds of {len(self.classes)} trees"

    @staticmethod
    def fresh(features, classes, rows):
        return Trees(features, classes)

    def learn(self, rows, labels, rounds, told=lambda round: None):
        """Grows `rounds` more trees of each class onto those that are there: a round of an incremental job."""
        class Told(xgboost.callback.TrainingCallback):
            def after_iteration(self, model, epoch, evals_log):
                told(epoch + 1)
                return False

        there = self.booster.num_boosted_rounds() if self.booster else 0
        if there + rounds > ROUNDS_MAX:
            raise worker.BadInput(
                f"the base model has {there} rounds of trees, {rounds} more would be above {ROUNDS_MAX}; begin anew with a new initialModel")
        self.booster = xgboost.train(
            {"objective": "multi:softprob", "num_class": len(self.classes), "base_score": 0.0, "max_depth": 4, "eta": 0.2,
             "nthread": 1, "seed": 0},
            self.table(rows, label=labels), rounds, xgb_model=self.booster, callbacks=[Told()])

    def table(self, rows, **more):
        return xgboost.DMatrix(numpy.asarray(rows, numpy.float32), nthread=1, **more)

    def probabilities(self, rows):
        return self.booster.predict(self.table(rows))

    def nodes(self):
        """Attributes of ONNX's TreeEnsembleRegressor: every node of every tree, side by side."""
        model = json.loads(self.booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
        nodes = {name: [] for name in (
            "treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true")}
        leaves = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
        for number, (tree, target) in enumerate(zip(model["trees"], model["tree_info"])):
            for node, (left, right) in enumerate(zip(tree["left_children"], tree["right_children"])):
                is_leaf = left == -1
                # XGBoost goes left where a value is smaller, and where a missing one was found to go.
                for name, value in (
                        ("treeids", number), ("nodeids", node), ("modes", "LEAF" if is_leaf else "BRANCH_LT"),
                        ("featureids", 0 if is_leaf else tree["split_indices"][node]),
                        ("values", 0.0 if is_leaf else tree["split_conditions"][node]),
                        ("truenodeids", max(left, 0)), ("falsenodeids", max(right, 0)),
                        ("missing_value_tracks_true", 0 if is_leaf else int(tree["default_left"][node]))):
                    nodes[name].append(value)
                if is_leaf:
                    for name, value in (
                            ("treeids", number), ("nodeids", node), ("ids", target), ("weights", tree["split_conditions"][node])):
                        leaves[name].append(value)
        return {f"nodes_{name}": values for name, values in nodes.items()} | {
            f"target_{name}": values for name, values in leaves.items()}

    def save(self, path, version):
        graph = helper.make_graph(
            [
                helper.make_node(
                    "TreeEnsembleRegressor", ["features"], ["margins"], domain="ai.onnx.ml", n_targets=len(self.classes), **self.nodes()),
                helper.make_node("Softmax", ["margins"], ["probabilities"], axis=1),
                helper.make_node("ArgMax", ["margins"], ["label"], axis=1, keepdims=0),
            ],
            self.title,
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", len(self.features)])],
            [
                helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", len(self.classes)]),
                helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
                helper.make_tensor_value_info("margins", TensorProto.FLOAT, ["rows", len(self.classes)]),
            ])
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
        helper.set_model_props(model, {
            "features": "\n".join(self.features), "classes": "\n".join(self.classes), "version": version,
            BOOSTER: base64.b64encode(self.booster.save_raw("ubj")).decode()})
        onnx.checker.check_model(model, full_check=True)
        # Whole or not at all: nobody reads half a model.
        with open(path + ".new", "wb") as file:
            file.write(model.SerializeToString())
        os.replace(path + ".new", path)

    @staticmethod
    def load(path):
        """Trees that `save` wrote, to go on growing; of another model its features and classes alone, as nothing grows onto it."""
        properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        booster = None
        if BOOSTER in properties:
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(bytearray(base64.b64decode(properties[BOOSTER])))
        return Trees(properties["features"].split("\n"), properties["classes"].split("\n"), booster)
