"""A round of training: goes on from BASE_MODEL_URL with the rows of TRAIN_DATASET_URL, writes MODEL_URL/model.onnx."""
import os
import time

import worker
from model import Model


def train(kind, variable, usual, unit):
    """Of any kind of model with `fresh`, `load`, `learn`, `save` and `title`; `variable` says how many steps it learns, `unit` what they are."""
    label = os.environ.get("LABEL_COLUMN", "label")
    steps = int(os.environ.get(variable, usual))
    output = worker.variable("MODEL_URL", "folder to write the model into")
    path, header, table = worker.rows(worker.variable("TRAIN_DATASET_URL", "CSV to learn from"))
    base = os.environ.get("BASE_MODEL_URL", "")
    if os.path.isdir(base):
        base = os.path.join(base, "model.onnx")
    model = kind.load(base) if base and os.path.exists(base) else None
    features = model.features if model else worker.wanted_features(header)
    numbers, labels = worker.columns(path, header, table, features, label)
    known = [row for row, word in enumerate(labels) if word]
    classes = model.classes if model else sorted({labels[row] for row in known})
    if len(classes) < 2:
        raise worker.BadInput(f"{path}, column \"{label}\": {len(classes)} classes; label rows of at least two")
    for row in known:
        if labels[row] not in classes:
            raise worker.BadInput(
                f"{path}, line {row + 2}, column \"{label}\": \"{labels[row][:40]}\" is none of {', '.join(classes)}; correct it")
    if not known:
        raise worker.BadInput(f"{path}, column \"{label}\": no row has a label; label some")
    rows, truth = [numbers[row] for row in known], [classes.index(labels[row]) for row in known]
    # Every fifth row judges; the others are learned from.
    held = [row for row in range(len(rows)) if row % 5 == 4] or list(range(len(rows)))
    taught = [row for row in range(len(rows)) if row % 5 != 4]
    if model is None:
        model = kind.fresh(features, classes, [rows[row] for row in taught])
    last = [0.0]

    def told(step):
        # At most one report a second, and the last one.
        if step == steps or time.monotonic() - last[0] >= 1:
            last[0] = time.monotonic()
            worker.tell("train", progress={"done": step, "total": steps, "unit": unit, "message": f"{len(taught)} rows"})

    model.learn([rows[row] for row in taught], [truth[row] for row in taught], steps, told)
    os.makedirs(output, exist_ok=True)
    file = os.path.join(output, "model.onnx")
    model.save(file, f"{model.title}, {len(taught)} rows")
    found = model.probabilities([rows[row] for row in held]).argmax(axis=1)
    accuracy = sum(int(a == truth[row]) for a, row in zip(found, held)) / len(held)
    return [{"format": "onnx", "url": file, "metrics": {"accuracy": accuracy, "samples": len(taught)}}]


if __name__ == "__main__":
    worker.run("train", lambda: train(Model, "EPOCHS", 200, "epochs"))
