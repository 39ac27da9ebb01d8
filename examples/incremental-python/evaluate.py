"""Judges MODEL_URLS on TEST_DATASET_URL: one result a model, in their order."""
import math
import os

import worker
from model import Predictor


def evaluate():
    label = os.environ.get("LABEL_COLUMN", "label")
    path, header, table = worker.rows(worker.variable("TEST_DATASET_URL", "CSV of held-out rows"))
    results = []
    for place in worker.variable("MODEL_URLS", "models joined by \";\"").split(";"):
        file = os.path.join(place, "model.onnx") if os.path.isdir(place) else place
        if not os.path.exists(file):
            raise worker.BadInput(f"{file}: there is no such model")
        predictor = Predictor(file)
        numbers, labels = worker.columns(path, header, table, predictor.features, label)
        rows = [row for row, word in enumerate(labels) if word in predictor.classes]
        if not rows:
            raise worker.BadInput(f"{path}, column \"{label}\": no row has a class of {file}")
        shares = predictor.probabilities([numbers[row] for row in rows])
        truth = [predictor.classes.index(labels[row]) for row in rows]
        hits = [int(share.argmax() == answer) for share, answer in zip(shares, truth)]
        loss = -sum(math.log(max(float(share[answer]), 1e-15)) for share, answer in zip(shares, truth)) / len(rows)
        precision = []
        for k in range(len(predictor.classes)):
            chosen = [hit for hit, share in zip(hits, shares) if share.argmax() == k]
            precision.append(sum(chosen) / len(chosen) if chosen else 0.0)
        results.append({
            "format": "onnx", "url": place,
            "metrics": {"accuracy": sum(hits) / len(hits), "log_loss": loss, "n": len(rows), "precision": precision},
        })
    return results


worker.run("eval", evaluate)
